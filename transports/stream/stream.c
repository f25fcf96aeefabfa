/* Bytes in, bytes out over non-blocking sockets. How a connection comes about is in stream_dial.c
 * and stream_listen.c. Knows no event loop, no frames and no message; never blocks, touches no
 * signal. */
#define _GNU_SOURCE

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#endif

#include "stream.h"

#define READ_BYTES (256u * 1024)
#define READS_PER_TURN 4 /* then the other connections have their turn */
#define NOTSENT_BYTES (16 * 1024)

hakuban_status hkb_stream_init(void *self_memory, const hakuban_transport_host *host)
{
    hkb_stream_self *self = self_memory;
    self->host = host;
    self->buffer = host->alloc->alloc(host->alloc->ctx, READ_BYTES);
    return self->buffer ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
}

void hkb_stream_done(void *self_memory)
{
    hkb_stream_self *self = self_memory;
    if (self->buffer) {
        self->host->alloc->free(self->host->alloc->ctx, self->buffer, READ_BYTES);
        self->buffer = NULL;
    }
    if (self->cipher) {
        self->cipher->done(self);
    }
}

/* Options are for speed: a kernel that has one of them not is no reason to fail. NOTSENT_LOWAT
 * keeps stale data out of the kernel's buffers, where it could no longer be replaced by newer data.
 */
void hkb_stream_options(int fd, int family, bool nodelay)
{
    if (family == AF_UNIX) {
        return;
    }
    int on = nodelay, notsent_bytes = NOTSENT_BYTES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent_bytes, sizeof(notsent_bytes));
}

void hkb_stream_forget_fd(hkb_stream_self *self, void *owner, int *fd)
{
    if (*fd >= 0) {
        (void)self->host->fd_set(self->host->host, owner, *fd, 0);
        (void)close(*fd);
        *fd = -1;
    }
}

/* Waits for what matters to the connection now. */
static hakuban_status watch(hkb_stream_self *self, hkb_stream_conn *conn)
{
    unsigned events =
        (conn->paused ? 0u : (unsigned)HAKUBAN_READ) | (conn->rest ? (unsigned)HAKUBAN_WRITE : 0u);
    return self->host->fd_set(self->host->host, conn, conn->fd, events);
}

static void drop_rest(hkb_stream_self *self, hkb_stream_conn *conn)
{
    if (conn->rest) {
        self->host->alloc->free(self->host->alloc->ctx, conn->rest, conn->rest_bytes);
        conn->rest = NULL;
    }
    conn->rest_bytes = conn->rest_sent = 0;
}

uint64_t hkb_stream_now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

hkb_stream_policy *hkb_stream_policy_unref(hkb_stream_self *self, hkb_stream_policy *policy)
{
    if (policy && --policy->references == 0) {
        self->host->alloc->free(self->host->alloc->ctx, policy, policy->bytes);
    }
    return NULL;
}

