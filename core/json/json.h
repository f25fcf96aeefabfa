/* Exact JSON: a scanner that says line and column, and the canonical form that object identity
 * stands on (spec/semantics.md §1, design.md §6). No value tree; nothing is allocated but what the
 * caller's buffer needs. */
#ifndef HKB_JSON_JSON_H
#define HKB_JSON_JSON_H

#include "base/bytes.h"

#define HKB_JSON_DEPTH_MAX 127

typedef struct hkb_json_scanner {
    const char *text;
    size_t bytes, offset;
} hkb_json_scanner;

typedef enum hkb_json_kind {
    HKB_JSON_NULL = 1,
    HKB_JSON_TRUE,
    HKB_JSON_FALSE,
    HKB_JSON_INT,
    HKB_JSON_UINT,
    HKB_JSON_DOUBLE,
    HKB_JSON_STRING,
    HKB_JSON_ARRAY,
    HKB_JSON_ARRAY_END,
    HKB_JSON_OBJECT,
    HKB_JSON_OBJECT_END,
    HKB_JSON_COMMA,
    HKB_JSON_COLON,
    HKB_JSON_END /* of the text */
} hkb_json_kind;

typedef struct hkb_json_lexeme {
    hkb_json_kind kind;
    size_t begin, end; /* offsets of the raw text, quotes included */
    bool escaped;      /* STRING: has backslashes */
    int64_t sint;      /* INT: -2^63 … 2^63-1; "-0" is a DOUBLE */
    uint64_t uint;     /* UINT: 2^63 … 2^64-1 */
    double real;       /* DOUBLE; numbers outside the double range are errors */
} hkb_json_lexeme;

/* The next lexeme, white space skipped, UTF-8, escapes (lone surrogates are errors) and numbers
 * checked. */
hakuban_status hkb_json_lex(hkb_json_scanner *scanner, hkb_json_lexeme *ret, hakuban_error *reterr);
/* Fills in offset, line and column for a place in text. */
hakuban_status hkb_json_error(hakuban_error *reterr, hakuban_status status, const char *text,
                              size_t offset, const char *format, ...) HAKUBAN_PRINTF(5, 6);

/* Checks that text is exactly one JSON value. ERR_PARSE; ERR_LIMIT when nested deeper than 127. */
hakuban_status hkb_json_check(const char *text, size_t bytes, hakuban_error *reterr);
/* The same, and whether text is recognised as canonical already; a text with escapes is canonical
 * perhaps, but not recognised. */
hakuban_status hkb_json_check_canonical(const char *text, size_t bytes, bool *ret_canonical,
                                        hakuban_error *reterr);
/* Appends the canonical form of the one JSON value in text. Linear (sorting of keys apart), also
 * for hostile input; text that is canonical already is recognised in one pass and copied. out's
 * maximum is the budget: ERR_LIMIT. */
hakuban_status hkb_json_canonical(const char *text, size_t bytes, hkb_buffer *out,
                                  hakuban_error *reterr);
/* Copies the JSON value in text without white space outside strings, otherwise byte for byte. */
hakuban_status hkb_json_compact(const char *text, size_t bytes, hkb_buffer *out,
                                hakuban_error *reterr);

/* Decodes the string lexeme (with its quotes) into out, which has room for end - begin bytes.
 * Returns how many were written. */
size_t hkb_json_unescape(const char *text, const hkb_json_lexeme *string, char *out);
/* Appends a quoted string: only '"', '\' and control characters escaped (short forms where JSON has
 * them, else \u00xx). */
hakuban_status hkb_json_put_string(hkb_buffer *out, const void *text, size_t bytes);
/* Always readable as a double: with '.' or 'e', the fewest digits that read back. out: at least 32
 * bytes; returns the length. The form is that of Python's repr and of serde_json where they agree;
 * the choice is documented in json/write.c. */
size_t hkb_json_put_double(char out[32], double value);
/* The double nearest to digits (digit_count of them, none but '0' to '9') times ten to the power of
 * exponent; infinity beyond the range, 0 below it. */
double hkb_json_double(const char *digits, size_t digit_count, int64_t exponent);
bool hkb_utf8_valid(const void *text, size_t bytes);

#endif
