/* The oracle: it was told everything that was published, looks at everything that is delivered, and
 * into the exchanges where a promise cannot be seen from outside. The promises have the numbers of
 * reliability.md, section 2. */
#include "exchange/account.h"
#include "exchange/facts.h"
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ACCOUNT_SLACK_BYTES (512u * 1024) /* mostly scratch for differences: 6 times 64 KiB */
#define LOAD_ROUNDING 1e-6
#define LOOP_NS (10 * NET_S) /* ways of 5 levels that were made slow take a while */

bool sim_canary;

/* -- Tables -- */

static struct sim_slot *find_slot(const sim_table *table, uint64_t key)
{
    size_t at = (size_t)key & (table->capacity - 1);
    while (table->slots[at].key && table->slots[at].key != key) {
        at = (at + 1) & (table->capacity - 1);
    }
    return &table->slots[at];
}

static void table_grow(sim_table *table)
{
    sim_table larger = {.capacity = table->capacity ? table->capacity * 4 : 256};
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    NET_MUST(larger.slots, "no memory");
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].key) {
            *find_slot(&larger, table->slots[i].key) = table->slots[i];
        }
    }
    larger.count = table->count;
    free(table->slots);
    *table = larger;
}

/* The value under key, 0 if it is new: then it may be set. */
static uint64_t *table_at(sim_table *table, uint64_t key)
{
    if (table->count * 2 >= table->capacity) {
        table_grow(table);
    }
    struct sim_slot *slot = find_slot(table, key | 1);
    if (!slot->key) {
        slot->key = key | 1;
        table->count++;
    }
    return &slot->value;
}

void oracle_done(sim_world *world)
{
    free(world->published.slots);
    free(world->versions.slots);
    free(world->glimpses);
}

/* -- Publications -- */

uint64_t oracle_content(size_t object, hakuban_slice data)
{
    uint64_t parts[2] = {object, hkb_hash64(data.data, data.bytes)};
    return hkb_hash64(parts, sizeof(parts)) | 1;
}

static uint64_t version_key(size_t object, const hkb_version *version)
{
    int64_t parts[1 + HAKUBAN_VERSION_ELEMENTS_MAX];
    parts[0] = (int64_t)object;
    memcpy(parts + 1, version->elements, version->count * sizeof(parts[0]));
    return hkb_hash64(parts, (1 + version->count) * sizeof(parts[0]));
}

void oracle_published(sim_world *world, size_t object, hakuban_slice data)
{
    *table_at(&world->published, oracle_content(object, data)) = 1;
}

static void version_text(const hkb_version *version, char *out, size_t out_bytes)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < version->count && at < out_bytes; i++) {
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%lld", i ? "," : "",
                               (long long)version->elements[i]);
    }
}

void oracle_versioned(sim_world *world, size_t object, const hkb_version *version,
                      hakuban_slice data)
{
    uint64_t content = oracle_content(object, data);
    uint64_t *known = table_at(&world->versions, version_key(object, version));
    char text[200];
    if (*known == 0) {
        *known = content;
    }
    if (*known == content) {
        return;
    }
    version_text(version, text, sizeof(text));
    net_violated("I3 integrity: version %s of %s is two different states", text,
                 world->plan->objects[object].json);
}

/* -- Deliveries -- */

static const char *const freshness_names[] = {"NEVER", "LIVE", "STALE"};

static void see_state(sim_world *world, sim_user *user, size_t object, const hakuban_event *event)
{
    sim_seen *seen = &user->seen[object];
    hakuban_slice data = hakuban_state_data(event->state);
    hkb_version version = hkb_state_version(event->state);
    int order = hkb_version_compare(&version, &seen->version);
    char who[128], before[200], after[200];
    if (event->kind == HAKUBAN_EVENT_CONDITION ? order != 0 : order <= 0) {
        plan_describe_user(world->plan, user->number, who, sizeof(who));
        version_text(&seen->version, before, sizeof(before));
        version_text(&version, after, sizeof(after));
        net_violated("I2 monotone: %s, saw version %s of %s after %s", who, after,
                     world->plan->objects[object].json, before);
    }
    seen->content = oracle_content(object, data);
    seen->version = version;
    if (!*table_at(&world->published, seen->content)) {
        plan_describe_user(world->plan, user->number, who, sizeof(who));
        net_violated("I3 integrity: %s, got %zu bytes of %s that nobody published", who, data.bytes,
                     world->plan->objects[object].json);
    }
    oracle_versioned(world, object, &version, data);
    world->result.delivered++;
}

