/* Rust peers, played from what was recorded and from scripts: they see of us what they would see of
 * the reference, in bytes, and whatever else they say ends their own connection only. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "exchange/records.h"
#include "parts.h"
#include "users.h"
#include "vectors.h"
#include "wire/rust_delta.h"

#define OBJECT "\"o\""
#define TAG "\"t\""

enum { LOG_BYTES_MAX = 1 << 20, CHANNELS_MAX = 64 };

/* One Rust program or router at the end of a link. */
typedef struct rust_peer {
    net_node *node;
    hkb_peer *peer;
    hkb_rust rust;
    hkb_buffer packet; /* the last one, in one piece */
    hkb_buffer heard;  /* a line for each event */
    struct {
        uint8_t *data;
        size_t bytes;
    } states[2][CHANNELS_MAX]; /* what stands on each channel, by its originator */
} rust_peer;

/* -- An event as a line -- */

static void print(hkb_buffer *out, const char *text)
{
    ck_assert_int_eq(hkb_buffer_append(out, text, strlen(text)), HAKUBAN_OK);
}

static void print_descriptor(hkb_buffer *out, const hakuban_descriptor *descriptor)
{
    print(out, descriptor->text);
    const char *tag = hkb_descriptor_tags(descriptor);
    for (size_t i = 0; i < descriptor->tag_count; i++, tag += strlen(tag) + 1) {
        print(out, " ");
        print(out, tag);
    }
}

/* The data that a difference makes, not its bytes: those are each side's own. */
static void print_state(rust_peer *of, hkb_rust_channel channel, hkb_buffer *out,
                        const hkb_message *state)
{
    char text[64];
    size_t bytes;
    hakuban_slice old = {of->states[channel.of_client][channel.number].data,
                         of->states[channel.of_client][channel.number].bytes};
    ck_assert_int_eq(hkb_rust_delta_size(state->payload, old.bytes, 1 << 27, &bytes, NULL),
                     HAKUBAN_OK);
    uint8_t *data = malloc(bytes + 1);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(hkb_rust_delta_apply(old, state->payload, data, bytes), HAKUBAN_OK);
    free(of->states[channel.of_client][channel.number].data);
    of->states[channel.of_client][channel.number].data = data;
    of->states[channel.of_client][channel.number].bytes = bytes;
    print(out, "state");
    for (size_t i = 0; i < state->version.count; i++) {
        snprintf(text, sizeof(text), " %lld", (long long)state->version.elements[i]);
        print(out, text);
    }
    const char *name = state->format;
    print(out, name ? " format" : "");
    for (size_t i = 0; i < state->format_count; i++, name += strlen(name) + 1) {
        print(out, " ");
        print(out, name);
    }
    snprintf(text, sizeof(text), " %s %zu bytes %016llx", state->age_ns ? "stale" : "live", bytes,
             (unsigned long long)hkb_hash64(data, bytes));
    print(out, text);
}

static void print_action(rust_peer *of, hkb_rust_channel channel, hkb_buffer *out,
                         const hkb_rust_action *action)
{
    static const char *const names[] = {
        "",         "control",    "control", "sink ",     "stream ",   "name ", "limit",
        "observe ", "unobserve ", "expose ", "unexpose ", "capacity ", "state", "synchronized "};
    const hkb_message *message = &action->message;
    char text[64];
    if (action->kind == HKB_RUST_PATCH) {
        print_state(of, channel, out, message);
        return;
    }
    print(out, names[action->kind]);
    if (message->descriptor) {
        print_descriptor(out, message->descriptor);
    }
    if (message->text.bytes) {
        ck_assert_int_eq(hkb_buffer_append(out, message->text.data, message->text.bytes),
                         HAKUBAN_OK);
    }
    snprintf(text, sizeof(text), " %u", message->capacity);
    if (action->kind == HKB_RUST_EXPOSE || action->kind == HKB_RUST_CAPACITY) {
        print(out, text);
    }
    if (action->kind == HKB_RUST_SYNCHRONIZED) {
        print(out, message->age_ns ? "ago" : "now");
    }
}

