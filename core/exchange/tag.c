/* Tags: wildcards over objects. Registrations of tags travel upwards as tags, never expanded to
 * objects. */
#include "exchange/internal.h"

/* -- The record -- */

bool hkb_tag_equal(const void *item, const void *key)
{
    const hkb_tag *tag = item;
    const hakuban_slice *json = key;
    return tag->json_bytes == json->bytes && memcmp(tag->json, json->data, json->bytes) == 0;
}

static uint32_t tag_hash(const hkb_exchange *exchange, hakuban_slice json)
{
    return (uint32_t)hkb_siphash(exchange->map_key, json.data, json.bytes);
}

hkb_tag *hkb_tag_find(const hkb_exchange *exchange, hakuban_slice json)
{
    return hkb_map_find(&exchange->tags, tag_hash(exchange, json), &json);
}

hakuban_status hkb_tag_get(hkb_exchange *exchange, hakuban_slice json, hkb_tag **ret)
{
    hkb_tag *tag = hkb_tag_find(exchange, json);
    if (!tag) {
        tag = hkb_alloc(exchange->alloc, sizeof(*tag) + json.bytes + 1);
        if (!tag) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        tag->hash = tag_hash(exchange, json);
        tag->exchange = exchange;
        tag->number = exchange->tag_numbers++;
        tag->json_bytes = (uint16_t)json.bytes;
        memcpy(tag->json, json.data, json.bytes);
        hkb_list_init(&tag->objects);
        hkb_list_init(&tag->contracts);
        hkb_list_init(&tag->shares);
        hakuban_status status = hkb_map_insert(&exchange->tags, tag);
        if (status < 0) {
            hkb_free(exchange->alloc, tag, sizeof(*tag) + json.bytes + 1);
            return status;
        }
    }
    hkb_tag_mark(tag); /* it may turn out that nobody needs it */
    *ret = tag;
    return HAKUBAN_OK;
}

void hkb_tag_mark(hkb_tag *tag)
{
    if (!hkb_node_linked(&tag->dirty)) {
        hkb_list_push(&tag->exchange->dirty_tags, &tag->dirty);
    }
}

void hkb_tag_mark_objects(hkb_tag *tag)
{
    HKB_LIST_EACH(hkb_object_tag, place, &tag->objects, of_tag)
    {
        if (place->object) {
            hkb_object_mark(place->object);
        }
    }
}

/* -- What one peer has to do with it -- */

typedef struct tag_share_key {
    const hkb_peer *peer;
    const hkb_tag *tag;
} tag_share_key;

bool hkb_tag_share_equal(const void *item, const void *key)
{
    const hkb_tag_share *share = item;
    const tag_share_key *wanted = key;
    return share->peer == wanted->peer && share->tag == wanted->tag;
}

static uint32_t tag_share_hash(const hkb_exchange *exchange, const hkb_peer *peer,
                               const hkb_tag *tag)
{
    const void *key[2] = {peer, tag};
    return (uint32_t)hkb_siphash(exchange->map_key, key, sizeof(key));
}

hkb_tag_share *hkb_tag_share_find(const hkb_exchange *exchange, const hkb_peer *peer,
                                  const hkb_tag *tag)
{
    tag_share_key key = {peer, tag};
    if (exchange->tag_shares.count == 0) {
        return NULL;
    }
    return hkb_map_find(&exchange->tag_shares, tag_share_hash(exchange, peer, tag), &key);
}

static hakuban_status get_share(hkb_peer *peer, hkb_tag *tag, hkb_tag_share **ret)
{
    hkb_exchange *exchange = tag->exchange;
    hkb_tag_share *share = hkb_tag_share_find(exchange, peer, tag);
    if (!share) {
        share = hkb_alloc(exchange->alloc, sizeof(*share));
        if (!share) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        share->peer = peer;
        share->tag = tag;
        share->item.kind = HKB_ITEM_TAG;
        share->hash = tag_share_hash(exchange, peer, tag);
        hakuban_status status = hkb_map_insert(&exchange->tag_shares, share);
        if (status < 0) {
            hkb_free(exchange->alloc, share, sizeof(*share));
            return status;
        }
        hkb_list_push(&peer->tag_shares, &share->of_peer);
        hkb_list_push(&tag->shares, &share->of_tag);
        if (peer->link.connector) {
            tag->upstream = share;
        }
        (void)hkb_peer_account(peer, sizeof(*share) + sizeof(*tag) + tag->json_bytes, 0);
    }
    *ret = share;
    return HAKUBAN_OK;
}

