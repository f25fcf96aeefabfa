/* What the files of the ZeroMQ transports share. Built on hakuban's public headers, libzmq and the
 * system; nothing outside this folder includes it but tests, for the two tables at its end. */
#ifndef HKB_ZMQ_TRANSPORT_H
#define HKB_ZMQ_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zmq.h>

#include <hakuban/plugin/transport.h>

#include "common/address.h"

#define HKB_ZMQ_ENDPOINT_BYTES 160
#define HKB_ZMQ_SPARE_FDS 64 /* descriptors that are left to others */
#define HKB_ZMQ_SECOND_NS UINT64_C(1000000000)
#define HKB_ZMQ_END_NS (2 * HKB_ZMQ_SECOND_NS) /* what was sent last has this long to leave */
#define HKB_ZMQ_CLOSE_MS 1000                  /* the same when it is not waited for */

typedef enum hkb_zmq_kind { HKB_ZMQ_BELL = 1, HKB_ZMQ_DEALER, HKB_ZMQ_ROUTER } hkb_zmq_kind;

/* A ZeroMQ socket with its monitor. A dialled connection and a listener's router begin with it, so
 * that ready() can tell them apart. */
typedef struct hkb_zmq_socket {
    hkb_zmq_kind kind;
    bool again, due_now; /* wants a turn when the bell rings; has not had it yet */
    void *zmq, *monitor;
    int fd, monitor_fd; /* edge-triggered: a turn follows whatever may have used up the edge */
    struct hkb_zmq_socket *next, **carrier;
} hkb_zmq_socket;

typedef struct hkb_zmq_self {
    hkb_zmq_kind kind; /* the bell */
    const hakuban_transport_host *host;
    void *context;
    bool started;           /* libzmq has its threads */
    int bell;               /* an eventfd: unlike a timer it cannot fail for want of memory */
    unsigned long monitors; /* how many there were, for names of their own */
    void *busy;             /* the socket that has its turn; NULL once it has ended meanwhile */
    hkb_zmq_socket *sockets;
} hkb_zmq_self;

typedef struct hkb_zmq_router hkb_zmq_router;
typedef struct hkb_zmq_dialing hkb_zmq_dialing;

/* One connection. Sends go through send(): one message that libzmq has no room for is kept here. */
typedef struct hkb_zmq_conn {
    hkb_zmq_socket socket; /* dialled connections only */
    hakuban_carrier *carrier;
    hkb_zmq_router *router;   /* accepted connections only */
    hkb_zmq_dialing *dialing; /* until opened */
    bool keeps;               /* kept holds a message: FULL was answered */
    bool ending, ended;       /* shutdown() was called; the end mark is on its way */
    bool parting; /* the connection is gone, but perhaps not all it brought was handed over by
                     libzmq */
    bool lost;    /* nothing can be sent any more; closed() comes when all that arrived was read */
    bool due;     /* was lost before this turn began to read */
    unsigned probes;
    hakuban_status failure; /* on this side; 0: it is the other side that has gone */
    zmq_msg_t kept;
    /* Of a router's connections: */
    uint32_t id;
    int fd; /* libzmq's own; -1: closed */
    struct hkb_zmq_conn *next_of_bucket;
    struct hkb_zmq_conn *next,
        **prev; /* among those the router has to look after; prev NULL: it is not */
} hkb_zmq_conn;

typedef struct hkb_zmq_listener {
    hkb_zmq_router *router;
} hkb_zmq_listener;

