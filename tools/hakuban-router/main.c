/* hakuban-router: an exchange that does nothing but link others. A thread of the library drives it,
 * which waits in one system call, not in two as under a poll of ours. The main thread polls its
 * queue, signals and stdin; what is said is written by threads of its own (common/writer.h). */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#include "common/args.h"
#include "common/report.h"
#include "common/signals.h"
#include "common/terminal.h"
#include "common/text.h"
#include "common/upstream.h"
#include "common/writer.h"
#include "config.h"
#include "monitor.h"

#define DEFAULT_BIND "tcp://127.0.0.1:3001"
/* The program ends within a second of a signal. */
#define CLOSE_MS (700 * SIGNALS_SLOWNESS)
/* Between two tries to listen where that failed. */
#define BIND_AGAIN_MS 1000
/* Between two pictures of everything that lines on stdin ask for. */
#define STDIN_PAUSE_MS 100
#define FLUSH_MS 200

static writer standard_output = WRITER_INIT(STDOUT_FILENO, "stdout");

typedef struct bound {
    char *url;                  /* as configured */
    hakuban_listener *listener; /* NULL: it could not listen yet */
} bound;

typedef struct router {
    config given; /* by the command line */
    config now;   /* in effect */
    const char *config_path;
    unsigned verbosity;
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    int queue_fd;
    hakuban_connection *connection;
    hakuban_publisher *stats;
    const char *page; /* a folder of files for browsers; NULL: none */
    monitor watched;
    bound *bound;
    size_t bound_count;
    upstream above;
    uint64_t bind_ms; /* when binds that failed are tried again */
    bool stdin_ended, stdin_is_terminal;
    uint64_t stdin_ms; /* it is not read before */
} router;

static void *checked(void *memory)
{
    if (!memory) {
        out_of_memory();
    }
    return memory;
}

/* A wrong URL is a mistake of the user's, the rest is trouble at run time. */
static int exit_code_of(hakuban_status status)
{
    bool usage = status == HAKUBAN_ERR_URL || status == HAKUBAN_ERR_UNSUPPORTED ||
                 status == HAKUBAN_ERR_ARGUMENT;
    return usage ? EXIT_USAGE : EXIT_RUNTIME;
}

static const char *words(const hakuban_error *error, hakuban_status status)
{
    return error->text[0] ? error->text : hakuban_status_text(status);
}

static bool is_for_browsers(const char *url)
{
    static const char *const schemes[] = {"tcp:", "ws:", "tls:", "wss:"};
    bool is = false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        is = is || strncmp(url, schemes[i], strlen(schemes[i])) == 0;
    }
    return is;
}

/* Where a bind can be reached by browsers it gets the folder with it. Owned by the caller. */
static char *with_page(const router *r, const char *url)
{
    bool fits = r->page && is_for_browsers(url) && !strstr(url, "page=");
    size_t bytes = strlen(url) + (fits ? strlen(r->page) : 0) + sizeof(",page=");
    char *whole = checked(malloc(bytes));
    if (fits) {
        (void)snprintf(whole, bytes, "%s%cpage=%s", url, strchr(url, '#') ? ',' : '#', r->page);
    } else {
        (void)snprintf(whole, bytes, "%s", url);
    }
    return whole;
}

/* 0, or the exit code of what error says. */
static int try_bind(const router *r, bound *place, hakuban_error *error)
{
    char *whole = with_page(r, place->url);
    hakuban_status status = hakuban_exchange_listen(r->exchange, whole, &place->listener, error);
    free(whole);
    if (status < 0) {
        error->status = status;
        return exit_code_of(status);
    }
    text line = {NULL, 0, 0};
    text_printf(&line, "listening %s\n", hakuban_listener_url(place->listener));
    writer_put(&standard_output, line.data, line.bytes);
    text_free(&line);
    return 0;
}

/* A bind that fails at run time, because its address comes late or is in use, stays to be tried
 * again. */
static int bind_url(router *r, const char *url)
{
    hakuban_error error = {.status = HAKUBAN_OK};
    r->bound = checked(realloc(r->bound, (r->bound_count + 1) * sizeof(*r->bound)));
    r->bound[r->bound_count] = (bound){checked(strdup(url)), NULL};
    int exit_code = try_bind(r, &r->bound[r->bound_count++], &error);
    if (exit_code != 0) {
        report("%s: %s", url, words(&error, error.status));
    }
    return exit_code;
}

