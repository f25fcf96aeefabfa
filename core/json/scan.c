/* The scanner: lexemes with their values, places of errors, and checks of whole texts with a stack
 * of one byte per level. Allocates nothing and builds no tree. */
#include "json/json.h"
#include "json/mode.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A midpoint between two doubles has 767 digits at most: digits further behind can only tell that a
 * number is above the midpoint. */
#define DIGITS_MAX 800
#define EXPONENT_MAX ((int64_t)1 << 60)

hakuban_status hkb_json_error(hakuban_error *reterr, hakuban_status status, const char *text,
                              size_t offset, const char *format, ...)
{
    if (!reterr) {
        return status;
    }
    char words[sizeof(reterr->text)];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(words, sizeof(words), format, arguments) < 0) {
        words[0] = '\0';
    }
    va_end(arguments);
    unsigned line = 1;
    size_t line_begin = 0;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            line_begin = i + 1;
        }
    }
    return hkb_error_at(reterr, status, offset, line, (unsigned)(offset - line_begin + 1), "%s",
                        words);
}

bool hkb_utf8_valid(const void *text, size_t bytes)
{
    const uint8_t *in = text;
    for (size_t i = 0; i < bytes;) {
        size_t length = hkb_utf8_bytes(in + i, bytes - i);
        if (!length) {
            return false;
        }
        i += length;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* The value of the four hexadecimal digits at text; -1: they are not such digits. */
static int hex4(const char *text, size_t bytes)
{
    int value = 0;
    if (bytes < 4) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Reads the escape at text[0] == '\\': returns its length and tells which character it stands for;
 * 0: it is no valid escape. */
static size_t escape(const char *text, size_t bytes, uint32_t *ret)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (bytes < 2 || !text[1]) {
        return 0;
    }
    if (text[1] != 'u') {
        const char *name = strchr(names, text[1]);
        if (!name) {
            return 0;
        }
        *ret = (uint32_t)values[name - names];
        return 2;
    }
    int first = hex4(text + 2, bytes - 2);
    if (first < 0 || (first >= 0xdc00 && first <= 0xdfff)) {
        return 0;
    }
    if (first < 0xd800 || first > 0xdfff) {
        *ret = (uint32_t)first;
        return 6;
    }
    if (bytes < 12 || text[6] != '\\' || text[7] != 'u') {
        return 0;
    }
    int second = hex4(text + 8, bytes - 8);
    if (second < 0xdc00 || second > 0xdfff) {
        return 0;
    }
    *ret = 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
    return 12;
}

static hakuban_status lex_string(hkb_json_scanner *scanner, hkb_json_lexeme *lexeme,
                                 hakuban_error *reterr)
{
    const char *text = scanner->text;
    size_t i = lexeme->begin + 1;
    lexeme->kind = HKB_JSON_STRING;
    lexeme->escaped = false;
    while (i < scanner->bytes) {
        uint8_t c = (uint8_t)text[i];
        if (c == '"') {
            lexeme->end = scanner->offset = i + 1;
            return HAKUBAN_OK;
        }
        size_t length = 1;
        if (c == '\\') {
            uint32_t character;
            lexeme->escaped = true;
            length = escape(text + i, scanner->bytes - i, &character);
            if (!length) {
                return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, i,
                                      "an escape that JSON doesn't have, or half a character");
            }
        } else if (c < 0x20) {
            return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, i,
                                  "a control character in a string");
        } else if (c >= 0x80) {
            length = hkb_utf8_bytes((const uint8_t *)text + i, scanner->bytes - i);
            if (!length) {
                return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, i, "not UTF-8");
            }
        }
        i += length;
    }
    return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, lexeme->begin,
                          "the string does not end");
}

