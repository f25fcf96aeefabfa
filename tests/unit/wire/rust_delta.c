/* Differences in the Rust implementation's form: its own are applied exactly, ours are valid and no
 * larger, and a stranger's end in an error, never in memory or time beyond the result's limit. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/rust_delta.h"

#include "fail_alloc.h"
#include "vectors.h"

enum { RESULT_BYTES_MAX = 64 << 20 };

static fail_alloc memory;
static hkb_delta_context *context;

static void set_up(void)
{
    fail_alloc_init(&memory);
    ck_assert_int_eq(hkb_delta_context_new(&memory.table, &context), HAKUBAN_OK);
}

static void tear_down(void)
{
    context = hkb_delta_context_free(context);
    ck_assert_uint_eq(memory.blocks, 0);
}

/* Memory of exactly the data's size, so that a sanitizer sees one byte too many. */
static uint8_t *copy_of(hakuban_slice data)
{
    uint8_t *copy = malloc(data.bytes ? data.bytes : 1);
    ck_assert_ptr_nonnull(copy);
    if (data.bytes) {
        memcpy(copy, data.data, data.bytes);
    }
    return copy;
}

static void check_applies(const char *name, hakuban_slice old, hakuban_slice delta,
                          hakuban_slice new_)
{
    uint8_t *old_copy = copy_of(old), *delta_copy = copy_of(delta), *out;
    hakuban_slice from = {old_copy, old.bytes}, with = {delta_copy, delta.bytes};
    hakuban_error error = {.text = ""};
    size_t bytes;
    ck_assert_msg(hkb_rust_delta_size(with, old.bytes, new_.bytes, &bytes, &error) == HAKUBAN_OK,
                  "%s: %s", name, error.text);
    ck_assert_msg(bytes == new_.bytes, "%s: %zu bytes", name, bytes);
    out = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(out);
    ck_assert_msg(hkb_rust_delta_apply(from, with, out, bytes) == HAKUBAN_OK, "%s", name);
    ck_assert_msg(!bytes || memcmp(out, new_.data, bytes) == 0, "%s", name);
    if (bytes) {
        ck_assert_int_eq(hkb_rust_delta_size(with, old.bytes, bytes - 1, &bytes, &error),
                         HAKUBAN_ERR_LIMIT);
        ck_assert_int_eq(hkb_rust_delta_apply(from, with, out, bytes - 1), HAKUBAN_ERR_CORRUPT);
    }
    free(out);
    free(old_copy);
    free(delta_copy);
}

/* Makes the difference, and returns how large it is. */
static size_t check_made(const char *name, hakuban_slice old, hakuban_slice new_)
{
    uint8_t *old_copy = copy_of(old), *new_copy = copy_of(new_);
    hakuban_bytes *made;
    ck_assert_int_eq(hkb_rust_delta_make(context, NULL, (hakuban_slice){old_copy, old.bytes},
                                         (hakuban_slice){new_copy, new_.bytes}, &made),
                     HAKUBAN_OK);
    size_t bytes = hakuban_bytes_slice(made).bytes;
    check_applies(name, old, hakuban_bytes_slice(made), new_);
    hakuban_bytes_unref(made);
    free(old_copy);
    free(new_copy);
    return bytes;
}

static bool is_theirs(hakuban_slice object)
{
    char *source = vectors_text(object, "source");
    bool theirs = strstr(source, "crate encoder") != NULL;
    free(source);
    return theirs;
}

START_TEST(every_recorded_difference_is_applied_and_ours_is_never_a_tenth_larger)
{
    hakuban_slice object;
    vectors v;
    size_t count = 0, compared = 0, theirs = 0, ours = 0;
    vectors_open(&v, "diff", NULL);
    while (vectors_next(&v, &object)) {
        hakuban_slice old, delta, new_;
        char *name = vectors_text(object, "name");
        uint8_t *old_data = vectors_hex(object, "old_hex", &old.bytes);
        uint8_t *delta_data = vectors_hex(object, "diff_hex", &delta.bytes);
        uint8_t *new_data = vectors_hex(object, "new_hex", &new_.bytes);
        old.data = old_data;
        delta.data = delta_data;
        new_.data = new_data;
        check_applies(name, old, delta, new_);
        size_t made = check_made(name, old, new_);
        if (is_theirs(object)) {
            ck_assert_msg(10 * made <= 11 * delta.bytes, "%s: %zu bytes, theirs has %zu", name,
                          made, delta.bytes);
            theirs += delta.bytes;
            ours += made;
            compared++;
        }
        count++;
        free(name);
        free(old_data);
        free(delta_data);
        free(new_data);
    }
    vectors_close(&v);
    ck_assert_uint_eq(count, 155);
    ck_assert_uint_eq(compared, 58);
    ck_assert_uint_le(ours, theirs);
}
END_TEST

