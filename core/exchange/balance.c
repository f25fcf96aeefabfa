/* Moves objects between exposers over time. Objects that wait for room are looked at when a
 * downstream has more of it, until that is used up. Objects that have an exposer are looked at
 * after a load, a limit or an offer has changed, and only those of downstreams that have more load
 * than another one would have with one object more, until they have no more: at most a tenth of all
 * objects each 100 ms, a few of them in one turn. While nothing changes nothing is looked at. */
#include "exchange/balance.h"
#include "exchange/choose.h"
#include "exchange/decide.h"
#include "exchange/decline.h"
#include "exchange/facts.h"
#include "exchange/offers.h"

#include <math.h>

#define ROOM_OBJECTS 256   /* in one tick: a fraction of a millisecond */
#define SPREAD_OBJECTS 256 /* likewise */

/* -- Room -- */

static bool is_roomy(const hkb_peer *peer)
{
    return peer->capacity_max && hkb_peer_has_room(peer, 1.0 / peer->capacity_max);
}

/* Each object of the list once, in turn. false: there is none left. */
static bool look_at_next(hkb_list *list, size_t *left)
{
    hkb_node *node = *left ? hkb_list_pop(list) : NULL;
    if (!node) {
        *left = 0;
        return false;
    }
    --*left;
    hkb_list_push(list, node);
    hkb_choose_again(HKB_CONTAINER(node, hkb_object, timed));
    return true;
}

/* Objects that are needed here come before objects that the upstream may give. false: no objects
 * are left to be looked at for peer. */
static bool use_room(hkb_exchange *exchange, hkb_peer *peer)
{
    if (is_roomy(peer) && (look_at_next(&exchange->roomless, &exchange->roomless_left) ||
                           look_at_next(&exchange->declined, &exchange->declined_left))) {
        return true;
    }
    if (peer->capacity_max) {
        hkb_peer_await_room(peer, 1.0 / peer->capacity_max);
    }
    return false;
}

static void tick_room(hkb_exchange *exchange)
{
    hkb_node *node;
    size_t left = ROOM_OBJECTS;
    for (; left && exchange->waiting_due; left--) {
        exchange->waiting_due = look_at_next(&exchange->roomless, &exchange->roomless_left) ||
                                look_at_next(&exchange->declined, &exchange->declined_left);
    }
    for (; left && (node = hkb_list_first(&exchange->roomy)); left--) {
        if (!use_room(exchange, HKB_CONTAINER(node, hkb_peer, roomy))) {
            hkb_list_remove(node);
        }
    }
}

/* -- Spreading -- */

/* The least load that a downstream would have with one object more, at best. */
static double least_load(hkb_exchange *exchange)
{
    double least = INFINITY;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        double cost = 1.0 / peer->capacity_max;
        if (is_roomy(peer)) {
            least = peer->load + cost < least ? peer->load + cost : least;
        } else if (peer->capacity_max) {
            hkb_peer_await_room(peer, cost);
        }
    }
    return least;
}

static bool has_more_load(const hkb_peer *peer, double least)
{
    return peer->load - hkb_decide_margin(peer->load, peer->exchange->rebalance_threshold) > least;
}

static void begin_spreading(hkb_exchange *exchange, double least)
{
    exchange->balance_due = false;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        if (peer->serves_count && has_more_load(peer, least)) {
            peer->spread_left = peer->serves_count;
            hkb_list_remove(&peer->spreading);
            hkb_list_push(&exchange->spreading, &peer->spreading);
        }
    }
}

/* One object of each downstream in turn, as long as it has more load than the least: so none gives
 * away more than its part. */
static void spread(hkb_exchange *exchange, double least)
{
    hkb_node *node;
    for (size_t turn_left = SPREAD_OBJECTS;
         turn_left && exchange->spread_left && (node = hkb_list_pop(&exchange->spreading));) {
        hkb_peer *peer = HKB_CONTAINER(node, hkb_peer, spreading);
        if (has_more_load(peer, least) && look_at_next(&peer->serves, &peer->spread_left)) {
            hkb_list_push(&exchange->spreading, node);
            exchange->spread_left--;
            turn_left--;
        }
    }
}

static bool spreads_now(const hkb_exchange *exchange)
{
    return exchange->spread_left && !hkb_list_empty(&exchange->spreading);
}

static void tick_spreading(hkb_exchange *exchange)
{
    bool is_due = exchange->now_ns >= exchange->rebalance_ns;
    if (exchange->balanced_count == 0 || (!is_due && !spreads_now(exchange))) {
        return;
    }
    double least = least_load(exchange);
    if (is_due) {
        if (exchange->balance_due) {
            begin_spreading(exchange, least);
        }
        exchange->rebalance_ns = exchange->now_ns + HKB_REBALANCE_NS;
        exchange->spread_left = exchange->balanced_count / HKB_REBALANCE_PARTS + 1;
    }
    spread(exchange, least);
}

void hkb_balance_tick(hkb_exchange *exchange)
{
    hkb_decline_tick(exchange);
    tick_room(exchange);
    tick_spreading(exchange);
}

uint64_t hkb_balance_deadline(const hkb_exchange *exchange)
{
    uint64_t deadline_ns = hkb_decline_deadline(exchange);
    if (!hkb_list_empty(&exchange->roomy) || exchange->waiting_due) {
        return exchange->now_ns;
    }
    if (exchange->balanced_count && spreads_now(exchange)) {
        return exchange->now_ns;
    }
    bool spreads = exchange->balanced_count &&
                   (exchange->balance_due || !hkb_list_empty(&exchange->spreading));
    return spreads && exchange->rebalance_ns < deadline_ns ? exchange->rebalance_ns : deadline_ns;
}
