/* Hakuban inside other people's loops: GLib's and asyncio's. Each example sees what the tool
 * exposes. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"

static char url[URL_BYTES];
static program *router, *exposer;

static int is_there(const char *path)
{
    if (access(path, R_OK) == 0) {
        return 1;
    }
    printf("skipped: %s is not there\n", path);
    return 0;
}

static void start(void)
{
    router = router_run(url, NULL, NULL);
    exposer = program_run("hakuban", "expose", "-c", url, "--tag", "\"hello\"", "\"object\"",
                          "--every", "100ms", "--", "date", "+%N", NULL);
}

static void sees_three_states(program *example)
{
    for (int i = 0; i < 3; i++) {
        program_find(example, "\"object\" ");
    }
    ck_assert_int_eq(program_end(example), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}

START_TEST(glib_drives_an_exchange)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/embed-glib", getenv("HAKUBAN_EXAMPLES"));
    if (is_there(path)) {
        start();
        sees_three_states(program_run("examples/embed-glib", url, "3", NULL));
    }
}
END_TEST

/* False where the library is static or python3 is missing. */
static bool python_paths(char library[static 512], char script[static 512])
{
    snprintf(library, 512, "%s/../lib/libhakuban.so", getenv("HAKUBAN_BIN"));
    snprintf(script, 512, "%s/examples/embed-asyncio.py", getenv("HAKUBAN_SOURCE"));
    return is_there(library) && is_there("/usr/bin/env") && system("python3 -c pass") == 0;
}

START_TEST(asyncio_drives_an_exchange)
{
    char library[512], script[512];
    if (python_paths(library, script)) {
        start();
        sees_three_states(program_run("/usr/bin/env", "python3", script, library, url, "3", NULL));
    }
}
END_TEST

START_TEST(ctypes_calls_declared_functions_only)
{
    char library[512], script[512];
    if (python_paths(library, script)) {
        /* A pointer that is passed to an undeclared function is cut to 32 bits. */
        ck_assert_int_eq(
            program_end(program_run(
                "/usr/bin/env", "python3", "-c",
                "import runpy, sys\n"
                "lib = runpy.run_path(sys.argv[1])['load'](sys.argv[2])\n"
                "assert all(f.argtypes is not None for f in vars(lib).values() if callable(f))\n"
                "assert not hasattr(lib, 'hakuban_descriptor_tag_count')\n",
                script, library, NULL)),
            0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embedding");
    TCase *cases = tcase_create("loops");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, glib_drives_an_exchange);
    tcase_add_test(cases, asyncio_drives_an_exchange);
    tcase_add_test(cases, ctypes_calls_declared_functions_only);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
