/* Where memory comes from: the user's table, or the C library's functions as a table. The only file
 * that calls malloc. */
#include "base/base.h"

#include <stdlib.h>

static void *default_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void *default_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    return realloc(memory, new_bytes);
}

static void default_free(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(memory);
}

const hakuban_alloc *hakuban_alloc_default(void)
{
    static const hakuban_alloc table = {
        .alloc = default_alloc, .realloc = default_realloc, .free = default_free};
    return &table;
}

void *hkb_alloc_unset(const hakuban_alloc *alloc, size_t bytes)
{
    if (!alloc) {
        alloc = hakuban_alloc_default();
    }
    return alloc->alloc(alloc->ctx, bytes ? bytes : 1);
}

void *hkb_alloc(const hakuban_alloc *alloc, size_t bytes)
{
    void *memory = hkb_alloc_unset(alloc, bytes);
    if (memory) {
        memset(memory, 0, bytes);
    }
    return memory;
}

void hkb_free(const hakuban_alloc *alloc, void *memory, size_t bytes)
{
    if (!memory) {
        return;
    }
    if (!alloc) {
        alloc = hakuban_alloc_default();
    }
    alloc->free(alloc->ctx, memory, bytes ? bytes : 1);
}

hakuban_status hkb_resize(const hakuban_alloc *alloc, void *items_pointer, size_t item_bytes,
                          size_t *capacity, size_t wanted)
{
    if (wanted > SIZE_MAX / 2 / item_bytes) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (!alloc) {
        alloc = hakuban_alloc_default();
    }
    /* The caller's pointer has a type of its own; copying its bytes keeps to the aliasing rules. */
    void *items;
    memcpy(&items, items_pointer, sizeof(items));
    void *grown =
        items ? alloc->realloc(alloc->ctx, items, *capacity * item_bytes, wanted * item_bytes)
              : alloc->alloc(alloc->ctx, wanted * item_bytes);
    if (!grown) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    memcpy(items_pointer, &grown, sizeof(grown));
    *capacity = wanted;
    return HAKUBAN_OK;
}

hakuban_status hkb_grow(const hakuban_alloc *alloc, void *items_pointer, size_t item_bytes,
                        size_t *capacity, size_t needed)
{
    if (needed <= *capacity) {
        return HAKUBAN_OK;
    }
    return hkb_resize(alloc, items_pointer, item_bytes, capacity,
                      hkb_max(needed, hkb_max(*capacity * 2, 4)));
}
