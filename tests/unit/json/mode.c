/* Numbers have one canonical form in every floating point mode that a host program may be in. */
#define _GNU_SOURCE
#include <check.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2_MATH__)
#include <xmmintrin.h>
#endif

#include "json/json.h"

static const char *const numbers[] = {
    "0.1",
    "-0.3",
    "1.1",
    "123456.789",
    "0.1000000000000000055511151231257827",
    "1e23",
    "9007199254740993",
    "18446744073709551616",
    "2.2250738585072011e-308",
    "2.2250738585072014e-308",
    "4.9e-324",
    "2.4703282292062328e-324",
    "1e-310",
    "-1.5e-320",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "0.30000000000000004",
    "5e-324",
    "1.00000000000000011102230246251565404",
    "3.14159265358979323846264338327950288",
};
enum { NUMBER_COUNT = sizeof(numbers) / sizeof(numbers[0]) };

/* The canonical form, or the text of what is wrong. */
static void canonical(const char *text, char form[300])
{
    hkb_buffer out;
    hakuban_error error = {.status = HAKUBAN_OK};
    hkb_buffer_init(&out, hakuban_alloc_default(), 300);
    if (hkb_json_canonical(text, strlen(text), &out, &error) < 0) {
        (void)snprintf(form, 300, "%s", error.text);
    } else {
        (void)snprintf(form, 300, "%.*s", (int)out.bytes, (const char *)out.data);
    }
    hkb_buffer_done(&out);
}

static void set_rounding(int rounding)
{
    ck_assert_int_eq(fesetround(rounding), 0);
}

#if defined(__SSE2_MATH__)
static void flush_to_zero(int unused)
{
    (void)unused;
    _mm_setcsr(_mm_getcsr() | 0x8040); /* as programs built with -ffast-math begin */
}
#endif

/* Not with the x87 of i386, which traps where a denormal number is merely copied. */
#if defined(__GLIBC__) && (!defined(__i386__) || defined(__SSE2_MATH__))
#define TRAPS
static void trap_what_is_inexact(int unused)
{
    (void)unused;
    (void)feenableexcept(FE_INEXACT | FE_UNDERFLOW | FE_OVERFLOW);
}
#endif

/* What of the mode can be compared. */
static unsigned control(void)
{
#if defined(__SSE2_MATH__)
    return _mm_getcsr() & 0xffc0;
#else
    return (unsigned)fegetround();
#endif
}

static const struct {
    const char *name;
    void (*set)(int value);
    int value;
} modes[] = {
    {"upward", set_rounding, FE_UPWARD},          {"downward", set_rounding, FE_DOWNWARD},
    {"toward zero", set_rounding, FE_TOWARDZERO},
#if defined(__SSE2_MATH__)
    {"flush to zero", flush_to_zero, 0},
#endif
#ifdef TRAPS
    {"traps", trap_what_is_inexact, 0},
#endif
};

START_TEST(canonical_form_is_the_same_in_every_mode)
{
    fenv_t usual;
    ck_assert_int_eq(fegetenv(&usual), 0);
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        char expected[300], form[300];
        canonical(numbers[i], expected);
        modes[_i].set(modes[_i].value);
        unsigned before = control();
        canonical(numbers[i], form);
        unsigned after = control();
        (void)fesetenv(&usual);
        ck_assert_msg(strcmp(form, expected) == 0, "%s, %s: %s instead of %s", numbers[i],
                      modes[_i].name, form, expected);
        /* The host's mode is the host's afterwards. */
        ck_assert_uint_eq(after, before);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mode");
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, canonical_form_is_the_same_in_every_mode, 0,
                        (int)(sizeof(modes) / sizeof(modes[0])));
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
