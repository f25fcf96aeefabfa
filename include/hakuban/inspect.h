/* Looking into an exchange: its links, objects, tags and contracts as plain structs, in slices.
 *
 * A walk goes on with a cursor while the exchange changes; each call holds the exchange for one
 * slice only. What is there from the beginning of a walk to its end is told (an object or tag
 * perhaps twice), what comes or goes meanwhile perhaps not. Objects and tags come in no order,
 * links and contracts in the order in which they began. hakuban_exchange_publish_stats() makes
 * objects of it. */
#ifndef HAKUBAN_INSPECT_H
#define HAKUBAN_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include "queue.h"
#include "state.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_INSPECT_ROOM_MIN 16
#define HAKUBAN_INSPECT_ROOM_MAX 1024

/* Where a walk is. Zero it to begin; use it with one function and one exchange. It holds nothing.
 */
typedef struct hakuban_cursor {
    uint64_t place[2];
} hakuban_cursor;

typedef enum hakuban_link_phase {
    HAKUBAN_LINK_HELLO = 1, /* the other side has not said hello yet */
    HAKUBAN_LINK_OPEN = 2,
    HAKUBAN_LINK_LEAVING = 3, /* it ends in order */
    HAKUBAN_LINK_ENDED = 4,
    HAKUBAN_LINK_AWAY = 5, /* its connection was lost, within the grace time */
} hakuban_link_phase;

/* One link. Texts are terminated, and "" as long as they are not known. */
typedef struct hakuban_link_info {
    uint64_t number; /* counts the links of its direction, from 0 */
    int upstream;    /* 1: towards the root; 0: a downstream */
    hakuban_link_phase phase;
    char name[256];     /* the other side's, UTF-8 */
    char own_name[256]; /* what this side calls itself there */
    char address[64];   /* of a downstream, as its transport says it: "127.0.0.1:41234" */
    char serializer[36], compressor[36];
    double load;       /* downstream: sum of 1/capacity over the objects that it has from here */
    double load_limit; /* downstream: its load may grow up to this now; infinity: no limit */
    uint64_t bytes_in,
        bytes_out;     /* frames of the session so far, without acknowledgements and keep-alive */
    uint64_t age_ns;   /* since the hello was accepted; 0 before */
    uint64_t quiet_ns; /* since the last byte came */
    uint64_t memory_bytes;  /* what it makes this exchange keep */
    uint64_t sending_bytes; /* of states that go to it in parts; others may share them */
    /* What the other side of its connection has proven to be: "cert" and a name of its verified
     * certificate (the first URI, else the first DNS name), "uid" and the number of the user behind
     * a Unix socket, "anonymous" and ""; both "" without a connection. ASCII, or UTF-8 where a
     * plugin says so. */
    char principal_kind[16], principal[256];
} hakuban_link_info;

/* Which exposer has an object's sink. */
typedef enum hakuban_exposer_kind {
    HAKUBAN_EXPOSER_NONE = 0,
    HAKUBAN_EXPOSER_LOCAL = 1, /* a contract of this exchange */
    HAKUBAN_EXPOSER_UPSTREAM = 2,
    HAKUBAN_EXPOSER_DOWNSTREAM = 3,
} hakuban_exposer_kind;

/* One object. End with hakuban_object_info_done(). */
typedef struct hakuban_object_info {
    uint64_t number;            /* counts the exchange's objects, from 0, modulo 2^32 */
    hakuban_descriptor *object; /* owned */
    hakuban_state *state;       /* owned; the newest: size, version, format; NULL: none yet */
    int exists; /* there is a contract on it, here or on a downstream; 0: it is about to go */
    int needed; /* its states are wanted, here or on a downstream */
    hakuban_freshness freshness;
    hakuban_source source;
    uint64_t age_ns; /* STALE: since when it is not known to be current */
    hakuban_exposer_kind exposer;
    uint64_t exposer_number;              /* of the link; LOCAL: of the contract */
    int exposer_by_tag;                   /* LOCAL: the contract is on a tag */
    char exposer_name[64];                /* of the link, UTF-8, cut if need be */
    double cost;                          /* DOWNSTREAM: what it adds to the link's load */
    int handing_over;                     /* the exposer before has not let go yet */
    uint32_t observers, exposers;         /* contracts of this exchange on the object itself */
    uint32_t tag_observers, tag_exposers; /* contracts of this exchange on its tags */
    uint32_t link_observers;              /* downstreams that observe it, by itself or by a tag */
    uint32_t link_exposers; /* offers of downstreams, on itself and on each of its tags */
    uint64_t capacity;      /* of all contracts and downstreams on the object itself */
    int upstream_stream, upstream_sink; /* the upstream sends its states here; has them from here */
} hakuban_object_info;

