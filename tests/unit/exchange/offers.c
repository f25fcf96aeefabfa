/* Load limits, and load that spreads over hubs. */
#include "users.h"

#include <check.h>
#include <stdio.h>

#define TAG "\"tag\""

/* The limit is heard before the first contract, however the bytes arrive. */
START_TEST(a_load_limit_holds_from_the_first_contract_on)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        net *network = net_new(seed);
        net_node *hub = net_add(network), *worker_node = net_add(network);
        net_node *observer_node = net_add(network);
        static watcher observers[8];
        exposer worker;
        network->chunk_bytes_max = 1 + (size_t)net_below(network, 8);
        net_connect(observer_node, hub, NULL);
        for (int i = 0; i < 8; i++) {
            char name[16];
            snprintf(name, sizeof(name), "%d", i);
            watch_object(&observers[i], observer_node, name, TAG);
        }
        expose_tag(&worker, worker_node, TAG, 1);
        net_quiet(network);
        net_connect(worker_node, hub, "load-limit=3");
        net_run(network, 3 * NET_S);
        expose_turn(&worker);
        ck_assert_uint_eq(worker.open_count, 3);
        for (int i = 0; i < 8; i++) {
            watch_end(&observers[i]);
        }
        expose_end(&worker);
        net_free(network);
    }
}
END_TEST

START_TEST(a_load_limit_of_whole_objects_is_not_lost_to_rounding)
{
    net *network = net_new(5);
    net_node *hub = net_add(network), *worker_node = net_add(network);
    static watcher observers[40];
    exposer worker;
    net_connect(worker_node, hub, "load-limit=3");
    expose_tag(&worker, worker_node, TAG, 10);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], hub, name, TAG);
    }
    net_run(network, 3 * NET_S);
    expose_turn(&worker);
    ck_assert_uint_eq(worker.open_count, 30);
    for (int i = 0; i < 40; i++) {
        watch_end(&observers[i]);
    }
    expose_end(&worker);
    net_free(network);
}
END_TEST

/* Two workers behind one hub and one behind another share as three, and then it rests. */
START_TEST(load_spreads_over_hubs_and_comes_to_rest)
{
    net *network = net_new(21);
    net_node *root = net_add(network), *observer_node = net_add(network), *middle[2];
    static watcher observers[60];
    static exposer workers[3];
    net_connect(observer_node, root, NULL);
    for (int i = 0; i < 2; i++) {
        middle[i] = net_add(network);
        net_connect(middle[i], root, NULL);
    }
    for (int i = 0; i < 3; i++) {
        net_node *leaf = net_add(network);
        net_connect(leaf, middle[i / 2], NULL);
        expose_tag(&workers[i], leaf, TAG, 1);
        expose(&workers[i], "x");
        net_run(network, 300 * NET_MS);
    }
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        watch_object(&observers[i], observer_node, name, TAG);
    }
    unsigned opens[2] = {0, 0};
    for (int phase = 0; phase < 2; phase++) {
        for (int t = 0; t < 150; t++) {
            net_run(network, 100 * NET_MS);
            for (int i = 0; i < 3; i++) {
                expose_turn(&workers[i]);
            }
        }
        for (int i = 0; i < 3; i++) {
            for (size_t k = 0; k < workers[i].count; k++) {
                opens[phase] += workers[i].objects[k].opens;
            }
        }
    }
    ck_assert_uint_eq(opens[0], opens[1]);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ge(workers[i].open_count, 18);
        ck_assert_uint_le(workers[i].open_count, 22);
    }
    for (int i = 0; i < 60; i++) {
        watch_end(&observers[i]);
    }
    for (int i = 0; i < 3; i++) {
        expose_end(&workers[i]);
    }
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *cases = tcase_create("load");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_load_limit_holds_from_the_first_contract_on);
    tcase_add_test(cases, a_load_limit_of_whole_objects_is_not_lost_to_rounding);
    tcase_add_test(cases, load_spreads_over_hubs_and_comes_to_rest);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
