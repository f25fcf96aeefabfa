/* ping: A sends n on its object, the router carries it to B, B answers n on its own object, the
 * router carries it back. The raw side does the same with bare messages of equal size. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "raw.h"

typedef struct ping_shared {
    const bench_options *options;
    bench_router router;
    raw_relay relay;
    uint64_t warm_up;
    _Atomic uint32_t answers;  /* B can answer */
    _Atomic uint32_t finished; /* A has the last answer */
    uint64_t start_ns, end_ns;
    double round_us[]; /* count of them */
} ping_shared;

/* One side: what it exposes, what it observes. */
typedef struct ping_side {
    bench_node node;
    hakuban_sink *sink;
    bench_state state;
} ping_side;

static void side_open(ping_side *side, const ping_shared *shared, const char *own,
                      const char *others)
{
    hakuban_contract *contract;
    bench_node_open(&side->node, shared->router.url);
    bench_state_init(&side->state, shared->options->bytes);
    side->sink = NULL;
    hakuban_contract_options options = {.size = sizeof(options), .queue = side->node.queue};
    hakuban_descriptor *exposed = bench_descriptor(own, NULL);
    hakuban_descriptor *observed = bench_descriptor(others, NULL);
    bench_check(hakuban_observe_object(side->node.exchange, observed, &options, &contract),
                "observe");
    bench_check(hakuban_expose_object(side->node.exchange, exposed, &options, &contract), "expose");
    hakuban_descriptor_unref(exposed);
    hakuban_descriptor_unref(observed);
}

static void keep_sink(ping_side *side, const hakuban_event *event)
{
    if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        side->sink = hakuban_sink_ref(event->sink);
    } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE) {
        bench_die("ping: a sink was closed");
    }
}

/* The number of the next state; false after timeout_ms without any event. */
static bool side_next(ping_side *side, int timeout_ms, uint64_t *ret_number)
{
    hakuban_event event;
    uint64_t id;
    if (!bench_node_next(&side->node, timeout_ms, &event)) {
        return false;
    }
    *ret_number = 0;
    keep_sink(side, &event);
    if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
        hakuban_slice data = hakuban_state_data(event.state);
        bench_state_read(data.data, data.bytes, side->state.bytes, &id, ret_number);
        bench_state_verify(&side->state, data.data, id, *ret_number);
    }
    hakuban_event_done(&event);
    return true;
}

static void side_send(ping_side *side, uint64_t number)
{
    bench_state_set(&side->state, 0, number);
    bench_send(side->sink, side->state.text, side->state.bytes);
}

static void ping_b(void *memory, unsigned index)
{
    ping_shared *shared = memory;
    ping_side side;
    uint64_t number;
    (void)index;
    side_open(&side, shared, "\"ping b\"", "\"ping a\"");
    while (!atomic_load(&shared->finished)) {
        if (!side_next(&side, 20, &number)) {
            continue; /* A notices if it takes too long */
        }
        if (side.sink) {
            atomic_store(&shared->answers, 1);
        }
        if (number > 0) {
            side_send(&side, number);
        }
    }
}

static void ping_a(void *memory, unsigned index)
{
    ping_shared *shared = memory;
    ping_side side;
    uint64_t number, until = bench_now_ns() + 20 * BENCH_SECOND_NS;
    (void)index;
    side_open(&side, shared, "\"ping a\"", "\"ping b\"");
    while (!side.sink || !atomic_load(&shared->answers)) {
        (void)side_next(&side, 1, &number);
        if (bench_now_ns() > until) {
            bench_die("ping: no sink was opened");
        }
    }
    for (uint64_t n = 1; n <= shared->warm_up + shared->options->count; n++) {
        uint64_t start_ns = bench_now_ns();
        side_send(&side, n);
        do {
            if (!side_next(&side, 20000, &number)) {
                bench_die("ping: no answer came to A");
            }
        } while (number != n);
        shared->end_ns = bench_now_ns();
        if (n <= shared->warm_up) {
            shared->start_ns = shared->end_ns;
        } else {
            shared->round_us[n - shared->warm_up - 1] = (double)(shared->end_ns - start_ns) / 1000;
        }
    }
    atomic_store(&shared->finished, 1);
}

/* One end of the raw relay, whichever it is. */
typedef struct raw_end {
    bool is_zmq, is_source;
    int fd;
    raw_zmq_peer peer;
} raw_end;

static void end_open(raw_end *end, raw_relay *relay, bool is_source)
{
    end->is_zmq = relay->zmq.wanted;
    end->is_source = is_source;
    if (end->is_zmq) {
        raw_zmq_open(&end->peer, &relay->zmq, is_source);
    } else {
        end->fd = raw_connect(is_source ? &relay->source : &relay->observer);
    }
}

static void end_send(raw_end *end, const void *data, size_t bytes)
{
    if (end->is_zmq) {
        raw_zmq_send(&end->peer, data, bytes);
    } else {
        raw_write_all(end->fd, data, bytes);
    }
}

