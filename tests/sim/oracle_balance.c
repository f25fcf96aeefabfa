/* I6, balance: the exposer that an exchange has chosen is the one that the rules of
 * docs/assignment.md name, as tests/support/assignment_rules.c has them. Of the exchange's records
 * the oracle takes what others have told it, and never what it makes of that. */
#include "assignment_rules.h"
#include "exchange/facts.h"
#include "oracle.h"

#include <math.h>
#include <stdio.h>

#define LOAD_ROUNDING 1e-6
#define PEERS_MAX NET_NODES_MAX

static void add_registration(const hkb_registration *registered, rules_downstream *offer)
{
    offer->exposes |= registered->exposes;
    offer->observes |= registered->observes;
    if (registered->capacity > offer->capacity) {
        offer->capacity = registered->capacity;
        offer->since = registered->number;
    } else if (registered->capacity >= offer->capacity && registered->number < offer->since) {
        offer->since = registered->number;
    }
}

/* What peer is registered for with object, and its load. */
static rules_downstream offer_of(const hkb_object *object, const hkb_peer *peer)
{
    const hkb_exchange *exchange = object->exchange;
    const hkb_share *share = hkb_share_find(exchange, peer, object);
    rules_downstream offer = {
        .link = peer->link.phase == HKB_LINK_OPEN ? RULES_OPEN : RULES_AWAY,
        .load = peer->load,
        .limit = INFINITY,
        .promised = peer->promised,
    };
    if (peer->load_limit) {
        offer.limit = hkb_load_limit_at(peer->load_limit, exchange->now_ns - peer->load_limit_ns) +
                      LOAD_ROUNDING;
    }
    if (share) {
        add_registration(&share->registered, &offer);
        offer.declines = share->registered.declines;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag_share *tag_share = hkb_tag_share_find(exchange, peer, object->tags[i].tag);
        if (tag_share) {
            add_registration(&tag_share->registered, &offer);
        }
    }
    return offer;
}

/* -- Load -- */

bool oracle_is_limited(const sim_world *world, const sim_user *user)
{
    for (int node = (int)user->plan->node; node >= 0; node = world->places[node].parent) {
        if (world->places[node].plan->is_limited && world->places[node].parent >= 0) {
            return true;
        }
    }
    return false;
}

bool oracle_has_room(const sim_world *world, int node, size_t object)
{
    const hkb_object *here =
        hkb_object_find(world->places[node].node->exchange, world->descriptors[object]);
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && !user->plan->observes && user->capacity && user->plan->node == node &&
            plan_covers(world->plan, user->plan, object)) {
            return true;
        }
    }
    for (size_t i = 0; here && i < world->plan->node_count; i++) {
        const net_pipe *pipe = world->places[i].node->up;
        const hkb_peer *peer = pipe && world->places[i].parent == node ? pipe->peer[1] : NULL;
        if (!peer) {
            continue;
        }
        rules_downstream offer = offer_of(here, peer);
        if (offer.capacity > 0 && rules_is_within_limit(&offer) &&
            oracle_has_room(world, (int)i, object)) {
            return true;
        }
    }
    return false;
}

/* What a peer is charged is the sum over what it has. */
static double sum_of_charges(const hkb_exchange *exchange, const hkb_peer *peer)
{
    double sum = 0;
    ORACLE_OBJECTS_EACH(object, exchange)
    {
        if (object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer == peer) {
            sum += object->assigned.cost;
        }
    }
    return sum;
}

bool oracle_charges_differ(const sim_world *world, size_t node, char *out, size_t out_bytes)
{
    const hkb_exchange *exchange = world->places[node].node->exchange;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        double sum = sum_of_charges(exchange, peer);
        if (fabs(sum - peer->load) > LOAD_ROUNDING) {
            snprintf(out, out_bytes, "I6 balance: node %zu charges a peer %.3f for objects of %.3f",
                     node, peer->load, sum);
            return true;
        }
    }
    return false;
}

