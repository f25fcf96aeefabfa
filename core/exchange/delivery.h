/* What contracts here are to an object, and what each was told of it. */
#ifndef HKB_EXCHANGE_DELIVERY_H
#define HKB_EXCHANGE_DELIVERY_H

#include "exchange/records.h"

/* The empty one, of all objects that no contract here knows: it is never changed. */
hkb_local *hkb_no_local(void);
/* Gives the object one of its own, until it is freed. */
hakuban_status hkb_object_make_local(hkb_object *object);
void hkb_object_free_local(hkb_object *object);
/* One of contract for object, unless there is one; then it does not close any more. */
hakuban_status hkb_object_open_delivery(hkb_object *object, hakuban_contract *contract);
/* Queues the delivery if there is news; frees it if it closes and its user was never told of it. */
void hkb_delivery_touch(hkb_delivery *delivery);
void hkb_delivery_free(hkb_delivery *delivery);
/* The user has taken an event of the delivery: notes whether that was a first state, and queues the
 * delivery again if there is more news. */
void hkb_delivery_told(hkb_delivery *delivery);
/* The user of a tag contract has taken LISTED: COMPLETE follows when the first states are told. */
void hkb_contract_listed_read(hakuban_contract *contract);

#endif
