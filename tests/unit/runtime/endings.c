/* Whatever an event needs is ended at each point of its way: in its own callback, in another's, on
 * another thread, while it is queued and while it is out. What comes afterwards is nothing, or a
 * word; never a crash or a leak. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fail_alloc.h"

static fail_alloc memory;

/* One exchange, or two that are linked; driven by threads of the library (even index) or by the
 * test. */
static exchange_pair begin(int index, bool linked)
{
    exchange_pair pair = {.drive = index % 2 ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD};
    fail_alloc_init(&memory);
    pair.hub = exchange_make(pair.drive, &memory.table, "hub");
    if (linked) {
        pair.leaf = exchange_make(pair.drive, &memory.table, "leaf");
    }
    return pair;
}

static void end(exchange_pair *pair)
{
    (void)hakuban_exchange_free(pair->leaf);
    (void)hakuban_exchange_free(pair->hub);
    ck_assert_uint_eq(memory.blocks, 0);
}

static void await_at_least(const exchange_pair *pair, atomic_int *counter, int least)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (atomic_load(counter) < least) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        pair_step(pair, 100);
    }
}

static hakuban_queue *queue_new(hakuban_exchange *exchange)
{
    hakuban_queue *queue = NULL;
    ck_assert_int_eq(hakuban_queue_new(exchange, &queue), HAKUBAN_OK);
    return queue;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1;
}

/* -- Events that are queued or out -- */

START_TEST(an_event_outlives_its_contract_its_queue_and_its_object)
{
    exchange_pair pair = begin(_i, false);
    hakuban_queue *queue = queue_new(pair.hub);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    hakuban_contract *reader = observe(pair.hub, "\"o\"", &options);
    hakuban_contract *writer = expose(pair.hub, "\"o\"", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"kept\"", NULL), HAKUBAN_OK);
    hakuban_event event;
    pair_await(&pair, queue, HAKUBAN_EVENT_STATE, &event);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"later\"", NULL), HAKUBAN_OK); /* is queued */
    (void)hakuban_queue_free(queue);
    (void)hakuban_contract_free(reader);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    hakuban_exchange_stats stats;
    hakuban_exchange_query(pair.hub, &stats);
    ck_assert_uint_eq(stats.objects, 0);
    ck_assert_str_eq(hakuban_descriptor_json(event.object), "\"o\"");
    ck_assert_uint_eq(hakuban_state_data(event.state).bytes, 6);
    ck_assert_int_eq(memcmp(hakuban_state_data(event.state).data, "\"kept\"", 6), 0);
    hakuban_event_done(&event);
    end(&pair);
}
END_TEST

START_TEST(contracts_go_on_without_their_queue)
{
    exchange_pair pair = begin(_i, false);
    hakuban_queue *queue = queue_new(pair.hub);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    hakuban_contract *readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = observe(pair.hub, "1", &options);
    }
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "1", NULL), HAKUBAN_OK);
    (void)hakuban_queue_free(queue); /* with three events in it */
    ck_assert_int_eq(hakuban_sink_send_json(sink, "2", NULL), HAKUBAN_OK);
    hakuban_event event;
    ck_assert_int_eq(hakuban_contract_peek(readers[1], NULL, &event), HAKUBAN_OK);
    ck_assert_int_eq(memcmp(hakuban_state_data(event.state).data, "2", 1), 0);
    hakuban_event_done(&event);
    ck_assert_int_eq(hakuban_contract_next(readers[0], 0, &event), HAKUBAN_ERR_ARGUMENT);
    for (int i = 0; i < 3; i++) {
        (void)hakuban_contract_free(readers[i]);
    }
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    end(&pair);
}
END_TEST

START_TEST(a_queues_descriptor_is_quiet_once_its_only_events_contract_is_freed)
{
    exchange_pair pair = begin(_i, false);
    hakuban_queue *queue = queue_new(pair.hub);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    hakuban_contract *reader = observe(pair.hub, "1", &options);
    int fd = hakuban_queue_fd(queue);
    ck_assert(is_readable(fd, PATIENCE_MS));
    (void)hakuban_contract_free(reader);
    ck_assert(!is_readable(fd, 0));
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_next(queue, 0, &event), HAKUBAN_ERR_TIMEOUT);
    (void)hakuban_queue_free(queue);
    end(&pair);
}
END_TEST

