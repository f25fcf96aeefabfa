/* Connecting: a name is looked up, its addresses are tried one after the other, and all of it has
 * five seconds. Moves no data. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

#define SECOND_NS UINT64_C(1000000000)
#define CONNECT_NS (5 * SECOND_NS)
#define RETRY_NS (SECOND_NS / 100)

struct hkb_stream_dialing {
    hkb_addresses addresses;
    unsigned next; /* index of the address to try when this one fails */
    int error;     /* of the last address that failed */
    bool looking_up, nodelay;
    uint64_t deadline_ns;
    char where[HKB_ADDRESS_WHERE_BYTES];
};

void hkb_stream_dial_free(hkb_stream_self *self, hkb_stream_conn *conn)
{
    if (conn->dialing) {
        self->host->alloc->free(self->host->alloc->ctx, conn->dialing, sizeof(*conn->dialing));
        conn->dialing = NULL;
    }
}

static void refuse(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                   const char *reason)
{
    char text[HKB_ADDRESS_WHERE_BYTES + 128];
    (void)snprintf(text, sizeof(text), "cannot connect to %s: %s", conn->dialing->where, reason);
    hkb_stream_finish(self, conn, why, text);
}

/* Waits for conn->fd (if there is one) until until_ns; an errno, or 0. */
static int wait_for(hkb_stream_self *self, hkb_stream_conn *conn, unsigned events,
                    uint64_t until_ns)
{
    const hakuban_transport_host *host = self->host;
    if ((conn->fd >= 0 && host->fd_set(host->host, conn, conn->fd, events)) ||
        host->wake_at(host->host, conn, until_ns)) {
        return ENOMEM;
    }
    return 0;
}

/* An attempt gets its share of what is left, so that one address that never answers does not use up
 * the time of the others. */
static uint64_t share(const hkb_stream_dialing *dialing, uint64_t now_ns)
{
    uint64_t left_ns = dialing->deadline_ns > now_ns ? dialing->deadline_ns - now_ns : 0;
    return now_ns + left_ns / (dialing->addresses.count - dialing->next + 1);
}

/* Starts on the next address that can be started on; false: there is none, and dialing->error says
 * why. */
static bool try_next(hkb_stream_self *self, hkb_stream_conn *conn, uint64_t now_ns)
{
    hkb_stream_dialing *dialing = conn->dialing;
    hkb_stream_forget_fd(self, conn, &conn->fd);
    while (dialing->next < dialing->addresses.count) {
        const hkb_address *address = &dialing->addresses.items[dialing->next++];
        int family = address->is.any.sa_family;
        conn->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (conn->fd < 0) {
            dialing->error = errno;
            continue;
        }
        hkb_stream_options(conn->fd, family, dialing->nodelay);
        bool started = connect(conn->fd, &address->is.any, address->bytes) == 0 ||
                       errno == EINPROGRESS || errno == EINTR;
        int error = errno;
        if (started) {
            dialing->error = wait_for(self, conn, HAKUBAN_WRITE, share(dialing, now_ns));
            if (!dialing->error) {
                return true;
            }
        } else {
            dialing->error = error;
        }
        hkb_stream_forget_fd(self, conn, &conn->fd);
        if (!started && error == EAGAIN && family == AF_UNIX) {
            /* The listener's queue is full for the moment. */
            if (now_ns >= dialing->deadline_ns) {
                dialing->error = ETIMEDOUT;
                return false;
            }
            dialing->next--;
            dialing->error = wait_for(self, conn, 0, now_ns + RETRY_NS);
            return dialing->error == 0;
        }
    }
    return false;
}

static int start(hkb_stream_self *self, hkb_stream_conn *conn, const hakuban_url *url)
{
    hkb_stream_dialing *dialing = conn->dialing;
    uint64_t now_ns = hkb_stream_now_ns();
    dialing->deadline_ns = now_ns + CONNECT_NS;
    if (hkb_stream_numeric(url, &dialing->addresses.items[0])) {
        dialing->addresses.count = 1;
        return try_next(self, conn, now_ns) ? 0 : dialing->error;
    }
    dialing->looking_up = true;
    int error = hkb_address_lookup_start(url->host, url->port, &conn->fd);
    return error ? error : wait_for(self, conn, HAKUBAN_READ, dialing->deadline_ns);
}

