/* Jansson, as a program without hakuban would use it: a tree that is dumped into a buffer, a text
 * loaded into a tree. */
#include <stdlib.h>

#include <jansson.h>

#include "bench.h"
#include "codec.h"

typedef struct jansson {
    json_t *tree;
    size_t room;
    char *buffer;
} jansson;

static void *prepare(const codec_document *document, hakuban_slice encoded)
{
    jansson *self = calloc(1, sizeof(*self));
    (void)document;
    if (self) {
        self->tree = json_loadb(encoded.data, encoded.bytes, JSON_DECODE_ANY, NULL);
        self->room = 2 * encoded.bytes + 64;
        self->buffer = malloc(self->room);
    }
    if (!self || !self->tree || !self->buffer) {
        bench_die("jansson does not take what we wrote");
    }
    return self;
}

static size_t write_once(void *memory)
{
    jansson *self = memory;
    size_t bytes = json_dumpb(self->tree, self->buffer, self->room, JSON_COMPACT | JSON_ENCODE_ANY);
    return bytes <= self->room ? bytes : 0;
}

static int read_once(void *memory, hakuban_slice encoded)
{
    json_t *tree = json_loadb(encoded.data, encoded.bytes, JSON_DECODE_ANY, NULL);
    (void)memory;
    json_decref(tree);
    return tree != NULL;
}

static void done(void *memory)
{
    jansson *self = memory;
    json_decref(self->tree);
    free(self->buffer);
    free(self);
}

const codec_bare *codec_bare_jansson(void)
{
    static const codec_bare bare = {"jansson", prepare, write_once, read_once, done};
    return &bare;
}
