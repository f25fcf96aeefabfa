/* Tells how far two pieces of memory are equal, forwards and backwards, at the speed of memcmp();
 * and copies at the same speed for any alignment. Knows nothing of deltas. */
#include "wire/delta_internal.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define HAVE_AVX2 1

__attribute__((target("avx2"))) static inline __m256i load_32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

__attribute__((target("avx2"))) static inline void store_32(uint8_t *p, __m256i value)
{
    _mm256_storeu_si256((__m256i *)(void *)p, value);
}

__attribute__((target("avx2"))) static inline uint32_t equal_bytes(const uint8_t *a,
                                                                   const uint8_t *b)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load_32(a), load_32(b)));
}

__attribute__((target("avx2"))) static inline __m256i difference_32(const uint8_t *a,
                                                                    const uint8_t *b)
{
    return _mm256_xor_si256(load_32(a), load_32(b));
}

__attribute__((target("avx2"))) static inline bool equal_128(const uint8_t *a, const uint8_t *b)
{
    __m256i near = _mm256_or_si256(difference_32(a, b), difference_32(a + 32, b + 32));
    __m256i far = _mm256_or_si256(difference_32(a + 64, b + 64), difference_32(a + 96, b + 96));
    __m256i all = _mm256_or_si256(near, far);
    return _mm256_testz_si256(all, all);
}

__attribute__((target("avx2"))) static size_t forward_avx2(const uint8_t *a, const uint8_t *b,
                                                           size_t bytes_max)
{
    size_t i = 0;
    while (i + 128 <= bytes_max && equal_128(a + i, b + i)) {
        i += 128;
    }
    for (; i + 32 <= bytes_max; i += 32) {
        uint32_t equal = equal_bytes(a + i, b + i);
        if (equal != UINT32_MAX) {
            return i + (size_t)__builtin_ctz(~equal);
        }
    }
    while (i < bytes_max && a[i] == b[i]) {
        i++;
    }
    return i;
}

__attribute__((target("avx2"))) static size_t backward_avx2(const uint8_t *a, const uint8_t *b,
                                                            size_t bytes_max)
{
    size_t left = bytes_max; /* a and b are the beginnings here, so that offsets stay positive */
    while (left >= 128 && equal_128(a + left - 128, b + left - 128)) {
        left -= 128;
    }
    for (; left >= 32; left -= 32) {
        uint32_t equal = equal_bytes(a + left - 32, b + left - 32);
        if (equal != UINT32_MAX) {
            return bytes_max - left + (size_t)__builtin_clz(~equal);
        }
    }
    while (left > 0 && a[left - 1] == b[left - 1]) {
        left--;
    }
    return bytes_max - left;
}

__attribute__((target("avx2"))) static inline void copy_128(uint8_t *to, const uint8_t *from)
{
    /* Four variables, because compilers keep an array of four in memory. */
    __m256i a = load_32(from), b = load_32(from + 32), c = load_32(from + 64),
            d = load_32(from + 96);
    store_32(to, a);
    store_32(to + 32, b);
    store_32(to + 64, c);
    store_32(to + 96, d);
}

/* The processor compares the lower 12 bits of addresses: a load waits for an earlier store if these
 * are equal. So the copy goes in the direction in which loads move away from stores. */
__attribute__((target("avx2"))) static void copy_avx2(uint8_t *to, const uint8_t *from,
                                                      size_t bytes)
{
    if ((((uintptr_t)to - (uintptr_t)from) & 4095) < 2048) {
        size_t odd = (uintptr_t)(to + bytes) & 31;
        bytes -= odd;
        memcpy(to + bytes, from + bytes, odd);
        for (; bytes >= 128; bytes -= 128) {
            copy_128(to + bytes - 128, from + bytes - 128);
        }
        memcpy(to, from, bytes);
    } else {
        size_t i = (0 - (uintptr_t)to) & 31;
        memcpy(to, from, i);
        for (; i + 128 <= bytes; i += 128) {
            copy_128(to + i, from + i);
        }
        memcpy(to + i, from + i, bytes - i);
    }
}

#endif

/* Four words at a time; compilers turn this into 16-byte instructions. */
static bool equal_32(const uint8_t *a, const uint8_t *b)
{
    uint64_t difference = 0;
    for (size_t i = 0; i < 32; i += 8) {
        difference |= hkb_delta_load8(a + i) ^ hkb_delta_load8(b + i);
    }
    return difference == 0;
}

static size_t forward_words(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
    size_t i = 0;
    while (i + 32 <= bytes_max && equal_32(a + i, b + i)) {
        i += 32;
    }
    while (i < bytes_max && a[i] == b[i]) {
        i++;
    }
    return i;
}

static size_t backward_words(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
    size_t left = bytes_max;
    while (left >= 32 && equal_32(a + left - 32, b + left - 32)) {
        left -= 32;
    }
    while (left > 0 && a[left - 1] == b[left - 1]) {
        left--;
    }
    return bytes_max - left;
}

size_t hkb_delta_forward_wide(const uint8_t *a, const uint8_t *b, size_t bytes_max)
{
#ifdef HAVE_AVX2
    if (__builtin_cpu_supports("avx2")) {
        return forward_avx2(a, b, bytes_max);
    }
#endif
    return forward_words(a, b, bytes_max);
}

size_t hkb_delta_backward_wide(const uint8_t *a_end, const uint8_t *b_end, size_t bytes_max)
{
#ifdef HAVE_AVX2
    if (__builtin_cpu_supports("avx2")) {
        return backward_avx2(a_end - bytes_max, b_end - bytes_max, bytes_max);
    }
#endif
    return backward_words(a_end - bytes_max, b_end - bytes_max, bytes_max);
}

void hkb_delta_copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
#ifdef HAVE_AVX2
    if (bytes >= 1024 && __builtin_cpu_supports("avx2")) {
        copy_avx2(to, from, bytes);
        return;
    }
#endif
    memcpy(to, from, bytes);
}