/* "7 opens; ", "7: sink …" and the like; 'c' stands before a client's number. */
static void print_event(rust_peer *of, hkb_buffer *out, hakuban_slice data)
{
    hkb_rust_reader reader;
    hkb_rust_event event;
    hakuban_error error = {.text = ""};
    char number[32];
    if (data.bytes == 1) {
        print(out, "alive\n");
        return;
    }
    hakuban_status status = hkb_rust_read_event(&reader, &of->rust, data, &event, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s", error.text);
    snprintf(number, sizeof(number), "%s%u", event.channel.of_client ? "c" : "",
             event.channel.number);
    print(out, number);
    ck_assert_uint_lt(event.channel.number, CHANNELS_MAX);
    print(out, event.kind == HKB_RUST_OPEN    ? " opens"
               : event.kind == HKB_RUST_CLOSE ? " closes"
                                              : "");
    while (event.kind == HKB_RUST_MESSAGE) {
        hkb_rust_action action;
        status = hkb_rust_read_action(&reader, &action, &error);
        ck_assert_msg(status == HAKUBAN_OK, "%s", error.text);
        if (!action.kind) {
            break;
        }
        print(out, ": ");
        print_action(of, event.channel, out, &action);
        hakuban_descriptor_unref(action.message.descriptor);
    }
    ck_assert_ptr_eq(reader.at, reader.end); /* one event a message, and nothing else */
    print(out, "\n");
}

/* -- Talking -- */

static void turn(rust_peer *of)
{
    hkb_peer *peer;
    hkb_exchange_settle(of->node->exchange);
    while ((peer = hkb_exchange_ready_peer(of->node->exchange))) {
        rust_peer *to = hkb_peer_carrier(peer);
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
        for (; packet.bytes; hkb_peer_pull(peer, &packet)) {
            if (to) {
                hakuban_slice joined = parts_joined(&to->packet, packet.parts, packet.part_count);
                print_event(to, &to->heard, joined);
            }
        }
    }
}

static void rust_begin(rust_peer *of, net_node *node, bool connector)
{
    hkb_link_settings settings;
    memset(of, 0, sizeof(*of));
    of->node = node;
    hkb_rust_init(&of->rust, hakuban_alloc_default());
    hkb_buffer_init(&of->packet, hakuban_alloc_default(), SIZE_MAX);
    hkb_buffer_init(&of->heard, hakuban_alloc_default(), LOG_BYTES_MAX);
    net_settings(node, "name=router", &settings);
    settings.rust = true;
    ck_assert_int_eq(
        hkb_exchange_attach(net_enter(node), &settings, connector, false, of, &of->peer),
        HAKUBAN_OK);
    turn(of);
}

static void rust_end(rust_peer *of)
{
    net_enter(of->node);
    if (of->peer) {
        (void)hkb_peer_lost(of->peer, HAKUBAN_ERR_CLOSED, "gone");
    }
    of->peer = NULL;
    hkb_exchange_settle(of->node->exchange);
    hkb_buffer_done(&of->packet);
    hkb_buffer_done(&of->heard);
    for (size_t i = 0; i < 2 * CHANNELS_MAX; i++) {
        free(of->states[i / CHANNELS_MAX][i % CHANNELS_MAX].data);
    }
}

static void says(rust_peer *of, const void *data, size_t bytes)
{
    net_enter(of->node);
    hkb_peer_receive(of->peer, data, bytes);
    while (hkb_peer_is_behind(of->peer)) {
        hkb_exchange_tick(of->node->exchange);
    }
    turn(of);
}

/* Hexadecimal digits, with white space. */
static void says_hex(rust_peer *of, const char *hex)
{
    uint8_t data[512];
    size_t bytes = 0;
    for (; *hex; hex++) {
        unsigned byte;
        if (*hex == ' ') {
            continue;
        }
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        data[bytes++] = (uint8_t)byte;
        hex++;
    }
    says(of, data, bytes);
}

/* What was heard since the last time. */
static void hears(rust_peer *of, const char *expected)
{
    turn(of);
    print(&of->heard, "");
    ck_assert_int_eq(hkb_buffer_append(&of->heard, "", 1), HAKUBAN_OK);
    ck_assert_str_eq((const char *)of->heard.data, expected);
    of->heard.bytes = 0;
}

/* A client that has said its first words. */
static void client_begin(rust_peer *of, net_node *node)
{
    rust_begin(of, node, false);
    says_hex(of, "00 01 01");
    says_hex(of, "01 01 01 00 01 00 00");
    says_hex(of, "01 01 01 01 02 00 00 03 626f62 00 01 00");
    hears(of, "1 opens\n1: control\n1: name router\n");
}

/* A server, likewise. */
static void server_begin(rust_peer *of, net_node *node)
{
    rust_begin(of, node, true);
    says_hex(of, "00 00 01");
    says_hex(of, "01 00 01 00 01 00 01");
    says_hex(of, "01 00 01 02 01 00 00 03 746f70");
    hears(of, "c1 opens\nc1: control\nc1: name router: limit\n");
}

/* -- The recorded session -- */

typedef struct line {
    unsigned long channel;
    size_t at, bytes;
} line;

static int by_channel(const void *a, const void *b)
{
    const line *x = a, *y = b;
    if (x->channel != y->channel) {
        return x->channel < y->channel ? -1 : 1;
    }
    return x->at < y->at ? -1 : 1;
}

/* The lines in the order of their channels: between those there is no order. */
static char *in_order(const hkb_buffer *lines)
{
    line *found = calloc(lines->bytes + 1, sizeof(*found));
    char *out = malloc(lines->bytes + 1);
    const char *text = (const char *)lines->data;
    size_t count = 0, used = 0;
    ck_assert(found && out);
    for (size_t at = 0; at < lines->bytes;) {
        size_t bytes =
            (size_t)((const char *)memchr(text + at, '\n', lines->bytes - at) - text) + 1 - at;
        found[count] = (line){strtoul(text + at, NULL, 10), at, bytes};
        count++;
        at += bytes;
    }
    qsort(found, count, sizeof(*found), by_channel);
    for (size_t i = 0; i < count; i++) {
        memcpy(out + used, text + found[i].at, found[i].bytes);
        used += found[i].bytes;
    }
    out[used] = 0;
    free(found);
    return out;
}

START_TEST(a_recorded_session_of_rust_clients_sees_what_it_saw_of_its_own_router)
{
    static const char *const names[] = {"A", "B", "A2", "C"};
    rust_peer clients[HKB_COUNT(names)], recorded[HKB_COUNT(names)];
    bool here[HKB_COUNT(names)] = {false};
    hakuban_slice object;
    vectors v;
    net *network = net_new(1);
    net_node *node = net_add(network);
    for (size_t i = 0; i < HKB_COUNT(names); i++) {
        memset(&recorded[i], 0, sizeof(recorded[i]));
        recorded[i].node = node;
        hkb_rust_init(&recorded[i].rust, hakuban_alloc_default());
        hkb_buffer_init(&recorded[i].heard, hakuban_alloc_default(), LOG_BYTES_MAX);
    }
    vectors_open(&v, "session", NULL);
    while (vectors_next(&v, &object)) {
        char *name = vectors_text(object, "conn"), *direction = vectors_text(object, "dir"),
             *kind = vectors_text(object, "kind");
        hakuban_slice time;
        ck_assert(vectors_member(object, "t_ms", &time));
        uint64_t at_ns = NET_BEGIN_NS + strtoul(time.data, NULL, 10) * NET_MS;
        if (at_ns > network->now_ns) {
            network->now_ns = at_ns;
        }
        hkb_exchange_tick(net_enter(node));
        for (size_t i = 0; i < HKB_COUNT(names); i++) {
            size_t bytes;
            if (strcmp(name, names[i]) != 0) {
                continue;
            }
            bool up = strcmp(direction, "c2s") == 0;
            if (up && strcmp(kind, "http") == 0) {
                rust_begin(&clients[i], node, false);
                here[i] = true;
            } else if (strcmp(kind, "binary") == 0) {
                uint8_t *data = vectors_hex(object, "hex", &bytes);
                ck_assert(here[i]);
                if (up) {
                    says(&clients[i], data, bytes);
                } else {
                    print_event(&recorded[i], &recorded[i].heard, (hakuban_slice){data, bytes});
                }
                ck_assert_int_eq(clients[i].peer->link.phase, HKB_LINK_OPEN);
                free(data);
            } else if (up && strcmp(kind, "text") == 0) {
                says(&clients[i], ".", 1);
            } else if (up && strcmp(kind, "eof") == 0) {
                (void)hkb_peer_lost(clients[i].peer, HAKUBAN_ERR_CLOSED, "gone");
                clients[i].peer = NULL;
                turn(&clients[i]);
            }
        }
        free(name);
        free(direction);
        free(kind);
    }
    vectors_close(&v);
    for (size_t i = 0; i < HKB_COUNT(names); i++) {
        char *expected = in_order(&recorded[i].heard), *heard = in_order(&clients[i].heard);
        ck_assert_uint_gt(strlen(expected), 30);
        ck_assert_str_eq(heard, expected);
        free(expected);
        free(heard);
        rust_end(&clients[i]);
        rust_end(&recorded[i]);
    }
    ck_assert_uint_eq(node->exchange->objects.count, 0);
    net_free(network);
}
END_TEST

/* -- What a client sees -- */

#define OBSERVE_O "01 01 01 01 01 01 00 00 03 226f22"
#define UNOBSERVE_O "01 01 01 01 01 01 01 00 03 226f22"
#define EXPOSE_O "01 01 01 01 01 01 02 00 03 226f22 01"
#define UNEXPOSE_O "01 01 01 01 01 01 03 00 03 226f22"

START_TEST(a_stream_is_open_only_while_there_is_an_exposer)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    exposer user;
    client_begin(&client, node);
    says_hex(&client, OBSERVE_O);
    hears(&client, "");
    expose_object(&user, node, OBJECT, NULL, 1);
    hears(&client, "2 opens\n2: stream " OBJECT "\n");
    expose_turn(&user);
    net_enter(node);
    ck_assert_int_eq(net_send_version(node, exposed(&user, OBJECT)->sink, "1", 7), HAKUBAN_OK);
    hears(&client, "2: state 7 format JSON live 1 bytes 65cd25028f98f158\n");
    expose_end(&user);
    hears(&client, "2 closes\n");
    rust_end(&client);
    net_free(network);
}
END_TEST

