/* Every situation of an object with up to two downstreams, decided by the exchange and by the rules
 * of docs/assignment.md as tests/support/assignment_rules.c has them. */
#include "exchange/decide.h"

#include "assignment_rules.h"

#include <check.h>
#include <math.h>
#include <stdio.h>

#define THRESHOLD 0.1

/* -- From a situation to the facts that the exchange would gather -- */

static hkb_candidate candidate_of(const rules_situation *situation, size_t index, bool promised)
{
    const rules_downstream *downstream = &situation->downstreams[index];
    return (hkb_candidate){
        .load = downstream->load + 1 / downstream->capacity + (promised ? downstream->promised : 0),
        .load_limit = downstream->limit,
        .open = downstream->link == RULES_OPEN,
        .declines = downstream->declines,
        .observes = downstream->observes,
        .had_it = downstream->had_it && situation->exposer == RULES_NO_EXPOSER,
        .number = downstream->since,
    };
}

/* Returns the best one's index. */
static int add_best(const rules_situation *situation, hkb_facts *facts)
{
    hkb_candidate best = {0};
    int index = RULES_NO_EXPOSER;
    facts->best_is_known = true;
    for (size_t i = 0; i < situation->count; i++) {
        if (!situation->downstreams[i].exposes || situation->downstreams[i].capacity == 0) {
            continue;
        }
        hkb_candidate one = candidate_of(situation, i, false);
        hkb_candidate promised = candidate_of(situation, i, true);
        facts->spare |= hkb_candidate_fit(&promised) == HKB_FIT_ROOM;
        if (hkb_candidate_fit(&one) != HKB_FIT_NONE &&
            (index == RULES_NO_EXPOSER || hkb_candidate_is_better(&one, &best))) {
            best = one;
            index = (int)i;
        }
    }
    facts->spare |= situation->local_capacity > 0;
    if (index != RULES_NO_EXPOSER) {
        facts->best = hkb_candidate_fit(&best);
        facts->best_load = best.load;
        facts->best_had_it = best.had_it;
        facts->best_has_it = index == situation->exposer;
    }
    return index;
}

static hkb_exposer_kind kind_of(int exposer)
{
    return exposer == RULES_NO_EXPOSER ? HKB_NO_EXPOSER
           : exposer == RULES_LOCAL    ? HKB_LOCAL
           : exposer == RULES_UPSTREAM ? HKB_UPSTREAM
                                       : HKB_DOWNSTREAM;
}

static hkb_facts facts_of(const rules_situation *situation)
{
    hkb_facts facts = {
        .needed = rules_needed(situation),
        .held = situation->held,
        .awaited = situation->awaited,
        .has_upstream = situation->has_upstream,
        .upstream_is_open = situation->has_upstream,
        .source = situation->source ? HAKUBAN_SOURCE_ASSIGNED : HAKUBAN_SOURCE_NONE,
        .exposer = kind_of(situation->exposer),
        .rebalances = situation->rebalances,
        .threshold = situation->threshold,
        .local = situation->local_capacity > 0,
        .offered = situation->local_capacity >= 0,
        .declines = situation->declines,
        .declined = situation->declined,
    };
    bool observed = false, itself = false;
    for (size_t i = 0; i < situation->count; i++) {
        const rules_downstream *downstream = &situation->downstreams[i];
        bool is_away = downstream->link == RULES_AWAY || downstream->link == RULES_YIELDS;
        observed |= downstream->observes;
        facts.offered |= downstream->exposes;
        facts.returns |= downstream->exposes && is_away;
        if ((int)i == situation->exposer) {
            itself = downstream->observes;
            facts.stays =
                downstream->exposes && !downstream->declines && downstream->link != RULES_ENDED;
            facts.drains = downstream->capacity == 0;
            facts.away = is_away;
            facts.yields = downstream->link == RULES_YIELDS;
            facts.load = downstream->load;
        }
    }
    if (situation->exposer == RULES_LOCAL) {
        facts.stays = situation->local_has >= 0;
        facts.drains = situation->local_has == 0;
    }
    facts.is_left = observed && !itself;
    return facts;
}

/* -- Comparison -- */

