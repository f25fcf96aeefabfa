/* flood: one exposer sends new states of many objects in turn, each observer must get every one.
 * The exposer waits only when an observer is a whole window behind, so that nothing needs to be
 * skipped; what is skipped all the same is counted. The raw side sends whole states of the same
 * size through the fan-out relay. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "raw.h"

/* One observer's. On a cache line of its own: the exposer looks at it all the time. */
typedef struct flood_seat {
    _Alignas(64) _Atomic uint64_t seen; /* states delivered or skipped in this phase */
    _Atomic uint32_t phase;             /* the phase it has come to */
    uint64_t skipped, wire_bytes;
} flood_seat;

enum { FLOOD_FILL = 0, FLOOD_SEND = 1 };

typedef struct flood_shared {
    const bench_options *options;
    bench_router router;
    raw_relay relay;
    pid_t relay_pid;
    _Atomic uint64_t total; /* of the phase; UINT64_MAX while more come */
    uint64_t start_ns, end_ns, cpu_ns;
    flood_seat seats[];
} flood_shared;

static uint64_t slowest(const flood_shared *shared)
{
    uint64_t least = UINT64_MAX;
    for (uint64_t i = 0; i < shared->options->observers; i++) {
        uint64_t seen = atomic_load_explicit(&shared->seats[i].seen, memory_order_acquire);
        if (seen < least) {
            least = seen;
        }
    }
    return least;
}

static bool all_in_phase(const flood_shared *shared, uint32_t phase)
{
    for (uint64_t i = 0; i < shared->options->observers; i++) {
        if (atomic_load(&shared->seats[i].phase) != phase) {
            return false;
        }
    }
    return true;
}

/* -- What an observer does with each state, raw or not -- */

typedef struct flood_watch {
    flood_shared *shared;
    flood_seat *seat;
    bench_state scratch;
    uint64_t *last; /* per object: number of its last state */
    uint64_t objects, seen;
} flood_watch;

static void watch_init(flood_watch *watch, flood_shared *shared, unsigned index)
{
    watch->shared = shared;
    watch->seat = &shared->seats[index];
    watch->objects = shared->options->objects;
    watch->seen = 0;
    watch->last = malloc(watch->objects * sizeof(*watch->last));
    if (!watch->last) {
        bench_die("out of memory");
    }
    memset(watch->last, 0xff, watch->objects * sizeof(*watch->last));
    bench_state_init(&watch->scratch, shared->options->bytes);
}

/* Numbers rise by one from state to state, so an object's rise by the number of objects. */
static uint64_t watch_take(flood_watch *watch, const void *data, size_t data_bytes)
{
    uint64_t id, number;
    bench_state_read(data, data_bytes, watch->scratch.bytes, &id, &number);
    if (id != number % watch->objects) {
        bench_die("flood: a state of another object");
    }
    uint64_t *last = &watch->last[id];
    uint64_t expected = *last == UINT64_MAX ? id : *last + watch->objects;
    if (number < expected) {
        bench_die("flood: an object went back or a state came twice");
    }
    uint64_t skipped = (number - expected) / watch->objects;
    *last = number;
    watch->seat->skipped += skipped;
    watch->seen += 1 + skipped;
    if (number % 64 == 0) {
        bench_state_verify(&watch->scratch, data, id, number);
    }
    atomic_store_explicit(&watch->seat->seen, watch->seen, memory_order_release);
    return id;
}

/* After the first picture is complete, waits for the phase in which figures are taken. */
static bool watch_begins(flood_watch *watch)
{
    if (atomic_load(&watch->seat->phase) == FLOOD_FILL && watch->seen == watch->objects) {
        watch->seen = 0;
        watch->seat->skipped = 0;
        atomic_store(&watch->seat->seen, 0);
        atomic_store(&watch->seat->phase, FLOOD_SEND);
        return true;
    }
    return false;
}

static bool watch_is_done(flood_watch *watch)
{
    return atomic_load_explicit(&watch->shared->total, memory_order_acquire) == watch->seen &&
           atomic_load(&watch->seat->phase) == FLOOD_SEND;
}

/* The number of states there is room for. */
static uint64_t window_room(const flood_shared *shared, uint64_t sent)
{
    return shared->options->window - (sent - slowest(shared));
}

static void wait_for_all(flood_shared *shared, bench_node *node, bool (*done)(flood_shared *),
                         const char *what)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    while (!done(shared)) {
        if (node) {
            bench_node_turn(node);
        }
        bench_sleep_ns(20000);
        if (bench_now_ns() > until) {
            bench_die("flood: %s", what);
        }
    }
}

