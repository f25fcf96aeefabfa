/* What a turn of the loop does when a peer has sent more than its budget pays for. */
#include "exchange_pair.h"

#define COUNT 4000
#define OBJECT_COST 3                  /* the message, a record, a share */
#define PER_BUDGET (250 / OBJECT_COST) /* docs/adr/0026-budgets.md */
#define AT_ONCE (2 * (PER_BUDGET + 1)) /* when they come, and in the tick of that turn */

typedef struct flood {
    exchange_pair flooder, good;
    hakuban_listener *listener;
    hakuban_connection *connections[2];
    hakuban_contract *contracts[COUNT], *writer, *reader;
    hakuban_sink *sink;
} flood;

static uint64_t object_count(hakuban_exchange *exchange)
{
    hakuban_exchange_stats stats;
    hakuban_exchange_query(exchange, &stats);
    return stats.objects;
}

/* Two clients of one hub, a good one with a sink, and another. */
static void begin(flood *f)
{
    char url[200];
    f->flooder.drive = f->good.drive = HAKUBAN_DRIVE_MANUAL;
    f->flooder.hub = f->good.hub = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "hub");
    f->listener = listen_at(f->good.hub, listen_url(0, url));
    exchange_pair *pairs[] = {&f->flooder, &f->good};
    for (int i = 0; i < 2; i++) {
        hakuban_connection_info info;
        pairs[i]->leaf = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "leaf");
        f->connections[i] = connect_to(pairs[i]->leaf, url, NULL);
        pair_await_connection(pairs[i], f->connections[i], HAKUBAN_CONNECTION_CONNECTED, &info);
    }
    f->reader = observe(f->good.hub, "\"good\"", NULL);
    f->writer = expose(f->good.leaf, "\"good\"", NULL);
    f->sink = await_sink(&f->good, f->writer);
    for (int i = 0; i < 10; i++) { /* nothing is under way any more */
        pair_step(&f->flooder, 0);
        pair_step(&f->good, 0);
    }
}

/* One client observes very many objects; nothing of it has reached the hub. */
static void floods(flood *f)
{
    for (unsigned i = 0; i < COUNT; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        f->contracts[i] = observe(f->flooder.leaf, name, NULL);
    }
    ck_assert_int_eq(hakuban_exchange_turn(f->flooder.leaf), HAKUBAN_OK);
}

static void end(flood *f)
{
    for (unsigned i = 0; i < COUNT; i++) {
        (void)hakuban_contract_free(f->contracts[i]);
    }
    (void)hakuban_sink_unref(f->sink);
    (void)hakuban_contract_free(f->writer);
    (void)hakuban_contract_free(f->reader);
    for (int i = 0; i < 2; i++) {
        (void)hakuban_connection_free(f->connections[i]);
    }
    (void)hakuban_listener_free(f->listener);
    ck_assert_ptr_null(hakuban_exchange_free(f->flooder.leaf));
    ck_assert_ptr_null(hakuban_exchange_free(f->good.leaf));
    ck_assert_ptr_null(hakuban_exchange_free(f->good.hub));
}

START_TEST(a_peer_that_is_behind_goes_on_while_nothing_else_comes)
{
    static flood f;
    begin(&f);
    floods(&f);
    uint64_t before = object_count(f.good.hub);
    ck_assert_int_eq(hakuban_exchange_turn(f.good.hub), HAKUBAN_OK);
    ck_assert_uint_ge(object_count(f.good.hub) - before, AT_ONCE + PER_BUDGET);
    while (object_count(f.good.hub) < before + COUNT) { /* and with all that it has sent */
        pair_step(&f.flooder, 100);
    }
    end(&f);
}
END_TEST

START_TEST(what_another_peer_causes_leaves_before_a_peer_that_is_behind_goes_on)
{
    static flood f;
    begin(&f);
    floods(&f);
    ck_assert_int_eq(hakuban_sink_send_json(f.sink, "\"in between\"", NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_turn(f.good.leaf), HAKUBAN_OK);
    uint64_t before = object_count(f.good.hub);
    ck_assert_int_eq(hakuban_exchange_turn(f.good.hub), HAKUBAN_OK);
    ck_assert_uint_le(object_count(f.good.hub) - before, AT_ONCE);
    pair_await_text(&f.good, hakuban_contract_queue(f.reader), "\"in between\"");
    end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("turns");
    TCase *tcase = tcase_create("turns");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_peer_that_is_behind_goes_on_while_nothing_else_comes);
    tcase_add_test(tcase, what_another_peer_causes_leaves_before_a_peer_that_is_behind_goes_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