/* The generator of diff_big.json. */
static void fill_lcg(uint8_t *out, size_t bytes, uint32_t x)
{
    for (size_t i = 0; i < bytes; i++) {
        x = (1103515245u * x + 12345u) & 0x7fffffffu;
        out[i] = (uint8_t)(x >> 16);
        if (out[i] == 0xff) {
            out[i] = 0xfe;
        }
    }
}

/* As in diff_big.json: where the new state comes from in the old one; old_from SIZE_MAX: a byte
 * again and again. */
static const struct {
    const char *name;
    uint32_t seed;
    size_t old_bytes, old_from, new_bytes;
    uint8_t repeated;
} bigs[] = {
    {"old ref odd position >= 2^24 (4-byte)", 3, 9000000, 8500000, 1000, 0},
    {"old ref length >= 2^24 (4-byte)", 4, 16800000, 0, 16777221, 0},
    {"old ref length 2^24-1 (last 3-byte)", 4, 16800000, 0, 16777215, 0},
    {"new ref length >= 2^24 (4-byte)", 5, 10, SIZE_MAX, 16777300, 122},
};

START_TEST(the_longest_forms_of_numbers_are_read_and_written)
{
    hakuban_slice object, delta;
    vectors v;
    vectors_open(&v, "diff_big", "cases");
    for (int i = 0; i <= _i; i++) {
        ck_assert(vectors_next(&v, &object));
    }
    char *name = vectors_text(object, "name");
    ck_assert_str_eq(name, bigs[_i].name);
    uint8_t *delta_data = vectors_hex(object, "diff_hex", &delta.bytes);
    delta.data = delta_data;
    uint8_t *old = malloc(bigs[_i].old_bytes), *repeated = NULL;
    ck_assert_ptr_nonnull(old);
    fill_lcg(old, bigs[_i].old_bytes, bigs[_i].seed);
    hakuban_slice new_ = {NULL, bigs[_i].new_bytes};
    if (bigs[_i].old_from == SIZE_MAX) {
        new_.data = repeated = malloc(new_.bytes);
        ck_assert_ptr_nonnull(repeated);
        memset(repeated, bigs[_i].repeated, new_.bytes);
    } else {
        new_.data = old + bigs[_i].old_from;
    }
    hakuban_slice from = {old, bigs[_i].old_bytes};
    check_applies(name, from, delta, new_);
    size_t made = check_made(name, from, new_);
    ck_assert_msg(10 * made <= 11 * delta.bytes, "%s: %zu bytes, theirs has %zu", name, made,
                  delta.bytes);
    free(repeated);
    free(old);
    free(delta_data);
    free(name);
    vectors_close(&v);
}
END_TEST

START_TEST(every_state_of_the_recorded_session_and_of_the_monitors_becomes_every_other)
{
    enum { STATES_MAX = 64 };
    struct {
        uint8_t *data;
        size_t bytes;
    } states[STATES_MAX];
    size_t count = 0;
    hakuban_slice object;
    vectors v;
    vectors_open(&v, "session_states", NULL);
    while (vectors_next(&v, &object) && count < STATES_MAX - 6) {
        states[count].data = vectors_hex(object, "data_hex", &states[count].bytes);
        ck_assert_ptr_nonnull(states[count++].data);
    }
    vectors_close(&v);
    static const char *const monitors[] = {"root exchange", "root websocket-listener",
                                           "spoke exchange", "spoke websocket-connector",
                                           "spoke websocket-listener"};
    char *text = vectors_read("monitor", &v.bytes);
    for (size_t i = 0; i < HKB_COUNT(monitors); i++) {
        ck_assert(vectors_member((hakuban_slice){text, v.bytes}, monitors[i], &object));
        states[count].data = copy_of(object);
        states[count++].bytes = object.bytes;
    }
    free(text);
    ck_assert_uint_eq(count, 28 + HKB_COUNT(monitors));
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; b < count; b++) {
            (void)check_made("states", (hakuban_slice){states[a].data, states[a].bytes},
                             (hakuban_slice){states[b].data, states[b].bytes});
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(states[i].data);
    }
}
END_TEST

