/* The conversation of two exchanges over one connection, sans I/O: bytes in, packets out, time as
 * an argument.
 *
 * A link knows frames, the hello, acknowledgements and the window, keep-alive, orderly and
 * disorderly ends. It knows no object table: what to say next and what a message means is its
 * owner's, told through hkb_link_events. */
#ifndef HKB_LINK_LINK_H
#define HKB_LINK_LINK_H

#include "base/chain.h"
#include "link/hello.h"
#include "link/rust_link.h"
#include "plugin/registry.h"
#include "wire/delta.h"
#include "wire/native.h"
#include "wire/rust.h"

#define HKB_WINDOW_BYTES_DEFAULT (256u * 1024)
#define HKB_WINDOW_BYTES_MIN (16u * 1024)
#define HKB_WINDOW_BYTES_MAX (64u * 1024 * 1024)
/* A packet is closed when it has grown past this. With the frame that takes it there, and last
 * words, it is one message of a transport. */
#define HKB_PACKET_BYTES (40u * 1024)
#define HKB_KEEP_ALIVE_NS_DEFAULT (20ull * 1000000000)
#define HKB_GRACE_NS_DEFAULT (2ull * 1000000000)
#define HKB_PRELOAD_BYTES_MAX 255
#define HKB_HELLO_TIMEOUT_NS (5ull * 1000000000)
#define HKB_LINGER_NS (2ull * 1000000000)
#define HKB_ACK_NS                                                                                 \
    (200ull * 1000000) /* what was received is acknowledged after this long, even if it is little  \
                        */

/* A payload of at least so many bytes is said by reference: the packet, the session's log and all
 * other links share it. Copying a smaller one costs less. */
#define HKB_SHARED_BYTES_MIN 1024u
/* In one packet; further ones are copied into it. */
#define HKB_PACKET_SHARED_MAX ((HAKUBAN_SEND_PARTS_MAX - 1) / 2)
/* A cost unit is about a microsecond of work: one message, one KiB of a state that is made, one
 * share or entry that is walked over. */
#define HKB_COST_KIB 1024u
/* Packets that wait for their peer's next turn take this much beyond the window. */
#define HKB_INPUT_BYTES_SPARE (1024u * 1024)

typedef struct hkb_link hkb_link;

/* What the user asked for in the URL's parameters, or the defaults. */
typedef struct hkb_link_settings {
    char name[HKB_NAME_BYTES_MAX + 1];
    uint64_t keep_alive_ns; /* I say something at least this often */
    uint64_t timeout_ns;    /* I cut after this long without a byte; 0: 2.5 times what the peer says
                               its keep-alive is */
    uint64_t grace_ns;
    uint64_t window_bytes;
    uint64_t state_bytes_max;
    char serializer[HKB_OFFER_NAME_BYTES_MAX +
                    1]; /* ""; any; else the only one offered or accepted */
    char compressor[HKB_OFFER_NAME_BYTES_MAX + 1];
    hkb_load_limit load_limit;               /* connector only */
    uint32_t features;                       /* what of it is spoken */
    char preload[HKB_PRELOAD_BYTES_MAX + 1]; /* connector only; "": none. A tag as it was written */
    bool keep_alive_given;                   /* keep_alive_ns is not the default */
    bool rust; /* the other side is a Rust implementation: set by whoever knows what the connection
                  carries */
} hkb_link_settings;

/* Reads the parameters; every unknown key and bad value is ERR_URL in words. registry: to refuse
 * names that are not there. */
hakuban_status hkb_link_settings_read(const hakuban_url *url, const hkb_registry *registry,
                                      hkb_link_settings *ret, hakuban_error *reterr);

/* What a channel is used for, as the owner knows it. */
typedef enum hkb_channel_use {
    HKB_CHANNEL_UNUSED = 0, /* never opened, or closed */
    HKB_CHANNEL_FROM_PEER,  /* states come on it */
    HKB_CHANNEL_TO_PEER,
} hkb_channel_use;

/* The owner's side. All are made from inside hkb_link_receive(), hkb_link_pull() and
 * hkb_link_tick(). */
