/* Taking members out of JSON texts that are known to be valid. It checks nothing again and makes no
 * tree. */
#ifndef HAKUBAN_TOOLS_PICK_H
#define HAKUBAN_TOOLS_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"

/* A value inside a text; bytes 0: there is none. */
typedef struct piece {
    const char *data;
    size_t bytes;
} piece;

/* The member of an object; none where json is no object or has no such member. Keys are compared as
 * they are spelled. */
piece pick(piece json, const char *key);
/* The next element of an array; *place is 0 to begin with. */
piece pick_element(piece array, size_t *place);
/* Whether the value is spelled so. */
bool pick_is(piece value, const char *spelled);
/* The number, or otherwise. */
uint64_t pick_number(piece value, uint64_t otherwise);
/* A string without its quotes and escapes, anything else as it is spelled; control characters as
 * they were escaped. */
void pick_add_words(text *t, piece value);

#endif
