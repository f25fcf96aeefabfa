/* The transports tcp:// and unix://: bytes in, bytes out, as transports/stream moves them. Where
 * WebSocket was built, it is understood on the same port. */
#include "stream/stream.h"

static hakuban_status init(void *self_memory, const hakuban_transport_host *host)
{
    hkb_stream_self *self = self_memory;
    self->layer = HKB_STREAM_SECOND_LAYER;
    self->layered = false;
    return hkb_stream_init(self, host);
}

const hakuban_transport_ops hakuban_transport_tcp = HKB_STREAM_TABLE(
    "tcp", HAKUBAN_TRANSPORT_STREAM | HAKUBAN_TRANSPORT_NAMES, init, hkb_stream_check_url);
const hakuban_transport_ops hakuban_transport_unix =
    HKB_STREAM_TABLE("unix", HAKUBAN_TRANSPORT_STREAM, init, hkb_stream_check_url);
