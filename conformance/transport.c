/* What every transport promises, between two hosts in one process. Knows no particular one. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "transport_host.h"

#define MESSAGE_BYTES_MAX HAKUBAN_MESSAGE_BYTES_MAX
#define MUST(condition) HKB_CHECK(checks, condition, "it must be that %s", #condition)
#define UNTIL(condition) THOST_UNTIL(&pair->server, &pair->client, condition)

enum { DESCRIPTORS_MAX = 4096, MESSAGES_MAX = 4096 };

struct pair {
    hkb_checks *checks;
    thost server, client;
    char url[256];
    size_t connected;
    unsigned descriptors;
    unsigned char block[MESSAGE_BYTES_MAX];
};

static const hakuban_transport_ops *ops_of(const hkb_checks *checks)
{
    return checks->ops;
}

static const hakuban_conformance_transport_options *options_of(const hkb_checks *checks)
{
    return checks->options;
}

static bool has_one_peer(hkb_checks *checks)
{
    if (!(options_of(checks)->flags & HAKUBAN_CONFORMANCE_ONE_PEER)) {
        return false;
    }
    hkb_check_remark(checks, "left out: there is one peer only");
    return true;
}

static bool has_no_shutdown(hkb_checks *checks)
{
    if (ops_of(checks)->shutdown) {
        return false;
    }
    hkb_check_remark(checks, "left out: there is no shutdown()");
    return true;
}

static bool has_resume(hkb_checks *checks)
{
    const hakuban_transport_ops *ops = ops_of(checks);
    if (ops->size >= offsetof(hakuban_transport_ops, resume) + sizeof(ops->resume) && ops->resume) {
        return true;
    }
    hkb_check_remark(checks, "left out: there is no resume()");
    return false;
}

/* -- Two hosts -- */

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void fail(void *ctx, const char *text)
{
    hkb_check_fail(ctx, "%s", text);
}

static void abandon(void *fixture)
{
    struct pair *left = fixture;
    left->client.over = left->server.over = true;
    thost_done(&left->client);
    thost_done(&left->server);
    free(left);
}

static void begin_host(struct pair *pair, thost *host, void *param)
{
    hkb_checks *checks = pair->checks;
    hakuban_status status = thost_begin(host, ops_of(checks), param, fail, checks);
    HKB_CHECK(checks, status == HAKUBAN_OK, "init() answers %s", hakuban_status_text(status));
}

/* failing: the side whose memory is used for what both share; 0: the client, 1: the server, else:
 * neither. */
static struct pair *begin_hosts(hkb_checks *checks, unsigned failing)
{
    const hakuban_conformance_transport_options *options = options_of(checks);
    struct pair *pair = calloc(1, sizeof(*pair));
    HKB_CHECK(checks, pair, "the checks themselves lack memory");
    uint32_t seed = 3;
    pair->checks = checks;
    pair->descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof(pair->block); i++) {
        pair->block[i] = (unsigned char)hkb_check_random(&seed);
    }
    void *listen_param = options->listen_param, *dial_param = options->dial_param;
    if (options->prepare) {
        options->prepare(options->prepare_ctx,
                         failing == 0   ? &pair->client.alloc
                         : failing == 1 ? &pair->server.alloc
                                        : NULL,
                         &listen_param, &dial_param);
    }
    checks->fixture = pair;
    begin_host(pair, &pair->server, listen_param);
    begin_host(pair, &pair->client, dial_param);
    return pair;
}

static struct pair *begin(hkb_checks *checks)
{
    hakuban_error error = {.status = HAKUBAN_OK};
    struct pair *pair = begin_hosts(checks, 2);
    hakuban_status status =
        thost_listen(&pair->server, options_of(checks)->listen_url, pair->url, &error);
    HKB_CHECK(checks, status == HAKUBAN_OK, "listening on %s: %s, %s",
              options_of(checks)->listen_url, hakuban_status_text(status), error.text);
    return pair;
}

static void end(struct pair *pair)
{
    hkb_checks *checks = pair->checks;
    bool owns = !(options_of(checks)->flags & HAKUBAN_CONFORMANCE_ONE_PEER);
    thost_done(&pair->client);
    thost_done(&pair->server);
    unsigned left = open_descriptors(), before = pair->descriptors;
    checks->fixture = NULL;
    free(pair);
    HKB_CHECK(checks, !owns || left == before, "%u descriptors were open, and now %u", before,
              left);
}

