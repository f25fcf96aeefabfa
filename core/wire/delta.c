/* Makes and applies deltas: chooses the shortest form, and reads deltas from peers. delta_search.c
 * finds what two states have in common; delta_code.c writes and reads the ops.
 *
 *   kind               then
 *   0 unchanged        nothing
 *   1 ops              size, ops with their literals
 *   2 literals packed  size, bytes of ops, ops, packed literals
 *   3 both packed      size, bytes of ops, bytes of packed ops, packed ops, packed literals
 *   4 whole            the state
 *   5 whole packed     bytes of the state, the state packed
 *   6 ops packed       size, bytes of ops, bytes of packed ops, packed ops, literals
 *
 * Packed is compressed. size: new - old in bytes, zigzag; absent where SAME_SIZE is added to the
 * kind. All numbers are LEB128. */
#include "wire/delta_internal.h"

enum {
    UNCHANGED,
    OPS,
    LITERALS_PACKED,
    BOTH_PACKED,
    WHOLE,
    WHOLE_PACKED,
    OPS_PACKED,
    SAME_SIZE = 8
};

enum {
    PACK_BYTES_MIN = 64, /* less than this is not compressed */
    PACK_WHOLE_MIN =
        256, /* a smaller whole state is not compressed: each new observer would pay the time */
    PACK_OPS_MIN = 128,     /* fewer bytes of ops do not get a compressed frame of their own */
    KEEP_BYTES = 64 * 1024, /* a larger piece of scratch memory is freed after use */
    HEAD_BYTES_MAX = 1 + 3 * HKB_VARINT_BYTES_MAX,
};

/* -- Context -- */

hakuban_status hkb_delta_context_new(const hakuban_alloc *alloc, hkb_delta_context **ret)
{
    hkb_delta_context *context = hkb_alloc(alloc, sizeof(*context));
    if (!context) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    context->alloc = alloc;
    *ret = context;
    return HAKUBAN_OK;
}

static void release_scratch(hkb_delta_context *context, hkb_delta_scratch *scratch, size_t keep)
{
    if (scratch->capacity > keep) {
        hkb_free(context->alloc, scratch->data, scratch->capacity);
        *scratch = (hkb_delta_scratch){NULL, 0};
    }
}

static void release_matches(hkb_delta_context *context, hkb_delta_match **matches, size_t *capacity,
                            size_t keep)
{
    size_t bytes = *capacity * sizeof(**matches);
    if (bytes > keep) {
        hkb_free(context->alloc, *matches, bytes);
        *matches = NULL;
        *capacity = 0;
    }
}

static void release(hkb_delta_context *context, size_t keep)
{
    size_t slot_bytes = context->slot_capacity * sizeof(*context->slots);
    release_matches(context, &context->matches, &context->match_capacity, keep);
    release_matches(context, &context->references, &context->reference_capacity, keep);
    if (slot_bytes > keep) {
        hkb_free(context->alloc, context->slots, slot_bytes);
        context->slots = NULL;
        context->slot_capacity = 0;
    }
    release_scratch(context, &context->raw, keep);
    release_scratch(context, &context->reference, keep);
    release_scratch(context, &context->packed, keep);
}

void hkb_delta_tidy(hkb_delta_context *context)
{
    release(context, KEEP_BYTES);
}

hkb_delta_context *hkb_delta_context_free(hkb_delta_context *context)
{
    if (context) {
        release(context, 0);
        hkb_free(context->alloc, context, sizeof(*context));
    }
    return NULL;
}

hkb_delta_work hkb_delta_last_work(const hkb_delta_context *context)
{
    return context->work;
}

static hakuban_status need(hkb_delta_context *context, hkb_delta_scratch *scratch, size_t bytes)
{
    return hkb_grow(context->alloc, &scratch->data, 1, &scratch->capacity, bytes);
}

/* -- Making -- */

/* The shortest form found so far: head, ops, packed bytes, literals. Ops and literals are written
 * at the end. */
typedef struct delta_form {
    uint8_t head[HEAD_BYTES_MAX];
    size_t head_bytes, body_bytes;
    int kind;
    size_t packed_from, packed_bytes; /* in context->packed */
} delta_form;

static size_t form_bytes(const delta_form *form)
{
    return form->head_bytes + form->body_bytes;
}

static void form_begin(delta_form *form, int kind)
{
    memset(form, 0, sizeof(*form));
    form->kind = kind;
    form->head[form->head_bytes++] = (uint8_t)kind;
}

