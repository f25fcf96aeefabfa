/* Makes and applies differences in the Rust implementation's form. Pure functions; docs/rust.md
 * describes the form. A difference is a sequence of literals and of references, behind an escape
 * byte, to the old state or to the result so far. It has no head, no size and no check: the size of
 * the result is known only after all of it was read. */
#ifndef HKB_WIRE_RUST_DELTA_H
#define HKB_WIRE_RUST_DELTA_H

#include "wire/delta.h"

/* Makes the difference that turns old (empty: none) into new_. *ret: owned. ERR_LIMIT over 1 GiB,
 * ERR_NO_MEMORY. */
hakuban_status hkb_rust_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                                   hakuban_slice old, hakuban_slice new_, hakuban_bytes **ret);
/* The size of the result. All references are checked, nothing is allocated. ERR_CORRUPT with a text
 * and the offset in the difference; ERR_LIMIT. */
hakuban_status hkb_rust_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                                   size_t *ret_bytes, hakuban_error *reterr);
/* Applies delta to old and writes the result to out, which has exactly hkb_rust_delta_size() bytes
 * and does not overlap old. After ERR_CORRUPT the contents of out are undefined. Takes time linear
 * in delta and result. */
hakuban_status hkb_rust_delta_apply(hakuban_slice old, hakuban_slice delta, uint8_t *out,
                                    size_t out_bytes);

#endif