static void describe(const rules_situation *situation, char *out, size_t bytes)
{
    size_t at = (size_t)snprintf(
        out, bytes,
        "exposer %d, asked %d, observed here %d, held %d, awaited %d, upstream %d, source %d, "
        "local %.0f (has %.0f), rebalances %d, declines %d, declined %d",
        situation->exposer, situation->asked, situation->observed_here, situation->held,
        situation->awaited, situation->has_upstream, situation->source, situation->local_capacity,
        situation->local_has, situation->rebalances, situation->declines, situation->declined);
    for (size_t i = 0; i < situation->count && at < bytes; i++) {
        const rules_downstream *downstream = &situation->downstreams[i];
        at += (size_t)snprintf(
            out + at, bytes - at,
            "; downstream %zu: link %d, exposes %d, observes %d, declines %d, "
            "capacity %.0f, load %.2f of %.2f, promised %.0f, had it %d, since %llu",
            i, (int)downstream->link, downstream->exposes, downstream->observes,
            downstream->declines, downstream->capacity, downstream->load, downstream->limit,
            downstream->promised, downstream->had_it, downstream->since);
    }
}

static void must_agree(const rules_situation *situation)
{
    hkb_facts facts = facts_of(situation);
    hkb_decision early = hkb_decide(&facts);
    int best = add_best(situation, &facts);
    hkb_decision decision = hkb_decide(&facts);
    int chosen = !decision.changes                    ? situation->exposer
                 : decision.exposer == HKB_LOCAL      ? RULES_LOCAL
                 : decision.exposer == HKB_UPSTREAM   ? RULES_UPSTREAM
                 : decision.exposer == HKB_DOWNSTREAM ? best
                                                      : RULES_NO_EXPOSER;
    int choice = rules_choice(situation);
    bool declines =
        rules_is_kept(situation) ? situation->declines : rules_declines(situation, choice);
    bool live = decision.changes ? rules_stays_live(situation, choice) : decision.stays_live;
    bool other = choice == RULES_LOCAL && !rules_is_kept(situation) && situation->local_has <= 0 &&
                 situation->local_capacity > 0; /* another contract */
    bool stays = choice == situation->exposer && !other;
    bool same = decision.changes != stays && chosen == choice && decision.declines == declines &&
                decision.stays_live == live && decision.exposer == kind_of(choice) &&
                !decision.asks;
    /* What is decided without the best of the downstreams does not depend on it. */
    bool consistent =
        early.asks ||
        (early.changes == decision.changes && early.exposer == decision.exposer &&
         early.stays_live == decision.stays_live && early.declines == decision.declines);
    if (same && consistent) {
        return;
    }
    char text[1024];
    describe(situation, text, sizeof(text));
    ck_abort_msg("%s: chosen %d, by the rules %d; declines %d, by the rules %d; stays live %d, by "
                 "the rules %d; without the best the same: %d",
                 text, chosen, choice, decision.declines, declines, decision.stays_live, live,
                 consistent);
}

/* -- All situations -- */

