/* What is kept of a session that has ended. */
#ifndef HKB_EXCHANGE_RECALL_H
#define HKB_EXCHANGE_RECALL_H

#include "exchange/records.h"

/* The connector's side, for each share of a session that has ended, before it is closed: the object
 * stays, STALE, until a new upstream has listed its objects. */
void hkb_recall_remember(hkb_share *share);
/* Objects that are held from now on have this grace. */
void hkb_recall_begin(hkb_peer *peer);
/* Choice and freshness stay for the rest of the grace. */
void hkb_recall_hold(hkb_share *share);
/* The new upstream has confirmed the object's source. */
void hkb_recall_confirm(hkb_object *object);
/* The new upstream has told another source. */
void hkb_recall_release(hkb_object *object);
void hkb_recall_expire(hkb_exchange *exchange);
uint64_t hkb_recall_deadline(const hkb_exchange *exchange);
/* From now on the upstream's streams tell which objects of the tag exist. */
void hkb_recall_listed(hkb_tag *tag);
void hkb_recall_forget_object(hkb_object *object);
/* The new upstream will be told the names of all objects before anything else. */
void hkb_recall_offer(hkb_peer *peer);
/* Sends one frame of names; false: there are no more, or while peer->recall stays, no more in this
 * turn. */
bool hkb_recall_say(hkb_peer *peer);
/* Names that wait have their turn again. */
void hkb_recall_wake(hkb_exchange *exchange);

/* The listener's side. */
hakuban_status hkb_recall_hear(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr);
void hkb_recall_tick(hkb_peer *peer);
void hkb_recall_grow_up(hkb_exchange *exchange);
void hkb_recall_done(hkb_exchange *exchange);

#endif
