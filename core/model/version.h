/* Versions: their order, and the automatic next version. */
#ifndef HKB_MODEL_VERSION_H
#define HKB_MODEL_VERSION_H

#include <hakuban/state.h>

#include "base/base.h"

/* A version by value. count 0 is "none" and smaller than all others. */
typedef struct hkb_version {
    size_t count;
    int64_t elements[HAKUBAN_VERSION_ELEMENTS_MAX];
} hkb_version;

static inline int hkb_version_compare(const hkb_version *a, const hkb_version *b)
{
    return hakuban_version_compare(a->elements, a->count, b->elements, b->count);
}
/* The automatic version after last, always greater than last. It is made of the wall clock wall_ns
 * (nanoseconds since 1970; may be negative or step) and of 32 random bits of the exchange.
 * ERR_VERSION: there is none, because last has 16 elements of the greatest value. */
hakuban_status hkb_version_next(const hkb_version *last, int64_t wall_ns, uint32_t tie,
                                hkb_version *ret);

#endif
