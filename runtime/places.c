/* See places.h. */
#include "runtime/places.h"

static uint64_t failed_before(const hkb_places *places, const char *address)
{
    for (size_t i = 0; i < places->count; i++) {
        if (strcmp(places->items[i].address, address) == 0) {
            return places->items[i].failed;
        }
    }
    return 0;
}

hakuban_status hkb_places_take(hkb_places *places, const hakuban_alloc *alloc,
                               const hkb_answer *answer)
{
    hkb_place *items = hkb_alloc(alloc, answer->count * sizeof(*items));
    if (!items) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t failed = failed_before(places, answer->addresses[i]);
        size_t at = i; /* behind those that failed earlier, or not at all */
        for (; at > 0 && items[at - 1].failed > failed; at--) {
            items[at] = items[at - 1];
        }
        memcpy(items[at].address, answer->addresses[i], HKB_ADDRESS_BYTES);
        items[at].failed = failed;
    }
    hkb_free(alloc, places->items, places->count * sizeof(*items));
    places->items = items;
    places->count = answer->count;
    places->good = false;
    return HAKUBAN_OK;
}

void hkb_places_failed(hkb_places *places)
{
    if (places->count) {
        hkb_place first = places->items[0];
        first.failed = ++places->failures;
        memmove(places->items, places->items + 1, (places->count - 1) * sizeof(first));
        places->items[places->count - 1] = first;
        places->good = false;
    }
}

void hkb_places_succeeded(hkb_places *places)
{
    if (places->count) {
        places->items[0].failed = 0;
        places->good = true;
    }
}

void hkb_places_done(hkb_places *places, const hakuban_alloc *alloc)
{
    hkb_free(alloc, places->items, places->count * sizeof(*places->items));
    *places = (hkb_places){0};
}
