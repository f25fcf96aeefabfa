/* One state of an object: data, the names of its encodings, a version. Immutable and
 * reference-counted; fan-out shares it. */
#ifndef HAKUBAN_STATE_H
#define HAKUBAN_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "alloc.h"
#include "bytes.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_STATE_BYTES_MAX (64u * 1024 * 1024)
#define HAKUBAN_VERSION_ELEMENTS_MAX 16
#define HAKUBAN_FORMAT_NAMES_MAX 16
#define HAKUBAN_FORMAT_BYTES_MAX 255 /* all names together, one byte more for each */
#define HAKUBAN_FORMAT_ERROR "ERROR" /* the only name of an error's format */

typedef struct hakuban_state hakuban_state;

/* How much a held state is worth. */
typedef enum hakuban_freshness {
    HAKUBAN_NEVER = 0, /* there was none yet */
    HAKUBAN_LIVE = 1,  /* an exposer says now that it is current */
    HAKUBAN_STALE = 2, /* it was current a known time ago */
} hakuban_freshness;

/* Where states of an object come from. */
typedef enum hakuban_source {
    HAKUBAN_SOURCE_NONE = 0,     /* no exposer is assigned */
    HAKUBAN_SOURCE_ASSIGNED = 1, /* one is */
    HAKUBAN_SOURCE_AWAY = 2, /* one is, and its link is in its grace time: hakuban_contract_peek()
                                says so, no event does */
} hakuban_source;

/**
 * What a freshness is called: "live", "stale".
 *
 * @return static text; "unknown" for a value that is none
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_freshness_text(hakuban_freshness freshness);

/**
 * What a source is called: "assigned", "away".
 *
 * @return static text; "unknown" for a value that is none
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_source_text(hakuban_source source);

/* The parts of a state. Zero it, then set what is known. */
typedef struct hakuban_state_parts {
    const void *data; /* copied; any bytes */
    size_t data_bytes;
    const char *const *format; /* copied; names of the encodings, innermost first, e.g. {"JSON"} */
    size_t format_count;
    const int64_t *version; /* copied; NULL: the sink chooses one greater than all before */
    size_t version_count;   /* with a version: 1 to HAKUBAN_VERSION_ELEMENTS_MAX */
} hakuban_state_parts;

/**
 * hakuban_state_new() for a struct of parts_bytes.
 *
 * @param parts_bytes  sizeof(hakuban_state_parts) of the header that the caller was written with
 * @return as hakuban_state_new(); ERR_UNSUPPORTED: a part that this library does not know is set
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_state_new_sized(const hakuban_alloc *alloc, const hakuban_state_parts *parts,
                        size_t parts_bytes, hakuban_state **ret);

/**
 * A state of given parts.
 *
 * @param alloc  borrowed until the last unref; NULL: the default
 * @param parts  borrowed for the call
 * @param ret    owned; end with hakuban_state_unref()
 * @return OK, ERR_ARGUMENT (also: a name that is not UTF-8, a count without its array or the other
 * way round), ERR_LIMIT (data over HAKUBAN_STATE_BYTES_MAX, too many elements or names, names too
 * long), ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
static inline HAKUBAN_NODISCARD hakuban_status hakuban_state_new(const hakuban_alloc *alloc,
                                                                 const hakuban_state_parts *parts,
                                                                 hakuban_state **ret)
{
    return hakuban_state_new_sized(alloc, parts, sizeof(*parts), ret);
}

/**
 * A state of format ["JSON"] with an automatic version.
 *
 * The text is checked to be one JSON value and then kept byte for byte.
 *
 * @param json    copied; terminated
 * @param ret     owned; end with hakuban_state_unref()
 * @param reterr  where the text is wrong; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_PARSE, ERR_LIMIT (also: nested deeper than HAKUBAN_JSON_DEPTH_MAX),
 * ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_state_new_json(const char *json,
                                                                    hakuban_state **ret,
                                                                    hakuban_error *reterr);

/**
 * A state that says why there is no other: what an exposer answers where the object's name is a
 * query that it cannot answer. Its format is ["ERROR"], its version automatic.
 *
 * It is sent and observed as any state; the next good state replaces it.
 *
 * @param text    copied; terminated UTF-8, for people
 * @param ret     owned; end with hakuban_state_unref()
 * @return OK, ERR_ARGUMENT (also: not UTF-8), ERR_LIMIT, ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_state_new_error(const char *text,
                                                                     hakuban_state **ret);

/**
 * Whether a state is an error: then its data is the text, without a terminating zero, as its
 * exposer sent it. hakuban_printable() makes it safe to show.
 *
 * @return 1 or 0
 * @thread any
 * @since 0.1
 */
HAKUBAN_API int hakuban_state_is_error(const hakuban_state *state);

/**
 * One more owner.
 *
 * @return state, owned
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_state *hakuban_state_ref(hakuban_state *state);

/**
 * One owner less; the last one frees.
 *
 * @param state  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_state *hakuban_state_unref(hakuban_state *state);

/**
 * The data.
 *
 * @return borrowed until the last unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_slice hakuban_state_data(const hakuban_state *state);

/**
 * The version's elements.
 *
 * @param ret_count  how many; 0: automatic and not yet sent
 * @return borrowed until the last unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const int64_t *hakuban_state_version(const hakuban_state *state, size_t *ret_count);

/**
 * How many names the format has.
 *
 * @thread any
 * @since 0.1
 */
HAKUBAN_API size_t hakuban_state_format_count(const hakuban_state *state);

/**
 * One name of the format, innermost first.
 *
 * @return terminated, borrowed until the last unref; NULL for an index that is too great
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_state_format(const hakuban_state *state, size_t index);

/**
 * Compares versions: element by element, a prefix is smaller.
 *
 * @return negative, 0 or positive
 * @thread any
 * @since 0.1
 */
HAKUBAN_API int hakuban_version_compare(const int64_t *a, size_t a_count, const int64_t *b,
                                        size_t b_count);

#ifdef __cplusplus
}
#endif

#endif
