/* The router's file: one word and its value on a line. */
#define _GNU_SOURCE
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/report.h"
#include "common/text.h"

static char *copy_of(const char *value)
{
    char *copy = strdup(value);
    if (!copy) {
        out_of_memory();
    }
    return copy;
}

void config_free(config *c)
{
    for (size_t i = 0; i < c->bind_count; i++) {
        free(c->binds[i]);
    }
    free(c->binds);
    free(c->connect);
    free(c->stats_tag);
    free(c->monitor_tag);
    memset(c, 0, sizeof(*c));
}

void config_add_bind(config *c, const char *url)
{
    char **binds = realloc(c->binds, (c->bind_count + 1) * sizeof(*binds));
    if (!binds) {
        out_of_memory();
    }
    c->binds = binds;
    c->binds[c->bind_count++] = copy_of(url);
}

void config_set(char **owned, const char *value)
{
    free(*owned);
    *owned = value ? copy_of(value) : NULL;
}

/* The words that a file has once at most. */
typedef struct words_seen {
    bool connect, stats_tag, monitor_tag;
} words_seen;

/* The command line, which was there before, comes first. false: reported. */
static bool take_once(char **owned, const char *value, const char *where, const char *word,
                      bool *seen)
{
    if (*seen) {
        report("%s: a second %s: a router has one", where, word);
        return false;
    }
    *seen = *value != '\0';
    if (*value && !*owned) {
        config_set(owned, value);
    }
    return true;
}

/* One line without its end; false: reported. */
static bool take_line(config *c, char *line, const char *path, unsigned number, words_seen *seen)
{
    char where[512];
    char *word = line + strspn(line, " \t\r");
    /* URLs have a # of their own: a comment begins at the beginning of a line or after white space.
     */
    for (char *hash = strchr(word, '#'); hash; hash = strchr(hash + 1, '#')) {
        if (hash == word || hash[-1] == ' ' || hash[-1] == '\t') {
            *hash = '\0';
            break;
        }
    }
    size_t length = strlen(word);
    while (length > 0 && strchr(" \t\r", word[length - 1])) {
        word[--length] = '\0';
    }
    if (length == 0) {
        return true;
    }
    char *value = word + strcspn(word, " \t");
    if (*value) {
        *value++ = '\0';
        value += strspn(value, " \t");
    }
    snprintf(where, sizeof(where), "%s:%u", path, number);
    if (*value && value[strcspn(value, " \t")]) {
        report("%s: more than one value after %s", where, word);
        return false;
    }
    bool known = true, good = true;
    if (strcmp(word, "bind") == 0) {
        if (*value) {
            config_add_bind(c, value);
        }
    } else if (strcmp(word, "connect") == 0) {
        good = take_once(&c->connect, value, where, word, &seen->connect);
    } else if (strcmp(word, "stats-tag") == 0) {
        good = take_once(&c->stats_tag, value, where, word, &seen->stats_tag);
    } else if (strcmp(word, "monitor-tag") == 0) {
        good = take_once(&c->monitor_tag, value, where, word, &seen->monitor_tag);
    } else if (strcmp(word, "rebalance-threshold") == 0) {
        char option[600];
        double threshold = 0;
        snprintf(option, sizeof(option), "%s: %s", where, word);
        if (*value && !arg_real(option, value, &threshold)) {
            return false;
        }
        if (c->rebalance_threshold < 0) {
            c->rebalance_threshold = threshold;
        }
    } else {
        known = false;
    }
    if (!known) {
        report("%s: unknown word %s (bind, connect, rebalance-threshold, stats-tag, monitor-tag)",
               where, word);
        return false;
    }
    if (good && !*value) {
        report("%s: %s needs a value", where, word);
        return false;
    }
    return good;
}

int config_read(config *c, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        report("%s: %s", path, strerror(errno));
        return EXIT_RUNTIME;
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    unsigned number = 0;
    words_seen seen = {false, false, false};
    int exit_code = 0;
    while (exit_code == 0 && (length = getline(&line, &room, file)) >= 0) {
        number++;
        if (length > 0 && line[length - 1] == '\n') {
            line[--length] = '\0';
        }
        if (strlen(line) != (size_t)length) {
            report("%s:%u: a zero byte", path, number);
            exit_code = EXIT_USAGE;
        } else if (!take_line(c, line, path, number, &seen)) {
            exit_code = EXIT_USAGE;
        }
    }
    if (exit_code == 0 && ferror(file)) {
        report("%s: %s", path, strerror(errno));
        exit_code = EXIT_RUNTIME;
    }
    free(line);
    fclose(file);
    return exit_code;
}
