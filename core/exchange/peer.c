/* The other exchange at the end of a link: what its messages mean, in which order it is told
 * things, its coming and going. */
#include "exchange/internal.h"

static hkb_peer *peer_of(hkb_link *link)
{
    return HKB_CONTAINER(link, hkb_peer, link);
}

/* -- Queue and carrier -- */

void hkb_peer_wake(hkb_peer *peer)
{
    if (peer->writable && !hkb_node_linked(&peer->ready)) {
        hkb_list_push(&peer->exchange->ready, &peer->ready);
    }
}

void hkb_peer_queue(hkb_peer *peer, hkb_item *item)
{
    if (peer->link.phase == HKB_LINK_ENDED || hkb_node_linked(&item->node)) {
        return;
    }
    hkb_list_push(&peer->queue, &item->node);
    hkb_peer_wake(peer);
}

bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less)
{
    peer->accounted_bytes += more - less;
    if (peer->accounted_bytes <= HKB_PEER_BYTES_MAX || more <= less) {
        return true;
    }
    hkb_link_fail(&peer->link, HAKUBAN_ERR_LIMIT, "more than %u bytes are kept for this connection",
                  HKB_PEER_BYTES_MAX);
    return false;
}

void hkb_peer_set_writable(hkb_peer *peer, bool writable)
{
    peer->writable = writable;
    if (writable) {
        hkb_peer_wake(peer);
    } else {
        hkb_list_remove(&peer->ready);
    }
}

bool hkb_exchange_has_ready(const hkb_exchange *exchange)
{
    return !hkb_list_empty(&exchange->ready);
}

hkb_peer *hkb_exchange_ready_peer(hkb_exchange *exchange)
{
    hkb_node *node = hkb_list_pop(&exchange->ready);
    return node ? HKB_CONTAINER(node, hkb_peer, ready) : NULL;
}

hakuban_slice hkb_peer_pull(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    if (exchange->packet.capacity > HAKUBAN_MESSAGE_BYTES_MAX) {
        hkb_buffer_done(
            &exchange->packet); /* after one of the large messages that only Rust peers get */
    }
    hkb_link_pull(&peer->link, exchange->now_ns, &exchange->packet);
    bool more = hkb_link_has_control(&peer->link) ||
                (!hkb_list_empty(&peer->queue) &&
                 peer->link.sent_bytes - peer->link.acked_bytes < peer->link.window_bytes);
    if (exchange->packet.bytes && more) {
        hkb_peer_wake(peer); /* its turn comes again after the others' */
    }
    hkb_exchange_settle(exchange);
    return (hakuban_slice){exchange->packet.data, exchange->packet.bytes};
}

bool hkb_peer_is_over(const hkb_peer *peer)
{
    return hkb_link_is_over(&peer->link);
}

void hkb_peer_leave(hkb_peer *peer)
{
    hkb_link_leave(&peer->link, peer->exchange->now_ns);
    peer->exchange->tick_ns = peer->exchange->now_ns;
}

void hkb_peer_receive(hkb_peer *peer, const void *data, size_t bytes)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_link_receive(&peer->link, exchange->now_ns, data, bytes);
    uint64_t deadline_ns = hkb_peer_deadline(peer); /* what came may have to be acknowledged soon */
    if (deadline_ns < exchange->tick_ns) {
        exchange->tick_ns = deadline_ns;
    }
}

void *hkb_peer_carrier(const hkb_peer *peer)
{
    return peer->carrier;
}

const char *hkb_peer_name(const hkb_peer *peer)
{
    return peer->link.peer_name;
}

/* -- Coming and going -- */

static bool in_channel_equal(const void *item, const void *key)
{
    return ((const hkb_share *)item)->in_id == *(const uint32_t *)key;
}

static bool out_channel_equal(const void *item, const void *key)
{
    return ((const hkb_share *)item)->out_id == *(const uint32_t *)key;
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
    hkb_peer_set_writable(peer, false);
    peer->exchange->tick_ns = peer->exchange->now_ns; /* other time limits hold from here on */
}

