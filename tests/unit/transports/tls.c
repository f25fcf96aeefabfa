/* What is peculiar to TLS: certificates that are good and bad, files that cannot be used,
 * handshakes that end anywhere, peers that do not speak TLS, and what OpenSSL leaves in the
 * program. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "certificates.h"
#include "programs.h"
#include "stream/stream.h"
#include "transport_host.h"

#define SECOND_NS UINT64_C(1000000000)

static thost server, client;
static char url[256];
static hakuban_error error;

static void make_all(void)
{
    static const certificate all[] = {
        {.name = "expired", .from_s = -7200, .until_s = -3600},
        {.name = "early", .from_s = 3600, .until_s = 7200},
        {.name = "selfsigned", .issuer = "self"},
        {.name = "elsewhere", .subjects = "DNS:elsewhere.example,IP:127.0.0.2"},
        {.name = "otherca", .issuer = "self", .is_authority = true},
        {.name = "othersigned", .issuer = "otherca"},
        {.name = "forclients", .purpose = "clientAuth"},
        {.name = "forservers", .purpose = "serverAuth"},
        {.name = "weak", .is_weak = true},
        {.name = "expiredclient", .purpose = "clientAuth", .from_s = -7200, .until_s = -3600},
        {.name = "earlyclient", .purpose = "clientAuth", .from_s = 3600, .until_s = 7200},
        {.name = "selfclient", .purpose = "clientAuth", .issuer = "self"},
        {.name = "otherclient", .purpose = "clientAuth", .issuer = "otherca"},
        {.name = "wildcard", .subjects = "DNS:*.hubs.example"},
    };
    certificates_make();
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        certificate_make(&all[i]);
    }
}

static const char *file(const char *name, const char *ending)
{
    char text[100];
    (void)snprintf(text, sizeof(text), "%s.%s", name, ending);
    return certificates_path(text);
}

static void begin(const hakuban_transport_ops *of_server)
{
    ck_assert_int_eq(thost_init(&server, of_server, NULL), 0);
    ck_assert_int_eq(thost_init(&client, &hakuban_transport_tls, NULL), 0);
}

static void end(void)
{
    thost_done(&client);
    thost_done(&server);
}

/* With the certificate of this name, and what more is in the URL. */
static void serve(const char *name, const char *more)
{
    char text[1500];
    (void)snprintf(text, sizeof(text), "tls://127.0.0.1:0#cert=%s,key=%s%s", file(name, "crt"),
                   file(name, "key"), more);
    hakuban_status status = thost_listen(&server, text, url, &error);
    ck_assert_msg(status == 0, "%s", error.text);
}

static hakuban_carrier *dial(const char *parameters)
{
    char text[1500];
    hakuban_status status;
    (void)snprintf(text, sizeof(text), "%s#%s", url, parameters);
    hakuban_carrier *carrier = thost_dial(&client, text, &status, &error);
    ck_assert_msg(carrier, "%s", error.text);
    return carrier;
}

static const char *with_ca(const char *ca)
{
    static char text[300];
    (void)snprintf(text, sizeof(text), "ca=%s", file(ca, "crt"));
    return text;
}

static const char *with_own(const char *name)
{
    static char text[900];
    (void)snprintf(text, sizeof(text), "ca=%s,cert=%s,key=%s", file("ca", "crt"), file(name, "crt"),
                   file(name, "key"));
    return text;
}

/* Both directions work. */
static void check_works(hakuban_carrier *here)
{
    THOST_UNTIL(&server, &client, here->opened);
    thost_settle(&server, NULL);
    hakuban_carrier *there = server.links;
    size_t before[] = {here->bytes, there->bytes};
    ck_assert_int_eq(thost_send(here, "ping", 4), HAKUBAN_OK);
    ck_assert_int_eq(thost_send(there, "pong", 4), HAKUBAN_OK);
    THOST_UNTIL(&server, &client, here->bytes == before[0] + 4 && there->bytes == before[1] + 4);
}

/* The server's link that ended last. */
static hakuban_carrier *last_closed(void)
{
    hakuban_carrier *each = server.links;
    while (each && !each->closed) {
        each = each->next;
    }
    ck_assert_ptr_nonnull(each);
    return each;
}

