/* The native encoding of messages. Only this file checks what a header may contain. It knows no
 * link. */
#include "wire/native.h"

/* flags in the low bits of a STATE's kind */
enum {
    STATE_FORMAT = 1,   /* names of formats follow; absent: those of the channel's last state */
    STATE_AGE = 2,      /* STALE, with its age; absent: LIVE */
    STATE_PARTS = 4,    /* the size of the whole payload follows; PARTs will follow */
    STATE_VERSION = 24, /* two bits: how the version is written */
    STATE_LEFT_OVER = 32,
    STATE_FLAGS = 63,
};
enum {
    VERSION_WHOLE = 0, /* an array of all elements */
    VERSION_LAST = 8,  /* one number: the last element's difference, all others as before */
    VERSION_CLOCK =
        16, /* one number: the difference of a clock in nanoseconds, carried into the element before
               it, which counts seconds: what changes in automatic versions */
    VERSION_DIFFERENCE =
        24, /* an array: how many elements are equal, then the differences of the others */
};

#define CHECK_BYTES 4u
#define NS_PER_US 1000u
#define NS_PER_S 1000000000
#define CLOCK_SECONDS_MAX 4000000000 /* a greater difference is not written as that of a clock */

void hkb_native_init(hkb_native *native, const hakuban_alloc *alloc)
{
    native->alloc = alloc;
    hakuban_writer_init(&native->writer, NULL, alloc, HKB_HEADER_BYTES_MAX);
}

void hkb_native_done(hkb_native *native)
{
    hakuban_writer_done(&native->writer);
}

/* -- Frames -- */

hakuban_status hkb_frame_next(hakuban_slice data, size_t frame_bytes_max, size_t *ret_bytes,
                              hakuban_slice *ret_header, hakuban_slice *ret_payload,
                              hakuban_error *reterr)
{
    const uint8_t *bytes = data.data;
    uint64_t frame, header;
    int n = hkb_varint_get(bytes, data.bytes, &frame);
    if (n < 0 || (n > 0 && frame > frame_bytes_max)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "a frame is larger than %zu bytes",
                                 frame_bytes_max);
    }
    if (n == 0 || data.bytes - (size_t)n < frame) {
        *ret_bytes = 0;
        return HAKUBAN_OK;
    }
    const uint8_t *body = bytes + n;
    int m = hkb_varint_get(body, (size_t)frame, &header);
    if (m <= 0 || header > frame - (size_t)m) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL,
                                 "a frame's header is longer than the frame");
    }
    *ret_bytes = (size_t)n + (size_t)frame;
    *ret_header = (hakuban_slice){body + m, (size_t)header};
    *ret_payload = (hakuban_slice){body + m + header, (size_t)frame - (size_t)m - (size_t)header};
    return HAKUBAN_OK;
}

/* Writes a frame of a header, a check and a payload. A payload that is sent by reference is left to
 * the caller. */
static hakuban_status put_frame(hkb_buffer *out, hakuban_slice header, hakuban_slice check,
                                hakuban_slice payload, bool by_reference)
{
    size_t body = hkb_varint_bytes(header.bytes) + header.bytes + check.bytes + payload.bytes;
    size_t here = by_reference ? body - payload.bytes : body;
    hakuban_status status = hkb_buffer_reserve(out, HKB_VARINT_BYTES_MAX + here);
    if (status < 0) {
        return status;
    }
    uint8_t *to = out->data + out->bytes;
    to += hkb_varint_put(to, body);
    to += hkb_varint_put(to, header.bytes);
    memcpy(to, header.data, header.bytes);
    to += header.bytes;
    if (check.bytes) {
        memcpy(to, check.data, check.bytes);
        to += check.bytes;
    }
    if (payload.bytes && !by_reference) {
        memcpy(to, payload.data, payload.bytes);
        to += payload.bytes;
    }
    out->bytes = (size_t)(to - out->data);
    return HAKUBAN_OK;
}

hakuban_status hkb_frame_put(hkb_buffer *out, hakuban_slice header, hakuban_slice payload)
{
    return put_frame(out, header, (hakuban_slice){NULL, 0}, payload, false);
}

