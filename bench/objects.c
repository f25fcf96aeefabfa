/* objects: an exposer has many small objects, a first observer of their tag makes the router hold
 * them all; then a late joiner observes the tag. What an object costs in the router's memory, and
 * how long the joiner waits for everything. The raw side keeps an array of the values and streams
 * it. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "raw.h"

typedef struct objects_shared {
    const bench_options *options;
    bench_router router;
    char exposer_url[256]; /* of the router, or of the lowest hub */
    _Atomic uint32_t hubs; /* are there */
    raw_relay relay;
    _Atomic uint32_t held;   /* the router has everything */
    _Atomic uint32_t joined; /* the late joiner has everything */
    uint64_t begin_ns, held_ns;
    uint64_t join_ns, first_ns, router_cpu_ns, joiner_cpu_ns;
    pid_t relay_pid; /* the router or the raw relay */
} objects_shared;

/* A router of another implementation takes half a millisecond for each object. */
static uint64_t patience_of(const objects_shared *shared)
{
    return BENCH_PATIENCE_NS + shared->options->objects * 3000000;
}

/* Of one event: the first comes when all objects have been registered. */
static int event_patience_ms(const objects_shared *shared)
{
    return (int)(patience_of(shared) / 1000000);
}

static void wait_for(const objects_shared *shared, const _Atomic uint32_t *flag, bench_node *node)
{
    uint64_t until = bench_now_ns() + patience_of(shared);
    while (!atomic_load(flag)) {
        if (node) {
            bench_node_turn(node);
        }
        bench_sleep_ns(1000000);
        if (bench_now_ns() > until) {
            bench_die("objects: gave up waiting");
        }
    }
}

/* -- Hakuban -- */

/* Below the last hub, or the router. */
static void objects_hub(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    hakuban_exchange *exchange;
    hakuban_connection *connection;
    hakuban_listener *listener;
    hakuban_error error = {0};
    (void)index;
    bench_check(hakuban_exchange_new(NULL, &exchange), "hub");
    if (hakuban_exchange_connect(exchange, shared->exposer_url, NULL, &connection, &error) < 0 ||
        hakuban_connection_wait(connection, 10000, &error) < 0 ||
        hakuban_exchange_listen(exchange, "tcp://127.0.0.1:0", &listener, &error) < 0) {
        bench_die("hub: %s", error.text);
    }
    snprintf(shared->exposer_url, sizeof(shared->exposer_url), "%s#serializer=%s,compressor=%s",
             hakuban_listener_url(listener), shared->options->serializer,
             shared->options->compressor);
    atomic_fetch_add(&shared->hubs, 1);
    wait_for(shared, &shared->joined, NULL);
}

static void start_hubs(objects_shared *shared)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    snprintf(shared->exposer_url, sizeof(shared->exposer_url), "%s", shared->router.url);
    for (uint32_t i = 0; i < shared->options->hubs; i++) {
        bench_spawn(objects_hub, shared, i);
        while (atomic_load(&shared->hubs) <= i) {
            if (bench_now_ns() > until) {
                bench_die("objects: a hub did not begin");
            }
            bench_sleep_ns(1000000);
        }
    }
}

static void objects_exposer(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    bench_node node;
    bench_state state;
    uint64_t sent = 0;
    (void)index;
    bench_node_open(&node, shared->exposer_url);
    bench_state_init(&state, shared->options->bytes);
    for (uint64_t i = 0; i < shared->options->objects; i++) {
        char json[64];
        hakuban_contract *contract;
        hakuban_contract_options options = {
            .size = sizeof(options), .queue = node.queue, .user = (void *)(uintptr_t)i};
        snprintf(json, sizeof(json), "{\"kind\":\"lamp\",\"id\":%llu}", (unsigned long long)i);
        hakuban_descriptor *descriptor = bench_descriptor(json, "\"lamps\"");
        bench_check(hakuban_expose_object(node.exchange, descriptor, &options, &contract),
                    "expose");
        hakuban_descriptor_unref(descriptor);
    }
    while (sent < shared->options->objects) {
        hakuban_event event;
        if (!bench_node_next(&node, event_patience_ms(shared), &event)) {
            bench_die("objects: only %llu sinks were opened", (unsigned long long)sent);
        }
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            bench_state_set(&state, (uint64_t)(uintptr_t)event.user, 1);
            bench_send(event.sink, state.text, state.bytes);
            sent++;
        }
        hakuban_event_done(&event);
    }
    wait_for(shared, &shared->joined, &node);
}

