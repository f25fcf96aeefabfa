/* Connecting to one address, which has five seconds. Moves no data. */
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
    hkb_address address;
    bool nodelay;
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

/* Starts to connect; an errno, or 0. */
static int start(hkb_stream_self *self, hkb_stream_conn *conn, uint64_t now_ns)
{
    hkb_stream_dialing *dialing = conn->dialing;
    int family = dialing->address.is.any.sa_family;
    conn->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (conn->fd < 0) {
        return errno;
    }
    hkb_stream_options(conn->fd, family, dialing->nodelay);
    if (connect(conn->fd, &dialing->address.is.any, dialing->address.bytes) == 0 ||
        errno == EINPROGRESS || errno == EINTR) {
        return wait_for(self, conn, HAKUBAN_WRITE, dialing->deadline_ns);
    }
    int error = errno;
    hkb_stream_forget_fd(self, conn, &conn->fd);
    if (error == EAGAIN && family == AF_UNIX) {
        /* The listener's queue is full for the moment. */
        return now_ns < dialing->deadline_ns ? wait_for(self, conn, 0, now_ns + RETRY_NS)
                                             : ETIMEDOUT;
    }
    return error;
}

/* What was made for a dial that did not begin. */
static void forget(hkb_stream_self *self, hkb_stream_conn *conn)
{
    hkb_stream_dial_free(self, conn);
    if (conn->state) {
        conn->layer->free(self, conn->state);
        conn->state = NULL;
    }
    if (conn->secret) {
        self->cipher->free(self, conn->secret);
        conn->secret = NULL;
    }
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
    if (!hkb_stream_numeric(url, &conn->dialing->address)) {
        hkb_stream_dial_free(self, conn);
        return hkb_address_no_number(url, reterr);
    }
    if (self->layered) {
        conn->layer = self->layer;
        status = conn->layer->dial(self, conn, url, reterr);
    }
    if (status >= 0 && self->cipher) {
        status = self->cipher->dial(self, url, &conn->secret, reterr);
    }
    if (status < 0) {
        forget(self, conn);
        return status;
    }
    uint64_t now_ns = hkb_stream_now_ns();
    conn->dialing->deadline_ns = now_ns + CONNECT_NS;
    int error = start(self, conn, now_ns);
    if (error) {
        status = hakuban_error_set(reterr, hkb_address_status(error), "cannot connect to %s: %s",
                                   conn->dialing->where, strerror(error));
        (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
        hkb_stream_forget_fd(self, conn, &conn->fd);
        forget(self, conn);
    }
    return status;
}

static void refuse_for(hkb_stream_self *self, hkb_stream_conn *conn, int error)
{
    refuse(self, conn, hkb_address_status(error), strerror(error));
}

/* Two ends in one: the kernel may give a connection to a port of this machine that very port as its
 * own when there is no listener. */
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

void hkb_stream_dialed(hkb_stream_self *self, hkb_stream_conn *conn)
{
    if (conn->layer) {
        conn->layer->connected(self, conn);
        return;
    }
    (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
    self->host->opened(conn->carrier);
}

/* What a cipher and a layer still have to settle counts as dialing as far as time is concerned. */
static void connected(hkb_stream_self *self, hkb_stream_conn *conn)
{
    uint64_t until_ns = conn->dialing->deadline_ns;
    bool is_local = conn->dialing->address.is.any.sa_family == AF_UNIX;
    if (self->host->wake_at(self->host->host, conn, until_ns) || hkb_stream_open(self, conn)) {
        refuse_for(self, conn, ENOMEM);
        return;
    }
    hkb_stream_dial_free(self, conn);
    if (is_local) {
        hkb_stream_say_user(self, conn);
    }
    if (self->cipher) {
        self->cipher->connected(self, conn);
    } else {
        hkb_stream_dialed(self, conn);
    }
}

void hkb_stream_dial_ready(hkb_stream_self *self, hkb_stream_conn *conn, unsigned events,
                           uint64_t now_ns)
{
    int error = 0;
    if (events == 0) {
        /* Without a descriptor it is a full queue that is tried once more. */
        error = conn->fd >= 0 ? ETIMEDOUT : start(self, conn, now_ns);
        if (error) {
            refuse_for(self, conn, error);
        }
        return;
    }
    socklen_t error_bytes = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0) {
        error = errno;
    }
    if (!error && to_itself(conn->fd)) {
        error = ECONNREFUSED;
    }
    if (error) {
        refuse_for(self, conn, error);
    } else {
        connected(self, conn);
    }
}
