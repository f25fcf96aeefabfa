/* Two links joined by pipes on a virtual clock, with owners that count what they hear: how
 * conversations begin, flow, fall silent and end. A side is only pulled when it asked for it, as a
 * host would: a forgotten wake-up is a lost message. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail_alloc.h"
#include "link/link.h"

#define MS 1000000ull
#define S (1000 * MS)
#define PACKET_MAX (HKB_PACKET_BYTES + HKB_FRAME_BYTES_MAX + HKB_HELLO_BYTES_MAX)

extern const hakuban_serializer_ops hakuban_serializer_json;
extern const hakuban_compressor_ops hakuban_compressor_none;

typedef struct side {
    fail_alloc memory;
    hkb_registry registry;
    hkb_link_shared shared;
    hkb_link_settings settings;
    hkb_link link;
    hkb_buffer pipe; /* what was said and is not delivered yet */
    hkb_chain packet;
    bool begun, woken, holds; /* holds: what it says stays in the pipe */
    unsigned to_say;          /* PARTs not yet said */
    size_t say_bytes;         /* of each */
    uint8_t say_byte;         /* what they are full of */
    hakuban_bytes *say_of;    /* what they are said from instead, by reference; NULL: nothing */
    uint64_t token;           /* of the sessions that this side gives; 0: none */
    unsigned moved, dropped, resumed, anew;
    unsigned said, heard, opened, hellos, ended;
    unsigned heard_when_ended;
    bool orderly;
    hakuban_error why;
    const char *refuses;  /* the other's hello, in these words */
    const char *objects;  /* to each message, in these words */
    const char *gives_up; /* in these words, before it says what it is asked for */
} side;

static side a, b; /* a connects to b */
static side c;    /* what comes to b's door while it has a session: over, once it has moved there */
static uint64_t now_ns;
static size_t chunk; /* how much is delivered at once; 0: as it was pulled */

/* -- Owner -- */

static side *side_of(hkb_link *link)
{
    return HKB_CONTAINER(link, side, link);
}

static hakuban_status on_offer(hkb_link *link, hkb_hello *hello)
{
    hello->path[0][0] = side_of(link) == &a ? 1 : 2;
    hello->path_count = 1;
    return HAKUBAN_OK;
}

static hakuban_status on_hello(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                               hakuban_error *reterr)
{
    side *s = side_of(link);
    s->hellos++;
    ck_assert_uint_eq(theirs->major, HKB_PROTOCOL_MAJOR);
    if (s->refuses) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP, "%s", s->refuses);
    }
    if (s->token && !link->has_token) {
        answer->has_token = true;
        answer->token[1] = s->token;
    }
    return on_offer(link, answer);
}

static void on_opened(hkb_link *link)
{
    side_of(link)->opened++;
    if (side_of(link)->to_say) {
        side_of(link)->woken = true;
    }
}

static hakuban_status on_message(hkb_link *link, hkb_message *message, hakuban_error *reterr)
{
    side *s = side_of(link);
    hakuban_descriptor_unref(message->descriptor);
    ck_assert_uint_eq(s->ended, 0);
    ck_assert_uint_ge(s->opened, 1);
    s->heard++;
    if (s->objects) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "%s", s->objects);
    }
    return HAKUBAN_OK;
}

static bool on_previous(hkb_link *link, uint32_t channel, hkb_version *ret)
{
    (void)link;
    (void)channel;
    ret->count = 0;
    return true;
}

static bool on_produce(hkb_link *link)
{
    static uint8_t bytes[HKB_PART_BYTES_MAX];
    side *s = side_of(link);
    memset(bytes, s->say_byte, s->say_bytes);
    ck_assert_uint_eq(s->ended, 0);
    ck_assert(link->sent_bytes - link->acked_bytes < link->window_bytes);
    if (s->to_say == 0) {
        return false;
    }
    s->to_say--;
    s->said++;
    hkb_message part = {.kind = HKB_MESSAGE_PART, .channel = 1, .payload = {bytes, s->say_bytes}};
    if (s->say_of) {
        part.payload_of = s->say_bytes < HKB_SHARED_BYTES_MIN ? NULL : s->say_of;
        part.payload.data = hakuban_bytes_slice(s->say_of).data;
    }
    if (s->gives_up) {
        hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "%s", s->gives_up);
    }
    hkb_link_say(link, &part, NULL);
    return true;
}

static void on_wake(hkb_link *link)
{
    side_of(link)->woken = true;
}

static void on_ended(hkb_link *link, bool orderly, const hakuban_error *why)
{
    side *s = side_of(link);
    s->ended++;
    s->heard_when_ended = s->heard;
    s->orderly = orderly;
    s->why = *why;
    s->to_say = 0;
    ck_assert(why->text[0] != 0);
}

/* There is one listener only, b, so that link does not matter. */
static hkb_link *on_session(hkb_link *link, const uint64_t token[2])
{
    ck_assert_ptr_eq(link, &c.link);
    bool lives = b.link.phase == HKB_LINK_OPEN || b.link.phase == HKB_LINK_AWAY;
    return lives && b.link.has_token && memcmp(token, b.link.token, sizeof(b.link.token)) == 0
               ? &b.link
               : NULL;
}

static void on_moved(hkb_link *session, hkb_link *link)
{
    ck_assert_ptr_eq(session, &b.link);
    ck_assert(hkb_link_is_over(link));
    side_of(link)->moved++;
}

static void on_dropped(hkb_link *link, const hakuban_error *why)
{
    ck_assert(why->text[0] != 0);
    side_of(link)->dropped++;
}

static void on_resumed(hkb_link *link)
{
    side_of(link)->resumed++;
}

static void on_anew(hkb_link *link)
{
    side_of(link)->anew++;
}

static const hkb_link_events events = {
    .offer = on_offer,
    .hello = on_hello,
    .opened = on_opened,
    .message = on_message,
    .previous = on_previous,
    .produce = on_produce,
    .wake = on_wake,
    .ended = on_ended,
    .session = on_session,
    .moved = on_moved,
    .dropped = on_dropped,
    .resumed = on_resumed,
    .anew = on_anew,
};

/* -- Pipes and clock -- */

static void side_init(side *s)
{
    memset(s, 0, sizeof(*s));
    fail_alloc_init(&s->memory);
    hkb_registry_init(&s->registry, NULL);
    s->shared.alloc = &s->memory.table;
    s->shared.registry = &s->registry;
    s->shared.events = &events;
    hkb_native_init(&s->shared.native, &s->memory.table);
    hkb_chain_init(&s->packet, &s->memory.table, PACKET_MAX, &s->shared.payload_bytes);
    hkb_buffer_init(&s->pipe, hakuban_alloc_default(), SIZE_MAX);
    s->say_bytes = 1000;
}

static void side_done(side *s)
{
    if (s->begun) {
        hkb_link_done(&s->link);
    }
    hkb_native_done(&s->shared.native);
    hkb_chain_done(&s->packet);
    hakuban_bytes_unref(s->say_of);
    hkb_buffer_done(&s->pipe);
    hkb_registry_done(&s->registry);
    ck_assert_uint_eq(s->memory.blocks, 0);
}

static void set_up(void)
{
    now_ns = 1000 * S;
    chunk = 0;
    side_init(&a);
    side_init(&b);
    side_init(&c);
}

static void tear_down(void)
{
    side_done(&a);
    side_done(&b);
    side_done(&c);
}

static hkb_link_settings defaults(void)
{
    return (hkb_link_settings){
        .name = "test",
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .grace_ns = HKB_GRACE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = HAKUBAN_STATE_BYTES_MAX,
    };
}

static void add_serializer(side *s, const char *name)
{
    hakuban_serializer_ops ops = hakuban_serializer_json;
    ops.name = name;
    ck_assert_int_eq(hkb_registry_add_serializer(&s->registry, &ops, NULL), HAKUBAN_OK);
}

static void add_compressor(side *s, const char *name)
{
    hakuban_compressor_ops ops = hakuban_compressor_none;
    ops.name = name;
    ck_assert_int_eq(hkb_registry_add_compressor(&s->registry, &ops, NULL), HAKUBAN_OK);
}

