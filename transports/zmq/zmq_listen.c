/* Listening with a ROUTER and the turns of all connections that it has accepted: the peer of each
 * of libzmq's descriptors, peers that begin, are gone, are cut. libzmq names a peer by an id and
 * its connection by a descriptor; only both together are safe. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#endif

#include "common/local.h"
#include "zmq_transport.h"

#define MESSAGES_PER_TURN 256u
#define BYTES_PER_TURN (1024u * 1024)
#define BEGIN_NS (10 * HKB_ZMQ_SECOND_NS) /* from accepting to the beginning of a session */
#define SWEEP_NS (HKB_ZMQ_SECOND_NS / 4)
#define UNBIND_MS 1000
#define CALM_MS 2000  /* for those that are still introducing themselves when a socket ends */
#define CALM_ROUNDS 2 /* in a row without such a peer */
#define ACCEPTS_PER_TURN 256u
#define SHED_NS (HKB_ZMQ_SECOND_NS / 10)
#define BUCKETS_MIN 16u
#define ID_BYTES 5u
#define EVENTS                                                                                     \
    (ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED | \
     ZMQ_EVENT_CLOSED | ZMQ_EVENT_CLOSE_FAILED)

/* What libzmq's thread holds open under one number. Its events come in order, so a number that is
 * used again is never mistaken. */
struct slot {
    bool open, used; /* used: it has had its session */
    bool is_cut;
    ino_t inode; /* how the descriptor is known to be still the same */
    hkb_zmq_conn *conn;
    uint64_t deadline_ns; /* without a session it is cut then */
};

struct hkb_zmq_router {
    hkb_zmq_socket socket;
    hkb_zmq_listener *listener; /* NULL: only what was accepted lives on */
    bool bound;
    char endpoint[HKB_ZMQ_ENDPOINT_BYTES];
    dev_t device; /* ipc: how the socket's file is known to be still ours */
    ino_t file;
    hkb_local_access access;
    int listening_fd; /* libzmq's */
    int reserve; /* a descriptor to give away when there is none for a new peer; -1: given away */
    uint64_t shed_ns;                       /* since when no peer got one; 0: they do */
    uint64_t retry_ns, rebind_ns, sweep_ns; /* 0: not needed */
    struct slot *slots;                     /* by descriptor */
    size_t slot_count;
    unsigned open_count, conn_count;
    hkb_zmq_conn **buckets; /* by id, through a secret: ids can be forged */
    size_t bucket_count;
    uint64_t secret;
    hkb_zmq_conn *attended, *todo;
};

hkb_zmq_socket *hkb_zmq_router_socket(hkb_zmq_router *router)
{
    return &router->socket;
}

/* -- Connections by id, and those that need looking after -- */

static hkb_zmq_conn **bucket(const hkb_zmq_router *router, uint32_t id)
{
    return &router->buckets[(id * router->secret >> 32) & (router->bucket_count - 1)];
}

static hkb_zmq_conn *find(const hkb_zmq_router *router, uint32_t id)
{
    hkb_zmq_conn *conn = *bucket(router, id);
    while (conn && conn->id != id) {
        conn = conn->next_of_bucket;
    }
    return conn;
}

static void insert(hkb_zmq_router *router, hkb_zmq_conn *conn)
{
    hkb_zmq_conn **first = bucket(router, conn->id);
    conn->next_of_bucket = *first;
    *first = conn;
}

/* Without memory for more buckets, those there are become fuller. */
static void grow_buckets(const hakuban_alloc *alloc, hkb_zmq_router *router)
{
    size_t old_count = router->bucket_count;
    if (router->conn_count <= old_count) {
        return;
    }
    hkb_zmq_conn **old = router->buckets,
                 **made = alloc->alloc(alloc->ctx, 2 * old_count * sizeof(*made));
    if (!made) {
        return;
    }
    memset(made, 0, 2 * old_count * sizeof(*made));
    router->buckets = made;
    router->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        for (hkb_zmq_conn *conn = old[i]; conn;) {
            hkb_zmq_conn *next = conn->next_of_bucket;
            insert(router, conn);
            conn = next;
        }
    }
    alloc->free(alloc->ctx, old, old_count * sizeof(*old));
}

