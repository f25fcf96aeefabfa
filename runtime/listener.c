/* Listeners: from a URL to a transport that accepts. Knows no socket. */
#include "runtime/runtime.h"

#define HOST_BYTES_MAX 253      /* of a name in the domain name system */
#define LOOKUP_TIMEOUT_MS 1000u /* a name to listen at is this machine's own */

static hakuban_status check_scheme(const hakuban_exchange *exchange, const hakuban_url *url,
                                   hakuban_error *reterr)
{
    static const struct {
        const char *scheme, *option;
    } known[] = {{"tcp", "HAKUBAN_TRANSPORT_TCP"},
                 {"unix", "HAKUBAN_TRANSPORT_TCP"},
                 {"inproc", "HAKUBAN_TRANSPORT_INPROC"},
                 {"zmq+tcp", "HAKUBAN_TRANSPORT_ZMQ"},
                 {"zmq+ipc", "HAKUBAN_TRANSPORT_ZMQ"},
                 {"ws", "HAKUBAN_TRANSPORT_WS"},
                 {"tls", "HAKUBAN_TLS"},
                 {"wss", "HAKUBAN_TLS and HAKUBAN_TRANSPORT_WS"}};
    if (hkb_registry_transport(&exchange->registry, url->scheme)) {
        return HAKUBAN_OK;
    }
    for (size_t i = 0; i < HKB_COUNT(known); i++) {
        if (strcmp(url->scheme, known[i].scheme) == 0) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                                     "there is no transport for \"%s\": it was not built in "
                                     "(%s)",
                                     url->scheme, known[i].option);
        }
    }
    char shown[64];
    return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED, "there is no transport for \"%s\"",
                             hkb_escape(shown, sizeof(shown), url->scheme, strlen(url->scheme)));
}

hakuban_status hkb_url_check(const hakuban_exchange *exchange, const hakuban_url *url,
                             bool listening, hakuban_error *reterr)
{
    hakuban_status status = check_scheme(exchange, url, reterr);
    if (status < 0) {
        return status;
    }
    const hakuban_transport_ops *ops =
        &hkb_registry_transport(&exchange->registry, url->scheme)->ops;
    if ((ops->flags & HAKUBAN_TRANSPORT_NAMES) && strlen(url->host) > HOST_BYTES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "a host name has at most %d bytes",
                                 HOST_BYTES_MAX);
    }
    return ops->check ? ops->check(url, listening, reterr) : HAKUBAN_OK;
}

bool hkb_url_has_name(const hakuban_exchange *exchange, const hakuban_url *url)
{
    const hkb_transport_entry *entry = hkb_registry_transport(&exchange->registry, url->scheme);
    return (entry->ops.flags & HAKUBAN_TRANSPORT_NAMES) && !hkb_lookup_is_numeric(url->host);
}

bool hkb_url_is_encrypted(const hakuban_url *url)
{
    return strcmp(url->scheme, "tls") == 0 || strcmp(url->scheme, "wss") == 0;
}

/* Whether peers of other machines get in without a certificate. */
static bool is_open(const hakuban_url *url)
{
    size_t bytes = strlen(url->scheme);
    bool encrypted = hkb_url_is_encrypted(url);
    if (!encrypted && strcmp(url->scheme, "ws") != 0 &&
        (bytes < 3 || strcmp(url->scheme + bytes - 3, "tcp") != 0)) {
        return false;
    }
    const char *verify = encrypted ? hakuban_url_get(url, "verify") : NULL;
    if (verify && strcmp(verify, "required") == 0) {
        return false;
    }
    return strncmp(url->host, "127.", 4) != 0 && strcmp(url->host, "::1") != 0 &&
           strcmp(url->host, "localhost") != 0;
}

