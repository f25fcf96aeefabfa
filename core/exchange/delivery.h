/* What one contract was told of one object. */
#ifndef HKB_EXCHANGE_DELIVERY_H
#define HKB_EXCHANGE_DELIVERY_H

#include "exchange/records.h"

/* One of contract for object, unless there is one; then it does not close any more. */
hakuban_status hkb_object_open_delivery(hkb_object *object, hakuban_contract *contract);
/* Queues it if there is news; frees it if it closes and its user never heard of it. */
void hkb_delivery_touch(hkb_delivery *delivery);
void hkb_delivery_free(hkb_delivery *delivery);

#endif
