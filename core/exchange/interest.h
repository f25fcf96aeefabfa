/* A downstream's interest in an object. */
#ifndef HKB_EXCHANGE_INTEREST_H
#define HKB_EXCHANGE_INTEREST_H

#include "exchange/records.h"

/* Replaces the downstream's registration of the object or tag itself. */
void hkb_share_register(hkb_share *share, hkb_registration registered);
void hkb_tag_share_register(hkb_tag_share *share, hkb_registration registered);
/* After a registration of the downstream changed. */
void hkb_share_refresh(hkb_share *share);
/* The same, with its registrations of the object's tags, which the caller knows. */
void hkb_share_refresh_with(hkb_share *share, const hkb_interest *by_tags);
/* Decides whether the downstream gets a stream: it observes, the object exists, and the downstream
 * is not the exposer itself. */
void hkb_share_settle_stream(hkb_share *share);
void hkb_object_settle_streams(hkb_object *object);

static inline hkb_interest hkb_interest_of(const hkb_registration *registered)
{
    return (hkb_interest){.observes = registered->observes,
                          .exposes = registered->exposes,
                          .can_serve = registered->capacity > 0};
}

static inline void hkb_interest_add(hkb_interest *interest, hkb_interest more)
{
    interest->observes = interest->observes || more.observes;
    interest->exposes = interest->exposes || more.exposes;
    interest->can_serve = interest->can_serve || more.can_serve;
}

#endif
