/* Carries bytes between the core and the transports: one hakuban_carrier per connection, from
 * accepted() or dial() to closed(). Knows no URL parameter and nothing of what is said. */
#include "runtime/runtime.h"

#include <stdio.h>

#include "json/json.h"

/* Then what has arrived gets its turn, and threads that wait for the mutex get theirs. */
#define PACKETS_PER_TURN 64u
#define NS_PER_S 1000000000ull

typedef struct waker {
    hkb_timer timer;
    hkb_transport *transport;
    void *owner;
    uint32_t hash; /* in hkb_transport.wakers */
} waker;

/* -- Slots -- */

static void reap(hakuban_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->dead))) {
        hkb_carrier_free(HKB_CONTAINER(node, hakuban_carrier, node));
    }
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
    /* What follows from it is done once for all descriptors that are ready, when the loop's run has
     * ended. */
    (void)pthread_mutex_unlock(&exchange->mutex);
}

/* -- Wakers -- */

static bool waker_is_of(const void *item, const void *owner)
{
    return ((const waker *)item)->owner == owner;
}

static uint32_t waker_hash(const void *owner)
{
    return (uint32_t)((uintptr_t)owner / sizeof(void *));
}

static void waker_free(waker *waiting)
{
    hkb_map_remove(&waiting->transport->wakers, waiting);
    hkb_timer_cancel(&waiting->timer);
    hkb_free(waiting->transport->exchange->alloc, waiting, sizeof(*waiting));
}

static waker *waker_find(const hkb_transport *transport, const void *owner)
{
    return hkb_map_find(&transport->wakers, waker_hash(owner), owner);
}

void hkb_transport_forget(const hkb_transport *transport, const void *owner)
{
    waker *waiting = waker_find(transport, owner);
    if (waiting) {
        waker_free(waiting);
    }
}

static void waker_fire(hkb_timer *timer)
{
    waker *waiting = HKB_CONTAINER(timer, waker, timer);
    hkb_transport *transport = waiting->transport;
    void *owner = waiting->owner;
    waker_free(waiting);
    call_ready(transport, owner, 0);
}

/* -- Carriers -- */

hakuban_carrier *hkb_carrier_new(hkb_transport *transport)
{
    hakuban_exchange *exchange = transport->exchange;
    hakuban_carrier *carrier = hkb_alloc(exchange->alloc, sizeof(*carrier));
    if (!carrier) {
        return NULL;
    }
    carrier->conn = hkb_alloc(exchange->alloc, transport->entry->ops.conn_bytes);
    if (!carrier->conn) {
        hkb_free(exchange->alloc, carrier, sizeof(*carrier));
        return NULL;
    }
    carrier->exchange = exchange;
    carrier->transport = transport;
    carrier->carries = transport->entry->ops.flags & HAKUBAN_TRANSPORT_STREAM
                           ? HAKUBAN_CARRIES_BYTES
                           : HAKUBAN_CARRIES_MESSAGES;
    hkb_list_push(&exchange->carriers, &carrier->node);
    return carrier;
}

void hkb_carrier_free(hakuban_carrier *carrier)
{
    hakuban_exchange *exchange = carrier->exchange;
    hkb_transport_forget(carrier->transport, carrier->conn);
    hkb_timer_cancel(&carrier->deadline);
    hkb_list_remove(&carrier->ending);
    hkb_list_remove(&carrier->resuming);
    hkb_list_remove(&carrier->node);
    if (carrier->principal) {
        hkb_free(exchange->alloc, carrier->principal, carrier->principal_bytes);
    }
    hkb_free(exchange->alloc, carrier->conn, carrier->transport->entry->ops.conn_bytes);
    hkb_free(exchange->alloc, carrier, sizeof(*carrier));
    (void)pthread_cond_broadcast(&exchange->changed);
}

static void deadline_passed(hkb_timer *timer)
{
    hkb_carrier_close(HKB_CONTAINER(timer, hakuban_carrier, deadline));
}

static void set_deadline(hakuban_carrier *carrier, uint64_t after_ns)
{
    carrier->deadline.fire = deadline_passed;
    hkb_timer_set(carrier->exchange, &carrier->deadline, carrier->exchange->now_ns + after_ns);
}

static void begin_ending(hakuban_carrier *carrier)
{
    if (!hkb_node_linked(&carrier->ending)) {
        hkb_list_push(&carrier->exchange->ending, &carrier->ending);
    }
}

void hkb_carrier_doom(hakuban_carrier *carrier)
{
    carrier->doomed = true;
    begin_ending(carrier);
}

