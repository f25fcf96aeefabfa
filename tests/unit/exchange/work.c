/* Large states are made by threads beside the exchange: what has to wait for them, what goes on
 * meanwhile, and what becomes of their work when it is not needed any more. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define LARGE "\"large\""
#define SMALL "\"small\""
#define TAG "\"tag\""
#define LARGE_BYTES 120
#define LARGE_BYTES_MIN 100

static const char *text_of(char letter)
{
    static char text[LARGE_BYTES + 1];
    memset(text, letter, LARGE_BYTES);
    return text;
}

/* A hub that observes, with threads, and a leaf below it that exposes. */
typedef struct pair {
    net *network;
    net_node *hub, *leaf;
    watcher reader, all;
    exposer large, small;
} pair;

static void begin(pair *p, const char *params)
{
    p->network = net_new(1);
    p->network->works_by_hand = true;
    p->leaf = net_add(p->network);
    p->network->work_bytes_min = LARGE_BYTES_MIN;
    p->hub = net_add(p->network);
    net_connect(p->leaf, p->hub, params);
    watch_object(&p->reader, p->hub, LARGE, TAG);
    watch_tag(&p->all, p->hub, TAG);
    expose_object(&p->large, p->leaf, LARGE, TAG, 1);
    expose_object(&p->small, p->leaf, SMALL, TAG, 1);
    expose(&p->large, "before");
    expose(&p->small, "before");
    play_users(p->network, &p->large, &p->small, NULL);
    assert_watched(&p->reader, LARGE, "before", HAKUBAN_LIVE);
    ck_assert_ptr_null(p->hub->works);
}

static void run(const pair *p)
{
    net_run(p->network, 100 * NET_MS);
}

static void end(pair *p)
{
    expose_end(&p->large);
    expose_end(&p->small);
    watch_end(&p->reader);
    watch_end(&p->all);
    net_free(p->network);
}

START_TEST(while_a_large_state_is_made_others_on_the_connection_arrive)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('a'));
    expose(&p.small, "after");
    run(&p);
    assert_watched(&p.all, SMALL, "after", HAKUBAN_LIVE);
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(p.hub));
    assert_watched(&p.reader, LARGE, text_of('a'), HAKUBAN_LIVE);
    ck_assert(!net_finish_work(p.hub));
    end(&p);
}
END_TEST

START_TEST(the_next_state_of_the_object_waits_for_it)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('a'));
    run(&p);
    expose(&p.large, "after");
    run(&p);
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(p.hub));
    assert_watched(&p.reader, LARGE, text_of('a'), HAKUBAN_LIVE);
    run(&p); /* a difference to what was made */
    assert_watched(&p.reader, LARGE, "after", HAKUBAN_LIVE);
    end(&p);
}
END_TEST

START_TEST(the_end_of_the_exposer_waits_for_its_last_state)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('z'));
    run(&p);
    expose_end(&p.large);
    run(&p);
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(p.hub));
    run(&p);
    assert_watched(&p.reader, LARGE, text_of('z'), HAKUBAN_STALE);
    end(&p);
}
END_TEST

START_TEST(a_goodbye_waits_for_the_last_state)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('z'));
    run(&p);
    hkb_peer_leave(p.leaf->up->peer[0]);
    run(&p);
    ck_assert_uint_eq(p.hub->ended.count, 0);
    ck_assert(net_finish_work(p.hub));
    run(&p);
    ck_assert_uint_eq(p.hub->ended.count, 1);
    ck_assert(p.hub->ended.orderly);
    assert_watched(&p.reader, LARGE, text_of('z'), HAKUBAN_STALE);
    end(&p);
}
END_TEST

START_TEST(a_session_that_goes_on_has_the_state_that_was_being_made)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('a'));
    run(&p);
    net_cut(p.leaf->up);
    net_connect(p.leaf, p.hub, NULL);
    expose(&p.large, "after");
    run(&p);
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(p.hub));
    assert_watched(&p.reader, LARGE, text_of('a'), HAKUBAN_LIVE);
    run(&p);
    assert_watched(&p.reader, LARGE, "after", HAKUBAN_LIVE);
    end(&p);
}
END_TEST

