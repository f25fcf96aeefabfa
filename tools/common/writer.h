/* Text for a descriptor whose reader may be slow or gone: a thread writes it, so that nothing else
 * ever waits for the reader. What waits to be written is bounded; lines beyond that are lost and
 * counted. */
#ifndef HAKUBAN_TOOLS_WRITER_H
#define HAKUBAN_TOOLS_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"

/* So much may wait before lines are lost. */
#define WRITER_WAITING_MAX (256u * 1024)

typedef struct writer {
    int fd;
    const char *name; /* of what is written, for the line that says how many were lost */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, has_thread, busy;
    text waiting;
    unsigned long lost;
} writer;

#define WRITER_INIT(descriptor, its_name)                                                          \
    {.fd = (descriptor), .name = (its_name), .lock = PTHREAD_MUTEX_INITIALIZER}

/* Whole lines with their ends. Taken whole, or lost whole; however long they are, where less than
 * WRITER_WAITING_MAX waits. @thread any */
void writer_put(writer *w, const char *lines, size_t bytes);
/* Waits until everything is written, but no longer than timeout_ms. */
void writer_flush(writer *w, int timeout_ms);

#endif
