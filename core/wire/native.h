/* The native encoding: a header written by the negotiated serializer as a positional array, then
 * raw payload bytes.
 *
 * Frame: varint length of the rest, varint length of the header, header, payload. A packet is a
 * sequence of frames; a byte stream is one endless packet. docs/wire.md has the tables. */
#ifndef HKB_WIRE_NATIVE_H
#define HKB_WIRE_NATIVE_H

#include <hakuban/plugin/serializer.h>

#include "wire/message.h"

#define HKB_PART_BYTES_MAX (64u * 1024)   /* of a payload, in one frame */
#define HKB_HEADER_BYTES_MAX (16u * 1024) /* fits a descriptor whose every byte is escaped */
#define HKB_HELLO_BYTES_MAX 4096u         /* until both hellos are complete */
#define HKB_FRAME_BYTES_MAX (HKB_PART_BYTES_MAX + HKB_HEADER_BYTES_MAX + 16)
#define HKB_MESSAGE_ELEMENTS_MAX 1024u /* tokens in one header */

/* Scratch memory for encoding and decoding; one for each exchange. */
typedef struct hkb_native {
    const hakuban_alloc *alloc;
    hakuban_writer writer;
    hakuban_reader reader;
    char text[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    char format[HAKUBAN_FORMAT_BYTES_MAX + 1];
    hakuban_slice tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    hkb_load_limit load_limit;
    uint64_t path[HKB_PATH_NODES_MAX][2];
} hkb_native;

void hkb_native_init(hkb_native *native, const hakuban_alloc *alloc);
void hkb_native_done(hkb_native *native);

/* Appends the frame of message to out. If message has payload_of, the caller adds the payload.
 * previous: for a STATE, the version last sent on the channel (count 0: none). ERR_NO_MEMORY,
 * ERR_LIMIT. */
hakuban_status hkb_native_encode(hkb_native *native, const hakuban_serializer_ops *serializer,
                                 const hkb_message *message, const hkb_version *previous,
                                 hkb_buffer *out);
/* Finds the next frame of a packet. *ret_bytes: the frame's length; 0: more bytes are needed.
 * ERR_PROTOCOL; ERR_LIMIT: more than frame_bytes_max; both with a text. */
hakuban_status hkb_frame_next(hakuban_slice data, size_t frame_bytes_max, size_t *ret_bytes,
                              hakuban_slice *ret_header, hakuban_slice *ret_payload,
                              hakuban_error *reterr);
/* Appends a frame around an encoded header. */
hakuban_status hkb_frame_put(hkb_buffer *out, hakuban_slice header, hakuban_slice payload);

/* Gives the last version on channel: the header of a STATE has the difference to it. count 0: there
 * was none yet. false: the receiver has closed the channel and does not know its last version; then
 * the STATE is decoded without a version. */
typedef bool (*hkb_native_previous_fn)(void *ctx, uint32_t channel, hkb_version *ret_previous);

/* Decodes one message. *ret: descriptor is owned by the caller, the rest is borrowed from data and
 * native. A message of an unknown kind is OK with kind 0; the caller ignores it. ERR_PROTOCOL with
 * a text, ERR_NO_MEMORY. */
hakuban_status hkb_native_decode(hkb_native *native, const hakuban_serializer_ops *serializer,
                                 hakuban_slice header, hakuban_slice payload,
                                 hkb_native_previous_fn previous, void *ctx, hkb_message *ret,
                                 hakuban_error *reterr);

#endif