static void form_number(delta_form *form, uint64_t number)
{
    form->head_bytes += hkb_varint_put(form->head + form->head_bytes, number);
}

static void form_begin_sized(delta_form *form, int kind, size_t old_bytes, size_t new_bytes)
{
    form_begin(form, kind);
    if (old_bytes == new_bytes) {
        form->head[0] |= SAME_SIZE;
    } else {
        form_number(form, hkb_zigzag((int64_t)new_bytes - (int64_t)old_bytes));
    }
}

/* Compresses src to the end of context->packed. *ret_bytes 0: the result cannot be used. If a
 * compressor fails or reports a wrong size, the delta is only longer. */
static hakuban_status pack(hkb_delta_context *context, hkb_delta_compressor compressor,
                           hakuban_slice src, hakuban_slice reference, size_t *ret_bytes)
{
    *ret_bytes = 0;
    if (!compressor.ops || src.bytes < PACK_BYTES_MIN) {
        return HAKUBAN_OK;
    }
    size_t bound = hkb_max(compressor.ops->bound(compressor.self, src.bytes), src.bytes);
    if (bound / 16 > src.bytes) {
        return HAKUBAN_OK;
    }
    hakuban_status status = need(context, &context->packed, context->packed_bytes + bound);
    if (status < 0) {
        return status;
    }
    size_t bytes = 0;
    status = compressor.ops->compress(compressor.self, context->packed.data + context->packed_bytes,
                                      bound, &bytes, src, reference);
    if (status >= 0 && bytes < src.bytes) {
        *ret_bytes = bytes;
        context->packed_bytes += bytes;
    }
    return HAKUBAN_OK;
}

/* Compresses the ops, if there are enough of them, to context->packed. */
static hakuban_status pack_ops(hkb_delta_context *context, hkb_delta_compressor compressor,
                               hakuban_slice new_, size_t op_bytes, size_t *ret_bytes)
{
    *ret_bytes = 0;
    if (op_bytes < PACK_OPS_MIN || op_bytes > new_.bytes) {
        return HAKUBAN_OK;
    }
    hakuban_status status = need(context, &context->raw, op_bytes);
    if (status < 0) {
        return status;
    }
    hkb_delta_write(context, new_.data, true, false, context->raw.data);
    return pack(context, compressor, (hakuban_slice){context->raw.data, op_bytes},
                (hakuban_slice){NULL, 0}, ret_bytes);
}

/* Compresses the literals to context->packed, with the old bytes around them as reference. */
static hakuban_status pack_literals(hkb_delta_context *context, hkb_delta_compressor compressor,
                                    hakuban_slice old, hakuban_slice new_, size_t literal_bytes,
                                    size_t *ret_bytes)
{
    hkb_delta_piece last = {0, 0};
    *ret_bytes = 0;
    if (literal_bytes < PACK_BYTES_MIN) {
        return HAKUBAN_OK;
    }
    for (size_t i = 0; i + 1 < context->match_count; i++) {
        hkb_delta_op op = hkb_delta_op_at(context, i);
        hakuban_status status = hkb_delta_reference_add(context, old, &op, &last);
        if (status < 0) {
            return status;
        }
    }
    hakuban_status status = need(context, &context->raw, literal_bytes);
    if (status < 0) {
        return status;
    }
    hkb_delta_write(context, new_.data, false, true, context->raw.data);
    return pack(context, compressor, (hakuban_slice){context->raw.data, literal_bytes},
                hkb_delta_reference(context), ret_bytes);
}

/* Compresses the parts that get shorter by it. Replaces *best if the result is shorter. */
static hakuban_status try_packed(hkb_delta_context *context, hkb_delta_compressor compressor,
                                 hakuban_slice old, hakuban_slice new_, size_t op_bytes,
                                 size_t literal_bytes, delta_form *best)
{
    if (!compressor.ops) {
        return HAKUBAN_OK;
    }
    size_t from = context->packed_bytes, packed_ops, packed_literals;
    hakuban_status status = pack_ops(context, compressor, new_, op_bytes, &packed_ops);
    if (status >= 0) {
        status = pack_literals(context, compressor, old, new_, literal_bytes, &packed_literals);
    }
    if (status < 0 || packed_ops + packed_literals == 0) {
        return status;
    }

    delta_form packed;
    form_begin_sized(&packed,
                     !packed_ops        ? LITERALS_PACKED
                     : !packed_literals ? OPS_PACKED
                                        : BOTH_PACKED,
                     old.bytes, new_.bytes);
    form_number(&packed, op_bytes);
    if (packed_ops) {
        form_number(&packed, packed_ops);
    }
    packed.packed_from = from;
    packed.packed_bytes = packed_ops + packed_literals;
    packed.body_bytes =
        (packed_ops ? packed_ops : op_bytes) + (packed_literals ? packed_literals : literal_bytes);
    if (form_bytes(&packed) < form_bytes(best)) {
        *best = packed;
    }
    return HAKUBAN_OK;
}

