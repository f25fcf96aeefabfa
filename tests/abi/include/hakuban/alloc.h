/* Where the library gets its memory. Given per exchange; malloc by default. */
#ifndef HAKUBAN_ALLOC_H
#define HAKUBAN_ALLOC_H

#include <stddef.h>

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All three are called from any thread, also at the same time. Sizes are never 0. The table, and
 * what it stands on, must outlive everything made with it: exchanges, and the states, bytes and
 * descriptors that came from them. */
typedef struct hakuban_alloc {
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes); /* NULL: none left */
    void *(*realloc)(void *ctx, void *memory, size_t old_bytes, size_t new_bytes);
    void (*free)(void *ctx, void *memory, size_t bytes); /* memory is never NULL */
} hakuban_alloc;

/**
 * malloc, realloc and free as a table.
 *
 * @return static
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const hakuban_alloc *hakuban_alloc_default(void);

#ifdef __cplusplus
}
#endif

#endif
