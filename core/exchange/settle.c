/* Settles marked objects and tags: whether an object still exists, which exposer it has, what is
 * registered with the upstream. The result depends on the facts only, not on the order of events.
 */
#include "exchange/settle.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/assignment.h"
#include "exchange/choose.h"
#include "exchange/decline.h"
#include "exchange/delivery.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/newest.h"
#include "exchange/sink.h"

/* -- Existence -- */

static void close_tag_deliveries(hkb_object *object)
{
    HKB_LIST_EACH(hkb_delivery, delivery, &object->local->deliveries, of_object)
    {
        if (delivery->contract->kind == HKB_OBSERVE_TAG) {
            delivery->closing = true;
            hkb_delivery_touch(delivery);
        }
    }
}

/* Adds what the peers have registered for the tag without observing it: looks at these
 * registrations, or at the peers, whichever are fewer. */
static void gather_unobserved(const hkb_tag *tag, const hkb_list *peers, size_t peer_count)
{
    const hkb_tag_place *at = tag->row + tag->observe_shares, *end = tag->row + tag->row_count;
    if ((size_t)(end - at) <= peer_count) {
        for (; at != end; at++) {
            if (hkb_node_linked(&at->peer->gathering)) {
                hkb_interest_add(&at->peer->gathered, at->interest);
            }
        }
        return;
    }
    HKB_LIST_EACH(hkb_peer, peer, peers, gathering)
    {
        const hkb_tag_share *share = hkb_tag_share_find(tag->exchange, peer, tag);
        if (share) {
            hkb_interest_add(&peer->gathered, hkb_interest_of(&share->registered));
        }
    }
}

/* The downstreams that observe one of the object's tags, and what they have registered for all of
 * them: each registration is looked at once, however many tags they have in common, and exposers
 * cost nothing where there are no observers. */
static void gather(const hkb_object *object, hkb_list *ret_peers)
{
    size_t peer_count = 0;
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag *tag = object->tags[i].tag;
        for (const hkb_tag_place *at = tag->row; at != tag->row + tag->observe_shares; at++) {
            hkb_peer *peer = at->peer;
            if (!hkb_node_linked(&peer->gathering)) {
                peer->gathered = (hkb_interest){0};
                hkb_list_push(ret_peers, &peer->gathering);
                peer_count++;
            }
            hkb_interest_add(&peer->gathered, at->interest);
        }
    }
    for (size_t i = 0; peer_count && i < object->tag_count; i++) {
        gather_unobserved(object->tags[i].tag, ret_peers, peer_count);
    }
}

/* Opens streams for the downstreams that observe its tags. */
static void show_below(hkb_object *object)
{
    hkb_list peers;
    hkb_node *node;
    hkb_list_init(&peers);
    gather(object, &peers);
    while ((node = hkb_list_pop(&peers))) {
        hkb_peer *peer = HKB_CONTAINER(node, hkb_peer, gathering);
        if (hkb_share_observe(peer, object, &peer->gathered) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        }
    }
}

/* Shows the object to the observers of its tags, local ones and downstreams. */
static hakuban_status begin_to_exist(hkb_object *object)
{
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; i < object->tag_count; i++) {
        HKB_LIST_EACH(hakuban_contract, contract, &object->tags[i].tag->contracts, of_subject)
        {
            if (contract->kind == HKB_OBSERVE_TAG && status >= 0) {
                status = hkb_object_open_delivery(object, contract);
            }
        }
    }
    show_below(object);
    return status;
}

/* -- Objects -- */

/* Queued shares are freed once their channels are closed. */
static void queue_shares(hkb_object *object)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        hkb_share_queue(share);
    }
}

