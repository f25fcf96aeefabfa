/* The records of objects, tags and shares: made when they are needed, freed when nothing refers to
 * them. */
#include "exchange/lifetimes.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/delivery.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/newest.h"
#include "exchange/partial.h"
#include "exchange/payloads.h"
#include "exchange/upward.h"

/* -- Tags -- */

hakuban_status hkb_tag_get(hkb_exchange *exchange, hakuban_slice json, hkb_tag **ret)
{
    hkb_tag *tag = hkb_tag_find(exchange, json);
    if (!tag) {
        tag = hkb_alloc(exchange->alloc, sizeof(*tag) + json.bytes + 1);
        if (!tag) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        tag->hash = hkb_tag_hash(exchange, json);
        tag->exchange = exchange;
        tag->number = exchange->tag_numbers++;
        tag->json_bytes = (uint16_t)json.bytes;
        memcpy(tag->json, json.data, json.bytes);
        hkb_list_init(&tag->objects);
        hkb_list_push(&tag->objects, &tag->divider.of_tag);
        hkb_list_init(&tag->contracts);
        hkb_list_init(&tag->unlisted);
        hkb_list_init(&tag->shares);
        hakuban_status status = hkb_map_insert(&exchange->tags, tag);
        if (status < 0) {
            hkb_free(exchange->alloc, tag, sizeof(*tag) + json.bytes + 1);
            return status;
        }
        hkb_charge(exchange, NULL, hkb_tag_bytes(tag), 0);
    }
    hkb_tag_mark(tag); /* it may turn out not to be needed */
    *ret = tag;
    return HAKUBAN_OK;
}

void hkb_tag_free(hkb_tag *tag)
{
    hkb_exchange *exchange = tag->exchange;
    hkb_tag_sweep_end(tag);
    hkb_map_remove(&exchange->tags, tag);
    hkb_charge(exchange, NULL, 0, hkb_tag_bytes(tag));
    hkb_free(exchange->alloc, tag, sizeof(*tag) + tag->json_bytes + 1u);
}

/* Each downstream is charged with its place in a tag's row; unused places are in the common
 * account. */
static hakuban_status resize_row(hkb_tag *tag, size_t capacity)
{
    hkb_exchange *exchange = tag->exchange;
    size_t bytes = capacity * sizeof(tag->row[0]), before = tag->row_capacity * sizeof(tag->row[0]);
    hkb_tag_place *row = NULL;
    if (bytes) {
        row = hkb_alloc_unset(exchange->alloc, bytes);
        if (!row) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        for (size_t i = 0; i < tag->row_count; i++) {
            row[i] = tag->row[i];
        }
    }
    hkb_free(exchange->alloc, tag->row, before);
    hkb_charge(exchange, NULL, bytes, before);
    tag->row = row;
    tag->row_capacity = capacity;
    return HAKUBAN_OK;
}

static hakuban_status join_row(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hakuban_status status = HAKUBAN_OK;
    if (share->peer->link.connector) {
        return HAKUBAN_OK;
    }
    if (tag->row_count == tag->row_capacity) {
        status = resize_row(tag, hkb_max(2 * tag->row_capacity, 1));
    }
    if (status >= 0) {
        share->place = (uint32_t)tag->row_count;
        tag->row[tag->row_count++] = (hkb_tag_place){.peer = share->peer};
        hkb_charge(tag->exchange, NULL, 0, sizeof(tag->row[0]));
    }
    return status;
}

static void leave_row(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    if (share->peer->link.connector) {
        return;
    }
    const hkb_tag_place *last = &tag->row[--tag->row_count];
    if (share->place != tag->row_count) { /* the last one takes its place */
        hkb_tag_share_find(tag->exchange, last->peer, tag)->place = share->place;
        tag->row[share->place] = *last;
    }
    hkb_charge(tag->exchange, NULL, sizeof(tag->row[0]), 0);
    if (tag->row_count < tag->row_capacity / 4 || tag->row_count == 0) {
        /* Without memory for a shorter one it stays as it is. */
        (void)resize_row(tag, tag->row_count ? tag->row_capacity / 2 : 0);
    }
}

static size_t tag_share_bytes(const hkb_tag_share *share)
{
    return sizeof(*share) + HKB_SLOT_BYTES +
           (share->peer->link.connector ? 0 : sizeof(hkb_tag_place)) +
           (share->tag->payer == share ? hkb_tag_bytes(share->tag) : 0);
}

hakuban_status hkb_tag_share_get(hkb_peer *peer, hkb_tag *tag, hkb_tag_share **ret)
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
        share->item.hash = hkb_tag_share_hash(exchange, peer, tag);
        hakuban_status status = hkb_map_insert(&exchange->tag_shares, share);
        if (status < 0) {
            hkb_free(exchange->alloc, share, sizeof(*share));
            return status;
        }
        status = join_row(share);
        if (status < 0) {
            hkb_map_remove(&exchange->tag_shares, share);
            hkb_free(exchange->alloc, share, sizeof(*share));
            return status;
        }
        hkb_list_push(&peer->tag_shares, &share->of_peer);
        hkb_list_push(&tag->shares, &share->of_tag);
        if (!tag->payer) {
            hkb_tag_charge(tag, share);
        }
        (void)hkb_peer_account(peer, tag_share_bytes(share), 0);
    }
    *ret = share;
    return HAKUBAN_OK;
}

