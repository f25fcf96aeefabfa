/* Where the states of hakuban expose come from. Nothing here waits: what is not there yet is polled
 * for. */
#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/report.h"
#include "common/signals.h"
#include "common/terminal.h"

extern char **environ;

/* A watched file is looked at when inotify tells of a change, and now and then all the same: a
 * change from another machine of a network file system comes without a word. */
#define LOOK_MS 1000
/* Where there is no inotify. */
#define LOOK_OFTEN_MS 100
/* Files that are made while they are read (/proc, /sys) show a change only there. */
#define READ_AGAIN_MS 250
/* A program that writes a file in pieces gets this long for the rest. */
#define SETTLE_MS 100
/* A command is run for a new observer at once, but not oftener than this. */
#define RUN_AGAIN_MS 500
#define READ_BYTES 65536

/* One read into the buffer: bytes, 0 at the end, -1: errno. */
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

static void close_input(input *in)
{
    if (in->fd > STDIN_FILENO) {
        close(in->fd);
    }
    in->fd = -1;
}

/* The standard input, while it is not a terminal that another job reads. */
static void open_stdin(input *in)
{
    bool taken = terminal_is_taken(STDIN_FILENO);
    in->fd = taken ? -1 : STDIN_FILENO;
    in->next_ms = taken ? now_ms() + TERMINAL_LOOK_MS : UINT64_MAX;
}

/* Whether a failed read is no end: there is nothing now, or it is the turn of another job. */
static bool may_read_later(input *in)
{
    if (errno == EIO && in->fd == STDIN_FILENO && terminal_is_taken(STDIN_FILENO)) {
        open_stdin(in);
        return true;
    }
    return errno == EINTR || errno == EAGAIN;
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
    if (bytes < 0 && may_read_later(in)) {
        return;
    }
    size_t begin = 0;
    char *newline;
    while (!in->ended && in->buffer.bytes > in->scanned &&
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
        } else if (!in->ended && (in->buffer.bytes > 0 || in->too_long)) {
            give_line(in, in->buffer.data, in->buffer.bytes);
        }
        in->ended = true;
    }
    if (in->ended) {
        in->fd = -1;
    } else {
        open_stdin(in);
    }
}

/* -- Watching a file -- */

static bool watch_tells(const input *in)
{
    return in->watched_folder >= 0;
}

#ifdef __linux__

#define FILE_EVENTS (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define FOLDER_EVENTS                                                                              \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM)

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Watches the folder, where another file may be put in this one's place, and the file itself, which
 * may be elsewhere behind a symbolic link. What is watched already stays so. */
static void watch_begin(input *in)
{
    if (in->notify_fd < 0) {
        in->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    }
    if (in->notify_fd < 0) {
        return;
    }
    if (in->watched_folder < 0) {
        text folder = {NULL, 0, 0};
        text_add(&folder, in->path, (size_t)(last_name(in->path) - in->path));
        text_add_string(&folder, ".");
        in->watched_folder = inotify_add_watch(in->notify_fd, folder.data, FOLDER_EVENTS);
        text_free(&folder);
    }
    int before = in->watched_file;
    in->watched_file = inotify_add_watch(in->notify_fd, in->path, FILE_EVENTS);
    if (before >= 0 && before != in->watched_file) {
        (void)inotify_rm_watch(in->notify_fd, before);
    }
}

static void watch_read(input *in)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } some;
    ssize_t bytes = read(in->notify_fd, &some, sizeof(some));
    for (ssize_t at = 0; at + (ssize_t)sizeof(some.event) <= bytes;) {
        struct inotify_event event;
        memcpy(&event, some.bytes + at, sizeof(event));
        const char *name = event.len > 0 ? some.bytes + at + sizeof(event) : "";
        at += (ssize_t)(sizeof(event) + event.len);
        if (event.wd == in->watched_folder && (event.mask & IN_IGNORED)) {
            in->watched_folder = -1;
        }
        bool other = event.wd == in->watched_folder && event.len > 0 &&
                     strcmp(name, last_name(in->path)) != 0;
        if (other) {
            continue;
        }
        bool whole = event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO);
        uint64_t when_ms = now_ms() + (whole ? 0 : SETTLE_MS);
        in->notified = true;
        if (in->fd < 0 && when_ms < in->next_ms) {
            in->next_ms = when_ms;
        }
    }
}

static void watch_end(input *in)
{
    if (in->notify_fd > STDIN_FILENO) {
        close(in->notify_fd);
    }
    in->notify_fd = -1;
}

#else /* no inotify: looking often is all that there is */

static void watch_begin(input *in)
{
    (void)in;
}

static void watch_read(input *in)
{
    (void)in;
}

static void watch_end(input *in)
{
    (void)in;
}

#endif

/* -- Files -- */

/* The present content; given once, however often it is found. */
static void give_content(input *in)
{
    bool known =
        in->has_last && in->last.bytes == in->buffer.bytes &&
        (in->last.bytes == 0 || memcmp(in->last.data, in->buffer.data, in->last.bytes) == 0);
    if (known) {
        return;
    }
    text_add(&in->buffer, "", 0); /* terminated even where nothing came */
    if (in->watch) {
        text_clear(&in->last);
        text_add(&in->last, in->buffer.data, in->buffer.bytes);
        in->has_last = true;
    }
    in->give(in->ctx, in->path, 1, &in->buffer);
}

/* Each trouble is told once. */
static void file_failed(input *in, int error)
{
    if (error != in->last_error) {
        report("--file %s: %s", in->path, strerror(error));
    }
    in->last_error = error;
    in->failed = !in->watch;
}

