/* The addresses of a name, in the order in which they are tried: the one that failed last comes
 * last. Pure data; connects nothing. */
#ifndef HKB_RUNTIME_PLACES_H
#define HKB_RUNTIME_PLACES_H

#include "runtime/lookup.h"

typedef struct hkb_place {
    char address[HKB_ADDRESS_BYTES];
    uint64_t failed; /* the number of its last failure; 0: none since it was good or new */
} hkb_place;

/* All zero: empty. */
typedef struct hkb_places {
    hkb_place *items;
    size_t count;
    uint64_t failures;
    bool good; /* the first one was good when it was last tried */
} hkb_places;

/* Takes what was found: what is known of an address that is found again is kept. ERR_NO_MEMORY
 * leaves all as it was. */
hakuban_status hkb_places_take(hkb_places *places, const hakuban_alloc *alloc,
                               const hkb_answer *answer);
/* What became of the first one. A failure makes it the last. */
void hkb_places_failed(hkb_places *places);
void hkb_places_succeeded(hkb_places *places);
void hkb_places_done(hkb_places *places, const hakuban_alloc *alloc);

#endif
