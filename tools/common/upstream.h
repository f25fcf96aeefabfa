/* Tells people how the connection is: each trouble once, and its end. */
#ifndef HAKUBAN_TOOLS_UPSTREAM_H
#define HAKUBAN_TOOLS_UPSTREAM_H

#include <stdbool.h>

#include <hakuban/hakuban.h>

typedef struct upstream {
    bool connected; /* now */
    bool said;      /* the present trouble */
} upstream;

/* After each CONNECTION event. say_connected: also where there was no trouble before. */
void upstream_changed(upstream *u, hakuban_connection *connection, const char *url,
                      bool say_connected);
/* Why there is no connection, in words that name the URL. */
const char *upstream_trouble(hakuban_connection *connection, const char *url, char *buffer,
                             size_t bytes);

#endif
