/* Whole exchanges over simulated connections: what a user of one sees of the others. */
#include "exchange/sink.h"
#include "users.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

/* A router with two leaves. */
typedef struct star {
    net *network;
    net_node *hub, *a, *b;
} star;

static star star_new(uint64_t seed)
{
    star made = {.network = net_new(seed)};
    made.hub = net_add(made.network);
    made.a = net_add(made.network);
    made.b = net_add(made.network);
    net_connect(made.a, made.hub, "name=a");
    net_connect(made.b, made.hub, "name=b");
    net_quiet(made.network);
    return made;
}

START_TEST(contracts_meet_inside_one_exchange)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    watcher observer, by_tag;
    exposer producer;
    watch_object(&observer, node, OBJECT, TAG);
    watch(&observer);
    ck_assert_uint_eq(observer.objects[0].opens, 1); /* at once, though it has no exposer */
    ck_assert_int_eq(observer.objects[0].source, HAKUBAN_SOURCE_NONE);
    expose_object(&producer, node, OBJECT, TAG, 1);
    watch_tag(&by_tag, node, TAG);
    expose(&producer, "1");
    assert_watched(&observer, OBJECT, "1", HAKUBAN_LIVE);
    assert_watched(&by_tag, OBJECT, "1", HAKUBAN_LIVE);
    ck_assert(by_tag.listed);
    expose(&producer, "2");
    expose(&producer, "3");
    assert_watched(&observer, OBJECT, "3", HAKUBAN_LIVE);
    ck_assert_uint_eq(observer.objects[0].states, 2); /* the newest, not each */
    watch_end(&observer);
    watch_end(&by_tag);
    ck_assert_uint_eq(exposed(&producer, OBJECT)->closes, 1);
    expose_end(&producer);
    net_free(network);
}
END_TEST

START_TEST(a_state_travels_through_a_router)
{
    star net3 = star_new(2);
    watcher observer;
    exposer producer;
    expose_object(&producer, net3.a, OBJECT, TAG, 1);
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose(&producer, "{\"n\":1}");
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "{\"n\":1}", HAKUBAN_LIVE);
    expose(&producer, "{\"n\":2}");
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "{\"n\":2}", HAKUBAN_LIVE);
    /* the last observer goes: the exposer has nothing more to do */
    watch_end(&observer);
    play_users(net3.network, &producer, NULL, NULL);
    ck_assert_uint_eq(producer.open_count, 0);
    expose_end(&producer);
    net_quiet(net3.network);
    hakuban_exchange_stats stats;
    hkb_exchange_count(net3.hub->exchange, &stats);
    ck_assert_uint_eq(stats.objects, 0);
    net_free(net3.network);
}
END_TEST

START_TEST(tags_find_objects_through_three_levels)
{
    net *network = net_new(3);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    net_node *other = net_add(network);
    watcher observer;
    exposer producer[3];
    const char *names[3] = {"1", "2", "3"};
    net_connect(hub, root, NULL);
    net_connect(leaf, hub, NULL);
    net_connect(other, root, NULL);
    for (int i = 0; i < 3; i++) {
        expose_object(&producer[i], other, names[i], TAG, 1);
        expose(&producer[i], names[i]);
    }
    net_quiet(network);
    watch_tag(&observer, leaf, TAG);
    for (int i = 0; i < 3; i++) {
        play_users(network, &producer[i], NULL, NULL);
    }
    for (int i = 0; i < 3; i++) {
        assert_watched(&observer, names[i], names[i], HAKUBAN_LIVE);
    }
    ck_assert(observer.listed);
    /* one more, later */
    exposer late;
    expose_object(&late, leaf, "4", TAG, 1);
    expose(&late, "four");
    play_users(network, &late, NULL, NULL);
    assert_watched(&observer, "4", "four", HAKUBAN_LIVE);
    expose_end(&late);
    for (int i = 0; i < 3; i++) {
        expose_end(&producer[i]);
    }
    net_quiet(network);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(watched(&observer, names[i])->closes, 1);
    }
    watch_end(&observer);
    net_free(network);
}
END_TEST

