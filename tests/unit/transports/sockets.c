/* What is peculiar to sockets: files of unix sockets, time limits, floods, lack of
 * descriptors, rude peers. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "stream/stream.h"
#include "transport_host.h"

#define SECOND_NS UINT64_C(1000000000)

static thost server, client;
static char url[256], path[64], unix_url[128];
static hakuban_error error;

static void begin(const hakuban_transport_ops *ops)
{
    ck_assert_int_eq(thost_init(&server, ops, NULL), 0);
    ck_assert_int_eq(thost_init(&client, ops, NULL), 0);
    (void)snprintf(path, sizeof(path), "/tmp/hkb-sockets-%d.sock", (int)getpid());
    (void)snprintf(unix_url, sizeof(unix_url), "unix://%s", path);
    (void)unlink(path);
}

static void end(void)
{
    thost_done(&client);
    thost_done(&server);
}

static void listen_at(thost *host, const char *asked)
{
    hakuban_status status = thost_listen(host, asked, url, &error);
    ck_assert_msg(status == 0, "%s", error.text);
}

/* A client without any of our code. */
static int raw_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    return fd;
}

static uint16_t port_of(const char *text)
{
    return (uint16_t)strtoul(strrchr(text, ':') + 1, NULL, 10);
}

static int raw_listen(int backlog, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void stale_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    (void)close(fd);
    ck_assert_int_eq(access(path, F_OK), 0);
}

START_TEST(a_socket_file_left_behind_is_replaced_and_removed_in_the_end)
{
    begin(&hakuban_transport_unix);
    stale_socket();
    listen_at(&server, unix_url);
    ck_assert_str_eq(url, unix_url);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(thost_listen(&client, unix_url, NULL, &error), HAKUBAN_ERR_EXISTS);
    ck_assert_int_eq(access(path, F_OK), 0);
    thost_unlisten(&server, 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    end();
}
END_TEST

START_TEST(a_socket_file_of_another_program_is_not_removed)
{
    begin(&hakuban_transport_unix);
    listen_at(&server, unix_url);
    ck_assert_int_eq(unlink(path), 0);
    listen_at(&client, unix_url);
    thost_unlisten(&server, 0);
    ck_assert_int_eq(access(path, F_OK), 0);
    end();
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    begin(&hakuban_transport_unix);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    (void)close(fd);
    ck_assert_int_eq(thost_listen(&server, unix_url, NULL, &error), HAKUBAN_ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(error.text, "no socket"));
    ck_assert_int_eq(access(path, F_OK), 0);
    (void)unlink(path);
    end();
}
END_TEST

START_TEST(a_missing_directory_is_named)
{
    begin(&hakuban_transport_unix);
    ck_assert_int_eq(thost_listen(&server, "unix:///tmp/hkb-no-such/x.sock", NULL, &error),
                     HAKUBAN_ERR_NOT_FOUND);
    ck_assert_str_eq(error.text, "cannot listen on unix:///tmp/hkb-no-such/x.sock: there is no "
                                 "directory /tmp/hkb-no-such");
    end();
}
END_TEST

START_TEST(peers_are_named_by_their_address)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://[::]:0");
    ck_assert_int_eq(strncmp(url, "tcp://[::]:", 11), 0);
    int fd = raw_connect(port_of(url));
    THOST_UNTIL(&server, NULL, server.accepted_count == 1);
    ck_assert_msg(strncmp(server.links->peer, "127.0.0.1:", 10) == 0, "%s", server.links->peer);
    (void)close(fd);
    char here[64];
    (void)snprintf(here, sizeof(here), "tcp://[::1]:%u", (unsigned)port_of(url));
    hakuban_status status;
    ck_assert_ptr_nonnull(thost_dial(&client, here, &status, &error));
    THOST_UNTIL(&server, &client, server.accepted_count == 2);
    ck_assert_msg(strncmp(server.links->peer, "[::1]:", 6) == 0, "%s", server.links->peer);
    end();
}
END_TEST

START_TEST(parameters_are_kept_out_of_texts)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://127.0.0.1:0#nodelay=false,token=secret");
    ck_assert_ptr_null(strchr(url, '#'));
    thost_unlisten(&server, 0);
    char with_token[300];
    (void)snprintf(with_token, sizeof(with_token), "%s#nodelay=false,token=secret", url);
    hakuban_status status;
    hakuban_carrier *carrier = thost_dial(&client, with_token, &status, &error);
    ck_assert_ptr_nonnull(carrier);
    THOST_UNTIL(&client, NULL, carrier->closed);
    ck_assert_ptr_null(strstr(carrier->text, "secret"));
    end();
}
END_TEST

