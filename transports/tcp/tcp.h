/* What the files of the tcp and unix transports share. Built on hakuban's public headers and the system's alone; nothing
 * outside this folder includes it but for the two tables at its end. */
#ifndef HKB_TCP_H
#define HKB_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include <hakuban/plugin/transport.h>

#define HKB_TCP_ADDRESSES_MAX 8
#define HKB_TCP_WHERE_BYTES 160
#define HKB_TCP_PEER_BYTES 80

typedef struct hkb_tcp_address {
    socklen_t bytes;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } is;
} hkb_tcp_address;

/* What a name stands for; travels as one datagram from the thread that asked. */
typedef struct hkb_tcp_addresses {
    int lookup_status; /* of getaddrinfo() */
    int error;         /* errno, where lookup_status is EAI_SYSTEM */
    unsigned count;
    hkb_tcp_address items[HKB_TCP_ADDRESSES_MAX];
} hkb_tcp_addresses;

typedef struct hkb_tcp_self {
    const hakuban_transport_host *host;
    unsigned char *buffer; /* everything that is read lands here first */
    void *busy;            /* the owner ready() is working for; NULL once it has ended meanwhile */
} hkb_tcp_self;

typedef enum hkb_tcp_kind { HKB_TCP_LISTENER = 1, HKB_TCP_CONN } hkb_tcp_kind;

typedef struct hkb_tcp_listener {
    hkb_tcp_kind kind; /* first in both owners, so that ready() can tell them apart */
    int fd;
    bool nodelay, paused;
    uint64_t last_ns, credit_ns; /* of the limit on accepts per second */
    char *path;                  /* unix: the file to remove; NULL otherwise */
    size_t path_bytes;
    dev_t device; /* unix: how the file is known to be still ours */
    ino_t inode;
} hkb_tcp_listener;

typedef struct hkb_tcp_dialing hkb_tcp_dialing;

typedef struct hkb_tcp_conn {
    hkb_tcp_kind kind;
    int fd;
    int failure; /* errno of the first failed write: closed() is due */
    bool ending; /* shutdown() was called */
    hakuban_link *link;
    hkb_tcp_dialing *dialing; /* NULL once connected */
    unsigned char *rest;      /* what the kernel did not take of the last message */
    size_t rest_bytes, rest_sent;
} hkb_tcp_conn;

/* tcp_address.c */
hakuban_status hkb_tcp_status(int error);
void hkb_tcp_where(const hakuban_url *url, char where[HKB_TCP_WHERE_BYTES]);
hakuban_status hkb_tcp_check(const hakuban_url *url, bool listening, bool *ret_nodelay,
                             hakuban_error *reterr);
/* Never blocks; false: the host is a name, not a number. */
bool hkb_tcp_numeric(const hakuban_url *url, hkb_tcp_address *ret_address);
/* May block for as long as name servers take. */
void hkb_tcp_lookup(const char *name, uint16_t port, hkb_tcp_addresses *ret);
const char *hkb_tcp_lookup_text(const hkb_tcp_addresses *addresses);
/* Looks a name up in a thread of its own. From *ret_fd one hkb_tcp_addresses can be read when it is done; closing it early is safe.
 * An errno, or 0. */
int hkb_tcp_lookup_start(const hakuban_url *url, int *ret_fd);
/* "127.0.0.1:1234", "[::1]:1234", "unix". */
void hkb_tcp_text(const hkb_tcp_address *address, char text[HKB_TCP_PEER_BYTES]);

/* tcp.c */
void hkb_tcp_options(int fd, int family, bool nodelay);
void hkb_tcp_forget_fd(hkb_tcp_self *self, void *owner, int *fd);
void hkb_tcp_finish(hkb_tcp_self *self, hkb_tcp_conn *conn, hakuban_status why, const char *text);
/* Connected: lets the host know that reading matters now. */
hakuban_status hkb_tcp_open(hkb_tcp_self *self, hkb_tcp_conn *conn);

/* tcp_dial.c */
hakuban_status hkb_tcp_dial(void *self_memory, void *conn_memory, hakuban_link *link,
                            const hakuban_url *url, hakuban_error *reterr);
void hkb_tcp_dial_ready(hkb_tcp_self *self, hkb_tcp_conn *conn, unsigned events, uint64_t now_ns);
void hkb_tcp_dial_free(hkb_tcp_self *self, hkb_tcp_conn *conn);

/* tcp_listen.c */
hakuban_status hkb_tcp_listen(void *self_memory, void *listener_memory, const hakuban_url *url,
                              char *ret_url, size_t url_bytes, hakuban_error *reterr);
void hkb_tcp_unlisten(void *self_memory, void *listener_memory);
void hkb_tcp_listener_ready(hkb_tcp_self *self, hkb_tcp_listener *listener, uint64_t now_ns);

extern const hakuban_transport_ops hakuban_transport_tcp;
extern const hakuban_transport_ops hakuban_transport_unix;

#endif
