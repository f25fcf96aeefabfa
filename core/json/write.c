/* Writes the canonical form of values, strings and doubles.
 *
 * A double has the fewest digits that read back as the same double; if several such numbers are
 * possible, the nearest. With at most 16 digits in front of the point, or at most 4 zeros behind
 * it, it is written plainly (1000000000000000.0, 0.00001), else with an exponent (1e16, 1.5e-6):
 * the form of ryu's pretty printing, which serde_json has. */
#include "json/json.h"
#include "json/mode.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#define DOUBLE_DIGITS 17

/* A double's decimal digits: 0.d1d2d3… times ten to the power of point. */
struct decimal {
    char digits[DOUBLE_DIGITS + 1];
    size_t count;
    int point;
};

/* value > 0, correctly rounded to count digits. */
static void to_digits(double value, size_t count, struct decimal *ret)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*e", (int)count - 1, value);
    size_t used = 0, i = 0;
    int exponent = 0;
    /* Any decimal separator of any locale is no digit. */
    for (; text[i] != 'e'; i++) {
        if (text[i] >= '0' && text[i] <= '9' && used < DOUBLE_DIGITS) {
            ret->digits[used++] = text[i];
        }
    }
    bool negative = text[++i] == '-';
    for (i++; text[i]; i++) {
        exponent = exponent * 10 + (text[i] - '0');
    }
    ret->count = used;
    ret->point = (negative ? -exponent : exponent) + 1;
}

static bool reads_back(const struct decimal *decimal, double value)
{
    double back =
        hkb_json_double(decimal->digits, decimal->count, decimal->point - (int64_t)decimal->count);
    return !(back < value) && !(back > value);
}

/* Adds one to the last digit. */
static void round_up(struct decimal *decimal)
{
    size_t i = decimal->count;
    while (i && decimal->digits[i - 1] == '9') {
        decimal->digits[--i] = '0';
    }
    if (i) {
        decimal->digits[i - 1]++;
    } else {
        decimal->digits[0] = '1';
        decimal->point++;
    }
}

static bool try_digits(double value, size_t count, struct decimal *ret)
{
    to_digits(value, count, ret);
    if (reads_back(ret, value)) {
        return true;
    }
    /* Below a power of two the doubles are twice as dense: the nearest decimal may read back as the
     * neighbour below, while the next decimal above is farther away but reads back as this double.
     */
    int exponent;
    if (frexp(value, &exponent) > 0.5) {
        return false;
    }
    round_up(ret);
    return reads_back(ret, value);
}

/* The fewest digits that read back as value > 0. */
static void shortest(double value, struct decimal *ret)
{
    /* A normal double keeps 15 digits exactly, so shorter forms appear as zeros at the end. A
     * denormal double has fewer bits and keeps fewer digits. */
    size_t count = DBL_DIG;
    if (value < DBL_MIN) {
        int exponent;
        (void)frexp(value, &exponent);
        int bits = exponent - (DBL_MIN_EXP - DBL_MANT_DIG);
        count = bits > 4 ? (size_t)((bits - 1) * 30103 / 100000) : 1;
    }
    while (count < DOUBLE_DIGITS && !try_digits(value, count, ret)) {
        count++;
    }
    if (count == DOUBLE_DIGITS) {
        to_digits(value, count, ret);
    }
    while (ret->count > 1 && ret->digits[ret->count - 1] == '0') {
        ret->count--;
    }
}

static size_t put_exponent(char *out, int exponent)
{
    char digits[8];
    size_t used = 0, count = 0;
    out[used++] = 'e';
    if (exponent < 0) {
        out[used++] = '-';
        exponent = -exponent;
    }
    do {
        digits[count++] = (char)('0' + exponent % 10);
    } while (exponent /= 10);
    while (count) {
        out[used++] = digits[--count];
    }
    return used;
}

/* In the mode of this room. */
static size_t put_double(char out[32], double value)
{
    size_t used = 0;
    if (!(value < 0) && !(value > 0)) {
        memcpy(out, "0.0", 3);
        return 3;
    }
    if (value < 0) {
        out[used++] = '-';
        value = -value;
    }
    struct decimal decimal;
    shortest(value, &decimal);
    int count = (int)decimal.count, point = decimal.point;
    if (point > 16 || point <= -5) {
        out[used++] = decimal.digits[0];
        if (count > 1) {
            out[used++] = '.';
            memcpy(out + used, decimal.digits + 1, decimal.count - 1);
            used += decimal.count - 1;
        }
        return used + put_exponent(out + used, point - 1);
    }
    if (point <= 0) {
        memcpy(out + used, "0.0000", 6);
        used += 2 + (size_t)-point;
        memcpy(out + used, decimal.digits, decimal.count);
        return used + decimal.count;
    }
    size_t integer_count = (size_t)point, before = hkb_min(decimal.count, integer_count);
    memcpy(out + used, decimal.digits, before);
    memset(out + used + before, '0', integer_count - before);
    used += integer_count;
    out[used++] = '.';
    if (before == decimal.count) {
        out[used++] = '0';
        return used;
    }
    memcpy(out + used, decimal.digits + before, decimal.count - before);
    return used + decimal.count - before;
}

