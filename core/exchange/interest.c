/* A downstream's interest in an object: its registrations of the object itself and of its tags, and
 * whether it gets a stream. */
#include "exchange/interest.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/offers.h"

void hkb_share_settle_stream(hkb_share *share)
{
    hkb_object *object = share->object;
    if (share->peer->link.connector) {
        return;
    }
    const hkb_dialect *manners = hkb_share_manners(share);
    bool chosen = hkb_share_serves(share);
    /* While the old exposer closes, the next one keeps its stream: without it, the object might end
     * there. */
    bool awaits_sink = chosen && object->assigned.leaving && share->out.phase == HKB_CHANNEL_OPEN &&
                       manners->stream_until_sink;
    bool wanted = object->exists && share->out.observing && (!chosen || awaits_sink) &&
                  !(manners->stream_needs_source && object->source == HAKUBAN_SOURCE_NONE);
    if (wanted != share->out.wanted) {
        share->out.wanted = wanted;
        hkb_share_queue(share);
    }
}

void hkb_object_settle_streams(hkb_object *object)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        hkb_share_settle_stream(share);
    }
}

void hkb_share_refresh(hkb_share *share)
{
    const hkb_object *object = share->object;
    hkb_interest by_tags = {0};
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag_share *tag_share =
            hkb_tag_share_find(object->exchange, share->peer, object->tags[i].tag);
        if (tag_share) {
            hkb_interest_add(&by_tags, hkb_interest_of(&tag_share->registered));
        }
    }
    hkb_share_refresh_with(share, &by_tags);
}

void hkb_share_refresh_with(hkb_share *share, const hkb_interest *by_tags)
{
    hkb_object *object = share->object;
    hkb_interest all = *by_tags;
    hkb_interest_add(&all, hkb_interest_of(&share->registered));
    bool observing = all.observes, exposing = all.exposes && !share->registered.declines,
         can_serve = all.can_serve || hkb_share_manners(share)->serves_at_capacity_0;
    bool observing_only = observing && !(exposing && can_serve); /* a peer that drains is served */
    object->observing += (uint32_t)observing - (uint32_t)share->out.observing;
    object->observing_only += (uint32_t)observing_only - (uint32_t)share->out.observing_only;
    share->out.observing = observing;
    share->out.observing_only = observing_only;
    share->in.exposing = exposing;
    share->in.can_serve = can_serve;
    hkb_object_mark(object);
    hkb_share_settle_stream(share);
    hkb_share_queue(share); /* which also releases it, where it has no meaning any more */
}

/* A downstream that goes on exposing keeps the age of its registration, whatever its capacity.
 * After very many registrations the order begins anew. */
static void set_number(hkb_exchange *exchange, const hkb_registration *before,
                       hkb_registration *registered)
{
    uint32_t number = before->number;
    if (registered->exposes && !before->exposes) {
        number = exchange->registration_numbers % HKB_REGISTRATION_NUMBER_MAX + 1;
        exchange->registration_numbers = number;
    }
    registered->number = registered->exposes ? number & HKB_REGISTRATION_NUMBER_MAX : 0;
}

void hkb_share_register(hkb_share *share, hkb_registration registered)
{
    hkb_object *object = share->object;
    object->observe_shares += (uint32_t)registered.observes - share->registered.observes;
    object->expose_shares += (uint32_t)registered.exposes - share->registered.exposes;
    object->capacity += (uint64_t)registered.capacity - share->registered.capacity;
    set_number(object->exchange, &share->registered, &registered);
    share->registered = registered;
    hkb_offer_object(share);
    hkb_share_refresh(share);
}

/* Observers are at the front of the tag's row: the share changes places with the one at their end.
 */
static void move_in_row(hkb_tag_share *share, bool observes)
{
    hkb_tag *tag = share->tag;
    uint32_t from = share->place, to = observes ? tag->observe_shares : tag->observe_shares - 1;
    if (from == to) {
        return;
    }
    hkb_tag_place moved = tag->row[from];
    hkb_tag_share_find(tag->exchange, tag->row[to].peer, tag)->place = from;
    tag->row[from] = tag->row[to];
    tag->row[to] = moved;
    share->place = to;
}

void hkb_tag_share_register(hkb_tag_share *share, hkb_registration registered)
{
    hkb_tag *tag = share->tag;
    if (registered.observes != share->registered.observes) {
        move_in_row(share, registered.observes);
    }
    tag->observe_shares += (uint32_t)registered.observes - share->registered.observes;
    tag->expose_shares += (uint32_t)registered.exposes - share->registered.exposes;
    tag->preload_shares += (uint32_t)registered.preloads - share->registered.preloads;
    tag->capacity += (uint64_t)registered.capacity - share->registered.capacity;
    set_number(tag->exchange, &share->registered, &registered);
    share->registered = registered;
    tag->row[share->place].interest = hkb_interest_of(&registered);
    hkb_offer_tag(share);
    hkb_tag_mark(tag);
}
