/* The examples for authors of plugins, run as a user would: a transport, serializer, compressor and
 * type of one's own. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void run_example(const char *name, const char *expected)
{
    char command[512], output[1024] = "";
    const char *folder = getenv("HAKUBAN_EXAMPLES");
    ck_assert_ptr_nonnull(folder);
    snprintf(command, sizeof(command), "%s/%s", folder, name);
    if (access(command, X_OK) != 0) {
        printf("skipped: %s was not built\n", name);
        return;
    }
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t bytes = fread(output, 1, sizeof(output) - 1, pipe);
    output[bytes] = 0;
    ck_assert_int_eq(pclose(pipe), 0);
    ck_assert_msg(strstr(output, expected) != NULL, "%s printed: %s", name, output);
}

START_TEST(a_serializer_of_ones_own_carries_states_and_the_wire)
{
    run_example("custom-serializer", "celsius 21.5 history 18 19 20 (30 bytes of CBOR)");
}
END_TEST

START_TEST(a_type_of_ones_own_knows_no_format)
{
    run_example("custom-type", "the same again");
}
END_TEST

START_TEST(a_compressor_of_ones_own_is_agreed_on)
{
    run_example("custom-compressor", "a state of 8191 bytes travelled in");
}
END_TEST

START_TEST(a_transport_of_ones_own_reaches_a_child_process)
{
    run_example("custom-transport", "hello from the child");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins of one's own");
    TCase *cases = tcase_create("examples");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_serializer_of_ones_own_carries_states_and_the_wire);
    tcase_add_test(cases, a_type_of_ones_own_knows_no_format);
    tcase_add_test(cases, a_compressor_of_ones_own_is_agreed_on);
    tcase_add_test(cases, a_transport_of_ones_own_reaches_a_child_process);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
