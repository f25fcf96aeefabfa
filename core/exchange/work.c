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

hakuban_status hkb_work_tools_init(hkb_work_tools *tools, const hakuban_alloc *alloc,
                                   const hkb_compressor *compressor)
{
    *tools = (hkb_work_tools){.alloc = alloc};
    hakuban_status status = hkb_delta_context_new(alloc, &tools->context);
    void *self = NULL;
    if (status >= 0 && compressor) {
        status = hkb_compressor_begin(compressor, alloc, &self);
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
        hkb_compressor_end(tools->compressor, tools->alloc, tools->with.self);
    }
    hkb_delta_context_free(tools->context);
}
