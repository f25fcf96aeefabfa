/* hakuban-bench: measures what goes through a router, beside bare sockets with the same hops, in
 * one run. This file reads the command line; each sub-command has a file of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "delta.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "usage: hakuban-bench COMMAND [OPTION]...\n"
    "Measures hakuban-router over loopback, and a bare relay of the same hops beside it.\n"
    "\n"
    "commands:\n"
    "  ping     round trips of a small state: A, router, B and back\n"
    "  flood    one exposer over many objects in turn, every observer gets every state\n"
    "  hot      one object as fast as possible: age of what observers take, memory\n"
    "  objects  many objects: memory for each, and how long a late joiner waits\n"
    "  stuck    very many observers of one object: what they get while one of them is stopped\n"
    "  --peer rust  the Rust implementation beside ours (hakuban-bench --peer rust --help)\n"
    "  matrix   ping and flood, short, over every transport, serializer and compressor\n"
    "  resume   what travels again after a lost connection, and after the router was killed\n"
    "  churn    objects that come and go: how fast, and what is left of them\n"
    "  balance  objects that many exposers share: how fast, and what the router does at rest\n"
    "  codec    writing and reading of serializers (hakuban-bench codec --help)\n"
    "  delta    differences of states (hakuban-bench delta --help)\n"
    "\n"
    "options:                           ping     flood    hot      objects  stuck    matrix\n"
    "  --bytes N     size of a state    64       1024     64       64       1024     1024\n"
    "                (resume: 1024, churn: 64)\n"
    "  --count N     round trips        20000                                        2000\n"
    "  --objects N                               1000              100000            200\n"
    "                (resume: 10000, churn: 200000, balance: 100000)\n"
    "  --exposers N  of balance (1000)\n"
    "  --observers N                             8        1                 999      2\n"
    "  --hubs N      of objects: between the exposer and the router (0)\n"
    "  --stuck N     observers that never read            0\n"
    "  --rate N      states/s                                               10\n"
    "  --seconds T                               2        4                 4        0.3\n"
    "  --window N    states in flight            objects                             objects\n"
    "  --burst N     states per turn             200      16                         50\n"
    "  --runs N      medians of N runs (3)\n"
    "  --transport, --serializer, --compressor NAME\n"
    "                one of those built in (default: the first; matrix: all)\n"
    "  --cpus LIST   run all processes on these CPUs, e.g. 0 or 0,2-3\n"
    "  --json        end with one line of JSON\n"
    "  --only WHAT   hakuban or raw\n"
    "  --bind URL    where the router listens, instead of --transport\n"
    "  --router PATH hakuban-router (default: beside this program)\n";

static const char peer_usage[] =
    "usage: hakuban-bench --peer rust [OPTION]...\n"
    "The same work on the Rust implementation's router and on ours, with clients of both; what is\n"
    "divided by is their router with their clients.\n"
    "\n"
    "  --rust DIR      where tests/interop/build-rust.sh --release built their programs\n"
    "                  (default: " HAKUBAN_RUST_DIR "/release)\n"
    "  --work NAME     ping, large, flood, objects or idle only\n"
    "  --count N       round trips of ping (5000)\n"
    "  --objects N     of objects (10000)\n"
    "  --observers N   of flood (8)\n"
    "  --seconds T     of flood (2)\n"
    "  --runs N, --transport, --serializer, --compressor NAME, --cpus LIST, --json, --router PATH\n"
    "                  as for the other commands; the transport is that between ours\n";

static _Noreturn void wrong_usage(const char *what, const char *detail)
{
    fprintf(stderr, "hakuban-bench: %s%s\nTry: hakuban-bench --help\n", what, detail);
    exit(EXIT_USAGE);
}

typedef struct bench_command {
    const char *name;
    void (*run)(const bench_options *options);
    const char *takes; /* the options that only some commands have */
    bench_options defaults;
} bench_command;

#define COMMON_DEFAULTS .runs = 3, .with_hakuban = true, .with_raw = true

