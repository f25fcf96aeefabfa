/* Exposers that meet with states and versions of their own, and versions that are used again. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

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
    play_users(network, &early_exposer, &late_exposer, NULL);
    assert_watched(&third, OBJECT, "early", HAKUBAN_LIVE);
    assert_watched(&late_observer, OBJECT, "late", HAKUBAN_LIVE);
    net_connect(late, hub, NULL);
    play_users(network, &early_exposer, &late_exposer, NULL);
    net_run(network, 3 * NET_S);
    ck_assert_uint_eq(early_exposer.open_count, 1);
    expose_turn(&late_exposer);
    ck_assert_uint_eq(late_exposer.open_count, 0);
    assert_watched(&third, OBJECT, "early", HAKUBAN_LIVE);
    assert_watched(&early_observer, OBJECT, "early", HAKUBAN_LIVE);
    assert_watched(&late_observer, OBJECT, "early", HAKUBAN_LIVE);
    watch_end(&early_observer);
    watch_end(&late_observer);
    watch_end(&third);
    expose_end(&early_exposer);
    expose_end(&late_exposer);
    net_free(network);
}

START_TEST(a_late_peer_with_older_data_takes_over_what_is_there)
{
    meet(-3600 * (int64_t)NET_S, 0);
}
END_TEST

START_TEST(a_late_peer_with_newer_data_is_served_all_the_same)
{
    meet(3600 * (int64_t)NET_S, 0);
}
END_TEST

/* Two that observe and expose: when one comes back, the one that served itself meanwhile follows or
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
            play_users(network, &exposers[0], &exposers[1], &exposers[2]);
        }
        for (int i = 0; i < 3; i++) {
            if (pipes[i]->broken) {
                pipes[i] = net_connect(nodes[i], hub, NULL);
            }
        }
        play_users(network, &exposers[0], &exposers[1], &exposers[2]);
        net_run(network, 3 * NET_S);
        play_users(network, &exposers[0], &exposers[1], &exposers[2]);
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
            assert_watched(&observers[i], OBJECT, leader->sent, HAKUBAN_LIVE);
        }
        for (int i = 0; i < 3; i++) {
            watch_end(&observers[i]);
            expose_end(&exposers[i]);
        }
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
    play_users(network, &first, NULL, NULL);
    ck_assert_int_eq(net_send_version(other, exposed(&first, OBJECT)->sink, "first", 5),
                     HAKUBAN_OK);
    play_users(network, &first, NULL, NULL);
    assert_watched(&observer, OBJECT, "first", HAKUBAN_LIVE);
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
    play_users(network, &first, NULL, NULL);
    ck_assert_int_eq(net_send_version(other, exposed(&first, OBJECT)->sink, "sixth", 6),
                     HAKUBAN_OK);
    play_users(network, &first, NULL, NULL);
    watch_end(&observer); /* equal versions are not checked for order here */
    watch_end(&keeper);
    expose_end(&first);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("versions");
    TCase *cases = tcase_create("versions");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_late_peer_with_older_data_takes_over_what_is_there);
    tcase_add_test(cases, a_late_peer_with_newer_data_is_served_all_the_same);
    tcase_add_test(cases, leaders_come_and_go_and_all_agree);
    tcase_add_test(cases, a_state_that_comes_back_under_the_same_version_breaks_nothing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
