/* The serializer msgpack before the MessagePack specification: every form and its limits,
 * strangers' bytes, and the way to JSON and back. */
#define _GNU_SOURCE
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/base.h"
#include "fail_alloc.h"

#include <hakuban/plugin/serializer.h>

extern const hakuban_serializer_ops hakuban_serializer_json;
extern const hakuban_serializer_ops hakuban_serializer_msgpack;

enum { ELEMENTS_MAX = 200000, BYTES_MAX = 1 << 22 };

/* Pairs of digits; spaces may stand between pairs. */
static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t bytes = 0;
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        const char pair[3] = {hex[0], hex[1], 0};
        out[bytes++] = (uint8_t)strtoul(pair, NULL, 16);
        hex += hex[1] ? 2 : 1;
    }
    return bytes;
}

static hakuban_writer writer_of(const hakuban_serializer_ops *ops)
{
    hakuban_writer writer;
    hakuban_writer_init(&writer, ops, NULL, BYTES_MAX);
    return writer;
}

static void expect_bytes(const hakuban_writer *writer, const void *data, size_t bytes)
{
    ck_assert_int_eq(hakuban_writer_status(writer), HAKUBAN_OK);
    ck_assert_uint_eq(writer->bytes, bytes);
    ck_assert_mem_eq(writer->data, data, bytes);
}

/* Reads one value to its end from memory of exactly its size. Failures are in words and leave
 * nothing to free. */
static hakuban_status read_all(const uint8_t *data, size_t bytes, uint32_t elements_max,
                               hakuban_error *ret_error)
{
    fail_alloc memory;
    fail_alloc_init(&memory);
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    hakuban_reader reader;
    hakuban_reader_init(&reader, &hakuban_serializer_msgpack, &memory.table, copy, bytes,
                        elements_max);
    hakuban_status status = hakuban_read_skip(&reader);
    ck_assert_int_eq(status, reader.error.status);
    ck_assert_int_eq(status != HAKUBAN_OK, reader.error.text[0] != '\0');
    ck_assert_uint_le(reader.error.offset, bytes);
    *ret_error = reader.error;
    hakuban_reader_done(&reader);
    ck_assert_uint_eq(memory.calls, 0);
    free(copy);
    return status;
}

static hakuban_status read_hex(const char *hex, hakuban_error *ret_error)
{
    uint8_t data[256];
    size_t bytes = from_hex(hex, data);
    return read_all(data, bytes, ELEMENTS_MAX, ret_error);
}

static bool same_token(const hakuban_token *a, const hakuban_token *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case HAKUBAN_TOKEN_BOOL:
        return a->value.boolean == b->value.boolean;
    case HAKUBAN_TOKEN_INT:
        return a->value.sint == b->value.sint;
    case HAKUBAN_TOKEN_UINT:
        return a->value.uint == b->value.uint;
    case HAKUBAN_TOKEN_DOUBLE:
        return memcmp(&a->value.real, &b->value.real, sizeof(double)) == 0;
    case HAKUBAN_TOKEN_STRING:
    case HAKUBAN_TOKEN_BYTES:
        return a->value.text.bytes == b->value.text.bytes &&
               (!a->value.text.bytes ||
                memcmp(a->value.text.data, b->value.text.data, a->value.text.bytes) == 0);
    case HAKUBAN_TOKEN_ARRAY:
    case HAKUBAN_TOKEN_MAP:
        return a->count == b->count;
    case HAKUBAN_TOKEN_NULL:
    case HAKUBAN_TOKEN_END:
        return true;
    }
    return false;
}

static void expect_read(const char *hex, const hakuban_token *wanted)
{
    uint8_t data[64];
    size_t bytes = from_hex(hex, data);
    hakuban_reader reader;
    hakuban_token token;
    hakuban_reader_init(&reader, &hakuban_serializer_msgpack, NULL, data, bytes, 1);
    ck_assert_msg(hakuban_read(&reader, &token) == HAKUBAN_OK, "%s: %s", hex, reader.error.text);
    ck_assert_msg(same_token(&token, wanted), "%s", hex);
    hakuban_reader_done(&reader);
}

#define INT(number) {.kind = HAKUBAN_TOKEN_INT, .value.sint = (number)}
#define UINT(number) {.kind = HAKUBAN_TOKEN_UINT, .value.uint = (number)}
#define DOUBLE(number) {.kind = HAKUBAN_TOKEN_DOUBLE, .value.real = (number)}
#define BOOL(truth) {.kind = HAKUBAN_TOKEN_BOOL, .value.boolean = (truth)}

