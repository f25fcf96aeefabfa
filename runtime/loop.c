/* The event loop, by libuv: the only file that knows it. A table from descriptor to handle, one
 * timer, one wake-up. */
#define _GNU_SOURCE

#include "runtime/loop.h"

#include <limits.h>

#include <fcntl.h>
#include <unistd.h>

#include <uv.h>

#include <hakuban/plugin/transport.h>

#define LOOP_DESCRIPTORS 6 /* what the first loop of a process takes */

typedef struct watch {
    uv_poll_t poll;
    hkb_loop *loop;
    void *transport, *owner;
    int fd;
    unsigned events; /* as asked for */
    bool armed;      /* libuv disarms by itself what reports an error */
} watch;

struct hkb_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t alarm;
    const hakuban_alloc *alloc;
    hkb_loop_ready_fn ready;
    void *ctx;
    watch **watches; /* by descriptor */
    size_t watch_capacity;
};

static void on_wake(uv_async_t *handle)
{
    (void)handle; /* that the run returns is all that is wanted */
}

/* libuv looks at timers before it waits, too, and without an alarm it would then wait for ever. */
static void on_alarm(uv_timer_t *handle)
{
    uv_stop(handle->loop); /* only this run: it does not wait any more */
}

/* Where the first loop of a process finds no descriptors for its signals, libuv aborts. */
static bool has_descriptors(void)
{
    int fds[LOOP_DESCRIPTORS], count = 0;
    while (count < LOOP_DESCRIPTORS &&
           (fds[count] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0) {
        count++;
    }
    for (int i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    return count == LOOP_DESCRIPTORS;
}

hakuban_status hkb_loop_new(const hakuban_alloc *alloc, hkb_loop_ready_fn ready, void *ctx,
                            hkb_loop **ret)
{
    hkb_loop *loop = hkb_alloc(alloc, sizeof(*loop));
    if (!loop) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    loop->alloc = alloc;
    loop->ready = ready;
    loop->ctx = ctx;
    int failure = has_descriptors() ? uv_loop_init(&loop->uv) : UV_EMFILE;
    if (failure) {
        hkb_free(alloc, loop, sizeof(*loop));
        return failure == UV_ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO;
    }
    failure = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (failure) {
        (void)uv_loop_close(&loop->uv);
        hkb_free(alloc, loop, sizeof(*loop));
        return failure == UV_ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO;
    }
    (void)uv_timer_init(&loop->uv, &loop->alarm); /* never fails */
    *ret = loop;
    return HAKUBAN_OK;
}

static void watch_closed(uv_handle_t *handle)
{
    watch *watched = HKB_CONTAINER(handle, watch, poll);
    hkb_free(watched->loop->alloc, watched, sizeof(*watched));
}

static void watch_forget(hkb_loop *loop, int fd)
{
    watch *watched = loop->watches[fd];
    loop->watches[fd] = NULL;
    /* Takes the descriptor out of the kernel's set at once: its owner may close it right away. */
    (void)uv_poll_stop(&watched->poll);
    uv_close((uv_handle_t *)&watched->poll, watch_closed);
}

hkb_loop *hkb_loop_free(hkb_loop *loop)
{
    if (!loop) {
        return NULL;
    }
    for (size_t fd = 0; fd < loop->watch_capacity; fd++) {
        if (loop->watches[fd]) {
            watch_forget(loop, (int)fd);
        }
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    HKB_ASSERT(uv_loop_close(&loop->uv) == 0);
    hkb_free(loop->alloc, loop->watches, loop->watch_capacity * sizeof(loop->watches[0]));
    hkb_free(loop->alloc, loop, sizeof(*loop));
    return NULL;
}

void hkb_loop_wake(hkb_loop *loop)
{
    (void)uv_async_send(&loop->wake);
}

static void on_poll(uv_poll_t *handle, int status, int uv_events);

static hakuban_status arm(watch *watched)
{
    int uv_events = (watched->events & HAKUBAN_READ ? UV_READABLE : 0) |
                    (watched->events & HAKUBAN_WRITE ? UV_WRITABLE : 0);
    watched->armed = uv_poll_start(&watched->poll, uv_events, on_poll) == 0;
    return watched->armed ? HAKUBAN_OK : HAKUBAN_ERR_IO;
}

static void on_poll(uv_poll_t *handle, int status, int uv_events)
{
    watch *watched = HKB_CONTAINER(handle, watch, poll);
    hkb_loop *loop = watched->loop;
    int fd = watched->fd;
    unsigned events = (uv_events & UV_READABLE ? (unsigned)HAKUBAN_READ : 0u) |
                      (uv_events & UV_WRITABLE ? (unsigned)HAKUBAN_WRITE : 0u);
    if (status < 0) {
        /* libuv has given up on the descriptor; its owner finds out why when it uses it. */
        watched->armed = false;
        events = watched->events;
    }
    loop->ready(loop->ctx, watched->transport, watched->owner, events);
    /* The memory of a handle that was closed meanwhile goes later; but the table says whether it
     * still counts. */
    if (loop->watches[fd] == watched && !watched->armed) {
        (void)arm(watched);
    }
}

static hakuban_status watch_new(hkb_loop *loop, int fd, watch **ret)
{
    size_t capacity = loop->watch_capacity;
    hakuban_status status = hkb_grow(loop->alloc, &loop->watches, sizeof(loop->watches[0]),
                                     &loop->watch_capacity, (size_t)fd + 1);
    if (status < 0) {
        return status;
    }
    for (size_t i = capacity; i < loop->watch_capacity; i++) {
        loop->watches[i] = NULL;
    }
    watch *watched = hkb_alloc(loop->alloc, sizeof(*watched));
    if (!watched) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    int failure = uv_poll_init(&loop->uv, &watched->poll, fd);
    if (failure) {
        hkb_free(loop->alloc, watched, sizeof(*watched));
        return failure == UV_ENOMEM ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_ERR_IO;
    }
    watched->loop = loop;
    watched->fd = fd;
    loop->watches[fd] = watched;
    *ret = watched;
    return HAKUBAN_OK;
}

hakuban_status hkb_loop_watch(hkb_loop *loop, void *transport, void *owner, int fd, unsigned events)
{
    if (fd < 0) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    watch *watched = (size_t)fd < loop->watch_capacity ? loop->watches[fd] : NULL;
    events &= (unsigned)(HAKUBAN_READ | HAKUBAN_WRITE);
    if (!events) {
        if (watched) {
            watch_forget(loop, fd);
        }
        return HAKUBAN_OK;
    }
    if (!watched) {
        hakuban_status status = watch_new(loop, fd, &watched);
        if (status < 0) {
            return status;
        }
    }
    watched->transport = transport;
    watched->owner = owner;
    if (watched->armed && watched->events == events) {
        return HAKUBAN_OK; /* libuv would tell the kernel twice */
    }
    watched->events = events;
    hakuban_status status = arm(watched);
    if (status < 0) {
        watch_forget(loop, fd);
    }
    return status;
}

void hkb_loop_alarm(hkb_loop *loop, uint64_t when_ns)
{
    if (when_ns == UINT64_MAX) {
        (void)uv_timer_stop(&loop->alarm);
        return;
    }
    /* libuv counts whole milliseconds of the same clock; rounded up, an alarm is hardly ever early.
     */
    uint64_t when_ms = when_ns / 1000000 + (when_ns % 1000000 != 0);
    uv_update_time(&loop->uv);
    uint64_t now_ms = uv_now(&loop->uv);
    (void)uv_timer_start(&loop->alarm, on_alarm, when_ms > now_ms ? when_ms - now_ms : 0, 0);
}

bool hkb_loop_has_alarm(const hkb_loop *loop)
{
    return uv_is_active((const uv_handle_t *)&loop->alarm) != 0;
}

void hkb_loop_run(hkb_loop *loop, bool wait)
{
    (void)uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

int hkb_loop_fd(const hkb_loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

int hkb_loop_timeout_ms(hkb_loop *loop)
{
    uv_update_time(&loop->uv);
    return uv_backend_timeout(&loop->uv);
}