/* a connects to b; nothing is carried yet. */
static void begin(const hkb_link_settings *of_a, const hkb_link_settings *of_b, bool stream)
{
    side *sides[] = {&a, &b};
    for (unsigned i = 0; i < 2; i++) {
        side *s = sides[i];
        if (!s->registry.serializer_count) {
            add_serializer(s, "json");
        }
        if (!s->registry.compressor_count) {
            add_compressor(s, "none");
        }
        s->settings = i ? *of_b : *of_a;
        hkb_link_init(&s->link, &s->shared, &s->settings, i == 0, stream, now_ns);
        s->begun = s->woken = true;
    }
}

static void begin_default(void)
{
    hkb_link_settings settings = defaults();
    begin(&settings, &settings, true);
}

/* Pulls once if s asked for it. */
static void pull(side *s)
{
    if (!s->woken) {
        return;
    }
    s->woken = false;
    hkb_link_pull(&s->link, now_ns, &s->packet);
    size_t bytes = hkb_chain_bytes(&s->packet);
    ck_assert_uint_le(bytes, PACKET_MAX);
    if (bytes && (hkb_link_has_control(&s->link) ||
                  (s->to_say && s->link.sent_bytes - s->link.acked_bytes < s->link.window_bytes))) {
        s->woken = true;
    }
    hakuban_slice parts[HAKUBAN_SEND_PARTS_MAX];
    unsigned part_count = hkb_chain_parts(&s->packet, parts, HAKUBAN_SEND_PARTS_MAX);
    for (unsigned i = 0; i < part_count; i++) {
        ck_assert_int_eq(hkb_buffer_append(&s->pipe, parts[i].data, parts[i].bytes), HAKUBAN_OK);
    }
}

static void deliver(side *from, side *to)
{
    size_t taken = 0;
    while (taken < from->pipe.bytes) {
        size_t bytes = from->pipe.bytes - taken;
        bytes = chunk ? hkb_min(chunk, bytes) : bytes;
        uint8_t *copy = malloc(bytes); /* of exactly its size */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, from->pipe.data + taken, bytes);
        hkb_link_receive(&to->link, now_ns, copy, bytes);
        free(copy);
        taken += bytes;
    }
    from->pipe.bytes = 0;
}

/* Until no side has anything to send. */
static void carry(void)
{
    for (unsigned rounds = 0;
         a.woken || b.woken || (a.pipe.bytes && !a.holds) || (b.pipe.bytes && !b.holds); rounds++) {
        ck_assert_uint_lt(rounds, 100000);
        pull(&a);
        if (!a.holds) {
            deliver(&a, &b);
        }
        pull(&b);
        if (!b.holds) {
            deliver(&b, &a);
        }
    }
}

static void pass(uint64_t step_ns)
{
    now_ns += step_ns;
    hkb_link_tick(&a.link, now_ns);
    hkb_link_tick(&b.link, now_ns);
    carry();
}

static void open_both(void)
{
    begin_default();
    carry();
    ck_assert_uint_eq(a.opened, 1);
    ck_assert_uint_eq(b.opened, 1);
}

static void ended_as(const side *s, bool orderly, hakuban_status status, const char *words)
{
    ck_assert_uint_eq(s->ended, 1);
    ck_assert_int_eq(s->link.phase, HKB_LINK_ENDED);
    ck_assert_str_eq(s->why.text, words);
    ck_assert_int_eq(s->why.status, status);
    ck_assert_int_eq(s->orderly, orderly);
    ck_assert(hkb_link_is_over(&s->link));
    ck_assert(!hkb_link_has_control(&s->link));
    ck_assert(hkb_link_deadline(&s->link) == UINT64_MAX);
}

static void say_more(side *s, unsigned count)
{
    s->to_say += count;
    s->woken = true;
}

/* Bytes from a stranger, in memory of exactly their size. */
static void hear(side *s, const void *data, size_t bytes)
{
    size_t step = chunk ? chunk : bytes;
    for (size_t at = 0; at < bytes; at += step) {
        size_t piece = hkb_min(step, bytes - at);
        uint8_t *copy = malloc(piece);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, (const uint8_t *)data + at, piece);
        hkb_link_receive(&s->link, now_ns, copy, piece);
        free(copy);
    }
}

static void hear_header(side *s, const char *header)
{
    hkb_buffer frame;
    hkb_buffer_init(&frame, hakuban_alloc_default(), SIZE_MAX);
    ck_assert_int_eq(
        hkb_frame_put(&frame, (hakuban_slice){header, strlen(header)}, (hakuban_slice){NULL, 0}),
        HAKUBAN_OK);
    hear(s, frame.data, frame.bytes);
    hkb_buffer_done(&frame);
}

/* -- Beginning -- */

static const size_t chunks[] = {0, 1, 2, 3, 7, 1000};

START_TEST(hellos_go_both_ways_however_bytes_come)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    snprintf(mine.name, sizeof(mine.name), "edge \xc3\xa9");
    snprintf(theirs.name, sizeof(theirs.name), "hub");
    mine.keep_alive_ns = 7 * S;
    theirs.grace_ns = 0;
    theirs.window_bytes = 20000;
    mine.state_bytes_max = 1000;
    chunk = chunks[_i];
    begin(&mine, &theirs, true);
    ck_assert(hkb_link_has_control(&a.link));
    ck_assert(!hkb_link_has_control(&b.link));
    carry();
    ck_assert_uint_eq(a.opened, 1);
    ck_assert_uint_eq(b.opened, 1);
    ck_assert_uint_eq(a.hellos, 1);
    ck_assert_uint_eq(b.hellos, 1);
    ck_assert_str_eq(a.link.peer_name, "hub");
    ck_assert_str_eq(b.link.peer_name, "edge \xc3\xa9");
    ck_assert_uint_eq(b.link.peer_keep_alive_ns, 7 * S);
    ck_assert_uint_eq(a.link.peer_grace_ns, 0);
    ck_assert_uint_eq(b.link.peer_grace_ns, 2 * S);
    ck_assert_uint_eq(a.link.window_bytes, 20000);
    ck_assert_uint_eq(b.link.window_bytes, 20000);
    ck_assert_uint_eq(b.link.peer_state_bytes_max, 1000);
    ck_assert_uint_eq(a.link.peer_state_bytes_max, HAKUBAN_STATE_BYTES_MAX);
    ck_assert_uint_eq(a.shared.wire_bytes_out, b.shared.wire_bytes_in);
    ck_assert_uint_eq(b.shared.wire_bytes_out, a.shared.wire_bytes_in);
    say_more(&a, 50);
    say_more(&b, 60);
    carry();
    ck_assert_uint_eq(b.heard, 50);
    ck_assert_uint_eq(a.heard, 60);
}
END_TEST

START_TEST(messages_with_boundaries_must_be_whole)
{
    hkb_link_settings settings = defaults();
    begin(&settings, &settings, false);
    carry();
    say_more(&a, 200);
    carry();
    ck_assert_uint_eq(b.heard, 200);
    hear(&b, "\x05\x04", 2);
    carry();
    ended_as(&b, false, HAKUBAN_ERR_PROTOCOL, "a message ends in the middle of a frame");
    ended_as(&a, false, HAKUBAN_ERR_CLOSED,
             "the other side closed: a message ends in the middle of a frame");
}
END_TEST

START_TEST(the_connectors_order_of_codecs_decides)
{
    /* Later ones come first in offers. */
    add_serializer(&a, "x");
    add_serializer(&a, "y");
    add_serializer(&a, "z");
    add_serializer(&b, "z");
    add_serializer(&b, "y");
    add_serializer(&b, "x");
    add_compressor(&a, "k");
    add_compressor(&a, "l");
    add_compressor(&b, "l");
    add_compressor(&b, "k");
    begin_default();
    carry();
    ck_assert_str_eq(a.link.serializer->name, "z");
    ck_assert_str_eq(b.link.serializer->name, "z");
    ck_assert_str_eq(a.link.compressor->ops.name, "l");
    ck_assert_str_eq(b.link.compressor->ops.name, "l");
}
END_TEST