START_TEST(an_exposer_is_taken_at_its_word_and_heard_by_all_observers)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    watcher user;
    client_begin(&client, node);
    says_hex(&client, EXPOSE_O);
    watch_object(&user, node, OBJECT, NULL);
    hears(&client, "2 opens\n2: sink " OBJECT "\n");
    says_hex(&client, "01 00 02 03 01 00 02 0203 01 01 04 4a534f4e 02 3432 00");
    const seen_object *seen = watched(&user, OBJECT);
    ck_assert_str_eq(seen->text, "42");
    ck_assert_int_eq(seen->freshness, HAKUBAN_LIVE);
    ck_assert_int_eq(seen->version.elements[1], -2);
    /* A difference, LIVE no more, and LIVE again. */
    says_hex(&client, "01 00 02 03 02 00 02 0204 00 03 343321 fc 80841e00 01 fc c0c62d00");
    seen = watched(&user, OBJECT);
    ck_assert_str_eq(seen->text, "43!");
    ck_assert_int_eq(seen->freshness, HAKUBAN_STALE);
    ck_assert_uint_eq(seen->age_ns, 3 * NET_S);
    says_hex(&client, "01 00 02 03 01 01 00");
    ck_assert_int_eq(watched(&user, OBJECT)->freshness, HAKUBAN_LIVE);
    /* What it says after the end of its channel is late, not wrong. */
    watch_end(&user);
    hears(&client, "2 closes\n");
    says_hex(&client, "01 00 02 03 01 01 0a");
    says_hex(&client, UNEXPOSE_O);
    ck_assert_int_eq(client.peer->link.phase, HKB_LINK_OPEN);
    rust_end(&client);
    net_free(network);
}
END_TEST

