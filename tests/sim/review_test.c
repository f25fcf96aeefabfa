/* What a sceptical reader of the exchange feared, as a user would meet it: each case once was, or
 * could easily become, a bug. */
#include "exchange/records.h"
#include "exchange/sink.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

/* Lets up to three exposers answer and everything arrive. */
static void play(net *network, exposer *one, exposer *two, exposer *three)
{
    exposer *all[] = {one, two, three};
    for (int i = 0; i < 4; i++) {
        net_quiet(network);
        for (int k = 0; k < 3; k++) {
            if (all[k]) {
                expose_turn(all[k]);
            }
        }
    }
    net_quiet(network);
}

static void assert_shows(watcher *user, const char *object, const char *text,
                         hakuban_freshness freshness)
{
    const seen_object *shown = watched(user, object);
    ck_assert_ptr_nonnull(shown);
    ck_assert(shown->open);
    ck_assert_str_eq(shown->text, text);
    ck_assert_int_eq(shown->freshness, freshness);
}

/* -- Somebody who says whatever it likes, in frames of JSON -- */

static hkb_peer *stranger_new(net_node *node)
{
    hkb_link_settings settings = {
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
    };
    hkb_peer *peer;
    ck_assert_int_eq(hkb_exchange_attach(net_enter(node), &settings, false, true, NULL, &peer),
                     HAKUBAN_OK);
    return peer;
}

static void put_frame(hkb_buffer *out, const char *header)
{
    ck_assert_int_eq(
        hkb_frame_put(out, (hakuban_slice){header, strlen(header)}, (hakuban_slice){NULL, 0}),
        HAKUBAN_OK);
}

/* All in one piece, as they may come out of a socket. */
static void stranger_says(net_node *node, hkb_peer *peer, const char *const *headers, size_t count)
{
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        put_frame(&out, headers[i]);
    }
    net_enter(node);
    hkb_peer_receive(peer, out.data, out.bytes);
    hkb_exchange_settle(node->exchange);
    hkb_buffer_done(&out);
}

static void stranger_hears(net_node *node)
{
    hkb_peer *peer;
    while ((peer = hkb_exchange_ready_peer(node->exchange))) {
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
    }
}

#define STRANGERS_HELLO                                                                            \
    "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"00000000000000000000000000000001\"],"               \
    "\"serializers\":[\"json\"],\"compressors\":[\"none\"],\"keep_alive_ms\":20000,"               \
    "\"grace_ms\":0,\"window\":262144,\"state_max\":100000}"

START_TEST(a_tag_may_be_observed_again_before_all_is_settled)
{
    static const char *const flags[] = {
        STRANGERS_HELLO,           "[9,3,1,\"\\\"tag\\\"\"]", "[9,2,1,\"\\\"tag\\\"\"]",
        "[9,3,1,\"\\\"tag\\\"\"]", "[9,0,0,\"\\\"tag\\\"\"]", "[9,1,0,\"\\\"tag\\\"\"]",
    };
    net *network = net_new(1);
    net_node *hub = net_add(network);
    hkb_peer *peer = stranger_new(hub);
    stranger_says(hub, peer, flags, HKB_COUNT(flags));
    stranger_hears(hub);
    ck_assert_int_eq(peer->link.phase, HKB_LINK_OPEN);
    hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "gone");
    net_free(network);
}
END_TEST

/* Each object with 64 tags of its own: what that costs is counted. */
START_TEST(what_a_peer_makes_us_keep_is_counted)
{
    net *network = net_new(2);
    net_node *hub = net_add(network);
    hkb_peer *peer = stranger_new(hub);
    const char *hello = STRANGERS_HELLO;
    stranger_says(hub, peer, &hello, 1);
    stranger_hears(hub);
    size_t before = hub->memory.bytes, accounted = peer->accounted_bytes;
    for (int i = 0; i < 1000; i++) {
        char text[2048];
        int at = snprintf(text, sizeof(text), "[8,1,0,\"%d\"", i);
        for (int k = 0; k < 64; k++) {
            at += snprintf(text + at, sizeof(text) - (size_t)at, ",\"%d\"", 64 * i + k);
        }
        snprintf(text + at, sizeof(text) - (size_t)at, "]");
        const char *header = text;
        stranger_says(hub, peer, &header, 1);
        stranger_hears(hub);
    }
    size_t kept = hub->memory.bytes - before;
    ck_assert_int_eq(peer->link.phase, HKB_LINK_OPEN);
    ck_assert_uint_le(kept, 2 * (peer->accounted_bytes - accounted));
    hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "gone");
    net_free(network);
}
END_TEST

/* -- Two who each served themselves meet -- */

