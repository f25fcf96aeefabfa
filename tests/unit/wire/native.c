/* Messages and frames: what was said is what is understood, whatever the numbers; what is malformed
 * is refused in words and never believed. Every built-in serializer goes through the same tests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail_alloc.h"
#include "plugin/registry.h"
#include "wire/native.h"

#define MANY HKB_FRAME_BYTES_MAX

static fail_alloc memory;
static hkb_registry registry;
static hkb_native native;
static hkb_buffer out;
static const hakuban_serializer_ops *serializer; /* of the loop's turn */

static void set_up(void)
{
    fail_alloc_init(&memory);
    hkb_registry_init(&registry, NULL);
    ck_assert_int_eq(hkb_registry_add_builtin(&registry), HAKUBAN_OK);
    serializer = registry.serializers[0];
    hkb_native_init(&native, &memory.table);
    hkb_buffer_init(&out, &memory.table, 1 << 20);
}

static void tear_down(void)
{
    hkb_native_done(&native);
    hkb_buffer_done(&out);
    hkb_registry_done(&registry);
    ck_assert_uint_eq(memory.blocks, 0);
}

static bool use_serializer(int index)
{
    if ((size_t)index >= registry.serializer_count) {
        return false;
    }
    serializer = registry.serializers[index];
    return true;
}

static hkb_version base; /* what headers refer to */

static bool base_is_known = true;

static bool previous_of(void *ctx, uint32_t channel, hkb_version *ret)
{
    (void)ctx;
    (void)channel;
    *ret = base;
    return base_is_known;
}

/* Cuts the one frame in out and decodes it. */
static hakuban_status understand(hkb_message *ret, hakuban_error *reterr)
{
    hakuban_slice header, payload;
    size_t frame;
    hakuban_status status = hkb_frame_next((hakuban_slice){out.data, out.bytes}, MANY, &frame,
                                           &header, &payload, reterr);
    ck_assert_int_eq(status, HAKUBAN_OK);
    ck_assert_uint_eq(frame, out.bytes);
    return hkb_native_decode(&native, serializer, header, payload, previous_of, NULL, ret, reterr);
}

static void say(const hkb_message *message)
{
    out.bytes = 0;
    ck_assert_int_eq(hkb_native_encode(&native, serializer, message, &base, &out), HAKUBAN_OK);
}

static void say_and_understand(const hkb_message *message, hkb_message *ret)
{
    hakuban_error error = {0};
    say(message);
    hakuban_status status = understand(ret, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s", error.text);
    ck_assert_int_eq(ret->kind, message->kind);
    ck_assert_uint_eq(ret->channel, message->channel);
}

/* A header written by hand, as a stranger would; only for json. */
static hakuban_status hear_text(const char *header, hakuban_slice payload, hkb_message *ret,
                                hakuban_error *reterr)
{
    const hakuban_serializer_ops *json = hkb_registry_serializer(&registry, "json", 4);
    ck_assert_ptr_nonnull(json);
    return hkb_native_decode(&native, json, (hakuban_slice){header, strlen(header)}, payload,
                             previous_of, NULL, ret, reterr);
}

static void refused(const char *header, hakuban_status status, const char *words)
{
    hkb_message message;
    hakuban_error error = {0};
    ck_assert_msg(hear_text(header, (hakuban_slice){"1234data", 8}, &message, &error) == status,
                  "%s", header);
    ck_assert_msg(strstr(error.text, words), "%s: %s", header, error.text);
    ck_assert_ptr_null(message.descriptor);
}

static hakuban_descriptor *name(const char *json, const char *const *tags, size_t tag_count)
{
    hakuban_descriptor *made = NULL;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, json, tags, tag_count, &made, NULL), HAKUBAN_OK);
    return made;
}

static hakuban_slice text_of(const char *text)
{
    return (hakuban_slice){text, strlen(text)};
}

static void same_text(hakuban_slice got, hakuban_slice wanted)
{
    ck_assert_uint_eq(got.bytes, wanted.bytes);
    ck_assert(memcmp(got.data, wanted.data, wanted.bytes) == 0);
}

/* -- Round trips -- */

START_TEST(counts_and_bare_words_arrive)
{
    if (!use_serializer(_i)) {
        return;
    }
    hkb_message got;
    hkb_message ack = {.kind = HKB_MESSAGE_ACK, .bytes = UINT64_MAX};
    say_and_understand(&ack, &got);
    ck_assert_uint_eq(got.bytes, UINT64_MAX);
    hkb_message limit = {.kind = HKB_MESSAGE_MEMORY_LIMIT, .bytes = UINT64_MAX};
    say_and_understand(&limit, &got);
    ck_assert_uint_eq(got.bytes, UINT64_MAX);
    say_and_understand(&(hkb_message){.kind = HKB_MESSAGE_PING}, &got);
    say_and_understand(&(hkb_message){.kind = HKB_MESSAGE_BYE}, &got);
    static const hkb_message_kind kinds[] = {HKB_MESSAGE_CLOSED, HKB_MESSAGE_RESEND};
    for (size_t i = 0; i < HKB_COUNT(kinds); i++) {
        say_and_understand(&(hkb_message){.kind = kinds[i], .channel = UINT32_MAX}, &got);
    }
    hkb_message begun = {
        .kind = HKB_MESSAGE_BEGUN, .channel = 7, .bytes = UINT64_MAX, .hash = UINT64_MAX - 1};
    say_and_understand(&begun, &got);
    ck_assert_uint_eq(got.bytes, UINT64_MAX);
    ck_assert_uint_eq(got.hash, UINT64_MAX - 1);
    hkb_message skip = {.kind = HKB_MESSAGE_SKIP, .channel = 7, .bytes = 70000};
    say_and_understand(&skip, &got);
    ck_assert_uint_eq(got.bytes, 70000);
    for (unsigned reason = 0; reason < 3; reason++) {
        hkb_message close = {
            .kind = HKB_MESSAGE_CLOSE, .channel = 7, .reason = (hkb_close_reason)reason};
        say_and_understand(&close, &got);
        ck_assert_uint_eq(got.reason, reason);
    }
}
END_TEST

