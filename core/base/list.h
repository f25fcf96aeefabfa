/* Doubly linked lists whose nodes are members of the items. A node that is in no list has next
 * NULL. */
#ifndef HKB_BASE_LIST_H
#define HKB_BASE_LIST_H

#include "base/base.h"

typedef struct hkb_node {
    struct hkb_node *previous, *next;
} hkb_node;

/* The head is a node of the ring; hkb_list_init() before use. */
typedef struct hkb_list {
    hkb_node head;
} hkb_list;

static inline void hkb_list_init(hkb_list *list)
{
    list->head.previous = list->head.next = &list->head;
}
static inline bool hkb_list_empty(const hkb_list *list)
{
    return list->head.next == &list->head;
}
static inline bool hkb_node_linked(const hkb_node *node)
{
    return node->next != NULL;
}
static inline void hkb_list_insert_before(hkb_node *place, hkb_node *node)
{
    HKB_ASSERT(!node->next); /* a node in two lists could be removed from one of them only */
    node->previous = place->previous;
    node->next = place;
    place->previous->next = node;
    place->previous = node;
}
static inline void hkb_list_push(hkb_list *list, hkb_node *node)
{
    hkb_list_insert_before(&list->head, node);
}
static inline void hkb_list_push_front(hkb_list *list, hkb_node *node)
{
    hkb_list_insert_before(list->head.next, node);
}
/* Does nothing to a node that is in no list. */
static inline void hkb_list_remove(hkb_node *node)
{
    if (node->next) {
        node->previous->next = node->next;
        node->next->previous = node->previous;
        node->next = node->previous = NULL;
    }
}
static inline hkb_node *hkb_list_first(const hkb_list *list)
{
    return hkb_list_empty(list) ? NULL : list->head.next;
}
static inline hkb_node *hkb_list_pop(hkb_list *list)
{
    hkb_node *node = hkb_list_first(list);
    if (node) {
        hkb_list_remove(node);
    }
    return node;
}

/* The body may remove the item it is at, but no other. */
#define HKB_LIST_EACH(type, item, list, member)                                                    \
    for (hkb_node *item##_node = (list)->head.next, *item##_next = item##_node->next;              \
         item##_node != &(list)->head; item##_node = item##_next, item##_next = item##_node->next) \
        for (type *item = HKB_CONTAINER(item##_node, type, member); item; item = NULL)

#endif
