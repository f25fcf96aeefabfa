/* Registrations of tags: wildcards over objects. They travel upwards as tags, never expanded to
 * objects. */
#include "exchange/tag.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/lifetimes.h"
#include "exchange/recall.h"

hakuban_status hkb_tag_register(hkb_tag *tag, hkb_peer *peer, uint32_t flags, uint32_t capacity)
{
    bool observes = (flags & HKB_WANT_OBSERVE) != 0, exposes = (flags & HKB_WANT_EXPOSE) != 0;
    bool preloads = (flags & HKB_WANT_PRELOAD) != 0;
    hkb_tag_share *share;
    hakuban_status status = hkb_tag_share_get(peer, tag, &share);
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
    hkb_tag_share_release(share);
    return HAKUBAN_OK;
}

void hkb_tag_passed(hkb_tag_share *share)
{
    if (share->listed_wanted && !hkb_node_linked(&share->listing)) {
        hkb_list_push(&share->tag->exchange->listings, &share->listing);
    }
    hkb_tag_share_release(share);
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

static void emit_registration(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hkb_wanted wanted = hkb_tag_wanted(tag);
    if (hkb_tag_was_told(share, &wanted)) {
        return;
    }
    if (wanted.observes && !share->observes) {
        share->listed = 0;
        if (!share->peer->link.dialect->says_listed) {
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
        hkb_tag_share_release(share);
    }
}
