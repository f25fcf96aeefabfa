/* Descriptors, states and versions as values: what is equal, what is refused, what happens when
 * memory runs out. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "fail_alloc.h"
#include "model/descriptor.h"
#include "model/state.h"

static hakuban_descriptor *descriptor(const char *object, const char *tag_a, const char *tag_b)
{
    const char *tags[] = {tag_a, tag_b};
    hakuban_descriptor *made = NULL;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, object, tags, 2, &made, NULL), HAKUBAN_OK);
    return made;
}

START_TEST(names_are_equal_by_value_and_tags_are_a_set)
{
    hakuban_descriptor *a = descriptor("{\"b\":1,\"a\":2}", "\"x\"", "[ 1 ]");
    hakuban_descriptor *b = descriptor("{ \"a\":2, \"b\":1 }", "[1]", "\"\\u0078\"");
    hakuban_descriptor *c = descriptor("{\"a\":2,\"b\":1.0}", "[1]", "\"x\"");
    hakuban_descriptor *d = descriptor("{\"a\":2,\"b\":1}", "\"x\"", "\"x\"");
    ck_assert(hakuban_descriptor_equal(a, b));
    ck_assert(!hakuban_descriptor_equal(a, c));
    ck_assert(!hakuban_descriptor_equal(a, d));
    ck_assert_str_eq(hakuban_descriptor_json(a), "{\"a\":2,\"b\":1}");
    ck_assert_uint_eq(hakuban_descriptor_tag_count(a), 2);
    ck_assert_str_eq(hakuban_descriptor_tag(a, 0), "\"x\"");
    ck_assert_str_eq(hakuban_descriptor_tag(a, 1), "[1]");
    ck_assert_ptr_null(hakuban_descriptor_tag(a, 2));
    ck_assert_uint_eq(hakuban_descriptor_tag_count(d), 1);
    hakuban_descriptor_unref(a);
    hakuban_descriptor_unref(b);
    hakuban_descriptor_unref(c);
    ck_assert_ptr_eq(hakuban_descriptor_ref(d), d);
    hakuban_descriptor_unref(d);
    ck_assert_ptr_null(hakuban_descriptor_unref(d));
    ck_assert_ptr_null(hakuban_descriptor_unref(NULL));
}
END_TEST

START_TEST(a_wrong_name_is_refused_and_says_which_text)
{
    hakuban_descriptor *made = NULL;
    hakuban_error error;
    const char *tags[65] = {"1", "cpu"};
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", tags, 2, &made, &error), HAKUBAN_ERR_PARSE);
    ck_assert_ptr_nonnull(strstr(error.text, "tag 2"));
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "{", tags, 1, &made, &error), HAKUBAN_ERR_PARSE);
    ck_assert_ptr_nonnull(strstr(error.text, "object"));
    ck_assert_int_eq(hakuban_descriptor_new(NULL, NULL, tags, 1, &made, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", NULL, 1, &made, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", tags, 3, &made, NULL), HAKUBAN_ERR_ARGUMENT);
    for (size_t i = 0; i < HKB_COUNT(tags); i++) {
        tags[i] = "1";
    }
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", tags, 65, &made, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", tags, 64, &made, &error), HAKUBAN_OK);
    ck_assert_uint_eq(hakuban_descriptor_tag_count(made), 1);
    hakuban_descriptor_unref(made);
}
END_TEST

START_TEST(object_and_tags_have_4096_bytes_together)
{
    static char object[8000];
    const char *tags[] = {"10"};
    hakuban_descriptor *made;
    memset(object, 'x', sizeof(object));
    object[0] = object[4093] = '"';
    object[4094] = '\0';
    ck_assert_int_eq(hakuban_descriptor_new(NULL, object, tags, 1, &made, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(strlen(hakuban_descriptor_json(made)), 4094);
    hakuban_descriptor_unref(made);
    tags[0] = "100";
    ck_assert_int_eq(hakuban_descriptor_new(NULL, object, tags, 1, &made, NULL), HAKUBAN_ERR_LIMIT);
    memset(object, ' ', sizeof(object) - 1);
    object[5000] = '1';
    object[sizeof(object) - 1] = '\0';
    ck_assert_int_eq(hakuban_descriptor_new(NULL, object, tags, 1, &made, NULL), HAKUBAN_OK);
    hakuban_descriptor_unref(made);
}
END_TEST

START_TEST(a_tag_alone_has_the_same_form)
{
    char out[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    size_t bytes = 0;
    ck_assert_int_eq(hkb_tag_canonical(NULL, (hakuban_slice){" [1 ,2]", 7}, out, &bytes, NULL),
                     HAKUBAN_OK);
    ck_assert_uint_eq(bytes, 5);
    ck_assert_str_eq(out, "[1,2]");
    ck_assert_int_eq(hkb_tag_canonical(NULL, (hakuban_slice){"cpu", 3}, out, &bytes, NULL),
                     HAKUBAN_ERR_PARSE);
}
END_TEST

START_TEST(a_name_without_memory_is_an_error_and_leaves_nothing)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    const char *tags[] = {"{\"b\":1, \"a\":2}", "\"x\""};
    for (size_t n = 1;; n++) {
        hakuban_descriptor *made = NULL;
        fail_alloc_arm(&memory, n, n % 2);
        hakuban_status status =
            hakuban_descriptor_new(&memory.table, "[ 1.50 ]", tags, 2, &made, NULL);
        if (status == HAKUBAN_OK) {
            ck_assert(!fail_alloc_failed(&memory));
            hakuban_descriptor_unref(made);
            break;
        }
        ck_assert_int_eq(status, HAKUBAN_ERR_NO_MEMORY);
        ck_assert_ptr_null(made);
        ck_assert_uint_eq(memory.blocks, 0);
    }
    ck_assert_uint_eq(memory.blocks, 0);
    fail_alloc_arm(&memory, 0, false);
    hakuban_descriptor *made;
    const char *canonical[] = {"\"a\"", "\"b\""};
    ck_assert_int_eq(hakuban_descriptor_new(&memory.table, "[1]", canonical, 2, &made, NULL),
                     HAKUBAN_OK);
    ck_assert_uint_eq(memory.calls, 1); /* what is canonical already costs one allocation */
    hakuban_descriptor_unref(made);
}
END_TEST

