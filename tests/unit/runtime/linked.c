/* Two exchanges in one process over each transport, driven by their own threads or by the test. */
#define _GNU_SOURCE

#include "exchange_pair.h"

static exchange_pair two(int index)
{
    exchange_pair pair = {.drive = index % 2 ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    return pair;
}

static void end(exchange_pair *pair)
{
    pair->leaf = hakuban_exchange_free(pair->leaf);
    pair->hub = hakuban_exchange_free(pair->hub);
}

START_TEST(states_travel_both_ways)
{
    exchange_pair pair = two(_i);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    hakuban_contract *down_reader = observe(pair.leaf, "\"down\"", NULL);
    hakuban_contract *down_writer = expose(pair.hub, "\"down\"", NULL);
    hakuban_contract *up_reader = observe(pair.hub, "\"up\"", NULL);
    hakuban_contract *up_writer = expose(pair.leaf, "\"up\"", NULL);
    hakuban_sink *down = await_sink(&pair, down_writer);
    hakuban_sink *up = await_sink(&pair, up_writer);
    for (int i = 0; i < 20; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%d", i);
        ck_assert_int_eq(hakuban_sink_send_json(down, text, NULL), HAKUBAN_OK);
        pair_await_text(&pair, hakuban_contract_queue(down_reader), text);
        ck_assert_int_eq(hakuban_sink_send_json(up, text, NULL), HAKUBAN_OK);
        pair_await_text(&pair, hakuban_contract_queue(up_reader), text);
    }
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    ck_assert_int_eq(info.state, HAKUBAN_CONNECTION_CONNECTED);
    ck_assert_uint_eq(info.tries, 0);
    ck_assert_str_ne(info.peer, "");
    (void)hakuban_sink_unref(down);
    (void)hakuban_sink_unref(up);
    (void)hakuban_contract_free(down_reader);
    (void)hakuban_contract_free(down_writer);
    (void)hakuban_contract_free(up_reader);
    (void)hakuban_contract_free(up_writer);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

/* Megabytes in parts, through buffers that fill up. */
START_TEST(a_large_state_arrives)
{
    enum { BYTES = 5 * 1024 * 1024 };
    exchange_pair pair = two(_i);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    char *data = malloc(BYTES + 1);
    ck_assert_ptr_nonnull(data);
    uint64_t noise = 88172645463325252u;
    for (size_t i = 0; i < BYTES; i++) {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        data[i] = (char)('a' + noise % 26);
    }
    data[BYTES] = '\0';
    hakuban_state_parts parts = {.data = data, .data_bytes = BYTES};
    hakuban_state *state = NULL;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_sink_send(sink, state), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), data);
    free(data);
    (void)hakuban_state_unref(state);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

/* Sizes around what makes a packet full: with the next piece it must still be no more than a
 * transport takes. */
START_TEST(states_that_share_a_packet_arrive)
{
    enum { PIECE = 64 * 1024 };
    exchange_pair pair = two(_i);
    char url[200], plain[240];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    (void)snprintf(plain, sizeof(plain), "%s#compressor=none", hakuban_listener_url(listener));
    hakuban_connection *connection = connect_to(pair.leaf, plain, NULL);
    hakuban_contract *readers[2], *writers[2];
    hakuban_sink *sinks[2];
    static const char *const objects[] = {"1", "2"};
    for (int i = 0; i < 2; i++) {
        readers[i] = observe(pair.leaf, objects[i], NULL);
        writers[i] = expose(pair.hub, objects[i], NULL);
        sinks[i] = await_sink(&pair, writers[i]);
    }
    static char data[2][PIECE + 1];
    uint64_t noise = 88172645463325252u;
    for (size_t bytes = PIECE - 160; bytes <= PIECE; bytes += 8) {
        size_t sizes[] = {bytes, PIECE};
        for (int i = 0; i < 2; i++) {
            for (size_t at = 0; at < sizes[i]; at++) {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                data[i][at] = (char)('a' + noise % 26);
            }
            data[i][sizes[i]] = '\0';
            hakuban_state_parts parts = {.data = data[i], .data_bytes = sizes[i]};
            hakuban_state *state = NULL;
            ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
            ck_assert_int_eq(hakuban_sink_send(sinks[i], state), HAKUBAN_OK);
            (void)hakuban_state_unref(state);
        }
        for (int i = 0; i < 2; i++) {
            pair_await_text(&pair, hakuban_contract_queue(readers[i]), data[i]);
        }
        hakuban_connection_info info;
        hakuban_connection_query(connection, &info);
        ck_assert_int_eq(info.last_error.status, HAKUBAN_OK);
    }
    for (int i = 0; i < 2; i++) {
        (void)hakuban_sink_unref(sinks[i]);
        (void)hakuban_contract_free(readers[i]);
        (void)hakuban_contract_free(writers[i]);
    }
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

static void unlisten_and_forget(exchange_pair *pair, hakuban_listener *listener)
{
    (void)hakuban_listener_free(listener);
    pair_step(pair, 0);
}

START_TEST(the_server_may_come_later_and_come_back)
{
    exchange_pair pair = two(_i);
    char url[200], place[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    (void)snprintf(place, sizeof(place), "%s", hakuban_listener_url(listener));
    unlisten_and_forget(&pair, listener);

    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.leaf, &queue), HAKUBAN_OK);
    int user = 0;
    hakuban_connection_options options = {.size = sizeof(options), .queue = queue, .user = &user};
    hakuban_connection *connection = connect_to(pair.leaf, place, &options);
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_connection_info info;
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    do {
        pair_step(&pair, 100);
        hakuban_connection_query(connection, &info);
        ck_assert_int_eq(info.state, HAKUBAN_CONNECTION_CONNECTING);
        ck_assert_int_lt(test_now_ms(), until_ms);
    } while (info.tries < 2);
    ck_assert_int_lt(info.last_error.status, 0);
    ck_assert_str_ne(info.last_error.text, "");

    listener = listen_at(pair.hub, place);
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    hakuban_event event;
    pair_await(&pair, queue, HAKUBAN_EVENT_CONNECTION, &event);
    ck_assert_ptr_eq(event.connection, connection);
    ck_assert_ptr_eq(event.user, &user);
    hakuban_event_done(&event);

    /* Gone without a word, then there again, empty. */
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.hub);
    pair.hub = exchange_make(pair.drive, NULL, "hub again");
    listener = listen_at(pair.hub, place);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"again\"", NULL), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"again\"");
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);

    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_connection_free(connection);
    (void)hakuban_queue_free(queue);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

