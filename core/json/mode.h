/* The floating point mode of this room, around everything that reads or writes a double: the same
 * number has one name, whatever mode the calling thread is in. */
#ifndef HKB_JSON_MODE_H
#define HKB_JSON_MODE_H

#include <fenv.h>
#include <stdbool.h>

typedef struct hkb_json_mode {
    fenv_t before;
    bool changed;
} hkb_json_mode;

void hkb_json_mode_begin(hkb_json_mode *mode);
/* Back to what it was at the beginning. */
void hkb_json_mode_end(const hkb_json_mode *mode);

#endif
