/* Strangers' differences in the Rust implementation's form: refused or applied to what was
 * announced; and what the same bytes are as a new state comes back. The input is the old state's
 * length (2 bytes), the old state, the difference. */
#include <stdlib.h>

#include "wire/rust_delta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { OUT_BYTES_MAX = 1 << 18 };

static void check_apply(hakuban_slice old, hakuban_slice delta, hakuban_slice expected)
{
    size_t out_bytes = 0;
    hakuban_error error;
    memset(&error, 0xa5, sizeof(error));
    hakuban_status status =
        hkb_rust_delta_size(delta, old.bytes, OUT_BYTES_MAX, &out_bytes, &error);
    HKB_ASSERT(status == HAKUBAN_OK || memchr(error.text, 0, sizeof(error.text)));
    HKB_ASSERT(status == HAKUBAN_OK || !expected.data);
    if (status != HAKUBAN_OK) {
        return;
    }
    HKB_ASSERT(out_bytes <= OUT_BYTES_MAX);
    uint8_t *out = malloc(out_bytes ? out_bytes : 1);
    if (!out) {
        return;
    }
    HKB_ASSERT(hkb_rust_delta_apply(old, delta, out, out_bytes) == HAKUBAN_OK);
    HKB_ASSERT(!expected.data ||
               (out_bytes == expected.bytes && memcmp(out, expected.data, out_bytes) == 0));
    free(out);
}

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
    uint8_t *old = malloc(old_bytes ? old_bytes : 1);
    uint8_t *rest = malloc(bytes - old_bytes ? bytes - old_bytes : 1);
    hkb_delta_context *context = NULL;
    hakuban_bytes *made;
    if (old && rest && hkb_delta_context_new(NULL, &context) == HAKUBAN_OK) {
        memcpy(old, data, old_bytes);
        memcpy(rest, data + old_bytes, bytes - old_bytes);
        hakuban_slice from = {old, old_bytes}, other = {rest, bytes - old_bytes};
        check_apply(from, other, (hakuban_slice){NULL, 0});
        HKB_ASSERT(hkb_rust_delta_make(context, NULL, from, other, &made) == HAKUBAN_OK);
        check_apply(from, hakuban_bytes_slice(made), other);
        hakuban_bytes_unref(made);
    }
    hkb_delta_context_free(context);
    free(old);
    free(rest);
    return 0;
}
