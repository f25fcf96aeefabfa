/* A program with our library in it that does what its standard input says and tells on standard
 * output what happens: the same commands and events as the Rust leaf in client/ (README.md has
 * them). Public headers only. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "common/report.h"
#include "common/text.h"

enum { WORDS_MAX = 16, NAMES_MAX = 16, LEAF_CLOSE_MS = 5000 };

/* One contract by its name; its open sinks are in the leaf's list. */
typedef struct interest {
    char *id;
    hakuban_contract *contract;
    struct interest *next;
} interest;

typedef struct open_sink {
    interest *of;
    hakuban_sink *sink;
    struct open_sink *next;
} open_sink;

typedef struct leaf {
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    hakuban_connection *connection;
    interest *interests;
    open_sink *sinks;
    text line;
} leaf;

static void *needed(void *memory)
{
    if (!memory) {
        out_of_memory();
    }
    return memory;
}

static void tell(leaf *l)
{
    static const volatile int never = 0;
    text_add_string(&l->line, "}\n");
    if (write_all(STDOUT_FILENO, l->line.data, l->line.bytes, &never) != 0) {
        exit(EXIT_FAILURE); /* the reader has gone */
    }
}

static void add_key(leaf *l, const char *key, const char *value)
{
    text_printf(&l->line, "%s\"%s\":", l->line.bytes > 1 ? "," : "", key);
    text_add_json_string(&l->line, value, strlen(value));
}

static void begin(leaf *l, const char *key, const char *value)
{
    text_clear(&l->line);
    text_add_string(&l->line, "{");
    add_key(l, key, value);
}

static void begin_of(leaf *l, const interest *of, const char *event,
                     const hakuban_descriptor *object)
{
    begin(l, "event", event);
    add_key(l, "id", of->id);
    text_printf(&l->line, ",\"object\":%s,\"tags\":[", hakuban_descriptor_json(object));
    for (size_t i = 0; i < hakuban_descriptor_tag_count(object); i++) {
        text_printf(&l->line, "%s%s", i > 0 ? "," : "", hakuban_descriptor_tag(object, i));
    }
    text_add_string(&l->line, "]");
}

static void add_state(leaf *l, const hakuban_event *event)
{
    size_t count = 0, names = hakuban_state_format_count(event->state);
    const int64_t *version = hakuban_state_version(event->state, &count);
    hakuban_slice data = hakuban_state_data(event->state);
    text_add_string(&l->line, ",\"version\":[");
    for (size_t i = 0; i < count; i++) {
        text_printf(&l->line, "%s%lld", i > 0 ? "," : "", (long long)version[i]);
    }
    text_add_string(&l->line, "],\"format\":[");
    for (size_t i = 0; i < names; i++) {
        const char *name = hakuban_state_format(event->state, i);
        text_add_string(&l->line, i > 0 ? "," : "");
        text_add_json_string(&l->line, name, strlen(name));
    }
    text_printf(&l->line, "],\"synchronized\":%s",
                event->freshness == HAKUBAN_LIVE ? "true" : "false");
    text copy = {NULL, 0, 0};
    text_add(&copy, data.data, data.bytes);
    if (names > 0 && strcmp(hakuban_state_format(event->state, names - 1), "JSON") == 0 &&
        json_check(copy.data, copy.bytes, NULL)) {
        text_add_string(&l->line, ",\"data\":");
        text_add_compact_json(&l->line, copy.data, copy.bytes);
    } else {
        text_add_string(&l->line, ",\"text\":");
        text_add_json_string(&l->line, copy.data, copy.bytes);
    }
    text_free(&copy);
}

static void forget_sinks(leaf *l, const interest *of, const hakuban_sink *sink)
{
    for (open_sink **at = &l->sinks; *at;) {
        open_sink *open = *at;
        if (open->of == of && (!sink || open->sink == sink)) {
            *at = open->next;
            hakuban_sink_unref(open->sink);
            free(open);
        } else {
            at = &open->next;
        }
    }
}

static void on_event(leaf *l, const hakuban_event *event)
{
    interest *of = event->user;
    open_sink *open;
    switch (event->kind) {
    case HAKUBAN_EVENT_OPEN:
        begin_of(l, of, "open", event->object);
        break;
    case HAKUBAN_EVENT_STATE:
    case HAKUBAN_EVENT_CONDITION:
        if (!event->state) {
            return;
        }
        begin_of(l, of, "state", event->object);
        add_state(l, event);
        break;
    case HAKUBAN_EVENT_CLOSE:
        begin_of(l, of, "close", event->object);
        break;
    case HAKUBAN_EVENT_SINK_OPEN:
        open = needed(malloc(sizeof(*open)));
        *open = (open_sink){of, hakuban_sink_ref(event->sink), l->sinks};
        l->sinks = open;
        begin_of(l, of, "sink", event->object);
        break;
    case HAKUBAN_EVENT_SINK_CLOSE:
        forget_sinks(l, of, event->sink);
        begin_of(l, of, "unsink", event->object);
        break;
    default:
        return;
    }
    tell(l);
}

