/* Several threads in the same exchanges, and what is left when everything was freed. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <pthread.h>

#include "fail_alloc.h"

#define SENDS 2000

struct sender {
    hakuban_sink *sink;
};

/* Failures come out as a status: check's assertions belong to the main thread. */
static void *send_all(void *argument)
{
    struct sender *sender = argument;
    for (int i = 0; i < SENDS; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%d", i);
        if (hakuban_sink_send_json(sender->sink, text, NULL) != HAKUBAN_OK) {
            return sender;
        }
    }
    return hakuban_sink_send_json(sender->sink, "\"end\"", NULL) == HAKUBAN_OK ? NULL : sender;
}

struct receiver {
    hakuban_queue *queue;
    int ends;
};

static void *receive_all(void *argument)
{
    struct receiver *receiver = argument;
    while (receiver->ends) {
        hakuban_event event;
        if (hakuban_queue_next(receiver->queue, PATIENCE_MS, &event) != HAKUBAN_OK) {
            return receiver;
        }
        if (event.kind == HAKUBAN_EVENT_STATE &&
            hakuban_state_data(event.state).bytes == strlen("\"end\"") &&
            memcmp(hakuban_state_data(event.state).data, "\"end\"", 5) == 0) {
            receiver->ends--;
        }
        hakuban_event_done(&event);
    }
    return NULL;
}

static void life(int transport, const hakuban_alloc *alloc)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_THREAD};
    pair.hub = exchange_make(pair.drive, alloc, "hub");
    pair.leaf = exchange_make(pair.drive, alloc, "leaf");
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(transport, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    hakuban_contract *writers[2], *readers[2];
    struct sender senders[2];
    struct receiver receivers[2] = {0};
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(pair.leaf, &queue), HAKUBAN_OK);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    static const char *const names[] = {"\"a\"", "\"b\""};
    for (int i = 0; i < 2; i++) {
        readers[i] = observe(pair.leaf, names[i], &options);
        writers[i] = expose(pair.hub, names[i], NULL);
        senders[i].sink = await_sink(&pair, writers[i]);
    }
    receivers[0] = (struct receiver){.queue = queue, .ends = 2};
    pthread_t threads[3];
    ck_assert_int_eq(pthread_create(&threads[2], NULL, receive_all, &receivers[0]), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *failure = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_msg(!failure, "thread %d failed", i);
    }
    for (int i = 0; i < 2; i++) {
        (void)hakuban_sink_unref(senders[i].sink);
        (void)hakuban_contract_free(writers[i]);
        (void)hakuban_contract_free(readers[i]);
    }
    (void)hakuban_queue_free(queue);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
}

START_TEST(threads_share_exchanges_and_nothing_is_left)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    life(_i, &memory.table); /* libuv keeps a few descriptors from the first time on */
    ck_assert_uint_eq(memory.blocks, 0);
    int before = open_descriptors();
    life(_i, &memory.table);
    ck_assert_uint_eq(memory.blocks, 0);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* What two linked exchanges say and send, as far as memory allows, with a bound on how often the
 * loops turn. */
static bool linked_life(const hakuban_alloc *alloc)
{
    hakuban_exchange_options options = {
        .size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL, .alloc = alloc};
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_listener *listener = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *reader = NULL, *writer = NULL;
    hakuban_sink *sink = NULL;
    hakuban_descriptor *name = make_name("1", "2");
    bool arrived = false;
    bool complete =
        hakuban_exchange_new(&options, &pair.hub) == HAKUBAN_OK &&
        hakuban_exchange_new(&options, &pair.leaf) == HAKUBAN_OK &&
        hakuban_exchange_listen(pair.hub, "inproc://linked-life", &listener, NULL) == HAKUBAN_OK &&
        hakuban_exchange_connect(pair.leaf, "inproc://linked-life", NULL, &connection, NULL) ==
            HAKUBAN_OK &&
        hakuban_observe_object(pair.leaf, name, NULL, &reader) == HAKUBAN_OK &&
        hakuban_expose_object(pair.hub, name, NULL, &writer) == HAKUBAN_OK;
    for (int turns = 0; complete && !arrived && turns < 30; turns++) {
        hakuban_event event;
        pair_step(&pair, 0);
        if (hakuban_contract_next(writer, 0, &event) == HAKUBAN_OK) {
            if (event.kind == HAKUBAN_EVENT_SINK_OPEN && !sink) {
                sink = hakuban_sink_ref(event.sink);
            }
            hakuban_event_done(&event);
            if (sink && hakuban_sink_send_json(sink, "[1,2,3]", NULL) == HAKUBAN_ERR_NO_MEMORY) {
                complete = false;
            }
        }
        if (hakuban_contract_next(reader, 0, &event) == HAKUBAN_OK) {
            arrived = event.kind == HAKUBAN_EVENT_STATE;
            hakuban_event_done(&event);
        }
    }
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_descriptor_unref(name);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
    return arrived;
}

START_TEST(every_allocation_of_a_link_may_fail)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    ck_assert(linked_life(&memory.table));
    ck_assert_uint_eq(memory.blocks, 0);
    for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
        size_t n = 0;
        do {
            n++;
            fail_alloc_arm(&memory, n, from_then_on);
            (void)linked_life(&memory.table);
            ck_assert_msg(memory.blocks == 0, "allocation %zu: %zu blocks left", n,
                          (size_t)memory.blocks);
        } while (fail_alloc_failed(&memory));
        ck_assert_uint_gt(n, 50);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crowd");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 100);
    tcase_add_unchecked_fixture(threads, certificates_make, NULL);
    tcase_add_loop_test(threads, threads_share_exchanges_and_nothing_is_left, 0, LISTEN_URLS);
    tcase_add_test(threads, every_allocation_of_a_link_may_fail);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