/* What one downstream has to do with one object. */
typedef struct hakuban_object_link_info {
    uint64_t number;                      /* of the link */
    int observes, exposes;                /* the object itself */
    uint32_t capacity;                    /* there */
    uint32_t tag_observers, tag_exposers; /* how many of its tags */
    int stream, sink;                     /* it has the states from here; gives them */
} hakuban_object_link_info;

/* One tag. End with hakuban_tag_info_done(). */
typedef struct hakuban_tag_info {
    uint64_t number;         /* counts the exchange's tags, from 0, modulo 2^32 */
    hakuban_descriptor *tag; /* owned; its JSON is the tag's */
    uint64_t objects;
    uint32_t observers, exposers;           /* contracts of this exchange */
    uint32_t link_observers, link_exposers; /* downstreams */
    uint64_t capacity;                      /* of all contracts and downstreams */
} hakuban_tag_info;

/* What one downstream has registered on one tag. */
typedef struct hakuban_tag_link_info {
    uint64_t number; /* of the link */
    int observes, exposes;
    uint32_t capacity;
} hakuban_tag_link_info;

/* One contract. End with hakuban_contract_info_done(). */
typedef struct hakuban_contract_info {
    uint64_t number;             /* counts the exchange's contracts, from 0 */
    int exposes;                 /* 0: it observes, or preloads */
    int of_tag;                  /* 0: it is on an object */
    hakuban_descriptor *subject; /* owned; of a tag: its JSON is the tag's */
    uint32_t capacity;
} hakuban_contract_info;

