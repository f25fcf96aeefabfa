/* Signals as bytes in a pipe. Not signalfd: with that, a write to a stuck pipe could not be
 * interrupted. */
#define _GNU_SOURCE
#include "common/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

volatile int signals_stop;
static int signal_pipe[2] = {-1, -1};

static void note(int number)
{
    int before = errno;
    unsigned char byte = (unsigned char)number;
    signals_stop = 1;
    ssize_t written = write(signal_pipe[1], &byte, 1);
    (void)written; /* full: enough signals wait already */
    errno = before;
}

int signals_catch(const int *list)
{
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -1;
    }
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = note;
    for (; *list; list++) {
        if (sigaction(*list, &action, NULL) < 0) {
            return -1;
        }
    }
    return signal_pipe[0];
}

int signals_next(void)
{
    unsigned char byte = 0;
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

void signals_block(sigset_t *ret_before)
{
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, ret_before);
}

void signals_unblock(const sigset_t *before)
{
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}
