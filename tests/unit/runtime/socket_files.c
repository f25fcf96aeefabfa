/* Sockets in the file system: which users their files let in. If two listeners find a socket that
 * was left behind, exactly one gets its place. */
#define _GNU_SOURCE

#include "exchange_pair.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define RACES 300

static const char *const schemes[] = {
    "unix",
#ifdef HAKUBAN_TEST_ZMQ
    "zmq+ipc",
#endif
};
#define SCHEMES (int)(sizeof(schemes) / sizeof(schemes[0]))

static char path[64];

static const char *url_of(int scheme, const char *parameters, char out[200])
{
    (void)snprintf(path, sizeof(path), "/tmp/hakuban-files-%ld-%d", (long)getpid(), scheme);
    (void)snprintf(out, 200, "%s://%s%s", schemes[scheme], path, parameters);
    return out;
}

static struct stat file(void)
{
    struct stat found;
    ck_assert_int_eq(lstat(path, &found), 0);
    return found;
}

START_TEST(the_mode_of_the_file_is_the_one_asked_for_whatever_the_umask)
{
    static const mode_t umasks[] = {0077, 0022, 0};
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "hub");
    char url[200];
    for (size_t i = 0; i < 3; i++) {
        (void)umask(umasks[i]);
        hakuban_listener *listener = listen_at(exchange, url_of(_i, "#mode=0666", url));
        ck_assert_uint_eq(file().st_mode & 07777, 0666);
        (void)hakuban_listener_free(listener);
        listener = listen_at(exchange, url_of(_i, "#mode=600", url));
        ck_assert_uint_eq(file().st_mode & 07777, 0600);
        (void)hakuban_listener_free(listener);
        listener = listen_at(exchange, url_of(_i, "", url));
        ck_assert_uint_eq(file().st_mode & 07777, 0777 & ~umasks[i]);
        (void)hakuban_listener_free(listener);
    }
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
}
END_TEST

START_TEST(a_group_may_be_let_in)
{
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "hub");
    char url[200], parameters[64];
    /* One of our own groups, which need not be the usual one. */
    gid_t groups[64], group = getegid();
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++) {
        group = groups[i] != getegid() ? groups[i] : group;
    }
    if (geteuid() == 0) {
        group = 4242;
    }
    (void)snprintf(parameters, sizeof(parameters), "#group=%lu", (unsigned long)group);
    hakuban_listener *listener = listen_at(exchange, url_of(_i, parameters, url));
    ck_assert_uint_eq(file().st_gid, group);
    ck_assert_uint_eq(file().st_mode & 07777, 0660);
    (void)hakuban_listener_free(listener);
    (void)snprintf(parameters, sizeof(parameters), "#mode=0620,group=%lu", (unsigned long)group);
    listener = listen_at(exchange, url_of(_i, parameters, url));
    ck_assert_uint_eq(file().st_mode & 07777, 0620);
    (void)hakuban_listener_free(listener);

    hakuban_error error = {0};
    listener = NULL;
    ck_assert_int_eq(hakuban_exchange_listen(exchange, url_of(_i, "#group=no-such-group", url),
                                             &listener, &error),
                     HAKUBAN_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "no such group"));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
}
END_TEST

START_TEST(a_mode_that_cannot_be_is_refused)
{
    static const char *const wrong[] = {"#mode=",     "#mode=rw",    "#mode=0680", "#mode=1777",
                                        "#mode=6600", "#mode=00600", "#group="};
    hakuban_exchange *exchange = exchange_make(HAKUBAN_DRIVE_MANUAL, NULL, "hub");
    hakuban_listener *listener = NULL;
    hakuban_connection *connection = NULL;
    char url[200];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(hakuban_exchange_listen(exchange, url_of(_i, wrong[i], url), &listener,
                                              NULL) == HAKUBAN_ERR_URL,
                      "%s is listened at", url);
    }
    /* It says nothing about a connection, nor about a port. */
    ck_assert_int_eq(
        hakuban_exchange_connect(exchange, url_of(_i, "#mode=0600", url), NULL, &connection, NULL),
        HAKUBAN_ERR_URL);
    ck_assert_int_eq(
        hakuban_exchange_listen(exchange, "tcp://127.0.0.1:0#mode=0600", &listener, NULL),
        HAKUBAN_ERR_URL);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
}
END_TEST

typedef struct runner {
    hakuban_exchange *exchange;
    hakuban_listener *listener;
    hakuban_status status;
    pthread_barrier_t *start;
    const char *url;
} runner;

static void *run(void *argument)
{
    runner *at = argument;
    (void)pthread_barrier_wait(at->start);
    at->status = hakuban_exchange_listen(at->exchange, at->url, &at->listener, NULL);
    return NULL;
}

static void leave_a_socket_behind(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
}

static bool is_listened_at(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connects = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return connects;
}

START_TEST(of_two_listeners_at_a_socket_left_behind_exactly_one_gets_its_place)
{
    char url[200];
    (void)url_of(_i, "", url);
    pthread_barrier_t start;
    ck_assert_int_eq(pthread_barrier_init(&start, NULL, 2), 0);
    hakuban_exchange *exchanges[2];
    for (int i = 0; i < 2; i++) {
        exchanges[i] = exchange_make(HAKUBAN_DRIVE_THREAD, NULL, "hub");
    }
    for (int race = 0; race < RACES; race++) {
        runner runners[2];
        pthread_t threads[2];
        leave_a_socket_behind();
        for (int i = 0; i < 2; i++) {
            runners[i] = (runner){.exchange = exchanges[i], .start = &start, .url = url};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
        }
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        }
        int winner = runners[0].status == HAKUBAN_OK ? 0 : 1;
        ck_assert_int_eq(runners[winner].status, HAKUBAN_OK);
        ck_assert_int_eq(runners[!winner].status, HAKUBAN_ERR_EXISTS);
        ck_assert_msg(is_listened_at(), "nothing listens at the file after race %d", race);
        (void)hakuban_listener_free(runners[winner].listener);
        ck_assert_int_ne(access(path, F_OK), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_ptr_null(hakuban_exchange_free(exchanges[i]));
    }
    (void)pthread_barrier_destroy(&start);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("socket files");
    TCase *cases = tcase_create("socket files");
    tcase_set_timeout(cases, 100);
    tcase_add_loop_test(cases, the_mode_of_the_file_is_the_one_asked_for_whatever_the_umask, 0,
                        SCHEMES);
    tcase_add_loop_test(cases, a_group_may_be_let_in, 0, SCHEMES);
    tcase_add_loop_test(cases, a_mode_that_cannot_be_is_refused, 0, SCHEMES);
    tcase_add_loop_test(cases, of_two_listeners_at_a_socket_left_behind_exactly_one_gets_its_place,
                        0, SCHEMES);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
