/* stuck: one object, very many observers, one of which is stopped half of the time. What the others
 * get meanwhile must not change: ages of their states with and without it, in turns within one run.
 * There is no raw side: the other side is the same router when no observer is stuck. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "bench.h"

enum {
    HOLD_MAX = 128, /* observers in one process */
    FREE = 0,       /* no observer is stuck */
    STUCK = 1,
    NO_SIDE_LOOKS = 2,
    SEGMENTS = 4,
    TURNS_MAX = 8
};

/* Those of one process. */
typedef struct stuck_seat {
    _Alignas(64) _Atomic uint64_t ready; /* observers that have a state */
    uint64_t states[2];
    bench_histogram ages[2];
} stuck_seat;

typedef struct stuck_shared {
    const bench_options *options;
    bench_router router;
    _Atomic uint32_t side, stopping; /* side: which histogram counts now */
    uint64_t sends[2], router_cpu_ns[2];
    unsigned seat_count;
    stuck_seat seats[]; /* the last one is the stuck observer's */
} stuck_shared;

/* -- The exposer -- */

/* Every state is new from end to end: what an observer does not take must be seen to pile up, if it
 * did. */
static void make_noise(bench_state *state, uint64_t number)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t random = number * UINT64_C(0x9e3779b97f4a7c15) | 1;
    bench_state_set(state, 0, number);
    for (size_t i = BENCH_STATE_PAD_AT; i < state->bytes - 2; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        state->text[i] = hex[random >> 60];
    }
}

static void stuck_exposer(void *memory, unsigned index)
{
    stuck_shared *shared = memory;
    bench_node node;
    bench_state state;
    hakuban_contract *contract;
    hakuban_sink *sink = NULL;
    (void)index;
    bench_node_open(&node, shared->router.url);
    bench_state_init(&state, shared->options->bytes);
    hakuban_contract_options options = {.size = sizeof(options), .queue = node.queue};
    hakuban_descriptor *descriptor = bench_descriptor("\"shared\"", NULL);
    bench_check(hakuban_expose_object(node.exchange, descriptor, &options, &contract), "expose");
    uint64_t period_ns = BENCH_SECOND_NS / shared->options->rate;
    uint64_t next_ns = bench_now_ns();
    while (!atomic_load(&shared->stopping)) {
        hakuban_event event;
        uint64_t now_ns = bench_now_ns();
        if (now_ns < next_ns) {
            if (!bench_node_next(&node, (int)((next_ns - now_ns) / 1000000) + 1, &event)) {
                continue;
            }
            if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
                sink = hakuban_sink_ref(event.sink);
            }
            hakuban_event_done(&event);
            continue;
        }
        next_ns += period_ns;
        if (sink) {
            uint32_t side = atomic_load(&shared->side);
            make_noise(&state, bench_now_ns());
            bench_send(sink, state.text, state.bytes);
            bench_node_turn(&node);
            if (side < NO_SIDE_LOOKS) {
                shared->sends[side]++;
            }
        }
    }
}

/* -- Observers -- */

typedef struct held {
    bench_node node;
    uint64_t last; /* the newest state's number */
} held;

static void open_held(stuck_shared *shared, held *h, bool is_stuck)
{
    char url[sizeof(shared->router.url) + 16];
    hakuban_contract *contract;
    /* A small window is soon full: then the router really has nowhere to send to. */
    snprintf(url, sizeof(url), "%s%s", shared->router.url, is_stuck ? ",window=16k" : "");
    bench_node_open(&h->node, url);
    hakuban_contract_options options = {.size = sizeof(options), .queue = h->node.queue};
    hakuban_descriptor *descriptor = bench_descriptor("\"shared\"", NULL);
    bench_check(hakuban_observe_object(h->node.exchange, descriptor, &options, &contract),
                "observe");
    hakuban_descriptor_unref(descriptor);
}

