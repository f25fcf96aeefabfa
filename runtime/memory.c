/* How much memory this process may have: what the machine has, what its limits and its control
 * groups leave of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/runtime.h"

#define PATH_BYTES 4096
#define NO_LIMIT UINT64_MAX

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t physical_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : NO_LIMIT;
}

static uint64_t resource_bytes(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return NO_LIMIT;
    }
    return limit.rlim_cur;
}

/* A file that holds one number; "max", or no such file: no limit. */
static uint64_t number_in(const char *folder, const char *path, const char *name)
{
    char file[PATH_BYTES];
    uint64_t bytes = NO_LIMIT;
    int length = snprintf(file, sizeof(file), "%s%s/%s", folder, path, name);
    FILE *in = length > 0 && (size_t)length < sizeof(file) ? fopen(file, "re") : NULL;
    if (!in) {
        return NO_LIMIT;
    }
    if (fscanf(in, "%" SCNu64, &bytes) != 1) {
        bytes = NO_LIMIT;
    }
    (void)fclose(in);
    return bytes;
}

/* The group at path and all above it. */
static uint64_t group_bytes(const char *folder, char *path, const char *name)
{
    uint64_t bytes = NO_LIMIT;
    for (;;) {
        bytes = smaller(bytes, number_in(folder, path, name));
        char *last = strrchr(path, '/');
        if (!last) {
            return bytes;
        }
        *last = 0;
    }
}

/* Lines of "number:controllers:path"; version 2 has no controllers. */
static uint64_t groups_bytes(void)
{
    char line[PATH_BYTES];
    uint64_t bytes = NO_LIMIT;
    FILE *in = fopen("/proc/self/cgroup", "re");
    while (in && fgets(line, sizeof(line), in)) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        if (controllers[1] == 0) {
            bytes = smaller(bytes, group_bytes("/sys/fs/cgroup", path, "memory.max"));
        } else if (strcmp(controllers + 1, "memory") == 0) {
            bytes =
                smaller(bytes, group_bytes("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
        }
    }
    if (in) {
        (void)fclose(in);
    }
    return bytes;
}

size_t hkb_memory_share(void)
{
    uint64_t bytes = smaller(smaller(physical_bytes(), groups_bytes()),
                             smaller(resource_bytes(RLIMIT_AS), resource_bytes(RLIMIT_DATA)));
    if (bytes == NO_LIMIT || bytes / 4 * 3 > SIZE_MAX / 2) {
        return 0;
    }
    return (size_t)(bytes / 4 * 3);
}
