/* From the parameters of a URL to what OpenSSL needs: certificates, keys, authorities. Each
 * file that cannot be used is named, with the reason. Opens no connection. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls.h"

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 is the oldest that will do"
#endif

/* With TLS 1.2 only what has forward secrecy and authenticates what it encrypts. */
#define CIPHERS_OF_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define SECURITY_LEVEL 2 /* 112 bits: RSA from 2048 on, no SHA-1 */
#define NAME_BYTES_MAX 253

/* -- URLs -- */

static hakuban_status wrong(hakuban_error *reterr, const char *text)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "%s", text);
}

static bool is(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

hakuban_status hkb_tls_check_url(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    const char *cert = hakuban_url_get(url, "cert"), *key = hakuban_url_get(url, "key"),
               *ca = hakuban_url_get(url, "ca"), *verify = hakuban_url_get(url, "verify"),
               *name = hakuban_url_get(url, "server-name");
    if (key && !cert) {
        return wrong(reterr, "key=FILE belongs to a certificate, and there is no cert=FILE");
    }
    if (listening && !cert) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "to listen on %s:// takes a certificate and its key: "
                                 "#cert=FILE,key=FILE",
                                 url->scheme);
    }
    if (listening && verify && !is(verify, "required") && !is(verify, "optional")) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "verify is required or optional where clients are to show "
                                 "certificates, not %.64s",
                                 verify);
    }
    if (listening && verify && !ca) {
        return wrong(reterr, "verify takes a ca=FILE: the authority of the clients' certificates");
    }
    if (listening && ca && !verify) {
        return wrong(reterr, "ca=FILE means nothing here without verify=required or "
                             "verify=optional");
    }
    if (listening && name) {
        return wrong(reterr, "server-name is of connections, not of listeners");
    }
    if (!listening && verify && !is(verify, "none") && !is(verify, "required")) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "verify is required, or none where the other side's certificate "
                                 "is not to be checked, not %.64s",
                                 verify);
    }
    if (!listening && is(verify, "none") && ca) {
        return wrong(reterr, "ca=FILE means nothing with verify=none");
    }
    if (name && (!name[0] || strlen(name) > NAME_BYTES_MAX)) {
        return wrong(reterr, "server-name is a name of 1 to 253 bytes");
    }
    return HAKUBAN_OK;
}

/* -- Files -- */

typedef struct reading {
    const hakuban_alloc *alloc;
    const hakuban_url *url;
    bool listening;
    hkb_tls_keys *keys;
    hakuban_error *reterr;
} reading;

static hakuban_status cannot(const reading *at, hakuban_status status, const char *param,
                             const char *path, const char *why)
{
    char where[HKB_ADDRESS_WHERE_BYTES];
    hkb_address_where(at->url, where);
    return hakuban_error_set(at->reterr, status, "cannot %s %s: %s=%.100s: %s",
                             at->listening ? "listen on" : "connect to", where, param, path, why);
}

static hakuban_status no_memory(const reading *at)
{
    return hakuban_error_set(at->reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
}

/* What root or another user shares with this one by the file's group, as in Debian's
 * /etc/ssl/private, or by an access list, as systemd's credentials, is meant to be read here. */
static bool is_too_open(const struct stat *file)
{
    return (file->st_mode & S_IRWXO) || (file->st_mode & S_IWGRP) ||
           ((file->st_mode & S_IRGRP) && file->st_uid == geteuid() && file->st_uid != 0);
}

static hakuban_status open_file(const reading *at, const char *param, const char *path, bool secret,
                                int *ret_fd, size_t *ret_bytes)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &file) != 0) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return cannot(at, hkb_address_status(error), param, path, strerror(error));
    }
    const char *why = !S_ISREG(file.st_mode)                         ? "it is no file"
                      : file.st_size == 0                            ? "it is empty"
                      : file.st_size > (off_t)HKB_TLS_FILE_BYTES_MAX ? "it has more than 1 MiB"
                      : secret && is_too_open(&file)
                          ? "others may read it; chmod 600 makes it private"
                          : NULL;
    if (why) {
        (void)close(fd);
        return cannot(at, HAKUBAN_ERR_IO, param, path, why);
    }
    *ret_fd = fd;
    *ret_bytes = (size_t)file.st_size;
    return HAKUBAN_OK;
}

