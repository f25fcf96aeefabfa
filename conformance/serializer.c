/* What every serializer promises. Knows no format: what may be refused is refused with
 * ERR_UNSUPPORTED, all else comes back as it was. */
#define _GNU_SOURCE
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

enum { INPUT }; /* room */
enum { BYTES_MAX = 1 << 20, ELEMENTS_MAX = 200000, TOKENS_MAX = 100000 };

#define NUL {.kind = HAKUBAN_TOKEN_NULL}
#define BOOL(v) {.kind = HAKUBAN_TOKEN_BOOL, .value.boolean = (v)}
#define INT(v) {.kind = HAKUBAN_TOKEN_INT, .value.sint = (v)}
#define UINT(v) {.kind = HAKUBAN_TOKEN_UINT, .value.uint = (v)}
#define REAL(v) {.kind = HAKUBAN_TOKEN_DOUBLE, .value.real = (v)}
#define TEXT(v) {.kind = HAKUBAN_TOKEN_STRING, .value.text = {(v), sizeof(v) - 1}}
#define BYTES(v) {.kind = HAKUBAN_TOKEN_BYTES, .value.text = {(v), sizeof(v) - 1}}
#define ARRAY(n) {.kind = HAKUBAN_TOKEN_ARRAY, .count = (n)}
#define MAP(n) {.kind = HAKUBAN_TOKEN_MAP, .count = (n)}
#define END {.kind = HAKUBAN_TOKEN_END}

static const hakuban_token scalars[] = {
    NUL,
    BOOL(0),
    BOOL(1),
    INT(0),
    INT(1),
    INT(-1),
    INT(23),
    INT(24),
    INT(-24),
    INT(-25),
    INT(-32),
    INT(-33),
    INT(127),
    INT(128),
    INT(-128),
    INT(-129),
    INT(255),
    INT(256),
    INT(-256),
    INT(-257),
    INT(32767),
    INT(-32768),
    INT(-32769),
    INT(65535),
    INT(65536),
    INT(-65536),
    INT(-65537),
    INT(INT32_MAX),
    INT(INT32_MIN),
    INT((int64_t)INT32_MIN - 1),
    INT(UINT32_MAX),
    INT((int64_t)UINT32_MAX + 1),
    INT(-(int64_t)UINT32_MAX - 1),
    INT(-(int64_t)UINT32_MAX - 2),
    INT(((int64_t)1 << 53) - 1),
    INT((int64_t)1 << 53),
    INT(((int64_t)1 << 53) + 1),
    INT(-((int64_t)1 << 53) - 1),
    INT(999999999999999999),
    INT(INT64_MAX),
    INT(INT64_MIN),
    UINT((uint64_t)1 << 63),
    UINT(UINT64_MAX),
    REAL(0.0),
    REAL(-0.0),
    REAL(1.0),
    REAL(-1.5),
    REAL(0.1),
    REAL(1e21),
    REAL(1e-7),
    REAL(123456789012345680.0),
    REAL(9007199254740993.0),
    REAL(65504.0),
    REAL((double)FLT_MAX),
    REAL((double)FLT_MIN),
    REAL(5e-324),
    REAL(DBL_MIN),
    REAL(DBL_MAX),
    REAL(-DBL_MAX),
    REAL((double)NAN),
    REAL((double)INFINITY),
    REAL(-(double)INFINITY),
    TEXT(""),
    TEXT("a"),
    TEXT("\"quoted\" and \\ and /"),
    TEXT("\x01\x02\b\t\n\f\r\x1f\x7f"),
    TEXT("in\0side"),
    TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf "
         "\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"),
    BYTES(""),
    BYTES("\0\xff\xfe\x80"),
};

