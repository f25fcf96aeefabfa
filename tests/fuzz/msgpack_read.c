/* Strangers' MessagePack: whatever the bytes, they are refused in words or are a value; a value is
 * written in one shortest form whichever it came in, and what JSON can say of it says the same when
 * it comes back. */
#include <hakuban/plugin/serializer.h>

#include "base/base.h"

extern const hakuban_serializer_ops hakuban_serializer_json;
extern const hakuban_serializer_ops hakuban_serializer_msgpack;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ELEMENTS_MAX = 4096, BYTES_MAX = 1 << 20 };

static hakuban_status convert(const hakuban_serializer_ops *from, const void *data, size_t bytes,
                              const hakuban_serializer_ops *to, hakuban_writer *ret)
{
    hakuban_reader reader;
    hakuban_reader_init(&reader, from, NULL, data, bytes, ELEMENTS_MAX);
    hakuban_writer_init(ret, to, NULL, BYTES_MAX);
    hakuban_status status = hakuban_convert(&reader, ret);
    HKB_ASSERT(status == reader.error.status);
    HKB_ASSERT((status == HAKUBAN_OK) == (reader.error.text[0] == '\0'));
    HKB_ASSERT((status == HAKUBAN_OK) == (hakuban_writer_status(ret) == HAKUBAN_OK));
    HKB_ASSERT(reader.offset <= reader.bytes);
    hakuban_reader_done(&reader);
    return status;
}

static bool same(const hakuban_writer *a, const hakuban_writer *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

/* A reader that takes every token one by one finds the same as a reader that skips. */
static hakuban_status read_all(const uint8_t *data, size_t bytes)
{
    hakuban_reader reader;
    hakuban_reader_init(&reader, &hakuban_serializer_msgpack, NULL, data, bytes, ELEMENTS_MAX);
    hakuban_token token;
    hakuban_status status = HAKUBAN_OK;
    do {
        (void)hakuban_read_at_end(&reader);
        status = hakuban_read(&reader, &token);
    } while (status == HAKUBAN_OK && reader.depth);
    hakuban_reader_done(&reader);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    hakuban_writer once, twice, text, back, again;
    hakuban_status status =
        convert(&hakuban_serializer_msgpack, data, bytes, &hakuban_serializer_msgpack, &once);
    HKB_ASSERT(read_all(data, bytes) == status);
    if (status == HAKUBAN_OK) {
        HKB_ASSERT(convert(&hakuban_serializer_msgpack, once.data, once.bytes,
                           &hakuban_serializer_msgpack, &twice) == HAKUBAN_OK);
        HKB_ASSERT(same(&once, &twice));
        hakuban_writer_done(&twice);
        status = convert(&hakuban_serializer_msgpack, data, bytes, &hakuban_serializer_json, &text);
        HKB_ASSERT(status == HAKUBAN_OK || status == HAKUBAN_ERR_UNSUPPORTED);
        if (status == HAKUBAN_OK) {
            HKB_ASSERT(convert(&hakuban_serializer_json, text.data, text.bytes,
                               &hakuban_serializer_msgpack, &back) == HAKUBAN_OK);
            /* Of the two zeros JSON has one: texts are compared. */
            HKB_ASSERT(convert(&hakuban_serializer_msgpack, back.data, back.bytes,
                               &hakuban_serializer_json, &again) == HAKUBAN_OK);
            HKB_ASSERT(same(&text, &again));
            hakuban_writer_done(&again);
            hakuban_writer_done(&back);
        }
        hakuban_writer_done(&text);
    }
    hakuban_writer_done(&once);
    return 0;
}
