/* What every fallible call answers, and where bad input went wrong. */
#ifndef HAKUBAN_STATUS_H
#define HAKUBAN_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 0 is success, positive a success with a remark, negative a failure. Values are never reused. */
typedef enum hakuban_status {
    HAKUBAN_OK = 0,                /* ok */
    HAKUBAN_OK_FULL = 1,           /* taken, but no more for now */
    HAKUBAN_ERR_ARGUMENT = -1,     /* an argument is missing or out of its range */
    HAKUBAN_ERR_NO_MEMORY = -2,    /* out of memory */
    HAKUBAN_ERR_PARSE = -3,        /* malformed input */
    HAKUBAN_ERR_URL = -4,          /* malformed or unsupported URL */
    HAKUBAN_ERR_LIMIT = -5,        /* over a limit */
    HAKUBAN_ERR_TIMEOUT = -6,      /* timed out */
    HAKUBAN_ERR_CLOSED = -7,       /* closed */
    HAKUBAN_ERR_REVOKED = -8,      /* this sink is no longer the object's chosen one */
    HAKUBAN_ERR_VERSION = -9,      /* the version is below the greatest one known */
    HAKUBAN_ERR_WOULD_BLOCK = -10, /* would block inside a callback */
    HAKUBAN_ERR_UNSUPPORTED = -11, /* not built in, or not known to the other side */
    HAKUBAN_ERR_PROTOCOL = -12,    /* the other side broke the protocol */
    HAKUBAN_ERR_REFUSED = -13,     /* the other side refused */
    HAKUBAN_ERR_IO = -14,          /* the operating system reported an error */
    HAKUBAN_ERR_NOT_FOUND = -15,   /* there is no such thing */
    HAKUBAN_ERR_EXISTS = -16,      /* it exists already */
    HAKUBAN_ERR_CORRUPT = -17,     /* the data does not match its check value */
    HAKUBAN_ERR_LOOP = -18,        /* this connection would close a loop of hubs */
    HAKUBAN_ERR_INTERRUPTED = -19, /* woken before anything came */
} hakuban_status;

/* Filled in by calls that take text or bytes from outside; untouched on success. */
typedef struct hakuban_error {
    hakuban_status status;
    size_t offset;   /* bytes from the beginning of the input */
    unsigned line;   /* 1-based; 0 where lines mean nothing */
    unsigned column; /* 1-based, in bytes; 0 where columns mean nothing */
    char text[232];  /* one line, no newline, always terminated */
} hakuban_error;

/**
 * The one-line text of a status.
 *
 * @return static text; "unknown status" for a value that is none
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_status_text(hakuban_status status);

#ifdef __cplusplus
}
#endif

#endif
