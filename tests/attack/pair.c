/* The good pair, with the public interface of the library. */
#define _GNU_SOURCE

#include "pair.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "client.h"

#define ROUNDS_MAX (1u << 20)
#define ROUND_US 5000

/* Shared with the process of the pair, which writes it. */
typedef struct rounds {
    _Atomic size_t count;
    _Atomic int64_t begun_us; /* of the round that is under way; 0: none */
    uint32_t took_us[ROUNDS_MAX];
} rounds;

struct pair {
    pid_t pid;
    size_t taken;
    rounds *shared;
};

static hakuban_contract *contract_on(hakuban_exchange *exchange, int exposes)
{
    hakuban_descriptor *object = NULL;
    hakuban_contract *contract = NULL;
    int good = hakuban_descriptor_new(NULL, "\"the good pair\"", NULL, 0, &object, NULL) >= 0 &&
               (exposes ? hakuban_expose_object(exchange, object, NULL, &contract)
                        : hakuban_observe_object(exchange, object, NULL, &contract)) >= 0;
    (void)hakuban_descriptor_unref(object);
    return good ? contract : NULL;
}

static hakuban_exchange *exchange_on(const char *url)
{
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    int good = hakuban_exchange_new(NULL, &exchange) >= 0 &&
               hakuban_exchange_connect(exchange, url, NULL, &connection, NULL) >= 0 &&
               hakuban_connection_wait(connection, 10000, NULL) >= 0;
    return good ? exchange : NULL;
}

/* Until the state of the round is seen, however long that takes. */
static void play(rounds *p, hakuban_contract *reader, hakuban_contract *writer)
{
    hakuban_sink *sink = NULL;
    hakuban_event event;
    char text[32];
    for (unsigned long round = 1;; round++) {
        int seen = 0;
        int64_t begin_us = clock_us();
        (void)snprintf(text, sizeof(text), "%lu", round);
        atomic_store(&p->begun_us, begin_us);
        while (!seen) {
            while (hakuban_contract_next(writer, sink ? 0 : 1000, &event) >= 0) {
                if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
                    (void)hakuban_sink_unref(sink);
                    sink = hakuban_sink_ref(event.sink);
                }
                hakuban_event_done(&event);
            }
            if (sink && hakuban_sink_send_json(sink, text, NULL) == HAKUBAN_ERR_REVOKED) {
                sink = hakuban_sink_unref(sink);
            }
            while (!seen && hakuban_contract_next(reader, 1000, &event) >= 0) {
                hakuban_slice data = {NULL, 0};
                if (event.kind == HAKUBAN_EVENT_STATE) {
                    data = hakuban_state_data(event.state);
                }
                seen = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
                hakuban_event_done(&event);
            }
        }
        int64_t took_us = clock_us() - begin_us;
        atomic_store(&p->begun_us, 0);
        p->took_us[atomic_load(&p->count) % ROUNDS_MAX] = (uint32_t)took_us;
        atomic_fetch_add(&p->count, 1);
        if (took_us < ROUND_US) {
            struct timespec pause = {.tv_nsec = (ROUND_US - took_us) * 1000};
            (void)nanosleep(&pause, NULL);
        }
    }
}

pair *pair_begin(const char *reader_url, const char *writer_url)
{
    pair *p = calloc(1, sizeof(*p));
    rounds *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = p && shared != MAP_FAILED ? fork() : -1;
    if (pid < 0) {
        fprintf(stderr, "attack: no pair: out of memory or processes\n");
        exit(1);
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        hakuban_exchange *here = exchange_on(reader_url), *there = exchange_on(writer_url);
        hakuban_contract *reader = here ? contract_on(here, 0) : NULL;
        hakuban_contract *writer = there ? contract_on(there, 1) : NULL;
        if (reader && writer) {
            play(shared, reader, writer);
        }
        _exit(1);
    }
    *p = (pair){.pid = pid, .shared = shared};
    return p;
}

static int compare(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

pair_figures pair_take(pair *p)
{
    pair_figures figures = {0};
    size_t end = atomic_load(&p->shared->count), count = end - p->taken;
    int64_t begun_us = atomic_load(&p->shared->begun_us);
    uint32_t *took_us = malloc((count + 1) * sizeof(*took_us));
    if (!took_us) {
        return figures;
    }
    for (size_t i = 0; i < count; i++) {
        took_us[i] = p->shared->took_us[(p->taken + i) % ROUNDS_MAX];
    }
    /* A round that has not ended counts as long as it has lasted. */
    if (begun_us && (count == 0 || clock_us() - begun_us > 50000)) {
        took_us[count++] = (uint32_t)(clock_us() - begun_us);
    }
    p->taken = end;
    qsort(took_us, count, sizeof(*took_us), compare);
    figures.count = count;
    if (count) {
        figures.p50_ms = took_us[count / 2] / 1000.0;
        figures.p99_ms = took_us[count * 99 / 100] / 1000.0;
        figures.max_ms = took_us[count - 1] / 1000.0;
    }
    free(took_us);
    return figures;
}

void pair_end(pair *p)
{
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)munmap(p->shared, sizeof(*p->shared));
    free(p);
}
