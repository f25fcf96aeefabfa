/* Bytes and time of deltas between made-up JSON states, beside zstd with the old state as prefix,
 * zstd without it, and memcmp.
 *
 * Everything is measured in turns within one run, because absolute times on shared machines mean
 * little. The sets are those of the 85 cases in docs/performance.md: s.SIZE.CASE. Nothing here runs
 * an exchange. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zstd.h>

#include "wire/delta.h"

#include "delta.h"

extern const hakuban_compressor_ops hakuban_compressor_zstd;

enum { EXIT_USAGE = 2, ROUNDS_MAX = 101, RECORD_TEXT_MAX = 128 };

/* -- States -- */

typedef struct record {
    unsigned id, name, value, temperature, time;
    bool ok;
} record;

typedef struct bench_table {
    record *records;
    size_t count;
} bench_table;

typedef struct bench_text {
    char *data;
    size_t bytes;
} bench_text;

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static unsigned random_between(unsigned from, unsigned to)
{
    return from + (unsigned)(random_next() % (to - from + 1));
}

static void *need(void *memory)
{
    if (!memory) {
        fputs("hakuban-bench: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static record random_record(unsigned id)
{
    return (record){.id = id,
                    .name = random_between(0, 9999),
                    .value = random_between(10000, 99999),
                    .temperature = random_between(1000, 9999),
                    .time = random_between(1700000000, 1799999999),
                    .ok = random_next() % 4 != 0};
}

static bench_text print_table(bench_table table, bool tiny)
{
    bench_text text = {need(malloc(table.count * RECORD_TEXT_MAX + 3)), 0};
    char *out = text.data;
    if (tiny) {
        const record *r = table.records;
        out += snprintf(out, RECORD_TEXT_MAX, "{\"id\":%u,\"value\":%u,\"name\":\"unit-%04u\"}",
                        r->id % 100, r->value, r->name);
    } else {
        *out++ = '[';
        for (size_t i = 0; i < table.count; i++) {
            const record *r = &table.records[i];
            out += snprintf(
                out, RECORD_TEXT_MAX,
                "%s{\"id\":%u,\"name\":\"unit-%04u\",\"value\":%u,\"temp\":%u.%02u,\"ok\":%s,"
                "\"at\":%u}",
                i ? "," : "", r->id, r->name, r->value, r->temperature / 100, r->temperature % 100,
                r->ok ? "true" : "false", r->time);
        }
        *out++ = ']';
    }
    text.bytes = (size_t)(out - text.data);
    return text;
}

/* -- Edits -- */

static void change_number(record *r, bool length_too)
{
    static const unsigned limits[] = {9, 99, 999, 9999, 99999, 999999, 9999999};
    r->value =
        length_too ? random_between(0, limits[random_next() % 7]) : random_between(10000, 99999);
}

static void insert_at(bench_table *table, size_t place, record r)
{
    table->records = need(realloc(table->records, (table->count + 1) * sizeof(r)));
    memmove(table->records + place + 1, table->records + place, (table->count - place) * sizeof(r));
    table->records[place] = r;
    table->count++;
}

static record remove_at(bench_table *table, size_t place)
{
    record r = table->records[place];
    table->count--;
    memmove(table->records + place, table->records + place + 1, (table->count - place) * sizeof(r));
    return r;
}

static size_t random_place(size_t count)
{
    return (size_t)(random_next() % count);
}

static void rotate(bench_table *table, size_t by)
{
    record *rotated = need(malloc(table->count * sizeof(*rotated)));
    for (size_t i = 0; i < table->count; i++) {
        rotated[i] = table->records[(i + by) % table->count];
    }
    free(table->records);
    table->records = rotated;
}

static bool edit(bench_table *table, const char *name)
{
    size_t count = table->count;
    bool length_too = name[strlen(name) - 1] == 'v';
    if (strncmp(name, "allnum", 6) == 0) {
        for (size_t i = 0; i < count; i++) {
            change_number(&table->records[i], length_too);
        }
    } else if (name[0] == 'n') {
        for (long left = strtol(name + 1, NULL, 10); left > 0; left--) {
            change_number(&table->records[random_place(count)], length_too);
        }
    } else if (strcmp(name, "insF") == 0) {
        insert_at(table, 0, random_record(random_between(100000, 999999)));
    } else if (strcmp(name, "insM") == 0) {
        insert_at(table, count / 2, random_record(random_between(100000, 999999)));
    } else if (strcmp(name, "ins3") == 0) {
        for (int i = 0; i < 3; i++) {
            insert_at(table, random_place(table->count),
                      random_record(random_between(100000, 999999)));
        }
    } else if (strcmp(name, "remF") == 0) {
        (void)remove_at(table, 0);
    } else if (strcmp(name, "remM") == 0) {
        (void)remove_at(table, count / 2);
    } else if (strcmp(name, "move") == 0) {
        for (int i = 0; i < 3; i++) {
            record r = remove_at(table, random_place(table->count));
            insert_at(table, random_place(table->count), r);
        }
    } else if (strcmp(name, "rot1") == 0) {
        rotate(table, 1);
    } else if (strcmp(name, "rotH") == 0) {
        rotate(table, count / 2);
    } else if (strcmp(name, "shuf") == 0) {
        for (size_t i = count; i > 1; i--) {
            size_t j = random_place(i);
            record r = table->records[i - 1];
            table->records[i - 1] = table->records[j];
            table->records[j] = r;
        }
    } else {
        return strcmp(name, "same") == 0;
    }
    return true;
}

static const struct {
    const char *name;
    size_t bytes, pairs;
    const char *cases;
} sizes[] = {
    {"64", 64, 20, "n1 n1v"},
    {"1K", 1024, 20,
     "allnum allnumv ins3 insF insM move n1 n10 n10v n1v n3 n3v remF remM rot1 rotH shuf"},
    {"16K", 16 << 10, 12,
     "allnum allnumv ins3 insF insM move n1 n10 n100 n100v n10v n1v n3 n3v remF remM rot1 rotH "
     "shuf"},
    {"256K", 256 << 10, 4,
     "allnum allnumv ins3 insF insM move n1 n10 n100 n100v n10v n1v n3 n3v remF remM rot1 rotH "
     "shuf"},
    {"1M", 1 << 20, 2,
     "allnum allnumv ins3 insF insM move n1 n10 n100 n100v n10v n1v n3 n3v remF remM rot1 rotH "
     "shuf"},
    {"8M", 8 << 20, 1, "allnum ins3 insM n1 n10 n100 n100v n10v rotH"},
};

/* -- What is measured -- */

enum { OURS, PREFIX, WHOLE, MEMCMP, OURS_APPLY, PREFIX_APPLY, MEMCPY, METHODS };

typedef struct runner {
    hkb_delta_context *context;
    hkb_delta_compressor compressor;
    ZSTD_CCtx *prefix, *whole;
    ZSTD_DCtx *decompress;
    bench_text old, new_, old_copy;
    char *packed, *out;
    size_t packed_capacity, prefix_bytes, whole_bytes;
    hakuban_bytes *delta;
} runner;

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "hakuban-bench: delta: %s failed\n", what);
        exit(1);
    }
}

