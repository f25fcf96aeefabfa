/* The peer that says what it likes: frames, hello, and what comes back. */
#define _GNU_SOURCE

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "wire/delta.h"

#define BUFFER_BYTES_MAX (1u << 30)

int64_t clock_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t bytes = 0;
    for (; value > 127; value >>= 7) {
        out[bytes++] = (uint8_t)(value | 128);
    }
    out[bytes++] = (uint8_t)value;
    return bytes;
}

/* How many bytes it has; 0: not all are there. */
static size_t take_varint(const uint8_t *in, size_t bytes, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < bytes && i < 10; i++) {
        *ret |= (uint64_t)(in[i] & 127) << (7 * i);
        if (in[i] < 128) {
            return i + 1;
        }
    }
    return 0;
}

void client_add(client *c, const void *payload, size_t bytes, const char *header, ...)
{
    char text[8192];
    uint8_t sizes[20];
    va_list arguments;
    va_start(arguments, header);
    int text_bytes = vsnprintf(text, sizeof(text), header, arguments);
    va_end(arguments);
    must(text_bytes >= 0 && (size_t)text_bytes < sizeof(text), "a header that is too long");
    uint8_t inner[10];
    size_t inner_bytes = put_varint(inner, (uint64_t)text_bytes);
    size_t outer_bytes = put_varint(sizes, inner_bytes + (size_t)text_bytes + bytes);
    bool good = hkb_buffer_append(&c->out, sizes, outer_bytes) >= 0 &&
                hkb_buffer_append(&c->out, inner, inner_bytes) >= 0 &&
                hkb_buffer_append(&c->out, text, (size_t)text_bytes) >= 0 &&
                (bytes == 0 || hkb_buffer_append(&c->out, payload, bytes) >= 0);
    must(good, "out of memory");
}

/* What there is to read; false: the connection has ended. */
static bool fill(client *c)
{
    static uint8_t bytes[1 << 16];
    for (;;) {
        ssize_t got = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got > 0) {
            must(hkb_buffer_append(&c->in, bytes, (size_t)got) >= 0, "out of memory");
        } else {
            c->ended = got == 0 || (errno != EAGAIN && errno != EINTR);
            return !c->ended;
        }
    }
}

/* The next frame's kind, and its first field if that is a number; 0: none is there. */
static unsigned next(client *c, unsigned *ret_field)
{
    uint64_t body, header;
    size_t at = take_varint(c->in.data, c->in.bytes, &body);
    if (!at || c->in.bytes - at < body) {
        return 0;
    }
    const uint8_t *begin = c->in.data + at;
    size_t skip = take_varint(begin, (size_t)body, &header);
    char text[256] = "";
    memcpy(text, begin + skip, hkb_min((size_t)header, sizeof(text) - 1));
    unsigned kind = 0, field = 0;
    if (sscanf(text, "[%u,%u", &kind, &field) < 2) {
        field = 0;
    }
    if (kind == 4) {
        (void)snprintf(c->reason, sizeof(c->reason), "%.150s", text);
    }
    if (kind != 1 && kind != 2 && text[0] == '[') {
        c->received += at + body;
    }
    size_t used = at + (size_t)body;
    memmove(c->in.data, c->in.data + used, c->in.bytes - used);
    c->in.bytes -= used;
    *ret_field = field;
    return text[0] == '{' ? SAY_ACK : kind; /* the hello is nothing that is waited for */
}

