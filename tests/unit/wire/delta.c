/* Differences between states: they bring back every state exactly, cost no more than promised, and
 * survive strangers' bytes, missing memory and compressors that lie. */
#define _POSIX_C_SOURCE 200809L

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/delta.h"

extern const hakuban_compressor_ops hakuban_compressor_zstd;
extern const hakuban_compressor_ops hakuban_compressor_none;

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 4
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

enum { STATE_BYTES_MAX = 16 << 20, KEPT_BYTES_MAX = 1 << 20 };

/* -- Memory that is counted and can run out -- */

static struct {
    size_t live_bytes, peak_bytes;
    long left; /* so many allocations still succeed; negative: all */
} memory;

static bool one_more(size_t old_bytes, size_t bytes)
{
    if (memory.left == 0) {
        return false;
    }
    if (memory.left > 0) {
        memory.left--;
    }
    memory.live_bytes += bytes - old_bytes;
    if (memory.live_bytes > memory.peak_bytes) {
        memory.peak_bytes = memory.live_bytes;
    }
    return true;
}

static void *counted_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return one_more(0, bytes) ? malloc(bytes) : NULL;
}

static void *counted_realloc(void *ctx, void *old, size_t old_bytes, size_t bytes)
{
    (void)ctx;
    return one_more(old_bytes, bytes) ? realloc(old, bytes) : NULL;
}

static void counted_free(void *ctx, void *old, size_t bytes)
{
    (void)ctx;
    memory.live_bytes -= bytes;
    free(old);
}

static const hakuban_alloc counted = {NULL, counted_alloc, counted_realloc, counted_free};

static hkb_delta_context *context;
static void *zstd_self;
static hkb_delta_compressor zstd, nothing;

static void set_up(void)
{
    memset(&memory, 0, sizeof(memory));
    memory.left = -1;
    ck_assert_int_eq(hkb_delta_context_new(&counted, &context), HAKUBAN_OK);
    zstd_self = calloc(1, hakuban_compressor_zstd.self_bytes);
    ck_assert_ptr_nonnull(zstd_self);
    zstd = (hkb_delta_compressor){&hakuban_compressor_zstd, zstd_self};
    nothing = (hkb_delta_compressor){NULL, NULL};
}

static void tear_down(void)
{
    context = hkb_delta_context_free(context);
    hakuban_compressor_zstd.done(zstd_self);
    free(zstd_self);
    ck_assert_uint_eq(memory.live_bytes, 0);
}

/* -- Random states and edits -- */

static uint64_t seed;

static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * UINT64_C(0x2545f4914f6cdd1d) >> 20;
}

static size_t random_below(size_t limit)
{
    return limit ? (size_t)(random_next() % limit) : 0;
}

typedef struct state {
    uint8_t *data;
    size_t bytes;
} state;

static state new_state(size_t bytes)
{
    state made = {malloc(bytes ? bytes : 1), bytes};
    ck_assert_ptr_nonnull(made.data);
    return made;
}

static hakuban_slice slice(state s)
{
    return (hakuban_slice){s.data, s.bytes};
}

static state copy_of(state s)
{
    state copy = new_state(s.bytes);
    memcpy(copy.data, s.data, s.bytes);
    return copy;
}

enum { RECORDS, NOISE, ZEROS, LOW_ENTROPY, PERIODIC, FIBONACCI, CONTENTS };

