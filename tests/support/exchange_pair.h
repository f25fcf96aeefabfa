/* For tests that use exchanges as a program would: one or two of them, driven by their own threads
 * or by the test, and bounded waiting for events. Public headers only. */
#ifndef TEST_EXCHANGE_PAIR_H
#define TEST_EXCHANGE_PAIR_H

#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "certificates.h"

#define PATIENCE_MS 20000 /* far more than anything takes, for slow machines and sanitizers */

typedef struct exchange_pair {
    hakuban_drive drive;
    hakuban_exchange *hub, *leaf; /* leaf may be NULL */
} exchange_pair;

static inline int64_t test_now_ms(void)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void test_log(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    fprintf(stderr, "# %s %d %s: %s\n", (const char *)ctx, (int)level, room, text);
}

static inline hakuban_exchange *exchange_make(hakuban_drive drive, const hakuban_alloc *alloc,
                                              const char *name)
{
    hakuban_exchange_options options = {.size = sizeof(options), .drive = drive, .alloc = alloc};
    char *copy = NULL;
    if (getenv("TEST_LOG")) {
        memcpy(&copy, &name, sizeof(copy));
        options.log = (hakuban_log){copy, test_log, HAKUBAN_LOG_DEBUG};
    }
    hakuban_exchange *exchange = NULL;
    ck_assert_int_eq(hakuban_exchange_new(&options, &exchange), HAKUBAN_OK);
    return exchange;
}

/* One step of a test that drives by hand; with threads of the library just a short wait. */
static inline void pair_step(const exchange_pair *pair, int timeout_ms)
{
    if (pair->drive == HAKUBAN_DRIVE_THREAD) {
        (void)poll(NULL, 0, timeout_ms < 2 ? timeout_ms : 2);
        return;
    }
    hakuban_exchange *exchanges[] = {pair->hub, pair->leaf};
    struct pollfd fds[2];
    nfds_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (!exchanges[i]) {
            continue;
        }
        int most = hakuban_exchange_timeout_ms(exchanges[i]);
        if (most >= 0 && most < timeout_ms) {
            timeout_ms = most;
        }
        fds[count].fd = hakuban_exchange_fd(exchanges[i]);
        fds[count++].events = POLLIN;
    }
    (void)poll(fds, count, timeout_ms);
    for (size_t i = 0; i < 2; i++) {
        if (exchanges[i]) {
            ck_assert_int_eq(hakuban_exchange_turn(exchanges[i]), HAKUBAN_OK);
        }
    }
}

/* The next event within timeout_ms, whichever thread drives. */
static inline hakuban_status pair_next(const exchange_pair *pair, hakuban_queue *queue,
                                       int timeout_ms, hakuban_event *ret)
{
    if (pair->drive == HAKUBAN_DRIVE_THREAD) {
        return hakuban_queue_next(queue, timeout_ms, ret);
    }
    int64_t until_ms = test_now_ms() + timeout_ms;
    for (;;) {
        hakuban_status status = hakuban_queue_next(queue, 0, ret);
        int64_t left_ms = until_ms - test_now_ms();
        if (status != HAKUBAN_ERR_TIMEOUT || left_ms <= 0) {
            return status;
        }
        pair_step(pair, (int)left_ms);
    }
}

/* Drops events until one of kind comes; it must come. */
static inline void pair_await(const exchange_pair *pair, hakuban_queue *queue,
                              hakuban_event_kind kind, hakuban_event *ret)
{
    for (;;) {
        hakuban_status status = pair_next(pair, queue, PATIENCE_MS, ret);
        ck_assert_msg(status == HAKUBAN_OK, "waiting for event %d: %s", (int)kind,
                      hakuban_status_text(status));
        if (ret->kind == kind) {
            return;
        }
        hakuban_event_done(ret);
    }
}

/* Waits for a state with exactly this text. */
static inline void pair_await_text(const exchange_pair *pair, hakuban_queue *queue,
                                   const char *text)
{
    for (;;) {
        hakuban_event event;
        hakuban_status status = pair_next(pair, queue, PATIENCE_MS, &event);
        ck_assert_msg(status == HAKUBAN_OK, "waiting for state %s: %s", text,
                      hakuban_status_text(status));
        bool found = false;
        if (event.kind == HAKUBAN_EVENT_STATE && event.state) {
            hakuban_slice data = hakuban_state_data(event.state);
            found = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
        }
        hakuban_event_done(&event);
        if (found) {
            return;
        }
    }
}