/* -- Encoding -- */

static int64_t difference(int64_t to, int64_t from)
{
    return (int64_t)((uint64_t)to - (uint64_t)from);
}

static int64_t sum(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Whether element but_one counts nanoseconds and the element before it counts seconds. */
static bool is_clock(const hkb_version *version, size_t but_one)
{
    return but_one > 0 && version->elements[but_one] >= 0 && version->elements[but_one] < NS_PER_S;
}

/* The difference between the two clocks; or between the last but one elements if they are no
 * clocks. */
static bool clock_difference(const hkb_version *version, const hkb_version *previous, int64_t *ret)
{
    size_t but_one = version->count - 2;
    int64_t added = difference(version->elements[but_one], previous->elements[but_one]);
    if (is_clock(previous, but_one)) {
        int64_t seconds =
            difference(version->elements[but_one - 1], previous->elements[but_one - 1]);
        if (!is_clock(version, but_one) || seconds > CLOCK_SECONDS_MAX ||
            seconds < -CLOCK_SECONDS_MAX) {
            return false;
        }
        added += seconds * NS_PER_S;
    }
    *ret = added;
    return true;
}

static bool add_to_clock(hkb_version *version, int64_t added)
{
    size_t but_one = version->count - 2;
    int64_t *place = &version->elements[but_one];
    if (!is_clock(version, but_one)) {
        *place = sum(*place, added);
        return true;
    }
    if (added > INT64_MAX - NS_PER_S || added < INT64_MIN + NS_PER_S) {
        return false;
    }
    int64_t ns = *place + added, seconds = ns / NS_PER_S;
    ns %= NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        seconds--;
    }
    *place = ns;
    version->elements[but_one - 1] = sum(version->elements[but_one - 1], seconds);
    return true;
}

static unsigned version_mode(const hkb_version *version, const hkb_version *previous)
{
    int64_t unused;
    size_t count = version->count, shared = 0;
    if (!previous || previous->count == 0) {
        return VERSION_WHOLE;
    }
    if (previous->count != count) {
        return VERSION_DIFFERENCE;
    }
    while (shared < count && version->elements[shared] == previous->elements[shared]) {
        shared++;
    }
    if (shared + 1 == count) {
        return VERSION_LAST;
    }
    if (shared == count || version->elements[count - 1] != previous->elements[count - 1]) {
        return VERSION_DIFFERENCE;
    }
    bool only_clock = shared + 2 == count || (shared + 3 == count && is_clock(previous, count - 2));
    return only_clock && clock_difference(version, previous, &unused) ? VERSION_CLOCK
                                                                      : VERSION_DIFFERENCE;
}

static void write_version(hakuban_writer *writer, unsigned mode, const hkb_version *version,
                          const hkb_version *previous)
{
    size_t count = version->count, shared = 0;
    int64_t added;
    if (mode == VERSION_LAST) {
        hakuban_write_int(writer,
                          difference(version->elements[count - 1], previous->elements[count - 1]));
        return;
    }
    if (mode == VERSION_CLOCK && clock_difference(version, previous, &added)) {
        hakuban_write_int(writer, added);
        return;
    }
    if (mode == VERSION_DIFFERENCE) {
        while (shared < count && shared < previous->count &&
               version->elements[shared] == previous->elements[shared]) {
            shared++;
        }
        hakuban_write_array(writer, (uint32_t)(count - shared + 1));
        hakuban_write_uint(writer, shared);
    } else {
        hakuban_write_array(writer, (uint32_t)count);
    }
    for (size_t i = shared; i < count; i++) {
        bool from = mode == VERSION_DIFFERENCE && i < previous->count;
        hakuban_write_int(writer,
                          difference(version->elements[i], from ? previous->elements[i] : 0));
    }
    hakuban_write_end(writer);
}

static void write_version_whole(hakuban_writer *writer, const hkb_version *version)
{
    write_version(writer, VERSION_WHOLE, version, NULL);
}

