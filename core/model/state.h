/* States inside the library: one allocation that holds version, format and data, or a new version
 * over another's data. */
#ifndef HKB_MODEL_STATE_H
#define HKB_MODEL_STATE_H

#include <stdatomic.h>

#include <hakuban/state.h>

#include "base/list.h"
#include "model/version.h"

struct hakuban_state {
    atomic_uint references;
    uint8_t version_count;
    uint8_t format_count;
    uint8_t format_bytes; /* all names, each with its terminating zero */
    uint8_t has_check;
    const hakuban_alloc *alloc;
    hakuban_state *data_owner; /* the state that contains the data; NULL: this one */
    const uint8_t *data;
    size_t data_bytes;
    uint64_t check; /* XXH3-64 of data, valid if has_check; written once, before the state is
                       shared, or under the exchange's lock */
    /* The exchange's, under its lock: the list of states that are no longer the newest, but are the
     * base of a link's next difference. */
    hkb_node base_node;
    uint32_t base_users;
    uint32_t in_users : 31; /* peers whose last state this is, and whose accounts are charged */
    uint32_t left_over : 1; /* since the state was current, there was a time when no observer needed
                               the object */
    int64_t version[];      /* then the format, then the data */
};

/* A state with room for data_bytes, which the caller fills at *ret_data before it shares the state.
 * format as in the struct. */
hakuban_status hkb_state_new(const hakuban_alloc *alloc, const int64_t *version,
                             size_t version_count, const char *format, size_t format_count,
                             size_t format_bytes, size_t data_bytes, hakuban_state **ret,
                             uint8_t **ret_data);
/* The same data and format under another version; shares the data. */
hakuban_status hkb_state_with_version(const hakuban_alloc *alloc, hakuban_state *state,
                                      const hkb_version *version, hakuban_state **ret);
hkb_version hkb_state_version(const hakuban_state *state);
/* As hakuban_state_version(), for hot paths: copies only the elements that the version has. */
static inline void hkb_state_get_version(const hakuban_state *state, hkb_version *ret)
{
    ret->count = state->version_count;
    for (size_t i = 0; i < ret->count; i++) {
        ret->elements[i] = state->version[i];
    }
}
/* format_count terminated names one after the other; the data is behind them. */
static inline const char *hkb_state_format(const hakuban_state *state)
{
    return (const char *)state->data - state->format_bytes;
}
static inline bool hkb_state_same_format(const hakuban_state *a, const hakuban_state *b)
{
    return a->format_bytes == b->format_bytes &&
           memcmp(hkb_state_format(a), hkb_state_format(b), a->format_bytes) == 0;
}
/* Same format and data. */
bool hkb_state_same_content(const hakuban_state *a, const hakuban_state *b);
/* Checks names as a peer sent them: format_count terminated UTF-8 names in exactly format_bytes,
 * within the limits of state.h. */
bool hkb_format_valid(const char *format, size_t format_count, size_t format_bytes);
/* What a state costs in memory, for accounting. */
static inline size_t hkb_state_bytes(const hakuban_state *state)
{
    return sizeof(hakuban_state) + state->version_count * sizeof(state->version[0]) +
           state->format_bytes + state->data_bytes;
}

#endif
