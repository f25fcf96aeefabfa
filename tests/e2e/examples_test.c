/* Each example is run as its first lines say, and does what they promise. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

static char url[URL_BYTES];
static program *router;

static void start_router(void)
{
    router = router_run(url, NULL, NULL);
}

static void stop_router(void)
{
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}

START_TEST(hello_says_hello_within_itself_and_over_a_router)
{
    program *hello = program_run("examples/hello", _i ? url : NULL, NULL);
    ck_assert_str_eq(program_line(hello), "{\"text\":\"Hello, world\"}");
    ck_assert_int_eq(program_end(hello), 0);
}
END_TEST

START_TEST(top_of_all_shows_every_exchange)
{
    program *first = program_run("examples/all-top", url, "--name", "one", "--every", "50ms", NULL);
    program *second = program_run("examples/all-top", url, "--name", "two", "--every", "50ms",
                                  "--count", "20", NULL);
    program_find(second, "one ");
    program_find(second, "updates seen: 2");
    ck_assert_int_eq(program_end(second), 0);
    program_find(first, "two ");
    ck_assert_int_eq(program_stop(first, SIGINT), 0);
    program *third = program_run("examples/all-top", url, "--for", "1s", NULL);
    program_find(third, "objects: 1");
    ck_assert_int_eq(program_end(third), 0);
    program *wrong = program_run("examples/all-top", "--every", "never", NULL);
    program_find_error(wrong, "usage: all-top");
    ck_assert_int_eq(program_end(wrong), 2);
}
END_TEST

START_TEST(worker_pool_shares_the_work_and_survives_a_loss)
{
    program *pool = program_run("examples/worker-pool", url, NULL);
    unsigned jobs = 0;
    for (int i = 1; i <= 3; i++) {
        unsigned share = 0;
        const char *line = program_find(pool, "worker ");
        ck_assert_int_eq(sscanf(line, "worker %*d does %u of 12 jobs", &share), 1);
        ck_assert_uint_gt(share, 0);
        jobs += share;
    }
    ck_assert_uint_eq(jobs, 12);
    program_find(pool, "killing worker 2");
    program_find(pool, "worker 2 does 0 of 12 jobs");
    ck_assert_int_eq(program_end(pool), 0);
}
END_TEST

static long long term_of(const char *line)
{
    long long term = 0;
    const char *at = strstr(line, "term ");
    ck_assert(at && sscanf(at, "term %lld", &term) == 1);
    return term;
}

START_TEST(leader_is_one_of_many_and_has_a_successor)
{
    program *first = program_run("examples/leader", url, "one", NULL);
    long long term = term_of(program_find(first, "one leads"));
    program *second = program_run("examples/leader", url, "two", NULL);
    program *watch = program_run("hakuban", "observe", "-c", url, "--tag", "\"leader\"", NULL);
    program_find(watch, "\"leader\":\"one\"");
    /* A leader that dies without a word. */
    program_signal(first, SIGKILL);
    long long next =
        term_of(program_find(second, "two leads")); /* its first line: it never led before */
    ck_assert_int_gt(next, term);
    program_find(watch, "\"leader\":\"two\"");
    /* One that ends in order. */
    program *third = program_run("examples/leader", url, "three", NULL);
    program *get =
        program_run("hakuban", "get", "-c", url, "--tag", "\"leader\"", "\"office\"", NULL);
    ck_assert_ptr_nonnull(strstr(program_line(get), "\"two\""));
    ck_assert_int_eq(program_end(get), 0);
    ck_assert_int_eq(program_stop(second, SIGTERM), 0);
    ck_assert_int_gt(term_of(program_find(third, "three leads")), next);
    ck_assert_int_eq(program_stop(third, SIGINT), 0);
    ck_assert_int_eq(program_end(first), 128 + SIGKILL);
    ck_assert_int_eq(program_stop(watch, SIGTERM), 0);
    program *wrong = program_run("examples/leader", url, NULL);
    program_find_error(wrong, "usage: leader");
    ck_assert_int_eq(program_end(wrong), 2);
}
END_TEST

START_TEST(embed_poll_observes_from_a_loop_of_its_own)
{
    program *embedded = program_run("examples/embed-poll", url, "2", NULL);
    program *exposer = program_run("hakuban", "expose", "-c", url, "--tag", "\"hello\"", "9", NULL);
    program_write(exposer, "\"one\"\n");
    ck_assert_str_eq(program_line(embedded), "9 \"one\"");
    program_write(exposer, "\"two\"\n");
    ck_assert_str_eq(program_line(embedded), "9 \"two\"");
    ck_assert_int_eq(program_end(embedded), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
}
END_TEST

/* The whole of a file of the source tree. */
static char *read_source(const char *name)
{
    char path[512];
    const char *folder = getenv("HAKUBAN_SOURCE");
    snprintf(path, sizeof(path), "%s/%s", folder ? folder : ".", name);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    static char buffers[2][65536];
    static unsigned next;
    char *buffer = buffers[next++ % 2];
    size_t bytes = fread(buffer, 1, sizeof(buffers[0]) - 1, file);
    buffer[bytes] = '\0';
    fclose(file);
    return buffer;
}

START_TEST(readme_shows_the_code_of_hello)
{
    char *readme = read_source("README.md"), *hello = read_source("examples/hello.c");
    char *block = strstr(readme, "```c\n");
    ck_assert_ptr_nonnull(block);
    *strstr(block + 5, "\n```") = '\0';
    unsigned lines = 0;
    char *rest = NULL;
    for (char *line = strtok_r(block + 5, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        line += strspn(line, " ");
        hello = strstr(hello, line);
        ck_assert_msg(hello != NULL, "examples/hello.c lacks: %s", line);
        lines++;
    }
    ck_assert_uint_gt(lines, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples");
    TCase *tcase = tcase_create("examples");
    tcase_add_checked_fixture(tcase, start_router, stop_router);
    tcase_add_loop_test(tcase, hello_says_hello_within_itself_and_over_a_router, 0, 2);
    tcase_add_test(tcase, top_of_all_shows_every_exchange);
    tcase_add_test(tcase, worker_pool_shares_the_work_and_survives_a_loss);
    tcase_add_test(tcase, leader_is_one_of_many_and_has_a_successor);
    tcase_add_test(tcase, embed_poll_observes_from_a_loop_of_its_own);
    tcase_add_test(tcase, readme_shows_the_code_of_hello);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
