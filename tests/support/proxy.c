/* One process, one poll() loop, no thread. Orders come through a pipe as whole records. */
#define _GNU_SOURCE
#include "proxy.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUTES_MAX = 32, PASSES_MAX = 400, HELD_BYTES_MAX = 256 * 1024, TICK_MS = 10 };

typedef enum verb { CUT, DELAY, TRICKLE, SWALLOW, REFUSE, HEAL } verb;

typedef struct order {
    uint32_t route, verb, a, b;
} order;

struct proxy {
    pid_t pid;
    int orders;
};

typedef struct chunk {
    struct chunk *next;
    uint64_t due_ms;
    size_t bytes, taken;
    char data[];
} chunk;

/* One direction of a connection. Lane i reads from fds[i] and writes to fds[1 - i]. */
typedef struct lane {
    chunk *first, *last;
    size_t held_bytes;
    bool swallows;
    bool ended; /* nothing more can be read */
    bool shut;  /* and the other side was told */
    uint64_t tick;
    uint32_t tick_bytes; /* passed in this tick */
} lane;

typedef struct pass {
    unsigned route;
    int fds[2]; /* the connector, the listener; -1: left quietly */
    bool connecting, cuts;
    uint64_t cut_after_bytes;
    lane lanes[2];
} pass;

typedef struct way {
    int listener;
    struct sockaddr_in to;
    uint32_t delay_ms, jitter_ms, trickle_bytes;
    bool refuses, swallows[2];
} way;

/* -- The process of the proxy -- */

static way ways[ROUTES_MAX];
static size_t way_count;
static pass passes[PASSES_MAX];
static size_t pass_count;
static uint64_t dice;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t roll(uint32_t sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return sides ? (uint32_t)(dice >> 33) % sides : 0;
}

static void leave(int *fd, bool reset)
{
    if (*fd >= 0) {
        struct linger now = {1, 0};
        if (reset) {
            setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        }
        close(*fd);
        *fd = -1;
    }
}

static void drop_chunks(lane *l)
{
    while (l->first) {
        chunk *next = l->first->next;
        free(l->first);
        l->first = next;
    }
    l->last = NULL;
    l->held_bytes = 0;
}

static void end_pass(pass *p, bool reset)
{
    leave(&p->fds[0], reset);
    leave(&p->fds[1], reset);
}

/* One end is gone. If news of it would have to take a direction that swallows, the other end must
 * not learn of it. */
static void lost(pass *p, int side)
{
    lane *told = &p->lanes[side];
    if (!told->swallows) {
        end_pass(p, true);
        return;
    }
    leave(&p->fds[side], false);
    told->ended = told->shut = true;
    p->lanes[1 - side].swallows = true; /* what comes from the other end has no receiver */
    drop_chunks(&p->lanes[1 - side]);
}

static void accept_one(unsigned index)
{
    way *r = &ways[index];
    int on = 1, fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (r->refuses || pass_count == PASSES_MAX) {
        leave(&fd, true);
        return;
    }
    pass *p = &passes[pass_count];
    memset(p, 0, sizeof(*p));
    p->route = index;
    p->fds[0] = fd;
    p->fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    p->lanes[0].swallows = r->swallows[0];
    p->lanes[1].swallows = r->swallows[1];
    setsockopt(p->fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(p->fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (p->fds[1] < 0 || (connect(p->fds[1], (struct sockaddr *)&r->to, sizeof(r->to)) != 0 &&
                          errno != EINPROGRESS)) {
        end_pass(p, true);
        return;
    }
    p->connecting = true;
    pass_count++;
}

static void read_lane(pass *p, int side)
{
    lane *l = &p->lanes[side];
    const way *r = &ways[p->route];
    chunk *c = malloc(sizeof(*c) + 16384);
    ssize_t bytes = c ? read(p->fds[side], c->data, 16384) : -1;
    if (bytes <= 0) {
        free(c);
        if (bytes == 0 && !l->swallows) {
            l->ended = true; /* an orderly end is passed on after what is still held */
        } else if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
            lost(p, side);
        }
        return;
    }
    if (l->swallows) {
        free(c);
        return;
    }
    c->next = NULL;
    c->taken = 0;
    c->bytes = (size_t)bytes;
    c->due_ms = now_ms() + r->delay_ms + roll(r->jitter_ms);
    if (l->last) {
        c->due_ms = c->due_ms < l->last->due_ms ? l->last->due_ms : c->due_ms;
        l->last->next = c;
    } else {
        l->first = c;
    }
    l->last = c;
    l->held_bytes += c->bytes;
}

/* How much of the first chunk may pass now. */
static size_t allowed(const pass *p, lane *l)
{
    uint32_t limit = ways[p->route].trickle_bytes;
    size_t bytes = l->first->bytes - l->first->taken;
    if (l->first->due_ms > now_ms()) {
        return 0;
    }
    if (limit > 0) {
        if (l->tick != now_ms() / TICK_MS) {
            l->tick = now_ms() / TICK_MS;
            l->tick_bytes = 0;
        }
        size_t left = limit > l->tick_bytes ? limit - l->tick_bytes : 0;
        bytes = bytes < left ? bytes : left;
    }
    return p->cuts && bytes > p->cut_after_bytes ? (size_t)p->cut_after_bytes : bytes;
}

static void write_lane(pass *p, int side)
{
    lane *l = &p->lanes[side];
    while (l->first && p->fds[1 - side] >= 0) {
        size_t bytes = allowed(p, l);
        ssize_t written = bytes == 0 ? 0
                                     : send(p->fds[1 - side], l->first->data + l->first->taken,
                                            bytes, MSG_NOSIGNAL);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            lost(p, 1 - side);
            return;
        }
        if (written <= 0) {
            return;
        }
        l->first->taken += (size_t)written;
        l->held_bytes -= (size_t)written;
        l->tick_bytes += ways[p->route].trickle_bytes ? (uint32_t)written : 0;
        if (p->cuts && (p->cut_after_bytes -= (uint64_t)written) == 0) {
            end_pass(p, roll(2));
            return;
        }
        if (l->first->taken == l->first->bytes) {
            chunk *next = l->first->next;
            free(l->first);
            l->first = next;
            l->last = next ? l->last : NULL;
        }
    }
    if (l->ended && !l->shut && !l->first && p->fds[1 - side] >= 0) {
        shutdown(p->fds[1 - side], SHUT_WR);
        l->shut = true;
    }
}

