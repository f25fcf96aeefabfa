/* In place of codec_jansson.c where jansson is not found. */
#include "codec.h"

const codec_bare *codec_bare_jansson(void)
{
    return NULL;
}
