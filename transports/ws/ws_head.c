/* The HTTP/1.1 of a WebSocket upgrade: whether a head is complete, whether it is allowed, what is
 * answered. Strict: what is not clearly a proper upgrade is refused in words. Works on bytes in
 * memory; moves none. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ws.h"

typedef struct text {
    const char *at;
    size_t bytes;
} text;

/* What matters of a head's fields. The counts are for those that must not be there twice. */
typedef struct fields {
    text host, origin, key, version, accept, protocol;
    unsigned host_count, origin_count, key_count, version_count, accept_count, protocol_count;
    bool upgrade, connection, body, extensions, offers;
} fields;

static bool refuse(hkb_ws_refusal *refusal, unsigned code, const char *format, ...)
    HAKUBAN_PRINTF(3, 4);
static bool refuse(hkb_ws_refusal *refusal, unsigned code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refusal->code = code;
    refusal->plain = false;
    (void)vsnprintf(refusal->reason, sizeof(refusal->reason), format, arguments);
    va_end(arguments);
    for (char *at = refusal->reason; *at; at++) {
        if (*at < 0x20 || *at > 0x7e) {
            *at = ' '; /* a head may have tabs, a line in a log may not */
        }
    }
    return false;
}

hkb_ws_progress hkb_ws_head_scan(hkb_ws_scan *scan, const char *head, size_t bytes,
                                 size_t *ret_head_bytes, hkb_ws_refusal *ret_refusal)
{
    for (; scan->seen < bytes; scan->seen++) {
        char byte = head[scan->seen];
        bool after_cr = scan->seen > 0 && head[scan->seen - 1] == '\r';
        if (scan->seen >= HKB_WS_HEAD_BYTES_MAX) {
            (void)refuse(ret_refusal, 431, "the head is longer than %d bytes",
                         HKB_WS_HEAD_BYTES_MAX);
            return HKB_WS_REFUSED;
        }
        if (after_cr != (byte == '\n') ||
            (byte != '\r' && byte != '\n' && byte != '\t' && (byte < 0x20 || byte > 0x7e))) {
            (void)refuse(ret_refusal, 400, "a byte that does not belong into a head, at %zu",
                         scan->seen);
            return HKB_WS_REFUSED;
        }
        if (byte != '\n') {
            continue;
        }
        if (scan->seen - scan->line == 1) {
            *ret_head_bytes = scan->seen + 1;
            scan->seen++;
            return HKB_WS_COMPLETE;
        }
        scan->line = scan->seen + 1;
        if (++scan->lines > HKB_WS_HEAD_LINES_MAX) {
            (void)refuse(ret_refusal, 431, "the head has more than %d lines",
                         HKB_WS_HEAD_LINES_MAX);
            return HKB_WS_REFUSED;
        }
    }
    return HKB_WS_MORE;
}

static bool is_text(text value, const char *wanted)
{
    return value.bytes == strlen(wanted) && strncasecmp(value.at, wanted, value.bytes) == 0;
}

static text trim(text value)
{
    while (value.bytes > 0 && (value.at[0] == ' ' || value.at[0] == '\t')) {
        value.at++;
        value.bytes--;
    }
    while (value.bytes > 0 &&
           (value.at[value.bytes - 1] == ' ' || value.at[value.bytes - 1] == '\t')) {
        value.bytes--;
    }
    return value;
}

/* Takes what is before the next separator off *rest. */
static text next_of(text *rest, char separator)
{
    const char *end = rest->bytes > 0 ? memchr(rest->at, separator, rest->bytes) : NULL;
    text part = {rest->at, end ? (size_t)(end - rest->at) : rest->bytes};
    size_t taken = part.bytes + (end ? 1 : 0);
    rest->at += taken;
    rest->bytes -= taken;
    return trim(part);
}

/* Whether a list separated by commas has an element. Names of protocols are told apart by case, all
 * else is not. */
static bool has_element(text list, const char *wanted, bool exactly)
{
    while (list.bytes > 0) {
        text element = next_of(&list, ',');
        if (is_text(element, wanted) &&
            (!exactly || memcmp(element.at, wanted, element.bytes) == 0)) {
            return true;
        }
    }
    return false;
}

