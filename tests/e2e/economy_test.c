/* What travels: a leaf receives not one byte about an object that nothing below it asked for, and a
 * small change of a large state is small on the wire. Measured with the library's own counters, in
 * a router of another process. */
#define _GNU_SOURCE
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <hakuban/hakuban.h>

#include "programs.h"

typedef struct leaf {
    hakuban_exchange *exchange;
    hakuban_connection *connection;
} leaf;

static leaf leaf_new(const char *url)
{
    leaf l = {NULL, NULL};
    hakuban_error error = {.text = ""};
    ck_assert_int_eq(hakuban_exchange_new(NULL, &l.exchange), HAKUBAN_OK);
    ck_assert_msg(hakuban_exchange_connect(l.exchange, url, NULL, &l.connection, &error) >= 0, "%s",
                  error.text);
    ck_assert_int_eq(hakuban_connection_wait(l.connection, 20000, NULL), HAKUBAN_OK);
    return l;
}

static void leaf_free(leaf *l)
{
    hakuban_connection_free(l->connection);
    hakuban_exchange_free(l->exchange);
}

static uint64_t bytes_in(const leaf *l)
{
    hakuban_exchange_stats stats;
    hakuban_exchange_query(l->exchange, &stats);
    return stats.wire_bytes_in;
}

static hakuban_contract *observe(const leaf *l, const char *name)
{
    hakuban_descriptor *object = NULL;
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, name, NULL, 0, &object, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_observe_object(l->exchange, object, NULL, &contract), HAKUBAN_OK);
    hakuban_descriptor_unref(object);
    return contract;
}

/* Waits until the observed data are text. */
static void wait_for(hakuban_contract *contract, const char *text)
{
    for (;;) {
        hakuban_event event;
        ck_assert_int_eq(hakuban_contract_next(contract, 20000, &event), HAKUBAN_OK);
        hakuban_slice data = {NULL, 0};
        if (event.kind == HAKUBAN_EVENT_STATE) {
            data = hakuban_state_data(event.state);
        }
        int same = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
        hakuban_event_done(&event);
        if (same) {
            return;
        }
    }
}

START_TEST(leaf_receives_nothing_about_what_it_did_not_ask_for)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    leaf idle = leaf_new(url), busy = leaf_new(url);
    hakuban_contract *contract = observe(&busy, "\"wanted\"");
    /* Another object of the leaf's own makes its link one that is in use. */
    hakuban_contract *other = observe(&idle, "\"other\"");
    program *others = program_run("hakuban", "expose", "-c", url, "--keep", "\"other\"", NULL);
    program_write(others, "\"o\"\n");
    wait_for(other, "\"o\"");
    uint64_t before = bytes_in(&idle);
    program *exposer =
        program_run("hakuban", "expose", "-c", url, "--tag", "\"t\"", "\"wanted\"", NULL);
    program_stop(exposer, SIGTERM);
    exposer = program_run("hakuban", "expose", "-c", url, "\"wanted\"", NULL);
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof(line), "[%d]\n", i);
        program_write(exposer, line);
        line[strlen(line) - 1] = '\0';
        wait_for(contract, line);
    }
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    /* A state of its own object is behind whatever else could have been sent before it. */
    program_write(others, "\"p\"\n");
    wait_for(other, "\"p\"");
    uint64_t received = bytes_in(&idle) - before;
    ck_assert_msg(received <= 64, "%llu bytes for one state of three bytes",
                  (unsigned long long)received);
    ck_assert_uint_gt(bytes_in(&busy), 500);
    ck_assert_int_eq(program_stop(others, SIGTERM), 0);
    hakuban_contract_free(contract);
    hakuban_contract_free(other);
    leaf_free(&idle);
    leaf_free(&busy);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(small_change_of_a_large_state_is_small_on_the_wire)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, NULL);
    leaf l = leaf_new(url);
    hakuban_contract *contract = observe(&l, "\"large\"");
    program *exposer = program_run("hakuban", "expose", "-c", url, "\"large\"", NULL);
    static char line[100000];
    unsigned seed = 1;
    line[0] = '"';
    for (size_t i = 1; i < sizeof(line) - 3; i++) {
        seed = seed * 1103515245u + 12345u;
        line[i] = (char)('a' + (seed >> 16) % 26);
    }
    memcpy(line + sizeof(line) - 3, "\"\n", 3);
    program_write(exposer, line);
    line[sizeof(line) - 3 + 1] = '\0';
    wait_for(contract, line);
    uint64_t before = bytes_in(&l);
    line[50000] = 'A';
    line[sizeof(line) - 3 + 1] = '\n';
    program_write(exposer, line);
    line[sizeof(line) - 3 + 1] = '\0';
    wait_for(contract, line);
    uint64_t received = bytes_in(&l) - before;
    ck_assert_msg(received < 200, "%llu bytes for one changed letter",
                  (unsigned long long)received);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    hakuban_contract_free(contract);
    leaf_free(&l);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

