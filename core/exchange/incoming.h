/* A state that comes in parts, or that is made by a work. */
#ifndef HKB_EXCHANGE_INCOMING_H
#define HKB_EXCHANGE_INCOMING_H

#include "exchange/records.h"

/* Becomes the share's, charged to its peer; head is copied. NULL: no memory. */
hkb_incoming *hkb_incoming_new(hkb_share *share, const hkb_message *head);
/* A state that is being made is let go of: nothing waits for it any more. */
void hkb_incoming_free(hkb_share *share);

/* What a state is to be made of: a reference to each state, kept from here on. */
typedef struct hkb_making {
    hakuban_state *base; /* NULL: the payload is whole */
    hakuban_state *state;
    uint8_t *data; /* of state, to be filled */
    bool passes;   /* a copy of the payload is to be made for other peers */
} hkb_making;
/* Has the state of the share's incoming made; taken() gets it as soon as it is, with the share's
 * incoming taken out. It gets nothing if the share's channel has ended meanwhile. */
void hkb_incoming_make(hkb_share *share, const hkb_making *making,
                       void (*taken)(hkb_share *share, hkb_incoming *incoming));

#endif
