/* The oracle: judges what a simulated network does by its promises, which docs/testing.md lists.
 * Each group of promises has a file; a broken one ends in net_violated(). */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include "exchange/records.h"
#include "world.h"

/* The oracle expects something wrong: that must be reported, or nothing would be. */
extern bool sim_canary;

/* -- oracle.c: for the player -- */

/* What holds at any time, of one connection: before and after a piece is read. */
void oracle_before(void *world, net_pipe *pipe, int to);
void oracle_after(void *world, net_pipe *pipe, int to);
/* Of one exchange: before and after its turn. */
void oracle_before_turn(void *world, net_node *node);
void oracle_after_turn(void *world, net_node *node);
/* What holds at any time, of the network. */
void oracle_check(sim_world *world);
/* The faults are over: the leaf that was stuck (I8) tells the versions that it has kept to itself.
 */
void oracle_pass_floors(const sim_world *world);
/* What is still missing once the faults are over, as text; false: nothing. */
bool oracle_pending(sim_world *world, char *out, size_t out_bytes);
void oracle_done(sim_world *world);

/* -- oracle_states.c: I2, I3 -- */

uint64_t oracle_content(size_t object, hakuban_slice data);
void oracle_published(sim_world *world, size_t object, hakuban_slice data);
void oracle_versioned(sim_world *world, size_t object, const hkb_version *version,
                      hakuban_slice data);
/* One event of an observer. */
void oracle_see(sim_world *world, sim_user *user, const hakuban_event *event);
/* An object that COMPLETE waits for; NULL: there is none. */
const char *oracle_awaited(const sim_world *world, const sim_user *user);
void oracle_states_done(sim_world *world);

/* -- oracle_convergence.c: I1 -- */

/* What users and exchanges make of an object at rest. */
typedef struct oracle_situation {
    const sim_user *chosen;
    unsigned sinks, observers, mentions, candidates, drained;
    bool limited; /* a load limit is on the way to some candidate */
} oracle_situation;

oracle_situation oracle_look_at(const sim_world *world, size_t object);
bool oracle_user_waits(const sim_world *world, const sim_user *user, char *out, size_t out_bytes);
bool oracle_observers_differ(const sim_world *world, size_t object, const oracle_situation *at,
                             char *out, size_t out_bytes);

/* -- oracle_relevance.c: I4 -- */

void oracle_check_relevance(const sim_world *world, const net_pipe *pipe, const hkb_object *object);
bool oracle_hears_unwanted(const sim_world *world, size_t node, const hkb_object *object, char *out,
                           size_t out_bytes);

/* -- oracle_selection.c: I5 -- */

void oracle_note_sources(sim_world *world, const net_pipe *pipe, int to);
/* Of an object at end `to` of pipe, after oracle_note_sources() and a piece that was read. */
void oracle_check_source(const sim_world *world, const net_pipe *pipe, int to,
                         const hkb_object *object);
bool oracle_sinks_differ(const sim_world *world, size_t object, const oracle_situation *at,
                         char *out, size_t out_bytes);
bool oracle_path_differs(const sim_world *world, size_t object, const oracle_situation *at,
                         char *out, size_t out_bytes);
void oracle_selection_done(sim_world *world);

/* -- oracle_balance.c: I6 -- */

/* Whether a load limit is on the way from the user to the root. */
bool oracle_is_limited(const sim_world *world, const sim_user *user);
/* Whether an exposer at node or below it could take object, as far as load limits on the way go. */
bool oracle_has_room(const sim_world *world, int node, size_t object);
bool oracle_charges_differ(const sim_world *world, size_t node, char *out, size_t out_bytes);
/* The rules, written a second time, name the same exposer once the exchange is at rest (I5, too),
 * and say as the exchange does whether it is to decline the object. */
bool oracle_choice_differs(const sim_world *world, size_t node, const hkb_object *object, char *out,
                           size_t out_bytes);
bool oracle_declines_with_room(const sim_world *world, size_t node, const hkb_object *object,
                               char *out, size_t out_bytes);

/* -- oracle_memory.c: I7, I13 -- */

void oracle_check_window(const sim_world *world, const net_pipe *pipe, int end);
void oracle_check_memory(sim_world *world);
/* At the end: which links were ended for memory. */
void oracle_check_ends(const sim_world *world);
/* All users have gone: what is left. */
bool oracle_lingers(const sim_world *world, char *out, size_t out_bytes);

/* -- oracle_links.c: I10 -- */

void oracle_check_silence(const sim_world *world);
void oracle_check_loops(sim_world *world);
bool oracle_link_misses(const sim_world *world, size_t node, char *out, size_t out_bytes);

/* -- oracle_budget.c -- */

void oracle_note_budgets(sim_world *world, const net_node *node);
/* Since the note: a piece was read, or the exchange had a turn, in which it hears peers_max peers
 * at most. */
void oracle_check_budgets(const sim_world *world, const net_node *node, unsigned peers_max);

/* -- oracle_flicker.c: I11 -- */

typedef enum sim_outage {
    SIM_UNCERTAIN, /* it may have been noticed or not */
    SIM_SHORT,     /* too short for a sink to move */
    SIM_TOLERABLE, /* within the grace */
    SIM_LONG,      /* certainly over */
} sim_outage;
/* Before and after an outage of the way from node upwards. */
void oracle_before_outage(sim_world *world);
void oracle_after_outage(const sim_world *world, size_t node, sim_outage outage);
/* The user whose sink of object another could take over at any time, unseen by observers; NULL:
 * there is none. */
sim_user *oracle_mover(sim_world *world, size_t object);
/* After an exposer has begun to drain, or to take objects again; before was oracle_before_outage().
 */
void oracle_after_hand_over(const sim_world *world);

/* -- For all of them -- */

static inline size_t oracle_node_number(const sim_world *world, const net_node *node)
{
    return (size_t)(node - world->network->nodes);
}

typedef struct oracle_scan {
    uint64_t place;
    void *found[16];
    size_t count, next;
} oracle_scan;

static inline const hkb_object *oracle_scan_next(oracle_scan *scan, const hkb_exchange *exchange)
{
    if (scan->next == scan->count) {
        scan->count = hkb_map_scan(&exchange->objects, &scan->place, scan->found, 16);
        scan->next = 0;
    }
    return scan->count ? scan->found[scan->next++] : NULL;
}

/* Each object of an exchange. */
#define ORACLE_OBJECTS_EACH(object, exchange)                                                      \
    oracle_scan scan_for_##object = {0};                                                           \
    for (const hkb_object *object;                                                                 \
         (object = oracle_scan_next(&scan_for_##object, exchange)) != NULL;)

#endif
