/* Signals as bytes in a pipe, to be polled with everything else. */
#ifndef HAKUBAN_TOOLS_SIGNALS_H
#define HAKUBAN_TOOLS_SIGNALS_H

#include <signal.h>

/* Catches the signals from now on; list ends with 0. Returns a descriptor that is readable when one
 * came; negative: errno. System calls are interrupted, so a write to a stuck pipe ends too. */
int signals_catch(const int *list);
/* The next signal that came, or 0. */
int signals_next(void);
/* Not 0 once one has come; for programs that every signal ends. */
extern volatile int signals_stop;
/* So that threads made in between leave the signals to this one. */
void signals_block(sigset_t *ret_before);
void signals_unblock(const sigset_t *before);

#endif