/* -- Certificates of servers -- */

static const struct {
    const char *name, *words, *heard; /* on the side that looks at it, and on the other one */
} bad_servers[] = {
    {"expired", "has expired", "certificate expired"},
    {"early", "not valid yet", "bad certificate"},
    {"selfsigned", "signed by itself", "unknown CA"},
    {"elsewhere", "it is not for 127.0.0.1", "bad certificate"},
    {"othersigned", "issuer is unknown", "unknown CA"},
    {"forclients", "another purpose", "unsupported certificate"},
};

START_TEST(a_server_with_a_bad_certificate_is_refused_in_words)
{
    begin(&hakuban_transport_tls);
    serve("server", "");
    hakuban_carrier *good = dial(with_ca("ca"));
    check_works(good);
    hakuban_carrier *good_there = server.links;
    serve(bad_servers[_i].name, "");
    hakuban_carrier *carrier = dial(with_ca("ca"));
    THOST_UNTIL(&server, &client, carrier->closed && server.closed_count == 1);
    ck_assert_uint_eq(carrier->opened, 0);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_REFUSED);
    ck_assert_msg(strstr(carrier->text, bad_servers[_i].words), "%s", carrier->text);
    ck_assert_msg(strstr(last_closed()->text, bad_servers[_i].heard), "%s", last_closed()->text);
    ck_assert_int_eq(thost_send(good, "on", 2), HAKUBAN_OK);
    THOST_UNTIL(&server, &client, good_there->bytes == 6);
    end();
}
END_TEST

START_TEST(the_file_with_the_authority_is_named)
{
    begin(&hakuban_transport_tls);
    serve("othersigned", "");
    hakuban_carrier *carrier = dial(with_ca("ca"));
    THOST_UNTIL(&server, &client, carrier->closed);
    ck_assert_msg(strstr(carrier->text, file("ca", "crt")), "%s", carrier->text);
    carrier = dial(""); /* the system's store, which here has our authority alone */
    THOST_UNTIL(&server, &client, carrier->closed);
    ck_assert_msg(strstr(carrier->text, "the system's store"), "%s", carrier->text);
    check_works(dial(with_ca("otherca")));
    end();
}
END_TEST

START_TEST(what_is_not_to_be_verified_is_not)
{
    begin(&hakuban_transport_tls);
    serve(bad_servers[_i].name, "");
    check_works(dial("verify=none"));
    end();
}
END_TEST

START_TEST(a_server_may_be_asked_for_by_another_name)
{
    begin(&hakuban_transport_tls);
    serve("elsewhere", "");
    char text[400];
    (void)snprintf(text, sizeof(text), "%s,server-name=elsewhere.example", with_ca("ca"));
    check_works(dial(text));
    (void)snprintf(text, sizeof(text), "%s,server-name=127.0.0.2", with_ca("ca"));
    check_works(dial(text));
    (void)snprintf(text, sizeof(text), "%s,server-name=example", with_ca("ca"));
    hakuban_carrier *carrier = dial(text);
    THOST_UNTIL(&server, &client, carrier->closed);
    ck_assert_msg(strstr(carrier->text, "it is not for example"), "%s", carrier->text);
    serve("wildcard", "");
    (void)snprintf(text, sizeof(text), "%s,server-name=a.hubs.example", with_ca("ca"));
    check_works(dial(text));
    (void)snprintf(text, sizeof(text), "%s,server-name=a.b.hubs.example", with_ca("ca"));
    carrier = dial(text);
    THOST_UNTIL(&server, &client, carrier->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_REFUSED);
    end();
}
END_TEST

/* -- Certificates of clients -- */

static const struct {
    const char *name, *words, *heard; /* name NULL: none is shown */
} bad_clients[] = {
    {NULL, "the client has no certificate", "certificate required"},
    {"expiredclient", "has expired", "certificate expired"},
    {"earlyclient", "not valid yet", "bad certificate"},
    {"selfclient", "signed by itself", "unknown CA"},
    {"otherclient", "issuer is unknown", "unknown CA"},
    {"forservers", "another purpose", "unsupported certificate"},
};

static const char *demanding(const char *how)
{
    static char text[300];
    (void)snprintf(text, sizeof(text), ",verify=%s,ca=%s", how, file("ca", "crt"));
    return text;
}

