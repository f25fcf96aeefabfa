/* What every verb of the tool does alike: a connection that is talked about on stderr, and the
 * objects and tags asked for. */
#ifndef HAKUBAN_TOOLS_SESSION_H
#define HAKUBAN_TOOLS_SESSION_H

#include <hakuban/hakuban.h>

#include "common/args.h"
#include "common/report.h"
#include "common/signals.h"
#include "common/text.h"
#include "common/upstream.h"

typedef struct session {
    const char *url; /* NULL: $HAKUBAN_URL or the default */
    const char *url_origin;
    unsigned verbosity;
    hakuban_exchange *exchange;
    hakuban_queue *queue;
    hakuban_connection *connection;
    int queue_fd, signal_fd;
    upstream router;
} session;

/* Options that every verb takes; a verb's own ids begin at OPTION_OWN. */
enum { OPTION_CONNECT = 1, OPTION_TAG, OPTION_VERBOSE, OPTION_HELP, OPTION_OWN };
#define SESSION_OPTIONS                                                                            \
    {"--connect", 'c', true, OPTION_CONNECT}, {"--tag", 0, true, OPTION_TAG},                      \
        {"--verbose", 'v', false, OPTION_VERBOSE},                                                 \
    {                                                                                              \
        "--help", 'h', false, OPTION_HELP                                                          \
    }

/* What the command line asks for. */
typedef struct interest {
    const char *tags[HAKUBAN_DESCRIPTOR_TAGS_MAX];
    size_t tag_count;
    hakuban_descriptor *object; /* NULL: every object of the tags */
} interest;

/* False: reported, under the option's name. */
bool interest_check_tag(const char *option, const char *json);
/* False: reported. */
bool interest_add_tag(interest *wanted, const char *json);
/* The tags must have been added. */
bool interest_set_object(interest *wanted, const char *json);

/* An order of objects' names: by their JSON, then their tags. */
int compare_names(const hakuban_descriptor *a, const hakuban_descriptor *b);

/* 0, or the exit code of what was reported. */
int session_open(session *s);
/* After a CONNECTION event. */
void session_connection_changed(session *s);
/* Why there is no connection; NULL while there is one. */
const char *session_trouble(session *s, char *buffer, size_t bytes);
/* Ends in order: what was sent arrives, if it can within the time. */
hakuban_status session_close(session *s, int timeout_ms);

/* The end of a verb whose work was cut short: by the signal that came, else with exit_code. */
int session_cut_short(int exit_code);

int verb_observe(int argc, char **argv);
int verb_get(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_expose(int argc, char **argv);
int verb_snapshot(int argc, char **argv);

#endif
