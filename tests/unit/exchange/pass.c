/* Tags with very many objects: a peer that registers one, even again and again, delays no other;
 * LISTED says the truth nevertheless. */
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/lifetimes.h"
#include "exchange/records.h"
#include "exchange/tag.h"
#include "lone_exchange.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define TAG "\"many\""
#define OBJECTS 2000
#define IN_ONE_TURN 512 /* far fewer than there are */

typedef struct world {
    net *network;
    net_node *hub, *leaf[2];
    net_pipe *pipe[2];
    net_contract exposed[OBJECTS];
} world;

static world the;

static void setup(void)
{
    the.network = net_new(1);
    the.hub = net_add(the.network);
    for (int i = 0; i < 2; i++) {
        the.leaf[i] = net_add(the.network);
        the.pipe[i] = net_connect(the.leaf[i], the.hub, NULL);
    }
    for (int i = 0; i < OBJECTS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        the.exposed[i] = net_expose(the.hub, name, TAG, 1);
    }
    net_quiet(the.network);
}

static void teardown(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        if (the.exposed[i].contract) {
            net_end(&the.exposed[i]);
        }
    }
    net_free(the.network);
}

static hkb_exchange *hub(void)
{
    return net_enter(the.hub);
}

/* As if the leaf had said it. */
static void say_tag(int leaf, uint32_t flags, uint32_t capacity)
{
    hkb_tag *tag;
    ck_assert_int_eq(hkb_tag_get(hub(), (hakuban_slice){TAG, strlen(TAG)}, &tag), HAKUBAN_OK);
    ck_assert_int_eq(
        hkb_tag_register(tag, the.pipe[leaf]->peer[1], hkb_registration_of(flags, capacity)),
        HAKUBAN_OK);
    hkb_exchange_settle(the.hub->exchange);
}

static bool turn(void)
{
    if (net_due_ns(the.hub) > the.network->now_ns) {
        return false;
    }
    hkb_exchange_tick(hub());
    hkb_exchange_settle(the.hub->exchange);
    return true;
}

static size_t streams_to(int leaf)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_share, share, &the.pipe[leaf]->peer[1]->shares, of_peer)
    {
        count += share->out.wanted;
    }
    return count;
}

static bool is_listed(int leaf)
{
    HKB_LIST_EACH(hkb_tag_share, share, &the.pipe[leaf]->peer[1]->tag_shares, of_peer)
    {
        return share->listed_count > 0;
    }
    return false;
}

START_TEST(a_large_tag_is_opened_a_few_objects_at_a_time)
{
    say_tag(0, HKB_WANT_OBSERVE, 0);
    size_t before = streams_to(0);
    ck_assert_uint_lt(before, IN_ONE_TURN);
    while (turn()) {
        ck_assert_uint_lt(streams_to(0) - before, IN_ONE_TURN);
        before = streams_to(0);
        ck_assert(before == OBJECTS || !is_listed(0));
    }
    ck_assert_uint_eq(before, OBJECTS);
    ck_assert(is_listed(0));
    say_tag(0, 0, 0);
    while (turn()) {
        ck_assert_uint_lt(before - streams_to(0), IN_ONE_TURN);
        before = streams_to(0);
    }
    ck_assert_uint_eq(before, 0);
}
END_TEST

START_TEST(two_exposers_that_observe_it_take_turns)
{
    say_tag(0, HKB_WANT_OBSERVE, 0);
    say_tag(1, HKB_WANT_OBSERVE, 0);
    ck_assert(turn());
    ck_assert_uint_gt(streams_to(0), 0);
    ck_assert_uint_gt(streams_to(1), 0);
    while (turn()) {
        continue;
    }
    ck_assert_uint_eq(streams_to(0), OBJECTS);
    ck_assert_uint_eq(streams_to(1), OBJECTS);
}
END_TEST

START_TEST(what_is_said_last_holds)
{
    for (uint32_t i = 0; i < 200; i++) {
        say_tag(0, i % 4, i % 3);
        if (i % 7 == 0) {
            (void)turn();
        }
    }
    ck_assert_uint_le(streams_to(0), OBJECTS);
    say_tag(0, _i ? HKB_WANT_OBSERVE : 0, 0);
    while (turn()) {
        continue;
    }
    ck_assert_uint_eq(streams_to(0), _i ? OBJECTS : 0);
    net_quiet(the.network);
    hkb_list *tags = &the.pipe[0]->peer[1]->tag_shares;
    ck_assert(hkb_list_empty(tags) == (_i == 0));
}
END_TEST

