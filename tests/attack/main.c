/* attack [--seconds N] [--slack-ms N] [--turn-ms N] [--router PROGRAM] [KIND...]: plays each kind
 * of misuse against a router while a good pair sends states over it, and prints what the pair, the
 * router's memory and its longest turn show. Exit code 0: every pair kept its pace, and no turn
 * used more than --turn-ms of the processor. scripts/attack.sh calls it. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kinds.h"
#include "pair.h"

#define MEMORY_BYTES ((rlim_t)3 << 30) /* the router's address space: its limits follow from it */
#define CALM_MS 1500
#define RATIO_MAX 3.0

typedef struct router {
    pid_t pid;
    unsigned port;
    char url[64];
    _Atomic uint64_t *turn_ns; /* its longest turn's, by turns/turns.c; 0: it is not measured */
} router;

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* What is left out where sanitizers have libraries of their own before all others. */
static void measure_turns(int fd)
{
#ifdef ATTACK_TURNS
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", fd);
    (void)setenv("ATTACK_TURNS_FD", number, 1);
    (void)setenv("LD_PRELOAD", ATTACK_TURNS, 0);
#else
    (void)fd;
#endif
}

/* Its address is its first line. */
static bool router_begin(router *r, const char *program, const char *upstream)
{
    int out[2], log[2], turns = memfd_create("turns", 0);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(log, O_CLOEXEC) != 0 || turns < 0 ||
        ftruncate(turns, sizeof(*r->turn_ns)) != 0) {
        return false;
    }
    void *shared = mmap(NULL, sizeof(*r->turn_ns), PROT_READ | PROT_WRITE, MAP_SHARED, turns, 0);
    if (shared == MAP_FAILED) {
        return false;
    }
    r->turn_ns = shared;
    r->pid = fork();
    if (r->pid == 0) {
        struct rlimit limit = {MEMORY_BYTES, MEMORY_BYTES}, none = {0, 0};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setrlimit(RLIMIT_AS, &limit);
        (void)setrlimit(RLIMIT_CORE, &none);
        measure_turns(turns);
        (void)dup2(out[1], 1);
        (void)dup2(log[1], 2); /* and no one reads it */
        const char *arguments[] = {program,  "-b", "tcp://127.0.0.1:0", upstream ? "-c" : NULL,
                                   upstream, NULL};
        (void)execv(program, (char *const *)arguments);
        _exit(127);
    }
    (void)close(out[1]);
    (void)close(log[1]);
    (void)close(turns);
    char line[128] = "";
    FILE *in = fdopen(out[0], "r");
    bool good = r->pid > 0 && in && fgets(line, sizeof(line), in) &&
                sscanf(line, "listening %60s", r->url) == 1 &&
                sscanf(line, "listening tcp://127.0.0.1:%u", &r->port) == 1;
    return good; /* the pipes stay open as long as this program */
}

static bool router_lives(const router *r)
{
    return waitpid(r->pid, NULL, WNOHANG) == 0;
}

static void router_end(const router *r)
{
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, NULL, 0);
    (void)munmap((void *)r->turn_ns, sizeof(*r->turn_ns));
}

static long router_mib(const router *r)
{
    char path[64], line[256];
    long kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)r->pid);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof(line), status)) {
        (void)sscanf(line, "VmRSS: %ld", &kib);
    }
    if (status) {
        (void)fclose(status);
    }
    return kib / 1024;
}

/* The pair's figures while the attack goes on, and the most memory that the router had. */
static pair_figures under_attack(const kind *k, pair *p, const router *r, double seconds,
                                 long *ret_peak_mib)
{
    int64_t end_us = clock_us() + (int64_t)(seconds * 1e6);
    pid_t pid = fork();
    if (pid < 0) {
        perror("attack: fork");
        exit(1);
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setpriority(PRIO_PROCESS, 0, 5); /* what it costs here is no fault of the router's */
        k->play(r->port, end_us);
        _exit(0);
    }
    while (clock_us() < end_us) {
        pause_ms(20);
        long mib = router_mib(r);
        *ret_peak_mib = mib > *ret_peak_mib ? mib : *ret_peak_mib;
    }
    (void)kill(pid, SIGKILL); /* its connections are lost all at once */
    (void)waitpid(pid, NULL, 0);
    pause_ms(CALM_MS / 3);
    return pair_take(p);
}