void oracle_see(sim_world *world, sim_user *user, const hakuban_event *event)
{
    char who[128], version[200] = "";
    if (event->kind == HAKUBAN_EVENT_LISTED) {
        NET_MUST(!user->listed, "events out of order: user %zu got LISTED twice", user->number);
        user->listed = true;
        return;
    }
    size_t object = sim_object_index(world, event->object);
    sim_seen *seen = &user->seen[object];
    static const char *const kinds[] = {"", "OPEN", "STATE", "CONDITION", "CLOSE"};
    if (world->network->trace) {
        if (event->state) {
            hkb_version held = hkb_state_version(event->state);
            version_text(&held, version, sizeof(version));
        }
        net_tell(world->network, user->node,
                 "user %zu gets %s of %s, %s%s, source %d, version %s, %zu bytes", user->number,
                 kinds[event->kind], world->plan->objects[object].json,
                 freshness_names[event->freshness],
                 event->freshness == HAKUBAN_STALE && event->age_ns == 0 ? " of no age" : "",
                 (int)event->source, version,
                 event->state ? hakuban_state_data(event->state).bytes : 0);
    }
    sim_take_note(
        world, user, object,
        event->kind + 16 * event->freshness + 256 * event->source +
            (event->state ? oracle_content(object, hakuban_state_data(event->state)) : 0));
    if (seen->open == (event->kind == HAKUBAN_EVENT_OPEN)) {
        plan_describe_user(world->plan, user->number, who, sizeof(who));
        net_violated("events out of order: %s, got %s of %s", who, kinds[event->kind],
                     world->plan->objects[object].json);
    }
    if (seen->freshness == HAKUBAN_LIVE && event->freshness != HAKUBAN_LIVE) {
        seen->losses++;
        seen->lost_ns = world->network->now_ns;
        seen->lost_age_ns = event->age_ns;
    }
    seen->freshness = event->freshness;
    seen->source = event->source;
    seen->age_ns = event->age_ns;
    switch ((int)event->kind) {
    case HAKUBAN_EVENT_OPEN:
        seen->open = true;
        break;
    case HAKUBAN_EVENT_STATE:
        see_state(world, user, object, event);
        break;
    case HAKUBAN_EVENT_CONDITION:
        if (event->state && seen->version.count) {
            see_state(world, user, object, event);
        }
        break;
    case HAKUBAN_EVENT_CLOSE:
        seen->open = false;
        seen->version.count = 0; /* what comes after it is another life */
        seen->content = 0;
        break;
    default:
        net_violated("an observer got an exposer's event");
    }
}

/* -- At any time -- */

static const hkb_object *object_at(const hkb_exchange *exchange, size_t slot)
{
    return exchange->objects.count && slot <= exchange->objects.mask ? exchange->objects.slots[slot]
                                                                     : NULL;
}

static bool is_source(const hkb_object *object, const hkb_peer *peer)
{
    if (peer->link.connector) {
        return object->assigned.to == HKB_UPSTREAM || object->assigned.to == HKB_NOBODY;
    }
    return object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer == peer &&
           object->assigned.share->in.phase == HKB_CHANNEL_OPEN;
}

