/* From a URL to a router: what can never work is refused at once, all addresses of a name are
 * tried, an address is a good one when the other side's hello has come, and a name server has its
 * time but holds up nothing. Name servers are played by this file. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "fail_alloc.h"

/* -- Name servers -- */

static sem_t slow_may_answer;
static atomic_int slow_asked, asked;
static const char *const many[] = {"127.0.1.1", "127.0.1.2",  "127.0.1.3",  "127.0.1.4",
                                   "127.0.1.5", "127.0.1.6",  "127.0.1.7",  "127.0.1.8",
                                   "127.0.1.9", "127.0.1.10", "127.0.1.11", "127.0.1.12"};

/* Stands in for the C library's: many.test has twelve addresses, two.test the first two of them;
 * none.test is not known; slow.test is 127.0.0.1 once slow_may_answer is posted. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    union {
        void *symbol;
        int (*call)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    } real = {.symbol = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (hints->ai_flags & AI_NUMERICHOST) {
        return real.call(name, service, hints, ret);
    }
    atomic_fetch_add(&asked, 1);
    if (strcmp(name, "slow.test") == 0) {
        atomic_fetch_add(&slow_asked, 1);
        (void)sem_wait(&slow_may_answer);
        return real.call("127.0.0.1", service, hints, ret);
    }
    size_t count = strcmp(name, "many.test") == 0 ? 12 : strcmp(name, "two.test") == 0 ? 2 : 0;
    if (count == 0) {
        return EAI_NONAME;
    }
    struct addrinfo **next = ret;
    for (size_t i = 0; i < count; i++) {
        int status = real.call(many[i], service, hints, next);
        if (status != 0) {
            return status;
        }
        next = &(*next)->ai_next;
    }
    return 0;
}

static const char *const ip_schemes[] = {
    "tcp",
#ifdef HAKUBAN_TEST_WS
    "ws",
#endif
#ifdef HAKUBAN_TEST_ZMQ
    "zmq+tcp",
#endif
#ifdef HAKUBAN_TEST_TLS
    "tls",
#ifdef HAKUBAN_TEST_WS
    "wss",
#endif
#endif
};
#define IP_SCHEMES (int)(sizeof(ip_schemes) / sizeof(ip_schemes[0]))

static fail_alloc memory;

static exchange_pair begin(void)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    fail_alloc_init(&memory);
    (void)sem_init(&slow_may_answer, 0, 0);
    atomic_store(&asked, 0);
    atomic_store(&slow_asked, 0);
    pair.hub = exchange_make(pair.drive, &memory.table, "hub");
    pair.leaf = exchange_make(pair.drive, &memory.table, "leaf");
    return pair;
}

static void end(exchange_pair *pair)
{
    ck_assert_ptr_null(hakuban_exchange_free(pair->leaf));
    ck_assert_ptr_null(hakuban_exchange_free(pair->hub));
    ck_assert_uint_eq(memory.blocks, 0);
}

static unsigned port_of(const hakuban_listener *listener)
{
    return (unsigned)strtoul(strrchr(hakuban_listener_url(listener), ':') + 1, NULL, 10);
}

/* -- URLs -- */

static const char *const hopeless[] = {
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:3001/path",
    "tcp://:3001",
    "tcp://",
    "tcp://127.0.0.1:99999",
    "127.0.0.1:3001",
    "tcp:127.0.0.1:3001",
    "unix://x",
    "unix:///",
    "unix:///tmp/",
    "inproc://",
    "inproc://name/path",
#ifdef HAKUBAN_TEST_WS
    "ws://127.0.0.1",
    "ws://",
#endif
#ifdef HAKUBAN_TEST_ZMQ
    "zmq+tcp://127.0.0.1",
    "zmq+tcp://127.0.0.1:3001/path",
    "zmq+ipc://x",
#endif
};

START_TEST(a_url_that_can_never_work_is_refused_at_once)
{
    exchange_pair pair = begin();
    char long_name[400], label[301] = "";
    (void)memset(label, 'a', 300);
    (void)snprintf(long_name, sizeof(long_name), "tcp://%s.test:3001", label);
    for (size_t i = 0; i <= sizeof(hopeless) / sizeof(hopeless[0]); i++) {
        const char *url = i < sizeof(hopeless) / sizeof(hopeless[0]) ? hopeless[i] : long_name;
        hakuban_connection *connection = NULL;
        hakuban_listener *listener = NULL;
        hakuban_error errors[2] = {{0}};
        hakuban_status dialed =
            hakuban_exchange_connect(pair.leaf, url, NULL, &connection, &errors[0]);
        hakuban_status listened = hakuban_exchange_listen(pair.leaf, url, &listener, &errors[1]);
        ck_assert_msg(dialed == HAKUBAN_ERR_URL && listened == HAKUBAN_ERR_URL,
                      "%s: connecting says %d %s, listening %d %s", url, (int)dialed,
                      errors[0].text, (int)listened, errors[1].text);
        ck_assert(errors[0].text[0] && errors[1].text[0]);
    }
    static const char *const undialable[] = {
        "tcp://127.0.0.1:0",
#ifdef HAKUBAN_TEST_WS
        "ws://127.0.0.1:0",
        "ws://127.0.0.1:1/a b",
#endif
    };
    for (size_t i = 0; i < sizeof(undialable) / sizeof(undialable[0]); i++) {
        hakuban_connection *connection = NULL;
        ck_assert_msg(hakuban_exchange_connect(pair.leaf, undialable[i], NULL, &connection, NULL) ==
                          HAKUBAN_ERR_URL,
                      "%s is tried", undialable[i]);
    }
    end(&pair);
}
END_TEST

