/* msgpack-c, as a program without hakuban would use it: msgpack_pack_…() into a buffer that is used
 * again, and msgpack_unpack_next() into a tree. */
#include <stdlib.h>

#include <msgpack.h>

#include "bench.h"
#include "codec.h"

typedef struct msgpack_self {
    const codec_document *document;
    msgpack_sbuffer buffer;
} msgpack_self;

static void *prepare(const codec_document *document, hakuban_slice encoded)
{
    msgpack_self *self = calloc(1, sizeof(*self));
    (void)encoded;
    if (!self) {
        bench_die("out of memory");
    }
    self->document = document;
    msgpack_sbuffer_init(&self->buffer);
    return self;
}

static int pack(msgpack_packer *packer, const hakuban_token *token)
{
    switch (token->kind) {
    case HAKUBAN_TOKEN_NULL:
        return msgpack_pack_nil(packer);
    case HAKUBAN_TOKEN_BOOL:
        return token->value.boolean ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    case HAKUBAN_TOKEN_INT:
        return msgpack_pack_int64(packer, token->value.sint);
    case HAKUBAN_TOKEN_DOUBLE:
        return msgpack_pack_double(packer, token->value.real);
    case HAKUBAN_TOKEN_STRING:
        return msgpack_pack_str(packer, token->value.text.bytes) != 0 ||
               msgpack_pack_str_body(packer, token->value.text.data, token->value.text.bytes) != 0;
    case HAKUBAN_TOKEN_ARRAY:
        return msgpack_pack_array(packer, token->count);
    case HAKUBAN_TOKEN_MAP:
        return msgpack_pack_map(packer, token->count);
    default: /* END: nothing is written for it; the documents have no other kinds */
        return 0;
    }
}

static size_t write_once(void *memory)
{
    msgpack_self *self = memory;
    msgpack_packer packer;
    msgpack_sbuffer_clear(&self->buffer);
    msgpack_packer_init(&packer, &self->buffer, msgpack_sbuffer_write);
    for (size_t i = 0; i < self->document->count; i++) {
        if (pack(&packer, &self->document->tokens[i]) != 0) {
            return 0;
        }
    }
    return self->buffer.size;
}

static int read_once(void *memory, hakuban_slice encoded)
{
    msgpack_unpacked tree;
    size_t offset = 0;
    (void)memory;
    msgpack_unpacked_init(&tree);
    msgpack_unpack_return result = msgpack_unpack_next(&tree, encoded.data, encoded.bytes, &offset);
    msgpack_unpacked_destroy(&tree);
    return result == MSGPACK_UNPACK_SUCCESS;
}

static void done(void *memory)
{
    msgpack_self *self = memory;
    msgpack_sbuffer_destroy(&self->buffer);
    free(self);
}

const codec_bare *codec_bare_msgpack(void)
{
    static const codec_bare bare = {"msgpack-c", prepare, write_once, read_once, done};
    return &bare;
}
