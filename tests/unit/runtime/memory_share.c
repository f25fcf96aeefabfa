/* How much of its memory a process gives an exchange by default: the smallest of what the machine,
 * its control groups and its resource limits leave, less a quarter. The files of the control groups
 * are made for each test. */
#define _GNU_SOURCE
#include <check.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exchange_pair.h"
#include "programs.h"
#include "runtime/runtime.h"

#define MIB ((size_t)1024 * 1024)
#define SHARE_OF(bytes) ((bytes) / 4 * 3)

typedef struct group_file {
    const char *path, *text;
} group_file;

typedef struct situation {
    const char *what;
    group_file files[5];
    size_t bytes; /* what the process may have; 0: as much as without control groups */
} situation;

#define GROUPS_V1 "sys/fs/cgroup/memory"
#define LIMIT_V1 "memory.limit_in_bytes"
#define OF_PROCESS "proc/self/cgroup"

static const situation situations[] = {
    {"no control groups at all", {{NULL, NULL}}, 0},
    {"version 2, the group's own limit",
     {{OF_PROCESS, "0::/a/b\n"}, {"sys/fs/cgroup/a/b/memory.max", "83886080\n"}},
     80 * MIB},
    {"version 2, the limit of a group above",
     {{OF_PROCESS, "0::/a/b\n"},
      {"sys/fs/cgroup/a/b/memory.max", "max\n"},
      {"sys/fs/cgroup/a/memory.max", "62914560\n"}},
     60 * MIB},
    {"version 2, the smallest limit of several groups",
     {{OF_PROCESS, "0::/a/b\n"},
      {"sys/fs/cgroup/a/b/memory.max", "83886080\n"},
      {"sys/fs/cgroup/a/memory.max", "62914560\n"},
      {"sys/fs/cgroup/memory.max", "73400320\n"}},
     60 * MIB},
    {"version 2, the group at the root of a container",
     {{OF_PROCESS, "0::/\n"}, {"sys/fs/cgroup/memory.max", "83886080\n"}},
     80 * MIB},
    {"version 2, where the kernel begins to slow the group down",
     {{OF_PROCESS, "0::/a\n"},
      {"sys/fs/cgroup/a/memory.max", "83886080\n"},
      {"sys/fs/cgroup/a/memory.high", "62914560\n"}},
     60 * MIB},
    {"version 2 without a limit",
     {{OF_PROCESS, "0::/a\n"},
      {"sys/fs/cgroup/a/memory.max", "max\n"},
      {"sys/fs/cgroup/a/memory.high", "max\n"}},
     0},
    {"version 1, the group's own limit",
     {{OF_PROCESS, "5:cpu,cpuacct:/c\n4:memory:/a/b\n1:name=systemd:/\n"},
      {GROUPS_V1 "/a/b/" LIMIT_V1, "83886080\n"},
      {GROUPS_V1 "/a/" LIMIT_V1, "9223372036854771712\n"}},
     80 * MIB},
    {"version 1, the limit of a group above",
     {{OF_PROCESS, "4:memory:/a/b\n"},
      {GROUPS_V1 "/a/b/" LIMIT_V1, "9223372036854771712\n"},
      {GROUPS_V1 "/a/" LIMIT_V1, "62914560\n"}},
     60 * MIB},
    {"version 1, more than one controller in a hierarchy",
     {{OF_PROCESS, "4:cpuset,memory,pids:/a\n"}, {GROUPS_V1 "/a/" LIMIT_V1, "83886080\n"}},
     80 * MIB},
    {"version 1, a container that sees its own group as the root",
     {{OF_PROCESS, "4:memory:/docker/0123\n"}, {GROUPS_V1 "/" LIMIT_V1, "83886080\n"}},
     80 * MIB},
    {"another controller's limit is none",
     {{OF_PROCESS, "4:hugememory:/a\n3:memory.swap:/a\n"},
      {GROUPS_V1 "/a/" LIMIT_V1, "83886080\n"}},
     0},
    {"both versions side by side",
     {{OF_PROCESS, "4:memory:/a\n0::/b\n"},
      {GROUPS_V1 "/a/" LIMIT_V1, "83886080\n"},
      {"sys/fs/cgroup/b/memory.max", "62914560\n"}},
     60 * MIB},
    {"a limit greater than the machine's memory",
     {{OF_PROCESS, "0::/a\n"}, {"sys/fs/cgroup/a/memory.max", "9000000000000000000\n"}},
     0},
    {"lines that mean nothing",
     {{OF_PROCESS, "\n:\nmemory\n4:memory\n::\n0::\n"}, {GROUPS_V1 "/" LIMIT_V1, "many\n"}},
     0},
    {"an empty file", {{OF_PROCESS, "0::/a\n"}, {"sys/fs/cgroup/a/memory.max", ""}}, 0},
};
#define SITUATIONS ((int)(sizeof(situations) / sizeof(situations[0])))

