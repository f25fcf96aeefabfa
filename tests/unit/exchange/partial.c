/* What came of a large state before its channel ended: kept, offered on the next channel, gone on
 * with behind it. */
#include <stdio.h>

#include "lone_exchange.h"

enum { STATE_BYTES = 300000, PART_BYTES = 65536 };

static uint8_t payload[5 + STATE_BYTES]; /* check, "whole", the state */
static lone_user observer;
static stranger upstream;

static void begin(void)
{
    for (size_t i = 0; i < STATE_BYTES; i++) {
        payload[5 + i] = (uint8_t)(i * i >> 8);
    }
    uint64_t check = hkb_hash64(payload + 5, STATE_BYTES);
    for (unsigned i = 0; i < 4; i++) {
        payload[i] = (uint8_t)(check >> (8 * i));
    }
    payload[4] = 4;
    lone.settings.turn_cost = 1000000;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    lone_observe(&observer, "1", NULL);
}

static void end(void)
{
    lone_end(&observer);
    stranger_leave(&upstream);
}

static void open_channel(unsigned channel)
{
    stranger_put(&upstream, "[12,%u,1,1,0,\"1\"]", channel);
    stranger_say(&upstream);
}

/* The payload of a state is what follows the check. The first part of it has the check in front. */
static void begin_state(unsigned channel)
{
    char header[64];
    snprintf(header, sizeof(header), "[69,%u,[5],%d,[\"JSON\"]]", channel, 1 + STATE_BYTES);
    stranger_put_payload(&upstream, header, payload, 4 + PART_BYTES);
}

static void put_parts(unsigned channel, size_t from, size_t to)
{
    char header[16];
    snprintf(header, sizeof(header), "[22,%u]", channel);
    for (size_t at = from; at < to; at += PART_BYTES) {
        stranger_put_payload(&upstream, header, payload + 4 + at,
                             hkb_min(to - at, (size_t)PART_BYTES));
    }
}

static void close_channel(unsigned channel)
{
    stranger_put(&upstream, "[14,%u,0]", channel);
    stranger_say(&upstream);
}

START_TEST(a_state_goes_on_behind_what_came_of_it_before)
{
    begin();
    open_channel(1);
    begin_state(1);
    put_parts(1, PART_BYTES, 3 * PART_BYTES);
    close_channel(1);
    ck_assert_uint_gt(lone.exchange->partial_bytes, 0);
    stranger_forget(&upstream);
    open_channel(2);
    ck_assert(stranger_heard(&upstream, "[26,2,196608,"));
    begin_state(2);
    stranger_put(&upstream, "[27,2,%d]", 3 * PART_BYTES);
    put_parts(2, 3 * PART_BYTES, 1 + STATE_BYTES);
    stranger_say(&upstream);
    const hakuban_state *state = lone_object("1", NULL)->state;
    ck_assert_ptr_nonnull(state);
    ck_assert_uint_eq(state->data_bytes, STATE_BYTES);
    ck_assert_mem_eq(state->data, payload + 5, STATE_BYTES);
    ck_assert_uint_eq(lone.exchange->partial_bytes, 0);
    end();
}
END_TEST

START_TEST(little_of_a_state_is_not_worth_keeping)
{
    begin();
    open_channel(1);
    begin_state(1);
    close_channel(1);
    ck_assert_uint_eq(lone.exchange->partial_bytes, 0);
    stranger_forget(&upstream);
    open_channel(2);
    ck_assert(!stranger_heard(&upstream, "[26,"));
    end();
}
END_TEST

START_TEST(what_came_is_forgotten_with_the_object)
{
    begin();
    open_channel(1);
    begin_state(1);
    put_parts(1, PART_BYTES, 3 * PART_BYTES);
    close_channel(1);
    ck_assert_uint_gt(lone.exchange->partial_bytes, 0);
    lone_end(&observer);
    stranger_hear(lone.exchange); /* it is not registered any more */
    lone_pass(LONE_S);
    ck_assert_uint_eq(lone.exchange->partial_bytes, 0);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(what_came_is_forgotten_before_a_link_has_to_end_for_it)
{
    static char text[350001];
    lone_user reader, exposer;
    lone.settings.bytes_max = 600000;
    begin();
    open_channel(1);
    begin_state(1);
    put_parts(1, PART_BYTES, 4 * PART_BYTES);
    close_channel(1);
    ck_assert_uint_gt(lone.exchange->partial_bytes, 0);
    lone_observe(&reader, "2", NULL);
    lone_expose(&exposer, "2", NULL, 1);
    while (!exposer.sink) {
        ck_assert_int_ne(lone_next(&exposer), 0);
    }
    memset(text, 'x', sizeof(text) - 1);
    ck_assert_int_eq(lone_send(&exposer, text, 0), HAKUBAN_OK);
    lone_turn();
    ck_assert_uint_eq(lone.exchange->partial_bytes, 0);
    ck_assert_uint_eq(lone.ended, 0);
    lone_end(&exposer);
    lone_end(&reader);
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_state_goes_on_behind_what_came_of_it_before);
    tcase_add_test(cases, little_of_a_state_is_not_worth_keeping);
    tcase_add_test(cases, what_came_is_forgotten_with_the_object);
    tcase_add_test(cases, what_came_is_forgotten_before_a_link_has_to_end_for_it);
    return lone_run("exchange.partial", cases, NULL);
}
