/* hakuban observe, get, list: what others expose, as lines of JSON on stdout. Three ways to say
 * when it is enough. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

typedef enum mode { OBSERVE, GET, LIST } mode;

/* get takes a state that is not live only where no exposer is there. After a connection it may take
 * a moment until an exposer is known. */
#define SETTLE_MS 500

/* What was last shown of an object. */
typedef struct shown {
    hakuban_descriptor *object;
    unsigned opens; /* an object with two of the tags is opened twice */
    hakuban_state *state;
    hakuban_freshness freshness;
    hakuban_source source;
    uint64_t age_ns;
} shown;

typedef struct observation {
    session s;
    interest wanted;
    mode mode;
    bool all; /* GET: every object of the tags, once their first states are in */
    bool raw, to_terminal;
    uint32_t count; /* 0: without end */
    uint64_t for_ms;
    hakuban_contract *contracts[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    size_t contract_count, ended_count; /* lists or first states that are in */
    void *objects;                      /* tree of shown */
    hakuban_event kept;  /* GET: a state that is not live, state NULL: none; object is not owned */
    uint64_t settled_ms; /* GET: when a state without an exposer is the best there is */
    text line;
    uint32_t states;
    bool has_error;   /* a state that was shown was one */
    bool interrupted; /* by a signal, before it was done */
    int exit_code;    /* -1: go on */
} observation;

static int compare_objects(const void *a, const void *b)
{
    return compare_names(((const shown *)a)->object, ((const shown *)b)->object);
}

static void free_shown(void *memory)
{
    shown *object = memory;
    hakuban_descriptor_unref(object->object);
    hakuban_state_unref(object->state);
    free(object);
}

/* The object's entry; made where there is none. */
static shown *shown_of(observation *o, const hakuban_event *event)
{
    shown key = {.object = (hakuban_descriptor *)(uintptr_t)event->object};
    shown **found = tsearch(&key, &o->objects, compare_objects);
    if (!found) {
        out_of_memory();
    }
    if (*found == &key) {
        *found = calloc(1, sizeof(**found));
        if (!*found) {
            out_of_memory();
        }
        (*found)->object = hakuban_descriptor_ref(key.object);
    }
    return *found;
}

/* A signal came, or the reader of stdout has gone. What was asked for was not given, but where it
 * had no end. */
static void cut_short(observation *o)
{
    bool endless = o->mode == OBSERVE && o->count == 0;
    o->exit_code = endless ? 0 : EXIT_RUNTIME;
    o->interrupted = !endless && signals_stop;
}

/* What was asked for was given; to get an error instead of a state is no success. */
static void end_well(observation *o)
{
    if (o->exit_code < 0) {
        o->exit_code = o->mode == GET && o->has_error ? EXIT_RUNTIME : 0;
    }
}

static void put_line(observation *o)
{
    text_add(&o->line, "\n", 1);
    if (write_all(STDOUT_FILENO, o->line.data, o->line.bytes, &signals_stop) < 0) {
        if (errno == EPIPE || errno == EINTR) {
            cut_short(o);
        } else {
            report("stdout: %s", strerror(errno));
            o->exit_code = EXIT_RUNTIME;
        }
    }
}

static void begin_line(observation *o, const char *event, const hakuban_descriptor *object)
{
    text_clear(&o->line);
    text_printf(&o->line, "{\"event\":\"%s\",\"tags\":[", event);
    for (size_t i = 0; i < hakuban_descriptor_tag_count(object); i++) {
        text_add_string(&o->line, i > 0 ? "," : "");
        const char *tag = hakuban_descriptor_tag(object, i);
        text_add_printable(&o->line, tag, strlen(tag));
    }
    const char *name = hakuban_descriptor_json(object);
    text_add_string(&o->line, "],\"object\":");
    text_add_printable(&o->line, name, strlen(name));
}

static void add_worth(text *line, const hakuban_event *event)
{
    static const char *const sources[] = {"none", "assigned", "away"};
    text_printf(line, ",\"synchronized\":%s", event->freshness == HAKUBAN_LIVE ? "true" : "false");
    if (event->freshness == HAKUBAN_STALE) {
        text_printf(line, ",\"age_ms\":%llu", (unsigned long long)(event->age_ns / 1000000));
    }
    text_printf(line, ",\"source\":\"%s\"", sources[event->source]);
}

static void add_data(text *line, const hakuban_state *state)
{
    size_t format_count = hakuban_state_format_count(state);
    hakuban_slice data = hakuban_state_data(state);
    if (hakuban_state_is_error(state)) {
        text_add_string(line, ",\"error\":");
        text_add_json_string(line, data.data, data.bytes);
        return;
    }
    if (format_count > 0 && strcmp(hakuban_state_format(state, format_count - 1), "JSON") == 0) {
        /* The checker wants terminated text; the compacted form is never longer than that copy. */
        text copy = {NULL, 0, 0};
        text_add(&copy, data.data, data.bytes);
        bool is_json = json_check(copy.data, copy.bytes, NULL);
        if (is_json) {
            text_add_string(line, ",\"data\":");
            text_add_compact_json(line, copy.data, copy.bytes);
        }
        text_free(&copy);
        if (is_json) {
            return;
        }
    }
    text_add_string(line, ",\"data_base64\":\"");
    text_add_base64(line, data.data, data.bytes);
    text_add_string(line, "\"");
}

static void add_names(text *line, const hakuban_state *state)
{
    size_t count = 0;
    const int64_t *version = hakuban_state_version(state, &count);
    text_add_string(line, ",\"version\":[");
    for (size_t i = 0; i < count; i++) {
        text_printf(line, "%s%lld", i > 0 ? "," : "", (long long)version[i]);
    }
    text_add_string(line, "],\"format\":[");
    for (size_t i = 0; i < hakuban_state_format_count(state); i++) {
        const char *name = hakuban_state_format(state, i);
        text_add_string(line, i > 0 ? "," : "");
        text_add_json_string(line, name, strlen(name));
    }
    text_add_string(line, "]");
}

static bool same_state(const hakuban_state *a, const hakuban_state *b)
{
    size_t a_count = 0, b_count = 0;
    if (!a || !b) {
        return a == b;
    }
    const int64_t *a_version = hakuban_state_version(a, &a_count);
    const int64_t *b_version = hakuban_state_version(b, &b_count);
    hakuban_slice a_data = hakuban_state_data(a), b_data = hakuban_state_data(b);
    return hakuban_version_compare(a_version, a_count, b_version, b_count) == 0 &&
           a_data.bytes == b_data.bytes &&
           (a_data.bytes == 0 || memcmp(a_data.data, b_data.data, a_data.bytes) == 0);
}

static void show_state(observation *o, shown *object, const hakuban_event *event)
{
    hakuban_slice data = hakuban_state_data(event->state);
    const bool is_error = hakuban_state_is_error(event->state);
    hakuban_state_unref(object->state);
    object->state = hakuban_state_ref(event->state);
    o->has_error |= is_error;
    text_clear(&o->line);
    if (o->raw && is_error) {
        report("%s: %.*s", hakuban_descriptor_json(event->object), (int)data.bytes,
               (const char *)data.data);
    } else if (o->raw) {
        if (o->to_terminal) {
            text_add_printable_lines(&o->line, data.data, data.bytes);
        } else {
            text_add(&o->line, data.data, data.bytes);
        }
    } else {
        begin_line(o, "state", event->object);
        add_names(&o->line, event->state);
        add_worth(&o->line, event);
        add_data(&o->line, event->state);
        text_add_string(&o->line, "}");
    }
    if (!o->raw || !is_error) {
        put_line(o);
    }
    o->states++;
    if (o->states == o->count) {
        end_well(o);
    }
}

static void show_worth(observation *o, const char *name, const hakuban_event *event)
{
    if (!o->raw && o->mode == OBSERVE) {
        begin_line(o, name, event->object);
        add_worth(&o->line, event);
        text_add_string(&o->line, "}");
        put_line(o);
    }
}

static void forget_kept(observation *o)
{
    hakuban_state_unref(o->kept.state);
    memset(&o->kept, 0, sizeof(o->kept));
}

/* What get does with a state or condition: a live state is what it waits for; of the others it
 * keeps one, rather one without an exposer. */
static void get(observation *o, shown *object, const hakuban_event *event)
{
    if (!event->state) {
        return;
    }
    if (event->freshness == HAKUBAN_LIVE) {
        show_state(o, object, event);
    } else if (!o->kept.state || o->kept.object == object->object ||
               event->source == HAKUBAN_SOURCE_NONE) {
        forget_kept(o);
        o->kept = (hakuban_event){.object = object->object,
                                  .state = hakuban_state_ref(event->state),
                                  .freshness = event->freshness,
                                  .source = event->source,
                                  .age_ns = event->age_ns};
        o->settled_ms = now_ms() + SETTLE_MS;
    }
}

/* When get has waited long enough for an exposer; UINT64_MAX: never. */
static uint64_t get_due_ms(const observation *o)
{
    bool settling = o->kept.state && o->kept.source == HAKUBAN_SOURCE_NONE && o->s.router.connected;
    return settling ? o->settled_ms : UINT64_MAX;
}

/* The last thing that is done with the objects. */
static void show_all(observation *o)
{
    while (o->objects) {
        shown *object = *(shown **)o->objects; /* the root of the tree */
        hakuban_event event = {.object = object->object,
                               .state = hakuban_state_ref(object->state),
                               .freshness = object->freshness,
                               .source = object->source,
                               .age_ns = object->age_ns};
        if (event.state && o->exit_code < 0) {
            show_state(o, object, &event);
        }
        hakuban_state_unref(event.state);
        tdelete(object, &o->objects, compare_objects);
        free_shown(object);
    }
}

/* The kind of event that each contract tells once, and behind which nothing is waited for. */
static hakuban_event_kind last_kind(const observation *o)
{
    return o->mode == LIST ? HAKUBAN_EVENT_LISTED
           : o->all        ? HAKUBAN_EVENT_COMPLETE
                           : (hakuban_event_kind)0;
}

static void on_last(observation *o)
{
    o->ended_count++;
    if (o->ended_count < o->contract_count) {
        return;
    }
    if (o->all) {
        show_all(o);
    }
    end_well(o);
}

static void on_event(observation *o, const hakuban_event *event)
{
    if (event->kind == HAKUBAN_EVENT_CONNECTION) {
        session_connection_changed(&o->s);
        o->settled_ms = now_ms() + SETTLE_MS;
        return;
    }
    if (event->kind == last_kind(o)) {
        on_last(o);
        return;
    }
    if (!event->object) {
        return;
    }
    shown *object = shown_of(o, event);
    switch (event->kind) {
    case HAKUBAN_EVENT_OPEN:
        if (object->opens++ > 0) {
            return;
        }
        if (o->mode == LIST) {
            begin_line(o, "object", event->object);
            text_add_string(&o->line, "}");
            put_line(o);
        }
        show_worth(o, "open", event);
        break;
    case HAKUBAN_EVENT_STATE:
    case HAKUBAN_EVENT_CONDITION:
        if (o->mode == LIST) {
            return;
        }
        if (o->all) {
            hakuban_state_unref(object->state);
            object->state = hakuban_state_ref(event->state);
        } else if (o->mode == GET) {
            get(o, object, event);
        } else if (event->state && !same_state(object->state, event->state)) {
            show_state(o, object, event);
        } else if (event->freshness != object->freshness || event->source != object->source) {
            show_worth(o, "condition", event);
        }
        break;
    case HAKUBAN_EVENT_CLOSE:
        if (object->opens > 0) {
            object->opens--;
        }
        if (object->opens == 0) {
            if (!o->raw && o->mode == OBSERVE) {
                begin_line(o, "close", event->object);
                text_add_string(&o->line, "}");
                put_line(o);
            }
            if (o->kept.object == object->object) {
                forget_kept(o);
            }
            tdelete(object, &o->objects, compare_objects);
            free_shown(object);
        }
        return;
    default:
        return;
    }
    object->freshness = event->freshness;
    object->source = event->source;
    object->age_ns = event->age_ns;
}

/* An object makes one contract; without one each tag makes one. */
static bool make_contracts(observation *o)
{
    hakuban_contract_options options = {.size = sizeof(options), .queue = o->s.queue};
    hakuban_status status = HAKUBAN_OK;
    if (o->wanted.object) {
        status = hakuban_observe_object(o->s.exchange, o->wanted.object, &options,
                                        &o->contracts[o->contract_count]);
        o->contract_count += status >= 0;
    }
    for (size_t i = 0; !o->wanted.object && status >= 0 && i < o->wanted.tag_count; i++) {
        status = hakuban_observe_tag(o->s.exchange, o->wanted.tags[i], &options,
                                     &o->contracts[o->contract_count], NULL);
        o->contract_count += status >= 0;
    }
    if (status < 0) {
        report("observe: %s", hakuban_status_text(status));
        o->exit_code = EXIT_RUNTIME;
    }
    return status >= 0;
}

/* --for has passed. */
static void out_of_time(observation *o)
{
    char buffer[512];
    const char *trouble = session_trouble(&o->s, buffer, sizeof(buffer));
    if (o->all) {
        show_all(o);
    }
    o->exit_code = EXIT_RUNTIME;
    if (o->mode == OBSERVE) {
        o->exit_code = 0;
    } else if (trouble) {
        report("not connected: %s", trouble);
    } else if (o->all) {
        report("the states were not complete after %llu ms", (unsigned long long)o->for_ms);
    } else if (o->mode == LIST) {
        report("the list was not complete after %llu ms", (unsigned long long)o->for_ms);
    } else if (o->kept.state) {
        report("no current state within %llu ms: its exposer has not sent one",
               (unsigned long long)o->for_ms);
    } else {
        report("no state within %llu ms: it has no exposer", (unsigned long long)o->for_ms);
    }
}

static void run(observation *o)
{
    uint64_t until_ms = o->for_ms ? now_ms() + o->for_ms : UINT64_MAX;
    /* A list is complete at once where there is no connection: it has to wait for that. */
    const bool waits = last_kind(o) != 0;
    if (!waits && !make_contracts(o)) {
        return;
    }
    while (o->exit_code < 0) {
        hakuban_event event;
        while (o->exit_code < 0 && hakuban_queue_next(o->s.queue, 0, &event) >= 0) {
            on_event(o, &event);
            hakuban_event_done(&event);
            if (waits && o->contract_count == 0 && o->s.router.connected) {
                (void)make_contracts(o);
            }
            if (signals_stop && o->exit_code < 0) {
                cut_short(o);
            }
        }
        if (o->exit_code >= 0) {
            break;
        }
        /* Nothing is asked about stdout but whether its reader has gone. */
        struct pollfd fds[3] = {{.fd = o->s.queue_fd, .events = POLLIN},
                                {.fd = o->s.signal_fd, .events = POLLIN},
                                {.fd = STDOUT_FILENO, .events = 0}};
        uint64_t due_ms = get_due_ms(o);
        bool any = poll(fds, 3, poll_timeout_ms(due_ms < until_ms ? due_ms : until_ms)) > 0;
        if (signals_stop || (any && (fds[2].revents & (POLLERR | POLLHUP)))) {
            cut_short(o);
        } else if (now_ms() >= due_ms) {
            show_state(o, shown_of(o, &o->kept), &o->kept);
        } else if (now_ms() >= until_ms) {
            out_of_time(o);
        }
    }
}

static int observation_end(observation *o)
{
    for (size_t i = 0; i < o->contract_count; i++) {
        o->contracts[i] = hakuban_contract_free(o->contracts[i]);
    }
    (void)session_close(&o->s, 500);
    forget_kept(o);
    tdestroy(o->objects, free_shown);
    hakuban_descriptor_unref(o->wanted.object);
    text_free(&o->line);
    return o->interrupted ? session_cut_short(o->exit_code) : o->exit_code;
}

enum { OPTION_COUNT = OPTION_OWN, OPTION_FOR, OPTION_RAW, OPTION_ALL };

static const arg_option observe_options[] = {SESSION_OPTIONS,
                                             {"--for", 0, true, OPTION_FOR},
                                             {"--raw", 0, false, OPTION_RAW},
                                             {"--count", 0, true, OPTION_COUNT},
                                             {NULL, 0, false, 0}};
static const arg_option get_options[] = {SESSION_OPTIONS,
                                         {"--all", 0, false, OPTION_ALL},
                                         {"--for", 0, true, OPTION_FOR},
                                         {"--raw", 0, false, OPTION_RAW},
                                         {NULL, 0, false, 0}};
static const arg_option list_options[] = {
    SESSION_OPTIONS, {"--for", 0, true, OPTION_FOR}, {NULL, 0, false, 0}};

static const char observe_help[] =
    "usage: hakuban observe [-c URL] [--tag JSON]... [OBJECT_JSON]\n"
    "\n"
    "Prints one line of JSON for each thing that happens to an object: open, state,\n"
    "condition, close. With OBJECT_JSON the tags are the object's; without, every object\n"
    "that carries one of the tags is observed.\n"
    "\n"
    "  -c, --connect URL  where the router is; default $HAKUBAN_URL, else\n"
    "                     tcp://127.0.0.1:3001\n"
    "      --tag JSON     a tag, e.g. '\"cpu\"'; may be repeated\n"
    "      --count N      end after N states\n"
    "      --for TIME     end after this time, e.g. 5s, 250ms\n"
    "      --raw          print the data of states only, a newline after each\n"
    "  -v, --verbose      say more on stderr; twice: everything\n"
    "  -h, --help         this text\n"
    "\n"
    "example: hakuban observe --tag '\"cpu\"' | jq .data\n";
static const char get_help[] =
    "usage: hakuban get [-c URL] [--tag JSON]... [OBJECT_JSON]\n"
    "       hakuban get [-c URL] --all --tag JSON...\n"
    "\n"
    "Prints the first state that is current, as observe would, and ends; where nothing\n"
    "exposes the object, the last state that is known. With --all it does so for every\n"
    "object of the tags, once all are in. Exit code 1 where that does not come in time,\n"
    "or where a state is an error that its exposer tells.\n"
    "\n"
    "  -c, --connect URL  where the router is; default $HAKUBAN_URL, else\n"
    "                     tcp://127.0.0.1:3001\n"
    "      --tag JSON     a tag, e.g. '\"cpu\"'; may be repeated\n"
    "      --all          every object that carries one of the tags\n"
    "      --for TIME     how long to wait; default 5s\n"
    "      --raw          print the data only, and a newline after each\n"
    "  -v, --verbose      say more on stderr; twice: everything\n"
    "  -h, --help         this text\n"
    "\n"
    "example: hakuban get --raw --tag '\"cpu\"' '{\"host\":\"a\"}'\n";
static const char list_help[] =
    "usage: hakuban list [-c URL] --tag JSON...\n"
    "\n"
    "Prints one line of JSON for each object that carries one of the tags, and ends when\n"
    "the list is complete. Exit code 1 where that does not happen in time.\n"
    "\n"
    "  -c, --connect URL  where the router is; default $HAKUBAN_URL, else\n"
    "                     tcp://127.0.0.1:3001\n"
    "      --tag JSON     a tag, e.g. '\"cpu\"'; may be repeated\n"
    "      --for TIME     how long to wait; default 5s\n"
    "  -v, --verbose      say more on stderr; twice: everything\n"
    "  -h, --help         this text\n"
    "\n"
    "example: hakuban list --tag '\"cpu\"' | jq -c .object\n";

/* -1: go on; otherwise the exit code. */
static int read_arguments(observation *o, int argc, char **argv, const arg_option *options,
                          const char *help)
{
    arg_reader reader = {.argc = argc, .index = 0, .argv = argv};
    const char *value = NULL, *object = NULL;
    int id;
    while ((id = arg_next(&reader, options, &value)) != ARG_END) {
        bool good = true;
        switch (id) {
        case OPTION_CONNECT:
            o->s.url = value;
            o->s.url_origin = "--connect";
            break;
        case OPTION_TAG:
            good = interest_add_tag(&o->wanted, value);
            break;
        case OPTION_VERBOSE:
            o->s.verbosity++;
            break;
        case OPTION_HELP:
            fputs(help, stdout);
            return 0;
        case OPTION_COUNT:
            good = arg_number("--count", value, 1, UINT32_MAX, &o->count);
            break;
        case OPTION_FOR:
            good = arg_duration("--for", value, &o->for_ms);
            if (good && o->for_ms == 0) {
                report("--for %s: must be longer than nothing", value);
                good = false;
            }
            break;
        case OPTION_RAW:
            o->raw = true;
            break;
        case OPTION_ALL:
            o->all = true;
            o->count = 0;
            break;
        case ARG_OPERAND:
            if (object) {
                report("%s: one object is enough, and %s came before", value, object);
                good = false;
            }
            object = value;
            break;
        default:
            good = false;
        }
        if (!good) {
            return EXIT_USAGE;
        }
    }
    const bool takes_tags_only = last_kind(o) != 0;
    if (object && takes_tags_only) {
        report("%s: %s takes tags only", object, o->all ? "--all" : "list");
        return EXIT_USAGE;
    }
    if (!object && o->wanted.tag_count == 0) {
        report(takes_tags_only ? "--tag is missing (see --help)"
                               : "an object or --tag is missing (see --help)");
        return EXIT_USAGE;
    }
    return object && !interest_set_object(&o->wanted, object) ? EXIT_USAGE : -1;
}

static int observe(mode how, int argc, char **argv, const arg_option *options, const char *help)
{
    observation o = {.mode = how, .exit_code = -1, .to_terminal = isatty(STDOUT_FILENO) == 1};
    if (how != OBSERVE) {
        signals_exit_code = EXIT_RUNTIME;
        o.for_ms = 5000;
        o.count = 1;
    }
    o.exit_code = read_arguments(&o, argc, argv, options, help);
    if (o.exit_code < 0) {
        int code = session_open(&o.s);
        o.exit_code = code == 0 ? -1 : code;
    }
    if (o.exit_code < 0) {
        run(&o);
    }
    return observation_end(&o);
}

int verb_observe(int argc, char **argv)
{
    return observe(OBSERVE, argc, argv, observe_options, observe_help);
}

int verb_get(int argc, char **argv)
{
    return observe(GET, argc, argv, get_options, get_help);
}

int verb_list(int argc, char **argv)
{
    return observe(LIST, argc, argv, list_options, list_help);
}