static bool all_ready(flood_shared *shared)
{
    return all_in_phase(shared, FLOOD_SEND);
}

static bool all_complete(flood_shared *shared)
{
    return slowest(shared) == atomic_load(&shared->total);
}

/* The exposer's part that raw and not raw have in common: send(number) puts out one state, flush()
 * a burst. */
typedef struct flood_sender {
    flood_shared *shared;
    bench_node *node; /* NULL: raw */
    void (*send)(struct flood_sender *sender, uint64_t number);
    void (*flush)(struct flood_sender *sender);
    bench_state state;
    hakuban_sink **sinks;
    int fd; /* raw sockets */
    char *buffer;
    size_t buffered;
    raw_zmq_peer peer; /* raw libzmq */
} flood_sender;

static void send_all(flood_sender *sender, pid_t relay_pid)
{
    flood_shared *shared = sender->shared;
    const bench_options *options = shared->options;
    uint64_t sent = 0;
    /* The first state of each object, whole. */
    for (uint64_t i = 0; i < options->objects; i++) {
        sender->send(sender, i);
    }
    sender->flush(sender);
    wait_for_all(shared, sender->node, all_ready, "the first states did not arrive");

    uint64_t cpu_ns = bench_process_cpu_ns(relay_pid);
    shared->start_ns = bench_now_ns();
    uint64_t until = shared->start_ns + (uint64_t)(options->seconds * 1e9);
    uint64_t patience = until + BENCH_PATIENCE_NS;
    while (bench_now_ns() < until) {
        uint64_t room = window_room(shared, sent);
        if (room > options->burst) {
            room = options->burst;
        }
        for (uint64_t i = 0; i < room; i++) {
            sender->send(sender, options->objects + sent++);
        }
        sender->flush(sender);
        if (room == 0) {
            bench_sleep_ns(20000);
            if (bench_now_ns() > patience) {
                bench_die("flood: observers do not come along");
            }
        }
    }
    atomic_store_explicit(&shared->total, sent, memory_order_release);
    wait_for_all(shared, sender->node, all_complete, "the last states did not arrive");
    shared->end_ns = bench_now_ns();
    shared->cpu_ns = bench_process_cpu_ns(relay_pid) - cpu_ns;
}

/* -- Hakuban -- */

static void hakuban_send(flood_sender *sender, uint64_t number)
{
    uint64_t id = number % sender->shared->options->objects;
    bench_state_set(&sender->state, id, number);
    bench_send(sender->sinks[id], sender->state.text, sender->state.bytes);
}

static void hakuban_flush(flood_sender *sender)
{
    bench_node_turn(sender->node);
}

static void flood_exposer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    uint64_t objects = shared->options->objects, open = 0;
    bench_node node;
    flood_sender sender = {.shared = shared,
                           .node = &node,
                           .send = hakuban_send,
                           .flush = hakuban_flush,
                           .sinks = calloc(objects, sizeof(*sender.sinks))};
    (void)index;
    if (!sender.sinks) {
        bench_die("out of memory");
    }
    bench_node_open(&node, shared->router.url);
    bench_state_init(&sender.state, shared->options->bytes);
    for (uint64_t i = 0; i < objects; i++) {
        char json[32];
        hakuban_contract *contract;
        hakuban_contract_options options = {
            .size = sizeof(options), .queue = node.queue, .user = &sender.sinks[i]};
        snprintf(json, sizeof(json), "%llu", (unsigned long long)i);
        hakuban_descriptor *descriptor = bench_descriptor(json, "\"bench\"");
        bench_check(hakuban_expose_object(node.exchange, descriptor, &options, &contract),
                    "expose");
        hakuban_descriptor_unref(descriptor);
    }
    while (open < objects) {
        hakuban_event event;
        if (!bench_node_next(&node, 20000, &event)) {
            bench_die("flood: %llu of %llu sinks were opened", (unsigned long long)open,
                      (unsigned long long)objects);
        }
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            *(hakuban_sink **)event.user = hakuban_sink_ref(event.sink);
            open++;
        }
        hakuban_event_done(&event);
    }
    send_all(&sender, shared->router.pid);
    bench_state_done(&sender.state);
    free(sender.sinks);
}

