/* The registry of plugins, and the json serializer through the functions that stand around every
 * format. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fail_alloc.h"
#include "plugin/registry.h"

extern const hakuban_serializer_ops hakuban_serializer_json;

static int alive;

static hakuban_status begin(void *self, const hakuban_alloc *alloc)
{
    (void)self;
    ck_assert_ptr_nonnull(alloc);
    alive++;
    return HAKUBAN_OK;
}
static void end(void *self)
{
    (void)self;
    alive--;
}
static hakuban_status refuse(void *self, const hakuban_alloc *alloc)
{
    (void)begin(self, alloc);
    return HAKUBAN_ERR_IO;
}
static size_t bound(void *self, size_t bytes)
{
    (void)self;
    return bytes;
}
static hakuban_status compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                               hakuban_slice src, hakuban_slice reference)
{
    (void)self, (void)dst, (void)dst_bytes, (void)ret_bytes, (void)src, (void)reference;
    return HAKUBAN_ERR_LIMIT;
}
static hakuban_status decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                 hakuban_slice reference)
{
    (void)self, (void)dst, (void)dst_bytes, (void)src, (void)reference;
    return HAKUBAN_ERR_CORRUPT;
}

static const hakuban_compressor_ops squeeze = {.size = sizeof(squeeze),
                                               .abi = HAKUBAN_COMPRESSOR_ABI,
                                               .name = "squeeze",
                                               .self_bytes = 10,
                                               .init = begin,
                                               .done = end,
                                               .bound = bound,
                                               .compress = compress,
                                               .decompress = decompress};

START_TEST(what_was_added_is_found_by_its_name)
{
    hkb_registry registry;
    hkb_registry_init(&registry, NULL);
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &squeeze, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hkb_registry_add_serializer(&registry, &hakuban_serializer_json, NULL),
                     HAKUBAN_OK);
    ck_assert_ptr_nonnull(hkb_registry_compressor(&registry, "squeeze!", 7));
    ck_assert_ptr_null(hkb_registry_compressor(&registry, "squeeze", 6));
    ck_assert_ptr_nonnull(hkb_registry_serializer(&registry, "json", 4));
    ck_assert_ptr_null(hkb_registry_transport(&registry, "tcp"));
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &squeeze, NULL), HAKUBAN_ERR_EXISTS);
    ck_assert_int_eq(alive, 1);
    hkb_registry_done(&registry);
    ck_assert_int_eq(alive, 0);
}
END_TEST

START_TEST(a_table_that_does_not_fit_is_refused_in_words)
{
    hkb_registry registry;
    hakuban_error error;
    hkb_registry_init(&registry, NULL);
    hakuban_compressor_ops ops = squeeze;
    ops.abi = 99;
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &ops, &error), HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "99"));
    ops = squeeze;
    ops.compress = NULL;
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &ops, &error), HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "compress()"));
    ops = squeeze;
    ops.size = offsetof(hakuban_compressor_ops, decompress);
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &ops, &error), HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "decompress()"));
    ops = squeeze;
    ops.name = "a name that has thirty-three byte";
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &ops, &error), HAKUBAN_ERR_ARGUMENT);
    ops = squeeze;
    ops.init = refuse;
    ck_assert_int_eq(hkb_registry_add_compressor(&registry, &ops, &error), HAKUBAN_ERR_IO);
    ck_assert_int_eq(alive, 0);
    ck_assert_int_eq(hkb_registry_add_transport(&registry, NULL, NULL, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(
        hkb_registry_add_transport(&registry,
                                   &(hakuban_transport_ops){.size = sizeof(hakuban_transport_ops),
                                                            .abi = HAKUBAN_TRANSPORT_ABI,
                                                            .scheme = "x"},
                                   NULL, &error),
        HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "listen()"));
    hkb_registry_done(&registry);
}
END_TEST

START_TEST(adding_without_memory_is_an_error_and_leaves_nothing)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    for (size_t n = 1; n <= 4; n++) {
        hkb_registry registry;
        fail_alloc_arm(&memory, n, true);
        hkb_registry_init(&registry, &memory.table);
        hakuban_status first = hkb_registry_add_compressor(&registry, &squeeze, NULL);
        hakuban_status second =
            hkb_registry_add_serializer(&registry, &hakuban_serializer_json, NULL);
        ck_assert_int_eq(first, n <= 2 ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK);
        ck_assert_int_eq(second, n <= 3 ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK);
        hkb_registry_done(&registry);
        ck_assert_uint_eq(memory.blocks, 0);
        ck_assert_int_eq(alive, 0);
    }
}
END_TEST

static void expect_written(hakuban_writer *writer, const char *text)
{
    ck_assert_int_eq(hakuban_writer_status(writer), HAKUBAN_OK);
    ck_assert_uint_eq(writer->bytes, strlen(text));
    ck_assert_int_eq(memcmp(writer->data, text, writer->bytes), 0);
}

START_TEST(what_is_written_reads_back)
{
    hakuban_writer w;
    hakuban_writer_init(&w, &hakuban_serializer_json, NULL, 1000);
    ck_assert_int_eq(hakuban_writer_status(&w), HAKUBAN_ERR_ARGUMENT);
    hakuban_write_array(&w, 9);
    hakuban_write_null(&w);
    hakuban_write_bool(&w, 5);
    hakuban_write_int(&w, INT64_MIN);
    hakuban_write_uint(&w, UINT64_MAX);
    hakuban_write_double(&w, 2);
    hakuban_write_string(&w, "a\"\n\xc3\xa9");
    hakuban_write_map(&w, 2);
    hakuban_write_string(&w, "k");
    hakuban_write_array(&w, 0);
    hakuban_write_end(&w);
    hakuban_write_string(&w, "");
    hakuban_write_int(&w, 0);
    hakuban_write_end(&w);
    hakuban_write_int(&w, 7);
    hakuban_write_map(&w, 0);
    hakuban_write_end(&w);
    hakuban_write_end(&w);
    expect_written(&w, "[null,true,-9223372036854775808,18446744073709551615,2.0,"
                       "\"a\\\"\\n\xc3\xa9\",{\"k\":[],\"\":0},7,{}]");
    hakuban_reader r;
    hakuban_reader_init(&r, &hakuban_serializer_json, NULL, w.data, w.bytes, 100);
    uint32_t count;
    hakuban_token token;
    int boolean;
    int64_t sint;
    uint64_t uint;
    double real;
    hakuban_slice text;
    ck_assert_int_eq(hakuban_read_array(&r, &count), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read(&r, &token), HAKUBAN_OK);
    ck_assert_int_eq(token.kind, HAKUBAN_TOKEN_NULL);
    ck_assert_int_eq(hakuban_read_bool(&r, &boolean), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_int(&r, &sint), HAKUBAN_OK);
    ck_assert(sint == INT64_MIN);
    ck_assert_int_eq(hakuban_read_uint(&r, &uint), HAKUBAN_OK);
    ck_assert(uint == UINT64_MAX);
    ck_assert_int_eq(hakuban_read_double(&r, &real), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_text(&r, &text), HAKUBAN_OK);
    ck_assert(!hakuban_read_at_end(&r)); /* takes nothing of the text away */
    ck_assert_uint_eq(text.bytes, 5);
    ck_assert_int_eq(memcmp(text.data, "a\"\n\xc3\xa9", 5), 0);
    ck_assert_int_eq(hakuban_read_map(&r, &count), HAKUBAN_OK);
    while (!hakuban_read_at_end(&r)) {
        ck_assert_int_eq(hakuban_read_text(&r, &text), HAKUBAN_OK);
        ck_assert_int_eq(hakuban_read_skip(&r), HAKUBAN_OK);
    }
    ck_assert_int_eq(hakuban_read_end(&r), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_double(&r, &real), HAKUBAN_OK);
    ck_assert(real > 6.9 && real < 7.1);
    ck_assert_int_eq(hakuban_read_skip(&r), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_end(&r), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read(&r, &token), HAKUBAN_ERR_PARSE);
    hakuban_reader_done(&r);
    hakuban_writer_done(&w);
}
END_TEST