/* It is nothing to anybody when the work is done, and given back with all its memory. */
START_TEST(a_connection_that_ends_lets_go_of_the_work)
{
    pair p;
    begin(&p, "grace=0");
    expose(&p.large, text_of('a'));
    run(&p);
    net_cut(p.leaf->up);
    net_run(p.network, 2 * NET_S);
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_STALE);
    ck_assert(net_finish_work(p.hub));
    assert_watched(&p.reader, LARGE, "before", HAKUBAN_STALE);
    net_connect(p.leaf, p.hub, "grace=0");
    play_users(p.network, &p.large, &p.small, NULL);
    while (net_finish_work(p.hub)) {
        run(&p);
    }
    assert_watched(&p.reader, LARGE, text_of('a'), HAKUBAN_LIVE);
    end(&p);
}
END_TEST

/* Without a session, the end of the connection is all there is to say that no more comes. */
START_TEST(a_peer_without_a_session_waits_with_everything)
{
    pair p;
    begin(&p, "grace=0");
    expose(&p.large, text_of('a'));
    run(&p);
    expose(&p.small, "after");
    run(&p);
    assert_watched(&p.all, SMALL, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(p.hub));
    run(&p);
    assert_watched(&p.all, SMALL, "after", HAKUBAN_LIVE);
    end(&p);
}
END_TEST

START_TEST(a_few_states_of_a_peer_are_made_at_a_time)
{
    enum { COUNT = HKB_WORKING_MAX + 3 };
    pair p;
    exposer others[COUNT];
    begin(&p, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        char object[16];
        snprintf(object, sizeof(object), "%zu", i);
        expose_object(&others[i], p.leaf, object, TAG, 1);
    }
    run(&p);
    for (size_t i = 0; i < COUNT; i++) {
        expose(&others[i], text_of((char)('a' + i)));
        expose_turn(&others[i]);
    }
    run(&p);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(p.leaf->up->peer[1]->link.working, hkb_min(COUNT - i, HKB_WORKING_MAX));
        ck_assert(net_finish_work(p.hub));
        run(&p);
    }
    for (size_t i = 0; i < COUNT; i++) {
        char object[16];
        snprintf(object, sizeof(object), "%zu", i);
        assert_watched(&p.all, object, text_of((char)('a' + i)), HAKUBAN_LIVE);
        expose_end(&others[i]);
    }
    end(&p);
}
END_TEST

START_TEST(a_silence_does_not_end_a_connection_that_is_not_read)
{
    pair p;
    begin(&p, "keep-alive=1s");
    expose(&p.large, text_of('a'));
    run(&p);
    expose(&p.large, text_of('b'));
    net_run(p.network, 60 * NET_S);
    ck_assert_uint_eq(p.hub->ended.count, 0);
    ck_assert_ptr_nonnull(p.leaf->up);
    while (net_finish_work(p.hub)) {
        run(&p);
    }
    assert_watched(&p.reader, LARGE, text_of('b'), HAKUBAN_LIVE);
    end(&p);
}
END_TEST

START_TEST(an_exchange_ends_with_work_undone)
{
    pair p;
    begin(&p, NULL);
    expose(&p.large, text_of('a'));
    run(&p);
    ck_assert_ptr_nonnull(p.hub->works);
    end(&p); /* which counts the memory */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work");
    TCase *tests = tcase_create("work");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, while_a_large_state_is_made_others_on_the_connection_arrive);
    tcase_add_test(tests, the_next_state_of_the_object_waits_for_it);
    tcase_add_test(tests, the_end_of_the_exposer_waits_for_its_last_state);
    tcase_add_test(tests, a_goodbye_waits_for_the_last_state);
    tcase_add_test(tests, a_session_that_goes_on_has_the_state_that_was_being_made);
    tcase_add_test(tests, a_connection_that_ends_lets_go_of_the_work);
    tcase_add_test(tests, a_peer_without_a_session_waits_with_everything);
    tcase_add_test(tests, a_few_states_of_a_peer_are_made_at_a_time);
    tcase_add_test(tests, a_silence_does_not_end_a_connection_that_is_not_read);
    tcase_add_test(tests, an_exchange_ends_with_work_undone);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
