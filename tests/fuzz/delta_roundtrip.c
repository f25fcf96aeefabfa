/* Any two states: the delta between them brings the second back, is hardly longer than it, and
 * keeps to the work limit. The input is a flag (bit 0: a compressor is there; bit 1: old and new
 * repeated, so that states become large), the old state's length (2 bytes), the old state, the new
 * one. */
#include <stdlib.h>

#include "wire/delta.h"

extern const hakuban_compressor_ops hakuban_compressor_zstd;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { REPEATS = 40 };

static uint8_t *repeated(const uint8_t *data, size_t bytes, unsigned times)
{
    uint8_t *made = malloc(bytes * times + 1);
    if (!made) {
        abort();
    }
    for (unsigned i = 0; i < times; i++) {
        memcpy(made + i * bytes, data, bytes);
        /* Not quite the same each time. */
        if (i && bytes) {
            made[i * bytes + i % bytes] ^= (uint8_t)i;
        }
    }
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 3) {
        return 0;
    }
    unsigned times = data[0] & 2 ? REPEATS : 1;
    /* Kept from run to run, because making one takes longer than all the rest. */
    static void *zstd_self;
    if (!zstd_self) {
        zstd_self = calloc(1, hakuban_compressor_zstd.self_bytes);
    }
    HKB_ASSERT(zstd_self);
    hkb_delta_compressor compressor = {data[0] & 1 ? &hakuban_compressor_zstd : NULL, zstd_self};
    size_t old_bytes = hkb_min(data[1] | (size_t)data[2] << 8, bytes - 3);
    hakuban_slice old = {repeated(data + 3, old_bytes, times), old_bytes * times};
    size_t new_bytes = bytes - 3 - old_bytes;
    hakuban_slice new_ = {repeated(data + 3 + old_bytes, new_bytes, times), new_bytes * times};
    hkb_delta_context *context = NULL;
    hakuban_bytes *delta = NULL;
    HKB_ASSERT(hkb_delta_context_new(NULL, &context) == HAKUBAN_OK);
    HKB_ASSERT(hkb_delta_make(context, NULL, compressor, old, new_, &delta) == HAKUBAN_OK);
    hkb_delta_work work = hkb_delta_last_work(context);
    HKB_ASSERT(16 * work.steps + work.lookups + work.inserts + 16 * work.verifications <=
               work.limit);
    hakuban_slice payload = hakuban_bytes_slice(delta);
    HKB_ASSERT(payload.bytes <= new_.bytes + 1);
    size_t out_bytes = 0;
    HKB_ASSERT(hkb_delta_size(payload, old.bytes, new_.bytes, &out_bytes) == HAKUBAN_OK);
    HKB_ASSERT(out_bytes == new_.bytes);
    uint8_t *out = malloc(out_bytes + 1);
    if (!out) {
        abort();
    }
    HKB_ASSERT(hkb_delta_apply(context, compressor, old, payload, out, out_bytes) == HAKUBAN_OK);
    HKB_ASSERT(memcmp(out, new_.data, out_bytes) == 0);
    hakuban_bytes_unref(delta);
    hkb_delta_context_free(context);
    free((void *)(uintptr_t)old.data);
    free((void *)(uintptr_t)new_.data);
    free(out);
    return 0;
}
