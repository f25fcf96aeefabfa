/* A whole exchange between three strangers, one upstream and two downstreams, with local contracts:
 * whatever they say, nothing crashes, nothing is left over and memory stays bounded. The input is
 * lines: an actor (0 to 2: a stranger, else the program), its act, and the act's argument; see
 * stranger_does() and program_does(). What goes out is checked to be well formed. */
#include <stdio.h>
#include <stdlib.h>

#include "exchange/records.h"
#include "fail_alloc.h"
#include "parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
    PEERS = 3,
    OBJECTS = 4,
    CONTRACTS = 8,
    CHANNELS = 16,
    STEPS_MAX = 400,
    MEMORY_BYTES_MAX = 64 << 20,
    PULLS_MAX = 10000,
};
#define MS 1000000ull

typedef struct stranger {
    hkb_peer *peer;
    bool answered;             /* the exchange's hello came out */
    bool has_session, returns; /* it knows a token; as upstream: the exchange wants to go on */
    uint64_t token[2];
    uint64_t received, received_before; /* counted bytes of the session; without the last packet */
    hakuban_bytes *last[CHANNELS];      /* what it said last on each channel */
} stranger;

typedef struct world {
    fail_alloc memory;
    hkb_exchange *exchange;
    hakuban_queue *queue;
    hkb_delta_context *delta;
    hkb_native native;
    stranger strangers[PEERS];
    hakuban_descriptor *objects[OBJECTS];
    hakuban_contract *contracts[CONTRACTS];
    hakuban_sink *sinks[CONTRACTS];
    hkb_buffer packet;
    uint64_t now_ns, random;
} world;

static hkb_registry registry;

static uint64_t next_random(void *ctx)
{
    world *w = ctx;
    return w->random += 0x9e3779b97f4a7c15u;
}

static void queue_ready(void *ctx, hakuban_queue *queue)
{
    (void)ctx;
    (void)queue;
}

/* The connection is gone; the session may go on. */
static void disconnect(stranger *s)
{
    s->answered = false;
    s->peer = NULL;
}

static void opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    HKB_ASSERT(((stranger *)carrier)->peer == peer);
}

static void moved(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    stranger *before = hkb_peer_carrier(peer);
    if (before) {
        disconnect(before);
    }
    ((stranger *)carrier)->peer = peer;
}

static void dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    (void)ctx;
    HKB_ASSERT(memchr(why->text, 0, sizeof(why->text)));
    disconnect(carrier);
}

static void ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    (void)ctx;
    (void)orderly;
    HKB_ASSERT(!carrier ||
               ((stranger *)carrier)->peer); /* none: an upstream that did not come back */
    HKB_ASSERT(memchr(why->text, 0, sizeof(why->text)));
}

/* -- What comes out -- */

static bool previous_of(void *ctx, uint32_t channel, hkb_version *ret)
{
    (void)ctx;
    (void)channel;
    memset(ret, 0, sizeof(*ret));
    ret->count = HAKUBAN_VERSION_ELEMENTS_MAX;
    return true;
}

static void hear_hello(world *w, stranger *s, hakuban_slice header)
{
    static hkb_hello hello;
    hakuban_error error;
    HKB_ASSERT(hkb_hello_read(header, &hello, &error) == HAKUBAN_OK);
    s->answered = true;
    if (s == &w->strangers[0]) { /* it made the token itself */
        s->returns = s->has_session && hello.has_token && !hello.replaces;
        return;
    }
    s->has_session = hello.has_token;
    memcpy(s->token, hello.token, sizeof(s->token));
    if (!hello.resumed) {
        s->received = 0;
    }
}

