/* What downstreams offer to expose, ordered by load, and how much room each has. */
#ifndef HKB_EXCHANGE_OFFERS_H
#define HKB_EXCHANGE_OFFERS_H

#include "exchange/records.h"

/* Downstream: what it registered for the tag, or for the object itself, has changed. */
void hkb_offer_tag(hkb_tag_share *share);
void hkb_offer_object(hkb_share *share);
/* The lightest of the tag's offers whose downstream is open and has room, without its load limit
 * being overstepped; NULL: there is none. */
hkb_tag_share *hkb_offer_first(hkb_tag *tag);
/* Behind all others, until hkb_offer_back() with the same list. Ties the shares by listed. */
void hkb_offer_aside(hkb_tag_share *share, hkb_tag_share **list);
void hkb_offer_back(hkb_tag_share *list);

/* Downstream: it may be able to take an object that it could not take before. */
void hkb_peer_has_more_room(hkb_peer *peer);
/* Room for load more than it has, all that was promised included. */
bool hkb_peer_has_room(const hkb_peer *peer, double more);
/* Downstream: room for load cost is kept for an object that the upstream may give, until it comes
 * or for HKB_PROMISE_NS. */
void hkb_promise(hkb_peer *peer, double cost);
/* An object of that cost has come. */
void hkb_promise_end(hkb_peer *peer, double cost);
/* Room for load more is wanted: where the load limit rises, hkb_peer_has_more_room() is called when
 * there is. */
void hkb_peer_await_room(hkb_peer *peer, double more);

#endif
