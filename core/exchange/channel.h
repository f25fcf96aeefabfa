/* The channels of a peer for an object. */
#ifndef HKB_EXCHANGE_CHANNEL_H
#define HKB_EXCHANGE_CHANNEL_H

#include "exchange/records.h"

void hkb_outgoing_free(hkb_share *share);
/* Where the other side has the beginning of what goes out, goes on behind that. */
void hkb_outgoing_go_on(hkb_share *share, const hkb_begun *begun);
void hkb_begun_free(hkb_share *share);
/* Forgets what was sent, keeps the channel. */
void hkb_share_drop_out(hkb_share *share);
/* Each: instead of one that may still be closing. ERR_NO_MEMORY leaves it closed. */
hakuban_status hkb_share_open_out(hkb_share *share, uint32_t id);
hakuban_status hkb_share_open_in(hkb_share *share, uint32_t id, hakuban_source source);
void hkb_share_close_out(hkb_share *share);
void hkb_share_close_in(hkb_share *share);
/* Both, without words: the peer is gone. */
void hkb_share_close(hkb_share *share);
/* What the peer said last of its state's freshness. */
void hkb_share_note_condition(hkb_share *share, hakuban_freshness freshness, uint64_t age_ns);
/* What came before the share became the object's source counts from now on. */
void hkb_share_become_source(hkb_share *share);

#endif