START_TEST(a_client_with_a_bad_certificate_is_refused_in_words)
{
    begin(&hakuban_transport_tls);
    serve("server", demanding(_i % 2 ? "required" : "optional"));
    const char *name = bad_clients[_i / 2].name;
    check_works(dial(with_own("client")));
    hakuban_carrier *good = client.links;
    hakuban_carrier *carrier = dial(name ? with_own(name) : with_ca("ca"));
    if (!name && _i % 2 == 0) {
        check_works(carrier);
    } else {
        THOST_UNTIL(&server, &client, carrier->closed && server.closed_count == 1);
        ck_assert_int_eq(last_closed()->why, HAKUBAN_ERR_REFUSED);
        ck_assert_msg(strstr(last_closed()->text, bad_clients[_i / 2].words), "%s",
                      last_closed()->text);
        ck_assert_uint_eq(last_closed()->bytes, 0);
        ck_assert_int_eq(carrier->why, HAKUBAN_ERR_REFUSED);
        ck_assert_msg(strstr(carrier->text, bad_clients[_i / 2].heard), "%s", carrier->text);
    }
    ck_assert_uint_eq(good->closed, 0);
    end();
}
END_TEST

/* -- Files -- */

static void copy_file(const char *from, const char *to, mode_t mode, const char *ending)
{
    char text[8192];
    FILE *in = fopen(from, "re");
    ck_assert_ptr_nonnull(in);
    size_t bytes = fread(text, 1, sizeof(text) - 100, in);
    (void)fclose(in);
    memcpy(text + bytes, ending, strlen(ending) + 1);
    scratch_write(to, text);
    ck_assert_int_eq(chmod(to, mode), 0);
}

static const struct {
    const char *param, *name, *words;
} bad_files[] = {
    {"cert", "missing", "No such file or directory"},
    {"cert", "empty", "it is empty"},
    {"cert", "folder", "it is no file"},
    {"cert", "words", "there is no certificate in it"},
    {"cert", "damaged", "it is damaged"},
    {"cert", "weak.crt", "its key is too weak"},
    {"cert", "huge", "more than 1 MiB"},
    {"key", "missing", "No such file or directory"},
    {"key", "empty", "it is empty"},
    {"key", "words", "there is no private key in it"},
    {"key", "locked", "it has a password"},
    {"key", "client.key", "it does not belong to the certificate"},
    {"key", "readable", "others may read it"},
    {"key", "ofgroup", "others may read it"},
    {"ca", "missing", "No such file or directory"},
    {"ca", "empty", "it is empty"},
    {"ca", "words", "there is no certificate in it"},
    {"ca", "damaged", "it is damaged"},
};

static void make_bad_files(void)
{
    static char huge[1200 * 1024];
    scratch_write(certificates_path("empty"), "");
    scratch_write(certificates_path("words"), "no certificate at all\n");
    (void)mkdir(certificates_path("folder"), 0700);
    memset(huge, 'x', sizeof(huge) - 1);
    scratch_write(certificates_path("huge"), huge);
    scratch_write(certificates_path("damaged"), "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                                "-----END CERTIFICATE-----\n");
    FILE *locked = fopen(certificates_path("locked"), "we");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ck_assert(locked && key);
    ck_assert_int_eq(
        PEM_write_PKCS8PrivateKey(locked, key, EVP_aes_128_cbc(), "word", 4, NULL, NULL), 1);
    (void)fclose(locked);
    EVP_PKEY_free(key);
    (void)chmod(certificates_path("empty"), 0600);
    (void)chmod(certificates_path("words"), 0600);
    (void)chmod(certificates_path("locked"), 0600);
    copy_file(certificates_path("server.key"), certificates_path("readable"), 0644, "");
    copy_file(certificates_path("server.key"), certificates_path("ofgroup"), 0620, "");
}

/* What the URL says, with one file that is bad. */
static const char *with_bad(int index, bool listening)
{
    static char text[1500];
    const char *params[] = {"cert", "key", "ca"}, *good[] = {"server.crt", "server.key", "ca.crt"};
    size_t used =
        (size_t)snprintf(text, sizeof(text), "%s#", listening ? "tls://127.0.0.1:0" : url);
    for (int i = 0; i < 3; i++) {
        bool bad = strcmp(params[i], bad_files[index].param) == 0;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s=%s,", params[i],
                                 certificates_path(bad ? bad_files[index].name : good[i]));
    }
    (void)snprintf(text + used, sizeof(text) - used, "verify=required");
    return text;
}

