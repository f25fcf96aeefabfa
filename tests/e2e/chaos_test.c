/* A tree of routers, exposers and observers in a storm, over TCP and ZeroMQ and through a bad
 * network: programs are killed, frozen and started again, connections cut, delayed, half-opened,
 * from a seed. Then the storm ends, and every observer must hold what the last exposer said; none
 * may ever have seen a version go back, or a state that no exposer made.
 *
 *   e2e_chaos [--seed S] [--seconds N]     one after the other until N seconds are over, with S, S
 * + 1, … */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "crowd.h"
#include "node.h"
#include "proxy.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum {
    HUBS = 5,
    OBJECTS = 5,
    EXPOSERS = 8,
    OBSERVERS = 10,
    NODES = 2, /* exposer and observer in one, in many threads */
    MEMBERS = HUBS + EXPOSERS + OBSERVERS + NODES,
    STORMS = 3,
    STORM_MS = 7000,
    BREEZE_MS = 5000,
    BREEZE_OUTAGE_MS = 300,
    BREEZE_PAUSE_MS =
        SANITIZED
            ? 1500
            : 700, /* until it is back: where all exposers are away, an observer has to notice */
    SILENCE_MS = 5000,    /* 2.5 s of it, and the hand-over that follows */
    CALM_MS_MAX = 120000, /* to agree after a storm, on a machine that is very busy */
    END_MS_MAX = 60000,
    HUB_KIB_MAX = 100 * 1024,
    DATA_BYTES_MAX = 200000,
    VERSION_BYTES = 360
};

/* The third level are the programs at the hubs and, below two of them, hubs with programs of their
 * own. */
static const unsigned parents[HUBS] = {0, 0, 0, 1, 2};

typedef struct seen {
    bool there, synchronized;
    char version[VERSION_BYTES];
    char *data;
} seen;

typedef struct observer {
    member *m;
    seen objects[OBJECTS];
    unsigned only; /* OBJECTS: all of the tag */
    unsigned long states;
} observer;

typedef struct exposer {
    member *m;
    unsigned object, said;
    char *last; /* what it said last */
} exposer;

/* What the schedule knows of a program: in time of the schedule, not of the clock, so that a seed
 * is always the same storm. */
typedef struct plan {
    uint64_t start_ms, thaw_ms; /* 0: not planned */
} plan;

static struct {
    uint64_t seed, seconds;
} asked = {0, SANITIZED ? 40 : 115};
static char own_path[1024];

static char folder[64], urls[MEMBERS][URL_BYTES], hub_urls[HUBS][2][URL_BYTES];
static uint64_t seed, dice;
static member *hubs[HUBS], *members[MEMBERS];
static exposer exposers[EXPOSERS + NODES]; /* the nodes' come last */
static observer observers[OBSERVERS + NODES];
static plan plans[MEMBERS];
static uint64_t heals_ms[MEMBERS]; /* of the way to the hub, by member; 0: it is good */
static bool is_steady[MEMBERS];    /* its grace time is so long that a short outage stays one on the
                                      busiest machine */
static bool breeze_blows;          /* there are short outages only, which no observer may see */
static char outage_seen[400];      /* the first one in the breeze; "" for none */
static proxy *network;
static FILE *schedule;
static struct {
    unsigned kills, ends, freezes, cuts, delays, trickles, swallows, refusals, short_outages;
    unsigned stalls; /* of the machine, in a breeze */
    unsigned long states;
    uint64_t calm_ms_max;
} counts;

static unsigned roll(unsigned sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % sides;
}

static unsigned between(unsigned least, unsigned most)
{
    return least + roll(most - least + 1);
}

