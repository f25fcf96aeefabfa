/* Sockets in the file system: whose they are, which are left over, and that two listeners do not
 * take a place from each other. Built on hakuban's public headers and the system's alone. */
#ifndef HKB_LOCAL_H
#define HKB_LOCAL_H

#include <stdbool.h>

#include <sys/types.h>

#include "common/address.h"

/* What a listener's URL says with mode= and group=. */
typedef struct hkb_local_access {
    bool has_mode, has_group;
    mode_t mode;
    gid_t group;
} hkb_local_access;

/* Looks at the URL only; the path is a socket's. */
hakuban_status hkb_local_check(const hakuban_url *url, bool listening, hakuban_error *reterr);
/* Of a URL that has passed the check; ERR_NOT_FOUND: there is no such group. */
hakuban_status hkb_local_access_read(const hakuban_url *url, hkb_local_access *ret,
                                     hakuban_error *reterr);
/* What a socket that is not bound yet may give away at most, however the umask is. */
void hkb_local_access_prepare(const hkb_local_access *access, int fd);
/* For the file of a socket; an errno, or 0. */
int hkb_local_access_apply(const hkb_local_access *access, const char *path);

/* Whether the file is a socket that its listener has left behind, e.g. because it was killed. */
bool hkb_local_is_stale(const char *path);
/* While it is held, no other listener of hakuban looks for what is stale in the folder of path, or
 * removes a socket there. Waits a second at most; without a lock (-1) all works, but for races. */
int hkb_local_lock(const char *path);
void hkb_local_unlock(int lock);

#endif
