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
    if (!memory) {
        abort();
    }
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
        (void)vsnprintf(host->broken, sizeof(host->broken), format, arguments);
        va_end(arguments);
    }
    tell(host);
}

static bool promised(thost *host, bool kept, const char *text)
{
    if (!kept) {
        thost_break(host, "%s", text);
    }
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
    if (!promised(host, memory, "NULL was given back as memory")) {
        return;
    }
    host->allocated_bytes -= bytes;
    free(memory);
}

static hakuban_status fd_set_(void *host_memory, void *owner, int fd, unsigned events)
{
    thost *host = host_memory;
    if (!promised(host, fd >= 0, "fd_set() of no descriptor")) {
        return HAKUBAN_ERR_ARGUMENT;
    }
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
        if (!promised(host, i < sizeof(host->watches) / sizeof(host->watches[0]),
                      "it waits for more than 1024 descriptors")) {
            return HAKUBAN_ERR_LIMIT;
        }
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
        if (!promised(host, i < sizeof(host->timers) / sizeof(host->timers[0]),
                      "it has more than 1024 timers")) {
            return HAKUBAN_ERR_LIMIT;
        }
        host->timer_count++;
    }
    host->timers[i] = (thost_timer){owner, when_ns};
    return HAKUBAN_OK;
}

static hakuban_carrier *link_new(thost *host)
{
    hakuban_carrier *carrier = checked(calloc(1, sizeof(*carrier)));
    carrier->host = host;
    carrier->conn = checked(calloc(1, host->ops->conn_bytes));
    carrier->next = host->links;
    host->links = carrier;
    return carrier;
}

static void forget_link(hakuban_carrier *carrier)
{
    hakuban_carrier **each = &carrier->host->links;
    while (*each != carrier) {
        each = &(*each)->next;
    }
    *each = carrier->next;
    free(carrier->conn);
    free(carrier);
}

static hakuban_carrier *accepted(void *host_memory, void *listener, const char *peer,
                                 void **ret_conn)
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
    hakuban_carrier *carrier = link_new(host);
    (void)snprintf(carrier->peer, sizeof(carrier->peer), "%s", peer);
    host->accepted_count++;
    if (host->on_accepted) {
        host->on_accepted(carrier);
    }
    *ret_conn = carrier->conn;
    return carrier;
}

static bool check_upcall(hakuban_carrier *carrier, const char *name)
{
    const char *wrong = carrier->host->slots == 0 ? "outside of the slots that may call it"
                        : carrier->closed || !carrier->conn ? "after closed()"
                                                            : NULL;
    if (wrong) {
        thost_break(carrier->host, "%s() %s", name, wrong);
    }
    return !wrong;
}

static void opened(hakuban_carrier *carrier)
{
    if (!check_upcall(carrier, "opened") ||
        !promised(carrier->host, carrier->dialed, "opened() for a peer that was accepted") ||
        !promised(carrier->host, carrier->opened++ == 0, "opened() twice")) {
        return;
    }
    if (carrier->on_opened) {
        carrier->on_opened(carrier);
    }
}

static void received(hakuban_carrier *carrier, const void *data, size_t bytes)
{
    if (!check_upcall(carrier, "received") ||
        !promised(carrier->host, !carrier->dialed || carrier->opened,
                  "received() before opened()")) {
        return;
    }
    if (carrier->bytes + bytes > carrier->capacity) {
        carrier->capacity = 2 * (carrier->bytes + bytes);
        carrier->data = checked(realloc(carrier->data, carrier->capacity));
    }
    if (bytes > 0) {
        memcpy(carrier->data + carrier->bytes, data, bytes);
    }
    carrier->bytes += bytes;
    if (carrier->count == carrier->lengths_capacity) {
        carrier->lengths_capacity = 2 * carrier->count + 16;
        carrier->lengths = checked(
            realloc(carrier->lengths, carrier->lengths_capacity * sizeof(*carrier->lengths)));
    }
    carrier->lengths[carrier->count++] = bytes;
    if (carrier->on_received) {
        carrier->on_received(carrier);
    }
}