static void plan_note(uint64_t at_ms, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void plan_note(uint64_t at_ms, const char *format, ...)
{
    va_list arguments;
    fprintf(schedule, "%6llu ", (unsigned long long)at_ms);
    va_start(arguments, format);
    vfprintf(schedule, format, arguments);
    va_end(arguments);
    fputc('\n', schedule);
}

/* -- A failure -- */

static void failed(const char *text)
{
    fflush(schedule);
    ck_abort_msg("%s\nthe same storm again: %s --seed %llu --seconds 1\nlogs: %s", text, own_path,
                 (unsigned long long)seed, folder);
}

static void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void give_up(const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (unsigned i = 0; i < HUBS; i++) {
        if (member_runs(hubs[i]) && !member_is_frozen(hubs[i])) {
            member_signal(hubs[i], SIGUSR2); /* a snapshot for its log */
        }
    }
    uint64_t until_ms = crowd_now_ms() + 1000;
    static bool again;
    if (!again) {
        again = true;
        crowd_turn(until_ms);
    }
    crowd_end();
    failed(text);
}

/* -- States: the data follows from the exposer and its number -- */

static void make_data(char *ret, size_t size, unsigned by, unsigned number)
{
    static const unsigned lengths[] = {0, 10, 40, 200, 3000, 20000, 70000, 150000};
    unsigned mixed = (by * 40503u + number) * 2654435761u;
    unsigned pad = lengths[mixed >> 29], at;
    /* Big ones are rare. */
    pad = pad > 3000 && (mixed >> 20) % 8 > 0 ? 90 : pad;
    at = (unsigned)snprintf(ret, size, "{\"by\":%u,\"n\":%u,\"pad\":\"", by, number);
    for (unsigned i = 0; i < pad; i++) {
        mixed = mixed * 1664525u + 1013904223u;
        ret[at++] = (char)('a' + (mixed >> 24) % 26);
    }
    snprintf(ret + at, size - at, "\"}");
}

static void check_data(const char *name, unsigned object, const char *data)
{
    static char expected[DATA_BYTES_MAX];
    unsigned by, number;
    if (sscanf(data, "{\"by\":%u,\"n\":%u,", &by, &number) != 2 || by >= EXPOSERS + NODES ||
        exposers[by].object != object || number > exposers[by].said) {
        give_up("%s got a state that no exposer made: %.200s", name, data);
    }
    make_data(expected, sizeof(expected), by, number);
    size_t bytes = strlen(expected);
    if (strncmp(data, expected, bytes) != 0 || strcmp(data + bytes, "}") != 0) {
        give_up("%s got a state of another content: %.200s", name, data);
    }
}

/* -1, 0 or 1 for two versions that end with ]. */
static int compare_versions(const char *a, const char *b)
{
    for (;;) {
        char *a_end, *b_end;
        long long x = strtoll(a, &a_end, 10), y = strtoll(b, &b_end, 10);
        if (x != y) {
            return x < y ? -1 : 1;
        }
        if (*a_end != ',' || *b_end != ',') {
            return (*a_end == ',') - (*b_end == ',');
        }
        a = a_end + 1;
        b = b_end + 1;
    }
}

static void forget_seen(observer *o)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        free(o->objects[i].data);
        memset(&o->objects[i], 0, sizeof(o->objects[i]));
    }
}

