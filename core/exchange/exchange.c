/* The exchange as a whole: making and freeing it, its time, and settling after each call. */
#include "exchange/exchange.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/balance.h"
#include "exchange/budget.h"
#include "exchange/facts.h"
#include "exchange/names.h"
#include "exchange/partial.h"
#include "exchange/pass.h"
#include "exchange/payloads.h"
#include "exchange/peer.h"
#include "exchange/recall.h"
#include "exchange/sessions.h"
#include "exchange/settle.h"
#include "exchange/upward.h"
#include "exchange/walk.h"

#define DELTAS_PER_TICK 1024 /* how many old payloads are freed in a turn */

hakuban_status hkb_exchange_new(const hkb_exchange_settings *settings, uint64_t now_ns,
                                int64_t wall_ns, hkb_exchange **ret)
{
    const hakuban_alloc *alloc = settings->alloc;
    hkb_exchange *exchange = hkb_alloc(alloc, sizeof(*exchange));
    if (!exchange) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hakuban_status status = hkb_delta_context_new(alloc, &exchange->delta);
    if (status < 0) {
        hkb_free(alloc, exchange, sizeof(*exchange));
        return status;
    }
    void *ctx = settings->host.ctx;
    exchange->alloc = alloc;
    exchange->logger.to = settings->log;
    exchange->logger.now_ns = exchange->logger.window_ns = now_ns;
    exchange->host = settings->host;
    exchange->bytes_max = settings->bytes_max;
    exchange->link_bytes_max = settings->link_bytes_max;
    exchange->work_bytes_min =
        settings->work_bytes_min ? settings->work_bytes_min : HKB_WORK_BYTES_MIN;
    exchange->rebalance_threshold = settings->rebalance_threshold;
    exchange->rebalances = settings->rebalances;
    exchange->now_ns = exchange->born_ns = now_ns + HKB_EPOCH_NS;
    exchange->tick_ns = exchange->rebalance_ns = exchange->now_ns;
    exchange->promises_ns = UINT64_MAX;
    exchange->turn_cost = settings->turn_cost ? settings->turn_cost : HKB_TURN_COST;
    exchange->clear_left = exchange->walk_left = exchange->names_left =
        (size_t)exchange->turn_cost * HKB_SLICE_PER_UNIT;
    exchange->wall_ns = wall_ns;
    for (size_t i = 0; i < 2; i++) {
        exchange->map_key[i] = exchange->host.random(ctx);
        exchange->path[0][i] = exchange->node[i] = exchange->host.random(ctx);
    }
    exchange->path_count = 1;
    exchange->shared = (hkb_link_shared){
        .alloc = alloc,
        .registry = settings->registry,
        .events = &hkb_peer_events,
    };
    hkb_native_init(&exchange->shared.native, alloc);
    hkb_map_init(&exchange->objects, alloc, offsetof(hkb_object, hash), hkb_object_equal);
    hkb_map_init(&exchange->tags, alloc, offsetof(hkb_tag, hash), hkb_tag_equal);
    hkb_map_init(&exchange->shares, alloc, offsetof(hkb_share, item.hash), hkb_share_equal);
    hkb_map_init(&exchange->tag_shares, alloc, offsetof(hkb_tag_share, item.hash),
                 hkb_tag_share_equal);
    hkb_map_init(&exchange->sessions, alloc, offsetof(hkb_peer, item.hash), hkb_session_equal);
    hkb_map_init(&exchange->links, alloc, offsetof(hkb_peer, number_hash), hkb_link_equal);
    hkb_names_init(&exchange->had_live, exchange);
    hkb_rust_init(&exchange->shared.rust, alloc);
    hkb_chain_init(&exchange->packet, alloc, 2 * HKB_RUST_EVENT_BYTES_MAX,
                   &exchange->shared.payload_bytes);
    hkb_list *lists[] = {
        &exchange->contracts,  &exchange->peers,           &exchange->upstreams,
        &exchange->settings,   &exchange->ready,           &exchange->dirty,
        &exchange->dirty_tags, &exchange->listings,        &exchange->passing,
        &exchange->behind,     &exchange->ended,           &exchange->waiting,
        &exchange->clearing,   &exchange->roomless,        &exchange->declined,
        &exchange->spreading,  &exchange->roomier,         &exchange->roomy,
        &exchange->deltas,     &exchange->held[0].objects, &exchange->held[1].objects,
        &exchange->partials,   &exchange->sweeping};
    for (size_t i = 0; i < HKB_COUNT(lists); i++) {
        hkb_list_init(lists[i]);
    }
    *ret = exchange;
    return HAKUBAN_OK;
}

