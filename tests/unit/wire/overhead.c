/* What a state costs on the wire beyond the difference itself, with the serializer that links use
 * by default. The check is counted, the transport's own bytes are not. */
#include <check.h>

#include "plugin/registry.h"
#include "wire/native.h"

extern const hakuban_serializer_ops hakuban_serializer_msgpack;

#define NS_PER_S INT64_C(1000000000)

static const int64_t noon_ns = INT64_C(1795435200) * NS_PER_S;

/* The frame's bytes beyond the payload's, for a state whose automatic version follows after_ns
 * after the one before it, which was made begin_ns after noon. */
static size_t overhead(uint32_t channel, int64_t begin_ns, int64_t after_ns, size_t delta_bytes)
{
    static uint8_t delta[4096];
    hkb_native native;
    hkb_buffer out;
    hkb_message message;
    hkb_version none = {.count = 0}, previous;
    hkb_native_init(&native, NULL);
    hkb_buffer_init(&out, NULL, sizeof(delta) * 2);
    hkb_message_init(&message, HKB_MESSAGE_STATE);
    message.channel = channel;
    message.freshness = HAKUBAN_LIVE;
    message.check = 0xffffffff;
    message.payload = (hakuban_slice){delta, delta_bytes};
    ck_assert_int_eq(hkb_version_next(&none, noon_ns + begin_ns, 0xcafecafe, &previous),
                     HAKUBAN_OK);
    ck_assert_int_eq(
        hkb_version_next(&previous, noon_ns + begin_ns + after_ns, 0xcafecafe, &message.version),
        HAKUBAN_OK);
    ck_assert_int_eq(
        hkb_native_encode(&native, &hakuban_serializer_msgpack, &message, &previous, &out),
        HAKUBAN_OK);
    size_t bytes = out.bytes - delta_bytes;
    hkb_native_done(&native);
    hkb_buffer_done(&out);
    return bytes;
}

static const int64_t pauses_ns[] = {1,      100,     127,       128,         40000,
                                    100000, 3000000, 500000000, NS_PER_S - 1};
enum { PAUSES = sizeof(pauses_ns) / sizeof(pauses_ns[0]) };

START_TEST(a_state_costs_at_most_sixteen_bytes_within_a_second)
{
    static const uint32_t channels[] = {1, 127, 128, 1000, 65535};
    static const size_t deltas[] = {1, 6, 20, 64, 112};
    for (size_t c = 0; c < sizeof(channels) / sizeof(channels[0]); c++) {
        for (size_t d = 0; d < sizeof(deltas) / sizeof(deltas[0]); d++) {
            size_t bytes = overhead(channels[c], 0, pauses_ns[_i], deltas[d]);
            ck_assert_msg(bytes <= 16, "%zu bytes on channel %u around a delta of %zu", bytes,
                          channels[c], deltas[d]);
        }
    }
}
END_TEST

START_TEST(many_small_updates_of_few_objects_cost_less)
{
    ck_assert_uint_eq(overhead(5, 0, 100, 20), 10);
    ck_assert_uint_eq(overhead(5, 0, 40000, 20), 12);
    ck_assert_uint_le(overhead(5, 0, pauses_ns[_i], 20), 14);
}
END_TEST

/* The frame's length takes a second byte from 128 on. */
START_TEST(a_larger_delta_costs_one_byte_more)
{
    ck_assert_uint_le(overhead(127, 0, pauses_ns[_i], 4000), 15);
    ck_assert_uint_le(overhead(1000, 0, pauses_ns[_i], 4000), 17);
}
END_TEST

START_TEST(a_new_second_costs_no_more)
{
    ck_assert_uint_le(overhead(127, NS_PER_S - 1, pauses_ns[_i], 20), 14);
    ck_assert_uint_le(overhead(1000, NS_PER_S - 1, pauses_ns[_i], 20), 16);
    ck_assert_uint_le(overhead(1000, pauses_ns[_i], 4 * NS_PER_S, 20), 16);
}
END_TEST

/* From 4.3 s on the difference takes eight bytes. */
START_TEST(after_a_long_pause_four_more)
{
    ck_assert_uint_le(overhead(1000, pauses_ns[_i], 3600 * NS_PER_S, 20), 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("overhead");
    TCase *tcase = tcase_create("overhead");
    tcase_add_loop_test(tcase, a_state_costs_at_most_sixteen_bytes_within_a_second, 0, PAUSES);
    tcase_add_loop_test(tcase, many_small_updates_of_few_objects_cost_less, 0, PAUSES);
    tcase_add_loop_test(tcase, a_larger_delta_costs_one_byte_more, 0, PAUSES);
    tcase_add_loop_test(tcase, a_new_second_costs_no_more, 0, PAUSES);
    tcase_add_loop_test(tcase, after_a_long_pause_four_more, 0, PAUSES);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
