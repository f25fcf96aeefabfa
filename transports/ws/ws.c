/* The transport ws://, and the layer that lets tcp:// and unix:// accept WebSocket too: the
 * upgrade, messages as frames, Close. Sockets are transports/stream's affair. Knows no message of
 * hakuban; what a connection carries is agreed on in the upgrade. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "ws.h"

#define HEAD_BYTES_MIN 1024
#define ANSWERS_BYTES (HKB_WS_READ_BYTES + 256)
#define ANSWERS_WAITING_MAX (64u * 1024) /* to pings of a peer that does not read */
#define ON_STACK_BYTES 4096

typedef enum phase {
    UPGRADE = 1, /* the head of the other side's request or answer is awaited */
    OPEN,
    CLOSING /* Close was sent */
} phase;

typedef struct policy {
    hkb_stream_policy is;
    hkb_ws_rules rules; /* its texts are behind it */
    const char *page;   /* a folder; "": there is none */
} policy;

/* One connection. */
typedef struct ws {
    hkb_stream_self *self;
    hkb_stream_conn *conn;
    phase phase;
    bool server, reading; /* reading: freed only after that */
    bool freed;
    hakuban_carries carries;
    hkb_ws_dialect dialect;
    policy *policy; /* server, until it is upgraded */
    char accept[HKB_WS_ACCEPT_BYTES];
    char *head; /* first the request, where this side makes it */
    size_t head_bytes, head_capacity;
    hkb_ws_scan scan;
    hkb_ws_frames frames;
    size_t answers_waiting;
    unsigned char random[64];
    size_t random_left;
} ws;

/* -- Memory and chance -- */

static void drop_head(ws *it)
{
    if (it->head) {
        it->self->host->alloc->free(it->self->host->alloc->ctx, it->head, it->head_capacity);
        it->head = NULL;
    }
    it->head_bytes = it->head_capacity = 0;
}

static void free_now(ws *it)
{
    drop_head(it);
    hkb_ws_frames_done(&it->frames);
    if (it->policy) {
        (void)hkb_stream_policy_unref(it->self, &it->policy->is);
    }
    it->self->host->alloc->free(it->self->host->alloc->ctx, it, sizeof(*it));
}

static void free_state(hkb_stream_self *self, void *state)
{
    ws *it = state;
    (void)self;
    it->freed = true;
    if (it->reading) {
        hkb_ws_frames_stop(&it->frames);
    } else {
        free_now(it);
    }
}

static ws *new_state(hkb_stream_self *self, hkb_stream_conn *conn, bool server)
{
    ws *it = self->host->alloc->alloc(self->host->alloc->ctx, sizeof(*it));
    if (it) {
        memset(it, 0, sizeof(*it));
        it->self = self;
        it->conn = conn;
        it->phase = UPGRADE;
        it->server = server;
    }
    return it;
}

/* Masks are there so that no page can make a browser send bytes of its choice: they have to be
 * unpredictable, and are cheap this way. */
static void make_random(void *memory, unsigned char *out, size_t bytes)
{
    ws *it = memory;
    for (size_t i = 0; i < bytes; i++) {
        if (it->random_left == 0) {
            it->random_left = sizeof(it->random);
            /* Up to 256 bytes it gives all or, before the machine has any, nothing; then the mask
             * is weak, and the bytes arrive. */
            (void)!getrandom(it->random, sizeof(it->random), 0);
        }
        out[i] = it->random[--it->random_left];
    }
}

/* -- URLs -- */

static hakuban_status read_dialect(const hakuban_url *url, hkb_ws_dialect *ret,
                                   hakuban_error *reterr)
{
    const char *text = hakuban_url_get(url, "dialect");
    if (text && strcmp(text, "native") != 0 && strcmp(text, "rust") != 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "dialect is rust or native, not %.64s",
                                 text);
    }
    *ret = !text                         ? HKB_WS_DIALECT_AGREED
           : strcmp(text, "native") == 0 ? HKB_WS_DIALECT_NATIVE
                                         : HKB_WS_DIALECT_RUST;
    return HAKUBAN_OK;
}