static size_t listening_count(const router *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->bound_count; i++) {
        count += r->bound[i].listener != NULL;
    }
    return count;
}

static void say_missing_binds(router *r)
{
    for (size_t i = 0; i < r->bound_count; i++) {
        if (!r->bound[i].listener) {
            report("%s: trying again until it works", r->bound[i].url);
        }
    }
    r->bind_ms = now_ms() + BIND_AGAIN_MS;
}

static void unbind(router *r, size_t index)
{
    if (r->bound[index].listener) {
        report("no longer listening %s", hakuban_listener_url(r->bound[index].listener));
    }
    hakuban_listener_free(r->bound[index].listener);
    free(r->bound[index].url);
    r->bound[index] = r->bound[--r->bound_count];
}

static int connect_url(router *r, const char *url)
{
    hakuban_connection_options options = {.size = sizeof(options), .queue = r->queue};
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status =
        hakuban_exchange_connect(r->exchange, url, &options, &r->connection, &error);
    if (status < 0) {
        report("%s: %s", url, words(&error, status));
        return exit_code_of(status);
    }
    return 0;
}

/* The router's name in its statistics: that of the upstream's URL, else of the first bind's; false:
 * none was given. */
static bool own_name(const router *r, char *buffer, size_t room)
{
    const char *urls[] = {r->now.connect, r->now.binds[0]};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const char *parameter = urls[i] ? strchr(urls[i], '#') : NULL;
        while (parameter && strncmp(parameter + 1, "name=", 5) != 0) {
            parameter = strchr(parameter + 1, ',');
        }
        if (parameter) {
            parameter += 6;
            snprintf(buffer, room, "%.*s", (int)strcspn(parameter, ","), parameter);
            return buffer[0] != '\0';
        }
    }
    return false;
}

static int publish_stats(router *r)
{
    char name[256];
    hakuban_stats_options options = {.size = sizeof(options),
                                     .name = own_name(r, name, sizeof(name)) ? name : NULL};
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status =
        hakuban_exchange_publish_stats(r->exchange, r->now.stats_tag, &options, &r->stats, &error);
    if (status >= 0) {
        return 0;
    }
    if (status == HAKUBAN_ERR_PARSE || status == HAKUBAN_ERR_LIMIT) {
        report_bad_json(r->given.stats_tag ? "--stats-tag" : "stats-tag", r->now.stats_tag, &error);
        return EXIT_USAGE;
    }
    report("stats-tag %s: %s", r->now.stats_tag, words(&error, status));
    return exit_code_of(status);
}

static bool is_websocket(const char *url)
{
    return strncmp(url, "ws://", 5) == 0 || strncmp(url, "wss://", 6) == 0;
}

/* A URL as the Rust implementation spells it: with the path that was left out, and the parameters
 * as they were given. */
static char *full_url(const char *url, const char *given)
{
    text t = {NULL, 0, 0};
    size_t bytes = strcspn(url, "#");
    text_add(&t, url, bytes);
    const char *host = is_websocket(url) ? strstr(url, "://") + 3 : NULL;
    if (host && host + strcspn(host, "/#") >= url + bytes) {
        text_add_string(&t, "/");
    }
    text_add_string(&t, given + strcspn(given, "#"));
    return t.data;
}

/* Observers are told of one place to connect to: the first that is WebSocket, else the first.
 */
static int place_monitor(router *r)
{
    if (!r->now.monitor_tag) {
        return 0;
    }
    const bound *chosen = NULL;
    for (size_t i = 0; i < r->bound_count; i++) {
        if (!r->bound[i].listener) {
            continue;
        }
        if (!chosen || (!is_websocket(chosen->url) && is_websocket(r->bound[i].url))) {
            chosen = &r->bound[i];
        }
    }
    char *listening = chosen ? full_url(hakuban_listener_url(chosen->listener), chosen->url) : NULL;
    char *connecting = r->now.connect ? full_url(r->now.connect, r->now.connect) : NULL;
    int exit_code = monitor_place(&r->watched, listening, connecting, r->connection);
    free(listening);
    free(connecting);
    return exit_code;
}