START_TEST(listed_waits_for_everything_above)
{
    net *network = net_new(4);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    net_node *other = net_add(network);
    watcher observer;
    exposer producer;
    net_connect(hub, root, NULL)->delay_ns = 200 * NET_MS;
    net_connect(leaf, hub, NULL);
    net_connect(other, root, NULL);
    expose_object(&producer, other, OBJECT, TAG, 1);
    net_run(network, 2 * NET_S);
    watch_tag(&observer, leaf, TAG);
    net_run(network, 100 * NET_MS);
    watch(&observer);
    ck_assert(!observer.listed);
    net_run(network, 600 * NET_MS);
    watch(&observer);
    ck_assert(observer.listed);
    ck_assert_uint_eq(observer.count, 1);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

START_TEST(complete_waits_for_the_first_states_from_above)
{
    net *network = net_new(4);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    net_node *other = net_add(network);
    watcher observer;
    exposer producer, resting;
    net_connect(hub, root, NULL);
    net_connect(leaf, hub, NULL);
    net_connect(other, root, NULL);
    expose_object(&producer, other, "1", TAG, 1);
    expose_object(&resting, other, "2", TAG, 0); /* never chosen: it is not waited for */
    net_run(network, 2 * NET_S);
    watch_tag(&observer, leaf, TAG);
    net_run(network, 2 * NET_S);
    watch(&observer);
    ck_assert(observer.listed && !observer.complete);
    ck_assert_uint_eq(observer.count, 2);
    /* An object that came after LISTED is not waited for either. */
    exposer late;
    expose_object(&late, leaf, "3", TAG, 1);
    expose(&producer, "one");
    play_users(network, &producer, NULL, NULL);
    watch(&observer);
    assert_watched(&observer, "1", "one", HAKUBAN_LIVE);
    ck_assert(observer.complete);
    watch_end(&observer);
    expose_end(&producer);
    expose_end(&resting);
    expose_end(&late);
    net_free(network);
}
END_TEST

START_TEST(complete_waits_for_no_object_that_has_gone)
{
    net *network = net_new(4);
    net_node *root = net_add(network), *leaf = net_add(network);
    watcher observer;
    exposer producer;
    net_connect(leaf, root, NULL);
    expose_object(&producer, root, "1", TAG, 1);
    net_run(network, NET_S);
    watch_tag(&observer, leaf, TAG);
    net_run(network, NET_S);
    watch(&observer);
    ck_assert(observer.listed && !observer.complete);
    expose_end(&producer);
    net_quiet(network);
    watch(&observer);
    ck_assert(observer.complete);
    watch_end(&observer);
    /* Where there is no object at all, it comes with LISTED. */
    watch_tag(&observer, leaf, TAG);
    net_quiet(network);
    watch(&observer);
    ck_assert(observer.listed && observer.complete);
    watch_end(&observer);
    net_free(network);
}
END_TEST

START_TEST(large_states_travel_in_parts_and_small_changes_small)
{
    star net3 = star_new(5);
    size_t bytes = 5 * 1024 * 1024 + 77;
    char *data = malloc(bytes);
    watcher observer;
    exposer producer;
    hakuban_exchange_stats before, after;
    for (size_t i = 0; i < bytes; i++) {
        data[i] = (char)('a' + net_below(net3.network, 26));
    }
    expose_object(&producer, net3.a, OBJECT, NULL, 1);
    watch_object(&observer, net3.b, OBJECT, NULL);
    play_users(net3.network, &producer, NULL, NULL);
    hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
    ck_assert_int_eq(net_send_bytes(net3.a, sink, data, bytes), HAKUBAN_OK);
    net_quiet(net3.network);
    ck_assert_uint_eq(watched(&observer, OBJECT)->bytes, bytes);
    hkb_exchange_count(net3.a->exchange, &before);
    data[bytes / 2] = '!';
    data[20] = '!';
    ck_assert_int_eq(net_send_bytes(net3.a, sink, data, bytes), HAKUBAN_OK);
    net_quiet(net3.network);
    hkb_exchange_count(net3.a->exchange, &after);
    ck_assert_uint_eq(watched(&observer, OBJECT)->states, 2);
    ck_assert_int_eq(observer.objects[0].text[20], '!');
    ck_assert_uint_lt(after.wire_bytes_out - before.wire_bytes_out, 80);
    free(data);
    watch_end(&observer);
    expose_end(&producer);
    net_free(net3.network);
}
END_TEST

START_TEST(a_leaf_gets_nothing_about_what_it_did_not_ask_for)
{
    star net3 = star_new(6);
    net_node *third = net_add(net3.network);
    net_connect(third, net3.hub, NULL);
    net_quiet(net3.network);
    hakuban_exchange_stats before, after;
    watcher observer;
    exposer producer;
    hkb_exchange_count(third->exchange, &before);
    expose_object(&producer, net3.a, OBJECT, TAG, 1);
    watch_tag(&observer, net3.b, TAG);
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        expose(&producer, text);
        play_users(net3.network, &producer, NULL, NULL);
    }
    assert_watched(&observer, OBJECT, "99", HAKUBAN_LIVE);
    hkb_exchange_count(third->exchange, &after);
    ck_assert_uint_eq(after.wire_bytes_in, before.wire_bytes_in);
    watch_end(&observer);
    expose_end(&producer);
    net_free(net3.network);
}
END_TEST

