/* See pool.h. The mutex is the pool's own and never held for long: neither the loop nor a user's
 * thread waits for work. */
#define _GNU_SOURCE

#include "runtime/pool.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <unistd.h>

#include "runtime/thread.h"

#define THREADS_MAX 4
#define NICENESS 5 /* the loop's thread comes first */

struct hkb_pool {
    const hakuban_alloc *alloc;
    hkb_loop *loop;
    size_t given;          /* what was put and not taken; the exchange's */
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t changed;
    hkb_list waiting, done; /* hkb_work */
    unsigned waiting_count, idle_count;
    bool stops;
    unsigned thread_count; /* the exchange's, as the next ones */
    unsigned threads_max;
    pthread_t threads[THREADS_MAX];
};

hakuban_status hkb_pool_new(const hakuban_alloc *alloc, hkb_loop *loop, hkb_pool **ret)
{
    hkb_pool *pool = hkb_alloc(alloc, sizeof(*pool));
    if (!pool) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    pool->alloc = alloc;
    pool->loop = loop;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pool->threads_max = processors > THREADS_MAX ? THREADS_MAX
                        : processors > 1         ? (unsigned)processors - 1
                                                 : 1;
    hkb_list_init(&pool->waiting);
    hkb_list_init(&pool->done);
    if (pthread_cond_init(&pool->changed, NULL) != 0) {
        hkb_free(alloc, pool, sizeof(*pool));
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (pthread_mutex_init(&pool->mutex, NULL) != 0) {
        (void)pthread_cond_destroy(&pool->changed);
        hkb_free(alloc, pool, sizeof(*pool));
        return HAKUBAN_ERR_NO_MEMORY;
    }
    *ret = pool;
    return HAKUBAN_OK;
}

/* With the mutex held. NULL: the pool stops. */
static hkb_work *next_work(hkb_pool *pool)
{
    pool->idle_count++;
    while (!pool->stops && hkb_list_empty(&pool->waiting)) {
        (void)pthread_cond_wait(&pool->changed, &pool->mutex);
    }
    pool->idle_count--;
    if (pool->stops) {
        return NULL;
    }
    pool->waiting_count--;
    return HKB_CONTAINER(hkb_list_pop(&pool->waiting), hkb_work, node);
}

static void *thread_main(void *argument)
{
    hkb_pool *pool = argument;
    hkb_work *work;
    /* Of this thread only, on Linux. */
    id_t self = (id_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICENESS);
    (void)pthread_mutex_lock(&pool->mutex);
    while ((work = next_work(pool))) {
        (void)pthread_mutex_unlock(&pool->mutex);
        work->run(work);
        (void)pthread_mutex_lock(&pool->mutex);
        hkb_list_push(&pool->done, &work->node);
        hkb_loop_wake(pool->loop);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

bool hkb_pool_put(hkb_pool *pool, hkb_work *work)
{
    (void)pthread_mutex_lock(&pool->mutex);
    bool more = pool->idle_count <= pool->waiting_count && pool->thread_count < pool->threads_max;
    if (more &&
        hkb_thread_start(&pool->threads[pool->thread_count], thread_main, pool, NULL) >= 0) {
        pool->thread_count++;
    }
    bool taken = pool->thread_count > 0 && !pool->stops;
    if (taken) {
        pool->given++;
        pool->waiting_count++;
        hkb_list_push(&pool->waiting, &work->node);
        (void)pthread_cond_signal(&pool->changed);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return taken;
}

hkb_work *hkb_pool_take(hkb_pool *pool)
{
    if (pool->given == 0) {
        return NULL;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    hkb_node *node = hkb_list_pop(&pool->done);
    if (!node && pool->stops) {
        node = hkb_list_pop(&pool->waiting);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    if (!node) {
        return NULL;
    }
    pool->given--;
    return HKB_CONTAINER(node, hkb_work, node);
}

void hkb_pool_stop(hkb_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->stops = true;
    (void)pthread_cond_broadcast(&pool->changed);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    pool->thread_count = 0;
}

hkb_pool *hkb_pool_free(hkb_pool *pool)
{
    if (pool) {
        hkb_pool_stop(pool);
        HKB_ASSERT(pool->given == 0);
        (void)pthread_cond_destroy(&pool->changed);
        (void)pthread_mutex_destroy(&pool->mutex);
        hkb_free(pool->alloc, pool, sizeof(*pool));
    }
    return NULL;
}
