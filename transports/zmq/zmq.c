/* The transports zmq+tcp:// and zmq+ipc:///: whole messages over ZeroMQ, a DEALER per dial and a
 * ROUTER per listener. How a connection comes about is in zmq_dial.c and zmq_listen.c. Knows no
 * event loop and nothing of what is said. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "zmq_transport.h"

/* The carrier's window bounds what is on its way; these are for peers that keep no window. */
#define SEND_MESSAGES_MAX 64
#define RECEIVE_MESSAGES_MAX 64
#define KERNEL_BYTES (128 * 1024)
#define HANDSHAKE_MS 5000
#define LIBZMQ_THREADS 2 /* one for the connections, one that closes sockets */
#define PROBES_MAX 500
#define PROBE_NS                                                                                   \
    (2 * UINT64_C(1000000)) /* libzmq does not tell when a connection's end has reached the socket \
                             */
#define RETRY_NS                                                                                   \
    (20 * UINT64_C(1000000)) /* that there is room again shows at the descriptor, mostly */

uint64_t hkb_zmq_now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * HKB_ZMQ_SECOND_NS + (uint64_t)time.tv_nsec;
}

/* libzmq aborts where it finds itself without a descriptor at a bad moment. Descriptors are given
 * out lowest first, so the lowest free one tells how near the limit is. */
int hkb_zmq_spare_fds(const hkb_zmq_self *self)
{
    struct rlimit limit;
    int fd = fcntl(self->bell, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd + HKB_ZMQ_SPARE_FDS >= limit.rlim_cur) {
        return EMFILE;
    }
    return 0;
}

/* -- Turns -- */

static void ring(const hkb_zmq_self *self)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(self->bell, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

void hkb_zmq_again(hkb_zmq_self *self, hkb_zmq_socket *socket)
{
    if (!socket->again) {
        socket->again = true;
        ring(self);
    }
}

void hkb_zmq_again_at(hkb_zmq_self *self, hkb_zmq_socket *socket, uint64_t when_ns)
{
    if (self->host->wake_at(self->host->host, socket, when_ns)) {
        hkb_zmq_again(self, socket);
    }
}

static void turn(hkb_zmq_self *self, hkb_zmq_socket *socket, uint64_t now_ns)
{
    self->busy = socket;
    if (socket->kind == HKB_ZMQ_DEALER) {
        hkb_zmq_dealer_turn(self, (hkb_zmq_conn *)socket, now_ns);
    } else {
        hkb_zmq_router_turn(self, (hkb_zmq_router *)socket, now_ns);
    }
    self->busy = NULL;
}

/* One turn for each socket that wants one now; a socket that wants another one meanwhile rings
 * again. */
static void answer_bell(hkb_zmq_self *self, uint64_t now_ns)
{
    uint64_t count;
    ssize_t got;
    do {
        got = read(self->bell, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
    for (hkb_zmq_socket *each = self->sockets; each; each = each->next) {
        each->due_now = each->again;
        each->again = false;
    }
    hkb_zmq_socket *each = self->sockets;
    while (each) {
        if (each->due_now) {
            each->due_now = false;
            turn(self, each, now_ns);
            each = self->sockets; /* the turn may have ended any of them */
        } else {
            each = each->next;
        }
    }
}

static void ready(void *self_memory, void *owner, unsigned events, uint64_t now_ns)
{
    (void)events;
    hkb_zmq_self *self = self_memory;
    if (owner == self) {
        answer_bell(self, now_ns);
    } else {
        turn(self, owner, now_ns);
    }
}

/* -- Sockets -- */

int hkb_zmq_option(void *zmq, int option, int value)
{
    return zmq_setsockopt(zmq, option, &value, sizeof(value)) == 0 ? 0 : errno;
}

/* Options that an int cannot hold, or that a version of libzmq may refuse, change nothing that is
 * relied on. */
static int set_options(void *zmq, int type)
{
    static const struct {
        int option, value;
    } common[] = {
        {ZMQ_SNDHWM, SEND_MESSAGES_MAX},
        {ZMQ_RCVHWM, RECEIVE_MESSAGES_MAX},
        {ZMQ_SNDBUF, KERNEL_BYTES},
        {ZMQ_RCVBUF, KERNEL_BYTES},
        {ZMQ_RECONNECT_IVL, -1}, /* the host dials again, with a new socket */
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_LINGER, 0},
    };
    int error = 0;
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]) && !error; i++) {
        error = hkb_zmq_option(zmq, common[i].option, common[i].value);
    }
    const int64_t bytes_max = HAKUBAN_MESSAGE_BYTES_MAX;
    if (!error && zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &bytes_max, sizeof(bytes_max)) != 0) {
        error = errno;
    }
    if (error) {
        return error;
    }
    if (type == ZMQ_ROUTER) {
        error = hkb_zmq_option(zmq, ZMQ_BACKLOG, SOMAXCONN);
        return error ? error : hkb_zmq_option(zmq, ZMQ_ROUTER_MANDATORY, 1);
    }
    /* A session begins with an empty message, so that the listener sees it before anything is said.
     */
    return hkb_zmq_option(zmq, ZMQ_PROBE_ROUTER, 1);
}

