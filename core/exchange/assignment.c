/* The record of which exposer's states are an object's: the only writer of hkb_assignment, and of
 * the load that follows from it. */
#include "exchange/assignment.h"
#include "exchange/agenda.h"
#include "exchange/offers.h"

void hkb_assignment_charge(hkb_object *object, double cost)
{
    hkb_assignment *assigned = &object->assigned;
    if (assigned->to != HKB_DOWNSTREAM) {
        return;
    }
    hkb_peer *peer = assigned->share->peer;
    peer->served_count += (size_t)(cost > 0) - (size_t)(assigned->cost > 0);
    peer->load += cost - assigned->cost;
    if (peer->served_count == 0) {
        peer->load = 0; /* without the rounding errors of many sums */
    }
    if (cost < assigned->cost) {
        hkb_peer_has_more_room(peer);
    } else {
        hkb_balance_mark(peer->exchange);
    }
    assigned->cost = cost;
}

void hkb_assignment_begin(hkb_object *object, hkb_exposer_kind to, hakuban_contract *contract,
                          hkb_share *share, double cost)
{
    hkb_assignment *assigned = &object->assigned;
    assigned->to = (unsigned)to & 3u;
    if (to == HKB_LOCAL) {
        assigned->contract = contract;
    } else {
        assigned->share = share;
    }
    hkb_assignment_charge(object, cost);
}

void hkb_assignment_end(hkb_object *object, bool closes)
{
    hkb_assignment *assigned = &object->assigned;
    hkb_assignment_charge(object, 0);
    if (closes) {
        assigned->leaving = assigned->share;
    }
    assigned->to = HKB_NO_EXPOSER;
    assigned->share = NULL;
    assigned->sink = NULL;
    assigned->cost = 0;
}

void hkb_assignment_left(hkb_object *object)
{
    object->assigned.leaving = NULL;
}

void hkb_assignment_set_sink(hkb_object *object, hakuban_sink *sink)
{
    HKB_ASSERT(object->assigned.to == HKB_LOCAL);
    object->assigned.sink = sink;
}

bool hkb_assignment_set_unconfirmed(hkb_object *object, bool unconfirmed)
{
    bool changes = object->assigned.unconfirmed != unconfirmed;
    object->assigned.unconfirmed = unconfirmed;
    return changes;
}

void hkb_assignment_hold(hkb_object *object)
{
    object->assigned.held = 1;
    hkb_list_remove(&object->hold);
    hkb_list_push(&object->exchange->held[0].objects, &object->hold);
}

void hkb_assignment_release(hkb_object *object)
{
    object->assigned.held = 0;
    hkb_list_remove(&object->hold);
}
