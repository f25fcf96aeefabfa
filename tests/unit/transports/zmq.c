/* What is particular to ZeroMQ: peers that come again, die, name themselves, speak something else
 * or come when no descriptor is left. Raw peers use libzmq or plain sockets. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "transport_host.h"
#include "transports/zmq/zmq_transport.h"

extern const hakuban_transport_ops hakuban_transport_zmq_tcp;

#define PEERS 100

enum { TCP, IPC, SUBJECTS };

static thost server, client;
static char url[256];

static const hakuban_transport_ops *subject_ops(int subject)
{
    return subject == TCP ? &hakuban_transport_zmq_tcp : &hakuban_transport_zmq_ipc;
}

static void listen_at(int subject)
{
    char asked[128];
    hakuban_error error;
    (void)snprintf(asked, sizeof(asked), "zmq+ipc:///tmp/hkb-zmq-%d", (int)getpid());
    hakuban_status status =
        thost_listen(&server, subject == TCP ? "zmq+tcp://127.0.0.1:0" : asked, url, &error);
    ck_assert_msg(status == 0, "%s", error.text);
}

static void begin(int subject)
{
    ck_assert_int_eq(thost_init(&server, subject_ops(subject), NULL), 0);
    ck_assert_int_eq(thost_init(&client, subject_ops(subject), NULL), 0);
    listen_at(subject);
}

static void end(void)
{
    thost_done(&client);
    thost_done(&server);
}

static hakuban_carrier *dial(thost *from)
{
    hakuban_status status;
    hakuban_error error;
    hakuban_carrier *carrier = thost_dial(from, url, &status, &error);
    ck_assert_msg(carrier != NULL, "%s", error.text);
    return carrier;
}

static hakuban_carrier *connect_pair(hakuban_carrier **ret_accepted)
{
    size_t before = server.accepted_count;
    hakuban_carrier *carrier = dial(&client);
    THOST_UNTIL(&server, &client, carrier->opened && server.accepted_count > before);
    *ret_accepted = server.links;
    return carrier;
}

static void send_text(hakuban_carrier *carrier, const char *text)
{
    ck_assert_int_eq(thost_send(carrier, text, strlen(text)), 0);
}

static void check_bytes(const hakuban_carrier *carrier, const char *text)
{
    ck_assert_uint_eq(carrier->bytes, strlen(text));
    ck_assert_int_eq(memcmp(carrier->data, text, carrier->bytes), 0);
}

static double cpu_seconds(void)
{
    struct timespec used;
    ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void turn_for(int milliseconds)
{
    uint64_t until_ns = hkb_zmq_now() + (uint64_t)milliseconds * 1000000;
    while (hkb_zmq_now() < until_ns) {
        (void)thost_turn(&server, 2);
        (void)thost_turn(&client, 0);
    }
}

/* -- Peers that come again -- */

START_TEST(a_peer_that_comes_again_is_a_new_link_and_gets_nothing_of_the_old_one)
{
    begin(_i);
    hakuban_carrier *old_here, *old_there, *here, *there;
    old_here = connect_pair(&old_there);
    /* In both directions there are bytes under way that were not read. */
    send_text(old_here, "old up");
    send_text(old_there, "old down");
    thost_close(old_here);
    here = connect_pair(&there);
    ck_assert_ptr_ne(there, old_there);
    send_text(here, "new up");
    send_text(there, "new down");
    THOST_UNTIL(&server, &client, here->bytes == 8 && there->bytes == 6 && old_there->closed);
    check_bytes(here, "new down");
    check_bytes(there, "new up");
    ck_assert_uint_eq(old_here->bytes, 0);
    end();
}
END_TEST

START_TEST(a_listener_that_comes_again_has_new_links_only)
{
    begin(_i);
    char place[256];
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    send_text(here, "to the old one");
    memcpy(place, url, sizeof(place));
    thost_done(&server);
    THOST_UNTIL(&client, NULL, here->closed);
    ck_assert_int_eq(here->why, HAKUBAN_ERR_CLOSED);
    ck_assert_int_eq(thost_init(&server, subject_ops(_i), NULL), 0);
    hakuban_error error;
    hakuban_status status = thost_listen(&server, place, url, &error);
    ck_assert_msg(status == 0, "%s", error.text);
    ck_assert_str_eq(url, place);
    here = connect_pair(&there);
    send_text(here, "new");
    THOST_UNTIL(&server, &client, there->bytes >= 3);
    check_bytes(there, "new");
    ck_assert_uint_eq(server.accepted_count, 1);
    end();
}
END_TEST