/* -- Ours, of all shapes -- */

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t random_below(size_t limit)
{
    return limit ? (size_t)(random_next() % limit) : 0;
}

/* A state of one of several kinds: text with repetition, few values, all values, mostly escapes. */
static size_t make_state(uint8_t *out, size_t bytes_max)
{
    size_t bytes = random_below(bytes_max), kind = random_below(4);
    for (size_t i = 0; i < bytes; i++) {
        uint64_t r = random_next() >> 32;
        out[i] = kind == 0   ? (uint8_t)('a' + r % 7)
                 : kind == 1 ? (uint8_t)(r % 3 ? 255 : 0)
                 : kind == 2 ? (uint8_t)r
                             : (uint8_t)"{\"value\":255,\"name\":\"sensor\"}"[i % 29];
    }
    return bytes;
}

/* Cuts, copies and changes pieces. */
static size_t change_state(uint8_t *data, size_t bytes, size_t bytes_max)
{
    for (size_t changes = random_below(8); changes; changes--) {
        size_t at = random_below(bytes + 1), piece = random_below(bytes_max / 8);
        if (random_below(3) == 0) {
            piece = hkb_min(piece, bytes - at);
            memmove(data + at, data + at + piece, bytes - at - piece);
            bytes -= piece;
        } else if (random_below(2)) {
            size_t from = random_below(bytes + 1);
            piece = hkb_min(hkb_min(piece, bytes - from), bytes_max - bytes);
            memmove(data + at + piece, data + at, bytes - at);
            bytes += piece;
            memmove(data + at, data + hkb_min(from, bytes - piece), piece);
        } else {
            for (size_t i = at; i < bytes && i < at + piece % 20; i++) {
                data[i] = (uint8_t)random_next();
            }
        }
    }
    return bytes;
}

START_TEST(a_difference_of_any_two_states_brings_the_second_back)
{
    enum { BYTES_MAX = 20000 };
    uint8_t *old = malloc(BYTES_MAX), *new_ = malloc(BYTES_MAX);
    ck_assert(old && new_);
    random_state = 88172645463325252u + (uint64_t)_i;
    for (int round = 0; round < 100; round++) {
        size_t bytes_max = round % 2 ? BYTES_MAX : 200;
        size_t old_bytes = make_state(old, bytes_max), new_bytes;
        if (random_below(4)) {
            memcpy(new_, old, old_bytes);
            new_bytes = change_state(new_, old_bytes, bytes_max);
        } else {
            new_bytes = make_state(new_, bytes_max);
        }
        size_t made =
            check_made("random", (hakuban_slice){old, old_bytes}, (hakuban_slice){new_, new_bytes});
        /* However often the escape byte has to be changed, that costs little. */
        ck_assert_uint_le(made, new_bytes + new_bytes / 64 + 8);
    }
    free(old);
    free(new_);
}
END_TEST

START_TEST(one_changed_number_in_a_large_state_costs_a_few_bytes_and_little_memory)
{
    enum { BYTES = 4 << 20 };
    uint8_t *old = malloc(BYTES), *new_ = malloc(BYTES);
    ck_assert(old && new_);
    random_state = 7;
    for (size_t i = 0; i < BYTES; i++) {
        old[i] = (uint8_t)("0123456789,:{}\"abcdef"[random_below(21)]);
    }
    memcpy(new_, old, BYTES);
    memcpy(new_ + BYTES / 2, "!!!!!!", 6);
    hakuban_slice from = {old, BYTES}, to = {new_, BYTES};
    ck_assert_uint_le(check_made("large", from, to), 24);
    /* A kilobyte at the end comes from the beginning. */
    memcpy(new_ + BYTES - 1000, old + 100, 900);
    ck_assert_uint_le(check_made("large", from, to), 24 + 120);
    ck_assert_uint_le(memory.bytes, 400 * 1024);
    free(old);
    free(new_);
}
END_TEST

