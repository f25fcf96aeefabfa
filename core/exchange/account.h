/* The accounts of peers: the bytes that they make this exchange keep, and the cost of the work that
 * they cause. */
#ifndef HKB_EXCHANGE_ACCOUNT_H
#define HKB_EXCHANGE_ACCOUNT_H

#include "exchange/records.h"

/* Adds more bytes to peer's account and subtracts less; peer NULL: the common account. */
void hkb_charge(hkb_exchange *exchange, hkb_peer *peer, size_t more, size_t less);
/* The same for bytes that peer brings. false: the peer is a downstream over its limit, and its link
 * was ended. */
bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less);
/* Subtracts the cost of work that begins now from the peer's credit of this turn. */
static inline void hkb_peer_charge(hkb_peer *peer, size_t cost)
{
    peer->link.credit -= (int64_t)cost;
}
/* Charges the peer's record and buffers, after they may have grown. */
void hkb_peer_measure(hkb_peer *peer);
/* All bytes in accounts, the payloads that links share, and what works have at the moment. */
static inline size_t hkb_exchange_held_bytes(const hkb_exchange *exchange)
{
    return exchange->charged_bytes + exchange->shared.payload_bytes +
           atomic_load_explicit(&exchange->thread_bytes, memory_order_relaxed);
}

/* The object's record, its floor, and its newest state unless that is the last one of a peer, are
 * charged to payer. own: payer has sent that state itself. */
void hkb_object_charge(hkb_object *object, hkb_peer *payer, bool own);
/* The same payer, after one of these has changed. */
void hkb_object_recharge(hkb_object *object);
void hkb_object_uncharge(hkb_object *object);
/* Peer's share of the object has ended: another peer's account is charged with the object. */
void hkb_object_pass_charge(hkb_object *object, const hkb_peer *peer);
size_t hkb_tag_bytes(const hkb_tag *tag);
/* Charges tag to payer, an object or tag share, as a part of its own charge; NULL: to the common
 * account. */
void hkb_tag_charge(hkb_tag *tag, const void *payer);
/* Sets the last state that the share's peer has sent; NULL: none. */
void hkb_share_set_in_base(hkb_share *share, hakuban_state *state);

/* Whether so many bytes more are within the limit, once the links that have ended are freed. */
bool hkb_exchange_has_room(const hkb_exchange *exchange, size_t bytes);
/* Whether there is room for so many bytes more, of a state that comes over sender; NULL: nothing
 * comes. If there is not, the downstreams that hold most are ended, told why; the state counts as
 * held by the peer that sends it. false: there is nothing to be gained by that. Their memory is
 * free after settling. */
bool hkb_exchange_make_room(hkb_exchange *exchange, const hkb_share *sender, size_t bytes);

#endif