hakuban_status hkb_exchange_attach(hkb_exchange *exchange, const hkb_link_settings *settings,
                                   bool connector, bool stream, void *carrier, hkb_peer **ret)
{
    hkb_peer *peer = exchange->upstream;
    if (connector && peer) {
        if (peer->link.phase != HKB_LINK_AWAY || settings->rust) {
            return HAKUBAN_ERR_EXISTS;
        }
        hkb_link_return(&peer->link, stream, exchange->now_ns);
        attach_carrier(peer, carrier);
        *ret = peer;
        return HAKUBAN_OK;
    }
    peer = hkb_alloc(exchange->alloc, sizeof(*peer));
    if (!peer) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    peer->exchange = exchange;
    peer->number = exchange->link_numbers[connector]++;
    peer->item.kind = HKB_ITEM_PEER;
    hkb_list_init(&peer->queue);
    hkb_list_init(&peer->shares);
    hkb_list_init(&peer->tag_shares);
    hkb_list_init(&peer->passes);
    hkb_map_init(&peer->in_channels, exchange->alloc, offsetof(hkb_share, in_id), in_channel_equal);
    hkb_map_init(&peer->out_channels, exchange->alloc, offsetof(hkb_share, out_id),
                 out_channel_equal);
    hkb_link_init(&peer->link, &exchange->shared, settings, connector, stream, exchange->now_ns);
    hkb_list_push(&exchange->peers, &peer->of_exchange);
    exchange->peer_count++;
    if (connector) {
        exchange->upstream = peer;
    }
    if (connector && settings->load_limit.count) {
        peer->limit_due = true;
        hkb_peer_queue(peer, &peer->item); /* before any contract is told */
    }
    attach_carrier(peer, carrier);
    *ret = peer;
    return HAKUBAN_OK;
}

/* The way from here to the root, as the upstream says it. If it changed, everybody below is told.
 */
static void set_path(hkb_exchange *exchange, const uint64_t (*upwards)[2], size_t count)
{
    if (count + 1 == exchange->path_count &&
        (count == 0 || memcmp(exchange->path[1], upwards, count * sizeof(upwards[0])) == 0)) {
        return;
    }
    if (count) {
        memcpy(exchange->path[1], upwards, count * sizeof(upwards[0]));
    }
    exchange->path_count = count + 1;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        bool stays = peer->link.phase == HKB_LINK_OPEN || peer->link.phase == HKB_LINK_AWAY;
        if (!peer->link.connector &&
            stays) { /* who returns may be told an older one again, behind the hello */
            peer->path_due = true;
            hkb_peer_queue(peer, &peer->item);
        }
    }
}

/* Everything it asked for and everything it gave ends, without a word to it. */
static void release_all(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_node *node;
    while ((node = hkb_list_first(&peer->tag_shares))) {
        hkb_tag_share_free(HKB_CONTAINER(node, hkb_tag_share, of_peer));
    }
    while ((node = hkb_list_first(&peer->shares))) {
        hkb_share *share = HKB_CONTAINER(node, hkb_share, of_peer);
        hkb_object *object = share->object;
        if (!peer->link.connector) {
            object->observe_shares -= share->observes;
            object->expose_shares -= share->exposes;
            object->capacity -= share->capacity;
        }
        share->observes = share->exposes = share->declines = 0;
        share->capacity = 0;
        if (peer->link.connector) {
            hkb_recall_remember(share);
            hkb_recall_release(object);
        }
        if (!peer->link.connector) {
            hkb_share_refresh(share);
        }
        hkb_share_close(share);
        if (object->exposer == HKB_DOWNSTREAM && object->chosen.share == share) {
            hkb_choose(object); /* the link has ended: it cannot stay */
        }
        if (object->exposer == HKB_UPSTREAM && peer->link.connector) {
            hkb_choose_nobody(object);
        }
        if (!peer->orderly && object->exposer == HKB_NOBODY && object->freshness == HAKUBAN_STALE &&
            object->stale_since_ns == exchange->now_ns) {
            object->stale_since_ns = hkb_link_known_ns(&peer->link);
        }
        hkb_choose_left(share);
        hkb_list_remove(&share->item.node);
        bool released = hkb_share_release(share);
        HKB_ASSERT(released);
    }
}

static void take_out(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    release_all(peer);
    if (peer->link.connector && peer->link.has_token && !peer->orderly) {
        exchange->has_replaces = true;
        memcpy(exchange->replaces, peer->link.token, sizeof(exchange->replaces));
    }
    if (exchange->upstream == peer) {
        exchange->upstream = NULL;
        set_path(exchange, NULL, 0);
        hkb_exchange_mark_all(exchange); /* what waited for LISTED need not wait any more */
    }
    if (exchange->sessions.count && peer->link.has_token && !peer->link.connector) {
        hkb_map_remove(&exchange->sessions, peer);
    }
    if (!peer->told_ended) {
        peer->told_ended = true;
        if (peer->carrier || peer->link.connector) {
            exchange->host.ended(exchange->host.ctx, peer->carrier, peer->orderly,
                                 &peer->link.reason);
        }
    }
}