static const char *dial_url(const struct pair *pair)
{
    const char *url = options_of(pair->checks)->dial_url;
    return url ? url : pair->url;
}

static hakuban_carrier *dial(struct pair *pair, thost *from)
{
    hakuban_status status;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_carrier *carrier = thost_dial(from, dial_url(pair), &status, &error);
    HKB_CHECK(pair->checks, carrier, "dialing: %s, %s", hakuban_status_text(status), error.text);
    return carrier;
}

/* A connection: the dialing end is returned. */
static hakuban_carrier *connect_pair(struct pair *pair, hakuban_carrier **ret_accepted)
{
    hakuban_carrier *carrier = dial(pair, &pair->client);
    UNTIL(carrier->opened && pair->server.accepted_count > pair->connected);
    /* Where both sides have to agree on something, the dialer's last word may still be on its way,
     * and what the other side sends waits for it. */
    thost_settle(&pair->server, NULL);
    pair->connected = pair->server.accepted_count;
    *ret_accepted = pair->server.links;
    return carrier;
}

/* -- What was sent, and whether it arrived -- */

struct record {
    struct pair *pair;
    unsigned char *data;
    size_t bytes, capacity, lengths[MESSAGES_MAX], count;
};

static struct record *record_new(struct pair *pair)
{
    hakuban_alloc *alloc = &pair->checks->alloc;
    struct record *made = alloc->alloc(alloc->ctx, sizeof(*made));
    HKB_CHECK(pair->checks, made, "the checks themselves lack memory");
    memset(made, 0, sizeof(*made));
    made->pair = pair;
    return made;
}

static void record_free(struct record *record)
{
    hakuban_alloc *alloc = &record->pair->checks->alloc;
    if (record->data) {
        alloc->free(alloc->ctx, record->data, record->capacity);
    }
    alloc->free(alloc->ctx, record, sizeof(*record));
}

static void grow(struct record *record, size_t bytes)
{
    hakuban_alloc *alloc = &record->pair->checks->alloc;
    if (bytes <= record->capacity) {
        return;
    }
    size_t capacity = 2 * bytes;
    void *grown = record->data
                      ? alloc->realloc(alloc->ctx, record->data, record->capacity, capacity)
                      : alloc->alloc(alloc->ctx, capacity);
    HKB_CHECK(record->pair->checks, grown, "the checks themselves lack memory");
    record->data = grown;
    record->capacity = capacity;
}

static void send_recorded(struct record *sent, hakuban_carrier *carrier, size_t bytes)
{
    hkb_checks *checks = sent->pair->checks;
    unsigned char *message = sent->pair->block;
    message[0] = (unsigned char)sent->count;
    grow(sent, sent->bytes + bytes);
    memcpy(sent->data + sent->bytes, message, bytes);
    sent->bytes += bytes;
    HKB_CHECK(checks, sent->count < MESSAGES_MAX, "nothing ever fills up");
    sent->lengths[sent->count++] = bytes;
    hakuban_status status = thost_send(carrier, message, bytes);
    HKB_CHECK(checks, status == HAKUBAN_OK || status == HAKUBAN_OK_FULL,
              "sending %zu bytes: %s; %s", bytes, hakuban_status_text(status), carrier->text);
}

static void check_arrived(const struct record *sent, const hakuban_carrier *carrier)
{
    hkb_checks *checks = sent->pair->checks;
    HKB_CHECK(checks, carrier->bytes == sent->bytes, "%zu bytes were sent, %zu arrived",
              sent->bytes, carrier->bytes);
    HKB_CHECK(checks, sent->bytes == 0 || memcmp(carrier->data, sent->data, sent->bytes) == 0,
              "other bytes arrived than were sent");
    if (!(ops_of(checks)->flags & HAKUBAN_TRANSPORT_STREAM)) {
        HKB_CHECK(checks,
                  carrier->count == sent->count &&
                      memcmp(carrier->lengths, sent->lengths, sent->count * sizeof(size_t)) == 0,
                  "%zu messages were sent, %zu arrived, or with other boundaries", sent->count,
                  carrier->count);
    }
}

