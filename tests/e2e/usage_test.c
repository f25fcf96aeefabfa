/* What the programs say about wrong command lines, and with which exit code. No router is needed:
 * everything is found out before anything is connected. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"

typedef struct wrong {
    const char *words[8];
    const char *said; /* on stderr */
} wrong;

static const wrong wrongs[] = {
    {{"hakuban"}, "usage: hakuban VERB"},
    {{"hakuban", "watch"}, "hakuban: watch: there is no such verb"},
    {{"hakuban", "observe"}, "hakuban: an object or --tag is missing"},
    {{"hakuban", "get"}, "hakuban: an object or --tag is missing"},
    {{"hakuban", "get", "--all"}, "hakuban: --tag is missing"},
    {{"hakuban", "get", "--all", "--tag", "1", "2"}, "hakuban: 2: --all takes tags only"},
    {{"hakuban", "list"}, "hakuban: --tag is missing"},
    {{"hakuban", "list", "--tag", "1", "2"}, "hakuban: 2: list takes tags only"},
    {{"hakuban", "list", "--count", "1"}, "hakuban: unknown option --count"},
    {{"hakuban", "expose"}, "hakuban: the object is missing"},
    {{"hakuban", "expose", "--tag", "1"}, "hakuban: the object is missing"},
    {{"hakuban", "observe", "--tag", "cpu"}, "; did you mean '\"cpu\"'"},
    {{"hakuban", "observe", "--tag", "it's"}, "; did you mean '\"it'\\''s\"'"},
    {{"hakuban", "observe", "cpu"}, "; did you mean '\"cpu\"'"},
    {{"hakuban", "expose", "cpu"}, "hakuban: object cpu: line 1, column 1: "},
    {{"hakuban", "observe", "--tag", "{\"a\":}"}, "hakuban: --tag {\"a\":}: line 1, column 6: "},
    {{"hakuban", "observe", "{\"a\":\n  tru}"}, "line 2, column "},
    {{"hakuban", "observe", "1", "2"}, "hakuban: 2: one object is enough, and 1 came before"},
    {{"hakuban", "observe", "--tag"}, "hakuban: --tag needs a value"},
    {{"hakuban", "observe", "-c"}, "hakuban: -c needs a value"},
    {{"hakuban", "observe", "--ta", "1"}, "hakuban: unknown option --ta "},
    {{"hakuban", "observe", "-x", "1"}, "hakuban: unknown option -x "},
    {{"hakuban", "observe", "--raw=1", "1"}, "hakuban: --raw takes no value"},
    {{"hakuban", "observe", "--count", "0", "1"}, "hakuban: --count 0: must be from 1 to "},
    {{"hakuban", "observe", "--count", "-1", "1"}, "hakuban: --count -1: not a whole number"},
    {{"hakuban", "observe", "--count", "1x", "1"}, "hakuban: --count 1x: not a whole number"},
    {{"hakuban", "observe", "--count", "99999999999", "1"}, "must be from 1 to 4294967295"},
    {{"hakuban", "observe", "--for", "5 s", "1"}, "--for 5 s: not a duration"},
    {{"hakuban", "observe", "--for", "1.5s", "1"}, "(wrong from character 2)"},
    {{"hakuban", "observe", "--for", "1m30q", "1"}, "(wrong from character 3)"},
    {{"hakuban", "observe", "--for", "", "1"}, "not a duration"},
    {{"hakuban", "observe", "--for", "0s", "1"}, "must be longer than nothing"},
    {{"hakuban", "observe", "--for", "9999999999d", "1"}, "more than a year"},
    {{"hakuban", "observe", "-c", "nonsense", "1"}, "hakuban: --connect nonsense: "},
    {{"hakuban", "observe", "-c", "gopher://a:1", "1"}, "hakuban: --connect gopher://a:1: "},
    {{"hakuban", "observe", "-c", "tcp://a:99999", "1"}, "hakuban: --connect tcp://a:99999: "},
    {{"hakuban", "observe", "-c", "tcp://a:1#colour=red", "1"}, "colour"},
    {{"hakuban", "expose", "--watch", "1"}, "hakuban: --watch needs --file"},
    {{"hakuban", "expose", "--every", "1s", "1"}, "hakuban: --every needs a command"},
    {{"hakuban", "expose", "--every", "soon", "1", "--", "true"}, "--every soon: not a duration"},
    {{"hakuban", "expose", "1", "--", "true"}, "hakuban: true: one object is enough"},
    {{"hakuban", "expose", "--file", "x", "--every", "1s", "1"}, "one source of states"},
    {{"hakuban", "expose", "--capacity", "many", "1"}, "--capacity many: not a whole number"},
    {{"hakuban-router", "-t", "0"}, "hakuban-router: --threads 0: a router cannot work without"},
    {{"hakuban-router", "-t", "x"}, "hakuban-router: --threads x: not a whole number"},
    {{"hakuban-router", "tcp://127.0.0.1:0"}, "A URL needs -b or -c"},
    {{"hakuban-router", "-b", "127.0.0.1:0"}, "hakuban-router: 127.0.0.1:0: "},
    {{"hakuban-router", "-b", "tcp://127.0.0.1:0#name"},
     "hakuban-router: tcp://127.0.0.1:0#name: "},
    {{"hakuban-router", "--stats-tag", "m"}, "hakuban-router: --stats-tag m: line 1, column 1: "},
    {{"hakuban-router", "--rebalance-threshold", "a"}, "not a number of 0 or more"},
    {{"hakuban-router", "--rebalance-threshold", "-1"}, "not a number of 0 or more"},
    {{"hakuban-router", "--memory-limit", "much"}, "--memory-limit much: neither a size above 0"},
    {{"hakuban-router", "--memory-limit", ""}, "--memory-limit : neither a size"},
    {{"hakuban-router", "--memory-limit", "0"}, "--memory-limit 0: neither a size"},
    {{"hakuban-router", "--memory-limit", "-1G"}, "--memory-limit -1G: neither a size"},
    {{"hakuban-router", "--memory-limit", "1.5G"}, "--memory-limit 1.5G: neither a size"},
    {{"hakuban-router", "--memory-limit", "1 G"}, "--memory-limit 1 G: neither a size"},
    {{"hakuban-router", "--memory-limit", "1Gi"}, "--memory-limit 1Gi: neither a size"},
    {{"hakuban-router", "--memory-limit", "99999999999G"}, "99999999999G: neither a size"},
    {{"hakuban-router", "--memory-limit", "99999999999999999999"}, "9999: neither a size"},
    {{"hakuban-router", "--memory-limit"}, "hakuban-router: --memory-limit needs a value"},
    {{"hakuban-router", "--link-limit", "unlimited"}, "--link-limit unlimited: neither a size"},
    {{"hakuban-router", "--link-limit", "5T"}, "--link-limit 5T: neither a size"},
    {{"hakuban-router", "--link-limit"}, "hakuban-router: --link-limit needs a value"},
    {{"hakuban-router", "-c", "tcp://a:1", "-c", "tcp://b:1"}, "a router has one upstream"},
};