static void free_peer(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    hkb_list_remove(&peer->ready);
    hkb_list_remove(&peer->of_exchange);
    exchange->peer_count--;
    hkb_map_done(&peer->in_channels);
    hkb_map_done(&peer->out_channels);
    hkb_free(exchange->alloc, peer->load_limit, sizeof(*peer->load_limit));
    hkb_recall_free(peer);
    hkb_link_done(&peer->link);
    hkb_free(exchange->alloc, peer, sizeof(*peer));
}

void hkb_peer_take_out(hkb_peer *peer)
{
    if (!peer->told_ended) {
        take_out(peer);
    }
    hkb_list_remove(&peer->ended);
    if (peer->detached) {
        free_peer(peer);
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

/* -- While the connection is lost -- */

/* When what it serves may move to others: those who come back quickly keep it. UINT64_MAX: not
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
    return link_ns < ns ? link_ns : ns;
}

void hkb_peer_tick(hkb_peer *peer)
{
    hkb_link_tick(&peer->link, peer->exchange->now_ns);
    hkb_recall_tick(peer);
    if (peer->lists_ns && peer->exchange->now_ns >= peer->lists_ns) {
        hkb_tag_say_listed(peer);
    }
    if (peer->exchange->now_ns < yield_ns(peer)) {
        return;
    }
    peer->yields = true;
    HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
    {
        if (share->object->exposer == HKB_DOWNSTREAM && share->object->chosen.share == share) {
            hkb_object_mark(share->object);
        }
    }
}

static void on_dropped(hkb_link *link, const hakuban_error *why)
{
    hkb_peer *peer = peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    void *carrier = peer->carrier;
    detach_carrier(peer);
    exchange->host.dropped(exchange->host.ctx, carrier, why);
}

/* Who was away is a candidate again. */
static void on_resumed(hkb_link *link)
{
    hkb_peer *peer = peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    peer->yields = false;
    exchange->tick_ns = exchange->now_ns;
    exchange->host.opened(exchange->host.ctx, peer->carrier, peer);
    if (link->connector) {
        return;
    }
    HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
    {
        if (share->exposing && share->object->exposer == HKB_NOBODY) {
            hkb_object_mark(share->object);
        }
    }
    HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
    {
        if (share->exposes) {
            hkb_pass_begin(share, true);
        }
    }
}

/* -- What the link asks -- */

static void put_path(const hkb_exchange *exchange, hkb_hello *hello)
{
    memcpy(hello->path, exchange->path, exchange->path_count * sizeof(exchange->path[0]));
    hello->path_count = exchange->path_count;
}

static hakuban_status on_offer(hkb_link *link, hkb_hello *hello)
{
    const hkb_exchange *exchange = peer_of(link)->exchange;
    put_path(exchange, hello);
    if (!hello->has_token && exchange->has_replaces) {
        hello->has_token = hello->replaces = true;
        memcpy(hello->token, exchange->replaces, sizeof(hello->token));
    }
    return HAKUBAN_OK;
}

/* My own node on the way from the upstream to its root would be a loop. */
static hakuban_status check_path(const hkb_exchange *exchange, const uint64_t (*path)[2],
                                 size_t count, hakuban_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        if (path[i][0] == exchange->node[0] && path[i][1] == exchange->node[1]) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP,
                                     "this connection would close a loop of hubs");
        }
    }
    if (count >= HKB_PATH_NODES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "the tree is more than %d hubs deep",
                                 HKB_PATH_NODES_MAX);
    }
    return HAKUBAN_OK;
}

static uint32_t session_hash(const hkb_exchange *exchange, const uint64_t token[2])
{
    return (uint32_t)hkb_siphash(exchange->map_key, token, 2 * sizeof(token[0]));
}

bool hkb_session_equal(const void *item, const void *key)
{
    return memcmp(((const hkb_peer *)item)->link.token, key, 2 * sizeof(uint64_t)) == 0;
}

/* Without memory for it, it ends with its connection. */
static void begin_session(hkb_peer *peer, hkb_hello *answer)
{
    hkb_exchange *exchange = peer->exchange;
    for (size_t i = 0; i < 2; i++) {
        answer->token[i] = exchange->host.random(exchange->host.ctx);
    }
    memcpy(peer->link.token, answer->token, sizeof(answer->token));
    peer->session_hash = session_hash(exchange, answer->token);
    answer->has_token = hkb_map_insert(&exchange->sessions, peer) >= 0;
}

