/* Growing buffers with a maximum, and variable-length integers. */
#ifndef HKB_BASE_BYTES_H
#define HKB_BASE_BYTES_H

#include "base/base.h"

/* Bytes under construction. More than bytes_max is ERR_LIMIT. A zeroed buffer is valid and empty.
 */
typedef struct hkb_buffer {
    const hakuban_alloc *alloc;
    uint8_t *data;
    size_t bytes, capacity, bytes_max;
} hkb_buffer;

void hkb_buffer_init(hkb_buffer *buffer, const hakuban_alloc *alloc, size_t bytes_max);
void hkb_buffer_done(hkb_buffer *buffer);
/* Makes room for bytes more behind those that are there. ERR_LIMIT, ERR_NO_MEMORY. */
hakuban_status hkb_buffer_reserve(hkb_buffer *buffer, size_t bytes);
hakuban_status hkb_buffer_append(hkb_buffer *buffer, const void *data, size_t bytes);

/* Takes a reference for the owner of the counter *held. The owner's first reference adds the bytes
 * to *held, its last one subtracts them. Not for two threads at a time. */
hakuban_bytes *hkb_bytes_hold(hakuban_bytes *bytes, size_t *held);
void hkb_bytes_release(hakuban_bytes *bytes, size_t *held);

/* New bytes of the given size. The caller fills them before it shares them: from then on they are
 * constant. */
hakuban_status hkb_bytes_new_empty(const hakuban_alloc *alloc, size_t bytes, hakuban_bytes **ret,
                                   uint8_t **ret_data);

/* LEB128, at most 10 bytes. */
#define HKB_VARINT_BYTES_MAX 10
static inline size_t hkb_varint_put(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}
static inline size_t hkb_varint_bytes(uint64_t value)
{
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}
/* Returns how many bytes the number takes; 0: more bytes are needed; -1: it is longer than 64 bits.
 */
static inline int hkb_varint_get(const uint8_t *data, size_t bytes, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t n = 0; n < bytes && n < HKB_VARINT_BYTES_MAX; n++) {
        if (n == HKB_VARINT_BYTES_MAX - 1 && data[n] > 1) {
            return -1;
        }
        value |= (uint64_t)(data[n] & 0x7f) << (7 * n);
        if (!(data[n] & 0x80)) {
            *ret = value;
            return (int)n + 1;
        }
    }
    return bytes >= HKB_VARINT_BYTES_MAX ? -1 : 0;
}
static inline uint64_t hkb_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}
static inline int64_t hkb_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
