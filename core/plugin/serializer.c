/* Writers and readers for any serializer: containers, depth, budgets and errors are handled here
 * for all formats. Knows no format. Every message's header passes through here, so no large memory
 * is cleared and the usual path is short. */
#include <hakuban/plugin/serializer.h>

#include "base/base.h"

#define ITEMS_MAX (HAKUBAN_COUNT_UNKNOWN - 1)

void hakuban_writer_init(hakuban_writer *writer, const hakuban_serializer_ops *ops,
                         const hakuban_alloc *alloc, size_t bytes_max)
{
    if (!writer) {
        return;
    }
    writer->ops = ops;
    writer->alloc = alloc ? alloc : hakuban_alloc_default();
    writer->data = NULL;
    writer->capacity = 0;
    writer->bytes_max = bytes_max;
    hakuban_writer_reset(writer);
}

void hakuban_writer_done(hakuban_writer *writer)
{
    if (!writer || !writer->ops) {
        return;
    }
    hkb_free(writer->alloc, writer->data, writer->capacity);
    writer->data = NULL;
    writer->capacity = 0;
    hakuban_writer_reset(writer);
}

void hakuban_writer_reset(hakuban_writer *writer)
{
    if (!writer) {
        return;
    }
    writer->bytes = 0;
    writer->status = writer->ops ? HAKUBAN_OK : HAKUBAN_ERR_ARGUMENT;
    writer->depth = 0;
    writer->left[0] = 1; /* one value outside of all containers */
    writer->map[0] = 0;
}

hakuban_status hakuban_writer_append(hakuban_writer *writer, const void *data, size_t bytes)
{
    if (HKB_UNLIKELY(!writer || (!data && bytes))) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (HKB_UNLIKELY(bytes > writer->capacity - writer->bytes ||
                     bytes > writer->bytes_max - writer->bytes)) {
        if (bytes > writer->bytes_max - writer->bytes) {
            return writer->status = HAKUBAN_ERR_LIMIT;
        }
        hakuban_status status = hkb_grow(writer->alloc, &writer->data, 1, &writer->capacity,
                                         hkb_max(writer->bytes + bytes, 256));
        if (status < 0) {
            return writer->status = status;
        }
    }
    if (bytes) {
        memcpy(writer->data + writer->bytes, data, bytes);
    }
    writer->bytes += bytes;
    return HAKUBAN_OK;
}

static hakuban_status write_end(hakuban_writer *writer, const hakuban_token *token)
{
    if (!writer->depth || writer->left[writer->depth]) {
        return writer->status = HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_status status = writer->ops->write(writer, token);
    if (status < 0) {
        return writer->status = status;
    }
    writer->depth--;
    return HAKUBAN_OK;
}

static hakuban_status write_begun(hakuban_writer *writer, const hakuban_token *token)
{
    bool map = token->kind == HAKUBAN_TOKEN_MAP;
    if (writer->depth == HAKUBAN_SERIALIZER_DEPTH_MAX ||
        token->count > (map ? ITEMS_MAX / 2 : ITEMS_MAX)) {
        return writer->status = HAKUBAN_ERR_LIMIT;
    }
    hakuban_status status = writer->ops->write(writer, token);
    if (status < 0) {
        return writer->status = status;
    }
    writer->depth++;
    writer->left[writer->depth] = map ? token->count * 2 : token->count;
    writer->map[writer->depth] = map;
    return HAKUBAN_OK;
}

static inline hakuban_status write_token(hakuban_writer *writer, const hakuban_token *token)
{
    if (HKB_UNLIKELY(!writer)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (HKB_UNLIKELY(writer->status < 0)) {
        return writer->status;
    }
    if (token->kind == HAKUBAN_TOKEN_END) {
        return write_end(writer, token);
    }
    uint32_t depth = writer->depth;
    if (HKB_UNLIKELY(!writer->left[depth])) {
        return writer->status = HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_status status;
    if (token->kind == HAKUBAN_TOKEN_ARRAY || token->kind == HAKUBAN_TOKEN_MAP) {
        status = write_begun(writer, token);
    } else {
        status = writer->ops->write(writer, token);
    }
    if (HKB_UNLIKELY(status < 0)) {
        return writer->status = status;
    }
    writer->left[depth]--;
    if (writer->map[depth]) {
        writer->map[depth] = (uint8_t)(3 - writer->map[depth]);
    }
    return HAKUBAN_OK;
}

hakuban_status hakuban_write(hakuban_writer *writer, const hakuban_token *token)
{
    if (!writer) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (!token || token->kind < HAKUBAN_TOKEN_NULL || token->kind > HAKUBAN_TOKEN_END) {
        return writer->status < 0 ? writer->status : (writer->status = HAKUBAN_ERR_ARGUMENT);
    }
    if ((token->kind == HAKUBAN_TOKEN_STRING || token->kind == HAKUBAN_TOKEN_BYTES) &&
        !token->value.text.data && token->value.text.bytes) {
        return writer->status < 0 ? writer->status : (writer->status = HAKUBAN_ERR_ARGUMENT);
    }
    return write_token(writer, token);
}

hakuban_status hakuban_write_null(hakuban_writer *writer)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_NULL});
}

