/* inproc:// between two exchanges on two threads; meant for ThreadSanitizer too. The check library's assertions are the main thread's;
 * the other thread only counts what is wrong. */
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
static void send_number(hakuban_link *link, uint32_t number)
{
    unsigned char message[MESSAGE_BYTES];
    memset(message, (int)(number & 0xff), sizeof message);
    memcpy(message, &number, sizeof number);
    ck_assert_int_ge(thost_send(link, message, 4 + number % (MESSAGE_BYTES - 3)), 0);
}

static void check_numbers(hakuban_link *link)
{
    size_t at = 0;
    for (size_t i = 0; i < link->count; i++) {
        uint32_t number;
        ck_assert_uint_eq(link->lengths[i], 4 + i % (MESSAGE_BYTES - 3));
        memcpy(&number, link->data + at, sizeof number);
        ck_assert_uint_eq(number, i);
        at += link->lengths[i];
    }
}

/* Sends all of the messages as fast as it may, and waits until as many have come and the connection has ended. */
static void exchange_all(thost *host, hakuban_link *link)
{
    for (uint32_t number = 0; number < MESSAGES; number++) {
        THOST_UNTIL(host, NULL, !link->full);
        send_number(link, number);
    }
    THOST_UNTIL(host, NULL, link->count == MESSAGES);
    check_numbers(link);
}

static void *dialer(void *memory)
{
    thost *host = memory;
    hakuban_status status;
    hakuban_error error;
    hakuban_link *link = thost_dial(host, "inproc://threads", &status, &error);
    ck_assert_msg(link != NULL, "%s", error.text);
    THOST_UNTIL(host, NULL, link->opened);
    exchange_all(host, link);
    THOST_UNTIL(host, NULL, link->closed);
    ck_assert_int_eq(link->why, HAKUBAN_ERR_CLOSED);
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
    hakuban_link *link = here.links;
    exchange_all(&here, link);
    thost_shutdown(link);
    THOST_UNTIL(&here, NULL, link->closed);
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
        hakuban_link *link = thost_dial(host, "inproc://restless", &status, NULL);
        if (!link) {
            continue;
        }
        if (i % 3 == 0) {
            thost_close(link);
            continue;
        }
        THOST_UNTIL(host, NULL, link->opened || link->closed);
        if (link->opened && !link->closed) {
            (void)thost_send(link, "some", 4);
            if (i % 3 == 1) {
                thost_close(link);
            } else {
                THOST_UNTIL(host, NULL, link->closed);
            }
        }
    }
    return NULL;
}

static void close_it(hakuban_link *link)
{
    thost_close(link);
}

static void answer_by_closing(hakuban_link *link)
{
    link->on_received = close_it;
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
