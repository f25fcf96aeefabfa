/* The objects by which the Rust implementation's router can be watched, for programs that know
 * those; our own statistics are
 * --stats-tag. Names, fields and times are theirs (docs/introspection.md); what is watched is this
 * router's exchange. */
#ifndef HAKUBAN_TOOLS_MONITOR_H
#define HAKUBAN_TOOLS_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include <hakuban/hakuban.h>

#include "common/text.h"

typedef enum monitor_kind {
    MONITOR_EXCHANGE,
    MONITOR_LISTENER,
    MONITOR_CONNECTOR, /* while there is an upstream to connect to */
    MONITOR_COUNT,
} monitor_kind;

/* A snapshot of the exchange under construction: some objects or tags a step, so that nothing else
 * waits.
 */
typedef struct monitor_walk {
    bool active, truncated;
    bool of_tags; /* objects come first */
    hakuban_cursor cursor;
    text json;
    size_t count;             /* objects, then tags */
    void *seen;               /* tree of their numbers */
    struct monitor_use *uses; /* which tags the objects have */
    size_t use_count, use_capacity;
    hakuban_descriptor **names; /* of the objects; uses point into them */
    size_t name_count;
} monitor_walk;

typedef struct monitor {
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    text tag; /* as JSON */
    struct {
        hakuban_contract *contract;
        hakuban_sink *sink; /* NULL: it is not observed */
        uint64_t due_ms;
    } objects[MONITOR_COUNT];
    monitor_walk walk;
    text listener_url, connector_url; /* as the watchers are to be told */
    hakuban_connection *connection;   /* NULL: none */
} monitor;

/* Exposes the objects; tag: text that becomes a JSON string. Events come to queue. 0, or the exit
 * code of what was reported. */
int monitor_start(monitor *m, hakuban_exchange *exchange, hakuban_queue *queue, const char *tag);
/* Where the router listens and connects to, now and after each change; NULL: nowhere. */
int monitor_place(monitor *m, const char *listener_url, const char *connector_url,
                  hakuban_connection *connection);
/* An event that may be about one of the objects. */
void monitor_event(monitor *m, const hakuban_event *event);
/* Does what is due; to be called each turn. Returns when there is more to do, in milliseconds of
 * now_ms(); UINT64_MAX: never. */
uint64_t monitor_step(monitor *m);
void monitor_stop(monitor *m);

#endif
