/* Listening and accepting, with what keeps a flood or a lack of descriptors from becoming a busy
 * loop. Moves no data. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/local.h"
#include "stream.h"

#define SECOND_NS UINT64_C(1000000000)
#define ACCEPTS_PER_TURN 64
#define ACCEPT_NS (SECOND_NS / 2000) /* at most 2,000 a second */
#define CREDIT_NS_MAX (ACCEPTS_PER_TURN * ACCEPT_NS)

static hakuban_status cannot(const char *where, int error, hakuban_error *reterr)
{
    return hakuban_error_set(reterr, hkb_address_status(error), "cannot listen on %s: %s", where,
                             strerror(error));
}

/* A socket that is bound and listens in *ret_fd; an errno, or 0. access: of one with a path. */
static int bind_to(const hkb_address *address, const hkb_local_access *access, int *ret_fd)
{
    int family = address->is.any.sa_family, on = 1, off = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    if (family != AF_UNIX) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (family == AF_INET6) {
        /* [::] means every address, whatever this machine's default is. */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (access) {
        hkb_local_access_prepare(access, fd);
    }
    int error = bind(fd, &address->is.any, address->bytes) != 0 ? errno : 0;
    if (!error && access) {
        error = hkb_local_access_apply(access, address->is.local.sun_path);
        if (error) {
            (void)unlink(address->is.local.sun_path);
        }
    }
    if (!error && listen(fd, SOMAXCONN) != 0) {
        error = errno;
    }
    if (error) {
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static hakuban_status listen_tcp(hkb_stream_listener *listener, const hakuban_url *url,
                                 const char *where, hakuban_error *reterr)
{
    hkb_address address;
    if (!hkb_stream_numeric(url, &address)) {
        return hkb_address_no_number(url, reterr);
    }
    int error = bind_to(&address, NULL, &listener->fd);
    return error ? cannot(where, error, reterr) : HAKUBAN_OK;
}

static hakuban_status cannot_unix(const hakuban_url *url, const char *where, int error,
                                  hakuban_error *reterr)
{
    struct stat file;
    if (error == ENOENT) {
        int parent_bytes = (int)(strrchr(url->path, '/') - url->path);
        return hakuban_error_set(reterr, HAKUBAN_ERR_NOT_FOUND,
                                 "cannot listen on %s: there is no directory %.*s", where,
                                 parent_bytes ? parent_bytes : 1, url->path);
    }
    if (error == EADDRINUSE && lstat(url->path, &file) == 0 && !S_ISSOCK(file.st_mode)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_EXISTS,
                                 "cannot listen on %s: the file exists and is no socket", where);
    }
    return cannot(where, error, reterr);
}

static hakuban_status listen_unix(hkb_stream_self *self, hkb_stream_listener *listener,
                                  const hakuban_url *url, const char *where, hakuban_error *reterr)
{
    const hakuban_alloc *alloc = self->host->alloc;
    size_t path_bytes = strlen(url->path) + 1;
    hkb_local_access access;
    hakuban_status status = hkb_local_access_read(url, &access, reterr);
    if (status < 0) {
        return status;
    }
    char *path = alloc->alloc(alloc->ctx, path_bytes);
    if (!path) {
        return cannot(where, ENOMEM, reterr);
    }
    hkb_address address;
    struct stat file;
    (void)hkb_stream_numeric(url, &address);
    int lock = hkb_local_lock(url->path);
    int error = bind_to(&address, &access, &listener->fd);
    if (error == EADDRINUSE && hkb_local_is_stale(url->path)) {
        (void)unlink(url->path);
        error = bind_to(&address, &access, &listener->fd);
    }
    if (!error && stat(url->path, &file) != 0) {
        error = errno;
        (void)close(listener->fd);
        listener->fd = -1;
    }
    hkb_local_unlock(lock);
    if (error) {
        alloc->free(alloc->ctx, path, path_bytes);
        return cannot_unix(url, where, error, reterr);
    }
    memcpy(path, url->path, path_bytes);
    listener->path = path;
    listener->path_bytes = path_bytes;
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
    return HAKUBAN_OK;
}

/* Puts into out where the listener can be reached; false: it does not fit. */
static bool own_url(const hkb_stream_listener *listener, const char *scheme, char *out,
                    size_t out_bytes)
{
    int length = 0;
    if (listener->path) {
        length = snprintf(out, out_bytes, "unix://%s", listener->path);
    } else {
        hkb_address address = {.bytes = sizeof(address.is)};
        char text[HKB_ADDRESS_TEXT_BYTES];
        if (getsockname(listener->fd, &address.is.any, &address.bytes) != 0) {
            return false;
        }
        hkb_address_text(&address, text);
        length = snprintf(out, out_bytes, "%s://%s", scheme, text);
    }
    return length > 0 && (size_t)length < out_bytes;
}

/* What its layer and its cipher have made of its URL. */
static void forget(hkb_stream_self *self, hkb_stream_listener *listener)
{
    listener->policy = hkb_stream_policy_unref(self, listener->policy);
    if (listener->keys) {
        self->cipher->unlisten(self, listener->keys);
        listener->keys = NULL;
    }
}

hakuban_status hkb_stream_listen(void *self_memory, void *listener_memory, const hakuban_url *url,
                                 char *ret_url, size_t url_bytes, hakuban_error *reterr)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_listener *listener = listener_memory;
    char where[HKB_ADDRESS_WHERE_BYTES], reached[HKB_ADDRESS_WHERE_BYTES];
    hakuban_status status = hkb_stream_check(url, true, &listener->nodelay, reterr);
    if (status < 0) {
        return status;
    }
    hkb_address_where(url, where);
    listener->kind = HKB_STREAM_LISTENER;
    listener->fd = -1;
    if (self->layer) {
        status = self->layer->listen(self, url, &listener->policy, reterr);
        if (status < 0) {
            return status;
        }
    }
    if (self->cipher) {
        status = self->cipher->listen(self, url, &listener->keys, reterr);
    }
    if (status >= 0) {
        status = strcmp(url->scheme, "unix") == 0 ? listen_unix(self, listener, url, where, reterr)
                                                  : listen_tcp(listener, url, where, reterr);
    }
    if (status < 0) {
        forget(self, listener);
        return status;
    }
    if (!own_url(listener, url->scheme, reached, sizeof(reached)) || strlen(reached) >= url_bytes) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT,
                                   "cannot listen on %s: no room for the address it got", where);
    } else if (self->host->fd_set(self->host->host, listener, listener->fd, HAKUBAN_READ)) {
        status = cannot(where, ENOMEM, reterr);
    } else {
        memcpy(ret_url, reached, strlen(reached) + 1);
        return HAKUBAN_OK;
    }
    hkb_stream_unlisten(self, listener);
    return status;
}

