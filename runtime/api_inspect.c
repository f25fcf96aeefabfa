/* Public inspection: the core's walks with the mutex around each slice, and what only the runtime
 * knows of a carrier. */
#include <stdio.h>

#include "runtime/runtime.h"

/* The structs end here in 0.1: a smaller one could not hold what its _done() lets go of. */
#define LINK_BYTES HKB_SIZED_END(hakuban_link_info, quiet_ns)
#define OBJECT_BYTES HKB_SIZED_END(hakuban_object_info, upstream_sink)
#define OBJECT_LINK_BYTES HKB_SIZED_END(hakuban_object_link_info, sink)
#define TAG_BYTES HKB_SIZED_END(hakuban_tag_info, capacity)
#define TAG_LINK_BYTES HKB_SIZED_END(hakuban_tag_link_info, capacity)
#define CONTRACT_BYTES HKB_SIZED_END(hakuban_contract_info, capacity)

/* The struct at index of an array whose structs have bytes each. */
static void *place(void *array, size_t bytes, size_t index)
{
    return (char *)array + bytes * index;
}

static bool may_walk(const hakuban_exchange *exchange, const hakuban_cursor *cursor,
                     const void *ret, size_t room, const size_t *ret_count)
{
    return exchange && cursor && ret && ret_count && room >= HAKUBAN_INSPECT_ROOM_MIN &&
           room <= HAKUBAN_INSPECT_ROOM_MAX;
}

void hkb_link_inspect(const hkb_peer *peer, hakuban_link_info *ret)
{
    const hakuban_carrier *carrier = hkb_peer_carrier(peer);
    hkb_peer_inspect(peer, ret);
    if (carrier) {
        const char *name, *kind = hkb_carrier_principal(carrier, &name);
        (void)snprintf(ret->address, sizeof(ret->address), "%s", carrier->address);
        (void)snprintf(ret->principal_kind, sizeof(ret->principal_kind), "%s", kind);
        (void)snprintf(ret->principal, sizeof(ret->principal), "%s", name);
    }
}

