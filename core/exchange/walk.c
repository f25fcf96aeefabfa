/* Very many objects, looked at again a few at a time. A walk goes through all objects and then all
 * tags, after something has changed that concerns all of them: its places in the tables survive
 * whatever is put into them and taken out meanwhile. A sweep goes through the objects of one tag, a
 * cursor among them. A change meanwhile begins another lap after it. */
#include "exchange/walk.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/recall.h"

#define STEP_ITEMS 16u     /* more than ever share one place in a table */
#define SHARES_PER_ITEM 8u /* registrations of a tag that are only looked at */

static void visit(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    if (!exchange->upstream_expected) {
        hkb_recall_forget_object(object);
    }
    hkb_object_mark(object);
}

static bool upstream_has_listed(const hkb_tag *tag)
{
    HKB_UPSTREAMS_EACH(peer, tag->exchange)
    {
        const hkb_tag_share *share = hkb_tag_share_find(tag->exchange, peer, tag);
        if (share && share->listed) {
            return true;
        }
    }
    return false;
}

/* false: the sweep is at its end. */
static bool sweep_step(hkb_tag *tag, bool is_listed)
{
    hkb_exchange *exchange = tag->exchange;
    hkb_node *cursor = &exchange->sweep_cursor.of_tag;
    if (!hkb_node_linked(cursor)) {
        hkb_list_push_front(&tag->objects, cursor);
    }
    hkb_node *node = cursor->next;
    if (node == &tag->objects.head) {
        return false;
    }
    hkb_list_remove(cursor);
    hkb_list_insert_before(node->next, cursor);
    hkb_object *object = HKB_CONTAINER(node, hkb_object_tag, of_tag)->object;
    if (object && is_listed) {
        hkb_recall_forget_object(object); /* its stream says whether it is there */
    }
    if (object) {
        hkb_object_mark(object);
    }
    return true;
}

static bool sweep_go_on(hkb_exchange *exchange)
{
    hkb_node *node = hkb_list_first(&exchange->sweeping);
    if (!node || exchange->walk_left == 0) {
        return false;
    }
    hkb_tag *tag = HKB_CONTAINER(node, hkb_tag, sweeping);
    bool is_listed = upstream_has_listed(tag), goes_on = true;
    for (unsigned i = 0; goes_on && i < STEP_ITEMS; i++) {
        goes_on = sweep_step(tag, is_listed);
    }
    exchange->walk_left -= hkb_min(exchange->walk_left, STEP_ITEMS);
    if (!goes_on) {
        bool again = tag->sweep_again;
        hkb_tag_sweep_end(tag);
        hkb_tag_recheck_listed(tag); /* which waited for its end */
        if (again) {
            hkb_tag_sweep(tag);
        }
    }
    return true;
}

bool hkb_walk_go_on(hkb_exchange *exchange)
{
    hkb_walk *walk = &exchange->walk;
    void *found[STEP_ITEMS];
    if (sweep_go_on(exchange)) {
        return true;
    }
    if (!walk->goes_on || exchange->walk_left == 0) {
        return false;
    }
    size_t count = hkb_map_scan(&exchange->objects, &walk->objects, found, STEP_ITEMS);
    exchange->walk_left -= hkb_min(exchange->walk_left, hkb_max(count, 1));
    for (size_t i = 0; i < count; i++) {
        visit(found[i]);
    }
    if (count) {
        return true;
    }
    count = hkb_map_scan(&exchange->tags, &walk->tags, found, STEP_ITEMS);
    for (size_t i = 0; i < count; i++) {
        hkb_tag *tag = found[i];
        exchange->walk_left -= hkb_min(exchange->walk_left, 1 + tag->row_count / SHARES_PER_ITEM);
        hkb_tag_recheck_listed(tag);
    }
    if (count == 0) {
        *walk = (hkb_walk){.goes_on = walk->again};
    }
    return true;
}