START_TEST(the_last_state_before_an_orderly_end_arrives)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        star net3 = star_new(seed);
        watcher observer;
        exposer producer;
        expose_object(&producer, net3.a, OBJECT, TAG, 1);
        watch_tag(&observer, net3.b, TAG);
        expose(&producer, "first");
        play_users(net3.network, &producer, NULL, NULL);
        watch(&observer);
        expose(&producer, "last");
        expose_end(&producer);
        net_quiet(net3.network);
        watch(&observer);
        ck_assert_str_eq(observer.objects[0].text, "last");
        ck_assert_uint_eq(observer.objects[0].closes, 1);
        watch_end(&observer);
        net_free(net3.network);
    }
}
END_TEST

START_TEST(leaving_flushes_what_was_sent)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        star net3 = star_new(seed);
        watcher observer;
        exposer producer;
        watch_object(&observer, net3.b, OBJECT, TAG);
        expose_object(&producer, net3.a, OBJECT, TAG, 1);
        expose(&producer, "first");
        play_users(net3.network, &producer, NULL, NULL);
        expose(&producer, "last");
        net_enter(net3.a);
        hkb_peer_leave(net3.a->up->peer[0]);
        net_run(net3.network, 100 * NET_MS);
        ck_assert(net3.a->ended.orderly);
        assert_watched(&observer, OBJECT, "last", HAKUBAN_STALE);
        expose_end(&producer);
        watch_end(&observer);
        net_free(net3.network);
    }
}
END_TEST

START_TEST(another_exposer_takes_over)
{
    star net3 = star_new(7);
    net_node *third = net_add(net3.network);
    net_pipe *pipe = net_connect(third, net3.hub, NULL);
    watcher observer;
    exposer first, second;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&first, third, OBJECT, TAG, 1);
    expose(&first, "first");
    play_users(net3.network, &first, NULL, NULL);
    expose_tag(&second, net3.a, TAG, 1);
    expose(&second, "second");
    play_users(net3.network, &first, &second, NULL);
    assert_watched(&observer, OBJECT, "first", HAKUBAN_LIVE); /* the first exposer keeps it */
    net_cut(pipe);
    net_run(net3.network, NET_S);
    play_users(net3.network, NULL, &second, NULL);
    assert_watched(&observer, OBJECT, "second", HAKUBAN_LIVE);
    /* and when no exposer is left, the known state stays, with its age */
    expose_end(&second);
    net_quiet(net3.network);
    net_run(net3.network, 3 * NET_S);
    assert_watched(&observer, OBJECT, "second", HAKUBAN_STALE);
    ck_assert_int_eq(observer.objects[0].source, HAKUBAN_SOURCE_NONE);
    watcher late;
    watch_object(&late, net3.b, OBJECT, TAG);
    assert_watched(&late, OBJECT, "second", HAKUBAN_STALE);
    ck_assert_uint_ge(late.objects[0].age_ns, 3 * NET_S);
    watch_end(&late);
    watch_end(&observer);
    expose_end(&first);
    net_free(net3.network);
}
END_TEST

START_TEST(a_hand_over_never_shows_two_exposers_nor_a_gap)
{
    star net3 = star_new(8);
    net_node *third = net_add(net3.network);
    net_connect(third, net3.hub, NULL)->delay_ns = 50 * NET_MS;
    watcher observer;
    exposer first, second;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&first, third, OBJECT, TAG, 1);
    expose_tag(&second, net3.a, TAG, 1);
    expose(&first, "first");
    expose(&second, "second");
    net_run(net3.network, NET_S);
    expose_turn(&first);
    expose_turn(&second);
    net_run(net3.network, NET_S);
    exposer *holder = first.open_count ? &first : &second,
            *other = first.open_count ? &second : &first;
    ck_assert_uint_eq(first.open_count + second.open_count, 1);
    watch(&observer);
    net_enter(holder->contract.node);
    ck_assert_int_eq(hkb_contract_set_capacity(holder->contract.contract, 0), HAKUBAN_OK);
    hkb_exchange_settle(holder->contract.node->exchange);
    for (int i = 0; i < 300; i++) {
        net_run(net3.network, 10 * NET_MS);
        expose_turn(holder); /* first the one that loses it */
        expose_turn(other);
        ck_assert_uint_le(first.open_count + second.open_count, 1);
        watch(&observer);
        ck_assert_int_eq(observer.objects[0].freshness, HAKUBAN_LIVE);
    }
    ck_assert_uint_eq(other->open_count, 1);
    assert_watched(&observer, OBJECT, other == &second ? "second" : "first", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&first);
    expose_end(&second);
    net_free(net3.network);
}
END_TEST

