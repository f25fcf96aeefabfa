/* What is delivered to observers: I2, versions that grow, and I3, states that were published. Each
 * state has one version, and each event comes in its order. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>

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

void oracle_states_done(sim_world *world)
{
    free(world->published.slots);
    free(world->versions.slots);
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
    char described[128], before[200], after[200];
    if (event->kind == HAKUBAN_EVENT_CONDITION ? order != 0 : order <= 0) {
        plan_describe_user(world->plan, user->number, described, sizeof(described));
        version_text(&seen->version, before, sizeof(before));
        version_text(&version, after, sizeof(after));
        net_violated("I2 monotone: %s, saw version %s of %s after %s", described, after,
                     world->plan->objects[object].json, before);
    }
    seen->content = oracle_content(object, data);
    seen->version = version;
    if (!*table_at(&world->published, seen->content)) {
        plan_describe_user(world->plan, user->number, described, sizeof(described));
        net_violated("I3 integrity: %s, got %zu bytes of %s that no user published", described,
                     data.bytes, world->plan->objects[object].json);
    }
    oracle_versioned(world, object, &version, data);
    world->result.delivered++;
}

static void see_listed(const sim_world *world, sim_user *user)
{
    NET_MUST(!user->listed, "events out of order: user %zu got LISTED twice", user->number);
    user->listed = true;
    for (size_t i = 0; i < world->plan->object_count; i++) {
        user->seen[i].awaited = user->seen[i].open && !user->seen[i].settled;
    }
}

static void see_complete(const sim_world *world, sim_user *user)
{
    char described[128];
    const char *awaited = oracle_awaited(world, user);
    plan_describe_user(world->plan, user->number, described, sizeof(described));
    NET_MUST(user->listed && !user->complete, "events out of order: %s, got COMPLETE", described);
    NET_MUST(!awaited, "I1 convergence: %s, got COMPLETE before a state of %s", described, awaited);
    user->complete = true;
}

const char *oracle_awaited(const sim_world *world, const sim_user *user)
{
    for (size_t i = 0; i < world->plan->object_count; i++) {
        if (user->seen[i].awaited) {
            return world->plan->objects[i].json;
        }
    }
    return NULL;
}

void oracle_see(sim_world *world, sim_user *user, const hakuban_event *event)
{
    char described[128], version[200] = "";
    if (event->kind == HAKUBAN_EVENT_LISTED) {
        see_listed(world, user);
        return;
    }
    if (event->kind == HAKUBAN_EVENT_COMPLETE) {
        see_complete(world, user);
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
        plan_describe_user(world->plan, user->number, described, sizeof(described));
        net_violated("events out of order: %s, got %s of %s", described, kinds[event->kind],
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
    bool state_follows = event->kind == HAKUBAN_EVENT_OPEN && event->freshness != HAKUBAN_NEVER;
    seen->settled = !state_follows &&
                    (event->freshness == HAKUBAN_LIVE || event->source == HAKUBAN_SOURCE_NONE);
    seen->awaited &= !seen->settled && event->kind != HAKUBAN_EVENT_CLOSE;
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
