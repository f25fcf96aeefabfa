/* codec: how fast serializers write and read, beside the libraries that a program would use without
 * hakuban. In this process, in turns, in CPU time: other programs on the machine cost less of that
 * than of the clock's. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hakuban/plugin/registry.h>

#include "bench.h"
#include "codec.h"

enum { EXIT_USAGE = 2, ROUNDS_MAX = 101, DOCUMENTS = 3, ROWS_MAX = DOCUMENTS * BENCH_FEATURES_MAX };

#define SAMPLE_NS 4000000.0
#define DOCUMENT_BYTES_MAX (16u * 1024 * 1024)

static const char usage[] =
    "usage: hakuban-bench codec [--serializer NAME] [--rounds N] [--json]\n"
    "Writes and reads a message's header, a record of 1 KB and a document of 1 MB with each\n"
    "serializer, beside jansson and msgpack-c where they are there; medians of N rounds (7).\n";

/* -- Documents -- */

static void put(codec_document *document, hakuban_token token)
{
    if (document->count == document->capacity) {
        document->capacity = document->capacity ? 2 * document->capacity : 64;
        document->tokens =
            realloc(document->tokens, document->capacity * sizeof(*document->tokens));
        if (!document->tokens) {
            bench_die("out of memory");
        }
    }
    document->tokens[document->count++] = token;
}

static void put_int(codec_document *document, int64_t value)
{
    put(document, (hakuban_token){.kind = HAKUBAN_TOKEN_INT, .value.sint = value});
}

static void put_text(codec_document *document, const char *text)
{
    put(document,
        (hakuban_token){.kind = HAKUBAN_TOKEN_STRING, .value.text = {text, strlen(text)}});
}

static void put_open(codec_document *document, hakuban_token_kind kind, uint32_t count)
{
    put(document, (hakuban_token){.kind = kind, .count = count});
}

static void put_end(codec_document *document)
{
    put(document, (hakuban_token){.kind = HAKUBAN_TOKEN_END});
}

/* A state with the next automatic version on a channel: what is on the wire most. */
static void make_header(codec_document *document)
{
    put_open(document, HAKUBAN_TOKEN_ARRAY, 3);
    put_int(document, 80);
    put_int(document, 1000);
    put_int(document, 123456789);
    put_end(document);
}

/* About 110 bytes of JSON. */
static void put_reading(codec_document *document, unsigned number)
{
    static const char *const names[] = {"boiler", "pump", "outdoor temperature", "gate \"north\""};
    put_open(document, HAKUBAN_TOKEN_MAP, 7);
    put_text(document, "id");
    put_int(document, 10000 + (int64_t)number);
    put_text(document, "name");
    put_text(document, names[number % 4]);
    put_text(document, "value");
    put(document, (hakuban_token){.kind = HAKUBAN_TOKEN_DOUBLE,
                                  .value.real = (number * 7919 % 10000) / 100.0 + 0.005});
    put_text(document, "limits");
    put_open(document, HAKUBAN_TOKEN_ARRAY, 2);
    put_int(document, -(int64_t)number);
    put_int(document, 100);
    put_end(document);
    put_text(document, "ok");
    put(document, (hakuban_token){.kind = HAKUBAN_TOKEN_BOOL, .value.boolean = number % 3 != 0});
    put_text(document, "note");
    put(document, (hakuban_token){.kind = HAKUBAN_TOKEN_NULL});
    put_text(document, "at");
    put_int(document, 1700000000 + (int64_t)number * 37);
    put_end(document);
}

static void make_readings(codec_document *document, uint32_t count)
{
    put_open(document, HAKUBAN_TOKEN_ARRAY, count);
    for (uint32_t i = 0; i < count; i++) {
        put_reading(document, i);
    }
    put_end(document);
}

/* -- Ours -- */

typedef struct codec_run {
    const codec_document *document;
    const hakuban_serializer_ops *ops;
    hakuban_writer writer;
    hakuban_slice encoded;
    const codec_bare *bare;
    void *bare_self;
} codec_run;

static void write_ours(codec_run *run)
{
    hakuban_writer_reset(&run->writer);
    for (size_t i = 0; i < run->document->count; i++) {
        (void)hakuban_write(&run->writer, &run->document->tokens[i]);
    }
    bench_check(hakuban_writer_status(&run->writer), "write");
}

