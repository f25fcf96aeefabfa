/* All objects are looked at again, few in one turn, whatever comes and goes meanwhile. */
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

static void put_objects(stranger *below, unsigned begin, unsigned end, const char *flags)
{
    for (unsigned i = begin; i < end; i++) {
        stranger_put(below, "[8,%s,0,\"%u\"]", flags, i);
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
    put_objects(&below, 0, OBJECTS, "1");
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
    put_objects(&below, 0, OBJECTS, "1");
    lone_turn();
    stranger_open(&upstream, exchange, true);
    put_objects(&below, OBJECTS, 4 * OBJECTS, "1");
    put_objects(&below, 100, OBJECTS, "0");
    hkb_exchange_mark_all(exchange); /* again, from the middle */
    put_objects(&below, OBJECTS, 4 * OBJECTS, "0");
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

int main(void)
{
    TCase *all = lone_cases();
    tcase_add_test(all, an_upstream_that_comes_hears_of_a_few_objects_in_each_turn);
    tcase_add_test(all, what_is_there_all_the_time_is_looked_at_whatever_comes_and_goes);
    return lone_run("exchange.walk", all, NULL);
}
