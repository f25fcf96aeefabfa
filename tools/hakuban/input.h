/* Where the states of hakuban expose come from: lines of stdin, a file, or a command that is run
 * again and again. It knows pieces of bytes only, nothing of formats or exchanges. */
#ifndef HAKUBAN_TOOLS_INPUT_H
#define HAKUBAN_TOOLS_INPUT_H

#include <sys/stat.h>
#include <sys/types.h>

#include "common/text.h"

typedef enum input_kind { INPUT_LINES, INPUT_FILE, INPUT_COMMAND } input_kind;

/* One state. where and line say where it begins, for messages; line 0: lines mean nothing. */
typedef void (*input_fn)(void *ctx, const char *where, unsigned line, const text *data);

typedef struct input {
    input_kind kind;
    const char *path;  /* FILE */
    bool watch;        /* FILE: go on, every change is a state */
    uint64_t every_ms; /* COMMAND */
    char **command;    /* COMMAND: NULL ends it */
    input_fn give;
    void *ctx;

    bool ended;  /* nothing will come any more */
    bool failed; /* it ended because it could not be read: reported */
    int fd;      /* to be polled for reading; -1: nothing */
    text buffer;
    size_t scanned; /* of buffer: holds no newline */
    unsigned line;
    bool too_long; /* the line or output is being thrown away */
    pid_t pid;
    uint64_t next_ms;
    struct stat seen;
    int last_error;
} input;

void input_start(input *in);
/* When input_step() has something to do without its descriptor; UINT64_MAX: never. wanted: states
 * are waited for. */
uint64_t input_due_ms(const input *in, bool wanted);
void input_step(input *in, bool readable, bool wanted);
void input_stop(input *in);

#endif
