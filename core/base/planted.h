/* Bugs that the tests once found, or must be able to find, kept so that this can be tried again
 * (docs/testing.md). Only a build with HAKUBAN_PLANT_BUGS has them, and then at most one at a time;
 * in any other HKB_PLANTED() is false and nothing of it remains. */
#ifndef HKB_BASE_PLANTED_H
#define HKB_BASE_PLANTED_H

#include <stdbool.h>

#ifdef HAKUBAN_PLANT_BUGS
bool hkb_is_planted(const char *name);
#define HKB_PLANTED(name) hkb_is_planted(#name)
#else
#define HKB_PLANTED(name) false
#endif

#endif
