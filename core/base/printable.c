/* UTF-8, and text that is safe to show. */
#include "base/base.h"

size_t hkb_utf8_bytes(const uint8_t *text, size_t bytes)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t length;
    if (text[0] < 0x80) {
        return 1;
    }
    if (text[0] < 0xc2 || text[0] > 0xf4) {
        return 0;
    }
    if (text[0] < 0xe0) {
        length = 2;
    } else if (text[0] < 0xf0) {
        length = 3;
        low = text[0] == 0xe0 ? 0xa0 : 0x80;
        high = text[0] == 0xed ? 0x9f : 0xbf;
    } else {
        length = 4;
        low = text[0] == 0xf0 ? 0x90 : 0x80;
        high = text[0] == 0xf4 ? 0x8f : 0xbf;
    }
    if (bytes < length || text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (text[i] < 0x80 || text[i] > 0xbf) {
            return 0;
        }
    }
    return length;
}

/* The character of a sequence that hkb_utf8_bytes() has measured. */
static uint32_t character_of(const uint8_t *text, size_t length)
{
    uint32_t character = length == 1 ? text[0] : text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        character = character << 6 | (text[i] & 0x3fu);
    }
    return character;
}

/* Whether a character may be shown unescaped. Characters are escaped if they control a terminal,
 * change the direction of writing, have no width, or separate lines. */
static bool is_plain(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},
                  {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
                  {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < HKB_COUNT(hidden) && c >= hidden[i].first; i++) {
        if (c <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

static size_t put_hex(char *out, char letter, uint32_t value, unsigned digits)
{
    out[0] = '\\';
    out[1] = letter;
    for (unsigned i = 0; i < digits; i++) {
        out[2 + i] = "0123456789abcdef"[value >> 4 * (digits - 1 - i) & 15];
    }
    return 2 + digits;
}

/* The escape of a character, or of a byte that is no UTF-8 (length 0). */
static size_t put_escaped(char out[12], const uint8_t *text, size_t length)
{
    if (length == 0) {
        return put_hex(out, 'x', text[0], 2);
    }
    uint32_t c = character_of(text, length);
    if (c <= 0xffff) {
        return put_hex(out, 'u', c, 4);
    }
    size_t used = put_hex(out, 'u', 0xd800 + ((c - 0x10000) >> 10), 4);
    return used + put_hex(out + used, 'u', 0xdc00 + ((c - 0x10000) & 0x3ff), 4);
}

size_t hakuban_printable(char *out, size_t out_bytes, const void *text, size_t bytes)
{
    const uint8_t *in = text;
    size_t needed = 0, used = 0;
    for (size_t i = 0; i < bytes;) {
        char escaped[12];
        const void *piece = in + i;
        size_t length = hkb_utf8_bytes(in + i, bytes - i), shown = length;
        if (length == 0 || !is_plain(character_of(in + i, length))) {
            shown = put_escaped(escaped, in + i, length);
            piece = escaped;
        }
        if (used == needed && shown < out_bytes - hkb_min(used, out_bytes)) {
            memcpy(out + used, piece, shown);
            used += shown;
        }
        needed += shown;
        i += length ? length : 1;
    }
    if (out_bytes > 0) {
        out[used] = '\0';
    }
    return needed;
}
