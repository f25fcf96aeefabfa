/* The channels of a peer for an object: what comes on them counts while they are open. */
#include "lone_exchange.h"

#define SINK_OPEN 13u

START_TEST(what_comes_on_a_sink_that_was_taken_back_is_not_heard)
{
    lone_user observer;
    stranger exposer;
    lone_begin();
    stranger_open(&exposer, lone.exchange, false);
    stranger_put(&exposer, "[8,2,1,\"1\"]");
    stranger_say(&exposer);
    lone_observe(&observer, "1", NULL);
    unsigned first = stranger_channel(&exposer, SINK_OPEN, "1");
    lone_end(&observer);
    ck_assert(stranger_heard(&exposer, "[14,"));
    stranger_put_state(&exposer, first, 5, "late");
    stranger_put(&exposer, "[15,%u]", first);
    stranger_say(&exposer);
    ck_assert_int_eq(exposer.peer->link.phase, HKB_LINK_OPEN);

    lone_observe(&observer, "1", NULL);
    unsigned second = stranger_channel(&exposer, SINK_OPEN, "1");
    ck_assert_uint_gt(second, first);
    stranger_put_state(&exposer, second, 6, "in time");
    stranger_say(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "in time");
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_end(&observer);
    stranger_leave(&exposer);
}
END_TEST

START_TEST(a_channel_that_was_never_opened_ends_the_link)
{
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    stranger_put_state(&peer, 7, 1, "nowhere");
    stranger_say(&peer);
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_ENDED);
    ck_assert_int_eq(lone.why.status, HAKUBAN_ERR_PROTOCOL);
    stranger_leave(&peer);
}
END_TEST

/* What the upstream calls 1.5 s old is so here, and a second later it is a second older. */
START_TEST(an_age_goes_on_from_exchange_to_exchange)
{
    lone_user first, second;
    stranger upstream, below;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    stranger_open(&below, lone.exchange, false);
    stranger_put(&below, "[8,1,0,\"1\"]");
    stranger_say(&below);
    lone_observe(&first, "1", NULL);
    stranger_put(&upstream, "[12,1,1,1,0,\"1\"]");
    stranger_put_state(&upstream, 1, 5, "state");
    stranger_say(&upstream);
    ck_assert_int_eq(lone_next(&first), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&first), HAKUBAN_EVENT_STATE);
    stranger_put(&upstream, "[20,1,2,0,1500000]");
    stranger_say(&upstream);
    ck_assert_int_eq(lone_next(&first), HAKUBAN_EVENT_CONDITION);
    ck_assert_int_eq(first.event.freshness, HAKUBAN_STALE);
    ck_assert_uint_eq(first.event.age_ns, 1500 * LONE_MS);
    ck_assert(stranger_heard(&below, ",2,0,1500000"));
    lone_pass(LONE_S);
    lone_observe(&second, "1", NULL);
    ck_assert_int_eq(lone_next(&second), HAKUBAN_EVENT_OPEN);
    ck_assert_uint_eq(second.event.age_ns, 2500 * LONE_MS);
    lone_end(&first);
    lone_end(&second);
    stranger_leave(&below);
    stranger_leave(&upstream);
}
END_TEST

/* The exposer here has nothing to say, and goes: what the upstream has is shown then, with the age
 * that it has by now. */
START_TEST(what_came_before_its_channel_was_the_source_counts_with_its_age)
{
    lone_user observer, exposer;
    stranger upstream;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    lone_expose(&exposer, "1", NULL, 1);
    lone_observe(&observer, "1", NULL);
    stranger_put(&upstream, "[12,1,1,0,0,\"1\"]");
    stranger_put_state(&upstream, 1, 5, "from above");
    stranger_put(&upstream, "[20,1,2,0,1500000]");
    stranger_say(&upstream);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_pass(LONE_S);
    lone_end(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "from above");
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_STALE);
    ck_assert_uint_eq(observer.event.age_ns, 2500 * LONE_MS);
    lone_end(&observer);
    stranger_leave(&upstream);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, what_comes_on_a_sink_that_was_taken_back_is_not_heard);
    tcase_add_test(cases, a_channel_that_was_never_opened_ends_the_link);
    tcase_add_test(cases, an_age_goes_on_from_exchange_to_exchange);
    tcase_add_test(cases, what_came_before_its_channel_was_the_source_counts_with_its_age);
    return lone_run("exchange.channel", cases, NULL);
}