static hakuban_status listen_(hkb_stream_self *self, const hakuban_url *url,
                              hkb_stream_policy **ret_policy, hakuban_error *reterr)
{
    hkb_ws_dialect dialect = HKB_WS_DIALECT_AGREED;
    hakuban_status status = read_dialect(url, &dialect, reterr);
    if (status < 0) {
        return status;
    }
    const char *origins = hakuban_url_get(url, "origin"), *page = hakuban_url_get(url, "page");
    size_t host_bytes = strlen(url->host) + 1, origins_bytes = origins ? strlen(origins) + 1 : 1,
           page_bytes = page ? strlen(page) + 1 : 1;
    struct stat folder;
    if (page && (stat(page, &folder) != 0 || !S_ISDIR(folder.st_mode))) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "page=%.120s: there is no such folder",
                                 page);
    }
    size_t bytes = sizeof(policy) + host_bytes + origins_bytes + page_bytes;
    policy *made = self->host->alloc->alloc(self->host->alloc->ctx, bytes);
    if (!made) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    char *texts = (char *)(made + 1);
    memcpy(texts, url->host, host_bytes);
    memcpy(texts + host_bytes, origins ? origins : "", origins_bytes);
    memcpy(texts + host_bytes + origins_bytes, page ? page : "", page_bytes);
    *made = (policy){.is = {.references = 1, .bytes = bytes},
                     .rules = {.host = texts,
                               .origins = texts + host_bytes,
                               .secure = self->cipher != NULL,
                               .dialect = dialect},
                     .page = texts + host_bytes + origins_bytes};
    *ret_policy = &made->is;
    return HAKUBAN_OK;
}

/* -- Beginning -- */

static hakuban_status accepted(hkb_stream_self *self, hkb_stream_conn *conn,
                               hkb_stream_policy *of_listener)
{
    ws *it = new_state(self, conn, true);
    if (!it) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    it->policy = (policy *)of_listener;
    it->policy->is.references++;
    conn->state = it;
    return HAKUBAN_OK;
}

static bool is_path(const char *path)
{
    for (; *path; path++) {
        if (*path <= 0x20 || *path > 0x7e) {
            return false;
        }
    }
    return true;
}

static hakuban_status check_request(const hakuban_url *url, hakuban_error *reterr)
{
    if (is_path(url->path) && is_path(url->authority)) {
        return HAKUBAN_OK;
    }
    return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                             "what is no letter, digit or sign of ASCII must be written as %%xx");
}

static bool make_request(ws *it, const hakuban_url *url)
{
    static const char format[] =
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n";
    unsigned char key[16];
    char key_text[HKB_WS_KEY_BYTES];
    make_random(it, key, sizeof(key));
    hkb_ws_base64(key, sizeof(key), key_text);
    hkb_ws_accept(key_text, it->accept);
    const char *path = url->path[0] ? url->path : "/",
               *offer = it->dialect == HKB_WS_DIALECT_RUST
                            ? ""
                            : "Sec-WebSocket-Protocol: " HKB_WS_PROTOCOL "\r\n";
    int bytes = snprintf(NULL, 0, format, path, url->authority, key_text, offer);
    it->head_capacity = (size_t)bytes + 1;
    it->head = it->self->host->alloc->alloc(it->self->host->alloc->ctx, it->head_capacity);
    if (!it->head) {
        return false;
    }
    (void)snprintf(it->head, it->head_capacity, format, path, url->authority, key_text, offer);
    it->head_bytes = (size_t)bytes;
    return true;
}