static void carrier_gone(hakuban_carrier *carrier, hakuban_status why, const char *text)
{
    hakuban_exchange *exchange = carrier->exchange;
    if (carrier->gone) {
        return;
    }
    carrier->gone = true;
    hkb_timer_cancel(&carrier->deadline);
    hkb_list_remove(&carrier->ending);
    hkb_list_remove(&carrier->resuming);
    hkb_list_remove(&carrier->node);
    hkb_list_push(&exchange->dead, &carrier->node);
    hkb_peer *peer = carrier->peer;
    carrier->peer = NULL;
    exchange->unsettled = true;
    bool away = peer && hkb_peer_lost(peer, why, text);
    hakuban_connection *connection = carrier->connection;
    carrier->connection = NULL;
    if (connection) {
        hkb_dialer_lost(connection, away, why, text);
    }
}

void hkb_carrier_close(hakuban_carrier *carrier)
{
    hakuban_exchange *exchange = carrier->exchange;
    const hakuban_transport_ops *ops = &carrier->transport->entry->ops;
    hkb_slot_begin(exchange);
    if (!carrier->gone) {
        ops->close(carrier->transport->self, carrier->conn);
    }
    carrier_gone(carrier, HAKUBAN_ERR_CLOSED, "closed"); /* for a transport that forgot to say so */
    hkb_slot_end(exchange);
}

/* -- What is said about peers -- */

const char *hkb_carrier_principal(const hakuban_carrier *carrier, const char **ret_name)
{
    const char *kind = carrier->principal ? carrier->principal : "anonymous";
    *ret_name = carrier->principal ? kind + strlen(kind) + 1 : "";
    return kind;
}

const char *hkb_carrier_known_as(const hakuban_carrier *carrier, char out[HKB_KNOWN_AS_BYTES])
{
    const char *name, *kind = hkb_carrier_principal(carrier, &name);
    out[0] = '\0';
    if (carrier->principal) {
        char shown[sizeof(((hakuban_link_info *)0)->principal)];
        (void)snprintf(out, HKB_KNOWN_AS_BYTES, " [%.15s %s]", kind,
                       hkb_escape(shown, sizeof(shown), name, strlen(name)));
    }
    return out;
}

/* Address, name where a hello has told it, and principal. */
static void tell_of(hakuban_carrier *carrier, hkb_log_kind kind, hakuban_log_level level,
                    const char *text)
{
    const char *name = carrier->peer ? hkb_peer_name(carrier->peer) : "";
    char known_as[HKB_KNOWN_AS_BYTES];
    hkb_log(hkb_exchange_logger(carrier->exchange->core), kind, NULL, level, "runtime",
            "%s://%s%s%.100s%s%s: %s", carrier->transport->entry->ops.scheme, carrier->address,
            *name ? " (" : "", name, *name ? ")" : "", hkb_carrier_known_as(carrier, known_as),
            text);
}

/* A downstream that broke the rules is worth a warning; one that left or was lost is not. */
static void tell_of_end(hakuban_carrier *carrier, bool orderly, const hakuban_error *why)
{
    bool usual = orderly || why->status == HAKUBAN_ERR_CLOSED || why->status == HAKUBAN_ERR_IO;
    carrier->told = true;
    tell_of(carrier, HKB_LOG_ENDED, usual ? HAKUBAN_LOG_INFO : HAKUBAN_LOG_WARNING, why->text);
}

/* -- What transports tell -- */

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
        if (!waiting) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        waiting->transport = transport;
        waiting->owner = owner;
        waiting->hash = waker_hash(owner);
        waiting->timer.fire = waker_fire;
        if (hkb_map_insert(&transport->wakers, waiting) < 0) {
            hkb_free(transport->exchange->alloc, waiting, sizeof(*waiting));
            return HAKUBAN_ERR_NO_MEMORY;
        }
    }
    hkb_timer_set(transport->exchange, &waiting->timer, when_ns);
    return HAKUBAN_OK;
}

static hakuban_status attach(hakuban_carrier *carrier, const hkb_link_settings *settings,
                             hakuban_error *why)
{
    hakuban_exchange *exchange = carrier->exchange;
    exchange->unsettled = true;
    hkb_link_settings with = *settings;
    with.rust = carrier->carries == HAKUBAN_CARRIES_RUST;
    bool stream = carrier->carries == HAKUBAN_CARRIES_BYTES;
    hakuban_status status = hkb_exchange_attach(exchange->core, &with, carrier->connection != NULL,
                                                stream, carrier, &carrier->peer);
    if (status < 0) {
        (void)hakuban_error_set(why, status, "%s",
                                status == HAKUBAN_ERR_EXISTS
                                    ? "the connection before is still ending"
                                    : hakuban_status_text(status));
    }
    return status;
}

