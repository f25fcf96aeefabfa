/* What one peer may cause in one turn, counted exactly in cost units, and what others get
 * meanwhile. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define TURN_COST 40u
#define OBJECT_COST 3u /* the message, a record, a share */
#define HELLO                                                                                      \
    "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"00000000000000000000000000000001\"],"               \
    "\"serializers\":[\"json\"],\"compressors\":[\"none\"],\"keep_alive_ms\":20000,"               \
    "\"grace_ms\":0,\"window\":262144,\"state_max\":100000}"

/* -- A peer that says what it likes -- */

static hkb_peer *stranger_new(net_node *node)
{
    hkb_link_settings settings = {
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
    };
    hkb_peer *peer;
    ck_assert_int_eq(hkb_exchange_attach(net_enter(node), &settings, false, true, NULL, &peer),
                     HAKUBAN_OK);
    return peer;
}

static void put_frame(hkb_buffer *out, const char *header)
{
    ck_assert_int_eq(
        hkb_frame_put(out, (hakuban_slice){header, strlen(header)}, (hakuban_slice){NULL, 0}),
        HAKUBAN_OK);
}

static void says(net_node *node, hkb_peer *peer, const hkb_buffer *packet)
{
    hkb_peer_receive(peer, packet->data, packet->bytes);
    hkb_exchange_settle(node->exchange);
}

static void says_hello(net_node *node, hkb_peer *peer)
{
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), SIZE_MAX);
    put_frame(&out, HELLO);
    says(node, peer, &out);
    hkb_buffer_done(&out);
    hkb_exchange_tick(net_enter(node)); /* a new turn */
}

/* Observes count objects in one packet. */
static void says_objects(net_node *node, hkb_peer *peer, unsigned count)
{
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), SIZE_MAX);
    for (unsigned i = 0; i < count; i++) {
        char header[64];
        snprintf(header, sizeof(header), "[8,1,0,\"%u\"]", i);
        put_frame(&out, header);
    }
    says(node, peer, &out);
    hkb_buffer_done(&out);
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
    hkb_peer *flooder = stranger_new(hub);
    says_hello(hub, flooder);
    says_objects(hub, flooder, COUNT);
    ck_assert_uint_eq(hub->exchange->objects.count, PER_TURN);
    ck_assert(hkb_peer_is_behind(flooder));
    for (size_t before = PER_TURN; before < COUNT; before = hub->exchange->objects.count) {
        ck_assert(net_due_ns(hub) <= network->now_ns);
        turn(hub);
        size_t more = hub->exchange->objects.count - before;
        ck_assert(more == PER_TURN || more == PER_TURN - 1 || before + more == COUNT);
    }
    ck_assert(!hkb_peer_is_behind(flooder));
    hkb_peer_lost(flooder, HAKUBAN_ERR_CLOSED, "gone");
    net_free(network);
}
END_TEST

START_TEST(others_are_served_while_a_peer_waits_for_its_turn)
{
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    hkb_peer *flooder = stranger_new(hub), *good = stranger_new(hub);
    says_hello(hub, flooder);
    says_hello(hub, good);
    says_objects(hub, flooder, 1000);
    size_t before = hub->exchange->objects.count;
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), SIZE_MAX);
    put_frame(&out, "[8,1,0,\"\\\"good\\\"\"]");
    says(hub, good, &out);
    hkb_buffer_done(&out);
    ck_assert_uint_eq(hub->exchange->objects.count, before + 1);
    ck_assert(!hkb_peer_is_behind(good));
    hkb_peer_lost(flooder, HAKUBAN_ERR_CLOSED, "gone");
    hkb_peer_lost(good, HAKUBAN_ERR_CLOSED, "gone");
    net_free(network);
}
END_TEST

START_TEST(peers_that_wait_take_turns)
{
    enum { PEERS = 3 * HKB_TURN_PEERS, COUNT = 200 };
    net *network = net_new(1);
    net_node *hub = hub_new(network);
    hkb_peer *peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = stranger_new(hub);
        says_hello(hub, peers[i]);
    }
    for (size_t i = 0; i < PEERS; i++) {
        says_objects(hub, peers[i], COUNT);
    }
    size_t least = SIZE_MAX, most = 0;
    for (unsigned i = 0; i < 3 * 4; i++) {
        turn(hub); /* of a third of them */
    }
    for (size_t i = 0; i < PEERS; i++) {
        ck_assert(hkb_peer_is_behind(peers[i]));
        least = hkb_min(least, peers[i]->link.received_bytes);
        most = hkb_max(most, peers[i]->link.received_bytes);
    }
    ck_assert_uint_le(most - least, strlen("..[8,1,0,\"100\"]")); /* one message at most */
    for (size_t i = 0; i < PEERS; i++) {
        hkb_peer_lost(peers[i], HAKUBAN_ERR_CLOSED, "gone");
    }
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
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
