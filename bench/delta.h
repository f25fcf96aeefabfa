/* The sub-command that compares our deltas with zstd's and with memcmp. */
#ifndef BENCH_DELTA_H
#define BENCH_DELTA_H

/* hakuban-bench delta [--size S] [--case C] [--rounds N] [--json]; argv[0] is the sub-command. 0,
 * or 2 after words on stderr. */
int bench_delta(int argc, char **argv);

#endif