typedef struct waiter {
    hakuban_queue *queue;
    atomic_int task;
} waiter;

static void *wait_for_nothing(void *argument)
{
    waiter *at = argument;
    hakuban_event event;
    atomic_store(&at->task, (int)syscall(SYS_gettid));
    hakuban_status status = hakuban_queue_next(at->queue, -1, &event);
    return status == HAKUBAN_ERR_CLOSED ? NULL : at;
}

static bool sleeps(int task)
{
    char path[64], line[256] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", task);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    (void)fclose(file);
    return strstr(line, ") S ") != NULL;
}

/* No other thread does anything, so a thread that sleeps for a while waits for an event. */
static void await_sleep(atomic_int *task)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    for (int asleep = 0; asleep < 3;) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        (void)poll(NULL, 0, 1);
        asleep = atomic_load(task) && sleeps(atomic_load(task)) ? asleep + 1 : 0;
    }
}

START_TEST(a_waiting_thread_is_told_that_no_event_will_come)
{
    exchange_pair pair = begin(0, false);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    waiter at = {.queue = hakuban_contract_queue(reader)};
    hakuban_event event;
    ck_assert_int_eq(hakuban_queue_next(at.queue, PATIENCE_MS, &event), HAKUBAN_OK);
    hakuban_event_done(&event);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_nothing, &at), 0);
    await_sleep(&at.task);
    if (_i) {
        ck_assert_int_eq(hakuban_exchange_close(pair.hub, 1000), HAKUBAN_OK);
    } else {
        reader = hakuban_contract_free(reader);
    }
    void *failure = NULL;
    ck_assert_int_eq(pthread_join(thread, &failure), 0);
    ck_assert_ptr_null(failure);
    (void)hakuban_contract_free(reader);
    end(&pair);
}
END_TEST

/* -- Sinks -- */

START_TEST(a_sink_says_that_it_was_revoked_whatever_ended_it)
{
    enum { READER_FREED, WRITER_FREED, CONNECTION_FREED, EXCHANGE_CLOSED, WAYS };
    for (int how = 0; how < WAYS; how++) {
        exchange_pair pair = begin(_i, true);
        char url[200];
        hakuban_listener *listener = listen_at(pair.hub, listen_url(0, url));
        hakuban_connection *connection =
            connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
        hakuban_contract *reader = observe(pair.hub, "1", NULL);
        hakuban_contract *writer = expose(pair.leaf, "1", NULL);
        hakuban_sink *sink = await_sink(&pair, writer);
        if (how == READER_FREED) {
            reader = hakuban_contract_free(reader);
        } else if (how == WRITER_FREED) {
            writer = hakuban_contract_free(writer);
        } else if (how == CONNECTION_FREED) {
            connection = hakuban_connection_free(connection);
        } else {
            ck_assert_int_ne(hakuban_exchange_close(pair.leaf, 0), HAKUBAN_ERR_WOULD_BLOCK);
        }
        int64_t until_ms = test_now_ms() + PATIENCE_MS;
        while (hakuban_sink_send_json(sink, "1", NULL) == HAKUBAN_OK) {
            ck_assert_int_lt(test_now_ms(), until_ms);
            pair_step(&pair, 10);
        }
        ck_assert_int_eq(hakuban_sink_send_json(sink, "2", NULL), HAKUBAN_ERR_REVOKED);
        ck_assert_str_eq(hakuban_descriptor_json(hakuban_sink_object(sink)), "1");
        (void)hakuban_contract_free(reader);
        (void)hakuban_contract_free(writer);
        (void)hakuban_connection_free(connection);
        ck_assert_int_eq(hakuban_sink_send_json(sink, "3", NULL), HAKUBAN_ERR_REVOKED);
        (void)hakuban_sink_unref(sink);
        (void)hakuban_listener_free(listener);
        end(&pair);
    }
}
END_TEST

/* -- In callbacks -- */

typedef enum act {
    FREE_OWN,        /* its contract */
    FREE_OTHER,      /* the other contract, which has events of its own */
    FREE_QUEUE,      /* the queue of another contract, with events in it */
    FREE_CONNECTION, /* what its event came over */
    FREE_LISTENER,   /* what it came through */
    CLOSE_EXCHANGE,  /* must not block */
    OBSERVE_MORE,    /* a contract that is told by the same callback */
    SEND_AND_FREE,   /* the state of its own sink, whose contract then ends */
    ACTS,
} act;