START_TEST(either_side_may_insist_on_a_codec)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    add_serializer(&a, "x");
    add_serializer(&a, "y");
    add_serializer(&b, "x");
    add_serializer(&b, "y");
    add_compressor(&a, "k");
    add_compressor(&a, "l");
    add_compressor(&b, "k");
    add_compressor(&b, "l");
    snprintf(mine.serializer, sizeof(mine.serializer), "x");
    snprintf(theirs.compressor, sizeof(theirs.compressor), "k");
    begin(&mine, &theirs, true);
    carry();
    ck_assert_str_eq(a.link.serializer->name, "x");
    ck_assert_str_eq(b.link.serializer->name, "x");
    ck_assert_str_eq(a.link.compressor->ops.name, "k");
    ck_assert_str_eq(b.link.compressor->ops.name, "k");
}
END_TEST

START_TEST(no_codec_in_common_is_refused_in_words)
{
    if (_i == 0) {
        add_serializer(&a, "x");
        add_serializer(&b, "y");
    } else {
        add_compressor(&a, "x");
        add_compressor(&b, "y");
    }
    begin_default();
    carry();
    const char *words = _i == 0 ? "no serializer in common: y is spoken here"
                                : "no compressor in common: y is spoken here";
    ended_as(&b, false, HAKUBAN_ERR_UNSUPPORTED, words);
    ended_as(&a, false, HAKUBAN_ERR_REFUSED, words);
    ck_assert_uint_eq(a.opened + b.opened, 0);
}
END_TEST

START_TEST(an_owner_may_refuse_a_hello)
{
    chunk = 1;
    if (_i == 0) {
        b.refuses = "this connection would close a loop of hubs";
    } else {
        a.refuses = "this connection would close a loop of hubs";
    }
    begin_default();
    carry();
    if (_i == 0) {
        ended_as(&b, false, HAKUBAN_ERR_LOOP, "this connection would close a loop of hubs");
        ended_as(&a, false, HAKUBAN_ERR_REFUSED, "this connection would close a loop of hubs");
    } else {
        ended_as(&a, false, HAKUBAN_ERR_LOOP, "this connection would close a loop of hubs");
        ck_assert_uint_eq(b.opened, 1); /* it hears of it when the connection closes */
    }
    ck_assert_uint_eq(a.opened, 0);
}
END_TEST

static const char other[] = "the other side does not speak the hakuban protocol";

static const struct {
    const char *bytes;
    size_t count;
} strangers[] = {
    {"GET / HTTP/1.1\r\n", 16},
    {"GET", 3},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11},
    {"\x00", 1},
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12},
    {"SSH-2.0-OpenSSH_9.2\r\n", 21},
    {"\r\n\r\n\x00\r\nQUIT\n", 12},
    {"\x81\x20{", 3}, /* over 4 KiB */
    {"\x03\x02[]", 4},
    {"\x03\x00[]", 4},
    {"{\"hakuban\":1}", 13},
};

START_TEST(a_peer_of_another_protocol_is_told_so_at_once)
{
    for (size_t i = 0; i < 2; i++) {
        chunk = i;
        begin_default();
        hear(&b, strangers[_i].bytes, strangers[_i].count);
        ck_assert_uint_eq(b.ended, 1);
        pull(&b);
        ended_as(&b, false, HAKUBAN_ERR_PROTOCOL, other);
        static const char answer[] = "{\"hakuban\":1,\"refused\":"
                                     "\"the other side does not speak the hakuban protocol\"}";
        ck_assert_uint_eq(b.pipe.bytes, sizeof(answer) - 1 + 2);
        ck_assert(memcmp(b.pipe.data + 2, answer, sizeof(answer) - 1) == 0);
        /* A connector has no sessions to tell. */
        hear(&a, strangers[_i].bytes, strangers[_i].count);
        ended_as(&a, false, HAKUBAN_ERR_PROTOCOL, other);
        pull(&a);
        ck_assert_uint_eq(a.pipe.bytes, 0);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(malformed_hellos_are_refused_in_words)
{
    static const struct {
        const char *hello;
        hakuban_status status;
        const char *words;
    } wrong[] = {
        {"{\"hakuban\":2}", HAKUBAN_ERR_UNSUPPORTED,
         "version 1 of the hakuban protocol is spoken here, version 2 there"},
        {"{\"hakuban\":1}", HAKUBAN_ERR_PROTOCOL, "hello: \"path\" is missing"},
        {"{\"hakuban\":1,\"refused\":\"you\"}", HAKUBAN_ERR_PROTOCOL,
         "hello: only an answer refuses"},
        {"{\"hakuban\":1,\"name\":5}", HAKUBAN_ERR_PROTOCOL, "hello: a text was expected"},
    };
    begin_default();
    hear_header(&b, wrong[_i].hello);
    pull(&b);
    ended_as(&b, false, wrong[_i].status, wrong[_i].words);
    deliver(&b, &a);
    ended_as(&a, false, HAKUBAN_ERR_REFUSED, wrong[_i].words);
}
END_TEST

START_TEST(what_a_hello_does_not_say_is_the_default)
{
    begin_default();
    hear_header(&b, "{\"hakuban\":1,\"path\":[\"00112233445566778899aabbccddeeff\"],"
                    "\"serializers\":[\"json\"],\"compressors\":[\"zip\",\"none\"]}");
    ck_assert_uint_eq(b.opened, 1);
    ck_assert_uint_eq(b.link.peer_keep_alive_ns, HKB_KEEP_ALIVE_NS_DEFAULT);
    ck_assert_uint_eq(b.link.peer_state_bytes_max, HAKUBAN_STATE_BYTES_MAX);
    ck_assert_uint_eq(b.link.window_bytes, HKB_WINDOW_BYTES_DEFAULT);
    ck_assert_str_eq(b.link.peer_name, "");
}
END_TEST

START_TEST(an_answer_must_be_one_that_was_offered)
{
    static const char *const codecs[] = {
        "\"serializers\":[\"xml\"],\"compressors\":[\"none\"]",
        "\"serializers\":[\"json\"],\"compressors\":[\"zip\"]",
        "\"serializers\":[\"json\",\"json\"],\"compressors\":[\"none\"]",
        "\"serializers\":[],\"compressors\":[\"none\"]", "\"x\":1"};
    char text[300];
    snprintf(text, sizeof(text), "{\"hakuban\":1,\"path\":[\"%032d\"],%s}", 5, codecs[_i]);
    begin_default();
    pull(&a);
    hear_header(&a, text);
    ended_as(&a, false, HAKUBAN_ERR_PROTOCOL, "the answer to the hello is none that was offered");
}
END_TEST

START_TEST(before_the_hello_little_is_kept)
{
    begin_default();
    static uint8_t large[5000] = {0xff, 0x1f, 0xfd, 0x1f, '{'}; /* a frame of 4095 bytes */
    size_t before = b.memory.bytes;
    hear(&b, large, 4000);
    ck_assert_uint_eq(b.ended, 0);
    ck_assert_uint_le(b.memory.bytes - before, 8192);
    hear(&b, large + 4000, 1000);
    ck_assert_uint_eq(b.ended, 1);
    ck_assert_uint_le(b.memory.bytes - before, 8192);
}
END_TEST

START_TEST(no_hello_within_five_seconds_ends_it)
{
    begin_default();
    ck_assert(hkb_link_deadline(&a.link) == now_ns + 5 * S);
    ck_assert(hkb_link_deadline(&b.link) == now_ns + 5 * S);
    a.holds = true;
    pull(&a);
    hear(&b, a.pipe.data, 20); /* a beginning does not help */
    pass(5 * S - 1);
    ck_assert_uint_eq(a.ended + b.ended, 0);
    b.holds = true;
    pass(1);
    ended_as(&a, false, HAKUBAN_ERR_TIMEOUT, "no answer to the hello within 5 s");
    ended_as(&b, false, HAKUBAN_ERR_TIMEOUT, "no hello within 5 s");
    ck_assert_uint_gt(b.pipe.bytes, 0); /* sent, in case the other side still reads */
}
END_TEST

/* -- Silence -- */

START_TEST(pings_keep_a_silent_link_alive)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    mine.keep_alive_ns = 1 * S;
    theirs.keep_alive_ns = 4 * S;
    begin(&mine, &theirs, true);
    carry();
    uint64_t out_a = a.shared.wire_bytes_out, out_b = b.shared.wire_bytes_out;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t due_a = hkb_link_deadline(&a.link), due_b = hkb_link_deadline(&b.link);
        pass((due_a < due_b ? due_a : due_b) - now_ns);
    }
    ck_assert_uint_eq(a.ended + b.ended, 0);
    /* 5 bytes each time, and not counted. */
    uint64_t pings_a = (a.shared.wire_bytes_out - out_a) / 5,
             pings_b = (b.shared.wire_bytes_out - out_b) / 5;
    ck_assert_uint_ge(pings_a, 990);
    ck_assert_uint_le(pings_a, 1000);
    ck_assert_uint_ge(pings_b, 240);
    ck_assert_uint_le(pings_b, 260);
    ck_assert_uint_eq(a.link.sent_bytes + b.link.sent_bytes, 0);
}
END_TEST

