/* Objects: existence, the newest state and what it is worth, versions' floor, the states that peers
 * stand on. */
#include "exchange/internal.h"

/* -- The record -- */

bool hkb_object_equal(const void *item, const void *key)
{
    return hakuban_descriptor_equal(((const hkb_object *)item)->descriptor, key);
}

static uint32_t descriptor_hash(const hkb_exchange *exchange, const hakuban_descriptor *descriptor)
{
    return (uint32_t)hkb_siphash(exchange->map_key, descriptor->text, descriptor->text_bytes);
}

static size_t object_bytes(size_t tag_count)
{
    return sizeof(hkb_object) + tag_count * sizeof(hkb_object_tag);
}

hkb_object *hkb_object_find(const hkb_exchange *exchange, const hakuban_descriptor *descriptor)
{
    return hkb_map_find(&exchange->objects, descriptor_hash(exchange, descriptor), descriptor);
}

static void leave_timed(hkb_object *object)
{
    hkb_list_remove(&object->timed);
    object->exchange->balanced_count -= object->timed_as == HKB_BALANCED;
    object->exchange->declined_count -= object->timed_as == HKB_DECLINED;
    object->timed_as = HKB_UNTIMED;
}

static void drop_state(hkb_object *object, hakuban_state *state)
{
    if (!state) {
        return;
    }
    object->exchange->state_bytes -= state->data_bytes;
    hakuban_state_unref(state);
}

static void free_record(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    exchange->remembered_count -= object->remembered;
    for (size_t i = 0; i < object->tag_count; i++) {
        hkb_tag *tag = object->tags[i].tag;
        if (tag) {
            hkb_list_remove(&object->tags[i].of_tag);
            tag->object_count--;
            hkb_tag_mark(tag);
        }
    }
    hkb_list_remove(&object->dirty);
    hkb_list_remove(&object->hold);
    leave_timed(object);
    while (object->deltas) {
        hkb_delta_free(object->deltas);
    }
    drop_state(object, object->state);
    hakuban_state_unref(object->floor);
    hakuban_descriptor_unref(object->descriptor);
    hkb_free(exchange->alloc, object, object_bytes(object->tag_count));
}

hakuban_status hkb_object_get(hkb_exchange *exchange, hakuban_descriptor *descriptor,
                              hkb_object **ret)
{
    hkb_object *object = hkb_object_find(exchange, descriptor);
    if (object) {
        *ret = object;
        return HAKUBAN_OK;
    }
    object = hkb_alloc(exchange->alloc, object_bytes(descriptor->tag_count));
    if (!object) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    object->exchange = exchange;
    object->hash = descriptor_hash(exchange, descriptor);
    object->descriptor = hakuban_descriptor_ref(descriptor);
    object->tag_count = descriptor->tag_count;
    object->number = exchange->object_numbers++;
    hkb_list_init(&object->shares);
    hkb_list_init(&object->deliveries);
    hkb_list_init(&object->contracts);
    hkb_list_init(&object->bases);
    const char *json = hkb_descriptor_tags(descriptor);
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; status >= 0 && i < object->tag_count; i++) {
        hakuban_slice text = {json, strlen(json)};
        hkb_object_tag *place = &object->tags[i];
        status = hkb_tag_get(exchange, text, &place->tag);
        if (status >= 0) {
            place->object = object;
            hkb_list_push(&place->tag->objects, &place->of_tag);
            place->tag->object_count++;
        }
        json += text.bytes + 1;
    }
    if (status >= 0) {
        status = hkb_map_insert(&exchange->objects, object);
    }
    if (status < 0) {
        free_record(object);
        return status;
    }
    *ret = object;
    return HAKUBAN_OK;
}

void hkb_object_mark(hkb_object *object)
{
    if (!hkb_node_linked(&object->dirty)) {
        hkb_list_push(&object->exchange->dirty, &object->dirty);
    }
}

static bool is_referred_to(const hkb_object *object)
{
    return object->exists || !hkb_list_empty(&object->shares) ||
           !hkb_list_empty(&object->deliveries) || !hkb_list_empty(&object->contracts) ||
           object->leaving || object->unconfirmed || object->retry_due ||
           hkb_node_linked(&object->dirty);
}

/* -- Versions -- */

hakuban_state *hkb_object_floor(const hkb_object *object)
{
    return object->floor ? object->floor : object->state;
}