static hakuban_status dial(hkb_stream_self *self, hkb_stream_conn *conn, const hakuban_url *url,
                           hakuban_error *reterr)
{
    hkb_ws_dialect dialect = HKB_WS_DIALECT_AGREED;
    hakuban_status status = read_dialect(url, &dialect, reterr);
    if (status >= 0) {
        status = check_request(url, reterr);
    }
    if (status < 0) {
        return status;
    }
    ws *it = new_state(self, conn, false);
    if (it) {
        it->dialect = dialect;
    }
    if (!it || !make_request(it, url)) {
        if (it) {
            free_now(it);
        }
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    conn->state = it;
    return HAKUBAN_OK;
}

static void connected(hkb_stream_self *self, hkb_stream_conn *conn)
{
    ws *it = conn->state;
    hakuban_slice request = {it->head, it->head_bytes};
    if (hkb_stream_write(self, conn, &request, 1) >= 0) {
        drop_head(it);
    }
}

static void late(hkb_stream_self *self, hkb_stream_conn *conn)
{
    hkb_stream_finish(self, conn, HAKUBAN_ERR_TIMEOUT, "no answer to the upgrade in time");
}

/* -- Sending -- */

static hakuban_status send_frame(ws *it, unsigned opcode, bool last, const hakuban_slice *parts,
                                 unsigned part_count)
{
    unsigned char header[HKB_WS_HEADER_BYTES_MAX], key[4], small[ON_STACK_BYTES], *masked = small;
    hakuban_slice all[HKB_STREAM_PARTS_MAX];
    size_t total = 0, at = 0;
    for (unsigned i = 0; i < part_count; i++) {
        all[i + 1] = parts[i];
        total += parts[i].bytes;
    }
    if (it->server) {
        all[0] = (hakuban_slice){header, hkb_ws_frame_header(header, opcode, last, total, NULL)};
        return hkb_stream_write(it->self, it->conn, all, part_count + 1);
    }
    const hakuban_alloc *alloc = it->self->host->alloc;
    make_random(it, key, sizeof(key));
    all[0] = (hakuban_slice){header, hkb_ws_frame_header(header, opcode, last, total, key)};
    if (total > sizeof(small)) {
        masked = alloc->alloc(alloc->ctx, total);
        if (!masked) {
            return hkb_stream_fail(it->self, it->conn, ENOMEM);
        }
    }
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].bytes > 0) {
            hkb_ws_frame_mask(masked + at, parts[i].data, parts[i].bytes, key, at);
            at += parts[i].bytes;
        }
    }
    all[1] = (hakuban_slice){masked, total};
    hakuban_status status = hkb_stream_write(it->self, it->conn, all, 2);
    if (masked != small) {
        alloc->free(alloc->ctx, masked, total);
    }
    return status;
}

/* Copies the next bytes of parts, masked where there is a key. */
static void gather(unsigned char *out, size_t bytes, const hakuban_slice **part, size_t *offset,
                   const unsigned char *key)
{
    static const unsigned char plain[4] = {0, 0, 0, 0};
    for (size_t at = 0; at < bytes;) {
        size_t left = (*part)->bytes - *offset, piece = left < bytes - at ? left : bytes - at;
        hkb_ws_frame_mask(out + at, (const unsigned char *)(*part)->data + *offset, piece,
                          key ? key : plain, at);
        at += piece;
        *offset += piece;
        if (*offset == (*part)->bytes) {
            ++*part;
            *offset = 0;
        }
    }
}

/* Others take frames of 16 MiB at most. All of it is written as one, so that what the kernel does
 * not take is copied once. */
static hakuban_status send_fragments(ws *it, const hakuban_slice *parts, size_t total)
{
    const hakuban_alloc *alloc = it->self->host->alloc;
    size_t frames = (total + HKB_WS_FRAGMENT_BYTES - 1) / HKB_WS_FRAGMENT_BYTES, filled = 0,
           offset = 0, capacity = total + frames * HKB_WS_HEADER_BYTES_MAX;
    unsigned char *out = alloc->alloc(alloc->ctx, capacity), key[4];
    if (!out) {
        return hkb_stream_fail(it->self, it->conn, ENOMEM);
    }
    for (size_t at = 0; at < total; at += HKB_WS_FRAGMENT_BYTES) {
        size_t left = total - at;
        bool last = left <= HKB_WS_FRAGMENT_BYTES;
        size_t bytes = last ? left : HKB_WS_FRAGMENT_BYTES;
        const unsigned char *mask = it->server ? NULL : key;
        make_random(it, key, sizeof(key));
        filled += hkb_ws_frame_header(
            out + filled, at ? WSLAY_CONTINUATION_FRAME : WSLAY_BINARY_FRAME, last, bytes, mask);
        gather(out + filled, bytes, &parts, &offset, mask);
        filled += bytes;
    }
    hakuban_slice all = {out, filled};
    hakuban_status status = hkb_stream_write(it->self, it->conn, &all, 1);
    alloc->free(alloc->ctx, out, capacity);
    return status;
}