hkb_exchange *hkb_exchange_free(hkb_exchange *exchange)
{
    if (!exchange) {
        return NULL;
    }
    HKB_ASSERT(hkb_list_empty(&exchange->contracts) && exchange->work_bytes == 0);
    exchange->host.work = NULL;
    exchange->walk_left = SIZE_MAX;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        HKB_ASSERT(peer->detached);
        hkb_link_end(&peer->link, HAKUBAN_ERR_CLOSED, "the exchange is gone");
    }
    hkb_exchange_settle(exchange);
    hkb_sessions_clear(exchange, SIZE_MAX);
    hkb_exchange_settle(exchange);
    HKB_ASSERT(hkb_list_empty(&exchange->peers));
    while (!hkb_list_empty(&exchange->waiting)) { /* no peer will finish these hand-overs */
        hkb_object_expired(HKB_CONTAINER(hkb_list_first(&exchange->waiting), hkb_object, timed));
    }
    hkb_exchange_settle(exchange);
    HKB_ASSERT(exchange->objects.count == 0 && exchange->tags.count == 0);
    HKB_ASSERT(exchange->charged_bytes == 0);
    hkb_map_done(&exchange->objects);
    hkb_map_done(&exchange->tags);
    hkb_map_done(&exchange->shares);
    hkb_map_done(&exchange->tag_shares);
    hkb_map_done(&exchange->sessions);
    hkb_map_done(&exchange->links);
    hkb_recall_done(exchange);
    hkb_chain_done(&exchange->packet);
    hkb_native_done(&exchange->shared.native);
    hkb_delta_context_free(exchange->delta);
    hkb_free(exchange->alloc, exchange->delta_spare, sizeof(*exchange->delta_spare));
    hkb_free(exchange->alloc, exchange, sizeof(*exchange));
    return NULL;
}

void hkb_exchange_set_time(hkb_exchange *exchange, uint64_t now_ns, int64_t wall_ns)
{
    now_ns += HKB_EPOCH_NS;
    if (now_ns > exchange->now_ns) {
        exchange->now_ns = exchange->logger.now_ns = now_ns;
        exchange->turn++;
    }
    exchange->wall_ns = wall_ns;
}

hkb_logger *hkb_exchange_logger(hkb_exchange *exchange)
{
    return &exchange->logger;
}

void hkb_exchange_expect_upstream(hkb_exchange *exchange, bool expected)
{
    exchange->upstream_expected = expected;
    exchange->upstream_was_there = false;
    HKB_UPSTREAMS_EACH(peer, exchange)
    {
        if (!expected && peer->detached) {
            hkb_link_leave(&peer->link, exchange->now_ns); /* it will not be dialled again */
        }
    }
    hkb_exchange_mark_all(exchange); /* what is remembered is forgotten then */
}

/* Objects and tags that were marked, and what they mark in turn. */
static void settle_marked(hkb_exchange *exchange)
{
    for (;;) {
        hkb_node *node = hkb_list_first(&exchange->ended);
        if (node) {
            hkb_peer_take_out(HKB_CONTAINER(node, hkb_peer, ended));
            continue;
        }
        node = hkb_list_first(&exchange->dirty);
        if (node) {
            hkb_object_settle(HKB_CONTAINER(node, hkb_object, dirty));
            continue;
        }
        node = hkb_list_first(&exchange->dirty_tags);
        if (node) {
            hkb_tag_settle(HKB_CONTAINER(node, hkb_tag, dirty));
            continue;
        }
        if (!hkb_exchange_walks(exchange) || !hkb_walk_go_on(exchange)) {
            return;
        }
    }
}

static bool is_full(const hkb_exchange *exchange)
{
    return exchange->bytes_max && hkb_exchange_held_bytes(exchange) > exchange->bytes_max;
}

/* Called so often that what has nothing to do is not called. */
void hkb_exchange_settle(hkb_exchange *exchange)
{
    do {
        settle_marked(exchange);
        if (is_full(exchange)) {
            hkb_partials_make_room(exchange, 0);
            (void)hkb_exchange_make_room(exchange, NULL, 0);
        }
        if (!hkb_list_empty(&exchange->upstreams)) {
            hkb_upward_settle(exchange);
        }
    } while (!hkb_list_empty(&exchange->ended));
    if (!hkb_list_empty(&exchange->listings)) {
        hkb_listings_settle(exchange);
    }
}

void hkb_peer_pull(hkb_peer *peer, hkb_packet *ret)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_chain *packet = &exchange->packet;
    hkb_link_pull(&peer->link, exchange->now_ns, packet);
    ret->bytes = hkb_chain_bytes(packet);
    ret->part_count = 0;
    if (ret->bytes) {
        ret->part_count = hkb_chain_parts(packet, ret->parts, HAKUBAN_SEND_PARTS_MAX);
    }
    hkb_peer_measure(peer);
    bool more = hkb_link_has_control(&peer->link) ||
                (!hkb_list_empty(&peer->queue) &&
                 peer->link.sent_bytes - peer->link.acked_bytes < peer->link.window_bytes);
    if (ret->bytes && more) {
        hkb_peer_wake(peer); /* it gets its next turn after the others */
    }
    hkb_exchange_settle(exchange);
}

