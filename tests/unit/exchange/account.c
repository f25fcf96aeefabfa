/* What an exchange keeps for its peers: counted, shared, bounded to the byte, and given back. */
#include "exchange/account.h"
#include "exchange/work.h"

#include <stdio.h>
#include <stdlib.h>

#include "lone_exchange.h"
#include "users.h"

/* -- The limits, to the byte -- */

static stranger strangers[4];
static size_t stranger_count;

static void begin(size_t bytes_max, size_t link_bytes_max)
{
    lone.settings.bytes_max = bytes_max;
    lone.settings.link_bytes_max = link_bytes_max;
    lone_begin();
    stranger_count = 0;
}

static hkb_peer *peer_new(bool connector)
{
    stranger *peer = &strangers[stranger_count++];
    stranger_come(peer, lone.exchange, connector);
    return peer->peer;
}

/* What was charged by hand is taken back, and the peer goes. */
static void peer_end(hkb_peer *peer, size_t charged)
{
    hkb_charge(lone.exchange, peer, 0, charged);
    stranger_leave(hkb_peer_carrier(peer));
}

/* -- What threads use -- */

START_TEST(the_memory_that_a_work_needs_for_itself_is_counted)
{
    static uint8_t data[2][20000];
    hkb_work_tools tools;
    hakuban_bytes *payload;
    begin(0, 0);
    size_t before = hkb_exchange_held_bytes(lone.exchange), memory = lone.memory.bytes;
    for (size_t i = 0; i < sizeof(data[0]); i++) {
        data[0][i] = data[1][i] = (uint8_t)(i * i >> 3);
        data[1][i] ^= i % 100 == 0;
    }
    ck_assert_int_eq(hkb_work_tools_init(&tools, lone.exchange, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hkb_delta_make(tools.context, NULL, tools.with,
                                    (hakuban_slice){data[0], sizeof(data[0])},
                                    (hakuban_slice){data[1], sizeof(data[1])}, &payload),
                     HAKUBAN_OK);
    ck_assert_uint_gt(lone.memory.bytes, memory);
    ck_assert_uint_eq(hkb_exchange_held_bytes(lone.exchange) - before, lone.memory.bytes - memory);
    hkb_work_tools_done(&tools);
    ck_assert_uint_eq(hkb_exchange_held_bytes(lone.exchange), before);
    hakuban_bytes_unref(payload);
}
END_TEST

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
    size_t before = hkb_exchange_held_bytes(lone.exchange),
           bytes = 100000 - before + (size_t)_i - 1;
    (void)hkb_peer_account(large, bytes - 10000, 0);
    (void)hkb_peer_account(small, 9000, 0);
    (void)hkb_peer_account(next, 1000, 0);
    ck_assert(hkb_exchange_make_room(lone.exchange, NULL, 0));
    ck_assert_int_eq(large->link.phase == HKB_LINK_ENDED, _i == 2);
    ck_assert_int_ne(small->link.phase, HKB_LINK_ENDED);
    ck_assert_int_ne(next->link.phase, HKB_LINK_ENDED);
    /* What is about to be free counts as free. */
    ck_assert(hkb_exchange_make_room(lone.exchange, NULL, 1));
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
    ck_assert(hkb_exchange_make_room(lone.exchange, &share, 90000));
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
    ck_assert_int_eq(
        hkb_state_new(lone.settings.alloc, NULL, 0, "bytes", 1, 6, 40000, &base, &data),
        HAKUBAN_OK);
    memset(data, 0, 40000);
    hkb_share share = {.peer = sender, .in = {.base = base}};
    (void)hkb_peer_account(large, 50000, 0);
    (void)hkb_peer_account(sender, hkb_state_bytes(base), 0);
    ck_assert(hkb_exchange_make_room(lone.exchange, &share, 40000));
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
    hkb_charge(lone.exchange, NULL, 1000000, 0);
    ck_assert(!hkb_exchange_make_room(lone.exchange, NULL, 0));
    ck_assert_int_ne(peer->link.phase, HKB_LINK_ENDED);
    hkb_charge(lone.exchange, NULL, 0, 1000000);
    peer_end(peer, 0);
}
END_TEST

