/* Work on one large state, done by another thread if the host has one. A work contains all of its
 * input and output, and does not know its purpose. */
#include "exchange/work.h"

bool hkb_work_is_large(const hkb_exchange *exchange, size_t bytes)
{
    return bytes >= exchange->work_bytes_min && exchange->host.work;
}

void hkb_work_begin(hkb_exchange *exchange, hkb_work *work, size_t bytes)
{
    work->bytes = bytes;
    exchange->work_bytes += bytes;
    if (!exchange->host.work(exchange->host.ctx, work)) {
        work->run(work);
        hkb_exchange_work_done(exchange, work);
    }
}

void hkb_exchange_work_done(hkb_exchange *exchange, hkb_work *work)
{
    exchange->work_bytes -= work->bytes;
    work->done(work);
}

/* -- Giving memory back -- */

/* Memory of so many times the large size is freed by a work: copying is so much slower than
 * freeing. */
#define RELEASED_BYTES_MIN_FACTOR 16

typedef struct released {
    hkb_work work;
    hkb_exchange *exchange;
    hakuban_state *state;
} released;

static void release_run(hkb_work *work)
{
    released *of = HKB_CONTAINER(work, released, work);
    of->state = hakuban_state_unref(of->state);
}

static void release_done(hkb_work *work)
{
    released *of = HKB_CONTAINER(work, released, work);
    of->exchange->released_bytes -= work->bytes;
    hakuban_state_unref(of->state); /* if the work was not run */
    hkb_free(of->exchange->alloc, of, sizeof(*of));
}

void hkb_state_release(hkb_exchange *exchange, hakuban_state *state)
{
    size_t bytes = state ? sizeof(released) + hkb_state_bytes(state) : 0;
    bool is_last = hkb_work_is_large(exchange, bytes / RELEASED_BYTES_MIN_FACTOR) &&
                   atomic_load_explicit(&state->references, memory_order_relaxed) == 1;
    released *of = is_last ? hkb_alloc(exchange->alloc, sizeof(*of)) : NULL;
    if (!of) {
        hakuban_state_unref(state);
        return;
    }
    of->work.run = release_run;
    of->work.done = release_done;
    of->exchange = exchange;
    of->state = state;
    exchange->released_bytes += bytes;
    hkb_work_begin(exchange, &of->work, bytes);
}

/* -- Tools -- */

void hkb_work_count(hkb_exchange *exchange, size_t more, size_t less)
{
    atomic_fetch_add_explicit(&exchange->thread_bytes, more - less, memory_order_relaxed);
}

static void *tools_alloc(void *ctx, size_t bytes)
{
    const hkb_work_tools *tools = ctx;
    void *memory = hkb_alloc_unset(tools->exchange->alloc, bytes);
    hkb_work_count(tools->exchange, memory ? bytes : 0, 0);
    return memory;
}

static void *tools_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    const hkb_work_tools *tools = ctx;
    size_t bytes = old_bytes;
    if (hkb_resize(tools->exchange->alloc, &memory, 1, &bytes, new_bytes) < 0) {
        return NULL;
    }
    hkb_work_count(tools->exchange, new_bytes, old_bytes);
    return memory;
}

static void tools_free(void *ctx, void *memory, size_t bytes)
{
    const hkb_work_tools *tools = ctx;
    hkb_free(tools->exchange->alloc, memory, bytes);
    hkb_work_count(tools->exchange, 0, bytes);
}

hakuban_status hkb_work_tools_init(hkb_work_tools *tools, hkb_exchange *exchange,
                                   const hkb_compressor *compressor)
{
    *tools = (hkb_work_tools){
        .exchange = exchange,
        .alloc = {.ctx = tools, .alloc = tools_alloc, .realloc = tools_realloc, .free = tools_free},
    };
    hakuban_status status = hkb_delta_context_new(&tools->alloc, &tools->context);
    void *self = NULL;
    if (status >= 0 && compressor) {
        status = hkb_compressor_begin(compressor, &tools->alloc, &self);
    }
    if (status >= 0 && compressor) {
        tools->compressor = compressor;
        tools->with = (hkb_delta_compressor){&compressor->ops, self};
    }
    return status;
}

void hkb_work_tools_done(hkb_work_tools *tools)
{
    if (tools->compressor) {
        hkb_compressor_end(tools->compressor, &tools->alloc, tools->with.self);
    }
    hkb_delta_context_free(tools->context);
}
