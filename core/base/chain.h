/* Bytes in a row: small pieces are copied into the chain, large ones are shared with their other
 * holders. Taken from the beginning, added at the end. */
#ifndef HKB_BASE_CHAIN_H
#define HKB_BASE_CHAIN_H

#include "base/bytes.h"

/* A piece that is not copied. */
typedef struct hkb_shared {
    size_t at; /* how many copied bytes come before it, counted from the chain's first byte ever */
    hakuban_bytes *of;
    size_t from, bytes; /* which part of it */
} hkb_shared;

typedef struct hkb_chain {
    hkb_buffer own;    /* copied bytes */
    size_t own_begin;  /* how many bytes of own were dropped */
    size_t own_before; /* how many were dropped before those, and are not in own any more */
    hkb_shared *shared;
    size_t shared_begin, shared_count, shared_capacity; /* count: without those before begin */
    size_t shared_bytes;
    size_t *held; /* as hkb_bytes_hold() */
} hkb_chain;

/* own_bytes_max: of copied bytes; reaching it is ERR_LIMIT. held: where shared pieces are counted,
 * borrowed until hkb_chain_done(). */
void hkb_chain_init(hkb_chain *chain, const hakuban_alloc *alloc, size_t own_bytes_max,
                    size_t *held);
void hkb_chain_done(hkb_chain *chain);
void hkb_chain_unshare(hkb_chain *chain); /* drops the shared pieces */
/* Drops everything and keeps the memory for the next bytes. */
static inline void hkb_chain_clear(hkb_chain *chain)
{
    if (chain->shared_count) {
        hkb_chain_unshare(chain);
    }
    chain->own.bytes = chain->own_begin = chain->own_before = 0;
}
static inline size_t hkb_chain_bytes(const hkb_chain *chain)
{
    return chain->own.bytes - chain->own_begin + chain->shared_bytes;
}
/* What it takes in memory besides the shared pieces. */
static inline size_t hkb_chain_own_bytes(const hkb_chain *chain)
{
    return chain->own.capacity + chain->shared_capacity * sizeof(*chain->shared);
}
/* Room for bytes more in own; on OK they may be written behind own's last byte, as
 * hkb_buffer_reserve(). */
hakuban_status hkb_chain_reserve(hkb_chain *chain, size_t bytes);
/* Copies. */
hakuban_status hkb_chain_append(hkb_chain *chain, const void *data, size_t bytes);
/* Adds piece, which lies in `of`, by reference. ERR_NO_MEMORY. */
hakuban_status hkb_chain_share(hkb_chain *chain, hakuban_bytes *of, hakuban_slice piece);
/* Adds the first bytes of from, of which there are as many, to chain. On failure a part of them was
 * added. */
hakuban_status hkb_chain_append_chain(hkb_chain *chain, const hkb_chain *from, size_t bytes);
/* Takes off the first bytes; fewer, if there are not as many. Returns how many. */
size_t hkb_chain_drop(hkb_chain *chain, size_t bytes);
/* The copied bytes at the beginning, up to the first shared piece. Borrowed until the next change.
 */
hakuban_slice hkb_chain_first(const hkb_chain *chain);
/* All of it as slices, at most 2 * shared_count + 1, which must fit. Borrowed until the next
 * change. Returns how many. */
unsigned hkb_chain_parts(const hkb_chain *chain, hakuban_slice *ret, unsigned room);

#endif
