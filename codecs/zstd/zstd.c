/* Standard zstd frames with the reference as prefix. Uses only the stable interface of libzstd;
 * knows nothing of deltas.
 *
 * Contexts are made at the first use, because most exchanges never compress, and are then reused.
 */
#include <hakuban/plugin/compressor.h>

#include <string.h>

#include <zstd.h>

extern const hakuban_compressor_ops hakuban_compressor_zstd;

enum { LEVEL = 1, WINDOW_LOG_MIN = 10, WINDOW_LOG_MAX = 27 };

typedef struct zstd_self {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
} zstd_self;

static void zstd_done(void *self_pointer)
{
    zstd_self *self = self_pointer;
    ZSTD_freeCCtx(self->compress);
    ZSTD_freeDCtx(self->decompress);
    memset(self, 0, sizeof(*self));
}

static size_t zstd_bound(void *self, size_t bytes)
{
    (void)self;
    return ZSTD_compressBound(bytes);
}

/* The check value, the size and the dictionary's name are the caller's business; leaving them out
 * saves bytes. */
static ZSTD_CCtx *new_compress_context(void)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context && (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL)) ||
                    ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)) ||
                    ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)) ||
                    ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0)))) {
        ZSTD_freeCCtx(context);
        return NULL;
    }
    return context;
}

/* Large enough that the end of the source still sees the beginning of the reference. */
static int window_log(size_t bytes)
{
    int log = WINDOW_LOG_MIN;
    while (log < WINDOW_LOG_MAX && bytes >> log) {
        log++;
    }
    return log;
}

static hakuban_status zstd_compress(void *self_pointer, void *dst, size_t dst_bytes,
                                    size_t *ret_bytes, hakuban_slice src, hakuban_slice reference)
{
    zstd_self *self = self_pointer;
    if (!self->compress && !(self->compress = new_compress_context())) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (ZSTD_isError(ZSTD_CCtx_setParameter(self->compress, ZSTD_c_windowLog,
                                            window_log(src.bytes + reference.bytes))) ||
        ZSTD_isError(ZSTD_CCtx_refPrefix(self->compress, reference.data, reference.bytes))) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    size_t bytes = ZSTD_compress2(self->compress, dst, dst_bytes, src.data, src.bytes);
    if (ZSTD_isError(bytes) || bytes >= src.bytes) {
        return HAKUBAN_ERR_LIMIT;
    }
    *ret_bytes = bytes;
    return HAKUBAN_OK;
}

static ZSTD_DCtx *new_decompress_context(void)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context &&
        ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        ZSTD_freeDCtx(context);
        return NULL;
    }
    return context;
}

/* The library also reads frames of old versions, skippable ones and several in a row. None of them
 * is ever sent, so none reaches the decoder. */
static int is_one_standard_frame(hakuban_slice src)
{
    static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    return src.bytes > sizeof(magic) && !memcmp(src.data, magic, sizeof(magic)) &&
           ZSTD_findFrameCompressedSize(src.data, src.bytes) == src.bytes;
}

static hakuban_status zstd_decompress(void *self_pointer, void *dst, size_t dst_bytes,
                                      hakuban_slice src, hakuban_slice reference)
{
    zstd_self *self = self_pointer;
    if (!self->decompress && !(self->decompress = new_decompress_context())) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    if (!is_one_standard_frame(src)) {
        return HAKUBAN_ERR_CORRUPT;
    }
    /* In one go into dst: no window buffer is made, whatever the frame's header claims. */
    size_t bytes = ZSTD_decompress_usingDict(self->decompress, dst, dst_bytes, src.data, src.bytes,
                                             reference.data, reference.bytes);
    return bytes == dst_bytes ? HAKUBAN_OK : HAKUBAN_ERR_CORRUPT;
}

const hakuban_compressor_ops hakuban_compressor_zstd = {
    .size = sizeof(hakuban_compressor_ops),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "zstd",
    .self_bytes = sizeof(zstd_self),
    .done = zstd_done,
    .bound = zstd_bound,
    .compress = zstd_compress,
    .decompress = zstd_decompress,
};
