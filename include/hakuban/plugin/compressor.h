/* What the author of a compressor implements: bytes to fewer bytes, with the help of a reference
 * that both sides have. */
#ifndef HAKUBAN_PLUGIN_COMPRESSOR_H
#define HAKUBAN_PLUGIN_COMPRESSOR_H

#include <stddef.h>
#include <stdint.h>

#include "../alloc.h"
#include "../bytes.h"
#include "../status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_COMPRESSOR_ABI 1u

typedef struct hakuban_compressor_ops {
    uint32_t size;       /* sizeof this struct when the plugin was compiled */
    uint32_t abi;        /* HAKUBAN_COMPRESSOR_ABI */
    const char *name;    /* as offered in the hello and asked for in URLs: "zstd"; static storage */
    uint32_t self_bytes; /* allocated and zeroed by the host: one per exchange, and one for each
                            large state that is worked on by another thread. Two threads never
                            use the same one at a time, and may use two at a time */
    hakuban_status (*init)(void *self, const hakuban_alloc *alloc); /* optional */
    void (*done)(void *self); /* optional; also after a failed init */
    /* The most that compress() can need for bytes; if that is more than 16 times bytes, it is not
     * used. Mandatory. */
    size_t (*bound)(void *self, size_t bytes);
    /* Into dst of dst_bytes (at least bound()). reference: borrowed, may be empty. ERR_LIMIT: it
     * did not get smaller. After any failure the bytes travel as they are. Never called for fewer
     * than 64 bytes. Mandatory. */
    hakuban_status (*compress)(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                               hakuban_slice src, hakuban_slice reference);
    /* Into exactly dst_bytes; anything else is ERR_CORRUPT. src is a peer's: it must not be
     * trusted, and nothing may be allocated by its say-so beyond dst_bytes. Mandatory. */
    hakuban_status (*decompress)(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                 hakuban_slice reference);
} hakuban_compressor_ops;

#ifdef __cplusplus
}
#endif

#endif
