/* Sends what a peer does not know yet of an object, when the peer's carrier can take more. */
#include "exchange/emit.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"
#include "exchange/newest.h"
#include "exchange/packing.h"
#include "exchange/payloads.h"
#include "exchange/work.h"

/* The payload of the whole newest state, if it is on its way to another peer in parts: slow peers
 * share one payload. */
static hakuban_bytes *whole_on_its_way(const hkb_share *share)
{
    const hkb_object *object = share->object;
    if (object->state->data_bytes <= HKB_PART_BYTES_MAX) {
        return NULL;
    }
    HKB_LIST_EACH(hkb_share, other, &object->shares, of_object)
    {
        const hkb_outgoing *outgoing = hkb_share_outgoing(other);
        if (outgoing && outgoing->whole && outgoing->state == object->state_count &&
            other->peer->link.payload_form == share->peer->link.payload_form) {
            return outgoing->payload;
        }
    }
    return NULL;
}

/* An existing payload for the share's next state, or NULL; borrowed. */
static hakuban_bytes *known_payload(const hkb_share *share)
{
    const hkb_object *object = share->object;
    hakuban_bytes *sent = share->out.base ? NULL : whole_on_its_way(share);
    if (sent) {
        return sent;
    }
    for (const hkb_delta *delta = object->deltas; delta; delta = delta->next) {
        if (delta->base == share->out.base && delta->form == share->peer->link.payload_form) {
            return delta->payload;
        }
    }
    return NULL;
}

/* *ret is owned. */
static hakuban_status make_payload(hkb_share *share, hakuban_bytes **ret)
{
    hkb_object *object = share->object;
    hkb_exchange *exchange = object->exchange;
    const hkb_link *link = &share->peer->link;
    hakuban_status status = link->dialect->make(
        exchange->delta, exchange->alloc, hkb_link_compressor(link),
        hakuban_state_data(share->out.base), hakuban_state_data(object->state), ret);
    if (status < 0) {
        return status;
    }
    exchange->stats.deltas_made++;
    if (object->out_channels > 1) { /* else no other peer can use it */
        hkb_delta_keep(object, share->out.base, link->payload_form, *ret);
    }
    return HAKUBAN_OK;
}

/* -- Saying states -- */

static void say_part(hkb_share *share)
{
    hkb_outgoing *outgoing = hkb_share_outgoing(share);
    hakuban_slice payload = hakuban_bytes_slice(outgoing->payload);
    size_t bytes = hkb_min(payload.bytes - outgoing->offset, HKB_PART_BYTES_MAX);
    if (outgoing->skips) {
        hkb_message skip = {
            .kind = HKB_MESSAGE_SKIP, .channel = share->out.id, .bytes = outgoing->offset};
        outgoing->skips = false;
        hkb_link_say(&share->peer->link, &skip, NULL);
    }
    hkb_message message = {
        .kind = HKB_MESSAGE_PART,
        .channel = share->out.id,
        .payload = {(const uint8_t *)payload.data + outgoing->offset, bytes},
        .payload_of = bytes < HKB_SHARED_BYTES_MIN ? NULL : outgoing->payload,
    };
    outgoing->offset += bytes;
    hkb_link_say(&share->peer->link, &message, NULL);
    if (outgoing->offset == payload.bytes) {
        hkb_outgoing_free(share);
    }
}

/* Whether the object still keeps the state: as the newest one, or as an older one that peers stand
 * on. */
static bool is_kept(const hkb_object *object, const hakuban_state *state)
{
    return state == object->state || hkb_node_linked(&state->base_node);
}

/* The state that a peer is sent: the newest one, or the one that its payload was made of. */
typedef struct told_state {
    hakuban_state *state, *base; /* base NULL: the whole state is sent */
    uint32_t count;              /* the object's counter of states at this one */
    hakuban_bytes *payload;
} told_state;

