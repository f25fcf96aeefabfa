/* Processes, shared memory, nodes and states for the sub-commands. Everything here runs before or
 * around what is measured, except the calls on nodes and states, which are kept short. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { PROCESSES_MAX = BENCH_OBSERVERS_MAX + 8 };

/* Children of this process. Forked ones have none. */
static struct {
    unsigned count;
    struct {
        pid_t pid;
        bool joined; /* bench_join() waits for it; else bench_router_stop() does */
    } list[PROCESSES_MAX];
} processes;

/* The router's process group: a program given with --router may have children of its own. 0: there
 * is no router. */
static volatile pid_t router_group;

static bool is_child;

/* Of the router's socket; "" where there is none. */
static char socket_path[64];

void bench_die(const char *format, ...)
{
    va_list arguments;
    fputs("hakuban-bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (is_child) {
        _exit(1);
    }
    bench_stop_all();
    exit(1);
}

void bench_check(hakuban_status status, const char *what)
{
    if (status < 0) {
        bench_die("%s: %s", what, hakuban_status_text(status));
    }
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BENCH_SECOND_NS + (uint64_t)now.tv_nsec;
}

void bench_sleep_ns(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / BENCH_SECOND_NS), (long)(ns % BENCH_SECOND_NS)};
    nanosleep(&time, NULL);
}

void *bench_share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        bench_die("shared memory: %s", strerror(errno));
    }
    return memory;
}

void bench_unshare(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

/* -- What was built in -- */

/* hakuban_features(): "transports: tcp unix …; serializers: …; compressors: …" */
void bench_features_of(const char *kind, bench_features *ret)
{
    const char *at = strstr(hakuban_features(), kind);
    ret->count = 0;
    at = at ? at + strlen(kind) + 1 : "";
    while (*at == ' ' && ret->count < BENCH_FEATURES_MAX) {
        size_t bytes = strcspn(++at, " ;");
        if (bytes < sizeof(ret->names[0]) && strncmp(at, "inproc", bytes) != 0 && *at != '-') {
            snprintf(ret->names[ret->count++], sizeof(ret->names[0]), "%.*s", (int)bytes, at);
        }
        at += bytes;
    }
}

bool bench_features_have(const bench_features *features, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < features->count; i++) {
        if (strlen(features->names[i]) == name_bytes &&
            memcmp(features->names[i], name, name_bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool bench_transport_is_local(const char *transport)
{
    return strcmp(transport, "unix") == 0 || strcmp(transport, "zmq+ipc") == 0;
}

/* -- Processes -- */

/* The router's group is none of the terminal's, so what ends us has to be passed on. */
static void on_signal(int number)
{
    if (router_group) {
        kill(-router_group, SIGKILL);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void end_router_group_on_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction action = {.sa_handler = is_child ? SIG_DFL : on_signal};
        sigaction(numbers[i], &action, NULL);
    }
}

pid_t bench_fork(bool joined)
{
    if (processes.count == PROCESSES_MAX) {
        bench_die("too many processes");
    }
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        bench_die("fork: %s", strerror(errno));
    }
    if (pid == 0) {
        is_child = true;
        processes.count = 0;
        router_group = 0;
        end_router_group_on_signals();
        /* Nothing is left behind when the benchmark is interrupted. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        /* Short naps of a sender in front of a full window are short. */
        prctl(PR_SET_TIMERSLACK, 1000UL);
        return 0;
    }
    processes.list[processes.count].pid = pid;
    processes.list[processes.count].joined = joined;
    processes.count++;
    return pid;
}

static pid_t spawn(bench_actor actor, void *shared, unsigned index, bool joined)
{
    pid_t pid = bench_fork(joined);
    if (pid == 0) {
        actor(shared, index);
        /* The end of the process is the clean-up of what actor opened. */
        _exit(0);
    }
    return pid;
}

pid_t bench_spawn(bench_actor actor, void *shared, unsigned index)
{
    return spawn(actor, shared, index, true);
}

pid_t bench_spawn_stuck(bench_actor actor, void *shared, unsigned index)
{
    return spawn(actor, shared, index, false);
}

static void forget(pid_t pid)
{
    for (unsigned i = 0; i < processes.count; i++) {
        if (processes.list[i].pid == pid) {
            processes.list[i] = processes.list[--processes.count];
            return;
        }
    }
}

void bench_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    forget(pid);
}

void bench_stop_all(void)
{
    if (router_group) {
        kill(-router_group, SIGKILL);
        router_group = 0;
    }
    for (unsigned i = 0; i < processes.count; i++) {
        kill(processes.list[i].pid, SIGKILL);
    }
    while (processes.count > 0) {
        bench_kill(processes.list[0].pid);
    }
    if (socket_path[0]) {
        unlink(socket_path); /* a router that was killed leaves it */
    }
}

static bool anybody_to_join(void)
{
    for (unsigned i = 0; i < processes.count; i++) {
        if (processes.list[i].joined) {
            return true;
        }
    }
    return false;
}

void bench_join(uint64_t patience_ns)
{
    uint64_t until = bench_now_ns() + patience_ns;
    while (anybody_to_join()) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0) {
            forget(pid);
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                bench_die("process %ld ended with %s %d: no figures", (long)pid,
                          WIFSIGNALED(status) ? "signal" : "status",
                          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            }
        } else if (bench_now_ns() > until) {
            bench_die("gave up after %llu s", (unsigned long long)(patience_ns / BENCH_SECOND_NS));
        } else {
            bench_sleep_ns(2000000);
        }
    }
}

