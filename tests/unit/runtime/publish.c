/* Statistics as objects: there while they are asked for, about everything but themselves, made no
 * more often than once a second, and gone without a trace. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include "fail_alloc.h"

#define STATS "\"stats\""
#define OWN "{\"statistics\":\"here\"}"

static const hakuban_drive drives[] = {HAKUBAN_DRIVE_THREAD, HAKUBAN_DRIVE_MANUAL};

static hakuban_publisher *publish(hakuban_exchange *exchange, const char *name, uint32_t max)
{
    hakuban_stats_options options = {.size = sizeof(options), .name = name, .subjects_max = max};
    hakuban_publisher *publisher = NULL;
    hakuban_error error = {0};
    ck_assert_msg(hakuban_exchange_publish_stats(exchange, STATS, &options, &publisher, &error) ==
                      HAKUBAN_OK,
                  "%s", error.text);
    return publisher;
}

static hakuban_contract *observe_statistic(hakuban_exchange *exchange, const char *json)
{
    const char *tags[] = {STATS, OWN};
    hakuban_descriptor *name = NULL;
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, json, tags, 2, &name, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_observe_object(exchange, name, NULL, &contract), HAKUBAN_OK);
    (void)hakuban_descriptor_unref(name);
    return contract;
}

static hakuban_contract *observe_all(hakuban_exchange *exchange)
{
    hakuban_contract *contract = NULL;
    ck_assert_int_eq(hakuban_observe_tag(exchange, STATS, NULL, &contract, NULL), HAKUBAN_OK);
    return contract;
}

/* The next state with piece in it, into out. */
static void await_piece(const exchange_pair *pair, hakuban_contract *contract, const char *piece,
                        char out[1000])
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    for (;;) {
        hakuban_event event;
        ck_assert_msg(test_now_ms() < until_ms, "no state with %s", piece);
        ck_assert_int_eq(pair_next(pair, hakuban_contract_queue(contract), PATIENCE_MS, &event),
                         HAKUBAN_OK);
        out[0] = '\0';
        if (event.kind == HAKUBAN_EVENT_STATE && event.freshness == HAKUBAN_LIVE) {
            hakuban_slice data = hakuban_state_data(event.state);
            (void)snprintf(out, 1000, "%.*s", (int)data.bytes, (const char *)data.data);
        }
        hakuban_event_done(&event);
        if (strstr(out, piece)) {
            return;
        }
    }
}

static uint64_t objects_in(hakuban_exchange *exchange)
{
    hakuban_exchange_stats stats;
    hakuban_exchange_query(exchange, &stats);
    return stats.objects;
}

static void await_objects(const exchange_pair *pair, uint64_t count)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (objects_in(pair->hub) != count) {
        ck_assert_msg(test_now_ms() < until_ms, "%llu objects, not %llu",
                      (unsigned long long)objects_in(pair->hub), (unsigned long long)count);
        pair_step(pair, 100);
    }
}

