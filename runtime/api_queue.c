/* Queues as threads see them: blocking, a descriptor that polls readable, callbacks on the loop.
 * What an event says is the core's. */
#define _GNU_SOURCE

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/runtime.h"

#define CALLBACKS_PER_TURN 256 /* then descriptors get their turn */

static hkb_queue_side *side_of(hakuban_queue *queue)
{
    return *hkb_queue_host(queue);
}

hakuban_status hkb_queue_side_new(hakuban_exchange *exchange, hkb_contract_side *contract,
                                  hakuban_queue **ret)
{
    hkb_queue_side *side = hkb_alloc(exchange->alloc, sizeof(*side));
    if (!side) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    pthread_condattr_t attributes;
    int failure = pthread_condattr_init(&attributes);
    if (!failure) {
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        failure = pthread_cond_init(&side->filled, &attributes);
        (void)pthread_condattr_destroy(&attributes);
    }
    if (failure) {
        hkb_free(exchange->alloc, side, sizeof(*side));
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hakuban_status status = hkb_queue_new(exchange->core, &side->queue);
    if (status < 0) {
        (void)pthread_cond_destroy(&side->filled);
        hkb_free(exchange->alloc, side, sizeof(*side));
        return status;
    }
    side->exchange = exchange;
    side->contract = contract;
    side->fd = -1;
    *hkb_queue_host(side->queue) = side;
    hkb_list_push(&exchange->queues, &side->node);
    *ret = side->queue;
    return HAKUBAN_OK;
}

static void bury(hkb_queue_side *side)
{
    hkb_list_remove(&side->node);
    hkb_list_remove(&side->ready);
    hkb_list_remove(&side->callback);
    hkb_queue_free(side->queue);
    if (side->fd >= 0) {
        (void)close(side->fd);
    }
    (void)pthread_cond_destroy(&side->filled);
    hkb_free(side->exchange->alloc, side, sizeof(*side));
}

void hkb_queue_side_free(hkb_queue_side *side)
{
    if (!side->users) {
        bury(side);
        return;
    }
    side->doomed = true;
    hkb_list_remove(&side->callback);
    (void)pthread_cond_broadcast(&side->filled);
}

static void side_release(hkb_queue_side *side)
{
    if (!--side->users && side->doomed) {
        bury(side);
    }
}

/* -- Telling -- */

void hkb_queue_side_ready(void *ctx, hakuban_queue *queue)
{
    hakuban_exchange *exchange = ctx;
    hkb_queue_side *side = side_of(queue);
    if (!side || side->doomed) {
        return;
    }
    if (side->contract) {
        if (!hkb_node_linked(&side->callback)) {
            hkb_list_push(&exchange->callbacks, &side->callback);
        }
    } else if (!hkb_node_linked(&side->ready)) {
        hkb_list_push(&exchange->ready_queues, &side->ready);
    }
}

void hkb_queue_side_refresh(hkb_queue_side *side)
{
    bool readable = !hkb_queue_is_empty(side->queue) || side->exchange->closed;
    if (side->fd < 0 || side->raised == readable) {
        return;
    }
    eventfd_t value = 0;
    if (readable) {
        (void)eventfd_write(side->fd, 1);
    } else {
        (void)eventfd_read(side->fd, &value);
    }
    side->raised = readable;
}

void hkb_queue_side_tell(hakuban_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->ready_queues))) {
        hkb_queue_side *side = HKB_CONTAINER(node, hkb_queue_side, ready);
        hkb_queue_side_refresh(side);
        if (side->users) {
            (void)pthread_cond_broadcast(&side->filled);
        }
    }
}

/* -- Taking -- */

static bool take(hkb_queue_side *side, hakuban_event *ret)
{
    hakuban_exchange *exchange = side->exchange;
    bool taken = hkb_queue_pop(side->queue, ret);
    hkb_queue_side_refresh(side);
    if (!taken) {
        return false;
    }
    /* Ages are as of the last entry; the clock is read again only for an event that tells one. */
    if (ret->object && ret->freshness == HAKUBAN_STALE) {
        ret->age_ns += hkb_runtime_clock_ns() - exchange->now_ns;
    }
    hkb_exchange_settle(exchange->core); /* what was told to be gone is gone now */
    if (ret->contract) {
        hkb_contract_side *contract = *hkb_contract_host(ret->contract);
        contract->events_out++;
    }
    return true;
}

void hkb_event_give(hakuban_event *ret, size_t ret_bytes, const hakuban_event *event)
{
    hkb_sized_write(ret, ret_bytes, event, sizeof(*event));
    ret->size = (uint32_t)hkb_min(ret_bytes, sizeof(*event));
}

