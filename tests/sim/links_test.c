/* What a link tells and keeps: silence, the way to the root, limits of the other side, streams
 * that end. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

/* The source, the state and the end of the stream come in one piece, after a loss. */
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
    play_users(network, &producer, NULL, NULL);
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
    assert_watched(&second, OBJECT, "state", HAKUBAN_STALE);
    watch_end(&second);
    net_free(network);
}
END_TEST

START_TEST(a_patient_listener_does_not_keep_silent_itself)
{
    net *network = net_new(9);
    net_node *hub = net_add(network), *leaf = net_add(network);
    net_pipe *pipe = net_connect(leaf, hub, "keep-alive=1s,timeout=120s");
    net_quiet(network);
    /* the other side waits for no longer than is usual */
    pipe->peer[1]->link.timeout_ns = 0;
    pipe->peer[0]->link.keep_alive_ns = NET_S;
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
    play_users(network, &producer, NULL, NULL);
    pipe->peer[1]->link.peer_state_bytes_max = 1000;
    assert_watched(&observer, OBJECT, "small", HAKUBAN_LIVE);
    hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
    memset(large, '1', sizeof(large));
    ck_assert_int_eq(net_send_bytes(hub, sink, large, sizeof(large)), HAKUBAN_OK);
    net_quiet(network);
    assert_watched(&observer, OBJECT, "small", HAKUBAN_STALE);
    expose(&producer, "small again");
    net_quiet(network);
    assert_watched(&observer, OBJECT, "small again", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&producer);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links");
    TCase *cases = tcase_create("links");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_stream_that_comes_and_goes_at_once_leaves_nothing_live);
    tcase_add_test(cases, a_patient_listener_does_not_keep_silent_itself);
    tcase_add_test(cases, a_way_to_a_root_that_is_gone_is_forgotten_below);
    tcase_add_test(cases, what_is_too_large_to_be_sent_leaves_the_old_one_stale);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