static int descriptor(void *zmq, int *ret_fd)
{
    size_t bytes = sizeof(*ret_fd);
    return zmq_getsockopt(zmq, ZMQ_FD, ret_fd, &bytes) == 0 ? 0 : errno;
}

static int open_monitor(hkb_zmq_self *self, hkb_zmq_socket *socket, int events)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "inproc://hakuban-monitor-%lu", self->monitors++);
    if (zmq_socket_monitor(socket->zmq, name, events) != 0) {
        return errno;
    }
    socket->monitor = zmq_socket(self->context, ZMQ_PAIR);
    if (!socket->monitor) {
        return errno;
    }
    /* Without a limit: at one libzmq's own thread would wait for us. */
    int error = hkb_zmq_option(socket->monitor, ZMQ_RCVHWM, 0);
    if (!error) {
        error = hkb_zmq_option(socket->monitor, ZMQ_LINGER, 0);
    }
    if (!error && zmq_connect(socket->monitor, name) != 0) {
        error = errno;
    }
    return error;
}

static int watch(hkb_zmq_self *self, hkb_zmq_socket *socket)
{
    const hakuban_transport_host *host = self->host;
    int error = descriptor(socket->zmq, &socket->fd);
    if (!error) {
        error = descriptor(socket->monitor, &socket->monitor_fd);
    }
    if (error) {
        return error;
    }
    return host->fd_set(host->host, socket, socket->fd, HAKUBAN_READ) ||
                   host->fd_set(host->host, socket, socket->monitor_fd, HAKUBAN_READ)
               ? ENOMEM
               : 0;
}

static void *wait_for_lock(void *lock)
{
    (void)pthread_mutex_lock(lock);
    (void)pthread_mutex_unlock(lock);
    return NULL;
}

/* With the first socket libzmq starts its threads, and aborts where it cannot. So it is tried first
 * whether as many can be there at the same time. */
static int try_threads(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[LIBZMQ_THREADS];
    sigset_t all, before;
    int count = 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)pthread_mutex_lock(&lock);
    while (count < LIBZMQ_THREADS &&
           pthread_create(&threads[count], NULL, wait_for_lock, &lock) == 0) {
        count++;
    }
    (void)pthread_mutex_unlock(&lock);
    for (int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count < LIBZMQ_THREADS ? EMTHREAD : 0;
}