START_TEST(a_slow_clock_does_not_publish_into_silence)
{
    star net3 = star_new(9);
    net_node *third = net_add(net3.network);
    net_connect(third, net3.hub, NULL);
    watcher observer;
    exposer ahead, behind;
    net3.a->wall_offset_ns = 3600 * (int64_t)NET_S;
    third->wall_offset_ns = -3600 * (int64_t)NET_S;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&ahead, net3.a, OBJECT, TAG, 1);
    expose(&ahead, "ahead");
    play_users(net3.network, &ahead, NULL, NULL);
    expose_end(&ahead);
    expose_object(&behind, third, OBJECT, TAG, 1);
    expose(&behind, "behind");
    play_users(net3.network, &behind, NULL, NULL);
    assert_watched(&observer, OBJECT, "behind", HAKUBAN_LIVE);
    expose(&behind, "and on");
    play_users(net3.network, &behind, NULL, NULL);
    assert_watched(&observer, OBJECT, "and on", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&behind);
    net_free(net3.network);
}
END_TEST

START_TEST(a_restarted_router_forgets_but_observers_never_go_back)
{
    star net3 = star_new(10);
    net_node *third = net_add(net3.network);
    watcher observer;
    exposer ahead, behind;
    net3.a->wall_offset_ns = 3600 * (int64_t)NET_S;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&ahead, net3.a, OBJECT, TAG, 1);
    expose(&ahead, "ahead");
    play_users(net3.network, &ahead, NULL, NULL);
    net_cut(net3.a->up);
    expose_end(&ahead);
    net_restart(net3.hub);
    /* the exposer that comes now has a slower clock, and the router knows nothing of what was */
    net_connect(third, net3.hub, NULL);
    expose_object(&behind, third, OBJECT, TAG, 1);
    expose(&behind, "behind");
    net_quiet(net3.network);
    net_connect(net3.b, net3.hub, NULL);
    net_run(net3.network, 3 * NET_S); /* the exposer that had it might have come back */
    play_users(net3.network, &behind, NULL, NULL);
    assert_watched(&observer, OBJECT, "behind", HAKUBAN_LIVE);
    exposed_object *object = exposed(&behind, OBJECT);
    ck_assert(object->floors || object->floor.count); /* the observer said what it has */
    watch_end(&observer);
    expose_end(&behind);
    net_free(net3.network);
}
END_TEST

/* a: a hub that comes late to a router, which has a state of an exposer that has gone, under a
 * later version. _i: whether the exposer that is lost in the end is local to that hub. */
START_TEST(what_a_router_still_has_replaces_nothing_that_was_said_since)
{
    star net3 = star_new(26);
    net_node *below = net_add(net3.network), *at = _i ? net3.a : below;
    net_contract keeper = net_expose(net3.hub, OBJECT, TAG, 0);
    watcher before, observer;
    exposer gone, producer;
    net3.b->wall_offset_ns = 3600 * (int64_t)NET_S;
    expose_object(&gone, net3.b, OBJECT, TAG, 1);
    watch_object(&before, net3.hub, OBJECT, TAG);
    expose(&gone, "old");
    play_users(net3.network, &gone, NULL, NULL);
    watch_end(&before);
    expose_end(&gone);
    net_cut(net3.a->up);
    net_run(net3.network, 10 * NET_S);

    net_connect(below, net3.a, "grace=0");
    expose_object(&producer, at, OBJECT, TAG, 1);
    watch_object(&observer, net3.a, OBJECT, TAG);
    expose(&producer, "new");
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "new", HAKUBAN_LIVE);
    net_connect(net3.a, net3.hub, NULL);
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "new", HAKUBAN_LIVE);
    net_cut(below->up);
    expose_end(&producer);
    net_quiet(net3.network);
    assert_watched(&observer, OBJECT, "new", HAKUBAN_STALE);
    ck_assert_uint_lt(watched(&observer, OBJECT)->age_ns, NET_S);
    watch_end(&observer);
    net_end(&keeper);
    net_free(net3.network);
}
END_TEST

