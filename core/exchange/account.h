/* What a peer makes this exchange keep, in bytes, and do, in cost units. */
#ifndef HKB_EXCHANGE_ACCOUNT_H
#define HKB_EXCHANGE_ACCOUNT_H

#include "exchange/records.h"

/* false: the peer is over its limit, and its link was ended. */
bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less);
/* The packets that wait for the peer's turn, as many as there are now. */
void hkb_peer_account_input(hkb_peer *peer);
/* Takes the cost of work that begins now off what the peer may still cause in this turn. */
static inline void hkb_peer_charge(hkb_peer *peer, size_t cost)
{
    peer->link.credit -= (int64_t)cost;
}

#endif
