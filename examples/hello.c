/* The smallest whole program: one state, exposed and observed.
 *
 * Without an argument everything happens inside this process. With the URL of a router, two
 * exchanges speak over it. */
#include <stdio.h>

#include <hakuban/hakuban.h>

/* Waits for the next event of a kind; what comes before it is of no interest here. */
static int wait_for(hakuban_contract *contract, hakuban_event_kind kind, hakuban_event *ret)
{
    while (hakuban_contract_next(contract, 5000, ret) >= 0) {
        if (ret->kind == kind) {
            return 1;
        }
        hakuban_event_done(ret);
    }
    return 0;
}

static int hello(hakuban_exchange *here, hakuban_exchange *there, hakuban_descriptor *greeting)
{
    hakuban_contract *exposer = NULL, *observer = NULL;
    hakuban_event event;
    int sent = 0, seen = 0;

    /* One side offers to produce the state of an object, the other asks for it. */
    if (hakuban_expose_object(here, greeting, NULL, &exposer) < 0 ||
        hakuban_observe_object(there, greeting, NULL, &observer) < 0) {
        return 0;
    }
    /* The object is observed: this exposer is chosen, and gets a sink to send states to. */
    if (wait_for(exposer, HAKUBAN_EVENT_SINK_OPEN, &event)) {
        sent = hakuban_sink_send_json(event.sink, "{\"text\":\"Hello, world\"}", NULL) >= 0;
        hakuban_event_done(&event);
    }
    /* From now on the observer has the newest state, however often it changes. */
    if (sent && wait_for(observer, HAKUBAN_EVENT_STATE, &event)) {
        hakuban_slice data = hakuban_state_data(event.state);
        printf("%.*s\n", (int)data.bytes, (const char *)data.data);
        hakuban_event_done(&event);
        seen = 1;
    }
    hakuban_contract_free(observer);
    hakuban_contract_free(exposer);
    return seen;
}

int main(int argc, char **argv)
{
    hakuban_exchange *nodes[2] = {NULL, NULL};
    hakuban_connection *connections[2] = {NULL, NULL};
    hakuban_descriptor *greeting = NULL;
    hakuban_error error = {.text = "no answer"};
    int over_router = argc > 1, good = 1;

    for (int i = 0; i <= over_router && good; i++) {
        good = hakuban_exchange_new(NULL, &nodes[i]) >= 0;
        if (over_router && good) {
            good = hakuban_exchange_connect(nodes[i], argv[1], NULL, &connections[i], &error) >= 0;
        }
    }
    /* An object is named by a JSON value and tags. */
    const char *tags[] = {"\"hello\""};
    good =
        good && hakuban_descriptor_new(NULL, "{\"greeting\":1}", tags, 1, &greeting, &error) >= 0;
    good = good && hello(nodes[0], nodes[over_router], greeting);
    if (!good) {
        fprintf(stderr, "hello: %s\n", error.text);
    }

    hakuban_descriptor_unref(greeting);
    for (int i = 0; i < 2; i++) {
        hakuban_connection_free(connections[i]);
        hakuban_exchange_free(nodes[i]);
    }
    return good ? 0 : 1;
}