/* An exposer and an observer come back together, below two hubs that observe the object as well.
 * The lower hub chooses them at once, and still sends the observer the large state from before when
 * the upper one has chosen, too. */
START_TEST(an_exposer_that_comes_back_while_a_large_state_is_sent_serves_again)
{
    static char text[300000];
    net *network = net_new(27);
    net_node *root = net_add(network), *hub = net_add(network), *below = net_add(network);
    net_node *leaf = net_add(network);
    watcher above, at_hub, at_below;
    exposer producer;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + net_below(network, 26)); /* hardly compressible */
    }
    net_connect(hub, root, NULL);
    net_connect(below, hub, "grace=0");
    net_connect(leaf, below, NULL);
    watch_tag(&above, root, TAG);
    watch_object(&at_hub, hub, OBJECT, TAG);
    watch_object(&at_below, below, OBJECT, TAG);
    expose_tag(&producer, leaf, TAG, 1);
    play_users(network, &producer, NULL, NULL);
    ck_assert_int_eq(net_send_bytes(leaf, exposed(&producer, OBJECT)->sink, text, sizeof(text)),
                     HAKUBAN_OK);
    net_quiet(network);
    net_cut(below->up);
    net_run(network, 400 * NET_MS);
    network->chunk_bytes_max =
        60; /* the hub reads of the observer before it reads of the exposer */
    net_connect(below, hub, "grace=0");
    net_run(network, 3 * NET_S);
    expose_turn(&producer);
    ck_assert_uint_eq(producer.open_count, 1);
    expose(&producer, "new");
    play_users(network, &producer, NULL, NULL);
    assert_watched(&above, OBJECT, "new", HAKUBAN_LIVE);
    assert_watched(&at_hub, OBJECT, "new", HAKUBAN_LIVE);
    assert_watched(&at_below, OBJECT, "new", HAKUBAN_LIVE);
    watch_end(&above);
    watch_end(&at_hub);
    watch_end(&at_below);
    expose_end(&producer);
    net_free(network);
}
END_TEST

START_TEST(versions_of_the_users_own_below_the_floor_are_refused)
{
    star net3 = star_new(11);
    watcher observer;
    exposer first, second;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&first, net3.a, OBJECT, TAG, 1);
    play_users(net3.network, &first, NULL, NULL);
    ck_assert_int_eq(net_send_version(net3.a, exposed(&first, OBJECT)->sink, "ten", 10),
                     HAKUBAN_OK);
    net_quiet(net3.network);
    ck_assert_int_eq(net_send_version(net3.a, exposed(&first, OBJECT)->sink, "nine", 9),
                     HAKUBAN_ERR_VERSION);
    expose_end(&first);
    expose_object(&second, net3.a, OBJECT, TAG, 1);
    play_users(net3.network, &second, NULL, NULL);
    exposed_object *object = exposed(&second, OBJECT);
    ck_assert_int_eq(net_send_version(net3.a, object->sink, "one", 1), HAKUBAN_ERR_VERSION);
    net_quiet(net3.network);
    assert_watched(&observer, OBJECT, "ten", HAKUBAN_STALE);
    ck_assert_int_eq(net_send_version(net3.a, object->sink, "eleven", 11), HAKUBAN_OK);
    net_quiet(net3.network);
    assert_watched(&observer, OBJECT, "eleven", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&second);
    net_free(net3.network);
}
END_TEST

/* A peer may say that it knows any version, the greatest too. */
START_TEST(where_no_greater_version_is_left_observers_see_stale)
{
    star net3 = star_new(14);
    watcher observer;
    exposer producer;
    hkb_version greatest = {.count = HAKUBAN_VERSION_ELEMENTS_MAX};
    for (size_t i = 0; i < greatest.count; i++) {
        greatest.elements[i] = INT64_MAX;
    }
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&producer, net3.a, OBJECT, TAG, 1);
    expose(&producer, "one");
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "one", HAKUBAN_LIVE);
    hakuban_descriptor *name = net_descriptor(OBJECT, TAG);
    hkb_object *known = hkb_object_find(net_enter(net3.b), name);
    ck_assert_int_eq(hkb_object_raise_floor(known, &greatest, NULL), HAKUBAN_OK);
    hakuban_descriptor_unref(name);
    play_users(net3.network, &producer, NULL, NULL);
    assert_watched(&observer, OBJECT, "one", HAKUBAN_STALE);
    ck_assert_int_lt(net_send(net3.a, exposed(&producer, OBJECT)->sink, "two"), 0);
    net_run(net3.network, 5 * NET_S);
    assert_watched(&observer, OBJECT, "one", HAKUBAN_STALE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(net3.network);
}
END_TEST

