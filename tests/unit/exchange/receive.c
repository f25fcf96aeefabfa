/* States that come from a peer: paid for, put together, checked. */
#include <stdio.h>

#include "lone_exchange.h"

#define SINK_OPEN 13u

static lone_user observer;
static stranger exposer;
static unsigned sink;

static void begin(void)
{
    lone_begin();
    lone_observe(&observer, "1", NULL);
    stranger_open(&exposer, lone.exchange, false);
    stranger_put(&exposer, "[8,2,1,\"1\"]");
    stranger_say(&exposer);
    sink = stranger_channel(&exposer, SINK_OPEN, "1");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    stranger_forget(&exposer);
}

static void end(void)
{
    lone_end(&observer);
    stranger_leave(&exposer);
}

/* A message on the sink's channel: its kind, and what follows the channel. */
static void put(unsigned kind, const char *fields, const void *payload, size_t bytes)
{
    char header[64];
    snprintf(header, sizeof(header), "[%u,%u%s]", kind, sink, fields);
    stranger_put_payload(&exposer, header, payload, bytes);
}

/* And nothing of what was said is shown. */
static void ends_the_link(void)
{
    ck_assert_int_eq(exposer.peer->link.phase, HKB_LINK_ENDED);
    while (lone_next(&observer)) {
        ck_assert_ptr_null(observer.event.state);
    }
}

START_TEST(a_state_that_is_made_is_paid_for_by_its_sender)
{
    static uint8_t payload[5 + 50 * 1024];
    uint64_t check = hkb_hash64(payload + 5, sizeof(payload) - 5);
    for (unsigned i = 0; i < 4; i++) {
        payload[i] = (uint8_t)(check >> (8 * i));
    }
    payload[4] = 4;
    begin();
    lone_pass(LONE_S); /* the whole budget is there */
    int64_t before = HKB_TURN_COST;
    put(65, ",[1],[\"JSON\"]", payload, sizeof(payload));
    stranger_say(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_int_ge(before - exposer.peer->link.credit, 50 + 50); /* read, and made */
    end();
}
END_TEST

START_TEST(a_difference_that_does_not_fit_is_not_shown_and_the_whole_state_is_asked_for)
{
    static const uint8_t unchanged[] = {1, 2, 3, 4, 0}; /* a wrong check */
    begin();
    stranger_put_state(&exposer, sink, 1, "state");
    put(72, ",1", unchanged, sizeof(unchanged));
    stranger_say(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "state");
    ck_assert_int_eq(lone_next(&observer), 0);
    ck_assert(stranger_heard(&exposer, "[23,"));
    put(72, ",1", unchanged, sizeof(unchanged)); /* until it comes nothing is heard */
    stranger_put_state(&exposer, sink, 3, "whole");
    stranger_say(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "whole");
    end();
}
END_TEST

START_TEST(a_whole_state_that_does_not_match_its_check_ends_the_link)
{
    static const uint8_t wrong[] = {1, 2, 3, 4, 4, 'x'};
    begin();
    put(65, ",[1],[\"JSON\"]", wrong, sizeof(wrong));
    stranger_say(&exposer);
    ends_the_link();
    end();
}
END_TEST

/* Each of them ends the link of its sender, and shows nothing. */
static const struct bad {
    unsigned kind;
    const char *fields;
    uint8_t payload[8];
    size_t bytes;
} bads[] = {
    {64, ",[1]", {0, 0, 0, 0, 4}, 5},                     /* the first has no format */
    {65, ",[1],[\"JSON\"]", {0, 0, 0, 0, 0}, 5},          /* a difference to nothing */
    {65, ",[1],[\"JSON\"]", {0, 0}, 2},                   /* no check */
    {65, ",[1],[\"JSON\"]", {0, 0, 0, 0, 99}, 5},         /* no such kind */
    {22, "", {1}, 1},                                     /* a part of no state */
    {69, ",[1],99999999,[\"JSON\"]", {0, 0, 0, 0, 4}, 5}, /* larger than the limit */
};

START_TEST(a_state_that_makes_no_sense_ends_the_link_of_its_sender)
{
    begin();
    put(bads[_i].kind, bads[_i].fields, bads[_i].payload, bads[_i].bytes);
    stranger_say(&exposer);
    ends_the_link();
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_state_that_is_made_is_paid_for_by_its_sender);
    tcase_add_test(cases,
                   a_difference_that_does_not_fit_is_not_shown_and_the_whole_state_is_asked_for);
    tcase_add_test(cases, a_whole_state_that_does_not_match_its_check_ends_the_link);
    tcase_add_loop_test(cases, a_state_that_makes_no_sense_ends_the_link_of_its_sender, 0,
                        (int)HKB_COUNT(bads));
    return lone_run("exchange.receive", cases, NULL);
}
