/* The connection to the upstream: dials, says how it is, dials again with growing, jittered pauses.
 * A name is looked up, and a round of tries goes through all of its addresses; an address is a good
 * one when the other side's hello has come. Knows no frame. */
#include "runtime/runtime.h"

#include <stdio.h>

#define MS 1000000ull
#define PAUSE_FIRST_NS (100 * MS)
#define PAUSE_MAX_NS (10000 * MS)
#define PAUSE_MIN_NS (10 * MS)
#define AWAY_TRIES 20 /* pauses are at most this part of the grace, while the session waits */
#define CONNECT_TIMEOUT_NS (10000 * MS)
#define CONNECT_SHORT_NS (2000 * MS) /* in the first round, where there is another place to try */
#define LOOKUP_TIMEOUT_NS (5000 * MS)
/* A connection that was up this long was a good one: the pauses begin anew. A peer that accepts and
 * closes at once isn't. */
#define SETTLED_NS (5000 * MS)

static void tell(hakuban_connection *connection)
{
    if (connection->queue) {
        hkb_queue_push_connection(connection->queue, &connection->entry);
    }
    (void)pthread_cond_broadcast(&connection->exchange->changed);
}

static void set_state(hakuban_connection *connection, hakuban_connection_state state)
{
    if (connection->state == state) {
        return;
    }
    connection->state = state;
    tell(connection);
}

/* What repeats itself is told and logged once. */
static void note_error(hakuban_connection *connection, hakuban_status status, const char *text)
{
    hakuban_error *last = &connection->last_error;
    bool known = last->status == status && strncmp(last->text, text, sizeof(last->text) - 1) == 0;
    (void)hakuban_error_set(last, status, "%s", text);
    if (known) {
        return;
    }
    tell(connection);
    hkb_log(hkb_exchange_logger(connection->exchange->core), HKB_LOG_UPSTREAM, NULL,
            HAKUBAN_LOG_WARNING, "runtime", "%s://%s%s: %s", connection->url->scheme,
            connection->url->authority, connection->url->path, last->text);
}

/* While the program leaves: it may ask why that went wrong. */
static void note_last_words(hakuban_connection *connection, const hakuban_error *why)
{
    if (why) {
        connection->last_error = *why;
    }
}

/* Dials again after a random pause, of at most pause_max_ns. */
static void schedule(hakuban_connection *connection, uint64_t pause_max_ns)
{
    if (pause_max_ns > connection->backoff_ns) {
        pause_max_ns = connection->backoff_ns;
    }
    uint64_t pause_ns = hkb_runtime_random(connection->exchange) % (pause_max_ns + 1);
    if (pause_ns < PAUSE_MIN_NS) {
        pause_ns = PAUSE_MIN_NS;
    }
    connection->backoff_ns *= 2;
    if (connection->backoff_ns > PAUSE_MAX_NS) {
        connection->backoff_ns = PAUSE_MAX_NS;
    }
    hkb_timer_set(connection->exchange, &connection->retry,
                  connection->exchange->now_ns + pause_ns);
}

static void connect_timeout(hkb_timer *timer)
{
    hakuban_carrier *carrier = HKB_CONTAINER(timer, hakuban_carrier, deadline);
    if (carrier->connection && carrier->connection->left <= 1) {
        carrier->connection->told = true;
        note_error(carrier->connection, HAKUBAN_ERR_TIMEOUT, "no answer to connecting");
    }
    hkb_carrier_close(carrier);
}

/* A place that swallows everything must not keep the others waiting. One that is only slow gets
 * more time in each round. */
static uint64_t connect_timeout_ns(const hakuban_connection *connection)
{
    uint64_t short_ns = CONNECT_SHORT_NS * connection->tries;
    return connection->left > 1 && short_ns < CONNECT_TIMEOUT_NS ? short_ns : CONNECT_TIMEOUT_NS;
}

