/* One poll() over the pipes of all programs. */
#define _GNU_SOURCE
#include "crowd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS_MAX = 64, NAME_BYTES = 32 };

typedef struct lines {
    char *data;
    size_t bytes, capacity;
    bool ended;
} lines;

struct member {
    char name[NAME_BYTES];
    program *p; /* NULL: does not run */
    bool frozen, ending, away;
    member_line_fn line;
    void *ctx;
    FILE *log;
    lines out, error;
    char *now, *next; /* lines for stdin: the one that is being written, and the newest after it */
    size_t now_taken;
};

static struct {
    member members[MEMBERS_MAX];
    unsigned count, silences;
    char folder[256];
    void (*failed)(const char *text);
    uint64_t begin_ms;
} crowd;

uint64_t crowd_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void note(member *m, const char *kind, const char *text)
{
    uint64_t ms = crowd_now_ms() - crowd.begin_ms;
    fprintf(m->log, "%6llu.%03llu %s %.600s\n", (unsigned long long)(ms / 1000),
            (unsigned long long)(ms % 1000), kind, text);
}

static void give_up(const member *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void give_up(const member *m, const char *format, ...)
{
    char text[2048];
    int bytes = snprintf(text, sizeof(text), "%s: ", m->name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + bytes, sizeof(text) - (size_t)bytes, format, arguments);
    va_end(arguments);
    for (unsigned i = 0; i < crowd.count; i++) {
        fflush(crowd.members[i].log);
    }
    crowd.failed(text);
}

void crowd_begin(const char *folder, void (*failed)(const char *text))
{
    memset(&crowd, 0, sizeof(crowd));
    snprintf(crowd.folder, sizeof(crowd.folder), "%s", folder);
    crowd.failed = failed;
    crowd.begin_ms = crowd_now_ms();
}

void crowd_end(void)
{
    for (unsigned i = 0; i < crowd.count; i++) {
        member *m = &crowd.members[i];
        if (m->p) {
            (void)program_stop(m->p, SIGKILL);
        }
        fclose(m->log);
        free(m->out.data);
        free(m->error.data);
        free(m->now);
        free(m->next);
    }
    crowd.count = 0;
}

member *member_new(const char *name, member_line_fn line, void *ctx)
{
    char path[512];
    ck_assert_uint_lt(crowd.count, MEMBERS_MAX);
    member *m = &crowd.members[crowd.count];
    memset(m, 0, sizeof(*m));
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(path, sizeof(path), "%s/%s.log", crowd.folder, name);
    m->log = fopen(path, "we");
    ck_assert_msg(m->log != NULL, "%s: %s", path, strerror(errno));
    m->line = line;
    m->ctx = ctx;
    crowd.count++;
    return m;
}

const char *member_name(const member *m)
{
    return m->name;
}

bool member_runs(const member *m)
{
    return m->p != NULL;
}

bool member_is_frozen(const member *m)
{
    return m->frozen;
}

void member_start(member *m, const char *const *words)
{
    char text[1024] = "";
    for (size_t i = 0, bytes = 0; words[i] && bytes < sizeof(text); i++) {
        bytes += (size_t)snprintf(text + bytes, sizeof(text) - bytes, "%s ", words[i]);
    }
    note(m, "run", text);
    m->p = program_run_list(words);
    for (int i = 0; i < 3; i++) {
        int fd = program_fd(m->p, i);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    m->frozen = m->ending = m->away = m->out.ended = m->error.ended = false;
    m->out.bytes = m->error.bytes = 0;
}

void member_say(member *m, const char *line)
{
    char *copy = NULL;
    if (!m->p || m->ending) {
        return;
    }
    ck_assert_int_gt(asprintf(&copy, "%s\n", line), 0);
    if (m->now && m->now_taken > 0) {
        free(m->next);
        m->next = copy;
    } else {
        free(m->now);
        m->now = copy;
        m->now_taken = 0;
    }
}

bool member_is_away(const member *m)
{
    return m->p && m->away;
}

unsigned crowd_silences(void)
{
    return crowd.silences;
}

bool member_was_heard(const member *m)
{
    return !m->now;
}

static void write_some(member *m)
{
    ssize_t bytes =
        write(program_fd(m->p, 0), m->now + m->now_taken, strlen(m->now + m->now_taken));
    if (bytes < 0) {
        if (errno != EAGAIN && errno != EINTR && !m->ending) {
            give_up(m, "closed its stdin");
        }
        return;
    }
    m->now_taken += (size_t)bytes;
    if (!m->now[m->now_taken]) {
        free(m->now);
        m->now = m->next;
        m->next = NULL;
        m->now_taken = 0;
    }
}

static void look_at_error(member *m, const char *line)
{
    static const char *const never[] = {"Sanitizer", "runtime error:", "assert", "ASSERT"};
    note(m, "says", line);
    crowd.silences += strstr(line, "nothing was received for") != NULL;
    if (strstr(line, "trying again until it works")) {
        m->away = true;
    } else if (strstr(line, ": connected")) {
        m->away = false;
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strstr(line, never[i])) {
            crowd_turn(crowd_now_ms() + 500); /* the rest of it, for the log */
            give_up(m, "%s", line);
        }
    }
}

static void read_some(member *m, bool is_error)
{
    lines *l = is_error ? &m->error : &m->out;
    if (l->capacity - l->bytes < 65536) {
        l->capacity = l->capacity * 2 + 131072;
        l->data = realloc(l->data, l->capacity);
        ck_assert_ptr_nonnull(l->data);
    }
    ssize_t bytes =
        read(program_fd(m->p, is_error ? 2 : 1), l->data + l->bytes, l->capacity - l->bytes - 1);
    if (bytes < 0) {
        return;
    }
    l->ended = bytes == 0;
    size_t from = 0, unsearched = l->bytes;
    l->bytes += (size_t)bytes;
    char *end;
    while ((end = memchr(l->data + unsearched, '\n', l->bytes - unsearched)) != NULL) {
        *end = '\0';
        char *line = l->data + from;
        from = unsearched = (size_t)(end - l->data) + 1;
        if (is_error) {
            look_at_error(m, line);
        } else {
            note(m, "out", line);
            if (m->line) {
                m->line(m->ctx, line);
            }
        }
    }
    memmove(l->data, l->data + from, l->bytes - from);
    l->bytes -= from;
}

static void forget_lines(member *m)
{
    free(m->now);
    free(m->next);
    m->now = m->next = NULL;
    m->now_taken = 0;
}

static int end_member(member *m)
{
    int code = program_end(m->p);
    char text[32];
    snprintf(text, sizeof(text), "%d", code);
    note(m, "ended", text);
    m->p = NULL;
    forget_lines(m);
    return code;
}

static unsigned ask(struct pollfd *fds)
{
    for (unsigned i = 0; i < crowd.count; i++) {
        member *m = &crowd.members[i];
        for (int k = 0; k < 3; k++) {
            bool wanted = m->p && (k == 0   ? m->now && !m->ending
                                   : k == 1 ? !m->out.ended
                                            : !m->error.ended);
            fds[3 * i + (unsigned)k] = (struct pollfd){.fd = wanted ? program_fd(m->p, k) : -1,
                                                       .events = k == 0 ? POLLOUT : POLLIN};
        }
    }
    return 3 * crowd.count;
}

void crowd_turn(uint64_t until_ms)
{
    static struct pollfd fds[3 * MEMBERS_MAX];
    for (;;) {
        uint64_t now_ms = crowd_now_ms();
        unsigned count = ask(fds);
        int found = poll(fds, count, until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
        for (unsigned i = 0; found > 0 && i < crowd.count; i++) {
            member *m = &crowd.members[i];
            if (m->p && m->now && fds[3 * i].revents) {
                write_some(m);
            }
            if (m->p && fds[3 * i + 1].revents) {
                read_some(m, false);
            }
            if (m->p && fds[3 * i + 2].revents) {
                read_some(m, true);
            }
            if (m->p && m->out.ended && m->error.ended && !m->ending) {
                give_up(m, "ended by itself with %d", end_member(m));
            }
        }
        if (crowd_now_ms() >= until_ms) {
            return;
        }
    }
}

void member_freeze(member *m)
{
    if (m->p && !m->frozen) {
        note(m, "test", "freezes it");
        program_signal(m->p, SIGSTOP);
        m->frozen = true;
    }
}

void member_thaw(member *m)
{
    if (m->p && m->frozen) {
        note(m, "test", "thaws it");
        program_signal(m->p, SIGCONT);
        m->frozen = false;
    }
}

void member_signal(member *m, int number)
{
    if (m->p) {
        program_signal(m->p, number);
    }
}

int member_stop(member *m, int number, uint64_t limit_ms)
{
    uint64_t until_ms = crowd_now_ms() + limit_ms;
    note(m, "test", strsignal(number));
    m->ending = true;
    program_signal(m->p, number);
    member_thaw(m);
    while (!m->out.ended || !m->error.ended) {
        if (crowd_now_ms() > until_ms) {
            return -1;
        }
        crowd_turn(crowd_now_ms() + 5);
    }
    return end_member(m);
}

unsigned long member_peak_kib(const member *m)
{
    char path[64], line[256];
    unsigned long kib = 0;
    if (!m->p) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)program_pid(m->p));
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file) && sscanf(line, "VmHWM: %lu kB", &kib) != 1) {
    }
    if (file) {
        fclose(file);
    }
    return kib;
}
