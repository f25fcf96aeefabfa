/* Strangers' packets: frames are cut out and decoded, and what was understood says the same again
 * when it is written and read once more. The input is a packet; versions that headers refer to
 * depend on the channel's number only. */
#include <stdlib.h>

#include "wire/native.h"

extern const hakuban_serializer_ops hakuban_serializer_json;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool previous_of(void *ctx, uint32_t channel, hkb_version *ret)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1000000007};
    (void)ctx;
    ret->count = channel % (HAKUBAN_VERSION_ELEMENTS_MAX + 1);
    for (size_t i = 0; i < ret->count; i++) {
        ret->elements[i] = edges[(channel + i) % HKB_COUNT(edges)];
    }
    return true;
}

static bool same_bytes(hakuban_slice a, hakuban_slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static bool same_message(const hkb_message *a, const hkb_message *b)
{
    bool descriptors = (!a->descriptor && !b->descriptor) ||
                       hakuban_descriptor_equal(a->descriptor, b->descriptor);
    return a->kind == b->kind && a->channel == b->channel && a->flags == b->flags &&
           a->capacity == b->capacity && descriptors && a->bytes == b->bytes &&
           a->sink_id == b->sink_id && a->freshness == b->freshness && a->source == b->source &&
           a->age_ns == b->age_ns && a->reason == b->reason &&
           hkb_version_compare(&a->version, &b->version) == 0 &&
           a->format_count == b->format_count && a->format_bytes == b->format_bytes &&
           a->check == b->check && a->total_bytes == b->total_bytes &&
           a->path_count == b->path_count && same_bytes(a->payload, b->payload);
}

/* Reads header and payload from copies of exactly their size, so that a sanitizer sees one byte too
 * many. */
static void understand(hkb_native *native, hkb_native *other, hakuban_slice header,
                       hakuban_slice payload)
{
    uint8_t *header_copy = malloc(header.bytes + 1), *payload_copy = malloc(payload.bytes + 1);
    hkb_message message, again;
    hakuban_error error;
    hkb_buffer out;
    if (!header_copy || !payload_copy) {
        abort();
    }
    if (header.bytes) {
        memcpy(header_copy, header.data, header.bytes);
    }
    if (payload.bytes) {
        memcpy(payload_copy, payload.data, payload.bytes);
    }
    memset(&error, 0xa5, sizeof(error));
    hkb_buffer_init(&out, hakuban_alloc_default(), 2 * HKB_FRAME_BYTES_MAX);
    hakuban_status status = hkb_native_decode(
        native, &hakuban_serializer_json, (hakuban_slice){header_copy, header.bytes},
        (hakuban_slice){payload_copy, payload.bytes}, previous_of, NULL, &message, &error);
    if (status != HAKUBAN_OK) {
        HKB_ASSERT(message.descriptor == NULL);
        HKB_ASSERT(error.status < 0 && memchr(error.text, 0, sizeof(error.text)));
    } else if (message.kind) {
        hkb_version previous;
        (void)previous_of(NULL, message.channel, &previous);
        status = hkb_native_encode(other, &hakuban_serializer_json, &message, &previous, &out);
        /* A text of control characters gets longer when it is written. */
        HKB_ASSERT(status == HAKUBAN_OK ||
                   (status == HAKUBAN_ERR_LIMIT && message.text.bytes > 2000));
        size_t frame;
        if (status == HAKUBAN_OK) {
            HKB_ASSERT(hkb_frame_next((hakuban_slice){out.data, out.bytes}, out.bytes, &frame,
                                      &header, &payload, &error) == HAKUBAN_OK);
            HKB_ASSERT(frame == out.bytes);
            HKB_ASSERT(hkb_native_decode(other, &hakuban_serializer_json, header, payload,
                                         previous_of, NULL, &again, &error) == HAKUBAN_OK);
            HKB_ASSERT(same_message(&message, &again));
            HKB_ASSERT(same_bytes(message.text, again.text));
            HKB_ASSERT(!message.path_count ||
                       memcmp(message.path, again.path,
                              message.path_count * sizeof(message.path[0])) == 0);
            hakuban_descriptor_unref(again.descriptor);
        }
    }
    hakuban_descriptor_unref(message.descriptor);
    hkb_buffer_done(&out);
    free(header_copy);
    free(payload_copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    hkb_native native, other;
    size_t taken = 0;
    hkb_native_init(&native, hakuban_alloc_default());
    hkb_native_init(&other, hakuban_alloc_default());
    while (taken < bytes) {
        hakuban_slice header, payload;
        hakuban_error error;
        size_t frame;
        if (hkb_frame_next((hakuban_slice){data + taken, bytes - taken}, HKB_FRAME_BYTES_MAX,
                           &frame, &header, &payload, &error) != HAKUBAN_OK ||
            frame == 0) {
            break;
        }
        HKB_ASSERT(frame <= bytes - taken);
        understand(&native, &other, header, payload);
        taken += frame;
    }
    /* Without a frame around it, so that no length stands in the way of finding something. */
    size_t header_bytes = bytes;
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == '\n') {
            header_bytes = i;
            break;
        }
    }
    if (bytes) {
        understand(&native, &other, (hakuban_slice){data, header_bytes},
                   (hakuban_slice){data + header_bytes, bytes - header_bytes});
    }
    hkb_native_done(&native);
    hkb_native_done(&other);
    return 0;
}
