/* What two exchanges say to each other, whatever the encoding. Pure values: no link, no exchange.
 */
#ifndef HKB_WIRE_MESSAGE_H
#define HKB_WIRE_MESSAGE_H

#include <hakuban/state.h>

#include "base/bytes.h"
#include "base/url.h"
#include "model/descriptor.h"
#include "model/state.h"

/* Numbers are those of the native encoding. */
typedef enum hkb_message_kind {
    HKB_MESSAGE_ACK =
        1, /* bytes of frames that were received since the session began; not counted itself */
    HKB_MESSAGE_PING = 2,         /* keep-alive; not counted */
    HKB_MESSAGE_BYE = 3,          /* the sender has nothing more to say and wants to end */
    HKB_MESSAGE_ERROR = 4,        /* why the sender closes now */
    HKB_MESSAGE_PATH = 6,         /* downwards: node ids from the sender to its root */
    HKB_MESSAGE_MEMORY_LIMIT = 7, /* downwards: how much the sender keeps for this link at most */

    HKB_MESSAGE_OBJECT =
        8, /* upwards: all that is wanted with an object from now on; no flags: nothing */
    HKB_MESSAGE_TAG = 9,         /* upwards: the same for a tag */
    HKB_MESSAGE_LOAD_LIMIT = 10, /* upwards */

    HKB_MESSAGE_STREAM_OPEN = 12, /* downwards: states will come on this channel */
    HKB_MESSAGE_SINK_OPEN = 13,   /* downwards: send states on this channel */
    HKB_MESSAGE_CLOSE = 14,       /* downwards: the channel ends */
    HKB_MESSAGE_CLOSED = 15,      /* upwards: nothing more comes on this sink's channel */
    HKB_MESSAGE_LISTED = 16, /* downwards: every stream a tag had when it was observed is open */

    HKB_MESSAGE_HAVE = 17, /* upwards, after a session was lost: states I have; payload: pairs of
                              the hashes of object and state */
    HKB_MESSAGE_HOLDING =
        18, /* upwards, likewise: sinks I held; pairs of the object's hash and the sink's id */

    HKB_MESSAGE_CONDITION = 20, /* on a channel, with the states: freshness and source changed */
    HKB_MESSAGE_FLOOR =
        21,                /* on a channel, against the states: I know a version as great as this */
    HKB_MESSAGE_PART = 22, /* on a channel: the next piece of a state's payload */
    HKB_MESSAGE_RESEND = 23, /* on a channel, against the states: the last one did not match its
                                check; send it whole */
    HKB_MESSAGE_SAME = 24,   /* on a channel, with the states: the newest is the one you named */
    HKB_MESSAGE_BEGUN = 26,  /* on a channel, against the states: so much of a whole state's payload
                                came before the connection was lost */
    HKB_MESSAGE_SKIP = 27,   /* on a channel: the parts go on behind what BEGUN said */
    HKB_MESSAGE_STATE = 64,  /* on a channel; the low six bits are flags of the encoding */
} hkb_message_kind;

/* flags of OBJECT and TAG */
enum {
    HKB_WANT_OBSERVE = 1,
    HKB_WANT_EXPOSE = 2,
    HKB_WANT_DECLINE = 4, /* OBJECT: not to be chosen for it now */
    HKB_WANT_PRELOAD = 8, /* TAG: to be kept warm there; nothing is sent for it */
};

typedef enum hkb_close_reason {
    HKB_CLOSE_GONE = 0,     /* the object is not live any more, or not asked for */
    HKB_CLOSE_MOVED = 1,    /* a sink: another exposer was chosen */
    HKB_CLOSE_UNNEEDED = 2, /* a sink: nobody wants the object now */
} hkb_close_reason;

#define HKB_PATH_NODES_MAX 64
#define HKB_NAME_BYTES_MAX 255

typedef struct hkb_message {
    hkb_message_kind kind;
    uint32_t channel;
    uint32_t flags;                         /* OBJECT, TAG; HAVE: 1: LIVE */
    uint32_t capacity;                      /* OBJECT, TAG */
    uint32_t before_flags, before_capacity; /* OBJECT, TAG: what was registered until now; not in
                                               the native encoding */
    hakuban_descriptor
        *descriptor;    /* OBJECT, STREAM_OPEN, SINK_OPEN; when decoded: owned by whoever decodes */
    hakuban_slice text; /* TAG, LISTED: canonical tag; ERROR */
    uint64_t bytes;     /* ACK, BEGUN, SKIP; MEMORY_LIMIT, 0: none */
    uint64_t hash;      /* BEGUN: XXH3-64 of these bytes */
    uint64_t sink_id;   /* SINK_OPEN */
    hakuban_freshness freshness; /* STREAM_OPEN, CONDITION, SAME, STATE (LIVE or STALE) */
    hakuban_source source;       /* STREAM_OPEN, CONDITION */
    uint64_t age_ns;             /* where STALE */
    bool left_over;              /* STATE: nobody needed the object since it was current */
    hkb_close_reason reason;     /* CLOSE */
    hkb_version version;         /* SINK_OPEN, FLOOR, STATE */
    const char *format; /* STATE: format_count terminated names; NULL: as before on this channel */
    size_t format_count, format_bytes;
    uint32_t
        check; /* STATE: low 32 bits of XXH3-64 of the result; SAME: of the state's hash in HAVE */
    uint64_t total_bytes;  /* STATE: of the whole payload; more than payload.bytes: PARTs follow */
    hakuban_slice payload; /* STATE, PART, HAVE, HOLDING */
    hakuban_bytes *payload_of; /* to be said by reference: what payload lies in, borrowed; NULL: to
                                  be copied */
    const hkb_load_limit *load_limit; /* LOAD_LIMIT; decoded: the decoder's, until the next one */
    uint64_t (*path)[2];              /* PATH; likewise */
    size_t path_count;
} hkb_message;

/* Everything zero but kind; the version's elements are left as they are, since most messages have
 * none. */
static inline void hkb_message_init(hkb_message *message, hkb_message_kind kind)
{
    memset(message, 0, offsetof(hkb_message, version));
    message->kind = kind;
    message->version.count = 0;
    memset(&message->format, 0, sizeof(*message) - offsetof(hkb_message, format));
}

#endif
