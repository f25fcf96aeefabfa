/* See plan.h. Each seed has some of the faults only, each at a rate of its own: what one fault
 * hides, another history without it shows. What is drawn, in this order, is what a seed means:
 * where it changes, tests/sim/regressions needs other seeds. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_KIND(upper, lower) #lower,
const char *const plan_kind_names[PLAN_KIND_COUNT] = {PLAN_KINDS(PLAN_KIND)};
#undef PLAN_KIND

const char *const plan_tags[PLAN_TAGS_MAX] = {"\"t\"", "\"u\"", "{\"v\":1}", "4"};

typedef struct drawing {
    uint64_t random;
    sim_plan *plan;
} drawing;

static uint64_t below(drawing *on, uint64_t bound)
{
    uint64_t z = on->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
}

/* Small ones are more likely than large ones. */
static uint64_t skewed(drawing *on, uint64_t bound)
{
    return below(on, 1 + below(on, bound));
}

static bool chance(drawing *on, unsigned percent)
{
    return below(on, 100) < percent;
}

/* -- The tree -- */

static void draw_params(drawing *on, bool limits, plan_node *node)
{
    char *out = node->params;
    size_t room = sizeof(node->params), at = 0;
    static const char *const keep_alives[] = {"100ms", "500ms", "2s", "20s"};
    at += (size_t)snprintf(out + at, room - at, "keep-alive=%s", keep_alives[below(on, 4)]);
    if (chance(on, 30)) {
        at += (size_t)snprintf(out + at, room - at, ",window=%llu",
                               (unsigned long long)(16384 + skewed(on, 200000)));
    }
    if (chance(on, 20)) {
        at += (size_t)snprintf(out + at, room - at, ",compressor=none");
    }
    if (chance(on, 20)) {
        at += (size_t)snprintf(out + at, room - at, ",serializer=json");
    }
    if (chance(on, 25)) {
        at += (size_t)snprintf(out + at, room - at, ",grace=%s", below(on, 2) ? "0" : "300ms");
    }
    node->is_limited = limits && chance(on, 20);
    if (node->is_limited) { /* half of them grow to it */
        at += (size_t)snprintf(
            out + at, room - at, ",load-limit=%s%llu",
            on->random >> 33 & 1 ? "" : "300ms:0-900ms:", (unsigned long long)(1 + below(on, 4)));
    }
    /* One of an earlier release, without what is optional; not drawn anew, so that seeds keep their
     * meaning. */
    if ((on->random ^ on->random >> 29) % 7 == 0) {
        snprintf(out + at, room - at, ",features=none");
    }
}

static void draw_tree(drawing *on)
{
    sim_plan *plan = on->plan;
    plan->node_count = chance(on, 4) ? 10 + below(on, PLAN_NODES_MAX - 9) : 1 + skewed(on, 9);
    bool far = chance(on, 40), odd_links = chance(on, 60), clocks_differ = chance(on, 70);
    bool limits = chance(on, 20);
    for (size_t i = 0; i < plan->node_count; i++) {
        plan_node *node = &plan->nodes[i];
        node->parent = -1;
        if (i) {
            do {
                node->parent = (int16_t)below(on, i);
            } while (plan->nodes[node->parent].level + 1 >= PLAN_LEVELS_MAX);
            node->level = (uint8_t)(plan->nodes[node->parent].level + 1);
        }
        if (clocks_differ) {
            node->wall_offset_ms = (int64_t)below(on, 20000) - 10000;
        }
        if (odd_links) {
            draw_params(on, limits, node);
        }
        if (far) {
            node->delay_ms = (uint32_t)skewed(on, 60);
            node->jitter_ms = (uint32_t)skewed(on, 30);
        }
        node->redial_ms = 5 + (uint32_t)skewed(on, 500);
        node->buffered_bytes = chance(on, 70) ? 65536 : 1000 + (uint32_t)below(on, 1000000);
    }
    plan->chunk_bytes_max = chance(on, 50) ? 100000 : 1 + (uint32_t)skewed(on, 200);
    /* In every other history budgets are so small that all work goes on from turn to turn; not
     * drawn anew, so that seeds keep their meaning. */
    plan->turn_cost = on->random >> 40 & 1 ? 0 : 1 + (uint32_t)(on->random >> 41 & 31);
    /* So do threads that work on what is not quite small, and take their time. */
    plan->work_bytes_min = on->random >> 46 & 1 ? 0 : 1u << (on->random >> 47 & 15);
    plan->work_ms_max = 1u << (2 * (on->random >> 51 & 3));
}

