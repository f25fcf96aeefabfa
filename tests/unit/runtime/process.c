/* What a process may do around exchanges: run short of descriptors, fork, free in the wrong order,
 * call from a thread before another has turned. Each has an outcome that is written down. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* -- Descriptors -- */

/* The exit code of a child in which so many descriptors are left. */
static int make_with_descriptors(unsigned left)
{
    struct rlimit few = {64, 64};
    int last = -1, fd;
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) {
        return 9;
    }
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        last = fd;
    }
    while (left-- > 0) {
        (void)close(last--);
    }
    hakuban_exchange *exchange = NULL;
    hakuban_status status = hakuban_exchange_new(NULL, &exchange);
    (void)hakuban_exchange_free(exchange);
    return status == HAKUBAN_ERR_IO ? 1 : status == HAKUBAN_OK ? 0 : 2;
}

START_TEST(an_exchange_without_descriptors_is_an_error_and_no_abort)
{
    for (unsigned left = 0; left <= 16; left++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            _exit(make_with_descriptors(left));
        }
        int result = 0;
        ck_assert_int_eq(waitpid(child, &result, 0), child);
        ck_assert_msg(WIFEXITED(result), "with %u descriptors it ended by signal %d", left,
                      WTERMSIG(result));
        ck_assert_msg(WEXITSTATUS(result) <= 1, "with %u descriptors: %d", left,
                      WEXITSTATUS(result));
        ck_assert_msg(left > 2 || WEXITSTATUS(result) == 1, "%u descriptors were enough", left);
        ck_assert_msg(left < 16 || WEXITSTATUS(result) == 0, "%u descriptors were too few", left);
    }
}
END_TEST

/* -- Fork -- */

/* ThreadSanitizer does not stand new threads in the child of a program that has several. */
#if defined(__SANITIZE_THREAD__)
#define OWN_DRIVE HAKUBAN_DRIVE_MANUAL
#else
#define OWN_DRIVE HAKUBAN_DRIVE_THREAD
#endif

START_TEST(a_child_may_free_what_it_inherited_and_the_parent_notices_nothing)
{
    exchange_pair pair = {.drive = _i % 2 ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(2, url));
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.leaf, &queue), HAKUBAN_OK);
    hakuban_connection_options told = {.size = sizeof(told), .queue = queue};
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), &told);
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"before\"", NULL), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"before\"");
    hakuban_event event = {0};
    ck_assert_int_eq(hakuban_contract_peek(reader, NULL, &event), HAKUBAN_OK);

    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)alarm(10); /* rather than to wait for a mutex for ever */
        hakuban_event_done(&event);
        (void)hakuban_sink_unref(sink);
        (void)hakuban_contract_free(writer);
        (void)hakuban_contract_free(reader);
        (void)hakuban_connection_free(connection);
        (void)hakuban_listener_free(listener);
        (void)hakuban_queue_free(queue);
        bool closed = hakuban_exchange_close(pair.hub, 0) == HAKUBAN_ERR_CLOSED;
        bool freed = !hakuban_exchange_free(pair.leaf) && !hakuban_exchange_free(pair.hub);
        /* A new one of its own works. */
        hakuban_exchange *own = NULL;
        hakuban_exchange_options options = {.size = sizeof(options), .drive = OWN_DRIVE};
        bool made =
            hakuban_exchange_new(&options, &own) == HAKUBAN_OK && !hakuban_exchange_free(own);
        _exit(closed && freed && made ? 0 : 1);
    }
    int result = 0;
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_int_eq(result, 0);
    for (int i = 0; i < 3; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "\"after %d\"", i);
        ck_assert_int_eq(hakuban_sink_send_json(sink, text, NULL), HAKUBAN_OK);
        pair_await_text(&pair, hakuban_contract_queue(reader), text);
    }
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    ck_assert_int_eq(info.state, HAKUBAN_CONNECTION_CONNECTED);
    hakuban_event_done(&event);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    (void)hakuban_contract_free(reader);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_queue_free(queue);
    ck_assert_ptr_null(hakuban_exchange_free(pair.leaf));
    ck_assert_ptr_null(hakuban_exchange_free(pair.hub));
}
END_TEST