/* A copy of the file for OpenSSL to read from, in memory that is wiped when it is freed. */
static hakuban_status read_file(const reading *at, const char *param, const char *path, bool secret,
                                BIO **ret)
{
    int fd = -1;
    size_t bytes = 0;
    hakuban_status status = open_file(at, param, path, secret, &fd, &bytes);
    if (status < 0) {
        return status;
    }
    BIO *bio = BIO_new(BIO_s_secmem());
    char block[4096];
    ssize_t got = bio ? 1 : -1;
    while (bio && (got = read(fd, block, sizeof(block))) > 0) {
        if (BIO_write(bio, block, (int)got) != got) {
            BIO_free(bio);
            bio = NULL;
        }
    }
    int error = errno;
    (void)close(fd);
    OPENSSL_cleanse(block, sizeof(block));
    if (!bio) {
        return no_memory(at);
    }
    if (got < 0) {
        BIO_free(bio);
        return cannot(at, HAKUBAN_ERR_IO, param, path, strerror(error));
    }
    *ret = bio;
    return HAKUBAN_OK;
}

/* Whether the last error is that there is nothing more. */
static bool is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static int no_password(char *out, int bytes, int writing, void *asked)
{
    (void)out;
    (void)bytes;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static const char *why_certificate(void)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    return reason == SSL_R_EE_KEY_TOO_SMALL ? "its key is too weak"
           : reason == SSL_R_CA_MD_TOO_WEAK || reason == SSL_R_CA_KEY_TOO_SMALL
               ? "its signature is too weak"
               : "it cannot be used";
}

/* The side's own certificate, and those between it and its authority. */
static hakuban_status use_certificates(const reading *at, const char *path)
{
    SSL_CTX *context = at->keys->context;
    BIO *bio = NULL;
    hakuban_status status = read_file(at, "cert", path, false, &bio);
    if (status < 0) {
        return status;
    }
    const char *why = NULL;
    X509 *own = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL), *next;
    if (!own) {
        why = is_at_end() ? "there is no certificate in it (PEM)" : "it is damaged";
    } else if (SSL_CTX_use_certificate(context, own) != 1) {
        why = why_certificate();
    }
    while (!why && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            why = why_certificate();
        }
    }
    if (!why && !is_at_end()) {
        why = "it is damaged";
    }
    X509_free(own);
    BIO_free(bio);
    ERR_clear_error();
    return why ? cannot(at, HAKUBAN_ERR_PARSE, "cert", path, why) : HAKUBAN_OK;
}

static hakuban_status use_key(const reading *at, const char *path)
{
    BIO *bio = NULL;
    hakuban_status status = read_file(at, "key", path, true, &bio);
    if (status < 0) {
        return status;
    }
    bool asked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);
    const char *why = asked  ? "it has a password, which cannot be asked for"
                      : !key ? "there is no private key in it that can be read (PEM)"
                      : SSL_CTX_use_PrivateKey(at->keys->context, key) != 1 ||
                              SSL_CTX_check_private_key(at->keys->context) != 1
                          ? "it does not belong to the certificate"
                          : NULL;
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return why ? cannot(at, HAKUBAN_ERR_PARSE, "key", path, why) : HAKUBAN_OK;
}

