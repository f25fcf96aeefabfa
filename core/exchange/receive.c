/* States from a peer: parts are put together, the difference is applied and checked, and the state
 * is heard if the peer is the object's source now. Late frames of closed channels do not get here.
 */
#include "exchange/receive.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/incoming.h"
#include "exchange/names.h"
#include "exchange/newest.h"
#include "exchange/partial.h"
#include "exchange/payloads.h"
#include "exchange/recall.h"
#include "exchange/settle.h"
#include "exchange/sink.h"
#include "exchange/work.h"

#define STREAMS_PER_UNIT 4u /* that a small difference is written to */

static hakuban_status refuse(hakuban_error *reterr, const hkb_share *share, const char *what)
{
    char name[96];
    const hakuban_descriptor *descriptor = share->object->descriptor;
    hkb_escape(name, sizeof(name), descriptor->text, descriptor->json_bytes);
    return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "object %s: %s", name, what);
}

/* The last state did not match its check, or is lost: until a whole state comes, differences have
 * no base. */
static void ask_for_whole(hkb_share *share)
{
    share->in.awaits_whole = 1;
    share->in.resend_due = 1;
    hkb_share_queue(share);
}

/* Whether another peer stands on the same base and takes payloads of the same form. */
static bool passes(const hkb_share *share, const hakuban_state *base)
{
    HKB_LIST_EACH(hkb_share, other, &share->object->shares, of_object)
    {
        if (other != share && other->out.phase == HKB_CHANNEL_OPEN && other->out.base == base &&
            other->peer->link.payload_form == share->peer->link.payload_form) {
            return true;
        }
    }
    return false;
}

static bool same_version(const hakuban_state *a, const hakuban_state *b)
{
    return a &&
           hakuban_version_compare(a->version, a->version_count, b->version, b->version_count) == 0;
}

/* The result of applying a payload. */
typedef struct made_state {
    const hkb_message *head;
    hakuban_state *base; /* NULL: the payload was whole */
    hakuban_state *state;
    hakuban_slice payload; /* it is copied for other peers; data NULL: it is not */
    hakuban_bytes *copy;   /* the copy, or NULL */
    uint64_t age_ns;
} made_state;

/* Keeps the received payload for other peers. */
static void pass_on(hkb_share *share, const made_state *made, hakuban_state *base)
{
    hakuban_bytes *copy = made->copy ? hakuban_bytes_ref(made->copy) : NULL;
    if ((!copy && !made->payload.data) || !passes(share, base)) {
        hakuban_bytes_unref(copy);
        return;
    }
    if (copy || hakuban_bytes_new(share->object->exchange->alloc, made->payload.data,
                                  made->payload.bytes, &copy) >= 0) {
        hkb_delta_keep(share->object, base, share->peer->link.payload_form, copy);
        hakuban_bytes_unref(copy);
    }
}

/* The object's source has sent it. */
static void hear(hkb_share *share, const made_state *made)
{
    hkb_object *object = share->object;
    /* The old base may only live as the peer's base: kept over the replacement for the shares that
     * stand on it. */
    hakuban_state *kept = hakuban_state_ref(made->base);
    hkb_object_hear(object, hakuban_state_ref(made->state), made->head->freshness, made->age_ns);
    if (object->state == made->state) {
        pass_on(share, made, kept);
    } else if (!made->head->left_over && same_version(object->state, made->state)) {
        hkb_object_renew(object);
    }
    hakuban_state_unref(kept);
}

