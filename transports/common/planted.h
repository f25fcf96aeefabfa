/* The twin of core's base/planted.h for transports, which see nothing of the core: bugs that tests
 * must find, only in a build with HAKUBAN_PLANT_BUGS. */
#ifndef HKB_COMMON_PLANTED_H
#define HKB_COMMON_PLANTED_H

#include <stdbool.h>

#ifdef HAKUBAN_PLANT_BUGS
bool hkb_is_planted(const char *name);
#define HKB_PLANTED(name) hkb_is_planted(#name)
#else
#define HKB_PLANTED(name) false
#endif

#endif
