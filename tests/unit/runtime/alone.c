/* One exchange without any connection: contracts meet inside a process, read by blocking, polling
 * or peeking. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <hakuban/plugin/registry.h>

#include "built.h"
#include "fail_alloc.h"

static const hakuban_drive drives[] = {HAKUBAN_DRIVE_THREAD, HAKUBAN_DRIVE_MANUAL};

static exchange_pair alone(int index)
{
    exchange_pair pair = {.drive = drives[index]};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    return pair;
}

START_TEST(what_is_exposed_is_observed)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "\"hello\"", NULL);
    hakuban_contract *writer = expose(pair.hub, "\"hello\"", NULL);
    hakuban_event event;
    ck_assert_int_eq(hakuban_contract_next(reader, PATIENCE_MS, &event), HAKUBAN_OK);
    ck_assert_int_eq(event.kind, HAKUBAN_EVENT_OPEN);
    ck_assert_ptr_eq(event.contract, reader);
    hakuban_event_done(&event);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"world\"", NULL), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"world\"");
    ck_assert_int_eq(hakuban_sink_send_json(sink, "not json", NULL), HAKUBAN_ERR_PARSE);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    ck_assert_ptr_null(hakuban_exchange_free(pair.hub));
}
END_TEST

START_TEST(a_sink_is_revoked_when_the_last_observer_ends)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    (void)hakuban_contract_free(reader);
    hakuban_event event;
    pair_await(&pair, hakuban_contract_queue(writer), HAKUBAN_EVENT_SINK_CLOSE, &event);
    hakuban_event_done(&event);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "2", NULL), HAKUBAN_ERR_REVOKED);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(waiting_for_an_event_ends_in_time)
{
    exchange_pair pair = alone(_i);
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.hub, &queue), HAKUBAN_OK);
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_next(queue, 0, &event), HAKUBAN_ERR_TIMEOUT);
    int64_t begin_ms = test_now_ms();
    ck_assert_int_eq(hakuban_queue_next(queue, 50, &event), HAKUBAN_ERR_TIMEOUT);
    int64_t took_ms = test_now_ms() - begin_ms;
    ck_assert_int_ge(took_ms, 49);
    ck_assert_int_lt(took_ms, PATIENCE_MS);
    (void)hakuban_queue_free(queue);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1;
}

START_TEST(the_descriptor_is_readable_while_there_are_events)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_queue *queue = hakuban_contract_queue(reader);
    int fd = hakuban_queue_fd(queue);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(hakuban_queue_fd(queue), fd);
    ck_assert(is_readable(fd, PATIENCE_MS));
    hakuban_event event;
    while (hakuban_queue_next(queue, 0, &event) == HAKUBAN_OK) {
        hakuban_event_done(&event);
    }
    ck_assert(!is_readable(fd, 0));
    hakuban_sink *sink = await_sink(&pair, writer);
    while (hakuban_queue_next(queue, 0, &event) == HAKUBAN_OK) {
        hakuban_event_done(&event);
    }
    ck_assert_int_eq(hakuban_sink_send_json(sink, "2", NULL), HAKUBAN_OK);
    ck_assert(is_readable(fd, PATIENCE_MS));
    ck_assert_int_eq(hakuban_queue_next(queue, 0, &event), HAKUBAN_OK);
    ck_assert_int_eq(event.kind, HAKUBAN_EVENT_STATE);
    hakuban_event_done(&event);
    ck_assert(!is_readable(fd, 0));
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(several_contracts_share_a_queue)
{
    exchange_pair pair = alone(_i);
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.hub, &queue), HAKUBAN_OK);
    int numbers[] = {1, 2};
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    options.user = &numbers[0];
    hakuban_contract *first = observe(pair.hub, "1", &options);
    options.user = &numbers[1];
    hakuban_contract *second = observe(pair.hub, "2", &options);
    ck_assert_ptr_eq(hakuban_contract_queue(first), queue);
    int seen = 0;
    for (int i = 0; i < 2; i++) {
        hakuban_event event;
        ck_assert_int_eq(pair_next(&pair, queue, PATIENCE_MS, &event), HAKUBAN_OK);
        ck_assert_int_eq(event.kind, HAKUBAN_EVENT_OPEN);
        seen |= *(int *)event.user;
        hakuban_event_done(&event);
    }
    ck_assert_int_eq(seen, 3);
    (void)hakuban_queue_free(queue); /* before its contracts: they go on without telling */
    (void)hakuban_contract_free(first);
    (void)hakuban_contract_free(second);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(the_newest_state_can_be_peeked_at)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    hakuban_event event;
    ck_assert_int_eq(hakuban_contract_peek(reader, NULL, &event), HAKUBAN_OK);
    ck_assert_ptr_null(event.state);
    hakuban_event_done(&event);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "3", NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_contract_peek(reader, NULL, &event), HAKUBAN_OK);
    ck_assert_ptr_nonnull(event.state);
    ck_assert_uint_eq(hakuban_state_data(event.state).bytes, 1);
    hakuban_event_done(&event);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(a_closed_exchange_says_so)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    ck_assert_int_eq(hakuban_exchange_close(pair.hub, 1000), HAKUBAN_OK);
    hakuban_event event;
    hakuban_status status;
    while ((status = hakuban_contract_next(reader, PATIENCE_MS, &event)) == HAKUBAN_OK) {
        hakuban_event_done(&event);
    }
    ck_assert_int_eq(status, HAKUBAN_ERR_CLOSED);
    hakuban_descriptor *name = make_name("2", NULL);
    hakuban_contract *late = NULL;
    ck_assert_int_eq(hakuban_observe_object(pair.hub, name, NULL, &late), HAKUBAN_ERR_CLOSED);
    ck_assert_ptr_null(late);
    hakuban_listener *listener = NULL;
    ck_assert_int_eq(hakuban_exchange_listen(pair.hub, "inproc://late", &listener, NULL),
                     HAKUBAN_ERR_CLOSED);
    (void)hakuban_descriptor_unref(name);
    (void)hakuban_contract_free(reader);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *contract = NULL;
    hakuban_error error = {0};
    ck_assert_int_eq(hakuban_observe_object(pair.hub, NULL, NULL, &contract), HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_observe_tag(pair.hub, "cpu", NULL, &contract, &error),
                     HAKUBAN_ERR_PARSE);
    ck_assert_int_eq(error.status, HAKUBAN_ERR_PARSE);
    hakuban_exchange_options options = {.size = 1};
    hakuban_exchange *other = NULL;
    ck_assert_int_eq(hakuban_exchange_new(&options, &other), HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_null(other);
    ck_assert_ptr_null(hakuban_contract_free(NULL));
    ck_assert_ptr_null(hakuban_queue_free(NULL));
    ck_assert_ptr_null(hakuban_sink_unref(NULL));
    ck_assert_ptr_null(hakuban_connection_free(NULL));
    ck_assert_ptr_null(hakuban_listener_free(NULL));
    ck_assert_ptr_null(hakuban_exchange_free(NULL));
    hakuban_event_done(NULL);
    if (pair.drive == HAKUBAN_DRIVE_THREAD) {
        ck_assert_int_eq(hakuban_exchange_turn(pair.hub), HAKUBAN_ERR_ARGUMENT);
    }
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(wrong_urls_are_refused_in_words)
{
    static const struct {
        const char *url, *words;
        hakuban_status status;
    } wrong[] = {
        {"nonsense", "", HAKUBAN_ERR_URL},
        {"ws://127.0.0.1:1/x", "HAKUBAN_TRANSPORT_WS", HAKUBAN_ERR_UNSUPPORTED},
        {"gopher://host", "there is no transport for \"gopher\"", HAKUBAN_ERR_UNSUPPORTED},
        {"tcp://127.0.0.1:1#colour=blue", "colour", HAKUBAN_ERR_URL},
    };
    exchange_pair pair = alone(_i);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        hakuban_error error = {0};
        hakuban_connection *connection = NULL;
        hakuban_listener *listener = NULL;
        if (strncmp(wrong[i].url, "ws", 2) == 0 && strstr(hakuban_features(), " ws")) {
            continue; /* here it is built in */
        }
        ck_assert_int_eq(
            hakuban_exchange_connect(pair.hub, wrong[i].url, NULL, &connection, &error),
            wrong[i].status);
        ck_assert_msg(strstr(error.text, wrong[i].words) && error.text[0], "%s: %s", wrong[i].url,
                      error.text);
        error.text[0] = '\0';
        ck_assert_int_eq(hakuban_exchange_listen(pair.hub, wrong[i].url, &listener, &error),
                         wrong[i].status);
        ck_assert_msg(strstr(error.text, wrong[i].words) && error.text[0], "%s: %s", wrong[i].url,
                      error.text);
        ck_assert_ptr_null(connection);
        ck_assert_ptr_null(listener);
    }
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

static void collect(void *ctx, const char *text, size_t bytes)
{
    (void)text;
    *(size_t *)ctx += bytes;
}

START_TEST(an_exchange_tells_what_it_has)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_exchange_stats stats = {0};
    hakuban_exchange_query(pair.hub, &stats);
    ck_assert_uint_eq(stats.contracts, 1);
    ck_assert_uint_eq(stats.objects, 1);
    size_t bytes = 0;
    ck_assert_int_eq(hakuban_exchange_snapshot(pair.hub, collect, &bytes), HAKUBAN_OK);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_ptr_nonnull(strstr(hakuban_features(), "transports:"));
#define KNOWS(name) ck_assert_ptr_nonnull(hakuban_exchange_serializer(pair.hub, #name));
    HAKUBAN_BUILT_SERIALIZERS(KNOWS)
    ck_assert_ptr_null(hakuban_exchange_serializer(pair.hub, "morse"));
    (void)hakuban_contract_free(reader);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* A whole small life with the nth allocation failing: an error that is seen, or success, and
 * nothing left behind. */
static bool small_life(const hakuban_alloc *alloc)
{
    hakuban_exchange_options options = {
        .size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL, .alloc = alloc};
    hakuban_exchange *exchange = NULL;
    if (hakuban_exchange_new(&options, &exchange) != HAKUBAN_OK) {
        return false;
    }
    hakuban_contract *reader = NULL, *writer = NULL;
    hakuban_descriptor *name = make_name("1", "2");
    bool complete = hakuban_observe_object(exchange, name, NULL, &reader) == HAKUBAN_OK &&
                    hakuban_expose_tag(exchange, "2", NULL, &writer, NULL) == HAKUBAN_OK;
    hakuban_event event;
    if (complete && hakuban_contract_next(writer, 0, &event) == HAKUBAN_OK) {
        if (event.sink) {
            complete = hakuban_sink_send_json(event.sink, "1", NULL) == HAKUBAN_OK;
        }
        hakuban_event_done(&event);
    }
    hakuban_listener *listener = NULL;
    if (hakuban_exchange_listen(exchange, "inproc://small-life", &listener, NULL) != HAKUBAN_OK) {
        complete = false;
    }
    (void)hakuban_listener_free(listener);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_descriptor_unref(name);
    (void)hakuban_exchange_free(exchange);
    return complete;
}

START_TEST(every_allocation_may_fail)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
        size_t n = 0;
        do {
            n++;
            fail_alloc_arm(&memory, n, from_then_on);
            (void)small_life(&memory.table);
            ck_assert_msg(memory.blocks == 0, "allocation %zu: %zu blocks left", n,
                          (size_t)memory.blocks);
        } while (fail_alloc_failed(&memory));
        ck_assert_uint_gt(n, 10);
    }
    fail_alloc_arm(&memory, 0, false);
    ck_assert(small_life(&memory.table));
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("one exchange");
    TCase *both = tcase_create("both ways to drive");
    tcase_set_timeout(both, 60);
    tcase_add_loop_test(both, what_is_exposed_is_observed, 0, 2);
    tcase_add_loop_test(both, a_sink_is_revoked_when_the_last_observer_ends, 0, 2);
    tcase_add_loop_test(both, waiting_for_an_event_ends_in_time, 0, 2);
    tcase_add_loop_test(both, the_descriptor_is_readable_while_there_are_events, 0, 2);
    tcase_add_loop_test(both, several_contracts_share_a_queue, 0, 2);
    tcase_add_loop_test(both, the_newest_state_can_be_peeked_at, 0, 2);
    tcase_add_loop_test(both, a_closed_exchange_says_so, 0, 2);
    tcase_add_loop_test(both, wrong_arguments_are_refused, 0, 2);
    tcase_add_loop_test(both, wrong_urls_are_refused_in_words, 0, 2);
    tcase_add_loop_test(both, an_exchange_tells_what_it_has, 0, 2);
    tcase_add_test(both, every_allocation_may_fail);
    suite_add_tcase(suite, both);
    return run_suite(suite);
}
