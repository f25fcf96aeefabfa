/* What people read on stderr, and the clock. */
#define _GNU_SOURCE
#include "common/report.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/signals.h"
#include "common/text.h"
#include "common/writer.h"

/* Of a longer line the middle is left out: what is wrong is said at its end. */
#define LINE_BYTES_MAX 2000
/* Of an argument that is repeated in a message. */
#define ARGUMENT_BYTES_MAX 200
/* At the end; after a signal the program ends within a second. */
#define FLUSH_MS 2000
#define HURRIED_FLUSH_MS 200

const char *report_name = "hakuban";
static writer standard_error = WRITER_INIT(STDERR_FILENO, "stderr");

void report_flush(void)
{
    writer_flush(&standard_error, signals_stop ? HURRIED_FLUSH_MS : FLUSH_MS);
}

void report(const char *format, ...)
{
    text line = {NULL, 0, 0}, said = {NULL, 0, 0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&said, format, arguments);
    va_end(arguments);
    text_printf(&line, "%s: ", report_name);
    if (said.bytes > LINE_BYTES_MAX) {
        text_add_printable(&line, said.data, LINE_BYTES_MAX / 2);
        text_add_string(&line, " ... ");
        text_add_printable(&line, said.data + said.bytes - LINE_BYTES_MAX / 2, LINE_BYTES_MAX / 2);
    } else {
        text_add_printable(&line, said.data, said.bytes);
    }
    text_add_string(&line, "\n");
    writer_put(&standard_error, line.data, line.bytes);
    text_free(&line);
    text_free(&said);
}

void report_lines(const char *lines, size_t bytes)
{
    text shown = {NULL, 0, 0};
    text_add_printable_lines(&shown, lines, bytes);
    writer_put(&standard_error, shown.data, shown.bytes);
    text_free(&shown);
}

static void write_log(void *ctx, hakuban_log_level level, const char *room, const char *words)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    (void)ctx;
    report("%s: %s: %s", names[level], room, words);
}

hakuban_log report_log(unsigned verbosity)
{
    hakuban_log log = {.write = write_log, .level = HAKUBAN_LOG_WARNING};
    if (verbosity > 0) {
        log.level = verbosity > 1 ? HAKUBAN_LOG_DEBUG : HAKUBAN_LOG_INFO;
    }
    return log;
}

uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ThreadSanitizer runs a signal's handler at the next call that it knows: one that came just before
 * a poll would wait for the end of that. */
#if defined(__SANITIZE_THREAD__)
#define FOR_EVER_MS 500
#else
#define FOR_EVER_MS (-1)
#endif

int poll_timeout_ms(uint64_t until_ms)
{
    if (until_ms == UINT64_MAX) {
        return FOR_EVER_MS;
    }
    uint64_t now = now_ms();
    if (until_ms <= now) {
        return 0;
    }
    return until_ms - now > INT_MAX ? INT_MAX : (int)(until_ms - now);
}

void report_start(const char *name)
{
    report_name = name;
    for (int fd = 0; fd <= 2; fd++) {
        /* Use of it fails, as it should. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) {
            _exit(EXIT_FAILURE); /* a socket would become the standard output */
        }
    }
    (void)atexit(report_flush);
}

/* Bare words are the commonest mistake: JSON strings need quotes, and the shell takes one pair of
 * them. */
void report_bad_json(const char *what, const char *json, const hakuban_error *error)
{
    text hint = {NULL, 0, 0};
    size_t length = strlen(json);
    if (error->status == HAKUBAN_ERR_PARSE && *json && length <= ARGUMENT_BYTES_MAX &&
        !strchr("{[\" \t\n", *json)) {
        text quoted = {NULL, 0, 0};
        text_add_json_string(&quoted, json, length);
        text_add_string(&hint, "; did you mean '");
        for (const char *c = quoted.data; *c; c++) {
            text_add_string(&hint, *c == '\'' ? "'\\''" : (char[2]){*c, '\0'});
        }
        text_add_string(&hint, "'");
        text_free(&quoted);
    }
    int shown = length > ARGUMENT_BYTES_MAX ? ARGUMENT_BYTES_MAX : (int)length;
    const char *more = length > ARGUMENT_BYTES_MAX ? "..." : "";
    if (error->line > 0) {
        report("%s %.*s%s: line %u, column %u: %s%s", what, shown, json, more, error->line,
               error->column, error->text, hint.data ? hint.data : "");
    } else {
        report("%s %.*s%s: %s%s", what, shown, json, more, error->text, hint.data ? hint.data : "");
    }
    text_free(&hint);
}
