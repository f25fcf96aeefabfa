/* The two channels that a peer and an object can have: states from the peer, states to it. */
#include "exchange/channel.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/incoming.h"
#include "exchange/newest.h"
#include "exchange/packing.h"
#include "exchange/partial.h"
#include "exchange/upward.h"
#include "exchange/work.h"

/* -- To the peer -- */

void hkb_outgoing_free(hkb_share *share)
{
    hkb_outgoing *outgoing = hkb_share_outgoing(share);
    if (!outgoing) {
        return;
    }
    hkb_peer *peer = share->peer;
    hkb_exchange *exchange = peer->exchange;
    hkb_transfer_remove(share, &outgoing->transfer);
    peer->outgoing_bytes -= outgoing->bytes;
    if (outgoing->packing) {
        hkb_packing_leave(share, outgoing);
    } else {
        hkb_bytes_release(outgoing->payload, &exchange->shared.payload_bytes);
    }
    (void)hkb_peer_account(peer, 0, sizeof(*outgoing));
    hkb_free(exchange->alloc, outgoing, sizeof(*outgoing));
    hkb_peer_queue_large(peer);
}

void hkb_outgoing_go_on(hkb_share *share, const hkb_begun *begun)
{
    hkb_outgoing *outgoing = hkb_share_outgoing(share);
    hakuban_slice payload = hakuban_bytes_slice(outgoing->payload);
    if (begun->bytes > outgoing->offset && begun->bytes < payload.bytes &&
        hkb_delta_is_whole(payload) &&
        hkb_hash64(payload.data, (size_t)begun->bytes) == begun->hash) {
        outgoing->offset = (size_t)begun->bytes;
        outgoing->skips = true;
    }
}

void hkb_begun_free(hkb_share *share)
{
    hkb_begun *begun = hkb_share_begun(share);
    if (begun) {
        hkb_transfer_remove(share, &begun->transfer);
        (void)hkb_peer_account(share->peer, 0, sizeof(*begun));
        hkb_free(share->peer->exchange->alloc, begun, sizeof(*begun));
    }
}

void hkb_share_drop_out(hkb_share *share)
{
    hkb_object_set_base(share, NULL);
    hkb_outgoing_free(share);
    hkb_begun_free(share);
}

hakuban_status hkb_share_open_out(hkb_share *share, uint32_t id)
{
    hkb_object *object = share->object;
    hkb_share_close_out(share);
    share->out.id = id;
    if (hkb_map_insert(&share->peer->out_channels, share) < 0) {
        share->out.id = 0;
        return HAKUBAN_ERR_NO_MEMORY;
    }
    object->out_channels++;
    share->out.phase = HKB_CHANNEL_OPEN;
    hkb_upward_open(share);
    share->out.state = hkb_untold(object->state_count);
    share->out.condition = object->condition_count;
    return HAKUBAN_OK;
}

void hkb_share_close_out(hkb_share *share)
{
    if (share->out.id) {
        hkb_map_remove(&share->peer->out_channels, share);
        share->object->out_channels--;
    }
    share->out.id = 0;
    hkb_upward_close(share);
    share->out.phase = HKB_CHANNEL_CLOSED;
    hkb_share_drop_out(share);
}

/* -- From the peer -- */

hakuban_status hkb_share_open_in(hkb_share *share, uint32_t id, hakuban_source source)
{
    hkb_share_close_in(share);
    share->in.id = id;
    if (hkb_map_insert(&share->peer->in_channels, share) < 0) {
        share->in.id = 0;
        return HAKUBAN_ERR_NO_MEMORY;
    }
    share->in.phase = HKB_CHANNEL_OPEN;
    share->in.source = (unsigned)source & 3u;
    share->in.floor_due = 0;
    hkb_partial_offer(share);
    return HAKUBAN_OK;
}

void hkb_share_close_in(hkb_share *share)
{
    if (share->in.id) {
        hkb_map_remove(&share->peer->in_channels, share);
    }
    share->in.id = 0;
    share->in.phase = HKB_CHANNEL_CLOSED;
    share->in.source = HAKUBAN_SOURCE_NONE;
    share->in.awaits_whole = share->in.resend_due = 0;
    if (share->in.base) {
        hakuban_state *base = hakuban_state_ref(share->in.base);
        hkb_share_set_in_base(share, NULL);
        hkb_state_release(share->object->exchange, base);
    }
    hkb_partial_keep(share);
    hkb_incoming_free(share);
}

void hkb_share_close(hkb_share *share)
{
    hkb_share_close_out(share);
    hkb_share_close_in(share);
    share->in.floor_due = share->out.wanted = share->out.declining = 0;
    hkb_object_mark(share->object);
}

void hkb_share_note_condition(hkb_share *share, hakuban_freshness freshness, uint64_t age_ns)
{
    share->in.freshness = (unsigned)freshness & 3u;
    share->in.stale_since_ns = hkb_time_of_age(share->object->exchange, age_ns);
}

void hkb_share_become_source(hkb_share *share)
{
    if (!share->in.base) {
        return;
    }
    uint64_t age_ns = share->object->exchange->now_ns - share->in.stale_since_ns;
    hkb_object_hear(share->object, hakuban_state_ref(share->in.base),
                    (hakuban_freshness)share->in.freshness,
                    share->in.freshness == HAKUBAN_STALE ? age_ns : 0);
}