static hakuban_status dial(hakuban_connection *connection, hakuban_error *why)
{
    hakuban_exchange *exchange = connection->exchange;
    hakuban_status status =
        hkb_transport_get(exchange, connection->url, &connection->transport, why);
    if (status < 0) {
        return status;
    }
    const hkb_transport *transport = connection->transport;
    hakuban_carrier *carrier = hkb_carrier_new(connection->transport);
    if (!carrier) {
        return hakuban_error_set(why, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    connection->carrier = carrier;
    carrier->connection = connection;
    carrier->deadline.fire = connect_timeout;
    hkb_timer_set(exchange, &carrier->deadline, exchange->now_ns + connect_timeout_ns(connection));
    hakuban_url place = *connection->url;
    if (connection->looks_up) {
        place.host = connection->places.items[0].address;
    }
    hkb_slot_begin(exchange);
    status = transport->entry->ops.dial(transport->self, carrier->conn, carrier, &place, why);
    if (status < 0) {
        connection->carrier = NULL;
        hkb_carrier_free(carrier);
    }
    hkb_slot_end(exchange);
    return status;
}

/* The place that was tried has failed. Whether this round has another one. */
static bool another_is_left(hakuban_connection *connection)
{
    hkb_places_failed(&connection->places);
    connection->left -= connection->left > 0;
    return connection->left > 0;
}

static void try_places(hakuban_connection *connection)
{
    hakuban_status status;
    hakuban_error why;
    do {
        why = (hakuban_error){0};
        connection->told = connection->greeted = false;
        status = dial(connection, &why);
        if (status >= 0) {
            return;
        }
    } while (another_is_left(connection));
    note_error(connection, status, why.text[0] ? why.text : hakuban_status_text(status));
    schedule(connection, PAUSE_MAX_NS);
}

static void try_all(hakuban_connection *connection)
{
    connection->left = hkb_max(connection->places.count, 1);
    try_places(connection);
}

/* Without an answer: the places of the answer before, if there was one. */
static void try_without_answer(hakuban_connection *connection, hakuban_status status,
                               const char *reason)
{
    char text[sizeof(connection->last_error.text)];
    if (connection->places.count) {
        try_all(connection);
        return;
    }
    (void)snprintf(text, sizeof(text), "cannot connect to %s://%.120s: %s", connection->url->scheme,
                   connection->url->authority, reason);
    note_error(connection, status, text);
    schedule(connection, PAUSE_MAX_NS);
}

void hkb_dialer_turn(hakuban_exchange *exchange)
{
    hakuban_connection *connection = exchange->connection;
    const hkb_answer *answer =
        connection && connection->waits ? hkb_lookup_answer(connection->lookup, 0) : NULL;
    if (!answer) {
        return;
    }
    connection->waits = false;
    hkb_timer_cancel(&connection->patience);
    if (answer->count == 0) {
        try_without_answer(connection, HAKUBAN_ERR_NOT_FOUND, answer->why);
    } else if (hkb_places_take(&connection->places, exchange->alloc, answer) < 0) {
        try_without_answer(connection, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    } else {
        try_all(connection);
    }
    connection->lookup = hkb_lookup_free(connection->lookup);
}

/* The look-up goes on: its answer serves the next try. */
static void lookup_is_late(hkb_timer *timer)
{
    hakuban_connection *connection = HKB_CONTAINER(timer, hakuban_connection, patience);
    connection->waits = false;
    try_without_answer(connection, HAKUBAN_ERR_TIMEOUT, "the name could not be looked up in time");
}

/* An address that was good is tried without asking again: name servers may be as far away as it. */
static void try_now(hakuban_connection *connection)
{
    hakuban_exchange *exchange = connection->exchange;
    connection->tries++;
    if (!connection->looks_up || connection->places.good) {
        try_all(connection);
        return;
    }
    hakuban_error error;
    hakuban_status status =
        connection->lookup
            ? HAKUBAN_OK
            : hkb_lookup_start(connection->url->host, exchange->loop, &connection->lookup, &error);
    if (status < 0) {
        try_without_answer(connection, status, error.text);
        return;
    }
    connection->waits = true;
    hkb_timer_set(exchange, &connection->patience, exchange->now_ns + LOOKUP_TIMEOUT_NS);
    hkb_dialer_turn(exchange);
}

static void retry_due(hkb_timer *timer)
{
    hakuban_connection *connection = HKB_CONTAINER(timer, hakuban_connection, retry);
    if (connection->left > 0) {
        try_places(connection);
    } else {
        try_now(connection);
    }
}

static void is_settled(hkb_timer *timer)
{
    HKB_CONTAINER(timer, hakuban_connection, settled)->backoff_ns = PAUSE_FIRST_NS;
}

/* -- What its carrier tells -- */

static bool is_unverified(const hakuban_url *url)
{
    const char *verify = hkb_url_is_encrypted(url) ? hakuban_url_get(url, "verify") : NULL;
    return verify && strcmp(verify, "none") == 0;
}

void hkb_dialer_opened(hakuban_connection *connection, hkb_peer *peer)
{
    connection->tries = connection->left = 0;
    connection->greeted = true;
    hkb_places_succeeded(&connection->places);
    (void)hkb_escape(connection->peer, sizeof(connection->peer), hkb_peer_name(peer),
                     strlen(hkb_peer_name(peer)));
    hkb_timer_set(connection->exchange, &connection->settled,
                  connection->exchange->now_ns + SETTLED_NS);
    char known_as[HKB_KNOWN_AS_BYTES];
    hkb_log(hkb_exchange_logger(connection->exchange->core), HKB_LOG_UPSTREAM, NULL,
            HAKUBAN_LOG_INFO, "runtime", "%s://%s%s: connected to %s%s", connection->url->scheme,
            connection->url->authority, connection->url->path, connection->peer,
            connection->carrier ? hkb_carrier_known_as(connection->carrier, known_as) : "");
    if (is_unverified(connection->url)) {
        hkb_log(hkb_exchange_logger(connection->exchange->core), HKB_LOG_UPSTREAM, NULL,
                HAKUBAN_LOG_WARNING, "runtime",
                "%s://%s%s: the other side's certificate was not checked, as verify=none asks for; "
                "it may be anything that stands in between",
                connection->url->scheme, connection->url->authority, connection->url->path);
    }
    set_state(connection, HAKUBAN_CONNECTION_CONNECTED);
}

static bool is_refusal(hakuban_status status)
{
    return status == HAKUBAN_ERR_REFUSED || status == HAKUBAN_ERR_LOOP ||
           status == HAKUBAN_ERR_UNSUPPORTED;
}

void hkb_dialer_ended(hakuban_connection *connection, const hakuban_error *why)
{
    connection->told = true;
    hkb_timer_cancel(&connection->settled);
    if (connection->state == HAKUBAN_CONNECTION_CLOSED) {
        note_last_words(connection, why);
        return;
    }
    note_error(connection, why ? why->status : HAKUBAN_ERR_CLOSED,
               why ? why->text : "the other side ended the connection");
    set_state(connection, why && is_refusal(why->status) ? HAKUBAN_CONNECTION_REFUSED
                                                         : HAKUBAN_CONNECTION_CONNECTING);
}

void hkb_dialer_away(hakuban_connection *connection, const hakuban_error *why)
{
    connection->told = true;
    hkb_timer_cancel(&connection->settled);
    if (connection->state == HAKUBAN_CONNECTION_CLOSED) {
        note_last_words(connection, why);
        return;
    }
    note_error(connection, why->status, why->text);
    set_state(connection, HAKUBAN_CONNECTION_AWAY);
}

/* A session that is away has little time; but a grace of an hour is not filled with tries. */
static uint64_t away_pause_ns(const hakuban_connection *connection)
{
    uint64_t pause_ns = connection->settings.grace_ns / AWAY_TRIES;
    return pause_ns > PAUSE_FIRST_NS ? pause_ns : PAUSE_FIRST_NS;
}

void hkb_dialer_lost(hakuban_connection *connection, bool away, hakuban_status why,
                     const char *text)
{
    connection->carrier = NULL;
    hkb_timer_cancel(&connection->settled);
    if (connection->state == HAKUBAN_CONNECTION_CLOSED) {
        return;
    }
    if (!connection->greeted && another_is_left(connection)) {
        /* What is wrong with one of several places is not yet wrong with the connection. */
        hkb_log(hkb_exchange_logger(connection->exchange->core), HKB_LOG_UPSTREAM, NULL,
                HAKUBAN_LOG_DEBUG, "runtime", "%s; another address", text);
        hkb_timer_set(connection->exchange, &connection->retry, connection->exchange->now_ns);
        return;
    }
    if (!connection->told) {
        note_error(connection, why, text);
    }
    if (connection->state == HAKUBAN_CONNECTION_CONNECTED) {
        set_state(connection, away ? HAKUBAN_CONNECTION_AWAY : HAKUBAN_CONNECTION_CONNECTING);
    }
    schedule(connection, connection->state == HAKUBAN_CONNECTION_AWAY ? away_pause_ns(connection)
                                                                      : PAUSE_MAX_NS);
}

void hkb_dialer_stop(hakuban_connection *connection)
{
    hkb_timer_cancel(&connection->retry);
    hkb_timer_cancel(&connection->settled);
    hkb_timer_cancel(&connection->patience);
    connection->waits = false;
    connection->lookup = hkb_lookup_free(connection->lookup);
    hkb_list_remove(&connection->job.node);
    set_state(connection, HAKUBAN_CONNECTION_CLOSED);
}

void hkb_dialer_forget_queue(hakuban_exchange *exchange, const hakuban_queue *queue)
{
    hakuban_connection *connection = exchange->connection;
    if (connection && connection->queue == queue) {
        hkb_entry_cancel(&connection->entry.entry);
        connection->queue = NULL;
    }
}

/* -- The public functions -- */

static void start(hkb_job *job)
{
    try_now(HKB_CONTAINER(job, hakuban_connection, job));
}

static void connection_destroy(hakuban_connection *connection)
{
    const hakuban_alloc *alloc = connection->exchange->alloc;
    hkb_places_done(&connection->places, alloc);
    (void)hkb_lookup_free(connection->lookup);
    (void)hkb_url_free(alloc, connection->url);
    hkb_free(alloc, connection, sizeof(*connection));
}

/* The URL's parameter: as long as there is this connection. */
static hakuban_status begin_preload(hakuban_connection *connection, hakuban_error *reterr)
{
    hakuban_exchange *exchange = connection->exchange;
    const char *text = connection->settings.preload;
    char tag[HAKUBAN_DESCRIPTOR_BYTES_MAX + 1];
    size_t bytes;
    hakuban_error why;
    if (!text[0]) {
        return HAKUBAN_OK;
    }
    hakuban_slice json = {.data = text, .bytes = strlen(text)};
    if (hkb_tag_canonical(exchange->alloc, json, tag, &bytes, &why) < 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "parameter preload=%s: %s", text,
                                 why.text);
    }
    hakuban_status status = hkb_contract_new(exchange->core, HKB_PRELOAD_TAG, NULL,
                                             (hakuban_slice){.data = tag, .bytes = bytes}, 0, NULL,
                                             NULL, &connection->preload);
    return status < 0 ? hakuban_error_set(reterr, status, "%s", hakuban_status_text(status))
                      : status;
}

static void end_preload(hakuban_connection *connection)
{
    if (!connection->preload) {
        return;
    }
    hkb_contract_end(connection->preload);
    hkb_contract_unref(connection->preload);
    connection->preload = NULL;
}

static hakuban_status check(hakuban_exchange *exchange, hakuban_connection *connection,
                            hakuban_error *reterr)
{
    if (exchange->closing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_CLOSED, "the exchange is closed");
    }
    if (exchange->connection) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_EXISTS, "the exchange has a connection");
    }
    hakuban_status status = hkb_url_check(exchange, connection->url, false, reterr);
    if (status < 0) {
        return status;
    }
    connection->looks_up = hkb_url_has_name(exchange, connection->url);
    return hkb_link_settings_read(connection->url, &exchange->registry, &connection->settings,
                                  reterr);
}