int hkb_zmq_socket_open(hkb_zmq_self *self, hkb_zmq_socket *socket, int type, int events)
{
    int error = hkb_zmq_spare_fds(self);
    if (!error && !self->started) {
        error = try_threads();
    }
    if (error) {
        return error;
    }
    socket->fd = socket->monitor_fd = -1;
    socket->monitor = NULL;
    socket->zmq = zmq_socket(self->context, type);
    if (!socket->zmq) {
        return errno;
    }
    self->started = true;
    socket->next = self->sockets;
    socket->carrier = &self->sockets;
    if (socket->next) {
        socket->next->carrier = &socket->next;
    }
    self->sockets = socket;
    error = set_options(socket->zmq, type);
    if (!error) {
        error = open_monitor(self, socket, events);
    }
    if (!error) {
        error = watch(self, socket);
    }
    if (error) {
        hkb_zmq_socket_close(self, socket, 0);
    }
    return error;
}

void hkb_zmq_socket_close(hkb_zmq_self *self, hkb_zmq_socket *socket, int linger_ms)
{
    const hakuban_transport_host *host = self->host;
    if (!socket->zmq) {
        return;
    }
    if (socket->fd >= 0) {
        (void)host->fd_set(host->host, socket, socket->fd, 0);
    }
    if (socket->monitor_fd >= 0) {
        (void)host->fd_set(host->host, socket, socket->monitor_fd, 0);
    }
    socket->fd = socket->monitor_fd = -1;
    /* In this order: libzmq's thread would wait for ever for a monitor that is not read. */
    (void)zmq_socket_monitor(socket->zmq, NULL, 0);
    if (socket->monitor) {
        (void)zmq_close(socket->monitor);
    }
    (void)hkb_zmq_option(socket->zmq, ZMQ_LINGER, linger_ms);
    (void)zmq_close(socket->zmq);
    socket->zmq = socket->monitor = NULL;
    socket->again = socket->due_now = false;
    *socket->carrier = socket->next;
    if (socket->next) {
        socket->next->carrier = socket->carrier;
    }
}

bool hkb_zmq_readable(void *zmq)
{
    int events = 0;
    size_t bytes = sizeof(events);
    return zmq_getsockopt(zmq, ZMQ_EVENTS, &events, &bytes) == 0 && (events & ZMQ_POLLIN);
}

bool hkb_zmq_event(void *monitor, unsigned *ret_event, uint32_t *ret_value)
{
    zmq_msg_t what, where;
    unsigned char data[sizeof(uint16_t) + sizeof(uint32_t)] = {0};
    (void)zmq_msg_init(&what);
    if (zmq_msg_recv(&what, monitor, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&what);
        return false;
    }
    if (zmq_msg_size(&what) == sizeof(data)) {
        memcpy(data, zmq_msg_data(&what), sizeof(data));
    }
    if (zmq_msg_more(&what)) {
        (void)zmq_msg_init(&where);
        (void)zmq_msg_recv(&where, monitor, ZMQ_DONTWAIT);
        (void)zmq_msg_close(&where);
    }
    (void)zmq_msg_close(&what);
    uint16_t event;
    memcpy(&event, data, sizeof(event));
    memcpy(ret_value, data + sizeof(event), sizeof(*ret_value));
    *ret_event = event;
    return true;
}

/* -- Connections -- */

static hkb_zmq_socket *socket_of(hkb_zmq_conn *conn)
{
    return conn->router ? hkb_zmq_router_socket(conn->router) : &conn->socket;
}

