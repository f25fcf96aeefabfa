/* What strangers have tried, each as fast as the router takes it until the time is over. */
#define _GNU_SOURCE

#include "kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire/delta.h"

#define LARGE_BYTES ((size_t)64 << 20)
#define PACKET_BYTES ((size_t)60000)

static void rest_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void stay_until(int64_t end_us)
{
    while (clock_us() < end_us) {
        rest_ms(20);
    }
}

/* One client of many that stay connected until this process ends. */
static client *another(unsigned port, bool reads)
{
    client *c = calloc(1, sizeof(*c));
    if (!c) {
        exit(1);
    }
    client_begin(c, port, "crowd", false, reads);
    return c;
}

/* An exposer whose states the router needs, since the same connection preloads the object's tag:
 * its sink's channel. */
static unsigned expose_needed(client *c, const char *name)
{
    client_add(c, NULL, 0, "[%d,8,0,\"\\\"p\\\"\"]", SAY_TAG);
    client_add(c, NULL, 0, "[%d,2,1,\"\\\"%s\\\"\",\"\\\"p\\\"\"]", SAY_OBJECT, name);
    return client_flush(c, 2000, true) ? client_hear(c, HEAR_SINK_OPEN, 5000) : 0;
}

/* -- Work -- */

static void play_differences(unsigned port, int64_t end_us)
{
    client c;
    uint8_t *data = calloc(1, LARGE_BYTES);
    client_begin(&c, port, "differences", true, true);
    unsigned channel = expose_needed(&c, "large");
    if (!data || !channel) {
        return;
    }
    hkb_buffer whole = client_whole(data, LARGE_BYTES, true);
    uint32_t checks[2] = {(uint32_t)hkb_hash64(data, LARGE_BYTES), 0};
    data[0] = 1;
    checks[1] = (uint32_t)hkb_hash64(data, LARGE_BYTES);
    client_add(&c, whole.data, whole.bytes, "[%d,%u,[1],[\"JSON\"]]", SAY_STATE + 1, channel);
    for (unsigned i = 1; clock_us() < end_us && !c.ended; i++) {
        /* One literal in front, everything else as before. */
        uint32_t check = checks[i & 1];
        uint8_t difference[] = {(uint8_t)check,
                                (uint8_t)(check >> 8),
                                (uint8_t)(check >> 16),
                                (uint8_t)(check >> 24),
                                9,
                                0,
                                2,
                                i & 1};
        client_add(&c, difference, sizeof(difference), "[%d,%u,1]", SAY_STATE + 8, channel);
        if (i % 50 == 0) {
            (void)client_flush(&c, 1000, true);
        }
    }
}

static void play_tags(unsigned port, int64_t end_us)
{
    char tags[64 * 16] = "";
    for (size_t i = 0, at = 0; i < 64; i++) {
        at += (size_t)snprintf(tags + at, sizeof(tags) - at, ",\"%zu\"", i);
    }
    int64_t ready_us = clock_us() + (end_us - clock_us()) / 2;
    for (unsigned i = 0; i < 1000 && clock_us() < ready_us; i++) {
        client *observer = another(port, false);
        for (unsigned tag = 0; tag < 64; tag++) {
            client_add(observer, NULL, 0, "[%d,1,0,\"%u\"]", SAY_TAG, tag);
        }
        (void)client_flush(observer, 1000, false);
    }
    client *c = another(port, true);
    for (unsigned i = 0; clock_us() < end_us && !c->ended; i++) {
        client_add(c, NULL, 0, "[%d,%u,0,\"%u\"%s]", SAY_OBJECT, i / 50 % 2 ? 0u : 1u, i % 50,
                   tags);
        if (c->out.bytes > PACKET_BYTES) {
            (void)client_flush(c, 1000, true);
        }
    }
}

static void play_balance(unsigned port, int64_t end_us)
{
    client *c = another(port, true), *exposers[200];
    for (unsigned i = 0; i < 10000 && clock_us() < end_us; i++) {
        client_add(c, NULL, 0, "[%d,1,0,\"%u\",\"\\\"t\\\"\"]", SAY_OBJECT, i);
        if (c->out.bytes > PACKET_BYTES) {
            (void)client_flush(c, 1000, true);
        }
    }
    (void)client_flush(c, 1000, true);
    unsigned count = 0;
    for (; count < 200 && clock_us() < end_us; count++) {
        exposers[count] = another(port, false);
        client_add(exposers[count], NULL, 0, "[%d,2,1,\"\\\"t\\\"\"]", SAY_TAG);
        (void)client_flush(exposers[count], 1000, false);
    }
    for (unsigned i = 0; count && clock_us() < end_us; i++) {
        client *one = exposers[i % count];
        client_add(one, NULL, 0, "[%d,2,%u,\"\\\"t\\\"\"]", SAY_TAG, 1 + i / count % 2);
        (void)client_flush(one, 100, false);
        rest_ms(5);
    }
}