static void end_unobserved(hkb_tag *tag)
{
    if (tag->exchange->remembered_count && !hkb_tag_wanted(tag).observes) {
        hkb_tag_mark_objects(tag);
    }
}

/* Takes back what it has registered. */
static void take_back(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    bool observed = share->registered.observes || share->registered.preloads;
    bool exposed = share->registered.exposes;
    if (!share->peer->link.connector && !share->ending) {
        hkb_tag_share_register(share, (hkb_registration){0});
    }
    hkb_list_remove(&share->listing);
    hkb_list_remove(&share->item.node);
    hkb_heap_remove(&tag->offers, &share->offer);
    hkb_pass_end(share);
    if (exposed) {
        hkb_exposer_gone(tag->exchange);
    }
    if (observed) {
        end_unobserved(tag); /* a pass may not have come to all of its objects */
    }
}

void hkb_tag_share_end(hkb_tag_share *share)
{
    take_back(share);
    share->ending = 1;
    share->tag->ending_shares++;
    hkb_list_remove(&share->of_peer);
    hkb_list_push(&share->peer->tag_shares, &share->of_peer);
}

void hkb_tag_share_free(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hkb_exchange *exchange = tag->exchange;
    take_back(share);
    tag->ending_shares -= share->ending;
    (void)hkb_peer_account(share->peer, 0, tag_share_bytes(share));
    if (tag->payer == share) {
        hkb_tag_charge(tag, NULL);
    }
    leave_row(share);
    hkb_map_remove(&exchange->tag_shares, share);
    hkb_list_remove(&share->of_peer);
    hkb_list_remove(&share->of_tag);
    hkb_free(exchange->alloc, share, sizeof(*share));
    hkb_tag_mark(tag);
}

void hkb_tag_share_release(hkb_tag_share *share)
{
    if (!hkb_registration_flags(&share->registered) && share->listed_count == 0 &&
        !hkb_node_linked(&share->passing)) {
        hkb_tag_share_free(share);
    }
}

/* -- Objects -- */

static size_t object_bytes(size_t tag_count)
{
    return sizeof(hkb_object) + tag_count * sizeof(hkb_object_tag);
}

void hkb_object_free(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    exchange->remembered_count -= object->remembered;
    for (size_t i = 0; i < object->tag_count; i++) {
        hkb_tag *tag = object->tags[i].tag;
        if (tag) {
            if (tag->payer == object) {
                hkb_tag_charge(tag, NULL);
            }
            hkb_list_remove(&object->tags[i].of_tag);
            tag->object_count--;
            hkb_tag_mark(tag);
        }
    }
    hkb_list_remove(&object->dirty);
    hkb_list_remove(&object->hold);
    hkb_object_leave_timed(object);
    while (object->deltas) {
        hkb_delta_free(object->deltas);
    }
    hkb_partial_free(object);
    hkb_object_free_local(object);
    hkb_object_uncharge(object);
    hkb_object_drop_state(object, object->state);
    hakuban_state_unref(object->floor);
    hakuban_descriptor_unref(object->descriptor);
    hkb_free(exchange->alloc, object, object_bytes(object->tag_count));
}

hakuban_status hkb_object_get(hkb_exchange *exchange, hakuban_descriptor *descriptor,
                              hkb_object **ret)
{
    hkb_object *object = hkb_object_find(exchange, descriptor);
    if (object) {
        *ret = object;
        return HAKUBAN_OK;
    }
    object = hkb_alloc(exchange->alloc, object_bytes(descriptor->tag_count));
    if (!object) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    object->exchange = exchange;
    object->local = hkb_no_local();
    object->hash = hkb_object_hash(exchange, descriptor);
    object->descriptor = hakuban_descriptor_ref(descriptor);
    object->tag_count = descriptor->tag_count;
    object->number = exchange->object_numbers++;
    object->unserved = 1; /* and stands at the end of its tags' lists */
    hkb_list_init(&object->shares);
    hkb_list_init(&object->bases);
    const char *json = hkb_descriptor_tags(descriptor);
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; status >= 0 && i < object->tag_count; i++) {
        hakuban_slice text = {json, strlen(json)};
        hkb_object_tag *place = &object->tags[i];
        status = hkb_tag_get(exchange, text, &place->tag);
        if (status >= 0) {
            place->object = object;
            hkb_list_push(&place->tag->objects, &place->of_tag);
            place->tag->object_count++;
            if (!place->tag->payer) {
                hkb_tag_charge(place->tag, object);
                object->tag_bytes += (uint16_t)hkb_tag_bytes(place->tag);
            }
        }
        json += text.bytes + 1;
    }
    if (status >= 0) {
        status = hkb_map_insert(&exchange->objects, object);
    }
    if (status < 0) {
        hkb_object_free(object);
        return status;
    }
    hkb_object_recharge(object);
    *ret = object;
    return HAKUBAN_OK;
}

