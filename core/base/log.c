/* Log lines on their way to the user's function. */
#include "base/log.h"

#include <stdio.h>

static const char *const kind_words[] = {
#define X(name, words) words,
    HKB_LOG_KINDS(X)
#undef X
};

static bool is_on(const hkb_logger *logger, hakuban_log_level level)
{
    return logger && logger->to.write && level <= logger->to.level && level != HAKUBAN_LOG_NONE;
}

static bool is_over(const hkb_logger *logger, uint64_t window_ns)
{
    return logger->now_ns - window_ns >= HKB_LOG_WINDOW_NS;
}

void hkb_log_tick(hkb_logger *logger)
{
    if (!is_over(logger, logger->window_ns)) {
        return;
    }
    for (size_t i = 0; i < HKB_LOG_KIND_COUNT; i++) {
        if (logger->left_out[i] > 0) {
            char text[128];
            (void)snprintf(text, sizeof(text), "%u more lines %s were left out",
                           (unsigned)logger->left_out[i], kind_words[i]);
            logger->to.write(logger->to.ctx, HAKUBAN_LOG_WARNING, "base", text);
        }
        logger->lines[i] = logger->left_out[i] = 0;
    }
    logger->any_left_out = false;
    logger->window_ns = logger->now_ns;
}

uint64_t hkb_log_deadline(const hkb_logger *logger)
{
    return logger->any_left_out ? logger->window_ns + HKB_LOG_WINDOW_NS : UINT64_MAX;
}

/* Whether the limits allow one more line. The line is counted in any case. */
static bool may_log(hkb_logger *logger, hkb_log_kind kind, hkb_log_quota *quota)
{
    if (kind == HKB_LOG_OWN) {
        return true;
    }
    hkb_log_tick(logger);
    if (quota && is_over(logger, quota->window_ns)) {
        *quota = (hkb_log_quota){.window_ns = logger->now_ns};
    }
    if (logger->lines[kind] >= HKB_LOG_KIND_LINES_MAX ||
        (quota && quota->lines >= HKB_LOG_PEER_LINES_MAX)) {
        logger->left_out[kind]++;
        logger->any_left_out = true;
        return false;
    }
    logger->lines[kind]++;
    if (quota) {
        quota->lines++;
    }
    return true;
}

void hkb_log(hkb_logger *logger, hkb_log_kind kind, hkb_log_quota *quota, hakuban_log_level level,
             const char *room, const char *format, ...)
{
    if (!is_on(logger, level) || !may_log(logger, kind, quota)) {
        return;
    }
    char text[512], line[sizeof(text)];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (bytes >= 0) {
        (void)hakuban_printable(line, sizeof(line), text, strlen(text));
        logger->to.write(logger->to.ctx, level, room, line);
    }
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
