/* What the runtime promises to any transport: the end of any connection may be told from inside
 * any call, and a time that is over may be asked for again and again. The transport here is
 * inproc:// with a will of its own. */
#include <hakuban/plugin/registry.h>

#include "exchange_pair.h"

#include "fail_alloc.h"
#include "transports/inproc/inproc.h"

#define CONNS_MAX 64
#define LEAVES 4
#define ROUNDS 40

enum slot { LISTEN, UNLISTEN, DIAL, SEND, SHUTDOWN, CLOSE, READY, SLOTS };

/* Everything runs on the test's thread. */
static struct {
    hakuban_transport_host wrapped;
    const hakuban_transport_host *host; /* the exchange's that everything is about */
    void *self;
    struct {
        hakuban_carrier *carrier;
        void *conn;
    } open[CONNS_MAX];
    unsigned count, inside;
    enum slot unruly; /* the slot that ends another connection */
    bool calm;
    unsigned ends;   /* how often it did */
    unsigned alarms; /* how often ready() still asks for a time that is over */
    unsigned rings;
} odd;

static void note(hakuban_carrier *carrier, void *conn)
{
    ck_assert_uint_lt(odd.count, CONNS_MAX);
    odd.open[odd.count].carrier = carrier;
    odd.open[odd.count++].conn = conn;
}

static void forget(unsigned index)
{
    odd.open[index] = odd.open[--odd.count];
}

static hakuban_carrier *accepted(void *host, void *listener, const char *peer, void **ret_conn)
{
    hakuban_carrier *carrier = odd.host->accepted(host, listener, peer, ret_conn);
    if (carrier) {
        note(carrier, *ret_conn);
    }
    return carrier;
}

static void closed(hakuban_carrier *carrier, hakuban_status why, const char *text)
{
    for (unsigned i = 0; i < odd.count; i++) {
        if (odd.open[i].carrier == carrier) {
            forget(i);
            break;
        }
    }
    odd.host->closed(carrier, why, text);
}

/* Ends all connections but one, from inside a call that is about that one or about none. */
static void end_others(enum slot slot, const void *but)
{
    if (odd.calm || odd.unruly != slot || odd.inside) {
        return;
    }
    odd.inside++;
    for (unsigned i = odd.count; i-- > 0;) {
        if (i < odd.count && odd.open[i].conn != but) {
            odd.ends++;
            hakuban_transport_inproc.close(odd.self, odd.open[i].conn);
        }
    }
    odd.inside--;
}

static hakuban_status init(void *self, const hakuban_transport_host *host)
{
    odd.self = self;
    odd.host = host;
    odd.wrapped = *host;
    odd.wrapped.accepted = accepted;
    odd.wrapped.closed = closed;
    return hakuban_transport_inproc.init(self, &odd.wrapped);
}

static hakuban_status listen_somewhere(void *self, void *listener, const hakuban_url *url,
                                       char *ret_url, size_t url_bytes, hakuban_error *reterr)
{
    end_others(LISTEN, NULL);
    return hakuban_transport_inproc.listen(self, listener, url, ret_url, url_bytes, reterr);
}

static void unlisten(void *self, void *listener)
{
    end_others(UNLISTEN, NULL);
    hakuban_transport_inproc.unlisten(self, listener);
}

static hakuban_status dial(void *self, void *conn, hakuban_carrier *carrier, const hakuban_url *url,
                           hakuban_error *reterr)
{
    end_others(DIAL, NULL);
    hakuban_status status = hakuban_transport_inproc.dial(self, conn, carrier, url, reterr);
    if (status >= 0) {
        note(carrier, conn);
    }
    return status;
}

static hakuban_status send_message(void *self, void *conn, const hakuban_slice *parts,
                                   unsigned part_count)
{
    end_others(SEND, conn);
    return hakuban_transport_inproc.send(self, conn, parts, part_count);
}

static void end_writing(void *self, void *conn)
{
    end_others(SHUTDOWN, conn);
    hakuban_transport_inproc.shutdown(self, conn);
}

static void close_conn(void *self, void *conn)
{
    end_others(CLOSE, conn);
    hakuban_transport_inproc.close(self, conn);
}

