/* The switchboard that joins listeners and dialers of inproc://. Exchanges use one of the whole
 * process unless they are registered with one of their own as the host's param, as tests do. */
#ifndef HKB_INPROC_H
#define HKB_INPROC_H

#include <pthread.h>

#include <hakuban/plugin/transport.h>

struct hkb_inproc_listener;

typedef struct hkb_inproc_board {
    pthread_mutex_t mutex;
    const hakuban_alloc *alloc; /* for what two exchanges share; NULL: the default */
    struct hkb_inproc_listener *listeners;
} hkb_inproc_board;

/* A board without listeners: hkb_inproc_board board = HKB_INPROC_BOARD; it outlives every exchange
 * that uses it. */
#define HKB_INPROC_BOARD {PTHREAD_MUTEX_INITIALIZER, NULL, NULL}

extern const hakuban_transport_ops hakuban_transport_inproc;

#endif
