/* Carries bytes between the core and the transports: one hakuban_link per connection, from accepted() or dial() to closed().
 * Knows no URL parameter and nothing of what is said. */
#include "runtime/runtime.h"

#include <stdio.h>

/* Then what has arrived gets its turn, and threads that wait for the mutex get theirs. */
#define PACKETS_PER_TURN 64u
#define PEER_LINES_MAX 20u
#define NS_PER_S 1000000000ull

typedef struct waker {
    hkb_node node; /* in hkb_transport.wakers */
    hkb_timer timer;
    hkb_transport *transport;
    void *owner;
} waker;

/* ---- slots */

static void reap(hakuban_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->dead)))
        hkb_carrier_free(HKB_CONTAINER(node, hakuban_link, node));
}

void hkb_slot_begin(hakuban_exchange *exchange)
{
    HKB_ASSERT_DRIVER(exchange);
    HKB_ASSERT(!exchange->in_slot);
    exchange->in_slot = true;
}

void hkb_slot_end(hakuban_exchange *exchange)
{
    exchange->in_slot = false;
    reap(exchange);
}

static void call_ready(hkb_transport *transport, void *owner, unsigned events)
{
    hakuban_exchange *exchange = transport->exchange;
    hkb_slot_begin(exchange);
    transport->entry->ops.ready(transport->self, owner, events, exchange->now_ns);
    hkb_slot_end(exchange);
}

void hkb_carry_ready(void *ctx, void *transport, void *owner, unsigned events)
{
    hakuban_exchange *exchange = ctx;
    hkb_runtime_enter(exchange);
    call_ready(transport, owner, events);
    /* What follows from it is done once for all descriptors that are ready, when the loop's run has ended. */
    (void)pthread_mutex_unlock(&exchange->mutex);
}

/* ---- wakers */

static void waker_free(waker *waiting)
{
    hkb_list_remove(&waiting->node);
    hkb_timer_cancel(&waiting->timer);
    hkb_free(waiting->transport->exchange->alloc, waiting, sizeof(*waiting));
}

static waker *waker_find(hkb_transport *transport, const void *owner)
{
    HKB_LIST_EACH(waker, waiting, &transport->wakers, node)
    {
        if (waiting->owner == owner)
            return waiting;
    }
    return NULL;
}

void hkb_transport_forget(hkb_transport *transport, const void *owner)
{
    waker *waiting = waker_find(transport, owner);
    if (waiting)
        waker_free(waiting);
}

static void waker_fire(hkb_timer *timer)
{
    waker *waiting = HKB_CONTAINER(timer, waker, timer);
    hkb_transport *transport = waiting->transport;
    void *owner = waiting->owner;
    waker_free(waiting);
    call_ready(transport, owner, 0);
}

/* ---- carriers */

hakuban_link *hkb_carrier_new(hkb_transport *transport)
{
    hakuban_exchange *exchange = transport->exchange;
    hakuban_link *link = hkb_alloc(exchange->alloc, sizeof(*link));
    if (!link)
        return NULL;
    link->conn = hkb_alloc(exchange->alloc, transport->entry->ops.conn_bytes);
    if (!link->conn) {
        hkb_free(exchange->alloc, link, sizeof(*link));
        return NULL;
    }
    link->exchange = exchange;
    link->transport = transport;
    link->carries = transport->entry->ops.flags & HAKUBAN_TRANSPORT_STREAM
                        ? HAKUBAN_CARRIES_BYTES
                        : HAKUBAN_CARRIES_MESSAGES;
    hkb_list_push(&exchange->carriers, &link->node);
    return link;
}

void hkb_carrier_free(hakuban_link *link)
{
    hakuban_exchange *exchange = link->exchange;
    hkb_transport_forget(link->transport, link->conn);
    hkb_timer_cancel(&link->deadline);
    hkb_list_remove(&link->ending);
    hkb_list_remove(&link->node);
    hkb_free(exchange->alloc, link->conn, link->transport->entry->ops.conn_bytes);
    hkb_free(exchange->alloc, link, sizeof(*link));
    (void)pthread_cond_broadcast(&exchange->changed);
}

static void deadline_passed(hkb_timer *timer)
{
    hkb_carrier_close(HKB_CONTAINER(timer, hakuban_link, deadline));
}

static void set_deadline(hakuban_link *link, uint64_t after_ns)
{
    link->deadline.fire = deadline_passed;
    hkb_timer_set(link->exchange, &link->deadline, link->exchange->now_ns + after_ns);
}

static void begin_ending(hakuban_link *link)
{
    if (!hkb_node_linked(&link->ending))
        hkb_list_push(&link->exchange->ending, &link->ending);
}

void hkb_carrier_doom(hakuban_link *link)
{
    link->doomed = true;
    begin_ending(link);
}