static void write_descriptor(hakuban_writer *writer, const hakuban_descriptor *descriptor)
{
    hakuban_write_text(writer, descriptor->text, descriptor->json_bytes);
    const char *tag = hkb_descriptor_tags(descriptor);
    for (size_t i = 0; i < descriptor->tag_count; i++) {
        size_t bytes = strlen(tag);
        hakuban_write_text(writer, tag, bytes);
        tag += bytes + 1;
    }
}

static hakuban_status encode_state(hkb_native *native, const hkb_message *message,
                                   const hkb_version *previous, hkb_buffer *out)
{
    hakuban_writer *writer = &native->writer;
    unsigned mode = version_mode(&message->version, previous);
    bool parts = message->total_bytes > message->payload.bytes;
    bool stale = message->freshness == HAKUBAN_STALE;
    unsigned kind = HKB_MESSAGE_STATE | mode | (message->format ? STATE_FORMAT : 0u) |
                    (stale ? STATE_AGE : 0u) | (parts ? STATE_PARTS : 0u) |
                    (message->left_over ? STATE_LEFT_OVER : 0u);

    hakuban_write_array(writer, 3u + (message->format != NULL) + stale + parts);
    hakuban_write_uint(writer, kind);
    hakuban_write_uint(writer, message->channel);
    write_version(writer, mode, &message->version, previous);
    if (stale) {
        hakuban_write_uint(writer, message->age_ns / NS_PER_US);
    }
    if (parts) {
        hakuban_write_uint(writer, message->total_bytes);
    }
    if (message->format) {
        hakuban_write_array(writer, (uint32_t)message->format_count);
        const char *name = message->format;
        for (size_t i = 0; i < message->format_count; i++, name += strlen(name) + 1) {
            hakuban_write_string(writer, name);
        }
        hakuban_write_end(writer);
    }
    hakuban_write_end(writer);
    hakuban_status status = hakuban_writer_status(writer);
    if (status < 0) {
        return status;
    }
    uint8_t check[CHECK_BYTES];
    for (unsigned i = 0; i < CHECK_BYTES; i++) {
        check[i] = (uint8_t)(message->check >> (8 * i));
    }
    return put_frame(out, (hakuban_slice){writer->data, writer->bytes},
                     (hakuban_slice){check, sizeof(check)}, message->payload,
                     message->payload_of != NULL);
}

