/* Random histories of whole networks: users come and go, connections are cut or left, hubs are restarted empty, memory runs out,
 * clocks jump. Then the faults stop, and every observer must hold what the one chosen exposer sent last. A failing seed is
 * printed: SIM_SEED=n repeats it, SIM_SEEDS=n plays more, NET_TRACE=1 tells what happens. */
#include "users.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECTS 5
#define WATCHERS 10
#define EXPOSERS 8
#define STEPS 120

/* Each object with its one tag, or none. */
static const char *const object_names[OBJECTS] = {"\"o0\"", "\"o1\"", "\"o2\"", "3", "{\"o\":4}"};
static const char *const object_tags[OBJECTS] = {"\"t\"", "\"t\"", "\"t\"", "\"u\"", NULL};
static const char *const tags[2] = {"\"t\"", "\"u\""};

typedef struct slot {
    bool used;
    int object; /* index; -1: by tag */
    int tag;
    net_node *node;
} slot;

typedef struct world {
    net *network;
    size_t nodes;
    size_t parent[NET_NODES_MAX];
    slot watcher_slots[WATCHERS], exposer_slots[EXPOSERS];
    watcher watchers[WATCHERS];
    exposer exposers[EXPOSERS];
    unsigned text;
} world;

static world the;

static uint64_t below(uint64_t bound)
{
    return net_below(the.network, bound);
}

static void next_text(exposer *user)
{
    snprintf(user->text, sizeof user->text, "{\"text\":%u,\"filler\":\"%0*d\"}", ++the.text,
             (int)below(30) + 1, (int)below(1000));
}

static bool slot_covers(const slot *at, int object)
{
    if (!at->used)
        return false;
    if (at->object >= 0)
        return at->object == object;
    return object_tags[object] && strcmp(object_tags[object], tags[at->tag]) == 0;
}

/* -- Actions -- */

static void end_watcher(size_t i)
{
    if (the.watcher_slots[i].used)
        watch_end(&the.watchers[i]);
    the.watcher_slots[i].used = false;
}

static void end_exposer(size_t i)
{
    if (the.exposer_slots[i].used)
        expose_end(&the.exposers[i]);
    the.exposer_slots[i].used = false;
}

static void fill_slot(slot *at)
{
    at->used = true;
    at->node = &the.network->nodes[below(the.nodes)];
    at->object = (int)below(OBJECTS + 2) - 2;
    at->tag = at->object < 0 ? (int)below(2) : 0;
    if (at->object < 0)
        at->object = -1;
}

static void toggle_watcher(void)
{
    size_t i = (size_t)below(WATCHERS);
    slot *at = &the.watcher_slots[i];
    if (at->used) {
        end_watcher(i);
        return;
    }
    fill_slot(at);
    if (at->object < 0)
        watch_tag(&the.watchers[i], at->node, tags[at->tag]);
    else
        watch_object(&the.watchers[i], at->node, object_names[at->object], object_tags[at->object]);
}

static void toggle_exposer(void)
{
    size_t i = (size_t)below(EXPOSERS);
    slot *at = &the.exposer_slots[i];
    if (at->used) {
        end_exposer(i);
        return;
    }
    fill_slot(at);
    uint32_t capacity = 1 + (uint32_t)below(3);
    if (at->object < 0)
        expose_tag(&the.exposers[i], at->node, tags[at->tag], capacity);
    else
        expose_object(&the.exposers[i], at->node, object_names[at->object], object_tags[at->object],
                      capacity);
    next_text(&the.exposers[i]);
}

static void send_something(void)
{
    size_t i = (size_t)below(EXPOSERS);
    if (!the.exposer_slots[i].used)
        return;
    next_text(&the.exposers[i]);
    expose(&the.exposers[i], the.exposers[i].text);
}

static void connect_child(size_t i)
{
    static const char *const params[] = {NULL, "window=16k", "compressor=none", "keep-alive=1s"};
    net_pipe *pipe =
        net_connect(&the.network->nodes[i], &the.network->nodes[the.parent[i]], params[below(4)]);
    pipe->delay_ns = below(3) ? below(20) * NET_MS : 0;
}