void oracle_before(void *ctx, net_pipe *pipe, int to)
{
    sim_world *world = ctx;
    const hkb_exchange *exchange = pipe->node[to]->exchange;
    size_t slots = exchange->objects.count ? exchange->objects.mask + 1 : 0;
    world->glimpse_count = 0;
    if (slots > world->glimpse_capacity) {
        world->glimpse_capacity = slots * 2;
        world->glimpses =
            realloc(world->glimpses, world->glimpse_capacity * sizeof(*world->glimpses));
        NET_MUST(world->glimpses, "no memory");
    }
    for (size_t i = 0; i < slots; i++) {
        const hkb_object *object = object_at(exchange, i);
        if (object) {
            world->glimpses[world->glimpse_count++] =
                (struct sim_glimpse){object, object->state, is_source(object, pipe->peer[to])};
        }
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

/* I5, the half that holds always: what was heard from below on a channel that is not the object's
 * source is not its state. (From above, a stream may open, bring a state and lose its source again
 * in one piece.) */
static void check_source(const sim_world *world, const net_pipe *pipe, int to,
                         const hkb_object *object)
{
    const hkb_peer *peer = pipe->peer[to];
    const struct sim_glimpse *before = glimpse_of(world, object);
    const hkb_share *share = hkb_share_find(object->exchange, peer, object);
    if (!before || !share || before->state == object->state || object->state != share->in.base) {
        return;
    }
    NET_MUST(before->was_source || is_source(object, peer),
             "I5 selection: node %zu took a state of %s from a channel that is not its source",
             (size_t)(pipe->node[to] - world->network->nodes), object->descriptor->text);
}

/* I4: a leaf hears only of what somebody there asked for. */
static void check_relevance(const sim_world *world, const net_pipe *pipe, const hkb_object *object)
{
    size_t node = (size_t)(pipe->node[0] - world->network->nodes);
    if (!object->upstream || object->upstream->in.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    size_t index = sim_object_index(world, object->descriptor);
    NET_MUST(world->places[node].asked[index],
             "I4 relevance: node %zu hears of %s, which nobody there ever asked for", node,
             object->descriptor->text);
}

static void check_window(const sim_world *world, const net_pipe *pipe, int end)
{
    const hkb_peer *peer = pipe->peer[end];
    if (!peer || peer->link.phase != HKB_LINK_OPEN) {
        return;
    }
    uint64_t unheard_bytes = peer->link.sent_bytes - peer->link.acked_bytes;
    NET_MUST(
        unheard_bytes <= peer->link.window_bytes + HKB_FRAME_BYTES_MAX + 1024,
        "I7 memory: node %zu has said %llu bytes that were not acknowledged, its window is %llu",
        (size_t)(pipe->node[end] - world->network->nodes), (unsigned long long)unheard_bytes,
        (unsigned long long)peer->link.window_bytes);
}

/* I8: the leaf that will be stuck passes on no version that it has read of: in the other play it
 * reads none. */
static void keep_floors(const sim_world *world, const net_pipe *pipe)
{
    if (!world->stuck || world->healed ||
        (int)(pipe->node[0] - world->network->nodes) != world->stuck->node) {
        return;
    }
    HKB_LIST_EACH(hkb_share, share, &pipe->peer[0]->shares, of_peer)
    {
        share->in.floor_due = 0;
    }
}

void oracle_after(void *ctx, net_pipe *pipe, int to)
{
    const sim_world *world = ctx;
    const hkb_exchange *exchange = pipe->node[to]->exchange;
    if (!pipe->peer[to]) {
        return;
    }
    if (to == 0) {
        keep_floors(world, pipe);
    }
    bool is_leaf = to == 0 && !world->places[pipe->node[0] - world->network->nodes].is_hub;
    for (size_t i = 0; exchange->objects.count && i <= exchange->objects.mask; i++) {
        const hkb_object *object = object_at(exchange, i);
        if (!object) {
            continue;
        }
        if (to == 1) {
            check_source(world, pipe, to, object);
        }
        if (is_leaf) {
            check_relevance(world, pipe, object);
        }
    }
    check_window(world, pipe, 0);
    check_window(world, pipe, 1);
}

static size_t log_bytes(const hkb_link *link)
{
    return link->log.own.capacity + link->log.shared_bytes + link->again.own.capacity +
           link->again.shared_bytes;
}

/* No byte is kept that is in no account, but what is there once for each exchange (scratch for
 * differences and messages, tables) and what local contracts have. */
static void check_accounts(const net_node *node, size_t number)
{
    const hkb_exchange *exchange = node->exchange;
    size_t held = hkb_exchange_held_bytes(exchange), peers = 0;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        peers += peer->accounted_bytes;
        NET_MUST(peer->left_bytes <= peer->accounted_bytes,
                 "I7 memory: node %zu has %zu bytes of others for a peer, of %zu in all", number,
                 peer->left_bytes, peer->accounted_bytes);
    }
    NET_MUST(peers <= exchange->charged_bytes, "I7 memory: node %zu's accounts do not add up",
             number);
    size_t slack = ACCOUNT_SLACK_BYTES + exchange->contract_count * 1024;
    NET_MUST(node->memory.bytes <= held + slack,
             "I7 memory: node %zu has %zu bytes, of which %zu are in an account", number,
             (size_t)node->memory.bytes, held);
}

/* I7: what an exchange keeps is bounded by what is alive, not by how much passed through it. */
void oracle_check_memory(sim_world *world)
{
    for (size_t n = 0; n < world->plan->node_count; n++) {
        const net_node *node = world->places[n].node;
        if (node->down || world->places[n].checked == node->entered) {
            continue;
        }
        world->places[n].checked = node->entered;
        const hkb_exchange *exchange = node->exchange;
        size_t bound = (1u << 20) + exchange->peer_count * 65536, state_bytes = 0;
        for (size_t i = 0; exchange->objects.count && i <= exchange->objects.mask; i++) {
            const hkb_object *object = object_at(exchange, i);
            if (!object) {
                continue;
            }
            size_t bytes = object->state ? object->state->data_bytes : 0;
            size_t bases_max = hkb_max(2 * bytes, 65536);
            state_bytes += bytes + object->bases_bytes;
            NET_MUST(object->bases_bytes <= bases_max,
                     "I7 memory: node %zu keeps %zu bytes of older states of %s", n,
                     object->bases_bytes, object->descriptor->text);
            bound += 1024 + 2 * bytes + bases_max + object->bases_bytes;
        }
        HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
        {
            /* What was said and not acknowledged, for a session that goes on. */
            bound += hkb_min(log_bytes(&peer->link),
                             2 * (size_t)(peer->link.window_bytes + HKB_FRAME_BYTES_MAX));
            HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
            {
                bound += 512 + (share->in.base ? share->in.base->data_bytes : 0) +
                         (share->in.incoming ? share->in.incoming->payload.capacity : 0);
            }
        }
        bound += exchange->delta_bytes + exchange->contract_count * 1024;
        check_accounts(node, n);
        NET_MUST(state_bytes == exchange->state_bytes,
                 "I7 memory: node %zu counts %zu bytes of states and has %zu", n,
                 exchange->state_bytes, state_bytes);
        NET_MUST(node->memory.bytes <= bound,
                 "I7 memory: node %zu has %zu bytes, what is alive there explains %zu", n,
                 (size_t)node->memory.bytes, bound);
    }
}

/* I10: who hears nothing for two and a half keep-alives knows that the connection is dead. */
void oracle_check_silence(sim_world *world)
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
                     (size_t)(pipe->node[end] - world->network->nodes),
                     (unsigned long long)((now_ns - pipe->read_ns[end]) / NET_MS));
        }
    }
}

