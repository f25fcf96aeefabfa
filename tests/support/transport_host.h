/* The host of the conformance suite for tests with check: what a transport does not keep fails the
 * test. */
#ifndef HKB_TEST_TRANSPORT_HOST_H
#define HKB_TEST_TRANSPORT_HOST_H

#include <check.h>

#include "base/url.h"
#include "conformance/transport_host.h"

static inline void thost_fail_test(void *ctx, const char *text)
{
    (void)ctx;
    ck_abort_msg("%s", text);
}

static inline hakuban_status thost_url_parse(const char *text, hakuban_url **ret,
                                             hakuban_error *reterr)
{
    return hkb_url_parse(hakuban_alloc_default(), text, ret, reterr);
}

static inline void thost_url_free(hakuban_url *url)
{
    (void)hkb_url_free(hakuban_alloc_default(), url);
}

static inline hakuban_status thost_init(thost *host, const hakuban_transport_ops *ops, void *param)
{
    hakuban_status status = thost_begin(host, ops, param, thost_fail_test, NULL);
    host->url_parse = thost_url_parse;
    host->url_free = thost_url_free;
    return status;
}

#endif