static state make_state(int content, size_t bytes)
{
    state s = new_state(bytes);
    char record[160];
    size_t a = 1, b = 1;
    for (size_t i = 0; i < bytes;) {
        int length = 0;
        switch (content) {
        case RECORDS:
            length = snprintf(record, sizeof(record),
                              "{\"id\":%zu,\"name\":\"unit-%04zu\",\"value\":%zu,\"ok\":%s},", i,
                              random_below(10000), random_below(100000),
                              random_below(4) ? "true" : "false");
            break;
        case NOISE:
            for (; length < 32; length++) {
                record[length] = (char)random_below(256);
            }
            break;
        case ZEROS:
            memset(record, 0, 64);
            length = 64;
            break;
        case LOW_ENTROPY:
            length = snprintf(record, sizeof(record), "the same thing and again %c%c%c;",
                              (char)('a' + random_below(3)), (char)('a' + random_below(3)),
                              (char)('a' + random_below(3)));
            break;
        case PERIODIC:
            for (; length < 100; length++) {
                record[length] = (char)((i + (size_t)length) % 37);
            }
            break;
        default:
            /* Runs of lengths without a period. */
            length = (int)(a % 7 + 1);
            memset(record, a % 2 ? 'a' : 'b', (size_t)length);
            a += b, b = a - b;
        }
        size_t taken = (size_t)length < bytes - i ? (size_t)length : bytes - i;
        memcpy(s.data + i, record, taken);
        i += taken;
    }
    return s;
}

/* s with remove bytes at place replaced. */
static state spliced(state s, size_t place, size_t remove, const uint8_t *bytes, size_t insert)
{
    state made = new_state(s.bytes - remove + insert);
    memcpy(made.data, s.data, place);
    if (insert) {
        memcpy(made.data + place, bytes, insert);
    }
    memcpy(made.data + place + insert, s.data + place + remove, s.bytes - place - remove);
    free(s.data);
    return made;
}

static state spliced_randomly(state s, size_t remove_max, size_t insert_max)
{
    size_t place = random_below(s.bytes + 1);
    size_t remove = random_below(remove_max + 1), insert = random_below(insert_max + 1);
    state piece = make_state(random_below(2) ? RECORDS : NOISE, insert);
    if (remove > s.bytes - place) {
        remove = s.bytes - place;
    }
    s = spliced(s, place, remove, piece.data, insert);
    free(piece.data);
    return s;
}

enum {
    NUMBER,
    NUMBERS,
    EVERYWHERE,
    INSERT,
    REMOVE,
    MOVE,
    ROTATE,
    SHUFFLE,
    SPRINKLE,
    SPLICES,
    REPEAT,
    TRUNCATE,
    APPEND,
    REVERSE,
    OTHER,
    NOTHING,
    EDITS
};

static void overwrite(state s, size_t place)
{
    for (size_t i = place; i < s.bytes && i < place + 5; i++) {
        s.data[i] = (uint8_t)('0' + random_below(10));
    }
}

static state edited(state old, int kind)
{
    state s = copy_of(old);
    size_t bytes = s.bytes, step;
    switch (kind) {
    case NUMBER:
        overwrite(s, random_below(bytes));
        break;
    case NUMBERS:
        for (int i = 0; i < 20; i++) {
            overwrite(s, random_below(bytes));
        }
        break;
    case EVERYWHERE:
        for (size_t i = 0; i < bytes; i += 50 + random_below(50)) {
            overwrite(s, i);
        }
        break;
    case INSERT:
        s = spliced_randomly(s, 0, 100);
        break;
    case REMOVE:
        s = spliced_randomly(s, 100, 0);
        break;
    case MOVE:
        for (int i = 0; i < 3; i++) {
            size_t from = random_below(bytes), length = random_below(bytes - from);
            length = length < 200 ? length : 200;
            state piece = copy_of((state){s.data + from, length});
            s = spliced(s, from, length, NULL, 0);
            s = spliced(s, random_below(s.bytes + 1), 0, piece.data, length);
            free(piece.data);
        }
        break;
    case ROTATE:
        step = random_below(bytes);
        if (bytes) {
            memcpy(s.data, old.data + step, bytes - step);
            memcpy(s.data + bytes - step, old.data, step);
        }
        break;
    case SHUFFLE:
        step = 16 + random_below(200);
        for (size_t i = bytes / step; i > 1; i--) {
            size_t j = random_below(i);
            for (size_t k = 0; k < step; k++) {
                uint8_t byte = s.data[(i - 1) * step + k];
                s.data[(i - 1) * step + k] = s.data[j * step + k];
                s.data[j * step + k] = byte;
            }
        }
        break;
    case SPRINKLE:
        step = 2 + random_below(40);
        for (size_t i = random_below(step); i < bytes; i += step) {
            s.data[i] = (uint8_t)random_below(256);
        }
        break;
    case SPLICES:
        for (int i = 0; i < 6; i++) {
            s = spliced_randomly(s, 300, 300);
        }
        break;
    case REPEAT:
        s = spliced(s, random_below(bytes + 1), 0, old.data, bytes / 3);
        break;
    case TRUNCATE:
        s = spliced(s, bytes / 2, bytes - bytes / 2, NULL, 0);
        break;
    case APPEND:
        s = spliced(s, bytes, 0, old.data, bytes / 2);
        break;
    case REVERSE:
        for (size_t i = 0; i < bytes; i++) {
            s.data[i] = old.data[bytes - 1 - i];
        }
        break;
    case OTHER:
        free(s.data);
        s = make_state((int)random_below(CONTENTS), random_below(2 * bytes + 2));
        break;
    default:
        break;
    }
    return s;
}

