/* Declining: the upstream is told that nothing here can take an object now, though this exchange is
 * registered for it, so that a full subtree starves no observer: the upstream chooses another.
 * Until it is taken back, this exchange counts as an observer only.
 *
 * A decline is sent when the object is needed here and no exposer has room. Declines are taken back
 * when an exposer has room, for no more objects than there is room for: such a promise counts as
 * load until the object comes, or for HKB_PROMISE_NS. A decline that was not needed for
 * HKB_DECLINE_NS is forgotten. */
#include "exchange/decline.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/offers.h"

#define DECLINES_MAX 256u /* looked at in one tick */

static void take_back(hkb_object *object)
{
    if (object->upstream) {
        object->upstream->out.declining = 0;
    }
    hkb_object_mark(object);
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

static hkb_object *first_declined(const hkb_exchange *exchange)
{
    hkb_node *node = hkb_list_first(&exchange->declined);
    return node ? HKB_CONTAINER(node, hkb_object, timed) : NULL;
}

static void end_declines(hkb_exchange *exchange)
{
    hkb_object *object;
    for (size_t left = hkb_min(exchange->declined_count, DECLINES_MAX); left; left--) {
        object = first_declined(exchange);
        if (exchange->now_ns < object->deadline_ns) {
            break;
        }
        hkb_list_remove(&object->timed);
        hkb_list_push(&exchange->declined, &object->timed);
        object->deadline_ns = exchange->now_ns + HKB_DECLINE_NS;
        if (!hkb_object_needed(object)) {
            take_back(object);
        }
    }
}

static void end_promises(hkb_exchange *exchange)
{
    if (exchange->now_ns < exchange->promises_ns) {
        return;
    }
    exchange->promises_ns = UINT64_MAX;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        if (peer->promised > 0) {
            peer->promised = 0;
            hkb_peer_has_more_room(peer);
        }
    }
}

void hkb_decline_tick(hkb_exchange *exchange)
{
    end_promises(exchange);
    end_declines(exchange);
}

uint64_t hkb_decline_deadline(const hkb_exchange *exchange)
{
    const hkb_object *object = first_declined(exchange);
    uint64_t declined_ns = object ? object->deadline_ns : UINT64_MAX;
    return declined_ns < exchange->promises_ns ? declined_ns : exchange->promises_ns;
}
