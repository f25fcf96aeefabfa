/* Shared by the files of the delta only: matches, scratch memory, comparing. */
#ifndef HKB_WIRE_DELTA_INTERNAL_H
#define HKB_WIRE_DELTA_INTERNAL_H

#include "wire/delta.h"

/* Larger states are sent whole, because offsets have 32 bits. */
#define HKB_DELTA_STATE_BYTES_MAX ((size_t)1 << 30)
#define HKB_DELTA_REFERENCE_BYTES_MAX ((size_t)1 << 20)

/* new_[n .. n + bytes) equals old[o .. o + bytes). */
typedef struct hkb_delta_match {
    uint32_t n, o, bytes;
} hkb_delta_match;

/* Bytes that are kept between calls unless they are too many. */
typedef struct hkb_delta_scratch {
    uint8_t *data;
    size_t capacity;
} hkb_delta_scratch;

struct hkb_delta_context {
    const hakuban_alloc *alloc;
    /* Of the last search, in the order of the new state, not overlapping. */
    hkb_delta_match *matches;
    size_t match_count, match_capacity;
    uint32_t *slots; /* the index of blocks; rust_delta.c uses it for its table of places */
    size_t slot_capacity;
    /* Of rust_delta.c: references to old, or (with a flag in o) to new_ itself. */
    hkb_delta_match *references;
    size_t reference_count, reference_capacity;
    hkb_delta_scratch raw; /* ops or literals on their way to or from the compressor */
    hkb_delta_scratch reference, packed;
    size_t reference_bytes, packed_bytes;
    hkb_delta_work work;
};

/* Frees scratch memory that only a very large state has needed. */
void hkb_delta_tidy(hkb_delta_context *context);

/* Finds the matches: the first one begins at (0, 0), the last one ends at both ends; these two may
 * be empty. Equal states have no matches. Each state has at least one byte and at most
 * HKB_DELTA_STATE_BYTES_MAX. */
hakuban_status hkb_delta_search(hkb_delta_context *context, hakuban_slice old, hakuban_slice new_);

/* One step of a delta: copies bytes of old from o on, then adds literals. The next op copies from
 * next. */
typedef struct hkb_delta_op {
    size_t o, copy, literals, next;
} hkb_delta_op;

/* The op between the index-th match and the next. */
static inline hkb_delta_op hkb_delta_op_at(const hkb_delta_context *context, size_t index)
{
    const hkb_delta_match *match = &context->matches[index];
    return (hkb_delta_op){match->o, match->bytes, match[1].n - match->n - match->bytes, match[1].o};
}

/* Reads ops from a peer. */
typedef struct hkb_delta_reader {
    const uint8_t *data, *end;
    size_t old_bytes, new_bytes;
    size_t o, produced;   /* behind the last op */
    bool literals_inside; /* each op is followed by its literals */
    bool begun;
} hkb_delta_reader;

/* Reads and checks the next op; only while data is not at its end. The caller checks that the
 * literals are there if they are not inside the ops. *ret_literals: where they are if they are
 * inside. False: corrupt. */
bool hkb_delta_read(hkb_delta_reader *reader, hkb_delta_op *ret, const uint8_t **ret_literals);
/* How many bytes the ops and the literals between the context's matches take. */
void hkb_delta_measure(const hkb_delta_context *context, size_t *ret_control, size_t *ret_literals);
/* Write one or both, and return the end. */
uint8_t *hkb_delta_write(const hkb_delta_context *context, const uint8_t *new_, bool control,
                         bool literals, uint8_t *out);

/* Builds the reference for the compressor: the old bytes around the longer literals. Both sides add
 * the same ops in the same order. */
typedef struct hkb_delta_piece {
    size_t begin, end; /* of the last piece taken */
} hkb_delta_piece;
hakuban_status hkb_delta_reference_add(hkb_delta_context *context, hakuban_slice old,
                                       const hkb_delta_op *op, hkb_delta_piece *last);
/* The reference; empty if zstd would take it for a dictionary in its own format. */
hakuban_slice hkb_delta_reference(const hkb_delta_context *context);

/* Little-endian everywhere, so that a byte's index in memory is its index in the value. */
static inline uint64_t hkb_delta_load8(const uint8_t *p)
{
    uint64_t value = 0;
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&value, p, sizeof(value));
#else
    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
#endif
    return value;
}

/* The index of the first and of the last byte that is not 0; x is not 0. */
static inline size_t hkb_delta_first_byte(uint64_t x)
{
#if defined(__GNUC__)
    return (size_t)__builtin_ctzll(x) / 8;
#else
    size_t i = 0;
    for (; !(x & 0xff); x >>= 8) {
        i++;
    }
    return i;
#endif
}
static inline size_t hkb_delta_last_byte(uint64_t x)
{
#if defined(__GNUC__)
    return 7 - (size_t)__builtin_clzll(x) / 8;
#else
    size_t i = 0;
    while (x >>= 8) {
        i++;
    }
    return i;
#endif
}

size_t hkb_delta_forward_wide(const uint8_t *a, const uint8_t *b, size_t bytes_max);
size_t hkb_delta_backward_wide(const uint8_t *a_end, const uint8_t *b_end, size_t bytes_max);

/* As memcpy(); several times faster where the C library uses string instructions and the two places
 * are badly aligned to each other. */
void hkb_delta_copy(uint8_t *to, const uint8_t *from, size_t bytes);

/* How many bytes from a and b on are equal. Most runs are short: the first words find their end. */
static inline size_t hkb_delta_forward(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
    size_t i = 0;
    for (; i + 8 <= bytes_max && i < 64; i += 8) {
        uint64_t x = hkb_delta_load8(a + i) ^ hkb_delta_load8(b + i);
        if (x) {
            return i + hkb_delta_first_byte(x);
        }
    }
    if (i == 64) {
        return i + hkb_delta_forward_wide(a + i, b + i, bytes_max - i);
    }
    while (i < bytes_max && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* How many bytes are equal before a_end and b_end. */
static inline size_t hkb_delta_backward(const uint8_t *a_end, const uint8_t *b_end,
                                        size_t bytes_max)
{
    size_t i = 0;
    for (; i + 8 <= bytes_max && i < 64; i += 8) {
        uint64_t x = hkb_delta_load8(a_end - i - 8) ^ hkb_delta_load8(b_end - i - 8);
        if (x) {
            return i + 7 - hkb_delta_last_byte(x);
        }
    }
    if (i == 64) {
        return i + hkb_delta_backward_wide(a_end - i, b_end - i, bytes_max - i);
    }
    while (i < bytes_max && a_end[-(ptrdiff_t)i - 1] == b_end[-(ptrdiff_t)i - 1]) {
        i++;
    }
    return i;
}

#endif
