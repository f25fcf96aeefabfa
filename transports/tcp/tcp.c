/* The transports tcp:// and unix:///: bytes in, bytes out over non-blocking sockets. How a connection comes about is in tcp_dial.c
 * and tcp_listen.c. Knows no event loop, no frames and no message; never blocks, touches no signal. */
#define _GNU_SOURCE

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tcp.h"

#define READ_BYTES (256u * 1024)
#define READS_PER_TURN 4 /* then the other connections have their turn */
#define NOTSENT_BYTES (16 * 1024)

static hakuban_status init(void *self_memory, const hakuban_transport_host *host)
{
    hkb_tcp_self *self = self_memory;
    self->host = host;
    self->buffer = host->alloc->alloc(host->alloc->ctx, READ_BYTES);
    return self->buffer ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
}

static void done(void *self_memory)
{
    hkb_tcp_self *self = self_memory;
    if (self->buffer) {
        self->host->alloc->free(self->host->alloc->ctx, self->buffer, READ_BYTES);
        self->buffer = NULL;
    }
}

/* Options are for speed: a kernel that has one of them not is no reason to fail. NOTSENT_LOWAT keeps stale data out of the kernel's
 * buffers, where it could no longer be replaced by newer data. */
void hkb_tcp_options(int fd, int family, bool nodelay)
{
    if (family == AF_UNIX) {
        return;
    }
    int on = nodelay, notsent_bytes = NOTSENT_BYTES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent_bytes, sizeof notsent_bytes);
}

void hkb_tcp_forget_fd(hkb_tcp_self *self, void *owner, int *fd)
{
    if (*fd >= 0) {
        (void)self->host->fd_set(self->host->host, owner, *fd, 0);
        (void)close(*fd);
        *fd = -1;
    }
}

static void drop_rest(hkb_tcp_self *self, hkb_tcp_conn *conn)
{
    if (conn->rest) {
        self->host->alloc->free(self->host->alloc->ctx, conn->rest, conn->rest_bytes);
        conn->rest = NULL;
    }
    conn->rest_bytes = conn->rest_sent = 0;
}

void hkb_tcp_finish(hkb_tcp_self *self, hkb_tcp_conn *conn, hakuban_status why, const char *text)
{
    (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
    hkb_tcp_forget_fd(self, conn, &conn->fd);
    drop_rest(self, conn);
    hkb_tcp_dial_free(self, conn);
    if (self->busy == conn) {
        self->busy = NULL;
    }
    self->host->closed(conn->link, why, text);
}

hakuban_status hkb_tcp_open(hkb_tcp_self *self, hkb_tcp_conn *conn)
{
    if (conn->ending) {
        (void)shutdown(conn->fd, SHUT_WR);
    }
    return self->host->fd_set(self->host->host, conn, conn->fd, HAKUBAN_READ);
}

/* closed() follows from ready(), not from here: the caller is in the middle of its own work, and what the other side has said last is
 * still to be read. Only without a way to come back is it called at once. */
static hakuban_status fail(hkb_tcp_self *self, hkb_tcp_conn *conn, int error)
{
    hakuban_status status = error == ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO;
    conn->failure = error;
    drop_rest(self, conn);
    if (self->host->wake_at(self->host->host, conn, 0)) {
        hkb_tcp_finish(self, conn, status, strerror(error));
    }
    return status;
}

/* Bytes the kernel took, 0 if it is full, or -1. */
static ssize_t write_out(int fd, struct iovec *vectors, size_t vector_count)
{
    const struct msghdr message = {.msg_iov = vectors, .msg_iovlen = vector_count};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : sent;
}

static hakuban_status keep_rest(hkb_tcp_self *self, hkb_tcp_conn *conn, const struct iovec *vectors,
                                unsigned vector_count, size_t sent, size_t total)
{
    conn->rest = self->host->alloc->alloc(self->host->alloc->ctx, total - sent);
    if (!conn->rest) {
        return fail(self, conn, ENOMEM);
    }
    conn->rest_bytes = total - sent;
    size_t skipped = 0, filled = 0;
    for (unsigned i = 0; i < vector_count; i++) {
        size_t bytes = vectors[i].iov_len, skip = sent - skipped < bytes ? sent - skipped : bytes;
        skipped += skip;
        if (bytes > skip) {
            memcpy(conn->rest + filled, (const char *)vectors[i].iov_base + skip, bytes - skip);
            filled += bytes - skip;
        }
    }
    if (self->host->fd_set(self->host->host, conn, conn->fd, HAKUBAN_READ | HAKUBAN_WRITE)) {
        return fail(self, conn, ENOMEM);
    }
    return HAKUBAN_OK_FULL;
}

static hakuban_status send_message(void *self_memory, void *conn_memory, const hakuban_slice *parts,
                                   unsigned part_count)
{
    hkb_tcp_self *self = self_memory;
    hkb_tcp_conn *conn = conn_memory;
    if (conn->failure) {
        return HAKUBAN_ERR_CLOSED;
    }
    if (conn->dialing || conn->ending || conn->rest || part_count > HAKUBAN_SEND_PARTS_MAX) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    struct iovec vectors[HAKUBAN_SEND_PARTS_MAX];
    unsigned vector_count = 0;
    size_t total = 0;
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].bytes > 0) {
            /* iovec has no const; sendmsg() only reads. */
            vectors[vector_count].iov_base = (void *)(uintptr_t)parts[i].data;
            vectors[vector_count++].iov_len = parts[i].bytes;
            total += parts[i].bytes;
        }
    }
    if (total == 0) {
        return HAKUBAN_OK;
    }
    ssize_t sent = write_out(conn->fd, vectors, vector_count);
    if (sent < 0) {
        return fail(self, conn, errno);
    }
    if ((size_t)sent == total) {
        return HAKUBAN_OK;
    }
    return keep_rest(self, conn, vectors, vector_count, (size_t)sent, total);
}

