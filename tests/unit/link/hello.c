/* The hello: what one side writes the other reads; what is malformed, unknown or of another release
 * is told apart. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail_alloc.h"
#include "link/hello.h"

#define NODE "00112233445566778899aabbccddeeff"
#define PATH "\"hakuban\":1,\"path\":[\"" NODE "\"]"

static hakuban_status read_text(const char *text, hkb_hello *ret, hakuban_error *reterr)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + !bytes); /* of exactly its size, not terminated */
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    hakuban_status status = hkb_hello_read((hakuban_slice){copy, bytes}, ret, reterr);
    free(copy);
    return status;
}

static void accepted(const char *text, hkb_hello *ret)
{
    hakuban_error error = {0};
    ck_assert_msg(read_text(text, ret, &error) == HAKUBAN_OK, "%s: %s", text, error.text);
}

static void refused(const char *text, hakuban_status status, const char *words)
{
    static hkb_hello hello;
    hakuban_error error = {0};
    ck_assert_msg(read_text(text, &hello, &error) == status, "%s: %s", text, error.text);
    ck_assert_int_eq(error.status, status);
    ck_assert_msg(strcmp(error.text, words) == 0, "%s: %s, not %s", text, error.text, words);
    ck_assert_int_eq(read_text(text, &hello, NULL), status);
}

static void same(const hkb_hello *a, const hkb_hello *b)
{
    ck_assert_uint_eq(a->major, b->major);
    ck_assert_str_eq(a->name, b->name);
    ck_assert_uint_eq(a->path_count, b->path_count);
    ck_assert(memcmp(a->path, b->path, a->path_count * sizeof(a->path[0])) == 0);
    ck_assert_uint_eq(a->serializer_count, b->serializer_count);
    for (size_t i = 0; i < a->serializer_count; i++) {
        ck_assert_str_eq(a->serializers[i].name, b->serializers[i].name);
    }
    ck_assert_uint_eq(a->compressor_count, b->compressor_count);
    for (size_t i = 0; i < a->compressor_count; i++) {
        ck_assert_str_eq(a->compressors[i].name, b->compressors[i].name);
    }
    ck_assert_uint_eq(a->keep_alive_ms, b->keep_alive_ms);
    ck_assert_uint_eq(a->grace_ms, b->grace_ms);
    ck_assert_uint_eq(a->window_bytes, b->window_bytes);
    ck_assert_uint_eq(a->state_bytes_max, b->state_bytes_max);
    ck_assert_int_eq(a->has_token, b->has_token);
    ck_assert_uint_eq(a->token[0], b->token[0]);
    ck_assert_uint_eq(a->token[1], b->token[1]);
    ck_assert_uint_eq(a->received_bytes, b->received_bytes);
    ck_assert_int_eq(a->resumed, b->resumed);
    ck_assert_int_eq(a->replaces, b->replaces);
    ck_assert_str_eq(a->refused, b->refused);
}

static void round_trip(const hkb_hello *hello)
{
    static hkb_hello again;
    hakuban_error error = {0};
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), 65536);
    ck_assert_int_eq(hkb_hello_write(hello, &out), HAKUBAN_OK);
    hakuban_status status = hkb_hello_read((hakuban_slice){out.data, out.bytes}, &again, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s", error.text);
    same(&again, hello);
    hkb_buffer_done(&out);
}

static void fill(hkb_hello *hello)
{
    memset(hello, 0, sizeof(*hello));
    hello->major = HKB_PROTOCOL_MAJOR;
    hello->path[0][0] = 0x0011223344556677u;
    hello->path[0][1] = UINT64_MAX;
    hello->path_count = 1;
}

START_TEST(what_was_written_is_read)
{
    static hkb_hello hello;
    fill(&hello);
    round_trip(&hello);
    snprintf(hello.name, sizeof(hello.name), "edge \"1\" \\ \xc3\xa9 \x01");
    snprintf(hello.serializers[0].name, sizeof(hello.serializers[0].name), "json");
    hello.serializer_count = 1;
    hello.keep_alive_ms = hello.grace_ms = hello.window_bytes = UINT64_MAX;
    hello.state_bytes_max = INT64_MAX;
    hello.has_token = true;
    hello.token[1] = 1;
    hello.received_bytes = UINT64_MAX - 1;
    hello.resumed = true;
    round_trip(&hello);
    hello.resumed = false;
    hello.replaces = true;
    round_trip(&hello);
    /* As much of everything as there may be. */
    memset(hello.name, 'n', HKB_NAME_BYTES_MAX);
    hello.path_count = HKB_PATH_NODES_MAX;
    hello.serializer_count = hello.compressor_count = HKB_OFFERS_MAX;
    for (size_t i = 0; i < HKB_OFFERS_MAX; i++) {
        memset(hello.serializers[i].name, 's', HKB_OFFER_NAME_BYTES_MAX);
        memset(hello.compressors[i].name, 'c', HKB_OFFER_NAME_BYTES_MAX);
    }
    round_trip(&hello);
}
END_TEST

