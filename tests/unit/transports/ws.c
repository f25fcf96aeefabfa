/* WebSocket over bytes in memory: the upgrade's heads, its hash, and frames in the manner of the
 * groups 1 to 7, 9 and 10 of Autobahn, each read by a server and by a client, whole and in pieces.
 * Knows no socket. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws.h"

/* -- The hash and the key -- */

static const struct {
    const char *text, *sha1, *base64;
} digests[] = {
    {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709", ""},
    {"a", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", "YQ=="},
    {"ab", "da23614e02469a0d7c7bd1bdab5c9c474b1904dc", "YWI="},
    {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d", "YWJj"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
     "YWJjZGJjZGVjZGVmZGVmZ2VmZ2hmZ2hpZ2hpamhpamtpamtsamtsbWtsbW5sbW5vbW5vcG5vcHE="},
};

START_TEST(the_hash_and_base64_are_those_of_their_standards)
{
    unsigned char digest[20];
    char text[128], hex[41];
    const unsigned char *data = (const unsigned char *)digests[_i].text;
    hkb_ws_sha1(data, strlen(digests[_i].text), digest);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    ck_assert_str_eq(hex, digests[_i].sha1);
    hkb_ws_base64(data, strlen(digests[_i].text), text);
    ck_assert_str_eq(text, digests[_i].base64);
}
END_TEST

START_TEST(long_data_is_hashed_in_blocks)
{
    /* A million times "a", and each length around the edge of a block against the same bytes one by
     * one longer. */
    static unsigned char data[1000000];
    unsigned char digest[20];
    memset(data, 'a', sizeof(data));
    hkb_ws_sha1(data, sizeof(data), digest);
    static const unsigned char expected[] = {0x34, 0xaa, 0x97, 0x3c, 0xd4, 0xc4, 0xda,
                                             0xa4, 0xf6, 0x1e, 0xeb, 0x2b, 0xdb, 0xad,
                                             0x27, 0x31, 0x65, 0x34, 0x01, 0x6f};
    ck_assert_mem_eq(digest, expected, 20);
    unsigned char before[20] = {0};
    for (size_t bytes = 50; bytes < 140; bytes++) {
        hkb_ws_sha1(data, bytes, digest);
        ck_assert_mem_ne(digest, before, 20);
        memcpy(before, digest, 20);
    }
}
END_TEST

START_TEST(a_key_is_answered_as_in_the_rfc)
{
    char accept[HKB_WS_ACCEPT_BYTES];
    hkb_ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
END_TEST

/* -- Heads of requests -- */

#define HOST "Host: 127.0.0.1:3001\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define REST UPGRADE KEY VERSION
#define OFFER "Sec-WebSocket-Protocol: hakuban.1\r\n"
#define GOOD "GET / HTTP/1.1\r\n" HOST REST

static const struct {
    const char *head; /* without the empty line */
    unsigned code;    /* 101, or that of the refusal */
    bool native;
    const char *words; /* part of the reason */
    const char *origins;
    hkb_ws_dialect dialect;
} requests[] = {
    {GOOD, 101, false, NULL, "", 0},
    {GOOD OFFER, 101, true, NULL, "", 0},
    {"GET /any/path?query=1 HTTP/1.1\r\n" HOST REST, 101, false, NULL, "", 0},
    {"GET / HTTP/1.1\r\nhOST:h:1\r\nupgrade:WebSocket\r\nCONNECTION:keep-alive , UPGRADE\r\n"
     "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ== \r\nSEC-WEBSOCKET-VERSION:\t13\t\r\n",
     101, false, NULL, "", 0},
    {GOOD "Sec-WebSocket-Protocol: chat, hakuban.1\r\n", 101, true, NULL, "", 0},
    {GOOD "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: hakuban.1\r\n", 101, true, NULL,
     "", 0},
    {GOOD "Sec-WebSocket-Protocol: HAKUBAN.1\r\n", 101, false, NULL, "", 0},
    {GOOD "Sec-WebSocket-Protocol: hakuban.10, hakuban\r\n", 101, false, NULL, "", 0},
    {GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n", 101, false, NULL, "", 0},
    {GOOD "Content-Length: 0\r\n", 101, false, NULL, "", 0},
    {GOOD "X-Empty:\r\n", 101, false, NULL, "", 0},
    {GOOD OFFER, 101, false, NULL, "", HKB_WS_DIALECT_RUST},
    {GOOD OFFER, 101, true, NULL, "", HKB_WS_DIALECT_NATIVE},
    {GOOD, 400, false, "hakuban.1", "", HKB_WS_DIALECT_NATIVE},
    /* what is no upgrade */
    {"GET / HTTP/1.1\r\n" HOST, 426, false, "WebSocket", "", 0},
    {"GET / HTTP/1.1\r\n" HOST KEY VERSION "Upgrade: websocket\r\n", 426, false, "Connection", "",
     0},
    {"GET / HTTP/1.1\r\n" HOST KEY VERSION "Connection: Upgrade\r\n", 426, false, "Upgrade", "", 0},
    {"GET / HTTP/1.1\r\n" HOST KEY VERSION "Connection: Upgrade\r\nUpgrade: h2c\r\n", 426, false,
     "Upgrade", "", 0},
    {"GET / HTTP/1.1\r\n" HOST KEY VERSION "Connection: Upgraded\r\nUpgrade: websocket\r\n", 426,
     false, "Upgrade", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY, 426, false, "Version", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 426, false, "13", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION VERSION, 426, false, "Version", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE VERSION, 400, false, "Key", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY KEY VERSION, 400, false, "Key", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "Sec-WebSocket-Key: short==\r\n", 400, false, "Key",
     "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n",
     400, false, "Key", "", 0},
    {"GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n",
     400, false, "Key", "", 0},
    {"GET / HTTP/1.1\r\n" REST, 400, false, "Host", "", 0},
    {"GET / HTTP/1.1\r\n" HOST HOST REST, 400, false, "Host", "", 0},
    {"GET / HTTP/1.1\r\nHost:\r\n" REST, 400, false, "Host", "", 0},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n" REST, 400, false, "Host", "", 0},
    {GOOD "Content-Length: 10\r\n", 400, false, "body", "", 0},
    {GOOD "Transfer-Encoding: chunked\r\n", 400, false, "body", "", 0},
    /* what is no HTTP/1.1 */
    {"POST / HTTP/1.1\r\n" HOST REST, 400, false, "GET", "", 0},
    {"get / HTTP/1.1\r\n" HOST REST, 400, false, "GET", "", 0},
    {"GET / HTTP/1.0\r\n" HOST REST, 400, false, "HTTP/1.1", "", 0},
    {"GET / HTTP/2.0\r\n" HOST REST, 400, false, "HTTP/1.1", "", 0},
    {"GET / HTTP/1.1 \r\n" HOST REST, 400, false, "HTTP/1.1", "", 0},
    {"GET /\r\n" HOST REST, 400, false, "HTTP/1.1", "", 0},
    {"GET  / HTTP/1.1\r\n" HOST REST, 400, false, "request", "", 0},
    {"GET http://a/ HTTP/1.1\r\n" HOST REST, 400, false, "request", "", 0},
    {"GET\r\n" HOST REST, 400, false, "request", "", 0},
    {"\r\nGET / HTTP/1.1\r\n" HOST REST, 400, false, "end", "", 0},
    {GOOD "no colon\r\n", 400, false, "line 7", "", 0},
    {GOOD ": no name\r\n", 400, false, "line 7", "", 0},
    {GOOD "space before : colon\r\n", 400, false, "line 7", "", 0},
    {GOOD " folded: onto the next\r\n", 400, false, "line 7", "", 0},
    {GOOD "bare: line\nfeed: x\r\n", 400, false, "byte", "", 0},
    {GOOD "bare: carriage\rreturn: x\r\n", 400, false, "byte", "", 0},
    {GOOD "Origin: http://\x01\r\n", 400, false, "byte", "", 0},
    {GOOD "X: \xc3\xa4\r\n", 400, false, "byte", "", 0},
    {GOOD "X: \x7f\r\n", 400, false, "byte", "", 0},
    /* which origins are allowed */
    {GOOD "Origin: http://127.0.0.1:3001\r\n", 101, false, NULL, "", 0},
    {GOOD "Origin: HTTP://127.0.0.1:3001\r\n", 101, false, NULL, "", 0},
    {GOOD "Origin: https://127.0.0.1:3001\r\n", 403, false, "https://127", "", 0},
    {GOOD "Origin: http://127.0.0.1:3002\r\n", 403, false, "3002", "", 0},
    {GOOD "Origin: http://127.0.0.1\r\n", 403, false, "127", "", 0},
    {GOOD "Origin: http://127.0.0.1:30011\r\n", 403, false, "127", "", 0},
    {GOOD "Origin: http://evil.example\r\n", 403, false, "evil.example", "", 0},
    {GOOD "Origin: null\r\n", 403, false, "null", "", 0},
    {GOOD "Origin:\r\n", 403, false, "not allowed", "", 0},
    {GOOD "Origin: http://127.0.0.1:3001\r\nOrigin: http://127.0.0.1:3001\r\n", 403, false,
     "not allowed", "", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]:3001\r\nOrigin: http://[::1]:3001\r\n" REST, 101, false, NULL,
     "", 0},
    {"GET / HTTP/1.1\r\nHost: localhost:3001\r\nOrigin: http://localhost:3001\r\n" REST, 101, false,
     NULL, "", 0},
    {"GET / HTTP/1.1\r\nHost: hub.example:3001\r\nOrigin: http://hub.example:3001\r\n" REST, 101,
     false, NULL, "", 0},
    /* a name that was made to point here */
    {"GET / HTTP/1.1\r\nHost: evil.example:3001\r\nOrigin: http://evil.example:3001\r\n" REST, 403,
     false, "evil.example", "", 0},
    {"GET / HTTP/1.1\r\nHost: evil.example:3001\r\n" REST, 101, false, NULL, "", 0},
    {GOOD "Origin: https://a.example\r\n", 101, false, NULL, "https://a.example", 0},
    {GOOD "Origin: https://b.example:8443\r\n", 101, false, NULL,
     "https://a.example+https://b.example:8443", 0},
    {GOOD "Origin: https://B.example\r\n", 101, false, NULL, "https://b.EXAMPLE", 0},
    {GOOD "Origin: https://a.example.org\r\n", 403, false, "a.example.org", "https://a.example", 0},
    {GOOD "Origin: http://a.example\r\n", 403, false, "http://a", "https://a.example", 0},
    {GOOD "Origin: http://127.0.0.1:3001\r\n", 403, false, "127", "https://a.example", 0},
    {GOOD "Origin: null\r\n", 101, false, NULL, "null", 0},
    {GOOD "Origin: http://anything.example\r\n", 101, false, NULL, "*", 0},
    {GOOD, 101, false, NULL, "https://a.example", 0},
};

/* What a server makes of a head that comes in pieces. */
static unsigned judge(const char *head, size_t bytes, size_t piece, const hkb_ws_rules *rules,
                      bool *native, hkb_ws_refusal *refusal)
{
    hkb_ws_scan scan = {0};
    char accept[HKB_WS_ACCEPT_BYTES];
    size_t head_bytes = 0;
    for (size_t seen = 0; seen < bytes;) {
        seen = bytes - seen < piece ? bytes : seen + piece;
        switch (hkb_ws_head_scan(&scan, head, seen, &head_bytes, refusal)) {
        case HKB_WS_MORE:
            continue;
        case HKB_WS_REFUSED:
            return refusal->code;
        case HKB_WS_COMPLETE:
            break;
        }
        if (!hkb_ws_request_check(head, head_bytes, rules, accept, native, refusal)) {
            return refusal->code;
        }
        ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        return 101;
    }
    return 0;
}

START_TEST(a_request_is_upgraded_or_refused_in_words)
{
    static const size_t pieces[] = {8192, 1, 7};
    hkb_ws_rules rules = {
        .host = "hub.example", .origins = requests[_i].origins, .dialect = requests[_i].dialect};
    char head[2048];
    int bytes = snprintf(head, sizeof(head), "%s\r\n", requests[_i].head);
    for (int i = 0; i < 3; i++) {
        hkb_ws_refusal refusal = {.code = 0};
        bool native = false;
        unsigned code = judge(head, (size_t)bytes, pieces[i], &rules, &native, &refusal);
        ck_assert_msg(code == requests[_i].code, "%u %s\n%s", code, refusal.reason, head);
        ck_assert_int_eq(native, requests[_i].native);
        if (code == 101) {
            continue;
        }
        ck_assert_msg(strstr(refusal.reason, requests[_i].words), "%s", refusal.reason);
        char answer[HKB_WS_ANSWER_BYTES_MAX], line[32];
        size_t answer_bytes = hkb_ws_answer_refuse(&refusal, answer);
        (void)snprintf(line, sizeof(line), "HTTP/1.1 %u ", code);
        ck_assert_int_eq(strncmp(answer, line, strlen(line)), 0);
        ck_assert_uint_eq(answer_bytes, strlen(answer));
        ck_assert_ptr_nonnull(strstr(answer, refusal.reason));
        ck_assert_int_eq(strstr(answer, "Sec-WebSocket-Version: 13\r\n") != NULL, code == 426);
    }
}
END_TEST

START_TEST(a_head_may_be_8_kib_and_64_lines_and_no_more)
{
    static char head[HKB_WS_HEAD_BYTES_MAX + 16];
    hkb_ws_rules rules = {.host = "", .origins = ""};
    for (int over = 0; over < 2; over++) {
        hkb_ws_refusal refusal = {.code = 0};
        bool native;
        size_t used = (size_t)snprintf(head, sizeof(head), "%sX: ", GOOD);
        size_t bytes = HKB_WS_HEAD_BYTES_MAX + (size_t)over;
        memset(head + used, 'x', bytes - used - 4);
        memcpy(head + bytes - 4, "\r\n\r\n", 4);
        ck_assert_uint_eq(judge(head, bytes, 1000, &rules, &native, &refusal), over ? 431 : 101);
        used = (size_t)snprintf(head, sizeof(head), "%s", GOOD);
        for (int lines = 6; lines < 64 + over; lines++) {
            used += (size_t)snprintf(head + used, sizeof(head) - used, "X: y\r\n");
        }
        used += (size_t)snprintf(head + used, sizeof(head) - used, "\r\n");
        ck_assert_uint_eq(judge(head, used, 1000, &rules, &native, &refusal), over ? 431 : 101);
    }
}
END_TEST

START_TEST(a_head_without_end_is_refused_at_its_limit)
{
    hkb_ws_scan scan = {0};
    static char head[HKB_WS_HEAD_BYTES_MAX + 1];
    size_t head_bytes;
    hkb_ws_refusal refusal = {.code = 0};
    memset(head, 'x', sizeof(head));
    for (size_t bytes = 1; bytes <= HKB_WS_HEAD_BYTES_MAX; bytes++) {
        ck_assert_int_eq(hkb_ws_head_scan(&scan, head, bytes, &head_bytes, &refusal), HKB_WS_MORE);
    }
    ck_assert_int_eq(hkb_ws_head_scan(&scan, head, sizeof(head), &head_bytes, &refusal),
                     HKB_WS_REFUSED);
    ck_assert_uint_eq(refusal.code, 431);
}
END_TEST

static const struct {
    const char *head, *name; /* NULL: none */
} files[] = {
    {"GET / HTTP/1.1\r\n", "index.html"},
    {"GET /?url=ws://a HTTP/1.1\r\n", "index.html"},
    {"GET /hakuban.js HTTP/1.1\r\n", "hakuban.js"},
    {"GET /a-b_2.css?x HTTP/1.1\r\n", "a-b_2.css"},
    {"GET /.htaccess HTTP/1.1\r\n", NULL},
    {"GET /.. HTTP/1.1\r\n", NULL},
    {"GET /../a.js HTTP/1.1\r\n", NULL},
    {"GET /b/A.svg HTTP/1.1\r\n", "b/A.svg"},
    {"GET /b/ HTTP/1.1\r\n", "b/index.html"},
    {"GET /b/.git/a.js HTTP/1.1\r\n", NULL},
    {"GET /b/../a.js HTTP/1.1\r\n", NULL},
    {"GET /b//a.js HTTP/1.1\r\n", NULL},
    {"GET a.js HTTP/1.1\r\n", NULL},
    {"GET //a.js HTTP/1.1\r\n", NULL},
    {"GET /a.min.js HTTP/1.1\r\n", "a.min.js"},
    {"GET /%2e%2e/a.js HTTP/1.1\r\n", NULL},
};

START_TEST(only_plain_names_are_files)
{
    char path[HKB_WS_PATH_BYTES] = "untouched";
    bool is_file = hkb_ws_request_file(files[_i].head, strlen(files[_i].head), path);
    ck_assert_int_eq(is_file, files[_i].name != NULL);
    ck_assert_str_eq(path, is_file ? files[_i].name : "untouched");
}
END_TEST

START_TEST(a_path_has_a_longest_length)
{
    char head[2 * HKB_WS_PATH_BYTES], path[HKB_WS_PATH_BYTES];
    size_t longest = HKB_WS_PATH_BYTES - sizeof("index.html") - 1;
    for (size_t bytes = longest - 1; bytes <= longest + 1; bytes++) {
        int head_bytes = snprintf(head, sizeof(head), "GET /%0*d HTTP/1.1\r\n", (int)bytes, 0);
        ck_assert_int_eq(hkb_ws_request_file(head, (size_t)head_bytes, path), bytes <= longest);
    }
}
END_TEST

/* -- Heads of answers -- */

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static const struct {
    const char *head, *body;
    bool offered, good, native;
    const char *words;
} answers[] = {
    {SWITCH UPGRADE ACCEPT, "", true, true, false, NULL},
    {SWITCH UPGRADE ACCEPT OFFER, "", true, true, true, NULL},
    {"HTTP/1.1 101\r\n" UPGRADE ACCEPT, "", true, true, false, NULL},
    {SWITCH UPGRADE ACCEPT, "", false, true, false, NULL},
    {SWITCH UPGRADE ACCEPT OFFER, "", false, false, false, "subprotocol"},
    {SWITCH UPGRADE ACCEPT "Sec-WebSocket-Protocol: chat\r\n", "", true, false, false,
     "subprotocol"},
    {SWITCH UPGRADE ACCEPT "Sec-WebSocket-Protocol: hakuban.1, x\r\n", "", true, false, false,
     "subprotocol"},
    {SWITCH UPGRADE ACCEPT OFFER OFFER, "", true, false, false, "subprotocol"},
    {SWITCH UPGRADE ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n", "", true, false,
     false, "extension"},
    {SWITCH UPGRADE, "", true, false, false, "Accept"},
    {SWITCH UPGRADE ACCEPT ACCEPT, "", true, false, false, "Accept"},
    {SWITCH UPGRADE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n", "", true, false,
     false, "Accept"},
    {SWITCH ACCEPT "Upgrade: websocket\r\n", "", true, false, false, "upgrade"},
    {SWITCH ACCEPT "Connection: Upgrade\r\n", "", true, false, false, "upgrade"},
    {"HTTP/1.0 101 Switching Protocols\r\n" UPGRADE ACCEPT, "", true, false, false, "HTTP/1.1"},
    {"SSH-2.0-OpenSSH_9.2\r\n", "", true, false, false, "HTTP/1.1"},
    {"HTTP/1.1 403 Forbidden\r\n", "pages from there are not allowed\nmore", true, false, false,
     "403 Forbidden: pages from there are not allowed"},
    {"HTTP/1.1 1011 x\r\n", "", true, false, false, "1011 x"},
    {"HTTP/1.1 200 OK\r\n", "", true, false, false, "200 OK"},
};

START_TEST(an_answer_is_understood_or_refused_in_words)
{
    hkb_ws_refusal refusal = {.code = 0};
    char head[1024];
    bool native = false;
    int bytes = snprintf(head, sizeof(head), "%s\r\n", answers[_i].head);
    bool good =
        hkb_ws_answer_check(head, (size_t)bytes, answers[_i].body, strlen(answers[_i].body),
                            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answers[_i].offered, &native, &refusal);
    ck_assert_msg(good == answers[_i].good, "%s", refusal.reason);
    ck_assert_int_eq(native, answers[_i].native);
    ck_assert_msg(good || strstr(refusal.reason, answers[_i].words), "%s", refusal.reason);
}
END_TEST

START_TEST(what_a_server_answers_its_client_understands)
{
    for (int offered = 0; offered < 2; offered++) {
        char out[HKB_WS_ANSWER_BYTES_MAX];
        bool native = false;
        hkb_ws_refusal refusal;
        size_t bytes = hkb_ws_answer_accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", offered, out);
        ck_assert(hkb_ws_answer_check(out, bytes, NULL, 0, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", true,
                                      &native, &refusal));
        ck_assert_int_eq(native, offered);
    }
}
END_TEST

/* -- Frames -- */

enum { FIN = 0x80, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, MORE = 0 };
enum { FRAMES_MAX = 6, NO_CODE = 0xffff };

/* One frame: its first byte, then what is in it: text, or bytes times 'x'. */
typedef struct frame {
    unsigned first;
    const char *text;
    size_t bytes;
    bool is_there;
} frame;

typedef struct conversation {
    const char *name;
    bool text_is_due;
    frame frames[FRAMES_MAX];
    const char *heard; /* messages, each followed by a full stop; NULL: too long to write down */
    int alive, pongs;
    unsigned failure, close_code;
} conversation;

#define T(first_, text_) {first_, text_, sizeof(text_) - 1, true}
#define B(first_, bytes_) {first_, NULL, bytes_, true}
#define MAX HAKUBAN_MESSAGE_BYTES_MAX

static const conversation conversations[] = {
    /* 1: sizes */
    {"1.2.1 nothing", false, {B(FIN | BINARY, 0)}, "", 0, 0, 0, 0},
    {"1.2.2 125 bytes", false, {B(FIN | BINARY, 125)}, NULL, 0, 0, 0, 0},
    {"1.2.3 126 bytes", false, {B(FIN | BINARY, 126)}, NULL, 0, 0, 0, 0},
    {"1.2.4 127 bytes", false, {B(FIN | BINARY, 127)}, NULL, 0, 0, 0, 0},
    {"1.2.5 128 bytes", false, {B(FIN | BINARY, 128)}, NULL, 0, 0, 0, 0},
    {"1.2.6 65535 bytes", false, {B(FIN | BINARY, 65535)}, NULL, 0, 0, 0, 0},
    {"1.2.7 65536 bytes", false, {B(FIN | BINARY, 65536)}, NULL, 0, 0, 0, 0},
    {"4095 bytes", false, {B(FIN | BINARY, 4095)}, NULL, 0, 0, 0, 0},
    {"4096 bytes", false, {B(FIN | BINARY, 4096)}, NULL, 0, 0, 0, 0},
    {"4097 bytes", false, {B(FIN | BINARY, 4097)}, NULL, 0, 0, 0, 0},
    {"1.1.1 empty text", true, {B(FIN | TEXT, 0)}, "", 1, 0, 0, 0},
    {"1.1.2 text of 125", true, {B(FIN | TEXT, 125)}, "", 1, 0, 0, 0},
    {"1.1.6 text of 65535", true, {B(FIN | TEXT, 65535)}, "", 1, 0, 0, 0},
    {"1.1.7 text of 65536", true, {B(FIN | TEXT, 65536)}, "", 1, 0, 0, 0},
    {"the keep-alive of Rust peers", true, {T(FIN | TEXT, ".")}, "", 1, 0, 0, 0},
    {"several messages",
     false,
     {T(FIN | BINARY, "a"), T(FIN | BINARY, "bc"), T(FIN | BINARY, "d")},
     "a.bc.d.",
     0,
     0,
     0,
     0},
    {"text among messages",
     true,
     {T(FIN | BINARY, "a"), T(FIN | TEXT, "."), T(FIN | BINARY, "b")},
     "a.b.",
     1,
     0,
     0,
     0},
    {"text where binary is due",
     false,
     {T(FIN | TEXT, "hello"), T(FIN | BINARY, "a")},
     "",
     0,
     0,
     1003,
     0},
    {"text after binary",
     false,
     {T(FIN | BINARY, "a"), T(TEXT, "."), T(FIN | MORE, ".")},
     "a.",
     0,
     0,
     1003,
     0},
    /* 2: pings and pongs */
    {"2.1 empty ping", false, {B(FIN | PING, 0)}, "", 1, 1, 0, 0},
    {"2.2 ping of text", false, {T(FIN | PING, "Hello, world!")}, "", 1, 1, 0, 0},
    {"2.3 ping of bytes", false, {T(FIN | PING, "\x00\xff\xfe\xfd\x00\xff")}, "", 1, 1, 0, 0},
    {"2.4 ping of 125", false, {B(FIN | PING, 125)}, "", 1, 1, 0, 0},
    {"2.5 ping of 126", false, {B(FIN | PING, 126)}, "", 0, 0, 1002, 0},
    {"2.7 pong that was not asked for", false, {B(FIN | PONG, 0)}, "", 1, 0, 0, 0},
    {"2.8 pong of text", false, {T(FIN | PONG, "unsolicited")}, "", 1, 0, 0, 0},
    {"2.9 pong, then ping", false, {T(FIN | PONG, "a"), T(FIN | PING, "b")}, "", 2, 1, 0, 0},
    {"2.10 pings",
     false,
     {T(FIN | PING, "1"), T(FIN | PING, "2"), T(FIN | PING, "3")},
     "",
     3,
     3,
     0,
     0},
    {"pong of 126", false, {B(FIN | PONG, 126)}, "", 0, 0, 1002, 0},
    {"ping of 65536", false, {B(FIN | PING, 65536)}, "", 0, 0, 1002, 0},
    /* 3: reserved bits */
    {"3.1 RSV3", false, {T(FIN | 0x10 | BINARY, "x")}, "", 0, 0, 1002, 0},
    {"3.2 RSV2 after a message",
     false,
     {T(FIN | BINARY, "a"), T(FIN | 0x20 | BINARY, "x")},
     "a.",
     0,
     0,
     1002,
     0},
    {"3.3 RSV2 and RSV3", false, {T(FIN | 0x30 | BINARY, "x")}, "", 0, 0, 1002, 0},
    {"3.4 RSV1", false, {T(FIN | 0x40 | BINARY, "x")}, "", 0, 0, 1002, 0},
    {"3.5 RSV1 and RSV3", false, {T(FIN | 0x50 | BINARY, "x")}, "", 0, 0, 1002, 0},
    {"3.6 RSV on a ping", false, {T(FIN | 0x60 | PING, "x")}, "", 0, 0, 1002, 0},
    {"3.7 RSV on Close", false, {T(FIN | 0x70 | CLOSE, "\x03\xe8")}, "", 0, 0, 1002, 0},
    {"RSV1 on a fragment", false, {T(BINARY, "a"), T(FIN | 0x40 | MORE, "x")}, "", 0, 0, 1002, 0},
    /* 4: opcodes */
    {"4.1.1 opcode 3", false, {T(FIN | 3, "x")}, "", 0, 0, 1002, 0},
    {"4.1.2 opcode 4", false, {T(FIN | 4, "x")}, "", 0, 0, 1002, 0},
    {"4.1.3 opcode 5", false, {T(FIN | BINARY, "a"), T(FIN | 5, "x")}, "a.", 0, 0, 1002, 0},
    {"4.1.4 opcode 6", false, {T(FIN | 6, "x")}, "", 0, 0, 1002, 0},
    {"4.1.5 opcode 7", false, {T(FIN | 7, "x")}, "", 0, 0, 1002, 0},
    {"4.2.1 opcode 11", false, {T(FIN | 11, "x")}, "", 0, 0, 1002, 0},
    {"4.2.2 opcode 12", false, {T(FIN | 12, "x")}, "", 0, 0, 1002, 0},
    {"4.2.3 opcode 13", false, {T(FIN | 13, "x")}, "", 0, 0, 1002, 0},
    {"4.2.4 opcode 14", false, {T(FIN | 14, "x")}, "", 0, 0, 1002, 0},
    {"4.2.5 opcode 15", false, {T(FIN | 15, "x")}, "", 0, 0, 1002, 0},
    {"opcode 3 within a message", false, {T(BINARY, "a"), T(3, "x")}, "", 0, 0, 1002, 0},
    /* 5: fragments */
    {"5.1 ping in fragments", false, {T(PING, "a"), T(FIN | MORE, "b")}, "", 0, 0, 1002, 0},
    {"5.2 pong in fragments", false, {T(PONG, "a"), T(FIN | MORE, "b")}, "", 0, 0, 1002, 0},
    {"Close in fragments", false, {T(CLOSE, "\x03\xe8"), T(FIN | MORE, "b")}, "", 0, 0, 1002, 0},
    {"5.3 two fragments", false, {T(BINARY, "one"), T(FIN | MORE, "two")}, "onetwo.", 0, 0, 0, 0},
    {"5.6 ping between",
     false,
     {T(BINARY, "one"), T(FIN | PING, "p"), T(FIN | MORE, "two")},
     "onetwo.",
     1,
     1,
     0,
     0},
    {"5.9 a fragment of nothing",
     false,
     {T(FIN | MORE, "x"), T(FIN | BINARY, "a")},
     "",
     0,
     0,
     1002,
     0},
    {"5.12 likewise, and more", false, {T(MORE, "x"), T(FIN | BINARY, "a")}, "", 0, 0, 1002, 0},
    {"5.15 a fragment after the end",
     false,
     {T(BINARY, "a"), T(FIN | MORE, "b"), T(MORE, "c"), T(FIN | MORE, "d")},
     "ab.",
     0,
     0,
     1002,
     0},
    {"5.18 a message within a message",
     false,
     {T(BINARY, "a"), T(FIN | BINARY, "b")},
     "",
     0,
     0,
     1002,
     0},
    {"a text within a message", true, {T(BINARY, "a"), T(FIN | TEXT, "b")}, "", 0, 0, 1002, 0},
    {"5.19 pings between many",
     false,
     {T(BINARY, "1"), T(MORE, "2"), T(FIN | PING, "p"), T(MORE, "3"), T(FIN | PING, "q"),
      T(FIN | MORE, "4")},
     "1234.",
     2,
     2,
     0,
     0},
    {"empty fragments",
     false,
     {B(BINARY, 0), B(MORE, 0), T(MORE, "a"), B(MORE, 0), B(FIN | MORE, 0), T(FIN | BINARY, "b")},
     "a.b.",
     0,
     0,
     0,
     0},
    {"fragments of nothing at all",
     false,
     {B(BINARY, 0), B(MORE, 0), B(FIN | MORE, 0)},
     "",
     0,
     0,
     0,
     0},
    {"an end that has not come", false, {T(BINARY, "a"), T(MORE, "b")}, "", 0, 0, 0, 0},
    {"text in fragments",
     true,
     {T(TEXT, "a"), T(FIN | MORE, "b"), T(FIN | BINARY, "c")},
     "c.",
     1,
     0,
     0,
     0},
    /* 6: UTF-8 */
    {"6.1 empty text in fragments",
     true,
     {B(TEXT, 0), B(MORE, 0), B(FIN | MORE, 0)},
     "",
     1,
     0,
     0,
     0},
    {"6.2 text",
     true,
     {T(FIN | TEXT, "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4-UTF-8")},
     "",
     1,
     0,
     0,
     0},
    {"6.2.3 a character in two fragments",
     true,
     {T(TEXT, "\xce"), T(FIN | MORE, "\xba")},
     "",
     1,
     0,
     0,
     0},
    {"6.3 surrogate", true, {T(FIN | TEXT, "\xce\xba\xed\xa0\x80x")}, "", 0, 0, 1007, 0},
    {"6.4 early", true, {T(TEXT, "\xf4\x90\x80\x80"), T(FIN | MORE, "x")}, "", 0, 0, 1007, 0},
    {"6.6 half a character", true, {T(FIN | TEXT, "\xce")}, "", 0, 0, 1007, 0},
    {"6.6 three of four bytes", true, {T(FIN | TEXT, "\xf0\x9f\x98")}, "", 0, 0, 1007, 0},
    {"6.10 too long a form", true, {T(FIN | TEXT, "\xc0\xaf")}, "", 0, 0, 1007, 0},
    {"6.12 five bytes", true, {T(FIN | TEXT, "\xf8\x88\x80\x80\x80")}, "", 0, 0, 1007, 0},
    {"6.14 a continuation alone", true, {T(FIN | TEXT, "\x80")}, "", 0, 0, 1007, 0},
    {"6.20 impossible bytes", true, {T(FIN | TEXT, "\xfe\xff")}, "", 0, 0, 1007, 0},
    {"6.22 U+FFFF", true, {T(FIN | TEXT, "\xef\xbf\xbf")}, "", 1, 0, 0, 0},
    {"6.23 U+10FFFF", true, {T(FIN | TEXT, "\xf4\x8f\xbf\xbf")}, "", 1, 0, 0, 0},
    {"6.23 above U+10FFFF", true, {T(FIN | TEXT, "\xf4\x90\x80\x80")}, "", 0, 0, 1007, 0},
    {"bytes of any kind are no text",
     false,
     {T(FIN | BINARY, "\xff\xfe")},
     "\xff\xfe.",
     0,
     0,
     0,
     0},
    /* 7: Close */
    {"7.1.1 message, Close",
     false,
     {T(FIN | BINARY, "a"), T(FIN | CLOSE, "\x03\xe8")},
     "a.",
     0,
     0,
     0,
     1000},
    {"7.1.2 two of them",
     false,
     {T(FIN | CLOSE, "\x03\xe8"), T(FIN | CLOSE, "\x03\xe8")},
     "",
     0,
     0,
     0,
     1000},
    {"7.1.3 ping after Close",
     false,
     {T(FIN | CLOSE, "\x03\xe8"), T(FIN | PING, "p")},
     "",
     0,
     0,
     0,
     1000},
    {"7.1.4 message after Close",
     false,
     {T(FIN | CLOSE, "\x03\xe8"), T(FIN | BINARY, "a")},
     "",
     0,
     0,
     0,
     1000},
    {"7.1.5 Close within a message",
     false,
     {T(BINARY, "a"), T(FIN | CLOSE, "\x03\xe8")},
     "",
     0,
     0,
     0,
     1000},
    {"7.3.1 nothing in it", false, {B(FIN | CLOSE, 0)}, "", 0, 0, 0, NO_CODE},
    {"7.3.2 one byte", false, {T(FIN | CLOSE, "\x03")}, "", 0, 0, 1002, 0},
    {"7.3.4 a reason", false, {T(FIN | CLOSE, "\x03\xe8Hello World!")}, "", 0, 0, 0, 1000},
    {"7.3.6 a reason too long", false, {B(FIN | CLOSE, 126)}, "", 0, 0, 1002, 0},
    {"7.5.1 a reason that is not UTF-8",
     false,
     {T(FIN | CLOSE, "\x03\xe8\xff\xfe")},
     "",
     0,
     0,
     1007,
     0},
    {"7.7 going away", false, {T(FIN | CLOSE, "\x03\xe9")}, "", 0, 0, 0, 1001},
    {"7.7 1011", false, {T(FIN | CLOSE, "\x03\xf3")}, "", 0, 0, 0, 1011},
    {"7.7 3000", false, {T(FIN | CLOSE, "\x0b\xb8")}, "", 0, 0, 0, 3000},
    {"7.7 4999", false, {T(FIN | CLOSE, "\x13\x87")}, "", 0, 0, 0, 4999},
    {"7.9 0", false, {T(FIN | CLOSE, "\x00\x00")}, "", 0, 0, 1002, 0},
    {"7.9 999", false, {T(FIN | CLOSE, "\x03\xe7")}, "", 0, 0, 1002, 0},
    {"7.9 1004", false, {T(FIN | CLOSE, "\x03\xec")}, "", 0, 0, 1002, 0},
    {"7.9 1005", false, {T(FIN | CLOSE, "\x03\xed")}, "", 0, 0, 1002, 0},
    {"7.9 1006", false, {T(FIN | CLOSE, "\x03\xee")}, "", 0, 0, 1002, 0},
    {"7.9 1015", false, {T(FIN | CLOSE, "\x03\xf7")}, "", 0, 0, 1002, 0},
    {"7.9 2999", false, {T(FIN | CLOSE, "\x0b\xb7")}, "", 0, 0, 1002, 0},
    /* 9: limits */
    {"9 as much as may be", false, {B(FIN | BINARY, MAX)}, NULL, 0, 0, 0, 0},
    {"9 one byte more", false, {B(FIN | BINARY, MAX + 1)}, "", 0, 0, 1009, 0},
    {"9 as much as may be, in fragments",
     false,
     {B(BINARY, MAX - 10), B(MORE, 4), B(FIN | MORE, 6)},
     NULL,
     0,
     0,
     0,
     0},
    {"9 one byte more, in fragments", false, {B(BINARY, MAX), B(FIN | MORE, 1)}, "", 0, 0, 1009, 0},
    {"9 without end", false, {B(BINARY, 60000), B(MORE, 60000), B(MORE, 60000)}, "", 0, 0, 1009, 0},
    {"9 as much twice", false, {B(FIN | BINARY, MAX), B(FIN | BINARY, MAX)}, NULL, 0, 0, 0, 0},
    /* 10: fragments of one size */
    {"10.1.1 in pieces",
     false,
     {B(BINARY, 1300), B(MORE, 1300), B(MORE, 1300), B(MORE, 1300), B(FIN | MORE, 1300)},
     NULL,
     0,
     0,
     0,
     0},
};

typedef struct side {
    hkb_ws_frames frames;
    char heard[256];
    size_t heard_bytes, total, count;
    int alive;
    bool stops;
} side;

static void on_message(void *owner, const unsigned char *data, size_t bytes)
{
    side *it = owner;
    it->count++;
    it->total += bytes;
    for (size_t i = 0; i < bytes && it->heard_bytes < sizeof(it->heard) - 2; i++) {
        it->heard[it->heard_bytes++] = (char)data[i];
    }
    it->heard[it->heard_bytes++] = '.';
    if (it->stops) {
        hkb_ws_frames_stop(&it->frames);
    }
}

static void on_alive(void *owner)
{
    side *it = owner;
    it->alive++;
}

static void on_random(void *owner, unsigned char *key, size_t bytes)
{
    (void)owner;
    memset(key, 0x5a, bytes);
}

static const hkb_ws_frames_events listening = {on_message, on_alive, on_random};

static size_t allocated;

static void *count_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    allocated += bytes;
    return malloc(bytes);
}

static void *count_realloc(void *ctx, void *memory, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    allocated += new_bytes - old_bytes;
    return realloc(memory, new_bytes);
}

static void count_free(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    allocated -= bytes;
    free(memory);
}

static const hakuban_alloc counting = {NULL, count_alloc, count_realloc, count_free};

static void begin(side *it, bool server)
{
    memset(it, 0, sizeof(*it));
    ck_assert_int_eq(hkb_ws_frames_init(&it->frames, server, &counting, &listening, it),
                     HAKUBAN_OK);
}

/* The frame as the other side of a server, or of a client, sends it. */
static size_t put(unsigned char *out, unsigned first, const char *text, size_t bytes, bool masked)
{
    static const unsigned char mask[4] = {0x12, 0x9f, 0x00, 0xee};
    size_t at = hkb_ws_frame_header(out, first & 0x0f, false, bytes, masked ? mask : NULL);
    out[0] = (unsigned char)first;
    unsigned char *payload = out + at;
    if (text) {
        memcpy(payload, text, bytes);
    } else {
        memset(payload, 'x', bytes);
    }
    if (masked) {
        for (size_t i = 0; i < bytes; i++) {
            payload[i] ^= mask[i % 4];
        }
    }
    return at + bytes;
}

static int count_pongs(const unsigned char *data, size_t bytes)
{
    int pongs = 0;
    for (size_t at = 0; at < bytes;) {
        pongs += data[at] == (FIN | PONG);
        at += 2 + (data[at + 1] & 0x80 ? 4u : 0u) + (data[at + 1] & 0x7fu);
    }
    return pongs;
}

/* Gives data in pieces, and counts what is answered. */
static void feed(side *it, const unsigned char *data, size_t bytes, size_t piece, int *pongs)
{
    for (size_t at = 0; at < bytes; at += piece) {
        unsigned char answer[256];
        size_t now = bytes - at < piece ? bytes - at : piece, answered;
        hkb_ws_frames_read(&it->frames, data + at, now);
        while (!it->frames.failure &&
               (answered = hkb_ws_frames_answers(&it->frames, answer, sizeof(answer))) > 0) {
            *pongs += count_pongs(answer, answered);
        }
    }
}

static const size_t piece_sizes[] = {HKB_WS_READ_BYTES, 1, 3, 1000};

START_TEST(frames_are_read_by_the_rules)
{
    const conversation *said = &conversations[_i];
    const bool is_reason = strstr(said->name, "a reason that is not UTF-8") != NULL;
    static unsigned char data[FRAMES_MAX * (MAX + 32)];
    for (int variant = 0; variant < 8; variant++) {
        bool server = variant % 2;
        /* wslay looks at a reason's bytes only where they come with the code. The connection ends
         * either way. */
        if (is_reason && piece_sizes[variant / 2] < 100) {
            continue;
        }
        side it;
        int pongs = 0;
        size_t bytes = 0;
        begin(&it, server);
        it.frames.text_is_due = said->text_is_due;
        for (int i = 0; i < FRAMES_MAX && said->frames[i].is_there; i++) {
            bytes += put(data + bytes, said->frames[i].first, said->frames[i].text,
                         said->frames[i].bytes, server);
        }
        feed(&it, data, bytes, piece_sizes[variant / 2], &pongs);
        ck_assert_msg(it.frames.failure == said->failure, "%s (%d): failed with %u, not %u",
                      said->name, variant, it.frames.failure, said->failure);
        ck_assert_int_eq(it.frames.failure != 0, it.frames.failure_text != NULL);
        ck_assert_int_eq(it.frames.closed, said->close_code != 0);
        ck_assert_uint_eq(it.frames.close_code, said->close_code == NO_CODE ? 0 : said->close_code);
        ck_assert_msg(it.alive == said->alive, "%s (%d): %d signs of life", said->name, variant,
                      it.alive);
        if (!said->failure) {
            ck_assert_msg(pongs == said->pongs, "%s (%d): %d pongs", said->name, variant, pongs);
        }
        if (said->heard) {
            ck_assert_msg(strcmp(it.heard, said->heard) == 0, "%s (%d): heard %s", said->name,
                          variant, it.heard);
        } else {
            ck_assert_uint_gt(it.count, 0);
        }
        hkb_ws_frames_done(&it.frames);
        ck_assert_uint_eq(allocated, 0);
    }
}
END_TEST

START_TEST(what_is_too_long_to_write_down_arrives_whole)
{
    static unsigned char data[2 * MAX];
    static const size_t sizes[] = {125, 126, 4096, 65535, 65536, MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        side it;
        int pongs = 0;
        begin(&it, true);
        feed(&it, data, put(data, FIN | BINARY, NULL, sizes[i], true), 4096, &pongs);
        ck_assert_uint_eq(it.count, 1);
        ck_assert_uint_eq(it.total, sizes[i]);
        hkb_ws_frames_done(&it.frames);
    }
}
END_TEST

START_TEST(a_peer_that_does_not_mask_or_masks_wrongly_is_refused)
{
    for (int server = 0; server < 2; server++) {
        unsigned char data[64];
        side it;
        int pongs = 0;
        begin(&it, server);
        feed(&it, data, put(data, FIN | BINARY, "x", 1, !server), 64, &pongs);
        ck_assert_uint_eq(it.frames.failure, 1002);
        ck_assert_uint_eq(it.count, 0);
        hkb_ws_frames_done(&it.frames);
    }
}
END_TEST

static const struct {
    const char *name;
    unsigned char header[10];
    size_t bytes;
    unsigned failure;
} lengths[] = {
    {"the top bit", {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1}, 10, 1002},
    {"the top bit, all of them",
     {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     10,
     1002},
    {"63 bits", {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 10, 1009},
    {"4 GiB", {0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0}, 10, 1009},
    {"5 bytes in 64 bits", {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5}, 10, 1002},
    {"5 bytes in 16 bits", {0x82, 0xfe, 0, 5}, 4, 1002},
    {"a ping of 16 bits", {0x89, 0xfe, 0, 200}, 4, 1002},
};

START_TEST(a_length_costs_nothing_before_its_bytes_come)
{
    side it;
    int pongs = 0;
    begin(&it, true);
    feed(&it, lengths[_i].header, lengths[_i].bytes, 1, &pongs);
    unsigned char more[5] = {1, 2, 3, 4, 'x'}; /* the mask, and the first byte */
    feed(&it, more, sizeof(more), 1, &pongs);
    ck_assert_msg(it.frames.failure == lengths[_i].failure, "%s: %u", lengths[_i].name,
                  it.frames.failure);
    ck_assert_uint_eq(allocated, 0);
    hkb_ws_frames_done(&it.frames);
}
END_TEST

START_TEST(memory_grows_only_as_bytes_arrive)
{
    static unsigned char data[4096];
    side it;
    begin(&it, false);
    it.frames.message_bytes_max = HAKUBAN_RUST_MESSAGE_BYTES_MAX;
    unsigned char header[HKB_WS_HEADER_BYTES_MAX];
    size_t bytes = hkb_ws_frame_header(header, BINARY, true, 60u << 20, NULL), sent = 0;
    hkb_ws_frames_read(&it.frames, header, bytes);
    ck_assert_uint_eq(allocated, 0);
    for (; sent < 4u << 20; sent += sizeof(data)) {
        hkb_ws_frames_read(&it.frames, data, sizeof(data));
        ck_assert_uint_le(allocated, 2 * sent + 65536 + 2 * sizeof(data));
    }
    hkb_ws_frames_done(&it.frames);
    ck_assert_uint_eq(allocated, 0);
}
END_TEST

START_TEST(fragments_of_nothing_have_an_end)
{
    unsigned char data[32];
    side it;
    begin(&it, false);
    hkb_ws_frames_read(&it.frames, data, put(data, BINARY, NULL, 0, false));
    size_t bytes = put(data, MORE, NULL, 0, false);
    for (int i = 0; i < 100000 && !it.frames.failure; i++) {
        hkb_ws_frames_read(&it.frames, data, bytes);
    }
    ck_assert_uint_eq(it.frames.failure, 1009);
    hkb_ws_frames_done(&it.frames);
}
END_TEST

START_TEST(pings_are_answered_with_what_was_in_them)
{
    for (int server = 0; server < 2; server++) {
        unsigned char data[256], answer[256];
        side it;
        begin(&it, server);
        hkb_ws_frames_read(&it.frames, data, put(data, FIN | PING, "payload", 7, server));
        size_t bytes = hkb_ws_frames_answers(&it.frames, answer, sizeof(answer));
        ck_assert_uint_eq(bytes, server ? 9 : 13);
        ck_assert_uint_eq(answer[0], FIN | PONG);
        ck_assert_uint_eq(answer[1], server ? 7 : 0x87);
        if (!server) {
            for (int i = 0; i < 7; i++) {
                answer[6 + i] ^= 0x5a;
            }
        }
        ck_assert_mem_eq(answer + bytes - 7, "payload", 7);
        ck_assert_uint_eq(hkb_ws_frames_answers(&it.frames, answer, sizeof(answer)), 0);
        hkb_ws_frames_done(&it.frames);
    }
}
END_TEST

START_TEST(after_a_stop_from_inside_nothing_more_is_told)
{
    unsigned char data[64];
    side it;
    begin(&it, true);
    it.stops = true;
    size_t bytes = put(data, FIN | BINARY, "a", 1, true);
    bytes += put(data + bytes, FIN | BINARY, "b", 1, true);
    bytes += put(data + bytes, FIN | PING, "c", 1, true);
    hkb_ws_frames_read(&it.frames, data, bytes);
    hkb_ws_frames_read(&it.frames, data, bytes);
    ck_assert_str_eq(it.heard, "a.");
    ck_assert_int_eq(it.alive, 0);
    ck_assert_uint_eq(it.frames.failure, 0);
    hkb_ws_frames_done(&it.frames);
}
END_TEST

START_TEST(masking_is_the_same_in_any_pieces)
{
    static const unsigned char mask[4] = {1, 2, 4, 8};
    unsigned char data[100], whole[100], parts[100];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)(i * 7);
    }
    for (size_t i = 0; i < sizeof(data); i++) {
        whole[i] = data[i] ^ mask[i % 4];
    }
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        hkb_ws_frame_mask(parts, data, cut, mask, 0);
        hkb_ws_frame_mask(parts + cut, data + cut, sizeof(data) - cut, mask, cut);
        ck_assert_mem_eq(parts, whole, sizeof(data));
    }
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

int main(void)
{
    Suite *suite = suite_create("ws");
    TCase *digest = tcase_create("hash");
    tcase_add_loop_test(digest, the_hash_and_base64_are_those_of_their_standards, 0,
                        COUNT(digests));
    tcase_add_test(digest, long_data_is_hashed_in_blocks);
    tcase_add_test(digest, a_key_is_answered_as_in_the_rfc);
    suite_add_tcase(suite, digest);
    TCase *head = tcase_create("upgrade");
    tcase_add_loop_test(head, a_request_is_upgraded_or_refused_in_words, 0, COUNT(requests));
    tcase_add_loop_test(head, only_plain_names_are_files, 0, COUNT(files));
    tcase_add_test(head, a_path_has_a_longest_length);
    tcase_add_test(head, a_head_may_be_8_kib_and_64_lines_and_no_more);
    tcase_add_test(head, a_head_without_end_is_refused_at_its_limit);
    tcase_add_loop_test(head, an_answer_is_understood_or_refused_in_words, 0, COUNT(answers));
    tcase_add_test(head, what_a_server_answers_its_client_understands);
    suite_add_tcase(suite, head);
    TCase *frames = tcase_create("frames");
    tcase_add_loop_test(frames, frames_are_read_by_the_rules, 0, COUNT(conversations));
    tcase_add_test(frames, what_is_too_long_to_write_down_arrives_whole);
    tcase_add_test(frames, a_peer_that_does_not_mask_or_masks_wrongly_is_refused);
    tcase_add_loop_test(frames, a_length_costs_nothing_before_its_bytes_come, 0, COUNT(lengths));
    tcase_add_test(frames, memory_grows_only_as_bytes_arrive);
    tcase_add_test(frames, fragments_of_nothing_have_an_end);
    tcase_add_test(frames, pings_are_answered_with_what_was_in_them);
    tcase_add_test(frames, after_a_stop_from_inside_nothing_more_is_told);
    tcase_add_test(frames, masking_is_the_same_in_any_pieces);
    suite_add_tcase(suite, frames);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
