/* Finds objects and states by names of 64 bits each: peers whose sessions have ended name the
 * objects and states that they still have, so that objects need not move and states need not be
 * sent again. */
#include "exchange/names.h"
#include "exchange/account.h"
#include "exchange/facts.h"

/* -- A table of names -- */

/* Linear probing; the slot follows from a secret key, since peers choose the names. */
static size_t slot_of(const hkb_recall_table *table, const hkb_exchange *exchange, uint64_t name)
{
    size_t at = (size_t)hkb_siphash(exchange->map_key, &name, sizeof(name)) & table->mask;
    while (table->slots[at].name && table->slots[at].name != name) {
        at = (at + 1) & table->mask;
    }
    return at;
}

void hkb_names_done(hkb_recall_table *table, const hkb_exchange *exchange)
{
    if (table->slots) {
        hkb_free(exchange->alloc, table->slots, (table->mask + 1) * sizeof(table->slots[0]));
    }
    *table = (hkb_recall_table){0};
}

static bool table_grow(hkb_recall_table *table, const hkb_exchange *exchange)
{
    hkb_recall_table larger = {.mask = table->slots ? table->mask * 2 + 1 : 63};
    larger.slots = hkb_alloc(exchange->alloc, (larger.mask + 1) * sizeof(larger.slots[0]));
    if (!larger.slots) {
        return false;
    }
    for (size_t i = 0; table->slots && i <= table->mask; i++) {
        if (table->slots[i].name) {
            larger.slots[slot_of(&larger, exchange, table->slots[i].name)] = table->slots[i];
        }
    }
    larger.count = table->count;
    hkb_names_done(table, exchange);
    *table = larger;
    return true;
}

hakuban_status hkb_names_put(hkb_recall_table *table, const hkb_exchange *exchange, uint64_t name,
                             uint64_t value)
{
    if (name == 0) {
        return HAKUBAN_OK; /* a name of 0 is no name: the state is sent whole */
    }
    if ((!table->slots || table->count > table->mask / 2) && !table_grow(table, exchange)) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hkb_recall_pair *pair = &table->slots[slot_of(table, exchange, name)];
    table->count += pair->name == 0;
    *pair = (hkb_recall_pair){name, value};
    return HAKUBAN_OK;
}

static hkb_recall_pair *table_find(const hkb_recall_table *table, const hkb_exchange *exchange,
                                   uint64_t name)
{
    if (table->count == 0 || name == 0) {
        return NULL;
    }
    hkb_recall_pair *pair = &table->slots[slot_of(table, exchange, name)];
    return pair->name ? pair : NULL;
}

size_t hkb_names_bytes(const hkb_recall_table *table)
{
    return table->slots ? (table->mask + 1) * sizeof(table->slots[0]) : 0;
}

/* -- Names -- */

uint64_t hkb_object_name(const hkb_object *object)
{
    return hkb_hash64(object->descriptor->text, object->descriptor->text_bytes);
}

uint8_t *hkb_put_word(uint8_t *out, uint64_t word)
{
    for (size_t i = 0; i < 8; i++) {
        *out++ = (uint8_t)(word >> (8 * i));
    }
    return out;
}

uint64_t hkb_state_check(hakuban_state *state)
{
    if (!state->has_check) {
        state->check = hkb_hash64(state->data, state->data_bytes);
        state->has_check = 1;
    }
    return state->check;
}

/* A hash of format, version and data. */
uint64_t hkb_state_identity(hakuban_state *state)
{
    uint8_t words[8 * (HAKUBAN_VERSION_ELEMENTS_MAX + 2)];
    uint8_t *end = hkb_put_word(words, hkb_state_check(state));
    end = hkb_put_word(end, hkb_hash64(hkb_state_format(state), state->format_bytes));
    for (size_t i = 0; i < state->version_count; i++) {
        end = hkb_put_word(end, (uint64_t)state->version[i]);
    }
    return hkb_hash64(words, (size_t)(end - words));
}

uint32_t hkb_recall_check(hakuban_state *state)
{
    return (uint32_t)hkb_state_identity(state);
}

/* -- What a peer has named -- */

hkb_recall *hkb_recall_get(hkb_peer *peer)
{
    const hkb_exchange *exchange = peer->exchange;
    if (peer->recall) {
        return peer->recall;
    }
    peer->recall = hkb_alloc(exchange->alloc, sizeof(*peer->recall));
    if (!peer->recall) {
        return NULL;
    }
    for (size_t i = 0; i < HKB_PAIRS_KINDS; i++) {
        hkb_buffer_init(&peer->recall->pairs[i], exchange->alloc, HKB_PAIRS_MAX * HKB_PAIR_BYTES);
    }
    peer->recall->since_ns = exchange->now_ns;
    return peer->recall;
}

void hkb_recall_free(hkb_peer *peer)
{
    hkb_recall *recall = peer->recall;
    if (!recall) {
        return;
    }
    (void)hkb_peer_account(peer, 0,
                           hkb_names_bytes(&recall->had) + hkb_names_bytes(&recall->holds));
    hkb_names_done(&recall->had, peer->exchange);
    peer->exchange->holder_count -= recall->holds.count > 0;
    hkb_names_done(&recall->holds, peer->exchange);
    for (size_t i = 0; i < HKB_PAIRS_KINDS; i++) {
        hkb_buffer_done(&recall->pairs[i]);
    }
    hkb_free(peer->exchange->alloc, recall, sizeof(*recall));
    peer->recall = NULL;
}

bool hkb_recall_awaits(const hkb_object *object)
{
    const hkb_exchange *exchange = object->exchange;
    return hkb_exchange_is_young(exchange) &&
           table_find(&exchange->had_live, exchange, hkb_object_name(object));
}

uint64_t hkb_recall_holds(const hkb_peer *peer, const hkb_object *object)
{
    if (!peer->recall || peer->recall->holds.count == 0) {
        return 0;
    }
    const hkb_recall_pair *pair =
        table_find(&peer->recall->holds, peer->exchange, hkb_object_name(object));
    return pair ? pair->value : 0;
}

void hkb_recall_resumes(hkb_peer *peer, const hkb_object *object)
{
    hkb_recall_pair *pair =
        table_find(&peer->recall->holds, peer->exchange, hkb_object_name(object));
    pair->value = 0; /* its slot must stay: others may be behind it */
}

bool hkb_recall_has(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    if (!peer->recall || peer->recall->had.count == 0 || share->out.base) {
        return false;
    }
    const hkb_recall_pair *pair =
        table_find(&peer->recall->had, peer->exchange, hkb_object_name(share->object));
    return pair && pair->value == hkb_state_identity(share->object->state);
}

void hkb_recall_forget(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    hkb_recall_pair *pair = peer->recall ? table_find(&peer->recall->had, peer->exchange,
                                                      hkb_object_name(share->object))
                                         : NULL;
    if (pair) {
        pair->value = 0; /* its slot must stay: others may be behind it */
    }
}
