/* The conformance suite on every serializer and compressor that was built in and on those of the
 * examples; and on tables that break a promise, which it must find. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hakuban/plugin/conformance.h>

#include "built.h"

#define CUSTOM_SERIALIZER_TABLE_ONLY
#include "examples/custom-serializer.c"
#ifdef HAKUBAN_TEST_LZ4
#define CUSTOM_COMPRESSOR_TABLE_ONLY
#include "examples/custom-compressor.c"
#endif

#define DECLARE_SERIALIZER(name) extern const hakuban_serializer_ops hakuban_serializer_##name;
#define DECLARE_COMPRESSOR(name) extern const hakuban_compressor_ops hakuban_compressor_##name;
#define SERIALIZER(name) &hakuban_serializer_##name,
#define COMPRESSOR(name) &hakuban_compressor_##name,
HAKUBAN_BUILT_SERIALIZERS(DECLARE_SERIALIZER)
HAKUBAN_BUILT_COMPRESSORS(DECLARE_COMPRESSOR)

static const hakuban_serializer_ops *const serializers[] = {HAKUBAN_BUILT_SERIALIZERS(SERIALIZER) &
                                                            cbor};
static const hakuban_compressor_ops *const compressors[] = {HAKUBAN_BUILT_COMPRESSORS(COMPRESSOR)
#ifdef HAKUBAN_TEST_LZ4
                                                            & lz4_compressor
#endif
};
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* What need not hold, and why. */
static const struct {
    const char *plugin, *check, *reason;
} exceptions[] = {
    {"none", "data_that_repeats_gets_smaller", "it compresses nothing, which is what it is for"},
    {"none", "data_that_is_like_the_reference_gets_smaller", "it compresses nothing"},
};

typedef struct results {
    const char *plugin;
    unsigned checks, failures;
    char first[64]; /* the first that failed */
} results;

static void tell(void *ctx, const char *name, int passed, const char *text)
{
    results *all = ctx;
    all->checks++;
    if (passed) {
        return;
    }
    for (int i = 0; i < COUNT(exceptions); i++) {
        if (strcmp(exceptions[i].plugin, all->plugin) == 0 &&
            strcmp(exceptions[i].check, name) == 0) {
            fprintf(stderr, "# exception: %s: %s: %s\n", all->plugin, name, exceptions[i].reason);
            return;
        }
    }
    if (!all->failures++) {
        (void)snprintf(all->first, sizeof(all->first), "%s", name);
    }
    fprintf(stderr, "# %s: %s: %s\n", all->plugin, name, text);
}

START_TEST(every_serializer_keeps_its_promises)
{
    results all = {.plugin = serializers[_i]->name};
    (void)hakuban_conformance_serializer(serializers[_i], tell, &all);
    ck_assert_uint_eq(all.failures, 0);
    ck_assert_uint_gt(all.checks, 15);
}
END_TEST

START_TEST(every_compressor_keeps_its_promises)
{
    results all = {.plugin = compressors[_i]->name};
    (void)hakuban_conformance_compressor(compressors[_i], tell, &all);
    ck_assert_uint_eq(all.failures, 0);
    ck_assert_uint_gt(all.checks, 10);
}
END_TEST

/* -- Serializers that break a promise: CBOR but for one thing -- */

static hakuban_status write_half_of_the_integers(hakuban_writer *writer, const hakuban_token *token)
{
    hakuban_token half = *token;
    if (token->kind == HAKUBAN_TOKEN_INT) {
        half.value.sint /= 2;
    }
    return cbor.write(writer, &half);
}

static hakuban_status write_nothing_odd(hakuban_writer *writer, const hakuban_token *token)
{
    return token->kind == HAKUBAN_TOKEN_BYTES ? HAKUBAN_ERR_IO : cbor.write(writer, token);
}

static hakuban_status read_past_the_end(hakuban_reader *reader, hakuban_token *ret)
{
    static volatile unsigned seen;
    seen = reader->data[reader->bytes];
    (void)seen;
    return cbor.read(reader, ret);
}

static hakuban_status read_null_at_the_end(hakuban_reader *reader, hakuban_token *ret)
{
    if (reader->offset < reader->bytes) {
        return cbor.read(reader, ret);
    }
    ret->kind = HAKUBAN_TOKEN_NULL;
    return HAKUBAN_OK;
}

static hakuban_status read_and_keep(hakuban_reader *reader, hakuban_token *ret)
{
    if (!reader->state) {
        reader->state = reader->alloc->alloc(reader->alloc->ctx, 10);
    }
    return reader->state ? cbor.read(reader, ret) : HAKUBAN_ERR_NO_MEMORY;
}

/* The state is allocated before anything is checked: as much as a stranger says. */
static hakuban_status read_and_believe(hakuban_reader *reader, hakuban_token *ret)
{
    size_t bytes = reader->bytes > reader->offset ? (size_t)reader->data[reader->offset] << 10 : 1;
    hakuban_status status = hakuban_reader_scratch(reader, bytes + 1);
    return status < 0 ? status : cbor.read(reader, ret);
}

