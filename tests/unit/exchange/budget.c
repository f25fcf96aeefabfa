/* What one peer may cause in one turn, counted exactly in cost units, and what others get
 * meanwhile. */
#include "exchange/records.h"
#include "network.h"
#include "stranger.h"

#include <check.h>

#define TURN_COST 40u
#define OBJECT_COST 3u /* the message, a record, a share */

static void comes(stranger *peer, net_node *node)
{
    stranger_come(peer, net_enter(node), false);
    stranger_put(peer, "%s", STRANGER_HELLO);
    stranger_say(peer);
    hkb_exchange_tick(net_enter(node)); /* a new turn */
}

/* Observes count objects in one packet. */
static void says_objects(stranger *peer, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stranger_put(peer, "[8,1,0,\"%u\"]", i);
    }
    stranger_say(peer);
}

static void turn(net_node *node)
{
    hkb_exchange_tick(node->exchange);
    hkb_exchange_settle(node->exchange);
}

static net_node *hub_new(net *network)
{
    network->turn_cost = TURN_COST;
    return net_add(network);
}

START_TEST(a_turn_takes_as_many_messages_as_the_budget_pays_for)
{
    enum { COUNT = 1000, PER_TURN = (TURN_COST + OBJECT_COST - 1) / OBJECT_COST };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger flooder;
    comes(&flooder, hub);
    says_objects(&flooder, COUNT);
    ck_assert_uint_eq(hub->exchange->objects.count, PER_TURN);
    ck_assert(hkb_peer_is_behind(flooder.peer));
    for (size_t before = PER_TURN; before < COUNT; before = hub->exchange->objects.count) {
        ck_assert(net_due_ns(hub) <= network->now_ns);
        turn(hub);
        size_t more = hub->exchange->objects.count - before;
        ck_assert(more == PER_TURN || more == PER_TURN - 1 || before + more == COUNT);
    }
    ck_assert(!hkb_peer_is_behind(flooder.peer));
    stranger_leave(&flooder);
    net_free(network);
}
END_TEST

START_TEST(others_are_served_while_a_peer_waits_for_its_turn)
{
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger flooder, good;
    comes(&flooder, hub);
    comes(&good, hub);
    says_objects(&flooder, 1000);
    size_t before = hub->exchange->objects.count;
    stranger_put(&good, "[8,1,0,\"\\\"good\\\"\"]");
    stranger_say(&good);
    ck_assert_uint_eq(hub->exchange->objects.count, before + 1);
    ck_assert(!hkb_peer_is_behind(good.peer));
    stranger_leave(&flooder);
    stranger_leave(&good);
    net_free(network);
}
END_TEST

START_TEST(peers_that_wait_take_turns)
{
    enum { PEERS = 3 * HKB_TURN_PEERS, COUNT = 200 };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        comes(&peers[i], hub);
    }
    for (size_t i = 0; i < PEERS; i++) {
        says_objects(&peers[i], COUNT);
    }
    size_t least = SIZE_MAX, most = 0;
    for (unsigned i = 0; i < 3 * 4; i++) {
        size_t heard = 0;
        uint64_t heard_before[PEERS];
        for (size_t k = 0; k < PEERS; k++) {
            heard_before[k] = peers[k].peer->link.received_bytes;
        }
        turn(hub);
        for (size_t k = 0; k < PEERS; k++) {
            heard += peers[k].peer->link.received_bytes > heard_before[k];
        }
        ck_assert_uint_eq(heard, HKB_TURN_PEERS); /* a third of them */
    }
    for (size_t i = 0; i < PEERS; i++) {
        ck_assert(hkb_peer_is_behind(peers[i].peer));
        least = hkb_min(least, peers[i].peer->link.received_bytes);
        most = hkb_max(most, peers[i].peer->link.received_bytes);
    }
    ck_assert_uint_le(most - least, strlen("..[8,1,0,\"100\"]")); /* one message at most */
    for (size_t i = 0; i < PEERS; i++) {
        stranger_leave(&peers[i]);
    }
    net_free(network);
}
END_TEST

/* Observes tags 0 to count - 1. */
static void says_tags(stranger *peer, net_node *node, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stranger_put(peer, "[9,1,0,\"%u\"]", i);
    }
    stranger_say(peer);
    while (hkb_peer_is_behind(peer->peer)) {
        turn(node);
    }
}

