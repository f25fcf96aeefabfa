/* Parameters of URLs: each does what it says, and what is wrong is said in words that name it. */
#include <check.h>
#include <stdio.h>

#include "link/link.h"

#define MS 1000000ull
#define S (1000 * MS)

static hkb_registry registry;
static hkb_link_settings settings;

static void set_up(void)
{
    hkb_registry_init(&registry, NULL);
    ck_assert_int_eq(hkb_registry_add_builtin(&registry), HAKUBAN_OK);
}

static void tear_down(void)
{
    hkb_registry_done(&registry);
}

static hakuban_status read_settings(const char *params, hakuban_error *reterr)
{
    char text[1000];
    hakuban_url *url = NULL;
    hakuban_error error = {0};
    snprintf(text, sizeof(text), "tcp://host:1%s%s", params[0] ? "#" : "", params);
    hakuban_status status = hkb_url_parse(hakuban_alloc_default(), text, &url, &error);
    ck_assert_msg(status == HAKUBAN_OK, "%s: %s", text, error.text);
    status = hkb_link_settings_read(url, &registry, &settings, reterr);
    hkb_url_free(hakuban_alloc_default(), url);
    return status;
}

static void accepted(const char *params)
{
    hakuban_error error = {0};
    ck_assert_msg(read_settings(params, &error) == HAKUBAN_OK, "%s: %s", params, error.text);
}

static void refused(const char *params, hakuban_status status, const char *words)
{
    hakuban_error error = {0};
    static hkb_link_settings before;
    before = settings;
    ck_assert_int_eq(read_settings(params, &error), status);
    ck_assert_int_eq(error.status, status);
    ck_assert_str_eq(error.text, words);
    ck_assert(memcmp(&before, &settings, sizeof(before)) == 0);
    ck_assert_int_eq(read_settings(params, NULL), status);
}

START_TEST(without_parameters_there_are_defaults)
{
    accepted("");
    ck_assert_str_eq(settings.name, "hakuban");
    ck_assert_uint_eq(settings.keep_alive_ns, 20 * S);
    ck_assert_uint_eq(settings.timeout_ns, 0);
    ck_assert_uint_eq(settings.grace_ns, 2 * S);
    ck_assert_uint_eq(settings.window_bytes, 256 * 1024);
    ck_assert_uint_eq(settings.state_bytes_max, HAKUBAN_STATE_BYTES_MAX);
    ck_assert_str_eq(settings.serializer, "");
    ck_assert_str_eq(settings.compressor, "");
    ck_assert_uint_eq(settings.load_limit.count, 0);
}
END_TEST

START_TEST(every_parameter_does_what_it_says)
{
    accepted("name=edge-1,timeout=120s,keep-alive=60s,nodelay=true,load-limit=2:0-5:7,"
             "serializer=json,compressor=none,grace=1m,window=1M");
    ck_assert_str_eq(settings.name, "edge-1");
    ck_assert_uint_eq(settings.timeout_ns, 120 * S);
    ck_assert_uint_eq(settings.keep_alive_ns, 60 * S);
    ck_assert_str_eq(settings.serializer, "json");
    ck_assert_str_eq(settings.compressor, "none");
    ck_assert_uint_eq(settings.grace_ns, 60 * S);
    ck_assert_uint_eq(settings.window_bytes, 1024 * 1024);
    ck_assert_uint_eq(settings.load_limit.count, 3);
    ck_assert_uint_eq(settings.load_limit.points[2].after_ns, 5 * S);
    ck_assert_uint_eq(settings.load_limit.points[2].limit, 7);
    /* The ends of each range. */
    accepted("timeout=10ms,keep-alive=10ms,grace=0,window=16k,nodelay=false");
    ck_assert_uint_eq(settings.timeout_ns, 10 * MS);
    ck_assert_uint_eq(settings.keep_alive_ns, 10 * MS);
    ck_assert_uint_eq(settings.grace_ns, 0);
    ck_assert_uint_eq(settings.window_bytes, 16 * 1024);
    accepted("timeout=100y,keep-alive=100Y,grace=1H,window=64M");
    ck_assert_uint_eq(settings.timeout_ns, 36500ull * 86400 * S);
    ck_assert_uint_eq(settings.keep_alive_ns, 86400 * S); /* no peer waits for longer */
    ck_assert_uint_eq(settings.grace_ns, 3600 * S);
    ck_assert_uint_eq(settings.window_bytes, 64 * 1024 * 1024);
    accepted("load-limit=");
    ck_assert_uint_eq(settings.load_limit.count, 0); /* none */
    accepted("name=");
    ck_assert_str_eq(settings.name, "");
    accepted("name=\xc3\xa9 b");
    ck_assert_str_eq(settings.name, "\xc3\xa9 b");
}
END_TEST

