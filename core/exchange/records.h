/* The records of an exchange, for the files of this room only. What follows from them is in the
 * other files, which stand above each other in the order of core/README.md.
 *
 * An object and what one peer has to do with it meet in a share; a tag and a peer in a tag share.
 * What a peer is to be told is never queued as messages: shares wait in the peer's queue and are
 * compared with what the peer was told when it can take more. */
#ifndef HKB_EXCHANGE_RECORDS_H
#define HKB_EXCHANGE_RECORDS_H

#include "base/heap.h"
#include "exchange/decide.h"
#include "exchange/exchange.h"
#include "model/descriptor.h"
#include "model/state.h"

#define HKB_TURN_COST 250u /* cost units of one peer in a turn */
#define HKB_TURN_PEERS 4u  /* of as many peers in one turn, where all of them have more to say */
#define HKB_SLICE_PER_UNIT                                                                         \
    2u /* registrations of ended links, or objects that are looked at again */
#define HKB_HANDOVER_NS 1000000000ull
/* The objects of a closed connection may move after this long, or after its grace. */
#define HKB_YIELD_NS 500000000ull
#define HKB_LISTS_NS 300000000ull     /* without a further stream */
#define HKB_REBALANCE_NS 100000000ull /* a tenth of all objects each time */
#define HKB_REBALANCE_PARTS 10
#define HKB_DECLINE_NS 60000000000ull /* an unneeded decline is forgotten after this */
#define HKB_PROMISE_NS 1000000000ull
#define HKB_DECLINED_MAX 65536u
#define HKB_TICK_NS 50000000ull /* time limits are looked at no more often than this */
#define HKB_BASES_BYTES_MIN (64u * 1024)
/* Of states that were half received when their channel ended: one that is shorter is not worth it,
 * and together they take no more. */
#define HKB_PARTIAL_BYTES_MIN (128u * 1024)
#define HKB_PARTIALS_BYTES_MAX (64u * 1024 * 1024)
#define HKB_OUTGOING_BYTES_MAX (1024u * 1024) /* goes to a peer in parts before the next begins */
#define HKB_SHARES_WALKED 4u /* of an object; further ones are in a table as well */
#define HKB_SLOT_BYTES 16u   /* of an item in a table, on the average */
/* Of states and payloads together; below, handing work to another thread costs more than it. */
#define HKB_WORK_BYTES_MIN (256u * 1024)
#define HKB_WORKING_MAX 4u /* states of one peer that are made at a time */
#define HKB_DELTA_AGE_NS 200000000ull
#define HKB_WHOLE_KEPT_BYTES_MIN 1024u
#define HKB_DELTAS_MAX 65536u
#define HKB_DELTAS_BYTES_MAX (8u * 1024 * 1024)
/* The clock of the core is ahead of its host's by 146 years: what is older than the host's uptime
 * has its time as well. */
#define HKB_EPOCH_NS (1ull << 62)

typedef struct hkb_share hkb_share;
typedef struct hkb_tag_share hkb_tag_share;
typedef struct hkb_delivery hkb_delivery;

/* One entry of a peer's queue: what it is a member of says kind. */
typedef enum hkb_item_kind { HKB_ITEM_SHARE = 1, HKB_ITEM_TAG, HKB_ITEM_PEER } hkb_item_kind;
typedef struct hkb_item {
    hkb_node node;
    hkb_item_kind kind;
    uint32_t hash; /* in the map that has all items of the kind */
} hkb_item;

/* A payload made for one object's newest state; kept a short time so that other peers on the same
 * base get the same bytes. */
typedef struct hkb_delta {
    hkb_node aged;
    struct hkb_delta *next;
    hkb_object *object;
    hakuban_state *base; /* NULL: whole */
    const void *form;    /* of the links that it is for: their payload_form */
    hakuban_bytes *payload;
    uint64_t made_ns;
} hkb_delta;

