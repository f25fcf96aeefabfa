/* Connections that are lost and come back: what users see of it, and what it costs on the wire. */
#include "built.h"
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECT "\"o\""
#define TAG "\"t\""
#define WITH_SERIALIZER(name) "serializer=" #name ",compressor=none",

typedef struct pair {
    net *network;
    net_node *hub, *exposing, *observing;
    exposer producer;
    watcher observer;
} pair;

static void reconnect(net_node *node, net_node *hub, const char *params)
{
    if (!node->up) {
        net_connect(node, hub, params);
    }
}

static pair pair_new(uint64_t seed, const char *params)
{
    pair made = {.network = net_new(seed)};
    made.hub = net_add(made.network);
    made.exposing = net_add(made.network);
    made.observing = net_add(made.network);
    net_connect(made.exposing, made.hub, params);
    net_connect(made.observing, made.hub, params);
    watch_object(&made.observer, made.observing, OBJECT, TAG);
    expose_object(&made.producer, made.exposing, OBJECT, TAG, 1);
    expose(&made.producer, "first");
    net_quiet(made.network);
    expose_turn(&made.producer);
    net_quiet(made.network);
    return made;
}

static void pair_free(pair *at)
{
    watch_end(&at->observer);
    expose_end(&at->producer);
    net_free(at->network);
}

static const seen_object *shown(pair *at)
{
    const seen_object *object = watched(&at->observer, OBJECT);
    ck_assert_ptr_nonnull(object);
    return object;
}

static void assert_shows(pair *at, const char *text, hakuban_freshness freshness)
{
    const seen_object *object = shown(at);
    ck_assert_str_eq(object->text, text);
    ck_assert_int_eq(object->freshness, freshness);
    ck_assert_int_eq(object->source,
                     freshness == HAKUBAN_LIVE ? HAKUBAN_SOURCE_ASSIGNED : HAKUBAN_SOURCE_NONE);
}

START_TEST(no_observer_sees_a_short_outage)
{
    pair at = pair_new(1, NULL);
    net_node *lost = _i ? at.observing : at.exposing;
    net_run(at.network, 10 * NET_S);
    assert_shows(&at, "first", HAKUBAN_LIVE);
    for (int i = 0; i < 5; i++) {
        net_cut(lost->up);
        net_run(at.network, 1900 * NET_MS);
        reconnect(lost, at.hub, NULL);
        net_run(at.network, NET_S);
    }
    assert_shows(&at, "first", HAKUBAN_LIVE);
    ck_assert_uint_eq(shown(&at)->states, 1);
    ck_assert_uint_eq(shown(&at)->conditions, 0);
    expose_turn(&at.producer);
    ck_assert_uint_eq(at.producer.objects[0].opens, 1);
    ck_assert_uint_eq(at.producer.objects[0].closes, 0);
    expose(&at.producer, "second");
    net_quiet(at.network);
    assert_shows(&at, "second", HAKUBAN_LIVE);
    pair_free(&at);
}
END_TEST

static hakuban_source peeked_source(pair *at)
{
    hakuban_event event;
    hakuban_descriptor *object = net_descriptor(OBJECT, TAG);
    net_enter(at->observing);
    ck_assert_int_eq(hkb_contract_peek(at->observer.contract.contract, object, &event), HAKUBAN_OK);
    hakuban_source source = event.source;
    hkb_event_done(&event);
    hakuban_descriptor_unref(object);
    return source;
}

START_TEST(a_new_observer_during_an_outage_sees_that_the_source_is_away)
{
    pair at = pair_new(28, NULL);
    ck_assert_int_eq(peeked_source(&at), HAKUBAN_SOURCE_ASSIGNED);
    net_cut(at.observing->up);
    ck_assert_int_eq(peeked_source(&at), HAKUBAN_SOURCE_AWAY);
    net_run(at.network, NET_S);
    net_connect(at.observing, at.hub, NULL);
    net_quiet(at.network);
    ck_assert_int_eq(peeked_source(&at), HAKUBAN_SOURCE_ASSIGNED);
    pair_free(&at);
}
END_TEST

START_TEST(what_is_sent_during_an_outage_arrives_after_it)
{
    pair at = pair_new(2, NULL);
    net_cut(at.exposing->up);
    expose(&at.producer, "second"); /* the sink is still open */
    expose(&at.producer, "third");
    net_run(at.network, NET_S);
    assert_shows(&at, "first", HAKUBAN_LIVE);
    net_connect(at.exposing, at.hub, NULL);
    net_quiet(at.network);
    assert_shows(&at, "third", HAKUBAN_LIVE);
    ck_assert_uint_eq(shown(&at)->states, 2); /* the newest, not all */
    pair_free(&at);
}
END_TEST

START_TEST(contracts_made_during_an_outage_are_told_after_it)
{
    pair at = pair_new(3, NULL);
    exposer more;
    watcher also;
    net_cut(at.exposing->up);
    net_cut(at.observing->up);
    expose_object(&more, at.exposing, "\"new\"", TAG, 1);
    expose(&more, "news");
    watch_object(&also, at.observing, "\"new\"", TAG);
    net_run(at.network, NET_S);
    net_connect(at.exposing, at.hub, NULL);
    net_connect(at.observing, at.hub, NULL);
    net_quiet(at.network);
    expose_turn(&more);
    net_quiet(at.network);
    ck_assert_str_eq(watched(&also, "\"new\"")->text, "news");
    ck_assert_uint_eq(shown(&at)->conditions, 0);
    watch_end(&also);
    expose_end(&more);
    pair_free(&at);
}
END_TEST

