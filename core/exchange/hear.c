/* Acts on the messages of a peer. */
#include "exchange/hear.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"
#include "exchange/newest.h"
#include "exchange/offers.h"
#include "exchange/partial.h"
#include "exchange/path.h"
#include "exchange/recall.h"
#include "exchange/receive.h"
#include "exchange/settle.h"
#include "exchange/sink.h"
#include "exchange/tag.h"
#include "exchange/upward.h"

#define WALKED_PER_UNIT 8u      /* records that are only looked at */
#define NAME_BYTES_PER_UNIT 64u /* bytes of JSON that are brought to canonical form */
#define NUMBER_COST 4u          /* of a number with an exponent in it */

static hakuban_status wrong(hakuban_error *reterr, const char *what)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "%s", what);
}

static hakuban_status no_memory(hakuban_error *reterr)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
}

/* -- From a downstream -- */

/* The cost of bringing texts to canonical form. Zeros may separate them. */
static size_t text_cost(const char *text, size_t bytes)
{
    size_t exponents = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else {
            exponents += !in_string && i && text[i] == 'e' && text[i - 1] <= '9';
        }
    }
    return bytes / NAME_BYTES_PER_UNIT + exponents * NUMBER_COST;
}

/* The cost of an object's texts, its record, a share, and both records' places at each of its tags.
 */
static void charge_object(hkb_peer *peer, const hakuban_descriptor *descriptor)
{
    hkb_peer_charge(peer, 2 + text_cost(descriptor->text, descriptor->text_bytes) +
                              (size_t)descriptor->tag_count);
}

/* An object that is about to exist: each observer of its tags gets a share and a stream, and what
 * it has registered for the other tags is looked at. */
static void charge_beginning(hkb_peer *peer, const hkb_object *object)
{
    size_t walked = 0, observers = 0, gathered = 0;
    if (object->exists) {
        return;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        size_t count = object->tags[i].tag->observe_shares;
        observers = hkb_max(observers, count);
        gathered += count;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag *tag = object->tags[i].tag;
        walked += tag->observe_shares + hkb_min(tag->row_count - tag->observe_shares, gathered);
    }
    hkb_peer_charge(peer, walked / WALKED_PER_UNIT + observers);
}

/* An object without any registration ends: the streams to its observers end. */
static void charge_end(hkb_peer *peer, const hkb_object *object)
{
    if (object->exists && !hkb_object_should_exist(object)) {
        hkb_peer_charge(peer, object->observing);
    }
}

static hakuban_status hear_object(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_registration registered = hkb_registration_of(message->flags, message->capacity);
    registered.preloads = 0; /* only tags are preloaded */
    hkb_object *object;
    hkb_share *share;
    charge_object(peer, message->descriptor);
    if (!hkb_registration_flags(&registered)) { /* no record is made only to end again */
        object = hkb_object_find(exchange, message->descriptor);
        share = object ? hkb_share_find(exchange, peer, object) : NULL;
        if (!share) {
            return HAKUBAN_OK;
        }
    } else {
        if (hkb_object_get(exchange, message->descriptor, &object) < 0) {
            return no_memory(reterr);
        }
        charge_beginning(peer, object);
        hkb_object_mark(object);
        if (hkb_share_get(peer, object, &share) < 0) {
            return no_memory(reterr);
        }
    }
    hkb_share_register(share, registered);
    hkb_assign_recharge(share);
    charge_end(peer, object);
    return HAKUBAN_OK;
}

static hakuban_status hear_tag(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_registration registered = hkb_registration_of(message->flags, message->capacity);
    registered.declines = 0; /* only objects are declined */
    hkb_tag *tag;
    hkb_peer_charge(peer, text_cost(message->text.data, message->text.bytes));
    if (hkb_tag_get(peer->exchange, message->text, &tag) < 0 ||
        hkb_tag_register(tag, peer, registered) < 0) {
        return no_memory(reterr);
    }
    return HAKUBAN_OK;
}