START_TEST(signs_of_life_go_both_ways_every_minute_and_silence_of_two_is_the_end)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    client_begin(&client, node);
    for (int minute = 1; minute <= 3; minute++) {
        network->now_ns += 59 * NET_S;
        hkb_exchange_tick(net_enter(node));
        hears(&client, "");
        network->now_ns += NET_S;
        hkb_exchange_tick(net_enter(node));
        hears(&client, "alive\n");
        says(&client, ".", 1);
    }
    network->now_ns += 119 * NET_S;
    hkb_exchange_tick(net_enter(node));
    turn(&client);
    ck_assert_int_eq(client.peer->link.phase, HKB_LINK_OPEN);
    network->now_ns += NET_S;
    hkb_exchange_tick(net_enter(node));
    turn(&client);
    ck_assert_int_eq(client.peer->link.phase, HKB_LINK_ENDED);
    ck_assert_int_eq(client.peer->link.reason.status, HAKUBAN_ERR_TIMEOUT);
    ck_assert(hkb_peer_is_over(client.peer));
    rust_end(&client);
    net_free(network);
}
END_TEST

START_TEST(a_state_over_their_limit_is_not_sent_and_the_next_one_is)
{
    enum { BYTES = 64 << 20 };
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    exposer user;
    uint8_t *data = calloc(1, BYTES);
    ck_assert_ptr_nonnull(data);
    client_begin(&client, node);
    says_hex(&client, OBSERVE_O);
    expose_object(&user, node, OBJECT, NULL, 1);
    hears(&client, "2 opens\n2: stream " OBJECT "\n");
    expose_turn(&user);
    ck_assert_int_eq(net_send_bytes(node, exposed(&user, OBJECT)->sink, data, BYTES), HAKUBAN_OK);
    hears(&client, "");
    ck_assert_int_eq(client.peer->link.phase, HKB_LINK_OPEN);
    ck_assert_int_eq(net_send_bytes(node, exposed(&user, OBJECT)->sink, data, BYTES / 2),
                     HAKUBAN_OK);
    turn(&client);
    ck_assert_uint_eq(client.states[0][2].bytes, BYTES / 2);
    free(data);
    expose_end(&user);
    rust_end(&client);
    net_free(network);
}
END_TEST

