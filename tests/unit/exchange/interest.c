/* What a downstream wants of an object, by the object and by its tags together: whether it has a
 * stream. */
#include "lone_exchange.h"

static bool has_stream(stranger *peer, const char *object)
{
    const hkb_object *found = lone_object(object, "7");
    stranger_hear(lone.exchange);
    HKB_LIST_EACH(hkb_share, share, &found->shares, of_object)
    {
        if (share->peer == peer->peer) {
            return share->out.phase == HKB_CHANNEL_OPEN;
        }
    }
    return false;
}

static void say(stranger *peer, const char *message)
{
    stranger_put(peer, "%s", message);
    stranger_say(peer);
    lone_pass(LONE_MS);
}

START_TEST(an_observer_has_a_stream_until_it_wants_the_object_neither_by_itself_nor_by_a_tag)
{
    lone_user exposer;
    stranger below;
    lone_begin();
    lone_expose(&exposer, "1", "7", 1);
    stranger_open(&below, lone.exchange, false);
    say(&below, "[8,1,0,\"1\",\"7\"]");
    ck_assert(has_stream(&below, "1"));
    say(&below, "[9,1,0,\"7\"]");
    say(&below, "[8,0,0,\"1\",\"7\"]");
    ck_assert(has_stream(&below, "1"));
    say(&below, "[9,0,0,\"7\"]");
    ck_assert(!has_stream(&below, "1"));
    ck_assert(stranger_heard(&below, "[14,"));
    lone_end(&exposer);
    stranger_leave(&below);
}
END_TEST

START_TEST(an_exposer_of_a_tag_that_was_not_chosen_gets_no_states)
{
    lone_user exposer, observer;
    stranger below;
    lone_begin();
    lone_expose(&exposer, "1", "7", 1);
    lone_observe(&observer, "1", "7");
    stranger_open(&below, lone.exchange, false);
    say(&below, "[9,2,1,\"7\"]");
    ck_assert(!has_stream(&below, "1"));
    say(&below, "[9,3,1,\"7\"]");
    ck_assert(has_stream(&below, "1"));
    lone_end(&exposer);
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

START_TEST(the_exposer_that_was_chosen_has_a_sink_instead_of_a_stream)
{
    lone_user observer;
    stranger below;
    lone_begin();
    lone_observe(&observer, "1", "7");
    stranger_open(&below, lone.exchange, false);
    say(&below, "[8,1,0,\"1\",\"7\"]");
    ck_assert(has_stream(&below, "1"));
    say(&below, "[8,3,1,\"1\",\"7\"]");
    ck_assert(stranger_heard(&below, "[13,"));
    ck_assert(!has_stream(&below, "1"));
    lone_end(&observer);
    stranger_leave(&below);
}
END_TEST

START_TEST(an_observer_that_could_serve_itself_makes_an_object_no_more_needed)
{
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    say(&below, "[8,1,0,\"1\",\"7\"]");
    ck_assert_uint_eq(lone_object("1", "7")->observing_only, 1);
    say(&below, "[8,3,1,\"1\",\"7\"]");
    ck_assert_uint_eq(lone_object("1", "7")->observing, 1);
    ck_assert_uint_eq(lone_object("1", "7")->observing_only, 0);
    say(&below, "[8,3,0,\"1\",\"7\"]"); /* it drains: it is served by others */
    ck_assert_uint_eq(lone_object("1", "7")->observing_only, 1);
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(
        cases, an_observer_has_a_stream_until_it_wants_the_object_neither_by_itself_nor_by_a_tag);
    tcase_add_test(cases, an_exposer_of_a_tag_that_was_not_chosen_gets_no_states);
    tcase_add_test(cases, the_exposer_that_was_chosen_has_a_sink_instead_of_a_stream);
    tcase_add_test(cases, an_observer_that_could_serve_itself_makes_an_object_no_more_needed);
    return lone_run("exchange.interest", cases, NULL);
}
