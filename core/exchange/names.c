/* Finds objects and states by names of 64 bits each: peers whose sessions have ended name the
 * objects and states that they still have, so that objects need not move and states need not be
 * sent again. */
#include "exchange/names.h"
#include "exchange/account.h"
#include "exchange/facts.h"

#define BLOCK_NAMES 340 /* 8 KiB */

/* -- Tables of names -- */

typedef struct hkb_names_block {
    struct hkb_names_block *next;
    size_t count;
    hkb_name names[BLOCK_NAMES];
} names_block;

static bool same_name(const void *item, const void *key)
{
    return ((const hkb_name *)item)->name == *(const uint64_t *)key;
}

/* Keyed, since peers choose the names. */
static uint32_t name_hash(const hkb_exchange *exchange, uint64_t name)
{
    return (uint32_t)hkb_siphash(exchange->map_key, &name, sizeof(name));
}

void hkb_names_init(hkb_names *names, const hkb_exchange *exchange)
{
    *names = (hkb_names){0};
    hkb_map_init(&names->map, exchange->alloc, offsetof(hkb_name, hash), same_name);
}

void hkb_names_done(hkb_names *names, const hkb_exchange *exchange)
{
    hkb_map_done(&names->map);
    while (names->blocks) {
        names_block *block = names->blocks;
        names->blocks = block->next;
        hkb_free(exchange->alloc, block, sizeof(*block));
    }
    names->block_bytes = 0;
}

hkb_name *hkb_names_find(const hkb_names *names, const hkb_exchange *exchange, uint64_t name)
{
    return names->map.count ? hkb_map_find(&names->map, name_hash(exchange, name), &name) : NULL;
}

hakuban_status hkb_names_put(hkb_names *names, const hkb_exchange *exchange, uint64_t name,
                             uint64_t value)
{
    if (name == 0) {
        return HAKUBAN_OK; /* a name of 0 is no name: the state is sent whole */
    }
    uint32_t hash = name_hash(exchange, name);
    hkb_name *found = hkb_map_find(&names->map, hash, &name);
    if (found) {
        found->value = value;
        return HAKUBAN_OK;
    }
    names_block *block = names->blocks;
    if (!block || block->count == BLOCK_NAMES) {
        block = hkb_alloc_unset(exchange->alloc, sizeof(*block));
        if (!block) {
            return HAKUBAN_ERR_NO_MEMORY;
        }
        block->next = names->blocks;
        block->count = 0;
        names->blocks = block;
        names->block_bytes += sizeof(*block);
    }
    hkb_name *made = &block->names[block->count];
    *made = (hkb_name){name, value, hash};
    hakuban_status status = hkb_map_insert(&names->map, made);
    block->count += status >= 0;
    return status;
}

size_t hkb_names_bytes(const hkb_names *names)
{
    return names->map.bytes + names->block_bytes;
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
    hkb_names_init(&peer->recall->had, exchange);
    hkb_names_init(&peer->recall->holds, exchange);
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
    peer->exchange->holder_count -= recall->holds.map.count > 0;
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
           hkb_names_find(&exchange->had_live, exchange, hkb_object_name(object));
}

uint64_t hkb_recall_holds(const hkb_peer *peer, const hkb_object *object)
{
    if (!peer->recall || peer->recall->holds.map.count == 0) {
        return 0;
    }
    const hkb_name *name =
        hkb_names_find(&peer->recall->holds, peer->exchange, hkb_object_name(object));
    return name ? name->value : 0;
}

void hkb_recall_resumes(hkb_peer *peer, const hkb_object *object)
{
    hkb_names_find(&peer->recall->holds, peer->exchange, hkb_object_name(object))->value = 0;
}

bool hkb_recall_has(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    if (!peer->recall || peer->recall->had.map.count == 0 || share->out.base) {
        return false;
    }
    const hkb_name *name =
        hkb_names_find(&peer->recall->had, peer->exchange, hkb_object_name(share->object));
    return name && name->value == hkb_state_identity(share->object->state);
}

void hkb_recall_forget(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    hkb_name *name = peer->recall ? hkb_names_find(&peer->recall->had, peer->exchange,
                                                   hkb_object_name(share->object))
                                  : NULL;
    if (name) {
        name->value = 0;
    }
}
