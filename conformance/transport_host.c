/* See transport_host.h. */
#define _GNU_SOURCE
#include "transport_host.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "url.h"

#define SECOND_NS UINT64_C(1000000000)

static uint64_t clock_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

uint64_t thost_now_ns(const thost *host)
{
    return (host->fixed_ns ? host->fixed_ns : clock_ns()) + host->skew_ns;
}

uint64_t thost_deadline_ns(void)
{
    return clock_ns() + 10 * SECOND_NS;
}

bool thost_is_past(uint64_t deadline_ns)
{
    return clock_ns() > deadline_ns;
}

/* A check that goes on without memory would tell nothing true. */
static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void tell(thost *host)
{
    if (host->broken[0] && host->slots == 0 && !host->over) {
        host->over = true;
        host->fail(host->fail_ctx, host->broken);
    }
}

void thost_break(thost *host, const char *format, ...)
{
    if (!host->broken[0]) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(host->broken, sizeof host->broken, format, arguments);
        va_end(arguments);
    }
    tell(host);
}

static bool promised(thost *host, bool kept, const char *text)
{
    if (!kept)
        thost_break(host, "%s", text);
    return kept;
}

static bool fails_now(thost *host)
{
    if (host->fail_at > 0 && --host->fail_at == 0) {
        host->failed = true;
        return true;
    }
    return false;
}

static void *host_alloc(void *ctx, size_t bytes)
{
    thost *host = ctx;
    (void)promised(host, bytes > 0, "memory of 0 bytes was asked for");
    if (fails_now(host)) {
        return NULL;
    }
    host->allocated_bytes += bytes;
    return checked(malloc(bytes));
}

static void *host_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    thost *host = ctx;
    if (fails_now(host)) {
        return NULL;
    }
    host->allocated_bytes += new_bytes - old_bytes;
    return checked(realloc(memory, new_bytes));
}

static void host_free(void *ctx, void *memory, size_t bytes)
{
    thost *host = ctx;
    if (!promised(host, memory, "NULL was given back as memory"))
        return;
    host->allocated_bytes -= bytes;
    free(memory);
}

static hakuban_status fd_set_(void *host_memory, void *owner, int fd, unsigned events)
{
    thost *host = host_memory;
    if (!promised(host, fd >= 0, "fd_set() of no descriptor"))
        return HAKUBAN_ERR_ARGUMENT;
    size_t i = 0;
    while (i < host->watch_count &&
           (host->watches[i].owner != owner || host->watches[i].fd != fd)) {
        i++;
    }
    if (events == 0) {
        if (i < host->watch_count) {
            host->watches[i] = host->watches[--host->watch_count];
        }
        return HAKUBAN_OK;
    }
    if (fails_now(host)) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (i == host->watch_count) {
        if (!promised(host, i < sizeof host->watches / sizeof host->watches[0],
                      "it waits for more than 1024 descriptors"))
            return HAKUBAN_ERR_LIMIT;
        host->watch_count++;
    }
    host->watches[i] = (thost_watch){owner, fd, events};
    return HAKUBAN_OK;
}

static hakuban_status wake_at(void *host_memory, void *owner, uint64_t when_ns)
{
    thost *host = host_memory;
    size_t i = 0;
    while (i < host->timer_count && host->timers[i].owner != owner) {
        i++;
    }
    if (when_ns == UINT64_MAX) {
        if (i < host->timer_count) {
            host->timers[i] = host->timers[--host->timer_count];
        }
        return HAKUBAN_OK;
    }
    if (fails_now(host)) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (i == host->timer_count) {
        if (!promised(host, i < sizeof host->timers / sizeof host->timers[0],
                      "it has more than 1024 timers"))
            return HAKUBAN_ERR_LIMIT;
        host->timer_count++;
    }
    host->timers[i] = (thost_timer){owner, when_ns};
    return HAKUBAN_OK;
}

static hakuban_link *link_new(thost *host)
{
    hakuban_link *link = checked(calloc(1, sizeof *link));
    link->host = host;
    link->conn = checked(calloc(1, host->ops->conn_bytes));
    link->next = host->links;
    host->links = link;
    return link;
}

