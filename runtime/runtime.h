/* What the files of the runtime share: the public exchange around the core's, and the objects that
 * it carries bytes with.
 *
 * Everything below is guarded by hakuban_exchange.mutex unless it says otherwise. Transports are
 * called, and their upcalls come, on the driving thread with the mutex held. */
#ifndef HKB_RUNTIME_RUNTIME_H
#define HKB_RUNTIME_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>

#include <hakuban/connection.h>
#include <hakuban/contract.h>
#include <hakuban/exchange.h>
#include <hakuban/plugin/registry.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/url.h"
#include "exchange/exchange.h"
#include "plugin/registry.h"
#include "runtime/loop.h"
#include "runtime/places.h"
#include "runtime/pool.h"

#define HKB_RANDOM_WORDS                                                                           \
    32 /* 256 bytes: getrandom() gives as much at once, whole, uninterrupted                       \
        */

typedef struct hkb_timer {
    hkb_heap_node in_timers;               /* of the exchange; the rank is the time */
    hkb_heap *timers;                      /* NULL: it was never set */
    hkb_node due;                          /* in hakuban_exchange.due */
    void (*fire)(struct hkb_timer *timer); /* may be NULL: that the loop wakes up is enough */
} hkb_timer;

/* Work for the driving thread. */
typedef struct hkb_job {
    hkb_node node;
    void (*run)(struct hkb_job *job); /* the job may be gone afterwards */
    bool *done;                       /* set afterwards, for the thread that waits; or NULL */
} hkb_job;

struct hakuban_exchange {
    hakuban_drive drive;
    const hakuban_alloc *alloc;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* jobs, connections, carriers: what is waited for rarely */
    hkb_loop *loop;
    hkb_pool *pool; /* NULL: nothing was large so far */
    pthread_t thread, driver;
    bool has_thread, has_driver;
    bool turned;      /* a thread has turned the loop: until then no thread can be inside it */
    bool in_callback; /* of a user, on the driving thread */
    bool in_slot;     /* of a transport */
    bool stop;        /* the thread ends */
    bool closing, closed;
    hakuban_status cut_short; /* while closing: how the link upwards ended, unless in order */
    bool warned;              /* that a listener can be reached from elsewhere */
    bool unsettled;           /* the core was called: what follows is carried at once */
    bool more;                /* carrying stopped to let others have a turn */
    atomic_bool has_woken;    /* some of queues; not guarded by the mutex */
    unsigned handles;  /* of users: contracts, events, sinks, queues, connections, listeners */
    unsigned forks;    /* of this process when the exchange was made */
    uint64_t now_ns;   /* as of the last entry */
    int64_t wall_ns;   /* as of the last entry that may make a version */
    uint64_t armed_ns; /* the loop's alarm */
    hkb_exchange *core;
    hkb_registry registry;
    hkb_heap timers;       /* hkb_timer, by time */
    hkb_list jobs;         /* hkb_job */
    hkb_list queues;       /* hkb_queue_side: all */
    hkb_list ready_queues; /* hkb_queue_side: their waiting threads are to be told */
    hkb_list callbacks;    /* hkb_queue_side: with on_event and something in them */
    hkb_list transports;   /* hkb_transport */
    hkb_list carriers;     /* hakuban_carrier */
    hkb_list resuming;     /* hakuban_carrier: to be read from again */
    hkb_list ending;       /* hakuban_carrier: the conversation is over */
    hkb_list ending_now;   /* of these, the ones that this pass has not looked at yet */
    hkb_list due;          /* hkb_timer: of those that were due when this turn began */
    hkb_list dead;         /* hakuban_carrier: closed(), to be freed when the slot returns */
    hkb_list listeners;    /* hakuban_listener */
    hakuban_connection *connection;
    hkb_job close_job;
    size_t random_used;
    uint64_t random[HKB_RANDOM_WORDS];
};

/* -- api.c -- */