static void link_to(hkb_zmq_conn **list, hkb_zmq_conn *conn)
{
    conn->next = *list;
    conn->prev = list;
    if (conn->next) {
        conn->next->prev = &conn->next;
    }
    *list = conn;
}

static void unlink_from(hkb_zmq_conn *conn)
{
    if (conn->prev) {
        *conn->prev = conn->next;
        if (conn->next) {
            conn->next->prev = conn->prev;
        }
        conn->prev = NULL;
    }
}

void hkb_zmq_router_attend(hkb_zmq_self *self, hkb_zmq_conn *conn)
{
    if (!conn->prev) {
        link_to(&conn->router->attended, conn);
    }
    hkb_zmq_again(self, &conn->router->socket);
}

/* Upcalls may end any connection, so each pass works on a list that the connections take themselves
 * off. */
static void begin_pass(hkb_zmq_router *router)
{
    router->todo = router->attended;
    router->attended = NULL;
    if (router->todo) {
        router->todo->prev = &router->todo;
    }
}

/* -- Descriptors -- */

static ino_t inode(int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode) ? file.st_ino : 0;
}

static struct slot *slot_at(const hkb_zmq_router *router, int fd)
{
    return fd >= 0 && (size_t)fd < router->slot_count && router->slots[fd].open ? &router->slots[fd]
                                                                                : NULL;
}

/* libzmq's thread may close the descriptor at any moment, so it is pinned first and then looked at.
 */
static void cut(const hkb_zmq_router *router, int fd)
{
    struct slot *slot = slot_at(router, fd);
    if (!slot) {
        return;
    }
    slot->is_cut = true;
    int pinned = fcntl(fd, F_DUPFD_CLOEXEC, 0), target = pinned >= 0 ? pinned : fd;
    if (slot->inode && inode(target) == slot->inode) {
        (void)shutdown(target, SHUT_RDWR);
    }
    if (pinned >= 0) {
        (void)close(pinned);
    }
}

static void parted(hkb_zmq_self *self, hkb_zmq_router *router, int fd)
{
    struct slot *slot = slot_at(router, fd);
    if (!slot) {
        return;
    }
    slot->open = false;
    router->open_count--;
    if (slot->conn) {
        slot->conn->fd = -1;
        slot->conn->parting = true;
        hkb_zmq_router_attend(self, slot->conn);
        slot->conn = NULL;
    }
}

static bool room_for(hkb_zmq_self *self, hkb_zmq_router *router, int fd)
{
    const hakuban_alloc *alloc = self->host->alloc;
    size_t old_count = router->slot_count, count = old_count;
    if ((size_t)fd < old_count) {
        return true;
    }
    while (count <= (size_t)fd) {
        count *= 2;
    }
    struct slot *slots = alloc->realloc(alloc->ctx, router->slots, old_count * sizeof(*slots),
                                        count * sizeof(*slots));
    if (!slots) {
        return false;
    }
    memset(slots + old_count, 0, (count - old_count) * sizeof(*slots));
    router->slots = slots;
    router->slot_count = count;
    return true;
}

static void sweep_until(hkb_zmq_router *router, uint64_t now_ns)
{
    if (!router->sweep_ns) {
        router->sweep_ns = now_ns + SWEEP_NS;
    }
}

/* Descriptors are given out lowest first. Over ipc libzmq aborts when it gets none, so that it must
 * not come to that. */
static bool is_crowded(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
           (rlim_t)fd + HKB_ZMQ_SPARE_FDS >= limit.rlim_cur;
}

static void tell_trouble(hkb_zmq_self *self, hkb_zmq_router *router, int error)
{
    if (router->listener) {
        self->host->trouble(self->host->host, router->listener, strerror(error));
    }
}