typedef struct hkb_link_events {
    /* The connector's hello is about to be said: fill in the path and what else the owner knows. */
    hakuban_status (*offer)(hkb_link *link, hkb_hello *hello);
    /* The other side's hello. connector: check it. listener: fill in *answer further or refuse. */
    hakuban_status (*hello)(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                            hakuban_error *reterr);
    void (*opened)(hkb_link *link);
    /* One message; takes over message->descriptor. A failure ends the link with its words. What the
     * message costs beyond being read, the owner takes off the link's credit. */
    hakuban_status (*message)(hkb_link *link, hkb_message *message, hakuban_error *reterr);
    /* Whether message is not to be heard before some of the work is done that the link has. Asked
     * only of a session that outlives its connection; else all that follows waits. */
    bool (*waits)(hkb_link *link, const hkb_message *message);
    /* The version a STATE on channel is a difference to; as hkb_native_previous_fn. */
    bool (*previous)(hkb_link *link, uint32_t channel, hkb_version *ret);
    /* May say a few things with hkb_link_say(). false: there is nothing (more) to say now. */
    bool (*produce)(hkb_link *link);
    /* There may be something to pull now. */
    void (*wake)(hkb_link *link);
    /* The conversation is over, by whichever side; nothing is received or produced any more. Pull
     * goes on until the carrier was told. Once. orderly: the other side said bye, or I did. */
    void (*ended)(hkb_link *link, bool orderly, const hakuban_error *why);

    /* Sessions that outlive their connection. */
    /* listener: the link whose session has this token; NULL: none. */
    hkb_link *(*session)(hkb_link *link, const uint64_t token[2]);
    /* listener: link's connection carries session from now on; link is over, without ended(). */
    void (*moved)(hkb_link *session, hkb_link *link);
    /* The connection is of no use any more and is to be closed at once; the link is away, or has
     * ended. */
    void (*dropped)(hkb_link *link, const hakuban_error *why);
    /* The session goes on over a new connection; nothing was lost. */
    void (*resumed)(hkb_link *link);
    /* connector: the other side does not know the session any more: opened() follows, and what was
     * said so far counts for nothing. */
    void (*anew)(hkb_link *link);

    /* What a dialect that says less has to know. */
    /* Fills in before_flags and before_capacity: what the peer has registered on message's object
     * or tag. */
    void (*registered)(hkb_link *link, hkb_message *message);
    hkb_channel_use (*use_of)(hkb_link *link, uint32_t channel);
    /* connector: the channel that is open for what opened, a STREAM_OPEN or SINK_OPEN, is about; 0:
     * none. */
    uint32_t (*channel_of)(hkb_link *link, const hkb_message *opened);
} hkb_link_events;

/* A way to talk. What the conversation is made of is the dialect's; phases, time limits and ends
 * are the link's. */
typedef struct hkb_dialect {
    const char *name;
    /* What the other side does and knows. Of channels: */
    bool answers_close;       /* CLOSE of a sink by CLOSED */
    bool counts_channels;     /* each has a greater number than all before */
    bool names_sinks;         /* SINK_OPEN has an id */
    bool stream_needs_source; /* a stream is open only while its object has a source */
    bool stream_until_sink;   /* a stream may stay open until the sink that replaces it opens */
    /* Of states: */
    bool sends_parts;        /* a large one is several messages */
    bool checks_states;      /* each has a check, and says whether it is whole */
    bool state_is_condition; /* a STATE says the source as well; no CONDITION without a state */
    bool end_is_condition;   /* the end of a stream says that its state is not current */
    bool shows_hand_over;    /* a state in a hand-over is STALE */
    bool forgets_left_over;  /* a state that was left over when nobody needed the object */
    /* Of registrations: */
    bool serves_at_capacity_0; /* an exposer without room need not be served by another */
    bool says_listed;          /* LISTED ends the list of a tag's objects */
    void (*init)(hkb_link *link);
    void (*done)(hkb_link *link);
    /* Hears messages until the link's credit is used. Returns how many of the bytes it took. */
    size_t (*receive)(hkb_link *link, const uint8_t *data, size_t bytes);
    void (*say)(hkb_link *link, const hkb_message *message, const hkb_version *previous);
    void (*pull)(hkb_link *link);
    bool (*has_room)(const hkb_link *link);
    bool (*has_control)(const hkb_link *link);
    /* A state's payload: as hkb_delta_make(), hkb_delta_size() and hkb_delta_apply(). */
    hakuban_status (*make)(hkb_link *link, hkb_delta_context *context, hakuban_slice old,
                           hakuban_slice new_, hakuban_bytes **ret);
    hakuban_status (*size)(hakuban_slice payload, size_t old_bytes, size_t bytes_max,
                           size_t *ret_bytes, hakuban_error *reterr);
    hakuban_status (*apply)(hkb_delta_context *context, hkb_delta_compressor compressor,
                            hakuban_slice old, hakuban_slice payload, uint8_t *out,
                            size_t out_bytes);
} hkb_dialect;
extern const hkb_dialect hkb_dialect_native; /* link.c */
extern const hkb_dialect hkb_dialect_rust;   /* rust_link.c */

