/* What the tests of the Rust implementation pin, for our own exchanges: one test per row of its
 * list that applies to them. Each routed one is played on one router, on a router below another,
 * and with a router for each user below one root; once with links of ours, once with users of the
 * Rust dialect, and once with nothing else. Where ours means to differ (delivery per
 * contract, the last known state kept for observers) the test says what ours does. */
#include "exchange/lifetimes.h"
#include "exchange/newest.h"
#include "users.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""
#define USERS 3

typedef enum shape { SINGLE_ROUTER, TWO_STACKED_ROUTERS, STAR_OF_ROUTERS, SHAPES } shape;

enum { ALL_NATIVE, RUST_USERS, ALL_RUST, DIALECTS };

typedef struct routed {
    net *network;
    int dialects;
    net_node *root, *router[USERS], *user[USERS];
    net_pipe *pipe[USERS];
} routed;

static void connect_user(routed *at, int user, const char *params)
{
    char all[128];
    snprintf(all, sizeof(all), "grace=0%s%s", params ? "," : "", params ? params : "");
    at->pipe[user] = at->dialects == ALL_NATIVE
                         ? net_connect(at->user[user], at->router[user], all)
                         : net_connect_rust(at->user[user], at->router[user], all);
}

static void connect_router(const routed *at, net_node *router)
{
    if (at->dialects == ALL_RUST) {
        net_connect_rust(router, at->root, NULL);
    } else {
        net_connect(router, at->root, "grace=0");
    }
}

static routed routed_unconnected(int loop)
{
    shape form = (shape)(loop % SHAPES);
    routed at = {.network = net_new((uint64_t)loop), .dialects = loop / SHAPES % DIALECTS};
    at.root = net_add(at.network);
    net_node *shared = at.root;
    if (form == TWO_STACKED_ROUTERS) {
        shared = net_add(at.network);
        connect_router(&at, shared);
    }
    for (int i = 0; i < USERS; i++) {
        at.router[i] = shared;
        if (form == STAR_OF_ROUTERS) {
            at.router[i] = net_add(at.network);
            connect_router(&at, at.router[i]);
        }
        at.user[i] = net_add(at.network);
    }
    net_quiet(at.network);
    return at;
}

static routed routed_new(int loop)
{
    routed at = routed_unconnected(loop);
    for (int i = 0; i < USERS; i++) {
        connect_user(&at, i, NULL);
    }
    net_quiet(at.network);
    return at;
}

/* Lets exposers answer and everything arrive. */
static void play(net *network, exposer *one, exposer *two)
{
    for (int i = 0; i < 6; i++) {
        net_run(network, 10 * NET_MS);
        if (one) {
            expose_turn(one);
        }
        if (two) {
            expose_turn(two);
        }
    }
    net_quiet(network);
}

/* The same over some seconds, for what rebalancing does. */
static void play_seconds(net *network, int seconds, exposer *one, exposer *two)
{
    for (int i = 0; i < seconds * 10; i++) {
        net_run(network, 100 * NET_MS);
        if (one) {
            expose_turn(one);
        }
        if (two) {
            expose_turn(two);
        }
    }
}

static void assert_shows(watcher *user, const char *text, hakuban_freshness freshness)
{
    const seen_object *shown = watched(user, OBJECT);
    ck_assert_ptr_nonnull(shown);
    ck_assert(shown->open);
    ck_assert_str_eq(shown->text, text);
    ck_assert_int_eq(shown->freshness, freshness);
}

static void assert_open(watcher *user, bool open)
{
    const seen_object *shown = watched(user, OBJECT);
    ck_assert(open ? shown && shown->open : !shown || !shown->open);
}

/* -- States and ends -- */

START_TEST(routed_object_object_desynchronize_on_sink_drop)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    expose(&producer, "[2]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[2]", HAKUBAN_LIVE);
    expose_end(&producer);
    play(at.network, NULL, NULL);
    assert_shows(&observer, "[2]", HAKUBAN_STALE);
    watch_end(&observer);
    net_quiet(at.network);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(producer.open_count, 0);
    expose_end(&producer);
    net_free(at.network);
}
END_TEST

