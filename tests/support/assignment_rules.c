/* Each rule in the order of the page. Knows nothing of the exchange. */
#include "assignment_rules.h"

#include <math.h>

#define ROUNDING 1e-9

/* -- Needed -- */

static bool serves_itself(const rules_downstream *downstream)
{
    return downstream->exposes && !downstream->declines && downstream->capacity > 0;
}

bool rules_needed(const rules_situation *situation)
{
    size_t observing = 0;
    for (size_t i = 0; i < situation->count; i++) {
        const rules_downstream *downstream = &situation->downstreams[i];
        if (downstream->observes && !serves_itself(downstream)) {
            return true;
        }
        observing += downstream->observes;
    }
    return situation->held || situation->asked || situation->source || situation->observed_here ||
           observing >= 2;
}

/* -- Choice -- */

static bool is_candidate(const rules_downstream *downstream)
{
    return downstream->link == RULES_OPEN && serves_itself(downstream);
}

static double load_with_it(const rules_downstream *downstream)
{
    return downstream->load + 1 / downstream->capacity;
}

/* Or as light, and older. */
static bool is_lighter(const rules_downstream *one, const rules_downstream *other)
{
    double load = load_with_it(one), other_load = load_with_it(other);
    return load < other_load || (load <= other_load && one->since < other->since);
}

bool rules_is_within_limit(const rules_downstream *downstream)
{
    return load_with_it(downstream) <= downstream->limit + ROUNDING;
}

/* It gets back what it had before this exchange was restarted, unless another has it by now. */
static bool comes_back(const rules_situation *situation, size_t index)
{
    return situation->exposer == RULES_NO_EXPOSER && situation->downstreams[index].had_it;
}

/* Rule 4, the first half: within the limits; what had it before a restart goes before all others.
 */
static int best_with_room(const rules_situation *situation)
{
    int best = RULES_NO_EXPOSER;
    for (int had_it = 1; had_it >= 0 && best == RULES_NO_EXPOSER; had_it--) {
        for (size_t i = 0; i < situation->count; i++) {
            const rules_downstream *downstream = &situation->downstreams[i];
            if (comes_back(situation, i) == had_it && is_candidate(downstream) &&
                rules_is_within_limit(downstream) &&
                (best == RULES_NO_EXPOSER ||
                 is_lighter(downstream, &situation->downstreams[best]))) {
                best = (int)i;
            }
        }
    }
    return best;
}

/* Rule 4, the second half: none has room, so one that observes it serves all. */
static int best_of_the_full(const rules_situation *situation)
{
    int best = RULES_NO_EXPOSER;
    for (int had_it = 1; had_it >= 0 && best == RULES_NO_EXPOSER; had_it--) {
        for (size_t i = 0; i < situation->count; i++) {
            const rules_downstream *downstream = &situation->downstreams[i];
            if (comes_back(situation, i) == had_it && is_candidate(downstream) &&
                downstream->observes && !rules_is_within_limit(downstream) &&
                (best == RULES_NO_EXPOSER ||
                 is_lighter(downstream, &situation->downstreams[best]))) {
                best = (int)i;
            }
        }
    }
    return best;
}

static bool may_stay(const rules_situation *situation)
{
    if (situation->exposer == RULES_LOCAL) {
        return situation->local_has >= 0;
    }
    if (situation->exposer >= 0) {
        const rules_downstream *downstream = &situation->downstreams[situation->exposer];
        return downstream->exposes && !downstream->declines && downstream->link != RULES_ENDED;
    }
    return false;
}

bool rules_is_kept(const rules_situation *situation)
{
    int now = situation->exposer;
    return situation->held &&
           (now == RULES_NO_EXPOSER || now == RULES_UPSTREAM || may_stay(situation));
}

/* Rule 3, and where it is the object's turn, rebalancing. */
static int keep_or_move(const rules_situation *situation)
{
    const rules_downstream *current = &situation->downstreams[situation->exposer];
    int best = best_with_room(situation);
    bool turn = situation->rebalances && current->link != RULES_AWAY;
    if (!turn || best == RULES_NO_EXPOSER || best == situation->exposer) {
        return situation->exposer;
    }
    double threshold = situation->threshold * fmin(1, current->load / 2);
    return load_with_it(&situation->downstreams[best]) < current->load - threshold
               ? best
               : situation->exposer;
}

int rules_choice(const rules_situation *situation)
{
    int now = situation->exposer, best;
    if (rules_is_kept(situation)) {
        return now;
    }
    if (!rules_needed(situation)) {
        return RULES_NO_EXPOSER;
    }
    if (situation->source) { /* rule 1 */
        return RULES_UPSTREAM;
    }
    if (now == RULES_LOCAL && situation->local_has > 0) { /* rule 2 */
        return RULES_LOCAL;
    }
    if (situation->local_capacity > 0) {
        return RULES_LOCAL;
    }
    if (now >= 0 && may_stay(situation) && situation->downstreams[now].capacity > 0 &&
        situation->downstreams[now].link != RULES_YIELDS) { /* rule 3 */
        return keep_or_move(situation);
    }
    best = best_with_room(situation); /* rule 4 */
    if (best == RULES_NO_EXPOSER && !may_stay(situation)) {
        best = best_of_the_full(situation);
    }
    if (now == RULES_NO_EXPOSER && situation->awaited && best >= 0 &&
        !situation->downstreams[best].had_it) {
        best = RULES_NO_EXPOSER;
    }
    if (best == RULES_NO_EXPOSER && may_stay(situation)) { /* rule 5 */
        return now;
    }
    return best;
}

/* -- What follows -- */

bool rules_stays_live(const rules_situation *situation, int choice)
{
    const rules_situation *at = situation;
    if (choice != RULES_NO_EXPOSER) {
        return true;
    }
    for (size_t i = 0; i < at->count; i++) {
        const rules_downstream *downstream = &at->downstreams[i];
        bool is_away = downstream->link == RULES_AWAY || downstream->link == RULES_YIELDS;
        /* The upstream gave it to this exchange, and what had it here is about to come back. */
        if (at->exposer == RULES_UPSTREAM && at->has_upstream && downstream->exposes && is_away) {
            return true;
        }
        /* It is left to the one that observes it and begins now. */
        if (!rules_needed(at) && downstream->observes &&
            !(at->exposer >= 0 && at->downstreams[at->exposer].observes)) {
            return true;
        }
    }
    return false;
}

bool rules_has_room(const rules_situation *situation)
{
    if (situation->local_capacity > 0) {
        return true;
    }
    for (size_t i = 0; i < situation->count; i++) {
        rules_downstream downstream = situation->downstreams[i];
        downstream.load += downstream.promised;
        if (is_candidate(&downstream) && rules_is_within_limit(&downstream)) {
            return true;
        }
    }
    return false;
}

bool rules_declines(const rules_situation *situation, int choice)
{
    bool offered = situation->local_capacity >= 0, needed = rules_needed(situation);
    for (size_t i = 0; i < situation->count; i++) {
        offered = offered || situation->downstreams[i].exposes;
    }
    if (!situation->has_upstream || !offered) {
        return false;
    }
    if (needed && choice == RULES_NO_EXPOSER) { /* said, unless what had it is still awaited */
        return situation->declines || !situation->awaited;
    }
    if (choice == RULES_LOCAL || choice >= 0) {
        return false; /* something here has taken it */
    }
    if (!situation->declined && !needed) {
        return false; /* it was to be said, and is not worth a word any more */
    }
    return situation->declines && !rules_has_room(situation);
}