static hakuban_status hear_load_limit(hkb_peer *peer, const hkb_message *message,
                                      hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_peer_has_more_room(
        peer); /* it may have more room with this limit; the old one may have grown, too */
    if (message->load_limit->count == 0) {
        hkb_free(exchange->alloc, peer->load_limit, sizeof(*peer->load_limit));
        peer->load_limit = NULL;
        return HAKUBAN_OK;
    }
    if (!peer->load_limit) {
        peer->load_limit = hkb_alloc(exchange->alloc, sizeof(*peer->load_limit));
    }
    if (!peer->load_limit) {
        return no_memory(reterr);
    }
    *peer->load_limit = *message->load_limit;
    peer->load_limit_ns = exchange->now_ns;
    hkb_peer_has_more_room(peer);
    return HAKUBAN_OK;
}

static hakuban_status hear_closed(hkb_peer *peer, const hkb_message *message)
{
    hkb_share *share = hkb_channel_find(&peer->in_channels, message->channel);
    if (share && share->in.phase == HKB_CHANNEL_CLOSING) {
        hkb_share_close_in(share);
        hkb_assign_left(share);
        hkb_share_queue(share); /* it may have become meaningless */
    }
    return HAKUBAN_OK;
}

/* -- From an upstream -- */

static hakuban_status new_channel(hkb_peer *peer, const hkb_message *message, hkb_share **ret,
                                  hakuban_error *reterr)
{
    hkb_object *object;
    charge_object(peer, message->descriptor);
    if (message->channel > peer->last_channel) {
        peer->last_channel = message->channel;
    } else if (peer->link.dialect->counts_channels) { /* else the link checks the numbers */
        return wrong(reterr, "a channel number was used again");
    }
    if (hkb_object_get(peer->exchange, message->descriptor, &object) < 0) {
        return no_memory(reterr);
    }
    charge_beginning(peer, object);
    hkb_object_mark(object);
    return hkb_share_get(peer, object, ret) >= 0 ? HAKUBAN_OK : no_memory(reterr);
}

static hakuban_status hear_stream_open(hkb_peer *peer, const hkb_message *message,
                                       hakuban_error *reterr)
{
    hkb_share *share;
    hakuban_status status = new_channel(peer, message, &share, reterr);
    if (status < 0) {
        return status;
    }
    if (share->in.phase != HKB_CHANNEL_CLOSED) {
        return wrong(reterr, "a second stream of one object");
    }
    if (hkb_share_open_in(share, message->channel, message->source) < 0) {
        return no_memory(reterr);
    }
    if (peer->lists_ns) {
        peer->lists_ns = peer->exchange->now_ns + HKB_LISTS_NS;
    }
    share->in.freshness = (unsigned)message->freshness & 3u;
    if (message->source != HAKUBAN_SOURCE_NONE) {
        hkb_recall_confirm(share->object);
        hkb_object_settle(share->object); /* now: the state may follow in the same packet */
    }
    /* Otherwise the state that follows tells whether the floor is news to the other side. */
    share->in.floor_due =
        message->freshness == HAKUBAN_NEVER && hkb_object_floor(share->object) != NULL;
    if (share->in.floor_due) {
        hkb_share_queue(share);
    }
    return HAKUBAN_OK;
}

static hakuban_status hear_sink_open(hkb_peer *peer, const hkb_message *message,
                                     hakuban_error *reterr)
{
    hkb_share *share;
    hakuban_status status = new_channel(peer, message, &share, reterr);
    if (status < 0) {
        return status;
    }
    if (share->out.phase == HKB_CHANNEL_OPEN) {
        return wrong(reterr, "a second sink of one object");
    }
    hkb_object *object = share->object;
    if (hkb_share_open_out(share, message->channel) < 0) { /* the one before may be closing still */
        return no_memory(reterr);
    }
    object->sink_id = peer->link.dialect->names_sinks
                          ? message->sink_id
                          : peer->exchange->host.random(peer->exchange->host.ctx);
    hkb_recall_confirm(object);
    if (hkb_object_raise_floor(object, &message->version, NULL) < 0) {
        return no_memory(reterr);
    }
    hkb_share_queue(share);
    return HAKUBAN_OK;
}

