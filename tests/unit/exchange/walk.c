/* Very many objects are looked at again, few in one turn, whatever comes and goes meanwhile. */
#include "exchange/agenda.h"
#include "lone_exchange.h"

#define TURN_COST 16u
#define PER_TURN (TURN_COST * HKB_SLICE_PER_UNIT + 16) /* the last step may be a little longer */
#define OBJECTS 500u

static size_t registered(const stranger *upstream)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_share, share, &upstream->peer->shares, of_peer)
    {
        count++;
    }
    return count;
}

static void put_objects(stranger *below, unsigned begin, unsigned end, const char *wants)
{
    for (unsigned i = begin; i < end; i++) {
        stranger_put(below, "[8,%s,\"%u\"]", wants, i);
    }
    stranger_say(below);
    while (hkb_peer_is_behind(below->peer)) {
        lone_turn();
    }
}

START_TEST(an_upstream_that_comes_hears_of_a_few_objects_in_each_turn)
{
    stranger below, upstream;
    lone.settings.turn_cost = TURN_COST;
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    stranger_open(&below, exchange, false);
    put_objects(&below, 0, OBJECTS, "1,0");
    lone_turn();
    stranger_open(&upstream, exchange, true);
    size_t before = registered(&upstream);
    ck_assert_uint_le(before, PER_TURN);
    while (exchange->walk.goes_on) {
        ck_assert_uint_le(hkb_exchange_deadline(exchange), lone.now_ns);
        hkb_exchange_tick(exchange);
        hkb_exchange_settle(exchange);
        size_t now = registered(&upstream);
        ck_assert_uint_le(now - before, PER_TURN);
        before = now;
    }
    ck_assert_uint_eq(before, OBJECTS);
    stranger_leave(&upstream);
    stranger_leave(&below);
}
END_TEST

START_TEST(what_is_there_all_the_time_is_looked_at_whatever_comes_and_goes)
{
    stranger below, upstream;
    lone.settings.turn_cost = TURN_COST;
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    stranger_open(&below, exchange, false);
    put_objects(&below, 0, OBJECTS, "1,0");
    lone_turn();
    stranger_open(&upstream, exchange, true);
    put_objects(&below, OBJECTS, 4 * OBJECTS, "1,0");
    put_objects(&below, 100, OBJECTS, "0,0");
    hkb_exchange_mark_all(exchange); /* again, from the middle */
    put_objects(&below, OBJECTS, 4 * OBJECTS, "0,0");
    while (exchange->walk.goes_on) {
        hkb_exchange_tick(exchange);
        hkb_exchange_settle(exchange);
    }
    stranger_hear(exchange);
    ck_assert_uint_eq(exchange->objects.count, 100);
    ck_assert_uint_eq(registered(&upstream), 100);
    stranger_leave(&upstream);
    stranger_leave(&below);
}
END_TEST

/* -- Of one tag -- */

#define GRACE ",\"grace_ms\":2000,\"token\":\"00000000000000000000000000000005\""

/* All that is remembered goes, turn after turn. */
static void forget_all(const hkb_exchange *exchange)
{
    while (exchange->remembered_count) {
        size_t before = exchange->remembered_count;
        ck_assert_uint_le(hkb_exchange_deadline(exchange), lone.now_ns);
        lone_turn();
        ck_assert_uint_le(before - exchange->remembered_count, PER_TURN);
    }
}

/* There is a downstream that observes a tag, and all objects of the tag are remembered. */
static hkb_exchange *begin_remembering(stranger *below)
{
    stranger upstream;
    lone.settings.turn_cost = TURN_COST;
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    stranger_open_with(&upstream, exchange, true, STRANGER_HELLO_AS("2", GRACE));
    stranger_open(below, exchange, false);
    stranger_put(below, "[9,1,0,\"7\"]");
    stranger_say(below);
    stranger_hear(exchange);
    for (unsigned i = 0; i < OBJECTS; i++) {
        stranger_put(&upstream, "[12,%u,1,1,0,\"%u\",\"7\"]", i + 1, i);
    }
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    while (hkb_peer_is_behind(upstream.peer)) {
        lone_turn();
    }
    stranger_leave(&upstream);
    lone_pass(3 * LONE_S); /* longer than the grace */
    ck_assert_uint_eq(exchange->remembered_count, OBJECTS);
    return exchange;
}

