/* hot: one object, its exposer sends as fast as it can and never waits. Each state carries the time
 * of its making, so observers know how old what they take is; the router's memory must not follow
 * the rate. The raw side is a relay: an observer that cannot take a message gets only the newest
 * one. With --stuck, more observers are there that are stopped after their first state, and the
 * others must not notice. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "raw.h"

typedef struct hot_seat {
    _Alignas(64) _Atomic uint32_t ready;
    bench_histogram ages;
} hot_seat;

typedef struct hot_shared {
    const bench_options *options;
    bench_router router;
    raw_relay relay;
    _Atomic uint32_t measuring, stopping;
    uint64_t sends;
    hot_seat seats[]; /* of those that read, then of those that are stuck */
} hot_shared;

/* What an observer does with each state, raw or not. */
static void take(hot_shared *shared, hot_seat *seat, bench_state *scratch, uint64_t *last,
                 const void *data, size_t data_bytes)
{
    uint64_t now_ns = bench_now_ns(), id, made_ns;
    bench_state_read(data, data_bytes, scratch->bytes, &id, &made_ns);
    bench_state_verify(scratch, data, 0, made_ns);
    if (made_ns <= *last) {
        bench_die("hot: a state came twice or an older one after a newer one");
    }
    *last = made_ns;
    atomic_store(&seat->ready, 1);
    if ((uint64_t)(seat - shared->seats) >= shared->options->observers) {
        raise(SIGSTOP); /* until it is killed */
    }
    if (atomic_load_explicit(&shared->measuring, memory_order_relaxed)) {
        bench_histogram_add(&seat->ages, now_ns - made_ns);
    }
}

/* -- Hakuban -- */

static void hot_exposer(void *memory, unsigned index)
{
    hot_shared *shared = memory;
    bench_node node;
    bench_state state;
    hakuban_contract *contract;
    hakuban_sink *sink = NULL;
    uint64_t sends = 0, last = 0;
    (void)index;
    bench_node_open(&node, shared->router.url);
    bench_state_init(&state, shared->options->bytes);
    hakuban_contract_options options = {.size = sizeof(options), .queue = node.queue};
    hakuban_descriptor *descriptor = bench_descriptor("\"hot\"", NULL);
    bench_check(hakuban_expose_object(node.exchange, descriptor, &options, &contract), "expose");
    while (!sink) {
        hakuban_event event;
        if (!bench_node_next(&node, 20000, &event)) {
            bench_die("hot: no sink was opened");
        }
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            sink = hakuban_sink_ref(event.sink);
        }
        hakuban_event_done(&event);
    }
    while (!atomic_load_explicit(&shared->stopping, memory_order_relaxed)) {
        for (uint64_t i = 0; i < shared->options->burst; i++) {
            uint64_t now_ns = bench_now_ns();
            last = now_ns > last ? now_ns : last + 1;
            bench_state_set(&state, 0, last);
            bench_send(sink, state.text, state.bytes);
            sends += atomic_load_explicit(&shared->measuring, memory_order_relaxed);
        }
        bench_node_turn(&node);
    }
    shared->sends = sends;
}

static void hot_observer(void *memory, unsigned index)
{
    hot_shared *shared = memory;
    bench_node node;
    bench_state scratch;
    hakuban_contract *contract;
    uint64_t last = 0;
    bench_node_open(&node, shared->router.url);
    bench_state_init(&scratch, shared->options->bytes);
    hakuban_contract_options options = {.size = sizeof(options), .queue = node.queue};
    hakuban_descriptor *descriptor = bench_descriptor("\"hot\"", NULL);
    bench_check(hakuban_observe_object(node.exchange, descriptor, &options, &contract), "observe");
    while (!atomic_load_explicit(&shared->stopping, memory_order_relaxed)) {
        hakuban_event event;
        if (!bench_node_next(&node, 20, &event)) {
            continue;
        }
        if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
            hakuban_slice data = hakuban_state_data(event.state);
            take(shared, &shared->seats[index], &scratch, &last, data.data, data.bytes);
        }
        hakuban_event_done(&event);
    }
}

/* -- Raw -- */

static void raw_exposer(void *memory, unsigned index)
{
    hot_shared *shared = memory;
    bench_state state;
    int fd = raw_connect(&shared->relay.source);
    uint64_t sends = 0, last = 0;
    size_t done = shared->options->bytes;
    (void)index;
    raw_keep_little_unsent(fd);
    bench_state_init(&state, shared->options->bytes);
    while (!atomic_load_explicit(&shared->stopping, memory_order_relaxed)) {
        /* A state that cannot begin is replaced by the next one; one that has begun is finished. */
        if (done == state.bytes) {
            uint64_t now_ns = bench_now_ns();
            last = now_ns > last ? now_ns : last + 1;
            bench_state_set(&state, 0, last);
            done = 0;
            sends += atomic_load_explicit(&shared->measuring, memory_order_relaxed);
        }
        size_t n = raw_write_some(fd, state.text + done, state.bytes - done);
        done = n == 0 && done == 0 ? state.bytes : done + n;
    }
    if (done < state.bytes) {
        raw_write_all(fd, state.text + done, state.bytes - done);
    }
    shared->sends = sends;
}

static void raw_observer(void *memory, unsigned index)
{
    hot_shared *shared = memory;
    size_t bytes = shared->options->bytes;
    char *message = malloc(bytes);
    bench_state scratch;
    uint64_t last = 0;
    int fd = raw_connect(&shared->relay.observer);
    bench_state_init(&scratch, bytes);
    while (message && !atomic_load_explicit(&shared->stopping, memory_order_relaxed) &&
           raw_read_all(fd, message, bytes)) {
        take(shared, &shared->seats[index], &scratch, &last, message, bytes);
    }
    free(message);
}

