/* A plan being played: the network, its users, and what the oracle (oracle.h) was told. Only the
 * player and the oracle know each other's records. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "network.h"
#include "plan.h"

#define SIM_BUDGETS_MAX 256

/* Numbers under numbers; 0 is none. */
typedef struct sim_table {
    struct sim_slot {
        uint64_t key, value;
    } *slots;
    size_t count, capacity;
} sim_table;

/* What an observer knows of an object. */
typedef struct sim_seen {
    bool open;
    bool awaited; /* it was open at LISTED, and its first state was not told yet */
    bool settled; /* told LIVE, or without an exposer, and no state follows */
    hkb_version version;
    uint64_t content;
    hakuban_freshness freshness;
    hakuban_source source;
    uint64_t age_ns;
    unsigned losses, losses_before; /* how often it stopped being LIVE; until the last outage */
    uint64_t lost_ns, lost_age_ns; /* when it did so last, and how old what it had was said to be */
} sim_seen;

/* What an exposer has of an object. */
typedef struct sim_held {
    hakuban_sink *sink;
    uint64_t content;             /* sent last on this sink; 0: nothing yet */
    bool due;                     /* it has something to say that was not taken yet */
    unsigned opens, opens_before; /* until the last outage */
} sim_held;

typedef struct sim_user {
    const plan_user *plan;
    size_t number;
    net_node *node;
    bool wanted; /* it should have its contract, as soon as its exchange can give it one */
    uint32_t capacity;
    uint64_t deaf_until_ns, next_read_ns;
    uint32_t sends_due;
    uint64_t text; /* number of what it says now; 0: nothing */
    hakuban_queue *queue;
    hakuban_contract *contract; /* NULL: it has none now */
    bool listed, complete;      /* an observer of a tag: it has had the first picture, and the
                                   states of it */
    union {
        sim_seen *seen;
        sim_held *held;
    }; /* of each object */
} sim_user;

typedef struct sim_place {
    net_node *node;
    const plan_node *plan;
    hkb_link_settings settings;
    int parent;  /* -1: the root */
    bool is_hub; /* a node connects to it, or did */
    uint64_t redial_ns, outage_until_ns, stall_until_ns, slow_until_ns, frozen_until_ns,
        down_until_ns, memory_until_ns;
    uint64_t astray_until_ns, looped_ns; /* 0: not; since when it has been part of a loop */
    int astray_to;                       /* where it dials until then */
    bool asked[PLAN_OBJECTS_MAX];        /* a user here has observed it since the exchange began */
    uint64_t checked;                    /* node->entered when its memory was looked at last */
    size_t empty_bytes;                  /* memory of an exchange that has done nothing yet */
} sim_place;

typedef struct sim_result {
    uint64_t trace_hash;
    uint64_t simulated_ns, converged_ns; /* in all; after the faults had stopped */
    uint64_t published, delivered;
    uint32_t injected[PLAN_KIND_COUNT];
    uint32_t short_outages, long_outages,
        sessions_kept;   /* at the end, around the time of grace; those that went on */
    uint32_t hand_overs; /* at the end, in the quiet network */
    uint32_t limit_ends; /* links that were ended for the memory that they took */
    uint32_t histories, isolations;
} sim_result;

/* One event that one user got. */
typedef struct sim_note {
    uint64_t at_ns, user, object, what;
} sim_note;

/* A leaf that says nothing new after a while. In a first play it reads what it gets; in a second
 * one it reads nothing either, and all other users must get what they got in the first, at the same
 * times, until the faults are over. */
typedef struct sim_stuck {
    int node;
    bool reads_nothing;
    sim_note *notes; /* of the first play */
    size_t note_count, note_capacity;
    size_t compared; /* in the second */
} sim_stuck;

typedef struct sim_world {
    const sim_plan *plan;
    net *network;
    sim_place places[PLAN_NODES_MAX];
    sim_user users[PLAN_USERS_MAX];
    hakuban_descriptor *descriptors[PLAN_OBJECTS_MAX];
    uint64_t cut_ns; /* when the last outage began */
    uint64_t texts;  /* given out so far */
    int64_t numbers;
    bool healed;
    sim_stuck *stuck;    /* NULL: no leaf is */
    sim_table published; /* hash of object and data -> 1 */
    sim_table versions;  /* hash of object and version -> the data's */
    struct sim_glimpse {
        const void *object, *state;
        bool was_source;
    } *glimpses; /* of one exchange's objects, before a piece is read */
    size_t glimpse_count, glimpse_capacity;
    struct sim_budget {
        const hkb_peer *peer;
        uint64_t turn;
        int64_t credit;
        uint64_t received_bytes;
    } budgets[SIM_BUDGETS_MAX]; /* of one exchange's peers, before a piece is read or a turn */
    size_t budget_count, record_count;
    sim_result result;
} sim_world;

/* Plays it to the end. kept: for each action whether it is done; NULL: all. A broken promise ends
 * in net_violated(). */
void sim_play(const sim_plan *plan, const bool *kept, bool trace, sim_result *ret);
/* I8, for plans with a node that can be stuck: what all others get, and when, is the same. */
void sim_play_isolated(const sim_plan *plan, const bool *kept, bool trace, sim_result *ret);

/* I8: user got what of object. */
void sim_take_note(sim_world *world, const sim_user *user, size_t object, uint64_t what);
/* From the root to the node that is farthest, at worst. */
uint64_t sim_slowest_way(const sim_world *world);
size_t sim_object_index(const sim_world *world, const hakuban_descriptor *descriptor);

#endif