static void observed(void *ctx, const char *line)
{
    observer *o = ctx;
    const char *name = member_name(o->m), *object = strstr(line, "\"object\":{\"o\":");
    unsigned index = object ? (unsigned)strtoul(object + 14, NULL, 10) : OBJECTS;
    if (index >= OBJECTS || (o->only < OBJECTS && index != o->only)) {
        give_up("%s: of what it did not ask for: %.200s", name, line);
    }
    seen *s = &o->objects[index];
    const char *synchronized = strstr(line, "\"synchronized\":");
    const char *version = strstr(line, "\"version\":["), *data = strstr(line, "\"data\":");
    if (synchronized) {
        s->synchronized = synchronized[15] == 't';
    }
    s->there = strncmp(line, "{\"event\":\"close\"", 16) != 0;
    s->synchronized = s->synchronized && s->there;
    if (breeze_blows && !s->synchronized && !outage_seen[0]) {
        snprintf(outage_seen, sizeof(outage_seen), "%s: %.300s", name, line);
    }
    if (!s->there) {
        s->version[0] =
            '\0'; /* of a tag, when its link is lost: what comes back later begins anew */
    }
    if (!version) {
        return;
    }
    version += strlen("\"version\":[");
    if (!data) {
        give_up("%s: a state without data: %.200s", name, line);
    }
    data += strlen("\"data\":");
    if (s->version[0]) {
        int order = compare_versions(s->version, version);
        if (order >= 0) {
            give_up("%s saw a version go back: %.80s, then %.300s", name, s->version, line);
        }
    }
    check_data(name, index, data);
    snprintf(s->version, sizeof(s->version), "%.*s", (int)strcspn(version, "]"), version);
    free(s->data);
    s->data = strdup(data);
    ck_assert_ptr_nonnull(s->data);
    o->states++;
}

/* -- Programs -- */

static void start(unsigned index)
{
    char object[32];
    if (index < HUBS) {
        const char *words[] = {"hakuban-router",   "-b", hub_urls[index][0], "-b",
                               hub_urls[index][1], "-c", urls[index],        NULL};
        const char **link = hub_urls[index][1][0] ? words + 5 : words + 3;
        link[0] = index > 0 ? "-c" : NULL;
        link[1] = urls[index];
        link[2] = NULL;
        member_start(hubs[index], words);
    } else if (index < HUBS + EXPOSERS) {
        exposer *e = &exposers[index - HUBS];
        snprintf(object, sizeof(object), "{\"o\":%u}", e->object);
        const char *words[] = {"hakuban", "expose", "-c",   urls[index],
                               "--tag",   "\"t\"",  object, NULL};
        member_start(e->m, words);
        if (e->last) {
            member_say(e->m, e->last);
        }
    } else if (index >= MEMBERS - NODES) {
        unsigned node = index - (MEMBERS - NODES);
        exposer *e = &exposers[EXPOSERS + node];
        snprintf(object, sizeof(object), "{\"o\":%u}", e->object);
        const char *words[] = {own_path, "node", urls[index], object, "\"t\"", NULL};
        forget_seen(&observers[OBSERVERS + node]);
        member_start(e->m, words);
        if (e->last) {
            member_say(e->m, e->last);
        }
    } else {
        observer *o = &observers[index - HUBS - EXPOSERS];
        snprintf(object, sizeof(object), "{\"o\":%u}", o->only);
        const char *words[] = {"hakuban",
                               "observe",
                               "-c",
                               urls[index],
                               "--tag",
                               "\"t\"",
                               o->only < OBJECTS ? object : NULL,
                               NULL};
        forget_seen(o);
        member_start(o->m, words);
    }
}

static void say(unsigned index)
{
    static char data[DATA_BYTES_MAX];
    exposer *e = &exposers[index];
    make_data(data, sizeof(data), index, ++e->said);
    free(e->last);
    e->last = strdup(data);
    ck_assert_ptr_nonnull(e->last);
    member_say(e->m, e->last);
}

/* One of those that were built, and one port for each of them; WebSocket shares TCP's. */
static const char *draw_scheme(unsigned index)
{
    bool has_zmq = strstr(hakuban_features(), " zmq+tcp") != NULL;
    bool has_ws = strstr(hakuban_features(), " ws") != NULL;
    unsigned drawn = roll(4);
    if (index < HUBS) {
        drawn = index % 2; /* both kinds among the hubs, whatever the seed */
    }
    return drawn == 0 && has_zmq ? "zmq+tcp" : drawn == 2 && has_ws ? "ws" : "tcp";
}

