/* The newest state of an object and its condition. */
#ifndef HKB_EXCHANGE_NEWEST_H
#define HKB_EXCHANGE_NEWEST_H

#include "exchange/records.h"

/* The chosen exposer said state (taken over; NULL: the state is as before), LIVE or STALE for
 * age_ns. */
void hkb_object_hear(hkb_object *object, hakuban_state *state, hakuban_freshness freshness,
                     uint64_t age_ns);
void hkb_object_set_condition(hkb_object *object, hakuban_freshness freshness,
                              uint64_t stale_since_ns);
/* In a hand-over the state stays LIVE; only peers that show a hand-over are told that no exposer
 * confirms it. */
void hkb_object_set_unconfirmed(hkb_object *object, bool unconfirmed);
/* The state is confirmed anew. So it is sent to peers of the Rust dialect as well, which are not
 * sent states that are left over. */
void hkb_object_renew(hkb_object *object);
void hkb_object_refresh_source(hkb_object *object);
/* Tells the exposer the floor, unless the exposer is local: its sink reads the floor itself. */
void hkb_object_pass_floor(hkb_object *object);
/* A share stands on state now, not any more on the one before. */
/* state, NULL allowed, is kept as a base as long as a work needs it; pin takes a reference, which
 * stays the caller's after unpin. */
hakuban_state *hkb_object_pin(hakuban_state *state);
void hkb_object_unpin(hkb_object *object, hakuban_state *state);
void hkb_object_set_base(hkb_share *share, hakuban_state *state);
/* The object keeps state no more. */
void hkb_object_drop_state(hkb_object *object, hakuban_state *state);

/* Forgets the newest state and keeps its version as the floor, below which none is shown until one
 * at least as new comes. Observers that have the state keep it; new observers wait for the next.
 * Without memory the state stays. */
void hkb_object_forget_state(hkb_object *object);

#endif
