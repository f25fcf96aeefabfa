/* A queue of text and the thread that writes it. */
#define _GNU_SOURCE
#include "common/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/report.h"
#include "common/signals.h"

static void write_out(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return; /* no reader is left */
        } else if (written > 0) {
            data += written;
            bytes -= (size_t)written;
        }
    }
}

static void *work(void *argument)
{
    writer *w = argument;
    text now = {NULL, 0, 0};
    (void)pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->waiting.bytes == 0 && w->lost == 0) {
            (void)pthread_cond_wait(&w->changed, &w->lock);
        }
        text taken = w->waiting;
        w->waiting = now;
        now = taken;
        unsigned long lost = w->lost;
        w->lost = 0;
        w->busy = true;
        (void)pthread_mutex_unlock(&w->lock);
        if (lost > 0) {
            text_printf(&now, "%s: %lu lines were lost: nothing read %s\n", report_name, lost,
                        w->name);
        }
        write_out(w->fd, now.data, now.bytes);
        text_clear(&now);
        (void)pthread_mutex_lock(&w->lock);
        w->busy = false;
        (void)pthread_cond_broadcast(&w->changed);
    }
    return NULL;
}

/* With the lock held. */
static void start(writer *w)
{
    pthread_t thread;
    pthread_condattr_t attributes;
    sigset_t before;
    w->started = true;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    signals_block(&before); /* signals interrupt the main thread */
    w->has_thread = pthread_create(&thread, NULL, work, w) == 0;
    signals_unblock(&before);
    if (w->has_thread) {
        (void)pthread_detach(thread);
    }
}

void writer_put(writer *w, const char *lines, size_t bytes)
{
    (void)pthread_mutex_lock(&w->lock);
    if (!w->started) {
        start(w);
    }
    struct pollfd room = {.fd = w->fd, .events = POLLOUT};
    if (w->has_thread && w->waiting.bytes < WRITER_WAITING_MAX) {
        text_add(&w->waiting, lines, bytes);
    } else if (!w->has_thread && poll(&room, 1, 0) > 0) {
        write_out(w->fd, lines, bytes); /* no thread is allowed here: as good as it can be */
    } else {
        w->lost++;
    }
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

void writer_flush(writer *w, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)timeout_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&w->lock);
    bool in_time = w->has_thread;
    while (in_time && (w->busy || w->waiting.bytes > 0 || w->lost > 0)) {
        in_time = pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0;
    }
    (void)pthread_mutex_unlock(&w->lock);
}