/* What member index connects to: a hub, through its own way in the network. */
static void set_up_network(void)
{
    static const char *const graces[] = {"0s", "300ms", "2s", "8s", "8s", "8s"};
    static proxy_route ways[MEMBERS];
    const char *address = proxy_address();
    for (unsigned i = 0; i < HUBS; i++) {
        snprintf(hub_urls[i][0], URL_BYTES, "tcp://%s:%u#name=hub%u,keep-alive=1s,grace=8s",
                 address, 3000 + i, i);
#ifdef HAKUBAN_TEST_ZMQ
        snprintf(hub_urls[i][1], URL_BYTES, "zmq+tcp://%s:%u#name=hub%u,keep-alive=1s,grace=8s",
                 address, 3100 + i, i);
#endif
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        unsigned hub = i < HUBS ? parents[i] : i % HUBS, grace = roll(6);
        const char *scheme = draw_scheme(i);
        is_steady[i] = i > 0 && grace >= 3;
        ways[i].from = (uint16_t)(4000 + i);
        ways[i].to = (uint16_t)((scheme[0] == 'z' ? 3100 : 3000) + hub);
        snprintf(urls[i], URL_BYTES, "%s://%s:%u#name=%s,keep-alive=1s,grace=%s", scheme, address,
                 4000 + i, member_name(members[i]), graces[grace]);
    }
    network = proxy_start(address, ways, MEMBERS, seed);
}

static void set_up(void)
{
    char name[32];
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (i < HUBS) {
            snprintf(name, sizeof(name), "hub%u", i);
            hubs[i] = members[i] = member_new(name, NULL, NULL);
        } else if (i < HUBS + EXPOSERS) {
            unsigned k = i - HUBS;
            snprintf(name, sizeof(name), "exposer%u", k);
            exposers[k] = (exposer){.object = k % OBJECTS};
            exposers[k].m = members[i] = member_new(name, NULL, NULL);
        } else if (i >= MEMBERS - NODES) {
            unsigned k = i - (MEMBERS - NODES);
            snprintf(name, sizeof(name), "node%u", k);
            exposers[EXPOSERS + k] = (exposer){.object = OBJECTS - 1 - k};
            observers[OBSERVERS + k] = (observer){.only = OBJECTS};
            members[i] = member_new(name, observed, &observers[OBSERVERS + k]);
            exposers[EXPOSERS + k].m = observers[OBSERVERS + k].m = members[i];
        } else {
            unsigned k = i - HUBS - EXPOSERS;
            snprintf(name, sizeof(name), "observer%u", k);
            observers[k] = (observer){.only = k < HUBS ? OBJECTS : k % OBJECTS};
            observers[k].m = members[i] = member_new(name, observed, &observers[k]);
        }
    }
    memset(plans, 0, sizeof(plans));
    memset(heals_ms, 0, sizeof(heals_ms));
    set_up_network();
    for (unsigned i = 0; i < MEMBERS; i++) {
        start(i);
    }
}

/* -- The storm -- */

static void stop(unsigned index, bool hard)
{
    member *m = members[index];
    int code = member_stop(m, hard ? SIGKILL : SIGTERM, END_MS_MAX);
    /* One that has only just been started may not have its handler yet. */
    if (hard ? code != 128 + SIGKILL : code != 0 && code != 1 && code != 128 + SIGTERM) {
        give_up("%s ended with %d", member_name(m), code);
    }
    counts.kills += hard;
    counts.ends += !hard;
}

static bool is_planned(unsigned index)
{
    return plans[index].start_ms || plans[index].thaw_ms;
}

static void harm_program(uint64_t at_ms, unsigned index, unsigned what, unsigned length)
{
    if (is_planned(index)) {
        return;
    }
    const char *name = member_name(members[index]);
    if (what < 50) {
        bool hard = what < 35;
        plan_note(at_ms, "%s %s, %u ms away", hard ? "kill" : "end", name, length % 1500);
        plans[index].start_ms = at_ms + 1 + length % 1500;
        stop(index, hard);
    } else {
        plan_note(at_ms, "freeze %s for %u ms", name, length);
        plans[index].thaw_ms = at_ms + 1 + length;
        member_freeze(members[index]);
        counts.freezes++;
    }
}