/* A connection that says nothing is not kept, and neither is one that takes all day for an upgrade.
 */
static void said_nothing(hkb_timer *timer)
{
    hakuban_carrier *carrier = HKB_CONTAINER(timer, hakuban_carrier, deadline);
    carrier->told = true;
    tell_of(carrier, HKB_LOG_ENDED, HAKUBAN_LOG_WARNING,
            "neither a hello nor an upgrade came within 5 s");
    hkb_carrier_close(carrier);
}

/* The core gets to know an accepted carrier when its first bytes have told what it carries. */
static bool attach_accepted(hakuban_carrier *carrier)
{
    hakuban_error why = {0};
    if (carrier->peer || !carrier->listener || carrier->doomed) {
        return carrier->peer != NULL;
    }
    hkb_timer_cancel(&carrier->deadline);
    if (attach(carrier, &carrier->listener->settings, &why) < 0) {
        carrier->told = true;
        tell_of(carrier, HKB_LOG_ENDED, HAKUBAN_LOG_WARNING, why.text);
        hkb_carrier_doom(carrier);
    }
    carrier->listener = NULL;
    return carrier->peer != NULL;
}

static hakuban_listener *find_listener(hakuban_exchange *exchange, const void *memory)
{
    HKB_LIST_EACH(hakuban_listener, each, &exchange->listeners, node)
    {
        if (each->memory == memory) {
            return each;
        }
    }
    return NULL;
}

static hakuban_carrier *host_accepted(void *host, void *memory, const char *peer, void **ret_conn)
{
    hkb_transport *transport = host;
    hakuban_exchange *exchange = transport->exchange;
    hakuban_listener *listener = find_listener(exchange, memory);
    if (!listener || exchange->closing) {
        return NULL;
    }
    hakuban_carrier *carrier = hkb_carrier_new(transport);
    if (!carrier) {
        return NULL;
    }
    carrier->listener = listener;
    carrier->deadline.fire = said_nothing;
    hkb_timer_set(exchange, &carrier->deadline, exchange->now_ns + HKB_HELLO_TIMEOUT_NS);
    (void)snprintf(carrier->address, sizeof(carrier->address), "%s", peer);
    hkb_log(hkb_exchange_logger(exchange->core), HKB_LOG_ACCEPTED, NULL, HAKUBAN_LOG_DEBUG,
            "runtime", "%s: accepted %s", listener->url, peer);
    carrier->opened = true;
    *ret_conn = carrier->conn;
    return carrier;
}

static void host_trouble(void *host, void *memory, const char *text)
{
    hakuban_exchange *exchange = ((hkb_transport *)host)->exchange;
    hakuban_listener *listener = find_listener(exchange, memory);
    if (!listener) {
        return;
    }
    bool goes_on =
        listener->troubled_ns > 0 && exchange->now_ns - listener->troubled_ns < HKB_TROUBLE_OVER_NS;
    listener->troubled_ns = exchange->now_ns;
    if (!goes_on) {
        hkb_log(hkb_exchange_logger(exchange->core), HKB_LOG_LISTENER, NULL, HAKUBAN_LOG_WARNING,
                "runtime", "%s: no new connections: %s", listener->url, text);
    }
}

static void host_opened(hakuban_carrier *carrier)
{
    if (carrier->gone || carrier->opened || !carrier->connection) {
        return;
    }
    carrier->opened = true;
    hkb_timer_cancel(&carrier->deadline);
    hakuban_error why = {0};
    if (attach(carrier, &carrier->connection->settings, &why) < 0) {
        hkb_dialer_ended(carrier->connection, &why);
        hkb_carrier_doom(carrier);
    }
}

static void host_received(hakuban_carrier *carrier, const void *data, size_t bytes)
{
    if (carrier->gone || carrier->shut || !attach_accepted(carrier)) {
        return;
    }
    hkb_peer_receive(carrier->peer, data, bytes);
    bool goes_on = carrier->peer && hkb_peer_has_turn(carrier->peer);
    carrier->exchange->unsettled |= !goes_on; /* else its next turn may come before packets leave */
}

static int host_full(hakuban_carrier *carrier)
{
    if (carrier->gone || !carrier->peer || !carrier->transport->entry->ops.resume ||
        !hkb_peer_is_behind(carrier->peer)) {
        return 0;
    }
    carrier->full = true;
    return 1;
}

