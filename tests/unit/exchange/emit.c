/* What a peer does not know yet of an object, said: the newest only, as a difference where the peer
 * has a base. */
#include "lone_exchange.h"

static lone_user exposer;
static stranger below;

static void begin(void)
{
    lone_begin();
    lone_expose(&exposer, "1", NULL, 1);
    stranger_open(&below, lone.exchange, false);
    stranger_put(&below, "[8,1,0,\"1\"]");
    stranger_say(&below);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
}

static void end(void)
{
    lone_end(&exposer);
    stranger_leave(&below);
}

static size_t count(const char *text)
{
    size_t found = 0;
    ck_assert(stranger_heard(&below, ""));
    for (const char *at = (const char *)below.heard.data; (at = strstr(at, text)); at++) {
        found++;
    }
    return found;
}

START_TEST(a_peer_that_takes_nothing_for_a_while_is_told_the_newest_state_alone)
{
    begin();
    ck_assert(stranger_heard(&below, "[12,"));
    stranger_forget(&below);
    hkb_peer_set_writable(below.peer, false);
    for (int i = 1; i <= 100; i++) {
        ck_assert_int_eq(lone_send(&exposer, i < 100 ? "old" : "newest", i), HAKUBAN_OK);
    }
    hkb_peer_set_writable(below.peer, true);
    ck_assert_uint_eq(count("[JSON"), 0);
    ck_assert_uint_eq(count("\n"), 1);
    ck_assert_uint_eq(count("[65,1,[100],[\"JSON\"]]"), 1);
    end();
}
END_TEST

START_TEST(the_second_state_says_neither_its_format_nor_its_whole_version)
{
    begin();
    ck_assert_int_eq(lone_send(&exposer, "one", 5), HAKUBAN_OK);
    ck_assert(stranger_heard(&below, "[65,1,[5],[\"JSON\"]]"));
    ck_assert_int_eq(lone_send(&exposer, "two", 7), HAKUBAN_OK);
    ck_assert(stranger_heard(&below, "[72,1,2]\n"));
    end();
}
END_TEST

START_TEST(a_peer_that_asks_again_is_sent_the_whole_state)
{
    begin();
    ck_assert_int_eq(lone_send(&exposer, "one", 5), HAKUBAN_OK);
    ck_assert_int_eq(lone_send(&exposer, "two", 7), HAKUBAN_OK);
    stranger_forget(&below);
    stranger_put(&below, "[23,1]");
    stranger_say(&below);
    ck_assert(stranger_heard(&below, "[65,1,[7],[\"JSON\"]]"));
    end();
}
END_TEST

START_TEST(nothing_is_said_below_a_floor_that_the_peer_has_told)
{
    lone_user other;
    begin();
    lone_observe(&other, "1", NULL);
    ck_assert(stranger_heard(&below, "[12,1,"));
    stranger_put(&below, "[21,1,[9]]");
    stranger_say(&below);
    stranger_forget(&below);
    ck_assert_int_eq(lone_send(&exposer, "below", 8), HAKUBAN_ERR_VERSION);
    ck_assert_uint_eq(count("[65,"), 0);
    ck_assert_int_eq(lone_send(&exposer, "above", 10), HAKUBAN_OK);
    ck_assert_uint_eq(count("[65,1,[10]"), 1);
    lone_end(&other);
    end();
}
END_TEST

START_TEST(a_change_of_freshness_alone_is_said_without_the_state)
{
    begin();
    ck_assert_int_eq(lone_send(&exposer, "one", 5), HAKUBAN_OK);
    stranger_forget(&below);
    lone_end(&exposer);
    lone_pass(2 * LONE_S);
    ck_assert_uint_ge(count("[20,1,2,0,"), 1);
    ck_assert_uint_eq(count("[65,"), 0);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_peer_that_takes_nothing_for_a_while_is_told_the_newest_state_alone);
    tcase_add_test(cases, the_second_state_says_neither_its_format_nor_its_whole_version);
    tcase_add_test(cases, a_peer_that_asks_again_is_sent_the_whole_state);
    tcase_add_test(cases, nothing_is_said_below_a_floor_that_the_peer_has_told);
    tcase_add_test(cases, a_change_of_freshness_alone_is_said_without_the_state);
    return lone_run("exchange.emit", cases, NULL);
}
