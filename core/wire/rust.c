/* Encodes and decodes the Rust implementation's events. Only this file checks what an event may
 * contain. It knows no link. */
#include "wire/rust.h"

#include "json/json.h"

/* bincode's numbers: one byte up to SINGLE_MAX, else a marker and so many bytes, the lowest first.
 */
enum { SINGLE_MAX = 250, MARK_16 = 251, MARK_32 = 252, MARK_64 = 253 };

enum { EXCHANGE_ACTION = 0, OBJECT_ACTION = 1, TAG_ACTION = 2 }; /* inside HKB_RUST_UPWARDS */
enum { ACTION_NAME = 0, ACTION_LOAD_LIMIT = 1 };                 /* inside EXCHANGE_ACTION */
enum { ACTION_PATCH = 0, ACTION_SYNCHRONIZED = 1 };              /* inside HKB_RUST_STATES */
enum {
    CONTRACT_ACTIONS = HKB_RUST_CAPACITY - HKB_RUST_OBSERVE + 1
}; /* inside OBJECT_ACTION and TAG_ACTION */
enum { CHANNEL_TYPES = HKB_RUST_STREAM - HKB_RUST_CONTROL_UPWARDS + 1 };

#define NS_PER_US 1000u
#define NS_PER_S 1e9

/* -- Reading -- */

/* Fills in an error with the place in the event. */
static hakuban_status bad(const hkb_rust_reader *reader, hakuban_error *reterr, const char *what)
{
    size_t at = (size_t)(reader->at - reader->begin);
    return hkb_error_at(reterr, HAKUBAN_ERR_PROTOCOL, at, 0, 0, "byte %zu: %s", at, what);
}

static hakuban_status too_much(const hkb_rust_reader *reader, hakuban_error *reterr,
                               const char *what)
{
    size_t at = (size_t)(reader->at - reader->begin);
    return hkb_error_at(reterr, HAKUBAN_ERR_LIMIT, at, 0, 0, "byte %zu: %s", at, what);
}

