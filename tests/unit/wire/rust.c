/* The Rust implementation's events: what it was recorded saying is understood and can be said again
 * byte for byte, and no other bytes cost more than an error with a text. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/rust.h"
#include "json/json.h"

#include "fail_alloc.h"
#include "vectors.h"

static hkb_rust rust;
static fail_alloc memory;

static void set_up(void)
{
    fail_alloc_init(&memory);
    hkb_rust_init(&rust, &memory.table);
}

static void tear_down(void)
{
    ck_assert_uint_eq(memory.blocks, 0);
}

/* -- An event as the crate's own types print it -- */

static void print(hkb_buffer *out, const char *text)
{
    ck_assert_int_eq(hkb_buffer_append(out, text, strlen(text)), HAKUBAN_OK);
}

static void print_text(hkb_buffer *out, const void *text, size_t bytes)
{
    ck_assert_int_eq(hkb_json_put_string(out, text, bytes), HAKUBAN_OK);
}

static void print_descriptor(hkb_buffer *out, const hakuban_descriptor *descriptor)
{
    const char *tag = hkb_descriptor_tags(descriptor);
    print(out, "[[");
    for (size_t i = 0; i < descriptor->tag_count; i++, tag += strlen(tag) + 1) {
        print(out, i ? "," : "");
        print_text(out, tag, strlen(tag));
    }
    print(out, "],");
    print_text(out, descriptor->text, descriptor->json_bytes);
}

static void print_number(hkb_buffer *out, const char *before, long long value)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%s%lld", before, value);
    print(out, text);
}

static void print_age(hkb_buffer *out, const char *before, const hkb_message *message)
{
    ck_assert_int_eq(message->freshness, message->age_ns ? HAKUBAN_STALE : HAKUBAN_LIVE);
    print_number(out, before, (long long)(message->age_ns / 1000));
}

static void print_patch(hkb_buffer *out, const hkb_message *state)
{
    const uint8_t *diff = state->payload.data;
    const char *name = state->format;
    print(out, "{\"PatchAndSetAndMemorize\":[[");
    for (size_t i = 0; i < state->version.count; i++) {
        print_number(out, i ? "," : "", (long long)state->version.elements[i]);
    }
    print(out, state->format ? "],[" : "],null");
    for (size_t i = 0; name && i < state->format_count; i++, name += strlen(name) + 1) {
        print(out, i ? "," : "");
        print_text(out, name, strlen(name));
    }
    print(out, state->format ? "],\"" : ",\"");
    for (size_t i = 0; i < state->payload.bytes; i++) {
        char hex[4];
        (void)snprintf(hex, sizeof(hex), "%02x", diff[i]);
        print(out, hex);
    }
    print_age(out, "\",", state);
    print(out, "]}");
}

static void print_action(hkb_buffer *out, const hkb_rust_action *action)
{
    static const char *const contract[] = {"Observe", "Unobserve", "Expose", "Unexpose",
                                           "SetExposeCapacity"};
    const hkb_message *message = &action->message;
    switch (action->kind) {
    case HKB_RUST_NO_ACTION:
        break;
    case HKB_RUST_CONTROL_UPWARDS:
        print(out, "{\"Initialize\":\"UpstreamControl\"}");
        break;
    case HKB_RUST_CONTROL_DOWNWARDS:
        print(out, "{\"Initialize\":\"DownstreamControl\"}");
        break;
    case HKB_RUST_SINK:
    case HKB_RUST_STREAM:
        print(out, action->kind == HKB_RUST_SINK
                       ? "{\"Initialize\":{\"ObjectSinkToUpstream\":"
                       : "{\"Initialize\":{\"ObjectStreamFromUpstream\":");
        print_descriptor(out, message->descriptor);
        print(out, "]}}");
        break;
    case HKB_RUST_NAME:
        print(out, "{\"ExchangeAction\":{\"SetName\":");
        print_text(out, message->text.data, message->text.bytes);
        print(out, "}}");
        break;
    case HKB_RUST_LOAD_LIMIT:
        print(out, "{\"ExchangeAction\":{\"SetLoadLimit\":[");
        for (size_t i = 1; i < message->load_limit->count; i++) {
            char text[32];
            print(out, i > 1 ? ",[" : "[");
            hkb_load_point point = message->load_limit->points[i];
            text[hkb_json_put_double(text, (double)point.after_ns / 1e9)] = 0;
            print(out, text);
            print_number(out, ",", point.limit);
            print(out, "]");
        }
        print(out, "]}}");
        break;
    case HKB_RUST_OBSERVE:
    case HKB_RUST_UNOBSERVE:
    case HKB_RUST_EXPOSE:
    case HKB_RUST_UNEXPOSE:
    case HKB_RUST_CAPACITY: {
        bool of_tag = message->kind == HKB_MESSAGE_TAG;
        bool capacity = action->kind == HKB_RUST_EXPOSE || action->kind == HKB_RUST_CAPACITY;
        print(out, of_tag ? "{\"TagContractAction\":{\"" : "{\"ObjectContractAction\":{\"");
        print(out, contract[action->kind - HKB_RUST_OBSERVE]);
        print(out, of_tag && capacity ? "\":[" : "\":");
        if (of_tag) {
            print_text(out, message->text.data, message->text.bytes);
        } else {
            print_descriptor(out, message->descriptor);
        }
        if (capacity) {
            print_number(out, ",", message->capacity);
        }
        print(out, of_tag && !capacity ? "}}" : "]}}");
        break;
    }
    case HKB_RUST_PATCH:
        print_patch(out, message);
        break;
    case HKB_RUST_SYNCHRONIZED:
        print_age(out, "{\"SetSynchronized\":", message);
        print(out, "}");
        break;
    }
}