/* Towards whoever sends the states; the sink of a local exposer looks by itself. */
static void pass_floor(hkb_object *object)
{
    hkb_share *share = object->exposer == HKB_DOWNSTREAM ? object->chosen.share : object->upstream;
    if (object->exposer == HKB_LOCAL || !share || share->in_phase != HKB_CHANNEL_OPEN) {
        return;
    }
    share->floor_due = !HKB_PLANTED(floor_lost);
    hkb_share_queue(share);
}

hakuban_status hkb_object_raise_floor(hkb_object *object, const hkb_version *version)
{
    hakuban_state *known = hkb_object_floor(object), *floor;
    if (version->count == 0) {
        return HAKUBAN_OK;
    }
    if (known && hakuban_version_compare(version->elements, version->count, known->version,
                                         known->version_count) <= 0) {
        if (object->floor) {
            pass_floor(
                object); /* it was passed on before, but perhaps on a channel that closed then */
        }
        return HAKUBAN_OK;
    }
    uint8_t *unused;
    hakuban_status status = hkb_state_new(object->exchange->alloc, version->elements,
                                          version->count, "", 0, 0, 0, &floor, &unused);
    if (status < 0) {
        return status;
    }
    hakuban_state_unref(object->floor);
    object->floor = floor;
    if (object->sink) {
        hkb_sink_floor(object->sink);
    } else {
        pass_floor(object);
    }
    return HAKUBAN_OK;
}

/* -- The newest state -- */

uint64_t hkb_object_age_ns(const hkb_object *object)
{
    if (object->freshness != HAKUBAN_STALE) {
        return 0;
    }
    uint64_t now_ns = object->exchange->now_ns;
    return now_ns > object->stale_since_ns ? now_ns - object->stale_since_ns : 1;
}

static void condition_changed(hkb_object *object)
{
    object->condition_count++;
    hkb_share_touch(object);
}

void hkb_object_set_condition(hkb_object *object, hakuban_freshness freshness,
                              uint64_t stale_since_ns)
{
    if (!object->state) {
        freshness = HAKUBAN_NEVER;
    }
    if (HKB_PLANTED(for_ever_live) && freshness == HAKUBAN_STALE) {
        return;
    }
    if (object->freshness == freshness &&
        (freshness != HAKUBAN_STALE || object->stale_since_ns == stale_since_ns)) {
        return;
    }
    object->freshness = (unsigned)freshness & 3u;
    object->stale_since_ns = stale_since_ns;
    condition_changed(object);
}

void hkb_object_set_unconfirmed(hkb_object *object, bool unconfirmed)
{
    if (object->unconfirmed == unconfirmed) {
        return;
    }
    object->unconfirmed = unconfirmed;
    if (unconfirmed && object->timed_as == HKB_WAITING && !HKB_PLANTED(hand_over_time)) {
        leave_timed(object); /* since the hand-over before: this one has its own time */
        hkb_object_mark(object);
    }
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out_phase == HKB_CHANNEL_OPEN && share->peer->link.dialect->is_reference) {
            share->out_condition = object->condition_count - 1;
            hkb_share_queue(share);
        }
    }
}

static void settle_streams(hkb_object *object)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        hkb_share_settle_stream(share);
    }
}

void hkb_object_refresh_source(hkb_object *object)
{
    hakuban_source source = HAKUBAN_SOURCE_ASSIGNED;
    if (object->exposer == HKB_NOBODY) {
        hkb_share *upstream = object->upstream;
        source = upstream && upstream->in_phase == HKB_CHANNEL_OPEN
                     ? (hakuban_source)upstream->in_source
                     : HAKUBAN_SOURCE_NONE;
        /* Whoever it is left to waits until the one before has closed. */
        if (object->leaving && object->unconfirmed && object->freshness == HAKUBAN_LIVE) {
            source = HAKUBAN_SOURCE_ASSIGNED;
        }
    } else if (object->exposer == HKB_UPSTREAM) {
        source = (hakuban_source)object->upstream->in_source;
    }
    if (object->source != source) {
        bool had_none = object->source == HAKUBAN_SOURCE_NONE;
        object->source = (unsigned)source & 3u;
        condition_changed(object);
        if (had_none || source == HAKUBAN_SOURCE_NONE) {
            settle_streams(object);
        }
    }
}