size_t hkb_json_put_double(char out[32], double value)
{
    HKB_ASSERT(isfinite(value));
    hkb_json_mode mode;
    hkb_json_mode_begin(&mode);
    size_t bytes = put_double(out, value);
    hkb_json_mode_end(&mode);
    return bytes;
}

/* Writes the escape of a character that needs one; returns its length. */
static size_t put_escape(char out[6], uint8_t c)
{
    static const char hex[] = "0123456789abcdef", values[] = "\"\\\b\f\n\r\t",
                      names[] = "\"\\bfnrt";
    const char *value = c ? strchr(values, c) : NULL;
    out[0] = '\\';
    if (value) {
        out[1] = names[value - values];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

hakuban_status hkb_json_put_string(hkb_buffer *out, const void *text, size_t bytes)
{
    const uint8_t *in = text;
    size_t written = out->bytes, begin = 0;
    hakuban_status status = hkb_buffer_append(out, "\"", 1);
    for (size_t i = 0; i < bytes && status >= 0; i++) {
        if (HKB_LIKELY(in[i] >= 0x20 && in[i] != '"' && in[i] != '\\')) {
            continue;
        }
        char escaped[6];
        size_t escaped_bytes = put_escape(escaped, in[i]);
        status = hkb_buffer_append(out, in + begin, i - begin);
        if (status >= 0) {
            status = hkb_buffer_append(out, escaped, escaped_bytes);
        }
        begin = i + 1;
    }
    if (status >= 0 && begin < bytes) {
        status = hkb_buffer_append(out, in + begin, bytes - begin);
    }
    if (status >= 0) {
        status = hkb_buffer_append(out, "\"", 1);
    }
    if (status < 0) {
        out->bytes = written;
    }
    return status;
}

/* A key with its value: where the decoded key is among the keys, and where both stand in the
 * output. */
struct member {
    size_t key, key_bytes, begin, end;
};

/* Converts a text that is known to be valid. Members and keys are stacks; each object removes what
 * it has pushed. */
struct canonical {
    hkb_json_scanner scanner;
    const hakuban_alloc *alloc;
    hkb_buffer out, keys;
    struct member *members;
    size_t member_count, member_capacity;
};

static int compare_keys(const struct canonical *c, const struct member *a, const struct member *b)
{
    int order =
        memcmp(c->keys.data + a->key, c->keys.data + b->key, hkb_min(a->key_bytes, b->key_bytes));
    return order ? order : (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
}

/* A merge sort from single members upwards. It is stable, so that among equal keys the last one
 * stays last. spare has room for as many members. */
static void sort_members(const struct canonical *c, struct member *members, struct member *spare,
                         size_t count)
{
    struct member *from = members, *to = spare;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t begin = 0; begin < count; begin += 2 * run) {
            size_t a = begin, a_end = hkb_min(begin + run, count);
            size_t b = a_end, b_end = hkb_min(begin + 2 * run, count);
            for (size_t i = begin; i < b_end; i++) {
                bool take_a = b == b_end || (a < a_end && compare_keys(c, &from[a], &from[b]) <= 0);
                to[i] = take_a ? from[a++] : from[b++];
            }
        }
        struct member *swap = from;
        from = to;
        to = swap;
    }
    if (from != members) {
        memcpy(members, from, count * sizeof(*members));
    }
}

/* Sorts the members from first on. Their output begins at begin and has no commas yet. */
static hakuban_status order_members(struct canonical *c, size_t first, size_t begin)
{
    size_t count = c->member_count - first, end = c->out.bytes;
    hakuban_status status = hkb_grow(c->alloc, &c->members, sizeof(*c->members),
                                     &c->member_capacity, c->member_count + count);
    if (status >= 0) {
        status = hkb_buffer_reserve(&c->out, end - begin + count);
    }
    if (status < 0) {
        return status;
    }
    struct member *members = c->members + first;
    bool sorted = true;
    for (size_t i = 1; i < count && sorted; i++) {
        sorted = compare_keys(c, &members[i - 1], &members[i]) < 0;
    }
    if (!sorted) {
        sort_members(c, members, members + count, count);
    }
    /* The sorted output is built behind the end, then moved to its place. */
    uint8_t *place = c->out.data + end;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && compare_keys(c, &members[i], &members[i + 1]) == 0) {
            continue;
        }
        if (place != c->out.data + end) {
            *place++ = ',';
        }
        memcpy(place, c->out.data + members[i].begin, members[i].end - members[i].begin);
        place += members[i].end - members[i].begin;
    }
    size_t bytes = (size_t)(place - (c->out.data + end));
    memmove(c->out.data + begin, c->out.data + end, bytes);
    c->out.bytes = begin + bytes;
    return HAKUBAN_OK;
}

