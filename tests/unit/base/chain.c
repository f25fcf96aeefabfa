/* Chains: what comes out is what went in, in order, whether it was copied or shared. */
#include <check.h>

#include "base/chain.h"
#include "fail_alloc.h"

#define ROOM 64

static fail_alloc memory;
static hkb_chain chain;
static size_t held; /* by all chains */

static void set_up(void)
{
    fail_alloc_init(&memory);
    hkb_chain_init(&chain, &memory.table, 100000, &held);
}

static void tear_down(void)
{
    hkb_chain_done(&chain);
    ck_assert_uint_eq(memory.blocks, 0);
    ck_assert_uint_eq(held, 0);
}

static void append(hkb_chain *to, const char *text)
{
    ck_assert_int_eq(hkb_chain_append(to, text, strlen(text)), HAKUBAN_OK);
}

/* Adds text by reference, from its second byte on. */
static void share(hkb_chain *to, const char *text)
{
    hakuban_bytes *bytes;
    ck_assert_int_eq(hakuban_bytes_new(&memory.table, text, strlen(text), &bytes), HAKUBAN_OK);
    hakuban_slice all = hakuban_bytes_slice(bytes);
    hakuban_slice piece = {(const char *)all.data + 1, all.bytes - 1};
    ck_assert_int_eq(hkb_chain_share(to, bytes, piece), HAKUBAN_OK);
    hakuban_bytes_unref(bytes);
}

static void assert_holds(const hkb_chain *of, const char *text)
{
    hakuban_slice parts[ROOM];
    char all[4096];
    size_t bytes = 0;
    unsigned count = hkb_chain_parts(of, parts, ROOM);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_gt(parts[i].bytes, 0);
        memcpy(all + bytes, parts[i].data, parts[i].bytes);
        bytes += parts[i].bytes;
    }
    ck_assert_uint_eq(bytes, hkb_chain_bytes(of));
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_mem_eq(all, text, bytes);
}

START_TEST(pieces_keep_their_order)
{
    assert_holds(&chain, "");
    share(&chain, "-one ");
    append(&chain, "two ");
    append(&chain, "three ");
    share(&chain, "-four ");
    share(&chain, "-five");
    assert_holds(&chain, "one two three four five");
    ck_assert_uint_eq(hkb_chain_first(&chain).bytes, 0);
    hkb_chain_clear(&chain);
    assert_holds(&chain, "");
}
END_TEST

START_TEST(a_shared_piece_is_not_copied_and_lives_as_long_as_it_is_held)
{
    hakuban_bytes *bytes;
    uint8_t *data;
    hkb_chain other;
    hkb_chain_init(&other, &memory.table, 100, &held);
    ck_assert_int_eq(hkb_bytes_new_empty(&memory.table, 50000, &bytes, &data), HAKUBAN_OK);
    memset(data, 'x', 50000);
    ck_assert_int_eq(hkb_chain_share(&chain, bytes, hakuban_bytes_slice(bytes)), HAKUBAN_OK);
    ck_assert_int_eq(hkb_chain_append_chain(&other, &chain, 40000), HAKUBAN_OK);
    hakuban_bytes_unref(bytes);
    ck_assert_uint_eq(hkb_chain_bytes(&other), 40000);
    ck_assert_uint_lt(memory.bytes, 51000);
    ck_assert_uint_ge(held, 50000); /* once */
    ck_assert_uint_le(held, memory.bytes);
    hkb_chain_clear(&chain);
    hakuban_slice part;
    hkb_chain_done(&chain);
    ck_assert_uint_gt(memory.bytes, 50000);
    ck_assert_uint_eq(hkb_chain_parts(&other, &part, 16), 1);
    ck_assert_ptr_eq(part.data, data);
    hkb_chain_done(&other);
}
END_TEST

/* Cut after each byte, and put together again elsewhere. */
START_TEST(it_can_be_cut_anywhere)
{
    const char *whole = "abcdefghijkl";
    hkb_chain other;
    hkb_chain_init(&other, &memory.table, 1000, &held);
    append(&chain, "ab");
    share(&chain, "-cdef");
    append(&chain, "g");
    share(&chain, "-hi");
    share(&chain, "-j");
    append(&chain, "kl");
    ck_assert_int_eq(hkb_chain_append_chain(&other, &chain, (size_t)_i), HAKUBAN_OK);
    char first[16] = "";
    memcpy(first, whole, (size_t)_i);
    assert_holds(&other, first);
    ck_assert_uint_eq(hkb_chain_drop(&chain, (size_t)_i), (size_t)_i);
    assert_holds(&chain, whole + _i);
    ck_assert_int_eq(hkb_chain_append_chain(&other, &chain, hkb_chain_bytes(&chain)), HAKUBAN_OK);
    assert_holds(&other, whole);
    ck_assert_uint_eq(hkb_chain_drop(&chain, 100), strlen(whole) - (size_t)_i);
    hkb_chain_done(&other);
}
END_TEST

START_TEST(a_chain_that_is_never_empty_does_not_grow)
{
    for (unsigned i = 0; i < 10000; i++) {
        append(&chain, "0123456789");
        share(&chain, "-abcdefghij");
        if (i >= 4) {
            ck_assert_uint_eq(hkb_chain_drop(&chain, 20), 20);
        }
    }
    assert_holds(&chain, "0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij"
                         "0123456789abcdefghij");
    ck_assert_uint_lt(memory.bytes, 2000);
}
END_TEST

START_TEST(without_memory_the_chain_stays_valid)
{
    for (unsigned nth = 1; nth < 20; nth++) {
        hkb_chain copy;
        hkb_chain_clear(&chain);
        append(&chain, "ab");
        share(&chain, "-cd");
        append(&chain, "ef");
        hkb_chain_init(&copy, &memory.table, 100, &held);
        fail_alloc_arm(&memory, nth, false);
        hakuban_status status = hkb_chain_append_chain(&copy, &chain, 6);
        fail_alloc_arm(&memory, 0, false);
        if (status >= 0) {
            assert_holds(&copy, "abcdef");
        }
        hkb_chain_done(&copy);
        assert_holds(&chain, "abcdef");
    }
}
END_TEST

START_TEST(copied_bytes_have_their_limit_and_shared_ones_do_not_count)
{
    char text[60000];
    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(hkb_chain_append(&chain, text, sizeof(text)), HAKUBAN_OK);
    ck_assert_int_eq(hkb_chain_append(&chain, text, sizeof(text)), HAKUBAN_ERR_LIMIT);
    share(&chain, "-more");
    ck_assert_uint_eq(hkb_chain_bytes(&chain), sizeof(text) + 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base.chain");
    TCase *tests = tcase_create("chain");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, pieces_keep_their_order);
    tcase_add_test(tests, a_shared_piece_is_not_copied_and_lives_as_long_as_it_is_held);
    tcase_add_loop_test(tests, it_can_be_cut_anywhere, 0, 13);
    tcase_add_test(tests, a_chain_that_is_never_empty_does_not_grow);
    tcase_add_test(tests, without_memory_the_chain_stays_valid);
    tcase_add_test(tests, copied_bytes_have_their_limit_and_shared_ones_do_not_count);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