hakuban_status hakuban_exchange_connect(hakuban_exchange *exchange, const char *url,
                                        const hakuban_connection_options *options,
                                        hakuban_connection **ret, hakuban_error *reterr)
{
    hakuban_connection_options wanted = {.size = sizeof(wanted)};
    if (!exchange || !url || !ret ||
        (options && options->size < offsetof(hakuban_connection_options, queue))) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "%s",
                                 hakuban_status_text(HAKUBAN_ERR_ARGUMENT));
    }
    if (options && !hkb_sized_read(&wanted, sizeof(wanted), options, options->size)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                                 "an option is set that this library does not know");
    }
    hakuban_connection *connection = hkb_alloc(exchange->alloc, sizeof(*connection));
    if (!connection) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    connection->exchange = exchange;
    connection->queue = wanted.queue;
    connection->entry.connection = connection;
    connection->entry.user = wanted.user;
    connection->backoff_ns = PAUSE_FIRST_NS;
    connection->retry.fire = retry_due;
    connection->settled.fire = is_settled;
    connection->patience.fire = lookup_is_late;
    connection->job.run = start;
    hakuban_status status = hkb_url_parse(exchange->alloc, url, &connection->url, reterr);
    if (status >= 0 && wanted.queue && hkb_queue_exchange(wanted.queue) != exchange->core) {
        status = hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT,
                                   "the queue belongs to another exchange");
    }
    hkb_runtime_enter(exchange);
    if (status >= 0) {
        status = check(exchange, connection, reterr);
    }
    if (status >= 0) {
        status = begin_preload(connection, reterr);
    }
    if (status >= 0) {
        exchange->connection = connection;
        exchange->handles++;
        hkb_exchange_expect_upstream(exchange->core, true);
        set_state(connection, HAKUBAN_CONNECTION_CONNECTING);
        *ret = connection;
        hkb_runtime_job(exchange, &connection->job, false);
    } else {
        connection_destroy(connection);
    }
    hkb_runtime_leave(exchange);
    return status;
}

