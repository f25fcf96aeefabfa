/* A bad network on one machine: a process that passes TCP connections on and, when told, cuts them
 * at a byte, delays, trickles or swallows one direction for good. Knows nothing of what passes. */
#ifndef TESTS_SUPPORT_PROXY_H
#define TESTS_SUPPORT_PROXY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proxy proxy;

/* A route listens at address:from and connects to address:to. */
typedef struct proxy_route {
    uint16_t from, to;
} proxy_route;

/* A loopback address that no other run of any test uses at the same time, so that fixed ports are
 * free: "127.x.y.z". */
const char *proxy_address(void);

/* Listens when it returns, and dies with the test. seed: for the order of what is random in it. */
proxy *proxy_start(const char *address, const proxy_route *routes, size_t count, uint64_t seed);
proxy *proxy_stop(proxy *p);
pid_t proxy_pid(const proxy *p);

/* Each connection of the route ends once this many more bytes have passed in either direction, by
 * reset or in order. */
void proxy_cut(proxy *p, unsigned route, uint32_t after_bytes);
/* What passes from now on arrives so much later, and up to jitter_ms more. In order. */
void proxy_delay(proxy *p, unsigned route, uint32_t delay_ms, uint32_t jitter_ms);
/* At most this many bytes every 10 ms in each direction. */
void proxy_trickle(proxy *p, unsigned route, uint32_t bytes);
/* Half-open: what goes up (from the connector) or down is read and lost, the end of the connection
 * too. A connection that lost something stays so until both sides have left it; new ones are as bad
 * until proxy_heal(). */
void proxy_swallow(proxy *p, unsigned route, int up, int down);
/* New connections end at once, as if there were no listener. */
void proxy_refuse(proxy *p, unsigned route);
/* The route is a good one from now on. */
void proxy_heal(proxy *p, unsigned route);

#endif