/* The place that node's link upwards leads to, once both sides have it; NULL: none. */
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

/* -- Once the faults are over -- */

typedef struct situation {
    const sim_user *chosen;
    unsigned sinks, observers, mentions, candidates, drained;
    bool limited; /* a load limit is on the way to some candidate */
} situation;

static bool is_limited(const sim_world *world, const sim_user *user)
{
    for (int node = (int)user->plan->node; node >= 0; node = world->places[node].parent) {
        if (world->places[node].plan->is_limited && world->places[node].parent >= 0) {
            return true;
        }
    }
    return false;
}

static situation look_at(const sim_world *world, size_t object)
{
    situation at = {0};
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
        at.limited |= is_limited(world, user);
        if (user->held[object].sink) {
            at.sinks++;
            at.chosen = user;
        }
    }
    return at;
}

/* Whether somebody at node or below it could take object, as far as load limits on the way go. */
static bool has_room(const sim_world *world, int node, size_t object)
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
        rules_downstream offer = oracle_offer(here, peer);
        if (offer.capacity > 0 && rules_is_within_limit(&offer) &&
            has_room(world, (int)i, object)) {
            return true;
        }
    }
    return false;
}

static bool sinks_differ(const sim_world *world, size_t object, const situation *at, char *out,
                         size_t out_bytes)
{
    unsigned least = at->candidates && at->observers && at->mentions &&
                     (!at->limited || has_room(world, 0, object));
    unsigned most = (at->candidates || at->drained) && at->observers && at->mentions;
    if (at->sinks >= least && at->sinks <= most) {
        return false;
    }
    snprintf(out, out_bytes,
             "I5 selection: %s has %u open sinks; %u observe, %u could expose, %u only drain",
             world->plan->objects[object].json, at->sinks, at->observers, at->candidates,
             at->drained);
    return true;
}