void hkb_stream_finish(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                       const char *text)
{
    hkb_stream_farewell *farewell = conn->farewell;
    (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
    hkb_stream_forget_fd(self, conn, &conn->fd);
    drop_rest(self, conn);
    hkb_stream_dial_free(self, conn);
    conn->policy = hkb_stream_policy_unref(self, conn->policy);
    if (conn->state) {
        conn->layer->free(self, conn->state);
        conn->state = NULL;
    }
    if (conn->secret) {
        self->cipher->free(self, conn->secret);
        conn->secret = NULL;
    }
    conn->farewell = NULL;
    conn->over = true;
    if (self->busy == conn) {
        self->busy = NULL;
    }
    self->host->closed(conn->carrier, farewell ? farewell->why : why,
                       farewell ? farewell->text : text);
    if (farewell) {
        self->host->alloc->free(self->host->alloc->ctx, farewell, sizeof(*farewell));
    }
}

hakuban_status hkb_stream_open(hkb_stream_self *self, hkb_stream_conn *conn)
{
    if (conn->ending && !conn->layer && !self->cipher) {
        (void)shutdown(conn->fd, SHUT_WR);
    }
    return self->host->fd_set(self->host->host, conn, conn->fd, HAKUBAN_READ);
}

/* closed() follows from ready(), not from here: the caller is in the middle of its own work, and
 * what the other side has said last is still to be read. Only without a way to come back is it
 * called at once. */
hakuban_status hkb_stream_fail(hkb_stream_self *self, hkb_stream_conn *conn, int error)
{
    hakuban_status status = error == ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO;
    conn->failure = error;
    drop_rest(self, conn);
    if (self->host->wake_at(self->host->host, conn, 0)) {
        hkb_stream_finish(self, conn, status, strerror(error));
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

/* Puts what the kernel did not take behind what it had not taken before. */
static hakuban_status keep_rest(hkb_stream_self *self, hkb_stream_conn *conn,
                                const hakuban_slice *parts, unsigned part_count, size_t sent,
                                size_t total)
{
    const hakuban_alloc *alloc = self->host->alloc;
    size_t before = conn->rest_bytes - conn->rest_sent, filled = before;
    unsigned char *rest = alloc->alloc(alloc->ctx, before + total - sent);
    if (!rest) {
        return hkb_stream_fail(self, conn, ENOMEM);
    }
    if (before > 0) {
        memcpy(rest, conn->rest + conn->rest_sent, before);
    }
    for (unsigned i = 0; i < part_count; i++) {
        size_t bytes = parts[i].bytes, skip = sent < bytes ? sent : bytes;
        sent -= skip;
        if (bytes > skip) {
            memcpy(rest + filled, (const char *)parts[i].data + skip, bytes - skip);
            filled += bytes - skip;
        }
    }
    drop_rest(self, conn);
    conn->rest = rest;
    conn->rest_bytes = filled;
    if (watch(self, conn)) {
        return hkb_stream_fail(self, conn, ENOMEM);
    }
    return HAKUBAN_OK_FULL;
}

hakuban_status hkb_stream_put(hkb_stream_self *self, hkb_stream_conn *conn,
                              const hakuban_slice *parts, unsigned part_count)
{
    if (conn->failure || conn->over) {
        return HAKUBAN_ERR_CLOSED;
    }
    struct iovec vectors[HKB_STREAM_PARTS_MAX];
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
    ssize_t sent = conn->rest ? 0 : write_out(conn->fd, vectors, vector_count);
    if (sent < 0) {
        return hkb_stream_fail(self, conn, errno);
    }
    if ((size_t)sent == total) {
        return HAKUBAN_OK;
    }
    return keep_rest(self, conn, parts, part_count, (size_t)sent, total);
}

hakuban_status hkb_stream_write(hkb_stream_self *self, hkb_stream_conn *conn,
                                const hakuban_slice *parts, unsigned part_count)
{
    if (conn->failure || conn->over) {
        return HAKUBAN_ERR_CLOSED;
    }
    return self->cipher ? self->cipher->write(self, conn, parts, part_count)
                        : hkb_stream_put(self, conn, parts, part_count);
}

hakuban_status hkb_stream_send(void *self_memory, void *conn_memory, const hakuban_slice *parts,
                               unsigned part_count)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_conn *conn = conn_memory;
    if (conn->failure || conn->farewell) {
        return HAKUBAN_ERR_CLOSED;
    }
    if (conn->dialing || conn->ending || conn->full || part_count > HAKUBAN_SEND_PARTS_MAX ||
        (conn->policy && self->layered)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    /* A peer that is spoken to first is native. */
    conn->policy = hkb_stream_policy_unref(self, conn->policy);
    hakuban_status status = conn->layer ? conn->layer->send(self, conn, parts, part_count)
                                        : hkb_stream_write(self, conn, parts, part_count);
    conn->full = status == HAKUBAN_OK_FULL;
    return status;
}

/* Nothing more is written: the cipher says so at once, behind what is kept, and the socket once all
 * of it has left. */
static void end_writing(hkb_stream_self *self, hkb_stream_conn *conn)
{
    if (self->cipher) {
        self->cipher->shutdown(self, conn);
    }
    if (!conn->rest && !conn->failure && !conn->over) {
        (void)shutdown(conn->fd, SHUT_WR);
    }
}

/* Whether shutdown() ends the writing itself: a layer says it in its own way, and a cipher must
 * have been agreed on. */
static bool ends_here(const hkb_stream_self *self, const hkb_stream_conn *conn)
{
    return conn->ending && !conn->layer && (!self->cipher || conn->secured);
}

static void tell_writable(hkb_stream_self *self, hkb_stream_conn *conn)
{
    bool told = conn->full;
    conn->full = false;
    if (told && !conn->ending) {
        self->host->writable(conn->carrier);
    }
}

static void write_rest(hkb_stream_self *self, hkb_stream_conn *conn)
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
    if (watch(self, conn)) {
        conn->failure = ENOMEM;
    } else if (conn->farewell || ends_here(self, conn)) {
        (void)shutdown(conn->fd, SHUT_WR);
    } else if (!self->cipher || conn->secured) {
        tell_writable(self, conn);
    }
}

void hkb_stream_secured(hkb_stream_self *self, hkb_stream_conn *conn, bool dialed)
{
    conn->secured = true;
    if (dialed) {
        hkb_stream_dialed(self, conn);
    } else if (!conn->rest) {
        tell_writable(self, conn);
    }
    if (self->busy == conn && ends_here(self, conn)) {
        end_writing(self, conn);
    }
}

void hkb_stream_part(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                     const char *format, ...)
{
    const hakuban_alloc *alloc = self->host->alloc;
    hkb_stream_farewell farewell = {.why = why};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(farewell.text, sizeof(farewell.text), format, arguments);
    va_end(arguments);
    if (conn->over || conn->farewell) {
        return;
    }
    conn->farewell = alloc->alloc(alloc->ctx, sizeof(farewell));
    if (!conn->farewell ||
        self->host->wake_at(self->host->host, conn, hkb_stream_now_ns() + HKB_STREAM_LINGER_NS)) {
        if (conn->farewell) {
            alloc->free(alloc->ctx, conn->farewell, sizeof(farewell));
            conn->farewell = NULL;
        }
        hkb_stream_finish(self, conn, why, farewell.text);
        return;
    }
    *conn->farewell = farewell;
    end_writing(self, conn);
}

void hkb_stream_carries(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_carries what)
{
    const hakuban_transport_host *host = self->host;
    if (host->size >= offsetof(hakuban_transport_host, carries) + sizeof(host->carries) &&
        host->carries) {
        host->carries(conn->carrier, what);
    }
}

void hkb_stream_identity(hkb_stream_self *self, hkb_stream_conn *conn, const char *kind,
                         const char *name)
{
    const hakuban_transport_host *host = self->host;
    if (host->size >= offsetof(hakuban_transport_host, identity) + sizeof(host->identity) &&
        host->identity) {
        host->identity(conn->carrier, kind, name);
    }
}

void hkb_stream_say_user(hkb_stream_self *self, hkb_stream_conn *conn)
{
    struct ucred user;
    socklen_t bytes = sizeof(user);
    char name[16];
    if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &user, &bytes) == 0) {
        (void)snprintf(name, sizeof(name), "%u", (unsigned)user.uid);
        hkb_stream_identity(self, conn, "uid", name);
    }
}