static void harm_way(uint64_t at_ms, unsigned index, unsigned what, unsigned length, unsigned more)
{
    const char *name = member_name(members[index]);
    if (index == 0 || heals_ms[index]) {
        return; /* the top has no way up */
    }
    heals_ms[index] = at_ms + 1 + length;
    if (what < 40) {
        unsigned bytes = what < 10 ? 0 : what < 30 ? more % 300 : more % 30000;
        plan_note(at_ms, "cut %s after %u bytes", name, bytes);
        proxy_cut(network, index, bytes);
        counts.cuts++;
    } else if (what < 55) {
        plan_note(at_ms, "delay %s by %u ms for %u ms", name, more % 200, length);
        proxy_delay(network, index, more % 200, more % 150);
        counts.delays++;
    } else if (what < 65) {
        plan_note(at_ms, "trickle %s: %u bytes for %u ms", name, 1 + more % 500, length);
        proxy_trickle(network, index, 1 + more % 500);
        counts.trickles++;
    } else if (what < 85) {
        unsigned lost = 1 + more % 3;
        plan_note(at_ms, "swallow %s %s%s for %u ms", name, lost & 1 ? "up" : "",
                  lost & 2 ? "down" : "", length);
        proxy_swallow(network, index, lost & 1, lost & 2);
        counts.swallows++;
    } else {
        plan_note(at_ms, "refuse %s for %u ms", name, length);
        proxy_cut(network, index, 0);
        proxy_refuse(network, index);
        counts.refusals++;
    }
}

/* What was planned for until then, or for ever, is done. */
static void mend(uint64_t at_ms)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (plans[i].start_ms && plans[i].start_ms <= at_ms) {
            plans[i].start_ms = 0;
            plan_note(at_ms, "start %s", member_name(members[i]));
            start(i);
        }
        if (plans[i].thaw_ms && plans[i].thaw_ms <= at_ms) {
            plans[i].thaw_ms = 0;
            member_thaw(members[i]);
        }
        if (heals_ms[i] && heals_ms[i] <= at_ms) {
            heals_ms[i] = 0;
            plan_note(at_ms, "heal %s", member_name(members[i]));
            proxy_heal(network, i);
        }
    }
}

static void storm(void)
{
    uint64_t begin_ms = crowd_now_ms(), at_ms = 0;
    while (at_ms < STORM_MS) {
        /* All dice of a step are thrown whether or not they are needed: what follows does not
         * depend on what happened. */
        unsigned what = roll(100), index = roll(MEMBERS), speaker = roll(EXPOSERS + NODES),
                 how = roll(100);
        unsigned length = between(1, roll(3) ? 600 : 4000), more = roll(1u << 20);
        at_ms += roll(20);
        crowd_turn(begin_ms + at_ms);
        mend(at_ms);
        if (what < 85) {
            say(speaker);
        } else if (what < 91) {
            harm_program(at_ms, index, how, length);
        } else {
            harm_way(at_ms, index, how, length, more);
        }
    }
    mend(UINT64_MAX);
}

/* -- The calm after it -- */

/* NULL where every observer has the same newest state of each object, and one that an exposer said
 * last. Else what is missing. */
