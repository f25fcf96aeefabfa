/* The choice of the one exposer of an object (spec/semantics.md §6), and the hand-over from one to
 * the next: close, wait until it has closed, open. */
#include "exchange/internal.h"

#include <math.h>

#define LOAD_ROUNDING 1e-9 /* three times a third is one, whatever the sum of doubles says */

typedef struct candidate {
    hkb_exposer_kind kind;
    hakuban_contract *contract;
    hkb_peer *peer; /* DOWNSTREAM: the share is made only if it is chosen */
    double cost;    /* what it will be charged */
    double load;    /* of the peer, that cost included */
    bool over;      /* its load limit */
    bool holds;     /* it had the object before this hub was restarted */
    uint64_t sink_id;
} candidate;

/* -- Who could -- */

double hkb_peer_load_limit(const hkb_peer *peer)
{
    uint64_t unused;
    if (!peer->load_limit) {
        return INFINITY;
    }
    return hkb_load_limit_at(peer->load_limit, peer->exchange->now_ns - peer->load_limit_ns,
                             &unused);
}

/* Everything that peer offers for object: its own registration and those of the object's tags. */
static uint64_t offered(const hkb_object *object, const hkb_peer *peer, const hkb_share *share)
{
    uint64_t capacity = share && share->exposes ? share->capacity : 0;
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag_share *tag_share =
            hkb_tag_share_find(object->exchange, peer, object->tags[i].tag);
        if (tag_share && tag_share->exposes) {
            capacity += tag_share->capacity;
        }
    }
    return capacity;
}

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

static bool is_better(const candidate *one, const candidate *other)
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
                     candidate *best)
{
    uint64_t capacity = offered(object, peer, share);
    if (capacity == 0 || peer->link.connector || (share && share->declines) ||
        peer->link.phase != HKB_LINK_OPEN) { /* away, or we have said goodbye to it: it would not
                                                hear of its sink */
        return;
    }
    candidate one = {.kind = HKB_DOWNSTREAM, .peer = peer, .cost = 1.0 / (double)capacity};
    one.load = peer->load + one.cost + (promised ? peer->promised : 0);
    one.over = one.load > hkb_peer_load_limit(peer) + LOAD_ROUNDING;
    one.holds = object->exposer == HKB_NOBODY && hkb_recall_holder(peer, object, &one.sink_id);
    if ((!one.over || (share && share->observing)) && is_better(&one, best)) {
        *best = one;
    }
}

/* promised: as if what was promised were there already. Who observes the object itself would serve
 * itself, limit or not, and so may another: if nobody has room, one of them is to serve all. */
