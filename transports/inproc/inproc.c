/* The transport inproc://: whole messages between exchanges of one process, each perhaps on a
 * thread of its own. Two ends share one pipe; an eventfd per end says that there is something to
 * see. No lock is held over an upcall, and no two locks at once. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "inproc.h"

#define NAME_BYTES_MAX 108
#define WAITING_MAX 4096 /* dialers a listener has not got to yet */
#define ACCEPTS_PER_TURN 64
#define BYTES_PER_TURN (256u * 1024)
#define BUFFERED_BYTES_MAX (256u * 1024)
/* FULL while another message of the greatest size could go over the limit; writable again at half
 * of that. */
#define FULL_BYTES (BUFFERED_BYTES_MAX - HAKUBAN_MESSAGE_BYTES_MAX)
#define WRITABLE_BYTES (FULL_BYTES / 2)

struct message {
    struct message *next;
    size_t bytes;
    unsigned char data[];
};

struct end {
    int fd; /* -1 once this end is gone */
    bool signalled;
    bool ended;   /* sends no more; a gone end has ended too */
    bool waiting; /* was told FULL */
    struct message *first, **last;
    size_t bytes; /* in the inbox, with what the messages themselves take */
};

enum { DIALER = 0, ACCEPTOR = 1 };

/* Belongs to both ends: the last one to leave frees it. Everything in it is guarded by mutex. */
struct pipe_pair {
    pthread_mutex_t mutex;
    unsigned refs;
    bool accepted;
    struct pipe_pair *next; /* in the queue of a listener; guarded by the board's mutex */
    struct end ends[2];
};

enum kind { LISTENER = 1, CONN };

struct self {
    const hakuban_transport_host *host;
    hkb_inproc_board *board;
    void *busy; /* the owner ready() is working for; NULL once it has ended meanwhile */
};

struct hkb_inproc_listener {
    enum kind kind; /* first in both owners, so that ready() can tell them apart */
    int fd;
    char name[NAME_BYTES_MAX];
    struct hkb_inproc_listener *next;
    struct pipe_pair *first, **last; /* waiting to be accepted */
    unsigned waiting;
};

struct conn {
    enum kind kind;
    unsigned side;
    bool open;   /* opened() has been called, or need not be */
    bool broken; /* a message could not be taken: closed() is due */
    bool paused; /* nothing is handed over until resume() */
    hakuban_carrier *carrier;
    struct pipe_pair *pipe;
};

/* A global, because finding each other without being introduced is what this transport is for. It
 * holds listeners only while there are some, and needs no start and no end. */
static hkb_inproc_board process_board = HKB_INPROC_BOARD;

static const hakuban_alloc *shared_alloc(const hkb_inproc_board *board)
{
    return board->alloc ? board->alloc : hakuban_alloc_default();
}

static void free_messages(const hakuban_alloc *alloc, struct message *first)
{
    while (first) {
        struct message *next = first->next;
        alloc->free(alloc->ctx, first, sizeof(*first) + first->bytes);
        first = next;
    }
}

static void ring(int fd)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

