/* Memory for tests: counts what is out, checks that sizes given back are those asked for, and fails
 * when told to. */
#ifndef TESTS_FAIL_ALLOC_H
#define TESTS_FAIL_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>

#include <hakuban/alloc.h>

typedef struct fail_alloc {
    hakuban_alloc table;         /* what is handed to the code under test */
    atomic_size_t calls;         /* allocations tried, growing included */
    atomic_size_t blocks, bytes; /* outstanding */
    atomic_size_t fail_at;       /* the number of the call that fails, from 1; 0: none */
    atomic_bool from_then_on;    /* all calls after it fail too */
} fail_alloc;

/* Nothing is outstanding and nothing fails. */
void fail_alloc_init(fail_alloc *memory);
/* Counts calls anew; the nth from now fails, and all after it if from_then_on. */
void fail_alloc_arm(fail_alloc *memory, size_t fail_at, bool from_then_on);
/* Whether the call that was to fail has been made. */
bool fail_alloc_failed(const fail_alloc *memory);

#endif
