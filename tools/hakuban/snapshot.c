/* hakuban snapshot: the statistics that exchanges publish under a tag (docs/introspection.md),
 * once, as tables or as JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/pick.h"
#include "session.h"

#define WAIT_MS 5000
#define CELL_MAX 60 /* wider ones are printed all the same, but are not waited for */

/* What an object of statistics is about, in the order in which they are printed. */
typedef enum subject { EXCHANGE, SUBJECTS, UPSTREAM, DOWNSTREAM, OBJECT, SUBJECT_COUNT } subject;

/* One exchange, told of by its statistics. */
typedef struct node {
    text name; /* as JSON */
    bool has_itself, has_subjects;
    uint64_t published, received; /* links and objects: what there is to come, what came */
} node;

typedef struct statistic {
    hakuban_descriptor *name;
    subject subject;
    size_t node;
    text state; /* JSON, checked; empty: nothing current came yet */
} statistic;

typedef struct snapshot {
    session s;
    const char *tag;
    bool json, listed;
    uint64_t for_ms;
    hakuban_contract *contract;
    void *tree; /* of statistic, by name */
    statistic **sorted;
    size_t count;
    node *nodes;
    size_t node_count;
    text out;
    int exit_code; /* -1: go on */
} snapshot;

static piece piece_of(const char *terminated)
{
    return (piece){terminated, strlen(terminated)};
}

static piece name_of(const statistic *e)
{
    return piece_of(hakuban_descriptor_json(e->name));
}

static piece state_of(const statistic *e)
{
    return (piece){e->state.data, e->state.bytes};
}

static int compare_tree(const void *a, const void *b)
{
    return compare_names(((const statistic *)a)->name, ((const statistic *)b)->name);
}

/* False: it is no object of statistics. */
static bool classify(const hakuban_descriptor *name, piece *ret_exchange, subject *ret_subject)
{
    piece json = piece_of(hakuban_descriptor_json(name));
    *ret_exchange = (piece){NULL, 0};
    for (size_t i = 0; i < hakuban_descriptor_tag_count(name) && ret_exchange->bytes == 0; i++) {
        *ret_exchange = pick(piece_of(hakuban_descriptor_tag(name, i)), "statistics");
    }
    if (ret_exchange->bytes == 0) {
        return false;
    }
    if (pick_is(json, "\"exchange\"")) {
        *ret_subject = EXCHANGE;
    } else if (pick_is(json, "\"subjects\"")) {
        *ret_subject = SUBJECTS;
    } else if (pick(json, "upstream").bytes > 0) {
        *ret_subject = UPSTREAM;
    } else if (pick(json, "downstream").bytes > 0) {
        *ret_subject = DOWNSTREAM;
    } else if (pick(json, "object").bytes > 0) {
        *ret_subject = OBJECT;
    } else {
        return false;
    }
    return true;
}

static void *checked(void *memory)
{
    if (!memory) {
        out_of_memory();
    }
    return memory;
}

/* -- What comes -- */

static size_t node_of(snapshot *s, piece name)
{
    for (size_t i = 0; i < s->node_count; i++) {
        const text *known = &s->nodes[i].name;
        if (known->bytes == name.bytes && memcmp(known->data, name.data, name.bytes) == 0) {
            return i;
        }
    }
    s->nodes = checked(realloc(s->nodes, (s->node_count + 1) * sizeof(*s->nodes)));
    memset(&s->nodes[s->node_count], 0, sizeof(*s->nodes));
    text_add(&s->nodes[s->node_count].name, name.data, name.bytes);
    return s->node_count++;
}

static void statistic_free(void *memory)
{
    statistic *e = memory;
    hakuban_descriptor_unref(e->name);
    text_free(&e->state);
    free(e);
}

static statistic *statistic_of(snapshot *s, const hakuban_descriptor *name)
{
    statistic key = {.name = (hakuban_descriptor *)(uintptr_t)name};
    piece exchange;
    if (!classify(name, &exchange, &key.subject)) {
        return NULL;
    }
    statistic **found = checked(tsearch(&key, &s->tree, compare_tree));
    if (*found == &key) {
        *found = checked(calloc(1, sizeof(**found)));
        (*found)->name = hakuban_descriptor_ref(key.name);
        (*found)->subject = key.subject;
        (*found)->node = node_of(s, exchange);
        s->count++;
    }
    return *found;
}

