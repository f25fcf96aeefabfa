/* --peer rust: the same work on the Rust implementation's router and on ours, with clients of both,
 * in one run. Their router with their own clients is what everything is divided by. Their clients
 * are tests/interop/client, run as a program that prints its figures; ours are the actors of the
 * other sub-commands. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { THEIRS = 0, OURS = 1 };

enum {
    LARGE_BYTES = 1024 * 1024,
    LARGE_COUNT = 20,
    FLOOD_BYTES = 16 * 1024,
    FLOOD_OBJECTS = 100,
    FLOOD_BURST = 50,
    IDLE_COUNT = 200
};

/* A row of the table. */
typedef struct peer_metric {
    const char *key, *title;
    int decimals;
    bool less_is_better;
    const char *target; /* as the ratios are printed, or words */
} peer_metric;

enum { PING, PING_P99, LARGE, FLOOD, SKIPPED, JOIN, OBJECT_BYTES, IDLE_BYTES, PEER_METRICS };

static const peer_metric metrics[PEER_METRICS] = {
    [PING] = {"round_trips_per_s", "round trips/s, 64 B, on one CPU", 0, false, "1 / 3"},
    [PING_P99] = {"p99_us", "  p99, us", 0, true, ""},
    [LARGE] = {"large_ms", "one change in 1 MiB, one way, ms", 2, true, "< 2 ms"},
    [FLOOD] = {"states_per_s", "16 KB states/s to each observer", 0, false, "10"},
    [SKIPPED] = {"skipped", "  skipped per observer", 0, true, ""},
    [JOIN] = {"join_per_s", "objects/s to a late joiner", 0, false, "20"},
    [OBJECT_BYTES] = {"object_bytes", "router memory per object, bytes", 0, true, "30"},
    [IDLE_BYTES] = {"idle_bytes", "router memory per connection, bytes", 0, true, "10"},
};

typedef struct peer_run {
    const bench_options *given;
    unsigned run;
    bool able[2][2]; /* [router][clients] */
    double values[PEER_METRICS][2][2][BENCH_RUNS_MAX];
} peer_run;

/* What a side may find when it runs one kind of work. */
typedef struct peer_place {
    int router, clients;
    bench_options options;
} peer_place;

static void put(peer_run *p, const peer_place *place, int metric, double value)
{
    p->values[metric][place->router][place->clients][p->run] = value;
}

/* -- Their clients -- */

/* Their program, and the figure of one of its lines. */
typedef struct rust_client {
    pid_t pid;
    FILE *said, *told;
} rust_client;

static void rust_start(const peer_place *place, const char *url, rust_client *ret, const char *work,
                       ...) __attribute__((sentinel));
static void rust_start(const peer_place *place, const char *url, rust_client *ret, const char *work,
                       ...)
{
    bool ends = strcmp(work, "answer") != 0;
    char path[4096], plain[256];
    const char *words[12] = {path, work, plain};
    size_t count = 3;
    int out[2], in[2];
    va_list more;
    snprintf(path, sizeof(path), "%s/hakuban-rust-leaf", place->options.rust);
    /* Without our parameters; nodelay, or each of their channels waits 40 ms for an
     * acknowledgement. */
    snprintf(plain, sizeof(plain), "%.*s#nodelay=true", (int)strcspn(url, "#"), url);
    va_start(more, work);
    for (const char *word = va_arg(more, const char *); word && count < 11;
         word = va_arg(more, const char *)) {
        words[count++] = word;
    }
    va_end(more);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(in, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    pid_t pid = bench_fork(ends);
    if (pid == 0) {
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0) {
            _exit(1);
        }
        execv(path, (char *const *)words);
        bench_die("%s: %s", path, strerror(errno));
    }
    close(in[0]);
    close(out[1]);
    *ret = (rust_client){pid, fdopen(out[0], "r"), fdopen(in[1], "w")};
    if (!ret->said || !ret->told) {
        bench_die("out of memory");
    }
}

/* The number behind key, or 0 for a key without one; lines before it are passed over. */
static double rust_says(rust_client *client, const char *key)
{
    char line[256];
    size_t bytes = strlen(key);
    while (fgets(line, sizeof(line), client->said)) {
        if (strncmp(line, key, bytes) == 0 && (line[bytes] == ' ' || line[bytes] == '\n')) {
            return line[bytes] == ' ' ? strtod(line + bytes, NULL) : 0;
        }
    }
    bench_die("the Rust clients ended without a figure of %s", key);
}

