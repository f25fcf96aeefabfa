/* Where the states of hakuban expose come from. */
#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/report.h"

extern char **environ;

/* A file is looked at ten times a second rather than watched with inotify: that also works on
 * network file systems and for programs that put a new file in the old one's place, and costs
 * nothing that could be measured. */
#define LOOK_MS 100
#define READ_BYTES 65536

/* One read into the buffer: bytes, 0 at the end, -1: errno. What is over the limit for states is
 * thrown away. */
static ssize_t read_more(input *in)
{
    char *to = text_reserve(&in->buffer, READ_BYTES);
    ssize_t bytes = read(in->fd, to, READ_BYTES);
    if (bytes > 0) {
        in->buffer.bytes += (size_t)bytes;
        in->buffer.data[in->buffer.bytes] = '\0';
    }
    return bytes;
}

static void drop_front(text *buffer, size_t bytes)
{
    memmove(buffer->data, buffer->data + bytes, buffer->bytes - bytes + 1);
    buffer->bytes -= bytes;
}

static void give_line(input *in, char *line, size_t bytes)
{
    in->line++;
    if (in->too_long || bytes > HAKUBAN_STATE_BYTES_MAX) {
        report("stdin line %u: longer than %u bytes; skipped", in->line, HAKUBAN_STATE_BYTES_MAX);
    } else {
        char after = line[bytes];
        line[bytes] = '\0';
        text piece = {.data = line, .bytes = bytes};
        in->give(in->ctx, "stdin", in->line, &piece);
        line[bytes] = after;
    }
    in->too_long = false;
}

static void step_lines(input *in)
{
    ssize_t bytes = read_more(in);
    if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    size_t begin = 0;
    char *newline;
    while (in->buffer.bytes > in->scanned &&
           (newline = memchr(in->buffer.data + in->scanned, '\n',
                             in->buffer.bytes - in->scanned)) != NULL) {
        size_t end = (size_t)(newline - in->buffer.data);
        give_line(in, in->buffer.data + begin, end - begin);
        begin = in->scanned = end + 1;
    }
    if (begin > 0) {
        drop_front(&in->buffer, begin);
    }
    if (in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX) {
        in->too_long = true;
        text_clear(&in->buffer);
    }
    in->scanned = in->buffer.bytes;
    if (bytes <= 0) {
        if (bytes < 0) {
            report("stdin: %s", strerror(errno));
            in->failed = true;
        } else if (in->buffer.bytes > 0 || in->too_long) {
            give_line(in, in->buffer.data, in->buffer.bytes);
        }
        in->ended = true;
        in->fd = -1;
    }
}

/* Reads everything there is, now; false: errno. */
static bool read_whole(input *in)
{
    text_clear(&in->buffer);
    for (;;) {
        ssize_t bytes = read_more(in);
        if (bytes == 0) {
            return true;
        }
        if (bytes < 0 && errno != EINTR) {
            return false;
        }
        if (in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX) {
            errno = EFBIG;
            return false;
        }
    }
}

static void step_file(input *in)
{
    struct stat now;
    int error = 0;
    in->next_ms = now_ms() + LOOK_MS;
    in->fd = open(in->path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0 || fstat(in->fd, &now) < 0) {
        error = errno;
    } else if (S_ISDIR(now.st_mode)) {
        error = EISDIR;
    } else if (in->watch && now.st_dev == in->seen.st_dev && now.st_ino == in->seen.st_ino &&
               now.st_size == in->seen.st_size && now.st_mtim.tv_sec == in->seen.st_mtim.tv_sec &&
               now.st_mtim.tv_nsec == in->seen.st_mtim.tv_nsec) {
        error = -1; /* nothing new */
    } else if (!read_whole(in)) {
        error = errno;
    } else {
        in->seen = now; /* as it was before it was read: a later change differs */
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        if (wall.tv_sec - now.st_mtim.tv_sec < 2) {
            in->seen.st_ino = 0; /* file times are coarse: another change may still get the same */
        }
        in->give(in->ctx, in->path, 1, &in->buffer);
    }
    if (in->fd >= 0) {
        close(in->fd);
        in->fd = -1;
    }
    if (error > 0 && error != in->last_error) {
        report("--file %s: %s", in->path, strerror(error));
    }
    in->last_error = error > 0 ? error : 0;
    if (!in->watch) {
        in->ended = true;
        in->failed = error > 0;
    }
}

static void start_command(input *in)
{
    int ends[2];
    in->next_ms = now_ms() + in->every_ms;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        report("pipe: %s", strerror(errno));
        return;
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    /* A group of its own, so that all it started can be ended with it. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    int error = posix_spawnp(&in->pid, in->command[0], &actions, &attributes, in->command, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        report("%s: %s", in->command[0], strerror(error));
        close(ends[0]);
        in->pid = 0;
        in->ended = in->failed = true;
        return;
    }
    in->fd = ends[0];
    in->too_long = false;
    text_clear(&in->buffer);
}

static void end_command(input *in)
{
    int status = 0;
    close(in->fd);
    in->fd = -1;
    while (waitpid(in->pid, &status, 0) < 0 && errno == EINTR) {
    }
    in->pid = 0;
    if (in->too_long) {
        report("%s: more output than %u bytes; skipped", in->command[0], HAKUBAN_STATE_BYTES_MAX);
    } else if (WIFSIGNALED(status)) {
        report("%s: ended by signal %d; skipped", in->command[0], WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        report("%s: exit code %d; skipped", in->command[0], WEXITSTATUS(status));
    } else {
        text_add(&in->buffer, "", 0); /* terminated even where nothing came */
        in->give(in->ctx, in->command[0], 0, &in->buffer);
    }
}

static void step_command(input *in, bool readable, bool wanted)
{
    if (in->pid == 0) {
        if (wanted && now_ms() >= in->next_ms) {
            start_command(in);
        }
        return;
    }
    ssize_t bytes = readable ? read_more(in) : 1;
    if (in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX) {
        in->too_long = true;
        text_clear(&in->buffer);
    }
    if (bytes == 0 || (bytes < 0 && errno != EINTR && errno != EAGAIN)) {
        end_command(in);
    }
}

void input_start(input *in)
{
    in->fd = in->kind == INPUT_LINES ? STDIN_FILENO : -1;
    if (in->kind == INPUT_FILE) {
        step_file(in);
    }
}

uint64_t input_due_ms(const input *in, bool wanted)
{
    bool waits = in->kind == INPUT_FILE || (in->kind == INPUT_COMMAND && in->pid == 0 && wanted);
    return waits && !in->ended ? in->next_ms : UINT64_MAX;
}

void input_step(input *in, bool readable, bool wanted)
{
    if (in->ended) {
        return;
    }
    if (in->kind == INPUT_LINES && readable) {
        step_lines(in);
    } else if (in->kind == INPUT_FILE && now_ms() >= in->next_ms) {
        step_file(in);
    } else if (in->kind == INPUT_COMMAND) {
        step_command(in, readable, wanted);
    }
}

void input_stop(input *in)
{
    if (in->pid > 0) {
        (void)kill(-in->pid, SIGTERM);
        close(in->fd);
        /* Not waited for: it may not listen, and it is not ours to wait. */
        in->pid = 0;
    }
    text_free(&in->buffer);
}