static hakuban_status begin_outgoing(hkb_share *share, const told_state *told)
{
    hkb_outgoing *outgoing = hkb_alloc(share->peer->exchange->alloc, sizeof(*outgoing));
    if (!outgoing) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hkb_peer *peer = share->peer;
    (void)hkb_peer_account(peer, sizeof(*outgoing), 0);
    outgoing->bytes = hakuban_bytes_slice(told->payload).bytes;
    peer->outgoing_bytes += outgoing->bytes;
    outgoing->payload = hkb_bytes_hold(told->payload, &peer->exchange->shared.payload_bytes);
    outgoing->offset = HKB_PART_BYTES_MAX;
    outgoing->state = told->count;
    outgoing->whole = !told->base;
    hkb_transfer_add(share, &outgoing->transfer, HKB_TRANSFER_OUTGOING);
    return HAKUBAN_OK;
}

/* The peer knows the state from here on. */
static void is_told(hkb_share *share, hakuban_state *state, uint32_t count)
{
    hkb_object_set_base(share, is_kept(share->object, state) ? state : NULL);
    share->out.state = count;
    share->out.condition = share->object->condition_count;
}

/* The peer has named the newest state as one that it has. */
static void say_same(hkb_share *share)
{
    hkb_object *object = share->object;
    hkb_message message = {
        .kind = HKB_MESSAGE_SAME,
        .channel = share->out.id,
        .check = hkb_recall_check(object->state),
        .freshness = (hakuban_freshness)object->freshness,
        .age_ns = hkb_object_age_ns(object),
    };
    hkb_link_say(&share->peer->link, &message, NULL);
    is_told(share, object->state, object->state_count);
}

static hakuban_freshness shown_freshness(const hkb_share *share)
{
    const hkb_object *object = share->object;
    return hkb_share_manners(share)->shows_hand_over && object->assigned.unconfirmed &&
                   object->freshness == HAKUBAN_LIVE
               ? HAKUBAN_STALE
               : (hakuban_freshness)object->freshness;
}

static bool is_forgotten(const hkb_share *share)
{
    return hkb_share_manners(share)->forgets_left_over && share->object->state->left_over;
}

static bool state_differs(const hkb_share *share)
{
    const hkb_object *object = share->object;
    return object->state && share->out.state != object->state_count && !is_forgotten(share);
}

static bool is_too_large(const hkb_share *share)
{
    const hkb_object *object = share->object;
    return object->state && object->state->data_bytes > share->peer->link.peer_state_bytes_max;
}

static void say_condition(hkb_share *share)
{
    hkb_object *object = share->object;
    hkb_message message = {
        .kind = HKB_MESSAGE_CONDITION,
        .channel = share->out.id,
        .freshness = shown_freshness(share),
        .source = (hakuban_source)object->source,
        .age_ns = hkb_object_age_ns(object),
    };
    if (message.freshness == HAKUBAN_LIVE && is_too_large(share)) {
        message.freshness = HAKUBAN_STALE; /* what the peer has is not the newest */
    }
    share->out.condition = object->condition_count;
    if (hkb_share_manners(share)->state_is_condition && !share->out.base) {
        return; /* the condition is that of a state that the peer does not have */
    }
    hkb_link_say(&share->peer->link, &message, NULL);
}

/* A state over the peer's limit is logged and not sent: sending would break the connection again
 * and again. */
static void withhold_state(hkb_share *share, uint32_t count)
{
    hkb_object *object = share->object;
    hkb_log(&object->exchange->logger, HKB_LOG_LIMIT, &share->peer->log_quota, HAKUBAN_LOG_WARNING,
            "exchange",
            "%.200s: a state of %zu bytes is over the limit of the other side and was not sent",
            object->descriptor->text, object->state->data_bytes);
    share->out.state = count;
    say_condition(share);
}