static void writable(hakuban_carrier *carrier)
{
    if (!check_upcall(carrier, "writable") ||
        !promised(carrier->host, carrier->full, "writable() without OK_FULL before it")) {
        return;
    }
    carrier->full = false;
    carrier->writable++;
    if (carrier->on_writable) {
        carrier->on_writable(carrier);
    }
}

static void identity(hakuban_carrier *carrier, const char *kind, const char *name)
{
    if (check_upcall(carrier, "identity") &&
        promised(carrier->host, kind && kind[0] && name, "identity() without a kind or a name")) {
        (void)promised(carrier->host, !carrier->opened && !carrier->bytes,
                       "identity() after opened() or received()");
    }
}

static void carries(hakuban_carrier *carrier, hakuban_carries what)
{
    if (!check_upcall(carrier, "carries") ||
        !promised(carrier->host, !carrier->opened && carrier->count == 0,
                  "carries() after opened() or received()")) {
        return;
    }
    carrier->carries = what;
}

static int full(hakuban_carrier *carrier)
{
    return check_upcall(carrier, "full") && carrier->holds;
}

static void closed(hakuban_carrier *carrier, hakuban_status why, const char *text)
{
    if (!check_upcall(carrier, "closed")) {
        return;
    }
    (void)promised(carrier->host, why < 0 && text && text[0], "closed() without a reason in words");
    for (size_t i = 0; i < carrier->host->watch_count; i++) {
        (void)promised(carrier->host, carrier->host->watches[i].owner != carrier->conn,
                       "closed, but it still waits for a descriptor");
    }
    for (size_t i = 0; i < carrier->host->timer_count; i++) {
        (void)promised(carrier->host, carrier->host->timers[i].owner != carrier->conn,
                       "closed, but it still has a timer");
    }
    carrier->closed++;
    carrier->host->closed_count++;
    carrier->why = why;
    (void)snprintf(carrier->text, sizeof(carrier->text), "%s", text);
}

/* When a slot has returned. Any slot may have told the end of any connection. */
static void free_closed(thost *host)
{
    if (host->freed_count == host->closed_count) {
        return;
    }
    for (hakuban_carrier *carrier = host->links; carrier; carrier = carrier->next) {
        if (carrier->closed && carrier->conn) {
            memset(carrier->conn, 0xa5, host->ops->conn_bytes);
            free(carrier->conn);
            carrier->conn = NULL;
        }
    }
    host->freed_count = host->closed_count;
}

static void trouble(void *host_memory, void *listener, const char *text)
{
    thost *host = host_memory;
    bool known = host->listening == listener;
    for (size_t i = 0; i < host->listener_count; i++) {
        known = known || host->listeners[i] == listener;
    }
    (void)promised(host, known && text, "trouble() for a listener that is none, or without words");
    host->trouble_count++;
}

