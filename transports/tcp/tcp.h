/* What the files of the tcp and unix transports share. Built on hakuban's public headers and the system's alone; nothing
 * outside this folder includes it but for the two tables at its end. */
#ifndef HKB_TCP_H
#define HKB_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/stat.h>
#include <sys/types.h>

#include <hakuban/plugin/transport.h>

#include "common/address.h"

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
hakuban_status hkb_tcp_check(const hakuban_url *url, bool listening, bool *ret_nodelay,
                             hakuban_error *reterr);
/* Never blocks; false: the host is a name, not a number. */
bool hkb_tcp_numeric(const hakuban_url *url, hkb_address *ret_address);

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