static hakuban_status say_state(hkb_share *share, const told_state *told)
{
    hkb_object *object = share->object;
    hakuban_state *state = told->state, *base = told->base;
    const hkb_link *link = &share->peer->link;
    hakuban_status status = HAKUBAN_OK;
    hakuban_slice bytes = hakuban_bytes_slice(told->payload);
    bool in_parts = link->dialect->sends_parts && bytes.bytes > HKB_PART_BYTES_MAX;
    if (!link->dialect->sends_parts && bytes.bytes > link->peer_state_bytes_max) {
        withhold_state(share, told->count); /* a difference may be a little larger than the state */
        return HAKUBAN_OK;
    }
    hkb_version previous;
    hkb_message message;
    previous.count = 0;
    if (base) {
        hkb_state_get_version(base, &previous);
    }
    hkb_message_init(&message, HKB_MESSAGE_STATE);
    message.channel = share->out.id;
    message.freshness = shown_freshness(share);
    message.age_ns = hkb_object_age_ns(object);
    message.left_over = state->left_over;
    if (link->dialect->checks_states) {
        message.check = (uint32_t)hkb_state_check(state);
    }
    message.total_bytes = bytes.bytes;
    message.payload_of = bytes.bytes < HKB_SHARED_BYTES_MIN ? NULL : told->payload;
    message.payload = (hakuban_slice){bytes.data, in_parts ? HKB_PART_BYTES_MAX : bytes.bytes};
    hkb_state_get_version(state, &message.version);
    if (!base || !hkb_state_same_format(base, state)) {
        message.format = hkb_state_format(state);
        message.format_count = state->format_count;
    }
    if (in_parts) {
        status = begin_outgoing(share, told);
    }
    if (status >= 0) {
        hkb_link_say(&share->peer->link, &message, &previous);
    }
    const hkb_begun *begun = hkb_share_begun(share);
    if (begun && in_parts && status >= 0) {
        hkb_outgoing_go_on(share, begun);
    }
    hkb_begun_free(share); /* the receiver drops the begun state, too */
    if (status < 0) {
        return status;
    }
    is_told(share, state, told->count);
    object->exchange->stats.states_out++;
    object->exchange->stats.state_bytes_out += state->data_bytes;
    return HAKUBAN_OK;
}

/* Sends the newest state with an existing payload or one made now. A large payload is made by a
 * work and sent later. */
static hakuban_status say_newest(hkb_share *share)
{
    hkb_object *object = share->object;
    hakuban_bytes *made = NULL;
    told_state told = {
        .state = object->state,
        .base = share->out.base,
        .count = object->state_count,
        .payload = known_payload(share),
    };
    hakuban_status status = HAKUBAN_OK;
    if (told.payload) {
        object->exchange->stats.deltas_shared++;
    } else if (hkb_work_is_large(object->exchange,
                                 hakuban_state_data(told.base).bytes + object->state->data_bytes)) {
        return hkb_packing_begin(share);
    } else {
        status = make_payload(share, &made);
        told.payload = made;
    }
    if (status >= 0) {
        status = say_state(share, &told);
        hakuban_bytes_unref(made);
    }
    return status;
}

/* Sends the payload that the share has waited for. */
static hakuban_status say_packed(hkb_share *share)
{
    const hkb_object *object = share->object;
    const hkb_packing *packing = hkb_share_outgoing(share)->packing;
    hakuban_status status = packing->status;
    /* Its state may have been forgotten since. */
    if (status < 0 || !object->state || !is_kept(object, packing->state) || is_forgotten(share)) {
        hkb_outgoing_free(share);
        return status;
    }
    told_state told = {
        .state = hakuban_state_ref(packing->state),
        .base = hakuban_state_ref(packing->base),
        .count = packing->state_count,
        .payload = hakuban_bytes_ref(packing->payload),
    };
    hkb_object_set_base(share, told.state); /* before the packing drops its reference */
    hkb_outgoing_free(share);
    status = say_state(share, &told);
    hakuban_bytes_unref(told.payload);
    hakuban_state_unref(told.base);
    hakuban_state_unref(told.state);
    return status;
}

/* A slow peer gets one large state after the other, so that little is kept for it. */
static bool is_waiting(const hkb_share *share)
{
    const hkb_object *object = share->object;
    return share->peer->outgoing_bytes >= HKB_OUTGOING_BYTES_MAX && !hkb_share_outgoing(share) &&
           state_differs(share) && object->state->data_bytes > HKB_PART_BYTES_MAX;
}

/* Sends the part of the condition that a STATE does not tell, before the STATE. */
static void say_condition_first(hkb_share *share)
{
    if (share->out.condition != share->object->condition_count &&
        !hkb_share_manners(share)->state_is_condition) {
        say_condition(share);
    }
}

