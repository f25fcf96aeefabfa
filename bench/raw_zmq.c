/* The bare relay on libzmq. Options are libzmq's own defaults, but that nothing is ever dropped:
 * what a program without hakuban would do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "raw_zmq.h"

enum { IDENTITY_BYTES_MAX = 255 };

typedef struct identity {
    size_t bytes;
    char data[IDENTITY_BYTES_MAX];
} identity;

static void need(bool good, const char *what)
{
    if (!good) {
        bench_die("raw zmq relay: %s: %s", what, zmq_strerror(zmq_errno()));
    }
}

static void open_socket(raw_zmq_peer *peer, int type)
{
    peer->context = zmq_ctx_new();
    need(peer->context != NULL, "context");
    peer->socket = zmq_socket(peer->context, type);
    need(peer->socket != NULL, "socket");
}

void raw_zmq_relay_init(raw_zmq_relay *relay, const bench_options *options)
{
    relay->wanted = strncmp(options->transport, "zmq+", 4) == 0;
    relay->ipc = bench_transport_is_local(options->transport);
    relay->observers = 0;
    atomic_store(&relay->listening, 0);
}

/* -- The middle -- */

static size_t receive_into(void *socket, void *data, size_t room)
{
    int n = zmq_recv(socket, data, room, 0);
    need(n >= 0 && (size_t)n <= room, "receive");
    return (size_t)n;
}

static void send_to(void *socket, const identity *to, zmq_msg_t *message)
{
    zmq_msg_t copy;
    /* Counted, not copied, as libzmq does for a program that sends to many peers. */
    need(zmq_msg_init(&copy) == 0 && zmq_msg_copy(&copy, message) == 0, "copy");
    need(zmq_send(socket, to->data, to->bytes, ZMQ_SNDMORE) >= 0 &&
             zmq_msg_send(&copy, socket, 0) >= 0,
         "send");
}

/* Each process says what it is; then the source is told that all are there. */
static void meet(void *socket, unsigned observer_count, identity *ret_source,
                 identity *ret_observers)
{
    unsigned observers = 0;
    bool has_source = false;
    while (!has_source || observers < observer_count) {
        char role;
        identity peer;
        peer.bytes = receive_into(socket, peer.data, sizeof(peer.data));
        if (receive_into(socket, &role, 1) == 1 && role == 's') {
            *ret_source = peer;
            has_source = true;
        } else if (observers < observer_count) {
            ret_observers[observers++] = peer;
        }
    }
    need(zmq_send(socket, ret_source->data, ret_source->bytes, ZMQ_SNDMORE) >= 0 &&
             zmq_send(socket, "k", 1, 0) >= 0,
         "send");
}

static void relay_until_end(void *socket, unsigned observer_count, const identity *source,
                            const identity *observers)
{
    bool end = false;
    while (!end) {
        identity from;
        zmq_msg_t message;
        from.bytes = receive_into(socket, from.data, sizeof(from.data));
        need(zmq_msg_init(&message) == 0 && zmq_msg_recv(&message, socket, 0) >= 0, "receive");
        if (from.bytes == source->bytes && memcmp(from.data, source->data, from.bytes) == 0) {
            end = zmq_msg_size(&message) == 0;
            for (unsigned i = 0; i < observer_count; i++) {
                send_to(socket, &observers[i], &message);
            }
        } else {
            send_to(socket, source, &message);
        }
        zmq_msg_close(&message);
    }
}

void raw_zmq_relay_run(void *memory, unsigned index)
{
    raw_zmq_relay *relay = memory;
    raw_zmq_peer middle;
    identity source, *observers = calloc(relay->observers, sizeof(*observers));
    char where[64];
    int mandatory = 1;
    size_t bytes = sizeof(relay->endpoint);
    (void)index;
    if (!observers) {
        bench_die("out of memory");
    }
    /* An abstract name: no file stays behind. */
    snprintf(where, sizeof(where), relay->ipc ? "ipc://@hakuban-bench-%ld" : "tcp://127.0.0.1:*",
             (long)getpid());
    open_socket(&middle, ZMQ_ROUTER);
    /* Waits for room instead of dropping. */
    need(zmq_setsockopt(middle.socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof(mandatory)) == 0,
         "option");
    need(zmq_bind(middle.socket, where) == 0, "bind");
    need(zmq_getsockopt(middle.socket, ZMQ_LAST_ENDPOINT, relay->endpoint, &bytes) == 0,
         "endpoint");
    atomic_store(&relay->listening, 1);
    meet(middle.socket, relay->observers, &source, observers);
    relay_until_end(middle.socket, relay->observers, &source, observers);
    raw_zmq_close(&middle, false);
    free(observers);
}

/* -- The ends -- */

void raw_zmq_open(raw_zmq_peer *peer, raw_zmq_relay *relay, bool source)
{
    char answer;
    uint64_t until = bench_now_ns() + BENCH_PATIENCE_NS;
    while (!atomic_load(&relay->listening)) {
        if (bench_now_ns() > until) {
            bench_die("raw zmq relay: it does not listen");
        }
        bench_sleep_ns(200000);
    }
    open_socket(peer, ZMQ_DEALER);
    need(zmq_connect(peer->socket, relay->endpoint) == 0, "connect");
    raw_zmq_send(peer, source ? "s" : "o", 1);
    if (source) {
        (void)raw_zmq_receive(peer, &answer, 1);
    }
}

void raw_zmq_send(raw_zmq_peer *peer, const void *data, size_t bytes)
{
    need(zmq_send(peer->socket, data, bytes, 0) >= 0, "send");
}

bool raw_zmq_receive(raw_zmq_peer *peer, void *data, size_t bytes)
{
    size_t n = receive_into(peer->socket, data, bytes);
    if (n != 0 && n != bytes) {
        bench_die("raw zmq relay: a message of another length");
    }
    return n != 0;
}

void raw_zmq_close(raw_zmq_peer *peer, bool source)
{
    if (source) {
        raw_zmq_send(peer, "", 0);
    }
    zmq_close(peer->socket);
    zmq_ctx_term(peer->context); /* waits until everything is sent */
}
