/* Which exposer has which object, over time: full subtrees say so and others are chosen; load
 * spreads, comes to rest, and follows exposers that join, leave and drain. All in virtual time. */
#include "exchange/records.h"
#include "lone_exchange.h"
#include "users.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define TAG "\"job\""
#define CROWD_MAX 64

/* Observers of numbered objects, all in one node. */
typedef struct crowd {
    size_t count;
    watcher watchers[CROWD_MAX];
} crowd;

static crowd wanted;
static exposer workers[8];

static const char *job(size_t number)
{
    static char name[16];
    snprintf(name, sizeof(name), "%zu", number);
    return name;
}

static void want(net_node *node, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        watch_object(&wanted.watchers[wanted.count + i], node, job(wanted.count + i), TAG);
    }
    wanted.count += count;
}

static void want_no_more(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        watch_end(&wanted.watchers[i]);
    }
}

static size_t served(void)
{
    size_t live = 0;
    for (size_t i = 0; i < wanted.count; i++) {
        watch(&wanted.watchers[i]);
        live += wanted.watchers[i].count && wanted.watchers[i].objects[0].freshness == HAKUBAN_LIVE;
    }
    return live;
}

static void setup(void)
{
    memset(&wanted, 0, sizeof(wanted));
    memset(workers, 0, sizeof(workers));
}

static void play(net *network, uint64_t duration_ns, size_t worker_count)
{
    for (uint64_t ns = 0; ns < duration_ns; ns += 50 * NET_MS) {
        net_run(network, 50 * NET_MS);
        for (size_t i = 0; i < worker_count; i++) {
            expose_turn(&workers[i]);
        }
    }
}

static void work(size_t index, net_node *node, uint32_t capacity)
{
    expose_tag(&workers[index], node, TAG, capacity);
    expose(&workers[index], "[1]");
}

static size_t sink_count(size_t worker_count)
{
    size_t count = 0;
    for (size_t i = 0; i < worker_count; i++) {
        count += workers[i].open_count;
    }
    return count;
}

static unsigned opens(size_t worker_count)
{
    unsigned count = 0;
    for (size_t i = 0; i < worker_count; i++) {
        for (size_t k = 0; k < workers[i].count; k++) {
            count += workers[i].objects[k].opens;
        }
    }
    return count;
}

static net_node *below(net_node *parent, const char *params)
{
    net_node *node = net_add(parent->network);
    net_connect(node, parent, params);
    return node;
}

static void finish(net *network, size_t worker_count)
{
    for (size_t i = 0; i < worker_count; i++) {
        expose_end(&workers[i]);
    }
    net_free(network);
}

static size_t object_count(net_node *node)
{
    hakuban_exchange_stats stats;
    hkb_exchange_count(net_enter(node), &stats);
    return stats.objects;
}

static uint64_t bytes_on_wires(const net *network)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < network->pipe_count; i++) {
        bytes += network->pipes[i]->written[0] + network->pipes[i]->written[1];
    }
    return bytes;
}

/* -- Declining -- */

START_TEST(a_full_subtree_starves_no_observer)
{
    net *network = net_new((uint64_t)_i);
    net_node *root = net_add(network), *hubs[2], *user = below(root, NULL);
    for (int i = 0; i < 2; i++) {
        hubs[i] = below(root, NULL);
        if (_i) {
            hubs[i] = below(hubs[i], NULL); /* a level more */
        }
    }
    work(0, below(hubs[0], "load-limit=2"), 1);
    work(1, below(hubs[1], NULL), 1);
    net_quiet(network);
    want(user, 10);
    play(network, 5 * NET_S, 2);
    ck_assert_uint_eq(served(), 10);
    ck_assert_uint_eq(workers[0].open_count, 2);
    ck_assert_uint_eq(workers[1].open_count, 8);
    unsigned opened = opens(2);
    play(network, 50 * NET_S, 2);
    ck_assert_uint_eq(opens(2), opened);
    want_no_more(0, 10);
    finish(network, 2);
}
END_TEST

