/* A chain is a queue of bytes: small pieces are copied into it, large ones are shared by reference.
 * Bytes are added at the end and taken from the beginning. */
#ifndef HKB_BASE_CHAIN_H
#define HKB_BASE_CHAIN_H

#include "base/bytes.h"

/* A piece that is not copied. */
typedef struct hkb_shared {
    size_t at; /* how many copied bytes come before it, counted from the chain's first byte ever */
    hakuban_bytes *of;
    size_t from, bytes; /* which part of the shared bytes */
} hkb_shared;

typedef struct hkb_chain {
    hkb_buffer own;    /* copied bytes */
    size_t own_begin;  /* how many bytes at the beginning of own were dropped */
    size_t own_before; /* how many copied bytes were dropped earlier and are no longer in own */
    hkb_shared *shared;
    size_t shared_begin, shared_count,
        shared_capacity; /* shared_count does not count pieces before shared_begin */
    size_t shared_bytes;
    size_t *held; /* as hkb_bytes_hold() */
} hkb_chain;

/* own_bytes_max: the limit of copied bytes; more is ERR_LIMIT. held: counts the bytes of shared
 * pieces, borrowed until hkb_chain_done(). */
void hkb_chain_init(hkb_chain *chain, const hakuban_alloc *alloc, size_t own_bytes_max,
                    size_t *held);
void hkb_chain_done(hkb_chain *chain);
void hkb_chain_unshare(hkb_chain *chain); /* drops the shared pieces */
/* Drops all bytes and keeps the memory for the next ones. */
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
/* The memory of the chain without that of the shared pieces. */
static inline size_t hkb_chain_own_bytes(const hkb_chain *chain)
{
    return chain->own.capacity + chain->shared_capacity * sizeof(*chain->shared);
}
/* Makes room for bytes more behind own's last byte, as hkb_buffer_reserve() does. */
hakuban_status hkb_chain_reserve(hkb_chain *chain, size_t bytes);
/* Adds a copy of the bytes. */
hakuban_status hkb_chain_append(hkb_chain *chain, const void *data, size_t bytes);
/* Adds piece, which lies in `of`, by reference. ERR_NO_MEMORY. */
hakuban_status hkb_chain_share(hkb_chain *chain, hakuban_bytes *of, hakuban_slice piece);
/* Adds the first bytes of from, which has at least as many, to chain. After a failure a part of
 * them was added. */
hakuban_status hkb_chain_append_chain(hkb_chain *chain, const hkb_chain *from, size_t bytes);
/* Drops the first bytes of the chain, or all if it has fewer. Returns how many it dropped. */
size_t hkb_chain_drop(hkb_chain *chain, size_t bytes);
/* The copied bytes at the beginning, up to the first shared piece. Borrowed until the next change.
 */
hakuban_slice hkb_chain_first(const hkb_chain *chain);
/* The whole chain as slices: at most 2 * shared_count + 1 of them, for which there must be room.
 * Borrowed until the next change. Returns how many there are. */
unsigned hkb_chain_parts(const hkb_chain *chain, hakuban_slice *ret, unsigned room);

#endif
