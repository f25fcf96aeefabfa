/* balance: very many exposers offer one tag, and an observer wants very many objects of it. How
 * long it takes until each object has its exposer, how evenly, and what the router does before and
 * after, while nothing happens. */
#define _GNU_SOURCE
#include <poll.h>
#include <string.h>

#include "bench.h"

#define EXPOSERS_PER_PROCESS 100
#define ALIVE_MS 1000 /* exposers that hear nothing take a turn so often, for their timers */
#define REST_NS BENCH_SECOND_NS

typedef struct balance_shared {
    const bench_options *options;
    bench_router router;
    _Atomic uint64_t ready;        /* exposers */
    _Atomic uint64_t open, closed; /* sinks, in all */
    _Atomic uint64_t least, most;  /* of one exposer, when it is over */
    _Atomic uint32_t over;
} balance_shared;

static void wait_until(const _Atomic uint64_t *count, uint64_t goal, const char *what)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    while (atomic_load(count) < goal) {
        bench_sleep_ns(1000000);
        if (bench_now_ns() > until) {
            bench_die("balance: %llu %s of %llu", (unsigned long long)atomic_load(count), what,
                      (unsigned long long)goal);
        }
    }
}

/* -- Exposers -- */

/* Returns how many sinks it has more than before. */
static int64_t take_turn(balance_shared *shared, bench_node *node)
{
    hakuban_event event;
    int64_t more = 0;
    bench_node_turn(node);
    while (bench_node_next(node, 0, &event)) {
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            more++;
            atomic_fetch_add(&shared->open, 1);
        } else if (event.kind == HAKUBAN_EVENT_SINK_CLOSE) {
            more--;
            atomic_fetch_add(&shared->closed, 1);
        }
        hakuban_event_done(&event);
    }
    return more;
}

static void report_share(balance_shared *shared, uint64_t share)
{
    uint64_t known = atomic_load(&shared->least);
    while (share < known && !atomic_compare_exchange_weak(&shared->least, &known, share)) {
    }
    known = atomic_load(&shared->most);
    while (share > known && !atomic_compare_exchange_weak(&shared->most, &known, share)) {
    }
}

static void balance_exposers(void *memory, unsigned index)
{
    balance_shared *shared = memory;
    bench_node nodes[EXPOSERS_PER_PROCESS];
    struct pollfd fds[EXPOSERS_PER_PROCESS];
    int64_t sinks[EXPOSERS_PER_PROCESS] = {0};
    uint64_t first = (uint64_t)index * EXPOSERS_PER_PROCESS;
    uint64_t count = shared->options->exposers - first;
    if (count > EXPOSERS_PER_PROCESS) {
        count = EXPOSERS_PER_PROCESS;
    }
    for (uint64_t i = 0; i < count; i++) {
        hakuban_contract *contract;
        bench_node_open(&nodes[i], shared->router.url);
        hakuban_contract_options options = {.size = sizeof(options), .queue = nodes[i].queue};
        bench_check(hakuban_expose_tag(nodes[i].exchange, "\"jobs\"", &options, &contract, NULL),
                    "expose");
        bench_node_turn(&nodes[i]);
        fds[i] = (struct pollfd){.fd = hakuban_exchange_fd(nodes[i].exchange), .events = POLLIN};
        atomic_fetch_add(&shared->ready, 1);
    }
    while (!atomic_load(&shared->over)) {
        int heard = poll(fds, count, ALIVE_MS);
        for (uint64_t i = 0; i < count; i++) {
            if (heard <= 0 || fds[i].revents) {
                sinks[i] += take_turn(shared, &nodes[i]);
            }
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        report_share(shared, (uint64_t)sinks[i]);
    }
}

/* -- The observer -- */

static void balance_observer(void *memory, unsigned index)
{
    balance_shared *shared = memory;
    bench_node node;
    (void)index;
    bench_node_open(&node, shared->router.url);
    for (uint64_t i = 0; i < shared->options->objects; i++) {
        char json[32];
        hakuban_contract *contract;
        hakuban_contract_options options = {.size = sizeof(options), .queue = node.queue};
        snprintf(json, sizeof(json), "%llu", (unsigned long long)i);
        hakuban_descriptor *descriptor = bench_descriptor(json, "\"jobs\"");
        bench_check(hakuban_observe_object(node.exchange, descriptor, &options, &contract),
                    "observe");
        hakuban_descriptor_unref(descriptor);
        if (i % 1000 == 999) {
            bench_node_turn(&node);
        }
    }
    while (!atomic_load(&shared->over)) {
        hakuban_event event;
        if (bench_node_next(&node, 20, &event)) {
            hakuban_event_done(&event);
        }
    }
}

/* -- Figures -- */

/* In percent of one processor. */
static double cpu_at_rest(const balance_shared *shared)
{
    uint64_t cpu_ns = bench_process_cpu_ns(shared->router.pid), begin_ns = bench_now_ns();
    bench_sleep_ns(REST_NS * 2);
    return 100 * (double)(bench_process_cpu_ns(shared->router.pid) - cpu_ns) /
           (double)(bench_now_ns() - begin_ns);
}

static void run(bench_report *report, void *memory)
{
    balance_shared *shared = memory;
    uint64_t objects = shared->options->objects, exposers = shared->options->exposers;
    atomic_store(&shared->least, UINT64_MAX);
    bench_router_start(shared->options, &shared->router);
    for (uint64_t first = 0; first < exposers; first += EXPOSERS_PER_PROCESS) {
        bench_spawn(balance_exposers, shared, (unsigned)(first / EXPOSERS_PER_PROCESS));
    }
    wait_until(&shared->ready, exposers, "exposers");
    bench_sleep_ns(REST_NS);
    bench_report_hakuban(report, "idle_cpu_percent", "router CPU before any object, percent", 2,
                         cpu_at_rest(shared));
    uint64_t cpu_ns = bench_process_cpu_ns(shared->router.pid), begin_ns = bench_now_ns();
    bench_spawn(balance_observer, shared, 0);
    wait_until(&shared->open, objects, "sinks");
    bench_report_hakuban(report, "assigned_ms", "each object has an exposer after, ms", 0,
                         (double)(bench_now_ns() - begin_ns) / 1e6);
    bench_report_hakuban(report, "router_cpu_ms", "router CPU meanwhile, ms", 0,
                         (double)(bench_process_cpu_ns(shared->router.pid) - cpu_ns) / 1e6);
    bench_sleep_ns(REST_NS);
    bench_report_hakuban(report, "rest_cpu_percent", "router CPU once all is assigned, percent", 2,
                         cpu_at_rest(shared));
    atomic_store(&shared->over, 1);
    bench_join(BENCH_PATIENCE_NS);
    bench_report_hakuban(report, "moves", "objects that moved to another exposer", 0,
                         (double)atomic_load(&shared->closed));
    bench_report_hakuban(report, "least", "objects of the exposer that has the fewest", 0,
                         (double)atomic_load(&shared->least));
    bench_report_hakuban(report, "most", "objects of the exposer that has the most", 0,
                         (double)atomic_load(&shared->most));
    bench_router_stop(&shared->router);
}

void bench_balance(const bench_options *options)
{
    bench_run_alone(options, "assigned_ms", sizeof(balance_shared), run);
}
