/* A network of whole exchanges in one thread: real links over simulated connections, a virtual
 * clock, one seed. Nothing sleeps and nothing is random but through the seed. */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "exchange/exchange.h"
#include "fail_alloc.h"

#define NET_NODES_MAX 48
#define NET_MS 1000000ull
#define NET_S 1000000000ull
#define NET_BEGIN_NS (1000 * NET_S) /* the clock when a network begins */

typedef struct net net;
typedef struct net_node net_node;
typedef struct net_pipe net_pipe;

/* One connection: end 0 is the child's (it dialled), end 1 the parent's. */
struct net_pipe {
    net *network;
    net_node *node[2];
    hkb_peer *peer[2];
    unsigned number; /* of all connections there were */
    uint64_t
        random; /* of its own, so that what one connection does leaves the others as they were */
    hkb_link_settings settings;
    bool stream;
    bool stalled[2]; /* this end does not read */
    bool silent[2];  /* what this end writes gets lost unnoticed */
    bool backlog;    /* the parent is frozen: the system took the connection, it does not know of it
                        yet */
    uint64_t delay_ns, jitter_ns;
    uint64_t read_rate[2]; /* this end reads so many bytes a second; 0: at once */
    uint64_t read_next_ns[2];
    uint64_t read_ns[2];   /* when this end read something last, or began */
    uint64_t cut_after[2]; /* this end's writing is cut for good after so many bytes; UINT64_MAX:
                              never */
    uint64_t written[2];   /* bytes by this end so far */
    size_t in_flight[2];   /* bytes written by this end that were not read */
    size_t buffered_max;   /* what it holds before its writer has to wait */
    bool over[2];          /* this end has stopped writing for good */
    uint64_t over_ns[2];   /* since when */
    bool broken;
    bool dropped[2];                      /* this end has found it dead and closes it */
    struct net_chunk *first[2], *last[2]; /* written by this end */
};

typedef struct net_ended {
    bool orderly;
    hakuban_error why;
    unsigned count;
} net_ended;

struct net_node {
    net *network;
    hkb_exchange *exchange;
    hkb_registry registry;
    fail_alloc memory;
    struct net_work *works;           /* that its threads have, by the time when they are done */
    size_t bytes_max, link_bytes_max; /* for the next restart; 0: no limit */
    uint64_t clock_ahead_ns;          /* of the network's, since it was started; modulo 2^64 */
    unsigned starts;
    uint64_t entered, settled; /* how often it was entered so far, and when it was at rest last */
    uint64_t due_ns;           /* while at rest: when it is to tick, in the network's time */
    int64_t wall_offset_ns;    /* this node's wall clock is off by so much */
    uint64_t random;           /* of its own */
    bool down;                 /* it was killed and has not come back */
    bool frozen; /* it is stopped: it neither reads nor writes nor looks at the time */
    net_pipe *up;
    net_ended ended; /* the last link that ended here */
    unsigned opened;
};

/* Looks on while bytes are read, before and after each piece, and while an exchange has a turn. May
 * be NULL. */
typedef struct net_tap {
    void *ctx;
    void (*before)(void *ctx, net_pipe *pipe, int to);
    void (*after)(void *ctx, net_pipe *pipe, int to);
    void (*before_turn)(void *ctx, net_node *node);
    void (*after_turn)(void *ctx, net_node *node);
} net_tap;

struct net {
    uint64_t seed, random;
    uint64_t now_ns;
    uint64_t uptime_ns; /* what the clocks of nodes show that start from now on; 0: drawn, 1 s to
                           half a year */
    size_t node_count;
    net_node nodes[NET_NODES_MAX];
    size_t pipe_count, pipe_capacity;
    net_pipe **pipes;
    unsigned pipes_made;
    unsigned limit_ends;    /* links that an exchange has ended for a limit */
    uint32_t turn_cost;     /* of exchanges that start from now on; 0: the default */
    size_t work_bytes_min;  /* of exchanges that start from now on: what threads of theirs work on;
                               0: there are none */
    uint64_t work_ns_max;   /* what a thread takes at most */
    bool works_by_hand;     /* they wait for net_finish_work() instead */
    size_t chunk_bytes_max; /* writes are delivered in random pieces up to this */
    net_tap tap;
    hkb_buffer packet;   /* the last one, in one piece */
    uint64_t trace_hash; /* of every piece that was read, and when */
    bool among_us; /* all peers follow the rules: a violation that an exchange sees is a bug */
    bool steady;   /* ways take their delay and no more: one piece more changes the time of none */
    bool trace;
};