/* When a missing bind is to be tried again; UINT64_MAX: none is missing. */
static uint64_t bind_again(router *r)
{
    if (listening_count(r) == r->bound_count) {
        return UINT64_MAX;
    }
    if (now_ms() >= r->bind_ms) {
        r->bind_ms = now_ms() + BIND_AGAIN_MS;
        for (size_t i = 0; i < r->bound_count; i++) {
            hakuban_error error = {.status = HAKUBAN_OK};
            if (!r->bound[i].listener && try_bind(r, &r->bound[i], &error) == 0) {
                (void)place_monitor(r);
            }
        }
    }
    return r->bind_ms;
}

/* The command line and the file together. */
static int read_config(const router *r, bool at_start, config *ret)
{
    config c = {.rebalance_threshold = r->given.rebalance_threshold,
                .memory_limit = r->given.memory_limit,
                .link_limit = r->given.link_limit};
    for (size_t i = 0; i < r->given.bind_count; i++) {
        config_add_bind(&c, r->given.binds[i]);
    }
    if (r->given.connect) {
        config_set(&c.connect, r->given.connect);
    }
    config_set(&c.stats_tag, r->given.stats_tag);
    config_set(&c.monitor_tag, r->given.monitor_tag);
    int exit_code = r->config_path ? config_read(&c, r->config_path, at_start) : 0;
    if (exit_code != 0) {
        config_free(&c);
        return exit_code;
    }
    if (c.bind_count == 0) {
        config_add_bind(&c, DEFAULT_BIND);
    }
    *ret = c;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* SIGHUP: what is new begins, what has gone ends, what is the same is not touched. */
static void reload(router *r)
{
    config next;
    if (read_config(r, false, &next) != 0) {
        report("%s: not reloaded", r->config_path);
        return;
    }
    bool *kept = checked(calloc(next.bind_count, sizeof(*kept)));
    for (size_t i = r->bound_count; i-- > 0;) {
        size_t k = 0;
        while (k < next.bind_count && (kept[k] || strcmp(next.binds[k], r->bound[i].url) != 0)) {
            k++;
        }
        if (k < next.bind_count) {
            kept[k] = true;
        } else {
            unbind(r, i);
        }
    }
    for (size_t k = 0; k < next.bind_count; k++) {
        if (!kept[k]) {
            (void)bind_url(r, next.binds[k]);
        }
    }
    free(kept);
    say_missing_binds(r);
    bool same_upstream =
        same_text(next.connect, r->now.connect) && (!next.connect || r->connection);
    if (next.rebalance_threshold < r->now.rebalance_threshold ||
        next.rebalance_threshold > r->now.rebalance_threshold) {
        report("%s: a new rebalance-threshold needs a restart", r->config_path);
    }
    if (next.memory_limit != r->now.memory_limit || next.link_limit != r->now.link_limit) {
        report("%s: a new memory-limit or link-limit needs a restart", r->config_path);
    }
    if (!same_text(next.stats_tag, r->now.stats_tag) ||
        !same_text(next.monitor_tag, r->now.monitor_tag)) {
        report("%s: another stats-tag or monitor-tag needs a restart", r->config_path);
    }
    config_set(&next.stats_tag, r->now.stats_tag);
    config_set(&next.monitor_tag, r->now.monitor_tag);
    config_free(&r->now);
    r->now = next;
    if (!same_upstream) {
        r->connection = hakuban_connection_free(r->connection);
        r->above = (upstream){false, false};
        if (r->now.connect) {
            (void)connect_url(r, r->now.connect);
        }
    }
    (void)place_monitor(r);
    report("%s: reloaded", r->config_path);
}

static void write_piece(void *ctx, const char *piece, size_t bytes)
{
    text_add(ctx, piece, bytes);
}

static void print_snapshot(router *r)
{
    text picture = {NULL, 0, 0};
    hakuban_status status = hakuban_exchange_snapshot(r->exchange, write_piece, &picture);
    if (status < 0) {
        report("snapshot: %s", hakuban_status_text(status));
    } else {
        report_lines(picture.data, picture.bytes);
    }
    text_free(&picture);
}

/* Whether stdin is to be polled. What is typed for another job of the terminal is left to that. */
static bool may_read_stdin(router *r)
{
    uint64_t now = now_ms();
    if (!r->stdin_ended && now >= r->stdin_ms && r->stdin_is_terminal &&
        terminal_is_taken(STDIN_FILENO)) {
        r->stdin_ms = now + TERMINAL_LOOK_MS;
    }
    return !r->stdin_ended && now >= r->stdin_ms;
}

/* A line on stdin asks for a snapshot. */
static void read_stdin(router *r)
{
    char buffer[512];
    ssize_t bytes = read(STDIN_FILENO, buffer, sizeof(buffer));
    r->stdin_ms = now_ms() + STDIN_PAUSE_MS;
    if (bytes > 0 && memchr(buffer, '\n', (size_t)bytes)) {
        print_snapshot(r);
    }
    bool later = bytes < 0 && (errno == EINTR || errno == EAGAIN ||
                               (errno == EIO && terminal_is_taken(STDIN_FILENO)));
    r->stdin_ended = bytes <= 0 && !later; /* its end is harmless */
}

/* False: it is time to end. */
static bool on_signals(router *r)
{
    int number;
    while ((number = signals_next()) != 0 && !signals_stop) {
        if (number == SIGUSR2) {
            print_snapshot(r);
        } else if (number == SIGHUP) {
            reload(r);
        }
    }
    return !signals_stop;
}

static int run(router *r, int signal_fd)
{
    struct pollfd fds[3] = {{.fd = r->queue_fd, .events = POLLIN},
                            {.fd = signal_fd, .events = POLLIN},
                            {.fd = -1, .events = POLLIN}};
    for (;;) {
        hakuban_event event;
        while (hakuban_queue_next(r->queue, 0, &event) >= 0) {
            /* A reload may have ended the connection that an event is about. */
            if (event.kind == HAKUBAN_EVENT_CONNECTION && event.connection == r->connection) {
                upstream_changed(&r->above, r->connection, r->now.connect, true);
            }
            monitor_event(&r->watched, &event);
            hakuban_event_done(&event);
        }
        uint64_t due_ms = monitor_step(&r->watched), bind_ms = bind_again(r);
        due_ms = bind_ms < due_ms ? bind_ms : due_ms;
        fds[2].fd = may_read_stdin(r) ? STDIN_FILENO : -1;
        if (fds[2].fd < 0 && !r->stdin_ended && r->stdin_ms < due_ms) {
            due_ms = r->stdin_ms;
        }
        if (poll(fds, 3, poll_timeout_ms(due_ms)) <= 0) {
            continue;
        }
        if (fds[1].revents && !on_signals(r)) {
            return 0;
        }
        if (fds[2].revents) {
            read_stdin(r);
        }
    }
}

static int start(router *r, int *ret_signal_fd)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, 0},
                     ending_but_reload[] = {SIGINT, SIGTERM, 0};
    static const int others[] = {SIGUSR2, 0}, others_and_reload[] = {SIGHUP, SIGUSR2, 0};
    *ret_signal_fd = r->config_path ? signals_catch(ending_but_reload, others_and_reload)
                                    : signals_catch(ending, others);
    if (*ret_signal_fd < 0) {
        report("signals: %s", strerror(errno));
        return EXIT_RUNTIME;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* each peer needs one */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    int exit_code = read_config(r, true, &r->now);
    if (exit_code != 0) {
        return exit_code;
    }
    /* In the options 0 stands for the default: an exact 0 is asked for as the smallest threshold
     * there is. */
    double threshold = r->now.rebalance_threshold;
    hakuban_exchange_options options = {.size = sizeof(options),
                                        .drive = HAKUBAN_DRIVE_THREAD,
                                        .log = report_log(r->verbosity),
                                        .rebalance_threshold = threshold < 0   ? 0
                                                               : threshold > 0 ? threshold
                                                                               : 1e-12,
                                        .memory_bytes_max = r->now.memory_limit,
                                        .link_bytes_max = r->now.link_limit};
    hakuban_status status = hakuban_exchange_new(&options, &r->exchange);
    if (status >= 0) {
        status = hakuban_queue_new(r->exchange, &r->queue);
    }
    if (status >= 0) {
        r->queue_fd = hakuban_queue_fd(r->queue);
        status = r->queue_fd < 0 ? (hakuban_status)r->queue_fd : HAKUBAN_OK;
    }
    if (status < 0) {
        report("exchange: %s", hakuban_status_text(status));
        return EXIT_RUNTIME;
    }
    if (r->now.stats_tag) {
        exit_code = publish_stats(r);
    }
    if (exit_code == 0 && r->now.monitor_tag) {
        exit_code = monitor_start(&r->watched, r->exchange, r->queue, r->now.monitor_tag);
    }
    for (size_t i = 0; exit_code == 0 && i < r->now.bind_count; i++) {
        int bind_code = bind_url(r, r->now.binds[i]);
        exit_code = bind_code == EXIT_USAGE ? EXIT_USAGE : 0;
    }
    if (exit_code == 0 && listening_count(r) == 0) {
        exit_code = EXIT_RUNTIME; /* said already */
    } else if (exit_code == 0) {
        say_missing_binds(r);
    }
    if (exit_code == 0 && r->now.connect) {
        exit_code = connect_url(r, r->now.connect);
    }
    return exit_code == 0 ? place_monitor(r) : exit_code;
}

