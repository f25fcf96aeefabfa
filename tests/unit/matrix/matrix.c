/* What users rely on, over every transport with every serializer and compressor that was built in;
 * and bad input, which is refused in words and leaves everything else as it was. Public headers
 * only. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <stdatomic.h>

#include <hakuban/plugin/registry.h>

enum { NAMES_MAX = 8, TEXT_MAX = 300 };

/* -- What was built in, as hakuban_features() says -- */

typedef struct names {
    char text[NAMES_MAX][32];
    int count;
} names;

static names transports, serializers, compressors;

static names built(const char *kind)
{
    names found = {.count = 0};
    const char *at = strstr(hakuban_features(), kind);
    at = at ? at + strlen(kind) : ""; /* found nothing: main() says so */
    while (*at && *at != ';') {
        size_t bytes = strcspn(at, " ;");
        if (bytes > 0 && *at != '-' && found.count < NAMES_MAX && bytes < sizeof(found.text[0])) {
            memcpy(found.text[found.count++], at, bytes);
        }
        at += bytes;
        at += *at == ' ';
    }
    return found;
}

typedef struct combination {
    const char *transport, *serializer, *compressor;
} combination;

static combination combination_of(int index)
{
    int pairs = serializers.count * compressors.count;
    return (combination){transports.text[index / pairs],
                         serializers.text[index % pairs / compressors.count],
                         compressors.text[index % compressors.count]};
}

/* Which test need not hold on what, and why; NULL: on any. */
static const struct {
    const char *test, *transport, *reason;
} exceptions[] = {
    {"", "", "there is none: every combination passes every test"},
};

static bool is_exempt(const char *test, combination which)
{
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (strcmp(exceptions[i].test, test) == 0 &&
            strcmp(exceptions[i].transport, which.transport) == 0) {
            fprintf(stderr, "# exception: %s over %s: %s\n", test, which.transport,
                    exceptions[i].reason);
            return true;
        }
    }
    return false;
}

static const char *address_of(const char *transport, char ret[TEXT_MAX])
{
    static unsigned count;
    count++;
    if (strcmp(transport, "inproc") == 0) {
        (void)snprintf(ret, TEXT_MAX, "inproc://matrix-%d-%u", (int)getpid(), count);
    } else if (strcmp(transport, "unix") == 0 || strcmp(transport, "zmq+ipc") == 0) {
        (void)snprintf(ret, TEXT_MAX, "%s:///tmp/hkb-matrix-%d-%u", transport, (int)getpid(),
                       count);
    } else {
        (void)snprintf(ret, TEXT_MAX, "%s://127.0.0.1:0", transport);
    }
    return ret;
}

/* -- A hub, an exposer and an observer, each of them an exchange with a thread of its own -- */

typedef struct network {
    combination which;
    exchange_pair exposing, observing; /* hub and one leaf each */
    hakuban_listener *listener;
    hakuban_connection *connections[2];
    char url[TEXT_MAX];
} network;

static void hub_begin(network *net, const char *url)
{
    char text[2 * TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s#serializer=%s,compressor=%s", url, net->which.serializer,
                   net->which.compressor);
    net->exposing.hub = net->observing.hub = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "hub");
    net->listener = listen_at(net->exposing.hub, text);
    (void)snprintf(net->url, sizeof(net->url), "%s", hakuban_listener_url(net->listener));
}

static void hub_end(network *net)
{
    net->listener = hakuban_listener_free(net->listener);
    net->exposing.hub = net->observing.hub = hakuban_exchange_free(net->exposing.hub);
}

static void begin(network *net, combination which)
{
    char address[TEXT_MAX], text[2 * TEXT_MAX];
    exchange_pair *pairs[] = {&net->exposing, &net->observing};
    memset(net, 0, sizeof(*net));
    net->which = which;
    hub_begin(net, address_of(which.transport, address));
    (void)snprintf(text, sizeof(text), "%s#serializer=%s,compressor=%s", net->url, which.serializer,
                   which.compressor);
    for (int i = 0; i < 2; i++) {
        pairs[i]->drive = HAKUBAN_DRIVE_THREAD;
        pairs[i]->leaf = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, i ? "observer" : "exposer");
        net->connections[i] = connect_to(pairs[i]->leaf, text, NULL);
        ck_assert_int_eq(hakuban_connection_wait(net->connections[i], PATIENCE_MS, NULL),
                         HAKUBAN_OK);
    }
}

