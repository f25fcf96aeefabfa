/* Connecting with a DEALER: a name is looked up, its addresses are tried one after the other, and
 * all of it has five seconds; then the dealer's turns: what its monitor tells and what it receives.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zmq_transport.h"

#define CONNECT_NS (5 * HKB_ZMQ_SECOND_NS)
#define MESSAGES_PER_TURN 128u
#define BYTES_PER_TURN (1024u * 1024)
#define EVENTS                                                                                     \
    (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |                             \
     ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |                        \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

struct hkb_zmq_dialing {
    hkb_addresses addresses;
    unsigned next;                  /* index of the address to try when this one fails */
    int lookup_fd;                  /* -1: nothing is looked up */
    bool connected, shaken, failed; /* what became of the address that is tried */
    uint64_t deadline_ns;
    char where[HKB_ADDRESS_WHERE_BYTES];
};

static void stop_lookup(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    int *fd = &conn->dialing->lookup_fd;
    if (*fd >= 0) {
        (void)self->host->fd_set(self->host->host, conn, *fd, 0);
        (void)close(*fd);
        *fd = -1;
    }
}

static void dialing_free(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    if (conn->dialing) {
        stop_lookup(self, conn);
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

/* Starts on the next address that can be started on: 0, or an errno. ECONNREFUSED: there is none
 * left. */
static int try_next(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    hkb_zmq_dialing *dialing = conn->dialing;
    int error = ECONNREFUSED;
    while (dialing->next < dialing->addresses.count) {
        char endpoint[HKB_ZMQ_ENDPOINT_BYTES];
        hkb_zmq_endpoint(&dialing->addresses.items[dialing->next++], endpoint);
        hkb_zmq_socket_close(self, &conn->socket, 0);
        error = hkb_zmq_socket_open(self, &conn->socket, ZMQ_DEALER, EVENTS);
        if (error) {
            return error;
        }
        dialing->connected = dialing->shaken = dialing->failed = false;
        (void)hkb_zmq_option(conn->socket.zmq, ZMQ_IPV6, strstr(endpoint, "://[") != NULL);
        if (zmq_connect(conn->socket.zmq, endpoint) == 0) {
            /* Connecting may have used up what the descriptor had to say. */
            hkb_zmq_again(self, &conn->socket);
            return 0;
        }
        error = errno;
    }
    return error;
}

static int start(hkb_zmq_self *self, hkb_zmq_conn *conn, const hakuban_url *url)
{
    hkb_zmq_dialing *dialing = conn->dialing;
    struct stat file;
    if (hkb_zmq_is_ipc(url) && stat(url->path, &file) != 0) {
        return errno;
    }
    int error = hkb_zmq_spare_fds(self);
    if (!error && self->host->wake_at(self->host->host, conn, dialing->deadline_ns)) {
        error = ENOMEM;
    }
    if (error) {
        return error;
    }
    if (hkb_zmq_numeric(url, &dialing->addresses.items[0])) {
        dialing->addresses.count = 1;
        return try_next(self, conn);
    }
    error = hkb_address_lookup_start(url->host, url->port, &dialing->lookup_fd);
    if (!error && self->host->fd_set(self->host->host, conn, dialing->lookup_fd, HAKUBAN_READ)) {
        error = ENOMEM;
    }
    return error;
}

hakuban_status hkb_zmq_dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                            const hakuban_url *url, hakuban_error *reterr)
{
    hkb_zmq_self *self = self_memory;
    hkb_zmq_conn *conn = conn_memory;
    hakuban_status status = hkb_zmq_check(url, false, reterr);
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
    conn->dialing->lookup_fd = -1;
    conn->dialing->deadline_ns = hkb_zmq_now() + CONNECT_NS;
    hkb_address_where(url, conn->dialing->where);
    int error = start(self, conn, url);
    if (error) {
        status = hakuban_error_set(reterr, hkb_address_status(error), "cannot connect to %s: %s",
                                   conn->dialing->where,
                                   error == ENOENT ? "nobody listens there" : zmq_strerror(error));
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        hkb_zmq_socket_close(self, &conn->socket, 0);
        dialing_free(self, conn);
    }
    return status;
}

/* -- Turns -- */

static void next_or_refuse(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    bool connected = conn->dialing->connected;
    int error = try_next(self, conn);
    if (error == ECONNREFUSED && connected) {
        refuse(self, conn, HAKUBAN_ERR_PROTOCOL, "what listens there does not speak ZeroMQ");
    } else if (error == ECONNREFUSED) {
        refuse(self, conn, HAKUBAN_ERR_REFUSED, "nobody listens there");
    } else if (error) {
        refuse(self, conn, hkb_address_status(error), zmq_strerror(error));
    }
}

static void look_at_lookup(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    hkb_zmq_dialing *dialing = conn->dialing;
    int error = hkb_address_lookup_end(dialing->lookup_fd, &dialing->addresses);
    if (error == EAGAIN) {
        return;
    }
    if (error) {
        refuse(self, conn, HAKUBAN_ERR_IO, "the name could not be looked up");
        return;
    }
    stop_lookup(self, conn);
    if (dialing->addresses.count == 0) {
        refuse(self, conn, HAKUBAN_ERR_NOT_FOUND, hkb_address_lookup_text(&dialing->addresses));
        return;
    }
    next_or_refuse(self, conn);
}

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
    if (dialing->lookup_fd >= 0) {
        look_at_lookup(self, conn);
    } else if (dialing->shaken) {
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        dialing_free(self, conn);
        (void)hkb_zmq_readable(conn->socket.zmq); /* now the socket knows its connection, too */
        self->host->opened(conn->carrier);
        return self->busy == conn;
    } else if (dialing->failed) {
        next_or_refuse(self, conn);
    }
    if (self->busy == conn && now_ns >= dialing->deadline_ns) {
        refuse(self, conn, HAKUBAN_ERR_TIMEOUT,
               dialing->lookup_fd >= 0 ? "the name could not be looked up in time"
               : dialing->connected    ? "what listens there does not speak ZeroMQ"
                                       : "no answer");
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
