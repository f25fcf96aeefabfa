/* The transports tls:// and wss://, and TLS as the cipher below them: the handshake, records out of
 * bytes and bytes into records. Sockets are transports/stream's affair, and OpenSSL sees none of
 * them: it reads what has come from memory, and what it writes is gathered in memory. */
#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "tls.h"

#define PLAIN_BYTES (64u * 1024)
#define OUT_BYTES (32u * 1024)
#define OUT_BYTES_KEPT (1024u * 1024)    /* more is given back after use */
#define ANSWERS_WAITING_MAX (64u * 1024) /* to a peer that does not read */

/* For all connections: what is only needed inside of one call. */
typedef struct tls_self {
    BIO_METHOD *method;
    unsigned char *out; /* records that are to be put */
    size_t out_bytes, out_capacity;
    unsigned char gathered[HKB_TLS_RECORD_BYTES_MAX], plain[PLAIN_BYTES];
} tls_self;

/* One connection. */
typedef struct tls {
    tls_self *common;
    hkb_tls_keys *keys;
    SSL *ssl;
    const hakuban_alloc *alloc;
    const unsigned char *in; /* what has come, and OpenSSL has not read yet */
    size_t in_bytes;
    unsigned char *early; /* written before both sides had agreed */
    size_t early_bytes, answers_waiting;
    bool broken;    /* OpenSSL must not be called any more */
    bool ended;     /* close_notify was sent */
    bool no_memory; /* out could not grow */
} tls;

/* -- What OpenSSL reads and writes -- */

static int bio_read(BIO *bio, char *out, int capacity)
{
    tls *it = BIO_get_data(bio);
    size_t bytes =
        capacity > 0 && (size_t)capacity < it->in_bytes ? (size_t)capacity : it->in_bytes;
    BIO_clear_retry_flags(bio);
    if (bytes == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, it->in, bytes);
    it->in += bytes;
    it->in_bytes -= bytes;
    return (int)bytes;
}

static bool grow_out(tls *it, size_t bytes)
{
    tls_self *common = it->common;
    size_t capacity = common->out_capacity ? common->out_capacity : OUT_BYTES;
    while (capacity < bytes) {
        capacity *= 2;
    }
    if (capacity == common->out_capacity) {
        return true;
    }
    void *grown = common->out ? it->alloc->realloc(it->alloc->ctx, common->out,
                                                   common->out_capacity, capacity)
                              : it->alloc->alloc(it->alloc->ctx, capacity);
    if (!grown) {
        return false;
    }
    common->out = grown;
    common->out_capacity = capacity;
    return true;
}

