/* Applying a downstream's registration of a tag to the tag's objects. */
#ifndef HKB_EXCHANGE_PASS_H
#define HKB_EXCHANGE_PASS_H

#include "exchange/records.h"

/* The next few objects. */
void hkb_pass_tick(hkb_exchange *exchange);

#endif
