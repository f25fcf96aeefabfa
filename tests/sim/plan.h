/* A history before it is played: a tree, objects, users, and a schedule of actions, all drawn from
 * one seed up front. It is data, so that actions can be taken out and the rest still means what it
 * meant. Knows no exchange. */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_NODES_MAX 40
#define PLAN_LEVELS_MAX 5
#define PLAN_OBJECTS_MAX 40
#define PLAN_TAGS_MAX 4
#define PLAN_USERS_MAX 100
#define PLAN_ACTIONS_MAX 400
#define PLAN_OUTAGES_MAX 3

/* What may go wrong or change, one word each for reports. */
#define PLAN_KINDS(X)                                                                              \
    X(START, start)       /* a user makes its contract */                                          \
    X(END, end)           /* and ends it */                                                        \
    X(SEND, send)         /* an exposer says something new */                                      \
    X(DEAF, deaf)         /* a user does not read its queue for a while */                         \
    X(CAPACITY, capacity) /* an exposer's weight changes */                                        \
    X(CUT, cut)           /* a connection is reset */                                              \
    X(CUT_AT, cut_at)     /* after so many bytes more */                                           \
    X(OUTAGE, outage)     /* a reset, and no way back for a while */                               \
    X(SILENT, half_open)  /* what one end writes gets lost */                                      \
    X(STALL, stall)       /* one end does not read for a while */                                  \
    X(SLOW, slow)         /* one end reads slowly for a while */                                   \
    X(DELAY, delay)       /* the way becomes longer, and uneven */                                 \
    X(LEAVE, leave)       /* one end says goodbye */                                               \
    X(KILL, kill)         /* an exchange is gone without a word, and comes back empty */           \
    X(FREEZE, freeze)     /* an exchange stops for a while */                                      \
    X(CLOCK, clock)       /* a wall clock jumps */                                                 \
    X(MEMORY, memory)     /* an allocation fails, or all for a while */                            \
    X(PARENT, parent)     /* a node goes to another hub */

#define PLAN_KIND(upper, lower) PLAN_##upper,
typedef enum plan_kind { PLAN_KINDS(PLAN_KIND) PLAN_KIND_COUNT } plan_kind;
#undef PLAN_KIND
extern const char *const plan_kind_names[PLAN_KIND_COUNT];

typedef struct plan_action {
    uint32_t at_ms;
    plan_kind kind;
    uint16_t target; /* a node (its way upwards), or a user */
    uint8_t end;     /* of the connection: 0 the child's, 1 the parent's */
    uint32_t for_ms;
    int64_t amount; /* bytes, milliseconds, number of the allocation, a node: as kind says */
} plan_action;

typedef struct plan_object {
    char json[32];
    const char *tags[2];
    uint8_t tag_index[2];
    uint8_t tag_count;
} plan_object;

typedef struct plan_user {
    uint16_t node;
    bool observes;
    int16_t object; /* -1: by tag */
    uint8_t tag;
    uint32_t capacity;
    uint32_t reads_every_ms;
    bool numbers;   /* its versions are its own */
    bool lazy;      /* says nothing before it is told to */
    uint32_t bytes; /* of its states, about */
} plan_user;

typedef struct plan_node {
    int16_t parent; /* -1: the root */
    uint8_t level;
    int64_t wall_offset_ms;
    char params[120]; /* of its way upwards */
    bool is_limited;  /* a load limit is among them */
    uint32_t delay_ms, jitter_ms, redial_ms;
    uint32_t buffered_bytes;
    size_t bytes_max, link_bytes_max; /* limits of its memory while there are faults; 0: none */
} plan_node;

/* Once all has come right: a connection is lost and is back after a while, which is about as long
 * as its grace. */
typedef struct plan_outage {
    uint16_t node;
    uint32_t percent; /* of the grace */
    bool news;        /* exposers say something new meanwhile */
} plan_outage;

typedef struct sim_plan {
    uint64_t seed;
    uint32_t duration_ms;
    uint32_t chunk_bytes_max;
    uint32_t turn_cost;                   /* of each exchange; 0: the default */
    uint32_t work_bytes_min, work_ms_max; /* of threads beside each exchange; 0: there are none */
    bool news_at_end; /* all exposers send a new state once the faults are over */
    bool calm;        /* no faults at all */
    size_t node_count, object_count, tag_count, user_count, action_count;
    plan_node nodes[PLAN_NODES_MAX];
    plan_object objects[PLAN_OBJECTS_MAX];
    plan_user users[PLAN_USERS_MAX];
    plan_action actions[PLAN_ACTIONS_MAX];
    size_t outage_count;
    plan_outage outages[PLAN_OUTAGES_MAX];
} sim_plan;

extern const char *const plan_tags[PLAN_TAGS_MAX];

void plan_draw(uint64_t seed, sim_plan *ret);
/* A leaf of a plan without faults whose users only observe, and which may be silent for the whole
 * of it; -1: there is none. States are small: the links of a large object share the memory for
 * their bases, so that one which is stuck leaves the others more. */
int plan_onlooker(const sim_plan *of);
/* Whether user's contract is about object. */
bool plan_covers(const sim_plan *of, const plan_user *user, size_t object);
/* "cut the way of node 3 upwards" */
void plan_describe(const sim_plan *of, const plan_action *action, char *out, size_t out_bytes);
void plan_describe_user(const sim_plan *of, size_t user, char *out, size_t out_bytes);

#endif