/* Handles the result after a payload was applied. */
static hakuban_status take(hkb_share *share, const made_state *made, hakuban_status status,
                           hakuban_error *reterr)
{
    hkb_exchange *exchange = share->object->exchange;
    const hkb_link *link = &share->peer->link;
    const hkb_message *head = made->head;
    hakuban_state *state = made->state;
    if (status < 0) {
        return status == HAKUBAN_ERR_NO_MEMORY ? hakuban_error_set(reterr, status, "out of memory")
                                               : refuse(reterr, share, "a malformed difference");
    }
    if (link->dialect->checks_states && (uint32_t)state->check != head->check) {
        if (!made->base) {
            return refuse(reterr, share, "a whole state does not match its check");
        }
        hkb_log(&exchange->logger, HKB_LOG_CHECK, &share->peer->log_quota, HAKUBAN_LOG_WARNING,
                "exchange",
                "%.200s: a difference does not match its check, asked for the whole state",
                share->object->descriptor->text);
        ask_for_whole(share);
        return HAKUBAN_OK;
    }
    share->in.awaits_whole = 0;
    hkb_partial_is_over(share);
    state->left_over = head->left_over;
    exchange->stats.states_in++;
    exchange->stats.state_bytes_in += state->data_bytes;
    if (hkb_share_is_source(share)) {
        hear(share, made);
    }
    hkb_share_note_condition(share, head->freshness, made->age_ns);
    hkb_share_set_in_base(share, state);
    /* An upstream knows a later version than what is shown here: what the exposer says next, or
     * has said last, is to be later still. */
    if (link->connector && hkb_object_raise_floor(share->object, &head->version, NULL) < 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    return HAKUBAN_OK;
}

/* The same after a work is done; no message is being heard then. */
static void take_made(hkb_share *share, hkb_incoming *incoming)
{
    hkb_link *link = &share->peer->link;
    const hkb_message *head = &incoming->head;
    hakuban_error error;
    made_state made = {
        .head = head,
        .base = incoming->base,
        .state = incoming->state,
        .copy = incoming->copy,
        .age_ns = head->age_ns,
    };
    if (head->freshness == HAKUBAN_STALE) {
        made.age_ns += share->object->exchange->now_ns - incoming->begun_ns;
    }
    if (share->in.phase != HKB_CHANNEL_OPEN || link->phase == HKB_LINK_ENDED) {
        return;
    }
    hakuban_status status = take(share, &made, incoming->status, &error);
    if (status < 0) {
        hkb_link_fail(link, status, "%s", error.text);
    }
}

/* Starts a work that makes a large state. The payload is copied, unless an incoming owns it. */
static hakuban_status make(hkb_share *share, const hkb_message *head, hakuban_slice payload,
                           hkb_making *making, hakuban_error *reterr)
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    if (!incoming) {
        incoming = hkb_incoming_new(share, head);
        if (!incoming || hkb_buffer_append(&incoming->payload, payload.data, payload.bytes) < 0) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        }
        (void)hkb_peer_account(share->peer, incoming->payload.capacity, 0);
    }
    making->passes = passes(share, making->base);
    hkb_incoming_make(share, making, take_made);
    return HAKUBAN_OK;
}

static hakuban_status apply(hkb_share *share, const hkb_message *head, hakuban_slice payload,
                            hakuban_error *reterr)
{
    hkb_exchange *exchange = share->object->exchange;
    hkb_link *link = &share->peer->link;
    bool whole =
        link->dialect->checks_states ? hkb_delta_is_whole(payload) : share->in.base == NULL;
    hakuban_state *base = whole ? NULL : share->in.base, *state;
    /* Sent before the other side heard that its base is lost: even if the data need no base, the
     * version does. The answer names its format. */
    if (share->in.awaits_whole && !(whole && head->format && head->version.count)) {
        return HAKUBAN_OK;
    }
    if (!whole && !base) {
        return refuse(reterr, share, "a difference came before any state");
    }
    hakuban_slice old = {NULL, 0};
    if (base) {
        old = hakuban_state_data(base);
    }
    size_t bytes, format_count = head->format_count, format_bytes = head->format_bytes;
    const char *format = head->format;
    if (!format) {
        if (!share->in.base) {
            return refuse(reterr, share, "the first state has no format");
        }
        format = hkb_state_format(share->in.base);
        format_count = share->in.base->format_count;
        format_bytes = share->in.base->format_bytes;
    }
    hakuban_error error;
    hakuban_status status = link->dialect->size(
        payload, old.bytes, (size_t)link->settings->state_bytes_max, &bytes, &error);
    if (status < 0) {
        return refuse(reterr, share, error.text);
    }
    hkb_partials_make_room(exchange, bytes);
    if (!hkb_exchange_make_room(exchange, share, bytes)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT,
                                 "this hub has no room for another state: it keeps %zu bytes",
                                 hkb_exchange_held_bytes(exchange));
    }
    if (link->phase == HKB_LINK_ENDED) {
        return HAKUBAN_OK; /* to make room */
    }
    uint8_t *data;
    status = hkb_state_new(exchange->alloc, head->version.elements, head->version.count, format,
                           format_count, format_bytes, bytes, &state, &data);
    if (status < 0) {
        return hakuban_error_set(reterr, status, "out of memory");
    }
    hkb_peer_charge(share->peer, share->object->out_channels / STREAMS_PER_UNIT);
    if (hkb_work_is_large(exchange, bytes + payload.bytes)) {
        status = make(share, head, payload,
                      &(hkb_making){.base = base, .state = state, .data = data}, reterr);
        hakuban_state_unref(state);
        return status;
    }
    hkb_peer_charge(share->peer, bytes / HKB_COST_KIB);
    status =
        link->dialect->apply(exchange->delta, hkb_link_compressor(link), old, payload, data, bytes);
    if (status >= 0 && link->dialect->checks_states) {
        state->check = hkb_hash64(data, bytes);
        state->has_check = 1;
    }
    made_state made = {
        .head = head, .base = base, .state = state, .payload = payload, .age_ns = head->age_ns};
    status = take(share, &made, status, reterr);
    hakuban_state_unref(state);
    return status;
}