/* One thread, one exchange driven by it: everything that blocks turns the loop itself. */
START_TEST(blocking_calls_drive_by_themselves)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    exchange_pair server = {.drive = HAKUBAN_DRIVE_THREAD};
    pair.leaf = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "leaf");
    server.hub = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "hub");
    char url[200];
    hakuban_listener *listener = listen_at(server.hub, listen_url(_i, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    ck_assert_int_eq(hakuban_connection_wait(connection, PATIENCE_MS, NULL), HAKUBAN_OK);
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_contract *writer = expose(server.hub, "1", NULL);
    hakuban_event event;
    hakuban_sink *sink = NULL;
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    for (bool seen = false; !seen;) {
        hakuban_status status = hakuban_contract_next(reader, sink ? PATIENCE_MS : 5, &event);
        if (status == HAKUBAN_OK) {
            seen = event.kind == HAKUBAN_EVENT_STATE;
            hakuban_event_done(&event);
        }
        if (!sink && hakuban_contract_next(writer, 0, &event) == HAKUBAN_OK) {
            sink = hakuban_sink_ref(event.sink);
            ck_assert_int_eq(hakuban_sink_send_json(sink, "1", NULL), HAKUBAN_OK);
            hakuban_event_done(&event);
        }
        ck_assert_int_lt(test_now_ms(), until_ms);
    }
    ck_assert_int_eq(hakuban_contract_next(reader, 20, &event), HAKUBAN_ERR_TIMEOUT);
    ck_assert_int_eq(hakuban_exchange_close(pair.leaf, PATIENCE_MS), HAKUBAN_OK);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
    end(&server);
}
END_TEST

START_TEST(waiting_without_a_peer_times_out_with_the_reason)
{
    exchange_pair pair = {.drive = _i ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD};
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    hakuban_connection *connection =
        connect_to(pair.leaf, "unix:///tmp/hakuban-test-nothing-is-here", NULL);
    hakuban_connection *second = NULL;
    ck_assert_int_eq(hakuban_exchange_connect(pair.leaf, "inproc://x", NULL, &second, NULL),
                     HAKUBAN_ERR_EXISTS);
    hakuban_error error = {0};
    ck_assert_int_eq(hakuban_connection_wait(connection, 300, &error), HAKUBAN_ERR_TIMEOUT);
    ck_assert_int_lt(error.status, 0);
    ck_assert_str_ne(error.text, "");
    (void)hakuban_connection_free(connection);
    (void)hakuban_exchange_free(pair.leaf);
}
END_TEST

START_TEST(a_refusal_is_told)
{
    exchange_pair pair = two(_i);
    char url[200], limited[240];
    (void)listen_url(_i / 2, url);
    (void)snprintf(limited, sizeof(limited), "%s#compressor=zstd", url);
    hakuban_listener *listener = listen_at(pair.hub, limited);
    (void)snprintf(limited, sizeof(limited), "%s#compressor=none", hakuban_listener_url(listener));
    hakuban_connection *connection = connect_to(pair.leaf, limited, NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_REFUSED, &info);
    ck_assert_int_lt(info.last_error.status, 0);
    ck_assert_str_ne(info.last_error.text, "");
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(closing_brings_the_last_state_over)
{
    exchange_pair pair = two(_i);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_contract *writer = expose(pair.leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(hakuban_sink_send_json(sink, "\"on the way\"", NULL), HAKUBAN_OK);
    }
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"the last\"", NULL), HAKUBAN_OK);
    (void)hakuban_sink_unref(sink);
    hakuban_status status = hakuban_exchange_close(pair.leaf, pair.drive ? 100 : PATIENCE_MS);
    if (pair.drive == HAKUBAN_DRIVE_THREAD) { /* by hand the hub is not driven meanwhile */
        ck_assert_int_eq(status, HAKUBAN_OK);
    }
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    ck_assert_int_eq(info.state, HAKUBAN_CONNECTION_CLOSED);
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"the last\"");
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(an_address_that_is_taken_is_an_error)
{
    exchange_pair pair = two(_i);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    hakuban_listener *second = NULL;
    hakuban_error error = {0};
    ck_assert_int_lt(
        hakuban_exchange_listen(pair.leaf, hakuban_listener_url(listener), &second, &error), 0);
    ck_assert_str_ne(error.text, "");
    ck_assert_ptr_null(second);
    (void)snprintf(url, sizeof(url), "%s", hakuban_listener_url(listener));
    unlisten_and_forget(&pair, listener);
    second = listen_at(pair.leaf, url); /* and free again */
    (void)hakuban_listener_free(second);
    end(&pair);
}
END_TEST