/* One message with all that formats must know, and what they may know where they do. */
static const hakuban_token mixed[] = {
    MAP(8),
    TEXT("null"),
    NUL,
    TEXT("yes"),
    BOOL(1),
    TEXT("numbers"),
    ARRAY(8),
    INT(0),
    INT(-1),
    INT(200),
    INT(-70000),
    INT(INT64_MIN),
    UINT(UINT64_MAX),
    REAL(1.5),
    REAL(-2.5e-100),
    END,
    TEXT("text"),
    TEXT("gr\xc3\xbc\xc3\x9f\n\x01\xf0\x9f\x98\x80"),
    TEXT("nothing"),
    ARRAY(3),
    ARRAY(0),
    END,
    MAP(0),
    END,
    TEXT(""),
    END,
    TEXT("deep"),
    ARRAY(1),
    MAP(1),
    TEXT("k"),
    ARRAY(1),
    MAP(1),
    TEXT("l"),
    BOOL(0),
    END,
    END,
    END,
    END,
    TEXT("a key that has thirty-two bytes!!"),
    INT(1),
    TEXT("\xc3\xa9"),
    ARRAY(2),
    INT(65536),
    TEXT("end"),
    END,
    END,
};
static const hakuban_token odd[] = {
    ARRAY(3), BYTES("\0\xff\x80"),    MAP(2), INT(7), TEXT("seven"), BOOL(1), NUL,
    END,      REAL((double)INFINITY), END,
};

static const hakuban_serializer_ops *ops_of(const hkb_checks *checks)
{
    return checks->ops;
}

static const char *kind_name(hakuban_token_kind kind)
{
    static const char *const names[] = {"?",      "null",  "bool",  "int", "uint", "double",
                                        "string", "bytes", "array", "map", "end"};
    return kind >= HAKUBAN_TOKEN_NULL && kind <= HAKUBAN_TOKEN_END ? names[kind] : "?";
}

static bool is_text(const hakuban_token *token)
{
    return token->kind == HAKUBAN_TOKEN_STRING || token->kind == HAKUBAN_TOKEN_BYTES;
}

/* Bit for bit, but that one NaN is like another, and that a format need not know of a zero below
 * zero. */
static bool same(const hakuban_token *a, const hakuban_token *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case HAKUBAN_TOKEN_BOOL:
        return !a->value.boolean == !b->value.boolean;
    case HAKUBAN_TOKEN_INT:
    case HAKUBAN_TOKEN_UINT:
        return a->value.uint == b->value.uint;
    case HAKUBAN_TOKEN_DOUBLE:
        return (isnan(a->value.real) && isnan(b->value.real)) ||
               (a->value.real == 0 && b->value.real == 0) ||
               memcmp(&a->value.real, &b->value.real, sizeof(a->value.real)) == 0;
    case HAKUBAN_TOKEN_STRING:
    case HAKUBAN_TOKEN_BYTES:
        return a->value.text.bytes == b->value.text.bytes &&
               (a->value.text.bytes == 0 ||
                memcmp(a->value.text.data, b->value.text.data, a->value.text.bytes) == 0);
    case HAKUBAN_TOKEN_ARRAY:
    case HAKUBAN_TOKEN_MAP:
        return b->count == a->count || b->count == HAKUBAN_COUNT_UNKNOWN;
    default:
        return true;
    }
}

static bool must_be_written(const hakuban_token *token, bool key)
{
    if (key) {
        return token->kind == HAKUBAN_TOKEN_STRING;
    }
    return token->kind != HAKUBAN_TOKEN_BYTES &&
           (token->kind != HAKUBAN_TOKEN_DOUBLE || isfinite(token->value.real));
}

static void writer_begin(hkb_checks *checks, hakuban_writer *writer, size_t bytes_max)
{
    memset(writer, 0, sizeof(*writer));
    hakuban_writer_init(writer, ops_of(checks), &checks->alloc, bytes_max);
}

static hakuban_status write_all(hakuban_writer *writer, const hakuban_token *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)hakuban_write(writer, &tokens[i]);
    }
    return hakuban_writer_status(writer);
}

/* What was written, in front of a page that cannot be read. */
static void reader_begin(hkb_checks *checks, hakuban_reader *reader, const void *data, size_t bytes,
                         uint32_t elements_max)
{
    uint8_t *room = hkb_check_room(checks, INPUT, bytes);
    if (bytes > 0) {
        memmove(room, data, bytes);
    }
    hakuban_reader_init(reader, ops_of(checks), &checks->alloc, room, bytes, elements_max);
}

/* Reads what must be there. ask: before each token whether the container ends, which gives the
 * token back. */
