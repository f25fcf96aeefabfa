/* Connections to an upstream and listeners for downstreams. URLs: tcp://host:port, unix:///path,
 * inproc://name, ws://host:port/path, zmq+tcp://host:port, zmq+ipc:///path, as far as they were
 * built in, and whatever else was registered; parameters follow in the fragment, separated by
 * commas (docs/connections.md):
 * #name=edge-1,timeout=120s,keep-alive=20s,nodelay=true,load-limit=…,preload="cpu",
 * serializer=json,compressor=zstd,grace=2s,window=256k (in one line) */
#ifndef HAKUBAN_CONNECTION_H
#define HAKUBAN_CONNECTION_H

#include <stdint.h>

#include "queue.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hakuban_listener hakuban_listener;

typedef enum hakuban_connection_state {
    HAKUBAN_CONNECTION_CONNECTING = 1, /* trying, or waiting for the next try */
    HAKUBAN_CONNECTION_CONNECTED = 2,
    HAKUBAN_CONNECTION_AWAY =
        3, /* lost, within the grace time: observers have not noticed, sinks stay open */
    HAKUBAN_CONNECTION_REFUSED = 4, /* the other side said why; tried again later all the same */
    HAKUBAN_CONNECTION_CLOSED = 5,  /* ended by us */
} hakuban_connection_state;

/**
 * What a state is called: "connected", "away".
 *
 * @return static text; "unknown" for a value that is none
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_connection_state_text(hakuban_connection_state state);

typedef struct hakuban_connection_info {
    hakuban_connection_state state;
    hakuban_error last_error; /* why it is not connected; status OK: it is, or nothing failed yet */
    uint64_t next_try_ms; /* CONNECTING, AWAY, REFUSED: how long until the next try; 0: one is under
                             way */
    uint64_t tries;       /* since the last success */
    char peer[64];        /* the other side's name once connected, else "" */
} hakuban_connection_info;

/* Zero it, set size, then what is wanted. */
typedef struct hakuban_connection_options {
    uint32_t size;        /* sizeof(hakuban_connection_options) */
    hakuban_queue *queue; /* CONNECTION events go here; may be NULL */
    void *user;           /* given back with each event */
} hakuban_connection_options;

/**
 * Connects to an upstream, and again whenever the connection is lost, with growing, jittered
 * pauses.
 *
 * Returns before anything has happened; the other side need not be there yet. All addresses of a
 * name are tried; docs/connections.md says in which order and for how long. An exchange has at most
 * one connection.
 *
 * @param exchange  borrowed until hakuban_connection_free()
 * @param url       copied; terminated
 * @param options   borrowed for the call; may be NULL
 * @param ret       owned; end with hakuban_connection_free()
 * @param reterr    what is wrong with the URL, and where; may be NULL
 * @return OK; ERR_ARGUMENT (also: the queue is another exchange's); ERR_URL (also: it can never
 * work); ERR_UNSUPPORTED (no such transport, serializer or compressor here); ERR_EXISTS (there is a
 * connection); ERR_NO_MEMORY; ERR_CLOSED. What goes wrong with connecting itself is told by events
 * and hakuban_connection_query()
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_connect(
    hakuban_exchange *exchange, const char *url, const hakuban_connection_options *options,
    hakuban_connection **ret, hakuban_error *reterr);

/**
 * Ends a connection. Never blocks: what is still to be sent and the goodbye go on in the
 * background, 2 s at most, and only as long as the exchange is driven;
 * hakuban_exchange_close() waits for them. Until then another connection does not open.
 *
 * @param connection  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_connection *hakuban_connection_free(hakuban_connection *connection);

/**
 * Tells how a connection is, as much as a struct of info_bytes holds.
 *
 * @param ret         filled in; what this library does not know is 0
 * @param info_bytes  sizeof(hakuban_connection_info) of the header that the caller was written with
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_connection_query_sized(hakuban_connection *connection,
                                                hakuban_connection_info *ret, size_t info_bytes);

/**
 * Tells how a connection is.
 *
 * @param ret  filled in
 * @thread any
 * @since 0.1
 */
static inline void hakuban_connection_query(hakuban_connection *connection,
                                            hakuban_connection_info *ret)
{
    hakuban_connection_query_sized(connection, ret, sizeof(*ret));
}

/**
 * Waits until the connection is CONNECTED.
 *
 * A callback, or another thread, may free the connection meanwhile: then it is ERR_CLOSED.
 *
 * @param timeout_ms  negative: for ever
 * @param reterr      the connection's last error, or why this call failed; may be NULL. Its status
 * may be another than what is returned
 * @return OK, ERR_TIMEOUT, ERR_CLOSED, ERR_WOULD_BLOCK (inside a callback), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_connection_wait(hakuban_connection *connection,
                                                                     int timeout_ms,
                                                                     hakuban_error *reterr);

/**
 * Accepts downstreams. Returns when it does: on a thread that does not drive the exchange it waits
 * for the one that does; before the first turn no thread does, and it does not wait.
 *
 * @param exchange  borrowed until hakuban_listener_free()
 * @param url       copied; terminated; port 0: any free one
 * @param ret       owned; end with hakuban_listener_free()
 * @param reterr    what is wrong, and where; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_URL, ERR_UNSUPPORTED, ERR_EXISTS (the address is in use),
 * ERR_NOT_FOUND (no such host or directory), ERR_TIMEOUT (the name was not looked up within a
 * second), ERR_IO, ERR_NO_MEMORY, ERR_CLOSED; a transport of your
 * own may have others
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_listen(hakuban_exchange *exchange,
                                                                     const char *url,
                                                                     hakuban_listener **ret,
                                                                     hakuban_error *reterr);

/**
 * Stops accepting. Connections that were accepted live on.
 *
 * @param listener  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_listener *hakuban_listener_free(hakuban_listener *listener);

/**
 * Where a listener can be reached: the real port where 0 was asked for, without parameters.
 *
 * @return terminated, borrowed until hakuban_listener_free()
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_listener_url(const hakuban_listener *listener);

#ifdef __cplusplus
}
#endif

#endif
