/* The router in an operator's hands: binds, files, signals, trees of routers, an orderly end. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "programs.h"

static program *observe(const char *url, const char *object)
{
    return program_run("hakuban", "observe", "-c", url, "--raw", object, NULL);
}

static program *expose(const char *url, const char *object, const char *line)
{
    program *exposer = program_run("hakuban", "expose", "-c", url, object, NULL);
    program_write(exposer, line);
    return exposer;
}

START_TEST(several_binds_are_one_exchange)
{
    char url[URL_BYTES], path[URL_BYTES];
    snprintf(path, sizeof(path), "unix://%s", scratch_path("socket"));
    program *router =
        router_run(url, NULL, "--bind", path, "-t=4", "--rebalance-threshold=.5", "-v", NULL);
    ck_assert_int_eq(strncmp(url, "tcp://127.0.0.1:", 16), 0);
    ck_assert_int_gt(strtol(url + 16, NULL, 10), 0);
    ck_assert_str_eq(program_line(router) + strlen("listening "), path);
    program *exposer = expose(path, "1", "\"over\"\n");
    program *observer = observe(url, "1");
    ck_assert_str_eq(program_line(observer), "\"over\"");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGINT), 0);
    ck_assert_int_ne(access(path + 7, F_OK), 0); /* the socket's file goes with it */
}
END_TEST

START_TEST(port_in_use_is_said_and_exits_with_1)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    program *second = program_run("hakuban-router", "-b", url, NULL);
    program_find_error(second, url);
    ck_assert_int_eq(program_end(second), 1);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(bind_that_fails_is_tried_again_while_the_others_serve)
{
    char path[URL_BYTES], late[URL_BYTES];
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(taken);
    int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(holder, (struct sockaddr *)&taken, sizeof(taken)), 0);
    ck_assert_int_eq(listen(holder, 1), 0);
    ck_assert_int_eq(getsockname(holder, (struct sockaddr *)&taken, &bytes), 0);
    snprintf(path, sizeof(path), "unix://%s", scratch_path("others"));
    snprintf(late, sizeof(late), "tcp://127.0.0.1:%u", ntohs(taken.sin_port));
    program *router = program_run("hakuban-router", "-b", late, "-b", path, NULL);
    ck_assert_str_eq(program_line(router) + strlen("listening "), path);
    program_find_error(router, "trying again until it works");
    program *exposer = expose(path, "1", "1\n");
    program *observer = observe(path, "1");
    ck_assert_str_eq(program_line(observer), "1");
    close(holder);
    ck_assert_str_eq(program_line(router) + strlen("listening "), late);
    program *newcomer = observe(late, "1");
    ck_assert_str_eq(program_line(newcomer), "1");
    ck_assert_int_eq(program_stop(newcomer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    program_signal(router, SIGTERM);
    ck_assert_uint_eq(program_count_errors(router, late), 0); /* said once */
    ck_assert_int_eq(program_end(router), 0);
}
END_TEST

START_TEST(unix_socket_in_use_is_not_taken_and_a_dead_one_is)
{
    char url[URL_BYTES], unused[URL_BYTES];
    snprintf(url, sizeof(url), "unix://%s", scratch_path("taken"));
    program *router = router_run(unused, url, NULL);
    program *second = program_run("hakuban-router", "-b", url, NULL);
    program_find_error(second, url);
    ck_assert_int_eq(program_end(second), 1);
    ck_assert_int_eq(program_stop(router, SIGKILL), 128 + SIGKILL);
    router = router_run(unused, url, NULL);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(router_under_router_serves_both_ways)
{
    char top_url[URL_BYTES], left_url[URL_BYTES], right_url[URL_BYTES];
    program *top = router_run(top_url, NULL, NULL);
    program *left = router_run(left_url, NULL, "-c", top_url, NULL);
    program *right = router_run(right_url, NULL, "--connect", top_url, NULL);
    program *observer = observe(right_url, "1");
    program *exposer = expose(left_url, "1", "\"across\"\n");
    ck_assert_str_eq(program_line(observer), "\"across\"");
    program *at_top = observe(top_url, "1");
    ck_assert_str_eq(program_line(at_top), "\"across\"");
    program_write(exposer, "\"again\"\n");
    ck_assert_str_eq(program_line(observer), "\"again\"");
    ck_assert_str_eq(program_line(at_top), "\"again\"");
    ck_assert_int_eq(program_stop(at_top, SIGTERM), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(left, SIGTERM), 0);
    ck_assert_int_eq(program_stop(right, SIGTERM), 0);
    ck_assert_int_eq(program_stop(top, SIGTERM), 0);
}
END_TEST

START_TEST(edge_that_served_itself_takes_the_state_of_its_upstream)
{
    char top_url[URL_BYTES], edge_url[URL_BYTES], unused[URL_BYTES];
    snprintf(top_url, sizeof(top_url), "unix://%s", scratch_path("top"));
    program *edge = router_run(edge_url, NULL, "-c", top_url, NULL);
    program *own = expose(edge_url, "1", "\"edge\"\n");
    program *observer = observe(edge_url, "1");
    ck_assert_str_eq(program_line(observer), "\"edge\"");
    /* The edge is away while the top chooses its exposer, so that its own is not chosen. */
    program_signal(edge, SIGSTOP);
    program *top = router_run(unused, top_url, NULL);
    program *exposer = expose(top_url, "1", "\"top\"\n");
    program *at_top = observe(top_url, "1");
    ck_assert_str_eq(program_line(at_top), "\"top\"");
    program_signal(edge, SIGCONT);
    ck_assert_str_eq(program_line(observer), "\"top\"");
    ck_assert_int_eq(program_stop(at_top, SIGTERM), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(own, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(edge, SIGTERM), 0);
    ck_assert_int_eq(program_stop(top, SIGTERM), 0);
}
END_TEST

START_TEST(loop_of_routers_is_refused_in_words)
{
    char first_url[URL_BYTES], second_url[URL_BYTES];
    snprintf(first_url, sizeof(first_url), "unix://%s", scratch_path("first"));
    snprintf(second_url, sizeof(second_url), "unix://%s", scratch_path("second"));
    char unused[URL_BYTES];
    program *first = router_run(unused, first_url, "-c", second_url, NULL);
    program *second = router_run(unused, second_url, "-c", first_url, NULL);
    program_find_error(first, "loop");
    ck_assert_int_eq(program_stop(first, SIGTERM), 0);
    ck_assert_int_eq(program_stop(second, SIGTERM), 0);
}
END_TEST

START_TEST(snapshot_comes_with_a_line_and_with_a_signal)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    program *exposer = expose(url, "{\"some\":\"thing\"}", "1\n");
    program *observer = observe(url, "{\"some\":\"thing\"}");
    ck_assert_str_eq(program_line(observer), "1");
    program_write(router, "\n");
    program_find_error(router, "{\"some\":\"thing\"}");
    program_signal(router, SIGUSR2);
    program_find_error(router, "{\"some\":\"thing\"}");
    program_close_input(router); /* its end is harmless */
    program_write(exposer, "2\n");
    ck_assert_str_eq(program_line(observer), "2");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGHUP), 0);
}
END_TEST

