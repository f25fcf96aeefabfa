/* See router_fixture.h. */
#define _GNU_SOURCE
#include "router_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 25000

char url[URL_BYTES];
program *router;

void start_router(void)
{
    router = router_run(url, NULL, NULL);
    setenv("HAKUBAN_URL", url, 1);
}

void stop_router(void)
{
    stop_well(router);
}

program *shell(const char *script)
{
    return program_run("/bin/sh", "-c", script, NULL);
}

void stop_well(program *p)
{
    ck_assert_int_eq(program_stop(p, SIGTERM), 0);
}

void says(program *p, const char *line)
{
    ck_assert_str_eq(program_line(p), line);
}

void check_serves(const char *at)
{
    program *exposer = program_run("hakuban", "expose", "-c", at, "--keep", "7", NULL);
    program_write(exposer, "\"served\"\n");
    program *get = program_run("hakuban", "get", "-c", at, "--raw", "--for", "20s", "7", NULL);
    says(get, "\"served\"");
    ck_assert_int_eq(program_end(get), 0);
    stop_well(exposer);
}

long long clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

void await_moment(void)
{
    (void)poll(NULL, 0, 5);
}

const char *fifo_make(const char *name)
{
    const char *path = scratch_path(name);
    (void)unlink(path); /* of the test before, where tests share a process */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    return path;
}

void fifo_await(const char *path)
{
    struct pollfd fifo = {.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), .events = POLLIN};
    ck_assert_int_ge(fifo.fd, 0);
    ck_assert_msg(poll(&fifo, 1, WAIT_MS) == 1, "waited too long for a writer of %s", path);
    (void)close(fifo.fd);
}

int file_watch(const char *path)
{
    int watch = inotify_init1(IN_CLOEXEC);
    ck_assert_int_ge(watch, 0);
    ck_assert_int_ge(inotify_add_watch(watch, path, IN_CLOSE_NOWRITE), 0);
    return watch;
}

void file_await_read(int watch)
{
    struct inotify_event event;
    struct pollfd ready = {.fd = watch, .events = POLLIN};
    ck_assert_msg(poll(&ready, 1, WAIT_MS) == 1, "waited too long for a reader of the file");
    ck_assert_int_eq(read(watch, &event, sizeof(event)), sizeof(event));
}

TCase *programs_case(const char *name, int has_router)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    if (has_router) {
        tcase_add_checked_fixture(tcase, start_router, stop_router);
    }
    return tcase;
}

int programs_run(TCase *tcase, const char *name)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