hakuban_status hkb_native_encode(hkb_native *native, const hakuban_serializer_ops *serializer,
                                 const hkb_message *message, const hkb_version *previous,
                                 hkb_buffer *out)
{
    hakuban_writer *writer = &native->writer;
    uint32_t tags = message->descriptor ? message->descriptor->tag_count : 0;
    size_t tail;

    writer->ops = serializer;
    hakuban_writer_reset(writer);
    switch (message->kind) {
    case HKB_MESSAGE_STATE:
        return encode_state(native, message, previous, out);
    case HKB_MESSAGE_ACK:
    case HKB_MESSAGE_MEMORY_LIMIT:
        hakuban_write_array(writer, 2);
        hakuban_write_uint(writer, message->kind);
        hakuban_write_uint(writer, message->bytes);
        break;
    case HKB_MESSAGE_PING:
    case HKB_MESSAGE_BYE:
        hakuban_write_array(writer, 1);
        hakuban_write_uint(writer, message->kind);
        break;
    case HKB_MESSAGE_ERROR:
    case HKB_MESSAGE_LISTED:
        hakuban_write_array(writer, 2);
        hakuban_write_uint(writer, message->kind);
        hakuban_write_text(writer, message->text.data, message->text.bytes);
        break;
    case HKB_MESSAGE_PATH:
        hakuban_write_array(writer, (uint32_t)(1 + 2 * message->path_count));
        hakuban_write_uint(writer, HKB_MESSAGE_PATH);
        for (size_t i = 0; i < message->path_count; i++) {
            hakuban_write_uint(writer, message->path[i][0]);
            hakuban_write_uint(writer, message->path[i][1]);
        }
        break;
    case HKB_MESSAGE_OBJECT:
        hakuban_write_array(writer, 4 + tags);
        hakuban_write_uint(writer, HKB_MESSAGE_OBJECT);
        hakuban_write_uint(writer, message->flags);
        hakuban_write_uint(writer, message->capacity);
        write_descriptor(writer, message->descriptor);
        break;
    case HKB_MESSAGE_TAG:
        hakuban_write_array(writer, 4);
        hakuban_write_uint(writer, HKB_MESSAGE_TAG);
        hakuban_write_uint(writer, message->flags);
        hakuban_write_uint(writer, message->capacity);
        hakuban_write_text(writer, message->text.data, message->text.bytes);
        break;
    case HKB_MESSAGE_LOAD_LIMIT:
        /* The first point is always (0, 0), and the reader adds it. */
        tail = message->load_limit->count ? message->load_limit->count - 1 : 0;
        hakuban_write_array(writer, (uint32_t)(1 + 2 * tail));
        hakuban_write_uint(writer, HKB_MESSAGE_LOAD_LIMIT);
        for (size_t i = 1; i <= tail; i++) {
            hakuban_write_uint(writer, message->load_limit->points[i].after_ns);
            hakuban_write_uint(writer, message->load_limit->points[i].limit);
        }
        break;
    case HKB_MESSAGE_STREAM_OPEN:
        hakuban_write_array(writer, 6 + tags);
        hakuban_write_uint(writer, HKB_MESSAGE_STREAM_OPEN);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->freshness);
        hakuban_write_uint(writer, message->source);
        hakuban_write_uint(writer, message->age_ns / NS_PER_US);
        write_descriptor(writer, message->descriptor);
        break;
    case HKB_MESSAGE_SINK_OPEN:
        hakuban_write_array(writer, 5 + tags);
        hakuban_write_uint(writer, HKB_MESSAGE_SINK_OPEN);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->sink_id);
        write_version_whole(writer, &message->version);
        write_descriptor(writer, message->descriptor);
        break;
    case HKB_MESSAGE_CLOSE:
        hakuban_write_array(writer, 3);
        hakuban_write_uint(writer, HKB_MESSAGE_CLOSE);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->reason);
        break;
    case HKB_MESSAGE_CLOSED:
    case HKB_MESSAGE_PART:
    case HKB_MESSAGE_RESEND:
        hakuban_write_array(writer, 2);
        hakuban_write_uint(writer, message->kind);
        hakuban_write_uint(writer, message->channel);
        break;
    case HKB_MESSAGE_HAVE:
    case HKB_MESSAGE_HOLDING:
        hakuban_write_array(writer, 2);
        hakuban_write_uint(writer, message->kind);
        hakuban_write_uint(writer, message->flags);
        break;
    case HKB_MESSAGE_BEGUN:
        hakuban_write_array(writer, 4);
        hakuban_write_uint(writer, HKB_MESSAGE_BEGUN);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->bytes);
        hakuban_write_uint(writer, message->hash);
        break;
    case HKB_MESSAGE_SKIP:
        hakuban_write_array(writer, 3);
        hakuban_write_uint(writer, HKB_MESSAGE_SKIP);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->bytes);
        break;
    case HKB_MESSAGE_SAME:
        hakuban_write_array(writer, 5);
        hakuban_write_uint(writer, HKB_MESSAGE_SAME);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->check);
        hakuban_write_uint(writer, message->freshness);
        hakuban_write_uint(writer, message->age_ns / NS_PER_US);
        break;
    case HKB_MESSAGE_CONDITION:
        hakuban_write_array(writer, 5);
        hakuban_write_uint(writer, HKB_MESSAGE_CONDITION);
        hakuban_write_uint(writer, message->channel);
        hakuban_write_uint(writer, message->freshness);
        hakuban_write_uint(writer, message->source);
        hakuban_write_uint(writer, message->age_ns / NS_PER_US);
        break;
    case HKB_MESSAGE_FLOOR:
        hakuban_write_array(writer, 3);
        hakuban_write_uint(writer, HKB_MESSAGE_FLOOR);
        hakuban_write_uint(writer, message->channel);
        write_version_whole(writer, &message->version);
        break;
    }
    hakuban_write_end(writer);
    hakuban_status status = hakuban_writer_status(writer);
    if (status < 0) {
        return status;
    }
    return put_frame(out, (hakuban_slice){writer->data, writer->bytes}, (hakuban_slice){NULL, 0},
                     message->payload, message->payload_of != NULL);
}

