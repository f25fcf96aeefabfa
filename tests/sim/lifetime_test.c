/* How long objects live, and what is left of them: objects that come and go by the million leave
 * nothing, a late observer gets the state at once, and the last known state stays, with its age. */
#include "exchange/records.h"
#include "users.h"

#include <check.h>
#include <stdio.h>

#define OBJECT "\"o\""
#define TAG "\"t\""
#define WAVE 1000
#if defined(__has_feature) /* clang's way to tell; gcc 12 does not know the word */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif
#ifdef SANITIZED
#define WAVES 50 /* all is many times slower */
#else
#define WAVES 1000
#endif

/* -- Objects that come and go -- */

/* A wave of exposers of objects of their own, in one queue. */
typedef struct wave {
    net_node *node;
    hakuban_queue *queue;
    hakuban_contract *contracts[WAVE];
} wave;

static void wave_begin(wave *at, net_node *node, unsigned first)
{
    at->node = node;
    net_enter(node);
    ck_assert_int_eq(hkb_queue_new(node->exchange, &at->queue), HAKUBAN_OK);
    for (unsigned i = 0; i < WAVE; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", first + i);
        hakuban_descriptor *descriptor = net_descriptor(name, TAG);
        ck_assert_int_eq(hkb_contract_new(node->exchange, HKB_EXPOSE_OBJECT, descriptor,
                                          (hakuban_slice){NULL, 0}, 1, at->queue, NULL,
                                          &at->contracts[i]),
                         HAKUBAN_OK);
        hakuban_descriptor_unref(descriptor);
    }
    hkb_exchange_settle(node->exchange);
}

/* Sends a state for each sink that has opened; how many those are. */
static unsigned wave_answer(wave *at)
{
    unsigned sent = 0;
    hakuban_event event;
    for (net_enter(at->node); hkb_queue_pop(at->queue, &event); net_enter(at->node)) {
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN) {
            ck_assert_int_eq(net_send(at->node, event.sink, hakuban_descriptor_json(event.object)),
                             HAKUBAN_OK);
            sent++;
        }
        hkb_event_done(&event);
    }
    return sent;
}

static void wave_end(wave *at)
{
    net_enter(at->node);
    for (unsigned i = 0; i < WAVE; i++) {
        hkb_contract_end(at->contracts[i]);
        hkb_contract_unref(at->contracts[i]);
    }
    hkb_queue_free(at->queue);
    hkb_exchange_settle(at->node->exchange);
}

/* Reads all events; how many of them were of this kind. */
static unsigned count_events(net_contract *reader, hakuban_event_kind kind)
{
    unsigned count = 0;
    hakuban_event event;
    net_enter(reader->node);
    while (hkb_queue_pop(reader->queue, &event)) {
        count += event.kind == kind;
        hkb_event_done(&event);
    }
    hkb_exchange_settle(reader->node->exchange);
    return count;
}

typedef struct memory_use {
    size_t blocks, bytes;
} memory_use;

static memory_use memory_of(const net *network)
{
    memory_use sum = {0};
    for (size_t i = 0; i < network->node_count; i++) {
        sum.blocks += network->nodes[i].memory.blocks;
        sum.bytes += network->nodes[i].memory.bytes;
    }
    return sum;
}

static void come_and_go(net *network, net_node *exposing, net_contract *reader, unsigned waves)
{
    static wave objects;
    memory_use before = {0};
    for (unsigned i = 0; i < waves; i++) {
        wave_begin(&objects, exposing, i * WAVE);
        net_quiet(network);
        ck_assert_uint_eq(wave_answer(&objects), WAVE);
        net_quiet(network);
        ck_assert_uint_eq(count_events(reader, HAKUBAN_EVENT_STATE), WAVE);
        wave_end(&objects);
        net_run(network, 300 * NET_MS); /* what was made for others to use is kept for 200 ms */
        ck_assert_uint_eq(count_events(reader, HAKUBAN_EVENT_CLOSE), WAVE);
        net_run(network, NET_S);
        memory_use now = memory_of(network);
        if (i == 1) {
            before = now;
        }
        ck_assert_msg(i < 2 || (now.blocks <= before.blocks && now.bytes <= before.bytes),
                      "after %u objects %zu blocks of %zu bytes, at first %zu of %zu",
                      (i + 1) * WAVE, now.blocks, now.bytes, before.blocks, before.bytes);
    }
}