/* This program, started as a peer: connects, says so, and waits to be killed. */
static int be_peer(const char *place)
{
    hakuban_status status;
    const bool is_tcp = strncmp(place, "zmq+tcp", 7) == 0;
    if (thost_init(&client, subject_ops(is_tcp ? TCP : IPC), NULL)) {
        return 1;
    }
    hakuban_carrier *carrier = thost_dial(&client, place, &status, NULL);
    for (bool sent = false; carrier && !carrier->closed;) {
        if (carrier->opened && !sent) {
            (void)thost_send(carrier, "alive", 5);
            sent = true;
        }
        (void)thost_turn(&client, 10);
    }
    return 1;
}

static pid_t start_peer(void)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)execl("/proc/self/exe", "peer", url, (char *)NULL);
        _exit(1);
    }
    return child;
}

START_TEST(a_killed_process_is_noticed)
{
    ck_assert_int_eq(thost_init(&server, subject_ops(_i), NULL), 0);
    listen_at(_i);
    pid_t child = start_peer();
    THOST_UNTIL(&server, NULL, server.links && server.links->bytes == 5);
    hakuban_carrier *there = server.links;
    ck_assert_uint_eq(there->closed, 0);
    uint64_t before_ns = hkb_zmq_now();
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    THOST_UNTIL(&server, NULL, there->closed);
    ck_assert_int_eq(there->why, HAKUBAN_ERR_CLOSED);
    ck_assert_uint_lt(hkb_zmq_now() - before_ns, 2 * HKB_ZMQ_SECOND_NS);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    check_bytes(there, "alive");
    thost_done(&server);
}
END_TEST

/* -- Many peers -- */

START_TEST(closing_one_of_three_leaves_the_others_alone)
{
    begin(_i);
    hakuban_carrier *here[3], *there[3];
    for (unsigned i = 0; i < 3; i++) {
        here[i] = connect_pair(&there[i]);
    }
    thost_close(there[1]);
    THOST_UNTIL(&server, &client, here[1]->closed);
    for (unsigned i = 0; i < 3; i += 2) {
        send_text(here[i], "up");
        send_text(there[i], "down");
    }
    THOST_UNTIL(&server, &client,
                here[0]->bytes == 4 && here[2]->bytes == 4 && there[0]->bytes == 2 &&
                    there[2]->bytes == 2);
    ck_assert_uint_eq(here[0]->closed + here[2]->closed + there[0]->closed + there[2]->closed, 0);
    end();
}
END_TEST

START_TEST(a_peer_that_does_not_read_stops_only_those_that_send_to_it)
{
    begin(_i);
    static unsigned char block[HAKUBAN_MESSAGE_BYTES_MAX];
    thost slow;
    ck_assert_int_eq(thost_init(&slow, subject_ops(_i), NULL), 0);
    hakuban_carrier *stuck = dial(&slow);
    THOST_UNTIL(&server, &slow, stuck->opened && server.accepted_count == 1);
    hakuban_carrier *to_stuck = server.links, *here, *there;
    do { /* libzmq's thread may still find room after it was full */
        while (!to_stuck->full) {
            ck_assert_int_ge(thost_send(to_stuck, block, sizeof(block)), 0);
        }
        turn_for(100);
    } while (!to_stuck->full);
    here = connect_pair(&there);
    for (unsigned i = 0; i < 100; i++) {
        size_t bytes = here->bytes;
        send_text(there, "ping");
        THOST_UNTIL(&server, &client, here->bytes == bytes + 4);
    }
    ck_assert(to_stuck->full);
    THOST_UNTIL(&server, &slow, !to_stuck->full);
    thost_close(to_stuck);
    THOST_UNTIL(&server, &slow, stuck->closed);
    thost_done(&slow);
    end();
}
END_TEST

