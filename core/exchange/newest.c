/* The newest state of an object and its condition, and the older states that peers stand on. */
#include "exchange/newest.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/assignment.h"
#include "exchange/delivery.h"
#include "exchange/facts.h"
#include "exchange/interest.h"
#include "exchange/payloads.h"
#include "exchange/work.h"

/* -- The condition -- */

static void touch(hkb_object *object)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out.phase == HKB_CHANNEL_OPEN) {
            hkb_share_queue(share);
        }
    }
    HKB_LIST_EACH(hkb_delivery, delivery, &object->local->deliveries, of_object)
    {
        hkb_delivery_touch(delivery);
    }
}

static void condition_changed(hkb_object *object)
{
    object->condition_count++;
    touch(object);
}

void hkb_object_set_condition(hkb_object *object, hakuban_freshness freshness,
                              uint64_t stale_since_ns)
{
    if (!object->state) {
        freshness = HAKUBAN_NEVER;
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
    if (!hkb_assignment_set_unconfirmed(object, unconfirmed)) {
        return;
    }
    if (unconfirmed && object->timed_as == HKB_WAITING) {
        hkb_object_leave_timed(
            object); /* from an earlier hand-over: this one has its own deadline */
        hkb_object_mark(object);
    }
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out.phase == HKB_CHANNEL_OPEN && hkb_share_manners(share)->shows_hand_over) {
            share->out.condition = hkb_untold(object->condition_count);
            hkb_share_queue(share);
        }
    }
}

void hkb_object_refresh_source(hkb_object *object)
{
    hakuban_source source = HAKUBAN_SOURCE_ASSIGNED;
    if (object->assigned.to == HKB_NO_EXPOSER) {
        hkb_share *upstream = object->upstream;
        source = upstream && upstream->in.phase == HKB_CHANNEL_OPEN
                     ? (hakuban_source)upstream->in.source
                     : HAKUBAN_SOURCE_NONE;
        /* The next exposer waits until the old one has closed. */
        if (object->assigned.leaving && object->assigned.unconfirmed &&
            object->freshness == HAKUBAN_LIVE) {
            source = HAKUBAN_SOURCE_ASSIGNED;
        }
    } else if (object->assigned.to == HKB_UPSTREAM) {
        source = (hakuban_source)object->assigned.share->in.source;
    }
    if (object->source != source) {
        bool had_none = object->source == HAKUBAN_SOURCE_NONE;
        object->source = (unsigned)source & 3u;
        condition_changed(object);
        if (had_none || source == HAKUBAN_SOURCE_NONE) {
            hkb_object_settle_streams(object);
        }
    }
}

void hkb_object_pass_floor(hkb_object *object)
{
    hkb_share *share = hkb_object_state_share(object);
    if (!share || share->in.phase != HKB_CHANNEL_OPEN) {
        return;
    }
    share->in.floor_due = 1;
    hkb_share_queue(share);
}

/* -- States that peers stand on -- */

void hkb_object_drop_state(hkb_object *object, hakuban_state *state)
{
    if (!state) {
        return;
    }
    object->exchange->state_bytes -= state->data_bytes;
    hkb_state_release(object->exchange, state);
}

/* Payloads that are differences to it go with it: no peer can stand on it any more. */
static void forget_base(hkb_object *object, hakuban_state *state)
{
    for (hkb_delta *delta = object->deltas, *next; delta; delta = next) {
        next = delta->next;
        if (delta->base == state) {
            hkb_delta_free(delta);
        }
    }
    hkb_list_remove(&state->base_node);
    object->bases_bytes -= state->data_bytes;
    hkb_charge(object->exchange, NULL, 0, hkb_state_bytes(state));
    hkb_object_drop_state(object, state);
}

hakuban_state *hkb_object_pin(hakuban_state *state)
{
    if (state) {
        state->base_users++;
    }
    return hakuban_state_ref(state);
}

static void leave_base(hkb_object *object, hakuban_state *state)
{
    state->base_users--;
    if (state->base_users == 0 && hkb_node_linked(&state->base_node)) {
        forget_base(object, state);
    }
}

void hkb_object_set_base(hkb_share *share, hakuban_state *state)
{
    hakuban_state *before = share->out.base;
    if (before == state) {
        return;
    }
    share->out.base = hkb_object_pin(state);
    if (before) {
        leave_base(share->object, before);
        hakuban_state_unref(before);
    }
}

/* Shares that stood on it get their next state whole. */
static void evict_base(hkb_object *object, hakuban_state *state)
{
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out.base == state) {
            hkb_object_set_base(share, NULL); /* the last one forgets it */
        }
    }
}

/* The state that is no longer the newest stays while shares or works stand on it. */
static void retire(hkb_object *object, hakuban_state *state)
{
    if (state->base_users == 0) {
        hkb_object_drop_state(object, state);
        return;
    }
    hkb_list_push_front(&object->bases, &state->base_node);
    object->bases_bytes += state->data_bytes;
    hkb_charge(object->exchange, NULL, hkb_state_bytes(state), 0);
}

/* Older states take no more than twice what the newest does: a difference to a much larger one
 * saves little, and a peer that reads nothing would keep it for ever. Only those that a work needs
 * stay until it is done. */
static void bound_bases(hkb_object *object)
{
    size_t bytes_max = hkb_max(HKB_BASES_BYTES_MIN, 2 * object->state->data_bytes);
    hkb_node *node = object->bases.head.previous;
    while (object->bases_bytes > bytes_max && node != &object->bases.head) {
        hakuban_state *oldest = HKB_CONTAINER(node, hakuban_state, base_node);
        node = node->previous;
        evict_base(object, oldest);
    }
}

