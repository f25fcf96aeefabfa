/* The public contracts, events and sinks: the core's functions with the mutex around them, and the
 * calls of on_freed. */
#include "runtime/runtime.h"

static hakuban_exchange *exchange_of(const hakuban_contract *contract)
{
    return hkb_exchange_ctx(hkb_contract_exchange(contract));
}

/* -- Beginning -- */

struct wish {
    hkb_contract_kind kind;
    hakuban_descriptor *descriptor;
    hakuban_slice tag;
    uint32_t capacity;
};

static hakuban_status make(hakuban_exchange *exchange, const struct wish *wish,
                           const hakuban_contract_options *options, hakuban_contract **ret)
{
    hkb_contract_side *side = hkb_alloc(exchange->alloc, sizeof(*side));
    if (!side) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    side->on_event = options->on_event;
    side->on_freed = options->on_freed;
    side->user = options->user;
    hakuban_queue *queue = options->queue;
    hakuban_status status = HAKUBAN_OK;
    if (!queue) {
        status = hkb_queue_side_new(exchange, options->on_event ? side : NULL, &side->own);
        queue = side->own;
    }
    if (status >= 0) {
        status = hkb_contract_new(exchange->core, wish->kind, wish->descriptor, wish->tag,
                                  wish->capacity, queue, options->user, &side->contract);
    }
    if (status < 0) {
        if (side->own) {
            hkb_queue_side_free(*hkb_queue_host(side->own));
        }
        hkb_free(exchange->alloc, side, sizeof(*side));
        return status;
    }
    *hkb_contract_host(side->contract) = side;
    exchange->handles++;
    *ret = side->contract;
    return HAKUBAN_OK;
}

