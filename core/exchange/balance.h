/* Objects that wait for room, or have an exposer of more load than another. */
#ifndef HKB_EXCHANGE_BALANCE_H
#define HKB_EXCHANGE_BALANCE_H

#include "exchange/records.h"

void hkb_balance_tick(hkb_exchange *exchange);
/* UINT64_MAX: nothing is to be done until something changes. */
uint64_t hkb_balance_deadline(const hkb_exchange *exchange);

#endif
