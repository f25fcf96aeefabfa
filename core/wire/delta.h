/* The difference between two states' data, and back. Pure functions; the algorithm and its figures
 * are in shared/delta.md.
 *
 * A delta is: kind (1 byte), then by kind. It carries no base name and no check: the state header
 * has those. */
#ifndef HKB_WIRE_DELTA_H
#define HKB_WIRE_DELTA_H

#include <hakuban/plugin/compressor.h>

#include "base/bytes.h"

typedef struct hkb_delta_compressor { /* as in the registry: a table and its instance */
    const hakuban_compressor_ops *ops;
    void *self;
} hkb_delta_compressor;

/* Scratch memory that is kept between calls; one per exchange. */
typedef struct hkb_delta_context hkb_delta_context;
hakuban_status hkb_delta_context_new(const hakuban_alloc *alloc, hkb_delta_context **ret);
hkb_delta_context *hkb_delta_context_free(hkb_delta_context *context);

/* Counts of the last make, for the work-limit test. */
typedef struct hkb_delta_work {
    uint64_t steps, lookups, inserts, verifications, limit;
} hkb_delta_work;
hkb_delta_work hkb_delta_last_work(const hkb_delta_context *context);

/* The payload that turns old (empty: whole state) into new, compressed where that makes it smaller.
 * *ret: owned. compressor ops NULL: none. */
hakuban_status hkb_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                              hkb_delta_compressor compressor, hakuban_slice old,
                              hakuban_slice new_, hakuban_bytes **ret);
/* How large the result will be, before anything is allocated: checked against bytes_max.
 * ERR_CORRUPT, ERR_LIMIT. */
hakuban_status hkb_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                              size_t *ret_bytes);
/* Applies delta to old into out, which is exactly hkb_delta_size() large and does not overlap old.
 * ERR_CORRUPT leaves rubbish in out and touches nothing else. The caller checks the hash. */
hakuban_status hkb_delta_apply(hkb_delta_context *context, hkb_delta_compressor compressor,
                               hakuban_slice old, hakuban_slice delta, uint8_t *out,
                               size_t out_bytes);
/* Whether the payload is a whole state that needs no base. */
bool hkb_delta_is_whole(hakuban_slice delta);
/* XXH3-64, by the fastest code this CPU has. */
uint64_t hkb_hash64(const void *data, size_t bytes);

#endif
