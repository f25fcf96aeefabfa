/* The oracle: it was told everything that was published, looks at everything that is delivered, and
 * into the exchanges where a promise cannot be seen from outside. The promises have the numbers of
 * docs/testing.md; each group of them has a file. */
#include "oracle.h"
#include "exchange/agenda.h"

#include <stdio.h>

bool sim_canary;

/* I8: the leaf that will be stuck passes on no version that it has read of: in the other play it
 * reads none. */
static void keep_floors(const sim_world *world, const net_node *node)
{
    if (!world->stuck || world->healed || node != world->places[world->stuck->node].node) {
        return;
    }
    HKB_UPSTREAMS_EACH(peer, node->exchange)
    {
        HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
        {
            share->in.floor_due = 0;
        }
    }
}

void oracle_pass_floors(const sim_world *world)
{
    if (!world->stuck) {
        return;
    }
    HKB_UPSTREAMS_EACH(peer, net_enter(world->places[world->stuck->node].node))
    {
        HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
        {
            share->in.floor_due = 1;
            hkb_share_queue(share);
        }
    }
}

void oracle_before(void *ctx, net_pipe *pipe, int to)
{
    oracle_note_sources(ctx, pipe, to);
    oracle_note_budgets(ctx, pipe->node[to]);
}

void oracle_after(void *ctx, net_pipe *pipe, int to)
{
    const sim_world *world = ctx;
    const hkb_exchange *exchange = pipe->node[to]->exchange;
    oracle_check_budgets(world, pipe->node[to], 1);
    if (!pipe->peer[to]) {
        return;
    }
    keep_floors(world, pipe->node[to]);
    bool is_leaf = to == 0 && !world->places[oracle_node_number(world, pipe->node[0])].is_hub;
    ORACLE_OBJECTS_EACH(object, exchange)
    {
        if (to == 1) {
            oracle_check_source(world, pipe, to, object);
        }
        if (is_leaf) {
            oracle_check_relevance(world, pipe, object);
        }
    }
    oracle_check_window(world, pipe, 0);
    oracle_check_window(world, pipe, 1);
}

void oracle_before_turn(void *ctx, net_node *node)
{
    oracle_note_budgets(ctx, node);
}

void oracle_after_turn(void *ctx, net_node *node)
{
    oracle_check_budgets(ctx, node, HKB_TURN_PEERS);
    keep_floors(ctx, node);
}

void oracle_check(sim_world *world)
{
    oracle_check_memory(world);
    oracle_check_silence(world);
    oracle_check_loops(world);
}

/* -- Once the faults are over -- */

static bool node_differs(const sim_world *world, size_t node, char *out, size_t out_bytes)
{
    if (oracle_link_misses(world, node, out, out_bytes) ||
        oracle_charges_differ(world, node, out, out_bytes)) {
        return true;
    }
    ORACLE_OBJECTS_EACH(object, world->places[node].node->exchange)
    {
        if ((object->exists && oracle_choice_differs(world, node, object, out, out_bytes)) ||
            oracle_declines_with_room(world, node, object, out, out_bytes) ||
            oracle_hears_unwanted(world, node, object, out, out_bytes)) {
            return true;
        }
    }
    return false;
}

static bool object_differs(const sim_world *world, size_t object, char *out, size_t out_bytes)
{
    oracle_situation at = oracle_look_at(world, object);
    return oracle_sinks_differ(world, object, &at, out, out_bytes) ||
           (at.chosen && oracle_path_differs(world, object, &at, out, out_bytes)) ||
           oracle_observers_differ(world, object, &at, out, out_bytes);
}

bool oracle_pending(sim_world *world, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        if (oracle_user_waits(world, &world->users[i], out, out_bytes)) {
            return true;
        }
    }
    for (size_t i = 0; i < world->plan->node_count; i++) {
        if (node_differs(world, i, out, out_bytes)) {
            return true;
        }
    }
    for (size_t i = 0; i < world->plan->object_count; i++) {
        if (object_differs(world, i, out, out_bytes)) {
            return true;
        }
    }
    return false;
}

void oracle_done(sim_world *world)
{
    oracle_states_done(world);
    oracle_selection_done(world);
}