/* -- Time -- */

static void tick_links(hkb_exchange *exchange)
{
    uint64_t next_ns = UINT64_MAX;
    if (exchange->now_ns < exchange->tick_ns) {
        return;
    }
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        hkb_peer_tick(peer);
        uint64_t deadline_ns = hkb_peer_deadline(peer);
        if (deadline_ns < next_ns) {
            next_ns = deadline_ns;
        }
    }
    uint64_t soonest_ns = exchange->now_ns + HKB_TICK_NS;
    exchange->tick_ns = next_ns < soonest_ns ? soonest_ns : next_ns;
}

static void tick_waiting(hkb_exchange *exchange)
{
    hkb_node *node;
    while (exchange->walk_left && (node = hkb_list_first(&exchange->waiting))) {
        hkb_object *object = HKB_CONTAINER(node, hkb_object, timed);
        if (object->deadline_ns > exchange->now_ns) {
            break;
        }
        exchange->walk_left--;
        hkb_object_expired(object);
    }
}

/* Payloads are kept for peers that were busy, not for ever. */
static void tick_deltas(hkb_exchange *exchange)
{
    hkb_node *node;
    for (size_t i = 0; i < DELTAS_PER_TICK && (node = hkb_list_first(&exchange->deltas)); i++) {
        hkb_delta *delta = HKB_CONTAINER(node, hkb_delta, aged);
        if (delta->made_ns + HKB_DELTA_AGE_NS > exchange->now_ns) {
            break;
        }
        hkb_delta_free(delta);
    }
}

/* About a microsecond for each registration. */
static size_t clear_max(const hkb_exchange *exchange)
{
    size_t bytes_max = exchange->bytes_max;
    bool is_full = bytes_max && hkb_exchange_held_bytes(exchange) > bytes_max + bytes_max / 8;
    return is_full ? SIZE_MAX : (size_t)exchange->turn_cost * HKB_SLICE_PER_UNIT;
}

void hkb_exchange_tick(hkb_exchange *exchange)
{
    exchange->walk_left = exchange->names_left = (size_t)exchange->turn_cost * HKB_SLICE_PER_UNIT;
    hkb_recall_wake(exchange);
    hkb_sessions_clear(exchange, clear_max(exchange));
    tick_links(exchange);
    hkb_budget_tick(exchange);
    hkb_pass_tick(exchange);
    tick_waiting(exchange);
    hkb_balance_tick(exchange);
    tick_deltas(exchange);
    hkb_recall_expire(exchange);
    hkb_recall_grow_up(exchange);
    hkb_log_tick(&exchange->logger);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_deadline(const hkb_exchange *exchange)
{
    uint64_t deadline_ns = UINT64_MAX;
    hkb_node *node = hkb_list_first(&exchange->waiting);
    if (!hkb_list_empty(&exchange->passing) || !hkb_list_empty(&exchange->behind) ||
        !hkb_list_empty(&exchange->clearing) || hkb_exchange_walks(exchange)) {
        return exchange->now_ns;
    }
    if (exchange->peer_count) {
        deadline_ns = exchange->tick_ns;
    }
    deadline_ns = earlier(deadline_ns, hkb_recall_deadline(exchange));
    deadline_ns = earlier(deadline_ns, hkb_log_deadline(&exchange->logger));
    if (exchange->waits_until_ns) {
        deadline_ns = earlier(deadline_ns, exchange->waits_until_ns);
    }
    if (node) {
        deadline_ns = earlier(deadline_ns, HKB_CONTAINER(node, hkb_object, timed)->deadline_ns);
    }
    deadline_ns = earlier(deadline_ns, hkb_balance_deadline(exchange));
    node = hkb_list_first(&exchange->deltas);
    if (node) {
        deadline_ns =
            earlier(deadline_ns, HKB_CONTAINER(node, hkb_delta, aged)->made_ns + HKB_DELTA_AGE_NS);
    }
    return deadline_ns;
}

uint64_t hkb_exchange_deadline(const hkb_exchange *exchange)
{
    uint64_t deadline_ns = next_deadline(exchange);
    if (deadline_ns == UINT64_MAX) {
        return deadline_ns;
    }
    return deadline_ns > HKB_EPOCH_NS ? deadline_ns - HKB_EPOCH_NS : 0;
}

void *hkb_exchange_ctx(const hkb_exchange *exchange)
{
    return exchange->host.ctx;
}

const hakuban_alloc *hkb_exchange_alloc(const hkb_exchange *exchange)
{
    return exchange->alloc;
}
