/* What travels: a leaf receives not one byte about an object that nothing below it asked for, and a small change of a large
 * state is small on the wire. Measured with the library's own counters, in a router of another process. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hakuban/hakuban.h>

#include "programs.h"

typedef struct leaf {
    hakuban_exchange *exchange;
    hakuban_connection *connection;
} leaf;

static leaf leaf_new(const char *url)
{
    leaf l = {NULL, NULL};
    hakuban_error error = {.text = ""};
    ck_assert_int_eq(hakuban_exchange_new(NULL, &l.exchange), HAKUBAN_OK);
    ck_assert_msg(hakuban_exchange_connect(l.exchange, url, NULL, &l.connection, &error) >= 0, "%s",
                  error.text);
    ck_assert_int_eq(hakuban_connection_wait(l.connection, 20000, NULL), HAKUBAN_OK);
    return l;
}

static void leaf_free(leaf *l)
{
    hakuban_connection_free(l->connection);
    hakuban_exchange_free(l->exchange);
}

static uint64_t bytes_in(const leaf *l)
{
    hakuban_exchange_stats stats;
    hakuban_exchange_query(l->exchange, &stats);
    return stats.wire_bytes_in;
}

static hakuban_contract *observe(const leaf *l, const char *name)
{
    hakuban_descriptor *object = NULL;
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, name, NULL, 0, &object, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_observe_object(l->exchange, object, NULL, &contract), HAKUBAN_OK);
    hakuban_descriptor_unref(object);
    return contract;
}

/* Waits until the observed data are text. */
static void wait_for(hakuban_contract *contract, const char *text)
{
    for (;;) {
        hakuban_event event;
        ck_assert_int_eq(hakuban_contract_next(contract, 20000, &event), HAKUBAN_OK);
        hakuban_slice data = {NULL, 0};
        if (event.kind == HAKUBAN_EVENT_STATE) {
            data = hakuban_state_data(event.state);
        }
        int same = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
        hakuban_event_done(&event);
        if (same) {
            return;
        }
    }
}

START_TEST(leaf_receives_nothing_about_what_it_did_not_ask_for)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    leaf idle = leaf_new(url), busy = leaf_new(url);
    hakuban_contract *contract = observe(&busy, "\"wanted\"");
    /* Another object of the leaf's own makes its link one that is in use. */
    hakuban_contract *other = observe(&idle, "\"other\"");
    program *others = program_run("hakuban", "expose", "-c", url, "--keep", "\"other\"", NULL);
    program_write(others, "\"o\"\n");
    wait_for(other, "\"o\"");
    uint64_t before = bytes_in(&idle);
    program *exposer =
        program_run("hakuban", "expose", "-c", url, "--tag", "\"t\"", "\"wanted\"", NULL);
    program_stop(exposer, SIGTERM);
    exposer = program_run("hakuban", "expose", "-c", url, "\"wanted\"", NULL);
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof(line), "[%d]\n", i);
        program_write(exposer, line);
        line[strlen(line) - 1] = '\0';
        wait_for(contract, line);
    }
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    /* A state of its own object is behind whatever else could have been sent before it. */
    program_write(others, "\"p\"\n");
    wait_for(other, "\"p\"");
    uint64_t received = bytes_in(&idle) - before;
    ck_assert_msg(received <= 64, "%llu bytes for one state of three bytes",
                  (unsigned long long)received);
    ck_assert_uint_gt(bytes_in(&busy), 500);
    ck_assert_int_eq(program_stop(others, SIGTERM), 0);
    hakuban_contract_free(contract);
    hakuban_contract_free(other);
    leaf_free(&idle);
    leaf_free(&busy);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(small_change_of_a_large_state_is_small_on_the_wire)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    leaf l = leaf_new(url);
    hakuban_contract *contract = observe(&l, "\"large\"");
    program *exposer = program_run("hakuban", "expose", "-c", url, "\"large\"", NULL);
    static char line[100000];
    unsigned seed = 1;
    line[0] = '"';
    for (size_t i = 1; i < sizeof(line) - 3; i++) {
        seed = seed * 1103515245u + 12345u;
        line[i] = (char)('a' + (seed >> 16) % 26);
    }
    memcpy(line + sizeof(line) - 3, "\"\n", 3);
    program_write(exposer, line);
    line[sizeof(line) - 3 + 1] = '\0';
    wait_for(contract, line);
    uint64_t before = bytes_in(&l);
    line[50000] = 'A';
    line[sizeof(line) - 3 + 1] = '\n';
    program_write(exposer, line);
    line[sizeof(line) - 3 + 1] = '\0';
    wait_for(contract, line);
    uint64_t received = bytes_in(&l) - before;
    ck_assert_msg(received < 200, "%llu bytes for one changed letter",
                  (unsigned long long)received);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    hakuban_contract_free(contract);
    leaf_free(&l);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("economy");
    TCase *tcase = tcase_create("economy");
    tcase_add_test(tcase, leaf_receives_nothing_about_what_it_did_not_ask_for);
    tcase_add_test(tcase, small_change_of_a_large_state_is_small_on_the_wire);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
