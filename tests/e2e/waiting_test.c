/* Nothing waits for ever: a program ends soon after SIGTERM or SIGINT whatever is silent around it,
 * and a reader that does not read stops nothing else. */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "programs.h"

/* A second is promised; the machine may be busy. */
#define ENDS_WITHIN_MS 8000

static char url[URL_BYTES];
static program *router;

static void start_router(void)
{
    router = router_run(url, NULL, NULL);
    setenv("HAKUBAN_URL", url, 1);
}

static void stop_router(void)
{
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* Its exit code, or 128 + signal. */
static int end_soon(program *p, int number)
{
    long long began_ms = now_ms();
    int code = program_stop(p, number);
    ck_assert_int_le(now_ms() - began_ms, ENDS_WITHIN_MS);
    return code;
}

static program *shell(const char *script)
{
    return program_run("/bin/sh", "-c", script, NULL);
}

/* A pipe that is full and that nothing reads. */
static const char *full_pipe(int *ret_fd)
{
    static char path[256], filling[4096];
    snprintf(path, sizeof(path), "%s", scratch_path("full"));
    (void)unlink(path); /* of the test before, where tests share a process */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    *ret_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(*ret_fd, 0);
    memset(filling, '\n', sizeof(filling));
    for (size_t bytes = sizeof(filling); bytes > 0; bytes /= 2) {
        while (write(*ret_fd, filling, bytes) > 0) {
        }
    }
    return path;
}

/* A state goes through the router at the address. */
static void check_serves(const char *at)
{
    program *exposer = program_run("hakuban", "expose", "-c", at, "--keep", "7", NULL);
    program_write(exposer, "\"served\"\n");
    program *get = program_run("hakuban", "get", "-c", at, "--raw", "--for", "20s", "7", NULL);
    ck_assert_str_eq(program_line(get), "\"served\"");
    ck_assert_int_eq(program_end(get), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
}

START_TEST(command_that_closed_its_output_keeps_nothing_from_ending)
{
    int number = _i == 0 ? SIGTERM : SIGINT;
    program *exposer = shell("exec \"$HAKUBAN_BIN/hakuban\" expose 1 --every 1s -- "
                             "sh -c 'echo 1; exec >&-; exec 2>&-; exec sleep 60'");
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program_find(observer, "\"source\":\"assigned\"");
    (void)usleep(300 * 1000); /* it is in the middle of its command */
    ck_assert_int_eq(end_soon(exposer, number), 0);
    ck_assert_int_eq(end_soon(observer, number), 0);
}
END_TEST

START_TEST(interrupted_before_it_is_done_is_no_success)
{
    static const char *const verbs[][8] = {
        {"hakuban", "get", "1"},
        {"hakuban", "list", "-c", "tcp://127.0.0.1:1", "--tag", "1"},
        {"hakuban", "snapshot", "-c", "tcp://127.0.0.1:1", "--stats-tag", "1"},
        {"hakuban", "observe", "--count", "1", "1"},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const char *words[12] = {NULL};
        size_t count = 0;
        for (; verbs[i][count]; count++) {
            words[count] = verbs[i][count];
        }
        words[count] = "-v"; /* so that it is known when it listens to signals */
        program *p = program_run_list(words);
        program_find_error(p, "127.0.0.1");
        int number = i % 2 ? SIGTERM : SIGINT;
        ck_assert_int_eq(end_soon(p, number), 128 + number);
    }
}
END_TEST

START_TEST(observer_that_is_not_read_ends)
{
    char *line = malloc(300000);
    ck_assert_ptr_nonnull(line);
    memset(line, 'x', 300000);
    line[0] = line[299997] = '"';
    line[299998] = '\n';
    line[299999] = '\0';
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, line);
    program *observer = program_run("hakuban", "observe", "-v", "--raw", "1", NULL);
    program_find_error(observer, "connected");
    (void)usleep(500 * 1000); /* its pipe is full */
    program_signal(observer, SIGTERM);
    long long began_ms = now_ms();
    while (kill(program_pid(observer), 0) == 0 && now_ms() - began_ms < ENDS_WITHIN_MS) {
        char stat[64], state = '?';
        snprintf(stat, sizeof(stat), "/proc/%d/stat", (int)program_pid(observer));
        FILE *file = fopen(stat, "re");
        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1 || state == 'Z') {
            began_ms = 0;
        }
        if (file) {
            fclose(file);
        }
        (void)usleep(20000);
    }
    ck_assert_int_eq(began_ms, 0); /* it has ended before anything was read */
    ck_assert_int_eq(program_end(observer), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    free(line);
}
END_TEST

START_TEST(programs_end_beside_a_router_that_is_silent)
{
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    program_write(exposer, "1\n");
    ck_assert_str_eq(program_line(observer), "1");
    program_signal(router, SIGSTOP);
    ck_assert_int_eq(end_soon(observer, SIGINT), 0);
    (void)end_soon(exposer, SIGTERM); /* whether its last state was taken it cannot know */
    program_signal(router, SIGCONT);
}
END_TEST

START_TEST(router_ends_beside_a_program_that_is_silent)
{
    char at[URL_BYTES];
    program *second = router_run(at, NULL, NULL);
    program *observer = program_run("hakuban", "observe", "-c", at, "-v", "1", NULL);
    program_find_error(observer, "connected");
    program_signal(observer, SIGSTOP);
    ck_assert_int_eq(end_soon(second, SIGTERM), 0);
    program_signal(observer, SIGCONT);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
}
END_TEST

START_TEST(log_that_is_not_read_stops_nothing)
{
    int pipe_fd;
    char at[URL_BYTES], script[1024], conf[256];
    snprintf(at, sizeof(at), "unix://%s", scratch_path("served"));
    snprintf(conf, sizeof(conf), "%s", scratch_path("conf"));
    scratch_write(conf, "");
    const char *path = full_pipe(&pipe_fd);
    /* Both outputs are the same pipe, as under a supervisor. */
    snprintf(script, sizeof(script),
             "exec \"$HAKUBAN_BIN/hakuban-router\" -v -v -b %s --config %s >%s 2>&1", at, conf,
             path);
    program *second = shell(script);
    check_serves(at);
    program_signal(second, SIGUSR2);
    /* Much more is said than is kept; every reload says a long line. */
    char text[4000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    scratch_write(conf, text);
    for (int i = 0; i < 1500; i++) {
        program_signal(second, SIGHUP);
        (void)usleep(1000);
    }
    check_serves(at);
    ck_assert_int_eq(fcntl(pipe_fd, F_SETFL, 0), 0);
    FILE *log = fdopen(pipe_fd, "r");
    ck_assert_ptr_nonnull(log);
    char *line = NULL;
    size_t room = 0;
    bool told = false;
    while (!told && getline(&line, &room, log) > 0) {
        told = strstr(line, "lines were lost: nothing read stderr") != NULL;
    }
    ck_assert(told);
    free(line);
    ck_assert_int_eq(end_soon(second, SIGTERM), 0);
    fclose(log);
}
END_TEST

START_TEST(router_whose_log_is_stuck_ends)
{
    int pipe_fd;
    char at[URL_BYTES], script[1024];
    snprintf(at, sizeof(at), "unix://%s", scratch_path("stuck"));
    snprintf(script, sizeof(script), "exec \"$HAKUBAN_BIN/hakuban-router\" -v -v -b %s >%s 2>&1",
             at, full_pipe(&pipe_fd));
    program *second = shell(script);
    check_serves(at);
    ck_assert_int_eq(end_soon(second, _i == 0 ? SIGTERM : SIGINT), 0);
    close(pipe_fd);
}
END_TEST

START_TEST(input_that_never_comes_keeps_nothing_from_ending)
{
    static const char *const scripts[] = {
        "exec \"$HAKUBAN_BIN/hakuban\" expose -v 1 --file ",
        "exec \"$HAKUBAN_BIN/hakuban\" expose -v 1 --watch --file ",
        "exec \"$HAKUBAN_BIN/hakuban\" expose -v 1 <>",
        "exec \"$HAKUBAN_BIN/hakuban\" expose -v 1 --file - <>",
    };
    char script[512];
    const char *path = scratch_path("silent");
    (void)unlink(path); /* of the test before, where tests share a process */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    snprintf(script, sizeof(script), "%s%s", scripts[_i], path);
    program *exposer = shell(script);
    program_find_error(exposer, "connected");
    ck_assert_int_eq(end_soon(exposer, SIGTERM), 0);
}
END_TEST

START_TEST(endless_input_is_refused)
{
    program *second = program_run("hakuban-router", "--config", "/dev/zero", NULL);
    program_find_error(second, "/dev/zero: File too large");
    ck_assert_int_eq(program_end(second), 1);
    program *exposer = program_run("hakuban", "expose", "--file", "/dev/zero", "1", NULL);
    program_find_error(exposer, "/dev/zero: File too large");
    ck_assert_int_eq(program_end(exposer), 1);
}
END_TEST

START_TEST(router_reads_a_pipe_at_the_start_only)
{
    char conf[256];
    snprintf(conf, sizeof(conf), "%s", scratch_path("piped.conf"));
    ck_assert_int_eq(mkfifo(conf, 0600), 0);
    program *second = program_run("hakuban-router", "--config", conf, NULL);
    scratch_write(conf, "bind tcp://127.0.0.1:0\n");
    char at[URL_BYTES];
    snprintf(at, sizeof(at), "%s", program_find(second, "listening ") + strlen("listening "));
    program_signal(second, SIGHUP);
    program_find_error(second, "not reloaded");
    check_serves(at);
    ck_assert_int_eq(end_soon(second, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waiting");
    TCase *tcase = tcase_create("waiting");
    tcase_add_checked_fixture(tcase, start_router, stop_router);
    tcase_add_loop_test(tcase, command_that_closed_its_output_keeps_nothing_from_ending, 0, 2);
    tcase_add_test(tcase, interrupted_before_it_is_done_is_no_success);
    tcase_add_test(tcase, observer_that_is_not_read_ends);
    tcase_add_test(tcase, programs_end_beside_a_router_that_is_silent);
    tcase_add_test(tcase, router_ends_beside_a_program_that_is_silent);
    tcase_add_test(tcase, log_that_is_not_read_stops_nothing);
    tcase_add_loop_test(tcase, router_whose_log_is_stuck_ends, 0, 2);
    tcase_add_loop_test(tcase, input_that_never_comes_keeps_nothing_from_ending, 0, 4);
    tcase_add_test(tcase, endless_input_is_refused);
    tcase_add_test(tcase, router_reads_a_pipe_at_the_start_only);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