static void read_all(hkb_checks *checks, hakuban_reader *reader, const hakuban_token *tokens,
                     size_t count, bool ask, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        hakuban_token token;
        bool ends = tokens[i].kind == HAKUBAN_TOKEN_END;
        if (ask && reader->depth > 0) {
            for (unsigned twice = 0; twice < 2; twice++) {
                HKB_CHECK(checks, !hakuban_read_at_end(reader) == !ends,
                          "%s: asked for the end in front of token %zu, %s; %s", what, i,
                          kind_name(tokens[i].kind), reader->error.text);
            }
        }
        hakuban_status status = hakuban_read(reader, &token);
        HKB_CHECK(checks, status == HAKUBAN_OK, "%s: token %zu, %s, cannot be read: %s", what, i,
                  kind_name(tokens[i].kind), reader->error.text);
        HKB_CHECK(checks, same(&tokens[i], &token), "%s: token %zu, %s, came back as another %s",
                  what, i, kind_name(tokens[i].kind), kind_name(token.kind));
    }
}

static void there_and_back(hkb_checks *checks, const hakuban_token *tokens, size_t count,
                           bool required, const char *what)
{
    hakuban_writer writer;
    hakuban_reader reader;
    writer_begin(checks, &writer, BYTES_MAX);
    hakuban_status status = write_all(&writer, tokens, count);
    if (status == HAKUBAN_OK) {
        for (int ask = 0; ask < 2; ask++) {
            reader_begin(checks, &reader, writer.data, writer.bytes, ELEMENTS_MAX);
            read_all(checks, &reader, tokens, count, ask != 0, what);
            hakuban_token token;
            HKB_CHECK(checks, hakuban_read(&reader, &token) < 0, "%s: something follows", what);
            hakuban_reader_done(&reader);
        }
    } else {
        HKB_CHECK(checks, !required, "%s cannot be written: %s", what, hakuban_status_text(status));
        HKB_CHECK(checks, status == HAKUBAN_ERR_UNSUPPORTED, "%s: %s, not ERR_UNSUPPORTED", what,
                  hakuban_status_text(status));
    }
    hakuban_writer_done(&writer);
}

/* One value alone, between others, as a map's value and as its key. */
static void everywhere(hkb_checks *checks, const hakuban_token *token, const char *what)
{
    const hakuban_token among[] = {ARRAY(3), INT(1), *token, TEXT("x"), END};
    const hakuban_token value[] = {MAP(2), TEXT("k"), *token, TEXT("l"), NUL, END};
    const hakuban_token key[] = {MAP(2), *token, INT(1), TEXT("another key"), NUL, END};
    bool required = must_be_written(token, false);
    there_and_back(checks, token, 1, required, what);
    there_and_back(checks, among, HKB_CHECK_COUNT(among), required, what);
    there_and_back(checks, value, HKB_CHECK_COUNT(value), required, what);
    there_and_back(checks, key, HKB_CHECK_COUNT(key), must_be_written(token, true), what);
}

/* -- The checks -- */

static void the_table_is_complete(hkb_checks *checks)
{
    const hakuban_serializer_ops *ops = ops_of(checks);
    HKB_CHECK(checks, ops, "there is no table");
    HKB_CHECK(checks, ops->size == sizeof(*ops), "size is %u, not %zu", (unsigned)ops->size,
              sizeof(*ops));
    HKB_CHECK(checks, ops->abi == HAKUBAN_SERIALIZER_ABI, "abi is %u, not %u", (unsigned)ops->abi,
              HAKUBAN_SERIALIZER_ABI);
    HKB_CHECK(checks, ops->name && ops->name[0] && strlen(ops->name) <= 32,
              "the name is missing or longer than 32 bytes");
    HKB_CHECK(checks, ops->format && ops->format[0] && strlen(ops->format) <= 32,
              "the format is missing or longer than 32 bytes");
    HKB_CHECK(checks, ops->write && ops->read, "write() or read() is missing");
}