START_TEST(objects_may_come_and_go_meanwhile)
{
    say_tag(0, HKB_WANT_OBSERVE, 0);
    say_tag(1, HKB_WANT_OBSERVE | HKB_WANT_EXPOSE, 1);
    for (int i = 0; i < OBJECTS; i += 2) {
        net_end(&the.exposed[i]);
        if (i % 50 == 0) {
            (void)turn();
        }
    }
    for (int i = 0; i < OBJECTS; i += 4) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        the.exposed[i] = net_expose(the.hub, name, TAG, 1);
        if (i % 100 == 0) {
            (void)turn();
        }
    }
    while (turn()) {
        continue;
    }
    ck_assert_uint_eq(streams_to(0), OBJECTS / 2 + OBJECTS / 4);
    ck_assert_uint_eq(streams_to(1), OBJECTS / 2 + OBJECTS / 4);
    net_cut(the.pipe[1]);
    net_run(the.network, 3 * NET_S);
    ck_assert_uint_eq(streams_to(0), OBJECTS / 2 + OBJECTS / 4);
}
END_TEST

START_TEST(a_peer_that_leaves_half_way_leaves_nothing)
{
    say_tag(0, HKB_WANT_OBSERVE, 0);
    ck_assert(turn());
    ck_assert(turn());
    net_cut(the.pipe[0]);
    net_run(the.network, 3 * NET_S);
    ck_assert_uint_eq(hub()->shares.count, 0);
}
END_TEST

/* A hub that has lost its upstream for longer than the grace keeps what its observers know, and no
 * longer than there is one, even if the last one goes before a pass has come to all of it. */
START_TEST(what_is_remembered_goes_with_the_last_observer)
{
    net *network = the.network = net_new(3);
    net_node *root = net_add(network);
    net_contract *exposed = the.exposed;
    the.hub = net_add(network);
    hkb_exchange_expect_upstream(hub(), true);
    net_connect(the.hub, root, NULL);
    for (int i = 0; i < 2; i++) {
        the.leaf[i] = net_add(network);
        the.pipe[i] = net_connect(the.leaf[i], the.hub, "grace=0");
    }
    for (int i = 0; i < OBJECTS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        exposed[i] = net_expose(root, name, TAG, 1);
    }
    net_run(network, NET_S);
    say_tag(0, HKB_WANT_OBSERVE, 0);
    net_run(network, NET_S);
    ck_assert_uint_eq(hub()->objects.count, OBJECTS);
    net_cut(the.hub->up);
    net_run(network, 3 * NET_S);
    ck_assert_uint_eq(hub()->objects.count, OBJECTS);
    say_tag(1, HKB_WANT_OBSERVE, 0);
    for (int i = 0; i < 2; i++) {
        hkb_link_end(&the.pipe[i]->peer[1]->link, HAKUBAN_ERR_CLOSED, "it is gone");
        net_run(network, NET_S / 10);
        ck_assert_uint_eq(hub()->objects.count, i ? 0 : OBJECTS);
    }
    for (int i = 0; i < OBJECTS; i++) {
        net_end(&exposed[i]);
    }
    net_free(network);
}
END_TEST

/* -- Peers that are away -- */

#define WITH_GRACE STRANGER_HELLO_AS("1", ",\"grace_ms\":60000")

static void put_objects(stranger *peer, const char *wants)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        stranger_put(peer, "[8,%s,\"%u\"]", wants, i);
    }
    stranger_say(peer);
    lone_pass(LONE_MS);
    stranger_hear(lone.exchange);
}

static void turn_after(uint64_t ns)
{
    lone.now_ns += ns;
    hkb_exchange_set_time(lone.exchange, lone.now_ns, (int64_t)lone.now_ns);
    lone_turn();
}

START_TEST(what_a_peer_served_that_stays_away_moves_a_few_objects_in_each_turn)
{
    stranger below, exposers[2];
    lone_begin();
    stranger_open(&below, lone.exchange, false);
    put_objects(&below, "1,0");
    stranger_open_with(&exposers[0], lone.exchange, false, WITH_GRACE);
    hkb_peer *first = exposers[0].peer;
    put_objects(&exposers[0], "2,1");
    stranger_open(&exposers[1], lone.exchange, false);
    put_objects(&exposers[1], "2,1");
    ck_assert_uint_eq(first->served_count, OBJECTS);
    stranger_leave(&exposers[0]);
    lone_pass(HKB_YIELD_NS - LONE_MS);
    ck_assert_uint_eq(first->served_count, OBJECTS);
    turn_after(2 * LONE_MS);
    for (size_t left = OBJECTS; first->served_count; lone_turn()) {
        ck_assert_uint_le(hkb_exchange_deadline(lone.exchange), lone.now_ns);
        ck_assert_uint_lt(left - first->served_count, IN_ONE_TURN);
        left = first->served_count;
    }
    ck_assert_uint_eq(exposers[1].peer->served_count, OBJECTS);
    stranger_leave(&exposers[1]);
    stranger_leave(&below);
    lone_pass(60 * LONE_S);
}
END_TEST