static hakuban_status try_whole_packed(hkb_delta_context *context, hkb_delta_compressor compressor,
                                       hakuban_slice new_, delta_form *best)
{
    delta_form packed;
    form_begin(&packed, WHOLE_PACKED);
    form_number(&packed, new_.bytes);
    packed.packed_from = context->packed_bytes;
    hakuban_status status =
        pack(context, compressor, new_, (hakuban_slice){NULL, 0}, &packed.packed_bytes);
    packed.body_bytes = packed.packed_bytes;
    if (status >= 0 && packed.body_bytes && form_bytes(&packed) < form_bytes(best)) {
        *best = packed;
    }
    return status;
}

static hakuban_status choose(hkb_delta_context *context, hkb_delta_compressor compressor,
                             hakuban_slice old, hakuban_slice new_, delta_form *best)
{
    form_begin(best, WHOLE);
    best->body_bytes = new_.bytes;
    if (!old.bytes || !new_.bytes || old.bytes > HKB_DELTA_STATE_BYTES_MAX ||
        new_.bytes > HKB_DELTA_STATE_BYTES_MAX) {
        return new_.bytes < PACK_WHOLE_MIN ? HAKUBAN_OK
                                           : try_whole_packed(context, compressor, new_, best);
    }
    hakuban_status status = hkb_delta_search(context, old, new_);
    if (status < 0) {
        return status;
    }
    if (context->match_count == 0) {
        form_begin(best, UNCHANGED);
        return HAKUBAN_OK;
    }
    size_t op_bytes, literal_bytes;
    hkb_delta_measure(context, &op_bytes, &literal_bytes);
    delta_form ops;
    form_begin_sized(&ops, OPS, old.bytes, new_.bytes);
    ops.body_bytes = op_bytes + literal_bytes;
    if (form_bytes(&ops) < form_bytes(best)) {
        *best = ops;
    }
    status = try_packed(context, compressor, old, new_, op_bytes, literal_bytes, best);
    /* If a state has changed almost everywhere, the whole state may be shorter than a difference.
     */
    if (status >= 0 && form_bytes(best) >= PACK_BYTES_MIN &&
        (form_bytes(best) > new_.bytes / 8 || literal_bytes > new_.bytes / 2)) {
        status = try_whole_packed(context, compressor, new_, best);
    }
    return status;
}

static void form_write_body(const hkb_delta_context *context, const delta_form *form,
                            hakuban_slice new_, uint8_t *out)
{
    if (form->kind == OPS) {
        hkb_delta_write(context, new_.data, true, true, out);
    } else if (form->kind == LITERALS_PACKED) {
        out = hkb_delta_write(context, new_.data, true, false, out);
    } else if (form->kind == WHOLE && new_.bytes) {
        hkb_delta_copy(out, new_.data, new_.bytes);
    }
    if (form->packed_bytes) {
        memcpy(out, context->packed.data + form->packed_from, form->packed_bytes);
    }
    if (form->kind == OPS_PACKED) {
        hkb_delta_write(context, new_.data, false, true, out + form->packed_bytes);
    }
}

hakuban_status hkb_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                              hkb_delta_compressor compressor, hakuban_slice old,
                              hakuban_slice new_, hakuban_bytes **ret)
{
    delta_form best;
    context->reference_bytes = context->packed_bytes = 0;
    context->work = (hkb_delta_work){0};
    hakuban_status status = choose(context, compressor, old, new_, &best);
    uint8_t *out;
    if (status >= 0) {
        status = hkb_bytes_new_empty(alloc, form_bytes(&best), ret, &out);
    }
    if (status >= 0) {
        memcpy(out, best.head, best.head_bytes);
        form_write_body(context, &best, new_, out + best.head_bytes);
    }
    release(context, KEEP_BYTES);
    return status;
}

/* -- Applying -- */

/* A delta's head. */
typedef struct delta_parts {
    int kind;
    size_t new_bytes;
    const uint8_t *body, *end;
} delta_parts;

