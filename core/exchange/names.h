/* Objects and states by names of 64 bits each, in tables. */
#ifndef HKB_EXCHANGE_NAMES_H
#define HKB_EXCHANGE_NAMES_H

#include "exchange/records.h"

#define HKB_PAIR_BYTES 16u
#define HKB_PAIRS_MAX (1u << 20)

void hkb_names_init(hkb_names *names, const hkb_exchange *exchange);
/* A name that is there gets the new value. */
hakuban_status hkb_names_put(hkb_names *names, const hkb_exchange *exchange, uint64_t name,
                             uint64_t value);
/* NULL: it is not there. */
hkb_name *hkb_names_find(const hkb_names *names, const hkb_exchange *exchange, uint64_t name);
size_t hkb_names_bytes(const hkb_names *names);
/* They are empty then, and can be used again. */
void hkb_names_done(hkb_names *names, const hkb_exchange *exchange);

uint8_t *hkb_put_word(uint8_t *out, uint64_t word);
uint64_t hkb_object_name(const hkb_object *object);
/* XXH3-64 of its data. */
uint64_t hkb_state_check(hakuban_state *state);
/* A hash of format, version and data. */
uint64_t hkb_state_identity(hakuban_state *state);
uint32_t hkb_recall_check(hakuban_state *state);

/* Finds the peer's record, or makes it; NULL: no memory. */
hkb_recall *hkb_recall_get(hkb_peer *peer);
void hkb_recall_free(hkb_peer *peer);
/* The peer that had the object before this hub was restarted may still come back. */
bool hkb_recall_awaits(const hkb_object *object);
/* The id of the object's sink that the peer has named; 0: none. */
uint64_t hkb_recall_holds(const hkb_peer *peer, const hkb_object *object);
/* The peer has its sink again, under the id that it named; its next assignment gets another id. */
void hkb_recall_resumes(hkb_peer *peer, const hkb_object *object);
/* The peer has the newest state already. */
bool hkb_recall_has(const hkb_share *share);
/* The peer does not have the state any more. */
void hkb_recall_forget(const hkb_share *share);

#endif
