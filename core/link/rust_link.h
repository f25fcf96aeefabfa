/* The conversation with a Rust implementation, in the place of link.c's native one: no hello, no
 * acknowledgement, no goodbye, one event per message of the carrier (wire/rust.h). docs/adr has why
 * it is cut like this.
 *
 * A dialect link. Their registrations are changes and ours are absolute, their channels are
 * numbered by both sides and open and close in any order, a message says nothing of what its
 * channel is for. So the codec alone cannot translate; this is the state that it needs, and all of
 * it:
 *
 *   - what is registered and which channel is of which object: not kept here again, but asked of
 * the owner, who knows (registered, use_of and channel_of in hkb_link_events);
 *   - which of the other side's channel numbers were opened but not said what for: a window of
 * bytes over the numbers;
 *   - channels whose object has a newer one already while their Close is still on its way: a short
 * list;
 *   - events that were said in one go and are pulled one by one.
 *
 * The number of a channel in messages to and from the owner is that of the wire for the connector,
 * and one less for the listener, whose first is its control channel. */
#ifndef HKB_LINK_RUST_LINK_H
#define HKB_LINK_RUST_LINK_H

#include "base/chain.h"
#include "wire/rust.h"

#define HKB_RUST_KEEP_ALIVE_NS (60ull * 1000000000)
#define HKB_RUST_TIMEOUT_NS (120ull * 1000000000)
#define HKB_RUST_WINDOW_MAX (1u << 20) /* channels that are opened but not all told what for */
#define HKB_RUST_REPLACED_MAX 1024u    /* channels whose Close is overdue */
#define HKB_RUST_CONTROLS_MAX 16u /* a client may open more than one, and no Rust client does */

typedef struct hkb_rust_link {
    /* The other side's numbers from first on, a byte each. All before are settled. */
    uint32_t first;
    size_t window_begin, window_count, window_capacity; /* begin: of first, in window */
    uint8_t *window;
    uint32_t *replaced;
    size_t replaced_count, replaced_capacity;
    uint32_t controls;    /* how many control channels the other side has */
    uint32_t control;     /* connector: which it is */
    uint32_t mine;        /* the greatest number that I have opened */
    hkb_chain said;       /* events, each after its length */
    hkb_rust_event heard; /* the one whose other actions wait for credit */
    uint32_t unheard;     /* how many of its actions */
} hkb_rust_link;

#endif