/* -- What whole networks keep -- */

enum { LARGE_BYTES = 5 << 18 };

static char data[LARGE_BYTES];
static net *network;
static net_node *hub;

static void begin_network(void)
{
    network = net_new(30);
    hub = net_add(network);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)net_below(network, 256); /* nothing that a compressor makes small */
    }
}

static void end_network(void)
{
    net_free(network);
}

static net_node *leaf_new(const char *params)
{
    net_node *leaf = net_add(network);
    net_connect(leaf, hub, params);
    net_quiet(network);
    return leaf;
}

/* Begins to expose an object at leaf, and sends a state of so many bytes once it is asked for. */
static void give(exposer *user, net_node *leaf, const char *name)
{
    expose_object(user, leaf, name, NULL, 1);
    net_quiet(network);
    expose_turn(user);
}

static void send_bytes(exposer *user, const char *name, size_t bytes)
{
    expose_turn(user);
    ck_assert_int_eq(net_send_bytes(user->contract.node, exposed(user, name)->sink, data, bytes),
                     HAKUBAN_OK);
    net_quiet(network);
}

static size_t held(void)
{
    return hkb_exchange_held_bytes(hub->exchange);
}

static hkb_peer *peer_of(const net_node *leaf)
{
    return leaf->up->peer[1];
}

START_TEST(what_peers_have_brought_is_given_back_when_all_are_gone)
{
    size_t before = held();
    net_node *leaf = leaf_new("name=a"), *other = leaf_new("name=b");
    watcher observer, by_tag;
    exposer producer;
    watch_object(&observer, other, "\"x\"", "\"t\"");
    watch_tag(&by_tag, other, "\"t\"");
    expose_object(&producer, leaf, "\"x\"", "\"t\"", 1);
    net_quiet(network);
    send_bytes(&producer, "\"x\"", 100000);
    ck_assert_uint_ge(held(), 100000);
    ck_assert_uint_ge(peer_of(leaf)->accounted_bytes, 100000);
    ck_assert_uint_lt(peer_of(other)->accounted_bytes, 100000); /* counted once */
    ck_assert_uint_lt(held(), 200000 + 2 * 20000);
    watch_end(&observer);
    watch_end(&by_tag);
    expose_end(&producer);
    net_quiet(network);
    net_cut(leaf->up);
    net_cut(other->up);
    net_run(network, 10 * NET_S);
    ck_assert_uint_eq(held(), before);
}
END_TEST

START_TEST(a_state_that_its_exposer_has_left_behind_is_charged_to_the_one_that_still_wants_it)
{
    net_node *leaf = leaf_new("name=a"), *other = leaf_new("name=b");
    watcher observer;
    exposer producer;
    watch_object(&observer, other, "1", NULL);
    give(&producer, leaf, "1");
    send_bytes(&producer, "1", 100000);
    expose_end(&producer);
    net_quiet(network);
    ck_assert_uint_lt(peer_of(leaf)->accounted_bytes, 50000);
    ck_assert_uint_ge(peer_of(other)->accounted_bytes, 100000);
    ck_assert_uint_ge(peer_of(other)->left_bytes, 100000); /* but it is not its fault */
    watch_end(&observer);
    net_quiet(network);
    ck_assert_uint_lt(peer_of(other)->accounted_bytes, 50000);
}
END_TEST

/* The observer's own limit is far below what another has left there. */
START_TEST(no_peer_is_ended_for_what_others_have_left_behind)
{
    hub->link_bytes_max = 350000;
    net_restart(hub);
    net_node *other = leaf_new("name=b");
    watcher observers[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        exposer producer;
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], other, name, NULL);
        net_node *leaf = leaf_new("name=a");
        give(&producer, leaf, name);
        send_bytes(&producer, name, 100000);
        ck_assert_uint_eq(leaf->ended.count, 0);
        expose_end(&producer);
        net_quiet(network);
    }
    watcher another;
    watch_object(&another, other, "\"another\"", NULL); /* it brings something itself */
    net_quiet(network);
    ck_assert_uint_ge(peer_of(other)->accounted_bytes, 400000);
    ck_assert_uint_eq(other->ended.count, 0);
    watch_end(&another);
    for (int i = 0; i < 4; i++) {
        watch_end(&observers[i]);
    }
}
END_TEST

