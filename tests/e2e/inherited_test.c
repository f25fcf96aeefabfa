/* What a program inherits from its starter: signals that are ignored or blocked, a terminal in the
 * foreground or background, limits, closed descriptors. Each test makes the situation. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "router_fixture.h"

/* -- Signals -- */

START_TEST(signal_that_the_starter_ignores_stays_ignored)
{
    static const int numbers[] = {SIGHUP, SIGINT};
    program *exposer = shell("trap '' HUP INT; exec \"$HAKUBAN_BIN/hakuban\" expose 1");
    program *observer = shell("trap '' HUP INT; exec \"$HAKUBAN_BIN/hakuban\" observe --raw 1");
    program *second =
        shell("trap '' HUP INT; exec \"$HAKUBAN_BIN/hakuban-router\" -b tcp://127.0.0.1:0");
    char at[URL_BYTES];
    snprintf(at, sizeof(at), "%s", program_find(second, "listening ") + strlen("listening "));
    program_write(exposer, "1\n");
    ck_assert_str_eq(program_line(observer), "1");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        program_signal(exposer, numbers[i]);
        program_signal(observer, numbers[i]);
        program_signal(second, numbers[i]);
    }
    program_write(exposer, "2\n");
    ck_assert_str_eq(program_line(observer), "2");
    check_serves(at);
    stop_well(observer);
    stop_well(exposer);
    stop_well(second);
}
END_TEST

START_TEST(signal_that_the_starter_blocks_is_heard)
{
    sigset_t all, before;
    char at[URL_BYTES];
    sigfillset(&all);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, &all, &before), 0);
    program *second = router_run(at, NULL, NULL);
    program *observer = program_run("hakuban", "observe", "-c", at, "-v", "1", NULL);
    program *exposer = program_run("hakuban", "expose", "-c", at, "1", "--every", "100ms", "--",
                                   "echo", "1", NULL);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    program_find(observer, "\"data\":1}"); /* the end of the command was heard as well */
    stop_well(observer);
    stop_well(exposer);
    ck_assert_int_eq(program_stop(second, SIGINT), 0);
}
END_TEST

