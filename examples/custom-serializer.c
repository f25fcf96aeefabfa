/* A serializer of your own: CBOR (RFC 8949) in two functions, registered with two exchanges. The
 * same table then carries the headers of the wire and the data of a state. Build: cc
 * custom-serializer.c -lhakuban -lm */
#include <hakuban/hakuban.h>
#include <hakuban/plugin/registry.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT }; /* major types */
enum { CBOR_ARRAY = 4, CBOR_MAP, CBOR_TAG, CBOR_SIMPLE }; /* the others */
enum { CBOR_FALSE = 20, CBOR_TRUE, CBOR_NULL };           /* simple values */
enum { CBOR_HALF = 25, CBOR_SINGLE, CBOR_DOUBLE };

/* -- Writing -- */

/* The major type with its argument in the fewest bytes: in the head itself, or in the 1, 2, 4 or 8
 * that follow. */
static hakuban_status write_head(hakuban_writer *writer, unsigned major, uint64_t value)
{
    uint8_t head[9];
    unsigned size = 0;
    while (size < 3 && value >> (8u << size)) {
        size++;
    }
    unsigned follow = value < 24 ? 0 : 1u << size;
    head[0] = (uint8_t)(major << 5 | (follow ? 24 + size : (unsigned)value));
    for (unsigned i = 0; i < follow; i++) {
        head[1 + i] = (uint8_t)(value >> (8 * (follow - 1 - i)));
    }
    return hakuban_writer_append(writer, head, 1 + follow);
}

static hakuban_status write_double(hakuban_writer *writer, double value)
{
    uint8_t bytes[9] = {CBOR_SIMPLE << 5 | CBOR_DOUBLE};
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    for (unsigned i = 0; i < 8; i++) {
        bytes[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    return hakuban_writer_append(writer, bytes, sizeof(bytes));
}

static hakuban_status cbor_write(hakuban_writer *writer, const hakuban_token *token)
{
    hakuban_status status;
    switch (token->kind) {
    case HAKUBAN_TOKEN_NULL:
        return write_head(writer, CBOR_SIMPLE, CBOR_NULL);
    case HAKUBAN_TOKEN_BOOL:
        return write_head(writer, CBOR_SIMPLE, token->value.boolean ? CBOR_TRUE : CBOR_FALSE);
    case HAKUBAN_TOKEN_INT:
        return token->value.sint >= 0
                   ? write_head(writer, CBOR_UINT, (uint64_t)token->value.sint)
                   : write_head(writer, CBOR_NEGATIVE, ~(uint64_t)token->value.sint);
    case HAKUBAN_TOKEN_UINT:
        return write_head(writer, CBOR_UINT, token->value.uint);
    case HAKUBAN_TOKEN_DOUBLE:
        return write_double(writer, token->value.real);
    case HAKUBAN_TOKEN_STRING:
    case HAKUBAN_TOKEN_BYTES:
        status = write_head(writer, token->kind == HAKUBAN_TOKEN_STRING ? CBOR_TEXT : CBOR_BYTES,
                            token->value.text.bytes);
        return status < 0
                   ? status
                   : hakuban_writer_append(writer, token->value.text.data, token->value.text.bytes);
    case HAKUBAN_TOKEN_ARRAY:
        return write_head(writer, CBOR_ARRAY, token->count);
    case HAKUBAN_TOKEN_MAP:
        return write_head(writer, CBOR_MAP, token->count);
    case HAKUBAN_TOKEN_END: /* counts were written before: nothing marks the end */
        return HAKUBAN_OK;
    }
    return HAKUBAN_ERR_UNSUPPORTED;
}

/* -- Reading: the bytes are a stranger's, so every length is checked against what is there -- */

static hakuban_status read_double(hakuban_reader *reader, unsigned info, uint64_t bits,
                                  hakuban_token *ret)
{
    ret->kind = HAKUBAN_TOKEN_DOUBLE;
    if (info == CBOR_DOUBLE) {
        memcpy(&ret->value.real, &bits, sizeof(bits));
    } else if (info == CBOR_SINGLE) {
        uint32_t single_bits = (uint32_t)bits;
        float single;
        memcpy(&single, &single_bits, sizeof(single));
        ret->value.real = (double)single;
    } else if (info == CBOR_HALF) {
        int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
        double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
        if (exponent == 31) {
            value = mantissa ? (double)NAN : (double)INFINITY;
        }
        ret->value.real = bits >> 15 ? -value : value;
    } else {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "an unknown simple value, %u", info);
    }
    return HAKUBAN_OK;
}

/* What is said to be text must be: well-formed UTF-8, in the shortest form, no surrogates. */
static int is_utf8(const uint8_t *in, size_t bytes)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < bytes;) {
        uint8_t first = in[i++];
        unsigned follow = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        uint32_t code = follow ? first & (0x3fu >> follow) : first;
        if ((first >= 0x80 && first < 0xc0) || first > 0xf7 || bytes - i < follow) {
            return 0;
        }
        for (unsigned n = 0; n < follow; n++, i++) {
            if (in[i] >> 6 != 2) {
                return 0;
            }
            code = code << 6 | (in[i] & 0x3fu);
        }
        if (code < least[follow] || code > 0x10ffff || code >> 11 == 0xd800 >> 11) {
            return 0;
        }
    }
    return 1;
}

