/* What a contract is told of an object: the newest, once, and nothing of what came and went. */
#include "lone_exchange.h"

START_TEST(ten_updates_before_a_user_looks_are_one_event)
{
    lone_user observer, exposer;
    lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(lone_send(&exposer, i < 9 ? "old" : "newest", i + 1), HAKUBAN_OK);
    }
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "newest");
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_end(&observer);
    lone_end(&exposer);
}
END_TEST

START_TEST(an_object_that_came_and_went_before_its_user_looked_is_not_told)
{
    lone_user observer, exposer;
    lone_begin();
    lone_observe_tag(&observer, "7");
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_LISTED);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_COMPLETE);
    lone_expose(&exposer, "1", "7", 1);
    lone_end(&exposer);
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_end(&observer);
}
END_TEST

START_TEST(an_object_that_went_and_came_before_its_user_looked_has_not_ended)
{
    lone_user observer, exposer;
    lone_begin();
    lone_observe_tag(&observer, "7");
    lone_expose(&exposer, "1", "7", 1);
    while (lone_next(&observer)) {
        continue;
    }
    lone_end(&exposer);
    lone_expose(&exposer, "1", "7", 1);
    for (int kind; (kind = lone_next(&observer));) {
        ck_assert_int_ne(kind, HAKUBAN_EVENT_CLOSE);
        ck_assert_int_ne(kind, HAKUBAN_EVENT_OPEN);
    }
    lone_end(&exposer);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_CLOSE);
    ck_assert_int_eq(lone_next(&observer), 0);
    lone_end(&observer);
}
END_TEST

START_TEST(complete_waits_until_the_first_states_were_told)
{
    lone_user observer, exposer, other;
    lone_begin();
    lone_observe(&other, "1", "7");
    lone_expose(&exposer, "1", "7", 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "state", 1), HAKUBAN_OK);
    lone_observe_tag(&observer, "7");
    int told = 0;
    for (int kind; (kind = lone_next(&observer));) {
        if (kind == HAKUBAN_EVENT_COMPLETE) {
            break;
        }
        told += kind == HAKUBAN_EVENT_STATE;
    }
    ck_assert_int_eq(observer.event.kind, HAKUBAN_EVENT_COMPLETE);
    ck_assert_int_eq(told, 1);
    lone_end(&observer);
    lone_end(&exposer);
    lone_end(&other);
}
END_TEST

/* So many that looking for one among all of them each time would take longer than a test may. */
START_TEST(each_of_very_many_contracts_of_a_tag_is_told)
{
    enum { CONTRACTS = 30000 };
    static lone_user users[CONTRACTS];
    lone_user exposer;
    unsigned told = 0;
    lone_begin();
    for (unsigned i = 0; i < CONTRACTS; i++) {
        lone_observe_tag(&users[i], "7");
    }
    lone_expose(&exposer, "1", "7", 1);
    for (unsigned i = 0; i < CONTRACTS; i++) {
        for (int kind; (kind = lone_next(&users[i]));) {
            told += kind == HAKUBAN_EVENT_LISTED || kind == HAKUBAN_EVENT_OPEN;
        }
    }
    ck_assert_uint_eq(told, 2 * CONTRACTS);
    lone_end(&exposer);
    for (unsigned i = 0; i < CONTRACTS; i++) {
        lone_end(&users[i]);
    }
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, ten_updates_before_a_user_looks_are_one_event);
    tcase_add_test(cases, an_object_that_came_and_went_before_its_user_looked_is_not_told);
    tcase_add_test(cases, an_object_that_went_and_came_before_its_user_looked_has_not_ended);
    tcase_add_test(cases, complete_waits_until_the_first_states_were_told);
    tcase_add_test(cases, each_of_very_many_contracts_of_a_tag_is_told);
    return lone_run("exchange.delivery", cases, NULL);
}
