/* The order in which the addresses of a name are tried. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/places.h"

static hkb_answer answer;
static hkb_places places;

static void found(const char *letters)
{
    answer.count = strlen(letters);
    for (size_t i = 0; i < answer.count; i++) {
        (void)snprintf(answer.addresses[i], HKB_ADDRESS_BYTES, "%c", letters[i]);
    }
    ck_assert_int_eq(hkb_places_take(&places, hakuban_alloc_default(), &answer), HAKUBAN_OK);
}

static const char *order(void)
{
    static char text[32];
    for (size_t i = 0; i < places.count; i++) {
        text[i] = places.items[i].address[0];
    }
    text[places.count] = '\0';
    return text;
}

START_TEST(new_addresses_are_tried_in_the_order_of_the_answer)
{
    found("abc");
    ck_assert_str_eq(order(), "abc");
    hkb_places_done(&places, hakuban_alloc_default());
}
END_TEST

START_TEST(the_address_that_failed_last_comes_last_in_later_answers_too)
{
    found("abc");
    hkb_places_failed(&places);
    ck_assert_str_eq(order(), "bca");
    hkb_places_failed(&places);
    ck_assert_str_eq(order(), "cab");
    found("abcd");
    ck_assert_str_eq(order(), "cdab");
    found("ba");
    ck_assert_str_eq(order(), "ab");
    hkb_places_done(&places, hakuban_alloc_default());
}
END_TEST

START_TEST(an_address_is_good_until_it_fails)
{
    found("ab");
    hkb_places_failed(&places);
    hkb_places_succeeded(&places);
    ck_assert(places.good);
    ck_assert_str_eq(order(), "ba");
    hkb_places_failed(&places);
    ck_assert(!places.good);
    ck_assert_str_eq(order(), "ab"); /* a failed earlier */
    hkb_places_done(&places, hakuban_alloc_default());
}
END_TEST

START_TEST(without_addresses_nothing_fails_or_is_good)
{
    hkb_places_failed(&places);
    hkb_places_succeeded(&places);
    ck_assert(!places.good);
    hkb_places_done(&places, hakuban_alloc_default());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("places");
    TCase *cases = tcase_create("places");
    tcase_add_test(cases, new_addresses_are_tried_in_the_order_of_the_answer);
    tcase_add_test(cases, the_address_that_failed_last_comes_last_in_later_answers_too);
    tcase_add_test(cases, an_address_is_good_until_it_fails);
    tcase_add_test(cases, without_addresses_nothing_fails_or_is_good);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
