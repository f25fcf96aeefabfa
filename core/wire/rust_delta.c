/* Differences in the form of the Rust implementation. delta_search.c finds what two states have in
 * common; the literals that are left are looked up among the literals before them and the old bytes
 * around them. Knows nothing of states or links.
 *
 *   E      the escape byte, 255 at the beginning; every other byte is a literal
 *   E 127 n    the byte E, and from here on n is the escape byte
 *   E 255      the byte E
 *   E p l      copy l bytes; the highest bit of p: from the old state, else from the result
 *
 * p: low bits 0 … 123 are the position; 124, 125, 126: it follows in 4, 3, 2 bytes. l: 0 … 252 is
 * the length; 253, 254, 255: it follows in 4, 3, 2 bytes; the highest byte first. A position in the
 * result counts back from the present place. A position in the old state is twice the distance
 * back, or twice the distance ahead minus one. */
#include "wire/rust_delta.h"

#include "wire/delta_internal.h"

enum {
    ESCAPE_FIRST = 255,
    CHANGE = 127,
    LITERAL = 255,
    FROM_OLD = 128,
    POSITION_SHORT = 123, /* the greatest position in one byte */
    LENGTH_SHORT = 252,
    REFERENCE_BYTES_MAX = 11,
};

/* -- Reading -- */

typedef struct rust_reader {
    const uint8_t *begin, *at, *end;
    uint8_t escape;
    size_t old_bytes, made; /* made: the size of the result so far */
} rust_reader;

/* One step of a difference: literals, or a copy. */
typedef struct rust_op {
    const uint8_t *literals; /* NULL: a copy */
    bool from_old;
    size_t from, bytes; /* from: where in the old state or in the result */
} rust_op;

/* count bytes, the highest first. */
static bool read_value(rust_reader *reader, size_t count, size_t *ret)
{
    size_t value = 0;
    if ((size_t)(reader->end - reader->at) < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | *reader->at++;
    }
    *ret = value;
    return true;
}

/* Reads a number whose first byte is first: up to single, that is the number; marks + 0, 1, 2: 4,
 * 3, 2 bytes follow. */
static bool read_form(rust_reader *reader, size_t first, size_t single, size_t *ret)
{
    *ret = first;
    return first <= single || read_value(reader, 4 - (first - single - 1), ret);
}

/* Reads a reference. Returns NULL, or an error's text. */
static const char *read_reference(rust_reader *reader, uint8_t code, rust_op *ret)
{
    size_t position, first, bytes;
    ret->from_old = (code & FROM_OLD) != 0;
    if (!read_form(reader, code & 127u, POSITION_SHORT, &position) ||
        !read_value(reader, 1, &first) || !read_form(reader, first, LENGTH_SHORT, &bytes)) {
        return "a difference ends inside a reference";
    }
    ret->bytes = bytes;
    size_t way = (position + 1) / 2; /* the distance in the old state */
    if (!ret->from_old) {
        if (position == 0 || position > reader->made) {
            return "a difference refers to what is not made yet";
        }
        ret->from = reader->made - position;
        return NULL;
    }
    if (position % 2 == 0 && way > reader->made) {
        return "a difference refers to before the old state";
    }
    ret->from = position % 2 == 0 ? reader->made - way : reader->made + way;
    if (ret->from > reader->old_bytes || bytes > reader->old_bytes - ret->from) {
        return "a difference refers to behind the old state";
    }
    return NULL;
}

/* Reads the next step; only while at is not at the end. Returns NULL, or an error's text. The
 * caller updates made. */
static const char *read_op(rust_reader *reader, rust_op *ret)
{
    const uint8_t *escape = memchr(reader->at, reader->escape, (size_t)(reader->end - reader->at));
    const uint8_t *stop = escape ? escape : reader->end;
    ret->literals = reader->at;
    ret->bytes = (size_t)(stop - reader->at);
    reader->at = stop;
    if (ret->bytes) {
        return NULL;
    }
    ret->literals = reader->at++; /* the escape byte itself, if it is one */
    ret->bytes = 1;
    if (reader->at == reader->end) {
        return "a difference ends behind an escape";
    }
    uint8_t code = *reader->at++;
    if (code == LITERAL) {
        return NULL;
    }
    if (code == CHANGE) {
        if (reader->at == reader->end) {
            return "a difference ends inside a change of the escape";
        }
        reader->escape = *reader->at++;
        return NULL;
    }
    ret->literals = NULL;
    return read_reference(reader, code, ret);
}