static void check_packet(world *w, stranger *s, hakuban_slice packet)
{
    const hakuban_serializer_ops *json = hkb_registry_serializer(&registry, "json", 4);
    const uint8_t *data = packet.data;
    size_t taken = 0;
    s->received_before = s->received;
    while (taken < packet.bytes) {
        hakuban_slice header, payload;
        hakuban_error error;
        hkb_message message;
        size_t frame;
        HKB_ASSERT(hkb_frame_next((hakuban_slice){data + taken, packet.bytes - taken},
                                  HKB_FRAME_BYTES_MAX, &frame, &header, &payload,
                                  &error) == HAKUBAN_OK);
        HKB_ASSERT(frame > 0);
        taken += frame;
        if (!s->answered) {
            hear_hello(w, s, header);
            continue;
        }
        HKB_ASSERT(hkb_native_decode(&w->native, json, header, payload, previous_of, NULL, &message,
                                     &error) == HAKUBAN_OK);
        HKB_ASSERT(message.kind);
        if (message.kind != HKB_MESSAGE_ACK && message.kind != HKB_MESSAGE_PING) {
            s->received += frame;
        }
        hakuban_descriptor_unref(message.descriptor);
    }
}

static void forget(stranger *s)
{
    for (size_t i = 0; i < CHANNELS; i++) {
        s->last[i] = hakuban_bytes_unref(s->last[i]);
    }
    disconnect(s);
    s->has_session = false;
    s->received = 0;
}

static void carry(world *w)
{
    hkb_exchange_settle(w->exchange);
    hkb_peer *peer;
    unsigned pulls = 0;
    while ((peer = hkb_exchange_ready_peer(w->exchange))) {
        stranger *s = hkb_peer_carrier(peer);
        HKB_ASSERT(s->peer == peer);
        HKB_ASSERT(pulls++ < PULLS_MAX);
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
        check_packet(w, s, parts_joined(&w->packet, packet.parts, packet.part_count));
        if (hkb_peer_is_over(peer)) {
            hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "over");
            forget(s);
        }
    }
    hkb_exchange_settle(w->exchange);
    HKB_ASSERT(w->memory.bytes < MEMORY_BYTES_MAX);
}

/* -- What goes in -- */

static void hear(stranger *s, const void *data, size_t bytes)
{
    if (s->peer) {
        hkb_peer_receive(s->peer, data, bytes);
    }
}

static void hear_frame(stranger *s, hakuban_slice header, hakuban_slice payload)
{
    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), SIZE_MAX);
    HKB_ASSERT(hkb_frame_put(&out, header, payload) == HAKUBAN_OK);
    hear(s, out.data, out.bytes);
    hkb_buffer_done(&out);
}

static void hear_text(stranger *s, const char *header, hakuban_slice payload)
{
    hear_frame(s, (hakuban_slice){header, strlen(header)}, payload);
}

static void come(world *w, stranger *s)
{
    static const hkb_link_settings defaults = {
        .name = "here",
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .grace_ns = HKB_GRACE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
        .load_limit = {.count = 2, .points = {{0, 0}, {1000000000, 8}}},
    };
    bool connector = s == &w->strangers[0];
    char hello[400], session[120] = "";
    if (hkb_exchange_attach(w->exchange, &defaults, connector, true, s, &s->peer) != HAKUBAN_OK) {
        s->peer = NULL;
        return;
    }
    if (connector) {
        carry(w);
        if (!s->returns) {
            s->received = 0;
        }
        s->token[1] = s->returns ? s->token[1] : next_random(w);
        s->has_session = true;
    }
    if (s->has_session) {
        snprintf(session, sizeof(session), ",\"token\":\"%016llx%016llx\",\"received\":%llu%s",
                 (unsigned long long)s->token[0], (unsigned long long)s->token[1],
                 (unsigned long long)s->received,
                 connector && s->returns ? ",\"resumed\":true" : "");
    }
    snprintf(hello, sizeof(hello),
             "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"%032u\"],\"serializers\":[\"json\"],"
             "\"compressors\":[\"none\"],\"keep_alive_ms\":20000,\"grace_ms\":2000,"
             "\"window\":16384,\"state_max\":100000%s}",
             (unsigned)(s - w->strangers) + 1, session);
    hear_text(s, hello, (hakuban_slice){NULL, 0});
    carry(w);
}