START_TEST(an_orderly_end_brings_the_last_state_first)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    exposer user;
    client_begin(&client, node);
    says_hex(&client, OBSERVE_O);
    expose_object(&user, node, OBJECT, NULL, 1);
    hears(&client, "2 opens\n2: stream " OBJECT "\n");
    expose_turn(&user);
    net_enter(node);
    ck_assert_int_eq(net_send_version(node, exposed(&user, OBJECT)->sink, "1", 7), HAKUBAN_OK);
    hkb_peer_leave(client.peer);
    ck_assert(!hkb_peer_is_over(client.peer));
    hears(&client, "2: state 7 format JSON live 1 bytes 65cd25028f98f158\n");
    ck_assert(hkb_peer_is_over(client.peer));
    ck_assert_int_eq(client.peer->link.reason.status, HAKUBAN_ERR_CLOSED);
    expose_end(&user);
    rust_end(&client);
    net_free(network);
}
END_TEST

/* -- What a server sees -- */

START_TEST(registrations_reach_a_server_as_changes)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer server;
    server_begin(&server, node);
    net_contract observing = net_observe(node, OBJECT, TAG);
    hears(&server, "c1: observe " OBJECT " " TAG "\n");
    net_contract exposing = net_expose(node, OBJECT, TAG, 3);
    hears(&server, "c1: expose " OBJECT " " TAG " 3\n");
    net_contract more = net_expose(node, OBJECT, TAG, 4);
    hears(&server, "c1: capacity " OBJECT " " TAG " 7\n");
    net_end(&observing);
    net_end(&exposing);
    hears(&server, "c1: unobserve " OBJECT " " TAG ": capacity " OBJECT " " TAG " 4\n");
    net_end(&more);
    hears(&server, "c1: unexpose " OBJECT " " TAG "\n");
    net_contract tags = net_observe_tag(node, TAG), all = net_expose_tag(node, TAG, 2);
    hears(&server, "c1: observe " TAG ": expose " TAG " 2\n");
    net_end(&tags);
    net_end(&all);
    hears(&server, "c1: unobserve " TAG ": unexpose " TAG "\n");
    rust_end(&server);
    net_free(network);
}
END_TEST

#define SERVER_STREAM(number) "01 00 " number " 00 01 00 03 00 03 226f22"
#define SERVER_SINK(number) "01 00 " number " 00 01 00 02 00 03 226f22"