static void carrier_gone(hakuban_link *link, hakuban_status why, const char *text)
{
    hakuban_exchange *exchange = link->exchange;
    if (link->gone)
        return;
    link->gone = true;
    hkb_timer_cancel(&link->deadline);
    hkb_list_remove(&link->ending);
    hkb_list_remove(&link->node);
    hkb_list_push(&exchange->dead, &link->node);
    hkb_peer *peer = link->peer;
    link->peer = NULL;
    exchange->unsettled = true;
    bool away = peer && hkb_peer_lost(peer, why, text);
    hakuban_connection *connection = link->connection;
    link->connection = NULL;
    if (connection)
        hkb_dialer_lost(connection, away, why, text);
}

void hkb_carrier_close(hakuban_link *link)
{
    hakuban_exchange *exchange = link->exchange;
    const hakuban_transport_ops *ops = &link->transport->entry->ops;
    hkb_slot_begin(exchange);
    if (!link->gone)
        ops->close(link->transport->self, link->conn);
    carrier_gone(link, HAKUBAN_ERR_CLOSED, "closed"); /* for a transport that forgot to say so */
    hkb_slot_end(exchange);
}

/* ---- what is said about peers */

/* At most PEER_LINES_MAX lines a second; what is left out is counted. */
static bool may_tell(hakuban_exchange *exchange)
{
    uint64_t now_ns = exchange->now_ns;
    if (now_ns - exchange->lines_since_ns >= NS_PER_S) {
        if (exchange->lines_left_out)
            hkb_log(&exchange->log, HAKUBAN_LOG_WARNING, "runtime", "%u more connections ended",
                    exchange->lines_left_out);
        exchange->lines_since_ns = now_ns;
        exchange->lines = exchange->lines_left_out = 0;
    }
    if (exchange->lines < PEER_LINES_MAX) {
        exchange->lines++;
        return true;
    }
    exchange->lines_left_out++;
    return false;
}

static void tell_of(hakuban_link *link, hakuban_log_level level, const char *text)
{
    link->told = true;
    if (level <= link->exchange->log.level && may_tell(link->exchange))
        hkb_log(&link->exchange->log, level, "runtime", "%s://%s: %s",
                link->transport->entry->ops.scheme, link->address, text);
}

/* A downstream that broke the rules is worth a warning; one that left or was lost is not. */
static void tell_of_end(hakuban_link *link, bool orderly, const hakuban_error *why)
{
    bool usual = orderly || why->status == HAKUBAN_ERR_CLOSED || why->status == HAKUBAN_ERR_IO;
    hakuban_log_level level = orderly ? HAKUBAN_LOG_DEBUG
                              : usual ? HAKUBAN_LOG_INFO
                                      : HAKUBAN_LOG_WARNING;
    tell_of(link, level, why->text);
}

/* ---- what transports tell */

static hakuban_status host_fd_set(void *host, void *owner, int fd, unsigned events)
{
    hkb_transport *transport = host;
    HKB_ASSERT_DRIVER(transport->exchange);
    return hkb_loop_watch(transport->exchange->loop, transport, owner, fd, events);
}

static hakuban_status host_wake_at(void *host, void *owner, uint64_t when_ns)
{
    hkb_transport *transport = host;
    HKB_ASSERT_DRIVER(transport->exchange);
    if (when_ns == UINT64_MAX) {
        hkb_transport_forget(transport, owner);
        return HAKUBAN_OK;
    }
    waker *waiting = waker_find(transport, owner);
    if (!waiting) {
        waiting = hkb_alloc(transport->exchange->alloc, sizeof(*waiting));
        if (!waiting)
            return HAKUBAN_ERR_NO_MEMORY;
        waiting->transport = transport;
        waiting->owner = owner;
        waiting->timer.fire = waker_fire;
        hkb_list_push(&transport->wakers, &waiting->node);
    }
    hkb_timer_set(transport->exchange, &waiting->timer, when_ns);
    return HAKUBAN_OK;
}

static hakuban_status attach(hakuban_link *link, const hkb_link_settings *settings,
                             hakuban_error *why)
{
    hakuban_exchange *exchange = link->exchange;
    exchange->unsettled = true;
    hkb_link_settings with = *settings;
    with.rust = link->carries == HAKUBAN_CARRIES_RUST;
    bool stream = link->carries == HAKUBAN_CARRIES_BYTES;
    hakuban_status status = hkb_exchange_attach(exchange->core, &with, link->connection != NULL,
                                                stream, link, &link->peer);
    if (status < 0)
        (void)hakuban_error_set(why, status, "%s",
                                status == HAKUBAN_ERR_EXISTS
                                    ? "the connection before is still ending"
                                    : hakuban_status_text(status));
    return status;
}