static rust_reader read_begin(hakuban_slice delta, size_t old_bytes)
{
    const uint8_t *data = delta.data;
    return (rust_reader){.begin = data,
                         .at = data,
                         .end = data ? data + delta.bytes : NULL,
                         .escape = ESCAPE_FIRST,
                         .old_bytes = old_bytes};
}

hakuban_status hkb_rust_delta_size(hakuban_slice delta, size_t old_bytes, size_t bytes_max,
                                   size_t *ret_bytes, hakuban_error *reterr)
{
    rust_reader reader = read_begin(delta, old_bytes);
    while (reader.at < reader.end) {
        size_t at = (size_t)(reader.at - reader.begin);
        rust_op op;
        const char *wrong = read_op(&reader, &op);
        if (wrong) {
            return hkb_error_at(reterr, HAKUBAN_ERR_CORRUPT, at, 0, 0, "%s (at byte %zu of it)",
                                wrong, at);
        }
        if (op.bytes > bytes_max - reader.made) {
            return hkb_error_at(reterr, HAKUBAN_ERR_LIMIT, at, 0, 0,
                                "a difference makes more than %zu bytes", bytes_max);
        }
        reader.made += op.bytes;
    }
    *ret_bytes = reader.made;
    return HAKUBAN_OK;
}

/* Copies bytes that may overlap themselves: the copied pattern doubles with each step. */
static void repeat(uint8_t *to, size_t distance, size_t bytes)
{
    const uint8_t *from = to - distance;
    while (bytes > distance) {
        memcpy(to, from, distance);
        to += distance;
        bytes -= distance;
        distance *= 2;
    }
    memcpy(to, from, bytes);
}

hakuban_status hkb_rust_delta_apply(hakuban_slice old, hakuban_slice delta, uint8_t *out,
                                    size_t out_bytes)
{
    rust_reader reader = read_begin(delta, old.bytes);
    while (reader.at < reader.end) {
        rust_op op;
        if (read_op(&reader, &op) || op.bytes > out_bytes - reader.made) {
            return HAKUBAN_ERR_CORRUPT;
        }
        uint8_t *to = out + reader.made;
        if (op.literals) {
            memcpy(to, op.literals, op.bytes);
        } else if (op.bytes == 0) {
            continue;
        } else if (op.from_old) {
            hkb_delta_copy(to, (const uint8_t *)old.data + op.from, op.bytes);
        } else {
            repeat(to, reader.made - op.from, op.bytes);
        }
        reader.made += op.bytes;
    }
    return reader.made == out_bytes ? HAKUBAN_OK : HAKUBAN_ERR_CORRUPT;
}

/* -- Finding -- */

enum {
    MATCH_SAVES_MIN = 11, /* a match that saves fewer bytes is dropped: references among its
                             neighbours are better */
    GAP_BYTES_MIN = 8,    /* fewer literals in a row are not looked up */
    SAME_BYTES = 4,       /* a look-up compares so many bytes */
    PATIENCE_LOG = 5,     /* after 2^5 look-ups without a result they become rarer */
    SLOT_LOG_MIN = 8,
    SLOT_LOG_MAX = 14,
    AROUND = 256,       /* so many old bytes around a gap are put into the table, */
    AROUND_GAP = 4,     /* and so many times the gap's length */
    DENSE_BYTES = 8192, /* in a larger range, not every place is put into the table */
    SPARSE_BYTES = 131072,
    FAR_GAP_BYTES_MIN = 256, /* so many literals in a row are searched in the whole old state, */
    FAR_BLOCK = 16,          /* in blocks that begin at multiples of this */
    FAR_MATCHES_MAX = 64,
};
/* Flag in a reference's o: it is a place in the result, not in the old state. */
#define SELF 0x80000000u
#define EMPTY UINT32_MAX

static size_t number_bytes(size_t value, size_t single)
{
    return value <= single ? 1 : value < 1u << 16 ? 3 : value < 1u << 24 ? 4 : 5;
}

static size_t old_position(size_t here, size_t from)
{
    return from <= here ? 2 * (here - from) : 2 * (from - here) - 1;
}