/* Takes states until every object's has come, and looks at each. */
static void observe_all(objects_shared *shared, bench_node *node, uint64_t *ret_first_ns)
{
    uint64_t objects = shared->options->objects, seen = 0, first_ns = 0;
    char *known = calloc(objects, 1);
    bench_state scratch;
    hakuban_contract *contract;
    hakuban_contract_options options = {.size = sizeof(options), .queue = node->queue};
    bench_check(hakuban_observe_tag(node->exchange, "\"lamps\"", &options, &contract, NULL),
                "observe");
    bench_state_init(&scratch, shared->options->bytes);
    while (seen < objects) {
        hakuban_event event;
        if (!known || !bench_node_next(node, event_patience_ms(shared), &event)) {
            bench_die("objects: only %llu states came", (unsigned long long)seen);
        }
        if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
            hakuban_slice data = hakuban_state_data(event.state);
            const char *name = strstr(hakuban_descriptor_json(event.object), "\"id\":");
            uint64_t id, number;
            bench_state_read(data.data, data.bytes, scratch.bytes, &id, &number);
            bench_state_verify(&scratch, data.data, id, 1);
            if (id >= objects || !name || strtoull(name + 5, NULL, 10) != id) {
                bench_die("objects: a state of another object");
            }
            seen += !known[id];
            known[id] = 1;
            first_ns = first_ns ? first_ns : bench_now_ns();
        }
        hakuban_event_done(&event);
    }
    bench_state_done(&scratch);
    free(known);
    *ret_first_ns = first_ns;
}

static void objects_holder(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    bench_node node;
    uint64_t first_ns;
    (void)index;
    bench_node_open(&node, shared->router.url);
    observe_all(shared, &node, &first_ns);
    shared->held_ns = bench_now_ns();
    atomic_store(&shared->held, 1);
    wait_for(shared, &shared->joined, &node);
}

static void objects_joiner(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    bench_node node;
    (void)index;
    uint64_t cpu_ns = bench_process_cpu_ns(shared->relay_pid);
    uint64_t begin_ns = bench_now_ns(), first_ns;
    bench_node_open(&node, shared->router.url);
    observe_all(shared, &node, &first_ns);
    shared->join_ns = bench_now_ns() - begin_ns;
    shared->first_ns = first_ns - begin_ns;
    shared->router_cpu_ns = bench_process_cpu_ns(shared->relay_pid) - cpu_ns;
    shared->joiner_cpu_ns = bench_process_cpu_ns(getpid());
    atomic_store(&shared->joined, 1);
}

/* -- Raw -- */

static void raw_exposer(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    bench_state state;
    char byte;
    int fd = raw_connect(&shared->relay.source);
    (void)index;
    bench_state_init(&state, shared->options->bytes);
    for (uint64_t i = 0; i < shared->options->objects; i++) {
        bench_state_set(&state, i, 1);
        raw_write_all(fd, state.text, state.bytes);
    }
    if (!raw_read_all(fd, &byte, 1)) {
        bench_die("objects: the raw relay ended early");
    }
    shared->held_ns = bench_now_ns();
    atomic_store(&shared->held, 1);
    wait_for(shared, &shared->joined, NULL);
}

static void raw_joiner(void *memory, unsigned index)
{
    objects_shared *shared = memory;
    size_t bytes = shared->options->bytes, all = bytes * shared->options->objects;
    char *array = malloc(all);
    bench_state scratch;
    (void)index;
    bench_state_init(&scratch, bytes);
    uint64_t cpu_ns = bench_process_cpu_ns(shared->relay_pid);
    uint64_t begin_ns = bench_now_ns();
    int fd = raw_connect(&shared->relay.observer);
    if (!array || !raw_read_all(fd, array, all)) {
        bench_die("objects: the raw relay ended early");
    }
    for (uint64_t i = 0; i < shared->options->objects; i++) {
        bench_state_verify(&scratch, array + i * bytes, i, 1);
    }
    shared->join_ns = bench_now_ns() - begin_ns;
    shared->router_cpu_ns = bench_process_cpu_ns(shared->relay_pid) - cpu_ns;
    shared->joiner_cpu_ns = bench_process_cpu_ns(getpid());
    atomic_store(&shared->joined, 1);
    free(array);
}

