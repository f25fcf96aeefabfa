/* Strangers' messages in the Rust implementation's encoding: read to the end or refused in words,
 * and what was understood says the same when it is written and read once more. The input is one
 * message. */
#include <stdlib.h>

#include "wire/rust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Reads everything; what was understood is appended to out. */
static hakuban_status understand(hkb_rust *rust, hakuban_slice data, hkb_buffer *out)
{
    hkb_rust_reader reader;
    hkb_rust_event event;
    hkb_rust_action action;
    hakuban_error error;
    memset(&error, 0xa5, sizeof(error));
    hakuban_status status = hkb_rust_read_event(&reader, rust, data, &event, &error);
    if (status == HAKUBAN_OK) {
        HKB_ASSERT(hkb_rust_put_event(out, &event) == HAKUBAN_OK);
    }
    while (status == HAKUBAN_OK) {
        status = hkb_rust_read_action(&reader, &action, &error);
        HKB_ASSERT(status == HAKUBAN_OK || action.message.descriptor == NULL);
        if (status != HAKUBAN_OK || !action.kind) {
            break;
        }
        HKB_ASSERT(hkb_rust_put_action(out, &action) == HAKUBAN_OK);
        hakuban_descriptor_unref(action.message.descriptor);
    }
    HKB_ASSERT(status == HAKUBAN_OK ||
               (error.status == status && memchr(error.text, 0, sizeof(error.text))));
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    hkb_rust rust;
    hkb_buffer first, second;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) {
        return 0;
    }
    if (bytes) {
        memcpy(copy, data, bytes);
    }
    hkb_rust_init(&rust, hakuban_alloc_default());
    hkb_buffer_init(&first, hakuban_alloc_default(), 64 << 20);
    hkb_buffer_init(&second, hakuban_alloc_default(), 64 << 20);
    if (understand(&rust, (hakuban_slice){copy, bytes}, &first) == HAKUBAN_OK) {
        HKB_ASSERT(understand(&rust, (hakuban_slice){first.data, first.bytes}, &second) ==
                   HAKUBAN_OK);
        HKB_ASSERT(first.bytes == second.bytes &&
                   memcmp(first.data, second.data, first.bytes) == 0);
    }
    hkb_buffer_done(&first);
    hkb_buffer_done(&second);
    free(copy);
    return 0;
}
