/* What is read off the records. */
#include "exchange/facts.h"
#include "lone_exchange.h"

START_TEST(flags_and_registrations_say_the_same)
{
    for (uint32_t flags = 0; flags < 16; flags++) {
        hkb_registration registered = hkb_registration_of(flags, 5);
        ck_assert_uint_eq(hkb_registration_flags(&registered), flags);
        ck_assert_uint_eq(registered.capacity, flags & HKB_WANT_EXPOSE ? 5 : 0);
    }
    lone_begin();
}
END_TEST

START_TEST(what_is_wanted_above_is_all_that_is_wanted_here_and_below)
{
    lone_user observer, exposer;
    stranger upstream, below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    lone_observe(&observer, "1", NULL);
    hkb_registration wanted = hkb_object_wanted(lone_object("1", NULL));
    ck_assert(wanted.observes && !wanted.exposes);
    lone_expose(&exposer, "1", NULL, 3);
    stranger_put(&below, "[8,2,4,\"1\"]");
    stranger_say(&below);
    wanted = hkb_object_wanted(lone_object("1", NULL));
    ck_assert(wanted.exposes);
    ck_assert_uint_eq(wanted.capacity, 7);
    lone_end(&exposer);
    lone_end(&observer);
    wanted = hkb_object_wanted(lone_object("1", NULL));
    ck_assert(wanted.exposes && !wanted.observes);
    ck_assert_uint_eq(wanted.capacity, 4);
    stranger_leave(&below);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(of_what_a_peer_offers_the_greatest_capacity_counts_of_equals_the_oldest)
{
    lone_user observer;
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    lone_observe(&observer, "1", "7");
    stranger_put(&below, "[9,2,2,\"7\"]");
    stranger_put(&below, "[8,2,1,\"1\",\"7\"]");
    stranger_say(&below);
    const hkb_object *object = lone_object("1", "7");
    const hkb_share *share = hkb_share_find(lone.exchange, below.peer, object);
    ck_assert_ptr_nonnull(share);
    hkb_registration offer = hkb_object_offer(object, below.peer, share);
    ck_assert_uint_eq(offer.capacity, 2);
    stranger_put(&below, "[8,2,2,\"1\",\"7\"]");
    stranger_say(&below);
    hkb_registration equal = hkb_object_offer(object, below.peer, share);
    ck_assert_uint_eq(equal.capacity, 2);
    ck_assert_uint_eq(equal.number, offer.number);
    stranger_put(&below, "[8,2,3,\"1\",\"7\"]");
    stranger_say(&below);
    ck_assert_uint_eq(hkb_object_offer(object, below.peer, share).capacity, 3);
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

START_TEST(an_object_is_needed_while_an_observer_cannot_serve_itself)
{
    lone_user observer;
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_put(&below, "[8,2,1,\"1\"]");
    stranger_say(&below);
    ck_assert(hkb_object_should_exist(lone_object("1", NULL)));
    ck_assert(!hkb_object_needed(lone_object("1", NULL)));
    ck_assert(hkb_object_is_offered(lone_object("1", NULL)));
    lone_observe(&observer, "1", NULL);
    ck_assert(hkb_object_needed(lone_object("1", NULL)));
    ck_assert(!hkb_object_has_choice(lone_object("1", NULL)));
    ck_assert(!hkb_object_drains(lone_object("1", NULL)));
    stranger_put(&below, "[8,2,0,\"1\"]");
    stranger_say(&below);
    ck_assert(hkb_object_drains(lone_object("1", NULL)));
    ck_assert(hkb_object_is_roomless(lone_object("1", NULL)));
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, flags_and_registrations_say_the_same);
    tcase_add_test(cases, what_is_wanted_above_is_all_that_is_wanted_here_and_below);
    tcase_add_test(cases, of_what_a_peer_offers_the_greatest_capacity_counts_of_equals_the_oldest);
    tcase_add_test(cases, an_object_is_needed_while_an_observer_cannot_serve_itself);
    return lone_run("exchange.facts", cases, NULL);
}
