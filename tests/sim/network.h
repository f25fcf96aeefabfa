/* A network of whole exchanges in one thread: real links over simulated connections, a virtual clock, one seed. Nothing sleeps and
 * nothing is random but through the seed. */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "exchange/exchange.h"
#include "fail_alloc.h"

#define NET_NODES_MAX 48
#define NET_MS 1000000ull
#define NET_S 1000000000ull

typedef struct net net;
typedef struct net_node net_node;
typedef struct net_pipe net_pipe;

/* One connection: end 0 is the child's (it dialled), end 1 the parent's. */
struct net_pipe {
    net *network;
    net_node *node[2];
    hkb_peer *peer[2];
    bool stream;
    bool stalled[2];        /* this end does not read */
    uint64_t delay_ns;
    uint64_t cut_after[2];  /* this end's writing is cut for good after so many bytes; UINT64_MAX: never */
    uint64_t written[2];    /* bytes by this end so far */
    size_t in_flight[2];    /* bytes written by this end that were not read */
    bool over[2];           /* this end has stopped writing for good */
    bool broken;
    bool dropped; /* one end has found it dead: it is to be cut */
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
    size_t state_bytes_max; /* for the next restart; 0: no limit */
    int64_t wall_offset_ns; /* this node's wall clock is off by so much */
    net_pipe *up;
    net_ended ended; /* the last link that ended here */
    unsigned opened;
};

struct net {
    uint64_t seed, random;
    uint64_t now_ns;
    size_t node_count;
    net_node nodes[NET_NODES_MAX];
    size_t pipe_count, pipe_capacity;
    net_pipe **pipes;
    size_t chunk_bytes_max; /* writes are delivered in random pieces up to this */
    bool trace;
};

net *net_new(uint64_t seed);
/* Frees everything; contracts must be gone. Fails the test if any node leaks. */
void net_free(net *network);
uint64_t net_random(net *network);
uint64_t net_below(net *network, uint64_t bound);

net_node *net_add(net *network);
/* Connects child to parent; settings by URL parameters like "name=a,window=16k", or NULL. */
net_pipe *net_connect(net_node *child, net_node *parent, const char *params);
/* The connection is gone for both, as a reset is. */
void net_cut(net_pipe *pipe);
/* The node's whole exchange is gone without a word; a fresh one takes its place. Its contracts must be gone. */
void net_restart(net_node *node);
/* Lets virtual time pass. */
void net_run(net *network, uint64_t duration_ns);
/* Delivers until nothing is in flight, at most 60 s of virtual time. */
void net_quiet(net *network);
/* What every node knows, on stderr. */
void net_show(net *network);
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
