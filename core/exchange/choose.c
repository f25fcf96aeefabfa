/* Chooses the one exposer of an object: gathers the facts, calls hkb_decide(), carries out the
 * decision. */
#include "exchange/choose.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/facts.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"
#include "exchange/offers.h"

/* -- Candidates -- */

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
    if (object->local->exposers) {
        best = best_contract(&object->local->contracts, HKB_EXPOSE_OBJECT);
    }
    for (size_t i = 0; !best && i < object->tag_count; i++) {
        if (object->tags[i].tag->local_exposers) {
            best = best_contract(&object->tags[i].tag->contracts, HKB_EXPOSE_TAG);
        }
    }
    return best;
}

typedef struct found {
    hkb_candidate candidate;
    hkb_target target; /* NO_EXPOSER: none was found */
} found;

/* promised: as if promised objects had come already. Returns whether the peer has room. */
static bool consider(const hkb_object *object, hkb_peer *peer, const hkb_share *share,
                     bool promised, found *best)
{
    hkb_registration offer = hkb_object_offer(object, peer, share);
    if (offer.capacity == 0) {
        return false;
    }
    found one = {
        .target = {.kind = HKB_DOWNSTREAM, .peer = peer, .cost = 1.0 / (double)offer.capacity}};
    one.candidate = (hkb_candidate){
        .load = peer->load + one.target.cost + (promised ? peer->promised : 0),
        .load_limit = hkb_peer_load_limit(peer),
        .open = peer->link.phase == HKB_LINK_OPEN,
        .declines = share && share->registered.declines,
        .observes = share && share->out.observing,
        .had_it = object->assigned.to == HKB_NO_EXPOSER && hkb_recall_holds(peer, object) != 0,
        .number = offer.number,
    };
    hkb_fit fit = hkb_candidate_fit(&one.candidate);
    if (fit != HKB_FIT_NONE && (best->target.kind == HKB_NO_EXPOSER ||
                                hkb_candidate_is_better(&one.candidate, &best->candidate))) {
        *best = one;
    }
    if (fit != HKB_FIT_ROOM && one.candidate.open && !one.candidate.declines) {
        hkb_peer_await_room(peer, one.target.cost);
    }
    return fit == HKB_FIT_ROOM;
}

/* Candidates among the shares of the object itself. */
static void consider_own(const hkb_object *object, bool promised, found *best)
{
    size_t left = object->expose_shares;
    for (hkb_node *node = object->shares.head.next; left; node = node->next, left--) {
        hkb_share *share = HKB_CONTAINER(node, hkb_share, of_object);
        (void)consider(object, share->peer, share, promised, best);
    }
}

/* The lightest candidate of the tag that has room; heavier ones need not be looked at. */
static void consider_tag(const hkb_object *object, hkb_tag *tag, bool promised, found *best)
{
    hkb_tag_share *aside = NULL, *share;
    while ((share = hkb_offer_first(tag))) {
        const hkb_share *own = hkb_share_find(object->exchange, share->peer, object);
        if (consider(object, share->peer, own, promised, best)) {
            break;
        }
        hkb_offer_aside(share, &aside);
    }
    hkb_offer_back(aside);
}

/* Candidates that had the object before this exchange was restarted. */
static void consider_holders(const hkb_object *object, bool promised, found *best)
{
    if (object->assigned.to != HKB_NO_EXPOSER || object->exchange->holder_count == 0) {
        return;
    }
    HKB_LIST_EACH(hkb_peer, peer, &object->exchange->peers, of_exchange)
    {
        if (hkb_recall_holds(peer, object)) {
            (void)consider(object, peer, hkb_share_find(object->exchange, peer, object), promised,
                           best);
        }
    }
}

/* None has room. One that observes the object would serve itself, limit or not, and so might
 * another: one of them is to serve all. */
static void consider_observers(const hkb_object *object, bool promised, found *best)
{
    if (object->observing == object->observing_only) {
        return;
    }
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out.observing && share->in.exposing) {
            (void)consider(object, share->peer, share, promised, best);
        }
    }
}

static found best_downstream(const hkb_object *object, bool promised)
{
    found best = {.target.kind = HKB_NO_EXPOSER};
    consider_own(object, promised, &best);
    for (size_t i = 0; i < object->tag_count; i++) {
        consider_tag(object, object->tags[i].tag, promised, &best);
    }
    consider_holders(object, promised, &best);
    if (best.target.kind == HKB_NO_EXPOSER || hkb_candidate_fit(&best.candidate) != HKB_FIT_ROOM) {
        consider_observers(object, promised, &best);
    }
    return best;
}