/* The first part says whose message it is; only then is it known whether there is room. */
static int send_address(const hkb_zmq_conn *conn, void *zmq)
{
    if (!conn->router) {
        return 0;
    }
    unsigned char id[1 + sizeof(conn->id)] = {0};
    memcpy(id + 1, &conn->id, sizeof(conn->id));
    return zmq_send(zmq, id, sizeof(id), ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ? errno : 0;
}

int hkb_zmq_send(hkb_zmq_conn *conn, zmq_msg_t *message)
{
    void *zmq = socket_of(conn)->zmq;
    int error = send_address(conn, zmq);
    if (error) {
        return error;
    }
    int sent =
        message ? zmq_msg_send(message, zmq, ZMQ_DONTWAIT) : zmq_send(zmq, NULL, 0, ZMQ_DONTWAIT);
    return sent < 0 ? errno : 0;
}

bool hkb_zmq_send_end(hkb_zmq_conn *conn)
{
    void *zmq = socket_of(conn)->zmq;
    if (conn->ended) {
        return true;
    }
    if (conn->keeps || conn->lost || send_address(conn, zmq) ||
        zmq_send(zmq, NULL, 0, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return false;
    }
    (void)zmq_send(zmq, NULL, 0, ZMQ_DONTWAIT);
    conn->ended = true;
    return true;
}

hkb_zmq_content hkb_zmq_receive_rest(void *zmq, zmq_msg_t *first)
{
    size_t bytes = zmq_msg_size(first);
    unsigned parts = 1;
    bool more = zmq_msg_more(first);
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        more = zmq_msg_recv(&part, zmq, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&part);
        bytes += zmq_msg_size(&part);
        parts += parts < 3;
        (void)zmq_msg_close(&part);
    }
    if (parts == 1) {
        return bytes ? HKB_ZMQ_MESSAGE : HKB_ZMQ_EMPTY;
    }
    return parts == 2 && bytes == 0 ? HKB_ZMQ_END : HKB_ZMQ_ODD;
}

void hkb_zmq_drop_kept(hkb_zmq_conn *conn)
{
    if (conn->keeps) {
        (void)zmq_msg_close(&conn->kept);
        conn->keeps = false;
    }
}

uint64_t hkb_zmq_look_after(hkb_zmq_conn *conn, bool *ret_writable)
{
    *ret_writable = false;
    if (conn->lost) {
        return 0;
    }
    if (conn->keeps) {
        int error = hkb_zmq_send(conn, &conn->kept);
        if (!error) {
            conn->keeps = false;
            *ret_writable = !conn->ending;
        } else if (error != EAGAIN) {
            conn->lost = true;
        }
    }
    if (conn->ending) {
        (void)hkb_zmq_send_end(conn);
    }
    if (conn->parting) {
        /* A dealer's only way out is full or not there; what was kept will not leave either way. */
        int error = hkb_zmq_send(conn, NULL);
        if ((error && (error != EAGAIN || !conn->router)) || ++conn->probes > PROBES_MAX) {
            conn->lost = true;
        }
    }
    if (conn->lost) {
        *ret_writable = false;
        return 0;
    }
    if (conn->parting) {
        return PROBE_NS;
    }
    return conn->keeps || (conn->ending && !conn->ended) ? RETRY_NS : 0;
}

/* The owner's next turn sees to it. */
static void attend(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    if (conn->router) {
        hkb_zmq_router_attend(self, conn);
    } else {
        hkb_zmq_again(self, &conn->socket);
    }
}

/* closed() follows from ready(): the caller is in the middle of its own work. */
static hakuban_status fail(hkb_zmq_self *self, hkb_zmq_conn *conn, hakuban_status why)
{
    conn->lost = true;
    conn->failure = why;
    attend(self, conn);
    return why ? why : HAKUBAN_ERR_CLOSED;
}

static hakuban_status send_message(void *self_memory, void *conn_memory, const hakuban_slice *parts,
                                   unsigned part_count)
{
    hkb_zmq_self *self = self_memory;
    hkb_zmq_conn *conn = conn_memory;
    if (conn->lost || conn->parting) {
        return HAKUBAN_ERR_CLOSED;
    }
    if (conn->dialing || conn->ending || conn->keeps || part_count > HAKUBAN_SEND_PARTS_MAX) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    size_t total = 0;
    for (unsigned i = 0; i < part_count; i++) {
        total += parts[i].bytes;
    }
    if (total == 0) {
        return HAKUBAN_OK; /* an empty message means something else here */
    }
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, total) != 0) {
        return fail(self, conn, HAKUBAN_ERR_NO_MEMORY);
    }
    unsigned char *to = zmq_msg_data(&message);
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].bytes > 0) {
            memcpy(to, parts[i].data, parts[i].bytes);
            to += parts[i].bytes;
        }
    }
    int error = hkb_zmq_send(conn, &message);
    hakuban_status status = HAKUBAN_OK;
    if (error == EAGAIN) {
        conn->kept = message;
        conn->keeps = true;
        attend(self, conn);
        status = HAKUBAN_OK_FULL;
    } else if (error) {
        (void)zmq_msg_close(&message);
        status = fail(self, conn, HAKUBAN_OK);
    }
    hkb_zmq_socket *socket = socket_of(conn);
    if (hkb_zmq_readable(socket->zmq)) {
        hkb_zmq_again(self, socket); /* the descriptor may not say so any more */
    }
    return status;
}

