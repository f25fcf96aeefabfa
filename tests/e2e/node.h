/* A program of many threads in one exchange, for the chaos test: it offers an object's states as
 * `hakuban expose` does, prints what it observes as `hakuban observe` does, and meanwhile makes and
 * ends contracts in every way the threads allow. */
#ifndef TESTS_E2E_NODE_H
#define TESTS_E2E_NODE_H

/* argv: URL, exposed object, tag. Runs until SIGTERM; what main() returns. */
int node_main(int argc, char **argv);

#endif
