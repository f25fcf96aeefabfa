/* The serializer "msgpack": MessagePack as msgpack-c packs and parses it. Both ways stand on the
 * templates that msgpack-c's own packer and parser are made of, here with one token per call and no
 * tree (docs/adr/0001-msgpack-by-templates.md). It allocates nothing and believes no length that
 * the input does not hold. */
#define MSGPACK_EMBED_STACK_SIZE 1 /* what is open is known to the reader, not to the parser */

#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

#include <hakuban/plugin/serializer.h>

#include "json/json.h"

extern const hakuban_serializer_ops hakuban_serializer_msgpack;

/* Where there is room, the few bytes of a number, whose size is known to the compiler, are a store
 * or two and no call. */
static inline hakuban_status append(hakuban_writer *writer, const void *data, size_t bytes)
{
    if (bytes > writer->capacity - writer->bytes || bytes > writer->bytes_max - writer->bytes) {
        return hakuban_writer_append(writer, data, bytes);
    }
    memcpy(writer->data + writer->bytes, data, bytes);
    writer->bytes += bytes;
    return HAKUBAN_OK;
}

/* msgpack_pack_...(): each appends one token in its shortest form. */
#define msgpack_pack_inline_func(name) static inline hakuban_status msgpack_pack##name
#define msgpack_pack_user hakuban_writer *
#define msgpack_pack_append_buffer(writer, data, bytes) return append(writer, data, bytes)
#include <msgpack/pack_template.h>