static const struct {
    hakuban_status (*write)(hakuban_writer *writer, const hakuban_token *token);
    hakuban_status (*read)(hakuban_reader *reader, hakuban_token *ret);
    const char *found;
} bad_serializers[] = {
    {NULL, cbor_read, "the_table_is_complete"},
    {write_half_of_the_integers, cbor_read, "every_value_comes_back_as_it_was"},
    {write_nothing_odd, cbor_read, "every_value_comes_back_as_it_was"},
    {cbor_write, read_past_the_end, "every_value_comes_back_as_it_was"},
    {cbor_write, read_null_at_the_end, "every_truncated_message_is_an_error"},
    {cbor_write, read_and_keep, "every_value_comes_back_as_it_was"},
    {cbor_write, read_and_believe, "every_truncated_message_is_an_error"},
};

START_TEST(a_serializer_that_breaks_a_promise_is_found)
{
    hakuban_serializer_ops bad = cbor;
    results all = {.plugin = "bad"};
    bad.write = bad_serializers[_i].write;
    bad.read = bad_serializers[_i].read;
    unsigned failures = hakuban_conformance_serializer(&bad, tell, &all);
    ck_assert_uint_gt(failures, 0);
    ck_assert_uint_eq(failures, all.failures);
    ck_assert_str_eq(all.first, bad_serializers[_i].found);
    ck_assert_uint_eq(hakuban_conformance_serializer(&bad, NULL, NULL), failures);
}
END_TEST

/* -- Compressors that break a promise: runs of one byte -- */

static size_t run_bound(void *self, size_t bytes)
{
    (void)self;
    return bytes ? bytes : 1;
}

static hakuban_status run_compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                                   hakuban_slice src, hakuban_slice reference)
{
    const uint8_t *from = src.data;
    (void)self, (void)dst_bytes, (void)reference;
    for (size_t i = 1; i < src.bytes; i++) {
        if (from[i] != from[0]) {
            return HAKUBAN_ERR_LIMIT;
        }
    }
    if (src.bytes < 2) {
        return HAKUBAN_ERR_LIMIT;
    }
    memcpy(dst, from, 1);
    *ret_bytes = 1;
    return HAKUBAN_OK;
}

static hakuban_status run_decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                     hakuban_slice reference)
{
    (void)self, (void)reference;
    if (src.bytes != 1) {
        return HAKUBAN_ERR_CORRUPT;
    }
    memset(dst, *(const uint8_t *)src.data, dst_bytes);
    return HAKUBAN_OK;
}

static hakuban_status decompress_too_much(void *self, void *dst, size_t dst_bytes,
                                          hakuban_slice src, hakuban_slice reference)
{
    return run_decompress(self, dst, dst_bytes + 1, src, reference);
}

static hakuban_status compress_too_little(void *self, void *dst, size_t dst_bytes,
                                          size_t *ret_bytes, hakuban_slice src,
                                          hakuban_slice reference)
{
    (void)self, (void)dst_bytes, (void)reference;
    if (src.bytes) {
        memcpy(dst, src.data, src.bytes);
    }
    *ret_bytes = src.bytes;
    return HAKUBAN_OK;
}

static hakuban_status keep_something(void *self, const hakuban_alloc *alloc)
{
    (void)self;
    return alloc->alloc(alloc->ctx, 10) ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
}

static const hakuban_compressor_ops run = {
    .size = sizeof(run),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "run",
    .bound = run_bound,
    .compress = run_compress,
    .decompress = run_decompress,
};

static void check_found(const hakuban_compressor_ops *ops, const char *name)
{
    results all = {.plugin = "bad"};
    ck_assert_uint_gt(hakuban_conformance_compressor(ops, tell, &all), 0);
    ck_assert_str_eq(all.first, name);
}

START_TEST(a_compressor_that_breaks_a_promise_is_found)
{
    hakuban_compressor_ops bad = run;
    check_found(&bad, "data_that_repeats_gets_smaller"); /* words do not */
    bad.decompress = decompress_too_much;
    check_found(&bad, "what_was_compressed_comes_back");
    bad = run;
    bad.compress = compress_too_little;
    check_found(&bad, "what_was_compressed_comes_back");
    bad = run;
    bad.init = keep_something;
    check_found(&bad, "what_was_compressed_comes_back");
    bad = run;
    bad.abi++;
    check_found(&bad, "the_table_is_complete");
    bad = run;
    bad.bound = NULL;
    check_found(&bad, "the_table_is_complete");
    check_found(NULL, "the_table_is_complete");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conformance of codecs");
    TCase *all = tcase_create("every codec");
    tcase_set_timeout(all, 100);
    tcase_add_loop_test(all, every_serializer_keeps_its_promises, 0, COUNT(serializers));
    tcase_add_loop_test(all, every_compressor_keeps_its_promises, 0, COUNT(compressors));
    tcase_add_loop_test(all, a_serializer_that_breaks_a_promise_is_found, 0,
                        COUNT(bad_serializers));
    tcase_add_test(all, a_compressor_that_breaks_a_promise_is_found);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
