/* I5, selection: the states of an object are those of one exposer, and every exchange between it
 * and an observer has chosen the same. */
#include "exchange/facts.h"
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>

/* -- While bytes are read -- */

static bool is_source(const hkb_object *object, const hkb_peer *peer)
{
    if (peer->link.connector) {
        return object->assigned.to == HKB_UPSTREAM || object->assigned.to == HKB_NO_EXPOSER;
    }
    return object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer == peer &&
           object->assigned.share->in.phase == HKB_CHANNEL_OPEN;
}

void oracle_note_sources(sim_world *world, const net_pipe *pipe, int to)
{
    const hkb_exchange *exchange = pipe->node[to]->exchange;
    size_t count = exchange->objects.count;
    world->glimpse_count = 0;
    if (count > world->glimpse_capacity) {
        world->glimpse_capacity = count * 2;
        world->glimpses =
            realloc(world->glimpses, world->glimpse_capacity * sizeof(*world->glimpses));
        NET_MUST(world->glimpses, "no memory");
    }
    ORACLE_OBJECTS_EACH(object, exchange)
    {
        world->glimpses[world->glimpse_count++] =
            (struct sim_glimpse){object, object->state, is_source(object, pipe->peer[to])};
    }
}

static const struct sim_glimpse *glimpse_of(const sim_world *world, const hkb_object *object)
{
    for (size_t i = 0; i < world->glimpse_count; i++) {
        if (world->glimpses[i].object == object) {
            return &world->glimpses[i];
        }
    }
    return NULL;
}

/* What holds always: what was heard from below on a channel that is not the object's
 * source is not its state. (From above, a stream may open, bring a state and lose its source again
 * in one piece.) */
void oracle_check_source(const sim_world *world, const net_pipe *pipe, int to,
                         const hkb_object *object)
{
    const hkb_peer *peer = pipe->peer[to];
    const struct sim_glimpse *before = glimpse_of(world, object);
    const hkb_share *share = hkb_share_find(object->exchange, peer, object);
    if (!before || !share || !object->state || before->state == object->state ||
        object->state != share->in.base) {
        return;
    }
    NET_MUST(before->was_source || is_source(object, peer),
             "I5 selection: node %zu took a state of %s from a channel that is not its source",
             oracle_node_number(world, pipe->node[to]), object->descriptor->text);
}

/* -- At rest -- */

bool oracle_sinks_differ(const sim_world *world, size_t object, const oracle_situation *at,
                         char *out, size_t out_bytes)
{
    unsigned least = at->candidates && at->observers && at->mentions &&
                     (!at->limited || oracle_has_room(world, 0, object));
    /* Exposers that only drain may have been given the object while they were apart. */
    unsigned most = !at->observers || !at->mentions ? 0 : at->candidates ? 1 : at->drained;
    if (at->sinks >= least && at->sinks <= most) {
        return false;
    }
    snprintf(out, out_bytes,
             "I5 selection: %s has %u open sinks; %u observe, %u could expose, %u only drain",
             world->plan->objects[object].json, at->sinks, at->observers, at->candidates,
             at->drained);
    return true;
}

/* On the way from the open sink to the root every exchange has chosen the one below, or needs no
 * exposer. */
bool oracle_path_differs(const sim_world *world, size_t index, const oracle_situation *at,
                         char *out, size_t out_bytes)
{
    const sim_place *below = NULL;
    for (int i = (int)at->chosen->plan->node; i >= 0; i = world->places[i].parent) {
        const sim_place *place = &world->places[i];
        const hkb_object *object =
            hkb_object_find(place->node->exchange, world->descriptors[index]);
        bool fits = !below || !object || object->assigned.to == HKB_NO_EXPOSER;
        if (object && object->assigned.to == HKB_LOCAL) {
            fits = object->assigned.contract == at->chosen->contract;
        } else if (object && object->assigned.to == HKB_DOWNSTREAM && below) {
            fits = hkb_peer_carrier(object->assigned.share->peer) == below->node->up;
        }
        if (!fits || (object && object->assigned.leaving)) {
            snprintf(out, out_bytes,
                     "I5 selection: user %zu has the sink of %s, but node %d has not chosen it",
                     at->chosen->number, world->plan->objects[index].json, i);
            return true;
        }
        below = place;
    }
    return false;
}

void oracle_selection_done(sim_world *world)
{
    free(world->glimpses);
}
