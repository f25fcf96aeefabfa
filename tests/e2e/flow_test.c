/* States from programs that expose to programs that observe, through a router: in every order of
 * start, over restarts, from every kind of input; the exact lines. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "router_fixture.h"

#define OBJECT "{\"b\":1, \"a\":2}"
#define NAMES "\"tags\":[\"t\"],\"object\":{\"a\":2,\"b\":1}"

/* The text between two pieces of a line; the test fails where they are not there. */
static const char *between(const char *line, const char *before, const char *after)
{
    static char text[256];
    const char *from = strstr(line, before);
    ck_assert_msg(from != NULL, "%s\nlacks %s", line, before);
    from += strlen(before);
    const char *to = strstr(from, after);
    ck_assert_msg(to != NULL && (size_t)(to - from) < sizeof(text), "%s\nlacks %s", line, after);
    memcpy(text, from, (size_t)(to - from));
    text[to - from] = '\0';
    return text;
}

START_TEST(observer_prints_the_exact_lines)
{
    program *observer = program_run("hakuban", "observe", "--tag", " \"t\" ", OBJECT, NULL);
    ck_assert_str_eq(program_line(observer),
                     "{\"event\":\"open\"," NAMES ",\"synchronized\":false,\"source\":\"none\"}");
    program *exposer = program_run("hakuban", "expose", "--tag", "\"t\"", OBJECT, NULL);
    program_write(exposer, " { \"text\" : \"a b\\\" c\", \"n\": 1.50 } \n");
    const char *line = program_find(observer, "\"event\":\"state\"");
    char expected[512], version[256];
    snprintf(version, sizeof(version), "%s", between(line, "\"version\":[", "]"));
    ck_assert_int_eq(strncmp(version, "0,", 2), 0);
    snprintf(expected, sizeof(expected),
             "{\"event\":\"state\"," NAMES ",\"version\":[%s],\"format\":[\"JSON\"],"
             "\"synchronized\":true,\"source\":\"assigned\","
             "\"data\":{\"text\":\"a b\\\" c\",\"n\":1.50}}",
             version);
    ck_assert_str_eq(line, expected);
    program_close_input(exposer);
    ck_assert_int_eq(program_end(exposer), 0);
    line = program_find(observer, "\"source\":\"none\"");
    snprintf(expected, sizeof(expected),
             "{\"event\":\"condition\"," NAMES
             ",\"synchronized\":false,\"age_ms\":%s,\"source\":\"none\"}",
             between(line, "\"age_ms\":", ","));
    ck_assert_str_eq(line, expected);
    ck_assert_int_eq(program_stop(observer, SIGINT), 0);
}
END_TEST

/* 0 the router, 1 the observer, 2 the exposer, in each of the six orders. */
START_TEST(states_arrive_in_every_order_of_start)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    char address[URL_BYTES];
    snprintf(address, sizeof(address), "unix://%s", scratch_path("order"));
    program *started[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        char unused[URL_BYTES];
        switch (orders[_i][i]) {
        case 0:
            started[0] = router_run(unused, address, NULL);
            break;
        case 1:
            started[1] = program_run("hakuban", "get", "-c", address, "--for", "20s", "7", NULL);
            break;
        default:
            started[2] = program_run("hakuban", "expose", "-c", address, "--keep", "7", NULL);
            program_write(started[2], "\"here\"\n");
            program_close_input(started[2]);
        }
        if (i == 0 && started[0] == NULL) {
            /* Let it be refused once, so that the order is real. */
            program_find_error(started[orders[_i][0]], "trying again until it works");
        }
    }
    program_find(started[1], "\"data\":\"here\"}");
    ck_assert_int_eq(program_end(started[1]), 0);
    ck_assert_int_eq(program_stop(started[2], SIGTERM), 0);
    ck_assert_int_eq(program_stop(started[0], SIGTERM), 0);
}
END_TEST

START_TEST(observers_go_stale_and_come_back_when_the_router_is_killed)
{
    char same[URL_BYTES], again[URL_BYTES];
    program *mortal = router_run(same, NULL, NULL);
    program *observer = program_run("hakuban", "observe", "-c", same, "1", NULL);
    program *exposer = program_run("hakuban", "expose", "-c", same, "1", NULL);
    program_write(exposer, "1\n");
    program_find(observer, "\"data\":1}");
    ck_assert_int_eq(program_stop(mortal, SIGKILL), 128 + SIGKILL);
    program_find(observer, "\"synchronized\":false");
    program_write(exposer, "2\n");
    program_find_error(observer, "trying again until it works");
    mortal = router_run(again, same, NULL);
    ck_assert_str_eq(same, again);
    /* A state sent into the dying connection may come first as what was known last; then it is
     * confirmed. */
    ck_assert_ptr_nonnull(strstr(program_find(observer, "\"synchronized\":true"), "\"data\":2}"));
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    program_close_input(exposer);
    ck_assert_int_eq(program_end(exposer), 0);
    ck_assert_int_eq(program_stop(mortal, SIGINT), 0);
}
END_TEST