hakuban_status thost_begin(thost *host, const hakuban_transport_ops *ops, void *param,
                           void (*fail)(void *ctx, const char *text), void *fail_ctx)
{
    memset(host, 0, sizeof(*host));
    host->fail = fail;
    host->fail_ctx = fail_ctx;
    host->url_parse = hkb_check_url_parse;
    host->url_free = hkb_check_url_free;
    host->ops = ops;
    host->alloc = (hakuban_alloc){host, host_alloc, host_realloc, host_free};
    host->table = (hakuban_transport_host){.size = sizeof(host->table),
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
                                           .carries = carries,
                                           .identity = identity,
                                           .trouble = trouble,
                                           .full = full};
    host->self = checked(calloc(1, ops->self_bytes ? ops->self_bytes : 1));
    hakuban_status status = ops->init ? ops->init(host->self, &host->table) : HAKUBAN_OK;
    if (status < 0) {
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
    for (hakuban_carrier *carrier = host->links; carrier; carrier = carrier->next) {
        carrier->on_received = carrier->on_writable = carrier->on_opened = NULL;
        if (!carrier->closed) {
            thost_close(carrier);
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
        hakuban_carrier *carrier = host->links;
        bool forgotten = !carrier->closed;
        host->links = carrier->next;
        free(carrier->conn);
        free(carrier->data);
        free(carrier->lengths);
        free(carrier);
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
    if (status < 0) {
        return status;
    }
    void *listener = checked(calloc(1, host->ops->listener_bytes ? host->ops->listener_bytes : 1));
    char reached[256];
    host->slots++;
    host->listening = listener;
    status = host->ops->listen(host->self, listener, url, reached, sizeof(reached), reterr);
    host->listening = NULL;
    host->slots--;
    free_closed(host);
    host->url_free(url);
    tell(host);
    if (status < 0) {
        free(listener);
        return status;
    }
    if (ret_url) {
        memcpy(ret_url, reached, sizeof(reached));
    }
    host->listeners[host->listener_count++] = listener;
    return status;
}

void thost_unlisten(thost *host, size_t index)
{
    void *listener = host->listeners[index];
    host->listeners[index] = host->listeners[--host->listener_count];
    host->slots++;
    host->ops->unlisten(host->self, listener);
    host->slots--;
    free_closed(host);
    free(listener);
    tell(host);
}

hakuban_carrier *thost_dial(thost *host, const char *text, hakuban_status *ret_status,
                            hakuban_error *reterr)
{
    hakuban_url *url = NULL;
    hakuban_status status = host->url_parse(text, &url, reterr);
    if (status < 0) {
        *ret_status = status;
        return NULL;
    }
    hakuban_carrier *carrier = link_new(host);
    carrier->dialed = true;
    host->slots++;
    status = host->ops->dial(host->self, carrier->conn, carrier, url, reterr);
    host->slots--;
    host->url_free(url);
    tell(host);
    *ret_status = status;
    if (status < 0) {
        (void)promised(host, !carrier->closed, "dial() fails and calls closed() too");
        forget_link(carrier);
        free_closed(host);
        return NULL;
    }
    free_closed(host);
    return carrier;
}

hakuban_status thost_send(hakuban_carrier *carrier, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    hakuban_slice parts[HAKUBAN_SEND_PARTS_MAX];
    /* As many as may be, each twice as large as the one before: those of a short message are empty
     * at first. */
    for (unsigned i = HAKUBAN_SEND_PARTS_MAX; i-- > 0;) {
        size_t part = i ? (bytes + 1) / 2 : bytes;
        bytes -= part;
        parts[i] = (hakuban_slice){from + bytes, part};
    }
    carrier->host->slots++;
    hakuban_status status =
        carrier->host->ops->send(carrier->host->self, carrier->conn, parts, HAKUBAN_SEND_PARTS_MAX);
    carrier->host->slots--;
    if (status == HAKUBAN_OK_FULL) {
        carrier->full = true;
    }
    free_closed(carrier->host);
    tell(carrier->host);
    return status;
}

void thost_shutdown(hakuban_carrier *carrier)
{
    carrier->host->slots++;
    carrier->host->ops->shutdown(carrier->host->self, carrier->conn);
    carrier->host->slots--;
    free_closed(carrier->host);
    tell(carrier->host);
}

void thost_resume(hakuban_carrier *carrier)
{
    carrier->holds = false;
    carrier->host->slots++;
    carrier->host->ops->resume(carrier->host->self, carrier->conn);
    carrier->host->slots--;
    free_closed(carrier->host);
    tell(carrier->host);
}

void thost_close(hakuban_carrier *carrier)
{
    carrier->host->slots++;
    carrier->host->ops->close(carrier->host->self, carrier->conn);
    carrier->host->slots--;
    (void)promised(carrier->host, carrier->closed == 1, "close() without closed()");
    free_closed(carrier->host);
}

static void call_ready(thost *host, void *owner, unsigned events)
{
    host->ready_calls++;
    host->slots++;
    host->ops->ready(host->self, owner, events, thost_now_ns(host));
    host->slots--;
    free_closed(host);
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
    memcpy(watches, host->watches, count * sizeof(*watches));
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
