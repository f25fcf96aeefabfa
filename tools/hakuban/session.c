/* What every verb of the tool does alike. */
#define _GNU_SOURCE
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hakuban_descriptor *descriptor_of(const char *what, const char *json,
                                         const char *const *tags, size_t tag_count)
{
    hakuban_descriptor *descriptor = NULL;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status =
        hakuban_descriptor_new(NULL, json, tags, tag_count, &descriptor, &error);
    if (status < 0) {
        if (error.text[0] == '\0') {
            snprintf(error.text, sizeof(error.text), "%s", hakuban_status_text(status));
        }
        error.status = status;
        /* The library says which of its arguments is wrong; here each is looked at alone, under its
         * own name. */
        if (strncmp(error.text, "object: ", 8) == 0) {
            memmove(error.text, error.text + 8, strlen(error.text + 8) + 1);
        }
        report_bad_json(what, json, &error);
    }
    return descriptor;
}

bool interest_check_tag(const char *option, const char *json)
{
    hakuban_descriptor *checked = descriptor_of(option, json, NULL, 0);
    hakuban_descriptor_unref(checked);
    return checked != NULL;
}

bool interest_add_tag(interest *wanted, const char *json)
{
    if (wanted->tag_count == HAKUBAN_DESCRIPTOR_TAGS_MAX) {
        report("--tag %s: more than %d tags", json, HAKUBAN_DESCRIPTOR_TAGS_MAX);
        return false;
    }
    if (!interest_check_tag("--tag", json)) {
        return false;
    }
    wanted->tags[wanted->tag_count++] = json;
    return true;
}

bool interest_set_object(interest *wanted, const char *json)
{
    wanted->object = descriptor_of("object", json, wanted->tags, wanted->tag_count);
    return wanted->object != NULL;
}

int compare_names(const hakuban_descriptor *a, const hakuban_descriptor *b)
{
    int order = strcmp(hakuban_descriptor_json(a), hakuban_descriptor_json(b));
    size_t a_count = hakuban_descriptor_tag_count(a), b_count = hakuban_descriptor_tag_count(b);
    if (order == 0 && a_count != b_count) {
        order = a_count < b_count ? -1 : 1;
    }
    for (size_t i = 0; order == 0 && i < a_count; i++) {
        order = strcmp(hakuban_descriptor_tag(a, i), hakuban_descriptor_tag(b, i));
    }
    return order;
}

static int failed(session *s, const char *what, hakuban_status status)
{
    report("%s: %s", what, hakuban_status_text(status));
    (void)session_close(s, 0);
    return EXIT_RUNTIME;
}

int session_open(session *s)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, 0};
    static const int others[] = {SIGCHLD, 0};
    if (!s->url) {
        s->url = getenv("HAKUBAN_URL");
        s->url_origin = "$HAKUBAN_URL";
        if (!s->url || !*s->url) {
            s->url = "tcp://127.0.0.1:3001";
            s->url_origin = "the default";
        }
    }
    s->signal_fd = signals_catch(ending, others);
    if (s->signal_fd < 0) {
        return failed(s, "signals", HAKUBAN_ERR_IO);
    }
    hakuban_exchange_options options = {.size = sizeof(options), .log = report_log(s->verbosity)};
    if (s->verbosity == 0) {
        options.log.level = HAKUBAN_LOG_ERROR; /* trouble with the connection is told here, once */
    }
    /* The library's thread must not take signals: they have to interrupt this one. */
    sigset_t before;
    signals_block(&before);
    hakuban_status status = hakuban_exchange_new(&options, &s->exchange);
    signals_unblock(&before);
    if (status < 0) {
        return failed(s, "exchange", status);
    }
    status = hakuban_queue_new(s->exchange, &s->queue);
    if (status >= 0) {
        s->queue_fd = hakuban_queue_fd(s->queue);
        status = s->queue_fd < 0 ? HAKUBAN_ERR_IO : HAKUBAN_OK;
    }
    if (status < 0) {
        return failed(s, "queue", status);
    }
    hakuban_connection_options with = {.size = sizeof(with), .queue = s->queue};
    hakuban_error error = {.status = HAKUBAN_OK};
    status = hakuban_exchange_connect(s->exchange, s->url, &with, &s->connection, &error);
    if (status < 0) {
        report("%s %s: %s", s->url_origin, s->url,
               error.text[0] ? error.text : hakuban_status_text(status));
        (void)session_close(s, 0);
        return status == HAKUBAN_ERR_NO_MEMORY || status == HAKUBAN_ERR_IO ? EXIT_RUNTIME
                                                                           : EXIT_USAGE;
    }
    return 0;
}

void session_connection_changed(session *s)
{
    bool before = s->router.connected;
    upstream_changed(&s->router, s->connection, s->url, s->verbosity > 0);
    /* The library's warning, where its log is not shown. */
    if (s->verbosity == 0 && s->router.connected && !before && strstr(s->url, "verify=none")) {
        report("%.*s: the other side's certificate was not checked (verify=none)",
               (int)strcspn(s->url, "#"), s->url);
    }
}

const char *session_trouble(session *s, char *buffer, size_t bytes)
{
    hakuban_connection_info info;
    hakuban_connection_query(s->connection, &info);
    return info.state == HAKUBAN_CONNECTION_CONNECTED
               ? NULL
               : upstream_trouble(s->connection, s->url, buffer, bytes);
}

hakuban_status session_close(session *s, int timeout_ms)
{
    hakuban_status status = HAKUBAN_OK;
    if (s->exchange && timeout_ms > 0) {
        status = hakuban_exchange_close(s->exchange, timeout_ms);
    }
    s->connection = hakuban_connection_free(s->connection);
    s->queue = hakuban_queue_free(s->queue);
    s->exchange = hakuban_exchange_free(s->exchange);
    return status;
}

int session_cut_short(int exit_code)
{
    report_flush(); /* nothing is done at exit where a signal ends the program */
    return signals_end(exit_code);
}