static void check_named(int index, hakuban_status status)
{
    char named[400];
    (void)snprintf(named, sizeof(named), "%s=%s: ", bad_files[index].param,
                   certificates_path(bad_files[index].name));
    ck_assert_int_lt(status, 0);
    ck_assert_int_eq(status, error.status);
    ck_assert_msg(strstr(error.text, named) && strstr(error.text, bad_files[index].words), "%s",
                  error.text);
}

START_TEST(a_file_that_cannot_be_used_is_named_with_the_reason)
{
    hakuban_status status = HAKUBAN_OK;
    make_bad_files();
    begin(&hakuban_transport_tls);
    serve("server", "");
    hakuban_carrier *good = dial(with_ca("ca"));
    check_works(good);
    char untouched[256] = "untouched";
    check_named(_i, thost_listen(&server, with_bad(_i, true), untouched, &error));
    ck_assert_str_eq(untouched, "untouched");
    ck_assert_ptr_null(thost_dial(&client, with_bad(_i, false), &status, &error));
    check_named(_i, status);
    check_works(good);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    end();
}
END_TEST

START_TEST(the_key_may_be_in_the_certificates_file)
{
    begin(&hakuban_transport_tls);
    char text[600], key[4096];
    FILE *in = fopen(certificates_path("server.key"), "re");
    ck_assert_ptr_nonnull(in);
    key[fread(key, 1, sizeof(key) - 1, in)] = '\0';
    (void)fclose(in);
    copy_file(certificates_path("server.crt"), certificates_path("both"), 0600, key);
    (void)snprintf(text, sizeof(text), "tls://127.0.0.1:0#cert=%s", certificates_path("both"));
    ck_assert_int_eq(thost_listen(&server, text, url, &error), 0);
    check_works(dial(with_ca("ca")));
    end();
}
END_TEST

START_TEST(a_renewed_authority_is_used_by_the_next_dial)
{
    begin(&hakuban_transport_tls);
    serve("othersigned", "");
    copy_file(certificates_path("ca.crt"), certificates_path("renewed.crt"), 0644, "");
    hakuban_carrier *carrier = dial(with_ca("renewed"));
    THOST_UNTIL(&server, &client, carrier->closed);
    copy_file(certificates_path("otherca.crt"), certificates_path("renewed.crt"), 0644, "");
    check_works(dial(with_ca("renewed")));
    end();
}
END_TEST

/* -- A relay that only counts -- */

