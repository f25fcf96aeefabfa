/* A host program that was built with -ffast-math, which also changes the mode of the processor when
 * the program begins: it names objects as every other program does. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hakuban/hakuban.h>

#include "programs.h"

static const char *const names[] = {"1e-310", "4.9e-324", "0.1", "[2.2250738585072011e-308,1e23]"};

START_TEST(names_are_those_of_other_programs)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    program *exposer = program_run("hakuban", "expose", "-c", url, "--keep", names[_i], NULL);
    program_write(exposer, "\"same\"\n");

    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *contract = NULL;
    hakuban_descriptor *object = NULL;
    hakuban_queue *queue = NULL;
    hakuban_event event;
    ck_assert_int_eq(hakuban_exchange_new(NULL, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_queue_new(exchange, &queue), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_connect(exchange, url, NULL, &connection, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_descriptor_new(NULL, names[_i], NULL, 0, &object, NULL), HAKUBAN_OK);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    ck_assert_int_eq(hakuban_observe_object(exchange, object, &options, &contract), HAKUBAN_OK);
    bool seen = false;
    while (!seen) {
        ck_assert_int_eq(hakuban_queue_next(queue, 25000, &event), HAKUBAN_OK);
        seen = event.state != NULL;
        hakuban_event_done(&event);
    }
    contract = hakuban_contract_free(contract);
    connection = hakuban_connection_free(connection);
    queue = hakuban_queue_free(queue);
    object = hakuban_descriptor_unref(object);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fastmath");
    TCase *tcase = tcase_create("fastmath");
    tcase_add_loop_test(tcase, names_are_those_of_other_programs, 0,
                        (int)(sizeof(names) / sizeof(names[0])));
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