/* What came, or went, for its exchange. */
static void count(snapshot *s, const statistic *e, bool came)
{
    node *of = &s->nodes[e->node];
    if (e->subject == EXCHANGE) {
        of->has_itself = came;
    } else if (e->subject == SUBJECTS) {
        of->has_subjects = came;
        of->published = pick_number(pick(state_of(e), "published"), 0);
    } else {
        of->received += came ? 1 : UINT64_MAX;
    }
}

static void take_state(snapshot *s, const hakuban_event *event)
{
    statistic *e = statistic_of(s, event->object);
    /* What is left from the last observer is of no interest. */
    if (!e || !event->state || event->freshness != HAKUBAN_LIVE) {
        return;
    }
    hakuban_slice data = hakuban_state_data(event->state);
    text copy = {NULL, 0, 0}, compact = {NULL, 0, 0};
    text_add(&copy, data.data, data.bytes);
    if (json_check(copy.data, copy.bytes, NULL)) {
        text_add_compact_json(&compact, copy.data, copy.bytes);
    }
    text_free(&copy);
    if (compact.bytes == 0 || compact.data[0] != '{') {
        report("%s: not statistics; left out", hakuban_descriptor_json(e->name));
        text_free(&compact);
        return;
    }
    bool first = e->state.bytes == 0;
    text_free(&e->state);
    e->state = compact;
    if (first || e->subject == SUBJECTS) {
        count(s, e, true);
    }
}

static void take_close(snapshot *s, const hakuban_event *event)
{
    statistic *e = statistic_of(s, event->object);
    if (!e) {
        return;
    }
    if (e->state.bytes > 0) {
        count(s, e, false);
    }
    tdelete(e, &s->tree, compare_tree);
    statistic_free(e);
    s->count--;
}

static bool is_complete(const snapshot *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        const node *of = &s->nodes[i];
        if (!of->has_itself || !of->has_subjects || of->received < of->published) {
            return false;
        }
    }
    return s->listed;
}

static void on_event(snapshot *s, const hakuban_event *event)
{
    switch (event->kind) {
    case HAKUBAN_EVENT_CONNECTION:
        session_connection_changed(&s->s);
        break;
    case HAKUBAN_EVENT_LISTED:
        s->listed = true;
        break;
    case HAKUBAN_EVENT_OPEN:
        (void)statistic_of(s, event->object);
        break;
    case HAKUBAN_EVENT_STATE:
    case HAKUBAN_EVENT_CONDITION:
        take_state(s, event);
        break;
    case HAKUBAN_EVENT_CLOSE:
        take_close(s, event);
        break;
    default:
        break;
    }
}

/* -- As JSON -- */

static void add_piece(text *t, piece value, const char *otherwise)
{
    if (value.bytes > 0) {
        text_add(t, value.data, value.bytes);
    } else {
        text_add_string(t, otherwise);
    }
}

/* What ended while one looked says so itself. */
static bool is_there(const statistic *e)
{
    return pick_is(pick(state_of(e), "exists"), "true");
}

/* The entries of one exchange and kind are neighbours once sorted. Returns the first behind them.
 */
static size_t end_of(const snapshot *s, size_t at, size_t of, subject first, subject last)
{
    while (at < s->count && s->sorted[at]->node == of && s->sorted[at]->subject >= first &&
           s->sorted[at]->subject <= last) {
        at++;
    }
    return at;
}

static void add_named_states(snapshot *s, size_t from, size_t to)
{
    const char *between = "";
    for (size_t i = from; i < to; i++) {
        if (is_there(s->sorted[i])) {
            piece name = name_of(s->sorted[i]);
            text_add_string(&s->out, between);
            text_add(&s->out, name.data, name.bytes - 1); /* its brace stays open */
            text_printf(&s->out, ",\"statistics\":%s}", s->sorted[i]->state.data);
            between = ",";
        }
    }
}