START_TEST(an_object_is_described_while_its_description_is_observed)
{
    exchange_pair pair = {.drive = drives[_i]};
    char text[1000];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    hakuban_publisher *publisher = publish(pair.hub, "here", 0);
    ck_assert_str_eq(hakuban_publisher_name(publisher), "here");
    hakuban_contract *reader = observe(pair.hub, "[1, \"]}\"]", NULL);
    hakuban_contract *looker =
        observe_statistic(pair.hub, "{\"tags\": [], \"object\": [1,\"]}\"]}");
    await_piece(&pair, looker, "\"exists\":true", text);
    ck_assert_ptr_nonnull(strstr(text, "\"exposer\":null"));
    ck_assert_ptr_nonnull(strstr(text, "\"observers\":{\"local\":1,"));
    hakuban_contract *writer = expose(pair.hub, "[1, \"]}\"]", NULL);
    hakuban_sink *sink = await_sink(&pair, writer);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"four\"", NULL), HAKUBAN_OK);
    await_piece(&pair, looker, "\"bytes\":6", text);
    ck_assert_ptr_nonnull(strstr(text, "\"exposer\":{\"kind\":\"local\",\"by_tag\":false}"));
    ck_assert_ptr_nonnull(strstr(text, "\"freshness\":\"live\""));
    ck_assert_ptr_nonnull(strstr(text, "\"version\":[0,"));
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    await_piece(&pair, looker, "\"freshness\":\"stale\"", text);
    ck_assert_ptr_nonnull(strstr(text, "\"stale_since_ms\":"));
    (void)hakuban_contract_free(reader);
    await_piece(&pair, looker, "{\"exists\":false}", text);
    (void)hakuban_contract_free(looker);
    ck_assert_ptr_null(hakuban_publisher_free(publisher));
    await_objects(&pair, 0);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(all_are_there_only_while_all_are_observed)
{
    exchange_pair pair = {.drive = drives[_i]};
    char text[1000];
    hakuban_contract *readers[300];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%d", i);
        readers[i] = observe(pair.hub, name, NULL);
    }
    hakuban_publisher *publisher = publish(pair.hub, "here", 0);
    await_objects(&pair, 302);
    for (int again = 0; again < 2; again++) {
        hakuban_contract *all = observe_all(pair.hub);
        await_piece(&pair, all, "{\"links\":0,\"objects\":300,\"published\":300,\"left_out\":0}",
                    text);
        ck_assert_uint_eq(objects_in(pair.hub), 602); /* no statistics of statistics */
        (void)hakuban_contract_free(all);
        await_objects(&pair, 302);
    }
    for (int i = 0; i < 300; i++) {
        (void)hakuban_contract_free(readers[i]);
    }
    (void)hakuban_publisher_free(publisher);
    await_objects(&pair, 0);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(what_is_over_the_limit_is_counted_and_told_on_request)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    char text[1000], name[4090];
    hakuban_contract *readers[51];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        readers[i] = observe(pair.hub, name, NULL);
    }
    hakuban_publisher *publisher = publish(pair.hub, "here", 20);
    hakuban_contract *all = observe_all(pair.hub);
    await_piece(&pair, all, "{\"links\":0,\"objects\":50,\"published\":20,\"left_out\":30}", text);
    ck_assert_uint_eq(objects_in(pair.hub), 50 + 2 + 20);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "{\"object\":%d,\"tags\":[]}", i);
        hakuban_contract *looker = observe_statistic(pair.hub, name);
        await_piece(&pair, looker, "\"exists\":true", text);
        (void)hakuban_contract_free(looker);
    }
    /* a name that has no room for what says that it is one */
    for (int i = 1; i < 50; i++) {
        (void)hakuban_contract_free(readers[i]);
    }
    memset(name, 'x', sizeof(name));
    name[0] = name[4080] = '"';
    name[4081] = '\0';
    readers[50] = observe(pair.hub, name, NULL);
    await_piece(&pair, all, "{\"links\":0,\"objects\":2,\"published\":1,\"left_out\":1}", text);
    (void)hakuban_contract_free(readers[0]);
    (void)hakuban_contract_free(readers[50]);
    (void)hakuban_contract_free(all);
    (void)hakuban_publisher_free(publisher);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* An object that changes a thousand times a second, and its statistic. */
START_TEST(a_statistic_is_made_once_a_second_at_most)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    hakuban_publisher *publisher = publish(pair.hub, "here", 0);
    hakuban_contract *reader = observe(pair.hub, "1", NULL), *writer = expose(pair.hub, "1", NULL);
    hakuban_contract *looker = observe_statistic(pair.hub, "{\"object\":1,\"tags\":[]}");
    hakuban_contract *silent = observe_statistic(pair.hub, "{\"object\":2,\"tags\":[]}");
    hakuban_sink *sink = await_sink(&pair, writer);
    int64_t began_ms = test_now_ms(), now_ms;
    unsigned states = 0, silent_states = 0;
    while ((now_ms = test_now_ms()) < began_ms + 3500) {
        hakuban_event event;
        ck_assert_int_eq(hakuban_sink_send_json(sink, now_ms % 2 ? "1" : "23", NULL), HAKUBAN_OK);
        pair_step(&pair, 1);
        while (hakuban_contract_next(looker, 0, &event) == HAKUBAN_OK) {
            states += event.kind == HAKUBAN_EVENT_STATE;
            hakuban_event_done(&event);
        }
        while (hakuban_contract_next(silent, 0, &event) == HAKUBAN_OK) {
            silent_states += event.kind == HAKUBAN_EVENT_STATE;
            hakuban_event_done(&event);
        }
    }
    int64_t took_ms = test_now_ms() - began_ms;
    ck_assert_uint_ge(states, 2);
    ck_assert_int_le(states, 2 + took_ms / 1000);
    ck_assert_uint_eq(silent_states, 1); /* nothing new about it */
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(looker);
    (void)hakuban_contract_free(silent);
    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_publisher_free(publisher);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* The observer is above, and the upstream has statistics of its own under the same tag. */