static void forget_link(hakuban_link *link)
{
    hakuban_link **each = &link->host->links;
    while (*each != link) {
        each = &(*each)->next;
    }
    *each = link->next;
    free(link->conn);
    free(link);
}

static hakuban_link *accepted(void *host_memory, void *listener, const char *peer, void **ret_conn)
{
    thost *host = host_memory;
    (void)promised(host, host->slots > 0, "accepted() outside of the slots that may call it");
    size_t i = 0;
    while (i < host->listener_count && host->listeners[i] != listener) {
        i++;
    }
    bool known = i < host->listener_count || listener == host->listening;
    if (!promised(host, known, "accepted() for a listener that is none") || host->refuse) {
        return NULL;
    }
    hakuban_link *link = link_new(host);
    (void)snprintf(link->peer, sizeof link->peer, "%s", peer);
    host->accepted_count++;
    if (host->on_accepted) {
        host->on_accepted(link);
    }
    *ret_conn = link->conn;
    return link;
}

static bool check_upcall(hakuban_link *link, const char *name)
{
    const char *wrong = link->host->slots == 0        ? "outside of the slots that may call it"
                        : link->closed || !link->conn ? "after closed()"
                                                      : NULL;
    if (wrong)
        thost_break(link->host, "%s() %s", name, wrong);
    return !wrong;
}

static void opened(hakuban_link *link)
{
    if (!check_upcall(link, "opened") ||
        !promised(link->host, link->dialed, "opened() for a peer that was accepted") ||
        !promised(link->host, link->opened++ == 0, "opened() twice"))
        return;
    if (link->on_opened) {
        link->on_opened(link);
    }
}

static void received(hakuban_link *link, const void *data, size_t bytes)
{
    if (!check_upcall(link, "received") ||
        !promised(link->host, !link->dialed || link->opened, "received() before opened()"))
        return;
    if (link->bytes + bytes > link->capacity) {
        link->capacity = 2 * (link->bytes + bytes);
        link->data = checked(realloc(link->data, link->capacity));
    }
    if (bytes > 0) {
        memcpy(link->data + link->bytes, data, bytes);
    }
    link->bytes += bytes;
    if (link->count == link->lengths_capacity) {
        link->lengths_capacity = 2 * link->count + 16;
        link->lengths =
            checked(realloc(link->lengths, link->lengths_capacity * sizeof *link->lengths));
    }
    link->lengths[link->count++] = bytes;
    if (link->on_received) {
        link->on_received(link);
    }
}

static void writable(hakuban_link *link)
{
    if (!check_upcall(link, "writable") ||
        !promised(link->host, link->full, "writable() without OK_FULL before it"))
        return;
    link->full = false;
    link->writable++;
    if (link->on_writable) {
        link->on_writable(link);
    }
}

static void carries(hakuban_link *link, hakuban_carries what)
{
    if (!check_upcall(link, "carries") || !promised(link->host, !link->opened && link->count == 0,
                                                    "carries() after opened() or received()"))
        return;
    link->carries = what;
}

static void closed(hakuban_link *link, hakuban_status why, const char *text)
{
    if (!check_upcall(link, "closed"))
        return;
    (void)promised(link->host, why < 0 && text && text[0], "closed() without a reason in words");
    for (size_t i = 0; i < link->host->watch_count; i++) {
        (void)promised(link->host, link->host->watches[i].owner != link->conn,
                       "closed, but it still waits for a descriptor");
    }
    for (size_t i = 0; i < link->host->timer_count; i++) {
        (void)promised(link->host, link->host->timers[i].owner != link->conn,
                       "closed, but it still has a timer");
    }
    link->closed++;
    link->host->closed_count++;
    link->why = why;
    (void)snprintf(link->text, sizeof link->text, "%s", text);
}

static void free_conn_if_closed(hakuban_link *link)
{
    if (link->closed && link->conn) {
        memset(link->conn, 0xa5, link->host->ops->conn_bytes);
        free(link->conn);
        link->conn = NULL;
    }
}

