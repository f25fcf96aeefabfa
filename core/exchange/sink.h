/* Sinks of local exposers. */
#ifndef HKB_EXCHANGE_SINK_H
#define HKB_EXCHANGE_SINK_H

#include "exchange/records.h"

hakuban_status hkb_sink_new(hkb_object *object, hakuban_contract *contract, hakuban_sink **ret);
void hkb_sink_revoke(hakuban_sink *sink);
/* Publishes the sink's last state again, above the floor. */
void hkb_sink_number_on(hakuban_sink *sink);
/* A peer knows version. Passed on towards the exposer, unless that is behind teller, the share over
 * which it was told (NULL: none): two exchanges that are each other's source in a hand-over would
 * tell each other without end. ERR_NO_MEMORY. */
hakuban_status hkb_object_raise_floor(hkb_object *object, const hkb_version *version,
                                      const hkb_share *teller);

#endif
