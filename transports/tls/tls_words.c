/* OpenSSL's errors: put aside and put back where they are the program's, and told in words where
 * they are ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "tls.h"

#define ERRORS_MAX 16 /* that OpenSSL keeps of a thread */
#define ALERTS_FROM 1000

/* -- The program's -- */

typedef struct one_error {
    unsigned long code;
    int line;
    char file[128], function[64], data[256];
} one_error;

struct hkb_tls_errors {
    unsigned count;
    one_error list[ERRORS_MAX];
};

static void copy(char *out, size_t bytes, const char *text)
{
    (void)snprintf(out, bytes, "%s", text ? text : "");
}

/* OpenSSL clears the queue with each handshake, so marking it is not enough. Nearly always it is
 * empty; without memory it is lost. */
hkb_tls_errors *hkb_tls_errors_begin(void)
{
    if (!ERR_peek_error()) {
        return NULL;
    }
    hkb_tls_errors *kept = OPENSSL_zalloc(sizeof(*kept));
    while (kept && kept->count < ERRORS_MAX) {
        const char *file, *function, *data;
        int flags;
        one_error *next = &kept->list[kept->count];
        next->code = ERR_get_error_all(&file, &next->line, &function, &data, &flags);
        if (!next->code) {
            break;
        }
        copy(next->file, sizeof(next->file), file);
        copy(next->function, sizeof(next->function), function);
        copy(next->data, sizeof(next->data), flags & ERR_TXT_STRING ? data : NULL);
        kept->count++;
    }
    ERR_clear_error();
    return kept;
}

void hkb_tls_errors_end(hkb_tls_errors *kept)
{
    if (ERR_peek_error()) {
        ERR_clear_error();
    }
    for (unsigned i = 0; kept && i < kept->count; i++) {
        const one_error *next = &kept->list[i];
        ERR_new();
        ERR_set_debug(next->file, next->line, next->function);
        if (next->data[0]) {
            ERR_set_error(ERR_GET_LIB(next->code), ERR_GET_REASON(next->code), "%s", next->data);
        } else {
            ERR_set_error(ERR_GET_LIB(next->code), ERR_GET_REASON(next->code), NULL);
        }
    }
    OPENSSL_free(kept);
}

/* -- Ours -- */

static const char *certificate_words(long result)
{
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "it, or one above it, has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "it, or one above it, is not valid yet";
    case X509_V_ERR_INVALID_PURPOSE:
        return "it was made for another purpose";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return "its key or a signature above it is too weak";
    default:
        return X509_verify_cert_error_string(result);
    }
}

static void refuse_certificate(const hkb_tls_keys *keys, long result,
                               char text[HKB_STREAM_REASON_BYTES])
{
    const char *of = keys->server ? "the client's certificate" : "the other side's certificate";
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        (void)snprintf(text, HKB_STREAM_REASON_BYTES, "%s is refused: it is not for %.100s", of,
                       keys->name);
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        (void)snprintf(text, HKB_STREAM_REASON_BYTES, "%s is refused: %s, and %s%.80s", of,
                       result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ? "it is signed by itself"
                                                                        : "its issuer is unknown",
                       keys->ca[0] ? "not in ca=" : "not in the system's store", keys->ca);
        return;
    default:
        (void)snprintf(text, HKB_STREAM_REASON_BYTES, "%s is refused: %s", of,
                       certificate_words(result));
    }
}

static hakuban_status say(char text[HKB_STREAM_REASON_BYTES], hakuban_status status,
                          const char *words)
{
    (void)snprintf(text, HKB_STREAM_REASON_BYTES, "%s", words);
    return status;
}

/* Two that OpenSSL 3.0 has no words for. */
static const char *alert_words(int alert)
{
    return alert == SSL_AD_CERTIFICATE_REQUIRED      ? "certificate required"
           : alert == SSL_AD_NO_APPLICATION_PROTOCOL ? "no application protocol"
                                                     : SSL_alert_desc_string_long(alert);
}

hakuban_status hkb_tls_words(const hkb_tls_keys *keys, const SSL *ssl,
                             char text[HKB_STREAM_REASON_BYTES])
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        refuse_certificate(keys, SSL_get_verify_result(ssl), text);
        return HAKUBAN_ERR_REFUSED;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return say(text, HAKUBAN_ERR_REFUSED,
                   "the client has no certificate, and verify=required wants one");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return say(text, HAKUBAN_ERR_PROTOCOL, "the other side does not speak TLS");
    default:
        break;
    }
    if (reason > ALERTS_FROM) {
        (void)snprintf(text, HKB_STREAM_REASON_BYTES, "the other side ended TLS: %s",
                       alert_words(reason - ALERTS_FROM));
        return HAKUBAN_ERR_REFUSED;
    }
    const char *words = error ? ERR_reason_error_string(error) : NULL;
    (void)snprintf(text, HKB_STREAM_REASON_BYTES, "TLS: %s", words ? words : "it failed");
    return ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE ? HAKUBAN_ERR_NO_MEMORY
                                                         : HAKUBAN_ERR_PROTOCOL;
}