START_TEST(texts_arrive_as_they_are)
{
    if (!use_serializer(_i)) {
        return;
    }
    hkb_message got;
    static char longest[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    memset(longest, '"', HAKUBAN_DESCRIPTOR_BYTES_MAX);
    const char *const texts[] = {"", "edge \xc3\xa9 \"\\ \x01", longest};
    for (size_t i = 0; i < HKB_COUNT(texts); i++) {
        hkb_message error = {.kind = HKB_MESSAGE_ERROR, .text = text_of(texts[i])};
        say_and_understand(&error, &got);
        same_text(got.text, error.text);
    }
    const char *const tags[] = {"\"t\"", "{\"a\":[1,null,\"\\u0001\"]}", "1"};
    for (size_t i = 0; i < HKB_COUNT(tags); i++) {
        hkb_message tag = {.kind = HKB_MESSAGE_TAG,
                           .flags = HKB_WANT_OBSERVE | HKB_WANT_EXPOSE,
                           .capacity = UINT32_MAX,
                           .text = text_of(tags[i])};
        say_and_understand(&tag, &got);
        same_text(got.text, tag.text);
        ck_assert_uint_eq(got.flags, tag.flags);
        ck_assert_uint_eq(got.capacity, UINT32_MAX);
        tag.kind = HKB_MESSAGE_LISTED;
        say_and_understand(&tag, &got);
        same_text(got.text, tag.text);
    }
}
END_TEST

START_TEST(objects_arrive_with_all_their_tags)
{
    if (!use_serializer(_i)) {
        return;
    }
    hkb_message got;
    char texts[HAKUBAN_DESCRIPTOR_TAGS_MAX][32];
    const char *tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    for (int i = 0; i < HAKUBAN_DESCRIPTOR_TAGS_MAX; i++) {
        snprintf(texts[i], sizeof(texts[i]), "{\"number %d\":\"\\\"\"}", i);
        tags[i] = texts[i];
    }
    /* The largest name there may be, every byte of it to be escaped once more. */
    static char large[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    memset(large, '\\', HAKUBAN_DESCRIPTOR_BYTES_MAX);
    large[0] = large[HAKUBAN_DESCRIPTOR_BYTES_MAX - 1] = '"';
    hakuban_descriptor *names[] = {name("null", NULL, 0), name("{\"a\":1.0}", tags, 2),
                                   name("18446744073709551615", tags, HAKUBAN_DESCRIPTOR_TAGS_MAX),
                                   name(large, NULL, 0)};
    for (size_t i = 0; i < HKB_COUNT(names); i++) {
        hkb_message object = {
            .kind = HKB_MESSAGE_OBJECT,
            .flags = HKB_WANT_DECLINE,
            .capacity = UINT32_MAX,
            .descriptor = names[i],
        };
        say_and_understand(&object, &got);
        ck_assert(hakuban_descriptor_equal(got.descriptor, names[i]));
        ck_assert_uint_eq(got.flags, HKB_WANT_DECLINE);
        ck_assert_uint_eq(got.capacity, UINT32_MAX);
        hakuban_descriptor_unref(got.descriptor);

        hkb_message stream = {
            .kind = HKB_MESSAGE_STREAM_OPEN,
            .channel = UINT32_MAX,
            .descriptor = names[i],
            .freshness = HAKUBAN_STALE,
            .source = HAKUBAN_SOURCE_AWAY,
            .age_ns = UINT64_MAX / 1000 * 1000,
        };
        say_and_understand(&stream, &got);
        ck_assert(hakuban_descriptor_equal(got.descriptor, names[i]));
        ck_assert_int_eq(got.freshness, HAKUBAN_STALE);
        ck_assert_int_eq(got.source, HAKUBAN_SOURCE_AWAY);
        ck_assert_uint_eq(got.age_ns, stream.age_ns);
        hakuban_descriptor_unref(got.descriptor);

        hkb_message sink = {
            .kind = HKB_MESSAGE_SINK_OPEN,
            .channel = 1,
            .descriptor = names[i],
            .sink_id = UINT64_MAX,
            .version = {2, {INT64_MIN, INT64_MAX}},
        };
        say_and_understand(&sink, &got);
        ck_assert(hakuban_descriptor_equal(got.descriptor, names[i]));
        ck_assert_uint_eq(got.sink_id, UINT64_MAX);
        ck_assert_int_eq(hkb_version_compare(&got.version, &sink.version), 0);
        hakuban_descriptor_unref(got.descriptor);
        sink.version.count = 0; /* no floor */
        say_and_understand(&sink, &got);
        ck_assert_uint_eq(got.version.count, 0);
        hakuban_descriptor_unref(got.descriptor);
        hakuban_descriptor_unref(names[i]);
    }
}
END_TEST

START_TEST(paths_limits_and_conditions_arrive)
{
    if (!use_serializer(_i)) {
        return;
    }
    hkb_message got;
    uint64_t path[HKB_PATH_NODES_MAX][2];
    for (size_t i = 0; i < HKB_PATH_NODES_MAX; i++) {
        path[i][0] = UINT64_MAX - i;
        path[i][1] = i;
    }
    static const size_t counts[] = {0, 1, HKB_PATH_NODES_MAX};
    for (size_t i = 0; i < HKB_COUNT(counts); i++) {
        hkb_message message = {.kind = HKB_MESSAGE_PATH, .path = path, .path_count = counts[i]};
        say_and_understand(&message, &got);
        ck_assert_uint_eq(got.path_count, counts[i]);
        ck_assert(memcmp(got.path, path, counts[i] * sizeof(path[0])) == 0);
    }
    hkb_load_limit limit = {.count = 0};
    hkb_message load = {.kind = HKB_MESSAGE_LOAD_LIMIT, .load_limit = &limit};
    say_and_understand(&load, &got);
    ck_assert_uint_eq(got.load_limit->count, 0);
    /* As many points as a URL can have. */
    for (uint32_t i = 0; i < HKB_LOAD_POINTS_MAX; i++) {
        limit.points[i] =
            (hkb_load_point){i ? UINT64_MAX - HKB_LOAD_POINTS_MAX + i : 0, i ? UINT32_MAX - i : 0};
    }
    limit.count = HKB_LOAD_POINTS_MAX;
    say_and_understand(&load, &got);
    ck_assert_uint_eq(got.load_limit->count, limit.count);
    for (size_t i = 0; i < limit.count; i++) {
        ck_assert_uint_eq(got.load_limit->points[i].after_ns, limit.points[i].after_ns);
        ck_assert_uint_eq(got.load_limit->points[i].limit, limit.points[i].limit);
    }
    for (unsigned freshness = 0; freshness <= HAKUBAN_STALE; freshness++) {
        for (unsigned source = 0; source <= HAKUBAN_SOURCE_AWAY; source++) {
            hkb_message condition = {
                .kind = HKB_MESSAGE_CONDITION,
                .channel = 300,
                .freshness = (hakuban_freshness)freshness,
                .source = (hakuban_source)source,
                .age_ns = 1000,
            };
            say_and_understand(&condition, &got);
            ck_assert_uint_eq(got.freshness, freshness);
            ck_assert_uint_eq(got.source, source);
            ck_assert_uint_eq(got.age_ns, 1000);
        }
    }
    hkb_message part = {.kind = HKB_MESSAGE_PART, .channel = 9, .payload = {"\0\xff payload", 10}};
    say_and_understand(&part, &got);
    same_text(got.payload, part.payload);
}
END_TEST

static const int64_t extremes[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};

static void check_version(const hkb_version *previous, const hkb_version *version)
{
    hkb_message got, state = {
                         .kind = HKB_MESSAGE_STATE,
                         .channel = 1,
                         .freshness = HAKUBAN_LIVE,
                         .version = *version,
                         .total_bytes = 4,
                         .payload = {"data", 4},
                     };
    base = *previous;
    say_and_understand(&state, &got);
    ck_assert_uint_eq(got.version.count, version->count);
    ck_assert_int_eq(hkb_version_compare(&got.version, version), 0);
    ck_assert_ptr_null(got.format);
}

START_TEST(versions_arrive_whatever_came_before_them)
{
    if (!use_serializer(_i)) {
        return;
    }
    hkb_version version, before;
    unsigned random = 1;
    for (size_t count = 1; count <= HAKUBAN_VERSION_ELEMENTS_MAX; count++) {
        for (unsigned round = 0; round < 40; round++) {
            version.count = count;
            for (size_t i = 0; i < count; i++) {
                version.elements[i] = extremes[(random = random * 1103515245u + 12345u) / 65536 %
                                               HKB_COUNT(extremes)];
            }
            before.count = 0;
            check_version(&before, &version); /* the first */
            before = version;
            check_version(&before, &version);    /* the same again */
            for (size_t i = 0; i < count; i++) { /* any one element different */
                before = version;
                before.elements[i] = extremes[round % HKB_COUNT(extremes)];
                check_version(&before, &version);
                check_version(&version, &before);
            }
            for (size_t i = 0; i < count; i++) { /* several different */
                before.elements[i] = extremes[(round + i) % HKB_COUNT(extremes)];
            }
            check_version(&before, &version);
            for (size_t shorter = 1; shorter < count; shorter++) { /* another length */
                before.count = shorter;
                check_version(&before, &version);
                check_version(&version, &before);
            }
        }
    }
}
END_TEST

START_TEST(states_arrive_with_format_age_and_size)
{
    if (!use_serializer(_i)) {
        return;
    }
    static const char one[] = "JSON";
    static char longest[HAKUBAN_FORMAT_BYTES_MAX];
    memset(longest, 'x', sizeof(longest) - 1);
    static const char many[] = "a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0k\0l\0m\0n\0o\0p";
    const struct {
        const char *names;
        size_t count, bytes;
    } formats[] = {{one, 1, sizeof(one)},
                   {longest, 1, sizeof(longest)},
                   {many, 16, sizeof(many)},
                   {one, 0, 0},
                   {NULL, 0, 0}};
    base.count = 0;
    for (size_t i = 0; i < HKB_COUNT(formats); i++) {
        for (unsigned options = 0; options < 4; options++) {
            bool stale = options & 1, parts = options & 2;
            hkb_message got, state = {
                                 .kind = HKB_MESSAGE_STATE,
                                 .channel = UINT32_MAX,
                                 .freshness = stale ? HAKUBAN_STALE : HAKUBAN_LIVE,
                                 .age_ns = stale ? 18446744073709551000u : 0,
                                 .version = {1, {5}},
                                 .format = formats[i].names,
                                 .format_count = formats[i].count,
                                 .check = 0xfedcba98u,
                                 .total_bytes = parts ? UINT64_MAX : 3,
                                 .payload = {"\0\xff{", 3},
                             };
            say_and_understand(&state, &got);
            ck_assert_int_eq(got.freshness, state.freshness);
            ck_assert_uint_eq(got.age_ns, state.age_ns);
            ck_assert_uint_eq(got.check, 0xfedcba98u);
            ck_assert_uint_eq(got.total_bytes, state.total_bytes);
            same_text(got.payload, state.payload);
            ck_assert_int_eq(got.format != NULL, formats[i].names != NULL);
            ck_assert_uint_eq(got.format_count, formats[i].count);
            ck_assert_uint_eq(got.format_bytes, formats[i].bytes);
            if (got.format) {
                ck_assert(memcmp(got.format, formats[i].names, formats[i].bytes) == 0);
            }
        }
    }
}
END_TEST

START_TEST(a_state_says_whether_it_is_left_over)
{
    if (!use_serializer(_i)) {
        return;
    }
    for (int left_over = 0; left_over < 2; left_over++) {
        hkb_message got, state = {
                             .kind = HKB_MESSAGE_STATE,
                             .channel = 7,
                             .freshness = HAKUBAN_STALE,
                             .age_ns = 5000,
                             .left_over = left_over,
                             .version = {1, {1}},
                             .total_bytes = 4,
                             .payload = {"data", 4},
                         };
        base.count = 0;
        say_and_understand(&state, &got);
        ck_assert_int_eq(got.left_over, left_over);
        ck_assert_int_eq(got.freshness, HAKUBAN_STALE);
        ck_assert_uint_eq(got.age_ns, 5000);
    }
}
END_TEST

START_TEST(a_state_that_is_a_difference_to_something_forgotten_has_no_version)
{
    hkb_message got, state = {
                         .kind = HKB_MESSAGE_STATE,
                         .channel = 7,
                         .freshness = HAKUBAN_LIVE,
                         .version = {4, {0, 1700000000, 987654321, 5}},
                         .total_bytes = 4,
                         .payload = {"data", 4},
                     };
    static const hkb_version bases[] = {
        {4, {0, 1700000000, 123456789, 5}}, /* by the clock */
        {4, {0, 1700000000, 987654321, 4}}, /* by the last element */
        {3, {0, 1, 2}}};
    base_is_known = false;
    for (size_t i = 0; i < HKB_COUNT(bases); i++) {
        base = bases[i];
        say_and_understand(&state, &got);
        ck_assert_int_eq(got.kind, HKB_MESSAGE_STATE);
        ck_assert_uint_eq(got.channel, 7);
        ck_assert_uint_eq(got.version.count, 0);
    }
    base.count = 0; /* the first of all is no difference */
    say_and_understand(&state, &got);
    ck_assert_uint_eq(got.version.count, 4);
    base_is_known = true;
}
END_TEST

START_TEST(the_header_of_the_next_automatic_version_is_small)
{
    if (!use_serializer(_i)) {
        return;
    }
    base = (hkb_version){4, {0, 1700000000, 123456789, 0xdeadbeef}};
    hkb_message got, state = {
                         .kind = HKB_MESSAGE_STATE,
                         .channel = 9,
                         .freshness = HAKUBAN_LIVE,
                         .version = {4, {0, 1700000000, 987654321, 0xdeadbeef}},
                         .check = 0x12345678,
                         .total_bytes = 10,
                         .payload = {"0123456789", 10},
                     };
    say_and_understand(&state, &got);
    /* lengths, kind, channel, nine digits of nanoseconds, check: */
    size_t overhead = out.bytes - state.payload.bytes;
    fprintf(stderr, "# %s: %zu bytes around the payload within a second", serializer->name,
            overhead);
    ck_assert_uint_le(overhead, 22);
    state.version.elements[1]++;
    say_and_understand(&state, &got);
    fprintf(stderr, ", %zu in the next\n", out.bytes - state.payload.bytes);
    ck_assert_uint_le(out.bytes - state.payload.bytes, 30);
}
END_TEST

/* -- What later releases say -- */

START_TEST(unknown_kinds_and_more_fields_are_ignored)
{
    hkb_message got;
    hakuban_error error = {0};
    static const char *const unknown[] = {"[0]",
                                          "[11,1]",
                                          "[19,{\"a\":[1]}]",
                                          "[5,\"name\"]",
                                          "[25,null]",
                                          "[63]",
                                          "[128]",
                                          "[18446744073709551615,[[[]]]]"};
    for (size_t i = 0; i < HKB_COUNT(unknown); i++) {
        ck_assert_msg(hear_text(unknown[i], (hakuban_slice){"", 0}, &got, &error) == HAKUBAN_OK,
                      "%s: %s", unknown[i], error.text);
        ck_assert_int_eq(got.kind, 0);
        ck_assert_ptr_null(got.descriptor);
    }
    static const char *const longer[] = {"[1,2,3,\"x\"]",
                                         "[2,null]",
                                         "[3,{\"a\":1}]",
                                         "[4,\"a\",1.5]",
                                         "[9,1,2,\"1\",true]",
                                         "[14,1,0,0]",
                                         "[15,1,2]",
                                         "[16,\"1\",2]",
                                         "[20,1,1,1,0,[]]",
                                         "[21,1,[1],1]",
                                         "[22,1,1]",
                                         "[23,1,1]",
                                         "[65,1,[1],[\"J\"],{\"later\":[1,2,{}]}]"};
    for (size_t i = 0; i < HKB_COUNT(longer); i++) {
        ck_assert_msg(hear_text(longer[i], (hakuban_slice){"1234", 4}, &got, &error) == HAKUBAN_OK,
                      "%s: %s", longer[i], error.text);
        ck_assert_int_ne(got.kind, 0);
    }
}
END_TEST

/* -- What is wrong -- */

START_TEST(malformed_messages_are_refused_in_words)
{
    base = (hkb_version){1, {5}};
    refused("", HAKUBAN_ERR_PROTOCOL, "header");
    refused("{}", HAKUBAN_ERR_PROTOCOL, "header");
    refused("[]", HAKUBAN_ERR_PROTOCOL, "header");
    refused("[-1]", HAKUBAN_ERR_PROTOCOL, "header");
    refused("[2.0]", HAKUBAN_ERR_PROTOCOL, "header");
    refused("[2", HAKUBAN_ERR_PROTOCOL, "ending");
    refused("[2] ]", HAKUBAN_ERR_PROTOCOL, "ending");
    refused("[1]", HAKUBAN_ERR_PROTOCOL, "count");
    refused("[1,-1,1]", HAKUBAN_ERR_PROTOCOL, "count");
    refused("[4]", HAKUBAN_ERR_PROTOCOL, "text");
    refused("[4,5]", HAKUBAN_ERR_PROTOCOL, "text");
    refused("[6,1]", HAKUBAN_ERR_PROTOCOL, "path");
    refused("[8,1,4294967296,\"1\"]", HAKUBAN_ERR_PROTOCOL, "registration");
    refused("[8,4294967296,1,\"1\"]", HAKUBAN_ERR_PROTOCOL, "registration");
    refused("[8,1,1]", HAKUBAN_ERR_PROTOCOL, "text");
    refused("[8,1,1,\"{\"]", HAKUBAN_ERR_PARSE, "object");
    refused("[8,1,1,\"1\",\"[\"]", HAKUBAN_ERR_PARSE, "tag 1");
    refused("[9,1,1,\"\"]", HAKUBAN_ERR_PARSE, "");
    refused("[10,1]", HAKUBAN_ERR_PROTOCOL, "load limit");
    refused("[10,1,4294967296]", HAKUBAN_ERR_PROTOCOL, "load limit");
    refused("[12,0,1,1,0,\"1\"]", HAKUBAN_ERR_PROTOCOL, "channel");
    refused("[12,4294967296,1,1,0,\"1\"]", HAKUBAN_ERR_PROTOCOL, "channel");
    refused("[12,1,3,1,0,\"1\"]", HAKUBAN_ERR_PROTOCOL, "condition");
    refused("[12,1,1,3,0,\"1\"]", HAKUBAN_ERR_PROTOCOL, "condition");
    refused("[12,1,1,1,18446744073709552,\"1\"]", HAKUBAN_ERR_PROTOCOL, "condition");
    refused("[13,1,1,[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],\"1\"]", HAKUBAN_ERR_PROTOCOL,
            "floor");
    refused("[13,1,1,[9223372036854775808],\"1\"]", HAKUBAN_ERR_PROTOCOL, "floor");
    refused("[14,1,256]", HAKUBAN_ERR_PROTOCOL, "channel");
    refused("[21,1,[]]", HAKUBAN_ERR_PROTOCOL, "floor");
    refused("[64,1,[]]", HAKUBAN_ERR_PROTOCOL, "version");
    refused("[80,1,1]", HAKUBAN_ERR_PROTOCOL, "version");   /* the last but one of one element */
    refused("[88,1,[2]]", HAKUBAN_ERR_PROTOCOL, "version"); /* shares more than there is */
    refused("[88,1,[0]]", HAKUBAN_ERR_PROTOCOL, "version");
    refused("[88,1,[]]", HAKUBAN_ERR_PROTOCOL, "version");
    refused("[66,1,[1],-1]", HAKUBAN_ERR_PROTOCOL, "age");
    refused("[68,1,[1],4]", HAKUBAN_ERR_PROTOCOL, "size"); /* no more than is there already */
    refused("[65,1,[1],\"JSON\"]", HAKUBAN_ERR_PROTOCOL, "format");
    refused("[65,1,[1],[\"a\\u0000b\"]]", HAKUBAN_ERR_PROTOCOL, "format");
    base.count = 0;
    refused("[72,1,1]", HAKUBAN_ERR_PROTOCOL, "version"); /* a difference to nothing */
    hkb_message got;
    hakuban_error error;
    ck_assert_int_eq(hear_text("[64,1,[1]]", (hakuban_slice){"123", 3}, &got, &error),
                     HAKUBAN_ERR_PROTOCOL);
    ck_assert_str_eq(error.text, "a message has a wrong payload");
}
END_TEST

/* head, then item count times, then tail. */
static char *repeated(const char *head, const char *item, size_t count, const char *tail)
{
    size_t before = strlen(head), bytes = strlen(item), behind = strlen(tail);
    char *made = malloc(before + bytes * count + behind + 1);
    ck_assert_ptr_nonnull(made);
    memcpy(made, head, before);
    for (size_t i = 0; i < count; i++) {
        memcpy(made + before + i * bytes, item, bytes);
    }
    memcpy(made + before + bytes * count, tail, behind + 1);
    return made;
}

START_TEST(limits_hold)
{
    char *text = repeated("[2", ",0", HKB_MESSAGE_ELEMENTS_MAX, "]");
    refused(text, HAKUBAN_ERR_PROTOCOL, "ending");
    free(text);
    text = repeated("[4,\"", "x", HAKUBAN_DESCRIPTOR_BYTES_MAX + 2, "\"]");
    refused(text, HAKUBAN_ERR_LIMIT, "4096");
    free(text);
    text = repeated("[9,1,1,\"[", " ", HAKUBAN_DESCRIPTOR_BYTES_MAX, "]\"]");
    hkb_message got;
    hakuban_error error;
    ck_assert_int_eq(hear_text(text, (hakuban_slice){"", 0}, &got, &error), HAKUBAN_OK);
    ck_assert_uint_eq(got.text.bytes, 2); /* what counts is the canonical form */
    free(text);
    text = repeated("[9,1,1,\"[1", ",1", HAKUBAN_DESCRIPTOR_BYTES_MAX / 2, "]\"]");
    refused(text, HAKUBAN_ERR_LIMIT, "4096");
    free(text);
    text = repeated("[8,1,1,\"1\"", ",\"2\"", HAKUBAN_DESCRIPTOR_TAGS_MAX + 1, "]");
    refused(text, HAKUBAN_ERR_LIMIT, "64 tags");
    free(text);
    text = repeated("[8,1,1,\"\\\"", "x", HAKUBAN_DESCRIPTOR_BYTES_MAX - 2, "\\\"\",\"1\"]");
    refused(text, HAKUBAN_ERR_LIMIT, "4096");
    free(text);
    text = repeated("[6", ",1,2", HKB_PATH_NODES_MAX + 1, "]");
    refused(text, HAKUBAN_ERR_PROTOCOL, "path");
    free(text);
    text = repeated("[10,0,0", ",1,2", HKB_LOAD_POINTS_MAX, "]");
    refused(text, HAKUBAN_ERR_PROTOCOL, "load limit");
    free(text);
    text = repeated("[65,1,[1],[\"a\"", ",\"b\"", HAKUBAN_FORMAT_NAMES_MAX, "]]");
    refused(text, HAKUBAN_ERR_PROTOCOL, "format");
    free(text);
    text = repeated("[65,1,[1],[\"", "x", HAKUBAN_FORMAT_BYTES_MAX, "\"]]");
    refused(text, HAKUBAN_ERR_PROTOCOL, "format");
    free(text);
    text = repeated("[2,", "[", 200, "");
    refused(text, HAKUBAN_ERR_PROTOCOL, "ending");
    free(text);
    /* A text that is too long to be written is an error of the writer's. */
    text = repeated("", "\x01", HKB_HEADER_BYTES_MAX, "");
    hkb_message long_error = {.kind = HKB_MESSAGE_ERROR, .text = text_of(text)};
    ck_assert_int_eq(hkb_native_encode(&native, registry.serializers[0], &long_error, NULL, &out),
                     HAKUBAN_ERR_LIMIT);
    ck_assert_uint_eq(out.bytes, 0);
    free(text);
}
END_TEST

/* One of each, for damage. Returns false behind the last. */
static bool message_of_kind(unsigned index, hkb_message *ret, hakuban_descriptor *descriptor)
{
    static uint64_t path[2][2] = {{1, 2}, {3, UINT64_MAX}};
    static hkb_load_limit limit = {2, {{0, 0}, {1000000000, 5}}};
    static const char format[] = "JSON\0zip";
    hkb_message messages[] = {
        {.kind = HKB_MESSAGE_ACK, .bytes = 70000},
        {.kind = HKB_MESSAGE_PING},
        {.kind = HKB_MESSAGE_BYE},
        {.kind = HKB_MESSAGE_ERROR, .text = text_of("why \"so\" \xc3\xa9")},
        {.kind = HKB_MESSAGE_PATH, .path = path, .path_count = 2},
        {.kind = HKB_MESSAGE_MEMORY_LIMIT, .bytes = 268435456},
        {.kind = HKB_MESSAGE_OBJECT, .flags = 3, .capacity = 1, .descriptor = descriptor},
        {.kind = HKB_MESSAGE_TAG, .flags = 1, .text = text_of("\"t\"")},
        {.kind = HKB_MESSAGE_LOAD_LIMIT, .load_limit = &limit},
        {.kind = HKB_MESSAGE_STREAM_OPEN, .channel = 1, .freshness = 1, .descriptor = descriptor},
        {.kind = HKB_MESSAGE_SINK_OPEN,
         .channel = 200,
         .sink_id = 5,
         .version = {2, {1, -1}},
         .descriptor = descriptor},
        {.kind = HKB_MESSAGE_CLOSE, .channel = 3},
        {.kind = HKB_MESSAGE_CLOSED, .channel = 3},
        {.kind = HKB_MESSAGE_LISTED, .text = text_of("[1]")},
        {.kind = HKB_MESSAGE_CONDITION, .channel = 4, .freshness = 2, .age_ns = 5000000},
        {.kind = HKB_MESSAGE_FLOOR, .channel = 4, .version = {1, {9}}},
        {.kind = HKB_MESSAGE_PART, .channel = 4, .payload = {"part", 4}},
        {.kind = HKB_MESSAGE_RESEND, .channel = 4},
        {.kind = HKB_MESSAGE_BEGUN, .channel = 4, .bytes = 70000, .hash = UINT64_MAX},
        {.kind = HKB_MESSAGE_SKIP, .channel = 4, .bytes = 70000},
        {.kind = HKB_MESSAGE_STATE,
         .channel = 4,
         .version = {4, {0, 5, 7, 9}},
         .total_bytes = 4,
         .freshness = 1,
         .payload = {"data", 4}},
        {.kind = HKB_MESSAGE_STATE,
         .channel = 4,
         .version = {4, {0, 5, 6, 8}},
         .total_bytes = 4,
         .freshness = 1,
         .payload = {"data", 4}},
        {.kind = HKB_MESSAGE_STATE,
         .channel = 4,
         .version = {2, {1, 2}},
         .total_bytes = 400,
         .freshness = 2,
         .age_ns = 1000,
         .format = format,
         .format_count = 2,
         .payload = {"data", 4}},
    };
    if (index >= HKB_COUNT(messages)) {
        return false;
    }
    *ret = messages[index];
    return true;
}

/* Damaged bytes in memory of exactly their size give a frame or none, a message or words. */
static void survive(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + !bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, bytes);
    hakuban_slice header, payload;
    hakuban_error error;
    hkb_message message;
    size_t frame;
    memset(&error, 0, sizeof(error));
    hakuban_status status =
        hkb_frame_next((hakuban_slice){copy, bytes}, MANY, &frame, &header, &payload, &error);
    if (status == HAKUBAN_OK && frame) {
        ck_assert_uint_le(frame, bytes);
        status = hkb_native_decode(&native, serializer, header, payload, previous_of, NULL,
                                   &message, &error);
        if (status != HAKUBAN_OK) {
            ck_assert_ptr_null(message.descriptor);
        }
        hakuban_descriptor_unref(message.descriptor);
    }
    if (status != HAKUBAN_OK) {
        ck_assert_int_eq(error.status, status);
        ck_assert(error.text[0] != 0);
    }
    free(copy);
}

START_TEST(no_damage_gets_through_as_a_crash)
{
    if (!use_serializer(_i)) {
        return;
    }
    const char *const tags[] = {"\"t\"", "2"};
    hakuban_descriptor *descriptor = name("{\"a\":\"\xc3\xa9\"}", tags, 2);
    hkb_message message;
    base = (hkb_version){4, {0, 5, 6, 9}};
    for (unsigned i = 0; message_of_kind(i, &message, descriptor); i++) {
        say(&message);
        for (size_t cut = 0; cut < out.bytes; cut++) {
            survive(out.data, cut);
            /* The same as a frame that is complete in itself. */
            hakuban_slice rest = {out.data + 2, cut > 2 ? cut - 2 : 0};
            hkb_buffer framed;
            hkb_buffer_init(&framed, &memory.table, MANY);
            ck_assert_int_eq(hkb_frame_put(&framed, rest, (hakuban_slice){NULL, 0}), HAKUBAN_OK);
            survive(framed.data, framed.bytes);
            hkb_buffer_done(&framed);
        }
        for (size_t at = 0; at < out.bytes; at++) {
            uint8_t kept = out.data[at];
            for (unsigned value = 0; value < 256; value++) {
                out.data[at] = (uint8_t)value;
                survive(out.data, out.bytes);
            }
            out.data[at] = kept;
        }
    }
    hakuban_descriptor_unref(descriptor);
}
END_TEST

START_TEST(memory_that_runs_out_is_an_error_and_nothing_is_lost)
{
    if (!use_serializer(_i)) {
        return;
    }
    const char *const tags[] = {"\"t\""};
    hakuban_descriptor *descriptor = name("{\"b\":\"\xc3\xa9\",\"a\":\"\\u0001\"}", tags, 1);
    hkb_message message, got;
    base = (hkb_version){4, {0, 5, 6, 9}};
    for (unsigned i = 0; message_of_kind(i, &message, descriptor); i++) {
        hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
        for (size_t nth = 1; status != HAKUBAN_OK; nth++) {
            hkb_native_done(&native);
            hkb_native_init(&native, &memory.table);
            hkb_buffer_done(&out);
            fail_alloc_arm(&memory, nth, false);
            status = hkb_native_encode(&native, serializer, &message, &base, &out);
            ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
            ck_assert(status == HAKUBAN_OK || out.bytes == 0);
        }
        status = HAKUBAN_ERR_NO_MEMORY;
        for (size_t nth = 1; status != HAKUBAN_OK; nth++) {
            hakuban_error error = {0};
            fail_alloc_arm(&memory, nth, false);
            status = understand(&got, &error);
            ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
            if (status != HAKUBAN_OK) {
                ck_assert_int_eq(error.status, HAKUBAN_ERR_NO_MEMORY);
                ck_assert_ptr_null(got.descriptor);
            }
        }
        hakuban_descriptor_unref(got.descriptor);
        fail_alloc_arm(&memory, 0, false);
    }
    hakuban_descriptor_unref(descriptor);
    /* A name that must be brought to canonical form first. */
    hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
    for (size_t nth = 1; status != HAKUBAN_OK; nth++) {
        hakuban_error error = {0};
        fail_alloc_arm(&memory, nth, false);
        status = hear_text("[8,1,1,\"{\\\"b\\\": 1.50, \\\"a\\\" :[]}\",\"[ 1]\"]",
                           (hakuban_slice){"", 0}, &got, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
    }
    hakuban_descriptor_unref(got.descriptor);
    fail_alloc_arm(&memory, 0, false);
}
END_TEST

/* -- Frames -- */

static hakuban_status cut(const char *data, size_t bytes, size_t limit, size_t *ret_frame,
                          size_t *ret_header, size_t *ret_payload, hakuban_error *reterr)
{
    hakuban_slice header = {NULL, 99}, payload = {NULL, 99};
    *ret_frame = 99;
    hakuban_status status =
        hkb_frame_next((hakuban_slice){data, bytes}, limit, ret_frame, &header, &payload, reterr);
    *ret_header = header.bytes;
    *ret_payload = payload.bytes;
    return status;
}

START_TEST(frames_are_cut_out_of_what_has_come_so_far)
{
    size_t frame, header, payload;
    hakuban_error error = {0};
    /* A frame of 300 bytes: its length takes two, its header's one. */
    static char large[302] = "\xac\x02\x05hello";
    for (size_t come = 0; come < sizeof(large); come++) {
        ck_assert_int_eq(cut(large, come, 300, &frame, &header, &payload, &error), HAKUBAN_OK);
        ck_assert_uint_eq(frame, 0);
    }
    ck_assert_int_eq(cut(large, sizeof(large), 300, &frame, &header, &payload, &error), HAKUBAN_OK);
    ck_assert_uint_eq(frame, 302);
    ck_assert_uint_eq(header, 5);
    ck_assert_uint_eq(payload, 294);
    /* Over the limit is known from the length alone. */
    ck_assert_int_eq(cut(large, 2, 299, &frame, &header, &payload, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_str_eq(error.text, "a frame is larger than 299 bytes");
    /* A longer form of a number than needed means the same. */
    ck_assert_int_eq(cut("\x84\x80\x00\x82\x00hi", 7, 300, &frame, &header, &payload, &error),
                     HAKUBAN_OK);
    ck_assert_uint_eq(frame, 7);
    ck_assert_uint_eq(header, 2);
    /* Numbers of more than 64 bits. */
    ck_assert_int_eq(cut("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, SIZE_MAX, &frame, &header,
                         &payload, &error),
                     HAKUBAN_ERR_LIMIT);
    ck_assert_int_eq(cut("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, SIZE_MAX, &frame,
                         &header, &payload, &error),
                     HAKUBAN_ERR_LIMIT);
    /* The greatest number is just never complete; with 32 bits it is over every limit. */
    bool fits = SIZE_MAX == UINT64_MAX;
    ck_assert_int_eq(cut("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01zz", 12, SIZE_MAX, &frame,
                         &header, &payload, &error),
                     fits ? HAKUBAN_OK : HAKUBAN_ERR_LIMIT);
    ck_assert_uint_eq(frame, fits ? 0 : 99);
}
END_TEST

START_TEST(a_header_must_lie_inside_its_frame)
{
    size_t frame, header, payload;
    static const struct {
        const char *data;
        size_t bytes;
    } wrong[] = {{"\x00", 1},         {"\x01\x01", 2},
                 {"\x03\x03hi", 4},   {"\x02\x80\x80", 3},
                 {"\x01\x80\x01", 3}, {"\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02z", 12}};
    for (size_t i = 0; i < HKB_COUNT(wrong); i++) {
        hakuban_error error = {0};
        ck_assert_int_eq(cut(wrong[i].data, wrong[i].bytes, 300, &frame, &header, &payload, &error),
                         HAKUBAN_ERR_PROTOCOL);
        ck_assert_str_eq(error.text, "a frame's header is longer than the frame");
    }
}
END_TEST

START_TEST(frames_that_were_put_are_found_again)
{
    static const char bytes[40000];
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 40000};
    hakuban_slice header, payload;
    hakuban_error error;
    size_t frame, taken = 0;
    out.bytes_max = 1 << 21;
    for (size_t i = 0; i < HKB_COUNT(sizes); i++) {
        for (size_t k = 0; k < HKB_COUNT(sizes); k++) {
            ck_assert_int_eq(hkb_frame_put(&out, (hakuban_slice){bytes, sizes[i]},
                                           (hakuban_slice){bytes, sizes[k]}),
                             HAKUBAN_OK);
        }
    }
    for (size_t i = 0; i < HKB_COUNT(sizes); i++) {
        for (size_t k = 0; k < HKB_COUNT(sizes); k++) {
            ck_assert_int_eq(hkb_frame_next((hakuban_slice){out.data + taken, out.bytes - taken},
                                            100000, &frame, &header, &payload, &error),
                             HAKUBAN_OK);
            ck_assert_uint_eq(header.bytes, sizes[i]);
            ck_assert_uint_eq(payload.bytes, sizes[k]);
            taken += frame;
        }
    }
    ck_assert_uint_eq(taken, out.bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("native");
    TCase *tcase = tcase_create("messages");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, counts_and_bare_words_arrive, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, texts_arrive_as_they_are, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, objects_arrive_with_all_their_tags, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, paths_limits_and_conditions_arrive, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, versions_arrive_whatever_came_before_them, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, states_arrive_with_format_age_and_size, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, a_state_says_whether_it_is_left_over, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, a_state_that_is_a_difference_to_something_forgotten_has_no_version,
                        0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, the_header_of_the_next_automatic_version_is_small, 0,
                        HKB_REGISTRY_MAX);
    tcase_add_test(tcase, unknown_kinds_and_more_fields_are_ignored);
    tcase_add_test(tcase, malformed_messages_are_refused_in_words);
    tcase_add_test(tcase, limits_hold);
    tcase_add_loop_test(tcase, no_damage_gets_through_as_a_crash, 0, HKB_REGISTRY_MAX);
    tcase_add_loop_test(tcase, memory_that_runs_out_is_an_error_and_nothing_is_lost, 0,
                        HKB_REGISTRY_MAX);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("frames");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, frames_are_cut_out_of_what_has_come_so_far);
    tcase_add_test(tcase, a_header_must_lie_inside_its_frame);
    tcase_add_test(tcase, frames_that_were_put_are_found_again);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
