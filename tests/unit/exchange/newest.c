/* The newest state of an object, and what it is worth: versions only grow, freshness is that of the
 * exposer, older states are kept while a peer stands on them. */
#include "lone_exchange.h"

#define STREAM_OPEN 12u
#define SINK_OPEN 13u

static lone_user observer;
static stranger exposer;
static unsigned sink; /* the exposer's channel */

/* An observer here, an exposer below. */
static void begin(void)
{
    lone_begin();
    lone_observe(&observer, "1", NULL);
    stranger_open(&exposer, lone.exchange, false);
    stranger_put(&exposer, "[8,2,1,\"1\"]");
    stranger_say(&exposer);
    sink = stranger_channel(&exposer, SINK_OPEN, "1");
    stranger_forget(&exposer);
}

static void end(void)
{
    lone_end(&observer);
    stranger_leave(&exposer);
}

/* Comes again with an exposer of the same object. */
static void come_back(void)
{
    stranger_open(&exposer, lone.exchange, false);
    stranger_put(&exposer, "[8,2,1,\"1\"]");
    stranger_say(&exposer);
    sink = stranger_channel(&exposer, SINK_OPEN, "1");
    stranger_forget(&exposer);
}

/* Its link is ended for the memory that it takes, and what it has sent is forgotten. */
static void end_for_memory(void)
{
    hkb_link_fail(&exposer.peer->link, HAKUBAN_ERR_LIMIT, "too much");
    hkb_exchange_settle(lone.exchange);
    ck_assert_ptr_null(lone_object("1", NULL)->state);
    stranger_leave(&exposer);
}

static void say_state(unsigned version, const char *text)
{
    stranger_put_state(&exposer, sink, version, text);
    stranger_say(&exposer);
}

START_TEST(a_lower_version_is_not_shown_and_its_exposer_is_told_the_floor)
{
    begin();
    say_state(5, "newest");
    say_state(3, "older");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "newest");
    ck_assert_int_eq(lone_next(&observer), 0);
    ck_assert(stranger_heard(&exposer, "[21,"));
    ck_assert(stranger_heard(&exposer, ",[5]]"));
    end();
}
END_TEST

START_TEST(the_same_version_with_other_data_replaces_the_state)
{
    begin();
    say_state(5, "one");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    say_state(5, "other");
    ck_assert_int_ne(lone_next(&observer), 0);
    ck_assert_str_eq(lone_text(&observer), "other");
    end();
}
END_TEST

START_TEST(a_state_without_its_exposer_is_stale_until_another_confirms_it)
{
    lone_user successor;
    begin();
    say_state(5, "state");
    stranger_put(&exposer, "[8,0,0,\"1\"]");
    stranger_put(&exposer, "[15,%u]", sink);
    stranger_say(&exposer);
    lone_pass(2 * LONE_S);
    while (lone_next(&observer)) {
        continue;
    }
    const hkb_object *object = lone_object("1", NULL);
    ck_assert_int_eq(object->freshness, HAKUBAN_STALE);
    lone_expose(&successor, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&successor), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_uint_eq(successor.event.version_count, 1);
    ck_assert_int_eq(successor.event.version[0], 5);
    ck_assert_int_eq(lone_send(&successor, "next", 6), HAKUBAN_OK);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_LIVE);
    lone_end(&successor);
    end();
}
END_TEST

START_TEST(a_state_that_was_forgotten_for_its_memory_is_not_news_when_it_comes_again)
{
    stranger reader;
    lone_user late;
    begin();
    stranger_open(&reader, lone.exchange, false);
    stranger_put(&reader, "[8,1,0,\"1\"]");
    stranger_say(&reader);
    say_state(5, "state");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    stranger_hear(lone.exchange);
    end_for_memory();
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_CONDITION);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_NEVER);
    lone_observe(&late, "1", NULL);
    ck_assert_int_eq(lone_next(&late), HAKUBAN_EVENT_OPEN);
    come_back();
    while (lone_next(&observer)) {
        ck_assert_int_eq(observer.event.freshness, HAKUBAN_NEVER);
    }
    stranger_hear(lone.exchange);
    stranger_forget(&reader);
    say_state(5, "state");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_CONDITION);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_LIVE);
    ck_assert_str_eq(lone_text(&observer), "state");
    ck_assert(stranger_heard(&reader, "[20,1,1,1,0]"));
    ck_assert(!stranger_heard(&reader, ",[5]"));
    while (lone_next(&late) == HAKUBAN_EVENT_CONDITION) {
        continue;
    }
    ck_assert_int_eq(late.event.kind, HAKUBAN_EVENT_STATE); /* it never had it */
    ck_assert_str_eq(lone_text(&late), "state");
    say_state(6, "next");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert(stranger_heard(&reader, ",[6]"));
    lone_end(&late);
    stranger_leave(&reader);
    end();
}
END_TEST

/* The floor may have been raised meanwhile. */
START_TEST(a_lower_version_than_one_that_was_forgotten_for_its_memory_is_not_shown)
{
    stranger reader;
    begin();
    stranger_open(&reader, lone.exchange, false);
    stranger_put(&reader, "[8,1,0,\"1\"]");
    stranger_say(&reader);
    unsigned stream = stranger_channel(&reader, STREAM_OPEN, "1");
    say_state(5, "state");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    end_for_memory();
    come_back();
    if (_i) {
        stranger_put(&reader, "[21,%u,[7]]", stream);
        stranger_say(&reader);
    }
    say_state(4, "older");
    while (lone_next(&observer)) {
        ck_assert_int_eq(observer.event.kind, HAKUBAN_EVENT_CONDITION);
        ck_assert_int_eq(observer.event.freshness, HAKUBAN_NEVER);
    }
    ck_assert(stranger_heard(&exposer, _i ? ",[7]]" : ",[5]]"));
    say_state(7, "newer");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_LIVE);
    ck_assert_str_eq(lone_text(&observer), "newer");
    stranger_leave(&reader);
    end();
}
END_TEST

START_TEST(an_older_state_is_kept_only_while_a_peer_stands_on_it)
{
    stranger slow;
    begin();
    stranger_open(&slow, lone.exchange, false);
    stranger_put(&slow, "[8,1,0,\"1\"]");
    stranger_say(&slow);
    say_state(1, "the first state");
    stranger_hear(lone.exchange);
    const hkb_object *object = lone_object("1", NULL);
    hkb_peer_set_writable(slow.peer, false);
    for (unsigned version = 2; version < 10; version++) {
        say_state(version, "a later state");
        ck_assert_uint_eq(object->bases_bytes, strlen("the first state"));
    }
    hkb_peer_set_writable(slow.peer, true);
    stranger_hear(lone.exchange);
    ck_assert_uint_eq(object->bases_bytes, 0);
    ck_assert(hkb_list_empty(&object->bases));
    stranger_leave(&slow);
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_lower_version_is_not_shown_and_its_exposer_is_told_the_floor);
    tcase_add_test(cases, the_same_version_with_other_data_replaces_the_state);
    tcase_add_test(cases, a_state_without_its_exposer_is_stale_until_another_confirms_it);
    tcase_add_test(cases,
                   a_state_that_was_forgotten_for_its_memory_is_not_news_when_it_comes_again);
    tcase_add_loop_test(
        cases, a_lower_version_than_one_that_was_forgotten_for_its_memory_is_not_shown, 0, 2);
    tcase_add_test(cases, an_older_state_is_kept_only_while_a_peer_stands_on_it);
    return lone_run("exchange.newest", cases, NULL);
}
