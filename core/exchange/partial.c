/* Partial states: the part of a large state that arrived before its channel ended. The object keeps
 * it while there is no channel; while there is one, the share on which it is offered keeps it. */
#include "exchange/partial.h"
#include "exchange/account.h"
#include "exchange/agenda.h"

static size_t bytes_of(const hkb_partial *partial)
{
    return partial ? partial->payload.bytes : 0;
}

/* What it costs the account that it is in. */
static size_t charge_of(const hkb_partial *partial)
{
    return sizeof(*partial) + partial->payload.capacity;
}

static hkb_partial *partial_free(hkb_exchange *exchange, hkb_partial *partial)
{
    if (partial) {
        hkb_buffer_done(&partial->payload);
        hkb_free(exchange->alloc, partial, sizeof(*partial));
    }
    return NULL;
}

/* There are few: all are large, and together they have a limit. */
static hkb_partial *of_object(const hkb_object *object)
{
    if (object->has_partial) {
        HKB_LIST_EACH(hkb_partial, partial, &object->exchange->partials, aged)
        {
            if (partial->object == object) {
                return partial;
            }
        }
    }
    return NULL;
}

static hkb_partial *take_from_object(hkb_object *object)
{
    hkb_partial *partial = of_object(object);
    if (partial) {
        object->has_partial = 0;
        hkb_list_remove(&partial->aged);
        object->exchange->partial_bytes -= charge_of(partial);
        hkb_charge(object->exchange, NULL, 0, charge_of(partial));
    }
    return partial;
}

static void free_oldest(hkb_exchange *exchange)
{
    hkb_partial *oldest = HKB_CONTAINER(hkb_list_first(&exchange->partials), hkb_partial, aged);
    hkb_partial_free(oldest->object);
}

static void give_to_object(hkb_object *object, hkb_partial *partial)
{
    hkb_exchange *exchange = object->exchange;
    if (bytes_of(partial) <= bytes_of(of_object(object))) {
        (void)partial_free(exchange, partial);
        return;
    }
    hkb_partial_free(object);
    partial->object = object;
    object->has_partial = 1;
    hkb_list_push(&exchange->partials, &partial->aged);
    exchange->partial_bytes += charge_of(partial);
    hkb_charge(exchange, NULL, charge_of(partial), 0);
    while (exchange->partial_bytes > HKB_PARTIALS_BYTES_MAX) {
        free_oldest(exchange);
    }
}

void hkb_partials_make_room(hkb_exchange *exchange, size_t bytes)
{
    while (!hkb_list_empty(&exchange->partials) && !hkb_exchange_has_room(exchange, bytes)) {
        free_oldest(exchange);
    }
}

/* The part of the present state that has arrived, if it is large enough to keep. */
static hkb_partial *take_from_incoming(hkb_share *share)
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    hkb_exchange *exchange = share->object->exchange;
    if (!incoming || incoming->is_made || incoming->payload.bytes < HKB_PARTIAL_BYTES_MIN ||
        !hkb_delta_is_whole((hakuban_slice){incoming->payload.data, incoming->payload.bytes})) {
        return NULL;
    }
    hkb_partial *partial = hkb_alloc(exchange->alloc, sizeof(*partial));
    if (partial) {
        (void)hkb_peer_account(share->peer, 0, incoming->payload.capacity);
        partial->payload = incoming->payload;
        hkb_buffer_init(&incoming->payload, exchange->alloc, 0);
    }
    return partial;
}

void hkb_partial_keep(hkb_share *share)
{
    hkb_partial *offered = hkb_share_partial(share), *come = take_from_incoming(share);
    share->in.begun_due = 0;
    if (offered) {
        hkb_transfer_remove(share, &offered->transfer);
        (void)hkb_peer_account(share->peer, 0, charge_of(offered));
        give_to_object(share->object, offered);
    }
    if (come) {
        give_to_object(share->object, come);
    }
}

void hkb_partial_offer(hkb_share *share)
{
    const hkb_partial *partial = of_object(share->object);
    size_t bytes = partial ? charge_of(partial) : 0;
    const hkb_peer *peer = share->peer;
    size_t bytes_max = peer->exchange->link_bytes_max;
    bool too_much = bytes_max && !peer->link.connector && peer->accounted_bytes + bytes > bytes_max;
    if (!bytes || !peer->link.dialect->sends_parts || too_much) {
        return;
    }
    hkb_transfer_add(share, &take_from_object(share->object)->transfer, HKB_TRANSFER_PARTIAL);
    (void)hkb_peer_account(share->peer, bytes, 0);
    share->in.begun_due = 1;
    hkb_share_queue(share);
}

bool hkb_partial_go_on(hkb_share *share, uint64_t bytes)
{
    hkb_incoming *incoming = hkb_share_incoming(share);
    hkb_partial *partial = hkb_share_partial(share);
    if (!incoming || bytes_of(partial) != bytes || bytes == 0 ||
        bytes >= incoming->head.total_bytes) {
        return false;
    }
    (void)hkb_peer_account(share->peer, 0, incoming->payload.capacity + sizeof(*partial));
    hkb_buffer_done(&incoming->payload);
    incoming->payload = partial->payload;
    incoming->payload.bytes_max = (size_t)incoming->head.total_bytes;
    hkb_buffer_init(&partial->payload, share->object->exchange->alloc, 0);
    hkb_transfer_remove(share, &partial->transfer);
    (void)partial_free(share->object->exchange, partial);
    return true;
}

void hkb_partial_is_over(hkb_share *share)
{
    hkb_partial *partial = hkb_share_partial(share);
    if (partial) {
        (void)hkb_peer_account(share->peer, 0, charge_of(partial));
        hkb_transfer_remove(share, &partial->transfer);
        (void)partial_free(share->object->exchange, partial);
    }
    if (share->object->has_partial) {
        hkb_partial_free(share->object);
    }
}

void hkb_partial_free(hkb_object *object)
{
    (void)partial_free(object->exchange, take_from_object(object));
}
