/* Memory that runs out, once or for a while, at each allocation of two linked exchanges' lives:
 * over each transport, with each serializer and compressor, and each way to receive. Whatever
 * fails, the caller is told, all stays valid, nothing is left behind, and with memory back the
 * newest state arrives. A sample of the allocations fails; with HAKUBAN_TEST_OOM=full each of them.
 */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <pthread.h>
#include <sys/socket.h>

#include "fail_alloc.h"

typedef enum way { BY_OWN_LOOP, BY_QUEUE, BY_CALLBACK } way;
static const char *const way_names[] = {"own loop", "queue", "callback"};

typedef struct combination {
    const char *transport, *serializer, *compressor;
    way way;
    unsigned runs; /* this many of the allocations fail, evenly spread; 0: all of them */
} combination;

static const combination plans[] = {
    {"inproc", "msgpack", "zstd", BY_OWN_LOOP, 0},
    {"inproc", "json", "none", BY_OWN_LOOP, 20},
    {"inproc", "msgpack", "zstd", BY_QUEUE, 14},
    {"inproc", "json", "zstd", BY_CALLBACK, 14},
    {"tcp", "msgpack", "zstd", BY_OWN_LOOP, 20},
    {"tcp", "json", "none", BY_QUEUE, 14},
    {"tcp", "msgpack", "none", BY_CALLBACK, 14},
    {"unix", "json", "zstd", BY_OWN_LOOP, 20},
    {"unix", "msgpack", "none", BY_QUEUE, 14},
    {"unix", "msgpack", "zstd", BY_CALLBACK, 14},
    {"zmq+tcp", "msgpack", "zstd", BY_OWN_LOOP, 10},
    {"zmq+tcp", "json", "none", BY_QUEUE, 10},
    {"zmq+ipc", "json", "zstd", BY_CALLBACK, 10},
    {"zmq+ipc", "msgpack", "none", BY_OWN_LOOP, 10},
};
#define PLAN_COUNT ((int)(sizeof(plans) / sizeof(plans[0])))

#define TEXT_BYTES (100 * 1024) /* travels in parts */
#define STATES 3
#define PLAY_MS 10 /* what runs into a failure has this long before memory is back */
#define RETURN_MS                                                                                  \
    110 /* the same, where a lost connection has to come back first: its first pause is 100 ms at  \
           most */

typedef struct life {
    const combination *plan;
    fail_alloc memory;
    char url[300];
    hakuban_exchange *hub, *leaf;
    hakuban_listener *listener;
    hakuban_connection *connection;
    hakuban_descriptor *name;
    hakuban_contract *reader, *writer;
    pthread_mutex_t mutex; /* of what is below */
    bool ended;
    hakuban_sink *sink;
    int sent, seen; /* numbers of states; -1: none */
} life;

static char texts[STATES + 1][TEXT_BYTES + 1];

/* The first is small, the others large and each but little different from the one before. */
static void make_texts(void)
{
    uint64_t noise = 88172645463325252u;
    (void)snprintf(texts[0], sizeof(texts[0]), "\"0 small\"");
    for (int i = 1; i <= STATES; i++) {
        if (i == 1) {
            for (size_t at = 0; at < TEXT_BYTES; at++) {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                texts[1][at] = (char)('a' + noise % 26);
            }
        } else {
            memcpy(texts[i], texts[1], TEXT_BYTES);
        }
        texts[i][0] = texts[i][TEXT_BYTES - 1] = '"';
        texts[i][1] = (char)('0' + i);
        memcpy(texts[i] + 1000 * i, "0123456789", 10);
    }
}

/* -- Events -- */