/* zmq.c */
uint64_t hkb_zmq_now(void);
/* An errno where the process is about to run out of descriptors, or 0. */
int hkb_zmq_spare_fds(const hkb_zmq_self *self);
/* Makes the socket and watches it; an errno, or 0. */
int hkb_zmq_socket_open(hkb_zmq_self *self, hkb_zmq_socket *socket, int type, int events);
void hkb_zmq_socket_close(hkb_zmq_self *self, hkb_zmq_socket *socket, int linger_ms);
int hkb_zmq_option(void *zmq, int option, int value);
/* Another turn follows soon, whatever happens. */
void hkb_zmq_again(hkb_zmq_self *self, hkb_zmq_socket *socket);
void hkb_zmq_again_at(hkb_zmq_self *self, hkb_zmq_socket *socket, uint64_t when_ns);
/* Whether something can be read; makes libzmq look at what its thread has told. */
bool hkb_zmq_readable(void *zmq);
/* The next event of the monitor; false: none. */
bool hkb_zmq_event(void *monitor, unsigned *ret_event, uint32_t *ret_value);
/* Sends to the connection, an empty message where message is NULL. 0 or an errno: EAGAIN where
 * there is no room. */
int hkb_zmq_send(hkb_zmq_conn *conn, zmq_msg_t *message);
/* Tells the other side that nothing follows, once; false: there is no room for that now. */
bool hkb_zmq_send_end(hkb_zmq_conn *conn);
/* Sends what was kept, then the end mark, and notices that the connection is gone. Returns after
 * how many nanoseconds at the latest that has to be tried again, 0: not at all; *ret_writable:
 * writable() is to be called. */
uint64_t hkb_zmq_look_after(hkb_zmq_conn *conn, bool *ret_writable);
typedef enum hkb_zmq_content {
    HKB_ZMQ_MESSAGE,
    HKB_ZMQ_EMPTY, /* begins a session; means nothing later */
    HKB_ZMQ_END,   /* two empty parts: nothing follows */
    HKB_ZMQ_ODD,
} hkb_zmq_content;
/* Reads the rest of a message of which first is the first part. */
hkb_zmq_content hkb_zmq_receive_rest(void *zmq, zmq_msg_t *first);
void hkb_zmq_drop_kept(hkb_zmq_conn *conn);

/* zmq_address.c */
bool hkb_zmq_is_ipc(const hakuban_url *url);
hakuban_status hkb_zmq_check(const hakuban_url *url, int listening, hakuban_error *reterr);
/* Never blocks; false: the host is a name, not a number. */
bool hkb_zmq_numeric(const hakuban_url *url, hkb_address *ret_address);
/* As libzmq wants it: "tcp://127.0.0.1:3001", "ipc:///run/x.zmq". */
void hkb_zmq_endpoint(const hkb_address *address, char endpoint[HKB_ZMQ_ENDPOINT_BYTES]);
/* The peer at the other end of fd: "127.0.0.1:1234", "[::1]:1234", "zmq+ipc". */
void hkb_zmq_peer(int fd, char text[HKB_ADDRESS_TEXT_BYTES]);

/* zmq_dial.c */
hakuban_status hkb_zmq_dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                            const hakuban_url *url, hakuban_error *reterr);
void hkb_zmq_dealer_turn(hkb_zmq_self *self, hkb_zmq_conn *conn, uint64_t now_ns);
void hkb_zmq_dealer_finish(hkb_zmq_self *self, hkb_zmq_conn *conn, int linger_ms,
                           hakuban_status why, const char *text);

/* zmq_listen.c */
hakuban_status hkb_zmq_listen(void *self_memory, void *listener_memory, const hakuban_url *url,
                              char *ret_url, size_t url_bytes, hakuban_error *reterr);
void hkb_zmq_unlisten(void *self_memory, void *listener_memory);
void hkb_zmq_router_turn(hkb_zmq_self *self, hkb_zmq_router *router, uint64_t now_ns);
void hkb_zmq_router_free(hkb_zmq_self *self, hkb_zmq_router *router);
/* The router has to look after the connection from now on, at once. */
void hkb_zmq_router_attend(hkb_zmq_self *self, hkb_zmq_conn *conn);
hkb_zmq_socket *hkb_zmq_router_socket(hkb_zmq_router *router);
void hkb_zmq_router_finish(hkb_zmq_self *self, hkb_zmq_conn *conn, hakuban_status why,
                           const char *text);

extern const hakuban_transport_ops hakuban_transport_zmq_tcp;
extern const hakuban_transport_ops hakuban_transport_zmq_ipc;

#endif
