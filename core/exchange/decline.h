/* Declining an object that no exposer here or below can take. */
#ifndef HKB_EXCHANGE_DECLINE_H
#define HKB_EXCHANGE_DECLINE_H

#include "exchange/records.h"

/* Puts the object into the list of declined objects. */
void hkb_decline_enter(hkb_object *object);
/* Ends declines that are not needed any more, and promises that were not taken up. */
void hkb_decline_tick(hkb_exchange *exchange);
uint64_t hkb_decline_deadline(const hkb_exchange *exchange);

#endif