/* Ends this process's connections to that port, as a network does that goes away. */
static void cut_connections(const char *url)
{
    long port = strtol(strrchr(url, ':') + 1, NULL, 10);
    unsigned cut = 0;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer = {.sin_family = AF_UNSPEC};
        socklen_t bytes = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port) {
            ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
            cut++;
        }
    }
    ck_assert_uint_gt(cut, 0);
}

enum { LAMPS = 500, LAMP_BYTES = 1000, CHANGED = 5 };

static void lamp_text(char *text, int index, int number)
{
    unsigned seed = (unsigned)index * 77 + 1;
    int head = snprintf(text, LAMP_BYTES, "\"%d ", number);
    for (int i = head; i < LAMP_BYTES - 2; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = (char)('a' + (seed >> 16) % 26);
    }
    memcpy(text + LAMP_BYTES - 2, "\"", 2);
}

/* Both sides lose their connections, a few of many states change meanwhile, and nothing else
 * travels again. */
START_TEST(only_what_changed_meanwhile_travels_after_a_lost_connection)
{
    char url[URL_BYTES];
    static hakuban_sink *sinks[LAMPS];
    static hakuban_contract *contracts[LAMPS];
    static int numbers[LAMPS];
    static char text[LAMP_BYTES];
    program *router = router_run(url, NULL, NULL);
    leaf exposing = leaf_new(url), observing = leaf_new(url);
    hakuban_queue *queue = NULL;
    hakuban_contract *observer = NULL;
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_new(exposing.exchange, &queue), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_observe_tag(observing.exchange, "\"lamps\"", NULL, &observer, NULL),
                     HAKUBAN_OK);
    for (int i = 0; i < LAMPS; i++) {
        char name[16];
        const char *tag = "\"lamps\"";
        hakuban_descriptor *object = NULL;
        hakuban_contract_options options = {
            .size = sizeof(options), .queue = queue, .user = &numbers[i]};
        snprintf(name, sizeof(name), "%d", i);
        ck_assert_int_eq(hakuban_descriptor_new(NULL, name, &tag, 1, &object, NULL), HAKUBAN_OK);
        ck_assert_int_eq(hakuban_expose_object(exposing.exchange, object, &options, &contracts[i]),
                         HAKUBAN_OK);
        hakuban_descriptor_unref(object);
    }
    for (int i = 0; i < LAMPS; i++) {
        ck_assert_int_eq(hakuban_queue_next(queue, 20000, &event), HAKUBAN_OK);
        ck_assert_int_eq(event.kind, HAKUBAN_EVENT_SINK_OPEN);
        int index = (int)((int *)event.user - numbers);
        sinks[index] = hakuban_sink_ref(event.sink);
        hakuban_event_done(&event);
        lamp_text(text, index, 1);
        ck_assert_int_eq(hakuban_sink_send_json(sinks[index], text, NULL), HAKUBAN_OK);
    }
    for (int due = LAMPS + 1; due > 0; hakuban_event_done(&event)) {
        ck_assert_int_eq(hakuban_contract_next(observer, 20000, &event), HAKUBAN_OK);
        due -= event.kind == HAKUBAN_EVENT_STATE || event.kind == HAKUBAN_EVENT_COMPLETE;
    }
    uint64_t first = bytes_in(&observing);
    ck_assert_uint_gt(first, LAMPS * 500);

    cut_connections(url);
    for (int i = 0; i < CHANGED; i++) {
        lamp_text(text, i * (LAMPS / CHANGED), 2);
        ck_assert_int_eq(hakuban_sink_send_json(sinks[i * (LAMPS / CHANGED)], text, NULL),
                         HAKUBAN_OK);
    }
    for (int i = 0; i < CHANGED; i++) {
        ck_assert_int_eq(hakuban_contract_next(observer, 20000, &event), HAKUBAN_OK);
        ck_assert_int_eq(event.kind, HAKUBAN_EVENT_STATE);
        ck_assert_int_eq(((const char *)hakuban_state_data(event.state).data)[1], '2');
        hakuban_event_done(&event);
    }
    /* One more is behind whatever else was sent. */
    lamp_text(text, 1, 3);
    ck_assert_int_eq(hakuban_sink_send_json(sinks[1], text, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_contract_next(observer, 20000, &event), HAKUBAN_OK);
    ck_assert_int_eq(event.kind, HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(hakuban_descriptor_json(event.object), "1");
    hakuban_event_done(&event);
    uint64_t again = bytes_in(&observing) - first;
    ck_assert_msg(again <= first / 50, "%llu bytes after %llu at first", (unsigned long long)again,
                  (unsigned long long)first);
    for (int i = 0; i < LAMPS; i++) {
        hakuban_sink_unref(sinks[i]);
        hakuban_contract_free(contracts[i]);
    }
    hakuban_contract_free(observer);
    hakuban_queue_free(queue);
    leaf_free(&exposing);
    leaf_free(&observing);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("economy");
    TCase *tcase = tcase_create("economy");
    tcase_add_test(tcase, leaf_receives_nothing_about_what_it_did_not_ask_for);
    tcase_add_test(tcase, small_change_of_a_large_state_is_small_on_the_wire);
    tcase_add_test(tcase, only_what_changed_meanwhile_travels_after_a_lost_connection);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