START_TEST(observers_inside_a_full_subtree_are_served_from_elsewhere)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *hub = below(root, NULL);
    work(0, below(hub, "load-limit=1"), 1);
    work(1, below(root, NULL), 1);
    want(below(hub, NULL), 4);
    play(network, 5 * NET_S, 2);
    ck_assert_uint_eq(served(), 4);
    ck_assert_uint_eq(workers[0].open_count, 1);
    ck_assert_uint_eq(workers[1].open_count, 3);
    unsigned opened = opens(2);
    play(network, 30 * NET_S, 2);
    ck_assert_uint_eq(opens(2), opened);
    want_no_more(0, 4);
    finish(network, 2);
}
END_TEST

/* An observer that also exposes with capacity 0 counts as an observer. */
START_TEST(an_exposer_without_capacity_is_served_by_another)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *drained = below(root, NULL);
    work(0, drained, 0);
    work(1, below(root, NULL), 1);
    want(drained, 3);
    play(network, 3 * NET_S, 2);
    ck_assert_uint_eq(served(), 3);
    ck_assert_uint_eq(workers[1].open_count, 3);
    want_no_more(0, 3);
    finish(network, 2);
}
END_TEST

START_TEST(where_all_are_full_no_exposer_is_chosen_and_nothing_is_said)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL);
    for (size_t i = 0; i < 2; i++) {
        work(i, below(below(root, NULL), "load-limit=2"), 1);
    }
    net_quiet(network);
    want(user, 20);
    play(network, 5 * NET_S, 2);
    ck_assert_uint_eq(served(), 4);
    uint64_t bytes = bytes_on_wires(network);
    unsigned opened = opens(2);
    play(network, 50 * NET_S, 2);
    ck_assert_uint_eq(served(), 4);
    ck_assert_uint_eq(opens(2), opened);
    /* Keep-alive only. */
    ck_assert_uint_lt(bytes_on_wires(network) - bytes, 500);
    /* Later each is tried again once in a minute, not more. */
    bytes = bytes_on_wires(network);
    play(network, 180 * NET_S, 2);
    ck_assert_uint_eq(opens(2), opened);
    ck_assert_uint_lt(bytes_on_wires(network) - bytes, 16 * 4 * 300);
    want_no_more(0, 20);
    finish(network, 2);
}
END_TEST

START_TEST(room_that_comes_back_is_used)
{
    net *network = net_new((uint64_t)_i);
    net_node *root = net_add(network), *user = below(root, NULL), *hub = below(root, NULL);
    if (_i) {
        hub = below(below(hub, NULL), NULL);
    }
    work(0, below(hub, "load-limit=4"), 1);
    net_quiet(network);
    want(user, 12);
    play(network, 5 * NET_S, 1);
    ck_assert_uint_eq(served(), 4);
    /* Some are not wanted any more: others take their places, no more than there are. */
    size_t gone = 0;
    for (size_t i = 0; i < 12 && gone < 2; i++) {
        if (wanted.watchers[i].objects[0].freshness == HAKUBAN_LIVE) {
            watch_end(&wanted.watchers[i]);
            wanted.watchers[i] = wanted.watchers[11 - gone];
            gone++;
            wanted.count--;
        }
    }
    ck_assert_uint_eq(gone, 2);
    play(network, 6 * NET_S, 1);
    ck_assert_uint_eq(served(), 4);
    ck_assert_uint_eq(workers[0].open_count, 4);
    /* Another worker joins below the same hub: everything is served. */
    work(1, below(hub, NULL), 1);
    play(network, 6 * NET_S, 2);
    ck_assert_uint_eq(served(), 10);
    want_no_more(0, 10);
    finish(network, 2);
}
END_TEST

START_TEST(a_rising_limit_lets_in_what_was_declined)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL), *hub = below(root, NULL);
    work(0, below(hub, "load-limit=2:2-10:10"), 1);
    net_quiet(network);
    want(user, 10);
    for (int second = 1; second <= 14; second++) {
        play(network, NET_S, 1);
        ck_assert_uint_le(workers[0].open_count, second < 10 ? (unsigned)second + 1 : 10);
    }
    ck_assert_uint_eq(served(), 10);
    want_no_more(0, 10);
    finish(network, 1);
}
END_TEST

/* A worker whose limit is 0 for two seconds, then 5, and rises to 7 at five. */
#define RISING "load-limit=2:0-2:5-5:7"