/* -- Facts -- */

static hakuban_source source_above(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    if (!upstream || upstream->in.phase != HKB_CHANNEL_OPEN) {
        return HAKUBAN_SOURCE_NONE;
    }
    return (hakuban_source)upstream->in.source;
}

static void add_exposer(const hkb_object *object, hkb_facts *facts)
{
    if (object->assigned.to == HKB_LOCAL) {
        facts->stays = hkb_assign_may_stay(object);
    } else if (object->assigned.to == HKB_DOWNSTREAM) {
        const hkb_peer *peer = object->assigned.share->peer;
        facts->stays = hkb_assign_may_stay(object);
        facts->away = hkb_peer_is_away(peer);
        facts->yields = peer->yields;
        facts->load = peer->load;
    }
}

static hkb_facts facts_of(const hkb_object *object, const hakuban_contract *local, bool rebalances)
{
    const hkb_exchange *exchange = object->exchange;
    const hkb_share *upstream = object->upstream;
    hkb_facts facts = {
        .held = object->assigned.held,
        .awaited = hkb_recall_awaits(object),
        .has_upstream = hkb_object_upstream_peer(object) != NULL,
        .upstream_is_open = upstream && upstream->peer->link.phase == HKB_LINK_OPEN,
        .source = source_above(object),
        .exposer = (hkb_exposer_kind)object->assigned.to,
        .rebalances = rebalances,
        .threshold = exchange->rebalance_threshold,
        .local = local != NULL,
        .drains = hkb_object_drains(object),
        .is_left = hkb_object_is_left(object),
        .offered = hkb_object_is_offered(object),
        .declines = upstream && upstream->out.declining,
        .declined = upstream && upstream->registered.declines,
    };
    facts.returns = object->assigned.to == HKB_UPSTREAM && facts.source == HAKUBAN_SOURCE_NONE &&
                    hkb_object_returns(object);
    facts.needed = facts.source != HAKUBAN_SOURCE_NONE || hkb_object_needed(object);
    add_exposer(object, &facts);
    return facts;
}

static void add_best(const hkb_object *object, const found *best, const found *spare,
                     hkb_facts *facts)
{
    facts->best_is_known = true;
    facts->spare = facts->local || spare->target.kind != HKB_NO_EXPOSER;
    if (best->target.kind == HKB_NO_EXPOSER) {
        return;
    }
    facts->best = hkb_candidate_fit(&best->candidate);
    facts->best_load = best->candidate.load;
    facts->best_had_it = best->candidate.had_it;
    facts->best_has_it =
        object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer == best->target.peer;
}

/* -- Decision -- */

static void set_declining(hkb_object *object, bool declines)
{
    hkb_share *upstream = object->upstream;
    if (upstream ? upstream->out.declining == declines : !declines) {
        return;
    }
    hkb_peer *peer = hkb_object_upstream_peer(object);
    if (!upstream && hkb_share_get(peer, object, &upstream) < 0) {
        hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    upstream->out.declining = declines;
    hkb_object_mark(object);
}

static void carry_out(hkb_object *object, const hkb_decision *decision, const hkb_target *to)
{
    if (decision->exposer == HKB_NO_EXPOSER) {
        hkb_assign_none(object, decision->stays_live);
    } else {
        hkb_assign(object, to, decision->stays_live);
    }
}

static hkb_decision choose(hkb_object *object, bool rebalances)
{
    hakuban_contract *local = local_candidate(object);
    hkb_facts facts = facts_of(object, local, rebalances);
    hkb_decision decision = hkb_decide(&facts);
    found best = {.target.kind = HKB_NO_EXPOSER}, spare = best;
    if (decision.asks) {
        best = best_downstream(object, false);
        if (facts.declines) {
            spare = best_downstream(object, true);
        }
        add_best(object, &best, &spare, &facts);
        decision = hkb_decide(&facts);
    }
    if (facts.declines && !decision.declines && spare.target.kind == HKB_DOWNSTREAM &&
        decision.exposer != HKB_DOWNSTREAM) {
        hkb_promise(spare.target.peer, spare.target.cost);
    }
    set_declining(object, decision.declines);
    if (decision.changes) {
        hkb_target to = best.target;
        if (decision.exposer != HKB_DOWNSTREAM) {
            to = (hkb_target){.kind = decision.exposer, .contract = local};
        }
        carry_out(object, &decision, &to);
    }
    return decision;
}

bool hkb_choose(hkb_object *object)
{
    return !choose(object, false).waits;
}

void hkb_choose_again(hkb_object *object)
{
    if (choose(object, true).changes) {
        hkb_object_mark(object);
    }
}
