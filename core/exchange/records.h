/* The records of an exchange, for the files of this room only. core/README.md lists the files that
 * work on them.
 *
 * A share is the record of one peer and one object; a tag share that of one peer and one tag.
 * Messages are never queued: shares wait in the peer's queue, and when its carrier can take more,
 * each share is compared with what the peer was told. */
#ifndef HKB_EXCHANGE_RECORDS_H
#define HKB_EXCHANGE_RECORDS_H

#include <stdatomic.h>

#include "base/heap.h"
#include "exchange/decide.h"
#include "exchange/exchange.h"
#include "model/descriptor.h"
#include "model/state.h"

#define HKB_TURN_COST 250u /* cost units of one peer in a turn */
#define HKB_TURN_PEERS 4u  /* how many peers can use their whole budget in one turn */
/* Registrations of ended links, or objects that are looked at again, for each cost unit. */
#define HKB_SLICE_PER_UNIT 2u
#define HKB_MARKED_MAX 64u /* objects of a tag that are marked at once */
/* Ending a peer that has less than this part of a limit of memory gains nothing. */
#define HKB_HOLDS_MOST_PART 64u
#define HKB_HANDOVER_NS 1000000000ull
/* The objects of a closed connection may move after this long, or after its grace. */
#define HKB_YIELD_NS 500000000ull
/* A tag counts as listed after this long without a further stream. */
#define HKB_LISTS_NS 300000000ull
#define HKB_REBALANCE_NS 100000000ull /* each time, a tenth of all objects may move */
#define HKB_REBALANCE_PARTS 10
#define HKB_DECLINE_NS 60000000000ull /* an unneeded decline is forgotten after this */
#define HKB_PROMISE_NS 1000000000ull
#define HKB_REGISTRATION_NUMBER_BITS 28
#define HKB_REGISTRATION_NUMBER_MAX ((1u << HKB_REGISTRATION_NUMBER_BITS) - 1)
#define HKB_DECLINED_MAX 65536u
#define HKB_TICK_NS 50000000ull /* time limits are looked at no more often than this */
#define HKB_BASES_BYTES_MIN (64u * 1024)
/* Partial states: a shorter one is not kept; all together take no more than the maximum. */
#define HKB_PARTIAL_BYTES_MIN (128u * 1024)
#define HKB_PARTIALS_BYTES_MAX (64u * 1024 * 1024)
/* How many bytes go to a peer in parts before the next state begins. */
#define HKB_OUTGOING_BYTES_MAX (1024u * 1024)
/* Shares of an object that are found without a table; objects with more use one. */
#define HKB_SHARES_WALKED 4u
#define HKB_SLOT_BYTES 16u /* the memory of a slot in a table, on average */
/* Size of states and payloads together; smaller work is faster without another thread. */
#define HKB_WORK_BYTES_MIN (256u * 1024)
#define HKB_WORKING_MAX 4u /* states of one peer that are made at the same time */
#define HKB_DELTA_AGE_NS 200000000ull
#define HKB_WHOLE_KEPT_BYTES_MIN 1024u
#define HKB_DELTAS_MAX 65536u
#define HKB_DELTAS_BYTES_MAX (8u * 1024 * 1024)
/* The core's clock is 146 years ahead of its host's, so that times before the host was started are
 * not negative. */
#define HKB_EPOCH_NS (1ull << 62)

typedef struct hkb_share hkb_share;
typedef struct hkb_tag_share hkb_tag_share;
typedef struct hkb_delivery hkb_delivery;

/* An entry of a peer's queue. kind tells the struct that contains it. */
typedef enum hkb_item_kind { HKB_ITEM_SHARE = 1, HKB_ITEM_TAG, HKB_ITEM_PEER } hkb_item_kind;
typedef struct hkb_item {
    hkb_node node;
    uint32_t hash;        /* in the map that has all items of the kind */
    uint8_t kind;         /* hkb_item_kind */
    uint8_t is_large : 1; /* a share that waits in peer.large */
    uint8_t in_map : 1;   /* a share in exchange.shares: the object had many shares already */
} hkb_item;

