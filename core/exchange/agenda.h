/* The lists of records to be looked at again. */
#ifndef HKB_EXCHANGE_AGENDA_H
#define HKB_EXCHANGE_AGENDA_H

#include "exchange/records.h"

/* The object will be settled. */
void hkb_object_mark(hkb_object *object);
/* Takes the object out of the list of the exchange in which it waits for its time. */
void hkb_object_leave_timed(hkb_object *object);
/* The tag will be settled. */
void hkb_tag_mark(hkb_tag *tag);
/* Each object of the tag will be settled: of a tag with many, some in each turn. */
void hkb_tag_mark_objects(hkb_tag *tag);
/* The same, whatever their number; walk.c also forgets what the upstream does not have any more. */
void hkb_tag_sweep(hkb_tag *tag);
void hkb_tag_sweep_end(hkb_tag *tag);
/* The objects of the peer that it serves, or could serve, will be settled, some in each turn. */
void hkb_peer_mark_shares(hkb_peer *peer);
/* The tag will be settled, and peers that wait for LISTED may get it. */
void hkb_tag_recheck_listed(hkb_tag *tag);
/* Every object and tag will be settled, some in each turn. */
void hkb_exchange_mark_all(hkb_exchange *exchange);

/* Loads, limits or offers have changed: objects may move to other downstreams, after a while in
 * which more may change. */
void hkb_balance_mark(hkb_exchange *exchange);
/* An exposer has gone: objects that wait for it, or are declined, may not be offered any more. */
void hkb_exposer_gone(hkb_exchange *exchange);

/* The pass of a downstream's registration begins: it will look at the downstream's own objects and
 * at those that are unserved, or with full at each object of the tag. refreshes: more than the
 * capacity has changed. */
void hkb_pass_begin(hkb_tag_share *share, bool refreshes, bool full);
/* The pass begins again. */
void hkb_pass_restart(hkb_tag_share *share);
void hkb_pass_end(hkb_tag_share *share);

/* The peer's carrier will pull from it. */
void hkb_peer_wake(hkb_peer *peer);
/* Queues the item behind all others: its messages are sent to the peer later. */
void hkb_peer_queue(hkb_peer *peer, hkb_item *item);
/* Queues the peer's own item before all others. */
void hkb_peer_queue_first(hkb_peer *peer);
/* The downstreams are told how much memory they may make this exchange and its upstream use. */
void hkb_memory_limit_pass(hkb_exchange *exchange);
void hkb_share_queue(hkb_share *share);
/* The share's state waits until fewer bytes are on their way to the peer in parts. */
void hkb_share_queue_large(hkb_share *share);
/* The first share that waits like this is queued, if there is room. */
void hkb_peer_queue_large(hkb_peer *peer);
/* Some of the peer's work is done: messages that waited for it get their turn. */
void hkb_peer_unblock(hkb_peer *peer);

/* The user will take the entry from the queue. */
void hkb_entry_push(hakuban_queue *queue, hkb_entry *entry, hkb_entry_kind kind);

#endif
