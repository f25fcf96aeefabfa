/* WebSocket as strangers send it: heads of requests and of answers, and frames, in pieces. The
 * first byte of the input says which, the second how large the pieces are. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "transports/ws/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t allocated, delivered;

static void *count_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    HKB_ASSERT(bytes > 0);
    allocated += bytes;
    return malloc(bytes);
}

static void *count_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    allocated += new_bytes - old_bytes;
    return realloc(memory, new_bytes);
}

static void count_free(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    allocated -= bytes;
    free(memory);
}

static void on_message(void *owner, const unsigned char *data, size_t bytes)
{
    hkb_ws_frames *frames = owner;
    HKB_ASSERT(bytes > 0 && bytes <= frames->message_bytes_max);
    for (size_t i = 0; i < bytes; i++) {
        delivered += data[i]; /* all of it can be read */
    }
    if (data[0] == 's') {
        hkb_ws_frames_stop(frames);
    }
}

static void on_alive(void *owner)
{
    (void)owner;
    delivered++;
}

static void on_random(void *owner, unsigned char *key, size_t bytes)
{
    (void)owner;
    memset(key, 7, bytes);
}

static void read_frames(const uint8_t *data, size_t bytes, size_t piece, bool server, bool rust)
{
    static const hakuban_alloc alloc = {NULL, count_alloc, count_realloc, count_free};
    static const hkb_ws_frames_events events = {on_message, on_alive, on_random};
    hkb_ws_frames frames;
    unsigned char answers[256];
    if (hkb_ws_frames_init(&frames, server, &alloc, &events, &frames)) {
        abort();
    }
    frames.text_is_due = rust;
    if (rust) {
        frames.message_bytes_max = HAKUBAN_RUST_MESSAGE_BYTES_MAX;
    }
    for (size_t at = 0; at < bytes; at += piece) {
        hkb_ws_frames_read(&frames, data + at, bytes - at < piece ? bytes - at : piece);
        HKB_ASSERT(allocated <= 2 * bytes + 64 * 1024);
        HKB_ASSERT(!frames.failure == !frames.failure_text);
        if (frames.failure) {
            break;
        }
        size_t answered, limit = bytes + sizeof(answers);
        while ((answered = hkb_ws_frames_answers(&frames, answers, sizeof(answers))) > 0) {
            HKB_ASSERT(answered <= sizeof(answers) && answered <= limit);
            limit -= answered;
        }
    }
    hkb_ws_frames_done(&frames);
    HKB_ASSERT(allocated == 0);
}

static void check_words(const char *text, size_t capacity)
{
    HKB_ASSERT(memchr(text, 0, capacity) && text[0]);
    for (; *text; text++) {
        HKB_ASSERT(*text >= 0x20 && *text <= 0x7e);
    }
}

static void read_head(const char *head, size_t bytes, size_t piece, bool request)
{
    static const hkb_ws_rules rules[] = {
        {.host = "here", .origins = ""},
        {.host = "", .origins = "http://a.example+null", .dialect = HKB_WS_DIALECT_RUST},
        {.host = "", .origins = "*", .dialect = HKB_WS_DIALECT_NATIVE}};
    hkb_ws_scan scan = {0};
    hkb_ws_refusal refusal = {.code = 0};
    char accept[HKB_WS_ACCEPT_BYTES] = "", answer[HKB_WS_ANSWER_BYTES_MAX];
    size_t head_bytes = 0;
    bool native = false;
    hkb_ws_progress progress = HKB_WS_MORE;
    for (size_t seen = 0; seen < bytes && progress == HKB_WS_MORE;) {
        seen = bytes - seen < piece ? bytes : seen + piece;
        progress = hkb_ws_head_scan(&scan, head, seen, &head_bytes, &refusal);
    }
    if (progress == HKB_WS_REFUSED) {
        check_words(refusal.reason, sizeof(refusal.reason));
    }
    if (progress != HKB_WS_COMPLETE) {
        return;
    }
    HKB_ASSERT(head_bytes > 0 && head_bytes <= bytes && head_bytes <= HKB_WS_HEAD_BYTES_MAX);
    if (!request) {
        if (!hkb_ws_answer_check(head, head_bytes, head + head_bytes, bytes - head_bytes,
                                 "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", true, &native, &refusal)) {
            check_words(refusal.reason, sizeof(refusal.reason));
        }
        return;
    }
    for (size_t i = 0; i < HKB_COUNT(rules); i++) {
        if (hkb_ws_request_check(head, head_bytes, &rules[i], accept, &native, &refusal)) {
            HKB_ASSERT(strlen(accept) == HKB_WS_ACCEPT_BYTES - 1);
            HKB_ASSERT(hkb_ws_answer_accept(accept, native, answer) < sizeof(answer));
        } else {
            check_words(refusal.reason, sizeof(refusal.reason));
            HKB_ASSERT(hkb_ws_answer_refuse(&refusal, answer) < sizeof(answer));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2) {
        return 0;
    }
    size_t piece = data[1] ? data[1] : HKB_WS_READ_BYTES;
    /* A copy of exactly its size, so that reading past it is seen. */
    uint8_t *copy = malloc(bytes - 2 ? bytes - 2 : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, data + 2, bytes - 2);
    switch (data[0] % 6) {
    case 0:
    case 1:
        read_head((const char *)copy, bytes - 2, piece, data[0] % 6 == 0);
        break;
    default:
        read_frames(copy, bytes - 2, piece, data[0] % 2, data[0] % 6 > 3);
        break;
    }
    free(copy);
    return 0;
}
