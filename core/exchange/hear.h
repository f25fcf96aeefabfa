/* What the messages of a peer mean. */
#ifndef HKB_EXCHANGE_HEAR_H
#define HKB_EXCHANGE_HEAR_H

#include "exchange/records.h"

/* Takes over the reference to its descriptor. */
hakuban_status hkb_hear(hkb_link *link, hkb_message *message, hakuban_error *reterr);

#endif