START_TEST(a_downstream_beyond_its_limit_is_ended_and_an_upstream_is_not)
{
    hub->link_bytes_max = 150000;
    net_restart(hub);
    net_node *root = net_add(network), *leaf = leaf_new("name=a");
    net_connect(hub, root, "name=hub");
    net_quiet(network);
    watcher observers[3], above;
    exposer greedy, producer;
    watch_object(&above, hub, "\"x\"", NULL);
    expose_object(&producer, root, "\"x\"", NULL, 1);
    net_quiet(network);
    send_bytes(&producer, "\"x\"", 200000);
    ck_assert_uint_eq(root->ended.count, 0);
    ck_assert_uint_eq(watched(&above, "\"x\"")->bytes, 200000);
    watch_object(&observers[0], root, "1", NULL);
    give(&greedy, leaf, "1");
    send_bytes(&greedy, "1", 200000);
    ck_assert_uint_eq(leaf->ended.count, 1);
    ck_assert_uint_eq(root->ended.count, 0);
    ck_assert_int_eq(hub->ended.why.status, HAKUBAN_ERR_LIMIT);
    ck_assert_str_eq(hub->ended.why.text, "more than 150000 bytes are kept for this connection");
    watch_end(&above);
    watch_end(&observers[0]);
    expose_end(&producer);
    expose_end(&greedy);
}
END_TEST

/* The hub is nearly full because of one; another that then brings a little stays. */
START_TEST(beyond_the_hubs_limit_the_largest_holder_goes_and_not_the_one_that_comes_next)
{
    net_node *large = leaf_new("name=large"), *small = leaf_new("name=small");
    net_node *observing = leaf_new("name=observing");
    static const char *const names[] = {"1", "2", "3", "4"};
    watcher observers[4];
    exposer users[4]; /* the first three are of the large one */
    for (int i = 0; i < 4; i++) {
        watch_object(&observers[i], observing, names[i], NULL);
        give(&users[i], i < 3 ? large : small, names[i]);
    }
    for (int i = 0; i < 3; i++) {
        send_bytes(&users[i], names[i], 500000);
    }
    hub->exchange->bytes_max = held() + 600000; /* less than the next takes while it comes */
    send_bytes(&users[3], "4", 520000);
    ck_assert_uint_eq(large->ended.count, 1);
    ck_assert_uint_eq(small->ended.count, 0);
    ck_assert_int_eq(hub->ended.why.status, HAKUBAN_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(hub->ended.why.text, "this hub has no room within its"));
    ck_assert_uint_eq(observing->ended.count, 0); /* what the large one has sent is not kept */
    ck_assert_uint_lt(held(), 1200000);           /* a state and its payload */
    ck_assert_uint_eq(watched(&observers[0], "1")->bytes, 500000);
    ck_assert_uint_eq(watched(&observers[3], "4")->bytes, 520000);
    for (int i = 0; i < 4; i++) {
        watch_end(&observers[i]);
        expose_end(&users[i]);
    }
}
END_TEST

