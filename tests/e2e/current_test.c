/* Current means current: get, expose --every and expose --watch give what is so now, and an exit
 * code does not depend on how soon the input comes. */
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

#include "router_fixture.h"

static program *observe_raw(void)
{
    return program_run("hakuban", "observe", "--raw", "1", NULL);
}

/* -- Get and --every -- */

static long long got(void)
{
    program *get = program_run("hakuban", "get", "--raw", "--for", "20s", "1", NULL);
    long long value = strtoll(program_line(get), NULL, 10);
    ck_assert_int_eq(program_end(get), 0);
    return value;
}

START_TEST(get_gives_a_state_that_was_made_for_it)
{
    program *exposer =
        program_run("hakuban", "expose", "1", "--every", "1s", "--", "date", "+%s", NULL);
    long long first = got();
    AWAIT(time(NULL) >= first + 3); /* without an observer: that value becomes old */
    long long now = (long long)time(NULL);
    ck_assert_int_ge(got(), now);
    stop_well(exposer);
}
END_TEST

/* Lines of the program's stdout, sorted, one behind the other. */
static const char *sorted_lines(program *p)
{
    static char all[200];
    char lines[8][20];
    size_t count = 0;
    const char *line;
    while ((line = program_line(p)) != NULL) {
        ck_assert_uint_lt(count, 8);
        (void)snprintf(lines[count++], sizeof(lines[0]), "%s", line);
    }
    qsort(lines, count, sizeof(lines[0]), (int (*)(const void *, const void *))strcmp);
    all[0] = 0;
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", lines[i]);
    }
    return all;
}

static program *get_all(const char *how_long)
{
    return program_run("hakuban", "get", "--raw", "--all", "--for", how_long, "--tag", "\"t\"",
                       "--tag", "\"u\"", NULL);
}

START_TEST(get_all_waits_for_the_first_state_of_each_object)
{
    program *quick = program_run("hakuban", "expose", "--keep", "--tag", "\"t\"", "1", NULL);
    program *slow = program_run("hakuban", "expose", "2", "--tag", "\"t\"", "--tag", "\"u\"",
                                "--every", "1h", "--", "sh", "-c", "sleep 1; echo 22", NULL);
    program *draining =
        program_run("hakuban", "expose", "--capacity", "0", "--tag", "\"u\"", "3", NULL);
    program_write(quick, "11\n");
    program *watching = program_run("hakuban", "observe", "--tag", "\"t\"", "--tag", "\"u\"", NULL);
    for (int opens = 0; opens < 3; opens++) {
        program_find(watching, "\"event\":\"open\"");
    }
    stop_well(watching);
    program *get = get_all("20s");
    ck_assert_str_eq(sorted_lines(get), "11 22 ");
    ck_assert_int_eq(program_end(get), 0);
    stop_well(quick);
    stop_well(slow);
    stop_well(draining);
}
END_TEST

START_TEST(get_all_prints_what_there_is_when_the_time_is_over)
{
    program *exposer = program_run("hakuban", "expose", "--keep", "--tag", "\"t\"", "1", NULL);
    program *silent = program_run("hakuban", "expose", "--keep", "--tag", "\"t\"", "2", NULL);
    program_write(exposer, "11\n");
    program *watching = program_run("hakuban", "observe", "--tag", "\"t\"", "1", NULL);
    program_find(watching, "\"data\":11");
    program *waiting = program_run("hakuban", "observe", "--tag", "\"t\"", "2", NULL);
    program_find(waiting, "\"source\":\"assigned\"");
    program *get = get_all("4s"); /* two programs have to find each other meanwhile */
    ck_assert_str_eq(sorted_lines(get), "11 ");
    program_find_error(get, "the states were not complete after 4000 ms");
    ck_assert_int_eq(program_end(get), 1);
    stop_well(watching);
    stop_well(waiting);
    stop_well(exposer);
    stop_well(silent);
    get = get_all("20s"); /* nothing at all is complete */
    ck_assert_str_eq(sorted_lines(get), "");
    ck_assert_int_eq(program_end(get), 0);
}
END_TEST

START_TEST(exposer_can_tell_why_there_is_no_state)
{
    program *exposer =
        program_run("hakuban", "expose", "--format", "ERROR", "{\"table\":\"x\"}", NULL);
    program_write(exposer, "no such table: \x1b[31mx\n");
    program *get = program_run("hakuban", "get", "--for", "20s", "{\"table\":\"x\"}", NULL);
    const char *line = program_line(get);
    ck_assert_ptr_nonnull(strstr(line, "\"format\":[\"ERROR\"]"));
    ck_assert_ptr_nonnull(strstr(line, "\"error\":\"no such table: \\u001b[31mx\"}"));
    ck_assert_int_eq(program_end(get), 1);
    get = program_run("hakuban", "get", "--raw", "--for", "20s", "{\"table\":\"x\"}", NULL);
    program_find_error(get, "hakuban: {\"table\":\"x\"}: no such table: ");
    ck_assert_ptr_null(program_line(get));
    ck_assert_int_eq(program_end(get), 1);
    /* Another exposer knows better. */
    stop_well(exposer);
    exposer = program_run("hakuban", "expose", "{\"table\":\"x\"}", NULL);
    program_write(exposer, "5\n");
    get = program_run("hakuban", "get", "--raw", "--for", "20s", "{\"table\":\"x\"}", NULL);
    says(get, "5");
    ck_assert_int_eq(program_end(get), 0);
    stop_well(exposer);
}
END_TEST