static hakuban_status read_text(hakuban_reader *reader, unsigned major, uint64_t bytes,
                                hakuban_token *ret)
{
    if (bytes > reader->bytes - reader->offset) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "a text is cut off");
    }
    if (major == CBOR_TEXT && !is_utf8(reader->data + reader->offset, (size_t)bytes)) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "a text is not UTF-8");
    }
    ret->kind = major == CBOR_TEXT ? HAKUBAN_TOKEN_STRING : HAKUBAN_TOKEN_BYTES;
    ret->value.text.data = reader->data + reader->offset;
    ret->value.text.bytes = (size_t)bytes;
    reader->offset += (size_t)bytes;
    return HAKUBAN_OK;
}

/* The argument behind a head byte. */
static hakuban_status read_argument(hakuban_reader *reader, unsigned info, uint64_t *ret)
{
    unsigned follow = info < 24 ? 0 : 1u << (info - 24);
    if (info > 27) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_UNSUPPORTED, "lengths that come later");
    }
    if (reader->bytes - reader->offset < follow) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "the end came too early");
    }
    uint64_t value = follow ? 0 : info;
    for (unsigned i = 0; i < follow; i++) {
        value = value << 8 | reader->data[reader->offset++];
    }
    *ret = value;
    return HAKUBAN_OK;
}

static hakuban_status cbor_read(hakuban_reader *reader, hakuban_token *ret)
{
    uint64_t value = 0;
    if (reader->offset == reader->bytes) {
        return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "the end came too early");
    }
    unsigned major = reader->data[reader->offset] >> 5, info = reader->data[reader->offset] & 31u;
    reader->offset++;
    hakuban_status status = read_argument(reader, info, &value);
    if (status < 0) {
        return status;
    }
    switch (major) {
    case CBOR_UINT:
        ret->kind = value > INT64_MAX ? HAKUBAN_TOKEN_UINT : HAKUBAN_TOKEN_INT;
        ret->value.uint = value; /* the same bits as the signed value */
        return HAKUBAN_OK;
    case CBOR_NEGATIVE:
        if (value > INT64_MAX) {
            return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "a number is too small");
        }
        ret->kind = HAKUBAN_TOKEN_INT;
        ret->value.sint = -1 - (int64_t)value;
        return HAKUBAN_OK;
    case CBOR_BYTES:
    case CBOR_TEXT:
        return read_text(reader, major, value, ret);
    case CBOR_ARRAY:
    case CBOR_MAP: /* each item takes a byte at least: a count beyond that is a lie */
        if (value > (reader->bytes - reader->offset) / (major == CBOR_MAP ? 2 : 1)) {
            return hakuban_reader_fail(reader, HAKUBAN_ERR_PARSE, "more items than there can be");
        }
        ret->kind = major == CBOR_ARRAY ? HAKUBAN_TOKEN_ARRAY : HAKUBAN_TOKEN_MAP;
        ret->count = (uint32_t)value;
        return HAKUBAN_OK;
    case CBOR_TAG:
        return hakuban_reader_fail(reader, HAKUBAN_ERR_UNSUPPORTED, "CBOR tags");
    default:
        break;
    }
    ret->value.boolean = info == CBOR_TRUE;
    ret->kind = info == CBOR_NULL ? HAKUBAN_TOKEN_NULL : HAKUBAN_TOKEN_BOOL;
    if (info == CBOR_NULL || info == CBOR_TRUE || info == CBOR_FALSE) {
        return HAKUBAN_OK;
    }
    return read_double(reader, info, value, ret);
}

const hakuban_serializer_ops cbor = {
    .size = sizeof(cbor),
    .abi = HAKUBAN_SERIALIZER_ABI,
    .name = "cbor",
    .format = "CBOR",
    .write = cbor_write,
    .read = cbor_read,
};

/* -- Using it -- */

