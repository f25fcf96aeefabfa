/* Chains: a buffer of copied bytes, and between them references to pieces that have other holders.
 */
#include "base/chain.h"

void hkb_chain_init(hkb_chain *chain, const hakuban_alloc *alloc, size_t own_bytes_max,
                    size_t *held)
{
    memset(chain, 0, sizeof(*chain));
    chain->held = held;
    hkb_buffer_init(&chain->own, alloc, own_bytes_max);
}

void hkb_chain_unshare(hkb_chain *chain)
{
    for (size_t i = 0; i < chain->shared_count; i++) {
        hkb_bytes_release(chain->shared[chain->shared_begin + i].of, chain->held);
    }
    chain->shared_begin = chain->shared_count = chain->shared_bytes = 0;
}

void hkb_chain_done(hkb_chain *chain)
{
    hkb_chain_clear(chain);
    hkb_free(chain->own.alloc, chain->shared, chain->shared_capacity * sizeof(*chain->shared));
    chain->shared = NULL;
    chain->shared_capacity = 0;
    hkb_buffer_done(&chain->own);
}

hakuban_status hkb_chain_reserve(hkb_chain *chain, size_t bytes)
{
    hkb_buffer *own = &chain->own;
    /* The room of dropped bytes is used again once they are a quarter of the buffer. */
    if (own->bytes + bytes > own->capacity && chain->own_begin > own->bytes / 4) {
        own->bytes -= chain->own_begin;
        memmove(own->data, own->data + chain->own_begin, own->bytes);
        chain->own_before += chain->own_begin;
        chain->own_begin = 0;
    }
    return hkb_buffer_reserve(own, bytes);
}

hakuban_status hkb_chain_append(hkb_chain *chain, const void *data, size_t bytes)
{
    hakuban_status status = hkb_chain_reserve(chain, bytes);
    if (status >= 0 && bytes) {
        memcpy(chain->own.data + chain->own.bytes, data, bytes);
        chain->own.bytes += bytes;
    }
    return status;
}

hakuban_status hkb_chain_share(hkb_chain *chain, hakuban_bytes *of, hakuban_slice piece)
{
    size_t end = chain->shared_begin + chain->shared_count;
    if (end == chain->shared_capacity && chain->shared_begin > end / 4) {
        memmove(chain->shared, chain->shared + chain->shared_begin,
                chain->shared_count * sizeof(*chain->shared));
        chain->shared_begin = 0;
        end = chain->shared_count;
    }
    hakuban_status status = hkb_grow(chain->own.alloc, &chain->shared, sizeof(*chain->shared),
                                     &chain->shared_capacity, end + 1);
    if (status < 0) {
        return status;
    }
    const uint8_t *whole = hakuban_bytes_slice(of).data;
    chain->shared[end] = (hkb_shared){
        .at = chain->own_before + chain->own.bytes,
        .of = hkb_bytes_hold(of, chain->held),
        .from = (size_t)((const uint8_t *)piece.data - whole),
        .bytes = piece.bytes,
    };
    chain->shared_count++;
    chain->shared_bytes += piece.bytes;
    return HAKUBAN_OK;
}

static hakuban_slice shared_slice(const hkb_shared *piece)
{
    const uint8_t *whole = hakuban_bytes_slice(piece->of).data;
    return (hakuban_slice){whole + piece->from, piece->bytes};
}

/* The copied bytes of chain from position `from` (counted like hkb_shared.at) up to the shared
 * piece `next`, or up to the end. */
static hakuban_slice own_slice(const hkb_chain *chain, size_t from, size_t next)
{
    size_t to = next < chain->shared_count ? chain->shared[chain->shared_begin + next].at
                                           : chain->own_before + chain->own.bytes;
    if (to == from) {
        return (hakuban_slice){NULL, 0};
    }
    return (hakuban_slice){chain->own.data + (from - chain->own_before), to - from};
}

hakuban_status hkb_chain_append_chain(hkb_chain *chain, const hkb_chain *from, size_t bytes)
{
    size_t at = from->own_before + from->own_begin;
    hakuban_status status = HAKUBAN_OK;
    for (size_t next = 0; status >= 0 && bytes; next++) {
        hakuban_slice own = own_slice(from, at, next);
        own.bytes = hkb_min(own.bytes, bytes);
        bytes -= own.bytes;
        status = hkb_chain_append(chain, own.data, own.bytes);
        if (status < 0 || bytes == 0) {
            break;
        }
        HKB_ASSERT(next < from->shared_count);
        const hkb_shared *piece = &from->shared[from->shared_begin + next];
        hakuban_slice slice = shared_slice(piece);
        slice.bytes = hkb_min(slice.bytes, bytes);
        bytes -= slice.bytes;
        status = hkb_chain_share(chain, piece->of, slice);
        at = piece->at;
    }
    return status;
}

size_t hkb_chain_drop(hkb_chain *chain, size_t bytes)
{
    size_t left = bytes;
    while (left) {
        size_t own = hkb_min(left, own_slice(chain, chain->own_before + chain->own_begin, 0).bytes);
        chain->own_begin += own;
        left -= own;
        if (left == 0 || chain->shared_count == 0) {
            break;
        }
        hkb_shared *piece = &chain->shared[chain->shared_begin];
        size_t shared = hkb_min(left, piece->bytes);
        piece->from += shared;
        piece->bytes -= shared;
        chain->shared_bytes -= shared;
        left -= shared;
        if (piece->bytes == 0) {
            hkb_bytes_release(piece->of, chain->held);
            chain->shared_begin++;
            chain->shared_count--;
        }
    }
    if (hkb_chain_bytes(chain) == 0) {
        hkb_chain_clear(chain);
    }
    return bytes - left;
}

hakuban_slice hkb_chain_first(const hkb_chain *chain)
{
    return own_slice(chain, chain->own_before + chain->own_begin, 0);
}

unsigned hkb_chain_parts(const hkb_chain *chain, hakuban_slice *ret, unsigned room)
{
    size_t at = chain->own_before + chain->own_begin;
    unsigned count = 0;
    HKB_ASSERT(2 * chain->shared_count + 1 <= room);
    for (size_t next = 0; next <= chain->shared_count; next++) {
        hakuban_slice own = own_slice(chain, at, next);
        if (own.bytes) {
            ret[count++] = own;
        }
        if (next < chain->shared_count) {
            const hkb_shared *piece = &chain->shared[chain->shared_begin + next];
            ret[count++] = shared_slice(piece);
            at = piece->at;
        }
    }
    return count;
}