START_TEST(the_sender_of_an_object_pays_for_all_of_its_observers)
{
    enum { TAGS = 8, PEERS = 50 };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger sender, peers[PEERS];
    comes(&sender, hub);
    for (size_t i = 0; i < PEERS; i++) {
        comes(&peers[i], hub);
        says_tags(&peers[i], hub, TAGS);
    }
    turn(hub);
    stranger_put(&sender, "[8,1,0,\"1\",\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\"]");
    stranger_put(&sender, "[8,1,0,\"2\"]");
    stranger_say(&sender);
    ck_assert_uint_eq(hub->exchange->objects.count, 1);
    size_t count = 0;
    const hkb_object *object =
        HKB_CONTAINER(hkb_list_first(&sender.peer->shares), hkb_share, of_peer)->object;
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        count++;
    }
    ck_assert_uint_eq(count, 1 + PEERS); /* one for each, not for each tag */
    int64_t cost = OBJECT_COST + TAGS + TAGS * PEERS / 8 + PEERS;
    int64_t debt = cost - (int64_t)TURN_COST;
    ck_assert_int_eq(-sender.peer->link.credit, debt);
    for (; debt >= 0; debt -= TURN_COST) {
        ck_assert_uint_eq(hub->exchange->objects.count, 1);
        turn(hub);
    }
    ck_assert_uint_eq(hub->exchange->objects.count, 2);
    stranger_leave(&sender);
    for (size_t i = 0; i < PEERS; i++) {
        stranger_leave(&peers[i]);
    }
    net_free(network);
}
END_TEST

START_TEST(exposers_of_its_tags_cost_the_sender_of_an_object_nothing)
{
    enum { PEERS = 50 };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger sender, peers[PEERS];
    comes(&sender, hub);
    for (size_t i = 0; i < PEERS; i++) {
        comes(&peers[i], hub);
        stranger_put(&peers[i], "[9,2,1,\"0\"]");
        stranger_say(&peers[i]);
    }
    turn(hub);
    stranger_put(&sender, "[8,1,0,\"1\",\"0\"]");
    stranger_say(&sender);
    ck_assert_int_eq(sender.peer->link.credit, TURN_COST - OBJECT_COST - 1);
    stranger_leave(&sender);
    for (size_t i = 0; i < PEERS; i++) {
        stranger_leave(&peers[i]);
    }
    net_free(network);
}
END_TEST

/* Until all registrations of all peers have ended: one for an object, two for a tag, whose record
 * goes after the objects. */
static size_t steps(const net_node *node)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_peer, peer, &node->exchange->peers, of_exchange)
    {
        HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
        {
            count++;
        }
        HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
        {
            count += share->ending ? 1 : 2;
        }
    }
    return count;
}

START_TEST(a_link_that_ends_with_many_registrations_delays_no_other)
{
    enum { COUNT = 5000, PER_TURN = TURN_COST * HKB_SLICE_PER_UNIT };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    stranger large[2], good;
    for (size_t i = 0; i < 2; i++) {
        comes(&large[i], hub);
        says_objects(&large[i], COUNT);
        says_tags(&large[i], hub, COUNT);
    }
    comes(&good, hub);
    ck_assert_uint_eq(steps(hub), 6 * COUNT);
    stranger_leave(&large[0]);
    stranger_leave(&large[1]);
    size_t left = 6 * COUNT - PER_TURN;
    ck_assert_uint_eq(steps(hub), left);
    stranger_put(&good, "[8,1,0,\"\\\"good\\\"\"]");
    stranger_say(&good);
    ck_assert_uint_eq(steps(hub), left + 1);
    for (; left; left -= PER_TURN) {
        ck_assert_uint_eq(steps(hub), left + 1);
        ck_assert(net_due_ns(hub) <= network->now_ns);
        turn(hub);
    }
    ck_assert_uint_eq(hub->exchange->objects.count, 1);
    ck_assert_uint_eq(hub->exchange->peer_count, 1);
    stranger_leave(&good);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *tcase = tcase_create("messages");
    tcase_add_test(tcase, a_turn_takes_as_many_messages_as_the_budget_pays_for);
    tcase_add_test(tcase, others_are_served_while_a_peer_waits_for_its_turn);
    tcase_add_test(tcase, peers_that_wait_take_turns);
    tcase_add_test(tcase, the_sender_of_an_object_pays_for_all_of_its_observers);
    tcase_add_test(tcase, exposers_of_its_tags_cost_the_sender_of_an_object_nothing);
    tcase_add_test(tcase, a_link_that_ends_with_many_registrations_delays_no_other);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