static void take_session(stranger *s, stranger *from)
{
    forget(s);
    s->has_session = from->has_session;
    s->received = from->received;
    memcpy(s->token, from->token, sizeof(s->token));
    from->has_session = false;
}

/* Says a state as a true exchange would: whole, as a difference to the last one, in two parts; or
 * with a wrong check. */
static void say_state(world *w, stranger *s, char what, const uint8_t *data, size_t bytes)
{
    if (bytes < 2) {
        return;
    }
    unsigned channel = (unsigned)(data[0] - '0') % CHANNELS, version = data[1];
    hakuban_slice whole = {data + 2, bytes - 2}, old = {NULL, 0};
    hkb_delta_compressor none = {NULL, NULL};
    hakuban_bytes *made = NULL;
    char header[100];
    if ((what == 'D' || what == 'B') && s->last[channel]) {
        old = hakuban_bytes_slice(s->last[channel]);
    }
    HKB_ASSERT(hkb_delta_make(w->delta, hakuban_alloc_default(), none, old, whole, &made) ==
               HAKUBAN_OK);
    hakuban_slice payload = hakuban_bytes_slice(made);
    size_t first = what == 'P' ? payload.bytes / 2 : payload.bytes;
    uint8_t *checked = malloc(payload.bytes + 4);
    if (!checked) {
        abort();
    }
    uint64_t check = hkb_hash64(whole.data, whole.bytes) + (what == 'B');
    for (unsigned i = 0; i < 4; i++) {
        checked[i] = (uint8_t)(check >> (8 * i));
    }
    memcpy(checked + 4, payload.data, payload.bytes);
    if (what == 'D' || what == 'B') {
        snprintf(header, sizeof(header), "[72,%u,%u]", channel, version);
    } else if (what == 'P') {
        snprintf(header, sizeof(header), "[69,%u,[%u],%zu,[\"JSON\"]]", channel, version,
                 payload.bytes);
    } else {
        snprintf(header, sizeof(header), "[65,%u,[%u],[\"JSON\"]]", channel, version);
    }
    hear_text(s, header, (hakuban_slice){checked, first + 4});
    snprintf(header, sizeof(header), "[22,%u]", channel);
    if (what == 'P') {
        hear_text(s, header, (hakuban_slice){checked + 4 + first, payload.bytes - first});
    }
    free(checked);
    hakuban_bytes_unref(made);
    hakuban_bytes_unref(s->last[channel]);
    HKB_ASSERT(hakuban_bytes_new(hakuban_alloc_default(), whole.data, whole.bytes,
                                 &s->last[channel]) == HAKUBAN_OK);
}

static void stranger_does(world *w, stranger *s, char what, const uint8_t *data, size_t bytes)
{
    char header[80];
    const uint8_t *mark = bytes ? memchr(data, 1, bytes) : NULL;
    if (!s->peer) {
        come(w, s);
    }
    if (!s->peer) {
        return;
    }
    switch (what) {
    case 'r': /* any bytes */
        hear(s, data, bytes);
        break;
    case 'S':
    case 'D':
    case 'P':
    case 'B':
        say_state(w, s, what, data, bytes);
        break;
    case 'a': /* acknowledges all that was sent */
        snprintf(header, sizeof(header), "[1,%llu]", (unsigned long long)s->peer->link.sent_bytes);
        hear_text(s, header, (hakuban_slice){NULL, 0});
        break;
    case 'w':
        hkb_peer_set_writable(s->peer, bytes && data[0] == '1');
        break;
    case 'x':
        hkb_peer_lost(s->peer, HAKUBAN_ERR_IO, "gone");
        forget(s);
        break;
    case 'X': /* it comes back; what it was sent last may have been lost */
        hkb_peer_lost(s->peer, HAKUBAN_ERR_IO, "gone");
        if (bytes && data[0] == '1') {
            s->received = s->received_before;
        }
        disconnect(s);
        break;
    case 'K': /* the session of the other downstream goes on here, whose connection is not known to
                 be lost */
        if (s == &w->strangers[0]) {
            break;
        }
        hkb_peer_lost(s->peer, HAKUBAN_ERR_IO, "gone");
        take_session(s, s == &w->strangers[1] ? &w->strangers[2] : &w->strangers[1]);
        break;
    case 'l':
        hkb_peer_leave(s->peer);
        break;
    default: /* a message: its header begins here, its payload is behind a byte 1 */
        data--;
        bytes++;
        if (mark) {
            hear_frame(s, (hakuban_slice){data, (size_t)(mark - data)},
                       (hakuban_slice){mark + 1, (size_t)(data + bytes - mark) - 1});
        } else {
            hear_frame(s, (hakuban_slice){data, bytes}, (hakuban_slice){NULL, 0});
        }
    }
}