/* How much more than before of what begins is there in data. */
static size_t match(const char *begins, size_t before, const unsigned char *data, size_t bytes)
{
    size_t length = strlen(begins), more = 0;
    while (more < bytes && before + more < length &&
           data[more] == (unsigned char)begins[before + more]) {
        more++;
    }
    return more;
}

static void pass(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                 size_t bytes)
{
    if (self->busy != conn || bytes == 0 || conn->farewell) {
        return;
    }
    if (conn->layer) {
        conn->layer->received(self, conn, data, bytes);
    } else {
        self->host->received(conn->carrier, data, bytes);
    }
}

/* The first bytes of an accepted connection say what it is. As many as were the layer's are known
 * without having been kept. */
static void decide(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                   size_t bytes)
{
    const hkb_stream_layer *layer = self->layer;
    size_t before = conn->begun_bytes, more = match(layer->begins, before, data, bytes);
    bool matches = before + more == strlen(layer->begins);
    conn->begun_bytes = (uint8_t)(before + more);
    if (!matches && more == bytes) {
        return;
    }
    hkb_stream_policy *policy = conn->policy;
    hakuban_status status = HAKUBAN_OK;
    conn->policy = NULL;
    if (matches) {
        conn->layer = layer;
        status = layer->accepted(self, conn, policy);
    } else if (self->layered) {
        hkb_stream_carries(self, conn, HAKUBAN_CARRIES_BYTES);
    }
    (void)hkb_stream_policy_unref(self, policy);
    if (status < 0) {
        hkb_stream_finish(self, conn, status, hakuban_status_text(status));
        return;
    }
    pass(self, conn, (const unsigned char *)layer->begins, before);
    pass(self, conn, data, bytes);
}

void hkb_stream_give(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes)
{
    if (conn->policy) {
        decide(self, conn, data, bytes);
    } else {
        pass(self, conn, data, bytes);
    }
}

/* A record of TLS that begins a handshake. No hello of ours has a body of 22 bytes. */
static bool begins_tls(const unsigned char *data, size_t bytes)
{
    return bytes > 1 && data[0] == 0x16 && data[1] == 0x03;
}

static void take(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                 size_t bytes)
{
    bool first = conn->fresh;
    conn->fresh = false;
    if (conn->farewell) {
        return;
    }
    if (self->cipher) {
        self->cipher->received(self, conn, data, bytes);
    } else if (first && begins_tls(data, bytes)) {
        hkb_stream_part(self, conn, HAKUBAN_ERR_PROTOCOL,
                        "the peer speaks TLS, and this bind does not: tls:// and wss:// do");
    } else {
        hkb_stream_give(self, conn, data, bytes);
    }
}

static bool is_full(const hkb_stream_self *self, const hkb_stream_conn *conn)
{
    const hakuban_transport_host *host = self->host;
    return host->size >= offsetof(hakuban_transport_host, full) + sizeof(host->full) &&
           host->full && !conn->farewell && host->full(conn->carrier);
}

