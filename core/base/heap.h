/* A pairing heap whose nodes are members of the items. The first item has the least key, and among
 * equal keys the least rank. Nothing is allocated. Adding takes constant time; removing takes time
 * logarithmic in the number of items, on average over a sequence of calls. */
#ifndef HKB_BASE_HEAP_H
#define HKB_BASE_HEAP_H

#include "base/base.h"

/* Zeroed while it is in no heap. */
typedef struct hkb_heap_node {
    struct hkb_heap_node *child, *next; /* the first child; the next child of the same parent */
    struct hkb_heap_node
        *previous; /* the sibling before, or the parent; the node itself: it is the root */
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
