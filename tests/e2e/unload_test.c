/* The shared library is loaded and unloaded, as by a program whose plugin uses it: what it leaves
 * behind must not need code that is gone. */
#define _GNU_SOURCE
#include <check.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hakuban/hakuban.h>

static sem_t asked, may_answer;
static atomic_int answered;

/* The library finds this one instead of the C library's (tests/CMakeLists.txt exports it):
 * slow.test has no address, and that only when the test lets it be known. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **ret)
{
    union {
        void *symbol;
        int (*call)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    } real = {.symbol = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (strcmp(name, "slow.test") != 0 || (hints->ai_flags & AI_NUMERICHOST)) {
        return real.call(name, service, hints, ret);
    }
    (void)sem_post(&asked);
    (void)sem_wait(&may_answer);
    atomic_fetch_add(&answered, 1);
    return EAI_NONAME;
}

static char library[512];

static bool is_loaded(void)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        found = found || strstr(line, "libhakuban.so");
    }
    (void)fclose(maps);
    return found;
}

/* A function of the library that was loaded. */
#define CALL(handle, name)                                                                         \
    (((union {                                                                                     \
         void *symbol;                                                                             \
         __typeof__(&name) call;                                                                   \
     }){.symbol = dlsym(handle, #name)})                                                           \
         .call)

/* An exchange that dials, freed in the order that is documented; the library is unloaded then. */
static void use(const char *url, bool until_asked)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(handle != NULL, "%s", dlerror());
    hakuban_exchange *exchange = NULL;
    hakuban_connection *connection = NULL;
    ck_assert_int_eq(CALL(handle, hakuban_exchange_new)(NULL, &exchange), HAKUBAN_OK);
    ck_assert_int_eq(CALL(handle, hakuban_exchange_connect)(exchange, url, NULL, &connection, NULL),
                     HAKUBAN_OK);
    if (until_asked) {
        ck_assert_int_eq(sem_wait(&asked), 0);
    }
    ck_assert_ptr_null(CALL(handle, hakuban_connection_free)(connection));
    ck_assert_ptr_null(CALL(handle, hakuban_exchange_free)(exchange));
    ck_assert_int_eq(dlclose(handle), 0);
}

START_TEST(unloaded_it_leaves_nothing_behind)
{
    for (int i = 0; i < 20; i++) {
        use("tcp://127.0.0.1:1", false);
    }
    ck_assert(!is_loaded());
}
END_TEST

START_TEST(a_name_may_still_be_looked_up_when_it_is_unloaded)
{
    ck_assert_int_eq(sem_init(&asked, 0, 0), 0);
    ck_assert_int_eq(sem_init(&may_answer, 0, 0), 0);
    for (int i = 0; i < 3; i++) {
        use("tcp://slow.test:1", true);
    }
    ck_assert(is_loaded()); /* its threads still need it */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sem_post(&may_answer), 0);
    }
    while (atomic_load(&answered) < 3) {
        (void)poll(NULL, 0, 1);
    }
    (void)poll(NULL, 0, 200); /* the threads end, or crash */
}
END_TEST

int main(void)
{
    const char *programs = getenv("HAKUBAN_BIN");
    (void)snprintf(library, sizeof(library), "%s/../lib/libhakuban.so", programs ? programs : ".");
    if (access(library, R_OK) != 0) {
        printf("skipped: there is no shared library\n");
        return 77;
    }
    Suite *suite = suite_create("unload");
    TCase *cases = tcase_create("unload");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, unloaded_it_leaves_nothing_behind);
    tcase_add_test(cases, a_name_may_still_be_looked_up_when_it_is_unloaded);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