/* What a broken promise does: ends the test, or calls net_on_violation if that is set. Never
 * returns. */
extern void (*net_on_violation)(const char *text);
_Noreturn void net_violated(const char *format, ...) HAKUBAN_PRINTF(1, 2);
#define NET_MUST(condition, ...) ((condition) ? (void)0 : net_violated(__VA_ARGS__))
/* A line of the trace, with time and node (NULL: none), if there is one. */
void net_tell(const net *network, const net_node *node, const char *format, ...)
    HAKUBAN_PRINTF(3, 4);

net *net_new(uint64_t seed);
/* Frees everything; contracts must be gone. Fails the test if any node leaks. */
void net_free(net *network);
uint64_t net_random(net *network);
uint64_t net_below(net *network, uint64_t bound);

net_node *net_add(net *network);
/* Connects child to parent; settings by URL parameters like "name=a,window=16k", or NULL. */
net_pipe *net_connect(net_node *child, net_node *parent, const char *params);
/* The same in the dialect of the Rust implementation. */
net_pipe *net_connect_rust(net_node *child, net_node *parent, const char *params);
/* The same with settings that were read before. NULL: the parent is down and does not answer. */
net_pipe *net_dial(net_node *child, net_node *parent, const hkb_link_settings *settings);
void net_settings(net_node *node, const char *params, hkb_link_settings *ret);
/* The connection is gone for both, as a reset is; a frozen node learns of it later. */
void net_cut(net_pipe *pipe);
/* Forgets connections that are gone. No pointer to one of them may have been kept. */
void net_sweep(net *network);
/* The node's whole exchange is gone without a word; a fresh one takes its place. Its contracts must
 * be gone. */
void net_restart(net_node *node);
/* The two halves of it: a kill, and a start. Connections break first, so that contracts may end
 * after it. */
void net_kill_links(net_node *node);
void net_stop(net_node *node);
void net_start(net_node *node);
/* The first work that the node's threads have is done; false: they have none. */
bool net_finish_work(net_node *node);
/* As SIGSTOP and SIGCONT. */
void net_freeze(net_node *node);
void net_thaw(net_node *node);
/* Lets virtual time pass. */
void net_run(net *network, uint64_t duration_ns);
/* Delivers until nothing is in flight, at most 60 s of virtual time. */
void net_quiet(net *network);
/* What every node knows, on stderr. */
void net_show(net *network);
/* When node's exchange is to tick, in the network's time; UINT64_MAX: never. */
uint64_t net_due_ns(const net_node *node);
/* Before each direct call into a node's exchange. */
hkb_exchange *net_enter(net_node *node);

/* Contracts with a queue of their own. */
typedef struct net_contract {
    net_node *node;
    hakuban_queue *queue;
    hakuban_contract *contract;
} net_contract;

net_contract net_observe(net_node *node, const char *object, const char *tag);
net_contract net_expose(net_node *node, const char *object, const char *tag, uint32_t capacity);
net_contract net_observe_tag(net_node *node, const char *tag);
net_contract net_expose_tag(net_node *node, const char *tag, uint32_t capacity);
void net_end(net_contract *contract);
/* Takes the next event; false: there is none. hkb_event_done() by the caller. */
bool net_next(net_contract *contract, hakuban_event *ret);
hakuban_descriptor *net_descriptor(const char *object, const char *tag);
/* Sends text with an automatic version. */
hakuban_status net_send(net_node *node, hakuban_sink *sink, const char *text);
hakuban_status net_send_version(net_node *node, hakuban_sink *sink, const char *text,
                                int64_t version);
hakuban_status net_send_bytes(net_node *node, hakuban_sink *sink, const void *data, size_t bytes);

#endif