/* -- Round trips -- */

static hakuban_bytes *make(hkb_delta_compressor compressor, state old, state new_)
{
    hakuban_bytes *delta = NULL;
    ck_assert_int_eq(hkb_delta_make(context, &counted, compressor, slice(old), slice(new_), &delta),
                     HAKUBAN_OK);
    return delta;
}

static void check_work(void)
{
    hkb_delta_work work = hkb_delta_last_work(context);
    ck_assert_uint_le(16 * work.steps + work.lookups + work.inserts + 16 * work.verifications,
                      work.limit);
}

/* The delta's bytes. */
static size_t check_round_trip(hkb_delta_compressor compressor, state old, state new_)
{
    hakuban_bytes *delta = make(compressor, old, new_);
    hakuban_slice payload = hakuban_bytes_slice(delta);
    check_work();
    size_t bytes = 0, delta_bytes = payload.bytes;
    ck_assert_uint_le(delta_bytes, new_.bytes + 32);
    ck_assert_int_eq(hkb_delta_size(payload, old.bytes, STATE_BYTES_MAX, &bytes), HAKUBAN_OK);
    ck_assert_uint_eq(bytes, new_.bytes);
    state out = new_state(bytes);
    memset(out.data, 0xaa, bytes);
    ck_assert_int_eq(hkb_delta_apply(context, compressor, slice(old), payload, out.data, bytes),
                     HAKUBAN_OK);
    ck_assert(memcmp(out.data, new_.data, bytes) == 0);
    if (!old.bytes) {
        ck_assert(hkb_delta_is_whole(payload));
    }
    ck_assert_uint_le(memory.live_bytes, KEPT_BYTES_MAX + delta_bytes + 64);
    free(out.data);
    hakuban_bytes_unref(delta);
    return delta_bytes;
}

static void round_trips(uint64_t first_seed)
{
    static const size_t sizes[] = {0,  1,  2,  7,   8,   9,    15,   16,
                                   31, 40, 64, 100, 257, 1000, 4096, 16384};
    seed = first_seed;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int rounds = sizes[i] < 1000 ? 12 / SLOWER : 2;
        for (int content = 0; content < CONTENTS; content++) {
            for (int kind = 0; kind < EDITS; kind++) {
                for (int round = 0; round < rounds; round++) {
                    state old = make_state(content, sizes[i] + random_below(sizes[i] / 4 + 1));
                    state new_ = edited(old, kind);
                    check_round_trip(zstd, old, new_);
                    check_round_trip(nothing, old, new_);
                    free(old.data);
                    free(new_.data);
                }
            }
        }
    }
}

static const uint64_t fixed_seeds[] = {1, 0x1234567, UINT64_C(0xfeedfacecafebeef)};

START_TEST(test_any_edit_of_any_state_comes_back)
{
    round_trips(fixed_seeds[_i]);
}
END_TEST