typedef struct rising_case {
    bool rust_leaf, rust_hubs; /* the dialect of the links */
    unsigned depth;            /* hubs between the root and the worker */
} rising_case;
static const rising_case rising_cases[] = {
    {false, false, 0}, {false, false, 1}, {false, false, 2}, {false, false, 4}, {true, false, 0},
    {true, false, 1},  {true, false, 2},  {true, true, 1},   {true, true, 2},
};

static net_node *below_in(net_node *parent, bool rust, const char *params)
{
    net_node *node = net_add(parent->network);
    if (rust) {
        net_connect_rust(node, parent, params);
    } else {
        net_connect(node, parent, params);
    }
    return node;
}

/* In a star: the jobs are wanted below another spoke. */
START_TEST(room_that_a_rising_limit_gives_is_used_when_it_appears)
{
    const rising_case *at = &rising_cases[_i];
    net *network = net_new((uint64_t)_i);
    net_node *root = net_add(network), *hub = root;
    net_node *user = below(below_in(root, at->rust_hubs, NULL), NULL);
    for (unsigned i = 0; i < at->depth; i++) {
        hub = below_in(hub, at->rust_hubs, NULL);
    }
    net_quiet(network);
    want(user, 10);
    work(0, below_in(hub, at->rust_leaf, RISING), 1);
    play(network, 1900 * NET_MS, 1);
    ck_assert_uint_eq(workers[0].open_count, 0);
    play(network, 400 * NET_MS, 1);
    ck_assert_uint_eq(workers[0].open_count, 5);
    play(network, 1100 * NET_MS, 1);
    ck_assert_uint_eq(workers[0].open_count, 5);
    play(network, 400 * NET_MS, 1);
    ck_assert_uint_eq(workers[0].open_count, 6);
    play(network, 1500 * NET_MS, 1);
    ck_assert_uint_eq(workers[0].open_count, 7);
    ck_assert_uint_eq(served(), 7);
    unsigned opened = opens(1);
    play(network, 10 * NET_S, 1);
    ck_assert_uint_eq(opens(1), opened);
    want_no_more(0, 10);
    finish(network, 1);
}
END_TEST

START_TEST(a_decline_is_forgotten_where_the_object_has_no_observer)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL), *hub = below(root, NULL);
    work(0, below(hub, "load-limit=1"), 1);
    net_quiet(network);
    want(user, 10);
    play(network, 3 * NET_S, 1);
    want_no_more(0, 10);
    net_run(network, 70 * NET_S);
    ck_assert_uint_eq(object_count(root), 0);
    ck_assert_uint_eq(object_count(hub), 0);
    finish(network, 1);
}
END_TEST

/* An exposer that observes its object itself would serve itself, at its limit or not. Where no
 * exposer has room, one of them serves all, so that there are not two exposers, nor observers
 * without one. */
START_TEST(where_all_are_at_their_limit_one_that_observes_serves_all)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL);
    watcher own[2];
    for (size_t i = 0; i < 2; i++) {
        net_node *hub = below(root, "load-limit=0"), *node = below(hub, NULL);
        work(i, node, 1);
        watch_object(&own[i], node, job(0), TAG);
    }
    play(network, 2 * NET_S, 2);
    ck_assert_uint_eq(sink_count(2), 1);
    want(user, 2); /* no exposer has room for the second one */
    play(network, 5 * NET_S, 2);
    ck_assert_uint_eq(sink_count(2), 1);
    ck_assert_uint_eq(served(), 1);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(watched(&own[i], job(0))->freshness, HAKUBAN_LIVE);
        watch_end(&own[i]);
    }
    want_no_more(0, 2);
    finish(network, 2);
}
END_TEST

/* The exposer that a subtree was declined for goes away: the subtree has room by then and takes
 * over. */
