/* What is kept of a session with an upstream that is over: objects stay, STALE, until a new
 * upstream has listed what there is. */
#include "exchange/recall.h"
#include "exchange/agenda.h"
#include "lone_exchange.h"

#define GRACE ",\"grace_ms\":2000,\"token\":\"00000000000000000000000000000005\""

static lone_user observer;
static stranger upstream;

/* An object that is there only because the upstream has it. */
static void begin(void)
{
    lone_begin();
    hkb_exchange_expect_upstream(lone.exchange, true);
    stranger_open_with(&upstream, lone.exchange, true, STRANGER_HELLO_AS("2", GRACE));
    ck_assert_int_eq(upstream.peer->link.phase, HKB_LINK_OPEN);
    lone_observe_tag(&observer, "7");
    stranger_hear(lone.exchange);
    stranger_put(&upstream, "[12,1,1,1,0,\"1\",\"7\"]");
    stranger_put_state(&upstream, 1, 5, "state");
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    while (lone_next(&observer)) {
        continue;
    }
    ck_assert_int_eq(lone_object("1", "7")->freshness, HAKUBAN_LIVE);
}

static void end(void)
{
    lone_end(&observer);
    hkb_exchange_expect_upstream(lone.exchange, false);
    stranger_leave(&upstream);
    lone_pass(3 * LONE_S);
}

static void lose_upstream(void)
{
    stranger_leave(&upstream);
    lone_pass(3 * LONE_S); /* longer than the grace */
}

START_TEST(an_object_of_a_lost_upstream_stays_and_is_stale)
{
    begin();
    lose_upstream();
    const hkb_object *object = lone_object("1", "7");
    ck_assert_ptr_nonnull(object);
    ck_assert(object->remembered);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_CONDITION);
    ck_assert_int_eq(observer.event.freshness, HAKUBAN_STALE);
    ck_assert_int_eq(lone_next(&observer), 0);
    stranger_open(&upstream, lone.exchange, true);
    end();
}
END_TEST

START_TEST(what_the_next_upstream_does_not_list_has_ended)
{
    begin();
    lose_upstream();
    stranger_open(&upstream, lone.exchange, true);
    lone_pass(LONE_MS);
    ck_assert_ptr_nonnull(lone_object("1", "7"));
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    int last = 0;
    for (int kind; (kind = lone_next(&observer));) {
        last = kind;
    }
    ck_assert_int_eq(last, HAKUBAN_EVENT_CLOSE);
    ck_assert_ptr_null(lone_object("1", "7"));
    end();
}
END_TEST

START_TEST(what_the_next_upstream_lists_goes_on_without_an_end)
{
    begin();
    lose_upstream();
    stranger_open(&upstream, lone.exchange, true);
    stranger_put(&upstream, "[12,1,1,1,0,\"1\",\"7\"]");
    stranger_put_state(&upstream, 1, 6, "next");
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    for (int kind; (kind = lone_next(&observer));) {
        ck_assert_int_ne(kind, HAKUBAN_EVENT_CLOSE);
        ck_assert_int_ne(kind, HAKUBAN_EVENT_OPEN);
    }
    const hkb_object *object = lone_object("1", "7");
    ck_assert(!object->remembered);
    ck_assert_int_eq(object->freshness, HAKUBAN_LIVE);
    ck_assert_uint_eq(object->state->data_bytes, strlen("next"));
    end();
}
END_TEST

START_TEST(what_is_remembered_goes_when_nothing_observes_it_any_more)
{
    begin();
    lose_upstream();
    ck_assert_uint_eq(lone.exchange->remembered_count, 1);
    lone_end(&observer);
    lone_pass(LONE_MS);
    ck_assert_uint_eq(lone.exchange->remembered_count, 0);
    ck_assert_ptr_null(lone_object("1", "7"));
    hkb_exchange_expect_upstream(lone.exchange, false);
}
END_TEST