hakuban_status hakuban_queue_next_sized(hakuban_queue *queue, int timeout_ms,
                                        hakuban_event *ret_event, size_t event_bytes)
{
    hakuban_event event;
    if (!queue || !ret_event || event_bytes < HKB_EVENT_BYTES_MIN) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_queue_side *side = side_of(queue);
    hakuban_exchange *exchange = side->exchange;
    (void)pthread_mutex_lock(&exchange->mutex);
    if (take(side, &event)) { /* the usual case pays for no clock */
        hkb_runtime_leave(exchange);
        hkb_event_give(ret_event, event_bytes, &event);
        return HAKUBAN_OK;
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    hkb_runtime_enter(exchange);
    uint64_t until_ns = hkb_runtime_until(exchange->now_ns, timeout_ms);
    hakuban_status status = HAKUBAN_OK;
    bool in_time = timeout_ms != 0;
    side->users++;
    while (!take(side, &event)) {
        if (exchange->closed || side->doomed) {
            status = HAKUBAN_ERR_CLOSED;
        } else if (timeout_ms != 0 && atomic_exchange(&side->woken, false)) {
            status = HAKUBAN_ERR_INTERRUPTED;
        } else {
            status = hkb_runtime_may_wait(exchange, in_time);
        }
        if (status < 0) {
            break;
        }
        in_time = hkb_runtime_wait(exchange, &side->filled, until_ns);
    }
    side_release(side);
    hkb_runtime_leave(exchange);
    if (status >= 0) {
        hkb_event_give(ret_event, event_bytes, &event);
    }
    return status;
}

void hakuban_queue_wake(hakuban_queue *queue)
{
    if (!queue) {
        return;
    }
    hkb_queue_side *side = side_of(queue);
    atomic_store(&side->woken, true);
    atomic_store(&side->exchange->has_woken, true);
    hkb_loop_wake(side->exchange->loop);
}

void hkb_queue_side_tell_woken(hakuban_exchange *exchange)
{
    if (!atomic_exchange(&exchange->has_woken, false)) {
        return;
    }
    HKB_LIST_EACH(hkb_queue_side, side, &exchange->queues, node)
    {
        if (side->users && atomic_load(&side->woken)) {
            (void)pthread_cond_broadcast(&side->filled);
        }
    }
}

/* -- Callbacks -- */

void hkb_queue_side_run_callbacks(hakuban_exchange *exchange)
{
    (void)pthread_mutex_lock(&exchange->mutex);
    exchange->in_callback = true;
    hkb_node *node;
    for (unsigned count = 0;
         count < CALLBACKS_PER_TURN && (node = hkb_list_pop(&exchange->callbacks)); count++) {
        hkb_queue_side *side = HKB_CONTAINER(node, hkb_queue_side, callback);
        hkb_contract_side *contract = side->contract;
        hakuban_event event;
        if (!take(side, &event)) {
            continue;
        }
        if (!hkb_node_linked(&side->callback)) { /* else the queue has something new already */
            hkb_list_push(&exchange->callbacks, &side->callback); /* once more, behind the others */
        }
        side->users++;
        (void)pthread_mutex_unlock(&exchange->mutex);
        /* The event that is out keeps contract alive. */
        contract->on_event(contract->user, &event);
        hakuban_event_done(&event);
        (void)pthread_mutex_lock(&exchange->mutex);
        side_release(side);
    }
    exchange->in_callback = false;
    (void)pthread_cond_broadcast(&exchange->changed); /* hakuban_exchange_free() may wait */
    (void)pthread_mutex_unlock(&exchange->mutex);
}

/* -- The public rest -- */

hakuban_status hakuban_queue_new(hakuban_exchange *exchange, hakuban_queue **ret)
{
    if (!exchange || !ret) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    hakuban_status status = hkb_queue_side_new(exchange, NULL, ret);
    exchange->handles += status >= 0;
    hkb_runtime_leave(exchange);
    return status;
}

hakuban_queue *hakuban_queue_free(hakuban_queue *queue)
{
    if (!queue) {
        return NULL;
    }
    hkb_queue_side *side = side_of(queue);
    hakuban_exchange *exchange = side->exchange;
    if (hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    hkb_runtime_enter(exchange);
    exchange->handles--;
    hkb_dialer_forget_queue(exchange, queue);
    hkb_queue_side_free(side);
    hkb_runtime_leave(exchange);
    return NULL;
}

int hakuban_queue_fd(hakuban_queue *queue)
{
    if (!queue) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_queue_side *side = side_of(queue);
    (void)pthread_mutex_lock(&side->exchange->mutex);
    if (side->fd < 0) {
        side->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int fd = side->fd;
    hkb_queue_side_refresh(side);
    (void)pthread_mutex_unlock(&side->exchange->mutex);
    return fd < 0 ? (int)HAKUBAN_ERR_IO : fd;
}
