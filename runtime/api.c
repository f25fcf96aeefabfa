/* The public exchange: the mutex and the clock around the core, the thread that drives it, its
 * beginning and end. Knows no transport and no socket. */
#define _GNU_SOURCE

#include <errno.h>
#include <fenv.h>
#include <sys/random.h>
#include <time.h>

#include "runtime/runtime.h"
#include "runtime/thread.h"

#include <unistd.h>

#define CLOSE_TIMEOUT_MS 2000
/* How long packets may wait for more of what peers cause that are behind. */
#define HOLD_BACK_NS 500000u
#define SNAPSHOT_BYTES_MAX (256u * 1024 * 1024)

#ifndef HAKUBAN_FEATURES_TEXT
#define HAKUBAN_FEATURES_TEXT "transports: ?; serializers: ?; compressors: ?"
#endif

const char *hakuban_features(void)
{
    return HAKUBAN_FEATURES_TEXT;
}

/* -- Time, randomness -- */

uint64_t hkb_runtime_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t wall_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + (int64_t)now.tv_nsec;
}

uint64_t hkb_runtime_until(uint64_t now_ns, int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ms * 1000000u;
}

static bool refill(hakuban_exchange *exchange)
{
    exchange->random_used = 0;
    return getrandom(exchange->random, sizeof(exchange->random), 0) ==
           (ssize_t)sizeof(exchange->random);
}

/* Session tokens come from here, so every number is the kernel's; the first fill is checked when
 * the exchange is made, and from then on a request of this size cannot fail. */
static uint64_t core_random(void *ctx)
{
    hakuban_exchange *exchange = ctx;
    if (exchange->random_used == HKB_RANDOM_WORDS) {
        HKB_ASSERT(refill(exchange));
    }
    return exchange->random[exchange->random_used++];
}

uint64_t hkb_runtime_random(hakuban_exchange *exchange)
{
    return core_random(exchange);
}

/* -- Timers -- */

void hkb_timer_set(hakuban_exchange *exchange, hkb_timer *timer, uint64_t when_ns)
{
    hkb_timer_cancel(timer);
    timer->timers = &exchange->timers;
    timer->in_timers.rank = when_ns;
    hkb_heap_add(timer->timers, &timer->in_timers);
}

static hkb_timer *first_timer(const hakuban_exchange *exchange)
{
    hkb_heap_node *first = exchange->timers.first;
    return first ? HKB_CONTAINER(first, hkb_timer, in_timers) : NULL;
}

static uint64_t next_deadline(const hakuban_exchange *exchange)
{
    uint64_t when_ns = hkb_exchange_deadline(exchange->core);
    const hkb_timer *timer = first_timer(exchange);
    return timer && timer->in_timers.rank < when_ns ? timer->in_timers.rank : when_ns;
}

/* An alarm that is too early costs one empty turn, so only an earlier one is worth setting. */
static void arm(hakuban_exchange *exchange)
{
    uint64_t when_ns = next_deadline(exchange);
    if (when_ns < exchange->armed_ns) {
        exchange->armed_ns = when_ns;
        /* The loop rounds up to milliseconds. What goes on in the next turn, a pass through a large
         * tag, is not to wait for one. */
        hkb_loop_alarm(exchange->loop, when_ns > exchange->now_ns ? when_ns : HKB_LOOP_AT_ONCE);
    }
}

static void run_timers(hakuban_exchange *exchange)
{
    /* The loop is asked, not the clock: the loop's own may run a little ahead of ours. */
    if (!hkb_loop_has_alarm(exchange->loop)) {
        exchange->armed_ns = UINT64_MAX;
    }
    /* One that is set anew for now, from inside of fire(), has to wait for the next turn. */
    hkb_timer *timer;
    while ((timer = first_timer(exchange)) && timer->in_timers.rank <= exchange->now_ns) {
        hkb_timer_cancel(timer);
        hkb_list_push(&exchange->due, &timer->due);
    }
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->due))) {
        timer = HKB_CONTAINER(node, hkb_timer, due);
        if (timer->fire) {
            timer->fire(timer);
        }
    }
    if (hkb_exchange_deadline(exchange->core) <= exchange->now_ns) {
        hkb_exchange_tick(exchange->core);
    }
}

/* -- Entering and leaving -- */