static void quiet(int fd)
{
    uint64_t count;
    ssize_t got;
    do {
        got = read(fd, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
}

/* With the pipe locked. One system call, however much happens before the end looks. */
static void signal_end(struct end *end)
{
    if (end->fd >= 0 && !end->signalled) {
        end->signalled = true;
        ring(end->fd);
    }
}

static hakuban_status init(void *self_memory, const hakuban_transport_host *host)
{
    struct self *self = self_memory;
    self->host = host;
    self->board = host->param ? host->param : &process_board;
    return HAKUBAN_OK;
}

static hakuban_status check(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    (void)listening;
    if (url->authority[0] == '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "inproc:// needs a name, as in inproc://main");
    }
    if (url->path[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "inproc:// has no path, and here is one: %.120s", url->path);
    }
    if (strlen(url->authority) >= NAME_BYTES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "an inproc name has at most %d bytes",
                                 NAME_BYTES_MAX - 1);
    }
    return HAKUBAN_OK;
}

/* With the board locked. */
static struct hkb_inproc_listener *find(const hkb_inproc_board *board, const char *name)
{
    struct hkb_inproc_listener *each = board->listeners;
    while (each && strcmp(each->name, name) != 0) {
        each = each->next;
    }
    return each;
}

/* Pipes: born with the dialer's end and the acceptor's, each of which must be left. */

static struct pipe_pair *pipe_new(const hakuban_alloc *alloc)
{
    struct pipe_pair *pipe = alloc->alloc(alloc->ctx, sizeof(*pipe));
    if (!pipe) {
        errno = ENOMEM;
        return NULL;
    }
    memset(pipe, 0, sizeof(*pipe));
    pipe->refs = 2;
    for (unsigned i = 0; i < 2; i++) {
        pipe->ends[i].last = &pipe->ends[i].first;
        pipe->ends[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int error = errno;
    if (pipe->ends[0].fd >= 0 && pipe->ends[1].fd >= 0 &&
        pthread_mutex_init(&pipe->mutex, NULL) == 0) {
        return pipe;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pipe->ends[i].fd >= 0) {
            (void)close(pipe->ends[i].fd);
        }
    }
    alloc->free(alloc->ctx, pipe, sizeof(*pipe));
    errno = error;
    return NULL;
}

static void pipe_leave(const hakuban_alloc *alloc, struct pipe_pair *pipe, unsigned side)
{
    struct end *own = &pipe->ends[side];
    (void)pthread_mutex_lock(&pipe->mutex);
    struct message *unread = own->first;
    own->first = NULL;
    own->last = &own->first;
    own->bytes = 0;
    own->ended = true;
    (void)close(own->fd);
    own->fd = -1;
    signal_end(&pipe->ends[!side]);
    bool last = --pipe->refs == 0;
    (void)pthread_mutex_unlock(&pipe->mutex);
    free_messages(alloc, unread);
    if (last) {
        (void)pthread_mutex_destroy(&pipe->mutex);
        alloc->free(alloc->ctx, pipe, sizeof(*pipe));
    }
}

static void finish(struct self *self, struct conn *conn, hakuban_status why, const char *text)
{
    const hakuban_transport_host *host = self->host;
    (void)host->fd_set(host->host, conn, conn->pipe->ends[conn->side].fd, 0);
    pipe_leave(shared_alloc(self->board), conn->pipe, conn->side);
    conn->pipe = NULL;
    if (self->busy == conn) {
        self->busy = NULL;
    }
    host->closed(conn->carrier, why, text);
}

/* Listeners. */

static hakuban_status listen_at(void *self_memory, void *listener_memory, const hakuban_url *url,
                                char *ret_url, size_t url_bytes, hakuban_error *reterr)
{
    struct self *self = self_memory;
    struct hkb_inproc_listener *listener = listener_memory;
    hakuban_status status = check(url, 1, reterr);
    if (status < 0) {
        return status;
    }
    if (sizeof("inproc://") + strlen(url->authority) > url_bytes) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT,
                                 "cannot listen on inproc://%s: no room for its address",
                                 url->authority);
    }
    listener->kind = LISTENER;
    (void)snprintf(listener->name, sizeof(listener->name), "%s", url->authority);
    listener->last = &listener->first;
    listener->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (listener->fd < 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_IO, "cannot listen on inproc://%s: %s",
                                 listener->name, strerror(errno));
    }
    if (self->host->fd_set(self->host->host, listener, listener->fd, HAKUBAN_READ)) {
        (void)close(listener->fd);
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY,
                                 "cannot listen on inproc://%s: out of memory", listener->name);
    }
    (void)pthread_mutex_lock(&self->board->mutex);
    bool taken = find(self->board, listener->name) != NULL;
    if (!taken) {
        listener->next = self->board->listeners;
        self->board->listeners = listener;
    }
    (void)pthread_mutex_unlock(&self->board->mutex);
    if (taken) {
        (void)self->host->fd_set(self->host->host, listener, listener->fd, 0);
        (void)close(listener->fd);
        return hakuban_error_set(reterr, HAKUBAN_ERR_EXISTS,
                                 "cannot listen on inproc://%s: the name is in use",
                                 listener->name);
    }
    (void)snprintf(ret_url, url_bytes, "inproc://%s", listener->name);
    return HAKUBAN_OK;
}

