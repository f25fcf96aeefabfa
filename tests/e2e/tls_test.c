/* TLS as users have it: the first steps of the README, OpenSSL's own client and server, what the
 * programs say about certificates that are refused, and a handshake that never ends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.h"
#include "programs.h"

static char url[URL_BYTES];
static program *router;

static program *run(const char *script)
{
    return program_run("/bin/sh", "-c", script, NULL);
}

/* Without OpenSSL's program some tests cannot be, and say so. */
static bool has_openssl(const char *test)
{
    bool has = program_end(run("command -v openssl >/dev/null")) == 0;
    if (!has) {
        fprintf(stderr, "# skipped: %s: the program openssl is missing\n", test);
    }
    return has;
}

static void start(const char *bind)
{
    router = router_run(url, bind, "-v", NULL);
}

static void stop(void)
{
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}

static unsigned port(void)
{
    return (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
}

/* A state goes through the router, over the two URLs. */
static void check_serves(const char *exposing, const char *observing)
{
    program *exposer = program_run("hakuban", "expose", "-c", exposing, "--keep", "1", NULL);
    program_write(exposer, "\"here\"\n");
    program *observer =
        program_run("hakuban", "get", "-c", observing, "--for", "20s", "--raw", "1", NULL);
    ck_assert_str_eq(program_line(observer), "\"here\"");
    ck_assert_int_eq(program_end(observer), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
}

START_TEST(from_nothing_to_an_encrypted_table)
{
    if (!has_openssl("the first steps")) {
        return;
    }
    char script[700], table[700], own[URL_BYTES * 4];
    const char *folder = scratch_path("dev");
    (void)snprintf(script, sizeof(script), "%s/scripts/dev-certs.sh %s alice",
                   getenv("HAKUBAN_SOURCE"), folder);
    ck_assert_int_eq(program_end(run(script)), 0);
    (void)snprintf(own, sizeof(own),
                   "tls://127.0.0.1:0#cert=%s/server.crt,key=%s/server.key,verify=required,ca=%s/"
                   "ca.crt",
                   folder, folder, folder);
    router = router_run(url, own, "-v", "--stats-tag", "\"stats\"", NULL);
    (void)snprintf(
        table, sizeof(table),
        "HAKUBAN_URL='tls://localhost:%u#ca=%s/ca.crt,cert=%s/alice.crt,key=%s/alice.key'"
        " exec \"$HAKUBAN_BIN/hakuban\" snapshot --stats-tag '\"stats\"'",
        port(), folder, folder, folder);
    program *snapshot = run(table);
    ck_assert_ptr_nonnull(program_find(snapshot, "PRINCIPAL"));
    ck_assert_ptr_nonnull(strstr(program_find(snapshot, "downstream"), "cert alice"));
    ck_assert_int_eq(program_end(snapshot), 0);
    ck_assert_ptr_nonnull(program_find_error(router, "[cert alice]: connected"));
    /* Clients are added later, and nothing is made twice. */
    (void)snprintf(script, sizeof(script), "%s/scripts/dev-certs.sh %s alice bob",
                   getenv("HAKUBAN_SOURCE"), folder);
    program *more = run(script);
    ck_assert_ptr_nonnull(strstr(program_line(more), "bob.crt"));
    ck_assert_ptr_null(program_line(more));
    ck_assert_int_eq(program_end(more), 0);
    stop();
}
END_TEST

START_TEST(programs_meet_over_one_bind_natively_and_by_websocket)
{
    start("tls://localhost:0");
    char by_name[URL_BYTES], websocket[URL_BYTES];
    (void)snprintf(by_name, sizeof(by_name), "tls://localhost:%u", port());
    (void)snprintf(websocket, sizeof(websocket), "wss://localhost:%u/any/path", port());
    check_serves(url, by_name);
#ifdef HAKUBAN_TEST_WS
    check_serves(by_name, websocket);
    check_serves(websocket, url);
#endif
    stop();
}
END_TEST

START_TEST(the_client_of_openssl_finds_nothing_wrong)
{
    if (!has_openssl("openssl s_client")) {
        return;
    }
    start("tls://127.0.0.1:0");
    char script[900];
    (void)snprintf(script, sizeof(script),
                   "openssl s_client -connect 127.0.0.1:%u -CAfile %s -verify_return_error "
                   "-verify_ip 127.0.0.1 -alpn hakuban.1 </dev/null 2>&1",
                   port(), certificates_path("ca.crt"));
    program *client = run(script);
    ck_assert_ptr_nonnull(program_find(client, "TLSv1.3"));
    ck_assert_ptr_nonnull(program_find(client, "Compression: NONE"));
    ck_assert_ptr_nonnull(program_find(client, "ALPN protocol: hakuban.1"));
    ck_assert_ptr_nonnull(program_find(client, "Early data was not sent"));
    ck_assert_ptr_nonnull(program_find(client, "Verify return code: 0 (ok)"));
    ck_assert_int_eq(program_end(client), 0);
    static const char *const refused[] = {"-tls1_1", "-tls1", "-tls1_2 -cipher AES128-SHA",
                                          "-alpn h2"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        (void)snprintf(script, sizeof(script),
                       "openssl s_client -connect 127.0.0.1:%u -CAfile %s %s </dev/null 2>&1",
                       port(), certificates_path("ca.crt"), refused[i]);
        ck_assert_int_ne(program_end(run(script)), 0);
    }
    check_serves(url, url);
    stop();
}
END_TEST

/* It shows what it is told: our hello. */
START_TEST(the_server_of_openssl_gets_our_hello)
{
    if (!has_openssl("openssl s_server")) {
        return;
    }
    char script[900];
    (void)snprintf(
        script, sizeof(script),
        "exec openssl s_server -accept 127.0.0.1:0 -cert %s -key %s -alpn hakuban.1 2>&1",
        certificates_path("server.crt"), certificates_path("server.key"));
    program *server = run(script);
    const char *line = program_find(server, "ACCEPT 127.0.0.1:");
    (void)snprintf(url, sizeof(url), "tls://%s", strchr(line, ' ') + 1);
    program *client = program_run("hakuban", "get", "-c", url, "--for", "20s", "1", NULL);
    ck_assert_ptr_nonnull(program_find(server, "{\"hakuban\":1"));
    ck_assert_int_ne(program_stop(client, SIGTERM), 139);
    (void)program_stop(server, SIGKILL);
}
END_TEST

START_TEST(what_is_refused_is_said_on_both_sides_and_harms_no_other_peer)
{
    char strange[URL_BYTES + 40], plain[URL_BYTES];
    start("tls://127.0.0.1:0");
    (void)snprintf(strange, sizeof(strange), "%s#server-name=elsewhere.example", url);
    program *tool = program_run("hakuban", "get", "-c", strange, "--for", "1s", "1", NULL);
    ck_assert_ptr_nonnull(program_find_error(tool, "it is not for elsewhere.example"));
    ck_assert_int_eq(program_end(tool), 1);
    ck_assert_ptr_nonnull(program_find_error(router, "the other side ended TLS: bad certificate"));
    (void)snprintf(plain, sizeof(plain), "tcp%s", strchr(url, ':'));
    tool = program_run("hakuban", "get", "-c", plain, "--for", "1s", "1", NULL);
    ck_assert_ptr_nonnull(program_find_error(router, "the other side does not speak TLS"));
    ck_assert_int_eq(program_end(tool), 1);
    check_serves(url, url);
    stop();
    start("tcp://127.0.0.1:0");
    (void)snprintf(plain, sizeof(plain), "tls%s", strchr(url, ':'));
    tool = program_run("hakuban", "get", "-c", plain, "--for", "1s", "1", NULL);
    ck_assert_ptr_nonnull(
        program_find_error(router, "the peer speaks TLS, and this bind does not"));
    ck_assert_int_eq(program_end(tool), 1);
    check_serves(url, url);
    stop();
}
END_TEST

START_TEST(what_is_not_verified_is_a_warning_each_time)
{
    char unverified[URL_BYTES + 20];
    start("tls://127.0.0.1:0");
    (void)snprintf(unverified, sizeof(unverified), "%s#verify=none", url);
    program *observer = program_run("hakuban", "observe", "-c", unverified, "1", NULL);
    ck_assert_ptr_nonnull(program_find_error(observer, "certificate was not checked"));
    ck_assert_int_eq(program_stop(router, SIGKILL), 128 + SIGKILL);
    char same[URL_BYTES];
    memcpy(same, url, sizeof(same));
    start(same);
    ck_assert_ptr_nonnull(program_find_error(observer, "certificate was not checked"));
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    stop();
}
END_TEST

START_TEST(a_bind_that_cannot_be_is_refused_in_words)
{
    char bind[CERTIFICATES_URL_BYTES];
    program *tool = program_run("hakuban-router", "-b", "tls://127.0.0.1:0", NULL);
    ck_assert_ptr_nonnull(program_find_error(tool, "cert=FILE,key=FILE"));
    ck_assert_int_eq(program_end(tool), 2);
    ck_assert_int_eq(chmod(certificates_path("server.key"), 0644), 0);
    (void)certificates_url("tls://127.0.0.1:0", bind);
    tool = program_run("hakuban-router", "-b", bind, NULL);
    const char *line = program_find_error(tool, "others may read it");
    ck_assert_ptr_nonnull(strstr(line, certificates_path("server.key")));
    ck_assert_int_eq(program_end(tool), 1);
    ck_assert_int_eq(chmod(certificates_path("server.key"), 0600), 0);
}
END_TEST

START_TEST(a_handshake_has_the_time_of_the_hello)
{
    start("tls://127.0.0.1:0");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port())};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(send(fd, "\x16\x03\x01\x01\x00\x01\x00", 7, MSG_NOSIGNAL), 7);
    ck_assert_ptr_nonnull(program_find_error(router, "within 5 s"));
    char end;
    ck_assert_int_le(recv(fd, &end, 1, 0), 0);
    (void)close(fd);
    check_serves(url, url);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *all = tcase_create("tls");
    tcase_set_timeout(all, 90);
    tcase_add_checked_fixture(all, certificates_make, NULL);
    tcase_add_test(all, from_nothing_to_an_encrypted_table);
    tcase_add_test(all, programs_meet_over_one_bind_natively_and_by_websocket);
    tcase_add_test(all, the_client_of_openssl_finds_nothing_wrong);
    tcase_add_test(all, the_server_of_openssl_gets_our_hello);
    tcase_add_test(all, what_is_refused_is_said_on_both_sides_and_harms_no_other_peer);
    tcase_add_test(all, what_is_not_verified_is_a_warning_each_time);
    tcase_add_test(all, a_bind_that_cannot_be_is_refused_in_words);
    tcase_add_test(all, a_handshake_has_the_time_of_the_hello);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
