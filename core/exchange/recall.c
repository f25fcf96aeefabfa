/* What is kept of a session that has ended. Objects that existed only because of an upstream stay;
 * their exposers are held for the rest of the grace; and both sides name the objects and states
 * that they still have, so that a hub that was restarted empty does not move or send them again.
 * Knows no encoding of messages. */
#include "exchange/recall.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/assignment.h"
#include "exchange/facts.h"
#include "exchange/names.h"
#include "exchange/newest.h"

#define PAIRS_PER_UNIT 8u
#define FRAME_PAIRS 512u       /* 8 KiB */
#define STEP_OBJECTS 16u       /* more than ever share one place in the table */
#define BYTES_PER_OBJECT 8192u /* of a state: its hash takes as long as the rest */
/* A state that a peer has named is sent whole if the peer does not ask for it within this time. */
#define RECALL_NS 30000000000ull

/* -- The connector: after the loss -- */

void hkb_recall_remember(hkb_share *share)
{
    const hkb_link *link = &share->peer->link;
    hkb_object *object = share->object;
    if (share->in.phase != HKB_CHANNEL_OPEN || link->settings->grace_ns == 0 ||
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
    if (tag->exchange->remembered_count && tag->object_count > HKB_MARKED_MAX) {
        hkb_tag_sweep(tag);
        return;
    }
    HKB_TAG_OBJECTS_EACH(object, tag)
    {
        hkb_recall_forget_object(object); /* its stream says whether it is there */
    }
}

void hkb_recall_begin(hkb_peer *peer)
{
    hkb_held *held = peer->exchange->held;
    hkb_node *node;
    if (!hkb_list_empty(
            &held[0].objects)) { /* a third loss within one grace: the first two end together */
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
    bool served = object->assigned.to == HKB_UPSTREAM && share->in.phase == HKB_CHANNEL_OPEN &&
                  share->in.source != HAKUBAN_SOURCE_NONE;
    if (!served && share->out.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    hkb_assignment_hold(object);
}

void hkb_recall_release(hkb_object *object)
{
    if (!object->assigned.held) {
        return;
    }
    hkb_assignment_release(object);
    hkb_object_mark(object);
    hkb_balance_mark(object->exchange); /* it could not move while it was held */
}

/* The upstream has confirmed the source: the state stays LIVE for the time of a hand-over. */
void hkb_recall_confirm(hkb_object *object)
{
    if (!object->assigned.held) {
        return;
    }
    hkb_recall_release(object);
    if (object->freshness == HAKUBAN_LIVE && object->assigned.to == HKB_UPSTREAM) {
        hkb_object_set_unconfirmed(object, true);
    }
}

void hkb_recall_expire(hkb_exchange *exchange)
{
    for (size_t i = 0; i < HKB_COUNT(exchange->held); i++) {
        const hkb_held *held = &exchange->held[i];
        hkb_node *node;
        while (exchange->walk_left && exchange->now_ns >= held->until_ns &&
               (node = hkb_list_first(&held->objects))) {
            exchange->walk_left--;
            hkb_object *object = HKB_CONTAINER(node, hkb_object, hold);
            bool was_live = object->freshness == HAKUBAN_LIVE;
            hkb_recall_release(object);
            if (object->assigned.to == HKB_UPSTREAM) {
                hkb_assign_none(object, hkb_object_is_left(object));
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
    HKB_UPSTREAMS_EACH(peer, exchange)
    {
        if (peer->recall && !peer->recall->has_turn) {
            return exchange->now_ns;
        }
    }
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
    uint8_t bytes[HKB_PAIR_BYTES];
    (void)hkb_put_word(hkb_put_word(bytes, name), value);
    (void)hkb_buffer_append(&recall->pairs[kind], bytes,
                            sizeof(bytes)); /* without room it travels whole */
}

static void offer_object(hkb_recall *recall, hkb_object *object)
{
    if (object->assigned.held && object->assigned.to != HKB_UPSTREAM) {
        offer(recall, HKB_PAIRS_SINKS, hkb_object_name(object), object->sink_id);
    } else if (object->state) {
        offer(recall, object->freshness == HAKUBAN_LIVE ? HKB_PAIRS_LIVE : HKB_PAIRS_OLD,
              hkb_object_name(object), hkb_state_identity(object->state));
    }
}

void hkb_recall_offer(hkb_peer *peer)
{
    hkb_recall_free(peer);
    hkb_recall *recall = hkb_recall_get(peer);
    if (recall) { /* without memory all travels whole */
        recall->goes_on = recall->has_turn = true;
    }
}

/* Names of as many objects as one frame holds at most. */
static void offer_more(hkb_exchange *exchange, hkb_recall *recall)
{
    void *found[STEP_OBJECTS];
    for (size_t named = 0; recall->goes_on && exchange->names_left && named < FRAME_PAIRS;) {
        size_t count = hkb_map_scan(&exchange->objects, &recall->place, found, STEP_OBJECTS);
        size_t cost = count;
        recall->goes_on = count > 0;
        for (size_t i = 0; i < count; i++) {
            hkb_object *object = found[i];
            cost += object->state ? object->state->data_bytes / BYTES_PER_OBJECT : 0;
            offer_object(recall, object);
        }
        exchange->names_left -= hkb_min(exchange->names_left, cost);
        named += count;
    }
}

static bool say_pairs(hkb_peer *peer)
{
    for (size_t kind = 0; kind < HKB_PAIRS_KINDS; kind++) {
        hkb_buffer *pairs = &peer->recall->pairs[kind];
        hkb_message message = {
            .kind = kind == HKB_PAIRS_SINKS ? HKB_MESSAGE_HOLDING : HKB_MESSAGE_HAVE,
            .flags = kind == HKB_PAIRS_LIVE,
            .payload = {pairs->data, pairs->bytes},
        };
        if (pairs->bytes) {
            hkb_link_say(&peer->link, &message, NULL);
            pairs->bytes = 0;
            return true;
        }
    }
    return false;
}

bool hkb_recall_say(hkb_peer *peer)
{
    hkb_recall *recall = peer->recall;
    bool said;
    while (!(said = say_pairs(peer)) && recall->goes_on && peer->exchange->names_left) {
        offer_more(peer->exchange, recall);
    }
    recall->has_turn = said || !recall->goes_on;
    if (!said && !recall->goes_on) {
        hkb_recall_free(peer);
    }
    return said;
}

void hkb_recall_wake(hkb_exchange *exchange)
{
    HKB_UPSTREAMS_EACH(peer, exchange)
    {
        if (peer->recall && !peer->recall->has_turn) {
            peer->recall->has_turn = true;
            hkb_peer_wake(peer);
        }
    }
}

/* -- The listener: what a returning peer names -- */

static uint64_t read_word(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

hakuban_status hkb_recall_hear(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    const uint8_t *bytes = message->payload.data;
    size_t count = message->payload.bytes / HKB_PAIR_BYTES;
    hkb_recall *recall = hkb_recall_get(peer);
    hkb_peer_charge(peer, count / PAIRS_PER_UNIT);
    if (message->payload.bytes % HKB_PAIR_BYTES) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "half a pair of names");
    }
    if (!recall) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    hkb_names *names = message->kind == HKB_MESSAGE_HAVE ? &recall->had : &recall->holds;
    if (names->map.count + count > HKB_PAIRS_MAX) {
        return HAKUBAN_OK; /* what is beyond that travels whole */
    }
    size_t before = hkb_names_bytes(names);
    uint64_t until_ns = exchange->born_ns + hkb_link_grace_ns(&peer->link);
    bool live = message->kind == HKB_MESSAGE_HOLDING || message->flags;
    if (exchange->now_ns < until_ns && exchange->waits_until_ns < until_ns) {
        exchange->waits_until_ns = until_ns;
    }
    bool held_none = recall->holds.map.count == 0;
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; status >= 0 && i < count; i++, bytes += HKB_PAIR_BYTES) {
        status = hkb_names_put(names, exchange, read_word(bytes), read_word(bytes + 8));
        if (status >= 0 && live && hkb_exchange_is_young(exchange) &&
            exchange->had_live.map.count < HKB_PAIRS_MAX) {
            status = hkb_names_put(&exchange->had_live, exchange, read_word(bytes), 0);
        }
    }
    exchange->holder_count += held_none && recall->holds.map.count > 0;
    (void)hkb_peer_account(peer, hkb_names_bytes(names),
                           before); /* it may have grown before memory ran out */
    return status >= 0 ? status : hakuban_error_set(reterr, status, "out of memory");
}

void hkb_recall_tick(hkb_peer *peer)
{
    if (peer->recall && peer->exchange->now_ns - peer->recall->since_ns > RECALL_NS) {
        hkb_recall_free(peer);
    }
}

void hkb_recall_grow_up(hkb_exchange *exchange)
{
    if (exchange->waits_until_ns == 0 || hkb_exchange_is_young(exchange)) {
        return;
    }
    exchange->waits_until_ns = 0;
    hkb_exchange_mark_all(exchange);
    hkb_names_done(&exchange->had_live, exchange);
}

void hkb_recall_done(hkb_exchange *exchange)
{
    hkb_names_done(&exchange->had_live, exchange);
}