START_TEST(a_million_objects_leave_nothing_in_an_exchange)
{
    net *network = net_new(1);
    net_node *alone = net_add(network);
    memory_use empty = memory_of(network);
    net_contract reader = net_observe_tag(alone, TAG);
    come_and_go(network, alone, &reader, WAVES);
    net_end(&reader);
    net_run(network, 3 * NET_S);
    memory_use left = memory_of(network);
    ck_assert_uint_eq(left.blocks, empty.blocks);
    hakuban_exchange_stats stats;
    hkb_exchange_count(net_enter(alone), &stats);
    ck_assert_uint_eq(stats.objects + stats.tags + stats.contracts, 0);
    net_free(network);
}
END_TEST

START_TEST(objects_leave_nothing_in_hubs_and_at_both_ends)
{
    net *network = net_new(2);
    net_node *root = net_add(network), *hub = net_add(network), *exposing = net_add(network),
             *observing = net_add(network);
    net_connect(hub, root, NULL);
    net_connect(exposing, root, NULL);
    net_connect(observing, hub, NULL);
    net_contract reader = net_observe_tag(observing, TAG);
    net_quiet(network);
    come_and_go(network, exposing, &reader, WAVES / 10);
    net_end(&reader);
    net_run(network, 3 * NET_S);
    for (size_t i = 0; i < network->node_count; i++) {
        hakuban_exchange_stats stats;
        hkb_exchange_count(net_enter(&network->nodes[i]), &stats);
        ck_assert_uint_eq(stats.objects + stats.tags + stats.contracts, 0);
    }
    net_free(network);
}
END_TEST

/* -- Late observers -- */

typedef struct tree {
    net *network;
    net_node *root, *hub[2], *exposing, *observing, *late;
    exposer producer;
    watcher observer;
} tree;

#define DELAY_NS (10 * NET_MS)

/* exposing - hub[0] - root - hub[1] - observing, late; each connection takes DELAY_NS. */
static tree tree_new(uint64_t seed)
{
    tree made = {.network = net_new(seed)};
    net_node **const nodes[] = {&made.root,     &made.hub[0],    &made.hub[1],
                                &made.exposing, &made.observing, &made.late};
    for (size_t i = 0; i < HKB_COUNT(nodes); i++) {
        *nodes[i] = net_add(made.network);
    }
    net_node *const links[][2] = {{made.hub[0], made.root},
                                  {made.hub[1], made.root},
                                  {made.exposing, made.hub[0]},
                                  {made.observing, made.hub[1]},
                                  {made.late, made.hub[1]}};
    for (size_t i = 0; i < HKB_COUNT(links); i++) {
        net_connect(links[i][0], links[i][1], NULL)->delay_ns = DELAY_NS;
    }
    net_run(made.network, NET_S);
    watch_object(&made.observer, made.observing, OBJECT, TAG);
    expose_object(&made.producer, made.exposing, OBJECT, TAG, 1);
    expose(&made.producer, "state");
    for (int i = 0; i < 3; i++) {
        net_run(made.network, NET_S);
        expose_turn(&made.producer);
    }
    return made;
}

static void tree_free(tree *at)
{
    watch_end(&at->observer);
    expose_end(&at->producer);
    net_free(at->network);
}

/* How long it takes until an observer that begins now has the state; *ret_bytes: how many bytes it
 * was sent for that. */
static uint64_t time_until_state(net *network, net_node *node, bool by_tag, uint64_t *ret_bytes)
{
    watcher late;
    uint64_t begin_ns = network->now_ns;
    uint64_t before_bytes = node->up->written[1];
    if (by_tag) {
        watch_tag(&late, node, TAG);
    } else {
        watch_object(&late, node, OBJECT, TAG);
    }
    const seen_object *shown;
    while (!(shown = watched(&late, OBJECT)) || !shown->states) {
        net_run(network, NET_MS / 10);
        ck_assert_uint_lt(network->now_ns - begin_ns, 10 * NET_S);
    }
    ck_assert_str_eq(shown->text, "state");
    ck_assert_int_eq(shown->freshness, HAKUBAN_LIVE);
    ck_assert_uint_eq(shown->states, 1);
    *ret_bytes = node->up->written[1] - before_bytes;
    uint64_t took_ns = network->now_ns - begin_ns;
    watch_end(&late);
    net_run(network, NET_S);
    return took_ns;
}

