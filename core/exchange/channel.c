/* The two channels that a peer and an object can have: states from the peer, states to it. */
#include "exchange/channel.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/newest.h"

/* -- To the peer -- */

void hkb_outgoing_free(hkb_share *share)
{
    hkb_outgoing *outgoing = share->outgoing;
    if (!outgoing) {
        return;
    }
    share->outgoing = NULL;
    hakuban_bytes_unref(outgoing->payload);
    hkb_free(share->peer->exchange->alloc, outgoing, sizeof(*outgoing));
}

void hkb_share_drop_out(hkb_share *share)
{
    hkb_object_set_base(share, NULL);
    hkb_outgoing_free(share);
}

void hkb_share_close_out(hkb_share *share)
{
    if (share->out_id) {
        hkb_map_remove(&share->peer->out_channels, share);
        share->object->out_channels--;
    }
    share->out_id = 0;
    share->out_phase = HKB_CHANNEL_CLOSED;
    hkb_share_drop_out(share);
}

/* -- From the peer -- */

void hkb_incoming_free(hkb_share *share)
{
    hkb_incoming *incoming = share->incoming;
    if (!incoming) {
        return;
    }
    share->incoming = NULL;
    (void)hkb_peer_account(share->peer, 0, incoming->payload.bytes);
    hkb_buffer_done(&incoming->payload);
    hkb_free(share->peer->exchange->alloc, incoming, sizeof(*incoming));
}

void hkb_share_close_in(hkb_share *share)
{
    if (share->in_id) {
        hkb_map_remove(&share->peer->in_channels, share);
    }
    share->in_id = 0;
    share->in_phase = HKB_CHANNEL_CLOSED;
    share->in_source = HAKUBAN_SOURCE_NONE;
    share->awaits_whole = share->resend_due = 0;
    if (share->in_base) {
        (void)hkb_peer_account(share->peer, 0, hkb_state_bytes(share->in_base));
    }
    share->in_base = hakuban_state_unref(share->in_base);
    hkb_incoming_free(share);
}

void hkb_share_close(hkb_share *share)
{
    hkb_share_close_out(share);
    hkb_share_close_in(share);
    share->floor_due = share->stream_wanted = share->declining = 0;
    hkb_object_mark(share->object);
}

void hkb_share_note_condition(hkb_share *share, hakuban_freshness freshness, uint64_t age_ns)
{
    share->in_freshness = (unsigned)freshness & 3u;
    share->in_stale_since_ns = hkb_time_of_age(share->object->exchange, age_ns);
}

void hkb_share_become_source(hkb_share *share)
{
    if (!share->in_base) {
        return;
    }
    uint64_t age_ns = share->object->exchange->now_ns - share->in_stale_since_ns;
    hkb_object_hear(share->object, hakuban_state_ref(share->in_base),
                    (hakuban_freshness)share->in_freshness,
                    share->in_freshness == HAKUBAN_STALE ? age_ns : 0);
}
