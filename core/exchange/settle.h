/* Settling marked objects and tags. */
#ifndef HKB_EXCHANGE_SETTLE_H
#define HKB_EXCHANGE_SETTLE_H

#include "exchange/records.h"

/* Existence, choice, streams, registration upwards; frees it if nothing refers to it. */
void hkb_object_settle(hkb_object *object);
/* deadline_ns has come. */
void hkb_object_expired(hkb_object *object);
/* Registration upwards; frees it if nothing refers to it. */
void hkb_tag_settle(hkb_tag *tag);
/* LISTED is sent behind the streams that settling has queued. */
void hkb_listings_settle(hkb_exchange *exchange);

#endif