/* In some histories exchanges end links for the memory that they take. Drawn beside all else, so
 * that seeds keep their meaning. */
static void draw_memory(sim_plan *plan)
{
    drawing on = {.random = plan->seed * 0x8ebc6af09c88c6e3u + 3};
    if (plan->calm || !chance(&on, 8)) {
        return;
    }
    for (size_t i = 0; i < plan->node_count; i++) {
        size_t bytes_max = (size_t)6144 << below(&on, 6);
        if (chance(&on, 60)) {
            plan->nodes[i].link_bytes_max = bytes_max;
            plan->nodes[i].bytes_max = chance(&on, 50) ? 2 * bytes_max : 0;
        }
    }
}

/* -- Objects and users -- */

static void draw_objects(drawing *on)
{
    sim_plan *plan = on->plan;
    plan->tag_count = 1 + below(on, PLAN_TAGS_MAX);
    plan->object_count = chance(on, 4) ? 10 + below(on, PLAN_OBJECTS_MAX - 9) : 1 + skewed(on, 9);
    for (size_t i = 0; i < plan->object_count; i++) {
        plan_object *object = &plan->objects[i];
        static const char *const around[][2] = {{"\"o", "\""}, {"", ""}, {"{\"o\":", "}"}};
        const char *const *form = around[below(on, 3)];
        snprintf(object->json, sizeof(object->json), "%s%zu%s", form[0], i, form[1]);
        object->tag_count = (uint8_t)below(on, 3);
        for (size_t k = 0; k < object->tag_count; k++) {
            object->tag_index[k] = (uint8_t)((below(on, plan->tag_count) + k) % plan->tag_count);
            object->tags[k] = plan_tags[object->tag_index[k]];
        }
        if (object->tag_count == 2 && object->tags[0] == object->tags[1]) {
            object->tag_count = 1;
        }
    }
}

static void draw_users(drawing *on)
{
    sim_plan *plan = on->plan;
    bool large_states = chance(on, 12), leisurely = chance(on, 30);
    unsigned numbers_percent = chance(on, 20) ? 50 : 0, lazy_percent = chance(on, 20) ? 30 : 0;
    unsigned object_percent = 30 + (unsigned)below(on, 70);
    plan->user_count = 3 + skewed(on, 20) + (plan->node_count > 10 ? below(on, 60) : 0);
    for (size_t i = 0; i < plan->user_count; i++) {
        plan_user *user = &plan->users[i];
        user->node = (uint16_t)below(on, plan->node_count);
        user->observes = below(on, 9) < 5;
        user->object = (int16_t)below(on, plan->object_count);
        user->tag = (uint8_t)below(on, plan->tag_count);
        if (!chance(on, object_percent)) {
            user->object = -1;
        }
        user->capacity = 1 + (uint32_t)below(on, 3);
        user->reads_every_ms = 1 + (leisurely ? (uint32_t)skewed(on, 300) : 0);
        user->numbers = chance(on, numbers_percent);
        user->lazy = chance(on, lazy_percent);
        user->bytes = 1 + (uint32_t)skewed(on, large_states && chance(on, 40) ? 200000 : 400);
    }
}

/* -- The schedule -- */

static void draw_one(drawing *on, plan_kind kind, plan_action *action)
{
    const sim_plan *plan = on->plan;
    action->kind = kind;
    action->at_ms = (uint32_t)below(on, plan->duration_ms);
    action->target =
        (uint16_t)below(on, kind <= PLAN_CAPACITY ? plan->user_count : plan->node_count);
    action->end = (uint8_t)below(on, 2);
    action->for_ms = 1 + (uint32_t)skewed(on, 6000);
    action->amount = (int64_t)below(on, UINT32_MAX);
    switch ((int)kind) {
    case PLAN_SEND:
        if (chance(on, 80)) {
            action->for_ms = 0; /* else: a series of states, one each millisecond */
        } else {
            action->for_ms = 1 + (uint32_t)skewed(on, 300);
        }
        break;
    case PLAN_CAPACITY:
        action->amount = (int64_t)below(on, 4);
        break;
    case PLAN_CUT_AT:
        action->amount = (int64_t)(chance(on, 50) ? below(on, 400) : below(on, 20000));
        break;
    case PLAN_SLOW:
        action->amount = 100 + (int64_t)skewed(on, 100000);
        break;
    case PLAN_DELAY:
        action->amount = (int64_t)skewed(on, 400);
        action->for_ms = (uint32_t)skewed(on, 200);
        break;
    case PLAN_CLOCK: {
        static const int64_t jumps_ms[] = {3600000, -3600000, -315576000000, 1000, -1000, 60000};
        action->amount = jumps_ms[below(on, 6)];
        break;
    }
    case PLAN_MEMORY:
        action->amount = 1 + (int64_t)skewed(on, 200);
        action->end = chance(on, 30); /* all from then on */
        action->for_ms = 1 + (uint32_t)skewed(on, 300);
        if (chance(on, 50)) { /* when most of the users come */
            action->at_ms /= 8;
        }
        break;
    case PLAN_PARENT:
        action->amount = (int64_t)below(on, plan->node_count);
        break;
    default:
        break;
    }
}

