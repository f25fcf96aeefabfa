/* A state that comes in parts, or that is made by a work. While it is made, the record belongs to
 * the thread that makes it: if its channel ends, the share drops the record, which is freed later.
 */
#include "exchange/incoming.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/work.h"

hkb_incoming *hkb_incoming_new(hkb_share *share, const hkb_message *head)
{
    hkb_exchange *exchange = share->object->exchange;
    hkb_incoming *incoming = hkb_alloc(exchange->alloc, sizeof(*incoming));
    if (!incoming) {
        return NULL;
    }
    hkb_buffer_init(&incoming->payload, exchange->alloc,
                    hkb_max((size_t)head->total_bytes, head->payload.bytes));
    incoming->exchange = exchange;
    incoming->share = share;
    incoming->head = *head;
    if (head->format) {
        memcpy(incoming->format, head->format, head->format_bytes);
        incoming->head.format = incoming->format;
    }
    hkb_transfer_add(share, &incoming->transfer, HKB_TRANSFER_INCOMING);
    (void)hkb_peer_account(share->peer, sizeof(*incoming), 0);
    return incoming;
}

/* The size without the memory that a work adds. */
static size_t bytes_of(const hkb_incoming *incoming)
{
    return incoming->is_made ? incoming->charged_bytes
                             : sizeof(*incoming) + incoming->payload.capacity;
}

static void release(hkb_incoming *incoming)
{
    hkb_exchange *exchange = incoming->exchange;
    hakuban_bytes_unref(incoming->copy);
    hkb_state_release(exchange, incoming->base);
    hkb_state_release(exchange, incoming->state);
    hkb_buffer_done(&incoming->payload);
    hkb_free(exchange->alloc, incoming, sizeof(*incoming));
}

/* The record does not belong to the share and its peer any more. */
static void leave(hkb_incoming *incoming)
{
    hkb_peer *peer = incoming->share->peer;
    hkb_transfer_remove(incoming->share, &incoming->transfer);
    incoming->share = NULL;
    (void)hkb_peer_account(peer, 0, bytes_of(incoming));
    if (incoming->is_made) {
        hkb_peer_unblock(peer);
    }
}

void hkb_incoming_free(hkb_share *share)
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    if (!incoming) {
        return;
    }
    leave(incoming);
    if (incoming->is_made) {
        /* Nothing else may keep the base any more. */
        incoming->charged_bytes += incoming->base ? hkb_state_bytes(incoming->base) : 0;
        hkb_charge(incoming->exchange, NULL, bytes_of(incoming), 0);
    } else {
        release(incoming);
    }
}

/* -- Made by a work -- */

static hakuban_status make(hkb_incoming *incoming)
{
    hkb_work_tools tools;
    hakuban_state *base = incoming->base, *state = incoming->state;
    const hakuban_alloc *alloc = incoming->exchange->alloc;
    hakuban_slice payload = {incoming->payload.data, incoming->payload.bytes};
    hakuban_status status = hkb_work_tools_init(&tools, incoming->exchange, incoming->compressor);
    if (status >= 0) {
        status = incoming->dialect->apply(tools.context, tools.with, hakuban_state_data(base),
                                          payload, incoming->data, state->data_bytes);
    }
    hkb_work_tools_done(&tools);
    if (status >= 0 && incoming->dialect->checks_states) {
        state->check = hkb_hash64(incoming->data, state->data_bytes);
        state->has_check = 1;
    }
    if (status >= 0 && incoming->passes &&
        hakuban_bytes_new(alloc, payload.data, payload.bytes, &incoming->copy) < 0) {
        incoming->copy = NULL; /* the other peers get payloads of their own */
    }
    hkb_buffer_done(&incoming->payload);
    return status;
}

static void run(hkb_work *work)
{
    hkb_incoming *incoming = HKB_CONTAINER(work, hkb_incoming, work);
    incoming->status = make(incoming);
}

static void done(hkb_work *work)
{
    hkb_incoming *incoming = HKB_CONTAINER(work, hkb_incoming, work);
    hkb_share *share = incoming->share;
    if (share) {
        leave(incoming);
        incoming->taken(share, incoming);
    } else {
        hkb_charge(incoming->exchange, NULL, 0, bytes_of(incoming));
    }
    release(incoming);
}

void hkb_incoming_make(hkb_share *share, const hkb_making *making,
                       void (*taken)(hkb_share *share, hkb_incoming *incoming))
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    hkb_link *link = &share->peer->link;
    size_t before = bytes_of(incoming);
    incoming->base = hakuban_state_ref(making->base);
    incoming->state = hakuban_state_ref(making->state);
    incoming->data = making->data;
    incoming->passes = making->passes;
    incoming->dialect = link->dialect;
    incoming->compressor = link->compressor;
    incoming->taken = taken;
    incoming->work.run = run;
    incoming->work.done = done;
    incoming->begun_ns = incoming->exchange->now_ns;
    incoming->status = HAKUBAN_ERR_NO_MEMORY; /* the status if the work is never run */
    incoming->is_made = true;
    incoming->charged_bytes =
        before + hkb_state_bytes(making->state) + (making->passes ? incoming->payload.bytes : 0);
    link->working++;
    (void)hkb_peer_account(share->peer, incoming->charged_bytes, before);
    hkb_work_begin(incoming->exchange, &incoming->work, incoming->charged_bytes);
}
