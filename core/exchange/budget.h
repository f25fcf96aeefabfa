/* The limit of the work that a peer can cause in one turn. */
#ifndef HKB_EXCHANGE_BUDGET_H
#define HKB_EXCHANGE_BUDGET_H

#include "exchange/records.h"

/* Peers that wait for their turn get it, some of them in each tick. */
void hkb_budget_tick(hkb_exchange *exchange);

#endif