static size_t add_exchange_json(snapshot *s, size_t at)
{
    size_t of = s->sorted[at]->node;
    text_printf(&s->out, "{\"name\":%s", s->nodes[of].name.data);
    for (subject kind = EXCHANGE; kind <= SUBJECTS; kind++) {
        bool there = end_of(s, at, of, kind, kind) > at;
        text_add_string(&s->out, kind == EXCHANGE ? ",\"statistics\":" : ",\"subjects\":");
        add_piece(&s->out, there ? state_of(s->sorted[at]) : (piece){NULL, 0}, "null");
        at += there;
    }
    text_add_string(&s->out, ",\"links\":[");
    size_t end = end_of(s, at, of, UPSTREAM, DOWNSTREAM);
    add_named_states(s, at, end);
    at = end;
    text_add_string(&s->out, "],\"objects\":[");
    end = end_of(s, at, of, OBJECT, OBJECT);
    add_named_states(s, at, end);
    text_add_string(&s->out, "]}");
    return end;
}

/* -- As tables -- */

static size_t width_of(const char *cell, size_t bytes)
{
    size_t width = 0;
    for (size_t i = 0; i < bytes; i++) {
        width += ((unsigned char)cell[i] & 0xc0) != 0x80;
    }
    return width;
}

/* Rows of cells, tabs between them, one row a line: printed below each other. Names come from
 * peers: what could steer a terminal is escaped. */
static void add_table(text *out, const text *cells)
{
    size_t widths[16] = {0}, column = 0, begin = 0;
    text shown = {NULL, 0, 0}, *rows = &shown;
    text_add_printable_lines(rows, cells->data, cells->bytes);
    for (size_t i = 0; i < rows->bytes; i++) {
        if (rows->data[i] == '\t' || rows->data[i] == '\n') {
            size_t width = width_of(rows->data + begin, i - begin);
            if (width <= CELL_MAX && width > widths[column]) {
                widths[column] = width;
            }
            column = rows->data[i] == '\n' ? 0 : column + 1;
            begin = i + 1;
        }
    }
    column = begin = 0;
    text_add_string(out, "  ");
    for (size_t i = 0; i < rows->bytes; i++) {
        char c = rows->data[i];
        if (c == '\t') {
            size_t width = width_of(rows->data + begin, i - begin);
            text_printf(out, "%*s", (int)(width < widths[column] ? widths[column] - width : 0) + 2,
                        "");
            column++;
            begin = i + 1;
        } else if (c == '\n') {
            text_add_string(out, i + 1 < rows->bytes ? "\n  " : "\n");
            column = 0;
            begin = i + 1;
        } else {
            text_add(out, &c, 1);
        }
    }
    text_free(rows);
}

static void add_number(text *rows, piece state, const char *key)
{
    add_piece(rows, pick(state, key), "-");
}

static void add_link_row(text *rows, const statistic *e)
{
    piece state = state_of(e), name = name_of(e);
    const char *direction = e->subject == UPSTREAM ? "upstream" : "downstream";
    text_printf(rows, "%s ", direction);
    add_piece(rows, pick(name, direction), "?");
    text_add(rows, "\t", 1);
    pick_add_words(rows, pick(state, "name"));
    text_add(rows, "\t", 1);
    pick_add_words(rows, pick(state, "phase"));
    text_add(rows, "\t", 1);
    add_number(rows, state, "load");
    piece limit = pick(state, "load_limit");
    if (limit.bytes > 0 && !pick_is(limit, "null")) {
        text_add(rows, "/", 1);
        text_add(rows, limit.data, limit.bytes);
    }
    text_add(rows, "\t", 1);
    add_number(rows, state, "bytes_in");
    text_add(rows, "\t", 1);
    add_number(rows, state, "bytes_out");
    text_add(rows, "\t", 1);
    piece address = pick(state, "address");
    pick_add_words(rows, address.bytes > 0 ? address : piece_of("-"));
    text_add(rows, "\t", 1);
    piece kind = pick(state, "principal_kind"), principal = pick(state, "principal");
    pick_add_words(rows, kind.bytes > 0 ? kind : piece_of("-"));
    if (principal.bytes > 0) {
        text_add(rows, " ", 1);
        pick_add_words(rows, principal);
    }
    text_add(rows, "\n", 1);
}

static void add_exposer(text *rows, piece exposer)
{
    piece kind = pick(exposer, "kind"), name = pick(exposer, "name");
    if (kind.bytes == 0) {
        text_add_string(rows, "none");
    } else if (name.bytes == 0) {
        pick_add_words(rows, kind);
    } else {
        pick_add_words(rows, name);
        text_add_string(rows, " (");
        pick_add_words(rows, kind);
        text_add_string(rows, " ");
        add_number(rows, exposer, "link");
        text_add_string(rows, ")");
    }
}