/**
 * hakuban_inspect_links() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_links(); ERR_ARGUMENT also where info_bytes is below the size in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_links_sized(
    hakuban_exchange *exchange, hakuban_cursor *cursor, hakuban_link_info *ret, size_t info_bytes,
    size_t room, size_t *ret_count);

/**
 * The next links.
 *
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_links(hakuban_exchange *exchange,
                                                                     hakuban_cursor *cursor,
                                                                     hakuban_link_info *ret,
                                                                     size_t room, size_t *ret_count)
{
    return hakuban_inspect_links_sized(exchange, cursor, ret, sizeof(*ret), room, ret_count);
}

/**
 * hakuban_inspect_objects() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_objects(); ERR_ARGUMENT also where info_bytes is below the size in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_objects_sized(
    hakuban_exchange *exchange, hakuban_cursor *cursor, hakuban_object_info *ret, size_t info_bytes,
    size_t room, size_t *ret_count);

/**
 * The next objects.
 *
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs; owned: end with hakuban_object_info_done()
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_objects(hakuban_exchange *exchange,
                                                                       hakuban_cursor *cursor,
                                                                       hakuban_object_info *ret,
                                                                       size_t room,
                                                                       size_t *ret_count)
{
    return hakuban_inspect_objects_sized(exchange, cursor, ret, sizeof(*ret), room, ret_count);
}

/**
 * hakuban_inspect_object() for a struct of info_bytes.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_object(); ERR_ARGUMENT also where info_bytes is below the size in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_inspect_object_sized(hakuban_exchange *exchange, const hakuban_descriptor *object,
                             hakuban_object_info *ret, size_t info_bytes);

/**
 * One object by its name.
 *
 * @param object  borrowed for the call
 * @param ret     owned; end with hakuban_object_info_done()
 * @return OK, ERR_NOT_FOUND, ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_object(
    hakuban_exchange *exchange, const hakuban_descriptor *object, hakuban_object_info *ret)
{
    return hakuban_inspect_object_sized(exchange, object, ret, sizeof(*ret));
}

/**
 * hakuban_inspect_object_links() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_object_links(); ERR_ARGUMENT also where info_bytes is below the size
 * in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_object_links_sized(
    hakuban_exchange *exchange, const hakuban_descriptor *object, hakuban_cursor *cursor,
    hakuban_object_link_info *ret, size_t info_bytes, size_t room, size_t *ret_count);

/**
 * The next downstreams that have to do with an object.
 *
 * @param object     borrowed for the call
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_NOT_FOUND (the object is not there any more), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_object_links(
    hakuban_exchange *exchange, const hakuban_descriptor *object, hakuban_cursor *cursor,
    hakuban_object_link_info *ret, size_t room, size_t *ret_count)
{
    return hakuban_inspect_object_links_sized(exchange, object, cursor, ret, sizeof(*ret), room,
                                              ret_count);
}

/**
 * hakuban_inspect_tags() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_tags(); ERR_ARGUMENT also where info_bytes is below the size in 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_tags_sized(
    hakuban_exchange *exchange, hakuban_cursor *cursor, hakuban_tag_info *ret, size_t info_bytes,
    size_t room, size_t *ret_count);

/**
 * The next tags.
 *
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs; owned: end with hakuban_tag_info_done()
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_NO_MEMORY (the cursor is where it was), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_tags(hakuban_exchange *exchange,
                                                                    hakuban_cursor *cursor,
                                                                    hakuban_tag_info *ret,
                                                                    size_t room, size_t *ret_count)
{
    return hakuban_inspect_tags_sized(exchange, cursor, ret, sizeof(*ret), room, ret_count);
}

/**
 * hakuban_inspect_tag_links() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_tag_links(); ERR_ARGUMENT also where info_bytes is below the size in
 * 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_tag_links_sized(
    hakuban_exchange *exchange, const hakuban_descriptor *tag, hakuban_cursor *cursor,
    hakuban_tag_link_info *ret, size_t info_bytes, size_t room, size_t *ret_count);

/**
 * The next downstreams that have to do with a tag.
 *
 * @param tag        borrowed for the call: a descriptor whose JSON is the tag's, as in
 * hakuban_tag_info
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_NOT_FOUND (the tag is not there any more), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_tag_links(
    hakuban_exchange *exchange, const hakuban_descriptor *tag, hakuban_cursor *cursor,
    hakuban_tag_link_info *ret, size_t room, size_t *ret_count)
{
    return hakuban_inspect_tag_links_sized(exchange, tag, cursor, ret, sizeof(*ret), room,
                                           ret_count);
}

/**
 * hakuban_inspect_contracts() for structs of info_bytes each.
 *
 * @param info_bytes  the size of the struct in the header that the caller was written with
 * @return as hakuban_inspect_contracts(); ERR_ARGUMENT also where info_bytes is below the size in
 * 0.1
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_inspect_contracts_sized(
    hakuban_exchange *exchange, hakuban_cursor *cursor, hakuban_contract_info *ret,
    size_t info_bytes, size_t room, size_t *ret_count);

/**
 * The next contracts.
 *
 * Each call passes by all contracts before the cursor: a walk over very many of them is not for
 * every second.
 *
 * @param cursor     where the walk is; moved on
 * @param ret        room for room structs; owned: end with hakuban_contract_info_done()
 * @param room       HAKUBAN_INSPECT_ROOM_MIN to HAKUBAN_INSPECT_ROOM_MAX
 * @param ret_count  how many were filled in; 0: the walk has ended
 * @return OK, ERR_NO_MEMORY (the cursor is where it was), ERR_ARGUMENT
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_inspect_contracts(hakuban_exchange *exchange,
                                                                         hakuban_cursor *cursor,
                                                                         hakuban_contract_info *ret,
                                                                         size_t room,
                                                                         size_t *ret_count)
{
    return hakuban_inspect_contracts_sized(exchange, cursor, ret, sizeof(*ret), room, ret_count);
}

/**
 * hakuban_object_info_done() for structs of info_bytes each.
 *
 * @param info_bytes  as given to the call that filled them in
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_object_info_done_sized(hakuban_object_info *infos, size_t info_bytes,
                                                size_t count);

/**
 * Lets go of what the structs hold.
 *
 * @param infos  count structs that were filled in; emptied
 * @thread any
 * @since 0.1
 */
