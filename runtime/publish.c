/* Statistics as objects: which there are, and when their states are made. Nothing runs while none
 * is observed.
 *
 * One expose contract, on the exchange's own {"statistics":NAME} tag, gets every sink. What is to
 * be seen without being asked for by name has a marker besides: an expose contract of capacity 0 on
 * the object, which makes it exist and is never chosen. The objects "exchange" and "subjects" are
 * always marked. A contract on one of the tags, here or anywhere in the tree, observes "subjects"
 * too; and as long as that one has a sink, links and objects are marked, too. */
#include <stdio.h>

#include "runtime/runtime.h"

#include "runtime/statistics.h"
#include "json/json.h"

#define MS 1000000ull
#define ROUND_NS                                                                                   \
    (1050 *                                                                                        \
     MS) /* from round to round: each statistic's turn comes at about the same time within it */
#define RECORD_NS (1000 * MS) /* no statistic is made more often */
#define PAUSE_NS (1 * MS)     /* between the slices of a round others have their turn */
#define SLICE 128             /* of what may cost a few microseconds each */
#define WALK_SLICE 256
#define NAME_BYTES_MAX 64
#define TEXT_BYTES_MAX (64u * 1024)

/* One statistic that is marked or observed. */
typedef struct record {
    uint32_t hash;
    hkb_subject subject;
    hkb_node node; /* in publisher.records */
    hakuban_contract *marker;
    hakuban_sink *sink;
    uint64_t round; /* of the last walk that came by */
    uint64_t said_ns, said_hash;
    bool said; /* through this sink */
} record;

typedef enum phase {
    IDLE = 0,
    LINKS, /* looking for those that are not marked yet */
    OBJECTS,
    SAYING, /* what changed; and unmarking what is gone */
} phase;

