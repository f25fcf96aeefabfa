/* A router's limits of memory in an operator's hands: what the options say, what the process may
 * have, and what becomes of programs that make the router keep more. */
#define _GNU_SOURCE
#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

#define TAG "\"stats\""
#define MIB ((uint64_t)1024 * 1024)

/* A file with a JSON string of this length. */
static const char *file_of(const char *name, size_t bytes)
{
    const char *path = scratch_path(name);
    char *text = malloc(bytes + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', bytes);
    text[0] = text[bytes - 1] = '"';
    text[bytes] = 0;
    scratch_write(path, text);
    free(text);
    return path;
}

/* The same, of letters in no order: to compress it saves little. */
static const char *noise_of(const char *name, size_t bytes)
{
    const char *path = file_of(name, bytes);
    FILE *file = fopen(path, "r+");
    uint32_t random = 1;
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 1, SEEK_SET), 0);
    for (size_t i = 2; i < bytes; i++) {
        random = random * 1664525u + 1013904223u;
        (void)fputc('A' + (int)(random >> 24) % 26, file);
    }
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static program *expose_file(const char *url, const char *file, const char *object)
{
    return program_run("hakuban", "expose", "-c", url, "--keep", "--file", file, object, NULL);
}

static program *observe_raw(const char *url, const char *object)
{
    return program_run("hakuban", "observe", "-c", url, "--raw", object, NULL);
}

/* The statistic of the router, as its --stats-tag has it. */
static uint64_t memory_limit_of(const char *url)
{
    program *snapshot =
        program_run("hakuban", "snapshot", "-c", url, "--stats-tag", TAG, "--json", NULL);
    const char *line = program_line(snapshot);
    ck_assert_ptr_nonnull(line);
    const char *at = strstr(line, "\"memory_bytes_max\":");
    ck_assert_msg(at != NULL, "%s", line);
    uint64_t bytes = strtoull(at + strlen("\"memory_bytes_max\":"), NULL, 10);
    ck_assert_int_eq(program_end(snapshot), 0);
    return bytes;
}

/* What it was just sending again may not have arrived: then it says so, and ends with 1. */
static void stop_greedy(program *greedy)
{
    int code = program_stop(greedy, SIGTERM);
    ck_assert_msg(code == 0 || code == 1, "%d", code);
}

/* Clients of the router at url, each with an observer at above: one exposes too much and is told
 * so, the other goes on. */
static void check_greedy_is_told(const char *url, const char *above, const char *error)
{
    program *good = program_run("hakuban", "expose", "-c", url, "\"good\"", NULL);
    program *reader = observe_raw(above, "\"good\"");
    program_write(good, "1\n");
    (void)program_find(reader, "1");
    program *greedy = expose_file(url, file_of("greedy", 2 * MIB), "\"big\"");
    program *wants = observe_raw(above, "\"big\"");
    (void)program_find_error(greedy, error);
    program_write(good, "2\n");
    (void)program_find(reader, "2");
    stop_greedy(greedy);
    ck_assert_int_eq(program_stop(wants, SIGTERM), 0);
    ck_assert_int_eq(program_stop(good, SIGTERM), 0);
    ck_assert_int_eq(program_stop(reader, SIGTERM), 0);
}