/* Sends until the writer is told to stop. */
static void fill(struct record *sent, hakuban_carrier *carrier, size_t bytes)
{
    while (!carrier->full) {
        HKB_CHECK(sent->pair->checks, sent->bytes < (size_t)64 << 20, "nothing ever fills up");
        send_recorded(sent, carrier, bytes);
    }
}

static void check_closed(hkb_checks *checks, const hakuban_carrier *carrier)
{
    HKB_CHECK(checks, carrier->closed == 1, "the connection is not closed");
    HKB_CHECK(checks, carrier->why == HAKUBAN_ERR_CLOSED, "closed as \"%s\", not ERR_CLOSED; %s",
              hakuban_status_text(carrier->why), carrier->text);
}

static void close_it(hakuban_carrier *carrier)
{
    thost_close(carrier);
}

static void echo(hakuban_carrier *carrier)
{
    if (thost_send(carrier, carrier->data + carrier->bytes - 1, 1) < 0) {
        thost_break(carrier->host, "sending inside of received() failed");
    }
}

/* -- The checks -- */

static void the_table_is_complete(hkb_checks *checks)
{
    const hakuban_transport_ops *ops = ops_of(checks);
    const hakuban_conformance_transport_options *options = options_of(checks);
    HKB_CHECK(checks, options && options->size == sizeof(*options) && options->listen_url,
              "the options do not say where to listen, or not their size");
    HKB_CHECK(checks, ops, "there is no table");
    HKB_CHECK(checks, ops->size == sizeof(*ops), "size is %u, not %zu", (unsigned)ops->size,
              sizeof(*ops));
    HKB_CHECK(checks, ops->abi == HAKUBAN_TRANSPORT_ABI, "abi is %u, not %u", (unsigned)ops->abi,
              HAKUBAN_TRANSPORT_ABI);
    HKB_CHECK(checks, ops->scheme && ops->scheme[0] && strlen(ops->scheme) <= 32,
              "the scheme is missing or longer than 32 bytes");
    HKB_CHECK(checks,
              ops->listen && ops->unlisten && ops->dial && ops->send && ops->close && ops->ready,
              "listen(), unlisten(), dial(), send(), close() or ready() is missing");
    HKB_CHECK(checks, ops->conn_bytes > 0, "a connection has no memory of its own");
}

static void check_url(hkb_checks *checks, const thost *host, const char *text, int listening)
{
    hakuban_url *url = NULL;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status = host->url_parse(text, &url, &error);
    HKB_CHECK(checks, status == HAKUBAN_OK, "%s is no URL: %s", text, error.text);
    status = ops_of(checks)->check(url, listening, &error);
    host->url_free(url);
    HKB_CHECK(checks, status == HAKUBAN_OK, "check() refuses %s: %s", text, error.text);
}

static void check_finds_nothing_wrong_with_urls_that_work(hkb_checks *checks)
{
    if (!ops_of(checks)->check) {
        hkb_check_remark(checks, "left out: there is no check()");
        return;
    }
    struct pair *pair = begin(checks);
    check_url(checks, &pair->server, options_of(checks)->listen_url, 1);
    check_url(checks, &pair->client, dial_url(pair), 0);
    end(pair);
}

static void messages_arrive_in_order_and_unchanged_both_ways(hkb_checks *checks)
{
    static const size_t sizes[] = {
        1, 2, 3, 100, 1000, 4095, 65535, 65536, 100000, MESSAGE_BYTES_MAX, 5};
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    struct record *out = record_new(pair), *back = record_new(pair);
    for (unsigned round = 0; round < 40; round++) {
        size_t bytes = sizes[round % HKB_CHECK_COUNT(sizes)];
        UNTIL(!here->full && !there->full);
        send_recorded(out, here, bytes);
        send_recorded(back, there, MESSAGE_BYTES_MAX + 1 - bytes);
    }
    UNTIL(there->bytes >= out->bytes && here->bytes >= back->bytes);
    check_arrived(out, there);
    check_arrived(back, here);
    HKB_CHECK(checks, there->peer[0], "an accepted peer has no address in words");
    record_free(out);
    record_free(back);
    end(pair);
}

