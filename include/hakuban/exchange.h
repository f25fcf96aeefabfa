/* The exchange: the node in a process. Contracts meet in it; connections and listeners link it to
 * others.
 *
 * It is driven by a thread of its own, or by yours: with HAKUBAN_DRIVE_MANUAL poll
 * hakuban_exchange_fd() for at most hakuban_exchange_timeout_ms(), then call
 * hakuban_exchange_turn(). What you send leaves with the next turn or blocking call, so that a
 * burst shares packets. docs/threading.md has the whole model. */
#ifndef HAKUBAN_EXCHANGE_H
#define HAKUBAN_EXCHANGE_H

#include <stdint.h>

#include "alloc.h"
#include "log.h"
#include "queue.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hakuban_drive {
    HAKUBAN_DRIVE_THREAD = 0, /* a thread of the library */
    HAKUBAN_DRIVE_MANUAL = 1, /* the user's loop */
} hakuban_drive;

/* Zero it, set size, then what is wanted. */
typedef struct hakuban_exchange_options {
    uint32_t size; /* sizeof(hakuban_exchange_options) */
    hakuban_drive drive;
    const hakuban_alloc *alloc; /* borrowed until hakuban_exchange_free(); NULL: malloc */
    hakuban_log log;            /* copied */
    double rebalance_threshold; /* a load must be this much smaller to move an object, where the
                                 * larger is 2 or more, in proportion less below; 0: the default of
                                 * 0.1; negative: never move */
    uint64_t memory_bytes_max;  /* of all that is kept for peers and objects: beyond it those
                                 * connections that hold most are ended; 0: three quarters of what
                                 * the process may have; UINT64_MAX: no limit */
    uint64_t link_bytes_max; /* of what one connection from below makes this exchange keep: beyond
                              * that it is ended; 0: half of all; UINT64_MAX: no limit */
} hakuban_exchange_options;

/* What went through an exchange since it began. */
typedef struct hakuban_exchange_stats {
    uint64_t objects, tags, contracts, links; /* now; links also while they begin or end */
    uint64_t states_in, states_out;           /* over links */
    uint64_t state_bytes_in, state_bytes_out; /* the whole states' sizes */
    uint64_t wire_bytes_in, wire_bytes_out;   /* what really travelled, everything included */
    uint64_t deltas_made,
        deltas_shared; /* differences computed; differences sent without computing them again */
    uint64_t memory_bytes,
        memory_bytes_max; /* what is kept for peers and objects; its limit, 0: none */
} hakuban_exchange_stats;

/**
 * An exchange on its own.
 *
 * @param options  borrowed for the call; NULL: all defaults
 * @param ret      owned; end with hakuban_exchange_free()
 * @return OK, ERR_ARGUMENT, ERR_UNSUPPORTED (an option that this library does not know is set; so
 * with all options), ERR_NO_MEMORY, ERR_IO (no descriptor is left, or no thread can be started,
 * which the log says)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_exchange_new(const hakuban_exchange_options *options, hakuban_exchange **ret);

/**
 * Ends all links in an orderly way: what was sent before the call reaches the peers, then they are
 * told.
 *
 * Afterwards only the free functions, hakuban_queue_next() and hakuban_event_done() are of use.
 *
 * @param timeout_ms  give up after this time; negative: 2000
 * @return OK, ERR_TIMEOUT (what was left is cut), ERR_WOULD_BLOCK (inside a callback: nothing was
 * begun), ERR_ARGUMENT; else what was sent may not have arrived: ERR_CLOSED (the upstream ended the
 * link), ERR_IO (the connection was lost), or what else came of the link meanwhile;
 * hakuban_connection_query() has it in words
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_close(hakuban_exchange *exchange,
                                                                    int timeout_ms);

/**
 * Ends an exchange at once. Its contracts, events, sinks, queues, listeners, connections and
 * publishers are freed before.
 *
 * Not in a callback. In a child of fork() this function, like all that free something, does
 * nothing: the exchange is the parent's.
 *
 * A callback that runs on another thread at this moment is waited for.
 *
 * @param exchange  owned, or NULL
 * @return NULL; exchange, which goes on and has lost nothing, if something of it is left: the log
 * says how much
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_exchange *hakuban_exchange_free(hakuban_exchange *exchange);

/**
 * A descriptor that polls readable when hakuban_exchange_turn() has work.
 *
 * @return borrowed until hakuban_exchange_free(); negative where the library's thread drives:
 * ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
HAKUBAN_API int hakuban_exchange_fd(hakuban_exchange *exchange);

/**
 * How long a poll on hakuban_exchange_fd() may wait.
 *
 * @return milliseconds; 0: turn at once; -1: without limit, also where the library's thread drives
 * @thread the driving one
 * @since 0.1
 */
HAKUBAN_API int hakuban_exchange_timeout_ms(hakuban_exchange *exchange);

/**
 * Does what there is to do, without waiting: I/O, timers, callbacks.
 *
 * @return OK, ERR_ARGUMENT (the library's thread drives), ERR_WOULD_BLOCK (inside a callback)
 * @thread the driving one; the thread that calls it is the driving one from now on
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_turn(hakuban_exchange *exchange);

/**
 * Counts, as many as a struct of stats_bytes holds.
 *
 * @param ret          filled in; what this library does not know is 0
 * @param stats_bytes  sizeof(hakuban_exchange_stats) of the header that the caller was written with
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_exchange_query_sized(hakuban_exchange *exchange,
                                              hakuban_exchange_stats *ret, size_t stats_bytes);

/**
 * Counts.
 *
 * @param ret  filled in
 * @thread any
 * @since 0.1
 */
static inline void hakuban_exchange_query(hakuban_exchange *exchange, hakuban_exchange_stats *ret)
{
    hakuban_exchange_query_sized(exchange, ret, sizeof(*ret));
}

/**
 * A readable picture of objects, tags and links, for people; its form may change.
 *
 * @param write  called with pieces of text, no lock held
 * @return OK, ERR_NO_MEMORY, ERR_LIMIT (more than 256 MiB of text), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_exchange_snapshot(hakuban_exchange *exchange,
                          void (*write)(void *ctx, const char *text, size_t bytes), void *ctx);

/**
 * What was built in.
 *
 * @return static text, e.g. "transports: tcp unix inproc; serializers: msgpack json; compressors:
 * zstd none"
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_features(void);

#ifdef __cplusplus
}
#endif

#endif
