/* What URLs of zmq+tcp:// and zmq+ipc:// have to say, and ZeroMQ's own names of addresses. Names
 * are looked up by the library: libzmq would do that in the one thread that serves all connections.
 * Opens no connection. */
#include <stdio.h>
#include <string.h>

#include "common/local.h"
#include "zmq_transport.h"

bool hkb_zmq_is_ipc(const hakuban_url *url)
{
    return strcmp(url->scheme, "zmq+ipc") == 0;
}

hakuban_status hkb_zmq_check(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    hakuban_status status = hkb_address_check_plain(url, reterr);
    if (status < 0) {
        return status;
    }
    if (hkb_zmq_is_ipc(url)) {
        status = hkb_address_check_path(url, reterr);
        return status < 0 ? status : hkb_local_check(url, listening != 0, reterr);
    }
    if (url->path[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "zmq+tcp:// has no path, and here is one: %.120s", url->path);
    }
    return hkb_address_check_host(url, listening != 0, reterr);
}

bool hkb_zmq_numeric(const hakuban_url *url, hkb_address *ret_address)
{
    if (hkb_zmq_is_ipc(url)) {
        hkb_address_local(url->path, ret_address);
        return true;
    }
    return hkb_address_numeric(url->host, url->port, ret_address);
}

void hkb_zmq_endpoint(const hkb_address *address, char endpoint[HKB_ZMQ_ENDPOINT_BYTES])
{
    if (address->is.any.sa_family == AF_UNIX) {
        (void)snprintf(endpoint, HKB_ZMQ_ENDPOINT_BYTES, "ipc://%s", address->is.local.sun_path);
        return;
    }
    char text[HKB_ADDRESS_TEXT_BYTES];
    hkb_address_text(address, text);
    (void)snprintf(endpoint, HKB_ZMQ_ENDPOINT_BYTES, "tcp://%s", text);
}

void hkb_zmq_peer(int fd, char text[HKB_ADDRESS_TEXT_BYTES])
{
    hkb_address address = {.bytes = sizeof(address.is)};
    if (getpeername(fd, &address.is.any, &address.bytes) != 0) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "unknown");
    } else if (address.is.any.sa_family == AF_UNIX) {
        (void)snprintf(text, HKB_ADDRESS_TEXT_BYTES, "zmq+ipc");
    } else {
        hkb_address_text(&address, text);
    }
}
