/* The conversation of two exchanges. The link does no I/O: it is given bytes, gives packets, and
 * takes the time as an argument.
 *
 * A link knows frames, the hello, acknowledgements, the window, keep-alive, and how a conversation
 * ends. It knows no objects: its owner decides what to send next and what a message means, through
 * hkb_link_events. */
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
/* A packet takes no further frame once it is larger than this. With that last frame and an ERROR it
 * still fits into one message of a transport. */
#define HKB_PACKET_BYTES (40u * 1024)
#define HKB_KEEP_ALIVE_NS_DEFAULT (20ull * 1000000000)
#define HKB_GRACE_NS_DEFAULT (2ull * 1000000000)
#define HKB_PRELOAD_BYTES_MAX 255
#define HKB_HELLO_TIMEOUT_NS (5ull * 1000000000)
#define HKB_LINGER_NS (2ull * 1000000000)
/* Received bytes are acknowledged after this long, even if they are few. */
#define HKB_ACK_NS (200ull * 1000000)

/* A payload of at least so many bytes is sent by reference: the packet, the session's log and other
 * links share it. Copying a smaller one costs less. */
#define HKB_SHARED_BYTES_MIN 1024u
/* Shared payloads in one packet; further ones are copied. */
#define HKB_PACKET_SHARED_MAX ((HAKUBAN_SEND_PARTS_MAX - 1) / 2)
/* A cost unit is about a microsecond of work: one message, one KiB of a state, one share or entry
 * of a walk. */
#define HKB_COST_KIB 1024u
/* Input that waits for its peer's next turn may take the window and this much. */
#define HKB_INPUT_BYTES_SPARE (1024u * 1024)

typedef struct hkb_link hkb_link;

/* What the user asked for in the URL's parameters, or the defaults. */
typedef struct hkb_link_settings {
    char name[HKB_NAME_BYTES_MAX + 1];
    uint64_t keep_alive_ns; /* this side sends something at least this often */
    uint64_t timeout_ns; /* the connection is cut after this long without a byte; 0: after 2.5 times
                            the peer's keep-alive */
    uint64_t grace_ns;
    uint64_t window_bytes;
    uint64_t state_bytes_max;
    /* The only serializer and compressor that are offered or accepted; "": any. */
    char serializer[HKB_OFFER_NAME_BYTES_MAX + 1];
    char compressor[HKB_OFFER_NAME_BYTES_MAX + 1];
    hkb_load_limit load_limit; /* connector only */
    uint32_t features;         /* the optional features that this side uses */
    /* connector only: a tag as the user wrote it; "": none. */
    char preload[HKB_PRELOAD_BYTES_MAX + 1];
    bool keep_alive_given; /* keep_alive_ns is not the default */
    bool rust; /* the other side is a Rust implementation; set by the code that knows the URL */
} hkb_link_settings;

/* Reads the parameters. An unknown key or a bad value is ERR_URL with a text. registry: the codecs
 * whose names are accepted. */
hakuban_status hkb_link_settings_read(const hakuban_url *url, const hkb_registry *registry,
                                      hkb_link_settings *ret, hakuban_error *reterr);

/* What the owner uses a channel for. */
typedef enum hkb_channel_use {
    HKB_CHANNEL_UNUSED = 0, /* never opened, or closed */
    HKB_CHANNEL_FROM_PEER,  /* states come on it */
    HKB_CHANNEL_TO_PEER,
} hkb_channel_use;

/* The functions of the link's owner. The link calls them only from inside hkb_link_receive(),
 * hkb_link_hear(), hkb_link_pull() and hkb_link_tick(). */
