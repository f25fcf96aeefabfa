/* churn: objects come, are seen and go, in waves, through one router. How fast, and what is left of
 * them in its memory: nothing, or it grows with every wave. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { WAVE = 1000 };

typedef struct churn_shared {
    const bench_options *options; /* first: bench_run_alone() sets it */
    bench_router router;
    _Atomic uint64_t seen; /* objects whose state the observer has had */
    _Atomic uint64_t gone; /* objects whose end it has seen */
    _Atomic uint32_t over;
} churn_shared;

static void churn_observer(void *memory, unsigned index)
{
    churn_shared *shared = memory;
    bench_node node;
    bench_state scratch;
    hakuban_contract *contract;
    (void)index;
    bench_state_init(&scratch, shared->options->bytes);
    bench_node_open(&node, shared->router.url);
    hakuban_contract_options wanted = {.size = sizeof(wanted), .queue = node.queue};
    bench_check(hakuban_observe_tag(node.exchange, "\"lamps\"", &wanted, &contract, NULL),
                "observe");
    while (!atomic_load(&shared->over)) {
        hakuban_event event;
        if (!bench_node_next(&node, 20, &event)) {
            continue;
        }
        if (event.kind == HAKUBAN_EVENT_STATE) {
            uint64_t id, number;
            hakuban_slice data = hakuban_state_data(event.state);
            bench_state_read(data.data, data.bytes, scratch.bytes, &id, &number);
            bench_state_verify(&scratch, data.data, id, number);
            atomic_fetch_add(&shared->seen, 1);
        } else if (event.kind == HAKUBAN_EVENT_CLOSE) {
            atomic_fetch_add(&shared->gone, 1);
        }
        hakuban_event_done(&event);
    }
}

static void answer_until(bench_node *node, bench_state *state, const _Atomic uint64_t *count,
                         uint64_t goal)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    while (atomic_load(count) < goal) {
        hakuban_event event;
        if (bench_node_next(node, 1, &event)) {
            if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
                bench_state_set(state, (uint64_t)(uintptr_t)event.user, 1);
                bench_send(event.sink, state->text, state->bytes);
            }
            hakuban_event_done(&event);
        } else if (bench_now_ns() > until) {
            bench_die("churn: %llu objects of %llu", (unsigned long long)atomic_load(count),
                      (unsigned long long)goal);
        }
    }
}

static void churn_exposer(void *memory, unsigned index)
{
    churn_shared *shared = memory;
    hakuban_contract *contracts[WAVE];
    bench_node node;
    bench_state state;
    uint64_t objects = shared->options->objects;
    (void)index;
    bench_node_open(&node, shared->router.url);
    bench_state_init(&state, shared->options->bytes);
    for (uint64_t begun = 0; begun < objects;) {
        uint64_t count = objects - begun < WAVE ? objects - begun : WAVE;
        for (uint64_t i = 0; i < count; i++) {
            char json[64];
            hakuban_contract_options wanted = {
                .size = sizeof(wanted), .queue = node.queue, .user = (void *)(uintptr_t)i};
            snprintf(json, sizeof(json), "{\"kind\":\"lamp\",\"id\":%llu}",
                     (unsigned long long)(begun + i));
            hakuban_descriptor *descriptor = bench_descriptor(json, "\"lamps\"");
            bench_check(hakuban_expose_object(node.exchange, descriptor, &wanted, &contracts[i]),
                        "expose");
            hakuban_descriptor_unref(descriptor);
        }
        begun += count;
        answer_until(&node, &state, &shared->seen, begun);
        for (uint64_t i = 0; i < count; i++) {
            hakuban_contract_free(contracts[i]);
        }
        answer_until(&node, &state, &shared->gone, begun);
    }
    atomic_store(&shared->over, 1);
}

static uint64_t rss_when_gone(churn_shared *shared, uint64_t objects)
{
    uint64_t until = bench_now_ns() + 10 * BENCH_PATIENCE_NS;
    while (atomic_load(&shared->gone) < objects) {
        bench_sleep_ns(1000000);
        if (bench_now_ns() > until) {
            bench_die("churn: gave up waiting");
        }
    }
    return bench_process_rss_bytes(shared->router.pid);
}

static void run(bench_report *report, void *memory)
{
    churn_shared *shared = memory;
    uint64_t objects = shared->options->objects, early = objects / 10;
    bench_router_start(shared->options, &shared->router);
    bench_spawn(churn_observer, shared, 0);
    bench_spawn(churn_exposer, shared, 0);
    uint64_t begin_ns = bench_now_ns();
    double first = (double)rss_when_gone(shared, early);
    double middle = (double)rss_when_gone(shared, objects / 2);
    double last = (double)rss_when_gone(shared, objects);
    double took_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    bench_report_hakuban(report, "objects_per_s", "objects come and gone per second", 0,
                         (double)objects / took_s);
    bench_report_hakuban(report, "rss_tenth_kib", "router RSS after a tenth, KiB", 0, first / 1024);
    bench_report_hakuban(report, "rss_half_kib", "after half, KiB", 0, middle / 1024);
    bench_report_hakuban(report, "rss_end_kib", "at the end, KiB", 0, last / 1024);
    bench_report_hakuban(report, "rss_per_object", "bytes left for each object since the tenth", 3,
                         (last - first) / (double)(objects - early));
    bench_report_hakuban(report, "router_cpu_us", "router CPU per object, us", 2,
                         (double)bench_process_cpu_ns(shared->router.pid) / 1e3 / (double)objects);
    bench_join(BENCH_PATIENCE_NS);
    bench_router_stop(&shared->router);
}

void bench_churn(const bench_options *options)
{
    bench_run_alone(options, "objects_per_s", sizeof(churn_shared), run);
}