static void play_leaving(unsigned port, int64_t end_us)
{
    for (unsigned what = SAY_OBJECT; clock_us() < end_us; what = SAY_OBJECT + SAY_TAG - what) {
        client *c = another(port, true);
        for (unsigned i = 0; i < 200000 && clock_us() < end_us && !c->ended; i++) {
            client_add(c, NULL, 0, "[%u,3,1,\"%u\"]", what, i);
            if (c->out.bytes > PACKET_BYTES) {
                (void)client_flush(c, 1000, true);
            }
        }
        client_end(c);
        free(c);
    }
}

/* An exposer of 50,000 objects is lost again and again; the next one takes them. */
static void play_away(unsigned port, int64_t end_us)
{
    client *observer = another(port, true);
    client_add(observer, NULL, 0, "[%d,1,0,\"\\\"t\\\"\"]", SAY_TAG);
    (void)client_flush(observer, 1000, true);
    while (clock_us() < end_us) {
        client *c = another(port, true);
        for (unsigned i = 0; i < 50000 && clock_us() < end_us && !c->ended; i++) {
            client_add(c, NULL, 0, "[%d,2,1,\"%u\",\"\\\"t\\\"\"]", SAY_OBJECT, i);
            if (c->out.bytes > PACKET_BYTES) {
                (void)client_flush(c, 1000, true);
                (void)client_hear(observer, SAY_ACK, 1);
            }
        }
        client_end(c);
        free(c);
        for (int64_t rest_us = clock_us() + 700000; clock_us() < rest_us;) {
            (void)client_hear(observer, SAY_ACK, 20);
        }
    }
}

static void play_names(unsigned port, int64_t end_us)
{
    client *c = another(port, true);
    char list[4000] = "";
    for (size_t at = 0; at + 40 < sizeof(list);) {
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s4.94065645841246544e-324",
                               at ? "," : "");
    }
    for (unsigned i = 0; clock_us() < end_us && !c->ended; i++) {
        /* Objects and tags by turns, each taken back at once. */
        client_add(c, NULL, 0, "[%d,%u,0,\"[%u,%s]\"]", i % 4 < 2 ? SAY_OBJECT : SAY_TAG,
                   i % 2 ? 0u : 1u, i / 2, list);
        if (c->out.bytes > PACKET_BYTES) {
            (void)client_flush(c, 1000, true);
        }
    }
}

/* Pairs of names that differ in their upper bits only, so that a table without a keyed hash has
 * them all in one slot. */
static void play_have(unsigned port, int64_t end_us)
{
    static uint8_t pairs[2048 * 16];
    client *c = another(port, true);
    for (uint64_t i = 0; clock_us() < end_us && !c->ended;) {
        for (size_t k = 0; k < sizeof(pairs) / 16; k++, i++) {
            uint64_t words[2] = {(i << 48) | 1 | (i >> 16 << 1), 1};
            for (size_t byte = 0; byte < 16; byte++) {
                pairs[16 * k + byte] = (uint8_t)(words[byte / 8] >> (8 * (byte % 8)));
            }
        }
        client_add(c, pairs, sizeof(pairs), "[%d,1]", SAY_HAVE);
        (void)client_flush(c, 1000, true);
    }
}

/* -- Memory -- */

static void play_hoard(unsigned port, int64_t end_us)
{
    client *c = another(port, true);
    client_end(c);
    client_begin(c, port, "hoard", true, true);
    uint8_t *zeros = calloc(1, LARGE_BYTES);
    hkb_buffer whole = client_whole(zeros, LARGE_BYTES, true);
    char name[32];
    for (unsigned i = 0; clock_us() < end_us; i++) {
        (void)snprintf(name, sizeof(name), "hoard %u", i);
        unsigned channel = expose_needed(c, name);
        client_add(c, whole.data, whole.bytes, "[%d,%u,[1],[\"JSON\"]]", SAY_STATE + 1, channel);
        client_add(c, NULL, 0, "[%d,1,0,\"\\\"%s\\\"\",\"\\\"p\\\"\"]", SAY_OBJECT, name);
        if (!channel || !client_flush(c, 1000, true)) {
            client_end(c);
            client_begin(c, port, "hoard", true, true);
        }
    }
}

