/* An exchange without I/O, threads or clocks: objects, their exposers and observers, links to
 * peers.
 *
 * The host (runtime, simulator) sets the time with hkb_exchange_set_time() before each call, calls
 * hkb_exchange_settle() after it, then carries what is ready. One thread at a time. */
#ifndef HKB_EXCHANGE_EXCHANGE_H
#define HKB_EXCHANGE_EXCHANGE_H

#include <hakuban/contract.h>
#include <hakuban/exchange.h>
#include <hakuban/inspect.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "link/link.h"

typedef struct hkb_exchange hkb_exchange;
typedef struct hkb_peer hkb_peer; /* the exchange at the other end of a link */
typedef struct hkb_object hkb_object;
typedef struct hkb_tag hkb_tag;

/* A piece of work on one large state. It contains all that it needs: the thread that runs it does
 * not touch the exchange. */
typedef struct hkb_work {
    hkb_node node;                       /* the host's, until it gives the work back */
    size_t bytes;                        /* about how many bytes are processed */
    void (*run)(struct hkb_work *work);  /* on any thread, once */
    void (*done)(struct hkb_work *work); /* internal */
} hkb_work;

/* The host's functions. None of them may call the exchange. */
typedef struct hkb_host {
    void *ctx;
    uint64_t (*random)(void *ctx);
    /* A queue that was empty has events now, or its last contract has ended. */
    void (*queue_ready)(void *ctx, hakuban_queue *queue);
    /* The hello was accepted. */
    void (*opened)(void *ctx, void *carrier, hkb_peer *peer);
    /* A session has outlived its connection: its peer is now carried by carrier, and no more by its
     * old carrier. */
    void (*moved)(void *ctx, void *carrier, hkb_peer *peer);
    /* carrier carries no peer any more, for the reason why: the host closes its connection at once.
     */
    void (*dropped)(void *ctx, void *carrier, const hakuban_error *why);
    /* The conversation is over; the carrier stays until hkb_peer_is_over() is carried out. orderly:
     * one side said bye. carrier is NULL where an upstream was away and did not come back in time.
     */
    void (*ended)(void *ctx, void *carrier, bool orderly, const hakuban_error *why);
    /* The peer of carrier is not behind any more (hkb_peer_is_behind()): it may be read from.
     * Optional. */
    void (*caught_up)(void *ctx, void *carrier);
    /* Has work run somewhere, then gives it back by hkb_exchange_work_done(). false: not now; it is
     * run at once. Optional. */
    bool (*work)(void *ctx, hkb_work *work);
} hkb_host;

typedef struct hkb_exchange_settings {
    const hakuban_alloc *alloc;
    hakuban_log log;
    const hkb_registry *registry;
    hkb_host host;
    uint32_t turn_cost;    /* the work that one peer can cause in one turn, in cost units
                              (link/link.h). 0: the default */
    size_t bytes_max;      /* limit of all bytes that are kept; beyond it the peers with the largest
                              accounts are ended first. 0: no limit */
    size_t work_bytes_min; /* states of at least so many bytes are processed by host.work. 0: the
                              default */
    size_t link_bytes_max; /* limit of the bytes that one downstream makes this exchange keep. 0: no
                              limit */
    double rebalance_threshold;
    bool rebalances; /* moves objects from loaded exposers to others by itself */
} hkb_exchange_settings;

hakuban_status hkb_exchange_new(const hkb_exchange_settings *settings, uint64_t now_ns,
                                int64_t wall_ns, hkb_exchange **ret);
/* All peers, contracts and queues must be gone, and all work given back. */
hkb_exchange *hkb_exchange_free(hkb_exchange *exchange);
void hkb_exchange_set_time(hkb_exchange *exchange, uint64_t now_ns, int64_t wall_ns);
/* All log lines of the exchange and its host go through this logger. */
hkb_logger *hkb_exchange_logger(hkb_exchange *exchange);
/* Brings everything up to date after any call: choice of exposers, streams, registrations. */
void hkb_exchange_settle(hkb_exchange *exchange);
/* One turn: handles time limits that are due, and does a part of the work that waits. Call
 * hkb_exchange_settle() afterwards. */
