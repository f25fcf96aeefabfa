/* Payloads of an object's newest state, each made once for all peers that stand on the same state.
 */
#include "exchange/payloads.h"

void hkb_delta_free(hkb_delta *delta)
{
    hkb_exchange *exchange = delta->object->exchange;
    hkb_delta **place = &delta->object->deltas;
    while (*place != delta) {
        place = &(*place)->next;
    }
    *place = delta->next;
    hkb_list_remove(&delta->aged);
    exchange->delta_count--;
    exchange->delta_bytes -= hakuban_bytes_slice(delta->payload).bytes;
    hakuban_state_unref(delta->base);
    hkb_bytes_release(delta->payload, &exchange->shared.payload_bytes);
    exchange->shared.payload_bytes -= sizeof(*delta);
    if (exchange->delta_spare) {
        hkb_free(exchange->alloc, delta, sizeof(*delta));
    } else {
        exchange->delta_spare = delta;
    }
}

/* Keeps payload (with a reference of its own) for other shares; old payloads are dropped instead of
 * growing. Without memory the payload is not kept. */
void hkb_delta_keep(hkb_object *object, hakuban_state *base, const void *form,
                    hakuban_bytes *payload)
{
    hkb_exchange *exchange = object->exchange;
    if (!base && hakuban_bytes_slice(payload).bytes < HKB_WHOLE_KEPT_BYTES_MIN) {
        return; /* making it again is as fast as finding it */
    }
    hkb_delta *delta = exchange->delta_spare;
    if (delta) {
        exchange->delta_spare = NULL;
    } else {
        delta = hkb_alloc(exchange->alloc, sizeof(*delta));
    }
    if (!delta) {
        return;
    }
    memset(delta, 0, sizeof(*delta));
    delta->object = object;
    delta->base = base ? hakuban_state_ref(base) : NULL;
    delta->form = form;
    delta->payload = hkb_bytes_hold(payload, &exchange->shared.payload_bytes);
    exchange->shared.payload_bytes += sizeof(*delta);
    delta->made_ns = exchange->now_ns;
    delta->next = object->deltas;
    object->deltas = delta;
    hkb_list_push(&exchange->deltas, &delta->aged);
    exchange->delta_count++;
    exchange->delta_bytes += hakuban_bytes_slice(payload).bytes;
    while (exchange->delta_count > 1 && (exchange->delta_count > HKB_DELTAS_MAX ||
                                         exchange->delta_bytes > HKB_DELTAS_BYTES_MAX)) {
        hkb_delta_free(HKB_CONTAINER(hkb_list_first(&exchange->deltas), hkb_delta, aged));
    }
}
