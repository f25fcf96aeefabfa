/* Frames of WebSocket over bytes in memory. wslay reads them, with all the rules of RFC 6455;
 * messages are put together here, where memory is counted and grows only as bytes arrive. Data is
 * framed here too, because wslay would copy it. Knows no socket. */
#include <string.h>

#include "ws.h"

#define FRAGMENTS_MAX 65536u
#define AT_ONCE_BYTES                                                                              \
    (64u * 1024) /* what a frame's length, declared but not yet there, may reserve */

static void fail(hkb_ws_frames *frames, unsigned code, const char *reason)
{
    if (!frames->failure) {
        frames->failure = code;
        frames->failure_text = reason;
    }
    wslay_event_shutdown_read(frames->context);
}

static bool is_over(const hkb_ws_frames *frames)
{
    return frames->stopped || frames->failure || frames->closed;
}

/* -- What wslay calls -- */

static ssize_t give_input(wslay_event_context_ptr context, uint8_t *out, size_t capacity, int flags,
                          void *memory)
{
    hkb_ws_frames *frames = memory;
    size_t bytes = frames->input_bytes < capacity ? frames->input_bytes : capacity;
    (void)flags;
    if (bytes == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(out, frames->input, bytes);
    frames->input += bytes;
    frames->input_bytes -= bytes;
    return (ssize_t)bytes;
}

static ssize_t take_output(wslay_event_context_ptr context, const uint8_t *data, size_t bytes,
                           int flags, void *memory)
{
    hkb_ws_frames *frames = memory;
    size_t room = frames->output_capacity - frames->output_bytes;
    (void)flags;
    if (room == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    bytes = bytes < room ? bytes : room;
    memcpy(frames->output + frames->output_bytes, data, bytes);
    frames->output_bytes += bytes;
    return (ssize_t)bytes;
}

static int make_mask(wslay_event_context_ptr context, uint8_t *key, size_t bytes, void *memory)
{
    hkb_ws_frames *frames = memory;
    (void)context;
    frames->events->random(frames->owner, key, bytes);
    return 0;
}

static void begin_frame(wslay_event_context_ptr context,
                        const struct wslay_event_on_frame_recv_start_arg *frame, void *memory)
{
    hkb_ws_frames *frames = memory;
    (void)context;
    if (is_over(frames)) {
        return;
    }
    frames->control = wslay_is_ctrl_frame(frame->opcode);
    if (frames->control) {
        return;
    }
    frames->last = frame->fin;
    frames->frame_bytes = frame->payload_length;
    if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
        frames->opcode = frame->opcode;
        frames->fragments = 0;
    }
    if (frames->opcode == WSLAY_TEXT_FRAME && !frames->text_is_due) {
        fail(frames, WSLAY_CODE_UNSUPPORTED_DATA, "text, where binary messages are due");
    } else if (frame->payload_length > frames->message_bytes_max - frames->message_bytes) {
        fail(frames, WSLAY_CODE_MESSAGE_TOO_BIG, "a message that is too large");
    } else if (++frames->fragments > FRAGMENTS_MAX) {
        fail(frames, WSLAY_CODE_MESSAGE_TOO_BIG, "a message of too many fragments");
    }
}

static bool reserve(hkb_ws_frames *frames, size_t bytes)
{
    const hakuban_alloc *alloc = frames->alloc;
    size_t wanted = frames->message_bytes + bytes;
    if (wanted <= frames->message_capacity) {
        return true;
    }
    size_t declared =
        frames->frame_bytes < AT_ONCE_BYTES ? (size_t)frames->frame_bytes : AT_ONCE_BYTES;
    size_t capacity = 2 * frames->message_capacity;
    if (capacity < frames->message_bytes + declared) {
        capacity = frames->message_bytes + declared;
    }
    if (capacity < wanted) {
        capacity = wanted;
    }
    if (capacity > frames->message_bytes_max) {
        capacity = frames->message_bytes_max;
    }
    void *grown = frames->message ? alloc->realloc(alloc->ctx, frames->message,
                                                   frames->message_capacity, capacity)
                                  : alloc->alloc(alloc->ctx, capacity);
    if (!grown) {
        return false;
    }
    frames->message = grown;
    frames->message_capacity = capacity;
    return true;
}

static void take_bytes(wslay_event_context_ptr context,
                       const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *memory)
{
    hkb_ws_frames *frames = memory;
    (void)context;
    if (is_over(frames) || frames->control || frames->opcode != WSLAY_BINARY_FRAME ||
        chunk->data_length == 0) {
        return;
    }
    if (frames->last && frames->message_bytes == 0 && chunk->data_length == frames->frame_bytes) {
        frames->whole = chunk->data;
    } else if (reserve(frames, chunk->data_length)) {
        memcpy(frames->message + frames->message_bytes, chunk->data, chunk->data_length);
    } else {
        fail(frames, WSLAY_CODE_INTERNAL_SERVER_ERROR, "out of memory");
        return;
    }
    frames->message_bytes += chunk->data_length;
}

static void drop_message(hkb_ws_frames *frames)
{
    if (frames->message) {
        frames->alloc->free(frames->alloc->ctx, frames->message, frames->message_capacity);
        frames->message = NULL;
    }
    frames->message_bytes = frames->message_capacity = 0;
    frames->whole = NULL;
}

static void end_frame(wslay_event_context_ptr context, void *memory)
{
    hkb_ws_frames *frames = memory;
    (void)context;
    if (is_over(frames) || frames->control || !frames->last) {
        return;
    }
    if (frames->opcode == WSLAY_TEXT_FRAME) {
        frames->events->alive(frames->owner);
    } else if (frames->message_bytes > 0) {
        frames->events->message(frames->owner, frames->whole ? frames->whole : frames->message,
                                frames->message_bytes);
    }
    drop_message(frames);
}

static void end_message(wslay_event_context_ptr context,
                        const struct wslay_event_on_msg_recv_arg *message, void *memory)
{
    hkb_ws_frames *frames = memory;
    (void)context;
    if (is_over(frames) || !wslay_is_ctrl_frame(message->opcode)) {
        return;
    }
    if (message->opcode != WSLAY_CONNECTION_CLOSE) {
        frames->events->alive(frames->owner);
        return;
    }
    if (message->msg_length == 1) {
        fail(frames, WSLAY_CODE_PROTOCOL_ERROR, "a Close of half a code");
        return;
    }
    frames->closed = true;
    frames->close_code = message->status_code;
    size_t bytes = message->msg_length < 2 ? 0 : message->msg_length - 2;
    for (size_t i = 0; i < bytes && i < HKB_WS_CONTROL_BYTES_MAX; i++) {
        uint8_t byte = message->msg[i + 2];
        frames->close_reason[i] = byte < 0x20 || byte > 0x7e ? '?' : (char)byte;
    }
}

/* -- Reading -- */

hakuban_status hkb_ws_frames_init(hkb_ws_frames *frames, bool server, const hakuban_alloc *alloc,
                                  const hkb_ws_frames_events *events, void *owner)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = give_input,
        .send_callback = take_output,
        .genmask_callback = make_mask,
        .on_frame_recv_start_callback = begin_frame,
        .on_frame_recv_chunk_callback = take_bytes,
        .on_frame_recv_end_callback = end_frame,
        .on_msg_recv_callback = end_message,
    };
    memset(frames, 0, sizeof(*frames));
    frames->alloc = alloc;
    frames->events = events;
    frames->owner = owner;
    frames->message_bytes_max = HAKUBAN_MESSAGE_BYTES_MAX;
    int failed = server ? wslay_event_context_server_init(&frames->context, &callbacks, frames)
                        : wslay_event_context_client_init(&frames->context, &callbacks, frames);
    if (failed) {
        frames->context = NULL;
        return HAKUBAN_ERR_NO_MEMORY;
    }
    wslay_event_config_set_no_buffering(frames->context, 1);
    wslay_event_config_set_max_recv_msg_length(frames->context,
                                               INT64_MAX); /* begin_frame() looks */
    return HAKUBAN_OK;
}

