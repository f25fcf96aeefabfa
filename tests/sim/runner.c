/* See runner.h. A child writes what it finds into a page that it shares with its parent, and exits.
 */
#define _GNU_SOURCE
#include "runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define HANG_S 120 /* of one history; they take milliseconds */
#define SHRINK_S 60.0
#define SHRINK_TRIES_MAX 1500

typedef struct page {
    uint64_t seed; /* played now */
    bool violated;
    char text[2048];
    sim_result sum;
    uint64_t converged_max_ns;
} page;

static page *current; /* the child's */

double run_clock_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

uint64_t run_fresh_seed(void)
{
    return (uint64_t)time(NULL) * 1000000;
}

/* -- In the child -- */

static void on_violation(const char *text)
{
    snprintf(current->text, sizeof(current->text), "%s", text);
    current->violated = true;
    fflush(NULL);
    _exit(1);
}

static void add(page *to, const sim_result *result)
{
    to->sum.simulated_ns += result->simulated_ns;
    to->sum.converged_ns += result->converged_ns;
    to->sum.published += result->published;
    to->sum.delivered += result->delivered;
    to->sum.histories += result->histories;
    to->sum.short_outages += result->short_outages;
    to->sum.long_outages += result->long_outages;
    to->sum.hand_overs += result->hand_overs;
    to->sum.isolations += result->isolations;
    to->sum.limit_ends += result->limit_ends;
    to->sum.sessions_kept += result->sessions_kept;
    for (int kind = 0; kind < PLAN_KIND_COUNT; kind++) {
        to->sum.injected[kind] += result->injected[kind];
    }
    if (result->converged_ns > to->converged_max_ns) {
        to->converged_max_ns = result->converged_ns;
    }
}

static void play_seeds(page *shared, const run_order *order, unsigned job)
{
    sim_plan plan;
    sim_result result, again;
    double end_s = run_clock_s() + (double)order->until_s;
    for (uint64_t i = job; i < order->count; i += order->jobs) {
        if (order->until_s && run_clock_s() > end_s) {
            return;
        }
        shared->seed = order->first + i;
        alarm(HANG_S);
        plan_draw(shared->seed, &plan);
        sim_play(&plan, NULL, false, &result);
        sim_play_isolated(&plan, NULL, false, &result);
        if (order->twice_every && shared->seed % order->twice_every == 0) {
            sim_play(&plan, NULL, false, &again);
            NET_MUST(again.trace_hash == result.trace_hash,
                     "I16 determinism: played twice, the history is not the same");
        }
        add(shared, &result);
    }
}

/* -- In the parent -- */

static page *share_pages(size_t count)
{
    page *pages = mmap(NULL, count * sizeof(*pages), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return pages;
}

static pid_t begin_child(page *shared)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(2);
    }
    if (child == 0) {
        current = shared;
        net_on_violation = on_violation;
    }
    return child;
}

/* What the end of a child means. */
static void judge(const page *shared, int status, run_verdict *ret)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return;
    }
    ret->failed = true;
    ret->seed = shared->seed;
    if (shared->violated) {
        memcpy(ret->text, shared->text, sizeof(ret->text));
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        snprintf(ret->text, sizeof(ret->text), "I9 no crash: one history took more than %d s",
                 HANG_S);
    } else if (WIFSIGNALED(status)) {
        snprintf(ret->text, sizeof(ret->text), "I9 no crash: it died of signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(ret->text, sizeof(ret->text), "I9 no crash: it ended with code %d",
                 WEXITSTATUS(status));
    }
}