START_TEST(a_state_keeps_its_parts_and_shares_its_data)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    const char *format[] = {"JSON", "ZSTD"};
    const int64_t version[] = {1, 2, 3};
    hakuban_state_parts parts = {.data = "data",
                                 .data_bytes = 4,
                                 .format = format,
                                 .format_count = 2,
                                 .version = version,
                                 .version_count = 3};
    for (size_t n = 1; n <= 2; n++) {
        hakuban_state *state = NULL, *newer = NULL;
        fail_alloc_arm(&memory, n, true);
        hakuban_status status = hakuban_state_new(&memory.table, &parts, &state);
        ck_assert_int_eq(status, n == 1 ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK);
        if (status != HAKUBAN_OK) {
            continue;
        }
        hkb_version next = {.count = 1, .elements = {9}};
        ck_assert_int_eq(hkb_state_with_version(&memory.table, state, &next, &newer),
                         HAKUBAN_ERR_NO_MEMORY);
        fail_alloc_arm(&memory, 0, false);
        ck_assert_int_eq(hkb_state_with_version(&memory.table, state, &next, &newer), HAKUBAN_OK);
        ck_assert(hkb_state_same_content(state, newer));
        ck_assert_ptr_eq(hakuban_state_data(state).data, hakuban_state_data(newer).data);
        size_t count;
        ck_assert_int_eq(hakuban_state_version(state, &count)[2], 3);
        ck_assert_uint_eq(count, 3);
        ck_assert_ptr_null(hakuban_state_unref(state));
        ck_assert_int_eq(memcmp(hakuban_state_data(newer).data, "data", 4), 0);
        ck_assert_str_eq(hakuban_state_format(newer, 1), "ZSTD");
        ck_assert_ptr_null(hakuban_state_format(newer, 2));
        ck_assert_int_eq(hakuban_state_version(newer, &count)[0], 9);
        hakuban_state_unref(newer);
        ck_assert_uint_eq(memory.blocks, 0);
    }
}
END_TEST

START_TEST(impossible_states_are_refused)
{
    hakuban_state *state = NULL;
    const int64_t version[17] = {0};
    const char *names[17] = {"a", "a", "a", "a", "a", "a", "a", "a", "a",
                             "a", "a", "a", "a", "a", "a", "a", "a"};
    hakuban_state_parts parts = {.data_bytes = 1};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_ERR_ARGUMENT);
    parts = (hakuban_state_parts){.version = version, .version_count = 17};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_ERR_LIMIT);
    parts = (hakuban_state_parts){.version = version};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_ERR_ARGUMENT);
    parts = (hakuban_state_parts){.format = names, .format_count = 17};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_ERR_LIMIT);
    parts = (hakuban_state_parts){.data = "", .data_bytes = HAKUBAN_STATE_BYTES_MAX + 1};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_ERR_LIMIT);
    ck_assert_int_eq(hakuban_state_new_json("{\"a\":}", &state, NULL), HAKUBAN_ERR_PARSE);
    ck_assert_ptr_null(state);
    ck_assert_int_eq(hakuban_state_new_json(" {\"a\": 1}", &state, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(hakuban_state_data(state).bytes, 9); /* byte for byte */
    hakuban_state_unref(state);
    ck_assert(hkb_format_valid("JSON\0ZSTD", 2, 10));
    ck_assert(!hkb_format_valid("JSON\0ZSTD", 1, 10));
    ck_assert(!hkb_format_valid("JSON\0ZSTD", 2, 9));
    ck_assert(!hkb_format_valid("\xff", 1, 2));
    ck_assert(hkb_format_valid(NULL, 0, 0));
}
END_TEST

START_TEST(an_error_is_a_state_with_its_text_as_data)
{
    hakuban_state *state = NULL;
    ck_assert_int_eq(hakuban_state_new_error("no such table", &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_state_is_error(state), 1);
    ck_assert_uint_eq(hakuban_state_data(state).bytes, 13);
    ck_assert_int_eq(memcmp(hakuban_state_data(state).data, "no such table", 13), 0);
    hakuban_state_unref(state);
    ck_assert_int_eq(hakuban_state_new_error("\xff", &state), HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_state_new_error(NULL, &state), HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_state_is_error(NULL), 0);
    /* JSON about an error, and what is only packed with it, are states like others. */
    const char *names[] = {"ERROR", "ZSTD"};
    hakuban_state_parts parts = {.format = names, .format_count = 2};
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_state_is_error(state), 0);
    hakuban_state_unref(state);
    parts.format_count = 0;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_state_is_error(state), 0);
    hakuban_state_unref(state);
}
END_TEST