static hakuban_status hear_close(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_share *share = hkb_channel_find(&peer->in_channels, message->channel);
    if (share) {
        hkb_object *object = share->object;
        hkb_share_close_in(share);
        hkb_recall_forget_object(object);
        hkb_recall_release(object);
        if (object->assigned.to == HKB_UPSTREAM) {
            hkb_object_settle(object); /* now: its source is no more, and a sink may follow */
        }
        hkb_object_mark(object);
        hkb_share_queue(share);
        return HAKUBAN_OK;
    }
    share = hkb_channel_find(&peer->out_channels, message->channel);
    if (!share || share->out.phase != HKB_CHANNEL_OPEN) {
        return wrong(reterr, "an unknown channel was closed");
    }
    hkb_share_drop_out(share);
    share->out.phase = HKB_CHANNEL_CLOSING; /* CLOSED is said once my own exposer has closed */
    hkb_object_mark(share->object);
    return HAKUBAN_OK;
}

static hakuban_status hear_path(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hakuban_status status = hkb_path_check(peer->exchange, (const uint64_t(*)[2])message->path,
                                           message->path_count, reterr);
    if (status >= 0) {
        hkb_peer_charge(peer, peer->exchange->peer_count / WALKED_PER_UNIT);
        hkb_path_set(peer->exchange, (const uint64_t(*)[2])message->path, message->path_count);
    }
    return status;
}

static hakuban_status hear_memory_limit(hkb_peer *peer, const hkb_message *message)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_peer_charge(peer, exchange->peer_count / WALKED_PER_UNIT);
    hkb_upward_set_limit(peer, message->bytes < SIZE_MAX / 2 ? (size_t)message->bytes : 0);
    hkb_memory_limit_pass(exchange);
    exchange->limit_passed = message->bytes > 0;
    return HAKUBAN_OK;
}

static hakuban_status hear_listed(hkb_peer *peer, const hkb_message *message)
{
    hkb_tag *tag;
    if (hkb_tag_get(peer->exchange, message->text, &tag) < 0) {
        return HAKUBAN_OK;
    }
    hkb_tag_share *share = hkb_tag_share_find(peer->exchange, peer, tag);
    if (!share || share->listed_count == 0) {
        return HAKUBAN_OK;
    }
    /* Earlier LISTEDs belong to registrations that were taken back. */
    share->listed_count--;
    share->listed = share->listed_count == 0;
    if (share->listed) {
        hkb_recall_listed(tag);
    }
    hkb_tag_recheck_listed(tag);
    return HAKUBAN_OK;
}

/* -- On a channel -- */

static hakuban_status hear_floor(hkb_share *share, const hkb_message *message,
                                 hakuban_error *reterr)
{
    if (share->out.phase != HKB_CHANNEL_OPEN) {
        return HAKUBAN_OK;
    }
    return hkb_object_raise_floor(share->object, &message->version, share) >= 0 ? HAKUBAN_OK
                                                                                : no_memory(reterr);
}

static void hear_resend(hkb_share *share)
{
    hkb_object_set_base(share, NULL);
    if (!share->peer->link.connector) {
        hkb_recall_forget(share);
    }
    share->out.state = hkb_untold(share->object->state_count);
    const hkb_outgoing *outgoing = hkb_share_outgoing(share);
    if (outgoing && outgoing->packing) {
        hkb_outgoing_free(
            share); /* it may be a difference to a state that the peer does not have */
    }
    hkb_share_queue(share);
}

/* Once on each channel, before its first state is complete. Without memory the whole state is sent.
 */