static void hear(life *at, const hakuban_event *event)
{
    (void)pthread_mutex_lock(&at->mutex);
    if (event->kind == HAKUBAN_EVENT_STATE) {
        hakuban_slice data = hakuban_state_data(event->state);
        int number = ((const char *)data.data)[1] - '0';
        ck_assert(number >= at->seen && number <= STATES);
        ck_assert_uint_eq(data.bytes, strlen(texts[number]));
        ck_assert_int_eq(memcmp(data.data, texts[number], data.bytes), 0);
        at->seen = number;
    } else if (event->kind == HAKUBAN_EVENT_SINK_OPEN && !at->ended) {
        ck_assert_ptr_null(at->sink);
        at->sink = hakuban_sink_ref(event->sink);
        at->sent = -1;
    } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE) {
        at->sink = hakuban_sink_unref(at->sink);
    }
    (void)pthread_mutex_unlock(&at->mutex);
}

static void on_event(void *user, hakuban_event *event)
{
    hear(user, event);
}

static void take_all(life *at, hakuban_contract *contract, int timeout_ms)
{
    hakuban_event event;
    while (contract && hakuban_contract_next(contract, timeout_ms, &event) == HAKUBAN_OK) {
        hear(at, &event);
        hakuban_event_done(&event);
        timeout_ms = 0;
    }
}

static void turn_by_hand(life *at, int timeout_ms)
{
    struct pollfd fds[3];
    nfds_t count = 0;
    hakuban_exchange *exchanges[] = {at->hub, at->leaf};
    hakuban_queue *queue = hakuban_contract_queue(at->reader);
    for (size_t i = 0; i < 2; i++) {
        int most = hakuban_exchange_timeout_ms(exchanges[i]);
        timeout_ms = most >= 0 && most < timeout_ms ? most : timeout_ms;
        fds[count++] = (struct pollfd){hakuban_exchange_fd(exchanges[i]), POLLIN, 0};
    }
    fds[count++] = (struct pollfd){hakuban_queue_fd(queue), POLLIN, 0};
    (void)poll(fds, count, timeout_ms);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(hakuban_exchange_turn(exchanges[i]), HAKUBAN_OK);
    }
    if (poll(&fds[2], 1, 0) == 1) {
        take_all(at, at->reader, 0);
    }
    take_all(at, at->writer, 0);
}

static void turn(life *at, int timeout_ms)
{
    switch (at->plan->way) {
    case BY_OWN_LOOP:
        turn_by_hand(at, timeout_ms);
        break;
    case BY_QUEUE:
        take_all(at, at->reader, timeout_ms);
        take_all(at, at->writer, 0);
        break;
    case BY_CALLBACK:
        (void)poll(NULL, 0, 1);
        break;
    }
}

/* -- A life -- */

static hakuban_status exchange_new(life *at, bool manual, hakuban_exchange **ret)
{
    hakuban_exchange_options options = {.size = sizeof(options),
                                        .drive =
                                            manual ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD,
                                        .alloc = &at->memory.table};
    return *ret ? HAKUBAN_OK : hakuban_exchange_new(&options, ret);
}

static void write_nothing(void *ctx, const char *text, size_t bytes)
{
    (void)ctx;
    (void)text;
    (void)bytes;
}

/* Makes whatever is missing; stops at the first call that fails. */
static hakuban_status prepare(life *at)
{
    const char *tag = "2";
    hakuban_status status = exchange_new(at, at->plan->way == BY_OWN_LOOP, &at->hub);
    hakuban_contract_options options = {
        .size = sizeof(options),
        .on_event = at->plan->way == BY_CALLBACK ? on_event : NULL,
        .user = at,
    };
    if (status == HAKUBAN_OK) {
        status = exchange_new(at, at->plan->way != BY_CALLBACK, &at->leaf);
    }
    if (status == HAKUBAN_OK && !at->listener) {
        status = hakuban_exchange_listen(at->hub, at->url, &at->listener, NULL);
    }
    if (status == HAKUBAN_OK && !at->connection) {
        char url[600];
        (void)snprintf(url, sizeof(url), "%s#serializer=%s,compressor=%s",
                       hakuban_listener_url(at->listener), at->plan->serializer,
                       at->plan->compressor);
        status = hakuban_exchange_connect(at->leaf, url, NULL, &at->connection, NULL);
    }
    if (status == HAKUBAN_OK && !at->name) {
        status = hakuban_descriptor_new(&at->memory.table, "1", &tag, 1, &at->name, NULL);
    }
    if (status == HAKUBAN_OK && !at->reader) {
        status = hakuban_observe_object(at->leaf, at->name, &options, &at->reader);
    }
    if (status == HAKUBAN_OK && !at->writer) {
        status = hakuban_expose_tag(at->hub, tag, &options, &at->writer, NULL);
    }
    if (status == HAKUBAN_OK) {
        status = hakuban_exchange_snapshot(at->hub, write_nothing, NULL);
    }
    return status;
}