hakuban_status hakuban_write_bool(hakuban_writer *writer, int value)
{
    return write_token(writer,
                       &(hakuban_token){.kind = HAKUBAN_TOKEN_BOOL, .value.boolean = value != 0});
}

hakuban_status hakuban_write_int(hakuban_writer *writer, int64_t value)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_INT, .value.sint = value});
}

/* A number that fits into an INT becomes an INT, so that each number has one form only. */
hakuban_status hakuban_write_uint(hakuban_writer *writer, uint64_t value)
{
    if (value <= INT64_MAX) {
        return hakuban_write_int(writer, (int64_t)value);
    }
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_UINT, .value.uint = value});
}

hakuban_status hakuban_write_double(hakuban_writer *writer, double value)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_DOUBLE, .value.real = value});
}

hakuban_status hakuban_write_string(hakuban_writer *writer, const char *text)
{
    return hakuban_write_text(writer, text, text ? strlen(text) : 1);
}

hakuban_status hakuban_write_text(hakuban_writer *writer, const void *data, size_t bytes)
{
    return hakuban_write(
        writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_STRING, .value.text = {data, bytes}});
}

hakuban_status hakuban_write_bytes(hakuban_writer *writer, const void *data, size_t bytes)
{
    return hakuban_write(
        writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_BYTES, .value.text = {data, bytes}});
}

hakuban_status hakuban_write_array(hakuban_writer *writer, uint32_t count)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_ARRAY, .count = count});
}

hakuban_status hakuban_write_map(hakuban_writer *writer, uint32_t count)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_MAP, .count = count});
}

hakuban_status hakuban_write_end(hakuban_writer *writer)
{
    return write_token(writer, &(hakuban_token){.kind = HAKUBAN_TOKEN_END});
}

hakuban_status hakuban_writer_status(const hakuban_writer *writer)
{
    if (!writer) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (writer->status >= 0 && (writer->depth || writer->left[0])) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return writer->status;
}

void hakuban_reader_init(hakuban_reader *reader, const hakuban_serializer_ops *ops,
                         const hakuban_alloc *alloc, const void *data, size_t bytes,
                         uint32_t elements_max)
{
    if (!reader) {
        return;
    }
    reader->ops = ops;
    reader->data = data;
    reader->bytes = bytes;
    reader->offset = 0;
    reader->elements_left = elements_max;
    reader->depth = 0;
    reader->left[0] = 1; /* one value outside of all containers */
    reader->map[0] = 0;
    reader->begun[0] = 0;
    reader->scratch = NULL;
    reader->scratch_bytes = 0;
    reader->alloc = alloc ? alloc : hakuban_alloc_default();
    reader->state = NULL;
    reader->error.status = HAKUBAN_OK;
    reader->error.offset = 0;
    reader->error.line = reader->error.column = 0;
    reader->error.text[0] = '\0';
    if (!ops || (!data && bytes)) {
        hakuban_reader_fail(reader, HAKUBAN_ERR_ARGUMENT, "nothing to read from or with");
    }
}

