/* What contracts here are to an object: what each was told of it, and whether there is news for it.
 */
#include "exchange/delivery.h"
#include "exchange/account.h"
#include "exchange/agenda.h"

/* -- The part of an object's record that contracts here need -- */

hkb_local *hkb_no_local(void)
{
    static const hkb_local none = {
        .deliveries = {{(hkb_node *)&none.deliveries.head, (hkb_node *)&none.deliveries.head}},
        .contracts = {{(hkb_node *)&none.contracts.head, (hkb_node *)&none.contracts.head}},
    };
    return (hkb_local *)&none;
}

hakuban_status hkb_object_make_local(hkb_object *object)
{
    if (object->local != hkb_no_local()) {
        return HAKUBAN_OK;
    }
    hkb_local *local = hkb_alloc(object->exchange->alloc, sizeof(*local));
    if (!local) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hkb_list_init(&local->deliveries);
    hkb_list_init(&local->contracts);
    hkb_charge(object->exchange, NULL, sizeof(*local), 0);
    object->local = local;
    return HAKUBAN_OK;
}

void hkb_object_free_local(hkb_object *object)
{
    if (object->local != hkb_no_local()) {
        hkb_charge(object->exchange, NULL, 0, sizeof(*object->local));
        hkb_free(object->exchange->alloc, object->local, sizeof(*object->local));
        object->local = hkb_no_local();
    }
}

/* -- The first states of a tag contract -- */

static void check_complete(hakuban_contract *contract)
{
    if (contract->listed_read && contract->awaited_count == 0 && !contract->complete_told &&
        !contract->ended) {
        contract->complete_told = true;
        hkb_entry_push(contract->queue, &contract->listed, HKB_ENTRY_COMPLETE);
    }
}

void hkb_contract_listed_read(hakuban_contract *contract)
{
    contract->listed_read = true;
    check_complete(contract);
}

static void set_awaited(hkb_delivery *delivery, bool awaited)
{
    hakuban_contract *contract = delivery->contract;
    if (delivery->awaited != awaited) {
        delivery->awaited = awaited;
        contract->awaited_count += awaited ? 1 : SIZE_MAX;
        check_complete(contract);
    }
}

/* -- Deliveries -- */

void hkb_delivery_free(hkb_delivery *delivery)
{
    set_awaited(delivery, false);
    hkb_list_remove(&delivery->entry.queued);
    hkb_list_remove(&delivery->of_contract);
    hkb_list_remove(&delivery->of_object);
    hkb_object_mark(delivery->object);
    hkb_charge(delivery->object->exchange, NULL, 0, sizeof(*delivery));
    hkb_free(delivery->object->exchange->alloc, delivery, sizeof(*delivery));
}

static bool delivery_has_news(const hkb_delivery *delivery)
{
    const hkb_object *object = delivery->object;
    return !delivery->open_told || delivery->closing ||
           (object->state && delivery->state != object->state_count) ||
           delivery->condition != object->condition_count;
}

/* Until LISTED, an upstream may still tell of an exposer where none was known. */
void hkb_delivery_told(hkb_delivery *delivery)
{
    const hkb_object *object = delivery->object;
    bool is_in = !delivery_has_news(delivery) &&
                 (object->freshness == HAKUBAN_LIVE || object->source == HAKUBAN_SOURCE_NONE);
    if (delivery->among_first && (is_in || !delivery->contract->listed_read)) {
        set_awaited(delivery, !is_in);
    }
    hkb_delivery_touch(delivery);
}

void hkb_delivery_touch(hkb_delivery *delivery)
{
    if (!delivery_has_news(delivery)) {
        return;
    }
    if (delivery->closing && !delivery->open_told) {
        hkb_delivery_free(delivery); /* the user was never told of it */
        return;
    }
    hkb_entry_push(delivery->contract->queue, &delivery->entry, HKB_ENTRY_DELIVERY);
}

/* Both lists would have it: it takes as long as the shorter one. */
static hkb_delivery *delivery_find(const hkb_object *object, const hakuban_contract *contract)
{
    hkb_node *of_object = object->local->deliveries.head.next;
    hkb_node *of_contract = contract->deliveries.head.next;
    while (of_object != &object->local->deliveries.head &&
           of_contract != &contract->deliveries.head) {
        hkb_delivery *delivery = HKB_CONTAINER(of_object, hkb_delivery, of_object);
        if (delivery->contract == contract) {
            return delivery;
        }
        delivery = HKB_CONTAINER(of_contract, hkb_delivery, of_contract);
        if (delivery->object == object) {
            return delivery;
        }
        of_object = of_object->next;
        of_contract = of_contract->next;
    }
    return NULL;
}

hakuban_status hkb_object_open_delivery(hkb_object *object, hakuban_contract *contract)
{
    hkb_delivery *delivery = delivery_find(object, contract);
    if (delivery) {
        delivery->closing = false; /* the user was not told yet that it went */
        hkb_delivery_touch(delivery);
        return HAKUBAN_OK;
    }
    hakuban_status status = hkb_object_make_local(object);
    delivery = status >= 0 ? hkb_alloc(object->exchange->alloc, sizeof(*delivery)) : NULL;
    if (!delivery) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hkb_charge(object->exchange, NULL, sizeof(*delivery), 0);
    delivery->contract = contract;
    delivery->object = object;
    delivery->among_first = contract->kind == HKB_OBSERVE_TAG && !contract->listed_told;
    set_awaited(delivery, delivery->among_first);
    hkb_list_push(&contract->deliveries, &delivery->of_contract);
    hkb_list_push(&object->local->deliveries, &delivery->of_object);
    hkb_delivery_touch(delivery);
    return HAKUBAN_OK;
}
