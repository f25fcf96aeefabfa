/* Texts of statuses, filled-in errors, and the end of a program that has found a bug of ours.
 * Prints nothing. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include <hakuban/plugin/transport.h>

const char *hakuban_status_text(hakuban_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case HAKUBAN_##name:                                                                           \
        return text;
        HAKUBAN_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
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
    /* Built aside, because the arguments may lie in *reterr itself when an error is told with more
     * words. */
    hakuban_error error = {.status = status, .offset = offset, .line = line, .column = column};
    if (vsnprintf(error.text, sizeof(error.text), format, arguments) < 0) {
        error.text[0] = '\0';
    }
    hkb_one_line(error.text);
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
    /* A debugger and a core dump show the three; volatile keeps them there. */
    const char *volatile failed_text = text;
    const char *volatile failed_file = file;
    volatile int failed_line = line;
    (void)failed_text;
    (void)failed_file;
    (void)failed_line;
    abort();
}