START_TEST(hangup_reads_the_file_again)
{
    char path[256], one[URL_BYTES], two[URL_BYTES], three[URL_BYTES], text[1024];
    snprintf(path, sizeof(path), "%s", scratch_path("router.conf"));
    snprintf(one, sizeof(one), "unix://%s", scratch_path("one"));
    snprintf(two, sizeof(two), "unix://%s", scratch_path("two"));
    snprintf(three, sizeof(three), "unix://%s", scratch_path("three"));
    snprintf(text, sizeof(text),
             "# a comment\n\nbind %s#name=edge # and another\n  bind\t%s\n"
             "rebalance-threshold 0.5\r\n",
             one, two);
    scratch_write(path, text);
    program *router = program_run("hakuban-router", "--config", path, NULL);
    ck_assert_str_eq(program_line(router) + strlen("listening "), one);
    ck_assert_str_eq(program_line(router) + strlen("listening "), two);
    program *observer = observe(one, "1");
    program *exposer = expose(two, "1", "1\n");
    ck_assert_str_eq(program_line(observer), "1");

    /* A mistake changes nothing. */
    scratch_write(path, "bind tcp://127.0.0.1:0\nbnid x\n");
    program_signal(router, SIGHUP);
    snprintf(text, sizeof(text), "%s:2: unknown word bnid", path);
    program_find_error(router, text);
    program_find_error(router, "not reloaded");

    /* one stays, two goes, three comes; connections stay. */
    snprintf(text, sizeof(text), "bind %s#name=edge\nbind %s\nstats-tag \"s\"\n", one, three);
    scratch_write(path, text);
    program_signal(router, SIGHUP);
    ck_assert_str_eq(program_line(router) + strlen("listening "), three);
    program_find_error(router, "a new rebalance-threshold needs a restart");
    program_find_error(router, "another stats-tag or monitor-tag needs a restart");
    program_find_error(router, ": reloaded");
    ck_assert_int_ne(access(two + 7, F_OK), 0);
    program_write(exposer, "2\n");
    ck_assert_str_eq(program_line(observer), "2");
    program *newcomer = observe(three, "1");
    ck_assert_str_eq(program_line(newcomer), "2");
    ck_assert_int_eq(program_stop(newcomer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(hangup_changes_the_upstream)
{
    char first_url[URL_BYTES], second_url[URL_BYTES], edge_url[URL_BYTES], text[1024], path[256];
    snprintf(path, sizeof(path), "%s", scratch_path("edge.conf"));
    program *first = router_run(first_url, NULL, NULL);
    program *second = router_run(second_url, NULL, NULL);
    program *exposer = expose(second_url, "1", "\"second\"\n");
    snprintf(text, sizeof(text), "connect %s\n", first_url);
    scratch_write(path, text);
    program *edge = router_run(edge_url, NULL, "--config", path, NULL);
    program_find_error(edge, "connected");
    program *observer = observe(edge_url, "1");
    snprintf(text, sizeof(text), "connect %s\n", second_url);
    scratch_write(path, text);
    program_signal(edge, SIGHUP);
    ck_assert_str_eq(program_line(observer), "\"second\"");
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(edge, SIGTERM), 0);
    ck_assert_int_eq(program_stop(second, SIGTERM), 0);
    ck_assert_int_eq(program_stop(first, SIGTERM), 0);
}
END_TEST

typedef struct wrong {
    const char *text, *said;
    int exit_code;
} wrong;

static const wrong wrongs[] = {
    {"bind\n", ":1: bind needs a value", 2},
    {"# x\nbind a b\n", ":2: more than one value after bind", 2},
    {"bind tcp://127.0.0.1:0\nlisten x\n", ":2: unknown word listen", 2},
    {"connect tcp://a:1\nconnect tcp://b:1\n", ":2: a second connect", 2},
    {"stats-tag \"s\"\nbind tcp://127.0.0.1:0\nstats-tag \"t\"\n", ":3: a second stats-tag", 2},
    {"monitor-tag\n", ":1: monitor-tag needs a value", 2},
    {"bind tcp://127.0.0.1:0\nstats-tag s\n", "stats-tag s: line 1, column 1: ", 2},
    {"memory-limit\n", ":1: memory-limit needs a value", 2},
    {"# sizes\nmemory-limit 2 G\n", ":2: more than one value after memory-limit", 2},
    {"memory-limit 2GB\n", ":1: memory-limit 2GB: neither a size above 0", 2},
    {"link-limit 0\n", ":1: link-limit 0: neither a size above 0", 2},
    {"rebalance-threshold much\n", ":1: rebalance-threshold much: not a number", 2},
    {"bind nonsense\n", "nonsense: ", 2},
};

START_TEST(mistakes_in_the_file_are_named_with_their_line)
{
    const char *path = scratch_path("wrong.conf");
    scratch_write(path, wrongs[_i].text);
    program *router = program_run("hakuban-router", "--config", path, NULL);
    program_find_error(router, wrongs[_i].said);
    ck_assert_int_eq(program_end(router), wrongs[_i].exit_code);
}
END_TEST

START_TEST(file_that_is_not_there_is_said)
{
    program *router = program_run("hakuban-router", "--config", "/no/such/file", NULL);
    program_find_error(router, "/no/such/file: No such file or directory");
    ck_assert_int_eq(program_end(router), 1);
}
END_TEST

START_TEST(binding_beyond_loopback_is_warned_about)
{
    char url[URL_BYTES];
    program *router = router_run(url, "tcp://0.0.0.0:0", NULL);
    program_find_error(router, "has no authentication");
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(strangers_that_send_nonsense_or_nothing_hurt_no_peer)
{
    char url[URL_BYTES], unused[URL_BYTES];
    snprintf(url, sizeof(url), "unix://%s", scratch_path("strangers"));
    program *router = router_run(unused, url, NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", url + 7);
    static const char *const texts[] = {"", "GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff\xff\xff",
                                        "{\"hakuban\":1}", "hello?\n"};
    int sockets[5];
    for (size_t i = 0; i < 5; i++) {
        sockets[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(sockets[i], (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_ge(send(sockets[i], texts[i], strlen(texts[i]), MSG_NOSIGNAL), 0);
    }
    program *exposer = expose(url, "1", "1\n");
    program *observer = observe(url, "1");
    ck_assert_str_eq(program_line(observer), "1");
    for (size_t i = 0; i < 5; i++) {
        close(sockets[i]);
    }
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("router");
    TCase *tcase = tcase_create("router");
    tcase_add_test(tcase, several_binds_are_one_exchange);
    tcase_add_test(tcase, port_in_use_is_said_and_exits_with_1);
    tcase_add_test(tcase, bind_that_fails_is_tried_again_while_the_others_serve);
    tcase_add_test(tcase, unix_socket_in_use_is_not_taken_and_a_dead_one_is);
    tcase_add_test(tcase, router_under_router_serves_both_ways);
    tcase_add_test(tcase, edge_that_served_itself_takes_the_state_of_its_upstream);
    tcase_add_test(tcase, loop_of_routers_is_refused_in_words);
    tcase_add_test(tcase, snapshot_comes_with_a_line_and_with_a_signal);
    tcase_add_test(tcase, hangup_reads_the_file_again);
    tcase_add_test(tcase, hangup_changes_the_upstream);
    tcase_add_loop_test(tcase, mistakes_in_the_file_are_named_with_their_line, 0,
                        (int)(sizeof(wrongs) / sizeof(wrongs[0])));
    tcase_add_test(tcase, file_that_is_not_there_is_said);
    tcase_add_test(tcase, binding_beyond_loopback_is_warned_about);
    tcase_add_test(tcase, strangers_that_send_nonsense_or_nothing_hurt_no_peer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