START_TEST(a_hub_that_declined_takes_over_once_it_has_room)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL), *hub = below(root, NULL);
    net_node *other = below(root, NULL);
    work(0, below(hub, "load-limit=2"), 1);
    work(1, other, 1);
    net_quiet(network);
    want(user, 6);
    play(network, 4 * NET_S, 2);
    ck_assert_uint_eq(served(), 6);
    work(2, below(hub, NULL), 1);
    play(network, 3 * NET_S, 3);
    expose_end(&workers[1]);
    workers[1] = workers[2];
    play(network, 4 * NET_S, 2);
    ck_assert_uint_eq(sink_count(2), 6);
    ck_assert_uint_eq(served(), 6);
    want_no_more(0, 6);
    finish(network, 2);
}
END_TEST

/* -- Equals -- */

static void change_capacity(exposer *worker, uint32_t capacity)
{
    net_node *node = worker->contract.node;
    net_enter(node);
    ck_assert_int_eq(hkb_contract_set_capacity(worker->contract.contract, capacity), HAKUBAN_OK);
    hkb_exchange_settle(node->exchange);
    net_quiet(node->network);
}

static void join(size_t index, net_node *node, bool by_tag)
{
    if (by_tag) {
        expose_tag(&workers[index], node, TAG, 1);
    } else {
        expose_object(&workers[index], node, job(0), TAG, 1);
    }
    net_quiet(node->network);
}

static void assert_chosen(net *network, net_node *user, size_t index)
{
    want(user, 1);
    play(network, 2 * NET_S, 2);
    ck_assert_uint_eq(workers[index].open_count, 1);
    ck_assert_uint_eq(workers[1 - index].open_count, 0);
    want_no_more(0, 1);
    wanted.count = 0;
    play(network, 2 * NET_S, 2);
    ck_assert_uint_eq(sink_count(2), 0);
}

/* However often it changes its capacity. The loop's number: one router or a star of routers, by the
 * object or by a tag. */
START_TEST(of_two_equal_exposers_the_older_is_chosen)
{
    bool star = _i & 1, by_tag = _i & 2;
    net *network = net_new((uint64_t)_i);
    net_node *root = net_add(network), *nodes[3];
    for (size_t i = 0; i < 3; i++) {
        nodes[i] = below(star ? below(root, NULL) : root, NULL);
    }
    net_quiet(network);
    join(1, nodes[1], by_tag);
    join(0, nodes[0], by_tag);
    assert_chosen(network, nodes[2], 1);
    change_capacity(&workers[1], 0);
    change_capacity(&workers[1], 1);
    assert_chosen(network, nodes[2], 1);
    expose_end(&workers[1]);
    net_quiet(network);
    join(1, nodes[1], by_tag);
    assert_chosen(network, nodes[2], 0);
    finish(network, 2);
}
END_TEST

/* -- Spreading -- */

#define JOBS 2000
#define POOL_MAX 24

typedef struct pool_worker {
    net_contract contract;
    net_pipe *pipe;
    uint32_t capacity;
    size_t has; /* sinks now */
    unsigned given;
} pool_worker;

static pool_worker pool[POOL_MAX];
static size_t pool_count;
static net_contract jobs[JOBS];

static void pool_setup(void)
{
    memset(pool, 0, sizeof(pool));
    pool_count = 0;
}

static void want_jobs(net_node *node)
{
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = net_observe(node, job(i), TAG);
    }
}

static void pool_join(net_node *hub, size_t count, uint32_t capacity)
{
    for (size_t i = 0; i < count; i++) {
        net_node *node = net_add(hub->network);
        pool_worker *worker = &pool[pool_count++];
        worker->pipe = net_connect(node, hub, NULL);
        worker->contract = net_expose_tag(node, TAG, capacity);
        worker->capacity = capacity;
    }
}

static void pool_turn(pool_worker *worker)
{
    hakuban_event event;
    while (worker->contract.contract && net_next(&worker->contract, &event)) {
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            worker->has++;
            worker->given++;
            (void)net_send(worker->contract.node, event.sink, "1");
        } else if (event.kind == HAKUBAN_EVENT_SINK_CLOSE) {
            worker->has--;
        }
        hkb_event_done(&event);
    }
}

static void pool_play(net *network, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        net_run(network, 100 * NET_MS);
        for (size_t k = 0; k < pool_count; k++) {
            pool_turn(&pool[k]);
        }
    }
}

static void pool_leave(size_t index)
{
    net_end(&pool[index].contract);
    pool[index].capacity = 0;
    pool[index].has = 0;
}