/* In the mode of this room. */
static double nearest_double(const char *digits, size_t digit_count, int64_t exponent)
{
    while (digit_count && *digits == '0') {
        digits++;
        digit_count--;
    }
    while (digit_count && digits[digit_count - 1] == '0') {
        digit_count--;
        exponent++;
    }
    if (!digit_count) {
        return 0;
    }
#if FLT_EVAL_METHOD == 0
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    /* Both factors are exact, so one rounding remains, and it is the right one. */
    if (digit_count <= 15 && exponent >= -22 && exponent <= 22) {
        int64_t value = 0;
        for (size_t i = 0; i < digit_count; i++) {
            value = value * 10 + (digits[i] - '0');
        }
        return exponent < 0 ? (double)value / powers[-exponent] : (double)value * powers[exponent];
    }
#endif
    int64_t magnitude = exponent + (int64_t)digit_count;
    if (magnitude > 310) {
        return (double)INFINITY;
    }
    if (magnitude < -400) {
        return 0;
    }
    /* The text has no decimal point, so that strtod() gives the same in all locales. */
    char text[DIGITS_MAX + 32];
    size_t used = hkb_min(digit_count, DIGITS_MAX);
    memcpy(text, digits, used);
    exponent += (int64_t)(digit_count - used);
    if (digit_count > used) {
        text[used++] = '1'; /* the digits that were cut off are not zero, as the last one is not */
        exponent--;
    }
    snprintf(text + used, sizeof(text) - used, "e%d", (int)exponent);
    return strtod(text, NULL);
}

double hkb_json_double(const char *digits, size_t digit_count, int64_t exponent)
{
    hkb_json_mode mode;
    hkb_json_mode_begin(&mode);
    double value = nearest_double(digits, digit_count, exponent);
    hkb_json_mode_end(&mode);
    return value;
}

/* A number's parts in the text; offsets. */
struct number {
    size_t integer, integer_end, fraction, fraction_end;
    int64_t exponent;
    bool negative;
};

static size_t skip_digits(const hkb_json_scanner *scanner, size_t i)
{
    while (i < scanner->bytes && scanner->text[i] >= '0' && scanner->text[i] <= '9') {
        i++;
    }
    return i;
}

static hakuban_status number_error(const hkb_json_scanner *scanner, size_t offset,
                                   hakuban_error *reterr)
{
    return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, scanner->text, offset, "expected a digit");
}

static double number_value(const char *text, const struct number *number)
{
    size_t integer_count = number->integer_end - number->integer;
    size_t fraction_count = number->fraction_end - number->fraction;
    const char *digits = text + number->integer;
    int64_t exponent = number->exponent - (int64_t)fraction_count;
    char joined[DIGITS_MAX + 2];
    if (!fraction_count) {
        return hkb_json_double(digits, integer_count, exponent);
    }
    /* The digits without the decimal point and without leading zeros, and no more than matter. */
    size_t used = 0, last = number->fraction_end;
    bool more = false;
    for (size_t i = number->integer; i < last; i++) {
        char c = text[i];
        if (c == '.' || (!used && c == '0')) {
            continue;
        }
        if (used <= DIGITS_MAX) {
            joined[used++] = c;
        } else {
            exponent++;
            more = more || c != '0';
        }
    }
    if (more) {
        joined[used++] = '1';
        exponent--;
    }
    return hkb_json_double(joined, used, exponent);
}

static hakuban_status lex_real(hkb_json_scanner *scanner, struct number *number, size_t i,
                               hkb_json_lexeme *lexeme, hakuban_error *reterr)
{
    const char *text = scanner->text;
    number->fraction = number->fraction_end = i;
    if (i < scanner->bytes && text[i] == '.') {
        number->fraction = i + 1;
        i = number->fraction_end = skip_digits(scanner, i + 1);
        if (i == number->fraction) {
            return number_error(scanner, i, reterr);
        }
    }
    if (i < scanner->bytes && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        bool negative = i < scanner->bytes && text[i] == '-';
        if (i < scanner->bytes && (text[i] == '-' || text[i] == '+')) {
            i++;
        }
        size_t end = skip_digits(scanner, i);
        if (i == end) {
            return number_error(scanner, i, reterr);
        }
        for (; i < end; i++) {
            if (number->exponent < EXPONENT_MAX / 10) {
                number->exponent = number->exponent * 10 + (text[i] - '0');
            }
        }
        if (negative) {
            number->exponent = -number->exponent;
        }
    }
    double value = number_value(text, number);
    if (isinf(value)) {
        return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, lexeme->begin,
                              "the number is outside the range of doubles");
    }
    lexeme->kind = HKB_JSON_DOUBLE;
    lexeme->real = number->negative ? -value : value;
    lexeme->end = scanner->offset = i;
    return HAKUBAN_OK;
}