/* Continues a state that is on its way: sends the next part, or all once its payload is made. */
static hakuban_status go_on(hkb_share *share)
{
    if (!hkb_share_outgoing(share)->packing) {
        say_part(share);
    } else if (!hkb_share_is_packing(share)) {
        say_condition_first(share);
        return say_packed(share);
    }
    return HAKUBAN_OK;
}

/* Sends state and condition on an open channel. */
static void emit_states(hkb_share *share)
{
    hkb_object *object = share->object;
    hakuban_status status = HAKUBAN_OK;
    if (hkb_share_outgoing(share)) {
        status = go_on(share);
    } else if (!state_differs(share)) {
        if (share->out.condition != object->condition_count) {
            say_condition(share);
        }
    } else if (is_too_large(share)) {
        withhold_state(share, object->state_count);
    } else if (!is_waiting(share)) {
        say_condition_first(share);
        if (hkb_recall_has(share)) {
            say_same(share);
        } else {
            status = say_newest(share);
        }
    }
    if (status < 0) {
        hkb_link_fail(&share->peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
}

static bool has_states(const hkb_share *share)
{
    const hkb_object *object = share->object;
    if (share->out.phase != HKB_CHANNEL_OPEN || hkb_share_is_packing(share)) {
        return false; /* or nothing before its payload is made */
    }
    return hkb_share_outgoing(share) || share->out.condition != object->condition_count ||
           state_differs(share);
}

static void say_floor(hkb_share *share)
{
    const hakuban_state *floor = hkb_object_floor(share->object);
    share->in.floor_due = 0;
    if (!floor || share->in.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    hkb_message message = {.kind = HKB_MESSAGE_FLOOR, .channel = share->in.id};
    message.version = hkb_state_version(floor);
    if (share->in.base &&
        hakuban_version_compare(floor->version, floor->version_count, share->in.base->version,
                                share->in.base->version_count) <= 0) {
        return;
    }
    hkb_link_say(&share->peer->link, &message, NULL);
}

static void say_resend(hkb_share *share)
{
    hkb_message message = {.kind = HKB_MESSAGE_RESEND, .channel = share->in.id};
    share->in.resend_due = 0;
    if (share->in.phase == HKB_CHANNEL_OPEN) {
        hkb_link_say(&share->peer->link, &message, NULL);
    }
}

/* Tells the sender how much of a state is there already, in case it is the one that comes. */
static void say_begun(hkb_share *share)
{
    share->in.begun_due = 0;
    const hkb_partial *partial = hkb_share_partial(share);
    if (!partial || share->in.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    const hkb_buffer *payload = &partial->payload;
    hkb_message message = {.kind = HKB_MESSAGE_BEGUN,
                           .channel = share->in.id,
                           .bytes = payload->bytes,
                           .hash = hkb_hash64(payload->data, payload->bytes)};
    hkb_link_say(&share->peer->link, &message, NULL);
}

/* -- To an upstream -- */

static void emit_upwards(hkb_share *share)
{
    hkb_object *object = share->object;
    hkb_link *link = &share->peer->link;
    if (share->out.phase == HKB_CHANNEL_OPEN && object->assigned.to != HKB_UPSTREAM) {
        emit_states(share);
        if (hkb_share_outgoing(share) ||
            is_waiting(share)) { /* what was sent before an orderly end arrives before the end */
            return;
        }
    }
    if (share->out.phase == HKB_CHANNEL_CLOSING && !object->assigned.leaving) {
        hkb_message message = {.kind = HKB_MESSAGE_CLOSED, .channel = share->out.id};
        hkb_share_close_out(share);
        hkb_link_say(link, &message, NULL);
    }
    hkb_registration wanted = hkb_object_wanted(object);
    if (!hkb_registration_equal(&share->registered, &wanted)) {
        hkb_message message = {
            .kind = HKB_MESSAGE_OBJECT,
            .flags = hkb_registration_flags(&wanted),
            .capacity = wanted.capacity,
            .before_flags = hkb_registration_flags(&share->registered),
            .before_capacity = share->registered.capacity,
            .descriptor = object->descriptor,
        };
        share->registered = wanted;
        hkb_link_say(link, &message, NULL);
    }
}

/* -- To a downstream -- */

static void open_stream(hkb_share *share)
{
    hkb_object *object = share->object;
    hkb_peer *peer = share->peer;
    hkb_message message = {
        .kind = HKB_MESSAGE_STREAM_OPEN,
        .channel = ++peer->last_channel,
        .descriptor = object->descriptor,
        .freshness = (hakuban_freshness)object->freshness,
        .source = (hakuban_source)object->source,
        .age_ns = hkb_object_age_ns(object),
    };
    if (hkb_share_open_out(share, message.channel) < 0) {
        hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    hkb_link_say(&peer->link, &message, NULL);
}

static void say_close(hkb_share *share, uint32_t channel, hkb_close_reason reason)
{
    hkb_message message = {.kind = HKB_MESSAGE_CLOSE, .channel = channel, .reason = reason};
    hkb_link_say(&share->peer->link, &message, NULL);
}

static void open_sink(hkb_share *share)
{
    hkb_object *object = share->object;
    hkb_peer *peer = share->peer;
    const hakuban_state *floor = hkb_object_floor(object);
    hkb_message message = {
        .kind = HKB_MESSAGE_SINK_OPEN,
        .channel = ++peer->last_channel,
        .descriptor = object->descriptor,
        .sink_id = hkb_recall_holds(peer, object),
    };
    if (message.sink_id) {
        hkb_recall_resumes(peer, object);
    } else {
        message.sink_id = object->exchange->host.random(object->exchange->host.ctx);
    }
    if (floor) {
        message.version = hkb_state_version(floor);
    }
    /* An older channel may still be closing: messages on it are ignored. */
    if (hkb_share_open_in(share, message.channel, HAKUBAN_SOURCE_ASSIGNED) < 0) {
        hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    hkb_link_say(&peer->link, &message, NULL);
}

static void emit_downwards(hkb_share *share)
{
    hkb_object *object = share->object;
    bool chosen = hkb_share_serves(share);
    /* A stream opens before the sink closes: the peer must not see a moment in which no exposer
     * serves the object. */
    if (share->out.wanted && share->out.phase == HKB_CHANNEL_CLOSED) {
        open_stream(share);
    }
    if (!chosen && share->in.phase == HKB_CHANNEL_OPEN) {
        share->in.phase = HKB_CHANNEL_CLOSING;
        say_close(share, share->in.id,
                  object->assigned.to == HKB_NO_EXPOSER ? HKB_CLOSE_UNNEEDED : HKB_CLOSE_MOVED);
        if (!hkb_share_manners(share)->answers_close) { /* no answer comes any more */
            hkb_share_close_in(share);
            hkb_assign_left(share);
        }
    }
    if (chosen && !object->assigned.leaving && share->in.phase != HKB_CHANNEL_OPEN) {
        open_sink(share);
    }
    if (share->out.phase == HKB_CHANNEL_OPEN) {
        /* The last state still arrives before the stream ends. Its condition need not be said where
         * the end says it. */
        if (has_states(share) &&
            (share->out.wanted || !hkb_share_manners(share)->end_is_condition ||
             share->out.state != object->state_count)) {
            emit_states(share);
        }
        if (!share->out.wanted && !hkb_share_outgoing(share) && !is_waiting(share)) {
            uint32_t channel = share->out.id;
            hkb_share_close_out(share);
            say_close(share, channel, HKB_CLOSE_GONE);
        }
    }
}

void hkb_share_emit(hkb_share *share)
{
    hkb_link *link = &share->peer->link;
    hkb_peer_queue_large(share->peer);
    if (share->peer->link.connector) {
        emit_upwards(share);
    } else {
        emit_downwards(share);
    }
    if (share->in.floor_due) {
        say_floor(share);
    }
    if (share->in.resend_due) {
        say_resend(share);
    }
    if (share->in.begun_due) {
        say_begun(share);
    }
    if (link->phase == HKB_LINK_ENDED || hkb_share_release(share)) {
        return;
    }
    if (!has_states(share) || (link->connector && share->object->assigned.to == HKB_UPSTREAM)) {
        return;
    }
    if (is_waiting(share)) {
        hkb_share_queue_large(share);
    } else {
        hkb_share_queue(share);
    }
}
