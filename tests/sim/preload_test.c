/* Tags that a hub keeps warm: the first observer has the newest state in one round
 * trip, the asker is sent nothing, and it ends with the asker. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>

#define OBJECT "\"lamp\""
#define TAG "\"lamps\""

typedef struct house {
    net *network;
    net_node *root, *hub, *asker, *user;
    net_pipe *to_exposer, *to_asker;
    exposer lamp;
} house;

static house at;

static net_contract preload(net_node *node)
{
    net_contract contract = {.node = node};
    ck_assert_int_eq(hkb_contract_new(net_enter(node), HKB_PRELOAD_TAG, NULL,
                                      (hakuban_slice){TAG, strlen(TAG)}, 0, NULL, NULL,
                                      &contract.contract),
                     HAKUBAN_OK);
    hkb_exchange_settle(node->exchange);
    return contract;
}

static void preload_end(net_contract *contract)
{
    net_enter(contract->node);
    hkb_contract_end(contract->contract);
    hkb_contract_unref(contract->contract);
    hkb_exchange_settle(contract->node->exchange);
}

/* The exposer is far away; it is above the hub if beyond, else below it. */
static void build(bool beyond)
{
    at.network = net_new(1);
    at.root = net_add(at.network);
    at.hub = net_add(at.network);
    net_connect(at.hub, at.root, NULL);
    at.asker = net_add(at.network);
    at.to_asker = net_connect(at.asker, at.hub, NULL);
    at.user = net_add(at.network);
    net_connect(at.user, at.hub, NULL)->delay_ns = 10 * NET_MS;
    net_node *far = net_add(at.network);
    at.to_exposer = net_connect(far, beyond ? at.root : at.hub, NULL);
    net_quiet(at.network);
    at.to_exposer->delay_ns = 500 * NET_MS;
    expose_object(&at.lamp, far, OBJECT, TAG, 1);
    expose(&at.lamp, "[1]");
}

static void play(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        net_run(at.network, 100 * NET_MS);
        expose_turn(&at.lamp);
    }
}

static void finish(void)
{
    expose_end(&at.lamp);
    net_free(at.network);
}

START_TEST(the_first_observer_does_not_wait)
{
    watcher observer;
    build(_i);
    net_contract wish = preload(at.asker);
    play(4);
    ck_assert_uint_eq(at.lamp.open_count, 1);
    expose(&at.lamp, "[2]");
    play(1);
    watch_object(&observer, at.user, OBJECT, TAG);
    net_run(at.network, 25 * NET_MS); /* one round trip to the hub */
    const seen_object *seen = watched(&observer, OBJECT);
    ck_assert_str_eq(seen->text, "[2]");
    ck_assert_int_eq(seen->freshness, HAKUBAN_LIVE);
    watch_end(&observer);
    preload_end(&wish);
    finish();
}
END_TEST

/* What the tests are worth: without, it waits. */
START_TEST(an_observer_of_what_is_not_preloaded_waits_for_the_exposer)
{
    watcher observer;
    build(_i);
    play(4);
    ck_assert_uint_eq(at.lamp.open_count, 0);
    watch_object(&observer, at.user, OBJECT, TAG);
    net_run(at.network, 900 * NET_MS);
    ck_assert_str_eq(watched(&observer, OBJECT)->text, "");
    play(2);
    ck_assert_str_eq(watched(&observer, OBJECT)->text, "[1]");
    watch_end(&observer);
    finish();
}
END_TEST

START_TEST(a_preloading_peer_is_sent_nothing)
{
    build(_i);
    net_contract wish = preload(at.asker);
    play(4);
    uint64_t bytes = at.to_asker->written[1];
    for (int i = 0; i < 50; i++) {
        char text[120];
        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = 0;
        text[i] = 'y';
        expose(&at.lamp, text);
        net_run(at.network, 10 * NET_MS);
    }
    play(1);
    ck_assert_uint_lt(at.to_asker->written[1] - bytes,
                      50); /* acknowledgements of its keep-alive at most */
    ck_assert_uint_eq(at.asker->exchange->objects.count, 0);
    preload_end(&wish);
    finish();
}
END_TEST

START_TEST(it_ends_with_its_asker)
{
    build(_i / 2);
    net_contract wish = preload(at.asker);
    play(4);
    ck_assert_uint_eq(at.lamp.open_count, 1);
    if (_i % 2) {
        net_cut(at.to_asker); /* and its grace is over */
    } else {
        preload_end(&wish);
    }
    play(6);
    ck_assert_uint_eq(at.lamp.open_count, 0);
    if (_i % 2) {
        /* It comes back, and what it asked for with it. */
        at.to_asker = net_connect(at.asker, at.hub, NULL);
        play(4);
        ck_assert_uint_eq(at.lamp.open_count, 1);
        preload_end(&wish);
        play(4);
        ck_assert_uint_eq(at.lamp.open_count, 0);
    }
    finish();
}
END_TEST

/* It is one of the hub's reasons to want the object, not the asker's: others may ask too, and the
 * asker itself may expose. */
START_TEST(an_exposer_may_ask_for_its_own)
{
    watcher observer;
    build(false);
    net_contract wishes[2] = {preload(at.lamp.contract.node), preload(at.asker)};
    play(4);
    ck_assert_uint_eq(at.lamp.open_count, 1);
    preload_end(&wishes[1]);
    play(4);
    ck_assert_uint_eq(at.lamp.open_count, 1);
    expose(&at.lamp, "[3]");
    play(1);
    watch_tag(&observer, at.user, TAG);
    net_run(at.network, 25 * NET_MS);
    ck_assert_str_eq(watched(&observer, OBJECT)->text, "[3]");
    watch_end(&observer);
    preload_end(&wishes[0]);
    play(3);
    ck_assert_uint_eq(at.lamp.open_count, 0);
    finish();
}
END_TEST

START_TEST(a_restarted_hub_is_asked_again)
{
    build(false);
    net_contract wish = preload(at.asker);
    play(4);
    net_restart(at.hub);
    net_connect(at.asker, at.hub, NULL);
    play(1);
    const hkb_tag *tag = hkb_tag_find(at.hub->exchange, (hakuban_slice){TAG, strlen(TAG)});
    ck_assert_ptr_nonnull(tag);
    ck_assert_uint_eq(tag->preload_shares, 1);
    preload_end(&wish);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("preloading");
    TCase *tcase = tcase_create("preloading");
    tcase_add_loop_test(tcase, the_first_observer_does_not_wait, 0, 2);
    tcase_add_loop_test(tcase, an_observer_of_what_is_not_preloaded_waits_for_the_exposer, 0, 2);
    tcase_add_loop_test(tcase, a_preloading_peer_is_sent_nothing, 0, 2);
    tcase_add_loop_test(tcase, it_ends_with_its_asker, 0, 4);
    tcase_add_test(tcase, an_exposer_may_ask_for_its_own);
    tcase_add_test(tcase, a_restarted_hub_is_asked_again);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