/* What all links of an exchange share. */
typedef struct hkb_link_shared {
    const hakuban_alloc *alloc;
    const hkb_registry *registry;
    const hkb_link_events *events;
    hkb_native native;
    hkb_rust rust;
    uint64_t wire_bytes_in, wire_bytes_out;
    size_t payload_bytes; /* that links hold by reference, each counted once */
} hkb_link_shared;

typedef enum hkb_link_phase {
    HKB_LINK_HELLO = 1, /* waiting for the other side's hello */
    HKB_LINK_OPEN = 2,
    HKB_LINK_LEAVING = 3, /* flushing, then bye, then waiting for the other's bye */
    HKB_LINK_ENDED = 4,
    HKB_LINK_AWAY =
        5, /* the connection was lost, the session waits for another one until its grace is over */
} hkb_link_phase;

struct hkb_link {
    hkb_link_shared *shared;
    const hkb_dialect *dialect;
    const hkb_link_settings *settings;  /* the owner's, there as long as the link is */
    uint64_t keep_alive_ns, timeout_ns; /* of the settings, or of the dialect */
    hkb_link_phase phase;
    bool connector; /* I dialled: the other side is my upstream */
    bool stream;    /* the transport keeps no boundaries */
    bool hello_said, bye_said, bye_due, error_due, ping_due, ack_wanted, over;
    bool returning;       /* connector, in HELLO: asks for its session */
    bool lost_in_silence; /* what took the connection was a time limit, not its closing */
    bool has_token;       /* the session may outlive its connection */
    char peer_name[HKB_NAME_BYTES_MAX + 1];
    const hakuban_serializer_ops *serializer;
    hkb_compressor *compressor; /* NULL: none */
    const void *payload_form;   /* payloads made for links that have the same are the same */
    uint64_t peer_keep_alive_ns, peer_grace_ns, peer_state_bytes_max;
    uint64_t window_bytes; /* the smaller of both sides' */
    uint64_t token[2];
    uint32_t features; /* of both sides */
    /* Counted in frames that are not ACK or PING, since the session began. */
    uint64_t sent_bytes, acked_bytes, received_bytes, ack_said_bytes;
    uint64_t opened_ns, last_received_ns, last_sent_ns, leaving_ns, away_ns;
    uint64_t lost_ns; /* while the session waits, and when it could not go on: the last byte of it;
                         0: nothing was lost */
    uint64_t
        ack_ns; /* when what was received should be acknowledged at the latest; 0: nothing to be */
    hkb_chain log;   /* frames that were said and not yet acknowledged, for the case that the
                        connection is lost */
    hkb_chain again; /* after it was: those behind the ones in log that are to be said again */
    /* Cost units that the other side's messages may still use in this turn; below 0: the last one
     * took more than was left. An owner that never sets it has a link without a budget. */
    int64_t credit;
    uint32_t working; /* states of the other side that are made at the moment: what comes behind
                         them may have to wait. The owner counts them */
    bool blocked;     /* the next message does. The owner takes it back when some work is done */
    bool waits;       /* a frame that has come has not been heard yet */
    hkb_buffer input; /* packets that wait until there is credit again, each behind its length */
    size_t input_begin;
    hkb_buffer partial;   /* the beginning of a frame whose rest has not come yet */
    hkb_buffer answer;    /* the listener's hello, until it is pulled */
    hkb_chain *packet;    /* only while pulled */
    hkb_rust_link rust;   /* of that dialect only */
    hakuban_error reason; /* why it ended */
};

