/* Declining an object that no exposer here or below can take. */
#ifndef HKB_EXCHANGE_DECLINE_H
#define HKB_EXCHANGE_DECLINE_H

#include "exchange/records.h"

/* After the choice. */
void hkb_decline_settle(hkb_object *object, bool needed);
/* Into the list of the declined. */
void hkb_decline_enter(hkb_object *object);
void hkb_decline_tick(hkb_exchange *exchange);
uint64_t hkb_decline_deadline(const hkb_exchange *exchange);

#endif
