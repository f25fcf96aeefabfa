/* A peer that says what it likes: the native protocol over TCP with JSON headers, written from
 * docs/wire.md. It knows the library's hash and zstd, and nothing of its links. */
#ifndef ATTACK_CLIENT_H
#define ATTACK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    SAY_ACK = 1,
    SAY_OBJECT = 8,
    SAY_TAG = 9,
    SAY_HAVE = 17,
    SAY_FLOOR = 21,
    SAY_STATE = 64,
    HEAR_STREAM_OPEN = 12,
    HEAR_SINK_OPEN = 13,
};

typedef struct client {
    int fd;
    hkb_buffer in, out; /* out: a packet that is being put together */
    uint64_t received, acknowledged;
    bool ended;
    char reason[160]; /* what an ERROR said */
} client;

/* Connects and has its hello accepted, or ended is set. zstd: it also sends what is compressed.
 * reads: its socket's receive buffer is of the usual size, else as small as it can be. */
void client_begin(client *c, unsigned port, const char *name, bool zstd, bool reads);
void client_end(client *c);
/* Adds a frame to the packet. header: JSON text, printf-like. */
void client_add(client *c, const void *payload, size_t bytes, const char *header, ...)
    __attribute__((format(printf, 4, 5)));
/* Sends the packet; gives up after timeout_ms. What the router says meanwhile is read and dropped
 * if reads. false: it was not taken whole, or the connection has ended. */
bool client_flush(client *c, int timeout_ms, bool reads);
/* Reads for timeout_ms at most, until a message of the kind has come: its first field, which is a
 * channel; 0: none came. */
unsigned client_hear(client *c, unsigned kind, int timeout_ms);
/* The payload of a STATE: its check, then the data whole, or packed by zstd. Owned by the caller.
 */
hkb_buffer client_whole(const void *data, size_t bytes, bool packed);

int64_t clock_us(void);

#endif
