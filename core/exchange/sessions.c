/* Connections of peers: they open, are lost, come back and end. A session outlives its connection:
 * another connection may continue it, or it ends when its grace is over. */
#include "exchange/sessions.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/assign.h"
#include "exchange/channel.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/lifetimes.h"
#include "exchange/names.h"
#include "exchange/newest.h"
#include "exchange/offers.h"
#include "exchange/path.h"
#include "exchange/recall.h"
#include "exchange/settle.h"
#include "exchange/tag.h"
#include "exchange/upward.h"

/* How many of the settings used last are compared: there is one for each listener. */
#define SETTINGS_COMPARED 8

/* -- The carrier -- */

void hkb_peer_set_writable(hkb_peer *peer, bool writable)
{
    peer->writable = writable;
    if (writable) {
        hkb_peer_wake(peer);
    } else {
        hkb_list_remove(&peer->ready);
    }
}

static void attach_carrier(hkb_peer *peer, void *carrier)
{
    peer->carrier = carrier;
    peer->detached = false;
    peer->writable = true;
    peer->exchange->tick_ns = peer->exchange->now_ns;
    hkb_peer_wake(peer);
}

static void detach_carrier(hkb_peer *peer)
{
    peer->carrier = NULL;
    peer->detached = true;
    hkb_list_remove(&peer->behind);
    hkb_peer_measure(peer);
    hkb_peer_set_writable(peer, false);
    peer->exchange->tick_ns = peer->exchange->now_ns; /* other time limits hold from here on */
}

/* -- Beginning -- */

static bool in_channel_equal(const void *item, const void *key)
{
    return ((const hkb_share *)item)->in.id == *(const uint32_t *)key;
}

static bool out_channel_equal(const void *item, const void *key)
{
    return ((const hkb_share *)item)->out.id == *(const uint32_t *)key;
}

/* A copy that is shared by all links with the same settings. NULL: no memory. */
static hkb_common_settings *settings_get(hkb_exchange *exchange, const hkb_link_settings *settings)
{
    hkb_common_settings *found = NULL;
    hkb_node *node = exchange->settings.head.next;
    for (size_t i = 0; !found && i < SETTINGS_COMPARED && node != &exchange->settings.head; i++) {
        hkb_common_settings *common = HKB_CONTAINER(node, hkb_common_settings, of_exchange);
        found = memcmp(&common->settings, settings, sizeof(*settings)) == 0 ? common : NULL;
        node = node->next;
    }
    if (!found) {
        found = hkb_alloc(exchange->alloc, sizeof(*found));
        if (!found) {
            return NULL;
        }
        memcpy(&found->settings, settings, sizeof(*settings)); /* bytes between members as well */
    }
    found->users++;
    hkb_list_remove(&found->of_exchange);
    hkb_list_push_front(&exchange->settings, &found->of_exchange);
    return found;
}

static void settings_release(hkb_exchange *exchange, hkb_common_settings *common)
{
    if (--common->users == 0) {
        hkb_list_remove(&common->of_exchange);
        hkb_free(exchange->alloc, common, sizeof(*common));
    }
}

