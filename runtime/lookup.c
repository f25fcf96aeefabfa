/* See lookup.h. */
#define _GNU_SOURCE

#include "runtime/lookup.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include <hakuban/plugin/transport.h>

#include "runtime/thread.h"

#define NAME_BYTES_MAX 254

struct hkb_lookup {
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t answered;
    pthread_t thread;
    hkb_loop *loop;
    bool done, abandoned;
    char name[NAME_BYTES_MAX];
    hkb_answer answer; /* the thread's, until done */
};

bool hkb_lookup_is_numeric(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    freeaddrinfo(found);
    return true;
}

static void add(hkb_answer *answer, const struct addrinfo *found)
{
    char *text = answer->addresses[answer->count];
    if (getnameinfo(found->ai_addr, found->ai_addrlen, text, HKB_ADDRESS_BYTES, NULL, 0,
                    NI_NUMERICHOST) != 0) {
        return;
    }
    for (size_t i = 0; i < answer->count; i++) {
        if (strcmp(answer->addresses[i], text) == 0) {
            return;
        }
    }
    answer->count++;
}

static void look_up(const char *name, hkb_answer *answer)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);
    const char *why = status == EAI_SYSTEM ? strerror(errno)
                      : status             ? gai_strerror(status)
                                           : "the name has no address";
    (void)snprintf(answer->why, sizeof(answer->why), "%s", why);
    if (status != 0) {
        return;
    }
    for (const struct addrinfo *each = found; each && answer->count < HKB_ADDRESSES_MAX;
         each = each->ai_next) {
        add(answer, each);
    }
    freeaddrinfo(found);
}

/* Not the exchange's memory: the exchange may be gone when the thread ends. */
static void destroy(hkb_lookup *lookup)
{
    (void)pthread_cond_destroy(&lookup->answered);
    (void)pthread_mutex_destroy(&lookup->mutex);
    hkb_free(hakuban_alloc_default(), lookup, sizeof(*lookup));
}

static void *thread_main(void *argument)
{
    hkb_lookup *lookup = argument;
    look_up(lookup->name, &lookup->answer);
    (void)pthread_mutex_lock(&lookup->mutex);
    lookup->done = true;
    bool abandoned = lookup->abandoned;
    if (lookup->loop) {
        hkb_loop_wake(lookup->loop);
    }
    (void)pthread_cond_broadcast(&lookup->answered);
    (void)pthread_mutex_unlock(&lookup->mutex);
    if (abandoned) {
        destroy(lookup);
    }
    return NULL;
}

static bool init_locks(hkb_lookup *lookup)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    bool made = pthread_cond_init(&lookup->answered, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    if (made && pthread_mutex_init(&lookup->mutex, NULL) != 0) {
        (void)pthread_cond_destroy(&lookup->answered);
        made = false;
    }
    return made;
}

hakuban_status hkb_lookup_start(const char *name, hkb_loop *loop, hkb_lookup **ret,
                                hakuban_error *reterr)
{
    hkb_lookup *lookup = hkb_alloc(hakuban_alloc_default(), sizeof(*lookup));
    if (lookup && !init_locks(lookup)) {
        hkb_free(hakuban_alloc_default(), lookup, sizeof(*lookup));
        lookup = NULL;
    }
    if (!lookup) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    lookup->loop = loop;
    (void)snprintf(lookup->name, sizeof(lookup->name), "%s", name);
    hakuban_status status = hkb_thread_start(&lookup->thread, thread_main, lookup, reterr);
    if (status < 0) {
        destroy(lookup);
        return status;
    }
    *ret = lookup;
    return HAKUBAN_OK;
}

const hkb_answer *hkb_lookup_answer(hkb_lookup *lookup, unsigned timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    int error = 0;
    (void)pthread_mutex_lock(&lookup->mutex);
    while (!lookup->done && timeout_ms && error != ETIMEDOUT) {
        error = pthread_cond_timedwait(&lookup->answered, &lookup->mutex, &until);
    }
    bool done = lookup->done;
    (void)pthread_mutex_unlock(&lookup->mutex);
    return done ? &lookup->answer : NULL;
}

/* The object that has this code, be it the shared library or a plugin into which it was linked. */
static void stay_loaded(void)
{
    static const char here = 0;
    Dl_info self;
    if (dladdr(&here, &self)) {
        (void)dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

hkb_lookup *hkb_lookup_free(hkb_lookup *lookup)
{
    if (!lookup) {
        return NULL;
    }
    (void)pthread_mutex_lock(&lookup->mutex);
    bool done = lookup->done;
    if (!done) {
        stay_loaded();
        lookup->abandoned = true;
        lookup->loop = NULL;
        (void)pthread_detach(lookup->thread);
    }
    (void)pthread_mutex_unlock(&lookup->mutex);
    if (done) {
        (void)pthread_join(lookup->thread, NULL);
        destroy(lookup);
    }
    return NULL;
}