static hkb_link *on_session(hkb_link *link, const uint64_t token[2])
{
    hkb_exchange *exchange = peer_of(link)->exchange;
    hkb_peer *peer = exchange->sessions.count
                         ? hkb_map_find(&exchange->sessions, session_hash(exchange, token), token)
                         : NULL;
    bool lives = peer && (peer->link.phase == HKB_LINK_OPEN || peer->link.phase == HKB_LINK_AWAY);
    return lives ? &peer->link : NULL;
}

/* link's peer only brought the carrier. */
static void on_moved(hkb_link *session, hkb_link *link)
{
    hkb_peer *peer = peer_of(session), *bringer = peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    void *carrier = bringer->carrier;
    detach_carrier(bringer);
    bringer->told_ended = true;
    hkb_list_push(&exchange->ended, &bringer->ended);
    exchange->host.moved(exchange->host.ctx, carrier, peer);
    attach_carrier(peer, carrier);
}

static hakuban_status on_hello(hkb_link *link, const hkb_hello *theirs, hkb_hello *answer,
                               hakuban_error *reterr)
{
    hkb_exchange *exchange = peer_of(link)->exchange;
    if (!link->connector) {
        /* The one below me being me, or above me: a loop. */
        for (size_t i = 0; i < exchange->path_count; i++) {
            if (theirs->path[0][0] == exchange->path[i][0] &&
                theirs->path[0][1] == exchange->path[i][1]) {
                return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP,
                                         "this connection would close a loop of hubs");
            }
        }
        put_path(exchange, answer);
        if (theirs->grace_ms && link->settings.grace_ns && !link->has_token) {
            begin_session(peer_of(link), answer);
        }
        return HAKUBAN_OK;
    }
    hakuban_status status = check_path(exchange, theirs->path, theirs->path_count, reterr);
    if (status >= 0) {
        set_path(exchange, theirs->path, theirs->path_count);
    }
    return status;
}

static void queue_first(hkb_peer *peer)
{
    hkb_list_remove(&peer->item.node);
    hkb_list_push_front(&peer->queue, &peer->item.node);
}

static void on_opened(hkb_link *link)
{
    hkb_peer *peer = peer_of(link);
    hkb_exchange *exchange = peer->exchange;
    exchange->tick_ns = exchange->now_ns; /* other time limits hold from here on */
    exchange->host.opened(exchange->host.ctx, peer->carrier, peer);
    if (!link->connector) {
        return;
    }
    exchange->upstream_was_there = true;
    if (exchange->has_replaces && (link->features & HKB_FEATURE_HAVE)) {
        hkb_recall_offer(peer);
        queue_first(peer);
    }
    exchange->has_replaces = false;
    hkb_exchange_mark_all(exchange); /* announces every contract */
}

static void on_wake(hkb_link *link)
{
    hkb_peer_wake(peer_of(link));
}

static void on_ended(hkb_link *link, bool orderly, const hakuban_error *why)
{
    (void)why;
    hkb_peer *peer = peer_of(link);
    peer->orderly = orderly;
    if (!peer->told_ended && !hkb_node_linked(&peer->ended)) {
        hkb_list_push(&peer->exchange->ended, &peer->ended);
    }
}

/* What was said to the hub before is nothing to the one that it is now. What users see stays for a
 * while: perhaps it comes back. */
static void on_anew(hkb_link *link)
{
    hkb_peer *peer = peer_of(link);
    hkb_recall_begin(peer);
    HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
    {
        hkb_object *object = share->object;
        hkb_recall_remember(share);
        hkb_recall_hold(share);
        hkb_share_close(share);
        share->observes = share->exposes = share->declines = 0;
        share->capacity = 0;
        if (!object->held && object->exposer == HKB_UPSTREAM) {
            hkb_choose_nobody(object);
        }
        hkb_share_queue(share); /* which also releases it, where it has no meaning any more */
    }
    HKB_LIST_EACH(hkb_tag_share, share, &peer->tag_shares, of_peer)
    {
        share->observes = share->exposes = share->preloads = share->listed = 0;
        share->capacity = share->listed_count = 0;
    }
    hkb_recall_free(peer); /* what was still to be named, perhaps to one that does not know of it */
    peer->last_channel = 0;
    peer->limit_due = link->settings.load_limit.count > 0;
    if (peer->limit_due) {
        queue_first(peer);
    }
    peer->exchange->has_replaces = true;
}

