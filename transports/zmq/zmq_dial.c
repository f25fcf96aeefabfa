/* Connecting with a DEALER to one address, which has five seconds; then the dealer's turns: what
 * its monitor tells and what it receives. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zmq_transport.h"

#define CONNECT_NS (5 * HKB_ZMQ_SECOND_NS)
#define NO_ZEROMQ "what listens there does not speak ZeroMQ"
#define MESSAGES_PER_TURN 128u
#define BYTES_PER_TURN (1024u * 1024)
#define EVENTS                                                                                     \
    (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |                             \
     ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |                        \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

struct hkb_zmq_dialing {
    bool connected, shaken, failed; /* what became of it so far */
    uint64_t deadline_ns;
    char where[HKB_ADDRESS_WHERE_BYTES];
};

static void dialing_free(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    if (conn->dialing) {
        self->host->alloc->free(self->host->alloc->ctx, conn->dialing, sizeof(*conn->dialing));
        conn->dialing = NULL;
    }
}

void hkb_zmq_dealer_finish(hkb_zmq_self *self, hkb_zmq_conn *conn, int linger_ms,
                           hakuban_status why, const char *text)
{
    (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
    hkb_zmq_drop_kept(conn);
    hkb_zmq_socket_close(self, &conn->socket, linger_ms);
    dialing_free(self, conn);
    if (self->busy == conn) {
        self->busy = NULL;
    }
    self->host->closed(conn->carrier, why, text);
}

static void refuse(hkb_zmq_self *self, hkb_zmq_conn *conn, hakuban_status why, const char *reason)
{
    char text[HKB_ADDRESS_WHERE_BYTES + 128];
    (void)snprintf(text, sizeof(text), "cannot connect to %s: %s", conn->dialing->where, reason);
    hkb_zmq_dealer_finish(self, conn, 0, why, text);
}

static int start(hkb_zmq_self *self, hkb_zmq_conn *conn, const hakuban_url *url,
                 const hkb_address *address)
{
    char endpoint[HKB_ZMQ_ENDPOINT_BYTES];
    struct stat file;
    hkb_zmq_endpoint(address, endpoint);
    if (hkb_zmq_is_ipc(url) && stat(url->path, &file) != 0) {
        return errno;
    }
    if (self->host->wake_at(self->host->host, conn, conn->dialing->deadline_ns)) {
        return ENOMEM;
    }
    int error = hkb_zmq_socket_open(self, &conn->socket, ZMQ_DEALER, EVENTS);
    if (error) {
        return error;
    }
    (void)hkb_zmq_option(conn->socket.zmq, ZMQ_IPV6, strstr(endpoint, "://[") != NULL);
    if (zmq_connect(conn->socket.zmq, endpoint) != 0) {
        return errno;
    }
    /* Connecting may have used up what the descriptor had to say. */
    hkb_zmq_again(self, &conn->socket);
    return 0;
}

hakuban_status hkb_zmq_dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                            const hakuban_url *url, hakuban_error *reterr)
{
    hkb_zmq_self *self = self_memory;
    hkb_zmq_conn *conn = conn_memory;
    hkb_address address;
    hakuban_status status = hkb_zmq_check(url, false, reterr);
    if (status >= 0 && !hkb_zmq_numeric(url, &address)) {
        status = hkb_address_no_number(url, reterr);
    }
    if (status < 0) {
        return status;
    }
    conn->socket.kind = HKB_ZMQ_DEALER;
    conn->carrier = carrier;
    conn->fd = -1;
    conn->dialing = self->host->alloc->alloc(self->host->alloc->ctx, sizeof(*conn->dialing));
    if (!conn->dialing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    memset(conn->dialing, 0, sizeof(*conn->dialing));
    conn->dialing->deadline_ns = hkb_zmq_now() + CONNECT_NS;
    hkb_address_where(url, conn->dialing->where);
    int error = start(self, conn, url, &address);
    if (error) {
        status = hakuban_error_set(reterr, hkb_address_status(error), "cannot connect to %s: %s",
                                   conn->dialing->where,
                                   error == ENOENT ? "there is no listener" : zmq_strerror(error));
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        hkb_zmq_socket_close(self, &conn->socket, 0);
        dialing_free(self, conn);
    }
    return status;
}

/* -- Turns -- */

static void look_at_events(hkb_zmq_conn *conn)
{
    unsigned event;
    uint32_t value;
    hkb_zmq_dialing *dialing = conn->dialing;
    while (conn->socket.monitor && hkb_zmq_event(conn->socket.monitor, &event, &value)) {
        if (!dialing || dialing->shaken) {
            conn->parting |= event == ZMQ_EVENT_DISCONNECTED;
        } else if (event == ZMQ_EVENT_CONNECTED) {
            dialing->connected = true;
        } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            dialing->shaken = true;
        } else {
            dialing->failed = true;
        }
    }
}

