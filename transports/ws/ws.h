/* What the files of the ws transport share: the HTTP upgrade and the frames of WebSocket (RFC 6455,
 * version 13), both over bytes in memory, and the layer that joins them to a socket. Built on
 * hakuban's public headers, transports/stream and wslay. */
#ifndef HKB_WS_H
#define HKB_WS_H

#include <wslay/wslay.h>

#include "stream/stream.h"

#define HKB_WS_HEAD_BYTES_MAX 8192
#define HKB_WS_HEAD_LINES_MAX 64
#define HKB_WS_KEY_BYTES 25    /* 16 random bytes in base64, terminated */
#define HKB_WS_ACCEPT_BYTES 29 /* 20 bytes in base64, terminated */
#define HKB_WS_PROTOCOL "hakuban.1"
#define HKB_WS_ANSWER_BYTES_MAX 768
#define HKB_WS_PATH_BYTES 256
#define HKB_WS_FILE_BYTES_MAX (4u * 1024 * 1024)
#define HKB_WS_HEADER_BYTES_MAX 14
#define HKB_WS_FRAGMENT_BYTES (1024u * 1024)
#define HKB_WS_CONTROL_BYTES_MAX 125
#define HKB_WS_READ_BYTES                                                                          \
    4096 /* frames are read in pieces of this size, so that answers to pings do not pile up */

/* Which protocol a connection is to speak: what was agreed on, or what the URL says. */
typedef enum hkb_ws_dialect {
    HKB_WS_DIALECT_AGREED = 0,
    HKB_WS_DIALECT_NATIVE,
    HKB_WS_DIALECT_RUST
} hkb_ws_dialect;

/* -- ws_digest.c -- */

/* out: terminated; (bytes + 2) / 3 * 4 + 1 bytes. */
void hkb_ws_base64(const unsigned char *data, size_t bytes, char *out);
void hkb_ws_sha1(const unsigned char *data, size_t bytes, unsigned char ret_digest[20]);
/* What a server has to answer to a key of 24 bytes. */
void hkb_ws_accept(const char *key, char ret_accept[HKB_WS_ACCEPT_BYTES]);

/* -- ws_head.c: heads of HTTP/1.1 -- */

typedef struct hkb_ws_refusal {
    unsigned code; /* of HTTP; 0 where it is an answer that is refused */
    bool plain;    /* it was no upgrade at all, but a proper request */
    char reason[128];
} hkb_ws_refusal;

/* How far a head was looked through while its bytes come. */
typedef struct hkb_ws_scan {
    size_t seen, line;
    unsigned lines;
} hkb_ws_scan;

typedef enum hkb_ws_progress {
    HKB_WS_MORE = 0, /* the head has not ended yet */
    HKB_WS_COMPLETE, /* *ret_head_bytes: with its empty line */
    HKB_WS_REFUSED   /* *ret_refusal says why */
} hkb_ws_progress;

/* Looks at what was added to head since the last time. */
hkb_ws_progress hkb_ws_head_scan(hkb_ws_scan *scan, const char *head, size_t bytes,
                                 size_t *ret_head_bytes, hkb_ws_refusal *ret_refusal);

/* What a listener allows. All texts are borrowed. */
typedef struct hkb_ws_rules {
    const char *host;    /* of the listener's URL */
    const char *origins; /* joined by '+'; "": the same host only; "*": any */
    bool secure;         /* pages of the same host come by https:// */
    hkb_ws_dialect dialect;
} hkb_ws_rules;

/* A complete request: whether it is an upgrade that the rules allow. false: *ret_refusal is to be
 * answered. */
bool hkb_ws_request_check(const char *head, size_t bytes, const hkb_ws_rules *rules,
                          char ret_accept[HKB_WS_ACCEPT_BYTES], bool *ret_native,
                          hkb_ws_refusal *ret_refusal);
/* The path, without a slash at its front, of the file that a plain request asks for: in each folder
 * "" is index.html. false: it names no file that could be served. */
