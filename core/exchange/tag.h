/* Registrations of tags. */
#ifndef HKB_EXCHANGE_TAG_H
#define HKB_EXCHANGE_TAG_H

#include "exchange/records.h"

/* A downstream's registration changed. */
hakuban_status hkb_tag_register(hkb_tag *tag, hkb_peer *peer, hkb_registration registered);
/* Its pass has ended; it may be freed by that. */
void hkb_tag_passed(hkb_tag_share *share);
/* The upstream has listed everything, as far as can be told. */
void hkb_tag_say_listed(hkb_peer *peer);
/* Says what the peer does not know yet. */
void hkb_tag_emit(hkb_tag_share *share);

#endif