static size_t left(const hkb_rust_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static uint64_t load(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

/* Reads a number; one above max is an error. */
static bool read_number(hkb_rust_reader *reader, uint64_t max, uint64_t *ret)
{
    if (left(reader) == 0) {
        return false;
    }
    uint8_t first = *reader->at;
    size_t bytes = 0;
    uint64_t value = first;
    if (first > SINGLE_MAX) {
        if (first > MARK_64 || (first == MARK_64 && max <= UINT32_MAX)) {
            return false;
        }
        bytes = (size_t)2 << (first - MARK_16);
        if (left(reader) - 1 < bytes) {
            return false;
        }
        value = load(reader->at + 1, bytes);
    }
    if (value > max) {
        return false;
    }
    reader->at += 1 + bytes;
    *ret = value;
    return true;
}

static hakuban_status read_variant(hkb_rust_reader *reader, uint32_t count, const char *what,
                                   uint32_t *ret, hakuban_error *reterr)
{
    uint64_t value;
    if (!read_number(reader, count - 1, &value)) {
        return bad(reader, reterr, what);
    }
    *ret = (uint32_t)value;
    return HAKUBAN_OK;
}

/* Reads a length and as many bytes, all of which must be there. */
static hakuban_status read_bytes(hkb_rust_reader *reader, const char *what, hakuban_slice *ret,
                                 hakuban_error *reterr)
{
    uint64_t bytes;
    if (!read_number(reader, UINT64_MAX, &bytes) || bytes > left(reader)) {
        return bad(reader, reterr, what);
    }
    *ret = (hakuban_slice){reader->at, (size_t)bytes};
    reader->at += bytes;
    return HAKUBAN_OK;
}

static hakuban_status read_text(hkb_rust_reader *reader, hakuban_slice *ret, hakuban_error *reterr)
{
    hakuban_slice text;
    hakuban_status status = read_bytes(reader, "a text is longer than the message", &text, reterr);
    if (status < 0) {
        return status;
    }
    reader->at -= text.bytes; /* the error names the text's beginning */
    if (text.bytes > HKB_RUST_TEXT_BYTES_MAX) {
        return too_much(reader, reterr, "a text is longer than 16384 bytes");
    }
    if (!hkb_utf8_valid(text.data, text.bytes)) {
        return bad(reader, reterr, "a text is not UTF-8");
    }
    reader->at += text.bytes;
    *ret = text;
    return HAKUBAN_OK;
}

/* Reads a count of items, each of which has at least one byte. */
static hakuban_status read_count(hkb_rust_reader *reader, const char *what, uint64_t *ret,
                                 hakuban_error *reterr)
{
    if (!read_number(reader, UINT64_MAX, ret) || *ret > left(reader)) {
        return bad(reader, reterr, what);
    }
    return HAKUBAN_OK;
}

/* Adds the place in the event to the error of a descriptor. */
static hakuban_status in_place(const hkb_rust_reader *reader, hakuban_status status,
                               const hakuban_error *error, hakuban_error *reterr)
{
    if (status >= 0 || status == HAKUBAN_ERR_NO_MEMORY) {
        return status >= 0 ? status : hakuban_error_set(reterr, status, "out of memory");
    }
    size_t at = (size_t)(reader->at - reader->begin);
    return hkb_error_at(reterr, status, at, 0, 0, "before byte %zu: %s", at, error->text);
}

static hakuban_status read_descriptor(hkb_rust_reader *reader, hakuban_descriptor **ret,
                                      hakuban_error *reterr)
{
    hkb_rust *rust = reader->rust;
    uint64_t tags;
    hakuban_slice object;
    hakuban_error error;
    hakuban_status status = read_count(reader, "a wrong number of tags", &tags, reterr);
    if (status >= 0 && tags > HAKUBAN_DESCRIPTOR_TAGS_MAX) {
        status = too_much(reader, reterr, "an object has more than 64 tags");
    }
    for (size_t i = 0; status >= 0 && i < tags; i++) {
        status = read_text(reader, &rust->tags[i], reterr);
    }
    if (status >= 0) {
        status = read_text(reader, &object, reterr);
    }
    if (status < 0) {
        return status;
    }
    status = hkb_descriptor_new(rust->alloc, object, rust->tags, (size_t)tags, ret, &error);
    return in_place(reader, status, &error, reterr);
}

static hakuban_status read_tag(hkb_rust_reader *reader, hakuban_slice *ret, hakuban_error *reterr)
{
    hakuban_slice text;
    hakuban_error error;
    size_t bytes = 0;
    hakuban_status status = read_text(reader, &text, reterr);
    if (status < 0) {
        return status;
    }
    status = hkb_tag_canonical(reader->rust->alloc, text, reader->rust->tag, &bytes, &error);
    *ret = (hakuban_slice){reader->rust->tag, bytes};
    return in_place(reader, status, &error, reterr);
}

static hakuban_status read_load_limit(hkb_rust_reader *reader, hkb_load_limit *limit,
                                      hakuban_error *reterr)
{
    uint64_t count, value;
    hakuban_status status = read_count(reader, "a wrong number of points", &count, reterr);
    if (status < 0) {
        return status;
    }
    limit->count = 0;
    for (; count; count--) {
        if (left(reader) < 4) {
            return bad(reader, reterr, "a load limit ends early");
        }
        uint32_t bits = (uint32_t)load(reader->at, 4);
        float seconds;
        memcpy(&seconds, &bits, sizeof(seconds));
        if (!(seconds >= 0.0f && seconds <= HKB_RUST_DURATION_S_MAX)) { /* also refuses NaN */
            return bad(reader, reterr, "a load limit's time is not between 0 and ten years");
        }
        reader->at += 4;
        if (!read_number(reader, UINT32_MAX, &value)) {
            return bad(reader, reterr, "a wrong load limit");
        }
        hkb_load_point point = {.after_ns = (uint64_t)((double)seconds * NS_PER_S + 0.5),
                                .limit = (uint32_t)value};
        if (hkb_load_limit_add(limit, point) < 0) {
            return too_much(reader, reterr, "a load limit has more than 63 points");
        }
    }
    return HAKUBAN_OK;
}

static hakuban_status read_version(hkb_rust_reader *reader, hkb_version *ret, hakuban_error *reterr)
{
    uint64_t count, element;
    hakuban_status status =
        read_count(reader, "a wrong number of a version's elements", &count, reterr);
    if (status < 0) {
        return status;
    }
    if (count == 0) {
        return bad(reader, reterr, "a version without elements");
    }
    if (count > HAKUBAN_VERSION_ELEMENTS_MAX) {
        return too_much(reader, reterr, "a version has more than 16 elements");
    }
    for (ret->count = 0; ret->count < count; ret->count++) {
        if (!read_number(reader, UINT64_MAX, &element)) {
            return bad(reader, reterr, "a wrong element of a version");
        }
        ret->elements[ret->count] = hkb_unzigzag(element);
    }
    return HAKUBAN_OK;
}

static hakuban_status read_format(hkb_rust_reader *reader, hkb_message *ret, hakuban_error *reterr)
{
    char *format = reader->rust->format;
    uint64_t count;
    if (left(reader) == 0 || *reader->at > 1) {
        return bad(reader, reterr, "neither a format nor none");
    }
    if (*reader->at++ == 0) {
        return HAKUBAN_OK;
    }
    hakuban_status status = read_count(reader, "a wrong number of format names", &count, reterr);
    for (; status >= 0 && count; count--) {
        hakuban_slice name;
        status = read_text(reader, &name, reterr);
        if (status < 0) {
            break;
        }
        if (ret->format_count == HAKUBAN_FORMAT_NAMES_MAX ||
            name.bytes >= HAKUBAN_FORMAT_BYTES_MAX - ret->format_bytes) {
            return too_much(reader, reterr, "a format is longer than 16 names or 255 bytes");
        }
        if (name.bytes && memchr(name.data, 0, name.bytes)) {
            return bad(reader, reterr, "a format's name with a zero byte");
        }
        if (name.bytes) {
            memcpy(format + ret->format_bytes, name.data, name.bytes);
        }
        ret->format_bytes += name.bytes;
        format[ret->format_bytes++] = 0;
        ret->format_count++;
    }
    ret->format = format;
    return status;
}

/* Reads an age; 0: now. A greater age than the type can hold becomes the greatest. */
static hakuban_status read_age(hkb_rust_reader *reader, hkb_message *ret, hakuban_error *reterr)
{
    uint64_t age_us;
    if (!read_number(reader, UINT64_MAX, &age_us)) {
        return bad(reader, reterr, "a wrong age");
    }
    ret->freshness = age_us ? HAKUBAN_STALE : HAKUBAN_LIVE;
    ret->age_ns =
        age_us > UINT64_MAX / NS_PER_US ? UINT64_MAX / NS_PER_US * NS_PER_US : age_us * NS_PER_US;
    return HAKUBAN_OK;
}

static hakuban_status read_state(hkb_rust_reader *reader, hkb_rust_action *ret,
                                 hakuban_error *reterr)
{
    hkb_message *message = &ret->message;
    uint32_t variant = 0;
    hakuban_status status =
        read_variant(reader, 2, "an unknown action on a state", &variant, reterr);
    if (status < 0) {
        return status;
    }
    if (variant == ACTION_SYNCHRONIZED) {
        ret->kind = HKB_RUST_SYNCHRONIZED;
        message->kind = HKB_MESSAGE_CONDITION;
        return read_age(reader, message, reterr);
    }
    ret->kind = HKB_RUST_PATCH;
    message->kind = HKB_MESSAGE_STATE;
    status = read_version(reader, &message->version, reterr);
    if (status >= 0) {
        status = read_format(reader, message, reterr);
    }
    if (status >= 0) {
        status = read_bytes(reader, "a difference is longer than the message", &message->payload,
                            reterr);
    }
    message->total_bytes = message->payload.bytes;
    return status >= 0 ? read_age(reader, message, reterr) : status;
}

static hakuban_status read_exchange(hkb_rust_reader *reader, hkb_rust_action *ret,
                                    hakuban_error *reterr)
{
    uint32_t variant = 0;
    hakuban_status status =
        read_variant(reader, 2, "an unknown action on an exchange", &variant, reterr);
    if (status < 0) {
        return status;
    }
    if (variant == ACTION_NAME) {
        ret->kind = HKB_RUST_NAME;
        return read_text(reader, &ret->message.text, reterr);
    }
    ret->kind = HKB_RUST_LOAD_LIMIT;
    ret->message.kind = HKB_MESSAGE_LOAD_LIMIT;
    ret->message.load_limit = &reader->rust->load_limit;
    return read_load_limit(reader, &reader->rust->load_limit, reterr);
}

static hakuban_status read_contract(hkb_rust_reader *reader, bool of_tag, hkb_rust_action *ret,
                                    hakuban_error *reterr)
{
    hkb_message *message = &ret->message;
    uint32_t variant = 0;
    uint64_t capacity;
    hakuban_status status =
        read_variant(reader, CONTRACT_ACTIONS, "an unknown action on a contract", &variant, reterr);
    if (status < 0) {
        return status;
    }
    ret->kind = (hkb_rust_action_kind)(HKB_RUST_OBSERVE + variant);
    message->kind = of_tag ? HKB_MESSAGE_TAG : HKB_MESSAGE_OBJECT;
    status = of_tag ? read_tag(reader, &message->text, reterr)
                    : read_descriptor(reader, &message->descriptor, reterr);
    if (status < 0 || (ret->kind != HKB_RUST_EXPOSE && ret->kind != HKB_RUST_CAPACITY)) {
        return status;
    }
    if (!read_number(reader, UINT32_MAX, &capacity)) {
        return bad(reader, reterr, "a wrong capacity");
    }
    message->capacity = (uint32_t)capacity;
    return HAKUBAN_OK;
}

static hakuban_status read_initialize(hkb_rust_reader *reader, hkb_rust_action *ret,
                                      hakuban_error *reterr)
{
    uint32_t variant = 0;
    hakuban_status status =
        read_variant(reader, 1, "an unknown action on a new channel", &variant, reterr);
    if (status >= 0) {
        status =
            read_variant(reader, CHANNEL_TYPES, "an unknown type of channel", &variant, reterr);
    }
    if (status < 0) {
        return status;
    }
    ret->kind = (hkb_rust_action_kind)(HKB_RUST_CONTROL_UPWARDS + variant);
    if (ret->kind != HKB_RUST_SINK && ret->kind != HKB_RUST_STREAM) {
        return HAKUBAN_OK;
    }
    ret->message.kind =
        ret->kind == HKB_RUST_SINK ? HKB_MESSAGE_SINK_OPEN : HKB_MESSAGE_STREAM_OPEN;
    return read_descriptor(reader, &ret->message.descriptor, reterr);
}

static hakuban_status read_control(hkb_rust_reader *reader, hkb_rust_action *ret,
                                   hakuban_error *reterr)
{
    uint32_t variant = 0, known = reader->message == HKB_RUST_UPWARDS ? 3 : 1;
    hakuban_status status =
        read_variant(reader, known, "an unknown action on a control channel", &variant, reterr);
    if (status < 0) {
        return status;
    }
    return variant == EXCHANGE_ACTION ? read_exchange(reader, ret, reterr)
                                      : read_contract(reader, variant == TAG_ACTION, ret, reterr);
}

hakuban_status hkb_rust_read_action(hkb_rust_reader *reader, hkb_rust_action *ret,
                                    hakuban_error *reterr)
{
    hakuban_status status = HAKUBAN_OK;
    hkb_message_init(&ret->message, (hkb_message_kind)0);
    ret->kind = HKB_RUST_NO_ACTION;
    if (reader->actions_left == 0) {
        return HAKUBAN_OK;
    }
    reader->actions_left--;
    switch (reader->message) {
    case HKB_RUST_UNINITIALIZED:
        status = read_initialize(reader, ret, reterr);
        break;
    case HKB_RUST_UPWARDS:
    case HKB_RUST_DOWNWARDS:
        status = read_control(reader, ret, reterr);
        break;
    case HKB_RUST_STATES:
        status = read_state(reader, ret, reterr);
        break;
    }
    if (status < 0) {
        ret->message.descriptor = hakuban_descriptor_unref(ret->message.descriptor);
        reader->actions_left = 0;
    }
    return status;
}

hakuban_status hkb_rust_read_event(hkb_rust_reader *reader, hkb_rust *rust, hakuban_slice data,
                                   hkb_rust_event *ret, hakuban_error *reterr)
{
    uint32_t variant = 0;
    uint64_t number;
    memset(ret, 0, sizeof(*ret));
    *reader = (hkb_rust_reader){.rust = rust,
                                .begin = data.data,
                                .at = data.data,
                                .end = (const uint8_t *)data.data + data.bytes};
    if (data.bytes > HKB_RUST_EVENT_BYTES_MAX) {
        return too_much(reader, reterr, "a message is larger than 64 MiB");
    }
    hakuban_status status = read_variant(reader, 3, "an unknown event", &variant, reterr);
    if (status < 0) {
        return status;
    }
    ret->kind = (hkb_rust_event_kind)variant;
    status = read_variant(reader, 2, "a channel of unknown origin", &variant, reterr);
    if (status < 0) {
        return status;
    }
    ret->channel.of_client = variant == 1;
    const uint8_t *at = reader->at;
    if (!read_number(reader, UINT64_MAX, &number)) {
        return bad(reader, reterr, "a wrong channel number");
    }
    if (number == 0) {
        reader->at = at;
        return bad(reader, reterr, "channel number 0");
    }
    if (number >= UINT32_MAX) {
        return too_much(reader, reterr, "a channel number above 4294967294");
    }
    ret->channel.number = (uint32_t)number;
    if (ret->kind != HKB_RUST_MESSAGE) {
        return HAKUBAN_OK;
    }
    status = read_variant(reader, 4, "an unknown kind of message", &variant, reterr);
    if (status < 0) {
        return status;
    }
    reader->message = ret->message = (hkb_rust_message_kind)variant;
    if (ret->message != HKB_RUST_STATES && data.bytes > HKB_RUST_CONTROL_BYTES_MAX) {
        return too_much(reader, reterr, "a message that is no state is larger than 16 MiB");
    }
    status = read_count(reader, "a wrong number of actions", &number, reterr);
    if (status < 0) {
        return status;
    }
    if (number > HKB_RUST_ACTIONS_MAX) {
        return too_much(reader, reterr, "a message has more than 1048576 actions");
    }
    reader->actions_left = ret->action_count = (uint32_t)number;
    return HAKUBAN_OK;
}

/* -- Writing -- */

static hakuban_status put_number(hkb_buffer *out, uint64_t value)
{
    uint8_t bytes[9] = {(uint8_t)value};
    size_t count = 0;
    if (value > SINGLE_MAX) {
        unsigned marker = value <= UINT16_MAX ? MARK_16 : value <= UINT32_MAX ? MARK_32 : MARK_64;
        count = (size_t)2 << (marker - MARK_16);
        bytes[0] = (uint8_t)marker;
        for (size_t i = 0; i < count; i++) {
            bytes[1 + i] = (uint8_t)(value >> (8 * i));
        }
    }
    return hkb_buffer_append(out, bytes, 1 + count);
}

static hakuban_status put_bytes(hkb_buffer *out, hakuban_slice bytes)
{
    hakuban_status status = put_number(out, bytes.bytes);
    return status >= 0 && bytes.bytes ? hkb_buffer_append(out, bytes.data, bytes.bytes) : status;
}

static hakuban_status put_descriptor(hkb_buffer *out, const hakuban_descriptor *descriptor)
{
    const char *tag = hkb_descriptor_tags(descriptor);
    hakuban_status status = put_number(out, descriptor->tag_count);
    for (size_t i = 0; i < descriptor->tag_count && status >= 0; i++) {
        size_t bytes = strlen(tag);
        status = put_bytes(out, (hakuban_slice){tag, bytes});
        tag += bytes + 1;
    }
    if (status < 0) {
        return status;
    }
    return put_bytes(out, (hakuban_slice){descriptor->text, descriptor->json_bytes});
}

/* The first point is always (0, 0), and the reader adds it. */
static hakuban_status put_load_limit(hkb_buffer *out, const hkb_load_limit *limit)
{
    size_t count = limit->count ? limit->count - 1 : 0;
    hakuban_status status = put_number(out, count);
    for (size_t i = 1; i <= count && status >= 0; i++) {
        float seconds = (float)((double)limit->points[i].after_ns / NS_PER_S);
        uint32_t bits;
        uint8_t bytes[4];
        memcpy(&bits, &seconds, sizeof(bits));
        for (size_t k = 0; k < sizeof(bytes); k++) {
            bytes[k] = (uint8_t)(bits >> (8 * k));
        }
        status = hkb_buffer_append(out, bytes, sizeof(bytes));
        if (status >= 0) {
            status = put_number(out, limit->points[i].limit);
        }
    }
    return status;
}

static hakuban_status put_age(hkb_buffer *out, const hkb_message *message)
{
    uint64_t age_us = 0;
    if (message->freshness != HAKUBAN_LIVE) {
        age_us = message->age_ns < NS_PER_US ? 1 : message->age_ns / NS_PER_US;
    }
    return put_number(out, age_us);
}

static hakuban_status put_format(hkb_buffer *out, const hkb_message *state)
{
    const char *name = state->format;
    hakuban_status status = hkb_buffer_append(out, name ? "\1" : "\0", 1);
    if (status >= 0 && name) {
        status = put_number(out, state->format_count);
    }
    for (size_t i = 0; name && i < state->format_count && status >= 0; i++) {
        size_t bytes = strlen(name);
        status = put_bytes(out, (hakuban_slice){name, bytes});
        name += bytes + 1;
    }
    return status;
}

hakuban_status hkb_rust_put_patch_head(hkb_buffer *out, const hkb_message *state)
{
    hakuban_status status = put_number(out, ACTION_PATCH);
    if (status >= 0) {
        status = put_number(out, state->version.count);
    }
    for (size_t i = 0; i < state->version.count && status >= 0; i++) {
        status = put_number(out, hkb_zigzag(state->version.elements[i]));
    }
    if (status >= 0) {
        status = put_format(out, state);
    }
    return status >= 0 ? put_number(out, state->payload.bytes) : status;
}

hakuban_status hkb_rust_put_patch_tail(hkb_buffer *out, const hkb_message *state)
{
    return put_age(out, state);
}

static hakuban_status put_patch(hkb_buffer *out, const hkb_message *state)
{
    hakuban_status status = hkb_rust_put_patch_head(out, state);
    if (status >= 0 && state->payload.bytes) {
        status = hkb_buffer_append(out, state->payload.data, state->payload.bytes);
    }
    return status >= 0 ? hkb_rust_put_patch_tail(out, state) : status;
}

static hakuban_status put_contract(hkb_buffer *out, const hkb_rust_action *action)
{
    const hkb_message *message = &action->message;
    bool of_tag = message->kind == HKB_MESSAGE_TAG;
    hakuban_status status = put_number(out, of_tag ? TAG_ACTION : OBJECT_ACTION);
    if (status >= 0) {
        status = put_number(out, (uint64_t)action->kind - HKB_RUST_OBSERVE);
    }
    if (status >= 0) {
        status = of_tag ? put_bytes(out, message->text) : put_descriptor(out, message->descriptor);
    }
    if (status >= 0 && (action->kind == HKB_RUST_EXPOSE || action->kind == HKB_RUST_CAPACITY)) {
        status = put_number(out, message->capacity);
    }
    return status;
}

static hakuban_status put_pair(hkb_buffer *out, uint64_t first, uint64_t second)
{
    hakuban_status status = put_number(out, first);
    return status >= 0 ? put_number(out, second) : status;
}

hakuban_status hkb_rust_put_action(hkb_buffer *out, const hkb_rust_action *action)
{
    const hkb_message *message = &action->message;
    hakuban_status status = HAKUBAN_OK;
    switch (action->kind) {
    case HKB_RUST_NO_ACTION:
        return HAKUBAN_OK;
    case HKB_RUST_CONTROL_UPWARDS:
    case HKB_RUST_CONTROL_DOWNWARDS:
    case HKB_RUST_SINK:
    case HKB_RUST_STREAM:
        status = put_pair(out, 0, (uint64_t)action->kind - HKB_RUST_CONTROL_UPWARDS);
        if (status >= 0 && message->descriptor) {
            status = put_descriptor(out, message->descriptor);
        }
        return status;
    case HKB_RUST_NAME:
        status = put_pair(out, EXCHANGE_ACTION, ACTION_NAME);
        return status >= 0 ? put_bytes(out, message->text) : status;
    case HKB_RUST_LOAD_LIMIT:
        status = put_pair(out, EXCHANGE_ACTION, ACTION_LOAD_LIMIT);
        return status >= 0 ? put_load_limit(out, message->load_limit) : status;
    case HKB_RUST_OBSERVE:
    case HKB_RUST_UNOBSERVE:
    case HKB_RUST_EXPOSE:
    case HKB_RUST_UNEXPOSE:
    case HKB_RUST_CAPACITY:
        return put_contract(out, action);
    case HKB_RUST_PATCH:
        return put_patch(out, message);
    case HKB_RUST_SYNCHRONIZED:
        status = put_number(out, ACTION_SYNCHRONIZED);
        return status >= 0 ? put_age(out, message) : status;
    }
    return status;
}

hakuban_status hkb_rust_put_event(hkb_buffer *out, const hkb_rust_event *event)
{
    hakuban_status status = put_number(out, event->kind);
    if (status >= 0) {
        status = put_pair(out, event->channel.of_client, event->channel.number);
    }
    if (status >= 0 && event->kind == HKB_RUST_MESSAGE) {
        status = put_pair(out, event->message, event->action_count);
    }
    return status;
}
