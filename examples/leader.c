/* One of many leads: every candidate offers to expose the same object, and the one that gets its
 * sink is the leader. When the leader ends, dies or loses its connection, another is given it, with
 * a greater term.
 *
 *     leader URL NAME
 *     hakuban observe -c URL --tag '"leader"'      shows the leader
 *
 * What is promised, and what not: while the network is whole there is one leader. While it is cut
 * there may be two for a while, one on each side: the one that was cut off stands down when it
 * notices, which takes up to 2.5 times the router's keep-alive. So whatever a leader changes
 * elsewhere has to be given its term, and has to refuse terms below the greatest it has seen
 * ("fencing"). Terms grow with each leader; they come from the clock where no exchange remembers
 * the last one. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <hakuban/hakuban.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* Says which candidate leads, with the term as the state's version: the hubs pass the greatest one
 * on to every later leader as its floor. */
static hakuban_status take_office(hakuban_sink *sink, const char *name, int64_t term)
{
    char text[200];
    hakuban_state *state = NULL;
    snprintf(text, sizeof(text), "{\"leader\":\"%.100s\",\"term\":%lld}", name, (long long)term);
    hakuban_state_parts parts = {.data = text,
                                 .data_bytes = strlen(text),
                                 .format = (const char *[]){"JSON"},
                                 .format_count = 1,
                                 .version = &term,
                                 .version_count = 1};
    hakuban_status status = hakuban_state_new(NULL, &parts, &state);
    if (status >= 0) {
        status = hakuban_sink_send(sink, state);
    }
    hakuban_state_unref(state);
    return status;
}

static int64_t next_term(const hakuban_event *event)
{
    int64_t now = (int64_t)time(NULL);
    int64_t floor = event->version_count ? event->version[0] : 0;
    return now > floor ? now : floor + 1;
}

static int is_connected(hakuban_connection *connection)
{
    hakuban_connection_info info;
    hakuban_connection_query(connection, &info);
    return info.state == HAKUBAN_CONNECTION_CONNECTED;
}

static void run(hakuban_queue *queue, hakuban_connection *connection, const char *name)
{
    int64_t term = 0; /* of the sink that is open; 0: none */
    int leads = 0;
    while (!stopped) {
        hakuban_event event;
        if (hakuban_queue_next(queue, 200, &event) < 0) {
            continue; /* nothing new; or it is time to stop */
        }
        if (event.kind == HAKUBAN_EVENT_SINK_OPEN || event.kind == HAKUBAN_EVENT_FLOOR) {
            term = next_term(&event);
            if (take_office(event.sink, name, term) < 0) {
                term = 0; /* it is taken away already, or a FLOOR follows */
            }
            leads = 0; /* not under the old term */
        } else if (event.kind == HAKUBAN_EVENT_SINK_CLOSE) {
            term = 0;
        }
        hakuban_event_done(&event);
        /* A candidate that is out of touch may have a successor already. */
        int may_lead = term != 0 && is_connected(connection);
        if (may_lead != leads) {
            leads = may_lead;
            if (leads) {
                printf("%s leads, term %lld\n", name, (long long)term);
            } else {
                printf("%s stands down\n", name);
            }
            fflush(stdout);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: leader URL NAME\n", stderr);
        return 2;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);

    hakuban_exchange *exchange = NULL;
    hakuban_queue *queue = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *wish = NULL, *offer = NULL;
    hakuban_descriptor *office = NULL;
    hakuban_error error = {.text = "out of memory"};
    int good = hakuban_exchange_new(NULL, &exchange) >= 0 &&
               hakuban_queue_new(exchange, &queue) >= 0 &&
               hakuban_descriptor_new(NULL, "\"office\"", (const char *[]){"\"leader\""}, 1,
                                      &office, &error) >= 0;
    hakuban_connection_options told = {.size = sizeof(told), .queue = queue};
    good = good && hakuban_exchange_connect(exchange, argv[1], &told, &connection, &error) >= 0;
    /* The hub wants the office to be held though it is not observed. A candidate that observed it
     * would serve itself while it is alone: it would lead before it is connected, and after it is
     * cut off. */
    good = good && hakuban_preload_tag(exchange, "\"leader\"", NULL, &wish, &error) >= 0;
    hakuban_contract_options options = {.size = sizeof(options), .queue = queue};
    good = good && hakuban_expose_object(exchange, office, &options, &offer) >= 0;
    if (good) {
        run(queue, connection, argv[2]);
    } else {
        fprintf(stderr, "leader: %s\n", error.text);
    }
    hakuban_contract_free(offer);
    hakuban_contract_free(wish);
    if (hakuban_exchange_close(exchange, 2000) < 0) { /* a goodbye, so that another leads at once */
        fputs("leader: left without a goodbye\n", stderr);
    }
    hakuban_connection_free(connection);
    hakuban_descriptor_unref(office);
    hakuban_queue_free(queue);
    hakuban_exchange_free(exchange);
    return good ? 0 : 1;
}
