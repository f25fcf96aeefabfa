/* Functions that find records and read facts from them. They change nothing. */
#include "exchange/facts.h"

#include <math.h>

/* -- Finding -- */

typedef struct share_key {
    const hkb_peer *peer;
    const hkb_object *object;
} share_key;

typedef struct tag_share_key {
    const hkb_peer *peer;
    const hkb_tag *tag;
} tag_share_key;

bool hkb_object_equal(const void *item, const void *key)
{
    return hakuban_descriptor_equal(((const hkb_object *)item)->descriptor, key);
}

bool hkb_tag_equal(const void *item, const void *key)
{
    const hkb_tag *tag = item;
    const hakuban_slice *json = key;
    return tag->json_bytes == json->bytes && memcmp(tag->json, json->data, json->bytes) == 0;
}

bool hkb_share_equal(const void *item, const void *key)
{
    const hkb_share *share = item;
    const share_key *wanted = key;
    return share->peer == wanted->peer && share->object == wanted->object;
}

bool hkb_tag_share_equal(const void *item, const void *key)
{
    const hkb_tag_share *share = item;
    const tag_share_key *wanted = key;
    return share->peer == wanted->peer && share->tag == wanted->tag;
}

bool hkb_session_equal(const void *item, const void *key)
{
    return memcmp(((const hkb_peer *)item)->link.token, key, 2 * sizeof(uint64_t)) == 0;
}

bool hkb_link_equal(const void *item, const void *key)
{
    const hkb_peer *peer = item;
    const hkb_link_key *wanted = key;
    return peer->number == wanted->number && peer->link.connector == wanted->upstream;
}

uint32_t hkb_object_hash(const hkb_exchange *exchange, const hakuban_descriptor *descriptor)
{
    return (uint32_t)hkb_siphash(exchange->map_key, descriptor->text, descriptor->text_bytes);
}

uint32_t hkb_tag_hash(const hkb_exchange *exchange, hakuban_slice json)
{
    return (uint32_t)hkb_siphash(exchange->map_key, json.data, json.bytes);
}

uint32_t hkb_share_hash(const hkb_exchange *exchange, const hkb_peer *peer,
                        const hkb_object *object)
{
    const void *key[2] = {peer, object};
    return (uint32_t)hkb_siphash(exchange->map_key, key, sizeof(key));
}

uint32_t hkb_tag_share_hash(const hkb_exchange *exchange, const hkb_peer *peer, const hkb_tag *tag)
{
    const void *key[2] = {peer, tag};
    return (uint32_t)hkb_siphash(exchange->map_key, key, sizeof(key));
}

uint32_t hkb_session_hash(const hkb_exchange *exchange, const uint64_t token[2])
{
    return (uint32_t)hkb_siphash(exchange->map_key, token, 2 * sizeof(token[0]));
}

hkb_object *hkb_object_find(const hkb_exchange *exchange, const hakuban_descriptor *descriptor)
{
    return hkb_map_find(&exchange->objects, hkb_object_hash(exchange, descriptor), descriptor);
}

hkb_tag *hkb_tag_find(const hkb_exchange *exchange, hakuban_slice json)
{
    return hkb_map_find(&exchange->tags, hkb_tag_hash(exchange, json), &json);
}

hkb_share *hkb_share_find(const hkb_exchange *exchange, const hkb_peer *peer,
                          const hkb_object *object)
{
    if (peer->link.connector) {
        return object->upstream && object->upstream->peer == peer ? object->upstream : NULL;
    }
    hkb_node *node = object->shares.head.next;
    for (size_t i = 0; i < HKB_SHARES_WALKED; i++, node = node->next) {
        if (node == &object->shares.head) {
            return NULL;
        }
        hkb_share *share = HKB_CONTAINER(node, hkb_share, of_object);
        if (share->peer == peer) {
            return share;
        }
    }
    if (exchange->shares.count == 0) {
        return NULL;
    }
    share_key key = {peer, object};
    return hkb_map_find(&exchange->shares, hkb_share_hash(exchange, peer, object), &key);
}

hkb_tag_share *hkb_tag_share_find(const hkb_exchange *exchange, const hkb_peer *peer,
                                  const hkb_tag *tag)
{
    tag_share_key key = {peer, tag};
    if (exchange->tag_shares.count == 0) {
        return NULL;
    }
    return hkb_map_find(&exchange->tag_shares, hkb_tag_share_hash(exchange, peer, tag), &key);
}

/* A channel's number is its own hash. */
hkb_share *hkb_channel_find(const hkb_map *channels, uint32_t channel)
{
    return channels->count ? hkb_map_find(channels, channel, &channel) : NULL;
}

/* -- Objects -- */

hkb_peer *hkb_object_upstream_peer(const hkb_object *object)
{
    hkb_node *node = hkb_list_first(&object->exchange->upstreams);
    return node ? HKB_CONTAINER(node, hkb_peer, of_upstreams) : NULL;
}