/* -- Figures -- */

static void spawn_all(hot_shared *shared, bench_actor exposer, bench_actor observer,
                      pid_t *ret_stuck)
{
    const bench_options *options = shared->options;
    for (unsigned i = 0; i < options->observers; i++) {
        bench_spawn(observer, shared, i);
    }
    for (unsigned i = 0; i < options->stuck; i++) {
        ret_stuck[i] = bench_spawn_stuck(observer, shared, (unsigned)options->observers + i);
    }
    bench_spawn(exposer, shared, 0);
}

typedef struct hot_figures {
    double p50_us, p99_us, max_us, states_per_s, sends_per_s;
    double rss_mib[3];
} hot_figures;

/* Lets it run for the time given and looks at the router's memory meanwhile. */
static hot_figures watch(hot_shared *shared, pid_t relay_pid, const pid_t *stuck)
{
    const bench_options *options = shared->options;
    hot_figures figures = {0};
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    for (uint64_t i = 0; i < options->observers + options->stuck; i++) {
        while (!atomic_load(&shared->seats[i].ready)) {
            if (bench_now_ns() > until) {
                bench_die("hot: an observer got nothing");
            }
            bench_sleep_ns(1000000);
        }
    }
    bench_sleep_ns(200000000); /* all processes have settled */
    uint64_t start_ns = bench_now_ns();
    atomic_store(&shared->measuring, 1);
    for (int i = 0; i < 3; i++) {
        figures.rss_mib[i] = (double)bench_process_rss_bytes(relay_pid) / 1048576;
        if (i < 2) {
            bench_sleep_ns((uint64_t)(options->seconds * 1e9 / 2));
        }
    }
    atomic_store(&shared->measuring, 0);
    double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    atomic_store(&shared->stopping, 1);
    for (uint64_t i = 0; i < options->stuck; i++) {
        bench_kill(stuck[i]);
    }
    bench_join(BENCH_PATIENCE_NS);

    bench_histogram *all = calloc(1, sizeof(*all));
    if (!all) {
        bench_die("out of memory");
    }
    for (uint64_t i = 0; i < options->observers; i++) {
        bench_histogram_merge(all, &shared->seats[i].ages);
    }
    figures.p50_us = bench_histogram_percentile_us(all, 50);
    figures.p99_us = bench_histogram_percentile_us(all, 99);
    figures.max_us = (double)all->max_ns / 1000;
    figures.states_per_s = (double)all->count / (double)options->observers / seconds;
    figures.sends_per_s = (double)shared->sends / seconds;
    free(all);
    return figures;
}

typedef void (*hot_report)(bench_report *report, const char *key, const char *title, int decimals,
                           double value);

static void tell(bench_report *report, const hot_figures *figures, hot_report add)
{
    add(report, "age_p50_us", "age of what observers take p50, us", 1, figures->p50_us);
    add(report, "age_p99_us", "age p99, us", 1, figures->p99_us);
    add(report, "age_max_us", "age at most, us", 1, figures->max_us);
    add(report, "states_per_s", "states/s seen by each observer", 0, figures->states_per_s);
    add(report, "sends_per_s", "states/s sent", 0, figures->sends_per_s);
    add(report, "rss_start_mib", "router memory at the start, MiB", 2, figures->rss_mib[0]);
    add(report, "rss_middle_mib", "router memory in the middle, MiB", 2, figures->rss_mib[1]);
    add(report, "rss_end_mib", "router memory at the end, MiB", 2, figures->rss_mib[2]);
}

static void run_raw(bench_report *report, hot_shared *shared)
{
    pid_t stuck[BENCH_OBSERVERS_MAX];
    raw_relay_init(&shared->relay, shared->options);
    shared->relay.observers = (unsigned)(shared->options->observers + shared->options->stuck);
    shared->relay.message_bytes = shared->options->bytes;
    pid_t relay_pid = bench_spawn(raw_latest_relay, &shared->relay, 0);
    spawn_all(shared, raw_exposer, raw_observer, stuck);
    raw_relay_done(&shared->relay);
    hot_figures figures = watch(shared, relay_pid, stuck);
    tell(report, &figures, bench_report_raw);
}

static void run_hakuban(bench_report *report, hot_shared *shared)
{
    pid_t stuck[BENCH_OBSERVERS_MAX];
    bench_router_start(shared->options, &shared->router);
    spawn_all(shared, hot_exposer, hot_observer, stuck);
    hot_figures figures = watch(shared, shared->router.pid, stuck);
    bench_router_stop(&shared->router);
    tell(report, &figures, bench_report_hakuban);
}

void bench_hot(const bench_options *options)
{
    bench_report report;
    size_t shared_bytes =
        sizeof(hot_shared) + (options->observers + options->stuck) * sizeof(hot_seat);
    bench_report_init(&report, options, "age_p99_us");
    bench_report_parameter(&report, "observers", (double)options->observers);
    bench_report_parameter(&report, "stuck", (double)options->stuck);
    bench_report_parameter(&report, "bytes", (double)options->bytes);
    bench_report_parameter(&report, "burst", (double)options->burst);
    bench_report_parameter(&report, "seconds", options->seconds);
    for (report.run = 0; report.run < options->runs; report.run++) {
        for (int raw = 1; raw >= 0; raw--) {
            if (raw ? !options->with_raw : !options->with_hakuban) {
                continue;
            }
            hot_shared *shared = bench_share(shared_bytes);
            shared->options = options;
            bench_progress(&report, raw ? "raw relay" : "hakuban");
            (raw ? run_raw : run_hakuban)(&report, shared);
            bench_unshare(shared, shared_bytes);
        }
    }
    bench_report_print(&report);
}