START_TEST(a_hundred_peers_are_told_apart)
{
    begin(_i);
    hakuban_carrier *here[PEERS];
    for (unsigned i = 0; i < PEERS; i++) {
        here[i] = dial(&client);
    }
    THOST_UNTIL(&server, &client, server.accepted_count == PEERS);
    for (unsigned char i = 0; i < PEERS; i++) {
        THOST_UNTIL(&server, &client, here[i]->opened);
        ck_assert_int_eq(thost_send(here[i], &i, 1), 0);
    }
    for (hakuban_carrier *there = server.links; there; there = there->next) {
        THOST_UNTIL(&server, &client, there->bytes == 1);
        unsigned char answer[2] = {there->data[0], 'x'};
        ck_assert_int_eq(thost_send(there, answer, 2), 0);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        THOST_UNTIL(&server, &client, here[i]->bytes == 2);
        ck_assert_uint_eq(here[i]->data[0], i);
    }
    /* Every other one goes; the rest stay. */
    for (unsigned i = 0; i < PEERS; i += 2) {
        thost_close(here[i]);
    }
    THOST_UNTIL(&server, &client, server.closed_count == PEERS / 2);
    for (unsigned i = 1; i < PEERS; i += 2) {
        send_text(here[i], "still");
    }
    for (hakuban_carrier *there = server.links; there; there = there->next) {
        if (!there->closed) {
            ck_assert_uint_eq(there->data[0] % 2, 1);
            THOST_UNTIL(&server, &client, there->bytes == 6);
        }
    }
    end();
}
END_TEST

START_TEST(idle_links_cost_nothing)
{
    begin(_i);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    turn_for(500);
    unsigned long calls = server.ready_calls + client.ready_calls;
    turn_for(500);
    ck_assert_uint_le(server.ready_calls + client.ready_calls - calls, 4);
    ck_assert_uint_eq(here->closed + there->closed, 0);
    end();
}
END_TEST

/* -- Strangers -- */