START_TEST(a_server_may_open_and_close_its_channels_in_any_order)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer server;
    watcher user;
    exposer own;
    server_begin(&server, node);
    watch_object(&user, node, OBJECT, NULL);
    expose_object(&own, node, OBJECT, NULL, 1);
    hears(&server, "c1: observe " OBJECT ": expose " OBJECT " 1\n");
    /* 4 is opened before 3 and 2. */
    says_hex(&server, "00 00 04");
    says_hex(&server, "00 00 02");
    says_hex(&server, SERVER_SINK("02"));
    expose_turn(&own);
    ck_assert_int_eq(net_send_version(node, exposed(&own, OBJECT)->sink, "1", 7), HAKUBAN_OK);
    hears(&server, "2: state 7 format JSON live 1 bytes 65cd25028f98f158\n");
    /* A stream opens, and only then the sink closes; a second stream opens before the first is
     * closed. */
    says_hex(&server, SERVER_STREAM("04"));
    says_hex(&server, "01 00 04 03 01 00 01 10 01 00 01 32 00");
    says_hex(&server, "02 00 02");
    ck_assert_str_eq(watched(&user, OBJECT)->text, "2");
    says_hex(&server, "00 00 03");
    says_hex(&server, SERVER_STREAM("03"));
    says_hex(&server, "01 00 03 03 01 00 01 12 01 00 01 33 00");
    says_hex(&server, "01 00 04 03 01 00 01 10 00 01 39 00"); /* it is not heard any more */
    says_hex(&server, "02 00 04");
    ck_assert_str_eq(watched(&user, OBJECT)->text, "3");
    ck_assert_int_eq(watched(&user, OBJECT)->freshness, HAKUBAN_LIVE);
    says_hex(&server, "02 00 03");
    ck_assert_int_eq(server.peer->link.phase, HKB_LINK_OPEN);
    ck_assert_str_eq(watched(&user, OBJECT)->text, "3");
    watch_end(&user);
    expose_end(&own);
    rust_end(&server);
    net_free(network);
}
END_TEST

START_TEST(a_tag_is_listed_when_no_further_stream_has_come_for_a_while)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer server;
    watcher user;
    server_begin(&server, node);
    watch_tag(&user, node, TAG);
    hears(&server, "c1: observe " TAG "\n");
    for (int i = 0; i < 5; i++) {
        char hex[64];
        network->now_ns += 250 * NET_MS;
        hkb_exchange_tick(net_enter(node));
        snprintf(hex, sizeof(hex), "00 00 %02x", 2 + i);
        says_hex(&server, hex);
        snprintf(hex, sizeof(hex), "01 00 %02x 00 01 00 03 01 03 227422 01 3%d", 2 + i, i);
        says_hex(&server, hex);
        watch(&user);
        ck_assert(!user.listed);
    }
    network->now_ns += 300 * NET_MS;
    hkb_exchange_tick(net_enter(node));
    hkb_exchange_settle(node->exchange);
    watch(&user);
    ck_assert(user.listed);
    ck_assert_uint_eq(user.count, 5);
    watch_end(&user);
    rust_end(&server);
    net_free(network);
}
END_TEST

START_TEST(what_a_server_no_longer_has_after_it_came_back_is_closed)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer server, again;
    watcher user;
    hkb_exchange_expect_upstream(node->exchange, true);
    server_begin(&server, node);
    watch_tag(&user, node, TAG);
    for (int i = 1; i <= 2; i++) {
        char hex[64];
        snprintf(hex, sizeof(hex), "00 00 %02x", 1 + i);
        says_hex(&server, hex);
        snprintf(hex, sizeof(hex), "01 00 %02x 00 01 00 03 01 03 227422 01 3%d", 1 + i, i);
        says_hex(&server, hex);
        snprintf(hex, sizeof(hex), "01 00 %02x 03 01 00 01 02 01 00 01 31 00", 1 + i);
        says_hex(&server, hex);
    }
    rust_end(&server);
    ck_assert(watched(&user, "1")->open && watched(&user, "2")->open);
    ck_assert_int_eq(watched(&user, "1")->freshness, HAKUBAN_STALE);
    rust_begin(&again, node, true);
    hears(&again, "c1 opens\nc1: control\nc1: name router: limit\nc1: observe " TAG "\n");
    says_hex(&again, "00 00 02");
    says_hex(&again, "01 00 02 00 01 00 03 01 03 227422 01 31");
    says_hex(&again, "01 00 02 03 01 00 01 04 01 00 01 32 00");
    ck_assert_int_eq(watched(&user, "1")->freshness, HAKUBAN_LIVE);
    network->now_ns += 310 * NET_MS;
    hkb_exchange_tick(net_enter(node));
    hkb_exchange_settle(node->exchange);
    ck_assert(watched(&user, "1")->open);
    ck_assert(!watched(&user, "2")->open);
    watch_end(&user);
    rust_end(&again);
    net_free(network);
}
END_TEST

/* -- What no honest peer sends -- */

