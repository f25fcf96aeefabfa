/* A program outside of the repository, which uses an installed Hakuban: exposes a state and
 * observes it, in one process. */
#include <stdio.h>
#include <string.h>

#include <hakuban/hakuban.h>

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

int main(void)
{
    static const char text[] = "{\"from\":\"outside\"}";
    hakuban_exchange *exchange = NULL;
    hakuban_descriptor *object = NULL;
    hakuban_contract *exposer = NULL, *observer = NULL;
    hakuban_event event;
    int seen = 0;

    if (strcmp(hakuban_version(), HAKUBAN_VERSION) != 0) {
        fprintf(stderr, "the library is %s, the headers are %s\n", hakuban_version(),
                HAKUBAN_VERSION);
        return 1;
    }
    if (hakuban_exchange_new(NULL, &exchange) >= 0 &&
        hakuban_descriptor_new(NULL, "\"here\"", NULL, 0, &object, NULL) >= 0 &&
        hakuban_expose_object(exchange, object, NULL, &exposer) >= 0 &&
        hakuban_observe_object(exchange, object, NULL, &observer) >= 0 &&
        wait_for(exposer, HAKUBAN_EVENT_SINK_OPEN, &event)) {
        int sent = hakuban_sink_send_json(event.sink, text, NULL) >= 0;
        hakuban_event_done(&event);
        if (sent && wait_for(observer, HAKUBAN_EVENT_STATE, &event)) {
            hakuban_slice data = hakuban_state_data(event.state);
            seen = data.bytes == strlen(text) && memcmp(data.data, text, data.bytes) == 0;
            hakuban_event_done(&event);
        }
    }
    hakuban_contract_free(observer);
    hakuban_contract_free(exposer);
    hakuban_descriptor_unref(object);
    hakuban_exchange_free(exchange);
    puts(seen ? hakuban_features() : "the state did not come back");
    return seen ? 0 : 1;
}