static void meet(int64_t late_offset_ns, int64_t early_offset_ns)
{
    net *network = net_new(3);
    net_node *hub = net_add(network), *early = net_add(network), *late = net_add(network);
    net_node *other = net_add(network);
    watcher early_observer, late_observer, third;
    exposer early_exposer, late_exposer;
    early->wall_offset_ns = early_offset_ns;
    late->wall_offset_ns = late_offset_ns;
    watch_object(&early_observer, early, OBJECT, TAG);
    expose_object(&early_exposer, early, OBJECT, TAG, 1);
    expose(&early_exposer, "early");
    watch_object(&late_observer, late, OBJECT, TAG);
    expose_object(&late_exposer, late, OBJECT, TAG, 1);
    expose(&late_exposer, "late");
    watch_object(&third, other, OBJECT, TAG);
    net_connect(early, hub, NULL);
    net_connect(other, hub, NULL);
    play(network, &early_exposer, &late_exposer, NULL);
    assert_shows(&third, OBJECT, "early", HAKUBAN_LIVE);
    assert_shows(&late_observer, OBJECT, "late", HAKUBAN_LIVE);
    net_connect(late, hub, NULL);
    play(network, &early_exposer, &late_exposer, NULL);
    net_run(network, 3 * NET_S);
    ck_assert_uint_eq(early_exposer.open_count, 1);
    expose_turn(&late_exposer);
    ck_assert_uint_eq(late_exposer.open_count, 0);
    assert_shows(&third, OBJECT, "early", HAKUBAN_LIVE);
    assert_shows(&early_observer, OBJECT, "early", HAKUBAN_LIVE);
    assert_shows(&late_observer, OBJECT, "early", HAKUBAN_LIVE);
    watch_end(&early_observer);
    watch_end(&late_observer);
    watch_end(&third);
    expose_end(&early_exposer);
    expose_end(&late_exposer);
    net_free(network);
}

START_TEST(who_comes_late_with_older_data_takes_over_what_is_there)
{
    meet(-3600 * (int64_t)NET_S, 0);
}
END_TEST

START_TEST(who_comes_late_with_newer_data_is_served_all_the_same)
{
    meet(3600 * (int64_t)NET_S, 0);
}
END_TEST

/* Two that observe and expose: when one comes back, the one who served itself meanwhile follows or
 * leads, whatever its clock says. */
START_TEST(leaders_come_and_go_and_all_agree)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        net *network = net_new(seed);
        net_node *hub = net_add(network), *nodes[3];
        net_pipe *pipes[3];
        watcher observers[3];
        exposer exposers[3];
        for (int i = 0; i < 3; i++) {
            char text[16];
            snprintf(text, sizeof(text), "%d", i);
            nodes[i] = net_add(network);
            nodes[i]->wall_offset_ns =
                (int64_t)net_below(network, 7200 * NET_S) - 3600 * (int64_t)NET_S;
            pipes[i] = net_connect(nodes[i], hub, NULL);
            watch_object(&observers[i], nodes[i], OBJECT, TAG);
            expose_object(&exposers[i], nodes[i], OBJECT, TAG, 1);
            expose(&exposers[i], text);
        }
        for (int t = 0; t < 12; t++) {
            int i = (int)net_below(network, 3);
            if (pipes[i]->broken) {
                pipes[i] = net_connect(nodes[i], hub, NULL);
            } else {
                net_cut(pipes[i]);
            }
            play(network, &exposers[0], &exposers[1], &exposers[2]);
        }
        for (int i = 0; i < 3; i++) {
            if (pipes[i]->broken) {
                pipes[i] = net_connect(nodes[i], hub, NULL);
            }
        }
        play(network, &exposers[0], &exposers[1], &exposers[2]);
        net_run(network, 3 * NET_S);
        play(network, &exposers[0], &exposers[1], &exposers[2]);
        exposed_object *leader = NULL;
        for (int i = 0; i < 3; i++) {
            exposed_object *own = exposed(&exposers[i], OBJECT);
            if (own && own->sink) {
                ck_assert_ptr_null(leader);
                leader = own;
            }
        }
        ck_assert_ptr_nonnull(leader);
        for (int i = 0; i < 3; i++) {
            assert_shows(&observers[i], OBJECT, leader->sent, HAKUBAN_LIVE);
        }
        for (int i = 0; i < 3; i++) {
            watch_end(&observers[i]);
            expose_end(&exposers[i]);
        }
        net_free(network);
    }
}
END_TEST

/* -- Load -- */

/* The limit is heard before the first contract, however the bytes arrive. */
START_TEST(a_load_limit_holds_from_the_first_contract_on)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        net *network = net_new(seed);
        net_node *hub = net_add(network), *worker_node = net_add(network);
        net_node *observer_node = net_add(network);
        static watcher observers[8];
        exposer worker;
        network->chunk_bytes_max = 1 + (size_t)net_below(network, 8);
        net_connect(observer_node, hub, NULL);
        for (int i = 0; i < 8; i++) {
            char name[16];
            snprintf(name, sizeof(name), "%d", i);
            watch_object(&observers[i], observer_node, name, TAG);
        }
        expose_tag(&worker, worker_node, TAG, 1);
        net_quiet(network);
        net_connect(worker_node, hub, "load-limit=3");
        net_run(network, 3 * NET_S);
        expose_turn(&worker);
        ck_assert_uint_eq(worker.open_count, 3);
        for (int i = 0; i < 8; i++) {
            watch_end(&observers[i]);
        }
        expose_end(&worker);
        net_free(network);
    }
}
END_TEST

START_TEST(a_load_limit_of_whole_objects_is_not_lost_to_rounding)
{
    net *network = net_new(5);
    net_node *hub = net_add(network), *worker_node = net_add(network);
    static watcher observers[40];
    exposer worker;
    net_connect(worker_node, hub, "load-limit=3");
    expose_tag(&worker, worker_node, TAG, 10);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], hub, name, TAG);
    }
    net_run(network, 3 * NET_S);
    expose_turn(&worker);
    ck_assert_uint_eq(worker.open_count, 30);
    for (int i = 0; i < 40; i++) {
        watch_end(&observers[i]);
    }
    expose_end(&worker);
    net_free(network);
}
END_TEST

/* -- Memory that runs out -- */

