/* Strangers' hellos: whatever was understood is written and read again as the same. The input is
 * the text. */
#include <stdlib.h>

#include "link/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_text(const char *text, size_t size)
{
    HKB_ASSERT(memchr(text, 0, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static hkb_hello hello, again;
    hakuban_error error;
    memset(&error, 0xa5, sizeof(error));
    memset(&hello, 0xa5, sizeof(hello));
    memset(&again, 0xa5, sizeof(again));
    hakuban_status status = hkb_hello_read((hakuban_slice){data, bytes}, &hello, &error);
    if (status != HAKUBAN_OK) {
        HKB_ASSERT(status == error.status);
        check_text(error.text, sizeof(error.text));
        return 0;
    }
    check_text(hello.name, sizeof(hello.name));
    check_text(hello.refused, sizeof(hello.refused));
    HKB_ASSERT(hello.path_count <= HKB_PATH_NODES_MAX);
    HKB_ASSERT(hello.serializer_count <= HKB_OFFERS_MAX);
    HKB_ASSERT(hello.compressor_count <= HKB_OFFERS_MAX);
    for (size_t i = 0; i < hello.serializer_count; i++) {
        check_text(hello.serializers[i].name, sizeof(hello.serializers[i].name));
    }
    for (size_t i = 0; i < hello.compressor_count; i++) {
        check_text(hello.compressors[i].name, sizeof(hello.compressors[i].name));
    }

    hkb_buffer out;
    hkb_buffer_init(&out, hakuban_alloc_default(), 16 * HKB_HELLO_BYTES_MAX);
    HKB_ASSERT(hkb_hello_write(&hello, &out) == HAKUBAN_OK);
    HKB_ASSERT(hkb_hello_read((hakuban_slice){out.data, out.bytes}, &again, &error) == HAKUBAN_OK);
    HKB_ASSERT(strcmp(hello.refused, again.refused) == 0);
    if (!hello.refused[0]) {
        HKB_ASSERT(strcmp(hello.name, again.name) == 0);
        HKB_ASSERT(hello.path_count == again.path_count &&
                   memcmp(hello.path, again.path, hello.path_count * sizeof(hello.path[0])) == 0);
        HKB_ASSERT(hello.serializer_count == again.serializer_count &&
                   hello.compressor_count == again.compressor_count);
        for (size_t i = 0; i < hello.serializer_count; i++) {
            HKB_ASSERT(strcmp(hello.serializers[i].name, again.serializers[i].name) == 0);
        }
        for (size_t i = 0; i < hello.compressor_count; i++) {
            HKB_ASSERT(strcmp(hello.compressors[i].name, again.compressors[i].name) == 0);
        }
        HKB_ASSERT(hello.keep_alive_ms == again.keep_alive_ms && hello.grace_ms == again.grace_ms);
        HKB_ASSERT(hello.window_bytes == again.window_bytes &&
                   hello.state_bytes_max == again.state_bytes_max);
        HKB_ASSERT(hello.has_token == again.has_token && hello.resumed == again.resumed &&
                   hello.replaces == again.replaces);
        HKB_ASSERT(!hello.has_token ||
                   (memcmp(hello.token, again.token, sizeof(hello.token)) == 0 &&
                    hello.received_bytes == again.received_bytes));
    }
    hkb_buffer_done(&out);
    return 0;
}
