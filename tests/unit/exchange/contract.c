/* Contracts beginning and ending: what they cover from then on, and not any more. */
#include "lone_exchange.h"

START_TEST(a_contract_that_begins_late_is_told_what_there_is)
{
    lone_user first, late, exposer;
    lone_begin();
    lone_observe(&first, "1", "7");
    lone_expose(&exposer, "1", "7", 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "state", 1), HAKUBAN_OK);
    lone_observe_tag(&late, "7");
    ck_assert_int_eq(lone_next(&late), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&late), HAKUBAN_EVENT_LISTED);
    ck_assert_int_eq(lone_next(&late), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&late), "state");
    lone_end(&late);
    lone_end(&first);
    lone_end(&exposer);
}
END_TEST

START_TEST(what_waits_in_the_queue_of_a_contract_vanishes_with_it)
{
    lone_user user;
    hakuban_contract *other;
    hakuban_slice tag = {"7", 1};
    lone_begin();
    lone_observe_tag(&user, "7");
    ck_assert_int_eq(
        hkb_contract_new(lone.exchange, HKB_OBSERVE_TAG, NULL, tag, 0, user.queue, NULL, &other),
        HAKUBAN_OK);
    hkb_exchange_settle(lone.exchange);
    hkb_contract_end(other);
    while (lone_next(&user)) {
        ck_assert_ptr_eq(user.event.contract, user.contract);
    }
    ck_assert_ptr_null(hkb_contract_tag(other)); /* it may outlive its subject */
    hkb_contract_unref(other);
    lone_end(&user);
}
END_TEST

START_TEST(the_contract_of_the_greatest_capacity_is_chosen_those_on_the_object_first)
{
    lone_user observer, weak, strong, by_tag;
    lone_begin();
    lone_expose_tag(&by_tag, "7", 100);
    lone_expose(&weak, "1", "7", 1);
    lone_expose(&strong, "1", "7", 2);
    lone_observe(&observer, "1", "7");
    ck_assert_int_eq(lone_next(&strong), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_next(&weak), 0);
    ck_assert_int_eq(lone_next(&by_tag), 0);
    lone_end(&strong);
    ck_assert_int_eq(lone_next(&weak), HAKUBAN_EVENT_SINK_OPEN);
    lone_end(&weak);
    ck_assert_int_eq(lone_next(&by_tag), HAKUBAN_EVENT_SINK_OPEN);
    lone_end(&by_tag);
    lone_end(&observer);
}
END_TEST

START_TEST(an_exposer_whose_capacity_is_taken_keeps_the_object_until_another_has_it)
{
    lone_user observer, draining, other;
    lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&draining, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&draining), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(hkb_contract_set_capacity(draining.contract, 0), HAKUBAN_OK);
    hkb_exchange_settle(lone.exchange);
    ck_assert_int_eq(lone_next(&draining), 0);
    lone_expose(&other, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&draining), HAKUBAN_EVENT_SINK_CLOSE);
    ck_assert_int_eq(lone_next(&other), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(hkb_contract_set_capacity(observer.contract, 1), HAKUBAN_ERR_ARGUMENT);
    lone_end(&draining);
    lone_end(&other);
    lone_end(&observer);
}
END_TEST

START_TEST(without_memory_there_is_no_contract_and_nothing_is_left_of_it)
{
    hakuban_contract *contract;
    hakuban_queue *queue;
    hakuban_slice tag = {"7", 1};
    lone_begin();
    ck_assert_int_eq(hkb_queue_new(lone.exchange, &queue), HAKUBAN_OK);
    size_t before = lone.memory.blocks, fail_at = 1;
    for (;; fail_at++) {
        fail_alloc_arm(&lone.memory, fail_at, false);
        hakuban_status status =
            hkb_contract_new(lone.exchange, HKB_EXPOSE_TAG, NULL, tag, 1, queue, NULL, &contract);
        fail_alloc_arm(&lone.memory, 0, false);
        if (status >= 0) {
            break;
        }
        hkb_exchange_settle(lone.exchange);
        ck_assert_uint_le(lone.memory.blocks, before + 1); /* a table may have grown */
        before = lone.memory.blocks;
    }
    ck_assert_uint_gt(fail_at, 2);
    hkb_contract_end(contract);
    hkb_contract_unref(contract);
    hkb_queue_free(queue);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_contract_that_begins_late_is_told_what_there_is);
    tcase_add_test(cases, what_waits_in_the_queue_of_a_contract_vanishes_with_it);
    tcase_add_test(cases,
                   the_contract_of_the_greatest_capacity_is_chosen_those_on_the_object_first);
    tcase_add_test(cases, an_exposer_whose_capacity_is_taken_keeps_the_object_until_another_has_it);
    tcase_add_test(cases, without_memory_there_is_no_contract_and_nothing_is_left_of_it);
    return lone_run("exchange.contract", cases, NULL);
}