static const char *difference(void)
{
    static char text[512];
    for (unsigned k = 0; k < OBJECTS; k++) {
        const seen *first = NULL;
        const char *first_name = "";
        for (unsigned i = 0; i < OBSERVERS + NODES; i++) {
            const observer *o = &observers[i];
            const seen *s = &o->objects[k];
            const char *name = member_name(o->m);
            if (o->only < OBJECTS && o->only != k) {
                continue;
            }
            if (!s->there || !s->synchronized || !s->data) {
                snprintf(text, sizeof(text), "%s: object %u is %s", name, k,
                         !s->there          ? "not there"
                         : !s->synchronized ? "not synchronized"
                                            : "without a state");
                return text;
            }
            if (first &&
                (strcmp(first->version, s->version) != 0 || strcmp(first->data, s->data) != 0)) {
                snprintf(text, sizeof(text), "object %u: %s has %.80s %.40s, %s has %.80s %.40s", k,
                         first_name, first->version, first->data, name, s->version, s->data);
                return text;
            }
            first = s;
            first_name = name;
        }
        bool is_last = false;
        for (unsigned e = 0; e < EXPOSERS + NODES && first; e++) {
            size_t bytes = strlen(exposers[e].last);
            is_last = is_last || (exposers[e].object == k &&
                                  strncmp(first->data, exposers[e].last, bytes) == 0);
        }
        if (!is_last) {
            snprintf(text, sizeof(text), "object %u: no exposer said last what all have: %.60s", k,
                     first->data);
            return text;
        }
    }
    return NULL;
}

static void calm(void)
{
    uint64_t begin_ms = crowd_now_ms();
    const char *missing;
    for (unsigned e = 0; e < EXPOSERS + NODES; e++) {
        say(e);
    }
    while ((missing = difference()) != NULL) {
        if (crowd_now_ms() - begin_ms > CALM_MS_MAX) {
            give_up("after %d s of calm: %s", CALM_MS_MAX / 1000, missing);
        }
        crowd_turn(crowd_now_ms() + 10);
    }
    uint64_t took_ms = crowd_now_ms() - begin_ms;
    counts.calm_ms_max = took_ms > counts.calm_ms_max ? took_ms : counts.calm_ms_max;
    for (unsigned i = 0; i < HUBS && !SANITIZED; i++) {
        unsigned long kib = member_peak_kib(hubs[i]);
        if (kib > HUB_KIB_MAX) {
            give_up("%s had %lu KiB of memory", member_name(hubs[i]), kib);
        }
    }
}

static bool all_are_back(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (member_is_away(members[i])) {
            return false;
        }
    }
    return true;
}

/* In a breeze everything speaks all the time. If a connection was lost by silence nevertheless, the
 * machine has kept a program from running for seconds: an outage that no grace had to bridge. */
static void judge_breeze(unsigned silences_before)
{
    crowd_turn(crowd_now_ms() + 500); /* what the others have to say of it */
    if (crowd_silences() != silences_before) {
        counts.stalls++;
    } else if (outage_seen[0]) {
        give_up("an outage shorter than the grace time was seen by %s", outage_seen);
    }
    outage_seen[0] = '\0';
}

/* Short outages, one after the other, of members with a grace that is long enough: LIVE for all
 * observers all the time. */
static void breeze(void)
{
    /* A connection that swallows is found by its silence, after 2.5 times the keep-alive; what
     * follows from that is of the storm. */
    crowd_turn(crowd_now_ms() + SILENCE_MS);
    calm();
    uint64_t begin_ms = crowd_now_ms(), at_ms = 0, next_ms = 0;
    unsigned silences = crowd_silences();
    breeze_blows = true;
    while (at_ms < BREEZE_MS) {
        unsigned index = roll(MEMBERS), speaker = roll(EXPOSERS + NODES), what = roll(3);
        unsigned length = between(1, BREEZE_OUTAGE_MS);
        at_ms += roll(60);
        crowd_turn(begin_ms + at_ms);
        mend(at_ms);
        say(speaker);
        if (is_steady[index] && at_ms >= next_ms && all_are_back()) {
            plan_note(at_ms, "breeze: %s for %u ms", member_name(members[index]), length);
            heals_ms[index] = at_ms + length;
            next_ms = heals_ms[index] + BREEZE_PAUSE_MS;
            if (what < 2) {
                proxy_refuse(network, index);
            }
            proxy_cut(network, index, 0);
            counts.short_outages++;
        }
    }
    mend(UINT64_MAX);
    calm();
    breeze_blows = false;
    judge_breeze(silences);
}