START_TEST(wrong_command_line_is_said_in_words_and_exits_with_2)
{
    const wrong *w = &wrongs[_i];
    program *p = program_run_list(w->words);
    program_find_error(p, w->said);
    ck_assert_ptr_null(program_line(p));
    ck_assert_int_eq(program_end(p), 2);
}
END_TEST

static const char *const helps[][3] = {
    {"hakuban", "--help", NULL},   {"hakuban", "observe", "--help"}, {"hakuban", "get", "--help"},
    {"hakuban", "list", "--help"}, {"hakuban", "expose", "-h"},      {"hakuban-router", "-h", NULL},
};

START_TEST(help_is_on_stdout_and_exits_with_0)
{
    const char *const *words = helps[_i];
    program *p = program_run(words[0], words[1], words[2], NULL);
    ck_assert_ptr_nonnull(strstr(program_line(p), "usage: hakuban"));
    ck_assert_ptr_null(program_error_line(p));
    ck_assert_int_eq(program_end(p), 0);
}
END_TEST

START_TEST(version_lists_what_is_built_in_and_only_that)
{
    static const char *const names[] = {"hakuban", "hakuban-router"};
    program *p = program_run(names[_i], "--version", NULL);
    const char *line = program_line(p);
    ck_assert_int_eq(strncmp(line, names[_i], strlen(names[_i])), 0);
    ck_assert_ptr_nonnull(strstr(program_line(p), "transports: "));
    ck_assert_ptr_null(program_line(p));
    ck_assert_int_eq(program_end(p), 0);
}
END_TEST

START_TEST(url_of_the_environment_is_named_where_it_is_wrong)
{
    setenv("HAKUBAN_URL", "tcp:/", 1);
    program *p = program_run("hakuban", "observe", "1", NULL);
    program_find_error(p, "hakuban: $HAKUBAN_URL tcp:/: ");
    ck_assert_int_eq(program_end(p), 2);
}
END_TEST

START_TEST(help_into_a_closed_pipe_is_no_crash)
{
    program *p = program_run("hakuban", "expose", "--help", NULL);
    program_close_output(p);
    ck_assert_int_lt(program_end(p), 128);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("usage");
    TCase *tcase = tcase_create("usage");
    tcase_add_loop_test(tcase, wrong_command_line_is_said_in_words_and_exits_with_2, 0,
                        (int)(sizeof(wrongs) / sizeof(wrongs[0])));
    tcase_add_loop_test(tcase, help_is_on_stdout_and_exits_with_0, 0,
                        (int)(sizeof(helps) / sizeof(helps[0])));
    tcase_add_loop_test(tcase, version_lists_what_is_built_in_and_only_that, 0, 2);
    tcase_add_test(tcase, url_of_the_environment_is_named_where_it_is_wrong);
    tcase_add_test(tcase, help_into_a_closed_pipe_is_no_crash);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