static hakuban_listener *listener_destroy(hakuban_listener *listener)
{
    const hakuban_alloc *alloc = listener->exchange->alloc;
    if (listener->memory) {
        hkb_free(alloc, listener->memory, listener->transport->entry->ops.listener_bytes);
    }
    hkb_free(alloc, listener, sizeof(*listener));
    return NULL;
}

/* What hakuban_exchange_listen() wants from the driving thread. */
struct wish {
    hkb_job job;
    hakuban_listener *listener;
    hakuban_url url;
    const hkb_answer *names; /* NULL: the host is used as it is */
    hakuban_status status;
    hakuban_error error;
};

static void listen_at(struct wish *wish)
{
    hakuban_listener *listener = wish->listener;
    const hakuban_transport_ops *ops = &listener->transport->entry->ops;
    hkb_list_push(&listener->exchange->listeners, &listener->node); /* for accepted() inside */
    hkb_slot_begin(listener->exchange);
    wish->status = ops->listen(listener->transport->self, listener->memory, &wish->url,
                               listener->url, sizeof(listener->url), &wish->error);
    if (wish->status < 0) {
        hkb_list_remove(&listener->node);
    }
    hkb_slot_end(listener->exchange);
}

/* A listener has one address: of a name's, the first that can be had. */
static void start(hkb_job *job)
{
    struct wish *wish = HKB_CONTAINER(job, struct wish, job);
    hakuban_listener *listener = wish->listener;
    hakuban_exchange *exchange = listener->exchange;
    wish->status = hkb_transport_get(exchange, &wish->url, &listener->transport, &wish->error);
    if (wish->status < 0) {
        return;
    }
    size_t memory_bytes = listener->transport->entry->ops.listener_bytes;
    listener->memory = hkb_alloc(exchange->alloc, memory_bytes);
    if (!listener->memory) {
        wish->status = hakuban_error_set(&wish->error, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return;
    }
    listen_at(wish);
    for (size_t i = 1; wish->status < 0 && wish->names && i < wish->names->count; i++) {
        memset(listener->memory, 0, memory_bytes);
        wish->url.host = wish->names->addresses[i];
        listen_at(wish);
    }
}

/* Whatever is wrong before the system is asked. */
static hakuban_status check(hakuban_exchange *exchange, hakuban_listener *listener,
                            const hakuban_url *url, hakuban_error *reterr)
{
    if (exchange->closing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_CLOSED, "the exchange is closed");
    }
    hakuban_status status = hkb_url_check(exchange, url, true, reterr);
    if (status >= 0) {
        status = hkb_link_settings_read(url, &exchange->registry, &listener->settings, reterr);
    }
    return status;
}

/* Blocks this thread, but nothing else. */
static hakuban_status look_up(const hakuban_url *url, hkb_lookup **ret, hakuban_error *reterr)
{
    hkb_lookup *lookup = NULL;
    hakuban_error error;
    hakuban_status status = hkb_lookup_start(url->host, NULL, &lookup, &error);
    if (status < 0) {
        return hakuban_error_set(reterr, status, "cannot listen on %s://%.120s: %s", url->scheme,
                                 url->authority, error.text);
    }
    const hkb_answer *answer = hkb_lookup_answer(lookup, LOOKUP_TIMEOUT_MS);
    if (answer && answer->count) {
        *ret = lookup;
        return HAKUBAN_OK;
    }
    status =
        hakuban_error_set(reterr, answer ? HAKUBAN_ERR_NOT_FOUND : HAKUBAN_ERR_TIMEOUT,
                          "cannot listen on %s://%.120s: %s", url->scheme, url->authority,
                          answer ? answer->why : "the name could not be looked up in a second");
    (void)hkb_lookup_free(lookup);
    return status;
}