static void end(router *r, bool orderly)
{
    if (r->exchange && orderly) {
        hakuban_status status = hakuban_exchange_close(r->exchange, CLOSE_MS);
        if (status < 0) {
            report("not everybody was told: %s", hakuban_status_text(status));
        }
    }
    while (r->bound_count > 0) {
        r->bound_count--;
        hakuban_listener_free(r->bound[r->bound_count].listener);
        free(r->bound[r->bound_count].url);
    }
    free(r->bound);
    hakuban_publisher_free(r->stats);
    monitor_stop(&r->watched);
    hakuban_connection_free(r->connection);
    hakuban_queue_free(r->queue);
    hakuban_exchange_free(r->exchange);
    config_free(&r->now);
    config_free(&r->given);
}

enum {
    OPTION_BIND = 1,
    OPTION_CONNECT,
    OPTION_THREADS,
    OPTION_THRESHOLD,
    OPTION_MEMORY,
    OPTION_LINK,
    OPTION_STATS,
    OPTION_MONITOR,
    OPTION_PAGE,
    OPTION_CONFIG,
    OPTION_VERBOSE,
    OPTION_HELP,
    OPTION_VERSION
};

static const arg_option options_table[] = {{"--bind", 'b', true, OPTION_BIND},
                                           {"--connect", 'c', true, OPTION_CONNECT},
                                           {"--threads", 't', true, OPTION_THREADS},
                                           {"--rebalance-threshold", 0, true, OPTION_THRESHOLD},
                                           {"--memory-limit", 0, true, OPTION_MEMORY},
                                           {"--link-limit", 0, true, OPTION_LINK},
                                           {"--stats-tag", 0, true, OPTION_STATS},
                                           {"--monitor-tag", 0, true, OPTION_MONITOR},
                                           {"--serve-page", 0, true, OPTION_PAGE},
                                           {"--config", 0, true, OPTION_CONFIG},
                                           {"--verbose", 'v', false, OPTION_VERBOSE},
                                           {"--help", 'h', false, OPTION_HELP},
                                           {"--version", 'V', false, OPTION_VERSION},
                                           {NULL, 0, false, 0}};

