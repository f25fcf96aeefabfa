/* Contracts: a declared interest to observe or to expose, of one object or of all objects that
 * carry a tag. */
#ifndef HAKUBAN_CONTRACT_H
#define HAKUBAN_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#include "descriptor.h"
#include "queue.h"
#include "state.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called on the loop's thread with no lock held. The event ends with the call. */
typedef void (*hakuban_event_fn)(void *user, hakuban_event *event);

/* Zero it, set size, then what is wanted. */
typedef struct hakuban_contract_options {
    uint32_t size;     /* sizeof(hakuban_contract_options) */
    uint32_t capacity; /* expose: the weight of this exposer; an object costs 1/capacity of load */
    int draining;      /* expose: 1: capacity 0. Never chosen, and what it has moves to any other */
    hakuban_queue *queue; /* of the same exchange; events go here; NULL and no on_event: a queue of
                             its own; both: ERR_ARGUMENT */
    hakuban_event_fn on_event;    /* events go here instead, on the loop's thread */
    void (*on_freed)(void *user); /* the last thing that is called for this contract; may be NULL */
    void *user;                   /* given back with each event */
} hakuban_contract_options;

/**
 * Asks for the states of one object.
 *
 * OPEN comes at once, whether or not the object is exposed.
 *
 * @param exchange    borrowed until hakuban_contract_free()
 * @param descriptor  borrowed for the call (one more reference is taken)
 * @param options     borrowed for the call; NULL: a queue of its own
 * @param ret         owned; end with hakuban_contract_free()
 * @return OK, ERR_ARGUMENT, ERR_NO_MEMORY, ERR_CLOSED (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_observe_object(hakuban_exchange *exchange, hakuban_descriptor *descriptor,
                       const hakuban_contract_options *options, hakuban_contract **ret);

/**
 * Offers to produce the states of one object.
 *
 * SINK_OPEN comes when the object is needed and this contract is chosen, SINK_CLOSE when it is
 * not any more. Capacity 0 in options means the default of 1; for a capacity of 0 there is
 * draining.
 *
 * @param exchange    borrowed until hakuban_contract_free()
 * @param descriptor  borrowed for the call (one more reference is taken)
 * @param options     borrowed for the call; NULL: capacity 1 and a queue of its own
 * @param ret         owned; end with hakuban_contract_free()
 * @return OK, ERR_ARGUMENT, ERR_NO_MEMORY, ERR_CLOSED (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_expose_object(hakuban_exchange *exchange, hakuban_descriptor *descriptor,
                      const hakuban_contract_options *options, hakuban_contract **ret);

/**
 * Asks for the states of every live object that carries a tag.
 *
 * OPEN comes for each object, CLOSE when it is gone, LISTED once all that were there at the
 * beginning have been told. COMPLETE follows when their first states are in, too: each of these
 * objects has told a LIVE state, or that it has no exposer, or is gone. An exposer that sends
 * nothing keeps COMPLETE away, so a program that waits for it also needs a time limit.
 *
 * @param exchange  borrowed until hakuban_contract_free()
 * @param tag_json  copied; terminated text of one JSON value
 * @param options   borrowed for the call; NULL: a queue of its own
 * @param ret       owned; end with hakuban_contract_free()
 * @param reterr    where the text is wrong; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_PARSE, ERR_LIMIT, ERR_NO_MEMORY, ERR_CLOSED
 * (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_observe_tag(
    hakuban_exchange *exchange, const char *tag_json, const hakuban_contract_options *options,
    hakuban_contract **ret, hakuban_error *reterr);

/**
 * Offers to produce the states of any object that carries a tag and is observed.
 *
 * @param exchange  borrowed until hakuban_contract_free()
 * @param tag_json  copied; terminated text of one JSON value
 * @param options   borrowed for the call; NULL: capacity 1 and a queue of its own
 * @param ret       owned; end with hakuban_contract_free()
 * @param reterr    where the text is wrong; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_PARSE, ERR_LIMIT, ERR_NO_MEMORY, ERR_CLOSED
 * (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_expose_tag(
    hakuban_exchange *exchange, const char *tag_json, const hakuban_contract_options *options,
    hakuban_contract **ret, hakuban_error *reterr);

/**
 * Asks the exchange above to keep the objects of a tag warm before they are observed: the
 * exchange above observes the tag itself, so that a first observer need not wait.
 *
 * Nothing is sent here for it, and there are no events. It holds while this contract does and the
 * exchange is connected, also after a connection is lost and found. Objects that exist only by
 * being observed (their exposers expose a tag) are kept while others observe them, not longer.
 * Without a connection, or where the other side is the Rust implementation, it does nothing. A
 * connection can ask for one tag by its URL: parameter preload.
 *
 * @param exchange  borrowed until hakuban_contract_free()
 * @param tag_json  copied; terminated text of one JSON value
 * @param options   borrowed for the call; only on_freed, user, queue and on_event are looked at;
 * may be NULL
 * @param ret       owned; end with hakuban_contract_free()
 * @param reterr    where the text is wrong; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_PARSE, ERR_LIMIT, ERR_NO_MEMORY, ERR_CLOSED
 * (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_preload_tag(
    hakuban_exchange *exchange, const char *tag_json, const hakuban_contract_options *options,
    hakuban_contract **ret, hakuban_error *reterr);

/**
 * Ends a contract. Never blocks; may be called anywhere, in the contract's own callback too.
 *
 * No event of it comes after the call, except on_freed once no callback is running. A state that
 * was sent before still travels. Events already taken from a queue stay valid until
 * hakuban_event_done().
 *
 * @param contract  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_contract *hakuban_contract_free(hakuban_contract *contract);

/**
 * Changes the weight of an expose contract. The contract keeps the objects it has, unless
 * the weight becomes 0 and another exposer can take them, or the upstream chooses a better one.
 *
 * @param capacity  0: drain. Never chosen, and what it has moves to any other candidate
 * @return OK, ERR_ARGUMENT (not an expose contract)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_contract_set_capacity(hakuban_contract *contract, uint32_t capacity);

/**
 * The queue that a contract's events go to.
 *
 * @return borrowed: the contract's own until hakuban_contract_free(), or the one given with it;
 * NULL where a callback was given
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_queue *hakuban_contract_queue(hakuban_contract *contract);

/**
 * Waits for the contract's next event: hakuban_queue_next() on its queue.
 *
 * @return as hakuban_queue_next(); ERR_ARGUMENT where a callback was given
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_contract_next(hakuban_contract *contract,
                                                                     int timeout_ms,
                                                                     hakuban_event *ret_event)
{
    return hakuban_queue_next(hakuban_contract_queue(contract), timeout_ms, ret_event);
}

/**
 * The exchange of a contract.
 *
 * @return borrowed; NULL for NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_exchange *hakuban_contract_exchange(const hakuban_contract *contract);

/**
 * The object of an object contract.
 *
 * @return borrowed until hakuban_contract_free(); NULL for a tag contract
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const hakuban_descriptor *hakuban_contract_object(const hakuban_contract *contract);

/**
 * The tag of a tag contract.
 *
 * @return canonical JSON text, terminated, borrowed until hakuban_contract_free(); NULL for an
 * object contract
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_contract_tag(const hakuban_contract *contract);

/**
 * The user pointer that was given with the options.
 *
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void *hakuban_contract_user(const hakuban_contract *contract);

/**
 * hakuban_contract_peek() for a struct of event_bytes, as hakuban_queue_next_sized().
 *
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_contract_peek_sized(hakuban_contract *contract, const hakuban_descriptor *object,
                            hakuban_event *ret_event, size_t event_bytes);

/**
 * Reads the newest known state of an object without touching the queue.
 *
 * @param contract   an observe contract
 * @param object     borrowed for the call; NULL: the object of an object contract
 * @param ret_event  filled in as a STATE event (state NULL if there is none yet); end with
 * hakuban_event_done()
 * @return OK, ERR_NOT_FOUND (the contract has no such object now), ERR_ARGUMENT (also: not an
 * observe contract; a tag's contract and no object)
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_contract_peek(
    hakuban_contract *contract, const hakuban_descriptor *object, hakuban_event *ret_event)
{
    return hakuban_contract_peek_sized(contract, object, ret_event, sizeof(*ret_event));
}

/**
 * Publishes a state. Never blocks: the newest state is kept and travels as peers can take it.
 *
 * @param state  borrowed for the call (a reference is taken). Without a version it gets the next
 * one above all that are known here. With one, it must not be below the sink's floor, nor below
 * what this sink or another sent of the object as far as is known here. The same version once more
 * is accepted: with other data it replaces what observers have (and is a warning in the log), with
 * the same data it only confirms that they are current
 * @return OK; ERR_REVOKED (the sink was taken away, even if SINK_CLOSE is still in the queue, or
 * its contract was freed); ERR_VERSION (nothing changes; what observers hold stays); ERR_LIMIT
 * (larger than the upstream takes that asked for this object; peers below that take less get no
 * such state and are told STALE); ERR_NO_MEMORY; ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_sink_send(hakuban_sink *sink,
                                                               hakuban_state *state);

/**
 * Publishes data of format ["JSON"] with an automatic version: the two-line way.
 *
 * @param json    copied; terminated text, checked to be one JSON value
 * @param reterr  where the text is wrong, or why it was not sent; may be NULL
 * @return as hakuban_sink_send(); ERR_PARSE; ERR_LIMIT also for nesting deeper than
 * HAKUBAN_JSON_DEPTH_MAX
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_sink_send_json(hakuban_sink *sink,
                                                                    const char *json,
                                                                    hakuban_error *reterr);

/**
 * The version of the last state that was sent to a sink: what an automatic version has become.
 *
 * @param ret_version  room for HAKUBAN_VERSION_ELEMENTS_MAX elements
 * @return how many elements were filled in; 0: nothing was sent yet
 * @thread any
 * @since 0.1
 */
HAKUBAN_API size_t hakuban_sink_version(const hakuban_sink *sink, int64_t *ret_version);

/**
 * The object a sink is for.
 *
 * @return borrowed until the sink's last unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const hakuban_descriptor *hakuban_sink_object(const hakuban_sink *sink);

/**
 * One more owner: needed to keep a sink after hakuban_event_done().
 *
 * @return sink, owned
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_sink *hakuban_sink_ref(hakuban_sink *sink);

/**
 * One owner less.
 *
 * @param sink  owned, or NULL. All must be gone before hakuban_exchange_free()
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_sink *hakuban_sink_unref(hakuban_sink *sink);

#ifdef __cplusplus
}
#endif

#endif
