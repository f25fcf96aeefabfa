/* The choice of the one exposer of an object. */
#ifndef HKB_EXCHANGE_CHOOSE_H
#define HKB_EXCHANGE_CHOOSE_H

#include "exchange/records.h"

/* Chooses by the rules of docs/assignment.md, and decides whether the object is declined. false:
 * the object is held, and nothing is decided. */
bool hkb_choose(hkb_object *object);
/* The same, and moves the object to a downstream of clearly less load if there is one. */
void hkb_choose_again(hkb_object *object);
#endif