static const bench_command commands[] = {
    {"ping", bench_ping, "--bytes --count --bind ", {COMMON_DEFAULTS, .bytes = 64, .count = 20000}},
    {"flood",
     bench_flood,
     "--bytes --objects --observers --seconds --window --burst --bind ",
     {COMMON_DEFAULTS, .bytes = 1024, .objects = 1000, .observers = 8, .seconds = 2, .burst = 200}},
    {"hot",
     bench_hot,
     "--bytes --observers --stuck --seconds --burst --bind ",
     {COMMON_DEFAULTS, .bytes = 64, .observers = 1, .seconds = 4, .burst = 16}},
    {"objects",
     bench_objects,
     "--bytes --objects --hubs --bind ",
     {COMMON_DEFAULTS, .bytes = 64, .objects = 100000}},
    {"stuck",
     bench_stuck,
     "--bytes --observers --rate --seconds --bind ",
     {COMMON_DEFAULTS, .bytes = 1024, .observers = 999, .rate = 10, .seconds = 4}},
    {"matrix",
     bench_matrix,
     "--bytes --count --objects --observers --seconds --window --burst ",
     {COMMON_DEFAULTS, .bytes = 1024, .count = 2000, .objects = 200, .observers = 2, .seconds = 0.3,
      .burst = 50}},
    {"resume",
     bench_resume,
     "--bytes --objects --bind ",
     {COMMON_DEFAULTS, .bytes = 1024, .objects = 10000}},
    {"churn",
     bench_churn,
     "--bytes --objects --bind ",
     {COMMON_DEFAULTS, .bytes = 64, .objects = 200000}},
    {"balance",
     bench_balance,
     "--objects --exposers --bind ",
     {COMMON_DEFAULTS, .bytes = BENCH_STATE_BYTES_MIN, .objects = 100000, .exposers = 1000}},
};

static const bench_command peer_command = {"--peer rust",
                                           bench_peer,
                                           "--rust --work --count --objects --observers --seconds ",
                                           {COMMON_DEFAULTS, .rust = HAKUBAN_RUST_DIR "/release",
                                            .count = 5000, .objects = 10000, .observers = 8,
                                            .seconds = 2}};

typedef struct number_option {
    const char *name;
    size_t offset;
    uint64_t min, max;
} number_option;

static const number_option number_options[] = {
    {"--bytes", offsetof(bench_options, bytes), BENCH_STATE_BYTES_MIN, BENCH_STATE_BYTES_MAX},
    {"--count", offsetof(bench_options, count), 1, 10000000},
    {"--objects", offsetof(bench_options, objects), 1, 8000000},
    {"--observers", offsetof(bench_options, observers), 1, BENCH_STUCK_OBSERVERS_MAX},
    {"--exposers", offsetof(bench_options, exposers), 1, 10000},
    {"--hubs", offsetof(bench_options, hubs), 0, 8},
    {"--stuck", offsetof(bench_options, stuck), 0, BENCH_OBSERVERS_MAX / 2},
    {"--window", offsetof(bench_options, window), 1, 8000000},
    {"--burst", offsetof(bench_options, burst), 1, 1000000},
    {"--rate", offsetof(bench_options, rate), 1, 100000},
    {"--runs", offsetof(bench_options, runs), 1, BENCH_RUNS_MAX},
};

static uint64_t number_of(const number_option *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < option->min ||
        value > option->max) {
        char detail[96];
        snprintf(detail, sizeof(detail), " takes a number from %llu to %llu",
                 (unsigned long long)option->min, (unsigned long long)option->max);
        wrong_usage(option->name, detail);
    }
    return value;
}

static double seconds_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0.1 && value <= 3600)) {
        wrong_usage("--seconds", " takes a number from 0.1 to 3600");
    }
    return value;
}

static unsigned long cpu_of(const char **at)
{
    char *end;
    if (**at < '0' || **at > '9') {
        wrong_usage("--cpus", " takes numbers and ranges, e.g. 0 or 0,2-3");
    }
    unsigned long cpu = strtoul(*at, &end, 10);
    *at = end;
    if (cpu >= CPU_SETSIZE) {
        wrong_usage("--cpus: there is no such CPU", "");
    }
    return cpu;
}

/* Everything that is started afterwards inherits it. */
static void pin(const char *list)
{
    cpu_set_t set;
    const char *at = list;
    CPU_ZERO(&set);
    for (;;) {
        unsigned long first = cpu_of(&at), last = first;
        if (*at == '-') {
            at++;
            last = cpu_of(&at);
        }
        for (unsigned long cpu = first; cpu <= last; cpu++) {
            CPU_SET(cpu, &set);
        }
        if (*at == '\0') {
            break;
        }
        if (*at++ != ',') {
            wrong_usage("--cpus", " takes numbers and ranges, e.g. 0 or 0,2-3");
        }
    }
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        bench_die("--cpus %s: %s", list, strerror(errno));
    }
}

/* A built-in table's name, or words. */
static const char *built_in(const char *kind, const char *option, const char *name)
{
    bench_features features;
    bench_features_of(kind, &features);
    if (!bench_features_have(&features, name, strlen(name))) {
        fprintf(stderr, "hakuban-bench: built in: %s\n", hakuban_features());
        wrong_usage(option, " takes a name of those, and not inproc");
    }
    return name;
}

static void only(bench_options *options, const char *what)
{
    options->with_hakuban = strcmp(what, "hakuban") == 0;
    options->with_raw = strcmp(what, "raw") == 0;
    if (!options->with_hakuban && !options->with_raw) {
        wrong_usage("--only takes hakuban or raw, not ", what);
    }
}

