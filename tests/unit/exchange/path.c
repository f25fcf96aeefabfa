/* The way to the root of the tree: told downwards when it changes, refused where it is a loop. */
#include "exchange/path.h"
#include "lone_exchange.h"

START_TEST(downstreams_are_told_when_the_way_to_the_root_changes)
{
    stranger upstream, below;
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    ck_assert(stranger_heard(&below, "[6,"));
    ck_assert(stranger_heard(&below, ",0,2]\n")); /* the stranger's own id ends it */
    stranger_forget(&below);
    stranger_put(&upstream, "[6,0,2,11,12]");
    stranger_say(&upstream);
    ck_assert(stranger_heard(&below, ",0,2,11,12]\n"));
    stranger_forget(&below);
    stranger_put(&upstream, "[6,0,2,11,12]");
    stranger_say(&upstream);
    ck_assert(!stranger_heard(&below, "[6,"));
    stranger_leave(&upstream);
    ck_assert(stranger_heard(&below, "[6,"));
    ck_assert(!stranger_heard(&below, ",11,12]"));
    ck_assert_uint_eq(lone.exchange->path_count, 1);
    stranger_leave(&below);
}
END_TEST

static hakuban_status check(const hkb_exchange *exchange, uint64_t (*path)[2], size_t count)
{
    hakuban_error error;
    return hkb_path_check(exchange, (const uint64_t(*)[2])path, count, &error);
}

START_TEST(a_way_that_leads_through_this_exchange_is_a_loop)
{
    uint64_t path[HKB_PATH_NODES_MAX][2];
    memset(path, 1, sizeof(path));
    const hkb_exchange *exchange = lone_begin();
    ck_assert_int_eq(check(exchange, path, HKB_PATH_NODES_MAX - 1), HAKUBAN_OK);
    ck_assert_int_eq(check(exchange, path, HKB_PATH_NODES_MAX), HAKUBAN_ERR_LIMIT);
    memcpy(path[HKB_PATH_NODES_MAX - 2], exchange->node, sizeof(path[0]));
    ck_assert_int_eq(check(exchange, path, HKB_PATH_NODES_MAX - 1), HAKUBAN_ERR_LOOP);
    ck_assert_int_eq(check(exchange, path, HKB_PATH_NODES_MAX - 2), HAKUBAN_OK);
}
END_TEST

START_TEST(an_upstream_that_says_a_way_through_this_exchange_is_left)
{
    stranger upstream;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    stranger_put(&upstream, "[6,0,2,%llu,%llu]", (unsigned long long)lone.exchange->node[0],
                 (unsigned long long)lone.exchange->node[1]);
    stranger_say(&upstream);
    ck_assert_int_eq(upstream.peer->link.phase, HKB_LINK_ENDED);
    ck_assert_int_eq(lone.why.status, HAKUBAN_ERR_LOOP);
    stranger_leave(&upstream);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, downstreams_are_told_when_the_way_to_the_root_changes);
    tcase_add_test(cases, a_way_that_leads_through_this_exchange_is_a_loop);
    tcase_add_test(cases, an_upstream_that_says_a_way_through_this_exchange_is_left);
    return lone_run("exchange.path", cases, NULL);
}