static void assert_format(watcher *user, const char *format, const char *text)
{
    hakuban_event event;
    hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
    watch(user);
    net_enter(user->contract.node);
    ck_assert_int_eq(hkb_contract_peek(user->contract.contract, descriptor, &event), HAKUBAN_OK);
    ck_assert_ptr_nonnull(event.state);
    ck_assert_uint_eq(event.state->format_count, 1);
    ck_assert_str_eq(hkb_state_format(event.state), format);
    ck_assert_uint_eq(event.state->data_bytes, strlen(text));
    ck_assert_mem_eq(event.state->data, text, strlen(text));
    hkb_event_done(&event);
    hakuban_descriptor_unref(descriptor);
}

START_TEST(routed_object_data_format_change_gets_propagated)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    play(at.network, &producer, NULL);
    hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
    static const char *const formats[] = {"JSON", "other", "other", "JSON"};
    for (int i = 0; i < 4; i++) {
        char text[16];
        hakuban_state *state;
        snprintf(text, sizeof(text), "[%d]", i / 3); /* twice only the format changes */
        hakuban_state_parts parts = {
            .data = text, .data_bytes = strlen(text), .format = &formats[i], .format_count = 1};
        ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
        net_enter(at.user[1]);
        ck_assert_int_eq(hkb_sink_send(sink, state), HAKUBAN_OK);
        hkb_exchange_settle(at.user[1]->exchange);
        hakuban_state_unref(state);
        net_quiet(at.network);
        assert_format(&observer, formats[i], text);
    }
    expose_end(&producer);
    watch_end(&observer);
    net_free(at.network);
}
END_TEST

static void terminate_by_observer_drop(int loop, bool by_tag)
{
    routed at = routed_new(loop);
    watcher observer;
    exposer producer;
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(producer.open_count, 0);
    if (by_tag) {
        watch_tag(&observer, at.user[0], TAG);
    } else {
        watch_object(&observer, at.user[0], OBJECT, TAG);
    }
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(producer.open_count, 1);
    watch_end(&observer);
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(producer.open_count, 0);
    ck_assert_uint_eq(exposed(&producer, OBJECT)->opens, 1);
    expose_end(&producer);
    net_free(at.network);
}

START_TEST(routed_object_object_terminate_by_object_observer_drop)
{
    terminate_by_observer_drop(_i, false);
}
END_TEST

START_TEST(routed_tag_object_terminate_by_tag_observer_drop)
{
    terminate_by_observer_drop(_i, true);
}
END_TEST

START_TEST(routed_object_object_reassignment_on_reobserve)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    watch_end(&observer);
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(exposed(&producer, OBJECT)->closes, 1);
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose(&producer, "[2]");
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(exposed(&producer, OBJECT)->opens, 2);
    assert_shows(&observer, "[2]", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(at.network);
}
END_TEST

START_TEST(routed_object_tag_reassignment_on_reexpose)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_tag(&producer, at.user[1], TAG, 1);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    expose_end(&producer);
    play(at.network, NULL, NULL);
    expose_tag(&producer, at.user[1], TAG, 1);
    expose(&producer, "[2]");
    play(at.network, &producer, NULL);
    ck_assert_uint_eq(producer.open_count, 1);
    assert_shows(&observer, "[2]", HAKUBAN_LIVE);
    ck_assert_uint_eq(observer.objects[0].opens, 1);
    watch_end(&observer);
    expose_end(&producer);
    net_free(at.network);
}
END_TEST

START_TEST(routed_object_tag_reassignment_on_unexpose)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer first, second;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_tag(&first, at.user[1], TAG, 1);
    expose(&first, "[1]");
    play(at.network, &first, NULL);
    expose_tag(&second, at.user[2], TAG, 1);
    expose(&second, "[2]");
    play(at.network, &first, &second);
    ck_assert_uint_eq(first.open_count, 1);
    ck_assert_uint_eq(second.open_count, 0);
    expose_end(&first);
    play(at.network, NULL, &second);
    ck_assert_uint_eq(second.open_count, 1);
    assert_shows(&observer, "[2]", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&second);
    net_free(at.network);
}
END_TEST

START_TEST(routed_object_tag_delivery)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    watch_tag(&observer, at.user[0], TAG);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    play(at.network, &producer, NULL);
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof(text), "[%d]", i);
        expose(&producer, text);
        net_quiet(at.network);
        assert_shows(&observer, text, HAKUBAN_LIVE);
    }
    ck_assert_uint_eq(observer.objects[0].states, 5);
    expose_end(&producer);
    play(at.network, NULL, NULL);
    assert_open(&observer, false);
    watch_end(&observer);
    net_free(at.network);
}
END_TEST