static void change_capacities(uint32_t capacity_min)
{
    for (size_t i = 0; i < EXPOSERS; i++) {
        const slot *at = &the.exposer_slots[i];
        if (!at->used || (capacity_min == 0 && below(3)))
            continue;
        net_enter(at->node);
        ck_assert_int_eq(hkb_contract_set_capacity(the.exposers[i].contract.contract,
                                                   capacity_min + (uint32_t)below(3)),
                         HAKUBAN_OK);
        hkb_exchange_settle(at->node->exchange);
    }
}

static void leave(const net_pipe *pipe, int end)
{
    if (!pipe->peer[end])
        return;
    net_enter(pipe->node[end]);
    hkb_peer_leave(pipe->peer[end]);
    hkb_exchange_settle(pipe->node[end]->exchange);
}

/* One allocation fails, or all for a while. */
static void run_out_of_memory(net_node *node)
{
    fail_alloc_arm(&node->memory, 1 + (size_t)below(60), below(4) == 0);
    net_run(the.network, below(100) * NET_MS);
    fail_alloc_arm(&node->memory, 0, false);
}

static void break_something(void)
{
    size_t i = 1 + (size_t)below(the.nodes - 1);
    net_node *node = &the.network->nodes[i];
    switch (below(8)) {
    case 0:
        if (node->up)
            net_cut(node->up);
        break;
    case 4:
        if (node->up)
            leave(node->up, (int)below(2));
        break;
    case 5:
    case 6:
        run_out_of_memory(&the.network->nodes[below(the.nodes)]);
        break;
    case 1:
        if (node->up)
            node->up->cut_after[below(2)] = node->up->written[0] + below(2000);
        break;
    case 2:
        if (node->up)
            node->up->stalled[below(2)] = true;
        break;
    case 3:
        node->wall_offset_ns = (int64_t)below(7200 * NET_S) - 3600 * (int64_t)NET_S;
        break;
    default:
        node = &the.network->nodes[below(the.nodes)];
        for (size_t k = 0; k < WATCHERS; k++)
            if (the.watcher_slots[k].used && the.watcher_slots[k].node == node)
                end_watcher(k);
        for (size_t k = 0; k < EXPOSERS; k++)
            if (the.exposer_slots[k].used && the.exposer_slots[k].node == node)
                end_exposer(k);
        net_restart(node);
        break;
    }
}

static void reconnect(bool all)
{
    for (size_t i = 1; i < the.nodes; i++) {
        net_pipe *pipe = the.network->nodes[i].up;
        if (pipe && all) {
            pipe->stalled[0] = pipe->stalled[1] = false;
            pipe->cut_after[0] = pipe->cut_after[1] = UINT64_MAX;
        }
        if (!pipe && (all || below(3) == 0))
            connect_child(i);
    }
}

static void users_turn(void)
{
    for (size_t i = 0; i < WATCHERS; i++)
        if (the.watcher_slots[i].used && below(3))
            watch(&the.watchers[i]);
    for (size_t i = 0; i < EXPOSERS; i++)
        if (the.exposer_slots[i].used && below(3))
            expose_turn(&the.exposers[i]);
}

/* -- What must hold once the faults have stopped -- */

static void check_object(int object, unsigned long long seed)
{
    const char *name = object_names[object];
    exposed_object *chosen = NULL;
    unsigned sinks = 0, candidates = 0, observers = 0, mentions = 0;
    for (size_t i = 0; i < EXPOSERS; i++) {
        if (!slot_covers(&the.exposer_slots[i], object))
            continue;
        candidates++;
        mentions += the.exposer_slots[i].object >= 0;
        exposed_object *held = exposed(&the.exposers[i], name);
        if (held && held->sink) {
            sinks++;
            chosen = held;
        }
    }
    for (size_t i = 0; i < WATCHERS; i++)
        if (slot_covers(&the.watcher_slots[i], object)) {
            observers++;
            mentions += the.watcher_slots[i].object >= 0;
        }
    unsigned expected = candidates && observers && mentions;
    ck_assert_msg(sinks == expected, "seed %llu: %s has %u open sinks, not %u", seed, name, sinks,
                  expected);
    for (size_t i = 0; i < WATCHERS; i++) {
        if (!slot_covers(&the.watcher_slots[i], object))
            continue;
        const seen_object *shown = watched(&the.watchers[i], name);
        bool is_open = shown && shown->open;
        ck_assert_msg(is_open == (mentions > 0), "seed %llu: watcher %zu on node %zu %s %s", seed,
                      i, (size_t)(the.watcher_slots[i].node - the.network->nodes),
                      is_open ? "still sees" : "does not see", name);
        if (!chosen)
            continue;
        if (strcmp(shown->text, chosen->sent) != 0 || shown->freshness != HAKUBAN_LIVE)
            net_show(the.network);
        ck_assert_msg(strcmp(shown->text, chosen->sent) == 0,
                      "seed %llu: watcher %zu on node %zu sees %s of %s, the exposer sent %s", seed,
                      i, (size_t)(the.watcher_slots[i].node - the.network->nodes), shown->text,
                      name, chosen->sent);
        ck_assert_msg(shown->freshness == HAKUBAN_LIVE && shown->source == HAKUBAN_SOURCE_ASSIGNED,
                      "seed %llu: watcher %zu on node %zu sees %s of %s as %d from %d", seed, i,
                      (size_t)(the.watcher_slots[i].node - the.network->nodes), shown->text, name,
                      (int)shown->freshness, (int)shown->source);
    }
}

