/* What is to be looked at again: noted once however often it is noted, in order, and done with when
 * it was looked at. */
#include "exchange/agenda.h"
#include "lone_exchange.h"

START_TEST(a_marked_object_is_settled_once_and_the_agenda_is_empty_then)
{
    lone_user observers[2];
    hkb_exchange *exchange = lone_begin();
    lone_observe(&observers[0], "1", NULL);
    lone_observe(&observers[1], "2", NULL);
    ck_assert(hkb_list_empty(&exchange->dirty));
    hkb_object_mark(lone_object("2", NULL));
    hkb_object_mark(lone_object("1", NULL));
    hkb_object_mark(lone_object("2", NULL));
    ck_assert_ptr_eq(hkb_list_first(&exchange->dirty), &lone_object("2", NULL)->dirty);
    ck_assert_ptr_eq(exchange->dirty.head.previous, &lone_object("1", NULL)->dirty);
    hkb_exchange_settle(exchange);
    ck_assert(hkb_list_empty(&exchange->dirty));
    lone_end(&observers[0]);
    lone_end(&observers[1]);
}
END_TEST

START_TEST(all_objects_of_a_tag_and_only_these_are_marked)
{
    lone_user observers[3];
    (void)lone_begin();
    lone_observe(&observers[0], "1", "7");
    lone_observe(&observers[1], "2", "7");
    lone_observe(&observers[2], "3", "8");
    hkb_tag_mark_objects(lone_tag("7"));
    ck_assert(hkb_node_linked(&lone_object("1", "7")->dirty));
    ck_assert(hkb_node_linked(&lone_object("2", "7")->dirty));
    ck_assert(!hkb_node_linked(&lone_object("3", "8")->dirty));
    for (int i = 0; i < 3; i++) {
        lone_end(&observers[i]);
    }
}
END_TEST

START_TEST(a_peer_that_cannot_take_more_is_not_ready_until_it_can)
{
    lone_user exposer;
    stranger below;
    hkb_exchange *exchange = lone_begin();
    stranger_open(&below, exchange, false);
    stranger_put(&below, "[8,1,0,\"1\"]");
    stranger_say(&below);
    hkb_peer_set_writable(below.peer, false);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert(!hkb_exchange_has_ready(exchange));
    hkb_peer_set_writable(below.peer, true);
    ck_assert(hkb_exchange_has_ready(exchange));
    ck_assert(stranger_heard(&below, "[12,"));
    ck_assert(!hkb_exchange_has_ready(exchange));
    lone_end(&exposer);
    stranger_leave(&below);
}
END_TEST

START_TEST(an_entry_is_in_its_queue_once_and_can_be_taken_out)
{
    hakuban_queue *queue;
    hkb_entry one = {{0}, 0}, other = {{0}, 0};
    lone_begin();
    ck_assert_int_eq(hkb_queue_new(lone.exchange, &queue), HAKUBAN_OK);
    hkb_entry_push(queue, &one, HKB_ENTRY_CONNECTION);
    hkb_entry_push(queue, &other, HKB_ENTRY_CONNECTION);
    hkb_entry_push(queue, &one, HKB_ENTRY_CONNECTION);
    ck_assert_ptr_eq(hkb_list_first(&queue->entries), &one.queued);
    hkb_entry_cancel(&one);
    ck_assert_ptr_eq(hkb_list_first(&queue->entries), &other.queued);
    hkb_entry_cancel(&other);
    ck_assert(hkb_queue_is_empty(queue));
    hkb_entry_cancel(&other);
    hkb_queue_free(queue);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_marked_object_is_settled_once_and_the_agenda_is_empty_then);
    tcase_add_test(cases, all_objects_of_a_tag_and_only_these_are_marked);
    tcase_add_test(cases, a_peer_that_cannot_take_more_is_not_ready_until_it_can);
    tcase_add_test(cases, an_entry_is_in_its_queue_once_and_can_be_taken_out);
    return lone_run("exchange.agenda", cases, NULL);
}