static void take_all(stuck_shared *shared, stuck_seat *seat, held *h)
{
    hakuban_event event;
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        bench_node_turn(&h->node);
        while (bench_node_next(&h->node, 0, &event)) {
            if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
                hakuban_slice data = hakuban_state_data(event.state);
                uint64_t now_ns = bench_now_ns(), id, made_ns;
                uint32_t side = atomic_load(&shared->side);
                bench_state_read(data.data, data.bytes, shared->options->bytes, &id, &made_ns);
                if (made_ns <= h->last) {
                    bench_die("stuck: a state came twice or an older one after a newer one");
                }
                if (h->last == 0) {
                    atomic_fetch_add(&seat->ready, 1);
                }
                h->last = made_ns;
                if (side < NO_SIDE_LOOKS) {
                    seat->states[side]++;
                    bench_histogram_add(&seat->ages[side], now_ns - made_ns);
                }
            }
            hakuban_event_done(&event);
        }
        if (hakuban_exchange_timeout_ms(h->node.exchange) != 0) {
            return;
        }
    }
}

static unsigned held_by(const stuck_shared *shared, unsigned index)
{
    if (index + 1 == shared->seat_count) {
        return 1;
    }
    uint64_t left = shared->options->observers - (uint64_t)index * HOLD_MAX;
    return left < HOLD_MAX ? (unsigned)left : HOLD_MAX;
}

static void stuck_observers(void *memory, unsigned index)
{
    stuck_shared *shared = memory;
    static held all[HOLD_MAX];
    struct epoll_event ready[HOLD_MAX];
    struct rlimit files;
    unsigned count = held_by(shared, index);
    uint64_t look_at_all_ns = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (unsigned i = 0; i < count; i++) {
        open_held(shared, &all[i], index + 1 == shared->seat_count);
        struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, hakuban_exchange_fd(all[i].node.exchange), &wanted)) {
            bench_die("stuck: epoll");
        }
    }
    while (!atomic_load(&shared->stopping)) {
        int found = epoll_wait(epoll, ready, HOLD_MAX, 100);
        for (int i = 0; i < found; i++) {
            take_all(shared, &shared->seats[index], &all[ready[i].data.u32]);
        }
        /* Nothing here has a timer that could not wait so long. */
        if (bench_now_ns() > look_at_all_ns) {
            look_at_all_ns = bench_now_ns() + BENCH_SECOND_NS;
            for (unsigned i = 0; i < count; i++) {
                take_all(shared, &shared->seats[index], &all[i]);
            }
        }
    }
}

/* -- Figures -- */

static void wait_for_all(stuck_shared *shared)
{
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    for (unsigned i = 0; i < shared->seat_count; i++) {
        while (atomic_load(&shared->seats[i].ready) < held_by(shared, i)) {
            if (bench_now_ns() > until) {
                bench_die("stuck: an observer got nothing");
            }
            bench_sleep_ns(1000000);
        }
    }
}

/* In the order free, stuck, stuck, free, so that a machine that gets slower or faster does so for
 * both. */
static void play(stuck_shared *shared, pid_t stuck)
{
    static const uint32_t sides[SEGMENTS] = {FREE, STUCK, STUCK, FREE};
    uint64_t segment_ns = (uint64_t)(shared->options->seconds * 1e9) / 2;
    for (int i = 0; i < SEGMENTS; i++) {
        kill(stuck, sides[i] == STUCK ? SIGSTOP : SIGCONT);
        bench_sleep_ns(segment_ns); /* as long again, until its window is full, or empty again */
        uint64_t cpu_ns = bench_process_cpu_ns(shared->router.pid);
        atomic_store(&shared->side, sides[i]);
        bench_sleep_ns(segment_ns);
        atomic_store(&shared->side, NO_SIDE_LOOKS);
        shared->router_cpu_ns[sides[i]] += bench_process_cpu_ns(shared->router.pid) - cpu_ns;
    }
}

typedef void (*stuck_report)(bench_report *report, const char *key, const char *title, int decimals,
                             double value);

