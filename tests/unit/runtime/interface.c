/* What lets the interface grow: structs travel with their size, so that programs and the library
 * may be built with headers of different age; and what programs ask of contracts, sinks, queues. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static const hakuban_drive drives[] = {HAKUBAN_DRIVE_THREAD, HAKUBAN_DRIVE_MANUAL};

static exchange_pair alone(int index)
{
    exchange_pair pair = {.drive = drives[index]};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    return pair;
}

/* -- Sizes -- */

/* A struct as a newer header would have it. */
#define NEWER(type)                                                                                \
    struct {                                                                                       \
        type known;                                                                                \
        uint64_t added[2];                                                                         \
    }

START_TEST(options_of_a_newer_header_are_taken_unless_one_is_set_that_is_not_known)
{
    NEWER(hakuban_exchange_options) options = {.known = {.size = sizeof(options)}};
    hakuban_exchange *exchange = NULL;
    options.known.drive = HAKUBAN_DRIVE_MANUAL;
    options.added[1] = 1;
    ck_assert_int_eq(hakuban_exchange_new(&options.known, &exchange), HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_ptr_null(exchange);
    options.added[1] = 0;
    ck_assert_int_eq(hakuban_exchange_new(&options.known, &exchange), HAKUBAN_OK);

    NEWER(hakuban_contract_options) wanted = {.known = {.size = sizeof(wanted)}, .added = {1}};
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_observe_tag(exchange, "1", &wanted.known, &contract, NULL),
                     HAKUBAN_ERR_UNSUPPORTED);
    NEWER(hakuban_connection_options) how = {.known = {.size = sizeof(how)}, .added = {1}};
    hakuban_connection *connection = NULL;
    hakuban_error error;
    ck_assert_int_eq(
        hakuban_exchange_connect(exchange, "nowhere://", &how.known, &connection, &error),
        HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "does not know"));
    NEWER(hakuban_stats_options) stats = {.known = {.size = sizeof(stats)}, .added = {1}};
    hakuban_publisher *publisher = NULL;
    ck_assert_int_eq(
        hakuban_exchange_publish_stats(exchange, "1", &stats.known, &publisher, &error),
        HAKUBAN_ERR_UNSUPPORTED);
    NEWER(hakuban_state_parts) parts = {.added = {1}};
    hakuban_state *state = NULL;
    ck_assert_int_eq(hakuban_state_new_sized(NULL, &parts.known, sizeof(parts), &state),
                     HAKUBAN_ERR_UNSUPPORTED);
    (void)hakuban_exchange_free(exchange);
}
END_TEST

