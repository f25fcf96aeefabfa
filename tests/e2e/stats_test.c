/* Statistics in an operator's hands: hakuban-router --stats-tag, hakuban snapshot, and reading one
 * by name. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"

#define TAG "\"stats\""

/* The first line that contains piece; the program ends with code. */
static void says(int code, const char *piece, const char *const *words)
{
    program *p = program_run_list(words);
    program_find_error(p, piece);
    ck_assert_int_eq(program_end(p), code);
}

START_TEST(a_snapshot_shows_links_objects_and_their_exposers)
{
    char url[URL_BYTES], pump_url[URL_BYTES + 40];
    const char *path = scratch_path("stats.conf");
    scratch_write(path, "stats-tag " TAG " # as a service has it\n");
    program *router = router_run(url, "tcp://127.0.0.1:0", "--config", path, NULL);
    snprintf(pump_url, sizeof(pump_url), "%s#name=pump,load-limit=9", url);
    program *exposer = program_run("hakuban", "expose", "-c", pump_url, "--keep", "--tag",
                                   "\"water\"", "{\"tank\":1}", NULL);
    program_write(exposer, "{\"level\":70}\n");
    program *observer = program_run("hakuban", "observe", "-c", url, "--raw", "--tag", "\"water\"",
                                    "{\"tank\":1}", NULL);
    ck_assert_str_eq(program_line(observer), "{\"level\":70}");

    program *table = program_run("hakuban", "snapshot", "-c", url, "--stats-tag", TAG, NULL);
    const char *line = program_find(table, "exchange ");
    ck_assert_ptr_nonnull(strstr(line, " 3 links, 1 objects; 1 states in, 1 "));
    line = program_find(table, "LINK");
    ck_assert_ptr_nonnull(strstr(line, "ADDRESS"));
    line = program_find(table, "pump");
    ck_assert_ptr_nonnull(strstr(line, "downstream "));
    ck_assert_ptr_nonnull(strstr(line, " 1.0/9.0 "));
    ck_assert_ptr_nonnull(strstr(line, "127.0.0.1:"));
    (void)program_find(table, "OBJECT");
    line = program_find(table, "{\"tank\":1}");
    ck_assert_ptr_nonnull(strstr(line, "\"water\""));
    ck_assert_ptr_nonnull(strstr(line, "pump (downstream "));
    ck_assert_ptr_nonnull(strstr(line, "live"));
    ck_assert_ptr_nonnull(strstr(line, " 12 "));
    ck_assert_ptr_null(program_line(table)); /* statistics are not among what they tell of */
    ck_assert_int_eq(program_end(table), 0);

    program *json =
        program_run("hakuban", "snapshot", "-c", url, "--stats-tag", TAG, "--json", NULL);
    line = program_line(json);
    ck_assert_int_eq(strncmp(line, "{\"exchanges\":[{\"name\":", 22), 0);
    ck_assert_ptr_nonnull(strstr(line, "\"objects\":[{\"object\":{\"tank\":1},\"tags\":[\"water\"],"
                                       "\"statistics\":{\"exists\":true,"));
    ck_assert_ptr_null(program_line(json));
    ck_assert_int_eq(program_end(json), 0);

    /* the exposer goes: the table says since when */
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    for (int tries = 0;; tries++) {
        table = program_run("hakuban", "snapshot", "-c", url, "--stats-tag", TAG, NULL);
        line = program_find(table, "{\"tank\":1}");
        bool stale = strstr(line, "none") && strstr(line, "stale ") && strstr(line, " s ");
        ck_assert_int_eq(program_end(table), 0);
        if (stale) {
            break;
        }
        ck_assert_int_lt(tries, 100);
    }
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(one_statistic_can_be_read_by_its_name)
{
    char url[URL_BYTES];
    program *router = router_run(url, "tcp://127.0.0.1:0#name=edge-1", "--stats-tag", TAG, NULL);
    program *observer = program_run("hakuban", "observe", "-c", url, "7", NULL);
    (void)program_find(observer, "open");
    program *get;
    /* the observer is connected; what it asks for may still be under way */
    for (int tries = 0;; tries++) {
        get = program_run("hakuban", "get", "-c", url, "--raw", "--tag", TAG, "--tag",
                          "{\"statistics\":\"edge-1\"}", "{\"object\":7,\"tags\":[]}", NULL);
        const char *line = program_line(get);
        bool is_there = strstr(line, "\"exists\":true") && strstr(line, "\"downstreams\":1");
        ck_assert_int_eq(program_end(get), 0);
        if (is_there) {
            break;
        }
        ck_assert_int_lt(tries, 100);
    }
    get = program_run("hakuban", "get", "-c", url, "--raw", "--tag", TAG, "--tag",
                      "{\"statistics\":\"edge-1\"}", "{\"object\":8,\"tags\":[]}", NULL);
    ck_assert_str_eq(program_line(get), "{\"exists\":false}");
    ck_assert_int_eq(program_end(get), 0);
    get = program_run("hakuban", "get", "-c", url, "--raw", "--tag", TAG, "--tag",
                      "{\"statistics\":\"edge-1\"}", "\"exchange\"", NULL);
    ck_assert_ptr_nonnull(strstr(program_line(get), "\"name\":\"edge-1\""));
    ck_assert_int_eq(program_end(get), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(routers_of_a_tree_are_shown_together_from_anywhere)
{
    char top_url[URL_BYTES], left_url[URL_BYTES], right_url[URL_BYTES], under[URL_BYTES + 20];
    program *top = router_run(top_url, "tcp://127.0.0.1:0#name=top", "--stats-tag", TAG, NULL);
    snprintf(under, sizeof(under), "%s#name=left", top_url);
    program *left = router_run(left_url, NULL, "-c", under, "--stats-tag", TAG, NULL);
    program *right = router_run(right_url, NULL, "-c", top_url, NULL);
    program *observer = program_run("hakuban", "observe", "-c", left_url, "\"here\"", NULL);
    (void)program_find(observer, "open");
    const char *const urls[] = {top_url, left_url, right_url};
    for (int i = 0; i < 3; i++) {
        program *json = program_run("hakuban", "snapshot", "-c", urls[i], "--stats-tag", TAG,
                                    "--json", "--for", "20s", NULL);
        const char *line = program_line(json);
        const char *of_left = line ? strstr(line, "{\"name\":\"left\"") : NULL;
        const char *of_top = line ? strstr(line, "{\"name\":\"top\"") : NULL;
        ck_assert_msg(of_left && of_top && of_left < of_top, "%s", line ? line : "nothing");
        ck_assert_ptr_nonnull(strstr(of_left, "{\"upstream\":0,"));
        ck_assert_ptr_nonnull(strstr(of_left, "{\"object\":\"here\",\"tags\":[],"));
        ck_assert_int_eq(program_end(json), 0);
    }
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(left, SIGTERM), 0);
    ck_assert_int_eq(program_stop(right, SIGTERM), 0);
    ck_assert_int_eq(program_stop(top, SIGTERM), 0);
}
END_TEST

START_TEST(mistakes_are_said_in_words)
{
    char url[URL_BYTES], nowhere[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    snprintf(nowhere, sizeof(nowhere), "unix://%s", scratch_path("nothing"));
    says(2, "--stats-tag is missing",
         (const char *const[]){"hakuban", "snapshot", "-c", url, NULL});
    says(2, "did you mean '\"stats\"'",
         (const char *const[]){"hakuban", "snapshot", "-c", url, "--stats-tag", "stats", NULL});
    says(
        2, "one tag is enough",
        (const char *const[]){"hakuban", "snapshot", "--stats-tag", "1", "--stats-tag", "2", NULL});
    says(2, "takes a --stats-tag only",
         (const char *const[]){"hakuban", "snapshot", "--stats-tag", "1", "\"x\"", NULL});
    says(2, "--for",
         (const char *const[]){"hakuban", "snapshot", "--stats-tag", "1", "--for", "soon", NULL});
    says(1, "no exchange publishes statistics with the tag \"stats\"",
         (const char *const[]){"hakuban", "snapshot", "-c", url, "--stats-tag", TAG, NULL});
    says(1, "not connected",
         (const char *const[]){"hakuban", "snapshot", "-c", nowhere, "--stats-tag", TAG, "--for",
                               "300ms", NULL});
    says(2, "did you mean '\"stats\"'",
         (const char *const[]){"hakuban-router", "-b", "tcp://127.0.0.1:0", "--stats-tag", "stats",
                               NULL});
    says(2, "one tag is enough",
         (const char *const[]){"hakuban-router", "--stats-tag", "1", "--stats-tag", "2", NULL});
    says(2, "1 to 64 bytes",
         (const char *const[]){
             "hakuban-router", "-b",
             "tcp://127.0.0.1:0#name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
             "--stats-tag", "1", NULL});
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

/* Objects of other programs under the tag are no reason to fail. */
START_TEST(what_is_not_statistics_is_left_out)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--stats-tag", TAG, NULL);
    program *stranger =
        program_run("hakuban", "expose", "-c", url, "--keep", "--tag", TAG, "\"mine\"", NULL);
    program *liar = program_run("hakuban", "expose", "-c", url, "--keep", "--tag", TAG, "--tag",
                                "{\"statistics\":\"\\u001b[2J\xc2\x9b"
                                "31m\"}",
                                "\"subjects\"", NULL);
    program_write(stranger, "1\n");
    program_write(liar, "[\"no\"]\n");
    program *json = program_run("hakuban", "list", "-c", url, "--tag", TAG, NULL);
    while (program_line(json)) {
    }
    ck_assert_int_eq(program_end(json), 0);
    program *table =
        program_run("hakuban", "snapshot", "-c", url, "--stats-tag", TAG, "--for", "1s", NULL);
    program_find_error(table, "not statistics");
    const char *line;
    while ((line = program_line(table)) != NULL) {
        ck_assert_ptr_null(strchr(line, '\x1b'));
        ck_assert_ptr_null(strstr(line, "\xc2\x9b"));
    }
    ck_assert_int_eq(program_end(table), 1); /* that exchange never tells all */
    ck_assert_int_eq(program_stop(stranger, SIGTERM), 0);
    ck_assert_int_eq(program_stop(liar, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *cases = tcase_create("stats");
    tcase_add_test(cases, a_snapshot_shows_links_objects_and_their_exposers);
    tcase_add_test(cases, one_statistic_can_be_read_by_its_name);
    tcase_add_test(cases, routers_of_a_tree_are_shown_together_from_anywhere);
    tcase_add_test(cases, mistakes_are_said_in_words);
    tcase_add_test(cases, what_is_not_statistics_is_left_out);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