static void every_value_comes_back_as_it_was(hkb_checks *checks)
{
    for (size_t i = 0; i < HKB_CHECK_COUNT(scalars); i++) {
        char what[64];
        const hakuban_token *token = &scalars[i];
        if (token->kind == HAKUBAN_TOKEN_INT) {
            (void)snprintf(what, sizeof(what), "%lld", (long long)token->value.sint);
        } else if (token->kind == HAKUBAN_TOKEN_DOUBLE) {
            (void)snprintf(what, sizeof(what), "%.17g as a double", token->value.real);
        } else {
            (void)snprintf(what, sizeof(what), "%s (value %zu)", kind_name(token->kind), i);
        }
        everywhere(checks, token, what);
    }
}

static void texts_of_every_length_come_back(hkb_checks *checks)
{
    static const size_t lengths[] = {15,  16,  23,  24,  31,    32,    33,    127,
                                     128, 255, 256, 257, 65535, 65536, 65537, 300000};
    char *text = checks->alloc.alloc(checks, 300000);
    HKB_CHECK(checks, text, "the checks themselves lack memory");
    memset(text, 'm', 300000);
    for (size_t i = 0; i < HKB_CHECK_COUNT(lengths); i++) {
        char what[64];
        hakuban_token token = {.kind = HAKUBAN_TOKEN_STRING, .value.text = {text, lengths[i]}};
        (void)snprintf(what, sizeof(what), "a text of %zu bytes", lengths[i]);
        everywhere(checks, &token, what);
        token.kind = HAKUBAN_TOKEN_BYTES;
        everywhere(checks, &token, what);
    }
    checks->alloc.free(checks, text, 300000);
}

static void containers_of_every_size_come_back(hkb_checks *checks)
{
    static const uint32_t counts[] = {0, 1, 2, 15, 16, 17, 23, 24, 255, 256, 257, 65535, 65536};
    const size_t bytes = (2 * 65536 + 2) * sizeof(hakuban_token);
    hakuban_token *tokens = checks->alloc.alloc(checks, bytes);
    char(*keys)[8] = checks->alloc.alloc(checks, 65536 * sizeof(*keys));
    HKB_CHECK(checks, tokens && keys, "the checks themselves lack memory");
    for (unsigned i = 0; i < 65536; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%u", i);
    }
    for (size_t i = 0; i < HKB_CHECK_COUNT(counts); i++) {
        for (int map = 0; map < 2; map++) {
            char what[64];
            size_t used = 0;
            (void)snprintf(what, sizeof(what), "%s of %u", map ? "a map" : "an array", counts[i]);
            tokens[used++] = (hakuban_token){.kind = map ? HAKUBAN_TOKEN_MAP : HAKUBAN_TOKEN_ARRAY,
                                             .count = counts[i]};
            for (uint32_t item = 0; item < counts[i]; item++) {
                if (map) {
                    tokens[used++] =
                        (hakuban_token){.kind = HAKUBAN_TOKEN_STRING,
                                        .value.text = {keys[item], strlen(keys[item])}};
                }
                tokens[used++] = (hakuban_token)INT(item);
            }
            tokens[used++] = (hakuban_token)END;
            there_and_back(checks, tokens, used, true, what);
        }
    }
    checks->alloc.free(checks, keys, 65536 * sizeof(*keys));
    checks->alloc.free(checks, tokens, bytes);
}

static void messages_of_all_kinds_come_back(hkb_checks *checks)
{
    there_and_back(checks, mixed, HKB_CHECK_COUNT(mixed), true, "the message");
    there_and_back(checks, odd, HKB_CHECK_COUNT(odd), false, "the odd message");
}

/* Arrays and maps in turn; one too many is refused by the writer and not a serializer's business.
 */
static void nesting_comes_back_down_to_the_limit(hkb_checks *checks)
{
    hakuban_token tokens[3 * HAKUBAN_SERIALIZER_DEPTH_MAX];
    size_t used = 0;
    for (unsigned depth = 0; depth < HAKUBAN_SERIALIZER_DEPTH_MAX; depth++) {
        bool map = depth % 2, last = depth == HAKUBAN_SERIALIZER_DEPTH_MAX - 1;
        tokens[used++] =
            (hakuban_token){.kind = map ? HAKUBAN_TOKEN_MAP : HAKUBAN_TOKEN_ARRAY, .count = !last};
        if (map) {
            tokens[used++] = (hakuban_token)TEXT("k");
        }
    }
    for (unsigned depth = 0; depth < HAKUBAN_SERIALIZER_DEPTH_MAX; depth++) {
        tokens[used++] = (hakuban_token)END;
    }
    there_and_back(checks, tokens, used, true, "127 containers in one another");
}

