/* A state that comes in parts: complete with its last part, charged to its peer until then, let go
 * of with its channel. */
#include <stdio.h>

#include "lone_exchange.h"

enum { STATE_BYTES = 100000, PART_BYTES = 65536 };

static uint8_t payload[5 + STATE_BYTES + 1]; /* check, "whole", the state; one byte too many */
static lone_user observer;
static stranger exposer;
static unsigned sink;

static void begin(void)
{
    uint64_t check = hkb_hash64(payload + 5, STATE_BYTES);
    for (unsigned i = 0; i < 4; i++) {
        payload[i] = (uint8_t)(check >> (8 * i));
    }
    payload[4] = 4;
    lone.settings.turn_cost = 1000000;
    lone_begin();
    stranger_open(&exposer, lone.exchange, false);
    stranger_put(&exposer, "[8,2,1,\"1\"]");
    stranger_say(&exposer);
    lone_observe(&observer, "1", NULL);
    sink = stranger_channel(&exposer, 13, "1");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
}

static void end(void)
{
    lone_end(&observer);
    stranger_leave(&exposer);
}

static void say_first_part(void)
{
    char header[64];
    snprintf(header, sizeof(header), "[69,%u,[1],%d,[\"JSON\"]]", sink, 1 + STATE_BYTES);
    stranger_put_payload(&exposer, header, payload, 4 + PART_BYTES);
    stranger_say(&exposer);
}

static void say_part(size_t bytes)
{
    char header[64];
    snprintf(header, sizeof(header), "[22,%u]", sink);
    stranger_put_payload(&exposer, header, payload + 4 + PART_BYTES, bytes);
    stranger_say(&exposer);
}

START_TEST(a_state_is_shown_when_its_last_part_has_come)
{
    begin();
    say_first_part();
    ck_assert_int_eq(lone_next(&observer), 0);
    say_part(1 + STATE_BYTES - PART_BYTES);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    hakuban_slice data = hakuban_state_data(observer.event.state);
    ck_assert_uint_eq(data.bytes, STATE_BYTES);
    ck_assert_mem_eq(data.data, payload + 5, STATE_BYTES);
    end();
}
END_TEST

START_TEST(what_has_come_is_in_the_account_of_its_peer_until_the_channel_ends)
{
    begin();
    size_t before = exposer.peer->accounted_bytes;
    say_first_part();
    ck_assert_uint_ge(exposer.peer->accounted_bytes, before + PART_BYTES);
    lone_end(&observer); /* the sink is taken back */
    stranger_hear(lone.exchange);
    stranger_put(&exposer, "[15,%u]", sink);
    stranger_say(&exposer);
    ck_assert_uint_lt(exposer.peer->accounted_bytes, before + PART_BYTES / 2);
    stranger_leave(&exposer);
}
END_TEST

START_TEST(a_state_that_comes_is_charged_no_more_than_it_takes)
{
    begin();
    size_t before = exposer.peer->accounted_bytes;
    say_first_part();
    say_part(STATE_BYTES - PART_BYTES); /* one byte is missing */
    ck_assert_uint_ge(exposer.peer->accounted_bytes, before + STATE_BYTES);
    ck_assert_uint_le(exposer.peer->accounted_bytes, before + STATE_BYTES + 1000);
    end();
}
END_TEST

START_TEST(more_than_was_said_ends_the_link)
{
    begin();
    say_first_part();
    say_part(2 + STATE_BYTES - PART_BYTES);
    ck_assert_int_eq(exposer.peer->link.phase, HKB_LINK_ENDED);
    end();
}
END_TEST

START_TEST(a_state_that_begins_before_the_one_before_is_complete_ends_the_link)
{
    begin();
    say_first_part();
    stranger_put_state(&exposer, sink, 2, "another");
    stranger_say(&exposer);
    ck_assert_int_eq(exposer.peer->link.phase, HKB_LINK_ENDED);
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_state_is_shown_when_its_last_part_has_come);
    tcase_add_test(cases, what_has_come_is_in_the_account_of_its_peer_until_the_channel_ends);
    tcase_add_test(cases, a_state_that_comes_is_charged_no_more_than_it_takes);
    tcase_add_test(cases, more_than_was_said_ends_the_link);
    tcase_add_test(cases, a_state_that_begins_before_the_one_before_is_complete_ends_the_link);
    return lone_run("exchange.incoming", cases, NULL);
}
