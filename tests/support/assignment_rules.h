/* The rules of docs/assignment.md, written a second time: for tests only, from the page and not
 * from the code, so that a rule that is wrong in one of both is found. They look at every
 * downstream of an object, one after the other, and share nothing with core/. */
#ifndef TESTS_SUPPORT_ASSIGNMENT_RULES_H
#define TESTS_SUPPORT_ASSIGNMENT_RULES_H

#include <stdbool.h>
#include <stddef.h>

/* An exposer: a downstream's index, or one of these. */
enum { RULES_NO_EXPOSER = -1, RULES_LOCAL = -2, RULES_UPSTREAM = -3 };

typedef enum rules_link {
    RULES_OPEN,
    RULES_LEAVING, /* one side said that it goes */
    RULES_AWAY,    /* the connection is lost, and may come back at any moment */
    RULES_YIELDS,  /* it has been lost for so long that others may take over */
    RULES_ENDED,
} rules_link;

typedef struct rules_downstream {
    rules_link link;
    bool exposes, observes; /* the object, by itself or by a tag */
    bool declines;
    double capacity;          /* the greatest of its registrations */
    double load, limit;       /* of all that it has; limit: INFINITY if there is none */
    double promised;          /* room that it keeps for objects that are to come back */
    bool had_it;              /* before the exchange was restarted, and says so */
    unsigned long long since; /* its registration of that capacity: the smaller, the older */
} rules_downstream;

typedef struct rules_situation {
    /* What makes an object needed here. */
    bool asked;            /* the upstream has opened a sink here */
    bool observed_here;    /* by the program, or by a tag that is preloaded */
    bool held;             /* the upstream was restarted: nothing changes until it knows again */
    bool awaited;          /* this exchange was restarted: what had the object may come back */
    bool has_upstream;     /* and its link is open */
    bool source;           /* the upstream's stream of it has a source */
    double local_capacity; /* the greatest of the program's contracts; negative: it has none */
    double local_has; /* of the contract that has it, while exposer is RULES_LOCAL; negative: it
                         has ended */
    int exposer;      /* now */
    bool rebalances;  /* it is the object's turn to move to a downstream of less load */
    double threshold;
    bool declines, declined; /* that nothing here can: is to be said; was said */
    size_t count;
    const rules_downstream *downstreams;
} rules_situation;

/* Nothing is decided: the upstream was restarted, and what exposes the object still can. */
bool rules_is_kept(const rules_situation *situation);
bool rules_needed(const rules_situation *situation);
/* Which exposer the rules name. Of two downstreams that are equal in all the first of both. */
int rules_choice(const rules_situation *situation);
/* Whether observers see nothing of the change to choice. */
bool rules_stays_live(const rules_situation *situation, int choice);
bool rules_declines(const rules_situation *situation, int choice);
/* With the object as well. */
bool rules_is_within_limit(const rules_downstream *downstream);
/* Whether a local contract or a downstream that is open and does not decline has room, with all
 * that was promised. */
bool rules_has_room(const rules_situation *situation);

#endif
