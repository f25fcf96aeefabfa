/* Acting on the messages of a peer. */
#ifndef HKB_EXCHANGE_HEAR_H
#define HKB_EXCHANGE_HEAR_H

#include "exchange/records.h"

/* Takes over the reference to the message's descriptor. */
hakuban_status hkb_hear(hkb_link *link, hkb_message *message, hakuban_error *reterr);

#endif
