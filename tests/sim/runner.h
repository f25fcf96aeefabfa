/* Plays histories in processes of their own, so that one that breaks a promise, dies or hangs is a
 * finding and not the end. */
#ifndef TESTS_SIM_RUNNER_H
#define TESTS_SIM_RUNNER_H

#include "world.h"

typedef struct run_order {
    uint64_t first, count; /* seeds */
    uint64_t until_s;      /* and not longer than this, by the clock; 0: as long as it takes */
    unsigned jobs;         /* processes at a time */
    unsigned twice_every;  /* every so many seeds are played twice, and must be the same; 0: none */
} run_order;

typedef struct run_verdict {
    bool failed;
    uint64_t seed;
    char text[2048]; /* what was broken */
    sim_result sum;
    uint64_t converged_max_ns;
} run_verdict;

/* Stops at the first that fails. */
void run_seeds(const run_order *order, run_verdict *ret);
/* One history. kept: as for sim_play(). */
void run_plan(const sim_plan *plan, const bool *kept, bool trace, run_verdict *ret);
/* Takes out of kept whatever the same failure does not need. Returns how many histories that took.
 */
unsigned run_shrink(const sim_plan *plan, const run_verdict *failure, bool *kept);
/* The clock, in seconds: only for how long it all takes. */
double run_clock_s(void);
uint64_t run_fresh_seed(void);

#endif
