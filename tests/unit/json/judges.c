/* Others judge our JSON: Python's numbers with their shortest texts, and jansson's idea of equal
 * values. Either is left out, in words, where it is not installed. */
#define _GNU_SOURCE
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"

static char *canonical(const char *text, size_t bytes)
{
    hkb_buffer buffer;
    hkb_buffer_init(&buffer, NULL, 1 << 20);
    char *copy = NULL;
    if (hkb_json_canonical(text, bytes, &buffer, NULL) == HAKUBAN_OK) {
        copy = strndup((const char *)buffer.data, buffer.bytes);
    } else {
        copy = strdup("error");
    }
    hkb_buffer_done(&buffer);
    return copy;
}

/* Each line: a text, a tab, its canonical form as Python has it. */
START_TEST(python_finds_the_same_form)
{
    if (system("python3 -c '' 2>/dev/null") != 0) {
        fputs("skipped: there is no python3\n", stderr);
        return;
    }
    FILE *cases = popen("python3 tests/unit/json/cases.py", "r");
    ck_assert_ptr_nonnull(cases);
    char *line = NULL;
    size_t capacity = 0, count = 0;
    ssize_t bytes;
    while ((bytes = getline(&line, &capacity, cases)) > 0) {
        char *tab = strchr(line, '\t');
        ck_assert_ptr_nonnull(tab);
        line[bytes - 1] = '\0';
        char *form = canonical(line, (size_t)(tab - line));
        ck_assert_msg(strcmp(form, tab + 1) == 0, "%s: %s", line, form);
        free(form);
        count++;
    }
    free(line);
    ck_assert_int_eq(pclose(cases), 0);
    ck_assert_uint_gt(count, 10000);
}
END_TEST

static uint64_t seed = 1;

static unsigned random_below(unsigned limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % limit;
}

static size_t put_random(char *out, unsigned depth)
{
    static const char *const scalars[] = {
        "null", "true", "false", "\"\"", "\"a\\n\"", "\"\\u00e9\"", "0",
        "-12",  "1.5",  "1e3",   "0.1",  "1E-7",     "123456.789",  "9007199254740993"};
    unsigned kind = random_below(depth < 5 ? 5 : 3);
    size_t used = 0;
    if (kind < 3) {
        return (size_t)snprintf(out, 32, " %s", scalars[random_below(HKB_COUNT(scalars))]);
    }
    unsigned items = random_below(5);
    out[used++] = kind == 3 ? '[' : '{';
    for (unsigned i = 0; i < items; i++) {
        if (i) {
            out[used++] = ',';
        }
        if (kind == 4) {
            used += (size_t)snprintf(
                out + used, 16, "\"%s%u\" :", random_below(2) ? "\\u0061" : "a", random_below(6));
        }
        used += put_random(out + used, depth + 1);
    }
    out[used++] = kind == 3 ? ']' : '}';
    return used;
}

START_TEST(jansson_finds_the_same_value)
{
    /* Loaded, not linked: nothing but this test wants it. */
    void *library = dlopen("libjansson.so.4", RTLD_NOW);
    if (!library) {
        fputs("skipped: there is no jansson\n", stderr);
        return;
    }
    void *(*loads)(const char *, size_t, void *);
    int (*equal)(const void *, const void *);
    void (*let_go)(void *); /* jansson's macro calls it when the last reference to a value ends */
    *(void **)&loads = dlsym(library, "json_loads");
    *(void **)&equal = dlsym(library, "json_equal");
    *(void **)&let_go = dlsym(library, "json_delete");
    ck_assert(loads && equal && let_go);
    for (int i = 0; i < 20000; i++) {
        static char text[65536];
        size_t bytes = put_random(text, 0);
        text[bytes] = '\0';
        char *form = canonical(text, bytes);
        void *a = loads(text, 4, NULL), *b = loads(form, 4, NULL); /* 4: any value */
        ck_assert_msg(a && b && equal(a, b), "%s\n%s", text, form);
        let_go(a);
        let_go(b);
        free(form);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("JSON before judges");
    TCase *all = tcase_create("all");
    tcase_add_test(all, python_finds_the_same_form);
    tcase_add_test(all, jansson_finds_the_same_value);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
