/* What a transport implements, and what its host offers.
 *
 * A transport carries whole messages: in order, unchanged, at most once, or the connection closes.
 * One that declares itself a byte stream moves bytes only; the core does the framing. All calls are
 * made on the loop's thread and never overlap. Transports use plain non-blocking calls or a library
 * of their own and know no event loop. */
#ifndef HAKUBAN_PLUGIN_TRANSPORT_H
#define HAKUBAN_PLUGIN_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

#include "../alloc.h"
#include "../bytes.h"
#include "../status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_TRANSPORT_ABI 1u
#define HAKUBAN_TRANSPORT_STREAM 1u /* flag: moves bytes only, boundaries are not kept */
/* Flag: the host of a URL is a name or an address of IP, and the library looks names up. listen()
 * and dial() get a URL whose host is an address in numbers, one call for each address until one
 * succeeds; authority stays as it was written. */
#define HAKUBAN_TRANSPORT_NAMES 2u
#define HAKUBAN_SEND_PARTS_MAX 16u
#define HAKUBAN_MESSAGE_BYTES_MAX (128u * 1024) /* no message given to send() is larger */

enum { HAKUBAN_READ = 1, HAKUBAN_WRITE = 2 };

/* What a connection carries, where a transport's connections are not all alike.
 *
 * HAKUBAN_CARRIES_RUST is the protocol of hakuban 0.8 for Rust, one of its events per message,
 * which may be as large as HAKUBAN_RUST_MESSAGE_BYTES_MAX both ways. The message "." of one byte,
 * which no event is, is its keep-alive: given to send() it becomes a sign of life in the way of
 * that protocol, and whatever is a sign of life and nothing else is received() as ".". */
typedef enum hakuban_carries {
    HAKUBAN_CARRIES_BYTES = 1,    /* Hakuban's own protocol in a byte stream */
    HAKUBAN_CARRIES_MESSAGES = 2, /* Hakuban's own protocol, a packet per message */
    HAKUBAN_CARRIES_RUST = 3
} hakuban_carries;

#define HAKUBAN_RUST_MESSAGE_BYTES_MAX (64u * 1024 * 1024)

/* A connection as the host sees it; opaque to transports. */
typedef struct hakuban_carrier hakuban_carrier;

typedef struct hakuban_url_param {
    const char *key, *value;
} hakuban_url_param;

/* A URL taken apart: scheme://host:port/path or scheme://path, then #key=value,key=value. */
typedef struct hakuban_url {
    const char *text;      /* as given */
    const char *scheme;    /* lower case */
    const char *authority; /* between :// and the first / or #; brackets of IPv6 kept; "" if none */
    const char *host;      /* of the authority, without brackets; "" if none */
    uint16_t port;         /* 0 where has_port is 0, or where it says 0 */
    uint8_t has_port;
    const char *path; /* from the first / on, without parameters; "" if none */
    const hakuban_url_param *params;
    size_t param_count;
} hakuban_url;

/**
 * The value of a URL's parameter.
 *
 * @return borrowed from url; NULL if it has no such key
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const char *hakuban_url_get(const hakuban_url *url, const char *key);

/**
 * Fills in an error from a format. For transports and serializers, so that every error has the same
 * form.
 *
 * @param reterr  may be NULL
 * @return status
 * @thread any
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_error_set(hakuban_error *reterr, hakuban_status status,
                                             const char *format, ...) HAKUBAN_PRINTF(3, 4);

/* Filled in by the host. accepted, opened, received, writable, carries and full are made only from
 * inside ready(), listen(), dial(), send() or close(); closed, of any connection, and fd_set and
 * wake_at may be called from any slot but init() and done(). No slot is called before the one that
 * runs has returned: an upcall never leads to send() or close() at once. */
