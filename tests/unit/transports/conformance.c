/* The conformance suite on every transport that was built in and on that of the example; a
 * transport that breaks a promise, which it must find; and the words that ours have for bad URLs
 * and failures. Knows nothing of their insides. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hakuban/plugin/conformance.h>

#include "certificates.h"
#include "stream/stream.h"
#include "transport_host.h"
#include "transports/inproc/inproc.h"
#ifdef HAKUBAN_TEST_ZMQ
#include "transports/zmq/zmq_transport.h"
#endif

#define CUSTOM_TRANSPORT_TABLE_ONLY
#include "examples/custom-transport.c"

enum {
    TCP4,
    TCP6,
    UNIX,
    INPROC,
    PIPE,
#ifdef HAKUBAN_TEST_WS
    WS4,
    WS6,
#endif
#ifdef HAKUBAN_TEST_TLS
    TLS4,
    TLS6,
#ifdef HAKUBAN_TEST_WS
    WSS4,
    WSS6,
#endif
#endif
#ifdef HAKUBAN_TEST_ZMQ
    ZMQ4,
    ZMQ6,
    ZMQ_IPC,
#endif
    SUBJECTS
};

/* Files get the process's number as their end. */
static const struct {
    const hakuban_transport_ops *ops;
    const char *url;
    uint32_t flags;
    const char *reason; /* for the flags */
} subjects[] = {
    {&hakuban_transport_tcp, "tcp://127.0.0.1:0", 0, NULL},
    {&hakuban_transport_tcp, "tcp://[::1]:0", 0, NULL},
    {&hakuban_transport_unix, "unix:///tmp/hkb-test.sock-", 0, NULL},
    {&hakuban_transport_inproc, "inproc://test", 0, NULL},
    {&pipe_transport, "pipe://peer", HAKUBAN_CONFORMANCE_ONE_PEER,
     "a pair of pipes has two ends, which are there from the beginning"},
#ifdef HAKUBAN_TEST_WS
    {&hakuban_transport_ws, "ws://127.0.0.1:0", 0, NULL},
    {&hakuban_transport_ws, "ws://[::1]:0", 0, NULL},
#endif
#ifdef HAKUBAN_TEST_TLS
    {&hakuban_transport_tls, "tls://127.0.0.1:0", 0, NULL},
    {&hakuban_transport_tls, "tls://[::1]:0", 0, NULL},
#ifdef HAKUBAN_TEST_WS
    {&hakuban_transport_wss, "wss://127.0.0.1:0", 0, NULL},
    {&hakuban_transport_wss, "wss://[::1]:0", 0, NULL},
#endif
#endif
#ifdef HAKUBAN_TEST_ZMQ
    {&hakuban_transport_zmq_tcp, "zmq+tcp://127.0.0.1:0", HAKUBAN_CONFORMANCE_ADDRESS_HELD,
     "libzmq ends accepted connections with the listening socket, which therefore lives on"},
    {&hakuban_transport_zmq_tcp, "zmq+tcp://[::1]:0", HAKUBAN_CONFORMANCE_ADDRESS_HELD,
     "as over IPv4"},
    {&hakuban_transport_zmq_ipc, "zmq+ipc:///tmp/hkb-test.zmq-", 0, NULL},
#endif
};

static const char *subject_url(int subject)
{
    static char text[CERTIFICATES_URL_BYTES];
    const char *base = subjects[subject].url;
    if (base[strlen(base) - 1] == '-') {
        (void)snprintf(text, sizeof(text), "%s%d", base, (int)getpid());
    } else {
        return certificates_url(base, text);
    }
    return text;
}

/* What the two ends of a connection share: a switchboard, or two pipes. */
typedef struct shared {
    int subject;
    hkb_inproc_board board;
    pipes ends[2];
} shared;