/* -- Figures -- */

typedef void (*objects_report)(bench_report *report, const char *key, const char *title,
                               int decimals, double value);

/* From the first exposing to the late joiner's last state. */
static void watch(bench_report *report, objects_shared *shared, bench_actor joiner,
                  uint64_t rss_before, objects_report add)
{
    wait_for(shared, &shared->held, NULL);
    bench_sleep_ns(300000000); /* what is freed late is freed now */
    double rss = (double)bench_process_rss_bytes(shared->relay_pid) - (double)rss_before;
    bench_spawn(joiner, shared, 0);
    bench_join(2 * patience_of(shared));
    add(report, "router_bytes_per_object", "router memory per object, bytes", 0,
        rss / (double)shared->options->objects);
    add(report, "join_ms", "a late joiner has all states after, ms", 1,
        (double)shared->join_ns / 1e6);
    add(report, "join_router_cpu_ms", "router CPU meanwhile, ms", 1,
        (double)shared->router_cpu_ns / 1e6);
    add(report, "join_own_cpu_ms", "the joiner's own CPU, ms", 1,
        (double)shared->joiner_cpu_ns / 1e6);
    add(report, "fill_ms", "from exposing to the first observer's last, ms", 1,
        (double)(shared->held_ns - shared->begin_ns) / 1e6);
}

static void run_raw(bench_report *report, objects_shared *shared)
{
    raw_relay_init(&shared->relay, shared->options);
    shared->relay.observers = 1;
    shared->relay.message_bytes = shared->options->bytes;
    shared->relay.message_count = shared->options->objects;
    shared->relay_pid = bench_spawn(raw_array_relay, &shared->relay, 0);
    bench_sleep_ns(50000000);
    uint64_t before = bench_process_rss_bytes(shared->relay_pid);
    shared->begin_ns = bench_now_ns();
    bench_spawn(raw_exposer, shared, 0);
    watch(report, shared, raw_joiner, before, bench_report_raw);
    raw_relay_done(&shared->relay);
}

static void run_hakuban(bench_report *report, objects_shared *shared)
{
    bench_router_start(shared->options, &shared->router);
    shared->relay_pid = shared->router.pid;
    uint64_t before = bench_process_rss_bytes(shared->router.pid);
    start_hubs(shared);
    shared->begin_ns = bench_now_ns();
    bench_spawn(objects_holder, shared, 0);
    bench_spawn(objects_exposer, shared, 0);
    watch(report, shared, objects_joiner, before, bench_report_hakuban);
    bench_report_hakuban(report, "join_first_ms", "the joiner's first state after, ms", 1,
                         (double)shared->first_ns / 1e6);
    bench_router_stop(&shared->router);
}

void bench_objects_measure(bench_report *report, const bench_options *options)
{
    objects_shared *shared = bench_share(sizeof(*shared));
    bench_report_init(report, options, "join_ms");
    bench_report_parameter(report, "objects", (double)options->objects);
    bench_report_parameter(report, "bytes", (double)options->bytes);
    bench_report_parameter(report, "hubs", (double)options->hubs);
    for (report->run = 0; report->run < options->runs; report->run++) {
        for (int raw = 1; raw >= 0; raw--) {
            if (raw ? !options->with_raw : !options->with_hakuban) {
                continue;
            }
            memset(shared, 0, sizeof(*shared));
            shared->options = options;
            bench_progress(report, raw ? "raw relay" : "hakuban");
            (raw ? run_raw : run_hakuban)(report, shared);
        }
    }
    bench_unshare(shared, sizeof(*shared));
}

void bench_objects(const bench_options *options)
{
    bench_report report;
    bench_objects_measure(&report, options);
    bench_report_print(&report);
}