START_TEST(scalars_have_the_shortest_form_of_the_specification)
{
    static const struct {
        hakuban_token token;
        const char *hex;
    } cases[] = {
        {{.kind = HAKUBAN_TOKEN_NULL}, "c0"},
        {BOOL(0), "c2"},
        {BOOL(1), "c3"},
        {INT(0), "00"},
        {INT(127), "7f"},
        {INT(128), "cc80"},
        {INT(255), "ccff"},
        {INT(256), "cd0100"},
        {INT(65535), "cdffff"},
        {INT(65536), "ce00010000"},
        {INT(INT64_C(4294967295)), "ceffffffff"},
        {INT(INT64_C(4294967296)), "cf0000000100000000"},
        {INT(INT64_MAX), "cf7fffffffffffffff"},
        {UINT((uint64_t)INT64_MAX + 1), "cf8000000000000000"},
        {UINT(UINT64_MAX), "cfffffffffffffffff"},
        {INT(-1), "ff"},
        {INT(-32), "e0"},
        {INT(-33), "d0df"},
        {INT(-128), "d080"},
        {INT(-129), "d1ff7f"},
        {INT(-32768), "d18000"},
        {INT(-32769), "d2ffff7fff"},
        {INT(INT32_MIN), "d280000000"},
        {INT((int64_t)INT32_MIN - 1), "d3ffffffff7fffffff"},
        {INT(INT64_MIN), "d38000000000000000"},
        {DOUBLE(0), "cb0000000000000000"},
        {DOUBLE(-0.0), "cb8000000000000000"},
        {DOUBLE(1), "cb3ff0000000000000"},
        {DOUBLE(0.1), "cb3fb999999999999a"},
        {DOUBLE((double)INFINITY), "cb7ff0000000000000"},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        uint8_t wanted[16];
        size_t bytes = from_hex(cases[i].hex, wanted);
        hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
        ck_assert_int_eq(hakuban_write(&writer, &cases[i].token), HAKUBAN_OK);
        expect_bytes(&writer, wanted, bytes);
        hakuban_writer_done(&writer);
        expect_read(cases[i].hex, &cases[i].token);
    }
}
END_TEST

START_TEST(other_writers_longer_forms_are_the_same_values)
{
    static const struct {
        const char *hex;
        hakuban_token token;
    } cases[] = {
        {"cc05", INT(5)},
        {"cd0005", INT(5)},
        {"ce00000005", INT(5)},
        {"cf0000000000000005", INT(5)},
        {"d005", INT(5)},
        {"d10005", INT(5)},
        {"d200000005", INT(5)},
        {"d30000000000000005", INT(5)},
        {"d0ff", INT(-1)},
        {"d1ffff", INT(-1)},
        {"d2ffffffff", INT(-1)},
        {"d3ffffffffffffffff", INT(-1)},
        {"ca3fc00000", DOUBLE(1.5)},
        {"caff800000", DOUBLE(-(double)INFINITY)},
        {"d900", {.kind = HAKUBAN_TOKEN_STRING}},
        {"da000161", {.kind = HAKUBAN_TOKEN_STRING, .value.text = {(const uint8_t *)"a", 1}}},
        {"db0000000161", {.kind = HAKUBAN_TOKEN_STRING, .value.text = {(const uint8_t *)"a", 1}}},
        {"c5000161", {.kind = HAKUBAN_TOKEN_BYTES, .value.text = {(const uint8_t *)"a", 1}}},
        {"c60000000161", {.kind = HAKUBAN_TOKEN_BYTES, .value.text = {(const uint8_t *)"a", 1}}},
        {"c600000000", {.kind = HAKUBAN_TOKEN_BYTES}},
        {"dc0000", {.kind = HAKUBAN_TOKEN_ARRAY}},
        {"dd00000000", {.kind = HAKUBAN_TOKEN_ARRAY}},
        {"de0000", {.kind = HAKUBAN_TOKEN_MAP}},
        {"df00000000", {.kind = HAKUBAN_TOKEN_MAP}},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        expect_read(cases[i].hex, &cases[i].token);
    }
}
END_TEST

