/* The floating point mode in which numbers are read and written. The program may have set another
 * mode for its own computations, or -ffast-math may have set one. */
#include "json/mode.h"

#if defined(__SSE2_MATH__)
#include <xmmintrin.h>
#endif

/* Whether the thread rounds to nearest, keeps denormal numbers and has no traps. Uses a cheaper
 * instruction where the processor has one. */
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
