/* Records that are made when they are needed, and freed when nothing refers to them. */
#ifndef HKB_EXCHANGE_LIFETIMES_H
#define HKB_EXCHANGE_LIFETIMES_H

#include "exchange/records.h"

/* Each of these finds the record, or makes it. ERR_NO_MEMORY. */
hakuban_status hkb_object_get(hkb_exchange *exchange, hakuban_descriptor *descriptor,
                              hkb_object **ret);
void hkb_object_free(hkb_object *object);
hakuban_status hkb_tag_get(hkb_exchange *exchange, hakuban_slice json, hkb_tag **ret);
void hkb_tag_free(hkb_tag *tag);
hakuban_status hkb_share_get(hkb_peer *peer, hkb_object *object, hkb_share **ret);
/* The downstream has registered for the object's tags what is known here, and has a share from now
 * on. ERR_NO_MEMORY. */
hakuban_status hkb_share_observe(hkb_peer *peer, hkb_object *object, const hkb_interest *by_tags);
/* Frees it if it has no meaning any more. */
bool hkb_share_release(hkb_share *share);
hakuban_status hkb_tag_share_get(hkb_peer *peer, hkb_tag *tag, hkb_tag_share **ret);
/* For a downstream: frees it if it has no meaning any more. */
void hkb_tag_share_release(hkb_tag_share *share);
/* For a downstream whose link has ended: takes back what it has registered. The record stays, at
 * the end of the peer's list, and with it what the upstream was told of the tag. */
void hkb_tag_share_end(hkb_tag_share *share);
void hkb_tag_share_free(hkb_tag_share *share);

#endif