static hakuban_status write_string(hakuban_writer *writer, hakuban_slice text)
{
    if (text.bytes > UINT32_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    if (!hkb_utf8_valid(text.data, text.bytes)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_status status = msgpack_pack_str(writer, text.bytes);
    if (status < 0 || !text.bytes) {
        return status;
    }
    return msgpack_pack_str_body(writer, text.data, text.bytes);
}

static hakuban_status write_bytes(hakuban_writer *writer, hakuban_slice bytes)
{
    if (bytes.bytes > UINT32_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    hakuban_status status = msgpack_pack_bin(writer, bytes.bytes);
    if (status < 0 || !bytes.bytes) {
        return status;
    }
    return msgpack_pack_bin_body(writer, bytes.data, bytes.bytes);
}

static hakuban_status msgpack_write(hakuban_writer *writer, const hakuban_token *token)
{
    switch (token->kind) {
    case HAKUBAN_TOKEN_NULL:
        return msgpack_pack_nil(writer);
    case HAKUBAN_TOKEN_BOOL:
        return token->value.boolean ? msgpack_pack_true(writer) : msgpack_pack_false(writer);
    case HAKUBAN_TOKEN_INT:
        return msgpack_pack_int64(writer, token->value.sint);
    case HAKUBAN_TOKEN_UINT:
        return msgpack_pack_uint64(writer, token->value.uint);
    case HAKUBAN_TOKEN_DOUBLE:
        return msgpack_pack_double(writer, token->value.real);
    case HAKUBAN_TOKEN_STRING:
        return write_string(writer, token->value.text);
    case HAKUBAN_TOKEN_BYTES:
        return write_bytes(writer, token->value.text);
    case HAKUBAN_TOKEN_ARRAY:
        return msgpack_pack_array(writer, token->count);
    case HAKUBAN_TOKEN_MAP:
        return msgpack_pack_map(writer, token->count);
    case HAKUBAN_TOKEN_END:
        return HAKUBAN_OK; /* the count at the beginning said it */
    }
    return HAKUBAN_ERR_UNSUPPORTED;
}

/* What the parser answers beside its own codes, which are above -10. A container is a token as soon
 * as it begins: stopping there is what keeps the parser from building a tree. */
enum {
    PARSED_NOT_ALL = 0,
    PARSED = 1,
    STOPPED_BEGUN = -10,
    STOPPED_NO_TEXT = -11,
    STOPPED_EXTENSION = -12,
};

static inline int take_constant(hakuban_token *ret, hakuban_token_kind kind, int boolean)
{
    ret->kind = kind;
    ret->value.boolean = boolean;
    return 0;
}

static inline int take_signed(hakuban_token *ret, int64_t value)
{
    ret->kind = HAKUBAN_TOKEN_INT;
    ret->value.sint = value;
    return 0;
}

static inline int take_unsigned(hakuban_token *ret, uint64_t value)
{
    if (value <= INT64_MAX) {
        return take_signed(ret, (int64_t)value);
    }
    ret->kind = HAKUBAN_TOKEN_UINT;
    ret->value.uint = value;
    return 0;
}

static inline int take_real(hakuban_token *ret, double value)
{
    ret->kind = HAKUBAN_TOKEN_DOUBLE;
    ret->value.real = value;
    return 0;
}

static inline int take_slice(hakuban_token *ret, hakuban_token_kind kind, const char *data,
                             unsigned bytes)
{
    if (kind == HAKUBAN_TOKEN_STRING && !hkb_utf8_valid(data, bytes)) {
        return STOPPED_NO_TEXT;
    }
    ret->kind = kind;
    ret->value.text = (hakuban_slice){(const uint8_t *)data, bytes};
    return 0;
}

static inline int take_begun(hakuban_token *ret, hakuban_token_kind kind, unsigned count)
{
    ret->kind = kind;
    ret->count = count;
    return STOPPED_BEGUN;
}

/* What the parser calls. Its user is where the token goes; its own objects are of no use here and
 * always 0. */
#define take_root(user) 0
#define take_nil(user, object) (*(object) = take_constant(*(user), HAKUBAN_TOKEN_NULL, 0))
#define take_false(user, object) (*(object) = take_constant(*(user), HAKUBAN_TOKEN_BOOL, 0))
#define take_true(user, object) (*(object) = take_constant(*(user), HAKUBAN_TOKEN_BOOL, 1))
#define take_uint8(user, value, object) (*(object) = take_unsigned(*(user), value))
#define take_uint16 take_uint8
#define take_uint32 take_uint8
#define take_uint64 take_uint8
#define take_int8(user, value, object) (*(object) = take_signed(*(user), value))
#define take_int16 take_int8
#define take_int32 take_int8
#define take_int64 take_int8
#define take_double(user, value, object) (*(object) = take_real(*(user), value))
#define take_float(user, value, object) take_double(user, (double)(value), object)
#define take_str(user, base, data, bytes, object)                                                  \
    (*(object) = take_slice(*(user), HAKUBAN_TOKEN_STRING, data, bytes))
#define take_bin(user, base, data, bytes, object)                                                  \
    (*(object) = take_slice(*(user), HAKUBAN_TOKEN_BYTES, data, bytes))
#define take_ext(user, base, data, bytes, object) (*(object) = STOPPED_EXTENSION)
#define take_array(user, count, object)                                                            \
    (*(object) = take_begun(*(user), HAKUBAN_TOKEN_ARRAY, count))
#define take_map(user, count, object) (*(object) = take_begun(*(user), HAKUBAN_TOKEN_MAP, count))
#define take_array_item(user, array, item) 0
#define take_map_item(user, map, key, value) 0

#define msgpack_unpack_callback(name) take##name
#define msgpack_unpack_struct(name) struct parse##name
#define msgpack_unpack_func(type, name) static inline type parse##name
#define msgpack_unpack_object int
#define msgpack_unpack_user hakuban_token *
#include <msgpack/unpack_template.h>

/* An item has one byte at least. */
static hakuban_status read_begun(hakuban_reader *reader, size_t offset, const hakuban_token *token)
{
    size_t items_max = reader->bytes - offset;
    if (token->kind == HAKUBAN_TOKEN_MAP) {
        items_max /= 2;
    }
    if (token->count > items_max || token->count == HAKUBAN_COUNT_UNKNOWN) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE,
                                   "%s of %lu items, and %zu bytes are left",
                                   token->kind == HAKUBAN_TOKEN_MAP ? "a map" : "an array",
                                   (unsigned long)token->count, reader->bytes - offset);
    }
    reader->offset = offset;
    return HAKUBAN_OK;
}

static hakuban_status msgpack_read(hakuban_reader *reader, hakuban_token *ret)
{
    if (reader->offset == reader->bytes) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE,
                                   "the bytes end where a value should be");
    }
    struct parse_context context;
    parse_init(&context);
    context.user = ret;
    size_t offset = reader->offset;
    switch (parse_execute(&context, (const char *)reader->data, reader->bytes, &offset)) {
    case PARSED:
        reader->offset = offset;
        return HAKUBAN_OK;
    case STOPPED_BEGUN: /* at the last byte of its count */
        return read_begun(reader, offset + 1, ret);
    case PARSED_NOT_ALL:
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "the bytes end within a value");
    case STOPPED_NO_TEXT:
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "a string that is not UTF-8");
    case STOPPED_EXTENSION:
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE,
                                   "an extension type, as timestamps are: these are not supported");
    default:
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "no value begins with this byte");
    }
}

const hakuban_serializer_ops hakuban_serializer_msgpack = {
    .size = sizeof(hakuban_serializer_ops),
    .abi = HAKUBAN_SERIALIZER_ABI,
    .name = "msgpack",
    .format = "MSGPACK",
    .write = msgpack_write,
    .read = msgpack_read,
};