static int bio_write(BIO *bio, const char *data, int bytes)
{
    tls *it = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (bytes <= 0) {
        return 0;
    }
    if (!grow_out(it, it->common->out_bytes + (size_t)bytes)) {
        it->no_memory = true;
        return -1;
    }
    memcpy(it->common->out + it->common->out_bytes, data, (size_t)bytes);
    it->common->out_bytes += (size_t)bytes;
    return bytes;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* Puts what OpenSSL has written since. */
static hakuban_status flush(tls *it, hkb_stream_self *self, hkb_stream_conn *conn)
{
    tls_self *common = it->common;
    if (common->out_bytes == 0) {
        return HAKUBAN_OK;
    }
    hakuban_slice all = {common->out, common->out_bytes};
    common->out_bytes = 0;
    hakuban_status status = hkb_stream_put(self, conn, &all, 1);
    if (common->out_capacity > OUT_BYTES_KEPT) {
        it->alloc->free(it->alloc->ctx, common->out, common->out_capacity);
        common->out = NULL;
        common->out_capacity = 0;
    }
    return status;
}

/* -- Beginning and end -- */

static void free_state(tls *it)
{
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    SSL_free(it->ssl);
    hkb_tls_errors_end(kept);
    if (it->keys) {
        hkb_tls_keys_unref(it->keys);
    }
    if (it->early) {
        it->alloc->free(it->alloc->ctx, it->early, it->early_bytes);
    }
    it->alloc->free(it->alloc->ctx, it, sizeof(*it));
}

static void free_(hkb_stream_self *self, void *secret)
{
    (void)self;
    free_state(secret);
}

/* Takes the reference of keys, in any case. */
static tls *new_state(hkb_stream_self *self, hkb_tls_keys *keys)
{
    const hakuban_alloc *alloc = self->host->alloc;
    tls *it = alloc->alloc(alloc->ctx, sizeof(*it));
    if (!it) {
        hkb_tls_keys_unref(keys);
        return NULL;
    }
    memset(it, 0, sizeof(*it));
    it->common = self->cipher_self;
    it->alloc = alloc;
    it->keys = keys;
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    it->ssl = SSL_new(keys->context);
    BIO *bio = BIO_new(it->common->method);
    if (it->ssl && bio) {
        BIO_set_data(bio, it);
        SSL_set_bio(it->ssl, bio, bio);
    } else {
        BIO_free(bio);
    }
    if (it->ssl && keys->server) {
        SSL_set_accept_state(it->ssl);
    } else if (it->ssl) {
        SSL_set_connect_state(it->ssl);
    }
    bool named = keys->server || keys->is_address || !it->ssl ||
                 SSL_set_tlsext_host_name(it->ssl, keys->name) == 1;
    hkb_tls_errors_end(kept);
    if (!it->ssl || !bio || !named) {
        free_state(it);
        return NULL;
    }
    return it;
}

static hakuban_status listen_(hkb_stream_self *self, const hakuban_url *url, void **ret_keys,
                              hakuban_error *reterr)
{
    hkb_tls_keys *keys = NULL;
    hakuban_status status = hkb_tls_keys_new(self->host->alloc, url, true, &keys, reterr);
    if (status >= 0) {
        *ret_keys = keys;
    }
    return status;
}

static void unlisten(hkb_stream_self *self, void *keys)
{
    (void)self;
    hkb_tls_keys_unref(keys);
}

static void *accepted(hkb_stream_self *self, void *of_listener)
{
    hkb_tls_keys *keys = of_listener;
    keys->references++;
    return new_state(self, keys);
}

/* The files are read anew each time, so that renewed ones are used. */
static hakuban_status dial(hkb_stream_self *self, const hakuban_url *url, void **ret_secret,
                           hakuban_error *reterr)
{
    hkb_tls_keys *keys = NULL;
    hakuban_status status = hkb_tls_keys_new(self->host->alloc, url, false, &keys, reterr);
    if (status < 0) {
        return status;
    }
    *ret_secret = new_state(self, keys);
    return *ret_secret ? HAKUBAN_OK
                       : hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
}

/* Why OpenSSL has given result: it wants more bytes (OK), the other side has ended (ERR_CLOSED), or
 * a failure, in words. */
static hakuban_status judge(tls *it, int result, char text[HKB_STREAM_REASON_BYTES])
{
    static const char memory[] = "out of memory", end[] = "the other side closed the connection";
    switch (SSL_get_error(it->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return HAKUBAN_OK;
    case SSL_ERROR_ZERO_RETURN:
        memcpy(text, end, sizeof(end));
        return HAKUBAN_ERR_CLOSED;
    default:
        break;
    }
    it->broken = true;
    if (it->no_memory) {
        memcpy(text, memory, sizeof(memory));
        return HAKUBAN_ERR_NO_MEMORY;
    }
    return hkb_tls_words(it->keys, it->ssl, text);
}

/* The last words of OpenSSL are an alert, which tells the other side why. */
static void end_because(tls *it, hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                        const char *text)
{
    (void)flush(it, self, conn);
    if (!conn->over && why == HAKUBAN_ERR_CLOSED && !conn->rest) {
        hkb_stream_finish(self, conn, why, text);
    } else if (!conn->over) {
        hkb_stream_part(self, conn, why, "%s", text);
    }
}

/* -- Writing -- */

static bool write_record(tls *it, const unsigned char *data, size_t bytes)
{
    if (SSL_write(it->ssl, data, (int)bytes) == (int)bytes) {
        return true;
    }
    it->broken = true;
    return false;
}

/* Fills records, however many parts that takes. */
static bool write_records(tls *it, const hakuban_slice *parts, unsigned part_count)
{
    unsigned char *gathered = it->common->gathered;
    size_t filled = 0;
    for (unsigned i = 0; i < part_count; i++) {
        const unsigned char *data = parts[i].data;
        for (size_t left = parts[i].bytes; left > 0;) {
            size_t room = HKB_TLS_RECORD_BYTES_MAX - filled, piece = left < room ? left : room;
            bool whole = piece == HKB_TLS_RECORD_BYTES_MAX; /* as it is */
            if (!whole) {
                memcpy(gathered + filled, data, piece);
            }
            filled += piece;
            if (filled == HKB_TLS_RECORD_BYTES_MAX) {
                if (!write_record(it, whole ? data : gathered, filled)) {
                    return false;
                }
                filled = 0;
            }
            data += piece;
            left -= piece;
        }
    }
    return filled == 0 || write_record(it, gathered, filled);
}

/* One message at most: after OK_FULL no other is sent. */
static hakuban_status keep_early(tls *it, hkb_stream_self *self, hkb_stream_conn *conn,
                                 const hakuban_slice *parts, unsigned part_count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < part_count; i++) {
        bytes += parts[i].bytes;
    }
    if (bytes == 0) {
        return HAKUBAN_OK;
    }
    it->early = it->early ? NULL : it->alloc->alloc(it->alloc->ctx, bytes);
    if (!it->early) {
        return hkb_stream_fail(self, conn, ENOMEM);
    }
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].bytes > 0) {
            memcpy(it->early + it->early_bytes, parts[i].data, parts[i].bytes);
            it->early_bytes += parts[i].bytes;
        }
    }
    return HAKUBAN_OK_FULL;
}