static hakuban_status send_message(hkb_stream_self *self, hkb_stream_conn *conn,
                                   const hakuban_slice *parts, unsigned part_count)
{
    ws *it = conn->state;
    (void)self;
    if (it->phase != OPEN) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    size_t total = 0;
    unsigned largest = 0;
    for (unsigned i = 0; i < part_count; i++) {
        total += parts[i].bytes;
        largest = parts[i].bytes > parts[largest].bytes ? i : largest;
    }
    if (total == 0) {
        return HAKUBAN_OK;
    }
    if (total > HKB_WS_FRAGMENT_BYTES) {
        return send_fragments(it, parts, total);
    }
    bool alive = it->carries == HAKUBAN_CARRIES_RUST && total == 1 &&
                 *(const char *)parts[largest].data == '.';
    return send_frame(it, alive ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, true, parts, part_count);
}

static void send_close(ws *it, unsigned code, const char *reason)
{
    unsigned char payload[HKB_WS_CONTROL_BYTES_MAX];
    size_t reason_bytes = strlen(reason);
    if (reason_bytes > sizeof(payload) - 2) {
        reason_bytes = sizeof(payload) - 2;
    }
    payload[0] = (unsigned char)(code >> 8);
    payload[1] = (unsigned char)code;
    memcpy(payload + 2, reason, reason_bytes);
    hakuban_slice part = {payload, reason_bytes + 2};
    it->phase = CLOSING;
    (void)send_frame(it, WSLAY_CONNECTION_CLOSE, true, &part, 1);
}

static void shutdown_(hkb_stream_self *self, hkb_stream_conn *conn)
{
    ws *it = conn->state;
    if (it->phase == OPEN) {
        send_close(it, WSLAY_CODE_NORMAL_CLOSURE, "");
    } else if (it->phase == UPGRADE) {
        hkb_stream_part(self, conn, HAKUBAN_ERR_CLOSED, "closed on this side");
    }
}

/* -- Receiving frames -- */

static void message(void *memory, const unsigned char *data, size_t bytes)
{
    ws *it = memory;
    it->self->host->received(it->conn->carrier, data, bytes);
}

static void alive(void *memory)
{
    ws *it = memory;
    if (it->carries == HAKUBAN_CARRIES_RUST) {
        it->self->host->received(it->conn->carrier, ".", 1);
    }
}

static const hkb_ws_frames_events events = {message, alive, make_random};

static void answer(ws *it)
{
    unsigned char answers[ANSWERS_BYTES];
    size_t bytes;
    if (!it->conn->rest) {
        it->answers_waiting = 0;
    }
    while ((bytes = hkb_ws_frames_answers(&it->frames, answers, sizeof(answers))) > 0) {
        hakuban_slice part = {answers, bytes};
        /* After Close nothing more may be said. */
        if (it->phase != OPEN) {
            continue;
        }
        hakuban_status status = hkb_stream_write(it->self, it->conn, &part, 1);
        if (status < 0) {
            return;
        }
        it->answers_waiting += status == HAKUBAN_OK_FULL ? bytes : 0;
    }
    if (it->answers_waiting > ANSWERS_WAITING_MAX) {
        it->frames.failure = WSLAY_CODE_POLICY_VIOLATION;
        it->frames.failure_text = "pings from a peer that reads no answers";
    }
}

static void end_as_told(ws *it)
{
    const hkb_ws_frames *frames = &it->frames;
    char text[HKB_STREAM_REASON_BYTES] = "the other side closed the connection";
    if (frames->close_code && frames->close_code != WSLAY_CODE_NORMAL_CLOSURE) {
        (void)snprintf(text, sizeof(text), "the other side closed the connection with %u%s%.100s",
                       frames->close_code, frames->close_reason[0] ? ": " : "",
                       frames->close_reason);
    }
    if (it->conn->rest) {
        hkb_stream_part(it->self, it->conn, HAKUBAN_ERR_CLOSED, "%s", text);
    } else {
        hkb_stream_finish(it->self, it->conn, HAKUBAN_ERR_CLOSED, text);
    }
}