static bool is_token(text name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        char c = name.at[i];
        bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) {
            return false;
        }
    }
    return name.bytes > 0;
}

static void keep(text value, text *ret, unsigned *count)
{
    *ret = value;
    ++*count;
}

static void read_field(fields *found, text name, text value)
{
    if (is_text(name, "host")) {
        keep(value, &found->host, &found->host_count);
    } else if (is_text(name, "origin")) {
        keep(value, &found->origin, &found->origin_count);
    } else if (is_text(name, "upgrade")) {
        found->upgrade |= has_element(value, "websocket", false);
    } else if (is_text(name, "connection")) {
        found->connection |= has_element(value, "upgrade", false);
    } else if (is_text(name, "sec-websocket-key")) {
        keep(value, &found->key, &found->key_count);
    } else if (is_text(name, "sec-websocket-version")) {
        keep(value, &found->version, &found->version_count);
    } else if (is_text(name, "sec-websocket-accept")) {
        keep(value, &found->accept, &found->accept_count);
    } else if (is_text(name, "sec-websocket-protocol")) {
        keep(value, &found->protocol, &found->protocol_count);
        found->offers |= has_element(value, HKB_WS_PROTOCOL, true);
    } else if (is_text(name, "sec-websocket-extensions")) {
        found->extensions = true;
    } else if (is_text(name, "transfer-encoding")) {
        found->body = true;
    } else if (is_text(name, "content-length")) {
        found->body |= !is_text(value, "0");
    }
}

/* Splits a complete head into its first line and its fields. */
static bool read_head(const char *head, size_t bytes, text *ret_first, fields *ret,
                      hkb_ws_refusal *refusal)
{
    text rest = {head, bytes};
    memset(ret, 0, sizeof(*ret));
    for (unsigned number = 1; rest.bytes > 0; number++) {
        const char *end = memchr(rest.at, '\n', rest.bytes);
        if (!end || end == rest.at) {
            break;
        }
        text line = {rest.at, (size_t)(end - rest.at) - 1};
        rest.bytes -= line.bytes + 2;
        rest.at = end + 1;
        if (number == 1) {
            *ret_first = line;
            continue;
        }
        if (line.bytes == 0) {
            return true;
        }
        const char *colon = memchr(line.at, ':', line.bytes);
        text name = {line.at, colon ? (size_t)(colon - line.at) : 0};
        if (!is_token(name)) {
            return refuse(refusal, 400, "line %u of the head is no name: value", number);
        }
        text value = {colon + 1, line.bytes - name.bytes - 1};
        read_field(ret, name, trim(value));
    }
    return refuse(refusal, 400, "the head has no end");
}

static bool is_request_line(text line, hkb_ws_refusal *refusal)
{
    text method = next_of(&line, ' '), target = next_of(&line, ' ');
    if (!is_token(method) || target.bytes == 0 || target.at[0] != '/') {
        return refuse(refusal, 400, "the first line is no request");
    }
    if (method.bytes != 3 || memcmp(method.at, "GET", 3) != 0) {
        return refuse(refusal, 400, "the method must be GET");
    }
    if (line.bytes != 8 || memcmp(line.at, "HTTP/1.1", 8) != 0) {
        return refuse(refusal, 400, "the version must be HTTP/1.1");
    }
    return true;
}

