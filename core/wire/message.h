/* The messages between two exchanges, independent of their encoding. Pure values: no link, no
 * exchange. */
#ifndef HKB_WIRE_MESSAGE_H
#define HKB_WIRE_MESSAGE_H

#include <hakuban/state.h>

#include "base/bytes.h"
#include "base/url.h"
#include "model/descriptor.h"
#include "model/state.h"

/* Numbers are those of the native encoding. */
typedef enum hkb_message_kind {
    HKB_MESSAGE_ACK = 1,   /* how many bytes of frames were received since the session began; an ACK
                              is not counted */
    HKB_MESSAGE_PING = 2,  /* keep-alive; not counted */
    HKB_MESSAGE_BYE = 3,   /* the sender has sent everything and wants to end */
    HKB_MESSAGE_ERROR = 4, /* why the sender closes now */
    HKB_MESSAGE_PATH = 6,  /* downwards: node ids from the sender to its root */
    HKB_MESSAGE_MEMORY_LIMIT =
        7, /* downwards: how many bytes the sender keeps for this link at most */

    HKB_MESSAGE_OBJECT =
        8, /* upwards: the sender's registration of an object from now on; no flags: none */
    HKB_MESSAGE_TAG = 9,         /* upwards: the sender's registration of a tag */
    HKB_MESSAGE_LOAD_LIMIT = 10, /* upwards */

    HKB_MESSAGE_STREAM_OPEN = 12, /* downwards: states will come on this channel */
    HKB_MESSAGE_SINK_OPEN = 13,   /* downwards: send states on this channel */
    HKB_MESSAGE_CLOSE = 14,       /* downwards: the channel ends */
    HKB_MESSAGE_CLOSED = 15,      /* upwards: nothing more follows on this sink's channel */
    HKB_MESSAGE_LISTED = 16, /* downwards: all streams that the tag had when the sender received its
                                registration are open */

    HKB_MESSAGE_HAVE = 17,    /* upwards, after a session was lost: the states that the sender has;
                                 payload: pairs of the hashes of object and state */
    HKB_MESSAGE_HOLDING = 18, /* upwards, likewise: the sinks that the sender had; payload: pairs of
                                 the object's hash and the sink's id */

    HKB_MESSAGE_CONDITION =
        20, /* on a stream's channel, from its sender: freshness or source has changed */
    HKB_MESSAGE_FLOOR =
        21, /* on a channel, to the sender of its states: a version as great as this is known */
    HKB_MESSAGE_PART = 22,   /* on a channel: the next part of a state's payload */
    HKB_MESSAGE_RESEND = 23, /* on a channel, to the sender of its states: the last state did not
                                match its check; send a whole one */
    HKB_MESSAGE_SAME = 24, /* on a channel, instead of a STATE: the newest state is the one that the
                              receiver's HAVE has named */
    HKB_MESSAGE_BEGUN = 26, /* on a channel, to the sender of its states: how much of a whole
                               state's payload arrived before the connection was lost */
    HKB_MESSAGE_SKIP = 27,  /* on a channel: the parts continue behind the bytes of the BEGUN */
    HKB_MESSAGE_STATE = 64, /* on a channel; the low six bits are flags of the encoding */
} hkb_message_kind;

/* flags of OBJECT and TAG */
enum {
    HKB_WANT_OBSERVE = 1,
    HKB_WANT_EXPOSE = 2,
    HKB_WANT_DECLINE = 4, /* OBJECT: do not choose the sender for it now */
    HKB_WANT_PRELOAD = 8, /* TAG: keep its objects warm; nothing is sent for it */
};

typedef enum hkb_close_reason {
    HKB_CLOSE_GONE = 0,     /* the object does not exist any more, or is not observed any more */
    HKB_CLOSE_MOVED = 1,    /* a sink: another exposer was chosen */
    HKB_CLOSE_UNNEEDED = 2, /* a sink: no observer needs the object now */
} hkb_close_reason;

#define HKB_PATH_NODES_MAX 64
#define HKB_NAME_BYTES_MAX 255

typedef struct hkb_message {
    hkb_message_kind kind;
    uint32_t channel;
    uint32_t flags;    /* OBJECT, TAG; HAVE: 1: LIVE */
    uint32_t capacity; /* OBJECT, TAG */
    uint32_t before_flags,
        before_capacity; /* OBJECT, TAG: the registration until now; not in the native encoding */
    hakuban_descriptor *descriptor; /* OBJECT, STREAM_OPEN, SINK_OPEN; when decoded: owned by the
                                       caller of the decoder */
    hakuban_slice text;             /* TAG, LISTED: canonical tag; ERROR */
    uint64_t bytes;                 /* ACK, BEGUN, SKIP; MEMORY_LIMIT, 0: none */
    uint64_t hash;                  /* BEGUN: XXH3-64 of these bytes */
    uint64_t sink_id;               /* SINK_OPEN */
    hakuban_freshness freshness;    /* STREAM_OPEN, CONDITION, SAME, STATE (LIVE or STALE) */
    hakuban_source source;          /* STREAM_OPEN, CONDITION */
    uint64_t age_ns;                /* where STALE */
    bool left_over; /* STATE: no observer needed the object at some time since it was current */
    hkb_close_reason reason; /* CLOSE */
    hkb_version version;     /* SINK_OPEN, FLOOR, STATE */
    /* STATE: format_count terminated names; NULL: those of the channel's last state. */
    const char *format;
    size_t format_count, format_bytes;
    /* STATE: low 32 bits of XXH3-64 of the result; SAME: of the state's hash in HAVE. */
    uint32_t check;
    uint64_t total_bytes;  /* STATE: of the whole payload; more than payload.bytes: PARTs follow */
    hakuban_slice payload; /* STATE, PART, HAVE, HOLDING */
    hakuban_bytes *payload_of;        /* the bytes that contain payload, which is sent by reference;
                                         borrowed; NULL: payload is copied */
    const hkb_load_limit *load_limit; /* LOAD_LIMIT; when decoded: owned by the decoder, valid until
                                         its next message */
    uint64_t (*path)[2];              /* PATH; owned likewise */
    size_t path_count;
} hkb_message;

/* Sets all members but kind to zero. The version's elements stay unset, because most messages have
 * none. */
static inline void hkb_message_init(hkb_message *message, hkb_message_kind kind)
{
    memset(message, 0, offsetof(hkb_message, version));
    message->kind = kind;
    message->version.count = 0;
    memset(&message->format, 0, sizeof(*message) - offsetof(hkb_message, format));
}

#endif