/* -- The program's side -- */

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

static void add_contract(world *w, char what, unsigned which)
{
    static const char tag[] = "\"t\"";
    hkb_contract_kind kind = what == 'o'   ? HKB_OBSERVE_OBJECT
                             : what == 'e' ? HKB_EXPOSE_OBJECT
                             : what == 'O' ? HKB_OBSERVE_TAG
                                           : HKB_EXPOSE_TAG;
    for (unsigned i = 0; i < CONTRACTS; i++) {
        if (!w->contracts[i]) {
            if (hkb_contract_new(w->exchange, kind, w->objects[which % OBJECTS],
                                 (hakuban_slice){tag, sizeof(tag) - 1}, 1, w->queue,
                                 &w->contracts[i], &w->contracts[i]) != HAKUBAN_OK) {
                w->contracts[i] = NULL;
            }
            return;
        }
    }
}

static void send_state(world *w, unsigned index, const uint8_t *data, size_t bytes)
{
    hakuban_state_parts parts = {.data = data, .data_bytes = bytes};
    hakuban_state *state;
    if (w->sinks[index] && hakuban_state_new(&w->memory.table, &parts, &state) == HAKUBAN_OK) {
        hakuban_status status = hkb_sink_send(w->sinks[index], state);
        HKB_ASSERT(status == HAKUBAN_OK || status == HAKUBAN_ERR_REVOKED ||
                   status == HAKUBAN_ERR_VERSION || status == HAKUBAN_ERR_NO_MEMORY);
        hakuban_state_unref(state);
    }
}

/* Too large for one frame. */
static void send_large(world *w, unsigned index, uint8_t seed)
{
    static uint8_t large[70000];
    for (size_t i = 0; i < sizeof(large); i++) {
        large[i] = (uint8_t)(i * i >> 8 ^ (i % 1000 ? 0 : seed));
    }
    send_state(w, index, large, sizeof(large) - seed);
}

static void look(world *w)
{
    hkb_buffer out;
    hakuban_exchange_stats stats;
    hkb_buffer_init(&out, hakuban_alloc_default(), 1 << 20);
    (void)hkb_exchange_describe(w->exchange, &out);
    hkb_buffer_done(&out);
    hkb_exchange_count(w->exchange, &stats);
    for (unsigned i = 0; i < CONTRACTS; i++) {
        hakuban_event event;
        if (w->contracts[i] &&
            hkb_contract_peek(w->contracts[i], w->objects[i % OBJECTS], &event) == HAKUBAN_OK) {
            hkb_event_done(&event);
        }
    }
}

