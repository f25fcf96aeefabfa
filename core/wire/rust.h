/* The encoding of the Rust implementation (hakuban 0.8): bincode events, one per WebSocket message.
 * Pure functions.
 *
 * An event opens a channel, closes a channel, or carries a message of several actions on a channel.
 * Each action corresponds to one of our messages, but does not contain all of it: registrations are
 * changes (observe, unexpose …) while ours are absolute, states do not tell the channel's purpose,
 * and there is neither hello nor acknowledgement. The link (link/rust_link.h) knows what is
 * missing: open channels, registrations, and the direction of each action. Here nothing is kept
 * from one event to the next.
 *
 *   action here                        message            what the link adds
 *   HKB_RUST_NAME                      none; sets only text
 *   HKB_RUST_LOAD_LIMIT                LOAD_LIMIT
 *   HKB_RUST_OBSERVE … CAPACITY        OBJECT or TAG      the flags and capacity before
 *   HKB_RUST_SINK                      SINK_OPEN          the channel's number
 *   HKB_RUST_STREAM                    STREAM_OPEN        the channel's number; source ASSIGNED
 *   HKB_RUST_PATCH                     STATE              nothing
 *   HKB_RUST_SYNCHRONIZED              CONDITION          source ASSIGNED
 *
 * The payload of a PATCH has the form of rust_delta.h and no check, and is never sent in parts.
 *
 * Limits: a text has at most HKB_RUST_TEXT_BYTES_MAX before it is brought to canonical form, an
 * event has at most HKB_RUST_ACTIONS_MAX actions, everything else has the limits of our own
 * messages. A declared length or count must match the bytes that are there. Only descriptors are
 * allocated, one at a time. Bytes behind a complete event are ignored, as by the Rust
 * implementation. */
#ifndef HKB_WIRE_RUST_H
#define HKB_WIRE_RUST_H

#include "wire/message.h"

#define HKB_RUST_TEXT_BYTES_MAX (16u * 1024)
#define HKB_RUST_ACTIONS_MAX (1u << 20)
/* The Rust implementation's limit of a frame, here that of an event without a state. */
#define HKB_RUST_CONTROL_BYTES_MAX (16u * 1024 * 1024)
/* The Rust implementation's limit of a message. */
#define HKB_RUST_EVENT_BYTES_MAX (64u * 1024 * 1024)
/* The greatest time of a load limit's point: about ten years. */
#define HKB_RUST_DURATION_S_MAX 3.2e8f

/* Numbers are those of the wire. */
typedef enum hkb_rust_event_kind {
    HKB_RUST_OPEN = 0,
    HKB_RUST_MESSAGE = 1,
    HKB_RUST_CLOSE = 2,
} hkb_rust_event_kind;

typedef enum hkb_rust_message_kind {
    HKB_RUST_UNINITIALIZED = 0, /* the first message on a channel tells its purpose */
    HKB_RUST_UPWARDS = 1,       /* on the control channel that the client opened */
    HKB_RUST_DOWNWARDS = 2,     /* on the control channel that the server opened */
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
    HKB_RUST_OBSERVE, /* this and the next four: message is an OBJECT or a TAG; flags are not set,
                         capacity is set if the action has one */
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
    hkb_rust_message_kind message; /* of an event MESSAGE, like the next one */
    uint32_t action_count;
} hkb_rust_event;

/* message.channel is not set. When decoded, message.descriptor is owned by the caller of the
 * decoder, and the rest is borrowed until the next action. */
typedef struct hkb_rust_action {
    hkb_rust_action_kind kind;
    hkb_message message;
} hkb_rust_action;

/* Scratch memory for decoding; one for each exchange. */
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
 * ERR_PROTOCOL, ERR_LIMIT, with a text that names the byte. */
hakuban_status hkb_rust_read_event(hkb_rust_reader *reader, hkb_rust *rust, hakuban_slice data,
                                   hkb_rust_event *ret, hakuban_error *reterr);
/* Reads the next action; kind HKB_RUST_NO_ACTION: there are no more. After a failure the caller
 * owns nothing. ERR_PROTOCOL, ERR_LIMIT, ERR_PARSE (a descriptor), ERR_NO_MEMORY. */
hakuban_status hkb_rust_read_action(hkb_rust_reader *reader, hkb_rust_action *ret,
                                    hakuban_error *reterr);

/* Appends an event up to its first action. ERR_NO_MEMORY, ERR_LIMIT. */
hakuban_status hkb_rust_put_event(hkb_buffer *out, const hkb_rust_event *event);
/* Appends an action of an event's message. */
hakuban_status hkb_rust_put_action(hkb_buffer *out, const hkb_rust_action *action);
/* Of a PATCH's action, at most this many bytes follow the difference: the age. */
#define HKB_RUST_TAIL_BYTES_MAX 9u
/* Append a PATCH's action without its difference, which is sent by reference: its beginning and its
 * end. */
hakuban_status hkb_rust_put_patch_head(hkb_buffer *out, const hkb_message *state);
hakuban_status hkb_rust_put_patch_tail(hkb_buffer *out, const hkb_message *state);

#endif
