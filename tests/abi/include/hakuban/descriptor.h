/* The name of an object: one JSON value and a set of tags, each a JSON value. Equal names are equal
 * bytes in canonical form: keys sorted by UTF-8 bytes, the last of equal keys, no white space,
 * integers as integers, other numbers as doubles with the fewest digits that read back (1 and 1.0
 * differ). The same JSON with other tags is another object. */
#ifndef HAKUBAN_DESCRIPTOR_H
#define HAKUBAN_DESCRIPTOR_H

#include <stddef.h>

#include "alloc.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_DESCRIPTOR_BYTES_MAX 4096 /* canonical object and tags together */
#define HAKUBAN_DESCRIPTOR_TAGS_MAX 64
#define HAKUBAN_JSON_DEPTH_MAX 127

/* Immutable and reference-counted. */
typedef struct hakuban_descriptor hakuban_descriptor;

/**
 * Reads an object's name from JSON texts.
 *
 * @param alloc        borrowed until the last unref; NULL: the default
 * @param object_json  copied; terminated text of one JSON value
 * @param tags_json    copied; tag_count terminated texts of one JSON value each; equal ones count
 * once; NULL if tag_count is 0
 * @param tag_count    at most HAKUBAN_DESCRIPTOR_TAGS_MAX
 * @param ret          owned; end with hakuban_descriptor_unref()
 * @param reterr       says which text is wrong, with line and column; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_PARSE, ERR_LIMIT (too long, too many tags, nested deeper than
 * HAKUBAN_JSON_DEPTH_MAX), ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_descriptor_new(
    const hakuban_alloc *alloc, const char *object_json, const char *const *tags_json,
    size_t tag_count, hakuban_descriptor **ret, hakuban_error *reterr);

/**
 * One more owner.
 *
 * @return descriptor, owned
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_descriptor *hakuban_descriptor_ref(hakuban_descriptor *descriptor);

/**
 * One owner less; the last one frees.
 *
 * @param descriptor  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_descriptor *hakuban_descriptor_unref(hakuban_descriptor *descriptor);

/**
 * The object's JSON in canonical form.
 *
 * @return terminated, borrowed until the last unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_descriptor_json(const hakuban_descriptor *descriptor);

/**
 * How many different tags there are.
 *
 * @thread any
 * @since 0.1
 */
HAKUBAN_API size_t hakuban_descriptor_tag_count(const hakuban_descriptor *descriptor);

/**
 * One tag in canonical form. Tags are in the order of their bytes.
 *
 * @param index  below hakuban_descriptor_tag_count()
 * @return terminated, borrowed until the last unref; NULL for an index that is too great
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_descriptor_tag(const hakuban_descriptor *descriptor, size_t index);

/**
 * Whether both name the same object.
 *
 * @return 1 or 0
 * @thread any
 * @since 0.1
 */
HAKUBAN_API int hakuban_descriptor_equal(const hakuban_descriptor *a, const hakuban_descriptor *b);

#ifdef __cplusplus
}
#endif

#endif