static void finish(hkb_job *job)
{
    hakuban_connection *connection = HKB_CONTAINER(job, hakuban_connection, job);
    hakuban_carrier *carrier = connection->carrier;
    hkb_dialer_stop(connection);
    if (carrier) {
        /* The other side is told, so that it does not wait for a return; here that is not
         * waited for. */
        carrier->connection = NULL;
        if (carrier->peer) {
            hkb_peer_leave(carrier->peer);
        } else {
            hkb_carrier_doom(carrier);
        }
    }
    if (connection->users) {
        connection->doomed = true; /* they have been told: it is CLOSED now */
    } else {
        connection_destroy(connection);
    }
}

hakuban_connection *hakuban_connection_free(hakuban_connection *connection)
{
    if (!connection) {
        return NULL;
    }
    hakuban_exchange *exchange = connection->exchange;
    if (hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    hkb_runtime_enter(exchange);
    exchange->handles--;
    end_preload(connection);
    if (exchange->connection == connection) {
        exchange->connection = NULL;
        hkb_exchange_expect_upstream(exchange->core, false);
    }
    hkb_entry_cancel(&connection->entry.entry);
    connection->queue = NULL;
    hkb_list_remove(&connection->job.node); /* it may not even have started */
    connection->job.run = finish;
    hkb_runtime_job(exchange, &connection->job, false);
    hkb_runtime_leave(exchange);
    return NULL;
}

void hakuban_connection_query_sized(hakuban_connection *connection, hakuban_connection_info *ret,
                                    size_t info_bytes)
{
    if (!connection || !ret) {
        return;
    }
    hakuban_exchange *exchange = connection->exchange;
    hkb_runtime_enter(exchange);
    hakuban_connection_info info = {.state = connection->state, .tries = connection->tries};
    uint64_t retry_ns = hkb_timer_when(&connection->retry);
    if (retry_ns > exchange->now_ns) {
        info.next_try_ms = (retry_ns - exchange->now_ns + MS - 1) / MS;
    }
    if (connection->state == HAKUBAN_CONNECTION_CONNECTED) {
        memcpy(info.peer, connection->peer, sizeof(info.peer));
    } else {
        info.last_error = connection->last_error;
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    hkb_sized_write(ret, info_bytes, &info, sizeof(info));
}

hakuban_status hakuban_connection_wait(hakuban_connection *connection, int timeout_ms,
                                       hakuban_error *reterr)
{
    if (!connection) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "there is no connection");
    }
    hakuban_exchange *exchange = connection->exchange;
    hkb_runtime_enter(exchange);
    uint64_t until_ns = hkb_runtime_until(exchange->now_ns, timeout_ms);
    hakuban_status status = HAKUBAN_OK;
    bool in_time = timeout_ms != 0;
    connection->users++;
    while (connection->state != HAKUBAN_CONNECTION_CONNECTED) {
        if (exchange->closing || connection->state == HAKUBAN_CONNECTION_CLOSED) {
            status = HAKUBAN_ERR_CLOSED;
        } else {
            status = hkb_runtime_may_wait(exchange, in_time);
        }
        if (status < 0) {
            break;
        }
        in_time = hkb_runtime_wait(exchange, &exchange->changed, until_ns);
    }
    if (status < 0 && reterr) {
        if (connection->last_error.status < 0) {
            *reterr = connection->last_error;
        } else {
            (void)hakuban_error_set(reterr, status, "%s", hakuban_status_text(status));
        }
    }
    if (!--connection->users && connection->doomed) {
        connection_destroy(connection);
    }
    (void)pthread_mutex_unlock(&exchange->mutex);
    return status;
}
