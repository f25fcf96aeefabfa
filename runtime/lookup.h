/* What a name stands for, looked up on a thread of its own. Knows no exchange and no transport. */
#ifndef HKB_RUNTIME_LOOKUP_H
#define HKB_RUNTIME_LOOKUP_H

#include "base/base.h"
#include "runtime/loop.h"

#define HKB_ADDRESSES_MAX 256 /* of one name; what is beyond them is not tried */
#define HKB_ADDRESS_BYTES 64  /* "192.0.2.1", "fe80::1%eth0", terminated */

typedef struct hkb_answer {
    size_t count;
    char why[64]; /* count 0: in words */
    char addresses[HKB_ADDRESSES_MAX][HKB_ADDRESS_BYTES];
} hkb_answer;

typedef struct hkb_lookup hkb_lookup;

/* Never blocks. */
bool hkb_lookup_is_numeric(const char *host);
/* loop, which may be NULL, is woken when the answer is there. ERR_NO_MEMORY, ERR_IO. */
hakuban_status hkb_lookup_start(const char *name, hkb_loop *loop, hkb_lookup **ret,
                                hakuban_error *reterr);
/* Borrowed until hkb_lookup_free(); NULL: it is not there within timeout_ms. */
const hkb_answer *hkb_lookup_answer(hkb_lookup *lookup, unsigned timeout_ms);
/* Never blocks. There is no way to stop getaddrinfo(): a thread that is inside it is left to
 * itself, touches nothing but its own memory and ends with it; the library's code stays loaded
 * until the end of the process, whatever dlclose() is told. */
hkb_lookup *hkb_lookup_free(hkb_lookup *lookup);

#endif
