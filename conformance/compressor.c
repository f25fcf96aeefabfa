/* What every compressor promises. Knows no particular one. */
#define _GNU_SOURCE
#include "check.h"

enum { SRC, REFERENCE, DST, OUT }; /* rooms */

/* An instance, which the host allocates and zeroes. */
typedef struct instance {
    const hakuban_compressor_ops *ops;
    void *self;
} instance;

static const size_t sizes[] = {0,    1,    2,    3,    7,    16,    63,    64,     255,
                               1000, 4095, 4096, 4097, 8191, 65535, 65536, 131072, (size_t)1 << 20};

enum { ZEROS, WORDS, NUMBERS, NOISE, KINDS };
static const char *const kind_names[KINDS] = {"zeros", "words", "numbers", "noise"};

/* NEAR: as the data but for a byte in each 997. */
enum { NONE, SAME, NEAR, UNRELATED, SHORT, REFERENCES };
static const char *const reference_names[REFERENCES] = {"no", "the same", "a similar",
                                                        "an unrelated", "a short"};

static const hakuban_compressor_ops *ops_of(const hkb_checks *checks)
{
    return checks->ops;
}

static void fill(uint8_t *data, size_t bytes, unsigned kind)
{
    static const char words[] = "the quick brown fox jumps over the lazy dog; ";
    uint32_t seed = 7;
    for (size_t i = 0; i < bytes; i++) {
        data[i] = kind == ZEROS     ? 0
                  : kind == WORDS   ? (uint8_t)words[i % (sizeof(words) - 1)]
                  : kind == NUMBERS ? (uint8_t)("0123456789,"[hkb_check_random(&seed) % 11])
                                    : (uint8_t)hkb_check_random(&seed);
    }
}

static hakuban_slice source(hkb_checks *checks, size_t bytes, unsigned kind)
{
    uint8_t *data = hkb_check_room(checks, SRC, bytes);
    fill(data, bytes, kind);
    return (hakuban_slice){data, bytes};
}

static hakuban_slice reference_for(hkb_checks *checks, hakuban_slice src, unsigned which)
{
    if (which == NONE) {
        return (hakuban_slice){NULL, 0};
    }
    size_t bytes = which == SHORT ? 5 : which == UNRELATED ? src.bytes / 2 + 100 : src.bytes;
    uint8_t *data = hkb_check_room(checks, REFERENCE, bytes);
    if (which == UNRELATED || which == SHORT) {
        memset(data, 'u', bytes);
    } else if (bytes > 0) {
        memcpy(data, src.data, bytes);
    }
    for (size_t i = 0; which == NEAR && i < bytes; i += 997) {
        data[i] ^= 0x5a;
    }
    return (hakuban_slice){data, bytes};
}

static instance begin(hkb_checks *checks)
{
    const hakuban_compressor_ops *ops = ops_of(checks);
    instance made = {ops, NULL};
    if (ops->self_bytes) {
        made.self = checks->alloc.alloc(checks, ops->self_bytes);
        HKB_CHECK(checks, made.self, "the checks themselves lack memory");
        memset(made.self, 0, ops->self_bytes);
    }
    if (ops->init) {
        hakuban_status status = ops->init(made.self, &checks->alloc);
        HKB_CHECK(checks, status == HAKUBAN_OK, "init() answers %s", hakuban_status_text(status));
    }
    return made;
}

static void end(hkb_checks *checks, instance *it)
{
    if (it->ops->done) {
        it->ops->done(it->self);
    }
    if (it->self) {
        checks->alloc.free(checks, it->self, it->ops->self_bytes);
    }
}

static uint8_t *bounded(hkb_checks *checks, const instance *it, size_t bytes, size_t *ret_bound)
{
    size_t bound = it->ops->bound(it->self, bytes);
    HKB_CHECK(checks, bound <= HKB_CHECK_ROOM_BYTES, "bound(%zu) is %zu: that is no help", bytes,
              bound);
    *ret_bound = bound;
    return hkb_check_room(checks, DST, bound);
}

/* Into the room DST; ERR_LIMIT is passed on, everything else must be well. */
static hakuban_status compress(hkb_checks *checks, const instance *it, hakuban_slice src,
                               hakuban_slice reference, hakuban_slice *ret)
{
    size_t bound, untouched = (size_t)-1 / 3, bytes = untouched;
    uint8_t *dst = bounded(checks, it, src.bytes, &bound);
    hakuban_status status = it->ops->compress(it->self, dst, bound, &bytes, src, reference);
    if (status == HAKUBAN_ERR_LIMIT) {
        HKB_CHECK(checks, bytes == untouched, "ret_bytes was touched where compress() failed");
        return status;
    }
    HKB_CHECK(checks, status == HAKUBAN_OK, "compress() of %zu bytes answers %s", src.bytes,
              hakuban_status_text(status));
    HKB_CHECK(checks, bytes <= bound, "%zu bytes from %zu, bound() had said %zu", bytes, src.bytes,
              bound);
    HKB_CHECK(checks, bytes < src.bytes,
              "%zu bytes became %zu: what does not get smaller is ERR_LIMIT", src.bytes, bytes);
    /* To its own end of the room, so that reading behind it shows. */
    uint8_t *moved = hkb_check_room(checks, DST, bytes);
    memmove(moved, dst, bytes);
    *ret = (hakuban_slice){moved, bytes};
    return HAKUBAN_OK;
}

