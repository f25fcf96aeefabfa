/* All objects and tags, looked at again a few at a time. */
#ifndef HKB_EXCHANGE_WALK_H
#define HKB_EXCHANGE_WALK_H

#include "exchange/records.h"

static inline bool hkb_exchange_walks(const hkb_exchange *exchange)
{
    return exchange->walk.goes_on || !hkb_list_empty(&exchange->sweeping);
}
/* Goes on by a few objects or tags, which are to be settled then. false: there are none, or no more
 * in this turn. */
bool hkb_walk_go_on(hkb_exchange *exchange);

#endif
