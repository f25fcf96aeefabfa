/* The hand-over of an object from one exposer to the next. */
#ifndef HKB_EXCHANGE_ASSIGN_H
#define HKB_EXCHANGE_ASSIGN_H

#include "exchange/records.h"

/* The exposer that an object is given to. */
typedef struct hkb_target {
    hkb_exposer_kind kind;
    hakuban_contract *contract; /* LOCAL */
    hkb_peer *peer;             /* DOWNSTREAM: the share is made only if it is chosen */
    double cost;                /* DOWNSTREAM: the load that is charged to it */
} hkb_target;

/* stays_live: for the time of a hand-over, observers do not see the change. */
void hkb_assign(hkb_object *object, const hkb_target *to, bool stays_live);
void hkb_assign_none(hkb_object *object, bool stays_live);
/* No exposer, and the object is not LIVE once the exposer before has closed. */
void hkb_assign_unneeded(hkb_object *object);
bool hkb_assign_may_stay(const hkb_object *object);
/* The capacity that the share's peer offers may have changed. */
void hkb_assign_recharge(hkb_share *share);
/* Opens the chosen one's sink, unless another is still leaving. */
void hkb_assign_open(hkb_object *object);
/* The share's sink has closed. */
void hkb_assign_left(hkb_share *share);

#endif
