/* hakuban-bench in a user's hands: each sub-command runs small, ends well, and its last line of
 * --json can be believed as far as it can be checked without a stopwatch. How fast anything is, is
 * not tested here. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include <hakuban/hakuban.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* the sanitizer keeps what was freed, and notes about it */
#else
#define SANITIZED 0
#endif

/* Runs it; the last line goes to ret_line. */
static int bench(const char *arguments, char *ret_line, size_t size)
{
    char command[512];
    static char line[16384];
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
    static char line[16384];
    ck_assert_int_eq(bench("ping --count 100 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_ptr_nonnull(strstr(line, "\"command\":\"ping\""));
    ck_assert_double_eq(figure(line, "count"), 100);
    ck_assert_double_gt(figure(line, "round_trips_per_s"), 0);
    ck_assert_double_gt(figure(line, "ratio"), 0);
}
END_TEST

START_TEST(flood_skips_nothing)
{
    static char line[16384];
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
    static char line[16384];
    ck_assert_int_eq(
        bench("hot --observers 2 --stuck 1 --seconds 0.2 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "states_per_s"), 0);
    ck_assert_double_gt(figure(line, "sends_per_s"), 0);
}
END_TEST

/* How old they are is measured, not tested: this machine may be busy. That nothing is missing is
 * the same on every one. */
START_TEST(one_stuck_observer_takes_nothing_from_the_others)
{
    static char line[16384];
    ck_assert_int_eq(
        bench("stuck --observers 150 --rate 10 --bytes 4096 --seconds 1 --runs 1 --json", line,
              sizeof(line)),
        0);
    ck_assert_double_eq(figure(line, "observers"), 150);
    const char *stuck = strstr(line, "\"stuck\":{"), *free = strstr(line, "\"free\":{");
    ck_assert(stuck && free);
    ck_assert_double_gt(figure(stuck, "sends_per_s"), 0);
    ck_assert_double_gt(figure(stuck, "age_p99_us"), 0);
    ck_assert_double_gt(figure(free, "age_p99_us"), 0);
    /* The last ones may still be on their way when a part of the measurement ends. */
    ck_assert_double_ge(figure(stuck, "states_per_s"), figure(stuck, "sends_per_s") * 0.5);
}
END_TEST

START_TEST(objects_all_reach_a_late_joiner)
{
    static char line[16384];
    ck_assert_int_eq(bench("objects --objects 300 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "join_ms"), 0);
}
END_TEST

static bool has_feature(const char *name)
{
    return strstr(hakuban_features(), name) != NULL;
}

START_TEST(objects_reach_a_late_joiner_from_below_hubs)
{
    static char line[16384];
    if (!has_feature(" tcp")) {
        return;
    }
    ck_assert_int_eq(
        bench("objects --objects 300 --hubs 2 --runs 1 --only hakuban --json", line, sizeof(line)),
        0);
    ck_assert_double_eq(figure(line, "hubs"), 2);
    ck_assert_double_gt(figure(line, "join_ms"), 0);
}
END_TEST

static unsigned occurrences(const char *line, const char *text)
{
    unsigned count = 0;
    for (const char *at = line; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        count++;
    }
    return count;
}

START_TEST(a_transport_serializer_and_compressor_can_be_chosen)
{
    static char line[16384];
    ck_assert_int_eq(bench("ping --count 50 --runs 1 --transport unix --compressor none --json",
                           line, sizeof(line)),
                     0);
    ck_assert_ptr_nonnull(strstr(line, "\"transport\":\"unix\""));
    ck_assert_ptr_nonnull(strstr(line, "\"compressor\":\"none\""));
    ck_assert_double_gt(figure(line, "ratio"), 0);
}
END_TEST

START_TEST(zmq_stands_beside_bare_libzmq)
{
    static char line[16384];
    if (!has_feature("zmq+tcp")) {
        return;
    }
    ck_assert_int_eq(
        bench("ping --count 50 --runs 1 --transport zmq+ipc --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "ratio"), 0);
    ck_assert_int_eq(bench("flood --objects 20 --observers 2 --seconds 0.1 --runs 1 --transport "
                           "zmq+tcp --json",
                           line, sizeof(line)),
                     0);
    ck_assert_double_eq(figure(line, "skipped"), 0);
    ck_assert_double_gt(figure(line, "ratio"), 0);
}
END_TEST

START_TEST(the_matrix_has_a_row_for_each_combination)
{
    static char line[16384];
    ck_assert_int_eq(bench("matrix --transport unix --runs 1 --count 20 --objects 10 --observers "
                           "1 --bytes 64 --seconds 0.1 --json",
                           line, sizeof(line)),
                     0);
    ck_assert_ptr_nonnull(strstr(line, "\"command\":\"matrix\""));
    unsigned serializers = (unsigned)has_feature("json") + (unsigned)has_feature("msgpack");
    unsigned compressors = 1 + (unsigned)has_feature("zstd");
    ck_assert_uint_eq(occurrences(line, "\"transport\":\"unix\""), serializers * compressors);
    ck_assert_uint_eq(occurrences(line, "\"skipped\":0}"), serializers * compressors);
    ck_assert_double_gt(figure(line, "ping_ratio"), 0);
    ck_assert_double_gt(figure(line, "flood_ratio"), 0);
}
END_TEST

START_TEST(codec_has_three_documents_for_each_serializer)
{
    static char line[16384];
    ck_assert_int_eq(bench("codec --rounds 1 --json", line, sizeof(line)), 0);
    ck_assert_uint_eq(occurrences(line, "\"serializer\":\"json\""), has_feature("json") ? 3U : 0U);
    ck_assert_uint_eq(occurrences(line, "\"serializer\":\"msgpack\""),
                      has_feature("msgpack") ? 3U : 0U);
    ck_assert_double_gt(figure(line, "write_mb_s"), 0);
    ck_assert_double_gt(figure(line, "read_mb_s"), 0);
}
END_TEST

START_TEST(resume_brings_only_what_changed)
{
    static char line[16384];
    ck_assert_int_eq(bench("resume --objects 500 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "first_bytes"), 500 * 500);
    ck_assert_double_gt(figure(line, "resume_bytes"), 0);
    ck_assert_double_le(figure(line, "resume_percent"), 2);
    ck_assert_double_eq(figure(line, "resume_events"), 0);
    /* Each state once from its exposer, and not down again: the observer has it. Names and what
     * goes with them travel. */
    ck_assert_double_ge(figure(line, "restart_up_percent"), 90);
    ck_assert_double_le(figure(line, "restart_up_percent"), 120);
    ck_assert_double_gt(figure(line, "restart_down_percent"), 0);
    ck_assert_double_le(figure(line, "restart_down_percent"), 20);
}
END_TEST

START_TEST(churn_leaves_little_in_the_router)
{
    static char line[16384];
    ck_assert_int_eq(bench("churn --objects 20000 --runs 1 --json", line, sizeof(line)), 0);
    ck_assert_double_gt(figure(line, "objects_per_s"), 0);
    /* Less than a descriptor for each that went: allocators grow a little at first. */
    if (!SANITIZED) {
        ck_assert_double_lt(figure(line, "rss_per_object"), 64);
    }
}
END_TEST

/* What is given with --router may be a script that leaves the real router behind when it ends. */
START_TEST(a_router_that_leaves_children_behind_is_cleaned_up)
{
    static const char *const ends[] = {"trap 'exit 0' TERM; ", "trap 'exit 1' TERM; "};
    const char *bin = getenv("HAKUBAN_BIN");
    for (size_t i = 0; i < 2; i++) {
        char script[] = "/tmp/hakuban-bench-router-XXXXXX", command[512], line[512];
        int fd = mkstemp(script);
        ck_assert_int_ge(fd, 0);
        FILE *file = fdopen(fd, "w");
        ck_assert_ptr_nonnull(file);
        fprintf(file, "#!/bin/sh\n%s\"%s/hakuban-router\" \"$@\" &\nwait\n", ends[i],
                bin ? bin : "bin");
        fclose(file);
        ck_assert_int_eq(chmod(script, 0700), 0);
        /* A process that is left behind holds the pipe open, and this waits for ever. */
        snprintf(command, sizeof(command),
                 "%s/hakuban-bench ping --count 20 --runs 1 --router %s 2>&1", bin ? bin : "bin",
                 script);
        FILE *output = popen(command, "r");
        ck_assert_ptr_nonnull(output);
        while (fgets(line, sizeof(line), output)) {
        }
        int status = pclose(output);
        unlink(script);
        ck_assert(WIFEXITED(status));
        ck_assert_uint_eq((unsigned)WEXITSTATUS(status), i);
    }
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    static char line[16384];
    static const char *const wrong[] = {"",
                                        "pong",
                                        "ping --observers 3",
                                        "ping --bytes 3",
                                        "ping --bytes",
                                        "ping --cpus x",
                                        "hot --only me",
                                        "flood --objects 10 --window 11",
                                        "ping 1",
                                        "ping --transport inproc",
                                        "ping --serializer xml",
                                        "ping --compressor",
                                        "flood --bind gopher://x",
                                        "flood --transport unix --bind unix:///tmp/x",
                                        "hot --objects 1",
                                        "objects --count 3",
                                        "stuck --only raw",
                                        "stuck --stuck 2",
                                        "hot --observers 300",
                                        "matrix --bind tcp://127.0.0.1:0",
                                        "matrix --window 1000",
                                        "--peer",
                                        "--peer go",
                                        "--peer rust --work much",
                                        "--peer rust --bytes 100",
                                        "codec 1",
                                        "codec --rounds 0",
                                        "codec --serializer xml",
                                        "delta --size 5",
                                        "delta --rounds",
                                        "delta x"};
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
    tcase_add_test(tcase, one_stuck_observer_takes_nothing_from_the_others);
    tcase_add_test(tcase, objects_all_reach_a_late_joiner);
    tcase_add_test(tcase, objects_reach_a_late_joiner_from_below_hubs);
    tcase_add_test(tcase, a_transport_serializer_and_compressor_can_be_chosen);
    tcase_add_test(tcase, zmq_stands_beside_bare_libzmq);
    tcase_add_test(tcase, the_matrix_has_a_row_for_each_combination);
    tcase_add_test(tcase, codec_has_three_documents_for_each_serializer);
    tcase_add_test(tcase, resume_brings_only_what_changed);
    tcase_add_test(tcase, churn_leaves_little_in_the_router);
    tcase_add_test(tcase, a_router_that_leaves_children_behind_is_cleaned_up);
    tcase_add_test(tcase, wrong_usage_is_status_2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
