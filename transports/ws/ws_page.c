/* Files of one folder, and of the folders in it, for browsers on this machine: a page that then
 * connects by WebSocket. No links out of the folder, no list, no large file, no hidden name. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ws.h"

/* By the ending of the name; NULL: such files are not served. */
static const char *kind_of(const char *name)
{
    static const struct {
        const char *ending, *kind;
    } kinds[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".wasm", "application/wasm"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
    };
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(ending, kinds[i].ending) == 0) {
            return kinds[i].kind;
        }
    }
    return NULL;
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

/* Opens path below folder, one name after the other, and follows no link. */
static int open_below(const char *folder, const char *path)
{
    char name[HKB_WS_PATH_BYTES];
    int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const char *slash; place >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        memcpy(name, path, (size_t)(slash - path));
        name[slash - path] = '\0';
        int next = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(place);
        place = next;
    }
    if (place < 0) {
        return -1;
    }
    int fd = openat(place, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    (void)close(place);
    return fd;
}

/* The file in memory of alloc, and its size in bytes; NULL where it cannot be served. */
static unsigned char *read_file(const hakuban_alloc *alloc, int fd, size_t *ret_bytes)
{
    struct stat file;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) ||
        file.st_size > (off_t)HKB_WS_FILE_BYTES_MAX) {
        return NULL;
    }
    size_t bytes = (size_t)file.st_size, filled = 0;
    unsigned char *data = alloc->alloc(alloc->ctx, bytes + 1);
    while (data && filled < bytes) {
        ssize_t got = read(fd, data + filled, bytes - filled);
        if (got <= 0) {
            alloc->free(alloc->ctx, data, bytes + 1);
            return NULL;
        }
        filled += (size_t)got;
    }
    *ret_bytes = bytes;
    return data;
}

bool hkb_ws_page_serve(hkb_stream_self *self, hkb_stream_conn *conn, const char *folder,
                       const char *head, size_t head_bytes, hkb_ws_refusal *ret_refusal)
{
    const hakuban_alloc *alloc = self->host->alloc;
    char path[HKB_WS_PATH_BYTES], answer[HKB_WS_ANSWER_BYTES_MAX];
    *ret_refusal = (hkb_ws_refusal){.code = 404, .reason = "there is no such page"};
    if (!is_from_here(conn->fd)) {
        *ret_refusal = (hkb_ws_refusal){.code = 403, .reason = "the page is for this machine only"};
        return false;
    }
    if (!hkb_ws_request_file(head, head_bytes, path) || !kind_of(path)) {
        return false;
    }
    int fd = open_below(folder, path);
    if (fd < 0) {
        return false;
    }
    size_t bytes;
    unsigned char *data = read_file(alloc, fd, &bytes);
    (void)close(fd);
    if (!data) {
        return false;
    }
    int answer_bytes = snprintf(answer, sizeof(answer),
                                "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                                "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
                                "Connection: close\r\n\r\n",
                                kind_of(path), bytes);
    hakuban_slice parts[] = {{answer, (size_t)answer_bytes}, {data, bytes}};
    if (hkb_stream_write(self, conn, parts, 2) >= 0) {
        hkb_stream_part(self, conn, HAKUBAN_ERR_CLOSED, "%s was served", path);
    }
    alloc->free(alloc->ctx, data, bytes + 1);
    return true;
}
