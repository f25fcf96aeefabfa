/* What is kept of a session that is over. */
#ifndef HKB_EXCHANGE_RECALL_H
#define HKB_EXCHANGE_RECALL_H

#include "exchange/records.h"

/* The connector's side, for each share of a session that is over, before it is closed: the object
 * stays, STALE, until a new upstream has listed what there is. */
void hkb_recall_remember(hkb_share *share);
/* What is held from here on has this grace. */
void hkb_recall_begin(hkb_peer *peer);
/* Choice and freshness stay for the rest of the grace. */
void hkb_recall_hold(hkb_share *share);
/* The new upstream has the same to say. */
void hkb_recall_confirm(hkb_object *object);
/* The new upstream has something else to say. */
void hkb_recall_release(hkb_object *object);
void hkb_recall_expire(hkb_exchange *exchange);
uint64_t hkb_recall_deadline(const hkb_exchange *exchange);
/* The upstream's streams say from here on which objects of the tag are there. */
void hkb_recall_listed(hkb_tag *tag);
void hkb_recall_forget_object(hkb_object *object);
/* Gathers what the new upstream is told; an item of the peer says it. */
void hkb_recall_offer(hkb_peer *peer);
/* One frame; false: there was nothing (more). */
bool hkb_recall_say(hkb_peer *peer);

/* The listener's side. */
hakuban_status hkb_recall_hear(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr);
void hkb_recall_tick(hkb_peer *peer);
void hkb_recall_grow_up(hkb_exchange *exchange);
void hkb_recall_done(hkb_exchange *exchange);

#endif
