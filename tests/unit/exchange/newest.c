/* The newest state of an object, and what it is worth: versions only grow, freshness is that of the
 * exposer, older states are kept while a peer stands on them. */
#include "lone_exchange.h"

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
    tcase_add_test(cases, an_older_state_is_kept_only_while_a_peer_stands_on_it);
    return lone_run("exchange.newest", cases, NULL);
}
