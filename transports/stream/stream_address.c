/* What URLs of the transports over stream sockets have to say. Opens no connection. */
#include <string.h>

#include "common/local.h"
#include "stream.h"

hakuban_status hkb_stream_check(const hakuban_url *url, bool listening, bool *ret_nodelay,
                                hakuban_error *reterr)
{
    hakuban_status status = hkb_address_check_plain(url, reterr);
    if (status < 0) {
        return status;
    }
    if (strcmp(url->scheme, "unix") == 0) {
        status = hkb_address_check_path(url, reterr);
        return status < 0 ? status : hkb_local_check(url, listening, reterr);
    }
    const char *nodelay = hakuban_url_get(url, "nodelay");
    if (nodelay && strcmp(nodelay, "true") != 0 && strcmp(nodelay, "false") != 0) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "nodelay is true or false, not %.64s",
                                 nodelay);
    }
    bool has_path = strcmp(url->scheme, "tcp") != 0 && strcmp(url->scheme, "tls") != 0;
    if (!has_path && url->path[0] != '\0') {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "%s:// has no path, and here is one: %.120s", url->scheme,
                                 url->path);
    }
    status = hkb_address_check_host(url, listening, reterr);
    if (status >= 0) {
        *ret_nodelay = !nodelay || strcmp(nodelay, "true") == 0;
    }
    return status;
}

hakuban_status hkb_stream_check_url(const hakuban_url *url, int listening, hakuban_error *reterr)
{
    bool nodelay;
    return hkb_stream_check(url, listening != 0, &nodelay, reterr);
}

bool hkb_stream_numeric(const hakuban_url *url, hkb_address *ret_address)
{
    if (strcmp(url->scheme, "unix") == 0) {
        hkb_address_local(url->path, ret_address);
        return true;
    }
    return hkb_address_numeric(url->host, url->port, ret_address);
}
