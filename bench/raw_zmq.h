/* A bare relay on libzmq: one ROUTER in the middle, a DEALER at each end, one message for each
 * state. What ZeroMQ could do at most, with the same hops and sizes. Without zmq+ transports
 * raw_zmq_none.c stands in, and no relay is wanted. */
#ifndef BENCH_RAW_ZMQ_H
#define BENCH_RAW_ZMQ_H

#include "bench.h"

/* In shared memory: the relay binds in a process of its own, since a context does not survive a
 * fork. */
typedef struct raw_zmq_relay {
    bool wanted, ipc;
    unsigned observers;
    _Atomic uint32_t listening;
    char endpoint[128];
} raw_zmq_relay;

typedef struct raw_zmq_peer {
    void *context, *socket;
} raw_zmq_peer;

/* Wanted where the transport is one of ZeroMQ's. */
void raw_zmq_relay_init(raw_zmq_relay *relay, const bench_options *options);
/* The actor: the source's messages go to every observer, theirs to the source. Ends after the
 * source's empty message. */
void raw_zmq_relay_run(void *relay, unsigned index);

/* The source's call returns when all observers are there. */
void raw_zmq_open(raw_zmq_peer *peer, raw_zmq_relay *relay, bool source);
void raw_zmq_send(raw_zmq_peer *peer, const void *data, size_t bytes);
/* A message of that length; false at the end. */
bool raw_zmq_receive(raw_zmq_peer *peer, void *data, size_t bytes);
/* The source's says the end to all. */
void raw_zmq_close(raw_zmq_peer *peer, bool source);

#endif
