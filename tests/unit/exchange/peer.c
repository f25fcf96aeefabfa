/* What a peer is told, and in which order; what its link asks of its records. */
#include "lone_exchange.h"

/* Where in what the stranger was told the text is; it must be there. */
static const char *place(stranger *peer, const char *text)
{
    ck_assert(stranger_heard(peer, text));
    return strstr((const char *)peer->heard.data, text);
}

START_TEST(registrations_are_told_in_the_order_in_which_they_were_wanted)
{
    lone_user observers[3];
    stranger upstream;
    const char *names[] = {"3", "1", "2"};
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    for (int i = 0; i < 3; i++) {
        lone_observe(&observers[i], names[i], NULL);
    }
    const char *third = place(&upstream, "[8,1,0,\"3\"]"), *first = place(&upstream, "\"1\"]"),
               *second = place(&upstream, "\"2\"]");
    ck_assert(third < first && first < second);
    for (int i = 0; i < 3; i++) {
        lone_end(&observers[i]);
    }
    stranger_leave(&upstream);
}
END_TEST

START_TEST(a_downstream_is_told_how_much_is_kept_for_it_and_an_upstream_is_not)
{
    stranger upstream, below;
    lone.settings.link_bytes_max = 123456;
    lone_begin();
    stranger_open_with(&below, lone.exchange, false, STRANGER_HELLO);
    stranger_open_with(&upstream, lone.exchange, true, STRANGER_UPSTREAM_HELLO);
    ck_assert(stranger_heard(&below, "[7,123456]"));
    ck_assert(!stranger_heard(&upstream, "[7,"));
    stranger_leave(&below);
    stranger_leave(&upstream);
}
END_TEST

/* What was wanted and is not any more before the peer could be told is not told at all. */
START_TEST(what_came_to_nothing_before_it_was_told_is_not_told)
{
    lone_user observer;
    stranger upstream;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    hkb_peer_set_writable(upstream.peer, false);
    lone_observe(&observer, "1", NULL);
    lone_end(&observer);
    hkb_peer_set_writable(upstream.peer, true);
    ck_assert(!stranger_heard(&upstream, "[8,"));
    stranger_leave(&upstream);
}
END_TEST

START_TEST(a_peer_that_leaves_in_an_orderly_way_is_told_what_waits_and_then_bye)
{
    lone_user exposer;
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    lone_expose(&exposer, "1", NULL, 1);
    stranger_put(&below, "[8,1,0,\"1\"]");
    stranger_say(&below);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "last words", 1), HAKUBAN_OK);
    hkb_peer_leave(below.peer);
    const char *state = place(&below, "[65,1,[1]"), *bye = place(&below, "[3]");
    ck_assert(state < bye);
    stranger_put(&below, "[3]");
    stranger_say(&below);
    stranger_hear(lone.exchange);
    ck_assert(hkb_peer_is_over(below.peer));
    ck_assert_uint_eq(lone.ended, 1);
    lone_end(&exposer);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, registrations_are_told_in_the_order_in_which_they_were_wanted);
    tcase_add_test(cases, a_downstream_is_told_how_much_is_kept_for_it_and_an_upstream_is_not);
    tcase_add_test(cases, what_came_to_nothing_before_it_was_told_is_not_told);
    tcase_add_test(cases, a_peer_that_leaves_in_an_orderly_way_is_told_what_waits_and_then_bye);
    return lone_run("exchange.peer", cases, NULL);
}
