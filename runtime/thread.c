/* See thread.h. */
#define _GNU_SOURCE

#include "runtime/thread.h"

#include <signal.h>
#include <string.h>

#include <hakuban/plugin/transport.h>

hakuban_status hkb_thread_start(pthread_t *ret, void *(*main)(void *argument), void *argument,
                                hakuban_error *reterr)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    int failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!failure) {
        failure = pthread_create(ret, NULL, main, argument);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return failure ? hakuban_error_set(reterr, HAKUBAN_ERR_IO, "no thread can be started: %s",
                                       strerror(failure))
                   : HAKUBAN_OK;
}