static void play_stuck(unsigned port, int64_t end_us)
{
    enum { OBJECTS = 16, BYTES = 1 << 20 };
    unsigned channels[OBJECTS];
    char name[32];
    uint8_t *data = calloc(1, BYTES);
    client *c = another(port, true);
    client_end(c);
    client_begin(c, port, "stuck", true, true);
    for (unsigned i = 0; i < 50 && clock_us() < end_us; i++) {
        client *observer = another(port, false);
        client_add(observer, NULL, 0, "[%d,1,0,\"\\\"p\\\"\"]", SAY_TAG);
        (void)client_flush(observer, 500, false);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        (void)snprintf(name, sizeof(name), "stuck %u", i);
        channels[i] = expose_needed(c, name);
    }
    for (unsigned round = 1; data && clock_us() < end_us && !c->ended; round++) {
        for (size_t i = 0; i < BYTES; i += 64) {
            data[i] = (uint8_t)round;
        }
        hkb_buffer whole = client_whole(data, BYTES, true);
        for (unsigned i = 0; i < OBJECTS; i++) {
            client_add(c, whole.data, whole.bytes, "[%d,%u,[%u],[\"JSON\"]]", SAY_STATE + 1,
                       channels[i], round);
            (void)client_flush(c, 1000, true);
        }
        hkb_buffer_done(&whole);
    }
}

/* -- Words -- */

static void play_log(unsigned port, int64_t end_us)
{
    client *c = another(port, true);
    unsigned channel = expose_needed(c, "log");
    for (unsigned i = 0; channel && clock_us() < end_us && !c->ended; i++) {
        uint8_t digits[2] = {(uint8_t)('1' + i % 9), (uint8_t)('0' + i / 9 % 10)};
        hkb_buffer whole = client_whole(digits, sizeof(digits), false);
        /* The same version with other data: a warning each. */
        client_add(c, whole.data, whole.bytes, "[%d,%u,[1],[\"JSON\"]]", SAY_STATE + 1, channel);
        hkb_buffer_done(&whole);
        if (c->out.bytes > PACKET_BYTES) {
            (void)client_flush(c, 1000, true);
        }
    }
}

static void play_floor(unsigned port, int64_t end_us)
{
    while (clock_us() < end_us) {
        client *c = another(port, true);
        client_add(c, NULL, 0, "[%d,3,1,\"\\\"floor\\\"\"]", SAY_OBJECT);
        (void)client_flush(c, 1000, true);
        unsigned channel = client_hear(c, HEAR_SINK_OPEN, 1000);
        for (unsigned i = 0; i < 1000 && !c->ended; i++) {
            client_add(c, NULL, 0, "[%d,%u,[%u,9223372036854775807]]", SAY_FLOOR, channel, i);
        }
        (void)client_flush(c, 1000, true);
        client_end(c);
        free(c);
    }
}

static void play_hellos(unsigned port, int64_t end_us)
{
    while (clock_us() < end_us) {
        client c;
        client_begin(&c, port, "\\u202e\\u0007 hello", false, true);
        client_add(&c, NULL, 0, "[99999");
        (void)client_flush(&c, 100, true);
        client_end(&c);
    }
    stay_until(end_us);
}

const kind kinds[] = {
    {"differences", "one-byte differences on a state of 64 MiB", false, play_differences},
    {"tags", "objects of 64 tags with up to 1,000 observers of each", false, play_tags},
    {"balance", "200 exposers of one tag, 10,000 objects, capacities that change", false,
     play_balance},
    {"leaving", "200,000 registrations that end at once", false, play_leaving},
    {"away", "an exposer of 50,000 objects that is lost again and again", false, play_away},
    {"names", "names full of numbers that are hard to read", false, play_names},
    {"have", "HAVE with names that share a slot", false, play_have},
    {"hoard", "states of 64 MiB that arrive as 2 KiB", false, play_hoard},
    {"hoard-below", "the same below a hub", true, play_hoard},
    {"stuck", "50 observers that read nothing of 16 states of 1 MiB", false, play_stuck},
    {"log", "a warning with each message", false, play_log},
    {"floor", "floors as high as there are", false, play_floor},
    {"hellos", "connections that break the protocol at once", false, play_hellos},
};
const size_t kind_count = sizeof(kinds) / sizeof(kinds[0]);