static void a_reader_that_does_not_read_stops_the_writer_and_loses_nothing(hkb_checks *checks)
{
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    struct record *sent = record_new(pair);
    unsigned fulls = 0;
    for (unsigned round = 0; round < 3; round++) {
        /* The kernel's buffers may still grow a little after they were full. */
        while (!here->full) {
            fill(sent, here, round == 1 ? 30011 : MESSAGE_BYTES_MAX);
            fulls++;
            thost_settle(&pair->client, NULL);
        }
        UNTIL(!here->full);
        HKB_CHECK(checks, here->writable == fulls, "%u times OK_FULL, %u times writable()", fulls,
                  here->writable);
    }
    UNTIL(there->bytes >= sent->bytes);
    thost_settle(&pair->server, &pair->client);
    check_arrived(sent, there);
    record_free(sent);
    end(pair);
}

static void a_host_that_has_enough_stops_the_writer_until_it_resumes(hkb_checks *checks)
{
    enum { IN_HAND_MAX = 512 * 1024 }; /* of what was read before the host said so */
    if (!has_resume(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    struct record *sent = record_new(pair);
    for (unsigned round = 0; round < 3; round++) {
        size_t before = there->bytes;
        there->holds = true;
        do {
            fill(sent, here, round == 1 ? 30011 : MESSAGE_BYTES_MAX);
            thost_settle(&pair->server, &pair->client);
        } while (!here->full);
        HKB_CHECK(checks, there->bytes - before <= IN_HAND_MAX,
                  "%zu bytes were received while the host had enough", there->bytes - before);
        thost_resume(there);
        UNTIL(there->bytes >= sent->bytes && !here->full);
    }
    check_arrived(sent, there);
    record_free(sent);
    end(pair);
}

static void either_side_may_close_and_the_other_sees_it_once(hkb_checks *checks)
{
    for (unsigned round = 0; round < 2; round++) {
        struct pair *pair = begin(checks);
        hakuban_carrier *there, *here = connect_pair(pair, &there);
        hakuban_carrier *closing = round ? here : there, *other = round ? there : here;
        MUST(thost_send(closing, "bye", 3) == HAKUBAN_OK);
        thost_close(closing);
        check_closed(checks, closing);
        UNTIL(other->closed);
        check_closed(checks, other);
        MUST(other->bytes == 3);
        thost_settle(&pair->server, &pair->client);
        end(pair);
    }
}

static void a_connection_may_be_closed_inside_received(hkb_checks *checks)
{
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    there->on_received = close_it;
    struct record *sent = record_new(pair);
    fill(sent, here, 70000);
    here->on_writable = close_it;
    UNTIL(here->closed && there->closed);
    HKB_CHECK(checks, there->count == 1, "after closing it was called %zu times more",
              there->count - 1);
    check_closed(checks, there);
    thost_settle(&pair->server, &pair->client);
    record_free(sent);
    end(pair);
}

static void a_connection_may_be_closed_inside_opened(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *carrier = dial(pair, &pair->client);
    carrier->on_opened = close_it;
    UNTIL(pair->server.accepted_count == 1 && pair->server.closed_count == 1);
    check_closed(checks, carrier);
    end(pair);
}

static void a_connection_may_be_closed_inside_writable(hkb_checks *checks)
{
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    struct record *sent = record_new(pair);
    fill(sent, here, MESSAGE_BYTES_MAX);
    here->on_writable = close_it;
    UNTIL(there->closed);
    check_closed(checks, here);
    check_arrived(sent, there);
    record_free(sent);
    end(pair);
}

static void a_dial_may_be_closed_before_it_is_answered(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    for (unsigned i = 0; i < 10; i++) {
        hakuban_carrier *carrier = dial(pair, &pair->client);
        thost_close(carrier);
        check_closed(checks, carrier);
        MUST(carrier->opened == 0);
    }
    thost_settle(&pair->server, &pair->client);
    HKB_CHECK(checks, pair->server.accepted_count == pair->server.closed_count,
              "%zu were accepted, %zu of them closed", pair->server.accepted_count,
              pair->server.closed_count);
    end(pair);
}

static void messages_may_be_sent_inside_received(hkb_checks *checks)
{
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    here->on_received = echo;
    there->on_received = echo;
    MUST(thost_send(here, "x", 1) == HAKUBAN_OK);
    UNTIL(here->bytes >= 100 && there->bytes >= 100);
    end(pair);
}

static void after_shutdown_the_rest_arrives_and_then_the_end(hkb_checks *checks)
{
    if (has_no_shutdown(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    struct record *sent = record_new(pair);
    fill(sent, here, MESSAGE_BYTES_MAX);
    thost_shutdown(here);
    MUST(thost_send(there, "still heard", 11) == HAKUBAN_OK);
    THOST_UNTIL(&pair->client, NULL, here->bytes == 11);
    MUST(here->closed == 0);
    UNTIL(there->closed && here->closed);
    check_arrived(sent, there);
    check_closed(checks, there);
    check_closed(checks, here);
    HKB_CHECK(checks, here->writable == 0, "writable() after shutdown()");
    record_free(sent);
    end(pair);
}

static void shutdown_of_an_idle_connection_ends_it_for_the_other_side(hkb_checks *checks)
{
    if (has_no_shutdown(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    thost_shutdown(here);
    thost_shutdown(here);
    UNTIL(there->closed && here->closed);
    check_closed(checks, there);
    check_closed(checks, here);
    end(pair);
}

static void dialing_where_nothing_listens_fails_in_words(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    thost_unlisten(&pair->server, 0);
    hakuban_status status;
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_carrier *carrier = thost_dial(&pair->client, dial_url(pair), &status, &error);
    if (carrier) {
        THOST_UNTIL(&pair->client, NULL, carrier->closed);
        MUST(carrier->opened == 0);
        status = carrier->why;
    } else {
        HKB_CHECK(checks, error.status == status && error.text[0], "dial() failed without words");
    }
    HKB_CHECK(checks, status == HAKUBAN_ERR_REFUSED || status == HAKUBAN_ERR_NOT_FOUND,
              "it is \"%s\", not ERR_REFUSED or ERR_NOT_FOUND", hakuban_status_text(status));
    end(pair);
}

static void one_address_has_one_listener_and_is_free_again_afterwards(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_error error = {.status = HAKUBAN_OK};
    char again[256] = "untouched", same[1024];
    /* What listen() answers has no parameters. */
    const char *parameters = strchr(options_of(checks)->listen_url, '#');
    (void)snprintf(same, sizeof(same), "%s%s", pair->url, parameters ? parameters : "");
    MUST(thost_listen(&pair->client, same, again, &error) == HAKUBAN_ERR_EXISTS);
    MUST(strcmp(again, "untouched") == 0 && error.status == HAKUBAN_ERR_EXISTS && error.text[0]);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    thost_unlisten(&pair->server, 0);
    MUST(thost_send(here, "lives on", 8) == HAKUBAN_OK);
    UNTIL(there->bytes == 8);
    if (options_of(checks)->flags & HAKUBAN_CONFORMANCE_ADDRESS_HELD) {
        thost_close(here);
        UNTIL(thost_listen(&pair->client, same, again, &error) == HAKUBAN_OK);
        MUST(there->closed == 1);
        hkb_check_remark(checks, "free only when the connections accepted there have ended");
    } else {
        MUST(thost_listen(&pair->client, same, again, &error) == HAKUBAN_OK);
    }
    MUST(strcmp(again, pair->url) == 0);
    end(pair);
}

static void dialers_in_the_queue_are_closed_when_the_listener_goes(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *carrier = dial(pair, &pair->client);
    thost_unlisten(&pair->server, 0);
    THOST_UNTIL(&pair->client, NULL, carrier->closed);
    end(pair);
}

static void a_peer_that_the_host_refuses_is_closed(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    pair->server.refuse = true;
    hakuban_carrier *carrier = dial(pair, &pair->client);
    UNTIL(carrier->closed);
    thost_settle(&pair->server, &pair->client);
    MUST(pair->server.accepted_count == 0);
    end(pair);
}

static void two_hundred_connections_at_once(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    hakuban_carrier *links[200];
    bool seen[200] = {false};
    for (unsigned i = 0; i < 200; i++) {
        links[i] = dial(pair, &pair->client);
    }
    UNTIL(pair->server.accepted_count == 200);
    for (unsigned i = 0; i < 200; i++) {
        /* Two bytes, because one may not be enough to tell which protocol it is that begins. */
        unsigned char number[] = {(unsigned char)i, 0};
        UNTIL(links[i]->opened);
        MUST(thost_send(links[i], number, 2) == HAKUBAN_OK);
    }
    for (hakuban_carrier *carrier = pair->server.links; carrier; carrier = carrier->next) {
        UNTIL(carrier->bytes == 2);
        HKB_CHECK(checks, carrier->data[0] < 200 && !seen[carrier->data[0]],
                  "two got the same message");
        seen[carrier->data[0]] = true;
    }
    for (unsigned i = 0; i < 200; i++) {
        thost_close(links[i]);
    }
    UNTIL(pair->server.closed_count == 200);
    end(pair);
}

static void both_ends_may_be_in_one_loop(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    thost *both = &pair->server;
    hakuban_carrier *here = dial(pair, both);
    THOST_UNTIL(both, NULL, here->opened && both->accepted_count == 1);
    hakuban_carrier *there = both->links;
    struct record *out = record_new(pair), *back = record_new(pair);
    for (unsigned round = 0; round < 3; round++) {
        fill(out, here, MESSAGE_BYTES_MAX);
        fill(back, there, MESSAGE_BYTES_MAX);
        THOST_UNTIL(both, NULL, !here->full && !there->full);
    }
    THOST_UNTIL(both, NULL, here->bytes == back->bytes && there->bytes == out->bytes);
    check_arrived(out, there);
    check_arrived(back, here);
    thost_close(there);
    THOST_UNTIL(both, NULL, here->closed);
    record_free(out);
    record_free(back);
    end(pair);
}

static void a_write_to_a_peer_that_is_gone_fails_and_closes_once(hkb_checks *checks)
{
    struct pair *pair = begin(checks);
    hakuban_carrier *there, *here = connect_pair(pair, &there);
    thost_close(there);
    /* The first bytes may still be taken by the kernel; sooner or later it says no. */
    for (unsigned i = 0; i < 1000 && !here->full; i++) {
        if (thost_send(here, pair->block, 10) < 0) {
            break;
        }
    }
    THOST_UNTIL(&pair->client, NULL, here->closed);
    thost_settle(&pair->client, NULL);
    HKB_CHECK(checks, here->why == HAKUBAN_ERR_CLOSED || here->why == HAKUBAN_ERR_IO,
              "closed as \"%s\", not ERR_CLOSED or ERR_IO", hakuban_status_text(here->why));
    end(pair);
}

/* Listens, connects, fills up, goes on, ends: each step may fail for lack of memory, and then says
 * so. */
static void live_through(hkb_checks *checks, struct pair *pair)
{
    hakuban_error error = {.status = HAKUBAN_OK};
    hakuban_status status;
    if (thost_listen(&pair->server, options_of(checks)->listen_url, pair->url, &error)) {
        HKB_CHECK(checks, error.status == HAKUBAN_ERR_NO_MEMORY && error.text[0],
                  "listen() says \"%s\", not ERR_NO_MEMORY in words",
                  hakuban_status_text(error.status));
        return;
    }
    hakuban_carrier *here = thost_dial(&pair->client, dial_url(pair), &status, &error);
    if (!here) {
        HKB_CHECK(checks, status == HAKUBAN_ERR_NO_MEMORY, "dial() says \"%s\", not ERR_NO_MEMORY",
                  hakuban_status_text(status));
        return;
    }
    UNTIL((here->opened && pair->server.accepted_count) || here->closed);
    for (unsigned i = 0; i < 200 && !here->closed && !here->full; i++) {
        if (thost_send(here, pair->block, MESSAGE_BYTES_MAX) < 0) {
            UNTIL(here->closed);
            return;
        }
    }
    UNTIL(here->closed || !here->full);
    if (!here->closed && ops_of(checks)->shutdown) {
        thost_shutdown(here);
        UNTIL(here->closed && pair->server.closed_count);
    }
}

static void lack_of_memory_is_reported_and_leaves_nothing_behind(hkb_checks *checks)
{
    for (unsigned side = 0; side < 2; side++) {
        bool failed = true;
        for (long nth = 1; failed; nth++) {
            struct pair *pair = begin_hosts(checks, side);
            thost *failing = side ? &pair->server : &pair->client;
            failing->fail_at = nth;
            live_through(checks, pair);
            failed = failing->failed;
            failing->fail_at = 0;
            /* The last side to leave frees what both shared, which here is memory of the failing
             * side. */
            if (side) {
                end(pair);
            } else {
                thost_done(&pair->server);
                thost_done(&pair->client);
                checks->fixture = NULL;
                free(pair);
            }
            MUST(nth < 200);
        }
    }
}

static void without_descriptors_listening_and_dialing_fail_in_words(hkb_checks *checks)
{
    if (has_one_peer(checks)) {
        return;
    }
    struct pair *pair = begin(checks);
    struct rlimit before, none;
    hakuban_status dialed, listened;
    hakuban_error errors[2] = {{.status = HAKUBAN_OK}, {.status = HAKUBAN_OK}};
    MUST(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 3;
    MUST(setrlimit(RLIMIT_NOFILE, &none) == 0);
    hakuban_carrier *carrier = thost_dial(&pair->client, dial_url(pair), &dialed, &errors[0]);
    listened = thost_listen(&pair->client, options_of(checks)->listen_url, NULL, &errors[1]);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    HKB_CHECK(checks, carrier || (dialed == HAKUBAN_ERR_IO && errors[0].text[0]),
              "dial() says \"%s\", not ERR_IO in words", hakuban_status_text(dialed));
    HKB_CHECK(checks, listened == HAKUBAN_OK || (listened == errors[1].status && errors[1].text[0]),
              "listen() fails without words");
    end(pair);
}

static void lack_of_memory_at_the_beginning_is_an_error_of_init(hkb_checks *checks)
{
    const hakuban_transport_ops *ops = ops_of(checks);
    struct pair *pair = begin_hosts(checks, 2);
    thost *host = &pair->client;
    bool failed = ops->init != NULL;
    if (failed && ops->done) {
        ops->done(host->self);
    }
    for (long nth = 1; failed; nth++) {
        if (ops->self_bytes) {
            memset(host->self, 0, ops->self_bytes);
        }
        host->failed = false;
        host->fail_at = nth;
        hakuban_status status = ops->init(host->self, &host->table);
        host->fail_at = 0;
        failed = host->failed;
        HKB_CHECK(checks, status == (failed ? HAKUBAN_ERR_NO_MEMORY : HAKUBAN_OK),
                  "allocation %ld failed, and init() answers %s", nth, hakuban_status_text(status));
        HKB_CHECK(checks, !failed || host->allocated_bytes == 0,
                  "allocation %ld failed, and init() leaves %zu bytes", nth, host->allocated_bytes);
        MUST(nth < 200);
    }
    end(pair);
}

#define CHECK(name) {#name, name}

unsigned hakuban_conformance_transport(const hakuban_transport_ops *ops,
                                       const hakuban_conformance_transport_options *options,
                                       hakuban_conformance_report *report, void *ctx)
{
    static const hkb_check list[] = {
        CHECK(the_table_is_complete),
        CHECK(messages_arrive_in_order_and_unchanged_both_ways),
        CHECK(a_reader_that_does_not_read_stops_the_writer_and_loses_nothing),
        CHECK(a_host_that_has_enough_stops_the_writer_until_it_resumes),
        CHECK(either_side_may_close_and_the_other_sees_it_once),
        CHECK(a_connection_may_be_closed_inside_received),
        CHECK(a_connection_may_be_closed_inside_opened),
        CHECK(a_connection_may_be_closed_inside_writable),
        CHECK(a_dial_may_be_closed_before_it_is_answered),
        CHECK(messages_may_be_sent_inside_received),
        CHECK(after_shutdown_the_rest_arrives_and_then_the_end),
        CHECK(shutdown_of_an_idle_connection_ends_it_for_the_other_side),
        CHECK(dialing_where_nothing_listens_fails_in_words),
        CHECK(one_address_has_one_listener_and_is_free_again_afterwards),
        CHECK(dialers_in_the_queue_are_closed_when_the_listener_goes),
        CHECK(a_peer_that_the_host_refuses_is_closed),
        CHECK(two_hundred_connections_at_once),
        CHECK(both_ends_may_be_in_one_loop),
        CHECK(a_write_to_a_peer_that_is_gone_fails_and_closes_once),
        CHECK(lack_of_memory_is_reported_and_leaves_nothing_behind),
        CHECK(without_descriptors_listening_and_dialing_fail_in_words),
        CHECK(lack_of_memory_at_the_beginning_is_an_error_of_init),
        CHECK(check_finds_nothing_wrong_with_urls_that_work),
    };
    hkb_checks checks = {
        .ops = ops, .options = options, .report = report, .report_ctx = ctx, .abandon = abandon};
    return hkb_checks_run(&checks, list, HKB_CHECK_COUNT(list));
}