/* -- Commands -- */

typedef struct command {
    char *words[WORDS_MAX]; /* verb, id, … */
    size_t count;
    hakuban_error why; /* set where the command fails */
} command;

static interest **find(leaf *l, const char *id)
{
    interest **at = &l->interests;
    while (*at && strcmp((*at)->id, id) != 0) {
        at = &(*at)->next;
    }
    return at;
}

/* The words from first on: the object and its tags. */
static hakuban_status object_of(command *c, size_t first, hakuban_descriptor **ret)
{
    return hakuban_descriptor_new(NULL, c->words[first], (const char *const *)&c->words[first + 1],
                                  c->count - first - 1, ret, &c->why);
}

static hakuban_status make_contract(leaf *l, command *c)
{
    bool expose = strncmp(c->words[0], "expose", 6) == 0;
    bool tag = strchr(c->words[0], '-') != NULL;
    size_t first = expose ? 3 : 2;
    if (c->count <= first) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    interest *made = needed(calloc(1, sizeof(*made)));
    made->id = needed(strdup(c->words[1]));
    hakuban_contract_options options = {.size = sizeof(options), .queue = l->queue, .user = made};
    if (expose) {
        options.capacity = (uint32_t)strtoul(c->words[2], NULL, 10);
        options.draining = options.capacity == 0;
    }
    hakuban_descriptor *object = NULL;
    hakuban_status status = tag ? HAKUBAN_OK : object_of(c, first, &object);
    if (status >= 0 && tag) {
        status = (expose ? hakuban_expose_tag : hakuban_observe_tag)(
            l->exchange, c->words[first], &options, &made->contract, &c->why);
    } else if (status >= 0) {
        status = (expose ? hakuban_expose_object
                         : hakuban_observe_object)(l->exchange, object, &options, &made->contract);
    }
    hakuban_descriptor_unref(object);
    if (status < 0) {
        free(made->id);
        free(made);
        return status;
    }
    made->next = l->interests;
    l->interests = made;
    return HAKUBAN_OK;
}

/* Events that are still in the queue are taken first: they point to the interest. */
static void take_events(leaf *l)
{
    hakuban_event event;
    while (hakuban_queue_next(l->queue, 0, &event) >= 0) {
        if (event.contract) {
            on_event(l, &event);
        }
        hakuban_event_done(&event);
    }
}

static void drop(leaf *l, interest **at)
{
    interest *gone = *at;
    take_events(l);
    gone->contract = hakuban_contract_free(gone->contract);
    forget_sinks(l, gone, NULL);
    *at = gone->next;
    free(gone->id);
    free(gone);
}

static hakuban_status send_state(leaf *l, command *c)
{
    if (c->count != 6) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    int64_t version[NAMES_MAX];
    const char *names[NAMES_MAX];
    hakuban_state_parts parts = {.data = c->words[5],
                                 .data_bytes = strlen(c->words[5]),
                                 .format = names,
                                 .version = version};
    char *rest = NULL;
    for (char *word = strtok_r(c->words[3], " ", &rest); word && parts.version_count < NAMES_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        version[parts.version_count++] = strtoll(word, NULL, 10);
    }
    for (char *word = strtok_r(c->words[4], " ", &rest); word && parts.format_count < NAMES_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        names[parts.format_count++] = word;
    }
    if (parts.version_count == 0) {
        parts.version = NULL;
    }
    if (parts.format_count == 0) {
        parts.format = NULL;
    }
    hakuban_descriptor *object = NULL;
    hakuban_status status = hakuban_descriptor_new(NULL, c->words[2], NULL, 0, &object, &c->why);
    if (status < 0) {
        return status;
    }
    status = HAKUBAN_ERR_CLOSED;
    for (open_sink *open = l->sinks; open; open = open->next) {
        if (strcmp(open->of->id, c->words[1]) == 0 &&
            strcmp(hakuban_descriptor_json(hakuban_sink_object(open->sink)),
                   hakuban_descriptor_json(object)) == 0) {
            hakuban_state *state = NULL;
            status = hakuban_state_new(NULL, &parts, &state);
            if (status >= 0) {
                status = hakuban_sink_send(open->sink, state);
            }
            hakuban_state_unref(state);
            break;
        }
    }
    hakuban_descriptor_unref(object);
    return status;
}

