/* What downstreams offer to expose, ordered by load, and how much room each has. */
#ifndef HKB_EXCHANGE_OFFERS_H
#define HKB_EXCHANGE_OFFERS_H

#include "exchange/records.h"

/* Downstream: its registration of the tag, or of the object itself, has changed. */
void hkb_offer_tag(hkb_tag_share *share);
void hkb_offer_object(hkb_share *share);
/* The lightest of the tag's offers whose downstream is open and has room, without its load limit
 * being overstepped; NULL: there is none. */
hkb_tag_share *hkb_offer_first(hkb_tag *tag);
/* Takes the offer out of the heap until hkb_offer_back() with the same list. */
void hkb_offer_aside(hkb_tag_share *share, hkb_tag_share **list);
void hkb_offer_back(hkb_tag_share *list);

/* Downstream: it may be able to take an object that it could not take before. */
void hkb_peer_has_more_room(hkb_peer *peer);
/* Whether it has room for this much more load, even if all promised objects come. */
bool hkb_peer_has_room(const hkb_peer *peer, double more);
/* Downstream: room for load cost is kept for an object that the upstream may give, until it comes
 * or for HKB_PROMISE_NS. */
void hkb_promise(hkb_peer *peer, double cost);
/* An object of that cost has come. */
void hkb_promise_end(hkb_peer *peer, double cost);
/* An object waits for this much room: if the load limit rises with time, hkb_peer_has_more_room()
 * is called when there is room. */
void hkb_peer_await_room(hkb_peer *peer, double more);

#endif