typedef struct actor {
    hakuban_exchange *exchange;
    pthread_mutex_t mutex; /* of the pointers: the thread that takes one out frees it */
    hakuban_contract *own, *other, *more;
    hakuban_queue *queue;
    hakuban_connection *connection;
    hakuban_listener *listener;
    hakuban_event_kind when;
    act act;
    atomic_int calls, acted, freed;
    atomic_int status; /* of what the act called */
} actor;

static void *take_out(actor *at, void *slot)
{
    void *taken = NULL, *nothing = NULL;
    (void)pthread_mutex_lock(&at->mutex);
    memcpy(&taken, slot, sizeof(taken));
    memcpy(slot, &nothing, sizeof(nothing));
    (void)pthread_mutex_unlock(&at->mutex);
    return taken;
}

static void on_freed(void *user)
{
    atomic_fetch_add(&((actor *)user)->freed, 1);
}

static void on_event(void *user, hakuban_event *event);

static hakuban_contract *observe_as(actor *at, const char *name)
{
    hakuban_contract_options options = {
        .size = sizeof(options), .on_event = on_event, .on_freed = on_freed, .user = at};
    return observe(at->exchange, name, &options);
}

static void on_event(void *user, hakuban_event *event)
{
    actor *at = user;
    atomic_fetch_add(&at->calls, 1);
    if (event->kind != at->when || atomic_exchange(&at->acted, 1)) {
        return;
    }
    switch (at->act) {
    case FREE_OWN:
        (void)hakuban_contract_free(take_out(at, &at->own));
        break;
    case FREE_OTHER:
        (void)hakuban_contract_free(take_out(at, &at->other));
        break;
    case FREE_QUEUE:
        (void)hakuban_queue_free(take_out(at, &at->queue));
        break;
    case FREE_CONNECTION:
        (void)hakuban_connection_free(take_out(at, &at->connection));
        break;
    case FREE_LISTENER:
        (void)hakuban_listener_free(take_out(at, &at->listener));
        break;
    case CLOSE_EXCHANGE:
        atomic_store(&at->status, (int)hakuban_exchange_close(at->exchange, 1000));
        break;
    case OBSERVE_MORE: {
        hakuban_contract *more = observe_as(at, "2");
        (void)pthread_mutex_lock(&at->mutex);
        at->more = more;
        (void)pthread_mutex_unlock(&at->mutex);
        break;
    }
    case SEND_AND_FREE:
        atomic_store(&at->status, (int)hakuban_sink_send_json(event->sink, "\"last\"", NULL));
        (void)hakuban_contract_free(take_out(at, &at->own));
        break;
    case ACTS:
        break;
    }
    /* What the event points to is there until the callback returns. */
    if (event->object) {
        ck_assert_str_ne(hakuban_descriptor_json(event->object), "");
    }
    if (event->state) {
        ck_assert_uint_gt(hakuban_state_data(event->state).bytes, 0);
    }
}

