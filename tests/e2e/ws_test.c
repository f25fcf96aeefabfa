/* WebSocket on a router's port: programs that meet over it and over others, and strangers that
 * break the rules: each is closed with a code and one line in the log, and no other peer notices.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "programs.h"

#define PATIENCE_MS 30000

static char url[URL_BYTES], ws_url[URL_BYTES];
static int port;
static program *router, *exposer, *observer;
static int said;

static int64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* The good ones: one exposes, one observes, over WebSocket. */
static void say_and_hear(void)
{
    char line[32];
    (void)snprintf(line, sizeof(line), "{\"n\":%d}\n", ++said);
    program_write(exposer, line);
    line[strlen(line) - 1] = '\0';
    ck_assert_str_eq(program_line(observer), line);
}

static void start(const char *bind)
{
    router = router_run(url, bind, NULL);
    port = (int)strtol(strrchr(url, ':') + 1, NULL, 10);
    (void)snprintf(ws_url, sizeof(ws_url), "ws://127.0.0.1:%d/any/path", port);
    exposer = program_run("hakuban", "expose", "-c", ws_url, "\"x\"", NULL);
    observer = program_run("hakuban", "observe", "-c", ws_url, "--raw", "\"x\"", NULL);
    said = 0;
    say_and_hear();
}

static void finish(void)
{
    say_and_hear();
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void say(int fd, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);
        if (sent < 0) {
            return; /* it may be closed already, which is what is wanted */
        }
        from += sent;
        bytes -= (size_t)sent;
    }
}

/* All that comes until the other side closes. */
static size_t hear_all(int fd, char *out, size_t capacity)
{
    size_t filled = 0;
    for (int64_t until_ms = now_ms() + PATIENCE_MS;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        ck_assert_msg(now_ms() < until_ms, "the connection was not closed");
        if (poll(&polled, 1, 1000) <= 0) {
            continue;
        }
        char buffer[4096];
        ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
        if (got <= 0) {
            break;
        }
        for (ssize_t i = 0; i < got && filled < capacity - 1; i++) {
            out[filled++] = buffer[i];
        }
    }
    out[filled] = '\0';
    return filled;
}

#define HEAD                                                                                       \
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define NATIVE HEAD "Sec-WebSocket-Protocol: hakuban.1\r\n\r\n"

static const struct {
    const char *head;
    const char *frames; /* sent behind it */
    size_t frame_bytes;
    const char *answer; /* how what is answered to the head begins */
    unsigned code;      /* of the Close that follows; 0: none */
    const char *logged;
} bad[] = {
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "", 0, "HTTP/1.1 426 ", 0, "refused with 426"},
    {"GET /index.html HTTP/1.0\r\n\r\n", "", 0, "HTTP/1.1 400 ", 0, "refused with 400"},
    {HEAD "Origin: http://evil.example\r\n\r\n", "", 0, "HTTP/1.1 403 ", 0, "evil.example"},
    {HEAD "Host: twice\r\n\r\n", "", 0, "HTTP/1.1 400 ", 0, "one Host"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
     "", 0, "HTTP/1.1 426 ", 0, "Version must be 13"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
     "", 0, "HTTP/1.1 400 ", 0, "Sec-WebSocket-Key"},
    {"GET / HTTP/1.1\r\nHost: \x01\r\n\r\n", "", 0, "HTTP/1.1 400 ", 0, "a byte that does not"},
    {NATIVE, "\x81\x83\0\0\0\0abc", 9, "HTTP/1.1 101 ", 1003, "text, where binary"},
    {NATIVE, "\x82\x03xyz", 5, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\xc2\x81\0\0\0\0x", 7, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x83\x81\0\0\0\0x", 7, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x89\xfe\x01\x00\0\0\0\0", 8, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0x", 15, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0x", 15, "HTTP/1.1 101 ", 1009, "too large"},
    {NATIVE, "\x80\x81\0\0\0\0x", 7, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x02\x81\0\0\0\0x\x82\x81\0\0\0\0x", 14, "HTTP/1.1 101 ", 1002, "closed with 1002"},
    {NATIVE, "\x88\x81\0\0\0\0x", 7, "HTTP/1.1 101 ", 1002, "half a code"},
    {HEAD "\r\n", "\x82\x85\0\0\0\0hello", 11, "HTTP/1.1 101 ", 1000, "event"},
    {HEAD "\r\n", "\x81\x81\0\0\0\0\xff", 7, "HTTP/1.1 101 ", 1007, "not UTF-8"},
    /* Rust peers: no event, a channel that is used again, a contradiction. */
    {HEAD "\r\n", "\x82\x81\0\0\0\0\x09", 7, "HTTP/1.1 101 ", 1000, "byte 0: an unknown event"},
    {HEAD "\r\n", "\x82\x83\0\0\0\0\0\1\1\x82\x83\0\0\0\0\0\1\1", 18, "HTTP/1.1 101 ", 1000,
     "used again"},
    {HEAD "\r\n",
     "\x82\x83\0\0\0\0\0\1\1\x82\x87\0\0\0\0\1\1\1\0\1\0\0"
     "\x82\x8a\0\0\0\0\1\1\1\1\1\2\0\1\x31\0\x82\x89\0\0\0\0\1\1\1\1\1\2\0\1\x31",
     53, "HTTP/1.1 101 ", 1000, "observed already"},
    {NATIVE, "\x82\x85\0\0\0\0hello", 11, "HTTP/1.1 101 ", 1000,
     "does not speak the hakuban protocol"},
};

static unsigned close_code(const char *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)strstr(data, "\r\n\r\n");
    const unsigned char *end = (const unsigned char *)data + bytes;
    for (at += 4; at + 2 <= end;) {
        if (at[0] == 0x88) {
            return at[1] < 2 ? 1005 : (unsigned)at[2] << 8 | at[3];
        }
        ck_assert_uint_lt(at[1], 126);
        at += 2 + at[1];
    }
    return 0;
}

