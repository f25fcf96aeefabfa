/* Registrations of tags: they go up as tags, and each observing has its LISTED, behind the streams
 * of what was there. */
#include "lone_exchange.h"

/* Of the text of the stranger's hearing, which grows. */
static const char *heard(stranger *peer)
{
    ck_assert(stranger_heard(peer, ""));
    return (const char *)peer->heard.data;
}

START_TEST(listed_comes_behind_the_streams_of_what_was_there)
{
    lone_user exposers[3];
    stranger below;
    const char *names[] = {"1", "2", "3"};
    lone_begin();
    for (int i = 0; i < 3; i++) {
        lone_expose(&exposers[i], names[i], "7", 1);
    }
    stranger_open(&below, lone.exchange, false);
    stranger_put(&below, "[9,1,0,\"7\"]");
    stranger_say(&below);
    lone_pass(LONE_MS);
    const char *listed = strstr(heard(&below), "[16,\"7\"]");
    ck_assert_ptr_nonnull(listed);
    size_t streams = 0;
    for (const char *at = heard(&below); (at = strstr(at, "[12,")); at++) {
        ck_assert_int_lt(at - listed, 0);
        streams++;
    }
    ck_assert_uint_eq(streams, 3);
    for (int i = 0; i < 3; i++) {
        lone_end(&exposers[i]);
    }
    stranger_leave(&below);
}
END_TEST

START_TEST(each_observing_has_a_listed_of_its_own_also_if_it_was_taken_back)
{
    stranger below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_put(&below, "[9,1,0,\"7\"]");
    stranger_put(&below, "[9,0,0,\"7\"]");
    stranger_put(&below, "[9,1,0,\"7\"]");
    stranger_say(&below);
    lone_pass(LONE_MS);
    size_t count = 0;
    for (const char *at = heard(&below); (at = strstr(at, "[16,\"7\"]")); at++) {
        count++;
    }
    ck_assert_uint_eq(count, 2);
    stranger_leave(&below);
}
END_TEST

START_TEST(nothing_is_listed_before_the_upstream_has_listed_it)
{
    stranger upstream, below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    stranger_put(&below, "[9,1,0,\"7\"]");
    stranger_say(&below);
    lone_pass(LONE_MS);
    ck_assert(stranger_heard(&upstream, "[9,1,0,\"7\"]"));
    ck_assert(!stranger_heard(&below, "[16,"));
    stranger_put(&upstream, "[12,1,0,0,0,\"1\",\"7\"]");
    stranger_put(&upstream, "[16,\"7\"]");
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    ck_assert(stranger_heard(&below, "[16,\"7\"]"));
    ck_assert(stranger_heard(&below, ",\"1\",\"7\"]"));
    stranger_put(&below, "[9,0,0,\"7\"]");
    stranger_say(&below);
    lone_pass(LONE_MS);
    ck_assert(stranger_heard(&upstream, "[9,0,0,\"7\"]"));
    stranger_leave(&below);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(what_contracts_and_downstreams_want_of_a_tag_goes_up_as_one_registration)
{
    lone_user observer, exposer;
    stranger upstream, below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    lone_observe_tag(&observer, "7");
    lone_expose_tag(&exposer, "7", 3);
    ck_assert(stranger_heard(&upstream, "[9,3,3,\"7\"]"));
    stranger_put(&below, "[9,2,4,\"7\"]");
    stranger_say(&below);
    ck_assert(stranger_heard(&upstream, "[9,3,7,\"7\"]"));
    lone_end(&exposer);
    lone_end(&observer);
    ck_assert(stranger_heard(&upstream, "[9,2,4,\"7\"]"));
    stranger_leave(&below);
    ck_assert(stranger_heard(&upstream, "[9,0,0,\"7\"]"));
    stranger_leave(&upstream);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, listed_comes_behind_the_streams_of_what_was_there);
    tcase_add_test(cases, each_observing_has_a_listed_of_its_own_also_if_it_was_taken_back);
    tcase_add_test(cases, nothing_is_listed_before_the_upstream_has_listed_it);
    tcase_add_test(cases, what_contracts_and_downstreams_want_of_a_tag_goes_up_as_one_registration);
    return lone_run("exchange.tag", cases, NULL);
}