static ZSTD_CCtx *new_zstd(int level)
{
    ZSTD_CCtx *context = need(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
    return context;
}

static size_t compress_with_prefix(runner *r)
{
    int log = 10;
    while ((r->old.bytes + r->new_.bytes) >> log) {
        log++;
    }
    ZSTD_CCtx_setParameter(r->prefix, ZSTD_c_windowLog, log);
    ZSTD_CCtx_refPrefix(r->prefix, r->old.data, r->old.bytes);
    return ZSTD_compress2(r->prefix, r->packed, r->packed_capacity, r->new_.data, r->new_.bytes);
}

/* The compiler removes a call of memcmp() whose result is not used. */
static volatile int sink;

static void run_once(runner *r, int method)
{
    hakuban_slice old = {r->old.data, r->old.bytes}, new_ = {r->new_.data, r->new_.bytes};
    size_t bytes;
    hakuban_bytes *delta;
    switch (method) {
    case OURS:
        check(hkb_delta_make(r->context, NULL, r->compressor, old, new_, &delta) >= 0, "make");
        hakuban_bytes_unref(delta);
        break;
    case PREFIX:
        bytes = compress_with_prefix(r);
        check(bytes == r->prefix_bytes, "zstd with prefix");
        break;
    case WHOLE:
        bytes = ZSTD_compress2(r->whole, r->out, r->packed_capacity, new_.data, new_.bytes);
        check(bytes == r->whole_bytes, "zstd");
        break;
    case MEMCMP:
        sink = memcmp(r->old.data, r->old_copy.data, r->old.bytes);
        break;
    case OURS_APPLY:
        check(hkb_delta_size(hakuban_bytes_slice(r->delta), old.bytes, SIZE_MAX, &bytes) ==
                      HAKUBAN_OK &&
                  hkb_delta_apply(r->context, r->compressor, old, hakuban_bytes_slice(r->delta),
                                  (uint8_t *)r->out, bytes) >= 0,
              "apply");
        break;
    case PREFIX_APPLY:
        ZSTD_DCtx_refPrefix(r->decompress, old.data, old.bytes);
        bytes = ZSTD_decompressDCtx(r->decompress, r->out, new_.bytes, r->packed, r->prefix_bytes);
        check(bytes == new_.bytes, "zstd decompression");
        break;
    default:
        memcpy(r->out, r->old.data, r->old.bytes);
        sink = r->out[r->old.bytes / 2];
    }
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

typedef struct bench_figures {
    double us[METHODS];
    double ours_bytes, prefix_bytes, whole_bytes, new_bytes;
} bench_figures;

static void verify(runner *r)
{
    memset(r->out, 0, r->new_.bytes);
    run_once(r, OURS_APPLY);
    check(memcmp(r->out, r->new_.data, r->new_.bytes) == 0, "round trip");
}

/* Adds the medians of one pair to figures. */
static void measure_pair(runner *r, unsigned rounds, bench_figures *figures)
{
    static double samples[METHODS][ROUNDS_MAX];
    static unsigned repeats[METHODS];
    hakuban_slice old = {r->old.data, r->old.bytes}, new_ = {r->new_.data, r->new_.bytes};
    check(hkb_delta_make(r->context, NULL, r->compressor, old, new_, &r->delta) >= 0, "make");
    verify(r);
    r->whole_bytes = ZSTD_compress2(r->whole, r->out, r->packed_capacity, new_.data, new_.bytes);
    r->prefix_bytes = compress_with_prefix(r);
    check(!ZSTD_isError(r->whole_bytes) && !ZSTD_isError(r->prefix_bytes), "zstd");

    for (int method = 0; method < METHODS; method++) {
        /* So often that the clock's own time doesn't show. */
        run_once(r, method);
        double begin = now_us();
        run_once(r, method);
        double once = now_us() - begin;
        repeats[method] = once > 20 ? 1 : (unsigned)(20 / (once > 0.01 ? once : 0.01));
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (int method = 0; method < METHODS; method++) {
            /* Each finds its memory in the cache, not in the state in which another one left it. */
            run_once(r, method);
            double begin = now_us();
            for (unsigned i = 0; i < repeats[method]; i++) {
                run_once(r, method);
            }
            samples[method][round] = (now_us() - begin) / repeats[method];
        }
    }
    for (int method = 0; method < METHODS; method++) {
        figures->us[method] += median(samples[method], rounds);
    }
    figures->ours_bytes += (double)hakuban_bytes_slice(r->delta).bytes;
    figures->prefix_bytes += (double)r->prefix_bytes;
    figures->whole_bytes += (double)r->whole_bytes;
    figures->new_bytes += (double)r->new_.bytes;
    r->delta = hakuban_bytes_unref(r->delta);
}

static void measure_set(runner *r, size_t size_index, const char *name, unsigned rounds,
                        bench_figures *ret)
{
    memset(ret, 0, sizeof(*ret));
    random_state = UINT64_C(0x9e3779b97f4a7c15) + size_index;
    for (const char *c = name; *c; c++) {
        random_state = random_state * 31 + (unsigned char)*c;
    }
    size_t pairs = sizes[size_index].pairs;
    for (size_t i = 0; i < pairs; i++) {
        bench_table table = {NULL, 0};
        bool tiny = sizes[size_index].bytes == 64;
        size_t count = tiny ? 1 : sizes[size_index].bytes / 86;
        table.records = need(malloc(count * sizeof(record)));
        for (; table.count < count; table.count++) {
            table.records[table.count] = random_record(10000 + (unsigned)table.count);
        }
        r->old = print_table(table, tiny);
        r->old_copy = print_table(table, tiny);
        check(edit(&table, name), name);
        r->new_ = print_table(table, tiny);
        r->packed_capacity = ZSTD_compressBound(r->new_.bytes);
        r->packed = need(malloc(r->packed_capacity));
        r->out = need(malloc(r->packed_capacity + r->old.bytes));
        measure_pair(r, rounds, ret);
        free(r->old.data);
        free(r->old_copy.data);
        free(r->new_.data);
        free(r->packed);
        free(r->out);
        free(table.records);
    }
    for (int method = 0; method < METHODS; method++) {
        ret->us[method] /= (double)pairs;
    }
    ret->ours_bytes /= (double)pairs;
    ret->prefix_bytes /= (double)pairs;
    ret->whole_bytes /= (double)pairs;
    ret->new_bytes /= (double)pairs;
}

/* -- Report -- */

/* Products of ratios, for geometric means. The strict ratio of bytes forgives zstd its 4 bytes of
 * magic number. */
typedef struct summary {
    size_t sets;
    double bytes, strict_bytes, encode, apply, encode_memcmp, whole_bytes;
    double us[METHODS];
} summary;

static void print_set(const char *size, const char *name, const bench_figures *f, summary *sum)
{
    double strict = f->ours_bytes / (f->prefix_bytes - 4);
    printf("s.%-4s %-8s %9.0f |%9.1f %9.1f %9.1f |%9.3f %9.2f %9.2f %8.3f |%8.3f %8.3f %8.3f "
           "|%6.3f %6.3f %7.2f %6.2f %5.2f\n",
           size, name, f->new_bytes, f->ours_bytes, f->prefix_bytes, f->whole_bytes, f->us[OURS],
           f->us[PREFIX], f->us[WHOLE], f->us[MEMCMP], f->us[OURS_APPLY], f->us[PREFIX_APPLY],
           f->us[MEMCPY], strict, f->us[OURS] / f->us[PREFIX], f->us[OURS] / f->us[MEMCMP],
           f->us[OURS_APPLY] / f->us[PREFIX_APPLY], f->us[OURS_APPLY] / f->us[MEMCPY]);
    fflush(stdout);
    sum->sets++;
    sum->bytes += log(f->ours_bytes / f->prefix_bytes);
    sum->strict_bytes += log(strict);
    sum->whole_bytes += log(f->whole_bytes / f->prefix_bytes);
    sum->encode += log(f->us[OURS] / f->us[PREFIX]);
    sum->apply += log(f->us[OURS_APPLY] / f->us[PREFIX_APPLY]);
    sum->encode_memcmp += log(f->us[OURS] / f->us[MEMCMP]);
    for (int method = 0; method < METHODS; method++) {
        sum->us[method] += f->us[method];
    }
}

static double geomean(double logs, const summary *sum)
{
    return sum->sets ? exp(logs / (double)sum->sets) : 0;
}

static void print_summary(const summary *sum)
{
    printf("geometric means of %zu sets, ours to zstd-3 with prefix: bytes %.3f (%.3f without "
           "zstd's magic number), encode %.3f, apply %.3f; encode to memcmp %.2f\n",
           sum->sets, geomean(sum->bytes, sum), geomean(sum->strict_bytes, sum),
           geomean(sum->encode, sum), geomean(sum->apply, sum), geomean(sum->encode_memcmp, sum));
}

static void print_json(const summary *sum, const char *size, const char *name, unsigned rounds)
{
    printf("{\"command\":\"delta\",\"size\":\"%s\",\"case\":\"%s\",\"rounds\":%u,\"sets\":%zu,"
           "\"hakuban\":{\"encode_us\":%.3f,\"apply_us\":%.3f},"
           "\"zstd_prefix\":{\"encode_us\":%.3f,\"apply_us\":%.3f},"
           "\"memcmp_us\":%.3f,\"ratio_bytes\":%.4f,\"ratio_apply\":%.4f,\"ratio_memcmp\":%.4f,"
           "\"ratio_of\":\"encode_us\",\"ratio\":%.4f}\n",
           size ? size : "all", name ? name : "all", rounds, sum->sets, sum->us[OURS],
           sum->us[OURS_APPLY], sum->us[PREFIX], sum->us[PREFIX_APPLY], sum->us[MEMCMP],
           geomean(sum->strict_bytes, sum), geomean(sum->apply, sum),
           geomean(sum->encode_memcmp, sum), geomean(sum->encode, sum));
}

static bool is_known_size(const char *name)
{
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (strcmp(name, sizes[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_known_case(const char *name)
{
    bench_table table = {need(malloc(4 * sizeof(record))), 0};
    while (table.count < 4) {
        table.records[table.count++] = random_record(1);
    }
    random_state = 1;
    bool known = *name && edit(&table, name);
    free(table.records);
    return known;
}

static const char usage[] =
    "hakuban-bench delta [--size SIZE] [--case CASE] [--rounds 1..101] [--json]\n"
    "sizes: 64 1K 16K 256K 1M 8M\n"
    "cases: n1 n3 n10 n100 (numbers; with v behind, their lengths too), allnum allnumv, insF insM\n"
    "       ins3 remF remM (records in and out), move rot1 rotH shuf, same";

int bench_delta(int argc, char **argv)
{
    const char *size = NULL, *name = NULL;
    unsigned long rounds = 7;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            puts(usage);
            return 0;
        } else if (strcmp(argv[i], "--size") == 0 && value) {
            size = argv[++i];
        } else if (strcmp(argv[i], "--case") == 0 && value) {
            name = argv[++i];
        } else if (strcmp(argv[i], "--rounds") == 0 && value) {
            rounds = strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "hakuban-bench delta: unknown or incomplete option: %s\n", argv[i]);
            return EXIT_USAGE;
        }
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || (size && !is_known_size(size)) ||
        (name && !is_known_case(name))) {
        fprintf(stderr, "%s\n", usage);
        return EXIT_USAGE;
    }
    runner r = {.prefix = new_zstd(3), .whole = new_zstd(1), .decompress = need(ZSTD_createDCtx())};
    r.compressor.ops = &hakuban_compressor_zstd;
    r.compressor.self = need(calloc(1, hakuban_compressor_zstd.self_bytes));
    check(hkb_delta_context_new(NULL, &r.context) >= 0, "context");

    summary sum = {0};
    printf("%-15s %9s |%9s %9s %9s |%9s %9s %9s %8s |%8s %8s %8s |%6s %6s %7s %6s %5s\n", "set",
           "bytes", "ours", "prefix", "whole", "ours us", "prefix", "whole", "memcmp", "apply",
           "prefix", "memcpy", "b/B3", "t/B3", "t/cmp", "ap/B3", "/cpy");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        if (size && strcmp(size, sizes[s].name) != 0) {
            continue;
        }
        char cases[256];
        snprintf(cases, sizeof(cases), "%s", name ? name : sizes[s].cases);
        char *rest = NULL;
        for (char *c = strtok_r(cases, " ", &rest); c; c = strtok_r(NULL, " ", &rest)) {
            bench_figures f;
            measure_set(&r, s, c, (unsigned)rounds, &f);
            print_set(sizes[s].name, c, &f, &sum);
        }
    }
    print_summary(&sum);
    if (json) {
        print_json(&sum, size, name, (unsigned)rounds);
    }
    hkb_delta_context_free(r.context);
    hakuban_compressor_zstd.done(r.compressor.self);
    free(r.compressor.self);
    ZSTD_freeCCtx(r.prefix);
    ZSTD_freeCCtx(r.whole);
    ZSTD_freeDCtx(r.decompress);
    return 0;
}

#ifdef BENCH_DELTA_MAIN
int main(int argc, char **argv)
{
    return bench_delta(argc, argv);
}
#endif