/* Kinds of downstreams: what it is registered for, its link, its room. */
static const rules_downstream kinds[] = {
    {.limit = INFINITY}, /* neither */
    {.observes = true, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .load = 1, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .load = 4, .limit = INFINITY},
    {.exposes = true, .capacity = 4, .load = 4, .limit = INFINITY},
    {.exposes = true, .capacity = 100, .load = 1.2, .limit = INFINITY},
    {.exposes = true, .capacity = 100, .load = 1.25, .limit = INFINITY},
    {.exposes = true, .observes = true, .capacity = 1, .load = 2, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .load = 1, .limit = 2, .promised = 1},
    {.exposes = true, .capacity = 3, .load = 2.0 / 3, .limit = 1},
    {.exposes = true, .capacity = 1, .load = 2, .limit = 2},
    {.exposes = true, .observes = true, .capacity = 1, .load = 2, .limit = 2},
    {.exposes = true, .observes = true, .capacity = 1, .load = 3, .limit = 0},
    {.exposes = true, .capacity = 1, .had_it = true, .load = 3, .limit = INFINITY},
    {.exposes = true, .observes = true, .capacity = 1, .had_it = true, .load = 3, .limit = 3},
    {.exposes = true, .capacity = 0, .load = 1, .limit = INFINITY},
    {.exposes = true, .observes = true, .capacity = 0, .load = 1, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .declines = true, .limit = INFINITY},
    {.exposes = true, .observes = true, .capacity = 1, .declines = true, .limit = INFINITY},
    {.exposes = true, .capacity = 1, .load = 3, .limit = INFINITY, .link = RULES_AWAY},
    {.exposes = true, .capacity = 0, .load = 1, .limit = INFINITY, .link = RULES_AWAY},
    {.exposes = true, .observes = true, .capacity = 1, .limit = INFINITY, .link = RULES_AWAY},
    {.exposes = true, .capacity = 1, .load = 1, .limit = INFINITY, .link = RULES_YIELDS},
    {.exposes = true, .capacity = 1, .load = 1, .limit = INFINITY, .link = RULES_LEAVING},
    {.exposes = true, .capacity = 1, .load = 1, .limit = INFINITY, .link = RULES_ENDED},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

typedef struct local_kind {
    double capacity, has; /* of the best contract; of the one that has the object */
} local_kind;
static const local_kind locals[] = {{-1, -1}, {0, 0}, {1, 1}, {2, 0}, {1, -1}, {0, -1}};

/* All that is not downstream of the object: each bit one fact. */
enum { FLAGS = 9, FLAG_SETS = 1 << FLAGS };
static rules_situation situation_of(unsigned flags)
{
    return (rules_situation){
        .asked = flags & 1,
        .observed_here = flags & 2,
        .held = flags & 4,
        .awaited = flags & 8,
        .has_upstream = flags & 16,
        .source = flags & 32,
        .rebalances = flags & 64,
        .declines = flags & 128,
        .declined = flags & 256,
        .threshold = THRESHOLD,
    };
}

static bool is_possible(const rules_situation *situation)
{
    bool by_upstream = situation->asked || situation->source || situation->held ||
                       situation->declined || situation->declines;
    return (!by_upstream || situation->has_upstream) && !(situation->asked && situation->source);
}

static unsigned long play(rules_situation *situation)
{
    unsigned long rows = 0;
    for (int exposer = RULES_UPSTREAM; exposer < (int)situation->count; exposer++) {
        for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
            situation->exposer = exposer;
            situation->local_capacity = locals[i].capacity;
            situation->local_has = locals[i].has;
            must_agree(situation);
            rows++;
        }
    }
    return rows;
}

/* The loop's number is the first downstream's kind. */
START_TEST(each_situation_is_decided_by_the_rules)
{
    unsigned long rows = 0;
    for (unsigned flags = 0; flags < FLAG_SETS; flags++) {
        rules_situation situation = situation_of(flags);
        if (!is_possible(&situation)) {
            continue;
        }
        if (_i == 0) {
            rows += play(&situation);
        }
        for (size_t second = 0; second < KINDS; second++) {
            rules_downstream downstreams[] = {kinds[_i], kinds[second]};
            downstreams[0].since = 2;
            downstreams[1].since = 1;
            situation.downstreams = downstreams;
            situation.count = 2;
            rows += play(&situation);
        }
    }
    ck_assert_uint_gt(rows, 10000);
}
END_TEST

/* Three of which each may be the best. */
START_TEST(the_best_of_three_is_the_one_that_the_rules_name)
{
    for (size_t second = 0; second < KINDS; second++) {
        for (size_t third = 0; third < KINDS; third++) {
            for (int exposer = RULES_NO_EXPOSER; exposer < 3; exposer++) {
                rules_downstream downstreams[] = {kinds[_i], kinds[second], kinds[third]};
                downstreams[0].since = 3;
                downstreams[1].since = 1;
                downstreams[2].since = 2;
                rules_situation situation = {
                    .observed_here = true,
                    .local_capacity = -1,
                    .local_has = -1,
                    .rebalances = true,
                    .threshold = THRESHOLD,
                    .exposer = exposer,
                    .count = 3,
                    .downstreams = downstreams,
                };
                if (exposer != RULES_LOCAL) {
                    must_agree(&situation);
                }
            }
        }
    }
}
END_TEST

