/* Reads tests/vectors/: what the Rust implementation said, recorded as JSON. For tests only. */
#ifndef TESTS_SUPPORT_VECTORS_H
#define TESTS_SUPPORT_VECTORS_H

#include "base/base.h"

typedef struct vectors {
    char *text;
    size_t bytes, offset; /* of the next object */
} vectors;

/* Opens tests/vectors/<name>.json at its array, or at the array that is the value of key (NULL: it
 * is the file). Any failure ends the test program. */
void vectors_open(vectors *v, const char *name, const char *key);
void vectors_close(vectors *v);
/* The next object of the array, as JSON text borrowed from v; false: there is none. */
bool vectors_next(vectors *v, hakuban_slice *ret_object);
/* A member's value as JSON text. false: there is none of that name. */
bool vectors_member(hakuban_slice object, const char *key, hakuban_slice *ret);
/* A member that is a text, decoded and terminated; to be freed by the caller. NULL: there is none.
 */
char *vectors_text(hakuban_slice object, const char *key);
/* A member that is a text of hexadecimal digits, as bytes; to be freed by the caller. NULL: there
 * is none. */
uint8_t *vectors_hex(hakuban_slice object, const char *key, size_t *ret_bytes);
/* The whole file, to be freed by the caller. */
char *vectors_read(const char *name, size_t *ret_bytes);

#endif