/* All but the last member, as a header would have it in which that is not there yet. */
START_TEST(options_of_an_older_header_get_the_default_of_what_they_lack)
{
    hakuban_exchange_options options = {.size = offsetof(hakuban_exchange_options, log),
                                        .drive = HAKUBAN_DRIVE_MANUAL,
                                        .rebalance_threshold = -1};
    memset(&options.log, 0x5a, sizeof(options.log)); /* not to be looked at */
    hakuban_exchange *exchange = NULL;
    ck_assert_int_eq(hakuban_exchange_new(&options, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_turn(exchange), HAKUBAN_OK);
    (void)hakuban_exchange_free(exchange);
}
END_TEST

START_TEST(answers_fill_the_struct_that_the_caller_knows_and_nothing_behind_it)
{
    exchange_pair pair = alone(_i);
    NEWER(hakuban_exchange_stats) newer = {.added = {1, 1}};
    hakuban_exchange_query_sized(pair.hub, &newer.known, sizeof(newer));
    ck_assert_uint_eq(newer.added[0] + newer.added[1], 0); /* what is not known here is 0 */

    hakuban_exchange_stats older;
    memset(&older, 0x5a, sizeof(older));
    hakuban_exchange_query_sized(pair.hub, &older, offsetof(hakuban_exchange_stats, states_in));
    ck_assert_uint_eq(older.links, 0);
    ck_assert_uint_eq(older.states_in, 0x5a5a5a5a5a5a5a5aull);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(events_fit_into_the_struct_that_the_caller_knows)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    NEWER(hakuban_event) newer = {.added = {1, 1}};
    ck_assert_int_eq(hakuban_queue_next_sized(hakuban_contract_queue(reader), PATIENCE_MS,
                                              &newer.known, sizeof(newer)),
                     HAKUBAN_OK);
    ck_assert_int_eq(newer.known.kind, HAKUBAN_EVENT_OPEN);
    ck_assert_uint_eq(newer.known.size, sizeof(hakuban_event));
    ck_assert_uint_eq(newer.added[0] + newer.added[1], 0);
    newer.added[0] = 7;
    hakuban_event_done(&newer.known);
    ck_assert_uint_eq(newer.added[0], 7);
    ck_assert_ptr_null(newer.known.contract);
    ck_assert_int_eq(hakuban_contract_peek_sized(reader, NULL, &newer.known, sizeof(newer)),
                     HAKUBAN_OK);
    hakuban_event_done(&newer.known);
    /* Too small for what hakuban_event_done() needs. */
    ck_assert_int_eq(hakuban_queue_next_sized(hakuban_contract_queue(reader), 0, &newer.known,
                                              sizeof(hakuban_event) - 1),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_contract_peek_sized(reader, NULL, &newer.known, 8),
                     HAKUBAN_ERR_ARGUMENT);
    (void)hakuban_contract_free(reader);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(arrays_are_walked_in_steps_of_the_size_that_the_caller_knows)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *contracts[3];
    char name[16];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        contracts[i] = observe(pair.hub, name, NULL);
    }
    NEWER(hakuban_object_info) objects[HAKUBAN_INSPECT_ROOM_MIN];
    NEWER(hakuban_contract_info) infos[HAKUBAN_INSPECT_ROOM_MIN];
    memset(objects, 1, sizeof(objects));
    memset(infos, 1, sizeof(infos));
    hakuban_cursor cursor = {0};
    size_t count = 0;
    ck_assert_int_eq(hakuban_inspect_objects_sized(pair.hub, &cursor, &objects[0].known,
                                                   sizeof(objects[0]), HAKUBAN_INSPECT_ROOM_MIN,
                                                   &count),
                     HAKUBAN_OK);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(objects[i].known.object);
        ck_assert_uint_eq(objects[i].known.observers, 1);
        ck_assert_uint_eq(objects[i].added[1], 0);
    }
    hakuban_object_info_done_sized(&objects[0].known, sizeof(objects[0]), count);
    ck_assert_ptr_null(objects[2].known.object);
    cursor = (hakuban_cursor){0};
    ck_assert_int_eq(hakuban_inspect_contracts_sized(pair.hub, &cursor, &infos[0].known,
                                                     sizeof(infos[0]), HAKUBAN_INSPECT_ROOM_MIN,
                                                     &count),
                     HAKUBAN_OK);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(infos[i].known.number, i);
    }
    hakuban_contract_info_done_sized(&infos[0].known, sizeof(infos[0]), count);
    cursor = (hakuban_cursor){0};
    ck_assert_int_eq(hakuban_inspect_objects_sized(pair.hub, &cursor, &objects[0].known, 8,
                                                   HAKUBAN_INSPECT_ROOM_MIN, &count),
                     HAKUBAN_ERR_ARGUMENT);
    for (int i = 0; i < 3; i++) {
        (void)hakuban_contract_free(contracts[i]);
    }
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* -- Questions -- */

START_TEST(values_have_names)
{
    ck_assert_str_eq(hakuban_event_kind_text(HAKUBAN_EVENT_SINK_OPEN), "sink open");
    ck_assert_str_eq(hakuban_freshness_text(HAKUBAN_STALE), "stale");
    ck_assert_str_eq(hakuban_source_text(HAKUBAN_SOURCE_AWAY), "away");
    ck_assert_str_eq(hakuban_connection_state_text(HAKUBAN_CONNECTION_REFUSED), "refused");
    ck_assert_str_eq(hakuban_status_text(HAKUBAN_ERR_INTERRUPTED), "woken before anything came");
    ck_assert_str_eq(hakuban_event_kind_text((hakuban_event_kind)77), "unknown");
    ck_assert_str_eq(hakuban_freshness_text((hakuban_freshness)77), "unknown");
    ck_assert_str_eq(hakuban_source_text((hakuban_source)77), "unknown");
    ck_assert_str_eq(hakuban_connection_state_text((hakuban_connection_state)77), "unknown");
    for (int kind = HAKUBAN_EVENT_OPEN; kind <= HAKUBAN_EVENT_CONNECTION; kind++) {
        ck_assert_str_ne(hakuban_event_kind_text((hakuban_event_kind)kind), "unknown");
    }
    for (int status = 0; status >= -19; status--) {
        ck_assert_str_ne(hakuban_status_text((hakuban_status)status), "unknown status");
    }
}
END_TEST

