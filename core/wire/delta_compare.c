/* How far two pieces of memory are equal, forwards and backwards, at the speed of memcmp. Knows nothing of deltas. */
#include "wire/delta_internal.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define HAVE_AVX2 1

__attribute__((target("avx2"))) static inline uint32_t equal_bytes(const uint8_t *a,
                                                                   const uint8_t *b)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)a);
    __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)b);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, y));
}

__attribute__((target("avx2"))) static inline bool equal_128(const uint8_t *a, const uint8_t *b)
{
    __m256i difference = _mm256_setzero_si256();
    for (size_t i = 0; i < 128; i += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(a + i));
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(b + i));
        difference = _mm256_or_si256(difference, _mm256_xor_si256(x, y));
    }
    return _mm256_testz_si256(difference, difference);
}

__attribute__((target("avx2"))) static size_t forward_avx2(const uint8_t *a, const uint8_t *b,
                                                           size_t bytes_max)
{
    size_t i = 0;
    while (i + 128 <= bytes_max && equal_128(a + i, b + i))
        i += 128;
    for (; i + 32 <= bytes_max; i += 32) {
        uint32_t equal = equal_bytes(a + i, b + i);
        if (equal != UINT32_MAX)
            return i + (size_t)__builtin_ctz(~equal);
    }
    while (i < bytes_max && a[i] == b[i])
        i++;
    return i;
}

__attribute__((target("avx2"))) static size_t backward_avx2(const uint8_t *a, const uint8_t *b,
                                                            size_t bytes_max)
{
    size_t left = bytes_max; /* a and b are the beginnings here, so that offsets stay positive */
    while (left >= 128 && equal_128(a + left - 128, b + left - 128))
        left -= 128;
    for (; left >= 32; left -= 32) {
        uint32_t equal = equal_bytes(a + left - 32, b + left - 32);
        if (equal != UINT32_MAX)
            return bytes_max - left + (size_t)__builtin_clz(~equal);
    }
    while (left > 0 && a[left - 1] == b[left - 1])
        left--;
    return bytes_max - left;
}

#endif

/* Four words at a time; compilers make the 16-byte instructions of the base machine of it. */
static bool equal_32(const uint8_t *a, const uint8_t *b)
{
    uint64_t difference = 0;
    for (size_t i = 0; i < 32; i += 8)
        difference |= hkb_delta_load8(a + i) ^ hkb_delta_load8(b + i);
    return difference == 0;
}

static size_t forward_words(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
    size_t i = 0;
    while (i + 32 <= bytes_max && equal_32(a + i, b + i))
        i += 32;
    while (i < bytes_max && a[i] == b[i])
        i++;
    return i;
}

static size_t backward_words(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
    size_t left = bytes_max;
    while (left >= 32 && equal_32(a + left - 32, b + left - 32))
        left -= 32;
    while (left > 0 && a[left - 1] == b[left - 1])
        left--;
    return bytes_max - left;
}

size_t hkb_delta_forward_wide(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
#ifdef HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        return forward_avx2(a, b, bytes_max);
#endif
    return forward_words(a, b, bytes_max);
}

size_t hkb_delta_backward_wide(const uint8_t *a_end, const uint8_t *b_end, size_t bytes_max)
{
#ifdef HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        return backward_avx2(a_end - bytes_max, b_end - bytes_max, bytes_max);
#endif
    return backward_words(a_end - bytes_max, b_end - bytes_max, bytes_max);
}