static void accepted(hkb_zmq_self *self, hkb_zmq_router *router, int fd, uint64_t now_ns)
{
    if (fd < 0) {
        return;
    }
    parted(self, router, fd); /* libzmq has said so before */
    if (!room_for(self, router, fd)) {
        (void)shutdown(fd, SHUT_RDWR);
        return;
    }
    router->slots[fd] =
        (struct slot){.open = true, .inode = inode(fd), .deadline_ns = now_ns + BEGIN_NS};
    router->open_count++;
    sweep_until(router, now_ns);
    bool crowded = is_crowded(fd);
    if (crowded) {
        tell_trouble(self, router, EMFILE);
    }
    if (!router->listener || router->shed_ns || crowded) {
        router->slots[fd].used = true;
        cut(router, fd);
    }
}

static void regain_reserve(const hkb_zmq_self *self, hkb_zmq_router *router)
{
    if (router->reserve < 0) {
        router->reserve = fcntl(self->bell, F_DUPFD_CLOEXEC, 0);
    }
    if (router->reserve >= 0) {
        router->shed_ns = 0;
    }
}

/* Those in the kernel's queue. False: there may be more than a turn closes. */
static bool close_waiting(const hkb_zmq_router *router)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(router->listening_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return true;
        }
        (void)close(fd);
    }
    return false;
}

/* As long as libzmq's thread has no descriptor for the peers that want to connect, it asks again
 * and again. So the reserve is spent on accepting and closing them; connected peers are not
 * disturbed. */
static void turn_away(const hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    if (!router->shed_ns) {
        router->shed_ns = now_ns;
    }
    if (router->reserve >= 0) {
        (void)close(router->reserve);
        router->reserve = -1;
    }
    if (router->bound && !router->rebind_ns) {
        (void)close_waiting(router);
    }
    regain_reserve(self, router);
}

static void calm_down(hkb_zmq_self *self, hkb_zmq_router *router);

/* Another part of the program took the reserve. libzmq can stop asking only by giving up everything
 * that it has accepted there. */
static void stop_listening(hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    router->rebind_ns = now_ns + HKB_ZMQ_SECOND_NS; /* so that it does not stop twice */
    calm_down(self, router);
    (void)zmq_unbind(router->socket.zmq, router->endpoint);
    for (size_t fd = 0; fd < router->slot_count; fd++) {
        parted(self, router, (int)fd);
    }
    router->shed_ns = 0;
}

/* Makes no upcall but trouble(): it is done wherever it has to be certain whose a descriptor is. */
static void look_at_events(hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    unsigned event;
    uint32_t value;
    bool turned_away = false;
    while (hkb_zmq_event(router->socket.monitor, &event, &value)) {
        switch (event) {
        case ZMQ_EVENT_LISTENING:
            router->listening_fd = (int)value;
            (void)fcntl(router->listening_fd, F_SETFL, O_NONBLOCK); /* two threads may accept */
            break;
        case ZMQ_EVENT_ACCEPTED:
            accepted(self, router, (int)value, now_ns);
            break;
        case ZMQ_EVENT_DISCONNECTED:
            parted(self, router, (int)value);
            break;
        case ZMQ_EVENT_ACCEPT_FAILED:
            if (!turned_away &&
                (value == EMFILE || value == ENFILE || value == ENOBUFS || value == ENOMEM)) {
                turned_away = true;
                tell_trouble(self, router, (int)value);
                turn_away(self, router, now_ns);
            }
            break;
        default:
            router->bound =
                false; /* the listening descriptor is the only one that is closed like this */
        }
    }
    if (router->shed_ns) {
        regain_reserve(self, router);
    }
    if (router->shed_ns && router->bound && !router->rebind_ns &&
        now_ns > router->shed_ns + SHED_NS) {
        stop_listening(self, router, now_ns);
    }
}

static void sweep(hkb_zmq_router *router, uint64_t now_ns)
{
    bool waiting = false;
    for (size_t fd = 0; fd < router->slot_count; fd++) {
        struct slot *slot = &router->slots[fd];
        if (!slot->open || slot->conn) {
            continue;
        }
        waiting = true;
        if (now_ns >= slot->deadline_ns) {
            cut(router, (int)fd);
        }
    }
    router->sweep_ns = waiting ? now_ns + SWEEP_NS : 0;
}

