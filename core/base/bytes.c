/* Shared immutable bytes, and buffers that grow up to a maximum. */
#include "base/bytes.h"

#include <stdatomic.h>

struct hakuban_bytes {
    atomic_uint references;
    unsigned holders; /* references that hkb_bytes_hold() counts */
    const hakuban_alloc *alloc;
    size_t bytes;
    uint8_t data[];
};

hakuban_status hkb_bytes_new_empty(const hakuban_alloc *alloc, size_t bytes, hakuban_bytes **ret,
                                   uint8_t **ret_data)
{
    if (bytes > SIZE_MAX - sizeof(hakuban_bytes)) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hakuban_bytes *made = hkb_alloc_unset(alloc, sizeof(*made) + bytes);
    if (!made) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    atomic_init(&made->references, 1);
    made->holders = 0;
    made->alloc = alloc;
    made->bytes = bytes;
    *ret = made;
    *ret_data = made->data;
    return HAKUBAN_OK;
}

hakuban_status hakuban_bytes_new(const hakuban_alloc *alloc, const void *data, size_t bytes,
                                 hakuban_bytes **ret_bytes)
{
    if (!ret_bytes || (!data && bytes)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    uint8_t *room;
    hakuban_status status = hkb_bytes_new_empty(alloc, bytes, ret_bytes, &room);
    if (status >= 0 && bytes) {
        memcpy(room, data, bytes);
    }
    return status;
}

hakuban_bytes *hakuban_bytes_ref(hakuban_bytes *bytes)
{
    if (bytes) {
        atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
    }
    return bytes;
}

hakuban_bytes *hakuban_bytes_unref(hakuban_bytes *bytes)
{
    if (bytes && atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel) == 1) {
        hkb_free(bytes->alloc, bytes, sizeof(*bytes) + bytes->bytes);
    }
    return NULL;
}

hakuban_bytes *hkb_bytes_hold(hakuban_bytes *bytes, size_t *held)
{
    if (bytes->holders++ == 0) {
        *held += sizeof(*bytes) + bytes->bytes;
    }
    return hakuban_bytes_ref(bytes);
}

void hkb_bytes_release(hakuban_bytes *bytes, size_t *held)
{
    if (--bytes->holders == 0) {
        *held -= sizeof(*bytes) + bytes->bytes;
    }
    hakuban_bytes_unref(bytes);
}

hakuban_slice hakuban_bytes_slice(const hakuban_bytes *bytes)
{
    if (!bytes) {
        return (hakuban_slice){NULL, 0};
    }
    return (hakuban_slice){bytes->data, bytes->bytes};
}

void hkb_buffer_init(hkb_buffer *buffer, const hakuban_alloc *alloc, size_t bytes_max)
{
    *buffer = (hkb_buffer){.alloc = alloc, .bytes_max = bytes_max};
}

void hkb_buffer_done(hkb_buffer *buffer)
{
    hkb_free(buffer->alloc, buffer->data, buffer->capacity);
    *buffer = (hkb_buffer){.alloc = buffer->alloc, .bytes_max = buffer->bytes_max};
}

hakuban_status hkb_buffer_reserve(hkb_buffer *buffer, size_t bytes)
{
    if (HKB_LIKELY(bytes <= buffer->capacity - buffer->bytes &&
                   bytes <= buffer->bytes_max - buffer->bytes)) {
        return HAKUBAN_OK;
    }
    if (buffer->bytes > buffer->bytes_max || bytes > buffer->bytes_max - buffer->bytes) {
        return HAKUBAN_ERR_LIMIT;
    }
    /* The first allocation is large enough for a short message, so that buffers rarely grow; the
     * last one has no more bytes than will be needed. */
    size_t wanted = hkb_min(hkb_max(buffer->capacity * 2, 64), buffer->bytes_max);
    return hkb_resize(buffer->alloc, &buffer->data, 1, &buffer->capacity,
                      hkb_max(buffer->bytes + bytes, wanted));
}

hakuban_status hkb_buffer_append(hkb_buffer *buffer, const void *data, size_t bytes)
{
    hakuban_status status = hkb_buffer_reserve(buffer, bytes);
    if (status >= 0 && bytes) {
        memcpy(buffer->data + buffer->bytes, data, bytes);
        buffer->bytes += bytes;
    }
    return status;
}
