/* hakuban expose: states from lines, a file or a command; the newest is kept and sent whenever
 * it is wanted. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/signals.h"
#include "input.h"
#include "session.h"

#define FLUSH_MS 2000
/* After a signal: the program ends within a second. */
#define HURRIED_FLUSH_MS (700 * SIGNALS_SLOWNESS)

typedef struct exposure {
    session s;
    interest wanted;
    input in;
    const char *format[HAKUBAN_FORMAT_NAMES_MAX];
    size_t format_count;
    uint32_t capacity;
    bool capacity_given, keep;
    hakuban_contract *contract;
    hakuban_sink *sink; /* NULL: no states are wanted from here now */
    hakuban_state *newest;
    bool sent; /* newest, to some sink */
    bool sent_any;
    bool refused;  /* some of the input: reported */
    int exit_code; /* -1: go on */
} exposure;

static void send_newest(exposure *e)
{
    if (!e->sink || !e->newest) {
        return;
    }
    hakuban_status status = hakuban_sink_send(e->sink, e->newest);
    if (status >= 0) {
        e->sent = e->sent_any = true;
    } else if (status != HAKUBAN_ERR_REVOKED) { /* SINK_CLOSE is on its way */
        report("state not sent: %s", hakuban_status_text(status));
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether the first line is the beginning of a JSON value that goes on. */
static bool begins_document(const exposure *e, unsigned line, const text *data,
                            const hakuban_error *error)
{
    size_t bytes = data->bytes;
    while (bytes > 0 && is_space(data->data[bytes - 1])) {
        bytes--;
    }
    return e->in.kind == INPUT_LINES && line == 1 && bytes > 0 && error->offset >= bytes;
}

/* Whether the input is what it is called; if not, that is reported. */
static bool check_input(exposure *e, const char *where, unsigned line, const text *data)
{
    hakuban_error error = {.status = HAKUBAN_OK};
    if (strcmp(e->format[e->format_count - 1], "JSON") != 0 ||
        json_check(data->data, data->bytes, &error)) {
        return true;
    }
    e->refused = true;
    if (begins_document(e, line, data, &error)) {
        report("%s: the value goes on after line 1, but each line is a state; a whole document is "
               "taken by --file -",
               where);
        e->in.ended = e->in.failed = true;
    } else if (line > 0) {
        report("%s line %u, column %u: %s; skipped", where, line + error.line - 1, error.column,
               error.text);
    } else {
        report("output of %s, line %u, column %u: %s; skipped", where, error.line, error.column,
               error.text);
    }
    return false;
}

/* A new state from the input. */
static void take(void *ctx, const char *where, unsigned line, const text *data)
{
    exposure *e = ctx;
    size_t bytes = data->bytes;
    if (!check_input(e, where, line, data)) {
        return;
    }
    if (strcmp(e->format[e->format_count - 1], "JSON") == 0) {
        while (bytes > 0 && is_space(data->data[bytes - 1])) {
            bytes--; /* the newline at the end of a file is no part of the value */
        }
    }
    if (e->in.kind == INPUT_FILE && e->newest) {
        hakuban_slice held = hakuban_state_data(e->newest);
        if (held.bytes == bytes && (bytes == 0 || memcmp(held.data, data->data, bytes) == 0)) {
            return; /* touched, not changed */
        }
    }
    hakuban_state_parts parts = {.data = data->data,
                                 .data_bytes = bytes,
                                 .format = e->format,
                                 .format_count = e->format_count};
    hakuban_state *state = NULL;
    hakuban_status status = hakuban_state_new(NULL, &parts, &state);
    if (status < 0) {
        report("%s line %u: %s; skipped", where, line, hakuban_status_text(status));
        e->refused = true;
        return;
    }
    hakuban_state_unref(e->newest);
    e->newest = state;
    e->sent = false;
    send_newest(e);
}

static void on_event(exposure *e, const hakuban_event *event)
{
    switch (event->kind) {
    case HAKUBAN_EVENT_CONNECTION:
        session_connection_changed(&e->s);
        break;
    case HAKUBAN_EVENT_SINK_OPEN:
        hakuban_sink_unref(e->sink);
        e->sink = hakuban_sink_ref(event->sink);
        /* What a command said some time ago is not the current state; it is run now instead. */
        if (e->in.kind == INPUT_COMMAND) {
            input_hurry(&e->in);
        } else {
            send_newest(e);
        }
        break;
    case HAKUBAN_EVENT_SINK_CLOSE:
        if (e->sink == event->sink) {
            e->sink = hakuban_sink_unref(e->sink);
        }
        break;
    default:
        break;
    }
}

/* The input has ended and the newest state was sent, or cannot be. */
static void finish(exposure *e)
{
    char buffer[512];
    const char *trouble = session_trouble(&e->s, buffer, sizeof(buffer));
    bool unsent = e->newest && !e->sent;
    e->exit_code = e->in.failed || e->refused ? EXIT_RUNTIME : 0;
    if (unsent && trouble) {
        report("not connected: %s; the last state was not sent", trouble);
        e->exit_code = EXIT_RUNTIME;
    } else if (unsent) {
        report("no observer wanted the last state; it was not sent");
    }
}

/* False: it is time to end. */
static bool on_signals(void)
{
    while (signals_next() != 0) {
        /* That it came is all that counts: the input looks after the command by itself. */
    }
    return !signals_stop;
}

static void run(exposure *e)
{
    uint64_t until_ms = UINT64_MAX;
    hakuban_contract_options options = {.size = sizeof(options),
                                        .capacity = e->capacity,
                                        .draining = e->capacity_given && e->capacity == 0,
                                        .queue = e->s.queue};
    hakuban_status status =
        hakuban_expose_object(e->s.exchange, e->wanted.object, &options, &e->contract);
    if (status < 0) {
        report("expose: %s", hakuban_status_text(status));
        e->exit_code = EXIT_RUNTIME;
        return;
    }
    e->in.give = take;
    e->in.ctx = e;
    input_start(&e->in);
    while (e->exit_code < 0) {
        hakuban_event event;
        while (hakuban_queue_next(e->s.queue, 0, &event) >= 0) {
            on_event(e, &event);
            hakuban_event_done(&event);
        }
        if (e->in.ended && (!e->keep || !e->newest || e->in.failed)) {
            if (until_ms == UINT64_MAX) {
                until_ms = now_ms() + FLUSH_MS;
            }
            if (!e->newest || e->in.failed || e->sent || now_ms() >= until_ms) {
                finish(e);
                break;
            }
        }
        struct pollfd fds[4] = {{.fd = e->s.queue_fd, .events = POLLIN},
                                {.fd = e->s.signal_fd, .events = POLLIN},
                                {.fd = e->in.fd, .events = POLLIN},
                                {.fd = e->in.notify_fd, .events = POLLIN}};
        uint64_t due_ms = input_due_ms(&e->in, e->sink != NULL);
        bool any = poll(fds, 4, poll_timeout_ms(due_ms < until_ms ? due_ms : until_ms)) > 0;
        if (!on_signals()) {
            e->exit_code = 0;
            break;
        }
        input_step(&e->in, any && fds[2].revents, any && fds[3].revents, e->sink != NULL);
    }
}

static int exposure_end(exposure *e)
{
    input_stop(&e->in);
    /* The contract lives until everything has left: an end in order is what promises the last state
     * to observers. */
    hakuban_sink_unref(e->sink);
    signals_exit_code = e->sent_any ? EXIT_RUNTIME : 0;
    if (e->s.exchange) {
        hakuban_status status =
            hakuban_exchange_close(e->s.exchange, signals_stop ? HURRIED_FLUSH_MS : FLUSH_MS);
        if (status < 0 && e->sent_any && e->exit_code == 0) {
            char buffer[512];
            bool late = status == HAKUBAN_ERR_TIMEOUT;
            report("the last state may not have arrived: %s",
                   late ? hakuban_status_text(status)
                        : upstream_trouble(e->s.connection, e->s.url, buffer, sizeof(buffer)));
            e->exit_code = EXIT_RUNTIME;
        }
    }
    hakuban_contract_free(e->contract);
    (void)session_close(&e->s, 0);
    hakuban_state_unref(e->newest);
    hakuban_descriptor_unref(e->wanted.object);
    return e->exit_code;
}

enum {
    OPTION_CAPACITY = OPTION_OWN,
    OPTION_FORMAT,
    OPTION_KEEP,
    OPTION_FILE,
    OPTION_WATCH,
    OPTION_EVERY
};

static const arg_option expose_options[] = {SESSION_OPTIONS,
                                            {"--capacity", 0, true, OPTION_CAPACITY},
                                            {"--format", 0, true, OPTION_FORMAT},
                                            {"--keep", 0, false, OPTION_KEEP},
                                            {"--file", 0, true, OPTION_FILE},
                                            {"--watch", 0, false, OPTION_WATCH},
                                            {"--every", 0, true, OPTION_EVERY},
                                            {NULL, 0, false, 0}};

static const char expose_help[] =
    "usage: hakuban expose [-c URL] [--tag JSON]... OBJECT_JSON\n"
    "       hakuban expose ... OBJECT_JSON --file PATH [--watch]\n"
    "       hakuban expose ... OBJECT_JSON --every TIME -- COMMAND [ARGUMENT]...\n"
    "\n"
    "Each line of stdin is a state of the object. Input is read at once; the newest state\n"
    "is kept and sent when it is wanted. At the end of input what was sent is given up to\n"
    "2 s to arrive. Exit code 1 where some of the input was refused, or the last state may\n"
    "not have arrived.\n"
    "\n"
    "  -c, --connect URL  where the router is; default $HAKUBAN_URL, else\n"
    "                     tcp://127.0.0.1:3001\n"
    "      --tag JSON     a tag of the object, e.g. '\"cpu\"'; may be repeated\n"
    "      --capacity N   weight among several exposers; default 1, 0: never chosen\n"
    "      --format NAME  what the data is; default JSON, which is checked. Repeated:\n"
    "                     encodings around it, innermost first. ERROR: why there is none\n"
    "      --keep         go on with the last state at the end of input\n"
    "      --file PATH    the whole file is one state; with --watch each change is the next;\n"
    "                     - is all of stdin\n"
    "      --every TIME   run COMMAND so often while states are wanted, and when an observer\n"
    "                     comes; its output is one\n"
    "  -v, --verbose      say more on stderr; twice: everything\n"
    "  -h, --help         this text\n"
    "\n"
    "example: hakuban expose --tag '\"cpu\"' '{\"host\":\"a\"}' --every 1s -- \\\n"
    "             awk '{print $1}' /proc/loadavg\n";

/* What was given must make sense together. */
static bool check_arguments(exposure *e, bool every, char **operands, int operand_count)
{
    if (operand_count == 0) {
        report("the object is missing (see --help)");
    } else if (e->in.watch && !e->in.path) {
        report("--watch needs --file");
    } else if (e->in.watch && strcmp(e->in.path, "-") == 0) {
        report("--watch --file -: the standard input ends once and does not change");
    } else if (e->in.path && every) {
        report("--file and --every: one source of states is enough");
    } else if (every && operand_count < 2) {
        report("--every needs a command after --");
    } else if (!every && operand_count > 1) {
        report("%s: one object is enough (a command needs --every)", operands[1]);
    } else {
        return interest_set_object(&e->wanted, operands[0]);
    }
    return false;
}

/* -1: go on; otherwise the exit code. operands has room for all of argv and NULL. */
static int read_arguments(exposure *e, int argc, char **argv, char **operands)
{
    arg_reader reader = {.argc = argc, .index = 0, .argv = argv};
    const char *value = NULL;
    int id, operand_count = 0;
    bool every = false;
    while ((id = arg_next(&reader, expose_options, &value)) != ARG_END) {
        bool good = true;
        switch (id) {
        case OPTION_CONNECT:
            e->s.url = value;
            e->s.url_origin = "--connect";
            break;
        case OPTION_TAG:
            good = interest_add_tag(&e->wanted, value);
            break;
        case OPTION_VERBOSE:
            e->s.verbosity++;
            break;
        case OPTION_HELP:
            fputs(expose_help, stdout);
            return 0;
        case OPTION_CAPACITY:
            good = arg_number("--capacity", value, 0, UINT32_MAX, &e->capacity);
            e->capacity_given = true;
            break;
        case OPTION_FORMAT:
            good = e->format_count < HAKUBAN_FORMAT_NAMES_MAX;
            if (!good) {
                report("--format %s: more than %d names", value, HAKUBAN_FORMAT_NAMES_MAX);
            } else {
                e->format[e->format_count++] = value;
            }
            break;
        case OPTION_KEEP:
            e->keep = true;
            break;
        case OPTION_FILE:
            e->in.kind = INPUT_FILE;
            e->in.path = value;
            break;
        case OPTION_WATCH:
            e->in.watch = true;
            break;
        case OPTION_EVERY:
            e->in.kind = INPUT_COMMAND;
            good = arg_duration("--every", value, &e->in.every_ms);
            every = true;
            break;
        case ARG_OPERAND:
            operands[operand_count++] = argv[reader.index - 1];
            break;
        default:
            good = false;
        }
        if (!good) {
            return EXIT_USAGE;
        }
    }
    if (e->format_count == 0) {
        e->format[e->format_count++] = "JSON";
    }
    e->in.command = operands + 1;
    return check_arguments(e, every, operands, operand_count) ? -1 : EXIT_USAGE;
}

int verb_expose(int argc, char **argv)
{
    exposure e = {.exit_code = -1};
    char **operands = calloc((size_t)argc + 2, sizeof(*operands));
    if (!operands) {
        out_of_memory();
    }
    e.exit_code = read_arguments(&e, argc, argv, operands);
    if (e.exit_code < 0) {
        int code = session_open(&e.s);
        e.exit_code = code == 0 ? -1 : code;
    }
    if (e.exit_code < 0) {
        run(&e);
    }
    free(operands);
    return exposure_end(&e);
}
