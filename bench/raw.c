/* The raw relays. Plain sockets, no memory of what passes but what the pattern needs: each is the
 * least work that a router with the same hops could do on this machine. */
#define _GNU_SOURCE
#include "raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

enum { RAW_BUFFER_BYTES = 64 * 1024 };

/* A free port, or with no name given an abstract one that the kernel chooses. */
static int listen_anywhere(bool local, raw_address *ret)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un unix_ = {.sun_family = AF_UNIX};
    struct sockaddr *address = local ? (struct sockaddr *)&unix_ : (struct sockaddr *)&tcp;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ret->bytes = sizeof(ret->storage);
    if (fd < 0 || bind(fd, address, local ? sizeof(sa_family_t) : sizeof(tcp)) != 0 ||
        listen(fd, BENCH_OBSERVERS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&ret->storage, &ret->bytes) != 0) {
        bench_die("raw relay: %s", strerror(errno));
    }
    return fd;
}

void raw_relay_init(raw_relay *relay, const bench_options *options)
{
    bool local = bench_transport_is_local(options->transport);
    relay->source_fd = listen_anywhere(local, &relay->source);
    relay->observer_fd = listen_anywhere(local, &relay->observer);
    raw_zmq_relay_init(&relay->zmq, options);
}

void raw_relay_done(raw_relay *relay)
{
    close(relay->source_fd);
    close(relay->observer_fd);
}

static void set_option(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)) != 0) {
        bench_die("setsockopt: %s", strerror(errno));
    }
}

static bool is_tcp(int fd)
{
    int domain = AF_INET;
    socklen_t bytes = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) != 0 || domain == AF_INET;
}

static void keep_no_delay(int fd)
{
    if (is_tcp(fd)) {
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
}

static int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        bench_die("accept: %s", strerror(errno));
    }
    keep_no_delay(fd);
    return fd;
}

int raw_connect(const raw_address *address)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address->storage, address->bytes) != 0) {
        bench_die("connect: %s", strerror(errno));
    }
    keep_no_delay(fd);
    return fd;
}

void raw_keep_little_unsent(int fd)
{
    if (is_tcp(fd)) {
        set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16 * 1024);
    }
}

void raw_write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            bench_die("send: %s", strerror(errno));
        }
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        }
    }
}

size_t raw_write_some(int fd, const void *data, size_t bytes)
{
    ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    /* The process that counts notices a peer that has gone. */
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET) {
        bench_die("send: %s", strerror(errno));
    }
    return n > 0 ? (size_t)n : 0;
}

size_t raw_read_some(int fd, void *data, size_t bytes)
{
    ssize_t n;
    do {
        n = recv(fd, data, bytes, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != ECONNRESET) {
        bench_die("recv: %s", strerror(errno));
    }
    return n > 0 ? (size_t)n : 0;
}

bool raw_read_all(int fd, void *data, size_t bytes)
{
    size_t got = 0;
    while (got < bytes) {
        size_t n = raw_read_some(fd, (char *)data + got, bytes - got);
        if (n == 0 && got > 0) {
            bench_die("the stream ends within a message");
        }
        if (n == 0) {
            return false;
        }
        got += n;
    }
    return true;
}

void raw_ping_relay(void *memory, unsigned index)
{
    raw_relay *relay = memory;
    int peers[2] = {accept_one(relay->source_fd), accept_one(relay->observer_fd)};
    int poller = epoll_create1(EPOLL_CLOEXEC);
    char buffer[RAW_BUFFER_BYTES];
    (void)index;
    for (uint32_t i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, peers[i], &event) != 0) {
            bench_die("epoll: %s", strerror(errno));
        }
    }
    for (;;) {
        struct epoll_event events[2];
        int count = epoll_wait(poller, events, 2, -1);
        for (int i = 0; i < count; i++) {
            uint32_t from = events[i].data.u32;
            size_t n = raw_read_some(peers[from], buffer, sizeof(buffer));
            if (n == 0) {
                return;
            }
            raw_write_all(peers[1 - from], buffer, n);
        }
    }
}

