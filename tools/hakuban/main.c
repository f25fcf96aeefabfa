/* hakuban: observe, get, list, expose and snapshot from a shell. Finds the verb; everything else is
 * in the verb's own file. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "session.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} verbs[] = {
    {"observe", verb_observe, "print what happens to objects, one line of JSON each"},
    {"get", verb_get, "print one state and end"},
    {"list", verb_list, "print the objects that carry a tag"},
    {"expose", verb_expose, "publish states from lines, a file or a command"},
    {"snapshot", verb_snapshot, "print who exposes and observes what, from published statistics"},
};
enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(FILE *to)
{
    fputs("usage: hakuban VERB [OPTION]... [OBJECT_JSON]\n\n", to);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].what);
    }
    fputs("\nhakuban VERB --help tells more; hakuban --version tells what is built in.\n", to);
}

static int end(int exit_code)
{
    if (fflush(stdout) != 0 && exit_code == 0) {
        exit_code = EXIT_RUNTIME;
    }
    signals_exit_code = exit_code;
    return exit_code;
}

int main(int argc, char **argv)
{
    signals_start();
    report_start("hakuban");
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *verb = argv[1];
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        print_help(stdout);
        return end(0);
    }
    if (strcmp(verb, "--version") == 0) {
        printf("hakuban %s\n%s\n", hakuban_version(), hakuban_features());
        return end(0);
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verb, verbs[i].name) == 0) {
            return end(verbs[i].run(argc - 2, argv + 2));
        }
    }
    report("%s: there is no such verb (see --help)", verb);
    return EXIT_USAGE;
}
