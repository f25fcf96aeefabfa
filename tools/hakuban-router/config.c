/* The router's file: one word and its value on a line. */
#define _GNU_SOURCE
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/args.h"
#include "common/report.h"
#include "common/text.h"

#define FILE_BYTES_MAX (1u << 20)

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
    } else if (strcmp(word, "memory-limit") == 0 || strcmp(word, "link-limit") == 0) {
        uint64_t *limit = *word == 'm' ? &c->memory_limit : &c->link_limit, bytes = 0;
        char option[600];
        snprintf(option, sizeof(option), "%s: %s", where, word);
        if (*value && !arg_size(option, value, &bytes)) {
            return false;
        }
        if (*limit == 0) {
            *limit = bytes;
        }
    } else {
        known = false;
    }
    if (!known) {
        report("%s: unknown word %s (bind, connect, rebalance-threshold, memory-limit, link-limit, "
               "stats-tag, monitor-tag)",
               where, word);
        return false;
    }
    if (good && !*value) {
        report("%s: %s needs a value", where, word);
        return false;
    }
    return good;
}

/* All of a file, 0 or errno. What is no regular file may keep its reader waiting: that is for the
 * start only. */
static int read_all(const char *path, bool may_wait, text *ret)
{
    struct stat is;
    int error = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (may_wait ? 0 : O_NONBLOCK));
    if (fd < 0) {
        return errno;
    }
    if (fstat(fd, &is) < 0) {
        error = errno;
    } else if (!may_wait && !S_ISREG(is.st_mode)) {
        error = EINVAL;
    }
    ssize_t bytes = 1;
    while (error == 0 && bytes > 0) {
        bytes = read(fd, text_reserve(ret, FILE_BYTES_MAX), FILE_BYTES_MAX);
        ret->bytes += bytes > 0 ? (size_t)bytes : 0;
        if (bytes < 0) {
            error = errno;
        } else if (ret->bytes > FILE_BYTES_MAX) {
            error = EFBIG;
        }
    }
    close(fd);
    text_add(ret, "", 0);
    return error;
}

int config_read(config *c, const char *path, bool may_wait)
{
    text file = {NULL, 0, 0};
    words_seen seen = {false, false, false};
    unsigned number = 0;
    int exit_code = 0, error = read_all(path, may_wait, &file);
    if (error != 0) {
        report("%s: %s", path,
               error == EINVAL ? "only a regular file is read again" : strerror(error));
        exit_code = EXIT_RUNTIME;
    }
    /* A byte order mark at the beginning says nothing: editors put it there. */
    size_t at = file.bytes >= 3 && memcmp(file.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (exit_code == 0 && at < file.bytes) {
        char *line = file.data + at;
        char *end = memchr(line, '\n', file.bytes - at);
        size_t length = end ? (size_t)(end - line) : file.bytes - at;
        at += length + 1;
        line[length] = '\0';
        number++;
        if (strlen(line) != length) {
            report("%s:%u: a zero byte", path, number);
            exit_code = EXIT_USAGE;
        } else if (!take_line(c, line, path, number, &seen)) {
            exit_code = EXIT_USAGE;
        }
    }
    text_free(&file);
    return exit_code;
}
