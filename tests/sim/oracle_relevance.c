/* I4, relevance: an exchange hears of what was asked for there or below it, and of nothing else. */
#include "oracle.h"

#include <stdio.h>

/* A leaf hears only of what a user there asked for. */
void oracle_check_relevance(const sim_world *world, const net_pipe *pipe, const hkb_object *object)
{
    size_t node = oracle_node_number(world, pipe->node[0]);
    if (!object->upstream || object->upstream->in.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    size_t index = sim_object_index(world, object->descriptor);
    NET_MUST(world->places[node].asked[index],
             "I4 relevance: node %zu hears of %s, which no user there ever asked for", node,
             object->descriptor->text);
}

/* Whether a user at node top or below it has a contract for object. */
static bool is_wanted_below(const sim_world *world, size_t top, size_t object)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (!user->contract || !plan_covers(world->plan, user->plan, object)) {
            continue;
        }
        for (int node = (int)user->plan->node; node >= 0; node = world->places[node].parent) {
            if ((size_t)node == top) {
                return true;
            }
        }
    }
    return false;
}

bool oracle_hears_unwanted(const sim_world *world, size_t node, const hkb_object *object, char *out,
                           size_t out_bytes)
{
    if (!object->upstream || object->upstream->in.phase != HKB_CHANNEL_OPEN ||
        is_wanted_below(world, node, sim_object_index(world, object->descriptor))) {
        return false;
    }
    snprintf(out, out_bytes, "I4 relevance: node %zu hears of %s, which no user there wants", node,
             object->descriptor->text);
    return true;
}