/* Observers that stop reading in the middle of large states, each at another time. */
START_TEST(slow_peers_share_a_payload_and_have_one_large_state_on_its_way_each)
{
    enum { OBJECTS = 3, OBSERVERS = 3 };
    net_node *leaf = leaf_new("name=a");
    exposer producers[OBJECTS];
    watcher first[OBJECTS], others[OBSERVERS][OBJECTS];
    for (int i = 0; i < OBJECTS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&first[i], hub, name, NULL);
        give(&producers[i], leaf, name);
        send_bytes(&producers[i], name, LARGE_BYTES - (size_t)i);
    }
    size_t before = hub->memory.bytes;
    for (int k = 0; k < OBSERVERS; k++) {
        net_node *observing = net_add(network);
        net_pipe *pipe = net_connect(observing, hub, NULL);
        for (int i = 0; i < OBJECTS; i++) {
            char name[8];
            snprintf(name, sizeof(name), "%d", i);
            watch_object(&others[k][i], observing, name, NULL);
        }
        pipe->read_rate[0] = 100000;
        net_run(network, NET_S); /* longer than payloads are kept for others */
    }
    ck_assert_uint_le(hub->memory.bytes, before + LARGE_BYTES + OBSERVERS * 400000);
    for (size_t i = 0; i < network->pipe_count; i++) {
        network->pipes[i]->read_rate[0] = 0;
    }
    net_quiet(network);
    for (int k = 0; k < OBSERVERS; k++) {
        for (int i = 0; i < OBJECTS; i++) {
            char name[8];
            snprintf(name, sizeof(name), "%d", i);
            ck_assert_uint_eq(watched(&others[k][i], name)->bytes, LARGE_BYTES - (size_t)i);
            watch_end(&others[k][i]);
        }
    }
    for (int i = 0; i < OBJECTS; i++) {
        watch_end(&first[i]);
        expose_end(&producers[i]);
    }
}
END_TEST

/* A peer that stands on a large old state is sent the small new one whole: the old one goes. */
START_TEST(an_old_state_much_larger_than_the_newest_is_not_kept_for_a_stuck_peer)
{
    net_node *leaf = leaf_new("name=a"), *stuck = leaf_new("name=b");
    watcher observer;
    exposer producer;
    watch_object(&observer, stuck, "1", NULL);
    give(&producer, leaf, "1");
    send_bytes(&producer, "1", 1 << 20);
    stuck->up->stalled[0] = true;
    net_run(network, NET_S);
    size_t before = hub->memory.bytes;
    send_bytes(&producer, "1", 10);
    net_run(network, NET_S);
    ck_assert_uint_le(hub->memory.bytes + (1 << 20) - 100000, before);
    stuck->up->stalled[0] = false;
    net_quiet(network);
    ck_assert_uint_eq(watched(&observer, "1")->bytes, 10);
    watch_end(&observer);
    expose_end(&producer);
}
END_TEST

int main(void)
{
    TCase *limits = lone_cases(), *networks = tcase_create("networks");
    tcase_add_loop_test(limits, a_downstream_may_use_its_limit_to_the_last_byte, 0, 3);
    tcase_add_test(limits, the_memory_that_a_work_needs_for_itself_is_counted);
    tcase_add_test(limits, an_upstream_has_no_limit_of_its_own);
    tcase_add_loop_test(limits, an_exchange_may_use_its_limit_to_the_last_byte, 0, 3);
    tcase_add_test(limits, a_state_that_comes_counts_as_held_by_the_peer_that_sends_it);
    tcase_add_test(limits, a_state_in_place_of_one_as_large_adds_nothing_to_its_sender);
    tcase_add_test(limits, where_no_peer_holds_much_nothing_is_gained_by_ending_one);
    tcase_add_checked_fixture(networks, begin_network, end_network);
    tcase_add_test(networks, what_peers_have_brought_is_given_back_when_all_are_gone);
    tcase_add_test(
        networks,
        a_state_that_its_exposer_has_left_behind_is_charged_to_the_one_that_still_wants_it);
    tcase_add_test(networks, no_peer_is_ended_for_what_others_have_left_behind);
    tcase_add_test(networks, a_downstream_beyond_its_limit_is_ended_and_an_upstream_is_not);
    tcase_add_test(networks,
                   beyond_the_hubs_limit_the_largest_holder_goes_and_not_the_one_that_comes_next);
    tcase_add_test(networks, slow_peers_share_a_payload_and_have_one_large_state_on_its_way_each);
    tcase_add_test(networks, an_old_state_much_larger_than_the_newest_is_not_kept_for_a_stuck_peer);
    return lone_run("exchange.account", limits, networks, NULL);
}
