/* Sinks of local exposers: their states, and the versions of these. */
#include "exchange/sink.h"
#include "exchange/account.h"
#include "exchange/agenda.h"
#include "exchange/facts.h"
#include "exchange/newest.h"

/* -- The record -- */

hakuban_status hkb_sink_new(hkb_object *object, hakuban_contract *contract, hakuban_sink **ret)
{
    hakuban_sink *sink = hkb_alloc(object->exchange->alloc, sizeof(*sink));
    if (!sink) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    sink->references = 1;
    sink->open = true;
    sink->exchange = object->exchange;
    sink->tie = (uint32_t)object->exchange->host.random(object->exchange->host.ctx);
    sink->contract = contract;
    sink->object = object;
    sink->descriptor = hakuban_descriptor_ref(object->descriptor);
    hkb_list_push(&contract->sinks, &sink->of_contract);
    hkb_entry_push(contract->queue, &sink->entry, HKB_ENTRY_SINK);
    *ret = sink;
    return HAKUBAN_OK;
}

void hkb_sink_ref(hakuban_sink *sink)
{
    sink->references++;
}

void hkb_sink_unref(hakuban_sink *sink)
{
    if (--sink->references) {
        return;
    }
    hkb_list_remove(&sink->entry.queued);
    hkb_list_remove(&sink->of_contract);
    hakuban_descriptor_unref(sink->descriptor);
    hkb_free(sink->exchange->alloc, sink, sizeof(*sink));
}

void hkb_sink_revoke(hakuban_sink *sink)
{
    sink->open = false;
    sink->object = NULL;
    if (!sink->open_told) { /* the user never heard of it */
        hkb_list_remove(&sink->entry.queued);
        hkb_sink_unref(sink);
    } else {
        hkb_entry_push(sink->contract->queue, &sink->entry, HKB_ENTRY_SINK);
    }
}

const hakuban_descriptor *hkb_sink_object(const hakuban_sink *sink)
{
    return sink->descriptor;
}

const hkb_version *hkb_sink_last_version(const hakuban_sink *sink)
{
    return &sink->last;
}

hkb_exchange *hkb_sink_exchange(const hakuban_sink *sink)
{
    return sink->exchange;
}

/* -- Sending -- */

/* The next automatic version, greater than all known ones. */
static hakuban_status next_version(const hakuban_sink *sink, hkb_version *ret)
{
    const hakuban_state *known = hkb_object_floor(sink->object);
    hkb_version last = sink->last;
    if (known) {
        hkb_version floor = hkb_state_version(known);
        if (hkb_version_compare(&floor, &last) > 0) {
            last = floor;
        }
    }
    return hkb_version_next(&last, sink->exchange->wall_ns, sink->tie, ret);
}

static hakuban_status check_version(const hakuban_sink *sink, const hkb_version *version)
{
    const hakuban_state *known = hkb_object_floor(sink->object);
    if (hkb_version_compare(version, &sink->last) < 0) {
        return HAKUBAN_ERR_VERSION;
    }
    if (known && hakuban_version_compare(version->elements, version->count, known->version,
                                         known->version_count) < 0) {
        return HAKUBAN_ERR_VERSION;
    }
    return HAKUBAN_OK;
}

static hakuban_status publish(hakuban_sink *sink, hakuban_state *state, const hkb_version *version)
{
    hakuban_state *versioned;
    hakuban_status status =
        hkb_state_with_version(sink->exchange->alloc, state, version, &versioned);
    if (status < 0) {
        return status;
    }
    sink->last = *version;
    hkb_object_hear(sink->object, versioned, HAKUBAN_LIVE, 0);
    return HAKUBAN_OK;
}

hakuban_status hkb_sink_send(hakuban_sink *sink, hakuban_state *state)
{
    hkb_version version;
    if (!sink->open) {
        return HAKUBAN_ERR_REVOKED;
    }
    const hkb_share *upstream = sink->object->upstream;
    if (upstream && upstream->out.phase == HKB_CHANNEL_OPEN &&
        state->data_bytes > upstream->peer->link.peer_state_bytes_max) {
        return HAKUBAN_ERR_LIMIT;
    }
    hakuban_status status = HAKUBAN_OK;
    bool automatic = state->version_count == 0;
    if (automatic) {
        status = next_version(sink, &version);
    } else {
        version = hkb_state_version(state);
        status = check_version(sink, &version);
    }
    if (status < 0) {
        return status;
    }
    status = publish(sink, state, &version);
    if (status >= 0) {
        sink->automatic = automatic;
    }
    return status;
}

/* -- The floor -- */

/* A version greater than that of the last state is known, and the sink cannot make a greater one.
 */
static void is_behind(hkb_object *object)
{
    if (object->freshness == HAKUBAN_LIVE) {
        hkb_object_set_condition(object, HAKUBAN_STALE, object->exchange->now_ns);
    }
}

/* With automatic versions the last state is published again above the floor; with the user's own,
 * the user decides. */
void hkb_sink_number_on(hakuban_sink *sink)
{
    hkb_object *object = sink->object;
    hkb_version version;
    bool sent_last = object->state && sink->last.count &&
                     hakuban_version_compare(object->state->version, object->state->version_count,
                                             sink->last.elements, sink->last.count) == 0;
    if (sink->automatic && sent_last) {
        hakuban_status status = next_version(sink, &version);
        if (status >= 0) {
            status = publish(sink, object->state, &version);
        }
        if (status == HAKUBAN_ERR_NO_MEMORY) {
            object->retry_due = 1;
            hkb_object_mark(object);
        } else if (status < 0) {
            is_behind(object); /* there is no greater version */
        }
    } else if (sent_last) {
        is_behind(object);
    }
}

static void raise_sink_floor(hakuban_sink *sink)
{
    sink->floor_due = true;
    if (sink->open_told) {
        hkb_entry_push(sink->contract->queue, &sink->entry, HKB_ENTRY_SINK);
    }
    hkb_sink_number_on(sink);
}

hakuban_status hkb_object_raise_floor(hkb_object *object, const hkb_version *version,
                                      const hkb_share *teller)
{
    hakuban_state *known = hkb_object_floor(object), *floor;
    if (version->count == 0) {
        return HAKUBAN_OK;
    }
    if (known && hakuban_version_compare(version->elements, version->count, known->version,
                                         known->version_count) <= 0) {
        /* It was passed on before, but perhaps on a channel that closed then. */
        if (object->floor && hkb_object_state_share(object) != teller) {
            hkb_object_pass_floor(object);
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
    object->forgotten_is_floor = 0;
    hkb_object_recharge(object);
    hakuban_sink *sink = hkb_object_sink(object);
    if (sink) {
        raise_sink_floor(sink);
    } else {
        hkb_object_pass_floor(object);
    }
    return HAKUBAN_OK;
}