/* A pipe, a terminal or a device: it is read as it comes, to its end. */
static void step_stream(input *in)
{
    ssize_t bytes = read_more(in);
    if (bytes < 0 && may_read_later(in)) {
        return;
    }
    bool too_large = in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX;
    if (bytes > 0 && !too_large) {
        return;
    }
    close_input(in);
    if (bytes < 0 || too_large) {
        file_failed(in, too_large ? EFBIG : errno);
    } else {
        in->last_error = 0;
        give_content(in);
    }
    text_clear(&in->buffer);
    in->ended = !in->watch;
    in->next_ms = now_ms() + (in->last_error ? LOOK_MS : 0);
}

/* Reads everything there is, now; 0, or errno. */
static int read_whole(input *in)
{
    text_clear(&in->buffer);
    for (;;) {
        ssize_t bytes = read_more(in);
        if (bytes == 0) {
            return 0;
        }
        if (bytes < 0 && errno != EINTR) {
            return errno;
        }
        if (in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX) {
            return EFBIG;
        }
    }
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

/* File times are coarse: another change may still get the same. */
static bool is_young(const struct stat *file)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t age_s = (int64_t)wall.tv_sec - (int64_t)file->st_mtim.tv_sec;
    return age_s > -2 && age_s < 2;
}

static void read_regular(input *in, const struct stat *now)
{
    bool told = in->notified;
    in->notified = false;
    if (in->watch && !told && !in->made_by_reading && same_file(now, &in->seen)) {
        return;
    }
    int error = read_whole(in);
    if (error != 0) {
        file_failed(in, error);
        return;
    }
    in->last_error = 0;
    in->seen = *now; /* as it was before it was read: a later change differs */
    in->made_by_reading =
        in->buffer.bytes == 0 || (uint64_t)now->st_size != (uint64_t)in->buffer.bytes;
    if (!watch_tells(in) && is_young(now)) {
        in->seen.st_ino = 0;
    }
    give_content(in);
}

static void step_file(input *in)
{
    struct stat now;
    if (in->watch) {
        watch_begin(in);
    }
    in->next_ms = now_ms() + (watch_tells(in) ? LOOK_MS : LOOK_OFTEN_MS);
    in->fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (in->fd < 0 || fstat(in->fd, &now) < 0) {
        file_failed(in, errno);
    } else if (S_ISDIR(now.st_mode)) {
        file_failed(in, EISDIR);
    } else if (!S_ISREG(now.st_mode)) {
        text_clear(&in->buffer);
        in->next_ms = UINT64_MAX;
        return;
    } else {
        read_regular(in, &now);
    }
    close_input(in);
    in->ended = !in->watch;
    if (in->made_by_reading) {
        in->next_ms = now_ms() + READ_AGAIN_MS;
    }
}

/* -- Commands -- */

static void start_command(input *in)
{
    int ends[2];
    in->started_ms = now_ms();
    in->next_ms = in->started_ms + in->every_ms;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        report("pipe: %s", strerror(errno));
        return;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    /* A group of its own, so that all it started can be ended with it. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    signals_pass_on(&attributes);
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

/* The command has ended. What others that it started may still write does not count. */
static void end_command(input *in, int status)
{
    while (in->fd >= 0 && !in->too_long && read_more(in) > 0) {
        in->too_long = in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX;
    }
    close_input(in);
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
    int status = 0;
    if (in->pid == 0) {
        if (wanted && now_ms() >= in->next_ms) {
            start_command(in);
        }
        return;
    }
    if (readable && in->fd >= 0) {
        ssize_t bytes = read_more(in);
        if (in->buffer.bytes > HAKUBAN_STATE_BYTES_MAX) {
            in->too_long = true;
            text_clear(&in->buffer);
        }
        if (bytes == 0 || (bytes < 0 && errno != EINTR && errno != EAGAIN)) {
            close_input(in); /* it may go on without an output */
        }
    }
    if (waitpid(in->pid, &status, WNOHANG) == in->pid) {
        end_command(in, status);
    }
}

/* -- All of them -- */

static bool is_stdin(const input *in)
{
    return in->kind == INPUT_LINES || (in->kind == INPUT_FILE && strcmp(in->path, "-") == 0);
}

void input_start(input *in)
{
    in->fd = in->notify_fd = in->watched_file = in->watched_folder = -1;
    if (is_stdin(in)) {
        open_stdin(in);
    } else if (in->kind == INPUT_FILE) {
        step_file(in);
    }
}

void input_hurry(input *in)
{
    uint64_t soon_ms = in->started_ms + RUN_AGAIN_MS;
    if (in->kind == INPUT_COMMAND && soon_ms < in->next_ms) {
        in->next_ms = soon_ms;
    }
}

uint64_t input_due_ms(const input *in, bool wanted)
{
    bool waits = in->kind == INPUT_COMMAND ? in->pid == 0 && wanted : in->fd < 0;
    return waits && !in->ended ? in->next_ms : UINT64_MAX;
}

void input_step(input *in, bool readable, bool notified, bool wanted)
{
    if (notified) {
        watch_read(in);
    }
    if (in->ended) {
        return;
    }
    if (in->kind == INPUT_COMMAND) {
        step_command(in, readable, wanted);
    } else if (in->fd >= 0) {
        if (readable && in->kind == INPUT_LINES) {
            step_lines(in);
        } else if (readable) {
            step_stream(in);
        }
    } else if (now_ms() >= in->next_ms) {
        if (is_stdin(in)) {
            open_stdin(in);
        } else {
            step_file(in);
        }
    }
}

void input_stop(input *in)
{
    if (in->pid > 0) {
        (void)kill(-in->pid, SIGTERM);
        /* Not waited for: it may ignore that. */
        in->pid = 0;
    }
    if (in->fd > STDIN_FILENO) {
        close_input(in);
    }
    watch_end(in);
    text_free(&in->buffer);
    text_free(&in->last);
}