static hakuban_status begin(hakuban_exchange *exchange, hakuban_listener *listener,
                            const hakuban_url *url, const hkb_answer *names, hakuban_error *reterr)
{
    if (exchange->closing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_CLOSED, "the exchange is closed");
    }
    struct wish wish = {.job = {.run = start}, .listener = listener, .url = *url, .names = names};
    if (names) {
        wish.url.host = names->addresses[0];
    }
    hkb_runtime_job(exchange, &wish.job, true);
    if (wish.status < 0 && reterr) {
        *reterr = wish.error;
    }
    if (wish.status >= 0 && is_open(url) && !exchange->warned) {
        exchange->warned = true;
        hkb_log(hkb_exchange_logger(exchange->core), HKB_LOG_OWN, NULL, HAKUBAN_LOG_WARNING,
                "runtime",
                "%s has no authentication; anybody who can reach it may observe and expose "
                "everything",
                listener->url);
    }
    return wish.status;
}

hakuban_status hakuban_exchange_listen(hakuban_exchange *exchange, const char *url,
                                       hakuban_listener **ret, hakuban_error *reterr)
{
    if (!exchange || !url || !ret) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "%s",
                                 hakuban_status_text(HAKUBAN_ERR_ARGUMENT));
    }
    hakuban_url *parsed = NULL;
    hakuban_status status = hkb_url_parse(exchange->alloc, url, &parsed, reterr);
    if (status < 0) {
        return status;
    }
    hakuban_listener *listener = hkb_alloc(exchange->alloc, sizeof(*listener));
    if (!listener) {
        (void)hkb_url_free(exchange->alloc, parsed);
        return hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    listener->exchange = exchange;
    hkb_runtime_enter(exchange);
    status = check(exchange, listener, parsed, reterr);
    bool has_name = status >= 0 && hkb_url_has_name(exchange, parsed);
    hkb_runtime_leave(exchange);
    hkb_lookup *lookup = NULL;
    if (has_name) {
        status = look_up(parsed, &lookup, reterr);
    }
    hkb_runtime_enter(exchange);
    if (status >= 0) {
        status =
            begin(exchange, listener, parsed, lookup ? hkb_lookup_answer(lookup, 0) : NULL, reterr);
    }
    if (status < 0) {
        (void)listener_destroy(listener);
    } else {
        exchange->handles++;
        *ret = listener;
    }
    hkb_runtime_leave(exchange);
    (void)hkb_lookup_free(lookup);
    (void)hkb_url_free(exchange->alloc, parsed);
    return status;
}

void hkb_listener_stop(hakuban_listener *listener)
{
    if (!hkb_node_linked(&listener->node)) {
        return;
    }
    hakuban_exchange *exchange = listener->exchange;
    hkb_slot_begin(exchange);
    listener->transport->entry->ops.unlisten(listener->transport->self, listener->memory);
    hkb_slot_end(exchange);
    /* A peer that has said nothing yet would not be known as this listener's any more. */
    HKB_LIST_EACH(hakuban_carrier, link, &exchange->carriers, node)
    {
        if (link->listener == listener) {
            link->listener = NULL;
            hkb_carrier_doom(link);
        }
    }
    hkb_list_remove(&listener->node);
    hkb_transport_forget(listener->transport, listener->memory);
}

static void finish(hkb_job *job)
{
    hakuban_listener *listener = HKB_CONTAINER(job, hakuban_listener, job);
    hkb_listener_stop(listener);
    (void)listener_destroy(listener);
}

hakuban_listener *hakuban_listener_free(hakuban_listener *listener)
{
    if (!listener) {
        return NULL;
    }
    hakuban_exchange *exchange = listener->exchange;
    if (hkb_runtime_is_inherited(exchange)) {
        return NULL;
    }
    hkb_runtime_enter(exchange);
    exchange->handles--;
    listener->job.run = finish;
    /* The library's thread is there to do it at once, so that the place can be listened at again
     * when this returns. */
    hkb_runtime_job(exchange, &listener->job, exchange->has_thread);
    hkb_runtime_leave(exchange);
    return NULL;
}

const char *hakuban_listener_url(const hakuban_listener *listener)
{
    return listener ? listener->url : NULL;
}