static const char help[] =
    "usage: hakuban-router [-b URL]... [-c URL] [OPTION]...\n"
    "\n"
    "Links programs that expose the state of objects with programs that observe them.\n"
    "\n"
    "  -b, --bind URL               listen here; may be repeated; default " DEFAULT_BIND "\n"
    "                               (tcp://host:port, port 0: any free one; unix:///path)\n"
    "  -c, --connect URL            be part of the tree above this router\n"
    "  -t, --threads N              accepted; one thread does the work\n"
    "      --rebalance-threshold X  an exposer's load must be this much smaller than\n"
    "                               another's to take an object from it; default 0.1\n"
    "      --memory-limit SIZE      keep no more for peers and objects, e.g. 2G; beyond it the\n"
    "                               connections that hold most are ended; default: three\n"
    "                               quarters of what this process may have; none: no limit\n"
    "      --link-limit SIZE        keep no more for one connection from below, or end it;\n"
    "                               default: half of the memory limit\n"
    "      --stats-tag JSON         publish statistics of the router, its links and objects as\n"
    "                               objects with this tag, e.g. '\"stats\"'; made only while\n"
    "                               somebody observes them (hakuban snapshot)\n"
    "      --monitor-tag TEXT       publish the monitor objects of the Rust implementation with\n"
    "                               this text as their tag\n"
    "      --serve-page FOLDER      give its files to browsers on this machine that ask the port\n"
    "                               of a tcp, ws, tls or wss bind for them, as examples/browser\n"
    "      --config FILE            lines: bind URL, connect URL, rebalance-threshold X,\n"
    "                               memory-limit SIZE, link-limit SIZE, stats-tag JSON,\n"
    "                               monitor-tag TEXT, # comments; SIGHUP reads it again\n"
    "  -v, --verbose                say more on stderr; twice: everything\n"
    "  -h, --help                   this text\n"
    "  -V, --version                the version and what is built in\n"
    "\n"
    "Prints `listening URL` for each bind when it is ready. SIGINT, SIGTERM and SIGHUP end\n"
    "it in order; SIGUSR2 or a line on stdin prints a picture of everything to stderr.\n"
    "Parameters follow a URL: tcp://127.0.0.1:3001#name=edge-1,keep-alive=20s\n";