static void unlisten(void *self_memory, void *listener_memory)
{
    struct self *self = self_memory;
    struct hkb_inproc_listener *listener = listener_memory;
    (void)pthread_mutex_lock(&self->board->mutex);
    struct hkb_inproc_listener **each = &self->board->listeners;
    while (*each != listener) {
        each = &(*each)->next;
    }
    *each = listener->next;
    struct pipe_pair *refused = listener->first;
    (void)pthread_mutex_unlock(&self->board->mutex);
    (void)self->host->fd_set(self->host->host, listener, listener->fd, 0);
    (void)close(listener->fd);
    while (refused) {
        struct pipe_pair *next = refused->next;
        pipe_leave(shared_alloc(self->board), refused, ACCEPTOR);
        refused = next;
    }
    if (self->busy == listener) {
        self->busy = NULL;
    }
}

static void welcome(struct self *self, struct hkb_inproc_listener *listener, struct pipe_pair *pipe)
{
    const hakuban_transport_host *host = self->host;
    void *memory = NULL;
    hakuban_carrier *carrier = host->accepted(host->host, listener, "inproc", &memory);
    if (!carrier) {
        pipe_leave(shared_alloc(self->board), pipe, ACCEPTOR);
        return;
    }
    struct conn *conn = memory;
    conn->kind = CONN;
    conn->side = ACCEPTOR;
    conn->open = true;
    conn->carrier = carrier;
    conn->pipe = pipe;
    if (host->fd_set(host->host, conn, pipe->ends[ACCEPTOR].fd, HAKUBAN_READ)) {
        finish(self, conn, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->accepted = true;
    signal_end(&pipe->ends[DIALER]);
    (void)pthread_mutex_unlock(&pipe->mutex);
}

static void listener_ready(struct self *self, struct hkb_inproc_listener *listener)
{
    quiet(listener->fd);
    for (unsigned i = 0; self->busy == listener; i++) {
        (void)pthread_mutex_lock(&self->board->mutex);
        struct pipe_pair *pipe = i < ACCEPTS_PER_TURN ? listener->first : NULL;
        if (pipe) {
            listener->first = pipe->next;
            listener->waiting--;
            if (!listener->first) {
                listener->last = &listener->first;
            }
        } else if (listener->first) {
            ring(listener->fd);
        }
        (void)pthread_mutex_unlock(&self->board->mutex);
        if (!pipe) {
            return;
        }
        welcome(self, listener, pipe);
    }
}

/* Connections. */

/* Puts pipe into the queue of the listener called name; false: there is no listener, or too many
 * wait. */
static bool queue_up(hkb_inproc_board *board, const char *name, struct pipe_pair *pipe,
                     bool *ret_crowded)
{
    (void)pthread_mutex_lock(&board->mutex);
    struct hkb_inproc_listener *listener = find(board, name);
    bool crowded = listener && listener->waiting >= WAITING_MAX;
    if (listener && !crowded) {
        if (!listener->first) {
            ring(listener->fd);
        }
        *listener->last = pipe;
        listener->last = &pipe->next;
        listener->waiting++;
    }
    (void)pthread_mutex_unlock(&board->mutex);
    *ret_crowded = crowded;
    return listener && !crowded;
}

static hakuban_status dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                           const hakuban_url *url, hakuban_error *reterr)
{
    struct self *self = self_memory;
    struct conn *conn = conn_memory;
    const hakuban_alloc *alloc = shared_alloc(self->board);
    hakuban_status status = check(url, 0, reterr);
    if (status < 0) {
        return status;
    }
    struct pipe_pair *pipe = pipe_new(alloc);
    if (!pipe) {
        return hakuban_error_set(reterr, errno == ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO,
                                 "cannot connect to inproc://%s: %s", url->authority,
                                 strerror(errno));
    }
    conn->kind = CONN;
    conn->side = DIALER;
    conn->carrier = carrier;
    conn->pipe = pipe;
    int fd = pipe->ends[DIALER].fd;
    bool crowded = false;
    if (self->host->fd_set(self->host->host, conn, fd, HAKUBAN_READ)) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY,
                                   "cannot connect to inproc://%s: out of memory", url->authority);
    } else if (!queue_up(self->board, url->authority, pipe, &crowded)) {
        (void)self->host->fd_set(self->host->host, conn, fd, 0);
        status =
            hakuban_error_set(reterr, crowded ? HAKUBAN_ERR_REFUSED : HAKUBAN_ERR_NOT_FOUND,
                              "cannot connect to inproc://%s: %s", url->authority,
                              crowded ? "too many are waiting for it" : "there is no listener");
    }
    if (status < 0) {
        conn->pipe = NULL;
        pipe_leave(alloc, pipe, DIALER);
        pipe_leave(alloc, pipe, ACCEPTOR);
    }
    return status;
}