#ifndef CUSTOM_SERIALIZER_TABLE_ONLY

static int wait_for(hakuban_contract *contract, hakuban_event_kind kind, hakuban_event *ret)
{
    while (hakuban_contract_next(contract, 5000, ret) >= 0) {
        if (ret->kind == kind) {
            return 1;
        }
        hakuban_event_done(ret);
    }
    return 0;
}

static hakuban_status send_reading(hakuban_sink *sink)
{
    static const char *const format[] = {"CBOR"};
    hakuban_writer writer;
    hakuban_state *state = NULL;
    hakuban_writer_init(&writer, &cbor, NULL, 4096);
    hakuban_write_map(&writer, 2);
    hakuban_write_string(&writer, "celsius");
    hakuban_write_double(&writer, 21.5);
    hakuban_write_string(&writer, "history");
    hakuban_write_array(&writer, 3);
    for (int i = 0; i < 3; i++) {
        hakuban_write_int(&writer, 18 + i);
    }
    hakuban_write_end(&writer);
    hakuban_write_end(&writer);
    hakuban_status status = hakuban_writer_status(&writer);
    hakuban_state_parts parts = {
        .data = writer.data, .data_bytes = writer.bytes, .format = format, .format_count = 1};
    if (status >= 0) {
        status = hakuban_state_new(NULL, &parts, &state);
    }
    if (status >= 0) {
        status = hakuban_sink_send(sink, state);
    }
    hakuban_state_unref(state);
    hakuban_writer_done(&writer);
    return status;
}

static int show_reading(hakuban_state *state)
{
    hakuban_slice data = hakuban_state_data(state);
    hakuban_reader reader;
    hakuban_token token;
    int tokens = 0;
    hakuban_reader_init(&reader, &cbor, NULL, data.data, data.bytes, 100);
    for (; tokens < 9 && hakuban_read(&reader, &token) >= 0; tokens++) {
        if (token.kind == HAKUBAN_TOKEN_STRING) {
            printf("%.*s ", (int)token.value.text.bytes, (const char *)token.value.text.data);
        } else if (token.kind == HAKUBAN_TOKEN_DOUBLE) {
            printf("%g ", token.value.real);
        } else if (token.kind == HAKUBAN_TOKEN_INT) {
            printf("%lld ", (long long)token.value.sint);
        }
    }
    printf("(%zu bytes of %s)\n", data.bytes, hakuban_state_format(state, 0));
    hakuban_reader_done(&reader);
    return tokens == 9;
}

int main(void)
{
    hakuban_exchange *hub = NULL, *leaf = NULL;
    hakuban_listener *listener = NULL;
    hakuban_connection *connection = NULL;
    hakuban_descriptor *room = NULL;
    hakuban_contract *exposer = NULL, *observer = NULL;
    hakuban_event event;
    hakuban_error error = {0};
    int shown = 0;

    if (hakuban_exchange_new(NULL, &hub) >= 0 && hakuban_exchange_new(NULL, &leaf) >= 0 &&
        hakuban_exchange_add_serializer(hub, &cbor, &error) >= 0 &&
        hakuban_exchange_add_serializer(leaf, &cbor, &error) >= 0 &&
        hakuban_exchange_listen(hub, "inproc://custom-serializer", &listener, &error) >= 0 &&
        hakuban_exchange_connect(leaf, "inproc://custom-serializer#serializer=cbor", NULL,
                                 &connection, &error) >= 0 &&
        hakuban_descriptor_new(NULL, "\"room 1\"", NULL, 0, &room, &error) >= 0 &&
        hakuban_expose_object(leaf, room, NULL, &exposer) >= 0 &&
        hakuban_observe_object(hub, room, NULL, &observer) >= 0 &&
        wait_for(exposer, HAKUBAN_EVENT_SINK_OPEN, &event)) {
        hakuban_status sent = send_reading(event.sink);
        hakuban_event_done(&event);
        if (sent >= 0 && wait_for(observer, HAKUBAN_EVENT_STATE, &event)) {
            shown = show_reading(event.state);
            hakuban_event_done(&event);
        }
    }
    if (!shown) {
        fprintf(stderr, "custom-serializer: %s\n", error.status < 0 ? error.text : "nothing came");
    }
    hakuban_contract_free(exposer);
    hakuban_contract_free(observer);
    hakuban_descriptor_unref(room);
    hakuban_connection_free(connection);
    hakuban_listener_free(listener);
    hakuban_exchange_free(leaf);
    hakuban_exchange_free(hub);
    return shown ? 0 : 1;
}

#endif
