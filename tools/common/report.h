/* What people read on stderr: one line each, with the program's name in front. Nothing waits for
 * its reader: what is not read in time is lost and counted (writer.h). Control characters are shown
 * escaped. */
#ifndef HAKUBAN_TOOLS_REPORT_H
#define HAKUBAN_TOOLS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include <hakuban/hakuban.h>

extern const char *report_name;

/* Second in main(), after signals_start(): the program's name. Also makes sure that descriptors 0
 * to 2 are open, so that no socket becomes the standard output. At exit what was reported gets a
 * moment to be read. */
void report_start(const char *name);
void report(const char *format, ...) HAKUBAN_PRINTF(1, 2);
/* Gives what was reported a moment to be read; done at exit by itself. */
void report_flush(void);
/* Lines without the program's name, such as a picture of everything. */
void report_lines(const char *lines, size_t bytes);
/* What is wrong with a JSON text of the command line, and what was perhaps meant. */
void report_bad_json(const char *what, const char *json, const hakuban_error *error);
/* The log of an exchange: warnings always, more with each -v. */
hakuban_log report_log(unsigned verbosity);

/* Milliseconds of the monotonic clock. */
uint64_t now_ms(void);
/* How long poll(2) may wait until then, rounded to what it takes; UINT64_MAX: for ever. */
int poll_timeout_ms(uint64_t until_ms);

#endif