START_TEST(a_late_observer_of_a_live_object_has_its_state_in_one_round_trip)
{
    tree at = tree_new(3);
    uint64_t exposer_bytes[2] = {at.exposing->up->written[0], at.exposing->up->written[1]};
    uint64_t root_bytes = at.hub[1]->up->written[0], bytes;
    for (int by_tag = 0; by_tag < 2; by_tag++) {
        uint64_t took_ns = time_until_state(at.network, at.late, by_tag, &bytes);
        ck_assert_uint_ge(took_ns, 2 * DELAY_NS);
        ck_assert_uint_le(took_ns, 2 * DELAY_NS + NET_MS / 10);
        /* The object's name, its state and what goes with them; JSON takes more than msgpack. */
        ck_assert_uint_le(bytes, 96);
        if (by_tag) {
            continue; /* a tag is asked for upwards: there may be more of its objects */
        }
        ck_assert_uint_eq(at.hub[1]->up->written[0], root_bytes);
    }
    /* The exposer was not asked. */
    ck_assert_uint_eq(at.exposing->up->written[0], exposer_bytes[0]);
    ck_assert_uint_eq(at.exposing->up->written[1], exposer_bytes[1]);
    tree_free(&at);
}
END_TEST

/* The state of an object without an observer is current at its exposer only: it takes the way there
 * and back. The last known state comes before. */
START_TEST(the_first_observer_waits_for_the_way_to_the_exposer_and_back)
{
    tree at = tree_new(4);
    uint64_t bytes;
    watch_end(&at.observer);
    net_run(at.network, NET_S);
    expose_turn(&at.producer);
    ck_assert_uint_eq(at.producer.open_count, 0);
    watcher first;
    uint64_t begin_ns = at.network->now_ns;
    watch_object(&first, at.late, OBJECT, TAG);
    uint64_t known_ns = 0;
    const seen_object *shown;
    while (!(shown = watched(&first, OBJECT)) || shown->freshness != HAKUBAN_LIVE) {
        if (shown && shown->freshness == HAKUBAN_STALE && !known_ns) {
            known_ns = at.network->now_ns - begin_ns;
        }
        net_run(at.network, NET_MS / 10);
        expose_turn(&at.producer);
        ck_assert_uint_lt(at.network->now_ns - begin_ns, 10 * NET_S);
    }
    ck_assert_uint_le(at.network->now_ns - begin_ns, 8 * DELAY_NS + NET_MS);
    ck_assert_uint_gt(known_ns, 0);
    ck_assert_uint_le(known_ns, 4 * DELAY_NS + NET_MS);
    ck_assert_uint_le(time_until_state(at.network, at.observing, false, &bytes),
                      2 * DELAY_NS + NET_MS / 10);
    watch_end(&first);
    watch_object(&at.observer, at.observing, OBJECT, TAG);
    tree_free(&at);
}
END_TEST

/* -- What was last known -- */

static void assert_stale(watcher *user, uint64_t age_ns, uint64_t slack_ns)
{
    const seen_object *shown = watched(user, OBJECT);
    ck_assert_ptr_nonnull(shown);
    ck_assert(shown->open);
    ck_assert_str_eq(shown->text, "state");
    ck_assert_int_eq(shown->freshness, HAKUBAN_STALE);
    ck_assert_int_eq(shown->source, HAKUBAN_SOURCE_NONE);
    ck_assert_msg(shown->age_ns + slack_ns >= age_ns && shown->age_ns <= age_ns + slack_ns,
                  "the age is said to be %.3f s and is %.3f s", (double)shown->age_ns / 1e9,
                  (double)age_ns / 1e9);
}

/* How each end of a way to the exposer is seen four connections away, at once and by an observer
 * that begins half a minute later. */