void hkb_object_unpin(hkb_object *object, hakuban_state *state)
{
    if (state) {
        leave_base(object, state);
    }
    if (object->state) {
        bound_bases(object);
    }
}

/* -- The newest state -- */

/* How state's version compares to the greatest that was shown here: that of the newest state, or
 * of the one that was forgotten. */
static int compare_shown(const hkb_object *object, const hakuban_state *state)
{
    const hakuban_state *shown = object->forgotten ? object->floor : object->state;
    return shown ? hakuban_version_compare(state->version, state->version_count, shown->version,
                                           shown->version_count)
                 : 1;
}

/* Whether state is the one that was forgotten: peers and contracts that were told it need only be
 * told its condition. */
static bool is_remembered(const hkb_object *object, const hakuban_state *state)
{
    return object->forgotten_is_floor && compare_shown(object, state) == 0;
}

static void replace_state(hkb_object *object, hakuban_state *state)
{
    hakuban_state *before = object->state;
    if (is_remembered(object, state)) {
        object->condition_count++;
    } else {
        object->state_count++;
    }
    object->forgotten = object->forgotten_is_floor = 0;
    if (hkb_node_linked(&state->base_node)) {
        forget_base(object, state); /* an older state is the newest again */
    }
    object->state = state;
    object->exchange->state_bytes += state->data_bytes;
    while (object->deltas) {
        hkb_delta_free(object->deltas);
    }
    if (before) {
        retire(object, before);
    }
    bound_bases(object);
    if (object->floor &&
        hakuban_version_compare(object->floor->version, object->floor->version_count,
                                state->version, state->version_count) <= 0) {
        object->floor = hakuban_state_unref(object->floor);
    }
    hkb_object_charge(object, object->payer, false);
}

void hkb_object_forget_state(hkb_object *object)
{
    hakuban_state *state = object->state;
    uint8_t *unused;
    bool is_floor = !object->floor;
    if (is_floor && hkb_state_new(object->exchange->alloc, state->version, state->version_count, "",
                                  0, 0, 0, &object->floor, &unused) < 0) {
        return; /* so that no version goes back */
    }
    object->forgotten = 1;
    object->forgotten_is_floor = is_floor;
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (share->out.base == state) {
            hkb_object_set_base(share, NULL);
        }
    }
    while (object->deltas) {
        hkb_delta_free(object->deltas);
    }
    object->state = NULL;
    retire(object, state); /* a payload may be in the making */
    hkb_object_recharge(object);
    hkb_object_set_condition(object, HAKUBAN_NEVER, 0);
}

/* The exposer's version is older than the one here: observers are not shown it, and the exposer is
 * told the floor. */
static void hear_older(hkb_object *object)
{
    if (object->freshness == HAKUBAN_LIVE && !object->assigned.unconfirmed) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
    hkb_object_pass_floor(object);
}

void hkb_object_renew(hkb_object *object)
{
    if (object->state && object->state->left_over) {
        object->state->left_over = false;
        touch(object);
    }
}

void hkb_object_hear(hkb_object *object, hakuban_state *state, hakuban_freshness freshness,
                     uint64_t age_ns)
{
    uint64_t since_ns = hkb_time_of_age(object->exchange, age_ns);
    int order = state ? compare_shown(object, state) : 1;
    if (state && freshness == HAKUBAN_NEVER) {
        freshness = HAKUBAN_STALE; /* a message that contradicts itself */
    }
    if (state && order < 0) {
        hakuban_state_unref(state);
        hear_older(object);
        return;
    }
    bool replaces =
        state && (order > 0 || !object->state || !hkb_state_same_content(state, object->state));
    /* The exposer has no new state yet: the state here stays, and is LIVE only for the time of a
     * hand-over. */
    if (!replaces && (freshness == HAKUBAN_NEVER ||
                      (object->assigned.unconfirmed && freshness != HAKUBAN_LIVE))) {
        hakuban_state_unref(state);
        return;
    }
    /* A state that the next exposer had before its sink opened does not end the hand-over. */
    bool hands_over = object->assigned.unconfirmed && object->freshness == HAKUBAN_LIVE &&
                      freshness == HAKUBAN_STALE;
    hkb_object_set_unconfirmed(object, hands_over);
    if (replaces) {
        if (order == 0 && object->state) {
            const hkb_share *share = hkb_object_state_share(object);
            hkb_log(&object->exchange->logger, HKB_LOG_VERSION,
                    share ? &share->peer->log_quota : NULL, HAKUBAN_LOG_WARNING, "exchange",
                    "%.200s: a version was used again for other data", object->descriptor->text);
        }
        replace_state(object, state);
        if (!hands_over) {
            object->freshness = (unsigned)freshness & 3u;
            object->stale_since_ns = since_ns;
        }
        touch(object);
    }
    if (state && object->floor) {
        hkb_object_pass_floor(object); /* a peer knows a greater version than the exposer does */
    }
    if (replaces) {
        return;
    }
    hakuban_state_unref(state);
    if (freshness == HAKUBAN_LIVE) {
        hkb_object_renew(object);
    }
    /* The state was STALE, and its age has changed: a small difference is no news. */
    if (freshness == HAKUBAN_STALE && object->freshness == HAKUBAN_STALE) {
        uint64_t before = object->stale_since_ns;
        uint64_t apart = before > since_ns ? before - since_ns : since_ns - before;
        if (apart < 10000000) {
            return;
        }
    }
    hkb_object_set_condition(object, freshness, since_ns);
}