/* Takes the mutex and the time. Every entry is enter, calls, leave. */
void hkb_runtime_enter(hakuban_exchange *exchange);
/* The same where versions are made: only they need the wall clock. */
void hkb_runtime_enter_to_send(hakuban_exchange *exchange);
/* Settles; wakes the driving thread if it has to carry; tells queues; gives the mutex back. */
void hkb_runtime_leave(hakuban_exchange *exchange);
bool hkb_runtime_is_driver(const hakuban_exchange *exchange);
/* Whether this process got the exchange from its parent by fork(): then its thread is not there,
 * its mutex may be held for ever, and its descriptors are the parent's. Nothing of it is touched.
 */
bool hkb_runtime_is_inherited(const hakuban_exchange *exchange);
/* For bugs of ours: transports and the loop are touched on the driving thread only. */
#define HKB_ASSERT_DRIVER(exchange) HKB_ASSERT(hkb_runtime_is_driver(exchange))
/* One run of the loop with all that follows. The mutex is not held. */
void hkb_runtime_drive(hakuban_exchange *exchange, bool wait);
uint64_t hkb_runtime_clock_ns(void);
/* UINT64_MAX for a negative timeout. */
uint64_t hkb_runtime_until(uint64_t now_ns, int timeout_ms);
/* Whether a call that waits for something may go on with that: OK, ERR_TIMEOUT, ERR_WOULD_BLOCK. */
hakuban_status hkb_runtime_may_wait(const hakuban_exchange *exchange, bool in_time);
/* With the mutex held: waits until something happened, at most until when_ns: turns the loop on the
 * driving thread, else waits on cond. False: the time is over. */
bool hkb_runtime_wait(hakuban_exchange *exchange, pthread_cond_t *cond, uint64_t when_ns);
/* With the mutex held: runs the job here, on the driving thread and as long as there is none, or
 * hands it over; wait: until it is done. */
void hkb_runtime_job(hakuban_exchange *exchange, hkb_job *job, bool wait);
uint64_t hkb_runtime_random(hakuban_exchange *exchange);

void hkb_timer_set(hakuban_exchange *exchange, hkb_timer *timer, uint64_t when_ns);
static inline bool hkb_timer_is_set(const hkb_timer *timer)
{
    return hkb_heap_linked(&timer->in_timers) || hkb_node_linked(&timer->due);
}
/* 0: it is not set, or due. */
static inline uint64_t hkb_timer_when(const hkb_timer *timer)
{
    return hkb_heap_linked(&timer->in_timers) ? timer->in_timers.rank : 0;
}
static inline void hkb_timer_cancel(hkb_timer *timer)
{
    if (timer->timers) {
        hkb_heap_remove(timer->timers, &timer->in_timers);
    }
    hkb_list_remove(&timer->due);
}

/* -- memory.c -- */

/* The part of what this process may have in memory that an exchange may fill by default: three
 * quarters, so that there is room to act when it is reached. 0: nothing limits it. root: before the
 * paths of the control groups' files; "" but in tests. */
size_t hkb_memory_share(const char *root);

/* -- api_queue.c -- */

/* What a hakuban_queue has on this side. */
typedef struct hkb_queue_side {
    hkb_node node, ready, callback;
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    struct hkb_contract_side
        *contract; /* the one whose callback this queue is run through; or NULL */
    pthread_cond_t filled;
    unsigned users;    /* threads that are in here */
    bool doomed;       /* freed by its owner; the last user buries it */
    bool raised;       /* fd is readable */
    atomic_bool woken; /* by hakuban_queue_wake(), without the mutex; a waiter takes it back */
    int fd;            /* -1: it was never asked for */
} hkb_queue_side;

/* What a contract has on this side. */
typedef struct hkb_contract_side {
    hakuban_contract *contract;
    hakuban_event_fn on_event;
    void (*on_freed)(void *user);
    void *user;
    hakuban_queue *own;  /* freed with the contract; or NULL */
    unsigned events_out; /* taken from a queue and not yet done */
    bool ended;
} hkb_contract_side;