bool hkb_runtime_is_driver(const hakuban_exchange *exchange)
{
    return exchange->has_driver && pthread_equal(exchange->driver, pthread_self());
}

/* A global, because a process is what is forked. */
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static unsigned forks;
static int forks_error;

static void count_fork(void)
{
    forks++;
}

static void count_forks(void)
{
    forks_error = pthread_atfork(NULL, NULL, count_fork);
}

bool hkb_runtime_is_inherited(const hakuban_exchange *exchange)
{
    return exchange->forks != forks;
}

void hkb_runtime_enter(hakuban_exchange *exchange)
{
    (void)pthread_mutex_lock(&exchange->mutex);
    exchange->now_ns = hkb_runtime_clock_ns();
    hkb_exchange_set_time(exchange->core, exchange->now_ns, exchange->wall_ns);
}

void hkb_runtime_enter_to_send(hakuban_exchange *exchange)
{
    (void)pthread_mutex_lock(&exchange->mutex);
    exchange->now_ns = hkb_runtime_clock_ns();
    exchange->wall_ns = wall_clock_ns();
    hkb_exchange_set_time(exchange->core, exchange->now_ns, exchange->wall_ns);
}

/* Whether a turn of the loop would have something to do at once. */
static bool has_work(const hakuban_exchange *exchange)
{
    return exchange->more || exchange->stop || !hkb_list_empty(&exchange->jobs) ||
           !hkb_list_empty(&exchange->callbacks);
}

static bool has_freight(const hakuban_exchange *exchange)
{
    return hkb_exchange_has_ready(exchange->core) || !hkb_list_empty(&exchange->ending);
}

void hkb_runtime_leave(hakuban_exchange *exchange)
{
    hkb_exchange_settle(exchange->core);
    /* The driving thread carries when it turns the loop, so that many states which are sent one
     * after the other leave in few packets. Others make it turn. */
    if (!hkb_runtime_is_driver(exchange) && (has_work(exchange) || has_freight(exchange) ||
                                             next_deadline(exchange) < exchange->armed_ns)) {
        exchange->unsettled = true;
        hkb_loop_wake(exchange->loop);
    }
    hkb_queue_side_tell_woken(exchange);
    hkb_queue_side_tell(exchange);
    (void)pthread_mutex_unlock(&exchange->mutex);
}

static void carry_and_arm(hakuban_exchange *exchange)
{
    hkb_carry(exchange);
    arm(exchange);
}

static void run_jobs(hakuban_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->jobs))) {
        hkb_job *job = HKB_CONTAINER(node, hkb_job, node);
        bool *done = job->done;
        job->run(job);
        if (done) {
            *done = true;
        }
        (void)pthread_cond_broadcast(&exchange->changed);
    }
}

/* -- Work of the core -- */

static bool begin_work(void *ctx, hkb_work *work)
{
    hakuban_exchange *exchange = ctx;
    if (exchange->closed) {
        return false;
    }
    if (!exchange->pool && hkb_pool_new(exchange->alloc, exchange->loop, &exchange->pool) < 0) {
        return false;
    }
    return hkb_pool_put(exchange->pool, work);
}

static void take_work(hakuban_exchange *exchange)
{
    hkb_work *work;
    while (exchange->pool && (work = hkb_pool_take(exchange->pool))) {
        hkb_exchange_work_done(exchange->core, work);
    }
}

static void end_pool(hakuban_exchange *exchange)
{
    if (exchange->pool) {
        hkb_pool_stop(exchange->pool);
        take_work(exchange);
        exchange->pool = hkb_pool_free(exchange->pool);
    }
}

/* -- Turning the loop -- */

void hkb_runtime_job(hakuban_exchange *exchange, hkb_job *job, bool wait)
{
    bool done = false;
    job->done = wait ? &done : NULL;
    if (hkb_runtime_is_driver(exchange)) {
        job->run(job);
        return;
    }
    if (exchange->drive == HAKUBAN_DRIVE_MANUAL && !exchange->turned) {
        /* No thread drives yet, so this one does for as long as it has the mutex. */
        pthread_t driver = exchange->driver;
        exchange->driver = pthread_self();
        job->run(job);
        exchange->driver = driver;
        return;
    }
    hkb_list_push(&exchange->jobs, &job->node);
    hkb_loop_wake(exchange->loop);
    while (wait && !done) {
        (void)pthread_cond_wait(&exchange->changed, &exchange->mutex);
    }
}

