/* What every room stands on: the hash table, URLs and their values, buffers, errors and log lines.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <hakuban/plugin/transport.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/url.h"
#include "fail_alloc.h"

struct item {
    uint32_t hash;
    int number;
};

static bool same_number(const void *item, const void *key)
{
    return ((const struct item *)item)->number == *(const int *)key;
}

START_TEST(a_map_finds_what_is_in_it_and_shrinks)
{
    static struct item items[20000];
    fail_alloc memory;
    hkb_map map;
    fail_alloc_init(&memory);
    hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
    for (int crowded = 0; crowded < 2; crowded++) {
        for (int i = 0; i < 20000; i++) {
            items[i] = (struct item){(uint32_t)(crowded ? i / 50 : i), i};
            ck_assert_int_eq(hkb_map_insert(&map, &items[i]), HAKUBAN_OK);
        }
        size_t most = memory.bytes;
        for (int i = 0; i < 20000; i += 2) {
            hkb_map_remove(&map, &items[i]);
        }
        for (int i = 0; i < 20000; i++) {
            ck_assert_ptr_eq(hkb_map_find(&map, items[i].hash, &i), i % 2 ? &items[i] : NULL);
        }
        for (int i = 1; i < 19999; i += 2) {
            hkb_map_remove(&map, &items[i]);
        }
        ck_assert_uint_lt(memory.bytes, most / 100);
        hkb_map_remove(&map, &items[19999]);
        ck_assert_uint_eq(map.count, 0);
    }
    hkb_map_done(&map);
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

/* No call takes or gives back more memory than that of two parts, and of the directory; so no call
 * moves more items than a part has. */