static void rust_goes_on(rust_client *client)
{
    fputc('\n', client->told);
    fflush(client->told);
}

static void rust_end(rust_client *client)
{
    bench_join(BENCH_PATIENCE_NS); /* it has said everything */
    fclose(client->said);
    fclose(client->told);
}

static const char *number(char *room, size_t size, uint64_t value)
{
    snprintf(room, size, "%llu", (unsigned long long)value);
    return room;
}

/* -- The work -- */

typedef struct ping_figures {
    double per_s, p50_us, p99_us;
} ping_figures;

/* A and B, each a program. */
static ping_figures rust_ping(const peer_place *place, const bench_options *options)
{
    bench_router router;
    rust_client a, b;
    char bytes[24], count[24];
    number(bytes, sizeof(bytes), options->bytes);
    number(count, sizeof(count), options->count);
    bench_router_start(options, &router);
    rust_start(place, router.url, &b, "answer", bytes, NULL);
    rust_start(place, router.url, &a, "ping", bytes, count, NULL);
    ping_figures figures = {.per_s = rust_says(&a, "round_trips_per_s")};
    figures.p50_us = rust_says(&a, "p50_us");
    figures.p99_us = rust_says(&a, "p99_us");
    rust_end(&a);
    bench_kill(b.pid);
    fclose(b.said);
    fclose(b.told);
    bench_router_stop(&router);
    return figures;
}

static ping_figures any_ping(const peer_place *place, const bench_options *options)
{
    bench_report report;
    if (place->clients == THEIRS) {
        return rust_ping(place, options);
    }
    bench_ping_measure(&report, options);
    return (ping_figures){bench_report_median(&report, "round_trips_per_s", false),
                          bench_report_median(&report, "p50_us", false),
                          bench_report_median(&report, "p99_us", false)};
}

/* On one CPU: spread over two, it is the scheduler's wake-ups that are measured. */
static void ping(peer_run *p, const peer_place *place)
{
    bench_options options = place->options;
    cpu_set_t before, one;
    options.bytes = 64;
    options.count = p->given->count;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(before), &before) != 0) {
        bench_die("CPUs: %s", strerror(errno));
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
        }
    }
    (void)sched_setaffinity(0, sizeof(one), &one);
    ping_figures figures = any_ping(place, &options);
    (void)sched_setaffinity(0, sizeof(before), &before);
    put(p, place, PING, figures.per_s);
    put(p, place, PING_P99, figures.p99_us);
}

static void large(peer_run *p, const peer_place *place)
{
    bench_options options = place->options;
    options.bytes = LARGE_BYTES;
    options.count = LARGE_COUNT;
    put(p, place, LARGE, any_ping(place, &options).p50_us / 2 / 1000);
}

static void flood(peer_run *p, const peer_place *place)
{
    bench_options options = place->options;
    options.bytes = FLOOD_BYTES;
    options.objects = options.window = FLOOD_OBJECTS;
    options.burst = FLOOD_BURST;
    options.observers = p->given->observers;
    options.seconds = p->given->seconds;
    if (place->clients == OURS) {
        bench_report report;
        bench_flood_measure(&report, &options);
        put(p, place, FLOOD, bench_report_median(&report, "states_per_s", false));
        put(p, place, SKIPPED, bench_report_median(&report, "skipped", false));
        return;
    }
    bench_router router;
    rust_client client;
    char bytes[24], objects[24], observers[24], seconds[24];
    snprintf(seconds, sizeof(seconds), "%.3f", options.seconds);
    bench_router_start(&options, &router);
    rust_start(place, router.url, &client, "flood", number(bytes, sizeof(bytes), options.bytes),
               number(objects, sizeof(objects), options.objects),
               number(observers, sizeof(observers), options.observers), seconds, NULL);
    put(p, place, FLOOD, rust_says(&client, "states_per_s"));
    put(p, place, SKIPPED, rust_says(&client, "skipped"));
    rust_end(&client);
    bench_router_stop(&router);
}

