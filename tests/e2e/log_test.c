/* What people read: which peers connect and leave, what is wrong, said once and never in a flood,
 * with nothing in it that controls a terminal. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "router_fixture.h"

START_TEST(peer_that_comes_and_leaves_is_a_line_each_with_name_and_address)
{
    char at[URL_BYTES], named[URL_BYTES + 16];
    program *talking = router_run(at, NULL, "-v", NULL);
    snprintf(named, sizeof(named), "%s#name=edge-1", at);
    program *observer = program_run("hakuban", "observe", "-c", named, "-v", "1", NULL);
    program_find_error(observer, "connected");
    const char *line = program_find_error(talking, "(edge-1)");
    ck_assert_msg(strstr(line, "tcp://127.0.0.1:") && strstr(line, ": connected"), "%s", line);
    stop_well(observer);
    line = program_find_error(talking, "(edge-1)");
    ck_assert_msg(strstr(line, "tcp://127.0.0.1:") && !strstr(line, "connected"), "%s", line);
    program_signal(talking, SIGTERM);
    ck_assert_uint_eq(program_count_errors(talking, "edge-1"), 0);
    ck_assert_int_eq(program_end(talking), 0);
}
END_TEST

START_TEST(running_out_of_descriptors_is_said_once)
{
    int sockets[40];
    program *poor = program_run("/bin/sh", "-c",
                                "ulimit -n 24; exec \"$HAKUBAN_BIN/hakuban-router\" "
                                "-b tcp://127.0.0.1:0",
                                NULL);
    const char *port = strrchr(program_find(poor, "listening "), ':') + 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < 40; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(sockets[i], 0);
        ck_assert_int_eq(connect(sockets[i], (struct sockaddr *)&to, sizeof(to)), 0);
    }
    program_find_error(poor, "no new connections: Too many open files");
    long long told_ms = clock_ms();
    AWAIT(clock_ms() >= told_ms + 2500); /* it tries again each second */
    program_signal(poor, SIGTERM);
    ck_assert_uint_eq(program_count_errors(poor, "no new connections"), 0);
    ck_assert_int_eq(program_end(poor), 0);
    for (size_t i = 0; i < 40; i++) {
        close(sockets[i]);
    }
}
END_TEST

