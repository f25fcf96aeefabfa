/* The tables of one exchange: checks them when they are added, finds them by name. */
#ifndef HKB_PLUGIN_REGISTRY_H
#define HKB_PLUGIN_REGISTRY_H

#include <hakuban/plugin/compressor.h>
#include <hakuban/plugin/serializer.h>
#include <hakuban/plugin/transport.h>

#include "base/base.h"

#define HKB_REGISTRY_MAX 16

typedef struct hkb_transport_entry {
    hakuban_transport_ops ops;
    void *param;
} hkb_transport_entry;

/* Entries never move once added: pointers to them stay valid until hkb_registry_done(). Later
 * entries come first in offers. */
typedef struct hkb_registry {
    const hakuban_alloc *alloc;
    size_t transport_count, serializer_count, compressor_count;
    hkb_transport_entry *transports[HKB_REGISTRY_MAX];
    hakuban_serializer_ops *serializers[HKB_REGISTRY_MAX];
    struct hkb_compressor {
        hakuban_compressor_ops ops;
        void *self; /* made when the table was added */
    } *compressors[HKB_REGISTRY_MAX];
} hkb_registry;
typedef struct hkb_compressor hkb_compressor;

/* Each of these functions copies min(ops->size, our size) bytes into a zeroed table. A table is
 * refused, with a text, if it has another abi, lacks a mandatory function, or has no name, a name
 * of more than 32 bytes, or the name of an earlier table. */
void hkb_registry_init(hkb_registry *registry, const hakuban_alloc *alloc);
void hkb_registry_done(hkb_registry *registry);
hakuban_status hkb_registry_add_transport(hkb_registry *registry, const hakuban_transport_ops *ops,
                                          void *param, hakuban_error *reterr);
hakuban_status hkb_registry_add_serializer(hkb_registry *registry,
                                           const hakuban_serializer_ops *ops,
                                           hakuban_error *reterr);
hakuban_status hkb_registry_add_compressor(hkb_registry *registry,
                                           const hakuban_compressor_ops *ops,
                                           hakuban_error *reterr);
/* NULL: there is none. */
const hkb_transport_entry *hkb_registry_transport(const hkb_registry *registry, const char *scheme);
const hakuban_serializer_ops *hkb_registry_serializer(const hkb_registry *registry,
                                                      const char *name, size_t name_bytes);
hkb_compressor *hkb_registry_compressor(const hkb_registry *registry, const char *name,
                                        size_t name_bytes);
/* Another instance of the compressor, for the thread that uses it. */
hakuban_status hkb_compressor_begin(const hkb_compressor *compressor, const hakuban_alloc *alloc,
                                    void **ret_self);
void hkb_compressor_end(const hkb_compressor *compressor, const hakuban_alloc *alloc, void *self);
/* Adds all plugins that are built in. CMake generates it from the list of options (builtin.c.in).
 */
hakuban_status hkb_registry_add_builtin(hkb_registry *registry);

#endif
