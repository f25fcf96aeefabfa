/* A whole exchange between Rust strangers, one upstream and two downstreams, with local contracts:
 * whatever they say, nothing crashes, nothing is left over, memory stays bounded, and what goes out
 * is one well-formed event a packet. The input is pieces: an actor (0 to 2: a stranger, else the
 * program), a length, and so many bytes: an event, or what the program does. */
#include <stdlib.h>

#include "exchange/records.h"
#include "fail_alloc.h"
#include "parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { PEERS = 3, CONTRACTS = 6, STEPS_MAX = 500, MEMORY_BYTES_MAX = 32 << 20, PULLS_MAX = 20000 };

typedef struct stranger {
    hkb_peer *peer;
} stranger;

typedef struct world {
    fail_alloc memory;
    hkb_exchange *exchange;
    hakuban_queue *queue;
    hkb_rust rust;
    stranger strangers[PEERS];
    hakuban_descriptor *objects[2];
    hakuban_contract *contracts[CONTRACTS];
    hakuban_sink *sinks[CONTRACTS];
    hkb_buffer packet;
    uint64_t now_ns, random;
} world;

static hkb_registry registry;

/* -- Host -- */

static uint64_t next_random(void *ctx)
{
    return ((world *)ctx)->random += 0x9e3779b97f4a7c15u;
}

static void queue_ready(void *ctx, hakuban_queue *queue)
{
    (void)ctx;
    (void)queue;
}

static void opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    HKB_ASSERT(((stranger *)carrier)->peer == peer);
}

static void moved(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    (void)carrier;
    (void)peer;
    HKB_ASSERT(false); /* they have no sessions */
}

static void dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    (void)ctx;
    (void)carrier;
    (void)why;
    HKB_ASSERT(false);
}

static void ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    (void)ctx;
    (void)carrier;
    (void)orderly;
    HKB_ASSERT(why->status < 0 && why->text[0]);
}

/* -- What comes out -- */

static void check_packet(world *w, hakuban_slice packet)
{
    hkb_rust_reader reader;
    hkb_rust_event event;
    hkb_rust_action action;
    hakuban_error error;
    if (packet.bytes == 0 || (packet.bytes == 1 && *(const char *)packet.data == '.')) {
        return;
    }
    HKB_ASSERT(hkb_rust_read_event(&reader, &w->rust, packet, &event, &error) == HAKUBAN_OK);
    do {
        HKB_ASSERT(hkb_rust_read_action(&reader, &action, &error) == HAKUBAN_OK);
        hakuban_descriptor_unref(action.message.descriptor);
    } while (action.kind);
    HKB_ASSERT(reader.at == reader.end);
}

static void carry(world *w)
{
    hkb_exchange_settle(w->exchange);
    hkb_peer *peer;
    unsigned pulls = 0;
    while ((peer = hkb_exchange_ready_peer(w->exchange))) {
        stranger *s = hkb_peer_carrier(peer);
        HKB_ASSERT(pulls++ < PULLS_MAX);
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
        check_packet(w, parts_joined(&w->packet, packet.parts, packet.part_count));
        if (hkb_peer_is_over(peer)) {
            s->peer = NULL;
            (void)hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "over");
        }
    }
    hkb_exchange_settle(w->exchange);
    HKB_ASSERT(w->memory.bytes < MEMORY_BYTES_MAX);
}

/* -- What goes in -- */

static void stranger_says(world *w, stranger *s, const uint8_t *data, size_t bytes)
{
    static const hkb_link_settings defaults = {
        .name = "here",
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
        .load_limit = {.count = 2, .points = {{0, 0}, {1000000000, 8}}},
        .rust = true,
    };
    bool connector = s == &w->strangers[0];
    if (!s->peer &&
        hkb_exchange_attach(w->exchange, &defaults, connector, false, s, &s->peer) != HAKUBAN_OK) {
        s->peer = NULL;
    }
    if (s->peer) {
        hkb_peer_receive(s->peer, data, bytes);
    }
}

static void drop_contract(world *w, unsigned index)
{
    hakuban_contract *contract = w->contracts[index];
    if (w->sinks[index]) {
        hkb_sink_unref(w->sinks[index]);
    }
    w->sinks[index] = NULL;
    w->contracts[index] = NULL;
    if (contract) {
        hkb_contract_end(contract);
        hkb_contract_unref(contract);
    }
}

static void read_events(world *w)
{
    hakuban_event event;
    unsigned count = 0;
    while (hkb_queue_pop(w->queue, &event)) {
        HKB_ASSERT(count++ < 10000);
        size_t index = (size_t)((hakuban_contract **)event.user - w->contracts);
        HKB_ASSERT(index < CONTRACTS);
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN && !w->sinks[index]) {
            hkb_sink_ref(event.sink);
            w->sinks[index] = event.sink;
        } else if (event.kind == HAKUBAN_EVENT_SINK_CLOSE && w->sinks[index] == event.sink) {
            hkb_sink_unref(event.sink);
            w->sinks[index] = NULL;
        }
        hkb_event_done(&event);
    }
}

