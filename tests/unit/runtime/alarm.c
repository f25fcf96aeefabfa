/* The alarm of the event loop: whatever the moment at which it is due, a run that waits ends with
 * it. */
#include <check.h>
#include <stdlib.h>

#include "runtime/loop.h"

static void ready(void *ctx, void *transport, void *owner, unsigned events)
{
    (void)ctx;
    (void)transport;
    (void)owner;
    (void)events;
}

/* The start of libuv's clock is long over, an alarm at now or soon may be over when the run begins.
 */
START_TEST(a_run_that_waits_ends_when_the_alarm_was_due_before_it_began)
{
    hkb_loop *loop = NULL;
    ck_assert_int_eq(hkb_loop_new(hakuban_alloc_default(), ready, NULL, &loop), HAKUBAN_OK);
    for (int i = 0; i < 3; i++) {
        hkb_loop_alarm(loop, 1);
        ck_assert(hkb_loop_has_alarm(loop));
        hkb_loop_run(loop, true);
        ck_assert(!hkb_loop_has_alarm(loop));
    }
    (void)hkb_loop_free(loop);
}
END_TEST

START_TEST(what_is_to_go_on_at_once_does_not_wait_for_a_millisecond)
{
    hkb_loop *loop = NULL;
    ck_assert_int_eq(hkb_loop_new(hakuban_alloc_default(), ready, NULL, &loop), HAKUBAN_OK);
    for (int i = 0; i < 100; i++) {
        hkb_loop_alarm(loop, HKB_LOOP_AT_ONCE);
        ck_assert_int_eq(hkb_loop_timeout_ms(loop), 0);
        hkb_loop_run(loop, true);
        ck_assert(!hkb_loop_has_alarm(loop));
    }
    (void)hkb_loop_free(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alarm");
    TCase *alarm = tcase_create("alarm");
    tcase_set_timeout(alarm, 5);
    tcase_add_test(alarm, a_run_that_waits_ends_when_the_alarm_was_due_before_it_began);
    tcase_add_test(alarm, what_is_to_go_on_at_once_does_not_wait_for_a_millisecond);
    suite_add_tcase(suite, alarm);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