static void host_writable(hakuban_carrier *carrier)
{
    if (carrier->gone || !carrier->peer) {
        return;
    }
    carrier->exchange->unsettled = true;
    hkb_peer_set_writable(carrier->peer, true);
}

/* A peer whose name cannot be kept must not pass for one without a name. */
static void host_identity(hakuban_carrier *carrier, const char *kind, const char *name)
{
    size_t kind_bytes = strlen(kind) + 1, name_bytes = strlen(name) + 1;
    hakuban_link_info bounds;
    if (carrier->gone || carrier->principal) {
        return;
    }
    bool fits = kind_bytes <= sizeof(bounds.principal_kind) &&
                name_bytes <= sizeof(bounds.principal) && hkb_utf8_valid(kind, kind_bytes) &&
                hkb_utf8_valid(name, name_bytes);
    if (fits) {
        carrier->principal_bytes = kind_bytes + name_bytes;
        carrier->principal = hkb_alloc(carrier->exchange->alloc, carrier->principal_bytes);
    }
    if (!carrier->principal) {
        hkb_carrier_doom(carrier);
        return;
    }
    memcpy(carrier->principal, kind, kind_bytes);
    memcpy(carrier->principal + kind_bytes, name, name_bytes);
}

static void host_carries(hakuban_carrier *carrier, hakuban_carries what)
{
    if (carrier->gone || carrier->peer) {
        return;
    }
    carrier->carries = what;
    (void)attach_accepted(carrier);
}

static void host_closed(hakuban_carrier *carrier, hakuban_status why, const char *text)
{
    text = text ? text : hakuban_status_text(why);
    bool accepted = carrier->address[0] != 0; /* else it is of a connection that has let go of it */
    if (accepted && !carrier->gone && !carrier->told && !carrier->exchange->closing) {
        hakuban_error end = {0};
        (void)hakuban_error_set(&end, why, "%s", text);
        tell_of_end(carrier, false, &end);
    }
    carrier_gone(carrier, why, text);
}

/* -- Transports -- */

static hakuban_status transport_init(hkb_transport *transport)
{
    const hakuban_transport_ops *ops = &transport->entry->ops;
    if (!ops->init) {
        return HAKUBAN_OK;
    }
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
                                                   .carries = host_carries,
                                                   .identity = host_identity,
                                                   .trouble = host_trouble,
                                                   .full = host_full};
        hkb_map_init(&transport->wakers, exchange->alloc, offsetof(waker, hash), waker_is_of);
        transport->self = hkb_alloc(exchange->alloc, entry->ops.self_bytes);
        if (transport->self) {
            status = transport_init(transport);
        }
    }
    if (status < 0) {
        if (transport) {
            hkb_free(exchange->alloc, transport->self, entry->ops.self_bytes);
        }
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
    if (ops->done) {
        ops->done(transport->self);
    }
    hkb_slot_end(exchange);
    while (transport->wakers.count) {
        void *some[16];
        uint64_t place = 0;
        size_t count = hkb_map_scan(&transport->wakers, &place, some, HKB_COUNT(some));
        for (size_t i = 0; i < count; i++) {
            waker_free(some[i]);
        }
    }
    hkb_list_remove(&transport->node);
    hkb_free(exchange->alloc, transport->self, ops->self_bytes);
    hkb_free(exchange->alloc, transport, sizeof(*transport));
}

/* -- Carrying -- */

static void send_packet(hakuban_carrier *carrier, const hkb_packet *packet)
{
    hakuban_exchange *exchange = carrier->exchange;
    const hakuban_transport_ops *ops = &carrier->transport->entry->ops;
    hkb_slot_begin(exchange);
    hakuban_status status =
        ops->send(carrier->transport->self, carrier->conn, packet->parts, packet->part_count);
    /* After a failure closed() has come or will come; nothing may be sent until then. */
    if ((status < 0 || status == HAKUBAN_OK_FULL) && carrier->peer) {
        hkb_peer_set_writable(carrier->peer, false);
    }
    hkb_slot_end(exchange);
}

static void resume(hakuban_carrier *carrier)
{
    hakuban_exchange *exchange = carrier->exchange;
    carrier->full = false;
    hkb_list_remove(&carrier->resuming);
    hkb_slot_begin(exchange);
    carrier->transport->entry->ops.resume(carrier->transport->self, carrier->conn);
    hkb_slot_end(exchange);
}

