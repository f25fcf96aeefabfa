/* Makes and applies the difference between two states' data. Pure functions; docs/wire.md describes
 * the form. A delta is its kind (1 byte) and what that kind needs. It has no name of its base and
 * no check: these are in the header of the STATE. */
#ifndef HKB_WIRE_DELTA_H
#define HKB_WIRE_DELTA_H

#include <hakuban/plugin/compressor.h>

#include "base/bytes.h"

typedef struct hkb_delta_compressor { /* a compressor of the registry: its table and its instance */
    const hakuban_compressor_ops *ops;
    void *self;
} hkb_delta_compressor;

/* Scratch memory that is kept between calls; one for each exchange. */
typedef struct hkb_delta_context hkb_delta_context;
hakuban_status hkb_delta_context_new(const hakuban_alloc *alloc, hkb_delta_context **ret);
hkb_delta_context *hkb_delta_context_free(hkb_delta_context *context);

/* Counters of the last hkb_delta_make(), for the test of the work limit. */
typedef struct hkb_delta_work {
    uint64_t steps, lookups, inserts, verifications, limit;
} hkb_delta_work;
hkb_delta_work hkb_delta_last_work(const hkb_delta_context *context);

/* Makes the payload that turns old into new; old empty: the whole state. It is compressed if that
 * makes it smaller; compressor ops NULL: no compressor. *ret: owned. */
hakuban_status hkb_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                              hkb_delta_compressor compressor, hakuban_slice old,
                              hakuban_slice new_, hakuban_bytes **ret);
/* The size of the result, before memory is allocated for it. ERR_CORRUPT; ERR_LIMIT: more than
 * bytes_max. */
hakuban_status hkb_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                              size_t *ret_bytes);
/* Applies delta to old and writes the result to out, which has exactly hkb_delta_size() bytes and
 * does not overlap old. After ERR_CORRUPT the contents of out are undefined. The caller checks the
 * hash. */
hakuban_status hkb_delta_apply(hkb_delta_context *context, hkb_delta_compressor compressor,
                               hakuban_slice old, hakuban_slice delta, uint8_t *out,
                               size_t out_bytes);
/* Whether the payload is a whole state that needs no base. */
bool hkb_delta_is_whole(hakuban_slice delta);
/* XXH3-64, by the fastest code this CPU has. */
uint64_t hkb_hash64(const void *data, size_t bytes);

#endif
