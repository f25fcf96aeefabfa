/* The lists of records to be looked at again: objects and tags when the exchange settles, a tag's
 * objects in a pass, peers and their items when their carriers can take more, queues when users
 * take events. Code that changes a record puts it into these lists; nothing is done at once. */
#include "exchange/agenda.h"

/* -- Objects and tags, for settling -- */

void hkb_object_mark(hkb_object *object)
{
    if (!hkb_node_linked(&object->dirty)) {
        hkb_list_push(&object->exchange->dirty, &object->dirty);
    }
}

void hkb_object_leave_timed(hkb_object *object)
{
    hkb_list_remove(&object->timed);
    if (object->timed_as == HKB_BALANCED) {
        object->exchange->balanced_count--;
        object->assigned.share->peer->serves_count--;
    }
    object->exchange->roomless_count -= object->timed_as == HKB_ROOMLESS;
    object->exchange->declined_count -= object->timed_as == HKB_DECLINED;
    object->timed_as = HKB_UNTIMED;
}

void hkb_tag_mark(hkb_tag *tag)
{
    if (!hkb_node_linked(&tag->dirty)) {
        hkb_list_push(&tag->exchange->dirty_tags, &tag->dirty);
    }
}

void hkb_tag_sweep(hkb_tag *tag)
{
    tag->sweep_again = hkb_node_linked(&tag->sweeping);
    if (!tag->sweep_again) {
        hkb_list_push(&tag->exchange->sweeping, &tag->sweeping);
        tag->full_passes++;
    }
}

void hkb_tag_sweep_end(hkb_tag *tag)
{
    hkb_exchange *exchange = tag->exchange;
    if (!hkb_node_linked(&tag->sweeping)) {
        return;
    }
    if (hkb_list_first(&exchange->sweeping) == &tag->sweeping) {
        hkb_list_remove(&exchange->sweep_cursor.of_tag);
    }
    hkb_list_remove(&tag->sweeping);
    tag->full_passes--;
    tag->sweep_again = false;
}

void hkb_tag_mark_objects(hkb_tag *tag)
{
    if (tag->object_count > HKB_MARKED_MAX) {
        hkb_tag_sweep(tag);
        return;
    }
    HKB_TAG_OBJECTS_EACH(object, tag)
    {
        hkb_object_mark(object);
    }
}

void hkb_tag_recheck_listed(hkb_tag *tag)
{
    hkb_tag_mark(tag);
    HKB_LIST_EACH(hkb_tag_share, share, &tag->shares, of_tag)
    {
        if (share->listed_wanted && !hkb_node_linked(&share->listing)) {
            hkb_list_push(&tag->exchange->listings, &share->listing);
        }
    }
}

void hkb_exchange_mark_all(hkb_exchange *exchange)
{
    exchange->walk.again = exchange->walk.goes_on;
    exchange->walk.goes_on = true;
}

/* -- Loads -- */

void hkb_balance_mark(hkb_exchange *exchange)
{
    uint64_t soonest_ns = exchange->now_ns + HKB_REBALANCE_NS;
    if (!exchange->balance_due && exchange->rebalance_ns < soonest_ns) {
        exchange->rebalance_ns = soonest_ns;
    }
    exchange->balance_due = true;
}

void hkb_exposer_gone(hkb_exchange *exchange)
{
    exchange->roomless_left = exchange->roomless_count;
    exchange->declined_left = exchange->declined_count;
    exchange->waiting_due = exchange->roomless_count + exchange->declined_count > 0;
}

/* -- The objects of a tag, for a pass -- */

void hkb_pass_restart(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    bool full = share->pass_is_full;
    hkb_list_remove(&share->cursor.of_tag);
    hkb_list_insert_before(full ? tag->objects.head.next : tag->divider.of_tag.next,
                           &share->cursor.of_tag);
    share->own_left = full ? 0 : SIZE_MAX;
    share->pass_again = 0;
}

void hkb_pass_begin(hkb_tag_share *share, bool refreshes, bool full)
{
    hkb_peer *peer = share->peer;
    bool widens = full && !share->pass_is_full;
    share->pass_refreshes |= refreshes;
    share->pass_is_full |= full;
    share->tag->full_passes += widens;
    if (hkb_node_linked(&share->passing) && !widens) {
        share->pass_again =
            1; /* the others in the list come first, however often this one changes */
        return;
    }
    hkb_pass_restart(share);
    if (hkb_node_linked(&share->passing)) {
        return;
    }
    hkb_list_push(&peer->passes, &share->passing);
    if (!hkb_node_linked(&peer->passing)) {
        hkb_list_push(&peer->exchange->passing, &peer->passing);
    }
}