static void say_peer(hkb_peer *peer)
{
    if (peer->limit_due) {
        peer->limit_due = false;
        hkb_message message = {.kind = HKB_MESSAGE_LOAD_LIMIT,
                               .load_limit = &peer->link.settings.load_limit};
        hkb_link_say(&peer->link, &message, NULL);
    }
    if (peer->link.connector && hkb_recall_say(peer)) {
        queue_first(peer); /* before any contract is told */
    }
    if (peer->path_due) {
        peer->path_due = false;
        hkb_message message = {.kind = HKB_MESSAGE_PATH,
                               .path = peer->exchange->path,
                               .path_count = peer->exchange->path_count};
        hkb_link_say(&peer->link, &message, NULL);
    }
}

static bool on_produce(hkb_link *link)
{
    hkb_peer *peer = peer_of(link);
    hkb_node *node = hkb_list_pop(&peer->queue);
    if (!node) {
        return false;
    }
    hkb_item *item = HKB_CONTAINER(node, hkb_item, node);
    switch (item->kind) {
    case HKB_ITEM_SHARE:
        hkb_share_emit(HKB_CONTAINER(item, hkb_share, item));
        break;
    case HKB_ITEM_TAG:
        hkb_tag_emit(HKB_CONTAINER(item, hkb_tag_share, item));
        break;
    case HKB_ITEM_PEER:
        say_peer(peer);
        break;
    }
    return true;
}

/* A channel's number is its own hash. */
static hkb_share *find_channel(const hkb_map *channels, uint32_t channel)
{
    return channels->count ? hkb_map_find(channels, channel, &channel) : NULL;
}

/* What comes on a channel that is not listened to, or while a whole state is awaited, is not kept:
 * the next is a difference to it. */
static bool on_previous(hkb_link *link, uint32_t channel, hkb_version *ret)
{
    const hkb_share *share = find_channel(&peer_of(link)->in_channels, channel);
    if (!share || share->awaits_whole) {
        return false;
    }
    if (share->in_phase != HKB_CHANNEL_OPEN && !HKB_PLANTED(closed_channel)) {
        return HKB_PLANTED(late_difference);
    }
    if (share->in_base) {
        hkb_state_get_version(share->in_base, ret);
    }
    return true;
}

static void on_registered(hkb_link *link, hkb_message *message)
{
    const hkb_peer *peer = peer_of(link);
    message->before_flags = message->before_capacity = 0;
    if (message->kind == HKB_MESSAGE_TAG) {
        const hkb_tag *tag = hkb_tag_find(peer->exchange, message->text);
        const hkb_tag_share *share = tag ? hkb_tag_share_find(peer->exchange, peer, tag) : NULL;
        if (share) {
            message->before_flags = hkb_registered_flags(share->observes, share->exposes, false);
            message->before_capacity = share->capacity;
        }
        return;
    }
    const hkb_object *object = hkb_object_find(peer->exchange, message->descriptor);
    const hkb_share *share = object ? hkb_share_find(peer->exchange, peer, object) : NULL;
    if (share) {
        message->before_flags =
            hkb_registered_flags(share->observes, share->exposes, share->declines);
        message->before_capacity = share->capacity;
    }
}

static hkb_channel_use on_use_of(hkb_link *link, uint32_t channel)
{
    const hkb_peer *peer = peer_of(link);
    const hkb_share *share = find_channel(&peer->in_channels, channel);
    if (share && share->in_phase == HKB_CHANNEL_OPEN) {
        return HKB_CHANNEL_FROM_PEER;
    }
    share = find_channel(&peer->out_channels, channel);
    return share && share->out_phase == HKB_CHANNEL_OPEN ? HKB_CHANNEL_TO_PEER : HKB_CHANNEL_UNUSED;
}

static uint32_t on_channel_of(hkb_link *link, const hkb_message *opened)
{
    const hkb_peer *peer = peer_of(link);
    const hkb_object *object = hkb_object_find(peer->exchange, opened->descriptor);
    const hkb_share *share = object ? hkb_share_find(peer->exchange, peer, object) : NULL;
    if (!share) {
        return 0;
    }
    if (opened->kind == HKB_MESSAGE_STREAM_OPEN) {
        return share->in_phase == HKB_CHANNEL_OPEN ? share->in_id : 0;
    }
    return share->out_phase == HKB_CHANNEL_OPEN ? share->out_id : 0;
}

