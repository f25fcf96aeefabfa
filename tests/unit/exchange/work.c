/* Large states are made by threads beside the exchange: what has to wait for them, what goes on
 * meanwhile, and what becomes of their work when it is not needed any more. */
#include "exchange/facts.h"
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

/* When the work is done, its result is dropped, and all of its memory is given back. */
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

/* -- What goes out -- */

/* The hub exposes, with threads, and leaves observe. */
typedef struct fan {
    net *network;
    net_node *hub, *leaves[2];
    watcher readers[2], others[2];
    exposer large, small;
} fan;

static void begin_fan(fan *f)
{
    f->network = net_new(2);
    f->network->works_by_hand = true;
    for (int i = 0; i < 2; i++) {
        f->leaves[i] = net_add(f->network);
        watch_object(&f->readers[i], f->leaves[i], LARGE, TAG);
        watch_object(&f->others[i], f->leaves[i], SMALL, TAG);
    }
    f->network->work_bytes_min = LARGE_BYTES_MIN;
    f->hub = net_add(f->network);
    expose_object(&f->large, f->hub, LARGE, TAG, 1);
    expose_object(&f->small, f->hub, SMALL, TAG, 1);
    expose(&f->large, "before");
    expose(&f->small, "before");
    for (int i = 0; i < 2; i++) {
        net_connect(f->leaves[i], f->hub, NULL);
    }
    play_users(f->network, &f->large, &f->small, NULL);
    for (int i = 0; i < 2; i++) {
        assert_watched(&f->readers[i], LARGE, "before", HAKUBAN_LIVE);
    }
}

static void assert_all_watched(fan *f, const char *text, hakuban_freshness freshness)
{
    net_run(f->network, 100 * NET_MS);
    for (int i = 0; i < 2; i++) {
        assert_watched(&f->readers[i], LARGE, text, freshness);
    }
}

static void end_fan(fan *f)
{
    expose_end(&f->large);
    expose_end(&f->small);
    for (int i = 0; i < 2; i++) {
        watch_end(&f->readers[i]);
        watch_end(&f->others[i]);
    }
    net_free(f->network);
}

START_TEST(a_payload_is_made_once_for_all_that_need_it)
{
    fan f;
    begin_fan(&f);
    expose(&f.large, text_of('a'));
    assert_all_watched(&f, "before", HAKUBAN_LIVE);
    expose(&f.small, "after");
    net_run(f.network, 100 * NET_MS);
    assert_watched(&f.others[0], SMALL, "after", HAKUBAN_LIVE);
    ck_assert(net_finish_work(f.hub));
    ck_assert(!net_finish_work(f.hub));
    assert_all_watched(&f, text_of('a'), HAKUBAN_LIVE);
    end_fan(&f);
}
END_TEST

/* Else an object that changes faster than its payloads are made would never be seen to change. */
START_TEST(what_was_made_is_said_although_there_is_a_newer_state)
{
    fan f;
    begin_fan(&f);
    expose(&f.large, text_of('a'));
    net_run(f.network, 100 * NET_MS);
    for (char letter = 'b'; letter < 'f'; letter++) {
        expose(&f.large, text_of(letter));
        ck_assert(net_finish_work(f.hub));
        assert_all_watched(&f, text_of((char)(letter - 1)), HAKUBAN_LIVE);
    }
    ck_assert(net_finish_work(f.hub));
    assert_all_watched(&f, text_of('e'), HAKUBAN_LIVE);
    end_fan(&f);
}
END_TEST

START_TEST(the_last_state_is_said_before_the_stream_ends)
{
    fan f;
    begin_fan(&f);
    expose(&f.large, text_of('z'));
    net_run(f.network, 100 * NET_MS);
    expose_end(&f.large);
    assert_all_watched(&f, "before", HAKUBAN_LIVE);
    ck_assert(net_finish_work(f.hub));
    assert_all_watched(&f, text_of('z'), HAKUBAN_STALE);
    end_fan(&f);
}
END_TEST

START_TEST(a_link_that_leaves_says_what_is_being_made)
{
    fan f;
    begin_fan(&f);
    expose(&f.large, text_of('z'));
    net_run(f.network, 100 * NET_MS);
    hkb_peer_leave(f.leaves[0]->up->peer[1]);
    net_run(f.network, 100 * NET_MS);
    ck_assert_uint_eq(f.leaves[0]->ended.count, 0);
    ck_assert(net_finish_work(f.hub));
    net_run(f.network, 100 * NET_MS);
    ck_assert(f.leaves[0]->ended.orderly);
    assert_watched(&f.readers[0], LARGE, text_of('z'), HAKUBAN_STALE);
    end_fan(&f);
}
END_TEST

START_TEST(observers_that_leave_let_go_of_the_payload)
{
    fan f;
    begin_fan(&f);
    expose(&f.large, text_of('a'));
    net_run(f.network, 100 * NET_MS);
    for (int i = 0; i < 2; i++) {
        net_cut(f.leaves[i]->up);
    }
    net_run(f.network, 10 * NET_S); /* the grace is over */
    ck_assert(net_finish_work(f.hub));
    ck_assert(!net_finish_work(f.hub));
    end_fan(&f);
}
END_TEST

/* The exposer's link is ended for the memory that it takes. */
START_TEST(a_state_that_is_forgotten_while_its_payload_is_made_stays_in_an_account)
{
    pair p;
    watcher other;
    begin(&p, NULL);
    expose(&p.large, text_of('a'));
    run(&p);
    ck_assert(net_finish_work(p.hub)); /* the state is made */
    net_node *second = net_add(p.network);
    net_connect(second, p.hub, NULL);
    watch_object(&other, second, LARGE, TAG);
    run(&p);
    ck_assert_ptr_nonnull(p.hub->works);
    hakuban_descriptor *descriptor = net_descriptor(LARGE, TAG);
    const hkb_object *object = hkb_object_find(p.hub->exchange, descriptor);
    hkb_link_fail(&p.leaf->up->peer[1]->link, HAKUBAN_ERR_LIMIT, "too much");
    hkb_exchange_settle(net_enter(p.hub));
    ck_assert_ptr_null(object->state);
    ck_assert_uint_eq(object->bases_bytes, LARGE_BYTES);
    while (net_finish_work(p.hub)) {
        continue;
    }
    run(&p);
    ck_assert_uint_eq(object->bases_bytes, 0);
    hakuban_descriptor_unref(descriptor);
    watch_end(&other);
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
    tcase_add_test(tests, a_payload_is_made_once_for_all_that_need_it);
    tcase_add_test(tests, what_was_made_is_said_although_there_is_a_newer_state);
    tcase_add_test(tests, the_last_state_is_said_before_the_stream_ends);
    tcase_add_test(tests, a_link_that_leaves_says_what_is_being_made);
    tcase_add_test(tests, observers_that_leave_let_go_of_the_payload);
    tcase_add_test(tests, a_state_that_is_forgotten_while_its_payload_is_made_stays_in_an_account);
    tcase_add_test(tests, an_exchange_ends_with_work_undone);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