static void objects(peer_run *p, const peer_place *place)
{
    bench_options options = place->options;
    double count = (double)p->given->objects, object_bytes, join_ms;
    options.bytes = 64;
    options.objects = p->given->objects;
    if (place->clients == OURS) {
        bench_report report;
        bench_objects_measure(&report, &options);
        object_bytes = bench_report_median(&report, "router_bytes_per_object", false);
        join_ms = bench_report_median(&report, "join_ms", false);
    } else {
        bench_router router;
        rust_client client;
        char text[24];
        bench_router_start(&options, &router);
        uint64_t before = bench_process_rss_bytes(router.pid);
        rust_start(place, router.url, &client, "objects", "64",
                   number(text, sizeof(text), options.objects), NULL);
        rust_says(&client, "ready");
        bench_sleep_ns(300000000);
        object_bytes = ((double)bench_process_rss_bytes(router.pid) - (double)before) / count;
        rust_goes_on(&client);
        join_ms = rust_says(&client, "join_ms");
        rust_end(&client);
        bench_router_stop(&router);
    }
    put(p, place, OBJECT_BYTES, object_bytes);
    put(p, place, JOIN, count / join_ms * 1000);
}

typedef struct idle_shared {
    bench_router router;
    _Atomic uint32_t open, enough;
} idle_shared;

static void idle_clients(void *memory, unsigned index)
{
    idle_shared *shared = memory;
    static bench_node nodes[IDLE_COUNT];
    (void)index;
    for (size_t i = 0; i < IDLE_COUNT; i++) {
        bench_node_open(&nodes[i], shared->router.url);
    }
    atomic_store(&shared->open, 1);
    while (!atomic_load(&shared->enough)) {
        bench_sleep_ns(1000000);
    }
}

static void idle(peer_run *p, const peer_place *place)
{
    idle_shared *shared = bench_share(sizeof(*shared));
    rust_client client;
    char count[24];
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    bench_router_start(&place->options, &shared->router);
    uint64_t before = bench_process_rss_bytes(shared->router.pid);
    if (place->clients == OURS) {
        bench_spawn(idle_clients, shared, 0);
        while (!atomic_load(&shared->open)) {
            bench_sleep_ns(1000000);
            if (bench_now_ns() > until) {
                bench_die("idle: the clients do not connect");
            }
        }
    } else {
        rust_start(place, shared->router.url, &client, "idle",
                   number(count, sizeof(count), IDLE_COUNT), NULL);
        rust_says(&client, "ready");
    }
    bench_sleep_ns(300000000);
    uint64_t after = bench_process_rss_bytes(shared->router.pid);
    put(p, place, IDLE_BYTES, ((double)after - (double)before) / IDLE_COUNT);
    if (place->clients == OURS) {
        atomic_store(&shared->enough, 1);
        bench_join(BENCH_PATIENCE_NS);
    } else {
        rust_goes_on(&client);
        rust_end(&client);
    }
    bench_router_stop(&shared->router);
    bench_unshare(shared, sizeof(*shared));
}

static const struct {
    const char *name;
    void (*run)(peer_run *p, const peer_place *place);
    int first, last; /* metrics */
} works[] = {{"ping", ping, PING, PING_P99},
             {"large", large, LARGE, LARGE},
             {"flood", flood, FLOOD, SKIPPED},
             {"objects", objects, JOIN, OBJECT_BYTES},
             {"idle", idle, IDLE_BYTES, IDLE_BYTES}};

enum { WORK_COUNT = sizeof(works) / sizeof(works[0]) };

static bool work_wanted(const bench_options *options, size_t work)
{
    return !options->work || strcmp(options->work, works[work].name) == 0;
}

bool bench_peer_has_work(const char *name)
{
    bench_options options = {.work = name};
    for (size_t i = 0; i < WORK_COUNT; i++) {
        if (work_wanted(&options, i)) {
            return true;
        }
    }
    return false;
}

/* -- What is told -- */

/* How many times as good as their router with their clients; NAN where a figure is missing. */
static double times(const peer_metric *metric, const double values[2][2], int clients)
{
    double theirs = values[THEIRS][THEIRS], ours = values[OURS][clients];
    return metric->less_is_better ? theirs / ours : ours / theirs;
}

static void print_cell(double value, int decimals)
{
    if (isfinite(value)) {
        printf(" %11.*f", decimals, value);
    } else {
        printf(" %11s", "-");
    }
}

static void print_row(const peer_metric *metric, const double values[2][2])
{
    printf("%-36s", metric->title);
    for (int router = THEIRS; router <= OURS; router++) {
        for (int clients = THEIRS; clients <= OURS; clients++) {
            print_cell(values[router][clients], metric->decimals);
        }
    }
    if (metric->target[0]) {
        print_cell(times(metric, values, THEIRS), 2);
        print_cell(times(metric, values, OURS), 2);
    }
    printf("%s%s\n", metric->target[0] ? "  " : "", metric->target);
}