hakuban_status hkb_queue_side_new(hakuban_exchange *exchange, hkb_contract_side *contract,
                                  hakuban_queue **ret);
void hkb_queue_side_free(hkb_queue_side *side);
/* Wakes the threads whose queues hakuban_queue_wake() was called for. */
void hkb_queue_side_tell_woken(hakuban_exchange *exchange);
/* Events in 0.1 have this size: what they hold is needed by hakuban_event_done(). */
#define HKB_EVENT_BYTES_MIN HKB_SIZED_END(hakuban_event, internal)
void hkb_event_give(hakuban_event *ret, size_t ret_bytes, const hakuban_event *event);
/* host.queue_ready of the core. */
void hkb_queue_side_ready(void *ctx, hakuban_queue *queue);
/* Wakes waiting threads and sets the descriptors of queues that have events now. */
void hkb_queue_side_tell(hakuban_exchange *exchange);
/* The descriptor follows the queue after events have gone by themselves. */
void hkb_queue_side_refresh(hkb_queue_side *side);
/* Runs users' callbacks. The mutex is not held. */
void hkb_queue_side_run_callbacks(hakuban_exchange *exchange);

/* -- carry.c -- */

/* One transport in use, made when its scheme is first needed. */
typedef struct hkb_transport {
    hkb_node node;
    hakuban_exchange *exchange;
    const hkb_transport_entry *entry;
    void *self;
    hakuban_transport_host host;
    hkb_map wakers; /* of wake_at(), by owner */
} hkb_transport;

/* The connection that a transport knows as hakuban_carrier. */
struct hakuban_carrier {
    hkb_node node;   /* in carriers, then in dead */
    hkb_node ending; /* in ending */
    hkb_node resuming;
    hakuban_exchange *exchange;
    hkb_transport *transport;
    void *conn;
    hkb_peer *peer;                    /* NULL: before the core knows it, and after it has let go */
    hakuban_connection *connection;    /* the one that dialled; NULL: accepted, or let go by it */
    struct hakuban_listener *listener; /* the one that accepted it, until the core knows it */
    hakuban_carries carries;
    hkb_timer deadline; /* to connect, to linger */
    char address[64];   /* of an accepted peer, in words */
    char *principal;    /* kind and name, each terminated; NULL: anonymous */
    size_t principal_bytes;
    bool opened, shut, gone;
    bool full;   /* the transport was told so, and waits for resume() */
    bool told;   /* accepted: why it ends was logged */
    bool doomed; /* to be closed whatever the core says */
};

hakuban_status hkb_transport_get(hakuban_exchange *exchange, const hakuban_url *url,
                                 hkb_transport **ret, hakuban_error *reterr);
void hkb_transport_free(hkb_transport *transport);
/* Its owner is about to go: nothing is to be called for it any more. */
void hkb_transport_forget(const hkb_transport *transport, const void *owner);
/* Around every call of a transport's slot. */
void hkb_slot_begin(hakuban_exchange *exchange);
void hkb_slot_end(hakuban_exchange *exchange);
hakuban_carrier *hkb_carrier_new(hkb_transport *transport);
/* Of a carrier that closed() never comes for. */
void hkb_carrier_free(hakuban_carrier *carrier);
/* Asks for its end at the next opportunity. */
void hkb_carrier_doom(hakuban_carrier *carrier);
/* What the other side has proven to be; "anonymous" and "" where nothing. */
const char *hkb_carrier_principal(const hakuban_carrier *carrier, const char **ret_name);
/* The same for a line of the log, behind what names the peer: " [cert hub.example]", or "". */
#define HKB_KNOWN_AS_BYTES 300
const char *hkb_carrier_known_as(const hakuban_carrier *carrier, char out[HKB_KNOWN_AS_BYTES]);
/* Closes at once; not inside a slot. */
void hkb_carrier_close(hakuban_carrier *carrier);
/* The transports' descriptors; called by the loop without the mutex. */
void hkb_carry_ready(void *ctx, void *transport, void *owner, unsigned events);
/* Settles the core, sends what is to be sent, ends what is over. On the driving thread. */
void hkb_carry(hakuban_exchange *exchange);
/* Hooks of the core. */
void hkb_carrier_opened(void *ctx, void *carrier, hkb_peer *peer);
void hkb_carrier_moved(void *ctx, void *carrier, hkb_peer *peer);
void hkb_carrier_dropped(void *ctx, void *carrier, const hakuban_error *why);
void hkb_carrier_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why);
void hkb_carrier_caught_up(void *ctx, void *carrier);