/* True once the connection is open; otherwise it may be gone. */
static bool dial_on(hkb_zmq_self *self, hkb_zmq_conn *conn, uint64_t now_ns)
{
    hkb_zmq_dialing *dialing = conn->dialing;
    if (dialing->shaken) {
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        dialing_free(self, conn);
        (void)hkb_zmq_readable(conn->socket.zmq); /* now the socket knows its connection, too */
        self->host->opened(conn->carrier);
        return self->busy == conn;
    }
    if (dialing->failed && dialing->connected) {
        refuse(self, conn, HAKUBAN_ERR_PROTOCOL, NO_ZEROMQ);
    } else if (dialing->failed) {
        refuse(self, conn, HAKUBAN_ERR_REFUSED, "there is no listener");
    } else if (now_ns >= dialing->deadline_ns) {
        refuse(self, conn, HAKUBAN_ERR_TIMEOUT, dialing->connected ? NO_ZEROMQ : "no answer");
    }
    return false;
}

/* What was sent so far still has a moment to leave. */
static void answer_end(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    bool polite = hkb_zmq_send_end(conn);
    hkb_zmq_dealer_finish(self, conn, polite ? (int)(HKB_ZMQ_END_NS / 1000000) : 0,
                          HAKUBAN_ERR_CLOSED, "the other side closed the connection");
}

/* Hands over what has arrived; true: all of it. The connection may be gone afterwards. */
static bool take_in(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < MESSAGES_PER_TURN && bytes < BYTES_PER_TURN; i++) {
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        if (zmq_msg_recv(&message, conn->socket.zmq, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&message);
            return true;
        }
        bytes += zmq_msg_size(&message);
        hkb_zmq_content content = hkb_zmq_receive_rest(conn->socket.zmq, &message);
        if (content == HKB_ZMQ_MESSAGE) {
            self->host->received(conn->carrier, zmq_msg_data(&message), zmq_msg_size(&message));
        } else if (content == HKB_ZMQ_END) {
            answer_end(self, conn);
        } else if (content == HKB_ZMQ_ODD) {
            hkb_zmq_dealer_finish(self, conn, 0, HAKUBAN_ERR_PROTOCOL,
                                  "a message of several parts came");
        }
        (void)zmq_msg_close(&message);
        if (self->busy != conn) {
            return false;
        }
    }
    return false;
}

void hkb_zmq_dealer_turn(hkb_zmq_self *self, hkb_zmq_conn *conn, uint64_t now_ns)
{
    look_at_events(conn);
    if (conn->dialing && !dial_on(self, conn, now_ns)) {
        return;
    }
    bool writable;
    uint64_t retry_ns = hkb_zmq_look_after(conn, &writable);
    bool due = conn->lost;
    if (writable) {
        self->host->writable(conn->carrier);
        if (self->busy != conn) {
            return;
        }
    }
    bool all = take_in(self, conn);
    if (self->busy != conn) {
        return;
    }
    if (!all) {
        hkb_zmq_again(self, &conn->socket);
    } else if (due) {
        hkb_zmq_dealer_finish(self, conn, 0, conn->failure ? conn->failure : HAKUBAN_ERR_CLOSED,
                              conn->failure ? "out of memory"
                                            : "the other side closed the connection");
        return;
    } else if (conn->lost) {
        hkb_zmq_again(self, &conn->socket);
    }
    if (retry_ns) {
        hkb_zmq_again_at(self, &conn->socket, now_ns + retry_ns);
    }
}
