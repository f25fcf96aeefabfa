/* Looking into an exchange: walks that go on while it changes, its records as plain structs, and
 * all of them as text. Changes nothing. Walks need only a number in each record. */
#include "exchange/account.h"
#include "exchange/facts.h"

#include <math.h>
#include <stdio.h>

#define DESCRIBED 16 /* objects at a time */

/* -- Walks -- */

size_t hkb_inspect_objects(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_object **ret,
                           size_t room)
{
    return hkb_map_scan(&exchange->objects, &cursor->place[0], (void **)ret, room);
}

size_t hkb_inspect_tags(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_tag **ret,
                        size_t room)
{
    return hkb_map_scan(&exchange->tags, &cursor->place[0], (void **)ret, room);
}

/* Numbers grow along each of the lists: a cursor is the least number that has not been visited. */
size_t hkb_inspect_contracts(const hkb_exchange *exchange, hakuban_cursor *cursor,
                             hakuban_contract **ret, size_t room)
{
    size_t count = 0;
    HKB_LIST_EACH(hakuban_contract, contract, &exchange->contracts, of_exchange)
    {
        if (count == room || contract->number < cursor->place[0]) {
            continue;
        }
        ret[count++] = contract;
    }
    if (count) {
        cursor->place[0] = ret[count - 1]->number + 1;
    }
    return count;
}

/* Upstreams and downstreams are counted apart. */
size_t hkb_inspect_links(const hkb_exchange *exchange, hakuban_cursor *cursor, hkb_peer **ret,
                         size_t room)
{
    size_t count = 0;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        if (count < room && peer->number >= cursor->place[peer->link.connector]) {
            ret[count++] = peer;
        }
    }
    for (size_t i = 0; i < count; i++) {
        cursor->place[ret[i]->link.connector] = ret[i]->number + 1;
    }
    return count;
}

/* How many of the object's tags before index the peer has registered: each downstream is told once.
 */
static bool told_before(const hkb_object *object, size_t index, const hkb_peer *peer)
{
    if (hkb_share_find(object->exchange, peer, object)) {
        return true;
    }
    for (size_t i = 0; i < index; i++) {
        if (hkb_tag_share_find(object->exchange, peer, object->tags[i].tag)) {
            return true;
        }
    }
    return false;
}

static void fill_object_link(const hkb_object *object, const hkb_peer *peer, const hkb_share *share,
                             hakuban_object_link_info *ret)
{
    *ret = (hakuban_object_link_info){.number = peer->number};
    if (share) {
        ret->observes = share->registered.observes;
        ret->exposes = share->registered.exposes;
        ret->capacity = share->registered.capacity;
        ret->stream = share->out.phase == HKB_CHANNEL_OPEN;
        ret->sink = share->in.phase == HKB_CHANNEL_OPEN;
    }
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag_share *tag_share =
            hkb_tag_share_find(object->exchange, peer, object->tags[i].tag);
        if (!tag_share) {
            continue;
        }
        ret->tag_observers += tag_share->registered.observes;
        ret->tag_exposers += tag_share->registered.exposes;
    }
}

/* First the links with a share, then tag by tag those without one. place: the list, and the place
 * in it. */
size_t hkb_inspect_object_links(const hkb_object *object, hakuban_cursor *cursor,
                                hakuban_object_link_info *ret, size_t room)
{
    size_t count = 0;
    uint64_t index = 0;
    if (cursor->place[0] == 0) {
        HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
        {
            if (index++ < cursor->place[1] || count == room) {
                continue;
            }
            cursor->place[1] = index;
            if (!share->peer->link.connector) {
                fill_object_link(object, share->peer, share, &ret[count++]);
            }
        }
        if (count == room) {
            return count;
        }
        cursor->place[0] = 1;
        cursor->place[1] = 0;
    }
    while (cursor->place[0] <= object->tag_count) {
        size_t tag_index = (size_t)cursor->place[0] - 1;
        index = 0;
        HKB_LIST_EACH(hkb_tag_share, share, &object->tags[tag_index].tag->shares, of_tag)
        {
            if (index++ < cursor->place[1] || count == room) {
                continue;
            }
            cursor->place[1] = index;
            if (!share->peer->link.connector && !told_before(object, tag_index, share->peer)) {
                fill_object_link(object, share->peer, NULL, &ret[count++]);
            }
        }
        if (count == room) {
            break;
        }
        cursor->place[0]++;
        cursor->place[1] = 0;
    }
    return count;
}

size_t hkb_inspect_tag_links(const hkb_tag *tag, hakuban_cursor *cursor, hakuban_tag_link_info *ret,
                             size_t room)
{
    size_t count = 0;
    uint64_t index = 0;
    HKB_LIST_EACH(hkb_tag_share, share, &tag->shares, of_tag)
    {
        if (index++ < cursor->place[0] || count == room) {
            continue;
        }
        cursor->place[0] = index;
        if (!share->peer->link.connector) {
            ret[count++] = (hakuban_tag_link_info){.number = share->peer->number,
                                                   .observes = share->registered.observes,
                                                   .exposes = share->registered.exposes,
                                                   .capacity = share->registered.capacity};
        }
    }
    return count;
}

