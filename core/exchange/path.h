/* The way from here to the root of the tree of hubs. */
#ifndef HKB_EXCHANGE_PATH_H
#define HKB_EXCHANGE_PATH_H

#include "exchange/records.h"

/* As the upstream says it. If it changed, all downstreams are told. */
void hkb_path_set(hkb_exchange *exchange, const uint64_t (*upwards)[2], size_t count);
void hkb_path_put(const hkb_exchange *exchange, hkb_hello *hello);
/* ERR_LOOP, ERR_LIMIT. */
hakuban_status hkb_path_check(const hkb_exchange *exchange, const uint64_t (*path)[2], size_t count,
                              hakuban_error *reterr);

#endif
