/* The record of which exposer's states are an object's. */
#ifndef HKB_EXCHANGE_ASSIGNMENT_H
#define HKB_EXCHANGE_ASSIGNMENT_H

#include "exchange/records.h"

/* Sets the exposer: contract if LOCAL, share if UPSTREAM or DOWNSTREAM. cost is added to its peer's
 * load. */
void hkb_assignment_begin(hkb_object *object, hkb_exposer_kind to, hakuban_contract *contract,
                          hkb_share *share, double cost);
/* Sets no exposer. closes: the next exposer waits until the sink of this one has closed. */
void hkb_assignment_end(hkb_object *object, bool closes);
/* The sink of the old exposer has closed: the next one need not wait. */
void hkb_assignment_left(hkb_object *object);
void hkb_assignment_charge(hkb_object *object, double cost);
void hkb_assignment_set_sink(hkb_object *object, hakuban_sink *sink);
/* Whether the exposer of now still has to say what is shown LIVE. false: nothing has changed. */
bool hkb_assignment_set_unconfirmed(hkb_object *object, bool unconfirmed);
void hkb_assignment_hold(hkb_object *object);
void hkb_assignment_release(hkb_object *object);

#endif