/* The exposer is lost, or ends, while there is no memory to give the object to the next one. */
START_TEST(an_exposer_is_lost_without_memory_for_the_next)
{
    for (int how = 0; how < 2; how++) {
        for (size_t fail_at = 1;; fail_at++) {
            net *network = net_new(6);
            net_node *hub = net_add(network), *nodes[2];
            net_pipe *pipes[2];
            watcher observer;
            exposer workers[2], own;
            watch_object(&observer, hub, OBJECT, TAG);
            for (int i = 0; i < 2; i++) {
                nodes[i] = net_add(network);
                pipes[i] = net_connect(nodes[i], hub, NULL);
                expose_tag(&workers[i], nodes[i], TAG, 1);
                expose(&workers[i], "worker");
            }
            play(network, &workers[0], &workers[1], NULL);
            if (how == 1) {
                expose_object(&own, hub, OBJECT, TAG, 1);
                expose(&own, "own");
                play(network, &workers[0], &workers[1], &own);
            }
            int holder = workers[0].open_count ? 0 : 1;
            fail_alloc_arm(&hub->memory, fail_at, false);
            if (how == 0) {
                net_cut(pipes[holder]);
            } else {
                expose_end(&own);
            }
            bool failed = fail_alloc_failed(&hub->memory);
            fail_alloc_arm(&hub->memory, 0, false);
            for (int i = 0; i < 2; i++) {
                net_run(network, 100 * NET_MS);
                if (!nodes[i]->up) {
                    net_connect(nodes[i], hub, NULL);
                }
            }
            play(network, &workers[0], &workers[1], NULL);
            net_run(network, 3 * NET_S);
            play(network, &workers[0], &workers[1], NULL);
            ck_assert_uint_eq(workers[0].open_count + workers[1].open_count, 1);
            assert_shows(&observer, OBJECT, "worker", HAKUBAN_LIVE);
            watch_end(&observer);
            for (int i = 0; i < 2; i++) {
                expose_end(&workers[i]);
            }
            net_free(network);
            if (!failed) {
                break;
            }
            ck_assert_uint_lt(fail_at, 1000);
        }
    }
}
END_TEST

/* Memory that stays away for a while: nothing turns in circles, and afterwards all is well. */
START_TEST(memory_that_stays_away_stops_nothing_for_ever)
{
    for (size_t fail_at = 1;; fail_at++) {
        net *network = net_new(7);
        net_node *hub = net_add(network), *a = net_add(network), *b = net_add(network);
        watcher own, other;
        exposer producer;
        net_connect(a, hub, NULL);
        net_connect(b, hub, NULL);
        watch_tag(&own, hub, TAG);
        watch_tag(&other, b, TAG);
        net_quiet(network);
        fail_alloc_arm(&hub->memory, fail_at, true);
        expose_object(&producer, a, OBJECT, TAG, 1);
        expose(&producer, "1");
        play(network, &producer, NULL, NULL);
        bool failed = fail_alloc_failed(&hub->memory);
        fail_alloc_arm(&hub->memory, 0, false);
        for (int i = 0; i < 3; i++) {
            net_run(network, 2 * NET_S);
            if (!a->up) {
                net_connect(a, hub, NULL);
            }
            if (!b->up) {
                net_connect(b, hub, NULL);
            }
        }
        expose(&producer, "2");
        play(network, &producer, NULL, NULL);
        assert_shows(&own, OBJECT, "2", HAKUBAN_LIVE);
        assert_shows(&other, OBJECT, "2", HAKUBAN_LIVE);
        expose_end(&producer);
        net_run(network, 2 * NET_S);
        watch(&own);
        watch(&other);
        ck_assert(!own.objects[0].open);
        ck_assert(!other.objects[0].open);
        watch_end(&own);
        watch_end(&other);
        net_free(network);
        if (!failed) {
            break;
        }
        ck_assert_uint_lt(fail_at, 1000);
    }
}
END_TEST

/* The object's first observers by tag cannot be told for lack of memory, and it ends before they
 * are. */
START_TEST(an_object_that_ends_before_there_was_memory_for_it_leaves_nothing)
{
    for (size_t fail_at = 1; fail_at < 30; fail_at++) {
        net *network = net_new(8);
        net_node *hub = net_add(network), *a = net_add(network);
        watcher first, second;
        exposer producer;
        net_connect(a, hub, NULL);
        watch_tag(&first, hub, TAG);
        watch_tag(&second, hub, TAG);
        net_quiet(network);
        fail_alloc_arm(&hub->memory, fail_at, false);
        expose_object(&producer, a, OBJECT, TAG, 1);
        play(network, &producer, NULL, NULL);
        fail_alloc_arm(&hub->memory, 0, false);
        watch(&first);
        watch(&second);
        expose_end(&producer);
        net_run(network, 3 * NET_S);
        watch(&first);
        watch(&second);
        if (first.count) {
            ck_assert(!first.objects[0].open);
        }
        if (second.count) {
            ck_assert(!second.objects[0].open);
        }
        hakuban_exchange_stats stats;
        hkb_exchange_count(net_enter(hub), &stats);
        ck_assert_uint_eq(stats.objects, 0);
        watch_end(&first);
        watch_end(&second);
        net_free(network);
    }
}
END_TEST