START_TEST(test_random_edits_come_back_as_well)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t fresh = (uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec;
    const char *given = getenv("HAKUBAN_TEST_SEED");
    if (given) {
        fresh = strtoull(given, NULL, 0);
    }
    printf("delta: HAKUBAN_TEST_SEED=%llu\n", (unsigned long long)fresh);
    fflush(stdout);
    round_trips(fresh | 1);
}
END_TEST

START_TEST(test_large_states_come_back)
{
    static const size_t sizes[] = {100000, 262144, 1048576, 8388608};
    seed = 99;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int kind = 0; kind < EDITS; kind++) {
            bool huge = sizes[i] > 1048576;
            /* Every kind of edit at every size, the contents in turn where it would take too long.
             */
            for (int content = huge ? kind % CONTENTS : 0; content < CONTENTS;
                 content += huge ? CONTENTS : SLOWER) {
                state old = make_state(content, sizes[i]);
                state new_ = edited(old, kind);
                check_round_trip(zstd, old, new_);
                free(old.data);
                free(new_.data);
            }
        }
    }
}
END_TEST

START_TEST(test_what_little_changes_cost_little)
{
    static const struct {
        size_t bytes;
        int kind;
        size_t delta_bytes_max;
    } cases[] = {
        {64, NOTHING, 1},      {1 << 20, NOTHING, 1}, {64, NUMBER, 10},       {1024, NUMBER, 12},
        {16384, NUMBER, 13},   {1 << 20, NUMBER, 16}, {8 << 20, NUMBER, 16},  {1 << 20, ROTATE, 30},
        {1 << 20, REMOVE, 10}, {16384, INSERT, 115},  {1 << 20, INSERT, 116},
    };
    seed = 5;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        state old = make_state(RECORDS, cases[i].bytes);
        state new_ = edited(old, cases[i].kind == ROTATE ? NOTHING : cases[i].kind);
        if (cases[i].kind == ROTATE) {
            memcpy(new_.data, old.data + old.bytes / 2, old.bytes / 2);
            memcpy(new_.data + old.bytes / 2, old.data, old.bytes / 2);
        }
        ck_assert_uint_le(check_round_trip(zstd, old, new_), cases[i].delta_bytes_max);
        free(old.data);
        free(new_.data);
    }
}
END_TEST

START_TEST(test_a_first_state_is_sent_whole_and_compressed)
{
    seed = 6;
    state empty = new_state(0), state_ = make_state(RECORDS, 20000);
    hakuban_bytes *delta = make(zstd, empty, state_);
    ck_assert(hkb_delta_is_whole(hakuban_bytes_slice(delta)));
    ck_assert_uint_lt(hakuban_bytes_slice(delta).bytes, 10000);
    hakuban_bytes_unref(delta);
    delta = make(nothing, empty, state_);
    ck_assert_uint_eq(hakuban_bytes_slice(delta).bytes, 20001);
    hakuban_bytes_unref(delta);
    delta = make(zstd, empty, empty);
    ck_assert(hkb_delta_is_whole(hakuban_bytes_slice(delta)));
    hakuban_bytes_unref(delta);
    ck_assert_uint_eq(check_round_trip(zstd, state_, empty), 1);
    free(empty.data);
    free(state_.data);
}
END_TEST

START_TEST(test_every_form_of_a_delta_has_its_use)
{
    enum { FORMS = 7, FORM = 7 };
    static const struct {
        int content, kind;
        size_t bytes;
    } cases[FORMS] = {
        {RECORDS, NOTHING, 1000},     {RECORDS, NUMBER, 1000}, {RECORDS, SPLICES, 200000},
        {RECORDS, EVERYWHERE, 10000}, {NOISE, REVERSE, 1000},  {ZEROS, SPLICES, 0},
        {NOISE, SPRINKLE, 30000},
    };
    seed = 18;
    for (int form = 0; form < FORMS; form++) {
        int found = -1;
        for (int attempt = 0; attempt < 50 && found != form; attempt++) {
            state old = make_state(cases[form].content, cases[form].bytes);
            state new_ =
                cases[form].bytes ? edited(old, cases[form].kind) : make_state(RECORDS, 5000);
            hakuban_bytes *delta = make(zstd, old, new_);
            found = *(const uint8_t *)hakuban_bytes_slice(delta).data & FORM;
            hakuban_bytes_unref(delta);
            check_round_trip(zstd, old, new_);
            free(old.data);
            free(new_.data);
        }
        ck_assert_int_eq(found, form);
    }
}
END_TEST

