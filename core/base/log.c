/* Lines of log on their way to the user's function. Knows no file and no terminal. */
#include "base/base.h"

#include <stdio.h>

void hkb_log(const hakuban_log *log, hakuban_log_level level, const char *room, const char *format,
             ...)
{
    if (!log || !log->write || level > log->level || level == HAKUBAN_LOG_NONE) {
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (bytes < 0) {
        return;
    }
    char line[sizeof(text)];
    (void)hakuban_printable(line, sizeof(line), text, strlen(text));
    log->write(log->ctx, level, room, line);
}

const char *hkb_escape(char *out, size_t out_bytes, const void *text, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = text;
    size_t used = 0;
    if (!out_bytes) {
        return out;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool plain = in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\';
        if (out_bytes - used <= (plain ? 1u : 4u)) {
            break;
        }
        if (plain) {
            out[used++] = (char)in[i];
        } else {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[in[i] >> 4];
            out[used++] = digits[in[i] & 15];
        }
    }
    out[used] = '\0';
    return out;
}