START_TEST(a_violation_closes_the_connection_with_a_code_and_one_line)
{
    char answer[8192], expected[64];
    start("tcp://127.0.0.1:0");
    int fd = dial();
    /* Once whole, so that the frames come with the head. */
    char all[2048];
    size_t head_bytes = strlen(bad[_i].head);
    memcpy(all, bad[_i].head, head_bytes);
    memcpy(all + head_bytes, bad[_i].frames, bad[_i].frame_bytes);
    say(fd, all, head_bytes + bad[_i].frame_bytes);
    size_t bytes = hear_all(fd, answer, sizeof(answer));
    (void)close(fd);
    ck_assert_msg(strncmp(answer, bad[_i].answer, strlen(bad[_i].answer)) == 0, "%s", answer);
    if (bad[_i].code) {
        ck_assert_uint_eq(close_code(answer, bytes), bad[_i].code);
    }
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:");
    const char *line = program_find_error(router, expected);
    ck_assert_msg(strstr(line, bad[_i].logged), "%s", line);
    say_and_hear();
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    program_signal(router, SIGTERM);
    ck_assert_uint_eq(program_count_errors(router, "warning"), 0);
    ck_assert_int_eq(program_end(router), 0);
}
END_TEST

START_TEST(a_message_without_end_is_cut_at_its_limit)
{
    static char fragment[8 + 60000];
    char answer[8192];
    start("ws://127.0.0.1:0");
    int fd = dial();
    say(fd, NATIVE, strlen(NATIVE));
    memcpy(fragment, "\x02\xfe\xea\x60\0\0\0\0", 8);
    for (int i = 0; i < 5; i++) {
        say(fd, fragment, sizeof(fragment));
        fragment[0] = 0;
    }
    size_t bytes = hear_all(fd, answer, sizeof(answer));
    ck_assert_uint_eq(close_code(answer, bytes), 1009);
    (void)close(fd);
    (void)program_find_error(router, "1009");
    finish();
}
END_TEST

START_TEST(a_peer_that_pings_and_never_reads_is_closed)
{
    static char pings[131 * 1000];
    start("tcp://127.0.0.1:0");
    int fd = dial(), small = 4096;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    say(fd, NATIVE, strlen(NATIVE));
    for (size_t i = 0; i < 1000; i++) {
        memset(pings + 131 * i, 0, 131);
        memcpy(pings + 131 * i, "\x89\xfd", 2);
    }
    /* Closed so that it is noticed here, where nothing is read: the end of what was said would
     * never come. */
    size_t begun = 0; /* bytes of a ping that went out already */
    for (int64_t until_ms = now_ms() + PATIENCE_MS;;) {
        struct pollfd polled = {.fd = fd, .events = POLLOUT};
        ck_assert_msg(now_ms() < until_ms, "it was never closed");
        (void)poll(&polled, 1, 1000);
        if (polled.revents & (POLLERR | POLLHUP)) {
            break;
        }
        ssize_t sent = send(fd, pings + begun, sizeof(pings) - begun, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            begun = (begun + (size_t)sent) % 131;
        }
    }
    (void)program_find_error(router, "1008");
    (void)close(fd);
    finish();
}
END_TEST

/* Each sends a byte now and then. All are gone after their five seconds, and meanwhile others are
 * served. */
START_TEST(a_peer_has_five_seconds_for_its_request)
{
    enum { SLOW = 200 };
    int fds[SLOW], open = SLOW;
    start("tcp://127.0.0.1:0");
    int64_t began_ms = now_ms();
    for (int i = 0; i < SLOW; i++) {
        fds[i] = dial();
        say(fds[i], i % 2 ? "GET " : "G", i % 2 ? 4 : 1);
    }
    while (open > 0) {
        ck_assert_int_lt(now_ms() - began_ms, PATIENCE_MS);
        open = 0;
        for (int i = 0; i < SLOW; i++) {
            char byte;
            if (fds[i] < 0) {
                continue;
            }
            if (i % 2) {
                say(fds[i], "x", 1);
            }
            ssize_t got = recv(fds[i], &byte, 1, MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN)) {
                ck_assert_int_ge(now_ms() - began_ms, 4000);
                (void)close(fds[i]);
                fds[i] = -1;
            } else {
                open++;
            }
        }
        say_and_hear();
        (void)poll(NULL, 0, 100);
    }
    (void)program_find_error(router, "within 5 s");
    finish();
}
END_TEST