/* Writes a file below root, with the folders that it needs. */
static void put_file(const char *root, const group_file *file)
{
    char path[PATH_MAX];
    ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", root, file->path), PATH_MAX);
    char *slash = path + strlen(root);
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = 0;
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    scratch_write(path, file->text);
}

/* A folder of its own for each situation. */
static const char *root_new(const char *name)
{
    const char *root = scratch_path(name);
    ck_assert_int_eq(mkdir(root, 0700), 0);
    return root;
}

START_TEST(a_control_group_limits_the_share)
{
    const situation *s = &situations[_i];
    char name[32];
    size_t without = hkb_memory_share(scratch_path("nothing-here"));
    (void)snprintf(name, sizeof(name), "groups-%d", _i);
    const char *root = root_new(name);
    for (size_t i = 0; i < sizeof(s->files) / sizeof(s->files[0]) && s->files[i].path; i++) {
        put_file(root, &s->files[i]);
    }
    size_t expected = s->bytes ? SHARE_OF(s->bytes) : without;
    ck_assert_msg(hkb_memory_share(root) == expected, "%s: %zu, not %zu", s->what,
                  hkb_memory_share(root), expected);
}
END_TEST

START_TEST(a_group_whose_path_is_longer_than_a_path_may_be_is_ignored)
{
    static char text[3 * PATH_MAX];
    size_t without = hkb_memory_share(scratch_path("nothing-here"));
    const char *root = root_new("long");
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "0::/", 4);
    put_file(root, &(group_file){OF_PROCESS, text});
    ck_assert_uint_eq(hkb_memory_share(root), without);
}
END_TEST

START_TEST(without_limits_the_share_is_of_the_memory_of_the_machine)
{
    struct rlimit all[2];
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &all[0]), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &all[1]), 0);
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (all[0].rlim_cur == RLIM_INFINITY && all[1].rlim_cur == RLIM_INFINITY) {
        uint64_t share = SHARE_OF(machine);
        ck_assert_uint_eq(hkb_memory_share(scratch_path("nothing-here")),
                          share < SIZE_MAX / 2 ? share : SIZE_MAX / 2);
    }
}
END_TEST

/* In a child: such a limit is for the whole process. Where a sanitizer has taken more than that
 * already, memory for the first reading is there from the one before. */
START_TEST(a_resource_limit_limits_the_share)
{
    const char *root = scratch_path("nothing-here");
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(_i ? RLIMIT_DATA : RLIMIT_AS, &limit), 0);
    ck_assert_uint_gt(limit.rlim_max, 50 * MIB);
    (void)hkb_memory_share(root);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        limit.rlim_cur = 50 * MIB;
        bool set = setrlimit(_i ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0;
        _exit(set && hkb_memory_share(root) == SHARE_OF(50 * MIB) ? 0 : 1);
    }
    int result = 0;
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0);
}
END_TEST

/* -- What an exchange makes of it -- */

static uint64_t limit_of(uint64_t asked_for)
{
    hakuban_exchange_options options = {
        .size = sizeof(options), .drive = HAKUBAN_DRIVE_MANUAL, .memory_bytes_max = asked_for};
    hakuban_exchange *exchange = NULL;
    hakuban_exchange_stats stats;
    ck_assert_int_eq(hakuban_exchange_new(&options, &exchange), HAKUBAN_OK);
    hakuban_exchange_query(exchange, &stats);
    ck_assert_ptr_null(hakuban_exchange_free(exchange));
    return stats.memory_bytes_max;
}

START_TEST(an_exchange_takes_its_share_unless_it_is_told_otherwise)
{
    ck_assert_uint_eq(limit_of(0), hkb_memory_share(""));
    ck_assert_uint_eq(limit_of(5 * MIB), 5 * MIB);
    ck_assert_uint_eq(limit_of(UINT64_MAX), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory share");
    TCase *tests = tcase_create("share");
    tcase_add_loop_test(tests, a_control_group_limits_the_share, 0, SITUATIONS);
    tcase_add_test(tests, a_group_whose_path_is_longer_than_a_path_may_be_is_ignored);
    tcase_add_test(tests, without_limits_the_share_is_of_the_memory_of_the_machine);
    tcase_add_loop_test(tests, a_resource_limit_limits_the_share, 0, 2);
    tcase_add_test(tests, an_exchange_takes_its_share_unless_it_is_told_otherwise);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
