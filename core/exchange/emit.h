/* What a peer does not know yet of an object. */
#ifndef HKB_EXCHANGE_EMIT_H
#define HKB_EXCHANGE_EMIT_H

#include "exchange/records.h"

/* Sends it; queues the share again if not all could be sent. */
void hkb_share_emit(hkb_share *share);

#endif