static size_t position_of(const hkb_delta_match *reference)
{
    return reference->o & SELF ? reference->n - (reference->o & ~SELF)
                               : old_position(reference->n, reference->o);
}

/* Whether the reference takes at least saved bytes less than its literals. */
static bool is_worth_it(const hkb_delta_match *reference, size_t saved)
{
    return reference->bytes >= saved + 1 + number_bytes(position_of(reference), POSITION_SHORT) +
                                   number_bytes(reference->bytes, LENGTH_SHORT);
}

static hakuban_status add(hkb_delta_context *context, hkb_delta_match reference)
{
    hakuban_status status = HAKUBAN_OK;
    if (HKB_UNLIKELY(context->reference_count == context->reference_capacity)) {
        status = hkb_grow(context->alloc, &context->references, sizeof(*context->references),
                          &context->reference_capacity, hkb_max(context->reference_count + 1, 64));
    }
    if (status >= 0) {
        context->references[context->reference_count++] = reference;
    }
    return status;
}

typedef struct finder {
    hkb_delta_context *context;
    const uint8_t *old, *new_;
    size_t old_bytes, new_bytes;
    size_t old_seen;   /* the old state is in the table up to here */
    unsigned slot_log; /* 0: there is no table yet */
} finder;

static uint32_t load4(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint32_t *slot_of(const finder *f, uint32_t bytes)
{
    return &f->context->slots[bytes * 2654435761u >> (32 - f->slot_log)];
}

/* Makes an empty table for about wanted places. */
static hakuban_status make_table(finder *f, size_t wanted)
{
    f->slot_log = SLOT_LOG_MIN;
    while (f->slot_log < SLOT_LOG_MAX && (size_t)1 << f->slot_log < wanted) {
        f->slot_log++;
    }
    size_t slots = (size_t)1 << f->slot_log;
    hakuban_status status = hkb_grow(f->context->alloc, &f->context->slots,
                                     sizeof(*f->context->slots), &f->context->slot_capacity, slots);
    if (status >= 0) {
        memset(f->context->slots, 0xff, slots * sizeof(*f->context->slots));
    }
    return status;
}

/* Puts the old bytes into the table that are around the counterpart of a gap. */
static void look_around(finder *f, size_t begin, size_t gap_bytes)
{
    size_t reach = AROUND + AROUND_GAP * gap_bytes;
    size_t from = hkb_max(f->old_seen, begin > reach ? begin - reach : 0);
    size_t to = hkb_min(f->old_bytes, begin + gap_bytes + reach);
    size_t stride = to - hkb_min(from, to) <= DENSE_BYTES ? 1 : to - from <= SPARSE_BYTES ? 4 : 16;
    for (size_t place = from; place + SAME_BYTES <= to; place += stride) {
        *slot_of(f, load4(f->old + place)) = (uint32_t)place;
    }
    f->old_seen = hkb_max(f->old_seen, to);
}

/* The reference from n to slot's place, extended in both directions between begin and end. bytes 0:
 * none. */
static hkb_delta_match try_place(const finder *f, uint32_t slot, size_t n, size_t begin, size_t end)
{
    hkb_delta_match none = {0, 0, 0};
    const uint8_t *source = slot & SELF ? f->new_ : f->old;
    size_t place = slot & ~SELF, room = end - n;
    if (slot == EMPTY || load4(source + place) != load4(f->new_ + n)) {
        return none;
    }
    if (!(slot & SELF)) {
        room = hkb_min(room, f->old_bytes - place);
    }
    size_t bytes = hkb_delta_forward(source + place, f->new_ + n, room);
    while (n > begin && place > 0 && source[place - 1] == f->new_[n - 1]) {
        n--;
        place--;
        bytes++;
    }
    hkb_delta_match found = {(uint32_t)n, (uint32_t)place | (slot & SELF), (uint32_t)bytes};
    return is_worth_it(&found, 1) ? found : none;
}

static hakuban_status fill_gap(finder *f, size_t begin, size_t end)
{
    size_t n = begin, misses = 0;
    while (n + SAME_BYTES <= end) {
        uint32_t *slot = slot_of(f, load4(f->new_ + n));
        hkb_delta_match found = try_place(f, *slot, n, begin, end);
        *slot = (uint32_t)n | SELF;
        if (!found.bytes) {
            n += 1 + (misses++ >> PATIENCE_LOG);
            continue;
        }
        hakuban_status status = add(f->context, found);
        if (status < 0) {
            return status;
        }
        begin = n = (size_t)found.n + found.bytes;
        misses = 0;
        if (n >= 2 && n + 2 <= f->new_bytes) {
            *slot_of(f, load4(f->new_ + n - 2)) = (uint32_t)(n - 2) | SELF;
        }
    }
    return HAKUBAN_OK;
}

/* Finds references for the literals of one gap. */
static hakuban_status visit_gap(finder *f, const hkb_delta_match *before,
                                const hkb_delta_match *after, size_t literal_bytes)
{
    size_t begin = before ? (size_t)before->n + before->bytes : 0;
    size_t end = after ? after->n : f->new_bytes;
    if (end - begin < GAP_BYTES_MIN) {
        return HAKUBAN_OK;
    }
    hakuban_status status = HAKUBAN_OK;
    if (!f->slot_log) {
        status = make_table(f, literal_bytes + hkb_min(f->old_bytes, 2 * AROUND));
    }
    if (status < 0) {
        return status;
    }
    look_around(f, before ? (size_t)before->o + before->bytes : 0, end - begin);
    return fill_gap(f, begin, end);
}

/* -- Bytes that have moved far -- */

typedef struct far_matches {
    hkb_delta_match matches[FAR_MATCHES_MAX]; /* in the order of the result */
    size_t count;
} far_matches;

static uint32_t *block_slot(const finder *f, const uint8_t *p)
{
    uint64_t h = hkb_delta_load8(p) * UINT64_C(0x9e3779b97f4a7c15) +
                 hkb_delta_load8(p + 8) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return &f->context->slots[h >> (64 - f->slot_log)];
}

/* Where the gap before the index-th match begins; *ret_end: where it ends. */
static size_t gap_at(const finder *f, size_t index, size_t *ret_end)
{
    const hkb_delta_match *matches = f->context->matches;
    *ret_end = index < f->context->match_count ? matches[index].n : f->new_bytes;
    return index ? (size_t)matches[index - 1].n + matches[index - 1].bytes : 0;
}

/* The index of the gap that contains n. */
static size_t gap_around(const finder *f, size_t n, size_t *ret_end)
{
    size_t low = 0, high = f->context->match_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->context->matches[middle].n > n) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return gap_at(f, low, ret_end);
}