/* -- The listener -- */

static hakuban_status cannot(const char *where, int error, hakuban_error *reterr)
{
    return hakuban_error_set(reterr, hkb_address_status(error), "cannot listen on %s: %s", where,
                             error == ENOENT ? "there is no such directory" : zmq_strerror(error));
}

/* The path of the socket's file; NULL for tcp. */
static const char *path_of(const char *endpoint)
{
    const size_t skip = strlen("ipc://");
    return strncmp(endpoint, "ipc://", skip) == 0 ? endpoint + skip : NULL;
}

/* libzmq removes whatever has the name and listens there: a file, or a socket of a listener. 0 or
 * an errno. */
static int in_use(const char *path)
{
    struct stat file;
    return !path || lstat(path, &file) != 0 || hkb_local_is_stale(path) ? 0 : EADDRINUSE;
}

static int bind_to(hkb_zmq_router *router, const char *endpoint)
{
    const char *path = path_of(endpoint);
    int lock = path ? hkb_local_lock(path) : -1;
    int error = in_use(path);
    if (!error) {
        error = hkb_zmq_option(router->socket.zmq, ZMQ_IPV6, strstr(endpoint, "://[") != NULL);
    }
    if (!error && zmq_bind(router->socket.zmq, endpoint) != 0) {
        error = errno;
    }
    router->bound = !error;
    struct stat file;
    if (!error && path && stat(path, &file) == 0) {
        router->device = file.st_dev;
        router->file = file.st_ino;
        error = hkb_local_access_apply(&router->access, path);
    }
    hkb_local_unlock(lock);
    return error;
}

/* libzmq leaves the file behind. Another program may have put a socket there meanwhile. */
static void remove_file(const hkb_zmq_router *router)
{
    const char *path = path_of(router->endpoint);
    struct stat file;
    if (!path) {
        return;
    }
    int lock = hkb_local_lock(path);
    if (stat(path, &file) == 0 && file.st_dev == router->device && file.st_ino == router->file) {
        (void)unlink(path);
    }
    hkb_local_unlock(lock);
}

static int bind_new(hkb_zmq_router *router, const hkb_address *address)
{
    char endpoint[HKB_ZMQ_ENDPOINT_BYTES];
    size_t bytes = sizeof(router->endpoint);
    hkb_zmq_endpoint(address, endpoint);
    int error = bind_to(router, endpoint);
    if (error) {
        if (router->bound) { /* its file is there, but a peer would not get in */
            (void)snprintf(router->endpoint, sizeof(router->endpoint), "%s", endpoint);
            remove_file(router);
        }
        return error;
    }
    return zmq_getsockopt(router->socket.zmq, ZMQ_LAST_ENDPOINT, router->endpoint, &bytes) == 0
               ? 0
               : errno;
}

static hkb_zmq_router *router_new(const hakuban_alloc *alloc)
{
    hkb_zmq_router *router = alloc->alloc(alloc->ctx, sizeof(*router));
    if (!router) {
        return NULL;
    }
    memset(router, 0, sizeof(*router));
    router->socket.kind = HKB_ZMQ_ROUTER;
    router->reserve = -1;
    router->bucket_count = router->slot_count = BUCKETS_MIN;
    router->buckets = alloc->alloc(alloc->ctx, BUCKETS_MIN * sizeof(*router->buckets));
    router->slots = alloc->alloc(alloc->ctx, BUCKETS_MIN * sizeof(*router->slots));
    if (router->buckets && router->slots) {
        memset(router->buckets, 0, BUCKETS_MIN * sizeof(*router->buckets));
        memset(router->slots, 0, BUCKETS_MIN * sizeof(*router->slots));
    }
    if (getrandom(&router->secret, sizeof(router->secret), 0) != sizeof(router->secret)) {
        router->secret = hkb_zmq_now();
    }
    router->secret |= 1;
    return router;
}

