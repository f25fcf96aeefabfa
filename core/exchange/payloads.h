/* Payloads of an object's newest state, each made once. */
#ifndef HKB_EXCHANGE_PAYLOADS_H
#define HKB_EXCHANGE_PAYLOADS_H

#include "exchange/records.h"

/* Keeps payload for other shares on the same base (NULL: whole) of links of the same form; takes a
 * reference. */
void hkb_delta_keep(hkb_object *object, hakuban_state *base, const void *form,
                    hakuban_bytes *payload);
void hkb_delta_free(hkb_delta *delta);

#endif
