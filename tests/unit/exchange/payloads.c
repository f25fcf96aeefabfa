/* Payloads of an object's newest state: made once for all peers that stand on the same state, and
 * kept for a short time and few bytes. */
#include "exchange/payloads.h"
#include "lone_exchange.h"

static void send_long(const lone_user *exposer, char letter, int64_t version)
{
    char text[200];
    memset(text, 'x', sizeof(text));
    text[0] = letter;
    text[sizeof(text) - 1] = 0;
    ck_assert_int_eq(lone_send(exposer, text, version), HAKUBAN_OK);
}

/* They stand on the exposer's first state then. */
static void observers_get_a_state(stranger *observers, int count, lone_user *exposer)
{
    lone_begin();
    for (int i = 0; i < count; i++) {
        stranger_open(&observers[i], lone.exchange, false);
        stranger_put(&observers[i], "[8,1,0,\"1\"]");
        stranger_say(&observers[i]);
    }
    lone_expose(exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(exposer), HAKUBAN_EVENT_SINK_OPEN);
    send_long(exposer, 'a', 1);
    stranger_hear(lone.exchange);
}

START_TEST(observers_that_stand_on_the_same_state_share_a_difference)
{
    lone_user exposer;
    stranger observers[3];
    observers_get_a_state(observers, 3, &exposer);
    hakuban_exchange_stats before = lone.exchange->stats;
    send_long(&exposer, 'b', 2);
    stranger_hear(lone.exchange);
    ck_assert_uint_eq(lone.exchange->stats.deltas_made - before.deltas_made, 1);
    ck_assert_uint_eq(lone.exchange->stats.deltas_shared - before.deltas_shared, 2);
    lone_end(&exposer);
    for (int i = 0; i < 3; i++) {
        stranger_leave(&observers[i]);
    }
}
END_TEST

START_TEST(a_difference_is_forgotten_with_the_state_that_it_is_to)
{
    lone_user exposer;
    stranger observers[2];
    observers_get_a_state(observers, 2, &exposer);
    send_long(&exposer, 'b', 2);
    stranger_hear(lone.exchange); /* both stand on the new state now */
    ck_assert_uint_eq(lone.exchange->stats.deltas_shared, 1);
    ck_assert_uint_eq(lone.exchange->delta_count, 0);
    lone_end(&exposer);
    for (int i = 0; i < 2; i++) {
        stranger_leave(&observers[i]);
    }
}
END_TEST

/* Of an object with a state, for as long as the user observes. */
static hkb_object *object_with_state(lone_user *observer, lone_user *exposer)
{
    lone_observe(observer, "1", NULL);
    lone_expose(exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(exposer), HAKUBAN_EVENT_SINK_OPEN);
    send_long(exposer, 'a', 1);
    return lone_object("1", NULL);
}

static void keep(hkb_object *object, size_t bytes)
{
    hakuban_bytes *payload;
    uint8_t *data;
    ck_assert_int_eq(hkb_bytes_new_empty(lone.settings.alloc, bytes, &payload, &data), HAKUBAN_OK);
    memset(data, 0, bytes);
    hkb_delta_keep(object, object->state, NULL, payload);
    hakuban_bytes_unref(payload);
}

START_TEST(of_kept_payloads_the_oldest_go_when_they_are_too_many_bytes)
{
    lone_user observer, exposer;
    lone_begin();
    hkb_object *object = object_with_state(&observer, &exposer);
    for (size_t i = 0; i < 10; i++) {
        keep(object, HKB_DELTAS_BYTES_MAX / 4);
        ck_assert_uint_eq(lone.exchange->delta_count, hkb_min(i + 1, 4u));
    }
    keep(object, 2 * HKB_DELTAS_BYTES_MAX); /* one may be larger */
    ck_assert_uint_eq(lone.exchange->delta_count, 1);
    lone_end(&observer);
    lone_end(&exposer);
}
END_TEST

START_TEST(a_kept_payload_is_forgotten_after_a_moment)
{
    lone_user observer, exposer;
    lone_begin();
    hkb_object *object = object_with_state(&observer, &exposer);
    keep(object, 1000);
    lone_pass(HKB_DELTA_AGE_NS / 2);
    ck_assert_uint_eq(lone.exchange->delta_count, 1);
    lone_pass(HKB_DELTA_AGE_NS);
    ck_assert_uint_eq(lone.exchange->delta_count, 0);
    ck_assert_uint_eq(lone.exchange->shared.payload_bytes, 0);
    lone_end(&observer);
    lone_end(&exposer);
}
END_TEST

START_TEST(without_memory_a_payload_is_not_kept)
{
    lone_user observer, exposer;
    lone_begin();
    hkb_object *object = object_with_state(&observer, &exposer);
    fail_alloc_arm(&lone.memory, 2, false); /* 1 is the payload itself */
    keep(object, 1000);
    ck_assert(fail_alloc_failed(&lone.memory));
    fail_alloc_arm(&lone.memory, 0, false);
    ck_assert_uint_eq(lone.exchange->delta_count, 0);
    lone_end(&observer);
    lone_end(&exposer);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, observers_that_stand_on_the_same_state_share_a_difference);
    tcase_add_test(cases, a_difference_is_forgotten_with_the_state_that_it_is_to);
    tcase_add_test(cases, of_kept_payloads_the_oldest_go_when_they_are_too_many_bytes);
    tcase_add_test(cases, a_kept_payload_is_forgotten_after_a_moment);
    tcase_add_test(cases, without_memory_a_payload_is_not_kept);
    return lone_run("exchange.payloads", cases, NULL);
}