hakuban_status hkb_stream_dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                               const hakuban_url *url, hakuban_error *reterr)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_conn *conn = conn_memory;
    bool nodelay = false;
    hakuban_status status = hkb_stream_check(url, false, &nodelay, reterr);
    if (status < 0) {
        return status;
    }
    conn->kind = HKB_STREAM_CONN;
    conn->fd = -1;
    conn->carrier = carrier;
    conn->dialing = self->host->alloc->alloc(self->host->alloc->ctx, sizeof(*conn->dialing));
    if (!conn->dialing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    memset(conn->dialing, 0, sizeof(*conn->dialing));
    conn->dialing->nodelay = nodelay;
    hkb_address_where(url, conn->dialing->where);
    if (self->layered) {
        conn->layer = self->layer;
        status = conn->layer->dial(self, conn, url, reterr);
        if (status < 0) {
            hkb_stream_dial_free(self, conn);
            return status;
        }
    }
    int error = start(self, conn, url);
    if (error) {
        status = hakuban_error_set(reterr, hkb_address_status(error), "cannot connect to %s: %s",
                                   conn->dialing->where, strerror(error));
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        hkb_stream_forget_fd(self, conn, &conn->fd);
        hkb_stream_dial_free(self, conn);
        if (conn->state) {
            conn->layer->free(self, conn->state);
            conn->state = NULL;
        }
    }
    return status;
}

static void next_or_refuse(hkb_stream_self *self, hkb_stream_conn *conn, uint64_t now_ns)
{
    if (!try_next(self, conn, now_ns)) {
        int error = conn->dialing->error;
        refuse(self, conn, hkb_address_status(error), strerror(error));
    }
}

static void looked_up(hkb_stream_self *self, hkb_stream_conn *conn, uint64_t now_ns)
{
    hkb_stream_dialing *dialing = conn->dialing;
    int error = hkb_address_lookup_end(conn->fd, &dialing->addresses);
    if (error == EAGAIN) {
        return;
    }
    if (error) {
        refuse(self, conn, HAKUBAN_ERR_IO, "the name could not be looked up");
        return;
    }
    dialing->looking_up = false;
    if (dialing->addresses.count == 0) {
        refuse(self, conn, HAKUBAN_ERR_NOT_FOUND, hkb_address_lookup_text(&dialing->addresses));
        return;
    }
    next_or_refuse(self, conn, now_ns);
}

/* Two ends in one: the kernel may give a connection to a port of this machine that very port as its
 * own when nobody listens there. */
static bool to_itself(int fd)
{
    hkb_address here = {.bytes = sizeof(here.is)}, there = {.bytes = sizeof(there.is)};
    if (getsockname(fd, &here.is.any, &here.bytes) ||
        getpeername(fd, &there.is.any, &there.bytes)) {
        return false;
    }
    return here.is.any.sa_family != AF_UNIX && here.bytes == there.bytes &&
           memcmp(&here.is, &there.is, here.bytes) == 0;
}

/* What a layer still has to settle counts as dialing as far as time is concerned. */
static void connected(hkb_stream_self *self, hkb_stream_conn *conn)
{
    uint64_t until_ns = conn->layer ? conn->dialing->deadline_ns : UINT64_MAX;
    if (self->host->wake_at(self->host->host, conn, until_ns) || hkb_stream_open(self, conn)) {
        refuse(self, conn, HAKUBAN_ERR_NO_MEMORY, strerror(ENOMEM));
        return;
    }
    hkb_stream_dial_free(self, conn);
    if (conn->layer) {
        conn->layer->connected(self, conn);
    } else {
        self->host->opened(conn->carrier);
    }
}

void hkb_stream_dial_ready(hkb_stream_self *self, hkb_stream_conn *conn, unsigned events,
                           uint64_t now_ns)
{
    hkb_stream_dialing *dialing = conn->dialing;
    if (events == 0) {
        if (dialing->looking_up) {
            refuse(self, conn, HAKUBAN_ERR_TIMEOUT, "the name could not be looked up in time");
            return;
        }
        /* Without a descriptor it is a full queue that is tried once more. */
        dialing->error = ETIMEDOUT;
        next_or_refuse(self, conn, now_ns);
        return;
    }
    if (dialing->looking_up) {
        looked_up(self, conn, now_ns);
        return;
    }
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0) {
        error = errno;
    }
    if (!error && to_itself(conn->fd)) {
        error = ECONNREFUSED;
    }
    if (error) {
        dialing->error = error;
        next_or_refuse(self, conn, now_ns);
    } else {
        connected(self, conn);
    }
}
