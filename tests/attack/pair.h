/* A good pair beside the attack, in a process of its own: one exchange exposes, one observes, over
 * the router. Each 5 ms a state goes from one to the other. */
#ifndef ATTACK_PAIR_H
#define ATTACK_PAIR_H

#include <stddef.h>
#include <stdint.h>

typedef struct pair pair;

typedef struct pair_figures {
    size_t count;
    double p50_ms, p99_ms, max_ms; /* max: also of a round that has not ended yet */
} pair_figures;

/* reader_url, writer_url: the routers that the observer and the exposer connect to. */
pair *pair_begin(const char *reader_url, const char *writer_url);
/* Of the rounds since the last call. */
pair_figures pair_take(pair *p);
void pair_end(pair *p);

#endif