/* Its state comes together with it, and does not make anybody forget to try again. */
START_TEST(an_object_for_which_there_was_no_memory_is_seen_once_there_is)
{
    for (size_t fail_at = 1; fail_at < 30; fail_at++) {
        net *network = net_new(22);
        net_node *hub = net_add(network), *leaf = net_add(network);
        watcher observer, another;
        exposer producer;
        net_pipe *pipe = net_connect(leaf, hub, NULL);
        watch_tag(&observer, leaf, TAG);
        net_quiet(network);
        pipe->stalled[0] = true;
        watch_object(&another, hub, OBJECT, TAG);
        expose_object(&producer, hub, OBJECT, TAG, 1);
        expose(&producer, "state");
        play(network, &producer, NULL, NULL);
        fail_alloc_arm(&leaf->memory, fail_at, false);
        pipe->stalled[0] = false;
        net_run(network, 100 * NET_MS);
        fail_alloc_arm(&leaf->memory, 0, false);
        if (!leaf->up) {
            net_connect(leaf, hub, NULL);
        }
        net_run(network, 3 * NET_S);
        assert_shows(&observer, OBJECT, "state", HAKUBAN_LIVE);
        watch_end(&observer);
        watch_end(&another);
        expose_end(&producer);
        net_free(network);
    }
}
END_TEST

/* A newer version is known elsewhere: the exposer's last state goes out again above it, as soon as
 * there is memory for that. */
