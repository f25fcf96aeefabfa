/* The serializer "json": compact JSON text, as core/json reads and writes it. Bytes and keys that
 * are no strings do not exist in JSON and are refused. Small integers and short texts, which
 * headers consist of, have a short way of their own. */
#include <math.h>

#include <hakuban/plugin/serializer.h>

#include "json/json.h"

extern const hakuban_serializer_ops hakuban_serializer_json;

/* The separator that belongs before the next item; 0: none. The last byte tells whether it is the
 * first in its container. */
static char separator(const hakuban_writer *writer)
{
    if (!writer->depth) {
        return 0;
    }
    if (writer->map[writer->depth] == 2) {
        return ':';
    }
    uint8_t last = writer->data[writer->bytes - 1];
    return last == '[' || last == '{' ? 0 : ',';
}

static hakuban_status write_raw(hakuban_writer *writer, const char *text, size_t bytes)
{
    char out[40];
    size_t used = 0;
    char before = separator(writer);
    if (before) {
        out[used++] = before;
    }
    memcpy(out + used, text, bytes);
    return hakuban_writer_append(writer, out, used + bytes);
}

static hakuban_status write_integer(hakuban_writer *writer, uint64_t magnitude, bool negative)
{
    char out[24];
    size_t begin = sizeof(out);
    do {
        out[--begin] = (char)('0' + magnitude % 10);
    } while (magnitude /= 10);
    if (negative) {
        out[--begin] = '-';
    }
    char before = separator(writer);
    if (before) {
        out[--begin] = before;
    }
    return hakuban_writer_append(writer, out + begin, sizeof(out) - begin);
}

static hakuban_status write_string(hakuban_writer *writer, hakuban_slice text)
{
    if (!hkb_utf8_valid(text.data, text.bytes)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    char before = separator(writer);
    hakuban_status status = before ? hakuban_writer_append(writer, &before, 1) : HAKUBAN_OK;
    if (status < 0) {
        return status;
    }
    /* core/json appends to a buffer; for a moment the writer's memory is one. */
    hkb_buffer buffer = {.alloc = writer->alloc,
                         .data = writer->data,
                         .bytes = writer->bytes,
                         .capacity = writer->capacity,
                         .bytes_max = writer->bytes_max};
    status = hkb_json_put_string(&buffer, text.data, text.bytes);
    writer->data = buffer.data;
    writer->bytes = buffer.bytes;
    writer->capacity = buffer.capacity;
    return status;
}

static hakuban_status json_write(hakuban_writer *writer, const hakuban_token *token)
{
    char text[32];
    if (writer->map[writer->depth] == 1 && token->kind != HAKUBAN_TOKEN_STRING &&
        token->kind != HAKUBAN_TOKEN_END) {
        return HAKUBAN_ERR_UNSUPPORTED;
    }
    switch (token->kind) {
    case HAKUBAN_TOKEN_NULL:
        return write_raw(writer, "null", 4);
    case HAKUBAN_TOKEN_BOOL:
        return token->value.boolean ? write_raw(writer, "true", 4) : write_raw(writer, "false", 5);
    case HAKUBAN_TOKEN_INT:
        if (token->value.sint < 0) {
            return write_integer(writer, 0 - (uint64_t)token->value.sint, true);
        }
        return write_integer(writer, (uint64_t)token->value.sint, false);
    case HAKUBAN_TOKEN_UINT:
        return write_integer(writer, token->value.uint, false);
    case HAKUBAN_TOKEN_DOUBLE:
        if (!isfinite(token->value.real)) {
            return HAKUBAN_ERR_UNSUPPORTED;
        }
        return write_raw(writer, text, hkb_json_put_double(text, token->value.real));
    case HAKUBAN_TOKEN_STRING:
        return write_string(writer, token->value.text);
    case HAKUBAN_TOKEN_BYTES:
        break;
    case HAKUBAN_TOKEN_ARRAY:
        return write_raw(writer, "[", 1);
    case HAKUBAN_TOKEN_MAP:
        return write_raw(writer, "{", 1);
    case HAKUBAN_TOKEN_END:
        return hakuban_writer_append(writer, writer->map[writer->depth] ? "}" : "]", 1);
    }
    return HAKUBAN_ERR_UNSUPPORTED;
}

static void skip_space(hakuban_reader *reader)
{
    while (reader->offset < reader->bytes) {
        uint8_t c = reader->data[reader->offset];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            break;
        }
        reader->offset++;
    }
}

static hakuban_status fail(hakuban_reader *reader, const char *text)
{
    if (reader->error.status >= 0) {
        hkb_json_error(&reader->error, HAKUBAN_ERR_PARSE, (const char *)reader->data,
                       reader->offset, "%s", text);
    }
    return HAKUBAN_ERR_PARSE;
}

/* Up to 18 digits that end before '.', 'e' and the end of the input; false leaves the reader as it
 * was. */
static inline bool read_integer(hakuban_reader *reader, hakuban_token *ret)
{
    const uint8_t *in = reader->data + reader->offset, *end = reader->data + reader->bytes;
    const uint8_t *begin = in;
    bool negative = *in == '-';
    in += negative;
    const uint8_t *digits = in;
    int64_t value = 0;
    while (in < end && (uint8_t)(*in - '0') < 10 && in - digits < 18) {
        value = value * 10 + (*in++ - '0');
    }
    if (in == digits || in == end || (*digits == '0' && (negative || in - digits > 1)) ||
        !(*in == ',' || *in == ']' || *in == '}')) {
        return false;
    }
    ret->kind = HAKUBAN_TOKEN_INT;
    ret->value.sint = negative ? -value : value;
    reader->offset += (size_t)(in - begin);
    return true;
}

