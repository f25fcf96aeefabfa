/* What each message means, and which of them end the link. */
#include "lone_exchange.h"

/* Each of them ends the link of its sender. */
static const char *const from_below[] = {
    "[12,1,1,1,0,\"1\"]", /* streams, sinks and lists come from above */
    "[13,1,7,[],\"1\"]",  "[16,\"7\"]", "[6,0,1]",  "[7,1000]",
    "[20,1,1,1,0]",       "[21,1,[1]]", "[23,1]",   "[8,1,0,\"not JSON\"]",
    "[9,1,0,\"{\"]",      "[8,1]",      "nonsense",
};
static const char *const from_above[] = {
    "[8,1,0,\"1\"]", /* registrations and limits come from below */
    "[9,1,0,\"7\"]", "[10,0,5]", "[14,1,0]", "[12,0,1,1,0,\"1\"]", "[12,1,1,1,0,\"nonsense\"]",
};

static void must_end(const char *message, bool upstream)
{
    stranger peer, good;
    lone_begin();
    stranger_open(&good, lone.exchange, false);
    stranger_open(&peer, lone.exchange, upstream);
    stranger_put(&peer, "%s", message);
    stranger_say(&peer);
    ck_assert_msg(peer.peer->link.phase == HKB_LINK_ENDED, "%s did not end the link", message);
    ck_assert(lone.why.status == HAKUBAN_ERR_PROTOCOL || lone.why.status == HAKUBAN_ERR_PARSE);
    ck_assert(stranger_heard(&peer, "[4,\"")); /* it is told why */
    ck_assert_int_eq(good.peer->link.phase, HKB_LINK_OPEN);
    stranger_leave(&peer);
    stranger_leave(&good);
}

START_TEST(what_a_downstream_may_not_say_ends_its_link_and_no_other)
{
    must_end(from_below[_i], false);
}
END_TEST

START_TEST(what_an_upstream_may_not_say_ends_its_link_and_no_other)
{
    must_end(from_above[_i], true);
}
END_TEST

START_TEST(channels_of_an_upstream_rise_and_an_object_has_one_stream)
{
    static const char *const second[] = {"[12,5,1,1,0,\"2\"]", "[12,4,1,1,0,\"2\"]",
                                         "[12,6,1,1,0,\"1\"]"};
    stranger upstream;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    stranger_put(&upstream, "[12,5,1,1,0,\"1\"]");
    stranger_say(&upstream);
    ck_assert_int_eq(upstream.peer->link.phase, HKB_LINK_OPEN);
    stranger_put(&upstream, "%s", second[_i]);
    stranger_say(&upstream);
    ck_assert_int_eq(upstream.peer->link.phase, HKB_LINK_ENDED);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(what_is_not_known_is_ignored)
{
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    stranger_put(&peer, "[28,\"of a later release\"]");
    stranger_put(&peer, "[200]");
    stranger_put(&peer, "[8,0,0,\"12\"]");             /* it was never registered */
    stranger_put(&peer, "[8,65,0,\"1\",\"7\",\"8\"]"); /* a flag that has no meaning yet */
    stranger_put(&peer, "[2,\"and more\"]");
    stranger_say(&peer);
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    ck_assert_uint_eq(lone.exchange->objects.count, 1);
    ck_assert_uint_eq(lone.exchange->tags.count, 2);
    stranger_leave(&peer);
}
END_TEST

START_TEST(a_registration_replaces_the_one_before)
{
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    stranger_put(&peer, "[8,3,5,\"1\"]");
    stranger_put(&peer, "[8,2,7,\"1\"]");
    stranger_say(&peer);
    const hkb_object *object = lone_object("1", NULL);
    ck_assert_uint_eq(object->capacity, 7);
    ck_assert_uint_eq(object->observe_shares, 0);
    ck_assert_uint_eq(object->expose_shares, 1);
    stranger_put(&peer, "[8,1,9,\"1\"]"); /* capacity counts where expose is set */
    stranger_say(&peer);
    ck_assert_uint_eq(object->capacity, 0);
    ck_assert_uint_eq(object->observe_shares, 1);
    stranger_leave(&peer);
}
END_TEST

START_TEST(a_load_limit_holds_and_the_next_one_replaces_it)
{
    lone_user observers[2];
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    stranger_put(&peer, "[10,0,1]");
    stranger_put(&peer, "[9,2,1,\"7\"]");
    stranger_say(&peer);
    lone_observe(&observers[0], "1", "7");
    lone_observe(&observers[1], "2", "7");
    lone_pass(LONE_S);
    ck_assert_uint_eq(peer.peer->served_count, 1);
    stranger_put(&peer, "[10]"); /* no limit */
    stranger_say(&peer);
    lone_pass(LONE_S);
    ck_assert_uint_eq(peer.peer->served_count, 2);
    lone_end(&observers[0]);
    lone_end(&observers[1]);
    stranger_leave(&peer);
}
END_TEST

static int64_t cost_of(stranger *peer, const char *message)
{
    int64_t before = peer->peer->link.credit;
    stranger_put(peer, "%s", message);
    stranger_say(peer);
    ck_assert_int_eq(peer->peer->link.phase, HKB_LINK_OPEN);
    return before - peer->peer->link.credit;
}

/* Numbers with exponents take microseconds each to read and write. */
START_TEST(a_name_that_is_hard_to_read_costs_more_than_a_plain_one_of_the_same_length)
{
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    int64_t plain = cost_of(&peer, "[8,1,0,\"[\\\"1e-300,2e-300,3e-300\\\"]\"]");
    int64_t hard = cost_of(&peer, "[8,1,0,\"[1e-300,2e-300,3e-300]\"]");
    ck_assert_int_ge(hard, plain + 12);
    plain = cost_of(&peer, "[9,1,0,\"[\\\"1e-300,2e-300,3e-300\\\"]\"]");
    hard = cost_of(&peer, "[9,1,0,\"[1e-300,2e-300,3e-300]\"]");
    ck_assert_int_ge(hard, plain + 12);
    stranger_leave(&peer);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_loop_test(cases, what_a_downstream_may_not_say_ends_its_link_and_no_other, 0,
                        (int)HKB_COUNT(from_below));
    tcase_add_loop_test(cases, what_an_upstream_may_not_say_ends_its_link_and_no_other, 0,
                        (int)HKB_COUNT(from_above));
    tcase_add_loop_test(cases, channels_of_an_upstream_rise_and_an_object_has_one_stream, 0, 3);
    tcase_add_test(cases, what_is_not_known_is_ignored);
    tcase_add_test(cases, a_registration_replaces_the_one_before);
    tcase_add_test(cases, a_load_limit_holds_and_the_next_one_replaces_it);
    tcase_add_test(cases,
                   a_name_that_is_hard_to_read_costs_more_than_a_plain_one_of_the_same_length);
    return lone_run("exchange.hear", cases, NULL);
}
