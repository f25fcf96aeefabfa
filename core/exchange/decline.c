/* Declining: the upstream is told that nobody here can take an object now, though this exchange is
 * registered for it, so that a full subtree starves nobody: it chooses another. Until it is taken
 * back, this exchange counts as an observer only.
 *
 * A decline is said when the object is needed here and nobody has room, and taken back when
 * somebody has: no sooner than the sweep comes by (a second for all), and for no more objects than
 * there is room for, so that nothing is passed to and fro. What nobody asked for in HKB_DECLINE_NS
 * is forgotten. */
#include "exchange/decline.h"
#include "exchange/agenda.h"
#include "exchange/choose.h"
#include "exchange/facts.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"

static void take_back(hkb_object *object)
{
    if (object->upstream) {
        object->upstream->declining = 0;
    }
    hkb_object_mark(object);
}

void hkb_decline_settle(hkb_object *object, bool needed)
{
    hkb_peer *peer = hkb_object_upstream_peer(object);
    hkb_share *upstream = object->upstream;
    if (!peer || (object->assigned.to != HKB_NOBODY && !(upstream && upstream->declining))) {
        return;
    }
    bool offered = hkb_object_is_offered(object);
    if (needed && offered && object->assigned.to == HKB_NOBODY) {
        if (hkb_recall_awaits(object)) {
            return; /* who held it may come back at any moment */
        }
        if (!upstream && hkb_share_get(peer, object, &upstream) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
        upstream->declining = 1;
        return;
    }
    /* The upstream serving it is no reason to take it back: that would end with the decline. */
    bool unheard = upstream && !upstream->registered.declines && !needed;
    if (upstream && (!offered || unheard || object->assigned.to == HKB_LOCAL ||
                     object->assigned.to == HKB_DOWNSTREAM)) {
        upstream->declining = 0;
    }
}

void hkb_decline_enter(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    object->deadline_ns = exchange->now_ns + HKB_DECLINE_NS;
    hkb_list_push(&exchange->declined, &object->timed);
    if (++exchange->declined_count > HKB_DECLINED_MAX) {
        take_back(HKB_CONTAINER(hkb_list_first(&exchange->declined), hkb_object, timed));
    }
}

static void look_again(hkb_object *object)
{
    if (!hkb_object_is_offered(object) ||
        (!HKB_PLANTED(declines_for_ever) && hkb_choose_promise(object))) {
        take_back(object);
    } else if (object->exchange->now_ns >= object->deadline_ns) {
        if (hkb_object_needed(object)) {
            object->deadline_ns = object->exchange->now_ns + HKB_DECLINE_NS;
        } else {
            take_back(object);
        }
    }
}

void hkb_decline_tick(hkb_exchange *exchange)
{
    if (exchange->now_ns < hkb_decline_deadline(exchange)) {
        return;
    }
    exchange->declined_ns = exchange->now_ns + HKB_REBALANCE_NS;
    if (exchange->now_ns >= exchange->promises_ns) {
        exchange->promises_ns = exchange->now_ns + HKB_REBALANCE_PARTS * HKB_REBALANCE_NS;
        HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
        {
            peer->promised = 0;
        }
    }
    size_t count = exchange->declined_count / HKB_REBALANCE_PARTS + 1;
    for (size_t i = 0; i < count && i < exchange->declined_count; i++) {
        hkb_node *node = hkb_list_pop(&exchange->declined);
        hkb_list_push(&exchange->declined, node);
        look_again(HKB_CONTAINER(node, hkb_object, timed));
    }
}

uint64_t hkb_decline_deadline(const hkb_exchange *exchange)
{
    return exchange->declined_count ? exchange->declined_ns : UINT64_MAX;
}
