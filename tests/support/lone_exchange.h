/* One exchange whose host is the test: memory is counted, the clock is the test's, peers are
 * strangers, and users have a queue each. For tests of single files of core/exchange. */
#ifndef TESTS_SUPPORT_LONE_EXCHANGE_H
#define TESTS_SUPPORT_LONE_EXCHANGE_H

#include <check.h>

#include "exchange/records.h"
#include "fail_alloc.h"
#include "stranger.h"

#define LONE_MS 1000000ull
#define LONE_S 1000000000ull

typedef struct lone_exchange {
    fail_alloc memory;
    hkb_registry registry;
    hkb_exchange_settings settings; /* a test may change them before lone_begin() */
    hkb_exchange *exchange;
    uint64_t now_ns;
    unsigned opened, moved, dropped, ended, caught_up; /* how often the exchange has said so */
    hakuban_error why;                                 /* of what was dropped, or ended, last */
} lone_exchange;

extern lone_exchange lone;

/* A checked fixture: there is no exchange yet; in the end all strangers and users have left it, and
 * nothing of them is kept. */
void lone_set_up(void);
void lone_tear_down(void);
hkb_exchange *lone_begin(void);
/* The exchange has the turns that are due. */
void lone_turn(void);
/* So much time passes, with the turns that the exchange wants. */
void lone_pass(uint64_t ns);

/* -- Users -- */

typedef struct lone_user {
    hakuban_queue *queue;
    hakuban_contract *contract;
    hakuban_sink *sink;  /* of the last SINK_OPEN, until SINK_CLOSE */
    hakuban_event event; /* the last one */
} lone_user;

/* tag: NULL for none. */
void lone_observe(lone_user *user, const char *object, const char *tag);
void lone_expose(lone_user *user, const char *object, const char *tag, uint32_t capacity);
void lone_observe_tag(lone_user *user, const char *tag);
void lone_expose_tag(lone_user *user, const char *tag, uint32_t capacity);
void lone_end(lone_user *user);
/* Takes the next event, and lets go of the one before. 0: there is none. */
int lone_next(lone_user *user);
/* The last event's state as text. */
const char *lone_text(const lone_user *user);
/* Sends through the user's sink. version 0: an automatic one. */
hakuban_status lone_send(const lone_user *user, const char *text, int64_t version);

/* The records; NULL: there is none. */
hkb_object *lone_object(const char *object, const char *tag);
hkb_tag *lone_tag(const char *tag);

/* New cases that have the fixture. */
TCase *lone_cases(void);
/* Runs the cases, of which NULL is the last. Returns main's result. */
int lone_run(const char *name, ...);

#endif