static void end(network *net)
{
    for (int i = 0; i < 2; i++) {
        (void)hakuban_connection_free(net->connections[i]);
    }
    (void)hakuban_exchange_free(net->exposing.leaf);
    (void)hakuban_exchange_free(net->observing.leaf);
    hub_end(net);
}

/* Text that is different in each round, here and there, and for the rest like the round before. */
static char *make_text(size_t bytes, unsigned round)
{
    char *text = malloc(bytes + 1);
    ck_assert_ptr_nonnull(text);
    uint32_t noise = 7;
    for (size_t i = 0; i < bytes; i++) {
        noise = noise * 1664525u + 1013904223u;
        text[i] = (char)('a' + (noise >> 16) % (i % 3 ? 3 : 26));
        if (i % 5000 == 0) {
            text[i] = (char)('A' + round % 26);
        }
    }
    text[bytes] = '\0';
    return text;
}

static void send_text(hakuban_sink *sink, const char *text)
{
    hakuban_state_parts parts = {.data = text, .data_bytes = strlen(text)};
    hakuban_state *state = NULL;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_sink_send(sink, state), HAKUBAN_OK);
    (void)hakuban_state_unref(state);
}

static void send_and_await(network *net, hakuban_sink *sink, hakuban_contract *observer,
                           size_t bytes, unsigned round)
{
    char *text = make_text(bytes, round);
    send_text(sink, text);
    pair_await_text(&net->observing, hakuban_contract_queue(observer), text);
    free(text);
}

/* -- On each combination -- */

START_TEST(states_and_their_changes_arrive_through_a_hub)
{
    static const size_t sizes[] = {1, 100, 4096, 65536, 300000};
    network net;
    begin(&net, combination_of(_i));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char name[20];
        (void)snprintf(name, sizeof(name), "\"%zu\"", sizes[i]);
        hakuban_contract *exposer = expose(net.exposing.leaf, name, NULL);
        hakuban_contract *observer = observe(net.observing.leaf, name, NULL);
        hakuban_sink *sink = await_sink(&net.exposing, exposer);
        for (unsigned round = 0; round < 5; round++) {
            send_and_await(&net, sink, observer, sizes[i], round);
        }
        (void)hakuban_sink_unref(sink);
        (void)hakuban_contract_free(observer);
        (void)hakuban_contract_free(exposer);
    }
    end(&net);
}
END_TEST

START_TEST(a_tag_finds_what_carries_it)
{
    network net;
    hakuban_event event;
    hakuban_contract *contract = NULL, *exposers[3];
    begin(&net, combination_of(_i));
    ck_assert_int_eq(hakuban_observe_tag(net.observing.leaf, "\"t\"", NULL, &contract, NULL),
                     HAKUBAN_OK);
    hakuban_queue *queue = hakuban_contract_queue(contract);
    pair_await(&net.observing, queue, HAKUBAN_EVENT_LISTED, &event);
    hakuban_event_done(&event);
    for (int i = 0; i < 3; i++) {
        char name[20];
        (void)snprintf(name, sizeof(name), "%d", i);
        hakuban_descriptor *object = make_name(name, "\"t\"");
        ck_assert_int_eq(hakuban_expose_object(net.exposing.leaf, object, NULL, &exposers[i]),
                         HAKUBAN_OK);
        (void)hakuban_descriptor_unref(object);
        hakuban_sink *sink = await_sink(&net.exposing, exposers[i]);
        send_text(sink, name);
        pair_await_text(&net.observing, queue, name);
        (void)hakuban_sink_unref(sink);
    }
    for (int i = 0; i < 3; i++) {
        (void)hakuban_contract_free(exposers[i]);
        pair_await(&net.observing, queue, HAKUBAN_EVENT_CLOSE, &event);
        hakuban_event_done(&event);
    }
    (void)hakuban_contract_free(contract);
    end(&net);
}
END_TEST