START_TEST(a_port_without_permission_or_an_address_of_others_is_refused_in_words)
{
    begin(&hakuban_transport_tcp);
    ck_assert_int_eq(thost_listen(&server, "tcp://192.0.2.1:4000", NULL, &error), HAKUBAN_ERR_IO);
    ck_assert_str_eq(error.text,
                     "cannot listen on tcp://192.0.2.1:4000: Cannot assign requested address");
    end();
}
END_TEST

START_TEST(a_full_queue_of_a_unix_listener_is_waited_for)
{
    begin(&hakuban_transport_unix);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    hakuban_status status;
    hakuban_carrier *first = thost_dial(&client, unix_url, &status, &error);
    hakuban_carrier *second = thost_dial(&client, unix_url, &status, &error);
    hakuban_carrier *third = thost_dial(&client, unix_url, &status, &error);
    ck_assert(first && second && third);
    THOST_UNTIL(&client, NULL, first->opened);
    ck_assert_uint_eq(second->opened + second->closed, 0);
    int fd = accept(listener, NULL, NULL);
    THOST_UNTIL(&client, NULL, second->opened + third->opened == 1);
    client.skew_ns = 5 * SECOND_NS + 1;
    THOST_UNTIL(&client, NULL, second->closed + third->closed == 1);
    ck_assert_int_eq(second->closed ? second->why : third->why, HAKUBAN_ERR_TIMEOUT);
    (void)close(fd);
    (void)close(listener);
    (void)unlink(path);
    end();
}
END_TEST

START_TEST(connecting_has_five_seconds)
{
    begin(&hakuban_transport_tcp);
    uint16_t port;
    int listener = raw_listen(0, &port), fillers[4];
    for (unsigned i = 0; i < 4; i++) {
        fillers[i] = raw_connect(port);
    }
    char silent[64];
    (void)snprintf(silent, sizeof(silent), "tcp://127.0.0.1:%u", (unsigned)port);
    hakuban_status status;
    hakuban_carrier *carrier = thost_dial(&client, silent, &status, &error);
    ck_assert_ptr_nonnull(carrier);
    client.skew_ns = 4 * SECOND_NS;
    thost_settle(&client, NULL);
    ck_assert_uint_eq(carrier->closed + carrier->opened, 0);
    client.skew_ns = 5 * SECOND_NS + 1;
    THOST_UNTIL(&client, NULL, carrier->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_TIMEOUT);
    for (unsigned i = 0; i < 4; i++) {
        (void)close(fillers[i]);
    }
    (void)close(listener);
    end();
}
END_TEST

START_TEST(a_flood_of_connections_is_accepted_at_a_limited_rate)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://127.0.0.1:0");
    server.fixed_ns = thost_now_ns(&server);
    int fds[200];
    for (unsigned i = 0; i < 200; i++) {
        fds[i] = raw_connect(port_of(url));
    }
    thost_settle(&server, NULL);
    size_t first = server.accepted_count;
    ck_assert_uint_le(first, 64);
    ck_assert_uint_ge(first, 1);
    /* 20 ms on it is 40 more at most. */
    server.skew_ns += SECOND_NS / 50;
    thost_settle(&server, NULL);
    ck_assert_uint_le(server.accepted_count, first + 40);
    for (unsigned i = 0; i < 5; i++) {
        server.skew_ns += SECOND_NS / 25;
        thost_settle(&server, NULL);
    }
    ck_assert_uint_eq(server.accepted_count, 200);
    ck_assert_uint_lt(server.ready_calls, 30);
    for (unsigned i = 0; i < 200; i++) {
        (void)close(fds[i]);
    }
    end();
}
END_TEST

START_TEST(without_descriptors_accepting_pauses_for_a_second_and_recovers)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://127.0.0.1:0");
    int fds[10];
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = raw_connect(port_of(url));
    }
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    /* No number below the highest open one is free, so two more make EMFILE. */
    none.rlim_cur = (rlim_t)fds[9] + 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    THOST_UNTIL(&server, NULL, server.accepted_count == 2);
    thost_settle(&server, NULL);
    unsigned long calls = server.ready_calls;
    ck_assert_uint_lt(calls, 10);
    for (unsigned i = 0; i < 50; i++) {
        (void)thost_turn(&server, 0);
    }
    ck_assert_uint_eq(server.ready_calls, calls);
    server.skew_ns += SECOND_NS + 1;
    thost_settle(&server, NULL);
    ck_assert_uint_eq(server.accepted_count, 2);
    ck_assert_uint_lt(server.ready_calls, calls + 3);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    server.skew_ns += SECOND_NS + 1;
    THOST_UNTIL(&server, NULL, server.accepted_count == 10);
    for (unsigned i = 0; i < 10; i++) {
        (void)close(fds[i]);
    }
    end();
}
END_TEST