void hkb_exchange_tick(hkb_exchange *exchange);
/* When hkb_exchange_tick() is due; UINT64_MAX: never. May be early, is never late. */
uint64_t hkb_exchange_deadline(const hkb_exchange *exchange);
/* Whether a tick that is due already gives peers that are behind their turn. */
bool hkb_exchange_has_turns(const hkb_exchange *exchange);
/* Work that was run, or that will not be run any more since the exchange is about to be freed. */
void hkb_exchange_work_done(hkb_exchange *exchange, hkb_work *work);
void hkb_exchange_count(const hkb_exchange *exchange, hakuban_exchange_stats *ret);
hakuban_status hkb_exchange_describe(hkb_exchange *exchange, hkb_buffer *out);

/* Whether a connection to an upstream is configured: until it first opens, nothing counts as
 * completely listed. */
void hkb_exchange_expect_upstream(hkb_exchange *exchange, bool expected);

/* Links. carrier is the host's own. A connector is refused with ERR_EXISTS while there is an
 * upstream, unless that is away: then it is the same peer that goes on, with its settings; and for
 * some turns after an upstream with very many objects has ended. */
hakuban_status hkb_exchange_attach(hkb_exchange *exchange, const hkb_link_settings *settings,
                                   bool connector, bool stream, void *carrier, hkb_peer **ret);
/* Takes received bytes. Messages that cost more than the peer's budget for this turn are kept, as
 * far as its window allows, and heard in later turns, in hkb_exchange_tick(). */
void hkb_peer_receive(hkb_peer *peer, const void *data, size_t bytes);
/* Whether bytes are kept for later: the host should not read more before host.caught_up. */
bool hkb_peer_is_behind(const hkb_peer *peer);
/* Whether one of the next ticks, which are due already, gives it its turn. */
bool hkb_peer_has_turn(const hkb_peer *peer);
/* The next peer that may have something to send and whose carrier is writable; NULL: none. Call
 * until NULL, pulling from each. */
hkb_peer *hkb_exchange_ready_peer(hkb_exchange *exchange);
bool hkb_exchange_has_ready(const hkb_exchange *exchange);
/* The next packet, in parts that are valid until the next call of hkb_exchange_ready_peer() or of
 * this function. bytes 0: there is nothing to send now. */
typedef struct hkb_packet {
    size_t bytes;
    unsigned part_count;
    hakuban_slice parts[HAKUBAN_SEND_PARTS_MAX];
} hkb_packet;
void hkb_peer_pull(hkb_peer *peer, hkb_packet *ret);
/* false: the carrier took the packet, but can take no more now; true: it can again. */
void hkb_peer_set_writable(hkb_peer *peer, bool writable);
/* Whether everything was pulled and the carrier should end writing, wait at most HKB_LINGER_NS for
 * the other side, and close. */
bool hkb_peer_is_over(const hkb_peer *peer);
/* Ends in order: sends the rest and BYE. Then hkb_peer_is_over() and host.ended follow. */
void hkb_peer_leave(hkb_peer *peer);
/* The connection is gone (or will be, whatever happens): the carrier must not use peer any more.
 * true: its session stays for a time of grace, and may be taken up again by another carrier. */
bool hkb_peer_lost(hkb_peer *peer, hakuban_status status, const char *text);
void *hkb_peer_carrier(const hkb_peer *peer);
const char *hkb_peer_name(const hkb_peer *peer);

/* Contracts; the public functions without locks. tag: canonical text; descriptor: a reference is
 * taken. */
typedef enum hkb_contract_kind {
    HKB_OBSERVE_OBJECT = 1,
    HKB_EXPOSE_OBJECT = 2,
    HKB_OBSERVE_TAG = 3,
    HKB_EXPOSE_TAG = 4,
    HKB_PRELOAD_TAG = 5, /* has no events; queue may be NULL */
} hkb_contract_kind;
hakuban_status hkb_contract_new(hkb_exchange *exchange, hkb_contract_kind kind,
                                hakuban_descriptor *descriptor, hakuban_slice tag,
                                uint32_t capacity, hakuban_queue *queue, void *user,
                                hakuban_contract **ret);
/* Ends the contract at once; its pending events vanish. The last hkb_contract_unref() frees it. */
void hkb_contract_end(hakuban_contract *contract);
void hkb_contract_ref(hakuban_contract *contract);
void hkb_contract_unref(hakuban_contract *contract);
hakuban_status hkb_contract_set_capacity(hakuban_contract *contract, uint32_t capacity);
hakuban_status hkb_contract_peek(hakuban_contract *contract, const hakuban_descriptor *object,
                                 hakuban_event *ret);