/* A payload made for one object's newest state; kept a short time so that other peers on the same
 * base get the same bytes. */
typedef struct hkb_delta {
    hkb_node aged;
    struct hkb_delta *next;
    hkb_object *object;
    hakuban_state *base; /* NULL: whole */
    const void *form;    /* the payload_form of the links that it is for */
    hakuban_bytes *payload;
    uint64_t made_ns;
} hkb_delta;

typedef struct hkb_name {
    uint64_t name; /* of an object */
    uint64_t value;
    uint32_t hash;
} hkb_name;
/* Names are only added one by one, and freed all together. */
typedef struct hkb_names {
    hkb_map map;
    struct hkb_names_block *blocks; /* the last one first */
    size_t block_bytes;
} hkb_names;
enum { HKB_PAIRS_LIVE, HKB_PAIRS_OLD, HKB_PAIRS_SINKS, HKB_PAIRS_KINDS };

typedef struct hkb_recall {
    hkb_names had, holds; /* the states and the sinks that a downstream has named */
    /* For an upstream: the names that it is sent next, and how far the objects are named. */
    hkb_buffer pairs[HKB_PAIRS_KINDS];
    uint64_t place;
    bool goes_on;
    bool has_turn; /* and not: it goes on in the next turn */
    uint64_t since_ns;
} hkb_recall;

/* Objects that stay unchanged though the upstream has lost the session. */
typedef struct hkb_held {
    hkb_list objects;
    uint64_t until_ns, since_ns; /* the grace's end; when the upstream was heard last */
} hkb_held;

/* The settings of one listener or upstream, shared by its links. */
typedef struct hkb_common_settings {
    hkb_node of_exchange;
    size_t users;
    hkb_link_settings settings;
} hkb_common_settings;

/* Through all objects and then all tags. */
typedef struct hkb_walk {
    uint64_t objects, tags; /* places in the tables */
    bool goes_on, again;    /* again: when it has ended, since something changed meanwhile */
} hkb_walk;

typedef struct hkb_object_tag {
    hkb_node of_tag;
    struct hkb_tag *tag;
    struct hkb_object *object; /* NULL: a cursor, or the tag's divider */
} hkb_object_tag;

