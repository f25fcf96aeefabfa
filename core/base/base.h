/* What every other room uses: assertions, memory, errors, text. This room includes no other one. */
#ifndef HKB_BASE_BASE_H
#define HKB_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hakuban/alloc.h>
#include <hakuban/bytes.h>
#include <hakuban/log.h>
#include <hakuban/status.h>

#if defined(__GNUC__)
#define HKB_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HKB_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define HKB_LIKELY(condition) (condition)
#define HKB_UNLIKELY(condition) (condition)
#endif

/* For bugs of ours only, kept in release builds. Bytes from a peer or a plugin never trip it. */
_Noreturn void hkb_assert_failed(const char *text, const char *file, int line);
#define HKB_ASSERT(condition)                                                                      \
    (HKB_LIKELY(condition) ? (void)0 : hkb_assert_failed(#condition, __FILE__, __LINE__))

#define HKB_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HKB_CONTAINER(pointer, type, member)                                                       \
    ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

static inline size_t hkb_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t hkb_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Zeroed memory, or NULL. */
void *hkb_alloc(const hakuban_alloc *alloc, size_t bytes);
/* The same without zeroing, for memory that is filled at once. */
void *hkb_alloc_unset(const hakuban_alloc *alloc, size_t bytes);
/* memory may be NULL. */
void hkb_free(const hakuban_alloc *alloc, void *memory, size_t bytes);
/* Makes room for exactly wanted items (of item_bytes each) at *items. New memory is not zeroed.
 * ERR_NO_MEMORY changes nothing. */
hakuban_status hkb_resize(const hakuban_alloc *alloc, void *items_pointer, size_t item_bytes,
                          size_t *capacity, size_t wanted);
/* Grows *items (of item_bytes each) so that the needed number of items fits. The capacity at least
 * doubles; new memory is not zeroed. ERR_NO_MEMORY changes nothing. */
hakuban_status hkb_grow(const hakuban_alloc *alloc, void *items_pointer, size_t item_bytes,
                        size_t *capacity, size_t needed);

/* Fills in reterr (which may be NULL) with status, text and no place; returns status.
 * hakuban_error_set() is the public twin. */
hakuban_status hkb_error_at(hakuban_error *reterr, hakuban_status status, size_t offset,
                            unsigned line, unsigned column, const char *format, ...)
    HAKUBAN_PRINTF(6, 7);
hakuban_status hkb_error_set_v(hakuban_error *reterr, hakuban_status status, const char *format,
                               va_list arguments) HAKUBAN_PRINTF(3, 0);

/* The length of the UTF-8 sequence that begins text; 0: there is none. bytes: at least 1. */
size_t hkb_utf8_bytes(const uint8_t *text, size_t bytes);

/* Where a public struct ended when member was its last. */
#define HKB_SIZED_END(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
/* Copies a public struct from a program that may be built with another release of the header.
 * Members that the program's header lacks become zero. false: the program has set a member that
 * this library does not know. */
bool hkb_sized_read(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes);
/* Copies a public struct to such a program; members that this library does not know become zero. */
void hkb_sized_write(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes);
/* Copies text into out, at most out_bytes - 1 characters and a terminating zero. Backslashes and
 * bytes outside of printable ASCII become \xNN. */
const char *hkb_escape(char *out, size_t out_bytes, const void *text, size_t bytes);

#endif