START_TEST(test_the_same_states_make_the_same_delta)
{
    seed = 7;
    for (int kind = 0; kind < EDITS; kind++) {
        state old = make_state(RECORDS, 30000), new_ = edited(old, kind);
        hakuban_bytes *first = make(zstd, old, new_);
        state other = make_state(NOISE, 50000), another = edited(other, SHUFFLE);
        check_round_trip(zstd, other, another);
        hakuban_bytes *second = make(zstd, old, new_);
        hakuban_slice a = hakuban_bytes_slice(first), b = hakuban_bytes_slice(second);
        ck_assert_uint_eq(a.bytes, b.bytes);
        ck_assert(memcmp(a.data, b.data, a.bytes) == 0);
        hakuban_bytes_unref(first);
        hakuban_bytes_unref(second);
        free(old.data);
        free(new_.data);
        free(other.data);
        free(another.data);
    }
}
END_TEST

/* Old bytes that begin like a dictionary of zstd's, right where the reference begins. */
START_TEST(test_states_that_look_like_a_dictionary_are_only_bytes)
{
    seed = 8;
    static const uint8_t magic[4] = {0x37, 0xa4, 0x30, 0xec};
    for (size_t i = 0; i < 600; i += 7) {
        state old = make_state(RECORDS, 4000);
        memcpy(old.data, magic, 4);
        memcpy(old.data + 1000 - 256, magic, 4);
        state new_ = spliced(copy_of(old), i, 40, old.data + 2000, 150);
        check_round_trip(zstd, old, new_);
        free(new_.data);
        new_ = spliced(copy_of(old), 1000, 40, old.data + 2000, 150);
        for (size_t k = 1000; k < 1150; k += 6) {
            new_.data[k] = (uint8_t)random_below(256);
        }
        check_round_trip(zstd, old, new_);
        free(old.data);
        free(new_.data);
    }
}
END_TEST

/* -- Work -- */

/* check_work() holds for every round trip; here the limit itself, and how far the worst come. */
START_TEST(test_work_is_bounded_by_the_size_of_the_new_state)
{
    seed = 10;
    for (int content = 0; content < CONTENTS; content++) {
        for (int kind = 0; kind < EDITS; kind++) {
            state old = make_state(content, 1 << 19), new_ = edited(old, kind);
            state little = copy_of((state){new_.data, new_.bytes / 100});
            hakuban_bytes_unref(make(nothing, old, new_));
            check_work();
            ck_assert_uint_le(hkb_delta_last_work(context).limit, 65536 + 3 * (uint64_t)new_.bytes);
            hakuban_bytes_unref(make(nothing, old, little));
            check_work();
            ck_assert_uint_le(hkb_delta_last_work(context).limit,
                              65536 + 3 * (uint64_t)little.bytes);
            free(old.data);
            free(new_.data);
            free(little.data);
        }
    }
}
END_TEST

START_TEST(test_memory_shrinks_again_after_a_huge_state)
{
    seed = 11;
    state old = make_state(RECORDS, 8 << 20), new_ = edited(old, SHUFFLE);
    hakuban_bytes *delta = make(zstd, old, new_);
    ck_assert_uint_gt(memory.peak_bytes, KEPT_BYTES_MAX);
    hakuban_slice payload = hakuban_bytes_slice(delta);
    ck_assert_uint_le(memory.live_bytes, KEPT_BYTES_MAX + payload.bytes);
    ck_assert_int_eq(hkb_delta_apply(context, zstd, slice(old), payload, new_.data, new_.bytes),
                     HAKUBAN_OK);
    hakuban_bytes_unref(delta);
    ck_assert_uint_le(memory.live_bytes, KEPT_BYTES_MAX);
    free(old.data);
    free(new_.data);
}
END_TEST

