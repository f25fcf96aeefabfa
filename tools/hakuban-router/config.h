/* What a router was told to do, by its command line and its file. */
#ifndef HAKUBAN_TOOLS_CONFIG_H
#define HAKUBAN_TOOLS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct config {
    char **binds; /* owned, as each text in it */
    size_t bind_count;
    char *connect;                     /* NULL: none */
    double rebalance_threshold;        /* negative: the default */
    uint64_t memory_limit, link_limit; /* bytes; 0: the default; UINT64_MAX: none */
    char *stats_tag, *monitor_tag;     /* JSON; text; NULL: none */
} config;

void config_free(config *c);
void config_add_bind(config *c, const char *url);
/* Replaces connect, stats_tag or monitor_tag of a config; NULL: none. */
void config_set(char **owned, const char *value);
/* Adds what a file of up to 1 MiB says. 0, or an exit code: reported with file and line. may_wait:
 * a pipe may be read as well, to its end; otherwise it is an error. */
int config_read(config *c, const char *path, bool may_wait);

#endif