static void obey(const order *o)
{
    way *r = &ways[o->route];
    for (size_t i = 0; i < pass_count; i++) {
        pass *p = &passes[i];
        if (p->route != o->route) {
            continue;
        }
        if (o->verb == CUT && o->a == 0) {
            end_pass(p, roll(2));
        } else if (o->verb == CUT) {
            p->cuts = true;
            p->cut_after_bytes = o->a;
        } else if (o->verb == SWALLOW) {
            for (int side = 0; side < 2; side++) {
                if (side == 0 ? o->a : o->b) {
                    p->lanes[side].swallows = true;
                    drop_chunks(&p->lanes[side]);
                }
            }
        } else if (o->verb == HEAL) {
            p->cuts = false;
        }
    }
    switch ((verb)o->verb) {
    case CUT:
        break;
    case DELAY:
        r->delay_ms = o->a;
        r->jitter_ms = o->b;
        break;
    case TRICKLE:
        r->trickle_bytes = o->a;
        break;
    case SWALLOW:
        r->swallows[0] = o->a;
        r->swallows[1] = o->b;
        break;
    case REFUSE:
        r->refuses = true;
        break;
    case HEAL:
        r->delay_ms = r->jitter_ms = r->trickle_bytes = 0;
        r->refuses = r->swallows[0] = r->swallows[1] = false;
        break;
    }
}

static void serve_pass(pass *p, const struct pollfd *fds)
{
    if (p->connecting) {
        int error = 0;
        socklen_t size = sizeof(error);
        if (!fds[1].revents) {
            return;
        }
        getsockopt(p->fds[1], SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            end_pass(p, true);
            return;
        }
        p->connecting = false;
        return;
    }
    for (int side = 0; side < 2; side++) {
        /* fds says POLLIN only where it was asked for, errors always. */
        if (p->fds[side] >= 0 && !p->lanes[side].ended &&
            (fds[side].revents & (POLLIN | POLLHUP | POLLERR))) {
            read_lane(p, side);
        } else if (p->fds[side] >= 0 && (fds[side].revents & POLLERR)) {
            lost(p, side);
        }
    }
    for (int side = 0; side < 2; side++) {
        write_lane(p, side);
    }
    if (p->lanes[0].shut && p->lanes[1].shut) {
        end_pass(p, false);
    }
}

/* What one pass waits for. */
static void ask(const pass *p, struct pollfd *fds, int *timeout_ms)
{
    for (int side = 0; side < 2; side++) {
        const lane *in = &p->lanes[side], *out = &p->lanes[1 - side];
        fds[side] = (struct pollfd){.fd = p->fds[side]};
        if (p->connecting) {
            fds[side].events = side == 1 ? POLLOUT : 0;
            fds[side].fd = side == 1 ? p->fds[1] : -1;
            continue;
        }
        if (!in->ended && in->held_bytes < HELD_BYTES_MAX) {
            fds[side].events |= POLLIN;
        }
        if (out->first && ways[p->route].trickle_bytes == 0 && out->first->due_ms <= now_ms()) {
            fds[side].events |= POLLOUT;
        } else if (out->first) {
            *timeout_ms = TICK_MS;
        }
        if (fds[side].events == 0) {
            fds[side].fd = -1; /* else an end that is known already would wake us for ever */
        }
    }
}

