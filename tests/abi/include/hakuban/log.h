/* Log lines leave the library through one function of the user's; the library itself prints
 * nothing. */
#ifndef HAKUBAN_LOG_H
#define HAKUBAN_LOG_H

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
 * call back into the exchange. room is e.g. "link"; text is one line, bytes of peers are escaped in
 * it, borrowed for the call. */
typedef void (*hakuban_log_fn)(void *ctx, hakuban_log_level level, const char *room,
                               const char *text);

typedef struct hakuban_log {
    void *ctx;
    hakuban_log_fn write;    /* NULL: no lines */
    hakuban_log_level level; /* lines above it are not even formatted */
} hakuban_log;

#ifdef __cplusplus
}
#endif

#endif
