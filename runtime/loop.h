/* What the runtime needs of an event loop: descriptors, one alarm, a way to be woken. Knows nothing
 * of exchanges. */
#ifndef HKB_RUNTIME_LOOP_H
#define HKB_RUNTIME_LOOP_H

#include "base/base.h"

typedef struct hkb_loop hkb_loop;

/* A descriptor is ready; made from inside hkb_loop_run(). transport and owner as given to
 * hkb_loop_watch(). */
typedef void (*hkb_loop_ready_fn)(void *ctx, void *transport, void *owner, unsigned events);

/* ERR_NO_MEMORY, ERR_IO. */
hakuban_status hkb_loop_new(const hakuban_alloc *alloc, hkb_loop_ready_fn ready, void *ctx,
                            hkb_loop **ret);
hkb_loop *hkb_loop_free(hkb_loop *loop);

/* From any thread: the run that is under way, or the next one, does not wait. */
void hkb_loop_wake(hkb_loop *loop);

/* All below on the driving thread only. */
/* Waits for fd on behalf of owner; events (HAKUBAN_READ, HAKUBAN_WRITE) 0 forgets it.
 * ERR_NO_MEMORY, ERR_IO. */
hakuban_status hkb_loop_watch(hkb_loop *loop, void *transport, void *owner, int fd,
                              unsigned events);
/* A run waits no longer than until the monotonic clock reaches when_ns. Replaces the alarm before;
 * UINT64_MAX: none. */
void hkb_loop_alarm(hkb_loop *loop, uint64_t when_ns);
#define HKB_LOOP_AT_ONCE                                                                           \
    0 /* the next run does not wait at all, not even until the next millisecond */
/* Whether an alarm is set that has not gone off. */
bool hkb_loop_has_alarm(const hkb_loop *loop);
/* Handles what is there; waits for something if wait. */
void hkb_loop_run(hkb_loop *loop, bool wait);
int hkb_loop_fd(const hkb_loop *loop);
/* How long a run that waits would wait at most; -1: for ever. */
int hkb_loop_timeout_ms(hkb_loop *loop);

#endif