hakuban_status hkb_exchange_attach(hkb_exchange *exchange, const hkb_link_settings *settings,
                                   bool connector, bool stream, void *carrier, hkb_peer **ret)
{
    hkb_node *node = hkb_list_first(&exchange->upstreams);
    hkb_peer *peer;
    if (connector && exchange->upstream_clears) {
        return HAKUBAN_ERR_EXISTS;
    }
    if (connector && node) {
        peer = HKB_CONTAINER(node, hkb_peer, of_upstreams);
        if (peer->link.phase != HKB_LINK_AWAY || settings->rust) {
            return HAKUBAN_ERR_EXISTS;
        }
        hkb_link_return(&peer->link, stream, exchange->now_ns);
        attach_carrier(peer, carrier);
        *ret = peer;
        return HAKUBAN_OK;
    }
    hkb_common_settings *common = settings_get(exchange, settings);
    if (!common) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    peer = hkb_alloc(exchange->alloc, sizeof(*peer));
    if (peer) {
        peer->number = exchange->link_numbers[connector];
        peer->number_hash = (uint32_t)peer->number;
    }
    if (!peer || hkb_map_insert(&exchange->links, peer) < 0) {
        hkb_free(exchange->alloc, peer, sizeof(*peer));
        settings_release(exchange, common);
        return HAKUBAN_ERR_NO_MEMORY;
    }
    exchange->link_numbers[connector]++;
    peer->settings = common;
    peer->exchange = exchange;
    peer->item.kind = HKB_ITEM_PEER;
    hkb_list_init(&peer->queue);
    hkb_list_init(&peer->shares);
    hkb_list_init(&peer->tag_shares);
    hkb_list_init(&peer->passes);
    hkb_list_init(&peer->serves);
    hkb_list_init(&peer->large);
    hkb_map_init(&peer->in_channels, exchange->alloc, offsetof(hkb_share, in.id), in_channel_equal);
    hkb_map_init(&peer->out_channels, exchange->alloc, offsetof(hkb_share, out.id),
                 out_channel_equal);
    hkb_map_set_key(&peer->in_channels, exchange->map_key[0]);
    hkb_map_set_key(&peer->out_channels, exchange->map_key[1]);
    hkb_link_init(&peer->link, &exchange->shared, &common->settings, connector, stream,
                  exchange->now_ns);
    peer->turn = exchange->turn;
    peer->link.credit = exchange->turn_cost;
    hkb_list_push(&exchange->peers, &peer->of_exchange);
    exchange->peer_count++;
    hkb_peer_measure(peer);
    if (connector) {
        hkb_list_push(&exchange->upstreams, &peer->of_upstreams);
    }
    if (connector && settings->load_limit.count) {
        peer->limit_due = true;
        hkb_peer_queue(peer, &peer->item); /* before any contract is told */
    }
    attach_carrier(peer, carrier);
    *ret = peer;
    return HAKUBAN_OK;
}

hakuban_status hkb_session_offer(hkb_link *link, hkb_hello *hello)
{
    const hkb_exchange *exchange = hkb_peer_of(link)->exchange;
    hkb_path_put(exchange, hello);
    if (!hello->has_token && exchange->has_replaces) {
        hello->has_token = hello->replaces = true;
        memcpy(hello->token, exchange->replaces, sizeof(hello->token));
    }
    return HAKUBAN_OK;
}

/* Without memory for it, it ends with its connection. */
static void begin_session(hkb_peer *peer, hkb_hello *answer)
{
    hkb_exchange *exchange = peer->exchange;
    for (size_t i = 0; i < 2; i++) {
        answer->token[i] = exchange->host.random(exchange->host.ctx);
    }
    memcpy(peer->link.token, answer->token, sizeof(answer->token));
    peer->item.hash = hkb_session_hash(exchange, answer->token);
    answer->has_token = hkb_map_insert(&exchange->sessions, peer) >= 0;
}

hakuban_status hkb_session_hello(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                                 hakuban_error *reterr)
{
    hkb_exchange *exchange = hkb_peer_of(link)->exchange;
    if (!link->connector) {
        /* A downstream that is this exchange, or one above it, would be a loop. */
        for (size_t i = 0; i < exchange->path_count; i++) {
            if (theirs->path[0][0] == exchange->path[i][0] &&
                theirs->path[0][1] == exchange->path[i][1]) {
                return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP,
                                         "this connection would close a loop of hubs");
            }
        }
        hkb_path_put(exchange, answer);
        if (theirs->grace_ms && link->settings->grace_ns && !link->has_token) {
            begin_session(hkb_peer_of(link), answer);
        }
        return HAKUBAN_OK;
    }
    hakuban_status status = hkb_path_check(exchange, theirs->path, theirs->path_count, reterr);
    if (status >= 0) {
        hkb_path_set(exchange, theirs->path, theirs->path_count);
    }
    return status;
}

/* The limit that an upstream has set is not that of another one, nor of another session. */
static void forget_limit(hkb_exchange *exchange)
{
    if (exchange->limit_passed) {
        exchange->limit_passed = false;
        hkb_memory_limit_pass(exchange);
    }
}