/* From now on the kernel queues no further connection. */
static void stop_arrivals(const hkb_zmq_router *router)
{
#ifdef SO_ATTACH_FILTER
    struct sock_filter drop_all[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = drop_all};
    (void)setsockopt(router->listening_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
#else
    (void)router;
#endif
}

/* Waits until libzmq's thread has done all that it was about to do: it closes what stops listening
 * between two events, and says so. False: there was no descriptor for that, or no time left. */
static bool thread_went_on(hkb_zmq_self *self, uint64_t until_ns)
{
    hkb_zmq_socket probe = {.kind = HKB_ZMQ_ROUTER};
    char endpoint[HKB_ZMQ_ENDPOINT_BYTES];
    size_t bytes = sizeof(endpoint);
    bool closed = false;
    if (hkb_zmq_socket_open(self, &probe, ZMQ_PAIR, ZMQ_EVENT_CLOSED) != 0) {
        return false;
    }
    if (zmq_bind(probe.zmq, "tcp://127.0.0.1:*") == 0 &&
        zmq_getsockopt(probe.zmq, ZMQ_LAST_ENDPOINT, endpoint, &bytes) == 0 &&
        zmq_unbind(probe.zmq, endpoint) == 0) {
        zmq_pollitem_t monitor = {.socket = probe.monitor, .events = ZMQ_POLLIN};
        for (uint64_t now_ns; !closed && (now_ns = hkb_zmq_now()) < until_ns;) {
            closed = zmq_poll(&monitor, 1, (long)((until_ns - now_ns) / 1000000 + 1)) > 0;
        }
    }
    hkb_zmq_socket_close(self, &probe, 0);
    return closed;
}

/* libzmq 4.3 aborts (zmtp_engine.cpp, "Resource temporarily unavailable") where a socket ends at
 * the moment in which a peer introduces itself. So those are cut first, and their end is waited
 * for: also the end of those that libzmq's thread has accepted and not yet told of. */
static void calm_down(hkb_zmq_self *self, hkb_zmq_router *router)
{
    if (!router->bound) {
        return;
    }
    stop_arrivals(router);
    uint64_t until_ns = hkb_zmq_now() + CALM_MS * UINT64_C(1000000);
    for (unsigned calm_rounds = 0; calm_rounds < CALM_ROUNDS && hkb_zmq_now() < until_ns;) {
        bool calm = close_waiting(router);
        if (!thread_went_on(self, until_ns)) {
            (void)poll(NULL, 0, 10);
        }
        look_at_events(self, router, hkb_zmq_now());
        for (size_t fd = 0; fd < router->slot_count; fd++) {
            const struct slot *slot = &router->slots[fd];
            if (slot->open && !slot->used) {
                cut(router, (int)fd);
            }
            calm = calm && !(slot->open && slot->is_cut);
        }
        calm_rounds = calm ? calm_rounds + 1 : 0;
    }
}

void hkb_zmq_router_free(hkb_zmq_self *self, hkb_zmq_router *router)
{
    const hakuban_alloc *alloc = self->host->alloc;
    calm_down(self, router);
    (void)self->host->wake_at(self->host->host, router, UINT64_MAX);
    hkb_zmq_socket_close(self, &router->socket, HKB_ZMQ_CLOSE_MS);
    if (router->reserve >= 0) {
        (void)close(router->reserve);
    }
    if (router->buckets) {
        alloc->free(alloc->ctx, router->buckets, router->bucket_count * sizeof(*router->buckets));
    }
    if (router->slots) {
        alloc->free(alloc->ctx, router->slots, router->slot_count * sizeof(*router->slots));
    }
    alloc->free(alloc->ctx, router, sizeof(*router));
}

/* While it has its turn, the turn's end sees to it. */
static bool free_if_over(hkb_zmq_self *self, hkb_zmq_router *router)
{
    if (router->listener || router->conn_count > 0 || router->open_count > 0 ||
        self->busy == router) {
        return false;
    }
    hkb_zmq_router_free(self, router);
    return true;
}

static int start(hkb_zmq_self *self, hkb_zmq_router *router, const hkb_address *address)
{
    if (!router->buckets || !router->slots) {
        return ENOMEM;
    }
    int error = hkb_zmq_socket_open(self, &router->socket, ZMQ_ROUTER, EVENTS);
    if (error) {
        return error;
    }
    regain_reserve(self, router);
    return bind_new(router, address);
}

hakuban_status hkb_zmq_listen(void *self_memory, void *listener_memory, const hakuban_url *url,
                              char *ret_url, size_t url_bytes, hakuban_error *reterr)
{
    hkb_zmq_self *self = self_memory;
    hkb_zmq_listener *listener = listener_memory;
    char where[HKB_ADDRESS_WHERE_BYTES];
    hkb_address address;
    hakuban_status status = hkb_zmq_check(url, true, reterr);
    if (status >= 0 && !hkb_zmq_numeric(url, &address)) {
        status = hkb_address_no_number(url, reterr);
    }
    if (status < 0) {
        return status;
    }
    hkb_address_where(url, where);
    hkb_local_access access = {0};
    if (hkb_zmq_is_ipc(url)) {
        status = hkb_local_access_read(url, &access, reterr);
        if (status < 0) {
            return status;
        }
    }
    hkb_zmq_router *router = router_new(self->host->alloc);
    if (!router) {
        return cannot(where, ENOMEM, reterr);
    }
    router->access = access;
    int error = start(self, router, &address);
    if (error) {
        status = cannot(where, error, reterr);
    } else if (strlen(router->endpoint) + sizeof("zmq+") > url_bytes) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT,
                                   "cannot listen on %s: no room for the address it got", where);
    }
    if (status < 0) {
        hkb_zmq_router_free(self, router);
        return status;
    }
    (void)snprintf(ret_url, url_bytes, "zmq+%s", router->endpoint);
    router->listener = listener;
    listener->router = router;
    hkb_zmq_again(self,
                  &router->socket); /* binding may have used up what the descriptor had to say */
    return HAKUBAN_OK;
}

