/* Peers coming, going, away and back. */
#include <stdio.h>

#include "lone_exchange.h"

#define TAGGED 300u
#define WITH_GRACE STRANGER_HELLO_AS("1", ",\"grace_ms\":2000")

/* The exchange's answer to a hello names the session. */
static void read_token(stranger *peer, char token[33])
{
    ck_assert(stranger_heard(peer, "\"token\":\""));
    const char *at = strstr((const char *)peer->heard.data, "\"token\":\"") + 9;
    memcpy(token, at, 32);
    token[32] = 0;
}

START_TEST(a_peer_that_comes_back_within_the_grace_is_the_same_with_all_it_registered)
{
    lone_user exposer;
    stranger first, second;
    char token[33];
    lone_begin();
    lone_expose(&exposer, "1", NULL, 1);
    stranger_open_with(&first, lone.exchange, false, WITH_GRACE);
    hkb_peer *peer = first.peer;
    read_token(&first, token);
    stranger_put(&first, "[8,1,0,\"1\"]");
    stranger_say(&first);
    ck_assert(stranger_heard(&first, "[12,1,"));
    stranger_leave(&first);
    ck_assert_int_eq(peer->link.phase, HKB_LINK_AWAY);
    lone_pass(LONE_S);
    ck_assert_int_eq(lone_next(&exposer), HAKUBAN_EVENT_SINK_OPEN);
    ck_assert_int_eq(lone_send(&exposer, "sent meanwhile", 1), HAKUBAN_OK);

    char hello[512];
    snprintf(hello, sizeof(hello), "%.*s,\"token\":\"%s\",\"received\":%d}",
             (int)strlen(WITH_GRACE) - 1, WITH_GRACE, token, (int)peer->link.sent_bytes);
    stranger_open_with(&second, lone.exchange, false, hello);
    ck_assert_uint_eq(lone.moved, 1);
    ck_assert_ptr_eq(second.peer, peer);
    ck_assert(stranger_heard(&second, "\"resumed\":true"));
    ck_assert(stranger_heard(&second, "[65,1,[1],[\"JSON\"]]"));
    ck_assert(!stranger_heard(&second, "[12,"));
    ck_assert_uint_eq(lone.ended, 0);
    lone_end(&exposer);
    stranger_put(&second, "[3]"); /* an orderly end has no grace */
    stranger_say(&second);
    ck_assert_uint_eq(lone.ended, 1);
    stranger_leave(&second);
}
END_TEST

START_TEST(a_peer_that_stays_away_is_forgotten_when_the_grace_is_over)
{
    stranger peer;
    lone_begin();
    stranger_open_with(&peer, lone.exchange, false, WITH_GRACE);
    stranger_put(&peer, "[8,1,0,\"1\"]");
    stranger_say(&peer);
    stranger_leave(&peer);
    lone_pass(LONE_S);
    ck_assert_ptr_nonnull(lone_object("1", NULL));
    ck_assert_uint_eq(lone.exchange->peer_count, 1);
    lone_pass(2 * LONE_S);
    ck_assert_ptr_null(lone_object("1", NULL));
    ck_assert_uint_eq(lone.exchange->peer_count, 0);
}
END_TEST

START_TEST(a_token_that_is_not_known_begins_a_new_session)
{
    stranger peer;
    lone_begin();
    stranger_open_with(&peer, lone.exchange, false,
                       STRANGER_HELLO_AS("1", ",\"grace_ms\":2000,\"received\":10,\"token\":"
                                              "\"00000000000000000000000000000009\""));
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    ck_assert(!stranger_heard(&peer, "\"resumed\""));
    ck_assert_uint_eq(lone.moved, 0);
    stranger_leave(&peer);
    lone_pass(3 * LONE_S);
}
END_TEST

START_TEST(a_peer_that_says_no_hello_is_refused_after_a_while)
{
    stranger peer;
    lone_begin();
    stranger_come(&peer, lone.exchange, false);
    lone_pass(HKB_HELLO_TIMEOUT_NS / 2);
    ck_assert_int_ne(peer.peer->link.phase, HKB_LINK_ENDED);
    lone_pass(HKB_HELLO_TIMEOUT_NS);
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_ENDED);
    stranger_leave(&peer);
}
END_TEST