/* -- The end -- */

static void count_errors(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    (void)room;
    atomic_int *errors = ctx;
    if (level == HAKUBAN_LOG_ERROR && strstr(text, "hakuban_exchange_free")) {
        atomic_fetch_add(errors, 1);
    }
}

START_TEST(an_exchange_of_which_something_is_left_is_not_freed_and_goes_on)
{
    atomic_int errors = 0;
    hakuban_exchange_options options = {.size = sizeof(options),
                                        .drive =
                                            _i % 2 ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD,
                                        .log = {&errors, count_errors, HAKUBAN_LOG_ERROR}};
    exchange_pair pair = {.drive = options.drive};
    ck_assert_int_eq(hakuban_exchange_new(&options, &pair.hub), HAKUBAN_OK);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(0, url));
    hakuban_connection *connection = connect_to(pair.hub, "inproc://elsewhere", NULL);
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.hub, &queue), HAKUBAN_OK);
    hakuban_contract *reader = observe(pair.hub, "1", NULL), *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "1", NULL), HAKUBAN_OK);
    hakuban_event event;
    pair_await(&pair, hakuban_contract_queue(reader), HAKUBAN_EVENT_STATE, &event);

    /* One after the other goes, and the exchange only with the last one. */
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    ck_assert_int_eq(errors, 1);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "2", NULL), HAKUBAN_OK);
    pair_await_text(&pair, hakuban_contract_queue(reader), "2");
    (void)hakuban_listener_free(listener);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    (void)hakuban_connection_free(connection);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    (void)hakuban_queue_free(queue);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    (void)hakuban_contract_free(writer);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    (void)hakuban_contract_free(reader);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    (void)hakuban_sink_unref(sink);
    ck_assert_ptr_eq(hakuban_exchange_free(pair.hub), pair.hub);
    hakuban_event_done(&event);
    ck_assert_ptr_null(hakuban_exchange_free(pair.hub));
}
END_TEST

/* -- Before the first turn -- */

struct early {
    hakuban_exchange *exchange;
    hakuban_listener *listener;
    atomic_bool done;
};

static void *listen_early(void *memory)
{
    struct early *early = memory;
    hakuban_error error = {0};
    char url[200];
    if (hakuban_exchange_listen(early->exchange, listen_url(2, url), &early->listener, &error) !=
        HAKUBAN_OK) {
        early->listener = NULL;
    }
    atomic_store(&early->done, true);
    return NULL;
}

START_TEST(another_thread_may_listen_before_the_first_turn)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    struct early early = {.exchange = pair.hub};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, listen_early, &early), 0);
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (!atomic_load(&early.done)) {
        ck_assert_msg(test_now_ms() < until_ms, "it waits for a turn that nothing promises");
        (void)poll(NULL, 0, 5);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_ptr_nonnull(early.listener);
    /* This thread drives it from now on, as it would have without the other one. */
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    hakuban_connection *connection =
        connect_to(pair.leaf, hakuban_listener_url(early.listener), NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(early.listener);
    ck_assert_ptr_null(hakuban_exchange_free(pair.leaf));
    ck_assert_ptr_null(hakuban_exchange_free(pair.hub));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *cases = tcase_create("process");
    tcase_set_timeout(cases, 100);
    tcase_add_test(cases, an_exchange_without_descriptors_is_an_error_and_no_abort);
    tcase_add_loop_test(cases, a_child_may_free_what_it_inherited_and_the_parent_notices_nothing, 0,
                        2);
    tcase_add_loop_test(cases, an_exchange_of_which_something_is_left_is_not_freed_and_goes_on, 0,
                        2);
    tcase_add_test(cases, another_thread_may_listen_before_the_first_turn);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