static void a_text_that_is_not_utf8_is_refused_or_comes_back(hkb_checks *checks)
{
    static const hakuban_token bad[] = {ARRAY(2), TEXT("a\xff\xc3"), INT(1), END};
    hakuban_writer writer;
    hakuban_reader reader;
    writer_begin(checks, &writer, BYTES_MAX);
    hakuban_status status = write_all(&writer, bad, HKB_CHECK_COUNT(bad));
    if (status == HAKUBAN_OK) {
        reader_begin(checks, &reader, writer.data, writer.bytes, ELEMENTS_MAX);
        hakuban_token token;
        status = hakuban_read(&reader, &token);
        HKB_CHECK(checks, status == HAKUBAN_OK, "the array in front of it cannot be read");
        status = hakuban_read(&reader, &token);
        HKB_CHECK(checks, status < 0 || same(&bad[1], &token), "it came back as another one");
        hakuban_reader_done(&reader);
    }
    hakuban_writer_done(&writer);
}

static void values_can_be_skipped_and_converted(hkb_checks *checks)
{
    hakuban_writer writer, again;
    hakuban_reader reader;
    writer_begin(checks, &writer, BYTES_MAX);
    writer_begin(checks, &again, BYTES_MAX);
    HKB_CHECK(checks, write_all(&writer, mixed, HKB_CHECK_COUNT(mixed)) == HAKUBAN_OK,
              "no message");
    reader_begin(checks, &reader, writer.data, writer.bytes, ELEMENTS_MAX);
    HKB_CHECK(checks, hakuban_read_skip(&reader) == HAKUBAN_OK && reader.offset == reader.bytes,
              "skipping: %s", reader.error.text);
    hakuban_reader_done(&reader);
    reader_begin(checks, &reader, writer.data, writer.bytes, ELEMENTS_MAX);
    HKB_CHECK(checks, hakuban_convert(&reader, &again) == HAKUBAN_OK, "converting: %s",
              reader.error.text);
    HKB_CHECK(checks,
              again.bytes == writer.bytes && memcmp(again.data, writer.data, again.bytes) == 0,
              "the same tokens gave other bytes");
    hakuban_reader_done(&reader);
    hakuban_writer_done(&again);
    hakuban_writer_done(&writer);
}

/* Bytes from a stranger: anything may be said of them, but nothing outside is touched, what is
 * given back is a token, memory stays in proportion, and it ends. */
static hakuban_status read_stranger(hkb_checks *checks, const uint8_t *data, size_t bytes, bool ask)
{
    hakuban_reader reader;
    hakuban_status status = HAKUBAN_OK;
    unsigned tokens = 0, touched = 0;
    reader_begin(checks, &reader, data, bytes, ELEMENTS_MAX);
    checks->allocated_bytes_max = checks->allocated_bytes;
    size_t before = checks->allocated_bytes;
    do {
        hakuban_token token = {0};
        if (ask && reader.depth > 0) {
            (void)hakuban_read_at_end(&reader);
        }
        status = hakuban_read(&reader, &token);
        if (status < 0) {
            break;
        }
        HKB_CHECK(checks,
                  status == HAKUBAN_OK && token.kind >= HAKUBAN_TOKEN_NULL &&
                      token.kind <= HAKUBAN_TOKEN_END,
                  "a token of an unknown kind was read");
        HKB_CHECK(checks, token.kind != HAKUBAN_TOKEN_UINT || token.value.uint > INT64_MAX,
                  "a uint was read that an int can hold");
        for (size_t i = 0; is_text(&token) && i < token.value.text.bytes; i++) {
            touched += ((const uint8_t *)token.value.text.data)[i];
        }
        HKB_CHECK(checks,
                  token.kind != HAKUBAN_TOKEN_STRING ||
                      hkb_check_utf8(token.value.text.data, token.value.text.bytes),
                  "a string was read that is not UTF-8");
        HKB_CHECK(checks, reader.offset <= bytes, "the reader is behind its input");
        HKB_CHECK(checks, ++tokens <= 2 * (bytes + 1), "more tokens than %zu bytes can hold",
                  bytes);
    } while (reader.depth > 0);
    HKB_CHECK(checks, touched < UINT32_MAX, "unreachable: the texts were touched");
    if (status < 0) {
        hakuban_token token;
        HKB_CHECK(checks, reader.error.text[0] && reader.error.offset <= bytes,
                  "an error without words, or with a place outside");
        HKB_CHECK(checks, hakuban_read(&reader, &token) < 0, "after an error reading went on");
    }
    HKB_CHECK(checks, checks->allocated_bytes_max - before <= 8 * bytes + 65536,
              "%zu bytes of memory for %zu bytes of input", checks->allocated_bytes_max - before,
              bytes);
    hakuban_reader_done(&reader);
    return status;
}