START_TEST(statistics_of_two_exchanges_meet_in_a_tree)
{
    exchange_pair pair = {.drive = drives[_i]};
    char text[1000], url[200];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    hakuban_listener *listener = listen_at(pair.hub, listen_url(2, url));
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    hakuban_publisher *above = publish(pair.hub, "above", 0), *here = publish(pair.leaf, "here", 0);
    hakuban_contract *reader = observe(pair.leaf, "1", NULL);
    hakuban_contract *all = observe_all(pair.hub);
    bool subjects[2] = {false, false};
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    while (!subjects[0] || !subjects[1]) {
        ck_assert_int_lt(test_now_ms(), until_ms);
        hakuban_event event;
        ck_assert_int_eq(pair_next(&pair, hakuban_contract_queue(all), PATIENCE_MS, &event),
                         HAKUBAN_OK);
        if (event.kind == HAKUBAN_EVENT_STATE) {
            hakuban_slice data = hakuban_state_data(event.state);
            const char *own = strstr(hakuban_descriptor_tag(event.object, 0), "{")
                                  ? hakuban_descriptor_tag(event.object, 0)
                                  : hakuban_descriptor_tag(event.object, 1);
            (void)snprintf(text, sizeof(text), "%.*s", (int)data.bytes, (const char *)data.data);
            if (strstr(text, "\"links\":1,\"objects\":1,\"published\":2")) {
                subjects[strstr(own, "here") != NULL] = true;
            }
        }
        hakuban_event_done(&event);
    }
    hakuban_contract *looker = observe_statistic(pair.hub, "{\"upstream\":0}");
    await_piece(&pair, looker, "\"phase\":\"open\"", text);
    /* what exposes statistics costs its link nothing that counts */
    hakuban_cursor cursor = {{0, 0}};
    hakuban_link_info links[16];
    size_t count = 0;
    ck_assert_int_eq(hakuban_inspect_links(pair.hub, &cursor, links, 16, &count), HAKUBAN_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_double_lt(links[0].load, 0.001);
    (void)hakuban_contract_free(looker);
    (void)hakuban_contract_free(all);
    (void)hakuban_contract_free(reader);
    (void)hakuban_publisher_free(here);
    (void)hakuban_publisher_free(above);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(names_that_mean_nothing_get_no_state)
{
    static const char *const names[] = {"1",
                                        "\"exchanges\"",
                                        "{}",
                                        "{\"downstream\":-1}",
                                        "{\"downstream\":1.0}",
                                        "{\"downstream\":1,\"x\":2}",
                                        "{\"object\":1}",
                                        "{\"object\":1,\"tags\":2}",
                                        "{\"object\":1,\"tags\":[],\"x\":3}",
                                        "[]",
                                        "{\"object\":1,\"tag\":[]}",
                                        "null"};
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_contract *lookers[sizeof(names) / sizeof(names[0])];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    hakuban_publisher *publisher = publish(pair.hub, "here", 0);
    char text[1000];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        lookers[i] = observe_statistic(pair.hub, names[i]);
    }
    hakuban_contract *good = observe_statistic(pair.hub, "\"exchange\"");
    await_piece(&pair, good, "\"objects\":", text);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        hakuban_event event;
        while (hakuban_contract_next(lookers[i], 0, &event) == HAKUBAN_OK) {
            ck_assert_msg(event.kind != HAKUBAN_EVENT_STATE, "%s has a state", names[i]);
            hakuban_event_done(&event);
        }
        (void)hakuban_contract_free(lookers[i]);
    }
    (void)hakuban_contract_free(good);
    (void)hakuban_publisher_free(publisher);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(wrong_arguments_are_said_in_words)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    hakuban_publisher *publisher = NULL;
    hakuban_error error = {0};
    hakuban_stats_options options = {.size = sizeof(options)};
    char longest[66];
    memset(longest, 'n', 65);
    longest[65] = '\0';
    ck_assert_int_eq(hakuban_exchange_publish_stats(NULL, STATS, NULL, &publisher, NULL),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, NULL, NULL, &publisher, NULL),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, "stats", NULL, &publisher, &error),
                     HAKUBAN_ERR_PARSE);
    ck_assert_uint_eq(error.column, 1);
    options.name = longest;
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, STATS, &options, &publisher, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "64"));
    options.name = "\xff";
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, STATS, &options, &publisher, &error),
                     HAKUBAN_ERR_ARGUMENT);
    options.name = "x";
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, "{\"statistics\":\"x\"}", &options,
                                                    &publisher, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_uint_eq(objects_in(pair.hub), 0);
    ck_assert_ptr_null(publisher);
    ck_assert_ptr_null(hakuban_publisher_free(NULL));
    ck_assert_int_eq(hakuban_exchange_close(pair.hub, 0), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_publish_stats(pair.hub, STATS, NULL, &publisher, &error),
                     HAKUBAN_ERR_CLOSED);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* Each allocation of the whole fails in turn, once and for good: errors, or fewer statistics, and
 * nothing lost. */