bool hkb_object_source_is_away(const hkb_object *object)
{
    const hkb_share *share = object->upstream;
    if (object->exposer == HKB_LOCAL) {
        return false;
    }
    if (object->exposer == HKB_DOWNSTREAM) {
        share = object->chosen.share;
    }
    return share && (object->held || hkb_peer_is_away(share->peer));
}

static void forget_base(hkb_object *object, hakuban_state *state)
{
    hkb_list_remove(&state->base_node);
    object->bases_bytes -= state->data_bytes;
    drop_state(object, state);
}

void hkb_object_set_base(hkb_share *share, hakuban_state *state)
{
    hkb_object *object = share->object;
    hakuban_state *before = share->out_base;
    if (before == state) {
        return;
    }
    if (state) {
        hakuban_state_ref(state);
        state->base_users++;
    }
    share->out_base = state;
    if (before) {
        before->base_users--;
        if (before->base_users == 0 && hkb_node_linked(&before->base_node) &&
            !HKB_PLANTED(bases_kept)) {
            forget_base(object, before);
        }
        hakuban_state_unref(before);
    }
}

/* Shares that stood on it get their next state whole. */
static void evict_base(hkb_object *object, hakuban_state *state)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out_base == state) {
            hkb_object_set_base(share, NULL); /* the last one forgets it */
        }
    }
}

/* The state that is no longer the newest stays while shares stand on it and there is room
 * (design.md §6). */
static void retire(hkb_object *object, hakuban_state *state)
{
    if (state->base_users == 0) {
        drop_state(object, state);
        return;
    }
    hkb_list_push_front(&object->bases, &state->base_node);
    object->bases_bytes += state->data_bytes;
    size_t bytes_max = hkb_max(HKB_BASES_BYTES_MIN, object->state->data_bytes);
    if (HKB_PLANTED(bases_kept)) {
        bytes_max = SIZE_MAX;
    }
    while (object->bases_bytes > bytes_max && object->bases.head.previous != &state->base_node) {
        evict_base(object, HKB_CONTAINER(object->bases.head.previous, hakuban_state, base_node));
    }
}

static void replace_state(hkb_object *object, hakuban_state *state)
{
    hakuban_state *before = object->state;
    if (hkb_node_linked(&state->base_node)) {
        forget_base(object, state); /* one that was here before comes back */
    }
    object->state = state;
    object->state_count++;
    object->exchange->state_bytes += state->data_bytes;
    while (object->deltas) {
        hkb_delta_free(object->deltas);
    }
    if (before) {
        retire(object, before);
    }
    if (object->floor &&
        hakuban_version_compare(object->floor->version, object->floor->version_count,
                                state->version, state->version_count) <= 0) {
        object->floor = hakuban_state_unref(object->floor);
    }
}

/* The exposer is behind what is held here: nobody is shown an older version; the exposer is told to
 * number on from it. */
static void hear_older(hkb_object *object)
{
    if (object->freshness == HAKUBAN_LIVE && !object->unconfirmed) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
    pass_floor(object);
}

void hkb_object_hear(hkb_object *object, hakuban_state *state, hakuban_freshness freshness,
                     uint64_t age_ns)
{
    uint64_t since_ns = hkb_time_of_age(object->exchange, age_ns);
    int order = 1;
    if (state && object->state) {
        order = hakuban_version_compare(state->version, state->version_count,
                                        object->state->version, object->state->version_count);
    }
    if (state && freshness == HAKUBAN_NEVER) {
        freshness = HAKUBAN_STALE; /* contradicts itself */
    }
    if (state && order < 0) {
        hakuban_state_unref(state);
        hear_older(object);
        return;
    }
    bool replaces = state && (order > 0 || !hkb_state_same_content(state, object->state));
    /* The exposer has nothing new yet: what is held stays as it is, LIVE only for the time of a
     * hand-over. */
    if (!replaces &&
        (freshness == HAKUBAN_NEVER || (object->unconfirmed && freshness != HAKUBAN_LIVE))) {
        hakuban_state_unref(state);
        return;
    }
    /* What the next one held before its sink opened does not end the time of a hand-over. */
    bool hands_over =
        object->unconfirmed && object->freshness == HAKUBAN_LIVE && freshness == HAKUBAN_STALE;
    hkb_object_set_unconfirmed(object, hands_over);
    if (replaces) {
        if (order == 0) {
            hkb_log(&object->exchange->log, HAKUBAN_LOG_WARNING, "exchange",
                    "%.200s: a version was used again for other data", object->descriptor->text);
        }
        replace_state(object, state);
        if (!hands_over) {
            object->freshness = (unsigned)freshness & 3u;
            object->stale_since_ns = since_ns;
        }
        hkb_share_touch(object);
    }
    if (state && object->floor) {
        pass_floor(object); /* somebody below knows more than its exposer does */
    }
    if (replaces) {
        return;
    }
    hakuban_state_unref(state);
    /* A stale state that is told to be stale for another while: only a real difference is news. */
    if (freshness == HAKUBAN_STALE && object->freshness == HAKUBAN_STALE) {
        uint64_t before = object->stale_since_ns;
        uint64_t apart = before > since_ns ? before - since_ns : since_ns - before;
        if (apart < 10000000) {
            return;
        }
    }
    hkb_object_set_condition(object, freshness, since_ns);
}

