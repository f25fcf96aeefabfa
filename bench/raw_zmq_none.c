/* In place of raw_zmq.c where libzmq is not built in: there is no transport that would want its
 * relay. */
#include "raw_zmq.h"

static _Noreturn void absent(void)
{
    bench_die("built without libzmq");
}

void raw_zmq_relay_init(raw_zmq_relay *relay, const bench_options *options)
{
    (void)options;
    relay->wanted = false;
}

void raw_zmq_relay_run(void *relay, unsigned index)
{
    (void)relay;
    (void)index;
    absent();
}

void raw_zmq_open(raw_zmq_peer *peer, raw_zmq_relay *relay, bool source)
{
    (void)peer;
    (void)relay;
    (void)source;
    absent();
}

void raw_zmq_send(raw_zmq_peer *peer, const void *data, size_t bytes)
{
    (void)peer;
    (void)data;
    (void)bytes;
    absent();
}

bool raw_zmq_receive(raw_zmq_peer *peer, void *data, size_t bytes)
{
    (void)peer;
    (void)data;
    (void)bytes;
    absent();
}

void raw_zmq_close(raw_zmq_peer *peer, bool source)
{
    (void)peer;
    (void)source;
    absent();
}