/* Adds a match of the result at n and the old state at o. */
static void add_far(const finder *f, far_matches *far, size_t n, size_t o)
{
    size_t end, begin = gap_around(f, n, &end), place = 0;
    while (place < far->count && far->matches[place].n <= n) {
        place++;
    }
    if (place) {
        begin = hkb_max(begin, (size_t)far->matches[place - 1].n + far->matches[place - 1].bytes);
    }
    if (place < far->count) {
        end = hkb_min(end, far->matches[place].n);
    }
    if (begin > n || end < n + FAR_BLOCK) {
        return;
    }
    size_t back = hkb_delta_backward(f->old + o, f->new_ + n, hkb_min(n - begin, o));
    size_t ahead = hkb_delta_forward(f->old + o, f->new_ + n, hkb_min(end - n, f->old_bytes - o));
    memmove(&far->matches[place + 1], &far->matches[place],
            (far->count++ - place) * sizeof(far->matches[0]));
    far->matches[place] =
        (hkb_delta_match){(uint32_t)(n - back), (uint32_t)(o - back), (uint32_t)(back + ahead)};
}

/* Merges the two lists. */
static hakuban_status merge_far(hkb_delta_context *context, const far_matches *far)
{
    size_t from = context->match_count, left = far->count, to = from + left;
    hakuban_status status = hkb_grow(context->alloc, &context->matches, sizeof(*context->matches),
                                     &context->match_capacity, to);
    if (status < 0) {
        return status;
    }
    context->match_count = to;
    while (left) {
        const hkb_delta_match *next = &far->matches[left - 1];
        bool ours = from == 0 || context->matches[from - 1].n < next->n;
        context->matches[--to] = ours ? far->matches[--left] : context->matches[--from];
    }
    return HAKUBAN_OK;
}

