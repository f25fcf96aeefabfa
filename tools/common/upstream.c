/* Tells people how the connection is. */
#define _GNU_SOURCE
#include "common/upstream.h"

#include <stdio.h>
#include <string.h>

#include "common/report.h"

const char *upstream_trouble(hakuban_connection *connection, const char *url, char *buffer,
                             size_t bytes)
{
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    /* The parameters of a URL may hold what is not to be shown. */
    int url_bytes = (int)strcspn(url, "#");
    const hakuban_error *error = &info.last_error;
    if (error->status >= 0) {
        snprintf(buffer, bytes, "%.*s: no answer yet", url_bytes, url);
    } else if (memmem(error->text, strlen(error->text), url, (size_t)url_bytes)) {
        snprintf(buffer, bytes, "%s", error->text);
    } else {
        snprintf(buffer, bytes, "%.*s: %s", url_bytes, url,
                 error->text[0] ? error->text : hakuban_status_text(error->status));
    }
    return buffer;
}

void upstream_changed(upstream *u, hakuban_connection *connection, const char *url,
                      bool say_connected)
{
    char trouble[512];
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    u->connected = info.state == HAKUBAN_CONNECTION_CONNECTED;
    if (u->connected) {
        if (u->said || say_connected) {
            report("%.*s: connected", (int)strcspn(url, "#"), url);
        }
        u->said = false;
    } else if (info.last_error.status < 0 && (!u->said || say_connected)) {
        report("%s; trying again until it works",
               upstream_trouble(connection, url, trouble, sizeof(trouble)));
        u->said = true;
    }
}
