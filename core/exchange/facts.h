/* Functions that only read the records. */
#ifndef HKB_EXCHANGE_FACTS_H
#define HKB_EXCHANGE_FACTS_H

#include "exchange/records.h"

/* The maps' comparisons and hashes. */
bool hkb_object_equal(const void *item, const void *key);
bool hkb_tag_equal(const void *item, const void *key);
bool hkb_share_equal(const void *item, const void *key);
bool hkb_tag_share_equal(const void *item, const void *key);
bool hkb_session_equal(const void *item, const void *key);
/* Peers by their numbers; the number itself is the hash. */
typedef struct hkb_link_key {
    uint64_t number;
    bool upstream;
} hkb_link_key;
bool hkb_link_equal(const void *item, const void *key);
uint32_t hkb_object_hash(const hkb_exchange *exchange, const hakuban_descriptor *descriptor);
uint32_t hkb_tag_hash(const hkb_exchange *exchange, hakuban_slice json);
uint32_t hkb_share_hash(const hkb_exchange *exchange, const hkb_peer *peer,
                        const hkb_object *object);
uint32_t hkb_tag_share_hash(const hkb_exchange *exchange, const hkb_peer *peer, const hkb_tag *tag);
uint32_t hkb_session_hash(const hkb_exchange *exchange, const uint64_t token[2]);

/* NULL: there is none. */
hkb_share *hkb_share_find(const hkb_exchange *exchange, const hkb_peer *peer,
                          const hkb_object *object);
hkb_tag_share *hkb_tag_share_find(const hkb_exchange *exchange, const hkb_peer *peer,
                                  const hkb_tag *tag);
hkb_share *hkb_channel_find(const hkb_map *channels, uint32_t channel);

/* The upstream that the object is registered with; NULL: there is none. */
hkb_peer *hkb_object_upstream_peer(const hkb_object *object);
bool hkb_object_should_exist(const hkb_object *object);
/* The object exists only because it is held, or was there before the upstream was lost. */
bool hkb_object_is_remembered(const hkb_object *object);
/* An observer, here or below a peer, needs an exposer that is chosen here. */
bool hkb_object_needed(const hkb_object *object);
/* A contract here or a downstream exposes it, whether it has room or not. */
bool hkb_object_is_offered(const hkb_object *object);
/* An exposer below whose connection is lost may be back at any moment. */
bool hkb_object_returns(const hkb_object *object);
/* It is left to the only downstream that observes it, which has not exposed it until now. */
bool hkb_object_is_left(const hkb_object *object);
/* Its exposer has capacity 0. */
bool hkb_object_drains(const hkb_object *object);
/* It has no exposer, or one that gives it to any other, or it is declined: an exposer that comes
 * could take it at once. */
bool hkb_object_is_unserved(const hkb_object *object);
/* It waits for a downstream with room: it has no exposer, or one that keeps it only until then. */
bool hkb_object_is_roomless(const hkb_object *object);
/* A downstream exposes it, and another one could. */
bool hkb_object_has_choice(const hkb_object *object);
/* The record must stay. */
bool hkb_object_is_referred_to(const hkb_object *object);
/* The greatest version known here, as a state that holds it; NULL: none. */
hakuban_state *hkb_object_floor(const hkb_object *object);
hkb_assignment_phase hkb_object_phase(const hkb_object *object);
/* The share of the peer that the states come from. Without an exposer that is the upstream, which
 * may have a state that is not confirmed. NULL: there is none, or a contract here is the exposer.
 */
hkb_share *hkb_object_state_share(const hkb_object *object);
/* It has become stale since the time was last set. */
bool hkb_object_is_stale_now(const hkb_object *object);
uint64_t hkb_object_age_ns(const hkb_object *object);
/* Whether the connection over which its states come is lost at the moment. Observers get no event
 * for that, because most connections come back soon. */
bool hkb_object_source_is_away(const hkb_object *object);
/* Whether the states on this share's channel are the object's states now. States of other shares
 * are not heard. */
bool hkb_share_is_source(const hkb_share *share);

/* Until when the peer's last states are known to have been current. */
uint64_t hkb_peer_known_ns(const hkb_peer *peer);
double hkb_peer_load_limit(const hkb_peer *peer);
/* Of what the peer has registered for the object and its tags, that of the greatest capacity, of
 * equals the oldest; capacity 0: it is not to be chosen. share: the peer's of the object, or NULL.
 */
hkb_registration hkb_object_offer(const hkb_object *object, const hkb_peer *peer,
                                  const hkb_share *share);
/* Whether the hub has just begun: it chooses no exposer for an object that a peer had, before that
 * peer had time to come back. */
bool hkb_exchange_is_young(const hkb_exchange *exchange);
/* The upstream has told all of the tag's objects. */
bool hkb_tag_is_listed(const hkb_tag *tag);

/* The share's peer is the exposer. */
static inline bool hkb_share_serves(const hkb_share *share)
{
    const hkb_assignment *assigned = &share->object->assigned;
    return assigned->to >= HKB_UPSTREAM && assigned->share == share;
}

/* The open sink of a contract here that is the exposer; NULL: there is none. */
static inline hakuban_sink *hkb_object_sink(const hkb_object *object)
{
    return object->assigned.to == HKB_LOCAL ? object->assigned.sink : NULL;
}

/* The manners of the share's peer. */
static inline const hkb_dialect *hkb_share_manners(const hkb_share *share)
{
    return share->peer->link.dialect;
}

/* The registration that the upstream should have: all registrations here and below, in one. */
hkb_registration hkb_object_wanted(const hkb_object *object);
/* A tag that is preloaded here is observed above, so that its states come from there, too. */
hkb_registration hkb_tag_wanted(const hkb_tag *tag);
bool hkb_registration_equal(const hkb_registration *one, const hkb_registration *other);

/* From the members of a message. */
static inline hkb_registration hkb_registration_of(uint32_t flags, uint32_t capacity)
{
    return (hkb_registration){
        .capacity = flags & HKB_WANT_EXPOSE ? capacity : 0,
        .observes = (flags & HKB_WANT_OBSERVE) != 0,
        .exposes = (flags & HKB_WANT_EXPOSE) != 0,
        .declines = (flags & HKB_WANT_DECLINE) != 0,
        .preloads = (flags & HKB_WANT_PRELOAD) != 0,
    };
}
/* 0: nothing is registered. */
static inline uint32_t hkb_registration_flags(const hkb_registration *registered)
{
    return (registered->observes ? HKB_WANT_OBSERVE : 0u) |
           (registered->exposes ? HKB_WANT_EXPOSE : 0u) |
           (registered->declines ? HKB_WANT_DECLINE : 0u) |
           (registered->preloads ? HKB_WANT_PRELOAD : 0u);
}

/* A counter that differs from count, so that the peer or contract is told again. */
static inline uint32_t hkb_untold(uint32_t count)
{
    return count - 1;
}

#endif
