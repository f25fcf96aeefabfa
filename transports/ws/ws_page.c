/* Files of one folder for browsers on this machine: a page that then connects by WebSocket. No
 * other folder, no list, no large file. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ws.h"

static const char *kind_of(const char *name)
{
    const char *ending = strrchr(name, '.');
    return strcmp(ending, ".html") == 0  ? "text/html"
           : strcmp(ending, ".js") == 0  ? "text/javascript"
           : strcmp(ending, ".css") == 0 ? "text/css"
                                         : NULL;
}

static bool is_from_here(int fd)
{
    hkb_address peer = {.bytes = sizeof(peer.is)};
    if (getpeername(fd, &peer.is.any, &peer.bytes) != 0) {
        return false;
    }
    switch (peer.is.any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(peer.is.v4.sin_addr.s_addr) >> 24 == 127;
    default:
        return IN6_IS_ADDR_LOOPBACK(&peer.is.v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&peer.is.v6.sin6_addr) &&
                peer.is.v6.sin6_addr.s6_addr[12] == 127);
    }
}

/* The size of what was read into data, or -1. */
static ssize_t read_file(const char *folder, const char *name, unsigned char *data)
{
    int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = place < 0 ? -1 : openat(place, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat file;
    ssize_t filled = -1;
    if (fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) &&
        file.st_size <= (off_t)HKB_WS_FILE_BYTES_MAX) {
        filled = 0;
        for (ssize_t got = 1; got > 0 && filled < (ssize_t)HKB_WS_FILE_BYTES_MAX; filled += got) {
            got = read(fd, data + filled, HKB_WS_FILE_BYTES_MAX - (size_t)filled);
            if (got < 0) {
                filled = -1;
                break;
            }
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (place >= 0) {
        (void)close(place);
    }
    return filled;
}

bool hkb_ws_page_serve(hkb_stream_self *self, hkb_stream_conn *conn, const char *folder,
                       const char *head, size_t bytes, hkb_ws_refusal *ret_refusal)
{
    const hakuban_alloc *alloc = self->host->alloc;
    char name[HKB_WS_FILE_NAME_BYTES], answer[HKB_WS_ANSWER_BYTES_MAX];
    *ret_refusal = (hkb_ws_refusal){.code = 404, .reason = "there is no such page"};
    if (!is_from_here(conn->fd)) {
        *ret_refusal = (hkb_ws_refusal){.code = 403, .reason = "the page is for this machine only"};
        return false;
    }
    if (!hkb_ws_request_file(head, bytes, name) || !kind_of(name)) {
        return false;
    }
    unsigned char *data = alloc->alloc(alloc->ctx, HKB_WS_FILE_BYTES_MAX);
    if (!data) {
        return false;
    }
    ssize_t filled = read_file(folder, name, data);
    if (filled >= 0) {
        int answer_bytes =
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 200 OK\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
                     "Connection: close\r\n\r\n",
                     kind_of(name), (size_t)filled);
        hakuban_slice parts[] = {{answer, (size_t)answer_bytes}, {data, (size_t)filled}};
        if (hkb_stream_write(self, conn, parts, 2) >= 0) {
            hkb_stream_part(self, conn, HAKUBAN_ERR_CLOSED, "%s was served", name);
        }
    }
    alloc->free(alloc->ctx, data, HKB_WS_FILE_BYTES_MAX);
    return filled >= 0;
}
