/* hakuban-sim: plays random histories of whole networks, and says which promise one of them broke
 * and how to see it again. */
#include "oracle.h"
#include "runner.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage_text[] =
    "usage: hakuban-sim [--seeds N] [--from S] [--minutes M] [--jobs J]\n"
    "       hakuban-sim --seed X [--keep LIST] [--trace] [--shrink]\n"
    "       hakuban-sim --regressions FILE\n"
    "       hakuban-sim --plan X\n"
    "\n"
    "  --seeds N     so many histories (1000; with --minutes: as many as it takes)\n"
    "  --from S      the first one's seed; \"clock\": a fresh one (1)\n"
    "  --minutes M   not longer than this\n"
    "  --jobs J      processes at a time (1)\n"
    "  --seed X      this history only\n"
    "  --keep LIST   only these of its actions, e.g. 0-3,17\n"
    "  --trace       tells what happens, on stderr\n"
    "  --no-shrink   a failure is reported as it is\n"
    "  --shrink      (what is done anyway with many)\n"
    "  --regressions FILE  the seeds in it, one a line: seed, --keep LIST or -, what it found\n"
    "  --plan X      shows what would be played\n"
    "  --canary      one expectation is wrong on purpose: it must be reported\n"
    "\n"
    "Exit codes: 0 all promises held, 1 one was broken, 2 usage.\n";

typedef struct sim_options {
    run_order order;
    bool one, trace, shrink, no_shrink, plan_only;
    const char *keep, *regressions;
} sim_options;

static _Noreturn void fail_usage(const char *what, const char *value)
{
    fprintf(stderr, "hakuban-sim: %s%s\n\n%s", what, value ? value : "", usage_text);
    exit(2);
}

static uint64_t read_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end) {
        fail_usage("not a number: ", text);
    }
    return value;
}

/* -- Which actions -- */

static void read_kept(const sim_plan *plan, const char *list, bool *kept)
{
    for (size_t i = 0; i < PLAN_ACTIONS_MAX; i++) {
        kept[i] = !list;
    }
    while (list && *list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (end == list) {
            fail_usage("not a list of actions: ", list);
        }
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        if (first > last || last >= plan->action_count || (*end && *end != ',')) {
            fail_usage("no such actions: ", list);
        }
        for (; first <= last; first++) {
            kept[first] = true;
        }
        list = *end ? end + 1 : end;
    }
}

static void print_kept(const sim_plan *plan, const bool *kept)
{
    const char *between = "";
    for (size_t i = 0; i < plan->action_count; i++) {
        size_t last = i;
        if (!kept[i]) {
            continue;
        }
        while (last + 1 < plan->action_count && kept[last + 1]) {
            last++;
        }
        printf(last > i ? "%s%zu-%zu" : "%s%zu", between, i, last);
        between = ",";
        i = last;
    }
}

static void print_actions(const sim_plan *plan, const bool *kept)
{
    char text[300];
    for (size_t i = 0; i < plan->action_count; i++) {
        if (!kept[i]) {
            continue;
        }
        plan_describe(plan, &plan->actions[i], text, sizeof(text));
        printf("  %8.3f s  %3zu  %s\n", plan->actions[i].at_ms / 1000.0, i, text);
    }
}

static void print_tree(const sim_plan *plan)
{
    printf("seed %llu: %zu nodes, %zu objects, %zu users, %zu actions in %.3f s%s\n",
           (unsigned long long)plan->seed, plan->node_count, plan->object_count, plan->user_count,
           plan->action_count, plan->duration_ms / 1000.0, plan->calm ? ", no faults" : "");
    for (size_t i = 0; i < plan->node_count; i++) {
        const plan_node *node = &plan->nodes[i];
        if (i) {
            printf("  node %zu below node %d%s%s\n", i, (int)node->parent,
                   node->params[0] ? ", " : "", node->params);
        }
        if (node->link_bytes_max) {
            printf("  node %zu takes %zu bytes for each link below, %zu in all (0: no limit)\n", i,
                   node->link_bytes_max, node->bytes_max);
        }
    }
}

/* -- Reports -- */

static void print_sum(const run_verdict *verdict, double took_s)
{
    const sim_result *sum = &verdict->sum;
    double histories = sum->histories ? sum->histories : 1;
    printf(
        "%u histories, %.2f hours simulated, %.0f histories/s; %llu states sent, %llu delivered; "
        "all right %.2f s after the last fault (at most %.2f s)\n",
        sum->histories, (double)sum->simulated_ns / 3.6e12, sum->histories / took_s,
        (unsigned long long)sum->published, (unsigned long long)sum->delivered,
        (double)sum->converged_ns / 1e9 / histories, (double)verdict->converged_max_ns / 1e9);
    printf("done:");
    for (int kind = 0; kind < PLAN_KIND_COUNT; kind++) {
        printf(" %s %u", plan_kind_names[kind], sum->injected[kind]);
    }
    printf("; outages within the grace %u, over it %u, sessions that went on %u; hand-overs %u; "
           "stuck %u; ended for memory %u\n",
           sum->short_outages, sum->long_outages, sum->sessions_kept, sum->hand_overs,
           sum->isolations, sum->limit_ends);
}

