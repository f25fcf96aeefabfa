/* SHA-1 (FIPS 180-4) and base64 (RFC 4648), as far as the upgrade of WebSocket needs them: over a
 * few bytes, once per connection. Nothing is protected by them. */
#include <string.h>

#include "ws.h"

static uint32_t rotate(uint32_t word, unsigned by)
{
    return word << by | word >> (32 - by);
}

static void sha1_block(uint32_t state[5], const unsigned char block[64])
{
    uint32_t words[80];
    for (unsigned i = 0; i < 16; i++) {
        const unsigned char *from = block + 4 * (size_t)i;
        words[i] =
            (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
    }
    for (unsigned i = 16; i < 80; i++) {
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t mixed, constant;
        if (i < 20) {
            mixed = (b & c) | (~b & d);
            constant = 0x5a827999;
        } else if (i < 40) {
            mixed = b ^ c ^ d;
            constant = 0x6ed9eba1;
        } else if (i < 60) {
            mixed = (b & c) | (b & d) | (c & d);
            constant = 0x8f1bbcdc;
        } else {
            mixed = b ^ c ^ d;
            constant = 0xca62c1d6;
        }
        uint32_t next = rotate(a, 5) + mixed + e + constant + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void hkb_ws_sha1(const unsigned char *data, size_t bytes, unsigned char ret_digest[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t at = 0;
    for (; bytes - at >= 64; at += 64) {
        sha1_block(state, data + at);
    }
    unsigned char last[128] = {0};
    size_t left = bytes - at, last_bytes = left < 56 ? 64 : 128;
    if (left > 0) {
        memcpy(last, data + at, left);
    }
    last[left] = 0x80;
    for (unsigned i = 0; i < 8; i++) {
        last[last_bytes - 1 - i] = (unsigned char)((uint64_t)bytes * 8 >> (8 * i));
    }
    for (at = 0; at < last_bytes; at += 64) {
        sha1_block(state, last + at);
    }
    for (unsigned i = 0; i < 20; i++) {
        ret_digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void hkb_ws_base64(const unsigned char *data, size_t bytes, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        size_t have = bytes - i < 3 ? bytes - i : 3;
        uint32_t group = (uint32_t)data[i] << 16;
        group |= have > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        group |= have > 2 ? data[i + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = '=';
        *out++ = '=';
        if (have > 1) {
            out[-2] = digits[group >> 6 & 63];
        }
        if (have > 2) {
            out[-1] = digits[group & 63];
        }
    }
    *out = '\0';
}

void hkb_ws_accept(const char *key, char ret_accept[HKB_WS_ACCEPT_BYTES])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char joined[HKB_WS_KEY_BYTES - 1 + sizeof(magic) - 1], digest[20];
    memcpy(joined, key, HKB_WS_KEY_BYTES - 1);
    memcpy(joined + HKB_WS_KEY_BYTES - 1, magic, sizeof(magic) - 1);
    hkb_ws_sha1(joined, sizeof(joined), digest);
    hkb_ws_base64(digest, sizeof(digest), ret_accept);
}
