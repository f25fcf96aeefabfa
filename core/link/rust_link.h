/* The conversation with a Rust implementation: no hello, no acknowledgement, no BYE, one event per
 * message of the carrier (wire/rust.h). docs/adr/0018-rust-dialect.md tells why it is divided like
 * this.
 *
 * The Rust implementation's registrations are changes, ours are absolute. Its channels are
 * numbered by both sides, and open and close in any order. Its messages do not tell what their
 * channel is for. So the codec alone cannot translate. It needs this state:
 *
 *   - registrations, and the object of each channel: the owner knows them and is asked
 *     (registered, use_of and channel_of in hkb_link_events);
 *   - which of the other side's channels are open without a known purpose: a window of bytes
 *     over the channel numbers;
 *   - replaced channels: their object has a newer channel already, and their Close has not
 *     come yet;
 *   - events that were produced together and are pulled one by one.
 *
 * In messages to and from the owner, a connector's channel number is that of the wire, and a
 * listener's is one less, because the listener's first channel is its control channel. */
#ifndef HKB_LINK_RUST_LINK_H
#define HKB_LINK_RUST_LINK_H

#include "base/chain.h"
#include "wire/rust.h"

#define HKB_RUST_KEEP_ALIVE_NS (60ull * 1000000000)
#define HKB_RUST_TIMEOUT_NS (120ull * 1000000000)
#define HKB_RUST_WINDOW_MAX (1u << 20) /* channels whose purpose is not known yet */
#define HKB_RUST_REPLACED_MAX 1024u    /* channels whose Close is overdue */
#define HKB_RUST_CONTROLS_MAX 16u      /* of a client; Rust clients open one */

typedef struct hkb_rust_link {
    /* One byte for each of the other side's numbers from first on. All numbers before are settled.
     */
    uint32_t first;
    size_t window_begin, window_count,
        window_capacity; /* window_begin: where the byte of first is */
    uint8_t *window;
    uint32_t *replaced;
    size_t replaced_count, replaced_capacity;
    uint32_t controls;    /* how many control channels the other side has opened */
    uint32_t control;     /* connector: the number of the control channel */
    uint32_t mine;        /* the greatest number that this side has opened */
    hkb_chain said;       /* events to be pulled, each behind its length */
    hkb_rust_event heard; /* the event whose further actions wait for credit */
    uint32_t unheard;     /* how many of its actions wait */
} hkb_rust_link;

#endif