static void play_history(uint64_t seed)
{
    memset(&the, 0, sizeof the);
    the.network = net_new(seed);
    the.nodes = 2 + (size_t)below(8);
    if (below(2))
        the.network->chunk_bytes_max = 1 + (size_t)below(50);
    for (size_t i = 0; i < the.nodes; i++) {
        net_add(the.network)->wall_offset_ns = (int64_t)below(20 * NET_S) - 10 * (int64_t)NET_S;
        the.parent[i] = i ? (size_t)below(i) : 0;
    }
    bool faults = below(4) != 0;
    reconnect(true);
    for (int i = 0; i < STEPS; i++) {
        switch (below(faults ? 8 : 6)) {
        case 0:
        case 1:
            toggle_watcher();
            break;
        case 2:
            toggle_exposer();
            break;
        case 3:
        case 4:
            send_something();
            break;
        case 5:
            change_capacities(0);
            break;
        case 6:
            break_something();
            break;
        default:
            reconnect(false);
            break;
        }
        if (below(2))
            users_turn();
        if (below(4))
            net_run(the.network, below(below(10) ? 50 : 3000) * NET_MS);
    }
    reconnect(true);
    change_capacities(1);
    for (int i = 0; i < 60; i++) {
        net_run(the.network, 100 * NET_MS);
        reconnect(true); /* what was cut while healing */
        for (size_t k = 0; k < EXPOSERS; k++)
            if (the.exposer_slots[k].used)
                expose_turn(&the.exposers[k]);
    }
    /* In half of all histories nobody says anything new: what was said before must have arrived. */
    for (size_t i = 0; seed % 2 && i < EXPOSERS; i++)
        if (the.exposer_slots[i].used) {
            next_text(&the.exposers[i]);
            expose(&the.exposers[i], the.exposers[i].text);
        }
    net_quiet(the.network);
    for (int i = 0; i < OBJECTS; i++)
        check_object(i, (unsigned long long)seed);
    for (size_t i = 0; i < WATCHERS; i++)
        end_watcher(i);
    for (size_t i = 0; i < EXPOSERS; i++)
        end_exposer(i);
    net_run(the.network, 3 * NET_S);
    for (size_t i = 0; i < the.nodes; i++) {
        hakuban_exchange_stats stats;
        hkb_exchange_count(the.network->nodes[i].exchange, &stats);
        ck_assert_msg(stats.objects == 0 && stats.tags == 0,
                      "seed %llu: node %zu keeps %u objects, %u tags", (unsigned long long)seed, i,
                      (unsigned)stats.objects, (unsigned)stats.tags);
    }
    net_free(the.network);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(random_histories_end_well)
{
    uint64_t first = from_environment("SIM_SEED", 1);
    uint64_t count = from_environment("SIM_SEEDS", getenv("SIM_SEED") ? 1 : 300);
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (getenv("SIM_PROGRESS"))
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        play_history(seed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random histories");
    TCase *cases = tcase_create("histories");
    tcase_set_timeout(cases, (double)from_environment("SIM_SECONDS", 110));
    tcase_add_test(cases, random_histories_end_well);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