void hkb_ws_frames_done(hkb_ws_frames *frames)
{
    if (frames->context) {
        wslay_event_context_free(frames->context);
        frames->context = NULL;
    }
    drop_message(frames);
}

void hkb_ws_frames_stop(hkb_ws_frames *frames)
{
    frames->stopped = true;
    if (frames->context) {
        wslay_event_shutdown_read(frames->context);
    }
}

/* wslay says with which code it would close, but not what was wrong. */
static void find_failure(hkb_ws_frames *frames)
{
    unsigned char answers[256];
    while (hkb_ws_frames_answers(frames, answers, sizeof(answers)) > 0) {
    }
    switch (wslay_event_get_status_code_sent(frames->context)) {
    case WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA:
        fail(frames, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "text that is not UTF-8");
        break;
    default:
        fail(frames, WSLAY_CODE_PROTOCOL_ERROR, "a frame that WebSocket does not allow");
        break;
    }
}

void hkb_ws_frames_read(hkb_ws_frames *frames, const unsigned char *data, size_t bytes)
{
    if (is_over(frames)) {
        return;
    }
    frames->input = data;
    frames->input_bytes = bytes;
    int result = wslay_event_recv(frames->context);
    frames->input = NULL;
    frames->input_bytes = 0;
    if (is_over(frames)) {
        return;
    }
    if (result == WSLAY_ERR_NOMEM) {
        fail(frames, WSLAY_CODE_INTERNAL_SERVER_ERROR, "out of memory");
    } else if (result != 0 || !wslay_event_get_read_enabled(frames->context)) {
        find_failure(frames);
    }
}

