/* URLs and the values of their parameters. */
#ifndef HKB_BASE_URL_H
#define HKB_BASE_URL_H

#include <hakuban/plugin/transport.h>

#include "base/base.h"

/* *ret is one allocation, owned by the caller; all its members are borrowed from it. ERR_URL (with
 * offset), ERR_NO_MEMORY. */
hakuban_status hkb_url_parse(const hakuban_alloc *alloc, const char *text, hakuban_url **ret,
                             hakuban_error *reterr);
hakuban_url *hkb_url_free(const hakuban_alloc *alloc, hakuban_url *url);

/* "20s", "1m30s", "250ms", "120" (seconds): integers with optional units, added up. *ret is in
 * nanoseconds. ERR_PARSE says what is wrong. */
hakuban_status hkb_duration_parse(const char *text, uint64_t *ret_ns, hakuban_error *reterr);
/* "256k", "64M", "1000": bytes. */
hakuban_status hkb_size_parse(const char *text, uint64_t *ret_bytes, hakuban_error *reterr);

/* A load limit over time: points sorted by time, then by limit. The first one is (0, 0). No points:
 * no limit. */
#define HKB_LOAD_POINTS_MAX 64
typedef struct hkb_load_point {
    uint64_t after_ns;
    uint32_t limit;
} hkb_load_point;
typedef struct hkb_load_limit {
    size_t count;
    hkb_load_point points[HKB_LOAD_POINTS_MAX];
} hkb_load_limit;
/* "3", "2:0-2:5-5:7": points joined by '-', each duration:limit or limit. */
hakuban_status hkb_load_limit_parse(const char *text, hkb_load_limit *ret, hakuban_error *reterr);
/* Adds a point at its place in the order; ERR_LIMIT if there are too many. */
hakuban_status hkb_load_limit_add(hkb_load_limit *limit, hkb_load_point point);
/* The limit elapsed_ns after it was set; infinity if there is none. */
double hkb_load_limit_at(const hkb_load_limit *limit, uint64_t elapsed_ns);
/* The next time after elapsed_ns at which a limit below load reaches load; UINT64_MAX: never. */
uint64_t hkb_load_limit_when(const hkb_load_limit *limit, double load, uint64_t elapsed_ns);

#endif