static hkb_version next_of(hkb_version last, int64_t wall_ns)
{
    hkb_version next = {.count = 0};
    ck_assert_int_eq(hkb_version_next(&last, wall_ns, 7, &next), HAKUBAN_OK);
    ck_assert_int_gt(hkb_version_compare(&next, &last), 0);
    ck_assert_uint_le(next.count, HAKUBAN_VERSION_ELEMENTS_MAX);
    return next;
}

static void expect(hkb_version is, hkb_version wanted)
{
    ck_assert_uint_eq(is.count, wanted.count);
    ck_assert_int_eq(hkb_version_compare(&is, &wanted), 0);
}

START_TEST(an_automatic_version_follows_the_clock_but_never_backwards)
{
    int64_t now = 1700000000000000123;
    expect(next_of((hkb_version){0}, now), (hkb_version){4, {0, 1700000000, 123, 7}});
    expect(next_of((hkb_version){4, {0, 1700000000, 123, 9}}, now),
           (hkb_version){4, {0, 1700000000, 124, 7}});
    expect(next_of((hkb_version){4, {0, 1800000000, 999999999, 9}}, now),
           (hkb_version){4, {0, 1800000001, 0, 7}});
    expect(next_of((hkb_version){1, {5}}, now), (hkb_version){5, {5, 0, 1700000000, 123, 7}});
    expect(next_of((hkb_version){5, {5, 0, 1600000000, 123, 7}}, now),
           (hkb_version){5, {5, 0, 1700000000, 123, 7}});
    expect(next_of((hkb_version){5, {5, 0, 1800000000, 5, 7}}, now),
           (hkb_version){5, {5, 0, 1800000000, 6, 7}});
    expect(next_of((hkb_version){0}, -1), (hkb_version){4, {0, -1, 999999999, 7}});
    next_of((hkb_version){2, {0, INT64_MAX}}, now);
    next_of((hkb_version){3, {0, INT64_MAX, 999999999}}, now);
}
END_TEST

START_TEST(a_long_version_still_has_a_next_one)
{
    for (size_t count = 1; count <= HAKUBAN_VERSION_ELEMENTS_MAX; count++) {
        hkb_version last = {.count = count};
        for (size_t i = 0; i < count; i++) {
            last.elements[i] = 5;
        }
        for (int i = 0; i < 1000; i++) {
            last = next_of(last, 1700000000000000123 - i);
        }
    }
    hkb_version greatest = {.count = HAKUBAN_VERSION_ELEMENTS_MAX}, next;
    for (size_t i = 0; i < greatest.count; i++) {
        greatest.elements[i] = INT64_MAX;
    }
    ck_assert_int_eq(hkb_version_next(&greatest, 1, 7, &next), HAKUBAN_ERR_VERSION);
    greatest.elements[3] = 1;
    expect(next_of(greatest, 1), (hkb_version){4, {INT64_MAX, INT64_MAX, INT64_MAX, 2}});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *all = tcase_create("all");
    tcase_add_test(all, names_are_equal_by_value_and_tags_are_a_set);
    tcase_add_test(all, a_wrong_name_is_refused_and_says_which_text);
    tcase_add_test(all, object_and_tags_have_4096_bytes_together);
    tcase_add_test(all, a_tag_alone_has_the_same_form);
    tcase_add_test(all, a_name_without_memory_is_an_error_and_leaves_nothing);
    tcase_add_test(all, a_state_keeps_its_parts_and_shares_its_data);
    tcase_add_test(all, impossible_states_are_refused);
    tcase_add_test(all, an_error_is_a_state_with_its_text_as_data);
    tcase_add_test(all, an_automatic_version_follows_the_clock_but_never_backwards);
    tcase_add_test(all, a_long_version_still_has_a_next_one);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