START_TEST(what_is_remembered_goes_a_few_objects_in_each_turn_once_nothing_observes_it)
{
    stranger below;
    const hkb_exchange *exchange = begin_remembering(&below);
    stranger_leave(&below);
    ck_assert_uint_ge(exchange->remembered_count, OBJECTS - PER_TURN);
    forget_all(exchange);
    lone_pass(LONE_MS);
    ck_assert_uint_eq(exchange->objects.count, 0);
    ck_assert_uint_eq(exchange->tags.count, 0);
}
END_TEST

START_TEST(what_the_next_upstream_does_not_list_goes_a_few_objects_in_each_turn)
{
    stranger below, upstream;
    hkb_exchange *exchange = begin_remembering(&below);
    stranger_open(&upstream, exchange, true);
    lone_pass(LONE_MS);
    stranger_hear(exchange);
    ck_assert_uint_eq(exchange->remembered_count, OBJECTS);
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    ck_assert_uint_ge(exchange->remembered_count, OBJECTS - PER_TURN);
    forget_all(exchange);
    stranger_hear(exchange);
    ck_assert_uint_eq(exchange->objects.count, 0);
    stranger_leave(&upstream);
    stranger_leave(&below);
}
END_TEST

/* The upstream that has listed the tag is lost while the objects are looked at: those that were not
 * listed again, and not forgotten yet, stay. */
START_TEST(what_is_remembered_stays_when_the_next_upstream_is_lost_too)
{
    stranger below, upstream;
    hkb_exchange *exchange = begin_remembering(&below);
    stranger_open_with(&upstream, exchange, true, STRANGER_HELLO_AS("2", GRACE));
    lone_pass(LONE_MS);
    stranger_hear(exchange);
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_turn();
    hkb_link_end(&upstream.peer->link, HAKUBAN_ERR_CLOSED, "it is gone");
    hkb_exchange_settle(exchange);
    size_t left = exchange->remembered_count;
    ck_assert_uint_gt(left, 0);
    stranger_leave(&upstream);
    lone_pass(LONE_S);
    ck_assert_uint_eq(exchange->remembered_count, left);
    stranger_leave(&below);
}
END_TEST

/* -- Hand-overs -- */

static size_t in_hand_over(const hkb_exchange *exchange)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_object, object, &exchange->waiting, timed)
    {
        count++;
    }
    return count;
}

START_TEST(hand_overs_whose_time_is_over_end_a_few_in_each_turn)
{
    stranger below, exposers[2];
    lone.settings.turn_cost = TURN_COST;
    hkb_exchange *exchange = lone_begin();
    stranger_open(&below, exchange, false);
    put_objects(&below, 0, OBJECTS, "1,0");
    for (int i = 0; i < 2; i++) {
        stranger_open(&exposers[i], exchange, false);
        put_objects(&exposers[i], 0, OBJECTS, "2,1");
        stranger_hear(exchange);
    }
    put_objects(&exposers[0], 0, OBJECTS, "0,0"); /* and it never says that it has closed */
    ck_assert_uint_eq(in_hand_over(exchange), OBJECTS);
    lone.now_ns += HKB_HANDOVER_NS;
    hkb_exchange_set_time(exchange, lone.now_ns, (int64_t)lone.now_ns);
    for (size_t left = OBJECTS; left;) {
        ck_assert_uint_le(hkb_exchange_deadline(exchange), lone.now_ns);
        lone_turn();
        ck_assert_uint_le(left - in_hand_over(exchange), PER_TURN);
        left = in_hand_over(exchange);
    }
    stranger_leave(&exposers[0]);
    stranger_leave(&exposers[1]);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *all = lone_cases();
    tcase_add_test(all, an_upstream_that_comes_hears_of_a_few_objects_in_each_turn);
    tcase_add_test(all, what_is_there_all_the_time_is_looked_at_whatever_comes_and_goes);
    tcase_add_test(all,
                   what_is_remembered_goes_a_few_objects_in_each_turn_once_nothing_observes_it);
    tcase_add_test(all, what_the_next_upstream_does_not_list_goes_a_few_objects_in_each_turn);
    tcase_add_test(all, what_is_remembered_stays_when_the_next_upstream_is_lost_too);
    tcase_add_test(all, hand_overs_whose_time_is_over_end_a_few_in_each_turn);
    return lone_run("exchange.walk", all, NULL);
}
