/* The recorded vectors, taken apart with the library's own scanner. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "json/json.h"

static void give_up(const char *what, const char *name)
{
    (void)fprintf(stderr, "tests/vectors: %s: %s\n", name, what);
    exit(2);
}

char *vectors_read(const char *name, size_t *ret_bytes)
{
    char path[512];
    const char *source = getenv("HAKUBAN_SOURCE");
    (void)snprintf(path, sizeof(path), "%s/tests/vectors/%s.json", source ? source : ".", name);
    FILE *file = fopen(path, "rb");
    long bytes = -1;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        bytes = ftell(file);
    }
    char *text = bytes >= 0 ? malloc((size_t)bytes + 1) : NULL;
    if (!text || fseek(file, 0, SEEK_SET) != 0 ||
        fread(text, 1, (size_t)bytes, file) != (size_t)bytes) {
        give_up("cannot be read", name);
    }
    (void)fclose(file);
    text[bytes] = 0;
    *ret_bytes = (size_t)bytes;
    return text;
}

static hkb_json_lexeme next(hkb_json_scanner *scanner)
{
    hkb_json_lexeme lexeme;
    if (hkb_json_lex(scanner, &lexeme, NULL) != HAKUBAN_OK) {
        give_up("is not JSON", "a vector");
    }
    return lexeme;
}

/* The value that begins at the scanner, whatever is in it. */
static hakuban_slice value(hkb_json_scanner *scanner)
{
    size_t depth = 0, begin = 0;
    bool begun = false;
    for (;;) {
        hkb_json_lexeme lexeme = next(scanner);
        if (!begun) {
            begin = lexeme.begin;
        }
        begun = true;
        if (lexeme.kind == HKB_JSON_ARRAY || lexeme.kind == HKB_JSON_OBJECT) {
            depth++;
        } else if (lexeme.kind == HKB_JSON_ARRAY_END || lexeme.kind == HKB_JSON_OBJECT_END) {
            depth--;
        }
        if (depth == 0) {
            return (hakuban_slice){scanner->text + begin, lexeme.end - begin};
        }
    }
}

bool vectors_member(hakuban_slice object, const char *key, hakuban_slice *ret)
{
    hkb_json_scanner scanner = {.text = object.data, .bytes = object.bytes};
    size_t key_bytes = strlen(key);
    (void)next(&scanner);
    for (;;) {
        hkb_json_lexeme name = next(&scanner);
        if (name.kind == HKB_JSON_COMMA) {
            name = next(&scanner);
        }
        if (name.kind != HKB_JSON_STRING) {
            return false;
        }
        (void)next(&scanner); /* the colon */
        *ret = value(&scanner);
        if (name.end - name.begin == key_bytes + 2 &&
            memcmp(scanner.text + name.begin + 1, key, key_bytes) == 0) {
            return true;
        }
    }
}

void vectors_open(vectors *v, const char *name, const char *key)
{
    hakuban_slice array;
    memset(v, 0, sizeof(*v));
    v->text = vectors_read(name, &v->bytes);
    array = (hakuban_slice){v->text, v->bytes};
    if (key && !vectors_member(array, key, &array)) {
        give_up("has no such member", name);
    }
    hkb_json_scanner scanner = {.text = v->text, .bytes = v->bytes};
    scanner.offset = (size_t)((const char *)array.data - v->text);
    if (next(&scanner).kind != HKB_JSON_ARRAY) {
        give_up("is no array", name);
    }
    v->offset = scanner.offset;
}

void vectors_close(vectors *v)
{
    free(v->text);
    v->text = NULL;
}

bool vectors_next(vectors *v, hakuban_slice *ret_object)
{
    hkb_json_scanner scanner = {.text = v->text, .bytes = v->bytes, .offset = v->offset};
    hkb_json_lexeme lexeme = next(&scanner);
    if (lexeme.kind == HKB_JSON_ARRAY_END) {
        return false;
    }
    scanner.offset = lexeme.kind == HKB_JSON_COMMA ? lexeme.end : lexeme.begin;
    *ret_object = value(&scanner);
    v->offset = scanner.offset;
    return true;
}

char *vectors_text(hakuban_slice object, const char *key)
{
    hakuban_slice raw;
    if (!vectors_member(object, key, &raw)) {
        return NULL;
    }
    hkb_json_scanner scanner = {.text = raw.data, .bytes = raw.bytes};
    hkb_json_lexeme lexeme = next(&scanner);
    char *text = malloc(raw.bytes + 1);
    if (!text || lexeme.kind != HKB_JSON_STRING) {
        give_up("is no text", key);
    }
    text[hkb_json_unescape(scanner.text, &lexeme, text)] = 0;
    return text;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

uint8_t *vectors_hex(hakuban_slice object, const char *key, size_t *ret_bytes)
{
    char *text = vectors_text(object, key);
    uint8_t *bytes = (uint8_t *)text;
    if (!text) {
        return NULL;
    }
    size_t digits = strlen(text);
    for (size_t i = 0; i + 1 < digits; i += 2) {
        bytes[i / 2] = (uint8_t)(digit(text[i]) << 4 | digit(text[i + 1]));
    }
    *ret_bytes = digits / 2;
    return bytes;
}