START_TEST(texts_and_bytes_have_the_shortest_length)
{
    static const struct {
        hakuban_token_kind kind;
        size_t bytes;
        const char *head;
    } cases[] = {
        {HAKUBAN_TOKEN_STRING, 0, "a0"},         {HAKUBAN_TOKEN_STRING, 1, "a1"},
        {HAKUBAN_TOKEN_STRING, 31, "bf"},        {HAKUBAN_TOKEN_STRING, 32, "d920"},
        {HAKUBAN_TOKEN_STRING, 255, "d9ff"},     {HAKUBAN_TOKEN_STRING, 256, "da0100"},
        {HAKUBAN_TOKEN_STRING, 65535, "daffff"}, {HAKUBAN_TOKEN_STRING, 65536, "db00010000"},
        {HAKUBAN_TOKEN_BYTES, 0, "c400"},        {HAKUBAN_TOKEN_BYTES, 1, "c401"},
        {HAKUBAN_TOKEN_BYTES, 255, "c4ff"},      {HAKUBAN_TOKEN_BYTES, 256, "c50100"},
        {HAKUBAN_TOKEN_BYTES, 65535, "c5ffff"},  {HAKUBAN_TOKEN_BYTES, 65536, "c600010000"},
    };
    static uint8_t wanted[65536 + 5], text[65536];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        hakuban_token token = {.kind = cases[i].kind, .value.text = {text, cases[i].bytes}}, back;
        size_t head = from_hex(cases[i].head, wanted);
        memcpy(wanted + head, text, cases[i].bytes);
        hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
        ck_assert_int_eq(hakuban_write(&writer, &token), HAKUBAN_OK);
        expect_bytes(&writer, wanted, head + cases[i].bytes);
        hakuban_reader reader;
        hakuban_reader_init(&reader, &hakuban_serializer_msgpack, NULL, writer.data, writer.bytes,
                            1);
        ck_assert_int_eq(hakuban_read(&reader, &back), HAKUBAN_OK);
        ck_assert(same_token(&token, &back));
        hakuban_reader_done(&reader);
        hakuban_writer_done(&writer);
    }
}
END_TEST

START_TEST(containers_have_the_shortest_count)
{
    static const struct {
        hakuban_token_kind kind;
        uint32_t count;
        const char *head;
    } cases[] = {
        {HAKUBAN_TOKEN_ARRAY, 0, "90"},
        {HAKUBAN_TOKEN_ARRAY, 15, "9f"},
        {HAKUBAN_TOKEN_ARRAY, 16, "dc0010"},
        {HAKUBAN_TOKEN_ARRAY, 65535, "dcffff"},
        {HAKUBAN_TOKEN_ARRAY, 65536, "dd00010000"},
        {HAKUBAN_TOKEN_MAP, 0, "80"},
        {HAKUBAN_TOKEN_MAP, 15, "8f"},
        {HAKUBAN_TOKEN_MAP, 16, "de0010"},
        {HAKUBAN_TOKEN_MAP, 65535, "deffff"},
        {HAKUBAN_TOKEN_MAP, 65536, "df00010000"},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        bool map = cases[i].kind == HAKUBAN_TOKEN_MAP;
        hakuban_token token = {.kind = cases[i].kind, .count = cases[i].count}, back;
        uint8_t head[8];
        size_t head_bytes = from_hex(cases[i].head, head);
        size_t items = (size_t)cases[i].count * (map ? 2 : 1);
        hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
        hakuban_write(&writer, &token);
        for (size_t k = 0; k < items; k++) {
            hakuban_write_int(&writer, 1);
        }
        ck_assert_int_eq(hakuban_write_end(&writer), HAKUBAN_OK);
        ck_assert_uint_eq(writer.bytes, head_bytes + items);
        ck_assert_mem_eq(writer.data, head, head_bytes);
        hakuban_reader reader;
        hakuban_reader_init(&reader, &hakuban_serializer_msgpack, NULL, writer.data, writer.bytes,
                            (uint32_t)items + 1);
        ck_assert_int_eq(hakuban_read(&reader, &back), HAKUBAN_OK);
        ck_assert(same_token(&token, &back));
        for (size_t k = 0; k < items; k++) {
            ck_assert(!hakuban_read_at_end(&reader));
            ck_assert_int_eq(hakuban_read_skip(&reader), HAKUBAN_OK);
        }
        ck_assert(hakuban_read_at_end(&reader));
        ck_assert_int_eq(hakuban_read_end(&reader), HAKUBAN_OK);
        hakuban_reader_done(&reader);
        hakuban_writer_done(&writer);
    }
}
END_TEST

