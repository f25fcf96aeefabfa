/* Figures of several runs, their medians, and how people and programs read them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_histogram_add(bench_histogram *histogram, uint64_t ns)
{
    uint64_t us = ns / 1000;
    if (us >= BENCH_HISTOGRAM_BUCKETS) {
        us = BENCH_HISTOGRAM_BUCKETS - 1;
    }
    histogram->buckets[us]++;
    histogram->count++;
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
}

void bench_histogram_merge(bench_histogram *into, const bench_histogram *from)
{
    into->count += from->count;
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

double bench_histogram_percentile_us(const bench_histogram *histogram, double percent)
{
    uint64_t rank = (uint64_t)ceil((double)histogram->count * percent / 100), below = 0;
    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        below += histogram->buckets[i];
        if (below >= rank) {
            return (double)i + 0.5;
        }
    }
    return 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double bench_percentile(double *values, size_t count, double percent)
{
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof(*values), compare_doubles);
    size_t rank = (size_t)ceil((double)count * percent / 100);
    return values[rank > 0 ? rank - 1 : 0];
}

static double median(const double *values, unsigned count)
{
    double sorted[BENCH_RUNS_MAX];
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare_doubles);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void bench_report_init(bench_report *report, const bench_options *options, const char *ratio_key)
{
    memset(report, 0, sizeof(*report));
    report->options = options;
    report->ratio_key = ratio_key;
    report->side_keys[0] = "hakuban";
    report->side_keys[1] = "raw";
    report->side_titles[0] = "hakuban";
    report->side_titles[1] = "raw relay";
    bench_report_parameter(report, "runs", (double)options->runs);
}

void bench_report_parameter(bench_report *report, const char *key, double value)
{
    report->parameters[report->parameter_count].key = key;
    report->parameters[report->parameter_count++].value = value;
}

static bench_metric *metric_of(bench_report *report, const char *key, const char *title,
                               int decimals)
{
    for (unsigned i = 0; i < report->metric_count; i++) {
        if (strcmp(report->metrics[i].key, key) == 0) {
            return &report->metrics[i];
        }
    }
    bench_metric *metric = &report->metrics[report->metric_count++];
    metric->key = key;
    metric->title = title;
    metric->decimals = decimals;
    return metric;
}

void bench_report_hakuban(bench_report *report, const char *key, const char *title, int decimals,
                          double value)
{
    bench_metric *metric = metric_of(report, key, title, decimals);
    metric->has_hakuban = true;
    metric->hakuban[report->run] = value;
}

void bench_report_raw(bench_report *report, const char *key, const char *title, int decimals,
                      double value)
{
    bench_metric *metric = metric_of(report, key, title, decimals);
    metric->has_raw = true;
    metric->raw[report->run] = value;
}

double bench_report_median(const bench_report *report, const char *key, bool raw)
{
    for (unsigned i = 0; i < report->metric_count; i++) {
        const bench_metric *metric = &report->metrics[i];
        if (strcmp(metric->key, key) == 0 && (raw ? metric->has_raw : metric->has_hakuban)) {
            return median(raw ? metric->raw : metric->hakuban, (unsigned)report->options->runs);
        }
    }
    return NAN;
}

/* False where one side is missing or the divisor is 0. */
static bool ratio_of(const bench_metric *metric, unsigned runs, double *ret)
{
    if (!metric->has_hakuban || !metric->has_raw) {
        return false;
    }
    double raw = median(metric->raw, runs);
    if (raw == 0) {
        return false;
    }
    *ret = median(metric->hakuban, runs) / raw;
    return true;
}

static void print_cell(bool there, double value, int decimals)
{
    if (there) {
        printf(" %14.*f", decimals, value);
    } else {
        printf(" %14s", "-");
    }
}