typedef struct hkb_recall_pair {
    uint64_t name; /* of an object; 0: free */
    uint64_t value;
} hkb_recall_pair;
typedef struct hkb_recall_table {
    hkb_recall_pair *slots;
    size_t mask, count;
} hkb_recall_table;
enum { HKB_PAIRS_LIVE, HKB_PAIRS_OLD, HKB_PAIRS_SINKS, HKB_PAIRS_KINDS };

typedef struct hkb_recall {
    hkb_recall_table had, holds;       /* what a downstream has named: states, and sinks it held */
    hkb_buffer pairs[HKB_PAIRS_KINDS]; /* what an upstream is to be told */
    size_t said[HKB_PAIRS_KINDS];
    uint64_t since_ns;
} hkb_recall;

/* Objects that stay as they were with an upstream that does not know us any more. */
typedef struct hkb_held {
    hkb_list objects;
    uint64_t until_ns, since_ns; /* the grace's end; when the upstream was heard last */
} hkb_held;

/* Of one listener or upstream: its links have them in common. */
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

struct hkb_exchange {
    const hakuban_alloc *alloc;
    hkb_logger logger;
    hkb_host host;
    double rebalance_threshold;
    bool rebalances, upstream_expected, upstream_was_there;
    hkb_link_shared shared;
    hkb_delta_context *delta;
    uint64_t map_key[2], node[2];
    uint64_t now_ns; /* of the core's clock, as all times here */
    uint64_t turn;   /* goes up with time and with each tick: then peers have a new budget */
    int64_t turn_cost;
    int64_t wall_ns;
    hkb_map objects, tags, tag_shares;
    hkb_map shares;   /* of objects that have too many to be walked over, all but the first few */
    hkb_map sessions; /* downstreams by the token of their session */
    hkb_list contracts, peers, ready;
    hkb_list dirty;      /* objects whose choice or existence is to be looked at again */
    hkb_list dirty_tags; /* tags whose registration upwards is to be looked at again */
    hkb_list behind;     /* peers whose packets wait for their next turn */
    hkb_list passing;    /* downstreams with tags whose objects are to be looked at */
    hkb_list listings;   /* tag shares that get LISTED once all is settled */
    hkb_list ended;      /* peers whose link is over, to be taken out */
    hkb_list clearing;   /* of these, peers that have registrations left */
    size_t clear_left;   /* how many registrations may end in this turn */
    bool upstream_clears;
    hkb_walk walk;
    size_t walk_left;  /* how many objects may be looked at in it in this turn */
    hkb_list waiting;  /* objects in a hand-over, by deadline */
    hkb_list roomless; /* objects that wait until an exposer has room for them */
    hkb_list declined; /* objects that the upstream is not to choose this exchange for */
    hkb_list deltas;   /* by age */
    hkb_list partials; /* by age */
    size_t partial_bytes;
    hkb_held held[2]; /* since the last session that an upstream did not know any more, and since
                         the one before */
    size_t
        remembered_count; /* objects that are there although the upstream that had them is lost */
    hkb_recall_table had_live; /* while young: objects that were LIVE below */
    uint64_t born_ns, waits_until_ns;
    hkb_delta
        *delta_spare;     /* one, so that a state that passes through needs no allocation for it */
    size_t state_bytes;   /* data of all objects' states, older ones that are kept included */
    size_t charged_bytes; /* all accounts together: those of the peers, and the common one */
    size_t bytes_max, link_bytes_max;
    size_t work_bytes_min;
    size_t work_bytes;     /* what works keep at the moment */
    size_t released_bytes; /* of these, what is in no account any more */
    size_t delta_count, delta_bytes, balanced_count, roomless_count, declined_count;
    hkb_list settings;    /* hkb_common_settings, those that were used last first */
    hkb_list upstreams;   /* of peers; today there is one at most */
    uint64_t replaces[2]; /* token of the last session with an upstream that was lost; the other
                             side may still believe in it */
    bool has_replaces;
    size_t peer_count, contract_count;
    uint64_t link_numbers[2]; /* how many links there were: downstreams, upstreams */
    uint64_t contract_numbers;
    uint32_t object_numbers, tag_numbers;
    uint32_t registration_numbers; /* of downstreams that began to expose */
    hkb_chain packet;              /* the last one that was pulled */
    uint64_t tick_ns, rebalance_ns;
    uint64_t promises_ns; /* when what was promised lately is void; UINT64_MAX: nothing was */
    bool balance_due;   /* a load, a limit or an offer has changed since objects were moved last */
    hkb_list spreading; /* downstreams with objects that others may have less load for */
    hkb_list roomier;   /* downstreams, the last one that got more room at the end */
    uint64_t room_number; /* the last one's */
    hkb_list roomy;       /* downstreams that may have room for objects that wait for it */
    size_t roomless_left, declined_left; /* how many of these are to be looked at for them */
    bool waiting_due;    /* an exposer has gone: they are looked at, with room or without */
    size_t holder_count; /* downstreams that have named sinks which they had before a restart */
    uint64_t path[HKB_PATH_NODES_MAX][2]; /* this node first, then towards the root */
    size_t path_count;
    hakuban_exchange_stats stats;
};

