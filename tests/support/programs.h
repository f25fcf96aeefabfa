/* Runs the built programs as a user would: arguments, lines in, lines out, signals, exit codes.
 * Every wait has a generous limit, after which the test fails and shows what the program said. */
#ifndef TESTS_SUPPORT_PROGRAMS_H
#define TESTS_SUPPORT_PROGRAMS_H

#include <stddef.h>
#include <sys/types.h>

typedef struct program program;

/* A program of $HAKUBAN_BIN or, with a / in its name, "examples/hello" of $HAKUBAN_EXAMPLES, or one
 * by its whole path; NULL ends the arguments. It dies with the test. */
program *program_run(const char *name, ...) __attribute__((sentinel));
program *program_run_list(const char *const *words);

/* The next line of stdout or stderr without its end, valid until the next call for the same; NULL
 * at the end. */
const char *program_line(program *p);
const char *program_error_line(program *p);
/* The next line that contains piece; the test fails where none comes. */
const char *program_find(program *p, const char *piece);
const char *program_find_error(program *p, const char *piece);
/* Fails the test if a line of stderr containing piece was or is there until the program has ended:
 * to be called before program_end(). Returns how many. */
unsigned program_count_errors(program *p, const char *piece);

void program_write(program *p, const char *text);
void program_close_input(program *p);
void program_close_output(program *p); /* our end of its stdout */
void program_signal(program *p, int number);
pid_t program_pid(const program *p);
/* Our end of its stdin, stdout or stderr (0, 1, 2), for tests that read or write many programs at
 * once; the functions above know nothing of what is read there. */
int program_fd(const program *p, int number);
/* Waits until it has ended by itself and forgets it: the exit code, or 128 + signal. */
int program_end(program *p);
/* program_signal() and program_end(). */
int program_stop(program *p, int number);

#define URL_BYTES 160
/* hakuban-router -b bind (NULL: a free port; TLS: with the certificate of certificates.h), ready.
 * More arguments follow bind; NULL ends them. */
program *router_run(char url[URL_BYTES], const char *bind, ...) __attribute__((sentinel));

/* A path in a fresh folder that is removed when the test program ends. */
const char *scratch_path(const char *name);
void scratch_write(const char *path, const char *text);

#endif