static void end_broken(ws *it)
{
    unsigned code = it->frames.failure;
    const char *text = it->frames.failure_text;
    hakuban_status why = code == WSLAY_CODE_INTERNAL_SERVER_ERROR ? HAKUBAN_ERR_NO_MEMORY
                         : code == WSLAY_CODE_MESSAGE_TOO_BIG     ? HAKUBAN_ERR_LIMIT
                                                                  : HAKUBAN_ERR_PROTOCOL;
    if (it->phase == OPEN) {
        send_close(it, code, text);
    }
    hkb_stream_part(it->self, it->conn, why, "WebSocket: %s; closed with %u", text, code);
}

static void read_frames(ws *it, const unsigned char *data, size_t bytes)
{
    it->reading = true;
    while (bytes > 0 && !it->freed && !it->conn->farewell) {
        size_t piece = bytes < HKB_WS_READ_BYTES ? bytes : HKB_WS_READ_BYTES;
        hkb_ws_frames_read(&it->frames, data, piece);
        data += piece;
        bytes -= piece;
        if (!it->freed && !it->frames.failure) {
            answer(it);
        }
        if (it->freed) {
            break;
        }
        if (it->frames.failure) {
            end_broken(it);
        } else if (it->frames.closed) {
            end_as_told(it);
        }
    }
    it->reading = false;
    if (it->freed) {
        free_now(it);
    }
}

/* -- The upgrade -- */

static bool begin_frames(ws *it, bool native)
{
    hkb_stream_self *self = it->self;
    if (hkb_ws_frames_init(&it->frames, it->server, self->host->alloc, &events, it)) {
        hkb_stream_finish(self, it->conn, HAKUBAN_ERR_NO_MEMORY, strerror(ENOMEM));
        return false;
    }
    it->carries = native ? HAKUBAN_CARRIES_MESSAGES : HAKUBAN_CARRIES_RUST;
    if (!native) {
        it->frames.text_is_due = true;
        it->frames.message_bytes_max = HAKUBAN_RUST_MESSAGE_BYTES_MAX;
    }
    drop_head(it);
    it->phase = OPEN;
    hkb_stream_carries(self, it->conn, it->carries);
    return true;
}

static void refuse_request(ws *it, const hkb_ws_refusal *refusal)
{
    char out[HKB_WS_ANSWER_BYTES_MAX];
    hakuban_slice part = {out, hkb_ws_answer_refuse(refusal, out)};
    hkb_stream_self *self = it->self;
    hkb_stream_conn *conn = it->conn;
    if (hkb_stream_write(self, conn, &part, 1) >= 0) {
        /* Browsers ask for things, such as icons, that were never promised. */
        hakuban_status why = refusal->code == 404 ? HAKUBAN_ERR_CLOSED : HAKUBAN_ERR_REFUSED;
        hkb_stream_part(self, conn, why, "upgrade refused with %u: %s", refusal->code,
                        refusal->reason);
    }
}

/* Whether the connection is open now. */
static bool accept_upgrade(ws *it, size_t head_bytes)
{
    char out[HKB_WS_ANSWER_BYTES_MAX];
    hkb_ws_refusal refusal;
    bool native = false;
    if (!hkb_ws_request_check(it->head, head_bytes, &it->policy->rules, it->accept, &native,
                              &refusal)) {
        if (!refusal.plain || !it->policy->page[0] ||
            !hkb_ws_page_serve(it->self, it->conn, it->policy->page, it->head, head_bytes,
                               &refusal)) {
            refuse_request(it, &refusal);
        }
        return false;
    }
    hakuban_slice part = {out, hkb_ws_answer_accept(it->accept, native, out)};
    if (hkb_stream_write(it->self, it->conn, &part, 1) < 0 || !begin_frames(it, native)) {
        return false;
    }
    (void)hkb_stream_policy_unref(it->self, &it->policy->is);
    it->policy = NULL;
    return true;
}

