/* The canonical form of JSON, on which the identity of objects stands: edge cases with their
 * answers. */
#include <check.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail_alloc.h"
#include "json/json.h"

static const struct {
    const char *text, *canonical;
} pairs[] = {
    {" { \"b\" : 1 , \"a\" : [ ] } ", "{\"a\":[],\"b\":1}"},
    {"{\"a\":1,\"\\u0061\":2,\"a\":3}", "{\"a\":3}"},
    {"{\"\\n\":1,\"\\\"\":2,\"a\":3,\"\\u0000\":4}",
     "{\"\\u0000\":4,\"\\n\":1,\"\\\"\":2,\"a\":3}"},
    {"{\"\xef\xbf\xbd\":1,\"\\ud83d\\ude00\":2}", "{\"\xef\xbf\xbd\":1,\"\xf0\x9f\x98\x80\":2}"},
    {"[{\"b\":{\"d\":1,\"c\":2},\"a\":{}}]", "[{\"a\":{},\"b\":{\"c\":2,\"d\":1}}]"},
    {"0", "0"},
    {"-0", "0.0"},
    {"-0.0", "0.0"},
    {"0e5", "0.0"},
    {"1", "1"},
    {"1.0", "1.0"},
    {"1e0", "1.0"},
    {"18446744073709551615", "18446744073709551615"},
    {"18446744073709551616", "1.8446744073709552e19"},
    {"-9223372036854775808", "-9223372036854775808"},
    {"-9223372036854775809", "-9.223372036854776e18"},
    {"1e15", "1000000000000000.0"},
    {"1e16", "1e16"},
    {"0.1", "0.1"},
    {"0.00001234", "0.00001234"},
    {"1e-6", "1e-6"},
    {"5.684341886080801486968994140625e-14", "5.684341886080802e-14"}, /* 2^-44 */
    {"9007199254740993.0", "9007199254740992.0"},
    {"9007199254740993.00000000000000000000000000000000000000001", "9007199254740994.0"},
    {"4.9e-324", "5e-324"},
    {"1e-400", "0.0"},
    {"1.7976931348623157e308", "1.7976931348623157e308"},
    {"\"\\/\\u00e9\\u001f\x7f\"", "\"/\xc3\xa9\\u001f\x7f\""},
};

static const char *const wrong[] = {
    "",
    " ",
    "[",
    "]",
    "{",
    "[1,]",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\"}",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "+1",
    "nul",
    "1 2",
    "[1 2]",
    "\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\n\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xff\"",
    "1e309",
    "-1e309",
    "NaN",
    "{\"a\":}",
    "{1:2}",
    "[}",
    "{]",
    "[,1]",
    "\"\\ud800\\u0041\"",
};

static const hakuban_alloc *memory;

static hakuban_status canonical(const char *text, size_t bytes, char *out, size_t out_bytes,
                                hakuban_error *reterr)
{
    hkb_buffer buffer;
    hkb_buffer_init(&buffer, memory, out_bytes - 1);
    hakuban_status status = hkb_json_canonical(text, bytes, &buffer, reterr);
    if (status == HAKUBAN_OK) {
        memcpy(out, buffer.data, buffer.bytes);
        out[buffer.bytes] = '\0';
    }
    hkb_buffer_done(&buffer);
    return status;
}

START_TEST(equal_values_have_equal_texts)
{
    char out[256];
    ck_assert_int_eq(canonical(pairs[_i].text, strlen(pairs[_i].text), out, sizeof(out), NULL),
                     HAKUBAN_OK);
    ck_assert_str_eq(out, pairs[_i].canonical);
}
END_TEST

START_TEST(canonical_text_stays_as_it_is)
{
    char out[256];
    const char *text = pairs[_i].canonical;
    ck_assert_int_eq(canonical(text, strlen(text), out, sizeof(out), NULL), HAKUBAN_OK);
    ck_assert_str_eq(out, text);
}
END_TEST