START_TEST(a_hub_may_go_and_come_back)
{
    network net;
    char url[TEXT_MAX];
    combination which = combination_of(_i);
    if (is_exempt("a_hub_may_go_and_come_back", which)) {
        return;
    }
    begin(&net, which);
    hakuban_contract *exposer = expose(net.exposing.leaf, "1", NULL);
    hakuban_contract *observer = observe(net.observing.leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&net.exposing, exposer);
    send_and_await(&net, sink, observer, 5000, 1);
    (void)snprintf(url, sizeof(url), "%s", net.url);
    hub_end(&net);
    hub_begin(&net, url);
    send_and_await(&net, sink, observer, 5000,
                   2); /* through the same sink: no other exposer took over */
    send_and_await(&net, sink, observer, 5000, 3);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(observer);
    (void)hakuban_contract_free(exposer);
    end(&net);
}
END_TEST

/* The queue is not read meanwhile: what waits there is the newest state, not all of them. */
START_TEST(a_slow_reader_gets_the_newest)
{
    enum { ROUNDS = 100 };
    network net;
    hakuban_event event;
    begin(&net, combination_of(_i));
    hakuban_contract *exposer = expose(net.exposing.leaf, "1", NULL);
    hakuban_contract *observer = observe(net.observing.leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&net.exposing, exposer);
    char *text = NULL;
    for (unsigned round = 0; round < ROUNDS; round++) {
        free(text);
        text = make_text(50000, round);
        send_text(sink, text);
    }
    unsigned states = 0;
    for (bool last = false; !last; states++) {
        pair_await(&net.observing, hakuban_contract_queue(observer), HAKUBAN_EVENT_STATE, &event);
        hakuban_slice data = hakuban_state_data(event.state);
        last = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
        hakuban_event_done(&event);
    }
    ck_assert_uint_le(states, ROUNDS);
    free(text);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(observer);
    (void)hakuban_contract_free(exposer);
    end(&net);
}
END_TEST

/* By looking, because the news may come together with the last state. */
static void await_no_source(hakuban_contract *observer, const char *name)
{
    hakuban_descriptor *object = make_name(name, NULL);
    hakuban_source source = HAKUBAN_SOURCE_ASSIGNED;
    for (int64_t until_ms = test_now_ms() + PATIENCE_MS; source != HAKUBAN_SOURCE_NONE;) {
        hakuban_event event;
        ck_assert_msg(test_now_ms() < until_ms, "the end was never noticed");
        if (hakuban_contract_peek(observer, object, &event) == HAKUBAN_OK) {
            source = event.source;
            hakuban_event_done(&event);
        }
        (void)poll(NULL, 0, 1);
    }
    (void)hakuban_descriptor_unref(object);
}

/* Orderly: what was sent arrives before the end. Killed: the end is noticed all the same. */
START_TEST(the_end_of_the_exposer_is_noticed)
{
    for (int orderly = 0; orderly < 2; orderly++) {
        network net;
        begin(&net, combination_of(_i));
        hakuban_contract *exposer = expose(net.exposing.leaf, "1", NULL);
        hakuban_contract *observer = observe(net.observing.leaf, "1", NULL);
        hakuban_sink *sink = await_sink(&net.exposing, exposer);
        send_and_await(&net, sink, observer, 100, 1);
        char *last = make_text(200000, 2);
        if (orderly) {
            send_text(sink, last);
            ck_assert_int_eq(hakuban_exchange_close(net.exposing.leaf, PATIENCE_MS), HAKUBAN_OK);
        }
        (void)hakuban_sink_unref(sink);
        (void)hakuban_contract_free(exposer);
        net.connections[0] = hakuban_connection_free(net.connections[0]);
        net.exposing.leaf = hakuban_exchange_free(net.exposing.leaf);
        if (orderly) {
            pair_await_text(&net.observing, hakuban_contract_queue(observer), last);
        }
        await_no_source(observer, "1");
        free(last);
        (void)hakuban_contract_free(observer);
        end(&net);
    }
}
END_TEST

START_TEST(a_state_of_megabytes_arrives_in_parts)
{
    network net;
    begin(&net, combination_of(_i));
    hakuban_contract *exposer = expose(net.exposing.leaf, "1", NULL);
    hakuban_contract *observer = observe(net.observing.leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&net.exposing, exposer);
    send_and_await(&net, sink, observer, 3u << 20, 1);
    send_and_await(&net, sink, observer, 3u << 20, 2);
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(observer);
    (void)hakuban_contract_free(exposer);
    end(&net);
}
END_TEST

/* -- Two transports at once: for each two that were built -- */