/* -- Very many objects, a few in each turn -- */

#define OBJECTS 500u
#define TURN_COST 16u
#define PER_TURN (TURN_COST * HKB_SLICE_PER_UNIT)

/* The objects are there only because the upstream has them. */
static void begin_with_many(void)
{
    lone.settings.turn_cost = TURN_COST;
    begin();
    for (unsigned i = 2; i <= OBJECTS; i++) {
        stranger_put(&upstream, "[12,%u,1,1,0,\"%u\",\"7\"]", i, i);
        stranger_put_state(&upstream, i, 5, "state");
    }
    stranger_say(&upstream);
    while (hkb_peer_is_behind(upstream.peer)) {
        lone_turn();
    }
    ck_assert_uint_eq(lone.exchange->objects.count, OBJECTS);
}

START_TEST(very_many_names_are_told_a_few_in_each_turn_and_before_all_else)
{
    begin_with_many();
    lose_upstream();
    ck_assert_uint_eq(lone.exchange->remembered_count, OBJECTS);
    stranger_come(&upstream, lone.exchange, true);
    stranger_put(&upstream, "%s", STRANGER_UPSTREAM_HELLO);
    stranger_hear(lone.exchange);
    stranger_say(&upstream);
    hkb_recall_offer(upstream.peer); /* as to a hub that understands it */
    hkb_peer_queue_first(upstream.peer);
    lone.exchange->names_left = PER_TURN;
    stranger_hear(lone.exchange);
    unsigned turns = 1;
    for (; upstream.peer->recall; turns++) {
        ck_assert(stranger_heard(&upstream, "[17,"));
        ck_assert(!stranger_heard(&upstream, "[9,")); /* a tag */
        ck_assert_uint_le(hkb_exchange_deadline(lone.exchange), lone.now_ns);
        lone_turn();
        stranger_hear(lone.exchange);
    }
    ck_assert_uint_le(turns, OBJECTS / PER_TURN + 1);
    ck_assert_uint_ge(turns, OBJECTS / (PER_TURN + 16)); /* the last step may be a little longer */
    lone_pass(0);
    ck_assert(stranger_heard(&upstream, "[9,1,0,\"7\"]"));
    end();
}
END_TEST

START_TEST(what_is_not_listed_ends_a_few_in_each_turn_and_before_listed)
{
    begin_with_many();
    lose_upstream();
    stranger_open(&upstream, lone.exchange, true);
    lone_pass(LONE_MS);
    stranger_hear(lone.exchange);
    lone_user second;
    lone_observe_tag(&second, "7");
    lone_pass(0);
    lone.exchange->walk_left = PER_TURN;
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    for (size_t before = OBJECTS, left; (left = lone.exchange->remembered_count); before = left) {
        ck_assert_uint_le(before - left, PER_TURN);
        ck_assert_uint_le(hkb_exchange_deadline(lone.exchange), lone.now_ns);
        for (int kind; (kind = lone_next(&second));) {
            ck_assert_int_ne(kind, HAKUBAN_EVENT_LISTED);
        }
        lone_turn();
    }
    lone_pass(0);
    int last = 0;
    for (int kind; (kind = lone_next(&second));) {
        last = kind;
    }
    ck_assert_int_eq(last, HAKUBAN_EVENT_COMPLETE);
    lone_end(&second);
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, an_object_of_a_lost_upstream_stays_and_is_stale);
    tcase_add_test(cases, what_the_next_upstream_does_not_list_has_ended);
    tcase_add_test(cases, what_the_next_upstream_lists_goes_on_without_an_end);
    tcase_add_test(cases, what_is_remembered_goes_when_nothing_observes_it_any_more);
    tcase_add_test(cases, very_many_names_are_told_a_few_in_each_turn_and_before_all_else);
    tcase_add_test(cases, what_is_not_listed_ends_a_few_in_each_turn_and_before_listed);
    return lone_run("exchange.recall", cases, NULL);
}
