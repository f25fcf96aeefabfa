/* Writes and reads ops, and derives the compressor's reference from them on both sides. An op is:
 * copy length, literal length * 2 + whether a shift follows, the shift if one follows. Behind the
 * last op, the rest of the old state is copied without an op. */
#include "wire/delta_internal.h"

enum {
    PIECE_LITERALS_MIN = 8, /* shorter literals add nothing to the reference */
    PIECE_AROUND = 256,
};

static int64_t shift_of(const hkb_delta_op *op)
{
    return (int64_t)op->next - (int64_t)(op->o + op->copy + op->literals);
}

void hkb_delta_measure(const hkb_delta_context *context, size_t *ret_control, size_t *ret_literals)
{
    size_t control = 0, literals = 0;
    for (size_t i = 0; i + 1 < context->match_count; i++) {
        hkb_delta_op op = hkb_delta_op_at(context, i);
        int64_t shift = i + 2 < context->match_count ? shift_of(&op) : 0;
        literals += op.literals;
        control += hkb_varint_bytes(op.copy) + hkb_varint_bytes((uint64_t)op.literals * 2) +
                   (shift ? hkb_varint_bytes(hkb_zigzag(shift)) : 0);
    }
    *ret_control = control;
    *ret_literals = literals;
}

uint8_t *hkb_delta_write(const hkb_delta_context *context, const uint8_t *new_, bool control,
                         bool literals, uint8_t *out)
{
    for (size_t i = 0; i + 1 < context->match_count; i++) {
        hkb_delta_op op = hkb_delta_op_at(context, i);
        if (control) {
            int64_t shift = i + 2 < context->match_count ? shift_of(&op) : 0;
            out += hkb_varint_put(out, op.copy);
            out += hkb_varint_put(out, (uint64_t)op.literals * 2 + (shift != 0));
            if (shift) {
                out += hkb_varint_put(out, hkb_zigzag(shift));
            }
        }
        if (literals) {
            memcpy(out, new_ + context->matches[i].n + op.copy, op.literals);
            out += op.literals;
        }
    }
    return out;
}

static bool read_number(hkb_delta_reader *reader, size_t *ret)
{
    uint64_t number;
    int taken = hkb_varint_get(reader->data, (size_t)(reader->end - reader->data), &number);
    if (taken <= 0 || number > UINT32_MAX) {
        return false;
    }
    *ret = (size_t)number;
    reader->data += taken;
    return true;
}

bool hkb_delta_read(hkb_delta_reader *reader, hkb_delta_op *ret, const uint8_t **ret_literals)
{
    size_t copy, literals, shift = 0;
    size_t room = reader->new_bytes - reader->produced;
    if (!read_number(reader, &copy) || !read_number(reader, &literals)) {
        return false;
    }
    bool shifted = literals & 1;
    literals >>= 1;
    if (shifted && !read_number(reader, &shift)) {
        return false;
    }
    if (copy > room || literals > room - copy || reader->o > reader->old_bytes ||
        copy > reader->old_bytes - reader->o) {
        return false;
    }
    /* Only the first op may produce no bytes: it can be just a shift. A peer could send any number
     * of further ones. */
    if (copy + literals == 0 && reader->begun) {
        return false;
    }
    reader->begun = true;
    if (reader->literals_inside) {
        if (literals > (size_t)(reader->end - reader->data)) {
            return false;
        }
        *ret_literals = reader->data;
        reader->data += literals;
    }
    *ret = (hkb_delta_op){.o = reader->o, .copy = copy, .literals = literals};
    reader->produced += copy + literals;
    int64_t next = (int64_t)reader->o + (int64_t)(copy + literals) + hkb_unzigzag(shift);
    if (reader->data == reader->end) {
        size_t tail = reader->new_bytes - reader->produced;
        if (tail > reader->old_bytes || shifted) {
            return false;
        }
        next = (int64_t)(reader->old_bytes - tail);
    }
    if (next < 0 || next > (int64_t)reader->old_bytes) {
        return false;
    }
    reader->o = ret->next = (size_t)next;
    return true;
}

hakuban_status hkb_delta_reference_add(hkb_delta_context *context, hakuban_slice old,
                                       const hkb_delta_op *op, hkb_delta_piece *last)
{
    if (op->literals < PIECE_LITERALS_MIN) {
        return HAKUBAN_OK;
    }
    /* The old bytes that the literals replace, at most as many as the literals. */
    size_t from = op->o + op->copy;
    size_t to = hkb_min(hkb_max(op->next, from), from + 4 * op->literals + PIECE_AROUND);
    size_t begin = from > PIECE_AROUND ? from - PIECE_AROUND : 0;
    size_t end = hkb_min(old.bytes, to + PIECE_AROUND);
    if (begin >= last->begin && begin < last->end) {
        begin = last->end;
    }
    if (begin >= end || end - begin > HKB_DELTA_REFERENCE_BYTES_MAX - context->reference_bytes) {
        return HAKUBAN_OK;
    }
    hakuban_status status =
        hkb_grow(context->alloc, &context->reference.data, 1, &context->reference.capacity,
                 hkb_max(context->reference_bytes + (end - begin), 4096));
    if (status < 0) {
        return status;
    }
    memcpy(context->reference.data + context->reference_bytes, (const uint8_t *)old.data + begin,
           end - begin);
    context->reference_bytes += end - begin;
    *last = (hkb_delta_piece){begin, end};
    return HAKUBAN_OK;
}

hakuban_slice hkb_delta_reference(const hkb_delta_context *context)
{
    static const uint8_t dictionary_magic[4] = {0x37, 0xa4, 0x30, 0xec};
    if (context->reference_bytes < sizeof(dictionary_magic) ||
        memcmp(context->reference.data, dictionary_magic, sizeof(dictionary_magic)) == 0) {
        return (hakuban_slice){NULL, 0};
    }
    return (hakuban_slice){context->reference.data, context->reference_bytes};
}
