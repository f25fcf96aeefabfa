/* Loaded into the attacked router by LD_PRELOAD: keeps the most processor time that a thread used
 * between two waits for events, in memory that it shares with the attack. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

typedef int (*wait_fn)(int, struct epoll_event *, int, int, const sigset_t *);

static wait_fn wait_for_events;
static _Atomic uint64_t *longest_ns; /* NULL: nothing is measured */
static _Thread_local uint64_t since_ns;

static uint64_t used_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

__attribute__((constructor)) static void begin(void)
{
    void *found = dlsym(RTLD_NEXT, "epoll_pwait");
    const char *fd = getenv("ATTACK_TURNS_FD");
    void *shared = MAP_FAILED;
    memcpy(&wait_for_events, &found, sizeof(found));
    if (fd) {
        shared = mmap(NULL, sizeof(*longest_ns), PROT_READ | PROT_WRITE, MAP_SHARED,
                      (int)strtol(fd, NULL, 10), 0);
    }
    longest_ns = shared == MAP_FAILED ? NULL : shared;
}

__attribute__((visibility("default"))) int epoll_pwait(int epoll, struct epoll_event *events,
                                                       int room, int timeout_ms,
                                                       const sigset_t *signals)
{
    if (longest_ns && since_ns) {
        uint64_t took_ns = used_ns() - since_ns;
        if (took_ns > atomic_load(longest_ns)) { /* two loops at the same moment may lose one */
            atomic_store(longest_ns, took_ns);
        }
    }
    int count = wait_for_events(epoll, events, room, timeout_ms, signals);
    since_ns = longest_ns ? used_ns() : 0;
    return count;
}

__attribute__((visibility("default"))) int epoll_wait(int epoll, struct epoll_event *events,
                                                      int room, int timeout_ms)
{
    return epoll_pwait(epoll, events, room, timeout_ms, NULL);
}
