/* A tree of routers, exposers and observers in a storm: programs are killed, stopped, ended and started again, from a seed.
 * Then the storm ends, and every observer must hold what the last exposer said; none may ever have seen a version go back. */
#define _GNU_SOURCE
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

enum { ROUTERS = 3, EXPOSERS = 3, OBSERVERS = 4, STEPS = 150 };

static char urls[ROUTERS][URL_BYTES];
static program *routers[ROUTERS], *exposers[EXPOSERS], *observers[OBSERVERS];
static uint64_t dice;

static unsigned roll(unsigned sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % sides;
}

static void start_router(unsigned i)
{
    char unused[URL_BYTES];
    routers[i] = i == 0 ? router_run(unused, urls[0], NULL)
                        : router_run(unused, urls[i], "-c", urls[0], NULL);
}

static void start_exposer(unsigned i)
{
    exposers[i] = program_run("hakuban", "expose", "-c", urls[i], "--tag", "\"t\"", "1", NULL);
}

/* -1, 0 or 1 for the versions of two lines. */
static int compare_versions(const char *a, const char *b)
{
    for (;;) {
        char *a_end, *b_end;
        long long x = strtoll(a, &a_end, 10), y = strtoll(b, &b_end, 10);
        if (x != y) {
            return x < y ? -1 : 1;
        }
        if (*a_end != ',' || *b_end != ',') {
            return (*a_end == ',') - (*b_end == ',');
        }
        a = a_end + 1;
        b = b_end + 1;
    }
}

/* Reads on until the observer is synchronized with the end. */
static void check_observer(program *observer)
{
    char version[256] = "";
    int at_end = 0, synchronized = 0;
    while (!at_end || !synchronized) {
        const char *line = program_line(observer);
        ck_assert_msg(line != NULL, "an observer ended");
        if (strstr(line, "\"synchronized\":")) {
            synchronized = strstr(line, "\"synchronized\":true") != NULL;
        }
        const char *at = strstr(line, "\"version\":[");
        if (at) {
            at += strlen("\"version\":[");
            ck_assert_msg(!version[0] || compare_versions(version, at) < 0,
                          "a version went back: %s then %s", version, line);
            snprintf(version, sizeof(version), "%s", at);
            at_end = strstr(line, "\"data\":\"the end\"}") != NULL;
        }
    }
}

START_TEST(after_a_storm_everybody_has_the_last_state)
{
    dice = (uint64_t)_i * 7919 + 1;
    for (unsigned i = 0; i < ROUTERS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", i);
        snprintf(urls[i], URL_BYTES, "unix://%s", scratch_path(name));
    }
    for (unsigned i = 0; i < ROUTERS; i++) {
        start_router(i);
    }
    for (unsigned i = 0; i < OBSERVERS; i++) {
        observers[i] =
            program_run("hakuban", "observe", "-c", urls[i % ROUTERS], "--tag", "\"t\"", "1", NULL);
    }
    for (unsigned i = 0; i < EXPOSERS; i++) {
        start_exposer(i);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = roll(100), who = roll(3), hard = roll(2);
        if (what < 80) {
            char line[64];
            snprintf(line, sizeof(line), "[%u,%u]\n", who, step);
            program_write(exposers[who], line);
        } else if (what < 90) {
            program_stop(routers[who], hard ? SIGKILL : SIGTERM);
            start_router(who);
        } else {
            program_stop(exposers[who], hard ? SIGKILL : SIGTERM);
            start_exposer(who);
        }
        (void)poll(NULL, 0, (int)roll(25)); /* weather, not luck: the test holds for any pause */
    }
    for (unsigned i = 1; i < EXPOSERS; i++) {
        (void)program_stop(exposers[i], SIGTERM);
    }
    program_write(exposers[0], "\"the end\"\n");
    for (unsigned i = 0; i < OBSERVERS; i++) {
        check_observer(observers[i]);
    }
    ck_assert_int_eq(program_stop(exposers[0], SIGTERM), 0);
    for (unsigned i = 0; i < OBSERVERS; i++) {
        ck_assert_int_eq(program_stop(observers[i], SIGTERM), 0);
    }
    for (unsigned i = 0; i < ROUTERS; i++) {
        ck_assert_int_eq(program_stop(routers[i], SIGTERM), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chaos");
    TCase *tcase = tcase_create("chaos");
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, after_a_storm_everybody_has_the_last_state, 0, 4);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
