/* Payloads that are made by a work, for all shares that need the same one. Both states are kept as
 * bases meanwhile. The payload is sent even if a newer state has come: otherwise a peer would never
 * get a state of an object that changes faster than its payloads are made. */
#include "exchange/packing.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/newest.h"
#include "exchange/payloads.h"
#include "exchange/work.h"

static hakuban_status make(hkb_packing *packing)
{
    hkb_work_tools tools;
    hakuban_slice data = hakuban_state_data(packing->state);
    const hakuban_alloc *alloc = packing->exchange->alloc;
    hakuban_status status = hkb_work_tools_init(&tools, packing->exchange, packing->compressor);
    if (status >= 0) {
        status = packing->dialect->make(tools.context, alloc, tools.with,
                                        hakuban_state_data(packing->base), data, &packing->payload);
    }
    hkb_work_tools_done(&tools);
    if (packing->checks) {
        packing->check = hkb_hash64(data.data, data.bytes);
    }
    return status;
}

static void run(hkb_work *work)
{
    hkb_packing *packing = HKB_CONTAINER(work, hkb_packing, work);
    hakuban_bytes *none = packing->payload;
    packing->status = make(packing);
    if (packing->status < 0) {
        packing->payload = none;
    }
    hkb_work_count(packing->exchange, hakuban_bytes_slice(packing->payload).bytes, 0);
}

static void packing_free(hkb_packing *packing)
{
    hkb_exchange *exchange = packing->exchange;
    if (packing->is_held) {
        hkb_bytes_release(packing->payload, &exchange->shared.payload_bytes);
    } else {
        hakuban_bytes_unref(packing->payload);
    }
    hkb_state_release(exchange, packing->base);
    hkb_state_release(exchange, packing->state);
    hkb_free(exchange->alloc, packing, sizeof(*packing));
}

static void keep_for_others(const hkb_packing *packing)
{
    hkb_object *object = packing->object;
    packing->exchange->stats.deltas_made++;
    if (packing->state == object->state && object->out_channels > packing->users) {
        hkb_delta_keep(object, packing->base, packing->form, packing->payload);
    }
}

static void done(hkb_work *work)
{
    hkb_packing *packing = HKB_CONTAINER(work, hkb_packing, work);
    hkb_exchange *exchange = packing->exchange;
    packing->is_done = true;
    hkb_work_count(exchange, 0, hakuban_bytes_slice(packing->payload).bytes);
    if (packing->users == 0) {
        exchange->released_bytes -= work->bytes;
        packing_free(packing);
        return;
    }
    if (packing->checks && packing->status >= 0) {
        packing->state->check = packing->check;
        packing->state->has_check = 1;
    }
    if (packing->payload) {
        (void)hkb_bytes_hold(packing->payload, &exchange->shared.payload_bytes);
        hakuban_bytes_unref(packing->payload);
        packing->is_held = true;
        keep_for_others(packing);
    }
    HKB_LIST_EACH(hkb_share, share, &packing->object->shares, of_object)
    {
        const hkb_outgoing *outgoing = hkb_share_outgoing(share);
        if (outgoing && outgoing->packing == packing) {
            hkb_share_queue(share);
        }
    }
}

/* The packing of the newest state to the share's base and for links of its form. NULL: there is
 * none. */
static hkb_packing *find(const hkb_share *share)
{
    const hkb_object *object = share->object;
    HKB_LIST_EACH(hkb_share, other, &object->shares, of_object)
    {
        const hkb_outgoing *outgoing = hkb_share_outgoing(other);
        hkb_packing *packing = outgoing ? outgoing->packing : NULL;
        if (packing && packing->state == object->state && packing->base == share->out.base &&
            packing->form == share->peer->link.payload_form) {
            return packing;
        }
    }
    return NULL;
}

static hkb_packing *packing_new(const hkb_share *share)
{
    hkb_object *object = share->object;
    const hkb_link *link = &share->peer->link;
    hkb_packing *packing = hkb_alloc(object->exchange->alloc, sizeof(*packing));
    if (!packing) {
        return NULL;
    }
    packing->work.run = run;
    packing->work.done = done;
    packing->exchange = object->exchange;
    packing->object = object;
    packing->form = link->payload_form;
    packing->dialect = link->dialect;
    packing->compressor = link->compressor;
    packing->base = hkb_object_pin(share->out.base);
    packing->state = hkb_object_pin(object->state);
    packing->state_count = object->state_count;
    packing->checks = link->dialect->checks_states && !object->state->has_check;
    packing->status = HAKUBAN_ERR_NO_MEMORY; /* the status if the work is never run */
    hkb_charge(object->exchange, NULL, sizeof(*packing), 0);
    return packing;
}

hakuban_status hkb_packing_begin(hkb_share *share)
{
    hkb_peer *peer = share->peer;
    hkb_exchange *exchange = peer->exchange;
    hkb_packing *packing = find(share);
    bool is_new = !packing;
    hkb_outgoing *outgoing = hkb_alloc(exchange->alloc, sizeof(*outgoing));
    if (outgoing && is_new) {
        packing = packing_new(share);
    }
    if (!outgoing || !packing) {
        hkb_free(exchange->alloc, outgoing, sizeof(*outgoing));
        return HAKUBAN_ERR_NO_MEMORY;
    }
    (void)hkb_peer_account(peer, sizeof(*outgoing), 0);
    outgoing->packing = packing;
    outgoing->bytes = packing->state->data_bytes; /* an estimate until the payload is made */
    peer->outgoing_bytes += outgoing->bytes;
    peer->link.packing++;
    packing->users++;
    hkb_transfer_add(share, &outgoing->transfer, HKB_TRANSFER_OUTGOING);
    if (is_new) {
        size_t base_bytes = packing->base ? hkb_state_bytes(packing->base) : 0;
        hkb_work_begin(exchange, &packing->work,
                       sizeof(*packing) + hkb_state_bytes(packing->state) + base_bytes);
    } else {
        exchange->stats.deltas_shared++;
        if (packing->is_done) {
            hkb_share_queue(share);
        }
    }
    return HAKUBAN_OK;
}

void hkb_packing_leave(hkb_share *share, hkb_outgoing *outgoing)
{
    hkb_packing *packing = outgoing->packing;
    share->peer->link.packing--;
    outgoing->packing = NULL;
    if (--packing->users) {
        return;
    }
    hkb_charge(packing->exchange, NULL, 0, sizeof(*packing));
    hkb_object_unpin(packing->object, packing->base);
    hkb_object_unpin(packing->object, packing->state);
    if (packing->is_done) {
        packing_free(packing);
    } else {
        packing->exchange->released_bytes += packing->work.bytes;
    }
}