START_TEST(a_state_below_the_floor_goes_out_again_once_there_is_memory)
{
    net *network = net_new(28);
    net_node *hub = net_add(network), *leaf = net_add(network);
    hkb_version floor = {.count = 1, .elements = {7}};
    watcher observer;
    exposer producer;
    net_connect(leaf, hub, NULL);
    watch_object(&observer, leaf, OBJECT, TAG);
    expose_object(&producer, hub, OBJECT, TAG, 1);
    expose(&producer, "state");
    play(network, &producer, NULL, NULL);
    hkb_object *object =
        hkb_object_find(net_enter(hub), exposed(&producer, OBJECT)->sink->descriptor);
    fail_alloc_arm(&hub->memory, 2, true);
    ck_assert_int_eq(hkb_object_raise_floor(object, &floor), HAKUBAN_OK);
    ck_assert(fail_alloc_failed(&hub->memory));
    fail_alloc_arm(&hub->memory, 0, false);
    hkb_exchange_settle(hub->exchange);
    net_run(network, 2 * NET_S);
    assert_shows(&observer, OBJECT, "state", HAKUBAN_LIVE);
    ck_assert_int_gt(hkb_version_compare(&observer.objects[0].version, &floor), 0);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* Who serves it, its state and the end of the stream come in one piece, after a loss. */
START_TEST(a_stream_that_comes_and_goes_at_once_leaves_nothing_live)
{
    net *network = net_new(26);
    net_node *hub = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(leaf, hub, NULL);
    watcher first, second, another;
    exposer producer;
    watch_object(&first, leaf, OBJECT, TAG);
    watch_object(&another, hub, OBJECT, TAG);
    net_run(network, 100 * NET_MS);
    pipe->silent[1] = true;
    expose_object(&producer, hub, OBJECT, TAG, 1);
    expose(&producer, "state");
    play(network, &producer, NULL, NULL);
    watch_end(&first);
    net_run(network, 100 * NET_MS);
    expose_end(&producer);
    net_run(network, 100 * NET_MS);
    watch_object(&second, leaf, OBJECT, TAG);
    watch_end(&another);
    net_run(network, 100 * NET_MS);
    net_cut(pipe);
    net_connect(leaf, hub, NULL); /* what was lost is said again */
    net_quiet(network);
    assert_shows(&second, OBJECT, "state", HAKUBAN_STALE);
    watch_end(&second);
    net_free(network);
}
END_TEST

/* -- Links -- */

START_TEST(a_patient_listener_does_not_keep_silent_itself)
{
    net *network = net_new(9);
    net_node *hub = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(leaf, hub, "keep-alive=1s,timeout=120s");
    net_quiet(network);
    /* the other side waits for no longer than is usual */
    pipe->peer[1]->link.settings.timeout_ns = 0;
    pipe->peer[0]->link.settings.keep_alive_ns = NET_S;
    net_run(network, 60 * NET_S);
    ck_assert_uint_eq(hub->ended.count, 0);
    ck_assert_uint_eq(leaf->ended.count, 0);
    net_free(network);
}
END_TEST

START_TEST(a_way_to_a_root_that_is_gone_is_forgotten_below)
{
    net *network = net_new(10);
    net_node *root = net_add(network), *middle = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(middle, root, NULL);
    net_connect(leaf, middle, NULL);
    net_quiet(network);
    net_cut(pipe);
    net_run(network, 3 * NET_S);                     /* it might have come back */
    net_pipe *below = net_connect(root, leaf, NULL); /* no loop any more */
    net_quiet(network);
    ck_assert(!below->broken);
    net_free(network);
}
END_TEST

/* A state over the other side's limit is not sent: what it shows then is no longer the newest. */
START_TEST(what_is_too_large_to_be_sent_leaves_the_old_one_stale)
{
    net *network = net_new(11);
    net_node *hub = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(leaf, hub, NULL);
    static char large[2000];
    watcher observer;
    exposer producer;
    watch_object(&observer, leaf, OBJECT, TAG);
    expose_object(&producer, hub, OBJECT, TAG, 1);
    expose(&producer, "small");
    play(network, &producer, NULL, NULL);
    pipe->peer[1]->link.peer_state_bytes_max = 1000;
    assert_shows(&observer, OBJECT, "small", HAKUBAN_LIVE);
    hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
    memset(large, '1', sizeof(large));
    ck_assert_int_eq(net_send_bytes(hub, sink, large, sizeof(large)), HAKUBAN_OK);
    net_quiet(network);
    assert_shows(&observer, OBJECT, "small", HAKUBAN_STALE);
    expose(&producer, "small again");
    net_quiet(network);
    assert_shows(&observer, OBJECT, "small again", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* -- More than one level -- */

/* A hand-over between workers of two hubs, with slow links: the next one opens only when the last
 * one has closed. Who observes by the tag, beside the workers or on their hubs, notices nothing
 * either. */
START_TEST(a_hand_over_across_hubs_never_shows_two_exposers_nor_a_gap)
{
    net *network = net_new(20);
    net_node *root = net_add(network), *middle[2], *leaf[2];
    watcher observer;
    static watcher beside[4];
    exposer workers[2];
    watch_object(&observer, root, OBJECT, TAG);
    for (int i = 0; i < 2; i++) {
        middle[i] = net_add(network);
        leaf[i] = net_add(network);
        watch_tag(&beside[i], middle[i], TAG);
        watch_tag(&beside[2 + i], leaf[i], TAG);
        net_connect(middle[i], root, NULL)->delay_ns = 40 * NET_MS;
        net_connect(leaf[i], middle[i], NULL)->delay_ns = 60 * NET_MS;
        expose_tag(&workers[i], leaf[i], TAG, 1);
        expose(&workers[i], i ? "one" : "nought");
    }
    net_run(network, NET_S);
    expose_turn(&workers[0]);
    expose_turn(&workers[1]);
    net_run(network, NET_S);
    for (int round = 0; round < 6; round++) {
        int holder = workers[1].open_count ? 1 : 0;
        ck_assert_uint_eq(workers[0].open_count + workers[1].open_count, 1);
        watch(&observer);
        for (int i = 0; i < 2; i++) {
            net_enter(leaf[i]);
            ck_assert_int_eq(hkb_contract_set_capacity(workers[i].contract.contract, i != holder),
                             HAKUBAN_OK);
            hkb_exchange_settle(leaf[i]->exchange);
        }
        for (int t = 0; t < 300; t++) {
            net_run(network, 10 * NET_MS);
            watch(&observer); /* before the next exposer can make up for it */
            ck_assert_int_eq(observer.objects[0].freshness, HAKUBAN_LIVE);
            for (int i = 0; i < 4; i++) {
                watch(&beside[i]);
                ck_assert_uint_eq(beside[i].objects[0].closes, 0);
                ck_assert_int_eq(beside[i].objects[0].freshness, HAKUBAN_LIVE);
            }
            expose_turn(&workers[holder]); /* first the one that loses it */
            expose_turn(&workers[1 - holder]);
            ck_assert_uint_le(workers[0].open_count + workers[1].open_count, 1);
        }
        ck_assert_uint_eq(workers[1 - holder].open_count, 1);
        assert_shows(&observer, OBJECT, holder ? "nought" : "one", HAKUBAN_LIVE);
        for (int i = 0; i < 4; i++) {
            assert_shows(&beside[i], OBJECT, holder ? "nought" : "one", HAKUBAN_LIVE);
        }
    }
    watch_end(&observer);
    for (int i = 0; i < 4; i++) {
        watch_end(&beside[i]);
    }
    expose_end(&workers[0]);
    expose_end(&workers[1]);
    net_free(network);
}
END_TEST

/* From a worker to another on its hub and back, again and again, at any time within the second that
 * a hand-over may take. */
START_TEST(each_hand_over_has_its_whole_time)
{
    net *network = net_new(27);
    net_node *hub = net_add(network), *leaf = net_add(network);
    watcher observer, far_observer;
    exposer worker, other;
    net_connect(leaf, hub, NULL)->delay_ns = 40 * NET_MS;
    watch_object(&far_observer, hub, OBJECT, TAG);
    watch_object(&observer, leaf, OBJECT, TAG);
    expose_object(&worker, leaf, OBJECT, TAG, 1);
    expose_object(&other, hub, OBJECT, TAG, 1);
    expose(&worker, "1");
    expose(&other, "2");
    net_run(network, NET_S);
    play(network, &worker, &other, NULL);
    for (int round = 0; round < 12; round++) {
        net_enter(hub);
        ck_assert_int_eq(hkb_contract_set_capacity(other.contract.contract, round & 1), HAKUBAN_OK);
        hkb_exchange_settle(hub->exchange);
        for (int t = 0; t < 110 - _i; t++) {
            net_run(network, 10 * NET_MS);
            watch(&far_observer);
            ck_assert_int_eq(far_observer.objects[0].freshness, HAKUBAN_LIVE);
            watch(&observer);
            ck_assert_int_eq(observer.objects[0].freshness, HAKUBAN_LIVE);
            expose_turn(&worker);
            expose_turn(&other);
            ck_assert_uint_le(worker.open_count + other.open_count, 1);
        }
        ck_assert_uint_eq((round & 1 ? &other : &worker)->open_count, 1);
    }
    watch_end(&observer);
    watch_end(&far_observer);
    expose_end(&worker);
    expose_end(&other);
    net_free(network);
}
END_TEST

/* The last observer of an object could expose it as well: it is his own affair from then on, and he
 * notices nothing of the change. */
START_TEST(who_is_left_alone_serves_himself_without_a_gap)
{
    enum { THE_OTHER_OBSERVER_LEAVES, HE_BEGINS_TO_EXPOSE };
    net *network = net_new(25);
    net_node *root = net_add(network), *middle = net_add(network), *leaf = net_add(network);
    net_node *elsewhere = net_add(network);
    watcher observer, another;
    exposer his, other;
    net_connect(middle, root, NULL)->delay_ns = 40 * NET_MS;
    net_connect(leaf, middle, NULL)->delay_ns = 60 * NET_MS;
    net_connect(elsewhere, root, NULL)->delay_ns = 150 * NET_MS;
    expose_object(&other, elsewhere, OBJECT, TAG, 1);
    expose(&other, "other");
    watch_object(&observer, leaf, OBJECT, TAG);
    watch_object(&another, root, OBJECT, TAG);
    net_run(network, NET_S);
    play(network, &other, NULL, NULL);
    if (_i == THE_OTHER_OBSERVER_LEAVES) {
        expose_object(&his, leaf, OBJECT, TAG, 1);
        net_run(network, NET_S);
    }
    ck_assert_uint_eq(other.open_count, 1);
    watch_end(&another);
    net_run(network, NET_MS);
    if (_i == HE_BEGINS_TO_EXPOSE) {
        expose_object(&his, leaf, OBJECT, TAG, 1);
    }
    expose(&his, "his");
    for (int t = 0; t < 300; t++) {
        net_run(network, 10 * NET_MS);
        watch(&observer); /* before the next exposer can make up for it */
        ck_assert_int_eq(observer.objects[0].freshness, HAKUBAN_LIVE);
        expose_turn(&other);
        expose_turn(&his);
        ck_assert_uint_le(other.open_count + his.open_count, 1);
    }
    ck_assert_uint_eq(his.open_count, 1);
    assert_shows(&observer, OBJECT, "his", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&his);
    expose_end(&other);
    net_free(network);
}
END_TEST

/* What the upstream was told long ago makes nothing older that was LIVE here until now. */
START_TEST(an_age_counts_from_when_it_was_last_known_to_be_live)
{
    net *network = net_new(29);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    watcher observer, another;
    exposer producer;
    net_connect(hub, root, NULL);
    net_pipe *pipe = net_connect(leaf, hub, "grace=0,keep-alive=100ms");
    watch_object(&observer, hub, OBJECT, TAG);
    watch_object(&another, root, OBJECT, TAG);
    expose_object(&producer, leaf, OBJECT, TAG, 1);
    expose(&producer, "state");
    play(network, &producer, NULL, NULL);
    assert_shows(&another, OBJECT, "state", HAKUBAN_LIVE);
    watch_end(&another);
    net_run(network, 10 * NET_S);
    assert_shows(&observer, OBJECT, "state", HAKUBAN_LIVE);
    net_cut(pipe);
    net_run(network, NET_MS);
    assert_shows(&observer, OBJECT, "state", HAKUBAN_STALE);
    ck_assert_uint_lt(observer.objects[0].age_ns, NET_S);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* Two workers behind one hub and one behind another share as three, and then it rests. */
START_TEST(load_spreads_over_hubs_and_comes_to_rest)
{
    net *network = net_new(21);
    net_node *root = net_add(network), *observer_node = net_add(network), *middle[2];
    static watcher observers[60];
    static exposer workers[3];
    net_connect(observer_node, root, NULL);
    for (int i = 0; i < 2; i++) {
        middle[i] = net_add(network);
        net_connect(middle[i], root, NULL);
    }
    for (int i = 0; i < 3; i++) {
        net_node *leaf = net_add(network);
        net_connect(leaf, middle[i / 2], NULL);
        expose_tag(&workers[i], leaf, TAG, 1);
        expose(&workers[i], "x");
        net_run(network, 300 * NET_MS);
    }
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], observer_node, name, TAG);
    }
    unsigned opens[2] = {0, 0};
    for (int phase = 0; phase < 2; phase++) {
        for (int t = 0; t < 150; t++) {
            net_run(network, 100 * NET_MS);
            for (int i = 0; i < 3; i++) {
                expose_turn(&workers[i]);
            }
        }
        for (int i = 0; i < 3; i++) {
            for (size_t k = 0; k < workers[i].count; k++) {
                opens[phase] += workers[i].objects[k].opens;
            }
        }
    }
    ck_assert_uint_eq(opens[0], opens[1]);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ge(workers[i].open_count, 18);
        ck_assert_uint_le(workers[i].open_count, 22);
    }
    for (int i = 0; i < 60; i++) {
        watch_end(&observers[i]);
    }
    for (int i = 0; i < 3; i++) {
        expose_end(&workers[i]);
    }
    net_free(network);
}
END_TEST

