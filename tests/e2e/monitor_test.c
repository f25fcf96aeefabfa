/* The monitor objects that programs for the Rust router know: which there are, their fields in the
 * order of the recorded ones, and what happens where there is very much to tell. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "programs.h"

static program *get(const char *url, const char *tag, const char *object)
{
    return tag ? program_run("hakuban", "get", "-c", url, "--raw", "--for", "60s", "--tag", tag,
                             object, NULL)
               : program_run("hakuban", "get", "-c", url, "--raw", "--for", "60s", object, NULL);
}

/* The pieces must come in this order. */
static void assert_order(const char *text, const char *const *pieces)
{
    const char *at = text;
    for (; *pieces; pieces++) {
        const char *found = strstr(at, *pieces);
        ck_assert_msg(found != NULL, "no %s in %s", *pieces, at);
        at = found + strlen(*pieces);
    }
}

START_TEST(an_exchange_is_told_as_the_rust_router_tells_it)
{
    char url[URL_BYTES], pump[URL_BYTES + 40];
    program *router = router_run(url, NULL, "--monitor-tag", "monitor", NULL);
    snprintf(pump, sizeof(pump), "%s#name=pump", url);
    program *exposer = program_run("hakuban", "expose", "-c", pump, "--keep", "--capacity", "4",
                                   "--tag", "\"t1\"", "{\"obj\":1}", NULL);
    program_write(exposer, "{\"v\":1}\n");
    program *observer =
        program_run("hakuban", "observe", "-c", url, "--raw", "--tag", "\"t1\"", NULL);
    ck_assert_str_eq(program_line(observer), "{\"v\":1}");
    program *monitor = get(url, "\"monitor\"", "\"exchange\"");
    const char *line = program_line(monitor);
    ck_assert_int_eq(strncmp(line, "{\"objects\":[{\"id\":", 18), 0);
    assert_order(
        line, (const char *const[]){
                  "\"descriptor\":{\"tags\":[\"t1\"],\"json\":{\"obj\":1}},\"should_exist\":true,"
                  "\"data_needed\":true,\"assigned_exposer\":{\"DownstreamConnection\":",
                  "},\"object_observe_contract_count\":0,\"object_expose_contract_count\":0,"
                  "\"tag_observe_contract_count\":0,\"tag_expose_contract_count\":0,"
                  "\"upstream_link\":null,\"downstream_links\":[{\"downstream_connection_id\":0,"
                  "\"object_observer\":",
                  "{\"downstream_connection_id\":1,\"object_observer\":",
                  "}],\"cumulative_object_exposer_capacity\":4,\"data_state\":{\"version\":[0,",
                  "],\"format\":[\"JSON\"],\"size\":7,\"synchronized_ms_ago\":0}}",
                  "],\"tags\":[{\"id\":", "],\"upstream_connection\":false}", NULL});
    assert_order(line,
                 (const char *const[]){"\"object_observer\":false,\"object_exposer\":true,"
                                       "\"object_exposer_capacity\":4,\"tag_observer_count\":0,"
                                       "\"tag_exposer_count\":0,\"stream\":false,\"sink\":true}",
                                       NULL});
    assert_order(line,
                 (const char *const[]){"\"descriptor\":\"t1\",\"objects\":[",
                                       "],\"tag_observe_contract_count\":0,"
                                       "\"tag_expose_contract_count\":0,\"upstream_link\":null,"
                                       "\"downstream_links\":[{\"downstream_connection_id\":",
                                       ",\"tag_observer\":true,\"tag_exposer\":false,"
                                       "\"tag_exposer_capacity\":0}],"
                                       "\"cumulative_tag_exposer_capacity\":0}",
                                       NULL});
    assert_order(line,
                 (const char *const[]){"\"json\":\"exchange\"}",
                                       "\"assigned_exposer\":{\"ObjectExposeContract\":0}", NULL});
    ck_assert_ptr_null(strstr(line, "truncated"));
    ck_assert_int_eq(program_end(monitor), 0);
    ck_assert_int_eq(program_stop(observer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(exposer, SIGTERM), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(listener_and_connector_are_told_and_nothing_else)
{
    char top_url[URL_BYTES], edge_url[URL_BYTES], up[URL_BYTES + 40];
    program *top =
        router_run(top_url, "tcp://127.0.0.1:0#name=root", "--monitor-tag", "it's \"m\"", NULL);
    snprintf(up, sizeof(up), "%s#name=spoke,load-limit=7", top_url);
    program *edge = router_run(edge_url, NULL, "-c", up, "--monitor-tag", "m2", NULL);
    program_find_error(edge, "connected");

    char expected[400];
    program *monitor = get(top_url, "\"it's \\\"m\\\"\"", "\"websocket-listener\"");
    const char *line = program_line(monitor);
    snprintf(
        expected, sizeof(expected),
        "{\"url\":\"%s#name=root\",\"downstream_connections\":[{\"downstream_connection_id\":0,"
        "\"remote_address\":\"127.0.0.1:",
        top_url);
    ck_assert_msg(strncmp(line, expected, strlen(expected)) == 0, "%s", line);
    assert_order(line, (const char *const[]){"\",\"local_name\":\"root\",\"remote_name\":\"spoke\","
                                             "\"load\":0.0,\"load_limit\":7.0}",
                                             ",\"load_limit\":null}]}", NULL});
    ck_assert_int_eq(program_end(monitor), 0);

    monitor = get(edge_url, "\"m2\"", "\"websocket-connector\"");
    snprintf(
        expected, sizeof(expected),
        "{\"url\":\"%s\",\"upstream_connection\":{\"upstream_connection_id\":0,"
        "\"local_address\":\"Err(unknown)\",\"local_name\":\"spoke\",\"remote_name\":\"root\"}}",
        up);
    ck_assert_str_eq(program_line(monitor), expected);
    ck_assert_int_eq(program_end(monitor), 0);

    unsigned count = 0;
    program *list =
        program_run("hakuban", "list", "-c", top_url, "--tag", "\"it's \\\"m\\\"\"", NULL);
    while (program_line(list)) {
        count++;
    }
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(program_end(list), 0);
    list = program_run("hakuban", "list", "-c", edge_url, "--tag", "\"m2\"", NULL);
    for (count = 0; program_line(list); count++) {
    }
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(program_end(list), 0);
    ck_assert_int_eq(program_stop(edge, SIGTERM), 0);
    ck_assert_int_eq(program_stop(top, SIGTERM), 0);
}
END_TEST

START_TEST(watchers_are_told_every_second)
{
    char url[URL_BYTES];
    program *router = router_run(url, NULL, "--monitor-tag", "m", NULL);
    program *watcher = program_run("hakuban", "observe", "-c", url, "--raw", "--count", "3",
                                   "--tag", "\"m\"", "\"websocket-listener\"", NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(program_line(watcher));
    }
    ck_assert_int_eq(program_end(watcher), 0);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(more_than_ten_thousand_objects_are_cut)
{
    enum { COUNT = 10100 };
    static hakuban_contract *contracts[COUNT];
    char url[URL_BYTES], name[32];
    program *router = router_run(url, NULL, "--monitor-tag", "m", NULL);
    hakuban_exchange *exchange = NULL;
    hakuban_queue *queue = NULL;
    hakuban_connection *connection = NULL;
    ck_assert_int_eq(hakuban_exchange_new(NULL, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_queue_new(exchange, &queue), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_connect(exchange, url, NULL, &connection, NULL), HAKUBAN_OK);
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    for (int i = 0; i < COUNT; i++) {
        hakuban_descriptor *object = NULL;
        snprintf(name, sizeof(name), "{\"number\":%d}", i);
        ck_assert_int_eq(hakuban_descriptor_new(NULL, name, NULL, 0, &object, NULL), HAKUBAN_OK);
        ck_assert_int_eq(hakuban_expose_object(exchange, object, &options, &contracts[i]),
                         HAKUBAN_OK);
        hakuban_descriptor_unref(object);
    }
    /* The last one's state comes behind all the others' announcements. */
    hakuban_event event = {.kind = HAKUBAN_EVENT_OPEN};
    program *last = get(url, NULL, "{\"number\":10099}");
    while (event.kind != HAKUBAN_EVENT_SINK_OPEN) {
        hakuban_event_done(&event);
        ck_assert_int_eq(hakuban_queue_next(queue, 60000, &event), HAKUBAN_OK);
    }
    ck_assert_int_eq(hakuban_sink_send_json(event.sink, "1", NULL), HAKUBAN_OK);
    hakuban_event_done(&event);
    ck_assert_str_eq(program_line(last), "1");
    ck_assert_int_eq(program_end(last), 0);
    program *picture = get(url, "\"m\"", "\"exchange\"");
    const char *line = program_line(picture);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(strstr(line, "],\"upstream_connection\":false,\"truncated\":true}"));
    unsigned objects = 0;
    for (const char *at = line; *at;
         at++) { /* strstr() under ASan measures all that follows each time */
        objects += *at == 's' && strncmp(at, "should_exist\"", 13) == 0;
    }
    ck_assert_uint_eq(objects, 10000);
    ck_assert_int_eq(program_end(picture), 0);
    for (int i = 0; i < COUNT; i++) {
        (void)hakuban_contract_free(contracts[i]);
    }
    (void)hakuban_connection_free(connection);
    (void)hakuban_queue_free(queue);
    (void)hakuban_exchange_free(exchange);
    ck_assert_int_eq(program_stop(router, SIGTERM), 0);
}
END_TEST

START_TEST(mistakes_are_said_in_words)
{
    program *wrong =
        program_run("hakuban-router", "-b", "tcp://127.0.0.1:0", "--monitor-tag", "a\xff", NULL);
    program_find_error(wrong, "--monitor-tag");
    ck_assert_int_eq(program_end(wrong), 2);
    wrong = program_run("hakuban-router", "--monitor-tag", "a", "--monitor-tag", "b", NULL);
    program_find_error(wrong, "--monitor-tag b: one tag is enough, and a came before");
    ck_assert_int_eq(program_end(wrong), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("monitor");
    TCase *cases = tcase_create("monitor");
    tcase_add_test(cases, an_exchange_is_told_as_the_rust_router_tells_it);
    tcase_add_test(cases, listener_and_connector_are_told_and_nothing_else);
    tcase_add_test(cases, watchers_are_told_every_second);
    tcase_add_test(cases, more_than_ten_thousand_objects_are_cut);
    tcase_add_test(cases, mistakes_are_said_in_words);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
