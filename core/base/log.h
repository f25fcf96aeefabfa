/* Log lines on their way to the user's function. Each kind of line and each peer has a limit, so
 * that no peer can flood a log. Lines over a limit are left out and counted, and a later line tells
 * the count. Knows no clock, no file and no terminal. */
#ifndef HKB_BASE_LOG_H
#define HKB_BASE_LOG_H

#include "base/base.h"

#define HKB_LOG_WINDOW_NS 10000000000ull
/* Limits within one window: lines of one kind; lines of any kind that one peer causes. */
#define HKB_LOG_KIND_LINES_MAX 100u
#define HKB_LOG_PEER_LINES_MAX 10u

/* The kind's name, and the text that stands for lines of this kind when their count is told. */
#define HKB_LOG_KINDS(X)                                                                           \
    X(OWN, "of this program")                                                                      \
    X(ACCEPTED, "about connections that were accepted")                                            \
    X(CONNECTED, "about peers that connected")                                                     \
    X(ENDED, "about connections that ended")                                                       \
    X(UPSTREAM, "about the connection to the upstream")                                            \
    X(LISTENER, "about listeners")                                                                 \
    X(VERSION, "about versions that were used again")                                              \
    X(LIMIT, "about states over the limit of a peer")                                              \
    X(CHECK, "about differences that do not match their check")

/* HKB_LOG_OWN is for lines that no peer can cause; it has no limit. */
typedef enum hkb_log_kind {
#define X(name, words) HKB_LOG_##name,
    HKB_LOG_KINDS(X)
#undef X
        HKB_LOG_KIND_COUNT
} hkb_log_kind;

typedef struct hkb_logger {
    hakuban_log to;
    uint64_t now_ns, window_ns; /* the owner's clock; when the present window began */
    uint32_t lines[HKB_LOG_KIND_COUNT], left_out[HKB_LOG_KIND_COUNT];
    bool any_left_out;
} hkb_logger;

/* How much of its limit a peer has used. Zeroed at the beginning. */
typedef struct hkb_log_quota {
    uint64_t window_ns;
    uint32_t lines;
} hkb_log_quota;

/* Logs a line of at most 512 bytes, made printable by hakuban_printable(). It is formatted only if
 * its level is on and no limit is reached. logger: may be NULL. quota: that of the peer that caused
 * the line, or NULL. */
void hkb_log(hkb_logger *logger, hkb_log_kind kind, hkb_log_quota *quota, hakuban_log_level level,
             const char *room, const char *format, ...) HAKUBAN_PRINTF(6, 7);
/* After the time was set: logs how many lines a window that is over has left out. */
void hkb_log_tick(hkb_logger *logger);
/* When hkb_log_tick() is due; UINT64_MAX: never. */
uint64_t hkb_log_deadline(const hkb_logger *logger);

#endif