static void add_tags(text *rows, piece tags)
{
    size_t place = 0;
    bool first = true;
    for (piece tag = pick_element(tags, &place); tag.bytes > 0; tag = pick_element(tags, &place)) {
        text_add_string(rows, first ? "" : " ");
        text_add(rows, tag.data, tag.bytes);
        first = false;
    }
    if (first) {
        text_add_string(rows, "-");
    }
}

static void add_object_row(text *rows, const statistic *e, uint64_t time_ms)
{
    piece state = state_of(e), name = name_of(e), observers = pick(state, "observers");
    add_piece(rows, pick(name, "object"), "?");
    text_add(rows, "\t", 1);
    add_tags(rows, pick(name, "tags"));
    text_add(rows, "\t", 1);
    add_exposer(rows, pick(state, "exposer"));
    text_printf(rows, "\t%llu%s\t",
                (unsigned long long)(pick_number(pick(observers, "local"), 0) +
                                     pick_number(pick(observers, "downstreams"), 0)),
                pick_is(pick(observers, "upstream"), "true") ? " + upstream" : "");
    pick_add_words(rows, pick(state, "freshness"));
    piece since = pick(state, "stale_since_ms");
    if (since.bytes > 0 && time_ms > 0) {
        uint64_t since_ms = pick_number(since, time_ms);
        text_printf(rows, " %.1f s", (double)(time_ms > since_ms ? time_ms - since_ms : 0) / 1000);
    }
    text_add(rows, "\t", 1);
    add_number(rows, state, "bytes");
    text_add(rows, "\t", 1);
    piece version = pick(state, "version");
    if (version.bytes > 2) {
        text_add(rows, version.data + 1, version.bytes - 2);
    } else {
        text_add_string(rows, "-");
    }
    text_add(rows, "\n", 1);
}

static void add_sums(snapshot *s, size_t of, piece itself, piece subjects)
{
    static const struct {
        const char *key, *words;
    } sums[] = {{"states_in", "states in, "},
                {"states_out", "out; "},
                {"wire_bytes_in", "bytes in, "},
                {"wire_bytes_out", "out"}};
    text line = {NULL, 0, 0};
    text_add_string(&line, "exchange ");
    pick_add_words(&line, (piece){s->nodes[of].name.data, s->nodes[of].name.bytes});
    text_add_string(&line, ": ");
    add_number(&line, subjects, "links");
    text_add_string(&line, " links, ");
    add_number(&line, subjects, "objects");
    text_add_string(&line, " objects; ");
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        add_number(&line, itself, sums[i].key);
        text_printf(&line, " %s", sums[i].words);
    }
    uint64_t left_out = pick_number(pick(subjects, "left_out"), 0);
    if (left_out > 0) {
        text_printf(&line, "; %llu of them are not shown", (unsigned long long)left_out);
    }
    text_add(&line, "\n", 1);
    text row = {NULL, 0, 0};
    add_table(&row, &line);
    text_add_string(&s->out, row.data + 2); /* no indent */
    text_free(&row);
    text_free(&line);
}

static size_t add_exchange_tables(snapshot *s, size_t at)
{
    size_t of = s->sorted[at]->node;
    piece itself = {NULL, 0}, subjects = {NULL, 0};
    for (; at < s->count && s->sorted[at]->node == of && s->sorted[at]->subject <= SUBJECTS; at++) {
        *(s->sorted[at]->subject == EXCHANGE ? &itself : &subjects) = state_of(s->sorted[at]);
    }
    add_sums(s, of, itself, subjects);
    text links = {NULL, 0, 0}, objects = {NULL, 0, 0};
    text_add_string(&links, "LINK\tNAME\tPHASE\tLOAD\tBYTES IN\tBYTES OUT\tADDRESS\tPRINCIPAL\n");
    text_add_string(&objects, "OBJECT\tTAGS\tEXPOSER\tOBSERVERS\tFRESHNESS\tBYTES\tVERSION\n");
    size_t links_empty = links.bytes, objects_empty = objects.bytes;
    uint64_t time_ms = pick_number(pick(itself, "time_ms"), 0);
    for (; at < s->count && s->sorted[at]->node == of; at++) {
        const statistic *e = s->sorted[at];
        if (is_there(e)) {
            if (e->subject == OBJECT) {
                add_object_row(&objects, e, time_ms);
            } else {
                add_link_row(&links, e);
            }
        }
    }
    if (links.bytes > links_empty) {
        add_table(&s->out, &links);
    }
    if (objects.bytes > objects_empty) {
        add_table(&s->out, &objects);
    }
    text_free(&links);
    text_free(&objects);
    return at;
}