void hkb_session_opened(hkb_link *link)
{
    hkb_peer *peer = hkb_peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    exchange->tick_ns = exchange->now_ns; /* other time limits hold from here on */
    exchange->host.opened(exchange->host.ctx, peer->carrier, peer);
    if (!link->connector) {
        if (hkb_upward_limit(exchange)) {
            peer->memory_limit_due = true;
            hkb_peer_queue_first(peer);
        }
        return;
    }
    exchange->upstream_was_there = true;
    forget_limit(exchange); /* of this upstream before its restart */
    if (exchange->has_replaces && (link->features & HKB_FEATURE_HAVE)) {
        hkb_recall_offer(peer);
        hkb_peer_queue_first(peer);
    }
    exchange->has_replaces = false;
    hkb_exchange_mark_all(exchange); /* announces every contract */
}

/* -- While the connection is lost -- */

/* When its objects may move to others: a peer that comes back quickly keeps them. UINT64_MAX: not
 * before its grace is over. */
static uint64_t yield_ns(const hkb_peer *peer)
{
    const hkb_link *link = &peer->link;
    uint64_t grace_ns = hkb_link_grace_ns(link);
    if (link->phase != HKB_LINK_AWAY || link->connector || link->lost_in_silence || peer->yields) {
        return UINT64_MAX;
    }
    return link->away_ns + (grace_ns < HKB_YIELD_NS ? grace_ns : HKB_YIELD_NS);
}

uint64_t hkb_peer_deadline(const hkb_peer *peer)
{
    uint64_t link_ns = hkb_link_deadline(&peer->link), ns = yield_ns(peer);
    if (peer->lists_ns && peer->lists_ns < ns) {
        ns = peer->lists_ns;
    }
    if (peer->room_ns && peer->room_ns < ns) {
        ns = peer->room_ns;
    }
    return link_ns < ns ? link_ns : ns;
}

void hkb_peer_tick(hkb_peer *peer)
{
    hkb_link_tick(&peer->link, peer->exchange->now_ns);
    hkb_recall_tick(peer);
    if (peer->lists_ns && peer->exchange->now_ns >= peer->lists_ns) {
        hkb_tag_say_listed(peer);
    }
    if (peer->room_ns && peer->exchange->now_ns >= peer->room_ns) {
        peer->room_ns = 0;
        hkb_peer_has_more_room(peer);
    }
    if (peer->exchange->now_ns < yield_ns(peer)) {
        return;
    }
    peer->yields = true;
    hkb_peer_mark_shares(peer);
}

void hkb_session_dropped(hkb_link *link, const hakuban_error *why)
{
    hkb_peer *peer = hkb_peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    void *carrier = peer->carrier;
    detach_carrier(peer);
    exchange->host.dropped(exchange->host.ctx, carrier, why);
}

hkb_link *hkb_session_find(hkb_link *link, const uint64_t token[2])
{
    hkb_exchange *exchange = hkb_peer_of(link)->exchange;
    hkb_peer *peer =
        exchange->sessions.count
            ? hkb_map_find(&exchange->sessions, hkb_session_hash(exchange, token), token)
            : NULL;
    bool lives = peer && (peer->link.phase == HKB_LINK_OPEN || peer->link.phase == HKB_LINK_AWAY);
    return lives ? &peer->link : NULL;
}

/* link's peer only brought the carrier. */
void hkb_session_moved(hkb_link *session, hkb_link *link)
{
    hkb_peer *peer = hkb_peer_of(session), *bringer = hkb_peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    void *carrier = bringer->carrier;
    detach_carrier(bringer);
    bringer->told_ended = true;
    hkb_list_push(&exchange->ended, &bringer->ended);
    exchange->host.moved(exchange->host.ctx, carrier, peer);
    attach_carrier(peer, carrier);
}