static void read_events(world *w)
{
    hakuban_event event;
    unsigned count = 0;
    while (hkb_queue_pop(w->queue, &event)) {
        HKB_ASSERT(count++ < 1000);
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

static void pass_time(world *w, uint64_t step_ns)
{
    w->now_ns += step_ns;
    hkb_exchange_set_time(w->exchange, w->now_ns, (int64_t)w->now_ns);
    hkb_exchange_tick(w->exchange);
}

static void program_does(world *w, char what, const uint8_t *data, size_t bytes)
{
    unsigned which = bytes ? data[0] - '0' : 0, index = which % CONTRACTS;
    switch (what) {
    case 'o':
    case 'e':
    case 'O':
    case 'E':
        add_contract(w, what, which);
        break;
    case 'f':
        drop_contract(w, index);
        break;
    case 's':
        if (bytes) {
            send_state(w, index, data + 1, bytes - 1);
        }
        break;
    case 'S':
        if (bytes > 1) {
            send_large(w, index, data[1]);
        }
        break;
    case 'd':
        look(w);
        break;
    case 'c':
        if (bytes > 1 && w->contracts[index]) {
            (void)hkb_contract_set_capacity(w->contracts[index], data[1] - '0');
        }
        break;
    case 't':
        pass_time(w, which * 100 * MS);
        HKB_ASSERT(hkb_exchange_deadline(w->exchange) > 0);
        break;
    case 'm':
        fail_alloc_arm(&w->memory, which, false);
        break;
    default:
        read_events(w);
    }
}

/* -- The world -- */

static bool begin(world *w)
{
    static const char *const names[OBJECTS] = {"\"a\"", "\"b\"", "{\"k\":1}", "2"};
    static const char *const tags[] = {"\"t\"", "\"u\""};
    hkb_exchange_settings settings = {
        .alloc = &w->memory.table,
        .registry = &registry,
        .host = {.ctx = w,
                 .random = next_random,
                 .queue_ready = queue_ready,
                 .opened = opened,
                 .moved = moved,
                 .dropped = dropped,
                 .ended = ended},
        .rebalance_threshold = 0.1,
        .rebalances = true,
    };
    memset(w, 0, sizeof(*w));
    fail_alloc_init(&w->memory);
    if (!registry.alloc) {
        hkb_registry_init(&registry, hakuban_alloc_default());
        HKB_ASSERT(hkb_registry_add_builtin(&registry) == HAKUBAN_OK);
    }
    w->now_ns = 1000 * MS;
    hkb_native_init(&w->native, hakuban_alloc_default());
    hkb_buffer_init(&w->packet, hakuban_alloc_default(), SIZE_MAX);
    for (size_t i = 0; i < OBJECTS; i++) {
        HKB_ASSERT(hakuban_descriptor_new(NULL, names[i], tags, i < 3 ? i : 0, &w->objects[i],
                                          NULL) == HAKUBAN_OK);
    }
    return hkb_delta_context_new(hakuban_alloc_default(), &w->delta) == HAKUBAN_OK &&
           hkb_exchange_new(&settings, w->now_ns, (int64_t)w->now_ns, &w->exchange) == HAKUBAN_OK &&
           hkb_queue_new(w->exchange, &w->queue) == HAKUBAN_OK;
}

static void finish(world *w)
{
    fail_alloc_arm(&w->memory, 0, false);
    for (unsigned i = 0; i < PEERS; i++) {
        if (w->strangers[i].peer) {
            hkb_peer_lost(w->strangers[i].peer, HAKUBAN_ERR_IO, "gone");
        }
        forget(&w->strangers[i]);
    }
    for (unsigned i = 0; i < CONTRACTS; i++) {
        drop_contract(w, i);
    }
    hkb_exchange_settle(w->exchange);
    hkb_queue_free(w->queue);
    hkb_exchange_free(w->exchange);
    for (size_t i = 0; i < OBJECTS; i++) {
        hakuban_descriptor_unref(w->objects[i]);
    }
    hkb_delta_context_free(w->delta);
    hkb_native_done(&w->native);
    hkb_buffer_done(&w->packet);
    HKB_ASSERT(w->memory.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static world w;
    HKB_ASSERT(begin(&w));
    for (unsigned steps = 0; bytes >= 2 && steps < STEPS_MAX; steps++) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t line = end ? (size_t)(end - data) : bytes;
        if (line >= 2) {
            unsigned actor = data[0] - '0';
            if (actor < PEERS) {
                stranger_does(&w, &w.strangers[actor], (char)data[1], data + 2, line - 2);
            } else {
                program_does(&w, (char)data[1], data + 2, line - 2);
            }
            carry(&w);
        }
        data += hkb_min(line + 1, bytes);
        bytes -= hkb_min(line + 1, bytes);
    }
    finish(&w);
    return 0;
}