static const struct {
    bool server;
    const char *hex[5], *words;
} violations[] = {
    {false, {"09"}, "unknown event"},
    {false, {"00 00 01"}, "a channel of mine"},
    {false, {"02 00 01"}, "a channel of mine"},
    {false, {"00 01 01"}, "used again"},
    {false, {"02 01 01"}, "a control channel was closed"},
    {false, {"02 01 07"}, "never opened"},
    {false, {"01 01 02 01 00"}, "never opened"},
    {false, {"01 00 02 03 00"}, "never opened"},
    {false, {"01 01 01 03 00"}, "wrong kind of message on a control"},
    {false, {"00 01 02", "01 01 02 01 00"}, "does not say what it is for"},
    {false, {"00 01 02", "01 01 02 00 02 00 00 00 00"}, "does not say what it is for"},
    {false, {"00 01 02", "01 01 02 00 01 00 01"}, "type that the other side may not open"},
    {false, {"00 01 02", "01 01 02 00 01 00 03 00 01 30"}, "type that the other side may not open"},
    {false, {OBSERVE_O, OBSERVE_O}, "observed already"},
    {false, {EXPOSE_O, EXPOSE_O}, "exposed already"},
    {false, {OBSERVE_O, UNEXPOSE_O}, "not exposed"},
    {false, {EXPOSE_O, UNOBSERVE_O}, "not observed"},
    {false, {"01 01 01 01 01 02 00 01 30", "01 01 01 01 01 02 00 01 30"}, "observed already"},
    {false, {"01 01 01 01 01 00 01 01 0000c07f 03"}, "load limit"},
    {false, {"00 01 fc 00000020"}, "left out"},
    {true, {"00 01 02"}, "a channel of mine"},
    {true, {"00 00 01"}, "used again"},
    {true, {"02 00 01"}, "a control channel was closed"},
    {true, {"02 00 05"}, "never opened"},
    {true, {"01 00 01 02 01 00 01 00"}, "a load limit from a server"},
    {true, {"00 00 02", "01 00 02 00 01 00 00"}, "type that the other side may not open"},
    {true, {"00 00 02", "01 00 02 00 01 00 01"}, "too many control channels"},
    {true, {"00 00 02", SERVER_SINK("02"), "01 00 02 03 00"}, "against the states"},
    {true,
     {"00 00 02", SERVER_STREAM("02"), "01 00 02 00 00"},
     "wrong kind of message on a channel for states"},
    {true, {"00 00 02", SERVER_STREAM("02"), "01 00 02 03 01 00 01 02 00 01 31 00"}, "no format"},
    {true,
     {"00 00 02", SERVER_STREAM("02"), "01 00 02 03 01 00 01 02 01 00 03 ff8005 00"},
     "refers to behind the old state"},
    {true,
     {"00 00 02", SERVER_STREAM("02"), "01 00 02 03 01 00 01 02 01 00 08 78ff01fdffffffff 00"},
     "more than 67108864 bytes"},
    {true, {"00 00 02", SERVER_STREAM("02"), "02 00 02", "02 00 02"}, "closed again"},
    {true, {"00 00 02", SERVER_STREAM("02"), "02 00 02", "01 00 02 03 00"}, "was closed"},
    {true, {"00 00 02", SERVER_STREAM("02"), "02 00 02", "00 00 02"}, "used again"},
};

START_TEST(a_violation_ends_its_own_connection_with_words_and_nothing_else)
{
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer bad, good;
    client_begin(&good, node);
    if (violations[_i].server) {
        server_begin(&bad, node);
    } else {
        client_begin(&bad, node);
    }
    for (size_t i = 0; violations[_i].hex[i]; i++) {
        ck_assert_msg(bad.peer->link.phase == HKB_LINK_OPEN, "%zu: %s", i,
                      bad.peer->link.reason.text);
        says_hex(&bad, violations[_i].hex[i]);
    }
    ck_assert_int_eq(bad.peer->link.phase, HKB_LINK_ENDED);
    ck_assert_msg(strstr(bad.peer->link.reason.text, violations[_i].words), "%s",
                  bad.peer->link.reason.text);
    turn(&bad);
    ck_assert(hkb_peer_is_over(bad.peer));
    rust_end(&bad);
    says_hex(&good, OBSERVE_O);
    says_hex(&good, UNOBSERVE_O);
    ck_assert_int_eq(good.peer->link.phase, HKB_LINK_OPEN);
    rust_end(&good);
    ck_assert_uint_eq(node->exchange->objects.count, 0);
    net_free(network);
}
END_TEST

