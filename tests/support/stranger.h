/* A peer without an exchange behind it: a test writes its messages by hand. */
#ifndef TESTS_SUPPORT_STRANGER_H
#define TESTS_SUPPORT_STRANGER_H

#include "exchange/exchange.h"

typedef struct stranger {
    hkb_exchange *exchange;
    hkb_peer *peer;
    hkb_buffer packet; /* what it says next */
} stranger;

/* A hello that offers the serializer json and no compressor. */
#define STRANGER_HELLO                                                                             \
    "{\"hakuban\":1,\"name\":\"s\",\"path\":[\"00000000000000000000000000000001\"],"               \
    "\"serializers\":[\"json\"],\"compressors\":[\"none\"],\"keep_alive_ms\":20000,"               \
    "\"grace_ms\":0,\"window\":262144,\"state_max\":100000}"

/* The exchange's time was set before each of these calls. */

/* It connects to the exchange, or with connector the exchange to it, and has not said hello. */
void stranger_come(stranger *peer, hkb_exchange *exchange, bool connector);
/* Puts a message into its next packet, printed from format. */
void stranger_put(stranger *peer, const char *format, ...) HAKUBAN_PRINTF(2, 3);
/* Its packet arrives, in one piece as it may come out of a socket. */
void stranger_say(stranger *peer);
/* The exchange says what it has to say to its peers, which nobody reads. */
void stranger_hear(hkb_exchange *exchange);
/* The connection is lost; a stranger without grace is forgotten at once. */
void stranger_leave(stranger *peer);

#endif