/* -- Deliveries to local observers -- */

hakuban_status hkb_object_open_delivery(hkb_object *object, hakuban_contract *contract)
{
    HKB_LIST_EACH(hkb_delivery, delivery, &object->deliveries, of_object)
    {
        if (delivery->contract == contract) {
            delivery->closing = false; /* it came back before anybody was told that it went */
            hkb_delivery_touch(delivery);
            return HAKUBAN_OK;
        }
    }
    hkb_delivery *delivery = hkb_alloc(object->exchange->alloc, sizeof(*delivery));
    if (!delivery) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    delivery->contract = contract;
    delivery->object = object;
    hkb_list_push(&contract->deliveries, &delivery->of_contract);
    hkb_list_push(&object->deliveries, &delivery->of_object);
    hkb_delivery_touch(delivery);
    return HAKUBAN_OK;
}

static void close_tag_deliveries(hkb_object *object)
{
    HKB_LIST_EACH(hkb_delivery, delivery, &object->deliveries, of_object)
    {
        if (delivery->contract->kind == HKB_OBSERVE_TAG && !HKB_PLANTED(close_lost)) {
            delivery->closing = true;
            hkb_delivery_touch(delivery);
        }
    }
}

/* For all tags' observers, local or downstream. */
static hakuban_status begin_to_exist(hkb_object *object)
{
    hakuban_status status = HAKUBAN_OK;
    for (size_t i = 0; i < object->tag_count; i++) {
        hkb_tag *tag = object->tags[i].tag;
        HKB_LIST_EACH(hakuban_contract, contract, &tag->contracts, of_subject)
        {
            if (contract->kind == HKB_OBSERVE_TAG && status >= 0) {
                status = hkb_object_open_delivery(object, contract);
            }
        }
        HKB_LIST_EACH(hkb_tag_share, tag_share, &tag->shares, of_tag)
        {
            hkb_share *share;
            if (!tag_share->observes || tag_share->peer->link.connector) {
                continue;
            }
            if (hkb_share_get(tag_share->peer, object, &share) >= 0) {
                hkb_share_refresh(share);
            } else {
                hkb_link_fail(&tag_share->peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            }
        }
    }
    return status;
}

/* -- Settling -- */

static bool should_exist(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    return object->local_observers || object->local_exposers || object->observe_shares ||
           object->expose_shares || hkb_recall_exists(object) ||
           (upstream &&
            (upstream->in_phase == HKB_CHANNEL_OPEN || upstream->out_phase == HKB_CHANNEL_OPEN));
}

static bool locally_observed(const hkb_object *object)
{
    if (object->local_observers) {
        return true;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        if (object->tags[i].tag->local_observers || object->tags[i].tag->preload_shares) {
            return true;
        }
    }
    return false;
}

bool hkb_object_needed(const hkb_object *object)
{
    const hkb_share *upstream = object->upstream;
    if (!object->exists) {
        return false;
    }
    if (object->held) {
        return true;
    }
    if (upstream &&
        (upstream->out_phase == HKB_CHANNEL_OPEN ||
         (upstream->in_phase == HKB_CHANNEL_OPEN && upstream->in_source != HAKUBAN_SOURCE_NONE))) {
        return true;
    }
    return object->observing_only || object->observing >= 2 || locally_observed(object);
}

/* Which releases them once their channels are closed. */
static void queue_shares(hkb_object *object)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        hkb_share_queue(share);
    }
}