START_TEST(a_side_that_sends_need_not_ping)
{
    hkb_link_settings settings = defaults();
    settings.keep_alive_ns = 1 * S;
    begin(&settings, &settings, true);
    carry();
    uint64_t bytes = a.shared.wire_bytes_out;
    for (unsigned i = 0; i < 20; i++) {
        say_more(&a, 1);
        pass(S / 2);
    }
    ck_assert_uint_eq(a.shared.wire_bytes_out - bytes, a.link.sent_bytes);
}
END_TEST

START_TEST(silence_is_cut_after_two_and_a_half_keep_alives)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    mine.keep_alive_ns = 1 * S; /* so b waits for 2.5 s */
    begin(&mine, &theirs, true);
    carry();
    a.holds = b.holds = true; /* the network is dead */
    pass(2500 * MS - 1);
    ck_assert_uint_eq(b.ended, 0);
    pass(1);
    ck_assert_uint_eq(b.ended, 1);
    ck_assert_str_eq(b.why.text, "nothing was received for 2500 ms");
    ck_assert_int_eq(b.why.status, HAKUBAN_ERR_TIMEOUT);
    ck_assert(!b.orderly);
    pass(47500 * MS - 1);
    ck_assert_uint_eq(a.ended, 0);
    pass(1);
    ck_assert_uint_eq(a.ended, 1);
    ck_assert_str_eq(a.why.text, "nothing was received for 50000 ms");
}
END_TEST

START_TEST(a_timeout_of_ones_own_replaces_that)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    theirs.keep_alive_ns = 1 * S;
    mine.timeout_ns = 300 * MS;
    begin(&mine, &theirs, true);
    carry();
    pass(200 * MS);
    hear(&a, "\x05", 1); /* any byte counts */
    pass(300 * MS - 1);
    ck_assert_uint_eq(a.ended, 0);
    pass(1);
    ended_as(&a, false, HAKUBAN_ERR_TIMEOUT, "nothing was received for 300 ms");
}
END_TEST

/* -- Window -- */

static const struct {
    uint64_t of_a, of_b;
    size_t bytes;
    unsigned count;
} windows[] = {
    {256 * 1024, 256 * 1024, 1000, 2000},
    {16 * 1024, 256 * 1024, 1000, 2000},
    {256 * 1024, 16 * 1024, 100, 3000},
    {16 * 1024, 16 * 1024, HKB_PART_BYTES_MAX, 50},
    {64 << 20, 16 * 1024, 8192, 500},
    {16 * 1024, 64 << 20, 16383, 300},
    {64 << 20, 64 << 20, HKB_PART_BYTES_MAX, 300},
    {16 * 1024, 17 * 1024, 0, 5000},
};

START_TEST(a_window_never_stops_for_good)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    mine.window_bytes = windows[_i].of_a;
    theirs.window_bytes = windows[_i].of_b;
    begin(&mine, &theirs, true);
    carry();
    a.say_bytes = b.say_bytes = windows[_i].bytes;
    for (unsigned round = 0; round < 3; round++) {
        chunk = round == 1 ? 977 : 0;
        unsigned a_heard = a.heard, b_heard = b.heard;
        if (round != 2) {
            say_more(&a, windows[_i].count);
        }
        if (round != 1) {
            say_more(&b, windows[_i].count);
        }
        carry();
        ck_assert_uint_eq(b.heard - b_heard, round != 2 ? windows[_i].count : 0);
        ck_assert_uint_eq(a.heard - a_heard, round != 1 ? windows[_i].count : 0);
    }
    ck_assert_uint_eq(a.ended + b.ended, 0);
    ck_assert_uint_eq(a.link.sent_bytes, b.link.received_bytes);
    ck_assert_uint_eq(b.link.sent_bytes, a.link.received_bytes);
    ck_assert_uint_lt(a.link.sent_bytes - a.link.acked_bytes, a.link.window_bytes);
}
END_TEST

START_TEST(a_side_that_is_not_heard_stops_at_its_window)
{
    open_both();
    a.holds = b.holds = true;
    a.say_bytes = b.say_bytes = 1000;
    say_more(&a, 2000);
    say_more(&b, 2000);
    carry();
    ck_assert_uint_ge(a.pipe.bytes, HKB_WINDOW_BYTES_DEFAULT);
    ck_assert_uint_le(a.pipe.bytes, HKB_WINDOW_BYTES_DEFAULT + 1020);
    ck_assert_uint_le(b.pipe.bytes, HKB_WINDOW_BYTES_DEFAULT + 1020);
    /* Everything goes on once both are heard again. */
    a.holds = b.holds = false;
    carry();
    ck_assert_uint_eq(a.heard, 2000);
    ck_assert_uint_eq(b.heard, 2000);
}
END_TEST

/* -- Budget -- */

static void give_credit(side *s, int64_t credit)
{
    s->link.credit = credit;
    hkb_link_hear(&s->link, now_ns);
}

START_TEST(what_the_credit_does_not_pay_for_waits_in_order)
{
    chunk = chunks[_i];
    open_both();
    b.link.credit = 3;
    say_more(&a, 10);
    carry();
    ck_assert_uint_eq(b.heard, 3);
    ck_assert(hkb_link_is_behind(&b.link));
    give_credit(&b, 0);
    ck_assert_uint_eq(b.heard, 3);
    give_credit(&b, 5);
    ck_assert_uint_eq(b.heard, 8);
    say_more(&a, 10); /* behind what waits already */
    carry();
    ck_assert_uint_eq(b.heard, 8);
    give_credit(&b, INT64_MAX);
    carry();
    ck_assert_uint_eq(b.heard, 20);
    ck_assert(!hkb_link_is_behind(&b.link));
    ck_assert_uint_eq(b.link.received_bytes, a.link.sent_bytes);
}
END_TEST

START_TEST(a_large_message_puts_its_sender_into_debt)
{
    open_both();
    a.say_bytes = 8 * HKB_COST_KIB;
    b.link.credit = 1;
    say_more(&a, 2);
    carry();
    ck_assert_uint_eq(b.heard, 1);
    ck_assert_int_eq(b.link.credit, 1 - (1 + 8)); /* the message, and its KiB */
    give_credit(&b, INT64_MAX);
    ck_assert_uint_eq(b.heard, 2);
}
END_TEST

START_TEST(a_link_that_waits_for_its_turn_is_not_silent)
{
    open_both();
    b.link.credit = 0;
    say_more(&a, 2);
    carry();
    for (unsigned i = 0; i < 10; i++) { /* nothing is read meanwhile */
        now_ns += 20 * S;
        hkb_link_hear(&b.link, now_ns);
        hkb_link_tick(&b.link, now_ns);
        ck_assert_int_eq(b.link.phase, HKB_LINK_OPEN);
    }
}
END_TEST