hakuban_status thost_begin(thost *host, const hakuban_transport_ops *ops, void *param,
                           void (*fail)(void *ctx, const char *text), void *fail_ctx)
{
    memset(host, 0, sizeof *host);
    host->fail = fail;
    host->fail_ctx = fail_ctx;
    host->url_parse = hkb_check_url_parse;
    host->url_free = hkb_check_url_free;
    host->ops = ops;
    host->alloc = (hakuban_alloc){host, host_alloc, host_realloc, host_free};
    host->table = (hakuban_transport_host){.size = sizeof host->table,
                                           .host = host,
                                           .param = param,
                                           .alloc = &host->alloc,
                                           .fd_set = fd_set_,
                                           .wake_at = wake_at,
                                           .accepted = accepted,
                                           .opened = opened,
                                           .received = received,
                                           .writable = writable,
                                           .closed = closed,
                                           .carries = carries};
    host->self = checked(calloc(1, ops->self_bytes ? ops->self_bytes : 1));
    hakuban_status status = ops->init ? ops->init(host->self, &host->table) : HAKUBAN_OK;
    if (status) {
        free(host->self);
        host->self = NULL;
    }
    return status;
}

static void end_plugin(thost *host)
{
    while (host->listener_count > 0) {
        thost_unlisten(host, 0);
    }
    for (hakuban_link *link = host->links; link; link = link->next) {
        link->on_received = link->on_writable = link->on_opened = NULL;
        if (!link->closed) {
            thost_close(link);
        }
    }
    if (host->ops->done) {
        host->ops->done(host->self);
    }
    free(host->self);
    host->self = NULL;
}

void thost_done(thost *host)
{
    host->fail_at = 0;
    if (host->self) {
        end_plugin(host);
    }
    while (host->links) {
        hakuban_link *link = host->links;
        bool forgotten = !link->closed;
        host->links = link->next;
        free(link->conn);
        free(link->data);
        free(link->lengths);
        free(link);
        (void)promised(host, !forgotten, "close() without closed()");
    }
    (void)promised(host, host->watch_count == 0, "it ended and still waits for a descriptor");
    (void)promised(host, host->timer_count == 0, "it ended and still has a timer");
    (void)promised(host, host->allocated_bytes == 0, "it ended and has not freed all memory");
}

hakuban_status thost_listen(thost *host, const char *text, char ret_url[256], hakuban_error *reterr)
{
    hakuban_url *url = NULL;
    hakuban_status status = host->url_parse(text, &url, reterr);
    if (status) {
        return status;
    }
    void *listener = checked(calloc(1, host->ops->listener_bytes ? host->ops->listener_bytes : 1));
    char reached[256];
    host->slots++;
    host->listening = listener;
    status = host->ops->listen(host->self, listener, url, reached, sizeof reached, reterr);
    host->listening = NULL;
    host->slots--;
    host->url_free(url);
    tell(host);
    if (status) {
        free(listener);
        return status;
    }
    if (ret_url) {
        memcpy(ret_url, reached, sizeof reached);
    }
    host->listeners[host->listener_count++] = listener;
    return status;
}

void thost_unlisten(thost *host, size_t index)
{
    void *listener = host->listeners[index];
    host->listeners[index] = host->listeners[--host->listener_count];
    host->ops->unlisten(host->self, listener);
    free(listener);
}

hakuban_link *thost_dial(thost *host, const char *text, hakuban_status *ret_status,
                         hakuban_error *reterr)
{
    hakuban_url *url = NULL;
    hakuban_status status = host->url_parse(text, &url, reterr);
    if (status) {
        *ret_status = status;
        return NULL;
    }
    hakuban_link *link = link_new(host);
    link->dialed = true;
    host->slots++;
    status = host->ops->dial(host->self, link->conn, link, url, reterr);
    host->slots--;
    host->url_free(url);
    tell(host);
    *ret_status = status;
    if (status) {
        (void)promised(host, !link->closed, "dial() fails and calls closed() too");
        forget_link(link);
        return NULL;
    }
    free_conn_if_closed(link);
    return link;
}

