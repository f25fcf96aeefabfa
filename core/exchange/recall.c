/* What is kept of a session that is over: objects that existed only by an upstream stay, what
 * served them is held for the rest of the grace time, and both sides name what they still have, so
 * that a hub that was restarted empty neither moves nor sends it again. Knows no message's
 * encoding. */
#include "exchange/internal.h"

#define PAIR_BYTES 16u
#define FRAME_PAIRS 2048u /* 32 KiB */
#define PAIRS_MAX (1u << 20)
#define RECALL_NS 30000000000ull /* who has not asked for what it named by then gets it whole */

/* -- Names of objects and states in a table -- */

/* Linear probing; the slot follows from a secret key, since peers choose the names. */
static size_t slot_of(const hkb_recall_table *table, const hkb_exchange *exchange, uint64_t name)
{
    uint64_t mixed = (name ^ exchange->map_key[0]) * (exchange->map_key[1] | 1);
    size_t at = (size_t)(mixed >> 32) & table->mask;
    while (table->slots[at].name && table->slots[at].name != name) {
        at = (at + 1) & table->mask;
    }
    return at;
}

static void table_done(hkb_recall_table *table, const hkb_exchange *exchange)
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
    table_done(table, exchange);
    *table = larger;
    return true;
}

static hakuban_status table_put(hkb_recall_table *table, const hkb_exchange *exchange,
                                uint64_t name, uint64_t value)
{
    if (name == 0) {
        return HAKUBAN_OK; /* one in 2^64: it travels whole */
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

static uint64_t name_of(const hkb_object *object)
{
    return hkb_hash64(object->descriptor->text, object->descriptor->text_bytes);
}

static uint8_t *put_word(uint8_t *out, uint64_t word)
{
    for (size_t i = 0; i < 8; i++) {
        *out++ = (uint8_t)(word >> (8 * i));
    }
    return out;
}

/* Format, version and data in one. */
static uint64_t identity_of(hakuban_state *state)
{
    uint8_t words[8 * (HAKUBAN_VERSION_ELEMENTS_MAX + 2)];
    uint8_t *end = put_word(words, hkb_state_check(state));
    end = put_word(end, hkb_hash64(state->format, state->format_bytes));
    for (size_t i = 0; i < state->version_count; i++) {
        end = put_word(end, (uint64_t)state->version[i]);
    }
    return hkb_hash64(words, (size_t)(end - words));
}

/* -- The record of one peer -- */

struct hkb_recall {
    hkb_recall_table had, holds; /* what a downstream has named: states, and sinks it held */
    hkb_buffer pairs[3];         /* what an upstream is to be told: LIVE, not LIVE, sinks */
    size_t said[3];
    uint64_t since_ns;
};
enum { PAIRS_LIVE, PAIRS_OLD, PAIRS_SINKS, PAIRS_KINDS };

static hkb_recall *recall_get(hkb_peer *peer)
{
    const hkb_exchange *exchange = peer->exchange;
    if (peer->recall) {
        return peer->recall;
    }
    peer->recall = hkb_alloc(exchange->alloc, sizeof(*peer->recall));
    if (!peer->recall) {
        return NULL;
    }
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        hkb_buffer_init(&peer->recall->pairs[i], exchange->alloc, PAIRS_MAX * PAIR_BYTES);
    }
    peer->recall->since_ns = exchange->now_ns;
    return peer->recall;
}

static size_t table_bytes(const hkb_recall_table *table)
{
    return table->slots ? (table->mask + 1) * sizeof(table->slots[0]) : 0;
}

void hkb_recall_free(hkb_peer *peer)
{
    hkb_recall *recall = peer->recall;
    if (!recall) {
        return;
    }
    (void)hkb_peer_account(peer, 0, table_bytes(&recall->had) + table_bytes(&recall->holds));
    table_done(&recall->had, peer->exchange);
    table_done(&recall->holds, peer->exchange);
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        hkb_buffer_done(&recall->pairs[i]);
    }
    hkb_free(peer->exchange->alloc, recall, sizeof(*recall));
    peer->recall = NULL;
}

void hkb_recall_tick(hkb_peer *peer)
{
    if (peer->recall && peer->exchange->now_ns - peer->recall->since_ns > RECALL_NS) {
        hkb_recall_free(peer);
    }
}

/* -- The connector: after the loss -- */

static bool observed_by_tag(const hkb_object *object)
{
    for (size_t i = 0; i < object->tag_count; i++) {
        if (hkb_tag_wanted(object->tags[i].tag).observes) {
            return true;
        }
    }
    return false;
}

bool hkb_recall_exists(const hkb_object *object)
{
    return object->held || (object->remembered && observed_by_tag(object));
}

void hkb_recall_remember(hkb_share *share)
{
    const hkb_link *link = &share->peer->link;
    hkb_object *object = share->object;
    if (share->in_phase != HKB_CHANNEL_OPEN || link->settings.grace_ns == 0 ||
        !object->exchange->upstream_expected) {
        return;
    }
    object->exchange->remembered_count += !object->remembered;
    object->remembered = 1;
}