START_TEST(routed_tag_object_delivery)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer producer;
    expose_tag(&producer, at.user[1], TAG, 1);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    watch_object(&observer, at.user[0], OBJECT, TAG);
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    expose(&producer, "[2]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[2]", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(at.network);
}
END_TEST

/* As a program of the Rust implementation drops its sink and keeps its contract. */
static void drop_sink(net_node *node)
{
    hkb_exchange *exchange = net_enter(node);
    hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
    hkb_object_set_condition(hkb_object_find(exchange, descriptor), HAKUBAN_STALE,
                             exchange->now_ns);
    hkb_exchange_settle(exchange);
    hakuban_descriptor_unref(descriptor);
}

START_TEST(routed_known_state_gets_delivered_even_if_exposer_doesnt_exist)
{
    routed at = routed_new(_i);
    watcher observer, late;
    exposer producer;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    drop_sink(at.user[1]);
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_STALE);
    watch_object(&late, at.user[2], OBJECT, TAG);
    play(at.network, NULL, NULL);
    assert_shows(&late, "[1]", HAKUBAN_STALE);
    watch_end(&observer);
    watch_end(&late);
    expose_end(&producer);
    net_free(at.network);
}
END_TEST

/* The same where the contract ends as well: the reference tells a new observer nothing of an object
 * without an exposer. Ours gives the last known state, with its age, for as long as anything
 * observes the object. */
START_TEST(routed_known_state_without_an_exposer)
{
    routed at = routed_new(_i);
    watcher observer, late;
    exposer producer;
    watch_object(&observer, at.user[0], OBJECT, TAG);
    expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    expose_end(&producer);
    play(at.network, NULL, NULL);
    watch_object(&late, at.user[2], OBJECT, TAG);
    play(at.network, NULL, NULL);
    bool native = at.dialects == ALL_NATIVE;
    assert_shows(&late, native ? "[1]" : "", native ? HAKUBAN_STALE : HAKUBAN_NEVER);
    watch_end(&observer);
    watch_end(&late);
    net_free(at.network);
}
END_TEST

/* The reference forgets the data; ours gives the last known state, with its age, for as long as the
 * object is exposed, but to peers of the Rust dialect gives nothing. */
START_TEST(routed_object_object_drop_data_when_object_is_no_more_data_needed)
{
    for (int same = 0; same < 2; same++) { /* whether the observer is the one from before */
        routed at = routed_new(_i);
        watcher observer;
        exposer producer;
        bool native = at.dialects == ALL_NATIVE;
        watch_object(&observer, at.user[0], OBJECT, TAG);
        expose_object(&producer, at.user[1], OBJECT, TAG, 1);
        expose(&producer, "[1]");
        play(at.network, &producer, NULL);
        drop_sink(at.user[1]);
        producer.text[0] = 0; /* it says nothing at first when it gets a sink again */
        play(at.network, &producer, NULL);
        watch_end(&observer);
        net_run(at.network, 400 * NET_MS);
        expose_turn(&producer);
        watch_object(&observer, at.user[same ? 0 : 2], OBJECT, TAG);
        net_run(at.network, NET_S);
        assert_shows(&observer, native ? "[1]" : "", native ? HAKUBAN_STALE : HAKUBAN_NEVER);
        expose_turn(&producer);
        net_run(at.network, NET_S);
        assert_shows(&observer, native ? "[1]" : "", native ? HAKUBAN_STALE : HAKUBAN_NEVER);
        expose(&producer, "[2]");
        play(at.network, &producer, NULL);
        assert_shows(&observer, "[2]", HAKUBAN_LIVE);
        watch_end(&observer);
        expose_end(&producer);
        net_free(at.network);
    }
}
END_TEST

/* -- Within one exchange -- */

START_TEST(object_observe_contract_termination_causes_unassign)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    watcher observer;
    exposer producer;
    watch_object(&observer, node, OBJECT, TAG);
    expose_object(&producer, node, OBJECT, TAG, 1);
    expose_turn(&producer);
    ck_assert_uint_eq(producer.open_count, 1);
    watch_end(&observer);
    expose_turn(&producer);
    ck_assert_uint_eq(producer.open_count, 0);
    expose_end(&producer);
    net_free(network);
}
END_TEST

