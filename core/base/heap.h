/* A pairing heap whose nodes live inside the items: the item of the least key first, of equal keys
 * the one of the least rank. Nothing is allocated. Adding takes constant time, removing a time
 * logarithmic in the number of items, on average over a sequence of calls. */
#ifndef HKB_BASE_HEAP_H
#define HKB_BASE_HEAP_H

#include "base/base.h"

/* Zeroed while it is in no heap. */
typedef struct hkb_heap_node {
    struct hkb_heap_node *child, *next; /* the first child; the next child of the same parent */
    struct hkb_heap_node *previous;     /* the one before, or the parent; itself: it is the first */
    double key;
    uint64_t rank;
} hkb_heap_node;

/* Zeroed: empty. */
typedef struct hkb_heap {
    hkb_heap_node *first; /* NULL: none */
} hkb_heap;

static inline bool hkb_heap_linked(const hkb_heap_node *node)
{
    return node->previous != NULL;
}
/* node has its key and rank, and is in no heap. */
void hkb_heap_add(hkb_heap *heap, hkb_heap_node *node);
/* Does nothing to a node that is in no heap. */
void hkb_heap_remove(hkb_heap *heap, hkb_heap_node *node);

#endif
