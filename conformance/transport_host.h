/* A host for transports under test: waits with poll(2), records every upcall, and checks what a
 * host may rely on. It is as strict as the contract lets it be: a connection's memory is freed the
 * moment it may be. What is wrong inside of an upcall is kept and told when the plugin has
 * returned, so that nothing jumps over its frames. Knows no particular transport and no test
 * framework. */
#ifndef HKB_CONFORMANCE_TRANSPORT_HOST_H
#define HKB_CONFORMANCE_TRANSPORT_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hakuban/plugin/transport.h>

typedef struct thost thost;
typedef struct thost_watch {
    void *owner;
    int fd;
    unsigned events;
} thost_watch;
typedef struct thost_timer {
    void *owner;
    uint64_t when_ns;
} thost_timer;

/* One connection as a test sees it; lives until thost_done(), also when conn is gone. */
struct hakuban_carrier {
    thost *host;
    hakuban_carrier *next;
    void *conn;
    bool dialed, full;
    bool holds; /* full() says that it has enough */
    unsigned opened, writable, closed;
    hakuban_carries carries; /* 0: as the transport's flags say */
    hakuban_status why;
    char text[256], peer[96];
    unsigned char *data; /* all that was received */
    size_t bytes, capacity;
    size_t *lengths; /* of each piece as it arrived */
    size_t count, lengths_capacity;
    void (*on_received)(hakuban_carrier *carrier); /* what the test does inside an upcall */
    void (*on_opened)(hakuban_carrier *carrier);
    void (*on_writable)(hakuban_carrier *carrier);
};

struct thost {
    hakuban_transport_host table;
    hakuban_alloc alloc;
    const hakuban_transport_ops *ops;
    void *self;
    thost_watch watches[1024];
    size_t watch_count;
    thost_timer timers[1024];
    size_t timer_count;
    void *listeners[16];
    size_t listener_count;
    void *listening;        /* inside of its listen() */
    hakuban_carrier *links; /* newest first */
    size_t accepted_count, closed_count, freed_count, trouble_count;
    unsigned slots; /* the plugin's functions that are running, of those that may make upcalls */
    unsigned long ready_calls;
    bool refuse;       /* accepted() answers NULL */
    uint64_t skew_ns;  /* how far this host's clock is ahead */
    uint64_t fixed_ns; /* not 0: the clock stands still here */
    long fail_at; /* the how-manieth allocation, fd_set or wake_at fails from now on; 0: none */
    bool failed;
    size_t allocated_bytes;
    void (*on_accepted)(hakuban_carrier *carrier);
    hakuban_status (*url_parse)(const char *text, hakuban_url **ret, hakuban_error *reterr);
    void (*url_free)(hakuban_url *url);
    void (*fail)(void *ctx, const char *text); /* ends the test; does not return */
    void *fail_ctx;
    char broken[256]; /* the first promise that was not kept, for fail */
    bool over;        /* the test has failed: only the memory still counts */
};

hakuban_status thost_begin(thost *host, const hakuban_transport_ops *ops, void *param,
                           void (*fail)(void *ctx, const char *text), void *fail_ctx);
/* Closes what is open and checks that nothing is left: no memory, no descriptor, no timer. */
void thost_done(thost *host);

hakuban_status thost_listen(thost *host, const char *url, char ret_url[256], hakuban_error *reterr);
void thost_unlisten(thost *host, size_t index);
/* NULL: dial() failed with *ret_status. */
hakuban_carrier *thost_dial(thost *host, const char *url, hakuban_status *ret_status,
                            hakuban_error *reterr);
/* Sent as three parts. */
hakuban_status thost_send(hakuban_carrier *carrier, const void *data, size_t bytes);
void thost_shutdown(hakuban_carrier *carrier);
/* The carrier holds no longer. */
void thost_resume(hakuban_carrier *carrier);
void thost_close(hakuban_carrier *carrier);

uint64_t thost_now_ns(const thost *host);
/* Waits at most timeout_ms for something to do and does it; the number of ready() calls. */
unsigned thost_turn(thost *host, int timeout_ms);

/* Turns both hosts (b may be NULL) until condition holds, for ten seconds at most. */
#define THOST_UNTIL(a, b, condition)                                                               \
    do {                                                                                           \
        uint64_t until_ns = thost_deadline_ns();                                                   \
        while (!(condition)) {                                                                     \
            if (thost_is_past(until_ns))                                                           \
                thost_break((a), "waited in vain for: %s", #condition);                            \
            thost_turn_both((a), (b));                                                             \
        }                                                                                          \
    } while (0)
/* Until nothing is to be done any more, on both. */
void thost_settle(thost *a, thost *b);
/* Says that a promise was broken: at once, or inside of an upcall when the plugin has returned. */
void thost_break(thost *host, const char *format, ...) HAKUBAN_PRINTF(2, 3);
uint64_t thost_deadline_ns(void);
bool thost_is_past(uint64_t deadline_ns);
void thost_turn_both(thost *a, thost *b);

#endif