/* -- What messages mean -- */

static hakuban_status wrong(hakuban_error *reterr, const char *what)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "%s", what);
}

static hakuban_status no_memory(hakuban_error *reterr)
{
    if (HKB_PLANTED(memory_ignored)) {
        return HAKUBAN_OK;
    }
    return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
}

static hakuban_status hear_object(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    bool observes = (message->flags & HKB_WANT_OBSERVE) != 0;
    bool exposes = (message->flags & HKB_WANT_EXPOSE) != 0;
    bool declines = (message->flags & HKB_WANT_DECLINE) != 0;
    uint32_t capacity = exposes ? message->capacity : 0;
    hkb_object *object;
    hkb_share *share;
    if (!observes && !exposes && !declines) { /* nothing is made only to be taken back */
        object = hkb_object_find(exchange, message->descriptor);
        share = object ? hkb_share_find(exchange, peer, object) : NULL;
        if (!share) {
            return HAKUBAN_OK;
        }
    } else {
        if (hkb_object_get(exchange, message->descriptor, &object) < 0) {
            return no_memory(reterr);
        }
        hkb_object_mark(object);
        if (hkb_share_get(peer, object, &share) < 0) {
            return no_memory(reterr);
        }
    }
    object->observe_shares += (uint32_t)observes - (uint32_t)share->observes;
    object->expose_shares += (uint32_t)exposes - (uint32_t)share->exposes;
    object->capacity += (uint64_t)capacity - share->capacity;
    share->observes = observes;
    share->exposes = exposes;
    share->declines = declines;
    share->capacity = capacity;
    hkb_share_refresh(share);
    hkb_choose_recharge(share);
    return HAKUBAN_OK;
}

static hakuban_status hear_tag(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_tag *tag;
    if (hkb_tag_get(peer->exchange, message->text, &tag) < 0 ||
        hkb_tag_register(tag, peer, message->flags, message->capacity) < 0) {
        return no_memory(reterr);
    }
    return HAKUBAN_OK;
}

static hakuban_status hear_load_limit(hkb_peer *peer, const hkb_message *message,
                                      hakuban_error *reterr)
{
    hkb_exchange *exchange = peer->exchange;
    if (message->load_limit->count == 0) {
        hkb_free(exchange->alloc, peer->load_limit, sizeof(*peer->load_limit));
        peer->load_limit = NULL;
        return HAKUBAN_OK;
    }
    if (!peer->load_limit) {
        peer->load_limit = hkb_alloc(exchange->alloc, sizeof(*peer->load_limit));
    }
    if (!peer->load_limit) {
        return no_memory(reterr);
    }
    *peer->load_limit = *message->load_limit;
    peer->load_limit_ns = exchange->now_ns;
    return HAKUBAN_OK;
}

static hakuban_status new_channel(hkb_peer *peer, const hkb_message *message, hkb_share **ret,
                                  hakuban_error *reterr)
{
    hkb_object *object;
    if (message->channel > peer->last_channel) {
        peer->last_channel = message->channel;
    } else if (!peer->link.dialect->is_reference) { /* whose numbers come in any order, and are
                                                       checked by the link */
        return wrong(reterr, "a channel number was used again");
    }
    if (hkb_object_get(peer->exchange, message->descriptor, &object) < 0) {
        return no_memory(reterr);
    }
    hkb_object_mark(object);
    return hkb_share_get(peer, object, ret) >= 0 ? HAKUBAN_OK : no_memory(reterr);
}

static hakuban_status hear_stream_open(hkb_peer *peer, const hkb_message *message,
                                       hakuban_error *reterr)
{
    hkb_share *share;
    hakuban_status status = new_channel(peer, message, &share, reterr);
    if (status < 0) {
        return status;
    }
    if (share->in_phase != HKB_CHANNEL_CLOSED) {
        return wrong(reterr, "a second stream of one object");
    }
    share->in_id = message->channel;
    if (hkb_map_insert(&peer->in_channels, share) < 0) {
        share->in_id = 0;
        return no_memory(reterr);
    }
    if (peer->lists_ns) {
        peer->lists_ns = peer->exchange->now_ns + HKB_LISTS_NS;
    }
    share->in_phase = HKB_CHANNEL_OPEN;
    share->in_source = (unsigned)message->source & 3u;
    share->in_freshness = (unsigned)message->freshness & 3u;
    if (message->source != HAKUBAN_SOURCE_NONE) {
        hkb_recall_confirm(share->object);
        hkb_choose(share->object); /* now: the state may follow in the same packet */
    }
    /* Otherwise the state that follows tells whether the floor is news to the other side. */
    share->floor_due =
        message->freshness == HAKUBAN_NEVER && hkb_object_floor(share->object) != NULL;
    if (share->floor_due) {
        hkb_share_queue(share);
    }
    return HAKUBAN_OK;
}

