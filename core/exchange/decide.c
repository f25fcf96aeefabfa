/* The rules of docs/assignment.md. Knows no record and calls nothing. */
#include "exchange/decide.h"

#define LOAD_ROUNDING 1e-9 /* three times a third is one, whatever the sum of doubles says */

hkb_fit hkb_candidate_fit(const hkb_candidate *candidate)
{
    if (!candidate->open || candidate->declines) {
        return HKB_FIT_NONE;
    }
    if (candidate->load <= candidate->load_limit + LOAD_ROUNDING) {
        return HKB_FIT_ROOM;
    }
    return candidate->observes ? HKB_FIT_FULL : HKB_FIT_NONE;
}

bool hkb_candidate_is_better(const hkb_candidate *candidate, const hkb_candidate *other)
{
    hkb_fit fit = hkb_candidate_fit(candidate), other_fit = hkb_candidate_fit(other);
    if (fit != other_fit) {
        return fit > other_fit;
    }
    if (candidate->had_it != other->had_it) {
        return candidate->had_it;
    }
    if (candidate->load != other->load) {
        return candidate->load < other->load;
    }
    return candidate->number < other->number;
}

/* The margin of a small load (large capacities) is only a part of it, or the load would never be
 * spread: by default a twentieth, which keeps each exposer within a tenth of the ideal. */
double hkb_decide_margin(double load, double threshold)
{
    return load < 2 ? threshold * load / 2 : threshold;
}

static hkb_decision ask(void)
{
    return (hkb_decision){.asks = true};
}

static hkb_decision keep(const hkb_facts *facts)
{
    return (hkb_decision){.exposer = facts->exposer};
}

static hkb_decision change(const hkb_facts *facts, hkb_exposer_kind to)
{
    return (hkb_decision){
        .changes = to != facts->exposer || to == HKB_LOCAL || to == HKB_DOWNSTREAM,
        .exposer = to,
    };
}

/* A downstream that is neither away nor drains keeps the object, unless another has less load. */
static hkb_decision rebalance(const hkb_facts *facts)
{
    if (!facts->rebalances || facts->away) {
        return keep(facts);
    }
    if (!facts->best_is_known) {
        return ask();
    }
    double enough = facts->load - hkb_decide_margin(facts->load, facts->threshold);
    bool moves = facts->best == HKB_FIT_ROOM && !facts->best_has_it && facts->best_load < enough;
    return moves ? change(facts, HKB_DOWNSTREAM) : keep(facts);
}

static hkb_decision choose(const hkb_facts *facts)
{
    if (facts->source != HAKUBAN_SOURCE_NONE) {
        return change(facts, HKB_UPSTREAM);
    }
    if (facts->exposer == HKB_LOCAL && facts->stays && !facts->drains) {
        return keep(facts);
    }
    if (facts->local) {
        return change(facts, HKB_LOCAL);
    }
    if (facts->exposer == HKB_DOWNSTREAM && facts->stays && !facts->drains && !facts->yields) {
        return rebalance(facts);
    }
    if (!facts->best_is_known) {
        return ask();
    }
    if (facts->exposer == HKB_NO_EXPOSER && facts->awaited && !facts->best_had_it) {
        return keep(facts);
    }
    if (facts->best == HKB_FIT_ROOM || (facts->best == HKB_FIT_FULL && !facts->stays)) {
        return change(facts, HKB_DOWNSTREAM);
    }
    return facts->stays ? keep(facts) : change(facts, HKB_NO_EXPOSER);
}

static bool stays_live(const hkb_facts *facts, hkb_exposer_kind to)
{
    bool upstream_gives_it =
        facts->exposer == HKB_UPSTREAM && facts->upstream_is_open && facts->returns;
    return to != HKB_NO_EXPOSER || upstream_gives_it || (facts->is_left && !facts->needed);
}

/* An object that the upstream serves is not taken back, because it is served there after a decline.
 */
static bool declines(const hkb_facts *facts, hkb_exposer_kind exposer)
{
    if (!facts->has_upstream || !facts->offered) {
        return false;
    }
    if (facts->needed && exposer == HKB_NO_EXPOSER) {
        return !facts->awaited || facts->declines;
    }
    bool was_heard = facts->declined || facts->needed;
    return facts->declines && was_heard && !facts->spare && exposer != HKB_LOCAL &&
           exposer != HKB_DOWNSTREAM;
}

hkb_decision hkb_decide(const hkb_facts *facts)
{
    hkb_decision decision;
    bool remains =
        facts->exposer == HKB_NO_EXPOSER || facts->exposer == HKB_UPSTREAM || facts->stays;
    if (facts->held && remains) {
        decision = keep(facts);
        decision.waits = true;
        decision.declines = facts->declines;
        return decision;
    }
    if (facts->declines && !facts->best_is_known) {
        return ask();
    }
    decision = facts->needed ? choose(facts) : change(facts, HKB_NO_EXPOSER);
    if (!decision.asks) {
        decision.stays_live = stays_live(facts, decision.exposer);
        decision.declines = declines(facts, decision.exposer);
    }
    return decision;
}