START_TEST(a_contract_tells_its_subject_its_user_and_its_exchange)
{
    exchange_pair pair = alone(_i);
    int user = 0;
    hakuban_contract_options options = {.size = sizeof(options), .user = &user};
    hakuban_contract *object = observe(pair.hub, "{\"a\":1}", &options), *tag = NULL;
    ck_assert_int_eq(hakuban_expose_tag(pair.hub, " \"t\" ", &options, &tag, NULL), HAKUBAN_OK);
    ck_assert_str_eq(hakuban_descriptor_json(hakuban_contract_object(object)), "{\"a\":1}");
    ck_assert_ptr_null(hakuban_contract_tag(object));
    ck_assert_str_eq(hakuban_contract_tag(tag), "\"t\"");
    ck_assert_ptr_null(hakuban_contract_object(tag));
    ck_assert_ptr_eq(hakuban_contract_user(object), &user);
    ck_assert_ptr_eq(hakuban_contract_exchange(tag), pair.hub);
    ck_assert_ptr_null(hakuban_contract_exchange(NULL));
    (void)hakuban_contract_free(object);
    (void)hakuban_contract_free(tag);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(a_sink_tells_the_version_it_gave_and_where_the_text_is_wrong)
{
    exchange_pair pair = alone(_i);
    hakuban_contract *reader = observe(pair.hub, "1", NULL), *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    int64_t version[HAKUBAN_VERSION_ELEMENTS_MAX];
    hakuban_error error;
    ck_assert_uint_eq(hakuban_sink_version(sink, version), 0);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "[1,\n 2 3]", &error), HAKUBAN_ERR_PARSE);
    ck_assert_uint_eq(error.line, 2);
    ck_assert_uint_eq(error.column, 4);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"sent\"", &error), HAKUBAN_OK);
    size_t count = hakuban_sink_version(sink, version), seen_count = 0;
    hakuban_event event;
    pair_await(&pair, hakuban_contract_queue(reader), HAKUBAN_EVENT_STATE, &event);
    const int64_t *seen = hakuban_state_version(event.state, &seen_count);
    ck_assert_uint_gt(count, 0);
    ck_assert_int_eq(hakuban_version_compare(version, count, seen, seen_count), 0);
    hakuban_event_done(&event);
    (void)hakuban_contract_free(writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "2", &error), HAKUBAN_ERR_REVOKED);
    ck_assert_int_eq(error.status, HAKUBAN_ERR_REVOKED);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* -- Waking -- */

static void *wait_for_nothing(void *argument)
{
    hakuban_event event;
    return (void *)(intptr_t)hakuban_queue_next(argument, PATIENCE_MS, &event);
}

START_TEST(a_thread_that_waits_for_an_event_is_woken)
{
    exchange_pair pair = alone(0);
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.hub, &queue), HAKUBAN_OK);
    pthread_t thread;
    void *status;
    int64_t begin_ms = test_now_ms();
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_nothing, queue), 0);
    hakuban_queue_wake(queue); /* before or while the thread waits: both count */
    ck_assert_int_eq(pthread_join(thread, &status), 0);
    ck_assert_int_eq((intptr_t)status, HAKUBAN_ERR_INTERRUPTED);
    ck_assert_int_lt(test_now_ms() - begin_ms, PATIENCE_MS / 2);
    /* It was taken back: the next one waits, and one that does not wait finds nothing. */
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_next(queue, 10, &event), HAKUBAN_ERR_TIMEOUT);
    hakuban_queue_wake(queue);
    ck_assert_int_eq(hakuban_queue_next(queue, 0, &event), HAKUBAN_ERR_TIMEOUT);
    ck_assert_int_eq(hakuban_queue_next(queue, 10, &event), HAKUBAN_ERR_INTERRUPTED);
    hakuban_queue_wake(NULL);
    (void)hakuban_queue_free(queue);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

static hakuban_queue *signalled;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    hakuban_queue_wake(signalled);
}

START_TEST(a_signal_handler_may_wake_the_thread_that_drives)
{
    exchange_pair pair = alone(1);
    ck_assert_int_eq(hakuban_queue_new(pair.hub, &signalled), HAKUBAN_OK);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    int64_t begin_ms = test_now_ms();
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_next(signalled, PATIENCE_MS, &event), HAKUBAN_ERR_INTERRUPTED);
    ck_assert_int_lt(test_now_ms() - begin_ms, PATIENCE_MS / 2);
    (void)hakuban_queue_free(signalled);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interface");
    TCase *cases = tcase_create("interface");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, options_of_a_newer_header_are_taken_unless_one_is_set_that_is_not_known);
    tcase_add_test(cases, options_of_an_older_header_get_the_default_of_what_they_lack);
    tcase_add_loop_test(cases, answers_fill_the_struct_that_the_caller_knows_and_nothing_behind_it,
                        0, 2);
    tcase_add_loop_test(cases, events_fit_into_the_struct_that_the_caller_knows, 0, 2);
    tcase_add_loop_test(cases, arrays_are_walked_in_steps_of_the_size_that_the_caller_knows, 0, 2);
    tcase_add_test(cases, values_have_names);
    tcase_add_loop_test(cases, a_contract_tells_its_subject_its_user_and_its_exchange, 0, 2);
    tcase_add_loop_test(cases, a_sink_tells_the_version_it_gave_and_where_the_text_is_wrong, 0, 2);
    tcase_add_test(cases, a_thread_that_waits_for_an_event_is_woken);
    tcase_add_test(cases, a_signal_handler_may_wake_the_thread_that_drives);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