/* -- What the two must not be wrong about together -- */

static int chosen(int exposer, bool rebalances, size_t count, const rules_downstream *downstreams)
{
    rules_situation situation = {
        .observed_here = true,
        .local_capacity = -1,
        .local_has = -1,
        .exposer = exposer,
        .rebalances = rebalances,
        .threshold = THRESHOLD,
        .count = count,
        .downstreams = downstreams,
    };
    must_agree(&situation);
    return rules_choice(&situation);
}

START_TEST(the_exposer_of_least_load_is_chosen_and_weights_count)
{
    const rules_downstream downstreams[] = {
        {.exposes = true, .capacity = 1, .load = 2, .limit = INFINITY},
        {.exposes = true, .capacity = 10, .load = 2.5, .limit = INFINITY},
    };
    ck_assert_int_eq(chosen(RULES_NO_EXPOSER, false, 2, downstreams), 1);
}
END_TEST

START_TEST(of_exposers_of_equal_load_the_oldest_is_chosen)
{
    rules_downstream downstreams[] = {
        {.exposes = true, .capacity = 1, .load = 2, .limit = INFINITY, .since = 7},
        {.exposes = true, .capacity = 1, .load = 2, .limit = INFINITY, .since = 5},
        {.exposes = true, .capacity = 1, .load = 2, .limit = INFINITY, .since = 6},
    };
    ck_assert_int_eq(chosen(RULES_NO_EXPOSER, false, 3, downstreams), 1);
    ck_assert_int_eq(chosen(0, true, 3, downstreams), 0);
    downstreams[2].load = 1.5;
    ck_assert_int_eq(chosen(RULES_NO_EXPOSER, false, 3, downstreams), 2);
}
END_TEST

START_TEST(an_object_moves_only_if_that_wins_more_than_the_threshold)
{
    rules_downstream downstreams[] = {
        {.exposes = true, .capacity = 10, .load = 3, .limit = INFINITY},
        {.exposes = true, .capacity = 10, .load = 2.81, .limit = INFINITY},
    };
    ck_assert_int_eq(chosen(0, true, 2, downstreams), 0);
    downstreams[1].load = 2.79;
    ck_assert_int_eq(chosen(0, true, 2, downstreams), 1);
    ck_assert_int_eq(chosen(0, false, 2, downstreams), 0);
}
END_TEST

START_TEST(three_objects_of_a_third_each_fit_into_a_limit_of_one)
{
    rules_downstream downstream = {
        .exposes = true, .capacity = 3, .load = 1.0 / 3 + 1.0 / 3, .limit = 1};
    ck_assert_int_eq(chosen(RULES_NO_EXPOSER, false, 1, &downstream), 0);
    downstream.load = 1;
    ck_assert_int_eq(chosen(RULES_NO_EXPOSER, false, 1, &downstream), RULES_NO_EXPOSER);
}
END_TEST

START_TEST(an_exposer_that_drains_gives_the_object_to_any_other)
{
    const rules_downstream downstreams[] = {
        {.exposes = true, .capacity = 0, .load = 1, .limit = INFINITY},
        {.exposes = true, .capacity = 1, .load = 9, .limit = INFINITY},
    };
    ck_assert_int_eq(chosen(0, false, 2, downstreams), 1);
    ck_assert_int_eq(chosen(0, false, 1, downstreams), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decide");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, each_situation_is_decided_by_the_rules, 0, KINDS);
    tcase_add_loop_test(all, the_best_of_three_is_the_one_that_the_rules_name, 0, KINDS);
    suite_add_tcase(suite, all);
    TCase *some = tcase_create("some");
    tcase_add_test(some, the_exposer_of_least_load_is_chosen_and_weights_count);
    tcase_add_test(some, of_exposers_of_equal_load_the_oldest_is_chosen);
    tcase_add_test(some, an_object_moves_only_if_that_wins_more_than_the_threshold);
    tcase_add_test(some, three_objects_of_a_third_each_fit_into_a_limit_of_one);
    tcase_add_test(some, an_exposer_that_drains_gives_the_object_to_any_other);
    suite_add_tcase(suite, some);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
