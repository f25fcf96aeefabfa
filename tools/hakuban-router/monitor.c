/* Monitor objects. The names of the fields, their order and their oddities (synchronized_ms_ago is
 * in microseconds) are those that programs for the Rust router expect. */
#define _GNU_SOURCE
#include "monitor.h"

#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/args.h"
#include "common/report.h"

#define PERIOD_MS 1000
#define OBJECTS_MAX 10000
#define TAGS_MAX 10000
#define OBJECTS_BYTES_MAX (8u * 1024 * 1024) /* a Rust peer takes 16 MiB at a time */
#define TAGS_BYTES_MAX (12u * 1024 * 1024)   /* objects included */
#define LINKS_MAX 4096
#define SLICE 64

static const char *const kind_names[MONITOR_COUNT] = {"\"exchange\"", "\"websocket-listener\"",
                                                      "\"websocket-connector\""};

/* An object's having a tag. */
typedef struct monitor_use {
    const char *tag; /* canonical */
    uint64_t object;
} monitor_use;

static void *checked(void *memory)
{
    if (!memory) {
        out_of_memory();
    }
    return memory;
}

/* -- Pieces of JSON -- */

static const char *truth(int value)
{
    return value ? "true" : "false";
}

/* As a float of 32 bits: the fewest digits that read back. */
static void add_float(text *t, double value)
{
    char digits[32];
    float wanted = (float)value;
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, (double)wanted);
        if (strtof(digits, NULL) == wanted) {
            break;
        }
    }
    text_add_string(t, digits);
    if (!strpbrk(digits, ".e")) {
        text_add_string(t, ".0");
    }
}

static void add_name(text *t, const char *key, const char *name, bool null_if_empty)
{
    text_printf(t, ",\"%s\":", key);
    if (null_if_empty && !*name) {
        text_add_string(t, "null");
    } else {
        text_add_json_string(t, name, strlen(name));
    }
}

static int by_object_link(const void *a, const void *b)
{
    uint64_t x = ((const hakuban_object_link_info *)a)->number;
    uint64_t y = ((const hakuban_object_link_info *)b)->number;
    return (x > y) - (x < y);
}

static int by_tag_link(const void *a, const void *b)
{
    uint64_t x = ((const hakuban_tag_link_info *)a)->number;
    uint64_t y = ((const hakuban_tag_link_info *)b)->number;
    return (x > y) - (x < y);
}

static int by_link(const void *a, const void *b)
{
    uint64_t x = ((const hakuban_link_info *)a)->number;
    uint64_t y = ((const hakuban_link_info *)b)->number;
    return (x > y) - (x < y);
}

static int by_use(const void *a, const void *b)
{
    const monitor_use *x = a, *y = b;
    int order = strcmp(x->tag, y->tag);
    return order != 0 ? order : (x->object > y->object) - (x->object < y->object);
}

/* -- The exchange -- */

static void add_object_links(monitor *m, const hakuban_descriptor *object)
{
    static hakuban_object_link_info links[LINKS_MAX + SLICE];
    hakuban_cursor cursor = {{0, 0}};
    size_t count = 0, more = 1;
    while (more > 0 && count < LINKS_MAX &&
           hakuban_inspect_object_links(m->exchange, object, &cursor, links + count, SLICE,
                                        &more) >= 0) {
        count += more;
    }
    qsort(links, count, sizeof(links[0]), by_object_link);
    const char *between = "";
    for (size_t i = 0; i < count; i++) {
        const hakuban_object_link_info *link = &links[i];
        if (!link->observes && !link->exposes && !link->tag_observers && !link->tag_exposers &&
            !link->stream && !link->sink) {
            continue;
        }
        text_printf(&m->walk.json,
                    "%s{\"downstream_connection_id\":%llu,\"object_observer\":%s,"
                    "\"object_exposer\":%s,\"object_exposer_capacity\":%u,"
                    "\"tag_observer_count\":%u,\"tag_exposer_count\":%u,\"stream\":%s,\"sink\":%s}",
                    between, (unsigned long long)link->number, truth(link->observes),
                    truth(link->exposes), link->exposes ? link->capacity : 0, link->tag_observers,
                    link->tag_exposers, truth(link->stream), truth(link->sink));
        between = ",";
    }
}