static void print_table(const bench_report *report)
{
    unsigned runs = (unsigned)report->options->runs;
    const bench_options *options = report->options;
    printf("%s: %s %s %s", options->command, options->transport, options->serializer,
           options->compressor);
    for (unsigned i = 0; i < report->parameter_count; i++) {
        printf(" %s %.10g", report->parameters[i].key, report->parameters[i].value);
    }
    printf(", CPUs %s; medians\n", report->options->cpus ? report->options->cpus : "all");
    printf("%-44s %14s %14s %14s\n", "", report->side_titles[0], report->side_titles[1], "ratio");
    for (unsigned i = 0; i < report->metric_count; i++) {
        const bench_metric *metric = &report->metrics[i];
        double ratio = 0;
        bool has_ratio = ratio_of(metric, runs, &ratio);
        printf("%-44s", metric->title);
        print_cell(metric->has_hakuban, median(metric->hakuban, runs), metric->decimals);
        print_cell(metric->has_raw, median(metric->raw, runs), metric->decimals);
        print_cell(has_ratio, ratio, 3);
        putchar('\n');
    }
}

static void print_medians(const bench_report *report, bool raw)
{
    const char *separator = "";
    for (unsigned i = 0; i < report->metric_count; i++) {
        const bench_metric *metric = &report->metrics[i];
        if (raw ? metric->has_raw : metric->has_hakuban) {
            printf("%s\"%s\":%.*f", separator, metric->key, metric->decimals,
                   median(raw ? metric->raw : metric->hakuban, (unsigned)report->options->runs));
            separator = ",";
        }
    }
}

static void print_json(const bench_report *report)
{
    double ratio = 0;
    bool has_ratio = false;
    printf("{\"command\":\"%s\",\"cpus\":", report->options->command);
    if (report->options->cpus) {
        printf("\"%s\"", report->options->cpus); /* digits, commas and dashes: checked */
    } else {
        printf("null");
    }
    printf(",\"transport\":\"%s\",\"serializer\":\"%s\",\"compressor\":\"%s\"",
           report->options->transport, report->options->serializer, report->options->compressor);
    for (unsigned i = 0; i < report->parameter_count; i++) {
        printf(",\"%s\":%.10g", report->parameters[i].key, report->parameters[i].value);
    }
    printf(",\"%s\":{", report->side_keys[0]);
    print_medians(report, false);
    printf("},\"%s\":{", report->side_keys[1]);
    print_medians(report, true);
    for (unsigned i = 0; i < report->metric_count; i++) {
        if (strcmp(report->metrics[i].key, report->ratio_key) == 0) {
            has_ratio = ratio_of(&report->metrics[i], (unsigned)report->options->runs, &ratio);
        }
    }
    printf("},\"ratio_of\":\"%s\",\"ratio\":", report->ratio_key);
    if (has_ratio) {
        printf("%.4f}\n", ratio);
    } else {
        printf("null}\n");
    }
}

void bench_report_print(bench_report *report)
{
    print_table(report);
    if (report->options->json) {
        print_json(report);
    }
    fflush(stdout);
}

void bench_progress(const bench_report *report, const char *what)
{
    fprintf(stderr, "%s: run %u of %u: %s\n", report->options->command, report->run + 1,
            (unsigned)report->options->runs, what);
}

void bench_run_alone(const bench_options *options, const char *ratio_key, size_t shared_bytes,
                     void (*run)(bench_report *report, void *shared))
{
    bench_report report;
    void *shared = bench_share(shared_bytes);
    if (!options->with_hakuban) {
        bench_die("%s: there is no raw side", options->command);
    }
    bench_report_init(&report, options, ratio_key);
    bench_report_parameter(&report, "objects", (double)options->objects);
    bench_report_parameter(&report, "bytes", (double)options->bytes);
    for (report.run = 0; report.run < options->runs; report.run++) {
        memset(shared, 0, shared_bytes);
        memcpy(shared, &options, sizeof(options));
        bench_progress(&report, "hakuban");
        run(&report, shared);
    }
    bench_report_print(&report);
    bench_unshare(shared, shared_bytes);
}