/* -- Shares -- */

static size_t share_bytes(const hkb_share *share)
{
    return sizeof(*share) + (share->item.in_map ? HKB_SLOT_BYTES : 0);
}

static hakuban_status put_into_map(hkb_share *share)
{
    hkb_exchange *exchange = share->peer->exchange;
    if (share->item.in_map || share->peer->link.connector) {
        return HAKUBAN_OK;
    }
    share->item.hash = hkb_share_hash(exchange, share->peer, share->object);
    hakuban_status status = hkb_map_insert(&exchange->shares, share);
    share->item.in_map = status >= 0;
    return status;
}

/* hkb_share_find() walks over the first few of an object's shares. Where there are more, all are in
 * the map, since their order changes. */
static hakuban_status put_all_into_map(hkb_share *share)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_share, other, &share->object->shares, of_object)
    {
        if (++count > HKB_SHARES_WALKED) {
            return put_into_map(share); /* as all the others are already */
        }
    }
    if (count < HKB_SHARES_WALKED) {
        return HAKUBAN_OK;
    }
    hakuban_status status = put_into_map(share);
    HKB_LIST_EACH(hkb_share, other, &share->object->shares, of_object)
    {
        if (status >= 0 && !other->item.in_map) {
            status = put_into_map(other);
            (void)hkb_peer_account(other->peer, other->item.in_map ? HKB_SLOT_BYTES : 0, 0);
        }
    }
    if (status < 0 && share->item.in_map) {
        hkb_map_remove(&share->peer->exchange->shares, share);
    }
    return status;
}

static hakuban_status share_new(hkb_peer *peer, hkb_object *object, hkb_share **ret)
{
    hkb_exchange *exchange = object->exchange;
    hkb_share *share = hkb_alloc(exchange->alloc, sizeof(*share));
    if (!share) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    share->peer = peer;
    share->object = object;
    share->item.kind = HKB_ITEM_SHARE;
    hakuban_status status = put_all_into_map(share);
    if (status < 0) {
        hkb_free(exchange->alloc, share, sizeof(*share));
        return status;
    }
    if (peer->link.connector) {
        object->upstream = share;
        hkb_upward_begin(object);
    }
    hkb_list_push(&peer->shares, &share->of_peer);
    peer->share_count++;
    hkb_list_push(&object->shares, &share->of_object);
    if (!object->payer) {
        hkb_object_charge(object, peer, false);
    }
    (void)hkb_peer_account(peer, share_bytes(share), 0);
    *ret = share;
    return HAKUBAN_OK;
}

hakuban_status hkb_share_get(hkb_peer *peer, hkb_object *object, hkb_share **ret)
{
    *ret = hkb_share_find(object->exchange, peer, object);
    if (*ret) {
        return HAKUBAN_OK;
    }
    hakuban_status status = share_new(peer, object, ret);
    if (status < 0) {
        return status;
    }
    if (peer->link.connector) {
        hkb_object_mark(object);
    } else {
        hkb_share_refresh(*ret); /* the peer's registrations of the object's tags count here, too */
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_share_observe(hkb_peer *peer, hkb_object *object, const hkb_interest *by_tags)
{
    hkb_share *share = hkb_share_find(object->exchange, peer, object);
    hakuban_status status = share ? HAKUBAN_OK : share_new(peer, object, &share);
    if (status >= 0) {
        hkb_share_refresh_with(share, by_tags);
    }
    return status;
}

bool hkb_share_release(hkb_share *share)
{
    hkb_object *object = share->object;
    if (hkb_registration_flags(&share->registered) || share->out.declining ||
        (share->out.observing && object->exists) || share->out.wanted ||
        share->in.phase != HKB_CHANNEL_CLOSED || share->out.phase != HKB_CHANNEL_CLOSED ||
        object->assigned.leaving == share || (object->assigned.held && object->upstream == share) ||
        (hkb_share_serves(share))) {
        return false;
    }
    object->observing -= share->out.observing; /* by a tag: it comes again with the object */
    object->observing_only -= share->out.observing_only;
    hkb_list_remove(&share->item.node);
    hkb_list_remove(&share->of_peer);
    share->peer->share_count--;
    hkb_list_remove(&share->of_object);
    if (object->upstream == share) {
        hkb_upward_end(object);
        object->upstream = NULL;
    }
    if (share->item.in_map) {
        hkb_map_remove(&object->exchange->shares, share);
    }
    (void)hkb_peer_account(share->peer, 0, share_bytes(share));
    hkb_object_pass_charge(object, share->peer);
    hkb_free(object->exchange->alloc, share, sizeof(*share));
    hkb_object_mark(object);
    return true;
}