START_TEST(the_largest_hello_fits_its_limit)
{
    static hkb_hello hello;
    hkb_buffer out;
    fill(&hello);
    memset(hello.name, 'n', HKB_NAME_BYTES_MAX);
    hello.path_count = HKB_PATH_NODES_MAX;
    for (size_t i = 0; i < 8; i++) {
        memset(hello.serializers[i].name, 's', HKB_OFFER_NAME_BYTES_MAX);
        memset(hello.compressors[i].name, 'c', HKB_OFFER_NAME_BYTES_MAX);
    }
    hello.serializer_count = hello.compressor_count = 8;
    hello.keep_alive_ms = hello.grace_ms = hello.window_bytes = hello.state_bytes_max = UINT64_MAX;
    hello.has_token = hello.replaces = true;
    hello.received_bytes = UINT64_MAX;
    hkb_buffer_init(&out, hakuban_alloc_default(), HKB_HELLO_BYTES_MAX - 8);
    ck_assert_int_eq(hkb_hello_write(&hello, &out), HAKUBAN_OK);
    hkb_buffer_done(&out);
}
END_TEST

START_TEST(a_refusal_is_words_and_nothing_else)
{
    static hkb_hello hello;
    hkb_buffer out;
    fill(&hello);
    memset(hello.refused, '"', sizeof(hello.refused) - 1);
    hkb_buffer_init(&out, hakuban_alloc_default(), 4096);
    ck_assert_int_eq(hkb_hello_write(&hello, &out), HAKUBAN_OK);
    static hkb_hello again;
    ck_assert_int_eq(hkb_hello_read((hakuban_slice){out.data, out.bytes}, &again, NULL),
                     HAKUBAN_OK);
    ck_assert_str_eq(again.refused, hello.refused);
    ck_assert_uint_eq(again.path_count, 0);
    hkb_buffer_done(&out);
}
END_TEST

START_TEST(unknown_members_are_ignored)
{
    static hkb_hello hello;
    accepted("{\"later\":{\"a\":[1,{\"b\":null}],\"name\":5}," PATH ",\"\":[],\"zz\":-1.5e3}",
             &hello);
    ck_assert_str_eq(hello.name, "");
    accepted("{ \"hakuban\" : 1 ,\n\"path\" : [ \"" NODE "\" ] , \"serializers\" : [ ] }", &hello);
    ck_assert_uint_eq(hello.serializer_count, 0);
    accepted("{" PATH ",\"a member with a name that is longer than any name this release knows or "
             "would ever think of\":true}",
             &hello);
    /* Escapes are another way to write the same key; the last of two counts. */
    accepted("{" PATH ",\"n\\u0061me\":\"a\",\"name\":\"b\"}", &hello);
    ck_assert_str_eq(hello.name, "b");
    accepted("{" PATH ",\"serializers\":[\"a\",\"b\"],\"serializers\":[\"c\"]}", &hello);
    ck_assert_uint_eq(hello.serializer_count, 1);
    ck_assert_str_eq(hello.serializers[0].name, "c");
    refused("{" PATH ",\"x\":[[[[[[[[[1]]]]]]]]]}", HAKUBAN_ERR_PROTOCOL,
            "hello: nested too deeply");
}
END_TEST