/* What a downstream has registered for the tags of an object, put together. */
typedef struct hkb_interest {
    bool observes, exposes;
    bool can_serve; /* with a capacity above 0 */
} hkb_interest;

struct hkb_peer {
    hkb_link link;
    hkb_exchange *exchange;
    hkb_common_settings *settings;
    uint64_t number; /* of its direction, from 0; for inspection */
    void *carrier;
    hkb_node of_exchange, ready, behind;
    hkb_node ended;        /* in ended or clearing */
    uint64_t turn;         /* up to which its credit is counted */
    hkb_node of_upstreams; /* of an upstream */
    bool writable, orderly, told_ended, path_due, limit_due, memory_limit_due;
    bool detached; /* no carrier will say hkb_peer_lost(): it is freed with its end */
    bool yields;   /* away for long enough that another exposer may take what it serves */
    hkb_item item;
    hkb_list queue;
    hkb_list shares, tag_shares;
    hkb_node gathering; /* while an object's observers by tag are gathered */
    hkb_interest gathered;
    hkb_node passing; /* while there are passes: tag shares that go through their tag's objects */
    hkb_list passes;
    hkb_map in_channels, out_channels;
    uint32_t last_channel; /* the greatest number used so far, by the side that opens them */
    double load;           /* downstream: sum of the costs of the objects that it serves */
    size_t served_count;
    uint32_t capacity_max; /* downstream: the greatest that it has ever offered */
    hkb_list serves;       /* downstream: of the objects that it has those that others could have */
    size_t serves_count, spread_left; /* how many of them are to be looked at for others */
    hkb_node spreading, roomier, roomy;
    uint64_t room_number; /* in roomier */
    uint64_t room_ns;     /* the load limit gives room then, which was asked for; 0: it was not */
    double promised; /* downstream: of objects that the upstream was told lately that there is room
                        for them */
    hkb_load_limit *load_limit;
    uint64_t load_limit_ns;
    uint64_t lists_ns; /* an upstream that does not say LISTED is taken to have listed all by then;
                          0: nothing is awaited */
    size_t accounted_bytes; /* what this peer makes this exchange keep */
    size_t left_bytes;      /* of that: states that others have left behind; no fault of its own */
    size_t measured_bytes;  /* of that: the record and its buffers, when they were last measured */
    /* A downstream: what its objects make the upstream keep. An upstream: what all of them do, the
     * largest of the states that came since this was looked at, and how much it keeps at most, as
     * it says; 0: it does not. */
    size_t upward_bytes, upward_state_bytes, upward_bytes_max;
    size_t outgoing_bytes; /* payloads that go to it in parts; shared, in no account of a peer */
    hkb_list large;        /* shares whose states wait until less goes in parts */
    hkb_recall *recall;    /* what is named after a session was lost; or NULL */
    hkb_log_quota log_quota;
};