START_TEST(what_the_reference_ignores_is_ignored)
{
    static const char *const ignored[] = {
        UNOBSERVE_O,
        UNEXPOSE_O,
        "01 01 01 01 01 01 04 00 03 226f22 05", /* never heard of */
        "01 00 01 02 00",                       /* on the control channel that is mine */
        "00 01 02",
        "01 01 02 00 01 00 00",
        "01 01 02 01 01 00 00 01 78", /* a second control channel */
        "01 01 01 01 00",             /* no action at all */
    };
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer client;
    client_begin(&client, node);
    for (size_t i = 0; i < HKB_COUNT(ignored); i++) {
        says_hex(&client, ignored[i]);
        ck_assert_msg(client.peer->link.phase == HKB_LINK_OPEN, "%s: %s", ignored[i],
                      client.peer->link.reason.text);
    }
    hears(&client, "");
    ck_assert_str_eq(hkb_peer_name(client.peer), "x");
    rust_end(&client);
    net_free(network);
}
END_TEST

/* Opens and what they are for may be far apart, and each is found again. */
START_TEST(ten_thousand_channels_that_open_before_any_says_what_it_is_for_cost_a_byte_each)
{
    enum { CHANNELS = 10000 };
    net *network = net_new(1);
    net_node *node = net_add(network);
    rust_peer server;
    server_begin(&server, node);
    net_contract tags = net_observe_tag(node, TAG);
    hears(&server, "c1: observe " TAG "\n");
    size_t before = node->memory.bytes;
    for (unsigned i = 0; i < CHANNELS; i++) {
        uint8_t open[] = {0, 0, 0xfb, (uint8_t)(i + 2), (uint8_t)((i + 2) >> 8)};
        net_enter(node);
        hkb_peer_receive(server.peer, open, sizeof(open));
        hkb_exchange_tick(node->exchange); /* each in a turn of its own */
    }
    ck_assert_uint_le(node->memory.bytes - before, 4 * CHANNELS);
    for (unsigned k = 0; k < CHANNELS; k++) {
        unsigned i = (k * 7919) % CHANNELS; /* in any order */
        uint8_t says_what[64] = {
            1,   0,   0xfb, (uint8_t)(i + 2), (uint8_t)((i + 2) >> 8), 0, 1, 0, 3, 1, 3, '"',
            't', '"', 5};
        snprintf((char *)says_what + 15, 8, "%05u", 10000 + i);
        net_enter(node);
        hkb_peer_receive(server.peer, says_what, 20);
        hkb_exchange_tick(node->exchange);
        ck_assert_msg(server.peer->link.phase == HKB_LINK_OPEN, "%s",
                      server.peer->link.reason.text);
    }
    hkb_exchange_settle(node->exchange);
    ck_assert_uint_eq(node->exchange->objects.count, CHANNELS);
    net_end(&tags);
    rust_end(&server);
    net_free(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rust");
    TCase *tcase = tcase_create("peers");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_recorded_session_of_rust_clients_sees_what_it_saw_of_its_own_router);
    tcase_add_test(tcase, a_stream_is_open_only_while_there_is_an_exposer);
    tcase_add_test(tcase, an_exposer_is_taken_at_its_word_and_heard_by_all_observers);
    tcase_add_test(tcase, signs_of_life_go_both_ways_every_minute_and_silence_of_two_is_the_end);
    tcase_add_test(tcase, a_state_over_their_limit_is_not_sent_and_the_next_one_is);
    tcase_add_test(tcase, an_orderly_end_brings_the_last_state_first);
    tcase_add_test(tcase, registrations_reach_a_server_as_changes);
    tcase_add_test(tcase, a_server_may_open_and_close_its_channels_in_any_order);
    tcase_add_test(tcase, a_tag_is_listed_when_no_further_stream_has_come_for_a_while);
    tcase_add_test(tcase, what_a_server_no_longer_has_after_it_came_back_is_closed);
    tcase_add_loop_test(tcase, a_violation_ends_its_own_connection_with_words_and_nothing_else, 0,
                        HKB_COUNT(violations));
    tcase_add_test(tcase, what_the_reference_ignores_is_ignored);
    tcase_add_test(tcase,
                   ten_thousand_channels_that_open_before_any_says_what_it_is_for_cost_a_byte_each);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