static hakuban_status lex_number(hkb_json_scanner *scanner, hkb_json_lexeme *lexeme,
                                 hakuban_error *reterr)
{
    const char *text = scanner->text;
    struct number number = {.negative = text[lexeme->begin] == '-'};
    uint64_t value = 0;
    bool fits = true;
    size_t i = number.integer = lexeme->begin + number.negative;
    for (; i < scanner->bytes && text[i] >= '0' && text[i] <= '9'; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        fits = fits && value <= (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
    }
    number.integer_end = i;
    if (i == number.integer) {
        return number_error(scanner, i, reterr);
    }
    if (text[number.integer] == '0' && i > number.integer + 1) {
        return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, number.integer,
                              "a number does not begin with 0");
    }
    bool integer = i == scanner->bytes || (text[i] != '.' && text[i] != 'e' && text[i] != 'E');
    if (number.negative) {
        fits = fits && value && value <= (uint64_t)INT64_MAX + 1; /* "-0" is a double */
    }
    if (!integer || !fits) {
        return lex_real(scanner, &number, i, lexeme, reterr);
    }
    lexeme->end = scanner->offset = i;
    if (number.negative) {
        lexeme->kind = HKB_JSON_INT;
        lexeme->sint = -1 - (int64_t)(value - 1);
    } else if (value <= INT64_MAX) {
        lexeme->kind = HKB_JSON_INT;
        lexeme->sint = (int64_t)value;
    } else {
        lexeme->kind = HKB_JSON_UINT;
        lexeme->uint = value;
    }
    return HAKUBAN_OK;
}

static bool lex_word(hkb_json_scanner *scanner, hkb_json_lexeme *lexeme, hkb_json_kind kind,
                     const char *word, size_t bytes)
{
    if (scanner->bytes - lexeme->begin < bytes ||
        memcmp(scanner->text + lexeme->begin, word, bytes) != 0) {
        return false;
    }
    lexeme->kind = kind;
    lexeme->end = scanner->offset = lexeme->begin + bytes;
    return true;
}

hakuban_status hkb_json_lex(hkb_json_scanner *scanner, hkb_json_lexeme *ret, hakuban_error *reterr)
{
    const char *text = scanner->text;
    size_t i = scanner->offset;
    while (i < scanner->bytes &&
           (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t')) {
        i++;
    }
    ret->begin = i;
    if (i == scanner->bytes) {
        ret->kind = HKB_JSON_END;
        ret->end = scanner->offset = i;
        return HAKUBAN_OK;
    }
    hkb_json_kind kind;
    switch (text[i]) {
    case '"':
        return lex_string(scanner, ret, reterr);
    case '[':
        kind = HKB_JSON_ARRAY;
        break;
    case ']':
        kind = HKB_JSON_ARRAY_END;
        break;
    case '{':
        kind = HKB_JSON_OBJECT;
        break;
    case '}':
        kind = HKB_JSON_OBJECT_END;
        break;
    case ',':
        kind = HKB_JSON_COMMA;
        break;
    case ':':
        kind = HKB_JSON_COLON;
        break;
    default:
        if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
            return lex_number(scanner, ret, reterr);
        }
        if (lex_word(scanner, ret, HKB_JSON_TRUE, "true", 4) ||
            lex_word(scanner, ret, HKB_JSON_FALSE, "false", 5) ||
            lex_word(scanner, ret, HKB_JSON_NULL, "null", 4)) {
            return HAKUBAN_OK;
        }
        if (scanner->bytes - i >= 3 && memcmp(text + i, "\xef\xbb\xbf", 3) == 0) {
            return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, i,
                                  "a byte order mark, which JSON does not have");
        }
        return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, text, i, "expected a JSON value");
    }
    ret->kind = kind;
    ret->end = scanner->offset = i + 1;
    return HAKUBAN_OK;
}