/* -- Decoding -- */

static hakuban_status bad(hakuban_error *reterr, const char *what)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "a message has a wrong %s", what);
}

static bool read_limited(hakuban_reader *reader, uint64_t max, uint64_t *ret)
{
    return hakuban_read_uint(reader, ret) >= 0 && *ret <= max;
}

static bool read_channel(hakuban_reader *reader, uint32_t *ret)
{
    uint64_t value;
    if (!read_limited(reader, UINT32_MAX, &value) || value == 0) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool read_age(hakuban_reader *reader, uint64_t *ret_ns)
{
    uint64_t age_us;
    if (!read_limited(reader, UINT64_MAX / NS_PER_US, &age_us)) {
        return false;
    }
    *ret_ns = age_us * NS_PER_US;
    return true;
}

static bool read_condition(hakuban_reader *reader, hkb_message *ret)
{
    uint64_t freshness, source;
    if (!read_limited(reader, HAKUBAN_STALE, &freshness) ||
        !read_limited(reader, HAKUBAN_SOURCE_AWAY, &source) || !read_age(reader, &ret->age_ns)) {
        return false;
    }
    ret->freshness = (hakuban_freshness)freshness;
    ret->source = (hakuban_source)source;
    return true;
}

/* Reads an array of differences, and adds them to the elements of previous from *shared on. */
static bool read_elements(hakuban_reader *reader, const hkb_version *previous, bool has_shared,
                          hkb_version *ret)
{
    uint32_t unused;
    uint64_t shared = 0;
    if (hakuban_read_array(reader, &unused) < 0) {
        return false;
    }
    if (has_shared && !read_limited(reader, previous->count, &shared)) {
        return false;
    }
    memcpy(ret->elements, previous->elements, (size_t)shared * sizeof(ret->elements[0]));
    ret->count = (size_t)shared;
    while (!hakuban_read_at_end(reader)) {
        int64_t element;
        if (ret->count == HAKUBAN_VERSION_ELEMENTS_MAX || hakuban_read_int(reader, &element) < 0) {
            return false;
        }
        bool from = has_shared && ret->count < previous->count;
        ret->elements[ret->count] = sum(element, from ? previous->elements[ret->count] : 0);
        ret->count++;
    }
    return hakuban_read_end(reader) >= 0;
}

/* previous NULL: it is not known, and *ret stays empty. */
static bool read_version(hakuban_reader *reader, unsigned mode, const hkb_version *previous,
                         hkb_version *ret)
{
    if (mode != VERSION_WHOLE && !previous) {
        return hakuban_read_skip(reader) >= 0;
    }
    if (mode == VERSION_WHOLE || mode == VERSION_DIFFERENCE) {
        return read_elements(reader, previous, mode == VERSION_DIFFERENCE, ret) && ret->count;
    }
    size_t from_end = mode == VERSION_LAST ? 1 : 2;
    int64_t element;
    if (previous->count < from_end || hakuban_read_int(reader, &element) < 0) {
        return false;
    }
    *ret = *previous;
    if (mode == VERSION_CLOCK) {
        return add_to_clock(ret, element);
    }
    int64_t *place = &ret->elements[ret->count - 1];
    *place = sum(*place, element);
    return true;
}

/* Copies the next text to the end of native->text, because the reader's text is valid only until
 * its next token. */
static hakuban_status read_text(hkb_native *native, size_t *used, hakuban_slice *ret,
                                hakuban_error *reterr)
{
    hakuban_slice text;
    if (hakuban_read_text(&native->reader, &text) < 0) {
        return bad(reterr, "text");
    }
    if (text.bytes > sizeof(native->text) - *used) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "a name is longer than %d bytes",
                                 HAKUBAN_DESCRIPTOR_BYTES_MAX);
    }
    if (text.bytes) {
        memcpy(native->text + *used, text.data, text.bytes);
    }
    *ret = (hakuban_slice){native->text + *used, text.bytes};
    *used += text.bytes;
    return HAKUBAN_OK;
}

