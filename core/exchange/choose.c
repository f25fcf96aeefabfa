/* The choice of the one exposer of an object (spec/semantics.md §6). */
#include "exchange/choose.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/facts.h"
#include "exchange/names.h"

#define LOAD_ROUNDING 1e-9 /* three times a third is one, whatever the sum of doubles says */

/* -- Who could -- */

static hakuban_contract *best_contract(const hkb_list *contracts, hkb_contract_kind kind)
{
    hakuban_contract *best = NULL;
    HKB_LIST_EACH(hakuban_contract, contract, contracts, of_subject)
    {
        if (contract->kind == kind && contract->capacity > (best ? best->capacity : 0)) {
            best = contract;
        }
    }
    return best;
}

static hakuban_contract *local_candidate(const hkb_object *object)
{
    hakuban_contract *best = NULL;
    if (object->local_exposers) {
        best = best_contract(&object->contracts, HKB_EXPOSE_OBJECT);
    }
    for (size_t i = 0; !best && i < object->tag_count; i++) {
        if (object->tags[i].tag->local_exposers) {
            best = best_contract(&object->tags[i].tag->contracts, HKB_EXPOSE_TAG);
        }
    }
    return best;
}

static bool is_better(const hkb_candidate *one, const hkb_candidate *other)
{
    if (other->kind == HKB_NOBODY) {
        return true;
    }
    if (one->over != other->over) {
        return !one->over;
    }
    if (one->holds != other->holds) {
        return one->holds;
    }
    return one->load < other->load;
}

static void consider(const hkb_object *object, hkb_peer *peer, hkb_share *share, bool promised,
                     hkb_candidate *best)
{
    uint64_t capacity = hkb_object_offered(object, peer, share);
    if (capacity == 0 || peer->link.connector || (share && share->registered.declines) ||
        peer->link.phase != HKB_LINK_OPEN) { /* away, or we have said goodbye to it: it would not
                                                hear of its sink */
        return;
    }
    hkb_candidate one = {.kind = HKB_DOWNSTREAM, .peer = peer, .cost = 1.0 / (double)capacity};
    one.load = peer->load + one.cost + (promised ? peer->promised : 0);
    one.over = one.load > hkb_peer_load_limit(peer) + LOAD_ROUNDING;
    one.holds = object->assigned.to == HKB_NOBODY && hkb_recall_holds(peer, object) != 0;
    if ((!one.over || (share && share->observing)) && is_better(&one, best)) {
        *best = one;
    }
}

/* promised: as if what was promised were there already. Who observes the object itself would serve
 * itself, limit or not, and so may another: if nobody has room, one of them is to serve all. */
static hkb_candidate downstream_candidate(const hkb_object *object, bool promised)
{
    hkb_candidate best = {.kind = HKB_NOBODY};
    if (object->expose_shares) {
        HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
        {
            if (share->registered.exposes) {
                consider(object, share->peer, share, promised, &best);
            }
        }
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        hkb_tag *tag = object->tags[i].tag;
        if (!tag->expose_shares) {
            continue;
        }
        HKB_LIST_EACH(hkb_tag_share, tag_share, &tag->shares, of_tag)
        {
            if (tag_share->registered.exposes) {
                consider(object, tag_share->peer,
                         hkb_share_find(object->exchange, tag_share->peer, object), promised,
                         &best);
            }
        }
    }
    if (object->assigned.to == HKB_NOBODY && !best.holds && hkb_recall_awaits(object)) {
        return (hkb_candidate){.kind = HKB_NOBODY};
    }
    return best;
}

/* -- Who is to -- */

static bool upstream_serves(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    return upstream && upstream->in.phase == HKB_CHANNEL_OPEN &&
           upstream->in.source != HAKUBAN_SOURCE_NONE;
}

void hkb_choose(hkb_object *object)
{
    hkb_candidate to = {.kind = HKB_NOBODY};
    if (upstream_serves(object) &&
        !(HKB_PLANTED(select_twice) && object->assigned.to == HKB_LOCAL)) {
        to.kind = HKB_UPSTREAM;
        if (object->assigned.to != HKB_UPSTREAM) {
            hkb_assign(object, &to);
        }
        return;
    }
    if (object->assigned.to == HKB_LOCAL && hkb_assign_may_stay(object) &&
        object->assigned.contract->capacity) {
        return;
    }
    to.contract = local_candidate(object);
    if (to.contract) {
        to.kind = HKB_LOCAL;
    } else {
        if (object->assigned.to == HKB_DOWNSTREAM && hkb_assign_may_stay(object) &&
            !object->assigned.share->peer->yields) {
            return;
        }
        to = downstream_candidate(object, false);
    }
    if ((to.kind == HKB_NOBODY || to.over) && hkb_assign_may_stay(object)) {
        return; /* it drains or is away, but there is nobody to take over yet */
    }
    if (to.kind == HKB_NOBODY) {
        hkb_assign_nobody(object);
    } else {
        hkb_assign(object, &to);
    }
}

/* How much less load another must have. Of a small load (large capacities) only a part, or it would
 * never be spread: by default a twentieth, which keeps everybody within a tenth of the ideal. */
static double margin(const hkb_peer *peer)
{
    double threshold = peer->exchange->rebalance_threshold;
    return peer->load < 2 ? threshold * peer->load / 2 : threshold;
}

void hkb_choose_again(hkb_object *object)
{
    hkb_share *current = object->assigned.to == HKB_DOWNSTREAM ? object->assigned.share : NULL;
    hkb_candidate to = downstream_candidate(object, false);
    if (to.kind == HKB_NOBODY || (current && to.peer == current->peer) ||
        (to.over && object->assigned.to != HKB_NOBODY)) {
        return;
    }
    if (current) {
        bool drains =
            hkb_object_offered(object, current->peer, current) == 0 || current->peer->yields;
        if (!drains && hkb_peer_is_away(current->peer)) {
            return; /* who comes back soon keeps what it had */
        }
        if (!drains && to.load >= current->peer->load - margin(current->peer) &&
            !HKB_PLANTED(no_threshold)) {
            return;
        }
    }
    hkb_assign(object, &to);
    hkb_object_mark(object);
}

bool hkb_choose_promise(hkb_object *object)
{
    if (local_candidate(object)) {
        return true;
    }
    hkb_candidate to = downstream_candidate(object, true);
    if (to.kind == HKB_DOWNSTREAM) {
        to.peer->promised += to.cost;
    }
    return to.kind == HKB_DOWNSTREAM;
}