static hakuban_status write_(hkb_stream_self *self, hkb_stream_conn *conn,
                             const hakuban_slice *parts, unsigned part_count)
{
    tls *it = conn->secret;
    if (!conn->secured) {
        return keep_early(it, self, conn, parts, part_count);
    }
    if (it->broken || it->ended) {
        return HAKUBAN_ERR_CLOSED;
    }
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    bool written = write_records(it, parts, part_count);
    hkb_tls_errors_end(kept);
    if (!written) {
        it->common->out_bytes = 0;
        return hkb_stream_fail(self, conn, it->no_memory ? ENOMEM : EPROTO);
    }
    return flush(it, self, conn);
}

static void shutdown_(hkb_stream_self *self, hkb_stream_conn *conn)
{
    tls *it = conn->secret;
    if (!conn->secured || it->broken || it->ended || conn->failure) {
        return;
    }
    it->ended = true;
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    (void)SSL_shutdown(it->ssl);
    hkb_tls_errors_end(kept);
    (void)flush(it, self, conn);
}

/* -- Reading -- */

static hakuban_status write_early(tls *it, hkb_stream_self *self, hkb_stream_conn *conn)
{
    hakuban_slice early = {it->early, it->early_bytes};
    hakuban_status status = HAKUBAN_OK;
    if (it->early) {
        status = write_records(it, &early, 1) ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
        it->alloc->free(it->alloc->ctx, it->early, it->early_bytes);
        it->early = NULL;
    }
    if (status < 0) {
        return hkb_stream_fail(self, conn, ENOMEM);
    }
    return flush(it, self, conn);
}

/* Whether both sides have agreed, and the connection is still there. */
static bool shake_hands(tls *it, hkb_stream_self *self, hkb_stream_conn *conn)
{
    char text[HKB_STREAM_REASON_BYTES], name[HKB_TLS_NAME_BYTES];
    hakuban_status why = HAKUBAN_OK;
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    int result = SSL_do_handshake(it->ssl);
    bool is_named = result == 1 && hkb_tls_name(it->ssl, name);
    if (result != 1) {
        why = judge(it, result, text);
    }
    hkb_tls_errors_end(kept);
    if (why < 0) {
        end_because(it, self, conn, why, text);
        return false;
    }
    if (result != 1) {
        (void)flush(it, self, conn);
        return false;
    }
    if (is_named) {
        hkb_stream_identity(self, conn, "cert", name);
    }
    if (write_early(it, self, conn) < 0) {
        return false;
    }
    hkb_stream_secured(self, conn, !it->keys->server);
    return self->busy == conn;
}

/* Answers that the protocol wants, such as to a renegotiation, to a peer that reads none of them.
 */
static bool answers_pile_up(tls *it, const hkb_stream_conn *conn)
{
    it->answers_waiting = conn->rest ? it->answers_waiting + it->common->out_bytes : 0;
    return it->answers_waiting > ANSWERS_WAITING_MAX;
}

