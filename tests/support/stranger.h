/* A peer without an exchange behind it: a test writes its messages by hand, in the serializer json
 * (docs/wire.md), and reads what it is told. */
#ifndef TESTS_SUPPORT_STRANGER_H
#define TESTS_SUPPORT_STRANGER_H

#include "exchange/exchange.h"

typedef struct stranger {
    hkb_exchange *exchange;
    hkb_peer *peer;    /* until it has left, or its connection was dropped */
    hkb_buffer packet; /* what it says next */
    hkb_buffer heard;  /* the headers that it was told, one a line */
} stranger;

/* A hello that offers the serializer json and no compressor, with more members behind: of two of
 * one name the last counts. */
#define STRANGER_HELLO_AS(id, more)                                                                \
    "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"0000000000000000000000000000000" id                 \
    "\"],\"serializers\":[\"json\"],\"compressors\":[\"none\"],\"keep_alive_ms\":20000,"           \
    "\"grace_ms\":0,\"window\":262144,\"state_max\":1000000" more "}"
#define STRANGER_HELLO STRANGER_HELLO_AS("1", "")
#define STRANGER_UPSTREAM_HELLO STRANGER_HELLO_AS("2", "")

/* The exchange's time was set before each of these calls. */

/* It connects to the exchange, or with upstream the exchange to it, and has not said hello. */
void stranger_come(stranger *peer, hkb_exchange *exchange, bool upstream);
/* It comes, and both have said hello. */
void stranger_open(stranger *peer, hkb_exchange *exchange, bool upstream);
/* The same with another hello; what it was told is not forgotten. */
void stranger_open_with(stranger *peer, hkb_exchange *exchange, bool upstream, const char *hello);
/* Puts a message into its next packet, printed from format. */
void stranger_put(stranger *peer, const char *format, ...) HAKUBAN_PRINTF(2, 3);
/* A state under the version, whole. */
void stranger_put_state(stranger *peer, unsigned channel, unsigned version, const char *text);
/* A message with a payload. */
void stranger_put_payload(stranger *peer, const char *header, const void *payload, size_t bytes);
/* Its packet arrives, in one piece as it may come out of a socket. */
void stranger_say(stranger *peer);
/* The exchange says what it has to say to all strangers. */
void stranger_hear(hkb_exchange *exchange);
/* Whether one of the headers that it was told, up to now and since it forgot, has this text in it.
 */
bool stranger_heard(stranger *peer, const char *text);
void stranger_forget(stranger *peer);
/* The channel that was opened last for the object by a message of this kind. */
unsigned stranger_channel(stranger *peer, unsigned kind, const char *object);
/* The connection is lost; a stranger without grace is forgotten at once. */
void stranger_leave(stranger *peer);

#endif
