/* From URLs to socket addresses and back to text, and names looked up without blocking the loop.
 * Opens no connection. */
#define _GNU_SOURCE

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"

#define NAME_BYTES_MAX 254

hakuban_status hkb_address_status(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return HAKUBAN_ERR_REFUSED;
    case ENOENT:
        return HAKUBAN_ERR_NOT_FOUND;
    case ETIMEDOUT:
        return HAKUBAN_ERR_TIMEOUT;
    case EADDRINUSE:
        return HAKUBAN_ERR_EXISTS;
    case ENOMEM:
    case ENOBUFS:
        return HAKUBAN_ERR_NO_MEMORY;
    default:
        return HAKUBAN_ERR_IO;
    }
}

void hkb_address_where(const hakuban_url *url, char where[HKB_ADDRESS_WHERE_BYTES])
{
    (void)snprintf(where, HKB_ADDRESS_WHERE_BYTES, "%s://%s%s", url->scheme, url->authority,
                   url->path);
}

hakuban_status hkb_address_check_path(const hakuban_url *url, hakuban_error *reterr)
{
    const size_t path_bytes = strlen(url->path);
    const size_t path_bytes_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    const char *scheme = url->scheme;
    if (url->authority[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs an absolute path after three slashes: %s:///%s%s",
                                 scheme, scheme, url->authority, url->path);
    }
    if (path_bytes < 2 || url->path[path_bytes - 1] == '/') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs the path of a socket: %s:///run/hakuban.sock", scheme,
                                 scheme);
    }
    if (path_bytes > path_bytes_max) {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL,
            "a socket's path has at most %zu bytes, and this one has %zu: %.120s", path_bytes_max,
            path_bytes, url->path);
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_address_check_host(const hakuban_url *url, bool listening, hakuban_error *reterr)
{
    const char *missing = url->host[0] == '\0' ? "host" : !url->has_port ? "port" : NULL;
    if (missing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs a %s, as in %s://127.0.0.1:3001", url->scheme,
                                 missing, url->scheme);
    }
    if (url->port == 0 && !listening) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "port 0 cannot be connected to");
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

static void look_up(const char *name, uint16_t port, int flags, hkb_addresses *ret)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = flags | AI_NUMERICSERV},
                    *found = NULL;
    char port_text[8];
    (void)snprintf(port_text, sizeof(port_text), "%u", (unsigned)port);
    memset(ret, 0, sizeof(*ret));
    ret->lookup_status = getaddrinfo(name, port_text, &hints, &found);
    ret->error = errno;
    if (ret->lookup_status != 0) {
        return;
    }
    for (const struct addrinfo *each = found; each && ret->count < HKB_ADDRESSES_MAX;
         each = each->ai_next) {
        if (each->ai_addrlen <= sizeof(ret->items[0].is)) {
            hkb_address *item = &ret->items[ret->count++];
            item->bytes = each->ai_addrlen;
            memcpy(&item->is, each->ai_addr, each->ai_addrlen);
        }
    }
    freeaddrinfo(found);
}

void hkb_address_local(const char *path, hkb_address *ret_address)
{
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->is.local.sun_family = AF_UNIX;
    (void)snprintf(ret_address->is.local.sun_path, sizeof(ret_address->is.local.sun_path), "%s",
                   path);
    ret_address->bytes = sizeof(ret_address->is.local);
}

bool hkb_address_numeric(const char *host, uint16_t port, hkb_address *ret_address)
{
    hkb_addresses found;
    look_up(host, port, AI_NUMERICHOST, &found);
    if (found.count == 0) {
        return false;
    }
    *ret_address = found.items[0];
    return true;
}

void hkb_address_lookup(const char *name, uint16_t port, hkb_addresses *ret)
{
    look_up(name, port, 0, ret);
}

const char *hkb_address_lookup_text(const hkb_addresses *addresses)
{
    if (addresses->lookup_status == EAI_SYSTEM) {
        return strerror(addresses->error);
    }
    return addresses->lookup_status ? gai_strerror(addresses->lookup_status)
                                    : "the name has no address";
}

/* The thread owns its question alone and answers through a socket, so nothing is shared that a
 * closed connection, or an exchange that is gone, could leave dangling. That is also why the memory
 * is not the host's. */
struct question {
    int fd;
    uint16_t port;
    char name[NAME_BYTES_MAX];
};

static void *answer(void *memory)
{
    struct question *question = memory;
    hkb_addresses addresses;
    hkb_address_lookup(question->name, question->port, &addresses);
    (void)send(question->fd, &addresses, sizeof(addresses), MSG_NOSIGNAL);
    (void)close(question->fd);
    const hakuban_alloc *alloc = hakuban_alloc_default();
    alloc->free(alloc->ctx, question, sizeof(*question));
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

int hkb_address_lookup_start(const char *name, uint16_t port, int *ret_fd)
{
    const hakuban_alloc *alloc = hakuban_alloc_default();
    struct question *question = alloc->alloc(alloc->ctx, sizeof(*question));
    if (!question) {
        return ENOMEM;
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        int error = errno;
        alloc->free(alloc->ctx, question, sizeof(*question));
        return error;
    }
    question->fd = ends[1];
    question->port = port;
    (void)snprintf(question->name, sizeof(question->name), "%s", name);
    int error = start_thread(question);
    if (error) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        alloc->free(alloc->ctx, question, sizeof(*question));
        return error;
    }
    *ret_fd = ends[0];
    return 0;
}

int hkb_address_lookup_end(int fd, hkb_addresses *ret)
{
    ssize_t got = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
    if (got == (ssize_t)sizeof(*ret)) {
        return 0;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? EAGAIN : EIO;
}

void hkb_address_text(const hkb_address *address, char text[HKB_ADDRESS_TEXT_BYTES])
{
    if (address->is.any.sa_family == AF_UNIX) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "unix");
        return;
    }
    hkb_address shown = *address;
    if (address->is.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->is.v6.sin6_addr)) {
        /* [::] takes IPv4 peers too; their addresses look as people know them. */
        memset(&shown.is, 0, sizeof(shown.is));
        shown.is.v4.sin_family = AF_INET;
        shown.is.v4.sin_port = address->is.v6.sin6_port;
        memcpy(&shown.is.v4.sin_addr, &address->is.v6.sin6_addr.s6_addr[12], 4);
        shown.bytes = sizeof(shown.is.v4);
    }
    char host[64], port[8];
    if (getnameinfo(&shown.is.any, shown.bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "unknown");
        return;
    }
    (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES,
                   shown.is.any.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