START_TEST(what_is_exposed_over_one_transport_is_observed_over_another)
{
    const char *const both[] = {transports.text[_i / transports.count],
                                transports.text[_i % transports.count]};
    exchange_pair pairs[2];
    hakuban_listener *listeners[2];
    hakuban_connection *connections[2];
    hakuban_exchange *hub = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "hub");
    for (int i = 0; i < 2; i++) {
        char address[TEXT_MAX];
        listeners[i] = listen_at(hub, address_of(both[i], address));
        pairs[i] = (exchange_pair){HAKUBAN_DRIVE_THREAD, hub,
                                   exchange_make(HAKUBAN_DRIVE_THREAD, NULL, both[i])};
        connections[i] = connect_to(pairs[i].leaf, hakuban_listener_url(listeners[i]), NULL);
    }
    hakuban_contract *exposer = expose(pairs[0].leaf, "1", NULL);
    hakuban_contract *observer = observe(pairs[1].leaf, "1", NULL);
    hakuban_sink *sink = await_sink(&pairs[0], exposer);
    send_text(sink, "from one to the other");
    pair_await_text(&pairs[1], hakuban_contract_queue(observer), "from one to the other");
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(observer);
    (void)hakuban_contract_free(exposer);
    for (int i = 0; i < 2; i++) {
        (void)hakuban_connection_free(connections[i]);
        (void)hakuban_listener_free(listeners[i]);
        (void)hakuban_exchange_free(pairs[i].leaf);
    }
    (void)hakuban_exchange_free(hub);
}
END_TEST

/* -- Bad input -- */

static atomic_long allocated_bytes;

static void *count_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    allocated_bytes += (long)bytes;
    return malloc(bytes);
}

static void *count_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    allocated_bytes += (long)new_bytes - (long)old_bytes;
    return realloc(memory, new_bytes);
}

static void count_free(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    allocated_bytes -= (long)bytes;
    free(memory);
}

static const hakuban_alloc counting = {NULL, count_alloc, count_realloc, count_free};

/* %s: a good address. What the error must name. */
static const struct {
    const char *prefix, *suffix, *names;
    hakuban_status status;
} bad_urls[] = {
    {"carrierpigeon://nest", "", "carrierpigeon", HAKUBAN_ERR_UNSUPPORTED},
    {"", "#colour=green", "colour", HAKUBAN_ERR_URL},
    {"", "#serializer=morse", "morse", HAKUBAN_ERR_UNSUPPORTED},
    {"", "#compressor=steam", "steam", HAKUBAN_ERR_UNSUPPORTED},
    {"", "#timeout=soon", "timeout", HAKUBAN_ERR_URL},
    {"no scheme at all", "", "", HAKUBAN_ERR_URL},
};

START_TEST(a_bad_url_is_refused_in_words_and_nothing_else_is_touched)
{
    char address[TEXT_MAX], url[2 * TEXT_MAX];
    long before_bytes = allocated_bytes;
    exchange_pair pair = {HAKUBAN_DRIVE_THREAD, exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "hub"),
                          exchange_make(HAKUBAN_DRIVE_THREAD, &counting, "leaf")};
    hakuban_listener *listener = listen_at(pair.hub, address_of(transports.text[0], address));
    if (bad_urls[_i].prefix[0]) {
        (void)snprintf(url, sizeof(url), "%s", bad_urls[_i].prefix);
    } else {
        (void)snprintf(url, sizeof(url), "%s%s", hakuban_listener_url(listener),
                       bad_urls[_i].suffix);
    }
    char whole[CERTIFICATES_URL_BYTES];
    long between_bytes = allocated_bytes;
    int descriptors = open_descriptors();
    for (int dials = 0; dials < 2; dials++) {
        hakuban_connection *connection = NULL;
        hakuban_listener *refused = NULL;
        hakuban_error error = {.status = HAKUBAN_OK};
        hakuban_status status =
            dials ? hakuban_exchange_connect(pair.leaf, url, NULL, &connection, &error)
                  : hakuban_exchange_listen(pair.leaf, certificates_url(url, whole), &refused,
                                            &error);
        ck_assert_msg(status == bad_urls[_i].status, "%s: %s: %s", url, hakuban_status_text(status),
                      error.text);
        ck_assert_int_eq(error.status, status);
        ck_assert_msg(strstr(error.text, bad_urls[_i].names) && strlen(error.text) > 10, "%s: %s",
                      url, error.text);
        ck_assert(!connection && !refused);
    }
    ck_assert_int_eq(allocated_bytes, between_bytes);
    ck_assert_int_eq(open_descriptors(), descriptors);
    hakuban_connection *connection = connect_to(pair.leaf, hakuban_listener_url(listener), NULL);
    ck_assert_int_eq(hakuban_connection_wait(connection, PATIENCE_MS, NULL), HAKUBAN_OK);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
    ck_assert_int_eq(allocated_bytes, before_bytes);
}
END_TEST