static void router_path(const bench_options *options, char *ret, size_t size)
{
    if (options->router) {
        snprintf(ret, size, "%s", options->router);
        return;
    }
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(own, '/');
    snprintf(ret, size, "%.*shakuban-router", slash ? (int)(slash - own) + 1 : 0, own);
}

/* Where to listen, with parameters. */
static void bind_url(const bench_options *options, char *ret, size_t size)
{
    char usual[96];
    const char *url = options->bind;
    if (!url && bench_transport_is_local(options->transport)) {
        snprintf(socket_path, sizeof(socket_path), "/tmp/hakuban-bench-%ld.sock", (long)getpid());
        snprintf(usual, sizeof(usual), "%s://%s", options->transport, socket_path);
        url = usual;
    } else if (!url) {
        snprintf(usual, sizeof(usual), "%s://127.0.0.1:0", options->transport);
        url = usual;
    }
    snprintf(ret, size, "%s%cserializer=%s,compressor=%s", url, strchr(url, '#') ? ',' : '#',
             options->serializer, options->compressor);
}

/* A port that is free now: theirs cannot be asked which one it took. */
static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        bench_die("a free port: %s", strerror(errno));
    }
    close(fd);
    return ntohs(address.sin_port);
}

static void wait_for_port(unsigned port)
{
    uint64_t until = bench_now_ns() + 20 * BENCH_SECOND_NS;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    bool there = false;
    while (!there) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        there = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(fd);
        if (!there && bench_now_ns() > until) {
            bench_die("the Rust router does not listen");
        }
        bench_sleep_ns(5000000);
    }
}

static void rust_router_start(const bench_options *options, bench_router *ret)
{
    char path[PATH_MAX + 32];
    unsigned port = free_port();
    snprintf(path, sizeof(path), "%s/hakuban-router", options->rust);
    /* Without nodelay each of its channels would wait 40 ms for an acknowledgement. */
    snprintf(ret->url, sizeof(ret->url), "ws://127.0.0.1:%u#nodelay=true", port);
    pid_t pid = bench_fork(false);
    setpgid(pid, pid);
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(nothing, 2) < 0) {
            _exit(1);
        }
        /* With one worker thread it hangs: reading its input takes that one. */
        execl(path, "hakuban-router", "-t", "2", "-b", ret->url, (char *)NULL);
        _exit(1);
    }
    router_group = ret->pid = pid;
    ret->theirs = true;
    end_router_group_on_signals();
    wait_for_port(port);
}

