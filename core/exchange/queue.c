/* Queues of events: one entry for each contract and object. An event is made only when it is taken,
 * so that the user sees the newest state. */
#include "exchange/agenda.h"
#include "exchange/delivery.h"
#include "exchange/facts.h"

/* Events keep what they point to: the exchange in internal[0], a state that holds the floor's
 * version in internal[1]. */

hakuban_status hkb_queue_new(hkb_exchange *exchange, hakuban_queue **ret)
{
    hakuban_queue *queue = hkb_alloc(exchange->alloc, sizeof(*queue));
    if (!queue) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    queue->exchange = exchange;
    hkb_list_init(&queue->entries);
    hkb_list_init(&queue->contracts);
    *ret = queue;
    return HAKUBAN_OK;
}

void hkb_queue_free(hakuban_queue *queue)
{
    hkb_node *node;
    while (hkb_list_pop(&queue->entries))
        ;
    while ((node = hkb_list_pop(&queue->contracts))) {
        HKB_CONTAINER(node, hakuban_contract, of_queue)->queue = NULL;
    }
    hkb_free(queue->exchange->alloc, queue, sizeof(*queue));
}

bool hkb_queue_is_empty(const hakuban_queue *queue)
{
    return hkb_list_empty(&queue->entries);
}

void **hkb_queue_host(hakuban_queue *queue)
{
    return &queue->host;
}

hkb_exchange *hkb_queue_exchange(const hakuban_queue *queue)
{
    return queue->exchange;
}

void hkb_queue_push_connection(hakuban_queue *queue, hkb_connection_entry *entry)
{
    hkb_entry_push(queue, &entry->entry, HKB_ENTRY_CONNECTION);
}

/* -- Taking events -- */

static void fill_condition(const hkb_object *object, hakuban_event *ret)
{
    ret->object = hakuban_descriptor_ref(object->descriptor);
    ret->freshness = (hakuban_freshness)object->freshness;
    ret->source = (hakuban_source)object->source;
    ret->age_ns = hkb_object_age_ns(object);
}

static void fill_contract(hakuban_contract *contract, hakuban_event *ret)
{
    *ret = (hakuban_event){.size = sizeof(*ret), .contract = contract};
    ret->user = contract->user;
    ret->internal[0] = contract->exchange;
    hkb_contract_ref(contract);
}

static void fill_state(hkb_object *object, hakuban_event *ret)
{
    fill_condition(object, ret);
    if (object->state) {
        ret->state = hakuban_state_ref(object->state);
    }
}

static void pop_delivery(hkb_delivery *delivery, hakuban_event *ret)
{
    hkb_object *object = delivery->object;
    fill_contract(delivery->contract, ret);
    if (!delivery->open_told) {
        delivery->open_told = true;
        delivery->state = hkb_untold(object->state_count);
        delivery->condition = object->condition_count;
        ret->kind = HAKUBAN_EVENT_OPEN;
        fill_condition(object, ret);
    } else if (object->state && delivery->state != object->state_count) {
        delivery->state = object->state_count;
        delivery->condition = object->condition_count;
        ret->kind = HAKUBAN_EVENT_STATE;
        fill_state(object, ret);
    } else if (!delivery->closing) {
        delivery->condition = object->condition_count;
        ret->kind = HAKUBAN_EVENT_CONDITION;
        fill_state(object, ret);
    } else {
        ret->kind = HAKUBAN_EVENT_CLOSE;
        fill_condition(object, ret);
        hkb_delivery_free(delivery);
        return;
    }
    hkb_delivery_told(delivery);
}

static void fill_floor(const hakuban_sink *sink, hakuban_event *ret)
{
    hakuban_state *floor = sink->object ? hkb_object_floor(sink->object) : NULL;
    if (!floor) {
        return;
    }
    ret->internal[1] = hakuban_state_ref(floor);
    ret->version = floor->version;
    ret->version_count = floor->version_count;
}

