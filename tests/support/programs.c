/* Runs the built programs as a user would. */
#define _GNU_SOURCE
#include "programs.h"

#include "certificates.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 25000
#define WORDS_MAX 40
#define LAST_WORDS_BYTES 4096

typedef struct stream {
    int fd; /* -1: its end was read */
    char *data;
    size_t bytes, taken, capacity; /* taken: lines given out already */
} stream;

struct program {
    pid_t pid;
    int input;
    stream out, error;
    char name[64];
};

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void make_pipe(int ends[2])
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
}

program *program_run_list(const char *const *words)
{
    char path[512];
    const char *folder = getenv("HAKUBAN_BIN"), *name = words[0];
    if (strncmp(name, "examples/", 9) == 0) {
        folder = getenv("HAKUBAN_EXAMPLES");
        name += 9;
    }
    ck_assert_msg(folder != NULL, "$HAKUBAN_BIN and $HAKUBAN_EXAMPLES must be set");
    if (name[0] == '/') {
        snprintf(path, sizeof(path), "%s", name);
    } else {
        snprintf(path, sizeof(path), "%s/%s", folder, name);
    }

    int in[2], out[2], error[2];
    make_pipe(in);
    make_pipe(out);
    make_pipe(error);
    /* Between fork and exec the child has check's handlers, which would end the whole test: it gets
     * no signal there. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        static const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR2};
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
            signal(usual[i], SIG_DFL);
        }
        sigprocmask(SIG_SETMASK, &before, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 ||
            dup2(error[1], 2) < 0) {
            _exit(126);
        }
        execv(path, (char *const *)(void *)words);
        dprintf(2, "%s: %s\n", path, strerror(errno));
        _exit(127);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(in[0]);
    close(out[1]);
    close(error[1]);
    program *p = calloc(1, sizeof(*p));
    ck_assert_ptr_nonnull(p);
    p->pid = pid;
    p->input = in[1];
    p->out.fd = out[0];
    p->error.fd = error[0];
    snprintf(p->name, sizeof(p->name), "%s", words[0]);
    signal(SIGPIPE, SIG_IGN);
    return p;
}

program *program_run(const char *name, ...)
{
    const char *words[WORDS_MAX] = {name};
    size_t count = 1;
    va_list arguments;
    va_start(arguments, name);
    while (count < WORDS_MAX - 1 && (words[count] = va_arg(arguments, const char *)) != NULL) {
        count++;
    }
    va_end(arguments);
    words[count] = NULL;
    return program_run_list(words);
}

static void read_some(stream *s)
{
    if (s->capacity - s->bytes < 4096) {
        s->capacity = s->capacity * 2 + 8192;
        s->data = realloc(s->data, s->capacity);
        ck_assert_ptr_nonnull(s->data);
    }
    ssize_t bytes = read(s->fd, s->data + s->bytes, s->capacity - s->bytes - 1);
    if (bytes > 0) {
        s->bytes += (size_t)bytes;
    } else if (bytes == 0 || errno != EINTR) {
        close(s->fd);
        s->fd = -1;
    }
}

/* As it was said: lines that were given out are separated by zero bytes. */
static const char *all_of(stream *s)
{
    for (size_t i = 0; i < s->bytes; i++) {
        s->data[i] = s->data[i] ? s->data[i] : '\n';
    }
    if (s->data) {
        s->data[s->bytes] = '\0';
    }
    return s->data ? s->data : "";
}

/* Reads both, so that the program is never stuck on the one that the test does not read. */
static void pump(program *p, long until_ms, const char *what)
{
    struct pollfd fds[2] = {{.fd = p->out.fd, .events = POLLIN},
                            {.fd = p->error.fd, .events = POLLIN}};
    long left_ms = until_ms - now_ms();
    if (left_ms <= 0) {
        kill(p->pid, SIGKILL);
        ck_abort_msg("%s: waited too long for %s\nstdout: %s\nstderr: %s", p->name, what,
                     all_of(&p->out), all_of(&p->error));
    }
    (void)poll(fds, 2, (int)left_ms);
    if (fds[0].revents) {
        read_some(&p->out);
    }
    if (fds[1].revents) {
        read_some(&p->error);
    }
}

static const char *next_line(program *p, stream *s, const char *what)
{
    long until_ms = now_ms() + LIMIT_MS;
    for (;;) {
        char *from = s->data ? s->data + s->taken : NULL;
        char *end = from ? memchr(from, '\n', s->bytes - s->taken) : NULL;
        if (end) {
            *end = '\0';
            s->taken = (size_t)(end - s->data) + 1;
            return from;
        }
        if (s->fd < 0) {
            return NULL;
        }
        pump(p, until_ms, what);
    }
}

const char *program_line(program *p)
{
    return next_line(p, &p->out, "a line on stdout");
}

const char *program_error_line(program *p)
{
    return next_line(p, &p->error, "a line on stderr");
}

static const char *find(program *p, stream *s, const char *piece)
{
    const char *line;
    while ((line = next_line(p, s, piece)) != NULL) {
        if (strstr(line, piece)) {
            return line;
        }
    }
    ck_abort_msg("%s ended without saying %s\nstdout: %s\nstderr: %s", p->name, piece,
                 all_of(&p->out), all_of(&p->error));
    return NULL;
}

const char *program_find(program *p, const char *piece)
{
    return find(p, &p->out, piece);
}

const char *program_find_error(program *p, const char *piece)
{
    return find(p, &p->error, piece);
}

unsigned program_count_errors(program *p, const char *piece)
{
    unsigned count = 0;
    const char *line;
    while ((line = program_error_line(p)) != NULL) {
        if (strstr(line, piece)) {
            (void)fprintf(stderr, "%s says: %s\n", p->name, line); /* where none is expected */
            count += strstr(line, piece) != NULL;
        }
    }
    return count;
}

void program_write(program *p, const char *text)
{
    size_t bytes = strlen(text);
    while (bytes > 0) {
        ssize_t written = write(p->input, text, bytes);
        ck_assert_msg(written > 0 || errno == EINTR, "%s does not read", p->name);
        if (written > 0) {
            text += written;
            bytes -= (size_t)written;
        }
    }
}

void program_close_input(program *p)
{
    if (p->input >= 0) {
        close(p->input);
        p->input = -1;
    }
}

void program_close_output(program *p)
{
    close(p->out.fd);
    p->out.fd = -1;
}

void program_signal(program *p, int number)
{
    ck_assert_int_eq(kill(p->pid, number), 0);
}

pid_t program_pid(const program *p)
{
    return p->pid;
}

int program_fd(const program *p, int number)
{
    return number == 0 ? p->input : number == 1 ? p->out.fd : p->error.fd;
}

int program_end(program *p)
{
    long until_ms = now_ms() + LIMIT_MS;
    while (p->out.fd >= 0 || p->error.fd >= 0) {
        pump(p, until_ms, "its end");
    }
    /* Its pipes are closed: it has ended, or is about to. */
    int status = 0;
    while (waitpid(p->pid, &status, 0) < 0) {
        ck_assert_int_eq(errno, EINTR);
    }
    program_close_input(p);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    const char *said = all_of(&p->error);
    ck_assert_msg(!strstr(said, "Sanitizer") && !strstr(said, "runtime error: "), "%s: %s", p->name,
                  said);
    if (code != 0 && code != 128 + SIGKILL) { /* for the case that the test expects another code */
        (void)fprintf(stderr, "%s ended with %d, its last words: %s\n", p->name, code,
                      p->error.bytes > LAST_WORDS_BYTES ? said + p->error.bytes - LAST_WORDS_BYTES
                                                        : said);
    }
    free(p->out.data);
    free(p->error.data);
    free(p);
    return code;
}

int program_stop(program *p, int number)
{
    program_signal(p, number);
    return program_end(p);
}

program *router_run(char url[URL_BYTES], const char *bind, ...)
{
    char whole[CERTIFICATES_URL_BYTES];
    const char *words[WORDS_MAX] = {"hakuban-router", "-b",
                                    bind ? certificates_url(bind, whole) : "tcp://127.0.0.1:0"};
    size_t count = 3;
    va_list arguments;
    va_start(arguments, bind);
    while (count < WORDS_MAX - 1 && (words[count] = va_arg(arguments, const char *)) != NULL) {
        count++;
    }
    va_end(arguments);
    words[count] = NULL;
    program *p = program_run_list(words);
    const char *line = program_find(p, "listening ");
    snprintf(url, URL_BYTES, "%s", line + strlen("listening "));
    return p;
}

static char scratch_folder[64];
static pid_t scratch_owner;

static void remove_scratch(void)
{
    char command[128];
    if (scratch_folder[0] && getpid() == scratch_owner) {
        snprintf(command, sizeof(command), "rm -rf %s", scratch_folder);
        int status = system(command);
        (void)status;
    }
}

const char *scratch_path(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    if (!scratch_folder[0]) {
        snprintf(scratch_folder, sizeof(scratch_folder), "/tmp/hakuban-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(scratch_folder));
        scratch_owner = getpid();
        atexit(remove_scratch);
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch_folder, name);
    return path;
}

void scratch_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}