START_TEST(a_reader_that_stops_costs_one_newest_state)
{
    star net3 = star_new(12);
    watcher observer;
    exposer producer;
    char text[3000];
    memset(text, 'x', sizeof(text));
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&producer, net3.a, OBJECT, TAG, 1);
    play_users(net3.network, &producer, NULL, NULL);
    hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
    net3.b->up->stalled[0] = true;
    size_t bytes_early = 0;
    for (int i = 0; i < 3000; i++) {
        for (size_t k = 0; k < sizeof(text); k++) {
            text[k] = (char)('a' + net_below(net3.network, 26));
        }
        ck_assert_int_eq(net_send_bytes(net3.a, sink, text, sizeof(text)), HAKUBAN_OK);
        net_run(net3.network, NET_MS);
        if (i == 300) {
            bytes_early = net3.hub->memory.bytes;
        }
    }
    ck_assert_uint_le(net3.hub->memory.bytes, bytes_early + 16384);
    net3.b->up->stalled[0] = false;
    net_quiet(net3.network);
    const seen_object *shown = watched(&observer, OBJECT);
    ck_assert_mem_eq(shown->text, text, 100);
    ck_assert_int_eq(shown->freshness, HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(net3.network);
}
END_TEST

START_TEST(a_cut_at_any_byte_heals)
{
    /* The session is played once to know its length, then cut at each byte of each side. */
    for (int side = 0; side < 2; side++) {
        uint64_t length = UINT64_MAX, cut = 0;
        do {
            net *network = net_new(1000 + cut);
            net_node *hub = net_add(network), *a = net_add(network), *b = net_add(network);
            watcher observer;
            exposer producer;
            net_connect(b, hub, NULL);
            net_pipe *pipe = net_connect(a, hub, NULL);
            if (length != UINT64_MAX) {
                pipe->cut_after[side] = cut;
            }
            expose_object(&producer, a, OBJECT, TAG, 1);
            watch_tag(&observer, b, TAG);
            expose(&producer, "1");
            play_users(network, &producer, NULL, NULL);
            expose(&producer, "22");
            play_users(network, &producer, NULL, NULL);
            if (length == UINT64_MAX) {
                length = pipe->written[side];
            } else {
                if (!pipe->broken) {
                    net_cut(pipe);
                }
                net_quiet(network);
                net_connect(a, hub, NULL);
                play_users(network, &producer, NULL, NULL);
                expose(&producer, "333");
                play_users(network, &producer, NULL, NULL);
                cut++;
            }
            assert_watched(&observer, OBJECT, cut ? "333" : "22", HAKUBAN_LIVE);
            watch_end(&observer);
            expose_end(&producer);
            net_free(network);
        } while (cut < length);
    }
}
END_TEST

START_TEST(a_loop_of_hubs_is_refused)
{
    net *network = net_new(13);
    net_node *a = net_add(network), *b = net_add(network), *c = net_add(network);
    net_connect(b, a, NULL);
    net_connect(c, b, NULL);
    net_quiet(network);
    net_pipe *pipe = net_connect(a, c, NULL);
    net_quiet(network);
    ck_assert(pipe->broken);
    ck_assert_int_eq(a->ended.why.status, HAKUBAN_ERR_REFUSED);
    ck_assert_ptr_nonnull(strstr(a->ended.why.text, "loop"));
    /* an exchange above itself */
    net_pipe *self = net_connect(a, a, NULL);
    net_quiet(network);
    ck_assert(self->broken);
    net_free(network);
}
END_TEST

START_TEST(a_silent_connection_is_cut_in_time)
{
    star net3 = star_new(14);
    watcher observer;
    exposer producer;
    watch_object(&observer, net3.b, OBJECT, TAG);
    expose_object(&producer, net3.a, OBJECT, TAG, 1);
    expose(&producer, "x");
    play_users(net3.network, &producer, NULL, NULL);
    net_run(net3.network, 300 * NET_S); /* keep-alive holds it */
    assert_watched(&observer, OBJECT, "x", HAKUBAN_LIVE);
    net3.a->up->stalled[0] = net3.a->up->stalled[1] =
        true;                          /* half-open: nothing arrives any more */
    net_run(net3.network, 53 * NET_S); /* 2.5 times the keep-alive, and the grace */
    assert_watched(&observer, OBJECT, "x", HAKUBAN_STALE);
    ck_assert_uint_ge(observer.objects[0].age_ns, 29 * NET_S); /* from the last byte that came */
    ck_assert_int_eq(net3.hub->ended.why.status, HAKUBAN_ERR_TIMEOUT);
    watch_end(&observer);
    expose_end(&producer);
    net_free(net3.network);
}
END_TEST

