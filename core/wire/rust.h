/* The encoding of the Rust implementation (hakuban 0.8): bincode events, one per WebSocket message.
 * Pure functions.
 *
 * An event opens a channel, closes one, or brings a message of several actions on it. Every action
 * stands for one of our messages, but not alone: registrations come as changes (observe, unexpose
 * …) where ours are absolute, states name no channel type, and there is neither hello nor
 * acknowledgement. What that takes, namely which channels are open, what was registered and in
 * which direction an action may go, is the link's to know (link/rust_link.h): here nothing is
 * remembered from one event to the next.
 *
 *   action here                        message            what the link adds
 *   HKB_RUST_NAME                      none: only text is filled in
 *   HKB_RUST_LOAD_LIMIT                LOAD_LIMIT
 *   HKB_RUST_OBSERVE … CAPACITY        OBJECT or TAG      the flags and the capacity there were
 * before HKB_RUST_SINK, HKB_RUST_STREAM     SINK_OPEN, STREAM_OPEN   the channel's number; that the
 * source is ASSIGNED HKB_RUST_PATCH                     STATE, payload in the form of rust_delta.h,
 * no check, never in parts HKB_RUST_SYNCHRONIZED              CONDITION          that the source is
 * ASSIGNED
 *
 * Bounds: a text is at most HKB_RUST_TEXT_BYTES_MAX long before it is brought to canonical form, an
 * event has at most HKB_RUST_ACTIONS_MAX actions, everything else has the limits of our own
 * messages. A declared length or count is believed only as far as bytes are there, and nothing is
 * allocated but descriptors, one at a time. Bytes behind a complete event are ignored, as the
 * reference does. */
#ifndef HKB_WIRE_RUST_H
#define HKB_WIRE_RUST_H

#include "wire/message.h"

#define HKB_RUST_TEXT_BYTES_MAX (16u * 1024)
#define HKB_RUST_ACTIONS_MAX (1u << 20)
#define HKB_RUST_CONTROL_BYTES_MAX                                                                 \
    (16u * 1024 * 1024) /* their own limit of one frame; an event that is no state */
#define HKB_RUST_EVENT_BYTES_MAX (64u * 1024 * 1024) /* their limit of a message */
#define HKB_RUST_DURATION_S_MAX 3.2e8f               /* of a load limit's point: about ten years */

/* Numbers are those of the wire. */
typedef enum hkb_rust_event_kind {
    HKB_RUST_OPEN = 0,
    HKB_RUST_MESSAGE = 1,
    HKB_RUST_CLOSE = 2,
} hkb_rust_event_kind;

typedef enum hkb_rust_message_kind {
    HKB_RUST_UNINITIALIZED = 0, /* the first on a channel says what it is for */
    HKB_RUST_UPWARDS = 1,       /* on the control channel that the client opened */
    HKB_RUST_DOWNWARDS = 2,     /* on the one that the server opened */
    HKB_RUST_STATES = 3,
} hkb_rust_message_kind;

typedef enum hkb_rust_action_kind {
    HKB_RUST_NO_ACTION = 0,
    /* UNINITIALIZED */
    HKB_RUST_CONTROL_UPWARDS,
    HKB_RUST_CONTROL_DOWNWARDS,
    HKB_RUST_SINK,   /* message: SINK_OPEN with its descriptor */
    HKB_RUST_STREAM, /* message: STREAM_OPEN */
    /* UPWARDS, the first two also DOWNWARDS */
    HKB_RUST_NAME,
    HKB_RUST_LOAD_LIMIT,
    HKB_RUST_OBSERVE, /* this and the next four: message is an OBJECT or a TAG; flags are not filled
                         in, capacity is where there is one */
    HKB_RUST_UNOBSERVE,
    HKB_RUST_EXPOSE,
    HKB_RUST_UNEXPOSE,
    HKB_RUST_CAPACITY,
    /* STATES */
    HKB_RUST_PATCH,
    HKB_RUST_SYNCHRONIZED,
} hkb_rust_action_kind;

/* The server opens channels downwards, the client its control channel upwards; each counts its own
 * from 1. */
typedef struct hkb_rust_channel {
    bool of_client;
    uint32_t number;
} hkb_rust_channel;

typedef struct hkb_rust_event {
    hkb_rust_event_kind kind;
    hkb_rust_channel channel;
    hkb_rust_message_kind message; /* MESSAGE, as the next */
    uint32_t action_count;
} hkb_rust_event;

/* message.channel is not filled in. When decoded, message.descriptor is owned by whoever decodes,
 * the rest is borrowed until the next action. */
typedef struct hkb_rust_action {
    hkb_rust_action_kind kind;
    hkb_message message;
} hkb_rust_action;

/* Scratch for decoding; one per exchange. */
typedef struct hkb_rust {
    const hakuban_alloc *alloc;
    char tag[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    char format[HAKUBAN_FORMAT_BYTES_MAX + 1];
    hakuban_slice tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    hkb_load_limit load_limit;
} hkb_rust;

static inline void hkb_rust_init(hkb_rust *rust, const hakuban_alloc *alloc)
{
    rust->alloc = alloc;
}

typedef struct hkb_rust_reader {
    hkb_rust *rust;
    const uint8_t *begin, *at, *end;
    hkb_rust_message_kind message;
    uint32_t actions_left;
} hkb_rust_reader;

/* Reads an event up to its first action. data is borrowed until the last action was read.
 * ERR_PROTOCOL or ERR_LIMIT with words that say at which byte. */
hakuban_status hkb_rust_read_event(hkb_rust_reader *reader, hkb_rust *rust, hakuban_slice data,
                                   hkb_rust_event *ret, hakuban_error *reterr);
/* The next action; kind HKB_RUST_NO_ACTION: there is none any more. On failure nothing is owned.
 * ERR_PROTOCOL, ERR_LIMIT, ERR_PARSE (a descriptor), ERR_NO_MEMORY. */
hakuban_status hkb_rust_read_action(hkb_rust_reader *reader, hkb_rust_action *ret,
                                    hakuban_error *reterr);

/* Appends an event up to its first action. ERR_NO_MEMORY, ERR_LIMIT. */
hakuban_status hkb_rust_put_event(hkb_buffer *out, const hkb_rust_event *event);
/* Appends an action of an event's message. */
hakuban_status hkb_rust_put_action(hkb_buffer *out, const hkb_rust_action *action);
/* How many bytes of a PATCH's action stand behind its difference: the age, which takes at most
 * this. */
#define HKB_RUST_TAIL_BYTES_MAX 9u
/* The same in two pieces around a difference that is sent from where it is. */
hakuban_status hkb_rust_put_patch_head(hkb_buffer *out, const hkb_message *state);
hakuban_status hkb_rust_put_patch_tail(hkb_buffer *out, const hkb_message *state);

#endif