START_TEST(an_object_asked_for_twice_on_one_link_stays_until_both_are_gone)
{
    for (int order = 0; order < 2; order++) {
        net *network = net_new(22);
        net_node *hub = net_add(network), *a = net_add(network), *b = net_add(network);
        watcher by_object, by_tag;
        exposer producer;
        net_connect(a, hub, NULL);
        net_connect(b, hub, NULL);
        watch_object(&by_object, b, OBJECT, TAG);
        watch_tag(&by_tag, b, TAG);
        expose_object(&producer, a, OBJECT, TAG, 1);
        expose(&producer, "1");
        play(network, &producer, NULL, NULL);
        watcher *first = order ? &by_tag : &by_object, *second = order ? &by_object : &by_tag;
        watch_end(first);
        expose(&producer, "2");
        play(network, &producer, NULL, NULL);
        assert_shows(second, OBJECT, "2", HAKUBAN_LIVE);
        ck_assert_uint_eq(second->objects[0].closes, 0);
        ck_assert_uint_eq(exposed(&producer, OBJECT)->closes, 0);
        watch_end(second);
        play(network, &producer, NULL, NULL);
        ck_assert_uint_eq(producer.open_count, 0);
        expose_end(&producer);
        net_free(network);
    }
}
END_TEST

/* A version is used again for other data while a slow reader stands on the first, and then the
 * first comes back. */
