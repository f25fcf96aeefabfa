/* The hello: one compact JSON object each way, before anything else. Pure functions. */
#ifndef HKB_LINK_HELLO_H
#define HKB_LINK_HELLO_H

#include "base/bytes.h"
#include "wire/native.h"

#define HKB_PROTOCOL_MAJOR 1
#define HKB_OFFERS_MAX 16
#define HKB_FEATURE_HAVE 1u /* HAVE, HOLDING, SAME */
#define HKB_OFFER_NAME_BYTES_MAX 32

typedef struct hkb_offer {
    char name[HKB_OFFER_NAME_BYTES_MAX + 1];
} hkb_offer;

typedef struct hkb_hello {
    uint32_t major;
    char name[HKB_NAME_BYTES_MAX + 1];
    uint64_t path[HKB_PATH_NODES_MAX][2]; /* the sender first, then towards the root */
    size_t path_count;
    /* The connector's offers in its order of preference; the listener answers with one of each. */
    hkb_offer serializers[HKB_OFFERS_MAX];
    size_t serializer_count;
    hkb_offer compressors[HKB_OFFERS_MAX];
    size_t compressor_count;
    uint64_t keep_alive_ms, grace_ms, window_bytes, state_bytes_max;
    uint64_t token[2]; /* listener: of the new session; connector: of the session it returns to */
    uint64_t received_bytes; /* with a token: the bytes of counted frames since the session began */
    bool has_token;
    uint32_t
        features;  /* optional features that the sender understands; unknown names are left out */
    bool resumed;  /* listener: the connector's session continues */
    bool replaces; /* connector: the session of token has ended on the connector's side */
    char refused[200]; /* listener: why it refuses; "": it accepts */
} hkb_hello;

/* Appends the JSON text. */
hakuban_status hkb_hello_write(const hkb_hello *hello, hkb_buffer *out);
/* Unknown members are ignored. A known member of a wrong kind or size is an error with a text, and
 * so is another major version. */
hakuban_status hkb_hello_read(hakuban_slice text, hkb_hello *ret, hakuban_error *reterr);

#endif
