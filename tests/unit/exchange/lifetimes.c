/* Records: made when they are needed, gone with the last that refers to them, and never half made.
 */
#include "exchange/lifetimes.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "lone_exchange.h"

START_TEST(an_object_and_its_tags_go_with_the_last_contract)
{
    lone_user object, tag;
    lone_begin();
    lone_observe(&object, "1", "7");
    lone_observe_tag(&tag, "7");
    ck_assert_ptr_nonnull(lone_object("1", "7"));
    lone_end(&object);
    ck_assert_ptr_null(lone_object("1", "7"));
    ck_assert_ptr_nonnull(lone_tag("7"));
    lone_end(&tag);
    ck_assert_ptr_null(lone_tag("7"));
}
END_TEST

static size_t share_count(const hkb_object *object)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        count += share->registered.observes;
    }
    return count;
}

START_TEST(an_object_stays_as_long_as_one_peer_of_two_wants_it)
{
    stranger peers[2];
    lone_begin();
    for (int i = 0; i < 2; i++) {
        stranger_open(&peers[i], lone.exchange, false);
        stranger_put(&peers[i], "[8,1,0,\"1\",\"7\"]");
        stranger_say(&peers[i]);
    }
    ck_assert_uint_eq(share_count(lone_object("1", "7")), 2);
    stranger_leave(&peers[0]);
    ck_assert_ptr_nonnull(lone_object("1", "7"));
    ck_assert_uint_eq(share_count(lone_object("1", "7")), 1);
    stranger_put(&peers[1], "[8,0,0,\"1\",\"7\"]");
    stranger_say(&peers[1]);
    stranger_hear(lone.exchange);
    lone_pass(LONE_MS);
    ck_assert_ptr_null(lone_object("1", "7"));
    ck_assert_ptr_null(lone_tag("7"));
    stranger_leave(&peers[1]);
}
END_TEST

START_TEST(equal_names_mean_the_same_record)
{
    lone_user one, other;
    lone_begin();
    lone_observe(&one, "{\"b\":1,\"a\":2}", "7");
    lone_observe(&other, " {\"a\": 2, \"b\": 1} ", "7");
    ck_assert_uint_eq(lone.exchange->objects.count, 1);
    lone_end(&one);
    ck_assert_uint_eq(lone.exchange->objects.count, 1);
    lone_end(&other);
    ck_assert_uint_eq(lone.exchange->objects.count, 0);
}
END_TEST

START_TEST(without_memory_a_record_is_not_made_and_nothing_is_left_of_it)
{
    hakuban_descriptor *name;
    const char *tags[] = {"7", "8"};
    hkb_exchange *exchange = lone_begin();
    ck_assert_int_eq(hakuban_descriptor_new(NULL, "1", tags, 2, &name, NULL), HAKUBAN_OK);
    hkb_object *object;
    size_t fail_at = 1;
    for (;; fail_at++) {
        fail_alloc_arm(&lone.memory, fail_at, false);
        hakuban_status status = hkb_object_get(exchange, name, &object);
        fail_alloc_arm(&lone.memory, 0, false);
        if (status >= 0) {
            break;
        }
        ck_assert_int_eq(status, HAKUBAN_ERR_NO_MEMORY);
        hkb_exchange_settle(exchange);
        ck_assert_uint_eq(exchange->objects.count, 0);
        ck_assert_uint_eq(exchange->tags.count, 0);
        ck_assert_uint_eq(hkb_exchange_held_bytes(exchange), 0);
    }
    ck_assert_uint_gt(fail_at, 3); /* the object, two tags, tables */
    hkb_object_mark(object);       /* nothing refers to it */
    hakuban_descriptor_unref(name);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, an_object_and_its_tags_go_with_the_last_contract);
    tcase_add_test(cases, an_object_stays_as_long_as_one_peer_of_two_wants_it);
    tcase_add_test(cases, equal_names_mean_the_same_record);
    tcase_add_test(cases, without_memory_a_record_is_not_made_and_nothing_is_left_of_it);
    return lone_run("exchange.lifetimes", cases, NULL);
}