START_TEST(command_runs_when_an_observer_comes_however_long_its_period)
{
    program *exposer =
        program_run("hakuban", "expose", "1", "--every", "1h", "--", "date", "+%s", NULL);
    for (int i = 0; i < 3; i++) {
        program *observer = program_run("hakuban", "observe", "1", NULL);
        program_find(observer, "\"synchronized\":true");
        stop_well(observer);
    }
    stop_well(exposer);
}
END_TEST

START_TEST(get_gives_the_last_state_where_no_exposer_is_there)
{
    program *observer = observe_raw();
    program *exposer = program_run("hakuban", "expose", "1", NULL);
    program_write(exposer, "\"last\"\n");
    says(observer, "\"last\"");
    stop_well(exposer);
    program *get = program_run("hakuban", "get", "--for", "20s", "1", NULL);
    program_find(get, "\"synchronized\":false");
    ck_assert_int_eq(program_end(get), 0);
    stop_well(observer);
}
END_TEST

START_TEST(get_of_an_exposer_that_says_nothing_fails_in_words)
{
    program *observer = observe_raw();
    program *first = program_run("hakuban", "expose", "1", NULL);
    program_write(first, "\"old\"\n");
    says(observer, "\"old\"");
    stop_well(first);
    program *silent = program_run("hakuban", "expose", "-v", "1", NULL);
    program_find_error(silent, "connected");
    program *get = program_run("hakuban", "get", "--for", "3s", "1", NULL);
    program_find_error(get, "no current state within 3000 ms");
    ck_assert_int_eq(program_end(get), 1);
    stop_well(silent);
    stop_well(observer);
}
END_TEST

/* -- Watching a file -- */

static program *watch(const char *path)
{
    return program_run("hakuban", "expose", "--watch", "--file", path, "1", NULL);
}

/* Puts text in the place of one that is as long: the file is never empty meanwhile. */
static void write_over(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(content_that_is_wrong_is_reported_once)
{
    static const time_t ages_s[] = {0, -86400}; /* the second: times of another machine's clock */
    const char *path = scratch_path("wrong.json");
    struct timespec times[2];
    scratch_write(path, "{wrong\n");
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= ages_s[_i];
    times[1] = times[0];
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    program *observer = observe_raw();
    program *exposer = watch(path);
    program_find_error(exposer, "line 1, column 2");
    int watch = file_watch(path);
    for (int i = 0; i < 3; i++) {
        write_over(path, "{wrong\n");
        file_await_read(watch);
    }
    close(watch);
    write_over(path, "\"good\"\n");
    says(observer, "\"good\"");
    program_signal(exposer, SIGTERM);
    ck_assert_uint_eq(program_count_errors(exposer, "line 1"), 0);
    ck_assert_int_eq(program_end(exposer), 0);
    stop_well(observer);
}
END_TEST

START_TEST(file_that_the_kernel_makes_is_watched)
{
    program *observer = observe_raw();
    program *exposer = program_run("hakuban", "expose", "--watch", "--format", "TEXT", "--file",
                                   "/proc/uptime", "1", NULL);
    for (int i = 0; i < 3; i++) {
        const char *line = program_line(observer);
        ck_assert_ptr_nonnull(line);
        ck_assert_str_eq(program_line(observer), ""); /* the content has a newline of its own */
    }
    stop_well(exposer);
    stop_well(observer);
}
END_TEST

START_TEST(every_way_to_change_a_file_is_seen)
{
    char path[256], other[256], command[1024];
    snprintf(path, sizeof(path), "%s", scratch_path("it"));
    snprintf(other, sizeof(other), "%s", scratch_path("other"));
    scratch_write(path, "0\n");
    program *observer = observe_raw();
    program *exposer = watch(path);
    says(observer, "0");
    scratch_write(path, "1\n"); /* written again */
    says(observer, "1");
    scratch_write(other, "2\n"); /* another is put in its place */
    ck_assert_int_eq(rename(other, path), 0);
    says(observer, "2");
    scratch_write(path, "3\n"); /* the new one is written again */
    says(observer, "3");
    ck_assert_int_eq(unlink(path), 0); /* it goes and comes back */
    program_find_error(exposer, "No such file");
    scratch_write(path, "4\n");
    says(observer, "4");
    scratch_write(other, "5\n"); /* a symbolic link takes its place, and the target changes */
    snprintf(command, sizeof(command), "%s.link", path);
    ck_assert_int_eq(symlink(other, command), 0);
    ck_assert_int_eq(rename(command, path), 0);
    says(observer, "5");
    scratch_write(other, "6\n");
    says(observer, "6");
    /* Quick changes of the same size: the last is the one that stays. */
    for (int i = 100; i < 300; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d\n", i);
        scratch_write(path, text);
    }
    ck_assert_str_eq(program_find(observer, "299"), "299");
    stop_well(exposer);
    stop_well(observer);
}
END_TEST

/* -- Input -- */

START_TEST(exit_code_is_the_same_whenever_the_input_comes)
{
    static const struct {
        const char *input, *said;
        int exit_code;
    } inputs[] = {{"{bad\n", "line 1, column 2", 1}, {"", NULL, 0}};
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        for (int late = 0; late <= 1; late++) {
            program *exposer = program_run("hakuban", "expose", "-v", "1", NULL);
            if (late) {
                program_find_error(exposer, ": connected");
            }
            program_write(exposer, inputs[i].input);
            program_close_input(exposer);
            if (inputs[i].said) {
                program_find_error(exposer, inputs[i].said);
            }
            ck_assert_uint_eq(program_count_errors(exposer, "not connected"), 0);
            ck_assert_int_eq(program_end(exposer), inputs[i].exit_code);
        }
    }
}
END_TEST