/* Log lines come with the exchange's mutex held, so counting needs no lock of its own; reading
 * happens after the end. */
struct lines {
    int warnings;
    char last[300];
};

static void count_line(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    struct lines *lines = ctx;
    (void)room;
    if (level > HAKUBAN_LOG_WARNING) {
        return;
    }
    lines->warnings++;
    (void)snprintf(lines->last, sizeof(lines->last), "%s", text);
}

static hakuban_exchange *logging_exchange(struct lines *lines)
{
    hakuban_exchange_options options = {.size = sizeof(options),
                                        .drive = HAKUBAN_DRIVE_MANUAL,
                                        .log = {lines, count_line, HAKUBAN_LOG_DEBUG}};
    hakuban_exchange *exchange = NULL;
    ck_assert_int_eq(hakuban_exchange_new(&options, &exchange), HAKUBAN_OK);
    return exchange;
}

START_TEST(listening_to_the_world_gives_one_warning)
{
    struct lines lines = {0};
    hakuban_exchange *exchange = logging_exchange(&lines);
    hakuban_listener *local = listen_at(exchange, "tcp://127.0.0.1:0");
    ck_assert_int_eq(lines.warnings, 0);
    hakuban_listener *first = listen_at(exchange, "tcp://0.0.0.0:0");
    hakuban_listener *second = listen_at(exchange, "tcp://0.0.0.0:0");
    ck_assert_int_eq(lines.warnings, 1);
    ck_assert_ptr_nonnull(strstr(lines.last, "no authentication"));
    (void)hakuban_listener_free(local);
    (void)hakuban_listener_free(first);
    (void)hakuban_listener_free(second);
    (void)hakuban_exchange_free(exchange);
}
END_TEST

START_TEST(the_same_failure_is_logged_once)
{
    struct lines lines = {0};
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL, .leaf = logging_exchange(&lines)};
    hakuban_connection *connection =
        connect_to(pair.leaf, "unix:///tmp/hakuban-test-nothing-is-here", NULL);
    hakuban_connection_info info = {0};
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (info.tries < 4) {
        pair_step(&pair, 1000);
        hakuban_connection_query(connection, &info);
        ck_assert_int_lt(test_now_ms(), until_ms);
    }
    ck_assert_int_eq(lines.warnings, 1);
    (void)hakuban_connection_free(connection);
    (void)hakuban_exchange_free(pair.leaf);
}
END_TEST