/* Long runs of literals are put into the table, then the old state is read once. */
static hakuban_status find_far(finder *f, size_t literal_bytes)
{
    far_matches far = {.count = 0};
    size_t begin, end,
        step = literal_bytes >> SLOT_LOG_MAX | 1; /* odd, so that all alignments occur */
    if (f->old_bytes <= DENSE_BYTES || literal_bytes < FAR_GAP_BYTES_MIN) {
        return HAKUBAN_OK;
    }
    for (size_t i = 0; i <= f->context->match_count; i++) {
        begin = gap_at(f, i, &end);
        if (end - begin < FAR_GAP_BYTES_MIN) {
            continue;
        }
        hakuban_status status = f->slot_log ? HAKUBAN_OK : make_table(f, literal_bytes);
        if (status < 0) {
            return status;
        }
        for (; begin + FAR_BLOCK <= end; begin += step) {
            *block_slot(f, f->new_ + begin) = (uint32_t)begin;
        }
    }
    if (!f->slot_log) {
        return HAKUBAN_OK;
    }
    for (size_t o = 0; o + FAR_BLOCK <= f->old_bytes && far.count < FAR_MATCHES_MAX;
         o += FAR_BLOCK) {
        uint32_t n = *block_slot(f, f->old + o);
        if (n != EMPTY && memcmp(f->old + o, f->new_ + n, FAR_BLOCK) == 0) {
            add_far(f, &far, n, o);
        }
    }
    f->slot_log = 0;
    return merge_far(f->context, &far);
}

/* Writes all references to context->references, in the order of the result. */
static hakuban_status find(hkb_delta_context *context, hakuban_slice old, hakuban_slice new_)
{
    finder f = {.context = context,
                .old = old.data,
                .new_ = new_.data,
                .old_bytes = old.bytes,
                .new_bytes = new_.bytes};
    hakuban_status status = HAKUBAN_OK;
    context->reference_count = context->match_count = 0;
    if (old.bytes) {
        status = hkb_delta_search(context, old, new_);
        if (status >= 0 && context->match_count == 0) { /* the two states are equal */
            return add(context, (hkb_delta_match){0, 0, (uint32_t)new_.bytes});
        }
    }
    size_t kept = 0, literal_bytes = new_.bytes;
    for (size_t i = 0; i < context->match_count; i++) {
        if (!is_worth_it(&context->matches[i], MATCH_SAVES_MIN)) {
            continue;
        }
        literal_bytes -= context->matches[i].bytes;
        context->matches[kept++] = context->matches[i];
    }
    context->match_count = kept;
    if (status >= 0) {
        status = find_far(&f, literal_bytes);
    }
    const hkb_delta_match *before = NULL;
    for (size_t i = 0; i < context->match_count && status >= 0; i++) {
        const hkb_delta_match *match = &context->matches[i];
        status = visit_gap(&f, before, match, literal_bytes);
        if (status >= 0) {
            status = add(context, *match);
        }
        before = match;
    }
    return status < 0 ? status : visit_gap(&f, before, NULL, literal_bytes);
}

/* -- Writing -- */

enum { AHEAD = 256 /* so many literals are examined to find a good escape byte */ };

typedef struct rust_writer {
    hkb_delta_context *context;
    const uint8_t *new_;
    size_t new_bytes;
    size_t next;  /* reference */
    size_t bytes; /* in context->raw */
    uint8_t escape;
} rust_writer;

static hakuban_status make_room(rust_writer *w, size_t bytes)
{
    hkb_delta_scratch *raw = &w->context->raw;
    if (HKB_LIKELY(raw->capacity - w->bytes >= bytes)) {
        return HAKUBAN_OK;
    }
    return hkb_grow(w->context->alloc, &raw->data, 1, &raw->capacity, w->bytes + bytes);
}

static size_t gap_end(const rust_writer *w, size_t next)
{
    return next < w->context->reference_count ? w->context->references[next].n : w->new_bytes;
}

/* The byte whose next occurrence as a literal behind n is farthest away. *ret_again: how often the
 * present escape byte occurs before that. */