void bench_router_start(const bench_options *options, bench_router *ret)
{
    if (options->theirs) {
        rust_router_start(options, ret);
        return;
    }
    char path[PATH_MAX + 32], line[256], url[512];
    int output[2];
    router_path(options, path, sizeof(path));
    bind_url(options, url, sizeof(url));
    if (pipe2(output, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    pid_t pid = bench_fork(false); /* not into *ret, which the child shares */
    setpgid(pid, pid);             /* on both sides: whichever comes first */
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (dup2(nothing, 0) < 0 || dup2(output[1], 1) < 0) {
            _exit(1);
        }
        execl(path, "hakuban-router", "-b", url, (char *)NULL);
        bench_die("%s: %s", path, strerror(errno));
    }
    router_group = ret->pid = pid;
    ret->theirs = false;
    end_router_group_on_signals();
    close(output[1]);
    FILE *stream = fdopen(output[0], "r");
    struct pollfd said = {.fd = output[0], .events = POLLIN};
    ret->url[0] = '\0';
    while (stream && poll(&said, 1, 10000) == 1 && fgets(line, sizeof(line), stream)) {
        if (sscanf(line, "listening %199s", ret->url) == 1) {
            size_t bytes = strlen(ret->url);
            snprintf(ret->url + bytes, sizeof(ret->url) - bytes, "#serializer=%s,compressor=%s",
                     options->serializer, options->compressor);
            break;
        }
    }
    if (ret->url[0] == '\0') {
        bench_die("%s -b %s did not begin to listen", path, url);
    }
    /* Closing is no harm: the router prints nothing more on stdout. */
    fclose(stream);
}

void bench_router_stop(bench_router *router)
{
    int status;
    siginfo_t ended = {0};
    uint64_t until = bench_now_ns() + 10 * BENCH_SECOND_NS;
    /* Full of objects, the other router takes long to end: that time belongs to no figure. */
    kill(router->pid, router->theirs ? SIGKILL : SIGTERM);
    while (ended.si_pid != router->pid) {
        if (waitid(P_PID, (id_t)router->pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            bench_now_ns() > until) {
            bench_die("the router does not end on SIGTERM");
        }
        bench_sleep_ns(1000000);
    }
    /* Its children, if it left any. It is not waited for yet, so the group's number is still its
     * own. */
    kill(-router_group, SIGKILL);
    router_group = 0;
    waitpid(router->pid, &status, 0);
    forget(router->pid);
    if (!router->theirs && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        bench_die("the router did not end in order");
    }
}

void bench_router_restart(const bench_options *options, bench_router *router)
{
    char place[sizeof(router->url)];
    bench_options again = *options;
    snprintf(place, sizeof(place), "%.*s", (int)strcspn(router->url, "#"), router->url);
    kill(-router_group, SIGKILL);
    router_group = 0;
    waitpid(router->pid, NULL, 0);
    forget(router->pid);
    again.bind = place;
    bench_router_start(&again, router);
}

uint64_t bench_process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) {
        bench_die("no CPU time of process %ld", (long)pid);
    }
    return (uint64_t)time.tv_sec * BENCH_SECOND_NS + (uint64_t)time.tv_nsec;
}

uint64_t bench_process_rss_bytes(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    bool found = false;
    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = sscanf(line, "Rss: %llu kB", &kib) == 1;
    }
    if (!found) {
        bench_die("%s: no Rss", path);
    }
    fclose(file);
    return (uint64_t)kib * 1024;
}

/* -- Nodes -- */

