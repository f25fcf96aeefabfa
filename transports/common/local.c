/* See local.h. */
#define _GNU_SOURCE

#include "common/local.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_BYTES_MAX (64 * 1024) /* of what is known of one group: its members, mostly */
#define LOCK_TRIES 100
#define LOCK_PAUSE_MS 10

static bool is_octal(const char *text)
{
    size_t bytes = strlen(text);
    return bytes >= 3 && bytes <= 4 && strspn(text, "01234567") == bytes &&
           (bytes == 3 || text[0] == '0');
}

hakuban_status hkb_local_check(const hakuban_url *url, bool listening, hakuban_error *reterr)
{
    const char *mode = hakuban_url_get(url, "mode"), *group = hakuban_url_get(url, "group");
    if ((mode || group) && !listening) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "mode and group are parameters of binds: a connection makes no "
                                 "file");
    }
    if (mode && !is_octal(mode)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL,
                                 "parameter mode=%.64s: must be octal, as in mode=0660", mode);
    }
    if (group && !group[0]) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_URL, "parameter group: it is empty");
    }
    return HAKUBAN_OK;
}

static int find_group(const char *name, gid_t *ret)
{
    if (strspn(name, "0123456789") == strlen(name)) {
        errno = 0;
        unsigned long number = strtoul(name, NULL, 10);
        *ret = (gid_t)number;
        return errno || *ret != number ? ENOENT : 0;
    }
    const hakuban_alloc *alloc = hakuban_alloc_default();
    char *memory = alloc->alloc(alloc->ctx, GROUP_BYTES_MAX);
    if (!memory) {
        return ENOMEM;
    }
    struct group group, *found = NULL;
    int error = getgrnam_r(name, &group, memory, GROUP_BYTES_MAX, &found);
    if (found) {
        *ret = found->gr_gid;
    }
    alloc->free(alloc->ctx, memory, GROUP_BYTES_MAX);
    return error || found ? error : ENOENT;
}

hakuban_status hkb_local_access_read(const hakuban_url *url, hkb_local_access *ret,
                                     hakuban_error *reterr)
{
    const char *mode = hakuban_url_get(url, "mode"), *group = hakuban_url_get(url, "group");
    hkb_local_access access = {.has_mode = mode != NULL, .has_group = group != NULL};
    if (mode) {
        access.mode = (mode_t)strtoul(mode, NULL, 8);
    }
    int error = group ? find_group(group, &access.group) : 0;
    if (error) {
        return hakuban_error_set(reterr, hkb_address_status(error), "parameter group=%.64s: %s",
                                 group,
                                 error == ENOENT ? "there is no such group" : strerror(error));
    }
    *ret = access;
    return HAKUBAN_OK;
}

void hkb_local_access_prepare(const hkb_local_access *access, int fd)
{
    if (access->has_mode || access->has_group) {
        (void)fchmod(fd, access->has_mode ? access->mode & 0700 : 0700); /* its owner's, for now */
    }
}

int hkb_local_access_apply(const hkb_local_access *access, const char *path)
{
    if (access->has_group && chown(path, (uid_t)-1, access->group) != 0) {
        return errno;
    }
    /* Without a mode, a group is there to be let in. */
    mode_t mode = access->has_mode ? access->mode : 0660;
    bool changes = access->has_mode || access->has_group;
    return changes && chmod(path, mode) != 0 ? errno : 0;
}

bool hkb_local_is_stale(const char *path)
{
    struct stat file;
    hkb_address address;
    if (lstat(path, &file) != 0 || !S_ISSOCK(file.st_mode)) {
        return false;
    }
    hkb_address_local(path, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    bool stale = connect(fd, &address.is.any, address.bytes) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale;
}

/* The folder itself is locked: a file for that would have to be removed, and that would be the next
 * race. */
int hkb_local_lock(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *end = strrchr(path, '/');
    size_t bytes = end > path ? (size_t)(end - path) : 1;
    memcpy(folder, path, bytes);
    folder[bytes] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            break;
        }
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return fd;
}

void hkb_local_unlock(int lock)
{
    if (lock >= 0) {
        (void)close(lock);
    }
}