void hkb_recall_forget_object(hkb_object *object)
{
    if (!object->remembered) {
        return;
    }
    object->remembered = 0;
    object->exchange->remembered_count--;
    hkb_object_mark(object);
}

void hkb_recall_listed(hkb_tag *tag)
{
    HKB_LIST_EACH(hkb_object_tag, place, &tag->objects, of_tag)
    {
        if (place->object) { /* NULL: a cursor */
            hkb_recall_forget_object(
                place->object); /* from here on its stream says whether it is there */
        }
    }
}

void hkb_recall_unobserved(hkb_tag *tag)
{
    if (tag->exchange->remembered_count && !hkb_tag_wanted(tag).observes &&
        !HKB_PLANTED(remembered_for_ever)) {
        hkb_tag_mark_objects(tag);
    }
}

void hkb_recall_begin(hkb_peer *peer)
{
    hkb_held *held = peer->exchange->held;
    hkb_node *node;
    if (!hkb_list_empty(
            &held[0].objects)) { /* a third time within one grace: the first two end together */
        held[1].until_ns = held[0].until_ns;
        held[1].since_ns = held[0].since_ns;
    }
    while ((node = hkb_list_pop(&held[0].objects))) {
        hkb_list_push(&held[1].objects, node);
    }
    held[0].until_ns = peer->link.away_ns + hkb_link_grace_ns(&peer->link);
    held[0].since_ns = hkb_link_known_ns(&peer->link);
}

void hkb_recall_hold(hkb_share *share)
{
    hkb_object *object = share->object;
    bool served = object->exposer == HKB_UPSTREAM && share->in_phase == HKB_CHANNEL_OPEN &&
                  share->in_source != HAKUBAN_SOURCE_NONE;
    if (!served && share->out_phase != HKB_CHANNEL_OPEN) {
        return;
    }
    object->holds_sink = share->out_phase == HKB_CHANNEL_OPEN;
    object->held = 1;
    hkb_list_remove(&object->hold);
    hkb_list_push(&object->exchange->held[0].objects, &object->hold);
}

void hkb_recall_release(hkb_object *object)
{
    if (!object->held) {
        return;
    }
    object->held = object->holds_sink = 0;
    hkb_list_remove(&object->hold);
    hkb_object_mark(object);
}

/* It was confirmed: what is shown is LIVE still, but not for long without a word. */
void hkb_recall_confirm(hkb_object *object)
{
    if (!object->held) {
        return;
    }
    hkb_recall_release(object);
    if (object->freshness == HAKUBAN_LIVE && object->exposer == HKB_UPSTREAM) {
        hkb_object_set_unconfirmed(object, true);
    }
}

void hkb_recall_expire(hkb_exchange *exchange)
{
    for (size_t i = 0; i < HKB_COUNT(exchange->held); i++) {
        const hkb_held *held = &exchange->held[i];
        hkb_node *node;
        while (exchange->now_ns >= held->until_ns && (node = hkb_list_first(&held->objects))) {
            hkb_object *object = HKB_CONTAINER(node, hkb_object, hold);
            bool was_live = object->freshness == HAKUBAN_LIVE;
            hkb_recall_release(object);
            if (object->exposer == HKB_UPSTREAM) {
                hkb_choose_nobody(object);
            }
            if (was_live && object->freshness == HAKUBAN_STALE) {
                object->stale_since_ns = held->since_ns;
            }
        }
    }
}

uint64_t hkb_recall_deadline(const hkb_exchange *exchange)
{
    uint64_t deadline_ns = UINT64_MAX;
    for (size_t i = 0; i < HKB_COUNT(exchange->held); i++) {
        if (!hkb_list_empty(&exchange->held[i].objects) &&
            exchange->held[i].until_ns < deadline_ns) {
            deadline_ns = exchange->held[i].until_ns;
        }
    }
    return deadline_ns;
}

static void offer(hkb_recall *recall, size_t kind, uint64_t name, uint64_t value)
{
    uint8_t bytes[PAIR_BYTES];
    (void)put_word(put_word(bytes, name), value);
    (void)hkb_buffer_append(&recall->pairs[kind], bytes,
                            sizeof(bytes)); /* without room it travels whole */
}

void hkb_recall_offer(hkb_peer *peer)
{
    const hkb_map *objects = &peer->exchange->objects;
    hkb_recall *recall = NULL;
    hkb_recall_free(peer);
    for (size_t i = 0; objects->count && i <= objects->mask; i++) {
        hkb_object *object = objects->slots[i];
        if (!object || !(object->state || object->holds_sink) || !(recall = recall_get(peer))) {
            continue;
        }
        uint64_t name = name_of(object);
        if (object->holds_sink) {
            offer(recall, PAIRS_SINKS, name, object->sink_id);
        } else if (object->state) {
            offer(recall, object->freshness == HAKUBAN_LIVE ? PAIRS_LIVE : PAIRS_OLD, name,
                  identity_of(object->state));
        }
    }
}

