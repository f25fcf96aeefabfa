/* Each block has its size in front; a size that does not match on return ends the program, as does
 * freeing twice. */
#include "fail_alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVE 0x6c6976656c697665u
#define HEAD_BYTES 16

struct head {
    uint64_t bytes, mark;
};

static bool must_fail(fail_alloc *memory)
{
    size_t call = atomic_fetch_add(&memory->calls, 1) + 1;
    size_t fail_at = atomic_load(&memory->fail_at);
    return fail_at && (atomic_load(&memory->from_then_on) ? call >= fail_at : call == fail_at);
}

static void check(const void *block, size_t bytes)
{
    struct head head;
    memcpy(&head, block, sizeof(head));
    if (head.mark != LIVE || head.bytes != bytes) {
        fprintf(stderr, "fail_alloc: block of %zu bytes given back as %zu\n", (size_t)head.bytes,
                bytes);
        abort();
    }
}

static void *take(void *ctx, size_t bytes)
{
    fail_alloc *memory = ctx;
    if (!bytes) {
        abort();
    }
    if (must_fail(memory)) {
        return NULL;
    }
    char *block = malloc(HEAD_BYTES + bytes);
    if (!block) {
        abort();
    }
    memcpy(block, &(struct head){bytes, LIVE}, sizeof(struct head));
    memset(block + HEAD_BYTES, 0xa5, bytes); /* code that relies on zeros shows it */
    atomic_fetch_add(&memory->blocks, 1);
    atomic_fetch_add(&memory->bytes, bytes);
    return block + HEAD_BYTES;
}

static void give_back(void *ctx, void *pointer, size_t bytes)
{
    fail_alloc *memory = ctx;
    char *block = (char *)pointer - HEAD_BYTES;
    check(block, bytes);
    memset(block, 0x5a, HEAD_BYTES + bytes);
    free(block);
    atomic_fetch_sub(&memory->blocks, 1);
    atomic_fetch_sub(&memory->bytes, bytes);
}

/* Always moves, so that old pointers are found out. */
static void *regrow(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    check((char *)pointer - HEAD_BYTES, old_bytes);
    void *grown = take(ctx, new_bytes);
    if (grown) {
        memcpy(grown, pointer, old_bytes < new_bytes ? old_bytes : new_bytes);
        give_back(ctx, pointer, old_bytes);
    }
    return grown;
}

void fail_alloc_init(fail_alloc *memory)
{
    memset(memory, 0, sizeof(*memory));
    memory->table = (hakuban_alloc){memory, take, regrow, give_back};
}

void fail_alloc_arm(fail_alloc *memory, size_t fail_at, bool from_then_on)
{
    atomic_store(&memory->fail_at, 0); /* though other threads allocate meanwhile */
    atomic_store(&memory->calls, 0);
    atomic_store(&memory->from_then_on, from_then_on);
    atomic_store(&memory->fail_at, fail_at);
}

bool fail_alloc_failed(const fail_alloc *memory)
{
    size_t fail_at = atomic_load(&memory->fail_at);
    return fail_at && atomic_load(&memory->calls) >= fail_at;
}