static void add_state(text *t, const hakuban_object_info *info)
{
    size_t count = 0;
    const int64_t *version = hakuban_state_version(info->state, &count);
    text_add_string(t, ",\"data_state\":");
    if (!info->state) {
        text_add_string(t, "null");
        return;
    }
    text_add_string(t, "{\"version\":[");
    for (size_t i = 0; i < count; i++) {
        text_printf(t, "%s%lld", i > 0 ? "," : "", (long long)version[i]);
    }
    text_add_string(t, "],\"format\":[");
    for (size_t i = 0; i < hakuban_state_format_count(info->state); i++) {
        const char *name = hakuban_state_format(info->state, i);
        text_add_string(t, i > 0 ? "," : "");
        text_add_json_string(t, name, strlen(name));
    }
    text_printf(t, "],\"size\":%zu,\"synchronized_ms_ago\":%llu}",
                hakuban_state_data(info->state).bytes,
                (unsigned long long)(info->freshness == HAKUBAN_LIVE ? 0 : info->age_ns / 1000));
}

static void add_exposer(text *t, const hakuban_object_info *info)
{
    static const char *const kinds[] = {"", "ObjectExposeContract", "UpstreamConnection",
                                        "DownstreamConnection"};
    if (info->exposer == HAKUBAN_EXPOSER_NONE) {
        text_add_string(t, "null");
        return;
    }
    text_printf(t, "{\"%s\":%llu}",
                info->exposer_by_tag ? "TagExposeContract" : kinds[info->exposer],
                (unsigned long long)info->exposer_number);
}

static bool is_connected(const monitor *m)
{
    if (!m->connection) {
        return false;
    }
    hakuban_connection_info info;
    hakuban_connection_query(m->connection, &info);
    return info.state == HAKUBAN_CONNECTION_CONNECTED || info.state == HAKUBAN_CONNECTION_AWAY;
}

static void note_tags(monitor_walk *walk, const hakuban_object_info *info)
{
    size_t count = hakuban_descriptor_tag_count(info->object);
    while (walk->use_count + count > walk->use_capacity) {
        walk->use_capacity = walk->use_capacity ? walk->use_capacity * 2 : 256;
        walk->uses = checked(realloc(walk->uses, walk->use_capacity * sizeof(*walk->uses)));
    }
    for (size_t i = 0; i < count; i++) {
        walk->uses[walk->use_count++] =
            (monitor_use){hakuban_descriptor_tag(info->object, i), info->number};
    }
    walk->names[walk->name_count++] = hakuban_descriptor_ref(info->object);
}

static void add_object(monitor *m, const hakuban_object_info *info, bool connected)
{
    text *t = &m->walk.json;
    text_printf(t, "%s{\"id\":%llu,\"descriptor\":{\"tags\":[", m->walk.count > 0 ? "," : "",
                (unsigned long long)info->number);
    for (size_t i = 0; i < hakuban_descriptor_tag_count(info->object); i++) {
        text_add_string(t, i > 0 ? "," : "");
        text_add_string(t, hakuban_descriptor_tag(info->object, i));
    }
    text_add_string(t, "],\"json\":");
    text_add_string(t, hakuban_descriptor_json(info->object));
    text_printf(t, "},\"should_exist\":%s,\"data_needed\":%s,\"assigned_exposer\":",
                truth(info->exists), truth(info->needed));
    add_exposer(t, info);
    text_printf(t,
                ",\"object_observe_contract_count\":%u,\"object_expose_contract_count\":%u,"
                "\"tag_observe_contract_count\":%u,\"tag_expose_contract_count\":%u",
                info->observers, info->exposers, info->tag_observers, info->tag_exposers);
    if (connected) {
        text_printf(t,
                    ",\"upstream_link\":{\"sinks_receiving_from_upstream_count\":%d,"
                    "\"streams_sending_to_upstream_count\":%d}",
                    info->upstream_stream, info->upstream_sink);
    } else {
        text_add_string(t, ",\"upstream_link\":null");
    }
    text_add_string(t, ",\"downstream_links\":[");
    add_object_links(m, info->object);
    text_printf(t, "],\"cumulative_object_exposer_capacity\":%llu",
                (unsigned long long)info->capacity);
    add_state(t, info);
    text_add_string(t, "}");
    note_tags(&m->walk, info);
    m->walk.count++;
}