START_TEST(what_is_not_json_is_refused_in_words)
{
    char out[256];
    hakuban_error error = {.status = HAKUBAN_OK};
    ck_assert_int_eq(canonical(wrong[_i], strlen(wrong[_i]), out, sizeof(out), &error),
                     HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(error.status, HAKUBAN_ERR_PARSE);
    ck_assert(error.text[0] != '\0');
    ck_assert_uint_le(error.offset, strlen(wrong[_i]));
}
END_TEST

START_TEST(an_error_says_line_and_column)
{
    hakuban_error error;
    const char *text = "{\n  \"a\": 1,\n  \"b\" 2}";
    ck_assert_int_eq(hkb_json_check(text, strlen(text), &error), HAKUBAN_ERR_PARSE);
    ck_assert_uint_eq(error.line, 3);
    ck_assert_uint_eq(error.column, 7);
    ck_assert_uint_eq(error.offset, 18);
}
END_TEST

START_TEST(depth_127_passes_and_128_does_not)
{
    for (size_t depth = 127; depth <= 128; depth++) {
        char text[1024], out[1024];
        size_t used = 0;
        for (size_t i = 0; i < depth; i++) {
            text[used++] = '[';
        }
        text[used++] = ' ';
        for (size_t i = 0; i < depth; i++) {
            text[used++] = ']';
        }
        hakuban_error error;
        hakuban_status status = canonical(text, used, out, sizeof(out), &error);
        ck_assert_int_eq(status, depth == 127 ? HAKUBAN_OK : HAKUBAN_ERR_LIMIT);
    }
}
END_TEST

START_TEST(a_million_digits_and_many_keys_take_no_quadratic_time)
{
    size_t bytes = 1000000;
    char *text = malloc(bytes * 2), *out = malloc(bytes * 4);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(out);
    memset(text, '7', bytes);
    text[1] = '.';
    ck_assert_int_eq(canonical(text, bytes, out, bytes * 4, NULL), HAKUBAN_OK);
    ck_assert_str_eq(out, "7.777777777777778");
    text[1] = '7';
    memcpy(text + bytes, "e-1000000", 9);
    ck_assert_int_eq(canonical(text, bytes + 9, out, bytes * 4, NULL), HAKUBAN_OK);
    ck_assert_str_eq(out, "0.7777777777777778");
    size_t used = 0;
    text[used++] = '{';
    for (int i = 0; i < 80000; i++) {
        used += (size_t)snprintf(text + used, 32, "\"%d\":%d,", 200000 - i, i);
    }
    text[used - 1] = '}';
    ck_assert_int_eq(canonical(text, used, out, bytes * 4, NULL), HAKUBAN_OK);
    ck_assert_int_eq(strncmp(out, "{\"120001\":79999,\"120002\":79998,", 30), 0);
    free(text);
    free(out);
}
END_TEST

START_TEST(more_than_the_budget_is_a_limit)
{
    char out[8];
    ck_assert_int_eq(canonical("[1,2,3]", 7, out, sizeof(out), NULL), HAKUBAN_OK);
    ck_assert_int_eq(canonical("[1,2,34]", 8, out, sizeof(out), NULL), HAKUBAN_ERR_LIMIT);
    ck_assert_int_eq(canonical("[1, 2, 3]", 9, out, sizeof(out), NULL), HAKUBAN_OK);
    ck_assert_int_eq(canonical("{\"a\":12345678,\"a\":1}", 20, out, sizeof(out), NULL), HAKUBAN_OK);
}
END_TEST

START_TEST(every_failed_allocation_is_an_error_and_leaves_nothing)
{
    fail_alloc counted;
    fail_alloc_init(&counted);
    memory = &counted.table;
    const char *text = "{\"b\":[1.50,\"\\u0041\"],\"a\":{\"d\":1,\"c\":2,\"c\":3}, \"0\":0}";
    for (size_t n = 1;; n++) {
        char out[256];
        fail_alloc_arm(&counted, n, n % 2);
        hakuban_status status = canonical(text, strlen(text), out, sizeof(out), NULL);
        ck_assert_uint_eq(counted.blocks, 0);
        if (status == HAKUBAN_OK) {
            ck_assert(!fail_alloc_failed(&counted));
            ck_assert_str_eq(out, "{\"0\":0,\"a\":{\"c\":3,\"d\":1},\"b\":[1.5,\"A\"]}");
            break;
        }
        ck_assert_int_eq(status, HAKUBAN_ERR_NO_MEMORY);
    }
    memory = NULL;
}
END_TEST

START_TEST(compact_changes_white_space_only)
{
    hkb_buffer buffer;
    hkb_buffer_init(&buffer, NULL, 100);
    const char *text = " { \"b\" : 1.50 ,\n\"a\": \" \\u0041\" } ";
    ck_assert_int_eq(hkb_json_compact(text, strlen(text), &buffer, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(buffer.bytes, 24);
    ck_assert_int_eq(memcmp(buffer.data, "{\"b\":1.50,\"a\":\" \\u0041\"}", 24), 0);
    hkb_buffer_done(&buffer);
}
END_TEST

START_TEST(the_locale_does_not_matter)
{
    char out[64];
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        return; /* none with a comma is installed here */
    }
    ck_assert_int_eq(canonical("[0.125e300,1.5]", 15, out, sizeof(out), NULL), HAKUBAN_OK);
    ck_assert_str_eq(out, "[1.25e299,1.5]");
    setlocale(LC_ALL, "C");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("canonical JSON");
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, equal_values_have_equal_texts, 0, (int)HKB_COUNT(pairs));
    tcase_add_loop_test(all, canonical_text_stays_as_it_is, 0, (int)HKB_COUNT(pairs));
    tcase_add_loop_test(all, what_is_not_json_is_refused_in_words, 0, (int)HKB_COUNT(wrong));
    tcase_add_test(all, an_error_says_line_and_column);
    tcase_add_test(all, depth_127_passes_and_128_does_not);
    tcase_add_test(all, a_million_digits_and_many_keys_take_no_quadratic_time);
    tcase_add_test(all, more_than_the_budget_is_a_limit);
    tcase_add_test(all, every_failed_allocation_is_an_error_and_leaves_nothing);
    tcase_add_test(all, compact_changes_white_space_only);
    tcase_add_test(all, the_locale_does_not_matter);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