START_TEST(without_memory_making_is_an_error_and_works_afterwards)
{
    uint8_t old[3000], new_[3000];
    random_state = 3;
    for (size_t i = 0; i < sizeof(old); i++) {
        old[i] = (uint8_t)random_next();
    }
    memcpy(new_, old, sizeof(old));
    memmove(new_ + 100, new_ + 1500, 1000);
    memset(new_ + 2000, 255, 600);
    hakuban_slice from = {old, sizeof(old)}, to = {new_, sizeof(new_)};
    hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
    size_t fail_at = 0;
    while (status != HAKUBAN_OK) {
        hakuban_bytes *made;
        hkb_delta_context_free(context);
        fail_alloc_arm(&memory, 0, false);
        ck_assert_int_eq(hkb_delta_context_new(&memory.table, &context), HAKUBAN_OK);
        fail_alloc_arm(&memory, ++fail_at, false);
        status = hkb_rust_delta_make(context, &memory.table, from, to, &made);
        ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
        fail_alloc_arm(&memory, 0, false);
        if (status == HAKUBAN_OK) {
            hakuban_bytes_unref(made);
        }
        (void)check_made("afterwards", from, to);
    }
    ck_assert_uint_gt(fail_at, 4);
}
END_TEST

/* -- Strangers' -- */

START_TEST(every_recorded_malformed_difference_is_refused_in_words)
{
    hakuban_slice object;
    vectors v;
    size_t count = 0;
    vectors_open(&v, "diff_malformed", NULL);
    while (vectors_next(&v, &object)) {
        size_t old_bytes, bytes, size;
        hakuban_error error = {.text = ""};
        uint8_t *old = vectors_hex(object, "old_hex", &old_bytes);
        uint8_t *delta = vectors_hex(object, "diff_hex", &bytes);
        uint8_t *copy = copy_of((hakuban_slice){delta, bytes});
        hakuban_status status = hkb_rust_delta_size((hakuban_slice){copy, bytes}, old_bytes,
                                                    RESULT_BYTES_MAX, &size, &error);
        bool huge = bytes == 8; /* a run of 4 GiB */
        ck_assert_int_eq(status, huge ? HAKUBAN_ERR_LIMIT : HAKUBAN_ERR_CORRUPT);
        ck_assert_uint_gt(strlen(error.text), 20);
        count++;
        free(old);
        free(delta);
        free(copy);
    }
    vectors_close(&v);
    ck_assert_uint_eq(count, 12);
}
END_TEST

START_TEST(a_difference_cut_off_anywhere_or_damaged_never_reads_or_writes_too_far)
{
    static const char old[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t delta[40], out[512];
    random_state = 1000 + (uint64_t)_i;
    for (int round = 0; round < 20000; round++) {
        size_t bytes = random_below(sizeof(delta)) + 1, size;
        for (size_t i = 0; i < bytes; i++) {
            delta[i] = random_below(3)
                           ? (uint8_t)random_next()
                           : (uint8_t)"\xff\x7f\xfc\xfd\xfe\x00\x01\x80"[random_below(8)];
        }
        uint8_t *copy = copy_of((hakuban_slice){delta, bytes});
        hakuban_slice with = {copy, bytes}, from = {old, sizeof(old) - 1};
        if (hkb_rust_delta_size(with, from.bytes, sizeof(out), &size, NULL) == HAKUBAN_OK) {
            ck_assert_uint_le(size, sizeof(out));
            ck_assert_int_eq(hkb_rust_delta_apply(from, with, out, size), HAKUBAN_OK);
        } else {
            ck_assert_int_eq(hkb_rust_delta_apply(from, with, out, sizeof(out)),
                             HAKUBAN_ERR_CORRUPT);
        }
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rust_delta");
    TCase *tcase = tcase_create("differences");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, every_recorded_difference_is_applied_and_ours_is_never_a_tenth_larger);
    tcase_add_loop_test(tcase, the_longest_forms_of_numbers_are_read_and_written, 0,
                        HKB_COUNT(bigs));
    tcase_add_test(tcase,
                   every_state_of_the_recorded_session_and_of_the_monitors_becomes_every_other);
    tcase_add_loop_test(tcase, a_difference_of_any_two_states_brings_the_second_back, 0, 10);
    tcase_add_test(tcase, one_changed_number_in_a_large_state_costs_a_few_bytes_and_little_memory);
    tcase_add_test(tcase, without_memory_making_is_an_error_and_works_afterwards);
    tcase_add_test(tcase, every_recorded_malformed_difference_is_refused_in_words);
    tcase_add_loop_test(
        tcase, a_difference_cut_off_anywhere_or_damaged_never_reads_or_writes_too_far, 0, 4);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