/* Wherever in the conversation the connection is cut, and in whichever direction, nothing is lost
 * and nothing is seen of it. */
START_TEST(a_cut_at_any_byte_loses_nothing)
{
    /* With what is offered first, and with what is offered last: JSON where it was built. */
    static const char *const plain[] = {HAKUBAN_BUILT_SERIALIZERS(WITH_SERIALIZER)};
    const char *params = _i & 2 ? plain[0] : NULL;
    unsigned cuts = 0;
    for (uint64_t at_byte = 1;; at_byte++) {
        pair at = pair_new(at_byte, params);
        net_pipe *pipe = _i & 4 ? at.observing->up : at.exposing->up;
        int end = _i & 1;
        if (at_byte % 2) {
            at.network->chunk_bytes_max = 7;
        }
        pipe->cut_after[end] = pipe->written[end] + at_byte;
        char text[64];
        for (int i = 0; i < 6; i++) {
            snprintf(text, sizeof(text), "{\"count\":%d,\"filler\":\"%0*d\"}", i, 5 + 3 * i, i);
            expose(&at.producer, text);
            net_run(at.network, 250 * NET_MS); /* with the acknowledgement of what was little */
        }
        bool cut = pipe->broken;
        cuts += cut;
        reconnect(at.exposing, at.hub, params);
        reconnect(at.observing, at.hub, params);
        net_quiet(at.network);
        assert_shows(&at, text, HAKUBAN_LIVE);
        ck_assert_uint_eq(shown(&at)->conditions, 0);
        ck_assert_uint_eq(at.producer.objects[0].opens, 1);
        pair_free(&at);
        if (!cut) {
            break;
        }
        ck_assert_uint_lt(at_byte, 5000);
    }
    ck_assert_uint_gt(cuts, 10);
}
END_TEST

START_TEST(a_long_outage_is_one_change_and_its_age_counts_from_the_last_byte)
{
    pair at = pair_new(4, _i ? "grace=5s" : NULL);
    uint64_t grace_ns = _i ? 5 * NET_S : 2 * NET_S;
    assert_shows(&at, "first", HAKUBAN_LIVE);
    net_run(at.network, NET_S); /* the last byte from the exposer was its acknowledgement, if any */
    uint64_t last_ns = at.exposing->up->read_ns[1];
    net_run(at.network, 7 * NET_S);
    net_cut(at.exposing->up);
    net_run(at.network, grace_ns - 100 * NET_MS);
    ck_assert_uint_eq(shown(&at)->conditions, 0);
    net_run(at.network, 200 * NET_MS);
    assert_shows(&at, "first", HAKUBAN_STALE);
    ck_assert_uint_eq(shown(&at)->conditions, 1);
    uint64_t age_ns = at.network->now_ns - last_ns;
    ck_assert_uint_ge(shown(&at)->age_ns, age_ns - 200 * NET_MS);
    ck_assert_uint_le(shown(&at)->age_ns, age_ns);
    /* and all comes back by itself */
    expose(&at.producer, "second");
    net_connect(at.exposing, at.hub, _i ? "grace=5s" : NULL);
    net_run(at.network, NET_S);
    expose_turn(&at.producer);
    net_quiet(at.network);
    assert_shows(&at, "second", HAKUBAN_LIVE);
    pair_free(&at);
}
END_TEST

START_TEST(the_smaller_grace_of_both_sides_holds)
{
    pair at = pair_new(5, _i ? "grace=0" : "grace=300ms");
    net_cut(at.exposing->up);
    net_run(at.network, 10 * NET_MS);
    assert_shows(&at, "first", _i ? HAKUBAN_STALE : HAKUBAN_LIVE);
    net_run(at.network, 400 * NET_MS);
    assert_shows(&at, "first", HAKUBAN_STALE);
    pair_free(&at);
}
END_TEST

START_TEST(an_orderly_end_has_no_grace)
{
    pair at = pair_new(6, NULL);
    net_enter(at.exposing);
    hkb_peer_leave(at.exposing->up->peer[0]);
    net_run(at.network, 100 * NET_MS);
    assert_shows(&at, "first", HAKUBAN_STALE);
    pair_free(&at);
}
END_TEST

