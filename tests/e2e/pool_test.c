/* A pool of twenty workers and two thousand jobs over a real router: each worker gets its part, and
 * then nothing moves. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "programs.h"

enum { WORKERS = 20, JOBS = 2000, PATIENCE_MS = 60000 };

typedef struct worker {
    hakuban_exchange *exchange;
    hakuban_connection *connection;
    hakuban_contract *contract;
    atomic_int has;   /* sinks now */
    atomic_int given; /* all that were opened */
} worker;

static worker workers[WORKERS];
static hakuban_contract *jobs[JOBS];

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static hakuban_exchange *join(const char *url, hakuban_connection **ret)
{
    hakuban_exchange *exchange = NULL;
    ck_assert_int_eq(hakuban_exchange_new(NULL, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_connect(exchange, url, NULL, ret, NULL), HAKUBAN_OK);
    return exchange;
}

static void on_event(void *user, hakuban_event *event)
{
    worker *w = user;
    if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        atomic_fetch_add(&w->has, 1);
        atomic_fetch_add(&w->given, 1);
        if (hakuban_sink_send_json(event->sink, "\"done\"", NULL) < 0) {
            return; /* taken away already */
        }
    } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE) {
        atomic_fetch_sub(&w->has, 1);
    }
}

static void hire(worker *w, const char *url)
{
    hakuban_contract_options options = {.size = sizeof(options), .on_event = on_event, .user = w};
    w->exchange = join(url, &w->connection);
    ck_assert_int_eq(hakuban_expose_tag(w->exchange, "\"job\"", &options, &w->contract, NULL),
                     HAKUBAN_OK);
}

static void dismiss(worker *w)
{
    hakuban_contract_free(w->contract);
    hakuban_connection_free(w->connection);
    hakuban_exchange_free(w->exchange);
    memset(w, 0, sizeof(*w));
}

static int given(void)
{
    int sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        sum += atomic_load(&workers[i].given);
    }
    return sum;
}

static int is_spread(int first)
{
    int sum = 0, ideal = JOBS / (WORKERS - first), good = 1;
    for (int i = first; i < WORKERS; i++) {
        int has = atomic_load(&workers[i].has);
        sum += has;
        good = good && abs(has - ideal) <= ideal / 10;
    }
    return good && sum == JOBS;
}

/* Waits for the spread, then for nothing to have moved for two seconds. */
static void await_rest(int first, const char *what)
{
    int64_t begin_ms = now_ms(), still_ms = begin_ms;
    int before = given(), last = before;
    while (!is_spread(first) || now_ms() - still_ms < 2000) {
        ck_assert_msg(now_ms() - begin_ms < PATIENCE_MS, "no rest: %d moves", last - before);
        usleep(10000);
        if (given() != last) {
            last = given();
            still_ms = now_ms();
        }
    }
    int least = JOBS, most = 0;
    for (int i = first; i < WORKERS; i++) {
        int has = atomic_load(&workers[i].has);
        least = has < least ? has : least;
        most = has > most ? has : most;
    }
    printf("%s: at rest after %lld ms, %d sinks opened, from %d to %d each\n", what,
           (long long)(still_ms - begin_ms), last - before, least, most);
}

START_TEST(twenty_workers_share_two_thousand_jobs)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    hakuban_connection *connection = NULL;
    hakuban_exchange *exchange = join(url, &connection);
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(exchange, &queue), HAKUBAN_OK);
    for (int i = 0; i < JOBS; i++) {
        char name[32];
        hakuban_descriptor *job = NULL;
        hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
        snprintf(name, sizeof(name), "{\"job\":%d}", i);
        ck_assert_int_eq(
            hakuban_descriptor_new(NULL, name, (const char *[]){"\"job\""}, 1, &job, NULL),
            HAKUBAN_OK);
        ck_assert_int_eq(hakuban_observe_object(exchange, job, &options, &jobs[i]), HAKUBAN_OK);
        hakuban_descriptor_unref(job);
    }
    for (int i = 0; i < WORKERS; i++) {
        hire(&workers[i], url);
    }
    await_rest(0, "twenty come");
    for (int i = 0; i < 5; i++) {
        dismiss(&workers[i]);
    }
    await_rest(5, "five leave");
    for (int i = 0; i < 5; i++) {
        hire(&workers[i], url);
    }
    await_rest(0, "five come back");
    for (int i = 0; i < WORKERS; i++) {
        dismiss(&workers[i]);
    }
    for (int i = 0; i < JOBS; i++) {
        hakuban_contract_free(jobs[i]);
    }
    hakuban_connection_free(connection);
    hakuban_queue_free(queue);
    hakuban_exchange_free(exchange);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("pool");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, twenty_workers_share_two_thousand_jobs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