static bool is_same(const hakuban_token *a, const hakuban_token *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case HAKUBAN_TOKEN_BOOL:
        return a->value.boolean == b->value.boolean;
    case HAKUBAN_TOKEN_INT:
        return a->value.sint == b->value.sint;
    case HAKUBAN_TOKEN_DOUBLE:
        return memcmp(&a->value.real, &b->value.real, sizeof(double)) == 0;
    case HAKUBAN_TOKEN_STRING:
        return a->value.text.bytes == b->value.text.bytes &&
               memcmp(a->value.text.data, b->value.text.data, a->value.text.bytes) == 0;
    default:
        return true;
    }
}

static void read_ours(codec_run *run, bool verify)
{
    hakuban_reader reader;
    hakuban_token token;
    hakuban_reader_init(&reader, run->ops, NULL, run->encoded.data, run->encoded.bytes,
                        UINT32_MAX - 1);
    for (size_t i = 0; i < run->document->count; i++) {
        if (hakuban_read(&reader, &token) < 0) {
            bench_die("read: %s", reader.error.text);
        }
        if (verify && !is_same(&token, &run->document->tokens[i])) {
            bench_die("read: another token than was written");
        }
    }
    hakuban_reader_done(&reader);
}

/* -- Times -- */

enum { WRITE, READ, BARE_WRITE, BARE_READ, METHODS };