static void set_capacity(size_t index, uint32_t capacity)
{
    net_node *node = pool[index].contract.node;
    net_enter(node);
    ck_assert_int_eq(hkb_contract_set_capacity(pool[index].contract.contract, capacity),
                     HAKUBAN_OK);
    hkb_exchange_settle(node->exchange);
    pool[index].capacity = capacity;
}

static unsigned pool_given(void)
{
    unsigned given = 0;
    for (size_t i = 0; i < pool_count; i++) {
        given += pool[i].given;
    }
    return given;
}

/* Each exposer has the share of its capacity within a tenth, and nothing moves any more. */
static void assert_spread(net *network)
{
    uint64_t capacity = 0;
    size_t sum = 0;
    for (size_t i = 0; i < pool_count; i++) {
        capacity += pool[i].capacity;
        sum += pool[i].has;
    }
    ck_assert_uint_eq(sum, JOBS);
    for (size_t i = 0; i < pool_count; i++) {
        double ideal = (double)JOBS * pool[i].capacity / (double)capacity;
        double off = (double)pool[i].has - ideal;
        ck_assert_msg((off < 0 ? -off : off) <= ideal / 10,
                      "worker %zu of capacity %u has %zu, ideal were %.1f", i, pool[i].capacity,
                      pool[i].has, ideal);
    }
    unsigned given = pool_given();
    pool_play(network, 30);
    ck_assert_uint_eq(pool_given(), given);
}

static void pool_finish(net *network)
{
    for (size_t i = 0; i < pool_count; i++) {
        if (pool[i].contract.contract) {
            net_end(&pool[i].contract);
        }
    }
    for (size_t i = 0; i < JOBS; i++) {
        net_end(&jobs[i]);
    }
    net_free(network);
}

START_TEST(twenty_workers_share_two_thousand_jobs)
{
    static const uint32_t capacities[] = {1, 10, 1000};
    net *network = net_new((uint64_t)_i);
    net_node *root = net_add(network);
    want_jobs(below(root, NULL));
    if (_i % 2) { /* one first, which has everything for a while */
        pool_join(root, 1, capacities[_i / 2]);
        pool_play(network, 2);
    }
    pool_join(root, 20 - pool_count, capacities[_i / 2]);
    pool_play(network, 5);
    assert_spread(network);
    /* No job had to move twice. */
    ck_assert_uint_le(pool_given(), JOBS + (_i % 2 ? JOBS : 0));
    pool_finish(network);
}
END_TEST

/* How often something is due at node in the time, by steps of 50 ms. */
static unsigned count_due(net_node *node, uint64_t duration_ns)
{
    net *network = node->network;
    unsigned due = 0;
    for (uint64_t ns = 0; ns < duration_ns; ns += 50 * NET_MS) {
        due += net_due_ns(node) < network->now_ns + 50 * NET_MS;
        net_run(network, 50 * NET_MS);
    }
    return due;
}

/* However many jobs are shared, and however many more wait for room: only keep-alives are due. */
START_TEST(at_rest_nothing_is_looked_at)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *hub = below(root, NULL), *idle = net_add(network);
    net_connect(idle, root, NULL);
    want_jobs(below(root, NULL));
    pool_join(root, 4, 1);
    pool_join(hub, 3, 1);
    work(0, below(hub, "load-limit=2"), 1);
    watcher other;
    exposer full;
    expose_object(&full, below(root, "load-limit=0"), "\"full\"", TAG, 1);
    watch_object(&other, idle, "\"full\"", TAG);
    pool_play(network, 10);
    unsigned alone = count_due(idle, 60 * NET_S);
    ck_assert_uint_lt(alone, 60);
    ck_assert_uint_le(count_due(root, 60 * NET_S), 9 * alone);
    ck_assert_uint_le(count_due(hub, 60 * NET_S), 6 * alone);
    watch_end(&other);
    expose_end(&full);
    expose_end(&workers[0]);
    pool_finish(network);
}
END_TEST

