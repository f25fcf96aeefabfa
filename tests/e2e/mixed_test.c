/* Programs that meet in a router over different transports: tcp, unix, ZeroMQ over tcp and over
 * ipc, WebSocket; and routers linked by ZeroMQ. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"

#ifdef HAKUBAN_TEST_WS
#define PLACES 5
#else
#define PLACES 4
#endif

static char urls[PLACES][URL_BYTES];
static program *router;

static void start_router(void)
{
    char unix_url[URL_BYTES], ipc_url[URL_BYTES];
    (void)snprintf(unix_url, sizeof(unix_url), "unix://%s", scratch_path("mixed.sock"));
    (void)snprintf(ipc_url, sizeof(ipc_url), "zmq+ipc://%s", scratch_path("mixed.zmq"));
    router = router_run(urls[0], "zmq+tcp://127.0.0.1:0", "-b", "tcp://127.0.0.1:0", "-b", unix_url,
                        "-b", ipc_url,
#ifdef HAKUBAN_TEST_WS
                        "-b", "ws://127.0.0.1:0",
#endif
                        NULL);
    for (int i = 1; i < PLACES; i++) {
        const char *line = program_find(router, "listening ");
        (void)snprintf(urls[i], sizeof(urls[i]), "%s", line + strlen("listening "));
    }
    ck_assert_int_eq(strncmp(urls[0], "zmq+tcp://127.0.0.1:", 20), 0);
    ck_assert_str_ne(urls[0] + 20, "0");
    ck_assert_str_eq(urls[2], unix_url);
    ck_assert_str_eq(urls[3], ipc_url);
}

static program *observe(const char *url, const char *object)
{
    return program_run("hakuban", "observe", "-c", url, "--raw", object, NULL);
}

static program *expose(const char *url, const char *object)
{
    return program_run("hakuban", "expose", "-c", url, object, NULL);
}

/* _i says where the exposer and the observer come from: every pair. */
START_TEST(an_object_goes_from_one_transport_to_another)
{
    start_router();
    program *exposer = expose(urls[_i / PLACES], "1"), *observer = observe(urls[_i % PLACES], "1");
    for (int i = 0; i < 10; i++) {
        char line[32];
        (void)snprintf(line, sizeof(line), "{\"n\":%d}", i);
        program_write(exposer, line);
        program_write(exposer, "\n");
        ck_assert_str_eq(program_line(observer), line);
    }
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
    ck_assert_int_ne(access(urls[3] + strlen("zmq+ipc://"), F_OK), 0);
}
END_TEST

START_TEST(what_was_said_last_arrives)
{
    start_router();
    program *observer = observe(urls[1], "1"), *exposer = expose(urls[_i], "1");
    program_write(exposer, "1\n\"the last\"\n");
    program_close_input(exposer); /* it says so and goes */
    ck_assert_int_eq(program_end(exposer), 0);
    ck_assert_str_eq(program_find(observer, "last"), "\"the last\"");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(routers_are_linked_by_zeromq_and_come_back)
{
    char top_url[URL_BYTES], again[URL_BYTES], leaf_url[URL_BYTES];
    program *top = router_run(top_url, _i ? "zmq+tcp://127.0.0.1:0" : NULL, NULL);
    program *leaf = router_run(leaf_url, _i ? NULL : "zmq+tcp://127.0.0.1:0", "-c", top_url, NULL);
    program *exposer = expose(leaf_url, "1"), *observer = observe(top_url, "1");
    program_write(exposer, "1\n");
    ck_assert_str_eq(program_line(observer), "1");
    ck_assert_int_eq(program_stop(top, SIGKILL), 128 + SIGKILL);
    top = router_run(again, top_url, NULL);
    ck_assert_str_eq(again, top_url);
    program_write(exposer, "2\n");
    ck_assert_str_eq(program_find(observer, "2"), "2");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(leaf, SIGTERM), 0);
    ck_assert_int_eq(program_stop(top, SIGTERM), 0);
}
END_TEST

int main(void)
{
#ifndef HAKUBAN_TEST_ZMQ
    return 77;
#endif
    Suite *suite = suite_create("mixed");
    TCase *mixed = tcase_create("mixed");
    tcase_set_timeout(mixed, 60);
    tcase_add_loop_test(mixed, an_object_goes_from_one_transport_to_another, 0, PLACES * PLACES);
    tcase_add_loop_test(mixed, what_was_said_last_arrives, 0, PLACES);
    tcase_add_loop_test(mixed, routers_are_linked_by_zeromq_and_come_back, 0, 2);
    suite_add_tcase(suite, mixed);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
