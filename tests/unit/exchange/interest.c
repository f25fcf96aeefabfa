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

/* The object begins after the registrations; of them, observers are looked at first. */
START_TEST(what_an_observer_exposes_by_another_tag_counts_however_many_exposers_there_are)
{
    enum { OTHERS_MAX = 8 };
    stranger both, others[OTHERS_MAX];
    int count = _i * OTHERS_MAX;
    lone_begin();
    for (int i = 0; i < count; i++) {
        stranger_open(&others[i], lone.exchange, false);
        say(&others[i], "[9,2,1,\"8\"]");
        say(&others[i], "[9,1,0,\"9\"]");
    }
    stranger_open(&both, lone.exchange, false);
    say(&both, "[9,2,1,\"8\"]");
    say(&both, "[9,1,0,\"7\"]");
    say(&both, "[8,2,0,\"1\",\"7\",\"8\"]"); /* by itself it would drain */
    const hkb_object *object =
        HKB_CONTAINER(hkb_list_first(&both.peer->shares), hkb_share, of_peer)->object;
    ck_assert_uint_eq(object->observing, 1);
    ck_assert_uint_eq(object->observing_only, 0);
    for (int i = 0; i < count; i++) {
        stranger_leave(&others[i]);
    }
    stranger_leave(&both);
}
END_TEST

START_TEST(observers_of_a_tag_stay_before_the_others_whatever_they_say)
{
    enum { PEERS = 5 };
    static const char *const said[] = {"[9,1,0,\"7\"]", "[9,2,1,\"7\"]", "[9,3,1,\"7\"]",
                                       "[9,0,0,\"7\"]"};
    stranger peers[PEERS], keeper;
    lone_begin();
    stranger_open(&keeper, lone.exchange, false);
    say(&keeper, "[9,2,1,\"7\"]");
    for (size_t i = 0; i < PEERS; i++) {
        stranger_open(&peers[i], lone.exchange, false);
    }
    for (size_t i = 0; i < 200; i++) {
        say(&peers[i * 7 % PEERS], said[i * i * 3 % 11 % HKB_COUNT(said)]);
        const hkb_tag *tag = lone_tag("7");
        for (size_t k = 0; k < tag->row_count; k++) {
            ck_assert(tag->row[k].interest.observes == (k < tag->observe_shares));
        }
    }
    for (size_t i = 0; i < PEERS; i++) {
        stranger_leave(&peers[i]);
    }
    stranger_leave(&keeper);
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
    tcase_add_loop_test(
        cases, what_an_observer_exposes_by_another_tag_counts_however_many_exposers_there_are, 0,
        2);
    tcase_add_test(cases, observers_of_a_tag_stay_before_the_others_whatever_they_say);
    return lone_run("exchange.interest", cases, NULL);
}