static const hakuban_serializer_ops *real; /* what the one that fails half way stands on */
static atomic_int tokens_left;

static hakuban_status write_some(hakuban_writer *writer, const hakuban_token *token)
{
    return tokens_left-- > 0 ? real->write(writer, token) : HAKUBAN_ERR_IO;
}

static hakuban_serializer_ops half_way(hakuban_exchange *exchange)
{
    real = hakuban_exchange_serializer(exchange, serializers.text[0]);
    ck_assert_ptr_nonnull(real);
    hakuban_serializer_ops ops = *real;
    ops.name = "half";
    ops.write = write_some;
    return ops;
}

START_TEST(a_table_that_does_not_fit_is_refused_in_words)
{
    long before_bytes = allocated_bytes;
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_THREAD, &counting, "one");
    hakuban_serializer_ops good = half_way(exchange), bad = good;
    hakuban_compressor_ops compressor = {
        .size = sizeof(compressor), .abi = HAKUBAN_COMPRESSOR_ABI, .name = "lazy"};
    hakuban_transport_ops transport = {
        .size = sizeof(transport), .abi = HAKUBAN_TRANSPORT_ABI + 1, .scheme = "future"};
    hakuban_error error = {.status = HAKUBAN_OK};
    long between_bytes = allocated_bytes;
    bad.read = NULL;
    ck_assert_int_eq(hakuban_exchange_add_serializer(exchange, &bad, &error), HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "read"));
    bad = good;
    bad.abi++;
    ck_assert_int_eq(hakuban_exchange_add_serializer(exchange, &bad, &error),
                     HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "abi 2"));
    ck_assert_int_eq(hakuban_exchange_add_compressor(exchange, &compressor, &error),
                     HAKUBAN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "bound"));
    ck_assert_int_eq(hakuban_exchange_add_transport(exchange, &transport, NULL, &error),
                     HAKUBAN_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "abi 2"));
    ck_assert_int_eq(allocated_bytes, between_bytes);
    ck_assert_ptr_null(hakuban_exchange_serializer(exchange, "half"));
    ck_assert_int_eq(hakuban_exchange_add_serializer(exchange, &good, &error), HAKUBAN_OK);
    (void)hakuban_exchange_free(exchange);
    ck_assert_int_eq(allocated_bytes, before_bytes);
}
END_TEST

/* The link whose serializer fails ends, whenever that is; the exchange and its other links live on.
 */
