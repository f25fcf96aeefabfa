/* See thread.h. */
#define _GNU_SOURCE

#include "runtime/thread.h"

#include <signal.h>

hakuban_status hkb_thread_start(pthread_t *ret, void *(*main)(void *argument), void *argument)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return HAKUBAN_ERR_IO;
    }
    int failure = pthread_create(ret, NULL, main, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure ? HAKUBAN_ERR_IO : HAKUBAN_OK;
}
