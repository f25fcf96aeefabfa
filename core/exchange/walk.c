/* All objects and then all tags, looked at again a few at a time, after something has changed that
 * concerns all of them. The places in the tables survive whatever is put into them and taken out
 * meanwhile; a change during a walk begins another lap after it. */
#include "exchange/walk.h"
#include "exchange/agenda.h"
#include "exchange/recall.h"

#define STEP_ITEMS 16u /* more than ever share one place in a table */

static void visit(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    if (!exchange->upstream_expected) {
        hkb_recall_forget_object(object);
    }
    hkb_object_mark(object);
}

bool hkb_walk_go_on(hkb_exchange *exchange)
{
    hkb_walk *walk = &exchange->walk;
    void *found[STEP_ITEMS];
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
        hkb_tag_recheck_listed(found[i]);
    }
    if (count == 0) {
        *walk = (hkb_walk){.goes_on = walk->again};
    }
    return true;
}
