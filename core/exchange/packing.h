/* Payloads that are made by a work. */
#ifndef HKB_EXCHANGE_PACKING_H
#define HKB_EXCHANGE_PACKING_H

#include "exchange/records.h"

/* The share waits for a payload of the object's newest state. Shares that need the same have one
 * together. Each is queued when it is made. ERR_NO_MEMORY. */
hakuban_status hkb_packing_begin(hkb_share *share);
/* The share of outgoing has what it needs, or does not want it any more. */
void hkb_packing_leave(hkb_share *share, hkb_outgoing *outgoing);

#endif