static bool take_answer(ws *it, size_t head_bytes, const char *body, size_t body_bytes)
{
    hkb_stream_self *self = it->self;
    hkb_stream_conn *conn = it->conn;
    hkb_ws_refusal refusal;
    bool native = false, offered = it->dialect != HKB_WS_DIALECT_RUST;
    if (!hkb_ws_answer_check(it->head, head_bytes, body, body_bytes, it->accept, offered, &native,
                             &refusal)) {
        hkb_stream_finish(self, conn, HAKUBAN_ERR_REFUSED, refusal.reason);
        return false;
    }
    if (!native && it->dialect == HKB_WS_DIALECT_NATIVE) {
        hkb_stream_finish(self, conn, HAKUBAN_ERR_REFUSED,
                          "the other side does not speak " HKB_WS_PROTOCOL
                          ", and dialect=native wants that");
        return false;
    }
    (void)self->host->wake_at(self->host->host, conn, UINT64_MAX);
    if (!begin_frames(it, native)) {
        return false;
    }
    it->reading = true;
    self->host->opened(conn->carrier);
    it->reading = false;
    if (it->freed) {
        free_now(it);
        return false;
    }
    if (conn->ending) {
        shutdown_(self, conn);
    }
    return !conn->farewell && !conn->over;
}

static bool append_head(ws *it, const unsigned char *data, size_t bytes)
{
    const hakuban_alloc *alloc = it->self->host->alloc;
    if (it->head_bytes + bytes > it->head_capacity) {
        size_t capacity = it->head_capacity ? 2 * it->head_capacity : HEAD_BYTES_MIN;
        while (capacity < it->head_bytes + bytes) {
            capacity *= 2;
        }
        void *grown = it->head ? alloc->realloc(alloc->ctx, it->head, it->head_capacity, capacity)
                               : alloc->alloc(alloc->ctx, capacity);
        if (!grown) {
            return false;
        }
        it->head = grown;
        it->head_capacity = capacity;
    }
    memcpy(it->head + it->head_bytes, data, bytes);
    it->head_bytes += bytes;
    return true;
}

static void read_head(ws *it, const unsigned char *data, size_t bytes)
{
    size_t before = it->head_bytes, head_bytes = 0;
    /* One byte more than may be is enough to see that it is too much. */
    size_t room = HKB_WS_HEAD_BYTES_MAX + 1 - before, taken = bytes < room ? bytes : room;
    hkb_ws_refusal refusal;
    if (!append_head(it, data, taken)) {
        hkb_stream_finish(it->self, it->conn, HAKUBAN_ERR_NO_MEMORY, strerror(ENOMEM));
        return;
    }
    switch (hkb_ws_head_scan(&it->scan, it->head, it->head_bytes, &head_bytes, &refusal)) {
    case HKB_WS_MORE:
        return;
    case HKB_WS_REFUSED:
        if (it->server) {
            refuse_request(it, &refusal);
        } else {
            hkb_stream_finish(it->self, it->conn, HAKUBAN_ERR_PROTOCOL, refusal.reason);
        }
        return;
    case HKB_WS_COMPLETE:
        break;
    }
    size_t used = head_bytes - before;
    const unsigned char *behind = data + used;
    if (it->server ? accept_upgrade(it, head_bytes)
                   : take_answer(it, head_bytes, (const char *)behind, bytes - used)) {
        read_frames(it, behind, bytes - used);
    }
}

static void received(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes)
{
    ws *it = conn->state;
    (void)self;
    if (it->phase == UPGRADE) {
        read_head(it, data, bytes);
    } else {
        read_frames(it, data, bytes);
    }
}

const hkb_stream_layer hkb_ws_layer = {
    .begins = "GET ",
    .listen = listen_,
    .accepted = accepted,
    .dial = dial,
    .connected = connected,
    .received = received,
    .send = send_message,
    .shutdown = shutdown_,
    .late = late,
    .free = free_state,
};

static hakuban_status init(void *self_memory, const hakuban_transport_host *host)
{
    hkb_stream_self *self = self_memory;
    self->layer = &hkb_ws_layer;
    self->layered = true;
    return hkb_stream_init(self, host);
}

hakuban_status hkb_ws_check_url(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    hkb_ws_dialect dialect;
    hakuban_status status = hkb_stream_check_url(url, listening, reterr);
    if (status >= 0) {
        status = read_dialect(url, &dialect, reterr);
    }
    return status >= 0 && !listening ? check_request(url, reterr) : status;
}

const hakuban_transport_ops hakuban_transport_ws =
    HKB_STREAM_TABLE("ws", HAKUBAN_TRANSPORT_NAMES, init, hkb_ws_check_url);