START_TEST(what_is_no_value_is_refused_in_words)
{
    static const struct {
        const char *hex, *words;
        size_t offset;
    } cases[] = {
        {"", "end where a value", 0},
        {"c1", "no value begins", 0},
        {"92c0c1", "no value begins", 2},
        {"d4 05 00", "extension", 0},
        {"d5 05 0000", "extension", 0},
        {"d6 ff 00000000", "extension", 0},
        {"d7 ff 0000000000000000", "extension", 0},
        {"d8 05 00000000000000000000000000000000", "extension", 0},
        {"c7 01 05 00", "extension", 0},
        {"c7 00 05", "extension", 0},
        {"c8 0001 05 00", "extension", 0},
        {"91 c9 00000001 05 00", "extension", 1},
        {"c9 ffffffff", "extension", 0},
        {"a1ff", "UTF-8", 0},
        {"a2c080", "UTF-8", 0},
        {"a3eda080", "UTF-8", 0},
        {"d901c3", "UTF-8", 0},
        {"81a1ffc0", "UTF-8", 1},
        {"0000", "more bytes", 1},
        {"9000", "more bytes", 1},
        {"9100c0", "more bytes", 2},
        {"cd01", "within a value", 0},
        {"92c0", "of 2 items, and 1 bytes are left", 0},
        {"8200c000", "of 2 items, and 3 bytes are left", 0},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        hakuban_error error;
        ck_assert_msg(read_hex(cases[i].hex, &error) == HAKUBAN_ERR_PARSE, "%s", cases[i].hex);
        ck_assert_msg(strstr(error.text, cases[i].words) != NULL, "%s: %s", cases[i].hex,
                      error.text);
        ck_assert_msg(error.offset == cases[i].offset, "%s: at %zu", cases[i].hex, error.offset);
    }
}
END_TEST

START_TEST(what_is_declared_and_not_there_costs_nothing)
{
    static const char *const bombs[] = {
        "ddffffffff",         "dfffffffff",         "dbffffffff",           "c6ffffffff",
        "c9ffffffff05",       "dd7fffffff00000000", "df7fffffff00000000",   "ddfffffffe00000000",
        "dcffff0000000000",   "deffff0000000000",   "91ddffffffff00000000", "81a161dfffffffff0000",
        "ddffffffffddffffff", "dbfffffffe61616161", "c6fffffffe61616161",   "df8000000100000000",
    };
    hakuban_error error;
    for (size_t i = 0; i < HKB_COUNT(bombs); i++) {
        ck_assert_msg(read_hex(bombs[i], &error) == HAKUBAN_ERR_PARSE, "%s", bombs[i]);
    }
    /* Each of these arrays fits the bytes that are left and the budget; all of them don't. */
    uint8_t nested[900] = {0};
    for (size_t i = 0; i < 100; i++) {
        memcpy(nested + 3 * i, "\xdc\x00\x64", 3);
    }
    ck_assert_int_eq(read_all(nested, sizeof(nested), 1000, &error), HAKUBAN_ERR_LIMIT);
    ck_assert_uint_eq(error.offset, 3 * 9);
}
END_TEST

START_TEST(no_more_elements_than_allowed)
{
    static const uint8_t value[] = {0x92, 0x81, 0xa1, 'k', 0x01, 0x92, 0x02, 0x03};
    hakuban_error error;
    ck_assert_int_eq(read_all(value, sizeof(value), 7, &error), HAKUBAN_OK);
    for (uint32_t max = 0; max < 7; max++) {
        ck_assert_int_eq(read_all(value, sizeof(value), max, &error), HAKUBAN_ERR_LIMIT);
    }
}
END_TEST

START_TEST(nesting_has_an_end)
{
    for (size_t depth = 127; depth <= 128; depth++) {
        uint8_t deep[128];
        memset(deep, 0x91, depth - 1);
        deep[depth - 1] = 0x90;
        hakuban_error error;
        hakuban_status wanted = depth == 127 ? HAKUBAN_OK : HAKUBAN_ERR_LIMIT;
        ck_assert_int_eq(read_all(deep, depth, 1000, &error), wanted);
        hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
        for (size_t i = 1; i < depth; i++) {
            ck_assert_int_eq(hakuban_write_array(&writer, 1), HAKUBAN_OK);
        }
        ck_assert_int_eq(hakuban_write_array(&writer, 0), wanted);
        hakuban_writer_done(&writer);
    }
}
END_TEST

START_TEST(keys_may_be_anything)
{
    hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
    hakuban_write_map(&writer, 3);
    hakuban_write_int(&writer, 1);
    hakuban_write_bytes(&writer, "\0\xff", 2);
    hakuban_write_null(&writer);
    hakuban_write_bytes(&writer, NULL, 0);
    hakuban_write_array(&writer, 1);
    hakuban_write_bool(&writer, 1);
    hakuban_write_end(&writer);
    hakuban_write_double(&writer, 2);
    hakuban_write_end(&writer);
    uint8_t wanted[32];
    size_t bytes = from_hex("83 01 c40200ff c0 c400 91c3 cb4000000000000000", wanted);
    expect_bytes(&writer, wanted, bytes);
    hakuban_error error;
    ck_assert_int_eq(read_all(writer.data, writer.bytes, 100, &error), HAKUBAN_OK);
    hakuban_writer_reset(&writer);
    ck_assert_int_eq(hakuban_write_text(&writer, "\xc3", 1), HAKUBAN_ERR_ARGUMENT);
    hakuban_writer_done(&writer);
}
END_TEST