static hakuban_status begin_incoming(hkb_share *share, const hkb_message *message,
                                     hakuban_error *reterr)
{
    uint64_t payload_max = share->peer->link.settings->state_bytes_max + HKB_PART_BYTES_MAX;
    if (message->total_bytes > payload_max) {
        return refuse(reterr, share, "a state is larger than the limit");
    }
    if (!hkb_incoming_new(share, message)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    return hkb_share_hear_part(share, message->payload, reterr);
}

hakuban_status hkb_share_hear_state(hkb_share *share, const hkb_message *message,
                                    hakuban_error *reterr)
{
    if (hkb_share_incoming(share)) {
        return refuse(reterr, share, "a state begins before the one before is complete");
    }
    if (message->total_bytes > message->payload.bytes) {
        return begin_incoming(share, message, reterr);
    }
    return apply(share, message, message->payload, reterr);
}

hakuban_status hkb_share_hear_same(hkb_share *share, const hkb_message *message)
{
    hkb_object *object = share->object;
    hakuban_state *state = object->state;
    if (!state || hkb_recall_check(state) != message->check) {
        ask_for_whole(share); /* it has changed since it was named */
        return HAKUBAN_OK;
    }
    hakuban_state_ref(state);
    if (hkb_share_is_source(share)) {
        hkb_object_hear(object, hakuban_state_ref(state), message->freshness, message->age_ns);
    }
    hkb_share_note_condition(share, message->freshness, message->age_ns);
    hkb_share_set_in_base(share, state);
    hakuban_state_unref(state);
    return HAKUBAN_OK;
}

hakuban_status hkb_share_hear_part(hkb_share *share, hakuban_slice payload, hakuban_error *reterr)
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    if (!incoming) {
        return refuse(reterr, share, "a part of no state");
    }
    if (payload.bytes == 0 ||
        payload.bytes > incoming->head.total_bytes - incoming->payload.bytes) {
        return refuse(reterr, share, "the parts of a state do not add up");
    }
    size_t before = incoming->payload.capacity;
    hakuban_status status = hkb_buffer_append(&incoming->payload, payload.data, payload.bytes);
    bool accepted = hkb_peer_account(share->peer, incoming->payload.capacity, before);
    if (status < 0) {
        return hakuban_error_set(reterr, status, "out of memory");
    }
    uint64_t total_bytes = incoming->head.total_bytes;
    if (!accepted || incoming->payload.bytes < total_bytes) {
        return HAKUBAN_OK;
    }
    status = apply(share, &incoming->head,
                   (hakuban_slice){incoming->payload.data, incoming->payload.bytes}, reterr);
    if (!hkb_share_is_working(share)) {
        hkb_incoming_free(share);
    }
    return status;
}

void hkb_share_hear_condition(hkb_share *share, hakuban_freshness freshness, hakuban_source source,
                              uint64_t age_ns)
{
    hkb_object *object = share->object;
    bool source_changed = share->in.source != source;
    share->in.source = (unsigned)source & 3u;
    hkb_share_note_condition(share, freshness, age_ns);
    if (source_changed) {
        hkb_object_mark(object);
    }
    if (source != HAKUBAN_SOURCE_NONE) {
        hkb_recall_confirm(object);
    }
    /* Now: a state, or the stream's end, may follow in the same packet; and what an exposer here
     * takes over stays LIVE. */
    bool serves = source != HAKUBAN_SOURCE_NONE;
    if (share->peer->link.connector && !object->assigned.held &&
        serves != (object->assigned.to == HKB_UPSTREAM)) {
        hkb_object_settle(object);
    }
    if (!hkb_share_is_source(share)) {
        return;
    }
    /* The condition is that of the last state that the peer has sent, which may be older or newer
     * than the one here. */
    if (share->in.base) {
        hkb_object_hear(object, hakuban_state_ref(share->in.base), freshness, age_ns);
    }
    hkb_object_refresh_source(object);
}
