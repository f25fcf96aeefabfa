/* Bare relays on sockets with the hop patterns of the sub-commands: what the machine could do at
 * most. They know nothing of states but their length. Those on libzmq are in raw_zmq.h. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bench.h"
#include "raw_zmq.h"

typedef struct raw_address {
    struct sockaddr_storage storage;
    socklen_t bytes;
} raw_address;

/* The listeners of a relay: one for the side that sends, one for those that receive. */
typedef struct raw_relay {
    int source_fd, observer_fd;
    raw_address source, observer;
    unsigned observers;
    size_t message_bytes, message_count;
    raw_zmq_relay zmq; /* instead of the sockets, where a sub-command can do it */
} raw_relay;

/* Listens, so that processes forked afterwards know where: on loopback TCP, or unix sockets where
 * the transport is local. */
void raw_relay_init(raw_relay *relay, const bench_options *options);
void raw_relay_done(raw_relay *relay);

int raw_connect(const raw_address *address);
void raw_write_all(int fd, const void *data, size_t bytes);
/* False at the end of the stream; dies where it ends within the message. */
bool raw_read_all(int fd, void *data, size_t bytes);
/* At most bytes; 0 at the end. */
size_t raw_read_some(int fd, void *data, size_t bytes);
/* Takes what the socket takes now, also nothing. */
size_t raw_write_some(int fd, const void *data, size_t bytes);
/* Else the kernel queues megabytes of old messages. */
void raw_keep_little_unsent(int fd);

/* The relays, each to be run in a process of its own; they end when the sending side closes. */
void raw_ping_relay(void *relay, unsigned index);    /* two peers, everything to the other */
void raw_fan_out_relay(void *relay, unsigned index); /* one sender, everything to every observer */
/* As above, but an observer that cannot take a message gets only the newest one later. */
void raw_latest_relay(void *relay, unsigned index);
/* Keeps message_count messages, and sends them to each observer that connects. */
void raw_array_relay(void *relay, unsigned index);

#endif
