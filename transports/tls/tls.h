/* TLS as a cipher of transports/stream, on OpenSSL: keys from files, words for what goes wrong.
 * Knows no layer and no message. */
#ifndef HKB_TLS_H
#define HKB_TLS_H

#include <openssl/ssl.h>

#include "stream/stream.h"

#define HKB_TLS_RECORD_BYTES_MAX 16384u
#define HKB_TLS_FILE_BYTES_MAX (1024u * 1024)
#define HKB_TLS_PROTOCOL "hakuban.1" /* of ALPN */

/* What the files of one URL say. */
typedef struct hkb_tls_keys {
    unsigned references;
    size_t bytes;
    const hakuban_alloc *alloc;
    SSL_CTX *context;
    const char *ca;   /* the file; "": the system's store */
    const char *name; /* of the other side; "" where it is a client, or not checked */
    bool is_address, server;
} hkb_tls_keys;

/* -- tls_keys.c -- */

/* Looks at the URL only. */
hakuban_status hkb_tls_check_url(const hakuban_url *url, int listening, hakuban_error *reterr);
/* Reads the files. *ret has one reference. */
hakuban_status hkb_tls_keys_new(const hakuban_alloc *alloc, const hakuban_url *url, bool listening,
                                hkb_tls_keys **ret, hakuban_error *reterr);
void hkb_tls_keys_unref(hkb_tls_keys *keys);

/* The name in the other side's certificate, if it has shown one and it was verified: the first URI
 * of the SAN, else the first DNS name; false: none that could be a name. */
#define HKB_TLS_NAME_BYTES 256
bool hkb_tls_name(SSL *ssl, char out[HKB_TLS_NAME_BYTES]);

/* -- tls_words.c -- */

/* The queue of errors belongs to the thread, and so to the program: between these two it is ours
 * and empty, afterwards what it was. Marks that the program has set there are lost. */
typedef struct hkb_tls_errors hkb_tls_errors;
hkb_tls_errors *hkb_tls_errors_begin(void);
void hkb_tls_errors_end(hkb_tls_errors *kept);

/* Why ssl failed, according to the queue of errors: text in words, and what it is. */
hakuban_status hkb_tls_words(const hkb_tls_keys *keys, const SSL *ssl,
                             char text[HKB_STREAM_REASON_BYTES]);

#endif