static void write_rest(hkb_tcp_self *self, hkb_tcp_conn *conn)
{
    struct iovec vector = {.iov_base = conn->rest + conn->rest_sent,
                           .iov_len = conn->rest_bytes - conn->rest_sent};
    ssize_t sent = write_out(conn->fd, &vector, 1);
    if (sent < 0) {
        conn->failure = errno;
        return;
    }
    conn->rest_sent += (size_t)sent;
    if (conn->rest_sent < conn->rest_bytes) {
        return;
    }
    drop_rest(self, conn);
    if (self->host->fd_set(self->host->host, conn, conn->fd, HAKUBAN_READ)) {
        conn->failure = ENOMEM;
    } else if (conn->ending) {
        (void)shutdown(conn->fd, SHUT_WR);
    } else {
        self->host->writable(conn->link);
    }
}

/* A short read means that nothing more is there, so the call that would only answer EAGAIN is saved. After every upcall the
 * connection may be gone. */
static void read_in(hkb_tcp_self *self, hkb_tcp_conn *conn)
{
    for (unsigned reads = 0; reads < READS_PER_TURN; reads++) {
        ssize_t got = recv(conn->fd, self->buffer, READ_BYTES, MSG_DONTWAIT);
        if (got == 0) {
            hkb_tcp_finish(self, conn, HAKUBAN_ERR_CLOSED, "the other side closed the connection");
            return;
        }
        if (got < 0) {
            int error = errno;
            if (error != EAGAIN && error != EWOULDBLOCK && error != EINTR) {
                hkb_tcp_finish(self, conn, HAKUBAN_ERR_IO, strerror(error));
            }
            return;
        }
        self->host->received(conn->link, self->buffer, (size_t)got);
        if (self->busy != conn || (size_t)got < READ_BYTES) {
            return;
        }
    }
}

static void conn_ready(hkb_tcp_self *self, hkb_tcp_conn *conn, unsigned events)
{
    if ((events & HAKUBAN_WRITE) && conn->rest) {
        write_rest(self, conn);
    }
    if (self->busy == conn && ((events & HAKUBAN_READ) || conn->failure)) {
        read_in(self, conn);
    }
    if (self->busy == conn && conn->failure) {
        hkb_tcp_finish(self, conn, conn->failure == ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO,
                       strerror(conn->failure));
    }
}

static void ready(void *self_memory, void *owner, unsigned events, uint64_t now_ns)
{
    hkb_tcp_self *self = self_memory;
    self->busy = owner;
    if (*(hkb_tcp_kind *)owner == HKB_TCP_LISTENER) {
        hkb_tcp_listener_ready(self, owner, now_ns);
    } else if (((hkb_tcp_conn *)owner)->dialing) {
        hkb_tcp_dial_ready(self, owner, events, now_ns);
    } else {
        conn_ready(self, owner, events);
    }
    self->busy = NULL;
}

static void end_writing(void *self_memory, void *conn_memory)
{
    (void)self_memory;
    hkb_tcp_conn *conn = conn_memory;
    bool again = conn->ending;
    conn->ending = true;
    if (!again && !conn->rest && !conn->dialing) {
        (void)shutdown(conn->fd, SHUT_WR);
    }
}

static void end(void *self_memory, void *conn_memory)
{
    hkb_tcp_finish(self_memory, conn_memory, HAKUBAN_ERR_CLOSED, "closed on this side");
}

#define TABLE(name)                                                                                \
    {                                                                                              \
        .size = sizeof(hakuban_transport_ops), .abi = HAKUBAN_TRANSPORT_ABI, .scheme = (name),     \
        .flags = HAKUBAN_TRANSPORT_STREAM, .self_bytes = sizeof(hkb_tcp_self),                     \
        .listener_bytes = sizeof(hkb_tcp_listener), .conn_bytes = sizeof(hkb_tcp_conn),            \
        .init = init, .done = done, .listen = hkb_tcp_listen, .unlisten = hkb_tcp_unlisten,        \
        .dial = hkb_tcp_dial, .send = send_message, .shutdown = end_writing, .close = end,         \
        .ready = ready,                                                                            \
    }

const hakuban_transport_ops hakuban_transport_tcp = TABLE("tcp");
const hakuban_transport_ops hakuban_transport_unix = TABLE("unix");
