/* The hello as JSON text. It is the first thing that an unknown peer sends: every member is
 * checked. */
#include "link/hello.h"

#include <stdio.h>

#include "json/json.h"

#define SKIP_DEPTH_MAX 8

/* -- Writing -- */

static hakuban_status put_text(hkb_buffer *out, const char *text)
{
    return hkb_buffer_append(out, text, strlen(text));
}

static hakuban_status put_key(hkb_buffer *out, const char *key)
{
    hakuban_status status = put_text(out, ",\"");
    if (status >= 0) {
        status = put_text(out, key);
    }
    return status >= 0 ? put_text(out, "\":") : status;
}

static hakuban_status put_number(hkb_buffer *out, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    hakuban_status status = put_key(out, key);
    return status >= 0 ? put_text(out, text) : status;
}

static hakuban_status put_string(hkb_buffer *out, const char *key, const char *value)
{
    hakuban_status status = put_key(out, key);
    return status >= 0 ? hkb_json_put_string(out, value, strlen(value)) : status;
}

static hakuban_status put_flag(hkb_buffer *out, const char *key, bool value)
{
    if (!value) {
        return HAKUBAN_OK;
    }
    hakuban_status status = put_key(out, key);
    return status >= 0 ? put_text(out, "true") : status;
}

static void id_text(char text[33], const uint64_t id[2])
{
    snprintf(text, 33, "%016llx%016llx", (unsigned long long)id[0], (unsigned long long)id[1]);
}

static hakuban_status put_names(hkb_buffer *out, const char *key, const hkb_offer *names,
                                size_t count)
{
    hakuban_status status = put_key(out, key);
    for (size_t i = 0; status >= 0 && i < count; i++) {
        status = put_text(out, i ? "," : "[");
        if (status >= 0) {
            status = hkb_json_put_string(out, names[i].name, strlen(names[i].name));
        }
    }
    return status >= 0 ? put_text(out, count ? "]" : "[]") : status;
}

hakuban_status hkb_hello_write(const hkb_hello *hello, hkb_buffer *out)
{
    char text[40];
    snprintf(text, sizeof(text), "{\"hakuban\":%u", (unsigned)hello->major);
    hakuban_status status = put_text(out, text);
    if (status >= 0 && hello->refused[0]) {
        status = put_string(out, "refused", hello->refused);
        return status >= 0 ? put_text(out, "}") : status;
    }
    if (status >= 0) {
        status = put_string(out, "name", hello->name);
    }
    if (status >= 0) {
        status = put_key(out, "path");
    }
    for (size_t i = 0; status >= 0 && i < hello->path_count; i++) {
        id_text(text, hello->path[i]);
        status = put_text(out, i ? ",\"" : "[\"");
        if (status >= 0) {
            status = put_text(out, text);
        }
        if (status >= 0) {
            status = put_text(out, "\"");
        }
    }
    if (status >= 0) {
        status = put_text(out, hello->path_count ? "]" : "[]");
    }
    if (status >= 0) {
        status = put_names(out, "serializers", hello->serializers, hello->serializer_count);
    }
    if (status >= 0) {
        status = put_names(out, "compressors", hello->compressors, hello->compressor_count);
    }
    if (status >= 0) {
        status = put_number(out, "keep_alive_ms", hello->keep_alive_ms);
    }
    if (status >= 0) {
        status = put_number(out, "grace_ms", hello->grace_ms);
    }
    if (status >= 0) {
        status = put_number(out, "window", hello->window_bytes);
    }
    if (status >= 0) {
        status = put_number(out, "state_max", hello->state_bytes_max);
    }
    if (status >= 0 && (hello->features & HKB_FEATURE_HAVE)) {
        static const hkb_offer have = {"have"};
        status = put_names(out, "features", &have, 1);
    }
    if (status >= 0 && hello->has_token) {
        id_text(text, hello->token);
        status = put_string(out, "token", text);
        if (status >= 0) {
            status = put_number(out, "received", hello->received_bytes);
        }
    }
    if (status >= 0) {
        status = put_flag(out, "resumed", hello->resumed);
    }
    if (status >= 0) {
        status = put_flag(out, "replaces", hello->replaces);
    }
    return status >= 0 ? put_text(out, "}") : status;
}

/* -- Reading -- */

typedef struct hello_reader {
    hkb_json_scanner scanner;
    hkb_json_lexeme lexeme; /* the current one */
    hakuban_error *reterr;
} hello_reader;

static hakuban_status next(hello_reader *reader)
{
    return hkb_json_lex(&reader->scanner, &reader->lexeme, reader->reterr);
}