/* -- All of it -- */

static snapshot *collecting; /* twalk() passes nothing on */

static void collect(const void *at, VISIT visit, int depth)
{
    (void)depth;
    if (visit == postorder || visit == leaf) {
        collecting->sorted[collecting->count++] = *(statistic *const *)at;
    }
}

static int compare_entries(const void *first, const void *second)
{
    const statistic *a = *(statistic *const *)first, *b = *(statistic *const *)second;
    int order = strcmp(collecting->nodes[a->node].name.data, collecting->nodes[b->node].name.data);
    if (order == 0) {
        order = (a->subject > b->subject) - (a->subject < b->subject);
    }
    if (order == 0 && (a->subject == UPSTREAM || a->subject == DOWNSTREAM)) {
        const char *key = a->subject == UPSTREAM ? "upstream" : "downstream";
        uint64_t a_number = pick_number(pick(name_of(a), key), 0);
        uint64_t b_number = pick_number(pick(name_of(b), key), 0);
        order = (a_number > b_number) - (a_number < b_number);
    }
    return order != 0 ? order : compare_names(a->name, b->name);
}

static void print(snapshot *s)
{
    s->sorted = checked(calloc(s->count + 1, sizeof(*s->sorted)));
    s->count = 0;
    collecting = s;
    twalk(s->tree, collect);
    qsort(s->sorted, s->count, sizeof(*s->sorted), compare_entries);
    if (s->json) {
        text_add_string(&s->out, "{\"exchanges\":[");
    }
    for (size_t at = 0; at < s->count;) {
        if (at > 0) {
            text_add_string(&s->out, s->json ? "," : "\n");
        }
        at = s->json ? add_exchange_json(s, at) : add_exchange_tables(s, at);
    }
    if (s->json) {
        text_add_string(&s->out, "]}\n");
    }
    text shown = {NULL, 0, 0};
    text_add_printable_lines(&shown, s->out.data, s->out.bytes);
    if (write_all(STDOUT_FILENO, shown.data, shown.bytes, &signals_stop) < 0) {
        s->exit_code = EXIT_RUNTIME;
        if (errno != EPIPE && errno != EINTR) {
            report("stdout: %s", strerror(errno));
        }
    }
    text_free(&shown);
}

static void give_up(snapshot *s)
{
    char buffer[512];
    const char *trouble = session_trouble(&s->s, buffer, sizeof(buffer));
    s->exit_code = EXIT_RUNTIME;
    if (trouble) {
        report("not connected: %s", trouble);
        return;
    }
    uint64_t published = 0, received = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        published += s->nodes[i].published;
        received += s->nodes[i].received;
    }
    report("not complete after %.1f s: %llu of %llu links and objects", (double)s->for_ms / 1000,
           (unsigned long long)received, (unsigned long long)published);
    print(s);
}

static void run(snapshot *s)
{
    hakuban_contract_options options = {.size = sizeof(options), .queue = s->s.queue};
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status =
        hakuban_observe_tag(s->s.exchange, s->tag, &options, &s->contract, &error);
    if (status < 0) {
        report("observe %s: %s", s->tag, error.text[0] ? error.text : hakuban_status_text(status));
        s->exit_code = EXIT_RUNTIME;
        return;
    }
    uint64_t until_ms = now_ms() + s->for_ms;
    while (s->exit_code < 0) {
        hakuban_event event;
        while (hakuban_queue_next(s->s.queue, 0, &event) >= 0) {
            on_event(s, &event);
            hakuban_event_done(&event);
        }
        if (s->listed && s->node_count == 0) {
            report("no exchange publishes statistics with the tag %s (hakuban-router --stats-tag)",
                   s->tag);
            s->exit_code = EXIT_RUNTIME;
        } else if (is_complete(s)) {
            s->exit_code = 0;
            print(s);
        } else if (now_ms() >= until_ms) {
            give_up(s);
        }
        if (s->exit_code >= 0) {
            break;
        }
        struct pollfd fds[2] = {{.fd = s->s.queue_fd, .events = POLLIN},
                                {.fd = s->s.signal_fd, .events = POLLIN}};
        (void)poll(fds, 2, poll_timeout_ms(until_ms));
        if (signals_stop) {
            s->exit_code = EXIT_RUNTIME;
        }
    }
}