/* Compares what the upstream was told with what holds now. */
static void settle_registration(hkb_object *object)
{
    hkb_peer *peer = object->exchange->upstream;
    hkb_share *share = object->upstream;
    hkb_wanted wanted = hkb_object_wanted(object);
    if (!peer || (HKB_PLANTED(never_taken_back) && !wanted.flags)) {
        return;
    }
    if (!share && wanted.flags) {
        if (hkb_share_get(peer, object, &share) < 0) {
            hkb_link_fail(&peer->link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
    }
    if (share && (!hkb_object_was_told(share, &wanted) ||
                  (share->out_phase == HKB_CHANNEL_CLOSING && !object->leaving))) {
        hkb_share_queue(share);
    }
}

bool hkb_object_has_choice(const hkb_object *object)
{
    uint32_t exposers = object->expose_shares;
    for (size_t i = 0; i < object->tag_count; i++) {
        exposers += object->tags[i].tag->expose_shares;
    }
    bool drains = object->exposer == HKB_LOCAL && object->chosen.contract->capacity == 0;
    return (object->exposer == HKB_DOWNSTREAM && exposers >= 2) ||
           ((object->exposer == HKB_NOBODY || drains) && exposers >= 1);
}

static hkb_timed timed_as(const hkb_object *object, bool needed)
{
    if (object->leaving || object->unconfirmed || object->retry_due) {
        return HKB_WAITING;
    }
    if (needed && object->exchange->rebalances && hkb_object_has_choice(object)) {
        return HKB_BALANCED;
    }
    return object->upstream && object->upstream->declining ? HKB_DECLINED : HKB_UNTIMED;
}

static void settle_timed(hkb_object *object, bool needed)
{
    hkb_exchange *exchange = object->exchange;
    hkb_timed as = timed_as(object, needed);
    if (object->timed_as == as) {
        return;
    }
    leave_timed(object);
    object->timed_as = (unsigned)as & 3u;
    switch (as) {
    case HKB_UNTIMED:
        break;
    case HKB_WAITING: /* all wait equally long: the list is in order */
        object->deadline_ns = exchange->now_ns + HKB_HANDOVER_NS;
        hkb_list_push(&exchange->waiting, &object->timed);
        break;
    case HKB_BALANCED:
        hkb_list_push(&exchange->balanced, &object->timed);
        exchange->balanced_count++;
        break;
    case HKB_DECLINED:
        hkb_decline_enter(object);
        break;
    }
}

void hkb_object_expired(hkb_object *object)
{
    leave_timed(object);
    bool retries = object->retry_due;
    object->retry_due = 0;
    if (retries && object->sink && object->floor) {
        hkb_sink_number_on(object->sink);
    }
    if (object->leaving) {
        object->leaving = NULL; /* it had its time; what it still sends is not listened to */
        hkb_object_mark(object);
    }
    if (object->unconfirmed) {
        hkb_object_set_unconfirmed(object, false);
        if (object->freshness == HAKUBAN_LIVE) {
            hkb_object_set_condition(object, HAKUBAN_STALE,
                                     object->exchange->now_ns - HKB_HANDOVER_NS);
        }
    }
    hkb_object_mark(object);
}

void hkb_object_settle(hkb_object *object)
{
    hkb_exchange *exchange = object->exchange;
    bool exists = should_exist(object);
    hkb_list_remove(&object->dirty);
    if (exists != object->exists) {
        object->exists = exists;
        if (!exists) {
            close_tag_deliveries(object);
        } else if (begin_to_exist(object) < 0) {
            object->exists = 0;
            object->retry_due = !HKB_PLANTED(no_retry);
            close_tag_deliveries(object);
            hkb_list_remove(&object->dirty);
        }
        settle_streams(object);
        if (!object->exists) {
            queue_shares(object);
        }
    }
    bool needed = hkb_object_needed(object);
    if (object->held) {
        settle_registration(object); /* the rest waits for what the new upstream says */
        return;
    }
    if (needed) {
        hkb_choose(object);
    } else {
        hkb_choose_unneeded(object);
    }
    hkb_decline_settle(object, needed);
    hkb_choose_open(object);
    hkb_object_refresh_source(object);
    settle_registration(object);
    settle_timed(object, needed);
    if (is_referred_to(object)) {
        return;
    }
    hkb_map_remove(&exchange->objects, object);
    free_record(object);
}