START_TEST(without_memory_there_are_fewer_statistics_and_no_harm)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        bool failed = true;
        for (size_t n = 1; failed; n++) {
            fail_alloc memory;
            fail_alloc_init(&memory);
            exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
            pair.hub = exchange_make(pair.drive, &memory.table, "hub");
            hakuban_contract *reader = observe(pair.hub, "1", NULL), *all = observe_all(pair.hub);
            hakuban_publisher *publisher = NULL;
            fail_alloc_arm(&memory, n, for_good);
            hakuban_status status =
                hakuban_exchange_publish_stats(pair.hub, STATS, NULL, &publisher, NULL);
            ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_NO_MEMORY);
            for (int i = 0; i < 20; i++) {
                hakuban_event event;
                ck_assert_int_eq(hakuban_exchange_turn(pair.hub), HAKUBAN_OK);
                (void)poll(NULL, 0, 1);
                while (hakuban_contract_next(all, 0, &event) == HAKUBAN_OK) {
                    hakuban_event_done(&event);
                }
            }
            failed = fail_alloc_failed(&memory);
            fail_alloc_arm(&memory, 0, false);
            (void)hakuban_publisher_free(publisher);
            (void)hakuban_contract_free(all);
            (void)hakuban_contract_free(reader);
            (void)hakuban_exchange_free(pair.hub);
            ck_assert_uint_eq(memory.blocks, 0);
        }
    }
}
END_TEST

START_TEST(statistics_end_while_they_are_observed)
{
    for (int i = 0; i < 50; i++) {
        exchange_pair pair = {.drive = HAKUBAN_DRIVE_THREAD};
        pair.hub = exchange_make(pair.drive, NULL, "hub");
        hakuban_contract *all = observe_all(pair.hub), *reader = observe(pair.hub, "1", NULL);
        hakuban_publisher *publisher = publish(pair.hub, NULL, 0);
        ck_assert_uint_eq(strlen(hakuban_publisher_name(publisher)), 16);
        if (i % 2) {
            hakuban_event event;
            pair_await(&pair, hakuban_contract_queue(all), HAKUBAN_EVENT_STATE, &event);
            hakuban_event_done(&event);
        }
        (void)hakuban_publisher_free(publisher);
        (void)hakuban_contract_free(reader);
        (void)hakuban_contract_free(all);
        (void)hakuban_exchange_free(pair.hub);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("publish");
    TCase *cases = tcase_create("publish");
    tcase_add_loop_test(cases, an_object_is_described_while_its_description_is_observed, 0, 2);
    tcase_add_loop_test(cases, all_are_there_only_while_all_are_observed, 0, 2);
    tcase_add_test(cases, what_is_over_the_limit_is_counted_and_told_on_request);
    tcase_add_test(cases, a_statistic_is_made_once_a_second_at_most);
    tcase_add_loop_test(cases, statistics_of_two_exchanges_meet_in_a_tree, 0, 2);
    tcase_add_test(cases, names_that_mean_nothing_get_no_state);
    tcase_add_test(cases, wrong_arguments_are_said_in_words);
    tcase_add_test(cases, without_memory_there_are_fewer_statistics_and_no_harm);
    tcase_add_test(cases, statistics_end_while_they_are_observed);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
