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
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "router_fixture.h"

/* A second is promised; the machine may be busy. */
#define ENDS_WITHIN_MS 8000

/* Its exit code, or 128 + signal. */
static int end_soon(program *p, int number)
{
    long long began_ms = clock_ms();
    int code = program_stop(p, number);
    ck_assert_int_le(clock_ms() - began_ms, ENDS_WITHIN_MS);
    return code;
}

/* A pipe that is full and that nothing reads. */
static const char *full_pipe(int *ret_fd)
{
    static char filling[4096];
    const char *path = fifo_make("full");
    *ret_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(*ret_fd, 0);
    memset(filling, '\n', sizeof(filling));
    for (size_t bytes = sizeof(filling); bytes > 0; bytes /= 2) {
        while (write(*ret_fd, filling, bytes) > 0) {
        }
    }
    return path;
}

START_TEST(command_that_closed_its_output_keeps_nothing_from_ending)
{
    int number = _i == 0 ? SIGTERM : SIGINT;
    char script[512];
    const char *reached = fifo_make("reached");
    snprintf(script, sizeof(script),
             "exec \"$HAKUBAN_BIN/hakuban\" expose 1 --every 1s -- "
             "sh -c 'echo 1; exec >&-; exec 2>&-; : >%s; exec sleep 60'",
             reached);
    program *exposer = shell(script);
    program *observer = program_run("hakuban", "observe", "1", NULL);
    fifo_await(reached); /* it is in the middle of its command */
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

static bool is_full(int pipe_fd)
{
    int bytes = 0, room = fcntl(pipe_fd, F_GETPIPE_SZ);
    ck_assert_int_eq(ioctl(pipe_fd, FIONREAD, &bytes), 0);
    return bytes == room;
}

static bool has_ended(const program *p)
{
    siginfo_t what = {.si_pid = 0};
    ck_assert_int_eq(waitid(P_PID, (id_t)program_pid(p), &what, WEXITED | WNOWAIT | WNOHANG), 0);
    return what.si_pid == program_pid(p);
}

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
    AWAIT(is_full(program_fd(observer, 1)));
    program_signal(observer, SIGTERM);
    long long began_ms = clock_ms();
    AWAIT(has_ended(observer)); /* before anything was read */
    ck_assert_int_le(clock_ms() - began_ms, ENDS_WITHIN_MS);
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
    int watch = file_watch(conf);
    for (int i = 0; i < 300; i++) {
        program_signal(second, SIGHUP);
        file_await_read(watch);
    }
    close(watch);
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
    const char *path = fifo_make("silent");
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
    snprintf(conf, sizeof(conf), "%s", fifo_make("piped.conf"));
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
    TCase *tcase = programs_case("waiting", 1);
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
    return programs_run(tcase, "waiting");
}