START_TEST(command_that_fails_is_told_where_the_starter_ignores_children)
{
    /* Not every shell can ignore SIGCHLD. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    ck_assert_int_eq(sigaction(SIGCHLD, &ignore, &before), 0);
    program *exposer =
        program_run("hakuban", "expose", "1", "--every", "100ms", "--", "sh", "-c", "exit 3", NULL);
    ck_assert_int_eq(sigaction(SIGCHLD, &before, NULL), 0);
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program_find_error(exposer, "exit code 3; skipped");
    stop_well(observer);
    stop_well(exposer);
}
END_TEST

START_TEST(command_gets_its_signals_as_the_starter_had_them)
{
    static const char *const scripts[][2] = {
        {"exec \"$HAKUBAN_BIN/hakuban\" expose 1 --every 100ms -- "
         "sh -c 'kill -PIPE $$; kill -XFSZ $$; kill -TTIN $$; echo 1'",
         "ended by signal 13; skipped"},
        {"trap '' PIPE; exec \"$HAKUBAN_BIN/hakuban\" expose 1 --every 100ms -- "
         "sh -c 'kill -PIPE $$; exit 4'",
         "exit code 4; skipped"},
    };
    program *exposer = shell(scripts[_i][0]);
    program *observer = program_run("hakuban", "observe", "1", NULL);
    program_find_error(exposer, scripts[_i][1]);
    stop_well(observer);
    stop_well(exposer);
}
END_TEST

/* -- A terminal -- */

typedef struct terminal {
    int fd; /* what a person types at */
    char path[64];
    program *shell; /* of a session of its own, in the foreground */
} terminal;

/* Runs the script with job control at a terminal of its own: $0 is the terminal, $1 the address. */
static void terminal_run(terminal *t, const char *script, const char *at)
{
    char whole[2048];
    t->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(t->fd, 0);
    ck_assert_int_eq(grantpt(t->fd), 0);
    ck_assert_int_eq(unlockpt(t->fd), 0);
    ck_assert_int_eq(ptsname_r(t->fd, t->path, sizeof(t->path)), 0);
    /* The session's first terminal becomes the one that it is controlled by. */
    snprintf(whole, sizeof(whole), "exec setsid sh -c 'exec <\"$0\"; set -m; %s' %s %s", script,
             t->path, at);
    t->shell = shell(whole);
}

static void type(const terminal *t, const char *text)
{
    ck_assert_int_eq(write(t->fd, text, strlen(text)), (ssize_t)strlen(text));
}

static const char *socket_url(const char *name)
{
    static char at[URL_BYTES];
    snprintf(at, sizeof(at), "unix://%s", scratch_path(name));
    return at;
}

START_TEST(router_in_the_background_serves_while_another_job_is_typed_at)
{
    terminal t;
    const char *at = socket_url("background");
    terminal_run(&t, "\"$HAKUBAN_BIN/hakuban-router\" -b \"$1\" & echo $!; wait", at);
    pid_t pid = (pid_t)strtol(program_line(t.shell), NULL, 10);
    check_serves(at);
    for (int i = 0; i < 3; i++) {
        type(&t, "not for the router\n");
        check_serves(at);
    }
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    program_find(t.shell, "listening");
    ck_assert_int_eq(program_end(t.shell), 0);
    close(t.fd);
}
END_TEST

START_TEST(router_reads_its_lines_when_it_is_in_the_foreground)
{
    terminal t;
    const char *at = socket_url("foreground");
    /* It begins in the background, and is then brought to the front. */
    terminal_run(&t, "\"$HAKUBAN_BIN/hakuban-router\" -b \"$1\" & echo $!; fg >/dev/null", at);
    pid_t pid = (pid_t)strtol(program_line(t.shell), NULL, 10);
    check_serves(at);
    type(&t, "\n");
    program_find_error(t.shell, "objects");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(program_end(t.shell), 0);
    close(t.fd);
}
END_TEST

START_TEST(router_that_speaks_to_a_terminal_from_the_background_serves)
{
    terminal t;
    const char *at = socket_url("speaking");
    terminal_run(&t,
                 "stty tostop; \"$HAKUBAN_BIN/hakuban-router\" -v -v -b \"$1\" >\"$0\" 2>&1 & "
                 "echo $!; wait",
                 at);
    pid_t pid = (pid_t)strtol(program_line(t.shell), NULL, 10);
    check_serves(at);
    ck_assert_int_eq(kill(pid, SIGUSR2), 0);
    check_serves(at);
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(program_end(t.shell), 0);
    close(t.fd);
}
END_TEST

START_TEST(exposer_in_the_background_goes_on_with_its_last_line)
{
    terminal t;
    program *observer = program_run("hakuban", "observe", "--raw", "1", NULL);
    /* The first line is read in the foreground; then it is stopped and continued behind the shell.
     */
    terminal_run(&t,
                 "\"$HAKUBAN_BIN/hakuban\" expose 1 & echo $!; fg >/dev/null; bg >/dev/null; "
                 "echo behind; wait",
                 url);
    pid_t pid = (pid_t)strtol(program_line(t.shell), NULL, 10);
    type(&t, "\"typed\"\n");
    ck_assert_str_eq(program_line(observer), "\"typed\"");
    type(&t, "\x1a"); /* Ctrl-Z */
    program_find(t.shell, "behind");
    for (int i = 0; i < 3; i++) {
        type(&t, "not for the exposer\n");
        program *get = program_run("hakuban", "get", "--raw", "--for", "20s", "1", NULL);
        ck_assert_str_eq(program_line(get), "\"typed\"");
        ck_assert_int_eq(program_end(get), 0);
    }
    stop_well(observer);
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_uint_eq(program_count_errors(t.shell, "skipped"), 0);
    ck_assert_int_eq(program_end(t.shell), 0);
    close(t.fd);
}
END_TEST

/* -- Descriptors and limits -- */

START_TEST(few_descriptors_are_an_error_in_words)
{
    bool worked = false;
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, "1\n");
    for (int left = 4; left < 32; left++) {
        static const char *const programs[] = {"hakuban\" get --for 20s 1",
                                               "hakuban-router\" -b tcp://127.0.0.1:0"};
        for (size_t i = 0; i < 2; i++) {
            char script[256];
            /* LeakSanitizer needs descriptors of its own. */
            snprintf(script, sizeof(script),
                     "export ASAN_OPTIONS=\"$ASAN_OPTIONS:detect_leaks=0\"; ulimit -n %d; "
                     "exec \"$HAKUBAN_BIN/%s",
                     left, programs[i]);
            program *p = shell(script);
            const char *line = program_line(p);
            if (line) {
                worked = true;
                int code = i == 0 ? program_end(p) : program_stop(p, SIGTERM);
                ck_assert_msg(code == 0, "%s: %d", script, code);
                continue;
            }
            line = program_error_line(p);
            ck_assert_msg(line != NULL, "%s: no word", script);
            int code = program_end(p);
            ck_assert_msg(code == 1 || code == 127, "%s: %d", script, code);
        }
    }
    ck_assert(worked);
    stop_well(exposer);
}
END_TEST

