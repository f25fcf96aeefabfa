/* Looking into an exchange while others use it: nothing that stays is missed, what goes away while
 * one looks does no harm. */
#include "users.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECT "\"object\""
#define TAG "\"tag\""

static hakuban_object_info object_info(net_node *node, const char *object, const char *tag)
{
    hakuban_descriptor *name = net_descriptor(object, tag);
    const hkb_object *found = hkb_object_find(net_enter(node), name);
    hakuban_object_info info;
    ck_assert_ptr_nonnull(found);
    hkb_object_inspect(found, &info);
    hakuban_descriptor_unref(name);
    return info;
}

static void done(hakuban_object_info *info)
{
    hakuban_descriptor_unref(info->object);
    hakuban_state_unref(info->state);
}

START_TEST(an_object_tells_its_exposers_and_observers)
{
    net *network = net_new(1);
    net_node *hub = net_add(network), *a = net_add(network), *b = net_add(network);
    watcher observer;
    exposer producer;
    net_connect(a, hub, "name=pump");
    net_connect(b, hub, "name=screen,load-limit=5");
    expose_tag(&producer, a, TAG, 4);
    watch_object(&observer, b, OBJECT, TAG);
    net_quiet(network);
    expose(&producer, "{\"n\":1}");
    net_quiet(network);

    hakuban_object_info info = object_info(hub, OBJECT, TAG);
    ck_assert_int_eq(info.exposer, HAKUBAN_EXPOSER_DOWNSTREAM);
    ck_assert_str_eq(info.exposer_name, "pump");
    ck_assert_double_eq_tol(info.cost, 0.25, 1e-9);
    ck_assert_int_eq(info.freshness, HAKUBAN_LIVE);
    ck_assert_int_eq(info.source, HAKUBAN_SOURCE_ASSIGNED);
    ck_assert_uint_eq(info.link_observers, 1);
    ck_assert_uint_eq(info.link_exposers, 1);
    ck_assert(info.exists && info.needed && !info.handing_over);
    ck_assert_uint_eq(hakuban_state_data(info.state).bytes, 7);

    hakuban_cursor cursor = {{0, 0}};
    hakuban_object_link_info links[16];
    const hkb_object *object = hkb_object_find(hub->exchange, info.object);
    ck_assert_uint_eq(hkb_inspect_object_links(object, &cursor, links, 16), 2);
    size_t from = links[0].number == info.exposer_number ? 0 : 1;
    ck_assert(links[from].sink && !links[from].stream && links[from].tag_exposers == 1);
    ck_assert(links[1 - from].stream && links[1 - from].observes && !links[1 - from].sink);
    ck_assert_uint_eq(hkb_inspect_object_links(object, &cursor, links, 16), 0);
    done(&info);

    hkb_peer *peers[16];
    hakuban_link_info link;
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_uint_eq(hkb_inspect_links(hub->exchange, &cursor, peers, 16), 2);
    hkb_peer_inspect(peers[0], &link);
    ck_assert_str_eq(link.name, "pump");
    ck_assert(!link.upstream && link.phase == HAKUBAN_LINK_OPEN);
    ck_assert_double_eq_tol(link.load, 0.25, 1e-9);
    ck_assert(isinf(link.load_limit));
    ck_assert_uint_gt(link.bytes_in, 0);
    hkb_peer_inspect(peers[1], &link);
    ck_assert_double_eq_tol(link.load_limit, 5, 1e-9);
    ck_assert_uint_eq(hkb_inspect_links(hub->exchange, &cursor, peers, 16), 0);

    /* from the exposer's own side */
    info = object_info(a, OBJECT, TAG);
    ck_assert_int_eq(info.exposer, HAKUBAN_EXPOSER_LOCAL);
    ck_assert(info.exposer_by_tag && info.upstream_sink && !info.upstream_stream);
    done(&info);
    info = object_info(b, OBJECT, TAG);
    ck_assert_int_eq(info.exposer, HAKUBAN_EXPOSER_UPSTREAM);
    ck_assert(info.upstream_stream && info.observers == 1);
    done(&info);

    /* the exposer goes: the state stays, with its age */
    expose_end(&producer);
    net_run(network, 5 * NET_S);
    info = object_info(hub, OBJECT, TAG);
    ck_assert_int_eq(info.exposer, HAKUBAN_EXPOSER_NONE);
    ck_assert_int_eq(info.freshness, HAKUBAN_STALE);
    ck_assert_uint_ge(info.age_ns, 4 * NET_S);
    done(&info);

    /* a lost connection is away first, then gone */
    net_cut(b->up);
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_uint_eq(hkb_inspect_links(net_enter(hub), &cursor, peers, 16), 2);
    hkb_peer_inspect(peers[1], &link);
    ck_assert_str_eq(link.name, "screen");
    ck_assert_int_eq(link.phase, HAKUBAN_LINK_AWAY);
    net_run(network, 5 * NET_S);
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_uint_eq(hkb_inspect_links(net_enter(hub), &cursor, peers, 16), 1);
    watch_end(&observer);
    net_free(network);
}
END_TEST

