/* From URLs to ZeroMQ's endpoints and from sockets to text, and names looked up without blocking: libzmq would do that in the one
 * thread that serves all connections. Opens no connection. */
#define _GNU_SOURCE

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "zmq_transport.h"

#define NAME_BYTES_MAX 254

/* Without parameters: they may hold secrets, and this goes into error texts. */
void hkb_zmq_where(const hakuban_url *url, char where[HKB_ZMQ_WHERE_BYTES])
{
    (void)snprintf(where, HKB_ZMQ_WHERE_BYTES, "%s://%s%s", url->scheme, url->authority, url->path);
}

bool hkb_zmq_is_ipc(const hakuban_url *url)
{
    return strcmp(url->scheme, "zmq+ipc") == 0;
}

static hakuban_status check_ipc(const hakuban_url *url, hakuban_error *reterr)
{
    const size_t path_bytes = strlen(url->path);
    const size_t path_bytes_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (url->authority[0] != '\0') {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL,
            "zmq+ipc:// needs an absolute path after three slashes: zmq+ipc:///%s%s",
            url->authority, url->path);
    }
    if (path_bytes < 2 || url->path[path_bytes - 1] == '/') {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL,
            "zmq+ipc:// needs the path of a socket: zmq+ipc:///run/hakuban.zmq");
    }
    if (path_bytes > path_bytes_max) {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL,
            "a socket's path has at most %zu bytes, and this one has %zu: %.120s", path_bytes_max,
            path_bytes, url->path);
    }
    return HAKUBAN_OK;
}

static hakuban_status check_tcp(const hakuban_url *url, bool listening, hakuban_error *reterr)
{
    if (url->host[0] == '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "zmq+tcp:// needs a host, as in zmq+tcp://127.0.0.1:3002");
    }
    if (!url->has_port) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "zmq+tcp:// needs a port, as in zmq+tcp://127.0.0.1:3002");
    }
    if (url->port == 0 && !listening) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "port 0 cannot be connected to");
    }
    if (url->path[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "zmq+tcp:// has no path, and here is one: %.120s", url->path);
    }
    if (listening && strcmp(url->host, "*") == 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "to listen on every address write 0.0.0.0 or [::] instead of *");
    }
    if (strlen(url->host) >= NAME_BYTES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "a host name has at most %d bytes",
                                 NAME_BYTES_MAX - 1);
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_zmq_check(const hakuban_url *url, bool listening, hakuban_error *reterr)
{
    return hkb_zmq_is_ipc(url) ? check_ipc(url, reterr) : check_tcp(url, listening, reterr);
}

/* ---- text */

static bool to_text(const struct sockaddr *address, socklen_t bytes, char *text, size_t text_bytes)
{
    char host[64], port[8];
    struct sockaddr_in mapped = {.sin_family = AF_INET};
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            /* [::] takes IPv4 peers too; their addresses look as people know them. */
            mapped.sin_port = v6.sin6_port;
            memcpy(&mapped.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof mapped.sin_addr);
            address = (const struct sockaddr *)&mapped;
            bytes = sizeof mapped;
        }
    }
    if (getnameinfo(address, bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return false;
    }
    int length = snprintf(text, text_bytes, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                          host, port);
    return length > 0 && (size_t)length < text_bytes;
}

void hkb_zmq_peer(int fd, char *text, size_t text_bytes)
{
    union {
        struct sockaddr any;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } address;
    socklen_t bytes = sizeof address;
    if (getpeername(fd, &address.any, &bytes) != 0) {
        (void)snprintf(text, text_bytes, "unknown");
    } else if (address.any.sa_family == AF_UNIX) {
        (void)snprintf(text, text_bytes, "zmq+ipc");
    } else if (!to_text(&address.any, bytes, text, text_bytes)) {
        (void)snprintf(text, text_bytes, "unknown");
    }
}

/* ---- look-ups */

static void look_up(const char *name, uint16_t port, int flags, hkb_zmq_addresses *ret)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = flags | AI_NUMERICSERV},
                    *found = NULL;
    char port_text[8];
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    memset(ret, 0, sizeof *ret);
    ret->lookup_status = getaddrinfo(name, port_text, &hints, &found);
    ret->error = errno;
    if (ret->lookup_status != 0) {
        return;
    }
    for (const struct addrinfo *each = found; each && ret->count < HKB_ZMQ_ADDRESSES_MAX;
         each = each->ai_next) {
        char *item = ret->items[ret->count];
        memcpy(item, "tcp://", 6);
        if (to_text(each->ai_addr, each->ai_addrlen, item + 6, sizeof ret->items[0] - 6)) {
            ret->count++;
        }
    }
    freeaddrinfo(found);
}

bool hkb_zmq_numeric(const hakuban_url *url, hkb_zmq_addresses *ret)
{
    if (hkb_zmq_is_ipc(url)) {
        memset(ret, 0, sizeof *ret);
        ret->count = 1;
        (void)snprintf(ret->items[0], sizeof ret->items[0], "ipc://%s", url->path);
        return true;
    }
    hkb_zmq_addresses found;
    look_up(url->host, url->port, AI_NUMERICHOST, &found);
    if (found.count == 0) {
        return false;
    }
    *ret = found;
    return true;
}

void hkb_zmq_lookup(const char *name, uint16_t port, hkb_zmq_addresses *ret)
{
    look_up(name, port, 0, ret);
}

const char *hkb_zmq_lookup_text(const hkb_zmq_addresses *addresses)
{
    if (addresses->lookup_status == EAI_SYSTEM) {
        return strerror(addresses->error);
    }
    return addresses->lookup_status ? gai_strerror(addresses->lookup_status)
                                    : "the name has no address";
}

/* The thread owns its question alone and answers through a socket, so nothing is shared that a closed connection, or an exchange that
 * is gone, could leave dangling. That is also why the memory is not the host's. */
struct question {
    int fd;
    uint16_t port;
    char name[NAME_BYTES_MAX];
};

static void *answer(void *memory)
{
    struct question *question = memory;
    hkb_zmq_addresses addresses;
    hkb_zmq_lookup(question->name, question->port, &addresses);
    (void)send(question->fd, &addresses, sizeof addresses, MSG_NOSIGNAL);
    (void)close(question->fd);
    const hakuban_alloc *alloc = hakuban_alloc_default();
    alloc->free(alloc->ctx, question, sizeof *question);
    return NULL;
}

/* The application's signals are for its own threads: this one starts with all of them blocked. */
static int start_thread(struct question *question)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) {
        return error;
    }
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, answer, question);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error;
}

int hkb_zmq_lookup_start(const hakuban_url *url, int *ret_fd)
{
    const hakuban_alloc *alloc = hakuban_alloc_default();
    struct question *question = alloc->alloc(alloc->ctx, sizeof *question);
    if (!question) {
        return ENOMEM;
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        int error = errno;
        alloc->free(alloc->ctx, question, sizeof *question);
        return error;
    }
    question->fd = ends[1];
    question->port = url->port;
    (void)snprintf(question->name, sizeof question->name, "%s", url->host);
    int error = start_thread(question);
    if (error) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        alloc->free(alloc->ctx, question, sizeof *question);
        return error;
    }
    *ret_fd = ends[0];
    return 0;
}