/* 22 digits of base64, of which the last carries 2 bits, and "==": 16 bytes. */
static bool is_key(text key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (key.bytes != HKB_WS_KEY_BYTES - 1 || key.at[22] != '=' || key.at[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (!strchr(digits, key.at[i])) {
            return false;
        }
    }
    return true;
}

/* The host of host:port, without brackets. */
static text host_of(text authority)
{
    if (authority.bytes > 0 && authority.at[0] == '[') {
        const char *end = memchr(authority.at, ']', authority.bytes);
        text inside = {authority.at + 1, end ? (size_t)(end - authority.at) - 1 : 0};
        return inside;
    }
    return next_of(&authority, ':');
}

/* The owner of a name server can make a name point here, so that a page from elsewhere would seem
 * to be of the same host. Addresses, and names that were meant, cannot be used so. */
static bool is_own_host(text host, const char *listener_host)
{
    char copy[64];
    unsigned char address[16];
    if (is_text(host, "localhost") || is_text(host, listener_host)) {
        return true;
    }
    if (host.bytes == 0 || host.bytes >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, host.at, host.bytes);
    copy[host.bytes] = '\0';
    return inet_pton(AF_INET, copy, address) == 1 || inet_pton(AF_INET6, copy, address) == 1;
}

static bool is_origin_allowed(const fields *found, const hkb_ws_rules *rules)
{
    text list = {rules->origins, strlen(rules->origins)}, origin = found->origin;
    if (list.bytes == 0) {
        const char *scheme = rules->secure ? "https://" : "http://";
        const size_t scheme_bytes = strlen(scheme);
        return origin.bytes == scheme_bytes + found->host.bytes &&
               strncasecmp(origin.at, scheme, scheme_bytes) == 0 &&
               strncasecmp(origin.at + scheme_bytes, found->host.at, found->host.bytes) == 0 &&
               is_own_host(host_of(found->host), rules->host);
    }
    while (list.bytes > 0) {
        text allowed = next_of(&list, '+');
        bool any = allowed.bytes == 1 && allowed.at[0] == '*';
        if (any || (allowed.bytes == origin.bytes &&
                    strncasecmp(allowed.at, origin.at, origin.bytes) == 0)) {
            return true;
        }
    }
    return false;
}

static bool is_host(text host)
{
    for (size_t i = 0; i < host.bytes; i++) {
        if (strchr(" \t/?#@\\\"<>,", host.at[i])) {
            return false;
        }
    }
    return host.bytes > 0;
}

bool hkb_ws_request_check(const char *head, size_t bytes, const hkb_ws_rules *rules,
                          char ret_accept[HKB_WS_ACCEPT_BYTES], bool *ret_native,
                          hkb_ws_refusal *ret_refusal)
{
    fields found;
    text first = {NULL, 0};
    if (!read_head(head, bytes, &first, &found, ret_refusal) ||
        !is_request_line(first, ret_refusal)) {
        return false;
    }
    if (found.host_count != 1 || !is_host(found.host)) {
        return refuse(ret_refusal, 400, "there must be one Host");
    }
    if (found.body) {
        return refuse(ret_refusal, 400, "an upgrade has no body");
    }
    if (!found.upgrade || !found.connection) {
        (void)refuse(ret_refusal, 426, "here is a WebSocket; %s and %s are missing",
                     "Connection: Upgrade", "Upgrade: websocket");
        ret_refusal->plain = true;
        return false;
    }
    if (found.version_count != 1 || !is_text(found.version, "13")) {
        return refuse(ret_refusal, 426, "Sec-WebSocket-Version must be 13");
    }
    if (found.key_count != 1 || !is_key(found.key)) {
        return refuse(ret_refusal, 400, "there must be one Sec-WebSocket-Key of 16 bytes");
    }
    if (found.origin_count > 1 || (found.origin_count == 1 && !is_origin_allowed(&found, rules))) {
        return refuse(ret_refusal, 403, "pages from %.*s are not allowed here",
                      (int)(found.origin.bytes < 80 ? found.origin.bytes : 80), found.origin.at);
    }
    if (rules->dialect == HKB_WS_DIALECT_NATIVE && !found.offers) {
        return refuse(ret_refusal, 400, "the subprotocol " HKB_WS_PROTOCOL " must be offered here");
    }
    *ret_native = found.offers && rules->dialect != HKB_WS_DIALECT_RUST;
    hkb_ws_accept(found.key.at, ret_accept);
    return true;
}

static bool is_file_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

bool hkb_ws_request_file(const char *head, size_t bytes, char ret_path[HKB_WS_PATH_BYTES])
{
    static const char index[] = "index.html";
    text line = {head, bytes}, method = next_of(&line, ' '), target = next_of(&line, ' ');
    text path = next_of(&target, '?');
    (void)method;
    if (path.bytes == 0 || path.at[0] != '/' || path.bytes + sizeof(index) > HKB_WS_PATH_BYTES) {
        return false;
    }
    /* Names of letters, digits, '-', '_' and '.' behind each slash; none is hidden or empty. */
    bool begins = false;
    for (size_t i = 0; i < path.bytes; i++) {
        char c = path.at[i];
        if (c == '/' ? begins : !is_file_character(c) || (begins && c == '.')) {
            return false;
        }
        begins = c == '/';
    }
    memcpy(ret_path, path.at + 1, path.bytes - 1);
    memcpy(ret_path + path.bytes - 1, begins ? index : "", begins ? sizeof(index) : 1);
    return true;
}

size_t hkb_ws_answer_accept(const char *accept, bool native, char out[HKB_WS_ANSWER_BYTES_MAX])
{
    return (size_t)snprintf(out, HKB_WS_ANSWER_BYTES_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
                            accept,
                            native ? "Sec-WebSocket-Protocol: " HKB_WS_PROTOCOL "\r\n" : "");
}

size_t hkb_ws_answer_refuse(const hkb_ws_refusal *refusal, char out[HKB_WS_ANSWER_BYTES_MAX])
{
    const char *name = refusal->code == 403   ? "Forbidden"
                       : refusal->code == 404 ? "Not Found"
                       : refusal->code == 426 ? "Upgrade Required"
                       : refusal->code == 431 ? "Request Header Fields Too Large"
                                              : "Bad Request";
    const char *upgrade =
        refusal->code == 426
            ? "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            : "Connection: close\r\n";
    return (size_t)snprintf(out, HKB_WS_ANSWER_BYTES_MAX,
                            "HTTP/1.1 %u %s\r\n%sContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n\r\n%s\n",
                            refusal->code, name, upgrade, strlen(refusal->reason) + 1,
                            refusal->reason);
}

/* "403 Forbidden: pages from …", as far as it is printable. */
static bool refuse_answer(text status, const char *body, size_t body_bytes, hkb_ws_refusal *refusal)
{
    char shown[HKB_STREAM_REASON_BYTES];
    size_t length = 0;
    while (length < status.bytes && length < 40) {
        shown[length] = status.at[length];
        length++;
    }
    if (body_bytes > 0 && length > 0) {
        shown[length++] = ':';
        shown[length++] = ' ';
    }
    for (size_t i = 0; i < body_bytes && i < 80 && body[i] >= 0x20 && body[i] <= 0x7e; i++) {
        shown[length++] = body[i];
    }
    return refuse(refusal, 0, "the upgrade was refused: %.*s", (int)length, shown);
}

bool hkb_ws_answer_check(const char *head, size_t bytes, const char *body, size_t body_bytes,
                         const char *accept, bool offered, bool *ret_native,
                         hkb_ws_refusal *ret_refusal)
{
    fields found;
    text first = {NULL, 0};
    if (!read_head(head, bytes, &first, &found, ret_refusal)) {
        return false;
    }
    if (first.bytes < 12 || memcmp(first.at, "HTTP/1.1 ", 9) != 0) {
        return refuse(ret_refusal, 0, "the other side does not answer in HTTP/1.1");
    }
    text status = {first.at + 9, first.bytes - 9};
    if (status.bytes < 3 || memcmp(status.at, "101", 3) != 0 ||
        (status.bytes > 3 && status.at[3] != ' ')) {
        return refuse_answer(status, body, body_bytes, ret_refusal);
    }
    if (!found.upgrade || !found.connection) {
        return refuse(ret_refusal, 0, "the answer to the upgrade does not upgrade");
    }
    if (found.accept_count != 1 || found.accept.bytes != strlen(accept) ||
        memcmp(found.accept.at, accept, found.accept.bytes) != 0) {
        return refuse(ret_refusal, 0, "the answer to the upgrade has another Sec-WebSocket-Accept");
    }
    if (found.extensions) {
        return refuse(ret_refusal, 0, "the answer to the upgrade has an extension");
    }
    bool native = found.protocol_count == 1 && offered && found.offers &&
                  found.protocol.bytes == strlen(HKB_WS_PROTOCOL);
    if (found.protocol_count > 0 && !native) {
        return refuse(ret_refusal, 0, "the answer to the upgrade has another subprotocol");
    }
    *ret_native = native;
    return true;
}
