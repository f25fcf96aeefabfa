/* How the program was started and how it is told to end.
 *
 * A signal that the starter ignores stays ignored (nohup, background jobs of a shell); a signal
 * that the starter blocks is unblocked where the program listens to it. */
#ifndef HAKUBAN_TOOLS_SIGNALS_H
#define HAKUBAN_TOOLS_SIGNALS_H

#include <signal.h>
#include <spawn.h>

/* Under a sanitizer a program is many times as slow: it has so much more time to end. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SIGNALS_SLOWNESS 4
#else
#define SIGNALS_SLOWNESS 1
#endif

/* The first thing in main(): notes what the starter ignores and blocks. A write to a pipe without a
 * reader, to a file over its size limit or to the terminal of another job then fails or works, and
 * neither ends nor stops the program. */
void signals_start(void);
/* Catches the signals from now on; both lists end with 0. The first of `ending` also starts a
 * clock: when SIGNALS_END_MS are over, the program ends with signals_exit_code, whatever it waits
 * for. Returns a descriptor that is readable when a signal came; negative: errno. System calls are
 * interrupted. */
#define SIGNALS_END_MS (950 * SIGNALS_SLOWNESS)
int signals_catch(const int *ending, const int *others);
/* The next signal that came, or 0. */
int signals_next(void);
/* The first signal of `ending` that came, or 0. */
extern volatile sig_atomic_t signals_stop;
extern volatile sig_atomic_t signals_exit_code;
/* The end of main() for a program whose work was cut short: ends by signals_stop, so that a shell's
 * loop ends too; returns exit_code where no signal came. */
int signals_end(int exit_code);
/* So that threads made in between leave the signals to this one. */
void signals_block(sigset_t *ret_before);
void signals_unblock(const sigset_t *before);
/* Gives a child the signals as the starter gave them to this program. */
void signals_pass_on(posix_spawnattr_t *attributes);

#endif
