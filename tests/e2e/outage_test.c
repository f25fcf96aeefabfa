/* Outages: no observer sees one that is shorter than the grace time, whichever connection is lost
 * and however that ends; a longer one makes states STALE when the grace time is over, with the
 * right age; all comes back by itself. */
#define _GNU_SOURCE
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "certificates.h"
#include "programs.h"
#include "proxy.h"

/* So long that a busy machine makes no outage of these tests a longer one. */
#define LONG_GRACE "grace=15s"

enum { PORT = 3000, WAY_PORT = 4000, OUTAGE_MS = 300 };

static const char *const schemes[] = {
    "tcp",
#ifdef HAKUBAN_TEST_ZMQ
    "zmq+tcp",
#endif
#ifdef HAKUBAN_TEST_TLS
    "tls",
#ifdef HAKUBAN_TEST_WS
    "wss",
#endif
#endif
};
enum { SCHEMES = sizeof(schemes) / sizeof(schemes[0]) };

static const char *url_of(const char *scheme, unsigned port, const char *parameters)
{
    static char urls[4][URL_BYTES];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, URL_BYTES, "%s://%s:%u#%s", scheme, proxy_address(), port, parameters);
    return url;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static program *run_router(const char *bind)
{
    char unused[URL_BYTES];
    return router_run(unused, bind, NULL);
}

static program *expose(const char *url, const char *line)
{
    program *p = program_run("hakuban", "expose", "-v", "-c", url, "1", NULL);
    program_write(p, line);
    return p;
}

static program *observe(const char *url)
{
    return program_run("hakuban", "observe", "-v", "-c", url, "1", NULL);
}

static program *observe_tag(const char *url)
{
    return program_run("hakuban", "observe", "-c", url, "--tag", "\"t\"", NULL);
}

static void stop_well(program *p)
{
    ck_assert_int_eq(program_stop(p, SIGTERM), 0);
}

static void wait_live(program *observer, const char *data)
{
    const char *line;
    do {
        line = program_find(observer, "\"synchronized\":true");
    } while (!strstr(line, data));
}

/* Until then everything that the observer says is LIVE, and nothing is gone. */
static void check_unbroken(program *observer, const char *data)
{
    const char *line;
    do {
        line = program_line(observer);
        ck_assert_ptr_nonnull(line);
        ck_assert_msg(strstr(line, "\"synchronized\":true") != NULL, "seen: %s", line);
    } while (!strstr(line, data));
}

static void break_way(proxy *network, unsigned way)
{
    proxy_refuse(network, way);
    proxy_cut(network, way, 0);
}

START_TEST(short_outage_of_an_exposer_is_not_seen)
{
    const char *scheme = schemes[_i];
    proxy_route way = {WAY_PORT, PORT};
    proxy *network = proxy_start(proxy_address(), &way, 1, 1);
    program *router = run_router(url_of(scheme, PORT, LONG_GRACE));
    program *observer = observe(url_of(scheme, PORT, LONG_GRACE));
    program *exposer = expose(url_of(scheme, WAY_PORT, LONG_GRACE), "1\n");
    wait_live(observer, "\"data\":1");
    for (int i = 0; i < 3; i++) {
        char text[32];
        break_way(network, 0);
        program_find_error(exposer, "trying again");
        snprintf(text, sizeof(text), "\"during %d\"\n", i);
        program_write(exposer, text);
        (void)poll(NULL, 0, OUTAGE_MS);
        proxy_heal(network, 0);
        text[strlen(text) - 1] = '\0';
        check_unbroken(observer, text);
    }
    stop_well(exposer);
    stop_well(observer);
    stop_well(router);
    proxy_stop(network);
}
END_TEST

