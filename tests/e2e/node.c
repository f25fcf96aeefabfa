/* Public headers only; the library drives. Five threads meet in one exchange: ours that reads
 * lines, one that takes events from a queue, two that make and free contracts, and the library's,
 * which runs callbacks. */
#define _GNU_SOURCE
#include "node.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

enum { CHURNERS = 2, CHURN_OBJECTS = 5, LINE_BYTES_MAX = 1 << 20 };

typedef struct node {
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    const char *tag;
    atomic_bool ending;
    pthread_mutex_t lock; /* of what follows: callbacks and our own thread */
    hakuban_sink *sink;
    char *newest;
} node;

/* A contract of the churners: frees itself in its own callback, or is freed by the code that made
 * it. */
typedef struct brief {
    pthread_mutex_t lock;
    hakuban_contract *contract;
    bool in_callback;
    atomic_bool freed;
} brief;

static void check(hakuban_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "node: ASSERT %s: %s\n", what, hakuban_status_text(status));
        exit(3);
    }
}

/* With the lock held. */
static void send_newest(node *n)
{
    if (n->sink && n->newest) {
        hakuban_status status = hakuban_sink_send_json(n->sink, n->newest, NULL);
        if (status != HAKUBAN_ERR_REVOKED) { /* SINK_CLOSE is on its way */
            check(status, "send");
        }
    }
}

static void on_expose(void *user, hakuban_event *event)
{
    node *n = user;
    pthread_mutex_lock(&n->lock);
    if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        hakuban_sink_unref(n->sink);
        n->sink = hakuban_sink_ref(event->sink);
        send_newest(n);
    } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE && n->sink == event->sink) {
        n->sink = hakuban_sink_unref(n->sink);
    }
    pthread_mutex_unlock(&n->lock);
}

/* -- What is observed -- */

static void print_event(const hakuban_event *event)
{
    static const char *const kinds[] = {"", "open", "state", "condition", "close"};
    printf("{\"event\":\"%s\",\"object\":%s", kinds[event->kind],
           hakuban_descriptor_json(event->object));
    if (event->kind != HAKUBAN_EVENT_CLOSE) {
        printf(",\"synchronized\":%s", event->freshness == HAKUBAN_LIVE ? "true" : "false");
    }
    if (event->kind == HAKUBAN_EVENT_STATE && event->state) {
        size_t count;
        const int64_t *version = hakuban_state_version(event->state, &count);
        hakuban_slice data = hakuban_state_data(event->state);
        for (size_t i = 0; i < count; i++) {
            printf("%s%lld", i == 0 ? ",\"version\":[" : ",", (long long)version[i]);
        }
        printf("],\"data\":%.*s", (int)data.bytes, (const char *)data.data);
    }
    puts("}");
    fflush(stdout);
}

static void *take_events(void *user)
{
    node *n = user;
    hakuban_event event;
    while (!atomic_load(&n->ending)) {
        if (hakuban_queue_next(n->queue, 100, &event) != HAKUBAN_OK) {
            continue;
        }
        if (event.kind <= HAKUBAN_EVENT_CLOSE) {
            print_event(&event);
        }
        hakuban_event_done(&event);
    }
    return NULL;
}

/* -- Contracts that come and go -- */

static void free_brief(brief *b)
{
    pthread_mutex_lock(&b->lock);
    hakuban_contract *contract = b->contract;
    b->contract = NULL;
    pthread_mutex_unlock(&b->lock);
    hakuban_contract_free(contract);
}

static void on_brief(void *user, hakuban_event *event)
{
    brief *b = user;
    if (event->kind == HAKUBAN_EVENT_STATE && b->in_callback) {
        free_brief(b);
    }
}

static void on_brief_freed(void *user)
{
    atomic_store(&((brief *)user)->freed, true);
}