START_TEST(a_map_grows_and_shrinks_by_little_at_a_time)
{
    enum { ITEMS = 100000, STEP_BYTES = 2 * (1024 * 8 + 8) + ITEMS / 16 * 8, SPREAD = 7919 };
    static struct item items[ITEMS];
    static bool there[ITEMS];
    fail_alloc memory;
    hkb_map map;
    size_t failed = 0, missed = 0, largest = 0, uncounted = 0, wasted = 0;
    fail_alloc_init(&memory);
    hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
    for (int step = 0; step < 4 * ITEMS; step++) {
        bool grows = step / ITEMS % 2 == 0;
        int at = (int)((uint64_t)step * SPREAD % ITEMS), other = ITEMS - 1 - at;
        size_t before = memory.bytes;
        if (grows) {
            items[at] = (struct item){(uint32_t)at, at};
            failed += hkb_map_insert(&map, &items[at]) != HAKUBAN_OK;
        } else {
            hkb_map_remove(&map, &items[at]);
        }
        there[at] = grows;
        size_t after = memory.bytes, moved = after > before ? after - before : before - after;
        largest = moved > largest ? moved : largest;
        uncounted += after != map.bytes;
        wasted += after > 8 * sizeof(void *) * map.count + STEP_BYTES;
        missed += hkb_map_find(&map, (uint32_t)at, &at) != (grows ? &items[at] : NULL);
        missed +=
            hkb_map_find(&map, (uint32_t)other, &other) != (there[other] ? &items[other] : NULL);
    }
    ck_assert_uint_eq(failed + missed + uncounted + wasted, 0);
    ck_assert_uint_le(largest, STEP_BYTES);
    ck_assert_uint_eq(map.count, 0);
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

/* A walk of 32 a step, while the table grows and shrinks under it: those that stay are told, all of
 * them. */
START_TEST(a_scan_of_a_map_gives_every_item_that_stays)
{
    static struct item items[40000];
    static unsigned told[40000];
    fail_alloc memory;
    hkb_map map;
    fail_alloc_init(&memory);
    for (int crowd = 0; crowd < 4; crowd++) { /* no items come or go, some come, go, both */
        hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
        memset(told, 0, sizeof(told));
        int coming = crowd == 1 || crowd == 3 ? 1000 : 40000, going = 40000;
        for (int i = 0; i < 40000; i++) {
            items[i] = (struct item){(uint32_t)i * 2654435761u, i};
            if (i < coming) {
                ck_assert_int_eq(hkb_map_insert(&map, &items[i]), HAKUBAN_OK);
            }
        }
        uint64_t place = 0;
        size_t given = 0, count;
        void *slice[32];
        while ((count = hkb_map_scan(&map, &place, slice, 32)) > 0) {
            for (size_t i = 0; i < count; i++) {
                told[((struct item *)slice[i])->number]++;
            }
            given += count;
            for (int k = 0; k < 500 && coming < 40000; k++, coming++) {
                ck_assert_int_eq(hkb_map_insert(&map, &items[coming]), HAKUBAN_OK);
            }
            for (int k = 0; crowd >= 2 && coming == 40000 && k < 700 && going > 1000; k++) {
                hkb_map_remove(&map, &items[--going]);
            }
        }
        ck_assert_uint_eq(place, UINT64_MAX);
        ck_assert_uint_eq(hkb_map_scan(&map, &place, slice, 32), 0);
        ck_assert_uint_le(given, 40000);
        int missed = 0, again = 0;
        for (int i = 0; i < 40000; i++) {
            missed += i < 1000 && told[i] == 0;
            again += told[i] > 1;
        }
        ck_assert_int_eq(missed, 0);
        ck_assert_int_eq(again, 0);
        for (going = going < coming ? going : coming; going > 0;) {
            hkb_map_remove(&map, &items[--going]);
        }
        ck_assert_uint_eq(map.count, 0);
    }
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

/* Each allocation of the growth to 20,000 items fails in turn, once, and the call is made again. */
START_TEST(a_map_without_memory_stays_as_it_was)
{
    enum { ITEMS = 20000 };
    static struct item items[ITEMS];
    fail_alloc memory;
    bool failed = true;
    fail_alloc_init(&memory);
    for (size_t n = 1; failed; n++) {
        hkb_map map;
        hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
        fail_alloc_arm(&memory, n, true);
        failed = false;
        for (int i = 0; i < ITEMS; i++) {
            items[i] = (struct item){(uint32_t)i, i};
            size_t bytes = memory.bytes;
            if (hkb_map_insert(&map, &items[i]) == HAKUBAN_OK) {
                continue;
            }
            ck_assert(!failed);
            failed = true;
            ck_assert_uint_eq(memory.bytes, bytes);
            ck_assert_uint_eq(map.count, (size_t)i);
            size_t missed = 0;
            for (int k = 0; k <= i; k++) {
                missed += hkb_map_find(&map, items[k].hash, &k) != (k < i ? &items[k] : NULL);
            }
            ck_assert_uint_eq(missed, 0);
            for (int k = 0; k < i; k += 2) { /* shrinking needs no memory */
                hkb_map_remove(&map, &items[k]);
            }
            fail_alloc_arm(&memory, 0, false);
            for (int k = 0; k <= i; k++) {
                if (k % 2 == 0 || k == i) {
                    missed += hkb_map_insert(&map, &items[k]) != HAKUBAN_OK;
                }
            }
            ck_assert_uint_eq(missed, 0);
        }
        size_t missed = 0;
        for (int i = 0; i < ITEMS; i++) {
            missed += hkb_map_find(&map, items[i].hash, &i) != &items[i];
            hkb_map_remove(&map, &items[i]);
        }
        ck_assert_uint_eq(missed, 0);
        ck_assert_uint_eq(memory.blocks, 0);
    }
}
END_TEST

/* Not even many items with one hash make the directory long. */
START_TEST(a_map_takes_a_crowd_of_items_with_one_hash)
{
    enum { CROWD = 1000, OTHERS = 5000 };
    static struct item items[CROWD + OTHERS];
    fail_alloc memory;
    hkb_map map;
    fail_alloc_init(&memory);
    hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
    for (int i = 0; i < CROWD + OTHERS; i++) {
        items[i] = (struct item){(uint32_t)(i < CROWD ? 7 : i), i};
        ck_assert_int_eq(hkb_map_insert(&map, &items[i]), HAKUBAN_OK);
    }
    ck_assert_uint_le(memory.bytes, (CROWD + OTHERS) * 64);
    for (int i = 0; i < CROWD + OTHERS; i++) {
        ck_assert_ptr_eq(hkb_map_find(&map, items[i].hash, &i), &items[i]);
        hkb_map_remove(&map, &items[i]);
        ck_assert_ptr_null(hkb_map_find(&map, items[i].hash, &i));
    }
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

START_TEST(the_key_of_a_map_decides_where_numbers_are)
{
    static struct item items[2][16];
    void *walked[2][16];
    size_t differing = 0;
    fail_alloc memory;
    fail_alloc_init(&memory);
    for (size_t m = 0; m < 2; m++) {
        hkb_map map;
        uint64_t place = 0;
        hkb_map_init(&map, &memory.table, offsetof(struct item, hash), same_number);
        hkb_map_set_key(&map, m ? 0x1234567890abcdefu : 0xfedcba0987654321u);
        for (int i = 0; i < 16; i++) {
            items[m][i] = (struct item){(uint32_t)i << 16, i};
            ck_assert_int_eq(hkb_map_insert(&map, &items[m][i]), HAKUBAN_OK);
        }
        ck_assert_uint_eq(hkb_map_scan(&map, &place, walked[m], 16), 16);
        hkb_map_done(&map);
    }
    for (size_t i = 0; i < 16; i++) {
        differing += ((struct item *)walked[0][i])->number != ((struct item *)walked[1][i])->number;
    }
    ck_assert_uint_gt(differing, 4);
}
END_TEST

START_TEST(siphash_gives_the_published_values)
{
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t data[15];
    for (uint8_t i = 0; i < sizeof(data); i++) {
        data[i] = i;
    }
    ck_assert(hkb_siphash(key, data, 0) == 0xabac0158050fc4dcu);
    ck_assert(hkb_siphash(key, data, 15) == 0xd320d86d2a519956u);
}
END_TEST

START_TEST(a_url_is_taken_apart)
{
    hakuban_url *url;
    const char *text = "TCP://[::1]:3001/p q#name=J K,,timeout=5s,x=a=b";
    ck_assert_int_eq(hkb_url_parse(NULL, text, &url, NULL), HAKUBAN_OK);
    ck_assert_str_eq(url->text, text);
    ck_assert_str_eq(url->scheme, "tcp");
    ck_assert_str_eq(url->authority, "[::1]:3001");
    ck_assert_str_eq(url->host, "::1");
    ck_assert_uint_eq(url->port, 3001);
    ck_assert_str_eq(url->path, "/p q");
    ck_assert_uint_eq(url->param_count, 3);
    ck_assert_str_eq(hakuban_url_get(url, "name"), "J K");
    ck_assert_str_eq(hakuban_url_get(url, "x"), "a=b");
    ck_assert_ptr_null(hakuban_url_get(url, "Name"));
    ck_assert_ptr_null(hkb_url_free(NULL, url));
    ck_assert_int_eq(hkb_url_parse(NULL, "unix:///tmp/a", &url, NULL), HAKUBAN_OK);
    ck_assert_str_eq(url->authority, "");
    ck_assert_str_eq(url->path, "/tmp/a");
    ck_assert(!url->has_port);
    hkb_url_free(NULL, url);
}
END_TEST

START_TEST(a_wrong_url_is_refused_in_words)
{
    static const char *const wrong[] = {
        "",          "tcp",          "tcp:/a",         "://a",         "tcp://a:",  "tcp://a:70000",
        "tcp://a:b", "tcp://::1:80", "tcp://[::1",     "tcp://[::1]x", "tcp://a b", "tcp://a\n",
        "tcp://a#x", "tcp://a#=1",   "tcp://a#x=1,x=2"};
    fail_alloc memory;
    fail_alloc_init(&memory);
    for (size_t i = 0; i < HKB_COUNT(wrong); i++) {
        hakuban_url *url = NULL;
        hakuban_error error = {.status = HAKUBAN_OK};
        ck_assert_int_eq(hkb_url_parse(&memory.table, wrong[i], &url, &error), HAKUBAN_ERR_URL);
        ck_assert_ptr_null(url);
        ck_assert_int_eq(error.status, HAKUBAN_ERR_URL);
        ck_assert_uint_le(error.offset, strlen(wrong[i]));
        ck_assert_uint_eq(memory.blocks, 0);
    }
}
END_TEST

static const struct {
    const char *text;
    uint64_t ns; /* UINT64_MAX: refused */
} durations[] = {
    {"20s", 20000000000},       {"1m30s", 90000000000},
    {"250ms", 250000000},       {"120", 120000000000},
    {"1m + 31", 91000000000},   {"1m*60", 3600000000000},
    {"2 hours", 7200000000000}, {"0", 0},
    {"1.5s", UINT64_MAX},       {"", UINT64_MAX},
    {"-5", UINT64_MAX},         {"1m*2m", UINT64_MAX},
    {"1x", UINT64_MAX},         {"99999999y", UINT64_MAX},
    {"1s+", UINT64_MAX},        {"1H30Min5S", 5405000000000},
    {"2MSX", UINT64_MAX},
};

START_TEST(a_duration_is_read_or_refused)
{
    uint64_t ns = UINT64_MAX;
    hakuban_status status = hkb_duration_parse(durations[_i].text, &ns, NULL);
    ck_assert_int_eq(status, durations[_i].ns == UINT64_MAX ? HAKUBAN_ERR_PARSE : HAKUBAN_OK);
    ck_assert_uint_eq(ns, durations[_i].ns);
}
END_TEST

START_TEST(a_load_limit_follows_its_points)
{
    hkb_load_limit limit;
    uint64_t s = 1000000000;
    ck_assert_int_eq(hkb_load_limit_parse("2:0-2:5-5:7", &limit, NULL), HAKUBAN_OK);
    ck_assert(hkb_load_limit_at(&limit, s) < 0.001);
    ck_assert(hkb_load_limit_at(&limit, 2 * s) > 4.999);
    ck_assert(hkb_load_limit_at(&limit, 2 * s + 3 * s / 2) > 5.999);
    ck_assert(hkb_load_limit_at(&limit, 9 * s) > 6.999);
    ck_assert_int_eq(hkb_load_limit_parse("3", &limit, NULL), HAKUBAN_OK);
    ck_assert(hkb_load_limit_at(&limit, 0) > 2.999);
    ck_assert_int_eq(hkb_load_limit_parse("", &limit, NULL), HAKUBAN_OK);
    ck_assert(hkb_load_limit_at(&limit, 0) > 1e300);
    ck_assert_int_eq(hkb_load_limit_parse("3-", &limit, NULL), HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(hkb_load_limit_parse("1:x", &limit, NULL), HAKUBAN_ERR_PARSE);
}
END_TEST

START_TEST(the_time_at_which_a_load_limit_gives_room_is_known)
{
    hkb_load_limit limit;
    uint64_t s = 1000000000;
    ck_assert_int_eq(hkb_load_limit_parse("2:0-2:5-5:7", &limit, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 1, 0), 2 * s);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 5, s), 2 * s);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 6, 2 * s), 2 * s + 3 * s / 2);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 7, 4 * s), 5 * s);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 7.1, 0), UINT64_MAX);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 8, 6 * s), UINT64_MAX);
    /* One that falls and rises again. */
    ck_assert_int_eq(hkb_load_limit_parse("0:9-4:1-8:3", &limit, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, 2, 4 * s), 6 * s);
    /* It is ahead, whatever the slope, and there is room then. */
    ck_assert_int_eq(hkb_load_limit_parse("7ns:1000000007-3y:4294967295", &limit, NULL),
                     HAKUBAN_OK);
    uint64_t now = 7;
    for (double load = 1000000008; load < 1000010000; load++) {
        uint64_t next = hkb_load_limit_when(&limit, load, now);
        ck_assert_uint_gt(next, now);
        ck_assert(hkb_load_limit_at(&limit, next) > load - 0.001);
        now = next;
    }
    /* The longest and highest slope. */
    limit = (hkb_load_limit){.count = 0};
    ck_assert_int_eq(hkb_load_limit_add(&limit, (hkb_load_point){0, 0}), HAKUBAN_OK);
    ck_assert_int_eq(hkb_load_limit_add(&limit, (hkb_load_point){UINT64_MAX - 1, UINT32_MAX}),
                     HAKUBAN_OK);
    ck_assert(fabs(hkb_load_limit_at(&limit, UINT64_C(1) << 63) - 2147483647.5) < 0.001);
    ck_assert_uint_gt(hkb_load_limit_when(&limit, 2147483648, UINT64_C(1) << 63), UINT64_C(1)
                                                                                      << 63);
    ck_assert(hkb_load_limit_at(&limit, UINT64_MAX - 2) > 4294967294.0);
    ck_assert_uint_eq(hkb_load_limit_when(&limit, UINT32_MAX, UINT64_MAX - 2), UINT64_MAX - 1);
}
END_TEST