/* -- Addresses -- */

/* A listener at one address of a name, and a URL with the name and its port. */
static hakuban_listener *listen_behind(const exchange_pair *pair, const char *scheme,
                                       const char *address, const char *name, char out[100])
{
    char url[100];
    (void)snprintf(url, sizeof(url), "%s://%s:0", scheme, address);
    hakuban_listener *listener = listen_at(pair->hub, url);
    (void)snprintf(out, 100, "%s://%s:%u", scheme, name, port_of(listener));
    return listener;
}

START_TEST(all_addresses_of_a_name_are_tried)
{
    exchange_pair pair = begin();
    char url[100];
    hakuban_listener *listener =
        listen_behind(&pair, ip_schemes[_i], "127.0.1.12", "many.test", url);
    hakuban_connection *connection = connect_to(pair.leaf, url, NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    ck_assert_int_eq(info.last_error.status, HAKUBAN_OK); /* nothing was wrong in the end */
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

/* A socket that accepts, or swallows, what is no router. */
static int open_bad(const char *address, unsigned port, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    ck_assert_int_eq(inet_pton(AF_INET, address, &at.sin_addr), 1);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

static unsigned drop_peers(int fd)
{
    unsigned count = 0;
    for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; count++) {
        ck_assert_int_ge(send(peer, "220 mail\r\n", 10, MSG_NOSIGNAL), 0);
        (void)close(peer);
    }
    return count;
}

/* All that this process has open; both ends are in it. */
static void cut_connections(void)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer;
        socklen_t bytes = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0 && peer.sin_family == AF_INET) {
            (void)shutdown(fd, SHUT_RDWR);
        }
    }
}

START_TEST(an_address_that_accepts_and_is_no_router_gives_way_to_a_good_one)
{
    exchange_pair pair = begin();
    char url[100];
    hakuban_listener *listener = listen_behind(&pair, ip_schemes[_i], "127.0.1.2", "two.test", url);
    int bad = open_bad("127.0.1.1", port_of(listener), 16);
    hakuban_connection *connection = connect_to(pair.leaf, url, NULL);
    hakuban_connection_info info = {0};
    unsigned visits = 0;
    int64_t until_ms = test_now_ms() + 2 * PATIENCE_MS;
    while (info.state != HAKUBAN_CONNECTION_CONNECTED) {
        ck_assert_msg(test_now_ms() < until_ms, "the good address is not found: %s",
                      info.last_error.text);
        pair_step(&pair, 10);
        visits += drop_peers(bad);
        hakuban_connection_query(connection, &info);
    }
    ck_assert_uint_eq(visits, 1);

    /* Lost, the good one is tried first, and no name server is asked. */
    int before = atomic_load(&asked);
    cut_connections();
    do {
        ck_assert_msg(test_now_ms() < until_ms, "nothing was lost");
        pair_step(&pair, 10);
        hakuban_connection_query(connection, &info);
    } while (info.state == HAKUBAN_CONNECTION_CONNECTED);
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    ck_assert_uint_eq(drop_peers(bad), 0);
    ck_assert_int_eq(atomic_load(&asked), before);
    (void)close(bad);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(an_address_that_swallows_everything_gives_way_to_a_good_one)
{
    exchange_pair pair = begin();
    char url[100];
    hakuban_listener *listener = listen_behind(&pair, ip_schemes[_i], "127.0.1.2", "two.test", url);
    int bad = open_bad("127.0.1.1", port_of(listener), 0), fillers[4];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(listener))};
    ck_assert_int_eq(inet_pton(AF_INET, "127.0.1.1", &at.sin_addr), 1);
    for (int i = 0; i < 4; i++) { /* its queue is full */
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
    hakuban_connection *connection = connect_to(pair.leaf, url, NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    for (int i = 0; i < 4; i++) {
        (void)close(fillers[i]);
    }
    (void)close(bad);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(at_a_name_the_first_address_that_can_be_had_is_listened_at)
{
    exchange_pair pair = begin();
    int taken = open_bad("127.0.1.1", 0, 1);
    struct sockaddr_in at;
    socklen_t bytes = sizeof(at);
    ck_assert_int_eq(getsockname(taken, (struct sockaddr *)&at, &bytes), 0);
    char url[100], expected[100], whole[CERTIFICATES_URL_BYTES];
    (void)snprintf(url, sizeof(url), "%s://two.test:%u", ip_schemes[_i], ntohs(at.sin_port));
    (void)snprintf(expected, sizeof(expected), "%s://127.0.1.2:%u", ip_schemes[_i],
                   ntohs(at.sin_port));
    hakuban_listener *listener = listen_at(pair.hub, url);
    ck_assert_str_eq(hakuban_listener_url(listener), expected);
    hakuban_listener *another = NULL;
    hakuban_error error = {0};
    ck_assert_int_eq(
        hakuban_exchange_listen(pair.hub, certificates_url(url, whole), &another, &error),
        HAKUBAN_ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(error.text, "two.test"));
    (void)snprintf(url, sizeof(url), "%s://none.test:1", ip_schemes[_i]);
    ck_assert_int_eq(
        hakuban_exchange_listen(pair.hub, certificates_url(url, whole), &another, &error),
        HAKUBAN_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "none.test"));
    (void)close(taken);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

/* -- Slow and missing name servers -- */

static void await_error(const exchange_pair *pair, hakuban_connection *connection,
                        hakuban_status status, hakuban_connection_info *ret)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    do {
        ck_assert_msg(test_now_ms() < until_ms, "the connection's error is %s",
                      ret->last_error.text);
        pair_step(pair, 100);
        hakuban_connection_query(connection, ret);
    } while (ret->last_error.status != status);
}

START_TEST(a_name_that_is_not_known_is_an_error_in_words_and_asked_for_again)
{
    exchange_pair pair = begin();
    hakuban_connection *connection = connect_to(pair.leaf, "tcp://none.test:1", NULL);
    hakuban_connection_info info = {0};
    await_error(&pair, connection, HAKUBAN_ERR_NOT_FOUND, &info);
    ck_assert_ptr_nonnull(strstr(info.last_error.text, "cannot connect to tcp://none.test:1: "));
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (atomic_load(&asked) < 3) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        pair_step(&pair, 100);
    }
    (void)hakuban_connection_free(connection);
    end(&pair);
}
END_TEST