static hakuban_status believe(const reading *at, const char *path)
{
    X509_STORE *store = SSL_CTX_get_cert_store(at->keys->context);
    /* What the file has is believed, also where it is no root. */
    (void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(at->keys->context),
                                      X509_V_FLAG_PARTIAL_CHAIN);
    BIO *bio = NULL;
    hakuban_status status = read_file(at, "ca", path, false, &bio);
    if (status < 0) {
        return status;
    }
    const char *why = NULL;
    unsigned count = 0;
    X509 *next;
    while (!why && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        why = X509_STORE_add_cert(store, next) != 1 ? "a certificate in it cannot be used" : NULL;
        X509_free(next);
        count++;
    }
    if (!why) {
        why = !is_at_end() ? "it is damaged"
              : count == 0 ? "there is no certificate in it (PEM)"
                           : NULL;
    }
    BIO_free(bio);
    ERR_clear_error();
    return why ? cannot(at, HAKUBAN_ERR_PARSE, "ca", path, why) : HAKUBAN_OK;
}

/* -- Protocols of what is above TLS (ALPN) -- */

static const unsigned char native[] = {9, 'h', 'a', 'k', 'u', 'b', 'a', 'n', '.', '1'};
static const unsigned char http[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* A client that offers others only has come to the wrong place. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *unused)
{
    static const struct {
        const unsigned char *protocol;
        size_t bytes;
    } known[] = {{native, sizeof(native)}, {http, sizeof(http)}};
    (void)ssl;
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        for (unsigned at = 0; at < offered_bytes; at += 1u + offered[at]) {
            if (offered_bytes - at >= known[i].bytes &&
                memcmp(offered + at, known[i].protocol, known[i].bytes) == 0) {
                *out = offered + at + 1;
                *out_bytes = offered[at];
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool offer_protocol(SSL_CTX *context, const hakuban_url *url)
{
    bool is_http = strcmp(url->scheme, "wss") == 0;
    return SSL_CTX_set_alpn_protos(context, is_http ? http : native,
                                   is_http ? sizeof(http) : sizeof(native)) == 0;
}

/* -- Contexts -- */

/* The host as it was written, without its port; where the library has looked it up, url->host is
 * the address. */
static void written_host(const hakuban_url *url, char out[NAME_BYTES_MAX + 1])
{
    const char *from = url->authority, *end = from + strlen(from);
    if (from[0] == '[') {
        from++;
        end = from + strcspn(from, "]%");
    } else if (strrchr(from, ':')) {
        end = strrchr(from, ':');
    }
    size_t bytes = (size_t)(end - from);
    bytes = bytes < NAME_BYTES_MAX ? bytes : NAME_BYTES_MAX;
    memcpy(out, from, bytes);
    out[bytes] = '\0';
}

static bool is_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* Tickets would let a client come back without its certificate being looked at again. */
static bool restrict_context(SSL_CTX *context)
{
    SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(context, 0) == 1 &&
           SSL_CTX_set_cipher_list(context, CIPHERS_OF_1_2) == 1 &&
           SSL_CTX_set_num_tickets(context, 0) == 1;
}

static hakuban_status use_own(const reading *at)
{
    const char *cert = hakuban_url_get(at->url, "cert"), *key = hakuban_url_get(at->url, "key");
    if (!cert) {
        return HAKUBAN_OK;
    }
    hakuban_status status = use_certificates(at, cert);
    return status < 0 ? status : use_key(at, key ? key : cert);
}

static hakuban_status serve(const reading *at)
{
    SSL_CTX *context = at->keys->context;
    const char *verify = hakuban_url_get(at->url, "verify");
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (!verify) {
        return HAKUBAN_OK;
    }
    SSL_CTX_set_verify(
        context, SSL_VERIFY_PEER | (is(verify, "required") ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return believe(at, at->keys->ca);
}

static hakuban_status dial(const reading *at)
{
    SSL_CTX *context = at->keys->context;
    if (!offer_protocol(context, at->url)) {
        return no_memory(at);
    }
    if (is(hakuban_url_get(at->url, "verify"), "none")) {
        return HAKUBAN_OK;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int set = at->keys->is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, at->keys->name)
                                   : X509_VERIFY_PARAM_set1_host(param, at->keys->name, 0);
    if (set != 1) {
        return no_memory(at);
    }
    if (at->keys->ca[0]) {
        return believe(at, at->keys->ca);
    }
    (void)SSL_CTX_set_default_verify_paths(context);
    return HAKUBAN_OK;
}

static hkb_tls_keys *make(const hakuban_alloc *alloc, const hakuban_url *url, bool listening)
{
    const char *ca = hakuban_url_get(url, "ca"), *name = hakuban_url_get(url, "server-name");
    char host[NAME_BYTES_MAX + 1] = "";
    if (!listening && !name) {
        written_host(url, host);
    }
    name = name ? name : host;
    size_t ca_bytes = ca ? strlen(ca) + 1 : 1, name_bytes = strlen(name) + 1;
    size_t bytes = sizeof(hkb_tls_keys) + ca_bytes + name_bytes;
    hkb_tls_keys *keys = alloc->alloc(alloc->ctx, bytes);
    if (!keys) {
        return NULL;
    }
    char *texts = (char *)(keys + 1);
    memcpy(texts, ca ? ca : "", ca_bytes);
    memcpy(texts + ca_bytes, name, name_bytes);
    *keys = (hkb_tls_keys){.references = 1,
                           .bytes = bytes,
                           .alloc = alloc,
                           .ca = texts,
                           .name = texts + ca_bytes,
                           .is_address = is_address(name),
                           .server = listening};
    return keys;
}

hakuban_status hkb_tls_keys_new(const hakuban_alloc *alloc, const hakuban_url *url, bool listening,
                                hkb_tls_keys **ret, hakuban_error *reterr)
{
    hakuban_status status = hkb_tls_check_url(url, listening, reterr);
    if (status < 0) {
        return status;
    }
    reading at = {.alloc = alloc, .url = url, .listening = listening, .reterr = reterr};
    at.keys = make(alloc, url, listening);
    if (!at.keys) {
        return no_memory(&at);
    }
    hkb_tls_errors *kept = hkb_tls_errors_begin();
    at.keys->context = SSL_CTX_new(listening ? TLS_server_method() : TLS_client_method());
    status =
        !at.keys->context || !restrict_context(at.keys->context) ? no_memory(&at) : use_own(&at);
    if (status >= 0) {
        status = listening ? serve(&at) : dial(&at);
    }
    hkb_tls_errors_end(kept);
    if (status < 0) {
        hkb_tls_keys_unref(at.keys);
        return status;
    }
    *ret = at.keys;
    return HAKUBAN_OK;
}

void hkb_tls_keys_unref(hkb_tls_keys *keys)
{
    if (--keys->references == 0) {
        SSL_CTX_free(keys->context);
        keys->alloc->free(keys->alloc->ctx, keys, keys->bytes);
    }
}

/* -- The other side's name -- */

/* Printable ASCII, as URIs and DNS names are, without a NUL that would hide what is behind it. */
static bool copy_name(const ASN1_STRING *from, char out[HKB_TLS_NAME_BYTES])
{
    const unsigned char *data = ASN1_STRING_get0_data(from);
    int bytes = ASN1_STRING_length(from);
    bool is_name = bytes > 0 && bytes < HKB_TLS_NAME_BYTES;
    for (int i = 0; is_name && i < bytes; i++) {
        is_name = data[i] > 0x20 && data[i] < 0x7f;
    }
    if (is_name) {
        memcpy(out, data, (size_t)bytes);
        out[bytes] = '\0';
    }
    return is_name;
}

static bool find_name(const GENERAL_NAMES *names, int type, char out[HKB_TLS_NAME_BYTES])
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type) {
            return copy_name(name->d.ia5, out);
        }
    }
    return false;
}

bool hkb_tls_name(SSL *ssl, char out[HKB_TLS_NAME_BYTES])
{
    X509 *shown = SSL_get0_peer_certificate(ssl);
    if (!shown || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) ||
        SSL_get_verify_result(ssl) != X509_V_OK) {
        return false;
    }
    GENERAL_NAMES *names = X509_get_ext_d2i(shown, NID_subject_alt_name, NULL, NULL);
    bool found = names && (find_name(names, GEN_URI, out) || find_name(names, GEN_DNS, out));
    GENERAL_NAMES_free(names);
    return found;
}