/* Objects vanish and appear between the slices of a walk. */
START_TEST(what_vanishes_while_one_walks_does_no_harm)
{
    enum { COUNT = 3000, STAY = 300 };
    static net_contract contracts[COUNT];
    static unsigned told[COUNT];
    net *network = net_new(2);
    net_node *node = net_add(network);
    char name[16];
    memset(told, 0, sizeof(told));
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        contracts[i] = net_observe(node, name, TAG);
    }
    hakuban_cursor cursor = {{0, 0}};
    hkb_object *slice[64];
    size_t count;
    int left = COUNT;
    while ((count = hkb_inspect_objects(net_enter(node), &cursor, slice, 64)) > 0) {
        for (size_t i = 0; i < count; i++) {
            hakuban_object_info info;
            hkb_object_inspect(slice[i], &info);
            told[atol(hakuban_descriptor_json(info.object))]++;
            done(&info);
        }
        for (int k = 0; k < 150 && left > STAY; k++) {
            net_end(&contracts[--left]);
        }
        hkb_exchange_settle(node->exchange);
    }
    for (int i = 0; i < STAY; i++) {
        ck_assert_msg(told[i] >= 1, "object %d was there all the time and not told of", i);
    }

    /* the same for contracts, which come in order, each once */
    hakuban_contract *few[16];
    uint64_t next = 0;
    cursor = (hakuban_cursor){{0, 0}};
    while ((count = hkb_inspect_contracts(net_enter(node), &cursor, few, 16)) > 0) {
        for (size_t i = 0; i < count; i++) {
            hakuban_contract_info info;
            ck_assert_int_eq(hkb_contract_inspect(few[i], &info), HAKUBAN_OK);
            ck_assert_uint_ge(info.number, next);
            ck_assert(!info.exposes && !info.of_tag);
            next = info.number + 1;
            hakuban_descriptor_unref(info.subject);
        }
        for (int k = 0; k < 10 && left > 0; k++) {
            net_end(&contracts[--left]);
        }
        hkb_exchange_settle(node->exchange);
    }
    while (left > 0) {
        net_end(&contracts[--left]);
    }
    net_free(network);
}
END_TEST

START_TEST(tags_count_their_objects)
{
    net *network = net_new(3);
    net_node *node = net_add(network);
    net_contract one = net_observe(node, "1", TAG), two = net_observe(node, "2", TAG);
    net_contract all = net_expose_tag(node, TAG, 7);
    hakuban_cursor cursor = {{0, 0}};
    hkb_tag *tags[16];
    hakuban_tag_info info;
    ck_assert_uint_eq(hkb_inspect_tags(net_enter(node), &cursor, tags, 16), 1);
    ck_assert_int_eq(hkb_tag_inspect(tags[0], &info), HAKUBAN_OK);
    ck_assert_str_eq(hakuban_descriptor_json(info.tag), TAG);
    ck_assert_uint_eq(info.objects, 2);
    ck_assert_uint_eq(info.exposers, 1);
    ck_assert_uint_eq(info.capacity, 7);
    hakuban_descriptor_unref(info.tag);
    net_end(&two);
    net_quiet(network);
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_uint_eq(hkb_inspect_tags(net_enter(node), &cursor, tags, 16), 1);
    fail_alloc_arm(&node->memory, 1, false);
    ck_assert_int_eq(hkb_tag_inspect(tags[0], &info), HAKUBAN_ERR_NO_MEMORY);
    fail_alloc_arm(&node->memory, 0, false);
    ck_assert_int_eq(hkb_tag_inspect(tags[0], &info), HAKUBAN_OK);
    ck_assert_uint_eq(info.objects, 1);
    hakuban_descriptor_unref(info.tag);
    net_end(&one);
    net_end(&all);
    net_free(network);
}
END_TEST

START_TEST(tags_tell_which_links_registered_what)
{
    net *network = net_new(4);
    net_node *hub = net_add(network), *a = net_add(network), *b = net_add(network);
    net_connect(a, hub, NULL);
    net_connect(b, hub, NULL);
    net_contract exposed = net_expose_tag(a, TAG, 3), observed = net_observe_tag(b, TAG);
    net_quiet(network);
    hkb_tag *tag = hkb_tag_find(net_enter(hub), (hakuban_slice){TAG, strlen(TAG)});
    ck_assert_ptr_nonnull(tag);
    hakuban_cursor cursor = {{0, 0}};
    hakuban_tag_link_info links[16];
    ck_assert_uint_eq(hkb_inspect_tag_links(tag, &cursor, links, 16), 2);
    size_t of_a = links[0].number == 0 ? 0 : 1;
    ck_assert(links[of_a].exposes && !links[of_a].observes && links[of_a].capacity == 3);
    ck_assert(links[1 - of_a].observes && !links[1 - of_a].exposes);
    ck_assert_uint_eq(hkb_inspect_tag_links(tag, &cursor, links, 16), 0);
    ck_assert_ptr_null(hkb_tag_find(hub->exchange, (hakuban_slice){"7", 1}));
    net_end(&exposed);
    net_end(&observed);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect");
    TCase *cases = tcase_create("inspect");
    tcase_add_test(cases, an_object_tells_its_exposers_and_observers);
    tcase_add_test(cases, what_vanishes_while_one_walks_does_no_harm);
    tcase_add_test(cases, tags_count_their_objects);
    tcase_add_test(cases, tags_tell_which_links_registered_what);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
