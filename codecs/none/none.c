/* The compressor that compresses nothing, so that "none" can be negotiated like any other. */
#include <hakuban/plugin/compressor.h>

extern const hakuban_compressor_ops hakuban_compressor_none;

static size_t none_bound(void *self, size_t bytes)
{
    (void)self;
    return bytes;
}

static hakuban_status none_compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                                    hakuban_slice src, hakuban_slice reference)
{
    (void)self, (void)dst, (void)dst_bytes, (void)ret_bytes, (void)src, (void)reference;
    return HAKUBAN_ERR_LIMIT;
}

static hakuban_status none_decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                      hakuban_slice reference)
{
    (void)self, (void)dst, (void)dst_bytes, (void)src, (void)reference;
    return HAKUBAN_ERR_CORRUPT;
}

const hakuban_compressor_ops hakuban_compressor_none = {
    .size = sizeof(hakuban_compressor_ops),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "none",
    .bound = none_bound,
    .compress = none_compress,
    .decompress = none_decompress,
};