static uint8_t choose_escape(const rust_writer *w, size_t n, size_t *ret_again)
{
    bool seen[256] = {false};
    unsigned unseen = 256;
    size_t again = 0, next = w->next, end = gap_end(w, next);
    uint8_t last = w->escape;
    seen[w->escape] = true; /* it is now */
    unseen--;
    for (size_t left = AHEAD; left && unseen; left--) {
        while (n == end) {
            if (next == w->context->reference_count) {
                goto done;
            }
            n += w->context->references[next++].bytes;
            end = gap_end(w, next);
        }
        uint8_t byte = w->new_[n++];
        again += byte == w->escape;
        unseen -= !seen[byte];
        if (!seen[byte]) {
            last = byte;
        }
        seen[byte] = true;
    }
done:
    *ret_again = again;
    for (unsigned byte = 0; unseen && byte < 256; byte++) {
        if (!seen[byte]) {
            return (uint8_t)byte;
        }
    }
    return last;
}

/* The literals from n to end. */
static hakuban_status put_literals(rust_writer *w, size_t n, size_t end)
{
    while (n < end) {
        const uint8_t *from = w->new_ + n;
        const uint8_t *escape = memchr(from, w->escape, end - n);
        size_t plain = escape ? (size_t)(escape - from) : end - n;
        hakuban_status status = make_room(w, plain + 3);
        if (status < 0) {
            return status;
        }
        uint8_t *to = w->context->raw.data + w->bytes;
        memcpy(to, from, plain);
        to += plain;
        n += plain;
        if (escape) {
            size_t again;
            uint8_t better = choose_escape(w, n + 1, &again);
            *to++ = w->escape;
            *to++ = again ? CHANGE : LITERAL;
            if (again) {
                *to++ = w->escape = better;
            }
            n++;
        }
        w->bytes = (size_t)(to - w->context->raw.data);
    }
    return HAKUBAN_OK;
}

static uint8_t *put_number(uint8_t *to, size_t value, size_t single, uint8_t flag)
{
    if (value <= single) {
        *to++ = (uint8_t)(value | flag);
        return to;
    }
    size_t count = number_bytes(value, single) - 1;
    *to++ = (uint8_t)((single + 5 - count) | flag);
    while (count) {
        *to++ = (uint8_t)(value >> (8 * --count));
    }
    return to;
}

static hakuban_status put_reference(rust_writer *w, const hkb_delta_match *reference)
{
    hakuban_status status = make_room(w, REFERENCE_BYTES_MAX);
    if (status < 0) {
        return status;
    }
    uint8_t *to = w->context->raw.data + w->bytes;
    *to++ = w->escape;
    to = put_number(to, position_of(reference), POSITION_SHORT, reference->o & SELF ? 0 : FROM_OLD);
    to = put_number(to, reference->bytes, LENGTH_SHORT, 0);
    w->bytes = (size_t)(to - w->context->raw.data);
    return HAKUBAN_OK;
}

static hakuban_status put_all(rust_writer *w)
{
    hakuban_status status = HAKUBAN_OK;
    size_t n = 0;
    while (status >= 0 && w->next < w->context->reference_count) {
        const hkb_delta_match *reference = &w->context->references[w->next];
        status = put_literals(w, n, reference->n);
        if (status >= 0) {
            status = put_reference(w, reference);
        }
        n = (size_t)reference->n + reference->bytes;
        w->next++;
    }
    return status < 0 ? status : put_literals(w, n, w->new_bytes);
}

hakuban_status hkb_rust_delta_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                                   hakuban_slice old, hakuban_slice new_, hakuban_bytes **ret)
{
    rust_writer writer = {
        .context = context, .new_ = new_.data, .new_bytes = new_.bytes, .escape = ESCAPE_FIRST};
    if (old.bytes > HKB_DELTA_STATE_BYTES_MAX || new_.bytes > HKB_DELTA_STATE_BYTES_MAX) {
        return HAKUBAN_ERR_LIMIT;
    }
    context->work = (hkb_delta_work){0};
    hakuban_status status = new_.bytes ? find(context, old, new_) : HAKUBAN_OK;
    if (status >= 0 && new_.bytes) {
        status = put_all(&writer);
    }
    if (status >= 0) {
        status =
            hakuban_bytes_new(alloc, writer.bytes ? context->raw.data : NULL, writer.bytes, ret);
    }
    hkb_delta_tidy(context);
    return status;
}