static int compare_actions(const void *a, const void *b)
{
    const plan_action *x = a, *y = b;
    return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

static void draw_actions(drawing *on)
{
    sim_plan *plan = on->plan;
    unsigned weights[PLAN_KIND_COUNT] = {0}, sum = 0;
    plan->calm = chance(on, 12);
    for (int kind = 0; kind < PLAN_KIND_COUNT; kind++) {
        if (kind == PLAN_START) {
            weights[kind] = 12;
        } else if (kind == PLAN_END) {
            weights[kind] = chance(on, 70) ? 1 + (unsigned)below(on, 8) : 0;
        } else if (kind == PLAN_SEND) {
            weights[kind] = 4 + (unsigned)below(on, 30);
        } else if (kind > PLAN_SEND && !plan->calm && chance(on, 30)) {
            weights[kind] = 1 + (unsigned)skewed(on, kind == PLAN_MEMORY ? 40 : 10);
        }
        sum += weights[kind];
    }
    plan->duration_ms = 500 + (uint32_t)skewed(on, 20000);
    size_t count = 10 + plan->user_count + skewed(on, 150);
    if (plan->node_count > 10) {
        count += below(on, 150);
    }
    plan->action_count = count < PLAN_ACTIONS_MAX ? count : PLAN_ACTIONS_MAX;
    for (size_t i = 0; i < plan->action_count; i++) {
        plan_action *action = &plan->actions[i];
        unsigned at = (unsigned)below(on, sum);
        int kind = 0;
        while (at >= weights[kind]) {
            at -= weights[kind++];
        }
        draw_one(on, (plan_kind)kind, action);
        /* Most of the users are there early on. */
        if (i < plan->user_count && chance(on, 70)) {
            draw_one(on, PLAN_START, action);
            action->target = (uint16_t)i;
            action->at_ms /= 8;
        }
    }
    qsort(plan->actions, plan->action_count, sizeof(plan->actions[0]), compare_actions);
}

static void draw_outages(drawing *on)
{
    sim_plan *plan = on->plan;
    plan->outage_count = plan->node_count > 1 ? below(on, PLAN_OUTAGES_MAX + 1) : 0;
    for (size_t i = 0; i < plan->outage_count; i++) {
        plan->outages[i] = (plan_outage){
            .node = (uint16_t)(1 + below(on, plan->node_count - 1)),
            .percent = (uint32_t)(chance(on, 60) ? below(on, 100) : 80 + skewed(on, 200)),
            .news = chance(on, 50),
        };
    }
}

void plan_draw(uint64_t seed, sim_plan *ret)
{
    memset(ret, 0, sizeof(*ret));
    drawing on = {.random = seed * 0x2545f4914f6cdd1du + 1, .plan = ret};
    ret->seed = seed;
    ret->news_at_end = chance(&on, 50);
    draw_tree(&on);
    draw_objects(&on);
    draw_users(&on);
    draw_actions(&on);
    draw_outages(&on);
    draw_memory(ret);
}

int plan_onlooker(const sim_plan *of)
{
    bool fits[PLAN_NODES_MAX] = {false}, small = true;
    for (size_t i = 0; i < of->user_count; i++) {
        fits[of->users[i].node] = true;
        small &= of->users[i].bytes <= 1000;
    }
    for (size_t i = 0; i < of->user_count; i++) {
        fits[of->users[i].node] &= of->users[i].observes;
    }
    for (size_t i = 0; i < of->node_count; i++) {
        if (of->nodes[i].parent >= 0) {
            fits[of->nodes[i].parent] = false;
        }
    }
    for (size_t i = 1; of->calm && small && i < of->node_count; i++) {
        if (fits[i] && (!of->nodes[i].params[0] || strstr(of->nodes[i].params, "keep-alive=20s"))) {
            return (int)i;
        }
    }
    return -1;
}

bool plan_covers(const sim_plan *of, const plan_user *user, size_t object)
{
    const plan_object *what = &of->objects[object];
    if (user->object >= 0) {
        return (size_t)user->object == object;
    }
    for (size_t i = 0; i < what->tag_count; i++) {
        if (what->tag_index[i] == user->tag) {
            return true;
        }
    }
    return false;
}

/* -- For people -- */

void plan_describe_user(const sim_plan *of, size_t number, char *out, size_t out_bytes)
{
    const plan_user *user = &of->users[number];
    char what[64];
    if (user->object >= 0) {
        snprintf(what, sizeof(what), "%s", of->objects[user->object].json);
    } else {
        snprintf(what, sizeof(what), "tag %s", plan_tags[user->tag]);
    }
    snprintf(out, out_bytes, "user %zu on node %u, which %s %s", number, (unsigned)user->node,
             user->observes ? "observes" : "exposes", what);
}

void plan_describe(const sim_plan *of, const plan_action *action, char *out, size_t out_bytes)
{
    char user[128] = "";
    unsigned node = action->target;
    long long amount = (long long)action->amount;
    unsigned for_ms = action->for_ms;
    const char *end = action->end ? "the hub" : "the node";
    if (action->kind <= PLAN_CAPACITY) {
        plan_describe_user(of, action->target, user, sizeof(user));
    }
    switch ((int)action->kind) {
    case PLAN_START:
        snprintf(out, out_bytes, "%s, begins (capacity %u)", user,
                 (unsigned)of->users[action->target].capacity);
        break;
    case PLAN_END:
        snprintf(out, out_bytes, "%s, ends", user);
        break;
    case PLAN_SEND:
        snprintf(out, out_bytes, "%s, sends, %u times", user, for_ms + 1);
        break;
    case PLAN_DEAF:
        snprintf(out, out_bytes, "%s, reads nothing for %u ms", user, for_ms);
        break;
    case PLAN_CAPACITY:
        snprintf(out, out_bytes, "%s, has capacity %lld", user, amount);
        break;
    case PLAN_CUT:
        snprintf(out, out_bytes, "node %u: its connection upwards is reset", node);
        break;
    case PLAN_CUT_AT:
        snprintf(out, out_bytes,
                 "node %u: its connection upwards is cut once %s has written %lld bytes more", node,
                 end, amount);
        break;
    case PLAN_OUTAGE:
        snprintf(out, out_bytes, "node %u: an outage of %u ms upwards", node, for_ms);
        break;
    case PLAN_SILENT:
        snprintf(out, out_bytes, "node %u: what %s writes on its connection upwards gets lost",
                 node, end);
        break;
    case PLAN_STALL:
        snprintf(out, out_bytes, "node %u: %s reads nothing of its connection upwards for %u ms",
                 node, end, for_ms);
        break;
    case PLAN_SLOW:
        snprintf(out, out_bytes,
                 "node %u: %s reads %lld bytes a second of its connection upwards for %u ms", node,
                 end, amount, for_ms);
        break;
    case PLAN_DELAY:
        snprintf(out, out_bytes, "node %u: its way upwards takes %lld ms, and up to %u more", node,
                 amount, for_ms);
        break;
    case PLAN_LEAVE:
        snprintf(out, out_bytes, "node %u: %s says goodbye on its connection upwards", node, end);
        break;
    case PLAN_KILL:
        snprintf(out, out_bytes, "node %u is killed, and starts again empty after %u ms", node,
                 for_ms);
        break;
    case PLAN_FREEZE:
        snprintf(out, out_bytes, "node %u is stopped for %u ms", node, for_ms);
        break;
    case PLAN_CLOCK:
        snprintf(out, out_bytes, "node %u: its wall clock jumps by %lld ms", node, amount);
        break;
    case PLAN_MEMORY:
        snprintf(out, out_bytes, "node %u: its allocation %lld from now fails%s", node, amount,
                 action->end ? ", and all after it for a while" : "");
        break;
    case PLAN_PARENT:
        snprintf(out, out_bytes, "node %u: goes to node %lld", node, amount);
        break;
    default:
        snprintf(out, out_bytes, "nothing");
    }
}
