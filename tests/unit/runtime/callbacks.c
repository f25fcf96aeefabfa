/* Contracts that are told by a callback: when it runs, what may be called in it, and how it ends.
 */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <pthread.h>

/* What a callback has seen. Waited for with a condition, never with time. */
typedef struct witness {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    hakuban_exchange *exchange;
    hakuban_contract *contract;
    int opens, states, freed, running, would_block;
    bool free_inside, hold, released;
} witness;

static void witness_init(witness *seen, hakuban_exchange *exchange)
{
    memset(seen, 0, sizeof(*seen));
    seen->exchange = exchange;
    ck_assert_int_eq(pthread_mutex_init(&seen->mutex, NULL), 0);
    ck_assert_int_eq(pthread_cond_init(&seen->changed, NULL), 0);
}

static void witness_done(witness *seen)
{
    (void)pthread_mutex_destroy(&seen->mutex);
    (void)pthread_cond_destroy(&seen->changed);
}

static void on_event(void *user, hakuban_event *event)
{
    witness *seen = user;
    (void)pthread_mutex_lock(&seen->mutex);
    seen->running++;
    seen->opens += event->kind == HAKUBAN_EVENT_OPEN;
    seen->states += event->kind == HAKUBAN_EVENT_STATE;
    (void)pthread_cond_broadcast(&seen->changed);
    while (seen->hold && !seen->released) {
        (void)pthread_cond_wait(&seen->changed, &seen->mutex);
    }
    bool free_now = seen->free_inside;
    hakuban_contract *contract = seen->contract;
    seen->free_inside = false;
    if (free_now) {
        seen->contract = NULL;
    }
    (void)pthread_mutex_unlock(&seen->mutex);

    int would_block = hakuban_exchange_close(seen->exchange, 10) == HAKUBAN_ERR_WOULD_BLOCK ? 1 : 0;
    if (free_now) {
        (void)hakuban_contract_free(contract);
    }

    (void)pthread_mutex_lock(&seen->mutex);
    seen->would_block += would_block;
    seen->running--;
    (void)pthread_mutex_unlock(&seen->mutex);
}

static void on_freed(void *user)
{
    witness *seen = user;
    (void)pthread_mutex_lock(&seen->mutex);
    ck_assert_int_eq(seen->running, 0);
    seen->freed++;
    (void)pthread_cond_broadcast(&seen->changed);
    (void)pthread_mutex_unlock(&seen->mutex);
}

static int look(witness *seen, const int *counter)
{
    (void)pthread_mutex_lock(&seen->mutex);
    int value = *counter;
    (void)pthread_mutex_unlock(&seen->mutex);
    return value;
}

static void await_count(const exchange_pair *pair, witness *seen, const int *counter, int least)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (look(seen, counter) < least) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        pair_step(pair, 100);
    }
}

static exchange_pair alone(int index)
{
    exchange_pair pair = {.drive = index ? HAKUBAN_DRIVE_MANUAL : HAKUBAN_DRIVE_THREAD};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    return pair;
}

static hakuban_contract *observe_with(exchange_pair *pair, witness *seen)
{
    hakuban_contract_options options = {
        .size = sizeof(options), .on_event = on_event, .on_freed = on_freed, .user = seen};
    (void)pthread_mutex_lock(&seen->mutex);
    hakuban_contract *contract = observe(pair->hub, "1", &options);
    seen->contract = contract;
    (void)pthread_mutex_unlock(&seen->mutex);
    return contract;
}

START_TEST(events_come_to_a_callback_that_must_not_block)
{
    exchange_pair pair = alone(_i);
    witness seen;
    witness_init(&seen, pair.hub);
    hakuban_contract *reader = observe_with(&pair, &seen);
    ck_assert_ptr_null(hakuban_contract_queue(reader));
    hakuban_event event;
    ck_assert_int_eq(hakuban_contract_next(reader, 0, &event), HAKUBAN_ERR_ARGUMENT);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    await_count(&pair, &seen, &seen.opens, 1);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "1", NULL), HAKUBAN_OK);
    await_count(&pair, &seen, &seen.states, 1);
    await_count(&pair, &seen, &seen.would_block, 2);
    (void)hakuban_contract_free(reader);
    await_count(&pair, &seen, &seen.freed, 1);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(pair.hub);
    ck_assert_int_eq(seen.freed, 1);
    witness_done(&seen);
}
END_TEST