/* Each act at each event of an observer, which is linked to the exposer. */
START_TEST(a_callback_may_end_anything)
{
    static const hakuban_event_kind kinds[] = {HAKUBAN_EVENT_OPEN, HAKUBAN_EVENT_STATE};
    for (size_t k = 0; k < 2; k++) {
        for (act what = FREE_OWN; what < SEND_AND_FREE; what++) {
            exchange_pair pair = begin(_i, true);
            char url[200];
            actor at = {.exchange = pair.leaf, .when = kinds[k], .act = what};
            ck_assert_int_eq(pthread_mutex_init(&at.mutex, NULL), 0);
            (void)pthread_mutex_lock(&at.mutex); /* callbacks begin when all is there */
            at.listener = listen_at(pair.hub, listen_url(2, url));
            at.connection = connect_to(pair.leaf, hakuban_listener_url(at.listener), NULL);
            at.queue = queue_new(pair.leaf);
            hakuban_contract_options options = {.size = sizeof(options), .queue = at.queue};
            hakuban_contract *polled = observe(pair.leaf, "1", &options);
            at.other = observe_as(&at, "1");
            at.own = observe_as(&at, "1");
            (void)pthread_mutex_unlock(&at.mutex);
            hakuban_contract *writer = expose(pair.hub, "1", NULL);
            hakuban_sink *sink = NULL;
            if (at.when == HAKUBAN_EVENT_STATE) { /* OPEN comes at once, and what it ends may be the
                                                     connection */
                sink = await_sink(&pair, writer);
                ck_assert_int_eq(hakuban_sink_send_json(sink, "\"state\"", NULL), HAKUBAN_OK);
            }
            await_at_least(&pair, &at.acted, 1);
            if (what == OBSERVE_MORE) {
                await_at_least(&pair, &at.calls, 3);
            }
            /* It goes on, or has ended; in any case it can be ended. */
            if (sink) {
                hakuban_status status = hakuban_sink_send_json(sink, "\"more\"", NULL);
                ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_REVOKED);
            }
            for (int i = 0; i < 5; i++) {
                pair_step(&pair, 1);
            }
            if (what == CLOSE_EXCHANGE) {
                ck_assert_int_eq(atomic_load(&at.status), HAKUBAN_ERR_WOULD_BLOCK);
            }
            (void)hakuban_contract_free(take_out(&at, &at.own));
            (void)hakuban_contract_free(take_out(&at, &at.other));
            (void)hakuban_contract_free(take_out(&at, &at.more));
            await_at_least(&pair, &at.freed, what == OBSERVE_MORE ? 3 : 2);
            (void)hakuban_contract_free(polled);
            (void)hakuban_queue_free(take_out(&at, &at.queue));
            (void)hakuban_sink_unref(sink);
            (void)hakuban_contract_free(writer);
            (void)hakuban_connection_free(take_out(&at, &at.connection));
            (void)hakuban_listener_free(take_out(&at, &at.listener));
            end(&pair);
            ck_assert_int_eq(atomic_load(&at.freed), what == OBSERVE_MORE ? 3 : 2);
            (void)pthread_mutex_destroy(&at.mutex);
        }
    }
}
END_TEST

/* OPEN and the state that is there already come in one turn; then the contract ends, and the next
 * one is told the same. */
START_TEST(an_observer_that_was_told_of_a_state_may_end)
{
    exchange_pair pair = begin(_i, false);
    hakuban_contract *first = observe(pair.hub, "1", NULL), *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"state\"", NULL), HAKUBAN_OK);
    actor users[4] = {{.freed = 0}};
    hakuban_contract *before = NULL, *kept[4];
    for (int i = 0; i < 4; i++) {
        users[i].exchange = pair.hub;
        kept[i] = observe(pair.hub, "2",
                          NULL); /* so that no two contracts have the same place in memory */
        hakuban_contract *reader = observe_as(&users[i], "1");
        await_at_least(&pair, &users[i].calls, 2);
        (void)hakuban_contract_free(before);
        before = reader;
    }
    (void)hakuban_contract_free(before);
    for (int i = 0; i < 4; i++) {
        await_at_least(&pair, &users[i].freed, 1);
        ck_assert_int_eq(atomic_load(&users[i].calls), 2);
        (void)hakuban_contract_free(kept[i]);
    }
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(first);
    (void)hakuban_contract_free(writer);
    end(&pair);
}
END_TEST

