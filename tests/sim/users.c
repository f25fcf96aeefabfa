/* See users.h. */
#include "users.h"

#include <check.h>
#include <stdio.h>

static void copy_text(char *out, size_t out_bytes, const void *text, size_t bytes)
{
    bytes = hkb_min(bytes, out_bytes - 1);
    if (bytes) {
        memcpy(out, text, bytes);
    }
    out[bytes] = 0;
}

static unsigned long long seed_of(const net_contract *contract)
{
    return (unsigned long long)contract->node->network->seed;
}

/* -- Watching -- */

void watch_object(watcher *user, net_node *node, const char *object, const char *tag)
{
    memset(user, 0, sizeof(*user));
    user->contract = net_observe(node, object, tag);
}

void watch_tag(watcher *user, net_node *node, const char *tag)
{
    memset(user, 0, sizeof(*user));
    user->contract = net_observe_tag(node, tag);
}

static seen_object *seen(watcher *user, const char *name)
{
    for (size_t i = 0; i < user->count; i++) {
        if (strcmp(user->objects[i].name, name) == 0) {
            return &user->objects[i];
        }
    }
    return NULL;
}

static long long element(const hkb_version *version, size_t i)
{
    return i < version->count ? (long long)version->elements[i] : -1;
}

static void see_state(watcher *user, seen_object *object, const hakuban_event *event)
{
    hakuban_slice data = hakuban_state_data(event->state);
    hkb_version version = hkb_state_version(event->state);
    int order = hkb_version_compare(&version, &object->version);
    ck_assert_msg(event->kind == HAKUBAN_EVENT_CONDITION ? order == 0 : order > 0,
                  "%s: an observer saw %lld,%lld,%lld after %lld,%lld,%lld, \"%.40s\" after \"%s\" "
                  "(seed %llu)",
                  object->name, element(&version, 1), element(&version, 2), element(&version, 3),
                  element(&object->version, 1), element(&object->version, 2),
                  element(&object->version, 3), (const char *)data.data, object->text,
                  seed_of(&user->contract));
    object->version = version;
    object->bytes = data.bytes;
    copy_text(object->text, sizeof(object->text), data.data, data.bytes);
}

static void see(watcher *user, const hakuban_event *event)
{
    if (event->kind == HAKUBAN_EVENT_LISTED) {
        user->listed = true;
        return;
    }
    if (event->kind == HAKUBAN_EVENT_COMPLETE) {
        ck_assert(user->listed && !user->complete);
        user->complete = true;
        return;
    }
    const char *name = hakuban_descriptor_json(event->object);
    seen_object *object = seen(user, name);
    if (!object) {
        ck_assert_uint_lt(user->count, USER_OBJECTS_MAX);
        object = &user->objects[user->count++];
        copy_text(object->name, sizeof(object->name), name, strlen(name));
    }
    ck_assert_msg(object->open == (event->kind != HAKUBAN_EVENT_OPEN),
                  "%s: events out of order (seed %llu)", name, seed_of(&user->contract));
    object->freshness = event->freshness;
    object->source = event->source;
    object->age_ns = event->age_ns;
    switch ((int)event->kind) {
    case HAKUBAN_EVENT_OPEN:
        object->open = true;
        object->opens++;
        break;
    case HAKUBAN_EVENT_STATE:
        object->states++;
        see_state(user, object, event);
        break;
    case HAKUBAN_EVENT_CONDITION:
        object->conditions++;
        if (event->state && object->version.count) {
            see_state(user, object, event);
        }
        break;
    case HAKUBAN_EVENT_CLOSE:
        object->open = false;
        object->closes++;
        object->version.count = 0; /* what comes after it is another life */
        break;
    default:
        ck_abort_msg("an observer got an exposer's event");
    }
}

void watch(watcher *user)
{
    hakuban_event event;
    while (net_next(&user->contract, &event)) {
        see(user, &event);
        hkb_event_done(&event);
    }
}

const seen_object *watched(watcher *user, const char *object)
{
    watch(user);
    return seen(user, object);
}