static bool observer_differs(const sim_world *world, size_t object, const situation *at,
                             const sim_user *user, char *out, size_t out_bytes)
{
    const sim_seen *seen = &user->seen[object];
    const char *name = world->plan->objects[object].json;
    char who[128];
    const char *what = NULL;
    if (seen->open != (at->mentions > 0)) {
        what = seen->open ? "still sees it, though nobody mentions it any more" : "does not see it";
    } else if (!seen->open) {
        return false;
    } else if (!at->chosen) {
        what = seen->freshness == HAKUBAN_LIVE ? "believes it LIVE, but nobody exposes it" : NULL;
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
    plan_describe_user(world->plan, user->number, who, sizeof(who));
    char by[128] = "nobody";
    if (at->chosen) {
        plan_describe_user(world->plan, at->chosen->number, by, sizeof(by));
    }
    snprintf(out, out_bytes, "I1 convergence: %s: %s, %s (chosen: %s)", name, who, what, by);
    return true;
}

/* On the way from the open sink to the root every exchange has chosen the one below, or needs
 * nobody. */
static bool choice_differs(const sim_world *world, size_t index, const situation *at, char *out,
                           size_t out_bytes)
{
    const sim_place *below = NULL;
    for (int i = (int)at->chosen->plan->node; i >= 0; i = world->places[i].parent) {
        const sim_place *place = &world->places[i];
        const hkb_object *object =
            hkb_object_find(place->node->exchange, world->descriptors[index]);
        bool fits = !below || !object || object->assigned.to == HKB_NOBODY;
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

static bool object_differs(const sim_world *world, size_t object, char *out, size_t out_bytes)
{
    situation at = look_at(world, object);
    if (sinks_differ(world, object, &at, out, out_bytes)) {
        return true;
    }
    if (at.chosen && at.chosen->held[object].due) {
        snprintf(out, out_bytes, "I1 convergence: user %zu could not send", at.chosen->number);
        return true;
    }
    if (at.chosen && choice_differs(world, object, &at, out, out_bytes)) {
        return true;
    }
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && user->plan->observes &&
            plan_covers(world->plan, user->plan, object) &&
            observer_differs(world, object, &at, user, out, out_bytes)) {
            return true;
        }
    }
    return false;
}

/* I4 for a whole subtree: whether somebody at node or below it has a contract for object. */
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

/* I6: what a peer is charged is the sum over what it has. */
static double sum_of_charges(const hkb_exchange *exchange, const hkb_peer *peer)
{
    double sum = 0;
    for (size_t i = 0; exchange->objects.count && i <= exchange->objects.mask; i++) {
        const hkb_object *object = object_at(exchange, i);
        if (object && object->assigned.to == HKB_DOWNSTREAM &&
            object->assigned.share->peer == peer) {
            sum += object->assigned.cost;
        }
    }
    return sum;
}

static bool node_differs(const sim_world *world, size_t n, char *out, size_t out_bytes)
{
    const sim_place *place = &world->places[n];
    const hkb_exchange *exchange = place->node->exchange;
    hkb_node *upstream = hkb_list_first(&exchange->upstreams);
    if (place->parent >= 0 &&
        (!upstream ||
         HKB_CONTAINER(upstream, hkb_peer, of_upstreams)->link.phase != HKB_LINK_OPEN)) {
        snprintf(out, out_bytes, "I10 reconnect: node %zu has no connection upwards", n);
        return true;
    }
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        double sum = sum_of_charges(exchange, peer);
        if (fabs(sum - peer->load) > LOAD_ROUNDING) {
            snprintf(out, out_bytes, "I6 balance: node %zu charges a peer %.3f for objects of %.3f",
                     n, peer->load, sum);
            return true;
        }
    }
    for (size_t i = 0; exchange->objects.count && i <= exchange->objects.mask; i++) {
        const hkb_object *object = object_at(exchange, i);
        if (!object) {
            continue;
        }
        if (object->exists && oracle_choice_differs(world, n, object, out, out_bytes)) {
            return true;
        }
        if (object->upstream && object->upstream->registered.declines &&
            has_room(world, (int)n, sim_object_index(world, object->descriptor))) {
            snprintf(out, out_bytes, "I6 balance: node %zu declines %s, but somebody has room", n,
                     object->descriptor->text);
            return true;
        }
        if (object->upstream && object->upstream->in.phase == HKB_CHANNEL_OPEN &&
            !is_wanted_below(world, n, sim_object_index(world, object->descriptor))) {
            snprintf(out, out_bytes, "I4 relevance: node %zu hears of %s, which nobody there wants",
                     n, object->descriptor->text);
            return true;
        }
    }
    return false;
}

