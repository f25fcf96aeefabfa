/* What people read on stderr, and the clock. */
#define _GNU_SOURCE
#include "common/report.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/text.h"

const char *report_name = "hakuban";

/* One write per line, so that lines of several processes do not mix. */
void report(const char *format, ...)
{
    char line[2048];
    int used = snprintf(line, sizeof(line), "%s: ", report_name);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, arguments);
    va_end(arguments);
    size_t bytes = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (bytes > sizeof(line) - 2) {
        bytes = sizeof(line) - 2;
    }
    line[bytes++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, bytes);
    (void)written; /* there is no place left to say it */
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

int poll_timeout_ms(uint64_t until_ms)
{
    if (until_ms == UINT64_MAX) {
        return -1;
    }
    uint64_t now = now_ms();
    if (until_ms <= now) {
        return 0;
    }
    return until_ms - now > INT_MAX ? INT_MAX : (int)(until_ms - now);
}

void standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null",
                       fd == 0 ? O_WRONLY : O_RDONLY); /* use of it fails, as it should */
        }
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Bare words are the commonest mistake: JSON strings need quotes, and the shell takes one pair of
 * them. */
void report_bad_json(const char *what, const char *json, const hakuban_error *error)
{
    text hint = {NULL, 0, 0};
    if (error->status == HAKUBAN_ERR_PARSE && *json && !strchr("{[\" \t\n", *json)) {
        text quoted = {NULL, 0, 0};
        text_add_json_string(&quoted, json, strlen(json));
        text_add_string(&hint, "; did you mean '");
        for (const char *c = quoted.data; *c; c++) {
            text_add_string(&hint, *c == '\'' ? "'\\''" : (char[2]){*c, '\0'});
        }
        text_add_string(&hint, "'");
        text_free(&quoted);
    }
    if (error->line > 0) {
        report("%s %s: line %u, column %u: %s%s", what, json, error->line, error->column,
               error->text, hint.data ? hint.data : "");
    } else {
        report("%s %s: %s%s", what, json, error->text, hint.data ? hint.data : "");
    }
    text_free(&hint);
}