static inline void hakuban_object_info_done(hakuban_object_info *infos, size_t count)
{
    hakuban_object_info_done_sized(infos, sizeof(*infos), count);
}

/**
 * hakuban_tag_info_done() for structs of info_bytes each.
 *
 * @param info_bytes  as given to the call that filled them in
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_tag_info_done_sized(hakuban_tag_info *infos, size_t info_bytes,
                                             size_t count);

/**
 * Lets go of what the structs hold.
 *
 * @param infos  count structs that were filled in; emptied
 * @thread any
 * @since 0.1
 */
static inline void hakuban_tag_info_done(hakuban_tag_info *infos, size_t count)
{
    hakuban_tag_info_done_sized(infos, sizeof(*infos), count);
}

/**
 * hakuban_contract_info_done() for structs of info_bytes each.
 *
 * @param info_bytes  as given to the call that filled them in
 * @thread any
 * @since 0.1
 */
HAKUBAN_API void hakuban_contract_info_done_sized(hakuban_contract_info *infos, size_t info_bytes,
                                                  size_t count);

/**
 * Lets go of what the structs hold.
 *
 * @param infos  count structs that were filled in; emptied
 * @thread any
 * @since 0.1
 */
static inline void hakuban_contract_info_done(hakuban_contract_info *infos, size_t count)
{
    hakuban_contract_info_done_sized(infos, sizeof(*infos), count);
}

/* -- Statistics as objects -- */

#define HAKUBAN_STATS_SUBJECTS_MAX 10000 /* by default */

/* Publishes statistics of an exchange as objects in it. */
typedef struct hakuban_publisher hakuban_publisher;

/* Zero it, set size, then what is wanted. */
typedef struct hakuban_stats_options {
    uint32_t size;         /* sizeof(hakuban_stats_options) */
    uint32_t subjects_max; /* links and objects that are described while all are observed; 0:
                              HAKUBAN_STATS_SUBJECTS_MAX */
    const char *name; /* of the exchange, UTF-8, 1 to 64 bytes, different from all others in the
                         tree; NULL: random digits */
} hakuban_stats_options;

/**
 * Describes an exchange by objects in it: itself, each link, each object and its exposer.
 * docs/introspection.md has their names and fields.
 *
 * They carry two tags: the given one, and {"statistics":NAME} of this exchange alone. A program
 * that reaches the exchange may observe them, each by its name or all by a tag. Two are always
 * there, the rest while "subjects" or one of the tags is observed. A state is made only while its
 * object is observed, at once and then at most once a second, if it changed. Objects that carry a
 * {"statistics":…} tag are not described.
 *
 * @param exchange  borrowed until hakuban_publisher_free()
 * @param tag_json  copied; terminated text of one JSON value
 * @param options   borrowed for the call; NULL: all defaults
 * @param ret       owned; end with hakuban_publisher_free()
 * @param reterr    what is wrong with the text; may be NULL
 * @return OK, ERR_ARGUMENT (also: a name that is too long or not UTF-8), ERR_PARSE, ERR_LIMIT,
 * ERR_NO_MEMORY, ERR_CLOSED (hakuban_exchange_close() was called)
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_publish_stats(
    hakuban_exchange *exchange, const char *tag_json, const hakuban_stats_options *options,
    hakuban_publisher **ret, hakuban_error *reterr);

/**
 * Ends the statistics. Never blocks.
 *
 * @param publisher  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_publisher *hakuban_publisher_free(hakuban_publisher *publisher);

/**
 * What the exchange is called in its statistics.
 *
 * @return terminated, borrowed until hakuban_publisher_free()
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_publisher_name(const hakuban_publisher *publisher);

#ifdef __cplusplus
}
#endif

#endif