START_TEST(an_exposer_may_send_and_end_in_its_callback)
{
    exchange_pair pair = begin(_i, true);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(2, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    actor at = {.exchange = pair.leaf, .when = HAKUBAN_EVENT_SINK_OPEN, .act = SEND_AND_FREE};
    ck_assert_int_eq(pthread_mutex_init(&at.mutex, NULL), 0);
    hakuban_contract *reader = observe(pair.hub, "1", NULL);
    hakuban_contract_options options = {
        .size = sizeof(options), .on_event = on_event, .on_freed = on_freed, .user = &at};
    (void)pthread_mutex_lock(&at.mutex);
    at.own = expose(pair.leaf, "1", &options);
    (void)pthread_mutex_unlock(&at.mutex);
    /* What was sent before an orderly end arrives. */
    pair_await_text(&pair, hakuban_contract_queue(reader), "\"last\"");
    await_at_least(&pair, &at.freed, 1);
    ck_assert_int_eq(atomic_load(&at.status), HAKUBAN_OK);
    ck_assert_int_eq(atomic_load(&at.calls), 1);
    (void)hakuban_contract_free(reader);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
    (void)pthread_mutex_destroy(&at.mutex);
}
END_TEST

/* -- Connections -- */

START_TEST(a_connection_may_be_freed_inside_its_event_and_made_anew)
{
    exchange_pair pair = begin(_i, true);
    char url[200];
    hakuban_listener *listener = listen_at(pair.hub, listen_url(2, url));
    hakuban_queue *queue = queue_new(pair.leaf);
    hakuban_connection_options options = {.size = sizeof(options), .queue = queue};
    const char *place = hakuban_listener_url(listener);
    hakuban_connection *connection = connect_to(pair.leaf, place, &options);
    /* Every second one as soon as it tells anything, the others when they are connected. */
    for (int i = 0; i < 20; i++) {
        hakuban_event event;
        hakuban_connection_info info = {0};
        do {
            pair_await(&pair, queue, HAKUBAN_EVENT_CONNECTION, &event);
            ck_assert_ptr_eq(event.connection, connection);
            hakuban_connection_query(event.connection, &info);
            if (i % 2 == 0 || info.state == HAKUBAN_CONNECTION_CONNECTED) {
                break;
            }
            hakuban_event_done(&event);
        } while (true);
        (void)hakuban_connection_free(event.connection);
        connection = connect_to(pair.leaf, place, &options);
        hakuban_event_done(&event);
    }
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    (void)hakuban_queue_free(queue); /* before the connection that tells it */
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    end(&pair);
}
END_TEST

typedef struct patient {
    hakuban_connection *connection;
    atomic_int task;
} patient;

static void *wait_to_connect(void *argument)
{
    patient *at = argument;
    atomic_store(&at->task, (int)syscall(SYS_gettid));
    hakuban_status status = hakuban_connection_wait(at->connection, -1, NULL);
    return status == HAKUBAN_ERR_CLOSED ? NULL : at;
}

START_TEST(threads_that_wait_for_a_connection_are_told_that_it_was_freed)
{
    exchange_pair pair = begin(0, false);
    patient at = {.connection = connect_to(pair.hub, "inproc://nothing-here", NULL)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        atomic_store(&at.task, 0);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_to_connect, &at), 0);
        await_sleep(&at.task);
    }
    (void)hakuban_connection_free(at.connection);
    for (int i = 0; i < 2; i++) {
        void *failure = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_ptr_null(failure);
    }
    end(&pair);
}
END_TEST

static void free_connection(void *user, hakuban_event *event)
{
    hakuban_connection **connection = user;
    (void)event;
    *connection = hakuban_connection_free(*connection);
}

START_TEST(a_callback_may_free_the_connection_that_its_thread_waits_for)
{
    exchange_pair pair = begin(1, false);
    hakuban_connection *connection = connect_to(pair.hub, "inproc://nothing-here", NULL);
    hakuban_contract_options options = {
        .size = sizeof(options), .on_event = free_connection, .user = &connection};
    hakuban_contract *writer = expose(pair.hub, "1", &options);
    hakuban_contract *reader = observe(pair.hub, "1", NULL); /* opens the sink: an event */
    ck_assert_int_eq(hakuban_connection_wait(connection, PATIENCE_MS, NULL), HAKUBAN_ERR_CLOSED);
    ck_assert_ptr_null(connection);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    end(&pair);
}
END_TEST

/* Both ends of it are in this process; the library may have closed the other one as soon as the
 * first is cut. */
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

/* The connection is lost and its session waits: everything may end then, too, on the side that lost
 * it and on the other. */