static hakuban_status read_descriptor(hkb_native *native, hakuban_descriptor **ret,
                                      hakuban_error *reterr)
{
    size_t used = 0, tags = 0;
    hakuban_slice object;
    hakuban_status status = read_text(native, &used, &object, reterr);
    while (status >= 0 && !hakuban_read_at_end(&native->reader)) {
        if (tags == HAKUBAN_DESCRIPTOR_TAGS_MAX) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "an object has more than %d tags",
                                     HAKUBAN_DESCRIPTOR_TAGS_MAX);
        }
        status = read_text(native, &used, &native->tags[tags++], reterr);
    }
    if (status < 0) {
        return status;
    }
    return hkb_descriptor_new(native->alloc, object, native->tags, tags, ret, reterr);
}

static hakuban_status read_tag(hkb_native *native, hkb_message *ret, hakuban_error *reterr)
{
    hakuban_slice text;
    size_t bytes;
    if (hakuban_read_text(&native->reader, &text) < 0) {
        return bad(reterr, "tag");
    }
    hakuban_status status = hkb_tag_canonical(native->alloc, text, native->text, &bytes, reterr);
    ret->text = (hakuban_slice){native->text, bytes};
    return status;
}

static bool read_format(hkb_native *native, hkb_message *ret)
{
    uint32_t unused;
    if (hakuban_read_array(&native->reader, &unused) < 0) {
        return false;
    }
    while (!hakuban_read_at_end(&native->reader)) {
        hakuban_slice name;
        if (hakuban_read_text(&native->reader, &name) < 0 ||
            name.bytes >= sizeof(native->format) - ret->format_bytes) {
            return false;
        }
        char *to = native->format + ret->format_bytes;
        if (name.bytes) {
            memcpy(to, name.data, name.bytes);
        }
        to[name.bytes] = 0;
        ret->format_bytes += name.bytes + 1;
        ret->format_count++;
    }
    ret->format = native->format;
    return hakuban_read_end(&native->reader) >= 0 &&
           hkb_format_valid(ret->format, ret->format_count, ret->format_bytes);
}

static hakuban_status decode_state(hkb_native *native, unsigned kind, hakuban_slice payload,
                                   hkb_native_previous_fn previous_of, void *ctx, hkb_message *ret,
                                   hakuban_error *reterr)
{
    hakuban_reader *reader = &native->reader;
    hkb_version previous;
    previous.count = 0;
    bool known = true;
    ret->kind = HKB_MESSAGE_STATE;
    if (!read_channel(reader, &ret->channel)) {
        return bad(reterr, "channel");
    }
    if ((kind & STATE_VERSION) != VERSION_WHOLE) {
        known = previous_of(ctx, ret->channel, &previous);
    }
    if (!read_version(reader, kind & STATE_VERSION, known ? &previous : NULL, &ret->version)) {
        return bad(reterr, "version");
    }
    ret->freshness = HAKUBAN_LIVE;
    ret->left_over = (kind & STATE_LEFT_OVER) != 0;
    if (kind & STATE_AGE) {
        ret->freshness = HAKUBAN_STALE;
        if (!read_age(reader, &ret->age_ns)) {
            return bad(reterr, "age");
        }
    }
    if (payload.bytes < CHECK_BYTES) {
        return bad(reterr, "payload");
    }
    const uint8_t *check = payload.data;
    for (unsigned i = 0; i < CHECK_BYTES; i++) {
        ret->check |= (uint32_t)check[i] << (8 * i);
    }
    ret->payload = (hakuban_slice){check + CHECK_BYTES, payload.bytes - CHECK_BYTES};
    ret->total_bytes = ret->payload.bytes;
    if (kind & STATE_PARTS) {
        if (hakuban_read_uint(reader, &ret->total_bytes) < 0 ||
            ret->total_bytes <= ret->payload.bytes) {
            return bad(reterr, "size");
        }
    }
    if ((kind & STATE_FORMAT) && !read_format(native, ret)) {
        return bad(reterr, "format");
    }
    return HAKUBAN_OK;
}

