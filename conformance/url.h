/* A URL taken apart as the library does it, for transports under test. */
#ifndef HKB_CONFORMANCE_URL_H
#define HKB_CONFORMANCE_URL_H

#include <hakuban/plugin/transport.h>

/* ret: owned; end with hkb_check_url_free(). ERR_URL where there is no scheme, or too much of all.
 */
hakuban_status hkb_check_url_parse(const char *text, hakuban_url **ret, hakuban_error *reterr);
void hkb_check_url_free(hakuban_url *url);

#endif