START_TEST(another_exposer_takes_over_from_a_killed_one)
{
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program *first = program_run("hakuban", "expose", "--capacity", "5", "1", NULL);
    program_write(first, "\"first\"\n");
    program_find(observer, "\"data\":\"first\"}");
    program *second = program_run("hakuban", "expose", "1", NULL);
    program_write(second, "\"second\"\n");
    ck_assert_int_eq(program_stop(first, SIGKILL), 128 + SIGKILL);
    program_find(observer, "\"data\":\"second\"}");
    ck_assert_int_eq(program_stop(second, SIGTERM), 0);
    program_find(observer, "\"source\":\"none\"}");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(exposer_of_capacity_0_is_never_chosen)
{
    program *idle = program_run("hakuban", "expose", "--capacity", "0", "1", NULL);
    program_write(idle, "\"idle\"\n");
    program *busy = program_run("hakuban", "expose", "1", NULL);
    program_write(busy, "\"busy\"\n");
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    ck_assert_str_eq(program_line(observer), "\"busy\"");
    ck_assert_int_eq(program_stop(busy, SIGTERM), 0);
    program_close_input(idle);
    program_find_error(idle, "no observer wanted the last state");
    ck_assert_int_eq(program_end(idle), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(orderly_end_delivers_the_last_line)
{
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    for (int i = 0; i < 50; i++) {
        char line[64];
        program *exposer = program_run("hakuban", "expose", "1", NULL);
        for (int k = 0; k < 20; k++) {
            snprintf(line, sizeof(line), "[%d,%d]\n", i, k);
            program_write(exposer, line);
        }
        snprintf(line, sizeof(line), "[%d,\"last\"]", i);
        program_write(exposer, line); /* and no newline */
        program_close_input(exposer);
        ck_assert_int_eq(program_end(exposer), 0);
        program_find(observer, line);
    }
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(wrong_lines_are_reported_with_their_place_and_skipped)
{
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    program *exposer = program_run("hakuban", "expose", "1", NULL);
    program_write(exposer, "1\n");
    program_find(observer, "1");
    program_write(exposer, "[1,\n\n{\"a\": nil}\n2 3\n\"good\"\n");
    ck_assert_ptr_nonnull(strstr(program_error_line(exposer), "hakuban: stdin line 2, column 4: "));
    ck_assert_ptr_nonnull(strstr(program_error_line(exposer), "hakuban: stdin line 3, column 1: "));
    ck_assert_ptr_nonnull(strstr(program_error_line(exposer), "hakuban: stdin line 4, column 7: "));
    ck_assert_ptr_nonnull(strstr(program_error_line(exposer), "hakuban: stdin line 5, column 3: "));
    program_find(observer, "\"good\"");
    program_close_input(exposer);
    ck_assert_int_eq(program_end(exposer), 1); /* not all of it was taken */
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(other_formats_travel_unchecked_and_are_shown_in_base64)
{
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program *exposer =
        program_run("hakuban", "expose", "--format", "JSON", "--format", "RO\"T13", "1", NULL);
    program_write(exposer, "{nope\n");
    const char *line = program_find(observer, "\"event\":\"state\"");
    ck_assert_ptr_nonnull(strstr(line, "\"format\":[\"JSON\",\"RO\\\"T13\"],"));
    ck_assert_ptr_nonnull(strstr(line, "\"data_base64\":\"e25vcGU=\"}"));
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(tag_shows_every_object_and_list_ends)
{
    program *one = program_run("hakuban", "expose", "--tag", "\"t\"", "--tag", "\"u\"", "1", NULL);
    program *two = program_run("hakuban", "expose", "--tag", "\"t\"", "2", NULL);
    program *other = program_run("hakuban", "expose", "--tag", "\"v\"", "3", NULL);
    program_write(one, "\"one\"\n");
    program_write(two, "\"two\"\n");
    program_write(other, "\"other\"\n");
    program *observer =
        program_run("hakuban", "observe", "--tag", "\"t\"", "--tag", "\"u\"", "--count", "2", NULL);
    unsigned opens = 0, states = 0;
    const char *line;
    while ((line = program_line(observer)) != NULL) {
        ck_assert_ptr_null(strstr(line, "other"));
        opens += strstr(line, "{\"event\":\"open\"") == line;
        states += strstr(line, "{\"event\":\"state\"") == line;
    }
    ck_assert_uint_eq(opens, 2); /* once each, although one has both tags */
    ck_assert_uint_eq(states, 2);
    ck_assert_int_eq(program_end(observer), 0);

    program *list = program_run("hakuban", "list", "--tag", "\"t\"", NULL);
    unsigned seen = 0;
    while ((line = program_line(list)) != NULL) {
        seen += strcmp(line, "{\"event\":\"object\",\"tags\":[\"t\",\"u\"],\"object\":1}") == 0;
        seen += strcmp(line, "{\"event\":\"object\",\"tags\":[\"t\"],\"object\":2}") == 0 ? 10 : 0;
    }
    ck_assert_int_eq(program_end(list), 0);
    ck_assert_uint_eq(seen, 11);

    list = program_run("hakuban", "list", "--tag", "\"nothing\"", NULL);
    ck_assert_ptr_null(program_line(list));
    ck_assert_int_eq(program_end(list), 0);
    ck_assert_int_eq(program_stop(one, SIGTERM), 0);
    ck_assert_int_eq(program_stop(two, SIGTERM), 0);
    ck_assert_int_eq(program_stop(other, SIGTERM), 0);
}
END_TEST

START_TEST(object_under_a_tag_closes_when_no_exchange_has_it_any_more)
{
    program *exposer = program_run("hakuban", "expose", "--tag", "\"t\"", "1", NULL);
    program_write(exposer, "5\n");
    program *observer = program_run("hakuban", "observe", "--tag", "\"t\"", NULL);
    program_find(observer, "\"data\":5}");
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    program_find(observer, "{\"event\":\"close\",\"tags\":[\"t\"],\"object\":1}");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(get_says_why_there_is_nothing)
{
    program *get = program_run("hakuban", "get", "--for", "200ms", "1", NULL);
    program_find_error(get, "hakuban: no state within 200 ms: it has no exposer");
    ck_assert_int_eq(program_end(get), 1);
    char dead[URL_BYTES];
    snprintf(dead, sizeof(dead), "unix://%s", scratch_path("nothing"));
    get = program_run("hakuban", "get", "-c", dead, "--for", "300ms", "1", NULL);
    program_find_error(get, "hakuban: not connected: ");
    ck_assert_int_eq(program_end(get), 1);
    program *list =
        program_run("hakuban", "list", "-c", dead, "--for", "300ms", "--tag", "1", NULL);
    program_find_error(list, "hakuban: not connected: ");
    ck_assert_int_eq(program_end(list), 1);
    program *exposer = program_run("hakuban", "expose", "-c", dead, "1", NULL);
    program_write(exposer, "1\n");
    program_close_input(exposer);
    program_find_error(exposer, "the last state was not sent");
    ck_assert_int_eq(program_end(exposer), 1);
}
END_TEST

START_TEST(get_raw_is_the_data_and_nothing_else)
{
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, "1\n{\"x\": [1,  2]}\n");
    program_close_input(exposer);
    program *get = program_run("hakuban", "get", "--raw", "1", NULL);
    ck_assert_str_eq(program_line(get), "{\"x\": [1,  2]}");
    ck_assert_ptr_null(program_line(get));
    ck_assert_int_eq(program_end(get), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
}
END_TEST

START_TEST(observe_ends_after_its_time)
{
    program *observer = program_run("hakuban", "observe", "--for", "300ms", "1", NULL);
    program_find(observer, "open");
    ck_assert_int_eq(program_end(observer), 0);
}
END_TEST

START_TEST(observer_whose_reader_has_gone_ends_quietly)
{
    program *exposer = program_run("hakuban", "expose", "1", NULL);
    program_write(exposer, "1\n");
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program_find(observer, "\"data\":1}");
    program_close_output(observer);
    ck_assert_uint_eq(program_count_errors(observer, ""), 0);
    ck_assert_int_eq(program_end(observer), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
}
END_TEST

START_TEST(refused_connection_is_said_once)
{
    char dead[URL_BYTES];
    snprintf(dead, sizeof(dead), "unix://%s", scratch_path("refused"));
    program *observer = program_run("hakuban", "observe", "-c", dead, "--for", "2s", "1", NULL);
    ck_assert_uint_eq(program_count_errors(observer, ""), 1);
    ck_assert_int_eq(program_end(observer), 0);
}
END_TEST

START_TEST(file_is_a_state_and_each_change_is_the_next)
{
    const char *path = scratch_path("state.json");
    scratch_write(path, "{\n  \"n\": 1\n}\n");
    program *exposer = program_run("hakuban", "expose", "--file", path, "--watch", "1", NULL);
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program_find(observer, "\"data\":{\"n\":1}}");
    scratch_write(path, "{\n  \"n\": }\n");
    program_find_error(exposer, "line 2, column 8: ");
    scratch_write(path, "{\"n\": 2}\n");
    program_find(observer, "\"data\":{\"n\":2}}");
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);

    exposer = program_run("hakuban", "expose", "--file", path, "1", NULL);
    program_find(observer, "\"data\":{\"n\":2}}");
    ck_assert_int_eq(program_end(exposer), 0);
    exposer = program_run("hakuban", "expose", "--file", scratch_path("none"), "1", NULL);
    program_find_error(exposer, "none: No such file or directory");
    ck_assert_int_eq(program_end(exposer), 1);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(command_runs_only_while_there_is_an_observer)
{
    const char *counter = scratch_path("runs");
    char command[512];
    snprintf(command, sizeof(command), "echo x >>%s; wc -l <%s", counter, counter);
    program *exposer =
        program_run("hakuban", "expose", "1", "--every", "20ms", "--", "sh", "-c", command, NULL);
    program *other = program_run("hakuban", "expose", "--keep", "2", NULL);
    program_write(other, "0\n");
    program *observer = program_run("hakuban", "observe", "--raw", "--count", "1", "2", NULL);
    ck_assert_int_eq(program_end(observer), 0);
    ck_assert_int_ne(access(counter, F_OK), 0); /* object 1 was not asked for */
    observer = program_run("hakuban", "observe", "--raw", "--count", "3", "1", NULL);
    ck_assert_int_eq(strtol(program_line(observer), NULL, 10), 1);
    ck_assert_int_ge(strtol(program_line(observer), NULL, 10), 2);
    ck_assert_int_ge(strtol(program_line(observer), NULL, 10), 3);
    ck_assert_int_eq(program_end(observer), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(other, SIGTERM), 0);
}
END_TEST

START_TEST(command_that_fails_is_reported)
{
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program *exposer =
        program_run("hakuban", "expose", "1", "--every", "50ms", "--", "sh", "-c", "exit 3", NULL);
    program_find_error(exposer, "hakuban: sh: exit code 3; skipped");
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    exposer = program_run("hakuban", "expose", "1", "--every", "1s", "--", "/no/such", NULL);
    program_find_error(exposer, "hakuban: /no/such: No such file or directory");
    ck_assert_int_eq(program_end(exposer), 1);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(large_states_arrive_whole)
{
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    program *exposer = program_run("hakuban", "expose", "1", NULL);
    size_t bytes = 3u << 20;
    char *line = malloc(bytes + 2);
    ck_assert_ptr_nonnull(line);
    memset(line, 'x', bytes);
    line[0] = line[bytes - 1] = '"';
    line[bytes] = '\n';
    line[bytes + 1] = '\0';
    program_write(exposer, line);
    line[bytes] = '\0';
    ck_assert_int_eq(strcmp(program_line(observer), line), 0);
    free(line);
    program_close_input(exposer);
    ck_assert_int_eq(program_end(exposer), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flow");
    TCase *tcase = tcase_create("flow");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, start_router, stop_router);
    tcase_add_test(tcase, observer_prints_the_exact_lines);
    tcase_add_test(tcase, another_exposer_takes_over_from_a_killed_one);
    tcase_add_test(tcase, exposer_of_capacity_0_is_never_chosen);
    tcase_add_test(tcase, orderly_end_delivers_the_last_line);
    tcase_add_test(tcase, wrong_lines_are_reported_with_their_place_and_skipped);
    tcase_add_test(tcase, other_formats_travel_unchecked_and_are_shown_in_base64);
    tcase_add_test(tcase, tag_shows_every_object_and_list_ends);
    tcase_add_test(tcase, object_under_a_tag_closes_when_no_exchange_has_it_any_more);
    tcase_add_test(tcase, get_says_why_there_is_nothing);
    tcase_add_test(tcase, get_raw_is_the_data_and_nothing_else);
    tcase_add_test(tcase, observe_ends_after_its_time);
    tcase_add_test(tcase, observer_whose_reader_has_gone_ends_quietly);
    tcase_add_test(tcase, refused_connection_is_said_once);
    tcase_add_test(tcase, file_is_a_state_and_each_change_is_the_next);
    tcase_add_test(tcase, command_runs_only_while_there_is_an_observer);
    tcase_add_test(tcase, command_that_fails_is_reported);
    tcase_add_test(tcase, large_states_arrive_whole);
    TCase *routers = tcase_create("routers of their own");
    tcase_set_timeout(routers, 100);
    tcase_add_loop_test(routers, states_arrive_in_every_order_of_start, 0, 6);
    tcase_add_test(routers, observers_go_stale_and_come_back_when_the_router_is_killed);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, routers);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
