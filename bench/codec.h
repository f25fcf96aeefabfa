/* The documents that codec measures with, and the libraries that it compares. */
#ifndef BENCH_CODEC_H
#define BENCH_CODEC_H

#include <stddef.h>

#include <hakuban/plugin/serializer.h>

/* One value as tokens, which is what our writers take and our readers give. Texts are borrowed. */
typedef struct codec_document {
    const char *name;
    size_t count, capacity;
    hakuban_token *tokens;
} codec_document;

/* Writers and readers of other libraries for a format of ours. Their readers build a tree, since
 * they have no other. */
typedef struct codec_bare {
    const char *name;
    /* What is written later, in the form in which the library wants it. */
    void *(*prepare)(const codec_document *document, hakuban_slice encoded);
    /* Writes the document once; how many bytes it took, 0: failed. */
    size_t (*write)(void *self);
    /* Reads it into a tree and frees that; false: failed. */
    int (*read)(void *self, hakuban_slice encoded);
    void (*done)(void *self);
} codec_bare;

/* NULL where it was not there when this was built. */
const codec_bare *codec_bare_jansson(void);
const codec_bare *codec_bare_msgpack(void);

#endif
