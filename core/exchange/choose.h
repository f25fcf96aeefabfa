/* The choice of the one exposer of an object. */
#ifndef HKB_EXCHANGE_CHOOSE_H
#define HKB_EXCHANGE_CHOOSE_H

#include "exchange/records.h"

/* Keeps the current one where it may stay. */
void hkb_choose(hkb_object *object);
/* Rebalancing: moves the object if that is clearly better. */
void hkb_choose_again(hkb_object *object);
/* Whether an exposer here or below could take the object; keeps the room for a while. */
bool hkb_choose_promise(hkb_object *object);

#endif