void hkb_pass_end(hkb_tag_share *share)
{
    hkb_list_remove(&share->cursor.of_tag);
    hkb_list_remove(&share->passing);
    share->tag->full_passes -= share->pass_is_full;
    share->pass_again = share->pass_refreshes = share->pass_is_full = 0;
    if (hkb_list_empty(&share->peer->passes) && share->peer->marks_left == 0) {
        hkb_list_remove(&share->peer->passing);
    }
}

/* The peer's shares go to the end of their list one by one, as in the part of a pass that visits
 * them. So that part of a pass begins again. */
void hkb_peer_mark_shares(hkb_peer *peer)
{
    hkb_node *node = hkb_list_first(&peer->passes);
    if (node && HKB_CONTAINER(node, hkb_tag_share, passing)->own_left) {
        HKB_CONTAINER(node, hkb_tag_share, passing)->own_left = SIZE_MAX;
    }
    peer->marks_left = peer->share_count;
    if (!hkb_node_linked(&peer->passing)) {
        hkb_list_push(&peer->exchange->passing, &peer->passing);
    }
}

/* -- What a peer is to be told -- */

void hkb_peer_wake(hkb_peer *peer)
{
    if (peer->writable && !hkb_node_linked(&peer->ready)) {
        hkb_list_push(&peer->exchange->ready, &peer->ready);
    }
}

void hkb_peer_queue(hkb_peer *peer, hkb_item *item)
{
    if (peer->link.phase == HKB_LINK_ENDED || hkb_node_linked(&item->node)) {
        return;
    }
    hkb_list_push(&peer->queue, &item->node);
    hkb_peer_wake(peer);
}

void hkb_peer_queue_first(hkb_peer *peer)
{
    hkb_list_remove(&peer->item.node);
    hkb_list_push_front(&peer->queue, &peer->item.node);
}

void hkb_memory_limit_pass(hkb_exchange *exchange)
{
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        if (!peer->link.connector) {
            peer->memory_limit_due = true;
            hkb_peer_queue(peer, &peer->item);
        }
    }
}

void hkb_share_queue(hkb_share *share)
{
    if (share->item.is_large) { /* the share may have other messages to send */
        share->item.is_large = 0;
        hkb_list_remove(&share->item.node);
    }
    hkb_peer_queue(share->peer, &share->item);
}

void hkb_share_queue_large(hkb_share *share)
{
    if (!hkb_node_linked(&share->item.node)) {
        share->item.is_large = 1;
        hkb_list_push(&share->peer->large, &share->item.node);
    }
}

void hkb_peer_queue_large(hkb_peer *peer)
{
    hkb_node *node = hkb_list_first(&peer->large);
    if (node && peer->outgoing_bytes < HKB_OUTGOING_BYTES_MAX) {
        hkb_share_queue(HKB_CONTAINER(node, hkb_share, item.node));
    }
}

void hkb_peer_unblock(hkb_peer *peer)
{
    hkb_link *link = &peer->link;
    bool was_blocked = hkb_link_is_blocked(link);
    link->working--;
    link->blocked = false;
    if (was_blocked && !hkb_link_is_blocked(link) && !peer->detached &&
        !hkb_node_linked(&peer->behind)) {
        hkb_list_push(&peer->exchange->behind, &peer->behind);
    }
}

/* -- What a user is to be told -- */

void hkb_entry_push(hakuban_queue *queue, hkb_entry *entry, hkb_entry_kind kind)
{
    if (!queue || hkb_node_linked(&entry->queued)) {
        return;
    }
    bool was_empty = hkb_list_empty(&queue->entries);
    entry->kind = (uint8_t)kind;
    hkb_list_push(&queue->entries, &entry->queued);
    if (was_empty) {
        queue->exchange->host.queue_ready(queue->exchange->host.ctx, queue);
    }
}

void hkb_entry_cancel(hkb_entry *entry)
{
    hkb_list_remove(&entry->queued);
}