/* All that has come is read, and given on in pieces as large as may be. */
static void read_records(tls *it, hkb_stream_self *self, hkb_stream_conn *conn)
{
    tls_self *common = it->common;
    char text[HKB_STREAM_REASON_BYTES];
    hakuban_status why = HAKUBAN_OK;
    for (bool more = true; more;) {
        size_t filled = 0;
        hkb_tls_errors *kept = hkb_tls_errors_begin();
        while (more && PLAIN_BYTES - filled >= HKB_TLS_RECORD_BYTES_MAX) {
            int got = SSL_read(it->ssl, common->plain + filled, (int)(PLAIN_BYTES - filled));
            more = got > 0;
            filled += more ? (size_t)got : 0;
            why = more ? HAKUBAN_OK : judge(it, got, text);
        }
        hkb_tls_errors_end(kept);
        if (why >= 0 && answers_pile_up(it, conn)) {
            why = HAKUBAN_ERR_PROTOCOL;
            memcpy(text, "TLS: it reads no answers", sizeof("TLS: it reads no answers"));
            more = false;
        }
        if (why >= 0) {
            (void)flush(it, self, conn);
        }
        if (filled > 0) {
            hkb_stream_give(self, conn, common->plain, filled);
        }
        if (self->busy != conn || conn->farewell) {
            return;
        }
    }
    if (why < 0) {
        end_because(it, self, conn, why, text);
    }
}

static void received(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes)
{
    tls *it = conn->secret;
    if (it->broken) {
        return;
    }
    it->in = data;
    it->in_bytes = bytes;
    if (conn->secured || shake_hands(it, self, conn)) {
        read_records(it, self, conn);
    }
}

static void connected(hkb_stream_self *self, hkb_stream_conn *conn)
{
    (void)shake_hands(conn->secret, self, conn);
}

/* -- The transports -- */

static void done(hkb_stream_self *self)
{
    const hakuban_alloc *alloc = self->host->alloc;
    tls_self *common = self->cipher_self;
    BIO_meth_free(common->method);
    if (common->out) {
        alloc->free(alloc->ctx, common->out, common->out_capacity);
    }
    alloc->free(alloc->ctx, common, sizeof(*common));
    self->cipher_self = NULL;
}

static const hkb_stream_cipher cipher = {
    .done = done,
    .listen = listen_,
    .unlisten = unlisten,
    .accepted = accepted,
    .dial = dial,
    .connected = connected,
    .received = received,
    .write = write_,
    .shutdown = shutdown_,
    .free = free_,
};

/* The kind of BIO has no number of its own: there are few, and each program has its own of them. */
static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "hakuban");
    if (method &&
        (BIO_meth_set_read(method, bio_read) != 1 || BIO_meth_set_write(method, bio_write) != 1 ||
         BIO_meth_set_ctrl(method, bio_ctrl) != 1 ||
         BIO_meth_set_create(method, bio_create) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

static hakuban_status init(hkb_stream_self *self, const hakuban_transport_host *host)
{
    tls_self *common = host->alloc->alloc(host->alloc->ctx, sizeof(*common));
    hakuban_status status = common ? hkb_stream_init(self, host) : HAKUBAN_ERR_NO_MEMORY;
    if (!common) {
        return status;
    }
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    memset(common, 0, sizeof(*common));
    common->method = make_method();
    hkb_tls_errors_end(kept);
    self->cipher_self = common;
    if (status >= 0 && !common->method) {
        status = HAKUBAN_ERR_NO_MEMORY;
    }
    if (status < 0) {
        done(self);
        hkb_stream_done(self);
        return status;
    }
    self->cipher = &cipher;
    return status;
}

static hakuban_status init_tls(void *self_memory, const hakuban_transport_host *host)
{
    hkb_stream_self *self = self_memory;
    self->layer = HKB_STREAM_SECOND_LAYER;
    self->layered = false;
    return init(self, host);
}

static hakuban_status check_tls(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    hakuban_status status = hkb_stream_check_url(url, listening, reterr);
    return status < 0 ? status : hkb_tls_check_url(url, listening, reterr);
}

const hakuban_transport_ops hakuban_transport_tls = HKB_STREAM_TABLE(
    "tls", HAKUBAN_TRANSPORT_STREAM | HAKUBAN_TRANSPORT_NAMES, init_tls, check_tls);

#ifdef HKB_TRANSPORT_WS
static hakuban_status init_wss(void *self_memory, const hakuban_transport_host *host)
{
    hkb_stream_self *self = self_memory;
    self->layer = &hkb_ws_layer;
    self->layered = true;
    return init(self, host);
}

static hakuban_status check_wss(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    hakuban_status status = hkb_ws_check_url(url, listening, reterr);
    return status < 0 ? status : hkb_tls_check_url(url, listening, reterr);
}

const hakuban_transport_ops hakuban_transport_wss =
    HKB_STREAM_TABLE("wss", HAKUBAN_TRANSPORT_NAMES, init_wss, check_wss);
#endif