/* -- Strangers' bytes -- */

/* Whatever it is, it must be refused or make the promised number of bytes; old stays as it was. */
static void feed(state old, const uint8_t *data, size_t data_bytes)
{
    state payload = copy_of((state){(uint8_t *)(uintptr_t)data, data_bytes});
    size_t bytes;
    (void)hkb_delta_is_whole(slice(payload));
    hakuban_status status = hkb_delta_size(slice(payload), old.bytes, 1 << 20, &bytes);
    ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_CORRUPT || status == HAKUBAN_ERR_LIMIT);
    if (status == HAKUBAN_OK) {
        ck_assert_uint_le(bytes, 1 << 20);
        state out = new_state(bytes);
        status = hkb_delta_apply(context, zstd, slice(old), slice(payload), out.data, bytes);
        ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_CORRUPT);
        free(out.data);
    }
    free(payload.data);
}

START_TEST(test_damaged_deltas_never_do_harm)
{
    seed = 12;
    for (int kind = 0; kind < EDITS; kind++) {
        for (int compressed = 0; compressed < 2; compressed++) {
            state old = make_state(RECORDS, compressed ? 6000 : 1500);
            state new_ = edited(old, kind);
            uint64_t old_hash = hkb_hash64(old.data, old.bytes);
            hakuban_bytes *delta = make(compressed ? zstd : nothing, old, new_);
            hakuban_slice payload = hakuban_bytes_slice(delta);
            state damaged = copy_of((state){(uint8_t *)(uintptr_t)payload.data, payload.bytes});
            size_t step = 1 + payload.bytes / (2000 / SLOWER);
            for (size_t i = 0; i < damaged.bytes; i += step) {
                feed(old, damaged.data, i);
            }
            for (size_t i = 0; i < damaged.bytes; i += i < 40 ? 1 : step) {
                uint8_t right = damaged.data[i];
                for (unsigned value = 0; value < 256; value += i < 16 ? 1 : 37) {
                    damaged.data[i] = (uint8_t)(right + value);
                    feed(old, damaged.data, damaged.bytes);
                }
                damaged.data[i] = right;
            }
            ck_assert_uint_eq(hkb_hash64(old.data, old.bytes), old_hash);
            hakuban_bytes_unref(delta);
            free(damaged.data);
            free(old.data);
            free(new_.data);
        }
    }
}
END_TEST