static void print_channel(hkb_buffer *out, hkb_rust_channel channel)
{
    print_number(out, channel.of_client ? "{\"DownstreamOriginated\":" : "{\"UpstreamOriginated\":",
                 channel.number);
    print(out, "}");
}

/* Reads data, prints it to text and writes it again to bytes. */
static hakuban_status understand(hakuban_slice data, hkb_buffer *text, hkb_buffer *bytes,
                                 hakuban_error *reterr)
{
    static const char *const messages[] = {"UninitializedChannelActions",
                                           "UpstreamControlChannelActions",
                                           "DownstreamControlChannelActions", "StateStreamActions"};
    static const char *const events[] = {"{\"Open\":", "{\"Message\":[", "{\"Close\":"};
    hkb_rust_reader reader;
    hkb_rust_event event;
    hkb_rust_action action;
    hakuban_status status = hkb_rust_read_event(&reader, &rust, data, &event, reterr);
    if (status != HAKUBAN_OK) {
        return status;
    }
    ck_assert_int_eq(hkb_rust_put_event(bytes, &event), HAKUBAN_OK);
    print(text, events[event.kind]);
    print_channel(text, event.channel);
    if (event.kind == HKB_RUST_MESSAGE) {
        print(text, ",{\"");
        print(text, messages[event.message]);
        print(text, "\":[");
        for (uint32_t i = 0;; i++) {
            status = hkb_rust_read_action(&reader, &action, reterr);
            if (status != HAKUBAN_OK) {
                return status;
            }
            if (!action.kind) {
                ck_assert_uint_eq(i, event.action_count);
                break;
            }
            print(text, i ? "," : "");
            print_action(text, &action);
            ck_assert_int_eq(hkb_rust_put_action(bytes, &action), HAKUBAN_OK);
            hakuban_descriptor_unref(action.message.descriptor);
        }
        print(text, "]}]");
    }
    print(text, "}");
    return HAKUBAN_OK;
}

/* understand() from memory of exactly the data's size. */
static hakuban_status understand_copy(const uint8_t *data, size_t bytes, hkb_buffer *text,
                                      hkb_buffer *again, hakuban_error *reterr)
{
    uint8_t *copy = malloc(bytes + 1);
    ck_assert_ptr_nonnull(copy);
    if (bytes) {
        memcpy(copy + 1, data, bytes); /* ends where the memory ends */
    }
    text->bytes = again->bytes = 0;
    hakuban_status status = understand((hakuban_slice){copy + 1, bytes}, text, again, reterr);
    free(copy);
    return status;
}