enum { OPTION_STATS_TAG = OPTION_OWN, OPTION_JSON, OPTION_FOR };

static const arg_option snapshot_options[] = {{"--connect", 'c', true, OPTION_CONNECT},
                                              {"--stats-tag", 0, true, OPTION_STATS_TAG},
                                              {"--json", 0, false, OPTION_JSON},
                                              {"--for", 0, true, OPTION_FOR},
                                              {"--verbose", 'v', false, OPTION_VERBOSE},
                                              {"--help", 'h', false, OPTION_HELP},
                                              {NULL, 0, false, 0}};

static const char snapshot_help[] =
    "usage: hakuban snapshot [-c URL] --stats-tag JSON [--json]\n"
    "\n"
    "Prints once what exchanges tell of themselves under a tag (hakuban-router --stats-tag):\n"
    "their links, their objects, who exposes each and how many observe it. Exit code 1 where\n"
    "none does so, or the picture is not complete in time; what came is printed all the same.\n"
    "\n"
    "  -c, --connect URL     where the router is; default $HAKUBAN_URL, else\n"
    "                        tcp://127.0.0.1:3001\n"
    "      --stats-tag JSON  the tag, e.g. '\"stats\"'\n"
    "      --json            one JSON document instead of tables\n"
    "      --for TIME        how long to wait; default 5s\n"
    "  -v, --verbose         say more on stderr; twice: everything\n"
    "  -h, --help            this text\n"
    "\n"
    "example: hakuban snapshot --stats-tag '\"stats\"'\n";

/* -1: go on; otherwise the exit code. */
static int read_arguments(snapshot *s, int argc, char **argv)
{
    arg_reader reader = {.argc = argc, .index = 0, .argv = argv};
    const char *value = NULL;
    int id;
    while ((id = arg_next(&reader, snapshot_options, &value)) != ARG_END) {
        bool good = true;
        switch (id) {
        case OPTION_CONNECT:
            s->s.url = value;
            s->s.url_origin = "--connect";
            break;
        case OPTION_STATS_TAG:
            good = !s->tag;
            if (!good) {
                report("--stats-tag %s: one tag is enough, and %s came before", value, s->tag);
            } else {
                good = interest_check_tag("--stats-tag", value);
            }
            s->tag = value;
            break;
        case OPTION_JSON:
            s->json = true;
            break;
        case OPTION_FOR:
            good = arg_duration("--for", value, &s->for_ms);
            if (good && s->for_ms == 0) {
                report("--for %s: must be longer than nothing", value);
                good = false;
            }
            break;
        case OPTION_VERBOSE:
            s->s.verbosity++;
            break;
        case OPTION_HELP:
            fputs(snapshot_help, stdout);
            return 0;
        case ARG_OPERAND:
            report("%s: snapshot takes a --stats-tag only", value);
            good = false;
            break;
        default:
            good = false;
        }
        if (!good) {
            return EXIT_USAGE;
        }
    }
    if (!s->tag) {
        report("--stats-tag is missing (see --help)");
        return EXIT_USAGE;
    }
    return -1;
}

int verb_snapshot(int argc, char **argv)
{
    snapshot s = {.exit_code = -1, .for_ms = WAIT_MS};
    s.exit_code = read_arguments(&s, argc, argv);
    if (s.exit_code < 0) {
        int code = session_open(&s.s);
        s.exit_code = code == 0 ? -1 : code;
    }
    if (s.exit_code < 0) {
        run(&s);
    }
    hakuban_contract_free(s.contract);
    (void)session_close(&s.s, 500);
    tdestroy(s.tree, statistic_free);
    for (size_t i = 0; i < s.node_count; i++) {
        text_free(&s.nodes[i].name);
    }
    free(s.nodes);
    free(s.sorted);
    text_free(&s.out);
    return s.exit_code != 0 ? session_cut_short(s.exit_code) : 0;
}