START_TEST(a_state_that_comes_back_under_the_same_version_breaks_nothing)
{
    net *network = net_new(23);
    net_node *hub = net_add(network), *middle = net_add(network), *slow = net_add(network);
    net_node *other = net_add(network);
    watcher observer, keeper;
    exposer first, second;
    net_connect(middle, hub, NULL);
    net_connect(other, hub, NULL);
    net_pipe *pipe = net_connect(slow, middle, NULL);
    watch_object(&observer, slow, OBJECT, TAG);
    watch_object(&keeper, hub, OBJECT, TAG);
    expose_object(&first, other, OBJECT, TAG, 1);
    play(network, &first, NULL, NULL);
    ck_assert_int_eq(net_send_version(other, exposed(&first, OBJECT)->sink, "first", 5),
                     HAKUBAN_OK);
    play(network, &first, NULL, NULL);
    assert_shows(&observer, OBJECT, "first", HAKUBAN_LIVE);
    pipe->stalled[0] = true;
    expose_end(&first);
    net_quiet(network);
    net_cut(middle->up); /* so that its own exposer serves it */
    expose_object(&second, middle, OBJECT, TAG, 1);
    net_run(network, 2 * NET_S);
    hkb_peer_set_writable(pipe->peer[1], false);
    ck_assert_int_eq(net_send_version(middle, exposed(&second, OBJECT)->sink, "second", 5),
                     HAKUBAN_OK);
    net_connect(middle, hub, NULL);
    expose_end(&second);
    net_run(network, 2 * NET_S);
    pipe->stalled[0] = false;
    net_enter(middle);
    hkb_peer_set_writable(pipe->peer[1], true);
    expose_object(&first, other, OBJECT, TAG, 1);
    play(network, &first, NULL, NULL);
    ck_assert_int_eq(net_send_version(other, exposed(&first, OBJECT)->sink, "sixth", 6),
                     HAKUBAN_OK);
    play(network, &first, NULL, NULL);
    watch_end(&observer); /* equal versions are not checked for order here */
    watch_end(&keeper);
    expose_end(&first);
    net_free(network);
}
END_TEST

START_TEST(a_hello_that_names_no_window_means_the_usual_one)
{
    static const char hello[] =
        "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"00000000000000000000000000000001\"],"
        "\"serializers\":[\"json\"],\"compressors\":[\"none\"]}";
    const char *header = hello;
    net *network = net_new(24);
    net_node *hub = net_add(network);
    hkb_peer *peer = stranger_new(hub);
    stranger_says(hub, peer, &header, 1);
    ck_assert_int_eq(peer->link.phase, HKB_LINK_OPEN);
    ck_assert_uint_eq(peer->link.window_bytes, HKB_WINDOW_BYTES_DEFAULT);
    hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "gone");
    net_free(network);
}
END_TEST

/* What one side holds was damaged: the next difference does not fit, the state comes whole, and
 * versions are what they were. */
START_TEST(a_difference_that_does_not_fit_is_answered_by_the_whole_state)
{
    for (int delayed = 0; delayed < 2; delayed++) {
        net *network = net_new(25);
        net_node *hub = net_add(network), *leaf = net_add(network);
        net_pipe *pipe = net_connect(leaf, hub, NULL);
        watcher observer, own;
        exposer producer;
        char text[600];
        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = 0;
        watch_object(&observer, leaf, OBJECT, TAG);
        watch_object(&own, hub, OBJECT, TAG);
        expose_object(&producer, hub, OBJECT, TAG, 1);
        play(network, &producer, NULL, NULL);
        hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
        ck_assert_int_eq(net_send_version(hub, sink, text, 1), HAKUBAN_OK);
        net_quiet(network);
        watch(&observer);
        hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
        hkb_share *share = hkb_object_find(leaf->exchange, descriptor)->upstream;
        hakuban_descriptor_unref(descriptor);
        ((uint8_t *)(uintptr_t)share->in_base->data)[100] ^= 1;
        pipe->delay_ns = delayed ? 100 * NET_MS : 0;
        for (int i = 0; i < 10; i++) {
            if (i == 5) {
                for (size_t k = 0; k < sizeof(text) - 1; k++) {
                    text[k] = (char)('a' + net_below(network, 26)); /* no likeness: sent whole */
                }
            }
            text[0] = (char)('0' + i);
            ck_assert_int_eq(net_send_version(hub, sink, text, i + 2), HAKUBAN_OK);
            net_run(network, 10 * NET_MS);
            watch(&observer);
            if (i < 5) { /* nobody is shown the damage */
                ck_assert_uint_eq(strspn(observer.objects[0].text + 1, "x"), 126);
            }
        }
        for (int t = 0; t < 100; t++) {
            net_run(network, 10 * NET_MS);
            watch(&observer);
            const seen_object *shown = &observer.objects[0];
            if (shown->version.elements[0] > 1) { /* no version of any other state's */
                ck_assert_int_eq(shown->version.elements[0], shown->text[0] - '0' + 2);
            }
        }
        const seen_object *there = watched(&own, OBJECT), *here = watched(&observer, OBJECT);
        ck_assert_str_eq(here->text, there->text);
        ck_assert_int_eq(hkb_version_compare(&here->version, &there->version), 0);
        ck_assert_int_eq(here->freshness, HAKUBAN_LIVE);
        ck_assert_uint_eq(leaf->ended.count, 0);
        watch_end(&observer);
        watch_end(&own);
        expose_end(&producer);
        net_free(network);
    }
}
END_TEST

