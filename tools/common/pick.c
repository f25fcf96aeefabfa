/* Members of JSON texts that the library has checked: every quote is closed and every bracket. */
#define _GNU_SOURCE
#include "common/pick.h"

#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(piece json, size_t at)
{
    while (at < json.bytes && is_space(json.data[at])) {
        at++;
    }
    return at;
}

/* Behind the value that begins at `at`. */
static size_t skip_value(piece json, size_t at)
{
    size_t depth = 0;
    bool in_string = false;
    for (; at < json.bytes; at++) {
        char c = json.data[at];
        if (in_string) {
            if (c == '\\') {
                at++;
            } else if (c == '"') {
                in_string = false;
                if (depth == 0) {
                    return at + 1;
                }
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_space(c))) {
            return at;
        } else if (c == '}' || c == ']') {
            if (--depth == 0) {
                return at + 1;
            }
        }
    }
    return json.bytes;
}

static piece cut(piece json, size_t begin, size_t end)
{
    return (piece){json.data + begin, end - begin};
}

piece pick(piece json, const char *key)
{
    size_t at = skip_space(json, 0);
    if (at >= json.bytes || json.data[at] != '{') {
        return (piece){NULL, 0};
    }
    at = skip_space(json, at + 1);
    while (at < json.bytes && json.data[at] == '"') {
        size_t name_end = skip_value(json, at);
        piece name = cut(json, at + 1, name_end - 1);
        at = skip_space(json, name_end);
        at = skip_space(json, at + 1); /* the colon */
        size_t end = skip_value(json, at);
        if (name.bytes == strlen(key) && memcmp(name.data, key, name.bytes) == 0) {
            return cut(json, at, end);
        }
        at = skip_space(json, end);
        at = skip_space(json, at + 1); /* the comma */
    }
    return (piece){NULL, 0};
}

piece pick_element(piece array, size_t *place)
{
    size_t at = skip_space(array, *place);
    /* At the beginning stands the bracket, later a comma or the other bracket. */
    if (at >= array.bytes || array.data[at] != (*place == 0 ? '[' : ',')) {
        return (piece){NULL, 0};
    }
    at = skip_space(array, at + 1);
    if (at >= array.bytes || array.data[at] == ']') {
        return (piece){NULL, 0};
    }
    *place = skip_value(array, at);
    return cut(array, at, *place);
}

bool pick_is(piece value, const char *spelled)
{
    return value.bytes == strlen(spelled) && memcmp(value.data, spelled, value.bytes) == 0;
}

uint64_t pick_number(piece value, uint64_t otherwise)
{
    char digits[24];
    if (value.bytes == 0 || value.bytes >= sizeof(digits) ||
        strspn(value.data, "0123456789") < value.bytes) {
        return otherwise;
    }
    memcpy(digits, value.data, value.bytes);
    digits[value.bytes] = '\0';
    return strtoull(digits, NULL, 10);
}

void pick_add_words(text *t, piece value)
{
    if (value.bytes < 2 || value.data[0] != '"') {
        text_add(t, value.data, value.bytes);
        return;
    }
    for (size_t i = 1; i + 1 < value.bytes; i++) {
        char c = value.data[i];
        if (c == '\\' &&
            (value.data[i + 1] == '"' || value.data[i + 1] == '\\' || value.data[i + 1] == '/')) {
            c = value.data[++i];
        }
        text_add(t, &c, 1);
    }
}