void hakuban_reader_done(hakuban_reader *reader)
{
    if (!reader) {
        return;
    }
    if (reader->ops && reader->ops->reader_done) {
        reader->ops->reader_done(reader);
    }
    hkb_free(reader->alloc, reader->scratch, reader->scratch_bytes);
    reader->state = NULL;
    reader->scratch = NULL;
    reader->scratch_bytes = 0;
}

hakuban_status hakuban_reader_scratch(hakuban_reader *reader, size_t bytes)
{
    if (!reader) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    return hkb_grow(reader->alloc, &reader->scratch, 1, &reader->scratch_bytes, bytes);
}

hakuban_status hakuban_reader_fail(hakuban_reader *reader, hakuban_status status,
                                   const char *format, ...)
{
    if (reader && reader->error.status >= 0) {
        va_list arguments;
        va_start(arguments, format);
        hkb_error_set_v(&reader->error, status, format, arguments);
        va_end(arguments);
        reader->error.offset = reader->offset;
    }
    return status;
}

/* Fills in the error if the serializer has not done so. */
static hakuban_status read_failed(hakuban_reader *reader, hakuban_status status)
{
    hakuban_reader_fail(reader, status, "%s", hakuban_status_text(status));
    return reader->error.status;
}

static hakuban_status fail_at(hakuban_reader *reader, size_t offset, hakuban_status status,
                              const char *text)
{
    reader->offset = offset;
    return hakuban_reader_fail(reader, status, "%s", text);
}

static hakuban_status check_root(hakuban_reader *reader)
{
    if (reader->depth == 0 && reader->offset != reader->bytes) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "more bytes after the value");
    }
    return HAKUBAN_OK;
}

static hakuban_status read_ended(hakuban_reader *reader, hakuban_token *ret)
{
    if (!reader->depth) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "there is no other value");
    }
    ret->kind = HAKUBAN_TOKEN_END;
    ret->count = 0;
    reader->depth--;
    return check_root(reader);
}

static hakuban_status read_begun(hakuban_reader *reader, size_t offset, const hakuban_token *token)
{
    bool map = token->kind == HAKUBAN_TOKEN_MAP;
    uint32_t items = token->count;
    if (reader->depth == HAKUBAN_SERIALIZER_DEPTH_MAX) {
        return fail_at(reader, offset, HAKUBAN_ERR_LIMIT, "nested deeper than 127");
    }
    /* The count is checked before memory is allocated for it. */
    if (items != HAKUBAN_COUNT_UNKNOWN) {
        if (items > reader->elements_left || (map && items > reader->elements_left / 2)) {
            return fail_at(reader, offset, HAKUBAN_ERR_LIMIT, "more values than allowed");
        }
        items = map ? items * 2 : items;
        /* All open containers share one budget, so that nested ones cannot each declare all of it.
         */
        reader->elements_left -= items;
    }
    uint32_t depth = ++reader->depth;
    reader->left[depth] = items;
    reader->map[depth] = map;
    reader->begun[depth] = 0;
    return HAKUBAN_OK;
}

static inline hakuban_status read_token(hakuban_reader *reader, hakuban_token *ret)
{
    if (HKB_UNLIKELY(reader->error.status < 0)) {
        return reader->error.status;
    }
    uint32_t depth = reader->depth;
    if (!reader->left[depth]) {
        return read_ended(reader, ret);
    }
    size_t offset = reader->offset;
    hakuban_status status = reader->ops->read(reader, ret);
    if (HKB_UNLIKELY(status < 0)) {
        return read_failed(reader, status);
    }
    if (ret->kind == HAKUBAN_TOKEN_END) {
        if (!depth || reader->left[depth] != HAKUBAN_COUNT_UNKNOWN || reader->map[depth] == 2) {
            return fail_at(reader, offset, HAKUBAN_ERR_PARSE, "an end where a value should be");
        }
        reader->depth--;
        return check_root(reader);
    }
    /* The elements that a container declares are subtracted when it begins. */
    if (!depth || reader->left[depth] == HAKUBAN_COUNT_UNKNOWN) {
        if (HKB_UNLIKELY(!reader->elements_left)) {
            return fail_at(reader, offset, HAKUBAN_ERR_LIMIT, "more values than allowed");
        }
        reader->elements_left--;
    }
    if (reader->left[depth] != HAKUBAN_COUNT_UNKNOWN) {
        reader->left[depth]--;
    }
    if (reader->map[depth]) {
        reader->map[depth] = (uint8_t)(3 - reader->map[depth]);
    }
    reader->begun[depth] = 1;
    if (ret->kind == HAKUBAN_TOKEN_ARRAY || ret->kind == HAKUBAN_TOKEN_MAP) {
        return read_begun(reader, offset, ret);
    }
    return HKB_LIKELY(depth) ? HAKUBAN_OK : check_root(reader);
}