static hakuban_status decode_fields(hkb_native *native, uint64_t kind, hakuban_slice payload,
                                    hkb_native_previous_fn previous, void *ctx, hkb_message *ret,
                                    hakuban_error *reterr)
{
    static const hkb_version none;
    hakuban_reader *reader = &native->reader;
    uint64_t value, limit;

    if (kind >= HKB_MESSAGE_STATE && kind <= (HKB_MESSAGE_STATE | STATE_FLAGS)) {
        return decode_state(native, (unsigned)kind, payload, previous, ctx, ret, reterr);
    }
    if (kind > HKB_MESSAGE_SKIP) {
        return HAKUBAN_OK; /* a flag of a later release is ignored */
    }
    ret->kind = (hkb_message_kind)kind;
    switch (ret->kind) {
    case HKB_MESSAGE_ACK:
    case HKB_MESSAGE_MEMORY_LIMIT:
        if (hakuban_read_uint(reader, &ret->bytes) < 0) {
            return bad(reterr, "count");
        }
        return HAKUBAN_OK;
    case HKB_MESSAGE_PING:
    case HKB_MESSAGE_BYE:
        return HAKUBAN_OK;
    case HKB_MESSAGE_ERROR: {
        size_t used = 0;
        return read_text(native, &used, &ret->text, reterr);
    }
    case HKB_MESSAGE_PATH:
        ret->path = native->path;
        while (!hakuban_read_at_end(reader)) {
            uint64_t *node = native->path[ret->path_count];
            if (ret->path_count == HKB_PATH_NODES_MAX || hakuban_read_uint(reader, &node[0]) < 0 ||
                hakuban_read_uint(reader, &node[1]) < 0) {
                return bad(reterr, "path");
            }
            ret->path_count++;
        }
        return HAKUBAN_OK;
    case HKB_MESSAGE_OBJECT:
    case HKB_MESSAGE_TAG:
        if (!read_limited(reader, UINT32_MAX, &value) ||
            !read_limited(reader, UINT32_MAX, &limit)) {
            return bad(reterr, "registration");
        }
        ret->flags = (uint32_t)value;
        ret->capacity = (uint32_t)limit;
        return ret->kind == HKB_MESSAGE_TAG ? read_tag(native, ret, reterr)
                                            : read_descriptor(native, &ret->descriptor, reterr);
    case HKB_MESSAGE_LOAD_LIMIT:
        ret->load_limit = &native->load_limit;
        native->load_limit.count = 0;
        while (!hakuban_read_at_end(reader)) {
            hkb_load_point point;
            if (hakuban_read_uint(reader, &point.after_ns) < 0 ||
                !read_limited(reader, UINT32_MAX, &limit)) {
                return bad(reterr, "load limit");
            }
            point.limit = (uint32_t)limit;
            if (hkb_load_limit_add(&native->load_limit, point) < 0) {
                return bad(reterr, "load limit");
            }
        }
        return HAKUBAN_OK;
    case HKB_MESSAGE_STREAM_OPEN:
        if (!read_channel(reader, &ret->channel)) {
            return bad(reterr, "channel");
        }
        if (!read_condition(reader, ret)) {
            return bad(reterr, "condition");
        }
        return read_descriptor(native, &ret->descriptor, reterr);
    case HKB_MESSAGE_SINK_OPEN:
        if (!read_channel(reader, &ret->channel)) {
            return bad(reterr, "channel");
        }
        if (hakuban_read_uint(reader, &ret->sink_id) < 0 ||
            !read_elements(reader, &none, false, &ret->version)) {
            return bad(reterr, "floor");
        }
        return read_descriptor(native, &ret->descriptor, reterr);
    case HKB_MESSAGE_CLOSE:
        if (!read_channel(reader, &ret->channel) || !read_limited(reader, 255, &value)) {
            return bad(reterr, "channel");
        }
        ret->reason = (hkb_close_reason)value;
        return HAKUBAN_OK;
    case HKB_MESSAGE_CLOSED:
    case HKB_MESSAGE_RESEND:
        return read_channel(reader, &ret->channel) ? HAKUBAN_OK : bad(reterr, "channel");
    case HKB_MESSAGE_PART:
        ret->payload = payload;
        return read_channel(reader, &ret->channel) ? HAKUBAN_OK : bad(reterr, "channel");
    case HKB_MESSAGE_LISTED:
        return read_tag(native, ret, reterr);
    case HKB_MESSAGE_HAVE:
    case HKB_MESSAGE_HOLDING:
        if (!read_limited(reader, UINT32_MAX, &value)) {
            return bad(reterr, "list of names");
        }
        ret->flags = (uint32_t)value;
        ret->payload = payload;
        return HAKUBAN_OK;
    case HKB_MESSAGE_BEGUN:
        return read_channel(reader, &ret->channel) && hakuban_read_uint(reader, &ret->bytes) >= 0 &&
                       hakuban_read_uint(reader, &ret->hash) >= 0
                   ? HAKUBAN_OK
                   : bad(reterr, "beginning");
    case HKB_MESSAGE_SKIP:
        return read_channel(reader, &ret->channel) && hakuban_read_uint(reader, &ret->bytes) >= 0
                   ? HAKUBAN_OK
                   : bad(reterr, "beginning");
    case HKB_MESSAGE_SAME:
        if (!read_channel(reader, &ret->channel)) {
            return bad(reterr, "channel");
        }
        if (!read_limited(reader, UINT32_MAX, &value) ||
            !read_limited(reader, HAKUBAN_STALE, &limit) ||
            !read_limited(reader, UINT64_MAX / NS_PER_US, &ret->age_ns)) {
            return bad(reterr, "condition");
        }
        ret->check = (uint32_t)value;
        ret->freshness = (hakuban_freshness)limit;
        ret->age_ns *= NS_PER_US;
        return HAKUBAN_OK;
    case HKB_MESSAGE_CONDITION:
        if (!read_channel(reader, &ret->channel)) {
            return bad(reterr, "channel");
        }
        return read_condition(reader, ret) ? HAKUBAN_OK : bad(reterr, "condition");
    case HKB_MESSAGE_FLOOR:
        if (!read_channel(reader, &ret->channel)) {
            return bad(reterr, "channel");
        }
        if (!read_elements(reader, &none, false, &ret->version) || ret->version.count == 0) {
            return bad(reterr, "floor");
        }
        return HAKUBAN_OK;
    case HKB_MESSAGE_STATE:
        break;
    }
    ret->kind = (hkb_message_kind)0; /* a kind of a later release is ignored */
    return HAKUBAN_OK;
}

