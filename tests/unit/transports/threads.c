/* inproc:// between two exchanges on two threads; meant for ThreadSanitizer too. The check
 * library's assertions are the main thread's; the other thread only counts what is wrong. */
#define _GNU_SOURCE
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "transport_host.h"
#include "transports/inproc/inproc.h"

#define MESSAGES 3000u
#define MESSAGE_BYTES 3000u

static hkb_inproc_board board = HKB_INPROC_BOARD;

/* Messages carry their number; each side checks the other's. */
static void send_number(hakuban_carrier *carrier, uint32_t number)
{
    unsigned char message[MESSAGE_BYTES];
    memset(message, (int)(number & 0xff), sizeof(message));
    memcpy(message, &number, sizeof(number));
    ck_assert_int_ge(thost_send(carrier, message, 4 + number % (MESSAGE_BYTES - 3)), 0);
}

static void check_numbers(hakuban_carrier *carrier)
{
    size_t at = 0;
    for (size_t i = 0; i < carrier->count; i++) {
        uint32_t number;
        ck_assert_uint_eq(carrier->lengths[i], 4 + i % (MESSAGE_BYTES - 3));
        memcpy(&number, carrier->data + at, sizeof(number));
        ck_assert_uint_eq(number, i);
        at += carrier->lengths[i];
    }
}

/* Sends all of the messages as fast as it may, and waits until as many have come and the connection
 * has ended. */
static void exchange_all(thost *host, hakuban_carrier *carrier)
{
    for (uint32_t number = 0; number < MESSAGES; number++) {
        THOST_UNTIL(host, NULL, !carrier->full);
        send_number(carrier, number);
    }
    THOST_UNTIL(host, NULL, carrier->count == MESSAGES);
    check_numbers(carrier);
}

static void *dialer(void *memory)
{
    thost *host = memory;
    hakuban_status status;
    hakuban_error error;
    hakuban_carrier *carrier = thost_dial(host, "inproc://threads", &status, &error);
    ck_assert_msg(carrier != NULL, "%s", error.text);
    THOST_UNTIL(host, NULL, carrier->opened);
    exchange_all(host, carrier);
    THOST_UNTIL(host, NULL, carrier->closed);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_CLOSED);
    return NULL;
}

START_TEST(two_threads_exchange_messages)
{
    static thost here, there;
    ck_assert_int_eq(thost_init(&here, &hakuban_transport_inproc, &board), 0);
    ck_assert_int_eq(thost_init(&there, &hakuban_transport_inproc, &board), 0);
    ck_assert_int_eq(thost_listen(&here, "inproc://threads", NULL, NULL), 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, dialer, &there), 0);
    THOST_UNTIL(&here, NULL, here.accepted_count == 1);
    hakuban_carrier *carrier = here.links;
    exchange_all(&here, carrier);
    thost_shutdown(carrier);
    THOST_UNTIL(&here, NULL, carrier->closed);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    thost_done(&there);
    thost_done(&here);
}
END_TEST

static void *restless(void *memory)
{
    thost *host = memory;
    for (unsigned i = 0; i < 500; i++) {
        hakuban_status status;
        hakuban_carrier *carrier = thost_dial(host, "inproc://restless", &status, NULL);
        if (!carrier) {
            continue;
        }
        if (i % 3 == 0) {
            thost_close(carrier);
            continue;
        }
        THOST_UNTIL(host, NULL, carrier->opened || carrier->closed);
        if (carrier->opened && !carrier->closed) {
            (void)thost_send(carrier, "some", 4);
            if (i % 3 == 1) {
                thost_close(carrier);
            } else {
                THOST_UNTIL(host, NULL, carrier->closed);
            }
        }
    }
    return NULL;
}

static void close_it(hakuban_carrier *carrier)
{
    thost_close(carrier);
}

static void answer_by_closing(hakuban_carrier *carrier)
{
    carrier->on_received = close_it;
}

START_TEST(ends_that_come_and_go_on_two_threads_do_no_harm)
{
    static thost here, there;
    ck_assert_int_eq(thost_init(&here, &hakuban_transport_inproc, &board), 0);
    ck_assert_int_eq(thost_init(&there, &hakuban_transport_inproc, &board), 0);
    here.on_accepted = answer_by_closing;
    ck_assert_int_eq(thost_listen(&here, "inproc://restless", NULL, NULL), 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, restless, &there), 0);
    unsigned turns = 0;
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        (void)thost_turn(&here, 1);
        if (++turns % 50 == 0) {
            thost_unlisten(&here, 0);
            ck_assert_int_eq(thost_listen(&here, "inproc://restless", NULL, NULL), 0);
        }
    }
    thost_done(&there);
    thost_done(&here);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *threads = tcase_create("inproc");
    tcase_set_timeout(threads, 60);
    tcase_add_test(threads, two_threads_exchange_messages);
    tcase_add_test(threads, ends_that_come_and_go_on_two_threads_do_no_harm);
    suite_add_tcase(suite, threads);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