static hakuban_status hear_sink_open(hkb_peer *peer, const hkb_message *message,
                                     hakuban_error *reterr)
{
    hkb_share *share;
    hakuban_status status = new_channel(peer, message, &share, reterr);
    if (status < 0) {
        return status;
    }
    if (share->out_phase == HKB_CHANNEL_OPEN) {
        return wrong(reterr, "a second sink of one object");
    }
    if (share->out_id) {
        hkb_map_remove(&peer->out_channels, share); /* the one before was still closing */
    }
    hkb_object *object = share->object;
    object->out_channels -= share->out_id != 0;
    share->out_id = message->channel;
    if (hkb_map_insert(&peer->out_channels, share) < 0) {
        share->out_id = 0;
        return no_memory(reterr);
    }
    object->out_channels++;
    share->out_phase = HKB_CHANNEL_OPEN;
    share->out_state = object->state_count - 1;
    share->out_condition = object->condition_count;
    object->sink_id = message->sink_id;
    hkb_recall_confirm(object);
    if (peer->link.dialect->is_reference) { /* which does not name assignments */
        object->sink_id = peer->exchange->host.random(peer->exchange->host.ctx);
    }
    if (hkb_object_raise_floor(object, &message->version) < 0) {
        return no_memory(reterr);
    }
    hkb_share_queue(share);
    return HAKUBAN_OK;
}

static hakuban_status hear_close(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hkb_share *share = find_channel(&peer->in_channels, message->channel);
    if (share) {
        hkb_object *object = share->object;
        hkb_share_close_in(share);
        hkb_recall_forget_object(object);
        hkb_recall_release(object);
        if (object->exposer == HKB_UPSTREAM) {
            hkb_choose(object); /* somebody else, or nobody: the stream is what served it */
        }
        hkb_object_mark(object);
        hkb_share_queue(share);
        return HAKUBAN_OK;
    }
    share = find_channel(&peer->out_channels, message->channel);
    if (!share || share->out_phase != HKB_CHANNEL_OPEN) {
        return wrong(reterr, "an unknown channel was closed");
    }
    hkb_share_drop_out(share);
    share->out_phase = HKB_CHANNEL_CLOSING; /* CLOSED is said once my own exposer has closed */
    hkb_object_mark(share->object);
    return HAKUBAN_OK;
}

static hakuban_status hear_closed(hkb_peer *peer, const hkb_message *message)
{
    hkb_share *share = find_channel(&peer->in_channels, message->channel);
    if (share && share->in_phase == HKB_CHANNEL_CLOSING) {
        hkb_share_close_in(share);
        hkb_choose_left(share);
        hkb_share_queue(share); /* it may have become meaningless */
    }
    return HAKUBAN_OK;
}

static hakuban_status hear_floor(hkb_share *share, const hkb_message *message,
                                 hakuban_error *reterr)
{
    if (share->out_phase != HKB_CHANNEL_OPEN) {
        return HAKUBAN_OK;
    }
    return hkb_object_raise_floor(share->object, &message->version) >= 0 ? HAKUBAN_OK
                                                                         : no_memory(reterr);
}

static void hear_resend(hkb_share *share)
{
    hkb_object_set_base(share, NULL);
    if (!share->peer->link.connector) {
        hkb_recall_forget(share);
    }
    share->out_state = share->object->state_count - 1;
    hkb_share_queue(share);
}

static hakuban_status hear_path(hkb_peer *peer, const hkb_message *message, hakuban_error *reterr)
{
    hakuban_status status = check_path(peer->exchange, (const uint64_t(*)[2])message->path,
                                       message->path_count, reterr);
    if (status >= 0) {
        set_path(peer->exchange, (const uint64_t(*)[2])message->path, message->path_count);
    }
    return status;
}

