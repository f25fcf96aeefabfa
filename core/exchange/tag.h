/* Registrations of tags. */
#ifndef HKB_EXCHANGE_TAG_H
#define HKB_EXCHANGE_TAG_H

#include "exchange/records.h"

/* A downstream's registration changed. */
hakuban_status hkb_tag_register(hkb_tag *tag, hkb_peer *peer, hkb_registration registered);
/* The tag share's pass has ended; the tag share may be freed by this call. */
void hkb_tag_passed(hkb_tag_share *share);
/* The upstream counts as having listed all objects of its tags. */
void hkb_tag_say_listed(hkb_peer *peer);
/* Sends what the peer does not know yet of the tag. */
void hkb_tag_emit(hkb_tag_share *share);

#endif
