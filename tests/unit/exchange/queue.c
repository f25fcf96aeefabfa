/* What users take from a queue: OPEN comes first, CLOSE last, each event says what is so now. */
#include "lone_exchange.h"

START_TEST(events_of_an_object_come_in_the_order_of_its_life)
{
    lone_user observer, exposer;
    lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_NEVER);
    ck_assert_str_eq(hakuban_descriptor_json(observer.event.object), "1");
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "one", 1), HAKUBAN_OK);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_LIVE);
    ck_assert_int_eq(observer.event.source, HAKUBAN_SOURCE_ASSIGNED);
    lone_end(&exposer);
    lone_pass(2 * LONE_S);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_CONDITION);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_STALE);
    ck_assert_int_eq(observer.event.source, HAKUBAN_SOURCE_NONE);
    ck_assert_uint_ge(observer.event.age_ns, LONE_S);
    ck_assert_str_eq(lone_text(&observer), "one");
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_end(&observer);
}
END_TEST

/* One queue for two contracts: their events come in the order in which they became due. */
START_TEST(contracts_may_share_a_queue)
{
    lone_user first;
    hakuban_contract *second;
    hakuban_descriptor *name;
    hakuban_slice none = {NULL, 0};
    lone_begin();
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "2", NULL, 0, &name, NULL), HAKUBAN_OK);
    lone_observe(&first, "1", NULL);
    ck_assert_int_eq(hkb_contract_new(lone.exchange, HKB_OBSERVE_OBJECT, name, none, 0, first.queue,
                                      NULL, &second),
                     HAKUBAN_OK);
    hkb_exchange_settle(lone.exchange);
    ck_assert_int_eq(lone_next(&first), HAKUBAN_EVENT_OPEN);
    ck_assert_ptr_eq(first.event.contract, first.contract);
    ck_assert_int_eq(lone_next(&first), HAKUBAN_EVENT_OPEN);
    ck_assert_ptr_eq(first.event.contract, second);
    ck_assert(hkb_queue_is_empty(first.queue));
    hkb_contract_end(second);
    hkb_contract_unref(second);
    hakuban_descriptor_unref(name);
    lone_end(&first);
}
END_TEST

/* What the end of a queue costs follows from its own contracts. */
START_TEST(contracts_without_their_queue_say_nothing_more)
{
    lone_user first, other, exposer;
    hakuban_contract *second;
    hakuban_descriptor *name;
    hakuban_slice none = {NULL, 0};
    lone_begin();
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", NULL, 0, &name, NULL), HAKUBAN_OK);
    lone_observe(&first, "1", NULL);
    lone_observe(&other, "1", NULL);
    ck_assert_int_eq(hkb_contract_new(lone.exchange, HKB_OBSERVE_OBJECT, name, none, 0, first.queue,
                                      NULL, &second),
                     HAKUBAN_OK);
    hkb_queue_free(first.queue);
    ck_assert_ptr_null(hkb_contract_queue(first.contract));
    ck_assert_ptr_null(hkb_contract_queue(second));
    ck_assert_ptr_eq(hkb_contract_queue(other.contract), other.queue);
    ck_assert_int_eq(hkb_queue_new(lone.exchange, &first.queue), HAKUBAN_OK);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&other), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&first), 0);
    hkb_contract_end(second);
    hkb_contract_unref(second);
    hakuban_descriptor_unref(name);
    lone_end(&exposer);
    lone_end(&other);
    lone_end(&first);
}
END_TEST

START_TEST(peeking_tells_what_is_there_and_takes_nothing)
{
    lone_user observer, exposer;
    hakuban_event event;
    lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "one", 1), HAKUBAN_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            hkb_contract_peek(observer.contract, hkb_contract_object(observer.contract), &event),
            HAKUBAN_OK);
        ck_assert_uint_eq(hakuban_state_data(event.state).bytes, 3);
        hkb_event_done(&event);
    }
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    lone_end(&observer);
    lone_end(&exposer);
}
END_TEST

/* The sink that opened and closed again before its user looked is not told at all. */
START_TEST(a_sink_that_closed_before_its_user_looked_is_not_told)
{
    lone_user observer, exposer;
    lone_begin();
    lone_expose(&exposer, "1", NULL, 1);
    lone_observe(&observer, "1", NULL);
    lone_end(&observer);
    ck_assert_int_eq(lone_next(&exposer), 0);
    lone_end(&exposer);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, events_of_an_object_come_in_the_order_of_its_life);
    tcase_add_test(cases, contracts_may_share_a_queue);
    tcase_add_test(cases, contracts_without_their_queue_say_nothing_more);
    tcase_add_test(cases, peeking_tells_what_is_there_and_takes_nothing);
    tcase_add_test(cases, a_sink_that_closed_before_its_user_looked_is_not_told);
    return lone_run("exchange.queue", cases, NULL);
}
