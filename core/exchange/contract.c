/* Contracts: a user's declared interest, and its place among those of an object or tag. */
#include "exchange/agenda.h"
#include "exchange/assignment.h"
#include "exchange/delivery.h"
#include "exchange/lifetimes.h"
#include "exchange/settle.h"

static bool is_expose(hkb_contract_kind kind)
{
    return kind == HKB_EXPOSE_OBJECT || kind == HKB_EXPOSE_TAG;
}

static void join_object(hakuban_contract *contract)
{
    hkb_object *object = contract->object;
    hkb_list_push(&object->local->contracts, &contract->of_subject);
    if (contract->kind == HKB_OBSERVE_OBJECT) {
        object->local->observers++;
    } else {
        object->local->exposers++;
        object->capacity += contract->capacity;
    }
    hkb_object_mark(object);
}

static hakuban_status join_tag(hakuban_contract *contract)
{
    hkb_tag *tag = contract->tag;
    hkb_list_push(&tag->contracts, &contract->of_subject);
    hkb_tag_mark(tag);
    if (contract->kind == HKB_PRELOAD_TAG) { /* a preload concerns the upstream only */
        tag->local_preloads++;
        return HAKUBAN_OK;
    }
    if (contract->kind == HKB_OBSERVE_TAG) {
        hkb_list_push(&tag->unlisted, &contract->unlisted);
        tag->local_observers++;
    } else {
        tag->local_exposers++;
    }
    if (contract->kind == HKB_EXPOSE_TAG) {
        tag->capacity += contract->capacity;
    }
    hkb_tag_mark_objects(tag);
    if (contract->kind == HKB_EXPOSE_TAG) {
        return HAKUBAN_OK;
    }
    HKB_TAG_OBJECTS_EACH(object, tag)
    {
        hakuban_status status =
            object->exists ? hkb_object_open_delivery(object, contract) : HAKUBAN_OK;
        if (status < 0) {
            return status;
        }
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_contract_new(hkb_exchange *exchange, hkb_contract_kind kind,
                                hakuban_descriptor *descriptor, hakuban_slice tag,
                                uint32_t capacity, hakuban_queue *queue, void *user,
                                hakuban_contract **ret)
{
    bool of_object = kind == HKB_OBSERVE_OBJECT || kind == HKB_EXPOSE_OBJECT;
    hakuban_contract *contract = hkb_alloc(exchange->alloc, sizeof(*contract));
    if (!contract) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    contract->exchange = exchange;
    contract->kind = kind;
    contract->references = 1;
    contract->number = exchange->contract_numbers++;
    contract->capacity = is_expose(kind) ? capacity : 0;
    contract->user = user;
    hkb_list_init(&contract->deliveries);
    hkb_list_init(&contract->sinks);
    hakuban_status status = of_object ? hkb_object_get(exchange, descriptor, &contract->object)
                                      : hkb_tag_get(exchange, tag, &contract->tag);
    if (status >= 0 && of_object) {
        status = hkb_object_make_local(contract->object);
        hkb_object_mark(contract->object); /* it may turn out not to be needed */
    }
    if (status < 0) {
        hkb_free(exchange->alloc, contract, sizeof(*contract));
        return status;
    }
    contract->queue = queue;
    if (queue) {
        hkb_list_push(&queue->contracts, &contract->of_queue);
    }
    hkb_list_push(&exchange->contracts, &contract->of_exchange);
    exchange->contract_count++;
    if (of_object) {
        join_object(contract);
    } else {
        status = join_tag(contract);
    }
    if (kind == HKB_OBSERVE_OBJECT) {
        status = hkb_object_open_delivery(contract->object, contract);
    }
    if (status < 0) {
        hkb_contract_end(contract);
        hkb_contract_unref(contract);
        return status;
    }
    *ret = contract;
    return HAKUBAN_OK;
}

static void leave_subject(hakuban_contract *contract)
{
    hkb_object *object = contract->object;
    hkb_tag *tag = contract->tag;
    hkb_list_remove(&contract->of_subject);
    hkb_list_remove(&contract->unlisted);
    switch (contract->kind) {
    case HKB_OBSERVE_OBJECT:
        object->local->observers--;
        break;
    case HKB_EXPOSE_OBJECT:
        object->local->exposers--;
        object->capacity -= contract->capacity;
        break;
    case HKB_OBSERVE_TAG:
        tag->local_observers--;
        break;
    case HKB_EXPOSE_TAG:
        tag->local_exposers--;
        tag->capacity -= contract->capacity;
        break;
    case HKB_PRELOAD_TAG:
        tag->local_preloads--;
        hkb_tag_mark(tag);
        return;
    }
    if (object) {
        hkb_object_mark(object);
    } else {
        hkb_tag_mark(tag);
        hkb_tag_mark_objects(tag);
    }
}

/* Its sinks close now, and others may be chosen when all is settled. */
static void end_sinks(hakuban_contract *contract)
{
    hkb_node *node;
    while ((node = hkb_list_first(&contract->sinks))) {
        hakuban_sink *sink = HKB_CONTAINER(node, hakuban_sink, of_contract);
        hkb_object *object = sink->object;
        hkb_sink_ref(sink); /* leaving the list may be its end */
        if (object) {
            hkb_assignment_set_sink(object, NULL);
            sink->open = false;
            sink->object = NULL;
        }
        hkb_list_remove(&sink->of_contract);
        hkb_list_remove(&sink->entry.queued);
        hkb_sink_unref(sink); /* the exchange's own */
        hkb_sink_unref(sink);
        if (object) {
            hkb_object_mark(object);
        }
    }
}

/* Other exposers take the contract's objects now, because it may be freed at any moment. */
static void give_up(hkb_object *object, const hakuban_contract *contract)
{
    if (object->assigned.to == HKB_LOCAL && object->assigned.contract == contract) {
        hkb_object_settle(object);
    }
}

static void give_up_all(const hakuban_contract *contract)
{
    if (contract->object) {
        give_up(contract->object, contract);
        return;
    }
    HKB_TAG_OBJECTS_EACH(object, contract->tag)
    {
        give_up(object, contract);
    }
}

void hkb_contract_end(hakuban_contract *contract)
{
    hkb_node *node;
    if (contract->ended) {
        return;
    }
    contract->ended = true;
    leave_subject(contract);
    while ((node = hkb_list_first(&contract->deliveries))) {
        hkb_delivery_free(HKB_CONTAINER(node, hkb_delivery, of_contract));
    }
    end_sinks(contract);
    hkb_list_remove(&contract->listed.queued);
    hkb_list_remove(&contract->of_exchange);
    contract->exchange->contract_count--;
    contract->queue = NULL;
    hkb_list_remove(&contract->of_queue);
    if (is_expose(contract->kind)) {
        give_up_all(contract);
    }
}

void hkb_contract_ref(hakuban_contract *contract)
{
    contract->references++;
}

void hkb_contract_unref(hakuban_contract *contract)
{
    if (--contract->references == 0) {
        hkb_free(contract->exchange->alloc, contract, sizeof(*contract));
    }
}

hakuban_status hkb_contract_set_capacity(hakuban_contract *contract, uint32_t capacity)
{
    if (!is_expose(contract->kind)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    uint64_t *sum = contract->object ? &contract->object->capacity : &contract->tag->capacity;
    *sum += (uint64_t)capacity - contract->capacity;
    contract->capacity = capacity;
    if (contract->object) {
        hkb_object_mark(contract->object);
    } else {
        hkb_tag_mark(contract->tag);
        hkb_tag_mark_objects(contract->tag);
    }
    return HAKUBAN_OK;
}

/* A contract that has ended may outlive its subject. */
const hakuban_descriptor *hkb_contract_object(const hakuban_contract *contract)
{
    return contract->object && !contract->ended ? contract->object->descriptor : NULL;
}

const char *hkb_contract_tag(const hakuban_contract *contract)
{
    return contract->tag && !contract->ended ? contract->tag->json : NULL;
}

void *hkb_contract_user(const hakuban_contract *contract)
{
    return contract->user;
}

hkb_exchange *hkb_contract_exchange(const hakuban_contract *contract)
{
    return contract->exchange;
}

hakuban_queue *hkb_contract_queue(const hakuban_contract *contract)
{
    return contract->queue;
}

void **hkb_contract_host(hakuban_contract *contract)
{
    return &contract->host;
}
