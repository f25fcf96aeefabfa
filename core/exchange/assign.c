/* Whose states are an object's: the hand-over from one exposer to the next. Close, wait until it
 * has closed, open. */
#include "exchange/assign.h"
#include "exchange/agenda.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"
#include "exchange/newest.h"
#include "exchange/sink.h"

static bool is_away_below(const hkb_peer *peer)
{
    return !peer->link.connector && hkb_peer_is_away(peer);
}

/* Whether one that offers it may be back any moment. */
static bool somebody_is_away(const hkb_object *object)
{
    if (object->expose_shares) {
        HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
        {
            if (share->exposes && is_away_below(share->peer)) {
                return true;
            }
        }
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        HKB_LIST_EACH(hkb_tag_share, tag_share, &object->tags[i].tag->shares, of_tag)
        {
            if (tag_share->exposes && is_away_below(tag_share->peer)) {
                return true;
            }
        }
    }
    return false;
}

static void let_go(hkb_object *object)
{
    hkb_share *share = object->chosen.share;
    if (object->exposer == HKB_LOCAL) {
        if (object->sink) {
            hkb_sink_revoke(object->sink);
        }
        object->sink = NULL;
    } else if (object->exposer == HKB_DOWNSTREAM) {
        share->peer->load -= HKB_PLANTED(load_kept) ? 0 : object->charge;
        if (share->in_phase == HKB_CHANNEL_OPEN && share->peer->link.phase != HKB_LINK_ENDED &&
            !hkb_peer_is_away(share->peer) && !share->peer->link.dialect->is_reference) {
            object->leaving = share;
        }
        hkb_share_queue(share);
    }
    bool was_share = object->exposer == HKB_DOWNSTREAM;
    object->exposer = HKB_NOBODY;
    object->chosen.share = NULL;
    object->charge = 0;
    if (was_share) {
        hkb_share_settle_stream(share);
    }
}

bool hkb_assign_may_stay(const hkb_object *object)
{
    if (object->exposer == HKB_LOCAL) {
        return !object->chosen.contract->ended;
    }
    if (object->exposer == HKB_DOWNSTREAM) {
        return object->chosen.share->exposing &&
               object->chosen.share->peer->link.phase != HKB_LINK_ENDED;
    }
    return false;
}

/* It is not needed here any more because the one who observes it can expose it as well, and is to:
 * when the one before has closed. */
static bool is_left_to_another(const hkb_object *object)
{
    return object->exists && object->observing && !hkb_object_needed(object) &&
           !HKB_PLANTED(left_too_soon) &&
           !(object->exposer == HKB_DOWNSTREAM && object->chosen.share->observing);
}

static const hkb_candidate nobody = {.kind = HKB_NOBODY};

void hkb_assign(hkb_object *object, const hkb_candidate *to)
{
    hkb_share *share = NULL;
    if (to->kind == HKB_DOWNSTREAM && hkb_share_get(to->peer, object, &share) < 0) {
        hkb_link_fail(&to->peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        if (hkb_assign_may_stay(object)) {
            return;
        }
        to = &nobody; /* another is chosen once that link is taken out */
    }
    if (share && !share->exposing) {
        hkb_share_refresh(share); /* a pass has not come to it yet */
    }
    bool had_exposer = object->exposer != HKB_NOBODY;
    /* The upstream gave it to this hub, perhaps: who is to serve it comes back, or it is declined
     * and another serves it. */
    bool given = object->exposer == HKB_UPSTREAM && object->upstream &&
                 object->upstream->peer->link.phase == HKB_LINK_OPEN;
    bool follows =
        to->kind != HKB_NOBODY || (given && somebody_is_away(object)) || is_left_to_another(object);
    let_go(object);
    object->exposer = (unsigned)to->kind & 3u;
    if (to->kind == HKB_LOCAL) {
        object->chosen.contract = to->contract;
    } else if (to->kind == HKB_DOWNSTREAM) {
        object->chosen.share = share;
        object->charge = to->cost;
        object->sink_id =
            to->holds ? to->sink_id : object->exchange->host.random(object->exchange->host.ctx);
        if (to->holds) {
            hkb_recall_resumes(to->peer, object);
        }
        share->in_source = HAKUBAN_SOURCE_ASSIGNED;
        share->peer->load += to->cost;
        hkb_share_settle_stream(share);
        hkb_share_queue(share);
    }
    /* Observers stay LIVE through a hand-over, but not for ever, and not where nobody follows. */
    if (object->freshness == HAKUBAN_LIVE && !follows) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    } else if (object->freshness == HAKUBAN_LIVE && had_exposer) {
        hkb_object_set_unconfirmed(object, true);
    }
    if (share && share->in_phase == HKB_CHANNEL_OPEN) {
        /* It was taken away and given back before it heard of either: nothing has happened. */
        if (object->leaving == share) {
            object->leaving = NULL;
        }
        hkb_share_become_source(share);
    }
}

/* The upstream's stream may have brought its state before it became what serves the object. */
void hkb_assign_hear_upstream(hkb_object *object)
{
    hkb_share *upstream = object->upstream;
    if (upstream && upstream->in_phase == HKB_CHANNEL_OPEN &&
        (object->exposer == HKB_UPSTREAM || object->exposer == HKB_NOBODY)) {
        hkb_share_become_source(upstream);
    }
}

void hkb_assign_nobody(hkb_object *object)
{
    hkb_exposer_kind before = (hkb_exposer_kind)object->exposer;
    if (before == HKB_NOBODY) {
        return;
    }
    hkb_assign(object, &nobody);
    const hakuban_state *state = object->state;
    uint64_t since_ns = object->stale_since_ns;
    hkb_assign_hear_upstream(object);
    /* What the upstream was told long ago makes nothing older that was LIVE here until now. */
    if (before != HKB_UPSTREAM && object->state == state && object->freshness == HAKUBAN_STALE &&
        object->stale_since_ns < since_ns) {
        hkb_object_set_condition(object, HAKUBAN_STALE, since_ns);
    }
}

void hkb_assign_unneeded(hkb_object *object)
{
    hkb_assign_nobody(object);
    if (object->leaving) {
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
    if (object->exposer != HKB_DOWNSTREAM || object->chosen.share != share) {
        return;
    }
    uint64_t capacity = hkb_object_offered(object, share->peer, share);
    double charge =
        capacity ? 1.0 / (double)capacity : object->charge; /* as before while it drains */
    share->peer->load += charge - object->charge;
    object->charge = charge;
}

void hkb_assign_open(hkb_object *object)
{
    if (object->leaving) {
        return;
    }
    if (object->exposer == HKB_DOWNSTREAM && object->chosen.share->in_phase != HKB_CHANNEL_OPEN) {
        hkb_share_settle_stream(object->chosen.share);
        hkb_share_queue(object->chosen.share);
    }
    if (object->exposer != HKB_LOCAL || object->sink) {
        return;
    }
    if (hkb_sink_new(object, object->chosen.contract, &object->sink) < 0) {
        object->retry_due = 1;
    }
}

void hkb_assign_left(hkb_share *share)
{
    if (share->object->leaving == share) {
        share->object->leaving = NULL;
        hkb_object_mark(share->object);
    }
}