void watch_end(watcher *user)
{
    net_end(&user->contract);
}

/* -- Exposing -- */

void expose_object(exposer *user, net_node *node, const char *object, const char *tag,
                   uint32_t capacity)
{
    memset(user, 0, sizeof(*user));
    user->contract = net_expose(node, object, tag, capacity);
}

void expose_tag(exposer *user, net_node *node, const char *tag, uint32_t capacity)
{
    memset(user, 0, sizeof(*user));
    user->contract = net_expose_tag(node, tag, capacity);
}

exposed_object *exposed(exposer *user, const char *object)
{
    expose_turn(user);
    for (size_t i = 0; i < user->count; i++) {
        if (strcmp(user->objects[i].name, object) == 0) {
            return &user->objects[i];
        }
    }
    return NULL;
}

static exposed_object *own(exposer *user, const char *name)
{
    for (size_t i = 0; i < user->count; i++) {
        if (strcmp(user->objects[i].name, name) == 0) {
            return &user->objects[i];
        }
    }
    ck_assert_uint_lt(user->count, USER_OBJECTS_MAX);
    exposed_object *object = &user->objects[user->count++];
    copy_text(object->name, sizeof(object->name), name, strlen(name));
    return object;
}

static void send_text(exposer *user, exposed_object *object)
{
    if (!user->text[0] || !object->sink) {
        return;
    }
    hakuban_status status = net_send(user->contract.node, object->sink, user->text);
    if (status == HAKUBAN_OK) {
        copy_text(object->sent, sizeof(object->sent), user->text, strlen(user->text));
    } else {
        ck_assert_int_eq(status, HAKUBAN_ERR_REVOKED);
    }
}

static void drop_sink(exposer *user, exposed_object *object)
{
    if (!object->sink) {
        return;
    }
    net_enter(user->contract.node);
    hkb_sink_unref(object->sink);
    object->sink = NULL;
    user->open_count--;
}

void expose_turn(exposer *user)
{
    hakuban_event event;
    while (net_next(&user->contract, &event)) {
        exposed_object *object = own(user, hakuban_descriptor_json(event.object));
        switch ((int)event.kind) {
        case HAKUBAN_EVENT_SINK_OPEN:
            ck_assert_ptr_null(object->sink);
            object->opens++;
            object->sink = event.sink;
            hkb_sink_ref(event.sink);
            user->open_count++;
            object->floor.count = event.version_count;
            if (event.version_count) {
                memcpy(object->floor.elements, event.version,
                       event.version_count * sizeof(event.version[0]));
            }
            send_text(user, object);
            break;
        case HAKUBAN_EVENT_FLOOR:
            object->floors++;
            break;
        case HAKUBAN_EVENT_SINK_CLOSE:
            ck_assert_ptr_eq(object->sink, event.sink);
            object->closes++;
            drop_sink(user, object);
            break;
        default:
            ck_abort_msg("an exposer got an observer's event");
        }
        hkb_event_done(&event);
    }
}

void expose(exposer *user, const char *text)
{
    copy_text(user->text, sizeof(user->text), text, strlen(text));
    expose_turn(user);
    for (size_t i = 0; i < user->count; i++) {
        send_text(user, &user->objects[i]);
    }
}

void expose_end(exposer *user)
{
    for (size_t i = 0; i < user->count; i++) {
        drop_sink(user, &user->objects[i]);
    }
    net_end(&user->contract);
}

void play_users(net *network, exposer *one, exposer *two, exposer *three)
{
    exposer *all[] = {one, two, three};
    for (int i = 0; i < 4; i++) {
        net_quiet(network);
        for (int k = 0; k < 3; k++) {
            if (all[k]) {
                expose_turn(all[k]);
            }
        }
    }
    net_quiet(network);
}

void assert_watched(watcher *user, const char *object, const char *text,
                    hakuban_freshness freshness)
{
    const seen_object *shown = watched(user, object);
    ck_assert_ptr_nonnull(shown);
    ck_assert(shown->open);
    ck_assert_str_eq(shown->text, text);
    ck_assert_int_eq(shown->freshness, freshness);
}
