/* Checks without a framework: what fails jumps back to the runner, which tells it and goes on. Also
 * memory that is counted, and memory that ends where an unreadable page begins. Knows no kind of
 * plugin. */
#ifndef HKB_CONFORMANCE_CHECK_H
#define HKB_CONFORMANCE_CHECK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hakuban/plugin/conformance.h>

#define HKB_CHECK_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HKB_CHECK_ROOM_BYTES ((size_t)4 << 20)
enum { HKB_CHECK_ROOMS = 4 };

typedef struct hkb_check_block hkb_check_block;

typedef struct hkb_checks {
    const void *ops, *options;
    hakuban_conformance_report *report;
    void *report_ctx;
    unsigned failures;
    sigjmp_buf back;
    char text[512]; /* why the check failed, or a remark */
    hakuban_alloc alloc;
    hkb_check_block *blocks;
    size_t allocated_bytes, allocated_bytes_max;
    long fail_at; /* the how-manieth allocation from now on fails; 0: none */
    bool failed;  /* it did */
    bool misused; /* a wrong size was given back */
    uint8_t *rooms[HKB_CHECK_ROOMS];
    void *fixture; /* what a check that fails leaves behind, for abandon */
    void (*abandon)(void *fixture);
} hkb_checks;

typedef struct hkb_check {
    const char *name;
    void (*run)(hkb_checks *checks);
} hkb_check;

/* Runs the first, and where it passes, so that the others may trust the table, the others. The
 * number of failures. */
unsigned hkb_checks_run(hkb_checks *checks, const hkb_check *list, size_t count);

/* Ends the running check as failed. Not from inside of a plugin. */
_Noreturn void hkb_check_fail(hkb_checks *checks, const char *format, ...) HAKUBAN_PRINTF(2, 3);
/* A remark for a check that passes. */
void hkb_check_remark(hkb_checks *checks, const char *format, ...) HAKUBAN_PRINTF(2, 3);

#define HKB_CHECK(checks, condition, ...)                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            hkb_check_fail((checks), __VA_ARGS__);                                                 \
    } while (0)

/* bytes of memory that end at an unreadable page. The last call for index counts. */
uint8_t *hkb_check_room(hkb_checks *checks, unsigned index, size_t bytes);

/* A number that looks random and is the same in every run. */
uint32_t hkb_check_random(uint32_t *state);

bool hkb_check_utf8(const void *data, size_t bytes);

#endif