START_TEST(test_impossible_sizes_are_refused_before_any_memory_is_taken)
{
    uint8_t whole[] = {5, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3};
    uint8_t negative[] = {1, 0xff, 0x01, 0, 0};
    uint8_t enormous[] = {1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0};
    uint8_t endless[] = {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t unknown[] = {7}, reserved[] = {0x11, 0, 0}, same_whole[] = {12, 0};
    struct {
        hakuban_slice delta;
        hakuban_status status;
    } cases[] = {
        {{whole, sizeof(whole)}, HAKUBAN_ERR_LIMIT},
        {{negative, sizeof(negative)}, HAKUBAN_ERR_CORRUPT},
        {{enormous, sizeof(enormous)}, HAKUBAN_ERR_CORRUPT},
        {{endless, sizeof(endless)}, HAKUBAN_ERR_CORRUPT},
        {{unknown, sizeof(unknown)}, HAKUBAN_ERR_CORRUPT},
        {{reserved, sizeof(reserved)}, HAKUBAN_ERR_CORRUPT},
        {{same_whole, sizeof(same_whole)}, HAKUBAN_ERR_CORRUPT},
        {{NULL, 0}, HAKUBAN_ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = 12345;
        ck_assert_int_eq(hkb_delta_size(cases[i].delta, 100, 1 << 20, &bytes), cases[i].status);
        ck_assert_uint_eq(bytes, 12345);
    }
}
END_TEST

START_TEST(test_random_bytes_never_do_harm)
{
    seed = 13;
    state old = make_state(RECORDS, 3000);
    uint8_t data[64];
    for (int round = 0; round < 300000 / SLOWER; round++) {
        size_t bytes = random_below(sizeof(data));
        for (size_t i = 0; i < bytes; i++) {
            data[i] = (uint8_t)(random_below(3) ? random_below(32) : random_below(256));
        }
        if (bytes) {
            data[0] = (uint8_t)random_below(16);
        }
        feed(old, data, bytes);
    }
    free(old.data);
}
END_TEST

/* -- Failures around us -- */

START_TEST(test_running_out_of_memory_is_an_answer)
{
    seed = 14;
    static const int kinds[] = {NUMBER, SHUFFLE, EVERYWHERE, OTHER, ROTATE};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        state old = make_state(RECORDS, 60000), new_ = edited(old, kinds[k]);
        state out = new_state(new_.bytes);
        hakuban_bytes *delta = NULL;
        hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
        for (long left = 0; status != HAKUBAN_OK; left++) {
            /* A new context has everything still to allocate. */
            context = hkb_delta_context_free(context);
            ck_assert_uint_eq(memory.live_bytes, 0);
            memory.left = -1;
            ck_assert_int_eq(hkb_delta_context_new(&counted, &context), HAKUBAN_OK);
            memory.left = left;
            status = hkb_delta_make(context, &counted, zstd, slice(old), slice(new_), &delta);
            ck_assert(status == HAKUBAN_OK || (status == HAKUBAN_ERR_NO_MEMORY && !delta));
        }
        status = HAKUBAN_ERR_NO_MEMORY;
        for (long left = 0; status != HAKUBAN_OK; left++) {
            memory.left = -1;
            context = hkb_delta_context_free(context);
            ck_assert_int_eq(hkb_delta_context_new(&counted, &context), HAKUBAN_OK);
            memory.left = left;
            status = hkb_delta_apply(context, zstd, slice(old), hakuban_bytes_slice(delta),
                                     out.data, out.bytes);
            ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
        }
        memory.left = -1;
        ck_assert(memcmp(out.data, new_.data, new_.bytes) == 0);
        hakuban_bytes_unref(delta);
        free(old.data);
        free(new_.data);
        free(out.data);
    }
    memory.left = 0;
    hkb_delta_context *none = NULL;
    ck_assert_int_eq(hkb_delta_context_new(&counted, &none), HAKUBAN_ERR_NO_MEMORY);
    ck_assert_ptr_null(none);
    memory.left = -1;
}
END_TEST

/* What a lying compressor says; self points to it. */
typedef struct lie {
    size_t bound, bytes;
    hakuban_status status;
} lie;

static size_t lying_bound(void *self, size_t bytes)
{
    (void)bytes;
    return ((lie *)self)->bound;
}

static hakuban_status lying_compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                                     hakuban_slice src, hakuban_slice reference)
{
    (void)src, (void)reference;
    ck_assert_uint_ge(dst_bytes, src.bytes);
    memset(dst, 0, dst_bytes);
    *ret_bytes = ((lie *)self)->bytes;
    return ((lie *)self)->status;
}

static hakuban_status lying_decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                       hakuban_slice reference)
{
    (void)src, (void)reference;
    memset(dst, 0xff, dst_bytes);
    return ((lie *)self)->status;
}

static const hakuban_compressor_ops lying = {
    .size = sizeof(lying),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "lying",
    .bound = lying_bound,
    .compress = lying_compress,
    .decompress = lying_decompress,
};

START_TEST(test_a_compressor_that_fails_or_lies_costs_bytes_only)
{
    static const lie lies[] = {
        {0, SIZE_MAX, HAKUBAN_OK},       {SIZE_MAX, 10, HAKUBAN_OK},
        {20000, 1000000, HAKUBAN_OK},    {20000, 0, HAKUBAN_OK},
        {20000, 5, HAKUBAN_ERR_LIMIT},   {20000, 5, HAKUBAN_ERR_NO_MEMORY},
        {20000, 5, HAKUBAN_ERR_CORRUPT},
    };
    seed = 15;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        for (int kind = 0; kind < EDITS; kind++) {
            lie told = lies[i];
            state old = make_state(RECORDS, 20000), new_ = edited(old, kind);
            check_round_trip((hkb_delta_compressor){&lying, &told}, old, new_);
            free(old.data);
            free(new_.data);
        }
    }
}
END_TEST