void bench_node_open(bench_node *node, const char *url)
{
    hakuban_exchange_options options = {.size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_error error = {0};
    bench_check(hakuban_exchange_new(&options, &node->exchange), "exchange");
    bench_check(hakuban_queue_new(node->exchange, &node->queue), "queue");
    if (hakuban_exchange_connect(node->exchange, url, NULL, &node->connection, &error) < 0 ||
        hakuban_connection_wait(node->connection, 10000, &error) < 0) {
        bench_die("%s: %s", url, error.text);
    }
}

bool bench_node_next(bench_node *node, int timeout_ms, hakuban_event *ret_event)
{
    hakuban_status status = hakuban_queue_next(node->queue, timeout_ms, ret_event);
    if (status == HAKUBAN_ERR_TIMEOUT) {
        return false;
    }
    bench_check(status, "next event");
    return true;
}

void bench_node_turn(bench_node *node)
{
    bench_check(hakuban_exchange_turn(node->exchange), "turn");
}

hakuban_descriptor *bench_descriptor(const char *object_json, const char *tag_json)
{
    hakuban_descriptor *descriptor;
    const char *tags[] = {tag_json};
    bench_check(
        hakuban_descriptor_new(NULL, object_json, tags, tag_json ? 1 : 0, &descriptor, NULL),
        "descriptor");
    return descriptor;
}

void bench_send(hakuban_sink *sink, const char *text, size_t bytes)
{
    static const char *const format[] = {"JSON"};
    hakuban_state_parts parts = {
        .data = text, .data_bytes = bytes, .format = format, .format_count = 1};
    hakuban_state *state;
    bench_check(hakuban_state_new(NULL, &parts, &state), "state");
    bench_check(hakuban_sink_send(sink, state), "send");
    hakuban_state_unref(state);
}

/* -- States -- */

static const char state_head[] = "{\"id\":1000000,\"n\":1000000000000000000,\"pad\":\"";

enum {
    ID_AT = 6,
    ID_DIGITS = 7,
    NUMBER_AT = 18,
    NUMBER_DIGITS = 19,
    HEAD_BYTES = BENCH_STATE_PAD_AT,
    TAIL_BYTES = 2
};
_Static_assert(sizeof(state_head) - 1 == HEAD_BYTES, "the offsets above are those of state_head");

void bench_state_init(bench_state *state, size_t bytes)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
    state->bytes = bytes;
    state->text = malloc(bytes);
    if (!state->text) {
        bench_die("out of memory");
    }
    memcpy(state->text, state_head, HEAD_BYTES);
    for (size_t i = HEAD_BYTES; i < bytes - TAIL_BYTES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        state->text[i] = hex[random >> 60];
    }
    memcpy(state->text + bytes - TAIL_BYTES, "\"}", TAIL_BYTES);
}

void bench_state_done(bench_state *state)
{
    free(state->text);
    state->text = NULL;
}

/* The first digit stays 1, so that numbers of all sizes have the same length. */
static void put_digits(char *at, unsigned digits, uint64_t number)
{
    for (unsigned i = digits; i-- > 1;) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void bench_state_set(bench_state *state, uint64_t id, uint64_t number)
{
    put_digits(state->text + ID_AT, ID_DIGITS, id);
    put_digits(state->text + NUMBER_AT, NUMBER_DIGITS, number);
}

static uint64_t get_digits(const char *at, unsigned digits)
{
    uint64_t number = 0;
    for (unsigned i = 1; i < digits; i++) {
        unsigned digit = (unsigned)(at[i] - '0');
        if (digit > 9) {
            bench_die("a state has other content than was sent");
        }
        number = number * 10 + digit;
    }
    return number;
}

void bench_state_read(const void *data, size_t data_bytes, size_t bytes, uint64_t *ret_id,
                      uint64_t *ret_number)
{
    const char *text = data;
    if (data_bytes != bytes) {
        bench_die("a state of %zu bytes instead of %zu", data_bytes, bytes);
    }
    *ret_id = get_digits(text + ID_AT, ID_DIGITS);
    *ret_number = get_digits(text + NUMBER_AT, NUMBER_DIGITS);
}

void bench_state_verify(bench_state *scratch, const void *data, uint64_t id, uint64_t number)
{
    bench_state_set(scratch, id, number);
    if (memcmp(scratch->text, data, scratch->bytes) != 0) {
        bench_die("a state has other content than was sent");
    }
}