size_t hkb_json_unescape(const char *text, const hkb_json_lexeme *string, char *out)
{
    size_t used = 0, i = string->begin + 1, end = string->end - 1;
    while (i < end) {
        if (text[i] != '\\') {
            out[used++] = text[i++];
            continue;
        }
        uint32_t c = 0;
        i += hkb_max(escape(text + i, end - i, &c), 1);
        if (c < 0x80) {
            out[used++] = (char)c;
        } else if (c < 0x800) {
            out[used++] = (char)(0xc0 | c >> 6);
            out[used++] = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
            out[used++] = (char)(0xe0 | c >> 12);
            out[used++] = (char)(0x80 | (c >> 6 & 0x3f));
            out[used++] = (char)(0x80 | (c & 0x3f));
        } else {
            out[used++] = (char)(0xf0 | c >> 18);
            out[used++] = (char)(0x80 | (c >> 12 & 0x3f));
            out[used++] = (char)(0x80 | (c >> 6 & 0x3f));
            out[used++] = (char)(0x80 | (c & 0x3f));
        }
    }
    return used;
}

/* Which lexeme may come next. */
enum expected { VALUE, VALUE_OR_END, KEY, KEY_OR_END, COLON, COMMA_OR_END };

struct walk {
    hkb_json_scanner scanner;
    size_t depth;
    bool canonical;
    bool object[HKB_JSON_DEPTH_MAX + 1];
    size_t key[HKB_JSON_DEPTH_MAX + 1], key_end[HKB_JSON_DEPTH_MAX + 1]; /* the last one; 0: none */
};

static hakuban_status unexpected(const struct walk *walk, const hkb_json_lexeme *lexeme,
                                 enum expected expected, hakuban_error *reterr)
{
    static const char *const words[] = {"a value",
                                        "a value or ']'",
                                        "a key in quotes",
                                        "a key in quotes or '}'",
                                        "':'",
                                        "',' or the end of the array or object"};
    const char *wanted = words[expected];
    if (expected == COMMA_OR_END && !walk->depth) {
        wanted = "nothing more after the value";
    }
    return hkb_json_error(reterr, HAKUBAN_ERR_PARSE, walk->scanner.text, lexeme->begin,
                          "expected %s", wanted);
}

/* Whether the number or string is already in canonical form. A string with escapes is never
 * recognised. */
static bool scalar_canonical(const char *text, const hkb_json_lexeme *lexeme)
{
    if (lexeme->kind == HKB_JSON_STRING) {
        return !lexeme->escaped;
    }
    if (lexeme->kind != HKB_JSON_DOUBLE) {
        return true;
    }
    char form[32];
    size_t bytes = hkb_json_put_double(form, lexeme->real);
    return bytes == lexeme->end - lexeme->begin && memcmp(form, text + lexeme->begin, bytes) == 0;
}

static void note_key(struct walk *walk, const hkb_json_lexeme *lexeme)
{
    const char *text = walk->scanner.text;
    size_t before = walk->key[walk->depth], before_end = walk->key_end[walk->depth];
    if (lexeme->escaped) {
        walk->canonical = false;
    } else if (before_end) {
        size_t before_bytes = before_end - before, bytes = lexeme->end - lexeme->begin - 2;
        int order = memcmp(text + before, text + lexeme->begin + 1, hkb_min(before_bytes, bytes));
        if (order > 0 || (order == 0 && before_bytes >= bytes)) {
            walk->canonical = false;
        }
    }
    walk->key[walk->depth] = lexeme->begin + 1;
    walk->key_end[walk->depth] = lexeme->end - 1;
}