/* Who connects and says nothing is not kept, and neither is who takes all day for an upgrade. */
static void said_nothing(hkb_timer *timer)
{
    hakuban_link *link = HKB_CONTAINER(timer, hakuban_link, deadline);
    tell_of(link, HAKUBAN_LOG_WARNING, "neither a hello nor an upgrade came within 5 s");
    hkb_carrier_close(link);
}

/* The core gets to know an accepted link when its first bytes have told what it carries. */
static bool attach_accepted(hakuban_link *link)
{
    hakuban_error why = {0};
    if (link->peer || !link->listener || link->doomed)
        return link->peer != NULL;
    hkb_timer_cancel(&link->deadline);
    if (attach(link, &link->listener->settings, &why) < 0) {
        tell_of(link, HAKUBAN_LOG_WARNING, why.text);
        hkb_carrier_doom(link);
    }
    link->listener = NULL;
    return link->peer != NULL;
}

static hakuban_link *host_accepted(void *host, void *memory, const char *peer, void **ret_conn)
{
    hkb_transport *transport = host;
    hakuban_exchange *exchange = transport->exchange;
    hakuban_listener *listener = NULL;
    HKB_LIST_EACH(hakuban_listener, each, &exchange->listeners, node)
    {
        if (each->memory == memory)
            listener = each;
    }
    if (!listener || exchange->closing)
        return NULL;
    hakuban_link *link = hkb_carrier_new(transport);
    if (!link)
        return NULL;
    link->listener = listener;
    link->deadline.fire = said_nothing;
    hkb_timer_set(exchange, &link->deadline, exchange->now_ns + HKB_HELLO_TIMEOUT_NS);
    hkb_log(&exchange->log, HAKUBAN_LOG_DEBUG, "runtime", "%s: accepted %s", listener->url, peer);
    (void)snprintf(link->address, sizeof(link->address), "%s", peer);
    link->opened = true;
    *ret_conn = link->conn;
    return link;
}

static void host_opened(hakuban_link *link)
{
    if (link->gone || link->opened || !link->connection)
        return;
    link->opened = true;
    hkb_timer_cancel(&link->deadline);
    hakuban_error why = {0};
    if (attach(link, &link->connection->settings, &why) < 0) {
        hkb_dialer_ended(link->connection, &why);
        hkb_carrier_doom(link);
    }
}

static void host_received(hakuban_link *link, const void *data, size_t bytes)
{
    if (link->gone || link->shut || !attach_accepted(link))
        return;
    link->exchange->unsettled = true;
    hkb_peer_receive(link->peer, data, bytes);
}

static void host_writable(hakuban_link *link)
{
    if (link->gone || !link->peer)
        return;
    link->exchange->unsettled = true;
    hkb_peer_set_writable(link->peer, true);
}

static void host_carries(hakuban_link *link, hakuban_carries what)
{
    if (link->gone || link->peer)
        return;
    link->carries = what;
    (void)attach_accepted(link);
}

static void host_closed(hakuban_link *link, hakuban_status why, const char *text)
{
    text = text ? text : hakuban_status_text(why);
    bool accepted = link->address[0] != 0; /* else it is of a connection that has let go of it */
    if (accepted && !link->gone && !link->told && !link->exchange->closing) {
        hakuban_error end = {0};
        (void)hakuban_error_set(&end, why, "%s", text);
        tell_of_end(link, false, &end);
    }
    carrier_gone(link, why, text);
}

/* ---- transports */

static hakuban_status transport_init(hkb_transport *transport)
{
    const hakuban_transport_ops *ops = &transport->entry->ops;
    if (!ops->init)
        return HAKUBAN_OK;
    hkb_slot_begin(transport->exchange);
    hakuban_status status = ops->init(transport->self, &transport->host);
    hkb_slot_end(transport->exchange);
    return status;
}

hakuban_status hkb_transport_get(hakuban_exchange *exchange, const hakuban_url *url,
                                 hkb_transport **ret, hakuban_error *reterr)
{
    const hkb_transport_entry *entry = hkb_registry_transport(&exchange->registry, url->scheme);
    HKB_ASSERT(entry);
    HKB_LIST_EACH(hkb_transport, known, &exchange->transports, node)
    {
        if (known->entry == entry) {
            *ret = known;
            return HAKUBAN_OK;
        }
    }
    hakuban_status status = HAKUBAN_ERR_NO_MEMORY;
    hkb_transport *transport = hkb_alloc(exchange->alloc, sizeof(*transport));
    if (transport) {
        transport->exchange = exchange;
        transport->entry = entry;
        transport->host = (hakuban_transport_host){.size = sizeof(transport->host),
                                                   .host = transport,
                                                   .param = entry->param,
                                                   .alloc = exchange->alloc,
                                                   .fd_set = host_fd_set,
                                                   .wake_at = host_wake_at,
                                                   .accepted = host_accepted,
                                                   .opened = host_opened,
                                                   .received = host_received,
                                                   .writable = host_writable,
                                                   .closed = host_closed,
                                                   .carries = host_carries};
        hkb_list_init(&transport->wakers);
        transport->self = hkb_alloc(exchange->alloc, entry->ops.self_bytes);
        if (transport->self)
            status = transport_init(transport);
    }
    if (status < 0) {
        if (transport)
            hkb_free(exchange->alloc, transport->self, entry->ops.self_bytes);
        hkb_free(exchange->alloc, transport, sizeof(*transport));
        return hakuban_error_set(reterr, status, "the transport %s did not start: %s", url->scheme,
                                 hakuban_status_text(status));
    }
    hkb_list_push(&exchange->transports, &transport->node);
    *ret = transport;
    return HAKUBAN_OK;
}