/* Reads a token of the wanted kind; another kind is an error. */
static inline hakuban_status read_kind(hakuban_reader *reader, hakuban_token_kind kind,
                                       const char *wanted, hakuban_token *ret)
{
    if (HKB_UNLIKELY(!reader)) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    size_t offset = reader->offset;
    hakuban_status status = read_token(reader, ret);
    if (HKB_UNLIKELY(status < 0)) {
        return status;
    }
    if (HKB_UNLIKELY(ret->kind != kind)) {
        return fail_at(reader, offset, HAKUBAN_ERR_PARSE, wanted);
    }
    return HAKUBAN_OK;
}

hakuban_status hakuban_read(hakuban_reader *reader, hakuban_token *ret)
{
    if (!reader || !ret) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_token token;
    hakuban_status status = read_token(reader, &token);
    if (status >= 0) {
        *ret = token;
    }
    return status;
}

hakuban_status hakuban_read_bool(hakuban_reader *reader, int *ret)
{
    hakuban_token token;
    hakuban_status status = read_kind(reader, HAKUBAN_TOKEN_BOOL, "expected true or false", &token);
    if (status >= 0) {
        *ret = token.value.boolean;
    }
    return status;
}

hakuban_status hakuban_read_int(hakuban_reader *reader, int64_t *ret)
{
    hakuban_token token;
    hakuban_status status =
        read_kind(reader, HAKUBAN_TOKEN_INT, "expected a 64-bit integer", &token);
    if (status >= 0) {
        *ret = token.value.sint;
    }
    return status;
}

hakuban_status hakuban_read_uint(hakuban_reader *reader, uint64_t *ret)
{
    if (!reader) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_token token;
    size_t offset = reader->offset;
    hakuban_status status = read_token(reader, &token);
    if (status < 0) {
        return status;
    }
    if (HKB_LIKELY(token.kind == HAKUBAN_TOKEN_INT && token.value.sint >= 0)) {
        *ret = (uint64_t)token.value.sint;
    } else if (token.kind == HAKUBAN_TOKEN_UINT) {
        *ret = token.value.uint;
    } else {
        return fail_at(reader, offset, HAKUBAN_ERR_PARSE, "expected an integer of at least 0");
    }
    return HAKUBAN_OK;
}

/* An integer is accepted if a double can hold it exactly, because other writers leave ".0" out. */
hakuban_status hakuban_read_double(hakuban_reader *reader, double *ret)
{
    static const double two_63 = 9223372036854775808.0;
    if (!reader) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    hakuban_token token;
    size_t offset = reader->offset;
    hakuban_status status = read_token(reader, &token);
    if (status < 0) {
        return status;
    }
    if (token.kind == HAKUBAN_TOKEN_DOUBLE) {
        *ret = token.value.real;
        return HAKUBAN_OK;
    }
    if (token.kind == HAKUBAN_TOKEN_INT) {
        double value = (double)token.value.sint;
        if (value < two_63 && (int64_t)value == token.value.sint) {
            *ret = value;
            return HAKUBAN_OK;
        }
    } else if (token.kind == HAKUBAN_TOKEN_UINT) {
        double value = (double)token.value.uint;
        if (value < 2 * two_63 && (uint64_t)value == token.value.uint) {
            *ret = value;
            return HAKUBAN_OK;
        }
    }
    return fail_at(reader, offset, HAKUBAN_ERR_PARSE, "expected a number that a double can hold");
}

hakuban_status hakuban_read_text(hakuban_reader *reader, hakuban_slice *ret_text)
{
    hakuban_token token;
    hakuban_status status = read_kind(reader, HAKUBAN_TOKEN_STRING, "expected a string", &token);
    if (status >= 0) {
        *ret_text = token.value.text;
    }
    return status;
}