START_TEST(local_instant_object_state_sink_drop)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    watcher observer;
    for (int order = 0; order < 2; order++) {
        exposer producer;
        watch_object(&observer, node, OBJECT, TAG);
        expose_object(&producer, node, OBJECT, TAG, 1);
        expose_turn(&producer);
        ck_assert_uint_eq(producer.open_count, 1);
        if (order) {
            watch_end(&observer);
        }
        expose_end(&producer);
        watch_end(&observer);
    }
    net_free(network);
}
END_TEST

START_TEST(local_desynchronize_on_object_state_sink_drop)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    watcher observer;
    exposer producer;
    watch_object(&observer, node, OBJECT, TAG);
    expose_object(&producer, node, OBJECT, TAG, 1);
    expose(&producer, "[1]");
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    expose_end(&producer);
    assert_shows(&observer, "[1]", HAKUBAN_STALE);
    watch_end(&observer);
    net_free(network);
}
END_TEST

START_TEST(local_tag_exposer_object_observe_propagation)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    for (int order = 0; order < 2; order++) {
        watcher observer;
        exposer producer;
        if (order) {
            watch_tag(&observer, node, TAG);
        }
        expose_object(&producer, node, OBJECT, TAG, 1);
        if (!order) {
            watch_tag(&observer, node, TAG);
        }
        expose(&producer, "[1]");
        assert_shows(&observer, "[1]", HAKUBAN_LIVE);
        expose_end(&producer);
        assert_open(&observer, false);
        watch_end(&observer);
    }
    net_free(network);
}
END_TEST

/* -- Load -- */

typedef struct herd {
    watcher observers[10];
} herd;

static herd ten;

static void herd_new(net_node *node)
{
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&ten.observers[i], node, name, TAG);
    }
}

static void herd_end(void)
{
    for (int i = 0; i < 10; i++) {
        watch_end(&ten.observers[i]);
    }
}

START_TEST(routed_load_balancing_on_new_exposer_appearance)
{
    routed at = routed_new(_i);
    static exposer first, second;
    herd_new(at.user[0]);
    expose_tag(&first, at.user[1], TAG, 1);
    play_seconds(at.network, 1, &first, NULL);
    ck_assert_uint_eq(first.open_count, 10);
    expose_tag(&second, at.user[2], TAG, 1);
    play_seconds(at.network, 5, &first, &second);
    ck_assert_uint_eq(first.open_count, 5);
    ck_assert_uint_eq(second.open_count, 5);
    herd_end();
    expose_end(&first);
    expose_end(&second);
    net_free(at.network);
}
END_TEST

START_TEST(routed_periodic_load_balancing)
{
    routed at = routed_new(_i);
    static exposer first, second;
    herd_new(at.user[0]);
    expose_tag(&first, at.user[1], TAG, 1);
    expose_tag(&second, at.user[2], TAG, 1);
    play_seconds(at.network, 5, &first, &second);
    ck_assert_uint_eq(first.open_count, 5);
    for (size_t i = 0; i < first.count; i++) {
        if (first.objects[i].sink) {
            watch_end(&ten.observers[strtoul(first.objects[i].name, NULL, 10)]);
        }
    }
    play_seconds(at.network, 5, &first, &second);
    ck_assert_uint_ge(first.open_count, 2);
    ck_assert_uint_eq(first.open_count + second.open_count, 5);
    herd_end();
    expose_end(&first);
    expose_end(&second);
    net_free(at.network);
}
END_TEST

START_TEST(routed_load_limit_simple)
{
    routed at = routed_unconnected(_i);
    static exposer worker;
    connect_user(&at, 0, NULL);
    connect_user(&at, 1, "load-limit=3");
    herd_new(at.user[0]);
    expose_tag(&worker, at.user[1], TAG, 1);
    play_seconds(at.network, 1, &worker, NULL);
    ck_assert_uint_eq(worker.open_count, 3);
    play_seconds(at.network, 6, &worker, NULL);
    ck_assert_uint_eq(worker.open_count, 3);
    herd_end();
    expose_end(&worker);
    net_free(at.network);
}
END_TEST