/* The bytes of a message; 0: it cannot be written, see messages_of_all_kinds_come_back. */
static size_t written(hkb_checks *checks, const hakuban_token *tokens, size_t count, uint8_t *data,
                      size_t data_bytes)
{
    hakuban_writer writer;
    writer_begin(checks, &writer, data_bytes);
    size_t bytes = write_all(&writer, tokens, count) == HAKUBAN_OK ? writer.bytes : 0;
    if (bytes > 0) {
        memcpy(data, writer.data, bytes);
    }
    hakuban_writer_done(&writer);
    return bytes;
}

static const struct {
    const hakuban_token *tokens;
    size_t count;
} messages[] = {{mixed, HKB_CHECK_COUNT(mixed)}, {odd, HKB_CHECK_COUNT(odd)}};

static void every_truncated_message_is_an_error(hkb_checks *checks)
{
    for (size_t m = 0; m < HKB_CHECK_COUNT(messages); m++) {
        uint8_t data[4096];
        size_t bytes = written(checks, messages[m].tokens, messages[m].count, data, sizeof(data));
        for (size_t i = 0; i < bytes; i++) {
            for (int ask = 0; ask < 2; ask++) {
                HKB_CHECK(checks, read_stranger(checks, data, i, ask != 0) < 0,
                          "%zu of %zu bytes were taken for a message", i, bytes);
            }
        }
    }
}

static void every_corrupt_byte_is_an_error_or_a_value(hkb_checks *checks)
{
    for (size_t m = 0; m < HKB_CHECK_COUNT(messages); m++) {
        uint8_t data[4096];
        size_t bytes = written(checks, messages[m].tokens, messages[m].count, data, sizeof(data));
        for (size_t i = 0; i < bytes; i++) {
            uint8_t right = data[i];
            for (unsigned change = 1; change < 256; change++) {
                data[i] = (uint8_t)(right ^ change);
                (void)read_stranger(checks, data, bytes, change % 2);
            }
            data[i] = right;
        }
    }
}

static void any_bytes_are_an_error_or_a_value(hkb_checks *checks)
{
    uint32_t seed = 5;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t data[64];
        size_t bytes = hkb_check_random(&seed) % sizeof(data);
        for (size_t i = 0; i < bytes; i++) {
            data[i] = (uint8_t)hkb_check_random(&seed);
        }
        (void)read_stranger(checks, data, bytes, round % 2);
    }
}

/* Beginnings of messages, cut off inside of what they announce: long texts, large counts, great
 * depth. */
