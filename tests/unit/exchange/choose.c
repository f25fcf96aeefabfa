/* The choice, carried out: the facts that it is made from are those of the records. The rules
 * themselves are decide.c's. */
#include "lone_exchange.h"

static void say(stranger *peer, const char *message)
{
    stranger_put(peer, "%s", message);
    stranger_say(peer);
    lone_pass(LONE_MS);
}

static hkb_peer *exposer_of(const char *object)
{
    const hkb_assignment *assigned = &lone_object(object, "7")->assigned;
    return assigned->to >= HKB_UPSTREAM ? assigned->share->peer : NULL;
}

START_TEST(the_downstream_of_least_load_is_chosen_by_tag_and_by_object_alike)
{
    lone_user observers[3];
    stranger by_tag, by_object;
    lone_begin();
    stranger_open(&by_tag, lone.exchange, false);
    stranger_open(&by_object, lone.exchange, false);
    say(&by_tag, "[9,2,1,\"7\"]");
    lone_observe(&observers[0], "1", "7");
    ck_assert_ptr_eq(exposer_of("1"), by_tag.peer);
    say(&by_object, "[8,2,1,\"2\",\"7\"]");
    lone_observe(&observers[1], "2", "7");
    ck_assert_ptr_eq(exposer_of("2"), by_object.peer);
    lone_observe(&observers[2], "3", "7"); /* only the tag has it */
    ck_assert_ptr_eq(exposer_of("3"), by_tag.peer);
    for (int i = 0; i < 3; i++) {
        lone_end(&observers[i]);
    }
    stranger_leave(&by_tag);
    stranger_leave(&by_object);
}
END_TEST

START_TEST(what_the_upstream_has_an_exposer_for_is_the_upstreams)
{
    lone_user observer;
    stranger upstream, below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    say(&below, "[9,2,1,\"7\"]");
    lone_observe(&observer, "1", "7");
    ck_assert_ptr_eq(exposer_of("1"), below.peer);
    say(&upstream, "[12,1,1,1,0,\"1\",\"7\"]");
    ck_assert_ptr_eq(exposer_of("1"), upstream.peer);
    say(&upstream, "[20,1,0,0,0]"); /* no exposer there any more */
    lone_pass(2 * LONE_S);
    ck_assert_ptr_eq(exposer_of("1"), below.peer);
    lone_end(&observer);
    stranger_leave(&below);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(an_exposer_that_leaves_is_followed_by_another)
{
    lone_user observer;
    stranger peers[2];
    lone_begin();
    for (int i = 0; i < 2; i++) {
        stranger_open(&peers[i], lone.exchange, false);
        say(&peers[i], "[9,2,1,\"7\"]");
    }
    lone_observe(&observer, "1", "7");
    ck_assert_ptr_eq(exposer_of("1"), peers[0].peer); /* the oldest */
    stranger_leave(&peers[0]);
    ck_assert_ptr_eq(exposer_of("1"), peers[1].peer);
    stranger_leave(&peers[1]);
    ck_assert_ptr_null(exposer_of("1"));
    lone_end(&observer);
}
END_TEST

START_TEST(what_nothing_observes_has_no_exposer)
{
    lone_user observer;
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    say(&below, "[8,2,1,\"1\",\"7\"]");
    ck_assert_ptr_null(exposer_of("1"));
    lone_observe(&observer, "1", "7");
    ck_assert_ptr_eq(exposer_of("1"), below.peer);
    lone_end(&observer);
    ck_assert_ptr_null(exposer_of("1"));
    stranger_leave(&below);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, the_downstream_of_least_load_is_chosen_by_tag_and_by_object_alike);
    tcase_add_test(cases, what_the_upstream_has_an_exposer_for_is_the_upstreams);
    tcase_add_test(cases, an_exposer_that_leaves_is_followed_by_another);
    tcase_add_test(cases, what_nothing_observes_has_no_exposer);
    return lone_run("exchange.choose", cases, NULL);
}