bool oracle_pending(sim_world *world, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->wanted != (user->contract != NULL) ||
            (user->contract && (user->sends_due || !hkb_queue_is_empty(user->queue)))) {
            snprintf(out, out_bytes, "I1 convergence: user %zu has not come to its turn", i);
            return true;
        }
        if (user->contract && user->plan->observes && user->plan->object < 0 && !user->listed) {
            snprintf(out, out_bytes, "I1 convergence: user %zu still waits for LISTED", i);
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

/* Whether one of those who could take object over says nothing by itself. */
static bool somebody_is_lazy(const sim_world *world, size_t object)
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

static void check_observer_after(const sim_world *world, size_t object, const situation *at,
                                 const sim_user *user, size_t node, sim_outage outage)
{
    const sim_seen *seen = &user->seen[object];
    unsigned losses = seen->losses - seen->losses_before;
    bool crosses = is_below(world, (int)user->plan->node, node) !=
                   is_below(world, (int)at->chosen->plan->node, node);
    /* While the tree is in two for longer, others can take the object over and then give it back,
     * and where nobody mentions it, it ends. Where one alone can have it, it is seen once by whom
     * it concerns. */
    bool exact = at->candidates + at->drained == 1 && user->plan->object >= 0;
    unsigned most = outage != SIM_LONG ? 0 : exact ? crosses : 2;
    unsigned least = outage == SIM_LONG && exact && crosses;
    char who[128];
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
    plan_describe_user(world->plan, user->number, who, sizeof(who));
    NET_MUST(right_age,
             "I11 no flicker: %s, sees %s %llu ms old, %llu ms after the connection was lost", who,
             world->plan->objects[object].json, (unsigned long long)(seen->lost_age_ns / NET_MS),
             (unsigned long long)(age_ns / NET_MS));
    net_violated("I11 no flicker: %s, stopped seeing %s as LIVE %u times in an outage %s", who,
                 world->plan->objects[object].json, losses,
                 outage == SIM_LONG ? "over the grace" : "within the grace");
}

void oracle_after_outage(sim_world *world, size_t node, sim_outage outage)
{
    for (size_t k = 0; outage != SIM_UNCERTAIN && k < world->plan->object_count; k++) {
        situation at = look_at(world, k);
        if (!at.chosen || at.chosen->capacity == 0 || at.limited || somebody_is_lazy(world, k)) {
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
                                         : "within the grace, and nobody else could have it");
        }
    }
}

/* -- Hand-overs -- */

/* Whether all who could take object say what they have at once, under versions that follow the
 * floor, and have no limit. */
static bool is_smooth(const sim_world *world, size_t object)
{
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        if (user->contract && !user->plan->observes &&
            plan_covers(world->plan, user->plan, object) &&
            (user->plan->lazy || user->plan->numbers || is_limited(world, user))) {
            return false;
        }
    }
    return true;
}

sim_user *oracle_mover(sim_world *world, size_t object)
{
    situation at = look_at(world, object);
    bool moves = at.chosen && at.chosen->capacity && at.candidates > 1 && is_smooth(world, object);
    return moves ? &world->users[at.chosen->number] : NULL;
}

void oracle_after_hand_over(sim_world *world)
{
    char who[128];
    for (size_t k = 0; k < world->plan->object_count; k++) {
        situation at = look_at(world, k);
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
            plan_describe_user(world->plan, i, who, sizeof(who));
            net_violated("I11 no flicker: %s, stopped seeing %s as LIVE in a hand-over", who,
                         world->plan->objects[k].json);
        }
    }
}

/* -- The end -- */

bool oracle_lingers(sim_world *world, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < world->plan->node_count; i++) {
        const net_node *node = world->places[i].node;
        hakuban_exchange_stats stats;
        hkb_exchange_count(node->exchange, &stats);
        if (stats.objects || stats.tags) {
            snprintf(out, out_bytes,
                     "I7 memory: everybody has gone, but node %zu keeps %u objects, %u tags", i,
                     (unsigned)stats.objects, (unsigned)stats.tags);
            return true;
        }
    }
    return false;
}
