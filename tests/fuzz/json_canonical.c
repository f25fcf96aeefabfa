/* Canonical JSON is a fixed point: what was made canonical is one JSON value, is recognised as
 * canonical where it may be, and stays as it is when it is made canonical again. The input is the
 * text. */
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { OUT_BYTES_MAX = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    hakuban_error error;
    bool canonical = false;
    hkb_buffer once, twice, compact;
    memset(&error, 0xa5, sizeof(error));
    hkb_buffer_init(&once, hakuban_alloc_default(), OUT_BYTES_MAX);
    hkb_buffer_init(&twice, hakuban_alloc_default(), OUT_BYTES_MAX);
    hkb_buffer_init(&compact, hakuban_alloc_default(), OUT_BYTES_MAX);
    hakuban_status checked = hkb_json_check(text, bytes, &error);
    hakuban_status status = hkb_json_canonical(text, bytes, &once, NULL);
    HKB_ASSERT(status == checked);
    HKB_ASSERT(hkb_json_check_canonical(text, bytes, &canonical, NULL) == checked);
    if (checked != HAKUBAN_OK) {
        HKB_ASSERT(error.status == checked && memchr(error.text, 0, sizeof(error.text)));
        HKB_ASSERT(error.offset <= bytes && error.line > 0 && error.column > 0);
    } else {
        HKB_ASSERT(!canonical || (once.bytes == bytes && memcmp(once.data, data, bytes) == 0));
        const char *made = (const char *)once.data;
        HKB_ASSERT(hkb_json_check(made, once.bytes, NULL) == HAKUBAN_OK);
        HKB_ASSERT(hkb_json_canonical(made, once.bytes, &twice, NULL) == HAKUBAN_OK);
        HKB_ASSERT(twice.bytes == once.bytes && memcmp(twice.data, once.data, once.bytes) == 0);
        /* White space means nothing. */
        twice.bytes = 0;
        HKB_ASSERT(hkb_json_compact(text, bytes, &compact, NULL) == HAKUBAN_OK);
        HKB_ASSERT(compact.bytes <= bytes);
        HKB_ASSERT(hkb_json_canonical((const char *)compact.data, compact.bytes, &twice, NULL) ==
                   HAKUBAN_OK);
        HKB_ASSERT(twice.bytes == once.bytes && memcmp(twice.data, once.data, once.bytes) == 0);
    }
    hkb_buffer_done(&once);
    hkb_buffer_done(&twice);
    hkb_buffer_done(&compact);
    return 0;
}
