/* Signals as bytes in a pipe. Not signalfd: with that, a write to a stuck pipe could not be
 * interrupted. */
#define _GNU_SOURCE
#include "common/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

volatile sig_atomic_t signals_stop;
volatile sig_atomic_t signals_exit_code;
static int signal_pipe[2] = {-1, -1};
static sigset_t ending_set;
static sigset_t mask_at_start;
static sigset_t ignored_here; /* by signals_start(), and not by the starter */

/* SIGTTIN: reading the terminal of another job fails instead of stopping the program. */
static const int never_wanted[] = {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};
enum { NEVER_WANTED = sizeof(never_wanted) / sizeof(never_wanted[0]) };

void signals_start(void)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof(action));
    sigemptyset(&ignored_here);
    (void)sigprocmask(SIG_SETMASK, NULL, &mask_at_start);
    for (size_t i = 0; i < NEVER_WANTED; i++) {
        action.sa_handler = SIG_IGN;
        if (sigaction(never_wanted[i], &action, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaddset(&ignored_here, never_wanted[i]);
        }
    }
    action.sa_handler = SIG_DFL; /* ignored, the exit codes of children would be lost */
    (void)sigaction(SIGCHLD, &action, NULL);
}

static void out_of_time(int number)
{
    (void)number;
    _exit(signals_exit_code);
}

static void note(int number)
{
    int before = errno;
    unsigned char byte = (unsigned char)number;
    if (!signals_stop && sigismember(&ending_set, number) == 1) {
        signals_stop = number;
        struct itimerval clock = {
            .it_value = {.tv_sec = SIGNALS_END_MS / 1000, .tv_usec = SIGNALS_END_MS % 1000 * 1000}};
        (void)setitimer(ITIMER_REAL, &clock, NULL);
    }
    ssize_t written = write(signal_pipe[1], &byte, 1);
    (void)written; /* full: enough signals wait already */
    errno = before;
}

static bool catch_one(int number, void (*handler)(int))
{
    struct sigaction action;
    sigset_t one;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    sigemptyset(&one);
    sigaddset(&one, number);
    return sigaction(number, &action, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &one, NULL) == 0;
}

static bool is_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int signals_catch(const int *ending, const int *others)
{
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -1;
    }
    sigemptyset(&ending_set);
    if (!catch_one(SIGALRM, out_of_time)) {
        return -1;
    }
    for (const int *at = ending; *at; at++) {
        sigaddset(&ending_set, *at);
        if (!is_ignored(*at) && !catch_one(*at, note)) {
            return -1;
        }
    }
    for (const int *at = others; *at; at++) {
        if (!is_ignored(*at) && !catch_one(*at, note)) {
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

int signals_end(int exit_code)
{
    if (signals_stop) {
        (void)signal(signals_stop, SIG_DFL);
        (void)raise(signals_stop);
    }
    return exit_code;
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

void signals_pass_on(posix_spawnattr_t *attributes)
{
    sigset_t usual = ignored_here;
    /* A child in a group of its own is in the background of every terminal: what it says there must
     * not stop it. */
    sigdelset(&usual, SIGTTOU);
    posix_spawnattr_setsigmask(attributes, &mask_at_start);
    posix_spawnattr_setsigdefault(attributes, &usual);
}