START_TEST(jobs_follow_workers_that_join_and_leave)
{
    net *network = net_new(1);
    net_node *root = net_add(network);
    want_jobs(below(root, NULL));
    pool_join(root, 10, 1);
    pool_play(network, 5);
    assert_spread(network);
    pool_join(root, 10, 1);
    pool_play(network, 5);
    assert_spread(network);
    for (size_t i = 0; i < 5; i++) {
        pool_leave(i * 2);
    }
    pool_play(network, 5);
    assert_spread(network);
    for (size_t i = 0; i < 2; i++) {
        net_cut(pool[11 + i].pipe); /* without a word */
        pool[11 + i].capacity = 0;
    }
    pool_play(network, 6);
    pool[11].has = pool[12].has = 0;
    assert_spread(network);
    pool_finish(network);
}
END_TEST

START_TEST(weights_are_followed_also_when_they_change)
{
    net *network = net_new(1);
    net_node *root = net_add(network);
    want_jobs(below(root, NULL));
    for (uint32_t i = 0; i < 20; i++) {
        pool_join(root, 1, 1u << i % 3);
    }
    pool_play(network, 5);
    assert_spread(network);
    for (uint32_t i = 0; i < 20; i++) {
        set_capacity(i, 1 + (i * 7) % 5);
    }
    pool_play(network, 10);
    assert_spread(network);
    pool_finish(network);
}
END_TEST

START_TEST(jobs_spread_through_hubs_of_any_size)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *small = below(root, NULL), *large = below(root, NULL);
    net_node *deep = below(large, NULL);
    want_jobs(below(root, NULL));
    pool_join(small, 2, 1);
    pool_join(large, 4, 1);
    pool_join(deep, 12, 1);
    pool_join(root, 2, 1);
    pool_play(network, 10);
    assert_spread(network);
    /* And after some have joined at one side only. */
    pool_join(small, 4, 1);
    pool_play(network, 10);
    assert_spread(network);
    pool_finish(network);
}
END_TEST

START_TEST(a_draining_exposer_keeps_nothing_that_another_can_take)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *hub = _i ? below(root, NULL) : root;
    want_jobs(below(root, NULL));
    pool_join(hub, 3, 1);
    pool_play(network, 5);
    assert_spread(network);
    set_capacity(0, 0);
    pool_play(network, 5);
    ck_assert_uint_eq(pool[0].has, 0);
    assert_spread(network);
    set_capacity(1, 0);
    pool_play(network, 5);
    ck_assert_uint_eq(pool[2].has, JOBS);
    /* No other exposer is left: it keeps its objects. */
    set_capacity(2, 0);
    pool_play(network, 5);
    ck_assert_uint_eq(pool[2].has, JOBS);
    set_capacity(0, 1);
    pool_play(network, 5);
    ck_assert_uint_eq(pool[0].has, JOBS);
    ck_assert_uint_eq(pool[2].has, 0);
    pool_finish(network);
}
END_TEST

/* A draining exposer that is the only observer of its jobs gives them away as well, at once and
 * without a gap. */
START_TEST(a_draining_exposer_is_served_by_another_without_a_gap)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *hub = _i ? below(root, NULL) : root;
    net_node *drained = below(hub, NULL);
    work(0, drained, 1);
    want(drained, 4);
    play(network, NET_S, 1);
    work(1, below(root, NULL), 1);
    play(network, NET_S, 2);
    ck_assert_uint_eq(workers[0].open_count, 4);
    ck_assert_uint_eq(served(), 4);
    net_enter(drained);
    ck_assert_int_eq(hkb_contract_set_capacity(workers[0].contract.contract, 0), HAKUBAN_OK);
    hkb_exchange_settle(drained->exchange);
    for (int i = 0; i < 20; i++) {
        net_run(network, 10 * NET_MS);
        ck_assert_uint_eq(served(), 4); /* before the next one can make up for it */
        expose_turn(&workers[0]);
        expose_turn(&workers[1]);
    }
    ck_assert_uint_eq(workers[0].open_count, 0);
    ck_assert_uint_eq(workers[1].open_count, 4);
    want_no_more(0, 4);
    finish(network, 2);
}
END_TEST

/* No exposer could take the object when its own began to drain, for the other was away: it moves to
 * that one when it is back. */