START_TEST(more_than_the_window_does_not_wait)
{
    static uint8_t ping[64 * 1024];
    open_both();
    b.link.credit = 0;
    for (unsigned i = 0; i < 2 * HKB_INPUT_BYTES_SPARE / sizeof(ping); i++) {
        hkb_link_receive(&b.link, now_ns, ping, sizeof(ping));
        ck_assert_uint_le(b.link.input.bytes,
                          b.link.settings->window_bytes + HKB_INPUT_BYTES_SPARE);
    }
    carry();
    ended_as(&b, false, HAKUBAN_ERR_LIMIT,
             "more than 1310720 bytes were sent before they could be heard");
}
END_TEST

START_TEST(what_waits_goes_with_its_connection)
{
    open_both();
    b.link.credit = 0;
    say_more(&a, 3);
    carry();
    ck_assert(hkb_link_is_behind(&b.link));
    ck_assert(!hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_CLOSED, "gone"));
    ck_assert(!hkb_link_is_behind(&b.link));
    hkb_link_hear(&b.link, now_ns);
    ck_assert_uint_eq(b.heard, 0);
}
END_TEST

START_TEST(acknowledgements_go_out_while_the_window_is_full)
{
    hkb_link_settings settings = defaults();
    settings.window_bytes = 16 * 1024;
    begin(&settings, &settings, true);
    carry();
    b.holds = true; /* a hears nothing, not even acknowledgements */
    say_more(&a, 1000);
    say_more(&b, 1000);
    carry();
    ck_assert_uint_lt(b.heard, 20);
    size_t stopped = b.pipe.bytes;
    ck_assert_uint_gt(stopped, 16 * 1024); /* the window's worth and acknowledgements */
    b.holds = false;
    carry();
    ck_assert_uint_eq(a.heard, 1000);
    ck_assert_uint_eq(b.heard, 1000);
}
END_TEST

START_TEST(messages_of_a_later_release_count_too)
{
    open_both();
    uint64_t before = b.link.received_bytes;
    hear_header(&b, "[129,1,2]");
    hear_header(&b, "[60]");
    ck_assert_uint_eq(b.link.received_bytes - before, 11 + 6);
    hear_header(&b, "[2]");
    hear_header(&b, "[1,0]");
    ck_assert_uint_eq(b.link.received_bytes - before, 11 + 6);
    ck_assert_uint_eq(b.ended, 0);
}
END_TEST

START_TEST(false_acknowledgements_end_it)
{
    static const char *const acks[] = {"[1,2000]", "[1,18446744073709551615]", "[1,99]"};
    static const char words[] = "more was acknowledged than was sent, or less than before";
    char whole[100];
    open_both();
    b.say_bytes = 500;
    say_more(&b, 2);
    carry();
    hear_header(&b, "[1,100]");
    ck_assert_uint_eq(b.ended, 0);
    hear_header(&b, acks[_i]);
    carry();
    ended_as(&b, false, HAKUBAN_ERR_PROTOCOL, words);
    snprintf(whole, sizeof(whole), "the other side closed: %s", words);
    ended_as(&a, false, HAKUBAN_ERR_CLOSED, whole);
}
END_TEST

/* -- Ends -- */

static const char goodbye[] = "the other side said goodbye";

START_TEST(an_orderly_end_says_everything_first)
{
    hkb_link_settings settings = defaults();
    settings.window_bytes = 16 * 1024;
    chunk = chunks[_i];
    begin(&settings, &settings, true);
    carry();
    side *leaver = _i % 2 ? &a : &b, *left = _i % 2 ? &b : &a;
    say_more(leaver, 60);
    hkb_link_leave(&leaver->link, now_ns);
    hkb_link_leave(&leaver->link, now_ns);
    carry();
    ck_assert_uint_eq(left->heard, 60);
    ended_as(leaver, true, HAKUBAN_ERR_CLOSED, goodbye);
    ended_as(left, true, HAKUBAN_ERR_CLOSED, goodbye);
}
END_TEST

START_TEST(goodbyes_may_cross)
{
    open_both();
    say_more(&a, 10);
    say_more(&b, 10);
    hkb_link_leave(&a.link, now_ns);
    hkb_link_leave(&b.link, now_ns);
    a.holds = b.holds = true;
    carry();
    a.holds = b.holds = false;
    carry();
    ck_assert_uint_eq(a.heard, 10);
    ck_assert_uint_eq(b.heard, 10);
    ended_as(&a, true, HAKUBAN_ERR_CLOSED, goodbye);
    ended_as(&b, true, HAKUBAN_ERR_CLOSED, goodbye);
}
END_TEST

START_TEST(a_side_that_leaves_does_not_wait_for_ever)
{
    open_both();
    b.holds = true;
    hkb_link_leave(&a.link, now_ns);
    carry();
    ck_assert_uint_eq(a.ended, 0);
    ck_assert_uint_eq(b.ended, 1);
    ck_assert(hkb_link_deadline(&a.link) == now_ns + 2 * S);
    pass(2 * S - 1);
    ck_assert_uint_eq(a.ended, 0);
    pass(1);
    ended_as(&a, false, HAKUBAN_ERR_TIMEOUT, "the other side did not say goodbye in time");
}
END_TEST

START_TEST(leaving_before_the_hello_just_ends)
{
    begin_default();
    hkb_link_leave(&a.link, now_ns);
    hkb_link_leave(&b.link, now_ns);
    carry();
    ended_as(&a, false, HAKUBAN_ERR_CLOSED, "closed before the hello");
    ended_as(&b, false, HAKUBAN_ERR_CLOSED, "closed before the hello");
    ck_assert_uint_eq(a.shared.wire_bytes_out + b.shared.wire_bytes_out, 0);
}
END_TEST

START_TEST(words_of_a_failure_reach_the_other_side)
{
    open_both();
    chunk = _i ? 1 : 0;
    say_more(&a, 3);
    pull(&a); /* what was said before it arrives */
    hkb_link_fail(&a.link, HAKUBAN_ERR_LIMIT, "too much of %s\n%d", "it \"\xc3\xa9\"", 5);
    hkb_link_fail(&a.link, HAKUBAN_ERR_LIMIT, "something else");
    ck_assert_uint_eq(a.ended, 1);
    ck_assert(!hkb_link_is_over(&a.link)); /* there is still something to be pulled */
    ck_assert(hkb_link_has_control(&a.link));
    carry();
    ck_assert_uint_eq(b.heard, 3);
    ended_as(&a, false, HAKUBAN_ERR_LIMIT, "too much of it \"\xc3\xa9\"\\u000a5");
    ended_as(&b, false, HAKUBAN_ERR_CLOSED,
             "the other side closed: too much of it \"\xc3\xa9\"\\u000a5");
}
END_TEST

/* What would have explained it may be what could not be said. */
START_TEST(only_the_reason_is_said_after_a_failure)
{
    open_both();
    a.gives_up = "out of memory";
    say_more(&a, 3);
    carry();
    ck_assert_uint_eq(b.heard, 0);
    ended_as(&b, false, HAKUBAN_ERR_CLOSED, "the other side closed: out of memory");
}
END_TEST

START_TEST(an_owner_may_object_to_a_message)
{
    open_both();
    b.objects = "a message that only an upstream may send";
    say_more(&a, 10);
    carry();
    ck_assert_uint_eq(b.heard, 1); /* the nine behind it are not heard */
    ended_as(&b, false, HAKUBAN_ERR_PROTOCOL, "a message that only an upstream may send");
    ended_as(&a, false, HAKUBAN_ERR_CLOSED,
             "the other side closed: a message that only an upstream may send");
}
END_TEST