static void what_is_announced_and_not_there_costs_nothing(hkb_checks *checks)
{
    char text[70000];
    uint8_t data[70100];
    memset(text, 't', sizeof(text));
    for (unsigned kind = 0; kind < 4; kind++) {
        hakuban_token token = {0};
        hakuban_writer writer;
        writer_begin(checks, &writer, sizeof(data));
        for (unsigned depth = 0; depth < 100 && kind != 3; depth++) {
            (void)hakuban_write_array(&writer, 1);
        }
        token.kind = kind == 0   ? HAKUBAN_TOKEN_STRING
                     : kind == 1 ? HAKUBAN_TOKEN_BYTES
                     : kind == 2 ? HAKUBAN_TOKEN_MAP
                                 : HAKUBAN_TOKEN_ARRAY;
        if (is_text(&token)) {
            token.value.text = (hakuban_slice){text, sizeof(text)};
        } else {
            token.count = HAKUBAN_COUNT_UNKNOWN / 2 - 1;
        }
        if (hakuban_write(&writer, &token) == HAKUBAN_OK) {
            size_t bytes = writer.bytes < 300 ? writer.bytes : 300;
            memcpy(data, writer.data, bytes);
            HKB_CHECK(checks, read_stranger(checks, data, bytes, false) < 0,
                      "it was taken as whole");
        }
        hakuban_writer_done(&writer);
    }
}

static void bytes_after_a_message_are_an_error(hkb_checks *checks)
{
    uint8_t data[4096];
    size_t bytes = written(checks, mixed, HKB_CHECK_COUNT(mixed), data, sizeof(data) - 1);
    for (unsigned more = 0; more < 256; more++) {
        hakuban_reader reader;
        data[bytes] = (uint8_t)more;
        if (strchr(" \t\r\n", (int)more) && more != 0) {
            continue; /* formats that are text may end with space */
        }
        reader_begin(checks, &reader, data, bytes + 1, ELEMENTS_MAX);
        HKB_CHECK(checks, hakuban_read_skip(&reader) < 0, "0x%02x after the message was not seen",
                  more);
        hakuban_reader_done(&reader);
    }
}

static void more_elements_than_allowed_are_an_error(hkb_checks *checks)
{
    hakuban_token tokens[102];
    uint8_t data[4096];
    tokens[0] = (hakuban_token)ARRAY(100);
    for (unsigned i = 1; i <= 100; i++) {
        tokens[i] = (hakuban_token)INT(1);
    }
    tokens[101] = (hakuban_token)END;
    size_t bytes = written(checks, tokens, 102, data, sizeof(data));
    for (uint32_t allowed = 0; allowed <= 101; allowed++) {
        hakuban_reader reader;
        reader_begin(checks, &reader, data, bytes, allowed);
        hakuban_status status = hakuban_read_skip(&reader);
        HKB_CHECK(checks, status == (allowed < 101 ? HAKUBAN_ERR_LIMIT : HAKUBAN_OK),
                  "101 elements where %u are allowed: %s", allowed, hakuban_status_text(status));
        hakuban_reader_done(&reader);
    }
}

static void a_writer_that_is_full_fails_cleanly(hkb_checks *checks)
{
    uint8_t data[4096];
    size_t bytes = written(checks, mixed, HKB_CHECK_COUNT(mixed), data, sizeof(data));
    for (size_t limit = 0; limit <= bytes; limit++) {
        hakuban_writer writer;
        writer_begin(checks, &writer, limit);
        hakuban_status status = write_all(&writer, mixed, HKB_CHECK_COUNT(mixed));
        HKB_CHECK(checks, status == (limit < bytes ? HAKUBAN_ERR_LIMIT : HAKUBAN_OK),
                  "%zu bytes where %zu are allowed: %s", bytes, limit, hakuban_status_text(status));
        HKB_CHECK(checks, writer.bytes <= limit, "%zu bytes written where %zu are allowed",
                  writer.bytes, limit);
        hakuban_writer_reset(&writer);
        status = hakuban_write_null(&writer);
        HKB_CHECK(checks, limit < 8 || status == HAKUBAN_OK, "after a reset: %s",
                  hakuban_status_text(status));
        hakuban_writer_done(&writer);
    }
}