static void ready(void *self, void *owner, unsigned events, uint64_t now_ns)
{
    if (events == 0) {
        odd.rings++;
    }
    if (odd.alarms > 0) {
        odd.alarms--;
        ck_assert_int_eq(odd.host->wake_at(odd.host->host, owner, odd.alarms % 2 ? now_ns : 0),
                         HAKUBAN_OK);
    }
    hakuban_transport_inproc.ready(self, owner, events, now_ns);
    end_others(READY, NULL);
}

static hakuban_transport_ops odd_ops(void)
{
    hakuban_transport_ops ops = hakuban_transport_inproc;
    ops.scheme = "odd";
    ops.init = init;
    ops.listen = listen_somewhere;
    ops.unlisten = unlisten;
    ops.dial = dial;
    ops.send = send_message;
    ops.shutdown = end_writing;
    ops.close = close_conn;
    ops.ready = ready;
    return ops;
}

static fail_alloc memory;

struct star {
    hakuban_exchange *hub, *leaves[LEAVES];
    hakuban_connection *connections[LEAVES];
};

static void turn_all(const struct star *star)
{
    ck_assert_int_eq(hakuban_exchange_turn(star->hub), HAKUBAN_OK);
    for (int i = 0; i < LEAVES; i++) {
        if (star->leaves[i]) {
            ck_assert_int_eq(hakuban_exchange_turn(star->leaves[i]), HAKUBAN_OK);
        }
    }
}

/* A hub that knows its transport as odd:// and leaves that reach it as inproc://. */
static struct star begin(enum slot unruly)
{
    struct star star = {0};
    fail_alloc_init(&memory);
    memset(&odd, 0, sizeof(odd));
    odd.unruly = unruly;
    odd.calm = true;
    star.hub = exchange_make(HAKUBAN_DRIVE_MANUAL, &memory.table, "hub");
    hakuban_transport_ops ops = odd_ops();
    ck_assert_int_eq(hakuban_exchange_add_transport(star.hub, &ops, NULL, NULL), HAKUBAN_OK);
    return star;
}

static void connect_all(struct star *star, const char *name)
{
    char url[200];
    (void)snprintf(url, sizeof(url), "inproc://%s#grace=0s", name);
    for (int i = 0; i < LEAVES; i++) {
        star->leaves[i] = exchange_make(HAKUBAN_DRIVE_MANUAL, &memory.table, "leaf");
        star->connections[i] = connect_to(star->leaves[i], url, NULL);
    }
}

/* Without the pauses that have grown by now. */
static void dial_again(struct star *star, const char *name)
{
    char url[200];
    (void)snprintf(url, sizeof(url), "inproc://%s#grace=0s", name);
    for (int i = 0; i < LEAVES; i++) {
        hakuban_connection_info info;
        hakuban_connection_query(star->connections[i], &info);
        if (info.state != HAKUBAN_CONNECTION_CONNECTED) {
            (void)hakuban_connection_free(star->connections[i]);
            turn_all(star);
            star->connections[i] = connect_to(star->leaves[i], url, NULL);
        }
    }
}

static void await_all(const struct star *star)
{
    int64_t until_ms = test_now_ms() + PATIENCE_MS;
    for (int i = 0; i < LEAVES; i++) {
        hakuban_connection_info info = {0};
        while (info.state != HAKUBAN_CONNECTION_CONNECTED) {
            ck_assert_msg(test_now_ms() < until_ms, "a leaf does not come back: %s",
                          info.last_error.text);
            turn_all(star);
            hakuban_connection_query(star->connections[i], &info);
            (void)poll(NULL, 0, 1);
        }
    }
}

/* A turn of the hub finds connections that have said nothing yet, and then they are to go. */
static hakuban_listener *accept_and_drop(struct star *star, hakuban_listener *listener,
                                         const char *name)
{
    char url[200];
    for (int i = 1; i < LEAVES; i++) {
        (void)hakuban_connection_free(star->connections[i]);
    }
    turn_all(star);
    (void)snprintf(url, sizeof(url), "inproc://%s#grace=0s", name);
    for (int i = 1; i < LEAVES; i++) {
        star->connections[i] = connect_to(star->leaves[i], url, NULL);
    }
    ck_assert_int_eq(hakuban_exchange_turn(star->hub), HAKUBAN_OK);
    (void)hakuban_listener_free(listener);
    ck_assert_int_eq(hakuban_exchange_turn(star->hub), HAKUBAN_OK);
    (void)snprintf(url, sizeof(url), "odd://%s#grace=0s", name);
    return listen_at(star->hub, url);
}