static hakuban_status put_text(struct canonical *c, const hkb_json_lexeme *string)
{
    /* The string is decoded behind the keys; if it is a key, it stays there. */
    hakuban_status status = hkb_buffer_reserve(&c->keys, string->end - string->begin);
    if (status < 0) {
        return status;
    }
    char *decoded = (char *)c->keys.data + c->keys.bytes;
    size_t bytes = hkb_json_unescape(c->scanner.text, string, decoded);
    return hkb_json_put_string(&c->out, decoded, bytes);
}

static hakuban_status put_member(struct canonical *c, const hkb_json_lexeme *string)
{
    hakuban_status status = hkb_grow(c->alloc, &c->members, sizeof(*c->members),
                                     &c->member_capacity, c->member_count + 1);
    if (status < 0) {
        return status;
    }
    struct member *member = &c->members[c->member_count];
    member->begin = c->out.bytes;
    status = put_text(c, string);
    if (status < 0) {
        return status;
    }
    member->key = c->keys.bytes;
    member->key_bytes =
        hkb_json_unescape(c->scanner.text, string, (char *)c->keys.data + c->keys.bytes);
    c->keys.bytes += member->key_bytes;
    c->member_count++;
    return hkb_buffer_append(&c->out, ":", 1);
}

static hakuban_status put_scalar(struct canonical *c, const hkb_json_lexeme *lexeme)
{
    if (lexeme->kind == HKB_JSON_STRING) {
        return put_text(c, lexeme);
    }
    if (lexeme->kind == HKB_JSON_DOUBLE) {
        char text[32];
        return hkb_buffer_append(&c->out, text, hkb_json_put_double(text, lexeme->real));
    }
    return hkb_buffer_append(&c->out, c->scanner.text + lexeme->begin, lexeme->end - lexeme->begin);
}

/* Writes the value that begins with lexeme. The check before allows 127 levels at most. */
static hakuban_status put_value(struct canonical *c, hkb_json_lexeme *lexeme)
{
    bool object = lexeme->kind == HKB_JSON_OBJECT;
    if (!object && lexeme->kind != HKB_JSON_ARRAY) {
        return put_scalar(c, lexeme);
    }
    hkb_json_kind end = object ? HKB_JSON_OBJECT_END : HKB_JSON_ARRAY_END;
    size_t first = c->member_count, keys_bytes = c->keys.bytes, items = 0;
    hakuban_status status = hkb_buffer_append(&c->out, object ? "{" : "[", 1);
    size_t begin = c->out.bytes;
    while (status >= 0) {
        status = hkb_json_lex(&c->scanner, lexeme, NULL);
        if (status >= 0 && lexeme->kind == HKB_JSON_COMMA) {
            status = hkb_json_lex(&c->scanner, lexeme, NULL);
        }
        if (status < 0 || lexeme->kind == end) {
            break;
        }
        size_t member = c->member_count;
        if (object) {
            status = put_member(c, lexeme);
            if (status >= 0) {
                status = hkb_json_lex(&c->scanner, lexeme, NULL); /* the colon */
            }
            if (status >= 0) {
                status = hkb_json_lex(&c->scanner, lexeme, NULL);
            }
        } else if (items++) {
            status = hkb_buffer_append(&c->out, ",", 1);
        }
        if (status >= 0) {
            status = put_value(c, lexeme);
        }
        if (status >= 0 && object) {
            c->members[member].end = c->out.bytes;
        }
    }
    if (status >= 0 && object) {
        status = order_members(c, first, begin);
    }
    c->member_count = first;
    c->keys.bytes = keys_bytes;
    return status >= 0 ? hkb_buffer_append(&c->out, object ? "}" : "]", 1) : status;
}

static hakuban_status canonical_slowly(const char *text, size_t bytes, hkb_buffer *out)
{
    /* The length of the text bounds the room for the work: the number that grows most is "1e15",
     * and sorting needs the room twice. */
    size_t work_max = bytes > SIZE_MAX / 32 ? SIZE_MAX : bytes * 16 + 64;
    struct canonical c = {.scanner = {.text = text, .bytes = bytes}, .alloc = out->alloc};
    hkb_buffer_init(&c.out, out->alloc, work_max);
    hkb_buffer_init(&c.keys, out->alloc, work_max);
    hkb_json_lexeme lexeme;
    hakuban_status status = hkb_json_lex(&c.scanner, &lexeme, NULL);
    if (status >= 0) {
        status = put_value(&c, &lexeme);
    }
    if (status >= 0) {
        status = hkb_buffer_append(out, c.out.data, c.out.bytes);
    }
    hkb_buffer_done(&c.out);
    hkb_buffer_done(&c.keys);
    hkb_free(c.alloc, c.members, c.member_capacity * sizeof(*c.members));
    return status;
}

hakuban_status hkb_json_canonical(const char *text, size_t bytes, hkb_buffer *out,
                                  hakuban_error *reterr)
{
    bool canonical = false;
    hakuban_status status = hkb_json_check_canonical(text, bytes, &canonical, reterr);
    if (status < 0) {
        return status;
    }
    status = canonical ? hkb_buffer_append(out, text, bytes) : canonical_slowly(text, bytes, out);
    if (status < 0) {
        hkb_error_at(reterr, status, 0, 0, 0, "%s", hakuban_status_text(status));
    }
    return status;
}