/* Checks the lexeme against *expected and sets *expected to what may follow. */
static hakuban_status step(struct walk *walk, const hkb_json_lexeme *lexeme,
                           enum expected *expected, hakuban_error *reterr)
{
    enum expected now = *expected;
    bool value_allowed = now == VALUE || now == VALUE_OR_END;
    switch (lexeme->kind) {
    case HKB_JSON_ARRAY:
    case HKB_JSON_OBJECT:
        if (!value_allowed) {
            break;
        }
        if (walk->depth == HKB_JSON_DEPTH_MAX) {
            return hkb_json_error(reterr, HAKUBAN_ERR_LIMIT, walk->scanner.text, lexeme->begin,
                                  "nested deeper than %d", HKB_JSON_DEPTH_MAX);
        }
        walk->object[++walk->depth] = lexeme->kind == HKB_JSON_OBJECT;
        walk->key_end[walk->depth] = 0;
        *expected = lexeme->kind == HKB_JSON_OBJECT ? KEY_OR_END : VALUE_OR_END;
        return HAKUBAN_OK;
    case HKB_JSON_ARRAY_END:
    case HKB_JSON_OBJECT_END:
        if (!walk->depth || walk->object[walk->depth] != (lexeme->kind == HKB_JSON_OBJECT_END) ||
            (now != COMMA_OR_END && now != VALUE_OR_END && now != KEY_OR_END)) {
            break;
        }
        walk->depth--;
        *expected = COMMA_OR_END;
        return HAKUBAN_OK;
    case HKB_JSON_COMMA:
        if (now != COMMA_OR_END || !walk->depth) {
            break;
        }
        *expected = walk->object[walk->depth] ? KEY : VALUE;
        return HAKUBAN_OK;
    case HKB_JSON_COLON:
        if (now != COLON) {
            break;
        }
        *expected = VALUE;
        return HAKUBAN_OK;
    case HKB_JSON_END:
        break;
    default:
        if (lexeme->kind == HKB_JSON_STRING && (now == KEY || now == KEY_OR_END)) {
            note_key(walk, lexeme);
            *expected = COLON;
            return HAKUBAN_OK;
        }
        if (!value_allowed) {
            break;
        }
        *expected = COMMA_OR_END;
        return HAKUBAN_OK;
    }
    return unexpected(walk, lexeme, now, reterr);
}

/* Checks the one value in text. With compact, also copies it there without white space. */
static hakuban_status walk_text(const char *text, size_t bytes, bool *ret_canonical,
                                hkb_buffer *compact, hakuban_error *reterr)
{
    struct walk walk;
    walk.scanner = (hkb_json_scanner){.text = text, .bytes = bytes};
    walk.depth = 0;
    walk.canonical = ret_canonical != NULL;
    enum expected expected = VALUE;
    hkb_json_lexeme lexeme;
    for (;;) {
        size_t before = walk.scanner.offset;
        hakuban_status status = hkb_json_lex(&walk.scanner, &lexeme, reterr);
        if (status < 0) {
            return status;
        }
        if (walk.canonical) {
            walk.canonical = before == lexeme.begin && scalar_canonical(text, &lexeme);
        }
        if (lexeme.kind == HKB_JSON_END && !walk.depth && expected == COMMA_OR_END) {
            break;
        }
        status = step(&walk, &lexeme, &expected, reterr);
        if (status < 0) {
            return status;
        }
        if (!compact) {
            continue;
        }
        status = hkb_buffer_append(compact, text + lexeme.begin, lexeme.end - lexeme.begin);
        if (status < 0) {
            return hkb_json_error(reterr, status, text, lexeme.begin, "%s",
                                  hakuban_status_text(status));
        }
    }
    if (ret_canonical) {
        *ret_canonical = walk.canonical;
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_json_check(const char *text, size_t bytes, hakuban_error *reterr)
{
    return walk_text(text, bytes, NULL, NULL, reterr);
}

hakuban_status hkb_json_check_canonical(const char *text, size_t bytes, bool *ret_canonical,
                                        hakuban_error *reterr)
{
    return walk_text(text, bytes, ret_canonical, NULL, reterr);
}

hakuban_status hkb_json_compact(const char *text, size_t bytes, hkb_buffer *out,
                                hakuban_error *reterr)
{
    size_t before = out->bytes;
    hakuban_status status = walk_text(text, bytes, NULL, out, reterr);
    if (status < 0) {
        out->bytes = before;
    }
    return status;
}
