/* The difference between two states as the Rust implementation writes it, and back. Pure functions;
 * the form is described in docs/rust.md.
 *
 * It is a copier's language: literals, and behind an escape byte references to the old state or to
 * what was made already. It has no head, no size and no check, so that whoever reads it has to look
 * at all of it before he knows how large the result is. */
#ifndef HKB_WIRE_RUST_DELTA_H
#define HKB_WIRE_RUST_DELTA_H

#include "wire/delta.h"

/* The difference that turns old (empty: none) into new_. *ret: owned. ERR_LIMIT over 1 GiB,
 * ERR_NO_MEMORY. */
hakuban_status hkb_rust_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                                   hakuban_slice old, hakuban_slice new_, hakuban_bytes **ret);
/* How large the result will be; every reference is checked, nothing is allocated. ERR_CORRUPT with
 * words and the offset in the difference; ERR_LIMIT. */
hakuban_status hkb_rust_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                                   size_t *ret_bytes, hakuban_error *reterr);
/* Applies delta to old into out, which is exactly hkb_rust_delta_size() large and does not overlap
 * old. ERR_CORRUPT leaves rubbish in out and touches nothing else. Linear in delta and result. */
hakuban_status hkb_rust_delta_apply(hakuban_slice old, hakuban_slice delta, uint8_t *out,
                                    size_t out_bytes);

#endif