static hakuban_status wrong(hello_reader *reader, const char *what)
{
    return hkb_json_error(reader->reterr, HAKUBAN_ERR_PROTOCOL, reader->scanner.text,
                          reader->lexeme.begin, "hello: %s", what);
}

/* Copies the current lexeme as a terminated text of at most bytes_max. */
static hakuban_status take_text(hello_reader *reader, char *out, size_t bytes_max)
{
    const hkb_json_lexeme *lexeme = &reader->lexeme;
    char text[HKB_HELLO_BYTES_MAX];
    if (lexeme->kind != HKB_JSON_STRING || lexeme->end - lexeme->begin > sizeof(text)) {
        return wrong(reader, "a text was expected");
    }
    size_t bytes = hkb_json_unescape(reader->scanner.text, lexeme, text);
    if (bytes > bytes_max || memchr(text, 0, bytes)) {
        return wrong(reader, "a text is too long");
    }
    memcpy(out, text, bytes);
    out[bytes] = 0;
    return HAKUBAN_OK;
}

static hakuban_status take_number(hello_reader *reader, uint64_t *ret)
{
    const hkb_json_lexeme *lexeme = &reader->lexeme;
    if (lexeme->kind == HKB_JSON_UINT) {
        *ret = lexeme->uint;
    } else if (lexeme->kind == HKB_JSON_INT && lexeme->sint >= 0) {
        *ret = (uint64_t)lexeme->sint;
    } else {
        return wrong(reader, "a whole number was expected");
    }
    return HAKUBAN_OK;
}

static hakuban_status take_flag(hello_reader *reader, bool *ret)
{
    if (reader->lexeme.kind != HKB_JSON_TRUE && reader->lexeme.kind != HKB_JSON_FALSE) {
        return wrong(reader, "true or false was expected");
    }
    *ret = reader->lexeme.kind == HKB_JSON_TRUE;
    return HAKUBAN_OK;
}

static hakuban_status take_id(hello_reader *reader, uint64_t ret[2])
{
    char text[33];
    hakuban_status status = take_text(reader, text, 32);
    if (status < 0) {
        return status;
    }
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32) {
        return wrong(reader, "an id of 32 hexadecimal digits was expected");
    }
    uint64_t id[2] = {0, 0};
    for (size_t i = 0; i < 32; i++) {
        unsigned digit = (unsigned)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        id[i / 16] = id[i / 16] << 4 | digit;
    }
    memcpy(ret, id, sizeof(id));
    return HAKUBAN_OK;
}

/* Reads an array; item() reads each of its items. The current lexeme is '[' at the beginning and
 * ']' at the end. */
static hakuban_status
take_array(hello_reader *reader, size_t count_max, size_t *ret_count,
           hakuban_status (*item)(hello_reader *reader, void *items, size_t index), void *items)
{
    if (reader->lexeme.kind != HKB_JSON_ARRAY) {
        return wrong(reader, "a list was expected");
    }
    *ret_count = 0;
    hakuban_status status = next(reader);
    if (status < 0 || reader->lexeme.kind == HKB_JSON_ARRAY_END) {
        return status;
    }
    for (;;) {
        if (*ret_count == count_max) {
            return wrong(reader, "a list is too long");
        }
        status = item(reader, items, (*ret_count)++);
        if (status >= 0) {
            status = next(reader);
        }
        if (status < 0 || reader->lexeme.kind == HKB_JSON_ARRAY_END) {
            return status;
        }
        if (reader->lexeme.kind != HKB_JSON_COMMA) {
            return wrong(reader, "',' or ']' was expected");
        }
        status = next(reader);
        if (status < 0) {
            return status;
        }
    }
}

static hakuban_status take_name(hello_reader *reader, void *items, size_t index)
{
    hkb_offer *names = items;
    return take_text(reader, names[index].name, HKB_OFFER_NAME_BYTES_MAX);
}

static hakuban_status take_node(hello_reader *reader, void *items, size_t index)
{
    uint64_t(*nodes)[2] = items;
    return take_id(reader, nodes[index]);
}

static hakuban_status take_feature(hello_reader *reader, void *items, size_t index)
{
    char name[HKB_OFFER_NAME_BYTES_MAX + 1];
    uint32_t *features = items;
    (void)index;
    hakuban_status status = take_text(reader, name, HKB_OFFER_NAME_BYTES_MAX);
    if (status >= 0 && strcmp(name, "have") == 0) {
        *features |= HKB_FEATURE_HAVE;
    }
    return status;
}

