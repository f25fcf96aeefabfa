/* Objects and states by names of 64 bits. */
#include "exchange/names.h"
#include "lone_exchange.h"

START_TEST(a_table_keeps_the_last_value_of_each_name)
{
    enum { NAMES = 1000 };
    hkb_names table;
    const hkb_exchange *exchange = lone_begin();
    hkb_names_init(&table, exchange);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= NAMES; i++) {
            ck_assert_int_eq(hkb_names_put(&table, exchange, i << 32, i + (unsigned)round),
                             HAKUBAN_OK);
        }
    }
    ck_assert_uint_eq(table.map.count, NAMES);
    for (uint64_t i = 1; i <= NAMES; i++) {
        ck_assert_uint_eq(hkb_names_find(&table, exchange, i << 32)->value, i + 1);
    }
    ck_assert_ptr_null(hkb_names_find(&table, exchange, 1));
    ck_assert_uint_le(hkb_names_bytes(&table), 4 * 16 * NAMES);
    hkb_names_done(&table, exchange);
    ck_assert_uint_eq(hkb_names_bytes(&table), 0);
}
END_TEST

START_TEST(a_table_without_memory_to_grow_keeps_what_it_has)
{
    hkb_names table;
    const hkb_exchange *exchange = lone_begin();
    uint64_t name = 1;
    hkb_names_init(&table, exchange);
    ck_assert_int_eq(hkb_names_put(&table, exchange, name, name), HAKUBAN_OK);
    fail_alloc_arm(&lone.memory, 1, true);
    while (hkb_names_put(&table, exchange, name + 1, name) >= 0) {
        name++;
    }
    fail_alloc_arm(&lone.memory, 0, false);
    ck_assert_uint_eq(table.map.count, name);
    ck_assert_int_eq(hkb_names_put(&table, exchange, name + 1, name), HAKUBAN_OK);
    ck_assert_uint_eq(table.map.count, name + 1);
    for (uint64_t i = 1; i <= name + 1; i++) {
        ck_assert_ptr_nonnull(hkb_names_find(&table, exchange, i));
    }
    hkb_names_done(&table, exchange);
}
END_TEST

static uint64_t identity(const char *data, int64_t version, const char *format)
{
    hakuban_state *state;
    hakuban_state_parts parts = {.data = data,
                                 .data_bytes = strlen(data),
                                 .format = &format,
                                 .format_count = 1,
                                 .version = &version,
                                 .version_count = 1};
    ck_assert_int_eq(hakuban_state_new(lone.settings.alloc, &parts, &state), HAKUBAN_OK);
    uint64_t name = hkb_state_identity(state);
    hakuban_state_unref(state);
    return name;
}

START_TEST(states_have_the_same_name_only_if_all_of_them_is_the_same)
{
    lone_begin();
    uint64_t name = identity("data", 1, "JSON");
    ck_assert_uint_eq(identity("data", 1, "JSON"), name);
    ck_assert_uint_ne(identity("date", 1, "JSON"), name);
    ck_assert_uint_ne(identity("data", 2, "JSON"), name);
    ck_assert_uint_ne(identity("data", 1, "TEXT"), name);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, a_table_keeps_the_last_value_of_each_name);
    tcase_add_test(cases, a_table_without_memory_to_grow_keeps_what_it_has);
    tcase_add_test(cases, states_have_the_same_name_only_if_all_of_them_is_the_same);
    return lone_run("exchange.names", cases, NULL);
}