static hakuban_status decompress(hkb_checks *checks, const instance *it, size_t dst_bytes,
                                 hakuban_slice packed, hakuban_slice reference)
{
    uint8_t *out = hkb_check_room(checks, OUT, dst_bytes);
    uint8_t before[64];
    size_t watched = HKB_CHECK_ROOM_BYTES - dst_bytes < 64 ? 0 : 64;
    memset(out - watched, 0xc3, watched);
    memset(before, 0xc3, sizeof(before));
    hakuban_status status = it->ops->decompress(it->self, out, dst_bytes, packed, reference);
    HKB_CHECK(checks, memcmp(out - watched, before, watched) == 0, "wrote in front of dst");
    return status;
}

static bool is_out(hkb_checks *checks, hakuban_slice src)
{
    return src.bytes == 0 ||
           memcmp(hkb_check_room(checks, OUT, src.bytes), src.data, src.bytes) == 0;
}

/* Some bytes that do get smaller, for the checks of bad input; false: there are none, see
 * data_that_repeats_gets_smaller. */
static bool packed_words(hkb_checks *checks, const instance *it, size_t bytes, unsigned which,
                         hakuban_slice *ret_src, hakuban_slice *ret_reference,
                         hakuban_slice *ret_packed)
{
    *ret_src = source(checks, bytes, WORDS);
    *ret_reference = reference_for(checks, *ret_src, which);
    if (compress(checks, it, *ret_src, *ret_reference, ret_packed) == HAKUBAN_OK) {
        return true;
    }
    hkb_check_remark(checks, "nothing was compressed, so nothing was tried");
    return false;
}

static void the_table_is_complete(hkb_checks *checks)
{
    const hakuban_compressor_ops *ops = ops_of(checks);
    HKB_CHECK(checks, ops, "there is no table");
    HKB_CHECK(checks, ops->size == sizeof(*ops), "size is %u, not %zu", (unsigned)ops->size,
              sizeof(*ops));
    HKB_CHECK(checks, ops->abi == HAKUBAN_COMPRESSOR_ABI, "abi is %u, not %u", (unsigned)ops->abi,
              HAKUBAN_COMPRESSOR_ABI);
    HKB_CHECK(checks, ops->name && ops->name[0] && strlen(ops->name) <= 32,
              "the name is missing or longer than 32 bytes");
    HKB_CHECK(checks, ops->bound && ops->compress && ops->decompress,
              "bound(), compress() or decompress() is missing");
}

static void what_was_compressed_comes_back(hkb_checks *checks)
{
    instance it = begin(checks);
    for (size_t i = 0; i < HKB_CHECK_COUNT(sizes); i++) {
        for (unsigned kind = 0; kind < KINDS; kind++) {
            for (unsigned which = 0; which < REFERENCES; which++) {
                hakuban_slice src = source(checks, sizes[i], kind), packed;
                hakuban_slice reference = reference_for(checks, src, which);
                if (compress(checks, &it, src, reference, &packed) < 0) {
                    continue;
                }
                hakuban_status status = decompress(checks, &it, src.bytes, packed, reference);
                HKB_CHECK(checks, status == HAKUBAN_OK && is_out(checks, src),
                          "%zu bytes of %s with %s reference came back %s", src.bytes,
                          kind_names[kind], reference_names[which],
                          status == HAKUBAN_OK ? "changed" : hakuban_status_text(status));
            }
        }
    }
    end(checks, &it);
}

static void data_that_repeats_gets_smaller(hkb_checks *checks)
{
    instance it = begin(checks);
    hakuban_slice packed;
    for (unsigned kind = ZEROS; kind <= WORDS; kind++) {
        hakuban_slice src = source(checks, 4096, kind);
        HKB_CHECK(checks,
                  compress(checks, &it, src, (hakuban_slice){NULL, 0}, &packed) == HAKUBAN_OK,
                  "4096 bytes of %s did not", kind_names[kind]);
        HKB_CHECK(checks, packed.bytes < 1024, "4096 bytes of %s became %zu", kind_names[kind],
                  packed.bytes);
    }
    end(checks, &it);
}