static bool end_receive(raw_end *end, void *data, size_t bytes)
{
    return end->is_zmq ? raw_zmq_receive(&end->peer, data, bytes)
                       : raw_read_all(end->fd, data, bytes);
}

static void end_close(raw_end *end)
{
    if (end->is_zmq) {
        raw_zmq_close(&end->peer, end->is_source);
    } else {
        close(end->fd);
    }
}

static void raw_b(void *memory, unsigned index)
{
    ping_shared *shared = memory;
    char *message = malloc(shared->options->bytes);
    raw_end end;
    (void)index;
    end_open(&end, &shared->relay, false);
    while (end_receive(&end, message, shared->options->bytes)) {
        end_send(&end, message, shared->options->bytes);
    }
    end_close(&end);
    free(message);
}

static void raw_a(void *memory, unsigned index)
{
    ping_shared *shared = memory;
    char *answer = malloc(shared->options->bytes);
    raw_end end;
    bench_state state, scratch;
    (void)index;
    end_open(&end, &shared->relay, true);
    bench_state_init(&state, shared->options->bytes);
    bench_state_init(&scratch, shared->options->bytes);
    for (uint64_t n = 1; n <= shared->warm_up + shared->options->count; n++) {
        uint64_t start_ns = bench_now_ns();
        bench_state_set(&state, 0, n);
        end_send(&end, state.text, state.bytes);
        if (!end_receive(&end, answer, state.bytes)) {
            bench_die("ping: no raw answer");
        }
        bench_state_verify(&scratch, answer, 0, n);
        shared->end_ns = bench_now_ns();
        if (n <= shared->warm_up) {
            shared->start_ns = shared->end_ns;
        } else {
            shared->round_us[n - shared->warm_up - 1] = (double)(shared->end_ns - start_ns) / 1000;
        }
    }
    end_close(&end);
    bench_state_done(&state);
    bench_state_done(&scratch);
    free(answer);
}

typedef void (*ping_report)(bench_report *report, const char *key, const char *title, int decimals,
                            double value);

static void tell(bench_report *report, ping_shared *shared, ping_report add)
{
    size_t count = shared->options->count;
    double seconds = (double)(shared->end_ns - shared->start_ns) / 1e9;
    add(report, "round_trips_per_s", "round trips/s", 0, (double)count / seconds);
    add(report, "p50_us", "round trip p50, us", 1, bench_percentile(shared->round_us, count, 50));
    add(report, "p99_us", "round trip p99, us", 1, bench_percentile(shared->round_us, count, 99));
}

static void run_raw(bench_report *report, ping_shared *shared)
{
    raw_relay *relay = &shared->relay;
    raw_relay_init(relay, shared->options);
    if (relay->zmq.wanted) {
        relay->zmq.observers = 1;
        bench_spawn(raw_zmq_relay_run, &relay->zmq, 0);
    } else {
        bench_spawn(raw_ping_relay, relay, 0);
    }
    bench_spawn(raw_b, shared, 0);
    bench_spawn(raw_a, shared, 0);
    raw_relay_done(&shared->relay);
    bench_join(BENCH_PATIENCE_NS);
    tell(report, shared, bench_report_raw);
}

static void run_hakuban(bench_report *report, ping_shared *shared)
{
    bench_router_start(shared->options, &shared->router);
    atomic_store(&shared->answers, 0);
    atomic_store(&shared->finished, 0);
    bench_spawn(ping_b, shared, 0);
    bench_spawn(ping_a, shared, 0);
    uint64_t before_ns = bench_process_cpu_ns(shared->router.pid);
    bench_join(BENCH_PATIENCE_NS);
    uint64_t cpu_ns = bench_process_cpu_ns(shared->router.pid) - before_ns;
    bench_router_stop(&shared->router);
    tell(report, shared, bench_report_hakuban);
    bench_report_hakuban(report, "router_cpu_us", "router CPU per round trip, us", 2,
                         (double)cpu_ns / 1000 /
                             (double)(shared->options->count + shared->warm_up));
}

void bench_ping_measure(bench_report *report, const bench_options *options)
{
    size_t shared_bytes = sizeof(ping_shared) + options->count * sizeof(double);
    ping_shared *shared = bench_share(shared_bytes);
    shared->options = options;
    shared->warm_up = options->count < 500 ? options->count : 500;
    bench_report_init(report, options, "round_trips_per_s");
    bench_report_parameter(report, "count", (double)options->count);
    bench_report_parameter(report, "bytes", (double)options->bytes);
    for (report->run = 0; report->run < options->runs; report->run++) {
        if (options->with_raw) {
            bench_progress(report, "raw relay");
            run_raw(report, shared);
        }
        if (options->with_hakuban) {
            bench_progress(report, "hakuban");
            run_hakuban(report, shared);
        }
    }
    bench_unshare(shared, shared_bytes);
}

void bench_ping(const bench_options *options)
{
    bench_report report;
    bench_ping_measure(&report, options);
    bench_report_print(&report);
}