START_TEST(another_takes_over_after_half_a_second_but_not_before)
{
    pair at = pair_new(7, NULL);
    net_node *second_node = net_add(at.network);
    exposer second;
    net_connect(second_node, at.hub, NULL);
    expose_object(&second, second_node, OBJECT, TAG, 1);
    expose(&second, "from the second");
    net_quiet(at.network);
    net_cut(at.exposing->up);
    net_run(at.network, 400 * NET_MS);
    expose_turn(&second);
    ck_assert_uint_eq(second.open_count, 0);
    if (_i) { /* back in time: it keeps its sink */
        net_connect(at.exposing, at.hub, NULL);
        net_run(at.network, 3 * NET_S);
        expose_turn(&second);
        ck_assert_uint_eq(second.open_count, 0);
        assert_shows(&at, "first", HAKUBAN_LIVE);
        ck_assert_uint_eq(shown(&at)->conditions, 0);
    } else {
        net_run(at.network, 200 * NET_MS);
        expose_turn(&second);
        net_quiet(at.network);
        ck_assert_uint_eq(second.open_count, 1);
        assert_shows(&at, "from the second", HAKUBAN_LIVE);
        ck_assert_uint_eq(shown(&at)->conditions, 0);
        /* the exposer that comes back finds its sink closed, and is not heard */
        expose(&at.producer, "too late");
        net_connect(at.exposing, at.hub, NULL);
        net_quiet(at.network);
        expose_turn(&at.producer);
        ck_assert_uint_eq(at.producer.open_count, 0);
        assert_shows(&at, "from the second", HAKUBAN_LIVE);
    }
    expose_end(&second);
    pair_free(&at);
}
END_TEST

START_TEST(silence_moves_nothing_before_the_grace_is_over)
{
    pair at = pair_new(8, "keep-alive=1s");
    net_node *second_node = net_add(at.network);
    exposer second;
    net_connect(second_node, at.hub, NULL);
    expose_object(&second, second_node, OBJECT, TAG, 1);
    expose(&second, "from the second");
    net_quiet(at.network);
    at.exposing->up->stalled[0] = at.exposing->up->stalled[1] = true;
    net_run(at.network, 4400 * NET_MS); /* 2.5 s of silence, at most 2 s of grace */
    expose_turn(&second);
    ck_assert_uint_eq(second.open_count, 0);
    assert_shows(&at, "first", HAKUBAN_LIVE);
    net_run(at.network, 400 * NET_MS);
    expose_turn(&second);
    net_quiet(at.network);
    assert_shows(&at, "from the second", HAKUBAN_LIVE);
    expose_end(&second);
    pair_free(&at);
}
END_TEST

/* The hub has not noticed that the old connection is dead when the new one comes. */
START_TEST(a_half_open_connection_does_not_block_a_return)
{
    pair at = pair_new(9, NULL);
    net_pipe *old = at.exposing->up;
    hkb_peer *peer = old->peer[0];
    old->stalled[1] = true; /* nothing reaches the hub any more */
    expose(&at.producer, "second");
    net_run(at.network, 5 * NET_S);
    old->peer[0] = NULL; /* and only this side finds that out */
    net_enter(at.exposing);
    ck_assert(hkb_peer_lost(peer, HAKUBAN_ERR_IO, "connection reset"));
    at.exposing->up = NULL;
    if (_i) { /* so long ago that the session is over here */
        net_run(at.network, 3 * NET_S);
    }
    net_connect(at.exposing, at.hub, NULL);
    net_run(at.network, NET_S);
    ck_assert(old->broken);
    expose_turn(&at.producer);
    net_quiet(at.network);
    assert_shows(&at, "second", HAKUBAN_LIVE);
    hakuban_exchange_stats stats;
    hkb_exchange_count(at.hub->exchange, &stats);
    ck_assert_uint_eq(stats.links, 2);
    pair_free(&at);
}
END_TEST

START_TEST(only_what_was_lost_travels_again)
{
    enum { OBJECTS = 200, CHANGED = 2 };
    net *network = net_new(10);
    net_node *hub = net_add(network), *left = net_add(network), *right = net_add(network);
    net_connect(left, hub, NULL);
    net_connect(right, hub, NULL);
    watcher observer;
    static exposer producers[OBJECTS];
    static char text[1000];
    watch_tag(&observer, right, TAG);
    for (int i = 0; i < OBJECTS; i++) {
        char name[20];
        snprintf(name, sizeof(name), "%d", i);
        expose_object(&producers[i], left, name, TAG, 1);
    }
    net_quiet(network);
    for (int i = 0; i < OBJECTS; i++) {
        expose_turn(&producers[i]);
        for (size_t k = 0; k < sizeof(text); k++) {
            text[k] = (char)('a' + net_below(network, 26));
        }
        hakuban_slice data = {text, sizeof(text)};
        ck_assert_int_eq(net_send_bytes(left, producers[i].objects[0].sink, data.data, data.bytes),
                         HAKUBAN_OK);
    }
    net_quiet(network);
    watch(&observer);
    net_run(network, NET_S);
    uint64_t first_bytes = right->up->written[1];
    net_cut(right->up);
    for (int i = 0; i < CHANGED; i++) {
        text[i] = 'X';
        ck_assert_int_eq(
            net_send_bytes(left, producers[i * 50].objects[0].sink, text, sizeof(text)),
            HAKUBAN_OK);
    }
    net_run(network, 500 * NET_MS);
    net_connect(right, hub, NULL);
    net_run(network, NET_S);
    watch(&observer);
    ck_assert_uint_eq(observer.count, OBJECTS);
    for (size_t i = 0; i < OBJECTS; i++) {
        ck_assert_uint_eq(observer.objects[i].states,
                          strcmp(observer.objects[i].name, "0") == 0 ||
                                  strcmp(observer.objects[i].name, "50") == 0
                              ? 2
                              : 1);
    }
    ck_assert_uint_le(right->up->written[1], first_bytes / 50);
    watch_end(&observer);
    for (int i = 0; i < OBJECTS; i++) {
        expose_end(&producers[i]);
    }
    net_free(network);
}
END_TEST

