/* The choice of the one exposer of an object. */
#ifndef HKB_EXCHANGE_CHOOSE_H
#define HKB_EXCHANGE_CHOOSE_H

#include "exchange/records.h"

/* By the rules of docs/assignment.md; also whether the object is declined. false: nothing is
 * decided until the upstream knows again what there is. */
bool hkb_choose(hkb_object *object);
/* Likewise, and moves the object to a downstream of clearly less load. */
void hkb_choose_again(hkb_object *object);
#endif
