/* Large states are worked on beside the loop: a compressor that stands still keeps nothing else
 * waiting, and its thread ends with its exchange. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <pthread.h>

#include <hakuban/plugin/registry.h>

#define LARGE_BYTES ((size_t)1024 * 1024)

enum way { UNPACKING, PACKING, WAYS };

/* A compressor of bytes that are all the same. Large ones are not decompressed, or not compressed,
 * before the gate is open. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    enum way way;
    unsigned entered, left;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_set(bool open, enum way way)
{
    ck_assert_int_eq(pthread_mutex_lock(&gate.mutex), 0);
    gate.open = open;
    gate.way = way;
    gate.entered = gate.left = 0;
    ck_assert_int_eq(pthread_cond_broadcast(&gate.changed), 0);
    ck_assert_int_eq(pthread_mutex_unlock(&gate.mutex), 0);
}

static void gate_pass(enum way way)
{
    (void)pthread_mutex_lock(&gate.mutex);
    if (way == gate.way) {
        gate.entered++;
        (void)pthread_cond_broadcast(&gate.changed);
        while (!gate.open) {
            (void)pthread_cond_wait(&gate.changed, &gate.mutex);
        }
        gate.left++;
    }
    (void)pthread_mutex_unlock(&gate.mutex);
}

static unsigned gate_entered(void)
{
    (void)pthread_mutex_lock(&gate.mutex);
    unsigned entered = gate.entered;
    (void)pthread_mutex_unlock(&gate.mutex);
    return entered;
}

static size_t same_bound(void *self, size_t bytes)
{
    (void)self;
    return bytes;
}

static hakuban_status same_compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                                    hakuban_slice src, hakuban_slice reference)
{
    const char *data = src.data;
    (void)self;
    (void)dst_bytes;
    (void)reference;
    for (size_t i = 1; i < src.bytes; i++) {
        if (data[i] != data[0]) {
            return HAKUBAN_ERR_LIMIT;
        }
    }
    if (src.bytes >= LARGE_BYTES) {
        gate_pass(PACKING);
    }
    *(char *)dst = data[0];
    *ret_bytes = 1;
    return HAKUBAN_OK;
}

static hakuban_status same_decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                      hakuban_slice reference)
{
    (void)self;
    (void)reference;
    if (src.bytes != 1) {
        return HAKUBAN_ERR_CORRUPT;
    }
    if (dst_bytes >= LARGE_BYTES) {
        gate_pass(UNPACKING);
    }
    memset(dst, *(const char *)src.data, dst_bytes);
    return HAKUBAN_OK;
}

static const hakuban_compressor_ops same = {
    .size = sizeof(hakuban_compressor_ops),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "same",
    .bound = same_bound,
    .compress = same_compress,
    .decompress = same_decompress,
};

/* The hub observes what the leaf exposes. */
typedef struct setting {
    exchange_pair pair;
    hakuban_listener *listener;
    hakuban_connection *connection;
    hakuban_contract *readers[2], *writers[2];
    hakuban_sink *sinks[2];
} setting;

enum { LARGE, SMALL };

static void begin(setting *at, int index)
{
    hakuban_drive drive = index % 2 ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD;
    hakuban_error error;
    char url[200], with[240];
    static const char *const objects[] = {"\"large\"", "\"small\""};
    at->pair = (exchange_pair){.drive = drive};
    at->pair.hub = exchange_make(drive, NULL, "hub");
    at->pair.leaf = exchange_make(drive, NULL, "leaf");
    ck_assert_int_eq(hakuban_exchange_add_compressor(at->pair.hub, &same, &error), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_add_compressor(at->pair.leaf, &same, &error), HAKUBAN_OK);
    at->listener = listen_at(at->pair.hub, listen_url(0, url));
    (void)snprintf(with, sizeof(with), "%s#compressor=same", hakuban_listener_url(at->listener));
    at->connection = connect_to(at->pair.leaf, with, NULL);
    for (int i = 0; i < 2; i++) {
        at->readers[i] = observe(at->pair.hub, objects[i], NULL);
        at->writers[i] = expose(at->pair.leaf, objects[i], NULL);
        at->sinks[i] = await_sink(&at->pair, at->writers[i]);
    }
    gate_set(false, (enum way)(index / 2));
}

static char *large_text(void)
{
    char *data = malloc(LARGE_BYTES + 1);
    ck_assert_ptr_nonnull(data);
    memset(data, 'a', LARGE_BYTES);
    data[LARGE_BYTES] = '\0';
    return data;
}

static void send_large(const setting *at)
{
    char *data = large_text();
    hakuban_state_parts parts = {.data = data, .data_bytes = LARGE_BYTES};
    hakuban_state *state = NULL;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_sink_send(at->sinks[LARGE], state), HAKUBAN_OK);
    (void)hakuban_state_unref(state);
    free(data);
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (gate_entered() == 0) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        pair_step(&at->pair, 10);
    }
}

static void end(setting *at)
{
    for (int i = 0; i < 2; i++) {
        (void)hakuban_sink_unref(at->sinks[i]);
        (void)hakuban_contract_free(at->readers[i]);
        (void)hakuban_contract_free(at->writers[i]);
    }
    (void)hakuban_connection_free(at->connection);
    (void)hakuban_listener_free(at->listener);
    ck_assert_ptr_null(hakuban_exchange_free(at->pair.leaf));
    ck_assert_ptr_null(hakuban_exchange_free(at->pair.hub));
}

START_TEST(others_are_served_while_a_large_state_or_its_payload_is_made)
{
    setting at;
    begin(&at, _i);
    send_large(&at);
    for (int i = 0; i < 20; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%d", i);
        ck_assert_int_eq(hakuban_sink_send_json(at.sinks[SMALL], text, NULL), HAKUBAN_OK);
        pair_await_text(&at.pair, hakuban_contract_queue(at.readers[SMALL]), text);
    }
    ck_assert_uint_eq(gate_entered(), 1); /* and none of them has waited for it to end */
    gate_set(true, UNPACKING);
    char *data = large_text();
    pair_await_text(&at.pair, hakuban_contract_queue(at.readers[LARGE]), data);
    free(data);
    end(&at);
}
END_TEST

static void *open_soon(void *unused)
{
    (void)poll(NULL, 0, 50); /* so that freeing has begun, most probably */
    (void)pthread_mutex_lock(&gate.mutex);
    gate.open = true;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.mutex);
    return unused;
}

START_TEST(no_thread_outlives_its_exchange)
{
    setting at;
    pthread_t thread;
    begin(&at, _i);
    send_large(&at);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_soon, NULL), 0);
    end(&at);
    ck_assert_uint_eq(gate.left, gate.entered);
    ck_assert_uint_eq(gate.left, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *pool = tcase_create("pool");
    tcase_set_timeout(pool, 60);
    tcase_add_loop_test(pool, others_are_served_while_a_large_state_or_its_payload_is_made, 0,
                        2 * WAYS);
    tcase_add_loop_test(pool, no_thread_outlives_its_exchange, 0, 2 * WAYS);
    suite_add_tcase(suite, pool);
    return run_suite(suite);
}