START_TEST(a_draining_exposer_gives_it_to_one_that_comes_back)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *leaf = below(root, NULL);
    exposer *own = &workers[0], *other = &workers[1];
    want(root, 1);
    expose_object(own, root, job(0), TAG, 1);
    expose(own, "[1]");
    expose_object(other, leaf, job(0), TAG, 1);
    expose(other, "[2]");
    play(network, NET_S, 2);
    ck_assert_uint_eq(own->open_count, 1);
    net_cut(leaf->up);
    net_enter(root);
    ck_assert_int_eq(hkb_contract_set_capacity(own->contract.contract, 0), HAKUBAN_OK);
    hkb_exchange_settle(root->exchange);
    play(network, NET_S, 2);
    ck_assert_uint_eq(own->open_count, 1);
    net_connect(leaf, root, NULL); /* the session goes on */
    play(network, NET_S, 2);
    ck_assert_uint_eq(own->open_count, 0);
    ck_assert_uint_eq(other->open_count, 1);
    want_no_more(0, 1);
    finish(network, 2);
}
END_TEST

/* Observers stay LIVE while an object changes hands, and the new exposer numbers on from the old
 * one. */
START_TEST(a_job_changes_hands_without_a_gap)
{
    net *network = net_new(1);
    net_node *root = net_add(network), *user = below(root, NULL), *hubs[2];
    for (size_t i = 0; i < 2; i++) {
        hubs[i] = below(root, NULL);
    }
    work(0, below(hubs[0], NULL), 1);
    want(user, 8);
    play(network, 2 * NET_S, 1);
    ck_assert_uint_eq(served(), 8);
    work(1, below(hubs[1], NULL), 1);
    expose(&workers[1], "[2]");
    for (int i = 0; i < 100; i++) {
        net_run(network, 20 * NET_MS);
        expose_turn(&workers[0]);
        expose_turn(&workers[1]);
        ck_assert_uint_eq(served(), 8); /* at each moment */
        ck_assert_uint_le(sink_count(2), 8);
    }
    ck_assert_uint_eq(workers[0].open_count, 4);
    ck_assert_uint_eq(workers[1].open_count, 4);
    size_t second = 0;
    for (size_t i = 0; i < 8; i++) {
        second += strcmp(wanted.watchers[i].objects[0].text, "[2]") == 0;
    }
    ck_assert_uint_eq(second, 4);
    want_no_more(0, 8);
    finish(network, 2);
}
END_TEST

/* -- The steps of spreading, counted -- */

static void lone_wants(stranger *user, unsigned count)
{
    stranger_open(user, lone.exchange, false);
    for (unsigned i = 0; i < count; i++) {
        stranger_put(user, "[8,1,0,\"%u\",\"7\"]", i);
    }
    stranger_say(user);
}

static void lone_works(stranger *worker)
{
    stranger_open(worker, lone.exchange, false);
    stranger_put(worker, "[9,2,1,\"7\"]");
    stranger_say(worker);
    lone_pass(0);
}

/* The time comes at which objects may move. */
static void lone_period(void)
{
    lone.now_ns += 2 * HKB_REBALANCE_NS;
    hkb_exchange_set_time(lone.exchange, lone.now_ns, 0);
}

START_TEST(one_that_joins_gets_a_part_of_each_and_then_nothing_more_is_looked_at)
{
    enum { COUNT = 1000, WORKERS = 10, PART = COUNT / (WORKERS + 1) };
    stranger user, strangers[WORKERS + 1];
    hkb_exchange *exchange = lone_begin();
    for (size_t i = 0; i < WORKERS; i++) {
        lone_works(&strangers[i]);
    }
    lone_wants(&user, COUNT);
    lone_pass(3 * LONE_S);
    lone_works(&strangers[WORKERS]);
    lone_period();
    lone_turn();
    ck_assert_uint_eq(exchange->spread_left, 0); /* it had looked at a tenth */
    for (size_t i = 0; i < WORKERS; i++) {
        ck_assert_uint_ge(strangers[i].peer->served_count, PART);
        ck_assert_uint_le(strangers[i].peer->served_count, PART + 1);
    }
    lone_period();
    lone_turn();
    ck_assert_uint_eq(exchange->spread_left, exchange->balanced_count / 10 + 1); /* at none */
    ck_assert(hkb_list_empty(&exchange->spreading));
    for (size_t i = 0; i <= WORKERS; i++) {
        stranger_leave(&strangers[i]);
    }
    stranger_leave(&user);
}
END_TEST

