/* See stranger.h. */
#include "stranger.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>

#include "exchange/records.h"
#include "parts.h"
#include "wire/native.h"

void stranger_come(stranger *peer, hkb_exchange *exchange, bool upstream)
{
    hkb_link_settings settings = {
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .grace_ns = HKB_GRACE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
    };
    peer->exchange = exchange;
    hkb_buffer_init(&peer->packet, hakuban_alloc_default(), SIZE_MAX);
    hkb_buffer_init(&peer->heard, hakuban_alloc_default(), SIZE_MAX);
    ck_assert_int_eq(hkb_exchange_attach(exchange, &settings, upstream, true, peer, &peer->peer),
                     HAKUBAN_OK);
}

void stranger_open_with(stranger *peer, hkb_exchange *exchange, bool upstream, const char *hello)
{
    stranger_come(peer, exchange, upstream);
    stranger_put(peer, "%s", hello);
    if (upstream) {
        stranger_hear(exchange);
    }
    stranger_say(peer);
    stranger_hear(exchange);
}

void stranger_open(stranger *peer, hkb_exchange *exchange, bool upstream)
{
    stranger_open_with(peer, exchange, upstream,
                       upstream ? STRANGER_UPSTREAM_HELLO : STRANGER_HELLO);
    stranger_forget(peer);
    ck_assert_int_eq(peer->peer->link.phase, HKB_LINK_OPEN);
}

static void put_frame(stranger *peer, hakuban_slice header, hakuban_slice payload)
{
    ck_assert_int_eq(hkb_frame_put(&peer->packet, header, payload), HAKUBAN_OK);
}

void stranger_put(stranger *peer, const char *format, ...)
{
    char header[4096];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(header, sizeof(header), format, arguments);
    va_end(arguments);
    ck_assert_int_lt(bytes, sizeof(header));
    put_frame(peer, (hakuban_slice){header, (size_t)bytes}, (hakuban_slice){NULL, 0});
}

void stranger_put_payload(stranger *peer, const char *header, const void *payload, size_t bytes)
{
    put_frame(peer, (hakuban_slice){header, strlen(header)}, (hakuban_slice){payload, bytes});
}

void stranger_put_state(stranger *peer, unsigned channel, unsigned version, const char *text)
{
    char header[64];
    uint8_t payload[1024];
    size_t text_bytes = strlen(text);
    uint32_t check = (uint32_t)hkb_hash64(text, text_bytes);
    int bytes = snprintf(header, sizeof(header), "[65,%u,[%u],[\"JSON\"]]", channel, version);
    ck_assert_uint_le(5 + text_bytes, sizeof(payload));
    for (unsigned i = 0; i < 4; i++) {
        payload[i] = (uint8_t)(check >> (8 * i));
    }
    payload[4] = 4; /* whole */
    memcpy(payload + 5, text, text_bytes);
    put_frame(peer, (hakuban_slice){header, (size_t)bytes},
              (hakuban_slice){payload, 5 + text_bytes});
}

void stranger_say(stranger *peer)
{
    hkb_peer_receive(peer->peer, peer->packet.data, peer->packet.bytes);
    hkb_exchange_settle(peer->exchange);
    peer->packet.bytes = 0;
}

/* -- Hearing -- */

static void hear_packet(stranger *peer, hakuban_slice packet)
{
    while (packet.bytes) {
        hakuban_slice header, payload;
        hakuban_error error;
        size_t bytes;
        ck_assert_int_eq(
            hkb_frame_next(packet, HKB_FRAME_BYTES_MAX, &bytes, &header, &payload, &error),
            HAKUBAN_OK);
        ck_assert_uint_gt(bytes, 0);
        ck_assert_int_eq(hkb_buffer_append(&peer->heard, header.data, header.bytes), HAKUBAN_OK);
        ck_assert_int_eq(hkb_buffer_append(&peer->heard, "\n", 1), HAKUBAN_OK);
        packet.data = (const uint8_t *)packet.data + bytes;
        packet.bytes -= bytes;
    }
}

void stranger_hear(hkb_exchange *exchange)
{
    hkb_buffer joined;
    hkb_peer *peer;
    hkb_buffer_init(&joined, hakuban_alloc_default(), SIZE_MAX);
    while ((peer = hkb_exchange_ready_peer(exchange))) {
        hkb_packet packet;
        stranger *hearer = hkb_peer_carrier(peer);
        hkb_peer_pull(peer, &packet);
        if (hearer) {
            hear_packet(hearer, parts_joined(&joined, packet.parts, packet.part_count));
        }
    }
    hkb_buffer_done(&joined);
}

/* What it was told, terminated. */
static const char *heard_text(stranger *peer)
{
    stranger_hear(peer->exchange);
    ck_assert_int_eq(hkb_buffer_append(&peer->heard, "", 1), HAKUBAN_OK);
    peer->heard.bytes--;
    return (const char *)peer->heard.data;
}

bool stranger_heard(stranger *peer, const char *text)
{
    return strstr(heard_text(peer), text) != NULL;
}

void stranger_forget(stranger *peer)
{
    stranger_hear(peer->exchange);
    peer->heard.bytes = 0;
}

unsigned stranger_channel(stranger *peer, unsigned kind, const char *object)
{
    unsigned found = 0, channel, kind_here;
    char name[128];
    snprintf(name, sizeof(name), ",\"%s\"", object);
    for (const char *line = heard_text(peer); *line; line += strcspn(line, "\n") + 1) {
        const char *at = strstr(line, name);
        if (at && at < line + strcspn(line, "\n") &&
            sscanf(line, "[%u,%u", &kind_here, &channel) == 2 && kind_here == kind) {
            found = channel;
        }
    }
    ck_assert_uint_gt(found, 0);
    return found;
}

void stranger_leave(stranger *peer)
{
    if (peer->peer) {
        (void)hkb_peer_lost(peer->peer, HAKUBAN_ERR_CLOSED, "gone");
        hkb_exchange_settle(peer->exchange);
    }
    hkb_buffer_done(&peer->packet);
    hkb_buffer_done(&peer->heard);
}
