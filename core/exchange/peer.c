/* A peer is the other exchange at the end of a link: the callbacks of its link. */
#include "exchange/peer.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/emit.h"
#include "exchange/facts.h"
#include "exchange/hear.h"
#include "exchange/names.h"
#include "exchange/recall.h"
#include "exchange/sessions.h"
#include "exchange/tag.h"
#include "exchange/upward.h"

/* -- Queue and carrier -- */

bool hkb_exchange_has_ready(const hkb_exchange *exchange)
{
    return !hkb_list_empty(&exchange->ready);
}

hkb_peer *hkb_exchange_ready_peer(hkb_exchange *exchange)
{
    hkb_chain_clear(&exchange->packet);
    hkb_node *node = hkb_list_pop(&exchange->ready);
    return node ? HKB_CONTAINER(node, hkb_peer, ready) : NULL;
}

bool hkb_peer_is_over(const hkb_peer *peer)
{
    return hkb_link_is_over(&peer->link);
}

void hkb_peer_leave(hkb_peer *peer)
{
    hkb_link_leave(&peer->link, peer->exchange->now_ns);
    peer->exchange->tick_ns = peer->exchange->now_ns;
}

void *hkb_peer_carrier(const hkb_peer *peer)
{
    return peer->carrier;
}

const char *hkb_peer_name(const hkb_peer *peer)
{
    return peer->link.peer_name;
}

/* -- What the link asks -- */

/* States on a channel that is ignored, or that waits for a whole state, are not kept, so that the
 * base of a later difference is missing. */
static bool on_previous(hkb_link *link, uint32_t channel, hkb_version *ret)
{
    const hkb_share *share = hkb_channel_find(&hkb_peer_of(link)->in_channels, channel);
    if (!share || share->in.awaits_whole || share->in.phase != HKB_CHANNEL_OPEN) {
        return false;
    }
    if (hkb_share_is_working(share)) {
        *ret = hkb_share_incoming(share)->head.version;
    } else if (share->in.base) {
        hkb_state_get_version(share->in.base, ret);
    }
    return true;
}

/* While a state of an object is being made, messages about the object wait for it, and so do
 * messages about all objects. */
static bool on_waits(hkb_link *link, const hkb_message *message)
{
    const hkb_peer *peer = hkb_peer_of(link);
    const hkb_object *object;
    const hkb_share *share = NULL;
    switch ((int)message->kind) {
    case 0:
    case HKB_MESSAGE_PATH:
    case HKB_MESSAGE_LOAD_LIMIT:
    case HKB_MESSAGE_FLOOR:
    case HKB_MESSAGE_RESEND:
    case HKB_MESSAGE_BEGUN:
        return false;
    case HKB_MESSAGE_OBJECT:
    case HKB_MESSAGE_STREAM_OPEN:
    case HKB_MESSAGE_SINK_OPEN:
        object = hkb_object_find(peer->exchange, message->descriptor);
        share = object ? hkb_share_find(peer->exchange, peer, object) : NULL;
        break;
    case HKB_MESSAGE_STATE:
    case HKB_MESSAGE_PART:
        if (link->working >= HKB_WORKING_MAX) {
            return true;
        }
        share = hkb_channel_find(&peer->in_channels, message->channel);
        break;
    case HKB_MESSAGE_CONDITION:
    case HKB_MESSAGE_SAME:
    case HKB_MESSAGE_SKIP:
    case HKB_MESSAGE_CLOSE:
    case HKB_MESSAGE_CLOSED:
        share = hkb_channel_find(&peer->in_channels, message->channel);
        break;
    default:
        return true;
    }
    return share && hkb_share_is_working(share);
}

static void on_registered(hkb_link *link, hkb_message *message)
{
    const hkb_peer *peer = hkb_peer_of(link);
    message->before_flags = message->before_capacity = 0;
    if (message->kind == HKB_MESSAGE_TAG) {
        const hkb_tag *tag = hkb_tag_find(peer->exchange, message->text);
        const hkb_tag_share *share = tag ? hkb_tag_share_find(peer->exchange, peer, tag) : NULL;
        if (share) {
            message->before_flags = hkb_registration_flags(&share->registered);
            message->before_capacity = share->registered.capacity;
        }
        return;
    }
    const hkb_object *object = hkb_object_find(peer->exchange, message->descriptor);
    const hkb_share *share = object ? hkb_share_find(peer->exchange, peer, object) : NULL;
    if (share) {
        message->before_flags = hkb_registration_flags(&share->registered);
        message->before_capacity = share->registered.capacity;
    }
}

