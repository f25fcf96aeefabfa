/* hakuban-bench in a user's hands: each sub-command runs small, ends well, and its last line of --json can be believed as far
 * as it can be checked without a stopwatch. How fast anything is, is not tested here. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <check.h>

/* Runs it; the last line goes to ret_line. */
static int bench(const char *arguments, char *ret_line, size_t size)
{
    char command[512], line[2048];
    const char *bin = getenv("HAKUBAN_BIN");
    snprintf(command, sizeof(command), "%s/hakuban-bench %s 2>/dev/null", bin ? bin : "bin",
             arguments);
    FILE *output = popen(command, "r");
    ck_assert_ptr_nonnull(output);
    ret_line[0] = '\0';
    while (fgets(line, sizeof(line), output)) {
        snprintf(ret_line, size, "%s", line);
    }
    int status = pclose(output);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static double figure(const char *line, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = strstr(line, quoted);
    ck_assert_msg(at != NULL, "no %s in %s", key, line);
    return strtod(at + strlen(quoted), NULL);
}

START_TEST(ping_tells_round_trips_beside_the_raw_relay)
{
    char line[2048];
    ck_assert_int_eq(bench("ping --count 100 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_ptr_nonnull(strstr(line, "\"command\":\"ping\""));
    ck_assert_double_eq(figure(line, "count"), 100);
    ck_assert_double_gt(figure(line, "round_trips_per_s"), 0);
    ck_assert_double_gt(figure(line, "ratio"), 0);
}
END_TEST

START_TEST(flood_skips_nothing)
{
    char line[2048];
    ck_assert_int_eq(
        bench("flood --objects 20 --observers 2 --bytes 100 --seconds 0.2 --runs 1 --json", line,
              sizeof(line)),
        0);
    ck_assert_double_eq(figure(line, "skipped"), 0);
    ck_assert_double_gt(figure(line, "ratio"), 0);
}
END_TEST

START_TEST(hot_shows_states_to_every_observer)
{
    char line[2048];
    ck_assert_int_eq(
        bench("hot --observers 2 --stuck 1 --seconds 0.2 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "states_per_s"), 0);
    ck_assert_double_gt(figure(line, "sends_per_s"), 0);
}
END_TEST

START_TEST(objects_all_reach_a_late_joiner)
{
    char line[2048];
    ck_assert_int_eq(bench("objects --objects 300 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "join_ms"), 0);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    char line[2048];
    static const char *const wrong[] = {"",
                                        "pong",
                                        "ping --observers 3",
                                        "ping --bytes 3",
                                        "ping --bytes",
                                        "ping --cpus x",
                                        "hot --only me",
                                        "flood --objects 10 --window 11",
                                        "ping 1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(bench(wrong[i], line, sizeof(line)) == 2, "hakuban-bench %s", wrong[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");
    TCase *tcase = tcase_create("bench");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, ping_tells_round_trips_beside_the_raw_relay);
    tcase_add_test(tcase, flood_skips_nothing);
    tcase_add_test(tcase, hot_shows_states_to_every_observer);
    tcase_add_test(tcase, objects_all_reach_a_late_joiner);
    tcase_add_test(tcase, wrong_usage_is_status_2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