START_TEST(routed_load_limit_gradual)
{
    routed at = routed_unconnected(_i);
    static exposer worker;
    connect_user(&at, 0, NULL);
    connect_user(&at, 1, "load-limit=2:0-2:5-5:7");
    herd_new(at.user[0]);
    expose_tag(&worker, at.user[1], TAG, 1);
    play_seconds(at.network, 1, &worker, NULL);
    ck_assert_uint_eq(worker.open_count, 0);
    net_run(at.network, 500 * NET_MS);
    play_seconds(at.network, 2, &worker, NULL);
    ck_assert_uint_ge(worker.open_count, 5);
    ck_assert_uint_le(worker.open_count, 6);
    play_seconds(at.network, 3, &worker, NULL);
    ck_assert_uint_eq(worker.open_count, 7);
    herd_end();
    expose_end(&worker);
    net_free(at.network);
}
END_TEST

/* -- Coming back, coming late, leading -- */

START_TEST(routed_object_tag_delivery_with_reconnection)
{
    for (int gone = 0; gone < 2; gone++) {
        routed at = routed_new(_i);
        watcher observer;
        exposer producer;
        watch_tag(&observer, at.user[0], TAG);
        expose_object(&producer, at.user[1], OBJECT, TAG, 1);
        expose(&producer, "[1]");
        play(at.network, &producer, NULL);
        assert_shows(&observer, "[1]", HAKUBAN_LIVE);
        if (gone) {
            watch_end(&observer);
            net_restart(at.user[0]);
            watch_tag(&observer, at.user[0], TAG);
        } else {
            net_cut(at.pipe[0]);
        }
        play(at.network, &producer, NULL);
        assert_open(&observer, false);
        connect_user(&at, 0, NULL);
        play(at.network, &producer, NULL);
        assert_shows(&observer, "[1]", HAKUBAN_LIVE);
        expose(&producer, "[2]");
        play(at.network, &producer, NULL);
        assert_shows(&observer, "[2]", HAKUBAN_LIVE);
        watch_end(&observer);
        expose_end(&producer);
        net_free(at.network);
    }
}
END_TEST

START_TEST(routed_object_tag_delivery_with_late_connection)
{
    routed at = routed_unconnected(_i);
    watcher observers[2];
    exposer producers[2];
    static const char *const names[2] = {"0", "1"};
    for (int i = 0; i < 2; i++) {
        watch_tag(&observers[i], at.user[i], TAG);
        expose_object(&producers[i], at.user[i], names[i], TAG, 1);
        expose(&producers[i], names[i]);
    }
    play(at.network, &producers[0], &producers[1]);
    for (int i = 0; i < 2; i++) {
        connect_user(&at, i, NULL);
        play(at.network, &producers[0], &producers[1]);
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            const seen_object *shown = watched(&observers[i], names[k]);
            ck_assert_ptr_nonnull(shown);
            ck_assert(shown->open);
            ck_assert_str_eq(shown->text, names[k]);
            ck_assert_int_eq(shown->freshness, HAKUBAN_LIVE);
        }
    }
    for (int i = 0; i < 2; i++) {
        watch_end(&observers[i]);
        expose_end(&producers[i]);
    }
    net_free(at.network);
}
END_TEST

/* The one that came first leads; when it has gone, the other one. */
static void leader_election(int loop, bool by_tag)
{
    routed at = routed_new(loop);
    watcher observers[2];
    exposer candidates[2];
    for (int i = 0; i < 2; i++) {
        watch_object(&observers[i], at.user[i], OBJECT, TAG);
        if (by_tag) {
            expose_tag(&candidates[i], at.user[i], TAG, 1);
        } else {
            expose_object(&candidates[i], at.user[i], OBJECT, TAG, 1);
        }
        if (at.dialects == ALL_NATIVE) {
            expose(&candidates[i], i ? "[1]" : "[0]");
        }
        play(at.network, &candidates[0], i ? &candidates[1] : NULL);
    }
    /* The Rust dialect has no floor: the leader says something once it is alone. */
    for (int i = 0; at.dialects != ALL_NATIVE && i < 2; i++) {
        expose(&candidates[i], i ? "[1]" : "[0]");
    }
    play_seconds(at.network, 2, &candidates[0], &candidates[1]);
    ck_assert_uint_eq(candidates[0].open_count, 1);
    ck_assert_uint_eq(candidates[1].open_count, 0);
    for (int i = 0; i < 2; i++) {
        assert_shows(&observers[i], "[0]", HAKUBAN_LIVE);
    }
    watch_end(&observers[0]);
    expose_end(&candidates[0]);
    play(at.network, &candidates[1], NULL);
    play_seconds(at.network, 2, &candidates[1], NULL);
    ck_assert_uint_eq(candidates[1].open_count, 1);
    assert_shows(&observers[1], "[1]", HAKUBAN_LIVE);
    watch_end(&observers[1]);
    expose_end(&candidates[1]);
    net_free(at.network);
}