static void json_value(const char *before, double value, int decimals)
{
    if (isfinite(value)) {
        printf("%s%.*f", before, decimals, value);
    } else {
        printf("%snull", before);
    }
}

static void print_json(const peer_metric *metric, const double values[2][2], const char *separator)
{
    printf("%s\"%s\":{", separator, metric->key);
    json_value("\"rust_router_rust_clients\":", values[THEIRS][THEIRS], metric->decimals);
    json_value(",\"rust_router\":", values[THEIRS][OURS], metric->decimals);
    json_value(",\"rust_clients\":", values[OURS][THEIRS], metric->decimals);
    json_value(",\"ours\":", values[OURS][OURS], metric->decimals);
    json_value(",\"ratio_rust_clients\":", times(metric, values, THEIRS), 3);
    json_value(",\"ratio\":", times(metric, values, OURS), 3);
    putchar('}');
}

static void print_all(peer_run *p)
{
    const bench_options *given = p->given;
    const char *separator = "";
    printf("peer rust: %s %s %s, observers %llu, objects %llu, runs %llu, CPUs %s; medians\n",
           given->transport, given->serializer, given->compressor,
           (unsigned long long)given->observers, (unsigned long long)given->objects,
           (unsigned long long)given->runs, given->cpus ? given->cpus : "all");
    printf("%-36s %23s %23s %23s\n", "", "Rust router", "our router", "times as good");
    printf("%-36s %11s %11s %11s %11s %11s %11s  %s\n", "with clients of", "theirs", "ours",
           "theirs", "ours", "theirs", "ours", "to reach");
    if (given->json) {
        fflush(stdout);
    }
    double medians[PEER_METRICS][2][2];
    for (int metric = 0; metric < PEER_METRICS; metric++) {
        for (int cell = 0; cell < 4; cell++) {
            medians[metric][cell / 2][cell % 2] =
                bench_percentile(p->values[metric][cell / 2][cell % 2], (size_t)given->runs, 50);
        }
    }
    for (size_t work = 0; work < WORK_COUNT; work++) {
        for (int i = works[work].first; work_wanted(given, work) && i <= works[work].last; i++) {
            print_row(&metrics[i], (const double(*)[2])medians[i]);
        }
    }
    if (!given->json) {
        return;
    }
    printf("{\"command\":\"peer\",\"peer\":\"rust\",");
    for (size_t work = 0; work < WORK_COUNT; work++) {
        for (int i = works[work].first; work_wanted(given, work) && i <= works[work].last; i++) {
            print_json(&metrics[i], (const double(*)[2])medians[i], separator);
            separator = ",";
        }
    }
    printf("}\n");
}

/* What is ours speaks to what is theirs where it has WebSocket. */
static void find_out_what_is_able(peer_run *p)
{
    bench_features transports;
    bench_features_of("transports", &transports);
    bool websocket = bench_features_have(&transports, "ws", 2);
    p->able[THEIRS][THEIRS] = p->able[OURS][OURS] = true;
    p->able[THEIRS][OURS] = p->able[OURS][THEIRS] = websocket;
}

static void run_one(peer_run *p, size_t work, int router, int clients)
{
    static const char *const names[] = {"Rust", "our"};
    peer_place place = {router, clients, *p->given};
    place.options.command = "peer";
    place.options.runs = 1;
    place.options.with_raw = false;
    place.options.theirs = router == THEIRS;
    if (router == OURS && clients == THEIRS) {
        place.options.bind = "ws://127.0.0.1:0";
    }
    fprintf(stderr, "peer: run %u of %llu: %s, %s router, %s clients\n", p->run + 1,
            (unsigned long long)p->given->runs, works[work].name, names[router], names[clients]);
    works[work].run(p, &place);
}

void bench_peer(const bench_options *options)
{
    static peer_run p;
    p.given = options;
    find_out_what_is_able(&p);
    for (p.run = 0; p.run < options->runs; p.run++) {
        for (int cell = 0; cell < PEER_METRICS * 4; cell++) {
            p.values[cell / 4][cell / 2 % 2][cell % 2][p.run] = NAN;
        }
        for (size_t work = 0; work < WORK_COUNT; work++) {
            for (int cell = 0; work_wanted(options, work) && cell < 4; cell++) {
                if (p.able[cell / 2][cell % 2]) {
                    run_one(&p, work, cell / 2, cell % 2);
                }
            }
        }
    }
    print_all(&p);
}
