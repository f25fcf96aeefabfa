/* XXH3-64 by the fastest instructions of this CPU. The only file that knows the xxhash headers.
 *
 * The packaged library chooses at run time only where it is shared (the static one has no
 * dispatcher), so the AVX2 variant is compiled here from its header, and the library's own function
 * serves every other machine. */
#include "wire/delta.h"

#include <xxhash.h>

static uint64_t hash_portable(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include <xxhash.h>

static uint64_t hash_avx2(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

uint64_t hkb_hash64(const void *data, size_t bytes)
{
    return __builtin_cpu_supports("avx2") ? hash_avx2(data, bytes) : hash_portable(data, bytes);
}

#else

uint64_t hkb_hash64(const void *data, size_t bytes)
{
    return hash_portable(data, bytes);
}

#endif
