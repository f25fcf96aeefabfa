/* The library's own threads. */
#ifndef HKB_RUNTIME_THREAD_H
#define HKB_RUNTIME_THREAD_H

#include <pthread.h>

#include "base/base.h"

/* Starts main(argument) with every signal blocked: the program's signals are for the program's
 * threads. ERR_IO: no thread can be started; reterr, which may be NULL, says why. */
hakuban_status hkb_thread_start(pthread_t *ret, void *(*main)(void *argument), void *argument,
                                hakuban_error *reterr);

#endif