/* -- Threads -- */

/* Beginnings of a shell's command line that keep the program which follows from having more than $n
 * threads. */
static const char *const thread_limits[] = {
    /* Of a user that has no other process: root has no such limit. */
    "if [ $(id -u) = 0 ]; then set -- setpriv --reuid=61789 --regid=61789 "
    "--clear-groups; fi; exec \"$@\" prlimit --nproc=$n --core=0 -- ",
    "g=/sys/fs/cgroup/pids; [ -w $g ] || g=/sys/fs/cgroup; g=$g/hakuban-test-$PPID; "
    "mkdir -p $g && echo $n >$g/pids.max && echo $$ >$g/cgroup.procs || exit 77; exec ",
};

static void remove_group(void)
{
    char path[128];
    snprintf(path, sizeof(path), "/sys/fs/cgroup/pids/hakuban-test-%d", (int)getpid());
    (void)rmdir(path);
    snprintf(path, sizeof(path), "/sys/fs/cgroup/hakuban-test-%d", (int)getpid());
    (void)rmdir(path);
}

static program *run_with_threads(int way, int count, const char *command)
{
    char script[1024];
    snprintf(script, sizeof(script), "n=%d; %s\"$HAKUBAN_BIN\"/%s 2>&1", count, thread_limits[way],
             command);
    return shell(script);
}

START_TEST(threads_that_cannot_be_started_are_an_error_in_words)
{
    static const char *const commands[] = {
        "hakuban get --for 20s 1",
        "hakuban get -c tcp://localhost:1 --for 300ms 1", /* it looks the name up */
        "hakuban-router -b tcp://127.0.0.1:0",
#ifdef HAKUBAN_TEST_ZMQ
        "hakuban get -c zmq+tcp://127.0.0.1:1 --for 300ms 1",
        "hakuban-router -b zmq+tcp://127.0.0.1:0",
#endif
    };
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, "1\n");
    bool possible = program_end(run_with_threads(_i, 50, "hakuban --version")) == 0;
    bool refused = false;
    if (!possible) {
        fprintf(stderr, "no limit of threads by %s here: skipped\n", _i ? "a cgroup" : "setpriv");
    }
    for (int count = 1; possible && count <= 6; count++) {
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            program *p = run_with_threads(_i, count, commands[i]);
            const char *line = program_line(p);
            ck_assert_msg(line != NULL, "%d: %s: no word", count, commands[i]);
            bool told = strncmp(line, "hakuban", 7) == 0;
            refused |= strstr(line, "no thread can be started") != NULL;
            int code =
                strncmp(line, "listening ", 10) == 0 ? program_stop(p, SIGTERM) : program_end(p);
            ck_assert_msg(code == (told ? 1 : 0), "%d: %s: %d", count, commands[i], code);
        }
    }
    ck_assert(refused || !possible);
    remove_group();
    stop_well(exposer);
}
END_TEST

/* -- More descriptors and limits -- */

static const char *const local_schemes[] = {
    "unix",
#ifdef HAKUBAN_TEST_ZMQ
    "zmq+ipc",
#endif
};

START_TEST(router_takes_more_descriptors_than_the_soft_limit)
{
    enum { SOFT = 128, PEERS = 300 };
    int peers[PEERS];
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < (rlim_t)2 * PEERS) {
        return; /* no process gets more here */
    }
    struct rlimit many = {.rlim_cur = 2 * PEERS, .rlim_max = limit.rlim_max};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char at[URL_BYTES], script[512];
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", scratch_path("many"));
    snprintf(at, sizeof(at), "%s://%s", local_schemes[_i], to.sun_path);
    snprintf(script, sizeof(script), "ulimit -Sn %d; exec \"$HAKUBAN_BIN/hakuban-router\" -b %s",
             SOFT, at);
    program *second = shell(script);
    program_find(second, "listening ");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &many), 0);
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(peers[i], 0);
        ck_assert_int_eq(connect(peers[i], (struct sockaddr *)&to, sizeof(to)), 0);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_serves(at);
    program_signal(second, SIGTERM);
    ck_assert_uint_eq(program_count_errors(second, "Too many open files"), 0);
    ck_assert_int_eq(program_end(second), 0);
    for (size_t i = 0; i < PEERS; i++) {
        close(peers[i]);
    }
}
END_TEST

