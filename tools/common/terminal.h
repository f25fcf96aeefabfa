/* Reading the terminal only when it is this program's turn. */
#ifndef HAKUBAN_TOOLS_TERMINAL_H
#define HAKUBAN_TOOLS_TERMINAL_H

#include <stdbool.h>

/* How often a program in the background looks whether it was brought to the foreground. */
#define TERMINAL_LOOK_MS 1000

/* Whether fd is a terminal that another job reads now: what is typed there is not for this one. */
bool terminal_is_taken(int fd);

#endif