/* A peer that was away may be chosen again. */
void hkb_session_resumed(hkb_link *link)
{
    hkb_peer *peer = hkb_peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    peer->yields = false;
    exchange->tick_ns = exchange->now_ns;
    exchange->host.opened(exchange->host.ctx, peer->carrier, peer);
    if (link->connector) {
        return;
    }
    hkb_peer_mark_shares(peer);
    hkb_peer_has_more_room(peer);
    HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
    {
        if (share->registered.exposes) {
            hkb_pass_begin(share, true, false);
        }
    }
}

/* Whether the object is LIVE only because an upstream says so that has no exposer at the moment: in
 * a hand-over above. */
static bool is_live_by_word(const hkb_share *share)
{
    const hkb_object *object = share->object;
    return object->assigned.to == HKB_NO_EXPOSER && !object->assigned.unconfirmed &&
           object->freshness == HAKUBAN_LIVE && share->in.phase == HKB_CHANNEL_OPEN;
}

/* The hub was restarted: all that it was told before is void. Users see no change for a while,
 * because the exposers may come back. */
void hkb_session_anew(hkb_link *link)
{
    hkb_peer *peer = hkb_peer_of(link);
    hkb_recall_begin(peer);
    HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
    {
        hkb_object *object = share->object;
        hkb_recall_remember(share);
        hkb_recall_hold(share);
        if (is_live_by_word(share) && !object->assigned.held) {
            hkb_object_set_unconfirmed(object, true); /* for the time of a hand-over */
        }
        hkb_share_close(share);
        share->registered = (hkb_registration){0};
        if (!object->assigned.held && object->assigned.to == HKB_UPSTREAM) {
            hkb_assign_none(object, hkb_object_is_left(object));
        }
        hkb_share_queue(share); /* which also releases it, where it has no meaning any more */
    }
    HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
    {
        share->registered = (hkb_registration){0};
        share->listed = 0;
        share->listed_count = 0;
    }
    hkb_recall_free(peer); /* names that were not sent yet: the new hub may not know them */
    peer->last_channel = 0;
    peer->upward_bytes_max = 0;
    peer->limit_due = link->settings->load_limit.count > 0;
    if (peer->limit_due) {
        hkb_peer_queue_first(peer);
    }
    peer->exchange->has_replaces = true;
}

/* -- Ending -- */

/* Ends the peer's registration and channels of one object, without messages. */
static void release(hkb_share *share)
{
    hkb_peer *peer = share->peer;
    hkb_object *object = share->object;
    if (peer->link.connector) {
        share->registered = (hkb_registration){0};
        hkb_recall_remember(share);
        hkb_recall_release(object);
        if (is_live_by_word(share)) {
            hkb_object_set_condition(object, HAKUBAN_STALE, hkb_peer_known_ns(peer));
        }
    } else {
        hkb_share_register(share, (hkb_registration){0});
    }
    hkb_share_close(share);
    if (peer->link.reason.status == HAKUBAN_ERR_LIMIT && object->payer == peer &&
        object->pays_own && object->state_charge) {
        hkb_object_forget_state(
            object); /* otherwise another peer's account would be charged with it */
    }
    if (hkb_share_serves(share) && peer->link.connector) {
        hkb_assign_none(object, hkb_object_is_left(object));
    } else if (hkb_share_serves(share)) {
        hkb_object_settle(object); /* the link has ended: it cannot stay */
    }
    hkb_assign_left(share);
    hkb_list_remove(&share->item.node);
    bool released = hkb_share_release(share);
    HKB_ASSERT(released);
}

/* First what it has registered for tags, then the objects one by one; the records of tags are last,
 * so that an upstream hears how old the states are before it hears that they have no exposer. */
static bool clear_one(hkb_peer *peer)
{
    hkb_node *node = hkb_list_first(&peer->tag_shares);
    hkb_tag_share *tag_share = node ? HKB_CONTAINER(node, hkb_tag_share, of_peer) : NULL;
    if (tag_share && !tag_share->ending) {
        hkb_tag_share_end(tag_share);
    } else if ((node = hkb_list_first(&peer->shares))) {
        release(HKB_CONTAINER(node, hkb_share, of_peer));
    } else if (tag_share) {
        hkb_tag_share_free(tag_share);
    } else {
        return false;
    }
    return true;
}

