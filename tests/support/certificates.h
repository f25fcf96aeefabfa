/* Certificates of all kinds, good and bad, made by OpenSSL in a scratch folder, and what to append
 * to a URL so that they are used. Without HAKUBAN_TLS there are none, and nothing needs them. */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>

/* A fixture: an authority (ca.crt, ca.key); server.crt and server.key for localhost, 127.0.0.1, ::1
 * and proxy_address(); client.crt and client.key for urn:test:client. This program and all that it
 * runs find the authority where the system's are looked for. */
void certificates_make(void);
/* The path of a file among them. */
const char *certificates_path(const char *file);

/* The URL to listen at: where it is tls:// or wss:// and names no certificate, with the server's.
 */
#define CERTIFICATES_URL_BYTES 1024
const char *certificates_url(const char *url, char out[CERTIFICATES_URL_BYTES]);

/* What one certificate is to be like; zero: signed by the authority, for all names of the server,
 * for any purpose, valid from an hour ago for a day. */
typedef struct certificate {
    const char *name;           /* NAME.crt and NAME.key */
    const char *issuer;         /* another one's NAME; "self": itself */
    const char *subjects;       /* as OpenSSL writes them: "DNS:a.example,IP:127.0.0.1,URI:urn:x" */
    const char *purpose;        /* "serverAuth", "clientAuth" */
    long from_s, until_s;       /* from now on */
    bool is_authority, is_weak; /* weak: RSA of 1024 bits */
} certificate;
void certificate_make(const certificate *wanted);

#endif