static void run_once(codec_run *run, int method)
{
    switch (method) {
    case WRITE:
        write_ours(run);
        break;
    case READ:
        read_ours(run, false);
        break;
    case BARE_WRITE:
        if (run->bare->write(run->bare_self) == 0) {
            bench_die("%s does not write", run->bare->name);
        }
        break;
    default:
        if (!run->bare->read(run->bare_self, run->encoded)) {
            bench_die("%s does not read what we wrote", run->bare->name);
        }
    }
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double time_ns(codec_run *run, int method, unsigned repeats)
{
    double begin = cpu_ns();
    for (unsigned i = 0; i < repeats; i++) {
        run_once(run, method);
    }
    return (cpu_ns() - begin) / repeats;
}

typedef struct codec_row {
    const char *serializer, *document, *bare;
    size_t bytes, bare_bytes;
    double ns[METHODS]; /* the bare ones only where there is a bare one */
} codec_row;

static void measure(codec_run *run, unsigned rounds, codec_row *row)
{
    double samples[METHODS][ROUNDS_MAX];
    unsigned repeats[METHODS];
    int methods = run->bare ? METHODS : BARE_WRITE;
    for (int method = 0; method < methods; method++) {
        double once = time_ns(run, method, 3);
        repeats[method] = 1 + (unsigned)(SAMPLE_NS / (once > 10 ? once : 10));
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (int method = 0; method < methods; method++) {
            samples[method][round] = time_ns(run, method, repeats[method]);
        }
    }
    for (int method = 0; method < methods; method++) {
        row->ns[method] = bench_percentile(samples[method], rounds, 50);
    }
}

static codec_row measure_one(const hakuban_serializer_ops *ops, const codec_document *document,
                             unsigned rounds)
{
    codec_run run = {.document = document, .ops = ops};
    codec_row row = {.serializer = ops->name, .document = document->name};
    if (strcmp(ops->name, "json") == 0) {
        run.bare = codec_bare_jansson();
    } else if (strcmp(ops->name, "msgpack") == 0) {
        run.bare = codec_bare_msgpack();
    }
    hakuban_writer_init(&run.writer, ops, NULL, DOCUMENT_BYTES_MAX);
    write_ours(&run);
    row.bytes = run.writer.bytes;
    /* The writer goes on writing: what is read is a copy. */
    void *copy = malloc(row.bytes);
    if (!copy) {
        bench_die("out of memory");
    }
    memcpy(copy, run.writer.data, row.bytes);
    run.encoded = (hakuban_slice){copy, row.bytes};
    read_ours(&run, true);
    if (run.bare) {
        row.bare = run.bare->name;
        run.bare_self = run.bare->prepare(document, run.encoded);
        row.bare_bytes = run.bare->write(run.bare_self);
    }
    measure(&run, rounds, &row);
    if (run.bare) {
        run.bare->done(run.bare_self);
    }
    hakuban_writer_done(&run.writer);
    free(copy);
    return row;
}

/* -- Report -- */

/* Bytes per nanosecond are GB/s. Each one's own bytes: numbers may be written differently. */
static double mb_per_s(const codec_row *row, int method)
{
    size_t bytes = method == BARE_WRITE ? row->bare_bytes : row->bytes;
    return (double)bytes / row->ns[method] * 1000;
}

static void print_row(const codec_row *row)
{
    printf("%-8s %-7s %8zu |%11.1f %9.1f %11.1f %9.1f |", row->serializer, row->document,
           row->bytes, row->ns[WRITE], mb_per_s(row, WRITE), row->ns[READ], mb_per_s(row, READ));
    if (row->bare) {
        printf(" %-9s %11.1f %9.1f %11.1f %9.1f |%6.2f %6.2f\n", row->bare, row->ns[BARE_WRITE],
               mb_per_s(row, BARE_WRITE), row->ns[BARE_READ], mb_per_s(row, BARE_READ),
               mb_per_s(row, WRITE) / mb_per_s(row, BARE_WRITE),
               mb_per_s(row, READ) / mb_per_s(row, BARE_READ));
    } else {
        puts(" -");
    }
    fflush(stdout);
}

static void print_json(const codec_row *rows, size_t count, unsigned rounds)
{
    printf("{\"command\":\"codec\",\"rounds\":%u,\"rows\":[", rounds);
    for (size_t i = 0; i < count; i++) {
        const codec_row *row = &rows[i];
        printf("%s{\"serializer\":\"%s\",\"document\":\"%s\",\"bytes\":%zu,\"write_ns\":%.1f,"
               "\"write_mb_s\":%.1f,\"read_ns\":%.1f,\"read_mb_s\":%.1f",
               i ? "," : "", row->serializer, row->document, row->bytes, row->ns[WRITE],
               mb_per_s(row, WRITE), row->ns[READ], mb_per_s(row, READ));
        if (row->bare) {
            printf(",\"bare\":\"%s\",\"bare_write_ns\":%.1f,\"bare_write_mb_s\":%.1f,"
                   "\"bare_read_ns\":%.1f,\"bare_read_mb_s\":%.1f,\"write_ratio\":%.4f,"
                   "\"read_ratio\":%.4f}",
                   row->bare, row->ns[BARE_WRITE], mb_per_s(row, BARE_WRITE), row->ns[BARE_READ],
                   mb_per_s(row, BARE_READ), mb_per_s(row, WRITE) / mb_per_s(row, BARE_WRITE),
                   mb_per_s(row, READ) / mb_per_s(row, BARE_READ));
        } else {
            printf(",\"bare\":null}");
        }
    }
    puts("]}");
}

static int wrong_usage(const char *what)
{
    fprintf(stderr, "hakuban-bench codec: %s\n%s", what, usage);
    return EXIT_USAGE;
}

static void run_all(const bench_features *serializers, unsigned rounds, bool json)
{
    static codec_row rows[ROWS_MAX];
    codec_document documents[DOCUMENTS] = {{.name = "header"}, {.name = "1K"}, {.name = "1M"}};
    hakuban_exchange_options options = {.size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_exchange *exchange;
    size_t count = 0;
    make_header(&documents[0]);
    make_readings(&documents[1], 9);
    make_readings(&documents[2], 9400);
    bench_check(hakuban_exchange_new(&options, &exchange), "exchange");
    printf("codec: medians of %u rounds, CPU time; ratio: our MB/s over the other's\n", rounds);
    printf("%-8s %-7s %8s |%11s %9s %11s %9s | %-9s %11s %9s %11s %9s |%6s %6s\n", "", "", "bytes",
           "write ns", "MB/s", "read ns", "MB/s", "beside", "write ns", "MB/s", "read ns", "MB/s",
           "write", "read");
    for (size_t s = 0; s < serializers->count; s++) {
        const hakuban_serializer_ops *ops =
            hakuban_exchange_serializer(exchange, serializers->names[s]);
        for (size_t d = 0; d < DOCUMENTS; d++) {
            rows[count] = measure_one(ops, &documents[d], rounds);
            print_row(&rows[count++]);
        }
    }
    if (json) {
        print_json(rows, count, rounds);
    }
    for (size_t d = 0; d < DOCUMENTS; d++) {
        free(documents[d].tokens);
    }
    hakuban_exchange_free(exchange);
}

int bench_codec(int argc, char **argv)
{
    bench_features serializers;
    unsigned long rounds = 7;
    bool json = false;
    bench_features_of("serializers", &serializers);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && value) {
            char *end;
            rounds = strtoul(argv[++i], &end, 10);
            if (*end || rounds < 1 || rounds > ROUNDS_MAX) {
                return wrong_usage("--rounds takes a number from 1 to 101");
            }
        } else if (strcmp(argv[i], "--serializer") == 0 && value) {
            i++;
            if (!bench_features_have(&serializers, value, strlen(value))) {
                return wrong_usage("that serializer was not built in");
            }
            serializers.count = 1;
            snprintf(serializers.names[0], sizeof(serializers.names[0]), "%s", value);
        } else {
            return wrong_usage("unknown or incomplete option");
        }
    }
    run_all(&serializers, (unsigned)rounds, json);
    return 0;
}