/* Ends as many of the peer's registrations as there is time for in this turn. Returns whether all
 * have ended. */
static bool clear(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    for (; exchange->clear_left; exchange->clear_left--) {
        if (!clear_one(peer)) {
            return true;
        }
    }
    return hkb_list_empty(&peer->tag_shares) && hkb_list_empty(&peer->shares);
}

/* The host is told of the end at once; the registrations end in this turn and later ones. */
static void begin_end(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    peer->told_ended = true;
    peer->lists_ns = 0;
    hkb_list_remove(&peer->passing);
    if (peer->link.connector && peer->link.has_token && !peer->orderly) {
        exchange->has_replaces = true;
        memcpy(exchange->replaces, peer->link.token, sizeof(exchange->replaces));
    }
    if (peer->link.connector) {
        hkb_list_remove(&peer->of_upstreams);
        exchange->upstream_clears = true;
        hkb_path_set(exchange, NULL, 0);
        forget_limit(exchange);
    }
    if (exchange->sessions.count && peer->link.has_token && !peer->link.connector) {
        hkb_map_remove(&exchange->sessions, peer);
    }
    if (peer->carrier || peer->link.connector) {
        exchange->host.ended(exchange->host.ctx, peer->carrier, peer->orderly, &peer->link.reason);
    }
}

static void free_peer(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_list_remove(&peer->ready);
    hkb_list_remove(&peer->spreading);
    hkb_list_remove(&peer->roomier);
    hkb_list_remove(&peer->roomy);
    hkb_list_remove(&peer->behind);
    hkb_list_remove(&peer->of_exchange);
    exchange->peer_count--;
    hkb_map_remove(&exchange->links, peer);
    hkb_map_done(&peer->in_channels);
    hkb_map_done(&peer->out_channels);
    hkb_free(exchange->alloc, peer->load_limit, sizeof(*peer->load_limit));
    hkb_recall_free(peer);
    hkb_link_done(&peer->link);
    settings_release(exchange, peer->settings);
    hkb_charge(exchange, peer, 0, peer->measured_bytes);
    HKB_ASSERT(peer->accounted_bytes == 0 && peer->outgoing_bytes == 0 && peer->upward_bytes == 0);
    hkb_free(exchange->alloc, peer, sizeof(*peer));
}

void hkb_peer_take_out(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_list_remove(&peer->ended);
    if (!peer->told_ended) {
        if (peer->orderly && peer->upward_bytes) {
            hkb_upward_settle(exchange); /* its states stay unless it is ended for them */
        }
        begin_end(peer);
    }
    if (!clear(peer)) {
        hkb_list_push(&exchange->clearing, &peer->ended);
        return;
    }
    if (peer->link.connector && exchange->upstream_clears) {
        exchange->upstream_clears = false;
        hkb_exchange_mark_all(
            exchange); /* observers that waited for LISTED need not wait any more */
    }
    if (peer->detached) {
        free_peer(peer);
    }
}

void hkb_sessions_clear(hkb_exchange *exchange, size_t count_max)
{
    hkb_node *node;
    exchange->clear_left = count_max;
    while (exchange->clear_left && (node = hkb_list_first(&exchange->clearing))) {
        hkb_peer_take_out(HKB_CONTAINER(node, hkb_peer, ended));
    }
}

bool hkb_peer_lost(hkb_peer *peer, hakuban_status status, const char *text)
{
    bool stays = hkb_link_lost(&peer->link, peer->exchange->now_ns, status, text);
    detach_carrier(peer);
    if (!stays) {
        hkb_peer_take_out(peer);
    }
    return stays;
}

void hkb_session_ended(hkb_link *link, bool orderly, const hakuban_error *why)
{
    (void)why;
    hkb_peer *peer = hkb_peer_of(link);
    peer->orderly = orderly;
    if (!peer->told_ended && !hkb_node_linked(&peer->ended)) {
        hkb_list_push(&peer->exchange->ended, &peer->ended);
    }
}
