/* resume: an observer that has many objects loses its connection, a few of them change meanwhile,
 * and it comes back; then the router is killed and starts anew, empty. What travels again, beside
 * what travelled at first. Bytes are those of the exchanges' own counts. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bench.h"

enum { CHANGED_MAX = 10, QUIET_MS = 1000 };

/* The points at which processes wait for each other: each is raised once. */
typedef enum resume_phase {
    FILLING,
    SYNCED,
    CUT,
    CHANGED,
    RETURNED,
    KILLED,
    RESTARTED,
    OVER
} resume_phase;

typedef struct resume_shared {
    const bench_options *options; /* first: bench_run_alone() sets it */
    bench_router router;
    _Atomic int phase;
    uint64_t first_out, restart_out;          /* bytes from the exposer */
    uint64_t first_in, resume_in, restart_in; /* bytes to the observer */
    uint64_t resume_ns, other_events;
    _Atomic uint64_t out; /* by the exposer so far */
} resume_shared;

static void await_phase(resume_shared *shared, resume_phase phase)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    while (atomic_load(&shared->phase) < (int)phase) {
        bench_sleep_ns(1000000);
        if (bench_now_ns() > until) {
            bench_die("resume: gave up waiting in phase %d", atomic_load(&shared->phase));
        }
    }
}

static uint64_t changed_count(const bench_options *options)
{
    return options->objects < CHANGED_MAX ? options->objects : CHANGED_MAX;
}

static uint64_t changed_id(const bench_options *options, uint64_t index)
{
    return index * (options->objects / changed_count(options));
}

/* -- The exposer -- */

typedef struct lamp {
    hakuban_sink *sink;
    uint64_t number;
} lamp;

static void answer(bench_node *node, lamp *lamps, bench_state *state, int timeout_ms)
{
    hakuban_event event;
    while (bench_node_next(node, timeout_ms, &event)) {
        uint64_t id = (uint64_t)(uintptr_t)event.user;
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            lamps[id].sink = hakuban_sink_ref(event.sink);
            bench_state_set(state, id, lamps[id].number);
            bench_send(event.sink, state->text, state->bytes);
        } else if (event.kind == HAKUBAN_EVENT_SINK_CLOSE) {
            lamps[id].sink = hakuban_sink_unref(lamps[id].sink);
        }
        hakuban_event_done(&event);
        timeout_ms = 0;
    }
}

/* The newest state of the objects that change; an exposer without a sink sends it when it gets one.
 */
static void change(const bench_options *options, lamp *lamps, bench_state *state, uint64_t number)
{
    for (uint64_t i = 0; i < changed_count(options); i++) {
        lamp *at = &lamps[changed_id(options, i)];
        at->number = number;
        if (at->sink) {
            bench_state_set(state, changed_id(options, i), number);
            bench_send(at->sink, state->text, state->bytes);
        }
    }
}

static void resume_exposer(void *memory, unsigned index)
{
    resume_shared *shared = memory;
    const bench_options *options = shared->options;
    lamp *lamps = calloc(options->objects, sizeof(*lamps));
    bench_node node;
    bench_state state;
    (void)index;
    if (!lamps) {
        bench_die("out of memory");
    }
    bench_node_open(&node, shared->router.url);
    bench_state_init(&state, options->bytes);
    for (uint64_t i = 0; i < options->objects; i++) {
        char json[64];
        hakuban_contract *contract;
        hakuban_contract_options wanted = {
            .size = sizeof(wanted), .queue = node.queue, .user = (void *)(uintptr_t)i};
        lamps[i].number = 1;
        snprintf(json, sizeof(json), "{\"kind\":\"lamp\",\"id\":%llu}", (unsigned long long)i);
        hakuban_descriptor *descriptor = bench_descriptor(json, "\"lamps\"");
        bench_check(hakuban_expose_object(node.exchange, descriptor, &wanted, &contract), "expose");
        hakuban_descriptor_unref(descriptor);
    }
    uint64_t sent = 1;
    while (atomic_load(&shared->phase) != OVER) {
        hakuban_exchange_stats stats;
        answer(&node, lamps, &state, 2);
        hakuban_exchange_query(node.exchange, &stats);
        atomic_store(&shared->out, stats.wire_bytes_out);
        int phase = atomic_load(&shared->phase);
        if (phase == CUT) {
            change(options, lamps, &state, sent = 2);
            bench_node_turn(&node);
            atomic_store(&shared->phase, CHANGED);
        } else if (phase == RESTARTED && sent == 2) {
            change(options, lamps, &state, sent = 3);
        }
    }
}

/* -- The observer -- */

/* Ends every connection of this process, as a network does that goes away. */
static void cut_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        bench_die("resume: no limit of descriptors");
    }
    for (int fd = 3; fd < 1024 && (rlim_t)fd < limit.rlim_cur; fd++) {
        struct sockaddr_storage peer;
        socklen_t bytes = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0) {
            shutdown(fd, SHUT_RDWR);
        }
    }
}

typedef struct lamp_observer {
    resume_shared *shared;
    bench_node node;
    bench_state scratch;
    unsigned char *numbers; /* the newest number of each object */
    uint64_t events;
} lamp_observer;

