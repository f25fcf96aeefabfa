/* See check.h. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FAILED = 1, OUTSIDE = 2 };

/* In front of every piece of memory that a plugin asks for. */
struct hkb_check_block {
    hkb_check_block *next, **at;
    size_t bytes, pad;
};

static hkb_checks *running; /* whose rooms the signal handler knows */

static void *count_alloc(void *ctx, size_t bytes)
{
    hkb_checks *checks = ctx;
    if (checks->fail_at > 0 && --checks->fail_at == 0) {
        checks->failed = true;
        return NULL;
    }
    hkb_check_block *block = malloc(sizeof(*block) + bytes);
    if (!block) {
        return NULL;
    }
    *block = (hkb_check_block){checks->blocks, &checks->blocks, bytes, 0};
    if (block->next) {
        block->next->at = &block->next;
    }
    checks->blocks = block;
    checks->allocated_bytes += bytes;
    if (checks->allocated_bytes > checks->allocated_bytes_max) {
        checks->allocated_bytes_max = checks->allocated_bytes;
    }
    return block + 1;
}

static void count_free(void *ctx, void *memory, size_t bytes)
{
    hkb_checks *checks = ctx;
    hkb_check_block *block = (hkb_check_block *)memory - 1;
    checks->misused = checks->misused || block->bytes != bytes;
    checks->allocated_bytes -= block->bytes;
    *block->at = block->next;
    if (block->next) {
        block->next->at = block->at;
    }
    free(block);
}

static void *count_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    void *grown = count_alloc(ctx, new_bytes);
    if (!grown) {
        return NULL;
    }
    memcpy(grown, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
    count_free(ctx, memory, old_bytes);
    return grown;
}

static void set_text(hkb_checks *checks, const char *format, va_list arguments)
    HAKUBAN_PRINTF(2, 0);
static void set_text(hkb_checks *checks, const char *format, va_list arguments)
{
    (void)vsnprintf(checks->text, sizeof(checks->text), format, arguments);
}

void hkb_check_fail(hkb_checks *checks, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_text(checks, format, arguments);
    va_end(arguments);
    siglongjmp(checks->back, FAILED);
}

void hkb_check_remark(hkb_checks *checks, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_text(checks, format, arguments);
    va_end(arguments);
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

uint8_t *hkb_check_room(hkb_checks *checks, unsigned index, size_t bytes)
{
    HKB_CHECK(checks, bytes <= HKB_CHECK_ROOM_BYTES, "%zu bytes are asked for", bytes);
    if (!checks->rooms[index]) {
        size_t page = page_bytes();
        uint8_t *room = mmap(NULL, HKB_CHECK_ROOM_BYTES + page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        HKB_CHECK(checks, room != MAP_FAILED, "the checks themselves lack memory");
        (void)mprotect(room + HKB_CHECK_ROOM_BYTES, page, PROT_NONE);
        checks->rooms[index] = room;
    }
    return checks->rooms[index] + HKB_CHECK_ROOM_BYTES - bytes;
}

/* An access to a page behind a room ends the check; any other is not ours and ends the program as
 * it always did. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;
    for (unsigned i = 0; running && i < HKB_CHECK_ROOMS; i++) {
        uintptr_t guard = (uintptr_t)running->rooms[i] + HKB_CHECK_ROOM_BYTES;
        if (running->rooms[i] && at >= guard && at - guard < page_bytes()) {
            siglongjmp(running->back, OUTSIDE);
        }
    }
    (void)signal(number, SIG_DFL);
}

static void free_blocks(hkb_checks *checks)
{
    while (checks->blocks) {
        count_free(checks, checks->blocks + 1, checks->blocks->bytes);
    }
}

/* Whether the check came to its end. */
static bool attempt(hkb_checks *checks, const hkb_check *check)
{
    switch (sigsetjmp(checks->back, 1)) {
    case 0:
        check->run(checks);
        HKB_CHECK(checks, checks->allocated_bytes == 0, "%zu bytes were never freed",
                  checks->allocated_bytes);
        HKB_CHECK(checks, !checks->misused, "memory was freed with a size that it never had");
        return true;
    case OUTSIDE:
        hkb_check_remark(checks, "read or wrote outside of the memory that was given");
        return false;
    default:
        return false;
    }
}

static bool run_one(hkb_checks *checks, const hkb_check *check)
{
    checks->text[0] = '\0';
    checks->fail_at = 0;
    checks->misused = false;
    bool passed = attempt(checks, check);
    if (!passed && checks->fixture) {
        checks->abandon(checks->fixture);
    }
    checks->fixture = NULL;
    free_blocks(checks);
    if (checks->report) {
        checks->report(checks->report_ctx, check->name, passed, checks->text);
    }
    checks->failures += !passed;
    return passed;
}

unsigned hkb_checks_run(hkb_checks *checks, const hkb_check *list, size_t count)
{
    struct sigaction mine = {.sa_flags = SA_SIGINFO}, before_segv, before_bus;
    mine.sa_sigaction = on_fault;
    sigemptyset(&mine.sa_mask);
    checks->alloc = (hakuban_alloc){checks, count_alloc, count_realloc, count_free};
    running = checks;
    (void)sigaction(SIGSEGV, &mine, &before_segv);
    (void)sigaction(SIGBUS, &mine, &before_bus);
    /* The first check is the table's form, without which no other makes sense. */
    if (run_one(checks, &list[0])) {
        for (size_t i = 1; i < count; i++) {
            (void)run_one(checks, &list[i]);
        }
    }
    (void)sigaction(SIGSEGV, &before_segv, NULL);
    (void)sigaction(SIGBUS, &before_bus, NULL);
    running = NULL;
    for (unsigned i = 0; i < HKB_CHECK_ROOMS; i++) {
        if (checks->rooms[i]) {
            (void)munmap(checks->rooms[i], HKB_CHECK_ROOM_BYTES + page_bytes());
        }
    }
    return checks->failures;
}

uint32_t hkb_check_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    uint32_t mixed = *state ^ (*state >> 16);
    return mixed * 0x45d9f3bu ^ (mixed >> 13);
}

bool hkb_check_utf8(const void *data, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *in = data, *end = in + bytes;
    while (in < end) {
        size_t length = *in < 0x80 ? 1 : *in < 0xc0 ? 0 : *in < 0xe0 ? 2 : *in < 0xf0 ? 3 : 4;
        if (length == 0 || *in > 0xf7 || length > (size_t)(end - in)) {
            return false;
        }
        uint32_t code = length == 1 ? *in : *in & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
            if ((in[i] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (in[i] & 0x3fu);
        }
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        in += length;
    }
    return true;
}
