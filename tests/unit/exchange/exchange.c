/* The whole of an exchange: its beginning and end, its time, and what it asks its host to do. */
#include "exchange/account.h"
#include "lone_exchange.h"

START_TEST(an_exchange_with_nothing_to_do_asks_for_no_turn)
{
    hkb_exchange *exchange = lone_begin();
    lone_turn();
    ck_assert_uint_eq(hkb_exchange_deadline(exchange), UINT64_MAX);
    ck_assert(!hkb_exchange_has_ready(exchange));
}
END_TEST

START_TEST(a_link_asks_for_a_turn_before_it_has_to_say_something)
{
    stranger below;
    hkb_exchange *exchange = lone_begin();
    stranger_open(&below, exchange, false);
    uint64_t due_ns = hkb_exchange_deadline(exchange);
    ck_assert_uint_le(due_ns, lone.now_ns + HKB_KEEP_ALIVE_NS_DEFAULT);
    stranger_forget(&below);
    lone_pass(HKB_KEEP_ALIVE_NS_DEFAULT);
    ck_assert(stranger_heard(&below, "[2]")); /* a sign of life */
    stranger_leave(&below);
}
END_TEST

START_TEST(time_does_not_go_back)
{
    lone_user observer, exposer;
    hkb_exchange *exchange = lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "state", 1), HAKUBAN_OK);
    lone_end(&exposer);
    lone_pass(5 * LONE_S);
    hkb_exchange_set_time(exchange, lone.now_ns - 3 * LONE_S, 0);
    while (lone_next(&observer)) {
        ck_assert(observer.event.freshness != HAKUBAN_STALE || observer.event.age_ns >= 3 * LONE_S);
    }
    lone_end(&observer);
}
END_TEST

/* While an upstream is expected that was never there, a tag is not listed: the upstream may have
 * more of it. */
START_TEST(nothing_is_listed_before_an_expected_upstream_was_there)
{
    lone_user observer;
    stranger upstream;
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    lone_observe_tag(&observer, "7");
    lone_pass(10 * LONE_S);
    ck_assert_int_eq(lone_next(&observer), 0);
    stranger_open(&upstream, exchange, true);
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_LISTED);
    lone_end(&observer);
    hkb_exchange_expect_upstream(exchange, false);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(an_upstream_that_is_not_expected_any_more_keeps_nothing_from_being_listed)
{
    lone_user observer;
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    lone_observe_tag(&observer, "7");
    ck_assert_int_eq(lone_next(&observer), 0);
    hkb_exchange_expect_upstream(exchange, false);
    lone_pass(LONE_MS);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_LISTED);
    lone_end(&observer);
}
END_TEST

START_TEST(what_there_is_is_counted_and_described)
{
    lone_user observer, exposer;
    stranger below;
    hakuban_exchange_stats stats;
    hkb_buffer text;
    hkb_exchange *exchange = lone_begin();
    stranger_open(&below, exchange, false);
    lone_observe(&observer, "{\"a\":1}", "7");
    lone_expose_tag(&exposer, "8", 1);
    hkb_exchange_count(exchange, &stats);
    ck_assert_uint_eq(stats.objects, 1);
    ck_assert_uint_eq(stats.tags, 2);
    ck_assert_uint_eq(stats.contracts, 2);
    ck_assert_uint_eq(stats.links, 1);
    ck_assert_uint_eq(stats.memory_bytes, hkb_exchange_held_bytes(exchange));
    hkb_buffer_init(&text, hakuban_alloc_default(), SIZE_MAX);
    ck_assert_int_eq(hkb_exchange_describe(exchange, &text), HAKUBAN_OK);
    ck_assert_int_eq(hkb_buffer_append(&text, "", 1), HAKUBAN_OK);
    ck_assert_ptr_nonnull(strstr((const char *)text.data, "{\"a\":1}"));
    hkb_buffer_done(&text);
    lone_end(&observer);
    lone_end(&exposer);
    stranger_leave(&below);
}
END_TEST

START_TEST(without_memory_there_is_no_exchange_and_nothing_is_left_of_it)
{
    hkb_exchange *exchange;
    size_t before = lone.memory.blocks, fail_at = 1;
    for (;; fail_at++) {
        fail_alloc_arm(&lone.memory, fail_at, false);
        hakuban_status status = hkb_exchange_new(&lone.settings, lone.now_ns, 0, &exchange);
        fail_alloc_arm(&lone.memory, 0, false);
        if (status >= 0) {
            break;
        }
        ck_assert_int_eq(status, HAKUBAN_ERR_NO_MEMORY);
        ck_assert_uint_eq(lone.memory.blocks, before);
    }
    ck_assert_uint_gt(fail_at, 1);
    hkb_exchange_free(exchange);
    ck_assert_uint_eq(lone.memory.blocks, before);
    lone_begin();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, an_exchange_with_nothing_to_do_asks_for_no_turn);
    tcase_add_test(cases, a_link_asks_for_a_turn_before_it_has_to_say_something);
    tcase_add_test(cases, time_does_not_go_back);
    tcase_add_test(cases, nothing_is_listed_before_an_expected_upstream_was_there);
    tcase_add_test(cases,
                   an_upstream_that_is_not_expected_any_more_keeps_nothing_from_being_listed);
    tcase_add_test(cases, what_there_is_is_counted_and_described);
    tcase_add_test(cases, without_memory_there_is_no_exchange_and_nothing_is_left_of_it);
    return lone_run("exchange.exchange", cases, NULL);
}