static void pop_sink(hakuban_sink *sink, hakuban_event *ret)
{
    fill_contract(sink->contract, ret);
    ret->object = hakuban_descriptor_ref(sink->descriptor);
    ret->sink = sink;
    if (!sink->open_told) {
        sink->open_told = true;
        sink->floor_due = false;
        ret->kind = HAKUBAN_EVENT_SINK_OPEN;
        fill_floor(sink, ret);
        hkb_sink_ref(sink);
    } else if (sink->open) {
        sink->floor_due = false;
        ret->kind = HAKUBAN_EVENT_FLOOR;
        fill_floor(sink, ret);
        hkb_sink_ref(sink);
    } else {
        ret->kind = HAKUBAN_EVENT_SINK_CLOSE; /* the exchange's own reference goes with the event */
        hkb_list_remove(&sink->of_contract);
    }
}

bool hkb_queue_pop(hakuban_queue *queue, hakuban_event *ret)
{
    hkb_node *node = hkb_list_pop(&queue->entries);
    if (!node) {
        return false;
    }
    hkb_entry *entry = HKB_CONTAINER(node, hkb_entry, queued);
    switch ((hkb_entry_kind)entry->kind) {
    case HKB_ENTRY_DELIVERY:
        pop_delivery(HKB_CONTAINER(entry, hkb_delivery, entry), ret);
        break;
    case HKB_ENTRY_SINK:
        pop_sink(HKB_CONTAINER(entry, hakuban_sink, entry), ret);
        break;
    case HKB_ENTRY_LISTED: {
        hakuban_contract *contract = HKB_CONTAINER(entry, hakuban_contract, listed);
        fill_contract(contract, ret);
        ret->kind = HAKUBAN_EVENT_LISTED;
        hkb_contract_listed_read(contract);
        break;
    }
    case HKB_ENTRY_COMPLETE:
        fill_contract(HKB_CONTAINER(entry, hakuban_contract, listed), ret);
        ret->kind = HAKUBAN_EVENT_COMPLETE;
        break;
    case HKB_ENTRY_CONNECTION: {
        hkb_connection_entry *connection = HKB_CONTAINER(entry, hkb_connection_entry, entry);
        *ret = (hakuban_event){
            .size = sizeof(*ret),
            .kind = HAKUBAN_EVENT_CONNECTION,
            .connection = connection->connection,
            .user = connection->user,
        };
        break;
    }
    }
    return true;
}

void hkb_event_done(hakuban_event *event)
{
    hakuban_descriptor_unref((hakuban_descriptor *)(uintptr_t)event->object);
    hakuban_state_unref(event->state);
    hakuban_state_unref(event->internal[1]);
    if (event->sink) {
        hkb_sink_unref(event->sink);
    }
    if (event->contract) {
        hkb_contract_unref(event->contract);
    }
    memset(event, 0, event->size); /* a user's header may have a smaller one */
}

/* -- Looking without taking -- */

static void peek_delivery(hkb_delivery *delivery, hakuban_event *ret)
{
    fill_contract(delivery->contract, ret);
    ret->kind = HAKUBAN_EVENT_STATE;
    fill_state(delivery->object, ret);
    if (ret->source == HAKUBAN_SOURCE_ASSIGNED && hkb_object_source_is_away(delivery->object)) {
        ret->source = HAKUBAN_SOURCE_AWAY;
    }
}

hakuban_status hkb_contract_peek(hakuban_contract *contract, const hakuban_descriptor *descriptor,
                                 hakuban_event *ret)
{
    if (!hkb_contract_observes(contract)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_object *object = contract->object;
    if (descriptor) {
        hkb_object *found = hkb_object_find(contract->exchange, descriptor);
        if (!found || (object && found != object)) {
            return HAKUBAN_ERR_NOT_FOUND;
        }
        object = found;
    }
    if (!object) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    HKB_LIST_EACH(hkb_delivery, delivery, &object->local->deliveries, of_object)
    {
        if (delivery->contract == contract && !delivery->closing) {
            peek_delivery(delivery, ret);
            return HAKUBAN_OK;
        }
    }
    return HAKUBAN_ERR_NOT_FOUND;
}
