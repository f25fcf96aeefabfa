/* What one contract was told of one object, and whether there is news for it. */
#include "exchange/delivery.h"
#include "exchange/account.h"
#include "exchange/agenda.h"

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
    hkb_node *of_object = object->deliveries.head.next;
    hkb_node *of_contract = contract->deliveries.head.next;
    while (of_object != &object->deliveries.head && of_contract != &contract->deliveries.head) {
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
    delivery = hkb_alloc(object->exchange->alloc, sizeof(*delivery));
    if (!delivery) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hkb_charge(object->exchange, NULL, sizeof(*delivery), 0);
    delivery->contract = contract;
    delivery->object = object;
    delivery->among_first = contract->kind == HKB_OBSERVE_TAG && !contract->listed_told;
    set_awaited(delivery, delivery->among_first);
    hkb_list_push(&contract->deliveries, &delivery->of_contract);
    hkb_list_push(&object->deliveries, &delivery->of_object);
    hkb_delivery_touch(delivery);
    return HAKUBAN_OK;
}