START_TEST(client_beyond_the_link_limit_is_told_and_the_others_go_on)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--link-limit", "1M", NULL);
    check_greedy_is_told(url, url, "more than 1048576 bytes are kept for this connection");
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(client_that_leaves_says_that_its_last_state_was_not_taken)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--link-limit", "1M", NULL);
    program *wants = observe_raw(url, "\"big\"");
    program *leaves = program_run("hakuban", "expose", "-c", url, "--file",
                                  noise_of("greedy", 3 * MIB), "\"big\"", NULL);
    (void)program_find_error(leaves, "the last state may not have arrived");
    ck_assert_int_eq(program_end(leaves), 1);
    ck_assert_int_eq(program_stop(wants, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(one_client_gets_half_of_the_memory_limit_by_default)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--memory-limit", "8M", NULL);
    program *greedy = expose_file(url, file_of("greedy", 5 * MIB), "\"big\"");
    program *wants = observe_raw(url, "\"big\"");
    (void)program_find_error(greedy, "more than 4194304 bytes are kept for this connection");
    stop_greedy(greedy);
    ck_assert_int_eq(program_stop(wants, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(client_that_holds_most_is_told_when_the_router_is_full)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--memory-limit", "8M", "--link-limit", "none", NULL);
    program *good = expose_file(url, file_of("good", MIB), "\"good\"");
    program *reader = observe_raw(url, "\"good\"");
    (void)program_find(reader, "x");
    program *greedy = expose_file(url, noise_of("greedy", 9 * MIB), "\"big\"");
    program *wants = observe_raw(url, "\"big\"");
    (void)program_find_error(greedy, "this hub has no room within its 8388608 bytes of memory, and "
                                     "most of it");
    stop_greedy(greedy);
    ck_assert_int_eq(program_stop(wants, SIGTERM), 0);
    program_signal(good, SIGTERM);
    ck_assert_uint_eq(program_count_errors(good, "no room"), 0);
    ck_assert_int_eq(program_end(good), 0);
    ck_assert_int_eq(program_stop(reader, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(client_below_a_hub_is_told_before_the_hub_itself_is_cut)
{
    char top_url[URL_BYTES], url[URL_BYTES];
    program *top = router_run(top_url, NULL, "--link-limit", "1M", NULL);
    program *hub = router_run(url, NULL, "-c", top_url, NULL);
    check_greedy_is_told(url, top_url, "the hub above this one keeps no more than 1048576 bytes");
    ck_assert_int_eq(program_stop(hub, SIGTERM), 0);
    program_signal(top, SIGTERM);
    ck_assert_uint_eq(program_count_errors(top, "kept for this connection"), 0);
    ck_assert_int_eq(program_end(top), 0);
}
END_TEST

START_TEST(sizes_may_have_a_unit)
{
    static const struct {
        const char *said;
        uint64_t bytes;
    } sizes[] = {{"123456789", 123456789},
                 {"200000k", 200000 * 1024},
                 {"300M", 300 * MIB},
                 {"2G", 2048 * MIB},
                 {"none", 0}};
    char url[URL_BYTES], text[64];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        program *router =
            router_run(url, NULL, "--stats-tag", TAG, "--memory-limit", sizes[i].said, NULL);
        ck_assert_uint_eq(memory_limit_of(url), sizes[i].bytes);
        ck_assert_int_eq(program_stop(router, SIGTERM), 0);
    }
    /* the command line comes first, the file second */
    const char *path = scratch_path("limits.conf");
    (void)snprintf(text, sizeof(text), "memory-limit 300M\nstats-tag %s\n", TAG);
    scratch_write(path, text);
    program *router = router_run(url, NULL, "--config", path, NULL);
    ck_assert_uint_eq(memory_limit_of(url), 300 * MIB);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
    router = router_run(url, NULL, "--config", path, "--memory-limit", "400M", NULL);
    ck_assert_uint_eq(memory_limit_of(url), 400 * MIB);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
START_TEST(router_that_is_told_nothing_keeps_below_what_its_process_may_have)
{
    char url[URL_BYTES];
    program *router = program_run("/bin/sh", "-c",
                                  "ulimit -d 200000; exec \"$HAKUBAN_BIN/hakuban-router\" -b "
                                  "tcp://127.0.0.1:0 --stats-tag '" TAG "'",
                                  NULL);
    const char *line = program_find(router, "listening ");
    (void)snprintf(url, sizeof(url), "%s", strstr(line, "tcp://"));
    uint64_t bytes = memory_limit_of(url);
    ck_assert_msg(bytes > 0 && bytes <= 200000 * 1024 / 4 * 3, "%" PRIu64, bytes);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST
#endif

START_TEST(another_limit_in_the_file_needs_a_restart)
{
    char url[URL_BYTES];
    const char *path = scratch_path("again.conf");
    scratch_write(path, "memory-limit 300M\nstats-tag " TAG "\n");
    program *router = router_run(url, NULL, "--config", path, NULL);
    scratch_write(path, "memory-limit 400M\nstats-tag " TAG "\n");
    program_signal(router, SIGHUP);
    (void)program_find_error(router, "a new memory-limit or link-limit needs a restart");
    ck_assert_uint_eq(memory_limit_of(url), 300 * MIB);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 100);
    tcase_add_test(all, client_beyond_the_link_limit_is_told_and_the_others_go_on);
    tcase_add_test(all, client_that_leaves_says_that_its_last_state_was_not_taken);
    tcase_add_test(all, one_client_gets_half_of_the_memory_limit_by_default);
    tcase_add_test(all, client_that_holds_most_is_told_when_the_router_is_full);
    tcase_add_test(all, client_below_a_hub_is_told_before_the_hub_itself_is_cut);
    tcase_add_test(all, sizes_may_have_a_unit);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) /* they need far more */
    tcase_add_test(all, router_that_is_told_nothing_keeps_below_what_its_process_may_have);
#endif
    tcase_add_test(all, another_limit_in_the_file_needs_a_restart);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
