/* The limits of accounts, to the byte. */
#include "exchange/account.h"

#include <check.h>

#include "fail_alloc.h"

static fail_alloc memory;
static hkb_registry registry;
static hkb_exchange *exchange;
static unsigned ended;

static uint64_t host_random(void *ctx)
{
    static uint64_t last;
    (void)ctx;
    return last += 0x9e3779b97f4a7c15ull;
}

static void host_queue_ready(void *ctx, hakuban_queue *queue)
{
    (void)ctx;
    (void)queue;
}

static void host_opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    (void)carrier;
    (void)peer;
}

static void host_dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    (void)ctx;
    (void)carrier;
    (void)why;
}

static void host_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    (void)ctx;
    (void)carrier;
    (void)orderly;
    (void)why;
    ended++;
}

static void begin(size_t bytes_max, size_t link_bytes_max)
{
    hkb_exchange_settings settings = {
        .alloc = &memory.table,
        .registry = &registry,
        .host = {.random = host_random,
                 .queue_ready = host_queue_ready,
                 .opened = host_opened,
                 .moved = host_opened,
                 .dropped = host_dropped,
                 .ended = host_ended},
        .bytes_max = bytes_max,
        .link_bytes_max = link_bytes_max,
    };
    ck_assert_int_eq(hkb_exchange_new(&settings, 1000, 0, &exchange), HAKUBAN_OK);
}

static void set_up(void)
{
    fail_alloc_init(&memory);
    hkb_registry_init(&registry, &memory.table);
    ck_assert_int_eq(hkb_registry_add_builtin(&registry), HAKUBAN_OK);
    ended = 0;
}

static hkb_peer *peer_new(bool connector)
{
    hkb_link_settings settings = {.keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
                                  .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
                                  .state_bytes_max = 1 << 20};
    hkb_peer *peer;
    ck_assert_int_eq(hkb_exchange_attach(exchange, &settings, connector, true, &ended, &peer),
                     HAKUBAN_OK);
    return peer;
}

/* What was charged by hand is taken back, and the peer goes. */
static void peer_end(hkb_peer *peer, size_t charged)
{
    hkb_charge(exchange, peer, 0, charged);
    (void)hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "gone");
}

static void tear_down(void)
{
    hkb_exchange_settle(exchange);
    ck_assert_uint_eq(hkb_exchange_held_bytes(exchange), 0);
    hkb_exchange_free(exchange);
    hkb_registry_done(&registry);
    ck_assert_uint_eq(memory.blocks, 0);
}

/* One below, at, and one above it. */
START_TEST(a_downstream_may_use_its_limit_to_the_last_byte)
{
    begin(0, 100000);
    hkb_peer *peer = peer_new(false);
    size_t bytes = 100000 - peer->accounted_bytes + (size_t)_i - 1;
    ck_assert_int_eq(hkb_peer_account(peer, bytes, 0), _i < 2);
    ck_assert_int_eq(peer->link.phase == HKB_LINK_ENDED, _i == 2);
    if (_i == 2) {
        ck_assert_int_eq(peer->link.reason.status, HAKUBAN_ERR_LIMIT);
        ck_assert_str_eq(peer->link.reason.text,
                         "more than 100000 bytes are kept for this connection");
    }
    peer_end(peer, bytes);
}
END_TEST

START_TEST(an_upstream_has_no_limit_of_its_own)
{
    begin(0, 100000);
    hkb_peer *peer = peer_new(true);
    ck_assert(hkb_peer_account(peer, 1000000, 0));
    ck_assert_int_ne(peer->link.phase, HKB_LINK_ENDED);
    peer_end(peer, 1000000);
}
END_TEST