static candidate downstream_candidate(const hkb_object *object, bool promised)
{
    candidate best = {.kind = HKB_NOBODY};
    if (object->expose_shares) {
        HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
        {
            if (share->exposes) {
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
            if (tag_share->exposes) {
                consider(object, tag_share->peer,
                         hkb_share_find(object->exchange, tag_share->peer, object), promised,
                         &best);
            }
        }
    }
    if (object->exposer == HKB_NOBODY && !best.holds && hkb_recall_awaits(object)) {
        return (candidate){.kind = HKB_NOBODY};
    }
    return best;
}

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

/* -- Changing it -- */

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

static bool may_stay(const hkb_object *object)
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

static const candidate nobody = {.kind = HKB_NOBODY};

static void assign(hkb_object *object, const candidate *to)
{
    hkb_share *share = NULL;
    if (to->kind == HKB_DOWNSTREAM && hkb_share_get(to->peer, object, &share) < 0) {
        hkb_link_fail(&to->peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        if (may_stay(object)) {
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
static void hear_upstream(hkb_object *object)
{
    hkb_share *upstream = object->upstream;
    if (upstream && upstream->in_phase == HKB_CHANNEL_OPEN &&
        (object->exposer == HKB_UPSTREAM || object->exposer == HKB_NOBODY)) {
        hkb_share_become_source(upstream);
    }
}

void hkb_choose_nobody(hkb_object *object)
{
    hkb_exposer_kind before = (hkb_exposer_kind)object->exposer;
    if (before == HKB_NOBODY) {
        return;
    }
    assign(object, &nobody);
    const hakuban_state *state = object->state;
    uint64_t since_ns = object->stale_since_ns;
    hear_upstream(object);
    /* What the upstream was told long ago makes nothing older that was LIVE here until now. */
    if (before != HKB_UPSTREAM && object->state == state && object->freshness == HAKUBAN_STALE &&
        object->stale_since_ns < since_ns) {
        hkb_object_set_condition(object, HAKUBAN_STALE, since_ns);
    }
}

static bool upstream_serves(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    return upstream && upstream->in_phase == HKB_CHANNEL_OPEN &&
           upstream->in_source != HAKUBAN_SOURCE_NONE;
}

void hkb_choose_unneeded(hkb_object *object)
{
    hkb_choose_nobody(object);
    if (object->leaving) {
        return;
    }
    hkb_object_set_unconfirmed(object, false);
    if (object->freshness == HAKUBAN_LIVE) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
}

void hkb_choose(hkb_object *object)
{
    candidate to = {.kind = HKB_NOBODY};
    if (upstream_serves(object) && !(HKB_PLANTED(select_twice) && object->exposer == HKB_LOCAL)) {
        to.kind = HKB_UPSTREAM;
        if (object->exposer != HKB_UPSTREAM) {
            assign(object, &to);
            hear_upstream(object);
        }
        return;
    }
    if (object->exposer == HKB_LOCAL && may_stay(object) && object->chosen.contract->capacity) {
        return;
    }
    to.contract = local_candidate(object);
    if (to.contract) {
        to.kind = HKB_LOCAL;
    } else {
        if (object->exposer == HKB_DOWNSTREAM && may_stay(object) &&
            !object->chosen.share->peer->yields) {
            return;
        }
        to = downstream_candidate(object, false);
    }
    if ((to.kind == HKB_NOBODY || to.over) && may_stay(object)) {
        return; /* it drains or is away, but there is nobody to take over yet */
    }
    if (to.kind == HKB_NOBODY) {
        hkb_choose_nobody(object);
    } else {
        assign(object, &to);
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
    hkb_share *current = object->exposer == HKB_DOWNSTREAM ? object->chosen.share : NULL;
    candidate to = downstream_candidate(object, false);
    if (to.kind == HKB_NOBODY || (current && to.peer == current->peer) ||
        (to.over && object->exposer != HKB_NOBODY)) {
        return;
    }
    if (current) {
        bool drains = offered(object, current->peer, current) == 0 || current->peer->yields;
        if (!drains && hkb_peer_is_away(current->peer)) {
            return; /* who comes back soon keeps what it had */
        }
        if (!drains && to.load >= current->peer->load - margin(current->peer) &&
            !HKB_PLANTED(no_threshold)) {
            return;
        }
    }
    assign(object, &to);
    hkb_object_mark(object);
}

void hkb_choose_recharge(hkb_share *share)
{
    hkb_object *object = share->object;
    if (object->exposer != HKB_DOWNSTREAM || object->chosen.share != share) {
        return;
    }
    uint64_t capacity = offered(object, share->peer, share);
    double charge =
        capacity ? 1.0 / (double)capacity : object->charge; /* as before while it drains */
    share->peer->load += charge - object->charge;
    object->charge = charge;
}

bool hkb_choose_promise(hkb_object *object)
{
    if (local_candidate(object)) {
        return true;
    }
    candidate to = downstream_candidate(object, true);
    if (to.kind == HKB_DOWNSTREAM) {
        to.peer->promised += to.cost;
    }
    return to.kind == HKB_DOWNSTREAM;
}

void hkb_choose_open(hkb_object *object)
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

void hkb_choose_left(hkb_share *share)
{
    if (share->object->leaving == share) {
        share->object->leaving = NULL;
        hkb_object_mark(share->object);
    }
}

static void replace(hkb_object *object, const hakuban_contract *contract)
{
    if (object->exposer != HKB_LOCAL || object->chosen.contract != contract) {
        return;
    }
    if (hkb_object_needed(object)) {
        hkb_choose(object);
    } else {
        hkb_choose_nobody(object);
    }
    hkb_object_mark(object);
}

void hkb_choose_replace(hakuban_contract *contract)
{
    if (contract->object) {
        replace(contract->object, contract);
        return;
    }
    HKB_LIST_EACH(hkb_object_tag, place, &contract->tag->objects, of_tag)
    {
        if (place->object) {
            replace(place->object, contract);
        }
    }
}