typedef struct hakuban_transport_host {
    uint32_t size; /* sizeof this struct when the host was compiled */
    void *host;    /* first argument of fd_set, wake_at, accepted and trouble */
    void *param;   /* as given at registration */
    const hakuban_alloc *alloc;
    /* Waits for fd; events 0 forgets it. ready() is called back with owner, level-triggered. Forget
     * it before closing it. */
    hakuban_status (*fd_set)(void *host, void *owner, int fd, unsigned events);
    /* Calls ready(self, owner, 0, now) once when the monotonic clock reaches when_ns, in the next
     * turn of the loop at the earliest; a later call replaces it, UINT64_MAX cancels it; so does
     * the end of owner. */
    hakuban_status (*wake_at)(void *host, void *owner, uint64_t when_ns);
    /* A new inbound peer. peer is its address in words, borrowed for the call. Allocates *ret_conn
     * (conn_bytes, zeroed). NULL: refused; drop the peer. */
    hakuban_carrier *(*accepted)(void *host, void *listener, const char *peer, void **ret_conn);
    void (*opened)(hakuban_carrier *carrier); /* dial() has succeeded */
    void (*received)(hakuban_carrier *carrier, const void *data,
                     size_t bytes);             /* data borrowed for the call */
    void (*writable)(hakuban_carrier *carrier); /* once after each OK_FULL from send() */
    void (*closed)(hakuban_carrier *carrier, hakuban_status why,
                   const char *text); /* exactly once, the last upcall; conn's
                                      memory is gone when the slot returns */
    /* What carrier carries, where that is not what the transport's flags say; before opened(), or
     * before the first received() of one that was accepted. From inside the same slots. */
    void (*carries)(hakuban_carrier *carrier, hakuban_carries what);
    /* What the other side has proven to be: kind is "cert", "curve", "uid" or a word of the
     * transport's own, of at most 15 bytes, name is UTF-8 of at most 255 bytes; both borrowed for
     * the call. Before opened(), or before the first received() of a carrier that was accepted.
     * From inside the same slots. Without it the other side is anonymous. What is longer or no
     * UTF-8 ends the connection. */
    void (*identity)(hakuban_carrier *carrier, const char *kind, const char *name);
    /* Something keeps a listener from accepting, such as no descriptors left: text in words,
     * borrowed for the call. May be said whenever it is met; the host tells people once. Only that;
     * from any slot but init() and done(). */
    void (*trouble)(void *host, void *listener, const char *text);
    /* Whether the host has enough of carrier for now, because what came costs more than its share
     * of a turn. To be asked before reading and after each received(): not 0: do not read on before
     * resume(). What was read already may still be given to received(). Always 0 for a transport
     * without resume(). */
    int (*full)(hakuban_carrier *carrier);
} hakuban_transport_host;

/* Slots marked mandatory are checked at registration. */
typedef struct hakuban_transport_ops {
    uint32_t size; /* sizeof this struct when the plugin was compiled */
    uint32_t abi;  /* HAKUBAN_TRANSPORT_ABI; bumped only when a member changes its meaning; new ones
                      are appended */
    const char *scheme;                              /* "tcp" for tcp://; static storage */
    uint32_t flags;                                  /* HAKUBAN_TRANSPORT_… */
    uint32_t self_bytes, listener_bytes, conn_bytes; /* allocated and zeroed by the host */
    /* When a URL first needs the transport. host borrowed until done(). Optional. */
    hakuban_status (*init)(void *self, const hakuban_transport_host *host);
    void (*done)(void *self); /* after every conn and listener is closed; not after a failed init();
                                 optional */
    /* Starts accepting. *ret_url: where it can be reached, terminated, at most url_bytes; without
     * parameters. Mandatory. */
    hakuban_status (*listen)(void *self, void *listener, const hakuban_url *url, char *ret_url,
                             size_t url_bytes, hakuban_error *reterr);
    void (*unlisten)(void *self, void *listener); /* accepted connections live on; mandatory */
    /* Starts connecting; opened() or closed() follows. On failure closed() is not called.
     * Mandatory. */
    hakuban_status (*dial)(void *self, void *conn, hakuban_carrier *carrier, const hakuban_url *url,
                           hakuban_error *reterr);
    /* Takes the whole message or fails for good (closed() follows). OK, or OK_FULL: taken, no more
     * until writable(). Never called again before that. Mandatory. */
    hakuban_status (*send)(void *self, void *conn, const hakuban_slice *parts, unsigned part_count);
    /* Ends writing after what was taken has left, reading goes on; optional: without it close() is
     * all there is. */
    void (*shutdown)(void *self, void *conn);
    /* Ends at once; closed() is called from inside. Mandatory. */
    void (*close)(void *self, void *conn);
    void (*ready)(void *self, void *owner, unsigned events,
                  uint64_t now_ns); /* never blocks; mandatory */
    /* Whether a URL can ever work, to be listened at or to be dialled: OK, or why not. Asked before
     * anything else, on any thread, perhaps before init(): it has no self, makes no upcall and
     * looks at nothing but url, whose host is as it was written. Optional. */
    hakuban_status (*check)(const hakuban_url *url, int listening, hakuban_error *reterr);
    /* Once after each full() that was not 0: the host takes more of conn. Optional: without it a
     * peer that sends more than its window while it waits for its turn is cut. */
    void (*resume)(void *self, void *conn);
} hakuban_transport_ops;

#ifdef __cplusplus
}
#endif

#endif
