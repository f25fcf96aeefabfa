/* What came of a large state before its channel ended: kept, so that a way that is too short-lived
 * for the whole state brings it in the end. */
#ifndef HKB_EXCHANGE_PARTIAL_H
#define HKB_EXCHANGE_PARTIAL_H

#include "exchange/records.h"

/* The channel of the states from a peer ends: what it has of a whole state goes to the object. */
void hkb_partial_keep(hkb_share *share);
/* A channel for states from a peer begins: the peer is to be told what is there already. */
void hkb_partial_offer(hkb_share *share);
/* Puts what was there already in the place of what has come of the present state; false: it was not
 * there, or does not fit. */
bool hkb_partial_go_on(hkb_share *share, uint64_t bytes);
/* A state is complete, from whichever peer. */
void hkb_partial_is_over(hkb_share *share);
void hkb_partial_free(hkb_object *object);
/* Frees the oldest until there is room for so many bytes more: what no link has is kept only as
 * long as no link has to end for it. */
void hkb_partials_make_room(hkb_exchange *exchange, size_t bytes);

#endif