size_t hkb_ws_frames_answers(hkb_ws_frames *frames, unsigned char *out, size_t capacity)
{
    frames->output = out;
    frames->output_bytes = 0;
    frames->output_capacity = capacity;
    if (wslay_event_want_write(frames->context)) {
        (void)wslay_event_send(frames->context);
    }
    frames->output = NULL;
    return frames->output_bytes;
}

/* -- Writing -- */

size_t hkb_ws_frame_header(unsigned char out[HKB_WS_HEADER_BYTES_MAX], unsigned opcode, bool last,
                           uint64_t bytes, const unsigned char *mask)
{
    size_t length_bytes = bytes < 126 ? 0 : bytes <= UINT16_MAX ? 2 : 8, at = 2;
    out[0] = (unsigned char)((last ? 0x80u : 0u) | opcode);
    out[1] = (unsigned char)((mask ? 0x80u : 0u) | (length_bytes == 0   ? bytes
                                                    : length_bytes == 2 ? 126u
                                                                        : 127u));
    for (size_t i = length_bytes; i-- > 0;) {
        out[at++] = (unsigned char)(bytes >> (8 * i));
    }
    if (mask) {
        memcpy(out + at, mask, 4);
        at += 4;
    }
    return at;
}

void hkb_ws_frame_mask(unsigned char *out, const unsigned char *data, size_t bytes,
                       const unsigned char mask[4], size_t offset)
{
    unsigned char key[8];
    uint64_t keys, word;
    size_t i = 0;
    for (size_t k = 0; k < sizeof(key); k++) {
        key[k] = mask[(offset + k) % 4];
    }
    memcpy(&keys, key, sizeof(keys));
    for (; bytes - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, data + i, sizeof(word));
        word ^= keys;
        memcpy(out + i, &word, sizeof(word));
    }
    for (; i < bytes; i++) {
        out[i] = data[i] ^ key[i % 8];
    }
}