START_TEST(short_outage_of_an_observer_is_not_seen)
{
    const char *scheme = schemes[_i];
    proxy_route way = {WAY_PORT, PORT};
    proxy *network = proxy_start(proxy_address(), &way, 1, 1);
    program *router = run_router(url_of(scheme, PORT, LONG_GRACE));
    program *observer = observe(url_of(scheme, WAY_PORT, LONG_GRACE));
    program *exposer = expose(url_of(scheme, PORT, LONG_GRACE), "1\n");
    wait_live(observer, "\"data\":1");
    for (int i = 0; i < 3; i++) {
        char text[32];
        break_way(network, 0);
        program_find_error(observer, "trying again");
        snprintf(text, sizeof(text), "\"during %d\"\n", i);
        program_write(exposer, text);
        (void)poll(NULL, 0, OUTAGE_MS);
        proxy_heal(network, 0);
        text[strlen(text) - 1] = '\0';
        check_unbroken(observer, text);
    }
    stop_well(exposer);
    stop_well(observer);
    stop_well(router);
    proxy_stop(network);
}
END_TEST

/* No connection is closed here: the silence is found first, and the grace time begins then. */
START_TEST(short_silence_between_routers_is_not_seen_below_or_above)
{
    const char *scheme = schemes[_i], *parameters = "keep-alive=400ms," LONG_GRACE;
    proxy_route way = {WAY_PORT, PORT};
    proxy *network = proxy_start(proxy_address(), &way, 1, 1);
    char edge_url[URL_BYTES];
    program *top = run_router(url_of(scheme, PORT, parameters));
    program *edge =
        router_run(edge_url, NULL, "-v", "-c", url_of(scheme, WAY_PORT, parameters), NULL);
    program *below = observe(edge_url);
    program *above = observe(url_of(scheme, PORT, LONG_GRACE));
    program *exposer = expose(edge_url, "1\n");
    wait_live(below, "\"data\":1");
    wait_live(above, "\"data\":1");
    proxy_swallow(network, 0, 1, 1);
    program_find_error(edge, "nothing was received");
    program_write(exposer, "2\n");
    proxy_heal(network, 0);
    check_unbroken(below, "\"data\":2");
    check_unbroken(above, "\"data\":2");
    stop_well(exposer);
    stop_well(below);
    stop_well(above);
    stop_well(edge);
    stop_well(top);
    proxy_stop(network);
}
END_TEST

/* It knows nothing any more, and the program that comes back first may see that for a moment. */
START_TEST(router_killed_and_restarted_brings_all_back)
{
    const char *scheme = schemes[_i];
    program *router = run_router(url_of(scheme, PORT, ""));
    program *observer = observe(url_of(scheme, PORT, ""));
    program *tag_observer = observe_tag(url_of(scheme, PORT, ""));
    program *exposer = expose(url_of(scheme, PORT, ""), "1\n");
    program *tag_exposer = program_run("hakuban", "expose", "-c", url_of(scheme, PORT, ""), "--tag",
                                       "\"t\"", "2", NULL);
    program_write(tag_exposer, "2\n");
    wait_live(observer, "\"data\":1");
    wait_live(tag_observer, "\"data\":2");
    for (int i = 0; i < 3; i++) {
        char text[32];
        ck_assert_int_eq(program_stop(router, SIGKILL), 128 + SIGKILL);
        snprintf(text, sizeof(text), "\"during %d\"\n", i);
        program_write(exposer, text);
        program_write(tag_exposer, text);
        router = run_router(url_of(scheme, PORT, ""));
        text[strlen(text) - 1] = '\0';
        wait_live(observer, text);
        wait_live(tag_observer, text);
    }
    stop_well(exposer);
    stop_well(tag_exposer);
    stop_well(observer);
    stop_well(tag_observer);
    stop_well(router);
}
END_TEST

