/* Sinks of exposers here: automatic versions go above all that is known, a user's own are refused
 * below it, and a sink that was taken back takes nothing more. */
#include "lone_exchange.h"

static lone_user observer, exposer;

static void begin(void)
{
    lone_begin();
    lone_observe(&observer, "1", NULL);
    lone_expose(&exposer, "1", NULL, 1);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
}

static void end(void)
{
    lone_end(&observer);
    lone_end(&exposer);
}

START_TEST(automatic_versions_grow_though_the_clock_goes_back)
{
    hkb_version before = {0};
    begin();
    for (int i = 0; i < 5; i++) {
        hkb_exchange_set_time(lone.exchange, lone.now_ns, (int64_t)(10 - i) * (int64_t)LONE_S);
        ck_assert_int_eq(lone_send(&exposer, "text", 0), HAKUBAN_OK);
        const hkb_version *version = hkb_sink_last_version(exposer.sink);
        ck_assert_int_gt(hkb_version_compare(version, &before), 0);
        before = *version;
    }
    end();
}
END_TEST

START_TEST(a_users_own_version_below_what_is_known_is_refused)
{
    begin();
    ck_assert_int_eq(lone_send(&exposer, "five", 5), HAKUBAN_OK);
    ck_assert_int_eq(lone_send(&exposer, "four", 4), HAKUBAN_ERR_VERSION);
    ck_assert_int_eq(lone_send(&exposer, "six", 6), HAKUBAN_OK);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_OPEN);
    ck_assert_int_eq(lone_next(&observer), HAKUBAN_EVENT_STATE);
    ck_assert_str_eq(lone_text(&observer), "six");
    end();
}
END_TEST

/* The floor is raised by what an upstream knows. */
static void raise_floor(stranger *upstream)
{
    unsigned sink = 1;
    stranger_put(upstream, "[13,%u,99,[],\"1\"]", sink);
    stranger_put(upstream, "[21,%u,[7]]", sink);
    stranger_say(upstream);
}

START_TEST(an_automatic_version_below_a_new_floor_is_numbered_on)
{
    stranger upstream;
    begin();
    stranger_open(&upstream, lone.exchange, true);
    hkb_exchange_set_time(lone.exchange, lone.now_ns, 0);
    ck_assert_int_eq(lone_send(&exposer, "text", 0), HAKUBAN_OK);
    raise_floor(&upstream);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_FLOOR);
    ck_assert_int_eq(exposer.event.version[0], 7);
    const hkb_version *version = hkb_sink_last_version(exposer.sink);
    ck_assert_int_ge(version->elements[0], 7);
    const hkb_object *object = lone_object("1", NULL);
    ck_assert_int_eq(object->freshness, HAKUBAN_LIVE);
    ck_assert_uint_eq(object->state->data_bytes, strlen("text"));
    end();
    stranger_leave(&upstream);
}
END_TEST

START_TEST(a_users_own_version_below_a_new_floor_is_stale_until_the_user_numbers_it_on)
{
    stranger upstream;
    begin();
    stranger_open(&upstream, lone.exchange, true);
    ck_assert_int_eq(lone_send(&exposer, "text", 5), HAKUBAN_OK);
    raise_floor(&upstream);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_FLOOR);
    ck_assert_int_eq(lone_object("1", NULL)->freshness, HAKUBAN_STALE);
    ck_assert_int_eq(lone_send(&exposer, "text", 6), HAKUBAN_ERR_VERSION);
    ck_assert_int_eq(lone_send(&exposer, "text", 8), HAKUBAN_OK);
    ck_assert_int_eq(lone_object("1", NULL)->freshness, HAKUBAN_LIVE);
    end();
    stranger_leave(&upstream);
}
END_TEST

START_TEST(a_sink_that_was_taken_back_takes_no_state)
{
    begin();
    hakuban_sink *sink = exposer.sink;
    hkb_sink_ref(sink);
    lone_end(&observer);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_CLOSE);
    exposer.sink = sink;
    ck_assert_int_eq(lone_send(&exposer, "late", 0), HAKUBAN_ERR_REVOKED);
    lone_end(&exposer);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, automatic_versions_grow_though_the_clock_goes_back);
    tcase_add_test(cases, a_users_own_version_below_what_is_known_is_refused);
    tcase_add_test(cases, an_automatic_version_below_a_new_floor_is_numbered_on);
    tcase_add_test(cases,
                   a_users_own_version_below_a_new_floor_is_stale_until_the_user_numbers_it_on);
    tcase_add_test(cases, a_sink_that_was_taken_back_takes_no_state);
    return lone_run("exchange.sink", cases, NULL);
}
