/* I11, no flicker: which observers notice an outage or a hand-over, and how often. */
#include "oracle.h"

#include <stdio.h>

/* -- Outages -- */

void oracle_before_outage(sim_world *world)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        sim_user *user = &world->users[i];
        for (size_t k = 0; user->contract && k < world->plan->object_count; k++) {
            if (user->plan->observes) {
                user->seen[k].losses_before = user->seen[k].losses;
            } else {
                user->held[k].opens_before = user->held[k].opens;
            }
        }
    }
}

static bool is_below(const sim_world *world, int node, size_t top)
{
    while (node >= 0 && (size_t)node != top) {
        node = world->places[node].parent;
    }
    return node >= 0;
}

/* Whether a user that could take object over sends no state by itself. */
static bool is_any_user_lazy(const sim_world *world, size_t object)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && !user->plan->observes && user->plan->lazy &&
            plan_covers(world->plan, user->plan, object)) {
            return true;
        }
    }
    return false;
}

static void check_observer_after(const sim_world *world, size_t object, const oracle_situation *at,
                                 const sim_user *user, size_t node, sim_outage outage)
{
    const sim_seen *seen = &user->seen[object];
    unsigned losses = seen->losses - seen->losses_before;
    bool crosses = is_below(world, (int)user->plan->node, node) !=
                   is_below(world, (int)at->chosen->plan->node, node);
    /* While the tree is in two for longer, others can take the object over and then give it back,
     * and where it has no contract, it ends. Where one exposer alone can have it, the observers
     * concerned see the outage once. */
    bool exact = at->candidates + at->drained == 1 && user->plan->object >= 0;
    unsigned most = outage != SIM_LONG ? 0 : exact ? crosses : 2;
    unsigned least = outage == SIM_LONG && exact && crosses;
    char described[128];
    /* Its age counts from the last byte that came. */
    uint64_t age_ns = seen->lost_ns - world->cut_ns;
    uint64_t slack_ns = sim_slowest_way(world) + world->places[node].settings.keep_alive_ns +
                        user->plan->reads_every_ms * NET_MS + 2 * HKB_TICK_NS;
    bool right_age =
        !least || losses != 1 ||
        (seen->lost_age_ns + slack_ns >= age_ns && seen->lost_age_ns <= age_ns + slack_ns);
    if (losses >= least && losses <= most && right_age) {
        return;
    }
    plan_describe_user(world->plan, user->number, described, sizeof(described));
    NET_MUST(
        right_age, "I11 no flicker: %s, sees %s %llu ms old, %llu ms after the connection was lost",
        described, world->plan->objects[object].json,
        (unsigned long long)(seen->lost_age_ns / NET_MS), (unsigned long long)(age_ns / NET_MS));
    net_violated("I11 no flicker: %s, stopped seeing %s as LIVE %u times in an outage %s",
                 described, world->plan->objects[object].json, losses,
                 outage == SIM_LONG ? "over the grace" : "within the grace");
}

void oracle_after_outage(const sim_world *world, size_t node, sim_outage outage)
{
    for (size_t k = 0; outage != SIM_UNCERTAIN && k < world->plan->object_count; k++) {
        oracle_situation at = oracle_look_at(world, k);
        if (!at.chosen || at.chosen->capacity == 0 || at.limited || is_any_user_lazy(world, k)) {
            continue;
        }
        for (size_t i = 0; i < world->plan->user_count; i++) {
            const sim_user *user = &world->users[i];
            if (!user->contract || !plan_covers(world->plan, user->plan, k)) {
                continue;
            }
            if (user->plan->observes) {
                check_observer_after(world, k, &at, user, node, outage);
                continue;
            }
            bool may_move =
                outage == SIM_LONG || (outage == SIM_TOLERABLE && at.candidates + at.drained > 1);
            NET_MUST(may_move || user->held[k].opens == user->held[k].opens_before,
                     "I11 no flicker: user %zu on node %u got the sink of %s in an outage %s", i,
                     (unsigned)user->plan->node, world->plan->objects[k].json,
                     outage == SIM_SHORT ? "shorter than half a second"
                                         : "within the grace, and no other exposer could have it");
        }
    }
}

/* -- Hand-overs -- */

/* Whether all users that could take object send their state at once, under versions that follow the
 * floor, and have no limit. */
static bool is_smooth(const sim_world *world, size_t object)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && !user->plan->observes &&
            plan_covers(world->plan, user->plan, object) &&
            (user->plan->lazy || user->plan->numbers || oracle_is_limited(world, user))) {
            return false;
        }
    }
    return true;
}

sim_user *oracle_mover(sim_world *world, size_t object)
{
    oracle_situation at = oracle_look_at(world, object);
    bool moves = at.chosen && at.chosen->capacity && at.candidates > 1 && is_smooth(world, object);
    return moves ? &world->users[at.chosen->number] : NULL;
}

void oracle_after_hand_over(const sim_world *world)
{
    char described[128];
    for (size_t k = 0; k < world->plan->object_count; k++) {
        oracle_situation at = oracle_look_at(world, k);
        if (!at.chosen || !is_smooth(world, k)) {
            continue;
        }
        NET_MUST(at.chosen->capacity || at.candidates == 0,
                 "I6 balance: user %zu drains, but has %s still, which others could take",
                 at.chosen->number, world->plan->objects[k].json);
        for (size_t i = 0; i < world->plan->user_count; i++) {
            const sim_user *user = &world->users[i];
            if (!user->contract || !user->plan->observes ||
                !plan_covers(world->plan, user->plan, k) ||
                user->seen[k].losses == user->seen[k].losses_before) {
                continue;
            }
            plan_describe_user(world->plan, i, described, sizeof(described));
            net_violated("I11 no flicker: %s, stopped seeing %s as LIVE in a hand-over", described,
                         world->plan->objects[k].json);
        }
    }
}
