/* I10, reconnection: a dead connection is noticed in time and replaced; and no loop of hubs stays.
 */
#include "oracle.h"

#include <stdio.h>

#define LOOP_NS (10 * NET_S) /* ways of 5 levels that were made slow take a while */

/* A node that hears nothing for two and a half keep-alives knows that the connection is dead. */
void oracle_check_silence(const sim_world *world)
{
    uint64_t now_ns = world->network->now_ns;
    for (size_t i = 0; i < world->network->pipe_count; i++) {
        const net_pipe *pipe = world->network->pipes[i];
        for (int end = 0; end < 2; end++) {
            const hkb_peer *peer = pipe->peer[end];
            if (!peer || pipe->broken || pipe->node[end]->frozen ||
                peer->link.phase != HKB_LINK_OPEN) {
                continue;
            }
            uint64_t bound_ns = peer->link.peer_keep_alive_ns / 2 * 5 + 2 * HKB_TICK_NS;
            NET_MUST(now_ns - pipe->read_ns[end] <= bound_ns,
                     "I10 reconnect: node %zu has heard nothing for %llu ms and has not noticed",
                     oracle_node_number(world, pipe->node[end]),
                     (unsigned long long)((now_ns - pipe->read_ns[end]) / NET_MS));
        }
    }
}

/* The place that its node's link upwards leads to, once both sides have it; NULL: none. */
static sim_place *place_above(sim_world *world, const sim_place *place)
{
    const net_pipe *pipe = place->node->down || place->node->frozen ? NULL : place->node->up;
    for (int end = 0; pipe && end < 2; end++) {
        if (!pipe->peer[end] || pipe->peer[end]->link.phase != HKB_LINK_OPEN) {
            return NULL;
        }
    }
    return pipe ? &world->places[pipe->node[1] - world->network->nodes] : NULL;
}

/* Hubs in a circle: refused, or if two ways of it opened in the same moment, ended as soon as word
 * of that has gone round. */
void oracle_check_loops(sim_world *world)
{
    for (size_t i = 0; i < world->plan->node_count; i++) {
        sim_place *place = &world->places[i], *at = place_above(world, place);
        for (size_t steps = 0; at && at != place && steps < world->plan->node_count; steps++) {
            at = place_above(world, at);
        }
        if (at != place) {
            place->looped_ns = 0;
        } else if (!place->looped_ns) {
            place->looped_ns = world->network->now_ns;
        }
        NET_MUST(!place->looped_ns || world->network->now_ns - place->looped_ns < LOOP_NS,
                 "a loop of hubs: node %zu has been above itself for %llu s", i,
                 (unsigned long long)(LOOP_NS / NET_S));
    }
}

bool oracle_link_misses(const sim_world *world, size_t node, char *out, size_t out_bytes)
{
    const sim_place *place = &world->places[node];
    hkb_node *upstream = hkb_list_first(&place->node->exchange->upstreams);
    if (place->parent < 0 ||
        (upstream &&
         HKB_CONTAINER(upstream, hkb_peer, of_upstreams)->link.phase == HKB_LINK_OPEN)) {
        return false;
    }
    snprintf(out, out_bytes, "I10 reconnect: node %zu has no connection upwards", node);
    return true;
}