START_TEST(a_contract_may_be_freed_in_its_own_callback)
{
    exchange_pair pair = alone(_i);
    witness seen;
    witness_init(&seen, pair.hub);
    seen.free_inside = true;
    (void)observe_with(&pair, &seen);
    await_count(&pair, &seen, &seen.freed, 1);
    (void)hakuban_exchange_free(pair.hub);
    ck_assert_int_eq(seen.freed, 1);
    ck_assert_int_eq(seen.opens, 1);
    witness_done(&seen);
}
END_TEST

START_TEST(a_contract_may_be_freed_while_its_callback_runs_elsewhere)
{
    exchange_pair pair = alone(0);
    witness seen;
    witness_init(&seen, pair.hub);
    seen.hold = true;
    hakuban_contract *reader = observe_with(&pair, &seen);
    await_count(&pair, &seen, &seen.running, 1);
    (void)hakuban_contract_free(reader); /* returns although the callback waits for us */
    ck_assert_int_eq(look(&seen, &seen.freed), 0);
    (void)pthread_mutex_lock(&seen.mutex);
    seen.released = true;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.mutex);
    await_count(&pair, &seen, &seen.freed, 1);
    (void)hakuban_exchange_free(pair.hub);
    ck_assert_int_eq(seen.freed, 1);
    witness_done(&seen);
}
END_TEST

START_TEST(on_freed_waits_for_events_that_are_out)
{
    exchange_pair pair = alone(_i);
    witness seen;
    witness_init(&seen, pair.hub);
    hakuban_contract_options options = {
        .size = sizeof(options), .on_freed = on_freed, .user = &seen};
    hakuban_contract *reader = observe(pair.hub, "1", &options);
    hakuban_event event;
    ck_assert_int_eq(hakuban_contract_next(reader, PATIENCE_MS, &event), HAKUBAN_OK);
    (void)hakuban_contract_free(reader);
    ck_assert_int_eq(seen.freed, 0);
    ck_assert_str_eq(hakuban_descriptor_json(event.object), "1");
    hakuban_event_done(&event);
    ck_assert_int_eq(seen.freed, 1);
    hakuban_event_done(&event); /* empty by now */
    (void)hakuban_exchange_free(pair.hub);
    witness_done(&seen);
}
END_TEST

/* Many contracts come and go while their callbacks run. */
START_TEST(freeing_races_with_callbacks)
{
    exchange_pair pair = alone(0);
    hakuban_contract *writer = expose(pair.hub, "1", NULL);
    for (int i = 0; i < 300; i++) {
        witness seen;
        witness_init(&seen, pair.hub);
        hakuban_contract *reader = observe_with(&pair, &seen);
        (void)hakuban_contract_free(reader);
        await_count(&pair, &seen, &seen.freed, 1);
        /* on_freed holds the mutex when it counts; it is gone before the mutex is. */
        (void)pthread_mutex_lock(&seen.mutex);
        ck_assert_int_eq(seen.running, 0);
        (void)pthread_mutex_unlock(&seen.mutex);
        witness_done(&seen);
    }
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("callbacks");
    TCase *both = tcase_create("callbacks");
    tcase_set_timeout(both, 60);
    tcase_add_loop_test(both, events_come_to_a_callback_that_must_not_block, 0, 2);
    tcase_add_loop_test(both, a_contract_may_be_freed_in_its_own_callback, 0, 2);
    tcase_add_test(both, a_contract_may_be_freed_while_its_callback_runs_elsewhere);
    tcase_add_loop_test(both, on_freed_waits_for_events_that_are_out, 0, 2);
    tcase_add_test(both, freeing_races_with_callbacks);
    suite_add_tcase(suite, both);
    return run_suite(suite);
}