struct hkb_exchange {
    const hakuban_alloc *alloc;
    hkb_logger logger;
    hkb_host host;
    double rebalance_threshold;
    bool rebalances, upstream_expected, upstream_was_there;
    bool limit_passed; /* downstreams were told a memory limit that follows from an upstream's */
    hkb_link_shared shared;
    hkb_delta_context *delta;
    uint64_t map_key[2], node[2];
    uint64_t now_ns; /* of the core's clock, as all times here */
    /* Increased with the time and at each tick: peers get a new budget in each turn. */
    uint64_t turn;
    int64_t turn_cost;
    int64_t wall_ns;
    hkb_map objects, tags, tag_shares;
    hkb_map shares;   /* shares of objects that have many, without the first few */
    hkb_map sessions; /* downstreams by the token of their session */
    hkb_map links;    /* peers by number and direction */
    hkb_list contracts, peers, ready;
    hkb_list dirty;      /* marked objects: they will be settled */
    hkb_list dirty_tags; /* marked tags: they will be settled */
    hkb_list behind;     /* peers whose packets wait for their next turn */
    hkb_list passing;    /* downstreams with passes */
    hkb_list listings;   /* tag shares that get LISTED once all is settled */
    hkb_list ended;      /* peers whose link has ended, to be taken out */
    hkb_list clearing;   /* of these, peers that have registrations left */
    size_t clear_left;   /* how many registrations may end in this turn */
    bool upstream_clears;
    hkb_walk walk;
    size_t walk_left;  /* how many objects may be looked at in it, and in sweeps, in this turn */
    size_t names_left; /* how many may be named for an upstream in this turn */
    hkb_list sweeping; /* tags whose objects are looked at again, a few at a time */
    hkb_object_tag sweep_cursor; /* among the objects of the first of them */
    hkb_list waiting;            /* objects in a hand-over, by deadline */
    hkb_list roomless;           /* objects that wait until an exposer has room for them */
    hkb_list declined;           /* objects that this exchange has declined */
    hkb_list deltas;             /* by age */
    hkb_list partials;           /* by age */
    size_t partial_bytes;
    /* Since the last session that an upstream has lost, and since the one before. */
    hkb_held held[2];
    /* Objects that are there although the upstream that had them is lost. */
    size_t remembered_count;
    hkb_names had_live; /* while young: objects that were LIVE below */
    uint64_t born_ns, waits_until_ns;
    hkb_delta *delta_spare; /* one spare record, so that forwarding a state needs no allocation */
    size_t state_bytes;     /* data of all objects' states, older ones that are kept included */
    size_t charged_bytes;   /* all accounts together: those of the peers, and the common one */
    size_t bytes_max, link_bytes_max;
    size_t work_bytes_min;
    size_t work_bytes;          /* bytes that works keep at the moment */
    size_t released_bytes;      /* of these, bytes that are in no account any more */
    atomic_size_t thread_bytes; /* what works have allocated that are not done: any thread */
    size_t delta_count, delta_bytes, balanced_count, roomless_count, declined_count;
    hkb_list settings;    /* hkb_common_settings, those that were used last first */
    hkb_list upstreams;   /* of peers; today there is one at most */
    uint64_t replaces[2]; /* token of the last session with an upstream that was lost here; the
                             upstream may still keep it */
    bool has_replaces;
    size_t peer_count, contract_count;
    uint64_t link_numbers[2]; /* how many links there were: downstreams, upstreams */
    uint64_t contract_numbers;
    uint32_t object_numbers, tag_numbers;
    uint32_t registration_numbers; /* counts registrations of downstreams that began to expose */
    hkb_chain packet;              /* the last one that was pulled */
    uint64_t tick_ns, rebalance_ns;
    uint64_t promises_ns; /* when the promises end; UINT64_MAX: there are none */
    bool balance_due;   /* a load, a limit or an offer has changed since objects were moved last */
    hkb_list spreading; /* downstreams whose objects may move to others with less load */
    size_t spread_left; /* how many objects are still to be looked at before rebalance_ns */
    hkb_list roomier;   /* downstreams in the order in which they got more room */
    uint64_t room_number; /* the last one's */
    hkb_list roomy;       /* downstreams that may have room for objects that wait for it */
    /* How many of the waiting objects are still to be looked at. */
    size_t roomless_left, declined_left;
    bool waiting_due; /* an exposer has gone: the waiting objects are looked at even without room */
    size_t holder_count; /* downstreams that have named sinks which they had before a restart */
    uint64_t path[HKB_PATH_NODES_MAX][2]; /* this node first, then towards the root */
    size_t path_count;
    hakuban_exchange_stats stats;
};

/* The sum of a downstream's registrations of an object's tags. */
typedef struct hkb_interest {
    bool observes, exposes;
    bool can_serve; /* with a capacity above 0 */
} hkb_interest;