static void tell(bench_report *report, const stuck_shared *shared, int side, stuck_report add,
                 double *ret_p50, double *ret_p99)
{
    bench_histogram *all = calloc(1, sizeof(*all));
    uint64_t states = 0;
    if (!all) {
        bench_die("out of memory");
    }
    for (unsigned i = 0; i + 1 < shared->seat_count; i++) {
        bench_histogram_merge(all, &shared->seats[i].ages[side]);
        states += shared->seats[i].states[side];
    }
    *ret_p50 = bench_histogram_percentile_us(all, 50);
    *ret_p99 = bench_histogram_percentile_us(all, 99);
    add(report, "age_p50_us", "age of what the others take p50, us", 1, *ret_p50);
    add(report, "age_p99_us", "age p99, us", 1, *ret_p99);
    add(report, "age_max_us", "age at most, us", 1, (double)all->max_ns / 1000);
    add(report, "states_per_s", "states/s seen by each", 2,
        (double)states / (double)shared->options->observers / shared->options->seconds);
    add(report, "sends_per_s", "states/s sent", 2,
        (double)shared->sends[side] / shared->options->seconds);
    add(report, "router_cpu_us", "router CPU per delivered state, us", 3,
        (double)shared->router_cpu_ns[side] / 1000 / (double)states);
    free(all);
}

static void run(bench_report *report, stuck_shared *shared)
{
    double p50[2], p99[2];
    bench_router_start(shared->options, &shared->router);
    for (unsigned i = 0; i + 1 < shared->seat_count; i++) {
        bench_spawn(stuck_observers, shared, i);
    }
    pid_t stuck = bench_spawn_stuck(stuck_observers, shared, shared->seat_count - 1);
    bench_spawn(stuck_exposer, shared, 0);
    wait_for_all(shared);
    play(shared, stuck);
    atomic_store(&shared->stopping, 1);
    bench_kill(stuck);
    bench_join(BENCH_PATIENCE_NS);
    tell(report, shared, STUCK, bench_report_hakuban, &p50[STUCK], &p99[STUCK]);
    tell(report, shared, FREE, bench_report_raw, &p50[FREE], &p99[FREE]);
    bench_report_hakuban(report, "p50_ratio", "ratio of p50 within a run", 3,
                         p50[STUCK] / p50[FREE]);
    bench_report_hakuban(report, "p99_ratio", "ratio of p99 within a run", 3,
                         p99[STUCK] / p99[FREE]);
    bench_report_hakuban(report, "rss_mib", "router memory at the end, MiB", 2,
                         (double)bench_process_rss_bytes(shared->router.pid) / 1048576);
    bench_router_stop(&shared->router);
}

void bench_stuck(const bench_options *options)
{
    bench_report report;
    unsigned seat_count = (unsigned)((options->observers + HOLD_MAX - 1) / HOLD_MAX) + 1;
    size_t shared_bytes = sizeof(stuck_shared) + seat_count * sizeof(stuck_seat);
    bench_report_init(&report, options, "age_p99_us");
    report.side_keys[0] = "stuck";
    report.side_keys[1] = "free";
    report.side_titles[0] = "one stuck";
    report.side_titles[1] = "none stuck";
    bench_report_parameter(&report, "observers", (double)options->observers);
    bench_report_parameter(&report, "bytes", (double)options->bytes);
    bench_report_parameter(&report, "rate", (double)options->rate);
    bench_report_parameter(&report, "seconds", options->seconds);
    for (report.run = 0; report.run < options->runs; report.run++) {
        stuck_shared *shared = bench_share(shared_bytes);
        shared->options = options;
        shared->seat_count = seat_count;
        atomic_store(&shared->side, NO_SIDE_LOOKS);
        bench_progress(&report, "hakuban");
        run(&report, shared);
        bench_unshare(shared, shared_bytes);
    }
    bench_report_print(&report);
}