/* -- A document with everything, and what can happen to it -- */

static size_t put_document(uint8_t *out)
{
    return from_hex("df00000003 a161 9f 00 7f cc80 cd0100 ce00010000 cf0000000100000000 ff d0df"
                    "   d1ff7f d2ffff7fff d3ffffffff7fffffff ca3fc00000 cb3ff8000000000000 c2 c3"
                    "   d90162 dc0002 da0003e282ac db00000000 05 83 c0 c40101 c5000102 c60000000103"
                    "   a0 81 a17a 90",
                    out);
}

START_TEST(half_a_document_is_none)
{
    uint8_t document[256];
    size_t bytes = put_document(document);
    hakuban_error error;
    ck_assert_msg(read_all(document, bytes, 100, &error) == HAKUBAN_OK, "%s", error.text);
    for (size_t i = 0; i < bytes; i++) {
        ck_assert_int_eq(read_all(document, i, 100, &error), HAKUBAN_ERR_PARSE);
    }
}
END_TEST

START_TEST(damage_does_no_harm)
{
    uint8_t document[256];
    size_t bytes = put_document(document), refused = 0;
    hakuban_error error;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t was = document[i];
        for (unsigned value = 0; value < 256; value++) {
            document[i] = (uint8_t)value;
            hakuban_status status = read_all(document, bytes, 100, &error);
            ck_assert(status == HAKUBAN_OK || status == HAKUBAN_ERR_PARSE ||
                      status == HAKUBAN_ERR_LIMIT);
            refused += status != HAKUBAN_OK;
        }
        document[i] = was;
    }
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

/* -- Random values -- */

static uint64_t seed;

static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* A random token, no END; texts point into letters. */
static hakuban_token random_token(bool json, bool key, uint32_t depth)
{
    static const uint8_t letters[] =
        "a quick brown fox \"jumps\" \\ over\nthe lazy dog, 0123456789 "
        "and then it sleeps for as long as it likes to, and longer";
    hakuban_token token = {.kind = HAKUBAN_TOKEN_NULL};
    uint64_t bits = random_next();
    unsigned kinds = depth < 6 ? 9 : 7;
    if (key && json) {
        token.kind = HAKUBAN_TOKEN_STRING;
    } else {
        token.kind = (hakuban_token_kind)(1 + random_next() % kinds);
    }
    if (json && token.kind == HAKUBAN_TOKEN_BYTES) {
        token.kind = HAKUBAN_TOKEN_STRING;
    }
    switch (token.kind) {
    case HAKUBAN_TOKEN_BOOL:
        token.value.boolean = bits & 1;
        break;
    case HAKUBAN_TOKEN_INT:
        token.value.sint = (int64_t)(bits >> random_next() % 64);
        if (random_next() & 1) {
            token.value.sint = -1 - (token.value.sint & INT64_MAX);
        }
        break;
    case HAKUBAN_TOKEN_UINT:
        token.value.uint = bits | (uint64_t)1 << 63;
        break;
    case HAKUBAN_TOKEN_DOUBLE:
        token.value.real = json ? (double)(int64_t)(bits | 1) / 1e9 : 0;
        if (!json) {
            memcpy(&token.value.real, &bits, sizeof(bits));
        }
        break;
    case HAKUBAN_TOKEN_STRING:
    case HAKUBAN_TOKEN_BYTES:
        token.value.text = (hakuban_slice){letters, (size_t)(bits % sizeof(letters))};
        break;
    case HAKUBAN_TOKEN_ARRAY:
    case HAKUBAN_TOKEN_MAP:
        token.count = (uint32_t)(bits % 20);
        break;
    default:
        break;
    }
    return token;
}

