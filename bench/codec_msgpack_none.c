/* In place of codec_msgpack.c where the msgpack serializer is not built in. */
#include "codec.h"

const codec_bare *codec_bare_msgpack(void)
{
    return NULL;
}