struct hkb_peer {
    hkb_link link;
    hkb_exchange *exchange;
    hkb_common_settings *settings;
    uint64_t number; /* counts the links of its direction from 0; for inspection */
    uint32_t number_hash;
    void *carrier;
    hkb_node of_exchange, ready, behind;
    hkb_node ended;        /* in ended or clearing */
    uint64_t turn;         /* the turn of its last budget */
    hkb_node of_upstreams; /* of an upstream */
    bool writable, orderly, told_ended, path_due, limit_due, memory_limit_due;
    bool detached; /* no carrier will say hkb_peer_lost(): it is freed with its end */
    bool yields;   /* away for long enough that another exposer may take what it serves */
    hkb_item item;
    hkb_list queue;
    hkb_list shares, tag_shares;
    size_t share_count;
    hkb_node gathering; /* while an object's observers by tag are gathered */
    hkb_interest gathered;
    hkb_node passing; /* while there are passes: tag shares that go through their tag's objects */
    hkb_list passes;
    size_t marks_left; /* how many of its shares are still to be looked at, before the passes */
    hkb_map in_channels, out_channels;
    uint32_t last_channel; /* the greatest number used so far, by the side that opens them */
    double load;           /* downstream: sum of the costs of the objects that it serves */
    size_t served_count;
    uint32_t capacity_max; /* downstream: the greatest capacity that it has ever offered */
    hkb_list serves;       /* downstream: objects that it serves and others could serve */
    size_t serves_count, spread_left; /* spread_left: how many of them are still to be looked at */
    hkb_node spreading, roomier, roomy;
    uint64_t room_number; /* in roomier */
    uint64_t room_ns; /* when the load limit gives the room that an object waits for; 0: no object
                         waits */
    double promised;  /* downstream: the cost of objects for which it has promised room to the
                         upstream */
    hkb_load_limit *load_limit;
    uint64_t load_limit_ns;
    uint64_t lists_ns; /* when an upstream that does not send LISTED counts as having listed all; 0:
                          no list is awaited */
    size_t accounted_bytes; /* the bytes that this peer makes this exchange keep */
    size_t left_bytes;     /* of these: states that other peers have left behind, which do not count
                              against its limit */
    size_t measured_bytes; /* of these: the record and its buffers, as last measured */
    /* A downstream: what its objects make the upstream keep. An upstream: what all of them do, the
     * largest of the states that came since this was looked at, and how much it keeps at most, as
     * it says; 0: it does not. */
    size_t upward_bytes, upward_state_bytes, upward_bytes_max;
    size_t outgoing_bytes; /* payloads on their way to it in parts; they are shared and in no peer's
                              account */
    hkb_list large;        /* shares whose states wait until less goes in parts */
    hkb_recall *recall;    /* names after a session was lost; or NULL */
    hkb_log_quota log_quota;
};

typedef enum hkb_channel_phase {
    HKB_CHANNEL_CLOSED = 0,
    HKB_CHANNEL_OPEN,
    HKB_CHANNEL_CLOSING, /* of a sink: CLOSE was sent, and CLOSED has not come yet */
} hkb_channel_phase;

/* What a share has only while a large state is on its way: the first member of each such record. */
typedef enum hkb_transfer_kind {
    HKB_TRANSFER_INCOMING,
    HKB_TRANSFER_PARTIAL,
    HKB_TRANSFER_OUTGOING,
    HKB_TRANSFER_BEGUN,
} hkb_transfer_kind;
typedef struct hkb_transfer {
    struct hkb_transfer *next;
    hkb_transfer_kind kind;
} hkb_transfer;

/* A state that comes in parts, or that is made by a work. */
typedef struct hkb_incoming {
    hkb_transfer transfer;
    hkb_buffer payload;
    hkb_message head; /* its format is the one below */
    char format[HAKUBAN_FORMAT_BYTES_MAX + 1];
    /* Of a state that a work makes: */
    bool is_made;
    bool passes; /* other peers can use the payload */
    void (*taken)(struct hkb_share *share, struct hkb_incoming *incoming);
    hkb_work work;
    hkb_exchange *exchange;
    hkb_share *share; /* NULL: the channel has ended meanwhile */
    const hkb_dialect *dialect;
    const hkb_compressor *compressor; /* NULL: none */
    hakuban_state *base;              /* NULL: the payload is whole */
    hakuban_state *state;
    uint8_t *data;         /* of state */
    hakuban_bytes *copy;   /* the payload for other peers, or NULL */
    hakuban_status status; /* what became of it */
    uint64_t begun_ns;
    size_t charged_bytes;
} hkb_incoming;

