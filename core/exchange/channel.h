/* The channels of a peer for an object. */
#ifndef HKB_EXCHANGE_CHANNEL_H
#define HKB_EXCHANGE_CHANNEL_H

#include "exchange/records.h"

void hkb_outgoing_free(hkb_share *share);
/* If the other side already has the beginning of the state that goes out, sending continues behind
 * it. */
void hkb_outgoing_go_on(hkb_share *share, const hkb_begun *begun);
void hkb_begun_free(hkb_share *share);
/* Forgets which state was sent; the channel stays open. */
void hkb_share_drop_out(hkb_share *share);
/* Each: instead of one that may still be closing. ERR_NO_MEMORY leaves it closed. */
hakuban_status hkb_share_open_out(hkb_share *share, uint32_t id);
hakuban_status hkb_share_open_in(hkb_share *share, uint32_t id, hakuban_source source);
void hkb_share_close_out(hkb_share *share);
void hkb_share_close_in(hkb_share *share);
/* Closes both channels without messages: the peer is gone. */
void hkb_share_close(hkb_share *share);
/* Notes the freshness that the peer has told last. */
void hkb_share_note_condition(hkb_share *share, hakuban_freshness freshness, uint64_t age_ns);
/* The share has become the object's source: the state that came before counts from now on. */
void hkb_share_become_source(hkb_share *share);

#endif
