/* The floating point mode that numbers are read and written in: a host program may have set another
 * one for its own sums, or -ffast-math for it. */
#include "json/mode.h"

#if defined(__SSE2_MATH__)
#include <xmmintrin.h>
#endif

/* Nearest, with denormal numbers, without traps; asked the cheap way where there is one. */
static bool is_usual(void)
{
#if defined(__SSE2_MATH__)
    enum { NO_FLAGS = 0xffc0, USUAL = 0x1f80 };
    return (_mm_getcsr() & NO_FLAGS) == USUAL;
#else
    return false;
#endif
}

void hkb_json_mode_begin(hkb_json_mode *mode)
{
    mode->changed = !is_usual();
    if (mode->changed) {
        (void)fegetenv(&mode->before);
        (void)fesetenv(FE_DFL_ENV);
    }
}

void hkb_json_mode_end(const hkb_json_mode *mode)
{
    if (mode->changed) {
        (void)fesetenv(&mode->before);
    }
}
