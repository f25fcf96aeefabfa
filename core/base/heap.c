/* Two-pass pairing heap of Fredman, Sedgewick, Sleator and Tarjan. */
#include "base/heap.h"

static bool goes_before(const hkb_heap_node *node, const hkb_heap_node *other)
{
    return node->key < other->key || (node->key == other->key && node->rank < other->rank);
}

/* Makes one tree of two. Neither the two roots nor the new root have valid links to siblings. */
static hkb_heap_node *meld(hkb_heap_node *a, hkb_heap_node *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (goes_before(b, a)) {
        hkb_heap_node *first = b;
        b = a;
        a = first;
    }
    b->next = a->child;
    if (b->next) {
        b->next->previous = b;
    }
    b->previous = a;
    a->child = b;
    return a;
}

/* Melds pairs from the left, then all pairs from the right. This order makes removal logarithmic.
 */
static hkb_heap_node *meld_children(hkb_heap_node *child)
{
    hkb_heap_node *pairs = NULL, *tree = NULL;
    while (child) {
        hkb_heap_node *second = child->next, *rest = second ? second->next : NULL;
        hkb_heap_node *pair = meld(child, second);
        pair->next = pairs;
        pairs = pair;
        child = rest;
    }
    while (pairs) {
        hkb_heap_node *rest = pairs->next;
        tree = meld(tree, pairs);
        pairs = rest;
    }
    return tree;
}

static void set_first(hkb_heap *heap, hkb_heap_node *node)
{
    heap->first = node;
    if (node) {
        node->next = NULL;
        node->previous = node;
    }
}

void hkb_heap_add(hkb_heap *heap, hkb_heap_node *node)
{
    HKB_ASSERT(!hkb_heap_linked(node));
    node->child = NULL;
    set_first(heap, meld(heap->first, node));
}

void hkb_heap_remove(hkb_heap *heap, hkb_heap_node *node)
{
    if (!hkb_heap_linked(node)) {
        return;
    }
    hkb_heap_node *children = meld_children(node->child);
    if (heap->first == node) {
        set_first(heap, children);
    } else {
        if (node->previous->child == node) {
            node->previous->child = node->next;
        } else {
            node->previous->next = node->next;
        }
        if (node->next) {
            node->next->previous = node->previous;
        }
        set_first(heap, meld(heap->first, children));
    }
    node->child = node->next = node->previous = NULL;
}