static bool command_takes(const bench_command *command, const char *option)
{
    static const char *const everywhere = "--runs --cpus --json --only --router "
                                          "--transport --serializer --compressor ";
    char word[32];
    snprintf(word, sizeof(word), "%s ", option);
    return strstr(command->takes, word) || strstr(everywhere, word);
}

static void read_option(bench_options *options, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(number_options) / sizeof(number_options[0]); i++) {
        if (strcmp(name, number_options[i].name) == 0) {
            *(uint64_t *)(void *)((char *)options + number_options[i].offset) =
                number_of(&number_options[i], value);
            return;
        }
    }
    if (strcmp(name, "--seconds") == 0) {
        options->seconds = seconds_of(value);
    } else if (strcmp(name, "--cpus") == 0) {
        options->cpus = value;
        pin(value);
    } else if (strcmp(name, "--only") == 0) {
        only(options, value);
    } else if (strcmp(name, "--transport") == 0) {
        options->transport = built_in("transports", name, value);
    } else if (strcmp(name, "--serializer") == 0) {
        options->serializer = built_in("serializers", name, value);
    } else if (strcmp(name, "--compressor") == 0) {
        options->compressor = built_in("compressors", name, value);
    } else if (strcmp(name, "--bind") == 0) {
        options->bind = value;
    } else if (strcmp(name, "--rust") == 0) {
        options->rust = value;
    } else if (strcmp(name, "--work") == 0) {
        options->work = value;
        if (!bench_peer_has_work(value)) {
            wrong_usage("--work takes ping, large, flood, objects or idle, not ", value);
        }
    } else {
        options->router = value; /* the last one that command_takes() knows */
    }
}

/* What was not chosen. The names live as long as the program. */
static void complete(const bench_command *command, bench_options *options)
{
    static bench_features transports, serializers, compressors;
    static char scheme[16];
    bench_features_of("transports", &transports);
    bench_features_of("serializers", &serializers);
    bench_features_of("compressors", &compressors);
    if (transports.count == 0) {
        bench_die("no transport between processes was built in: %s", hakuban_features());
    }
    if (options->bind) {
        size_t bytes = strcspn(options->bind, ":");
        if (options->transport || !bench_features_have(&transports, options->bind, bytes)) {
            wrong_usage("--bind", " takes a URL of a transport built in; --transport does not go "
                                  "with it");
        }
        snprintf(scheme, sizeof(scheme), "%.*s", (int)bytes, options->bind);
        options->transport = scheme;
    }
    if (command->run == bench_matrix) {
        return;
    }
    if (!options->transport) {
        options->transport = transports.names[0];
    }
    if (!options->serializer) {
        options->serializer = serializers.names[0];
    }
    if (!options->compressor) {
        options->compressor = compressors.names[0];
    }
}

static void read_options(const bench_command *command, int argc, char **argv,
                         bench_options *options)
{
    for (int i = 0; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--help") == 0) {
            fputs(command == &peer_command ? peer_usage : usage, stdout);
            exit(0);
        }
        if (strncmp(name, "--", 2) != 0 || !command_takes(command, name)) {
            fprintf(stderr, "hakuban-bench: %s has no %s\n", command->name, name);
            wrong_usage("unknown option", "");
        }
        if (strcmp(name, "--json") == 0) {
            options->json = true;
        } else if (i + 1 == argc) {
            wrong_usage(name, " needs a value");
        } else {
            read_option(options, name, argv[++i]);
        }
    }
    if (options->window == 0) {
        options->window = options->objects;
    }
    if (command->run == bench_stuck) {
        if (!options->with_hakuban) {
            wrong_usage("--only raw", ": stuck has no raw relay");
        }
    } else if (options->observers + options->stuck > BENCH_OBSERVERS_MAX) {
        wrong_usage("--observers and --stuck: too many together", "");
    }
    if (options->window > options->objects && options->objects > 0) {
        wrong_usage("--window", " above --objects would let states be replaced on their way");
    }
    complete(command, options);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0) {
        if (argv[1][2] == 'h') {
            fputs(usage, stdout);
        } else {
            printf("hakuban-bench %s\n", hakuban_version());
        }
        return 0;
    }
    if (strcmp(argv[1], "--peer") == 0) {
        if (argc < 3 || strcmp(argv[2], "rust") != 0) {
            wrong_usage("--peer takes rust", "");
        }
        bench_options options = peer_command.defaults;
        options.command = peer_command.name;
        read_options(&peer_command, argc - 3, argv + 3, &options);
        bench_peer(&options);
        return 0;
    }
    if (strcmp(argv[1], "delta") == 0) {
        return bench_delta(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "codec") == 0) {
        return bench_codec(argc - 1, argv + 1);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            bench_options options = commands[i].defaults;
            options.command = commands[i].name;
            read_options(&commands[i], argc - 2, argv + 2, &options);
            commands[i].run(&options);
            return 0;
        }
    }
    wrong_usage("there is no command ", argv[1]);
}