/* Writes a random value, or reads it and finds it to be the same. */
static void walk(hakuban_writer *writer, hakuban_reader *reader, bool json, bool key,
                 uint32_t depth)
{
    hakuban_token token = random_token(json, key, depth), read;
    if (writer) {
        ck_assert_int_eq(hakuban_write(writer, &token), HAKUBAN_OK);
    } else {
        ck_assert_int_eq(hakuban_read(reader, &read), HAKUBAN_OK);
        ck_assert(same_token(&token, &read));
    }
    if (token.kind != HAKUBAN_TOKEN_ARRAY && token.kind != HAKUBAN_TOKEN_MAP) {
        return;
    }
    bool map = token.kind == HAKUBAN_TOKEN_MAP;
    for (uint32_t i = 0; i < token.count * (map ? 2 : 1); i++) {
        walk(writer, reader, json, map && i % 2 == 0, depth + 3);
    }
    if (writer) {
        ck_assert_int_eq(hakuban_write_end(writer), HAKUBAN_OK);
    } else {
        ck_assert_int_eq(hakuban_read_end(reader), HAKUBAN_OK);
    }
}

static void convert(const hakuban_writer *from, hakuban_writer *to)
{
    hakuban_reader reader;
    hakuban_reader_init(&reader, from->ops, NULL, from->data, from->bytes, ELEMENTS_MAX);
    ck_assert_msg(hakuban_convert(&reader, to) == HAKUBAN_OK, "%s", reader.error.text);
    ck_assert_int_eq(hakuban_writer_status(to), HAKUBAN_OK);
    hakuban_reader_done(&reader);
}

START_TEST(random_values_come_back)
{
    for (uint64_t i = 1; i <= 2000; i++) {
        bool json = i % 2 == 0;
        hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
        seed = i * 0x9e3779b97f4a7c15u;
        walk(&writer, NULL, json, false, 0);
        hakuban_reader reader;
        hakuban_reader_init(&reader, &hakuban_serializer_msgpack, NULL, writer.data, writer.bytes,
                            ELEMENTS_MAX);
        seed = i * 0x9e3779b97f4a7c15u;
        walk(NULL, &reader, json, false, 0);
        hakuban_reader_done(&reader);
        if (json) {
            hakuban_writer text = writer_of(&hakuban_serializer_json);
            hakuban_writer back = writer_of(&hakuban_serializer_msgpack);
            convert(&writer, &text);
            convert(&text, &back);
            expect_bytes(&back, writer.data, writer.bytes);
            hakuban_writer_done(&text);
            hakuban_writer_done(&back);
        }
        hakuban_writer_done(&writer);
    }
}
END_TEST

/* -- From and to JSON -- */

START_TEST(json_becomes_msgpack_and_msgpack_json)
{
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"null", "c0"},
        {"[]", "90"},
        {"{}", "80"},
        {"[1,-1,2.5,true,\"\xe2\x82\xac\"]", "95 01 ff cb4004000000000000 c3 a3e282ac"},
        {"{\"a\":[],\"b\":{\"c\":[[1],[2,3]]},\"d\":18446744073709551615}",
         "83 a161 90 a162 81 a163 92 91 01 92 02 03 a164 cfffffffffffffffff"},
        {"[[],[[]],{\"\":{}}]", "93 90 91 90 81 a0 80"},
        {"1.0", "cb3ff0000000000000"},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        uint8_t packed[64];
        size_t bytes = from_hex(cases[i].hex, packed);
        hakuban_writer text = writer_of(&hakuban_serializer_json), back = text;
        hakuban_writer msgpack = writer_of(&hakuban_serializer_msgpack);
        hakuban_writer_append(&text, cases[i].text, strlen(cases[i].text));
        convert(&text, &msgpack);
        expect_bytes(&msgpack, packed, bytes);
        convert(&msgpack, &back);
        expect_bytes(&back, cases[i].text, strlen(cases[i].text));
        hakuban_writer_done(&text);
        hakuban_writer_done(&back);
        hakuban_writer_done(&msgpack);
    }
}
END_TEST

START_TEST(one_value_of_many_is_converted)
{
    static const char text[] = "[ 1 , { \"a\" : [ \"\\u0062\" , 3 ] } , [ [ ] ] , 4 ]";
    hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
    hakuban_reader reader;
    hakuban_reader_init(&reader, &hakuban_serializer_json, NULL, text, sizeof(text) - 1, 100);
    uint32_t count;
    int64_t value = 0;
    ck_assert_int_eq(hakuban_read_array(&reader, &count), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_int(&reader, &value), HAKUBAN_OK);
    hakuban_write_array(&writer, 3);
    ck_assert_int_eq(hakuban_convert(&reader, &writer), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_convert(&reader, &writer), HAKUBAN_OK);
    ck_assert_int_eq(hakuban_read_int(&reader, &value), HAKUBAN_OK);
    ck_assert_int_eq(value, 4);
    hakuban_write_int(&writer, 5);
    ck_assert_int_eq(hakuban_write_end(&writer), HAKUBAN_OK);
    uint8_t wanted[32];
    size_t bytes = from_hex("93 81 a161 92 a162 03 91 90 05", wanted);
    expect_bytes(&writer, wanted, bytes);
    ck_assert_int_eq(hakuban_convert(&reader, &writer), HAKUBAN_ERR_PARSE); /* at the end */
    hakuban_reader_done(&reader);
    hakuban_writer_done(&writer);
}
END_TEST