static void check_vector(hakuban_slice object, hkb_buffer *text, hkb_buffer *again)
{
    hakuban_slice decoded;
    hakuban_error error = {.text = ""};
    hkb_buffer expected, found;
    size_t bytes;
    uint8_t *data = vectors_hex(object, "hex", &bytes);
    ck_assert(vectors_member(object, "decoded", &decoded));
    ck_assert_msg(understand_copy(data, bytes, text, again, &error) == HAKUBAN_OK, "%s",
                  error.text);
    ck_assert_uint_eq(again->bytes, bytes);
    ck_assert_mem_eq(again->data, data, bytes);
    hkb_buffer_init(&expected, NULL, 1 << 24);
    hkb_buffer_init(&found, NULL, 1 << 24);
    ck_assert_int_eq(hkb_json_canonical(decoded.data, decoded.bytes, &expected, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hkb_json_canonical((const char *)text->data, text->bytes, &found, NULL),
                     HAKUBAN_OK);
    ck_assert_uint_eq(expected.bytes, found.bytes);
    ck_assert_mem_eq(expected.data, found.data, found.bytes);
    hkb_buffer_done(&expected);
    hkb_buffer_done(&found);
    /* What is cut off anywhere is refused in words, and has left nothing behind. */
    for (size_t cut = 0; cut < bytes; cut++) {
        ck_assert_int_eq(understand_copy(data, cut, text, again, &error), HAKUBAN_ERR_PROTOCOL);
        ck_assert_uint_gt(strlen(error.text), 10);
        ck_assert_uint_eq(memory.blocks, 0);
    }
    free(data);
}

static size_t check_vectors(const char *name, const char *key)
{
    hkb_buffer text, again;
    hakuban_slice object;
    vectors v;
    size_t count = 0;
    hkb_buffer_init(&text, NULL, 1 << 24);
    hkb_buffer_init(&again, NULL, 1 << 24);
    vectors_open(&v, name, key);
    while (vectors_next(&v, &object)) {
        hakuban_slice unused;
        if (!vectors_member(object, "hex", &unused)) {
            continue;
        }
        check_vector(object, &text, &again);
        count++;
    }
    vectors_close(&v);
    hkb_buffer_done(&text);
    hkb_buffer_done(&again);
    return count;
}

START_TEST(every_event_of_a_recorded_session_is_understood_and_said_again_byte_for_byte)
{
    ck_assert_uint_eq(check_vectors("session", NULL), 112);
}
END_TEST

START_TEST(every_kind_of_event_is_understood_and_said_again_byte_for_byte)
{
    ck_assert_uint_eq(check_vectors("bincode", "events"), 17);
}
END_TEST

/* -- Single values, where an event has them -- */

/* hex (white space ignored) with the bytes of value in place of '*', understood. */
static hakuban_status try_hex(const char *hex, const uint8_t *value, size_t value_bytes,
                              hkb_buffer *text, hakuban_error *reterr)
{
    uint8_t *data = malloc(strlen(hex) + value_bytes + 1);
    size_t bytes = 0;
    hkb_buffer again;
    ck_assert_ptr_nonnull(data);
    hkb_buffer_init(&again, NULL, 1 << 24);
    for (; *hex; hex++) {
        unsigned byte;
        if (*hex == '*') {
            memcpy(data + bytes, value, value_bytes);
            bytes += value_bytes;
        } else if (*hex != ' ') {
            ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
            data[bytes++] = (uint8_t)byte;
            hex++;
        }
    }
    hakuban_status status = understand_copy(data, bytes, text, &again, reterr);
    hkb_buffer_done(&again);
    free(data);
    return status;
}

static const struct {
    const char *type, *hex, *before, *after;
} places[] = {
    {"u64", "01 00 02 03 01 01 *", "{\"SetSynchronized\":", "}"},
    {"u32", "01 01 01 01 01 02 02 03 22 61 22 *", "{\"Expose\":[\"\\\"a\\\"\",", "]}"},
    {"i64", "01 00 02 03 01 00 01 * 00 00 00", "{\"PatchAndSetAndMemorize\":[[", "],null,\"\",0]}"},
    {"String", "01 01 01 01 01 00 00 *", "{\"SetName\":\"", "\"}"},
    {"NonZeroU64", "00 00 *", "{\"Open\":{\"UpstreamOriginated\":", "}}"},
};

START_TEST(numbers_and_texts_have_the_crates_form_at_every_edge)
{
    hakuban_slice object;
    hakuban_error error = {.text = ""};
    hkb_buffer text;
    vectors v;
    size_t tried = 0;
    hkb_buffer_init(&text, NULL, 1 << 20);
    vectors_open(&v, "bincode", "primitives");
    while (vectors_next(&v, &object)) {
        char *type = vectors_text(object, "type"), *value, expected[512];
        for (size_t i = 0; i < HKB_COUNT(places); i++) {
            if (strcmp(places[i].type, type) != 0) {
                continue;
            }
            size_t bytes;
            uint8_t *hex = vectors_hex(object, "hex", &bytes);
            value = vectors_text(object, "value");
            char *many = strstr(value, "*x");
            if (many) { /* "250*x" */
                unsigned long count = strtoul(value, NULL, 10);
                value = realloc(value, count + 1);
                ck_assert_ptr_nonnull(value);
                memset(value, 'x', count);
                value[count] = 0;
            }
            /* Ages above this many µs are not told apart: they are clamped. */
            if (strcmp(type, "u64") == 0 && strlen(value) > 18) {
                memcpy(value, "18446744073709551", 18);
            }
            hakuban_status status = try_hex(places[i].hex, hex, bytes, &text, &error);
            ck_assert_msg(status == HAKUBAN_OK, "%s %s: %s", type, value, error.text);
            (void)snprintf(expected, sizeof(expected), "%s%s%s", places[i].before, value,
                           places[i].after);
            text.data[text.bytes - 1] = 0;
            ck_assert_msg(strstr((char *)text.data, expected) ||
                              strstr(expected, (char *)text.data),
                          "%s is not in %s", expected, (char *)text.data);
            tried++;
            free(value);
            free(hex);
        }
        free(type);
    }
    vectors_close(&v);
    hkb_buffer_done(&text);
    ck_assert_uint_gt(tried, 45);
}
END_TEST

/* Their decoder takes them, so ours does. */
START_TEST(numbers_that_are_longer_than_needed_and_bytes_behind_an_event_are_accepted)
{
    static const char *const fine[] = {
        "00 00 fb0100",
        "00 00 fc01000000",
        "00 00 fd0100000000000000",
        "fb0000 fc00000000 01",
        "01 00 02 fb0300 fc01000000 01 fd0500000000000000",
        "00 00 01 ffffffff",
        "02 00 07 00",
        "01 01 01 01 01 00 00 02 4141 99",
    };
    hakuban_error error = {.text = ""};
    hkb_buffer text;
    hkb_buffer_init(&text, NULL, 1 << 20);
    for (size_t i = 0; i < HKB_COUNT(fine); i++) {
        ck_assert_msg(try_hex(fine[i], NULL, 0, &text, &error) == HAKUBAN_OK, "%s: %s", fine[i],
                      error.text);
    }
    hkb_buffer_done(&text);
}
END_TEST

START_TEST(descriptors_are_the_same_however_they_are_spelt)
{
    hkb_buffer text;
    hakuban_error error = {.text = ""};
    hkb_buffer_init(&text, NULL, 1 << 20);
    /* Observe(["2", "\u0061", "2"], {"b": 1, "a": 1e0}) */
    ck_assert_msg(try_hex("01 01 01 01 01 01 00 03 01 32 08 225c753030363122 01 32"
                          "12 7b2262223a20312c202261223a203165307d",
                          NULL, 0, &text, &error) == HAKUBAN_OK,
                  "%s", error.text);
    print(&text, "");
    text.data[text.bytes - 1] = 0;
    ck_assert_ptr_nonnull(strstr((char *)text.data, "{\"Observe\":[[\"\\\"a\\\"\",\"2\"],"
                                                    "\"{\\\"a\\\":1.0,\\\"b\\\":1}\"]}"));
    hkb_buffer_done(&text);
}
END_TEST

/* -- What no honest peer sends -- */

static const struct {
    const char *hex, *words;
    hakuban_status status;
} wrongs[] = {
    {"", "unknown event", HAKUBAN_ERR_PROTOCOL},
    {"03 00 01", "byte 0: an unknown event", HAKUBAN_ERR_PROTOCOL},
    {"fe 00 01", "unknown event", HAKUBAN_ERR_PROTOCOL},
    {"47 45 54 20 2f", "unknown event", HAKUBAN_ERR_PROTOCOL}, /* GET / */
    {"7b 22 68 22", "unknown event", HAKUBAN_ERR_PROTOCOL},
    {"00 02 01", "byte 1: a channel of unknown origin", HAKUBAN_ERR_PROTOCOL},
    {"00 00 00", "byte 2: channel number 0", HAKUBAN_ERR_PROTOCOL},
    {"00 00 fe 01", "wrong channel number", HAKUBAN_ERR_PROTOCOL},
    {"00 00 ff 01", "wrong channel number", HAKUBAN_ERR_PROTOCOL},
    {"00 00 fd ffffffff 00000000", "channel number above", HAKUBAN_ERR_LIMIT},
    {"01 00 01 04 00", "unknown kind of message", HAKUBAN_ERR_PROTOCOL},
    {"01 00 01 03 05", "wrong number of actions", HAKUBAN_ERR_PROTOCOL},
    {"01 00 01 03 fd ffffffffffffffff", "wrong number of actions", HAKUBAN_ERR_PROTOCOL},
    {"01 00 01 00 01 01 00", "unknown action on a new channel", HAKUBAN_ERR_PROTOCOL},
    {"01 00 01 00 01 00 04", "unknown type of channel", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 03 00", "unknown action on a control", HAKUBAN_ERR_PROTOCOL},
    {"01 00 01 02 01 01 00", "unknown action on a control", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 02", "unknown action on an exchange", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 01 05", "unknown action on a contract", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 00 02 c328", "byte 8: a text is not UTF-8", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 00 03 eda080", "not UTF-8", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 00 fd 0000000000100000", "longer than the message", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 00 fd ffffffffffffffff 41", "longer than the message",
     HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 01 fd ffffffffffffffff 41", "wrong number of points", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 01 01 0000c07f 03", "a load limit's time", HAKUBAN_ERR_PROTOCOL}, /* NaN */
    {"01 01 01 01 01 00 01 01 000080bf 03", "a load limit's time", HAKUBAN_ERR_PROTOCOL}, /* -1 */
    {"01 01 01 01 01 00 01 01 0000807f 03", "a load limit's time", HAKUBAN_ERR_PROTOCOL}, /* inf */
    {"01 01 01 01 01 00 01 01 ffff7f7f 03", "a load limit's time", HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 00 01 01 0000803f fd0000000001000000", "wrong load limit",
     HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 01 00 fd 0000000000000040 01 30", "wrong number of tags",
     HAKUBAN_ERR_PROTOCOL},
    {"01 01 01 01 01 01 00 00 01 7b", "before byte", HAKUBAN_ERR_PARSE},
    {"01 01 01 01 01 01 00 01 00 01 30", "tag 1", HAKUBAN_ERR_PARSE},
    {"01 01 01 01 01 01 00 00 08 225c756438303022", "object", HAKUBAN_ERR_PARSE}, /* half a pair */
    {"01 01 01 01 01 01 00 00 05 3165393939", "object", HAKUBAN_ERR_PARSE},       /* 1e999 */
    {"01 01 01 01 01 02 00 01 7b", "before byte", HAKUBAN_ERR_PARSE},
    {"01 01 01 01 01 02 02 01 30 fd0000000001000000", "wrong capacity", HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 02", "unknown action on a state", HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 00 00 00 00 00", "without elements", HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 00 11 0000000000000000000000000000000000 00 00 00", "more than 16 elements",
     HAKUBAN_ERR_LIMIT},
    {"01 00 02 03 01 00 01 02 02 00 00", "neither a format nor none", HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 00 01 02 01 01 02 4100 00 00", "zero byte", HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 00 01 02 01 11 0000000000000000000000000000000000 00 00", "16 names",
     HAKUBAN_ERR_LIMIT},
    {"01 00 02 03 01 00 01 02 00 fd ffffffffffffff7f", "a difference is longer",
     HAKUBAN_ERR_PROTOCOL},
    {"01 00 02 03 01 01 fe", "wrong age", HAKUBAN_ERR_PROTOCOL},
};

START_TEST(everything_malformed_is_refused_in_words_that_say_where_and_allocates_nothing_for_it)
{
    hakuban_error error;
    hkb_buffer text;
    hkb_buffer_init(&text, NULL, 1 << 20);
    memset(&error, 0, sizeof(error));
    fail_alloc_arm(&memory, 0, false);
    hakuban_status status = try_hex(wrongs[_i].hex, NULL, 0, &text, &error);
    ck_assert_msg(status == wrongs[_i].status && strstr(error.text, wrongs[_i].words), "%s: %d, %s",
                  wrongs[_i].hex, status, error.text);
    ck_assert_uint_eq(memory.blocks, 0);
    hkb_buffer_done(&text);
}
END_TEST

START_TEST(nesting_and_names_over_the_limits_are_refused)
{
    static uint8_t data[3 * HKB_RUST_TEXT_BYTES_MAX];
    static const uint8_t head[] = {1, 1, 1, 1, 1, 2, 0}; /* Observe a tag */
    hakuban_error error = {.text = ""};
    hkb_buffer text, again;
    hkb_buffer_init(&text, NULL, 1 << 20);
    hkb_buffer_init(&again, NULL, 1 << 20);
    memcpy(data, head, sizeof(head));
    /* 128 levels. */
    data[7] = 0xfb;
    data[8] = 0;
    data[9] = 1;
    memset(data + 10, '[', 128);
    memset(data + 138, ']', 128);
    ck_assert_int_eq(understand_copy(data, 266, &text, &again, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "127"));
    /* A text of more than 16 KiB, and one of more than 4 KiB. */
    data[8] = 0x01;
    data[9] = 0x40;
    memset(data + 10, '1', HKB_RUST_TEXT_BYTES_MAX + 1);
    ck_assert_int_eq(understand_copy(data, 10 + HKB_RUST_TEXT_BYTES_MAX + 1, &text, &again, &error),
                     HAKUBAN_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "16384"));
    data[8] = 0x01;
    data[9] = 0x10;
    data[10] = data[10 + 4096] = '"';
    ck_assert_int_eq(understand_copy(data, 10 + 4097, &text, &again, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "4096"));
    /* 65 tags. */
    static const uint8_t object[] = {1, 1, 1, 1, 1, 1, 0, 65};
    memcpy(data, object, sizeof(object));
    for (size_t i = 0; i < 66; i++) {
        data[8 + 2 * i] = 1;
        data[9 + 2 * i] = '1';
    }
    ck_assert_int_eq(understand_copy(data, 8 + 132, &text, &again, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "64 tags"));
    hkb_buffer_done(&text);
    hkb_buffer_done(&again);
}
END_TEST

START_TEST(without_memory_an_action_is_an_error_and_nothing_is_left)
{
    static const uint8_t observe[] = {1, 1, 1, 1, 1, 1, 0, 1, 3, '"', 't', '"', 3, '"', 'o', '"'};
    hakuban_error error = {.text = ""};
    hkb_buffer text, again;
    hkb_buffer_init(&text, NULL, 1 << 20);
    hkb_buffer_init(&again, NULL, 1 << 20);
    hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
    for (size_t fail_at = 1; status != HAKUBAN_OK; fail_at++) {
        fail_alloc_arm(&memory, fail_at, false);
        status = understand_copy(observe, sizeof(observe), &text, &again, &error);
        ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
        ck_assert_uint_eq(memory.blocks, 0);
        ck_assert_uint_lt(fail_at, 100);
    }
    hkb_buffer_done(&text);
    hkb_buffer_done(&again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rust");
    TCase *tcase = tcase_create("events");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase,
                   every_event_of_a_recorded_session_is_understood_and_said_again_byte_for_byte);
    tcase_add_test(tcase, every_kind_of_event_is_understood_and_said_again_byte_for_byte);
    tcase_add_test(tcase, numbers_and_texts_have_the_crates_form_at_every_edge);
    tcase_add_test(tcase,
                   numbers_that_are_longer_than_needed_and_bytes_behind_an_event_are_accepted);
    tcase_add_test(tcase, descriptors_are_the_same_however_they_are_spelt);
    tcase_add_loop_test(
        tcase, everything_malformed_is_refused_in_words_that_say_where_and_allocates_nothing_for_it,
        0, HKB_COUNT(wrongs));
    tcase_add_test(tcase, nesting_and_names_over_the_limits_are_refused);
    tcase_add_test(tcase, without_memory_an_action_is_an_error_and_nothing_is_left);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