START_TEST(a_name_that_the_host_has_not_looked_up_is_an_error_in_words)
{
    begin(&hakuban_transport_tcp);
    hakuban_status status;
    ck_assert_ptr_null(thost_dial(&client, "tcp://a.invalid:4000", &status, &error));
    ck_assert_int_eq(status, HAKUBAN_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "a.invalid"));
    ck_assert_int_eq(thost_listen(&server, "tcp://a.invalid:0", NULL, &error),
                     HAKUBAN_ERR_NOT_FOUND);
    end();
}
END_TEST

START_TEST(without_descriptors_a_dial_fails_in_words)
{
    begin(&hakuban_transport_tcp);
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    hakuban_status status;
    ck_assert_ptr_null(thost_dial(&client, "tcp://127.0.0.1:4000", &status, &error));
    ck_assert_int_eq(status, HAKUBAN_ERR_IO);
    ck_assert_str_eq(error.text, "cannot connect to tcp://127.0.0.1:4000: Too many open files");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    end();
}
END_TEST

static void reset(int fd)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    (void)close(fd);
}

START_TEST(a_peer_that_resets_is_an_error_in_words)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://127.0.0.1:0");
    int fd = raw_connect(port_of(url));
    THOST_UNTIL(&server, NULL, server.accepted_count == 1);
    reset(fd);
    THOST_UNTIL(&server, NULL, server.closed_count == 1);
    ck_assert_int_eq(server.links->why, HAKUBAN_ERR_IO);
    ck_assert_str_eq(server.links->text, "Connection reset by peer");
    end();
}
END_TEST

START_TEST(what_a_peer_says_before_it_resets_is_still_heard)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, "tcp://127.0.0.1:0");
    /* Were SIGPIPE not held off, it would end this program. */
    (void)signal(SIGPIPE, SIG_DFL);
    int fd = raw_connect(port_of(url));
    THOST_UNTIL(&server, NULL, server.accepted_count == 1);
    hakuban_carrier *carrier = server.links;
    ck_assert_int_eq(thost_send(carrier, "hello", 5), 0);
    ck_assert_int_eq(send(fd, "go away", 7, 0), 7);
    (void)close(fd);
    for (unsigned i = 0; i < 10 && thost_send(carrier, "more", 4) == 0; i++) {
    }
    ck_assert_int_eq(thost_send(carrier, "more", 4), HAKUBAN_ERR_CLOSED);
    ck_assert_uint_eq(carrier->closed, 0);
    THOST_UNTIL(&server, NULL, carrier->closed);
    ck_assert_uint_eq(carrier->bytes, 7);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_IO);
    end();
}
END_TEST

START_TEST(small_messages_are_not_delayed_unless_asked_for)
{
    begin(&hakuban_transport_tcp);
    listen_at(&server, _i ? "tcp://127.0.0.1:0#nodelay=false" : "tcp://127.0.0.1:0");
    int fd = raw_connect(port_of(url));
    THOST_UNTIL(&server, NULL, server.accepted_count == 1);
    int nodelay = -1;
    socklen_t bytes = sizeof(nodelay);
    ck_assert_int_eq(getsockopt(((hkb_stream_conn *)server.links->conn)->fd, IPPROTO_TCP,
                                TCP_NODELAY, &nodelay, &bytes),
                     0);
    ck_assert_int_eq(nodelay != 0, _i == 0);
    (void)close(fd);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets");
    TCase *files = tcase_create("unix"), *tcp = tcase_create("tcp");
    /* On its own, since valgrind accepts and drops what the limit forbids to accept. */
    TCase *descriptors = tcase_create("descriptors");
    tcase_add_test(files, a_socket_file_left_behind_is_replaced_and_removed_in_the_end);
    tcase_add_test(files, a_socket_file_of_another_program_is_not_removed);
    tcase_add_test(files, a_file_that_is_no_socket_is_left_alone);
    tcase_add_test(files, a_missing_directory_is_named);
    tcase_add_test(files, a_full_queue_of_a_unix_listener_is_waited_for);
    tcase_add_test(tcp, peers_are_named_by_their_address);
    tcase_add_test(tcp, parameters_are_kept_out_of_texts);
    tcase_add_test(tcp, a_port_without_permission_or_an_address_of_others_is_refused_in_words);
    tcase_add_test(tcp, connecting_has_five_seconds);
    tcase_add_test(tcp, a_flood_of_connections_is_accepted_at_a_limited_rate);
    tcase_add_test(tcp, a_name_that_the_host_has_not_looked_up_is_an_error_in_words);
    tcase_add_test(descriptors, without_descriptors_accepting_pauses_for_a_second_and_recovers);
    tcase_add_test(descriptors, without_descriptors_a_dial_fails_in_words);
    tcase_add_test(tcp, a_peer_that_resets_is_an_error_in_words);
    tcase_add_test(tcp, what_a_peer_says_before_it_resets_is_still_heard);
    tcase_add_loop_test(tcp, small_messages_are_not_delayed_unless_asked_for, 0, 2);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, tcp);
    suite_add_tcase(suite, descriptors);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