START_TEST(the_end_of_any_connection_may_be_told_from_inside_any_call)
{
    struct star star = begin((enum slot)_i);
    char name[64], url[100];
    (void)snprintf(name, sizeof(name), "odd-%ld-%d", (long)getpid(), _i);
    (void)snprintf(url, sizeof(url), "odd://%s#grace=0s", name);
    hakuban_listener *listener = listen_at(star.hub, url);
    connect_all(&star, name);
    await_all(&star);
    hakuban_contract *writer = expose(star.hub, "1", NULL), *witness = observe(star.hub, "1", NULL);
    hakuban_contract *reader = observe(star.leaves[0], "1", NULL);
    exchange_pair hub = {.drive = HAKUBAN_DRIVE_MANUAL, .hub = star.hub, .leaf = star.leaves[0]};
    hakuban_sink *sink = await_sink(&hub, writer);
    for (int round = 0; round < ROUNDS; round++) {
        hakuban_contract *talk[LEAVES];
        odd.calm = false;
        ck_assert_int_eq(hakuban_sink_send_json(sink, "\"meanwhile\"", NULL), HAKUBAN_OK);
        for (int i = 0; i < LEAVES; i++) {
            talk[i] = observe(star.leaves[i], "2", NULL);
        }
        if (odd.unruly == DIAL) {
            hakuban_connection *away = connect_to(star.hub, "odd://nothing-is-here", NULL);
            turn_all(&star);
            (void)hakuban_connection_free(away);
        } else if (odd.unruly == LISTEN || odd.unruly == UNLISTEN) {
            (void)hakuban_listener_free(listen_at(star.hub, "odd://another"));
        } else if (odd.unruly == SHUTDOWN || odd.unruly == CLOSE) {
            listener = accept_and_drop(&star, listener, name);
        }
        turn_all(&star);
        turn_all(&star);
        odd.calm = true;
        for (int i = 0; i < LEAVES; i++) {
            (void)hakuban_contract_free(talk[i]);
        }
        dial_again(&star, name);
        await_all(&star);
    }
    ck_assert_uint_gt(odd.ends, 0);
    ck_assert_int_eq(hakuban_sink_send_json(sink, "\"afterwards\"", NULL), HAKUBAN_OK);
    pair_await_text(&hub, hakuban_contract_queue(reader), "\"afterwards\"");
    odd.calm = false; /* also while everything ends */
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(writer);
    (void)hakuban_contract_free(witness);
    (void)hakuban_contract_free(reader);
    (void)hakuban_listener_free(listener);
    ck_assert_int_ne(hakuban_exchange_close(star.hub, 0), HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_null(hakuban_exchange_free(star.hub));
    for (int i = 0; i < LEAVES; i++) {
        (void)hakuban_connection_free(star.connections[i]);
        ck_assert_ptr_null(hakuban_exchange_free(star.leaves[i]));
    }
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

START_TEST(a_transport_that_asks_again_for_a_time_that_is_over_lets_others_have_their_turn)
{
    struct star star = begin(SLOTS);
    char name[64], url[100];
    (void)snprintf(name, sizeof(name), "again-%ld", (long)getpid());
    (void)snprintf(url, sizeof(url), "odd://%s", name);
    hakuban_listener *listener = listen_at(star.hub, url);
    odd.alarms = 1000;
    connect_all(&star, name);
    for (unsigned turns = 0; odd.alarms > 0; turns++) {
        unsigned before = odd.rings;
        ck_assert_uint_lt(turns, 100000);
        turn_all(&star);
        ck_assert_uint_le(odd.rings - before, 2 * (LEAVES + 1)); /* each owner's once or twice */
    }
    await_all(&star);
    for (int i = 0; i < LEAVES; i++) {
        (void)hakuban_connection_free(star.connections[i]);
        ck_assert_ptr_null(hakuban_exchange_free(star.leaves[i]));
    }
    (void)hakuban_listener_free(listener);
    ck_assert_ptr_null(hakuban_exchange_free(star.hub));
    ck_assert_uint_eq(memory.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *cases = tcase_create("slots");
    tcase_set_timeout(cases, 100);
    tcase_add_loop_test(cases, the_end_of_any_connection_may_be_told_from_inside_any_call, 0,
                        SLOTS);
    tcase_add_test(cases,
                   a_transport_that_asks_again_for_a_time_that_is_over_lets_others_have_their_turn);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