/* -1: go on; otherwise the exit code. */
static int read_arguments(router *r, int argc, char **argv)
{
    arg_reader reader = {.argc = argc, .index = 1, .argv = argv};
    const char *value = NULL;
    uint32_t threads = 0;
    int id;
    while ((id = arg_next(&reader, options_table, &value)) != ARG_END) {
        bool good = true;
        switch (id) {
        case OPTION_BIND:
            config_add_bind(&r->given, value);
            break;
        case OPTION_CONNECT:
            good = !r->given.connect;
            if (!good) {
                report("--connect %s: a router has one upstream, and %s came before", value,
                       r->given.connect);
            } else {
                config_set(&r->given.connect, value);
            }
            break;
        case OPTION_THREADS:
            if (strcmp(value, "0") == 0) {
                report("--threads 0: a router cannot work without a thread");
                good = false;
            } else {
                good = arg_number("--threads", value, 1, 1024, &threads);
            }
            break;
        case OPTION_THRESHOLD:
            good = arg_real("--rebalance-threshold", value, &r->given.rebalance_threshold);
            break;
        case OPTION_MEMORY:
            good = arg_size("--memory-limit", value, &r->given.memory_limit);
            break;
        case OPTION_LINK:
            good = arg_size("--link-limit", value, &r->given.link_limit);
            break;
        case OPTION_STATS:
            good = !r->given.stats_tag;
            if (!good) {
                report("--stats-tag %s: one tag is enough, and %s came before", value,
                       r->given.stats_tag);
            }
            config_set(&r->given.stats_tag, value);
            break;
        case OPTION_MONITOR:
            good = !r->given.monitor_tag;
            if (!good) {
                report("--monitor-tag %s: one tag is enough, and %s came before", value,
                       r->given.monitor_tag);
            }
            config_set(&r->given.monitor_tag, value);
            break;
        case OPTION_PAGE:
            good = strstr(hakuban_features(), " ws") && !strchr(value, ',') && !r->page;
            if (!good) {
                report("--serve-page %s: %s", value,
                       r->page              ? "one folder is enough"
                       : strchr(value, ',') ? "a comma in the name of a folder"
                                            : "ws was not built in (HAKUBAN_TRANSPORT_WS)");
            }
            r->page = value;
            break;
        case OPTION_CONFIG:
            good = !r->config_path;
            if (!good) {
                report("--config %s: one file is enough, and %s came before", value,
                       r->config_path);
            }
            r->config_path = value;
            break;
        case OPTION_VERBOSE:
            r->verbosity++;
            break;
        case OPTION_HELP:
            fputs(help, stdout);
            return 0;
        case OPTION_VERSION:
            printf("hakuban-router %s\n%s\n", hakuban_version(), hakuban_features());
            return 0;
        case ARG_OPERAND:
            report("%s: what is this? A URL needs -b or -c (see --help)", value);
            good = false;
            break;
        default:
            good = false;
        }
        if (!good) {
            return EXIT_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    signals_start();
    report_start("hakuban-router");
    router r = {.given = {.rebalance_threshold = -1},
                .stdin_is_terminal = isatty(STDIN_FILENO) == 1};
    int signal_fd = -1;
    int exit_code = read_arguments(&r, argc, argv);
    bool running = false;
    if (exit_code < 0) {
        exit_code = start(&r, &signal_fd);
        running = exit_code == 0;
    }
    if (running) {
        exit_code = run(&r, signal_fd);
    }
    end(&r, running);
    writer_flush(&standard_output, FLUSH_MS);
    signals_exit_code = exit_code;
    return exit_code;
}