START_TEST(leader_election_pattern_object_object)
{
    leader_election(_i, false);
}
END_TEST

START_TEST(leader_election_pattern_tag_object)
{
    leader_election(_i, true);
}
END_TEST

/* -- What routers keep -- */

static void assert_forgotten(const routed *at)
{
    for (size_t i = 0; i < at->network->node_count; i++) {
        hakuban_exchange_stats stats;
        hkb_exchange_count(net_enter(&at->network->nodes[i]), &stats);
        ck_assert_uint_eq(stats.objects, 0);
        ck_assert_uint_eq(stats.tags, 0);
    }
}

static void forget_pairing(int loop, bool observe_tag, bool expose_a_tag)
{
    routed at = routed_new(loop);
    watcher observer;
    exposer producer;
    if (observe_tag) {
        watch_tag(&observer, at.user[0], TAG);
    } else {
        watch_object(&observer, at.user[0], OBJECT, TAG);
    }
    if (expose_a_tag) {
        expose_tag(&producer, at.user[1], TAG, 1);
    } else {
        expose_object(&producer, at.user[1], OBJECT, TAG, 1);
    }
    expose(&producer, "[1]");
    play(at.network, &producer, NULL);
    assert_shows(&observer, "[1]", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_run(at.network, 2 * NET_S);
    assert_forgotten(&at);
    net_free(at.network);
}

START_TEST(object_gets_dropped_when_no_more_needed)
{
    forget_pairing(_i, false, false);
    forget_pairing(_i, false, true);
    forget_pairing(_i, true, false);
}
END_TEST

static uint64_t object_capacity(net_node *node)
{
    hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
    const hkb_object *object = hkb_object_find(node->exchange, descriptor);
    hakuban_descriptor_unref(descriptor);
    return object ? object->capacity : 0;
}

static uint64_t tag_capacity(net_node *node)
{
    hkb_tag *tag;
    ck_assert_int_eq(hkb_tag_get(net_enter(node), (hakuban_slice){TAG, strlen(TAG)}, &tag),
                     HAKUBAN_OK);
    uint64_t capacity = tag->capacity;
    hkb_exchange_settle(node->exchange);
    return capacity;
}

START_TEST(object_expose_capacity_gets_propagated_upstream)
{
    routed at = routed_new(_i);
    exposer one, two, three;
    expose_object(&one, at.user[0], OBJECT, TAG, 1);
    net_quiet(at.network);
    ck_assert_uint_eq(object_capacity(at.root), 1);
    expose_object(&two, at.user[0], OBJECT, TAG, 1);
    net_quiet(at.network);
    ck_assert_uint_eq(object_capacity(at.root), 2);
    expose_object(&three, at.user[1], OBJECT, TAG, 1);
    net_quiet(at.network);
    ck_assert_uint_eq(object_capacity(at.root), 3);
    expose_end(&two);
    net_quiet(at.network);
    ck_assert_uint_eq(object_capacity(at.root), 2);
    net_cut(at.pipe[1]);
    net_quiet(at.network);
    ck_assert_uint_eq(object_capacity(at.root), 1);
    expose_end(&one);
    expose_end(&three);
    net_free(at.network);
}
END_TEST

START_TEST(tag_expose_capacity_gets_propagated_upstream)
{
    routed at = routed_new(_i);
    watcher observer;
    exposer one, two;
    watch_object(&observer, at.user[2], OBJECT, TAG);
    net_quiet(at.network);
    ck_assert_uint_eq(tag_capacity(at.root), 0);
    expose_tag(&one, at.user[0], TAG, 1);
    net_quiet(at.network);
    ck_assert_uint_eq(tag_capacity(at.root), 1);
    expose_tag(&two, at.user[1], TAG, 1);
    net_quiet(at.network);
    ck_assert_uint_eq(tag_capacity(at.root), 2);
    ck_assert_uint_eq(object_capacity(at.root), 0);
    expose_end(&one);
    net_quiet(at.network);
    ck_assert_uint_eq(tag_capacity(at.root), 1);
    net_cut(at.pipe[1]);
    net_quiet(at.network);
    ck_assert_uint_eq(tag_capacity(at.root), 0);
    watch_end(&observer);
    expose_end(&two);
    net_free(at.network);
}
END_TEST

START_TEST(names_get_propagated)
{
    routed at = routed_unconnected(_i);
    connect_user(&at, 0, "name=lamp");
    net_quiet(at.network);
    ck_assert_str_eq(hkb_peer_name(at.pipe[0]->peer[1]), "lamp");
    ck_assert_str_eq(hkb_peer_name(at.pipe[0]->peer[0]),
                     "lamp"); /* both ends have the same settings */
    net_free(at.network);
}
END_TEST

/* -- Silence -- */

static bool survives(bool client_waits, bool speaks)
{
    net *network = net_new(1);
    net_node *hub = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(leaf, hub, NULL);
    int waiting = client_waits ? 0 : 1, speaking = 1 - waiting;
    pipe->peer[waiting]->link.timeout_ns = NET_S;
    if (speaks) {
        pipe->peer[speaking]->link.keep_alive_ns = 250 * NET_MS;
    }
    net_run(network, 2500 * NET_MS);
    bool lives = !pipe->broken && hub->ended.count == 0 && leaf->ended.count == 0;
    net_free(network);
    return lives;
}

START_TEST(a_silent_peer_is_timed_out_and_a_speaking_one_is_not)
{
    ck_assert(!survives(false, false)); /* router_can_time_out_client */
    ck_assert(survives(false, true));   /* router_doesnt_timeout_if_keep_alive_is_adequate */
    ck_assert(!survives(true, false));  /* client_can_time_out_router */
    ck_assert(survives(true, true));    /* client_doesnt_timeout_if_keep_alive_is_adequate */
}
END_TEST

#define ROUTED(test) tcase_add_loop_test(cases, test, 0, 2 * DIALECTS * SHAPES)

int main(void)
{
    Suite *suite = suite_create("as the reference");
    TCase *cases = tcase_create("reference");
    tcase_set_timeout(cases, 60);
    ROUTED(routed_object_object_desynchronize_on_sink_drop);
    ROUTED(routed_object_data_format_change_gets_propagated);
    ROUTED(routed_object_object_terminate_by_object_observer_drop);
    ROUTED(routed_tag_object_terminate_by_tag_observer_drop);
    ROUTED(routed_object_object_reassignment_on_reobserve);
    ROUTED(routed_object_tag_reassignment_on_reexpose);
    ROUTED(routed_object_tag_reassignment_on_unexpose);
    ROUTED(routed_object_tag_delivery);
    ROUTED(routed_tag_object_delivery);
    ROUTED(routed_known_state_gets_delivered_even_if_exposer_doesnt_exist);
    ROUTED(routed_known_state_without_an_exposer);
    ROUTED(routed_object_object_drop_data_when_object_is_no_more_data_needed);
    tcase_add_test(cases, object_observe_contract_termination_causes_unassign);
    tcase_add_test(cases, local_instant_object_state_sink_drop);
    tcase_add_test(cases, local_desynchronize_on_object_state_sink_drop);
    tcase_add_test(cases, local_tag_exposer_object_observe_propagation);
    ROUTED(routed_load_balancing_on_new_exposer_appearance);
    ROUTED(routed_periodic_load_balancing);
    ROUTED(routed_load_limit_simple);
    ROUTED(routed_load_limit_gradual);
    ROUTED(routed_object_tag_delivery_with_reconnection);
    ROUTED(routed_object_tag_delivery_with_late_connection);
    ROUTED(leader_election_pattern_object_object);
    ROUTED(leader_election_pattern_tag_object);
    ROUTED(object_gets_dropped_when_no_more_needed);
    ROUTED(object_expose_capacity_gets_propagated_upstream);
    ROUTED(tag_expose_capacity_gets_propagated_upstream);
    ROUTED(names_get_propagated);
    tcase_add_test(cases, a_silent_peer_is_timed_out_and_a_speaking_one_is_not);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
