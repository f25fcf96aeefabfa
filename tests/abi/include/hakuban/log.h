/* Log lines leave the library through one function of the user's; the library itself prints
 * nothing. */
#ifndef HAKUBAN_LOG_H
#define HAKUBAN_LOG_H

#include <stddef.h>

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hakuban_log_level {
    HAKUBAN_LOG_NONE = 0,
    HAKUBAN_LOG_ERROR = 1,
    HAKUBAN_LOG_WARNING = 2,
    HAKUBAN_LOG_INFO = 3,
    HAKUBAN_LOG_DEBUG = 4,
} hakuban_log_level;

/* Called from any thread, with no lock of the library held except the exchange's own: it must not
 * call back into the exchange, and it must not wait, because the exchange waits for it. room is
 * e.g. "link"; text is one line, borrowed for the call, with the bytes of peers shown as by
 * hakuban_printable(). In 10 s there are at most 100 lines of each kind that peers can cause, and
 * 10 because of one peer's states; a line says how many were left out. */
typedef void (*hakuban_log_fn)(void *ctx, hakuban_log_level level, const char *room,
                               const char *text);

typedef struct hakuban_log {
    void *ctx;
    hakuban_log_fn write;    /* NULL: no lines */
    hakuban_log_level level; /* lines above it are not even formatted */
} hakuban_log;

/**
 * Text for people out of what peers sent: nothing in it moves a cursor, changes colours or the
 * direction of writing, hides, or ends the line.
 *
 * Control and format characters (U+0000 to U+001F, U+007F to U+009F, marks of direction, of no
 * width, and separators of lines) become \uXXXX as in JSON strings, above U+FFFF two of them;
 * bytes that are no UTF-8 become \xXX. Everything else stays: a JSON text without white space
 * stays the same value.
 *
 * @param out        filled in and terminated; an escape or character that does not fit whole is
 * left out with all that follows; may be NULL where out_bytes is 0
 * @param out_bytes  size of out
 * @param text       borrowed for the call; may be NULL where bytes is 0
 * @param bytes      size of text
 * @return the bytes that all of it needs, without the terminating zero
 * @thread any
 * @since 0.1
 */
HAKUBAN_API size_t hakuban_printable(char *out, size_t out_bytes, const void *text, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