struct hakuban_publisher {
    hakuban_exchange *exchange;
    hakuban_contract *contract;
    char name[NAME_BYTES_MAX + 1];
    char group_tag[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    char own_tag[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    size_t group_tag_bytes, own_tag_bytes, subjects_max;
    uint64_t key[2];
    bool ended;
    hkb_map map;      /* record */
    hkb_list records; /* all, in the order in which their turn comes */
    hkb_timer timer;
    phase phase;
    hakuban_cursor cursor;
    uint64_t round, began_ns;
    size_t left;          /* records whose turn comes yet in this round */
    size_t marked, sinks; /* marked: beyond the two that always are */
    record *all;          /* "subjects" */
    hkb_subject_counts counting, counts;
    bool counted;
    hkb_buffer text;
};

/* -- Records -- */

static bool same_subject(const void *item, const void *key)
{
    const hkb_subject *a = &((const record *)item)->subject, *b = key;
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == HKB_SUBJECT_OBJECT) {
        return hakuban_descriptor_equal(a->object, b->object);
    }
    return a->kind != HKB_SUBJECT_LINK || (a->upstream == b->upstream && a->number == b->number);
}

static uint32_t subject_hash(const hakuban_publisher *publisher, const hkb_subject *subject)
{
    if (subject->kind == HKB_SUBJECT_OBJECT) {
        return (uint32_t)hkb_siphash(publisher->key, subject->object->text,
                                     subject->object->text_bytes);
    }
    uint64_t words[3] = {(uint64_t)subject->kind, subject->upstream, subject->number};
    return (uint32_t)hkb_siphash(publisher->key, words, sizeof(words));
}

static record *find(const hakuban_publisher *publisher, const hkb_subject *subject)
{
    return hkb_map_find(&publisher->map, subject_hash(publisher, subject), subject);
}

static record *record_new(hakuban_publisher *publisher, const hkb_subject *subject)
{
    const hakuban_alloc *alloc = publisher->exchange->alloc;
    record *made = hkb_alloc(alloc, sizeof(*made));
    if (!made) {
        return NULL;
    }
    made->hash = subject_hash(publisher, subject);
    made->subject = *subject;
    if (hkb_map_insert(&publisher->map, made) < 0) {
        hkb_free(alloc, made, sizeof(*made));
        return NULL;
    }
    if (made->subject.object) {
        (void)hakuban_descriptor_ref(made->subject.object);
    }
    hkb_list_push(&publisher->records, &made->node);
    return made;
}

static bool is_permanent(const record *of)
{
    return of->subject.kind == HKB_SUBJECT_EXCHANGE || of->subject.kind == HKB_SUBJECT_SUBJECTS;
}

static void unmark(hakuban_publisher *publisher, record *of)
{
    if (!of->marker) {
        return;
    }
    hkb_contract_end(of->marker);
    hkb_contract_unref(of->marker);
    of->marker = NULL;
    publisher->marked -= !is_permanent(of);
}

static void drop_sink(hakuban_publisher *publisher, record *of)
{
    if (!of->sink) {
        return;
    }
    hkb_sink_unref(of->sink);
    of->sink = NULL;
    publisher->sinks--;
}

static void record_free(hakuban_publisher *publisher, record *of)
{
    unmark(publisher, of);
    drop_sink(publisher, of);
    hkb_map_remove(&publisher->map, of);
    hkb_list_remove(&of->node);
    (void)hakuban_descriptor_unref(of->subject.object);
    hkb_free(publisher->exchange->alloc, of, sizeof(*of));
}

static hakuban_status name_of(hakuban_publisher *publisher, const hkb_subject *subject,
                              hakuban_descriptor **ret)
{
    hakuban_slice tags[2] = {{publisher->group_tag, publisher->group_tag_bytes},
                             {publisher->own_tag, publisher->own_tag_bytes}};
    hkb_buffer *text = &publisher->text;
    text->bytes = 0;
    hakuban_status status = hkb_subject_put(subject, text);
    if (status < 0) {
        return status;
    }
    return hkb_descriptor_new(publisher->exchange->alloc, (hakuban_slice){text->data, text->bytes},
                              tags, 2, ret, NULL);
}

/* Makes the object exist. */
static hakuban_status mark(hakuban_publisher *publisher, record *of)
{
    hakuban_descriptor *name = NULL;
    hakuban_status status = name_of(publisher, &of->subject, &name);
    if (status < 0) {
        return status;
    }
    status = hkb_contract_new(publisher->exchange->core, HKB_EXPOSE_OBJECT, name,
                              (hakuban_slice){0}, 0, NULL, NULL, &of->marker);
    (void)hakuban_descriptor_unref(name);
    if (status >= 0) {
        publisher->marked += !is_permanent(of);
    }
    return status;
}

/* A walk came by. False: there is no room or memory for it, or its name would be too long. */
static bool see(hakuban_publisher *publisher, const hkb_subject *subject)
{
    record *seen = find(publisher, subject);
    if (!seen || !seen->marker) {
        if (publisher->marked >= publisher->subjects_max) {
            return false;
        }
        if (!seen) {
            seen = record_new(publisher, subject);
        }
        if (!seen) {
            return false;
        }
        if (mark(publisher, seen) < 0) {
            if (!seen->sink) {
                record_free(publisher, seen);
            }
            return false;
        }
    }
    seen->round = publisher->round;
    return true;
}

/* -- Making states -- */

static hakuban_status make_link(hakuban_publisher *publisher, const record *of, size_t *ret_facts)
{
    const hakuban_exchange *exchange = publisher->exchange;
    const hkb_peer *peer = hkb_peer_find(exchange->core, of->subject.upstream, of->subject.number);
    if (!peer) {
        return HAKUBAN_ERR_NOT_FOUND;
    }
    hakuban_link_info info;
    hkb_link_inspect(peer, &info);
    return hkb_statistics_link(&publisher->text, exchange->wall_ns / 1000000, &info, ret_facts);
}

static hakuban_status make_object(hakuban_publisher *publisher, const record *of, size_t *ret_facts)
{
    const hakuban_exchange *exchange = publisher->exchange;
    const hkb_object *object = hkb_object_find(exchange->core, of->subject.object);
    if (!object) {
        return HAKUBAN_ERR_NOT_FOUND;
    }
    hakuban_object_info info;
    hkb_object_inspect(object, &info);
    hakuban_status status =
        hkb_statistics_object(&publisher->text, exchange->wall_ns / 1000000, &info, ret_facts);
    hakuban_object_info_done(&info, 1);
    return status;
}

/* Into publisher.text. *ret_facts: how much of it must be the same for nothing to be new. */
static hakuban_status make(hakuban_publisher *publisher, const record *of, size_t *ret_facts)
{
    const hakuban_exchange *exchange = publisher->exchange;
    hakuban_status status = HAKUBAN_ERR_NOT_FOUND;
    hakuban_exchange_stats stats;
    publisher->text.bytes = 0;
    *ret_facts = SIZE_MAX;
    switch (of->subject.kind) {
    case HKB_SUBJECT_EXCHANGE:
        hkb_exchange_count(exchange->core, &stats);
        status = hkb_statistics_exchange(&publisher->text, publisher->name,
                                         exchange->wall_ns / 1000000, &stats);
        break;
    case HKB_SUBJECT_SUBJECTS:
        status = hkb_statistics_subjects(&publisher->text, &publisher->counts);
        break;
    case HKB_SUBJECT_LINK:
        status = make_link(publisher, of, ret_facts);
        break;
    case HKB_SUBJECT_OBJECT:
        status = make_object(publisher, of, ret_facts);
        break;
    }
    if (status == HAKUBAN_ERR_NOT_FOUND) {
        static const char gone[] = "{\"exists\":false}";
        publisher->text.bytes = 0;
        status = hkb_buffer_append(&publisher->text, gone, sizeof(gone) - 1);
    }
    *ret_facts = hkb_min(*ret_facts, publisher->text.bytes);
    return status;
}

/* Sends what is new. Without memory it is tried again in the next round. */
static void say(hakuban_publisher *publisher, record *of)
{
    static const char *const format[] = {"JSON"};
    uint64_t now_ns = publisher->exchange->now_ns;
    size_t facts = 0;
    if (!of->sink || (of->said && now_ns - of->said_ns < RECORD_NS)) {
        return;
    }
    if (of->subject.kind == HKB_SUBJECT_SUBJECTS && !publisher->counted) {
        return; /* at the end of the first walk */
    }
    if (make(publisher, of, &facts) < 0) {
        return;
    }
    const hkb_buffer *text = &publisher->text;
    uint64_t hash = hkb_siphash(publisher->key, text->data, facts);
    if (of->said && of->said_hash == hash) {
        return;
    }
    hakuban_state *state = NULL;
    hakuban_state_parts parts = {
        .data = text->data, .data_bytes = text->bytes, .format = format, .format_count = 1};
    if (hakuban_state_new(publisher->exchange->alloc, &parts, &state) < 0) {
        return;
    }
    if (hkb_sink_send(of->sink, state) >= 0) {
        of->said = true;
        of->said_ns = now_ns;
        of->said_hash = hash;
    }
    (void)hakuban_state_unref(state);
}

/* -- Rounds -- */

static bool walk_links(hakuban_publisher *publisher)
{
    hkb_peer *peers[SLICE];
    size_t count = hkb_inspect_links(publisher->exchange->core, &publisher->cursor, peers, SLICE);
    for (size_t i = 0; i < count; i++) {
        hkb_subject subject = {.kind = HKB_SUBJECT_LINK};
        subject.number = hkb_peer_number(peers[i], &subject.upstream);
        publisher->counting.links++;
        publisher->counting.left_out += !see(publisher, &subject);
    }
    return count > 0;
}

/* Marking makes objects, and frees none: the slice stays good. */
static bool walk_objects(hakuban_publisher *publisher)
{
    hkb_object *objects[WALK_SLICE];
    size_t count =
        hkb_inspect_objects(publisher->exchange->core, &publisher->cursor, objects, WALK_SLICE);
    for (size_t i = 0; i < count; i++) {
        const hakuban_descriptor *name = hkb_object_descriptor(objects[i]);
        if (hkb_is_statistics(name)) {
            continue;
        }
        hkb_subject subject = {.kind = HKB_SUBJECT_OBJECT,
                               .object = (hakuban_descriptor *)(uintptr_t)name};
        publisher->counting.objects++;
        publisher->counting.left_out += !see(publisher, &subject);
    }
    return count > 0;
}

static void say_some(hakuban_publisher *publisher)
{
    for (size_t i = 0; i < SLICE && publisher->left > 0; i++, publisher->left--) {
        hkb_node *node = hkb_list_pop(&publisher->records);
        if (!node) {
            break;
        }
        record *of = HKB_CONTAINER(node, record, node);
        hkb_list_push(&publisher->records, node);
        if (of->round != publisher->round && !is_permanent(of)) {
            unmark(publisher, of);
        }
        if (!of->marker && !of->sink) {
            record_free(publisher, of);
        } else {
            say(publisher, of);
        }
    }
}

static void begin_round(hakuban_publisher *publisher)
{
    publisher->round++;
    publisher->began_ns = publisher->exchange->now_ns;
    publisher->counting = (hkb_subject_counts){0};
    publisher->cursor = (hakuban_cursor){{0, 0}};
    publisher->left = publisher->map.count;
    publisher->phase = SAYING;
    if (publisher->all->sink) {
        publisher->phase = LINKS;
    } else {
        publisher->counted = false; /* what is marked goes */
    }
}

static void step(hakuban_publisher *publisher)
{
    switch (publisher->phase) {
    case IDLE:
        begin_round(publisher);
        break;
    case LINKS:
        if (walk_links(publisher)) {
            break;
        }
        publisher->phase = OBJECTS;
        publisher->cursor = (hakuban_cursor){{0, 0}};
        break;
    case OBJECTS:
        if (walk_objects(publisher)) {
            break;
        }
        publisher->counting.published =
            publisher->counting.links + publisher->counting.objects - publisher->counting.left_out;
        publisher->counts = publisher->counting;
        publisher->counted = true;
        publisher->phase = SAYING;
        publisher->left = publisher->map.count;
        say(publisher, publisher->all);
        break;
    case SAYING:
        say_some(publisher);
        if (publisher->left == 0) {
            publisher->phase = IDLE;
        }
        break;
    }
}

static void plan(hakuban_publisher *publisher)
{
    hakuban_exchange *exchange = publisher->exchange;
    if (hkb_timer_is_set(&publisher->timer)) {
        return;
    }
    if (publisher->phase != IDLE) {
        hkb_timer_set(exchange, &publisher->timer, exchange->now_ns + PAUSE_NS);
    } else if (publisher->sinks > 0 || publisher->marked > 0) {
        hkb_timer_set(exchange, &publisher->timer, publisher->began_ns + ROUND_NS);
    }
}

static void on_time(hkb_timer *timer)
{
    hakuban_publisher *publisher = HKB_CONTAINER(timer, hakuban_publisher, timer);
    step(publisher);
    plan(publisher);
}

/* -- Sinks -- */

/* The record that an event's object is about; NULL: it is none of ours. make: also where there is
 * none yet. */
static record *record_of(hakuban_publisher *publisher, const hakuban_descriptor *name, bool make_it)
{
    hkb_subject subject;
    if (hakuban_descriptor_tag_count(name) != 2 ||
        (strcmp(hakuban_descriptor_tag(name, 0), publisher->group_tag) != 0 &&
         strcmp(hakuban_descriptor_tag(name, 1), publisher->group_tag) != 0)) {
        return NULL;
    }
    if (hkb_subject_read(publisher->exchange->alloc, hakuban_descriptor_json(name), &subject) < 0) {
        return NULL;
    }
    record *found = find(publisher, &subject);
    if (!found && make_it) {
        found = record_new(publisher, &subject);
    }
    (void)hakuban_descriptor_unref(subject.kind == HKB_SUBJECT_OBJECT ? subject.object : NULL);
    return found;
}

static void open_sink(hakuban_publisher *publisher, const hakuban_event *event)
{
    record *of = record_of(publisher, event->object, true);
    if (!of) {
        return;
    }
    drop_sink(publisher, of);
    hkb_sink_ref(event->sink);
    of->sink = event->sink;
    of->said = false;
    publisher->sinks++;
    say(publisher, of);
    /* An observer of all does not wait for the next round. */
    if (of == publisher->all && publisher->phase == IDLE) {
        hkb_timer_cancel(&publisher->timer);
        begin_round(publisher);
    }
    plan(publisher);
}

static void close_sink(hakuban_publisher *publisher, const hakuban_event *event)
{
    record *of = record_of(publisher, event->object, false);
    if (!of || of->sink != event->sink) {
        return;
    }
    drop_sink(publisher, of);
    if (!of->marker) {
        record_free(publisher, of);
    }
}

static void on_event(void *user, hakuban_event *event)
{
    hakuban_publisher *publisher = user;
    hakuban_exchange *exchange = publisher->exchange;
    hkb_runtime_enter_to_send(exchange);
    if (!publisher->ended && event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        open_sink(publisher, event);
    } else if (!publisher->ended && event->kind == HAKUBAN_EVENT_SINK_CLOSE) {
        close_sink(publisher, event);
    }
    hkb_runtime_leave(exchange);
}

/* -- Beginning and end -- */

/* Also of one that was half made. With the mutex held. */
static void stop(hakuban_publisher *publisher)
{
    hkb_node *node;
    publisher->ended = true;
    hkb_timer_cancel(&publisher->timer);
    while ((node = hkb_list_first(&publisher->records))) {
        record_free(publisher, HKB_CONTAINER(node, record, node));
    }
    hkb_map_done(&publisher->map);
    hkb_buffer_done(&publisher->text);
}

static void on_freed(void *user)
{
    hakuban_publisher *publisher = user;
    hkb_free(publisher->exchange->alloc, publisher, sizeof(*publisher));
}

/* The tags' texts, and the name. */
static hakuban_status read_names(hakuban_publisher *publisher, const char *tag_json,
                                 const char *name, hakuban_error *reterr)
{
    const hakuban_alloc *alloc = publisher->exchange->alloc;
    hakuban_slice group = {tag_json, strlen(tag_json)};
    hakuban_status status =
        hkb_tag_canonical(alloc, group, publisher->group_tag, &publisher->group_tag_bytes, reterr);
    if (status < 0) {
        return status;
    }
    if (!name) {
        (void)snprintf(publisher->name, sizeof(publisher->name), "%016llx",
                       (unsigned long long)publisher->key[0]);
    } else if (!*name || strlen(name) > NAME_BYTES_MAX || !hkb_utf8_valid(name, strlen(name))) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT,
                                 "the name of the statistics must be 1 to %d bytes of UTF-8",
                                 NAME_BYTES_MAX);
    } else {
        memcpy(publisher->name, name, strlen(name) + 1);
    }
    static const char head[] = "{\"statistics\":";
    hkb_buffer *text = &publisher->text;
    status = hkb_buffer_append(text, head, sizeof(head) - 1);
    if (status >= 0) {
        status = hkb_json_put_string(text, publisher->name, strlen(publisher->name));
    }
    if (status >= 0) {
        status = hkb_buffer_append(text, "}", 1);
    }
    if (status < 0) {
        return hakuban_error_set(reterr, status, "%s", hakuban_status_text(status));
    }
    status = hkb_tag_canonical(alloc, (hakuban_slice){text->data, text->bytes}, publisher->own_tag,
                               &publisher->own_tag_bytes, reterr);
    if (status >= 0 && strcmp(publisher->own_tag, publisher->group_tag) == 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT,
                                 "%.100s is the tag of this exchange alone; it needs another",
                                 publisher->own_tag);
    }
    return status;
}