START_TEST(malformed_frames_end_it_in_words)
{
    static const struct {
        const char *bytes;
        size_t count;
        hakuban_status status;
        const char *words;
    } wrong[] = {
        {"\x02\x05[", 3, HAKUBAN_ERR_PROTOCOL, "a frame's header is longer than the frame"},
        {"\xff\xff\xff\x7f", 4, HAKUBAN_ERR_LIMIT, "a frame is larger than 81936 bytes"},
        {"\x03\x02{}", 4, HAKUBAN_ERR_PROTOCOL, "a message has a wrong header"},
        {"\x05\x04[14]", 6, HAKUBAN_ERR_PROTOCOL, "a message has a wrong channel"},
    };
    char whole[120];
    for (size_t i = 0; i < 2; i++) {
        chunk = i;
        open_both();
        hear(&b, wrong[_i].bytes, wrong[_i].count);
        carry();
        ended_as(&b, false, wrong[_i].status, wrong[_i].words);
        snprintf(whole, sizeof(whole), "the other side closed: %s", wrong[_i].words);
        ended_as(&a, false, HAKUBAN_ERR_CLOSED, whole);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(nothing_is_heard_after_the_end)
{
    open_both();
    say_more(&a, 5);
    pull(&a);
    hear_header(&b, "[3]"); /* bye */
    uint64_t bytes = b.shared.wire_bytes_in;
    deliver(&a, &b);
    hear_header(&b, "[22,1]");
    hear_header(&b, "[4,\"why\"]");
    pass(100 * S);
    ck_assert_uint_eq(b.heard, 0);
    ck_assert_uint_eq(b.ended, 1);
    ck_assert_uint_eq(b.shared.wire_bytes_in, bytes);
    hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "gone");
    hkb_link_leave(&b.link, now_ns);
    ended_as(&b, true, HAKUBAN_ERR_CLOSED, goodbye);
    b.woken = true;
    size_t left = b.pipe.bytes;
    pull(&b);
    ck_assert_uint_eq(b.pipe.bytes, left);
}
END_TEST

START_TEST(what_follows_a_goodbye_in_one_packet_is_not_heard)
{
    static const char packet[] = "\x07\x06[22,1]\x04\x03[3]\x07\x06[22,1]";
    for (size_t i = 0; i < 2; i++) {
        chunk = i;
        open_both();
        hear(&b, packet, sizeof(packet) - 1);
        ck_assert_uint_eq(b.heard, 1);
        pull(&b);
        ended_as(&b, true, HAKUBAN_ERR_CLOSED, goodbye);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(a_lost_connection_is_told_once)
{
    if (_i == 0) {
        begin_default();
    } else {
        open_both();
    }
    if (_i == 1) {
        hear(&b, "\x90\x4e\x05", 3); /* in the middle of a frame of 10000 bytes */
    }
    if (_i == 2) {
        hkb_link_leave(&b.link, now_ns);
    }
    hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "connection reset");
    hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "again");
    ended_as(&b, false, HAKUBAN_ERR_IO, "connection reset");
    b.woken = true;
    pull(&b);
    ck_assert_uint_eq(hkb_chain_bytes(&b.packet), 0);
}
END_TEST

START_TEST(memory_follows_what_came_not_what_was_announced)
{
    open_both();
    size_t before = b.memory.bytes;
    hear(&b, "\x90\x80\x05\x05", 4); /* a frame of 80 KiB begins */
    ck_assert_uint_le(b.memory.bytes - before, 512);
    static const uint8_t zeros[30000];
    hear(&b, zeros, sizeof(zeros));
    ck_assert_uint_le(b.memory.bytes - before, 65536 + 512);
    ck_assert_uint_eq(b.ended, 0);
}
END_TEST

/* -- Memory that runs out -- */

static void converse(unsigned count)
{
    begin_default();
    a.say_bytes = b.say_bytes = chunk ? 60 : 1000;
    say_more(&a, 20);
    say_more(&b, count);
    carry();
    hkb_link_leave(&a.link, now_ns);
    carry();
    pass(10 * S);
    /* What the carrier would do when one side has gone. */
    if (a.ended && !b.ended) {
        hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "closed");
    }
    if (b.ended && !a.ended) {
        hkb_link_lost(&a.link, now_ns, HAKUBAN_ERR_IO, "closed");
    }
    carry();
}

START_TEST(memory_that_runs_out_ends_the_link_and_leaks_nothing)
{
    static const size_t ways[] = {0, 1, 100};
    static const unsigned counts[] = {300, 5, 20}; /* the first goes beyond the window */
    for (unsigned turn = 0; turn < 4; turn++) {
        bool failed = true;
        for (size_t nth = 1; failed; nth++) {
            tear_down();
            set_up();
            side *poor = turn % 2 ? &a : &b;
            chunk = ways[_i];
            fail_alloc_arm(&poor->memory, nth, turn >= 2);
            converse(counts[_i]);
            failed = fail_alloc_failed(&poor->memory);
            fail_alloc_arm(&poor->memory, 0, false);
            ck_assert_uint_eq(a.ended, 1);
            ck_assert_uint_eq(b.ended, 1);
            if (failed) { /* perhaps only while the last goodbye was said */
                ck_assert(poor->orderly || poor->why.status == HAKUBAN_ERR_NO_MEMORY);
                ck_assert(poor->orderly || strstr(poor->why.text, "out of memory"));
            } else {
                ck_assert(a.orderly && b.orderly);
                ck_assert_uint_eq(b.heard, 20);
                ck_assert_uint_eq(a.heard, counts[_i]);
            }
        }
    }
}
END_TEST

/* -- Sessions -- */

/* Both have a session; b has said counts[0] messages that are acknowledged, and then counts[1] that
 * a never got. */
static void open_session(unsigned acknowledged, unsigned lost)
{
    a.say_byte = b.say_byte = 0xff; /* nothing that looks like a frame */
    b.token = 77;
    open_both();
    say_more(&b, acknowledged);
    carry();
    pass(HKB_ACK_NS);
    ck_assert_uint_eq(b.link.acked_bytes, b.link.sent_bytes);
    b.holds = true;
    say_more(&b, lost);
    carry();
    b.holds = false;
    b.pipe.bytes = 0;
}

static void lose_both(void)
{
    ck_assert(hkb_link_lost(&a.link, now_ns, HAKUBAN_ERR_IO, "cut"));
    ck_assert(hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "cut"));
    a.pipe.bytes = b.pipe.bytes = 0;
}

/* A new connection to b. */
static void knock(bool stream)
{
    c.settings = defaults();
    add_serializer(&c, "json");
    add_compressor(&c, "none");
    c.token = 78;
    hkb_link_init(&c.link, &c.shared, &c.settings, false, stream, now_ns);
    c.begun = true;
}

static hkb_hello returner(void)
{
    return (hkb_hello){.major = HKB_PROTOCOL_MAJOR,
                       .path = {{0, 1}},
                       .path_count = 1,
                       .serializers = {{"json"}},
                       .serializer_count = 1,
                       .compressors = {{"none"}},
                       .compressor_count = 1,
                       .grace_ms = 2000,
                       .has_token = true,
                       .token = {0, 77},
                       .received_bytes = b.link.acked_bytes};
}

static void hear_hello(side *s, const hkb_hello *hello)
{
    char text[HKB_HELLO_BYTES_MAX];
    hkb_buffer json;
    hkb_buffer_init(&json, hakuban_alloc_default(), sizeof(text) - 1);
    ck_assert_int_eq(hkb_hello_write(hello, &json), HAKUBAN_OK);
    memcpy(text, json.data, json.bytes);
    text[json.bytes] = 0;
    hkb_buffer_done(&json);
    hear_header(s, text);
}

static void return_to_b(bool stream)
{
    knock(stream);
    hkb_link_return(&a.link, stream, now_ns);
    a.woken = true;
    pull(&a);
    deliver(&a, &c);
}

START_TEST(a_session_goes_on_where_it_was)
{
    chunk = chunks[_i];
    open_session(2, 3);
    say_more(&a, 4);
    a.holds = true;
    carry();
    a.holds = false;
    lose_both();
    now_ns += S;
    return_to_b(chunk != 0);
    ck_assert_uint_eq(c.moved, 1);
    ck_assert_uint_eq(c.opened + c.ended, 0);
    carry();
    ck_assert_uint_eq(a.resumed, 1);
    ck_assert_uint_eq(b.resumed, 1);
    ck_assert_uint_eq(a.opened, 1);
    ck_assert_uint_eq(a.heard, 5);
    ck_assert_uint_eq(b.heard, 4);
    pass(HKB_ACK_NS);
    ck_assert_uint_eq(a.link.acked_bytes, a.link.sent_bytes);
    ck_assert_uint_eq(b.link.acked_bytes, b.link.sent_bytes);
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.log), 0);
    say_more(&b, 1);
    carry();
    ck_assert_uint_eq(a.heard, 6);
}
END_TEST