START_TEST(test_a_compressor_that_decompresses_wrongly_is_an_answer)
{
    lie told = {20000, 5, HAKUBAN_OK};
    seed = 16;
    state old = make_state(RECORDS, 20000), new_ = edited(old, EVERYWHERE);
    hkb_delta_compressor liar = {&lying, &told};
    hakuban_bytes *delta = make(liar, old, new_);
    state out = new_state(new_.bytes);
    hakuban_slice payload = hakuban_bytes_slice(delta);
    (void)hkb_delta_apply(context, liar, slice(old), payload, out.data, out.bytes);
    told.status = HAKUBAN_ERR_CORRUPT;
    ck_assert_int_eq(hkb_delta_apply(context, liar, slice(old), payload, out.data, out.bytes),
                     HAKUBAN_ERR_CORRUPT);
    ck_assert_int_eq(hkb_delta_apply(context, nothing, slice(old), payload, out.data, out.bytes),
                     HAKUBAN_ERR_CORRUPT);
    hakuban_bytes_unref(delta);
    free(old.data);
    free(new_.data);
    free(out.data);
}
END_TEST

START_TEST(test_the_compressor_called_none_works_like_no_compressor)
{
    seed = 17;
    hkb_delta_compressor none = {&hakuban_compressor_none, NULL};
    for (int kind = 0; kind < EDITS; kind++) {
        state old = make_state(RECORDS, 20000), new_ = edited(old, kind);
        ck_assert_uint_eq(check_round_trip(none, old, new_), check_round_trip(nothing, old, new_));
        free(old.data);
        free(new_.data);
    }
}
END_TEST

START_TEST(test_the_hash_is_xxh3)
{
    /* From the specification's reference implementation. */
    ck_assert_uint_eq(hkb_hash64("", 0), UINT64_C(0x2d06800538d394c2));
    uint8_t bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    ck_assert_uint_eq(hkb_hash64(bytes, 64), UINT64_C(0x6efb76ff16f37561));
    ck_assert_uint_eq(hkb_hash64(bytes, sizeof(bytes)), UINT64_C(0x5c722d9ceb6f9064));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delta");
    TCase *tests = tcase_create("delta");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, test_any_edit_of_any_state_comes_back, 0, 3);
    tcase_add_test(tests, test_random_edits_come_back_as_well);
    tcase_add_test(tests, test_large_states_come_back);
    tcase_add_test(tests, test_what_little_changes_cost_little);
    tcase_add_test(tests, test_a_first_state_is_sent_whole_and_compressed);
    tcase_add_test(tests, test_every_form_of_a_delta_has_its_use);
    tcase_add_test(tests, test_the_same_states_make_the_same_delta);
    tcase_add_test(tests, test_states_that_look_like_a_dictionary_are_only_bytes);
    tcase_add_test(tests, test_work_is_bounded_by_the_size_of_the_new_state);
    tcase_add_test(tests, test_memory_shrinks_again_after_a_huge_state);
    tcase_add_test(tests, test_damaged_deltas_never_do_harm);
    tcase_add_test(tests, test_impossible_sizes_are_refused_before_any_memory_is_taken);
    tcase_add_test(tests, test_random_bytes_never_do_harm);
    tcase_add_test(tests, test_running_out_of_memory_is_an_answer);
    tcase_add_test(tests, test_a_compressor_that_fails_or_lies_costs_bytes_only);
    tcase_add_test(tests, test_a_compressor_that_decompresses_wrongly_is_an_answer);
    tcase_add_test(tests, test_the_compressor_called_none_works_like_no_compressor);
    tcase_add_test(tests, test_the_hash_is_xxh3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