static void prepare(void *ctx, const hakuban_alloc *alloc, void **ret_listen_param,
                    void **ret_dial_param)
{
    shared *this = ctx;
    if (this->subject == PIPE) {
        int down[2], up[2];
        ck_assert_int_eq(pipe2(down, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(up, O_CLOEXEC), 0);
        this->ends[0] = (pipes){down[0], up[1]};
        this->ends[1] = (pipes){up[0], down[1]};
        *ret_listen_param = &this->ends[0];
        *ret_dial_param = &this->ends[1];
    } else {
        const hkb_inproc_board empty = HKB_INPROC_BOARD;
        this->board = empty;
        if (alloc) {
            this->board.alloc = alloc;
        }
        *ret_listen_param = *ret_dial_param = &this->board;
    }
}

typedef struct results {
    const char *url;
    unsigned checks, failures;
    char first[96];
} results;

static void tell(void *ctx, const char *name, int passed, const char *text)
{
    results *all = ctx;
    all->checks++;
    if (text[0]) {
        fprintf(stderr, "# %s: %s: %s\n", all->url, name, text);
    }
    if (!passed && !all->failures++) {
        (void)snprintf(all->first, sizeof(all->first), "%s", name);
    }
}

static results run(int subject, const hakuban_transport_ops *ops)
{
    shared both = {.subject = subject};
    hakuban_conformance_transport_options options = {.size = sizeof(options),
                                                     .flags = subjects[subject].flags,
                                                     .listen_url = subject_url(subject),
                                                     .prepare = prepare,
                                                     .prepare_ctx = &both};
    results all = {.url = subject_url(subject)};
    if (options.flags) {
        fprintf(stderr, "# exception: %s: %s\n", all.url, subjects[subject].reason);
    }
    unsigned failures = hakuban_conformance_transport(ops, &options, tell, &all);
    ck_assert_uint_eq(failures, all.failures);
    return all;
}

START_TEST(every_transport_keeps_its_promises)
{
    results all = run(_i, subjects[_i].ops);
    ck_assert_uint_eq(all.failures, 0);
    ck_assert_uint_gt(all.checks, 20);
}
END_TEST

/* -- A transport that breaks a promise: inproc but for one thing -- */

static hakuban_status dial_nowhere(void *self, void *conn, hakuban_carrier *carrier,
                                   const hakuban_url *to, hakuban_error *reterr)
{
    (void)self, (void)conn, (void)carrier, (void)to, (void)reterr;
    return HAKUBAN_ERR_IO;
}

static hakuban_status send_in_disorder(void *self, void *conn, const hakuban_slice *parts,
                                       unsigned part_count)
{
    hakuban_slice other[HAKUBAN_SEND_PARTS_MAX] = {{NULL, 0}};
    for (unsigned i = 0; i < part_count; i++) {
        other[part_count - 1 - i] = parts[i];
    }
    return hakuban_transport_inproc.send(self, conn, other, part_count);
}

static hakuban_status refuse(void *self, const hakuban_transport_host *host)
{
    (void)self;
    (void)host;
    return HAKUBAN_ERR_IO;
}

START_TEST(a_transport_that_breaks_a_promise_is_found)
{
    hakuban_transport_ops bad = hakuban_transport_inproc;
    bad.send = send_in_disorder;
    ck_assert_str_eq(run(INPROC, &bad).first, "messages_arrive_in_order_and_unchanged_both_ways");
    bad = hakuban_transport_inproc;
    bad.dial = dial_nowhere;
    ck_assert_str_eq(run(INPROC, &bad).first, "messages_arrive_in_order_and_unchanged_both_ways");
    bad = hakuban_transport_inproc;
    bad.init = refuse;
    ck_assert_str_eq(run(INPROC, &bad).first, "messages_arrive_in_order_and_unchanged_both_ways");
    bad = hakuban_transport_inproc;
    bad.ready = NULL;
    results all = run(INPROC, &bad);
    ck_assert_str_eq(all.first, "the_table_is_complete");
    ck_assert_uint_eq(all.checks, 1);
}
END_TEST

/* -- Words -- */

static thost server, client;
static hkb_inproc_board board;
static char url[256];

static void begin_hosts(int subject)
{
    const hkb_inproc_board empty = HKB_INPROC_BOARD;
    board = empty;
    ck_assert_int_eq(thost_init(&server, subjects[subject].ops, &board), 0);
    ck_assert_int_eq(thost_init(&client, subjects[subject].ops, &board), 0);
}

static void end_hosts(void)
{
    thost_done(&client);
    thost_done(&server);
}

START_TEST(failures_name_the_address)
{
    if (_i == PIPE) {
        return;
    }
    hakuban_error error;
    hakuban_status status;
    begin_hosts(_i);
    ck_assert_int_eq(thost_listen(&server, subject_url(_i), url, &error), 0);
    char same[CERTIFICATES_URL_BYTES];
    ck_assert_int_eq(thost_listen(&client, certificates_url(url, same), NULL, &error),
                     HAKUBAN_ERR_EXISTS);
    ck_assert_msg(strncmp(error.text, "cannot listen on ", 17) == 0 && strstr(error.text, url) &&
                      strstr(error.text, "in use"),
                  "%s", error.text);
    hakuban_carrier *carrier = thost_dial(&client, url, &status, &error);
    ck_assert_ptr_nonnull(carrier);
    THOST_UNTIL(&server, &client, carrier->opened && server.links);
    thost_settle(&server, NULL); /* the dialer's last word, without which the end is a reset */
    thost_close(server.links);
    THOST_UNTIL(&server, &client, carrier->closed);
    ck_assert_str_eq(carrier->text, "the other side closed the connection");
    thost_unlisten(&server, 0);
    carrier = thost_dial(&client, url, &status, &error);
    if (carrier) {
        THOST_UNTIL(&client, NULL, carrier->closed);
    }
    const char *text = carrier ? carrier->text : error.text;
    ck_assert_msg(strncmp(text, "cannot connect to ", 18) == 0 && strstr(text, url), "%s", text);
    end_hosts();
}
END_TEST

static const struct {
    int subject;
    bool dial, listen; /* which of them must not take it */
    const char *url;
} bad_urls[] = {
    {TCP4, true, true, "tcp://"},
    {TCP4, true, true, "tcp://127.0.0.1"},
    {TCP4, true, true, "tcp://:3001"},
    {TCP4, true, true, "tcp://127.0.0.1:"},
    {TCP4, true, true, "tcp://127.0.0.1:70000"},
    {TCP4, true, true, "tcp://127.0.0.1:3001/path"},
    {TCP4, true, true, "tcp://127.0.0.1:3001#nodelay=perhaps"},
    {TCP4, true, false, "tcp://127.0.0.1:0"},
    {TCP4, false, true, "tcp://*:3001"},
    {TCP4, true, true, "tcp:///path"},
    {TCP4, true, true, "tcp://[::1:3001"},
    {UNIX, true, true, "unix://"},
    {UNIX, true, true, "unix:///"},
    {UNIX, true, true, "unix://run/x.sock"},
    {UNIX, true, true, "unix:///tmp/"},
    {UNIX, true, true,
     "unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "5678901234567890123456789"},
    {INPROC, true, true, "inproc://"},
    {INPROC, true, true, "inproc://name/path"},
    {INPROC, true, true, "inproc:///path"},
    {INPROC, true, true,
     "inproc://01234567890123456789012345678901234567890123456789012345678901234567890123456789012"
     "34567890123456789012345678901234567890123456789"},
#ifdef HAKUBAN_TEST_WS
    {WS4, true, true, "ws://"},
    {WS4, true, true, "ws://127.0.0.1"},
    {WS4, true, true, "ws://:3001/path"},
    {WS4, true, true, "ws://127.0.0.1:3001/#dialect=latin"},
    {WS4, true, true, "ws://127.0.0.1:3001/#nodelay=perhaps"},
    {WS4, true, false, "ws://127.0.0.1:0"},
    {WS4, true, false, "ws://127.0.0.1:3001/with space"},
    {WS4, true, false, "ws://127.0.0.1:3001/\xc3\xa4"},
    {WS4, false, true, "ws://*:3001"},
#endif
#ifdef HAKUBAN_TEST_TLS
    {TLS4, true, true, "tls://"},
    {TLS4, true, true, "tls://127.0.0.1#cert=/a"},
    {TLS4, true, true, "tls://127.0.0.1:3001/path#cert=/a"},
    {TLS4, true, true, "tls://127.0.0.1:3001#key=/a"},
    {TLS4, true, true, "tls://127.0.0.1:3001#cert=/a,verify=perhaps,ca=/a"},
    {TLS4, true, true, "tls://127.0.0.1:3001#cert=/a,server-name="},
    {TLS4, true, false, "tls://127.0.0.1:3001#verify=optional"},
    {TLS4, true, false, "tls://127.0.0.1:3001#verify=none,ca=/a"},
    {TLS4, true, false, "tls://127.0.0.1:0"},
    {TLS4, false, true, "tls://127.0.0.1:0"},
    {TLS4, false, true, "tls://127.0.0.1:0#cert=/a,verify=required"},
    {TLS4, false, true, "tls://127.0.0.1:0#cert=/a,ca=/a"},
    {TLS4, false, true, "tls://127.0.0.1:0#cert=/a,verify=none"},
    {TLS4, false, true, "tls://127.0.0.1:0#cert=/a,server-name=a"},
    {TLS4, false, true, "tls://*:3001#cert=/a"},
    {TCP4, true, true, "tcp://127.0.0.1:3001#cert=/a"},
    {TCP4, true, true, "tcp://127.0.0.1:3001#ca=/a"},
    {TCP4, true, true, "tcp://127.0.0.1:3001#verify=required"},
    {UNIX, true, true, "unix:///tmp/x#key=/a"},
#ifdef HAKUBAN_TEST_WS
    {WSS4, true, true, "wss://"},
    {WSS4, true, true, "wss://127.0.0.1:3001/#cert=/a,dialect=latin"},
    {WSS4, true, false, "wss://127.0.0.1:3001/with space"},
    {WSS4, false, true, "wss://127.0.0.1:0/path"},
    {WS4, true, true, "ws://127.0.0.1:3001#server-name=a"},
#endif
#endif
#ifdef HAKUBAN_TEST_ZMQ
    {ZMQ4, true, true, "zmq+tcp://127.0.0.1:3001#cert=/a"},
    {ZMQ4, true, true, "zmq+tcp://"},
    {ZMQ4, true, true, "zmq+tcp://127.0.0.1"},
    {ZMQ4, true, true, "zmq+tcp://:3001"},
    {ZMQ4, true, true, "zmq+tcp://127.0.0.1:3001/path"},
    {ZMQ4, true, false, "zmq+tcp://127.0.0.1:0"},
    {ZMQ4, false, true, "zmq+tcp://*:3001"},
    {ZMQ_IPC, true, true, "zmq+ipc://"},
    {ZMQ_IPC, true, true, "zmq+ipc:///"},
    {ZMQ_IPC, true, true, "zmq+ipc://run/x"},
    {ZMQ_IPC, true, true,
     "zmq+ipc:///01234567890123456789012345678901234567890123456789012345678901234567890123456789"
     "012345678901234567890123456789"},
#endif
};

START_TEST(bad_urls_are_refused_in_words)
{
    begin_hosts(bad_urls[_i].subject);
    hakuban_status status = HAKUBAN_OK;
    if (bad_urls[_i].dial) {
        hakuban_error error = {.status = HAKUBAN_OK};
        ck_assert_ptr_null(thost_dial(&client, bad_urls[_i].url, &status, &error));
        ck_assert_int_eq(status, HAKUBAN_ERR_URL);
        ck_assert_int_eq(error.status, HAKUBAN_ERR_URL);
        ck_assert_uint_gt(strlen(error.text), 10);
        ck_assert_ptr_null(thost_dial(&client, bad_urls[_i].url, &status, NULL));
    }
    if (bad_urls[_i].listen) {
        hakuban_error error = {.status = HAKUBAN_OK};
        char untouched[256] = "untouched";
        ck_assert_int_eq(thost_listen(&server, bad_urls[_i].url, untouched, &error),
                         HAKUBAN_ERR_URL);
        ck_assert_int_eq(error.status, HAKUBAN_ERR_URL);
        ck_assert_uint_gt(strlen(error.text), 10);
        ck_assert_str_eq(untouched, "untouched");
    }
    end_hosts();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transports");
    TCase *all = tcase_create("every transport");
    tcase_set_timeout(all, 100);
    tcase_add_unchecked_fixture(all, certificates_make, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* the example expects it of its program */
    tcase_add_loop_test(all, every_transport_keeps_its_promises, 0, SUBJECTS);
    tcase_add_test(all, a_transport_that_breaks_a_promise_is_found);
    tcase_add_loop_test(all, failures_name_the_address, 0, SUBJECTS);
    tcase_add_loop_test(all, bad_urls_are_refused_in_words, 0,
                        (int)(sizeof(bad_urls) / sizeof(bad_urls[0])));
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
