/* The load of all machines on each screen: each of these programs exposes what its machine is
 * doing, once a second while it is observed, and shows what all of them expose.
 *
 *     all-top [URL] [--name TEXT] [--every 1s] [--for 10s] [--count UPDATES]
 *
 * URL is a router's; $HAKUBAN_URL or tcp://127.0.0.1:3001 by default. On a terminal the table stays
 * in place. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

#define ROWS_MAX 200
#define TAG "\"utilizations\""

/* What is known of one exposer. */
typedef struct row {
    char object[200], data[400];
    const char *worth;
} row;

static row rows[ROWS_MAX];
static int row_count;
static unsigned long updates;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "10s", "250ms", or seconds alone; 0: none of these. */
static long duration_ms(const char *text)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    if (end == text || number <= 0 || number > 1000000) {
        return 0;
    }
    return strcmp(end, "ms") == 0                  ? number
           : *end == '\0' || strcmp(end, "s") == 0 ? number * 1000
                                                   : 0;
}

/* Reads the numbers of a line of a file of /proc that begins with a word. */
static void read_proc(const char *path, const char *word, double *numbers, int count)
{
    char line[512];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, word, strlen(word)) == 0) {
            char *at = line + strlen(word);
            for (int i = 0; i < count; i++) {
                numbers[i] = strtod(at, &at);
            }
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

static void measure(const char *name, char *ret, size_t bytes)
{
    static double total_before, idle_before;
    double cpu[8] = {0}, load[3] = {0}, memory = 0, available = 0, total = 0;
    read_proc("/proc/stat", "cpu ", cpu, 8);
    read_proc("/proc/loadavg", "", load, 3);
    read_proc("/proc/meminfo", "MemTotal:", &memory, 1);
    read_proc("/proc/meminfo", "MemAvailable:", &available, 1);
    for (int i = 0; i < 8; i++) {
        total += cpu[i];
    }
    double idle = cpu[3] + cpu[4], passed = total - total_before;
    double busy = passed > 0 ? 100 * (1 - (idle - idle_before) / passed) : 0;
    total_before = total;
    idle_before = idle;
    snprintf(
        ret, bytes,
        "{\"name\":\"%s\",\"cpu\":%.1f,\"memory\":%.1f,\"load\":[%.2f,%.2f,%.2f],\"time\":%lld}",
        name, busy, memory > 0 ? 100 * (1 - available / memory) : 0, load[0], load[1], load[2],
        (long long)time(NULL));
}

/* The number after "key": in our own flat JSON. */
static double number_in(const char *json, const char *key)
{
    char quoted[40];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = strstr(json, quoted);
    at = at ? at + strlen(quoted) : "";
    return strtod(*at == '[' ? at + 1 : at, NULL);
}

static void print_table(int in_place)
{
    printf(in_place ? "\033[H\033[J" : "\n");
    printf("%-16s %7s %8s %6s  %-7s %s\n", "NAME", "CPU %", "MEMORY %", "LOAD", "IS", "OBJECT");
    for (int i = 0; i < row_count; i++) {
        const char *name = strstr(rows[i].data, "\"name\":\"");
        name = name ? name + 8 : "";
        printf("%-16.*s %7.1f %8.1f %6.2f  %-7s %s\n", (int)strcspn(name, "\""), name,
               number_in(rows[i].data, "cpu"), number_in(rows[i].data, "memory"),
               number_in(rows[i].data, "load"), rows[i].worth, rows[i].object);
    }
    fflush(stdout);
}

static void on_event(const hakuban_event *event, hakuban_sink **sink)
{
    static const char *const worths[] = {"-", "live", "stale"};
    if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        hakuban_sink_unref(*sink);
        *sink = hakuban_sink_ref(event->sink);
    } else if (event->kind == HAKUBAN_EVENT_SINK_CLOSE) {
        *sink = hakuban_sink_unref(*sink);
    }
    if (!event->object || event->sink) {
        return;
    }
    const char *object = hakuban_descriptor_json(event->object);
    int i = 0;
    while (i < row_count && strcmp(rows[i].object, object) != 0) {
        i++;
    }
    if (event->kind == HAKUBAN_EVENT_CLOSE) {
        if (i < row_count) {
            memmove(&rows[i], &rows[i + 1], (size_t)(--row_count - i) * sizeof(rows[0]));
        }
        return;
    }
    if (i == row_count) {
        if (row_count == ROWS_MAX) {
            return;
        }
        memset(&rows[row_count++], 0, sizeof(rows[0]));
        snprintf(rows[i].object, sizeof(rows[i].object), "%s", object);
    }
    rows[i].worth = worths[event->freshness];
    if (event->kind == HAKUBAN_EVENT_STATE) {
        hakuban_slice data = hakuban_state_data(event->state);
        snprintf(rows[i].data, sizeof(rows[i].data), "%.*s", (int)data.bytes,
                 (const char *)data.data);
        updates++;
    }
}