/* A payload that is made by a work. */
typedef struct hkb_packing {
    hkb_work work;
    hkb_exchange *exchange;
    hkb_object *object;   /* there as long as shares wait */
    unsigned users;       /* shares that wait for it, or have not sent it yet */
    bool is_done;         /* the work is done */
    bool is_held;         /* the payload is counted as one of those that links share */
    bool checks;          /* the state's check is computed, too */
    const void *form;     /* the payload_form of the links that it is for */
    uint32_t state_count; /* object's counter: which state it is */
    const hkb_dialect *dialect;
    const hkb_compressor *compressor; /* NULL: none */
    hakuban_state *base;              /* NULL: it will be whole */
    hakuban_state *state;
    uint64_t check;
    hakuban_bytes *payload;
    hakuban_status status; /* what became of it */
} hkb_packing;

/* A state that goes in parts, or waits for its payload. */
typedef struct hkb_outgoing {
    hkb_transfer transfer;
    hkb_packing *packing; /* what it waits for; or NULL */
    hakuban_bytes *payload;
    size_t bytes; /* of peer.outgoing_bytes */
    size_t offset;
    bool skips;       /* the other side has the bytes before offset: SKIP will be sent */
    bool heard_begun; /* a BEGUN was heard; further ones are ignored */
    uint32_t state;   /* object's counter: which state it is */
    bool whole;       /* the payload is a whole state */
} hkb_outgoing;

/* The part of a whole state's payload that arrived on an earlier channel. The peer of its share, if
 * it has one, may continue behind it. */
typedef struct hkb_partial {
    hkb_transfer transfer;
    hkb_node aged;
    hkb_object *object;
    hkb_buffer payload;
} hkb_partial;

/* The part of a whole state's payload that the other side has, according to its BEGUN; kept until
 * the first state has begun. */
typedef struct hkb_begun {
    hkb_transfer transfer;
    uint64_t bytes, hash;
} hkb_begun;

/* A registration of the lower of two exchanges with the upper one: of a downstream here, or of this
 * exchange with an upstream. */
typedef struct hkb_registration {
    uint32_t capacity;
    /* Of a downstream that exposes: a smaller number is older; 0: it does not expose. */
    uint32_t number : HKB_REGISTRATION_NUMBER_BITS;
    uint32_t observes : 1, exposes : 1;
    uint32_t declines : 1; /* of an object */
    uint32_t preloads : 1; /* of a tag */
} hkb_registration;

/* States from the peer: the stream of an upstream, the sink of a downstream. */
typedef struct hkb_inbound {
    uint32_t id; /* of the channel; 0: none */
    uint8_t phase : 2, source : 2, freshness : 2;
    uint8_t awaits_whole : 1; /* there is no base for a difference */
    uint8_t floor_due : 1;    /* FLOOR, RESEND and BEGUN will be sent */
    uint8_t resend_due : 1, begun_due : 1;
    /* Of a downstream, by object or tag: */
    uint8_t exposing : 1;
    uint8_t can_serve : 1;   /* its capacity is above 0 */
    uint64_t stale_since_ns; /* when the peer's state was last current */
    hakuban_state *base;     /* the state that the peer has sent last */
} hkb_inbound;

/* States to the peer: the sink that an upstream has opened, the stream of a downstream. */
typedef struct hkb_outbound {
    uint32_t id;
    uint32_t state, condition; /* the object's counters when the peer was last told */
    uint8_t phase : 2;
    uint8_t wanted : 1; /* the stream should be open */
    /* To an upstream. */
    uint8_t declining : 1; /* no exposer here or below can take the object: the registration will
                              say so */
    /* Of a downstream, by object or tag. */
    uint8_t observing : 1;
    uint8_t observing_only : 1; /* it observes and cannot serve itself */
    hakuban_state *base;
} hkb_outbound;

/* There are more shares than other records, so their size decides the memory of an object. */
struct hkb_share {
    hkb_peer *peer;
    hkb_object *object;
    hkb_node of_peer, of_object;
    hkb_item item;
    hkb_registration registered; /* on the object itself */
    hkb_inbound in;
    hkb_outbound out;
    hkb_transfer *transfers; /* one of each kind at most */
};