hkb_peer *hkb_peer_find(const hkb_exchange *exchange, bool upstream, uint64_t number)
{
    hkb_link_key key = {number, upstream};
    return hkb_map_find(&exchange->links, (uint32_t)number, &key);
}

/* -- Records -- */

/* At most room - 1 bytes, whole characters. */
static void copy_name(char *out, size_t room, const char *name)
{
    size_t bytes = strlen(name);
    if (bytes >= room) {
        bytes = room - 1;
        while (bytes && ((unsigned char)name[bytes] & 0xc0) == 0x80) {
            bytes--;
        }
    }
    memcpy(out, name, bytes);
    out[bytes] = '\0';
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return then_ns && now_ns > then_ns ? now_ns - then_ns : 0;
}

const hakuban_descriptor *hkb_object_descriptor(const hkb_object *object)
{
    return object->descriptor;
}

uint64_t hkb_peer_number(const hkb_peer *peer, bool *ret_upstream)
{
    *ret_upstream = peer->link.connector;
    return peer->number;
}

void hkb_peer_inspect(const hkb_peer *peer, hakuban_link_info *ret)
{
    const hkb_link *link = &peer->link;
    uint64_t now_ns = peer->exchange->now_ns;
    memset(ret, 0, sizeof(*ret));
    ret->number = peer->number;
    ret->upstream = link->connector;
    ret->phase = (hakuban_link_phase)link->phase; /* the same numbers */
    copy_name(ret->name, sizeof(ret->name), link->peer_name);
    copy_name(ret->own_name, sizeof(ret->own_name), link->settings->name);
    if (link->serializer) {
        copy_name(ret->serializer, sizeof(ret->serializer), link->serializer->name);
    }
    if (link->phase != HKB_LINK_HELLO) {
        copy_name(ret->compressor, sizeof(ret->compressor),
                  link->compressor ? link->compressor->ops.name : "none");
    }
    ret->load = peer->load;
    ret->load_limit = hkb_peer_load_limit(peer);
    ret->bytes_in = link->received_bytes;
    ret->bytes_out = link->sent_bytes;
    if (link->phase != HKB_LINK_HELLO) {
        ret->age_ns = since(now_ns, link->opened_ns);
    }
    ret->quiet_ns = since(now_ns, link->last_received_ns);
    ret->memory_bytes = peer->accounted_bytes;
    ret->sending_bytes = peer->outgoing_bytes;
}

static void fill_exposer(const hkb_object *object, hakuban_object_info *ret)
{
    const hkb_peer *peer = NULL;
    ret->exposer = (hakuban_exposer_kind)object->assigned.to;
    if (object->assigned.to == HKB_LOCAL) {
        ret->exposer_number = object->assigned.contract->number;
        ret->exposer_by_tag = object->assigned.contract->kind == HKB_EXPOSE_TAG;
    } else if (object->assigned.to != HKB_NO_EXPOSER) {
        peer = object->assigned.share->peer;
        ret->cost = object->assigned.cost;
    }
    if (peer) {
        ret->exposer_number = peer->number;
        copy_name(ret->exposer_name, sizeof(ret->exposer_name), peer->link.peer_name);
    }
}

void hkb_object_inspect(const hkb_object *object, hakuban_object_info *ret)
{
    const hkb_share *upstream = object->upstream;
    memset(ret, 0, sizeof(*ret));
    ret->number = object->number;
    ret->object = hakuban_descriptor_ref(object->descriptor);
    ret->state = hakuban_state_ref(object->state);
    ret->exists = object->exists;
    ret->needed = hkb_object_needed(object);
    ret->freshness = (hakuban_freshness)object->freshness;
    ret->source = (hakuban_source)object->source;
    ret->age_ns = hkb_object_age_ns(object);
    fill_exposer(object, ret);
    ret->handing_over = object->assigned.leaving != NULL;
    ret->observers = object->local->observers;
    ret->exposers = object->local->exposers;
    ret->link_observers = object->observing;
    ret->link_exposers = object->expose_shares;
    for (size_t i = 0; i < object->tag_count; i++) {
        const hkb_tag *tag = object->tags[i].tag;
        ret->tag_observers += tag->local_observers;
        ret->tag_exposers += tag->local_exposers;
        ret->link_exposers += tag->expose_shares;
    }
    ret->capacity = object->capacity;
    ret->upstream_stream = upstream && upstream->in.phase == HKB_CHANNEL_OPEN;
    ret->upstream_sink = upstream && upstream->out.phase == HKB_CHANNEL_OPEN;
}

static hakuban_status name_of_tag(const hkb_tag *tag, hakuban_descriptor **ret)
{
    return hkb_descriptor_new(tag->exchange->alloc, (hakuban_slice){tag->json, tag->json_bytes},
                              NULL, 0, ret, NULL);
}