static void hear_begun(hkb_share *share, const hkb_message *message)
{
    hkb_begun begun = {.bytes = message->bytes, .hash = message->hash};
    hkb_outgoing *outgoing = hkb_share_outgoing(share);
    if (hkb_share_begun(share) || share->out.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    if (outgoing && !outgoing->packing) {
        if (!outgoing->heard_begun) {
            outgoing->heard_begun = true;
            hkb_outgoing_go_on(share, &begun);
        }
    } else if (!share->out.base) {
        hkb_begun *kept = hkb_alloc(share->peer->exchange->alloc, sizeof(begun));
        if (kept) {
            (void)hkb_peer_account(share->peer, sizeof(begun), 0);
            *kept = begun;
            hkb_transfer_add(share, &kept->transfer, HKB_TRANSFER_BEGUN);
        }
    }
}

/* A message on a channel, in either direction. A channel that was closed here may still get late
 * frames. */
static hakuban_status hear_on_channel(hkb_peer *peer, const hkb_message *message,
                                      hakuban_error *reterr)
{
    bool against = message->kind == HKB_MESSAGE_FLOOR || message->kind == HKB_MESSAGE_RESEND ||
                   message->kind == HKB_MESSAGE_BEGUN;
    hkb_share *share =
        hkb_channel_find(against ? &peer->out_channels : &peer->in_channels, message->channel);
    if (!share) {
        if (message->channel > peer->last_channel) {
            return wrong(reterr, "a message on a channel that was never opened");
        }
        return HAKUBAN_OK;
    }
    if (!against && share->in.phase != HKB_CHANNEL_OPEN) {
        return HAKUBAN_OK;
    }
    switch ((int)message->kind) {
    case HKB_MESSAGE_STATE:
        return hkb_share_hear_state(share, message, reterr);
    case HKB_MESSAGE_SAME:
        return hkb_share_hear_same(share, message);
    case HKB_MESSAGE_PART:
        return hkb_share_hear_part(share, message->payload, reterr);
    case HKB_MESSAGE_CONDITION:
        hkb_share_hear_condition(share, message->freshness, message->source, message->age_ns);
        return HAKUBAN_OK;
    case HKB_MESSAGE_FLOOR:
        return hear_floor(share, message, reterr);
    case HKB_MESSAGE_BEGUN:
        hear_begun(share, message);
        return HAKUBAN_OK;
    case HKB_MESSAGE_SKIP:
        return hkb_partial_go_on(share, message->bytes)
                   ? HAKUBAN_OK
                   : wrong(reterr, "a state goes on where nothing is");
    default:
        hear_resend(share);
        return HAKUBAN_OK;
    }
}

/* -- All -- */

static hakuban_status hear_from_downstream(hkb_peer *peer, const hkb_message *message,
                                           hakuban_error *reterr)
{
    switch ((int)message->kind) {
    case HKB_MESSAGE_OBJECT:
        return hear_object(peer, message, reterr);
    case HKB_MESSAGE_TAG:
        return hear_tag(peer, message, reterr);
    case HKB_MESSAGE_LOAD_LIMIT:
        return hear_load_limit(peer, message, reterr);
    case HKB_MESSAGE_CLOSED:
        return hear_closed(peer, message);
    case HKB_MESSAGE_HAVE:
    case HKB_MESSAGE_HOLDING:
        return hkb_recall_hear(peer, message, reterr);
    default:
        return wrong(reterr, "a message that only an upstream may send");
    }
}

static hakuban_status hear_from_upstream(hkb_peer *peer, const hkb_message *message,
                                         hakuban_error *reterr)
{
    switch ((int)message->kind) {
    case HKB_MESSAGE_STREAM_OPEN:
        return hear_stream_open(peer, message, reterr);
    case HKB_MESSAGE_SINK_OPEN:
        return hear_sink_open(peer, message, reterr);
    case HKB_MESSAGE_CLOSE:
        return hear_close(peer, message, reterr);
    case HKB_MESSAGE_LISTED:
        return hear_listed(peer, message);
    case HKB_MESSAGE_MEMORY_LIMIT:
        return hear_memory_limit(peer, message);
    case HKB_MESSAGE_PATH:
        return hear_path(peer, message, reterr);
    default:
        return wrong(reterr, "a message that only a downstream may send");
    }
}

hakuban_status hkb_hear(hkb_link *link, hkb_message *message, hakuban_error *reterr)
{
    hkb_peer *peer = hkb_peer_of(link);
    hakuban_status status = HAKUBAN_OK;
    if (message->kind >= HKB_MESSAGE_CONDITION) {
        status = hear_on_channel(peer, message, reterr);
    } else if (link->connector) {
        status = hear_from_upstream(peer, message, reterr);
    } else {
        status = hear_from_downstream(peer, message, reterr);
    }
    hakuban_descriptor_unref(message->descriptor);
    return status;
}
