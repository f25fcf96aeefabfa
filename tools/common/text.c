/* Growing text and the pieces of JSON that the tools print. */
#define _GNU_SOURCE
#include "common/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void out_of_memory(void)
{
    static const char words[] = "out of memory\n";
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) > 0) {
        ssize_t written = write(STDERR_FILENO, words, sizeof(words) - 1);
        (void)written; /* the exit code tells as well */
    }
    _exit(1); /* what is done at exit may need memory */
}

void text_free(text *t)
{
    free(t->data);
    memset(t, 0, sizeof(*t));
}

void text_clear(text *t)
{
    t->bytes = 0;
    if (t->data) {
        t->data[0] = '\0';
    }
}

char *text_reserve(text *t, size_t bytes)
{
    if (bytes >= SIZE_MAX / 2 - t->bytes) {
        out_of_memory();
    }
    size_t needed = t->bytes + bytes + 1;
    if (needed > t->capacity) {
        size_t capacity = t->capacity < 256 ? 256 : t->capacity;
        while (capacity < needed) {
            capacity *= 2;
        }
        char *data = realloc(t->data, capacity);
        if (!data) {
            out_of_memory();
        }
        t->data = data;
        t->capacity = capacity;
    }
    return t->data + t->bytes;
}

void text_add(text *t, const void *data, size_t bytes)
{
    char *to = text_reserve(t, bytes);
    if (bytes > 0) {
        memcpy(to, data, bytes);
    }
    to[bytes] = '\0';
    t->bytes += bytes;
}

void text_add_string(text *t, const char *string)
{
    text_add(t, string, strlen(string));
}

void text_printf(text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(t, format, arguments);
    va_end(arguments);
}

void text_vprintf(text *t, const char *format, va_list arguments)
{
    char *made = NULL;
    int bytes = vasprintf(&made, format, arguments);
    if (bytes < 0) {
        out_of_memory();
    }
    text_add(t, made, (size_t)bytes);
    free(made);
}

void text_add_printable(text *t, const char *data, size_t bytes)
{
    char *to = text_reserve(t, bytes);
    size_t needed = hakuban_printable(to, bytes + 1, data, bytes);
    if (needed > bytes) {
        to = text_reserve(t, needed);
        (void)hakuban_printable(to, needed + 1, data, bytes);
    }
    t->bytes += needed;
}

void text_add_printable_lines(text *t, const char *data, size_t bytes)
{
    const char *end = data + bytes;
    while (data < end) {
        const char *stop = data;
        while (stop < end && *stop != '\n' && *stop != '\t') {
            stop++;
        }
        text_add_printable(t, data, (size_t)(stop - data));
        if (stop < end) {
            text_add(t, stop++, 1);
        }
        data = stop;
    }
}

/* The length of the UTF-8 sequence at data, or 0 where there is none. */
static size_t utf8_bytes(const unsigned char *data, size_t bytes)
{
    size_t length = 0;
    unsigned char low = 0x80,
                  high = 0xbf; /* of the second byte: overlong forms and surrogates are not UTF-8 */
    if (data[0] < 0x80) {
        return 1;
    } else if (data[0] >= 0xc2 && data[0] <= 0xdf) {
        length = 2;
    } else if (data[0] >= 0xe0 && data[0] <= 0xef) {
        length = 3;
        low = data[0] == 0xe0 ? 0xa0 : low;
        high = data[0] == 0xed ? 0x9f : high;
    } else if (data[0] >= 0xf0 && data[0] <= 0xf4) {
        length = 4;
        low = data[0] == 0xf0 ? 0x90 : low;
        high = data[0] == 0xf4 ? 0x8f : high;
    }
    if (length == 0 || length > bytes || data[1] < low || data[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

void text_add_json_string(text *t, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    text_add(t, "\"", 1);
    for (size_t i = 0; i < bytes;) {
        size_t length = utf8_bytes(from + i, bytes - i);
        if (length == 0) {
            text_add_string(t, "\\ufffd");
            length = 1;
        } else if (from[i] == '"' || from[i] == '\\') {
            text_printf(t, "\\%c", from[i]);
        } else {
            text_add_printable(t, (const char *)from + i, length);
        }
        i += length;
    }
    text_add(t, "\"", 1);
}

void text_add_compact_json(text *t, const char *json, size_t bytes)
{
    bool in_string = false;
    size_t begin = 0; /* of what is to be kept */
    for (size_t i = 0; i < bytes; i++) {
        char c = json[i];
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string) {
            i += c == '\\';
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            text_add_printable(t, json + begin, i - begin);
            begin = i + 1;
        }
    }
    text_add_printable(t, json + begin, bytes - begin);
}

void text_add_base64(text *t, const void *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = data;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        unsigned group = (unsigned)from[i] << 16 | (left > 1 ? (unsigned)from[i + 1] << 8 : 0) |
                         (left > 2 ? from[i + 2] : 0u);
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        text_add(t, four, sizeof(four));
    }
}

bool json_check(const char *data, size_t bytes, hakuban_error *reterr)
{
    hakuban_state *state = NULL;
    size_t length = bytes > 0 ? strlen(data) : 0;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status = hakuban_state_new_json(bytes > 0 ? data : "", &state, &error);
    hakuban_state_unref(state);
    if (status == HAKUBAN_ERR_NO_MEMORY) {
        out_of_memory();
    }
    if (status >= 0 && length != bytes) {
        error.line = 1;
        error.column = 1;
        for (size_t i = 0; i < length; i++) {
            error.column = data[i] == '\n' ? 1 : error.column + 1;
            error.line += data[i] == '\n';
        }
        snprintf(error.text, sizeof(error.text), "a zero byte");
        status = HAKUBAN_ERR_PARSE;
    }
    if (status < 0 && reterr) {
        *reterr = error;
    }
    return status >= 0;
}

int write_all(int fd, const void *data, size_t bytes, const volatile sig_atomic_t *stop)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t written = write(fd, from, bytes);
        if (written < 0 && errno == EAGAIN) {
            /* Another program made this descriptor non-blocking. */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
            written = 0;
        }
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        if (written < 0) {
            written = 0;
        }
        if (bytes > (size_t)written && *stop) {
            errno = EINTR;
            return -1;
        }
        from += written;
        bytes -= (size_t)written;
    }
    return 0;
}