/* A text of plain ASCII without escapes. */
static inline bool read_plain_text(hakuban_reader *reader, hakuban_token *ret)
{
    size_t begin = reader->offset + 1, i = begin;
    while (i < reader->bytes && reader->data[i] >= 0x20 && reader->data[i] < 0x80 &&
           reader->data[i] != '"' && reader->data[i] != '\\') {
        i++;
    }
    if (i == reader->bytes || reader->data[i] != '"') {
        return false;
    }
    ret->kind = HAKUBAN_TOKEN_STRING;
    ret->value.text = (hakuban_slice){reader->data + begin, i - begin};
    reader->offset = i + 1;
    return true;
}

static hakuban_status read_any(hakuban_reader *reader, hakuban_token *ret)
{
    hkb_json_scanner scanner = {
        .text = (const char *)reader->data, .bytes = reader->bytes, .offset = reader->offset};
    hkb_json_lexeme lexeme;
    hakuban_error error;
    hakuban_status status = hkb_json_lex(&scanner, &lexeme, &error);
    if (status < 0) {
        if (reader->error.status >= 0) {
            reader->error = error;
        }
        return status;
    }
    switch (lexeme.kind) {
    case HKB_JSON_NULL:
        ret->kind = HAKUBAN_TOKEN_NULL;
        break;
    case HKB_JSON_TRUE:
    case HKB_JSON_FALSE:
        ret->kind = HAKUBAN_TOKEN_BOOL;
        ret->value.boolean = lexeme.kind == HKB_JSON_TRUE;
        break;
    case HKB_JSON_INT:
        ret->kind = HAKUBAN_TOKEN_INT;
        ret->value.sint = lexeme.sint;
        break;
    case HKB_JSON_UINT:
        ret->kind = HAKUBAN_TOKEN_UINT;
        ret->value.uint = lexeme.uint;
        break;
    case HKB_JSON_DOUBLE:
        ret->kind = HAKUBAN_TOKEN_DOUBLE;
        ret->value.real = lexeme.real;
        break;
    case HKB_JSON_STRING:
        ret->kind = HAKUBAN_TOKEN_STRING;
        ret->value.text =
            (hakuban_slice){reader->data + lexeme.begin + 1, lexeme.end - lexeme.begin - 2};
        if (lexeme.escaped) {
            status = hakuban_reader_scratch(reader, lexeme.end - lexeme.begin);
            if (status < 0) {
                return status;
            }
            size_t bytes = hkb_json_unescape(scanner.text, &lexeme, (char *)reader->scratch);
            ret->value.text = (hakuban_slice){reader->scratch, bytes};
        }
        break;
    case HKB_JSON_ARRAY:
    case HKB_JSON_OBJECT:
        ret->kind = lexeme.kind == HKB_JSON_ARRAY ? HAKUBAN_TOKEN_ARRAY : HAKUBAN_TOKEN_MAP;
        ret->count = HAKUBAN_COUNT_UNKNOWN;
        break;
    default:
        return fail(reader, "expected a JSON value");
    }
    reader->offset = scanner.offset;
    return HAKUBAN_OK;
}

/* Passes the separator before the next item. *ret_end: there was the end of the container instead.
 */
static hakuban_status read_separator(hakuban_reader *reader, bool *ret_end)
{
    uint32_t depth = reader->depth;
    uint8_t map = reader->map[depth];
    if (reader->offset == reader->bytes) {
        return fail(reader, "the text ends too early");
    }
    uint8_t c = reader->data[reader->offset];
    *ret_end = map != 2 && c == (map ? '}' : ']');
    if (*ret_end || (map != 2 && !reader->begun[depth])) {
        return HAKUBAN_OK;
    }
    if (c != (map == 2 ? ':' : ',')) {
        return fail(reader, map == 2 ? "expected ':'"
                            : map    ? "expected ',' or '}'"
                                     : "expected ',' or ']'");
    }
    reader->offset++;
    skip_space(reader);
    return HAKUBAN_OK;
}

static hakuban_status json_read(hakuban_reader *reader, hakuban_token *ret)
{
    skip_space(reader);
    if (reader->depth) {
        bool end = false;
        hakuban_status status = read_separator(reader, &end);
        if (status < 0) {
            return status;
        }
        if (end) {
            reader->offset++;
            ret->kind = HAKUBAN_TOKEN_END;
            if (reader->depth == 1) {
                skip_space(reader);
            }
            return HAKUBAN_OK;
        }
    }
    if (reader->offset == reader->bytes) {
        return fail(reader, "the text ends too early");
    }
    uint8_t first = reader->data[reader->offset];
    if (reader->map[reader->depth] == 1 && first != '"') {
        return fail(reader, "expected a key in quotes");
    }
    if (first == '"' ? read_plain_text(reader, ret) : read_integer(reader, ret)) {
        if (!reader->depth) {
            skip_space(reader);
        }
        return HAKUBAN_OK;
    }
    hakuban_status status = read_any(reader, ret);
    if (status >= 0 && !reader->depth) {
        skip_space(reader);
    }
    return status;
}

const hakuban_serializer_ops hakuban_serializer_json = {
    .size = sizeof(hakuban_serializer_ops),
    .abi = HAKUBAN_SERIALIZER_ABI,
    .name = "json",
    .format = "JSON",
    .write = json_write,
    .read = json_read,
};
