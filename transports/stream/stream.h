/* What transports over byte-stream sockets share: listening, dialing, reading, writing, ending. A
 * layer may stand between a connection and the host, as WebSocket does, and a cipher between the
 * socket and all of that, as TLS does. Built on hakuban's public headers and the system's alone;
 * knows no particular layer or cipher. */
#ifndef HKB_STREAM_H
#define HKB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/stat.h>
#include <sys/types.h>

#include <hakuban/plugin/transport.h>

#include "common/address.h"

#define HKB_STREAM_REASON_BYTES 192
#define HKB_STREAM_PARTS_MAX (HAKUBAN_SEND_PARTS_MAX + 1) /* a layer may put a header in front */
#define HKB_STREAM_LINGER_NS UINT64_C(500000000)

typedef struct hkb_stream_self hkb_stream_self;
typedef struct hkb_stream_conn hkb_stream_conn;

/* How a listener wants the connections of its layer to be; shared by the listener and those of
 * which it is not known yet what they are. A layer's own begins with it. */
typedef struct hkb_stream_policy {
    unsigned references;
    size_t bytes;
} hkb_stream_policy;

/* What stands between a socket and the host. All slots are mandatory. */
typedef struct hkb_stream_layer {
    const char *begins; /* the first bytes of its connections; native ones never begin so */
    /* Reads what a listener's URL says; *ret_policy has one reference. */
    hakuban_status (*listen)(hkb_stream_self *self, const hakuban_url *url,
                             hkb_stream_policy **ret_policy, hakuban_error *reterr);
    /* Fills in conn->state of an accepted connection that begins so; policy is borrowed. */
    hakuban_status (*accepted)(hkb_stream_self *self, hkb_stream_conn *conn,
                               hkb_stream_policy *policy);
    /* Fills in conn->state of a connection that will be dialled. */
    hakuban_status (*dial)(hkb_stream_self *self, hkb_stream_conn *conn, const hakuban_url *url,
                           hakuban_error *reterr);
    void (*connected)(hkb_stream_self *self,
                      hkb_stream_conn *conn); /* says opened() when it is ready */
    void (*received)(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes);
    hakuban_status (*send)(hkb_stream_self *self, hkb_stream_conn *conn, const hakuban_slice *parts,
                           unsigned part_count);
    void (*shutdown)(hkb_stream_self *self,
                     hkb_stream_conn *conn);                    /* says that nothing more follows */
    void (*late)(hkb_stream_self *self, hkb_stream_conn *conn); /* dialing took too long */
    void (*free)(hkb_stream_self *self,
                 void *state); /* of conn->state; the connection may be gone */
} hkb_stream_layer;

/* What stands right above the socket and lets nothing pass unencrypted, neither of a layer nor of
 * the host. All slots are mandatory. */
typedef struct hkb_stream_cipher {
    void (*done)(hkb_stream_self *self); /* of self->cipher_self */
    /* Reads the files that a listener's URL names. *ret_keys lives until unlisten(). */
    hakuban_status (*listen)(hkb_stream_self *self, const hakuban_url *url, void **ret_keys,
                             hakuban_error *reterr);
    void (*unlisten)(hkb_stream_self *self, void *keys);
    /* conn->secret of a connection that is being accepted, which may outlive the listener whose
     * keys these are; NULL: out of memory. */
    void *(*accepted)(hkb_stream_self *self, void *keys);
    /* That of a connection that will be dialled. */
    hakuban_status (*dial)(hkb_stream_self *self, const hakuban_url *url, void **ret_secret,
                           hakuban_error *reterr);
    /* The dialled socket is connected. */
    void (*connected)(hkb_stream_self *self, hkb_stream_conn *conn);
    /* What came out of the socket. Says hkb_stream_secured() once both sides have agreed, and
     * hkb_stream_give() of what was decrypted. */
    void (*received)(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes);
    /* Encrypts, and gives it to hkb_stream_put(). What is written before both sides have agreed is
     * kept: OK_FULL. */
    hakuban_status (*write)(hkb_stream_self *self, hkb_stream_conn *conn,
                            const hakuban_slice *parts, unsigned part_count);
    /* Says that nothing more follows. More than once is once. */
    void (*shutdown)(hkb_stream_self *self, hkb_stream_conn *conn);
    void (*free)(hkb_stream_self *self, void *secret);
} hkb_stream_cipher;