static bool judge(const kind *k, const char *program, double seconds, double slack_ms,
                  double turn_ms_max)
{
    router root, hub;
    if (!router_begin(&root, program, NULL) ||
        (k->below && !router_begin(&hub, program, root.url))) {
        fprintf(stderr, "attack: %s does not start\n", program);
        return false;
    }
    const router *attacked = k->below ? &hub : &root;
    pair *p = pair_begin(root.url, attacked->url);
    pause_ms(CALM_MS / 3);
    (void)pair_take(p);
    pause_ms(CALM_MS);
    pair_figures quiet = pair_take(p);
    long before_mib = router_mib(&root), peak_mib = before_mib;
    atomic_store(attacked->turn_ns, 0);
    pair_figures attack = under_attack(k, p, attacked, seconds, &peak_mib);
    pause_ms(CALM_MS);
    pair_figures after = pair_take(p);
    double turn_ms = (double)atomic_load(attacked->turn_ns) / 1e6;
    bool lives = router_lives(&root) && (!k->below || router_lives(&hub));
    bool in_pace = attack.count > 1 && after.count > 1 &&
                   (attack.p99_ms <= RATIO_MAX * quiet.p99_ms || attack.p99_ms <= slack_ms);
    printf("| %-12s | %5.2f | %6.2f | %5.2f | %7.2f | %8.2f | %5.1f | %5.2f | %5ld | %5ld | %5ld | "
           "%s\n",
           k->name, quiet.p50_ms, quiet.p99_ms, attack.p50_ms, attack.p99_ms, attack.max_ms,
           quiet.p99_ms > 0 ? attack.p99_ms / quiet.p99_ms : 0, turn_ms, before_mib, peak_mib,
           router_mib(&root),
           !lives                  ? "the router ENDED |"
           : !in_pace              ? "the pair was HELD UP |"
           : turn_ms > turn_ms_max ? "a turn was LONG |"
                                   : "ok |");
    (void)fflush(stdout);
    pair_end(p);
    if (k->below) {
        router_end(&hub);
    }
    router_end(&root);
    return lives && in_pace && turn_ms <= turn_ms_max;
}

static int usage(void)
{
    fprintf(stderr, "usage: attack [--seconds N] [--slack-ms N] [--turn-ms N] [--router PROGRAM] "
                    "[KIND...]\n");
    for (size_t i = 0; i < kind_count; i++) {
        fprintf(stderr, "  %-12s %s\n", kinds[i].name, kinds[i].what);
    }
    return 2;
}

static bool is_wanted(const kind *k, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], k->name) == 0) {
            return true;
        }
    }
    return count == 0;
}

int main(int argc, char **argv)
{
    double seconds = 5, slack_ms = 3, turn_ms_max = 1e9;
    const char *program = "build/release/bin/hakuban-router";
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--seconds") == 0) {
            seconds = strtod(argv[at + 1], NULL);
        } else if (strcmp(argv[at], "--slack-ms") == 0) {
            slack_ms = strtod(argv[at + 1], NULL);
        } else if (strcmp(argv[at], "--turn-ms") == 0) {
            turn_ms_max = strtod(argv[at + 1], NULL);
        } else if (strcmp(argv[at], "--router") == 0) {
            program = argv[at + 1];
        } else {
            return usage();
        }
    }
    for (int i = at; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < kind_count; k++) {
            known = known || strcmp(argv[i], kinds[k].name) == 0;
        }
        if (!known) {
            return usage();
        }
    }
    if (seconds <= 0 || slack_ms <= 0 || turn_ms_max <= 0) {
        return usage();
    }
    int failed = 0;
    printf("| the pair, ms | quiet: p50 | p99 | attack: p50 | p99 | longest | ratio | turn | "
           "router MiB: "
           "before | peak | after | |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    for (size_t i = 0; i < kind_count; i++) {
        if (is_wanted(&kinds[i], argv + at, argc - at)) {
            failed += !judge(&kinds[i], program, seconds, slack_ms, turn_ms_max);
        }
    }
    return failed != 0;
}