START_TEST(a_serializer_that_fails_half_way_ends_only_its_link)
{
    static const int lives[] = {0, 1, 5, 20, 60};
    long before_bytes = allocated_bytes;
    exchange_pair pair = {HAKUBAN_DRIVE_THREAD,
                          exchange_make(HAKUBAN_DRIVE_THREAD, &counting, "hub"),
                          exchange_make(HAKUBAN_DRIVE_THREAD, &counting, "leaf")};
    exchange_pair well = {HAKUBAN_DRIVE_THREAD, pair.hub,
                          exchange_make(HAKUBAN_DRIVE_THREAD, &counting, "well")};
    char address[TEXT_MAX], url[2 * TEXT_MAX];
    hakuban_serializer_ops half = half_way(pair.hub);
    tokens_left = lives[_i];
    ck_assert_int_eq(hakuban_exchange_add_serializer(pair.hub, &half, NULL), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_exchange_add_serializer(pair.leaf, &half, NULL), HAKUBAN_OK);
    hakuban_listener *listener = listen_at(pair.hub, address_of(transports.text[0], address));
    (void)snprintf(url, sizeof(url), "%s#serializer=half", hakuban_listener_url(listener));
    hakuban_connection *connection = connect_to(pair.leaf, url, NULL);
    hakuban_contract *exposer = expose(pair.leaf, "\"of the failing\"", NULL);
    hakuban_contract *observer = observe(pair.hub, "\"of the failing\"", NULL);
    hakuban_connection_info info = {.tries = 0};
    hakuban_sink *sink = NULL;
    unsigned round = 0;
    for (int64_t until_ms = test_now_ms() + PATIENCE_MS; info.last_error.status == HAKUBAN_OK;) {
        hakuban_event event;
        ck_assert_msg(test_now_ms() < until_ms, "the link never failed");
        if (hakuban_contract_next(exposer, 10, &event) == HAKUBAN_OK) {
            if (event.kind == HAKUBAN_EVENT_SINK_OPEN && !sink) {
                sink = hakuban_sink_ref(event.sink);
            }
            hakuban_event_done(&event);
        }
        if (sink) {
            ck_assert_int_le(hakuban_sink_send_json(sink, ++round % 2 ? "1" : "2", NULL), 0);
        }
        hakuban_connection_query(connection, &info);
    }
    sink = hakuban_sink_unref(sink);
    ck_assert_uint_gt(strlen(info.last_error.text), 5);
    hakuban_connection *other = connect_to(well.leaf, hakuban_listener_url(listener), NULL);
    hakuban_contract *sees = observe(well.leaf, "2", NULL), *shows = expose(well.hub, "2", NULL);
    sink = await_sink(&well, shows);
    send_text(sink, "all is well");
    pair_await_text(&well, hakuban_contract_queue(sees), "all is well");
    (void)hakuban_sink_unref(sink);
    (void)hakuban_contract_free(sees);
    (void)hakuban_contract_free(shows);
    (void)hakuban_contract_free(exposer);
    (void)hakuban_contract_free(observer);
    (void)hakuban_connection_free(other);
    (void)hakuban_connection_free(connection);
    (void)hakuban_listener_free(listener);
    (void)hakuban_exchange_free(well.leaf);
    (void)hakuban_exchange_free(pair.leaf);
    (void)hakuban_exchange_free(pair.hub);
    ck_assert_int_eq(allocated_bytes, before_bytes);
}
END_TEST

int main(void)
{
    transports = built("transports:");
    serializers = built("serializers:");
    compressors = built("compressors:");
    int count = transports.count * serializers.count * compressors.count;
    if (count == 0) {
        fprintf(stderr, "hakuban_features() names nothing to test: %s\n", hakuban_features());
        return 1;
    }
    Suite *suite = suite_create("matrix");
    TCase *each = tcase_create("every transport, serializer and compressor");
    tcase_add_unchecked_fixture(each, certificates_make, NULL);
    tcase_set_timeout(each, 60);
    tcase_add_loop_test(each, states_and_their_changes_arrive_through_a_hub, 0, count);
    tcase_add_loop_test(each, a_tag_finds_what_carries_it, 0, count);
    tcase_add_loop_test(each, a_hub_may_go_and_come_back, 0, count);
    tcase_add_loop_test(each, a_slow_reader_gets_the_newest, 0, count);
    tcase_add_loop_test(each, the_end_of_the_exposer_is_noticed, 0, count);
    tcase_add_loop_test(each, a_state_of_megabytes_arrives_in_parts, 0, count);
    suite_add_tcase(suite, each);
    TCase *two = tcase_create("two transports at once");
    tcase_add_unchecked_fixture(two, certificates_make, NULL);
    tcase_set_timeout(two, 60);
    tcase_add_loop_test(two, what_is_exposed_over_one_transport_is_observed_over_another, 0,
                        transports.count * transports.count);
    suite_add_tcase(suite, two);
    TCase *bad = tcase_create("bad input");
    tcase_add_unchecked_fixture(bad, certificates_make, NULL);
    tcase_set_timeout(bad, 60);
    tcase_add_loop_test(bad, a_bad_url_is_refused_in_words_and_nothing_else_is_touched, 0,
                        (int)(sizeof(bad_urls) / sizeof(bad_urls[0])));
    tcase_add_test(bad, a_table_that_does_not_fit_is_refused_in_words);
    tcase_add_loop_test(bad, a_serializer_that_fails_half_way_ends_only_its_link, 0, 5);
    suite_add_tcase(suite, bad);
    return run_suite(suite);
}
