/* Payloads of large states are made by threads beside the exchange: once for all links that need
 * the same one. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>

#define LARGE "\"large\""
#define TAG "\"tag\""
#define LARGE_BYTES 120
#define LEAVES 3

static net *network;
static net_node *hub;
static net_pipe *pipes[LEAVES];
static watcher readers[LEAVES];
static exposer writer;

static const char *text_of(char letter)
{
    static char text[LARGE_BYTES + 1];
    memset(text, letter, LARGE_BYTES);
    return text;
}

static void setup(void)
{
    network = net_new(1);
    network->works_by_hand = true;
    network->work_bytes_min = LARGE_BYTES;
    hub = net_add(network);
    network->work_bytes_min = 0;
    for (size_t i = 0; i < LEAVES; i++) {
        net_node *leaf = net_add(network);
        pipes[i] = net_connect(leaf, hub, NULL);
        watch_object(&readers[i], leaf, LARGE, TAG);
    }
    expose_object(&writer, hub, LARGE, TAG, 1);
    expose(&writer, "before");
    play_users(network, &writer, NULL, NULL);
}

static void teardown(void)
{
    expose_end(&writer);
    for (size_t i = 0; i < LEAVES; i++) {
        watch_end(&readers[i]);
    }
    while (net_finish_work(hub)) {
        continue;
    }
    net_free(network);
}

static void run(void)
{
    net_run(network, 100 * NET_MS);
}

START_TEST(all_links_that_need_the_same_payload_wait_for_one_work)
{
    expose(&writer, text_of('a'));
    run();
    for (size_t i = 0; i < LEAVES; i++) {
        assert_watched(&readers[i], LARGE, "before", HAKUBAN_LIVE);
    }
    ck_assert(net_finish_work(hub));
    ck_assert(!net_finish_work(hub));
    run();
    for (size_t i = 0; i < LEAVES; i++) {
        assert_watched(&readers[i], LARGE, text_of('a'), HAKUBAN_LIVE);
    }
}
END_TEST

START_TEST(a_link_that_ends_meanwhile_takes_it_from_no_other)
{
    expose(&writer, text_of('b'));
    run();
    net_cut(pipes[0]);
    run();
    ck_assert(net_finish_work(hub));
    run();
    assert_watched(&readers[1], LARGE, text_of('b'), HAKUBAN_LIVE);
    assert_watched(&readers[2], LARGE, text_of('b'), HAKUBAN_LIVE);
}
END_TEST

START_TEST(what_was_being_made_is_sent_though_a_newer_state_has_come)
{
    expose(&writer, text_of('c'));
    run();
    expose(&writer, text_of('d'));
    run();
    ck_assert(net_finish_work(hub));
    run();
    assert_watched(&readers[0], LARGE, text_of('c'), HAKUBAN_LIVE);
    while (net_finish_work(hub)) {
        run();
    }
    assert_watched(&readers[0], LARGE, text_of('d'), HAKUBAN_LIVE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange.packing");
    TCase *cases = tcase_create("works");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, all_links_that_need_the_same_payload_wait_for_one_work);
    tcase_add_test(cases, a_link_that_ends_meanwhile_takes_it_from_no_other);
    tcase_add_test(cases, what_was_being_made_is_sent_though_a_newer_state_has_come);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