hakuban_status hkb_native_decode(hkb_native *native, const hakuban_serializer_ops *serializer,
                                 hakuban_slice header, hakuban_slice payload,
                                 hkb_native_previous_fn previous, void *ctx, hkb_message *ret,
                                 hakuban_error *reterr)
{
    hakuban_reader *reader = &native->reader;
    uint32_t unused;
    uint64_t kind;

    hkb_message_init(ret, (hkb_message_kind)0);
    hakuban_reader_init(reader, serializer, native->alloc, header.data, header.bytes,
                        HKB_MESSAGE_ELEMENTS_MAX);
    hakuban_status status = HAKUBAN_OK;
    if (hakuban_read_array(reader, &unused) < 0 || hakuban_read_uint(reader, &kind) < 0) {
        status = bad(reterr, "header");
    }
    if (status >= 0) {
        status = decode_fields(native, kind, payload, previous, ctx, ret, reterr);
    }
    /* A later release may add fields at the end. */
    while (status >= 0 && !hakuban_read_at_end(reader)) {
        if (hakuban_read_skip(reader) < 0) {
            status = bad(reterr, "ending");
        }
    }
    if (status >= 0 && hakuban_read_end(reader) < 0) {
        status = bad(reterr, "ending");
    }
    if (status < 0 && reader->error.status == HAKUBAN_ERR_NO_MEMORY) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    if (status < 0) {
        ret->descriptor = hakuban_descriptor_unref(ret->descriptor);
    }
    hakuban_reader_done(reader);
    return status;
}