unsigned client_hear(client *c, unsigned wanted, int timeout_ms)
{
    int64_t end_us = clock_us() + (int64_t)timeout_ms * 1000;
    unsigned kind, field;
    for (;;) {
        while ((kind = next(c, &field))) {
            if (kind == wanted) {
                return field ? field : 1;
            }
        }
        if (c->received - c->acknowledged > 16384 && !c->ended) {
            c->acknowledged = c->received;
            client_add(c, NULL, 0, "[%d,%llu]", SAY_ACK, (unsigned long long)c->received);
            ssize_t sent = send(c->fd, c->out.data, c->out.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
            (void)sent;
            c->out.bytes = 0;
        }
        int64_t left_us = end_us - clock_us();
        struct pollfd one = {.fd = c->fd, .events = POLLIN};
        if (c->ended || left_us <= 0 || poll(&one, 1, (int)(left_us / 1000) + 1) < 0) {
            return 0;
        }
        if (one.revents && !fill(c)) {
            timeout_ms = 0;
        }
    }
}

bool client_flush(client *c, int timeout_ms, bool reads)
{
    int64_t end_us = clock_us() + (int64_t)timeout_ms * 1000;
    size_t sent = 0;
    while (sent < c->out.bytes && !c->ended) {
        struct pollfd one = {.fd = c->fd, .events = (short)(POLLOUT | (reads ? POLLIN : 0))};
        int64_t left_us = end_us - clock_us();
        if (left_us <= 0 || poll(&one, 1, (int)(left_us / 1000) + 1) < 0) {
            break;
        }
        if (one.revents & POLLIN) {
            (void)fill(c);
            c->in.bytes = c->in.bytes > (1u << 20) ? 0 : c->in.bytes;
        }
        ssize_t put =
            send(c->fd, c->out.data + sent, c->out.bytes - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += put > 0 ? (size_t)put : 0;
        c->ended = c->ended || (put < 0 && errno != EAGAIN && errno != EINTR);
    }
    bool whole = sent == c->out.bytes;
    c->out.bytes = 0;
    return whole && !c->ended;
}

void client_begin(client *c, unsigned port, const char *name, bool zstd, bool reads)
{
    *c = (client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    must(c->fd >= 0, "socket");
    hkb_buffer_init(&c->in, NULL, BUFFER_BYTES_MAX);
    hkb_buffer_init(&c->out, NULL, BUFFER_BYTES_MAX);
    int one = 1, small = 2048;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!reads) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    }
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        c->ended = true;
        return;
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    client_add(c, NULL, 0,
               "{\"hakuban\":1,\"name\":\"%s\",\"path\":[\"%08lx%08lx%08lx%08lx\"],"
               "\"serializers\":[\"json\"],\"compressors\":[\"%s\"],\"grace_ms\":2000,"
               "\"features\":[\"have\"]}",
               name, random() & 0xffffffff, random() & 0xffffffff, random() & 0xffffffff,
               random() & 0xffffffff, zstd ? "zstd" : "none");
    (void)client_flush(c, 2000, true);
    if (client_hear(c, SAY_ACK, 5000) == 0) {
        c->ended = true;
    }
}

void client_end(client *c)
{
    (void)close(c->fd);
    hkb_buffer_done(&c->in);
    hkb_buffer_done(&c->out);
}

hkb_buffer client_whole(const void *data, size_t bytes, bool packed)
{
    hkb_buffer payload;
    hkb_buffer_init(&payload, NULL, BUFFER_BYTES_MAX);
    uint32_t check = (uint32_t)hkb_hash64(data, bytes);
    uint8_t head[16] = {(uint8_t)check, (uint8_t)(check >> 8), (uint8_t)(check >> 16),
                        (uint8_t)(check >> 24), packed ? 5 : 4};
    size_t head_bytes = 5 + (packed ? put_varint(head + 5, bytes) : 0);
    bool good = hkb_buffer_append(&payload, head, head_bytes) >= 0;
    if (packed) {
        size_t room = ZSTD_compressBound(bytes);
        good = good && hkb_buffer_reserve(&payload, room) >= 0;
        payload.bytes += ZSTD_compress(payload.data + payload.bytes, room, data, bytes, 1);
    } else {
        good = good && hkb_buffer_append(&payload, data, bytes) >= 0;
    }
    must(good, "out of memory");
    return payload;
}