START_TEST(there_is_one_upstream_at_most)
{
    stranger upstream;
    hkb_link_settings settings = {.keep_alive_ns = LONE_S};
    hkb_peer *other;
    lone_begin();
    stranger_open(&upstream, lone.exchange, true);
    ck_assert_int_eq(hkb_exchange_attach(lone.exchange, &settings, true, true, NULL, &other),
                     HAKUBAN_ERR_EXISTS);
    stranger_leave(&upstream);
}
END_TEST

START_TEST(a_silent_peer_is_lost)
{
    stranger peer;
    lone_begin();
    stranger_open(&peer, lone.exchange, false);
    lone_pass(40 * LONE_S); /* its keep-alive is 20 s */
    ck_assert_int_eq(peer.peer->link.phase, HKB_LINK_OPEN);
    lone_pass(15 * LONE_S);
    ck_assert_uint_eq(lone.ended + lone.dropped, 1);
    stranger_leave(&peer);
}
END_TEST

static void say_all(stranger *peer)
{
    stranger_say(peer);
    while (hkb_peer_is_behind(peer->peer)) {
        lone_turn();
    }
    lone_turn();
}

/* How many of what a stranger was told begins like this, before something that begins like that. */
static unsigned told_before(stranger *peer, const char *like_this, const char *like_that)
{
    unsigned count = 0;
    ck_assert(stranger_heard(peer, like_that));
    const char *end = strstr((const char *)peer->heard.data, like_that);
    for (const char *at = (const char *)peer->heard.data; (at = strstr(at, like_this)) && at < end;
         at++) {
        count++;
    }
    return count;
}

/* Its upstream would else take the states for current until then. */
START_TEST(an_upstream_hears_how_old_states_are_before_it_hears_that_none_exposes_their_tag)
{
    stranger below, upstream;
    lone.settings.turn_cost = 4; /* many turns */
    hkb_exchange *exchange = lone_begin();
    hkb_exchange_expect_upstream(exchange, true);
    stranger_open(&upstream, exchange, true);
    stranger_open(&below, exchange, false);
    stranger_put(&below, "[9,2,1,\"\\\"t\\\"\"]");
    say_all(&below);
    for (unsigned i = 1; i <= TAGGED; i++) {
        stranger_put(&upstream, "[13,%u,%u,[],\"%u\",\"\\\"t\\\"\"]", i, i, i);
    }
    say_all(&upstream);
    for (unsigned i = 1; i <= TAGGED; i++) {
        char object[16];
        (void)snprintf(object, sizeof(object), "%u", i);
        stranger_put_state(&below, stranger_channel(&below, 13, object), 5, "state");
    }
    say_all(&below);
    stranger_forget(&upstream);
    stranger_leave(&below);
    for (unsigned turns = 0; turns < 10 * TAGGED && !stranger_heard(&upstream, "[9,"); turns++) {
        lone_turn();
    }
    ck_assert_uint_eq(told_before(&upstream, "[20,", "[9,"), TAGGED);
    stranger_leave(&upstream);
}
END_TEST

int main(void)
{
    TCase *cases = lone_cases();
    tcase_add_test(cases,
                   a_peer_that_comes_back_within_the_grace_is_the_same_with_all_it_registered);
    tcase_add_test(cases, a_peer_that_stays_away_is_forgotten_when_the_grace_is_over);
    tcase_add_test(cases, a_token_that_is_not_known_begins_a_new_session);
    tcase_add_test(cases, a_peer_that_says_no_hello_is_refused_after_a_while);
    tcase_add_test(cases, there_is_one_upstream_at_most);
    tcase_add_test(cases, a_silent_peer_is_lost);
    tcase_add_test(
        cases, an_upstream_hears_how_old_states_are_before_it_hears_that_none_exposes_their_tag);
    return lone_run("exchange.sessions", cases, NULL);
}