START_TEST(an_idle_connection_stays)
{
    net *network = net_new(19);
    net_node *hub = net_add(network), *leaf = net_add(network), *other = net_add(network);
    net_connect(leaf, hub, "keep-alive=1s");
    net_connect(other, hub, "keep-alive=700ms")->delay_ns = 300 * NET_MS;
    net_run(network, 1000 * NET_S);
    ck_assert_uint_eq(hub->ended.count + leaf->ended.count + other->ended.count, 0);
    net_free(network);
}
END_TEST

START_TEST(load_spreads_and_a_lost_workers_objects_move)
{
    net *network = net_new(15);
    net_node *hub = net_add(network), *observer_node = net_add(network), *nodes[4];
    static watcher observers[60];
    static exposer workers[4];
    net_pipe *pipes[4];
    net_connect(observer_node, hub, NULL);
    for (int i = 0; i < 3; i++) {
        nodes[i] = net_add(network);
        pipes[i] = net_connect(nodes[i], hub, NULL);
        expose_tag(&workers[i], nodes[i], TAG, 1);
        expose(&workers[i], "x");
    }
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], observer_node, name, TAG);
    }
    for (int t = 0; t < 100; t++) {
        net_run(network, 100 * NET_MS);
        for (int i = 0; i < 3; i++) {
            expose_turn(&workers[i]);
        }
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ge(workers[i].open_count, 19);
        ck_assert_uint_le(workers[i].open_count, 21);
    }
    /* one more, twice as strong */
    nodes[3] = net_add(network);
    pipes[3] = net_connect(nodes[3], hub, NULL);
    expose_tag(&workers[3], nodes[3], TAG, 2);
    expose(&workers[3], "x");
    for (int t = 0; t < 100; t++) {
        net_run(network, 100 * NET_MS);
        for (int i = 0; i < 4; i++) {
            expose_turn(&workers[i]);
        }
    }
    ck_assert_uint_ge(workers[3].open_count, 22);
    ck_assert_uint_le(workers[3].open_count, 26);
    unsigned opens = 0, later = 0;
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < workers[i].count; k++) {
            opens += workers[i].objects[k].opens;
        }
    }
    /* it has come to rest */
    for (int t = 0; t < 100; t++) {
        net_run(network, 100 * NET_MS);
        for (int i = 0; i < 4; i++) {
            expose_turn(&workers[i]);
        }
    }
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < workers[i].count; k++) {
            later += workers[i].objects[k].opens;
        }
    }
    ck_assert_uint_eq(opens, later);
    /* one is killed */
    net_cut(pipes[0]);
    for (int t = 0; t < 50; t++) {
        net_run(network, 100 * NET_MS);
        for (int i = 0; i < 4; i++) {
            expose_turn(&workers[i]);
        }
    }
    ck_assert_uint_eq(workers[1].open_count + workers[2].open_count + workers[3].open_count, 60);
    for (int i = 0; i < 60; i++) {
        watch(&observers[i]);
        ck_assert_int_eq(observers[i].objects[0].freshness, HAKUBAN_LIVE);
        watch_end(&observers[i]);
    }
    for (int i = 0; i < 4; i++) {
        expose_end(&workers[i]);
    }
    net_free(network);
}
END_TEST

START_TEST(load_limits_hold)
{
    star net3 = star_new(16);
    net_node *third = net_add(net3.network);
    static watcher observers[10];
    exposer worker;
    net_connect(third, net3.hub, "load-limit=2:0-2:5-5:7");
    expose_tag(&worker, third, TAG, 1);
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], net3.b, name, TAG);
    }
    net_run(net3.network, NET_S);
    expose_turn(&worker);
    ck_assert_uint_eq(worker.open_count, 0);
    net_run(net3.network, 2500 * NET_MS);
    expose_turn(&worker);
    ck_assert_uint_ge(worker.open_count, 5);
    ck_assert_uint_le(worker.open_count, 6);
    net_run(net3.network, 4 * NET_S);
    expose_turn(&worker);
    ck_assert_uint_eq(worker.open_count, 7);
    for (int i = 0; i < 10; i++) {
        watch_end(&observers[i]);
    }
    expose_end(&worker);
    net_free(net3.network);
}
END_TEST