/* Gives the mutex back meanwhile. */
static void run_once(hakuban_exchange *exchange, bool wait)
{
    hkb_runtime_leave(exchange);
    hkb_loop_run(exchange->loop, wait);
    hkb_runtime_enter_to_send(exchange);
    run_jobs(exchange);
    take_work(exchange);
    hkb_dialer_turn(exchange);
    run_timers(exchange);
}

/* Whether peers that are behind are all there is to be served. */
static bool serves_the_rest(const hakuban_exchange *exchange)
{
    return hkb_exchange_has_turns(exchange->core) && !exchange->unsettled && !has_work(exchange);
}

void hkb_runtime_drive(hakuban_exchange *exchange, bool wait)
{
    hkb_runtime_enter(exchange);
    exchange->turned = true;
    carry_and_arm(exchange);
    run_once(exchange, wait && !has_work(exchange));
    /* A budget pays for little. Many of them before a packet leaves make few packets, and the loop
     * is asked after each whether something else has come. */
    uint64_t until_ns = exchange->now_ns + HOLD_BACK_NS;
    while (serves_the_rest(exchange) && exchange->now_ns < until_ns) {
        run_once(exchange, false);
    }
    carry_and_arm(exchange);
    hkb_runtime_leave(exchange);
    hkb_queue_side_run_callbacks(exchange);
}

hakuban_status hkb_runtime_may_wait(const hakuban_exchange *exchange, bool in_time)
{
    if (!in_time) {
        return HAKUBAN_ERR_TIMEOUT;
    }
    return exchange->in_callback && hkb_runtime_is_driver(exchange) ? HAKUBAN_ERR_WOULD_BLOCK
                                                                    : HAKUBAN_OK;
}

