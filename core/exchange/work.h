/* Work on one large state, done by another thread where the host has one. */
#ifndef HKB_EXCHANGE_WORK_H
#define HKB_EXCHANGE_WORK_H

#include "exchange/records.h"

/* Whether so many bytes are worth a work. */
bool hkb_work_is_large(const hkb_exchange *exchange, size_t bytes);
/* work.done() comes later, or at once. bytes: what it keeps, which is in some account. */
void hkb_work_begin(hkb_exchange *exchange, hkb_work *work, size_t bytes);

/* Drops the reference to state. The memory of a large one is given back by a work, since that takes
 * milliseconds. */
void hkb_state_release(hkb_exchange *exchange, hakuban_state *state);

/* For the thread that does a work: counts bytes that it has allocated and freed. They are in the
 * exchange's common account until then. */
void hkb_work_count(hkb_exchange *exchange, size_t more, size_t less);

/* What a work needs of its own to make and apply differences. Its memory is counted. */
typedef struct hkb_work_tools {
    hkb_exchange *exchange;
    hakuban_alloc alloc;
    const hkb_compressor *compressor;
    hkb_delta_context *context;
    hkb_delta_compressor with;
} hkb_work_tools;
/* compressor NULL: none. tools must not move until hkb_work_tools_done(). */
hakuban_status hkb_work_tools_init(hkb_work_tools *tools, hkb_exchange *exchange,
                                   const hkb_compressor *compressor);
void hkb_work_tools_done(hkb_work_tools *tools);

#endif