static bool take_number(delta_parts *parts, uint64_t *ret)
{
    int taken = hkb_varint_get(parts->body, (size_t)(parts->end - parts->body), ret);
    if (taken <= 0) {
        return false;
    }
    parts->body += taken;
    return true;
}

static bool parse(hakuban_slice delta, size_t old_bytes, delta_parts *ret)
{
    if (delta.bytes == 0) {
        return false;
    }
    uint64_t number = 0;
    ret->body = delta.data;
    ret->end = ret->body + delta.bytes;
    ret->kind = *ret->body++;
    bool same_size = ret->kind & SAME_SIZE;
    ret->kind &= ~SAME_SIZE;
    if (ret->kind > OPS_PACKED || (same_size && (ret->kind == UNCHANGED || ret->kind == WHOLE ||
                                                 ret->kind == WHOLE_PACKED))) {
        return false;
    }
    switch (ret->kind) {
    case UNCHANGED:
        ret->new_bytes = old_bytes;
        return ret->body == ret->end;
    case WHOLE:
        ret->new_bytes = delta.bytes - 1;
        return true;
    case WHOLE_PACKED:
        if (!take_number(ret, &number) || number > SIZE_MAX / 2) {
            return false;
        }
        ret->new_bytes = (size_t)number;
        return true;
    default:
        if (old_bytes > HKB_DELTA_STATE_BYTES_MAX || (!same_size && !take_number(ret, &number))) {
            return false;
        }
        int64_t difference = hkb_unzigzag(number);
        if (difference < -(int64_t)old_bytes ||
            difference > (int64_t)(HKB_DELTA_STATE_BYTES_MAX - old_bytes)) {
            return false;
        }
        ret->new_bytes = (size_t)((int64_t)old_bytes + difference);
        return old_bytes && ret->new_bytes; /* only kind 4 may have an empty old or new state */
    }
}

bool hkb_delta_is_whole(hakuban_slice delta)
{
    if (delta.bytes == 0) {
        return false;
    }
    uint8_t kind = *(const uint8_t *)delta.data;
    return kind == WHOLE || kind == WHOLE_PACKED;
}

hakuban_status hkb_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                              size_t *ret_bytes)
{
    delta_parts parts;
    if (!parse(delta, old_bytes, &parts)) {
        return HAKUBAN_ERR_CORRUPT;
    }
    if (parts.new_bytes > bytes_max) {
        return HAKUBAN_ERR_LIMIT;
    }
    *ret_bytes = parts.new_bytes;
    return HAKUBAN_OK;
}

static hakuban_status unpack(hkb_delta_compressor compressor, uint8_t *out, size_t out_bytes,
                             hakuban_slice src, hakuban_slice reference)
{
    if (!compressor.ops || out_bytes == 0) {
        return HAKUBAN_ERR_CORRUPT;
    }
    hakuban_status status =
        compressor.ops->decompress(compressor.self, out, out_bytes, src, reference);
    return status >= 0 || status == HAKUBAN_ERR_NO_MEMORY ? status : HAKUBAN_ERR_CORRUPT;
}

/* Executes ops. literals: where the literals begin if they are not inside the ops. They may be at
 * the end of out: if all ops together fit into out, writing never overtakes reading. */
static bool run_ops(hkb_delta_reader reader, const uint8_t *old, uint8_t *out,
                    const uint8_t *literals)
{
    while (reader.data < reader.end) {
        hkb_delta_op op;
        uint8_t *place = out + reader.produced;
        if (!hkb_delta_read(&reader, &op, &literals)) {
            return false;
        }
        hkb_delta_copy(place, old + op.o, op.copy);
        memmove(place + op.copy, literals, op.literals);
        literals += op.literals;
    }
    size_t tail = reader.new_bytes - reader.produced;
    if (tail > reader.old_bytes) {
        return false;
    }
    hkb_delta_copy(out + reader.produced, old + reader.old_bytes - tail, tail);
    return true;
}

/* Finds the ops of kinds 2, 3 and 6: in the delta, or decompressed to context->raw. Afterwards
 * parts->body is behind them. */