struct hkb_stream_self {
    const hakuban_transport_host *host;
    const hkb_stream_cipher *cipher; /* of all connections; NULL: there is none */
    void *cipher_self;               /* the cipher's, for all connections */
    const hkb_stream_layer
        *layer;            /* of accepted connections that begin as it says; NULL: there is none */
    bool layered;          /* dialled connections have it, and so do messages */
    unsigned char *buffer; /* everything that is read lands here first */
    void *busy;            /* the owner ready() is working for; NULL once it has ended meanwhile */
};

typedef enum hkb_stream_kind { HKB_STREAM_LISTENER = 1, HKB_STREAM_CONN } hkb_stream_kind;

typedef struct hkb_stream_listener {
    hkb_stream_kind kind; /* first in both owners, so that ready() can tell them apart */
    int fd;
    bool nodelay, paused;
    uint64_t last_ns, credit_ns; /* of the limit on accepts per second */
    void *keys;                  /* the cipher's */
    hkb_stream_policy *policy;   /* NULL without a layer */
    char *path;                  /* unix: the file to remove; NULL otherwise */
    size_t path_bytes;
    dev_t device; /* unix: how the file is known to be still ours */
    ino_t inode;
} hkb_stream_listener;

typedef struct hkb_stream_dialing hkb_stream_dialing;

/* Why a connection ends once its last words have left. */
typedef struct hkb_stream_farewell {
    hakuban_status why;
    char text[HKB_STREAM_REASON_BYTES];
} hkb_stream_farewell;

struct hkb_stream_conn {
    hkb_stream_kind kind;
    int fd;
    int failure;         /* errno of the first failed write: closed() is due */
    bool ending;         /* shutdown() was called */
    bool full;           /* the host waits for writable() */
    bool over;           /* closed() was called */
    bool paused;         /* not read from, until resume() */
    bool fresh;          /* accepted, and nothing has come */
    bool secured;        /* the cipher's sides have agreed */
    uint8_t begun_bytes; /* accepted: how much of layer->begins has come */
    hakuban_carrier *carrier;
    hkb_stream_policy *policy;     /* accepted, and not known yet what it is; else NULL */
    const hkb_stream_layer *layer; /* NULL: bytes as they are */
    void *state;                   /* the layer's */
    void *secret;                  /* the cipher's */
    hkb_stream_dialing *dialing;   /* NULL once connected */
    hkb_stream_farewell *farewell; /* nothing is received or sent any more */
    unsigned char *rest;           /* what the kernel has not taken yet */
    size_t rest_bytes, rest_sent;
};

/* stream_address.c */
hakuban_status hkb_stream_check(const hakuban_url *url, bool listening, bool *ret_nodelay,
                                hakuban_error *reterr);
/* The same as the slot of a table. */
hakuban_status hkb_stream_check_url(const hakuban_url *url, int listening, hakuban_error *reterr);
/* Never blocks; false: the host is a name, not a number. */
bool hkb_stream_numeric(const hakuban_url *url, hkb_address *ret_address);

/* stream.c: the slots of a transport's table that are as they are for all; init() sets self->layer
 * and self->layered, and those of the cipher if there is one. */
hakuban_status hkb_stream_init(void *self_memory, const hakuban_transport_host *host);
void hkb_stream_done(void *self_memory);
hakuban_status hkb_stream_send(void *self_memory, void *conn_memory, const hakuban_slice *parts,
                               unsigned part_count);
void hkb_stream_shutdown(void *self_memory, void *conn_memory);
void hkb_stream_close(void *self_memory, void *conn_memory);
void hkb_stream_ready(void *self_memory, void *owner, unsigned events, uint64_t now_ns);
void hkb_stream_resume(void *self_memory, void *conn_memory);

/* stream.c: for layers. */
/* Writes or keeps all of it, behind what is kept already; OK or a failure, after which closed()
 * follows. OK_FULL: kept. */
hakuban_status hkb_stream_write(hkb_stream_self *self, hkb_stream_conn *conn,
                                const hakuban_slice *parts, unsigned part_count);
/* The connection cannot go on: closed() follows, from ready(). Gives what a slot answers. */
hakuban_status hkb_stream_fail(hkb_stream_self *self, hkb_stream_conn *conn, int error);
/* Tells a host that is new enough. */
void hkb_stream_carries(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_carries what);
/* Ends at once. */
void hkb_stream_finish(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                       const char *text);
/* Ends after what was written has arrived: what still comes is thrown away, for half a second at
 * most. */
void hkb_stream_part(hkb_stream_self *self, hkb_stream_conn *conn, hakuban_status why,
                     const char *format, ...) HAKUBAN_PRINTF(4, 5);

