/* Strangers' deltas: whatever the bytes, apply refuses them or makes what it said it would. The
 * input is the old state's length (2 bytes), the old state, the delta. */
#include <stdlib.h>

#include "wire/delta.h"

extern const hakuban_compressor_ops hakuban_compressor_zstd;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { OUT_BYTES_MAX = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2) {
        return 0;
    }
    size_t old_bytes = data[0] | (size_t)data[1] << 8;
    data += 2;
    bytes -= 2;
    if (old_bytes > bytes) {
        old_bytes = bytes;
    }
    /* Copies of exactly their size let a sanitizer see one byte too many. */
    uint8_t *old = malloc(old_bytes + 1), *payload = malloc(bytes - old_bytes + 1);
    hkb_delta_compressor zstd = {&hakuban_compressor_zstd,
                                 calloc(1, hakuban_compressor_zstd.self_bytes)};
    hkb_delta_context *context = NULL;
    size_t out_bytes = 0;
    if (old && payload && zstd.self && hkb_delta_context_new(NULL, &context) == HAKUBAN_OK) {
        memcpy(old, data, old_bytes);
        memcpy(payload, data + old_bytes, bytes - old_bytes);
        hakuban_slice delta = {payload, bytes - old_bytes};
        if (hkb_delta_size(delta, old_bytes, OUT_BYTES_MAX, &out_bytes) == HAKUBAN_OK) {
            HKB_ASSERT(out_bytes <= OUT_BYTES_MAX);
            uint8_t *out = malloc(out_bytes ? out_bytes : 1);
            hakuban_status status =
                out ? hkb_delta_apply(context, zstd, (hakuban_slice){old, old_bytes}, delta, out,
                                      out_bytes)
                    : HAKUBAN_OK;
            HKB_ASSERT(status == HAKUBAN_OK || status == HAKUBAN_ERR_CORRUPT);
            HKB_ASSERT(memcmp(old, data, old_bytes) == 0);
            free(out);
        }
    }
    hkb_delta_context_free(context);
    hakuban_compressor_zstd.done(zstd.self);
    free(zstd.self);
    free(old);
    free(payload);
    return 0;
}