hakuban_status thost_send(hakuban_link *link, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    size_t first = bytes / 7, second = bytes / 3;
    hakuban_slice parts[] = {
        {from, first}, {from + first, second}, {from + first + second, bytes - first - second}};
    link->host->slots++;
    hakuban_status status = link->host->ops->send(link->host->self, link->conn, parts, 3);
    link->host->slots--;
    if (status == HAKUBAN_OK_FULL) {
        link->full = true;
    }
    free_conn_if_closed(link);
    tell(link->host);
    return status;
}

void thost_shutdown(hakuban_link *link)
{
    link->host->ops->shutdown(link->host->self, link->conn);
    tell(link->host);
}

void thost_close(hakuban_link *link)
{
    link->host->slots++;
    link->host->ops->close(link->host->self, link->conn);
    link->host->slots--;
    (void)promised(link->host, link->closed == 1, "close() without closed()");
    free_conn_if_closed(link);
}

static void call_ready(thost *host, void *owner, unsigned events)
{
    size_t closed_before = host->closed_count;
    host->ready_calls++;
    host->slots++;
    host->ops->ready(host->self, owner, events, thost_now_ns(host));
    host->slots--;
    if (host->closed_count != closed_before) {
        for (hakuban_link *link = host->links; link; link = link->next) {
            free_conn_if_closed(link);
        }
    }
    tell(host);
}

static unsigned run_timers(thost *host)
{
    uint64_t now_ns = thost_now_ns(host);
    unsigned calls = 0;
    for (size_t i = 0; i < host->timer_count;) {
        if (host->timers[i].when_ns <= now_ns) {
            void *owner = host->timers[i].owner;
            host->timers[i] = host->timers[--host->timer_count];
            call_ready(host, owner, 0);
            calls++;
            i = 0;
        } else {
            i++;
        }
    }
    return calls;
}

static unsigned ready_events(unsigned wanted, short polled)
{
    bool broken = (polled & (POLLERR | POLLHUP)) != 0;
    unsigned events = 0;
    if ((wanted & HAKUBAN_READ) && (broken || (polled & POLLIN))) {
        events |= HAKUBAN_READ;
    }
    if ((wanted & HAKUBAN_WRITE) && (broken || (polled & POLLOUT))) {
        events |= HAKUBAN_WRITE;
    }
    return events;
}

unsigned thost_turn(thost *host, int timeout_ms)
{
    unsigned calls = run_timers(host);
    struct pollfd polled[1024];
    thost_watch watches[1024];
    size_t count = host->watch_count;
    memcpy(watches, host->watches, count * sizeof *watches);
    for (size_t i = 0; i < count; i++) {
        short events = 0;
        events = (short)(events | ((watches[i].events & HAKUBAN_READ) ? POLLIN : 0));
        events = (short)(events | ((watches[i].events & HAKUBAN_WRITE) ? POLLOUT : 0));
        polled[i] = (struct pollfd){watches[i].fd, events, 0};
    }
    int found = poll(polled, count, calls ? 0 : timeout_ms);
    (void)promised(host, found >= 0 || errno == EINTR, "poll() failed");
    for (size_t i = 0; i < count && found > 0; i++) {
        if (polled[i].revents == 0) {
            continue;
        }
        (void)promised(host, !(polled[i].revents & POLLNVAL), "it waits for a closed descriptor");
        for (size_t j = 0; j < host->watch_count; j++) {
            if (host->watches[j].owner == watches[i].owner &&
                host->watches[j].fd == watches[i].fd) {
                unsigned events = ready_events(host->watches[j].events, polled[i].revents);
                if (events) {
                    call_ready(host, watches[i].owner, events);
                    calls++;
                }
                break;
            }
        }
    }
    return calls;
}

void thost_turn_both(thost *a, thost *b)
{
    unsigned calls = thost_turn(a, 0) + (b ? thost_turn(b, 0) : 0);
    if (calls == 0) {
        (void)thost_turn(a, 1);
    }
}

void thost_settle(thost *a, thost *b)
{
    uint64_t until_ns = thost_deadline_ns();
    unsigned idle = 0;
    while (idle < 3) {
        (void)promised(a, !thost_is_past(until_ns), "there is always something to do: it spins");
        unsigned calls = thost_turn(a, 1) + (b ? thost_turn(b, 1) : 0);
        idle = calls ? 0 : idle + 1;
    }
}