START_TEST(wrong_writing_is_refused_and_the_failure_sticks)
{
    hakuban_writer w;
    hakuban_writer_init(&w, &hakuban_serializer_json, NULL, 20);
    ck_assert_int_eq(hakuban_write_bytes(&w, "x", 1), HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_int_eq(hakuban_write_int(&w, 1), HAKUBAN_ERR_UNSUPPORTED);
    hakuban_writer_reset(&w);
    ck_assert_int_eq(hakuban_write_double(&w, (double)INFINITY), HAKUBAN_ERR_UNSUPPORTED);
    hakuban_writer_reset(&w);
    hakuban_write_map(&w, 1);
    ck_assert_int_eq(hakuban_write_int(&w, 1), HAKUBAN_ERR_UNSUPPORTED);
    hakuban_writer_reset(&w);
    hakuban_write_map(&w, 1);
    hakuban_write_string(&w, "a");
    ck_assert_int_eq(hakuban_write_end(&w), HAKUBAN_ERR_ARGUMENT);
    hakuban_writer_reset(&w);
    hakuban_write_array(&w, 1);
    hakuban_write_int(&w, 1);
    ck_assert_int_eq(hakuban_write_int(&w, 1), HAKUBAN_ERR_ARGUMENT);
    hakuban_writer_reset(&w);
    ck_assert_int_eq(hakuban_write_string(&w, "more than twenty bytes"), HAKUBAN_ERR_LIMIT);
    hakuban_writer_reset(&w);
    ck_assert_int_eq(hakuban_write_string(&w, "\xff"), HAKUBAN_ERR_ARGUMENT);
    hakuban_writer_reset(&w);
    ck_assert_int_eq(hakuban_write_string(&w, NULL), HAKUBAN_ERR_ARGUMENT);
    hakuban_writer_done(&w);
    hakuban_writer_init(&w, &hakuban_serializer_json, NULL, 1000);
    for (int i = 0; i < 127; i++) {
        ck_assert_int_eq(hakuban_write_array(&w, 1), HAKUBAN_OK);
    }
    ck_assert_int_eq(hakuban_write_array(&w, 1), HAKUBAN_ERR_LIMIT);
    hakuban_writer_done(&w);
}
END_TEST

static hakuban_status read_all(const char *text, uint32_t elements_max)
{
    hakuban_reader r;
    hakuban_reader_init(&r, &hakuban_serializer_json, NULL, text, strlen(text), elements_max);
    hakuban_status status = hakuban_read_skip(&r);
    ck_assert_int_eq(r.error.status, status);
    ck_assert_int_eq(status != HAKUBAN_OK, r.error.text[0] != '\0');
    if (status != HAKUBAN_OK) {
        ck_assert_int_eq(hakuban_read_at_end(&r), 1);
        ck_assert_int_eq(hakuban_read_skip(&r), status);
    }
    hakuban_reader_done(&r);
    return status;
}

START_TEST(wrong_input_is_refused_in_words)
{
    static const char *const wrong[] = {
        "",         "[",          "[1",    "[1,]", "[1 2]", "{1:2}",     "{\"a\"",     "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "1 2",   "[1]]", "]",     "[01]",      "[-]",        "[1}",
        "{]",       "[-01]",      "[\"a]", "nul",  "[,1]",  "{\"a\",1}", "{\"a\":1:2}"};
    for (size_t i = 0; i < HKB_COUNT(wrong); i++) {
        ck_assert_msg(read_all(wrong[i], 100) == HAKUBAN_ERR_PARSE, "%s", wrong[i]);
    }
    ck_assert_int_eq(read_all(" [ 1 , 2.5 , \"\\u00e9\" , { \"a\" : [ ] } ] ", 100), HAKUBAN_OK);
    ck_assert_int_eq(read_all("[1,2,3]", 4), HAKUBAN_OK);
    ck_assert_int_eq(read_all("[1,2,3]", 3), HAKUBAN_ERR_LIMIT);
    char deep[257];
    for (size_t depth = 127; depth <= 128; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        deep[2 * depth] = '\0';
        ck_assert_int_eq(read_all(deep, 1000), depth == 127 ? HAKUBAN_OK : HAKUBAN_ERR_LIMIT);
    }
    hakuban_reader r;
    int64_t value;
    hakuban_reader_init(&r, &hakuban_serializer_json, NULL, "9223372036854775808", 19, 9);
    ck_assert_int_eq(hakuban_read_int(&r, &value), HAKUBAN_ERR_PARSE);
    hakuban_reader_done(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin");
    TCase *all = tcase_create("all");
    tcase_add_test(all, what_was_added_is_found_by_its_name);
    tcase_add_test(all, a_table_that_does_not_fit_is_refused_in_words);
    tcase_add_test(all, adding_without_memory_is_an_error_and_leaves_nothing);
    tcase_add_test(all, what_is_written_reads_back);
    tcase_add_test(all, wrong_writing_is_refused_and_the_failure_sticks);
    tcase_add_test(all, wrong_input_is_refused_in_words);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
