/* A state that comes in parts, or that is made by a work. */
#ifndef HKB_EXCHANGE_INCOMING_H
#define HKB_EXCHANGE_INCOMING_H

#include "exchange/records.h"

/* Becomes the share's, charged to its peer; head is copied. NULL: no memory. */
hkb_incoming *hkb_incoming_new(hkb_share *share, const hkb_message *head);
/* Frees the share's incoming; if its state is being made, the result will be dropped. */
void hkb_incoming_free(hkb_share *share);

/* What a state is made of, with a reference to each state. */
typedef struct hkb_making {
    hakuban_state *base; /* NULL: the payload is whole */
    hakuban_state *state;
    uint8_t *data; /* of state, to be filled */
    bool passes;   /* the payload is copied for other peers */
} hkb_making;
/* Starts making the state of the share's incoming. When it is made, the incoming is taken out of
 * the share and given to taken(), unless the share's channel has ended meanwhile. */
void hkb_incoming_make(hkb_share *share, const hkb_making *making,
                       void (*taken)(hkb_share *share, hkb_incoming *incoming));

#endif