bool hkb_recall_say(hkb_peer *peer)
{
    hkb_recall *recall = peer->recall;
    for (size_t kind = 0; recall && kind < PAIRS_KINDS; kind++) {
        const hkb_buffer *pairs = &recall->pairs[kind];
        if (recall->said[kind] == pairs->bytes) {
            continue;
        }
        size_t bytes = hkb_min(pairs->bytes - recall->said[kind], FRAME_PAIRS * PAIR_BYTES);
        hkb_message message = {
            .kind = kind == PAIRS_SINKS ? HKB_MESSAGE_HOLDING : HKB_MESSAGE_HAVE,
            .flags = kind == PAIRS_LIVE,
            .payload = {pairs->data + recall->said[kind], bytes},
        };
        recall->said[kind] += bytes;
        hkb_link_say(&peer->link, &message, NULL);
        return true;
    }
    if (recall && peer->link.connector) {
        hkb_recall_free(peer);
    }
    return false;
}

/* -- The listener: what a returner names -- */

static uint64_t read_word(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

/* A hub that has just begun does not choose for what somebody had, before its holder had time to
 * come back. */
static bool is_young(const hkb_exchange *exchange)
{
    return exchange->now_ns < exchange->waits_until_ns;
}

hakuban_status hkb_recall_hear(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    const uint8_t *bytes = message->payload.data;
    size_t count = message->payload.bytes / PAIR_BYTES;
    hkb_recall *recall = recall_get(peer);
    if (message->payload.bytes % PAIR_BYTES) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "half a pair of names");
    }
    if (!recall) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    hkb_recall_table *table = message->kind == HKB_MESSAGE_HAVE ? &recall->had : &recall->holds;
    if (table->count + count > PAIRS_MAX) {
        return HAKUBAN_OK; /* what is beyond that travels whole */
    }
    size_t before = table_bytes(table);
    uint64_t until_ns = exchange->born_ns + hkb_link_grace_ns(&peer->link);
    bool live = message->kind == HKB_MESSAGE_HOLDING || message->flags;
    if (exchange->now_ns < until_ns && exchange->waits_until_ns < until_ns) {
        exchange->waits_until_ns = until_ns;
    }
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; status >= 0 && i < count; i++, bytes += PAIR_BYTES) {
        status = table_put(table, exchange, read_word(bytes), read_word(bytes + 8));
        if (status >= 0 && live && is_young(exchange) && exchange->had_live.count < PAIRS_MAX) {
            status = table_put(&exchange->had_live, exchange, read_word(bytes), 0);
        }
    }
    (void)hkb_peer_account(peer, table_bytes(table),
                           before); /* it may have grown before memory ran out */
    return status >= 0 ? status : hakuban_error_set(reterr, status, "out of memory");
}

bool hkb_recall_awaits(const hkb_object *object)
{
    const hkb_exchange *exchange = object->exchange;
    return is_young(exchange) && table_find(&exchange->had_live, exchange, name_of(object));
}

bool hkb_recall_lists_later(const hkb_exchange *exchange)
{
    return is_young(exchange);
}

void hkb_recall_grow_up(hkb_exchange *exchange)
{
    if (exchange->waits_until_ns == 0 || is_young(exchange)) {
        return;
    }
    exchange->waits_until_ns = 0;
    hkb_exchange_mark_all(exchange);
    table_done(&exchange->had_live, exchange);
}

void hkb_recall_done(hkb_exchange *exchange)
{
    table_done(&exchange->had_live, exchange);
}

bool hkb_recall_holder(const hkb_peer *peer, const hkb_object *object, uint64_t *ret_sink_id)
{
    if (!peer->recall || peer->recall->holds.count == 0) {
        return false;
    }
    const hkb_recall_pair *pair = table_find(&peer->recall->holds, peer->exchange, name_of(object));
    if (!pair || pair->value == 0) {
        return false;
    }
    *ret_sink_id = pair->value;
    return true;
}

void hkb_recall_resumes(hkb_peer *peer, const hkb_object *object)
{
    hkb_recall_pair *pair = table_find(&peer->recall->holds, peer->exchange, name_of(object));
    pair->value = 0; /* its slot must stay: others may be behind it */
}

bool hkb_recall_has(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    if (!peer->recall || peer->recall->had.count == 0 || share->out_base) {
        return false;
    }
    const hkb_recall_pair *pair =
        table_find(&peer->recall->had, peer->exchange, name_of(share->object));
    return pair && pair->value == identity_of(share->object->state);
}

void hkb_recall_forget(const hkb_share *share)
{
    const hkb_peer *peer = share->peer;
    hkb_recall_pair *pair =
        peer->recall ? table_find(&peer->recall->had, peer->exchange, name_of(share->object))
                     : NULL;
    if (pair) {
        pair->value = 0; /* its slot must stay: others may be behind it */
    }
}

uint32_t hkb_recall_check(hakuban_state *state)
{
    return (uint32_t)identity_of(state);
}