/* The one of the kind; NULL: there is none. */
static inline void *hkb_transfer_find(const hkb_share *share, hkb_transfer_kind kind)
{
    hkb_transfer *transfer = share->transfers;
    while (transfer && transfer->kind != kind) {
        transfer = transfer->next;
    }
    return transfer;
}

static inline hkb_incoming *hkb_share_incoming(const hkb_share *share)
{
    return hkb_transfer_find(share, HKB_TRANSFER_INCOMING);
}

static inline hkb_partial *hkb_share_partial(const hkb_share *share)
{
    return hkb_transfer_find(share, HKB_TRANSFER_PARTIAL);
}

static inline hkb_outgoing *hkb_share_outgoing(const hkb_share *share)
{
    return hkb_transfer_find(share, HKB_TRANSFER_OUTGOING);
}

static inline hkb_begun *hkb_share_begun(const hkb_share *share)
{
    return hkb_transfer_find(share, HKB_TRANSFER_BEGUN);
}

static inline void hkb_transfer_add(hkb_share *share, hkb_transfer *transfer,
                                    hkb_transfer_kind kind)
{
    transfer->kind = kind;
    transfer->next = share->transfers;
    share->transfers = transfer;
}

static inline void hkb_transfer_remove(hkb_share *share, hkb_transfer *transfer)
{
    hkb_transfer **place = &share->transfers;
    while (*place != transfer) {
        place = &(*place)->next;
    }
    *place = transfer->next;
}

/* The payload for the peer is being made. */
static inline bool hkb_share_is_packing(const hkb_share *share)
{
    const hkb_outgoing *outgoing = hkb_share_outgoing(share);
    return outgoing && outgoing->packing && !outgoing->packing->is_done;
}

/* A state from the peer is being made. */
static inline bool hkb_share_is_working(const hkb_share *share)
{
    const hkb_incoming *incoming = hkb_share_incoming(share);
    return incoming && incoming->is_made;
}

/* In which of the exchange's lists an object waits for its time. */
typedef enum hkb_timed {
    HKB_UNTIMED = 0,
    HKB_WAITING,  /* for the end of a hand-over */
    HKB_ROOMLESS, /* for an exposer with room */
    HKB_BALANCED, /* for another downstream of less load */
    HKB_DECLINED, /* for a downstream with room, or to be forgotten */
} hkb_timed;

/* The phase of an object's assignment; see hkb_object_phase(). */
typedef enum hkb_assignment_phase {
    HKB_VACANT = 0,   /* no exposer */
    HKB_SERVED,       /* the states of the exposer are the object's */
    HKB_HANDING_OVER, /* until deadline_ns: the old exposer has not closed, or the new one has not
                         confirmed the state */
    HKB_HELD, /* unchanged since the upstream has lost the session, until it sends a message about
                 the object, or the grace ends (exchange.held) */
} hkb_assignment_phase;

/* Which exposer's states are an object's. assignment.c is the only writer. */
typedef struct hkb_assignment {
    uint8_t to : 2;          /* hkb_exposer_kind */
    uint8_t unconfirmed : 1; /* the object is shown LIVE, and its new exposer has not confirmed that
                                yet */
    uint8_t held : 1;
    union {
        hakuban_contract *contract; /* LOCAL */
        hkb_share *share;           /* UPSTREAM, DOWNSTREAM */
    };
    union {
        hakuban_sink *sink; /* LOCAL: the open sink; see hkb_object_sink() */
        double cost;        /* DOWNSTREAM: the load that is charged to its peer */
    };
    hkb_share *leaving; /* the next sink waits until the one of this share has closed */
} hkb_assignment;

/* What contracts here are to an object: of an object that they know. */
typedef struct hkb_local {
    uint32_t observers, exposers; /* contracts of the object itself */
    hkb_list deliveries, contracts;
} hkb_local;

