/* See stranger.h. */
#include "stranger.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>

#include "wire/native.h"

void stranger_come(stranger *peer, hkb_exchange *exchange, bool connector)
{
    hkb_link_settings settings = {
        .keep_alive_ns = HKB_KEEP_ALIVE_NS_DEFAULT,
        .window_bytes = HKB_WINDOW_BYTES_DEFAULT,
        .state_bytes_max = 1 << 20,
    };
    peer->exchange = exchange;
    hkb_buffer_init(&peer->packet, hakuban_alloc_default(), SIZE_MAX);
    ck_assert_int_eq(hkb_exchange_attach(exchange, &settings, connector, true, NULL, &peer->peer),
                     HAKUBAN_OK);
}

void stranger_put(stranger *peer, const char *format, ...)
{
    char header[4096];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(header, sizeof(header), format, arguments);
    va_end(arguments);
    ck_assert_int_lt(bytes, sizeof(header));
    ck_assert_int_eq(hkb_frame_put(&peer->packet, (hakuban_slice){header, (size_t)bytes},
                                   (hakuban_slice){NULL, 0}),
                     HAKUBAN_OK);
}

void stranger_say(stranger *peer)
{
    hkb_peer_receive(peer->peer, peer->packet.data, peer->packet.bytes);
    hkb_exchange_settle(peer->exchange);
    peer->packet.bytes = 0;
}

void stranger_hear(hkb_exchange *exchange)
{
    hkb_peer *peer;
    while ((peer = hkb_exchange_ready_peer(exchange))) {
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
    }
}

void stranger_leave(stranger *peer)
{
    (void)hkb_peer_lost(peer->peer, HAKUBAN_ERR_CLOSED, "gone");
    hkb_buffer_done(&peer->packet);
}
