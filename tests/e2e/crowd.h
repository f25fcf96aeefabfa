/* Many programs at once, none of which can make the test wait: what they say is read and logged as
 * it comes, what is said to one that does not read is kept, newest line only. Knows nothing of what
 * the lines mean. */
#ifndef TESTS_E2E_CROWD_H
#define TESTS_E2E_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "programs.h"

typedef struct member member;
typedef void (*member_line_fn)(void *ctx, const char *line);

/* Logs go to folder, which must exist, one file for each member. failed: is told in words when a
 * program ends by itself or a sanitizer speaks, and must not return. */
void crowd_begin(const char *folder, void (*failed)(const char *text));
/* Kills what still runs and forgets all members. */
void crowd_end(void);
uint64_t crowd_now_ms(void);
/* Reads and writes what there is to read and write until then. */
void crowd_turn(uint64_t until_ms);

/* name: copied, also that of its log. line: gets each line of stdout; may be NULL. */
member *member_new(const char *name, member_line_fn line, void *ctx);
const char *member_name(const member *m);
bool member_runs(const member *m);
bool member_is_frozen(const member *m);
void member_start(member *m, const char *const *words);
/* One line, without its end, for stdin. Dropped where the program does not run. */
void member_say(member *m, const char *line);
/* Whether it says that it has lost its connection, and not yet that it has it again. */
bool member_is_away(const member *m);
/* How many connections have been lost by silence, as all members say. */
unsigned crowd_silences(void);
/* Whether all that was said was written. */
bool member_was_heard(const member *m);
void member_freeze(member *m);
void member_thaw(member *m);
void member_signal(member *m, int number);
/* Sends the signal and turns until it has ended: the exit code or 128 + signal; -1 where it did not
 * within limit_ms. */
int member_stop(member *m, int number, uint64_t limit_ms);
/* Resident memory at most so far, KiB; 0 where it does not run. */
unsigned long member_peak_kib(const member *m);

#endif
