/* The exposers of a tag in a heap by load, at equal load by age, so that the lightest one is found
 * without looking at the others. Loads change far more often than a heap is used. So an offer whose
 * load has risen is moved only when it is first in the heap. Downstreams that have more room than
 * before are in one list for all heaps, the latest at its end; each heap keeps the number of the
 * last one that it has seen, and catches up when it is used. */
#include "exchange/offers.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"

/* -- Room -- */

bool hkb_peer_has_room(const hkb_peer *peer, double more)
{
    hkb_candidate candidate = {
        .load = peer->load + peer->promised + more,
        .load_limit = hkb_peer_load_limit(peer),
        .open = peer->link.phase == HKB_LINK_OPEN,
    };
    return hkb_candidate_fit(&candidate) == HKB_FIT_ROOM;
}

void hkb_peer_has_more_room(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_list_remove(&peer->roomier);
    hkb_list_push(&exchange->roomier, &peer->roomier);
    peer->room_number = ++exchange->room_number;
    hkb_balance_mark(exchange);
    if (peer->load_limit && exchange->roomless_count + exchange->declined_count) {
        exchange->roomless_left = exchange->roomless_count;
        exchange->declined_left = exchange->declined_count;
        if (!hkb_node_linked(&peer->roomy)) {
            hkb_list_push(&exchange->roomy, &peer->roomy);
        }
    }
}

void hkb_promise(hkb_peer *peer, double cost)
{
    hkb_exchange *exchange = peer->exchange;
    peer->promised += cost;
    if (exchange->promises_ns == UINT64_MAX) {
        exchange->promises_ns = exchange->now_ns + HKB_PROMISE_NS;
    }
}

void hkb_promise_end(hkb_peer *peer, double cost)
{
    peer->promised = peer->promised > cost ? peer->promised - cost : 0;
}

void hkb_peer_await_room(hkb_peer *peer, double more)
{
    if (!peer->load_limit || peer->link.phase != HKB_LINK_OPEN || hkb_peer_has_room(peer, more)) {
        return;
    }
    uint64_t after_ns = hkb_load_limit_when(peer->load_limit, peer->load + peer->promised + more,
                                            peer->exchange->now_ns - peer->load_limit_ns);
    if (after_ns == UINT64_MAX) {
        return;
    }
    uint64_t ns = peer->load_limit_ns + after_ns;
    if (!peer->room_ns || ns < peer->room_ns) {
        peer->room_ns = ns;
    }
    if (ns < peer->exchange->tick_ns) {
        peer->exchange->tick_ns = ns;
    }
}

/* -- Offers -- */

static double cost_of(const hkb_tag_share *share)
{
    return 1.0 / (double)share->registered.capacity;
}

/* Puts the offer into the heap, or moves it if it has become lighter. */
static void place(hkb_tag_share *share)
{
    hkb_heap *heap = &share->tag->offers;
    double key = share->peer->load + cost_of(share);
    if (share->registered.capacity == 0 ||
        (hkb_heap_linked(&share->offer) && key >= share->offer.key)) {
        return;
    }
    hkb_heap_remove(heap, &share->offer);
    share->offer.key = key;
    share->offer.rank = share->registered.number;
    hkb_heap_add(heap, &share->offer);
}

/* Exposers stand at the front of the list, so that observers cost nothing. */
static void note_offer(hkb_peer *peer, hkb_list *list, hkb_node *node, bool exposes,
                       uint32_t capacity)
{
    hkb_list_remove(node);
    if (exposes) {
        hkb_list_push_front(list, node);
    } else {
        hkb_list_push(list, node);
    }
    if (capacity > peer->capacity_max) {
        peer->capacity_max = capacity;
    }
    hkb_peer_has_more_room(peer);
}

void hkb_offer_tag(hkb_tag_share *share)
{
    hkb_heap_remove(&share->tag->offers, &share->offer);
    note_offer(share->peer, &share->tag->shares, &share->of_tag, share->registered.exposes,
               share->registered.capacity);
    place(share);
}

void hkb_offer_object(hkb_share *share)
{
    note_offer(share->peer, &share->object->shares, &share->of_object, share->registered.exposes,
               share->registered.capacity);
}

/* Updates the heap for all downstreams that have more room than when it was last used: walks over
 * these downstreams, or over the heap's own offers, whichever are fewer. */
static void catch_up(hkb_tag *tag)
{
    hkb_exchange *exchange = tag->exchange;
    uint64_t news = exchange->room_number - tag->room_number;
    if (news == 0) {
        return;
    }
    if (news >= tag->expose_shares) {
        size_t left = tag->expose_shares;
        for (hkb_node *node = tag->shares.head.next; left; node = node->next, left--) {
            place(HKB_CONTAINER(node, hkb_tag_share, of_tag));
        }
    } else {
        hkb_node *node = exchange->roomier.head.previous;
        for (; node != &exchange->roomier.head; node = node->previous) {
            const hkb_peer *peer = HKB_CONTAINER(node, hkb_peer, roomier);
            if (peer->room_number <= tag->room_number) {
                break;
            }
            hkb_tag_share *share = hkb_tag_share_find(exchange, peer, tag);
            if (share) {
                place(share);
            }
        }
    }
    tag->room_number = exchange->room_number;
}

hkb_tag_share *hkb_offer_first(hkb_tag *tag)
{
    catch_up(tag);
    while (tag->offers.first) {
        hkb_tag_share *share = HKB_CONTAINER(tag->offers.first, hkb_tag_share, offer);
        hkb_peer *peer = share->peer;
        double key = peer->load + cost_of(share);
        hkb_candidate candidate = {
            .load = key,
            .load_limit = hkb_peer_load_limit(peer),
            .open = peer->link.phase == HKB_LINK_OPEN,
        };
        bool fits = hkb_candidate_fit(&candidate) == HKB_FIT_ROOM;
        if (fits && key <= share->offer.key) {
            return share;
        }
        hkb_heap_remove(&tag->offers, &share->offer);
        if (fits) {
            place(share);
        } else if (candidate.open) {
            hkb_peer_await_room(peer, cost_of(share));
        }
    }
    return NULL;
}

void hkb_offer_aside(hkb_tag_share *share, hkb_tag_share **list)
{
    hkb_heap_remove(&share->tag->offers, &share->offer);
    share->aside = *list;
    *list = share;
}

void hkb_offer_back(hkb_tag_share *list)
{
    while (list) {
        hkb_tag_share *next = list->aside;
        list->aside = NULL;
        place(list);
        list = next;
    }
}