hakuban_status hakuban_read_bytes(hakuban_reader *reader, hakuban_slice *ret_bytes)
{
    hakuban_token token;
    hakuban_status status = read_kind(reader, HAKUBAN_TOKEN_BYTES, "expected bytes", &token);
    if (status >= 0) {
        *ret_bytes = token.value.text;
    }
    return status;
}

hakuban_status hakuban_read_array(hakuban_reader *reader, uint32_t *ret_count)
{
    hakuban_token token;
    hakuban_status status = read_kind(reader, HAKUBAN_TOKEN_ARRAY, "expected an array", &token);
    if (status >= 0) {
        *ret_count = token.count;
    }
    return status;
}

hakuban_status hakuban_read_map(hakuban_reader *reader, uint32_t *ret_count)
{
    hakuban_token token;
    hakuban_status status = read_kind(reader, HAKUBAN_TOKEN_MAP, "expected a map", &token);
    if (status >= 0) {
        *ret_count = token.count;
    }
    return status;
}

hakuban_status hakuban_read_end(hakuban_reader *reader)
{
    hakuban_token token;
    return read_kind(reader, HAKUBAN_TOKEN_END, "expected the end of the array or map", &token);
}

int hakuban_read_at_end(hakuban_reader *reader)
{
    if (!reader || reader->error.status < 0) {
        return 1;
    }
    uint32_t left = reader->left[reader->depth];
    if (left != HAKUBAN_COUNT_UNKNOWN) {
        return left == 0;
    }
    /* The next token is read from a copy of the reader. The copy has its own scratch memory,
     * because the caller may still use the text before. */
    uint8_t *scratch = reader->scratch;
    size_t scratch_bytes = reader->scratch_bytes, offset = reader->offset;
    reader->scratch = NULL;
    reader->scratch_bytes = 0;
    hakuban_token token;
    hakuban_status status = reader->ops->read(reader, &token);
    hkb_free(reader->alloc, reader->scratch, reader->scratch_bytes);
    reader->scratch = scratch;
    reader->scratch_bytes = scratch_bytes;
    if (status < 0) {
        (void)read_failed(reader, status);
        return 1;
    }
    reader->offset = offset;
    return token.kind == HAKUBAN_TOKEN_END;
}

hakuban_status hakuban_read_skip(hakuban_reader *reader)
{
    if (!reader) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    uint32_t depth = reader->depth;
    size_t offset = reader->offset;
    hakuban_token token;
    do {
        hakuban_status status = read_token(reader, &token);
        if (status < 0) {
            return status;
        }
        if (reader->depth < depth) {
            return fail_at(reader, offset, HAKUBAN_ERR_PARSE, "an end where a value should be");
        }
    } while (reader->depth > depth);
    return HAKUBAN_OK;
}

/* -- Conversion -- */

/* The item counts of containers that do not declare them, in the order in which they begin. */
typedef struct ahead_counts {
    uint32_t *counts;
    size_t count, capacity, next;
} ahead_counts;

static hakuban_status begin_count(hakuban_reader *reader, ahead_counts *ahead, size_t *ret_index)
{
    hakuban_status status = hkb_grow(reader->alloc, &ahead->counts, sizeof(*ahead->counts),
                                     &ahead->capacity, ahead->count + 1);
    if (status < 0) {
        return read_failed(reader, status);
    }
    ahead->counts[ahead->count] = 0;
    *ret_index = ahead->count++;
    return HAKUBAN_OK;
}

/* Reads to the end of the container that reader has just begun, and counts its items and those of
 * the containers in it. */
static hakuban_status count_to_end(hakuban_reader *reader, ahead_counts *ahead)
{
    size_t index[HAKUBAN_SERIALIZER_DEPTH_MAX + 1];
    uint32_t outermost = reader->depth;
    ahead->count = ahead->next = 0;
    hakuban_status status = begin_count(reader, ahead, &index[outermost]);
    while (status >= 0 && reader->depth >= outermost) {
        uint32_t depth = reader->depth;
        hakuban_token token;
        status = read_token(reader, &token);
        if (status < 0 || token.kind == HAKUBAN_TOKEN_END) {
            continue;
        }
        /* A pair of a map is counted at its value. */
        if (reader->left[depth] == HAKUBAN_COUNT_UNKNOWN && reader->map[depth] != 2) {
            ahead->counts[index[depth]]++;
        }
        if (reader->depth > depth && reader->left[reader->depth] == HAKUBAN_COUNT_UNKNOWN) {
            status = begin_count(reader, ahead, &index[reader->depth]);
        }
    }
    return status;
}

