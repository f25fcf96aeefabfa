/* Descriptors inside the library. One allocation: the canonical object, then the canonical tags,
 * sorted by their bytes. */
#ifndef HKB_MODEL_DESCRIPTOR_H
#define HKB_MODEL_DESCRIPTOR_H

#include <stdatomic.h>

#include <hakuban/descriptor.h>

#include "base/base.h"

struct hakuban_descriptor {
    const hakuban_alloc *alloc;
    atomic_uint references;
    uint16_t json_bytes; /* without the terminating zero */
    uint16_t text_bytes; /* the length of text, the terminating zeros included */
    uint8_t tag_count;
    char text[]; /* object \0 tag \0 tag \0 … */
};

/* How much memory a descriptor takes. Its text begins before the end of the struct. */
static inline size_t hkb_descriptor_bytes(size_t text_bytes)
{
    return hkb_max(sizeof(hakuban_descriptor), offsetof(hakuban_descriptor, text) + text_bytes);
}

/* As hakuban_descriptor_new(), from texts with a length. Texts from peers, too, are brought to
 * canonical form. */
hakuban_status hkb_descriptor_new(const hakuban_alloc *alloc, hakuban_slice object,
                                  const hakuban_slice *tags, size_t tag_count,
                                  hakuban_descriptor **ret, hakuban_error *reterr);
/* Canonical text of one tag, terminated, in a buffer of HAKUBAN_DESCRIPTOR_BYTES_MAX + 1. */
hakuban_status hkb_tag_canonical(const hakuban_alloc *alloc, hakuban_slice json, char *out,
                                 size_t *ret_bytes, hakuban_error *reterr);

/* Iterates: for (const char *tag = hkb_descriptor_tags(d); *ret_bytes …). The first tag, or the
 * end; the next begins behind the terminating zero. */
static inline const char *hkb_descriptor_tags(const hakuban_descriptor *descriptor)
{
    return descriptor->text + descriptor->json_bytes + 1;
}

#endif