static void tear_down(void)
{
    for (unsigned i = MEMBERS; i-- > 0;) {
        int code = member_stop(members[i], SIGTERM, END_MS_MAX);
        if (code != 0) {
            give_up("%s ended with %d", member_name(members[i]), code);
        }
    }
    for (unsigned i = 0; i < OBSERVERS + NODES; i++) {
        counts.states += observers[i].states;
        forget_seen(&observers[i]);
    }
    for (unsigned i = 0; i < EXPOSERS + NODES; i++) {
        free(exposers[i].last);
        exposers[i].last = NULL;
    }
    crowd_end();
    network = proxy_stop(network);
}

static void make_folder(void)
{
    char path[128];
    snprintf(folder, sizeof(folder), "/tmp/hakuban-chaos-%llu", (unsigned long long)seed);
    ck_assert_msg(mkdir(folder, 0755) == 0 || errno == EEXIST, "%s: %s", folder, strerror(errno));
    snprintf(path, sizeof(path), "%s/schedule", folder);
    schedule = fopen(path, "we");
    ck_assert_ptr_nonnull(schedule);
}

static void remove_folder(void)
{
    char command[128];
    fclose(schedule);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(after_storms_all_observers_have_the_last_state)
{
    uint64_t begin_ms = crowd_now_ms();
    uint64_t next = asked.seed;
    do {
        seed = next++;
        dice = seed * 2862933555777941757u + 3037000493u;
        memset(&counts, 0, sizeof(counts));
        make_folder();
        crowd_begin(folder, failed);
        set_up();
        for (int i = 0; i < STORMS; i++) {
            storm();
            calm();
            breeze();
        }
        tear_down();
        remove_folder();
        printf("seed %llu: %u killed, %u ended, %u frozen, %u cut, %u delayed, %u trickled, "
               "%u half-open, %u refused, %u short outages, %u stalls; %lu states seen; calm after "
               "at most %.1f s\n",
               (unsigned long long)seed, counts.kills, counts.ends, counts.freezes, counts.cuts,
               counts.delays, counts.trickles, counts.swallows, counts.refusals,
               counts.short_outages, counts.stalls, counts.states,
               (double)counts.calm_ms_max / 1000);
        fflush(stdout);
    } while (crowd_now_ms() - begin_ms < asked.seconds * 1000);
}
END_TEST

enum {
    SECONDS_MAX = 1800
}; /* check counts the microseconds of a test in 31 bits; scripts/chaos.sh goes on after that */

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text ? text : "", &end, 10);
    if (!text || end == text || *end) {
        fprintf(stderr, "usage: e2e_chaos [--seed S] [--seconds N, at most %d]\n", SECONDS_MAX);
        exit(2);
    }
    return value;
}

/* A run by hand does not say where the programs are: they were built beside this one. */
static void find_programs(void)
{
    char path[sizeof(own_path) + 16];
    ssize_t bytes = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    const char *slash = bytes > 0 ? strrchr(own_path, '/') : own_path;
    snprintf(path, sizeof(path), "%.*s/../bin", (int)(slash - own_path), own_path);
    setenv("HAKUBAN_BIN", path, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "node") == 0) {
        return node_main(argc - 2, argv + 2);
    }
    find_programs();
    asked.seed = crowd_now_ms() * 1000003u % 1000000007u;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            asked.seed = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            asked.seconds = number(argv[i + 1]);
            if (asked.seconds > SECONDS_MAX) {
                (void)number(NULL);
            }
        } else {
            (void)number(NULL);
        }
    }
    printf("chaos: --seed %llu --seconds %llu\n", (unsigned long long)asked.seed,
           (unsigned long long)asked.seconds);
    fflush(stdout);
    Suite *suite = suite_create("chaos");
    TCase *tcase = tcase_create("chaos");
    tcase_set_timeout(tcase, 0); /* every step of it has a limit of its own */
    tcase_add_test(tcase, after_storms_all_observers_have_the_last_state);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures > 0;
}