START_TEST(members_of_a_wrong_kind_are_refused_in_words)
{
    static const char *const numbers[] = {"keep_alive_ms", "grace_ms", "window", "state_max",
                                          "received"};
    static const char *const wrong[] = {"-1", "1.0", "\"1\"", "null",
                                        "[]", "{}",  "true",  "18446744073709551616"};
    char text[300];
    for (size_t i = 0; i < HKB_COUNT(numbers); i++) {
        for (size_t k = 0; k < HKB_COUNT(wrong); k++) {
            snprintf(text, sizeof(text), "{" PATH ",\"%s\":%s}", numbers[i], wrong[k]);
            refused(text, HAKUBAN_ERR_PROTOCOL, "hello: a whole number was expected");
        }
    }
    refused("{\"hakuban\":\"1\"}", HAKUBAN_ERR_PROTOCOL, "hello: a whole number was expected");
    refused("{" PATH ",\"name\":5}", HAKUBAN_ERR_PROTOCOL, "hello: a text was expected");
    refused("{" PATH ",\"name\":\"a\\u0000b\"}", HAKUBAN_ERR_PROTOCOL, "hello: a text is too long");
    refused("{" PATH ",\"refused\":[]}", HAKUBAN_ERR_PROTOCOL, "hello: a text was expected");
    refused("{" PATH ",\"serializers\":\"json\"}", HAKUBAN_ERR_PROTOCOL,
            "hello: a list was expected");
    refused("{" PATH ",\"compressors\":[1]}", HAKUBAN_ERR_PROTOCOL, "hello: a text was expected");
    refused("{" PATH ",\"compressors\":[[]]}", HAKUBAN_ERR_PROTOCOL, "hello: a text was expected");
    refused("{\"hakuban\":1,\"path\":{}}", HAKUBAN_ERR_PROTOCOL, "hello: a list was expected");
    refused("{" PATH ",\"resumed\":1}", HAKUBAN_ERR_PROTOCOL, "hello: true or false was expected");
    refused("{" PATH ",\"replaces\":null}", HAKUBAN_ERR_PROTOCOL,
            "hello: true or false was expected");
    static const char *const ids[] = {"", "00112233445566778899aabbccddeef",
                                      "00112233445566778899AABBCCDDEEFF",
                                      "00112233445566778899aabbccddeefg"};
    for (size_t i = 0; i < HKB_COUNT(ids); i++) {
        snprintf(text, sizeof(text), "{" PATH ",\"token\":\"%s\"}", ids[i]);
        refused(text, HAKUBAN_ERR_PROTOCOL, "hello: an id of 32 hexadecimal digits was expected");
        snprintf(text, sizeof(text), "{\"hakuban\":1,\"path\":[\"%s\"]}", ids[i]);
        refused(text, HAKUBAN_ERR_PROTOCOL, "hello: an id of 32 hexadecimal digits was expected");
    }
    refused("{" PATH ",\"token\":\"" NODE "0\"}", HAKUBAN_ERR_PROTOCOL,
            "hello: a text is too long");
}
END_TEST

/* An object with one member whose value is head, count times item with commas, tail. */
static char *repeated(const char *head, const char *item, size_t count, const char *tail)
{
    size_t bytes = strlen(item), begin = 100 + strlen(head), room = begin + bytes * count;
    char *made = malloc(room + strlen(tail) + 2);
    ck_assert_ptr_nonnull(made);
    begin = (size_t)snprintf(made, begin, "{\"hakuban\":1,%s", head);
    for (size_t i = 0; i < count; i++) {
        memcpy(made + begin + i * bytes, item, bytes);
    }
    snprintf(made + begin + count * bytes, strlen(tail) + 2, "%s}", tail);
    return made;
}

START_TEST(what_is_too_long_is_refused_in_words)
{
    static hkb_hello hello;
    static const struct {
        const char *head, *item, *tail, *words;
        size_t most;
    } members[] = {
        {"\"path\":[\"" NODE "\"],\"name\":\"", "n", "\"", "hello: a text is too long",
         HKB_NAME_BYTES_MAX},
        {"\"path\":[\"" NODE "\"],\"name\":\"", "\\u0041", "\"", "hello: a text is too long",
         HKB_NAME_BYTES_MAX},
        {"\"path\":[\"" NODE "\"],\"refused\":\"", "n", "\"", "hello: a text is too long",
         sizeof(hello.refused) - 1},
        {"\"path\":[\"" NODE "\"],\"serializers\":[\"", "n", "\"]", "hello: a text is too long",
         HKB_OFFER_NAME_BYTES_MAX},
        {"\"path\":[\"" NODE "\"],\"serializers\":[\"x\"", ",\"n\"", "]",
         "hello: a list is too long", HKB_OFFERS_MAX - 1},
        {"\"path\":[\"" NODE "\"],\"compressors\":[\"x\"", ",\"n\"", "]",
         "hello: a list is too long", HKB_OFFERS_MAX - 1},
        {"\"path\":[\"" NODE "\"", ",\"" NODE "\"", "]", "hello: a list is too long",
         HKB_PATH_NODES_MAX - 1},
    };
    for (size_t i = 0; i < HKB_COUNT(members); i++) {
        char *text = repeated(members[i].head, members[i].item, members[i].most, members[i].tail);
        accepted(text, &hello);
        free(text);
        text = repeated(members[i].head, members[i].item, members[i].most + 1, members[i].tail);
        refused(text, HAKUBAN_ERR_PROTOCOL, members[i].words);
        free(text);
    }
}
END_TEST

