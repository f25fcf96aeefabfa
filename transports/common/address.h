/* What the transports over sockets share: from URLs to socket addresses and back to text. Names are
 * looked up by the library. Built on hakuban's public headers and the system's alone; opens no
 * connection and knows no transport. */
#ifndef HKB_ADDRESS_H
#define HKB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <hakuban/plugin/transport.h>

#define HKB_ADDRESS_WHERE_BYTES 160
#define HKB_ADDRESS_TEXT_BYTES 80

typedef struct hkb_address {
    socklen_t bytes;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } is;
} hkb_address;

/* What an errno of a call on sockets means to a program. */
hakuban_status hkb_address_status(int error);
/* The URL without parameters: they may hold secrets, and this goes into error texts. */
void hkb_address_where(const hakuban_url *url, char where[HKB_ADDRESS_WHERE_BYTES]);

/* That nothing in the URL asks for TLS where its scheme is none of TLS's. */
hakuban_status hkb_address_check_plain(const hakuban_url *url, hakuban_error *reterr);
/* For scheme://host:port: there is a host and a port, 0 only where listening. What the path has to
 * be is the transport's affair. */
hakuban_status hkb_address_check_host(const hakuban_url *url, bool listening,
                                      hakuban_error *reterr);
/* For scheme:///path/of/a/socket. */
hakuban_status hkb_address_check_path(const hakuban_url *url, hakuban_error *reterr);

/* The address of a socket in the file system; the path has passed the check. */
void hkb_address_local(const char *path, hkb_address *ret_address);
/* Never blocks; false: the host is a name, not a number. */
bool hkb_address_numeric(const char *host, uint16_t port, hkb_address *ret_address);
/* Why a URL that it was false for cannot be used. */
hakuban_status hkb_address_no_number(const hakuban_url *url, hakuban_error *reterr);

/* "127.0.0.1:1234", "[::1]:1234", "unix", "unknown". */
void hkb_address_text(const hkb_address *address, char text[HKB_ADDRESS_TEXT_BYTES]);

#endif