START_TEST(a_peer_that_comes_back_takes_a_few_objects_in_each_turn)
{
    stranger below, returning;
    char token[33] = "", hello[512];
    lone_begin();
    stranger_open_with(&returning, lone.exchange, false, WITH_GRACE);
    hkb_peer *peer = returning.peer;
    ck_assert(stranger_heard(&returning, "\"token\":\""));
    memcpy(token, strstr((const char *)returning.heard.data, "\"token\":\"") + 9, 32);
    put_objects(&returning, "2,1");
    stranger_leave(&returning);
    stranger_open(&below, lone.exchange, false);
    put_objects(&below, "1,0");
    ck_assert_uint_eq(peer->served_count, 0);
    snprintf(hello, sizeof(hello), "%.*s,\"token\":\"%s\",\"received\":%d}",
             (int)strlen(WITH_GRACE) - 1, WITH_GRACE, token, (int)peer->link.sent_bytes);
    stranger_open_with(&returning, lone.exchange, false, hello);
    ck_assert_ptr_eq(returning.peer, peer);
    for (size_t before = 0; peer->served_count < OBJECTS; lone_turn()) {
        ck_assert_uint_le(hkb_exchange_deadline(lone.exchange), lone.now_ns);
        ck_assert_uint_lt(peer->served_count - before, IN_ONE_TURN);
        before = peer->served_count;
    }
    stranger_leave(&returning);
    stranger_leave(&below);
    lone_pass(61 * LONE_S);
}
END_TEST

/* Observed, taken back and observed again before the first LISTED is there: it is not taken for the
 * second's. */
START_TEST(listed_belongs_to_the_observing_that_asked)
{
    net *network = net_new(2);
    net_node *root = net_add(network), *leaf = net_add(network);
    net_connect(leaf, root, NULL)->delay_ns = 200 * NET_MS;
    net_contract exposed = net_expose(root, "1", TAG, 1);
    watcher observer;
    net_run(network, 2 * NET_S);
    watch_tag(&observer, leaf, TAG);
    net_run(network, 50 * NET_MS);
    watch_end(&observer);
    net_run(network, 50 * NET_MS);
    watch_tag(&observer, leaf, TAG);
    net_run(network, 350 * NET_MS); /* the first one's has come, and the end of its streams */
    watch(&observer);
    ck_assert(!observer.listed);
    net_run(network, 200 * NET_MS);
    watch(&observer);
    ck_assert(observer.listed);
    ck_assert_uint_eq(observer.count, 1);
    ck_assert(observer.objects[0].open);
    watch_end(&observer);
    net_run(network, 2 * NET_S);
    hakuban_exchange_stats stats;
    hkb_exchange_count(net_enter(leaf), &stats);
    ck_assert_uint_eq(stats.tags, 0);
    net_end(&exposed);
    net_free(network);
}
END_TEST

/* -- Exposers: what they cannot get is not visited -- */

#define JOBS 1000u
#define VISITS_PER_TURN 256u

/* How many turns the passes take that are going on. */
static unsigned pass_turns(void)
{
    unsigned turns = 0;
    for (; !hkb_list_empty(&lone.exchange->passing); turns++) {
        lone_turn();
    }
    return turns;
}

static unsigned says(stranger *peer, const char *message)
{
    stranger_put(peer, "%s", message);
    stranger_say(peer);
    return pass_turns();
}

static size_t behind_divider(const hkb_tag *tag)
{
    size_t count = 0;
    for (const hkb_node *node = tag->divider.of_tag.next; node != &tag->objects.head;
         node = node->next) {
        count++;
    }
    return count;
}

static void wants_jobs(stranger *peer, unsigned begin, unsigned end)
{
    stranger_open(peer, lone.exchange, false);
    for (unsigned i = begin; i < end; i++) {
        stranger_put(peer, "[8,1,0,\"%u\",\"7\"]", i);
    }
    stranger_say(peer);
    lone_pass(LONE_MS);
}