typedef enum hkb_channel_phase {
    HKB_CHANNEL_CLOSED = 0,
    HKB_CHANNEL_OPEN,
    HKB_CHANNEL_CLOSING, /* of a sink: CLOSE was said, and CLOSED not yet */
} hkb_channel_phase;

/* A state that comes in parts, or that is made by a work. */
typedef struct hkb_incoming {
    hkb_buffer payload;
    hkb_message head; /* its format is the one below */
    char format[HAKUBAN_FORMAT_BYTES_MAX + 1];
    /* Of a work. */
    bool is_made;
    bool passes; /* other peers can use the payload */
    void (*taken)(struct hkb_share *share, struct hkb_incoming *incoming);
    hkb_work work;
    hkb_exchange *exchange;
    hkb_share *share; /* NULL: its channel has ended meanwhile */
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
    unsigned users;       /* shares that wait for it, or have not said it yet */
    bool is_done;         /* the work is */
    bool is_held;         /* the payload is counted as one of those that links share */
    bool checks;          /* the state's check is computed, too */
    const void *form;     /* of the links that it is for: their payload_form */
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
    hkb_packing *packing; /* what it waits for; or NULL */
    hakuban_bytes *payload;
    size_t bytes; /* of peer.outgoing_bytes */
    size_t offset;
    bool skips;       /* the other side has what is before offset, which is to be said */
    bool heard_begun; /* it has said what it has, which is looked at once */
    uint32_t state;   /* object's counter: which state it is */
    bool whole;       /* no difference */
} hkb_outgoing;

/* What came of a whole state's payload before. */
typedef struct hkb_partial {
    hkb_node aged;
    hkb_object *object;
    hkb_buffer payload;
} hkb_partial;

/* What the other side has of a whole state's payload, as it says. */
typedef struct hkb_begun {
    uint64_t bytes, hash;
} hkb_begun;

/* What the lower of two exchanges has registered with the upper one: a downstream here, or this one
 * with an upstream. */
typedef struct hkb_registration {
    uint32_t capacity;
    uint32_t number; /* of a downstream that exposes: the smaller, the older; 0: it does not */
    uint8_t observes : 1, exposes : 1;
    uint8_t declines : 1; /* of an object */
    uint8_t preloads : 1; /* of a tag */
} hkb_registration;

/* States from the peer: the stream of an upstream, the sink of a downstream. */
typedef struct hkb_inbound {
    uint32_t id; /* of the channel; 0: none */
    uint8_t phase : 2, source : 2, freshness : 2;
    uint8_t awaits_whole : 1; /* there is no base for a difference */
    uint8_t floor_due : 1;    /* FLOOR, RESEND and BEGUN are to be said */
    uint8_t resend_due : 1, begun_due : 1;
    uint64_t stale_since_ns; /* when what the peer sent was current last */
    hakuban_state *base;     /* what it sent last */
    hkb_incoming *incoming;
    hkb_partial *partial; /* from before: the peer may go on behind it */
} hkb_inbound;

/* States to the peer: the sink that an upstream has opened, the stream of a downstream. */
typedef struct hkb_outbound {
    uint32_t id;
    uint32_t state, condition; /* the object's counters when the peer was last told */
    uint8_t phase : 2;
    uint8_t wanted : 1; /* the stream is to be open */
    hakuban_state *base;
    hkb_outgoing *outgoing;
    hkb_begun *begun; /* until the first state has begun */
} hkb_outbound;

