/* What a peer makes this exchange keep, in bytes. */
#ifndef HKB_EXCHANGE_ACCOUNT_H
#define HKB_EXCHANGE_ACCOUNT_H

#include "exchange/records.h"

/* false: the peer is over its limit, and its link was ended. */
bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less);

#endif
