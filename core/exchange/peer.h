/* The callbacks of a peer's link. */
#ifndef HKB_EXCHANGE_PEER_H
#define HKB_EXCHANGE_PEER_H

#include "exchange/records.h"

extern const hkb_link_events hkb_peer_events;

#endif
