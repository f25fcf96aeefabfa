/* Carries an object's hand-over from one exposer to the next: close the old sink, wait until it has
 * closed, open the new one. */
#include "exchange/assign.h"
#include "exchange/agenda.h"
#include "exchange/assignment.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/newest.h"
#include "exchange/offers.h"
#include "exchange/sink.h"

static void let_go(hkb_object *object)
{
    if (object->assigned.to != HKB_DOWNSTREAM) {
        hakuban_sink *sink = hkb_object_sink(object);
        if (sink) {
            hkb_sink_revoke(sink);
        }
        hkb_assignment_end(object, false);
        return;
    }
    hkb_share *share = object->assigned.share;
    const hkb_link *link = &share->peer->link;
    if (object->timed_as == HKB_BALANCED) {
        hkb_object_leave_timed(object); /* it is in a list of the share's peer */
        hkb_object_mark(object);
    }
    hkb_assignment_end(object, share->in.phase == HKB_CHANNEL_OPEN &&
                                   link->phase != HKB_LINK_ENDED &&
                                   !hkb_peer_is_away(share->peer) && link->dialect->answers_close);
    hkb_share_queue(share);
    hkb_share_settle_stream(share);
}

bool hkb_assign_may_stay(const hkb_object *object)
{
    if (object->assigned.to == HKB_LOCAL) {
        return !object->assigned.contract->ended;
    }
    if (object->assigned.to == HKB_DOWNSTREAM) {
        return object->assigned.share->in.exposing &&
               object->assigned.share->peer->link.phase != HKB_LINK_ENDED;
    }
    return false;
}

static const hkb_target none = {.kind = HKB_NO_EXPOSER};

void hkb_assign(hkb_object *object, const hkb_target *to, bool stays_live)
{
    hkb_share *share = to->kind == HKB_UPSTREAM ? object->upstream : NULL;
    if (to->kind == HKB_DOWNSTREAM && hkb_share_get(to->peer, object, &share) < 0) {
        hkb_link_fail(&to->peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        if (hkb_assign_may_stay(object)) {
            return;
        }
        to = &none; /* the link has ended: no exposer until its peer is taken out */
        stays_live = false;
    }
    if (to->kind == HKB_DOWNSTREAM && !share->in.exposing) {
        hkb_share_refresh(share); /* a pass has not come to it yet */
    }
    bool had_exposer = object->assigned.to != HKB_NO_EXPOSER;
    uint64_t known_ns = object->assigned.to >= HKB_UPSTREAM
                            ? hkb_peer_known_ns(object->assigned.share->peer)
                            : object->exchange->now_ns;
    let_go(object);
    hkb_assignment_begin(object, to->kind, to->contract, share, to->cost);
    if (to->kind == HKB_DOWNSTREAM) {
        hkb_promise_end(share->peer, to->cost);
        share->in.source = HAKUBAN_SOURCE_ASSIGNED;
        hkb_share_settle_stream(share);
        hkb_share_queue(share);
    }
    /* Observers stay LIVE through a hand-over, but not for ever, and not where no exposer follows.
     */
    if (object->freshness == HAKUBAN_LIVE && !stays_live) {
        hkb_object_set_condition(object, HAKUBAN_STALE, known_ns);
    } else if (object->freshness == HAKUBAN_LIVE && had_exposer) {
        hkb_object_set_unconfirmed(object, true);
    }
    if (share && share->in.phase == HKB_CHANNEL_OPEN) {
        /* A peer that lost the object and got it back before it was told of the loss has noticed
         * nothing. The stream of an upstream may have brought a state before the upstream became
         * the exposer. */
        if (object->assigned.leaving == share) {
            hkb_assignment_left(object);
        }
        hkb_share_become_source(share);
    }
}

void hkb_assign_none(hkb_object *object, bool stays_live)
{
    hkb_exposer_kind before = (hkb_exposer_kind)object->assigned.to;
    if (before == HKB_NO_EXPOSER) {
        return;
    }
    hkb_assign(object, &none, stays_live);
    const hakuban_state *state = object->state;
    uint64_t since_ns = object->stale_since_ns;
    hkb_share *upstream = object->upstream;
    if (upstream && upstream->in.phase == HKB_CHANNEL_OPEN) {
        hkb_share_become_source(upstream);
    }
    /* What the upstream was told long ago makes nothing older that was LIVE here until now. */
    if (before != HKB_UPSTREAM && object->state == state && object->freshness == HAKUBAN_STALE &&
        object->stale_since_ns < since_ns) {
        hkb_object_set_condition(object, HAKUBAN_STALE, since_ns);
    }
}

void hkb_assign_unneeded(hkb_object *object)
{
    hkb_assign_none(object, false);
    if (object->assigned.leaving) {
        return;
    }
    hkb_object_set_unconfirmed(object, false);
    if (object->freshness == HAKUBAN_LIVE) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
}

void hkb_assign_recharge(hkb_share *share)
{
    hkb_object *object = share->object;
    if (!hkb_share_serves(share)) {
        return;
    }
    uint32_t capacity = hkb_object_offer(object, share->peer, share).capacity;
    if (capacity) { /* as before while it drains */
        hkb_assignment_charge(object, 1.0 / (double)capacity);
    }
}

void hkb_assign_open(hkb_object *object)
{
    if (object->assigned.leaving) {
        return;
    }
    if (object->assigned.to == HKB_DOWNSTREAM) {
        hkb_share *share = object->assigned.share;
        hkb_share_settle_stream(share); /* it had its stream until nothing was leaving any more */
        if (share->in.phase != HKB_CHANNEL_OPEN) {
            hkb_share_queue(share);
        }
    }
    if (object->assigned.to != HKB_LOCAL || hkb_object_sink(object)) {
        return;
    }
    hakuban_sink *sink;
    if (hkb_sink_new(object, object->assigned.contract, &sink) < 0) {
        object->retry_due = 1;
        return;
    }
    hkb_assignment_set_sink(object, sink);
}

void hkb_assign_left(hkb_share *share)
{
    if (share->object->assigned.leaving == share) {
        hkb_assignment_left(share->object);
        hkb_object_mark(share->object);
    }
}
