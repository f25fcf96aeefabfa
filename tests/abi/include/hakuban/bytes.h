/* Immutable, reference-counted bytes: what states and encoded differences are made of, shared
 * instead of copied. */
#ifndef HAKUBAN_BYTES_H
#define HAKUBAN_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "alloc.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hakuban_slice {
    const void *data;
    size_t bytes;
} hakuban_slice;

typedef struct hakuban_bytes hakuban_bytes;

/**
 * Bytes with the content of data.
 *
 * @param alloc      borrowed until the last unref; NULL: the default
 * @param data       copied; NULL only where bytes is 0
 * @param ret_bytes  owned; end with hakuban_bytes_unref()
 * @return OK, ERR_ARGUMENT, ERR_NO_MEMORY
 * @thread any
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_bytes_new(const hakuban_alloc *alloc,
                                                               const void *data, size_t bytes,
                                                               hakuban_bytes **ret_bytes);

/**
 * One more owner.
 *
 * @return bytes, owned: each reference needs its own unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_bytes *hakuban_bytes_ref(hakuban_bytes *bytes);

/**
 * One owner less; the last one frees.
 *
 * @param bytes  owned, or NULL
 * @return NULL
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_bytes *hakuban_bytes_unref(hakuban_bytes *bytes);

/**
 * The content.
 *
 * @return borrowed until the last unref
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_slice hakuban_bytes_slice(const hakuban_bytes *bytes);

#ifdef __cplusplus
}
#endif

#endif