static void end_link(hakuban_carrier *carrier)
{
    hakuban_exchange *exchange = carrier->exchange;
    const hakuban_transport_ops *ops = &carrier->transport->entry->ops;
    if (carrier->doomed || !carrier->peer) {
        hkb_carrier_close(carrier);
        return;
    }
    if (!hkb_peer_is_over(carrier->peer)) {
        return; /* there are last words to be sent; the deadline bounds that */
    }
    hkb_list_remove(&carrier->ending);
    if (!ops->shutdown) {
        hkb_carrier_close(carrier);
        return;
    }
    carrier->shut = true;
    set_deadline(carrier, HKB_LINGER_NS);
    hkb_slot_begin(exchange);
    ops->shutdown(carrier->transport->self, carrier->conn);
    hkb_slot_end(exchange);
}

/* The end of one may be told from inside the end of another. */
static void end_links(hakuban_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->ending))) {
        hkb_list_push(&exchange->ending_now, node);
    }
    while ((node = hkb_list_pop(&exchange->ending_now))) {
        hkb_list_push(&exchange->ending, node);
        end_link(HKB_CONTAINER(node, hakuban_carrier, ending));
    }
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
            hakuban_carrier *carrier = hkb_peer_carrier(peer);
            hkb_packet packet;
            hkb_peer_pull(peer, &packet);
            if (packet.bytes && carrier) {
                send_packet(carrier, &packet);
            }
        }
        hkb_node *node;
        while ((node = hkb_list_first(&exchange->resuming))) {
            resume(HKB_CONTAINER(node, hakuban_carrier, resuming));
        }
        end_links(exchange);
    } while (exchange->unsettled && left);
    exchange->more = left == 0;
}

/* -- Hooks of the core -- */

void hkb_carrier_opened(void *ctx, void *carried_by, hkb_peer *peer)
{
    (void)ctx;
    hakuban_carrier *carrier = carried_by;
    if (carrier && carrier->connection) {
        hkb_dialer_opened(carrier->connection, peer);
    } else if (carrier) {
        tell_of(carrier, HKB_LOG_CONNECTED, HAKUBAN_LOG_INFO, "connected");
    }
}

void hkb_carrier_caught_up(void *ctx, void *carried_by)
{
    hakuban_exchange *exchange = ctx;
    hakuban_carrier *carrier = carried_by;
    if (carrier->full && !carrier->gone && !hkb_node_linked(&carrier->resuming)) {
        hkb_list_push(&exchange->resuming, &carrier->resuming);
    }
}

static void let_go(hakuban_carrier *carrier)
{
    carrier->peer = NULL;
    hkb_carrier_doom(carrier);
}

void hkb_carrier_moved(void *ctx, void *carried_by, hkb_peer *peer)
{
    (void)ctx;
    hakuban_carrier *carrier = carried_by, *before = hkb_peer_carrier(peer);
    if (before) {
        let_go(before);
    }
    carrier->peer = peer;
    if (!carrier->connection) {
        tell_of(carrier, HKB_LOG_CONNECTED, HAKUBAN_LOG_INFO, "connected again");
    }
}

/* What was sent before may not have arrived. */
static void note_cut_short(hakuban_exchange *exchange, const hakuban_error *why)
{
    if (exchange->closing && exchange->cut_short >= 0) {
        exchange->cut_short = why->status;
    }
}

void hkb_carrier_dropped(void *ctx, void *carried_by, const hakuban_error *why)
{
    hakuban_carrier *carrier = carried_by;
    if (carrier->connection) {
        note_cut_short(ctx, why);
        hkb_dialer_away(carrier->connection, why);
    } else {
        tell_of_end(carrier, false, why);
    }
    let_go(carrier);
}

void hkb_carrier_ended(void *ctx, void *carried_by, bool orderly, const hakuban_error *why)
{
    hakuban_exchange *exchange = ctx;
    hakuban_carrier *carrier = carried_by;
    if (!carrier) {
        if (exchange->connection) {
            hkb_dialer_ended(exchange->connection, why);
        }
        return;
    }
    if (!carrier->connection && !carrier->exchange->closing) {
        tell_of_end(carrier, orderly, why);
    }
    /* Last words and the end of the connection often come together: then this is said on the way
     * out. */
    if (carrier->connection) {
        if (!orderly) {
            note_cut_short(exchange, why);
        }
        hkb_dialer_ended(carrier->connection, orderly ? NULL : why);
    }
    if (carrier->gone) {
        return;
    }
    set_deadline(carrier, HKB_LINGER_NS);
    begin_ending(carrier);
}
