/* The part of a large state that arrived before its channel ended. It is kept, so that a state
 * arrives in the end even if no connection lasts long enough for all of it. */
#ifndef HKB_EXCHANGE_PARTIAL_H
#define HKB_EXCHANGE_PARTIAL_H

#include "exchange/records.h"

/* The channel of the states from a peer ends: what it has of a whole state goes to the object. */
void hkb_partial_keep(hkb_share *share);
/* A channel for states from a peer begins: the peer will be told which part is there already. */
void hkb_partial_offer(hkb_share *share);
/* Replaces the beginning of the present state by the part that was there already; false: there is
 * none, or it does not fit. */
bool hkb_partial_go_on(hkb_share *share, uint64_t bytes);
/* A state is complete, from whichever peer. */
void hkb_partial_is_over(hkb_share *share);
void hkb_partial_free(hkb_object *object);
/* Frees the oldest partial states until there is room for so many bytes more: no link has to end
 * because of partial states without a link. */
void hkb_partials_make_room(hkb_exchange *exchange, size_t bytes);

#endif
