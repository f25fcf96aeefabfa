/* Sets one floating point mode around all code that reads or writes a double: so a number has the
 * same text whatever mode the calling thread is in. */
#ifndef HKB_JSON_MODE_H
#define HKB_JSON_MODE_H

#include <fenv.h>
#include <stdbool.h>

typedef struct hkb_json_mode {
    fenv_t before;
    bool changed;
} hkb_json_mode;

void hkb_json_mode_begin(hkb_json_mode *mode);
/* Restores the mode of the calling thread. */
void hkb_json_mode_end(const hkb_json_mode *mode);

#endif