START_TEST(a_tree_in_a_storm_of_short_cuts_shows_nothing)
{
    net *network = net_new(11);
    net_node *root = net_add(network), *middle = net_add(network), *leaf = net_add(network),
             *other = net_add(network);
    net_node *const child[] = {middle, leaf, other}, *const parent[] = {root, middle, root};
    for (int i = 0; i < 3; i++) {
        net_connect(child[i], parent[i], NULL);
    }
    watcher observer;
    exposer producer;
    watch_tag(&observer, leaf, TAG);
    expose_object(&producer, other, OBJECT, TAG, 1);
    expose(&producer, "0");
    net_quiet(network);
    expose_turn(&producer);
    net_quiet(network);
    char text[32] = "0";
    for (int i = 1; i < 300; i++) {
        int lost = (int)net_below(network, 3);
        if (child[lost]->up) {
            net_cut(child[lost]->up);
        }
        snprintf(text, sizeof(text), "%d", i);
        if (net_below(network, 2)) {
            expose(&producer, text);
        }
        net_run(network, net_below(network, 300) * NET_MS);
        for (int k = 0; k < 3; k++) {
            reconnect(child[k], parent[k], NULL);
        }
        if (net_below(network, 2)) {
            net_run(network, net_below(network, 100) * NET_MS);
        }
    }
    expose(&producer, text);
    net_run(network, NET_S);
    const seen_object *object = watched(&observer, OBJECT);
    ck_assert_str_eq(object->text, text);
    ck_assert_uint_eq(object->conditions, 0);
    ck_assert_uint_eq(object->opens, 1);
    ck_assert_uint_eq(producer.objects[0].opens, 1);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* -- A hub that is restarted empty -- */

/* The hub is gone for 300 ms; each node that was connected comes back after its own pause. */
static void restart_hub(net *network, net_node *hub, net_node *const *below, size_t count,
                        const char *params)
{
    net_run(network, NET_S);
    net_restart(hub);
    net_run(network, 300 * NET_MS);
    for (size_t i = 0; i < count; i++) {
        net_connect(below[i], hub, params);
        net_run(network, 50 * NET_MS);
    }
}

START_TEST(no_observer_sees_the_restart_of_a_hub)
{
    pair at = pair_new(20, NULL);
    net_node *below[] = {at.exposing, at.observing};
    if (_i) {
        below[0] = at.observing, below[1] = at.exposing;
    }
    watcher by_tag;
    watch_tag(&by_tag, at.observing, TAG);
    net_quiet(at.network);
    watch(&by_tag);
    for (int i = 0; i < 3; i++) {
        restart_hub(at.network, at.hub, below, 2, NULL);
        net_run(at.network, 4 * NET_S);
        expose_turn(&at.producer);
        assert_shows(&at, "first", HAKUBAN_LIVE);
        ck_assert_uint_eq(shown(&at)->conditions, 0);
        ck_assert_uint_eq(shown(&at)->states, 1);
        ck_assert_uint_eq(at.producer.objects[0].opens, 1);
        ck_assert_uint_eq(at.producer.objects[0].closes, 0);
        const seen_object *object = watched(&by_tag, OBJECT);
        ck_assert_uint_eq(object->conditions, 0);
        ck_assert_uint_eq(object->opens, 1);
        ck_assert_uint_eq(object->closes, 0);
    }
    expose(&at.producer, "second");
    net_quiet(at.network);
    assert_shows(&at, "second", HAKUBAN_LIVE);
    watch_end(&by_tag);
    pair_free(&at);
}
END_TEST

/* While the hub waits for an exposer that never comes back, it is restarted again: nodes that came
 * back in between have a whole new grace. */
START_TEST(a_hub_may_be_restarted_again_before_the_first_grace_is_over)
{
    pair at = pair_new(35, NULL);
    net_node *lost = net_add(at.network), *below[] = {at.exposing, at.observing};
    exposer gone;
    watcher waits;
    net_connect(lost, at.hub, NULL);
    watch_object(&waits, at.observing, "2", TAG);
    expose_object(&gone, lost, "2", TAG, 1);
    expose(&gone, "gone");
    net_quiet(at.network);
    expose_turn(&gone);
    net_quiet(at.network);
    ck_assert_int_eq(watched(&waits, "2")->freshness, HAKUBAN_LIVE);
    restart_hub(at.network, at.hub, below, 2, NULL);
    net_run(at.network, 300 * NET_MS);
    net_restart(at.hub); /* 0.7 s after the first time */
    net_run(at.network, 800 * NET_MS);
    net_connect(at.observing, at.hub, NULL);
    net_run(at.network, 900 * NET_MS); /* 2.4 s */
    ck_assert_int_eq(watched(&waits, "2")->freshness, HAKUBAN_STALE);
    net_connect(at.exposing, at.hub, NULL);
    net_run(at.network, 4 * NET_S);
    expose_turn(&at.producer);
    assert_shows(&at, "first", HAKUBAN_LIVE);
    ck_assert_uint_eq(shown(&at)->conditions, 0);
    ck_assert_uint_eq(at.producer.objects[0].opens, 1);
    ck_assert_uint_eq(watched(&waits, "2")->freshness, HAKUBAN_STALE);
    watch_end(&waits);
    expose_end(&gone);
    pair_free(&at);
}
END_TEST

START_TEST(what_was_sent_while_a_hub_was_restarted_arrives)
{
    pair at = pair_new(21, NULL);
    net_node *below[] = {at.observing, at.exposing};
    net_restart(at.hub);
    expose(&at.producer, "second");
    net_run(at.network, 500 * NET_MS);
    net_connect(below[_i], at.hub, NULL);
    net_run(at.network, 100 * NET_MS);
    net_connect(below[1 - _i], at.hub, NULL);
    net_run(at.network, 3 * NET_S);
    assert_shows(&at, "second", HAKUBAN_LIVE);
    ck_assert_uint_eq(shown(&at)->conditions, 0);
    expose_turn(&at.producer);
    ck_assert_uint_eq(at.producer.objects[0].opens, 1);
    pair_free(&at);
}
END_TEST

START_TEST(states_travel_up_once_and_not_down_again_after_a_restart)
{
    enum { BYTES = 30000 };
    pair at = pair_new(22, NULL);
    static char text[BYTES];
    for (size_t i = 0; i < BYTES; i++) {
        text[i] = (char)('a' + net_below(at.network, 26));
    }
    ck_assert_int_eq(net_send_bytes(at.exposing, at.producer.objects[0].sink, text, BYTES),
                     HAKUBAN_OK);
    net_quiet(at.network);
    net_node *below[] = {at.exposing, at.observing};
    if (_i) {
        below[0] = at.observing, below[1] = at.exposing;
    }
    restart_hub(at.network, at.hub, below, 2, NULL);
    net_run(at.network, 4 * NET_S);
    ck_assert_uint_eq(shown(&at)->bytes, BYTES);
    ck_assert_int_eq(shown(&at)->freshness, HAKUBAN_LIVE);
    uint64_t up = at.exposing->up->written[0], down = at.observing->up->written[1];
    ck_assert_uint_gt(up, BYTES / 2);
    ck_assert_uint_lt(up, 2 * BYTES);
    ck_assert_uint_lt(down, 1000);
    /* a difference to what was named is understood */
    text[0] = 'X';
    ck_assert_int_eq(net_send_bytes(at.exposing, at.producer.objects[0].sink, text, BYTES),
                     HAKUBAN_OK);
    net_quiet(at.network);
    ck_assert_str_eq(shown(&at)->text + 1, at.observer.objects[0].text + 1);
    ck_assert_int_eq(shown(&at)->text[0], 'X');
    ck_assert_uint_lt(at.observing->up->written[1] - down, 200);
    pair_free(&at);
}
END_TEST

START_TEST(an_exposer_keeps_its_object_over_a_restart)
{
    pair at = pair_new(23, NULL);
    net_node *second_node = net_add(at.network);
    exposer second;
    net_connect(second_node, at.hub, NULL);
    expose_object(&second, second_node, OBJECT, TAG, 1);
    expose(&second, "from the second");
    net_quiet(at.network);
    expose_turn(&second);
    ck_assert_uint_eq(second.open_count, 0);
    net_node *below[] = {second_node, at.observing, at.exposing};
    restart_hub(at.network, at.hub, below, _i ? 2 : 3, NULL);
    net_run(at.network, 3 * NET_S);
    expose_turn(&second);
    expose_turn(&at.producer);
    net_quiet(at.network);
    if (_i) { /* the holder stays away: after its time the other one gets the object */
        ck_assert_uint_eq(second.open_count, 1);
        assert_shows(&at, "from the second", HAKUBAN_LIVE);
    } else {
        ck_assert_uint_eq(second.open_count, 0);
        ck_assert_uint_eq(at.producer.objects[0].opens, 1);
        assert_shows(&at, "first", HAKUBAN_LIVE);
        ck_assert_uint_eq(shown(&at)->conditions, 0);
    }
    expose_end(&second);
    pair_free(&at);
}
END_TEST

START_TEST(a_first_start_does_not_wait)
{
    net *network = net_new(24);
    net_node *hub = net_add(network), *left = net_add(network), *right = net_add(network);
    watcher observer;
    exposer producer;
    watch_object(&observer, right, OBJECT, TAG);
    expose_object(&producer, left, OBJECT, TAG, 1);
    expose(&producer, "x");
    net_connect(left, hub, NULL);
    net_connect(right, hub, NULL);
    net_quiet(network);
    expose_turn(&producer);
    net_quiet(network);
    ck_assert_str_eq(watched(&observer, OBJECT)->text, "x");
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

START_TEST(a_hub_in_the_middle_may_be_restarted)
{
    net *network = net_new(25);
    net_node *root = net_add(network), *middle = net_add(network), *left = net_add(network),
             *right = net_add(network);
    net_connect(middle, root, NULL);
    net_connect(left, _i & 1 ? root : middle, NULL);
    net_connect(right, _i & 2 ? root : middle, NULL);
    watcher observer, by_tag;
    exposer producer;
    watch_object(&observer, right, OBJECT, TAG);
    watch_tag(&by_tag, right, TAG);
    expose_object(&producer, left, OBJECT, TAG, 1);
    expose(&producer, "x");
    net_quiet(network);
    expose_turn(&producer);
    net_run(network, NET_S);
    watch(&observer);
    net_restart(middle);
    net_run(network, 200 * NET_MS);
    net_connect(middle, root, NULL);
    net_run(network, 20 * NET_MS);
    for (int i = 0; i < 2; i++) {
        net_node *node = i ? right : left;
        if (!node->up) {
            net_connect(node, middle, NULL);
        }
        net_run(network, 50 * NET_MS);
    }
    net_run(network, 4 * NET_S);
    expose_turn(&producer);
    net_quiet(network);
    const seen_object *object = watched(&observer, OBJECT);
    ck_assert_str_eq(object->text, "x");
    ck_assert_int_eq(object->freshness, HAKUBAN_LIVE);
    ck_assert_uint_eq(object->conditions, 0);
    ck_assert_uint_eq(watched(&by_tag, OBJECT)->closes, 0);
    expose(&producer, "y");
    net_quiet(network);
    ck_assert_str_eq(watched(&observer, OBJECT)->text, "y");
    watch_end(&observer);
    watch_end(&by_tag);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* A hub is given an object just when the only one below it that could serve it has lost its
 * connection. */
START_TEST(a_hand_over_to_an_exposer_that_is_away_for_a_moment_is_not_seen)
{
    net *network = net_new(31);
    net_node *root = net_add(network), *hub = net_add(network);
    net_node *serving = net_add(network), *next = net_add(network), *observing = net_add(network);
    net_node *idle = net_add(network);
    watcher observer, elsewhere; /* which is why it is the root that chooses */
    exposer first, second, spare;
    net_connect(hub, root, NULL)->delay_ns = 20 * NET_MS;
    net_connect(serving, root, NULL);
    net_connect(idle, root, NULL);
    net_connect(next, hub, NULL);
    net_connect(observing, hub, NULL);
    expose_object(&first, serving, OBJECT, TAG, 10);
    expose(&first, "first");
    net_quiet(network);
    watch_object(&observer, observing, OBJECT, TAG);
    watch_object(&elsewhere, root, OBJECT, TAG);
    net_quiet(network);
    expose_turn(&first);
    net_quiet(network);
    expose_object(&second, next, OBJECT, TAG, 8);
    expose(&second, "second");
    expose_object(&spare, idle, OBJECT, TAG, 5);
    expose(&spare, "spare");
    net_quiet(network);
    expose_turn(&first);
    ck_assert_int_eq(watched(&observer, OBJECT)->freshness, HAKUBAN_LIVE);
    ck_assert_uint_eq(first.objects[0].closes, 0);

    net_enter(serving);
    ck_assert_int_eq(hkb_contract_set_capacity(first.contract.contract, 0), HAKUBAN_OK);
    for (int i = 0; i < 4 * _i; i++) {
        net_run(network, NET_MS);
        expose_turn(&first);
        expose_turn(&second);
        expose_turn(&spare);
    }
    net_cut(next->up);
    for (int i = 0; i < 300; i++) {
        net_run(network, NET_MS);
        expose_turn(&first);
        expose_turn(&spare);
        ck_assert_int_eq(watched(&observer, OBJECT)->freshness, HAKUBAN_LIVE);
        ck_assert_int_eq(watched(&elsewhere, OBJECT)->freshness, HAKUBAN_LIVE);
        if (i == 100) {
            net_connect(next, hub, NULL);
        }
        if (i > 100) {
            expose_turn(&second);
        }
    }
    net_run(network, 5 * NET_S);
    expose_turn(&second);
    expose_turn(&spare);
    net_quiet(network);
    ck_assert_int_eq(watched(&observer, OBJECT)->freshness, HAKUBAN_LIVE);
    watch_end(&observer);
    watch_end(&elsewhere);
    expose_end(&first);
    expose_end(&second);
    expose_end(&spare);
    net_free(network);
}
END_TEST

START_TEST(observers_of_a_tag_keep_what_they_saw_while_the_hub_is_gone)
{
    pair at = pair_new(26, NULL);
    watcher by_tag;
    watch_tag(&by_tag, at.observing, TAG);
    net_quiet(at.network);
    watch(&by_tag);
    net_cut(at.observing->up);
    net_run(at.network, 10 * NET_S);
    const seen_object *object = watched(&by_tag, OBJECT);
    ck_assert(object->open);
    ck_assert_int_eq(object->freshness, HAKUBAN_STALE);
    ck_assert_uint_ge(object->age_ns, NET_S);
    ck_assert_uint_eq(object->conditions, 1);
    if (_i) { /* and what is gone by then is closed when all is listed again */
        expose_end(&at.producer);
    }
    net_run(at.network, 5 * NET_S);
    if (_i) {
        watch_end(&at.observer);
    }
    net_connect(at.observing, at.hub, NULL);
    net_run(at.network, 3 * NET_S);
    if (!_i) {
        expose_turn(&at.producer); /* it is needed again */
    }
    net_quiet(at.network);
    object = watched(&by_tag, OBJECT);
    ck_assert(object->open == !_i);
    ck_assert_uint_eq(object->opens, 1);
    if (!_i) {
        ck_assert_int_eq(object->freshness, HAKUBAN_LIVE);
    }
    watch_end(&by_tag);
    if (!_i) {
        watch_end(&at.observer);
    }
    expose_end(&at.producer);
    net_free(at.network);
}
END_TEST

START_TEST(a_peer_that_names_nothing_still_converges)
{
    pair at = pair_new(27, "features=none");
    net_node *below[] = {at.exposing, at.observing};
    restart_hub(at.network, at.hub, below, 2, "features=none");
    net_run(at.network, 3 * NET_S);
    expose_turn(&at.producer);
    net_quiet(at.network);
    assert_shows(&at, "first", HAKUBAN_LIVE);
    pair_free(&at);
}
END_TEST

/* An observer of the tag only; hub restarted, or gone for long. */
START_TEST(what_ends_after_a_return_ends_for_observers_of_its_tag)
{
    pair at = pair_new(30, NULL);
    net_node *below[] = {at.exposing, at.observing};
    watcher by_tag;
    hkb_exchange_expect_upstream(at.observing->exchange, true);
    watch_tag(&by_tag, at.observing, TAG);
    watch_end(&at.observer);
    net_quiet(at.network);
    ck_assert(watched(&by_tag, OBJECT)->open);
    if (_i) {
        net_cut(at.observing->up);
        net_run(at.network, 5 * NET_S);
        net_connect(at.observing, at.hub, NULL);
    } else {
        restart_hub(at.network, at.hub, below, 2, NULL);
    }
    net_run(at.network, 4 * NET_S);
    ck_assert(watched(&by_tag, OBJECT)->open);
    expose_end(&at.producer);
    net_quiet(at.network);
    ck_assert(!watched(&by_tag, OBJECT)->open);
    ck_assert_uint_eq(watched(&by_tag, OBJECT)->closes, 1);
    watch_end(&by_tag);
    net_free(at.network);
}
END_TEST

START_TEST(a_state_unconfirmed_after_a_restart_is_as_old_as_the_last_byte)
{
    pair at = pair_new(31, NULL);
    net_node *below[] = {at.observing};
    net_run(at.network, 7 * NET_S);
    uint64_t last_ns = at.observing->up->read_ns[0];
    restart_hub(at.network, at.hub, below, 1, NULL);
    net_run(at.network, 5 * NET_S);
    assert_shows(&at, "first", HAKUBAN_STALE);
    uint64_t age_ns = shown(&at)->age_ns, whole_ns = at.network->now_ns - last_ns;
    ck_assert_uint_le(age_ns, whole_ns);
    ck_assert_uint_ge(age_ns, whole_ns - 500 * NET_MS);
    pair_free(&at);
}
END_TEST

START_TEST(a_way_to_the_root_that_was_lost_is_not_believed_later)
{
    net *network = net_new(32);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    net_connect(hub, root, "grace=0");
    net_connect(leaf, hub, NULL);
    net_quiet(network);
    ck_assert_uint_eq(leaf->exchange->path_count, 3);
    leaf->up->silent[1] = true;
    net_cut(hub->up);
    net_run(network, 100 * NET_MS); /* the shorter way is said, and gets lost */
    net_cut(leaf->up);
    net_connect(hub, root, "grace=0");
    net_run(network, 100 * NET_MS);
    net_connect(leaf, hub, NULL);
    net_quiet(network);
    ck_assert_uint_eq(leaf->exchange->path_count, 3);
    net_free(network);
}
END_TEST

START_TEST(nothing_is_listed_before_a_return_is_answered)
{
    pair at = pair_new(33, NULL);
    watcher by_tag;
    watch_end(&at.observer);
    net_quiet(at.network);
    net_cut(at.observing->up);
    net_run(at.network, 500 * NET_MS);
    net_connect(at.observing, at.hub, NULL)->delay_ns = 100 * NET_MS;
    watch_tag(&by_tag, at.observing, TAG);
    net_run(at.network, 150 * NET_MS);
    watch(&by_tag);
    ck_assert(!by_tag.listed);
    net_run(at.network, NET_S);
    watch(&by_tag);
    ck_assert(by_tag.listed);
    ck_assert_uint_eq(by_tag.count, 1);
    watch_end(&by_tag);
    expose_end(&at.producer);
    net_free(at.network);
}
END_TEST

START_TEST(an_assignment_is_named_once)
{
    pair at = pair_new(34, NULL);
    net_node *below[] = {at.exposing, at.observing};
    restart_hub(at.network, at.hub, below, 2, NULL);
    net_run(at.network, 4 * NET_S);
    hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
    uint64_t sink_id = hkb_object_find(at.exposing->exchange, descriptor)->sink_id;
    expose_end(&at.producer);
    net_run(at.network, NET_S);
    expose_object(&at.producer, at.exposing, OBJECT, TAG, 1);
    expose(&at.producer, "again");
    net_run(at.network, NET_S);
    expose_turn(&at.producer);
    net_quiet(at.network);
    ck_assert_uint_eq(at.producer.open_count, 1);
    ck_assert(hkb_object_find(at.exposing->exchange, descriptor)->sink_id != sink_id);
    hakuban_descriptor_unref(descriptor);
    pair_free(&at);
}
END_TEST

/* Each connection ends long before the whole state has passed, and its session with it. */
START_TEST(a_large_state_arrives_over_a_way_that_is_too_short_lived_for_it)
{
    enum { STATE_BYTES = 1500000, CUT_BYTES = 400000, ROUNDS_MAX = 12 };
    const char *params = "grace=0s,window=64k";
    uint8_t *data = malloc(STATE_BYTES);
    pair at = pair_new(31, params);
    net_node *lost = _i ? at.observing : at.exposing;
    int writing = _i ? 1 : 0;
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < STATE_BYTES; i++) {
        data[i] = (uint8_t)net_random(at.network);
    }
    hakuban_sink *sink = exposed(&at.producer, OBJECT)->sink;
    net_pipe *pipe = lost->up;
    uint64_t written = 0;
    unsigned rounds = 0;
    pipe->cut_after[writing] = pipe->written[writing] + CUT_BYTES;
    at.producer.text[0] = '\0'; /* it says nothing new when its sink opens again */
    ck_assert_int_eq(net_send_bytes(at.exposing, sink, data, STATE_BYTES), HAKUBAN_OK);
    for (; shown(&at)->bytes != STATE_BYTES; rounds++) {
        ck_assert_uint_lt(rounds, ROUNDS_MAX);
        net_run(at.network, 3 * NET_S);
        written += pipe->written[writing];
        if (pipe->broken) {
            net_sweep(at.network);
            pipe = net_connect(lost, at.hub, params);
            pipe->cut_after[writing] = CUT_BYTES;
        }
        expose_turn(&at.producer);
    }
    /* The beginning travels again each time, and what was under way when the other side heard. */
    ck_assert_uint_lt(written, STATE_BYTES + ROUNDS_MAX * 160000ull);
    ck_assert_mem_eq(shown(&at)->text, data, 100);
    free(data);
    pair_free(&at);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sessions");
    TCase *cases = tcase_create("outages");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, no_observer_sees_a_short_outage, 0, 2);
    tcase_add_test(cases, a_new_observer_during_an_outage_sees_that_the_source_is_away);
    tcase_add_test(cases, what_is_sent_during_an_outage_arrives_after_it);
    tcase_add_test(cases, contracts_made_during_an_outage_are_told_after_it);
    tcase_add_loop_test(cases, a_cut_at_any_byte_loses_nothing, 0, 8);
    tcase_add_loop_test(cases, a_long_outage_is_one_change_and_its_age_counts_from_the_last_byte, 0,
                        2);
    tcase_add_loop_test(cases, the_smaller_grace_of_both_sides_holds, 0, 2);
    tcase_add_test(cases, an_orderly_end_has_no_grace);
    tcase_add_loop_test(cases, another_takes_over_after_half_a_second_but_not_before, 0, 2);
    tcase_add_test(cases, silence_moves_nothing_before_the_grace_is_over);
    tcase_add_loop_test(cases, a_half_open_connection_does_not_block_a_return, 0, 2);
    tcase_add_test(cases, only_what_was_lost_travels_again);
    tcase_add_test(cases, a_tree_in_a_storm_of_short_cuts_shows_nothing);
    suite_add_tcase(suite, cases);
    cases = tcase_create("restarts");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, no_observer_sees_the_restart_of_a_hub, 0, 2);
    tcase_add_test(cases, a_hub_may_be_restarted_again_before_the_first_grace_is_over);
    tcase_add_loop_test(cases, what_was_sent_while_a_hub_was_restarted_arrives, 0, 2);
    tcase_add_loop_test(cases, states_travel_up_once_and_not_down_again_after_a_restart, 0, 2);
    tcase_add_loop_test(cases, an_exposer_keeps_its_object_over_a_restart, 0, 2);
    tcase_add_test(cases, a_first_start_does_not_wait);
    tcase_add_loop_test(cases, a_hub_in_the_middle_may_be_restarted, 0, 4);
    tcase_add_loop_test(cases, observers_of_a_tag_keep_what_they_saw_while_the_hub_is_gone, 0, 2);
    tcase_add_loop_test(cases, a_hand_over_to_an_exposer_that_is_away_for_a_moment_is_not_seen, 0,
                        25);
    tcase_add_test(cases, a_peer_that_names_nothing_still_converges);
    tcase_add_loop_test(cases, what_ends_after_a_return_ends_for_observers_of_its_tag, 0, 2);
    tcase_add_test(cases, a_state_unconfirmed_after_a_restart_is_as_old_as_the_last_byte);
    tcase_add_test(cases, a_way_to_the_root_that_was_lost_is_not_believed_later);
    tcase_add_test(cases, nothing_is_listed_before_a_return_is_answered);
    tcase_add_test(cases, an_assignment_is_named_once);
    tcase_add_loop_test(cases, a_large_state_arrives_over_a_way_that_is_too_short_lived_for_it, 0,
                        2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