/* Its hub tells the root that it wants the object and has somebody for it, which is true and no
 * help. */
START_TEST(an_observer_next_to_an_exposer_that_drains_is_served_from_elsewhere)
{
    net *network = net_new(23);
    net_node *root = net_add(network), *hub = net_add(network), *leaf = net_add(network);
    watcher observer;
    exposer drained, other;
    net_connect(hub, root, NULL);
    net_connect(leaf, hub, NULL);
    expose_object(&drained, leaf, OBJECT, TAG, 0);
    expose_object(&other, root, OBJECT, TAG, 1);
    expose(&other, "state");
    watch_object(&observer, hub, OBJECT, TAG);
    play(network, &drained, &other, NULL);
    net_run(network, 3 * NET_S);
    play(network, &drained, &other, NULL);
    assert_shows(&observer, OBJECT, "state", HAKUBAN_LIVE);
    ck_assert_uint_eq(drained.open_count, 0);
    watch_end(&observer);
    expose_end(&drained);
    expose_end(&other);
    net_free(network);
}
END_TEST

/* A sink that is taken back while its first states are on their way: these are no longer heard, and
 * neither is what the second one is a difference to. */
START_TEST(what_comes_late_on_a_closed_channel_does_no_harm)
{
    net *network = net_new(21);
    net_node *hub = net_add(network), *leaf = net_add(network);
    watcher observer;
    exposer user;
    net_pipe *pipe = net_connect(leaf, hub, NULL);
    watch_object(&observer, hub, OBJECT, TAG);
    expose_object(&user, leaf, OBJECT, TAG, 1);
    play(network, &user, NULL, NULL);
    ck_assert_uint_eq(user.open_count, 1);
    pipe->delay_ns = 50 * NET_MS;
    watch_end(&observer);
    net_run(network, 10 * NET_MS);
    for (int i = 0; i < 5; i++) {
        expose(&user, i % 2 ? "one" : "the other");
        net_run(network, 5 * NET_MS);
    }
    net_run(network, NET_S);
    ck_assert_uint_eq(leaf->ended.count + hub->ended.count, 0);
    watch_object(&observer, hub, OBJECT, TAG);
    net_run(network, NET_S);
    play(network, &user, NULL, NULL);
    assert_shows(&observer, OBJECT, "the other", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&user);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("review");
    TCase *cases = tcase_create("review");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_tag_may_be_observed_again_before_all_is_settled);
    tcase_add_test(cases, what_a_peer_makes_us_keep_is_counted);
    tcase_add_test(cases, who_comes_late_with_older_data_takes_over_what_is_there);
    tcase_add_test(cases, who_comes_late_with_newer_data_is_served_all_the_same);
    tcase_add_test(cases, leaders_come_and_go_and_all_agree);
    tcase_add_test(cases, a_load_limit_holds_from_the_first_contract_on);
    tcase_add_test(cases, a_load_limit_of_whole_objects_is_not_lost_to_rounding);
    tcase_add_test(cases, an_exposer_is_lost_without_memory_for_the_next);
    tcase_add_test(cases, memory_that_stays_away_stops_nothing_for_ever);
    tcase_add_test(cases, an_object_that_ends_before_there_was_memory_for_it_leaves_nothing);
    tcase_add_test(cases, an_object_for_which_there_was_no_memory_is_seen_once_there_is);
    tcase_add_test(cases, a_state_below_the_floor_goes_out_again_once_there_is_memory);
    tcase_add_test(cases, a_stream_that_comes_and_goes_at_once_leaves_nothing_live);
    tcase_add_test(cases, a_patient_listener_does_not_keep_silent_itself);
    tcase_add_test(cases, a_way_to_a_root_that_is_gone_is_forgotten_below);
    tcase_add_test(cases, what_is_too_large_to_be_sent_leaves_the_old_one_stale);
    tcase_add_test(cases, a_hand_over_across_hubs_never_shows_two_exposers_nor_a_gap);
    tcase_add_loop_test(cases, each_hand_over_has_its_whole_time, 0, 20);
    tcase_add_test(cases, an_age_counts_from_when_it_was_last_known_to_be_live);
    tcase_add_loop_test(cases, who_is_left_alone_serves_himself_without_a_gap, 0, 2);
    tcase_add_test(cases, load_spreads_over_hubs_and_comes_to_rest);
    tcase_add_test(cases, an_object_asked_for_twice_on_one_link_stays_until_both_are_gone);
    tcase_add_test(cases, a_state_that_comes_back_under_the_same_version_breaks_nothing);
    tcase_add_test(cases, a_hello_that_names_no_window_means_the_usual_one);
    tcase_add_test(cases, a_difference_that_does_not_fit_is_answered_by_the_whole_state);
    tcase_add_test(cases, an_observer_next_to_an_exposer_that_drains_is_served_from_elsewhere);
    tcase_add_test(cases, what_comes_late_on_a_closed_channel_does_no_harm);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