START_TEST(all_may_end_while_a_connection_is_away)
{
    enum { READER, WRITER, CONNECTION, CLOSING, EVERYTHING, RETURN, WAYS };
    for (int how = 0; how < WAYS; how++) {
        exchange_pair pair = begin(_i, true);
        char url[200];
        hakuban_listener *listener = listen_at(pair.hub, listen_url(2, url));
        char place[200];
        (void)snprintf(place, sizeof(place), "%s", hakuban_listener_url(listener));
        hakuban_connection *connection = connect_to(pair.leaf, place, NULL);
        hakuban_contract *reader = observe(pair.leaf, "1", NULL);
        hakuban_contract *writer = expose(pair.hub, "1", NULL);
        hakuban_contract *up_reader = observe(pair.hub, "2", NULL);
        hakuban_contract *up_writer = expose(pair.leaf, "2", NULL);
        hakuban_sink *sink = await_sink(&pair, writer), *up_sink = await_sink(&pair, up_writer);
        ck_assert_int_eq(hakuban_sink_send_json(sink, "\"before\"", NULL), HAKUBAN_OK);
        pair_await_text(&pair, hakuban_contract_queue(reader), "\"before\"");
        listener = hakuban_listener_free(listener); /* so that it stays away */
        pair_step(&pair, 0);
        cut_connections();
        hakuban_connection_info info;
        pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_AWAY, &info);
        /* An open sink takes states while its connection is away. */
        ck_assert_int_eq(hakuban_sink_send_json(up_sink, "\"meanwhile\"", NULL), HAKUBAN_OK);
        ck_assert_int_eq(hakuban_sink_send_json(sink, "\"meanwhile\"", NULL), HAKUBAN_OK);
        if (how == READER) {
            reader = hakuban_contract_free(reader);
            up_reader = hakuban_contract_free(up_reader);
        } else if (how == WRITER) {
            writer = hakuban_contract_free(writer);
            up_writer = hakuban_contract_free(up_writer);
            ck_assert_int_eq(hakuban_sink_send_json(up_sink, "1", NULL), HAKUBAN_ERR_REVOKED);
        } else if (how == CONNECTION) {
            connection = hakuban_connection_free(connection);
            connection = connect_to(pair.leaf, place, NULL);
        } else if (how == CLOSING) {
            ck_assert_int_ne(hakuban_exchange_close(pair.leaf, 0), HAKUBAN_ERR_WOULD_BLOCK);
            ck_assert_int_ne(hakuban_exchange_close(pair.hub, 0), HAKUBAN_ERR_WOULD_BLOCK);
        } else if (how == RETURN) {
            listener = listen_at(pair.hub, place);
            pair_await_text(&pair, hakuban_contract_queue(reader), "\"meanwhile\"");
            pair_await_text(&pair, hakuban_contract_queue(up_reader), "\"meanwhile\"");
        }
        for (int i = 0; i < 3; i++) {
            pair_step(&pair, 1);
        }
        (void)hakuban_sink_unref(sink);
        (void)hakuban_sink_unref(up_sink);
        (void)hakuban_contract_free(reader);
        (void)hakuban_contract_free(writer);
        (void)hakuban_contract_free(up_reader);
        (void)hakuban_contract_free(up_writer);
        (void)hakuban_connection_free(connection);
        (void)hakuban_listener_free(listener);
        end(&pair);
    }
}
END_TEST

/* -- All at once -- */

enum { STORM_CONTRACTS = 400 };

typedef struct storm {
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    hakuban_sink *sink;
    atomic_bool stop;
    atomic_int events, freed;
} storm;

static void *send_on(void *argument)
{
    storm *at = argument;
    char text[16];
    for (unsigned i = 0; !atomic_load(&at->stop); i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        hakuban_status status = hakuban_sink_send_json(at->sink, text, NULL);
        if (status != HAKUBAN_OK && status != HAKUBAN_ERR_REVOKED) {
            return at;
        }
    }
    return NULL;
}

static void *take_on(void *argument)
{
    storm *at = argument;
    hakuban_event event;
    while (!atomic_load(&at->stop)) {
        if (hakuban_queue_next(at->queue, 10, &event) == HAKUBAN_OK) {
            atomic_fetch_add(&at->events, 1);
            hakuban_event_done(&event);
        }
    }
    return NULL;
}

static void count_freed(void *user)
{
    atomic_fetch_add(&((storm *)user)->freed, 1);
}

static void count_event(void *user, hakuban_event *event)
{
    (void)event;
    atomic_fetch_add(&((storm *)user)->events, 1);
}