static bool observed_by_tag(const hkb_object *object)
{
    for (size_t i = 0; i < object->tag_count; i++) {
        if (hkb_tag_wanted(object->tags[i].tag).observes) {
            return true;
        }
    }
    return false;
}

bool hkb_object_is_remembered(const hkb_object *object)
{
    return object->assigned.held || (object->remembered && observed_by_tag(object));
}

bool hkb_object_should_exist(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    return object->local->observers || object->local->exposers || object->observe_shares ||
           object->expose_shares || hkb_object_is_remembered(object) ||
           (upstream &&
            (upstream->in.phase == HKB_CHANNEL_OPEN || upstream->out.phase == HKB_CHANNEL_OPEN));
}

static bool locally_observed(const hkb_object *object)
{
    if (object->local->observers) {
        return true;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        if (object->tags[i].tag->local_observers || object->tags[i].tag->preload_shares) {
            return true;
        }
    }
    return false;
}

bool hkb_object_needed(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    if (!object->exists) {
        return false;
    }
    if (object->assigned.held) {
        return true;
    }
    if (upstream &&
        (upstream->out.phase == HKB_CHANNEL_OPEN ||
         (upstream->in.phase == HKB_CHANNEL_OPEN && upstream->in.source != HAKUBAN_SOURCE_NONE))) {
        return true;
    }
    return object->observing_only || object->observing >= 2 || locally_observed(object);
}

bool hkb_object_is_offered(const hkb_object *object)
{
    if (object->local->exposers || object->expose_shares) {
        return true;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        if (object->tags[i].tag->local_exposers || object->tags[i].tag->expose_shares) {
            return true;
        }
    }
    return false;
}

static bool is_away_below(const hkb_peer *peer)
{
    return !peer->link.connector && hkb_peer_is_away(peer) && peer->link.phase != HKB_LINK_ENDED;
}

bool hkb_object_returns(const hkb_object *object)
{
    if (object->expose_shares) {
        HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
        {
            if (share->registered.exposes && is_away_below(share->peer)) {
                return true;
            }
        }
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag *tag = object->tags[i].tag;
        const hkb_node *node = tag->shares.head.next;
        for (size_t left = tag->expose_shares; left; node = node->next, left--) {
            if (is_away_below(HKB_CONTAINER(node, hkb_tag_share, of_tag)->peer)) {
                return true;
            }
        }
    }
    return false;
}

bool hkb_object_is_left(const hkb_object *object)
{
    return object->exists && object->observing && !hkb_object_needed(object) &&
           !(object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->out.observing);
}

static uint32_t exposers_below(const hkb_object *object)
{
    uint32_t exposers = object->expose_shares;
    for (size_t i = 0; i < object->tag_count; i++) {
        exposers += object->tags[i].tag->expose_shares;
    }
    return exposers;
}

bool hkb_object_drains(const hkb_object *object)
{
    if (object->assigned.to == HKB_LOCAL) {
        return object->assigned.contract->capacity == 0;
    }
    return object->assigned.to == HKB_DOWNSTREAM && !object->assigned.share->in.can_serve;
}

static bool waits_for_exposer(const hkb_object *object)
{
    return object->assigned.to == HKB_NO_EXPOSER || hkb_object_drains(object) ||
           (object->assigned.to == HKB_DOWNSTREAM && object->assigned.share->peer->yields);
}

bool hkb_object_is_unserved(const hkb_object *object)
{
    return waits_for_exposer(object) || (object->upstream && object->upstream->out.declining);
}

bool hkb_object_is_roomless(const hkb_object *object)
{
    return waits_for_exposer(object) && exposers_below(object) > 0;
}

bool hkb_object_has_choice(const hkb_object *object)
{
    return object->assigned.to == HKB_DOWNSTREAM && exposers_below(object) >= 2;
}

bool hkb_object_is_referred_to(const hkb_object *object)
{
    return object->exists || !hkb_list_empty(&object->shares) ||
           !hkb_list_empty(&object->local->deliveries) ||
           !hkb_list_empty(&object->local->contracts) ||
           hkb_object_phase(object) == HKB_HANDING_OVER || object->retry_due ||
           hkb_node_linked(&object->dirty);
}

hakuban_state *hkb_object_floor(const hkb_object *object)
{
    return object->floor ? object->floor : object->state;
}

hkb_assignment_phase hkb_object_phase(const hkb_object *object)
{
    const hkb_assignment *assigned = &object->assigned;
    if (assigned->held) {
        return HKB_HELD;
    }
    if (assigned->leaving || assigned->unconfirmed) {
        return HKB_HANDING_OVER;
    }
    return assigned->to == HKB_NO_EXPOSER ? HKB_VACANT : HKB_SERVED;
}