static void add_tag(monitor *m, const hakuban_tag_info *info, bool connected)
{
    static hakuban_tag_link_info links[LINKS_MAX + SLICE];
    text *t = &m->walk.json;
    monitor_walk *walk = &m->walk;
    const char *json = hakuban_descriptor_json(info->tag);
    text_printf(t, "%s{\"id\":%llu,\"descriptor\":", walk->count > 0 ? "," : "",
                (unsigned long long)info->number);
    text_add_string(t, json);
    text_add_string(t, ",\"objects\":[");
    size_t low = 0, high = walk->use_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(walk->uses[middle].tag, json) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i < walk->use_count && strcmp(walk->uses[i].tag, json) == 0; i++) {
        text_printf(t, "%s%llu", i > low ? "," : "", (unsigned long long)walk->uses[i].object);
    }
    text_printf(t,
                "],\"tag_observe_contract_count\":%u,\"tag_expose_contract_count\":%u,"
                "\"upstream_link\":%s,\"downstream_links\":[",
                info->observers, info->exposers, connected ? "{}" : "null");
    hakuban_cursor cursor = {{0, 0}};
    size_t count = 0, more = 1;
    while (more > 0 && count < LINKS_MAX &&
           hakuban_inspect_tag_links(m->exchange, info->tag, &cursor, links + count, SLICE,
                                     &more) >= 0) {
        count += more;
    }
    qsort(links, count, sizeof(links[0]), by_tag_link);
    for (size_t i = 0; i < count; i++) {
        text_printf(t,
                    "%s{\"downstream_connection_id\":%llu,\"tag_observer\":%s,\"tag_exposer\":%s,"
                    "\"tag_exposer_capacity\":%u}",
                    i > 0 ? "," : "", (unsigned long long)links[i].number, truth(links[i].observes),
                    truth(links[i].exposes), links[i].capacity);
    }
    text_printf(t, "],\"cumulative_tag_exposer_capacity\":%llu}",
                (unsigned long long)info->capacity);
    walk->count++;
}

static void forget(void *number)
{
    (void)number; /* the tree holds numbers, not pointers */
}

static int by_number(const void *a, const void *b)
{
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

/* A walk may come by something twice; it is to be told once. */
static bool is_new(monitor_walk *walk, uint64_t number)
{
    void *key = (void *)(uintptr_t)(number + 1);
    if (tfind(key, &walk->seen, by_number)) {
        return false;
    }
    (void)checked(tsearch(key, &walk->seen, by_number));
    return true;
}

static void walk_end(monitor_walk *walk)
{
    tdestroy(walk->seen, forget);
    for (size_t i = 0; i < walk->name_count; i++) {
        hakuban_descriptor_unref(walk->names[i]);
    }
    free(walk->names);
    free(walk->uses);
    text_free(&walk->json);
    memset(walk, 0, sizeof(*walk));
}

static void walk_begin(monitor_walk *walk)
{
    walk_end(walk);
    walk->active = true;
    walk->names = checked(calloc(OBJECTS_MAX, sizeof(*walk->names)));
    text_add_string(&walk->json, "{\"objects\":[");
}

/* Some more objects. False: that was all. */
static bool walk_objects(monitor *m, bool connected)
{
    static hakuban_object_info infos[SLICE];
    monitor_walk *walk = &m->walk;
    size_t count = 0;
    if (hakuban_inspect_objects(m->exchange, &walk->cursor, infos, SLICE, &count) < 0) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (walk->count >= OBJECTS_MAX || walk->json.bytes > OBJECTS_BYTES_MAX) {
            walk->truncated = true;
        } else if (is_new(walk, infos[i].number)) {
            add_object(m, &infos[i], connected);
        }
    }
    hakuban_object_info_done(infos, count);
    return count > 0 && !walk->truncated;
}

static bool walk_tags(monitor *m, bool connected)
{
    static hakuban_tag_info infos[SLICE];
    monitor_walk *walk = &m->walk;
    size_t count = 0;
    if (hakuban_inspect_tags(m->exchange, &walk->cursor, infos, SLICE, &count) < 0) {
        count = 0;
    }
    bool full = false;
    for (size_t i = 0; i < count; i++) {
        full = walk->count >= TAGS_MAX || walk->json.bytes > TAGS_BYTES_MAX;
        if (full) {
            walk->truncated = true;
        } else if (is_new(walk, infos[i].number)) {
            add_tag(m, &infos[i], connected);
        }
    }
    hakuban_tag_info_done(infos, count);
    return count > 0 && !full;
}

static bool send_json(monitor *m, monitor_kind kind, const text *json)
{
    static const char *const format[] = {"JSON"};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t version[] = {0, (int64_t)now.tv_sec, (int64_t)now.tv_nsec};
    hakuban_state_parts parts = {.data = json->data,
                                 .data_bytes = json->bytes,
                                 .format = format,
                                 .format_count = 1,
                                 .version = version,
                                 .version_count = 3};
    hakuban_state *state = NULL;
    hakuban_status status = hakuban_state_new(NULL, &parts, &state);
    if (status >= 0) {
        status = hakuban_sink_send(m->objects[kind].sink, state);
    }
    state = hakuban_state_unref(state);
    if (status == HAKUBAN_ERR_VERSION) { /* the clock was set back */
        parts.version = NULL;
        parts.version_count = 0;
        status = hakuban_state_new(NULL, &parts, &state);
        if (status >= 0) {
            status = hakuban_sink_send(m->objects[kind].sink, state);
        }
        hakuban_state_unref(state);
    }
    if (status < 0 && status != HAKUBAN_ERR_REVOKED) {
        report("monitor object %s: %s", kind_names[kind], hakuban_status_text(status));
    }
    return status >= 0;
}