static _Noreturn void serve(int orders)
{
    static struct pollfd fds[1 + ROUTES_MAX + 2 * PASSES_MAX];
    for (;;) {
        int timeout_ms = -1;
        size_t count = 0;
        fds[count++] = (struct pollfd){.fd = orders, .events = POLLIN};
        for (size_t i = 0; i < way_count; i++) {
            fds[count++] = (struct pollfd){.fd = ways[i].listener, .events = POLLIN};
        }
        size_t asked = pass_count;
        for (size_t i = 0; i < asked; i++) {
            ask(&passes[i], &fds[count + 2 * i], &timeout_ms);
        }
        if (poll(fds, (nfds_t)(count + 2 * asked), timeout_ms) < 0) {
            continue;
        }
        for (size_t i = 0; i < asked; i++) {
            serve_pass(&passes[i], &fds[count + 2 * i]);
        }
        if (fds[0].revents) {
            order o;
            if (read(orders, &o, sizeof(o)) != (ssize_t)sizeof(o)) {
                _exit(0);
            }
            obey(&o);
        }
        for (size_t i = 0; i < way_count; i++) {
            if (fds[1 + i].revents) {
                accept_one((unsigned)i);
            }
        }
        for (size_t i = 0; i < pass_count;) {
            if (passes[i].fds[0] < 0 && passes[i].fds[1] < 0) {
                drop_chunks(&passes[i].lanes[0]);
                drop_chunks(&passes[i].lanes[1]);
                passes[i] = passes[--pass_count];
            } else {
                i++;
            }
        }
    }
}

/* -- The side of the test -- */

const char *proxy_address(void)
{
    static char text[16];
    unsigned pid = (unsigned)getpid();
    if (!text[0]) {
        snprintf(text, sizeof(text), "127.%u.%u.%u", 1 + (pid >> 14) % 250, 1 + (pid >> 7) % 128,
                 1 + pid % 128);
    }
    return text;
}

proxy *proxy_start(const char *address, const proxy_route *wanted, size_t count, uint64_t seed)
{
    int ends[2], on = 1;
    ck_assert_uint_le(count, ROUTES_MAX);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(wanted[i].from)};
        ck_assert_int_eq(inet_pton(AF_INET, address, &from.sin_addr), 1);
        ways[i] = (way){.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                        .to = from};
        ways[i].to.sin_port = htons(wanted[i].to);
        ck_assert_int_ge(ways[i].listener, 0);
        setsockopt(ways[i].listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        ck_assert_int_eq(bind(ways[i].listener, (struct sockaddr *)&from, sizeof(from)), 0);
        ck_assert_int_eq(listen(ways[i].listener, 128), 0);
    }
    way_count = count;
    dice = seed;
    pid_t parent = getpid(), pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        if (getppid() != parent) {
            _exit(1);
        }
        for (int fd = 3; fd < 1024; fd++) { /* pipes of programs, whose end they could not see */
            bool own = fd == ends[0];
            for (size_t i = 0; i < count; i++) {
                own = own || fd == ways[i].listener;
            }
            if (!own) {
                close(fd);
            }
        }
        serve(ends[0]);
    }
    close(ends[0]);
    for (size_t i = 0; i < count; i++) {
        close(ways[i].listener);
    }
    proxy *p = calloc(1, sizeof(*p));
    ck_assert_ptr_nonnull(p);
    p->pid = pid;
    p->orders = ends[1];
    return p;
}

proxy *proxy_stop(proxy *p)
{
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    close(p->orders);
    free(p);
    return NULL;
}

pid_t proxy_pid(const proxy *p)
{
    return p->pid;
}

static void tell(proxy *p, unsigned route, verb what, uint32_t a, uint32_t b)
{
    order o = {.route = route, .verb = what, .a = a, .b = b};
    ck_assert_int_eq(write(p->orders, &o, sizeof(o)), (ssize_t)sizeof(o));
}

void proxy_cut(proxy *p, unsigned route, uint32_t after_bytes)
{
    tell(p, route, CUT, after_bytes, 0);
}

void proxy_delay(proxy *p, unsigned route, uint32_t delay_ms, uint32_t jitter_ms)
{
    tell(p, route, DELAY, delay_ms, jitter_ms);
}

void proxy_trickle(proxy *p, unsigned route, uint32_t bytes)
{
    tell(p, route, TRICKLE, bytes, 0);
}

void proxy_swallow(proxy *p, unsigned route, int up, int down)
{
    tell(p, route, SWALLOW, up != 0, down != 0);
}

void proxy_refuse(proxy *p, unsigned route)
{
    tell(p, route, REFUSE, 0, 0);
}

void proxy_heal(proxy *p, unsigned route)
{
    tell(p, route, HEAL, 0, 0);
}