static void print_replay(const sim_plan *plan, const bool *kept)
{
    printf("hakuban-sim --seed %llu", (unsigned long long)plan->seed);
    if (kept) {
        printf(" --keep ");
        print_kept(plan, kept);
    }
    if (sim_canary) {
        printf(" --canary");
    }
    printf(" --trace\n");
}

static void report(const sim_options *options, const sim_plan *plan, const run_verdict *failure,
                   bool *kept)
{
    printf("\nseed %llu: %s\nreplay: ", (unsigned long long)plan->seed, failure->text);
    print_replay(plan, options->keep ? kept : NULL);
    if (options->no_shrink || (options->one && !options->shrink)) {
        return;
    }
    unsigned tries = run_shrink(plan, failure, kept);
    run_verdict shortest;
    run_plan(plan, kept, false, &shortest);
    printf("the shortest schedule found that breaks it (%u tries): %s\n", tries, shortest.text);
    print_actions(plan, kept);
    printf("replay: ");
    print_replay(plan, kept);
}

/* -- The ways to run -- */

static int run_one(const sim_options *options)
{
    static sim_plan plan;
    static bool kept[PLAN_ACTIONS_MAX];
    run_verdict verdict;
    plan_draw(options->order.first, &plan);
    read_kept(&plan, options->keep, kept);
    if (options->plan_only || options->trace) {
        print_tree(&plan);
    }
    if (options->plan_only) {
        print_actions(&plan, kept);
        return 0;
    }
    fflush(stdout);
    double begin_s = run_clock_s();
    run_plan(&plan, kept, options->trace, &verdict);
    print_sum(&verdict, run_clock_s() - begin_s);
    if (verdict.failed) {
        report(options, &plan, &verdict, kept);
    }
    return verdict.failed;
}

static int run_many(const sim_options *options)
{
    static sim_plan plan;
    static bool kept[PLAN_ACTIONS_MAX];
    run_verdict verdict;
    double begin_s = run_clock_s();
    printf("seeds from %llu\n", (unsigned long long)options->order.first);
    run_seeds(&options->order, &verdict);
    print_sum(&verdict, run_clock_s() - begin_s);
    if (!verdict.failed) {
        return 0;
    }
    plan_draw(verdict.seed, &plan);
    read_kept(&plan, NULL, kept);
    report(options, &plan, &verdict, kept);
    return 1;
}

/* What was found once stays found. */
static int run_regressions(sim_options *options)
{
    char line[512], list[256];
    unsigned long long seed;
    int failed = 0, words;
    FILE *file = fopen(options->regressions, "r");
    if (!file) {
        fail_usage("cannot read ", options->regressions);
    }
    while (fgets(line, sizeof(line), file)) {
        if (line[0] == '#' || sscanf(line, "%llu %255s %n", &seed, list, &words) < 2) {
            continue;
        }
        printf("seed %llu: %s", seed, line + words);
        options->order.first = seed;
        options->keep = strcmp(list, "-") == 0 ? NULL : list;
        failed |= run_one(options);
    }
    fclose(file);
    return failed;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 'n'},   {"from", required_argument, NULL, 'f'},
        {"minutes", required_argument, NULL, 'm'}, {"jobs", required_argument, NULL, 'j'},
        {"seed", required_argument, NULL, 's'},    {"keep", required_argument, NULL, 'k'},
        {"trace", no_argument, NULL, 't'},         {"shrink", no_argument, NULL, 'r'},
        {"no-shrink", no_argument, NULL, 'o'},     {"plan", required_argument, NULL, 'p'},
        {"canary", no_argument, NULL, 'c'},        {"regressions", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    sim_options options = {.order = {.first = 1, .count = 1000, .jobs = 1, .twice_every = 100}};
    bool seeds_given = false;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.order.count = read_number(optarg);
            seeds_given = true;
            break;
        case 'f':
            options.order.first =
                strcmp(optarg, "clock") == 0 ? run_fresh_seed() : read_number(optarg);
            break;
        case 'm':
            options.order.until_s = (uint64_t)(strtod(optarg, NULL) * 60);
            break;
        case 'j':
            options.order.jobs = (unsigned)read_number(optarg);
            break;
        case 's':
        case 'p':
            options.one = true;
            options.plan_only = option == 'p';
            options.order.first = read_number(optarg);
            break;
        case 'k':
            options.keep = optarg;
            break;
        case 't':
            options.trace = true;
            break;
        case 'r':
            options.shrink = true;
            break;
        case 'o':
            options.no_shrink = true;
            break;
        case 'c':
            sim_canary = true;
            break;
        case 'g':
            options.regressions = optarg;
            break;
        case 'h':
            fputs(usage_text, stdout);
            return 0;
        default:
            fail_usage("see above", NULL);
        }
    }
    if (optind < argc) {
        fail_usage("what is ", argv[optind]);
    }
    if (options.order.until_s && !seeds_given) {
        options.order.count = UINT64_MAX / 2;
    }
    if (options.regressions) {
        return run_regressions(&options);
    }
    return options.one ? run_one(&options) : run_many(&options);
}