/* The hub is asked to keep the tag's objects warm, by the connection's URL or by a contract: the
 * exposer has a sink without an observer, and the first observer then has the state. */
START_TEST(a_preloaded_tag_waits_for_no_observer)
{
    exchange_pair pair = two(_i);
    char url[200], asking[240];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(_i / 2, url));
    (void)snprintf(asking, sizeof(asking), "%s%s", hakuban_listener_url(listener),
                   _i % 2 ? "#preload=\"warm\"" : "");
    hakuban_connection *connection = connect_to(pair.leaf, asking, NULL);
    hakuban_contract *wish = NULL, *writer = NULL;
    if (_i % 2 == 0) {
        ck_assert_int_eq(hakuban_preload_tag(pair.leaf, " \"warm\"", NULL, &wish, NULL),
                         HAKUBAN_OK);
    }
    hakuban_descriptor *name = make_name("1", "\"warm\"");
    ck_assert_int_eq(hakuban_expose_object(pair.leaf, name, NULL, &writer), HAKUBAN_OK);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_ge(hakuban_sink_send_json(sink, "[1]", NULL), HAKUBAN_OK);
    hakuban_contract *reader = NULL;
    ck_assert_int_eq(hakuban_observe_object(pair.hub, name, NULL, &reader), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "[1]");
    hakuban_descriptor_unref(name);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_contract_free(wish);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

START_TEST(what_cannot_be_preloaded_is_told)
{
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "leaf");
    hakuban_connection *connection = NULL;
    hakuban_contract *wish = NULL;
    hakuban_error error;
    ck_assert_int_eq(
        hakuban_exchange_connect(exchange, "inproc://x#preload=cpu", NULL, &connection, &error),
        HAKUBAN_ERR_URL);
    ck_assert_ptr_nonnull(strstr(error.text, "parameter preload=cpu: "));
    ck_assert_int_eq(hakuban_preload_tag(exchange, "{", NULL, &wish, &error), HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(hakuban_preload_tag(exchange, NULL, NULL, &wish, &error),
                     HAKUBAN_ERR_ARGUMENT);
    (void)hakuban_exchange_free(exchange);
}
END_TEST

static const char *const names[] = {
    [LISTEN_INPROC] = "inproc",   [LISTEN_UNIX] = "unix",       [LISTEN_TCP] = "tcp",
#ifdef HAKUBAN_TEST_ZMQ
    [LISTEN_ZMQ_TCP] = "zmq+tcp", [LISTEN_ZMQ_IPC] = "zmq+ipc",
#endif
#ifdef HAKUBAN_TEST_TLS
    [LISTEN_TLS] = "tls",
#ifdef HAKUBAN_TEST_WS
    [LISTEN_WSS] = "wss",
#endif
#endif
};

int main(void)
{
    Suite *suite = suite_create("two exchanges");
    for (int i = 0; i < LISTEN_URLS; i++) {
        TCase *linked = tcase_create(names[i]);
        tcase_add_unchecked_fixture(linked, certificates_make, NULL);
        tcase_set_timeout(linked, 60);
        tcase_add_loop_test(linked, states_travel_both_ways, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, a_large_state_arrives, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, states_that_share_a_packet_arrive, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, the_server_may_come_later_and_come_back, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, blocking_calls_drive_by_themselves, i, i + 1);
        tcase_add_loop_test(linked, a_refusal_is_told, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, closing_brings_the_last_state_over, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, an_address_that_is_taken_is_an_error, 2 * i, 2 * i + 2);
        tcase_add_loop_test(linked, a_preloaded_tag_waits_for_no_observer, 2 * i, 2 * i + 2);
        suite_add_tcase(suite, linked);
    }
    TCase *alone = tcase_create("alone");
    tcase_add_loop_test(alone, waiting_without_a_peer_times_out_with_the_reason, 0, 2);
    tcase_add_test(alone, listening_to_the_world_gives_one_warning);
    tcase_add_test(alone, the_same_failure_is_logged_once);
    tcase_add_test(alone, what_cannot_be_preloaded_is_told);
    suite_add_tcase(suite, alone);
    return run_suite(suite);
}