START_TEST(a_tenth_of_very_many_objects_is_looked_at_in_several_turns)
{
    enum { COUNT = 6000, PER_TURN = 256 };
    stranger user, strangers[2];
    hkb_exchange *exchange = lone_begin();
    lone_works(&strangers[0]);
    lone_wants(&user, COUNT);
    lone_pass(3 * LONE_S);
    lone_works(&strangers[1]);
    lone_period();
    size_t moved = strangers[1].peer->served_count; /* as soon as there was a choice */
    for (size_t left = exchange->balanced_count / 10 + 1; left;) {
        ck_assert_uint_le(hkb_exchange_deadline(exchange), lone.now_ns);
        lone_turn();
        size_t looks = left < PER_TURN ? left : PER_TURN;
        left -= looks;
        moved += looks;
        ck_assert_uint_eq(exchange->spread_left, left);
        ck_assert_uint_eq(strangers[1].peer->served_count, moved);
    }
    ck_assert_uint_gt(hkb_exchange_deadline(exchange), lone.now_ns);
    lone_pass(3 * LONE_S);
    ck_assert_uint_eq(strangers[1].peer->served_count, COUNT / 2);
    stranger_leave(&strangers[0]);
    stranger_leave(&strangers[1]);
    stranger_leave(&user);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("balance");
    TCase *tcase = tcase_create("declining");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_full_subtree_starves_no_observer, 0, 2);
    tcase_add_test(tcase, observers_inside_a_full_subtree_are_served_from_elsewhere);
    tcase_add_test(tcase, an_exposer_without_capacity_is_served_by_another);
    tcase_add_test(tcase, where_all_are_full_no_exposer_is_chosen_and_nothing_is_said);
    tcase_add_loop_test(tcase, room_that_comes_back_is_used, 0, 2);
    tcase_add_test(tcase, a_rising_limit_lets_in_what_was_declined);
    tcase_add_loop_test(tcase, room_that_a_rising_limit_gives_is_used_when_it_appears, 0,
                        (int)HKB_COUNT(rising_cases));
    tcase_add_test(tcase, a_decline_is_forgotten_where_the_object_has_no_observer);
    tcase_add_test(tcase, where_all_are_at_their_limit_one_that_observes_serves_all);
    tcase_add_test(tcase, a_hub_that_declined_takes_over_once_it_has_room);
    tcase_add_loop_test(tcase, of_two_equal_exposers_the_older_is_chosen, 0, 4);
    suite_add_tcase(suite, tcase);
    TCase *spreading = tcase_create("spreading");
    tcase_add_checked_fixture(spreading, setup, NULL);
    tcase_add_checked_fixture(spreading, pool_setup, NULL);
    tcase_set_timeout(spreading, 240);
    tcase_add_loop_test(spreading, twenty_workers_share_two_thousand_jobs, 0, 6);
    tcase_add_test(spreading, at_rest_nothing_is_looked_at);
    tcase_add_test(spreading, jobs_follow_workers_that_join_and_leave);
    tcase_add_test(spreading, weights_are_followed_also_when_they_change);
    tcase_add_test(spreading, jobs_spread_through_hubs_of_any_size);
    tcase_add_loop_test(spreading, a_draining_exposer_keeps_nothing_that_another_can_take, 0, 2);
    tcase_add_loop_test(spreading, a_draining_exposer_is_served_by_another_without_a_gap, 0, 2);
    tcase_add_test(spreading, a_draining_exposer_gives_it_to_one_that_comes_back);
    tcase_add_test(spreading, a_job_changes_hands_without_a_gap);
    suite_add_tcase(suite, spreading);
    TCase *steps = lone_cases();
    tcase_add_test(steps, one_that_joins_gets_a_part_of_each_and_then_nothing_more_is_looked_at);
    tcase_add_test(steps, a_tenth_of_very_many_objects_is_looked_at_in_several_turns);
    suite_add_tcase(suite, steps);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
