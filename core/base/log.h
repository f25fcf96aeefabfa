/* Log lines: one way out, with a limit for each kind of line and for each peer, so that nothing
 * that peers do floods a log. What is left out is counted, and the count is said. Knows no clock,
 * no file and no terminal. */
#ifndef HKB_BASE_LOG_H
#define HKB_BASE_LOG_H

#include "base/base.h"

#define HKB_LOG_WINDOW_NS 10000000000ull
/* In a window, of a kind; of one peer, whatever their kinds. */
#define HKB_LOG_KIND_LINES_MAX 100u
#define HKB_LOG_PEER_LINES_MAX 10u

/* Name, and words for the lines of that kind. */
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

/* HKB_LOG_OWN is for what no peer can cause: it has no limit. */
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

/* What a peer has used of its limit. Zeroed to begin with. */
typedef struct hkb_log_quota {
    uint64_t window_ns;
    uint32_t lines;
} hkb_log_quota;

/* A line, formatted only if its level is on and its limits are not reached; at most 512 bytes,
 * shown by hakuban_printable(). logger: or NULL. quota: of the peer that caused it, or NULL. */
void hkb_log(hkb_logger *logger, hkb_log_kind kind, hkb_log_quota *quota, hakuban_log_level level,
             const char *room, const char *format, ...) HAKUBAN_PRINTF(6, 7);
/* After the time was set: says what was left out in a window that is over. */
void hkb_log_tick(hkb_logger *logger);
/* When hkb_log_tick() is due; UINT64_MAX: never. */
uint64_t hkb_log_deadline(const hkb_logger *logger);

#endif