/* stream.c: for ciphers. */
/* Tells a host that is new enough what the other side has proven to be. */
void hkb_stream_identity(hkb_stream_self *self, hkb_stream_conn *conn, const char *kind,
                         const char *name);
/* hkb_stream_write() of what may go out as it is. */
hakuban_status hkb_stream_put(hkb_stream_self *self, hkb_stream_conn *conn,
                              const hakuban_slice *parts, unsigned part_count);
/* Received, for the layer or the host: after it the connection may be gone. */
void hkb_stream_give(hkb_stream_self *self, hkb_stream_conn *conn, const unsigned char *data,
                     size_t bytes);
/* Both sides have agreed, and what was kept until then has been put: the connection is what it
 * would have been without a cipher from the beginning. After it the connection may be gone. */
void hkb_stream_secured(hkb_stream_self *self, hkb_stream_conn *conn, bool dialed);

/* stream.c: for the other files. */
void hkb_stream_options(int fd, int family, bool nodelay);
/* Of a connected Unix socket: says the user of the process at the other end. */
void hkb_stream_say_user(hkb_stream_self *self, hkb_stream_conn *conn);
void hkb_stream_forget_fd(hkb_stream_self *self, void *owner, int *fd);
hkb_stream_policy *hkb_stream_policy_unref(hkb_stream_self *self, hkb_stream_policy *policy);
/* Connected: lets the host know that reading matters now. */
hakuban_status hkb_stream_open(hkb_stream_self *self, hkb_stream_conn *conn);
uint64_t hkb_stream_now_ns(void);

/* stream_dial.c */
/* The socket is connected, and the cipher agreed on: the layer begins, or the host hears of it. */
void hkb_stream_dialed(hkb_stream_self *self, hkb_stream_conn *conn);
hakuban_status hkb_stream_dial(void *self_memory, void *conn_memory, hakuban_carrier *carrier,
                               const hakuban_url *url, hakuban_error *reterr);
void hkb_stream_dial_ready(hkb_stream_self *self, hkb_stream_conn *conn, unsigned events,
                           uint64_t now_ns);
void hkb_stream_dial_free(hkb_stream_self *self, hkb_stream_conn *conn);

/* stream_listen.c */
hakuban_status hkb_stream_listen(void *self_memory, void *listener_memory, const hakuban_url *url,
                                 char *ret_url, size_t url_bytes, hakuban_error *reterr);
void hkb_stream_unlisten(void *self_memory, void *listener_memory);
void hkb_stream_listener_ready(hkb_stream_self *self, hkb_stream_listener *listener,
                               uint64_t now_ns);

/* A transport's table around these functions. */
#define HKB_STREAM_TABLE(name, the_flags, the_init, the_check)                                     \
    {                                                                                              \
        .size = sizeof(hakuban_transport_ops),                                                     \
        .abi = HAKUBAN_TRANSPORT_ABI,                                                              \
        .scheme = (name),                                                                          \
        .flags = (the_flags),                                                                      \
        .self_bytes = sizeof(hkb_stream_self),                                                     \
        .listener_bytes = sizeof(hkb_stream_listener),                                             \
        .conn_bytes = sizeof(hkb_stream_conn),                                                     \
        .init = (the_init),                                                                        \
        .done = hkb_stream_done,                                                                   \
        .listen = hkb_stream_listen,                                                               \
        .unlisten = hkb_stream_unlisten,                                                           \
        .dial = hkb_stream_dial,                                                                   \
        .send = hkb_stream_send,                                                                   \
        .shutdown = hkb_stream_shutdown,                                                           \
        .close = hkb_stream_close,                                                                 \
        .ready = hkb_stream_ready,                                                                 \
        .check = (the_check),                                                                      \
        .resume = hkb_stream_resume,                                                               \
    }

/* transports/ws, where it was built. */
extern const hkb_stream_layer hkb_ws_layer;
/* The layer that a bind of bytes understands as well; NULL: none was built. */
#ifdef HKB_TRANSPORT_WS
#define HKB_STREAM_SECOND_LAYER (&hkb_ws_layer)
#else
#define HKB_STREAM_SECOND_LAYER NULL
#endif
hakuban_status hkb_ws_check_url(const hakuban_url *url, int listening, hakuban_error *reterr);

extern const hakuban_transport_ops hakuban_transport_tcp;
extern const hakuban_transport_ops hakuban_transport_unix;
extern const hakuban_transport_ops hakuban_transport_ws;
extern const hakuban_transport_ops hakuban_transport_tls;
extern const hakuban_transport_ops hakuban_transport_wss;

#endif