void hkb_tag_share_free(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hkb_exchange *exchange = tag->exchange;
    if (tag->upstream == share) {
        tag->upstream = NULL;
    } else {
        tag->observe_shares -= share->observes;
        tag->expose_shares -= share->exposes;
        tag->preload_shares -= share->preloads;
        tag->capacity -= share->capacity;
    }
    (void)hkb_peer_account(share->peer, 0, sizeof(*share) + sizeof(*tag) + tag->json_bytes);
    hkb_map_remove(&exchange->tag_shares, share);
    hkb_list_remove(&share->of_peer);
    hkb_list_remove(&share->of_tag);
    hkb_list_remove(&share->listing);
    hkb_list_remove(&share->item.node);
    hkb_pass_end(share);
    if (share->observes || share->preloads) {
        hkb_recall_unobserved(tag); /* a pass may not have come to all of its objects */
    }
    hkb_free(exchange->alloc, share, sizeof(*share));
    hkb_tag_mark(tag);
}

/* -- Registrations of downstreams -- */

static void release(hkb_tag_share *share)
{
    if (!share->observes && !share->exposes && !share->preloads && share->listed_count == 0 &&
        !hkb_node_linked(&share->passing)) {
        hkb_tag_share_free(share);
    }
}

hakuban_status hkb_tag_register(hkb_tag *tag, hkb_peer *peer, uint32_t flags, uint32_t capacity)
{
    bool observes = (flags & HKB_WANT_OBSERVE) != 0, exposes = (flags & HKB_WANT_EXPOSE) != 0;
    bool preloads = (flags & HKB_WANT_PRELOAD) != 0;
    hkb_tag_share *share;
    hakuban_status status = get_share(peer, tag, &share);
    if (status < 0) {
        return status;
    }
    if (!exposes) {
        capacity = 0;
    }
    bool observed_before = share->observes, exposed_before = share->exposes;
    bool changed = observes != observed_before || exposes != exposed_before ||
                   preloads != share->preloads || !capacity != !share->capacity;
    if (changed || capacity != share->capacity) {
        hkb_pass_begin(share, changed);
    }
    tag->observe_shares += (uint32_t)observes - (uint32_t)observed_before;
    tag->expose_shares += (uint32_t)exposes - (uint32_t)exposed_before;
    tag->preload_shares += (uint32_t)preloads - (uint32_t)share->preloads;
    tag->capacity += (uint64_t)capacity - share->capacity;
    share->observes = observes;
    share->exposes = exposes;
    share->preloads = preloads;
    share->capacity = capacity;
    hkb_tag_mark(tag);
    if (observes && !observed_before) {
        share->listed_wanted = 1; /* once it has passed */
    } else if (!observes && share->listed_wanted) {
        share->listed_wanted = 0;
        share->listed_count++; /* each observing has its LISTED, so that the peer can count them */
        hkb_peer_queue(peer, &share->item);
    }
    release(share);
    return HAKUBAN_OK;
}

void hkb_tag_passed(hkb_tag_share *share)
{
    if (share->listed_wanted && !hkb_node_linked(&share->listing)) {
        hkb_list_push(&share->tag->exchange->listings, &share->listing);
    }
    release(share);
}

/* -- LISTED -- */

bool hkb_tag_is_listed(const hkb_tag *tag)
{
    const hkb_exchange *exchange = tag->exchange;
    if (hkb_recall_lists_later(exchange)) {
        return false; /* what was there before a restart is about to come back */
    }
    const hkb_peer *upstream = exchange->upstream;
    if (upstream && (upstream->link.phase != HKB_LINK_HELLO || upstream->link.returning)) {
        return tag->upstream && tag->upstream->observes && tag->upstream->listed;
    }
    return !exchange->upstream_expected || exchange->upstream_was_there;
}

