/* What can be read off the records. */
#ifndef HKB_EXCHANGE_FACTS_H
#define HKB_EXCHANGE_FACTS_H

#include "exchange/records.h"

/* The maps' comparisons and hashes. */
bool hkb_object_equal(const void *item, const void *key);
bool hkb_tag_equal(const void *item, const void *key);
bool hkb_share_equal(const void *item, const void *key);
bool hkb_tag_share_equal(const void *item, const void *key);
bool hkb_session_equal(const void *item, const void *key);
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
/* It exists only because it is held, or was there before the upstream was lost. */
bool hkb_object_is_remembered(const hkb_object *object);
/* An observer here, or one that a peer speaks for, needs an exposer chosen here. */
bool hkb_object_needed(const hkb_object *object);
/* A contract here or a downstream exposes it, with room or without. */
bool hkb_object_is_offered(const hkb_object *object);
/* An exposer below whose connection is lost may be back at any moment. */
bool hkb_object_returns(const hkb_object *object);
/* It is left to the one downstream that observes it, and did not expose it so far. */
bool hkb_object_is_left(const hkb_object *object);
/* What exposes it has capacity 0. */
bool hkb_object_drains(const hkb_object *object);
/* It waits for a downstream with room: there is no exposer, or one that only keeps it until then.
 */
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
/* Whether the connection that its states come by is lost just now. No event says so: most come back
 * unseen. */
bool hkb_object_source_is_away(const hkb_object *object);
/* Whether what comes on this share's channel is the object's state now: fencing is the path
 * (design.md §8). */
bool hkb_share_is_source(const hkb_share *share);

/* Until when what the peer gave is known to have been current, now that it gives nothing more. */
uint64_t hkb_peer_known_ns(const hkb_peer *peer);
double hkb_peer_load_limit(const hkb_peer *peer);
/* Of what the peer has registered for the object and its tags, that of the greatest capacity, of
 * equals the oldest; capacity 0: it is not to be chosen. share: the peer's of the object, or NULL.
 */
hkb_registration hkb_object_offer(const hkb_object *object, const hkb_peer *peer,
                                  const hkb_share *share);
/* A hub that has just begun does not choose for what a peer had, before that peer had time to come
 * back. */
bool hkb_exchange_is_young(const hkb_exchange *exchange);
/* No further object of the tag is to be expected from the upstream. */
bool hkb_tag_is_listed(const hkb_tag *tag);

/* The share's peer is the exposer. */
static inline bool hkb_share_serves(const hkb_share *share)
{
    const hkb_assignment *assigned = &share->object->assigned;
    return assigned->to >= HKB_UPSTREAM && assigned->share == share;
}

/* What the share's peer does and knows. */
static inline const hkb_dialect *hkb_share_manners(const hkb_share *share)
{
    return share->peer->link.dialect;
}

/* What is to be registered with the upstream: all that is wanted here and below, in one. */
hkb_registration hkb_object_wanted(const hkb_object *object);
/* What is preloaded here is observed above, so that it comes from there, too. */
hkb_registration hkb_tag_wanted(const hkb_tag *tag);
bool hkb_registration_equal(const hkb_registration *one, const hkb_registration *other);

/* As in messages. */
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

/* Told with a counter like this, a peer or a contract has news to hear. */
static inline uint32_t hkb_untold(uint32_t count)
{
    return count - 1;
}

#endif