static void expect_refused(const hakuban_serializer_ops *from, const void *data, size_t bytes,
                           hakuban_writer *to, hakuban_status status, const char *words)
{
    hakuban_reader reader;
    hakuban_reader_init(&reader, from, NULL, data, bytes, 100);
    ck_assert_int_eq(hakuban_convert(&reader, to), status);
    ck_assert_msg(strstr(reader.error.text, words) != NULL, "%s", reader.error.text);
    ck_assert_int_eq(reader.error.status, status);
    ck_assert_int_eq(hakuban_writer_status(to), status);
    hakuban_reader_done(&reader);
    hakuban_writer_done(to);
}

START_TEST(what_json_has_not_is_refused_in_words)
{
    static const struct {
        const char *hex, *words;
    } cases[] = {
        {"92 01 c40178", "bytes cannot be a value in JSON"},
        {"81 01 02", "this integer cannot be a key in JSON"},
        {"81 c0 02", "null cannot be a key in JSON"},
        {"81 90 02", "an array cannot be a key in JSON"},
        {"81 c400 02", "bytes cannot be a key in JSON"},
        {"cb7ff0000000000000", "this double cannot be a value in JSON"},
    };
    for (size_t i = 0; i < HKB_COUNT(cases); i++) {
        uint8_t data[32];
        size_t bytes = from_hex(cases[i].hex, data);
        hakuban_writer writer = writer_of(&hakuban_serializer_json);
        expect_refused(&hakuban_serializer_msgpack, data, bytes, &writer, HAKUBAN_ERR_UNSUPPORTED,
                       cases[i].words);
    }
}
END_TEST

START_TEST(a_conversion_that_fails_leaves_no_half)
{
    hakuban_writer writer = writer_of(&hakuban_serializer_msgpack);
    expect_refused(&hakuban_serializer_json, "[1,[2,{\"a\":}]]", 14, &writer, HAKUBAN_ERR_PARSE,
                   "expected a JSON value");
    writer = writer_of(&hakuban_serializer_msgpack);
    expect_refused(&hakuban_serializer_json, "[1] 2", 5, &writer, HAKUBAN_ERR_PARSE, "more bytes");
    writer = writer_of(&hakuban_serializer_msgpack);
    expect_refused(&hakuban_serializer_json, "1 2", 3, &writer, HAKUBAN_ERR_PARSE, "more bytes");
    hakuban_writer_init(&writer, &hakuban_serializer_msgpack, NULL, 4);
    expect_refused(&hakuban_serializer_json, "[1,\"long\"]", 10, &writer, HAKUBAN_ERR_LIMIT,
                   "this string cannot be written as MSGPACK: over a limit");
    writer = writer_of(&hakuban_serializer_msgpack);
    hakuban_write_int(&writer, 1);
    expect_refused(&hakuban_serializer_json, "1", 1, &writer, HAKUBAN_ERR_ARGUMENT, "this integer");
    hakuban_writer_init(&writer, NULL, NULL, 4);
    expect_refused(&hakuban_serializer_json, "1", 1, &writer, HAKUBAN_ERR_ARGUMENT,
                   "failed before");
    ck_assert_int_eq(hakuban_convert(NULL, &writer), HAKUBAN_ERR_ARGUMENT);
}
END_TEST

START_TEST(a_conversion_without_memory_is_an_error)
{
    static const char text[] = "{\"\\n\":[[],[[\"\\t\"]],{\"a\":{}}]}";
    fail_alloc memory;
    fail_alloc_init(&memory);
    bool failed = true;
    for (size_t i = 1; failed; i++) {
        fail_alloc_arm(&memory, i, false);
        hakuban_reader reader;
        hakuban_writer writer;
        hakuban_reader_init(&reader, &hakuban_serializer_json, &memory.table, text,
                            sizeof(text) - 1, 100);
        hakuban_writer_init(&writer, &hakuban_serializer_msgpack, &memory.table, BYTES_MAX);
        hakuban_status status = hakuban_convert(&reader, &writer);
        failed = fail_alloc_failed(&memory);
        ck_assert_int_eq(status, failed ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK);
        hakuban_reader_done(&reader);
        hakuban_writer_done(&writer);
        ck_assert_uint_eq(memory.blocks, 0);
    }
}
END_TEST

