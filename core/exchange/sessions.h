/* Connections of peers: they open, are lost, come back and end. */
#ifndef HKB_EXCHANGE_SESSIONS_H
#define HKB_EXCHANGE_SESSIONS_H

#include "exchange/records.h"

/* Takes the peer out of all records, as far as there is time for in this turn, and frees it at the
 * end if it has no carrier. */
void hkb_peer_take_out(hkb_peer *peer);
/* A new turn: count_max registrations of peers that are taken out may end in it. */
void hkb_sessions_clear(hkb_exchange *exchange, size_t count_max);
void hkb_peer_tick(hkb_peer *peer);
uint64_t hkb_peer_deadline(const hkb_peer *peer);

/* As in hkb_link_events. */
hakuban_status hkb_session_offer(hkb_link *link, hkb_hello *hello);
hakuban_status hkb_session_hello(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                                 hakuban_error *reterr);
void hkb_session_opened(hkb_link *link);
void hkb_session_dropped(hkb_link *link, const hakuban_error *why);
hkb_link *hkb_session_find(hkb_link *link, const uint64_t token[2]);
void hkb_session_moved(hkb_link *session, hkb_link *link);
void hkb_session_resumed(hkb_link *link);
void hkb_session_anew(hkb_link *link);
void hkb_session_ended(hkb_link *link, bool orderly, const hakuban_error *why);

#endif
