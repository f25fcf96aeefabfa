/* See certificates.h. */
#define _GNU_SOURCE
#include "certificates.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"
#include "proxy.h"

#define SERVER_NAMES "DNS:localhost,DNS:many.test,DNS:two.test,IP:127.0.0.1,IP:::1,IP:"

const char *certificates_path(const char *file)
{
    return scratch_path(file);
}

const char *certificates_url(const char *url, char out[CERTIFICATES_URL_BYTES])
{
    bool is_tls = strncmp(url, "tls:", 4) == 0 || strncmp(url, "wss:", 4) == 0;
    if (!is_tls || strstr(url, "cert=")) {
        return url;
    }
    (void)snprintf(out, CERTIFICATES_URL_BYTES, "%s%ccert=%s,key=%s", url,
                   strchr(url, '#') ? ',' : '#', certificates_path("server.crt"),
                   certificates_path("server.key"));
    return out;
}

#ifdef HAKUBAN_TEST_TLS

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

static FILE *file_of(const char *name, const char *ending, const char *mode)
{
    char file[100];
    (void)snprintf(file, sizeof(file), "%s.%s", name, ending);
    const char *path = certificates_path(file);
    if (mode[0] == 'w') {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        return fdopen(fd, mode);
    }
    return fopen(path, mode);
}

static void extend(X509 *made, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, made, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    ck_assert_msg(extension && X509_add_ext(made, extension, -1) == 1, "%s", value);
    X509_EXTENSION_free(extension);
}

static X509 *read_certificate(const char *name)
{
    FILE *file = file_of(name, "crt", "re");
    ck_assert_ptr_nonnull(file);
    X509 *read = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    ck_assert_ptr_nonnull(read);
    return read;
}

static EVP_PKEY *read_key(const char *name)
{
    FILE *file = file_of(name, "key", "re");
    ck_assert_ptr_nonnull(file);
    EVP_PKEY *read = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    ck_assert_ptr_nonnull(read);
    return read;
}

void certificate_make(const certificate *wanted)
{
    const char *issuer_name = wanted->issuer ? wanted->issuer : "ca";
    bool self = strcmp(issuer_name, "self") == 0;
    EVP_PKEY *key = wanted->is_weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
    X509 *made = X509_new();
    ck_assert(key && made);
    char subjects[200];
    unsigned char serial[8];
    ck_assert_int_eq(RAND_bytes(serial, sizeof(serial)), 1);
    serial[0] = 1;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    (void)BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made));
    BN_free(number);
    (void)X509_set_version(made, 2);
    (void)X509_gmtime_adj(X509_getm_notBefore(made), wanted->from_s ? wanted->from_s : -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(made), wanted->until_s ? wanted->until_s : 86400);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                                     (const unsigned char *)wanted->name, -1, -1, 0);
    (void)X509_set_pubkey(made, key);
    X509 *issuer = self ? made : read_certificate(issuer_name);
    EVP_PKEY *signing = self ? key : read_key(issuer_name);
    (void)X509_set_issuer_name(made, X509_get_subject_name(issuer));
    extend(made, issuer, NID_basic_constraints,
           wanted->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(made, issuer, NID_subject_key_identifier, "hash");
    (void)snprintf(subjects, sizeof(subjects), SERVER_NAMES "%s", proxy_address());
    extend(made, issuer, NID_subject_alt_name, wanted->subjects ? wanted->subjects : subjects);
    if (wanted->purpose) {
        extend(made, issuer, NID_ext_key_usage, wanted->purpose);
    }
    ck_assert_int_ne(X509_sign(made, signing, EVP_sha256()), 0);
    FILE *file = file_of(wanted->name, "crt", "we");
    ck_assert_int_eq(PEM_write_X509(file, made), 1);
    (void)fclose(file);
    file = file_of(wanted->name, "key", "we");
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    if (!self) {
        X509_free(issuer);
        EVP_PKEY_free(signing);
    }
    X509_free(made);
    EVP_PKEY_free(key);
}

void certificates_make(void)
{
    certificate_make(&(certificate){.name = "ca", .issuer = "self", .is_authority = true});
    certificate_make(&(certificate){.name = "server", .purpose = "serverAuth"});
    certificate_make(&(certificate){
        .name = "client", .purpose = "clientAuth", .subjects = "URI:urn:test:client"});
    ck_assert_int_eq(setenv("SSL_CERT_FILE", certificates_path("ca.crt"), 1), 0);
}

#else

void certificates_make(void)
{
}

void certificate_make(const certificate *wanted)
{
    (void)wanted;
    ck_abort_msg("there is no TLS");
}

#endif