static hakuban_status take_ops(hkb_delta_context *context, hkb_delta_compressor compressor,
                               delta_parts *parts, const uint8_t **ret_ops, size_t *ret_bytes)
{
    uint64_t op_bytes, sent_bytes;
    /* A correct delta has no more bytes of ops than this, so a peer cannot cause a larger
     * allocation. */
    if (!take_number(parts, &op_bytes) || op_bytes > parts->new_bytes) {
        return HAKUBAN_ERR_CORRUPT;
    }
    sent_bytes = op_bytes;
    if (parts->kind != LITERALS_PACKED && !take_number(parts, &sent_bytes)) {
        return HAKUBAN_ERR_CORRUPT;
    }
    const uint8_t *sent = parts->body;
    if (sent_bytes > (size_t)(parts->end - sent)) {
        return HAKUBAN_ERR_CORRUPT;
    }
    parts->body += sent_bytes;
    *ret_ops = sent;
    *ret_bytes = (size_t)op_bytes;
    if (parts->kind == LITERALS_PACKED) {
        return HAKUBAN_OK;
    }
    hakuban_status status = need(context, &context->raw, (size_t)op_bytes);
    *ret_ops = context->raw.data;
    return status < 0 ? status
                      : unpack(compressor, context->raw.data, (size_t)op_bytes,
                               (hakuban_slice){sent, (size_t)sent_bytes}, (hakuban_slice){NULL, 0});
}

/* Kinds 2, 3 and 6. Literals are decompressed to the end of out, and the ops read them there, so
 * that they need no other memory. */
static hakuban_status apply_packed(hkb_delta_context *context, hkb_delta_compressor compressor,
                                   hakuban_slice old, delta_parts *parts, uint8_t *out)
{
    hkb_delta_reader reader = {.old_bytes = old.bytes, .new_bytes = parts->new_bytes};
    size_t op_bytes;
    hakuban_status status = take_ops(context, compressor, parts, &reader.data, &op_bytes);
    if (status < 0) {
        return status;
    }
    reader.end = reader.data + op_bytes;
    hkb_delta_reader first = reader;
    hkb_delta_piece last = {0, 0};
    size_t literal_bytes = 0;
    while (first.data < first.end) {
        hkb_delta_op op;
        if (!hkb_delta_read(&first, &op, NULL)) {
            return HAKUBAN_ERR_CORRUPT;
        }
        literal_bytes += op.literals;
        if (parts->kind != OPS_PACKED) {
            status = hkb_delta_reference_add(context, old, &op, &last);
        }
        if (status < 0) {
            return status;
        }
    }
    hakuban_slice sent = {parts->body, (size_t)(parts->end - parts->body)};
    const uint8_t *literals = parts->body;
    if (parts->kind == OPS_PACKED) {
        status = sent.bytes == literal_bytes ? HAKUBAN_OK : HAKUBAN_ERR_CORRUPT;
    } else {
        literals = out + parts->new_bytes - literal_bytes;
        status = unpack(compressor, out + parts->new_bytes - literal_bytes, literal_bytes, sent,
                        hkb_delta_reference(context));
    }
    if (status >= 0 && !run_ops(reader, old.data, out, literals)) {
        status = HAKUBAN_ERR_CORRUPT;
    }
    return status;
}

hakuban_status hkb_delta_apply(hkb_delta_context *context, hkb_delta_compressor compressor,
                               hakuban_slice old, hakuban_slice delta, uint8_t *out,
                               size_t out_bytes)
{
    delta_parts parts;
    if (!parse(delta, old.bytes, &parts) || parts.new_bytes != out_bytes) {
        return HAKUBAN_ERR_CORRUPT;
    }
    hakuban_slice body = {parts.body, (size_t)(parts.end - parts.body)};
    hakuban_status status = HAKUBAN_OK;
    hkb_delta_reader reader;
    switch (parts.kind) {
    case UNCHANGED:
        if (out_bytes) {
            hkb_delta_copy(out, old.data, out_bytes);
        }
        return HAKUBAN_OK;
    case WHOLE:
        if (out_bytes) {
            hkb_delta_copy(out, body.data, out_bytes);
        }
        return HAKUBAN_OK;
    case WHOLE_PACKED:
        return unpack(compressor, out, out_bytes, body, (hakuban_slice){NULL, 0});
    case OPS:
        reader = (hkb_delta_reader){.data = parts.body,
                                    .end = parts.end,
                                    .old_bytes = old.bytes,
                                    .new_bytes = out_bytes,
                                    .literals_inside = true};
        return run_ops(reader, old.data, out, parts.body) ? HAKUBAN_OK : HAKUBAN_ERR_CORRUPT;
    default:
        context->reference_bytes = 0;
        status = apply_packed(context, compressor, old, &parts, out);
        release(context, KEEP_BYTES);
        return status;
    }
}