static inline void pair_await_connection(const exchange_pair *pair, hakuban_connection *connection,
                                         hakuban_connection_state state,
                                         hakuban_connection_info *ret)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    for (;;) {
        hakuban_connection_query(connection, ret);
        if (ret->state == state) {
            return;
        }
        ck_assert_msg(test_now_ms() < until_ms, "connection is %d, not %d: %s", (int)ret->state,
                      (int)state, ret->last_error.text);
        pair_step(pair, 100);
    }
}

static inline hakuban_descriptor *make_name(const char *json, const char *tag)
{
    hakuban_descriptor *descriptor = NULL;
    const char *tags[] = {tag};
    ck_assert_int_eq(hakuban_descriptor_new(NULL, json, tags, tag ? 1 : 0, &descriptor, NULL),
                     HAKUBAN_OK);
    return descriptor;
}

static inline hakuban_contract *observe(hakuban_exchange *exchange, const char *json,
                                        const hakuban_contract_options *options)
{
    hakuban_descriptor *name = make_name(json, NULL);
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_observe_object(exchange, name, options, &contract), HAKUBAN_OK);
    (void)hakuban_descriptor_unref(name);
    return contract;
}

static inline hakuban_contract *expose(hakuban_exchange *exchange, const char *json,
                                       const hakuban_contract_options *options)
{
    hakuban_descriptor *name = make_name(json, NULL);
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_expose_object(exchange, name, options, &contract), HAKUBAN_OK);
    (void)hakuban_descriptor_unref(name);
    return contract;
}

static inline hakuban_sink *await_sink(const exchange_pair *pair, hakuban_contract *contract)
{
    hakuban_event event;
    pair_await(pair, hakuban_contract_queue(contract), HAKUBAN_EVENT_SINK_OPEN, &event);
    hakuban_sink *sink = hakuban_sink_ref(event.sink);
    hakuban_event_done(&event);
    return sink;
}

static inline hakuban_listener *listen_at(hakuban_exchange *exchange, const char *url)
{
    hakuban_listener *listener = NULL;
    hakuban_error error = {0};
    char whole[CERTIFICATES_URL_BYTES];
    hakuban_status status =
        hakuban_exchange_listen(exchange, certificates_url(url, whole), &listener, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s: %s", url, error.text);
    return listener;
}

static inline hakuban_connection *connect_to(hakuban_exchange *exchange, const char *url,
                                             const hakuban_connection_options *options)
{
    hakuban_connection *connection = NULL;
    hakuban_error error = {0};
    hakuban_status status = hakuban_exchange_connect(exchange, url, options, &connection, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s: %s", url, error.text);
    return connection;
}

/* A URL to listen at for each transport that was built; those before ZeroMQ's always are. */
enum {
    LISTEN_INPROC,
    LISTEN_UNIX,
    LISTEN_TCP,
#ifdef HAKUBAN_TEST_ZMQ
    LISTEN_ZMQ_TCP,
    LISTEN_ZMQ_IPC,
#endif
#ifdef HAKUBAN_TEST_TLS
    LISTEN_TLS,
#ifdef HAKUBAN_TEST_WS
    LISTEN_WSS,
#endif
#endif
    LISTEN_URLS
};
static inline const char *listen_url(int index, char out[200])
{
    static const char *const formats[] = {
        [LISTEN_INPROC] = "inproc://runtime-*",
        [LISTEN_UNIX] = "unix:///tmp/hakuban-test-*",
        [LISTEN_TCP] = "tcp://127.0.0.1:0",
#ifdef HAKUBAN_TEST_ZMQ
        [LISTEN_ZMQ_TCP] = "zmq+tcp://127.0.0.1:0",
        [LISTEN_ZMQ_IPC] = "zmq+ipc:///tmp/hakuban-test-*.zmq",
#endif
#ifdef HAKUBAN_TEST_TLS
        [LISTEN_TLS] = "tls://127.0.0.1:0",
#ifdef HAKUBAN_TEST_WS
        [LISTEN_WSS] = "wss://127.0.0.1:0",
#endif
#endif
    };
    static unsigned count;
    char number[40];
    const char *format = formats[index], *place = strchr(format, '*');
    (void)snprintf(number, sizeof(number), "%ld-%u", (long)getpid(), ++count);
    (void)snprintf(out, 200, "%.*s%s%s", place ? (int)(place - format) : 200, format,
                   place ? number : "", place ? place + 1 : "");
    return out;
}

static inline int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder)) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