static int raw_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int raw_connect(const char *to)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(strrchr(to, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    return fd;
}

typedef struct relay {
    int listener, ends[2];     /* to the client, to the server */
    size_t passed[2], most[2]; /* from the client, from the server */
    bool cut;
} relay;

/* What the client dials instead of url leads there. */
static void relay_begin(relay *it, size_t most_up, size_t most_down)
{
    uint16_t port;
    *it = (relay){.ends = {-1, -1}, .most = {most_up, most_down}};
    it->listener = raw_listen(&port);
    it->ends[1] = raw_connect(url);
    (void)snprintf(url, sizeof(url), "tls://127.0.0.1:%u", (unsigned)port);
}

static void relay_cut(relay *it)
{
    for (int i = 0; i < 2; i++) {
        if (it->ends[i] >= 0) {
            (void)close(it->ends[i]);
        }
        it->ends[i] = -1;
    }
    it->cut = true;
}

static void relay_turn(relay *it)
{
    if (it->ends[0] < 0 && !it->cut) {
        it->ends[0] = accept4(it->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    for (int i = 0; i < 2 && it->ends[0] >= 0; i++) {
        unsigned char data[4096];
        size_t room = it->most[i] - it->passed[i];
        ssize_t got = recv(it->ends[i], data, room < sizeof(data) ? room : sizeof(data), 0);
        if (got > 0) {
            ck_assert_int_eq(send(it->ends[1 - i], data, (size_t)got, MSG_NOSIGNAL), got);
            it->passed[i] += (size_t)got;
        }
        if (it->passed[i] == it->most[i] || got == 0) {
            relay_cut(it);
        }
    }
}

static void relay_end(relay *it)
{
    relay_cut(it);
    (void)close(it->listener);
}

#define RELAY_UNTIL(it, condition)                                                                 \
    for (uint64_t until_ns = thost_deadline_ns(); !(condition);) {                                 \
        ck_assert_msg(!thost_is_past(until_ns), "waited too long for %s", #condition);             \
        relay_turn(it);                                                                            \
        thost_turn_both(&server, &client);                                                         \
    }

START_TEST(a_handshake_cut_at_any_byte_ends_in_words_and_harms_no_other_link)
{
    begin(&hakuban_transport_tls);
    serve("server", "");
    check_works(dial(with_ca("ca")));
    hakuban_carrier *good = client.links;
    char real[256];
    memcpy(real, url, sizeof(real));
    size_t complete = 0, cuts = 0;
    for (size_t most = 1; !complete; most++) {
        relay between;
        memcpy(url, real, sizeof(url));
        /* From the client (even index) or the server. */
        relay_begin(&between, _i ? SIZE_MAX : most, _i ? most : SIZE_MAX);
        size_t closed = server.closed_count;
        hakuban_carrier *carrier = dial(with_ca("ca"));
        RELAY_UNTIL(&between, carrier->closed || (carrier->opened && !between.cut));
        if (!carrier->closed && !carrier->opened) {
            continue;
        }
        if (carrier->opened) {
            /* The client has said all; the server is the last to know. */
            for (unsigned i = 0; i < 20 && !between.cut; i++) {
                relay_turn(&between);
                thost_turn_both(&server, &client);
            }
            complete = between.cut ? 0 : most;
        }
        relay_end(&between);
        RELAY_UNTIL(&between, carrier->closed && server.closed_count == closed + 1);
        ck_assert_uint_gt(strlen(carrier->text), 10);
        cuts++;
        ck_assert_uint_lt(most, 4000);
    }
    ck_assert_uint_gt(cuts, _i ? 500 : 200);
    memcpy(url, real, sizeof(url));
    ck_assert_uint_eq(good->closed, 0);
    check_works(dial(with_ca("ca")));
    end();
}
END_TEST

/* Returns once both sides have agreed and nothing is under way. */
static hakuban_carrier *dial_through(relay *between)
{
    begin(&hakuban_transport_tls);
    serve("server", "");
    relay_begin(between, SIZE_MAX, SIZE_MAX);
    hakuban_carrier *carrier = dial(with_ca("ca"));
    RELAY_UNTIL(between, carrier->opened && server.links);
    for (unsigned i = 0; i < 50; i++) {
        relay_turn(between);
        thost_turn_both(&server, &client);
    }
    return carrier;
}

START_TEST(a_message_of_many_parts_is_one_record)
{
    relay between;
    hakuban_carrier *carrier = dial_through(&between);
    /* 5 bytes of header, 1 of type, 16 of authentication. */
    static unsigned char data[40000];
    static const size_t sizes[] = {1, 1000, 16384, 40000}, records[] = {1, 1, 1, 3};
    size_t arrived = 0;
    for (size_t i = 0; i < 4; i++) {
        size_t before = between.passed[0];
        ck_assert_int_ge(thost_send(carrier, data, sizes[i]), 0);
        arrived += sizes[i];
        RELAY_UNTIL(&between, server.links->bytes == arrived);
        ck_assert_uint_eq(between.passed[0] - before, sizes[i] + 22 * records[i]);
    }
    relay_end(&between);
    end();
}
END_TEST

START_TEST(an_end_without_close_notify_is_a_lost_connection)
{
    relay between;
    hakuban_carrier *carrier = dial_through(&between);
    ck_assert_int_eq(thost_send(carrier, "last", 4), HAKUBAN_OK);
    RELAY_UNTIL(&between, server.links->bytes == 4);
    relay_end(&between);
    THOST_UNTIL(&server, &client, carrier->closed && server.links->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_CLOSED);
    ck_assert_int_eq(server.links->why, HAKUBAN_ERR_CLOSED);
    ck_assert_str_eq(carrier->text, "the other side closed the connection");
    end();
}
END_TEST

/* -- Peers that do not speak TLS -- */

START_TEST(plain_text_to_tls_is_refused_in_words)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "\xe9\x01\xe7\x01{\"hakuban\":1}", "\x16\x03\x01",
                                        "\x16\x03\x01\x40\x01\x01", "\r\n\r\n\r\n\r\n\r\n\r\n"};
    begin(&hakuban_transport_tls);
    serve("server", "");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int fd = raw_connect(url);
        THOST_UNTIL(&server, NULL, server.accepted_count == i + 1);
        ck_assert_int_gt(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL), 0);
        (void)shutdown(fd, SHUT_WR);
        THOST_UNTIL(&server, NULL, server.closed_count == i + 1);
        ck_assert_msg(strstr(server.links->text, "TLS"), "%s", server.links->text);
        ck_assert_uint_eq(server.links->bytes, 0);
        (void)close(fd);
    }
    check_works(dial(with_ca("ca")));
    end();
}
END_TEST