static hakuban_status obey(leaf *l, command *c)
{
    const char *verb = c->words[0];
    if (strcmp(verb, "disconnect") == 0 || strcmp(verb, "connect") == 0) {
        l->connection = hakuban_connection_free(l->connection);
        return verb[0] == 'd' ? HAKUBAN_OK
                              : hakuban_exchange_connect(l->exchange, c->words[1], NULL,
                                                         &l->connection, &c->why);
    }
    interest **at = find(l, c->words[1]);
    if (strncmp(verb, "observe", 7) == 0 || strncmp(verb, "expose", 6) == 0) {
        return *at ? HAKUBAN_ERR_EXISTS : make_contract(l, c);
    }
    if (!*at) {
        return HAKUBAN_ERR_NOT_FOUND;
    }
    if (strcmp(verb, "send") == 0) {
        return send_state(l, c);
    }
    if (strcmp(verb, "capacity") == 0 && c->count == 3) {
        return hakuban_contract_set_capacity((*at)->contract,
                                             (uint32_t)strtoul(c->words[2], NULL, 10));
    }
    if (strcmp(verb, "drop") == 0) {
        drop(l, at);
        return HAKUBAN_OK;
    }
    return HAKUBAN_ERR_UNSUPPORTED;
}

static void take_line(leaf *l, char *line)
{
    static char nothing[] = "";
    command c = {.why = {.status = HAKUBAN_OK}};
    for (char *word = line; word && c.count < WORDS_MAX;) {
        c.words[c.count++] = strsep(&word, "\t");
    }
    if (c.count < 2) {
        c.words[1] = nothing;
    }
    char id[256];
    snprintf(id, sizeof(id), "%s", c.words[1]);
    hakuban_status status = obey(l, &c);
    if (status == HAKUBAN_ERR_CLOSED && strcmp(c.words[0], "send") == 0) {
        begin(l, "closed", c.words[0]);
    } else if (status < 0) {
        begin(l, "error", c.why.text[0] ? c.why.text : hakuban_status_text(status));
        add_key(l, "of", c.words[0]);
    } else {
        begin(l, "done", c.words[0]);
    }
    add_key(l, "id", id);
    tell(l);
}

/* False: the input has ended. */
static bool read_input(leaf *l, text *input)
{
    ssize_t bytes = read(STDIN_FILENO, text_reserve(input, 1 << 16), 1 << 16);
    if (bytes <= 0) {
        return bytes < 0 && (errno == EINTR || errno == EAGAIN);
    }
    size_t from = input->bytes;
    input->bytes += (size_t)bytes;
    char *line = input->data, *end = memchr(input->data + from, '\n', (size_t)bytes);
    while (end) {
        *end = '\0';
        take_line(l, line);
        line = end + 1;
        end = memchr(line, '\n', input->bytes - (size_t)(line - input->data));
    }
    input->bytes -= (size_t)(line - input->data);
    memmove(input->data, line, input->bytes);
    return true;
}

static void run(leaf *l)
{
    struct pollfd fds[2] = {{.fd = hakuban_exchange_fd(l->exchange), .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    text input = {NULL, 0, 0};
    for (;;) {
        if (hakuban_exchange_turn(l->exchange) < 0) {
            break;
        }
        take_events(l);
        if (poll(fds, 2, hakuban_exchange_timeout_ms(l->exchange)) > 0 && fds[1].revents &&
            !read_input(l, &input)) {
            break;
        }
    }
    text_free(&input);
}

int main(void)
{
    leaf l = {.line = {NULL, 0, 0}};
    hakuban_exchange_options options = {
        .size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL, .log = report_log(1)};
    report_start("leaf");
    if (hakuban_exchange_new(&options, &l.exchange) < 0 ||
        hakuban_queue_new(l.exchange, &l.queue) < 0) {
        return EXIT_FAILURE;
    }
    run(&l);
    /* The end of the input is an orderly end: what was sent arrives. */
    hakuban_status status = hakuban_exchange_close(l.exchange, LEAF_CLOSE_MS);
    while (l.interests) {
        drop(&l, &l.interests);
    }
    hakuban_connection_free(l.connection);
    hakuban_queue_free(l.queue);
    hakuban_exchange_free(l.exchange);
    text_free(&l.line);
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
