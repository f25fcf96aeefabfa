/* Events: what contracts and connections have to say, read from a queue by blocking, polling one
 * descriptor, or a callback.
 *
 * A queue holds at most one entry per contract and object (and one per sink), however fast states
 * change: a slow reader sees the newest state, never a backlog. CLOSE comes last for what it
 * closes. What comes and goes before its first event was taken leaves none at all. */
#ifndef HAKUBAN_QUEUE_H
#define HAKUBAN_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "descriptor.h"
#include "state.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hakuban_exchange hakuban_exchange;
typedef struct hakuban_queue hakuban_queue;
typedef struct hakuban_contract hakuban_contract;
typedef struct hakuban_connection hakuban_connection;

/* The right and duty to produce the states of one object, from SINK_OPEN to SINK_CLOSE.
 * Reference-counted. */
typedef struct hakuban_sink hakuban_sink;

typedef enum hakuban_event_kind {
    HAKUBAN_EVENT_OPEN = 1,  /* observe: an object is there; its state follows once there is one */
    HAKUBAN_EVENT_STATE = 2, /* observe: a newer state */
    HAKUBAN_EVENT_CONDITION = 3, /* observe: the same state, but freshness or source changed */
    HAKUBAN_EVENT_CLOSE =
        4, /* observe a tag: an object is gone; not said when the contract is freed */
    HAKUBAN_EVENT_LISTED = 5,    /* observe a tag: every object that existed when the contract began
                                    has been told; once */
    HAKUBAN_EVENT_SINK_OPEN = 6, /* expose: this contract was chosen; send states to event.sink */
    HAKUBAN_EVENT_FLOOR = 7,     /* expose: versions must not be below event.version from now on;
                                    automatic ones see to that */
    HAKUBAN_EVENT_SINK_CLOSE = 8, /* expose: another was chosen, or the object is needed no more */
    HAKUBAN_EVENT_CONNECTION =
        9, /* a connection has another state or a new error: hakuban_connection_query() tells */
    HAKUBAN_EVENT_COMPLETE = 10, /* observe a tag, after LISTED: of every object told before LISTED
                                    there was a LIVE state, or no exposer; once */
} hakuban_event_kind;

/* Filled in by hakuban_queue_next(), given back by hakuban_event_done(); what it points to is
 * borrowed until then. */
typedef struct hakuban_event {
    uint32_t size; /* filled in: bytes of this struct that hold something */
    hakuban_event_kind kind;
    hakuban_contract *contract;       /* NULL for CONNECTION */
    hakuban_connection *connection;   /* CONNECTION only */
    void *user;                       /* as given with the contract or connection */
    const hakuban_descriptor *object; /* NULL for LISTED, COMPLETE and CONNECTION */
    hakuban_state *state;             /* STATE, CONDITION: the newest; NULL while there is none */
    hakuban_freshness freshness;      /* OPEN, STATE, CONDITION */
    hakuban_source source;            /* OPEN, STATE, CONDITION */
    uint64_t age_ns;    /* of a STALE state: how long ago it was last known to be current */
    hakuban_sink *sink; /* SINK_OPEN, FLOOR, SINK_CLOSE */
    const int64_t
        *version; /* SINK_OPEN, FLOOR: the floor, which the sink's own versions must not be below */
    size_t version_count; /* 0: no floor */
    void *internal[2];
} hakuban_event;

/**
 * What a kind of event is called: "state", "sink open".
 *
 * @return static text; "unknown" for a value that is none
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_event_kind_text(hakuban_event_kind kind);

/**
 * An empty queue, to be shared by several contracts and connections.
 *
 * @param exchange  borrowed until hakuban_queue_free()
 * @param ret       owned; end with hakuban_queue_free()
 * @return OK, ERR_ARGUMENT, ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_queue_new(hakuban_exchange *exchange,
                                                               hakuban_queue **ret);

/**
 * Ends a queue. Contracts and connections that still use it go on without events.
 *
 * No other thread may be in hakuban_queue_next() with it.
 *
 * @param queue  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_queue *hakuban_queue_free(hakuban_queue *queue);

/**
 * Makes one hakuban_queue_next() of the queue that waits, now or as the next one, return
 * ERR_INTERRUPTED.
 *
 * Several calls before that count as one. It takes no lock, so that a signal handler may call it.
 *
 * @param queue  must not be freed meanwhile; NULL does nothing
 * @thread any, also inside a signal handler
 * @since 0.1
 */
HAKUBAN_API void hakuban_queue_wake(hakuban_queue *queue);

/**
 * Lets go of what an event points to.
 *
 * @param event  filled in by hakuban_queue_next(), or NULL; emptied
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_event_done(hakuban_event *event);

/**
 * A descriptor that polls readable while the queue is not empty, and once the exchange is closed.
 * Never read from it.
 *
 * The first call makes it; an exchange without such calls pays nothing for descriptors.
 *
 * @return borrowed until hakuban_queue_free(); negative: ERR_IO, ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
HAKUBAN_API int hakuban_queue_fd(hakuban_queue *queue);

/**
 * hakuban_queue_next() for a struct of event_bytes: what bindings call that have no C headers.
 *
 * @param event_bytes  sizeof(hakuban_event) of the header that the caller was written with
 * @return as hakuban_queue_next(); ERR_ARGUMENT also where event_bytes is below the size in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_queue_next_sized(hakuban_queue *queue,
                                                                      int timeout_ms,
                                                                      hakuban_event *ret_event,
                                                                      size_t event_bytes);

/**
 * Takes the next event, waiting for one if need be.
 *
 * On the thread that drives the exchange (hakuban_exchange_turn(), or the only thread of an
 * exchange without a library thread) it turns the loop itself while it waits.
 *
 * @param timeout_ms  0: do not wait; negative: for ever
 * @param ret_event   filled in; end with hakuban_event_done()
 * @return OK, ERR_TIMEOUT (nothing came), ERR_CLOSED (the exchange is closed, or the contract whose
 * own queue it is was freed, and the queue is empty), ERR_INTERRUPTED (hakuban_queue_wake() was
 * called, and the queue is empty), ERR_WOULD_BLOCK (called with a timeout inside a callback),
 * ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_queue_next(hakuban_queue *queue,
                                                                  int timeout_ms,
                                                                  hakuban_event *ret_event)
{
    return hakuban_queue_next_sized(queue, timeout_ms, ret_event, sizeof(*ret_event));
}

#ifdef __cplusplus
}
#endif

#endif