static void data_that_is_like_the_reference_gets_smaller(hkb_checks *checks)
{
    instance it = begin(checks);
    hakuban_slice src = source(checks, 16384, NOISE), packed;
    hakuban_slice reference = reference_for(checks, src, NEAR);
    HKB_CHECK(checks, compress(checks, &it, src, reference, &packed) == HAKUBAN_OK,
              "the reference did not help");
    HKB_CHECK(checks, packed.bytes < 4096, "16384 bytes became %zu", packed.bytes);
    end(checks, &it);
}

static void what_cannot_get_smaller_is_over_the_limit(hkb_checks *checks)
{
    instance it = begin(checks);
    for (size_t i = 0; i < HKB_CHECK_COUNT(sizes); i++) {
        hakuban_slice src = source(checks, sizes[i], NOISE), packed;
        hakuban_slice none = {NULL, 0};
        HKB_CHECK(checks, compress(checks, &it, src, none, &packed) == HAKUBAN_ERR_LIMIT,
                  "%zu bytes of noise became %zu", src.bytes, packed.bytes);
    }
    end(checks, &it);
}

static void another_size_than_the_right_one_is_corrupt(hkb_checks *checks)
{
    static const size_t wrong[] = {0, 1, 3999, 4001, 8000, 100000};
    instance it = begin(checks);
    hakuban_slice src, reference, packed;
    for (unsigned which = NONE; which <= NEAR; which++) {
        for (size_t i = 0; i < HKB_CHECK_COUNT(wrong); i++) {
            if (!packed_words(checks, &it, 4000, which, &src, &reference, &packed)) {
                break;
            }
            hakuban_status status = decompress(checks, &it, wrong[i], packed, reference);
            HKB_CHECK(checks, status == HAKUBAN_ERR_CORRUPT,
                      "4000 bytes into a dst of %zu: %s, not ERR_CORRUPT", wrong[i],
                      hakuban_status_text(status));
        }
    }
    end(checks, &it);
}

static void truncated_input_is_corrupt(hkb_checks *checks)
{
    instance it = begin(checks);
    hakuban_slice src, reference, packed;
    for (unsigned which = NONE; which <= NEAR; which++) {
        if (!packed_words(checks, &it, 4000, which, &src, &reference, &packed)) {
            break;
        }
        for (size_t bytes = 0; bytes < packed.bytes; bytes++) {
            uint8_t *part = hkb_check_room(checks, SRC, bytes);
            memcpy(part, packed.data, bytes);
            hakuban_status status =
                decompress(checks, &it, 4000, (hakuban_slice){part, bytes}, reference);
            HKB_CHECK(checks, status == HAKUBAN_ERR_CORRUPT,
                      "%zu of %zu bytes: %s, not ERR_CORRUPT", bytes, packed.bytes,
                      hakuban_status_text(status));
        }
    }
    end(checks, &it);
}

/* What comes out may be wrong, which a check value of the caller's finds; but it is all inside, and
 * said as one of two. */
static void check_bad_input(hkb_checks *checks, const instance *it, size_t dst_bytes,
                            hakuban_slice packed, hakuban_slice reference)
{
    hakuban_status status = decompress(checks, it, dst_bytes, packed, reference);
    HKB_CHECK(checks, status == HAKUBAN_OK || status == HAKUBAN_ERR_CORRUPT,
              "bad input: %s, not ERR_CORRUPT", hakuban_status_text(status));
}

static void corrupt_input_stays_inside(hkb_checks *checks)
{
    instance it = begin(checks);
    hakuban_slice src, reference, packed;
    for (unsigned which = NONE; which <= NEAR; which++) {
        if (!packed_words(checks, &it, 4000, which, &src, &reference, &packed)) {
            break;
        }
        uint8_t *data = hkb_check_room(checks, DST, packed.bytes);
        size_t step = packed.bytes / 200 + 1;
        for (size_t i = 0; i < packed.bytes; i += i < 32 ? 1 : step) {
            uint8_t right = data[i];
            for (unsigned change = 1; change < 256; change++) {
                data[i] = (uint8_t)(right ^ change);
                check_bad_input(checks, &it, 4000, packed, reference);
            }
            data[i] = right;
        }
        HKB_CHECK(checks,
                  decompress(checks, &it, 4000, packed, reference) == HAKUBAN_OK &&
                      is_out(checks, src),
                  "after corrupt input good input fails");
    }
    end(checks, &it);
}

static void any_bytes_stay_inside(hkb_checks *checks)
{
    instance it = begin(checks);
    uint32_t seed = 11;
    for (unsigned round = 0; round < 3000; round++) {
        size_t bytes = hkb_check_random(&seed) % 200, dst_bytes = hkb_check_random(&seed) % 300;
        uint8_t *data = hkb_check_room(checks, DST, bytes);
        for (size_t i = 0; i < bytes; i++) {
            data[i] = (uint8_t)hkb_check_random(&seed);
        }
        hakuban_slice reference = {hkb_check_room(checks, REFERENCE, round % 50), round % 50};
        check_bad_input(checks, &it, dst_bytes, (hakuban_slice){data, bytes}, reference);
    }
    end(checks, &it);
}