typedef struct hkb_link_events {
    /* connector: the hello is about to be sent; the owner fills in the path and its other members.
     */
    hakuban_status (*offer)(hkb_link *link, hkb_hello *hello);
    /* The other side's hello has come. connector: the owner checks it. listener: the owner adds to
     * *answer, or refuses. */
    hakuban_status (*hello)(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                            hakuban_error *reterr);
    void (*opened)(hkb_link *link);
    /* One message; the owner takes over message->descriptor. A failure ends the link with its text.
     * The owner subtracts what the message costs from the link's credit, except for its reading. */
    hakuban_status (*message)(hkb_link *link, hkb_message *message, hakuban_error *reterr);
    /* Whether message is not to be heard before some of the work is done that the link has. Asked
     * only of a session that outlives its connection; else all that follows waits. */
    bool (*waits)(hkb_link *link, const hkb_message *message);
    /* The version a STATE on channel is a difference to; as hkb_native_previous_fn. */
    bool (*previous)(hkb_link *link, uint32_t channel, hkb_version *ret);
    /* The owner may send a few messages with hkb_link_say(). false: it has no more to send now. */
    bool (*produce)(hkb_link *link);
    /* hkb_link_pull() may have something to give now. */
    void (*wake)(hkb_link *link);
    /* The conversation is over: nothing more is received or produced. The carrier still pulls until
     * hkb_link_is_over(). Called once. orderly: one of the sides has sent BYE. */
    void (*ended)(hkb_link *link, bool orderly, const hakuban_error *why);

    /* For sessions that outlive their connection: */
    /* listener: the link whose session has this token; NULL: none. */
    hkb_link *(*session)(hkb_link *link, const uint64_t token[2]);
    /* listener: the connection of link now carries session; link is over, and ended() is not called
     * for it. */
    void (*moved)(hkb_link *session, hkb_link *link);
    /* The owner closes the connection at once; the link is away or has ended. */
    void (*dropped)(hkb_link *link, const hakuban_error *why);
    /* The session continues over a new connection; nothing was lost. */
    void (*resumed)(hkb_link *link);
    /* connector: the other side does not know the session any more. opened() follows; all that was
     * sent before is void. */
    void (*anew)(hkb_link *link);

    /* For a dialect whose messages say less: */
    /* Fills in message's before_flags and before_capacity: the peer's registration of its object or
     * tag. */
    void (*registered)(hkb_link *link, hkb_message *message);
    hkb_channel_use (*use_of)(hkb_link *link, uint32_t channel);
    /* connector: the open channel of the object that opened, a STREAM_OPEN or SINK_OPEN, names; 0:
     * none. */
    uint32_t (*channel_of)(hkb_link *link, const hkb_message *opened);
} hkb_link_events;

/* A dialect is a table of what differs between native and Rust peers. Phases, time limits and ends
 * are the same for all links. */
typedef struct hkb_dialect {
    const char *name;
    /* The other side's manners. Of channels: */
    bool answers_close;       /* CLOSE of a sink by CLOSED */
    bool counts_channels;     /* the number of a new channel is greater than all before */
    bool names_sinks;         /* SINK_OPEN has an id */
    bool stream_needs_source; /* a stream is open only while its object has a source */
    bool stream_until_sink;   /* a stream may stay open until the sink that replaces it opens */
    /* Of states: */
    bool sends_parts;        /* a large one is several messages */
    bool checks_states;      /* each has a check, and says whether it is whole */
    bool state_is_condition; /* a STATE tells the source as well; there is no CONDITION without a
                                state */
    bool end_is_condition;   /* the end of a stream means that its state is not current */
    bool shows_hand_over;    /* a state in a hand-over is STALE */
    bool forgets_left_over;  /* drops the state of an object when no observer needs it any more */
    /* Of registrations: */
    bool serves_at_capacity_0; /* an exposer without room need not be served by another */
    bool says_listed;          /* sends LISTED behind the list of a tag's objects */
    void (*init)(hkb_link *link);
    void (*done)(hkb_link *link);
    /* Hears messages until the link's credit is used up. Returns how many bytes it took. */
    size_t (*receive)(hkb_link *link, const uint8_t *data, size_t bytes);
    void (*say)(hkb_link *link, const hkb_message *message, const hkb_version *previous);
    void (*pull)(hkb_link *link);
    bool (*has_room)(const hkb_link *link);
    bool (*has_control)(const hkb_link *link);
    /* A state's payload: as hkb_delta_make(), hkb_delta_size() and hkb_delta_apply(). */
    hakuban_status (*make)(hkb_delta_context *context, const hakuban_alloc *alloc,
                           hkb_delta_compressor compressor, hakuban_slice old, hakuban_slice new_,
                           hakuban_bytes **ret);
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
    size_t payload_bytes; /* payloads that links hold by reference, each counted once */
} hkb_link_shared;

typedef enum hkb_link_phase {
    HKB_LINK_HELLO = 1, /* waiting for the other side's hello */
    HKB_LINK_OPEN = 2,
    HKB_LINK_LEAVING = 3, /* sends the rest and BYE, then waits for the other side's BYE */
    HKB_LINK_ENDED = 4,
    HKB_LINK_AWAY =
        5, /* the connection was lost, the session waits for another one until its grace is over */
} hkb_link_phase;