static struct sockaddr_in server_address(void)
{
    const char *colon = strrchr(url, ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return address;
}

static int plain_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void connect_plain(int fd)
{
    struct sockaddr_in address = server_address();
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static bool is_ended(int fd)
{
    char bytes[256];
    ssize_t got;
    do {
        got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    } while (got > 0);
    return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static const struct {
    const char *bytes;
    size_t count;
} garbage[] = {
    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
    {"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0garbage-instead-of-a-mechanism-name-and-then-some-more-bytes"
     "-to-fill-the-greeting",
     90},
    {"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 14},
    {"\x01\x00\x06\x00hello\x06\x00world",
     17}, /* an old peer without a name, as far as libzmq can tell */
    {"", 0},
};

START_TEST(what_speaks_something_else_never_becomes_a_link_and_is_cut)
{
    begin(TCP);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    int fd = plain_socket();
    connect_plain(fd);
    if (garbage[_i].count > 0) {
        ck_assert_int_eq(send(fd, garbage[_i].bytes, garbage[_i].count, MSG_NOSIGNAL),
                         (ssize_t)garbage[_i].count);
    }
    uint64_t give_up_ns = hkb_zmq_now() + 13 * HKB_ZMQ_SECOND_NS;
    while (!is_ended(fd)) {
        ck_assert_uint_lt(hkb_zmq_now(), give_up_ns);
        (void)thost_turn(&server, 20);
        (void)thost_turn(&client, 0);
    }
    (void)close(fd);
    ck_assert_uint_eq(server.accepted_count, 1);
    send_text(here, "and we go on");
    THOST_UNTIL(&server, &client, there->bytes == 12);
    end();
}
END_TEST

START_TEST(dialing_what_does_not_speak_zeromq_fails_in_words)
{
    ck_assert_int_eq(thost_init(&client, &hakuban_transport_zmq_tcp, NULL), 0);
    int fd = plain_socket();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    (void)snprintf(url, sizeof(url), "zmq+tcp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    hakuban_carrier *carrier = dial(&client);
    int peer = accept(fd, NULL, NULL);
    ck_assert_int_eq(send(peer, "HTTP/1.0 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL), 28);
    (void)close(peer);
    THOST_UNTIL(&client, NULL, carrier->closed);
    ck_assert_uint_eq(carrier->opened, 0);
    ck_assert_int_eq(carrier->why, HAKUBAN_ERR_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(carrier->text, "does not speak ZeroMQ"));
    ck_assert_ptr_nonnull(strstr(carrier->text, url));
    (void)close(fd);
    thost_done(&client);
}
END_TEST

/* A socket of libzmq with what is told as its name, connected to the server. */
static void *raw_peer(void *context, int type, const char *name)
{
    void *peer = zmq_socket(context, type);
    ck_assert_ptr_nonnull(peer);
    ck_assert_int_eq(hkb_zmq_option(peer, ZMQ_LINGER, 0), 0);
    ck_assert_int_eq(hkb_zmq_option(peer, ZMQ_RECONNECT_IVL, -1), 0);
    if (name) {
        ck_assert_int_eq(zmq_setsockopt(peer, ZMQ_ROUTING_ID, name, strlen(name)), 0);
    }
    ck_assert_int_eq(zmq_connect(peer, url + strlen("zmq+")), 0);
    return peer;
}

START_TEST(a_peer_that_names_itself_is_refused)
{
    begin(_i);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    void *context = zmq_ctx_new(), *peer = raw_peer(context, ZMQ_DEALER, "me");
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    ck_assert_int_eq(zmq_socket_monitor(peer, "inproc://events", ZMQ_EVENT_DISCONNECTED), 0);
    ck_assert_int_eq(zmq_connect(monitor, "inproc://events"), 0);
    ck_assert_int_ge(zmq_send(peer, "", 0, 0), 0);
    ck_assert_int_ge(zmq_send(peer, "let me in", 9, 0), 0);
    unsigned event = 0;
    uint32_t value;
    THOST_UNTIL(&server, &client, hkb_zmq_event(monitor, &event, &value));
    ck_assert_uint_eq(event, ZMQ_EVENT_DISCONNECTED);
    (void)zmq_socket_monitor(peer, NULL, 0);
    (void)zmq_close(monitor);
    (void)zmq_close(peer);
    (void)zmq_ctx_term(context);
    ck_assert_uint_eq(server.accepted_count, 1);
    send_text(here, "undisturbed");
    THOST_UNTIL(&server, &client, there->bytes == 11);
    end();
}
END_TEST

START_TEST(a_peer_that_breaks_the_rules_is_closed_and_harms_no_other)
{
    begin(_i);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    void *context = zmq_ctx_new(), *peer = raw_peer(context, ZMQ_DEALER, NULL);
    /* What comes before the beginning does not count; many empty messages are one beginning. */
    ck_assert_int_ge(zmq_send(peer, "too early", 9, 0), 0);
    turn_for(300);
    ck_assert_uint_eq(server.accepted_count, 1);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_ge(zmq_send(peer, "", 0, 0), 0);
    }
    ck_assert_int_ge(zmq_send(peer, "hello", 5, 0), 0);
    THOST_UNTIL(&server, &client, server.accepted_count == 2 && server.links->bytes == 5);
    hakuban_carrier *odd = server.links;
    ck_assert_int_ge(zmq_send(peer, "two", 3, ZMQ_SNDMORE), 0);
    ck_assert_int_ge(zmq_send(peer, "parts", 5, 0), 0);
    THOST_UNTIL(&server, &client, odd->closed);
    ck_assert_int_eq(odd->why, HAKUBAN_ERR_PROTOCOL);
    (void)zmq_close(peer);
    /* More than any message may have: libzmq itself ends it. */
    static char large[HAKUBAN_MESSAGE_BYTES_MAX + 1];
    peer = raw_peer(context, ZMQ_DEALER, NULL);
    ck_assert_int_ge(zmq_send(peer, "", 0, 0), 0);
    ck_assert_int_ge(zmq_send(peer, large, sizeof(large), 0), 0);
    THOST_UNTIL(&server, &client, server.accepted_count == 3 && server.links->closed);
    ck_assert_uint_eq(server.links->bytes, 0);
    (void)zmq_close(peer);
    (void)zmq_ctx_term(context);
    send_text(here, "undisturbed");
    THOST_UNTIL(&server, &client, there->bytes == 11);
    ck_assert_uint_eq(there->closed, 0);
    end();
}
END_TEST

START_TEST(files_that_are_no_stale_sockets_are_left_alone)
{
    char path[64];
    hakuban_error error;
    ck_assert_int_eq(thost_init(&server, &hakuban_transport_zmq_ipc, NULL), 0);
    (void)snprintf(path, sizeof(path), "/tmp/hkb-zmq-file-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fclose(file);
    (void)snprintf(url, sizeof(url), "zmq+ipc://%s", path);
    ck_assert_int_eq(thost_listen(&server, url, NULL, &error), HAKUBAN_ERR_EXISTS);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0);
    /* A socket that its listener left behind is taken over. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    ck_assert_int_eq(thost_listen(&server, url, NULL, &error), 0);
    ck_assert_int_eq(thost_listen(&server, "zmq+ipc:///no/such/directory/x", NULL, &error),
                     HAKUBAN_ERR_NOT_FOUND);
    thost_done(&server);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* -- Descriptors -- */

START_TEST(out_of_descriptors_it_does_not_spin_and_recovers)
{
    begin(TCP);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    int waiting[20], taken[512];
    for (unsigned i = 0; i < 20; i++) {
        waiting[i] = plain_socket();
    }
    struct rlimit before, few;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 256;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    unsigned count = 0;
    while ((taken[count] = fcntl(waiting[0], F_DUPFD_CLOEXEC, 0)) >= 0) {
        count++;
    }
    ck_assert_int_eq(errno, EMFILE);
    hakuban_status status;
    hakuban_error error;
    ck_assert_ptr_null(thost_dial(&client, url, &status, &error));
    ck_assert_int_eq(status, HAKUBAN_ERR_IO);
    for (unsigned i = 0; i < 20; i++) {
        connect_plain(waiting[i]);
    }
    double used = cpu_seconds();
    turn_for(1000);
    used = cpu_seconds() - used;
    ck_assert_msg(used < 0.5, "used %.2f s of one second", used);
    /* The peer that was there before has noticed nothing. */
    send_text(here, "still here");
    THOST_UNTIL(&server, &client, there->bytes == 10);
    ck_assert_uint_eq(here->closed + there->closed, 0);
    while (count > 0) {
        (void)close(taken[--count]);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < 20; i++) {
        (void)close(waiting[i]);
    }
    here = connect_pair(&there);
    send_text(here, "new");
    THOST_UNTIL(&server, &client, there->bytes == 3);
    end();
}
END_TEST

START_TEST(out_of_descriptors_for_good_it_listens_again_later)
{
    begin(TCP);
    int waiting = plain_socket();
    struct rlimit before, few;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 3; /* even what is given back is above the limit */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    connect_plain(waiting);
    turn_for(400);
    double used = cpu_seconds();
    turn_for(300);
    used = cpu_seconds() - used;
    ck_assert_msg(used < 0.2, "used %.2f s of 0.3", used);
    turn_for(1000); /* a second later it tries to listen again, still in vain */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(waiting);
    hakuban_carrier *here = NULL;
    uint64_t give_up_ns = thost_deadline_ns();
    do {
        ck_assert(!thost_is_past(give_up_ns));
        if (!here || here->closed) {
            here = dial(&client);
        }
        turn_for(20);
    } while (!here->opened || server.accepted_count == 0);
    end();
}
END_TEST

START_TEST(near_the_limit_new_peers_are_cut_and_old_ones_stay)
{
    begin(_i);
    hakuban_carrier *here, *there;
    here = connect_pair(&there);
    hakuban_carrier *late = dial(&client);
    struct rlimit before, few;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 70;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    THOST_UNTIL(&server, &client, late->closed && server.trouble_count > 0);
    send_text(here, "still here");
    THOST_UNTIL(&server, &client, there->bytes == 10);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    THOST_UNTIL(&server, &client, server.accepted_count - server.closed_count == 1);
    ck_assert_uint_eq(there->closed, 0);
    end();
}
END_TEST

START_TEST(nothing_is_left_open)
{
    int before = fcntl(0, F_DUPFD_CLOEXEC, 0);
    (void)close(before);
    for (unsigned round = 0; round < 3; round++) {
        begin(_i);
        hakuban_carrier *here, *there;
        here = connect_pair(&there);
        send_text(here, "x");
        thost_shutdown(here);
        THOST_UNTIL(&server, &client, here->closed && there->closed);
        end();
        int after = fcntl(0, F_DUPFD_CLOEXEC, 0);
        (void)close(after);
        ck_assert_int_eq(after, before);
    }
}
END_TEST

/* -- A storm of handshakes -- */

#define STORMS 10
#define STORM_MS 200

typedef struct storm {
    struct sockaddr_in at;
    _Atomic bool over;
} storm;

/* Comes again and again: some introduce themselves, some begin to, some send anything. */
static void *storm_thread(void *memory)
{
    static const char whole[] =
        "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\4\x1a\5READY\x0bSocket-Type\0\0\0\6DEALER\0";
    storm *at = memory;
    int peers[64];
    unsigned count = 0, random = 2463534242u;
    for (; !at->over; count++) {
        int *peer = &peers[count % 64];
        unsigned char hello[200];
        size_t bytes = count % 4 < 2 ? sizeof(whole) : count % 4 == 2 ? 64 : sizeof(hello);
        if (count >= 64) {
            (void)close(*peer);
        }
        *peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(hello, whole, sizeof(whole));
        for (size_t i = 0; count % 4 == 3 && i < sizeof(hello); i++) {
            random = random * 1664525u + 1013904223u;
            hello[i] = (unsigned char)(random >> 24);
        }
        if (connect(*peer, (struct sockaddr *)&at->at, sizeof(at->at)) == 0) {
            (void)!send(*peer, hello, bytes, MSG_NOSIGNAL);
        }
    }
    for (unsigned i = 0; i < 64 && i < count; i++) {
        (void)close(peers[i]);
    }
    return NULL;
}

START_TEST(a_listener_may_end_in_a_storm_of_handshakes)
{
    for (int i = 0; i < STORMS; i++) {
        begin(TCP);
        storm at = {.at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
        at.at.sin_port = htons((uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10));
        pthread_t threads[2];
        for (int k = 0; k < 2; k++) {
            ck_assert_int_eq(pthread_create(&threads[k], NULL, storm_thread, &at), 0);
        }
        uint64_t until_ns = hkb_zmq_now() + STORM_MS * UINT64_C(1000000);
        while (hkb_zmq_now() < until_ns) {
            (void)thost_turn(&server, 1);
        }
        end();
        at.over = true;
        for (int k = 0; k < 2; k++) {
            ck_assert_int_eq(pthread_join(threads[k], NULL), 0);
        }
    }
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2) {
        return be_peer(argv[1]);
    }
    /* A hundred peers in one process, and four descriptors each. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    Suite *suite = suite_create("zmq");
    TCase *peers = tcase_create("peers");
    tcase_set_timeout(peers, 60);
    tcase_add_loop_test(
        peers, a_peer_that_comes_again_is_a_new_link_and_gets_nothing_of_the_old_one, 0, SUBJECTS);
    tcase_add_loop_test(peers, a_listener_that_comes_again_has_new_links_only, 0, SUBJECTS);
    tcase_add_loop_test(peers, a_killed_process_is_noticed, 0, SUBJECTS);
    tcase_add_loop_test(peers, closing_one_of_three_leaves_the_others_alone, 0, SUBJECTS);
    tcase_add_loop_test(peers, a_peer_that_does_not_read_stops_only_those_that_send_to_it, 0,
                        SUBJECTS);
    tcase_add_loop_test(peers, a_hundred_peers_are_told_apart, 0, SUBJECTS);
    tcase_add_loop_test(peers, idle_links_cost_nothing, 0, SUBJECTS);
    tcase_add_loop_test(peers, nothing_is_left_open, 0, SUBJECTS);
    suite_add_tcase(suite, peers);
    TCase *strangers = tcase_create("strangers");
    tcase_set_timeout(strangers, 60);
    tcase_add_loop_test(strangers, what_speaks_something_else_never_becomes_a_link_and_is_cut, 0,
                        (int)(sizeof(garbage) / sizeof(garbage[0])));
    tcase_add_test(strangers, dialing_what_does_not_speak_zeromq_fails_in_words);
    tcase_add_loop_test(strangers, a_peer_that_names_itself_is_refused, 0, SUBJECTS);
    tcase_add_loop_test(strangers, a_peer_that_breaks_the_rules_is_closed_and_harms_no_other, 0,
                        SUBJECTS);
    tcase_add_test(strangers, files_that_are_no_stale_sockets_are_left_alone);
    suite_add_tcase(suite, strangers);
    TCase *descriptors = tcase_create("descriptors");
    tcase_set_timeout(descriptors, 60);
    tcase_add_loop_test(descriptors, near_the_limit_new_peers_are_cut_and_old_ones_stay, 0,
                        SUBJECTS);
    tcase_add_test(descriptors, out_of_descriptors_it_does_not_spin_and_recovers);
    tcase_add_test(descriptors, out_of_descriptors_for_good_it_listens_again_later);
    tcase_add_test(descriptors, a_listener_may_end_in_a_storm_of_handshakes);
    suite_add_tcase(suite, descriptors);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