struct hkb_object {
    uint32_t hash;
    uint32_t state_count;               /* increased with each new state */
    uint32_t condition_count;           /* increased with each change of freshness, age or source */
    uint32_t out_channels;              /* shares with states to their peer */
    uint32_t observing, observing_only; /* downstream shares; those that cannot serve themselves */
    uint32_t observe_shares, expose_shares; /* downstream shares registered on the object itself */
    uint8_t exists : 1, freshness : 2, source : 2;
    uint8_t retry_due : 1;   /* there was no memory for a step: it is tried again after a while */
    uint8_t has_partial : 1; /* in exchange.partials */
    uint8_t timed_as : 3;
    uint8_t remembered : 1; /* it stays although the upstream that had it is lost */
    uint8_t pays_own : 1;   /* the payer has sent the newest state itself */
    uint8_t unserved : 1;   /* hkb_object_is_unserved(), when it was settled last */
    /* The newest state was forgotten for the memory that it took: none below the floor is shown
     * any more; the floor is still that state's version. */
    uint8_t forgotten : 1, forgotten_is_floor : 1;
    uint8_t tag_count;
    uint32_t number; /* for inspection */
    hkb_exchange *exchange;
    hakuban_descriptor *descriptor;
    uint64_t capacity; /* local object contracts and downstream shares together */
    hkb_node dirty, timed, hold;
    uint64_t deadline_ns;
    hkb_list shares;
    hkb_local *local;    /* hkb_no_local() until hkb_object_make_local() */
    hkb_share *upstream; /* of the one that hkb_object_upstream_peer() tells */
    hakuban_state *state;
    /* A state without data; only while its version is greater than that of state. */
    hakuban_state *floor;
    uint64_t stale_since_ns;
    /* The peer whose account has this record, and the newest state if it is no peer's last one; it
     * has a share of the object. NULL: the common account. */
    hkb_peer *payer;
    uint32_t state_charge;
    uint16_t record_charge; /* names have a limit: it is far below 64 KiB */
    uint16_t tag_bytes;     /* of this: the records of tags that are charged with this object */
    hkb_list bases;         /* older states that shares stand on, newest first */
    size_t bases_bytes;
    hkb_delta *deltas;
    hkb_assignment assigned;
    uint64_t sink_id; /* the id of the sink that the upstream has opened here */
    hkb_object_tag tags[];
};

/* A downstream in the row of a tag: walking the row reads little memory beside it. */
typedef struct hkb_tag_place {
    hkb_peer *peer;
    hkb_interest interest;
} hkb_tag_place;

struct hkb_tag {
    uint32_t hash;
    uint32_t local_observers, local_exposers, local_preloads;
    uint32_t observe_shares, expose_shares, preload_shares;
    uint32_t ending_shares; /* of links that have ended */
    uint32_t number;        /* for inspection */
    uint64_t capacity;
    hkb_exchange *exchange;
    hkb_node dirty, sweeping;
    hkb_list objects, contracts, shares;
    hkb_list unlisted; /* contracts that observe it and were not told LISTED yet */
    /* Unserved objects stand behind it, with others that have not been put before it yet. */
    hkb_object_tag divider;
    size_t object_count;
    size_t full_passes; /* how many are going on; a sweep is another */
    hkb_tag_place *row; /* one for each tag share of a downstream, observers first */
    size_t row_count, row_capacity;
    hkb_heap offers;      /* tag shares of downstreams with room, by load */
    uint64_t room_number; /* the heap is up to date with exchange.roomier up to this number */
    const void *payer;    /* the object or tag share whose charge has this record; NULL: the common
                             account */
    bool sweep_again;     /* another sweep follows, since something has changed meanwhile */
    uint16_t json_bytes;
    char json[]; /* canonical, terminated */
};