struct hkb_link {
    hkb_link_shared *shared;
    const hkb_dialect *dialect;
    const hkb_link_settings *settings;  /* the owner's, which live as long as the link */
    uint64_t keep_alive_ns, timeout_ns; /* of the settings, or of the dialect */
    hkb_link_phase phase;
    bool connector; /* this side has dialled: the other side is the upstream */
    bool stream;    /* the transport does not keep the boundaries of packets */
    bool hello_said, bye_said, bye_due, error_due, ping_due, ack_wanted, over;
    bool returning;       /* connector, in HELLO: wants to continue its session */
    bool lost_in_silence; /* the connection was lost by a time limit, not by being closed */
    bool has_token;       /* the session may outlive its connection */
    char peer_name[HKB_NAME_BYTES_MAX + 1];
    const hakuban_serializer_ops *serializer;
    hkb_compressor *compressor; /* NULL: none */
    const void *payload_form;   /* links with the same payload_form can share payloads */
    uint64_t peer_keep_alive_ns, peer_grace_ns, peer_state_bytes_max;
    uint64_t window_bytes; /* the smaller of both sides' */
    uint64_t token[2];
    uint32_t features; /* of both sides */
    /* Counted in frames that are not ACK or PING, since the session began. */
    uint64_t sent_bytes, acked_bytes, received_bytes, ack_said_bytes;
    uint64_t opened_ns, last_received_ns, last_sent_ns, leaving_ns, away_ns;
    uint64_t lost_ns; /* while the session waits, and if it could not continue: the time of its last
                         byte; 0: no connection was lost */
    uint64_t ack_ns; /* when received bytes must be acknowledged at the latest; 0: there are none */
    /* Frames that were sent and not acknowledged yet, in case the connection is lost. */
    hkb_chain log;
    hkb_chain again; /* after a loss: the rest of the log, to be sent again */
    /* Cost units that the other side's messages may still use in this turn; below 0: the last
     * message cost more than was left. A link whose owner never sets the credit has no budget. */
    int64_t credit;
    uint32_t working; /* states of the other side that are made at the moment: what comes behind
                         them may have to wait. The owner counts them */
    uint32_t packing; /* payloads for the other side that are made at the moment: there is more to
                         say, later. The owner counts them */
    bool blocked;     /* the next message does. The owner takes it back when some work is done */
    bool waits;       /* a frame that has come has not been heard yet */
    hkb_buffer input; /* packets that wait for credit, each behind its length */
    size_t input_begin;
    hkb_buffer partial;   /* the beginning of a frame whose rest has not arrived */
    hkb_buffer answer;    /* the listener's hello until it is pulled */
    hkb_chain *packet;    /* only inside hkb_link_pull() */
    hkb_rust_link rust;   /* for the Rust dialect only */
    hakuban_error reason; /* why the link ended */
};

/* Begins the conversation; the connector sends its hello first. settings: the owner's, which live
 * as long as the link. */
void hkb_link_init(hkb_link *link, hkb_link_shared *shared, const hkb_link_settings *settings,
                   bool connector, bool stream, uint64_t now_ns);
void hkb_link_done(hkb_link *link);
/* The memory of the link's buffers, without the payloads that it shares. */
size_t hkb_link_buffer_bytes(const hkb_link *link);

/* Takes received bytes, whatever they are; a violation ends the link. Bytes that the credit does
 * not pay for are kept for later. If more than the window and HKB_INPUT_BYTES_SPARE would be kept,
 * the link ends. */
void hkb_link_receive(hkb_link *link, uint64_t now_ns, const void *data, size_t bytes);
/* Hears as much of the kept bytes as the credit pays for. */
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
/* Does what is due: keep-alive, time limits. */
void hkb_link_tick(hkb_link *link, uint64_t now_ns);
/* When hkb_link_tick() is due. */
uint64_t hkb_link_deadline(const hkb_link *link);
/* Empties packet and fills it with the bytes to send now, if there are any. ERR_NO_MEMORY also ends
 * the link. */
void hkb_link_pull(hkb_link *link, uint64_t now_ns, hkb_chain *packet);
/* Whether another pull would give bytes even without produce(): hello, ACK, PING, ERROR, BYE. */
bool hkb_link_has_control(const hkb_link *link);
/* Whether the carrier should end writing now: all was pulled, and nothing more follows. */
bool hkb_link_is_over(const hkb_link *link);
/* Sends a message; only inside produce(). A failure ends the link, and the caller need not check
 * for it. previous: as for hkb_native_encode(). */
void hkb_link_say(hkb_link *link, const hkb_message *message, const hkb_version *previous);
/* Whether the window and the packet have room for one more frame; only inside produce(). */
bool hkb_link_has_room(const hkb_link *link);
/* Ends the link; the other side is told status and text. */
void hkb_link_fail(hkb_link *link, hakuban_status status, const char *format, ...)
    HAKUBAN_PRINTF(3, 4);
/* Sends the rest and BYE, then ends. */
void hkb_link_leave(hkb_link *link, uint64_t now_ns);
/* The connection is gone. true: the link is away and its session waits for another connection;
 * false: it has ended. */
bool hkb_link_lost(hkb_link *link, uint64_t now_ns, hakuban_status status, const char *text);
/* connector: asks to continue the session over a new connection; only while away. */
void hkb_link_return(hkb_link *link, bool stream, uint64_t now_ns);
/* How long the session outlives a lost connection; 0: not at all. */
uint64_t hkb_link_grace_ns(const hkb_link *link);
/* Until when the other side's messages are known to be up to date: the time of the session's last
 * byte. Connections that could not continue the session do not count. */
uint64_t hkb_link_known_ns(const hkb_link *link);
/* Ends without telling the other side. */
void hkb_link_end(hkb_link *link, hakuban_status status, const char *text);
/* Ends because all was sent, with text as the reason; the carrier may close. */
void hkb_link_end_orderly(hkb_link *link, const char *text);

#endif