void hkb_stream_resume(void *self_memory, void *conn_memory)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_conn *conn = conn_memory;
    bool paused = conn->paused;
    conn->paused = false;
    if (paused && !conn->over && watch(self, conn)) {
        (void)hkb_stream_fail(self, conn, ENOMEM);
    }
}

/* While the host has enough, the kernel keeps what comes. */
static void stop_reading(hkb_stream_self *self, hkb_stream_conn *conn)
{
    conn->paused = true;
    if (watch(self, conn)) {
        conn->failure = ENOMEM;
    }
}

/* A short read means that nothing more is there, so the call that would only answer EAGAIN is
 * saved. After every upcall the connection may be gone. */
static void read_in(hkb_stream_self *self, hkb_stream_conn *conn)
{
    for (unsigned reads = 0; reads < READS_PER_TURN; reads++) {
        ssize_t got = recv(conn->fd, self->buffer, READ_BYTES, MSG_DONTWAIT);
        if (got == 0) {
            hkb_stream_finish(self, conn, HAKUBAN_ERR_CLOSED,
                              self->cipher && !conn->secured
                                  ? "the other side closed the connection before both had agreed "
                                    "on TLS"
                                  : "the other side closed the connection");
            return;
        }
        if (got < 0) {
            int error = errno;
            if (error != EAGAIN && error != EWOULDBLOCK && error != EINTR) {
                hkb_stream_finish(self, conn, HAKUBAN_ERR_IO, strerror(error));
            }
            return;
        }
        take(self, conn, self->buffer, (size_t)got);
        if (self->busy != conn || (size_t)got < READ_BYTES || is_full(self, conn)) {
            return;
        }
    }
}

/* For a peer that was told why in good time and has not even read that. After a usual close, what
 * is left for the peer would stay in the kernel for minutes, and the peer, whose window is shut,
 * would hear of no end. */
static void give_up(hkb_stream_self *self, hkb_stream_conn *conn)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int unread_bytes = 0;
#ifdef SIOCOUTQ
    (void)ioctl(conn->fd, SIOCOUTQ, &unread_bytes);
#endif
    if (conn->rest || unread_bytes > 0) {
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    hkb_stream_finish(self, conn, conn->farewell->why, conn->farewell->text);
}

static void conn_ready(hkb_stream_self *self, hkb_stream_conn *conn, unsigned events)
{
    if ((events & HAKUBAN_WRITE) && conn->rest) {
        write_rest(self, conn);
    }
    if (self->busy == conn && ((events & HAKUBAN_READ) || conn->failure)) {
        if (is_full(self, conn)) {
            stop_reading(self, conn);
        } else {
            read_in(self, conn);
        }
    }
    if (self->busy != conn) {
        return;
    }
    if (conn->failure) {
        hkb_stream_finish(self, conn,
                          conn->failure == ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO,
                          strerror(conn->failure));
    } else if (events == 0 && conn->farewell) {
        give_up(self, conn);
    } else if (events == 0 && self->cipher && !conn->secured) {
        hkb_stream_finish(self, conn, HAKUBAN_ERR_TIMEOUT,
                          "both sides had not agreed on TLS in time");
    } else if (events == 0 && conn->layer) {
        conn->layer->late(self, conn);
    }
}

void hkb_stream_ready(void *self_memory, void *owner, unsigned events, uint64_t now_ns)
{
    hkb_stream_self *self = self_memory;
    self->busy = owner;
    if (*(hkb_stream_kind *)owner == HKB_STREAM_LISTENER) {
        hkb_stream_listener_ready(self, owner, now_ns);
    } else if (((hkb_stream_conn *)owner)->dialing) {
        hkb_stream_dial_ready(self, owner, events, now_ns);
    } else {
        conn_ready(self, owner, events);
    }
    self->busy = NULL;
}

void hkb_stream_shutdown(void *self_memory, void *conn_memory)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_conn *conn = conn_memory;
    bool again = conn->ending;
    conn->ending = true;
    if (again || conn->dialing || conn->farewell || conn->failure) {
        return;
    }
    if (conn->layer) {
        conn->layer->shutdown(self, conn);
    } else if (ends_here(self, conn)) {
        end_writing(self, conn);
    }
}

void hkb_stream_close(void *self_memory, void *conn_memory)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_conn *conn = conn_memory;
    if (conn->layer) {
        hkb_stream_shutdown(self, conn);
    }
    if (self->cipher && !conn->over) {
        self->cipher->shutdown(self, conn);
    }
    if (!conn->over) {
        hkb_stream_finish(self, conn, HAKUBAN_ERR_CLOSED, "closed on this side");
    }
}