void run_seeds(const run_order *order, run_verdict *ret)
{
    pid_t children[JOBS_MAX];
    run_order mine = *order;
    mine.jobs = mine.jobs < 1 ? 1 : mine.jobs > JOBS_MAX ? JOBS_MAX : mine.jobs;
    page *pages = share_pages(mine.jobs);
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < mine.jobs; i++) {
        children[i] = begin_child(&pages[i]);
        if (children[i] == 0) {
            play_seeds(&pages[i], &mine, i);
            _exit(0);
        }
    }
    for (unsigned left = mine.jobs; left; left--) {
        int status;
        pid_t child = wait(&status);
        unsigned i = 0;
        while (i + 1 < mine.jobs && children[i] != child) {
            i++;
        }
        children[i] = 0;
        if (ret->failed) {
            continue; /* the others were told to stop */
        }
        judge(&pages[i], status, ret);
        for (unsigned k = 0; ret->failed && k < mine.jobs; k++) {
            if (children[k]) {
                kill(children[k], SIGKILL);
            }
        }
    }
    page sum = {0};
    for (unsigned i = 0; i < mine.jobs; i++) {
        add(&sum, &pages[i].sum);
        if (pages[i].converged_max_ns > ret->converged_max_ns) {
            ret->converged_max_ns = pages[i].converged_max_ns;
        }
    }
    ret->sum = sum.sum;
    munmap(pages, mine.jobs * sizeof(*pages));
}

void run_plan(const sim_plan *plan, const bool *kept, bool trace, run_verdict *ret)
{
    int status;
    page *shared = share_pages(1);
    memset(ret, 0, sizeof(*ret));
    shared->seed = plan->seed;
    pid_t child = begin_child(shared);
    if (child == 0) {
        sim_result result;
        if (!trace && !freopen("/dev/null", "w", stderr)) {
            _exit(3);
        }
        alarm(HANG_S);
        sim_play(plan, kept, trace, &result);
        sim_play_isolated(plan, kept, trace, &result);
        add(shared, &result);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        ;
    judge(shared, status, ret);
    ret->sum = shared->sum;
    ret->converged_max_ns = shared->converged_max_ns;
    munmap(shared, sizeof(*shared));
}

/* -- Shrinking: delta debugging over the actions -- */

/* The same promise, whatever the words after it. */
static bool same_failure(const run_verdict *a, const run_verdict *b)
{
    size_t bytes = strcspn(a->text, ":");
    return b->failed && strncmp(a->text, b->text, bytes) == 0;
}

/* Tries without the kept actions number from to from + count. */
static bool try_without(const sim_plan *plan, const run_verdict *failure, bool *kept, size_t from,
                        size_t count)
{
    bool tried[PLAN_ACTIONS_MAX];
    run_verdict verdict;
    size_t number = 0, removed = 0;
    memcpy(tried, kept, sizeof(tried));
    for (size_t i = 0; i < plan->action_count; i++) {
        if (!kept[i]) {
            continue;
        }
        if (number >= from && number < from + count) {
            tried[i] = false;
            removed++;
        }
        number++;
    }
    if (removed == 0) {
        return false;
    }
    run_plan(plan, tried, false, &verdict);
    if (!same_failure(failure, &verdict)) {
        return false;
    }
    memcpy(kept, tried, sizeof(tried));
    return true;
}

static size_t count_kept(const sim_plan *plan, const bool *kept)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->action_count; i++) {
        count += kept[i];
    }
    return count;
}

unsigned run_shrink(const sim_plan *plan, const run_verdict *failure, bool *kept)
{
    unsigned tries = 0;
    double end_s = run_clock_s() + SHRINK_S;
    size_t piece = (count_kept(plan, kept) + 1) / 2;
    while (piece) {
        bool shorter = false;
        /* From the end: what comes late is rarely what began it. */
        size_t pieces = (count_kept(plan, kept) + piece - 1) / piece;
        for (size_t i = pieces; i-- > 0;) {
            if (++tries > SHRINK_TRIES_MAX || run_clock_s() > end_s) {
                return tries;
            }
            shorter |= try_without(plan, failure, kept, i * piece, piece);
        }
        if (!shorter || piece > 1) {
            piece /= 2;
        }
    }
    return tries;
}
