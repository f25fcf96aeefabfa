/* Which bug is planted in this process: the one that HAKUBAN_PLANT names, if any, or what a test
 * chose. Built into the library with HAKUBAN_PLANT_BUGS only; the core itself reads no environment.
 */
#include "planted.h"

#include <stdlib.h>
#include <string.h>

bool hkb_is_planted(const char *name);

static const char *planted;

__attribute__((constructor)) static void read_environment(void)
{
    planted = getenv("HAKUBAN_PLANT");
}

bool hkb_is_planted(const char *name)
{
    return planted && strcmp(planted, name) == 0;
}

bool planted_set(const char *name)
{
    planted = name;
    return true;
}