static hakuban_status mark_permanent(hakuban_publisher *publisher, hkb_subject_kind kind,
                                     record **ret)
{
    hkb_subject subject = {.kind = kind};
    record *made = record_new(publisher, &subject);
    if (!made) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    *ret = made;
    return mark(publisher, made);
}

static hakuban_status begin(hakuban_publisher *publisher, const char *tag_json, const char *name,
                            hakuban_error *reterr)
{
    hakuban_exchange *exchange = publisher->exchange;
    record *unused;
    hkb_runtime_enter(exchange);
    publisher->key[0] = hkb_runtime_random(exchange);
    publisher->key[1] = hkb_runtime_random(exchange);
    hakuban_status status = read_names(publisher, tag_json, name, reterr);
    if (status >= 0 && exchange->closing) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_CLOSED, "the exchange is closed");
    }
    if (status < 0) {
        hkb_runtime_leave(exchange);
        return status;
    }
    status = mark_permanent(publisher, HKB_SUBJECT_EXCHANGE, &unused);
    if (status >= 0) {
        status = mark_permanent(publisher, HKB_SUBJECT_SUBJECTS, &publisher->all);
    }
    hkb_runtime_leave(exchange);
    if (status < 0) {
        return hakuban_error_set(reterr, status, "%s", hakuban_status_text(status));
    }
    /* As much capacity as there is: statistics must weigh nothing in a link's load. */
    hakuban_contract_options options = {.size = sizeof(options),
                                        .capacity = UINT32_MAX,
                                        .on_event = on_event,
                                        .on_freed = on_freed,
                                        .user = publisher};
    return hakuban_expose_tag(exchange, publisher->own_tag, &options, &publisher->contract, reterr);
}

