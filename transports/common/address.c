/* From URLs to socket addresses and back to text. Opens no connection. */
#define _GNU_SOURCE

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "common/address.h"

hakuban_status hkb_address_status(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return HAKUBAN_ERR_REFUSED;
    case ENOENT:
        return HAKUBAN_ERR_NOT_FOUND;
    case ETIMEDOUT:
        return HAKUBAN_ERR_TIMEOUT;
    case EADDRINUSE:
        return HAKUBAN_ERR_EXISTS;
    case ENOMEM:
    case ENOBUFS:
        return HAKUBAN_ERR_NO_MEMORY;
    default:
        return HAKUBAN_ERR_IO;
    }
}

void hkb_address_where(const hakuban_url *url, char where[HKB_ADDRESS_WHERE_BYTES])
{
    (void)snprintf(where, HKB_ADDRESS_WHERE_BYTES, "%s://%s%s", url->scheme, url->authority,
                   url->path);
}

hakuban_status hkb_address_check_path(const hakuban_url *url, hakuban_error *reterr)
{
    const size_t path_bytes = strlen(url->path);
    const size_t path_bytes_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    const char *scheme = url->scheme;
    if (url->authority[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs an absolute path after three slashes: %s:///%s%s",
                                 scheme, scheme, url->authority, url->path);
    }
    if (path_bytes < 2 || url->path[path_bytes - 1] == '/') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs the path of a socket: %s:///run/hakuban.sock", scheme,
                                 scheme);
    }
    if (path_bytes > path_bytes_max) {
        return hakuban_error_set(
            reterr, HAKUBAN_ERR_URL,
            "a socket's path has at most %zu bytes, and this one has %zu: %.120s", path_bytes_max,
            path_bytes, url->path);
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_address_check_plain(const hakuban_url *url, hakuban_error *reterr)
{
    static const char *const of_tls[] = {"cert", "key", "ca", "verify", "server-name"};
    bool encrypted = strcmp(url->scheme, "tls") == 0 || strcmp(url->scheme, "wss") == 0;
    for (size_t i = 0; !encrypted && i < sizeof(of_tls) / sizeof(of_tls[0]); i++) {
        if (hakuban_url_get(url, of_tls[i])) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                     "%s is a parameter of tls:// and wss://, and %s:// encrypts "
                                     "nothing",
                                     of_tls[i], url->scheme);
        }
    }
    return HAKUBAN_OK;
}

hakuban_status hkb_address_check_host(const hakuban_url *url, bool listening, hakuban_error *reterr)
{
    if (hakuban_url_get(url, "mode") || hakuban_url_get(url, "group")) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "mode and group are parameters of sockets in the file system, not "
                                 "of %s://",
                                 url->scheme);
    }
    const char *missing = url->host[0] == '\0' ? "host" : !url->has_port ? "port" : NULL;
    if (missing) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// needs a %s, as in %s://127.0.0.1:3001", url->scheme,
                                 missing, url->scheme);
    }
    if (url->port == 0 && !listening) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "port 0 cannot be connected to");
    }
    if (listening && strcmp(url->host, "*") == 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "to listen on every address write 0.0.0.0 or [::] instead of *");
    }
    return HAKUBAN_OK;
}

void hkb_address_local(const char *path, hkb_address *ret_address)
{
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->is.local.sun_family = AF_UNIX;
    (void)snprintf(ret_address->is.local.sun_path, sizeof(ret_address->is.local.sun_path), "%s",
                   path);
    ret_address->bytes = sizeof(ret_address->is.local);
}

bool hkb_address_numeric(const char *host, uint16_t port, hkb_address *ret_address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
                    *found = NULL;
    char port_text[8];
    (void)snprintf(port_text, sizeof(port_text), "%u", (unsigned)port);
    if (getaddrinfo(host, port_text, &hints, &found) != 0) {
        return false;
    }
    bool fits = found->ai_addrlen <= sizeof(ret_address->is);
    if (fits) {
        memset(ret_address, 0, sizeof(*ret_address));
        memcpy(&ret_address->is, found->ai_addr, found->ai_addrlen);
        ret_address->bytes = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return fits;
}

hakuban_status hkb_address_no_number(const hakuban_url *url, hakuban_error *reterr)
{
    return hakuban_error_set(reterr, HAKUBAN_ERR_NOT_FOUND,
                             "the host did not look up %.120s, and numbers are all that is "
                             "understood here",
                             url->host);
}

void hkb_address_text(const hkb_address *address, char text[HKB_ADDRESS_TEXT_BYTES])
{
    if (address->is.any.sa_family == AF_UNIX) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "unix");
        return;
    }
    hkb_address shown = *address;
    if (address->is.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->is.v6.sin6_addr)) {
        /* [::] takes IPv4 peers too; their addresses look as people know them. */
        memset(&shown.is, 0, sizeof(shown.is));
        shown.is.v4.sin_family = AF_INET;
        shown.is.v4.sin_port = address->is.v6.sin6_port;
        memcpy(&shown.is.v4.sin_addr, &address->is.v6.sin6_addr.s6_addr[12], 4);
        shown.bytes = sizeof(shown.is.v4);
    }
    char host[64], port[8];
    if (getnameinfo(&shown.is.any, shown.bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "unknown");
        return;
    }
    (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES,
                   shown.is.any.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