/* closed() follows from ready(): the caller is in the middle of its own work. */
static hakuban_status fail(struct conn *conn, hakuban_status why)
{
    conn->broken = true;
    (void)pthread_mutex_lock(&conn->pipe->mutex);
    signal_end(&conn->pipe->ends[conn->side]);
    (void)pthread_mutex_unlock(&conn->pipe->mutex);
    return why;
}

static struct message *message_new(const hakuban_alloc *alloc, const hakuban_slice *parts,
                                   unsigned part_count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < part_count; i++) {
        bytes += parts[i].bytes;
    }
    struct message *made = alloc->alloc(alloc->ctx, sizeof(*made) + bytes);
    if (!made) {
        return NULL;
    }
    made->next = NULL;
    made->bytes = 0;
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].bytes > 0) {
            memcpy(made->data + made->bytes, parts[i].data, parts[i].bytes);
            made->bytes += parts[i].bytes;
        }
    }
    return made;
}

static hakuban_status send_message(void *self_memory, void *conn_memory, const hakuban_slice *parts,
                                   unsigned part_count)
{
    struct self *self = self_memory;
    struct conn *conn = conn_memory;
    if (conn->broken) {
        return HAKUBAN_ERR_CLOSED;
    }
    if (!conn->open || part_count > HAKUBAN_SEND_PARTS_MAX) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    const hakuban_alloc *alloc = shared_alloc(self->board);
    struct message *sent = message_new(alloc, parts, part_count);
    if (!sent) {
        return fail(conn, HAKUBAN_ERR_NO_MEMORY);
    }
    struct pipe_pair *pipe = conn->pipe;
    struct end *own = &pipe->ends[conn->side], *other = &pipe->ends[!conn->side];
    hakuban_status status = HAKUBAN_OK;
    (void)pthread_mutex_lock(&pipe->mutex);
    if (own->waiting || own->ended) {
        status = HAKUBAN_ERR_ARGUMENT;
    } else if (other->fd < 0) {
        /* It has said so by a signal, so closed() is on its way. */
        status = HAKUBAN_ERR_CLOSED;
    } else {
        *other->last = sent;
        other->last = &sent->next;
        other->bytes += sizeof(*sent) + sent->bytes;
        own->waiting = other->bytes > FULL_BYTES;
        status = own->waiting ? HAKUBAN_OK_FULL : HAKUBAN_OK;
        signal_end(other);
    }
    (void)pthread_mutex_unlock(&pipe->mutex);
    if (status < 0) {
        free_messages(alloc, sent);
    }
    return status;
}

/* The next message, or NULL: none, or enough for this turn. */
static struct message *next_message(struct pipe_pair *pipe, unsigned side, bool enough)
{
    struct end *own = &pipe->ends[side], *other = &pipe->ends[!side];
    (void)pthread_mutex_lock(&pipe->mutex);
    struct message *first = enough ? NULL : own->first;
    if (first) {
        own->first = first->next;
        own->bytes -= sizeof(*first) + first->bytes;
        if (!own->first) {
            own->last = &own->first;
        }
        if (other->waiting && own->bytes <= WRITABLE_BYTES) {
            signal_end(other);
        }
    } else if (own->first) {
        signal_end(own);
    }
    (void)pthread_mutex_unlock(&pipe->mutex);
    return first;
}

static bool is_full(const struct self *self, const struct conn *conn)
{
    const hakuban_transport_host *host = self->host;
    return host->size >= offsetof(hakuban_transport_host, full) + sizeof(host->full) &&
           host->full && host->full(conn->carrier);
}

