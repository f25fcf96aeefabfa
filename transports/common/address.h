/* What the transports over sockets share: from URLs to socket addresses and back to text, and names
 * looked up without blocking the loop. Built on hakuban's public headers and the system's alone;
 * opens no connection and knows no transport. */
#ifndef HKB_ADDRESS_H
#define HKB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <hakuban/plugin/transport.h>

#define HKB_ADDRESSES_MAX 8
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

/* What a name stands for; travels as one datagram from the thread that asked. */
typedef struct hkb_addresses {
    int lookup_status; /* of getaddrinfo() */
    int error;         /* errno, where lookup_status is EAI_SYSTEM */
    unsigned count;
    hkb_address items[HKB_ADDRESSES_MAX];
} hkb_addresses;

/* What an errno of a call on sockets means to a program. */
hakuban_status hkb_address_status(int error);
/* The URL without parameters: they may hold secrets, and this goes into error texts. */
void hkb_address_where(const hakuban_url *url, char where[HKB_ADDRESS_WHERE_BYTES]);

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
/* May block for as long as name servers take. With count 0 hkb_address_lookup_text() says why. */
void hkb_address_lookup(const char *name, uint16_t port, hkb_addresses *ret);
const char *hkb_address_lookup_text(const hkb_addresses *addresses);
/* Looks a name up in a thread of its own. *ret_fd becomes readable when that is done; closing it
 * early is safe. An errno, or 0. */
int hkb_address_lookup_start(const char *name, uint16_t port, int *ret_fd);
/* Reads what was found from that descriptor: 0; EAGAIN: not yet; another errno: never. */
int hkb_address_lookup_end(int fd, hkb_addresses *ret);

/* "127.0.0.1:1234", "[::1]:1234", "unix", "unknown". */
void hkb_address_text(const hkb_address *address, char text[HKB_ADDRESS_TEXT_BYTES]);

#endif
