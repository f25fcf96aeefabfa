/* Adding transports, serializers and compressors of one's own to an exchange. Those built in are
 * there already. */
#ifndef HAKUBAN_PLUGIN_REGISTRY_H
#define HAKUBAN_PLUGIN_REGISTRY_H

#include "../queue.h"
#include "compressor.h"
#include "serializer.h"
#include "transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a transport known for its scheme.
 *
 * @param ops     copied up to its size; its texts are borrowed until hakuban_exchange_free()
 * @param param   handed to the transport as host->param; borrowed likewise
 * @param reterr  which slot is missing, or what does not fit; may be NULL
 * @return OK, ERR_ARGUMENT, ERR_UNSUPPORTED (another abi), ERR_EXISTS, ERR_LIMIT, ERR_NO_MEMORY
 * @thread init (before the first connect or listen)
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status
hakuban_exchange_add_transport(hakuban_exchange *exchange, const hakuban_transport_ops *ops,
                               void *param, hakuban_error *reterr);

/**
 * Makes a serializer known. Those added later are offered first.
 *
 * @param ops  as above
 * @return as above
 * @thread init
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_add_serializer(
    hakuban_exchange *exchange, const hakuban_serializer_ops *ops, hakuban_error *reterr);

/**
 * Makes a compressor known. Those added later are offered first.
 *
 * @param ops  as above
 * @return as above
 * @thread init
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_exchange_add_compressor(
    hakuban_exchange *exchange, const hakuban_compressor_ops *ops, hakuban_error *reterr);

/**
 * A built-in or added serializer by its name, for reading and writing states.
 *
 * @param name  e.g. "json"
 * @return borrowed until hakuban_exchange_free(); NULL: there is none of that name
 * @thread any
 * @since 0.1
 */
HAKUBAN_API const hakuban_serializer_ops *hakuban_exchange_serializer(hakuban_exchange *exchange,
                                                                      const char *name);

#ifdef __cplusplus
}
#endif

#endif