/* Blocking writes: the pace is that of the slowest observer, which has to get everything anyway. */
void raw_fan_out_relay(void *memory, unsigned index)
{
    raw_relay *relay = memory;
    int observers[BENCH_OBSERVERS_MAX];
    char *buffer = malloc(RAW_BUFFER_BYTES);
    size_t n;
    (void)index;
    for (unsigned i = 0; i < relay->observers; i++) {
        observers[i] = accept_one(relay->observer_fd);
    }
    int source = accept_one(relay->source_fd);
    while (buffer && (n = raw_read_some(source, buffer, RAW_BUFFER_BYTES)) > 0) {
        for (unsigned i = 0; i < relay->observers; i++) {
            raw_write_all(observers[i], buffer, n);
        }
    }
    free(buffer);
}

typedef struct latest_peer {
    int fd;
    char *message; /* being sent */
    size_t done_bytes;
    uint64_t sent; /* the number of the message being sent or sent */
} latest_peer;

static void send_latest(latest_peer *peer, const char *newest, uint64_t number, size_t bytes)
{
    if (peer->done_bytes == bytes && peer->sent != number) {
        memcpy(peer->message, newest, bytes);
        peer->done_bytes = 0;
        peer->sent = number;
    }
    if (peer->done_bytes < bytes) {
        peer->done_bytes +=
            raw_write_some(peer->fd, peer->message + peer->done_bytes, bytes - peer->done_bytes);
    }
}

void raw_latest_relay(void *memory, unsigned index)
{
    raw_relay *relay = memory;
    size_t bytes = relay->message_bytes, held = 0, room = RAW_BUFFER_BYTES + bytes;
    latest_peer peers[BENCH_OBSERVERS_MAX];
    struct pollfd polled[BENCH_OBSERVERS_MAX + 1];
    char *buffer = malloc(room), *newest = malloc(bytes);
    uint64_t number = 0;
    (void)index;
    for (unsigned i = 0; i < relay->observers; i++) {
        int fd = accept_one(relay->observer_fd);
        raw_keep_little_unsent(fd);
        peers[i] = (latest_peer){.fd = fd, .message = malloc(bytes), .done_bytes = bytes};
        polled[i + 1] = (struct pollfd){.fd = fd};
    }
    polled[0] = (struct pollfd){.fd = accept_one(relay->source_fd), .events = POLLIN};
    while (poll(polled, relay->observers + 1, -1) > 0) {
        if (polled[0].revents) {
            size_t n = raw_read_some(polled[0].fd, buffer + held, room - held);
            if (n == 0) {
                break;
            }
            held += n;
            size_t whole = held - held % bytes;
            if (whole > 0) {
                memcpy(newest, buffer + whole - bytes, bytes);
                memmove(buffer, buffer + whole, held - whole);
                held -= whole;
                number++;
            }
        }
        for (unsigned i = 0; i < relay->observers; i++) {
            send_latest(&peers[i], newest, number, bytes);
            bool more = peers[i].done_bytes < bytes || peers[i].sent != number;
            polled[i + 1].events = more ? POLLOUT : 0;
        }
    }
    for (unsigned i = 0; i < relay->observers; i++) {
        free(peers[i].message);
    }
    free(buffer);
    free(newest);
}

void raw_array_relay(void *memory, unsigned index)
{
    raw_relay *relay = memory;
    char *array = malloc(relay->message_bytes * relay->message_count);
    char byte;
    (void)index;
    int source = accept_one(relay->source_fd);
    if (!array || !raw_read_all(source, array, relay->message_bytes * relay->message_count)) {
        bench_die("raw relay: no values");
    }
    raw_write_all(source, "k", 1);
    for (unsigned i = 0; i < relay->observers; i++) {
        int joiner = accept_one(relay->observer_fd);
        raw_write_all(joiner, array, relay->message_bytes * relay->message_count);
        close(joiner);
    }
    (void)raw_read_all(source, &byte, 1);
    free(array);
}