bool hkb_runtime_wait(hakuban_exchange *exchange, pthread_cond_t *cond, uint64_t when_ns)
{
    if (hkb_runtime_is_driver(exchange)) {
        hkb_timer timer = {0};
        if (when_ns != UINT64_MAX) {
            hkb_timer_set(exchange, &timer, when_ns);
        }
        hkb_runtime_leave(exchange);
        hkb_runtime_drive(exchange, true);
        hkb_runtime_enter(exchange);
        hkb_timer_cancel(&timer);
        return exchange->now_ns < when_ns;
    }
    if (when_ns == UINT64_MAX) {
        return pthread_cond_wait(cond, &exchange->mutex) == 0;
    }
    struct timespec until = {.tv_sec = (time_t)(when_ns / 1000000000u),
                             .tv_nsec = (long)(when_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, &exchange->mutex, &until) != ETIMEDOUT;
}

/* -- Beginning and end -- */

static void *thread_main(void *argument)
{
    hakuban_exchange *exchange = argument;
    (void)fesetenv(FE_DFL_ENV); /* not the floating point mode of the thread that made this one */
    (void)pthread_mutex_lock(&exchange->mutex);
    exchange->driver = pthread_self();
    exchange->has_driver = true;
    bool stop = exchange->stop;
    (void)pthread_mutex_unlock(&exchange->mutex);
    while (!stop) {
        hkb_runtime_drive(exchange, true);
        (void)pthread_mutex_lock(&exchange->mutex);
        stop = exchange->stop;
        (void)pthread_mutex_unlock(&exchange->mutex);
    }
    return NULL;
}

static hakuban_status start_thread(hakuban_exchange *exchange)
{
    hakuban_error error;
    hakuban_status status = hkb_thread_start(&exchange->thread, thread_main, exchange, &error);
    exchange->has_thread = status >= 0;
    if (status < 0) {
        hkb_log(hkb_exchange_logger(exchange->core), HKB_LOG_OWN, NULL, HAKUBAN_LOG_ERROR,
                "runtime", "%s", error.text);
    }
    return status;
}

static hakuban_status init_locks(hakuban_exchange *exchange)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failure = pthread_cond_init(&exchange->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (failure) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (pthread_mutex_init(&exchange->mutex, NULL) != 0) {
        (void)pthread_cond_destroy(&exchange->changed);
        return HAKUBAN_ERR_NO_MEMORY;
    }
    return HAKUBAN_OK;
}

static void close_links(hkb_job *job)
{
    hakuban_exchange *exchange = HKB_CONTAINER(job, hakuban_exchange, close_job);
    if (exchange->connection) {
        hkb_dialer_stop(exchange->connection);
    }
    hkb_node *node;
    while ((node = hkb_list_first(&exchange->listeners))) {
        hkb_listener_stop(HKB_CONTAINER(node, hakuban_listener, node));
    }
    HKB_LIST_EACH(hakuban_carrier, link, &exchange->carriers, node)
    {
        if (link->peer) {
            hkb_peer_leave(link->peer);
        } else {
            hkb_carrier_doom(link);
        }
    }
}

static void init_lists(hakuban_exchange *exchange)
{
    hkb_list_init(&exchange->jobs);
    hkb_list_init(&exchange->queues);
    hkb_list_init(&exchange->ready_queues);
    hkb_list_init(&exchange->callbacks);
    hkb_list_init(&exchange->transports);
    hkb_list_init(&exchange->carriers);
    hkb_list_init(&exchange->ending);
    hkb_list_init(&exchange->ending_now);
    hkb_list_init(&exchange->due);
    hkb_list_init(&exchange->resuming);
    hkb_list_init(&exchange->dead);
    hkb_list_init(&exchange->listeners);
}

/* A limit as the core takes it: 0 is none. */
static size_t limit(uint64_t given, size_t default_bytes)
{
    if (given == 0) {
        return default_bytes;
    }
    return given > SIZE_MAX / 2 ? 0 : (size_t)given;
}

static hakuban_status build(hakuban_exchange *exchange, const hakuban_exchange_options *wanted)
{
    (void)pthread_once(&forks_once, count_forks);
    exchange->forks = forks;
    if (forks_error) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (!refill(exchange)) {
        return HAKUBAN_ERR_IO;
    }
    hakuban_status status = hkb_registry_add_builtin(&exchange->registry);
    if (status < 0) {
        return status;
    }
    status = hkb_loop_new(exchange->alloc, hkb_carry_ready, exchange, &exchange->loop);
    if (status < 0) {
        return status;
    }
    size_t bytes_max = limit(wanted->memory_bytes_max, hkb_memory_share(""));
    hkb_exchange_settings settings = {
        .alloc = exchange->alloc,
        .log = wanted->log,
        .registry = &exchange->registry,
        .host = {.ctx = exchange,
                 .random = core_random,
                 .queue_ready = hkb_queue_side_ready,
                 .opened = hkb_carrier_opened,
                 .moved = hkb_carrier_moved,
                 .dropped = hkb_carrier_dropped,
                 .ended = hkb_carrier_ended,
                 .caught_up = hkb_carrier_caught_up,
                 .work = begin_work},
        .bytes_max = bytes_max,
        .link_bytes_max = limit(wanted->link_bytes_max, bytes_max / 2),
        .rebalance_threshold = wanted->rebalance_threshold > 0 ? wanted->rebalance_threshold : 0.1,
        .rebalances = wanted->rebalance_threshold >= 0,
    };
    exchange->wall_ns = wall_clock_ns();
    status =
        hkb_exchange_new(&settings, hkb_runtime_clock_ns(), exchange->wall_ns, &exchange->core);
    if (status < 0) {
        return status;
    }
    if (exchange->drive == HAKUBAN_DRIVE_THREAD) {
        return start_thread(exchange);
    }
    exchange->driver = pthread_self();
    exchange->has_driver = true;
    return HAKUBAN_OK;
}

hakuban_status hakuban_exchange_new(const hakuban_exchange_options *options, hakuban_exchange **ret)
{
    hakuban_exchange_options wanted = {.size = sizeof(wanted)};
    if (!ret || (options && options->size < offsetof(hakuban_exchange_options, alloc))) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (options && !hkb_sized_read(&wanted, sizeof(wanted), options, options->size)) {
        return HAKUBAN_ERR_UNSUPPORTED;
    }
    if (wanted.drive != HAKUBAN_DRIVE_THREAD && wanted.drive != HAKUBAN_DRIVE_MANUAL) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    const hakuban_alloc *alloc = wanted.alloc ? wanted.alloc : hakuban_alloc_default();
    hakuban_exchange *exchange = hkb_alloc(alloc, sizeof(*exchange));
    if (!exchange) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    exchange->alloc = alloc;
    exchange->drive = wanted.drive;
    exchange->armed_ns = UINT64_MAX;
    exchange->close_job.run = close_links;
    init_lists(exchange);
    hakuban_status status = init_locks(exchange);
    if (status < 0) {
        hkb_free(alloc, exchange, sizeof(*exchange));
        return status;
    }
    hkb_registry_init(&exchange->registry, alloc);
    status = build(exchange, &wanted);
    if (status < 0) {
        (void)hakuban_exchange_free(exchange);
        return status;
    }
    *ret = exchange;
    return HAKUBAN_OK;
}

/* What is left is closed as it is; only this thread knows the exchange any more. */
static void tear_down(hakuban_exchange *exchange)
{
    hkb_runtime_enter(exchange);
    exchange->closing = exchange->closed = true;
    run_jobs(exchange);
    close_links(&exchange->close_job);
    hkb_node *node;
    while ((node = hkb_list_first(&exchange->carriers))) {
        hkb_carrier_close(HKB_CONTAINER(node, hakuban_carrier, node));
    }
    while ((node = hkb_list_first(&exchange->transports))) {
        hkb_transport_free(HKB_CONTAINER(node, hkb_transport, node));
    }
    while ((node = hkb_list_first(&exchange->queues))) {
        hkb_queue_side_free(HKB_CONTAINER(node, hkb_queue_side, node));
    }
    end_pool(exchange);
    hkb_exchange_settle(exchange->core);
    (void)pthread_mutex_unlock(&exchange->mutex);
}

hakuban_exchange *hakuban_exchange_free(hakuban_exchange *exchange)
{
    if (!exchange || hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    /* A callback that runs at this moment has an event, which ends with it. */
    while (exchange->in_callback && !hkb_runtime_is_driver(exchange)) {
        (void)pthread_cond_wait(&exchange->changed, &exchange->mutex);
    }
    if (exchange->handles) {
        hkb_log(hkb_exchange_logger(exchange->core), HKB_LOG_OWN, NULL, HAKUBAN_LOG_ERROR,
                "runtime",
                "hakuban_exchange_free(): nothing was freed, for %u contracts, events, sinks, "
                "queues, connections or listeners are left",
                exchange->handles);
    }
    bool left = exchange->handles > 0;
    (void)pthread_mutex_unlock(&exchange->mutex);
    if (left) {
        return exchange;
    }
    if (exchange->has_thread) {
        (void)pthread_mutex_lock(&exchange->mutex);
        exchange->stop = true;
        (void)pthread_mutex_unlock(&exchange->mutex);
        hkb_loop_wake(exchange->loop);
        (void)pthread_join(exchange->thread, NULL);
    }
    exchange->driver = pthread_self();
    exchange->has_driver = true;
    if (exchange->core) {
        tear_down(exchange);
    }
    (void)hkb_exchange_free(exchange->core);
    (void)hkb_loop_free(exchange->loop);
    hkb_registry_done(&exchange->registry);
    (void)pthread_mutex_destroy(&exchange->mutex);
    (void)pthread_cond_destroy(&exchange->changed);
    hkb_free(exchange->alloc, exchange, sizeof(*exchange));
    return NULL;
}

static void mark_closed(hakuban_exchange *exchange)
{
    exchange->closed = true;
    HKB_LIST_EACH(hkb_queue_side, side, &exchange->queues, node)
    {
        if (!hkb_node_linked(&side->ready)) {
            hkb_list_push(&exchange->ready_queues, &side->ready);
        }
    }
}

hakuban_status hakuban_exchange_close(hakuban_exchange *exchange, int timeout_ms)
{
    if (!exchange) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (hkb_runtime_is_inherited(exchange)) {
        return HAKUBAN_ERR_CLOSED;
    }
    hkb_runtime_enter(exchange);
    if (exchange->in_callback && hkb_runtime_is_driver(exchange)) {
        hkb_runtime_leave(exchange);
        return HAKUBAN_ERR_WOULD_BLOCK;
    }
    uint64_t until_ns =
        hkb_runtime_until(exchange->now_ns, timeout_ms < 0 ? CLOSE_TIMEOUT_MS : timeout_ms);
    if (!exchange->closing) {
        exchange->closing = true;
        hkb_runtime_job(exchange, &exchange->close_job, false);
        (void)pthread_cond_broadcast(&exchange->changed);
    }
    bool in_time = true;
    while (in_time &&
           (hkb_node_linked(&exchange->close_job.node) || !hkb_list_empty(&exchange->carriers))) {
        in_time = hkb_runtime_wait(exchange, &exchange->changed, until_ns);
    }
    HKB_LIST_EACH(hakuban_carrier, link, &exchange->carriers, node)
    hkb_carrier_doom(link);
    if (hkb_runtime_is_driver(exchange)) {
        hkb_carry(exchange);
    }
    mark_closed(exchange);
    hakuban_status status = in_time ? exchange->cut_short : HAKUBAN_ERR_TIMEOUT;
    hkb_runtime_leave(exchange);
    return status;
}

/* -- The user's own loop -- */

int hakuban_exchange_fd(hakuban_exchange *exchange)
{
    if (!exchange || exchange->drive != HAKUBAN_DRIVE_MANUAL) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return hkb_loop_fd(exchange->loop);
}

int hakuban_exchange_timeout_ms(hakuban_exchange *exchange)
{
    if (!exchange || exchange->drive != HAKUBAN_DRIVE_MANUAL) {
        return -1;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    bool at_once = has_work(exchange) || has_freight(exchange);
    arm(exchange);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return at_once ? 0 : hkb_loop_timeout_ms(exchange->loop);
}

hakuban_status hakuban_exchange_turn(hakuban_exchange *exchange)
{
    if (!exchange || exchange->drive != HAKUBAN_DRIVE_MANUAL) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    bool in_callback = exchange->in_callback;
    if (!in_callback) {
        exchange->driver = pthread_self();
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    if (in_callback) {
        return HAKUBAN_ERR_WOULD_BLOCK;
    }
    hkb_runtime_drive(exchange, false);
    return HAKUBAN_OK;
}

/* -- Questions -- */

void hakuban_exchange_query_sized(hakuban_exchange *exchange, hakuban_exchange_stats *ret,
                                  size_t stats_bytes)
{
    hakuban_exchange_stats stats;
    if (!exchange || !ret) {
        return;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hkb_exchange_count(exchange->core, &stats);
    (void)pthread_mutex_unlock(&exchange->mutex);
    hkb_sized_write(ret, stats_bytes, &stats, sizeof(stats));
}

hakuban_status hakuban_exchange_snapshot(hakuban_exchange *exchange,
                                         void (*write)(void *ctx, const char *text, size_t bytes),
                                         void *ctx)
{
    if (!exchange || !write) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_buffer text;
    hkb_buffer_init(&text, exchange->alloc, SNAPSHOT_BYTES_MAX);
    hkb_runtime_enter(exchange);
    hakuban_status status = hkb_exchange_describe(exchange->core, &text);
    hkb_runtime_leave(exchange);
    if (status >= 0 && text.bytes) {
        write(ctx, (const char *)text.data, text.bytes);
    }
    hkb_buffer_done(&text);
    return status;
}

/* -- Plugins -- */

hakuban_status hakuban_exchange_add_transport(hakuban_exchange *exchange,
                                              const hakuban_transport_ops *ops, void *param,
                                              hakuban_error *reterr)
{
    if (!exchange) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hakuban_status status = hkb_registry_add_transport(&exchange->registry, ops, param, reterr);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return status;
}

hakuban_status hakuban_exchange_add_serializer(hakuban_exchange *exchange,
                                               const hakuban_serializer_ops *ops,
                                               hakuban_error *reterr)
{
    if (!exchange) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hakuban_status status = hkb_registry_add_serializer(&exchange->registry, ops, reterr);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return status;
}

hakuban_status hakuban_exchange_add_compressor(hakuban_exchange *exchange,
                                               const hakuban_compressor_ops *ops,
                                               hakuban_error *reterr)
{
    if (!exchange) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    hakuban_status status = hkb_registry_add_compressor(&exchange->registry, ops, reterr);
    (void)pthread_mutex_unlock(&exchange->mutex);
    return status;
}

const hakuban_serializer_ops *hakuban_exchange_serializer(hakuban_exchange *exchange,
                                                          const char *name)
{
    if (!exchange || !name) {
        return NULL;
    }
    (void)pthread_mutex_lock(&exchange->mutex);
    const hakuban_serializer_ops *ops =
        hkb_registry_serializer(&exchange->registry, name, strlen(name));
    (void)pthread_mutex_unlock(&exchange->mutex);
    return ops;
}