/* Begins. settings stay the owner's, there as long as the link is. The connector's hello is the
 * first thing it says. */
void hkb_link_init(hkb_link *link, hkb_link_shared *shared, const hkb_link_settings *settings,
                   bool connector, bool stream, uint64_t now_ns);
void hkb_link_done(hkb_link *link);
/* What its buffers take in memory, without the payloads that it shares. */
size_t hkb_link_buffer_bytes(const hkb_link *link);

/* Bytes came. They may be any; a violation ends the link. What the credit does not pay for is kept,
 * in order. More than the window and HKB_INPUT_BYTES_SPARE is not kept: the link ends. */
void hkb_link_receive(hkb_link *link, uint64_t now_ns, const void *data, size_t bytes);
/* Hears of what is kept as much as the credit pays for. */
void hkb_link_hear(hkb_link *link, uint64_t now_ns);
/* Whether nothing more can be heard before some of its work is done. */
static inline bool hkb_link_is_blocked(const hkb_link *link)
{
    return link->blocked || (link->working && !link->has_token);
}
/* Whether something is kept, or would have to be. */
static inline bool hkb_link_is_behind(const hkb_link *link)
{
    return link->input.bytes > 0 || link->waits || hkb_link_is_blocked(link);
}
/* What native differences are compressed with; ops NULL: nothing. */
static inline hkb_delta_compressor hkb_link_compressor(const hkb_link *link)
{
    return link->compressor ? (hkb_delta_compressor){&link->compressor->ops, link->compressor->self}
                            : (hkb_delta_compressor){NULL, NULL};
}
/* Time passes: keep-alive, time limits. */
void hkb_link_tick(hkb_link *link, uint64_t now_ns);
/* When hkb_link_tick() should be called at the latest. */
uint64_t hkb_link_deadline(const hkb_link *link);
/* Empties packet and fills it with what is to be sent now; stays empty if nothing is. ERR_NO_MEMORY
 * also ends the link. */
void hkb_link_pull(hkb_link *link, uint64_t now_ns, hkb_chain *packet);
/* Whether another pull would give something without produce(): hello, ack, ping, error, bye. */
bool hkb_link_has_control(const hkb_link *link);
/* Whether the carrier should end writing now: all was pulled and nothing more will come. */
bool hkb_link_is_over(const hkb_link *link);
/* Only inside produce(). A failure ends the link; the caller just goes on. previous: as
 * hkb_native_encode(). */
void hkb_link_say(hkb_link *link, const hkb_message *message, const hkb_version *previous);
/* Room in the window for one more frame, while pulled. */
bool hkb_link_has_room(const hkb_link *link);
/* Ends with words that the other side is told. */
void hkb_link_fail(hkb_link *link, hakuban_status status, const char *format, ...)
    HAKUBAN_PRINTF(3, 4);
/* Flush, bye, end. */
void hkb_link_leave(hkb_link *link, uint64_t now_ns);
/* The connection is gone. true: the link is away and its session waits for another connection;
 * false: it has ended. */
bool hkb_link_lost(hkb_link *link, uint64_t now_ns, hakuban_status status, const char *text);
/* The connector's session asks to go on over a new connection; only while away. */
void hkb_link_return(hkb_link *link, bool stream, uint64_t now_ns);
/* How long the session outlives a connection; 0: not at all. */
uint64_t hkb_link_grace_ns(const hkb_link *link);
/* Up to when what the other side has said was known to hold: the last byte of the session, not of a
 * return that failed. */
uint64_t hkb_link_known_ns(const hkb_link *link);
/* Ends without a word to the other side. */
void hkb_link_end(hkb_link *link, hakuban_status status, const char *text);
/* Ends because all was said, with text as the reason; the carrier may go. */
void hkb_link_end_orderly(hkb_link *link, const char *text);

#endif