/* One slice of the walk; the last one sends. */
static void step_exchange(monitor *m)
{
    monitor_walk *walk = &m->walk;
    bool connected = is_connected(m);
    if (!walk->of_tags) {
        if (walk_objects(m, connected)) {
            return;
        }
        walk->of_tags = true;
        walk->cursor = (hakuban_cursor){{0, 0}};
        walk->count = 0;
        tdestroy(walk->seen, forget);
        walk->seen = NULL;
        if (walk->use_count > 0) {
            qsort(walk->uses, walk->use_count, sizeof(*walk->uses), by_use);
        }
        text_add_string(&walk->json, "],\"tags\":[");
        return;
    }
    if (walk_tags(m, connected)) {
        return;
    }
    text_printf(&walk->json, "],\"upstream_connection\":%s%s}", truth(connected),
                walk->truncated ? ",\"truncated\":true" : "");
    (void)send_json(m, MONITOR_EXCHANGE, &walk->json);
    walk_end(walk);
}

/* -- Listener and connector -- */

/* All links of one direction that have said hello. The caller frees. */
static hakuban_link_info *links_of(monitor *m, int upstream, size_t *ret_count)
{
    hakuban_link_info *links = NULL;
    hakuban_cursor cursor = {{0, 0}};
    size_t count = 0, more = 1;
    while (more > 0) {
        links = checked(realloc(links, (count + SLICE) * sizeof(*links)));
        if (hakuban_inspect_links(m->exchange, &cursor, links + count, SLICE, &more) < 0) {
            break;
        }
        size_t kept = count;
        for (size_t i = count; i < count + more; i++) {
            if (links[i].upstream == upstream && links[i].phase != HAKUBAN_LINK_HELLO &&
                links[i].phase != HAKUBAN_LINK_ENDED) {
                links[kept++] = links[i];
            }
        }
        count = kept;
    }
    qsort(links, count, sizeof(*links), by_link);
    *ret_count = count;
    return links;
}

static void say_listener(monitor *m)
{
    text t = {NULL, 0, 0};
    size_t count = 0;
    hakuban_link_info *links = links_of(m, 0, &count);
    text_add_string(&t, "{\"url\":");
    text_add_json_string(&t, m->listener_url.data, m->listener_url.bytes);
    text_add_string(&t, ",\"downstream_connections\":[");
    for (size_t i = 0; i < count; i++) {
        text_printf(&t, "%s{\"downstream_connection_id\":%llu", i > 0 ? "," : "",
                    (unsigned long long)links[i].number);
        add_name(&t, "remote_address", links[i].address, false);
        add_name(&t, "local_name", links[i].own_name, false);
        add_name(&t, "remote_name", links[i].name, true);
        text_add_string(&t, ",\"load\":");
        add_float(&t, links[i].load);
        text_add_string(&t, ",\"load_limit\":");
        if (isfinite(links[i].load_limit)) {
            add_float(&t, links[i].load_limit);
        } else {
            text_add_string(&t, "null");
        }
        text_add_string(&t, "}");
    }
    text_add_string(&t, "]}");
    (void)send_json(m, MONITOR_LISTENER, &t);
    text_free(&t);
    free(links);
}

static void say_connector(monitor *m)
{
    text t = {NULL, 0, 0};
    size_t count = 0;
    hakuban_link_info *links = links_of(m, 1, &count);
    text_add_string(&t, "{\"url\":");
    text_add_json_string(&t, m->connector_url.data, m->connector_url.bytes);
    text_add_string(&t, ",\"upstream_connection\":");
    if (count == 0) {
        text_add_string(&t, "null");
    } else {
        const hakuban_link_info *link = &links[count - 1];
        /* Which address of this machine a connection goes out from is not known here. */
        text_printf(&t, "{\"upstream_connection_id\":%llu,\"local_address\":\"Err(unknown)\"",
                    (unsigned long long)link->number);
        add_name(&t, "local_name", link->own_name, false);
        add_name(&t, "remote_name", link->name, true);
        text_add_string(&t, "}");
    }
    text_add_string(&t, "}");
    (void)send_json(m, MONITOR_CONNECTOR, &t);
    text_free(&t);
    free(links);
}

