/* Where the states of hakuban expose come from: lines of stdin, a file, or a command that is run
 * again and again. It knows pieces of bytes only, nothing of formats or exchanges. */
#ifndef HAKUBAN_TOOLS_INPUT_H
#define HAKUBAN_TOOLS_INPUT_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/text.h"

typedef enum input_kind { INPUT_LINES, INPUT_FILE, INPUT_COMMAND } input_kind;

/* One state. where and line say where it begins, for messages; line 0: lines mean nothing. */
typedef void (*input_fn)(void *ctx, const char *where, unsigned line, const text *data);

typedef struct input {
    input_kind kind;
    const char *path;  /* FILE; "-": all of stdin is one state */
    bool watch;        /* FILE: go on, every change is a state; not with "-" */
    uint64_t every_ms; /* COMMAND */
    char **command;    /* COMMAND: NULL ends it */
    input_fn give;
    void *ctx;

    bool ended;    /* nothing will come any more */
    bool failed;   /* it ended because it could not be read: reported */
    int fd;        /* to be polled for reading; -1: nothing */
    int notify_fd; /* likewise */
    text buffer;
    size_t scanned; /* of buffer: holds no newline */
    unsigned line;
    bool too_long; /* the line or output is being thrown away */
    pid_t pid;
    uint64_t started_ms; /* COMMAND: the last time */
    uint64_t next_ms;
    struct stat seen;
    text last; /* FILE: the content that was given last */
    bool has_last;
    bool notified;                    /* of a change that was not looked at yet */
    bool made_by_reading;             /* size and times tell nothing of a change */
    int watched_file, watched_folder; /* by notify_fd; -1: not */
    int last_error;
} input;

void input_start(input *in);
/* When input_step() has something to do without its descriptors; UINT64_MAX: never. wanted:
 * states are waited for. */
uint64_t input_due_ms(const input *in, bool wanted);
/* readable, notified: of fd and notify_fd; also after each SIGCHLD. */
void input_step(input *in, bool readable, bool notified, bool wanted);
/* A new observer waits for a state that is not older than its coming. */
void input_hurry(input *in);
void input_stop(input *in);

#endif
