/* A hub whose upstream limits what it keeps for a link: the client below that causes too much is
 * ended, told why, and the hub's own link goes on. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

enum { STATE_BYTES = 200000, LIMIT = 1 << 20, OBJECTS = 10, MANY = 3000 };

#define REASON "the hub above this one keeps no more than "

static char data[STATE_BYTES];
static net *network;
static net_node *top, *hub, *good, *greedy;
static watcher reader;
static exposer writer;

static net_node *below(net_node *parent, const char *params)
{
    net_node *node = net_add(network);
    net_connect(node, parent, params);
    net_quiet(network);
    return node;
}

/* What the good client exposes is observed at the top. */
static void good_pair(void)
{
    watch_object(&reader, top, "\"good\"", NULL);
    expose_object(&writer, good, "\"good\"", NULL, 1);
    expose(&writer, "before");
    play_users(network, &writer, NULL, NULL);
}

static void setup(void)
{
    network = net_new(40);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)net_below(network, 256); /* nothing that a compressor makes small */
    }
    top = net_add(network);
    top->link_bytes_max = LIMIT;
    net_restart(top);
    hub = below(top, "name=hub");
    good = below(hub, "name=good");
    greedy = below(hub, "name=greedy");
    good_pair();
}

static void teardown(void)
{
    net_free(network);
}

static void assert_good_goes_on(void)
{
    expose(&writer, "after");
    play_users(network, &writer, NULL, NULL);
    assert_watched(&reader, "\"good\"", "after", HAKUBAN_LIVE);
    ck_assert_uint_eq(good->ended.count, 0);
    ck_assert_uint_eq(top->ended.count, 0);
    watch_end(&reader);
    expose_end(&writer);
}

static void assert_told(const net_node *node, const net_node *by)
{
    ck_assert_uint_ge(node->ended.count, 1);
    ck_assert_int_eq(by->ended.why.status, HAKUBAN_ERR_LIMIT);
    ck_assert_msg(strstr(by->ended.why.text, REASON) != NULL, "%s", by->ended.why.text);
    ck_assert_msg(strstr(node->ended.why.text, REASON) != NULL, "%s", node->ended.why.text);
}

/* -- States -- */

typedef struct crowd {
    watcher readers[OBJECTS];
    exposer writers[OBJECTS];
    unsigned count;
} crowd;

/* leaf exposes objects with a large state each, observer observes them; until leaf is ended. */
static void send_states(crowd *c, net_node *leaf, net_node *observer)
{
    for (c->count = 0; c->count < OBJECTS && leaf->ended.count == 0; c->count++) {
        char name[32];
        exposer *user = &c->writers[c->count];
        (void)snprintf(name, sizeof(name), "\"large %u\"", c->count);
        watch_object(&c->readers[c->count], observer, name, NULL);
        expose_object(user, leaf, name, NULL, 1);
        net_quiet(network);
        expose_turn(user);
        ck_assert_int_eq(net_send_bytes(leaf, exposed(user, name)->sink, data, sizeof(data)),
                         HAKUBAN_OK);
        net_quiet(network);
    }
}

static void crowd_end(crowd *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        watch_end(&c->readers[i]);
        expose_end(&c->writers[i]);
    }
}

START_TEST(a_client_whose_states_are_too_much_for_the_upstream_is_ended)
{
    static crowd large;
    send_states(&large, greedy, top);
    assert_told(greedy, hub);
    ck_assert_uint_gt(large.count, 1); /* some had room */
    assert_good_goes_on();
    crowd_end(&large);
}
END_TEST

START_TEST(states_that_the_upstream_does_not_want_do_not_count)
{
    static crowd large;
    send_states(&large, greedy, below(hub, "name=reader"));
    ck_assert_uint_eq(large.count, OBJECTS);
    ck_assert_uint_eq(greedy->ended.count, 0);
    assert_good_goes_on();
    crowd_end(&large);
}
END_TEST

/* The states came before the upstream wanted them. */
START_TEST(a_client_whose_states_become_too_much_once_they_are_wanted_is_ended)
{
    static crowd large;
    static watcher late[OBJECTS];
    send_states(&large, greedy, below(hub, "name=reader"));
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "\"large %u\"", i);
        watch_object(&late[i], top, name, NULL);
        net_quiet(network);
    }
    assert_told(greedy, hub);
    assert_good_goes_on();
    crowd_end(&large);
    for (unsigned i = 0; i < OBJECTS; i++) {
        watch_end(&late[i]);
    }
}
END_TEST

enum { MOMENTS = 60, MOMENT_NS = NET_MS };

/* Such as a program that is told to end while it tries again: its last state is promised to arrive,
 * but not at the cost of the others. */
START_TEST(a_state_that_is_too_much_does_not_go_up_when_its_client_says_goodbye)
{
    static char large[2 * LIMIT]; /* of zeros: a small message */
    watcher late;
    exposer large_writer;
    network->work_bytes_min = LIMIT;
    network->work_ns_max = 20 * NET_MS;
    net_node *own_hub = below(top, "name=own"), *client = below(own_hub, "name=client");
    watch_object(&late, top, "\"large\"", NULL);
    expose_object(&large_writer, client, "\"large\"", NULL, 1);
    net_quiet(network);
    for (unsigned moments = 0; moments < MOMENTS; moments++) {
        for (unsigned i = 0; i < moments; i++) {
            expose_turn(&large_writer);
            exposed_object *object = exposed(&large_writer, "\"large\"");
            if (object && object->sink) {
                (void)net_send_bytes(client, object->sink, large, sizeof(large));
            }
            net_run(network, MOMENT_NS);
        }
        (void)net_enter(client);
        if (client->up && client->up->peer[0]) {
            hkb_peer_leave(client->up->peer[0]);
        }
        net_quiet(network);
        ck_assert_msg(top->ended.count == 0, "%u: %s", moments, top->ended.why.text);
        net_connect(client, own_hub, "name=client");
    }
    assert_good_goes_on();
    watch_end(&late);
    expose_end(&large_writer);
}
END_TEST

