/* The choice of an object's exposer as a pure function: the facts of one object at one exchange go
 * in, a decision comes out. Nothing is looked up, kept or changed here. The rules are those of
 * docs/assignment.md; facts are gathered and decisions carried out by choose.c. */
#ifndef HKB_EXCHANGE_DECIDE_H
#define HKB_EXCHANGE_DECIDE_H

#include "base/base.h"

#include <hakuban/state.h>

typedef enum hkb_exposer_kind {
    HKB_NO_EXPOSER = 0,
    HKB_LOCAL,
    HKB_UPSTREAM,
    HKB_DOWNSTREAM,
} hkb_exposer_kind;

/* -- One downstream -- */

/* The facts about one downstream that is registered to expose the object with a capacity above 0.
 */
typedef struct hkb_candidate {
    /* The downstream's load with the object, and with promised objects if those count. */
    double load;
    double load_limit; /* infinity: no limit */
    bool open;         /* its link is neither away nor about to end */
    bool declines;     /* it declines the object */
    bool observes;     /* it observes the object, itself or by a tag */
    bool had_it;       /* it has told that it had the object before this exchange was restarted */
    uint64_t number;   /* the number of its registration: a smaller one is older */
} hkb_candidate;

/* In ascending order. */
typedef enum hkb_fit {
    HKB_FIT_NONE = 0, /* it cannot be chosen */
    HKB_FIT_FULL,     /* over its load limit, but it observes the object: it would serve itself */
    HKB_FIT_ROOM,     /* within its load limit */
} hkb_fit;

hkb_fit hkb_candidate_fit(const hkb_candidate *candidate);
/* Whether candidate is better than other; both fit. Of two equals the older one is better. */
bool hkb_candidate_is_better(const hkb_candidate *candidate, const hkb_candidate *other);

/* -- The object -- */

typedef struct hkb_facts {
    bool needed;  /* the object has to be served from here */
    bool held;    /* the object stays as it was before the upstream's restart, if possible */
    bool awaited; /* the exposer that had the object before this exchange was restarted may still
                     come back */

    bool has_upstream;     /* there is a link upwards */
    bool upstream_is_open; /* and its conversation goes on */
    hakuban_source source; /* of the upstream's stream of the object; NONE if there is no stream */

    /* What exposes it now. */
    hkb_exposer_kind exposer;
    bool stays;  /* LOCAL, DOWNSTREAM: it can go on exposing, if only until another exposer can */
    bool drains; /* its capacity is 0 */
    bool away;   /* DOWNSTREAM: its connection is lost */
    bool yields; /* it is away for so long that another exposer may take over */
    double load; /* DOWNSTREAM: with the object */
    bool rebalances;  /* the object may move to a downstream with less load */
    double threshold; /* how much less: a setting of the exchange */

    bool local; /* a contract of the program could expose it, with a capacity above 0 */

    /* The best of all downstreams; unknown until a decision asks for it. */
    bool best_is_known;
    hkb_fit best;
    bool best_has_it; /* it is the exposer now */
    bool best_had_it; /* before this exchange was restarted */
    double best_load; /* with the object */
    bool spare;       /* one has room, even if all promised objects count */

    /* What follows if nothing is chosen. */
    bool returns; /* a downstream that could expose it is away, and may be back at any moment */
    bool is_left; /* the only downstream that observes it could expose it, and has not done so until
                     now */

    /* What the upstream was told of the object. */
    bool offered;  /* an exposer here or below is registered for it, with any capacity */
    bool declines; /* no exposer here can take it: the decline was told, or will be */
    bool declined; /* the decline was told */
} hkb_facts;

typedef struct hkb_decision {
    bool asks; /* the decision needs the best downstream: set best_is_known and call again. The rest
                  is void */
    bool waits;   /* nothing is decided: the object is held */
    bool changes; /* another exposer than before, perhaps of the same kind */
    hkb_exposer_kind
        exposer;     /* DOWNSTREAM: the one that has it, if nothing changes; else the best */
    bool stays_live; /* while the object changes hands */
    bool declines;   /* the upstream shall choose another exchange */
} hkb_decision;

/* The least difference of loads for which an object moves away from an exposer of this load. */
double hkb_decide_margin(double load, double threshold);
hkb_decision hkb_decide(const hkb_facts *facts);

#endif