hkb_exchange *hkb_contract_exchange(const hakuban_contract *contract);
hakuban_queue *hkb_contract_queue(const hakuban_contract *contract);
const hakuban_descriptor *
hkb_contract_object(const hakuban_contract *contract);          /* NULL: of a tag */
const char *hkb_contract_tag(const hakuban_contract *contract); /* NULL: of an object */
void *hkb_contract_user(const hakuban_contract *contract);
/* A pointer for the host's own use. */
void **hkb_contract_host(hakuban_contract *contract);

/* Queues. Entries of the host's (connections) go through the same list. */
hakuban_status hkb_queue_new(hkb_exchange *exchange, hakuban_queue **ret);
void hkb_queue_free(hakuban_queue *queue);
/* Takes the next event; false: the queue is empty. ret->contract stays valid until
 * hkb_event_done(). */
bool hkb_queue_pop(hakuban_queue *queue, hakuban_event *ret);
bool hkb_queue_is_empty(const hakuban_queue *queue);
/* Drops the references that the event holds. */
void hkb_event_done(hakuban_event *event);
void **hkb_queue_host(hakuban_queue *queue);
hkb_exchange *hkb_queue_exchange(const hakuban_queue *queue);

/* An event of the host's own, at most once in a queue at a time; zeroed before use. */
typedef struct hkb_entry {
    hkb_node queued;
    uint8_t kind; /* internal */
} hkb_entry;
typedef struct hkb_connection_entry {
    hkb_entry entry;
    hakuban_connection *connection;
    void *user;
} hkb_connection_entry;
void hkb_queue_push_connection(hakuban_queue *queue, hkb_connection_entry *entry);
/* Takes it out of its queue, if it is in one. */
void hkb_entry_cancel(hkb_entry *entry);

/* Sinks; the public functions without locks. */
hakuban_status hkb_sink_send(hakuban_sink *sink, hakuban_state *state);
hkb_exchange *hkb_sink_exchange(const hakuban_sink *sink);
const hakuban_descriptor *hkb_sink_object(const hakuban_sink *sink);
const hkb_version *hkb_sink_last_version(const hakuban_sink *sink); /* count 0: none yet */
void hkb_sink_ref(hakuban_sink *sink);
void hkb_sink_unref(hakuban_sink *sink);

/* Inspection: the public functions without locks, told in records. These are good until the next
 * call that changes anything. room: as the public ones'. Each returns how many; 0: the walk has
 * ended. */
size_t hkb_inspect_links(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_peer **ret,
                         size_t room);
size_t hkb_inspect_objects(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_object **ret,
                           size_t room);
size_t hkb_inspect_object_links(const hkb_object *object, hakuban_cursor *cursor,
                                hakuban_object_link_info *ret, size_t room);
size_t hkb_inspect_tags(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_tag **ret,
                        size_t room);
size_t hkb_inspect_tag_links(const hkb_tag *tag, hakuban_cursor *cursor, hakuban_tag_link_info *ret,
                             size_t room);
size_t hkb_inspect_contracts(const hkb_exchange *exchange, hakuban_cursor *cursor,
                             hakuban_contract **ret, size_t room);
hkb_object *hkb_object_find(const hkb_exchange *exchange, const hakuban_descriptor *descriptor);
hkb_tag *hkb_tag_find(const hkb_exchange *exchange, hakuban_slice json); /* canonical */
hkb_peer *hkb_peer_find(const hkb_exchange *exchange, bool upstream, uint64_t number);
const hakuban_descriptor *hkb_object_descriptor(const hkb_object *object);
uint64_t hkb_peer_number(const hkb_peer *peer, bool *ret_upstream);
/* Fills in the public structs from the records. The carrier adds the address of a link. */
void hkb_peer_inspect(const hkb_peer *peer, hakuban_link_info *ret);
void hkb_object_inspect(const hkb_object *object, hakuban_object_info *ret);
hakuban_status hkb_tag_inspect(const hkb_tag *tag, hakuban_tag_info *ret);
hakuban_status hkb_contract_inspect(const hakuban_contract *contract, hakuban_contract_info *ret);

void *hkb_exchange_ctx(const hkb_exchange *exchange); /* host.ctx */
const hakuban_alloc *hkb_exchange_alloc(const hkb_exchange *exchange);

#endif