bool hkb_ws_request_file(const char *head, size_t bytes, char ret_path[HKB_WS_PATH_BYTES]);
/* The answers; both give the bytes written. */
size_t hkb_ws_answer_accept(const char *accept, bool native, char out[HKB_WS_ANSWER_BYTES_MAX]);
size_t hkb_ws_answer_refuse(const hkb_ws_refusal *refusal, char out[HKB_WS_ANSWER_BYTES_MAX]);

/* A complete answer to a request whose key needs accept; body: what has come behind it, for words.
 */
bool hkb_ws_answer_check(const char *head, size_t bytes, const char *body, size_t body_bytes,
                         const char *accept, bool offered, bool *ret_native,
                         hkb_ws_refusal *ret_refusal);

/* -- A page for browsers, where the listener's URL names a folder: ws_page.c -- */

/* Writes the file that a plain request asks for and ends the connection, or fills in *ret_refusal:
 * 403 for a browser on another machine, 404. */
bool hkb_ws_page_serve(hkb_stream_self *self, hkb_stream_conn *conn, const char *folder,
                       const char *head, size_t head_bytes, hkb_ws_refusal *ret_refusal);

/* -- ws_frames.c: frames over bytes in memory -- */

/* Made from inside hkb_ws_frames_read(). data is borrowed for the call. */
typedef struct hkb_ws_frames_events {
    void (*message)(void *owner, const unsigned char *data, size_t bytes); /* binary, complete */
    void (*alive)(void *owner); /* text, ping or pong: a sign of life and nothing else */
    /* Fills key with unpredictable bytes. */
    void (*random)(void *owner, unsigned char *key, size_t bytes);
} hkb_ws_frames_events;

typedef struct hkb_ws_frames {
    const hakuban_alloc *alloc;
    const hkb_ws_frames_events *events;
    void *owner;
    wslay_event_context_ptr context;
    size_t message_bytes_max;
    bool text_is_due; /* text is a sign of life rather than a mistake */
    bool stopped;     /* by hkb_ws_frames_stop(): nothing is told any more */
    bool closed;      /* the other side's Close has come, with close_code and close_reason */
    unsigned close_code;
    char close_reason[HKB_WS_CONTROL_BYTES_MAX + 1];
    unsigned failure; /* 0, or the code to close with because of failure_text */
    const char *failure_text;
    /* What wslay is to be given, and what it wants to say. */
    const unsigned char *input;
    size_t input_bytes;
    unsigned char *output;
    size_t output_bytes, output_capacity;
    /* The frame and the message that are coming. */
    unsigned opcode, fragments;
    bool control, last;
    uint64_t frame_bytes;
    unsigned char *message;
    size_t message_bytes, message_capacity;
    const unsigned char *whole; /* the message, where all of it came at once; or NULL */
} hkb_ws_frames;

/* server: the other side has to mask what it sends. ERR_NO_MEMORY. */
hakuban_status hkb_ws_frames_init(hkb_ws_frames *frames, bool server, const hakuban_alloc *alloc,
                                  const hkb_ws_frames_events *events, void *owner);
void hkb_ws_frames_done(hkb_ws_frames *frames);
/* Takes all of data, at most HKB_WS_READ_BYTES, or sets failure or closed. */
void hkb_ws_frames_read(hkb_ws_frames *frames, const unsigned char *data, size_t bytes);
/* From inside an event: there shall be no more of them. */
void hkb_ws_frames_stop(hkb_ws_frames *frames);
/* What is to be answered to pings and to Close, as frames; call until it gives 0. capacity: 256 at
 * least. */
size_t hkb_ws_frames_answers(hkb_ws_frames *frames, unsigned char *out, size_t capacity);

/* The header of a frame; mask: 4 bytes, or NULL. Gives its size. */
size_t hkb_ws_frame_header(unsigned char out[HKB_WS_HEADER_BYTES_MAX], unsigned opcode, bool last,
                           uint64_t bytes, const unsigned char *mask);
/* Copies and masks; offset: of data in the frame. */
void hkb_ws_frame_mask(unsigned char *out, const unsigned char *data, size_t bytes,
                       const unsigned char mask[4], size_t offset);

#endif