/* libzmq's thread closes the listening socket when it gets to it; the next listener here must
 * not find it still there. */
static void await_unbound(hkb_zmq_self *self, hkb_zmq_router *router)
{
    for (unsigned waited_ms = 0; waited_ms < UNBIND_MS; waited_ms += 50) {
        look_at_events(self, router, hkb_zmq_now());
        if (!router->bound) {
            return;
        }
        struct pollfd monitor = {.fd = router->socket.monitor_fd, .events = POLLIN};
        (void)poll(&monitor, 1, 50);
    }
}

/* To libzmq the accepted connections are the listening socket's children: unbinding would end them.
 * So while there are some, a tcp address stays taken and new peers are cut. */
void hkb_zmq_unlisten(void *self_memory, void *listener_memory)
{
    hkb_zmq_self *self = self_memory;
    hkb_zmq_listener *listener = listener_memory;
    hkb_zmq_router *router = listener->router;
    router->listener = NULL;
    router->rebind_ns = 0;
    remove_file(router);
    look_at_events(self, router, hkb_zmq_now());
    for (size_t fd = 0; fd < router->slot_count; fd++) {
        if (router->slots[fd].open && !router->slots[fd].used) {
            cut(router, (int)fd);
        }
    }
    hkb_zmq_again(self, &router->socket);
    if (router->conn_count == 0) {
        calm_down(self, router);
        (void)hkb_zmq_option(router->socket.zmq, ZMQ_LINGER, HKB_ZMQ_CLOSE_MS);
        (void)zmq_unbind(router->socket.zmq, router->endpoint);
        await_unbound(self, router);
        for (size_t fd = 0; fd < router->slot_count; fd++) {
            parted(self, router, (int)fd);
        }
        (void)free_if_over(self, router);
    }
}

/* Without a descriptor for its look at the network interfaces, zmq_bind() aborts. */
static void rebind(const hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    bool failed = router->bound || hkb_zmq_spare_fds(self) || bind_to(router, router->endpoint);
    router->rebind_ns = failed ? now_ns + HKB_ZMQ_SECOND_NS : 0;
}

/* -- Connections -- */

