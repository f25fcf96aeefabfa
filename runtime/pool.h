/* A few threads that do the core's work on large states, so that the loop goes on meanwhile. Knows
 * nothing of exchanges. */
#ifndef HKB_RUNTIME_POOL_H
#define HKB_RUNTIME_POOL_H

#include "exchange/exchange.h"
#include "runtime/loop.h"

typedef struct hkb_pool hkb_pool;

/* loop is woken when work is done. No thread is started before there is work. ERR_NO_MEMORY. */
hakuban_status hkb_pool_new(const hakuban_alloc *alloc, hkb_loop *loop, hkb_pool **ret);
/* Ends the threads: waits for the work that they have begun. */
void hkb_pool_stop(hkb_pool *pool);
/* All work was taken. */
hkb_pool *hkb_pool_free(hkb_pool *pool);

/* These are the exchange's, one thread at a time. */
/* false: there is no thread to be had. */
bool hkb_pool_put(hkb_pool *pool, hkb_work *work);
/* The next work that is done; of a pool that was stopped, what will not be done, too. NULL: none.
 */
hkb_work *hkb_pool_take(hkb_pool *pool);

#endif