static void flood_observer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    bench_node node;
    flood_watch watch;
    hakuban_contract *contract;
    hakuban_exchange_stats stats;
    uint64_t wire_before = 0;
    watch_init(&watch, shared, index);
    bench_node_open(&node, shared->router.url);
    hakuban_contract_options options = {.size = sizeof(options), .queue = node.queue};
    bench_check(hakuban_observe_tag(node.exchange, "\"bench\"", &options, &contract, NULL),
                "observe");
    while (!watch_is_done(&watch)) {
        hakuban_event event;
        if (watch_begins(&watch)) {
            hakuban_exchange_query(node.exchange, &stats);
            wire_before = stats.wire_bytes_in;
        }
        if (!bench_node_next(&node, 20, &event)) {
            continue;
        }
        if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
            hakuban_slice data = hakuban_state_data(event.state);
            uint64_t id = watch_take(&watch, data.data, data.bytes);
            if (watch.seen % 64 == 0 &&
                strtoull(hakuban_descriptor_json(event.object), NULL, 10) != id) {
                bench_die("flood: a state of another object");
            }
        }
        hakuban_event_done(&event);
    }
    hakuban_exchange_query(node.exchange, &stats);
    watch.seat->wire_bytes = stats.wire_bytes_in - wire_before;
}

/* -- Raw -- */

enum { RAW_WRITE_BYTES = 64 * 1024 };

static void raw_flush(flood_sender *sender)
{
    raw_write_all(sender->fd, sender->buffer, sender->buffered);
    sender->buffered = 0;
}

static void raw_send(flood_sender *sender, uint64_t number)
{
    size_t bytes = sender->state.bytes;
    bench_state_set(&sender->state, number % sender->shared->options->objects, number);
    if (sender->buffered > 0 && sender->buffered + bytes > RAW_WRITE_BYTES) {
        raw_flush(sender);
    }
    memcpy(sender->buffer + sender->buffered, sender->state.text, bytes);
    sender->buffered += bytes;
}

static void raw_exposer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    flood_sender sender = {.shared = shared,
                           .send = raw_send,
                           .flush = raw_flush,
                           .fd = raw_connect(&shared->relay.source),
                           .buffer = malloc(RAW_WRITE_BYTES + shared->options->bytes)};
    (void)index;
    if (!sender.buffer) {
        bench_die("out of memory");
    }
    bench_state_init(&sender.state, shared->options->bytes);
    send_all(&sender, shared->relay_pid);
    bench_state_done(&sender.state);
    free(sender.buffer);
}

static void raw_observer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    size_t bytes = shared->options->bytes, held = 0, room = RAW_WRITE_BYTES + bytes, n;
    char *buffer = malloc(room);
    flood_watch watch;
    int fd = raw_connect(&shared->relay.observer);
    watch_init(&watch, shared, index);
    while (buffer && (n = raw_read_some(fd, buffer + held, room - held)) > 0) {
        size_t at = 0;
        held += n;
        while (held - at >= bytes) {
            (void)watch_take(&watch, buffer + at, bytes);
            at += bytes;
            (void)watch_begins(&watch);
        }
        memmove(buffer, buffer + at, held - at);
        held -= at;
    }
    if (!watch_is_done(&watch)) {
        bench_die("flood: the raw stream ended early");
    }
    free(buffer);
}

static void zmq_send_state(flood_sender *sender, uint64_t number)
{
    bench_state_set(&sender->state, number % sender->shared->options->objects, number);
    raw_zmq_send(&sender->peer, sender->state.text, sender->state.bytes);
}

static void zmq_flush(flood_sender *sender)
{
    (void)sender; /* libzmq batches on its own */
}

static void zmq_exposer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    flood_sender sender = {.shared = shared, .send = zmq_send_state, .flush = zmq_flush};
    (void)index;
    raw_zmq_open(&sender.peer, &shared->relay.zmq, true);
    bench_state_init(&sender.state, shared->options->bytes);
    send_all(&sender, shared->relay_pid);
    raw_zmq_close(&sender.peer, true);
    bench_state_done(&sender.state);
}

static void zmq_observer(void *memory, unsigned index)
{
    flood_shared *shared = memory;
    size_t bytes = shared->options->bytes;
    char *message = malloc(bytes);
    flood_watch watch;
    raw_zmq_peer peer;
    watch_init(&watch, shared, index);
    raw_zmq_open(&peer, &shared->relay.zmq, false);
    while (message && raw_zmq_receive(&peer, message, bytes)) {
        (void)watch_take(&watch, message, bytes);
        (void)watch_begins(&watch);
    }
    if (!watch_is_done(&watch)) {
        bench_die("flood: the raw stream ended early");
    }
    raw_zmq_close(&peer, false);
    free(message);
}

/* -- Figures -- */

typedef struct flood_figures {
    double states_per_s, cpu_us, wire_bytes, skipped;
} flood_figures;

