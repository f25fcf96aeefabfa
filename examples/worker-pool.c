/* Work that spreads over the workers there are: three workers offer to produce any object with the
 * tag "job", a watcher asks for twelve of them. Each worker gets its share; then one is killed, and
 * the others take over what it had.
 *
 *     worker-pool URL
 *
 * Forks its workers itself. A real one is only the function worker(): run it on as many machines as
 * there are. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

enum { WORKERS = 3, JOBS = 12 };

static hakuban_exchange *node(const char *url, hakuban_connection **ret)
{
    hakuban_exchange *exchange = NULL;
    hakuban_error error = {.text = "out of memory"};
    if (hakuban_exchange_new(NULL, &exchange) < 0 ||
        hakuban_exchange_connect(exchange, url, NULL, ret, &error) < 0) {
        fprintf(stderr, "worker-pool: %s\n", error.text);
        exit(1);
    }
    return exchange;
}

/* Offers to do any job, and does those that it is given: it says its number as long as it is
 * chosen. */
static void worker(const char *url, int name)
{
    hakuban_connection *connection = NULL;
    hakuban_contract *offer = NULL;
    hakuban_event event;
    hakuban_exchange *exchange = node(url, &connection);
    if (hakuban_expose_tag(exchange, "\"job\"", NULL, &offer, NULL) < 0) {
        exit(1);
    }
    while (hakuban_contract_next(offer, -1, &event) >= 0) {
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            char text[64];
            snprintf(text, sizeof(text), "{\"worker\":%d}", name);
            if (hakuban_sink_send_json(event.sink, text, NULL) < 0) {
                fprintf(stderr, "worker %d: taken away already\n", name);
            }
        }
        hakuban_event_done(&event);
    }
    exit(0);
}

/* Which worker does which job: reads events until every job is LIVE and done by a worker other than
 * dead. */
static int watch(hakuban_queue *queue, const int *numbers, int dead)
{
    static int done_by[JOBS];
    for (;;) {
        int settled = 0, share[WORKERS + 1] = {0};
        for (int i = 0; i < JOBS; i++) {
            settled += done_by[i] != 0 && done_by[i] != dead;
            share[done_by[i]]++;
        }
        if (settled == JOBS && (dead || (share[1] && share[2] && share[3]))) {
            for (int i = 1; i <= WORKERS; i++) {
                printf("worker %d does %d of %d jobs\n", i, share[i], JOBS);
            }
            fflush(stdout);
            return 1;
        }
        hakuban_event event;
        if (hakuban_queue_next(queue, 20000, &event) < 0) {
            fprintf(stderr, "worker-pool: nothing happens\n");
            return 0;
        }
        if (event.kind == HAKUBAN_EVENT_STATE) {
            hakuban_slice data = hakuban_state_data(event.state);
            int worker = 0;
            char text[64] = "";
            memcpy(text, data.data, data.bytes < sizeof(text) ? data.bytes : sizeof(text) - 1);
            if (sscanf(text, "{\"worker\":%d}", &worker) == 1 && worker >= 1 && worker <= WORKERS) {
                done_by[(const int *)event.user - numbers] = worker;
            }
        }
        hakuban_event_done(&event);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: worker-pool URL\n", stderr);
        return 2;
    }
    /* Fork first: an exchange has a thread, and threads do not survive a fork. */
    pid_t workers[WORKERS + 1] = {0};
    for (int i = 1; i <= WORKERS; i++) {
        workers[i] = fork();
        if (workers[i] == 0) {
            worker(argv[1], i);
        }
    }
    hakuban_connection *connection = NULL;
    hakuban_queue *queue = NULL;
    hakuban_exchange *exchange = node(argv[1], &connection);
    hakuban_contract *wanted[JOBS] = {NULL};
    int numbers[JOBS] = {0}; /* only their places matter: they tell events apart */
    int good = hakuban_queue_new(exchange, &queue) >= 0;
    for (int i = 0; i < JOBS && good; i++) {
        char name[32];
        hakuban_descriptor *job = NULL;
        hakuban_contract_options options = {
            .size = sizeof(options), .queue = queue, .user = &numbers[i]};
        snprintf(name, sizeof(name), "{\"job\":%d}", i);
        good =
            hakuban_descriptor_new(NULL, name, (const char *[]){"\"job\""}, 1, &job, NULL) >= 0 &&
            hakuban_observe_object(exchange, job, &options, &wanted[i]) >= 0;
        hakuban_descriptor_unref(job);
    }

    good = good && watch(queue, numbers, 0);
    if (good) {
        puts("killing worker 2");
        kill(workers[2], SIGKILL);
        good = watch(queue, numbers, 2);
    }

    for (int i = 1; i <= WORKERS; i++) {
        kill(workers[i], SIGKILL);
        (void)waitpid(workers[i], NULL, 0);
    }
    for (int i = 0; i < JOBS; i++) {
        hakuban_contract_free(wanted[i]);
    }
    hakuban_connection_free(connection);
    hakuban_queue_free(queue);
    hakuban_exchange_free(exchange);
    return good ? 0 : 1;
}
