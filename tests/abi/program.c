/* A program built with the headers of an earlier release (tests/abi/include), run with the
 * library of today: what it fills in and what it is given fit, and nothing behind its structs is
 * touched. */
#include <stdio.h>
#include <string.h>

#include <hakuban/hakuban.h>
#include <hakuban/inspect.h>

/* Bytes behind a struct of the caller that the library must leave alone. */
#define GUARDED(type)                                                                              \
    struct {                                                                                       \
        type it;                                                                                   \
        unsigned char guard[64];                                                                   \
    }

static int failures;

static void check(int good, const char *what)
{
    if (!good) {
        failures++;
        fprintf(stderr, "abi: %s\n", what);
    }
}

static void check_guard(const unsigned char guard[64], const char *what)
{
    for (int i = 0; i < 64; i++) {
        if (guard[i] != 0x5a) {
            check(0, what);
            return;
        }
    }
}

#define GUARD(object) memset(&(object), 0x5a, sizeof(object))

int main(void)
{
    hakuban_exchange_options options = {.size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_exchange *exchange = NULL;
    hakuban_descriptor *descriptor = NULL;
    hakuban_contract *reader = NULL, *writer = NULL;
    hakuban_contract_options wanted = {.size = sizeof(wanted), .capacity = 2};
    check(hakuban_exchange_new(&options, &exchange) >= 0, "no exchange");
    check(hakuban_descriptor_new(NULL, "{\"a\":1}", NULL, 0, &descriptor, NULL) >= 0,
          "no descriptor");
    if (failures) {
        return 1;
    }
    check(hakuban_observe_object(exchange, descriptor, NULL, &reader) >= 0, "no observer");
    check(hakuban_expose_object(exchange, descriptor, &wanted, &writer) >= 0, "no exposer");
    (void)hakuban_descriptor_unref(descriptor);

    GUARDED(hakuban_event) event;
    GUARD(event);
    check(hakuban_contract_next(writer, 1000, &event.it) >= 0, "no event");
    check(event.it.kind == HAKUBAN_EVENT_SINK_OPEN, "the first event opens no sink");
    check(hakuban_sink_send_json(event.it.sink, "[1,2]", NULL) >= 0, "nothing was sent");
    hakuban_event_done(&event.it);
    check_guard(event.guard, "hakuban_event is larger than its user knows");

    int states = 0;
    while (hakuban_contract_next(reader, 0, &event.it) >= 0) {
        hakuban_slice data = {NULL, 0};
        if (event.it.kind == HAKUBAN_EVENT_STATE) {
            data = hakuban_state_data(event.it.state);
            states += data.bytes == 5 && memcmp(data.data, "[1,2]", 5) == 0;
        }
        hakuban_event_done(&event.it);
    }
    check(states == 1, "the state did not come");
    check_guard(event.guard, "hakuban_event is larger than its user knows");

    GUARDED(hakuban_exchange_stats) stats;
    GUARD(stats);
    hakuban_exchange_query(exchange, &stats.it);
    check(stats.it.contracts == 2 && stats.it.objects == 1, "wrong counts");
    check_guard(stats.guard, "hakuban_exchange_stats is larger than its user knows");

    struct {
        hakuban_object_info it[HAKUBAN_INSPECT_ROOM_MIN];
        unsigned char guard[64];
    } objects;
    GUARD(objects);
    hakuban_cursor cursor = {{0, 0}};
    size_t count = 0;
    check(hakuban_inspect_objects(exchange, &cursor, objects.it, HAKUBAN_INSPECT_ROOM_MIN,
                                  &count) >= 0 &&
              count == 1 && objects.it[0].exposer == HAKUBAN_EXPOSER_LOCAL,
          "wrong objects");
    hakuban_object_info_done(objects.it, count);
    check_guard(objects.guard, "hakuban_object_info is larger than its user knows");

    (void)hakuban_contract_free(reader);
    (void)hakuban_contract_free(writer);
    (void)hakuban_exchange_free(exchange);
    return failures != 0;
}
