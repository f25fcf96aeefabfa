/* States that come from a peer. */
#ifndef HKB_EXCHANGE_RECEIVE_H
#define HKB_EXCHANGE_RECEIVE_H

#include "exchange/records.h"

hakuban_status hkb_share_hear_state(hkb_share *share, const hkb_message *message,
                                    hakuban_error *reterr);
hakuban_status hkb_share_hear_part(hkb_share *share, hakuban_slice payload, hakuban_error *reterr);
void hkb_share_hear_condition(hkb_share *share, hakuban_freshness freshness, hakuban_source source,
                              uint64_t age_ns);
hakuban_status hkb_share_hear_same(hkb_share *share, const hkb_message *message);

#endif