/* Everything fails once in its turn; whatever happened then, all is well again afterwards. */
START_TEST(running_out_of_memory_breaks_nothing)
{
    for (size_t fail_at = 1;; fail_at++) {
        star net3 = star_new(17);
        watcher observer;
        exposer producer;
        watch_tag(&observer, net3.b, TAG);
        expose_object(&producer, net3.a, OBJECT, TAG, 1);
        fail_alloc_arm(&net3.hub->memory, fail_at, false);
        expose(&producer, "1");
        play_users(net3.network, &producer, NULL, NULL);
        expose(&producer, "2");
        play_users(net3.network, &producer, NULL, NULL);
        bool failed = fail_alloc_failed(&net3.hub->memory);
        fail_alloc_arm(&net3.hub->memory, 0, false);
        if (!net3.a->up) {
            net_connect(net3.a, net3.hub, NULL);
        }
        if (!net3.b->up) {
            net_connect(net3.b, net3.hub, NULL);
        }
        net_run(net3.network, 3 * NET_S);
        expose(&producer, "3");
        play_users(net3.network, &producer, NULL, NULL);
        assert_watched(&observer, OBJECT, "3", HAKUBAN_LIVE);
        watch_end(&observer);
        expose_end(&producer);
        net_free(net3.network);
        if (!failed) {
            break;
        }
        ck_assert_uint_lt(fail_at, 10000);
    }
}
END_TEST

START_TEST(objects_come_and_go_without_a_trace)
{
    star net3 = star_new(18);
    watcher observer;
    watch_tag(&observer, net3.b, TAG);
    net_quiet(net3.network);
    size_t bytes = 0;
    for (int i = 0; i < 5000; i++) {
        exposer producer;
        char name[32];
        snprintf(name, sizeof(name), "%d", i % 200 + 1000 * (i / 200));
        expose_object(&producer, net3.a, name, TAG, 1);
        expose(&producer, name);
        play_users(net3.network, &producer, NULL, NULL);
        expose_end(&producer);
        net_quiet(net3.network);
        watch(&observer);
        observer.count = 0;
        if (i == 100) {
            bytes = net3.hub->memory.bytes;
        }
    }
    net_run(net3.network, 5 * NET_S);
    ck_assert_uint_le(net3.hub->memory.bytes, bytes);
    watch_end(&observer);
    net_free(net3.network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchanges");
    TCase *cases = tcase_create("network");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, contracts_meet_inside_one_exchange);
    tcase_add_test(cases, a_state_travels_through_a_router);
    tcase_add_test(cases, tags_find_objects_through_three_levels);
    tcase_add_test(cases, listed_waits_for_everything_above);
    tcase_add_test(cases, complete_waits_for_the_first_states_from_above);
    tcase_add_test(cases, complete_waits_for_no_object_that_has_gone);
    tcase_add_test(cases, large_states_travel_in_parts_and_small_changes_small);
    tcase_add_test(cases, a_leaf_gets_nothing_about_what_it_did_not_ask_for);
    tcase_add_test(cases, the_last_state_before_an_orderly_end_arrives);
    tcase_add_test(cases, leaving_flushes_what_was_sent);
    tcase_add_test(cases, another_exposer_takes_over);
    tcase_add_test(cases, a_hand_over_never_shows_two_exposers_nor_a_gap);
    tcase_add_test(cases, a_slow_clock_does_not_publish_into_silence);
    tcase_add_test(cases, a_restarted_router_forgets_but_observers_never_go_back);
    tcase_add_loop_test(cases, what_a_router_still_has_replaces_nothing_that_was_said_since, 0, 2);
    tcase_add_test(cases, an_exposer_that_comes_back_while_a_large_state_is_sent_serves_again);
    tcase_add_test(cases, versions_of_the_users_own_below_the_floor_are_refused);
    tcase_add_test(cases, where_no_greater_version_is_left_observers_see_stale);
    tcase_add_test(cases, a_reader_that_stops_costs_one_newest_state);
    tcase_add_test(cases, a_cut_at_any_byte_heals);
    tcase_add_test(cases, a_loop_of_hubs_is_refused);
    tcase_add_test(cases, a_silent_connection_is_cut_in_time);
    tcase_add_test(cases, an_idle_connection_stays);
    tcase_add_test(cases, load_spreads_and_a_lost_workers_objects_move);
    tcase_add_test(cases, load_limits_hold);
    tcase_add_test(cases, running_out_of_memory_breaks_nothing);
    tcase_add_test(cases, objects_come_and_go_without_a_trace);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
