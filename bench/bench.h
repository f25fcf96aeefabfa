/* What the sub-commands of hakuban-bench share: options, processes, shared memory, states whose
 * content is checked, figures and their report. Knows no sub-command's pattern. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <hakuban/hakuban.h>

#define BENCH_RUNS_MAX 99
#define BENCH_OBSERVERS_MAX 256 /* of which each is a process */
#define BENCH_STUCK_OBSERVERS_MAX 10000
#define BENCH_STATE_BYTES_MIN 64
#define BENCH_STATE_BYTES_MAX (16u * 1024 * 1024)
#define BENCH_SECOND_NS UINT64_C(1000000000)
#define BENCH_PATIENCE_NS (60 * BENCH_SECOND_NS) /* a step that takes longer has failed */

typedef struct bench_options {
    const char *command;
    uint64_t runs, bytes, count, objects, exposers, observers, stuck, hubs, window, burst, rate;
    double seconds;
    /* Names of what was built in; never NULL once the options are read, but for matrix, which takes
     * NULL for all. */
    const char *transport, *serializer, *compressor;
    const char *bind;   /* where the router listens; NULL: where the transport usually does */
    const char *router; /* path of the program; NULL: beside this one */
    const char *cpus;   /* as given; NULL: anywhere */
    const char *rust;   /* --peer: the folder of the Rust programs */
    const char *work;   /* --peer: the only one to do; NULL: all */
    bool theirs;        /* the router is the Rust one */
    bool json, with_hakuban, with_raw;
} bench_options;

/* -- What was built in -- */

#define BENCH_FEATURES_MAX 8

typedef struct bench_features {
    size_t count;
    char names[BENCH_FEATURES_MAX][16];
} bench_features;

/* kind: transports (inproc is none between processes), serializers, compressors; the first is the
 * default. */
void bench_features_of(const char *kind, bench_features *ret);
bool bench_features_have(const bench_features *features, const char *name, size_t name_bytes);
/* unix sockets, with or without ZeroMQ */
bool bench_transport_is_local(const char *transport);

/* -- Processes -- */

typedef void (*bench_actor)(void *shared, unsigned index);

typedef struct bench_router {
    pid_t pid;
    bool theirs;
    char url[256]; /* with the parameters that the options ask for */
} bench_router;

/* Ends this process with status 1; the process that started it notices and ends the rest. */
_Noreturn void bench_die(const char *format, ...) HAKUBAN_PRINTF(1, 2);
void bench_check(hakuban_status status, const char *what);

/* Zeroed memory that forked processes share; ends with bench_unshare(). */
void *bench_share(size_t bytes);
void bench_unshare(void *memory, size_t bytes);

/* fork(2): 0 in the child. joined: bench_join() waits for it; else bench_kill() ends it. */
pid_t bench_fork(bool joined);
/* Runs actor in a process of its own, which ends when actor returns. */
pid_t bench_spawn(bench_actor actor, void *shared, unsigned index);
/* Waits until every spawned process has ended well; else ends the others and dies. */
void bench_join(uint64_t patience_ns);
/* A process that runs until it is killed. */
pid_t bench_spawn_stuck(bench_actor actor, void *shared, unsigned index);
void bench_kill(pid_t pid);
/* Stops everything spawned and started; also called at exit. */
void bench_stop_all(void);

void bench_router_start(const bench_options *options, bench_router *ret);
void bench_router_stop(bench_router *router);
/* Kills it and starts another in the same place. */
void bench_router_restart(const bench_options *options, bench_router *router);

uint64_t bench_process_cpu_ns(pid_t pid);
uint64_t bench_process_rss_bytes(pid_t pid);

uint64_t bench_now_ns(void);
void bench_sleep_ns(uint64_t ns);

/* -- A node of hakuban, driven by this thread -- */

typedef struct bench_node {
    hakuban_exchange *exchange;
    hakuban_connection *connection;
    hakuban_queue *queue;
} bench_node;

void bench_node_open(bench_node *node, const char *url);
/* False after timeout_ms without an event. */
bool bench_node_next(bench_node *node, int timeout_ms, hakuban_event *ret_event);
void bench_node_turn(bench_node *node);
hakuban_descriptor *bench_descriptor(const char *object_json, const char *tag_json);
void bench_send(hakuban_sink *sink, const char *text, size_t bytes);