static void a_wrong_reference_stays_inside(hkb_checks *checks)
{
    static const size_t others[] = {0, 1, 100, 3999, 4000, 4001, 70000};
    instance it = begin(checks);
    hakuban_slice src, reference, packed;
    for (unsigned which = SAME; which <= NEAR; which++) {
        if (!packed_words(checks, &it, 4000, which, &src, &reference, &packed)) {
            break;
        }
        for (size_t i = 0; i < HKB_CHECK_COUNT(others); i++) {
            uint8_t *data = hkb_check_room(checks, REFERENCE, others[i]);
            fill(data, others[i], NOISE);
            check_bad_input(checks, &it, 4000, packed, (hakuban_slice){data, others[i]});
        }
    }
    end(checks, &it);
}

static void instances_are_independent(hkb_checks *checks)
{
    instance first = begin(checks), second = begin(checks);
    hakuban_slice src, reference, packed;
    if (packed_words(checks, &first, 4000, NEAR, &src, &reference, &packed)) {
        static const uint8_t rubbish[50] = {1, 2, 3};
        check_bad_input(checks, &second, 100, (hakuban_slice){rubbish, sizeof(rubbish)}, reference);
        HKB_CHECK(checks,
                  decompress(checks, &second, 4000, packed, reference) == HAKUBAN_OK &&
                      is_out(checks, src),
                  "what one has compressed the other cannot read");
    }
    end(checks, &first);
    if (packed_words(checks, &second, 4000, SAME, &src, &reference, &packed)) {
        HKB_CHECK(checks,
                  decompress(checks, &second, 4000, packed, reference) == HAKUBAN_OK &&
                      is_out(checks, src),
                  "when one had ended the other failed");
    }
    end(checks, &second);
}

/* Whether the failure of the nth allocation was said as such; false: there are fewer. */
static bool lacks_memory(hkb_checks *checks, long nth)
{
    const hakuban_compressor_ops *ops = ops_of(checks);
    instance it = {ops, NULL};
    hakuban_status status = HAKUBAN_OK;
    size_t bound, bytes;
    hakuban_slice src = source(checks, 4000, WORDS);
    hakuban_slice reference = reference_for(checks, src, NEAR);
    if (ops->self_bytes) {
        it.self = checks->alloc.alloc(checks, ops->self_bytes);
        memset(it.self, 0, ops->self_bytes);
    }
    checks->failed = false;
    checks->fail_at = nth;
    if (ops->init) {
        status = ops->init(it.self, &checks->alloc);
    }
    if (status == HAKUBAN_OK) {
        uint8_t *dst = bounded(checks, &it, src.bytes, &bound);
        status = ops->compress(it.self, dst, bound, &bytes, src, reference);
        if (status == HAKUBAN_OK) {
            status = decompress(checks, &it, src.bytes, (hakuban_slice){dst, bytes}, reference);
        }
    }
    checks->fail_at = 0;
    end(checks, &it);
    HKB_CHECK(checks, !checks->failed || status == HAKUBAN_ERR_NO_MEMORY,
              "allocation %ld failed, and the answer was %s", nth, hakuban_status_text(status));
    return checks->failed;
}

static void lack_of_memory_is_said_and_leaves_nothing(hkb_checks *checks)
{
    for (long nth = 1; lacks_memory(checks, nth); nth++) {
        HKB_CHECK(checks, nth < 1000, "there is always one more allocation");
    }
}

#define CHECK(name) {#name, name}

unsigned hakuban_conformance_compressor(const hakuban_compressor_ops *ops,
                                        hakuban_conformance_report *report, void *ctx)
{
    static const hkb_check list[] = {
        CHECK(the_table_is_complete),
        CHECK(what_was_compressed_comes_back),
        CHECK(data_that_repeats_gets_smaller),
        CHECK(data_that_is_like_the_reference_gets_smaller),
        CHECK(what_cannot_get_smaller_is_over_the_limit),
        CHECK(another_size_than_the_right_one_is_corrupt),
        CHECK(truncated_input_is_corrupt),
        CHECK(corrupt_input_stays_inside),
        CHECK(any_bytes_stay_inside),
        CHECK(a_wrong_reference_stays_inside),
        CHECK(instances_are_independent),
        CHECK(lack_of_memory_is_said_and_leaves_nothing),
    };
    hkb_checks checks = {.ops = ops, .report = report, .report_ctx = ctx};
    return hkb_checks_run(&checks, list, HKB_CHECK_COUNT(list));
}
