/* Users in a simulated network: one that watches and remembers, one that exposes what it is told.
 * They check what must always hold: versions never go back, OPEN comes first, CLOSE last. */
#ifndef TESTS_SIM_USERS_H
#define TESTS_SIM_USERS_H

#include "network.h"

#define USER_OBJECTS_MAX 256

typedef struct seen_object {
    char name[64]; /* the object's JSON */
    bool open;
    char text[128]; /* the beginning of the last state */
    size_t bytes;
    hkb_version version;
    hakuban_freshness freshness;
    hakuban_source source;
    uint64_t age_ns;
    unsigned states, conditions, opens, closes;
} seen_object;

typedef struct watcher {
    net_contract contract;
    size_t count;
    seen_object objects[USER_OBJECTS_MAX];
    bool listed, complete;
} watcher;

void watch_object(watcher *user, net_node *node, const char *object, const char *tag);
void watch_tag(watcher *user, net_node *node, const char *tag);
/* Reads all events there are. */
void watch(watcher *user);
/* What is known of an object; NULL: nothing yet. Reads first. */
const seen_object *watched(watcher *user, const char *object);
void watch_end(watcher *user);

typedef struct exposed_object {
    char name[64];
    hakuban_sink *sink; /* while chosen */
    hkb_version floor;
    unsigned opens, closes, floors;
    char sent[128];
} exposed_object;

typedef struct exposer {
    net_contract contract;
    char text[128]; /* sent when a sink opens, and by expose(); "" for none */
    size_t count, open_count;
    exposed_object objects[USER_OBJECTS_MAX];
} exposer;

void expose_object(exposer *user, net_node *node, const char *object, const char *tag,
                   uint32_t capacity);
void expose_tag(exposer *user, net_node *node, const char *tag, uint32_t capacity);
/* Reads all events; answers SINK_OPEN with the text. */
void expose_turn(exposer *user);
/* Sends text to every open sink, and to those that open later. */
void expose(exposer *user, const char *text);
exposed_object *exposed(exposer *user, const char *object);
void expose_end(exposer *user);

/* Lets up to three exposers, of which any may be NULL, answer and everything arrive. */
void play_users(net *network, exposer *one, exposer *two, exposer *three);
/* The object is open to the watcher, with this state and freshness. */
void assert_watched(watcher *user, const char *object, const char *text,
                    hakuban_freshness freshness);

#endif
