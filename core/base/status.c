/* The texts of statuses, filling in errors, and failed assertions. Prints nothing. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include <hakuban/plugin/transport.h>

const char *hakuban_status_text(hakuban_status status)
{
    switch (status) {
    case HAKUBAN_OK:
        return "ok";
    case HAKUBAN_OK_FULL:
        return "taken, but no more for now";
    case HAKUBAN_ERR_ARGUMENT:
        return "an argument is missing or out of its range";
    case HAKUBAN_ERR_NO_MEMORY:
        return "out of memory";
    case HAKUBAN_ERR_PARSE:
        return "malformed input";
    case HAKUBAN_ERR_URL:
        return "malformed or unsupported URL";
    case HAKUBAN_ERR_LIMIT:
        return "over a limit";
    case HAKUBAN_ERR_TIMEOUT:
        return "timed out";
    case HAKUBAN_ERR_CLOSED:
        return "closed";
    case HAKUBAN_ERR_REVOKED:
        return "this sink is no longer the object's chosen one";
    case HAKUBAN_ERR_VERSION:
        return "the version is below the greatest one known";
    case HAKUBAN_ERR_WOULD_BLOCK:
        return "would block inside a callback";
    case HAKUBAN_ERR_UNSUPPORTED:
        return "not built in, or not known to the other side";
    case HAKUBAN_ERR_PROTOCOL:
        return "the other side broke the protocol";
    case HAKUBAN_ERR_REFUSED:
        return "the other side refused";
    case HAKUBAN_ERR_IO:
        return "the operating system reported an error";
    case HAKUBAN_ERR_NOT_FOUND:
        return "there is no such thing";
    case HAKUBAN_ERR_EXISTS:
        return "it exists already";
    case HAKUBAN_ERR_CORRUPT:
        return "the data does not match its check value";
    case HAKUBAN_ERR_LOOP:
        return "this connection would close a loop of hubs";
    case HAKUBAN_ERR_INTERRUPTED:
        return "woken before anything came";
    }
    return "unknown status";
}

const char *hakuban_version(void)
{
    return HAKUBAN_VERSION;
}

static void fill(hakuban_error *reterr, hakuban_status status, size_t offset, unsigned line,
                 unsigned column, const char *format, va_list arguments) HAKUBAN_PRINTF(6, 0);

static void fill(hakuban_error *reterr, hakuban_status status, size_t offset, unsigned line,
                 unsigned column, const char *format, va_list arguments)
{
    /* Built in a copy, because the arguments may point into *reterr when a text is added to an
     * error. */
    hakuban_error error = {.status = status, .offset = offset, .line = line, .column = column};
    char text[sizeof(error.text)];
    if (vsnprintf(text, sizeof(text), format, arguments) < 0) {
        text[0] = '\0';
    }
    (void)hakuban_printable(error.text, sizeof(error.text), text, strlen(text));
    *reterr = error;
}

hakuban_status hkb_error_set_v(hakuban_error *reterr, hakuban_status status, const char *format,
                               va_list arguments)
{
    if (reterr) {
        fill(reterr, status, 0, 0, 0, format, arguments);
    }
    return status;
}

hakuban_status hakuban_error_set(hakuban_error *reterr, hakuban_status status, const char *format,
                                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    hkb_error_set_v(reterr, status, format, arguments);
    va_end(arguments);
    return status;
}

hakuban_status hkb_error_at(hakuban_error *reterr, hakuban_status status, size_t offset,
                            unsigned line, unsigned column, const char *format, ...)
{
    if (reterr) {
        va_list arguments;
        va_start(arguments, format);
        fill(reterr, status, offset, line, column, format, arguments);
        va_end(arguments);
    }
    return status;
}

_Noreturn void hkb_assert_failed(const char *text, const char *file, int line)
{
    /* A debugger and a core dump show these three variables; volatile keeps them on the stack. */
    const char *volatile failed_text = text;
    const char *volatile failed_file = file;
    volatile int failed_line = line;
    (void)failed_text;
    (void)failed_file;
    (void)failed_line;
    abort();
}