static void say_from(side *s, size_t bytes)
{
    uint8_t *data;
    hakuban_bytes *of;
    ck_assert_int_eq(hkb_bytes_new_empty(&s->memory.table, bytes, &of, &data), HAKUBAN_OK);
    memset(data, 'x', bytes);
    s->say_of = of;
    s->say_bytes = bytes;
}

/* Large payloads are in the session's log once, however often they were said, and small ones are
 * copied. */
START_TEST(what_is_said_from_shared_bytes_is_said_again_from_them)
{
    static const size_t sizes[] = {HKB_SHARED_BYTES_MIN - 1, HKB_SHARED_BYTES_MIN, 60000};
    open_session(2, 0);
    say_from(&b, sizes[_i]);
    b.said = 0;
    say_more(&b, 20);
    b.holds = true;
    for (unsigned i = 0; i < 20; i++) {
        pull(&b);
    }
    b.holds = false;
    bool shared = sizes[_i] >= HKB_SHARED_BYTES_MIN;
    ck_assert_uint_eq(b.link.log.shared_bytes, shared ? b.said * sizes[_i] : 0);
    lose_both();
    return_to_b(true);
    carry();
    ck_assert_uint_eq(a.resumed, 1);
    pass(HKB_ACK_NS);
    carry();
    ck_assert_uint_eq(a.heard, 22);
    ck_assert_uint_eq(b.link.acked_bytes, b.link.sent_bytes);
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.log) + hkb_chain_bytes(&b.link.again), 0);
}
END_TEST

/* What a returner says it has received, counted from the first lost byte, of three lost messages.
 */
static const struct {
    int64_t received;
    bool goes_on;
} lies[] = {{0, true}, {-1, false}, {INT64_MAX, false}, {1 << 20, false}, {INT64_MIN, false}};

START_TEST(a_peer_with_an_impossible_hello_begins_anew)
{
    open_session(2, 3);
    lose_both();
    knock(true);
    hkb_hello hello = returner();
    hello.received_bytes += (uint64_t)lies[_i].received;
    hear_hello(&c, &hello);
    ck_assert_uint_eq(c.moved, lies[_i].goes_on);
    ck_assert_uint_eq(c.opened, !lies[_i].goes_on);
    ck_assert_uint_eq(b.ended, !lies[_i].goes_on);
    ck_assert(lies[_i].goes_on || b.why.status == HAKUBAN_ERR_CLOSED);
}
END_TEST

START_TEST(everything_was_received_is_possible)
{
    open_session(2, 3);
    lose_both();
    knock(true);
    hkb_hello hello = returner();
    hello.received_bytes = b.link.sent_bytes;
    hear_hello(&c, &hello);
    ck_assert_uint_eq(c.moved, 1);
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.again), 0);
    b.woken = true;
    pull(&b);
    ck_assert_uint_lt(hkb_chain_bytes(&b.packet), 500); /* the hello alone */
}
END_TEST

/* In the middle of a frame: whatever is said then, it is no larger than a transport takes, and
 * ends. */
START_TEST(half_a_frame_is_not_said_again)
{
    open_session(2, 200);
    lose_both();
    knock(true);
    hkb_hello hello = returner();
    hello.received_bytes += 20 + (uint64_t)_i;
    hear_hello(&c, &hello);
    ck_assert_uint_eq(c.moved, 1);
    for (unsigned i = 0; i < 20 && !b.ended; i++) {
        b.woken = true;
        pull(&b);
    }
    ck_assert_uint_eq(b.ended, 1);
    ck_assert_int_eq(b.why.status, HAKUBAN_ERR_PROTOCOL);
    ck_assert_str_eq(b.why.text, "what was said to be received ends in the middle of a frame");
}
END_TEST

START_TEST(a_return_must_fit_its_session)
{
    open_session(2, 3);
    lose_both();
    knock(true);
    hkb_hello hello = returner();
    const char *why = "the other side has begun anew";
    if (_i == 0) {
        snprintf(hello.compressors[0].name, sizeof(hello.compressors[0].name), "zip");
    } else if (_i == 1) {
        hello.serializer_count = 0;
    } else if (_i == 2) {
        hello.replaces = true;
    } else if (_i == 3) {
        b.refuses = "a loop";
        why = "a loop";
    }
    hear_hello(&c, &hello);
    ck_assert_uint_eq(c.moved, 0);
    ck_assert_uint_eq(b.ended, 1);
    ck_assert_str_eq(b.why.text, why);
    ck_assert_uint_eq(c.opened, _i == 2);
    ck_assert_uint_eq(c.ended, _i != 2);
    hkb_link_pull(&c.link, now_ns, &c.packet);
    ck_assert_uint_gt(hkb_chain_bytes(&c.packet), 0); /* it is told */
}
END_TEST

START_TEST(a_wrong_token_ends_nothing)
{
    open_session(2, 3);
    knock(true);
    hkb_hello hello = returner();
    hello.token[_i] ^= 1;
    hello.replaces = _i;
    hear_hello(&c, &hello);
    ck_assert_uint_eq(c.opened, 1);
    ck_assert_uint_eq(b.ended, 0);
    ck_assert_int_eq(b.link.phase, HKB_LINK_OPEN);
}
END_TEST

START_TEST(an_open_session_may_be_taken_along)
{
    open_session(2, 3);
    hear(&b, "\x90\x4e\x05", 3); /* in the middle of a frame */
    ck_assert(hkb_link_lost(&a.link, now_ns, HAKUBAN_ERR_IO, "cut"));
    return_to_b(true);
    ck_assert_uint_eq(c.moved, 1);
    carry();
    ck_assert_uint_eq(a.heard, 5);
    say_more(&a, 2);
    carry();
    ck_assert_uint_eq(b.heard, 2);
}
END_TEST

/* What the connector makes of answers. */
static const struct {
    const char *compressor, *words;
    uint64_t more;
} answers[] = {
    {"none", "the other side received what was never said to it", 1},
    {"none", "the other side received what was never said to it", UINT64_MAX},
    {"zip", "the session goes on with other codecs than it began with", 0},
};

START_TEST(a_false_answer_to_a_return_ends_the_session)
{
    open_session(2, 3);
    lose_both();
    add_compressor(&a, "zip");
    hkb_link_return(&a.link, true, now_ns);
    a.woken = true;
    pull(&a);
    hkb_hello hello = returner();
    hello.resumed = true;
    hello.received_bytes = a.link.sent_bytes + answers[_i].more;
    snprintf(hello.compressors[0].name, sizeof(hello.compressors[0].name), "%s",
             answers[_i].compressor);
    hear_hello(&a, &hello);
    ck_assert_uint_eq(a.ended, 1);
    ck_assert_uint_eq(a.resumed, 0);
    ck_assert_str_eq(a.why.text, answers[_i].words);
    ck_assert_int_eq(a.why.status, HAKUBAN_ERR_PROTOCOL);
}
END_TEST

START_TEST(a_return_that_is_not_answered_is_tried_again)
{
    hkb_link_settings settings = defaults();
    settings.grace_ns = 60 * S;
    b.token = 77;
    begin(&settings, &settings, true);
    carry();
    say_more(&b, 3);
    carry();
    uint64_t known_ns = now_ns;
    now_ns += S;
    lose_both();
    hkb_link_return(&a.link, true, now_ns);
    a.woken = true;
    a.holds = true;
    pull(&a);
    pass(5 * S);
    ck_assert_uint_eq(a.ended, 0);
    ck_assert_uint_eq(a.dropped, 1);
    ck_assert_int_eq(a.link.phase, HKB_LINK_AWAY);
    ck_assert(hkb_link_deadline(&a.link) == known_ns + 61 * S);
    ck_assert(hkb_link_known_ns(&a.link) == known_ns);
    a.holds = false;
    a.pipe.bytes = 0;
    return_to_b(true);
    carry();
    ck_assert_uint_eq(a.resumed, 1);
    ck_assert_uint_eq(a.heard, 3);
}
END_TEST