static hakuban_status hear_listed(hkb_peer *peer, const hkb_message *message)
{
    hkb_tag *tag;
    if (hkb_tag_get(peer->exchange, message->text, &tag) < 0 || !tag->upstream ||
        tag->upstream->listed_count == 0) {
        return HAKUBAN_OK;
    }
    /* An earlier one belongs to an observing that was taken back. */
    tag->upstream->listed_count--;
    tag->upstream->listed = tag->upstream->listed_count == 0;
    if (tag->upstream->listed) {
        hkb_recall_listed(tag);
    }
    hkb_tag_recheck_listed(tag);
    return HAKUBAN_OK;
}

/* On a channel, with the states or against them. A channel that was closed here may still get late
 * frames. */
static hakuban_status hear_on_channel(hkb_peer *peer, const hkb_message *message,
                                      hakuban_error *reterr)
{
    bool against = message->kind == HKB_MESSAGE_FLOOR || message->kind == HKB_MESSAGE_RESEND;
    hkb_share *share =
        find_channel(against ? &peer->out_channels : &peer->in_channels, message->channel);
    if (!share) {
        if (message->channel > peer->last_channel) {
            return wrong(reterr, "a message on a channel that was never opened");
        }
        return HAKUBAN_OK;
    }
    if (!against && share->in_phase != HKB_CHANNEL_OPEN && !HKB_PLANTED(closed_channel)) {
        return HAKUBAN_OK;
    }
    switch ((int)message->kind) {
    case HKB_MESSAGE_STATE:
        return hkb_share_hear_state(share, message, reterr);
    case HKB_MESSAGE_SAME:
        return hkb_share_hear_same(share, message);
    case HKB_MESSAGE_PART:
        return hkb_share_hear_part(share, message->payload, reterr);
    case HKB_MESSAGE_CONDITION:
        hkb_share_hear_condition(share, message->freshness, message->source, message->age_ns);
        return HAKUBAN_OK;
    case HKB_MESSAGE_FLOOR:
        return hear_floor(share, message, reterr);
    default:
        hear_resend(share);
        return HAKUBAN_OK;
    }
}

static hakuban_status hear_from_downstream(hkb_peer *peer, const hkb_message *message,
                                           hakuban_error *reterr)
{
    switch ((int)message->kind) {
    case HKB_MESSAGE_OBJECT:
        return hear_object(peer, message, reterr);
    case HKB_MESSAGE_TAG:
        return hear_tag(peer, message, reterr);
    case HKB_MESSAGE_LOAD_LIMIT:
        return hear_load_limit(peer, message, reterr);
    case HKB_MESSAGE_CLOSED:
        return hear_closed(peer, message);
    case HKB_MESSAGE_HAVE:
    case HKB_MESSAGE_HOLDING:
        return hkb_recall_hear(peer, message, reterr);
    default:
        return wrong(reterr, "a message that only an upstream may send");
    }
}

static hakuban_status hear_from_upstream(hkb_peer *peer, const hkb_message *message,
                                         hakuban_error *reterr)
{
    switch ((int)message->kind) {
    case HKB_MESSAGE_STREAM_OPEN:
        return hear_stream_open(peer, message, reterr);
    case HKB_MESSAGE_SINK_OPEN:
        return hear_sink_open(peer, message, reterr);
    case HKB_MESSAGE_CLOSE:
        return hear_close(peer, message, reterr);
    case HKB_MESSAGE_LISTED:
        return hear_listed(peer, message);
    case HKB_MESSAGE_PATH:
        return hear_path(peer, message, reterr);
    default:
        return wrong(reterr, "a message that only a downstream may send");
    }
}

static hakuban_status on_message(hkb_link *link, hkb_message *message, hakuban_error *reterr)
{
    hkb_peer *peer = peer_of(link);
    hakuban_status status = HAKUBAN_OK;
    if (message->kind >= HKB_MESSAGE_CONDITION) {
        status = hear_on_channel(peer, message, reterr);
    } else if (link->connector) {
        status = hear_from_upstream(peer, message, reterr);
    } else {
        status = hear_from_downstream(peer, message, reterr);
    }
    hakuban_descriptor_unref(message->descriptor);
    return status;
}

const hkb_link_events hkb_peer_events = {
    .offer = on_offer,
    .hello = on_hello,
    .opened = on_opened,
    .message = on_message,
    .previous = on_previous,
    .registered = on_registered,
    .use_of = on_use_of,
    .channel_of = on_channel_of,
    .produce = on_produce,
    .wake = on_wake,
    .ended = on_ended,
    .session = on_session,
    .moved = on_moved,
    .dropped = on_dropped,
    .resumed = on_resumed,
    .anew = on_anew,
};