hkb_share *hkb_object_state_share(const hkb_object *object)
{
    switch (object->assigned.to) {
    case HKB_NO_EXPOSER:
        return object->upstream;
    case HKB_LOCAL:
        return NULL;
    default:
        return object->assigned.share;
    }
}

uint64_t hkb_object_age_ns(const hkb_object *object)
{
    if (object->freshness != HAKUBAN_STALE) {
        return 0;
    }
    uint64_t now_ns = object->exchange->now_ns;
    return now_ns > object->stale_since_ns ? now_ns - object->stale_since_ns : 1;
}

uint64_t hkb_peer_known_ns(const hkb_peer *peer)
{
    bool lost = peer->link.phase == HKB_LINK_ENDED && !peer->orderly;
    return lost ? hkb_link_known_ns(&peer->link) : peer->exchange->now_ns;
}

bool hkb_object_source_is_away(const hkb_object *object)
{
    const hkb_share *share = hkb_object_state_share(object);
    return share && (object->assigned.held || hkb_peer_is_away(share->peer));
}

bool hkb_share_is_source(const hkb_share *share)
{
    const hkb_object *object = share->object;
    if (share->in.phase != HKB_CHANNEL_OPEN) {
        return false;
    }
    if (object->assigned.held && share->in.source == HAKUBAN_SOURCE_NONE) {
        return false; /* a hub that does not know yet which objects there were */
    }
    if (share->peer->link.connector) {
        return object->assigned.to == HKB_UPSTREAM || object->assigned.to == HKB_NO_EXPOSER;
    }
    return hkb_share_serves(share);
}

bool hkb_object_is_stale_now(const hkb_object *object)
{
    return object->freshness == HAKUBAN_STALE && object->stale_since_ns == object->exchange->now_ns;
}

/* -- Registrations -- */

static hkb_registration wanted(bool observes, bool exposes, uint64_t capacity)
{
    uint32_t shown = capacity > UINT32_MAX ? UINT32_MAX : (uint32_t)capacity;
    return (hkb_registration){
        .capacity = exposes ? shown : 0,
        .observes = observes,
        .exposes = exposes,
    };
}

hkb_registration hkb_object_wanted(const hkb_object *object)
{
    hkb_registration result =
        wanted(object->local->observers || object->observe_shares,
               object->local->exposers || object->expose_shares, object->capacity);
    result.declines = object->upstream && object->upstream->out.declining;
    return result;
}

hkb_registration hkb_tag_wanted(const hkb_tag *tag)
{
    hkb_registration result =
        wanted(tag->local_observers || tag->observe_shares || tag->preload_shares,
               tag->local_exposers || tag->expose_shares, tag->capacity);
    result.preloads = tag->local_preloads > 0;
    return result;
}

bool hkb_registration_equal(const hkb_registration *one, const hkb_registration *other)
{
    return one->capacity == other->capacity &&
           hkb_registration_flags(one) == hkb_registration_flags(other);
}

/* -- Peers -- */

double hkb_peer_load_limit(const hkb_peer *peer)
{
    if (!peer->load_limit) {
        return INFINITY;
    }
    return hkb_load_limit_at(peer->load_limit, peer->exchange->now_ns - peer->load_limit_ns);
}

static bool offers_more(const hkb_registration *one, const hkb_registration *other)
{
    return one->capacity > other->capacity ||
           (one->capacity == other->capacity && one->number < other->number);
}

hkb_registration hkb_object_offer(const hkb_object *object, const hkb_peer *peer,
                                  const hkb_share *share)
{
    hkb_registration best = share ? share->registered : (hkb_registration){0};
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag_share *tag_share =
            hkb_tag_share_find(object->exchange, peer, object->tags[i].tag);
        if (tag_share && offers_more(&tag_share->registered, &best)) {
            best = tag_share->registered;
        }
    }
    return best;
}

/* -- The exchange and its tags -- */

bool hkb_exchange_is_young(const hkb_exchange *exchange)
{
    return exchange->now_ns < exchange->waits_until_ns;
}

bool hkb_tag_is_listed(const hkb_tag *tag)
{
    const hkb_exchange *exchange = tag->exchange;
    if (hkb_exchange_is_young(exchange)) {
        return false; /* objects that were there before a restart may come back */
    }
    if (exchange->remembered_count && hkb_node_linked(&tag->sweeping)) {
        return false; /* what the upstream has not listed ends first */
    }
    bool all_list = false;
    HKB_UPSTREAMS_EACH(peer, exchange)
    {
        if (peer->link.phase == HKB_LINK_HELLO && !peer->link.returning) {
            continue;
        }
        const hkb_tag_share *share = hkb_tag_share_find(exchange, peer, tag);
        if (!share || !share->registered.observes || !share->listed) {
            return false;
        }
        all_list = true;
    }
    return all_list || !exchange->upstream_expected || exchange->upstream_was_there;
}
