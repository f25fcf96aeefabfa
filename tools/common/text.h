/* Text that grows, and the few pieces of JSON that the tools print. It knows nothing of exchanges.
 * Running out of memory ends the program in words: a tool has nothing to save. */
#ifndef HAKUBAN_TOOLS_TEXT_H
#define HAKUBAN_TOOLS_TEXT_H

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <hakuban/hakuban.h>

typedef struct text {
    char *data; /* NULL while nothing was ever added; terminated otherwise */
    size_t bytes, capacity;
} text;

void text_free(text *t);
void text_clear(text *t);
/* Room for so many more bytes: where to put them. */
char *text_reserve(text *t, size_t bytes);
void text_add(text *t, const void *data, size_t bytes);
void text_add_string(text *t, const char *string);
void text_printf(text *t, const char *format, ...) HAKUBAN_PRINTF(2, 3);
void text_vprintf(text *t, const char *format, va_list arguments) HAKUBAN_PRINTF(2, 0);

/* Data of others, safe for a terminal (hakuban_printable()). */
void text_add_printable(text *t, const char *data, size_t bytes);
/* The same, with line ends and tabs as they are. */
void text_add_printable_lines(text *t, const char *data, size_t bytes);

/* A JSON string, safe for a terminal; what is not UTF-8 becomes U+FFFD. */
void text_add_json_string(text *t, const void *data, size_t bytes);
/* A valid JSON text without the white space outside its strings, safe for a terminal: the same
 * value, with control characters as escapes. */
void text_add_compact_json(text *t, const char *json, size_t bytes);
void text_add_base64(text *t, const void *data, size_t bytes);

/* Whether the bytes are one JSON value, by the library's own rules. The data must be terminated
 * behind its last byte. */
bool json_check(const char *data, size_t bytes, hakuban_error *reterr);

/* Writes everything; -1: errno says why, EINTR only once *stop is set. */
int write_all(int fd, const void *data, size_t bytes, const volatile sig_atomic_t *stop);

void out_of_memory(void) __attribute__((noreturn));

#endif