struct hkb_tag_share {
    hkb_peer *peer;
    hkb_tag *tag;
    hkb_node of_peer, of_tag, listing;
    hkb_item item;
    hkb_node passing;
    hkb_heap_node offer;   /* downstream: in the tag's order */
    hkb_tag_share *aside;  /* the next tag share that is taken out of the heap for a moment */
    hkb_object_tag cursor; /* during a pass: its place among the tag's objects */
    size_t own_left;       /* the pass visits so many of the peer's shares before these */
    hkb_registration registered;
    uint8_t listed : 1;        /* upstream: the last awaited LISTED was heard */
    uint8_t listed_wanted : 1; /* downstream: waits for LISTED */
    uint8_t pass_again : 1; /* another pass follows, since the registration has changed meanwhile */
    uint8_t pass_refreshes : 1; /* more than the capacity has changed */
    uint8_t pass_is_full : 1;   /* through all objects of the tag */
    uint8_t ending : 1; /* the link has ended: nothing is registered, but the upstream is not told
                           before the link's objects have been looked at */
    uint32_t place;     /* of a downstream, in the tag's row */
    uint32_t listed_count; /* how many LISTEDs the upper of the two exchanges has still to send */
};

typedef enum hkb_entry_kind {
    HKB_ENTRY_DELIVERY = 1,
    HKB_ENTRY_SINK,
    HKB_ENTRY_LISTED,
    HKB_ENTRY_COMPLETE,
    HKB_ENTRY_CONNECTION,
} hkb_entry_kind;

/* The record of one object and one observe contract. */
struct hkb_delivery {
    hkb_entry entry;
    hakuban_contract *contract;
    hkb_object *object;
    hkb_node of_contract, of_object;
    uint32_t state, condition; /* object's counters when they were last delivered */
    bool open_told, closing;
    bool among_first; /* of a tag contract: it began before LISTED */
    bool awaited;     /* among the first, and the user has not taken its first state yet */
};

struct hakuban_sink {
    hkb_entry entry;
    uint32_t references;
    uint32_t tie; /* the random element of its automatic versions: two sinks with the same floor
                     still make different versions */
    bool open, open_told, floor_due, automatic;
    hkb_exchange *exchange;
    hakuban_contract *contract;
    hkb_object *object; /* NULL once revoked */
    hakuban_descriptor *descriptor;
    hkb_node of_contract;
    hkb_version last; /* the version of the last state that this sink sent */
};

struct hakuban_contract {
    hkb_exchange *exchange;
    hkb_contract_kind kind;
    uint32_t references;
    uint32_t capacity;
    bool ended, listed_told;
    bool listed_read, complete_told;
    size_t awaited_count; /* deliveries that COMPLETE waits for */
    uint64_t number;      /* grows along exchange.contracts; for inspection */
    hkb_object *object;
    hkb_tag *tag;
    hkb_node of_exchange, of_subject, of_queue, unlisted;
    hkb_list deliveries, sinks;
    hakuban_queue *queue;
    hkb_entry listed; /* LISTED, and later COMPLETE */
    void *user;
    void *host;
};

struct hakuban_queue {
    hkb_exchange *exchange;
    hkb_list entries;
    hkb_list contracts; /* whose events it takes */
    void *host;
};

#define HKB_UPSTREAMS_EACH(peer, exchange)                                                         \
    HKB_LIST_EACH(hkb_peer, peer, &(exchange)->upstreams, of_upstreams)

/* For each object that has the tag. Two nested loops: break does not end both. */
#define HKB_TAG_OBJECTS_EACH(object, tag)                                                          \
    HKB_LIST_EACH(hkb_object_tag, place_of_##object, &(tag)->objects, of_tag)                      \
    for (hkb_object *object = place_of_##object->object; object; object = NULL)

static inline hkb_peer *hkb_peer_of(hkb_link *link)
{
    return HKB_CONTAINER(link, hkb_peer, link);
}

/* Whether the connection is lost, and the session waits for another. */
static inline bool hkb_peer_is_away(const hkb_peer *peer)
{
    return peer->detached || peer->link.returning;
}

static inline bool hkb_contract_observes(const hakuban_contract *contract)
{
    return contract->kind == HKB_OBSERVE_OBJECT || contract->kind == HKB_OBSERVE_TAG;
}

/* The time age_ns ago. */
static inline uint64_t hkb_time_of_age(const hkb_exchange *exchange, uint64_t age_ns)
{
    return exchange->now_ns > age_ns ? exchange->now_ns - age_ns : 0;
}

#endif