START_TEST(closed_descriptors_become_no_sockets)
{
    char at[URL_BYTES], script[512];
    snprintf(at, sizeof(at), "unix://%s", scratch_path("closed"));
    snprintf(script, sizeof(script),
             "exec \"$HAKUBAN_BIN/hakuban-router\" -v -v -b %s <&- >&- 2>&-", at);
    program *second = shell(script);
    check_serves(at);
    program_signal(second, SIGUSR2);
    check_serves(at);
    stop_well(second);
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, "1\n");
    program *get = shell("exec \"$HAKUBAN_BIN/hakuban\" get --for 20s 1 >&-");
    program_find_error(get, "stdout: ");
    ck_assert_int_eq(program_end(get), 1);
    ck_assert_int_eq(program_end(shell("exec \"$HAKUBAN_BIN/hakuban\" expose 2 <&-")), 1);
    stop_well(exposer);
}
END_TEST

START_TEST(full_disk_and_file_limit_are_errors)
{
    char script[512], filler[1500];
    memset(filler, 'x', sizeof(filler) - 1);
    filler[0] = filler[sizeof(filler) - 3] = '"';
    filler[sizeof(filler) - 2] = '\n';
    filler[sizeof(filler) - 1] = '\0';
    program *exposer = program_run("hakuban", "expose", "--keep", "1", NULL);
    program_write(exposer, filler);
    snprintf(script, sizeof(script),
             "ulimit -f 1; exec \"$HAKUBAN_BIN/hakuban\" get --for 20s 1 >%s",
             scratch_path("limit"));
    program *get = shell(script);
    program_find_error(get, "stdout: File too large");
    ck_assert_int_eq(program_end(get), 1);
    if (access("/dev/full", W_OK) == 0) {
        get = shell("exec \"$HAKUBAN_BIN/hakuban\" get --for 20s 1 >/dev/full");
        program_find_error(get, "stdout: No space left");
        ck_assert_int_eq(program_end(get), 1);
    }
    stop_well(exposer);
}
END_TEST

START_TEST(locale_mask_and_folder_do_not_matter)
{
    char script[1024], gone[256];
    snprintf(gone, sizeof(gone), "%s", scratch_path("gone"));
    snprintf(script, sizeof(script),
             "export LC_ALL=de_DE.UTF-8; umask 777; mkdir %s && cd %s && rmdir %s; "
             "exec \"$HAKUBAN_BIN/hakuban\" expose --keep 1.5",
             gone, gone, gone);
    program *exposer = shell(script);
    program_write(exposer, "[1.25, 1e300]\n");
    program *get = program_run("hakuban", "get", "--for", "20s", "15e-1", NULL);
    const char *line = program_line(get);
    ck_assert_msg(line && strstr(line, "\"object\":1.5,"), "%s", line);
    ck_assert_ptr_nonnull(strstr(line, "\"data\":[1.25,1e300]"));
    ck_assert_int_eq(program_end(get), 0);
    stop_well(exposer);
}
END_TEST

int main(void)
{
    TCase *tcase = programs_case("inherited", 1);
    tcase_add_test(tcase, signal_that_the_starter_ignores_stays_ignored);
    tcase_add_test(tcase, signal_that_the_starter_blocks_is_heard);
    tcase_add_test(tcase, command_that_fails_is_told_where_the_starter_ignores_children);
    tcase_add_loop_test(tcase, command_gets_its_signals_as_the_starter_had_them, 0, 2);
    tcase_add_test(tcase, router_in_the_background_serves_while_another_job_is_typed_at);
    tcase_add_test(tcase, router_reads_its_lines_when_it_is_in_the_foreground);
    tcase_add_test(tcase, router_that_speaks_to_a_terminal_from_the_background_serves);
    tcase_add_test(tcase, exposer_in_the_background_goes_on_with_its_last_line);
#if !defined(__SANITIZE_THREAD__) /* it needs descriptors of its own, and waits for them */
    tcase_add_test(tcase, few_descriptors_are_an_error_in_words);
#else
    (void)few_descriptors_are_an_error_in_words;
#endif
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) /* they need threads, too */
    tcase_add_loop_test(tcase, threads_that_cannot_be_started_are_an_error_in_words, 0, 2);
#else
    (void)threads_that_cannot_be_started_are_an_error_in_words;
#endif
    tcase_add_loop_test(tcase, router_takes_more_descriptors_than_the_soft_limit, 0,
                        (int)(sizeof(local_schemes) / sizeof(local_schemes[0])));
    tcase_add_test(tcase, closed_descriptors_become_no_sockets);
    tcase_add_test(tcase, full_disk_and_file_limit_are_errors);
    tcase_add_test(tcase, locale_mask_and_folder_do_not_matter);
    return programs_run(tcase, "inherited");
}