START_TEST(tls_to_a_plain_bind_is_refused_in_words_on_both_sides)
{
    begin(_i == 0 ? &hakuban_transport_tcp
#ifdef HAKUBAN_TEST_WS
          : _i == 1 ? &hakuban_transport_ws
#endif
                    : &hakuban_transport_tcp);
    ck_assert_int_eq(thost_listen(&server,
                                  _i == 1 && server.ops != &hakuban_transport_tcp
                                      ? "ws://127.0.0.1:0"
                                      : "tcp://127.0.0.1:0",
                                  url, &error),
                     0);
    char plain[256];
    memcpy(plain, url, sizeof(plain));
    (void)snprintf(url, sizeof(url), "tls%s", strchr(plain, ':'));
    hakuban_carrier *carrier = dial("");
    THOST_UNTIL(&server, &client, carrier->closed && server.links && server.links->closed);
    ck_assert_int_eq(server.links->why, HAKUBAN_ERR_PROTOCOL);
    ck_assert_msg(strstr(server.links->text, "the peer speaks TLS"), "%s", server.links->text);
    ck_assert_uint_eq(server.links->bytes, 0);
    ck_assert_uint_eq(carrier->opened, 0);
    ck_assert_msg(strstr(carrier->text, "TLS"), "%s", carrier->text);
    end();
}
END_TEST

START_TEST(plain_text_from_a_server_is_refused_in_words)
{
    begin(&hakuban_transport_tls);
    uint16_t port;
    int listener = raw_listen(&port), fd = -1;
    (void)snprintf(url, sizeof(url), "tls://127.0.0.1:%u", (unsigned)port);
    hakuban_carrier *carrier = dial("");
    THOST_UNTIL(&client, NULL, (fd = accept(listener, NULL, NULL)) >= 0);
    ck_assert_int_eq(send(fd, "220 mail.example\r\n", 18, MSG_NOSIGNAL), 18);
    THOST_UNTIL(&client, NULL, carrier->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_PROTOCOL);
    ck_assert_str_eq(carrier->text, "the other side does not speak TLS");
    (void)close(fd);
    (void)close(listener);
    end();
}
END_TEST

START_TEST(a_server_that_says_nothing_has_five_seconds)
{
    begin(&hakuban_transport_tls);
    uint16_t port;
    int listener = raw_listen(&port), fd = -1;
    (void)snprintf(url, sizeof(url), "tls://127.0.0.1:%u", (unsigned)port);
    hakuban_carrier *carrier = dial("");
    THOST_UNTIL(&client, NULL, (fd = accept(listener, NULL, NULL)) >= 0);
    client.skew_ns = 4 * SECOND_NS;
    thost_settle(&client, NULL);
    ck_assert_uint_eq(carrier->closed, 0);
    client.skew_ns = 5 * SECOND_NS + 1;
    THOST_UNTIL(&client, NULL, carrier->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_TIMEOUT);
    ck_assert_msg(strstr(carrier->text, "TLS"), "%s", carrier->text);
    (void)close(fd);
    (void)close(listener);
    end();
}
END_TEST