void hkb_stream_unlisten(void *self_memory, void *listener_memory)
{
    hkb_stream_self *self = self_memory;
    hkb_stream_listener *listener = listener_memory;
    struct stat file;
    (void)self->host->wake_at(self->host->host, listener, UINT64_MAX);
    if (listener->path) {
        /* Another program may have put a socket of its own there meanwhile. */
        int lock = hkb_local_lock(listener->path);
        if (stat(listener->path, &file) == 0 && file.st_dev == listener->device &&
            file.st_ino == listener->inode) {
            (void)unlink(listener->path);
        }
        hkb_local_unlock(lock);
        self->host->alloc->free(self->host->alloc->ctx, listener->path, listener->path_bytes);
        listener->path = NULL;
    }
    hkb_stream_forget_fd(self, listener, &listener->fd);
    forget(self, listener);
    if (self->busy == listener) {
        self->busy = NULL;
    }
}

/* Only with a way to come back: a listener that waits for nothing would be deaf for ever. */
static void pause_until(hkb_stream_self *self, hkb_stream_listener *listener, uint64_t until_ns)
{
    if (!self->host->wake_at(self->host->host, listener, until_ns)) {
        (void)self->host->fd_set(self->host->host, listener, listener->fd, 0);
        listener->paused = true;
    }
}

static bool may_be_repeated(int error)
{
    /* What went wrong with one peer before it was accepted says nothing about the next one:
     * accept(2). */
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static void welcome(hkb_stream_self *self, hkb_stream_listener *listener, int fd,
                    const hkb_address *peer)
{
    char text[HKB_ADDRESS_TEXT_BYTES];
    void *memory = NULL, *secret = NULL;
    bool nodelay = listener->nodelay;
    if (self->cipher && !(secret = self->cipher->accepted(self, listener->keys))) {
        (void)close(fd);
        return;
    }
    hkb_stream_policy *policy = listener->policy;
    if (policy) {
        policy->references++; /* the connection's; the listener may go meanwhile */
    }
    hkb_address_text(peer, text);
    hakuban_carrier *carrier = self->host->accepted(self->host->host, listener, text, &memory);
    if (!carrier) {
        (void)hkb_stream_policy_unref(self, policy);
        if (secret) {
            self->cipher->free(self, secret);
        }
        (void)close(fd);
        return;
    }
    hkb_stream_conn *conn = memory;
    conn->kind = HKB_STREAM_CONN;
    conn->fd = fd;
    conn->carrier = carrier;
    conn->policy = policy;
    conn->secret = secret;
    conn->fresh = true;
    hkb_stream_options(fd, peer->is.any.sa_family, nodelay);
    if (hkb_stream_open(self, conn)) {
        hkb_stream_finish(self, conn, HAKUBAN_ERR_NO_MEMORY, strerror(ENOMEM));
    } else if (peer->is.any.sa_family == AF_UNIX) {
        hkb_stream_say_user(self, conn);
    }
}

static void earn_credit(hkb_stream_listener *listener, uint64_t now_ns)
{
    uint64_t elapsed_ns = now_ns - listener->last_ns;
    listener->last_ns = now_ns;
    listener->credit_ns = elapsed_ns < CREDIT_NS_MAX - listener->credit_ns
                              ? listener->credit_ns + elapsed_ns
                              : CREDIT_NS_MAX;
}

void hkb_stream_listener_ready(hkb_stream_self *self, hkb_stream_listener *listener,
                               uint64_t now_ns)
{
    if (listener->paused) {
        if (self->host->fd_set(self->host->host, listener, listener->fd, HAKUBAN_READ)) {
            pause_until(self, listener, now_ns + SECOND_NS);
            return;
        }
        listener->paused = false;
    }
    earn_credit(listener, now_ns);
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && listener->credit_ns >= ACCEPT_NS; i++) {
        hkb_address peer = {.bytes = sizeof(peer.is)};
        int fd = accept4(listener->fd, &peer.is.any, &peer.bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener->credit_ns -= ACCEPT_NS;
            welcome(self, listener, fd, &peer);
            if (self->busy != listener) {
                return;
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!may_be_repeated(errno)) {
            /* EMFILE, ENFILE, ENOBUFS, ENOMEM: the peer stays in the queue, so accepting at once
             * would only spin. */
            self->host->trouble(self->host->host, listener, strerror(errno));
            pause_until(self, listener, now_ns + SECOND_NS);
            return;
        }
    }
    if (listener->credit_ns < ACCEPT_NS) {
        pause_until(self, listener, now_ns + CREDIT_NS_MAX);
    }
}