START_TEST(what_is_no_hello_is_told_so)
{
    static const char other[] = "the other side does not speak the hakuban protocol";
    refused("", HAKUBAN_ERR_PROTOCOL, other);
    refused("GET / HTTP/1.1\r\n\r\n", HAKUBAN_ERR_PROTOCOL, other);
    refused("\x16\x03\x01\x02", HAKUBAN_ERR_PROTOCOL, other);
    refused("[]", HAKUBAN_ERR_PROTOCOL, other);
    refused("\"{\"", HAKUBAN_ERR_PROTOCOL, other);
    static hkb_hello hello;
    static const char *const broken[] = {
        "{",          "{}}",          "{\"a\"}",     "{\"a\":1,}",  "{'a':1}",
        "{\"a\":01}", "{\"\xff\":1}", "{\"a\":1} 5", "{\"a\":nul}", "{\"\\ud800\":1}"};
    for (size_t i = 0; i < HKB_COUNT(broken); i++) {
        hakuban_error error = {0};
        ck_assert_int_eq(read_text(broken[i], &hello, &error), HAKUBAN_ERR_PARSE);
        ck_assert(error.text[0] != 0);
    }
    ck_assert_int_eq(hkb_hello_read((hakuban_slice){"{\0}", 3}, &hello, NULL), HAKUBAN_ERR_PARSE);
}
END_TEST

START_TEST(another_major_version_is_told_so)
{
    refused("{\"hakuban\":2,\"path\":[\"" NODE "\"]}", HAKUBAN_ERR_UNSUPPORTED,
            "version 1 of the hakuban protocol is spoken here, version 2 there");
    refused("{\"hakuban\":4294967295}", HAKUBAN_ERR_UNSUPPORTED,
            "version 1 of the hakuban protocol is spoken here, version 4294967295 there");
    refused("{\"hakuban\":4294967297}", HAKUBAN_ERR_UNSUPPORTED,
            "version 1 of the hakuban protocol is spoken here, version 0 there");
    refused("{}", HAKUBAN_ERR_UNSUPPORTED,
            "version 1 of the hakuban protocol is spoken here, version 0 there");
    refused("{\"hakuban\":1}", HAKUBAN_ERR_PROTOCOL, "hello: \"path\" is missing");
    refused("{\"hakuban\":1,\"path\":[]}", HAKUBAN_ERR_PROTOCOL, "hello: \"path\" is missing");
    static hkb_hello hello;
    accepted("{\"hakuban\":1,\"refused\":\"no\"}", &hello);
    ck_assert_str_eq(hello.refused, "no");
}
END_TEST

START_TEST(no_damage_gets_through_as_a_crash)
{
    static hkb_hello hello;
    static const char good[] =
        "{" PATH ",\"name\":\"\xc3\xa9\\n\",\"serializers\":[\"json\",\"m\"],\"compressors\":[],"
        "\"window\":5,\"token\":\"" NODE "\",\"received\":1,\"resumed\":true,\"x\":{\"y\":[1.5]}}";
    char text[sizeof(good)];
    for (size_t cut = 0; cut < sizeof(good) - 1; cut++) {
        memcpy(text, good, cut);
        text[cut] = 0;
        ck_assert_int_ne(read_text(text, &hello, NULL), HAKUBAN_OK);
    }
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int value = 1; value < 256; value++) {
            hakuban_error error = {0};
            memcpy(text, good, sizeof(good));
            text[at] = (char)value;
            hakuban_status status = read_text(text, &hello, &error);
            ck_assert_int_eq(error.status, status);
        }
    }
}
END_TEST

START_TEST(memory_that_runs_out_is_an_error)
{
    static hkb_hello hello;
    fail_alloc memory;
    hkb_buffer out;
    fill(&hello);
    memset(hello.name, 'n', HKB_NAME_BYTES_MAX);
    hello.path_count = HKB_PATH_NODES_MAX;
    fail_alloc_init(&memory);
    hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
    for (size_t nth = 1; status != HAKUBAN_OK; nth++) {
        hkb_buffer_init(&out, &memory.table, 4096);
        fail_alloc_arm(&memory, nth, false);
        status = hkb_hello_write(&hello, &out);
        ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
        hkb_buffer_done(&out);
        ck_assert_uint_eq(memory.blocks, 0);
    }
    fail_alloc_arm(&memory, 0, false);
    for (size_t most = 0; most < 2000; most++) {
        hkb_buffer_init(&out, &memory.table, most);
        ck_assert_int_eq(hkb_hello_write(&hello, &out), HAKUBAN_ERR_LIMIT);
        hkb_buffer_done(&out);
    }
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hello");
    TCase *tcase = tcase_create("hello");
    tcase_add_test(tcase, what_was_written_is_read);
    tcase_add_test(tcase, the_largest_hello_fits_its_limit);
    tcase_add_test(tcase, a_refusal_is_words_and_nothing_else);
    tcase_add_test(tcase, unknown_members_are_ignored);
    tcase_add_test(tcase, members_of_a_wrong_kind_are_refused_in_words);
    tcase_add_test(tcase, what_is_too_long_is_refused_in_words);
    tcase_add_test(tcase, what_is_no_hello_is_told_so);
    tcase_add_test(tcase, another_major_version_is_told_so);
    tcase_add_test(tcase, no_damage_gets_through_as_a_crash);
    tcase_add_test(tcase, memory_that_runs_out_is_an_error);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
