/* Looking into an exchange by the public functions: slices, what is wrong with a call, links with
 * their addresses. */
#define _GNU_SOURCE

#include "exchange_pair.h"

static const hakuban_drive drives[] = {HAKUBAN_DRIVE_THREAD, HAKUBAN_DRIVE_MANUAL};

START_TEST(a_walk_ends_with_an_empty_slice)
{
    exchange_pair pair = {.drive = drives[_i]};
    hakuban_contract *contracts[100];
    char name[16];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        contracts[i] = observe(pair.hub, name, NULL);
    }
    hakuban_cursor cursor = {{0, 0}};
    hakuban_object_info objects[16];
    size_t count = 1, sum = 0;
    while (count > 0) {
        ck_assert_int_eq(hakuban_inspect_objects(pair.hub, &cursor, objects, 16, &count),
                         HAKUBAN_OK);
        ck_assert_uint_le(count, 16);
        for (size_t i = 0; i < count; i++) {
            ck_assert_int_eq(objects[i].freshness, HAKUBAN_NEVER);
            ck_assert_uint_eq(objects[i].observers, 1);
            ck_assert_ptr_null(objects[i].state);
        }
        sum += count;
        hakuban_object_info_done(objects, count);
    }
    ck_assert_uint_eq(sum, 100);

    hakuban_contract_info infos[16];
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_int_eq(hakuban_inspect_contracts(pair.hub, &cursor, infos, 16, &count), HAKUBAN_OK);
    ck_assert_uint_eq(count, 16);
    ck_assert_str_eq(hakuban_descriptor_json(infos[3].subject), "3");
    hakuban_contract_info_done(infos, count);

    hakuban_descriptor *known = make_name("5", NULL), *unknown = make_name("\"no\"", NULL);
    ck_assert_int_eq(hakuban_inspect_object(pair.hub, known, objects), HAKUBAN_OK);
    ck_assert(hakuban_descriptor_equal(objects[0].object, known));
    hakuban_object_info_done(objects, 1);
    ck_assert_int_eq(hakuban_inspect_object(pair.hub, unknown, objects), HAKUBAN_ERR_NOT_FOUND);
    hakuban_object_link_info links[16];
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_int_eq(hakuban_inspect_object_links(pair.hub, unknown, &cursor, links, 16, &count),
                     HAKUBAN_ERR_NOT_FOUND);
    hakuban_tag_link_info tag_links[16];
    ck_assert_int_eq(hakuban_inspect_tag_links(pair.hub, unknown, &cursor, tag_links, 16, &count),
                     HAKUBAN_ERR_NOT_FOUND);
    ck_assert_int_eq(hakuban_inspect_tag_links(pair.hub, NULL, &cursor, tag_links, 16, &count),
                     HAKUBAN_ERR_ARGUMENT);
    hakuban_descriptor_unref(known);
    hakuban_descriptor_unref(unknown);
    for (int i = 0; i < 100; i++) {
        (void)hakuban_contract_free(contracts[i]);
    }
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_MANUAL};
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    hakuban_cursor cursor = {{0, 0}};
    static hakuban_object_info objects[16];
    hakuban_link_info links[16];
    hakuban_tag_info tags[16];
    hakuban_contract_info contracts[16];
    size_t count = 77;
    ck_assert_int_eq(hakuban_inspect_objects(NULL, &cursor, objects, 16, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_objects(pair.hub, NULL, objects, 16, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_objects(pair.hub, &cursor, objects, 15, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_objects(pair.hub, &cursor, objects, 1025, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_links(pair.hub, &cursor, NULL, 16, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_tags(pair.hub, &cursor, tags, 16, NULL), HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_contracts(pair.hub, &cursor, contracts, 0, &count),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_int_eq(hakuban_inspect_object(pair.hub, NULL, objects), HAKUBAN_ERR_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    ck_assert_int_eq(hakuban_inspect_links(pair.hub, &cursor, links, 16, &count), HAKUBAN_OK);
    ck_assert_uint_eq(count, 0);
    hakuban_object_info_done(NULL, 0);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

START_TEST(links_tell_both_names_and_an_address)
{
    exchange_pair pair = {.drive = drives[_i]};
    char url[200], there[240];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    hakuban_listener *listener = listen_at(pair.hub, "tcp://127.0.0.1:0#name=root");
    (void)snprintf(url, sizeof(url), "%s", hakuban_listener_url(listener));
    (void)snprintf(there, sizeof(there), "%s#name=edge,load-limit=3", url);
    hakuban_connection *connection = connect_to(pair.leaf, there, NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    hakuban_cursor cursor = {{0, 0}};
    hakuban_link_info links[16];
    size_t count = 0;
    ck_assert_int_eq(hakuban_inspect_links(pair.hub, &cursor, links, 16, &count), HAKUBAN_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(!links[0].upstream);
    ck_assert_uint_eq(links[0].number, 0);
    ck_assert_str_eq(links[0].name, "edge");
    ck_assert_str_eq(links[0].own_name, "root");
    ck_assert_int_eq(strncmp(links[0].address, "127.0.0.1:", 10), 0);
    cursor = (hakuban_cursor){{0, 0}};
    ck_assert_int_eq(hakuban_inspect_links(pair.leaf, &cursor, links, 16, &count), HAKUBAN_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(links[0].upstream);
    ck_assert_str_eq(links[0].name, "root");
    ck_assert_str_ne(links[0].serializer, "");
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
}
END_TEST

/* What each side of a connection has proven to the other. */
static void check_known(const char *bind, const char *with, const char *of_leaf, const char *of_hub)
{
    exchange_pair pair = {.drive = HAKUBAN_DRIVE_THREAD};
    char there[2 * CERTIFICATES_URL_BYTES], known[300];
    pair.hub = exchange_make(pair.drive, NULL, "hub");
    pair.leaf = exchange_make(pair.drive, NULL, "leaf");
    hakuban_listener *listener = listen_at(pair.hub, bind);
    (void)snprintf(there, sizeof(there), "%s#%s", hakuban_listener_url(listener), with);
    hakuban_connection *connection = connect_to(pair.leaf, there, NULL);
    hakuban_connection_info info;
    pair_await_connection(&pair, connection, HAKUBAN_CONNECTION_CONNECTED, &info);
    for (int i = 0; i < 2; i++) {
        hakuban_cursor cursor = {{0, 0}};
        hakuban_link_info links[16];
        size_t count = 0;
        ck_assert_int_eq(
            hakuban_inspect_links(i ? pair.leaf : pair.hub, &cursor, links, 16, &count),
            HAKUBAN_OK);
        ck_assert_uint_eq(count, 1);
        (void)snprintf(known, sizeof(known), "%s %s", links[0].principal_kind, links[0].principal);
        ck_assert_str_eq(known, i ? of_hub : of_leaf);
    }
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
}

START_TEST(links_tell_what_the_other_side_has_proven_to_be)
{
    char url[200], user[40];
    (void)snprintf(user, sizeof(user), "uid %u", (unsigned)getuid());
    check_known("tcp://127.0.0.1:0", "", "anonymous ", "anonymous ");
    check_known(listen_url(LISTEN_UNIX, url), "", user, user);
#ifdef HAKUBAN_TEST_TLS
    char demanding[CERTIFICATES_URL_BYTES], own[CERTIFICATES_URL_BYTES];
    check_known("tls://127.0.0.1:0", "", "anonymous ", "cert localhost");
    check_known("tls://127.0.0.1:0", "verify=none", "anonymous ", "anonymous ");
    (void)snprintf(own, sizeof(own), "cert=%s,key=%s", certificates_path("client.crt"),
                   certificates_path("client.key"));
    /* What is not asked for is not shown. */
    check_known("tls://127.0.0.1:0", own, "anonymous ", "cert localhost");
    (void)snprintf(demanding, sizeof(demanding), "tls://127.0.0.1:0#verify=optional,ca=%s",
                   certificates_path("ca.crt"));
    check_known(demanding, own, "cert urn:test:client", "cert localhost");
    check_known(demanding, "", "anonymous ", "cert localhost");
#ifdef HAKUBAN_TEST_WS
    (void)snprintf(demanding, sizeof(demanding), "wss://127.0.0.1:0#verify=required,ca=%s",
                   certificates_path("ca.crt"));
    check_known(demanding, own, "cert urn:test:client", "cert localhost");
#endif
    certificate_make(
        &(certificate){.name = "client", .subjects = "IP:127.0.0.1,DNS:b.example,DNS:a.example"});
    check_known(demanding, own, "cert b.example", "cert localhost");
    certificate_make(&(certificate){.name = "client", .subjects = "IP:127.0.0.1"});
    check_known(demanding, own, "anonymous ", "cert localhost");
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect");
    TCase *cases = tcase_create("inspect");
    tcase_add_loop_test(cases, a_walk_ends_with_an_empty_slice, 0, 2);
    tcase_add_test(cases, wrong_arguments_are_refused);
    tcase_add_loop_test(cases, links_tell_both_names_and_an_address, 0, 2);
    tcase_add_unchecked_fixture(cases, certificates_make, NULL);
    tcase_add_test(cases, links_tell_what_the_other_side_has_proven_to_be);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