static void end_writing(void *self_memory, void *conn_memory)
{
    hkb_zmq_conn *conn = conn_memory;
    if (!conn->ending) {
        conn->ending = true;
        if (!conn->dialing) {
            attend(self_memory, conn);
        }
    }
}

static void close_conn(void *self_memory, void *conn_memory)
{
    hkb_zmq_conn *conn = conn_memory;
    static const char text[] = "closed on this side";
    if (conn->router) {
        hkb_zmq_router_finish(self_memory, conn, HAKUBAN_ERR_CLOSED, text);
        return;
    }
    bool polite = !conn->dialing && hkb_zmq_send_end(conn);
    hkb_zmq_dealer_finish(self_memory, conn, polite ? HKB_ZMQ_CLOSE_MS : 0, HAKUBAN_ERR_CLOSED,
                          text);
}

/* -- From init to done -- */

static hakuban_status init(void *self_memory, const hakuban_transport_host *host)
{
    hkb_zmq_self *self = self_memory;
    self->kind = HKB_ZMQ_BELL;
    self->host = host;
    self->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->bell < 0) {
        return HAKUBAN_ERR_IO;
    }
    self->context = zmq_ctx_new(); /* one thread, started with the first socket */
    if (self->context && !host->fd_set(host->host, self, self->bell, HAKUBAN_READ)) {
        return HAKUBAN_OK;
    }
    if (self->context) {
        (void)zmq_ctx_term(self->context);
        self->context = NULL;
    }
    (void)close(self->bell);
    return HAKUBAN_ERR_NO_MEMORY;
}

static void done(void *self_memory)
{
    hkb_zmq_self *self = self_memory;
    if (!self->context) {
        return;
    }
    while (self->sockets) {
        /* Connections are closed by now; routers may still have waited for last words to leave. */
        hkb_zmq_router_free(self, (hkb_zmq_router *)self->sockets);
    }
    (void)self->host->fd_set(self->host->host, self, self->bell, 0);
    (void)close(self->bell);
    int ended;
    do {
        ended = zmq_ctx_term(self->context);
    } while (ended != 0 && errno == EINTR);
    self->context = NULL;
}

#define TABLE(name, the_flags)                                                                     \
    {                                                                                              \
        .size = sizeof(hakuban_transport_ops),                                                     \
        .abi = HAKUBAN_TRANSPORT_ABI,                                                              \
        .scheme = (name),                                                                          \
        .flags = (the_flags),                                                                      \
        .self_bytes = sizeof(hkb_zmq_self),                                                        \
        .listener_bytes = sizeof(hkb_zmq_listener),                                                \
        .conn_bytes = sizeof(hkb_zmq_conn),                                                        \
        .init = init,                                                                              \
        .done = done,                                                                              \
        .listen = hkb_zmq_listen,                                                                  \
        .unlisten = hkb_zmq_unlisten,                                                              \
        .dial = hkb_zmq_dial,                                                                      \
        .send = send_message,                                                                      \
        .shutdown = end_writing,                                                                   \
        .close = close_conn,                                                                       \
        .ready = ready,                                                                            \
        .check = hkb_zmq_check,                                                                    \
    }

const hakuban_transport_ops hakuban_transport_zmq_tcp = TABLE("zmq+tcp", HAKUBAN_TRANSPORT_NAMES);
const hakuban_transport_ops hakuban_transport_zmq_ipc = TABLE("zmq+ipc", 0);