/* There are more of these than of anything else: their size is what an object costs. */
struct hkb_share {
    hkb_peer *peer;
    hkb_object *object;
    hkb_node of_peer, of_object;
    hkb_item item;
    hkb_registration registered; /* on the object itself */
    uint8_t is_large : 1;        /* it waits in peer.large */
    uint8_t in_map : 1;          /* of exchange.shares: the object had many shares already */
    /* Of an upstream. */
    uint8_t declining : 1; /* no exposer here or below can take the object: to be registered */
    /* Of a downstream, by object or tag. */
    uint8_t observing : 1, exposing : 1;
    uint8_t observing_only : 1; /* it cannot serve itself */
    uint8_t can_serve : 1;      /* its capacity is above 0 */
    hkb_inbound in;
    hkb_outbound out;
};

/* The payload for the peer is being made. */
static inline bool hkb_share_is_packing(const hkb_share *share)
{
    const hkb_outgoing *outgoing = share->out.outgoing;
    return outgoing && outgoing->packing && !outgoing->packing->is_done;
}

/* A state from the peer is being made. */
static inline bool hkb_share_is_working(const hkb_share *share)
{
    return share->in.incoming && share->in.incoming->is_made;
}

/* In which of the exchange's lists an object waits for its time. */
typedef enum hkb_timed {
    HKB_UNTIMED = 0,
    HKB_WAITING,  /* for the end of a hand-over */
    HKB_ROOMLESS, /* for an exposer with room */
    HKB_BALANCED, /* for another downstream of less load */
    HKB_DECLINED, /* for a downstream with room, or to be forgotten */
} hkb_timed;

/* Where an object stands between its exposers; hkb_object_phase() tells. */
typedef enum hkb_assignment_phase {
    HKB_VACANT = 0,   /* no exposer */
    HKB_SERVED,       /* the states of the exposer are the object's */
    HKB_HANDING_OVER, /* until deadline_ns, the exposer before has not closed, or the exposer of now
                         has not said anything */
    HKB_HELD,         /* as it was when the upstream forgot the session, until the new one speaks of
                         the object, or the grace ends (exchange.held) */
} hkb_assignment_phase;

/* Which exposer's states are an object's. assignment.c is the only writer. */
typedef struct hkb_assignment {
    uint8_t to : 2;          /* hkb_exposer_kind */
    uint8_t unconfirmed : 1; /* LIVE, but the exposer of now has not said so yet */
    uint8_t held : 1;
    union {
        hakuban_contract *contract; /* LOCAL */
        hkb_share *share;           /* UPSTREAM, DOWNSTREAM */
    };
    hakuban_sink *sink; /* LOCAL, once it may open */
    hkb_share *leaving; /* the next sink waits until the one of this share has closed */
    double cost;        /* DOWNSTREAM: what its peer is charged */
} hkb_assignment;

typedef struct hkb_object_tag {
    hkb_node of_tag;
    hkb_tag *tag;
    hkb_object *object; /* NULL: the cursor of a tag share */
} hkb_object_tag;