static void *churn(void *user)
{
    node *n = user;
    unsigned dice = (unsigned)(uintptr_t)pthread_self();
    while (!atomic_load(&n->ending)) {
        brief b = {.lock = PTHREAD_MUTEX_INITIALIZER};
        char json[32];
        hakuban_descriptor *descriptor;
        hakuban_contract *made;
        dice = dice * 1664525u + 1013904223u;
        b.in_callback = dice >> 31;
        hakuban_contract_options options = {
            .size = sizeof(options), .on_event = on_brief, .on_freed = on_brief_freed, .user = &b};
        snprintf(json, sizeof(json), "{\"o\":%u}", (dice >> 16) % CHURN_OBJECTS);
        check(hakuban_descriptor_new(NULL, json, &n->tag, 1, &descriptor, NULL), "descriptor");
        pthread_mutex_lock(&b.lock); /* its callback may come before the call has returned */
        hakuban_status status =
            (dice >> 24) % 4 == 0
                ? hakuban_observe_tag(n->exchange, n->tag, &options, &made, NULL)
                : hakuban_observe_object(n->exchange, descriptor, &options, &made);
        b.contract = status == HAKUBAN_OK ? made : NULL;
        pthread_mutex_unlock(&b.lock);
        hakuban_descriptor_unref(descriptor);
        if (status == HAKUBAN_ERR_CLOSED) {
            break;
        }
        check(status, "observe");
        (void)usleep(1000 * (1 + (dice >> 8) % 64));
        free_brief(&b);
        while (!atomic_load(&b.freed)) {
            (void)usleep(200);
        }
        pthread_mutex_destroy(&b.lock);
    }
    return NULL;
}

/* -- Our own thread -- */

static void take_line(node *n, const char *line)
{
    pthread_mutex_lock(&n->lock);
    free(n->newest);
    n->newest = strdup(line);
    send_newest(n);
    pthread_mutex_unlock(&n->lock);
}

/* Until SIGTERM or the end of stdin. */
static void read_lines(node *n, int signals)
{
    static char buffer[LINE_BYTES_MAX];
    size_t bytes = 0;
    for (;;) {
        struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, -1) > 0 && fds[1].revents) {
            return;
        }
        ssize_t some = fds[0].revents ? read(0, buffer + bytes, sizeof(buffer) - 1 - bytes) : 0;
        if (some <= 0) {
            return;
        }
        bytes += (size_t)some;
        char *end;
        while ((end = memchr(buffer, '\n', bytes)) != NULL) {
            *end++ = '\0';
            take_line(n, buffer);
            bytes -= (size_t)(end - buffer);
            memmove(buffer, end, bytes);
        }
    }
}

static hakuban_contract *expose(node *n, const char *object)
{
    hakuban_descriptor *descriptor;
    hakuban_contract *contract;
    hakuban_contract_options options = {.size = sizeof(options), .on_event = on_expose, .user = n};
    check(hakuban_descriptor_new(NULL, object, &n->tag, 1, &descriptor, NULL), "descriptor");
    check(hakuban_expose_object(n->exchange, descriptor, &options, &contract), "expose");
    hakuban_descriptor_unref(descriptor);
    return contract;
}

int node_main(int argc, char **argv)
{
    static node n = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[1 + CHURNERS];
    hakuban_connection *connection;
    hakuban_contract *observed;
    hakuban_error error = {.status = HAKUBAN_OK};
    sigset_t mask;
    if (argc != 3) {
        return 2;
    }
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC);
    n.tag = argv[2];
    check(hakuban_exchange_new(NULL, &n.exchange), "exchange");
    check(hakuban_queue_new(n.exchange, &n.queue), "queue");
    check(hakuban_exchange_connect(n.exchange, argv[0], NULL, &connection, &error), error.text);
    hakuban_contract_options options = {.size = sizeof(options), .queue = n.queue};
    check(hakuban_observe_tag(n.exchange, n.tag, &options, &observed, NULL), "observe");
    hakuban_contract *exposed = expose(&n, argv[1]);
    for (int i = 0; i < 1 + CHURNERS; i++) {
        pthread_create(&threads[i], NULL, i == 0 ? take_events : churn, &n);
    }
    read_lines(&n, signals);

    atomic_store(&n.ending, true);
    for (int i = 0; i < 1 + CHURNERS; i++) {
        pthread_join(threads[i], NULL);
    }
    hakuban_status status = hakuban_exchange_close(n.exchange, -1);
    if (status != HAKUBAN_ERR_TIMEOUT) { /* the upstream may be frozen */
        check(status, "close");
    }
    hakuban_contract_free(exposed);
    hakuban_contract_free(observed);
    hakuban_queue_free(n.queue);
    hakuban_connection_free(connection);
    pthread_mutex_lock(&n.lock);
    n.sink = hakuban_sink_unref(n.sink);
    pthread_mutex_unlock(&n.lock);
    hakuban_exchange_free(n.exchange);
    free(n.newest);
    close(signals);
    return 0;
}
