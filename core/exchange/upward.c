/* Counts how many bytes the objects of each downstream make an upstream keep, as account.c would
 * count them: records, and states that are passed on. An upstream that limits this would end the
 * one link that all downstreams share; the downstream with the largest part is ended here first.
 *
 * What local contracts cause is not counted: there is no link to end for it. */
#include "exchange/upward.h"

#include <stdint.h>

/* The upstream's limit is divided by this: one part is left for bytes that are not counted here. */
#define PARTS 4u
/* The memory of the upstream's end of the link. */
#define SPARE_BYTES_MAX ((size_t)2 * 1024 * 1024)

/* Does nothing if no downstream causes the bytes: peer is NULL, or an upstream. */
static void charge(const hkb_object *object, hkb_peer *peer, size_t more, size_t less)
{
    if (peer && object->upstream && !peer->link.connector) {
        peer->upward_bytes += more - less;
        object->upstream->peer->upward_bytes += more - less;
    }
}

static size_t record_bytes(const hkb_object *object)
{
    return sizeof(hkb_share) + object->record_charge;
}

void hkb_upward_begin(const hkb_object *object)
{
    charge(object, object->payer, record_bytes(object), 0);
}

void hkb_upward_end(const hkb_object *object)
{
    charge(object, object->payer, 0, record_bytes(object));
}

/* -- States -- */

void hkb_upward_set_state(const hkb_share *share, size_t bytes, size_t before)
{
    const hkb_share *above = share->object->upstream;
    if (above && above->out.phase != HKB_CHANNEL_CLOSED && !share->peer->link.connector) {
        charge(share->object, share->peer, bytes, before);
        above->peer->upward_state_bytes = hkb_max(above->peer->upward_state_bytes, bytes);
    }
}

/* From now on the states of downstreams are passed on upwards, or no more. */
static void pass_states(const hkb_share *above, bool passes)
{
    if (above->object->upstream != above) {
        return;
    }
    HKB_LIST_EACH(hkb_share, share, &above->object->shares, of_object)
    {
        if (share->in.base) {
            size_t bytes = hkb_state_bytes(share->in.base);
            hkb_upward_set_state(share, passes ? bytes : 0, passes ? 0 : bytes);
        }
    }
}

void hkb_upward_open(const hkb_share *share)
{
    pass_states(share, true);
}

void hkb_upward_close(const hkb_share *share)
{
    pass_states(share, false);
}

/* -- Limits -- */

static size_t usable(size_t bytes_max)
{
    return bytes_max - bytes_max / PARTS;
}

size_t hkb_upward_limit(const hkb_exchange *exchange)
{
    size_t bytes_max = exchange->link_bytes_max;
    HKB_UPSTREAMS_EACH(upstream, exchange)
    {
        size_t of_upstream = usable(upstream->upward_bytes_max);
        if (of_upstream && (bytes_max == 0 || of_upstream < bytes_max)) {
            bytes_max = of_upstream;
        }
    }
    return bytes_max;
}

void hkb_upward_set_limit(hkb_peer *upstream, size_t bytes_max)
{
    upstream->upward_bytes_max = bytes_max;
}

/* While a state is on its way, the upstream keeps the new and the old one. */
static bool is_too_much(const hkb_peer *upstream, size_t bytes)
{
    size_t bytes_max = upstream->upward_bytes_max;
    size_t spare = hkb_min(bytes_max / (2 * PARTS), SPARE_BYTES_MAX);
    return bytes > usable(bytes_max) ||
           bytes + 2 * upstream->upward_state_bytes > bytes_max - spare;
}

/* Of a downstream that says goodbye right after a state the state would stay, and be passed on. */
static bool can_be_ended(const hkb_peer *peer)
{
    return !peer->link.connector && !peer->told_ended &&
           (peer->link.phase != HKB_LINK_ENDED || peer->orderly);
}

static void end_for(hkb_peer *peer, size_t bytes_max)
{
    hakuban_error why;
    hakuban_error_set(&why, HAKUBAN_ERR_LIMIT,
                      "the hub above this one keeps no more than %zu bytes for it, and most of it, "
                      "%zu, would be for this connection",
                      bytes_max, peer->upward_bytes);
    if (peer->link.phase == HKB_LINK_ENDED) {
        peer->link.reason = why;
        peer->orderly = false;
    } else {
        hkb_link_fail(&peer->link, why.status, "%s", why.text);
    }
}

static void settle(const hkb_peer *upstream)
{
    size_t bytes = upstream->upward_bytes, bytes_max = upstream->upward_bytes_max;
    while (is_too_much(upstream, bytes)) {
        hkb_peer *most = NULL;
        HKB_LIST_EACH(hkb_peer, peer, &upstream->exchange->peers, of_exchange)
        {
            if (can_be_ended(peer) && peer->upward_bytes > bytes_max / HKB_HOLDS_MOST_PART &&
                (!most || peer->upward_bytes > most->upward_bytes)) {
                most = peer;
            }
        }
        if (!most) {
            return;
        }
        bytes -= hkb_min(bytes, most->upward_bytes);
        end_for(most, bytes_max);
    }
}

void hkb_upward_settle(hkb_exchange *exchange)
{
    HKB_UPSTREAMS_EACH(upstream, exchange)
    {
        if (upstream->upward_bytes_max) {
            settle(upstream);
        }
        upstream->upward_state_bytes = 0;
    }
}