START_TEST(what_was_last_known_stays_with_its_age_through_two_hubs)
{
    enum { CONTRACT_ENDS, EXPOSER_IS_CUT, ITS_HUB_IS_CUT, OWN_HUB_IS_CUT, EXPOSER_IS_SILENT };
    tree at = tree_new(5);
    net *network = at.network;
    net_node *children[] = {NULL, at.exposing, at.hub[0], at.hub[1], at.exposing};
    net_node *parents[] = {NULL, at.hub[0], at.root, at.root, at.hub[0]};
    net_node *child = children[_i], *parent = parents[_i];
    /* Each side counts from the last byte it got; what is at the loser's end of the link is what
     * observers get to know. */
    uint64_t last_ns = network->now_ns;
    if (_i == CONTRACT_ENDS) {
        expose_end(&at.producer);
        last_ns += 2 * DELAY_NS; /* half-way, it travels: the end is when the hub hears of it */
        net_run(network, NET_S);
    } else {
        net_pipe *pipe = child->up;
        int observers_end = _i == OWN_HUB_IS_CUT ? 0 : 1;
        net_run(network, NET_S);
        last_ns = pipe->read_ns[observers_end];
        if (_i == EXPOSER_IS_SILENT) {
            pipe->stalled[0] = pipe->stalled[1] = true;
            net_run(network, 60 * NET_S);
        } else {
            net_run(network, 7 * NET_S);
            last_ns = pipe->read_ns[observers_end];
            net_cut(pipe);
            net_run(network, 3 * NET_S);
        }
    }
    /* Ages are as of the event; nothing happened since it came. */
    watcher late;
    uint64_t told_ns = watched(&at.observer, OBJECT)->age_ns;
    ck_assert_int_eq(watched(&at.observer, OBJECT)->freshness, HAKUBAN_STALE);
    ck_assert_uint_le(told_ns, network->now_ns - last_ns + 5 * DELAY_NS);
    net_run(network, 30 * NET_S);
    watch_object(&late, at.late, OBJECT, TAG);
    net_run(network, 10 * DELAY_NS);
    assert_stale(&late, network->now_ns - last_ns, 12 * DELAY_NS);
    hakuban_event peeked;
    net_enter(at.observing);
    ck_assert_int_eq(hkb_contract_peek(at.observer.contract.contract, NULL, &peeked), HAKUBAN_OK);
    ck_assert_uint_le(peeked.age_ns, network->now_ns - last_ns + 5 * DELAY_NS);
    ck_assert_uint_ge(peeked.age_ns + 5 * DELAY_NS, network->now_ns - last_ns);
    hkb_event_done(&peeked);

    /* And it comes back to life. */
    if (_i == CONTRACT_ENDS) {
        expose_object(&at.producer, at.exposing, OBJECT, TAG, 1);
    } else {
        net_connect(child, parent, NULL)->delay_ns = DELAY_NS;
    }
    expose(&at.producer, "again");
    for (int i = 0; i < 3; i++) {
        net_run(network, NET_S);
        expose_turn(&at.producer);
    }
    ck_assert_str_eq(watched(&late, OBJECT)->text, "again");
    ck_assert_int_eq(watched(&late, OBJECT)->freshness, HAKUBAN_LIVE);
    ck_assert_int_eq(watched(&at.observer, OBJECT)->freshness, HAKUBAN_LIVE);
    watch_end(&late);
    tree_free(&at);
}
END_TEST

/* A router has a state that became STALE an hour, or 60 days, ago. A hub starts on a host that has
 * been up for twelve minutes, and a leaf on one that has been up for a second. */
START_TEST(an_age_is_right_on_a_host_that_is_younger)
{
    uint64_t age_ns = (_i ? 1440u : 1u) * 3600 * NET_S;
    net *network = net_new(7);
    net_node *root = net_add(network);
    watcher early, at_hub, at_leaf;
    exposer producer, silent;
    watch_object(&early, root, OBJECT, TAG);
    expose_object(&producer, root, OBJECT, TAG, 1);
    expose(&producer, "state");
    expose_turn(&producer);
    expose_end(&producer);
    net_run(network, age_ns);
    network->uptime_ns = 720 * NET_S;
    net_node *hub = net_add(network);
    network->uptime_ns = NET_S;
    net_node *leaf = net_add(network);
    net_connect(hub, root, NULL);
    net_connect(leaf, hub, NULL);
    watch_object(&at_hub, hub, OBJECT, TAG);
    watch_object(&at_leaf, leaf, OBJECT, TAG);
    net_quiet(network);
    assert_stale(&at_hub, age_ns, NET_S);
    assert_stale(&at_leaf, age_ns, NET_S);
    /* An exposer that says nothing comes and goes: the hub still knows how old the state is. */
    expose_object(&silent, hub, OBJECT, TAG, 1);
    net_quiet(network);
    expose_turn(&silent);
    expose_end(&silent);
    net_quiet(network);
    assert_stale(&at_hub, age_ns, NET_S);
    assert_stale(&at_leaf, age_ns, NET_S);
    watch_end(&at_leaf);
    watch_end(&at_hub);
    watch_end(&early);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lifetime");
    TCase *cases = tcase_create("lifetime");
    tcase_set_timeout(cases, 110);
    tcase_add_test(cases, a_million_objects_leave_nothing_in_an_exchange);
    tcase_add_test(cases, objects_leave_nothing_in_hubs_and_at_both_ends);
    tcase_add_test(cases, a_late_observer_of_a_live_object_has_its_state_in_one_round_trip);
    tcase_add_test(cases, the_first_observer_waits_for_the_way_to_the_exposer_and_back);
    tcase_add_loop_test(cases, what_was_last_known_stays_with_its_age_through_two_hubs, 0, 5);
    tcase_add_loop_test(cases, an_age_is_right_on_a_host_that_is_younger, 0, 2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