START_TEST(an_exchange_may_use_its_limit_to_the_last_byte)
{
    begin(100000, 0);
    hkb_peer *large = peer_new(false), *small = peer_new(false), *next = peer_new(false);
    size_t before = hkb_exchange_held_bytes(exchange), bytes = 100000 - before + (size_t)_i - 1;
    (void)hkb_peer_account(large, bytes - 10000, 0);
    (void)hkb_peer_account(small, 9000, 0);
    (void)hkb_peer_account(next, 1000, 0);
    ck_assert(hkb_exchange_make_room(exchange, NULL, 0));
    ck_assert_int_eq(large->link.phase == HKB_LINK_ENDED, _i == 2);
    ck_assert_int_ne(small->link.phase, HKB_LINK_ENDED);
    ck_assert_int_ne(next->link.phase, HKB_LINK_ENDED);
    /* What is about to be free counts as free. */
    ck_assert(hkb_exchange_make_room(exchange, NULL, 1));
    ck_assert_int_eq(large->link.phase == HKB_LINK_ENDED, _i > 0);
    ck_assert_int_ne(small->link.phase, HKB_LINK_ENDED);
    peer_end(large, bytes - 10000);
    peer_end(small, 9000);
    peer_end(next, 1000);
}
END_TEST

START_TEST(a_state_that_comes_counts_as_held_by_the_peer_that_sends_it)
{
    begin(100000, 0);
    hkb_peer *honest = peer_new(false), *sender = peer_new(false);
    hkb_share share = {.peer = sender};
    (void)hkb_peer_account(honest, 30000, 0);
    ck_assert(hkb_exchange_make_room(exchange, &share, 90000));
    ck_assert_int_ne(honest->link.phase, HKB_LINK_ENDED);
    ck_assert_int_eq(sender->link.phase, HKB_LINK_ENDED);
    peer_end(honest, 30000);
    peer_end(sender, 0);
}
END_TEST

START_TEST(a_state_in_place_of_one_as_large_adds_nothing_to_its_sender)
{
    begin(100000, 0);
    hkb_peer *large = peer_new(false), *sender = peer_new(false);
    hakuban_state *base;
    uint8_t *data;
    ck_assert_int_eq(hkb_state_new(exchange->alloc, NULL, 0, "bytes", 1, 6, 40000, &base, &data),
                     HAKUBAN_OK);
    memset(data, 0, 40000);
    hkb_share share = {.peer = sender, .in = {.base = base}};
    (void)hkb_peer_account(large, 50000, 0);
    (void)hkb_peer_account(sender, hkb_state_bytes(base), 0);
    ck_assert(hkb_exchange_make_room(exchange, &share, 40000));
    ck_assert_int_eq(large->link.phase, HKB_LINK_ENDED);
    ck_assert_int_ne(sender->link.phase, HKB_LINK_ENDED);
    peer_end(large, 50000);
    peer_end(sender, hkb_state_bytes(base));
    hakuban_state_unref(base);
}
END_TEST

START_TEST(where_no_peer_holds_much_nothing_is_gained_by_ending_one)
{
    begin(1000000, 0);
    hkb_peer *peer = peer_new(false);
    hkb_charge(exchange, NULL, 1000000, 0);
    ck_assert(!hkb_exchange_make_room(exchange, NULL, 0));
    ck_assert_int_ne(peer->link.phase, HKB_LINK_ENDED);
    hkb_charge(exchange, NULL, 0, 1000000);
    peer_end(peer, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange.account");
    TCase *tests = tcase_create("limits");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_downstream_may_use_its_limit_to_the_last_byte, 0, 3);
    tcase_add_test(tests, an_upstream_has_no_limit_of_its_own);
    tcase_add_loop_test(tests, an_exchange_may_use_its_limit_to_the_last_byte, 0, 3);
    tcase_add_test(tests, a_state_that_comes_counts_as_held_by_the_peer_that_sends_it);
    tcase_add_test(tests, a_state_in_place_of_one_as_large_adds_nothing_to_its_sender);
    tcase_add_test(tests, where_no_peer_holds_much_nothing_is_gained_by_ending_one);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