START_TEST(a_size_is_read_or_refused)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(hkb_size_parse("256k", &bytes, NULL), HAKUBAN_OK);
    ck_assert_uint_eq(bytes, 262144);
    ck_assert_int_eq(hkb_size_parse("99999999999G", &bytes, NULL), HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(hkb_size_parse("1x", &bytes, NULL), HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(hkb_size_parse("", &bytes, NULL), HAKUBAN_ERR_PARSE);
}
END_TEST

START_TEST(a_buffer_has_a_maximum_and_survives_lack_of_memory)
{
    fail_alloc memory;
    hkb_buffer buffer;
    fail_alloc_init(&memory);
    hkb_buffer_init(&buffer, &memory.table, 100);
    ck_assert_int_eq(hkb_buffer_append(&buffer, "abc", 3), HAKUBAN_OK);
    fail_alloc_arm(&memory, 1, true);
    ck_assert_int_eq(hkb_buffer_reserve(&buffer, 97), HAKUBAN_ERR_NO_MEMORY);
    ck_assert_int_eq(hkb_buffer_reserve(&buffer, 98), HAKUBAN_ERR_LIMIT);
    ck_assert_int_eq(memcmp(buffer.data, "abc", 3), 0);
    hkb_buffer_done(&buffer);
    hakuban_bytes *bytes = NULL;
    ck_assert_int_eq(hakuban_bytes_new(&memory.table, "xy", 2, &bytes), HAKUBAN_ERR_NO_MEMORY);
    fail_alloc_arm(&memory, 0, false);
    ck_assert_int_eq(hakuban_bytes_new(&memory.table, "xy", 2, &bytes), HAKUBAN_OK);
    ck_assert_ptr_null(hakuban_bytes_unref(hakuban_bytes_ref(bytes)));
    ck_assert_uint_eq(hakuban_bytes_slice(bytes).bytes, 2);
    hakuban_bytes_unref(bytes);
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

static char line[600];
static void keep_line(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    (void)ctx, (void)level, (void)room;
    (void)snprintf(line, sizeof(line), "%s", text);
}

START_TEST(errors_and_log_lines_stay_on_one_line)
{
    char out[16];
    hakuban_error error;
    ck_assert_int_eq(hakuban_error_set(&error, HAKUBAN_ERR_IO, "a\nb %d", 5), HAKUBAN_ERR_IO);
    ck_assert_str_eq(error.text, "a\\u000ab 5");
    hakuban_error_set(&error, HAKUBAN_ERR_IO, "more: %s", error.text);
    ck_assert_str_eq(error.text, "more: a\\u000ab 5");
    hakuban_error_set(NULL, HAKUBAN_ERR_IO, "not read");
    ck_assert_str_eq(hakuban_status_text((hakuban_status)-999), "unknown status");
    ck_assert_str_eq(hakuban_status_text(HAKUBAN_ERR_LOOP),
                     "this connection would close a loop of hubs");
    ck_assert_str_eq(hkb_escape(out, sizeof(out), "a\\\n\xff z", 6), "a\\x5c\\x0a\\xff z");
    ck_assert_str_eq(hkb_escape(out, 5, "\n\n", 2), "\\x0a");
    ck_assert_str_eq(hkb_escape(out, 1, "abc", 3), "");
    hkb_logger log = {.to = {.write = keep_line, .level = HAKUBAN_LOG_INFO}};
    hkb_log(&log, HKB_LOG_OWN, NULL, HAKUBAN_LOG_DEBUG, "base", "unheard");
    ck_assert_str_eq(line, "");
    hkb_log(&log, HKB_LOG_OWN, NULL, HAKUBAN_LOG_INFO, "base", "%0600d", 1);
    ck_assert_uint_eq(strlen(line), 511);
    hkb_log(&log, HKB_LOG_OWN, NULL, HAKUBAN_LOG_INFO, "base", "a\xc2\x9b\nb");
    ck_assert_str_eq(line, "a\\u009b\\u000ab");
    hkb_log(NULL, HKB_LOG_OWN, NULL, HAKUBAN_LOG_INFO, "base", "not heard either");
}
END_TEST

static unsigned lines_count;
static void count_line(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    keep_line(ctx, level, room, text);
    lines_count++;
}

static unsigned log_many(hkb_logger *log, hkb_log_kind kind, hkb_log_quota *quota, unsigned count)
{
    lines_count = 0;
    for (unsigned i = 0; i < count; i++) {
        hkb_log(log, kind, quota, HAKUBAN_LOG_WARNING, "base", "again");
    }
    return lines_count;
}

START_TEST(log_has_a_limit_for_each_kind_and_peer_and_counts_what_is_left_out)
{
    hkb_logger log = {.to = {.write = count_line, .level = HAKUBAN_LOG_WARNING}};
    hkb_log_quota loud = {0}, quiet = {0};
    log.now_ns = log.window_ns = 3 * HKB_LOG_WINDOW_NS;
    /* One peer uses up its own limit, not another's. */
    ck_assert_uint_eq(log_many(&log, HKB_LOG_VERSION, &loud, 1000), HKB_LOG_PEER_LINES_MAX);
    ck_assert_uint_eq(log_many(&log, HKB_LOG_VERSION, &quiet, 1), 1);
    ck_assert_uint_eq(log_many(&log, HKB_LOG_CHECK, &loud, 1), 0);
    /* Many peers use up a kind's, not another kind's, and not what is the program's own. */
    ck_assert_uint_eq(log_many(&log, HKB_LOG_ENDED, NULL, 1000), HKB_LOG_KIND_LINES_MAX);
    ck_assert_uint_eq(log_many(&log, HKB_LOG_CONNECTED, NULL, 1), 1);
    ck_assert_uint_eq(log_many(&log, HKB_LOG_OWN, NULL, 1000), 1000);
    /* What is below the level counts nowhere. */
    hkb_log(&log, HKB_LOG_LISTENER, NULL, HAKUBAN_LOG_DEBUG, "base", "unheard");
    ck_assert_uint_eq(log.lines[HKB_LOG_LISTENER], 0);
    /* When the window is over, the counts are said, whether or not anything else is. */
    ck_assert_uint_eq(hkb_log_deadline(&log), 4 * HKB_LOG_WINDOW_NS);
    lines_count = 0;
    log.now_ns = hkb_log_deadline(&log) - 1;
    hkb_log_tick(&log);
    ck_assert_uint_eq(lines_count, 0);
    log.now_ns++;
    hkb_log_tick(&log);
    ck_assert_uint_eq(lines_count, 3);
    ck_assert_str_eq(line, "1 more lines about differences that do not match their check were left "
                           "out");
    ck_assert_uint_eq(hkb_log_deadline(&log), UINT64_MAX);
    ck_assert_uint_eq(log_many(&log, HKB_LOG_VERSION, &loud, 1), 1);
}
END_TEST

static const struct {
    const char *text, *shown;
} shown_as[] = {
    {"plain, ä, 日本 and \\", "plain, ä, 日本 and \\"},
    {"\x1b[31m\r\n\t\x7f", "\\u001b[31m\\u000d\\u000a\\u0009\\u007f"},
    {"\xc2\x9b"
     "31m\xc2\x85\xc2\xa0",
     "\\u009b31m\\u0085\xc2\xa0"},
    {"\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xef\xbb\xbf", "\\u202e\\u2066\\u2028\\ufeff"},
    {"\xf3\xa0\x81\x81\xf0\x9f\x98\x80", "\\udb40\\udc41\xf0\x9f\x98\x80"},
    {"\xff\xe2\x80", "\\xff\\xe2\\x80"},
};

START_TEST(text_of_peers_is_shown_without_what_controls_a_terminal)
{
    char out[64];
    const char *text = shown_as[_i].text, *shown = shown_as[_i].shown;
    size_t needed = hakuban_printable(out, sizeof(out), text, strlen(text));
    ck_assert_str_eq(out, shown);
    ck_assert_uint_eq(needed, strlen(shown));
    /* However little room there is: the beginning, nothing half. */
    for (size_t room = 0; room <= needed; room++) {
        memset(out, 'x', sizeof(out));
        ck_assert_uint_eq(hakuban_printable(out, room, text, strlen(text)), needed);
        ck_assert_int_eq(out[room], 'x');
        if (room > 0) {
            ck_assert_int_eq(strncmp(out, shown, strlen(out)), 0);
        }
    }
}
END_TEST

START_TEST(an_item_may_leave_its_list_while_the_list_is_walked)
{
    struct entry {
        int number;
        hkb_node node;
    } entries[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    hkb_list list;
    hkb_list_init(&list);
    for (int i = 0; i < 3; i++) {
        hkb_list_push(&list, &entries[i].node);
    }
    int seen = 0;
    HKB_LIST_EACH(struct entry, entry, &list, node)
    {
        ck_assert_int_eq(entry->number, seen++);
        hkb_list_remove(&entry->node);
    }
    ck_assert_int_eq(seen, 3);
    ck_assert(hkb_list_empty(&list));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *all = tcase_create("all");
    tcase_add_test(all, a_map_finds_what_is_in_it_and_shrinks);
    tcase_add_test(all, a_map_grows_and_shrinks_by_little_at_a_time);
    tcase_add_test(all, a_scan_of_a_map_gives_every_item_that_stays);
    tcase_add_test(all, a_map_without_memory_stays_as_it_was);
    tcase_add_test(all, a_map_takes_a_crowd_of_items_with_one_hash);
    tcase_add_test(all, the_key_of_a_map_decides_where_numbers_are);
    tcase_add_test(all, siphash_gives_the_published_values);
    tcase_add_test(all, a_url_is_taken_apart);
    tcase_add_test(all, a_wrong_url_is_refused_in_words);
    tcase_add_loop_test(all, a_duration_is_read_or_refused, 0, (int)HKB_COUNT(durations));
    tcase_add_test(all, a_load_limit_follows_its_points);
    tcase_add_test(all, the_time_at_which_a_load_limit_gives_room_is_known);
    tcase_add_test(all, a_size_is_read_or_refused);
    tcase_add_test(all, a_buffer_has_a_maximum_and_survives_lack_of_memory);
    tcase_add_test(all, errors_and_log_lines_stay_on_one_line);
    tcase_add_test(all, log_has_a_limit_for_each_kind_and_peer_and_counts_what_is_left_out);
    tcase_add_loop_test(all, text_of_peers_is_shown_without_what_controls_a_terminal, 0,
                        (int)(sizeof(shown_as) / sizeof(shown_as[0])));
    tcase_add_test(all, an_item_may_leave_its_list_while_the_list_is_walked);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
