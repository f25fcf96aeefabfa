/* The kinds of misuse. */
#ifndef ATTACK_KINDS_H
#define ATTACK_KINDS_H

#include "client.h"

typedef struct kind {
    const char *name, *what;
    bool below; /* it plays against a router below the one that the pair's observer is at */
    void (*play)(unsigned port, int64_t end_us);
} kind;

extern const kind kinds[];
extern const size_t kind_count;

#endif
