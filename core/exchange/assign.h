/* Whose states are an object's: the hand-over from one exposer to the next. */
#ifndef HKB_EXCHANGE_ASSIGN_H
#define HKB_EXCHANGE_ASSIGN_H

#include "exchange/records.h"

/* One exposer that an object could have. */
typedef struct hkb_candidate {
    hkb_exposer_kind kind;
    hakuban_contract *contract;
    hkb_peer *peer; /* DOWNSTREAM: the share is made only if it is chosen */
    double cost;    /* what it will be charged */
    double load;    /* of the peer, that cost included */
    bool over;      /* its load limit */
    bool holds;     /* it had the object before this hub was restarted */
} hkb_candidate;

void hkb_assign(hkb_object *object, const hkb_candidate *to);
void hkb_assign_nobody(hkb_object *object);
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