static size_t reads;

static hakuban_status read_and_count(hakuban_reader *reader, hakuban_token *ret)
{
    reads++;
    return hakuban_serializer_json.read(reader, ret);
}

START_TEST(conversion_reads_everything_twice_at_most)
{
    hakuban_serializer_ops counting = hakuban_serializer_json;
    counting.read = read_and_count;
    hakuban_writer text = writer_of(&hakuban_serializer_json);
    /* 120 arrays in each other, 300 items in each: [1,1,…,[1,1,…,[…]]] */
    for (size_t depth = 0; depth < 120; depth++) {
        hakuban_write_array(&text, 300);
        for (size_t i = 0; i < (depth < 119 ? 299u : 300u); i++) {
            hakuban_write_int(&text, 1);
        }
    }
    for (size_t depth = 0; depth < 120; depth++) {
        ck_assert_int_eq(hakuban_write_end(&text), HAKUBAN_OK);
    }
    hakuban_writer msgpack = writer_of(&hakuban_serializer_msgpack);
    hakuban_reader reader;
    hakuban_reader_init(&reader, &counting, NULL, text.data, text.bytes, ELEMENTS_MAX);
    reads = 0;
    ck_assert_int_eq(hakuban_convert(&reader, &msgpack), HAKUBAN_OK);
    ck_assert_uint_le(reads, 2 * (120 * 300 + 1 + 120));
    hakuban_reader_done(&reader);
    hakuban_writer_done(&text);
    hakuban_writer_done(&msgpack);
}
END_TEST

/* Each line: JSON, a tab, the same value as Python packs it. */
START_TEST(python_packs_the_same_bytes)
{
    FILE *cases = popen("python3 tests/unit/codecs/msgpack_cases.py", "r");
    ck_assert_ptr_nonnull(cases);
    char *line = NULL;
    size_t capacity = 0, count = 0;
    ssize_t bytes;
    while ((bytes = getline(&line, &capacity, cases)) > 0) {
        char *tab = strchr(line, '\t');
        ck_assert_ptr_nonnull(tab);
        line[bytes - 1] = '\0';
        uint8_t *packed = malloc((size_t)bytes);
        size_t packed_bytes = from_hex(tab + 1, packed);
        hakuban_writer text = writer_of(&hakuban_serializer_json), back = text;
        hakuban_writer msgpack = writer_of(&hakuban_serializer_msgpack);
        hakuban_writer_append(&text, line, (size_t)(tab - line));
        convert(&text, &msgpack);
        expect_bytes(&msgpack, packed, packed_bytes);
        convert(&msgpack, &back);
        hakuban_writer_reset(&msgpack);
        convert(&back, &msgpack);
        expect_bytes(&msgpack, packed, packed_bytes);
        hakuban_writer_done(&text);
        hakuban_writer_done(&back);
        hakuban_writer_done(&msgpack);
        free(packed);
        count++;
    }
    free(line);
    int status = pclose(cases);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
        fputs("skipped: there is no python3 with the module msgpack\n", stderr);
        return;
    }
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(count, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("msgpack");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, scalars_have_the_shortest_form_of_the_specification);
    tcase_add_test(all, other_writers_longer_forms_are_the_same_values);
    tcase_add_test(all, texts_and_bytes_have_the_shortest_length);
    tcase_add_test(all, containers_have_the_shortest_count);
    tcase_add_test(all, what_is_no_value_is_refused_in_words);
    tcase_add_test(all, what_is_declared_and_not_there_costs_nothing);
    tcase_add_test(all, no_more_elements_than_allowed);
    tcase_add_test(all, nesting_has_an_end);
    tcase_add_test(all, keys_may_be_anything);
    tcase_add_test(all, half_a_document_is_none);
    tcase_add_test(all, damage_does_no_harm);
    tcase_add_test(all, random_values_come_back);
    tcase_add_test(all, json_becomes_msgpack_and_msgpack_json);
    tcase_add_test(all, one_value_of_many_is_converted);
    tcase_add_test(all, what_json_has_not_is_refused_in_words);
    tcase_add_test(all, a_conversion_that_fails_leaves_no_half);
    tcase_add_test(all, a_conversion_without_memory_is_an_error);
    tcase_add_test(all, conversion_reads_everything_twice_at_most);
    tcase_add_test(all, python_packs_the_same_bytes);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
