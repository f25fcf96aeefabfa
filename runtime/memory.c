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
static uint64_t number_in(const char *path)
{
    uint64_t bytes = NO_LIMIT;
    FILE *in = fopen(path, "re");
    if (!in) {
        return NO_LIMIT;
    }
    if (fscanf(in, "%" SCNu64, &bytes) != 1) {
        bytes = NO_LIMIT;
    }
    (void)fclose(in);
    return bytes;
}

/* The limit with this name of the group at path, and of all groups above it. */
static uint64_t group_bytes(const char *root, const char *folder, const char *path,
                            const char *name)
{
    char file[PATH_BYTES];
    uint64_t bytes = NO_LIMIT;
    size_t length = strlen(path);
    for (;;) {
        int written =
            snprintf(file, sizeof(file), "%s%s%.*s/%s", root, folder, (int)length, path, name);
        if (written > 0 && (size_t)written < sizeof(file)) {
            bytes = smaller(bytes, number_in(file));
        }
        if (length == 0) {
            return bytes;
        }
        while (length > 0 && path[--length] != '/') {
        }
    }
}

/* Whether the names, with commas between them, contain this one. */
static bool has_name(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (;; names++) {
        size_t bytes = strcspn(names, ",");
        if (bytes == length && memcmp(names, name, length) == 0) {
            return true;
        }
        names += bytes;
        if (*names == 0) {
            return false;
        }
    }
}

/* Lines of "number:controllers:path"; version 2 has no controllers. */
static uint64_t groups_bytes(const char *root)
{
    char file[PATH_BYTES], line[PATH_BYTES];
    uint64_t bytes = NO_LIMIT;
    (void)snprintf(file, sizeof(file), "%s/proc/self/cgroup", root);
    FILE *in = fopen(file, "re");
    while (in && fgets(line, sizeof(line), in)) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        if (controllers[1] == 0) {
            bytes = smaller(bytes, group_bytes(root, "/sys/fs/cgroup", path, "memory.max"));
            bytes = smaller(bytes, group_bytes(root, "/sys/fs/cgroup", path, "memory.high"));
        } else if (has_name(controllers + 1, "memory")) {
            bytes = smaller(
                bytes, group_bytes(root, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
        }
    }
    if (in) {
        (void)fclose(in);
    }
    return bytes;
}

size_t hkb_memory_share(const char *root)
{
    uint64_t bytes = smaller(smaller(physical_bytes(), groups_bytes(root)),
                             smaller(resource_bytes(RLIMIT_AS), resource_bytes(RLIMIT_DATA)));
    if (bytes == NO_LIMIT) {
        return 0;
    }
    return (size_t)smaller(bytes / 4 * 3, SIZE_MAX / 2);
}
