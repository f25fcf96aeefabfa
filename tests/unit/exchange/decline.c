/* An object that no exposer here or below can take is declined, so that the upstream chooses
 * another; with room again the decline is taken back. */
#include "lone_exchange.h"

static stranger upstream, below;

/* An exposer of the tag below, whose load limit is so many objects. */
static void begin(unsigned limit)
{
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    stranger_open(&upstream, lone.exchange, true);
    stranger_put(&below, "[10,0,%u]", limit);
    stranger_put(&below, "[9,2,1,\"7\"]");
    stranger_say(&below);
    lone_pass(LONE_MS);
}

static void end(void)
{
    stranger_leave(&below);
    stranger_leave(&upstream);
}

/* The upstream wants the object from here. */
static void ask(unsigned channel, const char *object)
{
    stranger_put(&upstream, "[13,%u,%u,[],\"%s\",\"7\"]", channel, channel, object);
    stranger_say(&upstream);
    lone_pass(LONE_MS);
    stranger_hear(lone.exchange);
}

START_TEST(what_fits_is_taken_and_what_does_not_is_declined)
{
    begin(1);
    ask(1, "1");
    ck_assert(stranger_heard(&below, "[13,"));
    stranger_forget(&upstream);
    ask(2, "2");
    ck_assert(stranger_heard(&upstream, "[8,6,0,\"2\",\"7\"]") ||
              stranger_heard(&upstream, "[8,4,0,\"2\",\"7\"]"));
    ck_assert(!stranger_heard(&upstream, "\"1\",\"7\"]"));
    end();
}
END_TEST

START_TEST(a_decline_is_taken_back_when_there_is_room)
{
    begin(1);
    ask(1, "1");
    ask(2, "2");
    stranger_put(&upstream, "[14,2,1]"); /* another was chosen */
    stranger_say(&upstream);
    stranger_forget(&upstream);
    stranger_put(&below, "[10,0,5]");
    stranger_say(&below);
    lone_pass(LONE_S);
    ck_assert(stranger_heard(&upstream, "[8,0,0,\"2\",\"7\"]"));
    end();
}
END_TEST

START_TEST(a_decline_that_is_not_needed_any_more_is_forgotten_after_a_minute)
{
    begin(1);
    ask(1, "1");
    ask(2, "2");
    stranger_put(&upstream, "[14,2,0]");
    stranger_say(&upstream);
    stranger_forget(&upstream);
    for (int i = 0; i < 9; i++) {
        ck_assert(!stranger_heard(&upstream, "[8,0,0,\"2\""));
        lone_pass(HKB_DECLINE_NS / 10);
        stranger_put(&upstream, "[2]"); /* there is no silence */
        stranger_put(&below, "[2]");
        stranger_say(&upstream);
        stranger_say(&below);
    }
    lone_pass(HKB_DECLINE_NS / 5);
    ck_assert(stranger_heard(&upstream, "[8,0,0,\"2\",\"7\"]"));
    end();
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases, what_fits_is_taken_and_what_does_not_is_declined);
    tcase_add_test(cases, a_decline_is_taken_back_when_there_is_room);
    tcase_add_test(cases, a_decline_that_is_not_needed_any_more_is_forgotten_after_a_minute);
    return lone_run("exchange.decline", cases, NULL);
}
