/* A packet's parts as the bytes that arrive at the other end. */
#ifndef PARTS_H
#define PARTS_H

#include "base/chain.h"

/* The parts, joined in room, which is cleared first. */
static inline hakuban_slice parts_joined(hkb_buffer *room, const hakuban_slice *parts,
                                         unsigned part_count)
{
    room->bytes = 0;
    for (unsigned i = 0; i < part_count; i++) {
        HKB_ASSERT(hkb_buffer_append(room, parts[i].data, parts[i].bytes) >= 0);
    }
    return (hakuban_slice){room->data, room->bytes};
}

#endif