static void toggle_contract(world *w, unsigned index)
{
    static const char tag[] = "\"t\"";
    static const hkb_contract_kind kinds[] = {HKB_OBSERVE_OBJECT, HKB_EXPOSE_OBJECT,
                                              HKB_OBSERVE_TAG, HKB_EXPOSE_TAG};
    if (w->contracts[index]) {
        drop_contract(w, index);
    } else if (hkb_contract_new(w->exchange, kinds[index % 4], w->objects[index / 4],
                                (hakuban_slice){tag, sizeof(tag) - 1}, 1, w->queue,
                                &w->contracts[index], &w->contracts[index]) != HAKUBAN_OK) {
        w->contracts[index] = NULL;
    }
}

static void program_does(world *w, const uint8_t *data, size_t bytes)
{
    unsigned what = bytes ? data[0] : 0, index = bytes > 1 ? data[1] % CONTRACTS : 0;
    stranger *s = &w->strangers[index % PEERS];
    hakuban_state_parts parts = {.data = data + 2, .data_bytes = bytes > 2 ? bytes - 2 : 0};
    hakuban_state *state;
    switch (what % 7) {
    case 0:
        toggle_contract(w, index);
        break;
    case 1:
        if (w->sinks[index] && bytes > 2 &&
            hakuban_state_new(&w->memory.table, &parts, &state) == HAKUBAN_OK) {
            (void)hkb_sink_send(w->sinks[index], state);
            hakuban_state_unref(state);
        }
        break;
    case 2:
        w->now_ns += (uint64_t)(bytes > 1 ? data[1] : 1) * 500000000u;
        hkb_exchange_set_time(w->exchange, w->now_ns, (int64_t)w->now_ns);
        hkb_exchange_tick(w->exchange);
        break;
    case 3:
        if (s->peer) {
            (void)hkb_peer_lost(s->peer, HAKUBAN_ERR_IO, "gone");
        }
        s->peer = NULL;
        break;
    case 4:
        if (s->peer) {
            hkb_peer_set_writable(s->peer, bytes > 2 && data[2]);
        }
        break;
    case 5:
        if (s->peer) {
            hkb_peer_leave(s->peer);
        }
        break;
    default:
        fail_alloc_arm(&w->memory, bytes > 1 ? data[1] : 0, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = {"\"o\"", "2"};
    static const char *const tags[] = {"\"t\""};
    world w;
    memset(&w, 0, sizeof(w));
    hkb_exchange_settings settings = {
        .alloc = &w.memory.table,
        .registry = &registry,
        .host = {.ctx = &w,
                 .random = next_random,
                 .queue_ready = queue_ready,
                 .opened = opened,
                 .moved = moved,
                 .dropped = dropped,
                 .ended = ended},
        .rebalance_threshold = 0.1,
        .rebalances = true,
    };
    fail_alloc_init(&w.memory);
    if (!registry.alloc) {
        hkb_registry_init(&registry, hakuban_alloc_default());
        HKB_ASSERT(hkb_registry_add_builtin(&registry) == HAKUBAN_OK);
    }
    w.now_ns = 1000000000;
    hkb_rust_init(&w.rust, hakuban_alloc_default());
    hkb_buffer_init(&w.packet, hakuban_alloc_default(), SIZE_MAX);
    for (size_t i = 0; i < 2; i++) {
        HKB_ASSERT(hakuban_descriptor_new(NULL, names[i], tags, i, &w.objects[i], NULL) ==
                   HAKUBAN_OK);
    }
    HKB_ASSERT(hkb_exchange_new(&settings, w.now_ns, (int64_t)w.now_ns, &w.exchange) == HAKUBAN_OK);
    HKB_ASSERT(hkb_queue_new(w.exchange, &w.queue) == HAKUBAN_OK);
    for (unsigned step = 0; bytes >= 2 && step < STEPS_MAX; step++) {
        unsigned actor = data[0] % 5;
        size_t piece = hkb_min(data[1], bytes - 2);
        uint8_t *copy = malloc(piece + 1); /* of exactly its size, for a sanitizer */
        if (!copy) {
            break;
        }
        memcpy(copy, data + 2, piece);
        if (actor < PEERS) {
            stranger_says(&w, &w.strangers[actor], copy, piece);
        } else {
            program_does(&w, copy, piece);
        }
        free(copy);
        carry(&w);
        read_events(&w);
        data += 2 + piece;
        bytes -= 2 + piece;
    }
    fail_alloc_arm(&w.memory, 0, false);
    for (unsigned i = 0; i < PEERS; i++) {
        if (w.strangers[i].peer) {
            (void)hkb_peer_lost(w.strangers[i].peer, HAKUBAN_ERR_IO, "gone");
        }
    }
    for (unsigned i = 0; i < CONTRACTS; i++) {
        drop_contract(&w, i);
    }
    hkb_exchange_settle(w.exchange);
    hkb_queue_free(w.queue);
    for (unsigned i = 0; i < 4;
         i++) { /* hand-overs have their time, and then there is nothing any more */
        w.now_ns += 100000000000u;
        hkb_exchange_set_time(w.exchange, w.now_ns, (int64_t)w.now_ns);
        hkb_exchange_tick(w.exchange);
        hkb_exchange_settle(w.exchange);
    }
    HKB_ASSERT(w.exchange->objects.count == 0 && w.exchange->tags.count == 0);
    hkb_exchange_free(w.exchange);
    hkb_buffer_done(&w.packet);
    HKB_ASSERT(w.memory.blocks == 0);
    for (size_t i = 0; i < 2; i++) {
        hakuban_descriptor_unref(w.objects[i]);
    }
    return 0;
}