/* -- dialer.c -- */

struct hakuban_connection {
    hakuban_exchange *exchange;
    hakuban_url *url;
    hkb_link_settings settings;
    hakuban_contract *preload; /* what its URL asks for, or NULL; the core's only */
    hkb_transport *transport;
    hakuban_queue *queue; /* or NULL */
    hkb_connection_entry entry;
    hakuban_connection_state state;
    hakuban_error last_error;
    uint64_t tries;           /* rounds through all places since the last success */
    bool looks_up;            /* its host is a name that has to be looked up */
    hkb_places places;        /* what the name stands for; empty where there is none */
    hkb_lookup *lookup;       /* under way, or its answer waits for the next try; or NULL */
    bool waits;               /* for lookup; patience bounds that */
    size_t left;              /* places that this round has not tried yet, and the present one */
    hakuban_carrier *carrier; /* the present one, or NULL */
    hkb_timer retry, settled, patience;
    uint64_t backoff_ns;
    bool told;     /* why this try ended is known already */
    bool greeted;  /* the hello of the other side has come: the place is a good one */
    char peer[64]; /* the other side's name */
    hkb_job job;
    unsigned users; /* threads in hakuban_connection_wait() */
    bool doomed;    /* over and let go by its owner; the last user frees it */
};

void hkb_dialer_opened(hakuban_connection *connection, hkb_peer *peer);
/* The conversation is over, for a reason that may be the other side's; NULL: it said bye. */
void hkb_dialer_ended(hakuban_connection *connection, const hakuban_error *why);
/* The connection was found dead; the conversation may go on over another one. */
void hkb_dialer_away(hakuban_connection *connection, const hakuban_error *why);
/* Its carrier is gone. away: as above. */
void hkb_dialer_lost(hakuban_connection *connection, bool away, hakuban_status why,
                     const char *text);
/* Goes on where an answer of a name server was waited for. Not inside a slot. */
void hkb_dialer_turn(hakuban_exchange *exchange);
/* No more tries. */
void hkb_dialer_stop(hakuban_connection *connection);
void hkb_dialer_forget_queue(hakuban_exchange *exchange, const hakuban_queue *queue);

/* -- api_inspect.c -- */

/* With the mutex held. */
void hkb_link_inspect(const hkb_peer *peer, hakuban_link_info *ret);

/* -- listener.c -- */

#define HKB_LISTENER_URL_BYTES 512
/* A listener's trouble that was not met for this long is over: the next one is told again. */
#define HKB_TROUBLE_OVER_NS 60000000000ull

struct hakuban_listener {
    hkb_node node; /* in listeners, while it listens */
    hakuban_exchange *exchange;
    hkb_transport *transport;
    hkb_link_settings settings;
    void *memory; /* the transport's */
    char url[HKB_LISTENER_URL_BYTES];
    uint64_t troubled_ns; /* when trouble was met last; 0: never */
    hkb_job job;
};

void hkb_listener_stop(hakuban_listener *listener);
/* Whether there is a transport for a URL, and whether the URL can ever work with it; if not, says
 * so in words. */
hakuban_status hkb_url_check(const hakuban_exchange *exchange, const hakuban_url *url,
                             bool listening, hakuban_error *reterr);
/* Whether it is for the library to look its host up. The URL has passed the check. */
bool hkb_url_has_name(const hakuban_exchange *exchange, const hakuban_url *url);
/* By its scheme. */
bool hkb_url_is_encrypted(const hakuban_url *url);

#endif