START_TEST(a_late_answer_of_a_name_server_serves_the_next_try)
{
    exchange_pair pair = begin();
    char url[100];
    hakuban_listener *listener = listen_behind(&pair, "tcp", "127.0.0.1", "slow.test", url);
    hakuban_connection *connection = connect_to(pair.leaf, url, NULL);
    hakuban_connection_info info = {0};
    await_error(&pair, connection, HAKUBAN_ERR_TIMEOUT, &info); /* its own time is over */
    ck_assert_ptr_nonnull(strstr(info.last_error.text, "looked up"));
    (void)sem_post(&slow_may_answer);
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    ck_assert_int_eq(atomic_load(&slow_asked), 1);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(a_slow_name_server_holds_up_nothing)
{
    exchange_pair pair = begin();
    hakuban_connection *connection = connect_to(pair.leaf, "tcp://slow.test:1", NULL);
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (atomic_load(&slow_asked) == 0) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        pair_step(&pair, 10);
    }
    /* The exchange serves others, listens in vain for a second, and ends at once. */
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_contract *writer = expose(pair.leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"served\"", NULL), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"served\"");
    hakuban_listener *listener = NULL;
    int64_t began_ms = test_now_ms();
    ck_assert_int_eq(hakuban_exchange_listen(pair.leaf, "tcp://slow.test:0", &listener, NULL),
                     HAKUBAN_ERR_TIMEOUT);
    ck_assert_int_lt(test_now_ms() - began_ms, 5000);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    (void)hakuban_contract_free(reader);
    began_ms = test_now_ms();
    (void)hakuban_connection_free(connection);
    ck_assert_int_eq(hakuban_exchange_close(pair.leaf, -1), HAKUBAN_OK);
    end(&pair);
    ck_assert_int_lt(test_now_ms() - began_ms, 1500);
    /* Its threads end by themselves, and what they find interests nothing any more. */
    (void)sem_post(&slow_may_answer);
    (void)sem_post(&slow_may_answer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dialing");
    TCase *cases = tcase_create("dialing");
    tcase_set_timeout(cases, 100);
    tcase_add_unchecked_fixture(cases, certificates_make, NULL);
    tcase_add_test(cases, a_url_that_can_never_work_is_refused_at_once);
    tcase_add_loop_test(cases, all_addresses_of_a_name_are_tried, 0, IP_SCHEMES);
    tcase_add_loop_test(cases, an_address_that_accepts_and_is_no_router_gives_way_to_a_good_one, 0,
                        IP_SCHEMES);
    tcase_add_loop_test(cases, an_address_that_swallows_everything_gives_way_to_a_good_one, 0,
                        IP_SCHEMES);
    tcase_add_loop_test(cases, at_a_name_the_first_address_that_can_be_had_is_listened_at, 0,
                        IP_SCHEMES);
    tcase_add_test(cases, a_name_that_is_not_known_is_an_error_in_words_and_asked_for_again);
    tcase_add_test(cases, a_late_answer_of_a_name_server_serves_the_next_try);
    tcase_add_test(cases, a_slow_name_server_holds_up_nothing);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
