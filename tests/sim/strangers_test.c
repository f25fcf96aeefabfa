/* Peers that say what they like, and what comes when it is not expected: none of it does harm. */
#include "exchange/records.h"
#include "stranger.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

START_TEST(a_tag_may_be_observed_again_before_all_is_settled)
{
    static const char *const flags[] = {
        "[9,3,1,\"\\\"tag\\\"\"]", "[9,2,1,\"\\\"tag\\\"\"]", "[9,3,1,\"\\\"tag\\\"\"]",
        "[9,0,0,\"\\\"tag\\\"\"]", "[9,1,0,\"\\\"tag\\\"\"]",
    };
    net *network = net_new(1);
    net_node *hub = net_add(network);
    stranger peer;
    stranger_come(&peer, net_enter(hub), false);
    stranger_put(&peer, "%s", STRANGER_HELLO);
    for (size_t i = 0; i < HKB_COUNT(flags); i++) {
        stranger_put(&peer, "%s", flags[i]);
    }
    stranger_say(&peer);
    stranger_hear(hub->exchange);
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    stranger_leave(&peer);
    net_free(network);
}
END_TEST

static size_t shares_of(const hkb_peer *peer)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
    {
        count++;
    }
    return count;
}

/* Exposers stand in front of observers in the object's list, whatever came first. */
START_TEST(each_of_many_peers_has_one_share_of_an_object_whatever_it_registers)
{
    enum { PEERS = 12 };
    net *network = net_new(1);
    net_node *hub = net_add(network);
    stranger peers[PEERS];
    for (int i = 0; i < PEERS; i++) {
        stranger_come(&peers[i], net_enter(hub), false);
        stranger_put(&peers[i], "%s", STRANGER_HELLO);
        stranger_put(&peers[i], "[8,1,0,\"1\"]");
        stranger_say(&peers[i]);
    }
    for (int i = 0; i < 10 * PEERS; i++) {
        stranger *peer = &peers[i * 5 % PEERS];
        stranger_put(peer, i / 3 % 2 ? "[8,1,0,\"1\"]" : "[8,3,1,\"1\"]");
        stranger_say(peer);
        stranger_hear(hub->exchange);
        ck_assert_uint_eq(shares_of(peer->peer), 1);
    }
    for (int i = 0; i < PEERS; i++) {
        stranger_leave(&peers[i]);
    }
    net_free(network);
}
END_TEST

/* Each object with 64 tags of its own: what that costs is counted. */
START_TEST(what_a_peer_makes_us_keep_is_counted)
{
    net *network = net_new(2);
    net_node *hub = net_add(network);
    stranger peer;
    stranger_come(&peer, net_enter(hub), false);
    stranger_put(&peer, "%s", STRANGER_HELLO);
    stranger_say(&peer);
    stranger_hear(hub->exchange);
    size_t before = hub->memory.bytes, accounted = peer.peer->accounted_bytes;
    for (int i = 0; i < 1000; i++) {
        char tags[2048];
        int at = 0;
        for (int k = 0; k < 64; k++) {
            at += snprintf(tags + at, sizeof(tags) - (size_t)at, ",\"%d\"", 64 * i + k);
        }
        stranger_put(&peer, "[8,1,0,\"%d\"%s]", i, tags);
        stranger_say(&peer);
        stranger_hear(hub->exchange);
    }
    size_t kept = hub->memory.bytes - before;
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    ck_assert_uint_le(kept, 2 * (peer.peer->accounted_bytes - accounted));
    stranger_leave(&peer);
    net_free(network);
}
END_TEST

START_TEST(a_hello_that_names_no_window_means_the_usual_one)
{
    net *network = net_new(24);
    net_node *hub = net_add(network);
    stranger peer;
    stranger_come(&peer, net_enter(hub), false);
    stranger_put(&peer, "{\"hakuban\":1,\"name\":\"s\","
                        "\"path\":[\"00000000000000000000000000000001\"],"
                        "\"serializers\":[\"json\"],\"compressors\":[\"none\"]}");
    stranger_say(&peer);
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    ck_assert_uint_eq(peer.peer->link.window_bytes, HKB_WINDOW_BYTES_DEFAULT);
    stranger_leave(&peer);
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
        play_users(network, &producer, NULL, NULL);
        watcher *first = order ? &by_tag : &by_object, *second = order ? &by_object : &by_tag;
        watch_end(first);
        expose(&producer, "2");
        play_users(network, &producer, NULL, NULL);
        assert_watched(second, OBJECT, "2", HAKUBAN_LIVE);
        ck_assert_uint_eq(second->objects[0].closes, 0);
        ck_assert_uint_eq(exposed(&producer, OBJECT)->closes, 0);
        watch_end(second);
        play_users(network, &producer, NULL, NULL);
        ck_assert_uint_eq(producer.open_count, 0);
        expose_end(&producer);
        net_free(network);
    }
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
        play_users(network, &producer, NULL, NULL);
        hakuban_sink *sink = exposed(&producer, OBJECT)->sink;
        ck_assert_int_eq(net_send_version(hub, sink, text, 1), HAKUBAN_OK);
        net_quiet(network);
        watch(&observer);
        hakuban_descriptor *descriptor = net_descriptor(OBJECT, TAG);
        hkb_share *share = hkb_object_find(leaf->exchange, descriptor)->upstream;
        hakuban_descriptor_unref(descriptor);
        ((uint8_t *)(uintptr_t)share->in.base->data)[100] ^= 1;
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
            if (i < 5) { /* no observer is shown the damage */
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
    play_users(network, &user, NULL, NULL);
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
    play_users(network, &user, NULL, NULL);
    assert_watched(&observer, OBJECT, "the other", HAKUBAN_LIVE);
    watch_end(&observer);
    expose_end(&user);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strangers");
    TCase *cases = tcase_create("strangers");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_tag_may_be_observed_again_before_all_is_settled);
    tcase_add_test(cases, each_of_many_peers_has_one_share_of_an_object_whatever_it_registers);
    tcase_add_test(cases, what_a_peer_makes_us_keep_is_counted);
    tcase_add_test(cases, a_hello_that_names_no_window_means_the_usual_one);
    tcase_add_test(cases, an_object_asked_for_twice_on_one_link_stays_until_both_are_gone);
    tcase_add_test(cases, a_difference_that_does_not_fit_is_answered_by_the_whole_state);
    tcase_add_test(cases, what_comes_late_on_a_closed_channel_does_no_harm);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
