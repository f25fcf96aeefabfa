/* I1, convergence: once the faults are over, every observer has what the chosen exposer sent last.
 */
#include "oracle.h"

#include <stdio.h>

oracle_situation oracle_look_at(const sim_world *world, size_t object)
{
    oracle_situation at = {0};
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (!user->contract || !plan_covers(world->plan, user->plan, object)) {
            continue;
        }
        at.mentions += user->plan->object >= 0;
        if (user->plan->observes) {
            at.observers++;
            continue;
        }
        at.candidates += user->capacity > 0;
        at.drained += user->capacity == 0;
        at.limited |= oracle_is_limited(world, user);
        if (user->held[object].sink) {
            at.sinks++;
            at.chosen = user;
        }
    }
    return at;
}

bool oracle_user_waits(const sim_world *world, const sim_user *user, char *out, size_t out_bytes)
{
    if (user->wanted != (user->contract != NULL) ||
        (user->contract && (user->sends_due || !hkb_queue_is_empty(user->queue)))) {
        snprintf(out, out_bytes, "I1 convergence: user %zu has not come to its turn", user->number);
        return true;
    }
    const char *awaited = NULL;
    if (user->contract && user->plan->observes && user->plan->object < 0) {
        awaited = !user->listed                                     ? "LISTED"
                  : !user->complete && !oracle_awaited(world, user) ? "COMPLETE"
                                                                    : NULL;
    }
    if (awaited) {
        snprintf(out, out_bytes, "I1 convergence: user %zu still waits for %s", user->number,
                 awaited);
    }
    return awaited;
}

static bool observer_differs(const sim_world *world, size_t object, const oracle_situation *at,
                             const sim_user *user, char *out, size_t out_bytes)
{
    const sim_seen *seen = &user->seen[object];
    const char *name = world->plan->objects[object].json;
    char described[128];
    const char *what = NULL;
    if (seen->open != (at->mentions > 0)) {
        what = seen->open ? "still sees it, though no exchange mentions it any more"
                          : "does not see it";
    } else if (!seen->open) {
        return false;
    } else if (!at->chosen) {
        what = seen->freshness == HAKUBAN_LIVE ? "believes it LIVE, but it has no exposer" : NULL;
    } else if (!at->chosen->held[object].content || at->chosen->capacity == 0) {
        what = NULL; /* its exposer has said nothing yet; or only drains: a hub that has forgotten
                        it never chooses it again */
    } else if (seen->content != at->chosen->held[object].content + sim_canary) {
        what = "does not have the exposer's last state";
    } else if (seen->freshness != HAKUBAN_LIVE) {
        what = "has the exposer's last state, but not as LIVE";
    } else if (seen->source != HAKUBAN_SOURCE_ASSIGNED) {
        what = "has the exposer's last state, but its source is not ASSIGNED";
    }
    if (!what) {
        return false;
    }
    plan_describe_user(world->plan, user->number, described, sizeof(described));
    char by[128] = "no exposer";
    if (at->chosen) {
        plan_describe_user(world->plan, at->chosen->number, by, sizeof(by));
    }
    snprintf(out, out_bytes, "I1 convergence: %s: %s, %s (chosen: %s)", name, described, what, by);
    return true;
}

bool oracle_observers_differ(const sim_world *world, size_t object, const oracle_situation *at,
                             char *out, size_t out_bytes)
{
    if (at->chosen && at->chosen->held[object].due) {
        snprintf(out, out_bytes, "I1 convergence: user %zu could not send", at->chosen->number);
        return true;
    }
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && user->plan->observes &&
            plan_covers(world->plan, user->plan, object) &&
            observer_differs(world, object, at, user, out, out_bytes)) {
            return true;
        }
    }
    return false;
}