static void take(lamp_observer *at, int timeout_ms)
{
    hakuban_event event;
    while (bench_node_next(&at->node, timeout_ms, &event)) {
        at->events++;
        if (event.kind == HAKUBAN_EVENT_STATE) {
            uint64_t id, number;
            hakuban_slice data = hakuban_state_data(event.state);
            bench_state_read(data.data, data.bytes, at->scratch.bytes, &id, &number);
            bench_state_verify(&at->scratch, data.data, id, number);
            if (id >= at->shared->options->objects || number < at->numbers[id]) {
                bench_die("resume: a state of another object, or an older one");
            }
            at->numbers[id] = (unsigned char)number;
        }
        hakuban_event_done(&event);
        timeout_ms = 0;
    }
}

static uint64_t bytes_in(const lamp_observer *at)
{
    hakuban_exchange_stats stats;
    hakuban_exchange_query(at->node.exchange, &stats);
    return stats.wire_bytes_in;
}

/* Until nothing has come for a while. Returns all bytes that came so far. */
static uint64_t take_until_quiet(lamp_observer *at)
{
    uint64_t bytes = bytes_in(at), since = bench_now_ns();
    while (bench_now_ns() - since < QUIET_MS * UINT64_C(1000000)) {
        take(at, 20);
        if (bytes_in(at) != bytes) {
            bytes = bytes_in(at);
            since = bench_now_ns();
        }
    }
    return bytes;
}

/* Until every object that changes is at this number. */
static void take_until(lamp_observer *at, uint64_t number)
{
    const bench_options *options = at->shared->options;
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    for (uint64_t i = 0; i < changed_count(options);) {
        if (at->numbers[changed_id(options, i)] >= number) {
            i++;
        } else if (bench_now_ns() > until) {
            bench_die("resume: what changed does not arrive");
        } else {
            take(at, 5);
        }
    }
}

static void resume_observer(void *memory, unsigned index)
{
    resume_shared *shared = memory;
    const bench_options *options = shared->options;
    lamp_observer at = {.shared = shared, .numbers = calloc(options->objects, 1)};
    hakuban_contract *contract;
    (void)index;
    if (!at.numbers) {
        bench_die("out of memory");
    }
    bench_state_init(&at.scratch, options->bytes);
    bench_node_open(&at.node, shared->router.url);
    hakuban_contract_options wanted = {.size = sizeof(wanted), .queue = at.node.queue};
    bench_check(hakuban_observe_tag(at.node.exchange, "\"lamps\"", &wanted, &contract, NULL),
                "observe");
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    for (uint64_t i = 0; i < options->objects;) {
        if (at.numbers[i]) {
            i++;
        } else if (bench_now_ns() > until) {
            bench_die("resume: the first states do not all arrive");
        } else {
            take(&at, 20);
        }
    }
    shared->first_in = take_until_quiet(&at);
    shared->first_out = atomic_load(&shared->out);
    at.events = 0;

    /* The connection is closed, and no loop is turned until the changes are made. */
    cut_connections();
    atomic_store(&shared->phase, CUT);
    await_phase(shared, CHANGED);
    bench_sleep_ns(200000000);
    uint64_t begin_ns = bench_now_ns();
    take_until(&at, 2);
    shared->resume_ns = bench_now_ns() - begin_ns;
    shared->resume_in = take_until_quiet(&at) - shared->first_in;
    shared->other_events = at.events - changed_count(options);

    shared->restart_out = atomic_load(&shared->out);
    shared->restart_in = bytes_in(&at);
    atomic_store(&shared->phase, RETURNED);
    await_phase(shared, KILLED);
    take_until_quiet(&at);
    hakuban_error error;
    if (hakuban_connection_wait(at.node.connection, 20000, &error) < 0) {
        bench_die("resume: the router that was restarted is not reached: %s", error.text);
    }
    shared->restart_in = take_until_quiet(&at) - shared->restart_in;
    shared->restart_out = atomic_load(&shared->out) - shared->restart_out;
    atomic_store(&shared->phase, RESTARTED);
    take_until(&at, 3);
    atomic_store(&shared->phase, OVER);
}

/* -- Figures -- */

static double percent(uint64_t part, uint64_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

static void run(bench_report *report, void *memory)
{
    resume_shared *shared = memory;
    const bench_options *options = shared->options;
    bench_router_start(options, &shared->router);
    bench_spawn(resume_observer, shared, 0);
    bench_spawn(resume_exposer, shared, 0);
    await_phase(shared, RETURNED);
    bench_router_restart(options, &shared->router);
    atomic_store(&shared->phase, KILLED);
    bench_join(2 * BENCH_PATIENCE_NS);
    bench_report_hakuban(report, "first_bytes", "first sync: bytes to the observer", 0,
                         (double)shared->first_in);
    bench_report_hakuban(report, "resume_bytes", "connection lost: bytes to the observer", 0,
                         (double)shared->resume_in);
    bench_report_hakuban(report, "resume_percent", "the same, % of the first sync", 3,
                         percent(shared->resume_in, shared->first_in));
    bench_report_hakuban(report, "resume_ms", "until it has what changed, ms", 1,
                         (double)shared->resume_ns / 1e6);
    bench_report_hakuban(report, "resume_events", "events beyond what changed", 0,
                         (double)shared->other_events);
    bench_report_hakuban(report, "restart_down_percent",
                         "router restarted: to the observer, % of the first", 3,
                         percent(shared->restart_in, shared->first_in));
    bench_report_hakuban(report, "restart_up_percent", "from the exposer, % of the first", 3,
                         percent(shared->restart_out, shared->first_out));
    bench_router_stop(&shared->router);
}

void bench_resume(const bench_options *options)
{
    bench_run_alone(options, "resume_percent", sizeof(resume_shared), run);
}