static hakuban_status begin(hakuban_exchange *exchange, struct wish wish,
                            const hakuban_contract_options *options, hakuban_contract **ret)
{
    hakuban_contract_options wanted = {.size = sizeof(wanted)};
    if (options && options->size < offsetof(hakuban_contract_options, draining)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (options && !hkb_sized_read(&wanted, sizeof(wanted), options, options->size)) {
        return HAKUBAN_ERR_UNSUPPORTED;
    }
    if (wanted.queue && (wanted.on_event || hkb_queue_exchange(wanted.queue) != exchange->core)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    wish.capacity = wanted.capacity ? wanted.capacity : 1;
    if (wanted.draining) {
        wish.capacity = 0;
    }
    hkb_runtime_enter(exchange);
    hakuban_status status =
        exchange->closing ? HAKUBAN_ERR_CLOSED : make(exchange, &wish, &wanted, ret);
    hkb_runtime_leave(exchange);
    return status;
}

static hakuban_status begin_object(hakuban_exchange *exchange, hkb_contract_kind kind,
                                   hakuban_descriptor *descriptor,
                                   const hakuban_contract_options *options, hakuban_contract **ret)
{
    if (!exchange || !descriptor || !ret) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return begin(exchange, (struct wish){.kind = kind, .descriptor = descriptor}, options, ret);
}

static hakuban_status begin_tag(hakuban_exchange *exchange, hkb_contract_kind kind,
                                const char *tag_json, const hakuban_contract_options *options,
                                hakuban_contract **ret, hakuban_error *reterr)
{
    if (!exchange || !tag_json || !ret) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "%s",
                                 hakuban_status_text(HAKUBAN_ERR_ARGUMENT));
    }
    char text[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    size_t bytes = 0;
    hakuban_slice json = {.data = tag_json, .bytes = strlen(tag_json)};
    hakuban_status status = hkb_tag_canonical(exchange->alloc, json, text, &bytes, reterr);
    if (status < 0) {
        return status;
    }
    struct wish wish = {.kind = kind, .tag = {.data = text, .bytes = bytes}};
    status = begin(exchange, wish, options, ret);
    return status < 0 ? hakuban_error_set(reterr, status, "%s", hakuban_status_text(status))
                      : status;
}

hakuban_status hakuban_observe_object(hakuban_exchange *exchange, hakuban_descriptor *descriptor,
                                      const hakuban_contract_options *options,
                                      hakuban_contract **ret)
{
    return begin_object(exchange, HKB_OBSERVE_OBJECT, descriptor, options, ret);
}

hakuban_status hakuban_expose_object(hakuban_exchange *exchange, hakuban_descriptor *descriptor,
                                     const hakuban_contract_options *options,
                                     hakuban_contract **ret)
{
    return begin_object(exchange, HKB_EXPOSE_OBJECT, descriptor, options, ret);
}

hakuban_status hakuban_observe_tag(hakuban_exchange *exchange, const char *tag_json,
                                   const hakuban_contract_options *options, hakuban_contract **ret,
                                   hakuban_error *reterr)
{
    return begin_tag(exchange, HKB_OBSERVE_TAG, tag_json, options, ret, reterr);
}

hakuban_status hakuban_expose_tag(hakuban_exchange *exchange, const char *tag_json,
                                  const hakuban_contract_options *options, hakuban_contract **ret,
                                  hakuban_error *reterr)
{
    return begin_tag(exchange, HKB_EXPOSE_TAG, tag_json, options, ret, reterr);
}

hakuban_status hakuban_preload_tag(hakuban_exchange *exchange, const char *tag_json,
                                   const hakuban_contract_options *options, hakuban_contract **ret,
                                   hakuban_error *reterr)
{
    return begin_tag(exchange, HKB_PRELOAD_TAG, tag_json, options, ret, reterr);
}

/* -- End -- */

/* What on_freed is called with once the mutex is released. */
struct farewell {
    void (*on_freed)(void *user);
    void *user;
};

/* The last of hakuban_contract_free() and hakuban_event_done() ends up here with nothing out any
 * more. */
static struct farewell finish(hakuban_exchange *exchange, hkb_contract_side *side)
{
    struct farewell farewell = {.on_freed = side->on_freed, .user = side->user};
    *hkb_contract_host(side->contract) = NULL;
    exchange->handles--;
    hkb_contract_unref(side->contract);
    hkb_free(exchange->alloc, side, sizeof(*side));
    return farewell;
}

static void say(struct farewell farewell)
{
    if (farewell.on_freed) {
        farewell.on_freed(farewell.user);
    }
}

hakuban_contract *hakuban_contract_free(hakuban_contract *contract)
{
    if (!contract) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    struct farewell farewell = {0};
    if (hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    hkb_runtime_enter(exchange);
    hkb_contract_side *side = *hkb_contract_host(contract);
    hakuban_queue *queue = hkb_contract_queue(contract);
    hkb_contract_end(contract);
    side->ended = true;
    if (side->own) {
        hkb_queue_side_free(*hkb_queue_host(side->own));
    } else if (queue) {
        hkb_queue_side_refresh(*hkb_queue_host(queue));
    }
    side->own = NULL;
    if (!side->events_out) {
        farewell = finish(exchange, side);
    }
    hkb_runtime_leave(exchange);
    say(farewell);
    return NULL;
}

void hakuban_event_done(hakuban_event *event)
{
    if (!event) {
        return;
    }
    hakuban_contract *contract = event->contract;
    if (!contract) { /* a connection's: it holds nothing */
        memset(event, 0, event->size);
        return;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    struct farewell farewell = {0};
    if (hkb_runtime_is_inherited(exchange)) {
        return;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hkb_contract_side *side = *hkb_contract_host(contract);
    hkb_event_done(event);
    if (!--side->events_out && side->ended) {
        farewell = finish(exchange, side);
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    say(farewell);
}

/* -- In between -- */

hakuban_status hakuban_contract_set_capacity(hakuban_contract *contract, uint32_t capacity)
{
    if (!contract) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    hkb_runtime_enter(exchange);
    hakuban_status status = hkb_contract_set_capacity(contract, capacity);
    hkb_runtime_leave(exchange);
    return status;
}

hakuban_queue *hakuban_contract_queue(hakuban_contract *contract)
{
    if (!contract) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    (void)pthread_mutex_lock(&exchange->mutex);
    hkb_contract_side *side = *hkb_contract_host(contract);
    hakuban_queue *queue = side->on_event ? NULL : hkb_contract_queue(contract);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return queue;
}

hakuban_exchange *hakuban_contract_exchange(const hakuban_contract *contract)
{
    return contract ? exchange_of(contract) : NULL;
}

const hakuban_descriptor *hakuban_contract_object(const hakuban_contract *contract)
{
    if (!contract) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    (void)pthread_mutex_lock(&exchange->mutex);
    const hakuban_descriptor *object = hkb_contract_object(contract);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return object;
}

const char *hakuban_contract_tag(const hakuban_contract *contract)
{
    if (!contract) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    (void)pthread_mutex_lock(&exchange->mutex);
    const char *tag = hkb_contract_tag(contract);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return tag;
}

void *hakuban_contract_user(const hakuban_contract *contract)
{
    return contract ? hkb_contract_user(contract) : NULL;
}

hakuban_status hakuban_contract_peek_sized(hakuban_contract *contract,
                                           const hakuban_descriptor *object,
                                           hakuban_event *ret_event, size_t event_bytes)
{
    hakuban_event event;
    if (!contract || !ret_event || event_bytes < HKB_EVENT_BYTES_MIN) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_exchange *exchange = exchange_of(contract);
    hkb_runtime_enter(exchange);
    hakuban_status status = hkb_contract_peek(contract, object, &event);
    if (status >= 0) {
        hkb_event_give(ret_event, event_bytes, &event);
        hkb_contract_side *side = *hkb_contract_host(contract);
        side->events_out++;
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    return status;
}

/* -- Sinks -- */

static hakuban_exchange *exchange_of_sink(const hakuban_sink *sink)
{
    return hkb_exchange_ctx(hkb_sink_exchange(sink));
}

hakuban_status hakuban_sink_send(hakuban_sink *sink, hakuban_state *state)
{
    if (!sink || !state) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_exchange *exchange = exchange_of_sink(sink);
    hkb_runtime_enter_to_send(exchange);
    hakuban_status status = hkb_sink_send(sink, state);
    hkb_runtime_leave(exchange);
    return status;
}

hakuban_status hakuban_sink_send_json(hakuban_sink *sink, const char *json, hakuban_error *reterr)
{
    if (!sink) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "there is no sink");
    }
    hakuban_state *state = NULL;
    hakuban_status status = hakuban_state_new_json(json, &state, reterr);
    if (status < 0) {
        return status;
    }
    status = hakuban_sink_send(sink, state);
    (void)hakuban_state_unref(state);
    return status < 0 ? hakuban_error_set(reterr, status, "%s", hakuban_status_text(status))
                      : status;
}

size_t hakuban_sink_version(const hakuban_sink *sink, int64_t *ret_version)
{
    if (!sink || !ret_version) {
        return 0;
    }
    hakuban_exchange *exchange = exchange_of_sink(sink);
    (void)pthread_mutex_lock(&exchange->mutex);
    const hkb_version *last = hkb_sink_last_version(sink);
    size_t count = last->count;
    memcpy(ret_version, last->elements, count * sizeof(last->elements[0]));
    (void)pthread_mutex_unlock(&exchange->mutex);
    return count;
}

const hakuban_descriptor *hakuban_sink_object(const hakuban_sink *sink)
{
    return sink ? hkb_sink_object(sink) : NULL;
}

hakuban_sink *hakuban_sink_ref(hakuban_sink *sink)
{
    if (!sink) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of_sink(sink);
    (void)pthread_mutex_lock(&exchange->mutex);
    hkb_sink_ref(sink);
    exchange->handles++;
    (void)pthread_mutex_unlock(&exchange->mutex);
    return sink;
}

hakuban_sink *hakuban_sink_unref(hakuban_sink *sink)
{
    if (!sink) {
        return NULL;
    }
    hakuban_exchange *exchange = exchange_of_sink(sink);
    if (hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hkb_sink_unref(sink);
    exchange->handles--;
    (void)pthread_mutex_unlock(&exchange->mutex);
    return NULL;
}