START_TEST(document_of_several_lines_is_refused_with_a_hint)
{
    program *observer = observe_raw();
    program *exposer = program_run("hakuban", "expose", "1", NULL);
    program_write(exposer, "[\n 1,\n 2\n]\n");
    program_find_error(exposer, "--file -");
    ck_assert_int_eq(program_end(exposer), 1);
    exposer = program_run("hakuban", "expose", "--file", "-", "1", NULL);
    program_write(exposer, "[\n 1,\n 2\n]\n");
    program_close_input(exposer);
    says(observer, "["); /* and no 2 before it */
    says(observer, " 1,");
    ck_assert_int_eq(program_end(exposer), 0);
    stop_well(observer);
}
END_TEST

START_TEST(pipe_is_a_file_that_is_read_to_its_end)
{
    char path[256];
    snprintf(path, sizeof(path), "%s", fifo_make("pipe"));
    program *observer = observe_raw();
    program *exposer = watch(path);
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        scratch_write(path, text);
        says(observer, text);
    }
    stop_well(exposer);
    stop_well(observer);
}
END_TEST

START_TEST(byte_order_mark_is_named_or_skipped)
{
    const char *path = scratch_path("marked");
    scratch_write(path, "\xef\xbb\xbf{\"a\":1}\n");
    program *exposer = program_run("hakuban", "expose", "--file", path, "1", NULL);
    program_find_error(exposer, "byte order mark");
    ck_assert_int_eq(program_end(exposer), 1);
    scratch_write(path, "\xef\xbb\xbf"
                        "bind tcp://127.0.0.1:0\n");
    program *second = program_run("hakuban-router", "--config", path, NULL);
    program_find(second, "listening tcp://127.0.0.1:");
    stop_well(second);
}
END_TEST

START_TEST(output_counts_when_the_command_has_ended)
{
    program *exposer = shell("exec \"$HAKUBAN_BIN/hakuban\" expose 1 --every 200ms -- "
                             "sh -c 'sleep 60 2>/dev/null & echo \"\\\"done\\\"\"'");
    program *observer = observe_raw();
    says(observer, "\"done\"");
    stop_well(observer);
    stop_well(exposer);
}
END_TEST

int main(void)
{
    TCase *tcase = programs_case("current", 1);
    tcase_add_test(tcase, get_gives_a_state_that_was_made_for_it);
    tcase_add_test(tcase, get_all_waits_for_the_first_state_of_each_object);
    tcase_add_test(tcase, get_all_prints_what_there_is_when_the_time_is_over);
    tcase_add_test(tcase, exposer_can_tell_why_there_is_no_state);
    tcase_add_test(tcase, command_runs_when_an_observer_comes_however_long_its_period);
    tcase_add_test(tcase, get_gives_the_last_state_where_no_exposer_is_there);
    tcase_add_test(tcase, get_of_an_exposer_that_says_nothing_fails_in_words);
    tcase_add_loop_test(tcase, content_that_is_wrong_is_reported_once, 0, 2);
    tcase_add_test(tcase, file_that_the_kernel_makes_is_watched);
    tcase_add_test(tcase, every_way_to_change_a_file_is_seen);
    tcase_add_test(tcase, exit_code_is_the_same_whenever_the_input_comes);
    tcase_add_test(tcase, document_of_several_lines_is_refused_with_a_hint);
    tcase_add_test(tcase, pipe_is_a_file_that_is_read_to_its_end);
    tcase_add_test(tcase, byte_order_mark_is_named_or_skipped);
    tcase_add_test(tcase, output_counts_when_the_command_has_ended);
    return programs_run(tcase, "current");
}