START_TEST(killed_exposer_is_stale_after_the_grace_time_with_the_right_age)
{
    const char *scheme = schemes[_i];
    program *router = run_router(url_of(scheme, PORT, "grace=60s"));
    program *observer = observe(url_of(scheme, PORT, "grace=60s"));
    /* The smaller grace holds. */
    program *exposer = expose(url_of(scheme, PORT, "grace=1500ms"), "1\n");
    wait_live(observer, "\"data\":1");
    uint64_t killed_ms = now_ms();
    ck_assert_int_eq(program_stop(exposer, SIGKILL), 128 + SIGKILL);
    const char *line = program_find(observer, "\"synchronized\":false");
    uint64_t took_ms = now_ms() - killed_ms;
    const char *age = strstr(line, "\"age_ms\":");
    ck_assert_msg(age != NULL, "%s", line);
    uint64_t age_ms = strtoull(age + strlen("\"age_ms\":"), NULL, 10);
    ck_assert_uint_ge(took_ms + 1, 1500);
    ck_assert_uint_ge(age_ms + 1, 1500); /* it may have been silent for a while before */
    ck_assert_uint_le(age_ms, took_ms + 5000);
    exposer = expose(url_of(scheme, PORT, ""), "2\n");
    wait_live(observer, "\"data\":2");
    stop_well(exposer);
    stop_well(observer);
    stop_well(router);
}
END_TEST

START_TEST(another_exposer_takes_over_from_a_killed_one_unseen_by_observers)
{
    const char *scheme = schemes[_i];
    program *router = run_router(url_of(scheme, PORT, LONG_GRACE));
    program *observer = observe(url_of(scheme, PORT, LONG_GRACE));
    program *exposer = expose(url_of(scheme, PORT, LONG_GRACE), "1\n");
    wait_live(observer, "\"data\":1");
    program *other = expose(url_of(scheme, PORT, LONG_GRACE), "2\n");
    program_find_error(other, "connected");
    ck_assert_int_eq(program_stop(exposer, SIGKILL), 128 + SIGKILL);
    check_unbroken(observer, "\"data\":2");
    stop_well(other);
    stop_well(observer);
    stop_well(router);
}
END_TEST

START_TEST(objects_of_a_tag_are_not_closed_by_a_short_outage)
{
    const char *scheme = schemes[_i];
    proxy_route way = {WAY_PORT, PORT};
    proxy *network = proxy_start(proxy_address(), &way, 1, 1);
    program *router = run_router(url_of(scheme, PORT, LONG_GRACE));
    program *observer = observe_tag(url_of(scheme, WAY_PORT, LONG_GRACE));
    program *exposer = program_run("hakuban", "expose", "-c", url_of(scheme, PORT, LONG_GRACE),
                                   "--tag", "\"t\"", "1", NULL);
    program_write(exposer, "1\n");
    wait_live(observer, "\"data\":1");
    break_way(network, 0);
    program_find_error(observer, "trying again");
    program_write(exposer, "2\n");
    (void)poll(NULL, 0, OUTAGE_MS);
    proxy_heal(network, 0);
    check_unbroken(observer, "\"data\":2");
    stop_well(exposer);
    stop_well(observer);
    stop_well(router);
    proxy_stop(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outage");
    TCase *tcase = tcase_create("outage");
    tcase_set_timeout(tcase, 90);
    tcase_add_checked_fixture(tcase, certificates_make, NULL);
    tcase_add_loop_test(tcase, short_outage_of_an_exposer_is_not_seen, 0, SCHEMES);
    tcase_add_loop_test(tcase, short_outage_of_an_observer_is_not_seen, 0, SCHEMES);
    tcase_add_loop_test(tcase, short_silence_between_routers_is_not_seen_below_or_above, 0,
                        SCHEMES);
    tcase_add_loop_test(tcase, router_killed_and_restarted_brings_all_back, 0, SCHEMES);
    tcase_add_loop_test(tcase, killed_exposer_is_stale_after_the_grace_time_with_the_right_age, 0,
                        SCHEMES);
    tcase_add_loop_test(tcase, another_exposer_takes_over_from_a_killed_one_unseen_by_observers, 0,
                        SCHEMES);
    tcase_add_loop_test(tcase, objects_of_a_tag_are_not_closed_by_a_short_outage, 0, SCHEMES);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