START_TEST(contracts_end_in_the_midst_of_deliveries)
{
    exchange_pair pair = begin(0, false);
    storm at = {.exchange = pair.hub, .queue = queue_new(pair.hub)};
    hakuban_contract *writer = expose(pair.hub, "1", NULL), *first = observe(pair.hub, "1", NULL);
    at.sink = await_sink(&pair, writer);
    pthread_t threads[3];
    ck_assert_int_eq(pthread_create(&threads[0], NULL, send_on, &at), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, take_on, &at), 0);
    ck_assert_int_eq(pthread_create(&threads[2], NULL, take_on, &at), 0);
    hakuban_contract *kept[4] = {NULL};
    for (int i = 0; i < STORM_CONTRACTS; i++) {
        hakuban_contract_options options = {
            .size = sizeof(options), .on_freed = count_freed, .user = &at};
        if (i % 2) {
            options.on_event = count_event;
        } else {
            options.queue = at.queue;
        }
        (void)hakuban_contract_free(kept[i % 4]);
        kept[i % 4] = observe(pair.hub, "1", &options);
        if (i == STORM_CONTRACTS / 2) { /* the sink is revoked under its sender's hands, and the
                                           object given to another */
            (void)hakuban_contract_free(writer);
            writer = expose(pair.hub, "1", NULL);
        }
        /* While states are sent, each is told something before the next one comes. */
        int before = atomic_load(&at.events);
        await_at_least(&pair, &at.events, before + (i < STORM_CONTRACTS / 2));
    }
    for (int i = 0; i < 4; i++) {
        (void)hakuban_contract_free(kept[i]);
    }
    atomic_store(&at.stop, true);
    for (int i = 0; i < 3; i++) {
        void *failure = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_ptr_null(failure);
    }
    await_at_least(&pair, &at.freed, STORM_CONTRACTS);
    (void)hakuban_queue_free(at.queue);
    (void)hakuban_sink_unref(at.sink);
    (void)hakuban_contract_free(first);
    (void)hakuban_contract_free(writer);
    end(&pair);
    ck_assert_int_eq(atomic_load(&at.freed), STORM_CONTRACTS);
}
END_TEST

/* -- While a callback runs -- */

typedef struct slow_callback {
    atomic_bool runs, ended;
} slow_callback;

static void take_a_while(void *user, hakuban_event *event)
{
    slow_callback *at = user;
    (void)event;
    atomic_store(&at->runs, true);
    (void)poll(NULL, 0, 50); /* its event is out as long as it runs */
    atomic_store(&at->ended, true);
}

START_TEST(an_exchange_is_freed_while_the_callback_of_a_freed_contract_still_runs)
{
    slow_callback at = {false, false};
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "slow");
    hakuban_contract_options options = {
        .size = sizeof(options), .on_event = take_a_while, .user = &at};
    hakuban_contract *reader = observe(exchange, "1", &options);
    while (!atomic_load(&at.runs)) {
        (void)poll(NULL, 0, 1);
    }
    (void)hakuban_contract_free(reader);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
    ck_assert(atomic_load(&at.ended));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("endings");
    TCase *cases = tcase_create("endings");
    tcase_set_timeout(cases, 100);
    tcase_add_loop_test(cases, an_event_outlives_its_contract_its_queue_and_its_object, 0, 2);
    tcase_add_loop_test(cases, contracts_go_on_without_their_queue, 0, 2);
    tcase_add_loop_test(cases, a_queues_descriptor_is_quiet_once_its_only_events_contract_is_freed,
                        0, 2);
    tcase_add_loop_test(cases, a_waiting_thread_is_told_that_no_event_will_come, 0, 2);
    tcase_add_loop_test(cases, a_sink_says_that_it_was_revoked_whatever_ended_it, 0, 2);
    tcase_add_loop_test(cases, a_callback_may_end_anything, 0, 2);
    tcase_add_test(cases, an_exchange_is_freed_while_the_callback_of_a_freed_contract_still_runs);
    tcase_add_loop_test(cases, an_observer_that_was_told_of_a_state_may_end, 0, 2);
    tcase_add_loop_test(cases, an_exposer_may_send_and_end_in_its_callback, 0, 2);
    tcase_add_loop_test(cases, a_connection_may_be_freed_inside_its_event_and_made_anew, 0, 2);
    tcase_add_test(cases, threads_that_wait_for_a_connection_are_told_that_it_was_freed);
    tcase_add_test(cases, a_callback_may_free_the_connection_that_its_thread_waits_for);
    tcase_add_loop_test(cases, all_may_end_while_a_connection_is_away, 0, 2);
    tcase_add_test(cases, contracts_end_in_the_midst_of_deliveries);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