/* Sends the state if this sink has not had it. */
static void send_state(life *at, int number)
{
    (void)pthread_mutex_lock(&at->mutex);
    hakuban_sink *sink = at->sink && at->sent < number ? hakuban_sink_ref(at->sink) : NULL;
    (void)pthread_mutex_unlock(&at->mutex);
    if (!sink) {
        return;
    }
    hakuban_status status = hakuban_sink_send_json(sink, texts[number], NULL);
    ck_assert_msg(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY ||
                      status == HAKUBAN_ERR_REVOKED,
                  "send: %s", hakuban_status_text(status));
    (void)pthread_mutex_lock(&at->mutex);
    if (status == HAKUBAN_OK && sink == at->sink) {
        at->sent = number;
    }
    (void)pthread_mutex_unlock(&at->mutex);
    (void)hakuban_sink_unref(sink);
}

static int seen(life *at)
{
    (void)pthread_mutex_lock(&at->mutex);
    int number = at->seen;
    (void)pthread_mutex_unlock(&at->mutex);
    return number;
}

/* Both ends of it are in this process. */
static bool cut_connection(const life *at)
{
    bool cut = false;
    if (at->plan->way != BY_OWN_LOOP) {
        return false;
    }
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_storage peer;
        socklen_t bytes = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0 &&
            (peer.ss_family == AF_INET || peer.ss_family == AF_UNIX)) {
            cut |= shutdown(fd, SHUT_RDWR) == 0;
        }
    }
    return cut;
}

static bool bring_over(life *at, int number, int patience_ms)
{
    int64_t until_ms = test_now_ms() + patience_ms;
    while (seen(at) < number) {
        if (test_now_ms() > until_ms) {
            return false;
        }
        send_state(at, number);
        turn(at, 5);
    }
    return true;
}

static void life_end(life *at)
{
    hakuban_contract_free(at->reader);
    hakuban_contract_free(at->writer);
    hakuban_connection_free(at->connection);
    hakuban_listener_free(at->listener);
    (void)pthread_mutex_lock(&at->mutex);
    at->ended = true; /* a callback may run at this moment */
    at->sink = hakuban_sink_unref(at->sink);
    (void)pthread_mutex_unlock(&at->mutex);
    hakuban_exchange_free(at->leaf);
    hakuban_exchange_free(at->hub);
    hakuban_descriptor_unref(at->name);
    (void)pthread_mutex_destroy(&at->mutex);
}