/* Skips a member of a later release. Its value was checked with the whole text. */
static hakuban_status skip(hello_reader *reader)
{
    unsigned depth = 0;
    for (;;) {
        hkb_json_kind kind = reader->lexeme.kind;
        if (kind == HKB_JSON_ARRAY || kind == HKB_JSON_OBJECT) {
            depth++;
        } else if (kind == HKB_JSON_ARRAY_END || kind == HKB_JSON_OBJECT_END) {
            depth--;
        }
        if (depth == 0) {
            return HAKUBAN_OK;
        }
        if (depth > SKIP_DEPTH_MAX) {
            return wrong(reader, "nested too deeply");
        }
        hakuban_status status = next(reader);
        if (status < 0) {
            return status;
        }
    }
}

static hakuban_status take_member(hello_reader *reader, const char *key, hkb_hello *hello)
{
    uint64_t value = 0;
    size_t count;
    hakuban_status status;
    if (strcmp(key, "hakuban") == 0) {
        status = take_number(reader, &value);
        hello->major = status >= 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
        return status;
    }
    if (strcmp(key, "name") == 0) {
        return take_text(reader, hello->name, HKB_NAME_BYTES_MAX);
    }
    if (strcmp(key, "refused") == 0) {
        return take_text(reader, hello->refused, sizeof(hello->refused) - 1);
    }
    if (strcmp(key, "path") == 0) {
        return take_array(reader, HKB_PATH_NODES_MAX, &hello->path_count, take_node, hello->path);
    }
    if (strcmp(key, "serializers") == 0) {
        return take_array(reader, HKB_OFFERS_MAX, &hello->serializer_count, take_name,
                          hello->serializers);
    }
    if (strcmp(key, "compressors") == 0) {
        return take_array(reader, HKB_OFFERS_MAX, &hello->compressor_count, take_name,
                          hello->compressors);
    }
    if (strcmp(key, "features") == 0) {
        return take_array(reader, HKB_OFFERS_MAX, &count, take_feature, &hello->features);
    }
    if (strcmp(key, "keep_alive_ms") == 0) {
        return take_number(reader, &hello->keep_alive_ms);
    }
    if (strcmp(key, "grace_ms") == 0) {
        return take_number(reader, &hello->grace_ms);
    }
    if (strcmp(key, "window") == 0) {
        return take_number(reader, &hello->window_bytes);
    }
    if (strcmp(key, "state_max") == 0) {
        return take_number(reader, &hello->state_bytes_max);
    }
    if (strcmp(key, "token") == 0) {
        hello->has_token = true;
        return take_id(reader, hello->token);
    }
    if (strcmp(key, "received") == 0) {
        return take_number(reader, &hello->received_bytes);
    }
    if (strcmp(key, "resumed") == 0) {
        return take_flag(reader, &hello->resumed);
    }
    if (strcmp(key, "replaces") == 0) {
        return take_flag(reader, &hello->replaces);
    }
    return skip(reader);
}

static hakuban_status take_members(hello_reader *reader, hkb_hello *hello)
{
    char key[HKB_HELLO_BYTES_MAX]; /* a key of a later release may have any length */
    hakuban_status status = next(reader);
    if (status >= 0 && reader->lexeme.kind != HKB_JSON_OBJECT) {
        return wrong(reader, "an object was expected");
    }
    if (status >= 0) {
        status = next(reader);
    }
    while (status >= 0 && reader->lexeme.kind != HKB_JSON_OBJECT_END) {
        status = take_text(reader, key, sizeof(key) - 1);
        if (status >= 0) {
            status = next(reader); /* the colon, since the whole text was checked */
        }
        if (status >= 0) {
            status = next(reader);
        }
        if (status >= 0) {
            status = take_member(reader, key, hello);
        }
        if (status >= 0) {
            status = next(reader);
        }
        if (status >= 0 && reader->lexeme.kind == HKB_JSON_COMMA) {
            status = next(reader);
        }
    }
    return status;
}

hakuban_status hkb_hello_read(hakuban_slice text, hkb_hello *ret, hakuban_error *reterr)
{
    if (text.bytes == 0 || *(const char *)text.data != '{') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL,
                                 "the other side does not speak the hakuban protocol");
    }
    hakuban_status status = hkb_json_check(text.data, text.bytes, reterr);
    if (status < 0) {
        return status;
    }
    memset(ret, 0, sizeof(*ret));
    hello_reader reader = {
        .scanner = {.text = text.data, .bytes = text.bytes},
        .reterr = reterr,
    };
    status = take_members(&reader, ret);
    if (status < 0) {
        return status;
    }
    if (ret->major != HKB_PROTOCOL_MAJOR) {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_UNSUPPORTED,
            "version %u of the hakuban protocol is spoken here, version %u there",
            (unsigned)HKB_PROTOCOL_MAJOR, (unsigned)ret->major);
    }
    if (!ret->refused[0] && ret->path_count == 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_PROTOCOL, "hello: \"path\" is missing");
    }
    return HAKUBAN_OK;
}