hakuban_status hkb_tag_inspect(const hkb_tag *tag, hakuban_tag_info *ret)
{
    hakuban_tag_info info = {.number = tag->number,
                             .objects = tag->object_count,
                             .observers = tag->local_observers,
                             .exposers = tag->local_exposers,
                             .link_observers = tag->observe_shares,
                             .link_exposers = tag->expose_shares,
                             .capacity = tag->capacity};
    hakuban_status status = name_of_tag(tag, &info.tag);
    if (status < 0) {
        return status;
    }
    *ret = info;
    return HAKUBAN_OK;
}

hakuban_status hkb_contract_inspect(const hakuban_contract *contract, hakuban_contract_info *ret)
{
    hakuban_contract_info info = {.number = contract->number,
                                  .exposes = contract->kind == HKB_EXPOSE_OBJECT ||
                                             contract->kind == HKB_EXPOSE_TAG,
                                  .of_tag = contract->tag != NULL,
                                  .capacity = contract->capacity};
    hakuban_status status = HAKUBAN_OK;
    if (contract->tag) {
        status = name_of_tag(contract->tag, &info.subject);
    } else {
        info.subject = hakuban_descriptor_ref(contract->object->descriptor);
    }
    if (status >= 0) {
        *ret = info;
    }
    return status;
}

/* -- All as text -- */

void hkb_exchange_count(const hkb_exchange *exchange, hakuban_exchange_stats *ret)
{
    *ret = exchange->stats;
    ret->objects = exchange->objects.count;
    ret->tags = exchange->tags.count;
    ret->contracts = exchange->contract_count;
    ret->links = exchange->peer_count;
    ret->wire_bytes_in = exchange->shared.wire_bytes_in;
    ret->wire_bytes_out = exchange->shared.wire_bytes_out;
    ret->memory_bytes = hkb_exchange_held_bytes(exchange);
    ret->memory_bytes_max = exchange->bytes_max;
}

static hakuban_status line(hkb_buffer *out, const char *format, ...) HAKUBAN_PRINTF(2, 3);

static hakuban_status line(hkb_buffer *out, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (bytes < 0) {
        return HAKUBAN_OK;
    }
    return hkb_buffer_append(out, text, hkb_min((size_t)bytes, sizeof(text) - 1));
}

static hakuban_status describe_peer(const hkb_peer *peer, hkb_buffer *out)
{
    static const char *const phases[] = {"", "hello", "open", "leaving", "ended", "away"};
    char name[64];
    hkb_escape(name, sizeof(name), peer->link.peer_name, strlen(peer->link.peer_name));
    return line(out, "  %s \"%s\" %s, load %.2f, %llu bytes in, %llu bytes out\n",
                peer->link.connector ? "upstream" : "downstream", name, phases[peer->link.phase],
                peer->load, (unsigned long long)peer->link.received_bytes,
                (unsigned long long)peer->link.sent_bytes);
}

static hakuban_status describe_object(const hkb_object *object, hkb_buffer *out)
{
    static const char *const exposer[] = {"none", "local", "upstream", "downstream"};
    hakuban_status status =
        line(out, "  %.200s %s%s, %zu bytes, exposed by %s", object->descriptor->text,
             object->exists ? "" : "ending, ",
             hakuban_freshness_text((hakuban_freshness)object->freshness),
             object->state ? object->state->data_bytes : 0, exposer[object->assigned.to]);
    if (status >= 0 && object->assigned.to == HKB_DOWNSTREAM) {
        const char *name = object->assigned.share->peer->link.peer_name;
        char escaped[64];
        status = line(out, " \"%s\"", hkb_escape(escaped, sizeof(escaped), name, strlen(name)));
    }
    if (status >= 0) {
        status = line(out, ", %u observing downstreams, version", (unsigned)object->observing);
    }
    for (size_t i = 0; status >= 0 && object->state && i < object->state->version_count; i++) {
        status = line(out, "%s%lld", i ? "," : " ", (long long)object->state->version[i]);
    }
    status = status >= 0 ? line(out, ", tags") : status;
    for (size_t i = 0; status >= 0 && i < object->tag_count; i++) {
        status = line(out, " %.200s", object->tags[i].tag->json);
    }
    return status >= 0 ? line(out, "\n") : status;
}

hakuban_status hkb_exchange_describe(hkb_exchange *exchange, hkb_buffer *out)
{
    hakuban_status status = line(out, "exchange: %zu objects, %zu tags, %zu contracts, %zu links\n",
                                 exchange->objects.count, exchange->tags.count,
                                 exchange->contract_count, exchange->peer_count);
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        if (status >= 0) {
            status = describe_peer(peer, out);
        }
    }
    void *found[DESCRIBED];
    uint64_t place = 0;
    for (size_t count = DESCRIBED; status >= 0 && count > 0;) {
        count = hkb_map_scan(&exchange->objects, &place, found, DESCRIBED);
        for (size_t i = 0; status >= 0 && i < count; i++) {
            status = describe_object(found[i], out);
        }
    }
    return status;
}