/* -- Observers -- */

void monitor_event(monitor *m, const hakuban_event *event)
{
    for (int kind = 0; kind < MONITOR_COUNT; kind++) {
        if (!event->contract || event->contract != m->objects[kind].contract) {
            continue;
        }
        if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
            hakuban_sink_unref(m->objects[kind].sink);
            m->objects[kind].sink = hakuban_sink_ref(event->sink);
            m->objects[kind].due_ms = 0;
        } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE &&
                   m->objects[kind].sink == event->sink) {
            m->objects[kind].sink = hakuban_sink_unref(m->objects[kind].sink);
        }
    }
}

uint64_t monitor_step(monitor *m)
{
    uint64_t next_ms = UINT64_MAX, now = now_ms();
    for (int kind = 0; kind < MONITOR_COUNT; kind++) {
        if (!m->objects[kind].sink) {
            if (kind == MONITOR_EXCHANGE) {
                walk_end(&m->walk);
            }
            continue;
        }
        if (now >= m->objects[kind].due_ms) {
            m->objects[kind].due_ms = now + PERIOD_MS;
            if (kind == MONITOR_LISTENER) {
                say_listener(m);
            } else if (kind == MONITOR_CONNECTOR) {
                say_connector(m);
            } else if (!m->walk.active) {
                walk_begin(&m->walk);
            }
        }
        if (kind == MONITOR_EXCHANGE && m->walk.active) {
            step_exchange(m);
            next_ms = m->walk.active ? now : next_ms;
        }
        if (m->objects[kind].due_ms < next_ms) {
            next_ms = m->objects[kind].due_ms;
        }
    }
    return next_ms;
}

/* -- Beginning and end -- */

static int expose(monitor *m, monitor_kind kind)
{
    const char *tags[] = {m->tag.data};
    hakuban_descriptor *name = NULL;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_contract_options options = {.size = sizeof(options), .queue = m->queue};
    hakuban_status status = hakuban_descriptor_new(NULL, kind_names[kind], tags, 1, &name, &error);
    if (status < 0) {
        report("--monitor-tag: %s", error.text[0] ? error.text : hakuban_status_text(status));
        return status == HAKUBAN_ERR_NO_MEMORY ? EXIT_RUNTIME : EXIT_USAGE;
    }
    status = hakuban_expose_object(m->exchange, name, &options, &m->objects[kind].contract);
    hakuban_descriptor_unref(name);
    if (status < 0) {
        report("monitor object %s: %s", kind_names[kind], hakuban_status_text(status));
        return EXIT_RUNTIME;
    }
    return 0;
}

static void unexpose(monitor *m, monitor_kind kind)
{
    m->objects[kind].sink = hakuban_sink_unref(m->objects[kind].sink);
    m->objects[kind].contract = hakuban_contract_free(m->objects[kind].contract);
}

int monitor_start(monitor *m, hakuban_exchange *exchange, hakuban_queue *queue, const char *tag)
{
    m->exchange = exchange;
    m->queue = queue;
    /* Only what must be escaped is: the library then says what is wrong with the rest. */
    text_add_string(&m->tag, "\"");
    for (const char *c = tag; *c; c++) {
        if (*c == '"' || *c == '\\') {
            text_add(&m->tag, "\\", 1);
        }
        if ((unsigned char)*c < 0x20) {
            text_printf(&m->tag, "\\u%04x", (unsigned)*c);
        } else {
            text_add(&m->tag, c, 1);
        }
    }
    text_add_string(&m->tag, "\"");
    int exit_code = expose(m, MONITOR_EXCHANGE);
    return exit_code != 0 ? exit_code : expose(m, MONITOR_LISTENER);
}

int monitor_place(monitor *m, const char *listener_url, const char *connector_url,
                  hakuban_connection *connection)
{
    text_clear(&m->listener_url);
    text_clear(&m->connector_url);
    text_add_string(&m->listener_url, listener_url ? listener_url : "");
    text_add_string(&m->connector_url, connector_url ? connector_url : "");
    m->connection = connection;
    if (connector_url && !m->objects[MONITOR_CONNECTOR].contract) {
        return expose(m, MONITOR_CONNECTOR);
    }
    if (!connector_url) {
        unexpose(m, MONITOR_CONNECTOR);
    }
    return 0;
}

void monitor_stop(monitor *m)
{
    for (int kind = 0; kind < MONITOR_COUNT; kind++) {
        unexpose(m, (monitor_kind)kind);
    }
    walk_end(&m->walk);
    text_free(&m->tag);
    text_free(&m->listener_url);
    text_free(&m->connector_url);
}