/* Counts by reading ahead with a copy of the reader, which has its own scratch memory. */
static hakuban_status count_ahead(hakuban_reader *reader, ahead_counts *ahead)
{
    hakuban_reader copy = *reader;
    copy.scratch = NULL;
    copy.scratch_bytes = 0;
    hakuban_status status = count_to_end(&copy, ahead);
    hkb_free(copy.alloc, copy.scratch, copy.scratch_bytes);
    reader->state = copy.state;
    if (status < 0) {
        reader->offset = copy.offset;
        reader->error = copy.error;
    }
    return status;
}

static hakuban_status not_written(hakuban_reader *from, size_t offset, const hakuban_writer *to,
                                  hakuban_token_kind kind, bool key)
{
    static const char *const names[] = {
        [HAKUBAN_TOKEN_NULL] = "null",          [HAKUBAN_TOKEN_BOOL] = "true or false",
        [HAKUBAN_TOKEN_INT] = "this integer",   [HAKUBAN_TOKEN_UINT] = "this integer",
        [HAKUBAN_TOKEN_DOUBLE] = "this double", [HAKUBAN_TOKEN_STRING] = "this string",
        [HAKUBAN_TOKEN_BYTES] = "bytes",        [HAKUBAN_TOKEN_ARRAY] = "an array",
        [HAKUBAN_TOKEN_MAP] = "a map",          [HAKUBAN_TOKEN_END] = "an end",
    };
    from->offset = offset;
    if (to->status == HAKUBAN_ERR_UNSUPPORTED) {
        return hakuban_reader_fail(from, to->status, "%s cannot be %s in %s", names[kind],
                                   key ? "a key" : "a value", to->ops->format);
    }
    return hakuban_reader_fail(from, to->status, "%s cannot be written as %s: %s", names[kind],
                               to->ops->format, hakuban_status_text(to->status));
}

static hakuban_status convert_token(hakuban_reader *from, hakuban_writer *to, uint32_t depth,
                                    ahead_counts *ahead)
{
    size_t offset = from->offset;
    hakuban_token token;
    hakuban_status status = read_token(from, &token);
    if (status < 0) {
        return status;
    }
    if (from->depth < depth) {
        return fail_at(from, offset, HAKUBAN_ERR_PARSE, "an end where a value should be");
    }
    if ((token.kind == HAKUBAN_TOKEN_ARRAY || token.kind == HAKUBAN_TOKEN_MAP) &&
        token.count == HAKUBAN_COUNT_UNKNOWN) {
        if (ahead->next == ahead->count) {
            status = count_ahead(from, ahead);
        }
        if (status < 0) {
            return status;
        }
        token.count = ahead->counts[ahead->next++];
    }
    bool key = to->map[to->depth] == 1;
    if (hakuban_write(to, &token) < 0) {
        return not_written(from, offset, to, token.kind, key);
    }
    return HAKUBAN_OK;
}

/* Writers need the count of a container before its items. If the source format does not declare
 * counts, the outermost container is first read to its end, which gives the counts of all
 * containers in it; then it is copied. So each byte is read twice at most, at any depth. */
hakuban_status hakuban_convert(hakuban_reader *from, hakuban_writer *to)
{
    if (!from || !to) {
        return HAKUBAN_ERR_ARGUMENT;
    }
    if (to->status < 0) {
        return hakuban_reader_fail(from, to->status, "the writer had failed before");
    }
    uint32_t depth = from->depth;
    ahead_counts ahead = {0};
    hakuban_status status;
    do {
        status = convert_token(from, to, depth, &ahead);
    } while (status >= 0 && from->depth > depth);
    hkb_free(from->alloc, ahead.counts, ahead.capacity * sizeof(*ahead.counts));
    if (status < 0 && to->status >= 0) {
        to->status = status; /* a part must not be taken for the whole value */
    }
    return status;
}