static void lack_of_memory_is_said_and_leaves_nothing(hkb_checks *checks)
{
    bool failed = true;
    for (long nth = 1; failed; nth++) {
        hakuban_writer writer;
        hakuban_reader reader;
        uint8_t data[4096];
        size_t bytes = written(checks, mixed, HKB_CHECK_COUNT(mixed), data, sizeof(data));
        writer_begin(checks, &writer, BYTES_MAX);
        reader_begin(checks, &reader, data, bytes, ELEMENTS_MAX);
        checks->failed = false;
        checks->fail_at = nth;
        hakuban_status status = hakuban_convert(&reader, &writer);
        checks->fail_at = 0;
        failed = checks->failed;
        HKB_CHECK(checks, status == (failed ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK),
                  "allocation %ld failed, and the answer was %s", nth, hakuban_status_text(status));
        hakuban_reader_done(&reader);
        hakuban_writer_done(&writer);
        HKB_CHECK(checks, checks->allocated_bytes == 0, "allocation %ld failed: %zu bytes are left",
                  nth, checks->allocated_bytes);
        HKB_CHECK(checks, nth < 10000, "there is always one more allocation");
    }
}

static void a_reader_may_stop_anywhere(hkb_checks *checks)
{
    uint8_t data[4096];
    size_t bytes = written(checks, mixed, HKB_CHECK_COUNT(mixed), data, sizeof(data));
    for (size_t count = 0; count < HKB_CHECK_COUNT(mixed); count++) {
        hakuban_reader reader;
        reader_begin(checks, &reader, data, bytes, ELEMENTS_MAX);
        read_all(checks, &reader, mixed, count, count % 2, "the beginning");
        hakuban_reader_done(&reader);
        HKB_CHECK(checks, checks->allocated_bytes == 0, "%zu bytes are left after token %zu",
                  checks->allocated_bytes, count);
    }
}

/* Everything a serializer knows is in the reader or writer it is given: two at once do not disturb
 * each other. */
static void readers_and_writers_are_independent(hkb_checks *checks)
{
    hakuban_writer writers[2];
    hakuban_reader readers[2];
    for (unsigned i = 0; i < 2; i++) {
        writer_begin(checks, &writers[i], BYTES_MAX);
    }
    for (size_t t = 0; t < HKB_CHECK_COUNT(mixed); t++) {
        for (unsigned i = 0; i < 2; i++) {
            (void)hakuban_write(&writers[i], &mixed[t]);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        HKB_CHECK(checks, hakuban_writer_status(&writers[i]) == HAKUBAN_OK, "writing: %s",
                  hakuban_status_text(hakuban_writer_status(&writers[i])));
        hakuban_reader_init(&readers[i], ops_of(checks), &checks->alloc, writers[i].data,
                            writers[i].bytes, ELEMENTS_MAX);
    }
    for (size_t t = 0; t < HKB_CHECK_COUNT(mixed); t++) {
        for (unsigned i = 0; i < 2; i++) {
            read_all(checks, &readers[i], &mixed[t], 1, false, "one of two");
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        hakuban_reader_done(&readers[i]);
        hakuban_writer_done(&writers[i]);
    }
}

#define CHECK(name) {#name, name}

unsigned hakuban_conformance_serializer(const hakuban_serializer_ops *ops,
                                        hakuban_conformance_report *report, void *ctx)
{
    static const hkb_check list[] = {
        CHECK(the_table_is_complete),
        CHECK(every_value_comes_back_as_it_was),
        CHECK(texts_of_every_length_come_back),
        CHECK(containers_of_every_size_come_back),
        CHECK(messages_of_all_kinds_come_back),
        CHECK(nesting_comes_back_down_to_the_limit),
        CHECK(a_text_that_is_not_utf8_is_refused_or_comes_back),
        CHECK(values_can_be_skipped_and_converted),
        CHECK(every_truncated_message_is_an_error),
        CHECK(every_corrupt_byte_is_an_error_or_a_value),
        CHECK(any_bytes_are_an_error_or_a_value),
        CHECK(what_is_announced_and_not_there_costs_nothing),
        CHECK(bytes_after_a_message_are_an_error),
        CHECK(more_elements_than_allowed_are_an_error),
        CHECK(a_writer_that_is_full_fails_cleanly),
        CHECK(lack_of_memory_is_said_and_leaves_nothing),
        CHECK(a_reader_may_stop_anywhere),
        CHECK(readers_and_writers_are_independent),
    };
    hkb_checks checks = {.ops = ops, .report = report, .report_ctx = ctx};
    return hkb_checks_run(&checks, list, HKB_CHECK_COUNT(list));
}
