/* Public inspection: the core's walks with the mutex around each slice, and what only the runtime
 * knows of a carrier. */
#include <stdio.h>

#include "runtime/runtime.h"

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
        (void)snprintf(ret->address, sizeof(ret->address), "%s", carrier->address);
    }
}

hakuban_status hakuban_inspect_links(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                     hakuban_link_info *ret, size_t room, size_t *ret_count)
{
    hkb_peer *peers[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_links(exchange->core, cursor, peers, room);
    for (size_t i = 0; i < count; i++) {
        hkb_link_inspect(peers[i], &ret[i]);
    }
    hkb_runtime_leave(exchange);
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_objects(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                       hakuban_object_info *ret, size_t room, size_t *ret_count)
{
    hkb_object *objects[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_objects(exchange->core, cursor, objects, room);
    for (size_t i = 0; i < count; i++) {
        hkb_object_inspect(objects[i], &ret[i]);
    }
    hkb_runtime_leave(exchange);
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_object(hakuban_exchange *exchange,
                                      const hakuban_descriptor *descriptor,
                                      hakuban_object_info *ret)
{
    if (!exchange || !descriptor || !ret) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    const hkb_object *object = hkb_object_find(exchange->core, descriptor);
    if (object) {
        hkb_object_inspect(object, ret);
    }
    hkb_runtime_leave(exchange);
    return object ? HAKUBAN_OK : HAKUBAN_ERR_NOT_FOUND;
}

hakuban_status hakuban_inspect_object_links(hakuban_exchange *exchange,
                                            const hakuban_descriptor *descriptor,
                                            hakuban_cursor *cursor, hakuban_object_link_info *ret,
                                            size_t room, size_t *ret_count)
{
    if (!may_walk(exchange, cursor, ret, room, ret_count) || !descriptor) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hkb_runtime_enter(exchange);
    const hkb_object *object = hkb_object_find(exchange->core, descriptor);
    if (object) {
        *ret_count = hkb_inspect_object_links(object, cursor, ret, room);
    }
    hkb_runtime_leave(exchange);
    return object ? HAKUBAN_OK : HAKUBAN_ERR_NOT_FOUND;
}

hakuban_status hakuban_inspect_tags(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                    hakuban_tag_info *ret, size_t room, size_t *ret_count)
{
    hkb_tag *tags[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_cursor before = *cursor;
    hakuban_status status = HAKUBAN_OK;
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_tags(exchange->core, cursor, tags, room), done = 0;
    while (done < count && status >= 0) {
        status = hkb_tag_inspect(tags[done], &ret[done]);
        done += status >= 0;
    }
    hkb_runtime_leave(exchange);
    if (status < 0) {
        hakuban_tag_info_done(ret, done);
        *cursor = before;
        return status;
    }
    *ret_count = count;
    return HAKUBAN_OK;
}

hakuban_status hakuban_inspect_tag_links(hakuban_exchange *exchange, const hakuban_descriptor *name,
                                         hakuban_cursor *cursor, hakuban_tag_link_info *ret,
                                         size_t room, size_t *ret_count)
{
    if (!may_walk(exchange, cursor, ret, room, ret_count) || !name) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    const char *json = hakuban_descriptor_json(name);
    hkb_runtime_enter(exchange);
    const hkb_tag *tag = hkb_tag_find(exchange->core, (hakuban_slice){json, strlen(json)});
    if (tag) {
        *ret_count = hkb_inspect_tag_links(tag, cursor, ret, room);
    }
    hkb_runtime_leave(exchange);
    return tag ? HAKUBAN_OK : HAKUBAN_ERR_NOT_FOUND;
}

hakuban_status hakuban_inspect_contracts(hakuban_exchange *exchange, hakuban_cursor *cursor,
                                         hakuban_contract_info *ret, size_t room, size_t *ret_count)
{
    hakuban_contract *contracts[HAKUBAN_INSPECT_ROOM_MAX];
    if (!may_walk(exchange, cursor, ret, room, ret_count)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_cursor before = *cursor;
    hakuban_status status = HAKUBAN_OK;
    hkb_runtime_enter(exchange);
    size_t count = hkb_inspect_contracts(exchange->core, cursor, contracts, room), done = 0;
    while (done < count && status >= 0) {
        status = hkb_contract_inspect(contracts[done], &ret[done]);
        done += status >= 0;
    }
    hkb_runtime_leave(exchange);
    if (status < 0) {
        hakuban_contract_info_done(ret, done);
        *cursor = before;
        return status;
    }
    *ret_count = count;
    return HAKUBAN_OK;
}

void hakuban_object_info_done(hakuban_object_info *infos, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        infos[i].object = hakuban_descriptor_unref(infos[i].object);
        infos[i].state = hakuban_state_unref(infos[i].state);
    }
}

void hakuban_tag_info_done(hakuban_tag_info *infos, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        infos[i].tag = hakuban_descriptor_unref(infos[i].tag);
    }
}

void hakuban_contract_info_done(hakuban_contract_info *infos, size_t count)
{
    for (size_t i = 0; infos && i < count; i++) {
        infos[i].subject = hakuban_descriptor_unref(infos[i].subject);
    }
}
