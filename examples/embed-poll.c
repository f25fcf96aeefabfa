/* Hakuban inside a program that has a loop of its own: no thread of the library, no callback, one
 * poll(2).
 *
 *     embed-poll URL [COUNT]
 *
 * Observes everything with the tag "hello" at a router, prints COUNT states (3), and counts seconds
 * beside it. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hakuban/hakuban.h>

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long earlier_ms(long a_ms, long b_ms)
{
    if (a_ms < 0) {
        return b_ms; /* the exchange has no time limit of its own */
    }
    return a_ms < b_ms ? a_ms : b_ms;
}

static void loop(hakuban_exchange *exchange, hakuban_queue *queue, long count)
{
    struct pollfd fd = {.fd = hakuban_exchange_fd(exchange), .events = POLLIN};
    long next_second_ms = now_ms() + 1000;
    while (count > 0) {
        /* 1. Let the exchange do what there is to do. */
        if (hakuban_exchange_turn(exchange) < 0) {
            return;
        }
        /* 2. Take what it has to say. */
        hakuban_event event;
        while (count > 0 && hakuban_queue_next(queue, 0, &event) >= 0) {
            if (event.kind == HAKUBAN_EVENT_STATE) {
                hakuban_slice data = hakuban_state_data(event.state);
                printf("%s %.*s\n", hakuban_descriptor_json(event.object), (int)data.bytes,
                       (const char *)data.data);
                fflush(stdout);
                count--;
            }
            hakuban_event_done(&event);
        }
        /* 3. One's own work: here, a dot each second. */
        long left_ms = next_second_ms - now_ms();
        if (left_ms <= 0) {
            fputs(".", stderr);
            next_second_ms += 1000;
            left_ms = 0;
        }
        /* 4. Wait for the exchange's descriptor, at most as long as it and your own timers allow.
         */
        if (count > 0) {
            (void)poll(&fd, 1, (int)earlier_ms(hakuban_exchange_timeout_ms(exchange), left_ms));
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: embed-poll URL [COUNT]\n", stderr);
        return 2;
    }
    hakuban_exchange_options options = {.size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL};
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    hakuban_contract *contract = NULL;
    hakuban_error error = {.text = "out of memory"};
    int good = hakuban_exchange_new(&options, &exchange) >= 0 &&
               hakuban_exchange_connect(exchange, argv[1], NULL, &connection, &error) >= 0 &&
               hakuban_observe_tag(exchange, "\"hello\"", NULL, &contract, &error) >= 0;
    if (good) {
        loop(exchange, hakuban_contract_queue(contract), argc > 2 ? atol(argv[2]) : 3);
    } else {
        fprintf(stderr, "embed-poll: %s\n", error.text);
    }
    hakuban_contract_free(contract);
    hakuban_connection_free(connection);
    hakuban_exchange_free(exchange);
    return good ? 0 : 1;
}