START_TEST(the_third_exposer_and_later_ones_visit_no_object_that_has_an_exposer)
{
    enum { WORKERS = 5, ALL_TURNS = JOBS / VISITS_PER_TURN + 1 };
    stranger user, workers[WORKERS];
    lone_begin();
    wants_jobs(&user, 0, JOBS);
    for (size_t i = 0; i < WORKERS; i++) {
        stranger_open(&workers[i], lone.exchange, false);
        unsigned turns = says(&workers[i], "[9,2,1,\"7\"]");
        /* All are without an exposer first, and with the second each has a choice; the third finds
         * those of before behind the divider still. */
        ck_assert_uint_eq(turns, i < 3 ? ALL_TURNS : 1);
        ck_assert_uint_eq(behind_divider(lone_tag("7")), i < 2 ? JOBS : 0);
        lone_pass(3 * LONE_S);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        ck_assert_uint_eq(workers[i].peer->served_count, JOBS / WORKERS);
    }
    /* A change of the capacity, and an end, concern its own objects. */
    stranger *last = &workers[WORKERS - 1];
    ck_assert_uint_eq(last->peer->share_count, JOBS / WORKERS);
    ck_assert_uint_eq(says(last, "[9,2,2,\"7\"]"), 1);
    ck_assert_double_eq_tol(last->peer->load, JOBS / WORKERS / 2.0, 1);
    lone_pass(3 * LONE_S);
    size_t own = last->peer->share_count;
    ck_assert_uint_ge(own, JOBS / 3 - 5);
    ck_assert_uint_le(own, JOBS / 3 + 5);
    ck_assert_uint_eq(says(last, "[9,2,0,\"7\"]"), own / VISITS_PER_TURN + 1);
    lone_pass(LONE_S);
    ck_assert_uint_eq(last->peer->served_count, 0);
    for (size_t i = 0; i < WORKERS; i++) {
        stranger_leave(&workers[i]);
    }
    stranger_leave(&user);
}
END_TEST

START_TEST(a_new_exposer_takes_those_that_wait_though_others_pass_at_the_same_time)
{
    stranger user, full[3], observer, worker;
    lone_begin();
    wants_jobs(&user, 0, JOBS);
    for (size_t i = 0; i < 3; i++) {
        stranger_open(&full[i], lone.exchange, false);
        stranger_put(&full[i], "[10,0,100]"); /* its load limit */
        (void)says(&full[i], "[9,2,1,\"7\"]");
    }
    lone_pass(LONE_S);
    stranger_open(&observer, lone.exchange, false);
    stranger_put(&observer, "[9,1,0,\"7\"]");
    stranger_say(&observer);
    lone_turn();
    stranger_leave(&full[0]); /* its objects are unserved while a full pass goes on */
    stranger_open(&worker, lone.exchange, false);
    (void)says(&worker, "[9,2,1,\"7\"]");
    lone_pass(LONE_S);
    ck_assert_uint_eq(observer.peer->share_count, JOBS);
    ck_assert_uint_eq(worker.peer->served_count, JOBS - 200);
    stranger_leave(&full[1]);
    stranger_leave(&full[2]);
    stranger_leave(&observer);
    stranger_leave(&worker);
    stranger_leave(&user);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large tags");
    TCase *tcase = tcase_create("passes");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_large_tag_is_opened_a_few_objects_at_a_time);
    tcase_add_test(tcase, two_exposers_that_observe_it_take_turns);
    tcase_add_loop_test(tcase, what_is_said_last_holds, 0, 2);
    tcase_add_test(tcase, objects_may_come_and_go_meanwhile);
    tcase_add_test(tcase, a_peer_that_leaves_half_way_leaves_nothing);
    suite_add_tcase(suite, tcase);
    TCase *remembered = tcase_create("remembered");
    tcase_add_test(remembered, what_is_remembered_goes_with_the_last_observer);
    suite_add_tcase(suite, remembered);
    TCase *listed = tcase_create("listed");
    tcase_add_test(listed, listed_belongs_to_the_observing_that_asked);
    suite_add_tcase(suite, listed);
    TCase *exposers = lone_cases();
    tcase_add_test(exposers, the_third_exposer_and_later_ones_visit_no_object_that_has_an_exposer);
    tcase_add_test(exposers,
                   a_new_exposer_takes_those_that_wait_though_others_pass_at_the_same_time);
    tcase_add_test(exposers, what_a_peer_served_that_stays_away_moves_a_few_objects_in_each_turn);
    tcase_add_test(exposers, a_peer_that_comes_back_takes_a_few_objects_in_each_turn);
    suite_add_tcase(suite, exposers);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
