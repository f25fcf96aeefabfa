/* Queues of events: one entry per contract and object, read as late as possible so that the newest
 * state is what is seen. */
#include "exchange/internal.h"

/* Events keep what they point to: the exchange in reserved[0], a state that holds the floor's
 * version in reserved[1]. */

hakuban_status hkb_queue_new(hkb_exchange *exchange, hakuban_queue **ret)
{
    hakuban_queue *queue = hkb_alloc(exchange->alloc, sizeof(*queue));
    if (!queue) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    queue->exchange = exchange;
    hkb_list_init(&queue->entries);
    *ret = queue;
    return HAKUBAN_OK;
}

void hkb_queue_free(hakuban_queue *queue)
{
    hkb_exchange *exchange = queue->exchange;
    while (hkb_list_pop(&queue->entries))
        ;
    HKB_LIST_EACH(hakuban_contract, contract, &exchange->contracts, of_exchange)
    {
        if (contract->queue == queue) {
            contract->queue = NULL;
        }
    }
    hkb_free(exchange->alloc, queue, sizeof(*queue));
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

void hkb_entry_push(hakuban_queue *queue, hkb_entry *entry, hkb_entry_kind kind)
{
    if (!queue || hkb_node_linked(&entry->queued)) {
        return;
    }
    bool was_empty = hkb_list_empty(&queue->entries);
    entry->kind = (uint8_t)kind;
    hkb_list_push(&queue->entries, &entry->queued);
    if (was_empty) {
        queue->exchange->host.queue_ready(queue->exchange->host.ctx, queue);
    }
}

void hkb_queue_push_connection(hakuban_queue *queue, hkb_connection_entry *entry)
{
    hkb_entry_push(queue, &entry->entry, HKB_ENTRY_CONNECTION);
}

void hkb_entry_cancel(hkb_entry *entry)
{
    hkb_list_remove(&entry->queued);
}

/* -- Observers -- */

void hkb_delivery_free(hkb_delivery *delivery)
{
    hkb_list_remove(&delivery->entry.queued);
    hkb_list_remove(&delivery->of_contract);
    hkb_list_remove(&delivery->of_object);
    hkb_object_mark(delivery->object);
    hkb_free(delivery->object->exchange->alloc, delivery, sizeof(*delivery));
}

static bool delivery_has_news(const hkb_delivery *delivery)
{
    const hkb_object *object = delivery->object;
    return !delivery->open_told || delivery->closing ||
           (object->state && delivery->state != object->state_count) ||
           delivery->condition != object->condition_count;
}

void hkb_delivery_touch(hkb_delivery *delivery)
{
    if (!delivery_has_news(delivery)) {
        return;
    }
    if (delivery->closing && !delivery->open_told) {
        hkb_delivery_free(delivery); /* nobody ever heard of it */
        return;
    }
    hkb_entry_push(delivery->contract->queue, &delivery->entry, HKB_ENTRY_DELIVERY);
}

static void fill_condition(const hkb_object *object, hakuban_event *ret)
{
    ret->object = hakuban_descriptor_ref(object->descriptor);
    ret->freshness = (hakuban_freshness)object->freshness;
    ret->source = (hakuban_source)object->source;
    ret->age_ns = hkb_object_age_ns(object);
}

static void fill_contract(hakuban_contract *contract, hakuban_event *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->contract = contract;
    ret->user = contract->user;
    ret->reserved[0] = contract->exchange;
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
        delivery->state = object->state_count - 1;
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
    hkb_delivery_touch(delivery);
}

void hkb_delivery_peek(hkb_delivery *delivery, hakuban_event *ret)
{
    fill_contract(delivery->contract, ret);
    ret->kind = HAKUBAN_EVENT_STATE;
    fill_state(delivery->object, ret);
    if (ret->source == HAKUBAN_SOURCE_ASSIGNED && hkb_object_source_is_away(delivery->object)) {
        ret->source = HAKUBAN_SOURCE_AWAY;
    }
}

/* -- Sinks -- */

hakuban_status hkb_sink_new(hkb_object *object, hakuban_contract *contract, hakuban_sink **ret)
{
    hakuban_sink *sink = hkb_alloc(object->exchange->alloc, sizeof(*sink));
    if (!sink) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    sink->references = 1;
    sink->open = true;
    sink->exchange = object->exchange;
    sink->tie = (uint32_t)object->exchange->host.random(object->exchange->host.ctx);
    sink->contract = contract;
    sink->object = object;
    sink->descriptor = hakuban_descriptor_ref(object->descriptor);
    hkb_list_push(&contract->sinks, &sink->of_contract);
    hkb_entry_push(contract->queue, &sink->entry, HKB_ENTRY_SINK);
    *ret = sink;
    return HAKUBAN_OK;
}

void hkb_sink_ref(hakuban_sink *sink)
{
    sink->references++;
}

void hkb_sink_unref(hakuban_sink *sink)
{
    if (--sink->references) {
        return;
    }
    hkb_list_remove(&sink->entry.queued);
    hkb_list_remove(&sink->of_contract);
    hakuban_descriptor_unref(sink->descriptor);
    hkb_free(sink->exchange->alloc, sink, sizeof(*sink));
}

void hkb_sink_revoke(hakuban_sink *sink)
{
    sink->open = false;
    sink->object = NULL;
    if (!sink->open_told) { /* nobody ever heard of it */
        hkb_list_remove(&sink->entry.queued);
        hkb_sink_unref(sink);
    } else {
        hkb_entry_push(sink->contract->queue, &sink->entry, HKB_ENTRY_SINK);
    }
}

const hakuban_descriptor *hkb_sink_object(const hakuban_sink *sink)
{
    return sink->descriptor;
}

hkb_exchange *hkb_sink_exchange(const hakuban_sink *sink)
{
    return sink->exchange;
}

/* The next automatic version over everything known here. */
static hakuban_status next_version(const hakuban_sink *sink, hkb_version *ret)
{
    const hakuban_state *known = hkb_object_floor(sink->object);
    hkb_version last = sink->last;
    if (known && !HKB_PLANTED(wall_clock)) {
        hkb_version floor = hkb_state_version(known);
        if (hkb_version_compare(&floor, &last) > 0) {
            last = floor;
        }
    }
    return hkb_version_next(&last, sink->exchange->wall_ns, sink->tie, ret);
}

static hakuban_status check_version(const hakuban_sink *sink, const hkb_version *version)
{
    const hakuban_state *known = hkb_object_floor(sink->object);
    if (hkb_version_compare(version, &sink->last) < 0) {
        return HAKUBAN_ERR_VERSION;
    }
    if (known && hakuban_version_compare(version->elements, version->count, known->version,
                                         known->version_count) < 0) {
        return HAKUBAN_ERR_VERSION;
    }
    return HAKUBAN_OK;
}

static hakuban_status publish(hakuban_sink *sink, hakuban_state *state, const hkb_version *version)
{
    hakuban_state *versioned;
    hakuban_status status =
        hkb_state_with_version(sink->exchange->alloc, state, version, &versioned);
    if (status < 0) {
        return status;
    }
    sink->last = *version;
    hkb_object_hear(sink->object, versioned, HAKUBAN_LIVE, 0);
    return HAKUBAN_OK;
}

hakuban_status hkb_sink_send(hakuban_sink *sink, hakuban_state *state)
{
    hkb_version version;
    if (!sink->open) {
        return HAKUBAN_ERR_REVOKED;
    }
    const hkb_share *upstream = sink->object->upstream;
    if (upstream && upstream->out_phase == HKB_CHANNEL_OPEN &&
        state->data_bytes > upstream->peer->link.peer_state_bytes_max) {
        return HAKUBAN_ERR_LIMIT;
    }
    hakuban_status status = HAKUBAN_OK;
    bool automatic = state->version_count == 0;
    if (automatic) {
        status = next_version(sink, &version);
    } else {
        version = hkb_state_version(state);
        status = check_version(sink, &version);
    }
    if (status < 0) {
        return status;
    }
    status = publish(sink, state, &version);
    if (status >= 0) {
        sink->automatic = automatic;
    }
    return status;
}

/* With automatic versions the last state is published again above the floor; with the user's own,
 * the user decides. */
void hkb_sink_number_on(hakuban_sink *sink)
{
    hkb_object *object = sink->object;
    hkb_version version;
    bool sent_last = object->state && sink->last.count &&
                     hakuban_version_compare(object->state->version, object->state->version_count,
                                             sink->last.elements, sink->last.count) == 0;
    if (sink->automatic && sent_last) {
        hakuban_status status = next_version(sink, &version);
        if (status >= 0) {
            status = publish(sink, object->state, &version);
        }
        if (status == HAKUBAN_ERR_NO_MEMORY) {
            object->retry_due = 1;
            hkb_object_mark(object);
        }
    } else if (sent_last && object->freshness == HAKUBAN_LIVE) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
}

void hkb_sink_floor(hakuban_sink *sink)
{
    sink->floor_due = true;
    if (sink->open_told) {
        hkb_entry_push(sink->contract->queue, &sink->entry, HKB_ENTRY_SINK);
    }
    hkb_sink_number_on(sink);
}

static void fill_floor(const hakuban_sink *sink, hakuban_event *ret)
{
    hakuban_state *floor = sink->object ? hkb_object_floor(sink->object) : NULL;
    if (!floor) {
        return;
    }
    ret->reserved[1] = hakuban_state_ref(floor);
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

/* -- Taking events -- */

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
    case HKB_ENTRY_LISTED:
        fill_contract(HKB_CONTAINER(entry, hakuban_contract, listed), ret);
        ret->kind = HAKUBAN_EVENT_LISTED;
        break;
    case HKB_ENTRY_CONNECTION: {
        hkb_connection_entry *connection = HKB_CONTAINER(entry, hkb_connection_entry, entry);
        memset(ret, 0, sizeof(*ret));
        ret->kind = HAKUBAN_EVENT_CONNECTION;
        ret->connection = connection->connection;
        ret->user = connection->user;
        break;
    }
    }
    return true;
}

void hkb_event_done(hakuban_event *event)
{
    hakuban_descriptor_unref((hakuban_descriptor *)(uintptr_t)event->object);
    hakuban_state_unref(event->state);
    hakuban_state_unref(event->reserved[1]);
    if (event->sink) {
        hkb_sink_unref(event->sink);
    }
    if (event->contract) {
        hkb_contract_unref(event->contract);
    }
    memset(event, 0, sizeof(*event));
}