START_TEST(handshakes_that_stop_in_the_middle_hold_up_no_other_peer)
{
    begin(&hakuban_transport_tls);
    serve("server", "");
    int fds[300];
    for (size_t i = 0; i < 300; i++) {
        fds[i] = raw_connect(url);
        THOST_UNTIL(&server, NULL, server.accepted_count == i + 1);
        ck_assert_int_eq(send(fds[i], "\x16\x03\x01\x01\x00\x01\x00", 7, MSG_NOSIGNAL), 7);
    }
    check_works(dial(with_ca("ca")));
    ck_assert_uint_eq(server.closed_count, 0);
    for (size_t i = 0; i < 300; i++) {
        (void)close(fds[i]);
    }
    THOST_UNTIL(&server, NULL, server.closed_count == 300);
    end();
}
END_TEST

/* -- Clients that are not ours -- */

typedef struct foreign {
    const char *name;
    int version;         /* the only one; 0: any */
    const char *ciphers; /* of TLS 1.2; NULL: any */
    const char *alpn;    /* with lengths; NULL: none */
    const char *chosen;  /* NULL: it is refused; "": none */
} foreign;

static const foreign foreigns[] = {
    {"1.3", TLS1_3_VERSION, NULL, NULL, ""},
    {"1.2", TLS1_2_VERSION, NULL, NULL, ""},
    {"1.1", TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, NULL},
    {"1.2 without forward secrecy", TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, NULL},
    {"1.2 with CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL, NULL},
    {"hakuban.1", 0, NULL, "\x09hakuban.1", "hakuban.1"},
    {"http/1.1", 0, NULL, "\x08http/1.1", "http/1.1"},
    {"as a browser", 0, NULL, "\x02h2\x08http/1.1", "http/1.1"},
    {"both", 0, NULL, "\x08http/1.1\x09hakuban.1", "hakuban.1"},
    {"another one", 0, NULL, "\x02h2", NULL},
};

START_TEST(versions_ciphers_and_protocols_are_those_that_were_promised)
{
    const foreign *it = &foreigns[_i];
    begin(&hakuban_transport_tls);
    serve("server", "");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    ck_assert_ptr_nonnull(ssl);
    if (it->version) {
        SSL_set_security_level(ssl, 0);
        (void)SSL_set_min_proto_version(ssl, it->version);
        (void)SSL_set_max_proto_version(ssl, it->version);
    }
    if (it->ciphers) {
        ck_assert_int_eq(SSL_set_cipher_list(ssl, it->ciphers), 1);
    }
    if (it->alpn) {
        ck_assert_int_eq(
            SSL_set_alpn_protos(ssl, (const unsigned char *)it->alpn, (unsigned)strlen(it->alpn)),
            0);
    }
    int fd = raw_connect(url), result = 0, why = SSL_ERROR_WANT_READ;
    ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
    THOST_UNTIL(&server, NULL, server.accepted_count == 1);
    while (result != 1 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)) {
        ERR_clear_error();
        result = SSL_connect(ssl);
        why = SSL_get_error(ssl, result);
        (void)thost_turn(&server, 1);
    }
    if (it->chosen) {
        const unsigned char *chosen = NULL;
        unsigned bytes = 0;
        ck_assert_msg(result == 1, "%s", it->name);
        SSL_get0_alpn_selected(ssl, &chosen, &bytes);
        ck_assert_uint_eq(bytes, strlen(it->chosen));
        ck_assert(bytes == 0 || memcmp(chosen, it->chosen, bytes) == 0);
        ck_assert_int_eq(SSL_write(ssl, "hello", 5), 5);
        THOST_UNTIL(&server, NULL, server.links->bytes == 5);
        ck_assert_uint_eq(SSL_get_secure_renegotiation_support(ssl) && SSL_version(ssl) == 0, 0);
    } else {
        ck_assert_msg(result != 1, "%s", it->name);
        THOST_UNTIL(&server, NULL, server.closed_count == 1);
        ck_assert_uint_gt(strlen(server.links->text), 5);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    ERR_clear_error();
    end();
}
END_TEST

START_TEST(a_client_cannot_renegotiate)
{
    begin(&hakuban_transport_tls);
    serve("server", "");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL *ssl = SSL_new(context);
    int fd = raw_connect(url), result = 0;
    ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
    for (unsigned i = 0; i < 1000 && result != 1; i++) {
        result = SSL_connect(ssl);
        (void)thost_turn(&server, 1);
    }
    ck_assert_int_eq(result, 1);
    ck_assert_int_eq(SSL_renegotiate(ssl), 1);
    result = 0;
    for (unsigned i = 0; i < 100 && result != 1; i++) {
        result = SSL_do_handshake(ssl);
        (void)thost_turn(&server, 1);
    }
    ck_assert_int_eq(SSL_num_renegotiations(ssl) > 0 && result == 1 && !SSL_in_init(ssl), 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    ERR_clear_error();
    end();
}
END_TEST

/* -- The program's own use of OpenSSL -- */

static void leave_an_error(void)
{
    ERR_clear_error();
    ERR_new();
    ERR_set_debug("program.c", 7, "main");
    ERR_set_error(ERR_LIB_USER, 42, "%s", "of the program");
}

static void check_error_is_left(void)
{
    const char *name, *function, *data;
    int line, flags;
    unsigned long code = ERR_get_error_all(&name, &line, &function, &data, &flags);
    ck_assert_int_eq(ERR_GET_LIB(code), ERR_LIB_USER);
    ck_assert_int_eq(ERR_GET_REASON(code), 42);
    ck_assert_str_eq(name, "program.c");
    ck_assert_int_eq(line, 7);
    ck_assert_str_eq(data, "of the program");
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(the_queue_of_errors_is_left_as_it_was)
{
    make_bad_files();
    begin(&hakuban_transport_tls);
    leave_an_error();
    serve("server", "");
    check_error_is_left();
    leave_an_error();
    check_works(dial(with_ca("ca")));
    check_error_is_left();
    check_works(dial(with_ca("ca")));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    leave_an_error();
    hakuban_carrier *carrier = dial(with_ca("otherca"));
    THOST_UNTIL(&server, &client, carrier->closed && server.closed_count == 1);
    check_error_is_left();
    leave_an_error();
    ck_assert_int_lt(thost_listen(&server, with_bad(4, true), NULL, &error), 0);
    check_error_is_left();
    end();
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *all = tcase_create("tls");
    tcase_set_timeout(all, 100);
    tcase_add_unchecked_fixture(all, make_all, NULL);
    tcase_add_loop_test(all, a_server_with_a_bad_certificate_is_refused_in_words, 0,
                        COUNT(bad_servers));
    tcase_add_test(all, the_file_with_the_authority_is_named);
    tcase_add_loop_test(all, what_is_not_to_be_verified_is_not, 0, COUNT(bad_servers));
    tcase_add_test(all, a_server_may_be_asked_for_by_another_name);
    tcase_add_loop_test(all, a_client_with_a_bad_certificate_is_refused_in_words, 0,
                        2 * COUNT(bad_clients));
    tcase_add_loop_test(all, a_file_that_cannot_be_used_is_named_with_the_reason, 0,
                        COUNT(bad_files));
    tcase_add_test(all, the_key_may_be_in_the_certificates_file);
    tcase_add_test(all, a_renewed_authority_is_used_by_the_next_dial);
    tcase_add_loop_test(all, a_handshake_cut_at_any_byte_ends_in_words_and_harms_no_other_link, 0,
                        2);
    tcase_add_test(all, a_message_of_many_parts_is_one_record);
    tcase_add_test(all, an_end_without_close_notify_is_a_lost_connection);
    tcase_add_test(all, plain_text_to_tls_is_refused_in_words);
    tcase_add_loop_test(all, tls_to_a_plain_bind_is_refused_in_words_on_both_sides, 0, 2);
    tcase_add_test(all, plain_text_from_a_server_is_refused_in_words);
    tcase_add_test(all, a_server_that_says_nothing_has_five_seconds);
    tcase_add_test(all, handshakes_that_stop_in_the_middle_hold_up_no_other_peer);
    tcase_add_loop_test(all, versions_ciphers_and_protocols_are_those_that_were_promised, 0,
                        COUNT(foreigns));
    tcase_add_test(all, a_client_cannot_renegotiate);
    tcase_add_test(all, the_queue_of_errors_is_left_as_it_was);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