hakuban_status hakuban_inspect_links_sized(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                           hakuban_link_info *ret, size_t info_bytes, size_t room,
                                           size_t *ret_count)
{
    hkb_peer *peers[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || info_bytes < LINK_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_links(exchange->core, cursor, peers, room);
    for (size_t i = 0; i < count; i++) {
        hakuban_link_info info;
        hkb_link_inspect(peers[i], &info);
        hkb_sized_write(place(ret, info_bytes, i), info_bytes, &info, sizeof(info));
    }
    hkb_runtime_leave(exchange);
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_objects_sized(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                             hakuban_object_info *ret, size_t info_bytes,
                                             size_t room, size_t *ret_count)
{
    hkb_object *objects[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || info_bytes < OBJECT_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_objects(exchange->core, cursor, objects, room);
    for (size_t i = 0; i < count; i++) {
        hakuban_object_info info;
        hkb_object_inspect(objects[i], &info);
        hkb_sized_write(place(ret, info_bytes, i), info_bytes, &info, sizeof(info));
    }
    hkb_runtime_leave(exchange);
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_object_sized(hakuban_exchange *exchange,
                                            const hakuban_descriptor *descriptor,
                                            hakuban_object_info *ret, size_t info_bytes)
{
    if (!exchange || !descriptor || !ret || info_bytes < OBJECT_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    const hkb_object *object = hkb_object_find(exchange->core, descriptor);
    if (object) {
        hakuban_object_info info;
        hkb_object_inspect(object, &info);
        hkb_sized_write(ret, info_bytes, &info, sizeof(info));
    }
    hkb_runtime_leave(exchange);
    return object ? HAKUBAN_OK : HAKUBAN_ERR_NOT_FOUND;
}

/* Gives the structs of the core's walk to those of the caller. */
static void give_all(void *ret, size_t ret_bytes, const void *infos, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hkb_sized_write(place(ret, ret_bytes, i), ret_bytes, (const char *)infos + bytes * i,
                        bytes);
    }
}

hakuban_status hakuban_inspect_object_links_sized(hakuban_exchange *exchange,
                                                  const hakuban_descriptor *descriptor,
                                                  hakuban_cursor *cursor,
                                                  hakuban_object_link_info *ret, size_t info_bytes,
                                                  size_t room, size_t *ret_count)
{
    hakuban_object_link_info infos[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || !descriptor ||
        info_bytes < OBJECT_LINK_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    const hkb_object *object = hkb_object_find(exchange->core, descriptor);
    if (object) {
        *ret_count = hkb_inspect_object_links(object, cursor, infos, room);
    }
    hkb_runtime_leave(exchange);
    if (!object) {
        return HAKUBAN_ERR_NOT_FOUND;
    }
    give_all(ret, info_bytes, infos, sizeof(infos[0]), *ret_count);
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_tags_sized(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                          hakuban_tag_info *ret, size_t info_bytes, size_t room,
                                          size_t *ret_count)
{
    hkb_tag *tags[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || info_bytes < TAG_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_cursor before = *cursor;
    hakuban_status status = HAKUBAN_OK;
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_tags(exchange->core, cursor, tags, room), done = 0;
    while (done < count && status >= 0) {
        hakuban_tag_info info;
        status = hkb_tag_inspect(tags[done], &info);
        if (status >= 0) {
            hkb_sized_write(place(ret, info_bytes, done++), info_bytes, &info, sizeof(info));
        }
    }
    hkb_runtime_leave(exchange);
    if (status < 0) {
        hakuban_tag_info_done_sized(ret, info_bytes, done);
        *cursor = before;
        return status;
    }
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_tag_links_sized(hakuban_exchange *exchange,
                                               const hakuban_descriptor *name,
                                               hakuban_cursor *cursor, hakuban_tag_link_info *ret,
                                               size_t info_bytes, size_t room, size_t *ret_count)
{
    hakuban_tag_link_info infos[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || !name || info_bytes < TAG_LINK_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    const char *json = hakuban_descriptor_json(name);
    hkb_runtime_enter(exchange);
    const hkb_tag *tag = hkb_tag_find(exchange->core, (hakuban_slice){json, strlen(json)});
    if (tag) {
        *ret_count = hkb_inspect_tag_links(tag, cursor, infos, room);
    }
    hkb_runtime_leave(exchange);
    if (!tag) {
        return HAKUBAN_ERR_NOT_FOUND;
    }
    give_all(ret, info_bytes, infos, sizeof(infos[0]), *ret_count);
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_contracts_sized(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                               hakuban_contract_info *ret, size_t info_bytes,
                                               size_t room, size_t *ret_count)
{
    hakuban_contract *contracts[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count) || info_bytes < CONTRACT_BYTES) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_cursor before = *cursor;
    hakuban_status status = HAKUBAN_OK;
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_contracts(exchange->core, cursor, contracts, room), done = 0;
    while (done < count && status >= 0) {
        hakuban_contract_info info;
        status = hkb_contract_inspect(contracts[done], &info);
        if (status >= 0) {
            hkb_sized_write(place(ret, info_bytes, done++), info_bytes, &info, sizeof(info));
        }
    }
    hkb_runtime_leave(exchange);
    if (status < 0) {
        hakuban_contract_info_done_sized(ret, info_bytes, done);
        *cursor = before;
        return status;
    }
    *ret_count = count;
    return HAKUBAN_OK;
}

void hakuban_object_info_done_sized(hakuban_object_info *infos, size_t info_bytes, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        hakuban_object_info *info = place(infos, info_bytes, i);
        info->object = hakuban_descriptor_unref(info->object);
        info->state = hakuban_state_unref(info->state);
    }
}

void hakuban_tag_info_done_sized(hakuban_tag_info *infos, size_t info_bytes, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        hakuban_tag_info *info = place(infos, info_bytes, i);
        info->tag = hakuban_descriptor_unref(info->tag);
    }
}

void hakuban_contract_info_done_sized(hakuban_contract_info *infos, size_t info_bytes, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        hakuban_contract_info *info = place(infos, info_bytes, i);
        info->subject = hakuban_descriptor_unref(info->subject);
    }
}