/* Hands over what has arrived; the connection may be gone afterwards. */
static void take_in(struct self *self, struct conn *conn)
{
    const hakuban_alloc *alloc = shared_alloc(self->board);
    size_t taken = 0;
    while (self->busy == conn && !(conn->paused = is_full(self, conn))) {
        struct message *message = next_message(conn->pipe, conn->side, taken >= BYTES_PER_TURN);
        if (!message) {
            return;
        }
        taken += sizeof(*message) + message->bytes;
        self->host->received(conn->carrier, message->data, message->bytes);
        message->next = NULL;
        free_messages(alloc, message);
    }
}

/* What became of the connection besides messages: whether there is room again, and whether the
 * other end has ended and nothing is left to read. */
static void look(struct pipe_pair *pipe, unsigned side, bool *ret_writable, bool *ret_ended)
{
    struct end *own = &pipe->ends[side], *other = &pipe->ends[!side];
    (void)pthread_mutex_lock(&pipe->mutex);
    *ret_writable = own->waiting && !own->ended && other->fd >= 0 && other->bytes <= WRITABLE_BYTES;
    if (*ret_writable) {
        own->waiting = false;
    }
    *ret_ended = other->ended && !own->first;
    (void)pthread_mutex_unlock(&pipe->mutex);
}

static void conn_ready(struct self *self, struct conn *conn)
{
    struct pipe_pair *pipe = conn->pipe;
    struct end *own = &pipe->ends[conn->side];
    (void)pthread_mutex_lock(&pipe->mutex);
    quiet(own->fd);
    own->signalled = false;
    bool accepted = pipe->accepted, gone = pipe->ends[!conn->side].fd < 0;
    (void)pthread_mutex_unlock(&pipe->mutex);
    if (conn->broken) {
        finish(self, conn, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    if (!conn->open) {
        if (!accepted) {
            if (gone) {
                finish(self, conn, HAKUBAN_ERR_REFUSED, "the other side refused");
            }
            return;
        }
        conn->open = true;
        self->host->opened(conn->carrier);
    }
    if (self->busy == conn) {
        take_in(self, conn);
    }
    if (self->busy != conn) {
        return;
    }
    bool writable, ended;
    look(pipe, conn->side, &writable, &ended);
    if (ended && !conn->paused) {
        finish(self, conn, HAKUBAN_ERR_CLOSED, "the other side closed the connection");
    } else if (writable) {
        self->host->writable(conn->carrier);
    }
}

static void ready(void *self_memory, void *owner, unsigned events, uint64_t now_ns)
{
    (void)events;
    (void)now_ns;
    struct self *self = self_memory;
    self->busy = owner;
    if (*(enum kind *)owner == LISTENER) {
        listener_ready(self, owner);
    } else {
        conn_ready(self, owner);
    }
    self->busy = NULL;
}

static void resume(void *self_memory, void *conn_memory)
{
    (void)self_memory;
    struct conn *conn = conn_memory;
    if (conn->paused) {
        conn->paused = false;
        (void)pthread_mutex_lock(&conn->pipe->mutex);
        signal_end(&conn->pipe->ends[conn->side]);
        (void)pthread_mutex_unlock(&conn->pipe->mutex);
    }
}

static void end_writing(void *self_memory, void *conn_memory)
{
    (void)self_memory;
    struct conn *conn = conn_memory;
    struct pipe_pair *pipe = conn->pipe;
    (void)pthread_mutex_lock(&pipe->mutex);
    pipe->ends[conn->side].ended = true;
    signal_end(&pipe->ends[!conn->side]);
    (void)pthread_mutex_unlock(&pipe->mutex);
}

static void close_conn(void *self_memory, void *conn_memory)
{
    finish(self_memory, conn_memory, HAKUBAN_ERR_CLOSED, "closed on this side");
}

const hakuban_transport_ops hakuban_transport_inproc = {
    .size = sizeof(hakuban_transport_ops),
    .abi = HAKUBAN_TRANSPORT_ABI,
    .scheme = "inproc",
    .self_bytes = sizeof(struct self),
    .listener_bytes = sizeof(struct hkb_inproc_listener),
    .conn_bytes = sizeof(struct conn),
    .init = init,
    .listen = listen_at,
    .unlisten = unlisten,
    .dial = dial,
    .send = send_message,
    .shutdown = end_writing,
    .close = close_conn,
    .ready = ready,
    .check = check,
    .resume = resume,
};