/* Queues the upstream's share if the registration there is not up to date. */
static void register_object(hkb_object *object)
{
    hkb_peer *peer = hkb_object_upstream_peer(object);
    hkb_share *share = object->upstream;
    hkb_registration wanted = hkb_object_wanted(object);
    if (!peer) {
        return;
    }
    if (!share && hkb_registration_flags(&wanted)) {
        if (hkb_share_get(peer, object, &share) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
    }
    if (share && (!hkb_registration_equal(&share->registered, &wanted) ||
                  (share->out.phase == HKB_CHANNEL_CLOSING && !object->assigned.leaving))) {
        hkb_share_queue(share);
    }
}

static hkb_timed timed_as(const hkb_object *object, bool needed)
{
    if (hkb_object_phase(object) == HKB_HANDING_OVER || object->retry_due) {
        return HKB_WAITING;
    }
    if (needed && hkb_object_is_roomless(object)) {
        return HKB_ROOMLESS;
    }
    if (needed && object->exchange->rebalances && hkb_object_has_choice(object)) {
        return HKB_BALANCED;
    }
    return object->upstream && object->upstream->out.declining ? HKB_DECLINED : HKB_UNTIMED;
}

static void settle_timed(hkb_object *object, bool needed)
{
    hkb_exchange *exchange = object->exchange;
    hkb_timed as = timed_as(object, needed);
    if (object->timed_as == as) {
        return;
    }
    hkb_object_leave_timed(object);
    object->timed_as = (unsigned)as & 7u;
    switch (as) {
    case HKB_UNTIMED:
        break;
    case HKB_WAITING: /* all wait equally long: the list is in order */
        object->deadline_ns = exchange->now_ns + HKB_HANDOVER_NS;
        hkb_list_push(&exchange->waiting, &object->timed);
        break;
    case HKB_ROOMLESS:
        hkb_list_push(&exchange->roomless, &object->timed);
        exchange->roomless_count++;
        break;
    case HKB_BALANCED:
        hkb_list_push(&object->assigned.share->peer->serves, &object->timed);
        object->assigned.share->peer->serves_count++;
        exchange->balanced_count++;
        hkb_balance_mark(exchange);
        break;
    case HKB_DECLINED:
        hkb_decline_enter(object);
        break;
    }
}

/* To the end of its tags' lists, where each new exposer looks at it; further back a pass that is
 * going on will still come to it. */
static void settle_unserved(hkb_object *object)
{
    bool before = object->unserved;
    object->unserved = hkb_object_is_unserved(object);
    for (size_t i = 0; object->unserved && !before && i < object->tag_count; i++) {
        hkb_list_remove(&object->tags[i].of_tag);
        hkb_list_push(&object->tags[i].tag->objects, &object->tags[i].of_tag);
    }
}

void hkb_object_settle(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    bool exists = hkb_object_should_exist(object);
    hkb_list_remove(&object->dirty);
    if (exists != object->exists) {
        object->exists = exists;
        if (!exists) {
            close_tag_deliveries(object);
        } else if (begin_to_exist(object) < 0) {
            object->exists = 0;
            object->retry_due = 1;
            close_tag_deliveries(object);
            hkb_list_remove(&object->dirty);
        }
        hkb_object_settle_streams(object);
        if (!object->exists) {
            queue_shares(object);
        }
    }
    bool needed = hkb_object_needed(object);
    if (!hkb_choose(object)) {
        register_object(object); /* the rest waits for what the new upstream says */
        return;
    }
    if (!needed) {
        hkb_assign_unneeded(object);
        if (object->state && object->freshness == HAKUBAN_STALE) {
            object->state->left_over = true;
        }
    }
    hkb_assign_open(object);
    hkb_object_refresh_source(object);
    register_object(object);
    settle_timed(object, needed);
    settle_unserved(object);
    if (hkb_object_is_referred_to(object)) {
        return;
    }
    hkb_map_remove(&exchange->objects, object);
    hkb_object_free(object);
}

void hkb_object_expired(hkb_object *object)
{
    hkb_object_leave_timed(object);
    bool retries = object->retry_due;
    hakuban_sink *sink = hkb_object_sink(object);
    object->retry_due = 0;
    if (retries && sink && object->floor) {
        hkb_sink_number_on(sink);
    }
    if (object->assigned.leaving) {
        hkb_assignment_left(object); /* it had its time to close; its further states are ignored */
        hkb_object_mark(object);
    }
    if (object->assigned.unconfirmed) {
        hkb_object_set_unconfirmed(object, false);
        if (object->freshness == HAKUBAN_LIVE) {
            hkb_object_set_condition(object, HAKUBAN_STALE,
                                     object->exchange->now_ns - HKB_HANDOVER_NS);
        }
    }
    hkb_object_mark(object);
}

/* -- Tags -- */

static void settle_listed(hkb_tag *tag)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&tag->unlisted))) {
        hakuban_contract *contract = HKB_CONTAINER(node, hakuban_contract, unlisted);
        contract->listed_told = true;
        hkb_entry_push(contract->queue, &contract->listed, HKB_ENTRY_LISTED);
    }
}

static void register_tag(hkb_tag *tag, hkb_peer *peer)
{
    hkb_tag_share *share = hkb_tag_share_find(tag->exchange, peer, tag);
    hkb_registration wanted = hkb_tag_wanted(tag);
    if (!share && hkb_registration_flags(&wanted)) {
        if (hkb_tag_share_get(peer, tag, &share) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
    }
    if (!share) {
        return;
    }
    if (!hkb_registration_equal(&share->registered, &wanted)) {
        hkb_peer_queue(peer, &share->item);
    } else if (!hkb_registration_flags(&wanted) && share->listed_count == 0) {
        hkb_tag_share_free(
            share); /* taken back before the upstream heard of it, or it has said all it will */
    }
}

void hkb_tag_settle(hkb_tag *tag)
{
    hkb_exchange *exchange = tag->exchange;
    hkb_list_remove(&tag->dirty);
    HKB_UPSTREAMS_EACH(peer, exchange)
    {
        register_tag(tag, peer);
    }
    if (hkb_tag_is_listed(tag)) {
        settle_listed(tag);
    }
    if (tag->object_count || !hkb_list_empty(&tag->contracts) || !hkb_list_empty(&tag->shares) ||
        hkb_node_linked(&tag->dirty)) {
        return;
    }
    hkb_tag_free(tag);
}

/* LISTED is sent behind the streams that settling has queued. */
void hkb_listings_settle(hkb_exchange *exchange)
{
    hkb_node *node;
    while ((node = hkb_list_pop(&exchange->listings))) {
        hkb_tag_share *share = HKB_CONTAINER(node, hkb_tag_share, listing);
        if (!share->listed_wanted || hkb_node_linked(&share->passing) ||
            !hkb_tag_is_listed(share->tag)) {
            continue;
        }
        share->listed_wanted = 0;
        share->listed_count++;
        hkb_peer_queue(share->peer, &share->item);
    }
}