START_TEST(a_window_that_is_full_stays_so_over_a_return)
{
    hkb_link_settings small = defaults();
    small.window_bytes = HKB_WINDOW_BYTES_MIN;
    b.token = 77;
    begin(&small, &small, true);
    carry();
    b.holds = true;
    say_more(&b, 100);
    carry();
    unsigned before = b.said;
    ck_assert_uint_lt(before, 100);
    b.holds = false;
    lose_both();
    return_to_b(true);
    ck_assert_uint_eq(c.moved, 1);
    b.holds = true; /* all that was lost is said again, and no more */
    carry();
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.again), 0);
    ck_assert_uint_eq(b.said, before);
    b.holds = false;
    deliver(&b, &a);
    carry();
    ck_assert_uint_eq(a.heard, 100);
}
END_TEST

START_TEST(acknowledged_while_it_is_said_again)
{
    open_session(0, 150); /* more than one packet */
    uint64_t frame_bytes = b.link.sent_bytes / 150;
    lose_both();
    knock(true);
    hkb_hello hello = returner();
    hear_hello(&c, &hello);
    b.woken = true;
    pull(&b);
    ck_assert_uint_gt(hkb_chain_bytes(&b.link.again), 0);
    char ack[40];
    snprintf(ack, sizeof(ack), "[1,%llu]", (unsigned long long)(140 * frame_bytes));
    hear_header(&b, ack); /* of more than was said again so far: its own loss */
    ck_assert_uint_eq(b.ended, 0);
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.again), 10 * frame_bytes);
    for (unsigned i = 0; i < 5; i++) {
        b.woken = true;
        pull(&b);
    }
    ck_assert_uint_eq(hkb_chain_bytes(&b.link.again), 0);
    ck_assert_uint_eq(b.ended, 0);
}
END_TEST

START_TEST(memory_that_runs_out_over_a_return_leaks_nothing)
{
    side *const sides[] = {&a, &b, &c};
    bool failed = true;
    for (size_t nth = 1; failed; nth++) {
        tear_down();
        set_up();
        open_session(2, 60);
        say_more(&a, 60);
        a.holds = true;
        carry();
        a.holds = false;
        lose_both();
        knock(true); /* what that needs is not the return's */
        chunk = 700;
        fail_alloc_arm(&sides[_i]->memory, nth, false);
        hkb_link_return(&a.link, true, now_ns);
        a.woken = true;
        pull(&a);
        deliver(&a, &c);
        if (!c.moved) { /* its connection goes */
            hkb_link_lost(&a.link, now_ns, HAKUBAN_ERR_IO, "cut");
            a.woken = b.woken = false;
            a.pipe.bytes = 0;
        }
        carry();
        if (a.ended && !b.ended) {
            hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "closed");
        }
        failed = fail_alloc_failed(&sides[_i]->memory);
        fail_alloc_arm(&sides[_i]->memory, 0, false);
        if (!failed) {
            ck_assert_uint_eq(a.heard, 62);
            ck_assert_uint_eq(b.heard, 60);
        }
        ck_assert(failed || (a.resumed && b.resumed));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link");
    TCase *tcase = tcase_create("beginning");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, hellos_go_both_ways_however_bytes_come, 0, (int)HKB_COUNT(chunks));
    tcase_add_test(tcase, messages_with_boundaries_must_be_whole);
    tcase_add_test(tcase, the_connectors_order_of_codecs_decides);
    tcase_add_test(tcase, either_side_may_insist_on_a_codec);
    tcase_add_loop_test(tcase, no_codec_in_common_is_refused_in_words, 0, 2);
    tcase_add_loop_test(tcase, an_owner_may_refuse_a_hello, 0, 2);
    tcase_add_loop_test(tcase, a_peer_of_another_protocol_is_told_so_at_once, 0,
                        (int)HKB_COUNT(strangers));
    tcase_add_loop_test(tcase, malformed_hellos_are_refused_in_words, 0, 4);
    tcase_add_test(tcase, what_a_hello_does_not_say_is_the_default);
    tcase_add_loop_test(tcase, an_answer_must_be_one_that_was_offered, 0, 5);
    tcase_add_test(tcase, before_the_hello_little_is_kept);
    tcase_add_test(tcase, no_hello_within_five_seconds_ends_it);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("silence");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, pings_keep_a_silent_link_alive);
    tcase_add_test(tcase, a_side_that_sends_need_not_ping);
    tcase_add_test(tcase, silence_is_cut_after_two_and_a_half_keep_alives);
    tcase_add_test(tcase, a_timeout_of_ones_own_replaces_that);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("window");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_window_never_stops_for_good, 0, (int)HKB_COUNT(windows));
    tcase_add_test(tcase, a_side_that_is_not_heard_stops_at_its_window);
    tcase_add_test(tcase, acknowledgements_go_out_while_the_window_is_full);
    tcase_add_test(tcase, messages_of_a_later_release_count_too);
    tcase_add_loop_test(tcase, false_acknowledgements_end_it, 0, 3);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("budget");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_the_credit_does_not_pay_for_waits_in_order, 0,
                        (int)HKB_COUNT(chunks));
    tcase_add_test(tcase, a_large_message_puts_its_sender_into_debt);
    tcase_add_test(tcase, a_link_that_waits_for_its_turn_is_not_silent);
    tcase_add_test(tcase, more_than_the_window_does_not_wait);
    tcase_add_test(tcase, what_waits_goes_with_its_connection);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("sessions");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_session_goes_on_where_it_was, 0, (int)HKB_COUNT(chunks));
    tcase_add_loop_test(tcase, what_is_said_from_shared_bytes_is_said_again_from_them, 0, 3);
    tcase_add_loop_test(tcase, a_peer_with_an_impossible_hello_begins_anew, 0,
                        (int)HKB_COUNT(lies));
    tcase_add_test(tcase, everything_was_received_is_possible);
    tcase_add_loop_test(tcase, half_a_frame_is_not_said_again, 0, 3);
    tcase_add_loop_test(tcase, a_return_must_fit_its_session, 0, 4);
    tcase_add_loop_test(tcase, a_wrong_token_ends_nothing, 0, 2);
    tcase_add_test(tcase, an_open_session_may_be_taken_along);
    tcase_add_loop_test(tcase, a_false_answer_to_a_return_ends_the_session, 0,
                        (int)HKB_COUNT(answers));
    tcase_add_test(tcase, a_return_that_is_not_answered_is_tried_again);
    tcase_add_test(tcase, a_window_that_is_full_stays_so_over_a_return);
    tcase_add_test(tcase, acknowledged_while_it_is_said_again);
    tcase_add_loop_test(tcase, memory_that_runs_out_over_a_return_leaks_nothing, 0, 3);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("end");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, an_orderly_end_says_everything_first, 0, (int)HKB_COUNT(chunks));
    tcase_add_test(tcase, goodbyes_may_cross);
    tcase_add_test(tcase, a_side_that_leaves_does_not_wait_for_ever);
    tcase_add_test(tcase, leaving_before_the_hello_just_ends);
    tcase_add_loop_test(tcase, words_of_a_failure_reach_the_other_side, 0, 2);
    tcase_add_test(tcase, only_the_reason_is_said_after_a_failure);
    tcase_add_test(tcase, an_owner_may_object_to_a_message);
    tcase_add_loop_test(tcase, malformed_frames_end_it_in_words, 0, 4);
    tcase_add_test(tcase, nothing_is_heard_after_the_end);
    tcase_add_test(tcase, what_follows_a_goodbye_in_one_packet_is_not_heard);
    tcase_add_loop_test(tcase, a_lost_connection_is_told_once, 0, 3);
    tcase_add_test(tcase, memory_follows_what_came_not_what_was_announced);
    tcase_add_loop_test(tcase, memory_that_runs_out_ends_the_link_and_leaks_nothing, 0, 3);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
