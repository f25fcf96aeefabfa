/* What tests of the programs have in common: a router to which $HAKUBAN_URL leads, small steps with
 * programs, waiting for a condition, one test case. */
#ifndef TESTS_SUPPORT_ROUTER_FIXTURE_H
#define TESTS_SUPPORT_ROUTER_FIXTURE_H

#include <check.h>

#include "programs.h"

/* From start_router() to stop_router(). */
extern char url[URL_BYTES];
extern program *router;

void start_router(void);
void stop_router(void);

program *shell(const char *script);
/* SIGTERM, and exit code 0. */
void stop_well(program *p);
/* The next line of stdout is this one. */
void says(program *p, const char *line);
/* A state goes through the router at the address. */
void check_serves(const char *at);

long long clock_ms(void);
/* For what no descriptor tells: looks until it is so; after a generous time the test fails. */
#define AWAIT(condition)                                                                           \
    for (long long await_until_ms = clock_ms() + 25000; !(condition); await_moment()) {            \
        ck_assert_msg(clock_ms() < await_until_ms, "waited too long for %s", #condition);          \
    }
void await_moment(void);

/* A named pipe in the scratch folder, empty. */
const char *fifo_make(const char *name);
/* Waits until a program has opened it for writing and closed it again. */
void fifo_await(const char *path);

/* Tells how often a file was read. */
int file_watch(const char *path);
/* Waits until it was opened and closed again by a reader. */
void file_await_read(int watch);

/* A test case with a time limit that suits programs; has_router: with a router for each test. */
TCase *programs_case(const char *name, int has_router);
/* Runs it; the exit code of main(). */
int programs_run(TCase *tcase, const char *name);

#endif