static flood_figures figures_of(const flood_shared *shared)
{
    double observers = (double)shared->options->observers;
    double sent = (double)atomic_load(&shared->total);
    flood_figures figures = {0};
    for (uint64_t i = 0; i < shared->options->observers; i++) {
        const flood_seat *seat = &shared->seats[i];
        figures.skipped += (double)seat->skipped;
        figures.wire_bytes += (double)seat->wire_bytes;
    }
    double delivered = sent * observers - figures.skipped;
    double seconds = (double)(shared->end_ns - shared->start_ns) / 1e9;
    figures.states_per_s = delivered / observers / seconds;
    figures.cpu_us = (double)shared->cpu_ns / 1000 / delivered;
    figures.wire_bytes /= delivered;
    figures.skipped /= observers;
    return figures;
}

static void run_begins(flood_shared *shared, size_t shared_bytes, const bench_options *options)
{
    memset(shared, 0, shared_bytes);
    shared->options = options;
    atomic_store(&shared->total, UINT64_MAX);
}

static void spawn_all(flood_shared *shared, bench_actor exposer, bench_actor observer)
{
    for (unsigned i = 0; i < shared->options->observers; i++) {
        bench_spawn(observer, shared, i);
    }
    bench_spawn(exposer, shared, 0);
}

static uint64_t patience_of(const bench_options *options)
{
    return 3 * BENCH_PATIENCE_NS + (uint64_t)(options->seconds * 1e9);
}

static void run_raw(bench_report *report, flood_shared *shared)
{
    const bench_options *options = shared->options;
    raw_relay *relay = &shared->relay;
    raw_relay_init(relay, options);
    relay->observers = relay->zmq.observers = (unsigned)options->observers;
    if (relay->zmq.wanted) {
        shared->relay_pid = bench_spawn(raw_zmq_relay_run, &relay->zmq, 0);
        spawn_all(shared, zmq_exposer, zmq_observer);
    } else {
        shared->relay_pid = bench_spawn(raw_fan_out_relay, relay, 0);
        spawn_all(shared, raw_exposer, raw_observer);
    }
    raw_relay_done(relay);
    bench_join(patience_of(options));
    flood_figures figures = figures_of(shared);
    bench_report_raw(report, "states_per_s", "states/s delivered to each observer", 0,
                     figures.states_per_s);
    bench_report_raw(report, "router_cpu_us", "router CPU per delivered state, us", 3,
                     figures.cpu_us);
    bench_report_raw(report, "wire_bytes", "bytes to the observer per delivered state", 1,
                     (double)options->bytes);
}

static void run_hakuban(bench_report *report, flood_shared *shared)
{
    bench_router_start(shared->options, &shared->router);
    spawn_all(shared, flood_exposer, flood_observer);
    bench_join(patience_of(shared->options));
    bench_router_stop(&shared->router);
    flood_figures figures = figures_of(shared);
    bench_report_hakuban(report, "states_per_s", "states/s delivered to each observer", 0,
                         figures.states_per_s);
    bench_report_hakuban(report, "router_cpu_us", "router CPU per delivered state, us", 3,
                         figures.cpu_us);
    bench_report_hakuban(report, "wire_bytes", "bytes to the observer per delivered state", 1,
                         figures.wire_bytes);
    bench_report_hakuban(report, "skipped", "states skipped per observer", 0, figures.skipped);
}

void bench_flood_measure(bench_report *report, const bench_options *options)
{
    size_t shared_bytes = sizeof(flood_shared) + options->observers * sizeof(flood_seat);
    flood_shared *shared = bench_share(shared_bytes);
    bench_report_init(report, options, "states_per_s");
    bench_report_parameter(report, "objects", (double)options->objects);
    bench_report_parameter(report, "observers", (double)options->observers);
    bench_report_parameter(report, "bytes", (double)options->bytes);
    bench_report_parameter(report, "window", (double)options->window);
    bench_report_parameter(report, "burst", (double)options->burst);
    bench_report_parameter(report, "seconds", options->seconds);
    for (report->run = 0; report->run < options->runs; report->run++) {
        if (options->with_raw) {
            bench_progress(report, "raw relay");
            run_begins(shared, shared_bytes, options);
            run_raw(report, shared);
        }
        if (options->with_hakuban) {
            bench_progress(report, "hakuban");
            run_begins(shared, shared_bytes, options);
            run_hakuban(report, shared);
        }
    }
    bench_unshare(shared, shared_bytes);
}

void bench_flood(const bench_options *options)
{
    bench_report report;
    bench_flood_measure(&report, options);
    bench_report_print(&report);
}