hakuban_status hakuban_exchange_publish_stats(hakuban_exchange *exchange, const char *tag_json,
                                              const hakuban_stats_options *options,
                                              hakuban_publisher **ret, hakuban_error *reterr)
{
    hakuban_stats_options wanted = {.size = sizeof(wanted)};
    if (!exchange || !tag_json || !ret || (options && options->size < sizeof(uint32_t))) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "%s",
                                 hakuban_status_text(HAKUBAN_ERR_ARGUMENT));
    }
    if (options && !hkb_sized_read(&wanted, sizeof(wanted), options, options->size)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                                 "an option is set that this library does not know");
    }
    hakuban_publisher *publisher = hkb_alloc(exchange->alloc, sizeof(*publisher));
    if (!publisher) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    publisher->exchange = exchange;
    publisher->subjects_max =
        wanted.subjects_max ? wanted.subjects_max : HAKUBAN_STATS_SUBJECTS_MAX;
    publisher->timer.fire = on_time;
    hkb_list_init(&publisher->records);
    hkb_map_init(&publisher->map, exchange->alloc, offsetof(record, hash), same_subject);
    hkb_buffer_init(&publisher->text, exchange->alloc, TEXT_BYTES_MAX);
    hakuban_status status = begin(publisher, tag_json, wanted.name, reterr);
    if (status < 0) {
        hkb_runtime_enter(exchange);
        stop(publisher);
        hkb_runtime_leave(exchange);
        on_freed(publisher);
        return status;
    }
    *ret = publisher;
    return HAKUBAN_OK;
}

hakuban_publisher *hakuban_publisher_free(hakuban_publisher *publisher)
{
    if (!publisher || hkb_runtime_is_inherited(publisher->exchange)) {
        return NULL;
    }
    hakuban_contract *contract = publisher->contract;
    hkb_runtime_enter(publisher->exchange);
    stop(publisher);
    hkb_runtime_leave(publisher->exchange);
    (void)hakuban_contract_free(contract); /* its last word frees the publisher */
    return NULL;
}

const char *hakuban_publisher_name(const hakuban_publisher *publisher)
{
    return publisher ? publisher->name : NULL;
}