void hkb_zmq_router_finish(hkb_zmq_self *self, hkb_zmq_conn *conn, hakuban_status why,
                           const char *text)
{
    hkb_zmq_router *router = conn->router;
    struct slot *slot = slot_at(router, conn->fd);
    if (slot) {
        uint64_t now_ns = hkb_zmq_now();
        slot->conn = NULL;
        slot->deadline_ns = now_ns + HKB_ZMQ_END_NS;
        sweep_until(router, now_ns);
        hkb_zmq_again(self, &router->socket);
        if (why == HAKUBAN_ERR_PROTOCOL || !hkb_zmq_send_end(conn)) {
            cut(router, conn->fd);
        }
    }
    hkb_zmq_drop_kept(conn);
    unlink_from(conn);
    hkb_zmq_conn **each = bucket(router, conn->id);
    while (*each != conn) {
        each = &(*each)->next_of_bucket;
    }
    *each = conn->next_of_bucket;
    router->conn_count--;
    self->host->closed(conn->carrier, why, text);
    (void)free_if_over(self, router);
}

/* Whether the id's connection stands and fd is its descriptor. Sending an empty message tells:
 * libzmq lets the socket know that a connection has ended before it closes the descriptor, so while
 * that works the descriptor is still the same. */
static bool stands(hkb_zmq_self *self, hkb_zmq_router *router, zmq_msg_t *id, int fd,
                   uint64_t now_ns)
{
    void *zmq = router->socket.zmq;
    look_at_events(self, router, now_ns);
    if (!slot_at(router, fd)) {
        return false;
    }
    (void)hkb_zmq_readable(zmq);
    return zmq_send(zmq, zmq_msg_data(id), zmq_msg_size(id), ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0 &&
           zmq_send(zmq, NULL, 0, ZMQ_DONTWAIT) >= 0;
}

/* Names that peers give themselves could be taken twice; only the router's own, which begin with 0,
 * are new every time. */
static bool is_own_name(zmq_msg_t *id)
{
    return zmq_msg_size(id) == ID_BYTES && *(const unsigned char *)zmq_msg_data(id) == 0;
}

/* Something came from a peer without a session. The peer may be gone already; what it said still
 * counts. */
static void welcome(hkb_zmq_self *self, hkb_zmq_router *router, zmq_msg_t *id, int fd,
                    uint64_t now_ns)
{
    const hakuban_transport_host *host = self->host;
    bool standing = stands(self, router, id, fd, now_ns);
    if (standing && router->slots[fd].used) {
        return;
    }
    char peer[HKB_ADDRESS_TEXT_BYTES] = "unknown";
    if (standing) {
        router->slots[fd].used = true;
        hkb_zmq_peer(fd, peer);
    }
    hakuban_carrier *carrier = NULL;
    void *memory = NULL;
    if (router->listener && is_own_name(id)) {
        carrier = host->accepted(host->host, router->listener, peer, &memory);
    }
    if (!carrier) {
        if (standing) {
            cut(router, fd);
        }
        return;
    }
    hkb_zmq_conn *conn = memory;
    conn->carrier = carrier;
    conn->router = router;
    memcpy(&conn->id, (const unsigned char *)zmq_msg_data(id) + 1, sizeof(conn->id));
    insert(router, conn);
    router->conn_count++;
    conn->fd = standing ? fd : -1;
    conn->parting = !standing;
    if (standing) {
        router->slots[fd].conn = conn;
    } else {
        hkb_zmq_router_attend(self, conn);
    }
    grow_buckets(host->alloc, router);
}

static void hand_over(hkb_zmq_self *self, hkb_zmq_router *router, zmq_msg_t *id, zmq_msg_t *body,
                      uint64_t now_ns)
{
    bool own_name = is_own_name(id);
    uint32_t number = 0;
    if (own_name) {
        memcpy(&number, (const unsigned char *)zmq_msg_data(id) + 1, sizeof(number));
    }
    hkb_zmq_conn *conn = own_name ? find(router, number) : NULL;
    hkb_zmq_content content = hkb_zmq_receive_rest(router->socket.zmq, body);
    if (!conn) {
        /* Nothing but the beginning of a session counts; names are refused at once, whatever they
         * say. */
        if (content == HKB_ZMQ_EMPTY || !own_name) {
            welcome(self, router, id, zmq_msg_get(body, ZMQ_SRCFD), now_ns);
        }
    } else if (content == HKB_ZMQ_MESSAGE) {
        self->host->received(conn->carrier, zmq_msg_data(body), zmq_msg_size(body));
    } else if (content == HKB_ZMQ_END) {
        hkb_zmq_router_finish(self, conn, HAKUBAN_ERR_CLOSED,
                              "the other side closed the connection");
    } else if (content == HKB_ZMQ_ODD) {
        hkb_zmq_router_finish(self, conn, HAKUBAN_ERR_PROTOCOL, "a message of several parts came");
    }
}

/* True: all there was. */
static bool take_in(hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    size_t bytes = 0;
    bool all = false;
    for (unsigned i = 0; !all && i < MESSAGES_PER_TURN && bytes < BYTES_PER_TURN; i++) {
        zmq_msg_t id, body;
        (void)zmq_msg_init(&id);
        (void)zmq_msg_init(&body);
        if (zmq_msg_recv(&id, router->socket.zmq, ZMQ_DONTWAIT) < 0) {
            all = true;
        } else if (zmq_msg_more(&id) &&
                   zmq_msg_recv(&body, router->socket.zmq, ZMQ_DONTWAIT) >= 0) {
            bytes += zmq_msg_size(&body);
            hand_over(self, router, &id, &body, now_ns);
        }
        (void)zmq_msg_close(&id);
        (void)zmq_msg_close(&body);
    }
    return all;
}

static void look_after_all(hkb_zmq_self *self, hkb_zmq_router *router)
{
    begin_pass(router);
    router->retry_ns = 0;
    while (router->todo) {
        hkb_zmq_conn *conn = router->todo;
        bool writable;
        unlink_from(conn);
        uint64_t retry_ns = hkb_zmq_look_after(conn, &writable);
        if (retry_ns && (!router->retry_ns || retry_ns < router->retry_ns)) {
            router->retry_ns = retry_ns;
        }
        if (retry_ns || conn->lost) {
            conn->due = conn->lost;
            link_to(&router->attended, conn);
        }
        if (writable) {
            self->host->writable(conn->carrier);
        }
    }
}

static void finish_lost(hkb_zmq_self *self, hkb_zmq_router *router)
{
    begin_pass(router);
    while (router->todo) {
        hkb_zmq_conn *conn = router->todo;
        unlink_from(conn);
        if (conn->due) {
            hkb_zmq_router_finish(self, conn, conn->failure ? conn->failure : HAKUBAN_ERR_CLOSED,
                                  conn->failure ? "out of memory"
                                                : "the other side closed the connection");
        } else {
            link_to(&router->attended, conn);
        }
    }
}

void hkb_zmq_router_turn(hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns)
{
    look_at_events(self, router, now_ns);
    look_after_all(self, router);
    if (take_in(self, router, now_ns)) {
        finish_lost(self, router);
    } else {
        hkb_zmq_again(self, &router->socket);
    }
    if (router->rebind_ns && now_ns >= router->rebind_ns) {
        rebind(self, router, now_ns);
    }
    if (router->sweep_ns && now_ns >= router->sweep_ns) {
        sweep(router, now_ns);
    }
    self->busy = NULL;
    if (free_if_over(self, router)) {
        return;
    }
    uint64_t next_ns = router->retry_ns ? now_ns + router->retry_ns : UINT64_MAX;
    if (router->shed_ns && now_ns + SHED_NS < next_ns) {
        next_ns = now_ns + SHED_NS;
    }
    if (router->sweep_ns && router->sweep_ns < next_ns) {
        next_ns = router->sweep_ns;
    }
    if (router->rebind_ns && router->rebind_ns < next_ns) {
        next_ns = router->rebind_ns;
    }
    if (next_ns != UINT64_MAX) {
        hkb_zmq_again_at(self, &router->socket, next_ns);
    }
}
