/* Two links joined by pipes on a virtual clock, with owners that count what they hear: how conversations begin, flow, fall
 * silent and end. A side is only pulled when it asked for it, as a host would: a forgotten wake-up is a lost message. */
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
    hkb_link link;
    hkb_buffer pipe;  /* what was said and is not delivered yet */
    hkb_buffer packet;
    bool begun, woken, holds; /* holds: what it says stays in the pipe */
    unsigned to_say;          /* PARTs not yet said */
    size_t say_bytes;         /* of each */
    unsigned said, heard, opened, hellos, ended;
    unsigned heard_when_ended;
    bool orderly;
    hakuban_error why;
    const char *refuses; /* the other's hello, in these words */
    const char *objects; /* to each message, in these words */
} side;

static side a, b; /* a connects to b */
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
    if (s->refuses)
        return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP, "%s", s->refuses);
    return on_offer(link, answer);
}

static void on_opened(hkb_link *link)
{
    side_of(link)->opened++;
    if (side_of(link)->to_say)
        side_of(link)->woken = true;
}

static hakuban_status on_message(hkb_link *link, hkb_message *message, hakuban_error *reterr)
{
    side *s = side_of(link);
    hakuban_descriptor_unref(message->descriptor);
    ck_assert_uint_eq(s->ended, 0);
    ck_assert_uint_eq(s->opened, 1);
    s->heard++;
    if (s->objects)
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "%s", s->objects);
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
    static const char bytes[HKB_PART_BYTES_MAX];
    side *s = side_of(link);
    ck_assert_uint_eq(s->ended, 0);
    ck_assert(link->sent_bytes - link->acked_bytes < link->window_bytes);
    if (s->to_say == 0)
        return false;
    s->to_say--;
    s->said++;
    hkb_message part = {.kind = HKB_MESSAGE_PART, .channel = 1, .payload = {bytes, s->say_bytes}};
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

static const hkb_link_events events = {
    .offer = on_offer,
    .hello = on_hello,
    .opened = on_opened,
    .message = on_message,
    .previous = on_previous,
    .produce = on_produce,
    .wake = on_wake,
    .ended = on_ended,
};

/* -- Pipes and clock -- */

static void side_init(side *s)
{
    memset(s, 0, sizeof *s);
    fail_alloc_init(&s->memory);
    hkb_registry_init(&s->registry, NULL);
    s->shared.alloc = &s->memory.table;
    s->shared.registry = &s->registry;
    s->shared.events = &events;
    hkb_native_init(&s->shared.native, &s->memory.table);
    hkb_buffer_init(&s->packet, &s->memory.table, PACKET_MAX);
    hkb_buffer_init(&s->pipe, hakuban_alloc_default(), SIZE_MAX);
    s->say_bytes = 1000;
}

static void side_done(side *s)
{
    if (s->begun)
        hkb_link_done(&s->link);
    hkb_native_done(&s->shared.native);
    hkb_buffer_done(&s->packet);
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
}

