/* Registrations of tags: wildcards over objects. They travel upwards as tags, never expanded to
 * objects. */
#include "exchange/tag.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/recall.h"

/* Whether each object of the tag may change with the registration: it may have or lose an observer,
 * or the only exposer that could take it from another. */
static bool concerns_all(const hkb_tag_share *share, const hkb_registration *registered)
{
    const hkb_registration *before = &share->registered;
    uint32_t others = share->tag->expose_shares - before->exposes;
    return registered->observes || before->observes || registered->preloads != before->preloads ||
           (registered->exposes != before->exposes && others <= 1) ||
           share->peer->share_count >= share->tag->object_count;
}

hakuban_status hkb_tag_register(hkb_tag *tag, hkb_peer *peer, hkb_registration registered)
{
    hkb_tag_share *share;
    hakuban_status status = hkb_tag_share_get(peer, tag, &share);
    if (status < 0) {
        return status;
    }
    hkb_registration before = share->registered;
    bool changed = hkb_registration_flags(&registered) != hkb_registration_flags(&before) ||
                   !registered.capacity != !before.capacity;
    if (changed || registered.capacity != before.capacity) {
        hkb_pass_begin(share, changed, concerns_all(share, &registered));
    }
    hkb_tag_share_register(share, registered);
    if (registered.observes && !before.observes) {
        share->listed_wanted = 1; /* once it has passed */
    } else if (!registered.observes && share->listed_wanted) {
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
        if (share->registered.observes && !share->listed) {
            share->listed = 1;
            hkb_recall_listed(share->tag);
            hkb_tag_recheck_listed(share->tag);
        }
    }
}

static void emit_registration(hkb_tag_share *share)
{
    hkb_tag *tag = share->tag;
    hkb_registration wanted = hkb_tag_wanted(tag);
    if (hkb_registration_equal(&share->registered, &wanted)) {
        return;
    }
    if (tag->ending_shares && share->registered.exposes && !wanted.exposes) {
        return; /* the last of these marks the tag anew */
    }
    if (wanted.observes && !share->registered.observes) {
        share->listed = 0;
        if (!share->peer->link.dialect->says_listed) {
            share->peer->lists_ns = tag->exchange->now_ns + HKB_LISTS_NS;
        } else {
            share->listed_count++;
        }
    }
    hkb_message message = {
        .kind = HKB_MESSAGE_TAG,
        .flags = hkb_registration_flags(&wanted),
        .capacity = wanted.capacity,
        .before_flags = hkb_registration_flags(&share->registered),
        .before_capacity = share->registered.capacity,
        .text = {tag->json, tag->json_bytes},
    };
    share->registered = wanted;
    hkb_link_say(&share->peer->link, &message, NULL);
    if (!message.flags) {
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
