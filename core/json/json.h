/* Exact JSON: a scanner that tells line and column, and the canonical form. Two descriptors name
 * the same object if their canonical forms are equal. There is no tree of values; only the caller's
 * buffer allocates memory. */
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
    HKB_JSON_END /* the end of the text */
} hkb_json_kind;

typedef struct hkb_json_lexeme {
    hkb_json_kind kind;
    size_t begin, end; /* offsets of the raw text, quotes included */
    bool escaped;      /* STRING: has backslashes */
    int64_t sint;      /* INT: -2^63 … 2^63-1; "-0" is a DOUBLE */
    uint64_t uint;     /* UINT: 2^63 … 2^64-1 */
    double real;       /* DOUBLE; numbers outside the double range are errors */
} hkb_json_lexeme;

/* Reads the next lexeme. White space is skipped; UTF-8, escapes and numbers are checked. A lone
 * surrogate is an error. */
hakuban_status hkb_json_lex(hkb_json_scanner *scanner, hkb_json_lexeme *ret, hakuban_error *reterr);
/* Fills in offset, line and column for a place in text. */
hakuban_status hkb_json_error(hakuban_error *reterr, hakuban_status status, const char *text,
                              size_t offset, const char *format, ...) HAKUBAN_PRINTF(5, 6);

/* Checks that text is exactly one JSON value. ERR_PARSE; ERR_LIMIT when nested deeper than 127. */
hakuban_status hkb_json_check(const char *text, size_t bytes, hakuban_error *reterr);
/* The same, and whether text is recognised as canonical. A text with escapes is never recognised,
 * even if it is canonical. */
hakuban_status hkb_json_check_canonical(const char *text, size_t bytes, bool *ret_canonical,
                                        hakuban_error *reterr);
/* Appends the canonical form of the one JSON value in text. Takes linear time (except for sorting
 * keys), also for hostile input; a text that is recognised as canonical is copied. ERR_LIMIT: more
 * than out's maximum. */
hakuban_status hkb_json_canonical(const char *text, size_t bytes, hkb_buffer *out,
                                  hakuban_error *reterr);
/* Copies the JSON value in text without white space outside strings, otherwise byte for byte. */
hakuban_status hkb_json_compact(const char *text, size_t bytes, hkb_buffer *out,
                                hakuban_error *reterr);

/* Decodes the string lexeme (with its quotes) into out, which has room for end - begin bytes.
 * Returns how many were written. */
size_t hkb_json_unescape(const char *text, const hkb_json_lexeme *string, char *out);
/* Appends a quoted string. Only '"', '\' and control characters are escaped, by the short escape if
 * JSON has one, else by \u00xx. */
hakuban_status hkb_json_put_string(hkb_buffer *out, const void *text, size_t bytes);
/* Writes a double with the fewest digits that read back as the same double, and always with '.' or
 * 'e'. out: at least 32 bytes; returns the length. The form is described in json/write.c. */
size_t hkb_json_put_double(char out[32], double value);
/* The double nearest to digits (digit_count characters, '0' to '9') times ten to the power of
 * exponent; infinity beyond the range, 0 below it. */
double hkb_json_double(const char *digits, size_t digit_count, int64_t exponent);
bool hkb_utf8_valid(const void *text, size_t bytes);

#endif