/* A program that uses a version again for other data, as fast as it can. */
static void use_again(program *observer, unsigned count)
{
    static const char *const format[] = {"JSON"};
    const int64_t version[] = {INT64_MAX};
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *contract = NULL;
    hakuban_descriptor *object = NULL;
    hakuban_queue *queue = NULL;
    hakuban_sink *sink = NULL;
    ck_assert_int_eq(hakuban_exchange_new(NULL, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_queue_new(exchange, &queue), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_connect(exchange, url, NULL, &connection, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", NULL, 0, &object, NULL), HAKUBAN_OK);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    ck_assert_int_eq(hakuban_expose_object(exchange, object, &options, &contract), HAKUBAN_OK);
    while (!sink) {
        hakuban_event event;
        ck_assert_int_eq(hakuban_queue_next(queue, 25000, &event), HAKUBAN_OK);
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            sink = hakuban_sink_ref(event.sink);
        }
        hakuban_event_done(&event);
    }
    for (unsigned i = 0; i < count; i++) {
        char data[16];
        hakuban_state *state = NULL;
        snprintf(data, sizeof(data), "%u", i);
        hakuban_state_parts parts = {.data = data,
                                     .data_bytes = strlen(data),
                                     .format = format,
                                     .format_count = 1,
                                     .version = version,
                                     .version_count = 1};
        ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
        ck_assert_int_ge(hakuban_sink_send(sink, state), 0);
        hakuban_state_unref(state);
        while (i % 16 == 0 && strcmp(program_line(observer), data) != 0) {
            /* so that many of them really travel */
        }
    }
    ck_assert_int_ge(hakuban_exchange_close(exchange, 5000), 0);
    hakuban_sink_unref(sink);
    hakuban_contract_free(contract);
    hakuban_connection_free(connection);
    hakuban_queue_free(queue);
    hakuban_descriptor_unref(object);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
}

START_TEST(what_a_peer_causes_again_and_again_is_counted)
{
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    use_again(observer, 1600);
    unsigned lines = 0;
    const char *line;
    do {
        line = program_error_line(router);
        ck_assert_ptr_nonnull(line);
        lines += strstr(line, ": a version was used again for other data") != NULL;
    } while (!strstr(line, "more lines about versions that were used again were left out"));
    ck_assert_uint_ge(lines, 1);
    ck_assert_uint_le(lines, 20); /* the limit of a peer; a busy machine may need two windows */
    stop_well(observer);
}
END_TEST

/* -- Names and data that would control a terminal -- */

/* ESC, CSI as one character, DEL, right-to-left override, byte order mark. */
#define EVIL_NAME                                                                                  \
    "\"n\\u001b[31m\xc2\x9b"                                                                       \
    "31m\x7f\xe2\x80\xae\xef\xbb\xbf\""
#define EVIL_DATA                                                                                  \
    "{\"d\":\"\xc2\x9b"                                                                            \
    "31m\x7f\xe2\x80\xae\"}"

static void check_harmless(const char *text)
{
    static const char *const evil[] = {"\x1b", "\xc2\x9b", "\x7f", "\xe2\x80\xae", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
        ck_assert_msg(!strstr(text, evil[i]), "%s", text);
    }
}

START_TEST(names_and_data_of_peers_are_shown_escaped)
{
    program *exposer =
        program_run("hakuban", "expose", "--keep", "--tag", EVIL_NAME, EVIL_NAME, NULL);
    program_write(exposer, EVIL_DATA "\n");
    program *observer = program_run("hakuban", "observe", "--tag", EVIL_NAME, NULL);
    const char *line = program_find(observer, "\"event\":\"state\"");
    check_harmless(line);
    ck_assert_ptr_nonnull(
        strstr(line, "\"object\":\"n\\u001b[31m\\u009b31m\\u007f\\u202e\\ufeff\""));
    ck_assert_ptr_nonnull(strstr(line, "\"data\":{\"d\":\"\\u009b31m\\u007f\\u202e\"}"));
    program_signal(router, SIGUSR2);
    check_harmless(program_find_error(router, "31m"));
    program *get = program_run("hakuban", "get", "--raw", "--tag", EVIL_NAME, EVIL_NAME, NULL);
    ck_assert_str_eq(program_line(get), EVIL_DATA); /* for a program: as it is */
    ck_assert_int_eq(program_end(get), 0);
    stop_well(observer);
    stop_well(exposer);
}
END_TEST

START_TEST(raw_data_is_shown_escaped_on_a_terminal)
{
    char script[512], shown[256] = "";
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert(grantpt(fd) == 0 && unlockpt(fd) == 0);
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, EVIL_DATA "\n");
    snprintf(script, sizeof(script), "exec \"$HAKUBAN_BIN/hakuban\" get --raw 1 >%s", ptsname(fd));
    program *get = shell(script);
    for (size_t used = 0; !strchr(shown, '\n');) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ck_assert_int_eq(poll(&wait, 1, 25000), 1);
        ssize_t bytes = read(fd, shown + used, sizeof(shown) - 1 - used);
        ck_assert_int_gt(bytes, 0);
        used += (size_t)bytes;
    }
    check_harmless(shown);
    ck_assert_ptr_nonnull(strstr(shown, "{\"d\":\"\\u009b31m\\u007f\\u202e\"}"));
    ck_assert_int_eq(program_end(get), 0);
    close(fd);
    stop_well(exposer);
}
END_TEST

START_TEST(reason_is_said_however_long_the_argument)
{
    char name[4200];
    memset(name, 'a', sizeof(name));
    name[0] = '"';
    name[4096] = '"';
    name[4097] = '\0';
    program *get = program_run("hakuban", "get", name, NULL);
    const char *line = program_error_line(get);
    ck_assert_msg(strstr(line, "long") || strstr(line, "limit"), "%s", line);
    ck_assert_uint_lt(strlen(line), 1000);
    ck_assert_int_eq(program_end(get), 2);
    name[0] = '[';
    name[4096] = ']';
    get = program_run("hakuban", "get", "--tag", name, "1", NULL);
    line = program_error_line(get);
    ck_assert_msg(strstr(line, "line 1, column 2: "), "%s", line);
    ck_assert_int_eq(program_end(get), 2);
}
END_TEST

int main(void)
{
    TCase *tcase = programs_case("log", 1);
    tcase_add_test(tcase, peer_that_comes_and_leaves_is_a_line_each_with_name_and_address);
    tcase_add_test(tcase, running_out_of_descriptors_is_said_once);
    tcase_add_test(tcase, what_a_peer_causes_again_and_again_is_counted);
    tcase_add_test(tcase, names_and_data_of_peers_are_shown_escaped);
    tcase_add_test(tcase, raw_data_is_shown_escaped_on_a_terminal);
    tcase_add_test(tcase, reason_is_said_however_long_the_argument);
    return programs_run(tcase, "log");
}