void hkb_transport_free(hkb_transport *transport)
{
    hakuban_exchange *exchange = transport->exchange;
    const hakuban_transport_ops *ops = &transport->entry->ops;
    hkb_slot_begin(exchange);
    if (ops->done)
        ops->done(transport->self);
    hkb_slot_end(exchange);
    hkb_node *node;
    while ((node = hkb_list_first(&transport->wakers)))
        waker_free(HKB_CONTAINER(node, waker, node));
    hkb_list_remove(&transport->node);
    hkb_free(exchange->alloc, transport->self, ops->self_bytes);
    hkb_free(exchange->alloc, transport, sizeof(*transport));
}

/* ---- carrying */

static void send_packet(hakuban_link *link, hakuban_slice packet)
{
    hakuban_exchange *exchange = link->exchange;
    const hakuban_transport_ops *ops = &link->transport->entry->ops;
    hkb_slot_begin(exchange);
    hakuban_status status = ops->send(link->transport->self, link->conn, &packet, 1);
    /* After a failure closed() has come or will come; nothing may be sent until then. */
    if (status != HAKUBAN_OK && link->peer)
        hkb_peer_set_writable(link->peer, false);
    hkb_slot_end(exchange);
}

static void end_link(hakuban_link *link)
{
    hakuban_exchange *exchange = link->exchange;
    const hakuban_transport_ops *ops = &link->transport->entry->ops;
    if (link->doomed || !link->peer) {
        hkb_carrier_close(link);
        return;
    }
    if (!hkb_peer_is_over(link->peer))
        return; /* there are last words to be sent; the deadline bounds that */
    hkb_list_remove(&link->ending);
    if (!ops->shutdown) {
        hkb_carrier_close(link);
        return;
    }
    link->shut = true;
    set_deadline(link, HKB_LINGER_NS);
    hkb_slot_begin(exchange);
    ops->shutdown(link->transport->self, link->conn);
    hkb_slot_end(exchange);
}

void hkb_carry(hakuban_exchange *exchange)
{
    HKB_ASSERT_DRIVER(exchange);
    unsigned left = PACKETS_PER_TURN;
    do {
        exchange->unsettled = false;
        hkb_exchange_settle(exchange->core);
        hkb_peer *peer;
        /* One packet per peer and round: a large transfer does not delay the others. */
        while (left && (peer = hkb_exchange_ready_peer(exchange->core))) {
            left--;
            hakuban_link *link = hkb_peer_carrier(peer);
            hakuban_slice packet = hkb_peer_pull(peer);
            if (packet.bytes && link)
                send_packet(link, packet);
        }
        HKB_LIST_EACH(hakuban_link, link, &exchange->ending, ending)
        end_link(link);
    } while (exchange->unsettled && left);
    exchange->more = left == 0;
}

/* ---- hooks of the core */

void hkb_carrier_opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    hakuban_link *link = carrier;
    if (link && link->connection)
        hkb_dialer_opened(link->connection, peer);
}

static void let_go(hakuban_link *link)
{
    link->peer = NULL;
    hkb_carrier_doom(link);
}

void hkb_carrier_moved(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    hakuban_link *link = carrier, *before = hkb_peer_carrier(peer);
    if (before)
        let_go(before);
    link->peer = peer;
}

void hkb_carrier_dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    (void)ctx;
    hakuban_link *link = carrier;
    if (link->connection)
        hkb_dialer_away(link->connection, why);
    else
        tell_of_end(link, false, why);
    let_go(link);
}

void hkb_carrier_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    hakuban_exchange *exchange = ctx;
    hakuban_link *link = carrier;
    if (!link) {
        if (exchange->connection)
            hkb_dialer_ended(exchange->connection, why);
        return;
    }
    if (!link->connection && !link->exchange->closing)
        tell_of_end(link, orderly, why);
    /* Last words and the end of the connection often come together: then this is said on the way out. */
    if (link->connection)
        hkb_dialer_ended(link->connection, orderly ? NULL : why);
    if (link->gone)
        return;
    set_deadline(link, HKB_LINGER_NS);
    begin_ending(link);
}