/* Whether allocation fail_at was reached. */
static bool live(const combination *plan, size_t fail_at, bool from_then_on, size_t *ret_calls)
{
    static unsigned count;
    life at = {.plan = plan, .sent = -1, .seen = -1};
    ck_assert_int_eq(pthread_mutex_init(&at.mutex, NULL), 0);
    fail_alloc_init(&at.memory);
    count++;
    if (strcmp(plan->transport, "inproc") == 0) {
        (void)snprintf(at.url, sizeof(at.url), "inproc://memory-%ld-%u", (long)getpid(), count);
    } else if (strcmp(plan->transport, "unix") == 0 || strcmp(plan->transport, "zmq+ipc") == 0) {
        (void)snprintf(at.url, sizeof(at.url), "%s:///tmp/hakuban-memory-%ld-%u", plan->transport,
                       (long)getpid(), count);
    } else {
        (void)snprintf(at.url, sizeof(at.url), "%s://127.0.0.1:0", plan->transport);
    }

    fail_alloc_arm(&at.memory, fail_at, from_then_on);
    hakuban_status status = prepare(&at);
    if (status != HAKUBAN_OK) {
        ck_assert_msg(status == HAKUBAN_ERR_NO_MEMORY, "allocation %zu: %s", fail_at,
                      hakuban_status_text(status));
    }
    if (status != HAKUBAN_OK && !from_then_on) { /* once more, and it works */
        status = prepare(&at);
    }
    for (int i = 0; i < STATES && status == HAKUBAN_OK; i++) {
        bool returns = i == 1 && cut_connection(&at);
        (void)bring_over(&at, i, !fail_at ? PATIENCE_MS : returns ? RETURN_MS : PLAY_MS);
    }
    *ret_calls = at.memory.calls;
    bool failed = fail_alloc_failed(&at.memory);

    fail_alloc_arm(&at.memory, 0, false);
    status = prepare(&at);
    ck_assert_msg(status == HAKUBAN_OK, "allocation %zu: with memory back: %s", fail_at,
                  hakuban_status_text(status));
    if (!bring_over(&at, STATES, PATIENCE_MS)) {
        hakuban_connection_info info;
        hakuban_connection_query(at.connection, &info);
        ck_abort_msg("allocation %zu %s: the last state does not arrive, connection %d: %s",
                     fail_at, from_then_on ? "and all after it" : "once", (int)info.state,
                     info.last_error.text);
    }
    life_end(&at);
    ck_assert_msg(at.memory.blocks == 0, "allocation %zu %s: %zu blocks left", fail_at,
                  from_then_on ? "and all after it" : "once", (size_t)at.memory.blocks);
    return failed;
}

static bool is_built(const char *kind, const char *name)
{
    const char *at = strstr(hakuban_features(), kind);
    size_t bytes = strlen(name);
    at = at ? strchr(at, ':') + 1 : ";";
    while (*at == ' ') {
        at++;
        size_t next = strcspn(at, " ;");
        if (next == bytes && memcmp(at, name, bytes) == 0) {
            return true;
        }
        at += next;
    }
    return false;
}

START_TEST(every_allocation_may_fail)
{
    const combination *plan = &plans[_i];
    const char *full = getenv("HAKUBAN_TEST_OOM");
    if (!is_built("transports", plan->transport) || !is_built("serializers", plan->serializer) ||
        !is_built("compressors", plan->compressor)) {
        return;
    }
    size_t calls = 0, ignored, tried = 0;
    (void)live(plan, 0, false, &calls); /* libuv keeps a few descriptors from the first time on */
    (void)live(plan, 0, false, &calls);
    int descriptors = open_descriptors();
    ck_assert_uint_gt(calls, 50);
    size_t step = plan->runs && !(full && strcmp(full, "full") == 0) ? calls / plan->runs + 1 : 1;
    int64_t begin_ms = test_now_ms();
    for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
        for (size_t n = 1 + (size_t)_i % step; n <= calls; n += step) {
            tried += live(plan, n, from_then_on, &ignored);
        }
    }
    ck_assert_uint_gt(tried, calls / step); /* threads don't always get to the last ones */
    fprintf(stderr, "# %s, %s, %s, %s: %zu of %zu allocations failed, in %lld ms\n",
            plan->transport, plan->serializer, plan->compressor, way_names[plan->way], tried,
            2 * calls, (long long)(test_now_ms() - begin_ms));
    ck_assert_int_eq(open_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *each = tcase_create("each allocation");
    tcase_set_timeout(each, getenv("HAKUBAN_TEST_OOM") ? 3600 : 110);
    tcase_add_loop_test(each, every_allocation_may_fail, 0, PLAN_COUNT);
    suite_add_tcase(suite, each);
    make_texts();
    return run_suite(suite);
}
