/* Applies a downstream's new registration of a tag to the tag's objects: their streams and their
 * exposers change. A full pass visits all objects. Where a registration only exposes, and the tag
 * has other exposers, a pass visits the objects that the downstream has already, and those that
 * wait for an exposer; balance.c finds those that are better at the new one. A pass goes on by a
 * few objects at a time, one downstream after the other, so that a tag of very many objects delays
 * no other peer, however often it is registered and taken back. */
#include "exchange/pass.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/tag.h"

#define PASS_OBJECTS 256 /* in one tick: a fraction of a millisecond */
#define TURN_OBJECTS 64  /* then it is the next downstream's turn */

static void visit(hkb_tag_share *tag_share, hkb_object *object)
{
    hkb_peer *peer = tag_share->peer;
    hkb_share *share = hkb_share_find(object->exchange, peer, object);
    if (!share && tag_share->registered.observes) {
        if (hkb_share_get(peer, object, &share) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        }
    } else if (share && tag_share->pass_refreshes) {
        hkb_share_refresh(share);
    }
    if (share) {
        hkb_assign_recharge(share);
    }
    if (tag_share->pass_refreshes || object->assigned.to == HKB_NO_EXPOSER) {
        hkb_object_mark(object); /* it may have more exposers now, or fewer */
    }
}

static bool has_tag(const hkb_object *object, const hkb_tag *tag)
{
    for (size_t i = 0; i < object->tag_count; i++) {
        if (object->tags[i].tag == tag) {
            return true;
        }
    }
    return false;
}

/* The peer's shares go to the end of their list one by one, so that none is left out. NULL: all of
 * those that were left have been given. */
static hkb_share *next_own(hkb_peer *peer, size_t *left)
{
    *left = hkb_min(*left, peer->share_count);
    if (*left == 0) {
        return NULL;
    }
    --*left;
    hkb_node *node = hkb_list_pop(&peer->shares);
    hkb_list_push(&peer->shares, node);
    return HKB_CONTAINER(node, hkb_share, of_peer);
}

/* The peer's passes go on one after the other. false: all have been visited. */
static bool visit_own(hkb_tag_share *tag_share)
{
    const hkb_share *share = next_own(tag_share->peer, &tag_share->own_left);
    if (share && has_tag(share->object, tag_share->tag)) {
        visit(tag_share, share->object);
    }
    return share != NULL;
}

/* An object that has an exposer now is put before the divider, unless a full pass would miss it
 * there. */
static void visit_unserved(hkb_tag *tag, hkb_object_tag *place)
{
    if (place->object->unserved) {
        hkb_object_mark(place->object);
    } else if (tag->full_passes == 0) {
        hkb_list_remove(&place->of_tag);
        hkb_list_insert_before(&tag->divider.of_tag, &place->of_tag);
    }
}

/* Moves the cursor to the next object. false: there is none. */
static bool advance(hkb_tag_share *share)
{
    if (visit_own(share)) {
        return true;
    }
    hkb_node *node = share->cursor.of_tag.next;
    if (node == &share->tag->objects.head) {
        if (!share->pass_again) {
            return false;
        }
        hkb_pass_restart(share);
        return true;
    }
    hkb_list_remove(&share->cursor.of_tag);
    hkb_list_insert_before(node->next, &share->cursor.of_tag);
    hkb_object_tag *place = HKB_CONTAINER(node, hkb_object_tag, of_tag);
    if (place->object && share->pass_is_full) {
        visit(share, place->object);
    } else if (place->object) {
        visit_unserved(share->tag, place);
    }
    return true;
}

/* After the peer has begun to yield, or has come back. false: all have been looked at. */
static bool mark_own(hkb_peer *peer)
{
    const hkb_share *share = next_own(peer, &peer->marks_left);
    if (!share) {
        return false;
    }
    const hkb_object *object = share->object;
    bool is_free = object->assigned.to == HKB_NO_EXPOSER || object->timed_as == HKB_ROOMLESS ||
                   object->timed_as == HKB_DECLINED;
    if (hkb_share_serves(share) || (share->in.exposing && is_free)) {
        hkb_object_mark(share->object);
    }
    return true;
}

static size_t take_turn(hkb_peer *peer, size_t count_max)
{
    hkb_node *node;
    size_t count = 0;
    while (count < count_max && mark_own(peer)) {
        count++;
    }
    while (count < count_max && (node = hkb_list_first(&peer->passes))) {
        hkb_tag_share *share = HKB_CONTAINER(node, hkb_tag_share, passing);
        count++;
        if (!advance(share)) {
            hkb_pass_end(share);
            hkb_tag_passed(share);
        }
    }
    return count;
}

void hkb_pass_tick(hkb_exchange *exchange)
{
    size_t count = 0;
    hkb_node *node;
    while (count < PASS_OBJECTS && (node = hkb_list_pop(&exchange->passing))) {
        hkb_peer *peer = HKB_CONTAINER(node, hkb_peer, passing);
        count += take_turn(peer, hkb_min((size_t)TURN_OBJECTS, PASS_OBJECTS - count));
        if (!hkb_list_empty(&peer->passes) || peer->marks_left) {
            hkb_list_push(&exchange->passing, &peer->passing);
        }
    }
}
