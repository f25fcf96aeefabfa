/* Memory that runs out: what cannot be done is done later, and nothing is left behind. */
#include "exchange/records.h"
#include "exchange/sink.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

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
            play_users(network, &workers[0], &workers[1], NULL);
            if (how == 1) {
                expose_object(&own, hub, OBJECT, TAG, 1);
                expose(&own, "own");
                play_users(network, &workers[0], &workers[1], &own);
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
            play_users(network, &workers[0], &workers[1], NULL);
            net_run(network, 3 * NET_S);
            play_users(network, &workers[0], &workers[1], NULL);
            ck_assert_uint_eq(workers[0].open_count + workers[1].open_count, 1);
            assert_watched(&observer, OBJECT, "worker", HAKUBAN_LIVE);
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
        play_users(network, &producer, NULL, NULL);
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
        play_users(network, &producer, NULL, NULL);
        assert_watched(&own, OBJECT, "2", HAKUBAN_LIVE);
        assert_watched(&other, OBJECT, "2", HAKUBAN_LIVE);
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
        play_users(network, &producer, NULL, NULL);
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

/* Its state comes together with it, and the exchange still tries again. */
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
        play_users(network, &producer, NULL, NULL);
        fail_alloc_arm(&leaf->memory, fail_at, false);
        pipe->stalled[0] = false;
        net_run(network, 100 * NET_MS);
        fail_alloc_arm(&leaf->memory, 0, false);
        if (!leaf->up) {
            net_connect(leaf, hub, NULL);
        }
        net_run(network, 3 * NET_S);
        assert_watched(&observer, OBJECT, "state", HAKUBAN_LIVE);
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
    play_users(network, &producer, NULL, NULL);
    hkb_object *object =
        hkb_object_find(net_enter(hub), exposed(&producer, OBJECT)->sink->descriptor);
    fail_alloc_arm(&hub->memory, 2, true);
    ck_assert_int_eq(hkb_object_raise_floor(object, &floor, NULL), HAKUBAN_OK);
    ck_assert(fail_alloc_failed(&hub->memory));
    fail_alloc_arm(&hub->memory, 0, false);
    hkb_exchange_settle(hub->exchange);
    net_run(network, 2 * NET_S);
    assert_watched(&observer, OBJECT, "state", HAKUBAN_LIVE);
    ck_assert_int_gt(hkb_version_compare(&observer.objects[0].version, &floor), 0);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *cases = tcase_create("memory");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, an_exposer_is_lost_without_memory_for_the_next);
    tcase_add_test(cases, memory_that_stays_away_stops_nothing_for_ever);
    tcase_add_test(cases, an_object_that_ends_before_there_was_memory_for_it_leaves_nothing);
    tcase_add_test(cases, an_object_for_which_there_was_no_memory_is_seen_once_there_is);
    tcase_add_test(cases, a_state_below_the_floor_goes_out_again_once_there_is_memory);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