START_TEST(an_upstream_without_a_limit_takes_all)
{
    static crowd large;
    net_node *other_hub = net_add(network), *root = net_add(network);
    net_connect(other_hub, root, "name=hub");
    net_node *leaf = below(other_hub, "name=leaf");
    send_states(&large, leaf, root);
    ck_assert_uint_eq(large.count, OBJECTS);
    ck_assert_uint_eq(leaf->ended.count, 0);
    ck_assert_uint_eq(watched(&large.readers[OBJECTS - 1], "\"large 9\"")->bytes, STATE_BYTES);
    assert_good_goes_on();
    crowd_end(&large);
}
END_TEST

/* -- Registrations -- */

static net_contract contracts[MANY];

/* Until node is ended: how many there are. */
static unsigned observe_many(net_node *node)
{
    unsigned count = 0;
    while (count < MANY && node->ended.count == 0) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%u", count);
        contracts[count++] = net_observe(node, name, NULL);
        if (count % 50 == 0) {
            net_quiet(network);
        }
    }
    net_quiet(network);
    return count;
}

static void end_many(unsigned count)
{
    while (count-- > 0) {
        net_end(&contracts[count]);
    }
}

START_TEST(a_client_that_registers_too_much_for_the_upstream_is_ended)
{
    unsigned count = observe_many(greedy);
    ck_assert_uint_lt(count, MANY);
    assert_told(greedy, hub);
    assert_good_goes_on();
    end_many(count);
}
END_TEST

START_TEST(room_is_there_again_when_the_client_has_gone)
{
    for (int again = 0; again < 3; again++) {
        unsigned count = observe_many(greedy);
        ck_assert_uint_lt(count, MANY);
        end_many(count);
        net_run(network, NET_S);
        greedy->ended = (net_ended){0};
        net_connect(greedy, hub, "name=greedy");
        net_quiet(network);
    }
    HKB_LIST_EACH(hkb_peer, peer, &hub->exchange->upstreams, of_upstreams)
    {
        ck_assert_uint_lt(peer->upward_bytes, 2000); /* the good one's */
    }
    assert_good_goes_on();
}
END_TEST

/* -- Hubs below hubs -- */

START_TEST(a_hub_below_a_hub_ends_its_own_client)
{
    net_node *lower = below(hub, "name=lower"), *modest = below(lower, "name=modest"),
             *glutton = below(lower, "name=glutton");
    net_contract own = net_observe(modest, "\"good\"", NULL);
    unsigned count = observe_many(glutton);
    assert_told(glutton, lower);
    ck_assert_uint_eq(lower->up->peer[0] != NULL, 1);
    ck_assert_uint_eq(modest->ended.count, 0);
    assert_good_goes_on();
    net_end(&own);
    end_many(count);
}
END_TEST

START_TEST(a_hub_is_told_when_the_limit_is_known_only_later)
{
    net_node *middle = net_add(network), *lower = below(middle, "name=lower"),
             *glutton = below(lower, "name=glutton");
    net_connect(middle, top, "name=middle");
    net_quiet(network);
    unsigned count = observe_many(glutton);
    assert_told(glutton, lower);
    assert_good_goes_on();
    end_many(count);
}
END_TEST

/* The hub goes to another upstream; or is left by the one that said so, and has none for some time,
 * or for good. */
START_TEST(a_limit_does_not_outlive_the_upstream_whose_it_was)
{
    net_node *lower = below(hub, "name=lower"), *many = below(lower, "name=many");
    net_node *root = net_add(network);
    watch_end(&reader);
    expose_end(&writer);
    net_cut(hub->up);
    if (_i) {
        net_run(network, 30 * NET_S); /* the session is over */
    }
    if (_i < 2) {
        net_connect(hub, root, "name=hub");
    }
    net_quiet(network);
    unsigned count = observe_many(many);
    ck_assert_uint_eq(count, MANY);
    ck_assert_uint_eq(many->ended.count, 0);
    ck_assert_uint_ge(hub->exchange->objects.count, MANY);
    end_many(count);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upward");
    TCase *cases = tcase_create("upward");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_client_whose_states_are_too_much_for_the_upstream_is_ended);
    tcase_add_test(cases, states_that_the_upstream_does_not_want_do_not_count);
    tcase_add_test(cases, a_client_whose_states_become_too_much_once_they_are_wanted_is_ended);
    tcase_add_test(cases, a_state_that_is_too_much_does_not_go_up_when_its_client_says_goodbye);
    tcase_add_test(cases, an_upstream_without_a_limit_takes_all);
    tcase_add_test(cases, a_client_that_registers_too_much_for_the_upstream_is_ended);
    tcase_add_test(cases, room_is_there_again_when_the_client_has_gone);
    tcase_add_test(cases, a_hub_below_a_hub_ends_its_own_client);
    tcase_add_test(cases, a_hub_is_told_when_the_limit_is_known_only_later);
    tcase_add_loop_test(cases, a_limit_does_not_outlive_the_upstream_whose_it_was, 0, 3);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