int main(int argc, char **argv)
{
    char host[64] = "somewhere", object[200], state[400];
    const char *name = host, *url = getenv("HAKUBAN_URL"), *tags[] = {TAG};
    unsigned long count = 0;
    long for_ms = 0, every_ms = 1000;
    gethostname(host, sizeof(host) - 1);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "\""; /* good for nothing */
        if (argv[i][0] != '-') {
            url = argv[i];
            continue;
        } else if (strcmp(argv[i], "--name") == 0 && !strpbrk(value, "\"\\\n")) {
            name = value;
        } else if (strcmp(argv[i], "--every") == 0 && duration_ms(value) > 0) {
            every_ms = duration_ms(value);
        } else if (strcmp(argv[i], "--for") == 0 && duration_ms(value) > 0) {
            for_ms = duration_ms(value);
        } else if (strcmp(argv[i], "--count") == 0 && atol(value) > 0) {
            count = (unsigned long)atol(value);
        } else {
            fprintf(stderr, "usage: all-top [URL] [--name TEXT] [--every 1s] [--for 10s] "
                            "[--count UPDATES]\n");
            return 2;
        }
        i++;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    snprintf(object, sizeof(object), "{\"host\":\"%s\",\"pid\":%d}", host, (int)getpid());

    /* One exchange, one connection; two contracts that share a queue: what I am, and what all are.
     */
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    hakuban_queue *queue = NULL;
    hakuban_descriptor *me = NULL;
    hakuban_contract *mine = NULL, *all = NULL;
    hakuban_sink *sink = NULL;
    hakuban_contract_options options = {.size = sizeof(options)};
    hakuban_error error = {.text = "out of memory"};
    int good = hakuban_exchange_new(NULL, &exchange) >= 0 &&
               hakuban_exchange_connect(exchange, url ? url : "tcp://127.0.0.1:3001", NULL,
                                        &connection, &error) >= 0 &&
               hakuban_queue_new(exchange, &queue) >= 0 &&
               hakuban_descriptor_new(NULL, object, tags, 1, &me, &error) >= 0;
    options.queue = queue;
    good = good && hakuban_expose_object(exchange, me, &options, &mine) >= 0 &&
           hakuban_observe_tag(exchange, TAG, &options, &all, &error) >= 0;
    if (!good) {
        fprintf(stderr, "all-top: %s\n", error.text);
    }

    long begin_ms = now_ms(), next_ms = begin_ms;
    while (good && !stopped && (for_ms == 0 || now_ms() < begin_ms + for_ms) &&
           (count == 0 || updates < count)) {
        hakuban_event event;
        long left_ms = next_ms - now_ms();
        if (left_ms > 0) {
            if (hakuban_queue_next(queue, (int)(left_ms < 200 ? left_ms : 200), &event) >= 0) {
                on_event(&event, &sink);
                hakuban_event_done(&event);
            }
            continue;
        }
        next_ms += every_ms;
        measure(name, state, sizeof(state));
        if (sink && hakuban_sink_send_json(sink, state, NULL) < 0) {
            sink = hakuban_sink_unref(sink); /* another exposer was chosen a moment ago */
        }
        print_table(isatty(STDOUT_FILENO));
    }

    hakuban_exchange_stats stats = {0};
    if (good) {
        hakuban_exchange_query(exchange, &stats);
        print_table(isatty(STDOUT_FILENO));
        printf("\nobjects: %d\nupdates seen: %lu\n", row_count, updates);
        printf("received %llu bytes, everything included, for %llu bytes of states\n",
               (unsigned long long)stats.wire_bytes_in, (unsigned long long)stats.state_bytes_in);
        if (hakuban_exchange_close(exchange, 1000) < 0) {
            fprintf(stderr, "all-top: the router was not told\n");
        }
    }
    hakuban_sink_unref(sink);
    hakuban_contract_free(all);
    hakuban_contract_free(mine);
    hakuban_descriptor_unref(me);
    hakuban_connection_free(connection);
    hakuban_queue_free(queue);
    hakuban_exchange_free(exchange);
    return good ? 0 : 1;
}