struct hkb_object {
    uint32_t hash;
    uint32_t state_count;     /* goes up with each new state */
    uint32_t condition_count; /* goes up with each change of freshness, age or source */
    uint32_t local_observers, local_exposers;
    uint32_t out_channels;              /* shares with states to their peer */
    uint32_t observing, observing_only; /* downstream shares; those that cannot serve themselves */
    uint32_t observe_shares, expose_shares; /* downstream shares registered on the object itself */
    uint8_t exists : 1, freshness : 2, source : 2;
    uint8_t retry_due : 1; /* there was no memory for something: tried again after a while, not at
                              once */
    uint8_t timed_as : 3;
    uint8_t remembered : 1; /* it is there although the upstream that had it is lost */
    uint8_t pays_own : 1;   /* the payer has sent the newest state itself */
    uint8_t tag_count;
    uint32_t number; /* for inspection */
    hkb_exchange *exchange;
    hakuban_descriptor *descriptor;
    uint64_t capacity; /* local object contracts and downstream shares together */
    hkb_node dirty, timed, hold;
    uint64_t deadline_ns;
    hkb_list shares, deliveries, contracts;
    hkb_share *upstream; /* of the one that hkb_object_upstream_peer() tells */
    hakuban_state *state;
    hakuban_state *floor; /* no data; only while greater than state's version */
    uint64_t stale_since_ns;
    hkb_peer *payer; /* whose account has this record, and a state that is no peer's last one; it
                        has a share of the object. NULL: the common account */
    uint32_t state_charge;
    uint16_t record_charge; /* names have a limit: it is far below 64 KiB */
    uint16_t tag_bytes;     /* of that: records of tags that this object brought and pays for */
    hkb_list bases;         /* older states that shares stand on, newest first */
    size_t bases_bytes;
    hkb_delta *deltas;
    hkb_partial *partial;
    hkb_assignment assigned;
    uint64_t sink_id; /* by which the upstream knows the sink that it has opened here */
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
    uint32_t number; /* for inspection */
    uint64_t capacity;
    hkb_exchange *exchange;
    hkb_node dirty;
    hkb_list objects, contracts, shares;
    size_t object_count;
    hkb_tag_place *row; /* one for each tag share of a downstream */
    size_t row_count, row_capacity;
    hkb_heap offers;      /* tag shares of downstreams with room, by load */
    uint64_t room_number; /* up to which the order is right */
    const void *payer;    /* the object or tag share whose charge has this record; NULL: the common
                             account */
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
    hkb_tag_share *aside;  /* while it is out of it for a moment: the next such one */
    hkb_object_tag cursor; /* while passing: how far it is among the tag's objects */
    hkb_registration registered;
    uint8_t listed : 1;         /* upstream: the last LISTED that is to come was heard */
    uint8_t listed_wanted : 1;  /* downstream: waits for LISTED */
    uint8_t pass_again : 1;     /* when it has passed, since something changed meanwhile */
    uint8_t pass_refreshes : 1; /* more than the capacity has changed */
    uint32_t place;             /* of a downstream, in the tag's row */
    uint32_t listed_count;      /* of LISTED that the upper of the two exchanges still has to say */
};

typedef enum hkb_entry_kind {
    HKB_ENTRY_DELIVERY = 1,
    HKB_ENTRY_SINK,
    HKB_ENTRY_LISTED,
    HKB_ENTRY_COMPLETE,
    HKB_ENTRY_CONNECTION,
} hkb_entry_kind;

/* One object for one observe contract. */
struct hkb_delivery {
    hkb_entry entry;
    hakuban_contract *contract;
    hkb_object *object;
    hkb_node of_contract, of_object;
    uint32_t state, condition; /* object's counters when they were last delivered */
    bool open_told, closing;
    bool among_first; /* of a tag contract: it began before LISTED */
    bool awaited;     /* among the first, and its user was not told a first state yet */
};

struct hakuban_sink {
    hkb_entry entry;
    uint32_t references;
    uint32_t tie; /* of its automatic versions: a sink that numbers on from the same floor as an
                     earlier one still differs */
    bool open, open_told, floor_due, automatic;
    hkb_exchange *exchange;
    hakuban_contract *contract;
    hkb_object *object; /* NULL once revoked */
    hakuban_descriptor *descriptor;
    hkb_node of_contract;
    hkb_version last; /* what this sink sent last */
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
    hkb_node of_exchange, of_subject;
    hkb_list deliveries, sinks;
    hakuban_queue *queue;
    hkb_entry listed; /* LISTED, and later COMPLETE */
    void *user;
    void *host;
};

struct hakuban_queue {
    hkb_exchange *exchange;
    hkb_list entries;
    void *host;
};

#define HKB_UPSTREAMS_EACH(peer, exchange)                                                         \
    HKB_LIST_EACH(hkb_peer, peer, &(exchange)->upstreams, of_upstreams)

/* Each object that has the tag. A break ends nothing. */
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

/* When something began that is age_ns old. */
static inline uint64_t hkb_time_of_age(const hkb_exchange *exchange, uint64_t age_ns)
{
    return exchange->now_ns > age_ns ? exchange->now_ns - age_ns : 0;
}

#endif