void hkb_tag_recheck_listed(hkb_tag *tag)
{
    hkb_tag_mark(tag);
    HKB_LIST_EACH(hkb_tag_share, share, &tag->shares, of_tag)
    {
        if (share->listed_wanted && !hkb_node_linked(&share->listing)) {
            hkb_list_push(&tag->exchange->listings, &share->listing);
        }
    }
}

void hkb_tag_say_listed(hkb_peer *peer)
{
    peer->lists_ns = 0;
    HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
    {
        if (share->observes && !share->listed) {
            share->listed = 1;
            hkb_recall_listed(share->tag);
            hkb_tag_recheck_listed(share->tag);
        }
    }
}

static void settle_listed(hkb_tag *tag)
{
    HKB_LIST_EACH(hakuban_contract, contract, &tag->contracts, of_subject)
    {
        if (contract->kind == HKB_OBSERVE_TAG && !contract->listed_told) {
            contract->listed_told = true;
            hkb_entry_push(contract->queue, &contract->listed, HKB_ENTRY_LISTED);
        }
    }
}

/* -- Settling and telling the upstream -- */

static void settle_registration(hkb_tag *tag)
{
    hkb_peer *peer = tag->exchange->upstream;
    hkb_tag_share *share = tag->upstream;
    hkb_wanted wanted = hkb_tag_wanted(tag);
    if (!peer) {
        return;
    }
    if (!share && wanted.flags) {
        if (get_share(peer, tag, &share) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
    }
    if (!share) {
        return;
    }
    if (!hkb_tag_was_told(share, &wanted)) {
        hkb_peer_queue(peer, &share->item);
    } else if (!wanted.flags && share->listed_count == 0) {
        hkb_tag_share_free(
            share); /* taken back before the upstream heard of it, or it has said all it will */
    }
}

void hkb_tag_settle(hkb_tag *tag)
{
    hkb_exchange *exchange = tag->exchange;
    hkb_list_remove(&tag->dirty);
    settle_registration(tag);
    if (hkb_tag_is_listed(tag)) {
        settle_listed(tag);
    }
    if (!hkb_list_empty(&tag->objects) || !hkb_list_empty(&tag->contracts) ||
        !hkb_list_empty(&tag->shares) || hkb_node_linked(&tag->dirty)) {
        return;
    }
    hkb_map_remove(&exchange->tags, tag);
    hkb_free(exchange->alloc, tag, sizeof(*tag) + tag->json_bytes + 1u);
}

static void emit_registration(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hkb_wanted wanted = hkb_tag_wanted(tag);
    if (hkb_tag_was_told(share, &wanted)) {
        return;
    }
    if (wanted.observes && !share->observes) {
        share->listed = 0;
        if (share->peer->link.dialect->is_reference) {
            share->peer->lists_ns = tag->exchange->now_ns + HKB_LISTS_NS;
        } else {
            share->listed_count++;
        }
    }
    hkb_message message = {
        .kind = HKB_MESSAGE_TAG,
        .flags = wanted.flags,
        .capacity = wanted.capacity,
        .before_flags = hkb_registered_flags(share->observes, share->exposes, false),
        .before_capacity = share->capacity,
        .text = {tag->json, tag->json_bytes},
    };
    share->observes = wanted.observes;
    share->exposes = wanted.exposes;
    share->preloads = tag->local_preloads > 0;
    share->capacity = wanted.capacity;
    hkb_link_say(&share->peer->link, &message, NULL);
    if (!wanted.flags) {
        hkb_tag_mark(tag); /* which frees the share, unless a LISTED is still to come */
    }
}

void hkb_tag_emit(hkb_tag_share *share)
{
    if (share->peer->link.connector) {
        emit_registration(share);
    } else if (share->listed_count) {
        share->listed_count--;
        hkb_message message = {
            .kind = HKB_MESSAGE_LISTED,
            .text = {share->tag->json, share->tag->json_bytes},
        };
        hkb_link_say(&share->peer->link, &message, NULL);
        if (share->listed_count) {
            hkb_peer_queue(share->peer, &share->item);
        }
        release(share);
    }
}
