/* Structs of the public headers that carry their size: a program and the library may be built with
 * headers of different releases. New members are only added at the end. */
#include "base/base.h"

bool hkb_sized_read(void *ours, size_t our_bytes, const void *theirs, size_t their_bytes)
{
    const uint8_t *bytes = theirs;
    memset(ours, 0, our_bytes);
    memcpy(ours, theirs, hkb_min(our_bytes, their_bytes));
    for (size_t i = our_bytes; i < their_bytes; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

void hkb_sized_write(void *theirs, size_t their_bytes, const void *ours, size_t our_bytes)
{
    memcpy(theirs, ours, hkb_min(our_bytes, their_bytes));
    if (their_bytes > our_bytes) {
        memset((uint8_t *)theirs + our_bytes, 0, their_bytes - our_bytes);
    }
}