/* -- The choice -- */

static void add_users(const sim_world *world, size_t node, size_t index, const hkb_object *object,
                      rules_situation *situation)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (!user->contract || user->plan->node != node ||
            !plan_covers(world->plan, user->plan, index)) {
            continue;
        }
        if (user->plan->observes) {
            situation->observed_here = true;
            continue;
        }
        situation->local_capacity = fmax(situation->local_capacity, user->capacity);
        if (object->assigned.to == HKB_LOCAL && object->assigned.contract == user->contract) {
            situation->local_has = user->capacity;
        }
    }
}

static void add_upstream(const hkb_object *object, rules_situation *situation)
{
    const hkb_share *upstream = object->upstream;
    situation->has_upstream = hkb_object_upstream_peer(object) != NULL;
    if (upstream) {
        situation->asked = upstream->out.phase == HKB_CHANNEL_OPEN;
        situation->source =
            upstream->in.phase == HKB_CHANNEL_OPEN && upstream->in.source != HAKUBAN_SOURCE_NONE;
        situation->declines = upstream->out.declining;
        situation->declined = upstream->registered.declines;
    }
}

static const char *name_of(int exposer)
{
    return exposer == RULES_NO_EXPOSER ? "no exposer"
           : exposer == RULES_LOCAL    ? "a contract"
           : exposer == RULES_UPSTREAM ? "the upstream"
                                       : "a downstream";
}

bool oracle_choice_differs(const sim_world *world, size_t node, const hkb_object *object, char *out,
                           size_t out_bytes)
{
    static const int kinds[] = {RULES_NO_EXPOSER, RULES_LOCAL, RULES_UPSTREAM, RULES_NO_EXPOSER};
    rules_downstream downstreams[PEERS_MAX];
    rules_situation situation = {
        .local_capacity = -1,
        .local_has = -1,
        .held = object->assigned.held,
        .exposer = kinds[object->assigned.to],
        .rebalances = true,
        .threshold = object->exchange->rebalance_threshold + LOAD_ROUNDING,
        .downstreams = downstreams,
    };
    size_t index = sim_object_index(world, object->descriptor);
    add_users(world, node, index, object, &situation);
    add_upstream(object, &situation);
    HKB_LIST_EACH(hkb_peer, peer, &object->exchange->peers, of_exchange)
    {
        if (peer->link.connector || situation.count == PEERS_MAX) {
            continue;
        }
        if (object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer == peer) {
            situation.exposer = (int)situation.count;
        }
        downstreams[situation.count++] = offer_of(object, peer);
    }
    int choice = rules_choice(&situation);
    bool declines = rules_declines(&situation, choice);
    if (choice != situation.exposer) {
        snprintf(out, out_bytes, "I6 balance: at node %zu, %s exposes %s, by the rules %s%s", node,
                 name_of(situation.exposer), object->descriptor->text,
                 choice >= 0 && situation.exposer >= 0 ? "another, " : "", name_of(choice));
        return true;
    }
    if (declines != situation.declines) {
        snprintf(out, out_bytes,
                 "I6 balance: node %zu %s %s, against the rules; it is %s here, there is %s", node,
                 declines ? "does not decline" : "declines", object->descriptor->text,
                 rules_needed(&situation) ? "needed" : "not needed",
                 rules_has_room(&situation) ? "room" : "no room");
        return true;
    }
    return false;
}

bool oracle_declines_with_room(const sim_world *world, size_t node, const hkb_object *object,
                               char *out, size_t out_bytes)
{
    if (!object->upstream || !object->upstream->registered.declines ||
        !oracle_has_room(world, (int)node, sim_object_index(world, object->descriptor))) {
        return false;
    }
    snprintf(out, out_bytes, "I6 balance: node %zu declines %s, but an exposer has room", node,
             object->descriptor->text);
    return true;
}