static hkb_channel_use on_use_of(hkb_link *link, uint32_t channel)
{
    const hkb_peer *peer = hkb_peer_of(link);
    const hkb_share *share = hkb_channel_find(&peer->in_channels, channel);
    if (share && share->in.phase == HKB_CHANNEL_OPEN) {
        return HKB_CHANNEL_FROM_PEER;
    }
    share = hkb_channel_find(&peer->out_channels, channel);
    return share && share->out.phase == HKB_CHANNEL_OPEN ? HKB_CHANNEL_TO_PEER : HKB_CHANNEL_UNUSED;
}

static uint32_t on_channel_of(hkb_link *link, const hkb_message *opened)
{
    const hkb_peer *peer = hkb_peer_of(link);
    const hkb_object *object = hkb_object_find(peer->exchange, opened->descriptor);
    const hkb_share *share = object ? hkb_share_find(peer->exchange, peer, object) : NULL;
    if (!share) {
        return 0;
    }
    if (opened->kind == HKB_MESSAGE_STREAM_OPEN) {
        return share->in.phase == HKB_CHANNEL_OPEN ? share->in.id : 0;
    }
    return share->out.phase == HKB_CHANNEL_OPEN ? share->out.id : 0;
}

/* -- What goes out next -- */

static void on_wake(hkb_link *link)
{
    hkb_peer_wake(hkb_peer_of(link));
}

static void say_peer(hkb_peer *peer)
{
    if (peer->limit_due) {
        peer->limit_due = false;
        hkb_message message = {.kind = HKB_MESSAGE_LOAD_LIMIT,
                               .load_limit = &peer->link.settings->load_limit};
        hkb_link_say(&peer->link, &message, NULL);
    }
    if (peer->memory_limit_due) {
        peer->memory_limit_due = false;
        hkb_message message = {.kind = HKB_MESSAGE_MEMORY_LIMIT,
                               .bytes = hkb_upward_limit(peer->exchange)};
        hkb_link_say(&peer->link, &message, NULL);
    }
    if (peer->path_due) {
        peer->path_due = false;
        hkb_message message = {.kind = HKB_MESSAGE_PATH,
                               .path = peer->exchange->path,
                               .path_count = peer->exchange->path_count};
        hkb_link_say(&peer->link, &message, NULL);
    }
}

/* What an upstream is told of an earlier session comes first. false: nothing. */
static bool say_names(hkb_peer *peer)
{
    if (!peer->link.connector || !peer->recall) {
        return false;
    }
    if (peer->link.phase == HKB_LINK_LEAVING) {
        hkb_recall_free(peer);
        return false;
    }
    return hkb_recall_say(peer);
}

static bool on_produce(hkb_link *link)
{
    hkb_peer *peer = hkb_peer_of(link);
    bool named = say_names(peer);
    if (named || (peer->link.connector && peer->recall)) {
        return named;
    }
    hkb_node *node = hkb_list_pop(&peer->queue);
    if (!node) {
        return false;
    }
    hkb_item *item = HKB_CONTAINER(node, hkb_item, node);
    switch (item->kind) {
    case HKB_ITEM_SHARE:
        hkb_share_emit(HKB_CONTAINER(item, hkb_share, item));
        break;
    case HKB_ITEM_TAG:
        hkb_tag_emit(HKB_CONTAINER(item, hkb_tag_share, item));
        break;
    case HKB_ITEM_PEER:
        say_peer(peer);
        break;
    }
    return true;
}

const hkb_link_events hkb_peer_events = {
    .offer = hkb_session_offer,
    .hello = hkb_session_hello,
    .opened = hkb_session_opened,
    .message = hkb_hear,
    .waits = on_waits,
    .previous = on_previous,
    .registered = on_registered,
    .use_of = on_use_of,
    .channel_of = on_channel_of,
    .produce = on_produce,
    .wake = on_wake,
    .ended = hkb_session_ended,
    .session = hkb_session_find,
    .moved = hkb_session_moved,
    .dropped = hkb_session_dropped,
    .resumed = hkb_session_resumed,
    .anew = hkb_session_anew,
};
