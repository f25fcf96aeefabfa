/* The bytes that the objects of each downstream make an upstream keep, and what happens before that
 * upstream would have to end its link. */
#ifndef HKB_EXCHANGE_UPWARD_H
#define HKB_EXCHANGE_UPWARD_H

#include "exchange/records.h"

/* The object's share with its upstream, its payer and record_charge are there; are about to go. */
void hkb_upward_begin(const hkb_object *object);
void hkb_upward_end(const hkb_object *object);
/* The last state that the share's peer has sent has changed; the old one had so many bytes. */
void hkb_upward_set_state(const hkb_share *share, size_t bytes, size_t before);
/* The object's states go up from here on, if share is the one with its upstream. */
void hkb_upward_open(const hkb_share *share);
/* They do not any more: before that. */
void hkb_upward_close(const hkb_share *share);

/* The upstream has told how many bytes it keeps for this exchange; 0: no limit. */
void hkb_upward_set_limit(hkb_peer *upstream, size_t bytes_max);
/* The limit that a downstream is told: how many bytes it may make this exchange keep, and no more
 * than an upstream would keep. 0: no limit. */
size_t hkb_upward_limit(const hkb_exchange *exchange);
/* Ends the downstreams that make an upstream keep most, as long as it is about to keep too much. */
void hkb_upward_settle(hkb_exchange *exchange);

#endif