/* -- States -- */

/* JSON text {"id":…,"n":…,"pad":"…"} of a given length in which one number changes. */

#define BENCH_STATE_PAD_AT 45 /* where "pad" begins */

typedef struct bench_state {
    char *text;
    size_t bytes;
} bench_state;

void bench_state_init(bench_state *state, size_t bytes);
void bench_state_done(bench_state *state);
void bench_state_set(bench_state *state, uint64_t id, uint64_t number);
/* Dies where data is not such a state. Looks at the numbers only, bench_state_verify() at every
 * byte. */
void bench_state_read(const void *data, size_t data_bytes, size_t bytes, uint64_t *ret_id,
                      uint64_t *ret_number);
void bench_state_verify(bench_state *scratch, const void *data, uint64_t id, uint64_t number);

/* -- Figures -- */

#define BENCH_HISTOGRAM_BUCKETS 200000

/* Microseconds, one bucket each; what is longer counts in the last. */
typedef struct bench_histogram {
    uint64_t count, max_ns;
    uint32_t buckets[BENCH_HISTOGRAM_BUCKETS];
} bench_histogram;

void bench_histogram_add(bench_histogram *histogram, uint64_t ns);
void bench_histogram_merge(bench_histogram *into, const bench_histogram *from);
double bench_histogram_percentile_us(const bench_histogram *histogram, double percent);

/* Sorts values. */
double bench_percentile(double *values, size_t count, double percent);

#define BENCH_METRICS_MAX 16
#define BENCH_PARAMETERS_MAX 8

typedef struct bench_metric {
    const char *key;   /* in --json */
    const char *title; /* in the table */
    int decimals;
    bool has_hakuban, has_raw;
    double hakuban[BENCH_RUNS_MAX], raw[BENCH_RUNS_MAX];
} bench_metric;

/* Figures of one sub-command, one value per run; medians are what is printed. */
typedef struct bench_report {
    const bench_options *options;
    const char *ratio_key; /* the metric whose ratio stands for the sub-command */
    const char *side_keys[2],
        *side_titles[2]; /* "hakuban" and "raw", unless a sub-command compares other things */
    unsigned run;
    unsigned metric_count, parameter_count;
    bench_metric metrics[BENCH_METRICS_MAX];
    struct {
        const char *key;
        double value;
    } parameters[BENCH_PARAMETERS_MAX];
} bench_report;

void bench_report_init(bench_report *report, const bench_options *options, const char *ratio_key);
void bench_report_parameter(bench_report *report, const char *key, double value);
/* The figure of the current run; the first call for a key makes its row. */
void bench_report_hakuban(bench_report *report, const char *key, const char *title, int decimals,
                          double value);
void bench_report_raw(bench_report *report, const char *key, const char *title, int decimals,
                      double value);
/* The median of one side; NAN where it was not measured. */
double bench_report_median(const bench_report *report, const char *key, bool raw);
void bench_report_print(bench_report *report);
void bench_progress(const bench_report *report, const char *what);
/* All of a sub-command that has no raw side: --runs times run(), with zeroed shared memory that
 * begins with a pointer to options. */
void bench_run_alone(const bench_options *options, const char *ratio_key, size_t shared_bytes,
                     void (*run)(bench_report *report, void *shared));

/* -- Sub-commands -- */

void bench_ping(const bench_options *options);
void bench_flood(const bench_options *options);
void bench_hot(const bench_options *options);
void bench_objects(const bench_options *options);
void bench_matrix(const bench_options *options);
void bench_peer(const bench_options *options);
bool bench_peer_has_work(const char *name);
void bench_stuck(const bench_options *options);
void bench_resume(const bench_options *options);
void bench_churn(const bench_options *options);
void bench_balance(const bench_options *options);

/* Without the printing. */
void bench_ping_measure(bench_report *report, const bench_options *options);
void bench_flood_measure(bench_report *report, const bench_options *options);
void bench_objects_measure(bench_report *report, const bench_options *options);

/* With options of their own; argv[0] is the sub-command. What main() returns, after words on stderr
 * where it is not 0. */
int bench_codec(int argc, char **argv);

#endif