START_TEST(pages_of_the_origins_named_are_let_in)
{
    char answer[1024];
    start("tcp://127.0.0.1:0#origin=https://a.example+http://b.example:81");
    static const char *const origins[] = {"https://a.example", "http://b.example:81",
                                          "http://b.example", "http://127.0.0.1"};
    for (int i = 0; i < 4; i++) {
        char head[1024];
        int fd = dial();
        (void)snprintf(head, sizeof(head), HEAD "Origin: %s\r\n\r\n", origins[i]);
        say(fd, head, strlen(head));
        (void)shutdown(fd, SHUT_WR);
        (void)hear_all(fd, answer, sizeof(answer));
        ck_assert_int_eq(strncmp(answer + 9, i < 2 ? "101" : "403", 3), 0);
        (void)close(fd);
    }
    finish();
}
END_TEST

static const struct {
    const char *url, *words;
} refused[] = {
#ifndef HAKUBAN_TEST_TLS
    {"wss://127.0.0.1:1", "HAKUBAN_TLS"},
#endif
    {"ws://127.0.0.1", "port"},
    {"ws://127.0.0.1:1#dialect=latin", "dialect"},
};

START_TEST(what_is_not_there_is_said_in_words)
{
    program *tool = program_run("hakuban", "get", "-c", refused[_i].url, "--for", "1s", "1", NULL);
    ck_assert_ptr_nonnull(strstr(program_error_line(tool), refused[_i].words));
    (void)program_end(tool);
}
END_TEST

/* A peer that speaks the protocol of Rust peers is refused with a text on either side. */
START_TEST(the_dialect_may_be_insisted_on)
{
    char forced[URL_BYTES + 32];
    start("tcp://127.0.0.1:0#dialect=native");
    (void)snprintf(forced, sizeof(forced), "%s#dialect=rust", ws_url);
    program *tool = program_run("hakuban", "get", "-c", forced, "--for", "2s", "\"x\"", NULL);
    ck_assert_ptr_nonnull(
        strstr(program_error_line(tool), "the subprotocol hakuban.1 must be offered here"));
    (void)program_end(tool);
    (void)snprintf(forced, sizeof(forced), "%s#dialect=native", ws_url);
    tool = program_run("hakuban", "get", "-c", forced, "--for", "20s", "--raw", "\"x\"", NULL);
    ck_assert_str_eq(program_line(tool), "{\"n\":1}");
    ck_assert_int_eq(program_end(tool), 0);
    finish();
}
END_TEST

START_TEST(a_router_under_another_over_websocket)
{
    char leaf_url[URL_BYTES], leaf_ws[URL_BYTES];
    start("ws://127.0.0.1:0");
    program *leaf = router_run(leaf_url, "tcp://127.0.0.1:0", "-c", ws_url, NULL);
    (void)snprintf(leaf_ws, sizeof(leaf_ws), "ws%s", leaf_url + 3);
    program *below = program_run("hakuban", "observe", "-c", leaf_ws, "--raw", "\"x\"", NULL);
    ck_assert_str_eq(program_line(below), "{\"n\":1}");
    say_and_hear();
    ck_assert_str_eq(program_line(below), "{\"n\":2}");
    /* Native peers find a ws:// bind as well. */
    char plain[URL_BYTES];
    (void)snprintf(plain, sizeof(plain), "tcp://127.0.0.1:%d", port);
    program *tool =
        program_run("hakuban", "get", "-c", plain, "--for", "20s", "--raw", "\"x\"", NULL);
    ck_assert_str_eq(program_line(tool), "{\"n\":2}");
    ck_assert_int_eq(program_end(tool), 0);
    ck_assert_int_eq(program_stop(below, SIGTERM), 0);
    ck_assert_int_eq(program_stop(leaf, SIGTERM), 0);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ws");
    TCase *all = tcase_create("websocket");
    tcase_set_timeout(all, 90);
    tcase_add_loop_test(all, a_violation_closes_the_connection_with_a_code_and_one_line, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(all, a_message_without_end_is_cut_at_its_limit);
    tcase_add_test(all, a_peer_that_pings_and_never_reads_is_closed);
    tcase_add_test(all, a_peer_has_five_seconds_for_its_request);
    tcase_add_test(all, pages_of_the_origins_named_are_let_in);
    tcase_add_loop_test(all, what_is_not_there_is_said_in_words, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(all, the_dialect_may_be_insisted_on);
    tcase_add_test(all, a_router_under_another_over_websocket);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
