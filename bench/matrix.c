/* matrix: ping and flood, short, over every transport, serializer and compressor that was built in,
 * each beside the bare relay of its transport at that moment. One table. */
#include <math.h>
#include <string.h>

#include "bench.h"

typedef struct matrix_row {
    const char *transport, *serializer, *compressor;
    double ping_per_s, ping_raw, ping_p50_us, flood_per_s, flood_raw, wire_bytes, cpu_us, skipped;
} matrix_row;

static matrix_row measure(const bench_options *options)
{
    static bench_report ping, flood;
    bench_ping_measure(&ping, options);
    bench_flood_measure(&flood, options);
    return (matrix_row){
        .transport = options->transport,
        .serializer = options->serializer,
        .compressor = options->compressor,
        .ping_per_s = bench_report_median(&ping, "round_trips_per_s", false),
        .ping_raw = bench_report_median(&ping, "round_trips_per_s", true),
        .ping_p50_us = bench_report_median(&ping, "p50_us", false),
        .flood_per_s = bench_report_median(&flood, "states_per_s", false),
        .flood_raw = bench_report_median(&flood, "states_per_s", true),
        .wire_bytes = bench_report_median(&flood, "wire_bytes", false),
        .cpu_us = bench_report_median(&flood, "router_cpu_us", false),
        .skipped = bench_report_median(&flood, "skipped", false),
    };
}

static void print_head(const bench_options *options)
{
    printf("matrix: %llu runs, %llu bytes; ping %llu round trips; flood %llu objects, %llu "
           "observers, %.10g s; CPUs %s; medians; raw: the bare relay\n",
           (unsigned long long)options->runs, (unsigned long long)options->bytes,
           (unsigned long long)options->count, (unsigned long long)options->objects,
           (unsigned long long)options->observers, options->seconds,
           options->cpus ? options->cpus : "all");
    printf("%-8s %-10s %-10s |%9s %9s %6s %9s |%11s %11s %6s %9s %9s\n", "", "", "", "ping /s",
           "raw", "ratio", "p50 us", "flood /s", "raw", "ratio", "bytes", "CPU us");
}

/* A figure that was not measured is a dash. */
static void print_cell(int width, int decimals, double value)
{
    if (isnan(value)) {
        printf(" %*s", width, "-");
    } else {
        printf(" %*.*f", width, decimals, value);
    }
}

static void print_row(const matrix_row *row)
{
    printf("%-8s %-10s %-10s |", row->transport, row->serializer, row->compressor);
    print_cell(8, 0, row->ping_per_s);
    print_cell(9, 0, row->ping_raw);
    print_cell(6, 2, row->ping_per_s / row->ping_raw);
    print_cell(9, 1, row->ping_p50_us);
    printf(" |");
    print_cell(10, 0, row->flood_per_s);
    print_cell(11, 0, row->flood_raw);
    print_cell(6, 2, row->flood_per_s / row->flood_raw);
    print_cell(9, 1, row->wire_bytes);
    print_cell(9, 3, row->cpu_us);
    putchar('\n');
    fflush(stdout);
}

static void json_figure(const char *key, double value, int decimals)
{
    if (isnan(value)) {
        printf(",\"%s\":null", key);
    } else {
        printf(",\"%s\":%.*f", key, decimals, value);
    }
}

static void json_row(const matrix_row *row, bool first)
{
    printf("%s{\"transport\":\"%s\",\"serializer\":\"%s\",\"compressor\":\"%s\"", first ? "" : ",",
           row->transport, row->serializer, row->compressor);
    json_figure("ping_per_s", row->ping_per_s, 0);
    json_figure("ping_raw_per_s", row->ping_raw, 0);
    json_figure("ping_ratio", row->ping_per_s / row->ping_raw, 4);
    json_figure("ping_p50_us", row->ping_p50_us, 1);
    json_figure("flood_per_s", row->flood_per_s, 0);
    json_figure("flood_raw_per_s", row->flood_raw, 0);
    json_figure("flood_ratio", row->flood_per_s / row->flood_raw, 4);
    json_figure("wire_bytes", row->wire_bytes, 1);
    json_figure("router_cpu_us", row->cpu_us, 3);
    json_figure("skipped", row->skipped, 0);
    putchar('}');
}

static void print_json(const bench_options *options, const matrix_row *rows, size_t count)
{
    printf("{\"command\":\"matrix\",\"runs\":%llu,\"bytes\":%llu,\"count\":%llu,\"objects\":%llu,"
           "\"observers\":%llu,\"seconds\":%.10g,\"rows\":[",
           (unsigned long long)options->runs, (unsigned long long)options->bytes,
           (unsigned long long)options->count, (unsigned long long)options->objects,
           (unsigned long long)options->observers, options->seconds);
    for (size_t i = 0; i < count; i++) {
        json_row(&rows[i], i == 0);
    }
    puts("]}");
}

/* All of a kind, or the one that was asked for. */
static void choices(const char *kind, const char *asked, bench_features *ret)
{
    bench_features_of(kind, ret);
    if (asked) {
        ret->count = 1;
        snprintf(ret->names[0], sizeof(ret->names[0]), "%s", asked);
    }
}

void bench_matrix(const bench_options *options)
{
    static bench_features transports, serializers, compressors;
    static matrix_row rows[BENCH_FEATURES_MAX * BENCH_FEATURES_MAX * BENCH_FEATURES_MAX];
    bench_options chosen = *options;
    size_t count = 0;
    choices("transports", options->transport, &transports);
    choices("serializers", options->serializer, &serializers);
    choices("compressors", options->compressor, &compressors);
    print_head(options);
    for (size_t t = 0; t < transports.count; t++) {
        for (size_t s = 0; s < serializers.count; s++) {
            for (size_t c = 0; c < compressors.count; c++) {
                chosen.transport = transports.names[t];
                chosen.serializer = serializers.names[s];
                chosen.compressor = compressors.names[c];
                rows[count] = measure(&chosen);
                print_row(&rows[count++]);
            }
        }
    }
    if (options->json) {
        print_json(options, rows, count);
    }
}