static void tear_down(void)
{
    side_done(&a);
    side_done(&b);
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
        if (!s->registry.serializer_count)
            add_serializer(s, "json");
        if (!s->registry.compressor_count)
            add_compressor(s, "none");
        hkb_link_init(&s->link, &s->shared, i ? of_b : of_a, i == 0, stream, now_ns);
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
    if (!s->woken)
        return;
    s->woken = false;
    hkb_link_pull(&s->link, now_ns, &s->packet);
    ck_assert_uint_le(s->packet.bytes, PACKET_MAX);
    if (s->packet.bytes &&
        (hkb_link_has_control(&s->link) ||
         (s->to_say && s->link.sent_bytes - s->link.acked_bytes < s->link.window_bytes)))
        s->woken = true;
    ck_assert_int_eq(hkb_buffer_append(&s->pipe, s->packet.data, s->packet.bytes), HAKUBAN_OK);
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

/* Until nobody has anything to say. */
static void carry(void)
{
    for (unsigned rounds = 0; a.woken || b.woken || (a.pipe.bytes && !a.holds) ||
                              (b.pipe.bytes && !b.holds);
         rounds++) {
        ck_assert_uint_lt(rounds, 100000);
        pull(&a);
        if (!a.holds)
            deliver(&a, &b);
        pull(&b);
        if (!b.holds)
            deliver(&b, &a);
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
    ck_assert_int_eq(hkb_frame_put(&frame, (hakuban_slice){header, strlen(header)},
                                   (hakuban_slice){NULL, 0}),
                     HAKUBAN_OK);
    hear(s, frame.data, frame.bytes);
    hkb_buffer_done(&frame);
}

/* -- Beginning -- */

static const size_t chunks[] = {0, 1, 2, 3, 7, 1000};

START_TEST(hellos_go_both_ways_however_bytes_come)
{
    hkb_link_settings mine = defaults(), theirs = defaults();
    snprintf(mine.name, sizeof mine.name, "edge \xc3\xa9");
    snprintf(theirs.name, sizeof theirs.name, "hub");
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
    snprintf(mine.serializer, sizeof mine.serializer, "x");
    snprintf(theirs.compressor, sizeof theirs.compressor, "k");
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
    if (_i == 0)
        b.refuses = "this connection would close a loop of hubs";
    else
        a.refuses = "this connection would close a loop of hubs";
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

START_TEST(who_speaks_something_else_is_told_so_at_once)
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
        ck_assert_uint_eq(b.pipe.bytes, sizeof answer - 1 + 2);
        ck_assert(memcmp(b.pipe.data + 2, answer, sizeof answer - 1) == 0);
        /* A connector has nobody to tell. */
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
    snprintf(text, sizeof text, "{\"hakuban\":1,\"path\":[\"%032d\"],%s}", 5, codecs[_i]);
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
    ck_assert_uint_gt(b.pipe.bytes, 0); /* told, in case somebody listens */
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
    for (unsigned i = 0; i < 1000; i++)
        pass(hkb_min(hkb_link_deadline(&a.link), hkb_link_deadline(&b.link)) - now_ns);
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

START_TEST(who_says_something_need_not_ping)
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
    {256 * 1024, 256 * 1024, 1000, 2000},     {16 * 1024, 256 * 1024, 1000, 2000},
    {256 * 1024, 16 * 1024, 100, 3000},       {16 * 1024, 16 * 1024, HKB_PART_BYTES_MAX, 50},
    {64 << 20, 16 * 1024, 8192, 500},         {16 * 1024, 64 << 20, 16383, 300},
    {64 << 20, 64 << 20, HKB_PART_BYTES_MAX, 300}, {16 * 1024, 17 * 1024, 0, 5000},
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
        if (round != 2)
            say_more(&a, windows[_i].count);
        if (round != 1)
            say_more(&b, windows[_i].count);
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
    snprintf(whole, sizeof whole, "the other side closed: %s", words);
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

START_TEST(who_leaves_does_not_wait_for_ever)
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
    ended_as(&a, false, HAKUBAN_ERR_LIMIT, "too much of it \"\xc3\xa9\" 5");
    ended_as(&b, false, HAKUBAN_ERR_CLOSED,
             "the other side closed: too much of it \"\\xc3\\xa9\" 5");
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
        snprintf(whole, sizeof whole, "the other side closed: %s", wrong[_i].words);
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
        hear(&b, packet, sizeof packet - 1);
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
    if (_i == 0)
        begin_default();
    else
        open_both();
    if (_i == 1)
        hear(&b, "\x90\x4e\x05", 3); /* in the middle of a frame of 10000 bytes */
    if (_i == 2)
        hkb_link_leave(&b.link, now_ns);
    hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "connection reset");
    hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "again");
    ended_as(&b, false, HAKUBAN_ERR_IO, "connection reset");
    b.woken = true;
    pull(&b);
    ck_assert_uint_eq(b.packet.bytes, 0);
}
END_TEST

START_TEST(memory_follows_what_came_not_what_was_announced)
{
    open_both();
    size_t before = b.memory.bytes;
    hear(&b, "\x90\x80\x05\x05", 4); /* a frame of 80 KiB begins */
    ck_assert_uint_le(b.memory.bytes - before, 512);
    static const uint8_t zeros[30000];
    hear(&b, zeros, sizeof zeros);
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
    if (a.ended && !b.ended)
        hkb_link_lost(&b.link, now_ns, HAKUBAN_ERR_IO, "closed");
    if (b.ended && !a.ended)
        hkb_link_lost(&a.link, now_ns, HAKUBAN_ERR_IO, "closed");
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
    tcase_add_loop_test(tcase, who_speaks_something_else_is_told_so_at_once, 0,
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
    tcase_add_test(tcase, who_says_something_need_not_ping);
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
    tcase = tcase_create("end");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, an_orderly_end_says_everything_first, 0, (int)HKB_COUNT(chunks));
    tcase_add_test(tcase, goodbyes_may_cross);
    tcase_add_test(tcase, who_leaves_does_not_wait_for_ever);
    tcase_add_test(tcase, leaving_before_the_hello_just_ends);
    tcase_add_loop_test(tcase, words_of_a_failure_reach_the_other_side, 0, 2);
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
