/* Hand-overs from one exposer to the next, also across hubs: observers see no gap. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

/* A hand-over between workers of two hubs, with slow links: the next one opens only when the last
 * one has closed. Observers of the tag, beside the workers or on their hubs, notice nothing either.
 */
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
        assert_watched(&observer, OBJECT, holder ? "nought" : "one", HAKUBAN_LIVE);
        for (int i = 0; i < 4; i++) {
            assert_watched(&beside[i], OBJECT, holder ? "nought" : "one", HAKUBAN_LIVE);
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
    play_users(network, &worker, &other, NULL);
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

/* The last observer of an object could expose it as well: it serves itself from then on, and
 * notices nothing of the change. */
START_TEST(an_observer_left_alone_serves_itself_without_a_gap)
{
    enum { THE_OTHER_OBSERVER_LEAVES, IT_BEGINS_TO_EXPOSE };
    net *network = net_new(25);
    net_node *root = net_add(network), *middle = net_add(network), *leaf = net_add(network);
    net_node *elsewhere = net_add(network);
    watcher observer, another;
    exposer own, other;
    net_connect(middle, root, NULL)->delay_ns = 40 * NET_MS;
    net_connect(leaf, middle, NULL)->delay_ns = 60 * NET_MS;
    net_connect(elsewhere, root, NULL)->delay_ns = 150 * NET_MS;
    expose_object(&other, elsewhere, OBJECT, TAG, 1);
    expose(&other, "other");
    watch_object(&observer, leaf, OBJECT, TAG);
    watch_object(&another, root, OBJECT, TAG);
    net_run(network, NET_S);
    play_users(network, &other, NULL, NULL);
    if (_i == THE_OTHER_OBSERVER_LEAVES) {
        expose_object(&own, leaf, OBJECT, TAG, 1);
        net_run(network, NET_S);
    }
    ck_assert_uint_eq(other.open_count, 1);
    watch_end(&another);
    net_run(network, NET_MS);
    if (_i == IT_BEGINS_TO_EXPOSE) {
        expose_object(&own, leaf, OBJECT, TAG, 1);
    }
    expose(&own, "own");
    for (int t = 0; t < 300; t++) {
        net_run(network, 10 * NET_MS);
        watch(&observer); /* before the next exposer can make up for it */
        ck_assert_int_eq(observer.objects[0].freshness, HAKUBAN_LIVE);
        expose_turn(&other);
        expose_turn(&own);
        ck_assert_uint_le(other.open_count + own.open_count, 1);
    }
    ck_assert_uint_eq(own.open_count, 1);
    assert_watched(&observer, OBJECT, "own", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&own);
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
    play_users(network, &producer, NULL, NULL);
    assert_watched(&another, OBJECT, "state", HAKUBAN_LIVE);
    watch_end(&another);
    net_run(network, 10 * NET_S);
    assert_watched(&observer, OBJECT, "state", HAKUBAN_LIVE);
    net_cut(pipe);
    net_run(network, NET_MS);
    assert_watched(&observer, OBJECT, "state", HAKUBAN_STALE);
    ck_assert_uint_lt(observer.objects[0].age_ns, NET_S);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

/* Its hub tells the root that it wants the object and has an exposer for it, which is true and no
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
    play_users(network, &drained, &other, NULL);
    net_run(network, 3 * NET_S);
    play_users(network, &drained, &other, NULL);
    assert_watched(&observer, OBJECT, "state", HAKUBAN_LIVE);
    ck_assert_uint_eq(drained.open_count, 0);
    watch_end(&observer);
    expose_end(&drained);
    expose_end(&other);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hand_over");
    TCase *cases = tcase_create("hand_over");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_hand_over_across_hubs_never_shows_two_exposers_nor_a_gap);
    tcase_add_loop_test(cases, each_hand_over_has_its_whole_time, 0, 20);
    tcase_add_loop_test(cases, an_observer_left_alone_serves_itself_without_a_gap, 0, 2);
    tcase_add_test(cases, an_age_counts_from_when_it_was_last_known_to_be_live);
    tcase_add_test(cases, an_observer_next_to_an_exposer_that_drains_is_served_from_elsewhere);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
