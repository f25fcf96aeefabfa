/* The record of which exposer's states are an object's, and the load that follows from it. */
#include "exchange/facts.h"
#include "lone_exchange.h"

static stranger below;

static void say(const char *message)
{
    stranger_put(&below, "%s", message);
    stranger_say(&below);
    lone_pass(LONE_MS);
}

static hkb_assignment_phase phase(const char *object)
{
    return hkb_object_phase(lone_object(object, NULL));
}

START_TEST(a_downstream_is_charged_for_what_it_serves_and_for_as_long)
{
    lone_user observers[2];
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    lone_observe(&observers[0], "1", NULL);
    lone_observe(&observers[1], "2", NULL);
    ck_assert_int_eq(phase("1"), HKB_VACANT);
    say("[8,2,4,\"1\"]");
    say("[8,2,2,\"2\"]");
    ck_assert_int_eq(phase("1"), HKB_SERVED);
    ck_assert_double_eq(below.peer->load, 0.75);
    ck_assert_uint_eq(below.peer->served_count, 2);
    say("[8,2,8,\"1\"]"); /* another capacity, another cost */
    ck_assert_double_eq(below.peer->load, 0.625);
    lone_end(&observers[1]);
    lone_pass(LONE_MS);
    ck_assert_double_eq(below.peer->load, 0.125);
    say("[8,0,0,\"1\"]");
    ck_assert_double_eq(below.peer->load, 0);
    ck_assert_uint_eq(below.peer->served_count, 0);
    lone_end(&observers[0]);
    stranger_leave(&below);
}
END_TEST

/* Thirds do not add up to one in binary. */
START_TEST(a_downstream_that_serves_nothing_has_no_load_at_all)
{
    lone_user observers[3];
    const char *names[] = {"1", "2", "3"};
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    for (int i = 0; i < 3; i++) {
        lone_observe(&observers[i], names[i], NULL);
        stranger_put(&below, "[8,2,%d,\"%s\"]", 3 + 4 * i, names[i]);
        stranger_say(&below);
    }
    ck_assert_uint_eq(below.peer->served_count, 3);
    for (int i = 0; i < 3; i++) {
        lone_end(&observers[i]);
    }
    ck_assert_double_eq(below.peer->load, 0);
    stranger_leave(&below);
}
END_TEST

START_TEST(the_next_exposer_waits_until_the_one_before_has_closed)
{
    lone_user observer, exposer;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    lone_observe(&observer, "1", NULL);
    say("[8,2,1,\"1\"]");
    unsigned sink = stranger_channel(&below, 13, "1");
    lone_expose(&exposer, "1", NULL, 1); /* contracts here go before downstreams */
    ck_assert(stranger_heard(&below, "[14,"));
    ck_assert_int_eq(phase("1"), HKB_HANDING_OVER);
    ck_assert_int_eq(lone_next(&exposer), 0);
    stranger_put(&below, "[15,%u]", sink);
    stranger_say(&below);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_double_eq(below.peer->load, 0);
    lone_end(&exposer);
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

START_TEST(an_exposer_that_does_not_close_is_waited_for_no_longer_than_a_second)
{
    lone_user observer, exposer;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    lone_observe(&observer, "1", NULL);
    say("[8,2,1,\"1\"]");
    ck_assert(stranger_heard(&below, "[13,"));
    lone_expose(&exposer, "1", NULL, 1);
    stranger_hear(lone.exchange);
    lone_pass(HKB_HANDOVER_NS / 2);
    ck_assert_int_eq(lone_next(&exposer), 0);
    lone_pass(HKB_HANDOVER_NS);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    lone_end(&exposer);
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_downstream_is_charged_for_what_it_serves_and_for_as_long);
    tcase_add_test(cases, a_downstream_that_serves_nothing_has_no_load_at_all);
    tcase_add_test(cases, the_next_exposer_waits_until_the_one_before_has_closed);
    tcase_add_test(cases, an_exposer_that_does_not_close_is_waited_for_no_longer_than_a_second);
    return lone_run("exchange.assignment", cases, NULL);
}