START_TEST(bad_durations_and_sizes_are_named)
{
    accepted("");
    refused("timeout=9ms", HAKUBAN_ERR_URL,
            "parameter timeout=9ms: must be from 10 ms to 3153600000000 ms");
    refused("timeout=0", HAKUBAN_ERR_URL,
            "parameter timeout=0: must be from 10 ms to 3153600000000 ms");
    refused("keep-alive=101y", HAKUBAN_ERR_URL,
            "parameter keep-alive=101y: must be from 10 ms to 3153600000000 ms");
    refused("grace=3601s", HAKUBAN_ERR_URL,
            "parameter grace=3601s: must be from 0 ms to 3600000 ms");
    refused("grace=1.5s", HAKUBAN_ERR_URL,
            "parameter grace=1.5s: whole numbers only: 1s500ms instead of 1.5s");
    refused("grace=", HAKUBAN_ERR_URL, "parameter grace=: expected a whole number, as in 20s");
    refused("keep-alive=fast", HAKUBAN_ERR_URL,
            "parameter keep-alive=fast: expected a whole number, as in 20s");
    refused("timeout=5parsecs", HAKUBAN_ERR_URL,
            "parameter timeout=5parsecs: unknown unit (y mon w d h m s ms us ns)");
    refused("window=16383", HAKUBAN_ERR_URL,
            "parameter window=16383: must be from 16384 to 67108864 bytes");
    refused("window=65M", HAKUBAN_ERR_URL,
            "parameter window=65M: must be from 16384 to 67108864 bytes");
    refused("window=-1", HAKUBAN_ERR_URL, "parameter window=-1: expected a size, as in 256k");
    refused("window=", HAKUBAN_ERR_URL, "parameter window=: expected a size, as in 256k");
    refused("window=99999999999999999999", HAKUBAN_ERR_URL,
            "parameter window=99999999999999999999: the size is too large");
}
END_TEST

START_TEST(bad_names_codecs_and_limits_are_named)
{
    char text[400];
    accepted("");
    memset(text, 'n', sizeof(text));
    memcpy(text, "name=", 5);
    text[5 + HKB_NAME_BYTES_MAX] = 0;
    accepted(text);
    ck_assert_uint_eq(strlen(settings.name), HKB_NAME_BYTES_MAX);
    text[5 + HKB_NAME_BYTES_MAX] = 'n';
    text[5 + HKB_NAME_BYTES_MAX + 1] = 0;
    refused(text, HAKUBAN_ERR_URL, "parameter name: longer than 255 bytes");
    refused("name=\xff", HAKUBAN_ERR_URL, "parameter name: not UTF-8");
    refused("serializer=xml", HAKUBAN_ERR_UNSUPPORTED,
            "parameter serializer=xml: there is no serializer of that name; it was not built in");
    refused("serializer=", HAKUBAN_ERR_UNSUPPORTED,
            "parameter serializer=: there is no serializer of that name; it was not built in");
    refused("compressor=json", HAKUBAN_ERR_UNSUPPORTED,
            "parameter compressor=json: there is no compressor of that name; it was not built in");
    refused("nodelay=yes", HAKUBAN_ERR_URL, "parameter nodelay=yes: must be true or false");
    refused("load-limit=x", HAKUBAN_ERR_URL,
            "parameter load-limit=x: a limit is a whole number up to 4294967295");
    refused("load-limit=4294967296", HAKUBAN_ERR_URL,
            "parameter load-limit=4294967296: a limit is a whole number up to 4294967295");
    refused("Name=x", HAKUBAN_ERR_URL,
            "there is no parameter \"Name\"; known are name, timeout, keep-alive, nodelay, "
            "load-limit, preload, serializer, compressor, grace, window, dialect, origin, page, "
            "mode, group, cert, key, ca, verify and server-name");
    refused("name=a,colour=red", HAKUBAN_ERR_URL,
            "there is no parameter \"colour\"; known are name, timeout, keep-alive, nodelay, "
            "load-limit, preload, serializer, compressor, grace, window, dialect, origin, page, "
            "mode, group, cert, key, ca, verify and server-name");
}
END_TEST

START_TEST(as_many_load_points_as_there_may_be)
{
    char text[600] = "load-limit=0";
    for (size_t i = 1; i < HKB_LOAD_POINTS_MAX - 1; i++) {
        snprintf(text + strlen(text), 10, "-%zu:%zu", i, i);
    }
    accepted(text);
    ck_assert_uint_eq(settings.load_limit.count, HKB_LOAD_POINTS_MAX);
    snprintf(text + strlen(text), 10, "-99:9");
    hakuban_error error = {0};
    ck_assert_int_eq(read_settings(text, &error), HAKUBAN_ERR_URL);
    ck_assert(error.text[0] != 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tcase = tcase_create("settings");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, without_parameters_there_are_defaults);
    tcase_add_test(tcase, every_parameter_does_what_it_says);
    tcase_add_test(tcase, bad_durations_and_sizes_are_named);
    tcase_add_test(tcase, bad_names_codecs_and_limits_are_named);
    tcase_add_test(tcase, as_many_load_points_as_there_may_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
